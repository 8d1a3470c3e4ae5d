from __future__ import annotations

import gzip
import sys
from pathlib import Path

import numpy as np
import pytest

from lstmsim.datasets import DetectionData, ForecastData, load_dataset, task_of
from lstmsim.datasets.nslkdd import read_records
from lstmsim.datasets.synthetic import ANOMALIES, load_synthetic, spoil
from lstmsim.errors import DataError, MissingExtra
from lstmsim.network import DenseLayer, LstmLayer, Network, RepeatLayer, load_preset, preset_names

NSL_KDD = Path(__file__).parents[3] / "shared" / "data"
NORMAL = "0,tcp,http,SF,181,5450,0,0,0,0,0,1,0,0,0,0,0,0,0,0,0,0,8,8,0,0,0,0,1,0,0,9,9,1,0,0.11,0,0,0,0,0,normal,20"
ATTACK = (
    "0,tcp,private,S0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,123,6,1,1,0,0,.05,.07,0,255,26,.1,.05,0,0,1,1,0,0,neptune,19"
)


def small_autoencoder(timesteps: int = 4, features: int = 3) -> Network:
    layers = (LstmLayer(units=5, return_sequences=False), RepeatLayer(count=timesteps), LstmLayer(units=features))
    return Network(name="small", timesteps=timesteps, features=features, layers=layers)


def small_forecaster(timesteps: int = 6, features: int = 2) -> Network:
    layers = (LstmLayer(units=4, return_sequences=False), DenseLayer(units=1))
    return Network(name="small", timesteps=timesteps, features=features, layers=layers)


def write_nslkdd(folder: Path, normal: int = 60, attacks: int = 30) -> None:
    text = "\n".join([NORMAL] * normal + [ATTACK] * attacks) + "\n"
    (folder / "KDDTrain+_20Percent.txt").write_text(text)
    (folder / "KDDTest+.txt.gz").write_bytes(gzip.compress(text.encode()))


def test_task_follows_from_the_shape() -> None:
    tasks = {name: task_of(load_preset(name)) for name in preset_names()}
    assert tasks == {
        **{f"autoenc-{n}": "detection" for n in range(1, 6)},
        "lstm-dense": "forecast",
        "lstm-cell": "forecast",
    }


@pytest.mark.parametrize("name", ["autoenc-1", "autoenc-3", "autoenc-5", "lstm-dense", "lstm-cell"])
def test_synthetic_fits_every_preset(name: str) -> None:
    network = load_preset(name)
    data = load_synthetic(network, sizes=(50, 20, 30))
    assert data.train.shape == (50, network.timesteps, network.features)
    assert len(data.calibration) == 20
    assert data.test.shape == (30, network.timesteps, network.features)
    assert np.isfinite(data.test).all()
    if isinstance(data, ForecastData):
        assert data.targets.shape == (30, network.output.timesteps, network.output.features)


def test_synthetic_is_the_same_for_the_same_seed_only() -> None:
    first, again, other = (load_synthetic(small_autoencoder(), seed=s, sizes=(40, 20, 40)) for s in (0, 0, 1))
    np.testing.assert_array_equal(first.test, again.test)
    assert not np.array_equal(first.test, other.test)


def test_every_kind_of_anomaly_changes_its_window_and_no_other() -> None:
    before = np.full((2 * len(ANOMALIES), 6, 5), 0.5, np.float32)
    before += np.arange(6, dtype=np.float32)[None, :, None] / 100 + np.arange(5, dtype=np.float32) / 50
    after, chosen = before.copy(), np.arange(len(before)) % 2 == 1
    spoil(after, chosen, np.random.default_rng(3))
    changed = (after != before).any(axis=(1, 2))
    np.testing.assert_array_equal(changed, chosen)


def test_forecast_targets_are_the_next_rows() -> None:
    network = load_preset("lstm-dense")
    data = load_synthetic(network, sizes=(40, 5, 20))
    assert isinstance(data, ForecastData)
    np.testing.assert_array_equal(data.train_targets[:, :-1, 0], data.train[:, 1:, 0])
    np.testing.assert_array_equal(data.train_targets[:-1, -1, 0], data.train[1:, -1, 0])


def test_nslkdd_columns_and_split(tmp_path: Path) -> None:
    write_nslkdd(tmp_path)
    data = load_dataset(str(tmp_path), load_preset("autoenc-5"))
    assert isinstance(data, DetectionData)
    assert data.train.shape == (48, 50, 1)
    assert len(data.calibration) == 12
    assert data.test.shape == (60, 50, 1)
    assert int(data.labels.sum()) == 30
    assert data.train.min() == 0.0
    assert data.train.max() == 1.0
    wide = load_dataset(str(tmp_path), load_preset("autoenc-1"))
    assert wide.test.shape[1:] == (2, 60)
    novel = load_dataset(f"{tmp_path}@novel", load_preset("autoenc-5"))
    assert len(novel.test) == 90


def test_nslkdd_columns_mean_what_they_say(tmp_path: Path) -> None:
    write_nslkdd(tmp_path, normal=1, attacks=1)
    records = read_records(tmp_path / "KDDTrain+_20Percent.txt", 116)
    assert records.values.shape == (2, 116)
    np.testing.assert_array_equal(records.attack, [False, True])
    indicators = 3  # one protocol, one flag, one service
    assert ((records.values == 1.0).sum(axis=1) >= indicators).all()
    expected = np.float32(np.log1p(181) / np.log1p(381709090))
    assert expected in records.values[0]


@pytest.mark.skipif(not NSL_KDD.is_dir(), reason="no copy of NSL-KDD beside the repository")
def test_nslkdd_itself() -> None:
    data = load_dataset(str(NSL_KDD), load_preset("autoenc-5"))
    assert isinstance(data, DetectionData)
    assert (len(data.train), len(data.calibration), len(data.test)) == (11449, 2000, 19422)
    assert data.labels.mean() == 0.5
    means = data.train[:, :, 0].mean(axis=0)
    assert means[0] < 0.001
    assert means[-1] > 0.9
    assert (np.diff(means) > -0.05).all()


def test_nslkdd_refuses_what_it_is_not(tmp_path: Path) -> None:
    write_nslkdd(tmp_path)
    with pytest.raises(DataError, match="50 to 116"):
        load_dataset(str(tmp_path), load_preset("autoenc-3"))
    with pytest.raises(DataError, match="forecasts"):
        load_dataset(str(tmp_path), load_preset("lstm-dense"))
    bad = tmp_path / "KDDTest+.txt"
    bad.write_text("1,2,3\n")
    with pytest.raises(DataError, match="line 1: 3 fields"):
        load_dataset(str(bad), load_preset("autoenc-5"))
    bad.write_text(NORMAL.replace("181", "many") + "\n")
    with pytest.raises(DataError, match="src_bytes"):
        load_dataset(str(bad), load_preset("autoenc-5"))
    broken = tmp_path / "KDDTrain+.txt.gz"
    broken.write_bytes(b"\x1f\x8b broken")
    with pytest.raises(DataError, match="gzip"):
        load_dataset(str(broken), load_preset("autoenc-5"))


def test_own_table_with_labels(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).random((200, 3)) * 10
    lines = ["time,a,b,c,label"] + [
        f"2020-01-01,{a},{b},{c},{'bad' if n % 50 == 49 else 'normal'}" for n, (a, b, c) in enumerate(rows)
    ]
    path = tmp_path / "own.csv"
    path.write_text("\n".join(lines))
    data = load_dataset(str(path), small_autoencoder())
    assert isinstance(data, DetectionData)
    assert data.train.shape[1:] == (4, 3)
    assert data.train.min() >= 0.0
    assert data.train.max() <= 1.0
    assert 0 < data.labels.mean() < 0.5
    forecast = load_dataset(str(path), small_forecaster())
    assert isinstance(forecast, ForecastData)
    truth = forecast.offset + forecast.scale * forecast.targets[:, -1, 0]
    np.testing.assert_allclose(truth[-1], rows[-1, 0], rtol=1e-5)


def test_own_array_and_parquet_say_the_same(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).random((100, 3))
    np.save(tmp_path / "own.npy", rows)
    first = load_dataset(str(tmp_path / "own.npy"), small_autoencoder())
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    pandas.DataFrame(rows, columns=list("abc")).to_parquet(tmp_path / "own.parquet")
    second = load_dataset(str(tmp_path / "own.parquet"), small_autoencoder())
    np.testing.assert_array_equal(first.test, second.test)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"", "empty"),
        ("a.csv", b"x,y\n1,2\n3\n", "1 cells"),
        ("a.csv", b"x,y\n1,\n2,3\n", "2 numeric columns|row 1"),
        ("a.csv", b"\xff\xfe\x00", "not a CSV"),
        ("a.csv", b"p,q\nred,blue\n", "no rows of numbers"),
        ("a.npy", b"not an array", "not an array"),
        ("a.parquet", b"not parquet", "not a Parquet"),
        ("a.xlsx", b"", "is not .csv"),
    ],
)
def test_bad_tables_give_one_clear_line(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow")
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as problem:
        load_dataset(str(path), small_autoencoder())
    assert "\n" not in str(problem.value)


def test_missing_data_and_missing_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match="no data at"):
        load_dataset("nowhere.csv", small_autoencoder())
    with pytest.raises(DataError, match="stocks"):
        load_dataset("bokeh:stoks", small_forecaster())
    monkeypatch.setitem(sys.modules, "bokeh_sampledata", None)
    monkeypatch.setitem(sys.modules, "bokeh_sampledata.stocks", None)
    with pytest.raises(MissingExtra, match=r"lstmsim\[data\]"):
        load_dataset("bokeh:stocks", small_forecaster())


@pytest.mark.parametrize("which", ["stocks", "sst"])
def test_bokeh_series(which: str) -> None:
    pytest.importorskip("bokeh_sampledata")
    network = load_preset("lstm-cell" if which == "stocks" else "lstm-dense")
    data = load_dataset(f"bokeh:{which}", network)
    assert isinstance(data, ForecastData)
    assert data.train.shape[1:] == (network.timesteps, network.features)
    assert len(data.train) > len(data.test) > 1000
    truth = data.offset + data.scale * data.targets[:, -1, 0]
    low, high = (50, 800) if which == "stocks" else (0, 30)
    assert low * 0 < np.median(truth) < high
    assert np.isfinite(data.train).all()
