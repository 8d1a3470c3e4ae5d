"""Placement: every device gets its best design, ranked; the paper's factors follow from the same model."""

from __future__ import annotations

import dataclasses
import json
import math

import pytest
from click.testing import CliRunner

from lstmsim.cli.place import command
from lstmsim.cli.what_if import command as what_if_command
from lstmsim.config import KernelConfig
from lstmsim.device import load_device
from lstmsim.errors import ConfigError
from lstmsim.estimate import estimate
from lstmsim.explore.sensitivity import best_change, single_changes, what_if
from lstmsim.network import load_preset
from lstmsim.placement import paper_factors, place, placement_space


def few_designs(network, device):
    base = placement_space(network, device)
    axes = {
        "parallel_gates": (4,),
        "instances": (1,),
        "layer_parallel": (False,),
        "systolic_steps": (1,),
        "accumulation": ("tree",),
        "double_buffer": (False,),
    }
    return dataclasses.replace(base, axes={**base.axes, **axes})


@pytest.fixture(scope="module")
def placements():
    devices = ["zcu104", "u280", "v100", "xavier-nx", "xeon-4210", "cortex-a53"]
    return [place(load_preset(name), devices, space=few_designs) for name in ("autoenc-4", "autoenc-5")]


def test_options_are_ranked_and_apart_by_edge(placements):
    for placement in placements:
        assert {one.edge for one in placement.options} == {"far", "near"}
        for edge in ("far", "near"):
            latencies = [one.latency_s for one in placement.of_edge(edge)]
            assert latencies == sorted(latencies)
            assert placement.winner(edge).device not in placement.baselines.values()


def test_options_equal_single_estimates(placements):
    placement = placements[1]
    for one in placement.options:
        again = estimate("autoenc-5", one.device, one.config)
        assert one.latency_s == again.latency_s
        slow = estimate("autoenc-5", placement.baselines[one.edge]).latency_s
        assert one.factor == slow / again.latency_s


def test_processors_are_the_baselines_of_themselves(placements):
    for placement in placements:
        assert [one.factor for one in placement.options if one.kind == "cpu"] == [1.0, 1.0]


def test_the_factors_of_the_paper_follow_from_the_model(placements):
    rows = paper_factors(placements)
    assert sorted(row.paper for row in rows) == [11.5, 12.4, 15.0, 22.4, 25.4, 28.5, 133.0, 174.0]
    for row in rows:
        if row.same_design is not None:
            assert row.same_design == pytest.approx(row.paper, rel=0.12)


def test_with_the_designs_of_the_paper_gpus_win_the_large_and_fpgas_the_small(placements):
    rows = {(row.network, row.what.split()[0]): row.same_design for row in paper_factors(placements)}
    assert rows["autoenc-5", "U280"] > rows["autoenc-5", "V100"]
    assert rows["autoenc-4", "V100"] > rows["autoenc-4", "U280"]
    assert rows["autoenc-5", "ZCU104"] > rows["autoenc-5", "Xavier"]


def test_bounds_leave_out_devices_and_say_why():
    network = load_preset("autoenc-5")
    found = place(
        network, ["v100", "zcu104", "u280"], bounds={"max-latency": "700us", "max-dsp": "5%"}, space=few_designs
    )
    reasons = {one.device: one.reason for one in found.options}
    assert reasons["v100"] == "misses --max-latency 700us"
    assert "meets every constraint" in reasons["zcu104"]
    assert all(math.isnan(one.latency_s) for one in found.options if one.reason and one.kind == "fpga")


@pytest.mark.parametrize(("objective", "metric"), [("energy", "energy_j"), ("throughput", "throughput_per_s")])
def test_other_objectives_rank_otherwise(objective, metric):
    found = place(load_preset("autoenc-1"), ["u280", "u50", "v100"], objective=objective, space=few_designs)
    values = [getattr(one, metric) for one in found.options]
    assert values == sorted(values, reverse=objective == "throughput")


def test_unknown_objective_or_bound_is_refused():
    network = load_preset("autoenc-1")
    with pytest.raises(ConfigError, match="placement ranks by"):
        place(network, ["u280"], objective="lut")
    with pytest.raises(ConfigError, match="Did you mean 'max-latency'"):
        place(network, ["u280"], bounds={"max-latancy": "1ms"})


def test_command_prints_json():
    result = CliRunner().invoke(command, ["autoenc-5", "-d", "v100,nx", "-d", "xeon", "--json"])
    assert result.exit_code == 0, result.output
    document = json.loads(result.output)
    assert len(document["placements"][0]["options"]) == 3
    assert len(document["paper_factors"]) == 4


def test_command_prints_tables():
    result = CliRunner().invoke(command, ["autoenc-5", "-d", "v100,nx"])
    assert result.exit_code == 0
    assert "near edge" in result.output
    assert "22.4 x" in result.output


@pytest.fixture(scope="module")
def changes():
    return what_if(load_preset("autoenc-5"), load_device("u280"), KernelConfig(memory_bits=512))


def test_every_change_equals_a_single_estimate(changes):
    now = estimate("autoenc-5", "u280", KernelConfig(memory_bits=512))
    for change in changes[::7]:
        then = estimate("autoenc-5", "u280", change.config)
        assert change.latency_s == then.latency_s
        assert change.latency == then.latency_s / now.latency_s - 1
        assert change.fits == then.fits


def test_changes_touch_one_knob(changes):
    base = KernelConfig(memory_bits=512).to_dict()
    for change in changes:
        differing = {name for name, value in change.config.to_dict().items() if value != base[name]}
        assert differing == {change.knob} or change.knob == "number_format"
    assert {"engines", "mac_share", "resident_weights", "number_format", "clock_hz"} <= {one.knob for one in changes}


def test_best_change_is_the_fastest_that_fits(changes):
    best = best_change(changes)
    assert best is not None
    assert best.latency_s == min(change.latency_s for change in changes if change.fits)


def test_single_changes_are_valid_designs():
    network, device = load_preset("autoenc-1"), load_device("zcu104")
    for _, _, config in single_changes(network, device, KernelConfig()):
        assert config.engines <= 60
        assert not (config.resident_weights and config.double_buffer)


def test_what_if_command():
    result = CliRunner().invoke(what_if_command, ["autoenc-1", "-d", "zcu104", "--set", "engines=2", "--json"])
    assert result.exit_code == 0, result.output
    document = json.loads(result.output)
    assert document["config"]["engines"] == 2
    assert document["best"]["latency_change"] < 0
    assert CliRunner().invoke(what_if_command, ["autoenc-1", "-d", "zcu104"]).exit_code == 0
    refused = CliRunner().invoke(what_if_command, ["autoenc-1", "-d", "v100"])
    assert isinstance(refused.exception, ConfigError)
