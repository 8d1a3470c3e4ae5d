"""Every figure of the paper's tables beside the model's prediction."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from lstmsim.calibration import Calibration, load_calibration
from lstmsim.device import FpgaDevice, load_device
from lstmsim.estimate import FPGA_CALIBRATION, PROCESSOR_CALIBRATION, estimate
from lstmsim.measurements import Measurement, package_measurements, read_csv_table, read_measurements
from lstmsim.network import load_preset

QUANTITIES = ("latency_s", "dsp", "lutram", "lut", "ff", "bram18")
FAR_OFF = 0.12


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidationRow:
    """A published figure and the prediction. `error` is predicted over measured, minus one.

    `left_out_error` is the error of a prediction from a fit without the row; None where the row was in no fit.
    """

    id: str
    table: str
    row: str
    device: str
    network: str
    quantity: str
    measured: float
    predicted: float
    error: float
    in_fit: bool
    left_out_error: float | None = None
    note: str = ""


def validation_rows() -> list[ValidationRow]:
    """Return all figures of Tables 1 and 3-7 and of the text, in the paper's order."""
    calibrations = {
        "fpga": load_calibration(FPGA_CALIBRATION),
        "processor": load_calibration(PROCESSOR_CALIBRATION),
    }
    folder = package_measurements()
    kernels = read_measurements(folder / "paper-fpga.csv")
    processors = read_measurements(folder / "paper-processors.csv")
    rows = _network_rows()
    for measurement in (*kernels, *processors):
        rows += _measured_rows(measurement, calibrations)
    return rows + _speedup_rows(rows)


def validation_summary(rows: Iterable[ValidationRow]) -> dict[str, dict[str, float]]:
    """Return mean errors in sample and left out, by group of rows and quantity."""
    rows = list(rows)
    groups: dict[str, Callable[[ValidationRow], bool]] = {
        "FPGA latency": lambda row: row.quantity == "latency_s" and _is_fpga(row),
        "GPU latency": lambda row: row.table == "7",
        "CPU latency": lambda row: row.quantity == "latency_s" and row.table == "text" and not _is_fpga(row),
        "DSP": lambda row: row.quantity == "dsp",
        "LUT as memory": lambda row: row.quantity == "lutram",
        "LUT": lambda row: row.quantity == "lut",
        "FF": lambda row: row.quantity == "ff",
        "BRAM": lambda row: row.quantity == "bram18",
        "speed-ups": lambda row: row.quantity == "speedup",
        "Table 1": lambda row: row.table == "1",
    }
    return {name: _summary([row for row in rows if belongs(row)]) for name, belongs in groups.items()}


def unidentified(calibration: Calibration) -> dict[str, str]:
    """Return the coefficients that one row alone decides, with that row: without it the prior speaks."""
    return {
        name: coefficient.rows[0]
        for name, coefficient in calibration.coefficients.items()
        if len(coefficient.rows) == 1
    }


def _summary(rows: list[ValidationRow]) -> dict[str, float]:
    if not rows:
        return {"rows": 0}
    errors = [abs(row.error) for row in rows]
    summary = {
        "rows": len(rows),
        "mean_error": statistics.fmean(errors),
        "median_error": statistics.median(errors),
        "largest_error": max(errors),
        "off_by_over_12_percent": sum(error > FAR_OFF for error in errors),
    }
    left_out = [abs(row.left_out_error) for row in rows if row.left_out_error is not None]
    if left_out:
        summary |= {
            "left_out_rows": len(left_out),
            "left_out_mean_error": statistics.fmean(left_out),
            "left_out_median_error": statistics.median(left_out),
            "left_out_largest_error": max(left_out),
        }
    return summary


def _is_fpga(row: ValidationRow) -> bool:
    return load_device(row.device).kind == "fpga"


def _measured_rows(measurement: Measurement, calibrations: dict[str, Calibration]) -> list[ValidationRow]:
    device = load_device(measurement.device)
    fpga = isinstance(device, FpgaDevice)
    calibration = calibrations["fpga" if fpga else "processor"]
    result = estimate(
        load_preset(measurement.network),
        device,
        measurement.config if fpga else None,
        batch=measurement.batch,
        calibration=calibration,
    )
    predictions = {"latency_s": result.latency_s, **(result.resources or {})}
    measured = {**measurement.resources}
    if measurement.latency_s is not None:
        measured["latency_s"] = measurement.latency_s
    return [
        ValidationRow(
            id=measurement.id,
            table=measurement.extra.get("table", ""),
            row=measurement.extra.get("row", ""),
            device=device.name,
            network=measurement.network,
            quantity=quantity,
            measured=measured[quantity],
            predicted=predictions[quantity],
            error=predictions[quantity] / measured[quantity] - 1,
            in_fit=measurement.id in calibration.made_from,
            left_out_error=calibration.left_out.get(f"{measurement.id} {quantity}"),
            note=measurement.extra.get("note", ""),
        )
        for quantity in QUANTITIES
        if quantity in measured
    ]


def _network_rows() -> list[ValidationRow]:
    """Table 1 counts multiplicative weights, without biases: so every printed digit of autoenc-1 to -4 is met."""
    rows = []
    for _, cells in read_csv_table(package_measurements() / "paper-networks.csv"):
        network = load_preset(cells["network"])
        printed = {
            "params_millions": (network.weights / 1e6, int(cells["params_digits"])),
            "mflops": (network.flops / 1e6, int(cells["mflops_digits"])),
        }
        for quantity, (value, digits) in printed.items():
            measured = float(cells[quantity])
            rows.append(
                ValidationRow(
                    id=cells["id"],
                    table=cells["table"],
                    row=cells["row"],
                    device="",
                    network=network.name,
                    quantity=quantity,
                    measured=measured,
                    predicted=value,
                    error=value / measured - 1,
                    in_fit=False,
                    note="equal to the printed digits" if _equal_as_printed(value, measured, digits) else "differs",
                )
            )
    return rows


def _equal_as_printed(value: float, printed: float, digits: int) -> bool:
    scale = 10.0**digits
    return round(value * scale) == round(printed * scale)


def _speedup_rows(rows: list[ValidationRow]) -> list[ValidationRow]:
    latency = {row.id: row for row in rows if row.quantity == "latency_s"}
    speedups = []
    for _, cells in read_csv_table(package_measurements() / "paper-speedups.csv"):
        if not cells["accelerated_row"]:
            continue
        fast, slow = latency[cells["accelerated_row"]], latency[cells["baseline_row"]]
        factor, predicted = float(cells["factor"]), slow.predicted / fast.predicted
        speedups.append(
            ValidationRow(
                id=cells["id"],
                table=cells["table"],
                row=cells["row"],
                device=fast.device,
                network=cells["network"],
                quantity="speedup",
                measured=factor,
                predicted=predicted,
                error=predicted / factor - 1,
                in_fit=False,
            )
        )
    return speedups
