"""Coefficients that made the measurements come back out of them."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("scipy", reason="the extra fit is not installed")

from lstmsim.errors import CalibrationError
from lstmsim.fitting.least_squares import Prior, coefficients_of, fit_logarithms, leave_one_out
from lstmsim.fitting.recalibrate import recalibrate
from lstmsim.fitting.studies import latency_priors, row_model
from lstmsim.measurements import Measurement

NOISE = 0.03
SEEDS = range(6)


def _rows() -> list[Measurement]:
    """Kernels that between them exercise every phase of the model."""
    float_knobs = dict.fromkeys(
        ("weight_format", "state_format", "cell_format", "accumulator_format", "io_format"), "float"
    )
    designs = [
        {},
        {"memory_bits": "512"},
        {"memory_bits": "512", "engines": "2"},
        {"elementwise_unroll": "16"},
        {"io_format": "float"},
        float_knobs,
        {**float_knobs, "accumulation": "chain", "mac_share": "8"},
        {"instances": "4", "memory_bits": "512"},
    ]
    rows = []
    for number, (units, steps) in enumerate(((32, 20), (96, 50), (160, 8), (256, 30))):
        for design, knobs in enumerate(designs):
            rows.append(
                Measurement(
                    id=f"r{number}-{design}",
                    device="u280" if number % 2 else "zcu104",
                    network=f"lstm:units={units},layers=2,timesteps={steps},features=16",
                    stage="board",
                    batch=16 if "instances" in knobs else 1,
                    knobs=knobs,
                )
            )
    return rows


def test_coefficients_recover_within_two_standard_errors() -> None:
    rows = _rows()
    models = [row_model(row) for row in rows]
    priors = latency_priors(models)
    deviations = []
    for seed in SEEDS:
        draw = np.random.default_rng(seed)
        truth = {
            prior.name: float(np.clip(prior.value * np.exp(draw.normal(0, prior.log_sigma)), prior.low, prior.high))
            for prior in priors
        }
        exact = np.array([model.latency_s(truth) for model in models])
        measured = exact * np.exp(draw.normal(0, NOISE, len(exact)))
        fit = fit_logarithms(
            priors, lambda values, row: models[row].latency_s(values), measured, np.full(len(rows), NOISE)
        )
        found = coefficients_of(fit, {})
        deviations += [
            (np.log(found[name].value) - np.log(value)) / found[name].log_stderr for name, value in truth.items()
        ]
    away = np.abs(deviations)
    assert np.mean(away <= 2.0) >= 0.93  # 95 % of a normal distribution, over all coefficients and seeds
    assert 0.5 <= np.sqrt(np.mean(np.square(deviations))) <= 1.4  # the errors are as large as they claim to be


def _line(values: dict[str, float], row: int) -> float:
    return values["base"] + values["slope"] * (row + 1)


PRIORS = tuple(
    Prior(name=name, value=1.0, log_sigma=1.0, low=1e-3, high=1e3, unit="s", source="test")
    for name in ("base", "slope")
)


def test_one_wild_row_does_not_carry_the_fit_away() -> None:
    measured = np.array([2.0 + 3.0 * (row + 1) for row in range(12)])
    measured[5] *= 4
    fit = fit_logarithms(PRIORS, _line, measured, np.full(12, 0.03))
    assert fit.values["slope"] == pytest.approx(3.0, rel=0.05)


def test_no_rows_give_the_prior_back() -> None:
    fit = fit_logarithms(PRIORS, _line, np.empty(0), np.empty(0))
    assert fit.values == {"base": pytest.approx(1.0), "slope": pytest.approx(1.0)}
    assert np.sqrt(np.diag(fit.covariance)) == pytest.approx([1.0, 1.0], rel=1e-3)


def test_a_correlated_prior_moves_both() -> None:
    """A row of base + slope moves a coefficient that it hardly sees, if the prior ties the two together."""
    tied = np.array([[1.0, 0.99], [0.99, 1.0]])
    measured = np.array([200.0])
    free = fit_logarithms(PRIORS, lambda values, _row: values["slope"] * 100, measured, np.array([0.03]))
    bound = fit_logarithms(PRIORS, lambda values, _row: values["slope"] * 100, measured, np.array([0.03]), tied)
    assert free.values["base"] == pytest.approx(1.0, rel=1e-3)
    assert bound.values["base"] == pytest.approx(2.0, rel=0.05)


def test_leaving_groups_out() -> None:
    measured = np.array([_line({"base": 2.0, "slope": 3.0}, row) for row in range(6)])
    errors = leave_one_out(PRIORS, _line, measured, np.full(6, 0.03), ["a", "a", "b", "b", "c", "c"])
    assert np.max(np.abs(errors)) < 0.2


def test_a_single_row_of_the_prior_s_own_prediction_moves_nothing() -> None:
    from lstmsim.calibration import load_calibration

    prior = load_calibration("paper-fpga")
    row = Measurement(id="x", device="u280", network="autoenc-1", stage="paper")
    values = {name: entry.value for name, entry in prior.coefficients.items()}
    from dataclasses import replace

    measured = replace(row, latency_s=row_model(row).latency_s(values))
    result = recalibrate("one", [measured], prior)
    for name, entry in result.calibration.coefficients.items():
        assert entry.value == pytest.approx(prior.coefficients[name].value, rel=1e-3)
    with pytest.raises(CalibrationError, match="no row has"):
        recalibrate("none", [row], prior)
