"""Cycles of the kernel, phase by phase: launch, weights, input, gates, element-wise, dense, output.

The kernel of the paper's Fig. 2 is one LSTM cell, sized for the largest layer and re-used layer after layer: a layer's
weights are read, then its time steps run one after the other. A time step copies its input, runs the gate engines over
the rows (a pipelined loop) and updates cell and hidden state. `docs/model.md` explains every formula.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

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
    Phases,
)
from lstmsim.core.loops import adder_tree_levels, pipelined_loop_cycles
from lstmsim.core.memory import (
    AXI_LATENCY_CYCLES,
    cycles_per_weight,
    gap_after_load,
    load_cycles,
    read_latency_cycles,
    sharing_instances,
)

COPY_DEPTH_CYCLES = 3.0
FIXED_MULTIPLY_CYCLES = 4.0
LAYER_SYNC_CYCLES = 32.0


def cell_columns(layers: Layers) -> int:
    """Return MX_COL: inputs plus units of the widest LSTM layer, or the widest dense input where there is no LSTM."""
    widest = 0
    for i in range(len(layers)):
        if layers[i][KIND] != DENSE:
            widest = max(widest, layers[i][INPUTS] + layers[i][UNITS])
    if widest == 0:
        for i in range(len(layers)):
            widest = max(widest, layers[i][INPUTS])
    return widest


def cell_rows(layers: Layers) -> int:
    """Return MX_UNITS: the units of the largest LSTM layer, or of the largest dense layer where there is no LSTM."""
    most = 0
    for i in range(len(layers)):
        if layers[i][KIND] != DENSE:
            most = max(most, layers[i][UNITS])
    if most == 0:
        for i in range(len(layers)):
            most = max(most, layers[i][UNITS])
    return most


def layer_weights(layer: Sequence[int]) -> int:
    """Return the weights and biases of one pass of a layer."""
    if layer[KIND] == DENSE:
        return layer[UNITS] * (layer[INPUTS] + 1)
    return 4 * layer[UNITS] * (layer[INPUTS] + layer[UNITS] + 1)


def row_depth_cycles(columns: int, knobs: Knobs, c: LatencyCoefficients) -> float:
    """Return the cycles from a row's first product to its sum.

    A fixed-point tree adds a level a cycle and a cascade a column a cycle; float adders take `float_add_cycles` a
    level, or a column where the compiler keeps the order of additions.
    """
    per_addition = c.float_add_cycles if knobs.is_float else 1.0
    additions = columns if knobs.accumulation >= CASCADE else adder_tree_levels(columns)
    return FIXED_MULTIPLY_CYCLES + per_addition * additions


def rows_cycles(rows: int, columns: int, cell_width: int, knobs: Knobs, c: LatencyCoefficients) -> float:
    """Return the cycles of `rows` rows of `columns` products on the cell's multipliers (`cell_width` columns wide).

    Rows enter every `row_interval_cycles` times the columns that share a multiplier; a chain has no overlap at all
    and walks the whole width of the cell (the paper's Fig. 3 counts to MX_COL).
    """
    if knobs.accumulation == CHAIN:
        per_product = c.float_sequential_cycles if knobs.is_float else 1.0
        return rows * max(columns, cell_width) * per_product
    visits = math.ceil(columns / cell_width)
    interval = c.row_interval_cycles * min(knobs.mac_share, cell_width) * visits
    return pipelined_loop_cycles(rows, interval, max(row_depth_cycles(cell_width, knobs, c), interval + 1.0))


def gate_cycles(units: int, columns: int, cell_width: int, knobs: Knobs, c: LatencyCoefficients) -> float:
    """Return the cycles of the four gates of one time step; engines share the rows, gate engines the gates."""
    rows = math.ceil(units / knobs.engines)
    rounds = 4 // knobs.parallel_gates
    if knobs.accumulation == CHAIN:
        return rows_cycles(4 * rows, columns, cell_width, knobs, c)
    return rows_cycles(rows * rounds, columns, cell_width, knobs, c)


def elementwise_cycles(units: int, knobs: Knobs, c: LatencyCoefficients) -> float:
    """Return the cycles of activations and state update of one time step; unrolling speeds the update only."""
    return units * c.activation_cycles + math.ceil(units / knobs.elementwise_unroll) * c.state_cycles


def layer_phases(layer: Sequence[int], cell_width: int, knobs: Knobs, c: LatencyCoefficients) -> Phases:
    """Return the cycles in which one layer computes for one input; its weights are there."""
    steps, inputs, units, passes = layer[STEPS], layer[INPUTS], layer[UNITS], layer[PASSES]
    if layer[KIND] == DENSE:
        dense = rows_cycles(steps * units, inputs, cell_width, knobs, c)
        return Phases(0.0, 0.0, 0.0, 0.0, 0.0, dense, 0.0, 0.0)
    runs = steps * passes
    copy = runs * pipelined_loop_cycles(inputs, 1.0, COPY_DEPTH_CYCLES)
    gates = runs * gate_cycles(units, inputs + units, cell_width, knobs, c)
    elementwise = runs * elementwise_cycles(units, knobs, c)
    return Phases(0.0, 0.0, copy, gates, elementwise, 0.0, 0.0, 0.0)


def phases_compute(phases: Phases) -> float:
    """Return the cycles of the phases that use the cell."""
    return phases.input + phases.gates + phases.elementwise + phases.dense


def gap_between_instances(layers: Layers, knobs: Knobs, board: Board, c: LatencyCoefficients) -> float:
    """Return the cycles between neighbours on a memory channel after an input, all having started together.

    Every later input leaves the same gap: a load either sets it or widens it to a fixed one.
    """
    gap = 0.0
    if knobs.resident_weights or sharing_instances(knobs, board) == 1:
        return gap
    per_weight = cycles_per_weight(cell_rows(layers), cell_columns(layers), knobs, c)
    for i in range(len(layers)):
        for _ in range(layers[i][PASSES]):
            gap = gap_after_load(layer_weights(layers[i]), per_weight, gap, knobs, board)
    return gap


def inference_phases(
    layers: Layers, output_values: int, gap: float, knobs: Knobs, board: Board, c: LatencyCoefficients
) -> Phases:
    """Return the cycles of one input on one instance, without launch: all layers in sequence and the output.

    With a double buffer a layer's weights load while the layer before runs; only what does not fit is counted. Where
    every layer has a cell of its own (technique 1) its weights are loaded once, before the first input.

    Where instances share a memory channel this is the last in turn. Those ahead load while it still computes: a lead
    that lasts no longer than the channel was idle and a request is under way.

    Args:
        layers: rows of numbers, see `core.design`.
        output_values: values of one output.
        gap: cycles between neighbours on the channel at the start, see `gap_between_instances`.
        knobs: the design and its batch.
        board: memory and host.
        c: operator latencies.
    """
    width = cell_columns(layers)
    per_weight = cycles_per_weight(cell_rows(layers), width, knobs, c)
    output = AXI_LATENCY_CYCLES + math.ceil(output_values * knobs.io_bits / knobs.memory_bits) * c.narrow_beat_cycles
    latency, others = read_latency_cycles(knobs, board), sharing_instances(knobs, board) - 1
    idle = output
    if gap > 0.0:
        idle += phases_compute(layer_phases(layers[len(layers) - 1], width, knobs, c))
    waiting = copy = gates = elementwise = dense = hidden = 0.0
    for i in range(len(layers)):
        part, load = layer_phases(layers[i], width, knobs, c), 0.0
        if knobs.resident_weights == 0:
            weights = layer_weights(layers[i])
            for _ in range(layers[i][PASSES]):
                load += load_cycles(weights, per_weight, min(others * gap, latency + idle), knobs, board)
                if others > 0:
                    gap, idle = gap_after_load(weights, per_weight, gap, knobs, board), 0.0
        waiting += max(0.0, load - hidden)
        copy += part.input
        gates += part.gates
        elementwise += part.elementwise
        dense += part.dense
        if knobs.layer_parallel == 0:
            idle = max(0.0, hidden - load) if knobs.double_buffer else phases_compute(part)
            hidden = phases_compute(part) if knobs.double_buffer else 0.0
    return Phases(0.0, waiting, copy, gates, elementwise, dense, output, 0.0)


def slowest_layer_cycles(layers: Layers, knobs: Knobs, c: LatencyCoefficients) -> float:
    """Return the cycles of the slowest layer: the interval of technique 1, where every layer has a cell of its own.

    The weights stay in that cell for the whole call, so that only computing and the hand-over count.
    """
    width = cell_columns(layers)
    slowest = 0.0
    for i in range(len(layers)):
        part = layer_phases(layers[i], width, knobs, c)
        slowest = max(slowest, phases_compute(part) + LAYER_SYNC_CYCLES)
    return slowest


def input_phases(
    layers: Layers, output_values: int, knobs: Knobs, board: Board, c: LatencyCoefficients
) -> tuple[Phases, float, float]:
    """Return the phases of the first input, and the cycles of a later input's weights and of the slowest layer.

    The batch enters only as instances that share a memory channel.
    """
    one = inference_phases(layers, output_values, 0.0, knobs, board, c)
    later_load = one.weight_load
    gap = gap_between_instances(layers, knobs, board, c)
    if gap > 0.0:
        later_load = inference_phases(layers, output_values, gap, knobs, board, c).weight_load
    slowest = slowest_layer_cycles(layers, knobs, c) if knobs.layer_parallel else 0.0
    return one, later_load, slowest


def call_phases(layers: Layers, output_values: int, knobs: Knobs, board: Board, c: LatencyCoefficients) -> Phases:
    """Return the cycles of one call of the kernel on a batch, by phase; their sum is the latency."""
    one, later_load, slowest = input_phases(layers, output_values, knobs, board, c)
    return batch_phases(one, later_load, slowest, knobs, board, c)


def batch_phases(
    one: Phases, later_load: float, slowest: float, knobs: Knobs, board: Board, c: LatencyCoefficients
) -> Phases:
    """Return the cycles of a call on a batch, given what `input_phases` returns.

    Instances share the batch and slow one another down (`instance_slowdown` a further instance). Technique 1
    (layer_parallel) starts an input whenever the slowest layer is free; technique 2 (systolic_steps) has the time steps
    of several inputs in flight and shares the cell's work among them: both help batches, never a single input.
    """
    inputs = math.ceil(knobs.batch / knobs.instances)
    computing = phases_compute(one) + one.output
    single, following, load = one.weight_load + computing, later_load + computing, later_load
    if knobs.layer_parallel:
        following, load = max(slowest, one.output), 0.0
    elif knobs.systolic_steps > 1:
        load = one.weight_load
        following = load + one.output + phases_compute(one) / knobs.systolic_steps
    total = single + (inputs - 1) * following
    loads = one.weight_load + (inputs - 1) * load
    slowdown = 1.0 + c.instance_slowdown * (min(knobs.instances, knobs.batch) - 1)
    scale = (total - loads) / computing
    return Phases(
        board.launch_s * knobs.clock_hz,
        loads,
        one.input * scale,
        one.gates * scale,
        one.elementwise * scale,
        one.dense * scale,
        one.output * scale,
        total * (slowdown - 1.0),
    )


def total_cycles(phases: Phases) -> float:
    """Return the sum of all phases."""
    return (
        phases.launch
        + phases.weight_load
        + phases.input
        + phases.gates
        + phases.elementwise
        + phases.dense
        + phases.output
        + phases.waiting
    )
