"""A whole network on vector lanes: blocks of 16 samples side by side, or one sample with its units side by side.

Values lie in one arena of 32-bit integers, 64-bit integers or float32, row after row (a row is a time step):
[columns, 16 samples] in a block, [columns] for one sample. With 16-bit values two columns share a 32-bit element.
"""

from __future__ import annotations

import numpy as np

from lstmsim.core.elementwise import finish_dense, update_cells
from lstmsim.core.ends import ALONE, END_FIELDS, MODE, SKIP_ZERO_STATE, join_columns, read_inputs, write_outputs
from lstmsim.core.jit import njit_cached
from lstmsim.core.simd import GATES, PAIRS, SAMPLES, WIDE, add_tiles, address, count_up, counted

# A row of the program is one pass of an LSTM layer or one dense layer. Places and strides count elements of the arena.
(
    IS_LSTM, FUNCTION, STEPS, TILES, HIDDEN_COLUMNS, INPUT_COLUMNS, REVERSE, KEEP, CONSTANT_INPUT,
    HIDDEN_WEIGHTS, INPUT_WEIGHTS, BIASES, INPUT_AT, INPUT_STRIDE, OUTPUT_AT, OUTPUT_STRIDE, STATE_HIDDEN, STATE_CELL,
) = range(18)  # fmt: skip
PROGRAM_FIELDS = 18

CONSTANTS_ADDRESS = END_FIELDS  # added to the ends by `run_blocks`

TILES_AT_ONCE = 8
TAKEN, FINISHED, NOT_FINITE = range(3)
PATIENCE = 300_000  # looks at the progress


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
    known[SKIP_ZERO_STATE] = ends[SKIP_ZERO_STATE] if fresh else 0
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
