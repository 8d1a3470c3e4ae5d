"""Networks, format sets and raw values that the compiled kernel and the simulator are compared on."""

from __future__ import annotations

import numpy as np

from lstmsim.config import KernelConfig
from lstmsim.fixedpoint import FixedFormat, FloatFormat, NumberFormat, parse_format
from lstmsim.model import DenseWeights, LstmWeights, Model
from lstmsim.network import DenseLayer, LstmLayer, Network, RepeatLayer, ReshapeLayer
from lstmsim.quantise import QuantisedDense, QuantisedModel, QuantisedPass, Raw, activation_tables, raw_from_float


def kernel(weight: str, state: str, cell: str, accumulator: str, io: str, **knobs: object) -> KernelConfig:
    """Return a configuration from formats as text."""
    formats = {"weight": weight, "state": state, "cell": cell, "accumulator": accumulator, "io": io}
    values = {f"{name}_format": parse_format(text) for name, text in formats.items()}
    return KernelConfig(**values, **knobs)


def small_network(function: str = "tanh") -> Network:
    """Return a network that has every kind of layer and many outputs for its work."""
    return Network(
        name="small",
        timesteps=6,
        features=3,
        layers=(
            LstmLayer(units=4, direction="bidirectional"),
            ReshapeLayer(timesteps=12, features=4),
            LstmLayer(units=3, direction="reverse", return_sequences=False),
            RepeatLayer(count=5),
            LstmLayer(units=3),
            DenseLayer(units=24, activation=function),
        ),
    )


# Every quantization and overflow mode appears in weights, state, cell and accumulator; see test_modes_are_covered.
FORMAT_SETS: dict[str, tuple[KernelConfig, str]] = {
    "fraction-16": (
        kernel(
            "ap_fixed<18,2,AP_RND,AP_SAT>",
            "ap_fixed<20,4,AP_RND_CONV,AP_SAT>",
            "ap_fixed<22,6,AP_TRN_ZERO,AP_SAT>",
            "ap_fixed<40,10,AP_TRN,AP_WRAP>",
            "ap_fixed<20,4,AP_RND,AP_SAT>",
            memory_bits=64,
            parallel_gates=2,
        ),
        "tanh",
    ),
    "fraction-12": (
        kernel(
            "ap_fixed<16,4,AP_TRN_ZERO,AP_SAT_ZERO>",
            "ap_fixed<16,4,AP_RND_INF,AP_SAT_SYM>",
            "ap_fixed<18,6,AP_RND,AP_WRAP>",
            "ap_fixed<24,10,AP_RND_ZERO,AP_SAT>",
            "ap_fixed<16,4,AP_TRN,AP_WRAP>",
            activation="interpolated",
            activation_table_size=256,
            activation_range=4,
            memory_bits=512,
            engines=3,
        ),
        "sigmoid",
    ),
    "fraction-8": (
        kernel(
            "ap_fixed<16,8>",
            "ap_fixed<16,8>",
            "ap_fixed<16,8>",
            "ap_fixed<32,16>",
            "ap_fixed<16,8>",
            memory_ports=2,
            elementwise_unroll=2,
        ),
        "relu",
    ),
    "fraction-6": (
        kernel(
            "ap_fixed<10,4,AP_RND_ZERO,AP_SAT_SYM>",
            "ap_fixed<10,4,AP_RND_MIN_INF,AP_WRAP>",
            "ap_fixed<12,6,AP_RND_CONV,AP_SAT_ZERO>",
            "ap_fixed<14,7,AP_RND_INF,AP_SAT_SYM>",
            "ap_fixed<8,4,AP_RND,AP_SAT_SYM>",
            activation="plan",
            memory_bits=128,
            mac_share=4,
            double_buffer=True,
        ),
        "sigmoid",
    ),
    "fraction-4": (
        kernel(
            "ap_fixed<8,4,AP_RND_MIN_INF,AP_WRAP>",
            "ap_fixed<8,4,AP_RND,AP_SAT_ZERO>",
            "ap_fixed<10,6,AP_RND_INF,AP_SAT_SYM>",
            "ap_fixed<12,6,AP_RND_CONV,AP_SAT_ZERO>",
            "ap_fixed<8,4>",
            activation="piecewise",
            memory_bits=16,
            resident_weights=True,
        ),
        "tanh",
    ),
    "coarse-input": (
        kernel(
            "ap_fixed<9,5,AP_RND_INF,AP_SAT>",
            "ap_fixed<7,3,AP_TRN_ZERO,AP_WRAP,2>",
            "ap_fixed<9,6,AP_RND_ZERO,AP_WRAP,1>",
            "ap_fixed<13,7,AP_TRN_ZERO,AP_WRAP,3>",
            "ap_fixed<6,3,AP_RND_ZERO,AP_SAT_ZERO>",
            activation_table_size=1024,
            activation_range=1,
            parallel_gates=1,
        ),
        "tanh",
    ),
    "unsigned-weights": (
        kernel(
            "ap_ufixed<8,2,AP_RND_CONV,AP_WRAP>",
            "ap_fixed<14,6,AP_TRN,AP_SAT>",
            "ap_fixed<16,8,AP_RND_MIN_INF,AP_SAT>",
            "ap_fixed<20,10,AP_RND,AP_WRAP>",
            "ap_ufixed<12,4,AP_RND_MIN_INF,AP_SAT>",
            activation="interpolated",
            activation_table_size=64,
            activation_range=8,
            staged_weights=True,
        ),
        "linear",
    ),
    "unsigned-cell": (
        kernel(
            "ap_fixed<12,2,AP_TRN,AP_SAT_ZERO>",
            "ap_fixed<12,4,AP_RND_ZERO,AP_SAT>",
            "ap_ufixed<12,4,AP_TRN,AP_SAT>",
            "ap_fixed<18,8,AP_RND_MIN_INF,AP_SAT>",
            "ap_fixed<12,4>",
            activation="plan",
            memory_bits=256,
            memory_ports=3,
        ),
        "relu",
    ),
    "all-unsigned": (
        kernel(
            "ap_ufixed<6,1>",
            "ap_ufixed<8,2,AP_RND_INF,AP_SAT>",
            "ap_ufixed<9,3,AP_RND,AP_WRAP,2>",
            "ap_ufixed<12,6,AP_RND_ZERO,AP_SAT_SYM>",
            "ap_ufixed<8,2,AP_TRN,AP_WRAP>",
            activation_table_size=128,
            activation_range=2,
        ),
        "sigmoid",
    ),
    "wrap-bits": (
        kernel(
            "ap_fixed<11,3,AP_RND_ZERO,AP_WRAP,1>",
            "ap_fixed<12,3,AP_RND_CONV,AP_WRAP,1>",
            "ap_fixed<13,4,AP_TRN,AP_WRAP,3>",
            "ap_fixed<15,6,AP_RND_INF,AP_WRAP,1>",
            "ap_fixed<10,3,AP_RND_CONV,AP_WRAP,2>",
            activation="piecewise",
            elementwise_unroll=4,
        ),
        "sigmoid",
    ),
    "negative-integer-bits": (
        kernel(
            "ap_fixed<8,-1,AP_RND_MIN_INF,AP_SAT_SYM>",
            "ap_fixed<12,1,AP_RND_MIN_INF,AP_SAT_ZERO>",
            "ap_fixed<10,0,AP_RND_CONV,AP_SAT>",
            "ap_fixed<14,2,AP_TRN,AP_SAT_SYM>",
            "ap_fixed<10,-1>",
            activation="interpolated",
        ),
        "tanh",
    ),
    "beyond-the-point": (
        kernel(
            "ap_fixed<8,9,AP_RND_INF,AP_WRAP>",
            "ap_fixed<11,7,AP_TRN_ZERO,AP_SAT>",
            "ap_fixed<11,7,AP_RND,AP_SAT>",
            "ap_fixed<16,18,AP_RND_CONV,AP_SAT>",
            "ap_fixed<5,9>",
            activation="plan",
        ),
        "linear",
    ),
    "one-format": (
        kernel(
            "ap_fixed<16,6,AP_RND,AP_SAT_SYM>",
            "ap_fixed<16,6,AP_RND,AP_SAT_SYM>",
            "ap_fixed<16,6,AP_RND,AP_SAT_SYM>",
            "ap_fixed<16,6,AP_RND,AP_SAT_SYM>",
            "ap_fixed<16,6,AP_RND,AP_SAT_SYM>",
            accumulation="chain",
        ),
        "relu",
    ),
    "float-interface": (
        kernel(
            "ap_fixed<16,6,AP_TRN_ZERO,AP_SAT>",
            "ap_fixed<14,5,AP_TRN_ZERO,AP_SAT_SYM>",
            "ap_fixed<17,7,AP_RND_MIN_INF,AP_SAT_ZERO>",
            "ap_fixed<28,12,AP_TRN_ZERO,AP_SAT_ZERO>",
            "float",
            memory_bits=256,
            accumulation="cascade",
        ),
        "tanh",
    ),
    "float": (kernel("float", "float", "float", "float", "float", engines=2), "sigmoid"),
    "float-interpolated": (
        kernel("float", "float", "float", "float", "float", activation="interpolated", memory_bits=16),
        "tanh",
    ),
    "float-plan": (kernel("float", "float", "float", "float", "float", activation="plan"), "linear"),
    "float-piecewise": (kernel("float", "float", "float", "float", "float", activation="piecewise"), "relu"),
}

# The networks of the package, each in its own formats and design.
PRESETS: dict[str, KernelConfig] = {
    "autoenc-1": KernelConfig(memory_bits=512),
    "autoenc-2": FORMAT_SETS["fraction-16"][0],
    "autoenc-3": KernelConfig(memory_bits=256, engines=2, activation="interpolated"),
    "autoenc-4": FORMAT_SETS["float-interface"][0],
    "autoenc-5": KernelConfig(memory_bits=512, elementwise_unroll=8, resident_weights=True),
    "lstm-dense": FORMAT_SETS["fraction-12"][0],
    "lstm-cell": FORMAT_SETS["float"][0],
}


def random_values(number: NumberFormat, shape: tuple[int, ...], rng: np.random.Generator, *, full: bool) -> Raw:
    """Return raw values: of the format's full range with its ends drawn often, or of a network's usual size."""
    if isinstance(number, FloatFormat):
        drawn = rng.normal(0.0, 4.0 if full else 0.5, shape)
        return drawn.astype(np.float32)
    if not full:
        values = rng.normal(0.0, 0.5, shape)
        return raw_from_float(number, values if number.signed else np.abs(values))
    raw = rng.integers(number.raw_min, number.raw_max, shape, np.int64, endpoint=True)
    ends = np.array([number.raw_min, number.raw_max, 0, min(1, number.raw_max)], np.int64)
    return np.where(rng.random(shape) < 0.1, rng.choice(ends, shape), raw)


def random_kernel(
    network: Network, config: KernelConfig, seed: int, batch: int, *, full: bool
) -> tuple[Model, QuantisedModel, Raw]:
    """Return seeded weights, as floats and raw, and raw inputs [batch, T, features]."""
    rng = np.random.default_rng(seed)
    number = config.weight_format
    raw_layers: list[object] = []
    float_layers: list[object] = []
    for stage in network.stages:
        match stage.layer:
            case LstmLayer(units=units, passes=passes, direction=direction):
                columns = units + stage.input.features
                pairs = [
                    (
                        random_values(number, (4, units, columns), rng, full=full),
                        random_values(number, (4, units), rng, full=full),
                    )
                    for _ in range(passes)
                ]
                raw_layers.append(
                    tuple(QuantisedPass(w, b, direction == "reverse" or k == 1) for k, (w, b) in enumerate(pairs))
                )
                float_layers.append(tuple(_lstm_floats(number, w, b, units) for w, b in pairs))
            case DenseLayer(units=units, activation=activation):
                weights = random_values(number, (units, stage.input.features), rng, full=full)
                biases = random_values(number, (units,), rng, full=full)
                raw_layers.append(QuantisedDense(weights, biases, activation))
                float_layers.append(DenseWeights(_floats(number, weights), _floats(number, biases)))
            case _:
                raw_layers.append(None)
                float_layers.append(None)
    quantised = QuantisedModel(network, config, tuple(raw_layers), activation_tables(config))
    inputs = random_values(config.io_format, (batch, network.timesteps, network.features), rng, full=full)
    return Model(network, tuple(float_layers)), quantised, inputs


def _floats(number: NumberFormat, raw: Raw) -> np.ndarray:
    values = raw.astype(np.float64)
    return values * number.step if isinstance(number, FixedFormat) else values


def _lstm_floats(number: NumberFormat, weights: Raw, biases: Raw, units: int) -> LstmWeights:
    values = _floats(number, weights)
    return LstmWeights(values[:, :, units:].copy(), values[:, :, :units].copy(), _floats(number, biases))
