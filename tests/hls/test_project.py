"""Written projects: complete, honest about failures, safe with folders."""

from __future__ import annotations

import dataclasses
import json
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner
from hls_compiled import SOURCES, missing_tool

from lstmsim.cli.main import cli, main
from lstmsim.config import KernelConfig, float_config
from lstmsim.device import load_device
from lstmsim.errors import ConfigError
from lstmsim.fixedpoint import FixedFormat
from lstmsim.hls import write_project
from lstmsim.hls.headers import config_header, digest_words
from lstmsim.hls.project import GENERATED, generated_texts, source_names
from lstmsim.model import random_model
from lstmsim.network import load_preset
from lstmsim.quantise import quantise_model

NETWORK = load_preset("autoenc-1")


@pytest.fixture(scope="module")
def model():
    return random_model(NETWORK, seed=1)


@pytest.fixture
def compiler():
    if reason := missing_tool():
        pytest.skip(reason)


def make(folder: Path, target: str) -> subprocess.CompletedProcess[str]:
    command = ["make", "-j2", "-C", str(folder), target, "OPTIMISATION=-O1"]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[1] ^= 1  # bit 8 of the first value, which is worth 1
    path.write_bytes(content)


@pytest.mark.parametrize("device", ["u280", "zcu104"])
def test_csim_passes_and_notices_a_wrong_bit(compiler, tmp_path, device):
    folder = tmp_path / "project"
    arguments = ["hls", "autoenc-1", "--device", device, "--seed", "3", "-o", str(folder)]
    done = CliRunner().invoke(cli, arguments)
    assert done.exit_code == 0, done.output
    result = make(folder, "csim")
    assert result.returncode == 0, result.stderr
    assert "PASS: 2 samples, 0 of 240 output values and 0 of 1536 internal states differ" in result.stdout
    if device == "zcu104":
        return
    for name in ("outputs.bin", "states.bin", "weights0.bin", "inputs.bin"):
        flip_a_bit(folder / "data" / name)
        result = make(folder, "csim")
        assert result.returncode != 0, name
        assert "FAIL" in result.stdout
        flip_a_bit(folder / "data" / name)
    assert make(folder, "csim").returncode == 0


@pytest.mark.parametrize("target", ["csynth", "xclbin", "hw_emu"])
def test_targets_that_need_vitis_say_so(tmp_path, model, target):
    write_project(model, KernelConfig(), load_device("u280"), tmp_path / "project")
    result = subprocess.run(
        ["make", "-C", str(tmp_path / "project"), target],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "/usr/bin:/bin"},
    )
    assert result.returncode != 0
    assert "needs" in result.stderr
    assert "Vitis" in result.stderr


OTHER_VALUES = {"clock_hz": 200e6, "activation_table_size": 512, "activation_range": 4}


@pytest.mark.parametrize("knob", [knob.name for knob in dataclasses.fields(KernelConfig)])
def test_every_knob_reaches_the_header_and_is_used(knob):
    plain = KernelConfig()
    old = getattr(plain, knob)
    if isinstance(old, FixedFormat):
        new: object = dataclasses.replace(old, width_bits=old.width_bits + 1)
    elif isinstance(old, bool):
        new = not old
    else:
        choices = {field.name: field.metadata["choices"] for field in dataclasses.fields(KernelConfig)}[knob]
        new = next((value for value in choices if value != old), OTHER_VALUES.get(knob, 3))
    assert new != old
    changed = dataclasses.replace(plain, **{knob: new})
    before, after = (
        {line for line in config_header(config, config.clock_hz or 300e6).splitlines() if "DIGEST" not in line}
        for config in (plain, changed)
    )
    only_before = before - after
    assert only_before, f"{knob} does not reach lstm_config.hpp"
    name = {"accumulator_format": "acc_t"}.get(knob, knob.removesuffix("_format") + "_t")
    word = name if isinstance(old, FixedFormat) else knob.upper()
    assert any(word in line for line in only_before)
    scripts = {"WIDEN_PORTS", "CLOCK_HZ"}  # these reach the compiler through its scripts
    if word in scripts:
        texts = [_generated(config) for config in (plain, changed)]
        assert any(texts[0][name] != texts[1][name] for name in GENERATED if not name.endswith(".hpp"))
    else:
        sources = "".join((SOURCES / name).read_text() for name in source_names())
        assert word in sources, f"no source reads {word}"


def _generated(config: KernelConfig) -> dict[str, str]:
    return generated_texts(quantise_model(random_model(NETWORK, 1), config), load_device("u280"))


def test_digest_words_are_the_digest():
    low, high = digest_words(KernelConfig())
    assert f"{high & 0xFFFFFFFF:08x}{low & 0xFFFFFFFF:08x}" == KernelConfig().digest


@pytest.mark.parametrize(
    ("device", "knobs", "message"),
    [
        ("a30", {}, "not an FPGA"),
        ("cortex-a53", {}, "not an FPGA"),
        ("u280", {"layer_parallel": True}, "layer_parallel"),
        ("u280", {"systolic_steps": 2}, "systolic_steps"),
        ("u280", {"engines": 61}, "engines = 61 is above 60"),
        ("u280", {"elementwise_unroll": 61}, "elementwise_unroll = 61"),
        ("u280", {"mac_share": 109}, "mac_share = 109 is above 108"),
    ],
)
def test_what_cannot_be_built_is_refused(tmp_path, model, device, knobs, message):
    with pytest.raises(ConfigError, match=message):
        write_project(model, KernelConfig(**knobs), load_device(device), tmp_path / "project")
    assert not list(tmp_path.iterdir())


def test_a_folder_is_never_lost(tmp_path, model):
    device, folder = load_device("zcu104"), tmp_path / "project"
    write_project(model, KernelConfig(), device, folder)
    with pytest.raises(ConfigError, match="not empty"):
        write_project(model, KernelConfig(), device, folder)
    write_project(model, KernelConfig(memory_bits=64), device, folder, force=True)
    assert "MEMORY_BITS 64" in (folder / "lstm_config.hpp").read_text()
    foreign = tmp_path / "thesis"
    foreign.mkdir()
    (foreign / "chapter1.tex").write_text("years of work")
    with pytest.raises(ConfigError, match="holds no HLS project"):
        write_project(model, KernelConfig(), device, foreign, force=True)
    assert (foreign / "chapter1.tex").read_text() == "years of work"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["project", "thesis"]


def test_a_failure_half_way_leaves_nothing(tmp_path, model, monkeypatch):
    def broken(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("lstmsim.hls.project._fill", broken)
    with pytest.raises(OSError, match="No space"):
        write_project(model, KernelConfig(), load_device("u280"), tmp_path / "project")
    assert not list(tmp_path.iterdir())


def test_connectivity_of_the_boards(tmp_path, model):
    config = KernelConfig(instances=4, memory_ports=2)
    write_project(model, config, load_device("u280"), tmp_path / "u280")
    lines = (tmp_path / "u280" / "connectivity.cfg").read_text().splitlines()
    assert "nk=lstm_kernel:4:lstm_kernel_1.lstm_kernel_2.lstm_kernel_3.lstm_kernel_4" in lines
    banks = [line.rsplit(":", 1)[1] for line in lines if ".weights" in line]
    assert len(set(banks)) == 8  # every weight port has a channel of its own
    assert all(bank.startswith("HBM[") for bank in banks)
    write_project(model, config, load_device("zcu104"), tmp_path / "zcu104")
    text = (tmp_path / "zcu104" / "connectivity.cfg").read_text()
    assert ":HP0" in text
    assert "HBM" not in text
    assert "xczu7ev-ffvc1156-2-e" in (tmp_path / "zcu104" / "hls_config.cfg").read_text()


def test_json_and_errors_of_the_command(tmp_path, capsys):
    runner = CliRunner()
    done = runner.invoke(cli, ["hls", "autoenc-1", "-d", "u280", "-o", str(tmp_path / "a"), "--json"])
    row = json.loads(done.output)
    assert row["output_values"] == 240
    assert set(row["files"]) <= {str(path.relative_to(tmp_path / "a")) for path in (tmp_path / "a").rglob("*")}
    for arguments in (
        ["hls", "autoenc-1", "-d", "u280", "-o", str(tmp_path / "a")],
        ["hls", "autoenc-9", "-d", "u280", "-o", str(tmp_path / "b")],
        ["hls", "autoenc-1", "-d", "u281", "-o", str(tmp_path / "b")],
        ["hls", "autoenc-1", "-d", "u280", "-o", str(tmp_path / "b"), "--set", "engine=2"],
        ["hls", "autoenc-1", "-d", "u280", "-o", str(tmp_path / "b"), "--weights", "no.npz"],
    ):
        with pytest.raises(SystemExit) as stopped:
            main(arguments)
        assert stopped.value.code == 2
        assert capsys.readouterr().err.startswith("Error: ")
    assert not (tmp_path / "b").exists()


def test_float_tables_are_read_back_exactly(model):
    text = generated_texts(quantise_model(model, float_config()), load_device("u280"))["activation_tables.hpp"]
    tables = quantise_model(model, float_config()).tables
    entries = text.split("SIGMOID_TABLE[ACTIVATION_ENTRIES] = {")[1].split("}")[0].replace("f,", " ").split()
    assert [float(entry) for entry in entries] == pytest.approx(tables.sigmoid.tolist(), rel=1e-9)
    assert len(entries) == len(tables.sigmoid)
