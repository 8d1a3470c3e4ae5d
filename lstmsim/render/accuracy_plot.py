"""The curve of accuracy over fractional bits as an image."""

from __future__ import annotations

import importlib
import io
from collections.abc import Sequence
from pathlib import Path

from lstmsim.accuracy import AccuracyResult, PublishedAccuracy
from lstmsim.errors import ConfigError, MissingExtra
from lstmsim.files import write_bytes

KINDS = ("png", "svg", "pdf")


def draw_accuracy(
    results: Sequence[AccuracyResult],
    fractions: Sequence[int | None],
    points: Sequence[PublishedAccuracy],
    path: Path,
    *,
    force: bool = False,
) -> None:
    """Draw results over their fractional bits, the float model as a line and published points beside them.

    Raises:
        MissingExtra: matplotlib is not installed.
        ConfigError: another kind of image, or the file exists and `force` is false.
    """
    kind = path.suffix.lower().removeprefix(".")
    if kind not in KINDS:
        raise ConfigError(f"{str(path)!r}: a plot is written as .png, .svg or .pdf")
    try:
        figure_module = importlib.import_module("matplotlib.figure")
    except ImportError:
        raise MissingExtra("matplotlib", "plot", "--plot") from None
    figure = figure_module.Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.subplots()
    known = sorted((bits, one) for bits, one in zip(fractions, results, strict=True) if bits is not None)
    bits = [entry[0] for entry in known]
    first = results[0]
    if first.task == "detection":
        _line(axes, bits, [100 * (one.accuracy or 0) for _, one in known], "accuracy, lstmsim", "o-")
        _line(axes, bits, [100 * (one.agreement or 0) for _, one in known], "agreement with float", ".--")
        axes.axhline(100 * (first.float_accuracy or 0), color="0.5", lw=1, label="accuracy, float model")
        if points:
            _line(axes, [one.fractional_bits for one in points], [100 * one.accuracy for one in points], "paper", "s")
        axes.set_ylabel("%")
    else:
        _line(axes, bits, [one.rmse or 0 for _, one in known], "RMSE, lstmsim", "o-")
        axes.axhline(first.float_rmse or 0, color="0.5", lw=1, label="RMSE, float model")
        axes.set_ylabel(f"RMSE {first.unit}".strip())
    axes.set_xlabel("fractional bits")
    axes.set_title(f"{first.network} on {first.data}, {first.samples:,} windows", fontsize=10)
    axes.grid(alpha=0.3)
    axes.legend()
    stream = io.BytesIO()
    figure.savefig(stream, format=kind, dpi=150)
    write_bytes(path, stream.getvalue(), force=force)


def _line(axes: object, x: Sequence[float], y: Sequence[float], label: str, style: str) -> None:
    axes.plot(x, y, style, label=label)  # type: ignore[attr-defined]
