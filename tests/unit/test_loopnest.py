"""The loop-nest model: composition, what-if, and binding trip counts to a network."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("defusedxml", reason="the extra reports is not installed")

from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from lstmsim.cli.report import command
from lstmsim.core.loops import (
    adder_tree_levels,
    dataflow_latency_cycles,
    float_chain_depth_cycles,
    float_tree_depth_cycles,
    pipelined_loop_cycles,
    sequential_loop_cycles,
)
from lstmsim.errors import ConfigError, LstmsimError, ReportError
from lstmsim.network import LstmLayer, Network
from lstmsim.reports.bind import bind, rescale
from lstmsim.reports.nest import build_nest
from lstmsim.reports.read import read_report, read_reports
from lstmsim.reports.types import Loop, Module, Report, Span
from lstmsim.reports.whatif import Changes, find_loop, parse_assignments, what_if

FIXTURES = Path(__file__).parents[1] / "fixtures" / "reports"


def _nest(folder: str):
    report = read_reports(FIXTURES / folder).synthesis
    assert report is not None
    return build_nest(report)


def _network(units: int, features: int = 4, timesteps: int = 10) -> Network:
    return Network(name="n", timesteps=timesteps, features=features, layers=(LstmLayer(units=units),))


def test_rules() -> None:
    assert pipelined_loop_cycles(60, 4, 27) == 262
    assert pipelined_loop_cycles(28, 2, 2) == 56
    assert pipelined_loop_cycles(1, 4, 27) == 26
    assert pipelined_loop_cycles(0, 1, 9) == sequential_loop_cycles(0, 9) == 0
    assert sequential_loop_cycles(28, 14717) == 412076
    assert dataflow_latency_cycles(100) == 102
    assert [adder_tree_levels(terms) for terms in (1, 2, 3, 92, 128, 129)] == [0, 1, 2, 7, 7, 8]
    assert float_chain_depth_cycles(92, 5) == 467
    assert float_tree_depth_cycles(40, 10, 5) == 44


@given(st.integers(1, 10**6), st.integers(1, 1000), st.integers(1, 10**5))
def test_more_trips_never_cost_less(trips: int, ii: int, depth: int) -> None:
    assert pipelined_loop_cycles(trips + 1, ii, depth) - pipelined_loop_cycles(trips, ii, depth) >= ii
    assert sequential_loop_cycles(trips, depth) >= pipelined_loop_cycles(trips, min(ii, depth), depth)


@pytest.mark.parametrize("folder", ["vitis", "vivado"])
def test_nothing_changed_reproduces_the_report(folder: str) -> None:
    nest = _nest(folder)
    result = what_if(nest, Changes())
    assert result.after == result.before
    assert all(module.error == 0 for module in nest.modules.values())


def test_calls_of_unknown_place_go_where_they_fit() -> None:
    nest = _nest("vivado")
    top = nest.modules["toy_top"].body
    assert dict(top.calls) == {}
    assert dict(top.loops[1].body.calls) == {"toy_row": 1}
    assert nest.modules["toy_top"].inferred == ("which calls are inside loops",)


def test_what_if_propagates_through_calls() -> None:
    nest = _nest("vitis")
    result = what_if(nest, Changes(trips={"toy_lstm_Pipeline_rows/rows": 120.0}))
    assert result.after["toy_lstm_Pipeline_rows"] == 264 + 4 * 60
    assert result.cycles == 2755 + 10 * 4 * 60
    faster = what_if(nest, Changes(ii={"toy_lstm_Pipeline_rows/rows": 1.0}, clock_s=4e-9))
    assert faster.cycles == 2755 - 10 * 3 * 59
    assert faster.seconds == pytest.approx(faster.cycles * 4e-9)


def test_network_binding_predicts_other_sizes() -> None:
    nest = _nest("vitis")
    bindings = {binding.loop: binding for binding in bind(nest, _network(60))}
    assert bindings["toy_lstm/steps"].term == "timesteps"
    assert bindings["toy_lstm_Pipeline_rows/rows"].term == "units"
    changes = rescale(nest, list(bindings.values()), _network(60), _network(30, timesteps=5))
    assert what_if(nest, changes).cycles == 5 * (268 - 4 * 30) + (2755 - 2680) - 30
    with pytest.raises(ConfigError, match="same number of layers"):
        rescale(
            nest,
            list(bindings.values()),
            _network(60),
            Network(name="two", timesteps=10, features=4, layers=(LstmLayer(units=6), LstmLayer(units=6))),
        )


@pytest.mark.parametrize(("terms", "ii", "depth"), [(92, 46, 467), (40, 10, 44)])
def test_unrolled_rows_follow_their_columns(terms: int, ii: int, depth: int) -> None:
    """II is columns over ports; depth follows a chain (first) or a tree (second)."""
    rows = Loop(name="rows", trips=Span(32, 32), ii=Span(ii, ii), depth=Span(depth, depth), pipelined=True)
    report = Report(kind="csynth", top="m", modules={"m": Module(name="m", loops=(rows,), calls_known=True)})
    nest = build_nest(report)
    old = _network(32, features=terms - 32)
    changes = rescale(nest, bind(nest, old), old, _network(64, features=terms - 32))
    assert changes.trips == {"m/rows": 64}
    assert changes.ii == {"m/rows": -(-(terms + 32) // (terms // ii))}
    chain = depth == 5 * terms + 7
    expected = 5 * (terms + 32) + 7 if chain else changes.ii["m/rows"] + 4 + 5 * adder_tree_levels(terms + 32)
    assert changes.depth == {"m/rows": expected}


def test_overlap_and_straight_line_code_are_named() -> None:
    def module(name: str, latency: int, *, calls=(), loops=()) -> Module:
        span = Span(latency, latency)
        return Module(
            name=name, latency=span, calls=calls, loops=loops, calls_known=True, calls_placed=True, pipelining="no"
        )

    def loop(trips: int) -> Loop:
        return Loop(name="l", trips=Span(trips, trips), ii=Span(1, 1), depth=Span(2, 2), pipelined=True)

    parts = {name: module(name, 1002, loops=(loop(1000),)) for name in ("a", "b")}
    beside = Report(kind="csynth", top="t", modules={**parts, "t": module("t", 1005, calls=("a", "b"))})
    nest = build_nest(beside)
    assert "overlap" in nest.modules["t"].reason
    assert nest.modules["t"].body.hidden == ("b",)
    slower = what_if(nest, Changes(trips={"b/l": 5000.0}))
    assert slower.cycles == 1005 + 4000  # the call that was hidden now decides
    tiny = Report(kind="csynth", top="t", modules={"t": module("t", 40, loops=(loop(10),))})
    assert "straight-line" in build_nest(tiny).modules["t"].reason
    circle = Report(
        kind="csynth", top="a", modules={"a": module("a", 1, calls=("b",)), "b": module("b", 1, calls=("a",))}
    )
    with pytest.raises(ReportError, match="calls itself"):
        build_nest(circle)


def test_unknown_trip_counts_stay_unknown_until_given() -> None:
    loop = Loop(name="l", ii=Span(1, 1), depth=Span(11, 11), pipelined=True)
    nest = build_nest(Report(kind="csynth", top="t", modules={"t": Module(name="t", loops=(loop,))}))
    assert what_if(nest, Changes()).cycles is None
    assert what_if(nest, Changes()).unknown == ("t/l",)
    assert what_if(nest, Changes(trips={"t/l": 100.0})).cycles == 11 + 99 - 1 + 2


def test_loop_names_and_values_are_checked() -> None:
    nest = _nest("vivado")
    assert find_loop(nest, "loop 2.1") == "toy_top/Loop 2/Loop 2.1"
    assert find_loop(nest, "toy_row/Loop1") == "toy_row/Loop1"
    with pytest.raises(ConfigError, match="names 2 loops"):
        find_loop(nest, "loop_1")
    with pytest.raises(ConfigError, match="no loop"):
        find_loop(nest, "nothing")
    for word in ("Loop 2", "Loop 2=x", "Loop 2=0", "=3"):
        with pytest.raises(ConfigError):
            parse_assignments(nest, [word], "--trips")
    with pytest.raises(ConfigError, match="not pipelined"):
        what_if(nest, Changes(ii={"toy_top/Loop 2": 2.0}))


def test_names_that_differ_by_underscores_only() -> None:
    loops = tuple(Loop(name=name, trips=Span(4, 4)) for name in ("LOOP_9_35", "LOOP_93_5"))
    nest = build_nest(Report(kind="csynth", top="m", modules={"m": Module(name="m", loops=loops)}))
    assert find_loop(nest, "LOOP_93_5") == "m/LOOP_93_5"
    with pytest.raises(ConfigError, match="names 2 loops"):
        find_loop(nest, "loop935")


def _run(*arguments: str) -> str:
    result = CliRunner().invoke(command, list(arguments), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_command_line() -> None:
    folder = str(FIXTURES / "vitis")
    assert "toy_lstm" in _run("show", folder)
    shown = json.loads(_run("show", str(FIXTURES / "vivado"), "--json"))
    assert shown["syntheses"][0]["report"]["top"] == "toy_top"
    assert "2 syntheses" in _run("show", str(FIXTURES))
    answer = json.loads(_run("what-if", folder, "--trips", "rows=120", "--clock", "250MHz", "--json"))
    assert answer["cycles"] == 5155
    assert answer["seconds"] == pytest.approx(5155 * 4e-9)
    bound = _run(
        "what-if",
        folder,
        "--network",
        "lstm:units=60,layers=1,timesteps=10,features=4",
        "--to",
        "lstm:units=30,layers=1,timesteps=10,features=4",
    )
    assert "timesteps" in bound
    elsewhere = json.loads(
        _run(
            "what-if",
            folder,
            "--network",
            "lstm:units=7,layers=1,timesteps=10,features=5",
            "--to",
            "lstm:units=7,layers=1,timesteps=20,features=5",
            "--json",
        )
    )
    assert elsewhere["cycles"] == 2755 + 2680
    assert any("not bound" in note and "rows (60 trips)" in note for note in elsewhere["notes"])
    assert "utilization" in _run("show", str(FIXTURES / "utilization_placed.rpt"))


@pytest.mark.parametrize(
    "arguments",
    [
        ("what-if", str(FIXTURES / "cosim.rpt")),
        ("what-if", str(FIXTURES / "vitis"), "--clock", "fast"),
        ("what-if", str(FIXTURES / "vitis"), "--clock", "1Hz"),
        ("what-if", str(FIXTURES / "vitis"), "--to", "autoenc-1"),
        ("what-if", str(FIXTURES / "vitis"), "--network", "lstm:units=7,layers=1,timesteps=3,features=2"),
        ("show", "nowhere"),
    ],
)
def test_command_line_refuses(arguments: tuple[str, ...]) -> None:
    with pytest.raises(LstmsimError):
        CliRunner().invoke(command, list(arguments), catch_exceptions=False)


def test_single_xml_file_has_a_nest() -> None:
    nest = build_nest(read_report(FIXTURES / "vivado" / "toy_row_csynth.xml"))
    assert nest.modules["toy_row"].composed_cycles == 103
