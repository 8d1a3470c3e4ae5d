from __future__ import annotations

import dataclasses
import json
import math
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

import lstmsim
from lstmsim.calibration import calibration_toml, load_calibration
from lstmsim.cli.main import cli
from lstmsim.config import KernelConfig, fixed_config, float_config, replace_knobs
from lstmsim.device import FpgaDevice, device_names, load_device
from lstmsim.errors import CalibrationError, ConfigError, DoesNotFit
from lstmsim.estimate import chosen_config, estimate
from lstmsim.network import DenseLayer, LstmLayer, Network, load_preset, preset_names

KEYS = {
    "latency_s", "latency_low_s", "latency_high_s", "cycles", "resources", "utilization", "fits", "bottleneck",
    "extrapolated",
}  # fmt: skip


def stack(units: int, layers: int, timesteps: int, features: int = 4) -> Network:
    return Network(name="stack", timesteps=timesteps, features=features, layers=(LstmLayer(units=units),) * layers)


def run_cli(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "lstmsim", *arguments], capture_output=True, text=True, check=False, timeout=120
    )


@pytest.mark.parametrize("device", device_names())
@pytest.mark.parametrize("network", preset_names())
def test_every_network_on_every_device(network: str, device: str) -> None:
    result = estimate(network, device)
    assert 1e-5 < result.latency_low_s < result.latency_s < result.latency_high_s < 60
    assert sum(result.seconds.values()) == pytest.approx(result.latency_s, rel=1e-12)
    if result.cycles is not None:
        assert set(result.to_dict()) >= KEYS
        assert sum(result.cycles.values()) / result.clock_hz == pytest.approx(result.latency_s, rel=1e-12)
        assert result.fits == all(share <= 1 for share in result.utilization.values())


@pytest.mark.parametrize("device", ["zcu104", "v100"])
def test_json_has_the_promised_keys(device: str) -> None:
    answer = CliRunner().invoke(cli, ["estimate", "--device", device, "--json"])
    assert answer.exit_code == 0
    found = json.loads(answer.stdout)
    expected = KEYS if device == "zcu104" else KEYS - {"cycles", "resources", "utilization", "fits"}
    assert expected <= set(found)


@pytest.mark.parametrize(
    "network",
    [stack(1, 1, 1), stack(2048, 1, 10), stack(8, 40, 5), stack(1, 1, 1, features=1), stack(100_000, 2, 3)],
)
@pytest.mark.parametrize("device", ["zcu104", "u280", "pynq-z2", "t4", "xeon-4210"])
def test_odd_networks_give_sensible_numbers(network: Network, device: str) -> None:
    result = estimate(network, device)
    assert math.isfinite(result.latency_s)
    assert result.latency_s > 0
    assert result.extrapolated
    assert result.reasons
    if result.fits is False:
        assert result.breaks_first in result.resources
        assert result.advice


def test_a_design_that_cannot_fit_says_what_breaks_first() -> None:
    result = estimate("autoenc-4", "zcu104", float_config())
    assert result.fits is False
    assert result.breaks_first in ("dsp", "lut", "lutram")
    with pytest.raises(DoesNotFit, match="needs"):
        estimate("autoenc-4", "zcu104", float_config(), strict=True)


def test_the_default_design_fits_where_any_does() -> None:
    for network in preset_names():
        for device in ("zcu104", "u280", "u50"):
            # one cell of 256 units and 512 columns at 16 bits is more than the ZCU104 has of any one memory
            assert estimate(network, device).fits == ((network, device) != ("lstm-cell", "zcu104")), (network, device)


def test_more_parallelism_is_never_slower_and_never_smaller() -> None:
    network, device = load_preset("autoenc-5"), load_device("u280")
    base = KernelConfig(mac_share=8, memory_bits=64)
    slow = estimate(network, device, base)
    for change in ({"mac_share": 4}, {"engines": 2}, {"elementwise_unroll": 8}, {"memory_bits": 512}):
        fast = estimate(network, device, replace_knobs(base, change))
        assert fast.latency_s <= slow.latency_s
        if "memory_bits" not in change:
            assert fast.resources["dsp"] > slow.resources["dsp"]


def test_rejected_techniques_do_not_help_a_single_input_and_cost_resources() -> None:
    base = KernelConfig(memory_bits=512)
    one = estimate("autoenc-5", "u280", base)
    for change in ({"layer_parallel": True}, {"systolic_steps": 4}):
        config = replace_knobs(base, change)
        assert estimate("autoenc-5", "u280", config).latency_s >= one.latency_s
        assert estimate("autoenc-5", "u280", config).resources["dsp"] > one.resources["dsp"]
        assert (
            estimate("autoenc-5", "u280", config, batch=64).latency_s
            < estimate("autoenc-5", "u280", base, batch=64).latency_s
        )


def test_fewer_bits_need_less() -> None:
    wide = estimate("autoenc-5", "u280", fixed_config(16, 8)).resources
    narrow = estimate("autoenc-5", "u280", fixed_config(12, 6)).resources
    assert all(narrow[name] <= wide[name] for name in wide)
    assert narrow["lutram"] < wide["lutram"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--device", "zcu1044"], "zcu104"),
        (["autoenc5", "--device", "zcu104"], "autoenc-5"),
        (["--device", "zcu104", "--set", "enginse=2"], "engines"),
        (["--device", "zcu104", "--set", "engines=0"], "engines"),
        (["--device", "zcu104", "--set", "engines"], "KNOB=VALUE"),
        (["--device", "zcu104", "--set", "weight_format=ap_fixed<0,0>"], "width"),
        (["--device", "zcu104", "--set", "clock_hz=900MHz"], "limit of zcu104"),
        (["--device", "v100", "--set", "engines=2"], "gpu"),
        (["--device", "zcu104", "--batch", "0"], "batch"),
        (["--device", "zcu104", "--calibration", "paper-processors"], "processor"),
        (["--device", "./nowhere.toml"], "nowhere.toml"),
        (["--device", "zcu104", "--config", "nowhere.toml"], "nowhere.toml"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(arguments: list[str], words: str) -> None:
    answer = run_cli("estimate", *arguments)
    assert answer.returncode == 2
    assert "Traceback" not in answer.stderr
    assert words in answer.stderr


def test_a_board_of_the_users_own(tmp_path: Path) -> None:
    source = Path(lstmsim.__file__).parent / "data" / "devices" / "zcu104.toml"
    board = tmp_path / "my_board.toml"
    board.write_text(source.read_text().replace('name = "zcu104"', 'name = "mine"').replace("dsp = 1728", "dsp = 900"))
    result = estimate("autoenc-5", str(board))
    assert result.device == "mine"
    assert result.extrapolated
    assert result.fits
    assert result.config["mac_share"] > 1


@pytest.mark.parametrize("name", ["dsp_tree", "state_cycles"])
def test_a_calibration_without_a_coefficient_is_refused(name: str) -> None:
    whole = load_calibration("paper-fpga")
    other = {f"{key}_" if key == name else key: value for key, value in whole.coefficients.items()}
    for call in (estimate, chosen_config):
        with pytest.raises(CalibrationError, match=f"no coefficient '{name}'"):
            call(
                load_preset("autoenc-1"),
                load_device("u280"),
                calibration=dataclasses.replace(whole, coefficients=other),
            )


def test_calibrations_survive_a_round_trip(tmp_path: Path) -> None:
    calibration = load_calibration("paper-fpga")
    path = tmp_path / "copy.toml"
    path.write_text(calibration_toml(calibration))
    again = load_calibration(str(path))
    assert estimate("autoenc-5", "u280", calibration=again).latency_s == pytest.approx(
        estimate("autoenc-5", "u280").latency_s, rel=1e-5
    )
    assert again.made_from == calibration.made_from
    whole = path.read_text()
    for old, new, word in [
        ("schema = 1", "schema = 7", "schema"),
        ('"latency_s" = 0.04', '"latency_s" = 9e9 #', "log_sigma"),
        ("covariance = [\n    [", "covariance = [\n    [nan, ", "covariance"),
        ('"batch" = [1, 128]', '"batch" = [1, inf]', "range"),
    ]:
        assert old in whole
        path.write_text(whole.replace(old, new))
        with pytest.raises(CalibrationError, match=word):
            load_calibration(str(path))


def test_an_estimate_prints_itself() -> None:
    result = estimate("autoenc-5", "zcu104")
    assert "autoenc-5 on zcu104" in str(result)
    assert "<pre>" in result._repr_html_()


def test_dense_only_networks_are_estimated() -> None:
    network = Network(name="mlp", timesteps=1, features=16, layers=(DenseLayer(units=32), DenseLayer(units=1)))
    assert estimate(network, "zcu104").cycles["dense"] > 0


def test_the_clock_is_the_devices_where_none_is_set() -> None:
    device = load_device("zcu104")
    assert isinstance(device, FpgaDevice)
    config = chosen_config(load_preset("autoenc-5"), device)
    slower = estimate("autoenc-5", device, dataclasses.replace(config, clock_hz=150e6))
    assert estimate("autoenc-5", device, config).clock_hz == device.clock_hz
    assert slower.latency_s > estimate("autoenc-5", device, config).latency_s


@settings(max_examples=150, deadline=None)
@given(
    st.integers(1, 3000),
    st.integers(1, 6),
    st.integers(1, 300),
    st.sampled_from([1, 2, 4]),
    st.integers(1, 4096),
    st.integers(1, 64),
    st.sampled_from([16, 32, 64, 512]),
    st.integers(1, 8),
    st.sampled_from(["tree", "cascade", "chain"]),
    st.booleans(),
    st.integers(1, 4096),
)
def test_any_design_has_finite_positive_figures(
    units: int, layers: int, steps: int, gates: int, share: int, engines: int, bits: int, instances: int,
    accumulation: str, floating: bool, batch: int,
) -> None:  # fmt: skip
    knobs = {
        "parallel_gates": gates, "mac_share": share, "engines": engines, "memory_bits": bits, "instances": instances,
        "accumulation": accumulation,
    }  # fmt: skip
    config = float_config(**knobs) if floating else fixed_config(16, 8, **knobs)
    try:
        result = estimate(stack(units, layers, steps), "u280", config, batch=batch)
    except ConfigError:
        return
    assert all(math.isfinite(value) and value >= 0 for value in result.cycles.values())
    assert all(math.isfinite(value) and value >= 0 for value in result.resources.values())
    assert 0 < result.latency_low_s <= result.latency_s <= result.latency_high_s
