"""A user's own calibration: a few measurements against what is known already, with every doubt said aloud.

The prior is an earlier calibration, its covariance widened because another kernel, tool or board has other
coefficients. Few rows move few coefficients; the others stay where they were, with their uncertainty.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lstmsim._version import __version__
from lstmsim.calibration import Calibration, Coefficient
from lstmsim.device import FpgaDevice, load_device
from lstmsim.errors import CalibrationError
from lstmsim.fitting.least_squares import (
    ROW_LOG_SIGMA,
    coefficients_of,
    fit_logarithms,
    leave_one_out,
    rows_that_matter,
)
from lstmsim.fitting.problems import Problem, fpga_problems, processor_problems, transfer_log_sigma
from lstmsim.fitting.studies import (
    Array,
    Study,
    block_diagonal,
    left_out_errors,
    processor_ranges,
    quality_of,
    ranges_of,
    single_stage,
    spread_90,
)
from lstmsim.importers import load_network
from lstmsim.measurements import Measurement, measurements_csv

PRIOR_ROWS = 4.0
"""How many rows the prior's spread counts for, beside the spread that the rows themselves show."""
MODEL_LOG_SIGMA = 0.1
"""Spread of the model around any kernel where no earlier calibration says more."""
UNMOVED = 0.9
OUTLIER_DEVIATIONS = 3.5
FEWEST_FOR_COVERAGE = 5
FOLDS_LIMIT = 30
EMULATED_MODES = ("emulate", "hw_emu", "sw_emu", "noop")

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


def recalibrate(
    name: str,
    rows: Sequence[Measurement],
    prior: Calibration | None,
    *,
    progress: Progress = lambda _step: None,
) -> Recalibration:
    """Return a calibration made from rows of one stage and a prior; None takes the wide physical priors.

    Raises:
        CalibrationError: no row, several stages, processors and FPGAs in one fit, rows that measure nothing or were
            emulated, or a prior of the other kind.
        MissingExtra: scipy is not installed.
    """
    _refuse_emulated(rows)
    stage = single_stage(rows)
    kinds = {"fpga" if isinstance(load_device(row.device), FpgaDevice) else "processor" for row in rows}
    if len(kinds) > 1:
        raise CalibrationError("measurements of FPGAs and of processors are never mixed in one fit: choose one")
    kind = kinds.pop()
    if prior is not None and prior.kind != kind:
        raise CalibrationError(f"prior {prior.name!r} is for {prior.kind} devices, the rows are of {kind} devices")
    problems = fpga_problems(rows, prior, stage) if kind == "fpga" else processor_problems(rows, prior, stage)
    if not any(problem.entries for problem in problems):
        raise CalibrationError("no row has a latency or a resource that the model predicts: add figures to the rows")
    studies = [_study(problem, progress) for problem in problems]
    return _assembled(name, kind, stage, rows, prior, problems, studies)


def _refuse_emulated(rows: Sequence[Measurement]) -> None:
    for row in rows:
        if row.extra.get("mode") in EMULATED_MODES:
            raise CalibrationError(f"row {row.id!r} was emulated (mode {row.extra['mode']}): it measures no hardware")


def _study(problem: Problem, progress: Progress) -> Study:
    measured = np.array([entry[2] for entry in problem.entries])
    ids = tuple(entry[0] for entry in problem.entries)
    groups = _folds([entry[3] for entry in problem.entries])
    what = ", ".join(dict.fromkeys(entry[1] for entry in problem.entries)) or "nothing measured"
    progress(f"fitting {len(ids)} figures ({what})")
    fit = fit_logarithms(problem.priors, problem.predict, measured, problem.sigma, problem.covariance)
    progress(f"leaving each of {len(set(groups))} groups out once")
    left_out = leave_one_out(
        problem.priors, problem.predict, measured, problem.sigma, groups, problem.covariance, fit.values
    )
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
    problems: Sequence[Problem],
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
        if quantity == "latency_s":
            variance = max(variance - latency_variance, ROW_LOG_SIGMA**2)
        known[quantity] = math.sqrt(variance)
    return known


def _explained_variance(problems: Sequence[Problem], studies: Sequence[Study]) -> float:
    """Return the mean variance of the latency rows' logarithms that stems from the coefficients."""
    found = []
    for problem, study in zip(problems, studies, strict=True):
        for row, quantity in enumerate(study.quantities):
            if quantity == "latency_s":
                slopes = _slopes(problem, study.fit.values, row)
                found.append(float(slopes @ study.fit.covariance @ slopes))
    return float(np.mean(found)) if found else 0.0


def _slopes(problem: Problem, values: dict[str, float], row: int) -> Array:
    """Return d log(prediction) / d log(coefficient) of one row."""
    step = 1e-4
    base = problem.predict(values, row)
    moved = [problem.predict({**values, name: value * (1 + step)}, row) for name, value in values.items()]
    return (np.array(moved) / base - 1) / step


def _row_fits(problem: Problem, study: Study) -> list[RowFit]:
    start = {prior.name: prior.value for prior in problem.priors}
    contradicted = _far(study.left_out, study.quantities)
    unexplained = _far(study.fit.log_residuals, study.quantities)  # a neighbour of a wild row is not wild itself
    return [
        RowFit(
            id=identity,
            quantity=quantity,
            measured=measured,
            before=problem.predict(start, row),
            fitted=problem.predict(study.fit.values, row),
            left_out=measured * math.exp(float(study.left_out[row])),
            outlier=contradicted[row] and unexplained[row],
        )
        for row, (identity, quantity, measured, _group) in enumerate(problem.entries)
    ]


def _far(errors: Array, quantities: Sequence[str]) -> list[bool]:
    """Say which errors stand apart from the others of their quantity (median absolute deviation)."""
    result = []
    for row, quantity in enumerate(quantities):
        others = np.array([errors[k] for k in range(len(errors)) if quantities[k] == quantity and k != row])
        if len(others) < 4:
            result.append(False)
            continue
        center = float(np.median(others))
        deviation = max(1.4826 * float(np.median(np.abs(others - center))), ROW_LOG_SIGMA)
        result.append(abs(float(errors[row]) - center) > OUTLIER_DEVIATIONS * deviation)
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
    return f"{prior.name}, widened by {transfer_log_sigma(prior, stage):g}"


def _digest(rows: Sequence[Measurement]) -> str:
    return hashlib.sha256(measurements_csv(rows).encode()).hexdigest()[:16]
