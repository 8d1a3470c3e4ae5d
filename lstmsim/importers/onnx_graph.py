"""An ONNX graph run on traced tensors (see `tracing`): constants are computed, the rest becomes layers."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from lstmsim.errors import ModelFormatError
from lstmsim.importers.chain import Blueprint, needed_timesteps
from lstmsim.importers.frames import MixedSamples, Traced
from lstmsim.importers.onnx_nodes import Environment, run_nodes
from lstmsim.importers.tracing import finish, start

OPEN_BATCHES = (2, 1)  # tried where the batch is open; exporters may have written a batch of one into the graph


@dataclass(frozen=True, slots=True)
class Layout:
    """How the input tensor holds samples. `axes` puts [batch, timesteps, features] in its order, or drops axes."""

    batch: int
    timesteps: int
    features: int
    rank: int
    time_first: bool

    def tensor(self) -> Traced:
        """Return the input tensor."""
        given = start(self.timesteps, self.features, self.batch)
        positions = given.positions
        if self.time_first:
            positions = positions.swapaxes(0, 1)
        if self.rank == 2:
            positions = positions[:, 0]
        return given.moved(positions)


def read_graph(graph: Any, opset: int, name: str, timesteps: int | None) -> Blueprint:
    """Return the network that a graph computes.

    Raises:
        ModelFormatError: several inputs or outputs, or a node that is not supported, with its name and operator.
    """
    from onnx import numpy_helper

    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    if graph.sparse_initializer:
        raise ModelFormatError("the model has sparse weights: store them dense")
    inputs = [value for value in graph.input if value.name not in constants]
    if len(inputs) != 1 or len(graph.output) != 1:
        raise ModelFormatError(
            f"the model has {len(inputs)} inputs ({_names(inputs)}) and {len(graph.output)} outputs "
            f"({_names(graph.output)}): one of each is supported"
        )
    nodes = _needed(graph)
    problems: list[ModelFormatError] = []
    for layout in _layouts(inputs[0], timesteps):
        environment = Environment(layout.batch, opset, {**constants, inputs[0].name: layout.tensor()})
        try:
            run_nodes(nodes, environment)
            return finish(_output(environment, graph.output[0].name), name, layout.batch)
        except ModelFormatError as problem:
            problems.append(problem)
    plain = [problem for problem in problems if not isinstance(problem, MixedSamples)]
    raise (plain or problems)[0]


def _needed(graph: Any) -> list[Any]:
    """The nodes that the output depends on, in their order."""
    wanted = {value.name for value in graph.output}
    needed = []
    for node in reversed(graph.node):
        if wanted.isdisjoint(node.output):
            continue
        needed.append(node)
        wanted.update(_reads(node))
    return needed[::-1]


def _reads(node: Any) -> Iterator[str]:
    """The names that a node reads, in its branches too."""
    yield from node.input
    for attribute in node.attribute:
        for inner in attribute.g.node:
            yield from _reads(inner)
        yield from (value.name for value in attribute.g.output)


def _output(environment: Environment, name: str) -> Traced:
    value = environment.values.get(name)
    if not isinstance(value, Traced):
        raise ModelFormatError(f"the output {name!r} does not depend on the input")
    return value


def _layouts(value: Any, timesteps: int | None) -> list[Layout]:
    """The ways to read the input, the usual one first: [batch, time, features], then [time, batch, features]."""
    sizes = _sizes(value)
    layouts: list[Layout] = []
    for time_first in (False, True):
        batch_size, steps = (sizes[1], sizes[0]) if time_first and len(sizes) == 3 else (sizes[0], sizes[1])
        if len(sizes) == 2:
            if time_first:
                continue
            steps = 1
        features = sizes[-1]
        if features is None:
            raise ModelFormatError(f"input {value.name!r} leaves its number of features open: export it with a size")
        try:
            length = needed_timesteps(steps, timesteps if len(sizes) == 3 else None, f"input {value.name!r}")
        except ModelFormatError:
            if time_first and layouts:
                continue
            if not time_first and len(sizes) == 3 and sizes[0] is not None:
                continue
            raise
        batches = OPEN_BATCHES if batch_size is None else (batch_size,)
        layouts += [Layout(batch, length, features, len(sizes), time_first) for batch in batches]
    return layouts


def _sizes(value: Any) -> list[int | None]:
    kind = value.type.tensor_type
    sizes = [dim.dim_value if dim.HasField("dim_value") and dim.dim_value > 0 else None for dim in kind.shape.dim]
    if len(sizes) not in (2, 3):
        raise ModelFormatError(
            f"input {value.name!r} has {len(sizes)} axes: "
            "[batch, features] or [batch, timesteps, features] is supported"
        )
    return sizes


def _names(values: Any) -> str:
    return ", ".join(repr(value.name) for value in itertools.islice(values, 6))
