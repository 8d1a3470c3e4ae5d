"""One loop over a design space: decode, prune, evaluate, constrain, keep the front. Compiled by `core.compiled`."""

from __future__ import annotations

from typing import Any, NamedTuple

from lstmsim.core.cycles import batch_phases, input_phases, total_cycles
from lstmsim.core.design import (
    Board,
    Knobs,
    LatencyCoefficients,
    Layers,
    ResourceCoefficients,
    Usage,
)
from lstmsim.core.energy import PowerCoefficients, average_w, inference_joule, switching_w, traffic_bytes
from lstmsim.core.memory import sharing_instances
from lstmsim.core.pareto import insert
from lstmsim.core.resources import usage
from lstmsim.core.rules import Extent, broken_group_rule, broken_resource_rule, broken_time_rule

AXES = (
    "formats", "parallel_gates", "mac_share", "engines", "instances", "layer_parallel", "systolic_steps",
    "elementwise_unroll", "accumulation", "memory_bits", "widen_ports", "resident_weights", "double_buffer",
    "staged_weights",
    "activation", "activation_table_size", "activation_range", "memory_ports", "weight_memory",
    "weight_banks",
    "burst_beats", "outstanding_reads", "clock_hz",
)  # fmt: skip
"""The axes of a space in the order of their digits; the last changes fastest.

Only resources depend on activation ... weight_banks, only times on burst_beats ... clock_hz, and both on the others:
so times and resources are computed once each for every choice of the others, and combined.
"""

TABLE_SIZE_AXIS = AXES.index("activation_table_size")
FIRST_RESOURCE_AXIS = AXES.index("activation")
FIRST_TIME_AXIS = AXES.index("burst_beats")

METRICS = (
    "latency_s", "throughput_per_s", "lut", "lutram", "ff", "bram18", "uram", "dsp", "power_w", "energy_j", "accuracy",
)  # fmt: skip


class Workload(NamedTuple):
    """What is run: values of an output sample, the wider of inputs and outputs, inputs of a call, inputs of a queue."""

    output_values: int
    features: int
    batch: int
    queue: int


class Times(NamedTuple):
    """The part of a design's figures that clock and memory traffic decide."""

    latency_s: float
    throughput_per_s: float
    bytes_read: float


class Figures(NamedTuple):
    """What a design costs, in the order of METRICS."""

    latency_s: float
    throughput_per_s: float
    lut: float
    lutram: float
    ff: float
    bram18: float
    uram: float
    dsp: float
    power_w: float
    energy_j: float
    accuracy: float


class Model(NamedTuple):
    """Board and coefficients."""

    board: Board
    latency: LatencyCoefficients
    resources: ResourceCoefficients
    power: PowerCoefficients


class Tables(NamedTuple):
    """A design space as arrays.

    values [axes, most choices] and sizes [axes], integers; clocks_hz [choices]; formats [choices, 6] of is_float,
    widths of weights, states, accumulator and interface, interface is float; accuracy [choices], NaN where unknown.
    """

    values: Any
    clocks_hz: Any
    sizes: Any
    formats: Any
    accuracy: Any


class Goal(NamedTuple):
    """Constraints and objectives as arrays.

    limits [constraints, 3] of metric, sign and value: a design is excluded unless sign * metric <= value; the first
    six are the budget. objectives [objectives, 2] of metric and sign: smaller sign * metric is better.
    """

    limits: Any
    objectives: Any


class Tally(NamedTuple):
    """What a sweep counts and keeps.

    counts [5]: evaluated, fitting, feasible, on the front, sampled; pruned [rules]; broken [constraints, 2]: designs
    that break a constraint, and that break no other (beyond the budget: of those that fit); best [constraints]: best
    value among designs that fit the budget; front [capacity, objectives] and tags [capacity]; hint [1]: the row that
    rejected a point last; sample [capacity, 1 + metrics]: index and metrics of some feasible designs.
    """

    counts: Any
    pruned: Any
    broken: Any
    best: Any
    front: Any
    tags: Any
    hint: Any
    sample: Any


class Work(NamedTuple):
    """Working memory of one thread: metric [metrics], point [objectives], digits [axes], times [choices, 6].

    Columns of times: latency, throughput, bytes read, then KNOWN, RULE (below 0: none broken) and CLOCK.
    """

    metric: Any
    point: Any
    digits: Any
    times: Any


BUDGET_LIMITS = 6
KNOWN, RULE, CLOCK = 3, 4, 5
EVALUATED, FITTING, FEASIBLE, FRONT, SAMPLED = 0, 1, 2, 3, 4
SAMPLE_HASH = 2654435761
SAMPLE_MASK = 0xFFFFFFFF


def knobs_at(d: Any, v: Any, f: Any, clocks_hz: Any, batch: int) -> Knobs:
    """Return the knobs of a design: digits d [axes] choose a value on every axis of v, f and clocks_hz (`Tables`)."""
    return Knobs(
        parallel_gates=v[1, d[1]],
        mac_share=v[2, d[2]],
        engines=v[3, d[3]],
        instances=v[4, d[4]],
        layer_parallel=v[5, d[5]],
        systolic_steps=v[6, d[6]],
        elementwise_unroll=v[7, d[7]],
        accumulation=v[8, d[8]],
        is_float=f[d[0], 0],
        weight_bits=f[d[0], 1],
        state_bits=f[d[0], 2],
        accumulator_bits=f[d[0], 3],
        io_bits=f[d[0], 4],
        io_is_float=f[d[0], 5],
        activation=v[14, d[14]],
        table_entries=v[15, d[15]],
        memory_bits=v[9, d[9]],
        memory_ports=v[17, d[17]],
        widen_ports=v[10, d[10]],
        burst_beats=v[20, d[20]],
        outstanding_reads=v[21, d[21]],
        resident_weights=v[11, d[11]],
        double_buffer=v[12, d[12]],
        staged_weights=v[13, d[13]],
        weight_memory=v[18, d[18]],
        clock_hz=clocks_hz[d[22]],
        batch=batch,
        bank_per_column=v[19, d[19]],
    )


def with_batch(k: Knobs, batch: int) -> Knobs:
    """Return the same design called with another number of inputs."""
    return Knobs(
        k.parallel_gates, k.mac_share, k.engines, k.instances, k.layer_parallel, k.systolic_steps, k.elementwise_unroll,
        k.accumulation, k.is_float, k.weight_bits, k.state_bits, k.accumulator_bits, k.io_bits, k.io_is_float,
        k.activation, k.table_entries, k.memory_bits, k.memory_ports, k.widen_ports, k.burst_beats, k.outstanding_reads,
        k.resident_weights, k.double_buffer, k.staged_weights, k.weight_memory, k.clock_hz, batch,
        k.bank_per_column,
    )  # fmt: skip


def times_of(layers: Layers, load: Workload, knobs: Knobs, model: Model) -> Times:
    """Return latency of a call of `batch` inputs, throughput over a queue of `queue` inputs, bytes read an input."""
    board, c = model.board, model.latency
    queue = with_batch(knobs, load.queue)
    one, later_load, slowest = input_phases(layers, load.output_values, knobs, board, c)
    latency = total_cycles(batch_phases(one, later_load, slowest, knobs, board, c)) / knobs.clock_hz
    if sharing_instances(queue, board) != sharing_instances(knobs, board):
        one, later_load, slowest = input_phases(layers, load.output_values, queue, board, c)
    queued = total_cycles(batch_phases(one, later_load, slowest, queue, board, c)) / knobs.clock_hz
    throughput = load.queue / queued if queued > 0.0 else 0.0
    return Times(latency, throughput, traffic_bytes(layers, knobs))


def combine(clock_hz: float, batch: int, times: Times, used: Usage, c: PowerCoefficients, accuracy: float) -> Figures:
    """Return what a design costs, given its times and its resources."""
    switching = switching_w(used, clock_hz, c)
    joule = inference_joule(times.latency_s, batch, switching, times.bytes_read, c)
    power = average_w(joule, times.latency_s, batch)
    return Figures(
        times.latency_s, times.throughput_per_s, used.lut, used.lutram, used.ff, used.bram18, used.uram, used.dsp,
        power, joule, accuracy,
    )  # fmt: skip


def figures(layers: Layers, load: Workload, knobs: Knobs, model: Model, accuracy: float) -> Figures:
    """Return what a design costs."""
    used = usage(layers, load.features, knobs, model.resources)
    times = times_of(layers, load, knobs, model)
    return combine(knobs.clock_hz, knobs.batch, times, used, model.power, accuracy)


def set_digits(number: int, sizes: Any, digits: Any, first: int, stop: int) -> None:
    """Write the digits first..stop-1 of a number in mixed radix `sizes`."""
    rest = number
    for axis in range(stop - 1, first - 1, -1):
        digits[axis] = rest % sizes[axis]
        rest = rest // sizes[axis]


def next_digits(sizes: Any, digits: Any, first: int, stop: int) -> None:
    """Count on by one in the digits first..stop-1."""
    axis = stop - 1
    while axis >= first:
        digits[axis] += 1
        if digits[axis] < sizes[axis]:
            return
        digits[axis] = 0
        axis -= 1


def count_over_budget(used: Usage, limits: Any, broken: Any, designs: int) -> int:
    """Return how many resources exceed the budget, and count which, for `designs` designs."""
    needs = (used.lut, used.lutram, used.ff, used.bram18, used.uram, used.dsp)
    violations, last = 0, 0
    for c in range(BUDGET_LIMITS):
        if not needs[c] <= limits[c, 2]:
            broken[c, 0] += designs
            violations += 1
            last = c
    if violations == 1:
        broken[last, 1] += designs
    return violations


def count_violations(metric: Any, limits: Any, broken: Any, best: Any) -> int:
    """Return how many constraints beyond the budget a design breaks, count which, and keep the best seen."""
    violations, last = 0, 0
    for c in range(BUDGET_LIMITS, len(limits)):
        value = limits[c, 1] * metric[int(limits[c, 0])]
        best[c] = min(best[c], value)
        if not value <= limits[c, 2]:
            broken[c, 0] += 1
            violations += 1
            last = c
    if violations == 1:
        broken[last, 1] += 1
    return violations


def choices_between(sizes: Any, first: int, stop: int) -> int:
    """Return the number of combinations of the axes first..stop-1."""
    product = 1
    for axis in range(first, stop):
        product *= sizes[axis]
    return product


def write_figures(f: Figures, row: Any) -> None:
    """Write figures to row [metrics]."""
    row[0], row[1], row[2], row[3] = f.latency_s, f.throughput_per_s, f.lut, f.lutram
    row[4], row[5], row[6], row[7] = f.ff, f.bram18, f.uram, f.dsp
    row[8], row[9], row[10] = f.power_w, f.energy_j, f.accuracy


def keep_sample(index: int, metric: Any, counts: Any, sample: Any, sample_below: int) -> None:
    """Keep a feasible design in the sample; a hash of its index decides, so that no axis is favoured."""
    row = counts[SAMPLED]
    if row < len(sample) and (index * SAMPLE_HASH) & SAMPLE_MASK < sample_below:
        sample[row, 0] = index
        for k in range(len(metric)):
            sample[row, 1 + k] = metric[k]
        counts[SAMPLED] = row + 1


def start_times(
    digits: Any, values: Any, formats: Any, clocks_hz: Any, sizes: Any, batch: int, extent: Extent, times: Any
) -> int:
    """Write clock and broken rule of every choice of the time axes, times not yet known; return how many are valid."""
    valid = 0
    for choice in range(len(times)):
        knobs = knobs_at(digits, values, formats, clocks_hz, batch)
        times[choice, KNOWN] = 0.0
        times[choice, CLOCK] = knobs.clock_hz
        times[choice, RULE] = broken_time_rule(knobs, extent)
        if times[choice, RULE] < 0.0:
            valid += 1
        next_digits(sizes, digits, FIRST_TIME_AXIS, len(sizes))
    return valid


def count_pruned_times(times: Any, pruned: Any) -> None:
    """Count the choices of time axes that break a rule."""
    for choice in range(len(times)):
        if times[choice, RULE] >= 0.0:
            pruned[int(times[choice, RULE])] += 1


def sweep_group(
    index: int, layers: Layers, load: Workload, extent: Extent, model: Model, tables: Tables, goal: Goal, tally: Tally,
    sample_below: int, work: Work
) -> None:  # fmt: skip
    """Evaluate the designs of one group, `index` the first: they differ in resource and time axes only."""
    values, formats, clocks_hz, sizes, accuracy = (
        tables.values, tables.formats, tables.clocks_hz, tables.sizes, tables.accuracy[work.digits[0]],
    )  # fmt: skip
    limits, objectives, counts, pruned, broken = goal.limits, goal.objectives, tally.counts, tally.pruned, tally.broken
    best, front, tags, hint, sample = tally.best, tally.front, tally.tags, tally.hint, tally.sample
    metric, point, digits, times = work.metric, work.point, work.digits, work.times
    axes, width, batch = len(sizes), len(objectives), load.batch
    valid = start_times(digits, values, formats, clocks_hz, sizes, batch, extent, times)
    for resource in range(choices_between(sizes, FIRST_RESOURCE_AXIS, FIRST_TIME_AXIS)):
        first = index + resource * len(times)
        set_digits(resource, sizes, digits, FIRST_RESOURCE_AXIS, FIRST_TIME_AXIS)
        knobs = knobs_at(digits, values, formats, clocks_hz, batch)
        rule = broken_resource_rule(knobs, digits[TABLE_SIZE_AXIS])
        if rule >= 0:
            pruned[rule] += len(times)
            continue
        counts[EVALUATED] += valid
        if valid < len(times):
            count_pruned_times(times, pruned)
        used = usage(layers, load.features, knobs, model.resources)
        if count_over_budget(used, limits, broken, valid) > 0:
            continue
        counts[FITTING] += valid
        for choice in range(len(times)):
            if times[choice, RULE] >= 0.0:
                continue
            if times[choice, KNOWN] == 0.0:
                set_digits(choice, sizes, digits, FIRST_TIME_AXIS, axes)
                timed = knobs_at(digits, values, formats, clocks_hz, batch)
                times[choice, 0], times[choice, 1], times[choice, 2] = times_of(layers, load, timed, model)
                times[choice, KNOWN] = 1.0
            known = Times(times[choice, 0], times[choice, 1], times[choice, 2])
            write_figures(combine(times[choice, CLOCK], batch, known, used, model.power, accuracy), metric)
            if count_violations(metric, limits, broken, best) == 0:
                counts[FEASIBLE] += 1
                for k in range(width):
                    point[k] = objectives[k, 1] * metric[int(objectives[k, 0])]
                counts[FRONT] = insert(front, tags, counts[FRONT], point, first + choice, width, hint)
                keep_sample(first + choice, metric, counts, sample, sample_below)
        set_digits(0, sizes, digits, FIRST_TIME_AXIS, axes)
    set_digits(0, sizes, digits, FIRST_RESOURCE_AXIS, axes)


def sweep(
    start: int, stop: int, layers: Layers, load: Workload, extent: Extent, model: Model, tables: Tables, goal: Goal,
    tally: Tally, sample_below: int, work: Work
) -> int:  # fmt: skip
    """Evaluate the groups start..stop-1 of a space and return the group that comes next.

    That is below `stop` where the front's arrays have no room for a group: call again with larger ones.
    """
    sizes = tables.sizes
    size = choices_between(sizes, FIRST_RESOURCE_AXIS, len(sizes))
    work.digits[:] = 0
    set_digits(start, sizes, work.digits, 0, FIRST_RESOURCE_AXIS)
    for group in range(start, stop):
        if tally.counts[FRONT] + size > len(tally.tags):
            return group
        if group > start:
            next_digits(sizes, work.digits, 0, FIRST_RESOURCE_AXIS)
        rule = broken_group_rule(
            knobs_at(work.digits, tables.values, tables.formats, tables.clocks_hz, load.batch), extent
        )
        if rule >= 0:
            tally.pruned[rule] += size
            continue
        sweep_group(group * size, layers, load, extent, model, tables, goal, tally, sample_below, work)
    return stop


def merge(front: Any, tags: Any, count: int, other: Any, other_tags: Any, others: int, hint: Any) -> int:
    """Offer the points of another front; the arrays must have room for both."""
    for row in range(others):
        count = insert(front, tags, count, other[row], other_tags[row], front.shape[1], hint)
    return count
