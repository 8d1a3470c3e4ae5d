from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from lstmsim.accuracy import make_reference, measure
from lstmsim.cli.main import main
from lstmsim.config import config_from_toml
from lstmsim.datasets.synthetic import load_synthetic
from lstmsim.errors import ConfigError, DataError
from lstmsim.fixedpoint import FixedFormat
from lstmsim.formats import GROUPS, savings, search_formats
from lstmsim.model import random_model
from lstmsim.network import DenseLayer, LstmLayer, Network, RepeatLayer
from lstmsim.ranges import integer_bits_for, observe_ranges
from lstmsim.simulate import simulate

AUTOENCODER = Network(
    name="tiny",
    timesteps=3,
    features=4,
    layers=(LstmLayer(units=6, return_sequences=False), RepeatLayer(count=3), LstmLayer(units=4)),
)
FORECASTER = Network(
    name="tiny", timesteps=5, features=2, layers=(LstmLayer(units=4, return_sequences=False), DenseLayer(units=1))
)


@pytest.mark.parametrize("network", [AUTOENCODER, FORECASTER])
def test_search_keeps_the_target_with_fewer_bits(network: Network, tmp_path: Path) -> None:
    model, data = random_model(network, 5), load_synthetic(network, sizes=(20, 200, 600))
    search = search_formats(model, data, target=0.95, samples=600)
    for number in (search.config.weight_format, search.config.state_format, search.config.cell_format):
        assert number.width_bits < 16
    assert search.searched.quality >= search.bar > 0.95
    assert search.found.samples == 300
    tried = {step.what.split()[0] for step in search.steps}
    assert {"all", "weights", "state", "cell", "tables"} <= tried <= {"all", *GROUPS}
    last_of_group = {step.what.split()[0]: step.kept for step in search.steps}
    assert not last_of_group["weights"]
    path = tmp_path / "found.toml"
    path.write_text(search.to_toml())
    assert config_from_toml(path) == search.config


def test_found_figures_come_from_windows_not_searched_on() -> None:
    model, data = random_model(AUTOENCODER, 5), load_synthetic(AUTOENCODER, sizes=(20, 200, 400))
    search = search_formats(model, data, target=0.95, samples=400)
    second = dataclasses.replace(data, test=data.test[200:], labels=data.labels[200:])
    again = measure(make_reference(model, second, samples=None), search.config, "found")
    assert again == search.found


def test_ranges_bound_what_happens() -> None:
    model, data = random_model(AUTOENCODER, 5, scale=2.0), load_synthetic(AUTOENCODER, sizes=(10, 50, 50))
    seen = observe_ranges(model, data.test)
    assert seen.inputs == np.abs(data.test).max()
    assert seen.hidden <= 1.0
    assert seen.gate_inputs <= seen.largest_sum
    assert np.abs(model.predict(data.test)).max() <= seen.hidden


def test_the_accumulator_never_wraps() -> None:
    model, data = random_model(AUTOENCODER, 6, scale=2.0), load_synthetic(AUTOENCODER, sizes=(10, 50, 100))
    search = search_formats(model, data, target=0.95, samples=100)
    accumulator = search.config.accumulator_format
    assert isinstance(accumulator, FixedFormat)
    wider = FixedFormat(width_bits=accumulator.width_bits + 8, integer_bits=accumulator.integer_bits + 8)
    roomy = dataclasses.replace(search.config, accumulator_format=wider)
    np.testing.assert_array_equal(simulate(model, search.config, data.test), simulate(model, roomy, data.test))


@pytest.mark.parametrize(
    ("magnitude", "bits"), [(0.0, 1), (0.99, 1), (1.0, 2), (1.99, 2), (2.0, 3), (7.9, 4), (8.0, 5)]
)
def test_integer_bits_hold_the_magnitude(magnitude: float, bits: int) -> None:
    assert integer_bits_for(magnitude) == bits
    assert FixedFormat(width_bits=40, integer_bits=bits).value_max >= magnitude


def test_savings_name_every_board() -> None:
    model, data = random_model(AUTOENCODER, 5), load_synthetic(AUTOENCODER, sizes=(10, 50, 200))
    rows = savings(AUTOENCODER, search_formats(model, data, target=0.9, samples=200))
    names = {row["device"] for row in rows}
    assert {"u280", "zcu104"} <= names
    assert all(row["latency_s"] > 0 for row in rows)


def test_search_refuses() -> None:
    model, data = random_model(AUTOENCODER, 5), load_synthetic(AUTOENCODER, sizes=(10, 50, 200))
    with pytest.raises(ConfigError, match=r"50 %\.\.100 %"):
        search_formats(model, data, target=0.2)
    with pytest.raises(DataError, match="too few"):
        search_formats(model, data, samples=20)


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "found.toml"
    words = ["formats", "autoenc-1", "--samples", "400", "--min-accuracy", "97%", "-o", str(target), "--json"]
    with pytest.raises(SystemExit) as leaving:
        main(words)
    assert leaving.value.code == 0
    document = json.loads(capsys.readouterr().out)
    assert config_from_toml(target).to_dict() == document["config"]
    assert document["savings"]
    with pytest.raises(SystemExit) as leaving:
        main([*words[:5], "1.5"])
    assert leaving.value.code == 2
