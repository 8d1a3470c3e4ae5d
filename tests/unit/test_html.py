"""The HTML report: figures equal --json, everything in one file, drawn and hovered in a real browser."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest
from browser import browser_missing, open_browser
from click.testing import CliRunner

from lstmsim.cli.main import cli
from lstmsim.config import KernelConfig
from lstmsim.device import load_device
from lstmsim.errors import ConfigError
from lstmsim.estimate import estimate
from lstmsim.explore import explore
from lstmsim.explore.space import DesignSpace, load_space
from lstmsim.network import load_preset
from lstmsim.render.html import report_data, report_page

pytest.importorskip("jinja2", reason="needs the extra html")
pytest.importorskip("plotly", reason="needs the extra html")

SPACE = """
engines = [1, 2, 4]
parallel_gates = [1, 2, 4]
mac_share = [1, 2, 4]
elementwise_unroll = [1, 4]
"""


def small_space(folder: Path) -> DesignSpace:
    path = folder / "space.toml"
    path.write_text(SPACE)
    return load_space(path, load_preset("autoenc-5"), load_device("u280"))


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    network = load_preset("autoenc-5")
    boards = [load_device("u280"), load_device("zcu104")]
    space = small_space(tmp_path_factory.mktemp("space"))
    fronts = [explore(network, board, space=space, objectives=("latency", "dsp", "lut")) for board in boards]
    rows = [
        {
            "label": "ap_fixed<16,8>",
            "figure": "accuracy",
            "value": 0.95,
            "fractional_bits": 8,
            "source": "a </script> b",
        }
    ]
    return report_data(
        network, boards, [None, KernelConfig(memory_bits=512)],
        batch=1, calibration=None, fronts=fronts, accuracy=rows, command="lstmsim report html",
    )  # fmt: skip


def embedded(page: str) -> Any:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert found
    return json.loads(found[1])


def test_figures_are_those_of_the_estimate(report: dict[str, Any]) -> None:
    for part, config in zip(report["devices"], (None, KernelConfig(memory_bits=512)), strict=True):
        wanted = estimate("autoenc-5", part["device"], config).to_dict()
        assert {key: part[key] for key in wanted} == wanted


def test_page_carries_the_json_and_needs_nothing_else(report: dict[str, Any]) -> None:
    page = report_page(report)
    assert embedded(page) == json.loads(json.dumps(report))
    own = page.replace(re.findall(r"<script>(.*?)</script>", page, re.DOTALL)[0], "")  # plotly.js names addresses
    assert not re.findall(r'(?:src|href)="(?!#|data:)[^"]*"', own)
    assert "http://" not in own
    assert "https://" not in own


def test_page_escapes_what_it_is_given(report: dict[str, Any]) -> None:
    hostile = {**report, "command": "</pre><script>alert(1)</script>"}
    page = report_page(hostile)
    assert "<script>alert(1)" not in page
    assert embedded(page)["command"] == hostile["command"]


def test_command(tmp_path: Path) -> None:
    target = tmp_path / "r.html"
    arguments = ["report", "html", "autoenc-1", "-d", "u280", "-d", "t4", "--no-explore", "-o", str(target), "--json"]
    done = CliRunner().invoke(cli, arguments, catch_exceptions=False)
    assert embedded(target.read_text()) == json.loads(done.output)
    assert isinstance(CliRunner().invoke(cli, arguments).exception, ConfigError)


def test_accuracy_file(tmp_path: Path) -> None:
    source = tmp_path / "a.json"
    source.write_text(json.dumps({"results": [{"label": "x", "fractional_bits": 6, "accuracy": 0.9, "data": "d"}]}))
    arguments = ["report", "html", "autoenc-1", "-d", "t4", "--json", "--accuracy", str(source)]
    rows = json.loads(CliRunner().invoke(cli, arguments, catch_exceptions=False).output)["accuracy"]
    assert rows == [{"label": "x", "figure": "accuracy", "value": 0.9, "fractional_bits": 6, "source": "d"}]
    for bad in ("{", "[]", '{"results": [1]}', '{"results": [{"fractional_bits": true}]}'):
        source.write_text(bad)
        assert isinstance(CliRunner().invoke(cli, arguments).exception, ConfigError)


@pytest.mark.skipif(bool(browser_missing()), reason=browser_missing() or "a browser is there")
def test_in_a_browser(report: dict[str, Any], tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    page.write_text(report_page(report), encoding="utf-8")
    with open_browser(tmp_path / "profile") as browser:
        browser.open(page.as_uri())
        figures = browser.script(
            "return [...document.querySelectorAll('.figure')].map(f => f.querySelectorAll('svg').length)"
        )
        assert len(figures) == 5
        assert all(figures)
        drawn = browser.script(
            "return document.getElementById('figure-phases').data.map(t => t.y.reduce((a, b) => a + b))"
        )
        assert drawn == pytest.approx([1e3 * part["latency_s"] for part in report["devices"]])
        points = "return document.getElementById('figure-pareto').data.reduce((n, t) => n + t.x.length, 0)"
        assert browser.script(points) == sum(len(front["designs"]) for front in report["fronts"])

        box = browser.script(
            "const f = document.getElementById('figure-pareto'); f.scrollIntoView({block: 'center'});"
            "const p = f.querySelector('.scatterlayer .point').getBoundingClientRect();"
            "return [p.x + p.width / 2, p.y + p.height / 2]"
        )
        browser.move_to(*box)
        for _ in range(50):
            hint = browser.script("return document.querySelector('#figure-pareto .hovertext')?.textContent || ''")
            if hint:
                break
            time.sleep(0.1)
        assert "latency_s" in hint

        limit = sorted(design["figures"]["dsp"] for front in report["fronts"] for design in front["designs"])[3]
        browser.script(
            "const box = document.getElementById('pareto-dsp'); box.value = arguments[0];"
            "box.dispatchEvent(new Event('input'))",
            limit,
        )
        assert 4 <= browser.script(points) < sum(len(front["designs"]) for front in report["fronts"])
        focused = browser.script(
            "document.querySelector('#table-pareto tbody tr').focus(); return document.activeElement.tagName"
        )
        assert focused == "TR"
        assert [entry for entry in browser.log() if entry["level"] in ("SEVERE", "WARNING")] == []
