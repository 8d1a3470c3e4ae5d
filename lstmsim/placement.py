"""Placement: the best design of a network on every FPGA, and every GPU and CPU, ranked, near and far edge apart."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lstmsim.config import KernelConfig
from lstmsim.device import Device, FpgaDevice, ProcessorDevice, device_names, load_device
from lstmsim.energy import energy_of
from lstmsim.errors import ConfigError
from lstmsim.estimate import estimate
from lstmsim.explore import DesignSpace, default_space, explore, parse_constraint
from lstmsim.explore.goals import METRIC_NAMES
from lstmsim.measurements import Measurement, package_measurements, read_csv_table, read_measurements
from lstmsim.network import Network

BASELINES = {"far": "cortex-a53", "near": "xeon-4210"}
RANKINGS = ("latency", "throughput", "energy", "power")
PROCESSOR_METRICS = {"latency_s", "throughput_per_s", "power_w", "energy_j"}
Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """A network on a device. `factor` is the acceleration over the CPU of the same edge; `reason` why it is out."""

    device: str
    kind: str
    edge: str
    latency_s: float = math.nan
    throughput_per_s: float = math.nan
    energy_j: float = math.nan
    power_w: float = math.nan
    factor: float = math.nan
    config: KernelConfig | None = None
    extrapolated: bool = False
    reason: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        row = {entry.name: getattr(self, entry.name) for entry in dataclasses.fields(self)}
        return {**row, "config": self.config.to_dict() if self.config else None}


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """All options of a network, best first; options that meet no constraint come last."""

    network: str
    objective: str
    options: tuple[Option, ...]
    baselines: Mapping[str, str]

    def of_edge(self, edge: str) -> list[Option]:
        """Return the options of one edge, best first."""
        return [option for option in self.options if option.edge == edge]

    def winner(self, edge: str) -> Option | None:
        """Return the best option of one edge that is no baseline, or None."""
        able = (one for one in self.of_edge(edge) if not one.reason and one.device != self.baselines[edge])
        return next(able, None)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "network": self.network,
            "objective": self.objective,
            "baselines": dict(self.baselines),
            "options": [option.to_dict() for option in self.options],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class PaperFactor:
    """One acceleration factor of the paper's section 5.3 beside ours.

    `same_design` is the model's factor for the designs of the paper's own rows, `best_found` that of the best design on
    the same device; None where the paper's row or the device is not there.
    """

    network: str
    edge: str
    what: str
    paper: float
    same_design: float | None
    best_found: float | None


def placement_space(network: Network, device: FpgaDevice) -> DesignSpace:
    """Return the designs that placement searches: 16-bit fixed point, the format whose accuracy the paper accepts."""
    base = default_space(network, device)
    fixed16 = tuple(one for one in base.formats if str(one) == "ap_fixed<16,8>")
    axes = {
        **base.axes,
        "memory_ports": (1,),
        "weight_banks": ("multiplier",),
        "staged_weights": (False,),
        "clock_hz": base.axes["clock_hz"][-1:],
    }
    return dataclasses.replace(base, formats=fixed16, axes=axes)


def place(
    network: Network,
    devices: Sequence[str | Device] | None = None,
    *,
    objective: str = "latency",
    bounds: Mapping[str, str] | None = None,
    space: Callable[[Network, FpgaDevice], DesignSpace] = placement_space,
    progress: Progress | None = None,
) -> Placement:
    """Rank devices for a network.

    Args:
        devices: names, files or devices; all that come with the package by default.
        objective: latency, throughput, energy or power.
        bounds: constraints such as {"max-latency": "1ms", "max-dsp": "50%"}; those on resources bind FPGAs only.
        space: the designs to search on an FPGA.

    Raises:
        ConfigError: an unknown objective or bound.
        UnknownDevice: an unknown device.
    """
    if objective not in RANKINGS:
        raise ConfigError(f"placement ranks by {', '.join(RANKINGS)}, not by {objective!r}")
    chosen = [load_device(one) if isinstance(one, str) else one for one in devices or device_names()]
    for bound, text in (bounds or {}).items():
        parse_constraint(bound, text, dict.fromkeys(("lut", "lutram", "ff", "bram18", "uram", "dsp"), 1.0))
    slow = {edge: estimate(network, name).latency_s for edge, name in BASELINES.items()}
    options = []
    for device in chosen:
        options.append(_option(network, device, objective, bounds or {}, space, slow[device.edge]))
        if progress is not None:
            progress(1)
    metric, sign = METRIC_NAMES[objective]
    ranked = sorted(options, key=lambda one: (bool(one.reason), sign * _or_infinite(getattr(one, metric)), one.device))
    return Placement(network=network.name, objective=objective, options=tuple(ranked), baselines=BASELINES)


def _or_infinite(value: float) -> float:
    return math.inf if math.isnan(value) else value


def _option(
    network: Network,
    device: Device,
    objective: str,
    bounds: Mapping[str, str],
    space: Callable[[Network, FpgaDevice], DesignSpace],
    slow_s: float,
) -> Option:
    if isinstance(device, ProcessorDevice):
        return _on_processor(network, device, bounds, slow_s)
    constraints = [parse_constraint(bound, text, device.budget.as_dict()) for bound, text in bounds.items()]
    second = "energy" if objective != "energy" else "latency"
    try:
        found = explore(
            network, device, space=space(network, device), objectives=(objective, second), constraints=constraints
        )
    except ConfigError as problem:
        return Option(device=device.name, kind=device.kind, edge=device.edge, reason=str(problem))
    best = found.design(found.front[0])
    figures = best.figures
    return Option(
        device=device.name,
        kind=device.kind,
        edge=device.edge,
        latency_s=figures["latency_s"],
        throughput_per_s=figures["throughput_per_s"],
        energy_j=figures["energy_j"],
        power_w=figures["power_w"],
        factor=slow_s / figures["latency_s"],
        config=best.config,
        extrapolated=estimate(network, device, best.config).extrapolated,
    )


def _on_processor(network: Network, device: ProcessorDevice, bounds: Mapping[str, str], slow_s: float) -> Option:
    result = estimate(network, device)
    energy = energy_of(result, network, device)
    values = {
        "latency_s": result.latency_s,
        "throughput_per_s": result.throughput_per_s,
        "power_w": energy.power_w,
        "energy_j": energy.energy_j,
    }
    return Option(
        device=device.name,
        kind=device.kind,
        edge=device.edge,
        factor=slow_s / result.latency_s,
        extrapolated=result.extrapolated,
        reason=_missed(values, bounds),
        latency_s=values["latency_s"],
        throughput_per_s=values["throughput_per_s"],
        power_w=values["power_w"],
        energy_j=values["energy_j"],
    )


def _missed(values: Mapping[str, float], bounds: Mapping[str, str]) -> str:
    """Return which bound a processor misses; bounds on resources and accuracy do not apply to it."""
    for bound, text in bounds.items():
        if METRIC_NAMES[bound.partition("-")[2]][0] in PROCESSOR_METRICS:
            constraint = parse_constraint(bound, text)
            sign = 1 if constraint.smaller else -1
            if sign * values[constraint.metric] > sign * constraint.limit:
                return f"misses {constraint}"
    return ""


def paper_factors(placements: Sequence[Placement]) -> list[PaperFactor]:
    """Return the acceleration factors that the paper prints for these networks, beside ours."""
    known = _measured()
    rows = []
    for placement in placements:
        for _, cells in read_csv_table(package_measurements() / "paper-speedups.csv"):
            if cells["network"] == placement.network:
                rows.append(_paper_factor(placement, cells, known))
    return rows


def winners_of_the_paper(rows: Sequence[PaperFactor]) -> list[str]:
    """Return one line for each network and edge: which of the paper's own designs the model finds faster."""
    lines = []
    for key in dict.fromkeys((row.network, row.edge) for row in rows):
        known = [row for row in rows if (row.network, row.edge) == key and row.same_design is not None]
        if len(known) > 1:
            best = max(known, key=lambda row: row.same_design or 0.0)
            lines.append(f"{key[0]}, {key[1]} edge, designs of the paper: {best.what.partition(' against')[0]} wins")
    return lines


def _measured() -> dict[str, Measurement]:
    folder = package_measurements()
    rows = [row for name in ("paper-fpga", "paper-processors") for row in read_measurements(folder / f"{name}.csv")]
    return {row.id: row for row in rows}


def _paper_factor(placement: Placement, cells: Mapping[str, str], known: Mapping[str, Measurement]) -> PaperFactor:
    fast = known.get(cells["accelerated_row"])
    slow = _predicted_s(known[cells["baseline_row"]])
    best = None
    if fast is not None:
        best = next((one.factor for one in placement.options if one.device == fast.device and not one.reason), None)
    return PaperFactor(
        network=placement.network,
        edge=cells["edge"],
        what=cells["row"],
        paper=float(cells["factor"]),
        same_design=None if fast is None else slow / _predicted_s(fast),
        best_found=best,
    )


def _predicted_s(row: Measurement) -> float:
    """Return the model's seconds an input of a measured design."""
    from lstmsim.importers import load_network

    device = load_device(row.device)
    config = row.config if isinstance(device, FpgaDevice) else None
    return estimate(load_network(row.network), device, config, batch=row.batch).latency_s / row.batch
