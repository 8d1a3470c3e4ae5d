"""Exploration: equal to single estimates, exact, explained, resumable."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest
from click.testing import CliRunner

from lstmsim.cli.explore import command
from lstmsim.config import KernelConfig
from lstmsim.core.rules import RULES
from lstmsim.core.sweep import AXES, FIRST_RESOURCE_AXIS, FIRST_TIME_AXIS, METRICS
from lstmsim.device import load_device
from lstmsim.energy import energy_of
from lstmsim.errors import ConfigError
from lstmsim.estimate import estimate
from lstmsim.explore import default_space, engine, explore, load_space, parse_constraint, parse_objectives
from lstmsim.explore.goals import METRIC_NAMES, parse_quantity
from lstmsim.explore.problem import pack_problem
from lstmsim.explore.space import KNOB_AXES, DesignSpace
from lstmsim.measurements import package_measurements, read_measurements
from lstmsim.network import load_preset

RESOURCE_METRICS = ("lut", "lutram", "ff", "bram18", "uram", "dsp")


def small_space(network, device) -> DesignSpace:
    """A few thousand designs in which every axis still has a choice or a rule."""
    base = default_space(network, device)
    few = {
        "parallel_gates": (1, 4),
        "mac_share": (1, 8),
        "engines": (1, 2),
        "instances": (1, 4),
        "elementwise_unroll": base.axes["elementwise_unroll"][:2],
        "accumulation": ("tree", "chain"),
        "memory_bits": (32, 512),
        "staged_weights": (False,),
        "weight_memory": ("lutram", "bram"),
        "clock_hz": base.axes["clock_hz"][-1:],
        "burst_beats": (16, 64),
    }
    return dataclasses.replace(base, formats=base.formats[1:3], axes={**base.axes, **few})


@pytest.fixture(scope="module")
def network():
    return load_preset("autoenc-5")


@pytest.fixture(scope="module")
def device():
    return load_device("zcu104")


@pytest.fixture(scope="module")
def found(network, device):
    return explore(network, device, space=small_space(network, device), batch=2, queue=16)


def packed(network, device, space, batch=1, queue=128):
    return pack_problem(
        network, device, space, ("latency",), (), batch=batch, queue=queue, accuracy=None, calibration=None
    )


@pytest.mark.parametrize(("name", "board"), [("autoenc-5", "u280"), ("autoenc-4", "zcu104"), ("lstm-dense", "u50")])
def test_figures_equal_those_of_estimate_on_random_designs(name, board):
    network, device = load_preset(name), load_device(board)
    space = default_space(network, device)
    problem = packed(network, device, space)
    random = np.random.default_rng(5)
    checked = 0
    for index in map(int, random.integers(0, space.size, 400)):
        if problem.rule_broken_at(index) >= 0:
            continue
        config, figures = space.config_at(index), problem.figures_at(index)
        single = estimate(network, device, config)
        assert figures["latency_s"] == single.latency_s
        assert figures["throughput_per_s"] == estimate(network, device, config, batch=128).throughput_per_s
        assert {key: figures[key] for key in RESOURCE_METRICS} == single.resources
        assert figures["energy_j"] == energy_of(single, network, device, config).energy_j
        checked += 1
        if checked == 12:
            break
    assert checked == 12


def test_compiled_figures_equal_the_plain_functions(found):
    rows = found.sample_rows()
    assert len(rows) > 100
    for row in rows[:: len(rows) // 100]:
        again = found.problem.figures_at(int(row["index"]))
        assert all(row[name] == again[name] for name in METRICS[:10])


def test_every_point_of_the_front_is_a_single_estimate(found, network, device):
    assert len(found.front) > 5
    for design in found.designs()[:: max(1, len(found.front) // 20)]:
        single = estimate(network, device, design.config, batch=2)
        assert design.figures["latency_s"] == single.latency_s
        assert {key: design.figures[key] for key in RESOURCE_METRICS} == single.resources
        assert single.fits


def test_front_equals_a_brute_force_front_over_the_whole_space(network, device):
    space = small_space(network, device)
    few = dataclasses.replace(
        space, axes={**space.axes, "systolic_steps": (1,), "burst_beats": (16,), "memory_ports": (1,)}
    )
    names = ("latency", "throughput", "dsp", "lut", "lutram", "ff", "bram", "energy")
    front = explore(network, device, space=few, objectives=names, batch=1, queue=8)
    problem = front.problem
    budget = device.budget.as_dict()
    points: dict[tuple[float, ...], int] = {}
    evaluated = fitting = 0
    for index in range(few.size):
        if problem.rule_broken_at(index) >= 0:
            continue
        evaluated += 1
        values = problem.figures_at(index)
        if any(values[name] > budget[name] for name in RESOURCE_METRICS):
            continue
        fitting += 1
        point = tuple(METRIC_NAMES[name][1] * values[METRIC_NAMES[name][0]] for name in names)
        points.setdefault(point, index)
    rows = np.array(list(points))
    tags = list(points.values())
    brute = {
        tag
        for tag, row in zip(tags, rows, strict=True)
        if not np.any(np.all(rows <= row, axis=1) & np.any(rows < row, axis=1))
    }
    assert (front.evaluated, front.fitting, front.feasible) == (evaluated, fitting, fitting)
    assert set(front.front) == brute


def test_threads_do_not_change_the_result(network, device, found, monkeypatch):
    monkeypatch.setattr(engine, "CHUNK_DESIGNS", 512)
    again = explore(network, device, space=small_space(network, device), batch=2, queue=16, threads=3)
    assert again.front == found.front
    assert again.pruned == found.pruned
    assert again.excluded == found.excluded
    assert (again.evaluated, again.fitting, again.feasible) == (found.evaluated, found.fitting, found.feasible)


def test_a_front_larger_than_its_arrays_is_complete(network, device, found, monkeypatch):
    monkeypatch.setattr(engine, "FIRST_CAPACITY", 0)
    again = explore(network, device, space=small_space(network, device), batch=2, queue=16, threads=1)
    assert again.front == found.front


def test_counts_add_up(found):
    assert found.evaluated + sum(found.pruned.values()) == found.size
    assert found.evaluated >= found.fitting >= found.feasible >= len(found.front)
    assert set(found.pruned) <= set(RULES)


def test_resources_do_not_depend_on_time_axes_nor_times_on_resource_axes(network, device):
    """The loop computes both once a group; a knob on the wrong side would make it wrong."""
    base = default_space(network, device)
    wide = {
        "activation": ("table", "interpolated", "plan", "piecewise"),
        "activation_table_size": (256, 1024, 4096),
        "activation_range": (4, 8),
        "weight_banks": ("multiplier", "column"),
        "burst_beats": (1, 16, 64),
        "outstanding_reads": (1, 16),
    }
    space = dataclasses.replace(base, axes={**base.axes, **wide})
    problem = packed(network, device, space)
    group, last_times = problem.group_size, math.prod(space.sizes[FIRST_TIME_AXIS:])
    random = np.random.default_rng(11)
    for start in map(int, random.integers(0, problem.groups, 4)):
        times, resources = {}, {}
        for at in map(int, random.integers(0, group, 60)):
            values = problem.figures_at(start * group + at)
            now = (values["latency_s"], values["throughput_per_s"])
            assert times.setdefault(at % last_times, now) == now
            used = tuple(values[name] for name in RESOURCE_METRICS)
            assert resources.setdefault(at // last_times, used) == used
    assert AXES[FIRST_RESOURCE_AXIS] == "activation"


def test_every_knob_is_an_axis():
    knobs = {knob.name for knob in dataclasses.fields(KernelConfig)}
    assert knobs == set(KNOB_AXES) | {
        "weight_format", "state_format", "cell_format", "accumulator_format", "io_format",
    }  # fmt: skip


def test_index_and_configuration_are_inverse(network, device):
    space = default_space(network, device)
    random = np.random.default_rng(3)
    for index in map(int, random.integers(0, space.size, 200)):
        assert space.index_of(space.config_at(index), device.clock_hz) == index


def test_the_designs_of_the_paper_are_in_the_space():
    rows = read_measurements(package_measurements() / "paper-fpga.csv")
    assert len(rows) == 21
    for row in rows:
        network, device = load_preset(row.network), load_device(row.device)
        space = default_space(network, device)
        index = space.index_of(row.config, device.clock_hz)
        assert index is not None, row.id
        assert packed(network, device, space).rule_broken_at(index) == -1, row.id


def measured_config(row_id):
    rows = read_measurements(package_measurements() / "paper-fpga.csv")
    return next(row.config for row in rows if row.id == row_id)


@pytest.fixture(scope="module")
def wide_ports():
    """Every 16-bit design with 512-bit ports."""
    network, device = load_preset("autoenc-5"), load_device("u280")
    base = default_space(network, device)
    axes = {**base.axes, "memory_bits": (512,), "widen_ports": (False,), "accumulation": ("tree", "cascade")}
    return network, device, dataclasses.replace(base, formats=base.formats[1:2], axes=axes)


def test_two_engines_with_512_bits_are_within_5_percent_of_the_front(wide_ports):
    network, device, space = wide_ports
    front = explore(network, device, space=space)
    assert 0 <= front.excess(measured_config("t3-512-x2")) <= 0.05


def test_four_lstms_are_on_the_front_of_throughput_without_the_rejected_techniques(wide_ports):
    network, device, space = wide_ports
    axes = {**space.axes, "systolic_steps": (1,), "layer_parallel": (False,)}
    found = explore(
        network, device, space=dataclasses.replace(space, axes=axes), objectives=("throughput", "dsp", "lut", "lutram")
    )
    assert found.excess(measured_config("t3-batch128")) <= 0.05


def test_constraints_hold_on_the_whole_front(network, device):
    budget = device.budget.as_dict()
    bounds = [parse_constraint("max-latency", "1.5ms"), parse_constraint("max-dsp", "50%", budget)]
    front = explore(network, device, space=small_space(network, device), constraints=bounds)
    for design in front.designs():
        assert design.figures["latency_s"] <= 1.5e-3
        assert design.figures["dsp"] <= budget["dsp"] / 2
    assert front.feasible < front.fitting


@pytest.mark.parametrize(
    ("bounds", "message"),
    [
        ([("max-latency", "1us")], r"--max-latency 1us excludes most, .* designs that fit reach"),
        ([("max-latency", "0.9ms"), ("max-dsp", "1")], r"--max-dsp 1 excludes most"),
    ],
)
def test_nothing_left_names_the_constraint_that_excludes_most(network, device, bounds, message):
    constraints = [parse_constraint(name, text, device.budget.as_dict()) for name, text in bounds]
    with pytest.raises(ConfigError, match=message):
        explore(network, device, space=small_space(network, device), constraints=constraints)


def test_an_empty_space_names_the_rule(network, device):
    base = small_space(network, device)
    axes = {**base.axes, "resident_weights": (True,), "double_buffer": (True,), "systolic_steps": (1,)}
    with pytest.raises(ConfigError, match=r"no valid design .* 'resident weights need no second copy' prunes"):
        explore(network, device, space=dataclasses.replace(base, axes=axes))


def test_nothing_fits_names_the_resource():
    network = load_preset("autoenc-4")
    device = load_device("pynq-z2")
    base = default_space(network, device)
    axes = {**base.axes, "mac_share": (1,), "parallel_gates": (4,)}
    with pytest.raises(ConfigError, match=r"none of .* fits pynq-z2: the \w+ budget of pynq-z2 excludes most"):
        explore(network, device, space=dataclasses.replace(base, axes=axes))


def test_accuracy_bounds_and_objectives(network, device):
    space = small_space(network, device)
    with pytest.raises(ConfigError, match="accuracy is unknown"):
        explore(network, device, space=space, constraints=[parse_constraint("min-accuracy", "99%")])
    shares = {space.formats[0]: 0.995, space.formats[1]: 0.9}
    front = explore(
        network, device, space=space, accuracy=shares, objectives=("latency", "accuracy"),
        constraints=[parse_constraint("min-accuracy", "99%")],
    )  # fmt: skip
    assert {design.figures["accuracy"] for design in front.designs()} == {0.995}
    partly = explore(network, device, space=space, accuracy={space.formats[1]: 0.9}, objectives=("accuracy", "dsp"))
    assert {design.figures["accuracy"] for design in partly.designs()} == {0.9}


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("latency", "1ms", 1e-3),
        ("latency", "250 us", 250e-6),
        ("latency", "250µs", 250e-6),
        ("latency", "2", 2.0),
        ("throughput", "5k/s", 5000.0),
        ("throughput", "5kHz", 5000.0),
        ("power", "20W", 20.0),
        ("energy", "3mJ", 3e-3),
        ("accuracy", "99%", 0.99),
        ("accuracy", "0.99", 0.99),
        ("dsp", "50%", 500.0),
        ("dsp", "4k", 4000.0),
    ],
)
def test_quantities_as_people_write_them(name, text, value):
    assert parse_quantity(name, text, {"dsp": 1000}) == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize(
    ("name", "text"),
    [("latency", "fast"), ("latency", "1W"), ("power", "-3W"), ("accuracy", "120%"), ("dsp", "5ms"), ("latency", "")],
)
def test_senseless_quantities_are_refused(name, text):
    with pytest.raises(ConfigError):
        parse_quantity(name, text, {"dsp": 1000})


def test_unknown_objective_suggests_the_nearest():
    with pytest.raises(ConfigError, match="Did you mean 'latency'"):
        parse_objectives(["latencey"])
    with pytest.raises(ConfigError, match="1 to 8"):
        parse_objectives([","])
    assert parse_objectives(["DSP,latency", "dsp"]) == ("dsp", "latency")


def test_space_files(tmp_path, network, device):
    path = tmp_path / "space.toml"
    path.write_text(
        'engines = [1, 3]\nnumber_format = ["ap_fixed<12,6>", "float"]\nio_format = ["ap_fixed<12,6>", "float"]\n'
        'weight_memory = ["lutram"]\nclock_hz = [200e6]\n'
    )
    space = load_space(path, network, device)
    assert space.axes["engines"] == (1, 3)
    assert [str(choice) for choice in space.formats] == ["ap_fixed<12,6>", "ap_fixed<12,6>, float I/O", "float"]
    assert space.dropped_formats == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("engine = [1]", "Did you mean 'engines'"),
        ("engines = 2", "is a list of choices"),
        ("engines = []", "is a list of choices"),
        ("engines = [0]", "engines = 0 is outside"),
        ("engines = [2, 2]", "names a choice twice"),
        ('number_format = ["int8"]', "is not understood"),
        ('clock_hz = ["none"]', "clock_hz names frequencies"),
    ],
)
def test_bad_space_files_are_one_clear_line(tmp_path, network, device, text, message):
    path = tmp_path / "space.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_space(path, network, device)


@pytest.fixture
def space_file(tmp_path):
    path = tmp_path / "space.toml"
    path.write_text(
        "mac_share = [1, 4]\ninstances = [1, 2]\nsystolic_steps = [1]\nlayer_parallel = [false]\n"
        'number_format = ["ap_fixed<16,8>"]\naccumulation = ["tree"]\nwiden_ports = [false]\n'
    )
    return path


def test_command_writes_tables_and_json(tmp_path, space_file):
    csv_file, parquet, other = tmp_path / "f.csv", tmp_path / "f.parquet", tmp_path / "f.json"
    base = ["autoenc-1", "-d", "zcu104", "--space", str(space_file), "--top", "2"]
    result = CliRunner().invoke(command, [*base, "--json", "-O", str(csv_file)])
    assert result.exit_code == 0, result.output
    document = json.loads(result.output)
    assert len(document["front"]) == 2
    assert len(csv_file.read_text().splitlines()) == document["front_size"] + 1
    assert CliRunner().invoke(command, [*base, "-O", str(other)]).exit_code == 0
    assert len(json.loads(other.read_text())["front"]) == document["front_size"]
    pq = pytest.importorskip("pyarrow.parquet")
    assert CliRunner().invoke(command, [*base, "-q", "-O", str(parquet)]).exit_code == 0
    assert pq.read_table(parquet).num_rows == document["front_size"]


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["-o", "speed"], "unknown objective"),
        (["--max-latency", "soon"], "is not a value of latency"),
        (["-d", "v100"], "only FPGAs have a design space"),
        (["-O", "front.xls"], "ends in none of"),
        (["--min-accuracy", "99%"], "accuracy is unknown"),
        (["--top", "-1"], "--top is 0 or more"),
        (["--checkpoint", "x.jsonl"], "go with --accuracy"),
    ],
)
def test_command_refuses_in_one_line(space_file, extra, message):
    result = CliRunner().invoke(command, ["autoenc-1", "-d", "zcu104", "--space", str(space_file), *extra])
    assert isinstance(result.exception, ConfigError)
    assert message in str(result.exception)
    assert "\n" not in str(result.exception)


def test_public_names_stay_functions():
    import lstmsim
    import lstmsim.explore.engine

    assert lstmsim.explore is explore
    assert callable(lstmsim.place)
    assert callable(lstmsim.what_if)
