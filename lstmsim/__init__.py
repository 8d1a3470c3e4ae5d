"""lstmsim: what an LSTM costs on an FPGA, a GPU or a CPU, and the bits that the hardware computes.

Names are imported on first use, so that a command pays only for what it needs.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from lstmsim._version import __version__

if TYPE_CHECKING:
    from lstmsim.config import KernelConfig as KernelConfig
    from lstmsim.device import load_device as load_device
    from lstmsim.errors import LstmsimError as LstmsimError
    from lstmsim.estimate import Estimate as Estimate
    from lstmsim.estimate import estimate as estimate
    from lstmsim.explore import explore as explore
    from lstmsim.explore.sensitivity import what_if as what_if
    from lstmsim.fixedpoint import FixedFormat as FixedFormat
    from lstmsim.fixedpoint import parse_format as parse_format
    from lstmsim.fxp import from_fxp as from_fxp
    from lstmsim.fxp import to_fxp as to_fxp
    from lstmsim.importers import load_model as load_model
    from lstmsim.importers import load_network as load_network
    from lstmsim.model import Model as Model
    from lstmsim.network import Network as Network
    from lstmsim.placement import place as place
    from lstmsim.quantise import quantise_model as quantise_model
    from lstmsim.simulate import prepare as prepare
    from lstmsim.simulate import run_raw as run_raw
    from lstmsim.simulate import simulate as simulate
    from lstmsim.trace import trace as trace

_HOME = {
    "Estimate": "estimate",
    "FixedFormat": "fixedpoint",
    "KernelConfig": "config",
    "LstmsimError": "errors",
    "Model": "model",
    "Network": "network",
    "estimate": "estimate",
    "explore": "explore",
    "from_fxp": "fxp",
    "load_device": "device",
    "load_model": "importers",
    "load_network": "importers",
    "parse_format": "fixedpoint",
    "place": "placement",
    "prepare": "simulate",
    "quantise_model": "quantise",
    "run_raw": "simulate",
    "simulate": "simulate",
    "to_fxp": "fxp",
    "trace": "trace",
    "what_if": "explore.sensitivity",
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


class _Package(ModuleType):
    """Keeps the public function `lstmsim.simulate` in place when the module `lstmsim.simulate` is imported."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name == _HOME.get(name) and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
