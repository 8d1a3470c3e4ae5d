"""Resources worked out by hand, where the rows of the paper leave a law open; rules of the space at their bounds."""

from __future__ import annotations

from typing import Any

import pytest

from lstmsim.config import ACCUMULATIONS, ACTIVATIONS, WEIGHT_MEMORIES, KernelConfig
from lstmsim.core.design import (
    BRAM,
    CASCADE,
    CHAIN,
    DENSE,
    INTERPOLATED,
    LSTM,
    LUTRAM,
    PIECEWISE,
    PLAN,
    SPLIT,
    TABLE,
    TREE,
    URAM,
    Knobs,
    ResourceCoefficients,
)
from lstmsim.core.resources import (
    bank_blocks,
    cell_dsp,
    cell_ff,
    cell_lut,
    cell_lutram,
    copies_in,
    count_lstm_cells,
    multipliers,
    product_dsp,
    product_luts,
    stored_words,
    table_blocks,
    uram_blocks,
    usage,
    weight_bank_count,
)
from lstmsim.core.rules import RULES, Extent, broken_rule
from lstmsim.device import FpgaDevice, load_device
from lstmsim.pack import knobs_of

DEVICE = load_device("u280")
LAYERS = ((LSTM, 5, 6, 10, 1), (LSTM, 5, 10, 3, 2), (DENSE, 5, 6, 7, 1))
COLUMNS, ROWS = 6 + 10, 10
FLOAT = {"is_float": 1, "weight_bits": 32, "state_bits": 32}
SHARED = {"mac_share": 4, "elementwise_unroll": 3}


def knobs(**changes: Any) -> Knobs:
    """Four gates in parallel, 16 bits, a tree, weights once in LUTRAM, a port of 32 bits."""
    assert isinstance(DEVICE, FpgaDevice)
    return knobs_of(KernelConfig(), DEVICE, 1)._replace(**changes)


def coefficients(**values: float) -> ResourceCoefficients:
    return ResourceCoefficients(*[0.0] * len(ResourceCoefficients._fields))._replace(**values)


def test_numbers_of_choices_are_their_places_in_the_configuration() -> None:
    assert tuple(map(ACCUMULATIONS.index, ("tree", "cascade", "chain"))) == (TREE, CASCADE, CHAIN)
    assert tuple(map(WEIGHT_MEMORIES.index, ("lutram", "bram", "uram", "split"))) == (LUTRAM, BRAM, URAM, SPLIT)
    choices = ("table", "interpolated", "plan", "piecewise")
    assert tuple(map(ACTIVATIONS.index, choices)) == (TABLE, INTERPOLATED, PLAN, PIECEWISE)


@pytest.mark.parametrize(
    ("first", "second", "blocks"),
    [(9, 9, 0), (9, 10, 1), (27, 18, 1), (18, 27, 1), (28, 18, 2), (27, 19, 2), (28, 19, 3), (32, 32, 3), (55, 37, 8)],
)
def test_a_block_multiplies_27_by_18_bits(first: int, second: int, blocks: int) -> None:
    assert product_dsp(first, second) == product_dsp(second, first) == blocks


def test_only_narrow_products_take_luts() -> None:
    assert product_luts(8, 9) == pytest.approx(1.1 * 72)
    assert product_luts(9, 10) == 0


@pytest.mark.parametrize(
    ("changes", "units"),
    [
        ({}, 4 * 16),
        ({"mac_share": 3, "parallel_gates": 2, "engines": 3, "systolic_steps": 5}, 2 * 3 * 5 * 6),
        ({"mac_share": 99}, 4),
    ],
)
def test_multipliers(changes: dict[str, int], units: int) -> None:
    assert multipliers(COLUMNS, knobs(**changes)) == units


@pytest.mark.parametrize(
    ("has_dense", "changes", "blocks"),
    [
        (1, {"engines": 2, "elementwise_unroll": 3}, 2 * 64 + 3 * 3 + 2 * (11 + 13 + 17)),
        (0, {"accumulation": CASCADE, "weight_bits": 9, "state_bits": 9}, 11),
        (0, {"state_bits": 32}, 64 * 2 + 3 * 3 + 11 + 13),
        (1, {**FLOAT, "elementwise_unroll": 3}, 64 * 5 + 2 * 3 * 3 + 19 + 5),
        (0, {**FLOAT, "engines": 2}, 2 * 64 * 5 + 2 * 19),
        (1, {**FLOAT, "accumulation": CHAIN, "parallel_gates": 2}, 32 * 3 + 2 * 2 + 19 + 5),
    ],
)
def test_dsp(has_dense: int, changes: dict[str, int], blocks: int) -> None:
    c = coefficients(dsp_control=11, dsp_tree=13, dsp_dense=17, dsp_float_control=19)
    assert cell_dsp(COLUMNS, has_dense, knobs(**changes), c) == blocks


def test_resident_weights_need_room_for_every_layer() -> None:
    assert stored_words(LAYERS, COLUMNS, ROWS, knobs()) == 4 * 16 * 10
    resident = knobs(resident_weights=1)
    lstm = 4 * 10 * 16 + 2 * 4 * 3 * 16
    assert stored_words(LAYERS, COLUMNS, ROWS, resident) == lstm + 7 * 16
    assert stored_words((*LAYERS[:2], (DENSE, 5, 20, 7, 1)), COLUMNS, ROWS, resident) == lstm + 7 * 20


@pytest.mark.parametrize(
    ("changes", "copies"),
    [
        ({"weight_memory": LUTRAM}, (1, 0, 0)),
        ({"weight_memory": BRAM, "double_buffer": 1}, (0, 2, 0)),
        ({"weight_memory": URAM, "staged_weights": 1}, (0, 0, 2)),
        ({"weight_memory": SPLIT}, (1, 1, 0)),
    ],
)
def test_copies_of_the_weights(changes: dict[str, int], copies: tuple[int, ...]) -> None:
    assert tuple(copies_in(memory, knobs(**changes)) for memory in (LUTRAM, BRAM, URAM)) == copies


@pytest.mark.parametrize(("share", "per_column", "banks"), [(1, 0, 64), (3, 0, 4 * 6), (3, 1, 64), (99, 0, 4)])
def test_banks(share: int, per_column: int, banks: int) -> None:
    assert weight_bank_count(COLUMNS, knobs(mac_share=share, bank_per_column=per_column)) == banks


@pytest.mark.parametrize(
    ("depth", "bits", "bram18"),
    [(1024, 18, 1), (1025, 18, 2), (512, 19, 1), (513, 19, 2), (512, 36, 1), (512, 37, 2), (513, 37, 4)],
)
def test_every_bank_takes_whole_bram(depth: int, bits: int, bram18: int) -> None:
    assert bank_blocks(4 * depth, 4, bits) == 4 * bram18


@pytest.mark.parametrize(("depth", "bits", "uram"), [(4096, 72, 1), (4097, 72, 2), (4096, 73, 2), (4097, 73, 4)])
def test_every_bank_takes_whole_uram(depth: int, bits: int, uram: int) -> None:
    assert uram_blocks(4 * depth, 4, bits) == 4 * uram


@pytest.mark.parametrize(
    ("changes", "luts"),
    [
        ({"weight_bits": 12, "state_bits": 10}, 100 + 640 * 12 / 64 + 6 * 10 / 2),
        ({"staged_weights": 1}, 100 + 2 * 640 * 16 / 64 + 6 * 16 / 2),
        ({"weight_memory": BRAM}, 100 + 6 * 16 / 2),
        (FLOAT, 100 + 640 * 32 / 64 + 6 * 32 / 2 + 64 * 12),
    ],
)
def test_luts_as_memory(changes: dict[str, int], luts: float) -> None:
    c = coefficients(lutram_control=100, lutram_io_bit=0.5, lutram_float_mac=12)
    assert cell_lutram(640, COLUMNS, 6, knobs(**changes), c) == luts


@pytest.mark.parametrize(
    ("changes", "luts"),
    [
        ({}, 64 * (2 + 3) * 16),
        ({"accumulation": CASCADE, "weight_bits": 8, "state_bits": 9}, 64 * (2 * 8 + 1.1 * 72)),
        (SHARED, 16 * (2 + 3) * 16 + 4 * 16 * (16 + 16) / 4 + 2 * 7),
        ({**SHARED, "parallel_gates": 2, "state_bits": 12}, 8 * (2 + 3) * 16 + 2 * 16 * (16 + 12) / 4 + 2 * 7),
        (FLOAT, 64 * 50),
        ({**FLOAT, **SHARED}, 16 * 50 + 4 * 16 * (32 + 32) / 4 + 2 * 7),
    ],
)
def test_luts_of_logic(changes: dict[str, int], luts: float) -> None:
    c = coefficients(
        lut_control=1000, lut_fixed_mac_bit=2, lut_tree_mac_bit=3, lut_float_mac=50, lut_shared_bit=0.25,
        lut_elementwise=7, lut_port_bit=0.5,
    )  # fmt: skip
    assert cell_lut(COLUMNS, 64, knobs(**changes, memory_ports=3), c) == pytest.approx(1000 + luts + 3 * 64 / 2)


@pytest.mark.parametrize(
    ("changes", "flip_flops"),
    [
        ({}, 64 * (2 + 3) * 16),
        ({"accumulation": CASCADE, "staged_weights": 1, "weight_bits": 12}, 64 * 2 * 12 + 4 * 16 * 12 / 2),
        (SHARED, 16 * (2 + 3) * 16 + 4 * 16 * (16 + 16) / 4 + 2 * 7),
        ({**FLOAT, "double_buffer": 1}, 64 * 40 + 4 * 16 * 32 / 2),
        ({**FLOAT, **SHARED}, 16 * 40 + 4 * 16 * (32 + 32) / 4 + 2 * 7),
    ],
)
def test_flip_flops(changes: dict[str, int], flip_flops: float) -> None:
    c = coefficients(
        ff_control=500, ff_fixed_mac_bit=2, ff_tree_mac_bit=3, ff_float_mac=40, ff_shared_bit=0.25, ff_elementwise=7,
        ff_staged_bit=0.5,
    )  # fmt: skip
    assert cell_ff(COLUMNS, knobs(**changes), c) == 500 + flip_flops


@pytest.mark.parametrize(
    ("activation", "entries", "blocks"),
    [(TABLE, 1024, 3), (INTERPOLATED, 2048, 6), (TABLE, 16, 3), (PLAN, 1024, 0), (PIECEWISE, 1024, 0)],
)
def test_only_tables_take_blocks(activation: int, entries: int, blocks: int) -> None:
    found = table_blocks(knobs(activation=activation, table_entries=entries), coefficients(bram18_tables=3))
    assert found == blocks


def test_cells_side_by_side() -> None:
    assert count_lstm_cells(LAYERS, knobs()) == 1
    assert count_lstm_cells(LAYERS, knobs(layer_parallel=1)) == 2
    assert count_lstm_cells(LAYERS[2:], knobs(layer_parallel=1)) == 1


@pytest.mark.parametrize(
    ("layers", "memory", "bram18", "uram", "dense"), [(LAYERS, BRAM, 64, 0, 17), (LAYERS[:2], URAM, 0, 64, 0)]
)
def test_a_design_is_its_cells_and_its_ports(layers: Any, memory: int, bram18: int, uram: int, dense: int) -> None:
    c = coefficients(
        lut_control=1000, lutram_control=100, ff_control=500, bram18_control=9, bram18_port_bit=0.5, bram18_tables=3,
        dsp_control=11, dsp_dense=17,
    )  # fmt: skip
    changes = {"instances": 3, "layer_parallel": 1, "memory_ports": 5, "memory_bits": 64, "accumulation": CASCADE}
    found = usage(layers, 6, knobs(weight_memory=memory, **changes), c)
    cells = 2 * 3
    assert found.lutram == cells * 100
    assert found.lut == cells * (1000 + 100)
    assert found.ff == cells * 500
    assert found.bram18 == 9 + cells * (bram18 + 3) + 3 * 5 * 64 / 2
    assert found.uram == cells * uram
    assert found.dsp == cells * (64 + 3 + 11 + dense)


EXTENT = Extent(columns=16, rows=10, lstm_layers=2, most_steps=5, clock_max_hz=300e6)


@pytest.mark.parametrize(
    ("rule", "allowed", "refused"),
    [
        (0, {"mac_share": 16}, {"mac_share": 17}),
        (1, {"engines": 10}, {"engines": 11}),
        (2, {"elementwise_unroll": 10}, {"elementwise_unroll": 11}),
        (4, {"systolic_steps": 5}, {"systolic_steps": 6}),
        (5, {"layer_parallel": 1}, {"layer_parallel": 1, "systolic_steps": 2}),
        (6, {"memory_bits": 16}, {"memory_bits": 16, "weight_bits": 17}),
        (6, {"memory_bits": 32, "io_is_float": 1}, {"memory_bits": 16, "io_is_float": 1}),
        (7, {"memory_bits": 32, "widen_ports": 1}, {"memory_bits": 64, "widen_ports": 1}),
        (8, {"resident_weights": 1}, {"resident_weights": 1, "double_buffer": 1}),
        (8, {"double_buffer": 1}, {"resident_weights": 1, "staged_weights": 1}),
        (9, {"staged_weights": 1}, {"staged_weights": 1, "double_buffer": 1}),
        (10, {"widen_ports": 1}, {"widen_ports": 1, "resident_weights": 1}),
        (11, {"weight_memory": SPLIT}, {"weight_memory": SPLIT, "resident_weights": 1}),
        (13, {"bank_per_column": 1, "mac_share": 2}, {"bank_per_column": 1}),
        (14, {"burst_beats": 128, "memory_bits": 256}, {"burst_beats": 129, "memory_bits": 256}),
        (15, {"clock_hz": 300e6}, {"clock_hz": 301e6}),
    ],
)
def test_rules_at_their_bounds(rule: int, allowed: dict[str, int], refused: dict[str, int]) -> None:
    assert broken_rule(knobs(**allowed), 0, EXTENT) == -1
    assert broken_rule(knobs(**refused), 0, EXTENT) == rule, RULES[rule]


def test_rules_on_layers_and_tables() -> None:
    beside = knobs(layer_parallel=1)
    assert broken_rule(beside, 0, EXTENT._replace(lstm_layers=1)) == 3
    for activation, choice, rule in ((INTERPOLATED, 1, -1), (PLAN, 0, -1), (PLAN, 1, 12), (PIECEWISE, 2, 12)):
        assert broken_rule(knobs(activation=activation), choice, EXTENT) == rule
