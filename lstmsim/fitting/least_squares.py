"""From measurements to coefficients: bounded, robust least squares on logarithms, with priors.

Every coefficient is positive, so its logarithm is fitted; residuals are logarithms of predicted over measured, which
weighs 0.3 ms and 400 ms alike. A prior says what is known without the rows: it decides where they cannot.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lstmsim.calibration import Coefficient
from lstmsim.errors import CalibrationError, MissingExtra
from lstmsim.files import data_folder, read_toml

Array = NDArray[np.float64]
Predict = Callable[[dict[str, float], int], float]
"""Prediction of row i from named coefficients."""

ROW_LOG_SIGMA = 0.04
"""Spread of a row that is not explained by its printed digits: model error, clock and place-and-route luck."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prior:
    """What is known of a coefficient before the fit: log-normal, between bounds."""

    name: str
    value: float
    log_sigma: float
    low: float
    high: float
    unit: str
    source: str


@dataclass(frozen=True, slots=True)
class Fit:
    """A fitted set of coefficients with the covariance of their logarithms."""

    priors: tuple[Prior, ...]
    values: dict[str, float]
    covariance: Array
    log_residuals: Array


def load_priors(name: str) -> tuple[Prior, ...]:
    """Return the priors of "fpga-latency", "fpga-resources", "gpu" or "cpu"."""
    table = read_toml(data_folder("priors") / f"{name}.toml", error=CalibrationError)
    return tuple(Prior(name=key, **entry) for key, entry in table.items())


def fit_logarithms(
    priors: Sequence[Prior],
    predict: Predict,
    measured: Array,
    row_log_sigma: Array,
    prior_covariance: Array | None = None,
    start: Mapping[str, float] | None = None,
) -> Fit:
    """Fit coefficients to rows.

    Args:
        priors: one a coefficient.
        predict: prediction of a row (by its number) from named coefficients, in the unit of `measured`.
        measured: [rows], above zero; no rows give the priors back.
        row_log_sigma: [rows], spread of each row's logarithm.
        prior_covariance: [priors, priors], of the priors' logarithms; by default they are independent.
        start: where to begin the search; by default at the priors.
    """
    least_squares = _least_squares()
    names = [prior.name for prior in priors]
    center = np.log([prior.value for prior in priors])
    whitening = _whitening(priors, prior_covariance)
    low, high = np.log([prior.low for prior in priors]), np.log([prior.high for prior in priors])
    target = np.log(measured)
    begin = center if start is None else np.log([start[name] for name in names])

    def log_errors(logs: Array) -> Array:
        values = dict(zip(names, np.exp(logs).tolist(), strict=True))
        return np.log([predict(values, row) for row in range(len(target))]) - target

    def residuals(logs: Array) -> Array:
        return np.concatenate([log_errors(logs) / row_log_sigma, whitening @ (logs - center)])

    found = least_squares(residuals, np.clip(begin, low, high), bounds=(low, high), loss="soft_l1")
    jacobian = _jacobian(residuals, found.x)
    covariance: Array = np.linalg.pinv(jacobian.T @ jacobian).astype(np.float64)
    values = dict(zip(names, np.exp(found.x).tolist(), strict=True))
    return Fit(tuple(priors), values, covariance, log_errors(found.x))


def _whitening(priors: Sequence[Prior], covariance: Array | None) -> Array:
    """Return the matrix that turns deviations from the priors into independent ones of unit spread."""
    if covariance is None:
        return np.diag([1.0 / prior.log_sigma for prior in priors])
    inverse: Array = np.linalg.inv(np.linalg.cholesky(covariance))
    return inverse


def leave_one_out(
    priors: Sequence[Prior],
    predict: Predict,
    measured: Array,
    row_log_sigma: Array,
    groups: Sequence[str],
    prior_covariance: Array | None = None,
    start: Mapping[str, float] | None = None,
) -> Array:
    """Return the logarithm of predicted over measured of every row, predicted without the rows of its group."""
    everything = np.arange(len(measured))
    labels = np.array(groups)
    errors = np.empty(len(measured))
    for group in dict.fromkeys(groups):
        kept = everything[labels != group]
        fit = fit_logarithms(priors, _only(predict, kept), measured[kept], row_log_sigma[kept], prior_covariance, start)
        for row in everything[labels == group].tolist():
            errors[row] = np.log(predict(fit.values, row)) - np.log(measured[row])
    return errors


def _only(predict: Predict, kept: NDArray[np.intp]) -> Predict:
    return lambda values, row: predict(values, int(kept[row]))


def coefficients_of(fit: Fit, rows_behind: dict[str, tuple[str, ...]], suffix: str = "") -> dict[str, Coefficient]:
    """Return the fit as named coefficients; `rows_behind` names the measurements that moved each."""
    errors = np.sqrt(np.diag(fit.covariance))
    return {
        prior.name + suffix: Coefficient(
            name=prior.name + suffix,
            value=fit.values[prior.name],
            log_stderr=float(error),
            unit=prior.unit,
            low=prior.low,
            high=prior.high,
            prior=prior.value,
            prior_log_sigma=prior.log_sigma,
            rows=rows_behind.get(prior.name, ()),
            source=prior.source,
        )
        for prior, error in zip(fit.priors, errors, strict=True)
    }


def rows_that_matter(
    fit: Fit, predict: Predict, ids: Sequence[str], *, threshold: float = 0.01
) -> dict[str, tuple[str, ...]]:
    """Return the rows behind each coefficient: d log(prediction) / d log(coefficient) is at least `threshold`."""
    step = 1e-4
    found: dict[str, list[str]] = {name: [] for name in fit.values}
    for row, identity in enumerate(ids):
        base = np.log(predict(fit.values, row))
        for name, value in fit.values.items():
            moved = {**fit.values, name: value * float(np.exp(step))}
            if abs(np.log(predict(moved, row)) - base) / step >= threshold:
                found[name].append(identity)
    return {name: tuple(rows) for name, rows in found.items()}


def _jacobian(function: Callable[[Array], Array], point: Array) -> Array:
    step = 1e-5
    columns = []
    for index in range(len(point)):
        shift = np.zeros(len(point))
        shift[index] = step
        columns.append((function(point + shift) - function(point - shift)) / (2 * step))
    return np.array(columns).T


def _least_squares() -> Any:
    try:
        from scipy.optimize import least_squares
    except ImportError:
        raise MissingExtra("scipy", "fit", "fitting a calibration") from None
    return least_squares
