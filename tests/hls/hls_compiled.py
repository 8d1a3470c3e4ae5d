"""Compiles the kernel's C++ for one network and configuration, and runs it on raw integers."""

from __future__ import annotations

import ctypes
import hashlib
import importlib.util
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lstmsim.config import KernelConfig
from lstmsim.hls.headers import config_header, network_header, tables_header
from lstmsim.hls.words import sample_words, samples_from_words, weight_words
from lstmsim.model import Model
from lstmsim.network import LstmLayer, Network
from lstmsim.quantise import QuantisedModel, Raw, activation_tables

SOURCES = Path(__file__).parents[2] / "hls"
DRIVER = Path(__file__).with_name("driver.cpp")
FLAGS = ("-std=c++14", "-O1", "-DNDEBUG", "-fPIC", "-ffp-contract=off", "-Wno-unknown-pragmas")
PREAMBLE = '#include "ap_fixed.h"\n#include "ap_int.h"\n#include <vector>\n'


def missing_tool() -> str | None:
    """Say what the tests of compiled C++ lack, or None."""
    if shutil.which("g++") is None:
        return "g++ is not installed"
    if ap_types() is None:
        return "hls4ml, whose wheel carries Xilinx's open ap_types headers, is not installed"
    return None


def ap_types() -> Path | None:
    """Return the folder of Xilinx's open ap_fixed headers."""
    spec = importlib.util.find_spec("hls4ml")
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent / "templates" / "vivado" / "ap_types"
    return folder if (folder / "ap_fixed.h").is_file() else None


@dataclass(frozen=True)
class CompiledKernel:
    """A kernel as a shared library."""

    library: Path
    network: Network
    config: KernelConfig

    def run(self, model: Model, quantised: QuantisedModel, inputs: Raw, *, load: bool = True) -> tuple[Raw, Raw]:
        """Return outputs [batch, T, features] in io_t, and cell and hidden states as the testbench orders them."""
        config, batch = self.config, len(inputs)
        ports = weight_words(model, quantised)
        samples = sample_words(inputs, config)
        shape = (batch, self.network.output.timesteps, self.network.output.features)
        outputs = ctypes.create_string_buffer(len(sample_words(np.zeros(shape, inputs.dtype), config)))
        states = np.zeros(batch * states_per_sample(self.network), np.int64)
        digest = (ctypes.c_int * 2)()
        ctypes.CDLL(str(self.library)).run_kernel(
            (ctypes.c_char_p * len(ports))(*ports),
            (ctypes.c_int64 * len(ports))(*map(len, ports)),
            samples,
            outputs,
            states.ctypes.data_as(ctypes.c_void_p),
            digest,
            batch,
            int(load),
        )
        low, high = (word & 0xFFFFFFFF for word in digest)
        assert f"{high:08x}{low:08x}" == config.digest
        return samples_from_words(outputs.raw, shape, config), states


def states_per_sample(network: Network) -> int:
    """Return how many cell and hidden values one sample computes."""
    return sum(
        2 * stage.input.timesteps * stage.layer.units * stage.layer.passes
        for stage in network.stages
        if isinstance(stage.layer, LstmLayer)
    )


def compile_kernel(network: Network, config: KernelConfig, cache: Path) -> CompiledKernel:
    """Compile, or take from the cache what the same sources and flags gave before."""
    headers = {
        "lstm_config.hpp": config_header(config, clock_hz=300e6),
        "lstm_network.hpp": network_header(network, config),
        "activation_tables.hpp": tables_header(activation_tables(config), config),
    }
    return CompiledKernel(compile_library(DRIVER, headers, cache), network, config)


def compile_library(source: Path, headers: dict[str, str], cache: Path, flags: tuple[str, ...] = FLAGS) -> Path:
    """Compile one source with generated headers into a shared library below `cache`."""
    folder = ap_types()
    assert folder is not None
    parts = [*flags, source.read_text(), *headers, *headers.values()]
    parts += [path.read_text() for path in sorted(SOURCES.glob("*.?pp"))]
    target = cache / f"{hashlib.sha256(chr(0).join(parts).encode()).hexdigest()[:24]}.so"
    if target.exists():
        return target
    preamble = _precompiled_preamble(folder, cache, flags)
    with tempfile.TemporaryDirectory(dir=cache) as building:
        for name, text in headers.items():
            (Path(building) / name).write_text(text)
        include = ["-include", str(preamble), f"-I{building}", f"-I{SOURCES}", f"-I{folder}"]
        _compile([*flags, *include, "-shared", "-o", f"{building}/kernel.so", str(source)])
        os.replace(f"{building}/kernel.so", target)
    return target


def _precompiled_preamble(folder: Path, cache: Path, flags: tuple[str, ...]) -> Path:
    """Return a header whose compiled form lies beside it; parsing ap_fixed.h takes longer than our own code."""
    name = hashlib.sha256((PREAMBLE + " ".join(flags)).encode()).hexdigest()[:12]
    header = cache / f"preamble_{name}.hpp"
    compiled = cache / f"{header.name}.gch"
    if not compiled.exists():
        with tempfile.TemporaryDirectory(dir=cache) as building:
            (Path(building) / header.name).write_text(PREAMBLE)
            _compile([*flags, f"-I{folder}", "-o", f"{building}/{compiled.name}", f"{building}/{header.name}"])
            os.replace(f"{building}/{header.name}", header)
            os.replace(f"{building}/{compiled.name}", compiled)
    return header


def _compile(arguments: list[str]) -> None:
    done = subprocess.run(["g++", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
