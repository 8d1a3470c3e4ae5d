"""lstmsim: what an LSTM costs on an FPGA, a GPU or a CPU, and the bits that the hardware computes.

Names are imported on first use, so that a command pays only for what it needs.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from lstmsim._version import __version__

if TYPE_CHECKING:
    from lstmsim.config import KernelConfig as KernelConfig
    from lstmsim.device import load_device as load_device
    from lstmsim.errors import LstmsimError as LstmsimError
    from lstmsim.fixedpoint import FixedFormat as FixedFormat
    from lstmsim.fixedpoint import parse_format as parse_format
    from lstmsim.importers import load_model as load_model
    from lstmsim.importers import load_network as load_network
    from lstmsim.model import Model as Model
    from lstmsim.network import Network as Network

_HOME = {
    "FixedFormat": "fixedpoint",
    "KernelConfig": "config",
    "LstmsimError": "errors",
    "Model": "model",
    "Network": "network",
    "load_device": "device",
    "load_model": "importers",
    "load_network": "importers",
    "parse_format": "fixedpoint",
}

__all__ = ["__version__", *sorted(_HOME)]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'lstmsim' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"lstmsim.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
