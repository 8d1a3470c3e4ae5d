"""xclbin files (the axlf container): what a host must know of a kernel before it talks to it.

Layout after XRT's public header xclbin.h; every number is little-endian. Only the sections that describe the design
are read, never the bitstream. `axlf_writer` writes the same description back.
"""

from __future__ import annotations

import os
import struct
import uuid as uuids
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, BinaryIO, Literal, TypeVar

from lstmsim.errors import HardwareError
from lstmsim.hardware.axlf_xml import Argument, Kernel, kernels_from_xml

MAGIC = b"xclbin2\0"
PREFIX = struct.Struct("<8si28s256sQ")  # magic, signature length, reserved, key block, unique id
HEADER = struct.Struct("<QQQHBBHH16s64s16s16sI4x")
SECTION = struct.Struct("<I16s4xQQ")  # kind, name, offset, size
BANK = struct.Struct("<BB6xQQ16s")  # type, used, size in KiB, base address, tag
UNIT = struct.Struct("<IIQ64s")  # type, properties, base address, name
CONNECTION = struct.Struct("<iii")  # argument, index in the IP layout, index in the memory topology
CLOCK = struct.Struct("<HB5x128s")  # MHz, type, name

MAX_SECTIONS = 1024
MAX_ENTRIES = 65_536
METADATA_LIMIT_BYTES = 64 << 20
IP_KERNEL = 1


class SectionKind(IntEnum):
    """The sections of an xclbin that lstmsim reads or writes."""

    BITSTREAM = 0
    EMBEDDED_METADATA = 2
    MEM_TOPOLOGY = 6
    CONNECTIVITY = 7
    IP_LAYOUT = 8
    CLOCK_FREQ_TOPOLOGY = 11
    ASK_GROUP_TOPOLOGY = 26
    ASK_GROUP_CONNECTIVITY = 27


class MemoryType(IntEnum):
    """Kinds of memory banks."""

    DDR3 = 0
    DDR4 = 1
    DRAM = 2
    STREAMING = 3
    PREALLOCATED = 4
    AURORA = 5
    HBM = 6
    BRAM = 7
    URAM = 8
    STREAMING_CONNECTION = 9
    HOST = 10
    PS_KERNEL = 11


class ClockKind(IntEnum):
    """Kinds of clocks; the kernel runs on the data clock."""

    UNUSED = 0
    DATA = 1
    KERNEL = 2
    SYSTEM = 3


Mode = Literal["hw", "hw_emu", "sw_emu"]
_MODES: dict[int, Mode] = {0: "hw", 1: "hw", 2: "hw", 3: "hw", 4: "hw_emu", 5: "sw_emu", 6: "hw_emu"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Bank:
    """A memory bank; `index` is what a buffer is allocated in."""

    index: int
    tag: str
    kind: MemoryType
    used: bool
    size_bytes: int
    base_address: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ComputeUnit:
    """One copy of a kernel on the device; `name` is "kernel:copy"."""

    name: str
    base_address: int

    @property
    def kernel(self) -> str:
        """The name of its kernel."""
        return self.name.partition(":")[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """An argument (by index) of a compute unit (by index) reaches a bank (by index)."""

    argument: int
    unit: int
    bank: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """A clock of the design."""

    name: str
    kind: ClockKind
    frequency_hz: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Xclbin:
    """The description inside an xclbin. `xsa` is the platform that it was linked for."""

    uuid: uuids.UUID
    xsa: str
    mode: Mode
    banks: tuple[Bank, ...]
    units: tuple[ComputeUnit, ...]
    connections: tuple[Connection, ...]
    clocks: tuple[Clock, ...]
    kernels: tuple[Kernel, ...]

    def kernel(self, name: str) -> Kernel:
        """Return a kernel by name.

        Raises:
            HardwareError: no such kernel; those that there are, are named.
        """
        for kernel in self.kernels:
            if kernel.name == name:
                return kernel
        known = ", ".join(kernel.name for kernel in self.kernels) or "none"
        raise HardwareError(f"the xclbin has no kernel {name!r}; kernels: {known}")

    def copies_of(self, kernel: Kernel) -> tuple[str, ...]:
        """Return the names of a kernel's compute units, without the kernel's own."""
        return tuple(unit.name.partition(":")[2] for unit in self.units if unit.kernel == kernel.name)

    def banks_of(self, kernel: Kernel, argument: Argument, copy: str | None = None) -> tuple[Bank, ...]:
        """Return the banks that an argument reaches, from one copy of the kernel or from any.

        Raises:
            HardwareError: none, or one that is not there or not in use.
        """
        wanted = {f"{kernel.name}:{copy or name}" for name in self.copies_of(kernel)}
        units = {index for index, unit in enumerate(self.units) if unit.name in wanted}
        indices = sorted({c.bank for c in self.connections if c.unit in units and c.argument == argument.index})
        if not indices:
            raise HardwareError(f"the xclbin connects argument {argument.name!r} of {kernel.name!r} to no memory bank")
        for index in indices:
            if index >= len(self.banks) or not self.banks[index].used:
                raise HardwareError(
                    f"the xclbin connects argument {argument.name!r} of {kernel.name!r} to bank {index}, "
                    f"which is not one of its {sum(bank.used for bank in self.banks)} banks in use"
                )
        return tuple(self.banks[index] for index in indices)

    @property
    def clock_hz(self) -> float | None:
        """The kernel's clock; None where the file does not tell."""
        for kind in (ClockKind.DATA, ClockKind.KERNEL, ClockKind.SYSTEM):
            for clock in self.clocks:
                if clock.kind is kind:
                    return clock.frequency_hz
        return None


def read_xclbin(path: str | os.PathLike[str]) -> Xclbin:
    """Return the description inside an xclbin file.

    Raises:
        HardwareError: no such file, another format, or a truncated or damaged file.
    """
    name = os.fspath(path)
    try:
        with open(path, "rb") as stream:
            return _read(stream, os.fstat(stream.fileno()).st_size)
    except OSError as problem:
        raise HardwareError(f"cannot read {name!r}: {problem.strerror or problem}") from None
    except _Damaged as problem:
        raise HardwareError(f"{name!r} is not a usable xclbin: {problem}") from None


class _Damaged(Exception):
    """What is wrong with the file; `read_xclbin` adds its name."""


def _read(stream: BinaryIO, size: int) -> Xclbin:
    start = stream.read(PREFIX.size + HEADER.size)
    if not start.startswith(MAGIC):
        raise _Damaged("it does not start with 'xclbin2'")
    if len(start) < PREFIX.size + HEADER.size:
        raise _Damaged(f"it ends after {len(start)} bytes, inside the header")
    header = HEADER.unpack_from(start, PREFIX.size)
    mode, platform, identity, count = header[6], header[9], header[10], header[12]
    if header[0] > size:
        raise _Damaged(f"it holds {size:,} bytes of {header[0]:,}: copy it again")
    if mode not in _MODES:
        raise _Damaged(f"mode {mode} is unknown")
    sections = _Sections(stream, size, count)
    return Xclbin(
        uuid=uuids.UUID(bytes=identity),
        xsa=_text(platform),
        mode=_MODES[mode],
        banks=_entries(sections.either(SectionKind.ASK_GROUP_TOPOLOGY, SectionKind.MEM_TOPOLOGY), "<i4x", BANK, _bank),
        units=_entries(sections.get(SectionKind.IP_LAYOUT), "<i4x", UNIT, _unit),
        connections=_entries(
            sections.either(SectionKind.ASK_GROUP_CONNECTIVITY, SectionKind.CONNECTIVITY), "<i", CONNECTION, _connection
        ),
        clocks=_entries(sections.get(SectionKind.CLOCK_FREQ_TOPOLOGY), "<h", CLOCK, _clock),
        kernels=_kernels(sections.get(SectionKind.EMBEDDED_METADATA)),
    )


class _Sections:
    """The table of sections, and their contents on demand."""

    def __init__(self, stream: BinaryIO, size: int, count: int) -> None:
        if count > MAX_SECTIONS:
            raise _Damaged(f"{count} sections are above the limit of {MAX_SECTIONS}")
        table = stream.read(SECTION.size * count)
        if len(table) < SECTION.size * count:
            raise _Damaged("it ends inside the table of sections")
        self._stream = stream
        self._places: dict[int, tuple[int, int]] = {}
        for kind, _, offset, length in SECTION.iter_unpack(table):
            if offset + length > size:
                raise _Damaged(f"section {kind} reaches to byte {offset + length:,} of {size:,}")
            self._places.setdefault(kind, (offset, length))

    def get(self, kind: SectionKind) -> bytes:
        """Return a section's bytes; none where it is absent."""
        offset, length = self._places.get(kind, (0, 0))
        if length > METADATA_LIMIT_BYTES:
            raise _Damaged(f"section {kind.name} has {length:,} bytes, above the limit of {METADATA_LIMIT_BYTES:,}")
        self._stream.seek(offset)
        return self._stream.read(length)

    def either(self, first: SectionKind, second: SectionKind) -> bytes:
        """Return the first section of the two that is there: XRT numbers banks by the grouped one."""
        return self.get(first) or self.get(second)


Entry = TypeVar("Entry")


def _entries(
    data: bytes, count_format: str, form: struct.Struct, make: Callable[[int, tuple[Any, ...]], Entry]
) -> tuple[Entry, ...]:
    if not data:
        return ()
    start = struct.calcsize(count_format)
    if len(data) < start:
        raise _Damaged("a section ends before its count")
    (count,) = struct.unpack_from(count_format, data)
    if not 0 <= count <= MAX_ENTRIES or start + count * form.size > len(data):
        raise _Damaged(f"a section of {len(data)} bytes cannot hold {count} entries of {form.size}")
    packed = data[start : start + count * form.size]
    return tuple(_made(make, packed, form))


def _made(make: Callable[[int, tuple[Any, ...]], Entry], packed: bytes, form: struct.Struct) -> Iterator[Entry]:
    for index, values in enumerate(form.iter_unpack(packed)):
        try:
            yield make(index, values)
        except ValueError as problem:
            raise _Damaged(str(problem)) from None


def _bank(index: int, values: tuple[Any, ...]) -> Bank:
    kind, used, size_kib, base, tag = values
    return Bank(
        index=index,
        tag=_text(tag),
        kind=MemoryType(kind),
        used=bool(used),
        size_bytes=size_kib * 1024,
        base_address=base,
    )


def _unit(index: int, values: tuple[Any, ...]) -> ComputeUnit:
    return ComputeUnit(name=_text(values[3]), base_address=values[2])


def _connection(index: int, values: tuple[Any, ...]) -> Connection:
    if min(values) < 0:
        raise ValueError(f"a connection names a negative index: {values}")
    return Connection(argument=values[0], unit=values[1], bank=values[2])


def _clock(index: int, values: tuple[Any, ...]) -> Clock:
    return Clock(name=_text(values[2]), kind=ClockKind(values[1]), frequency_hz=values[0] * 1e6)


def _kernels(data: bytes) -> tuple[Kernel, ...]:
    try:
        return kernels_from_xml(data) if data else ()
    except ValueError as problem:
        raise _Damaged(str(problem)) from None


def _text(padded: bytes) -> str:
    return padded.partition(b"\0")[0].decode("utf-8", errors="replace")
