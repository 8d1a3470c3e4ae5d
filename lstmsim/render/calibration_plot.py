"""Figures of a calibration: predicted against measured, and what is left over row by row."""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING, Any

from lstmsim.calibration import Z90
from lstmsim.errors import MissingExtra

if TYPE_CHECKING:
    from lstmsim.fitting.recalibrate import Recalibration, RowFit

_ROWS_NAMED = 40


def calibration_figure(result: Recalibration, file_format: str) -> bytes:
    """Return a figure as the bytes of a "png", "svg" or "pdf" file.

    Left: prediction without the row against measurement, before and after. Right: error of each row, left out, with
    the calibration's 90 % band.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingExtra("matplotlib", "plot", "drawing figures") from None
    quantities = list(dict.fromkeys(row.quantity for row in result.rows))
    figure = Figure(figsize=(11, 3.6 * len(quantities)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(quantities), 2, squeeze=False)
    for quantity, (left, right) in zip(quantities, axes, strict=True):
        rows = [row for row in result.rows if row.quantity == quantity]
        _scatter(left, rows, quantity)
        _residuals(right, rows, result.calibration.log_sigma.get(quantity, 0.0))
    figure.suptitle(f"{result.calibration.name}: {', '.join(result.calibration.devices)}, {result.calibration.stage}")
    stream = io.BytesIO()
    figure.savefig(stream, format=file_format, dpi=120, metadata={"Date": None} if file_format == "svg" else None)
    return stream.getvalue()


def _scatter(axis: Any, rows: list[RowFit], quantity: str) -> None:
    measured = [row.measured for row in rows]
    axis.loglog(measured, [row.before for row in rows], "o", mfc="none", color="0.6", label="before")
    axis.loglog(measured, [row.fitted for row in rows], "o", color="tab:blue", label="fitted")
    axis.loglog(measured, [row.left_out for row in rows], "x", color="tab:orange", label="without the row")
    ends = [min(measured) / 1.3, max(measured) * 1.3]
    axis.loglog(ends, ends, "-", color="0.3", linewidth=0.8)
    axis.set_xlabel(f"measured {quantity}")
    axis.set_ylabel("predicted")
    axis.legend(frameon=False, fontsize=8)


def _residuals(axis: Any, rows: list[RowFit], log_sigma: float) -> None:
    errors = [100 * (row.left_out / row.measured - 1) for row in rows]
    colors = ["tab:red" if row.outlier else "tab:orange" for row in rows]
    axis.bar(range(len(rows)), errors, color=colors)
    band = 100 * (math.exp(Z90 * log_sigma) - 1)
    low = 100 * (math.exp(-Z90 * log_sigma) - 1)
    axis.axhspan(low, band, color="0.9", zorder=0)
    axis.axhline(0.0, color="0.3", linewidth=0.8)
    axis.set_ylabel("error without the row, %")
    if len(rows) <= _ROWS_NAMED:
        axis.set_xticks(range(len(rows)), [row.id for row in rows], rotation=60, ha="right", fontsize=7)
