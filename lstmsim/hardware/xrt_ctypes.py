"""pyxrt's classes over XRT's C interface, for systems that have libxrt_coreutil without pyxrt (as Debian's package).

Names and arguments are pyxrt's, as far as the host code here uses them; see `xrt.py` for what is portable between
XRT 2.12 and 2.18. Errors are RuntimeError, as pyxrt raises them. Every call of XRT releases the interpreter lock.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import enum
import os
import uuid as uuids
from functools import cache
from typing import Any

LIBRARY = "libxrt_coreutil.so.2"
_Handle = ctypes.c_void_p
_Identity = ctypes.c_ubyte * 16
_INVALID = ctypes.c_uint64(-1).value

XCL_BO_FLAGS_NONE = 0

_SIGNATURES: dict[str, tuple[Any, list[Any]]] = {
    "xrtDeviceOpen": (_Handle, [ctypes.c_uint]),
    "xrtDeviceOpenByBDF": (_Handle, [ctypes.c_char_p]),
    "xrtDeviceClose": (ctypes.c_int, [_Handle]),
    "xrtDeviceLoadXclbinFile": (ctypes.c_int, [_Handle, ctypes.c_char_p]),
    "xrtDeviceGetXclbinUUID": (ctypes.c_int, [_Handle, _Identity]),
    "xrtPLKernelOpen": (_Handle, [_Handle, _Identity, ctypes.c_char_p]),
    "xrtPLKernelOpenExclusive": (_Handle, [_Handle, _Identity, ctypes.c_char_p]),
    "xrtKernelClose": (ctypes.c_int, [_Handle]),
    "xrtKernelArgGroupId": (ctypes.c_int, [_Handle, ctypes.c_int]),
    "xrtBOAlloc": (_Handle, [_Handle, ctypes.c_size_t, ctypes.c_uint64, ctypes.c_uint32]),
    "xrtBOFree": (ctypes.c_int, [_Handle]),
    "xrtBOSize": (ctypes.c_size_t, [_Handle]),
    "xrtBOAddress": (ctypes.c_uint64, [_Handle]),
    "xrtBOSync": (ctypes.c_int, [_Handle, ctypes.c_int, ctypes.c_size_t, ctypes.c_size_t]),
    "xrtBOWrite": (ctypes.c_int, [_Handle, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t]),
    "xrtBORead": (ctypes.c_int, [_Handle, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t]),
    "xrtRunOpen": (_Handle, [_Handle]),
    "xrtRunClose": (ctypes.c_int, [_Handle]),
    "xrtRunStart": (ctypes.c_int, [_Handle]),
    "xrtRunState": (ctypes.c_int, [_Handle]),
    "xrtRunWaitFor": (ctypes.c_int, [_Handle, ctypes.c_uint]),
    "xrtRunSetArg": (ctypes.c_int, [_Handle, ctypes.c_int]),  # and one more, by the argument's type
}


@cache
def _library() -> ctypes.CDLL:
    library = ctypes.CDLL(_path(), mode=ctypes.RTLD_GLOBAL)
    for name, (result, arguments) in _SIGNATURES.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


def _path() -> str:
    """Return XRT's library of the installation that XILINX_XRT names, else the system's."""
    folder = os.environ.get("XILINX_XRT")
    candidate = os.path.join(folder, "lib", LIBRARY) if folder else ""
    return candidate if candidate and os.path.exists(candidate) else LIBRARY


def is_available() -> bool:
    """Return whether XRT's library can be loaded."""
    try:
        _library()
    except (OSError, AttributeError):
        return False
    return True


def _handle(value: int | None, what: str) -> int:
    if value is None or value == _INVALID:
        raise RuntimeError(f"{what} failed")
    return value


def _done(code: int, what: str) -> None:
    if code:
        raise RuntimeError(f"{what} failed (code {code})")


class xclBOSyncDirection(enum.IntEnum):  # noqa: N801 - pyxrt's name, like those below
    """Directions of `bo.sync`."""

    XCL_BO_SYNC_BO_TO_DEVICE = 0
    XCL_BO_SYNC_BO_FROM_DEVICE = 1


class ert_cmd_state(enum.IntEnum):  # noqa: N801
    """States of a run."""

    ERT_CMD_STATE_NEW = 1
    ERT_CMD_STATE_QUEUED = 2
    ERT_CMD_STATE_RUNNING = 3
    ERT_CMD_STATE_COMPLETED = 4
    ERT_CMD_STATE_ERROR = 5
    ERT_CMD_STATE_ABORT = 6
    ERT_CMD_STATE_SUBMITTED = 7
    ERT_CMD_STATE_TIMEOUT = 8
    ERT_CMD_STATE_NORESPONSE = 9
    ERT_CMD_STATE_SKERROR = 10
    ERT_CMD_STATE_SKCRASHED = 11


class _Owned:
    """A handle of XRT's, closed once: on `_close` or when the object goes."""

    _closer = ""
    _handle: int | None = None

    def _close(self) -> None:
        handle, self._handle = self._handle, None
        if handle is not None:
            getattr(_library(), self._closer)(handle)

    def __del__(self) -> None:
        self._close()


class uuid:  # noqa: N801
    """The identity of an xclbin."""

    def __init__(self, text: str) -> None:
        self.raw = _Identity(*uuids.UUID(text).bytes)

    def to_string(self) -> str:
        """Return the identity as text."""
        return str(uuids.UUID(bytes=bytes(self.raw)))


class device(_Owned):  # noqa: N801
    """A board, by index or by PCIe address ("0000:65:00.1")."""

    _closer = "xrtDeviceClose"

    def __init__(self, which: int | str = 0) -> None:
        library = _library()
        opened = library.xrtDeviceOpen(which) if isinstance(which, int) else library.xrtDeviceOpenByBDF(which.encode())
        self._handle = _handle(opened, f"opening device {which}")

    def load_xclbin(self, path: str) -> uuid:
        """Program the board and return the identity of what it holds now."""
        _done(_library().xrtDeviceLoadXclbinFile(self._handle, os.fspath(path).encode()), f"loading {path}")
        return self.get_xclbin_uuid()

    def get_xclbin_uuid(self) -> uuid:
        """Return the identity of the xclbin on the board."""
        raw = _Identity()
        _done(_library().xrtDeviceGetXclbinUUID(self._handle, raw), "reading the xclbin's uuid")
        return uuid(str(uuids.UUID(bytes=bytes(raw))))


class kernel(_Owned):  # noqa: N801
    """A kernel of the xclbin on a board: "name" or "name:{copy}"."""

    class cu_access_mode(enum.IntEnum):  # noqa: N801
        """Whether other processes may use the kernel at the same time."""

        exclusive = 0
        shared = 1
        none = 2

    exclusive, shared, none = cu_access_mode
    _closer = "xrtKernelClose"

    def __init__(self, board: device, identity: uuid, name: str, mode: int = cu_access_mode.exclusive) -> None:
        self._board = board  # must outlive the kernel
        library = _library()
        opening = library.xrtPLKernelOpenExclusive if mode == self.exclusive else library.xrtPLKernelOpen
        self._handle = _handle(opening(board._handle, identity.raw, name.encode()), f"opening kernel {name!r}")

    def group_id(self, argument: int) -> int:
        """Return the memory bank of an argument."""
        group: int = _library().xrtKernelArgGroupId(self._handle, argument)
        if group < 0:
            raise RuntimeError(f"argument {argument} has no memory bank")
        return group


class bo(_Owned):  # noqa: N801
    """A buffer on a board, with its copy in host memory."""

    class flags(enum.IntFlag):  # noqa: N801
        """Kinds of buffers."""

        normal = 0
        cacheable = 1 << 24
        svm = 1 << 27
        device_only = 1 << 28
        host_only = 1 << 29
        p2p = 1 << 30

    normal, cacheable, device_only, host_only, p2p = (
        flags.normal,
        flags.cacheable,
        flags.device_only,
        flags.host_only,
        flags.p2p,
    )
    _closer = "xrtBOFree"

    def __init__(self, board: device, size: int, kind: int, group: int) -> None:
        self._board = board
        allocated = _library().xrtBOAlloc(board._handle, size, int(kind), group)
        self._handle = _handle(allocated, f"allocating {size:,} bytes in bank {group}")

    def size(self) -> int:
        """Return the buffer's bytes."""
        return int(_library().xrtBOSize(self._handle))

    def address(self) -> int:
        """Return the buffer's address on the board."""
        return int(_library().xrtBOAddress(self._handle))

    def write(self, data: Any, seek: int) -> None:
        """Copy a buffer of Python's to byte `seek` of the host's copy."""
        source = bytes(memoryview(data).cast("B"))
        _done(_library().xrtBOWrite(self._handle, source, len(source), seek), "writing a buffer")

    def read(self, size: int, skip: int) -> memoryview:
        """Return `size` bytes from byte `skip` of the host's copy."""
        target = ctypes.create_string_buffer(size)
        _done(_library().xrtBORead(self._handle, target, size, skip), "reading a buffer")
        return memoryview(target).cast("B")

    def sync(self, direction: int, size: int, offset: int) -> None:
        """Move bytes between the board and the host's copy."""
        _done(_library().xrtBOSync(self._handle, int(direction), size, offset), "moving a buffer")


class run(_Owned):  # noqa: N801
    """One execution of a kernel, that can be repeated."""

    _closer = "xrtRunClose"

    def __init__(self, of: kernel) -> None:
        self._kernel = of
        self._arguments: dict[int, Any] = {}  # buffers must outlive the run
        self._handle = _handle(_library().xrtRunOpen(of._handle), "making a run")

    def set_arg(self, index: int, value: Any) -> None:
        """Set a buffer or an int32 scalar."""
        self._arguments[index] = value
        passed = ctypes.c_void_p(value._handle) if isinstance(value, bo) else ctypes.c_int(value)
        _done(_library().xrtRunSetArg(self._handle, index, passed), f"setting argument {index}")

    def start(self) -> None:
        """Start the kernel."""
        _done(_library().xrtRunStart(self._handle), "starting the kernel")

    def wait(self, timeout_ms: int) -> ert_cmd_state:
        """Wait until the kernel has ended, so many milliseconds at most, and return the run's state."""
        return ert_cmd_state(_library().xrtRunWaitFor(self._handle, timeout_ms))

    def state(self) -> ert_cmd_state:
        """Return the run's state."""
        return ert_cmd_state(_library().xrtRunState(self._handle))
