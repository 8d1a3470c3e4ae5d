"""A network, a device, a space and a goal, packed once into what the compiled loop reads."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lstmsim.calibration import Calibration, load_calibration
from lstmsim.config import KernelConfig
from lstmsim.core.compiled import records_of_rows
from lstmsim.core.cycles import cell_columns, cell_rows
from lstmsim.core.design import DENSE, KIND, STEPS
from lstmsim.core.rules import Extent, broken_rule
from lstmsim.core.sweep import (
    AXES,
    FIRST_RESOURCE_AXIS,
    METRICS,
    TABLE_SIZE_AXIS,
    Goal,
    Model,
    Tables,
    Workload,
    figures,
    knobs_at,
    set_digits,
)
from lstmsim.device import FpgaDevice
from lstmsim.energy import power_coefficients
from lstmsim.errors import CalibrationError, ConfigError
from lstmsim.estimate import FPGA_CALIBRATION
from lstmsim.explore.goals import METRIC_NAMES, Constraint
from lstmsim.explore.space import DesignSpace, Formats
from lstmsim.kernel_model import calibrated_values, kernel_model, latency_coefficients, resource_coefficients
from lstmsim.network import Network

BUDGET_METRICS = ("lut", "lutram", "ff", "bram18", "uram", "dsp")


@dataclass(frozen=True, slots=True)
class Problem:
    """Plain numbers and arrays; `limit_names` are the constraints in order, the budget first."""

    layers: Any
    load: Workload
    extent: Extent
    model: Model
    tables: Tables
    goal: Goal
    limit_names: tuple[str, ...]

    @property
    def group_size(self) -> int:
        """Designs that differ in resource and time axes only."""
        return math.prod(int(size) for size in self.tables.sizes[FIRST_RESOURCE_AXIS:])

    @property
    def groups(self) -> int:
        """Groups of the space."""
        return math.prod(int(size) for size in self.tables.sizes[:FIRST_RESOURCE_AXIS])

    def digits_at(self, index: int) -> Any:
        """Return the choice on every axis of a design, [axes]."""
        digits = np.zeros(len(AXES), np.int64)
        set_digits(index, self.tables.sizes, digits, 0, len(AXES))
        return digits

    def figures_at(self, index: int) -> dict[str, float]:
        """Return a design's figures by metric, computed by the plain functions."""
        digits = self.digits_at(index)
        tables = self.tables
        knobs = knobs_at(digits, tables.values, tables.formats, tables.clocks_hz, self.load.batch)
        plain = type(knobs)._make(value.item() if hasattr(value, "item") else value for value in knobs)
        accuracy = float(tables.accuracy[digits[0]])
        found = figures(self.layers.tolist(), self.load, plain, self.model, accuracy)
        return dict(zip(METRICS, map(float, found), strict=True))

    def rule_broken_at(self, index: int) -> int:
        """Return the index in `core.rules.RULES` of the rule that prunes a design, or -1."""
        digits = self.digits_at(index)
        tables = self.tables
        knobs = knobs_at(digits, tables.values, tables.formats, tables.clocks_hz, self.load.batch)
        return broken_rule(knobs, digits[TABLE_SIZE_AXIS], self.extent)


def pack_problem(
    network: Network,
    device: FpgaDevice,
    space: DesignSpace,
    objectives: Sequence[str],
    constraints: Sequence[Constraint],
    *,
    batch: int,
    queue: int,
    accuracy: Mapping[Formats, float] | None,
    calibration: Calibration | str | None,
) -> Problem:
    """Pack everything.

    Raises:
        ConfigError: accuracy is asked for but unknown.
        CalibrationError: a calibration that is not for FPGAs.
    """
    asked = set(objectives) | {constraint.name for constraint in constraints}
    if "accuracy" in asked and not accuracy:
        raise ConfigError(
            "accuracy is unknown: measure it first, with --accuracy DATA or a file that a sweep has written"
        )
    values = calibration_values(calibration)
    packed = kernel_model(network, device, KernelConfig(), batch)
    board = packed.board(values)
    return Problem(
        layers=records_of_rows(packed.layers),
        load=Workload(packed.outputs, packed.features, batch, queue),
        extent=extent_of(packed.layers, device),
        model=Model(
            board=type(board)(
                float(board.launch_s),
                int(board.channels),
                int(board.port_bits),
                float(board.bandwidth_bytes_per_s),
                float(board.read_latency_s),
            ),
            latency=_floats(latency_coefficients(values)),
            resources=_floats(resource_coefficients(values)),
            power=_floats(power_coefficients(device)),
        ),
        tables=space.tables(accuracy),
        goal=_goal(device, objectives, constraints, "accuracy" in objectives),
        limit_names=_limit_names(device, constraints, "accuracy" in objectives),
    )


def calibration_values(given: Calibration | str | None) -> dict[str, float]:
    """Return the coefficients of the kernel model by name; the shipped calibration where None.

    Raises:
        CalibrationError: a calibration that is not for FPGAs.
    """
    calibration = given if isinstance(given, Calibration) else load_calibration(given or FPGA_CALIBRATION)
    if calibration.kind != "fpga":
        raise CalibrationError(f"calibration {calibration.name!r} is for {calibration.kind} devices, not for FPGAs")
    return calibrated_values(calibration)


def _floats(numbers: Any) -> Any:
    return type(numbers)(*map(float, numbers))


def extent_of(layers: Sequence[Sequence[int]], device: FpgaDevice) -> Extent:
    """Return what a network's packed layers and a board allow."""
    recurrent = [layer for layer in layers if layer[KIND] != DENSE]
    return Extent(
        columns=cell_columns(layers),
        rows=cell_rows(layers),
        lstm_layers=len(recurrent),
        most_steps=max((layer[STEPS] for layer in recurrent), default=1),
        clock_max_hz=float(device.clock_max_hz),
    )


def _goal(
    device: FpgaDevice, objectives: Sequence[str], constraints: Sequence[Constraint], known_accuracy: bool
) -> Goal:
    budget = device.budget.as_dict()
    limits = [(METRICS.index(name), 1.0, float(budget[name])) for name in BUDGET_METRICS]
    for constraint in constraints:
        sign = 1.0 if constraint.smaller else -1.0
        limits.append((METRICS.index(constraint.metric), sign, sign * constraint.limit))
    if known_accuracy:
        limits.append((METRICS.index("accuracy"), -1.0, 0.0))
    goals = [METRIC_NAMES[name] for name in objectives]
    return Goal(
        limits=np.array(limits, np.float64),
        objectives=np.array([(METRICS.index(metric), sign) for metric, sign in goals], np.float64),
    )


def _limit_names(device: FpgaDevice, constraints: Sequence[Constraint], known_accuracy: bool) -> tuple[str, ...]:
    names = [f"the {name} budget of {device.name}" for name in BUDGET_METRICS]
    return (*names, *map(str, constraints), *(["known accuracy"] if known_accuracy else []))
