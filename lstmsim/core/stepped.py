"""The kernel stepped through event by event: every row, unit, weight burst and input, and memory channels shared.

An independent check of the closed formulas in `core.cycles`: both read the same operator latencies, nothing else is
common. Rows enter the gate engines one by one, bursts are asked for, wait for the memory channel and cross the port,
instances take turns on their channel. Times are cycles from the end of the launch.

What it cannot show: why several instances slow one another down beyond the memory. That factor (`instance_slowdown`)
was measured, and `timeline` applies it as a slower clock.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from lstmsim.core.cycles import (
    COPY_DEPTH_CYCLES,
    FIXED_MULTIPLY_CYCLES,
    LAYER_SYNC_CYCLES,
    cell_columns,
    cell_rows,
    layer_weights,
)
from lstmsim.core.design import (
    CASCADE,
    CHAIN,
    DENSE,
    INPUTS,
    KIND,
    PASSES,
    STEPS,
    UNITS,
    Board,
    Knobs,
    LatencyCoefficients,
    Layers,
)
from lstmsim.core.memory import (
    AXI_LATENCY_CYCLES,
    channel_burst_cycles,
    cycles_per_weight,
    full_burst_bits,
    read_latency_cycles,
    weight_word_bits,
)

LOAD_START, LOAD_END, RUN_START, RUN_END = 0, 1, 2, 3
COPY, GATES, ELEMENTWISE, DENSE_ROWS = 0, 1, 2, 3


def loop_cycles(trips: int, interval: float, depth: float) -> float:
    """Return the cycles of a pipelined loop, one trip after the other; see `core.loops.pipelined_loop_cycles`."""
    start = end = 0.0
    for _ in range(trips):
        end = start + max(depth, interval)
        start += interval
    return end - 1.0 if trips > 0 and interval < depth else end


def sum_depth_cycles(columns: int, knobs: Knobs, c: LatencyCoefficients) -> float:
    """Return the cycles from a row's products to its sum: partial sums are added until one is left."""
    cycles = FIXED_MULTIPLY_CYCLES
    partial_sums = columns
    while partial_sums > 1:
        partial_sums = partial_sums - 1 if knobs.accumulation >= CASCADE else (partial_sums + 1) // 2
        cycles += c.float_add_cycles if knobs.is_float else 1.0
    if knobs.accumulation >= CASCADE:
        cycles += c.float_add_cycles if knobs.is_float else 1.0  # a cascade starts by adding to the bias
    return cycles


def engine_cycles(rows: int, columns: int, cell_width: int, knobs: Knobs, c: LatencyCoefficients) -> float:
    """Return the cycles in which one engine works off `rows` rows."""
    if knobs.accumulation == CHAIN:
        per_product = c.float_sequential_cycles if knobs.is_float else 1.0
        cycles = 0.0
        for _ in range(rows):
            cycles += max(columns, cell_width) * per_product
        return cycles
    interval = 0.0
    for _ in range(0, columns, cell_width):
        interval += c.row_interval_cycles * min(knobs.mac_share, cell_width)
    return loop_cycles(rows, interval, max(sum_depth_cycles(cell_width, knobs, c), interval + 1.0))


def busiest_engine_rows(units: int, knobs: Knobs) -> int:
    """Return the rows of the busiest gate engine in one time step: rows and gates are dealt out in turn."""
    rows = len(range(0, units, knobs.engines))
    gates = 4 if knobs.accumulation == CHAIN else len(range(0, 4, knobs.parallel_gates))
    return rows * gates


def update_cycles(units: int, knobs: Knobs, c: LatencyCoefficients) -> float:
    """Return the cycles of activations, unit by unit, and of the state update, group by group."""
    cycles = 0.0
    for _ in range(units):
        cycles += c.activation_cycles
    for _ in range(0, units, knobs.elementwise_unroll):
        cycles += c.state_cycles
    return cycles


def step_parts(layer: Sequence[int], cell_width: int, knobs: Knobs, c: LatencyCoefficients, parts: Any) -> None:
    """Write the cycles of one time step to parts [4]: copy, gates, element-wise; of a dense layer those of all rows."""
    inputs, units = layer[INPUTS], layer[UNITS]
    parts[:] = 0.0
    if layer[KIND] == DENSE:
        parts[DENSE_ROWS] = engine_cycles(layer[STEPS] * units, inputs, cell_width, knobs, c)
        return
    parts[COPY] = loop_cycles(inputs, 1.0, COPY_DEPTH_CYCLES)
    parts[GATES] = engine_cycles(busiest_engine_rows(units, knobs), inputs + units, cell_width, knobs, c)
    parts[ELEMENTWISE] = update_cycles(units, knobs, c)


def run_cycles(layer: Sequence[int], parts: Any) -> float:
    """Return the cycles of a layer, its time steps one after the other."""
    if layer[KIND] == DENSE:
        return float(parts[DENSE_ROWS])
    cycles = 0.0
    for _ in range(layer[STEPS] * layer[PASSES]):
        cycles += parts[COPY] + parts[GATES] + parts[ELEMENTWISE]
    return cycles


def burst_weights(knobs: Knobs) -> float:
    """Return the weights that one full burst carries."""
    return full_burst_bits(knobs) / weight_word_bits(knobs)


def load_bursts(layer: Sequence[int], knobs: Knobs) -> int:
    """Return the bursts of one pass of a layer."""
    if knobs.resident_weights:
        return 0
    return math.ceil(layer_weights(layer) * weight_word_bits(knobs) / full_burst_bits(knobs))


def last_burst_share(layer: Sequence[int], knobs: Knobs) -> float:
    """Return how full the last burst of a pass is, 0 to 1."""
    bits, burst = layer_weights(layer) * weight_word_bits(knobs), full_burst_bits(knobs)
    return 1.0 if bits % burst == 0 else bits % burst / burst


def next_in_turn(ready: Any, channel_free: float, last: int) -> int:
    """Return the instance that is served next: round robin among those that wait, else the first to come.

    The arbiter decides once a clock cycle, so that requests of the same cycle wait together.
    """
    count = len(ready)
    begin = max(channel_free, np.min(ready)) + 1.0
    for ahead in range(1, count + 1):
        candidate = (last + ahead) % count
        if ready[candidate] < begin:
            return int(candidate)
    return last


def run_channel(
    layers: Layers, members: Any, runs: Any, output: float, port: float, knobs: Knobs, board: Board, slices: Any,
    outs: Any
) -> None:  # fmt: skip
    """Step the instances on one memory channel through all of their inputs.

    members [instances]; runs [layers] and `output` are computing times, `port` the time of a full burst on a port.
    slices [inputs, layers, 4] and outs [inputs, 2] take start and end of loads, runs and outputs. With technique 1 the
    loads only are stepped, once.
    """
    latency, channel = read_latency_cycles(knobs, board), channel_burst_cycles(knobs, board)
    side_by_side = 0 if knobs.layer_parallel else 1
    count, depth, window = len(members), len(layers), knobs.outstanding_reads
    batch = len(outs)
    ring = np.zeros((count, window))
    ready = np.zeros(count)
    load_start = np.zeros(count)
    begun = np.zeros(count)
    asked = np.zeros(count)
    arrived = np.zeros(count)
    free = np.zeros(count)
    place = np.zeros((count, 4), dtype=np.int64)  # input, layer, pass, burst
    for m in range(count):
        place[m, 0] = members[m]
        ready[m] = latency if load_bursts(layers[0], knobs) else 0.0
    channel_free = 0.0
    active, m = count, count - 1
    while active > 0:
        m = next_in_turn(ready, channel_free, m)
        item, index, turn, burst = place[m, 0], place[m, 1], place[m, 2], place[m, 3]
        bursts = load_bursts(layers[index], knobs)
        if bursts > 0:
            share = last_burst_share(layers[index], knobs) if burst == bursts - 1 else 1.0
            start = max(ready[m], channel_free)
            channel_free = start + channel * share
            arrived[m] = max(start + max(port, channel) * share, arrived[m] + port * share)
            ring[m, burst % window] = arrived[m]
            burst += 1
            if burst == bursts and turn + 1 < layers[index][PASSES]:
                turn, burst = turn + 1, 0
                begun[m] = asked[m] = arrived[m]
                place[m, 2], place[m, 3] = turn, burst
                ready[m] = arrived[m] + latency
                continue
            if burst < bursts:
                place[m, 3] = burst
                asked[m] = max(asked[m], ring[m, burst % window] if burst >= window else begun[m])
                ready[m] = asked[m] + latency
                continue
            loaded = arrived[m]
        else:
            loaded = load_start[m]
        run_start = max(loaded, free[m])
        run_end = run_start + runs[index] * side_by_side
        slices[item, index, LOAD_START], slices[item, index, LOAD_END] = load_start[m], loaded
        slices[item, index, RUN_START], slices[item, index, RUN_END] = run_start, run_end
        free[m] = run_end
        if index + 1 < depth:
            place[m, 1] = index + 1
            load_start[m] = run_start if knobs.double_buffer else run_end
        else:
            outs[item, 0], outs[item, 1] = run_end, run_end + output
            free[m] = load_start[m] = run_end + output
            place[m, 0], place[m, 1] = item + min(knobs.instances, batch), 0
            if place[m, 0] >= batch or knobs.layer_parallel:
                ready[m] = math.inf
                active -= 1
                continue
        place[m, 2], place[m, 3] = 0, 0
        begun[m] = asked[m] = arrived[m] = load_start[m]
        waits = latency if load_bursts(layers[place[m, 1]], knobs) else 0.0
        ready[m] = load_start[m] + waits


def run_side_by_side(first: int, step: int, layers: Layers, runs: Any, output: float, slices: Any, outs: Any) -> None:
    """Technique 1: pass the inputs of one instance from cell to cell, its weights being loaded (see `run_channel`).

    A cell takes the next input when it has handed over the one before; the output follows the last cell.
    """
    depth = len(layers)
    loaded = slices[first, depth - 1, LOAD_END]
    for item in range(first, len(outs), step):
        arrival = loaded
        for index in range(depth):
            start = arrival
            if item > first:
                slices[item, index, LOAD_START] = slices[item, index, LOAD_END] = arrival
                start = max(start, slices[item - step, index, RUN_END] + LAYER_SYNC_CYCLES)
            slices[item, index, RUN_START] = start
            slices[item, index, RUN_END] = arrival = start + runs[index]
        outs[item, 0] = max(arrival, outs[item - step, 1]) if item > first else arrival
        outs[item, 1] = outs[item, 0] + output


def run_systolic(first: int, step: int, layers: Layers, runs: Any, knobs: Knobs, slices: Any, outs: Any) -> None:
    """Technique 2: let each input of one instance follow the one before as soon as a share of the cell is free.

    A follower waits for the loads and the output of the input before and for 1/systolic_steps of its computing.
    """
    behind = (outs[first, 1] - outs[first, 0]) + np.sum(runs) / knobs.systolic_steps
    free = 0.0
    for index in range(len(layers)):
        behind += max(0.0, slices[first, index, LOAD_END] - max(free, slices[first, index, LOAD_START]))
        free = slices[first, index, RUN_END]
    for item in range(first + step, len(outs), step):
        slices[item] = slices[item - step] + behind
        outs[item] = outs[item - step] + behind


def step_call(
    layers: Layers, output_values: int, knobs: Knobs, board: Board, c: LatencyCoefficients, slices: Any, outs: Any
) -> float:
    """Step through one call and return its cycles, without launch and without the measured slowdown of instances.

    Args:
        layers: rows of numbers, see `core.design`.
        output_values: values of one output sample.
        knobs: the design and its batch.
        board: memory and host.
        c: operator latencies.
        slices: float array [batch, layers, 4] that takes start and end of every load and run.
        outs: float array [batch, 2] that takes start and end of every output.
    """
    width, height = cell_columns(layers), cell_rows(layers)
    runs, parts = np.zeros(len(layers)), np.zeros(4)
    for index in range(len(layers)):
        step_parts(layers[index], width, knobs, c, parts)
        runs[index] = run_cycles(layers[index], parts)
    port = burst_weights(knobs) * cycles_per_weight(height, width, knobs, c)
    output = AXI_LATENCY_CYCLES
    for _ in range(0, output_values * knobs.io_bits, knobs.memory_bits):
        output += c.narrow_beat_cycles
    busy = min(knobs.instances, knobs.batch)
    for channel in range(min(board.channels, busy)):
        run_channel(
            layers, np.arange(channel, busy, board.channels), runs, output, port, knobs, board, slices, outs
        )  # fmt: skip
    for instance in range(busy):
        if knobs.layer_parallel:
            run_side_by_side(instance, busy, layers, runs, output, slices, outs)
        elif knobs.systolic_steps > 1:
            run_systolic(instance, busy, layers, runs, knobs, slices, outs)
    return float(np.max(outs[:, 1]))
