"""What a data set gives to training and to the measurement of accuracy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lstmsim.errors import DataError
from lstmsim.network import Network, RepeatLayer

Array = NDArray[np.float32]
Task = Literal["detection", "forecast"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectionData:
    """Windows for an autoencoder that flags what it reconstructs badly.

    `train` and `calibration` hold normal windows only, `test` both kinds; all are [windows, timesteps, features].
    `labels` [windows] is true where the test window is an anomaly.
    """

    name: str
    source: str
    train: Array
    calibration: Array
    test: Array
    labels: NDArray[np.bool_]
    note: str = ""

    @property
    def task(self) -> Task:
        """The word "detection"."""
        return "detection"

    @property
    def train_targets(self) -> Array:
        """An autoencoder learns its own input."""
        return self.train


@dataclass(frozen=True, slots=True, kw_only=True)
class ForecastData:
    """Windows and what comes next.

    Inputs are [windows, timesteps, features], targets [windows, output timesteps, output features]. The last output
    step is the forecast; in the data's own unit it is `offset + scale * value`, both [windows] of the test.
    """

    name: str
    source: str
    train: Array
    train_targets: Array
    calibration: Array
    test: Array
    targets: Array
    offset: NDArray[np.float64]
    scale: NDArray[np.float64]
    unit: str = ""
    note: str = ""

    @property
    def task(self) -> Task:
        """The word "forecast"."""
        return "forecast"


Dataset = DetectionData | ForecastData


def task_of(network: Network) -> Task:
    """Return what a network is for, judged by its shape.

    A network that repeats a bottleneck and gives back the shape of its input is an autoencoder; any other forecasts
    the next value of the first columns.
    """
    given = (network.timesteps, network.features)
    mirrored = (network.output.timesteps, network.output.features) == given
    return "detection" if mirrored and any(isinstance(layer, RepeatLayer) for layer in network.layers) else "forecast"


def windows(rows: NDArray[np.floating], timesteps: int, stride: int = 1) -> Array:
    """Return [windows, timesteps, columns] cut from [rows, columns], a new one every `stride` rows."""
    count = (len(rows) - timesteps) // stride + 1
    if count < 1:
        return np.empty((0, timesteps, rows.shape[1]), np.float32)
    starts = np.arange(count) * stride
    cut: Array = np.asarray(rows, np.float32)[starts[:, None] + np.arange(timesteps)]
    return cut


def forecast_windows(series: NDArray[np.floating], network: Network, stride: int = 1) -> tuple[Array, Array]:
    """Return inputs and targets from [rows, features]: each output step is the row after its input step.

    Raises:
        DataError: the network gives more columns than the series has, or more steps than it reads.
    """
    output = network.output
    if output.features > series.shape[1] or output.timesteps > network.timesteps:
        raise DataError(
            f"network {network.name!r} gives {output.timesteps} x {output.features} values: "
            f"a forecast has at most {network.timesteps} x {series.shape[1]}"
        )
    cut = windows(series, network.timesteps + 1, stride)
    return cut[:, :-1], np.ascontiguousarray(cut[:, 1:][:, -output.timesteps :, : output.features])


def require_windows(name: str, **parts: Array) -> None:
    """Raise DataError where a part of a data set has no window at all."""
    for part, values in parts.items():
        if not len(values):
            raise DataError(f"data {name!r} leaves no {part} windows: give more rows")
