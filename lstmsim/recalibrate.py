"""A user's own calibration: a few measurements against what is known already, with every doubt said aloud.

The prior is an earlier calibration, its covariance widened because another kernel, tool or board has other
coefficients. Few rows move few coefficients; the others stay where they were, with their uncertainty.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from lstmsim._version import __version__
from lstmsim.calibrate import (
    RESOURCE_QUANTITIES,
    Array,
    Study,
    block_diagonal,
    latency_priors,
    left_out_errors,
    processor_ranges,
    quality_of,
    ranges_of,
    row_log_sigma,
    row_model,
    single_stage,
    spread_90,
)
from lstmsim.calibration import Calibration, Coefficient
from lstmsim.device import FpgaDevice, load_device
from lstmsim.errors import CalibrationError
from lstmsim.fit import (
    ROW_LOG_SIGMA,
    Predict,
    Prior,
    coefficients_of,
    fit_logarithms,
    leave_one_out,
    load_priors,
    rows_that_matter,
)
from lstmsim.importers import load_network
from lstmsim.measurements import Measurement, measurements_csv
from lstmsim.processor import processor_seconds

TRANSFER_LOG_SIGMA = 0.25
"""How far (1 sigma of the logarithm) a coefficient of another kernel of the same kind may lie: an assumption."""
STAGE_TRANSFER_LOG_SIGMA = 0.5
"""The same where the prior was made from another stage: HLS estimates against routed counts differ by 0.5 to 2."""
PRIOR_ROWS = 4.0
"""How many rows the prior's spread counts for, beside the spread that the rows themselves show."""
MODEL_LOG_SIGMA = 0.1
"""Spread of the model around any kernel where no earlier calibration says more."""
UNMOVED = 0.9
OUTLIER_DEVIATIONS = 3.5
FEWEST_FOR_COVERAGE = 5
NO_LAUNCH_S = 1e-12
FOLDS_LIMIT = 30

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class RowFit:
    """One measured figure: as the prior predicts it, as the fit does, and as a fit without the row does."""

    id: str
    quantity: str
    measured: float
    before: float
    fitted: float
    left_out: float
    outlier: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Recalibration:
    """A calibration, and what to know before trusting it."""

    calibration: Calibration
    prior: str
    rows: tuple[RowFit, ...]
    unidentified: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def outliers(self) -> tuple[RowFit, ...]:
        """Rows that the others contradict."""
        return tuple(row for row in self.rows if row.outlier)


@dataclass(frozen=True, slots=True)
class _Problem:
    """Everything that one fit needs; `entries` are (id, quantity, measured, group)."""

    priors: tuple[Prior, ...]
    covariance: Array
    predict: Predict
    entries: tuple[tuple[str, str, float, str], ...]
    sigma: Array


def recalibrate(
    name: str,
    rows: Sequence[Measurement],
    prior: Calibration | None,
    *,
    progress: Progress = lambda _step: None,
) -> Recalibration:
    """Return a calibration made from rows of one stage and a prior; None takes the wide physical priors.

    Raises:
        CalibrationError: no row, several stages, processors and FPGAs in one fit, rows that measure nothing, or a
            prior of the other kind.
        MissingExtra: scipy is not installed.
    """
    stage = single_stage(rows)
    kinds = {"fpga" if isinstance(load_device(row.device), FpgaDevice) else "processor" for row in rows}
    if len(kinds) > 1:
        raise CalibrationError("measurements of FPGAs and of processors are never mixed in one fit: choose one")
    kind = kinds.pop()
    if prior is not None and prior.kind != kind:
        raise CalibrationError(f"prior {prior.name!r} is for {prior.kind} devices, the rows are of {kind} devices")
    problems = _fpga_problems(rows, prior, stage) if kind == "fpga" else _processor_problems(rows, prior, stage)
    if not any(problem.entries for problem in problems):
        raise CalibrationError("no row has a latency or a resource that the model predicts: add figures to the rows")
    studies = [_study(problem, progress) for problem in problems]
    return _assembled(name, kind, stage, rows, prior, problems, studies)


def _fpga_problems(rows: Sequence[Measurement], prior: Calibration | None, stage: str) -> list[_Problem]:
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


def _processor_problems(rows: Sequence[Measurement], prior: Calibration | None, stage: str) -> list[_Problem]:
    found = []
    for name in sorted({row.device for row in rows}):
        device = load_device(name)
        own = [row for row in rows if row.device == name and row.latency_s is not None]
        networks = [load_network(row.network) for row in own]
        batches = [row.batch for row in own]

        def predict(
            values: dict[str, float],
            row: int,
            networks: list[object] = networks,  # type: ignore[assignment]
            batches: list[int] = batches,
            suffix: str = f".{device.name}",
        ) -> float:
            plain = {key.removesuffix(suffix): value for key, value in values.items()}
            return sum(processor_seconds(networks[row], batches[row], plain).values())  # type: ignore[arg-type]

        common = load_priors("cpu" if device.kind == "cpu" else "gpu")
        priors = tuple(replace(entry, name=f"{entry.name}.{device.name}") for entry in common)
        entries = tuple((row.id, "latency_s", row.latency_s or 0.0, row.id) for row in own)
        found.append(_problem(priors, prior, stage, predict, entries, row_log_sigma(own) if own else np.empty(0)))
    return found


def _problem(
    physical: Sequence[Prior],
    prior: Calibration | None,
    stage: str,
    predict: Predict,
    entries: tuple[tuple[str, str, float, str], ...],
    sigma: Array,
) -> _Problem:
    """Put the prior calibration's values and covariance in the place of the physical priors that it knows."""
    covariance = np.diag([entry.log_sigma**2 for entry in physical])
    if prior is None:
        return _Problem(tuple(physical), covariance, predict, entries, sigma)
    transfer = TRANSFER_LOG_SIGMA if prior.stage == stage else STAGE_TRANSFER_LOG_SIGMA
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
    return _Problem(priors, covariance, predict, entries, sigma)


def _from_coefficient(entry: Prior, coefficient: Coefficient) -> Prior:
    return replace(entry, value=min(max(coefficient.value, entry.low), entry.high))


def _study(problem: _Problem, progress: Progress) -> Study:
    measured = np.array([entry[2] for entry in problem.entries])
    ids = tuple(entry[0] for entry in problem.entries)
    groups = _folds([entry[3] for entry in problem.entries])
    what = ", ".join(dict.fromkeys(entry[1] for entry in problem.entries)) or "nothing measured"
    progress(f"fitting {len(ids)} figures ({what})")
    fit = fit_logarithms(problem.priors, problem.predict, measured, problem.sigma, problem.covariance)
    progress(f"leaving each of {len(set(groups))} groups out once")
    left_out = leave_one_out(problem.priors, problem.predict, measured, problem.sigma, groups, problem.covariance)
    behind = rows_that_matter(fit, problem.predict, ids)
    return Study(fit, ids, tuple(entry[1] for entry in problem.entries), left_out, behind)


def _folds(groups: Sequence[str]) -> list[str]:
    """Return the groups to leave out: each by itself, or many rows in thirty folds."""
    order = {group: position for position, group in enumerate(dict.fromkeys(groups))}
    if len(order) <= FOLDS_LIMIT:
        return list(groups)
    return [f"fold {order[group] % FOLDS_LIMIT}" for group in groups]


def _assembled(
    name: str,
    kind: str,
    stage: str,
    rows: Sequence[Measurement],
    prior: Calibration | None,
    problems: Sequence[_Problem],
    studies: Sequence[Study],
) -> Recalibration:
    coefficients: dict[str, Coefficient] = {}
    unidentified: list[str] = []
    for study in studies:
        found = coefficients_of(study.fit, study.rows_behind)
        coefficients |= found
        unidentified += [entry.name for entry in found.values() if entry.log_stderr > UNMOVED * entry.prior_log_sigma]
    quantities = _by_quantity(studies)
    networks = [load_network(row.network) for row in rows]
    made_with = f"lstmsim {__version__}; prior {_prior_text(prior, stage)}; rows sha256 {_digest(rows)}"
    calibration = Calibration(
        name=name,
        kind=kind,
        stage=stage,
        devices=tuple(sorted({load_device(row.device).name for row in rows})),
        coefficients=coefficients,
        covariance=block_diagonal([study.fit.covariance for study in studies]),
        log_sigma=_spreads(quantities, _explained_variance(problems, studies), prior),
        ranges=ranges_of(list(zip(networks, rows, strict=True)))
        if kind == "fpga"
        else processor_ranges(networks, rows),
        made_from=tuple(row.id for row in rows),
        made_with=made_with,
        quality={
            key: value
            for quantity, (inside, outside) in quantities.items()
            for key, value in quality_of(quantity, inside, outside).items()
            if len(outside) >= FEWEST_FOR_COVERAGE or "interval" not in key
        },
        left_out=left_out_errors(studies),
    )
    fits = tuple(fit for problem, study in zip(problems, studies, strict=True) for fit in _row_fits(problem, study))
    return Recalibration(
        calibration=calibration,
        prior=_prior_text(prior, stage),
        rows=fits,
        unidentified=tuple(unidentified),
        notes=_notes(rows, prior, stage, unidentified, coefficients),
    )


def _by_quantity(studies: Sequence[Study]) -> dict[str, tuple[Array, Array]]:
    found: dict[str, tuple[list[float], list[float]]] = {}
    for study in studies:
        for quantity, inside, outside in zip(
            study.quantities, study.fit.log_residuals.tolist(), study.left_out.tolist(), strict=True
        ):
            pair = found.setdefault(quantity, ([], []))
            pair[0].append(inside)
            pair[1].append(outside)
    return {quantity: (np.array(inside), np.array(outside)) for quantity, (inside, outside) in found.items()}


def _spreads(
    quantities: Mapping[str, tuple[Array, Array]], latency_variance: float, prior: Calibration | None
) -> dict[str, float]:
    """Return each quantity's spread: what its left-out rows show, tempered by the prior's where rows are few.

    An estimate of latency adds the coefficients' covariance to this spread, so what the covariance explains of the
    left-out errors (`latency_variance`, the mean over the rows) is taken off first.
    """
    known = dict(prior.log_sigma) if prior is not None else {}
    for quantity, (_inside, outside) in quantities.items():
        before = known.get(quantity, MODEL_LOG_SIGMA)
        weight = len(outside) / (len(outside) + PRIOR_ROWS)
        variance = weight * spread_90(outside) ** 2 + (1 - weight) * before**2
        explained = latency_variance if quantity == "latency_s" else 0.0
        known[quantity] = math.sqrt(max(variance - explained, ROW_LOG_SIGMA**2))
    return known


def _explained_variance(problems: Sequence[_Problem], studies: Sequence[Study]) -> float:
    """Return the mean variance of the latency rows' logarithms that stems from the coefficients."""
    found = []
    for problem, study in zip(problems, studies, strict=True):
        for row, quantity in enumerate(study.quantities):
            if quantity == "latency_s":
                slopes = _slopes(problem, study.fit.values, row)
                found.append(float(slopes @ study.fit.covariance @ slopes))
    return float(np.mean(found)) if found else 0.0


def _slopes(problem: _Problem, values: dict[str, float], row: int) -> Array:
    """Return d log(prediction) / d log(coefficient) of one row."""
    step = 1e-4
    base = problem.predict(values, row)
    moved = [problem.predict({**values, name: value * (1 + step)}, row) for name, value in values.items()]
    return (np.array(moved) / base - 1) / step


def _row_fits(problem: _Problem, study: Study) -> list[RowFit]:
    start = {prior.name: prior.value for prior in problem.priors}
    far = _far(study.left_out, study.quantities)
    return [
        RowFit(
            id=identity,
            quantity=quantity,
            measured=measured,
            before=problem.predict(start, row),
            fitted=problem.predict(study.fit.values, row),
            left_out=measured * math.exp(float(study.left_out[row])),
            outlier=far[row],
        )
        for row, (identity, quantity, measured, _group) in enumerate(problem.entries)
    ]


def _far(left_out: Array, quantities: Sequence[str]) -> list[bool]:
    """Say which left-out errors stand apart from the others of their quantity (median absolute deviation)."""
    result = []
    for row, quantity in enumerate(quantities):
        others = np.array([left_out[k] for k in range(len(left_out)) if quantities[k] == quantity and k != row])
        if len(others) < 4:
            result.append(False)
            continue
        center = float(np.median(others))
        deviation = max(1.4826 * float(np.median(np.abs(others - center))), ROW_LOG_SIGMA)
        result.append(abs(float(left_out[row]) - center) > OUTLIER_DEVIATIONS * deviation)
    return result


def _notes(
    rows: Sequence[Measurement],
    prior: Calibration | None,
    stage: str,
    unidentified: Sequence[str],
    coefficients: Mapping[str, Coefficient],
) -> tuple[str, ...]:
    found = []
    if len(rows) < 4:
        found.append(f"{len(rows)} rows: intervals lean on the prior's spread, see leave-one-out before trusting them")
    if prior is not None and prior.stage != stage:
        found.append(f"the prior was made at stage {prior.stage!r}, the rows at {stage!r}: it is trusted less")
    if stage == "csynth":
        found.append("csynth rows hold the kernel alone: the launch overhead stays as in the prior")
    new = sorted({load_device(row.device).name for row in rows} - set(prior.devices if prior else ()))
    if prior is not None and new:
        found.append(f"the prior has no measurement on {', '.join(new)}")
    at_bound = [
        name
        for name, entry in coefficients.items()
        if name not in unidentified and min(entry.value / entry.low - 1, 1 - entry.value / entry.high) < 1e-3
    ]
    if at_bound:
        found.append(f"at a bound, so the model may not fit this kernel: {', '.join(at_bound)}")
    return tuple(found)


def _prior_text(prior: Calibration | None, stage: str) -> str:
    if prior is None:
        return "physical ranges"
    transfer = TRANSFER_LOG_SIGMA if prior.stage == stage else STAGE_TRANSFER_LOG_SIGMA
    return f"{prior.name}, widened by {transfer:g}"


def _digest(rows: Sequence[Measurement]) -> str:
    return hashlib.sha256(measurements_csv(rows).encode()).hexdigest()[:16]
