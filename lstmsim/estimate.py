"""estimate(): from a network, a device and a configuration to latency, resources and what limits them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from lstmsim.advice import advise
from lstmsim.calibration import Z90, Calibration, load_calibration
from lstmsim.config import KernelConfig
from lstmsim.design_choice import default_config, fits_budget
from lstmsim.device import Device, FpgaDevice, ProcessorDevice, load_device
from lstmsim.errors import CalibrationError, ConfigError, DoesNotFit
from lstmsim.kernel_model import LAUNCH_LOG_SIGMA, KernelModel, calibrated_values, features_of, kernel_model
from lstmsim.network import Network
from lstmsim.processor import processor_coefficients, processor_seconds

EXTRAPOLATION_LOG_SIGMA = 0.3
"""Further spread of an estimate outside the measured range: an assumption, stated in docs/model.md."""

FPGA_CALIBRATION = "paper-fpga"
PROCESSOR_CALIBRATION = "paper-processors"
MAX_BATCH = 1 << 24
RESOURCE_PREFIXES = ("dsp_", "lut_", "lutram_", "ff_", "bram18_")


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What a network costs on a device.

    `latency_s` is the time of one call on `batch` inputs, with a 90 % interval. `cycles` (FPGA) and `seconds` (every
    device) split it by phase. `resources` are counts, `utilization` their shares of the user budget. `extrapolated`
    says that a feature lies outside what was measured; `reasons` name them.
    """

    network: str
    device: str
    kind: str
    batch: int
    latency_s: float
    latency_low_s: float
    latency_high_s: float
    throughput_per_s: float
    seconds: dict[str, float]
    bottleneck: str
    extrapolated: bool
    reasons: tuple[str, ...]
    calibration: str
    config: dict[str, Any] | None = None
    clock_hz: float | None = None
    cycles: dict[str, float] | None = None
    resources: dict[str, float] | None = None
    resources_low: dict[str, float] | None = None
    resources_high: dict[str, float] | None = None
    budget: dict[str, float] | None = None
    utilization: dict[str, float] | None = None
    fits: bool | None = None
    breaks_first: str | None = None
    advice: str | None = None
    notes: tuple[str, ...] = field(default=())

    def to_dict(self) -> dict[str, Any]:
        """Return the estimate as plain values; keys that do not apply to the device are left out."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    def __rich__(self) -> Any:
        from lstmsim.render.text import estimate_view

        return estimate_view(self)

    def __str__(self) -> str:
        from lstmsim.render.text import plain

        return plain(self)

    def _repr_html_(self) -> str:
        from lstmsim.render.text import html

        return html(self)


def estimate(
    network: Network | str,
    device: Device | str,
    config: KernelConfig | None = None,
    *,
    batch: int = 1,
    calibration: Calibration | str | None = None,
    strict: bool = False,
) -> Estimate:
    """Estimate latency and resources.

    Args:
        network: a network, or the name of one that comes with the package.
        device: a device, its name, or a TOML file.
        config: the kernel's knobs; by default a design that fits (`default_config`). Processors have none.
        batch: inputs of one call.
        calibration: coefficients to use; by default those made from the paper's tables.
        strict: raise where the design does not fit.

    Raises:
        ConfigError: a batch or clock out of range, or a configuration given for a processor.
        DoesNotFit: with `strict`, the design needs more than the device's budget.
        CalibrationError: a calibration of the wrong kind.
    """
    if isinstance(network, str):
        from lstmsim.network import load_preset

        network = load_preset(network)
    board = load_device(device) if isinstance(device, str) else device
    if isinstance(batch, bool) or not isinstance(batch, int) or not 1 <= batch <= MAX_BATCH:
        raise ConfigError(f"batch = {batch!r} is not a whole number in 1..{MAX_BATCH}")
    if isinstance(board, ProcessorDevice):
        if config is not None:
            raise ConfigError(f"a kernel configuration does not apply to {board.name!r}: it is a {board.kind}")
        return _on_processor(network, board, batch, _calibration(calibration, "processor"))
    chosen = _calibration(calibration, "fpga")
    values = calibrated_values(chosen)
    result = _on_fpga(network, board, config or default_config(network, board, values), batch, chosen, values)
    if strict and not result.fits:
        raise DoesNotFit(does_not_fit(result))
    return result


def chosen_config(network: Network, device: FpgaDevice, calibration: Calibration | str | None = None) -> KernelConfig:
    """Return the design that `estimate` takes where none is given; see `default_config`."""
    return default_config(network, device, calibrated_values(_calibration(calibration, "fpga")))


def fpga_calibration(given: Calibration | str | None) -> Calibration:
    """Return the coefficients that `estimate` takes for FPGAs."""
    return _calibration(given, "fpga")


def does_not_fit(result: Estimate) -> str:
    """Return one line that says what a design needs too much of, and what to change."""
    name = result.breaks_first or "lut"
    need, have = (result.resources or {})[name], (result.budget or {})[name]
    return (
        f"{result.network} on {result.device} needs {need:,.0f} {name.upper()} but {have:,.0f} are left to a kernel: "
        "raise mac_share, lower engines or instances, or choose narrower formats"
    )


def _calibration(given: Calibration | str | None, kind: str) -> Calibration:
    if given is None:
        given = FPGA_CALIBRATION if kind == "fpga" else PROCESSOR_CALIBRATION
    calibration = load_calibration(given) if isinstance(given, str) else given
    if calibration.kind != kind:
        raise CalibrationError(f"calibration {calibration.name!r} is for {calibration.kind} devices, not for {kind}")
    return calibration


def _on_fpga(
    network: Network,
    device: FpgaDevice,
    config: KernelConfig,
    batch: int,
    calibration: Calibration,
    values: Mapping[str, float],
) -> Estimate:
    if config.clock_hz is not None and config.clock_hz > device.clock_max_hz:
        raise ConfigError(
            f"clock_hz = {config.clock_hz:g} is above {device.clock_max_hz:g}, the limit of {device.name}: lower it"
        )
    model = kernel_model(network, device, config, batch)
    cycles = model.phases(values)._asdict()
    total = sum(cycles.values())
    latency = total / model.knobs.clock_hz
    reasons = _outside(features_of(network, config, model.knobs), calibration)
    reasons += _unmeasured_device(device, calibration)
    sigma = _latency_log_sigma(model, calibration, values, bool(reasons))
    needs = model.usage(values)._asdict()
    budget = device.budget.as_dict()
    utilization = {name: _share(need, budget[name]) for name, need in needs.items()}
    fullest = max(utilization, key=lambda name: utilization[name])
    fits = fits_budget(needs, budget)
    spread = {
        name: math.exp(Z90 * math.hypot(calibration.log_sigma.get(name, 0.0), EXTRAPOLATION_LOG_SIGMA * bool(reasons)))
        for name in needs
    }
    seconds = {name: count / model.knobs.clock_hz for name, count in cycles.items()}
    return replace(
        _timed(network, device, batch, seconds, latency, sigma, reasons, calibration),
        config=config.to_dict(),
        clock_hz=model.knobs.clock_hz,
        cycles=cycles,
        resources=needs,
        resources_low={name: need / spread[name] for name, need in needs.items()},
        resources_high={name: need * spread[name] for name, need in needs.items()},
        budget=budget,
        utilization=utilization,
        fits=fits,
        breaks_first=None if fits else fullest,
        advice=advise(network, device, config, batch, values),
    )


def _on_processor(network: Network, device: ProcessorDevice, batch: int, calibration: Calibration) -> Estimate:
    found = processor_coefficients(device, calibration)
    seconds = processor_seconds(network, batch, found.values)
    latency = sum(seconds.values())
    features = {"layer steps": network.layer_steps, "parameters": network.params, "batch": batch}
    reasons = _outside(features, calibration) + found.reasons
    gradient = {found.names[name]: value / latency for name, value in found.parts(seconds).items()}
    sigma = math.hypot(calibration.log_sigma_of(gradient), found.log_sigma)
    if reasons:
        sigma = math.hypot(sigma, EXTRAPOLATION_LOG_SIGMA)
    return _timed(network, device, batch, seconds, latency, sigma, reasons, calibration)


def _timed(
    network: Network,
    device: Device,
    batch: int,
    seconds: dict[str, float],
    latency: float,
    sigma: float,
    reasons: tuple[str, ...],
    calibration: Calibration,
) -> Estimate:
    """Return the part of an estimate that every device has."""
    return Estimate(
        network=network.name,
        device=device.name,
        kind=device.kind,
        batch=batch,
        latency_s=latency,
        latency_low_s=latency * math.exp(-Z90 * sigma),
        latency_high_s=latency * math.exp(Z90 * sigma),
        throughput_per_s=batch / latency,
        seconds=seconds,
        bottleneck=max(seconds, key=lambda name: seconds[name]),
        extrapolated=bool(reasons),
        reasons=reasons,
        calibration=calibration.name,
        notes=_notes(network),
    )


def _notes(network: Network) -> tuple[str, ...]:
    return (network.note,) if network.note else ()


def _share(need: float, budget: float) -> float:
    if budget > 0:
        return need / budget
    return math.inf if need > 0 else 0.0


def _latency_log_sigma(
    model: KernelModel, calibration: Calibration, values: Mapping[str, float], extrapolated: bool
) -> float:
    """Return the spread of the latency's logarithm, the coefficients' covariance propagated by differences."""
    base = model.latency_s(values)
    step = 1e-3
    gradient = {
        name: (model.latency_s({**values, name: value * (1 + step)}) / base - 1) / step
        for name, value in values.items()
        if not name.startswith(RESOURCE_PREFIXES)
    }
    sigma = calibration.log_sigma_of(gradient)
    if model.launch_name not in values:
        launch_share = model.device.launch_s / base
        sigma = math.hypot(sigma, LAUNCH_LOG_SIGMA * launch_share)
    return math.hypot(sigma, EXTRAPOLATION_LOG_SIGMA) if extrapolated else sigma


def _outside(features: Mapping[str, float], calibration: Calibration) -> tuple[str, ...]:
    reasons = []
    for name, value in features.items():
        if name not in calibration.ranges:
            continue
        low, high = calibration.ranges[name]
        if not low <= value <= high:
            reasons.append(f"{name} {value:g} is outside the measured {low:g} to {high:g}")
    return tuple(reasons)


def _unmeasured_device(device: FpgaDevice, calibration: Calibration) -> tuple[str, ...]:
    if device.name in calibration.devices:
        return ()
    return (f"no kernel was measured on {device.name}: made from {', '.join(calibration.devices)}",)
