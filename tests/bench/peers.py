"""How fast the simulator is against other fixed-point ways in Python, in one run: fxpmath and hls4ml's emulation.

    python tests/bench/peers.py [--quick]      # hls4ml takes part after `pip install quantizers`

Medians of paired runs on a small network, as in simulate.py. fxpmath computes the same kernel, and its bits are
compared. hls4ml builds another kernel from the same weights and formats, with its own tables and order, so that its
distance to double precision is printed beside ours.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from simulate import Pair, paired, row

from lstmsim.config import KernelConfig
from lstmsim.model import DenseWeights, Model, random_model
from lstmsim.network import DenseLayer, LstmLayer, Network
from lstmsim.quantise import quantise_inputs, quantise_model
from lstmsim.simulate import Simulator, run_raw

NETWORK = Network(name="lstm-32", timesteps=16, features=8, layers=(LstmLayer(units=32), DenseLayer(units=8)))


def fxpmath_rows(model: Model, inputs: Any, rounds: int, slot_s: float) -> None:
    """Rows against the kernel in fxpmath objects, all samples of a batch side by side."""
    sys.path.insert(0, str(Path(__file__).parents[2]))
    from tests.reference.fxp_objects import Kernel

    quantised = quantise_model(model, KernelConfig())
    simulator, kernel = Simulator(quantised), Kernel(quantised)
    for batch in (1, len(inputs)):
        raw = quantise_inputs(model.network, quantised.config, inputs[:batch])
        if not np.array_equal(run_raw(quantised, raw, simulator=simulator).outputs, kernel.run(raw)[0]):
            raise SystemExit("fxpmath's bits differ from ours")
        ours = lambda x=inputs[:batch]: simulator.run(x)  # noqa: E731
        show(batch, "fxpmath", paired(ours, lambda x=raw: kernel.run(x), min(rounds, 5), slot_s), "bits equal")


def hls4ml_model(model: Model, folder: str) -> Any:
    """Return hls4ml's emulation of the network, compiled by g++, with the formats of the default configuration."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import hls4ml
    import keras

    lstm, dense = model.weights
    assert isinstance(lstm, tuple)
    assert isinstance(dense, DenseWeights)
    stack = keras.Sequential([keras.Input((model.network.timesteps, model.network.features))])
    stack.add(keras.layers.LSTM(lstm[0].bias.shape[1], return_sequences=True, name="lstm"))
    stack.add(keras.layers.Dense(len(dense.bias), name="dense"))
    joined = [np.concatenate(list(a), axis=0).T for a in (lstm[0].kernel, lstm[0].recurrent)]  # i, f, c, o as in Keras
    stack.set_weights([*joined, lstm[0].bias.reshape(-1), dense.kernel.T, dense.bias])
    chosen = hls4ml.utils.config_from_keras_model(
        stack, granularity="name", default_precision="ap_fixed<16,8>", backend="Vivado"
    )
    emulation = hls4ml.converters.convert_from_keras_model(
        stack, hls_config=chosen, output_dir=folder, backend="Vivado", io_type="io_parallel"
    )
    emulation.compile()
    return emulation


def hls4ml_rows(model: Model, inputs: Any, rounds: int, slot_s: float) -> None:
    """Rows against hls4ml's compiled emulation."""
    simulator = Simulator(quantise_model(model, KernelConfig()))
    exact = model.predict(inputs)
    with tempfile.TemporaryDirectory() as folder:
        emulation = hls4ml_model(model, folder)
        single = np.ascontiguousarray(inputs, np.float32)
        theirs_error = np.abs(emulation.predict(single).reshape(exact.shape) - exact).max()
        error = np.abs(simulator.run(single) - exact).max()
        for batch in (1, len(inputs)):
            ours = lambda x=single[:batch]: simulator.run(x)  # noqa: E731
            pair = paired(ours, lambda x=single[:batch]: emulation.predict(x), rounds, slot_s)
            note = f"largest error: ours {error:.2g}, theirs {theirs_error:.2g}"
            show(batch, "hls4ml's compiled emulation", pair, note)


def show(batch: int, what: str, pair: Pair, extra: str) -> None:
    row(NETWORK.name, batch, what, pair, extra)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds")
    options = parser.parse_args()
    rounds, slot_s = (5, 0.05) if options.quick else (15, 0.2)
    model = random_model(NETWORK, 1)
    inputs = np.random.default_rng(2).uniform(-1, 1, (64, NETWORK.timesteps, NETWORK.features))
    print(f"{'network':10} {'batch':>4}  {'against':34} {'ours ms':>10} {'theirs ms':>10} {'ratio':>10}")
    for rows in (fxpmath_rows, hls4ml_rows):
        try:
            rows(model, inputs, rounds, slot_s)
        except ImportError as missing:
            print(f"{rows.__name__.removesuffix('_rows')}: left out: {missing}")


if __name__ == "__main__":
    main()
