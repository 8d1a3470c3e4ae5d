"""Where the entries of the activation tables are exact."""

from __future__ import annotations

import math

import numpy as np
import pytest

from lstmsim.config import KernelConfig
from lstmsim.fixedpoint import FixedFormat
from lstmsim.quantise import activation_tables

RANGE = 8
FUNCTIONS = {"sigmoid": lambda x: 1 / (1 + math.exp(-x)), "tanh": math.tanh}


def narrow(fractional_bits: int) -> FixedFormat:
    return FixedFormat(width_bits=16, integer_bits=16 - fractional_bits)


def tables_of(state_bits: int, cell_bits: int, size: int):
    return activation_tables(
        KernelConfig(state_format=narrow(state_bits), cell_format=narrow(cell_bits), activation_table_size=size)
    )


@pytest.mark.parametrize("size", [256, 1024])
@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("bits", [2, 4, 6, 8, 10])
def test_entries(function, bits, size):
    entry = 2 * RANGE / size
    edge = 0.0 if 2.0**-bits >= entry else 0.5
    wanted = [FUNCTIONS[function]((k - size // 2 + edge) * entry) for k in range(size)]
    table = getattr(tables_of(bits, bits, size), function)
    assert table.tolist() == [round(value * 2**bits) for value in wanted]


@pytest.mark.parametrize(("state_bits", "cell_bits"), [(6, 10), (10, 6)])
def test_tanh_follows_the_coarser_of_its_two_readers(state_bits, cell_bits):
    tanh = tables_of(state_bits, cell_bits, 1024).tanh
    assert tanh[512] == 0
    assert np.array_equal(tanh[513:], -tanh[511:0:-1])
