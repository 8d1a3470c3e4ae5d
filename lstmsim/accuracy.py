"""What a number format costs in accuracy. docs/accuracy.md defines every figure."""

from __future__ import annotations

import csv
import dataclasses
import io
import math
import os
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lstmsim.config import KernelConfig, float_config
from lstmsim.datasets import Dataset, DetectionData, ForecastData, load_dataset
from lstmsim.errors import ConfigError, DataError
from lstmsim.files import data_folder, read_text
from lstmsim.fixedpoint import FixedFormat, FloatFormat, NumberFormat, Overflow, Quantization
from lstmsim.model import Array, Model
from lstmsim.network import Network
from lstmsim.simulate import Simulator, prepare
from lstmsim.weights import packaged_model

THRESHOLD_PERCENTILE = 95.0
CHUNK_WINDOWS = 128
SIMULATED_WINDOWS = 2048
SAMPLES = 4000
QUICK_SAMPLES = 1000
RECOMMENDED = "ap_fixed<16,6,AP_RND,AP_SAT>"
MAX_ACCUMULATOR_BITS = 48
SMALLEST_TARGET = 1e-9

Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class AccuracyResult:
    """The figures of one configuration beside those of the double-precision model.

    Shares are 0..1. Figures of the other task are None. `quality` is what a format search keeps up: the agreement of
    a detector, the float error over the error of a forecast (at most 1).
    """

    label: str
    network: str
    data: str
    task: str
    samples: int
    sqnr_db: float
    accuracy: float | None = None
    float_accuracy: float | None = None
    agreement: float | None = None
    f1: float | None = None
    float_f1: float | None = None
    auc: float | None = None
    float_auc: float | None = None
    kept_threshold_accuracy: float | None = None
    rmse: float | None = None
    float_rmse: float | None = None
    mae: float | None = None
    float_mae: float | None = None
    mape: float | None = None
    float_mape: float | None = None
    unit: str = ""

    @property
    def quality(self) -> float:
        """The share of the float model's quality that is kept."""
        if self.agreement is not None:
            return self.agreement
        assert self.rmse is not None
        assert self.float_rmse is not None
        return 1.0 if self.rmse <= self.float_rmse else self.float_rmse / self.rmse

    def to_dict(self) -> dict[str, Any]:
        """Return the figures that belong to the task."""
        return {key: value for key, value in dataclasses.asdict(self).items() if value is not None}


@dataclass(frozen=True, slots=True)
class Reference:
    """A model, its data, and what it computes in double precision: worked out once, compared with often.

    calibration, test: outputs in float64 of `data.calibration` and of the first `samples` test windows.
    """

    model: Model
    data: Dataset
    samples: int
    calibration: Array
    test: Array


def make_reference(
    model: Model, data: Dataset, *, samples: int | None = SAMPLES, progress: Progress | None = None
) -> Reference:
    """Run the float model on calibration and test windows.

    `progress` is called with the number of windows done, `windows_of(data, samples)` in all.

    Raises:
        ConfigError: less than one sample.
        ModelFormatError: data of another shape than the network's.
    """
    count = sample_count(data, samples)
    calibration = data.calibration if isinstance(data, DetectionData) else data.calibration[:0]
    run = _chunked(model.predict, np.concatenate([calibration, data.test[:count]]), progress)
    return Reference(model, data, count, run[: len(calibration)], run[len(calibration) :])


def sample_count(data: Dataset, samples: int | None) -> int:
    """Return how many test windows are used; errors as in `make_reference`."""
    if samples is not None and samples < 1:
        raise ConfigError(f"{samples} samples: at least 1 is needed")
    return len(data.test) if samples is None else min(samples, len(data.test))


def windows_of(data: Dataset, samples: int | None) -> int:
    """Return how many windows a run of the data takes, calibration included."""
    calibration = len(data.calibration) if isinstance(data, DetectionData) else 0
    return sample_count(data, samples) + calibration


def measure(reference: Reference, config: KernelConfig, label: str = "", *, threads: int = 0) -> AccuracyResult:
    """Run one configuration bit for bit on so many threads (0: all cores) and return its figures.

    Raises:
        ConfigError: a format that cannot hold the model.
    """
    data = reference.data
    calibration = data.calibration if isinstance(data, DetectionData) else data.calibration[:0]
    inputs = np.concatenate([calibration, data.test[: reference.samples]])
    outputs = _simulated(prepare(reference.model, config), inputs, threads or os.cpu_count() or 1)
    return compare(reference, outputs[: len(calibration)], outputs[len(calibration) :], label or str(config.digest))


def _simulated(simulator: Simulator, inputs: NDArray[np.floating], threads: int) -> Array:
    pieces = []
    for start in range(0, len(inputs), SIMULATED_WINDOWS):
        outputs = simulator.run(inputs[start : start + SIMULATED_WINDOWS], threads=threads)
        assert isinstance(outputs, np.ndarray)
        pieces.append(outputs)
    return np.concatenate(pieces)


def compare(reference: Reference, calibration: Array, test: Array, label: str) -> AccuracyResult:
    """Return the figures of outputs that anything gave for the reference's windows: a simulator or a board."""
    common: dict[str, Any] = {
        "label": label,
        "network": reference.model.network.name,
        "data": reference.data.name,
        "task": reference.data.task,
        "samples": reference.samples,
        "sqnr_db": sqnr_db(reference.test, test),
    }
    if isinstance(reference.data, DetectionData):
        return AccuracyResult(**common, **_detection(reference, reference.data, calibration, test))
    return AccuracyResult(**common, **_forecast(reference, reference.data, test))


def sweep(
    reference: Reference,
    configs: Sequence[tuple[str, KernelConfig]],
    *,
    executor: Executor | None = None,
    progress: Progress | None = None,
) -> list[AccuracyResult]:
    """Measure labelled configurations side by side; results in the order given.

    Any `concurrent.futures.Executor` serves (processes, a Dask client's `get_executor()`); where unset one
    configuration follows the other, each on all cores. `progress` is called with 1 for each configuration done.
    """
    if executor is not None:
        jobs = [executor.submit(measure, reference, config, label, threads=1) for label, config in configs]
        return _gather(jobs, progress)
    results = []
    for label, config in configs:
        results.append(measure(reference, config, label))
        if progress is not None:
            progress(1)
    return results


def _gather(jobs: Sequence[Future[AccuracyResult]], progress: Progress | None) -> list[AccuracyResult]:
    if progress is not None:
        for job in jobs:
            job.add_done_callback(lambda _: progress(1))
    try:
        return [job.result() for job in jobs]
    except BaseException:
        for job in jobs:
            job.cancel()
        raise


def format_config(narrow: NumberFormat, base: KernelConfig | None = None) -> KernelConfig:
    """Return a configuration with one format throughout and an accumulator that adds its products exactly.

    The accumulator has twice the fractional bits and twice the integer bits, at most 48 bits in all.
    """
    knobs = (base or KernelConfig()).to_dict()
    kept = {key: value for key, value in knobs.items() if not key.endswith("_format")}
    if isinstance(narrow, FloatFormat):
        return float_config(**kept)
    width = min(2 * narrow.width_bits, MAX_ACCUMULATOR_BITS)
    wide = FixedFormat(width_bits=width, integer_bits=width - 2 * narrow.fractional_bits)
    names = ("weight_format", "state_format", "cell_format", "io_format")
    return KernelConfig(**{**kept, **dict.fromkeys(names, narrow), "accumulator_format": wide})


def fractional_configs(
    fractional_bits: Sequence[int], *, total_bits: int = 16, truncate: bool = False, base: KernelConfig | None = None
) -> list[tuple[str, KernelConfig]]:
    """Return the configurations of a sweep over the binary point, each with its label.

    Raises:
        ConfigError: a number of fractional bits that leaves no integer bit.
    """
    made = []
    for bits in fractional_bits:
        if not 0 <= bits < total_bits:
            raise ConfigError(f"{bits} fractional bits of {total_bits} are outside 0..{total_bits - 1}")
        narrow = FixedFormat(
            width_bits=total_bits,
            integer_bits=total_bits - bits,
            quantization=Quantization.TRN if truncate else Quantization.RND,
            overflow=Overflow.WRAP if truncate else Overflow.SAT,
        )
        made.append((str(narrow), format_config(narrow, base)))
    return made


def model_for(network: Network, data: Dataset, seed: int = 0) -> Model:
    """Return the packaged model of a network for a data set.

    Raises:
        DataError: the package has none; says how to get one.
    """
    model = packaged_model(network, data.name, seed)
    if model is None:
        raise DataError(
            f"no trained weights of network {network.name!r} for data {data.name!r} (seed {seed}) in the package: give "
            f"--weights FILE.npz, or make them: lstmsim train {network.name} --data ... -o FILE.npz"
        )
    return model


def quick_accuracy(
    network: Network | Model | str, config: KernelConfig, data: str | None = None, *, samples: int = QUICK_SAMPLES
) -> AccuracyResult:
    """Return the accuracy of one configuration, as `lstmsim estimate --accuracy` shows it.

    Args:
        network: a preset's name or network, measured with the packaged weights, or a trained model.
        config: the kernel; its formats and activation count.
        data: as for `lstmsim accuracy --data`; synthetic telemetry where None.
        samples: test windows at most.

    Raises:
        DataError: no data or no weights of that name.
        ConfigError: a format that cannot hold the model.
    """
    from lstmsim.importers import load_network

    shape = load_network(network) if isinstance(network, str) else network
    topology = shape.network if isinstance(shape, Model) else shape
    loaded = load_dataset(data, topology)
    model = shape if isinstance(shape, Model) else model_for(topology, loaded)
    reference = make_reference(model, loaded, samples=samples)
    return measure(reference, config, f"weights {config.weight_format}, state {config.state_format}")


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedAccuracy:
    """A point that a publication prints. accuracy: 0..1."""

    network: str
    fractional_bits: int
    accuracy: float
    source: str


def published_points(network_name: str) -> tuple[PublishedAccuracy, ...]:
    """Return the published points of a network, from calibration/measurements/paper-accuracy.csv."""
    text = read_text(data_folder("measurements") / "paper-accuracy.csv")
    return tuple(
        PublishedAccuracy(
            network=row["network"],
            fractional_bits=int(row["fractional_bits"]),
            accuracy=float(row["accuracy"]),
            source=row["source"],
        )
        for row in csv.DictReader(io.StringIO(text))
        if row["network"] == network_name
    )


# --- the figures


def sqnr_db(wanted: Array, given: Array) -> float:
    """Return 10 log10(sum y^2 / sum (y - y_float)^2) in dB; infinite where nothing differs."""
    noise = float(np.square(given - wanted).sum())
    signal = float(np.square(wanted).sum())
    if noise == 0.0:
        return math.inf
    return 10 * math.log10(signal / noise) if signal > 0.0 else -math.inf


def auc(scores: NDArray[np.float64], labels: NDArray[np.bool_]) -> float | None:
    """Return the area under the ROC curve by Mann and Whitney's rank sum, ties at half; None with one class only."""
    positives = int(labels.sum())
    negatives = len(labels) - positives
    if not positives or not negatives:
        return None
    _, places, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[places]
    return float((ranks[labels].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def f1_score(decisions: NDArray[np.bool_], labels: NDArray[np.bool_]) -> float | None:
    """Return the harmonic mean of precision and recall of anomalies; None where there is nothing to find or found."""
    total = int(decisions.sum()) + int(labels.sum())
    return 2 * int((decisions & labels).sum()) / total if total else None


def window_scores(outputs: Array, inputs: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return each window's mean squared reconstruction error."""
    result: NDArray[np.float64] = np.square(outputs - inputs).mean(axis=(1, 2))
    return result


def threshold_of(calibration_scores: NDArray[np.float64]) -> float:
    """Return the 95th percentile of normal scores."""
    return float(np.percentile(calibration_scores, THRESHOLD_PERCENTILE))


def _detection(reference: Reference, data: DetectionData, calibration: Array, test: Array) -> dict[str, Any]:
    labels, windows = data.labels[: reference.samples], data.test[: reference.samples]
    float_scores = window_scores(reference.test, windows)
    float_threshold = threshold_of(window_scores(reference.calibration, data.calibration))
    float_decisions = float_scores > float_threshold
    scores = window_scores(test, windows)
    decisions = scores > threshold_of(window_scores(calibration, data.calibration))
    return {
        "accuracy": _share(decisions == labels),
        "float_accuracy": _share(float_decisions == labels),
        "agreement": _share(decisions == float_decisions),
        "f1": f1_score(decisions, labels),
        "float_f1": f1_score(float_decisions, labels),
        "auc": auc(scores, labels),
        "float_auc": auc(float_scores, labels),
        "kept_threshold_accuracy": _share((scores > float_threshold) == labels),
    }


def _forecast(reference: Reference, data: ForecastData, test: Array) -> dict[str, Any]:
    used = slice(0, reference.samples)
    offset, scale = data.offset[used, None], data.scale[used, None]
    truth = offset + scale * data.targets[used, -1]
    figures: dict[str, Any] = {"unit": data.unit}
    for prefix, outputs in (("", test), ("float_", reference.test)):
        error = offset + scale * outputs[:, -1] - truth
        known = np.abs(truth) > SMALLEST_TARGET
        figures[f"{prefix}rmse"] = float(np.sqrt(np.square(error).mean()))
        figures[f"{prefix}mae"] = float(np.abs(error).mean())
        figures[f"{prefix}mape"] = float(np.abs(error[known] / truth[known]).mean()) if known.any() else None
    return figures


def _share(right: NDArray[np.bool_]) -> float:
    return float(right.mean())


def _chunked(run: Callable[[Any], Array], inputs: NDArray[np.floating], progress: Progress | None) -> Array:
    """Run windows piece by piece, so that memory stays small; numpy and the simulator leave threads free to run."""
    pieces = [inputs[start : start + CHUNK_WINDOWS] for start in range(0, len(inputs), CHUNK_WINDOWS)]

    def one(piece: NDArray[np.floating]) -> Array:
        result = run(piece)
        if progress is not None:
            progress(len(piece))
        return result

    with ThreadPoolExecutor(os.cpu_count() or 1) as threads:
        return np.concatenate(list(threads.map(one, pieces)))


__all__ = [
    "AccuracyResult",
    "Reference",
    "compare",
    "format_config",
    "fractional_configs",
    "make_reference",
    "measure",
    "quick_accuracy",
    "sweep",
]
