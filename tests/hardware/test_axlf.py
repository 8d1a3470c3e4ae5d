import dataclasses
import random
import struct

import pytest
from designs import DESIGN, KERNEL

from lstmsim.errors import HardwareError
from lstmsim.hardware import axlf
from lstmsim.hardware.axlf import Connection, read_xclbin
from lstmsim.hardware.axlf_writer import xclbin_bytes
from lstmsim.hardware.axlf_xml import Argument, kernels_from_xml


def written(tmp_path, data):
    path = tmp_path / "design.xclbin"
    path.write_bytes(data)
    return path


def test_what_was_written_is_read(tmp_path):
    assert read_xclbin(written(tmp_path, xclbin_bytes(DESIGN))) == DESIGN


@pytest.mark.parametrize("mode", ["hw", "hw_emu", "sw_emu"])
def test_the_mode_is_kept(tmp_path, mode):
    assert read_xclbin(written(tmp_path, xclbin_bytes(dataclasses.replace(DESIGN, mode=mode)))).mode == mode


def test_the_kernel_runs_on_the_data_clock():
    assert DESIGN.clock_hz == 300e6
    assert dataclasses.replace(DESIGN, clocks=()).clock_hz is None


def test_an_unknown_kernel_names_those_that_are_there():
    assert DESIGN.kernel("copy") is KERNEL
    with pytest.raises(HardwareError, match=r"no kernel 'lstm'; kernels: copy"):
        DESIGN.kernel("lstm")


def test_banks_follow_the_connections():
    source, target, count = KERNEL.arguments
    assert [bank.index for bank in DESIGN.banks_of(KERNEL, source)] == [0]
    assert [bank.tag for bank in DESIGN.banks_of(KERNEL, target)] == ["HBM[1]"]
    with pytest.raises(HardwareError, match="no memory bank"):
        DESIGN.banks_of(KERNEL, count)


@pytest.mark.parametrize("bank", [2, 3, 1000])
def test_a_bank_that_is_not_in_use_is_refused(bank):
    wrong = dataclasses.replace(DESIGN, connections=(Connection(argument=0, unit=0, bank=bank),))
    with pytest.raises(HardwareError, match=f"bank {bank}"):
        wrong.banks_of(KERNEL, KERNEL.arguments[0])


def test_every_truncation_is_one_clear_error(tmp_path):
    data = xclbin_bytes(DESIGN)
    for length in [*range(0, 600, 7), *range(600, len(data), 97), len(data) - 1]:
        with pytest.raises(HardwareError, match=r"design\.xclbin"):
            read_xclbin(written(tmp_path, data[:length]))


def test_damage_gives_an_error_or_a_description(tmp_path):
    data, generator = xclbin_bytes(DESIGN), random.Random(5)
    refused = 0
    for _ in range(400):
        damaged = bytearray(data)
        for _ in range(generator.randint(1, 6)):
            damaged[generator.randrange(len(damaged))] = generator.choice([0, 1, 0x7F, 0x80, 0xFF])
        try:
            read_xclbin(written(tmp_path, bytes(damaged)))
        except HardwareError:
            refused += 1
    assert refused > 50


def test_a_huge_count_is_refused(tmp_path):
    data = bytearray(xclbin_bytes(DESIGN))
    struct.pack_into("<I", data, axlf.PREFIX.size + 144, 1 << 31)
    with pytest.raises(HardwareError, match="above the limit of 1024"):
        read_xclbin(written(tmp_path, bytes(data)))


def test_files_that_are_none_are_refused(tmp_path):
    with pytest.raises(HardwareError, match="No such file"):
        read_xclbin(tmp_path / "absent.xclbin")
    with pytest.raises(HardwareError, match="does not start"):
        read_xclbin(written(tmp_path, b"\x7fELF" + bytes(2000)))


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (b"<project", "not XML"),
        (b'<!DOCTYPE a [<!ENTITY b "c">]><project/>', "document type"),
        (b"<project><kernel/></project>", "without name"),
        (b'<p><kernel name="k"><arg id="1" name="a" addressQualifier="0" size="4"/></kernel></p>', "not numbered"),
        (b'<p><kernel name="k"><arg id="0" name="a" addressQualifier="9" size="4"/></kernel></p>', "qualifier"),
        (b'<p><kernel name="k"><arg id="0" name="a" addressQualifier="0" size="0"/></kernel></p>', "0 bytes"),
    ],
)
def test_wrong_metadata_is_refused(text, complaint):
    with pytest.raises(ValueError, match=complaint):
        kernels_from_xml(text)


@pytest.mark.parametrize(
    ("kind", "size", "limits"),
    [
        ("int", 4, (-(2**31), 2**31 - 1)),
        ("unsigned int", 4, (0, 2**32 - 1)),
        ("uint64_t", 8, (0, 2**64 - 1)),
        ("char", 1, (-128, 127)),
    ],
)
def test_limits_of_scalars_follow_from_their_types(kind, size, limits):
    argument = Argument(index=0, name="n", kind="scalar", type=kind, size_bytes=size)
    assert argument.limits == limits
    assert argument.is_integer
