"""Measure autoenc-5 on NSL-KDD for several trained seeds, as docs/accuracy.md defines it.

python seeds.py NSL-KDD-FOLDER OUTPUT.csv WEIGHTS.npz ... [--samples N]
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path
from statistics import mean

from lstmsim.accuracy import fractional_configs, make_reference, measure, published_points
from lstmsim.datasets import load_dataset
from lstmsim.model import load_weights
from lstmsim.network import load_preset

COLUMNS = ("weights", "data", "rounding", "fractional_bits", "accuracy", "float_accuracy", "agreement", "auc")
COLUMNS += ("kept_threshold_accuracy", "sqnr_db", "samples")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("data")
    options.add_argument("output", type=Path)
    options.add_argument("weights", nargs="+", type=Path)
    options.add_argument("--samples", type=int, default=10_000)
    options.add_argument("--network", default="autoenc-5")
    options.add_argument("--truncation", action="store_true", help="measure truncation and wrapping too")
    given = options.parse_args()
    rows = [row for path in given.weights for row in measured(given, path)]
    with given.output.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, COLUMNS, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    summarise(given.network, rows)


def measured(given: argparse.Namespace, path: Path) -> list[dict[str, object]]:
    network = load_preset(given.network)
    data = load_dataset(given.data, network)
    reference = make_reference(load_weights(network, path), data, samples=given.samples)
    rows: list[dict[str, object]] = []
    for truncate in (False, True) if given.truncation else (False,):
        for bits, (_, config) in zip(range(2, 13), fractional_configs(range(2, 13), truncate=truncate), strict=True):
            figures = measure(reference, config).to_dict()
            words = {"weights": path.stem, "rounding": "truncate, wrap" if truncate else "round, saturate"}
            rows.append({**figures, **words, "fractional_bits": bits})
            print(
                path.stem,
                words["rounding"],
                bits,
                f"{figures['accuracy']:.4f}",
                f"{figures['agreement']:.4f}",
                flush=True,
            )
    return rows


def summarise(network: str, rows: list[dict[str, object]]) -> None:
    published = {point.fractional_bits: point.accuracy for point in published_points(network)}
    for rounding in dict.fromkeys(row["rounding"] for row in rows):
        for bits in range(12, 1, -1):
            chosen = [row for row in rows if row["rounding"] == rounding and row["fractional_bits"] == bits]
            shares = [100 * float(str(row["accuracy"])) for row in chosen]
            agreed = [100 * float(str(row["agreement"])) for row in chosen]
            paper = f", paper {100 * published[bits]:.2f}" if bits in published else ""
            print(
                f"{rounding}, {bits} bits: accuracy {mean(shares):.2f} ({min(shares):.2f} to {max(shares):.2f}), "
                f"agreement {mean(agreed):.2f} ({min(agreed):.2f} to {max(agreed):.2f}){paper}"
            )


if __name__ == "__main__":
    main()
