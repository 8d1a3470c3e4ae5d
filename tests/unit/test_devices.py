"""Device data: every number has a source, budgets are within totals, names as people type them."""

from __future__ import annotations

import json
from dataclasses import fields

import pytest
from click.testing import CliRunner

from lstmsim.cli.devices import command
from lstmsim.device import FpgaDevice, Resources, device_names, load_device
from lstmsim.errors import UnknownDevice

TABLE_2 = ["zcu102", "zcu104", "jetson-nano", "xavier-nx", "xavier-agx", "u50", "u200", "u280", "p40", "a30", "v100"]
OTHERS = ["xeon-4210", "cortex-a53", "u250", "u55c", "kv260", "pynq-z2", "t4", "a100", "h100", "h200", "l4", "orin"]


def numeric_fields(device: object) -> list[str]:
    return [
        entry.name
        for entry in fields(device)  # type: ignore[arg-type]
        if isinstance(getattr(device, entry.name), int | float | Resources)
    ]


def test_the_devices_of_the_paper_and_their_neighbours_are_there():
    assert device_names() == sorted(TABLE_2 + OTHERS)


@pytest.mark.parametrize("name", TABLE_2 + OTHERS)
def test_every_number_has_a_source_and_every_source_a_number(name):
    device = load_device(name)
    assert device.name == name
    assert set(device.sources) == set(numeric_fields(device))
    assert all(len(text) >= 10 for text in device.sources.values())


@pytest.mark.parametrize("name", TABLE_2 + OTHERS)
def test_numbers_are_plausible_and_ordered(name):
    device = load_device(name)
    if isinstance(device, FpgaDevice):
        for resource, total in device.total.as_dict().items():
            assert 0 <= getattr(device.budget, resource) <= total
        assert device.budget.lutram < device.budget.lut < device.budget.ff
        assert device.clock_hz <= device.clock_max_hz
        assert device.static_power_w < device.max_power_w
    else:
        assert device.idle_power_w < device.max_power_w
        assert device.peak_flops > device.memory_bandwidth_bytes_per_s / 10


def test_the_paper_denominators_of_the_u280_are_its_budget():
    budget = load_device("u280").budget
    assert (budget.bram18, budget.dsp) == (3628, 9020)
    vendor_report = {"lut": (122248, 10.48), "lutram": (11010, 1.90), "ff": (215381, 9.02), "dsp": (966, 10.71)}
    for resource, (used, percent) in vendor_report.items():
        assert 100 * used / getattr(budget, resource) == pytest.approx(percent, abs=0.006)


def test_the_swapped_rows_of_table_2_are_not_swapped_here():
    assert load_device("u50").total.dsp == 5952
    assert load_device("u200").total.dsp == 6840


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("alveo-u280", "u280"),
        ("Alveo U280", "u280"),
        ("nano", "jetson-nano"),
        ("NX", "xavier-nx"),
        ("agx", "xavier-agx"),
        ("AGX Orin", "orin"),
        ("tesla-v100", "v100"),
        ("xeon-silver-4210", "xeon-4210"),
        ("a53", "cortex-a53"),
        ("kria", "kv260"),
        ("PYNQ", "pynq-z2"),
    ],
)
def test_aliases_as_people_type_them(typed, name):
    assert load_device(typed).name == name


def test_aliases_are_unique():
    seen: dict[str, str] = {}
    for name in device_names():
        for alias in (name, *load_device(name).aliases):
            plain = "".join(c for c in alias.lower() if c.isalnum())
            assert seen.setdefault(plain, name) == name


def test_an_unknown_device_is_one_line_with_the_nearest():
    with pytest.raises(UnknownDevice, match="Did you mean 'zcu104'"):
        load_device("zcu105")


def test_table_of_all_devices():
    result = CliRunner().invoke(command, [])
    assert result.exit_code == 0
    assert all(name in result.output for name in TABLE_2)


def test_one_device_in_full_with_sources():
    result = CliRunner().invoke(command, ["u280"])
    assert result.exit_code == 0
    assert "3,628" in result.output
    assert "UG1393" in result.output


def test_json_of_one_and_of_all():
    one = json.loads(CliRunner().invoke(command, ["zcu104", "--json"]).output)
    assert one["total"]["dsp"] == 1728
    assert one["sources"]["launch_s"]
    every = json.loads(CliRunner().invoke(command, ["--json"]).output)
    assert [entry["name"] for entry in every] == device_names()
