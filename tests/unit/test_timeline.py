"""`lstmsim timeline`: slices that add up to the estimate, traces that Perfetto reads, charts that are valid SVG."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner

from lstmsim.cli.main import cli
from lstmsim.config import KernelConfig
from lstmsim.device import FpgaDevice, load_device
from lstmsim.errors import ConfigError
from lstmsim.estimate import estimate
from lstmsim.network import load_preset, preset_names
from lstmsim.render.timeline import gantt_svg, trace_events, trace_json
from lstmsim.timeline import Timeline, busy_times, timeline

PHASES = {"X": {"name", "cat", "pid", "tid", "ts", "dur", "args"}, "M": {"name", "pid", "tid", "args"}}


def fpga(name: str) -> FpgaDevice:
    device = load_device(name)
    assert isinstance(device, FpgaDevice)
    return device


def check_schema(trace: dict[str, Any]) -> None:
    """Chrome's trace event format, as far as Perfetto reads it."""
    assert set(trace) == {"traceEvents", "displayTimeUnit", "otherData"}
    assert trace["displayTimeUnit"] in ("ms", "ns")
    named = set()
    for event in trace["traceEvents"]:
        assert set(event) == {"ph", *PHASES[event["ph"]]}
        assert isinstance(event["name"], str)
        assert type(event["pid"]) is int
        assert type(event["tid"]) is int
        if event["ph"] == "M":
            assert event["name"] in ("process_name", "thread_name", "thread_sort_index")
            named.add((event["name"], event["pid"], event["tid"]))
        else:
            assert event["ts"] >= 0
            assert event["dur"] >= 0
            assert ("thread_name", event["pid"], event["tid"]) in named


def check_no_overlap(result: Timeline) -> None:
    """One track does one thing at a time."""
    tracks: dict[tuple[int, str], list[tuple[float, float]]] = {}
    for piece in result.slices:
        tracks.setdefault((piece.instance, piece.track), []).append((piece.start_s, piece.end_s))
    for pieces in tracks.values():
        pieces.sort()
        for (_, end), (start, _) in itertools.pairwise(pieces):
            assert start >= end - 1e-12


@pytest.mark.parametrize("device", ["u280", "zcu104"])
@pytest.mark.parametrize("network", preset_names())
def test_every_network_sums_to_its_estimate(network: str, device: str) -> None:
    loaded, board = load_preset(network), fpga(device)
    result, closed = timeline(loaded, board), estimate(loaded, board)
    assert result.total_s == pytest.approx(closed.latency_s, rel=1e-9)
    assert max(piece.end_s for piece in result.slices) == pytest.approx(closed.latency_s, rel=1e-9)
    check_no_overlap(result)
    trace = json.loads(trace_json(result))
    check_schema(trace)
    last = max(event["ts"] + event["dur"] for event in trace["traceEvents"] if event["ph"] == "X")
    assert last == pytest.approx(closed.latency_s * 1e6, rel=1e-9)


def test_phases_are_those_of_the_estimate() -> None:
    loaded, board = load_preset("autoenc-5"), fpga("u280")
    result, closed = timeline(loaded, board), estimate(loaded, board)
    busy = busy_times(result)
    assert busy["weights"] == pytest.approx(closed.seconds["weight_load"], rel=1e-9)
    assert busy["gate engine i"] == pytest.approx(closed.seconds["gates"], rel=1e-9)
    assert busy["element-wise"] == pytest.approx(closed.seconds["elementwise"], rel=1e-9)
    assert busy["input copy"] == pytest.approx(closed.seconds["input"], rel=1e-9)


@pytest.mark.parametrize(
    "knobs",
    [
        {"layer_parallel": True},
        {"systolic_steps": 4},
        {"double_buffer": True},
        {"instances": 4},
        {"parallel_gates": 2},
        {"resident_weights": True},
    ],
)
def test_batches(knobs: dict[str, Any]) -> None:
    loaded, board, config = load_preset("autoenc-1"), fpga("u280"), KernelConfig(**knobs)
    result = timeline(loaded, board, config, batch=8)
    assert result.total_s == pytest.approx(estimate(loaded, board, config, batch=8).latency_s, rel=1e-9)
    assert {piece.input for piece in result.slices if piece.kind == "output"} == set(range(8))
    check_no_overlap(result)
    check_schema(trace_events(result))


def test_long_calls_are_joined() -> None:
    loaded, board = load_preset("autoenc-5"), fpga("u280")
    for limit, detail in ((100_000, "steps"), (2000, "layers"), (100, "inputs")):
        result = timeline(loaded, board, batch=32, max_events=limit)
        assert result.detail == detail
        assert len(result.slices) <= limit
        assert max(piece.end_s for piece in result.slices) == pytest.approx(result.total_s, rel=1e-12)
    few = timeline(loaded, board, batch=32, max_events=20)
    assert few.dropped > 0
    assert few.dropped + sum(piece.kind == "output" for piece in few.slices) == 32
    assert max(piece.end_s for piece in few.slices) == pytest.approx(few.total_s, rel=1e-12)


def test_too_long_is_refused() -> None:
    with pytest.raises(ConfigError, match="smaller --batch"):
        timeline(load_preset("autoenc-5"), fpga("u280"), batch=1 << 24)


def test_svg_is_well_formed_and_shows_every_track() -> None:
    result = timeline(load_preset("autoenc-5"), fpga("zcu104"))
    root = ElementTree.fromstring(gantt_svg(result))
    text = {element.text for element in root.iter("{http://www.w3.org/2000/svg}text")}
    assert {piece.track for piece in result.slices} <= text
    assert "One time step (step 1)" in text


def test_command_writes_and_refuses_to_overwrite(tmp_path: Path) -> None:
    trace, chart = tmp_path / "t.json", tmp_path / "g.svg"
    arguments = ["timeline", "autoenc-1", "-d", "u280", "-o", str(trace), "--svg", str(chart), "--json"]
    done = CliRunner().invoke(cli, arguments, catch_exceptions=False)
    assert json.loads(done.output)["total_s"] == json.loads(trace.read_text())["otherData"]["total_s"]
    before = trace.read_bytes()
    again = CliRunner().invoke(cli, arguments)
    assert isinstance(again.exception, ConfigError)
    assert trace.read_bytes() == before
    assert CliRunner().invoke(cli, [*arguments, "--force"]).exit_code == 0


def test_processors_have_no_timeline() -> None:
    assert isinstance(CliRunner().invoke(cli, ["timeline", "-d", "t4"]).exception, ConfigError)
