from __future__ import annotations

import json
import math
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from lstmsim.accuracy import (
    auc,
    compare,
    f1_score,
    format_config,
    fractional_configs,
    make_reference,
    measure,
    model_for,
    published_points,
    quick_accuracy,
    sqnr_db,
    sweep,
    window_scores,
)
from lstmsim.cli.main import main
from lstmsim.config import KernelConfig, float_config
from lstmsim.datasets import DetectionData, ForecastData
from lstmsim.datasets.synthetic import load_synthetic
from lstmsim.errors import ConfigError, DataError
from lstmsim.fixedpoint import FLOAT32, FixedFormat, parse_format
from lstmsim.model import random_model
from lstmsim.network import DenseLayer, LstmLayer, Network, RepeatLayer
from lstmsim.simulate import simulate

AUTOENCODER = Network(
    name="tiny",
    timesteps=3,
    features=4,
    layers=(LstmLayer(units=5, return_sequences=False), RepeatLayer(count=3), LstmLayer(units=4)),
)
FORECASTER = Network(
    name="tiny", timesteps=5, features=2, layers=(LstmLayer(units=4, return_sequences=False), DenseLayer(units=1))
)


def detection() -> DetectionData:
    data = load_synthetic(AUTOENCODER, sizes=(20, 60, 120))
    assert isinstance(data, DetectionData)
    return data


def test_measure_is_the_simulator_and_the_protocol() -> None:
    data, model = detection(), random_model(AUTOENCODER, 3)
    config = format_config(parse_format("ap_fixed<10,4,AP_RND,AP_SAT>"))
    reference = make_reference(model, data, samples=100)
    result = measure(reference, config)
    inputs = np.concatenate([data.calibration, data.test[:100]])
    outputs = np.asarray(simulate(model, config, inputs))
    scores = np.square(outputs - inputs).mean(axis=(1, 2))
    decisions = scores[60:] > np.percentile(scores[:60], 95)
    wanted = model.predict(inputs)
    float_scores = np.square(wanted - inputs).mean(axis=(1, 2))
    float_decisions = float_scores[60:] > np.percentile(float_scores[:60], 95)
    assert result.accuracy == (decisions == data.labels[:100]).mean()
    assert result.agreement == (decisions == float_decisions).mean()
    assert result.float_accuracy == (float_decisions == data.labels[:100]).mean()
    assert result.samples == 100
    assert result.quality == result.agreement


def test_equal_outputs_lose_nothing() -> None:
    reference = make_reference(random_model(AUTOENCODER, 1), detection(), samples=None)
    result = compare(reference, reference.calibration, reference.test, "same")
    assert result.agreement == 1.0
    assert result.accuracy == result.float_accuracy == result.kept_threshold_accuracy
    assert math.isinf(result.sqnr_db)


def test_fewer_fractional_bits_lose_more() -> None:
    reference = make_reference(random_model(AUTOENCODER, 1), detection(), samples=None)
    results = sweep(reference, fractional_configs([2, 6, 10]))
    noise = [one.sqnr_db for one in results]
    assert noise == sorted(noise)
    assert results[0].agreement is not None
    assert results[2].agreement is not None
    assert results[0].agreement < results[2].agreement
    assert measure(reference, float_config()).sqnr_db > noise[0]


def test_any_executor_gives_the_same_in_order() -> None:
    reference = make_reference(random_model(AUTOENCODER, 1), detection(), samples=50)
    configs = fractional_configs(range(3, 9), truncate=True)
    done: list[int] = []
    alone = sweep(reference, configs, progress=done.append)
    with ThreadPoolExecutor(3) as threads:
        shared = sweep(reference, configs, executor=threads)
    assert alone == shared
    assert [one.label for one in alone] == [label for label, _ in configs]
    assert sum(done) == len(configs)


def test_a_reference_travels_to_other_processes() -> None:
    reference = make_reference(random_model(AUTOENCODER, 1), detection(), samples=30)
    copy = pickle.loads(pickle.dumps(reference))
    config = fractional_configs([5])[0][1]
    assert measure(copy, config, threads=1) == measure(reference, config)


def test_forecast_errors_are_in_the_data_unit() -> None:
    data = load_synthetic(FORECASTER, sizes=(10, 10, 40))
    assert isinstance(data, ForecastData)
    reference = make_reference(random_model(FORECASTER, 1), data, samples=None)
    outputs = data.targets.astype(np.float64) + 0.25
    result = compare(reference, reference.calibration, outputs, "off by a quarter")
    assert result.rmse == pytest.approx(0.25, abs=1e-9)
    assert result.mae == pytest.approx(0.25, abs=1e-9)
    assert result.mape == pytest.approx(np.abs(0.25 / data.targets[:, -1, 0]).mean(), rel=1e-6)
    assert result.accuracy is None
    assert 0 < result.quality <= 1


def brute_force_auc(scores: NDArray[np.float64], labels: NDArray[np.bool_]) -> float:
    pairs = [(float(p > n) + 0.5 * float(p == n)) for p in scores[labels] for n in scores[~labels]]
    return float(np.mean(pairs))


@pytest.mark.parametrize("seed", range(5))
def test_auc_against_all_pairs(seed: int) -> None:
    generator = np.random.default_rng(seed)
    scores = generator.integers(0, 8, 40).astype(np.float64)
    labels = generator.random(40) < 0.4
    assert auc(scores, labels) == pytest.approx(brute_force_auc(scores, labels))


def test_figures_by_hand() -> None:
    labels = np.array([True, True, False, False])
    assert f1_score(np.array([True, False, True, False]), labels) == 0.5
    assert f1_score(np.zeros(4, np.bool_), np.zeros(4, np.bool_)) is None
    assert auc(np.arange(4.0), np.ones(4, np.bool_)) is None
    assert sqnr_db(np.full(4, 10.0), np.full(4, 11.0)) == pytest.approx(20.0)
    assert window_scores(np.ones((2, 3, 1)), np.zeros((2, 3, 1))).tolist() == [1.0, 1.0]


def test_formats_of_a_sweep() -> None:
    ((label, config),) = fractional_configs([6])
    assert label == "ap_fixed<16,10,AP_RND,AP_SAT>"
    assert str(config.accumulator_format) == "ap_fixed<32,20>"
    ((_, truncating),) = fractional_configs([6], truncate=True)
    assert str(truncating.state_format) == "ap_fixed<16,10>"
    assert format_config(FLOAT32).is_float
    assert isinstance(format_config(parse_format("ap_fixed<30,10>")).accumulator_format, FixedFormat)
    with pytest.raises(ConfigError, match=r"outside 0\.\.15"):
        fractional_configs([16])


def test_published_points_are_the_papers() -> None:
    points = {one.fractional_bits: one.accuracy for one in published_points("autoenc-5")}
    assert points == {8: 0.9517, 6: 0.9419, 4: 0.8641}
    assert published_points("lstm-cell") == ()


def test_missing_weights_say_what_to_do() -> None:
    with pytest.raises(DataError, match="lstmsim train"):
        model_for(AUTOENCODER, detection())
    with pytest.raises(ConfigError, match="at least 1"):
        make_reference(random_model(AUTOENCODER), detection(), samples=0)


def test_packaged_models_detect_synthetic_anomalies() -> None:
    result = quick_accuracy("autoenc-1", format_config(parse_format("ap_fixed<16,6,AP_RND,AP_SAT>")), samples=400)
    assert result.float_accuracy is not None
    assert result.agreement is not None
    assert result.float_accuracy > 0.7
    assert result.agreement >= 0.99


def run(*words: str) -> int:
    with pytest.raises(SystemExit) as leaving:
        main(list(words))
    return int(leaving.value.code or 0)


def test_command_prints_json_and_draws(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    image = tmp_path / "curve.png"
    words = ("accuracy", "autoenc-1", "--samples", "100", "--sweep", "fractional=4..6", "--plot", str(image))
    assert run(*words, "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert [one["fractional_bits"] for one in document["results"]] == [4, 5, 6]
    assert image.read_bytes().startswith(b"\x89PNG")
    assert run(*words) == 2
    assert "--force" in capsys.readouterr().err


def test_command_prints_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("accuracy", "autoenc-1", "--samples", "100", "--format", "ap_fixed<12,4>", "--format", "float") == 0
    text = capsys.readouterr().out
    assert "<12,4>" in text
    assert "synthetic" in text


@pytest.mark.parametrize(
    "words",
    [
        ("--sweep", "width=2..3"),
        ("--sweep", "fractional=9..3"),
        ("--sweep", "fractional=12..20"),
        ("--format", "ap_fixed<>"),
        ("--samples", "0"),
        ("--data", "nothing.csv"),
        ("--weights", "nothing.npz"),
        ("--plot", "curve.gif", "--samples", "10"),
    ],
)
def test_command_refuses_in_one_line(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert run("accuracy", "autoenc-1", *words) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


def test_default_config_can_be_measured() -> None:
    reference = make_reference(random_model(AUTOENCODER, 2), detection(), samples=20)
    assert measure(reference, KernelConfig()).label == KernelConfig().digest
