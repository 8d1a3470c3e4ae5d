"""The bits that the kernel computes: quantised once, run on data of any size."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lstmsim import engine
from lstmsim.config import KernelConfig
from lstmsim.engine import LayerRecord, PassState, State
from lstmsim.errors import ConfigError, ModelFormatError
from lstmsim.fixedpoint import FloatFormat
from lstmsim.model import Array, Model, check_inputs
from lstmsim.network import DenseLayer, Network, Shape
from lstmsim.plan import Path, SimulationPlan, make_plan
from lstmsim.quantise import (
    QuantisedModel,
    Raw,
    inputs_to_state,
    interface_to_float,
    quantise_inputs,
    quantise_model,
    state_to_outputs,
)
from lstmsim.states import checked_state, pack_state, unpack_state

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

    from lstmsim.program import Program

SAMPLES_OF_BLOCK = 16
MAX_THREADS = 256
LEAST_OF_BLOCK = 5  # fewer samples than this run faster one by one than in a block of 16


@dataclass(frozen=True, slots=True)
class RawRun:
    """What one run of the kernel gives, raw.

    outputs: [batch, T, features] in io_t (float32 with a float interface); state: after the last step, one entry a
    layer and pass; records: one entry a layer and pass where `record` was asked for, else empty.
    """

    outputs: Raw
    state: State
    records: tuple[LayerRecord, ...]


class Simulator:
    """A quantised model, ready to run: its plan is made and its weights are laid out once.

    Args:
        model: from `quantise_model`.
        force: take this path where it is proven equal; PLAIN always is.
        pairs: whether to use AVX2's 16-bit pairs; as the processor has them where None.
    """

    def __init__(self, model: QuantisedModel, *, force: Path | None = None, pairs: bool | None = None) -> None:
        self.model = model
        self.plan = self._planned(force, pairs)
        self._programs: dict[bool, Program] = {}
        self._spare: dict[bool, list[tuple[NDArray[Any], ...]]] = {False: [], True: []}  # for calls side by side
        self._input, self._output = Shape(model.network.timesteps, model.network.features), model.network.output

    def _planned(self, force: Path | None, pairs: bool | None) -> SimulationPlan:
        from numba import config

        if config.DISABLE_JIT:
            force = Path.PLAIN
        if pairs is None and not config.DISABLE_JIT:
            from lstmsim.core.simd import has_pair_multiply

            pairs = has_pair_multiply()
        plan = make_plan(self.model, pairs=bool(pairs), force=force)
        if plan.path is Path.PLAIN:
            return plan
        from lstmsim.program import NotLaidOut, make_program

        try:
            make_program(self.model, plan, alone=True)
        except NotLaidOut as obstacle:
            layers = tuple(replace(layer, path=Path.PLAIN, reason=str(obstacle)) for layer in plan.layers)
            return replace(plan, path=Path.PLAIN, layers=layers)
        return plan

    def run(
        self,
        inputs: NDArray[np.floating],
        *,
        initial_state: State | None = None,
        return_state: bool = False,
        threads: int = 1,
    ) -> Array | tuple[Array, State]:
        """As `simulate`, for inputs alone."""
        _check_threads(threads)
        values = self._floats(inputs)
        network = self.model.network
        if initial_state is not None:
            initial_state = checked_state(self.model, initial_state, len(values))
        if self._is_plain(initial_state):
            raw = quantise_inputs(network, self.model.config, values)
            run = run_raw(self.model, raw, initial_state=initial_state, simulator=self)
            outputs = interface_to_float(self.model.config, run.outputs)
            state = run.state
        else:
            outputs = np.empty((len(values), self._output.timesteps, self._output.features))
            state = self._run_lanes(values, outputs, initial_state, return_state, threads)
        outputs = host_outputs(network, outputs)
        return (outputs, state) if return_state else outputs

    def run_raw(self, inputs: Raw, initial_state: State | None, threads: int) -> RawRun:
        """Run checked interface values on the lanes."""
        output = self._output
        kind = np.float32 if isinstance(self.model.config.io_format, FloatFormat) else np.int64
        outputs = np.empty((len(inputs), output.timesteps, output.features), kind)
        state = self._run_lanes(np.ascontiguousarray(inputs), outputs, initial_state, True, threads)
        return RawRun(outputs, state, ())

    def _floats(self, inputs: NDArray[np.floating]) -> NDArray[Any]:
        """Return inputs as contiguous float32 or float64 [batch, timesteps, features]; the kernels judge the values."""
        network = self.model.network
        expected = (network.timesteps, network.features)
        plain = isinstance(inputs, np.ndarray) and inputs.dtype in (np.float32, np.float64)
        if plain and inputs.ndim == 3 and inputs.shape[1:] == expected:
            values: NDArray[Any] = np.ascontiguousarray(inputs)
        else:
            values = check_inputs(network, inputs)
        if isinstance(self.model.config.io_format, FloatFormat) and values.dtype == np.float64:
            return quantise_inputs(network, self.model.config, values)
        return values

    def _is_plain(self, initial_state: State | None) -> bool:
        return self.plan.path is Path.PLAIN or not self._is_covered(initial_state)

    def _is_covered(self, state: State | None) -> bool:
        """Tell whether the proof of the plan holds for this initial state."""
        if state is None or self.model.config.is_float:
            return True
        return all(
            not one.hidden.size or (low <= int(one.hidden.min()) and int(one.hidden.max()) <= high)
            for (low, high), layer in zip(self.plan.hidden_ranges, state, strict=True)
            for one in layer
        )

    def _run_lanes(
        self, inputs: NDArray[Any], outputs: NDArray[Any], initial: State | None, wanted: bool, threads: int
    ) -> State:
        from lstmsim.core import lanes

        batch = len(inputs)
        state = checked_state(self.model, initial, batch) if wanted else initial
        in_blocks = batch - batch % SAMPLES_OF_BLOCK if batch % SAMPLES_OF_BLOCK < LEAST_OF_BLOCK else batch
        bounds = ((0, in_blocks, SAMPLES_OF_BLOCK), (in_blocks, batch, 1))
        parts = [self._part(*bound, state) for bound in bounds if bound[0] < bound[1]]

        def work() -> None:
            for part in parts:
                spare = self._spare[part.program.lanes == 1]
                space = spare.pop() if spare else self._new_space(part.program)
                lanes.run_blocks(inputs, outputs, *part.arguments(space))
                spare.append(space)

        helpers = min(threads, max((part.blocks for part in parts), default=1)) - 1
        jobs = [_pool(threads - 1).submit(work) for _ in range(helpers)]
        try:
            work()
        finally:
            if not all(lanes.wait_for_blocks(part.progress, part.blocks) for part in parts):
                for job in jobs:
                    job.result()
        if any(part.progress[lanes.NOT_FINITE] for part in parts):
            raise ModelFormatError("inputs hold NaN or infinity: remove or replace them")
        if state is None or not wanted:
            return state or ()
        left = [unpack_state(part.program, part.last - part.first, *part.state) for part in parts]
        return _joined_states(left) if left else state

    def _part(self, first: int, last: int, lanes: int, state: State | None) -> _Part:
        program = self._program(alone=lanes == 1)
        part = _Part(first, last, program, -(-(last - first) // lanes), np.zeros(3, np.int64), ())
        if state is None:
            return part
        kind = program.weights.dtype
        kept = tuple(np.zeros((part.blocks, size), kind) for size in (program.hidden_size, program.cell_size))
        pack_state(program, state, first, last, *kept)
        return replace(part, state=kept)

    def _new_space(self, program: Program) -> tuple[NDArray[Any], ...]:
        """Return what one thread works in: arena, a row of interface values, and the state of one block."""
        kind = program.weights.dtype
        values = max(self._input.features, self._output.features) + 1
        return (
            np.zeros(program.arena_size, kind),
            np.empty(values, np.float32 if kind == np.float32 else np.int64),
            np.zeros((1, program.hidden_size), kind),
            np.zeros((1, program.cell_size), kind),
        )

    def _program(self, *, alone: bool) -> Program:
        if alone not in self._programs:
            from lstmsim.program import make_program

            self._programs[alone] = make_program(self.model, self.plan, alone=alone)
        return self._programs[alone]


def prepare(model: Model, config: KernelConfig, *, force: Path | None = None) -> Simulator:
    """Return a simulator that can run many inputs; its `plan` tells the path and why.

    Raises:
        ConfigError: a format that cannot hold a bias or whose intermediates exceed the 64-bit carrier.
    """
    return Simulator(quantise_model(model, config), force=force)


def run_raw(
    model: QuantisedModel,
    inputs: Raw,
    *,
    initial_state: State | None = None,
    record: bool = False,
    threads: int = 1,
    simulator: Simulator | None = None,
) -> RawRun:
    """Run a quantised model on interface values [batch, timesteps, features] and return interface values.

    Args:
        model: from `quantise_model`.
        inputs: raw io_t integers, or float32 with a float interface; `quantise_inputs` makes them.
        initial_state: state of an earlier run (`RawRun.state`); zero where None.
        record: keep every gate, cell and hidden value of every layer; the plain engine runs then.
        threads: samples are shared between so many threads.
        simulator: of the same model, to save its preparation.

    Raises:
        ModelFormatError: inputs or a state of the wrong shape, or raw integers outside io_format.
    """
    _check_threads(threads)
    inputs = _checked_raw(model, inputs)
    state = checked_state(model, initial_state, len(inputs))
    if simulator is not None and simulator.model is not model:
        raise ConfigError("the simulator was prepared for another quantised model: leave it out, or pass its own model")
    if not record:
        simulator = simulator or Simulator(model)
        if not simulator._is_plain(state):
            return simulator.run_raw(inputs, state, threads)
    values = inputs_to_state(model.config, inputs)
    outputs, after, records = engine.run_layers(model, values, state, record=record, count=False)
    return RawRun(state_to_outputs(model.config, outputs), after, records)


def simulate(
    model: Model,
    config: KernelConfig,
    inputs: NDArray[np.floating],
    *,
    initial_state: State | None = None,
    return_state: bool = False,
    threads: int = 1,
) -> Array | tuple[Array, State]:
    """Return what the kernel of this configuration returns, as float64 [batch, T, features].

    Args:
        model: network and weights.
        config: formats and activation; the knobs of parallelism change nothing here.
        inputs: [batch, timesteps, features], or one sample without its batch axis.
        initial_state: state of an earlier call with `return_state`, to go on with a longer sequence.
        return_state: return (outputs, state).
        threads: samples are shared between so many threads.

    Raises:
        ConfigError: a format that cannot hold a bias or whose intermediates exceed the 64-bit carrier.
        ModelFormatError: inputs of the wrong shape, a NaN or an infinity.
    """
    simulator = prepare(model, config)
    return simulator.run(inputs, initial_state=initial_state, return_state=return_state, threads=threads)


def host_outputs(network: Network, outputs: Array) -> Array:
    """Return outputs after what the host computes: a softmax of the last layer."""
    last = network.layers[-1]
    if not (isinstance(last, DenseLayer) and last.activation == "softmax"):
        return outputs
    shifted = np.exp(outputs - outputs.max(axis=-1, keepdims=True))
    result: Array = shifted / shifted.sum(axis=-1, keepdims=True)
    return result


def _checked_raw(model: QuantisedModel, inputs: Raw) -> Raw:
    """Return interface values in the kernel's own type."""
    network, number = model.network, model.config.io_format
    values = np.asarray(inputs)
    if values.ndim != 3 or values.shape[1:] != (network.timesteps, network.features):
        raise ModelFormatError(
            f"inputs of shape {list(values.shape)} do not fit network {network.name!r}: "
            f"[batch, {network.timesteps}, {network.features}] is needed"
        )
    if isinstance(number, FloatFormat):
        return quantise_inputs(network, model.config, values)
    if values.dtype.kind not in "iu":
        raise ModelFormatError(f"raw inputs of type {values.dtype} are not integers: quantise_inputs makes them")
    if values.size and not number.raw_min <= int(values.min()) <= int(values.max()) <= number.raw_max:
        raise ModelFormatError(
            f"raw inputs {values.min()}..{values.max()} are outside {number.raw_min}..{number.raw_max} of {number}"
        )
    return np.ascontiguousarray(values, np.int64)


def _check_threads(threads: int) -> None:
    if not isinstance(threads, int) or not 1 <= threads <= MAX_THREADS:
        raise ConfigError(f"threads = {threads!r} is not a whole number of 1 to {MAX_THREADS}")


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    """Return threads that stay: starting one takes as long as a block of a small network."""
    from concurrent.futures import ThreadPoolExecutor

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_pool.cache_clear)  # threads do not survive a fork
    return ThreadPoolExecutor(threads)


@dataclass(slots=True)
class _Part:
    """Samples first to last, in blocks of `program.lanes`; `state` is empty where all start from zero."""

    first: int
    last: int
    program: Program
    blocks: int
    progress: NDArray[Any]
    state: tuple[NDArray[Any], ...]

    def arguments(self, space: tuple[NDArray[Any], ...]) -> tuple[Any, ...]:
        """Return what `lanes.run_blocks` takes behind inputs and outputs; space is what one thread works in."""
        program, (arena, row, *own) = self.program, space
        return (
            self.first, self.last, program.lanes, self.progress, program.rows, program.ends, program.weights,
            program.biases, program.sum_constants, program.rules, arena, row, program.conversions, program.scale,
            not self.state, *(self.state or own),
        )  # fmt: skip


def _joined_states(parts: list[State]) -> State:
    return tuple(
        tuple(
            PassState(np.concatenate([one.hidden for one in passes]), np.concatenate([one.cell for one in passes]))
            for passes in zip(*layers, strict=True)
        )
        for layers in zip(*parts, strict=True)
    )


__all__ = ["PassState", "Path", "RawRun", "SimulationPlan", "Simulator", "State", "prepare", "run_raw", "simulate"]
