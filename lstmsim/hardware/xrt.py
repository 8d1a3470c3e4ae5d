"""Boards through XRT: the only place that talks to pyxrt (or to our own binding of XRT's library).

Written for what XRT 2.12 to 2.18 have in common: the access mode of a kernel is always given, `sync` has its size and
offset, `wait` its milliseconds, scalars are int32. pyxrt drops wrong arguments without a word, so every call is
checked against the xclbin's own description first.
"""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from lstmsim.errors import HardwareError
from lstmsim.hardware.axlf import Xclbin, read_xclbin
from lstmsim.hardware.axlf_xml import Argument

INT32 = (-(1 << 31), (1 << 31) - 1)
SLICE_MS = 100
"""One call of pyxrt's `wait`, which holds the interpreter: short, so that Ctrl-C and time limits are seen."""

PROBE_LIMIT_S = 60.0
_COMPLETED = 4
_UNDER_WAY = {1, 2, 3, 7, 8}  # new, queued, running, submitted, and a wait that timed out
_INSTALL = (
    "XRT is not installed: install the XRT package of your board, which brings pyxrt, or its library alone "
    "(Debian: apt-get install libxrt1); --target emulate needs neither"
)


def load_runtime() -> Any:
    """Return pyxrt, or a module of ours with the same classes over XRT's library.

    Raises:
        HardwareError: neither is installed.
    """
    try:
        import pyxrt
    except ImportError:
        from lstmsim.hardware import xrt_ctypes

        if xrt_ctypes.is_available():
            return xrt_ctypes
        raise HardwareError(_INSTALL) from None
    return pyxrt


def probe(device: int | str, *, limit_s: float = PROBE_LIMIT_S) -> None:
    """Open a board in another process first: XRT aborts the process where it is not set up.

    Raises:
        HardwareError: no XRT, no such board, an unusable environment, or no answer in time.
    """
    load_runtime()
    program = f"from lstmsim.hardware.xrt import load_runtime; load_runtime().device({device!r})"
    try:
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=limit_s)
    except subprocess.TimeoutExpired:
        raise HardwareError(f"board {device} did not open within {limit_s:g} s: reset it (xbutil reset)") from None
    if done.returncode == 0:
        return
    said = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    raise HardwareError(
        f"XRT cannot open board {device} ({said[-1] if said else f'exit code {done.returncode}'}): "
        "source XRT's setup.sh, so that XILINX_XRT is set, and see what `xbutil examine` lists"
    )


def run_mode(description: Xclbin) -> str:
    """Return where a kernel of this xclbin runs: "hw" on a board, else the kind of emulation."""
    return os.environ.get("XCL_EMULATION_MODE") or description.mode


class Buffer:
    """Memory on the board for one argument, with its copy on the host."""

    def __init__(self, runtime: Any, device: Any, size_bytes: int, bank: int) -> None:
        self.size_bytes, self.bank = size_bytes, bank
        self._directions = runtime.xclBOSyncDirection
        self.handle = runtime.bo(device, size_bytes, runtime.bo.normal, bank)

    def write(self, data: bytes) -> None:
        """Move bytes to the start of the buffer on the board.

        Raises:
            HardwareError: more bytes than the buffer has.
        """
        if len(data) > self.size_bytes:
            raise HardwareError(f"{len(data):,} bytes do not fit a buffer of {self.size_bytes:,}")
        self.handle.write(data, 0)
        self.handle.sync(self._directions.XCL_BO_SYNC_BO_TO_DEVICE, self.size_bytes, 0)

    def read(self, size_bytes: int) -> bytes:
        """Return bytes from the start of the buffer on the board.

        Raises:
            HardwareError: more bytes than the buffer has.
        """
        if size_bytes > self.size_bytes:
            raise HardwareError(f"{size_bytes:,} bytes are more than a buffer of {self.size_bytes:,} has")
        self.handle.sync(self._directions.XCL_BO_SYNC_BO_FROM_DEVICE, self.size_bytes, 0)
        return memoryview(self.handle.read(size_bytes, 0)).tobytes()

    def release(self) -> None:
        """Give the memory back: the runtime frees it with the last reference."""
        self.handle = None


class Board:
    """An xclbin on a board. Use it in a `with` block: its end releases buffers, kernels and the board.

    Raises:
        HardwareError: an unusable xclbin, an unknown kernel, or a board that refuses it.
    """

    def __init__(self, runtime: Any, path: str, *, kernel: str, device: int | str = 0) -> None:
        self.description = read_xclbin(path)
        self.kernel = self.description.kernel(kernel)
        self.clock: Callable[[], float] = getattr(runtime, "clock", time.perf_counter)
        self.mode: str = getattr(runtime, "mode", None) or run_mode(self.description)
        self.runtime = runtime
        self._buffers: list[Buffer] = []
        self._units: list[Unit] = []
        self._device = _attempt(f"opening board {device}", lambda: runtime.device(device))
        self._uuid = _attempt(f"loading {path!r}", lambda: self._device.load_xclbin(path))
        if self._uuid.to_string() != str(self.description.uuid):
            raise HardwareError(f"the board holds xclbin {self._uuid.to_string()}, not {self.description.uuid}")

    def __enter__(self) -> Board:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def unit(self, copy: str) -> Unit:
        """Return one copy of the kernel, ready to be called."""
        name = f"{self.kernel.name}:{{{copy}}}"
        shared = self.runtime.kernel.shared
        handle = _attempt(
            f"opening kernel {name!r}", lambda: self.runtime.kernel(self._device, self._uuid, name, shared)
        )
        unit = Unit(self, copy, handle)
        self._units.append(unit)
        return unit

    def allocate(self, unit: Unit, name: str, size_bytes: int) -> Buffer:
        """Return a buffer for an argument of a copy of the kernel, in the bank that the argument reaches.

        Raises:
            HardwareError: no such buffer argument, a bank that is too small, or no memory left.
        """
        argument = unit.argument(name, "buffer")
        banks = self.description.banks_of(self.kernel, argument, unit.copy)
        bank = unit.bank(argument)
        fitting = [one for one in banks if one.index == bank]
        if not fitting:
            known = ", ".join(str(one.index) for one in banks)
            raise HardwareError(f"XRT puts argument {name!r} into bank {bank}, but the xclbin connects it to {known}")
        if not 1 <= size_bytes <= fitting[0].size_bytes:
            raise HardwareError(
                f"{size_bytes:,} bytes for {name!r} are outside 1..{fitting[0].size_bytes:,}, "
                f"the size of bank {fitting[0].tag}"
            )
        what = f"allocating {size_bytes:,} bytes in bank {fitting[0].tag}"
        buffer: Buffer = _attempt(what, lambda: Buffer(self.runtime, self._device, size_bytes, bank))
        self._buffers.append(buffer)
        return buffer

    def free(self, buffer: Buffer) -> None:
        """Release one buffer before the board is closed."""
        buffer.release()
        self._buffers.remove(buffer)

    def close(self) -> None:
        """Release buffers, kernels and the board, in this order."""
        for buffer in self._buffers:
            buffer.release()
        for unit in self._units:
            unit.release()
        self._buffers, self._units, self._device = [], [], None
        gc.collect()  # frames of an exception can still hold a buffer


class Unit:
    """One copy of the kernel on the board."""

    def __init__(self, board: Board, copy: str, handle: Any) -> None:
        self._board, self.copy, self._handle = board, copy, handle
        self._run: Any = None
        self._places = {argument.name: argument for argument in board.kernel.arguments}

    def argument(self, name: str, kind: str) -> Argument:
        """Return an argument by name.

        Raises:
            HardwareError: no such argument, or it is of another kind.
        """
        argument = self._places.get(name)
        if argument is None:
            known = ", ".join(self._places)
            raise HardwareError(f"kernel {self._board.kernel.name!r} has no argument {name!r}; arguments: {known}")
        if argument.kind != kind:
            raise HardwareError(f"argument {name!r} of {self._board.kernel.name!r} is a {argument.kind}, not a {kind}")
        return argument

    def bank(self, argument: Argument) -> int:
        """Return the bank that XRT has for an argument."""
        return int(_attempt(f"asking for the bank of {argument.name!r}", lambda: self._handle.group_id(argument.index)))

    def prepare(self, values: Mapping[str, Buffer | int]) -> None:
        """Set every argument of the call, after checking that all are there and fit.

        Raises:
            HardwareError: a missing or unknown argument, one of the wrong kind or out of range, a buffer in a bank
                that the argument does not reach.
        """
        missing = [name for name in self._places if name not in values]
        if missing:
            raise HardwareError(f"the call of {self._board.kernel.name!r} lacks argument {missing[0]!r}")
        checked = [self._checked(name, value) for name, value in values.items()]
        if self._run is None:
            self._run = _attempt("making a run", lambda: self._board.runtime.run(self._handle))
        for index, value in checked:
            _attempt(f"setting argument {index}", partial(self._run.set_arg, index, value))

    def start(self) -> None:
        """Start the kernel with the arguments prepared."""
        _attempt("starting the kernel", self._run.start)

    def wait(self, limit_s: float) -> None:
        """Wait until the kernel has ended.

        Raises:
            HardwareError: it failed, or did not end within `limit_s` seconds.
        """
        end = time.monotonic() + limit_s
        while True:
            state = int(_attempt("waiting for the kernel", lambda: self._run.wait(SLICE_MS)))
            if state == _COMPLETED:
                return
            if state not in _UNDER_WAY:
                raise HardwareError(f"the kernel ended in state {state} of XRT (4 is completed)")
            if time.monotonic() > end:
                raise HardwareError(f"the kernel did not end within {limit_s:g} s: reset the board (xbutil reset)")

    def release(self) -> None:
        """Give the kernel back."""
        self._run = self._handle = None

    def _checked(self, name: str, value: Buffer | int) -> tuple[int, Any]:
        if isinstance(value, Buffer):
            argument = self.argument(name, "buffer")
            if value.handle is None:
                raise HardwareError(f"the buffer for {name!r} was released")
            if value.bank != self.bank(argument):
                raise HardwareError(
                    f"the buffer for {name!r} lies in bank {value.bank}, but the argument reaches bank "
                    f"{self.bank(argument)}"
                )
            return argument.index, value.handle
        argument = self.argument(name, "scalar")
        if isinstance(value, bool) or not isinstance(value, int) or not argument.is_integer:
            raise HardwareError(f"argument {name!r} = {value!r} is not an integer, which is all that can be passed")
        low, high = max(argument.limits[0], INT32[0]), min(argument.limits[1], INT32[1])
        if not low <= value <= high:
            raise HardwareError(f"argument {name!r} = {value} is outside {low}..{high}")
        return argument.index, value


def _attempt(what: str, action: Callable[[], Any]) -> Any:
    """Return what `action` returns; XRT's errors become one line."""
    try:
        return action()
    except (RuntimeError, OSError, MemoryError) as problem:
        if isinstance(problem, HardwareError):
            raise
        text = " ".join(str(problem).split())
        raise HardwareError(f"{what}: {text or type(problem).__name__}") from None
