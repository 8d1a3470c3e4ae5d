"""Search for the narrowest number formats that keep a model's quality. docs/accuracy.md says what it does not try."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lstmsim.accuracy import AccuracyResult, Reference, make_reference, measure
from lstmsim.config import KernelConfig
from lstmsim.datasets import Dataset, DetectionData, ForecastData
from lstmsim.errors import ConfigError, DataError
from lstmsim.fixedpoint import FixedFormat, Overflow, Quantization
from lstmsim.model import Model
from lstmsim.network import Network
from lstmsim.ranges import Ranges, integer_bits_for, observe_ranges

GROUPS = ("weights", "state", "cell", "accumulator", "tables")
LARGEST_FRACTION = 12
SMALLEST_TABLE = 16
RANGE_WINDOWS = 512
SEARCH_CALIBRATION = 500
LEAST_SQNR_DB = 6.0  # a detector whose model is broken can still agree by luck
NOT_TRIED = (
    "fewer integer bits than the observed ranges need; formats of their own for each layer; other rounding or "
    "overflow modes; computed activations (plan, piecewise), and interpolation where the plain table suffices; "
    "taking back a bit once another group is narrower; training again with the format in mind"
)

Tried = Callable[[str, float, bool], None]


@dataclass(frozen=True, slots=True)
class Bits:
    """What the search moves: fractional bits of each group and entries of the tables."""

    weights: int
    state: int
    cell: int
    accumulator: int
    table: int


@dataclass(frozen=True, slots=True)
class Step:
    """One configuration that was tried on the search windows."""

    what: str
    bits: Bits
    quality: float
    kept: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class FormatSearch:
    """The result: `found` is measured on windows that the search did not see.

    target: the quality asked for; bar: what the search windows had to show, one standard error above it.
    """

    config: KernelConfig
    target: float
    bar: float
    ranges: Ranges
    steps: tuple[Step, ...]
    searched: AccuracyResult
    found: AccuracyResult
    baseline_config: KernelConfig
    weight_bytes: float
    baseline_weight_bytes: float

    @property
    def meets_target(self) -> bool:
        """Whether the windows held back confirm the target."""
        return self.found.quality >= self.target

    def to_toml(self) -> str:
        """Return the knobs to use, as `--config` reads them."""
        default, mine = KernelConfig().to_dict(), self.config.to_dict()
        names = [name for name in mine if name.endswith("_format") or mine[name] != default[name]]
        lines = [
            f"# {self.found.network} on {self.found.data}: keeps {100 * self.found.quality:.2f} % of the float model"
        ]
        return "\n".join(lines + [f"{name} = {_toml(mine[name])}" for name in names]) + "\n"


def search_formats(
    model: Model,
    data: Dataset,
    *,
    target: float = 0.99,
    samples: int = 4000,
    base: KernelConfig | None = None,
    tried: Tried | None = None,
) -> FormatSearch:
    """Return the narrowest formats found that keep `target` of the float model's quality.

    Quality is the agreement with the float decisions of a detector, or float RMSE over RMSE of a forecast. Integer bits
    come from the ranges of the float model on calibration windows (all formats round and saturate, the accumulator is
    wide enough for every partial sum). Then one number of fractional bits for all groups falls as long as the
    quality holds, then group by group in the order of `GROUPS` one bit at a time. Outputs must also stay at least
    `LEAST_SQNR_DB` above their quantisation noise. Half of the windows are searched on; the other half gives `found`.

    Raises:
        ConfigError: a target outside 0.5..1.
        DataError: less than 100 windows, or the target is not met even with `LARGEST_FRACTION` fractional bits.
    """
    if not 0.5 <= target <= 1.0:
        raise ConfigError(f"a quality of {target:g} to keep is outside 50 %..100 %")
    first, second = _halves(data, samples)
    ranges = observe_ranges(
        model, data.calibration[:RANGE_WINDOWS] if len(data.calibration) else data.train[:RANGE_WINDOWS]
    )
    search = _Search(model, make_reference(model, first, samples=None), ranges, target, base or KernelConfig(), tried)
    bits, result = search.run()
    config = search.config(bits)
    baseline = _sixteen(base or KernelConfig())
    return FormatSearch(
        config=config,
        target=target,
        bar=search.bar,
        ranges=ranges,
        steps=tuple(search.steps),
        searched=result,
        found=measure(make_reference(model, second, samples=None), config, "found"),
        baseline_config=baseline,
        weight_bytes=model.network.params * config.weight_format.width_bits / 8,
        baseline_weight_bytes=model.network.params * baseline.weight_format.width_bits / 8,
    )


class _Search:
    """Coordinate descent over `Bits`."""

    def __init__(
        self, model: Model, reference: Reference, ranges: Ranges, target: float, base: KernelConfig, tried: Tried | None
    ) -> None:
        self.reference, self.ranges, self.base, self.tried = reference, ranges, base, tried
        self.network = model.network
        count = reference.samples
        self.bar = target if target == 1.0 else min(1.0, target + math.sqrt(target * (1 - target) / count))
        self.steps: list[Step] = []

    def run(self) -> tuple[Bits, AccuracyResult]:
        """Return the narrowest bits found and what they gave on the search windows.

        Where the table's own steps cost more than the target allows, it is interpolated.
        """
        try:
            best, result = self._common()
        except DataError:
            if self.base.activation != "table":
                raise
            self.base = dataclasses.replace(self.base, activation="interpolated")
            best, result = self._common()
        for group in GROUPS:
            best, result = self._narrow(group, best, result)
        return best, result

    def config(self, bits: Bits) -> KernelConfig:
        """Return the configuration of so many bits."""
        seen = self.ranges
        state_integers = self._state_integers()
        return dataclasses.replace(
            self.base,
            weight_format=_saturating(integer_bits_for(seen.weights), bits.weights),
            state_format=_saturating(state_integers, bits.state),
            io_format=_saturating(state_integers, bits.state),
            cell_format=_saturating(integer_bits_for(seen.cell), bits.cell),
            accumulator_format=_wide(integer_bits_for(seen.largest_sum), bits.accumulator),
            activation_table_size=bits.table,
        )

    def _state_integers(self) -> int:
        """State holds inputs, hidden values, dense outputs, and gate inputs as far as the tables reach."""
        seen = self.ranges
        gates = min(seen.gate_inputs, self.base.activation_range * (1 - 2.0**-12))
        return max(map(integer_bits_for, (seen.inputs, seen.hidden, seen.dense, gates)))

    def _common(self) -> tuple[Bits, AccuracyResult]:
        table = self.base.activation_table_size
        best: tuple[Bits, AccuracyResult] | None = None
        for fraction in range(LARGEST_FRACTION, 0, -1):
            bits = Bits(fraction, fraction, fraction, 2 * fraction, table)
            result = self._try(f"all {fraction}", bits)
            if result is None:
                break
            best = bits, result
        if best is None:
            raise DataError(
                f"{LARGEST_FRACTION} fractional bits keep {100 * self.steps[-1].quality:.2f} % of the float model: "
                "lower --min-accuracy, give more --samples or a better trained model"
            )
        return best

    def _narrow(self, group: str, best: Bits, result: AccuracyResult) -> tuple[Bits, AccuracyResult]:
        while True:
            bits = _one_less(group, best)
            if bits is None:
                return best, result
            outcome = self._try(f"{group} {bits.table if group == 'tables' else getattr(bits, group)}", bits)
            if outcome is None:
                return best, result
            best, result = bits, outcome

    def _try(self, what: str, bits: Bits) -> AccuracyResult | None:
        result = measure(self.reference, self.config(bits), what)
        kept = result.quality >= self.bar and result.sqnr_db >= LEAST_SQNR_DB
        self.steps.append(Step(what, bits, result.quality, kept))
        if self.tried is not None:
            self.tried(what, result.quality, kept)
        return result if kept else None


def savings(network: Network, search: FormatSearch) -> list[dict[str, Any]]:
    """Return what the formats save on each FPGA of the package against 16 bits throughout, by the estimator.

    One row a device: latency in seconds and resources of both, and whether both fit.
    """
    from lstmsim.device import FpgaDevice, device_names, load_device
    from lstmsim.estimate import estimate

    rows: list[dict[str, Any]] = []
    for name in device_names():
        device = load_device(name)
        if not isinstance(device, FpgaDevice):
            continue
        wide = estimate(network, device, search.baseline_config)
        narrow = estimate(network, device, search.config)
        row: dict[str, Any] = {"device": name, "latency_s": narrow.latency_s, "latency_16_bits_s": wide.latency_s}
        row |= {"fits": narrow.fits, "fits_16_bits": wide.fits}
        for resource, value in (narrow.resources or {}).items():
            row[resource] = value
            row[f"{resource}_16_bits"] = (wide.resources or {})[resource]
        rows.append(row)
    return rows


def _one_less(group: str, bits: Bits) -> Bits | None:
    if group == "tables":
        return dataclasses.replace(bits, table=bits.table // 2) if bits.table > SMALLEST_TABLE else None
    if group in ("weights", "state"):
        # the accumulator keeps every product whole until its own turn
        one = dataclasses.replace(bits, **{group: getattr(bits, group) - 1})
        return dataclasses.replace(one, accumulator=one.weights + one.state) if getattr(one, group) >= 0 else None
    value = getattr(bits, group)
    return dataclasses.replace(bits, **{group: value - 1}) if value > 0 else None


def _saturating(integer_bits: int, fractional_bits: int) -> FixedFormat:
    return FixedFormat(
        width_bits=integer_bits + fractional_bits,
        integer_bits=integer_bits,
        quantization=Quantization.RND,
        overflow=Overflow.SAT,
    )


def _wide(integer_bits: int, fractional_bits: int) -> FixedFormat:
    return FixedFormat(width_bits=integer_bits + fractional_bits, integer_bits=integer_bits)


def _sixteen(base: KernelConfig) -> KernelConfig:
    """16 bits throughout, as the paper's fixed-point kernels have it."""
    plain = KernelConfig()
    names = ("weight_format", "state_format", "cell_format", "accumulator_format", "io_format")
    formats = {name: getattr(plain, name) for name in names}
    return dataclasses.replace(base, **formats, activation_table_size=plain.activation_table_size)


def _halves(data: Dataset, samples: int) -> tuple[Dataset, Dataset]:
    count = min(samples, len(data.test)) // 2
    if count < 50:
        raise DataError(f"{2 * count} test windows are too few for a search: give at least 100")
    if isinstance(data, DetectionData):
        calibration = data.calibration[:SEARCH_CALIBRATION]
        return tuple(  # type: ignore[return-value]
            dataclasses.replace(data, calibration=part, test=data.test[used], labels=data.labels[used])
            for part, used in ((calibration, slice(0, count)), (data.calibration, slice(count, 2 * count)))
        )
    return _half(data, slice(0, 2 * count, 2)), _half(data, slice(1, 2 * count, 2))


def _half(data: ForecastData, used: slice) -> ForecastData:
    return dataclasses.replace(
        data, test=data.test[used], targets=data.targets[used], offset=data.offset[used], scale=data.scale[used]
    )


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else repr(value)


__all__ = ["NOT_TRIED", "Bits", "FormatSearch", "Step", "savings", "search_formats"]
