"""How well the model, fitted on the seven networks, predicts them one at a time and a grid that it never saw.

python calibration/evaluate_gpu.py ROWS.csv [--backend torch-jit] [--grid-backend NAME] [-o CALIBRATION.toml]

ROWS.csv and its device file come from `measure_gpu.py` or from `lstmsim measure`. Needs lstmsim installed.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from lstmsim.calibration import Calibration
from lstmsim.device import load_device
from lstmsim.errors import CalibrationError, LstmsimError
from lstmsim.estimate import estimate
from lstmsim.fitting.recalibrate import Recalibration, recalibrate
from lstmsim.importers import load_network
from lstmsim.measurements import Measurement, read_measurements
from lstmsim.network import LstmLayer, Network, preset_names


@dataclass(frozen=True, slots=True)
class Point:
    """A row of the grid: what was measured and what the fit on the seven networks says."""

    network: Network
    batch: int
    measured_s: float
    predicted_s: float

    @property
    def error(self) -> float:
        return self.predicted_s / self.measured_s - 1

    @property
    def units(self) -> int:
        return max(layer.units for layer in self.network.layers if isinstance(layer, LstmLayer))


REGIONS: dict[str, Callable[[Point], bool]] = {
    "all": lambda point: True,
    "batch 1": lambda point: point.batch == 1,
    "batch 1, units to 256, 10 steps and more": lambda point: (
        point.batch == 1 and point.units <= 256 and point.network.timesteps >= 10
    ),
    "batch 1, units above 256": lambda point: point.batch == 1 and point.units > 256,
    "batch 1, a single step": lambda point: point.batch == 1 and point.network.timesteps == 1,
    "batch 2 to 64": lambda point: 1 < point.batch <= 64,
    "batch above 64": lambda point: point.batch > 64,
    "as many layer steps and parameters as the seven": lambda point: (
        point.batch == 1 and 8 <= point.network.layer_steps <= 100 and 75e3 <= point.network.params <= 1.2e6
    ),
}


def main() -> int:
    options = arguments()
    try:
        rows = read_measurements(options.rows)
        seven = [row for row in rows if row.network in preset_names() and row.extra.get("backend") == options.backend]
        if len(seven) < 3:
            raise CalibrationError(
                f"{len(seven)} of the seven networks were timed with {options.backend!r}: measure them"
            )
        fitted = recalibrate(load_device(seven[0].device).name, seven, None)
        print_seven(fitted)
        print_grid(grid_points(rows, fitted.calibration, options.grid_backend or options.backend))
        if options.output:
            fitted.calibration.save(options.output, force=True)
    except LstmsimError as problem:
        print(f"Error: {problem}", file=sys.stderr)
        return 2
    return 0


def grid_points(rows: list[Measurement], calibration: Calibration, backend: str) -> list[Point]:
    points = []
    for row in rows:
        if row.network in preset_names() or row.extra.get("backend") != backend or row.latency_s is None:
            continue
        network = load_network(row.network)
        predicted = estimate(network, load_device(row.device), batch=row.batch, calibration=calibration)
        points.append(Point(network, row.batch, row.latency_s, predicted.latency_s))
    return points


def print_seven(fitted: Recalibration) -> None:
    print(f"{fitted.calibration.name}: the seven networks, each predicted without its own row\n")
    print("| row | measured ms | fitted | left out |\n|---|---|---|---|")
    for row in fitted.rows:
        shares = [f"{100 * (value / row.measured - 1):+.1f} %" for value in (row.fitted, row.left_out)]
        print(f"| {row.id} | {1e3 * row.measured:.4f} | {' | '.join(shares)} |")
    errors = [abs(row.left_out / row.measured - 1) for row in fitted.rows]
    print(f"\nmean |error|, left out: {100 * float(np.mean(errors)):.1f} %\n")
    for name, entry in fitted.calibration.coefficients.items():
        print(f"- {name} = {entry.value:.4g} {entry.unit} (± {100 * entry.log_stderr:.0f} %)")


def print_grid(points: list[Point]) -> None:
    if not points:
        return
    print("\nThe grid, never seen by the fit\n\n| region | points | mean error | median error | bias |")
    print("|---|---|---|---|---|")
    for name, belongs in REGIONS.items():
        errors = np.array([point.error for point in points if belongs(point)])
        if errors.size:
            shown = (np.mean(np.abs(errors)), np.median(np.abs(errors)), np.mean(errors))
            cells = [f"{100 * float(value):+.0f} %".removeprefix("+") for value in shown]
            print(f"| {name} | {errors.size} | {' | '.join(cells)} |")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", metavar="ROWS.csv")
    parser.add_argument("--backend", default="torch-jit", help="whose rows of the seven networks are fitted")
    parser.add_argument("--grid-backend", help="whose rows of the grid are predicted; the same where not given")
    parser.add_argument("-o", "--output", metavar="CALIBRATION.toml")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
