"""One page that holds everything about a network on its devices: no server, no network, figures to explore."""

from __future__ import annotations

import json
import math
import platform
from collections.abc import Mapping, Sequence
from importlib import metadata, resources
from typing import TYPE_CHECKING, Any

from lstmsim._version import __version__
from lstmsim.errors import MissingExtra
from lstmsim.render.text import PHASE_WORDS, RESOURCE_WORDS
from lstmsim.render.units import frequency_text, percent_text, rate_text, time_text

if TYPE_CHECKING:
    from lstmsim.config import KernelConfig
    from lstmsim.device import Device
    from lstmsim.explore import Exploration
    from lstmsim.network import Network, Stage

METRICS = ("latency_s", "throughput_per_s", "dsp", "lut", "lutram", "ff", "bram18", "uram", "power_w", "energy_j")
SHOWN_DESIGNS = 2000


def report_data(
    network: Network,
    devices: Sequence[Device],
    configs: Sequence[KernelConfig | None],
    *,
    batch: int,
    calibration: str | None,
    fronts: Sequence[Exploration],
    accuracy: Sequence[Mapping[str, Any]],
    command: str,
) -> dict[str, Any]:
    """Return the report as plain values: what `--json` prints and the page draws.

    Args:
        network: the network of the report.
        devices: the boards that it is about.
        configs: a configuration for each of them; None takes the default, and is right for processors.
        batch: inputs of a call.
        calibration: coefficients for FPGAs in place of the package's own.
        fronts: explorations to draw.
        accuracy: rows of label, figure, value, fractional_bits and source.
        command: the command line that makes this report.
    """
    from lstmsim.device import FpgaDevice, device_names, load_device
    from lstmsim.estimate import chosen_config, estimate

    parts = []
    for device, given in zip(devices, configs, strict=True):
        own = calibration if isinstance(device, FpgaDevice) else None
        config = given or (chosen_config(network, device, own) if isinstance(device, FpgaDevice) else None)
        result = estimate(network, device, config, batch=batch, calibration=own).to_dict()
        parts.append({**result, **({"digest": config.digest} if config else {})})
    others = [estimate(network, load_device(name), batch=batch) for name in device_names()]
    return {
        "network": _network(network),
        "devices": parts,
        "fronts": [_front(found) for found in fronts],
        "comparison": [_compared(other) for other in sorted(others, key=lambda other: other.latency_s)],
        "accuracy": [dict(row) for row in accuracy],
        "calibrations": [_calibration(name) for name in dict.fromkeys(part["calibration"] for part in parts)]
        if calibration is None
        else [_calibration(calibration)],
        "metrics": list(METRICS),
        "phase_words": PHASE_WORDS,
        "resource_words": RESOURCE_WORDS,
        "command": command,
        "versions": _versions(),
    }


def report_page(report: Mapping[str, Any]) -> str:
    """Return the report as one HTML page.

    Raises:
        MissingExtra: jinja2 or plotly is absent.
    """
    try:
        from jinja2 import Environment, StrictUndefined
        from markupsafe import Markup
        from plotly.offline import get_plotlyjs
    except ImportError as problem:
        raise MissingExtra(problem.name or "jinja2", "html", "an HTML report") from None
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    environment.filters.update(
        time=time_text,
        rate=rate_text,
        percent=percent_text,
        frequency=frequency_text,
        phase=lambda name: PHASE_WORDS.get(name, name),
        resource=lambda name: RESOURCE_WORDS.get(name, name),
    )
    fpgas = [part for part in report["devices"] if "resources" in part]
    return environment.from_string(_template("report.html.j2")).render(
        report=_with_blanks(report),
        fpgas=fpgas,
        metrics=report["metrics"],
        phases=[name for name in PHASE_WORDS if any(part["seconds"].get(name, 0) > 0 for part in report["devices"])],
        sections=_sections(report, bool(fpgas)),
        data=Markup(_script_json(report)),
        plotly=Markup(get_plotlyjs()),
        script=Markup(_template("report.js")),
    )


def _sections(report: Mapping[str, Any], has_fpga: bool) -> list[tuple[str, str]]:
    words = [("network", "Network"), ("latency", "Latency")]
    if has_fpga:
        words += [("resources", "Resources"), ("configuration", "Configuration")]
    if report["fronts"]:
        words.append(("pareto", "Pareto front"))
    return [*words, ("devices", "Devices"), ("accuracy", "Accuracy"), ("calibration", "Calibration"), ("made", "Made")]


def _with_blanks(report: Mapping[str, Any]) -> dict[str, Any]:
    """Return the report with the keys that not every device has."""
    blank = {"clock_hz": None, "advice": None, "breaks_first": None}
    return {**report, "devices": [{**blank, **part} for part in report["devices"]]}


def _template(name: str) -> str:
    return (resources.files("lstmsim") / "render" / "templates" / name).read_text("utf-8")


def _script_json(value: Any) -> str:
    """Return JSON that can stand in a script element: no tag closes it, infinities are null."""
    text = json.dumps(_finite(value), ensure_ascii=True, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value


def _network(network: Network) -> dict[str, Any]:
    return {
        "name": network.name,
        "timesteps": network.timesteps,
        "features": network.features,
        "params": network.params,
        "flops": network.flops,
        "layer_steps": network.layer_steps,
        "note": network.note,
        "stages": [_stage(stage) for stage in network.stages],
    }


def _stage(stage: Stage) -> dict[str, Any]:
    return {
        "layer": type(stage.layer).__name__.removesuffix("Layer").replace("Lstm", "LSTM"),
        "input": f"{stage.input.timesteps} x {stage.input.features}",
        "output": f"{stage.output.timesteps} x {stage.output.features}",
        "params": stage.params,
        "macs": stage.macs,
    }


def _front(found: Exploration) -> dict[str, Any]:
    from lstmsim.config import KernelConfig

    default = KernelConfig().to_dict()
    designs = []
    for design in found.designs(SHOWN_DESIGNS):
        changed = {name: value for name, value in design.config.to_dict().items() if value != default[name]}
        designs.append(
            {
                "index": design.index,
                "figures": {name: design.figures[name] for name in METRICS},
                "knobs": " ".join(f"{name}={value}" for name, value in changed.items()),
            }
        )
    return {
        "device": found.device,
        "objectives": list(found.objectives),
        "evaluated": found.evaluated,
        "fitting": found.fitting,
        "front_size": len(found.front),
        "designs": designs,
    }


def _compared(other: Any) -> dict[str, Any]:
    names = (
        "device",
        "kind",
        "latency_s",
        "latency_low_s",
        "latency_high_s",
        "throughput_per_s",
        "fits",
        "extrapolated",
    )
    return {name: getattr(other, name) for name in names}


def _calibration(name: str) -> dict[str, Any]:
    from lstmsim.calibration import load_calibration

    found = load_calibration(name)
    return {"name": found.name, "devices": list(found.devices), "rows": len(found.made_from), "quality": found.quality}


def _versions() -> dict[str, str]:
    versions = {"lstmsim": __version__, "Python": platform.python_version()}
    for package in ("numpy", "plotly"):
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return versions
