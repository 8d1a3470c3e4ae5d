"""Calibrating the kernel model and the processor model on measurements."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lstmsim.calibration import Z90, Calibration, Coefficient
from lstmsim.device import FpgaDevice, load_device
from lstmsim.errors import CalibrationError
from lstmsim.fitting.least_squares import (
    ROW_LOG_SIGMA,
    Fit,
    Predict,
    Prior,
    coefficients_of,
    fit_logarithms,
    leave_one_out,
    load_priors,
    rows_that_matter,
)
from lstmsim.importers import load_network
from lstmsim.kernel_model import KernelModel, features_of, kernel_model
from lstmsim.measurements import Measurement
from lstmsim.network import Network
from lstmsim.processor import processor_seconds

Array = NDArray[np.float64]
RESOURCE_QUANTITIES = ("dsp", "lutram", "lut", "ff", "bram18")


@dataclass(frozen=True, slots=True)
class Study:
    """A fit with its leave-one-out errors; `ids` and `quantities` name the rows in order."""

    fit: Fit
    ids: tuple[str, ...]
    quantities: tuple[str, ...]
    left_out: Array
    rows_behind: dict[str, tuple[str, ...]]


def calibrate_fpga(name: str, rows: Sequence[Measurement]) -> Calibration:
    """Return a calibration of the kernel model (latency and resources) from measurements of one stage.

    Raises:
        CalibrationError: no row, or rows of different stages.
    """
    stage = single_stage(rows)
    latency = latency_study([row for row in rows if row.latency_s is not None])
    resources = resource_study([row for row in rows if row.resources])
    studies = (latency, resources)
    coefficients: dict[str, Coefficient] = {}
    for study in studies:
        coefficients |= coefficients_of(study.fit, study.rows_behind)
    sigma = {"latency_s": spread_90(latency.left_out)}
    quality = quality_of("latency_s", latency.fit.log_residuals, latency.left_out)
    for quantity in RESOURCE_QUANTITIES:
        chosen = np.array([entry == quantity for entry in resources.quantities])
        if chosen.any():
            sigma[quantity] = spread_90(resources.left_out[chosen])
            quality |= quality_of(quantity, resources.fit.log_residuals[chosen], resources.left_out[chosen])
    return Calibration(
        name=name,
        kind="fpga",
        stage=stage,
        devices=tuple(sorted({load_device(row.device).name for row in rows})),
        coefficients=coefficients,
        covariance=block_diagonal([study.fit.covariance for study in studies]),
        log_sigma=sigma,
        ranges=ranges_of([(load_network(row.network), row) for row in rows]),
        made_from=tuple(row.id for row in rows),
        quality=quality,
        left_out=left_out_errors(studies),
    )


def latency_study(rows: Sequence[Measurement]) -> Study:
    """Fit the cycle model's coefficients and each board's launch overhead."""
    models = [row_model(row) for row in rows]
    priors = latency_priors(models)
    measured = np.array([row.latency_s or 0.0 for row in rows])
    sigma = row_log_sigma(rows)

    def predict(values: dict[str, float], row: int) -> float:
        return models[row].latency_s(values)

    return run_study(priors, predict, measured, sigma, [row.id for row in rows], ["latency_s"] * len(rows))


def resource_study(rows: Sequence[Measurement]) -> Study:
    """Fit the resource model's coefficients to every resource of every row; whole kernels are left out."""
    models = [row_model(row) for row in rows]
    entries = [
        (model, row, quantity)
        for model, row in zip(models, rows, strict=True)
        for quantity in RESOURCE_QUANTITIES
        if row.resources.get(quantity, 0.0) > 0.0
    ]

    def predict(values: dict[str, float], index: int) -> float:
        model, _, quantity = entries[index]
        return float(getattr(model.usage(values), quantity))

    measured = np.array([row.resources[quantity] for _, row, quantity in entries])
    sigma = np.full(len(entries), ROW_LOG_SIGMA)
    ids = [row.id for _, row, _ in entries]
    kernels = [f"{row.device} {row.network} {row.config.digest}" for _, row, _ in entries]
    quantities = [quantity for _, _, quantity in entries]
    return run_study(load_priors("fpga-resources"), predict, measured, sigma, ids, quantities, kernels)


def calibrate_processors(name: str, rows: Sequence[Measurement]) -> Calibration:
    """Return a calibration with the processor model's coefficients of every device in the rows."""
    stage = single_stage(rows)
    coefficients: dict[str, Coefficient] = {}
    covariances, residuals, left_out, studies = [], [], [], []
    for device in sorted({row.device for row in rows}):
        study = processor_study([row for row in rows if row.device == device])
        coefficients |= coefficients_of(study.fit, study.rows_behind, f".{device}")
        covariances.append(study.fit.covariance)
        if len(study.ids) > len(study.fit.priors):
            studies.append(study)
            residuals.append(study.fit.log_residuals)
            left_out.append(study.left_out)
    if not left_out:
        raise CalibrationError("no processor has more rows than the model has coefficients: measure more networks")
    inside, outside = np.concatenate(residuals), np.concatenate(left_out)
    return Calibration(
        name=name,
        kind="processor",
        stage=stage,
        devices=tuple(sorted({row.device for row in rows})),
        coefficients=coefficients,
        covariance=block_diagonal(covariances),
        log_sigma={"latency_s": spread_90(outside)},
        ranges=processor_ranges([load_network(row.network) for row in rows], rows),
        made_from=tuple(row.id for row in rows),
        quality=quality_of("latency_s", inside, outside),
        left_out=left_out_errors(studies),
    )


def processor_study(rows: Sequence[Measurement]) -> Study:
    """Fit one processor; GPUs have no coefficient for products."""
    device = load_device(rows[0].device)
    networks = [load_network(row.network) for row in rows]
    batches = [row.batch for row in rows]

    def predict(values: dict[str, float], row: int) -> float:
        return sum(processor_seconds(networks[row], batches[row], values).values())

    priors = load_priors("cpu" if device.kind == "cpu" else "gpu")
    measured = np.array([row.latency_s or 0.0 for row in rows])
    ids = [row.id for row in rows]
    return run_study(priors, predict, measured, row_log_sigma(rows), ids, ["latency_s"] * len(rows))


def run_study(
    priors: Sequence[Prior],
    predict: Predict,
    measured: Array,
    sigma: Array,
    ids: Sequence[str],
    quantities: Sequence[str],
    groups: Sequence[str] | None = None,
) -> Study:
    """Fit, leave each row (or each group of rows) out once, and name the rows behind every coefficient."""
    if not ids:
        raise CalibrationError("no measurement has this quantity: add rows")
    fit = fit_logarithms(priors, predict, measured, sigma)
    left_out = leave_one_out(priors, predict, measured, sigma, groups or ids, start=fit.values)
    return Study(fit, tuple(ids), tuple(quantities), left_out, rows_that_matter(fit, predict, ids))


def latency_priors(models: Sequence[KernelModel]) -> tuple[Prior, ...]:
    """Return the priors of the cycle model, with a launch overhead for every board among the models."""
    common = load_priors("fpga-latency")
    launch = next(prior for prior in common if prior.name == "launch_s")
    boards = sorted({model.launch_name for model in models})
    return (
        *(prior for prior in common if prior.name != "launch_s"),
        *(replace(launch, name=name) for name in boards),
    )


def row_model(row: Measurement) -> KernelModel:
    """Return the packed model of a measured kernel.

    Raises:
        CalibrationError: the row's device is no FPGA.
    """
    device = load_device(row.device)
    if not isinstance(device, FpgaDevice):
        raise CalibrationError(f"measurement {row.id!r}: {row.device!r} is no FPGA")
    return kernel_model(load_network(row.network), device, row.config, row.batch)


def row_log_sigma(rows: Sequence[Measurement]) -> Array:
    """Return the spread of each row's logarithm: model error and the rounding of the printed latency."""
    rounding = [row.latency_digits_s / (row.latency_s or 1.0) / np.sqrt(12.0) for row in rows]
    return np.hypot(ROW_LOG_SIGMA, rounding)


def single_stage(rows: Sequence[Measurement]) -> str:
    """Return the stage that all rows share.

    Raises:
        CalibrationError: no row, or several stages: synthesis estimates and board runs are never mixed.
    """
    stages = sorted({row.stage for row in rows})
    if not stages:
        raise CalibrationError("there is no measurement: add rows")
    if len(stages) > 1:
        raise CalibrationError(f"measurements of the stages {', '.join(stages)} are never mixed in one fit: choose one")
    return stages[0]


def left_out_errors(studies: Sequence[Study]) -> dict[str, float]:
    """Return "row quantity" -> relative error of the prediction made without the row."""
    return {
        f"{identity} {quantity}": float(np.expm1(error))
        for study in studies
        for identity, quantity, error in zip(study.ids, study.quantities, study.left_out, strict=True)
    }


def spread_90(log_errors: Array) -> float:
    """Return the standard deviation whose 90 % interval holds 90 % of the errors."""
    return float(np.quantile(np.abs(log_errors), 0.9)) / Z90


def quality_of(quantity: str, log_residuals: Array, left_out: Array) -> dict[str, float]:
    """Return mean |error| in sample and left out, and how many left-out rows their own 90 % intervals hold."""
    inside = np.abs(np.expm1(log_residuals))
    outside = np.abs(np.expm1(left_out))
    return {
        f"{quantity}: rows": float(len(inside)),
        f"{quantity}: mean in-sample error": float(inside.mean()),
        f"{quantity}: mean leave-one-out error": float(outside.mean()),
        f"{quantity}: median leave-one-out error": float(np.median(outside)),
        f"{quantity}: leave-one-out rows in the 90 % interval": coverage(left_out),
    }


def coverage(left_out: Array) -> float:
    """Return the share of rows inside an interval whose width comes from the other rows' errors only."""
    inside = (
        [abs(left_out[row]) <= Z90 * spread_90(np.delete(left_out, row)) for row in range(len(left_out))]
        if len(left_out) > 1
        else [True]
    )
    return float(np.mean(inside))


def block_diagonal(blocks: Sequence[Array]) -> tuple[tuple[float, ...], ...]:
    """Return one covariance out of independent ones."""
    size = sum(len(block) for block in blocks)
    matrix = np.zeros((size, size))
    start = 0
    for block in blocks:
        matrix[start : start + len(block), start : start + len(block)] = block
        start += len(block)
    return tuple(tuple(row) for row in matrix.tolist())


def ranges_of(pairs: Sequence[tuple[Network, Measurement]]) -> dict[str, tuple[float, float]]:
    """Return the smallest and the largest value of every feature among the rows."""
    return _ranges([features_of(network, row.config, row_model(row).knobs) for network, row in pairs])


def processor_ranges(networks: Sequence[Network], rows: Sequence[Measurement]) -> dict[str, tuple[float, float]]:
    """Return the ranges that a processor's estimate is judged by."""
    return _ranges(
        [
            {"layer steps": network.layer_steps, "parameters": network.params, "batch": row.batch}
            for network, row in zip(networks, rows, strict=True)
        ]
    )


def _ranges(features: Sequence[dict[str, float]]) -> dict[str, tuple[float, float]]:
    pick: Callable[[str], list[float]] = lambda name: [entry[name] for entry in features]  # noqa: E731
    return {name: (min(pick(name)), max(pick(name))) for name in features[0]}
