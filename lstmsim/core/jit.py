"""One way to compile: numba with a cache that no edited source file can leave stale.

numba watches only the file of the function that it caches, not the files of the functions that it inlines. So the
cache folder carries a digest of all sources of `lstmsim.core`: an edit anywhere there starts a fresh folder.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

Function = Callable[..., Any]


@cache
def sources_digest(modules: tuple[str, ...] = ()) -> str:
    """Return sixteen hexadecimal digits that name the sources of some modules of this package.

    Without names: of all modules that speak of numba.
    """
    digest = hashlib.sha256()
    for source in sorted(Path(__file__).parent.glob("*.py")):
        text = source.read_bytes()
        if source.stem in modules or (not modules and (b"jit" in text or b"numba" in text)):
            digest.update(source.name.encode())
            digest.update(text)
    return digest.hexdigest()[:16]


def _base_folder() -> Path:
    chosen = os.environ.get("NUMBA_CACHE_DIR") or os.environ.get("LSTMSIM_CACHE_DIR")
    if chosen:
        return Path(chosen)
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home()) / "lstmsim"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lstmsim"


@cache
def cache_folder(modules: tuple[str, ...] = ()) -> Path | None:
    """Return the folder that kernels compiled from some modules are kept in, or None where none can be written.

    NUMBA_CACHE_DIR is honoured, then LSTMSIM_CACHE_DIR, then the user's cache folder.
    """
    try:
        folder = _base_folder() / f"kernels-{sources_digest(modules)}"
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):
        return None
    return folder if os.access(folder, os.W_OK | os.X_OK) else None


@cache
def _load_numba() -> Any:
    """Import numba without scipy's linear algebra, which takes as long as half of numba.

    numba imports that package with its array functions, only to see whether it is there; it imports it again where a
    compiled function multiplies matrices, so other users of numba lose nothing.
    """
    import numba
    from numba.np import linalg

    asked = getattr(linalg, "ensure_blas", None)
    if asked is None or "numba.np.arraymath" in sys.modules or find_spec("scipy") is None:
        return numba
    linalg.ensure_blas = lambda: None
    try:
        arraymath = import_module("numba.np.arraymath")
    finally:
        linalg.ensure_blas = asked
    arraymath.ensure_blas = asked  # type: ignore[attr-defined]
    return numba


def njit_cached(modules: tuple[str, ...] = (), **options: Any) -> Callable[[Function], Function]:
    """Return a decorator like numba.njit, whose result is kept in `cache_folder`.

    `modules` name the modules of this package that the function calls, where they do not mention numba themselves.
    """
    numba = _load_numba()
    config = numba.config

    def decorate(function: Function) -> Function:
        folder = cache_folder(modules)
        before = config.CACHE_DIR
        if folder is not None:
            config.CACHE_DIR = str(folder)
        try:
            compiled: Function = numba.njit(cache=folder is not None, **options)(function)
        finally:
            config.CACHE_DIR = before
        return compiled

    return decorate
