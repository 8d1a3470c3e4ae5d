"""The LSTM kernel of hls/ on a board: moves weights once, runs batches, and knows which kernel it talks to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lstmsim.config import KernelConfig
from lstmsim.errors import HardwareError
from lstmsim.hardware.xrt import Board, Buffer, Unit
from lstmsim.hls.boards import KERNEL
from lstmsim.hls.headers import digest_words
from lstmsim.hls.runs import value_packing
from lstmsim.hls.words import sample_words, samples_from_words, weight_words
from lstmsim.model import Model
from lstmsim.network import Shape
from lstmsim.quantise import Raw, quantise_inputs, quantise_model

DIGEST_BYTES = 8
SMALLEST_BUFFER_BYTES = 4096
DEFAULT_LIMIT_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What one copy of the kernel gets of a batch: its place in it, and its buffers."""

    unit: Unit
    first: int
    count: int
    inputs: Buffer
    outputs: Buffer


class LstmKernel:
    """A network on a board.

    Args:
        board: an open board; close it when done.
        model: network and weights.
        config: the configuration that the xclbin was built from.
        limit_s: seconds that any wait for the kernel may take.

    Raises:
        HardwareError: the xclbin's kernel has other arguments or fewer copies than the configuration says.
    """

    def __init__(self, board: Board, model: Model, config: KernelConfig, *, limit_s: float = DEFAULT_LIMIT_S) -> None:
        self.board, self.model, self.config, self.limit_s = board, model, config, limit_s
        self._weights = [f"weights{port}" for port in range(config.memory_ports)]
        self._check_arguments()
        copies = board.description.copies_of(board.kernel)
        if len(copies) < config.instances:
            raise HardwareError(
                f"the xclbin has {len(copies)} copies of {board.kernel.name!r}, the configuration {config.instances}"
            )
        self._units = [board.unit(copy) for copy in copies[: config.instances]]
        self._input = Shape(model.network.timesteps, model.network.features)
        self._resident: dict[Unit, dict[str, Buffer]] = {}

    def load(self) -> None:
        """Move the weights to the board, once, and check the digest that the kernel writes back.

        Raises:
            HardwareError: the kernel was built from another configuration, or does not answer.
        """
        self.move_weights()
        self.check_digest()

    def move_weights(self) -> None:
        """Move the weights to the board; with resident weights also into the kernel."""
        ports = weight_words(self.model, quantise_model(self.model, self.config))
        for unit in self._units:
            buffers = {}
            for name, data in zip(self._weights, ports, strict=True):
                buffers[name] = self._buffer(unit, name, len(data))
                buffers[name].write(data)
            buffers["digest"] = self._buffer(unit, "digest", DIGEST_BYTES)
            buffers["digest"].write(bytes(DIGEST_BYTES))
            self._resident[unit] = buffers

    def check_digest(self) -> None:
        """Call the kernel without samples and compare the digest that it writes.

        Raises:
            HardwareError: it is another one.
        """
        expected = digest_words(self.config)
        with self.prepared(len(self._units)) as shares:
            for share in shares:
                self._set_arguments(share, count=0, load_weights=1)
            self.execute(shares)
        for unit in self._units:
            seen = tuple(int(word) for word in np.frombuffer(self._resident[unit]["digest"].read(DIGEST_BYTES), "<i4"))
            if seen != expected:
                raise HardwareError(_mismatch(seen, self.config.digest))

    @contextmanager
    def prepared(self, batch: int) -> Iterator[list[Share]]:
        """Give the copies of the kernel, ready for their part of a batch; its buffers go at the end of the block."""
        shares = self._shares(batch)
        try:
            for share in shares:
                self._set_arguments(share, count=share.count, load_weights=0)
            yield shares
        finally:
            for share in shares:
                self.board.free(share.inputs)
                self.board.free(share.outputs)

    def _shares(self, batch: int) -> list[Share]:
        bounds = np.linspace(0, batch, len(self._units) + 1).round().astype(int).tolist()
        return [
            self._share(unit, first, last - first)
            for unit, first, last in zip(self._units, bounds, bounds[1:], strict=False)
            if last > first
        ]

    def write(self, shares: list[Share], samples: list[bytes]) -> None:
        """Move inputs to the board."""
        for share, data in zip(shares, samples, strict=True):
            share.inputs.write(data)

    def execute(self, shares: list[Share]) -> None:
        """Run every copy on its share, and wait for all."""
        for share in shares:
            share.unit.start()
        for share in shares:
            share.unit.wait(self.limit_s)

    def read(self, shares: list[Share]) -> list[bytes]:
        """Move outputs from the board."""
        return [share.outputs.read(share.count * self._output_bytes) for share in shares]

    def run(self, inputs: NDArray[np.floating]) -> Raw:
        """Return the raw outputs [batch, timesteps, features] of inputs of the same form."""
        raw = quantise_inputs(self.model.network, self.config, inputs)
        with self.prepared(len(raw)) as shares:
            self.write(shares, self.samples(shares, raw))
            self.execute(shares)
            return self.outputs(shares, self.read(shares))

    def samples(self, shares: list[Share], raw: Raw) -> list[bytes]:
        """Return inputs as the words of every copy's share."""
        return [sample_words(raw[share.first : share.first + share.count], self.config) for share in shares]

    def outputs(self, shares: list[Share], data: list[bytes]) -> Raw:
        """Return the words of all shares as one array of raw outputs."""
        form = (self.model.network.output.timesteps, self.model.network.output.features)
        parts = [
            samples_from_words(one, (share.count, *form), self.config) for share, one in zip(shares, data, strict=True)
        ]
        return np.concatenate(parts)

    def _check_arguments(self) -> None:
        expected = [*self._weights, "inputs", "outputs", "digest", "batch", "load_weights"]
        seen = [argument.name for argument in self.board.kernel.arguments]
        if sorted(seen) != sorted(expected):
            raise HardwareError(
                f"kernel {self.board.kernel.name!r} of the xclbin takes {', '.join(seen)}; "
                f"a configuration with {self.config.memory_ports} memory port(s) has {', '.join(expected)}"
            )

    def _share(self, unit: Unit, first: int, count: int) -> Share:
        return Share(
            unit=unit,
            first=first,
            count=count,
            inputs=self._buffer(unit, "inputs", count * self._bytes_of(self._input)),
            outputs=self._buffer(unit, "outputs", count * self._output_bytes),
        )

    @property
    def _output_bytes(self) -> int:
        return self._bytes_of(self.model.network.output)

    def _bytes_of(self, shape: Shape) -> int:
        """Return the bytes of one sample of a shape in memory, in whole words."""
        words = value_packing(self.config).words_of(shape.timesteps * shape.features)
        return words * self.config.memory_bits // 8

    def _buffer(self, unit: Unit, name: str, size_bytes: int) -> Buffer:
        return self.board.allocate(unit, name, max(size_bytes, SMALLEST_BUFFER_BYTES))

    def _set_arguments(self, share: Share, *, count: int, load_weights: int) -> None:
        if share.unit not in self._resident:
            raise HardwareError("the weights were not moved to the board yet")
        share.unit.prepare(
            {
                **self._resident[share.unit],
                "inputs": share.inputs,
                "outputs": share.outputs,
                "batch": count,
                "load_weights": load_weights,
            }
        )


def _mismatch(seen: tuple[int, ...], digest: str) -> str:
    low, high = (word & 0xFFFFFFFF for word in seen)
    if not low and not high:
        return "the kernel wrote no digest back: the xclbin is not of this kernel, or the board computes nothing"
    return (
        f"the kernel on the board was built from configuration {high:08x}{low:08x}, not from {digest}: "
        "give the --config that it was built from"
    )


__all__ = ["DEFAULT_LIMIT_S", "KERNEL", "LstmKernel", "Share"]
