"""A whole network on vector lanes: blocks of 16 samples side by side, or one sample with its units side by side.

Values lie in one arena of 32-bit integers, 64-bit integers or float32, row after row (a row is a time step):
[columns, 16 samples] in a block, [columns] for one sample. With 16-bit values two columns share a 32-bit element.
"""

from __future__ import annotations

import numpy as np
from numba import types
from numba.extending import overload

from lstmsim.core.elementwise import finish_dense, update_cells
from lstmsim.core.fixed import (
    HIGH,
    LOW,
    QUANTIZATION,
    RND,
    RND_CONV,
    RND_INF,
    RND_ZERO,
    TRN,
    TRN_ZERO,
    assign,
    assign_float,
    limit,
)
from lstmsim.core.jit import njit_cached
from lstmsim.core.simd import GATES, PAIRS, SAMPLES, WIDE, add_tiles, address, count_up, counted, pair32

# A row of the program is one pass of an LSTM layer or one dense layer. Places and strides count elements of the arena.
(
    IS_LSTM, FUNCTION, STEPS, TILES, HIDDEN_COLUMNS, INPUT_COLUMNS, REVERSE, KEEP, CONSTANT_INPUT,
    HIDDEN_WEIGHTS, INPUT_WEIGHTS, BIASES, INPUT_AT, INPUT_STRIDE, OUTPUT_AT, OUTPUT_STRIDE, STATE_HIDDEN, STATE_CELL,
) = range(18)  # fmt: skip
PROGRAM_FIELDS = 18

# What a run needs to know about its ends
INPUT_FEATURES, INPUT_STEPS, INPUT_ROW, FINAL_AT, FINAL_STRIDE, FINAL_STEPS, FINAL_FEATURES, FRACTION = range(8)
FLOAT_INTERFACE, SAME_INPUT, SAME_OUTPUT, MODE, ALONE, SKIP_ZERO_STATE, FINAL_ROW = range(8, 15)
END_FIELDS = 15
CONSTANTS_ADDRESS = 15  # added by `run_blocks`

TILES_AT_ONCE = 4
TAKEN, FINISHED, NOT_FINITE = range(3)
PATIENCE = 300_000  # looks at the progress
EASY = 2.0**30  # scaled inputs below this fit 32 bits


def to_state(arena, value, conversions, ends, scale):
    """Return one interface value in the state format of the arena."""
    raise NotImplementedError("lanes exist in compiled code only")


@overload(to_state)
def _overload_to_state(arena, value, conversions, ends, scale):
    if arena.dtype == types.float32:
        return lambda arena, value, conversions, ends, scale: np.float32(value)
    if isinstance(value, types.Integer):

        def from_raw(arena, value, conversions, ends, scale):
            return value if ends[SAME_INPUT] else assign(value, conversions[1])

        return from_raw

    def from_float(arena, value, conversions, ends, scale):
        exact = np.float64(np.float32(value)) if ends[FLOAT_INTERFACE] else np.float64(value)
        raw = assign_float(exact, scale[0], ends[FRACTION], conversions[0])
        return raw if ends[SAME_INPUT] else assign(raw, conversions[1])

    return from_float


def to_interface(out, value, conversions, ends, scale):
    """Return one value of the state format as the output array holds it."""
    raise NotImplementedError("lanes exist in compiled code only")


@overload(to_interface)
def _overload_to_interface(out, value, conversions, ends, scale):
    if isinstance(value, types.Float):
        return lambda out, value, conversions, ends, scale: value

    def raw_value(out, value, conversions, ends, scale):
        return np.int64(value) if ends[SAME_OUTPUT] else assign(np.int64(value), conversions[2])

    if isinstance(out.dtype, types.Integer):
        return raw_value

    def float_value(out, value, conversions, ends, scale):
        if ends[FLOAT_INTERFACE]:
            return np.float64(np.float32(np.float64(value) * scale[1]))
        raw = np.int64(value) if ends[SAME_OUTPUT] else assign(np.int64(value), conversions[2])
        return np.float64(raw) * scale[1]

    return float_value


def join_columns(arena, first, second):
    """Return the element that holds two columns."""
    raise NotImplementedError("lanes exist in compiled code only")


@overload(join_columns)
def _overload_join_columns(arena, first, second):
    if arena.dtype == types.int32:
        return lambda arena, first, second: pair32(np.int32(first), np.int32(second))
    return lambda arena, first, second: first


@njit_cached()
def _round_row(values, whole, count, mode, scale):
    """Quantise a row of floats without overflow; false where a value needs the exact way (huge, tiny or not finite)."""
    doubtful = 0
    for k in range(count):
        value = np.float64(values[k])
        scaled = value * scale
        easy = abs(scaled) < EASY
        doubtful += not easy or (scaled == 0.0 and value != 0.0)
        whole[k] = np.int64(np.int32(np.floor(scaled))) if easy else np.int64(0)
    if mode != TRN and doubtful == 0:
        for k in range(count):
            value = np.float64(values[k])
            rest = value * scale - np.float64(whole[k])
            negative, odd = bool(value < 0.0), bool((whole[k] & 1) != 0)
            if mode == TRN_ZERO:
                up = negative and rest > 0.0
            else:
                tie = negative
                if mode == RND:
                    tie = True
                elif mode == RND_INF:
                    tie = not negative
                elif mode == RND_CONV:
                    tie = odd
                elif mode != RND_ZERO:
                    tie = False
                up = rest > 0.5 or (rest == 0.5 and tie)
            whole[k] += up
    return doubtful == 0


@njit_cached()
def _state_row(values, row, count, arena, conversions, ends, scale):
    """Convert a row of interface values to state_t, raw (or float32 in a float kernel)."""
    for k in range(count):
        row[k] = to_state(arena, values[k], conversions, ends, scale)


def convert_row(values, row, count, arena, conversions, ends, scale):
    """Convert a row, the fast way where the values allow it."""
    raise NotImplementedError("lanes exist in compiled code only")


@overload(convert_row)
def _overload_convert_row(values, row, count, arena, conversions, ends, scale):
    if arena.dtype == types.float32 or isinstance(values.dtype, types.Integer):
        return lambda values, row, count, arena, conversions, ends, scale: _state_row(
            values, row, count, arena, conversions, ends, scale
        )

    def from_floats(values, row, count, arena, conversions, ends, scale):
        if ends[FLOAT_INTERFACE] or not _round_row(values, row, count, conversions[0, QUANTIZATION], scale[0]):
            _state_row(values, row, count, arena, conversions, ends, scale)
            return
        low, high = conversions[0, LOW], conversions[0, HIGH]
        beyond = False
        for k in range(count):
            beyond |= row[k] < low or row[k] > high
        if beyond:
            for k in range(count):
                row[k] = limit(row[k], conversions[0])
        if not ends[SAME_INPUT]:
            for k in range(count):
                row[k] = assign(row[k], conversions[1])

    return from_floats


@njit_cached()
def read_inputs(inputs, first, last, lanes, arena, row, conversions, ends, scale):
    """Convert samples first to last into the arena's first rows; false where one is not finite.

    row: working space of one more than the features, int64 or float32 as the kernel computes.
    """
    features, stride = ends[INPUT_FEATURES], ends[INPUT_ROW]
    row[features] = 0
    for sample in range(first, last):
        for step in range(ends[INPUT_STEPS]):
            values = inputs[sample, step]
            doubtful = 0.0
            for feature in range(features):
                doubtful += abs(values[feature]) * 0.0
            if doubtful != 0.0:
                return False
            convert_row(values, row, features, arena, conversions, ends, scale)
            at = step * stride + sample - first
            if ends[MODE] == PAIRS:
                for pair in range((features + 1) >> 1):
                    arena[at + pair * lanes] = join_columns(arena, row[2 * pair], row[2 * pair + 1])
            else:
                for feature in range(features):
                    arena[at + feature * lanes] = row[feature]
    return True


def column_of(arena, element, odd):
    """Return one of the two columns of an element."""
    raise NotImplementedError("lanes exist in compiled code only")


@overload(column_of)
def _overload_column_of(arena, element, odd):
    if arena.dtype == types.int32:
        return lambda arena, element, odd: np.int32(np.int16(element >> (16 * odd)))
    return lambda arena, element, odd: element


def finish_row(out, row, count, conversions, ends, scale):
    """Convert a row of state_t to interface values."""
    raise NotImplementedError("lanes exist in compiled code only")


@overload(finish_row)
def _overload_finish_row(out, row, count, conversions, ends, scale):
    def one_by_one(out, row, count, conversions, ends, scale):
        for k in range(count):
            out[k] = to_interface(out, row[k], conversions, ends, scale)

    def scaled(out, row, count, conversions, ends, scale):
        if ends[SAME_OUTPUT] and not ends[FLOAT_INTERFACE]:
            factor = scale[1]
            for k in range(count):
                out[k] = np.float64(row[k]) * factor
        else:
            for k in range(count):
                out[k] = to_interface(out, row[k], conversions, ends, scale)

    return scaled if isinstance(out.dtype, types.Float) and isinstance(row.dtype, types.Integer) else one_by_one


@njit_cached()
def write_outputs(outputs, first, last, lanes, arena, row, conversions, ends, scale):
    """Convert the arena's last rows into samples first to last; row is working space."""
    features = ends[FINAL_FEATURES]
    for sample in range(first, last):
        for step in range(ends[FINAL_STEPS]):
            at = ends[FINAL_AT] + step * ends[FINAL_STRIDE] + sample - first
            if ends[MODE] == PAIRS:
                for pair in range((features + 1) >> 1):
                    element = arena[at + pair * lanes]
                    row[2 * pair] = column_of(arena, element, 0)
                    row[2 * pair + 1] = column_of(arena, element, 1)
            else:
                for feature in range(features):
                    row[feature] = arena[at + feature * lanes]
            finish_row(outputs[sample, step], row, features, conversions, ends, scale)


@njit_cached()
def _write_row(values, groups, arena, row, group, ends):
    """Write groups of 16 values to a row, from its group `group` on."""
    if ends[MODE] != PAIRS:
        at = row + group * SAMPLES
        for k in range(groups * SAMPLES):
            arena[at + k] = values[k]
    elif ends[ALONE]:
        at = row + group * (SAMPLES // 2)
        for k in range(groups * (SAMPLES // 2)):
            arena[at + k] = join_columns(arena, values[2 * k], values[2 * k + 1])
    else:
        at = row + (group >> 1) * SAMPLES
        for pair in range(groups >> 1):
            low = 2 * pair * SAMPLES
            for k in range(SAMPLES):
                arena[at + pair * SAMPLES + k] = join_columns(arena, values[low + k], values[low + SAMPLES + k])


@njit_cached()
def _add_columns(
    layer, sums, target, start, spread, hidden_at, hidden_columns, input_at, input_columns, first, count, weights, ends
):
    """Run the tiles of `count` groups of units, from group `first` on; all places are addresses."""
    size = weights.itemsize
    alone = ends[ALONE]
    per_column = WIDE if alone else GATES
    hidden_step, input_step = layer[HIDDEN_COLUMNS] * per_column, layer[INPUT_COLUMNS] * per_column
    hidden_weights = address(weights) + size * (layer[HIDDEN_WEIGHTS] + first * hidden_step)
    input_weights = address(weights) + size * (layer[INPUT_WEIGHTS] + first * input_step)
    first_rows, first_lanes = (hidden_at, hidden_weights) if alone else (hidden_weights, hidden_at)
    second_rows, second_lanes = (input_at, input_weights) if alone else (input_weights, input_at)
    add_tiles(
        sums, ends[MODE], alone, count, target, start, spread, first_rows, first_lanes, hidden_columns, hidden_step,
        second_rows, second_lanes, input_columns, input_step, ends[CONSTANTS_ADDRESS],
    )  # fmt: skip


@njit_cached()
def _lstm(layer, arena, hidden_state, cells, weights, biases, ends, rules, scratch, sums, hidden, fed):
    size = arena.itemsize
    data, target = address(arena), address(sums)
    rows = WIDE if ends[ALONE] else GATES
    bias_data, fed_data = address(biases) + size * layer[BIASES], address(fed)
    none = np.int64(0)
    spread = none if ends[ALONE] else np.int64(1)
    steps, tiles = layer[STEPS], layer[TILES]
    constant = layer[CONSTANT_INPUT] != 0
    start_data, start_size, input_columns = bias_data, size * rows, layer[INPUT_COLUMNS]
    if constant:
        _add_columns(
            layer, sums, fed_data, bias_data, spread, data, none, data + size * layer[INPUT_AT], input_columns,
            none, tiles, weights, ends,
        )  # fmt: skip
        start_data, start_size, spread, input_columns = fed_data, size * WIDE, none, none
    before = address(hidden_state) + size * layer[STATE_HIDDEN]
    row = np.int64(0)
    for index in range(steps):
        step = steps - 1 - index if layer[REVERSE] else index
        row = layer[OUTPUT_AT] + (step if layer[KEEP] else index & 1) * layer[OUTPUT_STRIDE]
        columns = none if index == 0 and ends[SKIP_ZERO_STATE] else layer[HIDDEN_COLUMNS]
        input_at = data + size * (layer[INPUT_AT] + step * layer[INPUT_STRIDE])
        for first in range(0, tiles, TILES_AT_ONCE):
            count = min(TILES_AT_ONCE, tiles - first)
            _add_columns(
                layer, sums, target, start_data + first * start_size, spread, before, columns,
                input_at, input_columns, first, count, weights, ends,
            )  # fmt: skip
            update_cells(sums, count, cells, layer[STATE_CELL] + first * SAMPLES, hidden, scratch, rules)
            _write_row(hidden, count, arena, row, first, ends)
        before = data + size * row
    lanes = 1 if ends[ALONE] else SAMPLES
    for k in range(layer[HIDDEN_COLUMNS] * lanes):
        hidden_state[layer[STATE_HIDDEN] + k] = arena[row + k]


@njit_cached()
def _dense(layer, arena, weights, biases, ends, rules, sums, values):
    size = arena.itemsize
    data, target = address(arena), address(sums)
    rows = WIDE if ends[ALONE] else GATES
    bias_data = address(biases) + size * layer[BIASES]
    none = np.int64(0)
    spread = none if ends[ALONE] else np.int64(1)
    for step in range(layer[STEPS]):
        row = layer[OUTPUT_AT] + step * layer[OUTPUT_STRIDE]
        input_at = data + size * (layer[INPUT_AT] + step * layer[INPUT_STRIDE])
        for tile in range(layer[TILES]):
            _add_columns(
                layer, sums, target, bias_data + size * tile * rows, spread, data, none,
                input_at, layer[INPUT_COLUMNS], tile, np.int64(1), weights, ends,
            )  # fmt: skip
            finish_dense(sums, np.int64(1), layer[FUNCTION], values, rules)
            _write_row(values, np.int64(4), arena, row, 4 * tile, ends)


@njit_cached()
def run_network(program, ends, weights, biases, rules, arena, hidden_state, cell_state, work):
    """Run one block, whose inputs are in the arena; hidden_state and cell_state hold its state, before and after."""
    sums, scratch, hidden, fed = work
    for index in range(program.shape[0]):
        layer = program[index]
        if layer[IS_LSTM]:
            _lstm(
                layer, arena, hidden_state, cell_state, weights, biases, ends, rules, scratch, sums, hidden, fed
            )  # fmt: skip
        else:
            _dense(layer, arena, weights, biases, ends, rules, sums, scratch[0])


@njit_cached(nogil=True)
def run_blocks(
    inputs, outputs, first, last, lanes, progress, program, ends, weights, biases, sum_constants, rules, arena, row,
    conversions, scale, fresh, hidden_state, cell_state,
):  # fmt: skip
    """Run samples first to last, block by block; inputs that are not finite are counted and skipped.

    progress: [3], blocks taken, finished and not finite. Threads that share it each take the next block, so that none
    waits for another that woke up late. hidden_state and cell_state hold one row a block, before and after; where every
    block starts `fresh`, from zero, they hold a single row, this thread's own.
    """
    width = np.int64(lanes)
    sums = np.empty(TILES_AT_ONCE * WIDE, arena.dtype)
    scratch = np.empty((2, TILES_AT_ONCE * WIDE), arena.dtype)
    hidden = np.empty(TILES_AT_ONCE * SAMPLES, arena.dtype)
    most_tiles = np.int64(0)
    for index in range(program.shape[0]):
        most_tiles = max(most_tiles, program[index, TILES])
    work = sums, scratch, hidden, np.empty(most_tiles * WIDE, arena.dtype)
    known = np.empty(END_FIELDS + 1, np.int64)
    for k in range(END_FIELDS):  # a loop: assigning slices compiles numba's broadcasting and its messages
        known[k] = ends[k]
    known[CONSTANTS_ADDRESS] = address(sum_constants)
    while True:
        block = count_up(progress, TAKEN)
        begin = first + block * width
        if begin >= last:
            return
        end = min(begin + width, last)
        place = np.int64(0) if fresh else block
        if fresh:
            hidden_state[0, :] = 0
            cell_state[0, :] = 0
        if read_inputs(inputs, begin, end, width, arena, row, conversions, known, scale):
            run_network(
                program, known, weights, biases, rules, arena, hidden_state[place], cell_state[place], work
            )  # fmt: skip
            write_outputs(outputs, begin, end, width, arena, row, conversions, known, scale)
        else:
            count_up(progress, NOT_FINITE)
        count_up(progress, FINISHED)


@njit_cached(nogil=True)
def wait_for_blocks(progress, blocks):
    """Wait until so many blocks are finished, or for about as long as a sleeping thread takes to wake up twice."""
    patience = PATIENCE
    while patience > 0 and counted(progress, FINISHED) != blocks:
        patience -= 1
    return patience > 0
