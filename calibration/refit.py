"""Make the calibrations that ship with the package again, from calibration/measurements.

python calibration/refit.py            fits and writes lstmsim/data/calibrations/*.toml
"""

from __future__ import annotations

from pathlib import Path

from lstmsim.calibration import Calibration
from lstmsim.fitting.studies import calibrate_fpga, calibrate_processors
from lstmsim.measurements import read_measurements

HERE = Path(__file__).parent
TARGET = HERE.parent / "lstmsim" / "data" / "calibrations"


def main() -> None:
    fpga = calibrate_fpga("paper-fpga", read_measurements(HERE / "measurements" / "paper-fpga.csv"))
    processors = calibrate_processors(
        "paper-processors", read_measurements(HERE / "measurements" / "paper-processors.csv")
    )
    for calibration in (fpga, processors):
        calibration.save(TARGET / f"{calibration.name}.toml", force=True)
        report(calibration)


def report(calibration: Calibration) -> None:
    print(calibration.name)
    for name, value in calibration.quality.items():
        print(f"  {name}: {value:.4g}")


if __name__ == "__main__":
    main()
