"""Writes xclbin files that XRT loads: for its emulation modes and for our tests, with no bitstream in them."""

from __future__ import annotations

import struct

from lstmsim.hardware.axlf import (
    BANK,
    CLOCK,
    CONNECTION,
    HEADER,
    IP_KERNEL,
    MAGIC,
    PREFIX,
    SECTION,
    UNIT,
    Mode,
    SectionKind,
    Xclbin,
)
from lstmsim.hardware.axlf_xml import kernels_to_xml

VERSION = (2, 13)
NO_BITSTREAM = b"no bitstream"
NO_SIGNATURE = -1
_MODE_CODES: dict[Mode, int] = {"hw": 0, "hw_emu": 4, "sw_emu": 5}
_AP_CTRL_CHAIN = 1 << 8


def xclbin_bytes(xclbin: Xclbin) -> bytes:
    """Return an xclbin file; `axlf.read_xclbin` gives the same description back.

    Names above their field's width are cut, clocks are whole MHz and banks whole KiB, as the format has them.
    """
    sections = _sections(xclbin)
    place = _aligned(PREFIX.size + HEADER.size + SECTION.size * len(sections))
    table, body = b"", b""
    for kind, data in sections:
        body += bytes(_aligned(len(body)) - len(body))
        table += SECTION.pack(kind, kind.name.encode()[:15], place + len(body), len(data))
        body += data
    prefix = PREFIX.pack(MAGIC, NO_SIGNATURE, b"\xff" * 28, b"", 0)
    front = prefix + _header(xclbin, place + len(body), len(sections)) + table
    return front + bytes(place - len(front)) + body


def _sections(xclbin: Xclbin) -> list[tuple[SectionKind, bytes]]:
    banks = struct.pack("<i4x", len(xclbin.banks)) + b"".join(
        BANK.pack(bank.kind, bank.used, bank.size_bytes // 1024, bank.base_address, _name(bank.tag, 16))
        for bank in xclbin.banks
    )
    units = struct.pack("<i4x", len(xclbin.units)) + b"".join(
        UNIT.pack(IP_KERNEL, _AP_CTRL_CHAIN, unit.base_address, _name(unit.name, 64)) for unit in xclbin.units
    )
    connections = struct.pack("<i", len(xclbin.connections)) + b"".join(
        CONNECTION.pack(one.argument, one.unit, one.bank) for one in xclbin.connections
    )
    clocks = struct.pack("<h", len(xclbin.clocks)) + b"".join(
        CLOCK.pack(round(clock.frequency_hz / 1e6), clock.kind, _name(clock.name, 128)) for clock in xclbin.clocks
    )
    metadata = kernels_to_xml(xclbin.kernels, platform=xclbin.xsa, clock_hz=xclbin.clock_hz)
    return [
        (SectionKind.BITSTREAM, NO_BITSTREAM),
        (SectionKind.MEM_TOPOLOGY, banks),
        (SectionKind.ASK_GROUP_TOPOLOGY, banks),
        (SectionKind.IP_LAYOUT, units),
        (SectionKind.CONNECTIVITY, connections),
        (SectionKind.ASK_GROUP_CONNECTIVITY, connections),
        (SectionKind.CLOCK_FREQ_TOPOLOGY, clocks),
        (SectionKind.EMBEDDED_METADATA, metadata),
    ]


def _header(xclbin: Xclbin, size: int, sections: int) -> bytes:
    mode = _MODE_CODES[xclbin.mode]
    name = _name(xclbin.xsa, 64)
    return HEADER.pack(size, 0, 0, 0, *VERSION, mode, 0, b"", name, xclbin.uuid.bytes, b"", sections)


def _aligned(place: int) -> int:
    return -(-place // 8) * 8


def _name(text: str, width: int) -> bytes:
    return text.encode()[: width - 1]
