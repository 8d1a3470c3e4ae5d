"""Resources of the kernel: DSP, LUT, LUTRAM, FF, BRAM18 and URAM, by what the architecture must hold and compute.

The cell has 4 x MX_COL multipliers (fewer where gates take turns or columns share one), banks of weights one a column
and gate, an element-wise stage and memory adapters. `docs/model.md` explains every law and its error.
"""

from __future__ import annotations

import math

from lstmsim.core.cycles import cell_columns, cell_rows
from lstmsim.core.design import (
    BRAM,
    CHAIN,
    DENSE,
    INPUTS,
    INTERPOLATED,
    KIND,
    LUTRAM,
    PASSES,
    SPLIT,
    TREE,
    UNITS,
    URAM,
    Knobs,
    Layers,
    ResourceCoefficients,
    Usage,
)
from lstmsim.core.memory import port_bits

FLOAT_MULTIPLY_DSP = 3.0
FLOAT_ADD_DSP = 2.0
PRODUCTS_PER_UNIT = 3
DSP_FROM_BITS = 10
LUT_PER_PRODUCT_BIT = 1.1
LUTRAM_DEPTH = 64.0
BRAM18_NARROW_BITS, BRAM18_NARROW_DEPTH = 18, 1024
BRAM18_WIDE_BITS, BRAM18_WIDE_DEPTH = 36, 512
URAM_BITS, URAM_DEPTH = 72, 4096


def product_dsp(first_bits: int, second_bits: int) -> float:
    """Return the DSP48E2 blocks of one fixed-point product.

    One block multiplies 27 x 18 bits; wider operands are split, and one partial product fewer is kept where both are.
    Operands under 10 bits are multiplied in LUTs (the threshold that HLS users report).
    """
    wide, narrow = max(first_bits, second_bits), min(first_bits, second_bits)
    if wide < DSP_FROM_BITS:
        return 0.0
    parts = math.ceil(wide / 27) * math.ceil(narrow / 18)
    if narrow > 18 and wide > 27:
        parts -= 1
    return float(parts)


def product_luts(first_bits: int, second_bits: int) -> float:
    """Return the LUTs of one fixed-point product that takes no DSP."""
    if product_dsp(first_bits, second_bits) > 0.0:
        return 0.0
    return LUT_PER_PRODUCT_BIT * first_bits * second_bits


def multipliers(columns: int, knobs: Knobs) -> float:
    """Return the multiply-accumulate units of one cell."""
    per_row = math.ceil(columns / min(knobs.mac_share, columns))
    return float(knobs.parallel_gates * knobs.engines * knobs.systolic_steps * per_row)


def cell_dsp(columns: int, has_dense: int, knobs: Knobs, c: ResourceCoefficients) -> float:
    """Return the DSPs of one cell: products of rows and of units, and the control of every engine."""
    macs = multipliers(columns, knobs)
    if knobs.is_float:
        per_mac = FLOAT_MULTIPLY_DSP + FLOAT_ADD_DSP
        control = c.dsp_float_control + has_dense * per_mac
        if knobs.accumulation == CHAIN:
            return macs * FLOAT_MULTIPLY_DSP + knobs.parallel_gates * FLOAT_ADD_DSP + control
        units = (knobs.elementwise_unroll - 1) * PRODUCTS_PER_UNIT * FLOAT_MULTIPLY_DSP
        return macs * per_mac + units + knobs.engines * control
    tree = c.dsp_tree if knobs.accumulation == TREE else 0.0
    control = c.dsp_control + tree + has_dense * c.dsp_dense
    units = PRODUCTS_PER_UNIT * knobs.elementwise_unroll * product_dsp(knobs.state_bits, knobs.state_bits)
    return macs * product_dsp(knobs.weight_bits, knobs.state_bits) + units + knobs.engines * control


def stored_words(layers: Layers, columns: int, rows: int, knobs: Knobs) -> float:
    """Return the weights that the banks of one cell have room for: the largest layer, or all of them."""
    if knobs.resident_weights == 0:
        return 4.0 * columns * rows
    total = 0.0
    for i in range(len(layers)):
        gates = 1.0 if layers[i][KIND] == DENSE else 4.0
        width = max(columns, layers[i][INPUTS]) if layers[i][KIND] == DENSE else columns
        total += gates * layers[i][PASSES] * layers[i][UNITS] * width
    return total


def weight_copies(knobs: Knobs) -> int:
    """Return how often the weights of a layer are held on the chip."""
    return 2 if knobs.double_buffer or knobs.staged_weights or knobs.weight_memory == SPLIT else 1


def copies_in(memory: int, knobs: Knobs) -> int:
    """Return how many of the copies one kind of memory holds."""
    if knobs.weight_memory == SPLIT:
        return 1 if memory in (LUTRAM, BRAM) else 0
    return weight_copies(knobs) if knobs.weight_memory == memory else 0


def weight_bank_count(columns: int, knobs: Knobs) -> float:
    """Return the banks of one copy: one a column and gate, or one a group of columns that share a multiplier."""
    if knobs.bank_per_column:
        return 4.0 * columns
    return 4.0 * math.ceil(columns / min(knobs.mac_share, columns))


def bank_blocks(words: float, banks: float, bits: int) -> float:
    """Return the BRAM18 of one copy: every bank takes whole blocks, 1024 x 18 or 512 x 36."""
    depth = words / banks
    if bits <= BRAM18_NARROW_BITS:
        return banks * math.ceil(depth / BRAM18_NARROW_DEPTH)
    return banks * math.ceil(bits / BRAM18_WIDE_BITS) * math.ceil(depth / BRAM18_WIDE_DEPTH)


def uram_blocks(words: float, banks: float, bits: int) -> float:
    """Return the URAM of one copy: every bank takes whole blocks of 4096 x 72."""
    return banks * math.ceil(bits / URAM_BITS) * math.ceil(words / banks / URAM_DEPTH)


def row_bits(columns: int, knobs: Knobs) -> float:
    """Return the bits of weights and states that one row of the four gates reads."""
    return knobs.parallel_gates * columns * float(knobs.weight_bits + knobs.state_bits)


def cell_lutram(words: float, columns: int, features: int, knobs: Knobs, c: ResourceCoefficients) -> float:
    """Return the LUTs that one cell uses as memory.

    A LUT of distributed RAM holds 64 bits; sequences take `lutram_io_bit` a bit of a feature, and pipelines of float
    operators delay their operands in shift registers (`lutram_float_mac`).
    """
    weights = words * knobs.weight_bits / LUTRAM_DEPTH * copies_in(LUTRAM, knobs)
    delays = c.lutram_float_mac * multipliers(columns, knobs) if knobs.is_float else 0.0
    return c.lutram_control + weights + c.lutram_io_bit * features * knobs.state_bits + delays


def cell_lut(columns: int, port: int, knobs: Knobs, c: ResourceCoefficients) -> float:
    """Return the LUTs of logic of one cell: adders, multiplexers of shared multipliers, element-wise stage, ports."""
    macs = multipliers(columns, knobs)
    shared = c.lut_shared_bit * row_bits(columns, knobs) if knobs.mac_share > 1 else 0.0
    units = c.lut_elementwise * (knobs.elementwise_unroll - 1)
    ports = c.lut_port_bit * knobs.memory_ports * port
    if knobs.is_float:
        return c.lut_control + macs * c.lut_float_mac + shared + units + ports
    per_bit = c.lut_fixed_mac_bit + (c.lut_tree_mac_bit if knobs.accumulation == TREE else 0.0)
    logic = macs * (per_bit * knobs.weight_bits + product_luts(knobs.weight_bits, knobs.state_bits))
    return c.lut_control + logic + shared + units + ports


def cell_ff(columns: int, knobs: Knobs, c: ResourceCoefficients) -> float:
    """Return the flip-flops of one cell: pipelines of the adders, shared operands, element-wise stage."""
    macs = multipliers(columns, knobs)
    shared = c.ff_shared_bit * row_bits(columns, knobs) if knobs.mac_share > 1 else 0.0
    units = c.ff_elementwise * (knobs.elementwise_unroll - 1)
    staged = (weight_copies(knobs) - 1) * c.ff_staged_bit * knobs.parallel_gates * columns * knobs.weight_bits
    if knobs.is_float:
        return c.ff_control + macs * c.ff_float_mac + shared + units + staged
    per_bit = c.ff_fixed_mac_bit + (c.ff_tree_mac_bit if knobs.accumulation == TREE else 0.0)
    return c.ff_control + macs * per_bit * knobs.weight_bits + shared + units + staged


def table_blocks(knobs: Knobs, c: ResourceCoefficients) -> float:
    """Return the BRAM18 of the activation tables; piecewise forms need none."""
    if knobs.activation > INTERPOLATED:
        return 0.0
    return c.bram18_tables * math.ceil(knobs.table_entries / BRAM18_NARROW_DEPTH)


def count_lstm_cells(layers: Layers, knobs: Knobs) -> int:
    """Return the cells of one instance: one, or one an LSTM layer where layers work side by side."""
    if knobs.layer_parallel == 0:
        return 1
    cells = 0
    for i in range(len(layers)):
        if layers[i][KIND] != DENSE:
            cells += 1
    return max(1, cells)


def usage(layers: Layers, features: int, knobs: Knobs, c: ResourceCoefficients) -> Usage:
    """Return the resources of the whole design. `features` is the wider of the network's inputs and outputs."""
    columns, rows = cell_columns(layers), cell_rows(layers)
    has_dense = 0
    for i in range(len(layers)):
        if layers[i][KIND] == DENSE:
            has_dense = 1
    cells = count_lstm_cells(layers, knobs) * knobs.instances
    words = stored_words(layers, columns, rows, knobs)
    banks = weight_bank_count(columns, knobs)
    port = port_bits(rows, columns, knobs)
    lutram = cell_lutram(words, columns, features, knobs, c)
    logic = cell_lut(columns, port, knobs, c)
    blocks = copies_in(BRAM, knobs) * bank_blocks(words, banks, knobs.weight_bits) + table_blocks(knobs, c)
    adapters = c.bram18_port_bit * knobs.memory_ports * port
    return Usage(
        cells * (logic + lutram),
        cells * lutram,
        cells * cell_ff(columns, knobs, c),
        c.bram18_control + cells * blocks + knobs.instances * adapters,
        cells * copies_in(URAM, knobs) * uram_blocks(words, banks, knobs.weight_bits),
        cells * cell_dsp(columns, has_dense, knobs, c),
    )
