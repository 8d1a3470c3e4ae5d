"""Tensors that say where values come from; see `tracing`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from lstmsim.errors import ModelFormatError
from lstmsim.model import LayerWeights
from lstmsim.network import Layer

Positions: TypeAlias = NDArray[np.int64]

ELEMENT_LIMIT = 1 << 25
WHOLE = "whole"
PART = 1 << 40


class MixedSamples(ModelFormatError):
    """A layer reads several samples of the batch as one: the batch is on another axis, or the model is refused."""


@dataclass(frozen=True, slots=True)
class Step:
    """Something done to a frame: what, with which constants, and the frame of the layer that came of it."""

    kind: str
    constants: NDArray[np.float64] | None
    result: Frame | None


@dataclass(slots=True)
class Frame:
    """A layer's output, and what was done to it since."""

    layer: Layer | None  # None: the network's input
    timesteps: int
    features: int
    parent: Frame | None = None
    weights: LayerWeights = None
    where: str = "the input"
    history: list[Step] = field(default_factory=list)

    @property
    def values(self) -> int:
        """Values of one sample."""
        return self.timesteps * self.features

    def positions(self, batch: int) -> Positions:
        """Return all positions, [batch, timesteps, features]."""
        if batch * self.values > ELEMENT_LIMIT:
            raise ModelFormatError(f"{self.where} has {batch * self.values:,} values: {ELEMENT_LIMIT:,} is the limit")
        return np.arange(batch * self.values, dtype=np.int64).reshape(batch, self.timesteps, self.features)


@dataclass(frozen=True, slots=True)
class Traced:
    """A tensor of positions in a frame, in the shape that it has in the graph, after `age` steps of its history.

    Exporters may work on each time step apart; so the same step, taken again with equal constants, is no branch.
    """

    frame: Frame
    positions: Positions
    age: int = 0

    def moved(self, positions: Positions) -> Traced:
        """Return the same values in other places."""
        return Traced(self.frame, positions, self.age)

    def taken(self, kind: str, constants: NDArray[np.float64] | None, where: str) -> Step | None:
        """Return the step of this kind if it was taken with another part of this frame, None if nothing was.

        Raises:
            ModelFormatError: something else was done: the graph branches.
        """
        if self.age == len(self.frame.history):
            return None
        step = self.frame.history[self.age]
        same = (constants is None) == (step.constants is None) and (
            constants is None or step.constants is None or np.array_equal(constants, step.constants)
        )
        if step.kind == kind and kind != WHOLE and same:
            return step
        raise ModelFormatError(
            f"{where}: the output of {self.frame.where} is used twice: one straight chain of layers is supported"
        )

    def stepped(self, step: Step) -> Traced:
        """Return the tensor after a step that leaves its positions; the step is noted when it is new."""
        if self.age == len(self.frame.history):
            self.frame.history.append(step)
        return Traced(self.frame, self.positions, self.age + 1)

    def claim(self, where: str) -> Frame:
        """Return the frame for a reader of the whole; nothing else may read it."""
        self.taken(WHOLE, None, where)
        self.frame.history.append(Step(WHOLE, None, None))
        return self.frame


@dataclass(frozen=True, slots=True)
class Joined:
    """A tensor with values of several frames, as the states of stacked layers are; no layer reads it as it is.

    A position is (index of the part) * `PART` + (position in the part's frame).
    """

    parts: tuple[Traced, ...]
    positions: Positions

    def moved(self, positions: Positions) -> Traced | Joined:
        """Return the same values in other places: a `Traced` when those of one part are left."""
        left = np.unique(positions // PART)
        if len(left) != 1:
            return Joined(self.parts, positions)
        part = self.parts[int(left[0])]
        return part.moved(positions % PART)


def joined(tensors: Sequence[Traced | Joined]) -> tuple[tuple[Traced, ...], list[Positions]]:
    """Return the frames that tensors come from, each once, and the tensors' positions in a `Joined` of them."""
    parts: list[Traced] = []
    positions = []
    for tensor in tensors:
        numbers = []
        for part in (tensor,) if isinstance(tensor, Traced) else tensor.parts:
            same = [n for n, other in enumerate(parts) if other.frame is part.frame and other.age == part.age]
            if not same:
                parts.append(part)
            numbers.append(same[0] if same else len(parts) - 1)
        owner = np.asarray(numbers, dtype=np.int64)[tensor.positions // PART]
        positions.append(owner * PART + tensor.positions % PART)
    return tuple(parts), positions
