"""What is fitted to a user's rows: priors out of an earlier calibration, predictions, figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from lstmsim.calibration import Calibration, Coefficient
from lstmsim.device import Device, load_device
from lstmsim.fitting.least_squares import ROW_LOG_SIGMA, Predict, Prior, load_priors
from lstmsim.fitting.studies import RESOURCE_QUANTITIES, Array, latency_priors, row_log_sigma, row_model
from lstmsim.importers import load_network
from lstmsim.measurements import Measurement
from lstmsim.processor import processor_seconds

TRANSFER_LOG_SIGMA = 0.25
"""How far (1 sigma of the logarithm) a coefficient of another kernel of the same kind may lie: an assumption."""
STAGE_TRANSFER_LOG_SIGMA = 0.5
"""The same where the prior was made from another stage: HLS estimates against routed counts differ by 0.5 to 2."""
NO_LAUNCH_S = 1e-12


@dataclass(frozen=True, slots=True)
class Problem:
    """Everything that one fit needs; `entries` are (row id, quantity, measured value, group to leave out together)."""

    priors: tuple[Prior, ...]
    covariance: Array
    predict: Predict
    entries: tuple[tuple[str, str, float, str], ...]
    sigma: Array


def transfer_log_sigma(prior: Calibration, stage: str) -> float:
    """Return by how much a prior's coefficients are widened for rows of a stage."""
    return TRANSFER_LOG_SIGMA if prior.stage == stage else STAGE_TRANSFER_LOG_SIGMA


def fpga_problems(rows: Sequence[Measurement], prior: Calibration | None, stage: str) -> list[Problem]:
    """Return the problems of latency and of resources."""
    timed = [row for row in rows if row.latency_s is not None]
    models = [row_model(row) for row in timed]
    launch = stage != "csynth"  # HLS knows the kernel only, not the host around it

    def latency(values: dict[str, float], row: int) -> float:
        known = values if launch else {**values, models[row].launch_name: NO_LAUNCH_S}
        return models[row].latency_s(known)

    boards = latency_priors([row_model(row) for row in rows])
    entries = tuple((row.id, "latency_s", row.latency_s or 0.0, row.id) for row in timed)
    sigma = row_log_sigma(timed) if timed else np.empty(0)
    found = [_problem(boards, prior, stage, latency, entries, sigma)]
    counted = [
        (row_model(row), row, quantity)
        for row in rows
        for quantity in RESOURCE_QUANTITIES
        if row.resources.get(quantity, 0.0) > 0.0
    ]

    def count(values: dict[str, float], index: int) -> float:
        model, _, quantity = counted[index]
        return float(getattr(model.usage(values), quantity))

    groups = [f"{row.device} {row.network} {row.config.digest}" for _, row, _ in counted]
    entries = tuple(
        (row.id, quantity, row.resources[quantity], group)
        for (_, row, quantity), group in zip(counted, groups, strict=True)
    )
    spread = np.full(len(entries), ROW_LOG_SIGMA)
    return [*found, _problem(load_priors("fpga-resources"), prior, stage, count, entries, spread)]


def processor_problems(rows: Sequence[Measurement], prior: Calibration | None, stage: str) -> list[Problem]:
    """Return the problem of each processor among the rows."""
    devices = {device.name: device for device in (load_device(row.device) for row in rows)}
    by_device: dict[str, list[Measurement]] = {}
    for row in rows:
        by_device.setdefault(load_device(row.device).name, []).append(row)
    return [
        _one_processor(devices[name], [row for row in own if row.latency_s is not None], prior, stage)
        for name, own in sorted(by_device.items())
    ]


def _one_processor(device: Device, rows: Sequence[Measurement], prior: Calibration | None, stage: str) -> Problem:
    suffix = f".{device.name}"
    networks = [load_network(row.network) for row in rows]

    def predict(values: dict[str, float], row: int) -> float:
        plain = {key.removesuffix(suffix): value for key, value in values.items()}
        return sum(processor_seconds(networks[row], rows[row].batch, plain).values())

    common = load_priors("cpu" if device.kind == "cpu" else "gpu")
    priors = tuple(replace(entry, name=entry.name + suffix) for entry in common)
    entries = tuple((row.id, "latency_s", row.latency_s or 0.0, row.id) for row in rows)
    return _problem(priors, prior, stage, predict, entries, row_log_sigma(rows) if rows else np.empty(0))


def _problem(
    physical: Sequence[Prior],
    prior: Calibration | None,
    stage: str,
    predict: Predict,
    entries: tuple[tuple[str, str, float, str], ...],
    sigma: Array,
) -> Problem:
    """Put the prior calibration's values and covariance in the place of the physical priors that it knows."""
    covariance = np.diag([entry.log_sigma**2 for entry in physical])
    if prior is None:
        return Problem(tuple(physical), covariance, predict, entries, sigma)
    transfer = transfer_log_sigma(prior, stage)
    order = {name: position for position, name in enumerate(prior.coefficients)}
    known = [index for index, entry in enumerate(physical) if entry.name in order]
    for row in known:
        for column in known:
            shared = prior.covariance[order[physical[row].name]][order[physical[column].name]]
            covariance[row, column] = shared + (transfer**2 if row == column else 0.0)
    priors = tuple(
        _from_coefficient(entry, prior.coefficients[entry.name]) if entry.name in order else entry for entry in physical
    )
    spreads = np.sqrt(np.diag(covariance)).tolist()
    priors = tuple(replace(entry, log_sigma=spread) for entry, spread in zip(priors, spreads, strict=True))
    return Problem(priors, covariance, predict, entries, sigma)


def _from_coefficient(entry: Prior, coefficient: Coefficient) -> Prior:
    return replace(entry, value=min(max(coefficient.value, entry.low), entry.high))
