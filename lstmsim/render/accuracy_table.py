"""Accuracy of number formats as a table for the terminal."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich import box
from rich.table import Table

from lstmsim.accuracy import AccuracyResult, PublishedAccuracy
from lstmsim.datasets import Dataset

BAR_CELLS = 40


def accuracy_table(
    results: Sequence[AccuracyResult],
    fractions: Sequence[int | None],
    points: Sequence[PublishedAccuracy],
    *,
    title: bool = True,
) -> Table:
    """Return one row a format, with the published figure beside it where there is one."""
    first = results[0]
    heading = f"{first.network} on {first.data}, {first.samples:,} windows" if title else None
    table = Table(title=heading, box=box.SIMPLE_HEAD, pad_edge=False)
    published = {point.fractional_bits: point.accuracy for point in points}
    detection = first.task == "detection"
    columns, cells = _detection_rows(results, fractions, published) if detection else _forecast_rows(results)
    for index, name in enumerate(columns):
        table.add_column(name, justify="right" if index else "left", no_wrap=not index)
    for row in cells:
        table.add_row(*row)
    return table


def curve(
    results: Sequence[AccuracyResult], fractions: Sequence[int | None], points: Sequence[PublishedAccuracy]
) -> list[str]:
    """Return the curve as text, one line a format, from 50 to 100 %: # is the accuracy (or what a forecast keeps).

    A published point stands at P on the same scale, the float model at |.
    """
    published = {point.fractional_bits: point.accuracy for point in points}
    lines = []
    for one, bits in zip(results, fractions, strict=True):
        share = one.quality if one.accuracy is None else one.accuracy
        cells = ["#" if cell <= _place(share) else " " for cell in range(BAR_CELLS + 1)]
        cells[_place(1.0 if one.float_accuracy is None else one.float_accuracy)] = "|"
        if bits in published:
            cells[_place(published[bits])] = "P"
        lines.append(f"{'float' if bits is None else bits:>5} {''.join(cells)} {100 * share:.2f} %")
    return lines


def legend(first: AccuracyResult, points: Sequence[PublishedAccuracy], data: Dataset) -> list[str]:
    """Return the lines below the table."""
    lines = [f"Data: {data.source}." + (f" {data.note}" if data.note else "")]
    if first.task == "detection":
        lines.append("Shares in %. Threshold: 95th percentile of normal calibration scores, anew for each format.")
        lines.append("float: accuracy in double precision; agree: same decision as it; kept: its threshold kept.")
    else:
        lines.append("Errors of the last output step; float: in double precision; keeps: float RMSE over RMSE in %.")
    if points:
        lines.append(f"Paper: {points[0].source}. How near: docs/accuracy.md.")
    return lines


def _detection_rows(
    results: Sequence[AccuracyResult], fractions: Sequence[int | None], published: dict[int, float]
) -> tuple[list[str], list[list[str]]]:
    columns = ["format", "accuracy", "float", "agree", "F1", "AUC", "kept", "SQNR dB"] + ["paper"] * bool(published)
    cells = []
    for one, bits in zip(results, fractions, strict=True):
        row = [_short(one.label), *map(_percent, (one.accuracy, one.float_accuracy, one.agreement, one.f1))]
        row += [_number(one.auc, 4), _percent(one.kept_threshold_accuracy), _number(one.sqnr_db, 1)]
        row += [_percent(published.get(-1 if bits is None else bits))] * bool(published)
        cells.append(row)
    return columns, cells


def _forecast_rows(results: Sequence[AccuracyResult]) -> tuple[list[str], list[list[str]]]:
    unit = f" {results[0].unit}" if results[0].unit else ""
    columns = ["format", f"RMSE{unit}", "float", f"MAE{unit}", "float", "MAPE %", "float", "keeps", "SQNR dB"]
    cells = []
    for one in results:
        row = [_short(one.label), *(_number(value, 4) for value in (one.rmse, one.float_rmse, one.mae, one.float_mae))]
        row += [_percent(one.mape), _percent(one.float_mape), _percent(one.quality), _number(one.sqnr_db, 1)]
        cells.append(row)
    return columns, cells


def _short(label: str) -> str:
    return label.replace("ap_fixed", "").replace("AP_", "")


def _place(share: float) -> int:
    return round(min(max(2 * share - 1, 0.0), 1.0) * BAR_CELLS)


def _percent(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.2f}"


def _number(value: float | None, digits: int) -> str:
    if value is None:
        return ""
    return f"{value:.{digits}f}" if math.isfinite(value) else "exact"
