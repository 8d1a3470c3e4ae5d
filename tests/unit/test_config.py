from __future__ import annotations

import contextlib
import dataclasses
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lstmsim.config import (
    LIMITS,
    KernelConfig,
    config_from_dict,
    config_from_toml,
    fixed_config,
    float_config,
    parse_assignments,
    parse_frequency_hz,
    replace_knobs,
)
from lstmsim.errors import ConfigError
from lstmsim.fixedpoint import FLOAT32


def test_plain_values_and_back() -> None:
    for config in (
        KernelConfig(),
        fixed_config(12, 5, engines=3),
        float_config(accumulation="chain"),
        KernelConfig(clock_hz=2e8),
    ):
        assert config_from_dict(config.to_dict()) == config


def test_the_digest_names_a_configuration() -> None:
    digests = {KernelConfig(engines=number).digest for number in range(1, 9)}
    assert len(digests) == 8
    assert all(len(digest) == 16 for digest in digests)
    assert KernelConfig().digest == config_from_dict({}).digest


def test_every_knob_is_documented() -> None:
    for knob in dataclasses.fields(KernelConfig):
        assert knob.metadata["doc"], knob.name


@pytest.mark.parametrize("name", sorted(LIMITS))
def test_limits_are_enforced(name: str) -> None:
    low, high = LIMITS[name]
    for value in (low - 1, high + 1):
        with pytest.raises(ConfigError, match=name):
            KernelConfig(**{name: value})


@pytest.mark.parametrize(
    ("knobs", "word"),
    [
        ({"parallel_gates": 3}, "parallel_gates"),
        ({"accumulation": "treee"}, "tree"),
        ({"activation_table_size": 1000}, "power of two"),
        ({"weight_format": FLOAT32}, "all float or all fixed"),
        ({"engines": True}, "engines"),
        ({"engines": 2.0}, "engines"),
        ({"clock_hz": 5.0}, "clock_hz"),
        ({"double_buffer": 1}, "double_buffer"),
        ({"memory_bits": 48}, "memory_bits"),
    ],
)
def test_values_that_cannot_be(knobs: dict[str, object], word: str) -> None:
    with pytest.raises(ConfigError, match=word):
        KernelConfig(**knobs)


def test_a_float_kernel_has_a_float_interface() -> None:
    with pytest.raises(ConfigError, match="io_format"):
        float_config(io_format=KernelConfig().io_format)
    assert KernelConfig(io_format=FLOAT32).io_format is FLOAT32


def test_text_becomes_knobs() -> None:
    table = parse_assignments(["engines=2", "double_buffer = on", "clock_hz=250 MHz", "weight_format=ap_fixed<12, 4>"])
    config = replace_knobs(KernelConfig(), table)
    assert (config.engines, config.double_buffer, config.clock_hz) == (2, True, 250e6)
    assert str(config.weight_format) == "ap_fixed<12,4>"
    assert replace_knobs(config, {"clock_hz": "none"}).clock_hz is None


@pytest.mark.parametrize("word", ["engines", "engines=", "=2"])
def test_assignments_have_two_sides(word: str) -> None:
    with pytest.raises(ConfigError):
        replace_knobs(KernelConfig(), parse_assignments([word]))


@pytest.mark.parametrize(
    ("text", "hertz"), [("300e6", 300e6), ("300MHz", 300e6), ("0.3 GHz", 0.3e9), ("7kHz", 7e3), ("5 hz", 5.0)]
)
def test_frequencies(text: str, hertz: float) -> None:
    assert parse_frequency_hz(text) == pytest.approx(hertz)


def test_toml_files(tmp_path: Path) -> None:
    path = tmp_path / "kernel.toml"
    path.write_text('engines = 2\nweight_format = "ap_fixed<8,3>"\nclock_hz = 200000000\n')
    assert config_from_toml(path).engines == 2
    path.write_text("engine = 2\n")
    with pytest.raises(ConfigError, match="engines"):
        config_from_toml(path)
    path.write_text("engines = \n")
    with pytest.raises(ConfigError, match="TOML"):
        config_from_toml(path)


@given(
    st.dictionaries(
        st.text(max_size=20), st.one_of(st.integers(), st.text(max_size=9), st.floats(), st.booleans()), max_size=4
    )
)
def test_no_table_gives_anything_but_a_config_error(table: dict[str, object]) -> None:
    with contextlib.suppress(ConfigError):
        config_from_dict(table)
