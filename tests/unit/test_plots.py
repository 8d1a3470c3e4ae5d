"""Pictures are valid files with labels and units, the same bytes each time, never over what exists."""

from __future__ import annotations

import dataclasses

import pytest
from click.testing import CliRunner

from lstmsim.cli.explore import command
from lstmsim.config import KernelConfig
from lstmsim.device import load_device
from lstmsim.errors import ConfigError
from lstmsim.estimate import estimate
from lstmsim.explore import default_space, explore
from lstmsim.explore.sensitivity import what_if
from lstmsim.network import load_preset
from lstmsim.placement import place

pytest.importorskip("matplotlib")
plots = pytest.importorskip("lstmsim.render.plots")


@pytest.fixture(scope="module")
def front():
    network, device = load_preset("autoenc-1"), load_device("zcu104")
    base = default_space(network, device)
    axes = {**base.axes, "instances": (1,), "layer_parallel": (False,), "accumulation": ("tree",)}
    return explore(network, device, space=dataclasses.replace(base, formats=base.formats[1:2], axes=axes))


def texts(figure) -> str:
    words = []
    for axes in figure.axes:
        words += [axes.get_xlabel(), axes.get_ylabel(), axes.get_title()]
        words += [label.get_text() for label in axes.get_yticklabels()]
        words += [entry.get_text() for entry in (axes.get_legend().get_texts() if axes.get_legend() else [])]
    return " | ".join(words)


def test_pareto_scatter_draws_front_and_sample(front):
    figure = plots.pareto_scatter(front)
    first, second = figure.axes[0].collections
    assert len(second.get_offsets()) == min(4000, len(front.front))
    assert len(first.get_offsets()) == len(front.sample)
    assert "latency (ms)" in texts(figure)
    assert "DSP blocks" in texts(figure)


def test_phase_bars_add_up_to_the_latency():
    results = [estimate("autoenc-5", "u280", KernelConfig()), estimate("autoenc-5", "v100")]
    figure = plots.phase_bars(results)
    width: dict[float, float] = {}
    for patch in figure.axes[0].patches:
        row = round(patch.get_y() + patch.get_height() / 2)
        width[row] = width.get(row, 0.0) + patch.get_width()
    assert [width[0], width[1]] == pytest.approx([one.latency_s * 1e3 for one in results])
    assert "ms" in texts(figure)


def test_device_comparison_has_a_panel_a_network():
    placements = [place(load_preset(name), ["v100", "nx", "a53"]) for name in ("autoenc-1", "autoenc-5")]
    figure = plots.device_comparison(placements)
    assert len(figure.axes) == 2
    assert all(len(axes.patches) == 3 for axes in figure.axes)
    assert "v100 (near)" in texts(figure)


def test_tornado_puts_the_widest_on_top():
    network, device = load_preset("autoenc-5"), load_device("u280")
    changes = what_if(network, device, KernelConfig(memory_bits=512))
    figure = plots.tornado(changes, "autoenc-5 on u280")
    top = figure.axes[0].get_yticklabels()[0].get_text()
    assert top == max(changes, key=lambda change: abs(change.latency)).knob
    assert "%" in texts(figure)


@pytest.mark.parametrize(("name", "magic"), [("a.png", b"\x89PNG\r\n"), ("a.svg", b"<?xml")])
def test_files_are_whole_repeatable_and_never_overwritten(tmp_path, front, name, magic):
    path = tmp_path / name
    plots.save(plots.pareto_scatter(front), path)
    data = path.read_bytes()
    assert data.startswith(magic)
    assert plots.image_bytes(plots.pareto_scatter(front), name[-3:]) == data
    with pytest.raises(ConfigError, match="exists"):
        plots.save(plots.pareto_scatter(front), path)
    plots.save(plots.pareto_scatter(front), path, force=True)


def test_other_kinds_are_refused_before_the_search(tmp_path):
    with pytest.raises(ConfigError, match=r"\.png or \.svg"):
        plots.save(plots.new_figure()[0], tmp_path / "a.gif")
    result = CliRunner().invoke(command, ["autoenc-1", "--plot", str(tmp_path / "a.gif")])
    assert isinstance(result.exception, ConfigError)
