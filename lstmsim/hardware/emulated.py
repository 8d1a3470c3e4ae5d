"""A board in this process: pyxrt's classes over the bit-accurate simulator and the cycle model.

Memory on the board is apart from its copy on the host, weights are read back from the words that the host moved, and
the clock is the model's: code that forgets to move a buffer, packs a word wrongly or waits too short fails here too.
"""

from __future__ import annotations

import enum
import uuid as uuids
from dataclasses import dataclass, field
from typing import Any

from lstmsim.config import KernelConfig
from lstmsim.device import FpgaDevice
from lstmsim.errors import HardwareError
from lstmsim.estimate import estimate
from lstmsim.hardware import emulated_kernel
from lstmsim.hardware.axlf import Bank, Clock, ClockKind, ComputeUnit, Connection, MemoryType, Xclbin, read_xclbin
from lstmsim.hardware.axlf_xml import Argument, Kernel
from lstmsim.hls.boards import KERNEL
from lstmsim.network import Network

MODE = "emulate"
BANK_BYTES = 256 << 20
INT32 = (-(1 << 31), (1 << 31) - 1)


def design_of(network: Network, config: KernelConfig, device: FpgaDevice) -> Xclbin:
    """Return the xclbin description of a kernel that was never built: a bank for every port."""
    buffers = [*(f"weights{port}" for port in range(config.memory_ports)), "inputs", "outputs", "digest"]
    arguments = [_argument(index, name, "buffer") for index, name in enumerate(buffers)]
    arguments += [_argument(len(buffers) + k, name, "scalar") for k, name in enumerate(("batch", "load_weights"))]
    copies = tuple(f"{KERNEL}_{number}" for number in range(1, config.instances + 1))
    clock_hz = config.clock_hz or device.clock_hz
    name = f"{network.name} {config.digest} {device.name} {clock_hz:g}"
    return Xclbin(
        uuid=uuids.uuid5(uuids.NAMESPACE_URL, f"lstmsim emulated {name}"),
        xsa=f"emulated_{device.name}",
        mode="sw_emu",
        banks=tuple(_bank(index) for index in range(len(buffers) * config.instances)),
        units=tuple(ComputeUnit(name=f"{KERNEL}:{copy}", base_address=k << 16) for k, copy in enumerate(copies)),
        connections=tuple(
            Connection(argument=index, unit=unit, bank=unit * len(buffers) + index)
            for unit in range(config.instances)
            for index in range(len(buffers))
        ),
        clocks=(Clock(name="DATA_CLK", kind=ClockKind.DATA, frequency_hz=clock_hz),),
        kernels=(Kernel(name=KERNEL, arguments=tuple(arguments), instances=copies),),
    )


def _argument(index: int, name: str, kind: Any) -> Argument:
    buffer = kind == "buffer"
    return Argument(index=index, name=name, kind=kind, type="int*" if buffer else "int", size_bytes=8 if buffer else 4)


def _bank(index: int) -> Bank:
    return Bank(
        index=index,
        tag=f"HBM[{index}]",
        kind=MemoryType.HBM,
        used=True,
        size_bytes=BANK_BYTES,
        base_address=index * BANK_BYTES,
    )


class xclBOSyncDirection(enum.IntEnum):  # noqa: N801 - pyxrt's name, like those below
    """Directions of `bo.sync`."""

    XCL_BO_SYNC_BO_TO_DEVICE = 0
    XCL_BO_SYNC_BO_FROM_DEVICE = 1


class State(enum.IntEnum):
    """States of a run, those of XRT that occur here."""

    NEW = 1
    RUNNING = 3
    COMPLETED = 4
    TIMEOUT = 8


@dataclass(slots=True, kw_only=True)
class Design:
    """What the emulated board is built of, and its clock.

    `silent` makes a kernel that never ends; `digest` is written back instead of the configuration's own.
    """

    network: Network
    config: KernelConfig
    device: FpgaDevice
    silent: bool = False
    digest: str | None = None
    now_s: float = 0.0
    allocated: set[int] = field(default_factory=set)
    known_outputs: dict[bytes, bytes] = field(default_factory=dict)
    _known_s: dict[int, float] = field(default_factory=dict)

    def call_s(self, count: int) -> float:
        """Return the seconds that the cycle model gives a call in which every copy gets `count` samples."""
        if count not in self._known_s:
            batch = max(1, count) * self.config.instances
            self._known_s[count] = estimate(self.network, self.device, self.config, batch=batch).latency_s
        return self._known_s[count]


class EmulatedRuntime:
    """Stands for the module pyxrt; `clock` is the board's own."""

    mode = MODE

    def __init__(self, design: Design) -> None:
        self.design = design
        self.kernel, self.bo, self.run = kernel, bo, run
        self.xclBOSyncDirection = xclBOSyncDirection

    def clock(self) -> float:
        """Return the board's time in seconds."""
        return self.design.now_s

    def device(self, index: int | str = 0) -> device:
        """Open the board."""
        return device(self.design)


class _Identity:
    def __init__(self, value: uuids.UUID) -> None:
        self._value = value

    def to_string(self) -> str:
        return str(self._value)


class device:  # noqa: N801
    """The board."""

    def __init__(self, design: Design) -> None:
        self.design = design
        self.xclbin: Xclbin | None = None

    def load_xclbin(self, path: str) -> _Identity:
        """Take the description of an xclbin file."""
        try:
            self.xclbin = read_xclbin(path)
        except HardwareError as problem:
            raise RuntimeError(str(problem)) from None
        return _Identity(self.xclbin.uuid)


class kernel:  # noqa: N801
    """One copy of the kernel."""

    shared = 1

    def __init__(self, board: device, identity: _Identity, name: str, mode: int) -> None:
        self.board, self.design = board, board.design
        base, _, copy = name.partition(":")
        self.copy = copy.strip("{}")
        description = _loaded(board)
        if base not in {one.name for one in description.kernels} or self.copy not in description.kernel(base).instances:
            raise RuntimeError(f"No such kernel '{name}'")
        self.description = description.kernel(base)

    def group_id(self, index: int) -> int:
        """Return the bank of an argument."""
        banks = _loaded(self.board).banks_of(self.description, self.description.arguments[index], self.copy)
        return banks[0].index


class bo:  # noqa: N801
    """A buffer: its memory on the board, and the host's copy."""

    normal = 0

    def __init__(self, board: device, size: int, kind: int, group: int) -> None:
        if group >= len(_loaded(board).banks):
            raise RuntimeError(f"no memory bank {group}")
        self.group, self._design = group, board.design
        self.host, self.memory = bytearray(size), bytearray(size)
        self._design.allocated.add(id(self))

    def __del__(self) -> None:
        if hasattr(self, "_design"):
            self._design.allocated.discard(id(self))

    def write(self, data: Any, seek: int) -> None:
        """Copy bytes to the host's copy."""
        view = memoryview(data).cast("B")
        if seek + len(view) > len(self.host):
            raise RuntimeError("bad buffer write: out of range")
        self.host[seek : seek + len(view)] = view

    def read(self, size: int, skip: int) -> bytes:
        """Return bytes of the host's copy."""
        return bytes(self.host[skip : skip + size])

    def sync(self, direction: int, size: int, offset: int) -> None:
        """Move bytes between the board and the host's copy."""
        source, target = (self.host, self.memory) if direction == 0 else (self.memory, self.host)
        target[offset : offset + size] = source[offset : offset + size]


class run:  # noqa: N801
    """One execution of a kernel, that can be repeated."""

    def __init__(self, of: kernel) -> None:
        self._kernel, self._design = of, of.design
        self._values: dict[int, Any] = {}
        self._ends_s = 0.0
        self._state = State.NEW

    def set_arg(self, index: int, value: Any) -> None:
        """Set a buffer or an int32 scalar."""
        argument = self._kernel.description.arguments[index]
        if isinstance(value, bo):
            if argument.kind != "buffer" or value.group != self._kernel.group_id(index):
                raise RuntimeError(f"buffer for argument {index} is in the wrong place")
        elif argument.kind != "scalar" or not INT32[0] <= value <= INT32[1]:
            raise RuntimeError(f"argument {index} is no int32 scalar")
        self._values[index] = value

    def start(self) -> None:
        """Compute at once; the result is there when the model's time is over."""
        arguments = self._kernel.description.arguments
        values = {one.name: self._values[one.index] for one in arguments}
        self._state = State.RUNNING
        memory: dict[str, Any] = {n: v.memory if isinstance(v, bo) else v for n, v in values.items()}
        design = self._design
        known = design.known_outputs
        emulated_kernel.execute(design.network, design.config, memory, digest=design.digest, known=known)
        self._ends_s = design.now_s + design.call_s(memory["batch"])

    def wait(self, timeout_ms: int) -> State:
        """Let the board's time pass until the kernel has ended, so many milliseconds at most."""
        limit_s = self._design.now_s + timeout_ms / 1e3
        if self._design.silent or self._ends_s > limit_s:
            self._design.now_s = limit_s
            return State.TIMEOUT
        self._design.now_s = max(self._design.now_s, self._ends_s)
        self._state = State.COMPLETED
        return self._state

    def state(self) -> State:
        """Return the run's state."""
        return self._state


def _loaded(board: device) -> Xclbin:
    if board.xclbin is None:
        raise RuntimeError("no xclbin is loaded")
    return board.xclbin
