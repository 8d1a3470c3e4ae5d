"""The passes that a network makes through the kernel, and the sizes that follow from them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from lstmsim.config import KernelConfig
from lstmsim.fixedpoint import FloatFormat, NumberFormat
from lstmsim.network import DenseLayer, LstmLayer, Network, RepeatLayer, Stage

Kind = Literal["lstm", "dense", "repeat"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One pass of one layer; the members are those of `Run` in hls/run.hpp.

    `layer` and `number` say whose weights it reads: the layer's index and the pass.
    """

    kind: Kind
    units: int
    inputs: int
    steps: int
    stride: int
    layer: int
    number: int = 0
    backwards: bool = False
    sequences: bool = True
    function: str = "linear"
    offset: int = 0
    ends_layer: bool = True

    @property
    def columns(self) -> int:
        """Columns of a row: the hidden state, then the input."""
        return self.inputs + (self.units if self.kind == "lstm" else 0)

    @property
    def gates(self) -> int:
        """Matrices that it reads."""
        return {"lstm": 4, "dense": 1, "repeat": 0}[self.kind]

    def row_beats(self, beat_lanes: int) -> int:
        """Beats of one row: its bias and its columns, in whole beats."""
        return -(-(self.columns + 1) // beat_lanes)

    def beats(self, beat_lanes: int) -> int:
        """Beats of all its weights."""
        return self.gates * self.units * self.row_beats(beat_lanes)


@dataclass(frozen=True, slots=True)
class Packing:
    """How values of one format lie in memory words; hls/packing.hpp reads them so."""

    value_bits: int
    memory_bits: int

    @property
    def lanes(self) -> int:
        """Values in a group."""
        return max(1, self.memory_bits // self.value_bits)

    @property
    def words(self) -> int:
        """Memory words of a group."""
        return -(-self.value_bits // self.memory_bits)

    def words_of(self, values: int) -> int:
        """Memory words of so many values, in whole groups."""
        return -(-values // self.lanes) * self.words


def runs_of(network: Network) -> tuple[Run, ...]:
    """Return the passes of a network in order; a reshape costs none, it only reads the values anew."""
    return tuple(run for index, stage in enumerate(network.stages) for run in _runs_of_stage(stage, index))


def stored_weight_format(config: KernelConfig) -> NumberFormat:
    """Return the format of weights in memory: float behind a float interface, else that of the kernel."""
    return config.io_format if isinstance(config.io_format, FloatFormat) else config.weight_format


def weight_packing(config: KernelConfig) -> Packing:
    """Return how weights lie in the words of one port."""
    return Packing(stored_weight_format(config).width_bits, config.memory_bits)


def value_packing(config: KernelConfig) -> Packing:
    """Return how inputs and outputs lie in memory words."""
    return Packing(config.io_format.width_bits, config.memory_bits)


def beat_lanes(config: KernelConfig) -> int:
    """Return the weights that arrive in one beat of all weight ports."""
    return weight_packing(config).lanes * config.memory_ports


def largest(runs: tuple[Run, ...]) -> tuple[int, int]:
    """Return MX_UNITS and MX_COL: the rows and columns of the largest matrix."""
    computing = [run for run in runs if run.gates]
    return max((run.units for run in computing), default=1), max((run.columns for run in computing), default=1)


def _runs_of_stage(stage: Stage, index: int) -> Iterator[Run]:
    steps, inputs, stride = stage.input.timesteps, stage.input.features, stage.output.features
    match stage.layer:
        case LstmLayer() as layer:
            for number in range(layer.passes):
                yield Run(
                    kind="lstm",
                    units=layer.units,
                    inputs=inputs,
                    steps=steps,
                    stride=stride,
                    layer=index,
                    number=number,
                    backwards=layer.direction == "reverse" or number == 1,
                    sequences=layer.return_sequences,
                    offset=number * layer.units,
                    ends_layer=number == layer.passes - 1,
                )
        case DenseLayer(units=units, activation=activation):
            function = "linear" if activation == "softmax" else activation
            yield Run(
                kind="dense", units=units, inputs=inputs, steps=steps, stride=stride, layer=index, function=function
            )
        case RepeatLayer(count=count):
            yield Run(kind="repeat", units=inputs, inputs=inputs, steps=count, stride=stride, layer=index)
