"""A complete HLS project: sources, generated headers, weights, test vectors, scripts."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lstmsim.config import KernelConfig
from lstmsim.device import Device, FpgaDevice
from lstmsim.errors import ConfigError
from lstmsim.files import data_folder
from lstmsim.hls import boards, headers
from lstmsim.hls.runs import beat_lanes, largest, runs_of, weight_packing
from lstmsim.hls.words import sample_words, weight_words
from lstmsim.model import Model
from lstmsim.network import LstmLayer, Network
from lstmsim.quantise import QuantisedModel, quantise_inputs, quantise_model
from lstmsim.simulate import RawRun, run_raw

GENERATED = (
    "lstm_config.hpp",
    "lstm_network.hpp",
    "activation_tables.hpp",
    "connectivity.cfg",
    "compile.cfg",
    "widen.tcl",
    "hls_config.cfg",
    "csynth.tcl",
    "project.mk",
    "config.json",
)
MAX_ONCHIP_BITS = 1 << 33  # above the memory of any FPGA by far: a guard against arrays that no compiler takes


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """What was written: the folder, its files, and how much the test vectors compare."""

    folder: Path
    files: tuple[str, ...]
    samples: int
    output_values: int
    internal_states: int
    weight_bytes: int


def write_project(
    model: Model,
    config: KernelConfig,
    device: Device,
    folder: str | os.PathLike[str],
    *,
    inputs: NDArray[np.floating] | None = None,
    samples: int = 2,
    seed: int = 0,
    force: bool = False,
) -> Project:
    """Write a project for Vitis HLS and g++, complete or not at all.

    Args:
        model: network and weights.
        config: the kernel.
        device: the board; its part, clock and memory go into the scripts.
        folder: is made; must be empty or absent unless `force`, which replaces it.
        inputs: [batch, timesteps, features] for the test vectors; random ones where None.
        samples: random samples of the test vectors, at least one for each instance.
        seed: of the random samples.
        force: replace a folder that is not empty.

    Raises:
        ConfigError: a processor, a knob that the kernel does not have, a folder that is not empty.
        ModelFormatError: weights or inputs that cannot be used.
    """
    board = check_kernel(model.network, config, device)
    target = Path(folder)
    _check_target(target, force=force)
    quantised = quantise_model(model, config)
    if inputs is None:
        shape = (max(samples, config.instances), model.network.timesteps, model.network.features)
        inputs = np.random.default_rng(seed).uniform(-1.0, 1.0, shape)
    raw_inputs = quantise_inputs(model.network, config, inputs)
    run = run_raw(quantised, raw_inputs, record=True)
    weights = weight_words(model, quantised)
    data = {f"data/weights{port}.bin": content for port, content in enumerate(weights)}
    data["data/inputs.bin"] = sample_words(raw_inputs, config)
    data["data/outputs.bin"] = sample_words(run.outputs, config)
    states = internal_states(quantised, run)
    data["data/states.bin"] = states.astype("<i8").tobytes()
    texts = generated_texts(quantised, board)
    _write_folder(target, data, texts, force=force)
    return Project(
        folder=target,
        files=tuple(sorted([*data, *texts, *source_names()])),
        samples=len(raw_inputs),
        output_values=run.outputs.size,
        internal_states=states.size,
        weight_bytes=sum(map(len, weights)),
    )


def check_kernel(network: Network, config: KernelConfig, device: Device) -> FpgaDevice:
    """Return the device if the kernel of hls/ can be built so for it.

    Raises:
        ConfigError: what stands against it, and the remedy.
    """
    if not isinstance(device, FpgaDevice):
        raise ConfigError(f"{device.title} is a {device.kind}, not an FPGA: an HLS project needs one, such as zcu104")
    if config.layer_parallel:
        raise ConfigError("layer_parallel = true is modelled but not built: the HLS kernel runs layer after layer")
    if config.systolic_steps > 1:
        raise ConfigError(f"systolic_steps = {config.systolic_steps} is modelled but not built: the HLS kernel takes 1")
    units, columns = largest(runs_of(network))
    for knob in ("engines", "elementwise_unroll"):
        if getattr(config, knob) > units:
            raise ConfigError(f"{knob} = {getattr(config, knob)} is above {units}, the most units of any layer")
    if config.mac_share > columns:
        raise ConfigError(f"mac_share = {config.mac_share} is above {columns}, the columns of the widest row")
    bits = 4 * units * (columns + 1) * config.weight_format.width_bits
    if bits > MAX_ONCHIP_BITS:
        raise ConfigError(
            f"the weights of the largest layer take {bits / 8e9:.1f} GB on the chip: "
            f"{units} units by {columns} columns are beyond any FPGA"
        )
    return device


def internal_states(model: QuantisedModel, run: RawRun) -> NDArray[np.int64]:
    """Return every cell and hidden value as integers, in the order in which the kernel computes them.

    Order: sample, run, time step as processed, unit, then (cell, hidden); floats as their bits.
    """
    parts = []
    passes = zip(model.layers, run.records, strict=True)
    for layer, records in ((layer, records) for layer, records in passes if isinstance(layer, tuple)):
        for one, record in zip(layer, records, strict=True):
            both = np.stack([record.cell, record.hidden], axis=-1)
            ordered = np.ascontiguousarray(both[:, ::-1] if one.reverse else both)
            integers = ordered.view(np.uint32) if model.config.is_float else ordered
            parts.append(integers.astype(np.int64).reshape(len(ordered), -1))
    batch = len(run.outputs)
    joined = np.concatenate(parts, axis=1) if parts else np.zeros((batch, 0), np.int64)
    return joined.reshape(-1)


def source_names() -> list[str]:
    """Return the names of the hand-written sources that a project takes along."""
    return sorted(entry.name for entry in data_folder("hls").iterdir() if _is_source(entry.name))


def _is_source(name: str) -> bool:
    return name == "Makefile" or name.endswith((".cpp", ".hpp"))


def generated_texts(model: QuantisedModel, device: FpgaDevice) -> dict[str, str]:
    """Return the generated files, by the names in `GENERATED`."""
    config, network = model.config, model.network
    clock_hz = device.clock_hz if config.clock_hz is None else config.clock_hz
    texts = (
        headers.config_header(config, clock_hz),
        headers.network_header(network, config),
        headers.tables_header(model.tables, config),
        boards.connectivity(config, device),
        boards.compile_config(clock_hz),
        boards.widening_script(config),
        boards.hls_config(config, device, clock_hz),
        boards.synthesis_script(config, device, clock_hz),
        boards.project_makefile(device, clock_hz, sys.executable),
        json.dumps(_description(network, config, device), indent=2) + "\n",
    )
    return dict(zip(GENERATED, texts, strict=True))


def _description(network: Network, config: KernelConfig, device: FpgaDevice) -> dict[str, object]:
    """Return what a host needs to know to run the kernel."""
    units, columns = largest(runs_of(network))
    return {
        "network": network.name,
        "device": device.name,
        "digest": config.digest,
        "config": config.to_dict(),
        "lstm_layers": sum(isinstance(layer, LstmLayer) for layer in network.layers),
        "mx_units": units,
        "mx_col": columns,
        "weight_words": sum(run.beats(beat_lanes(config)) for run in runs_of(network)) * weight_packing(config).words,
    }


def _check_target(target: Path, *, force: bool) -> None:
    if target.exists() and not target.is_dir():
        raise ConfigError(f"{str(target)!r} is a file: name a folder")
    if target.is_dir() and any(target.iterdir()):
        if not force:
            raise ConfigError(f"folder {str(target)!r} is not empty: choose another name or add --force")
        if not (target / "lstm_config.hpp").is_file():
            raise ConfigError(
                f"folder {str(target)!r} holds no HLS project of lstmsim: it is not replaced, even with --force"
            )


def _write_folder(target: Path, data: dict[str, bytes], texts: dict[str, str], *, force: bool) -> None:
    """Write into a new folder beside the target, then move it into place."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        building = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}."))
    except OSError as problem:
        raise ConfigError(f"cannot write {str(target)!r}: {problem.strerror}") from None
    try:
        building.chmod(0o755)
        (building / "data").mkdir()
        _fill(building, data.items())
        _fill(building, ((name, text.encode()) for name, text in texts.items()))
        sources = data_folder("hls")
        _fill(building, ((name, (sources / name).read_bytes()) for name in source_names()))
        _check_target(target, force=force)
        _move_into_place(building, target)
    except BaseException:
        shutil.rmtree(building, ignore_errors=True)
        raise


def _move_into_place(building: Path, target: Path) -> None:
    """Put the finished folder where the old one was, which is removed last."""
    old = Path(f"{building}.old")
    if target.is_dir():
        target.rename(old)
    try:
        building.rename(target)
    except BaseException:
        if old.is_dir():
            old.rename(target)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _fill(folder: Path, files: Iterable[tuple[str, bytes]]) -> None:
    for name, content in files:
        (folder / name).write_bytes(content)
