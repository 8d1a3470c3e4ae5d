"""Networks: layers, shapes, and the parameters and operations that follow from them.

Between layers every sample is a matrix [timesteps, features]; timesteps is 1 after a layer that returns its last
state only. Only shapes live here: weights are in `model`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args

from lstmsim.errors import ConfigError, UnknownNetwork, nearest
from lstmsim.files import check_keys, data_folder, read_toml

Direction = Literal["forward", "reverse", "bidirectional"]
DenseActivation = Literal["linear", "relu", "sigmoid", "tanh", "softmax"]

MAX_SIZE = 1 << 20  # units, features or time steps: above any recurrent network we know of
MAX_LAYERS = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class LstmLayer:
    """One LSTM layer: tanh for the candidate and the output, sigmoid for the gates.

    A bidirectional layer runs the cell twice and joins the two outputs feature by feature.
    """

    units: int
    return_sequences: bool = True
    direction: Direction = "forward"

    @property
    def passes(self) -> int:
        """How many times the sequence is processed."""
        return 2 if self.direction == "bidirectional" else 1


@dataclass(frozen=True, slots=True, kw_only=True)
class DenseLayer:
    """A dense layer, applied to every time step that it is given. Softmax is computed on the host."""

    units: int
    activation: DenseActivation = "linear"


@dataclass(frozen=True, slots=True, kw_only=True)
class RepeatLayer:
    """Repeats a single time step `count` times (the bottleneck of an autoencoder)."""

    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReshapeLayer:
    """Reads the same values, row by row, as [timesteps, features]; timesteps = 1 flattens."""

    timesteps: int
    features: int


Layer = LstmLayer | DenseLayer | RepeatLayer | ReshapeLayer


@dataclass(frozen=True, slots=True)
class Shape:
    """[timesteps, features] of one sample."""

    timesteps: int
    features: int


@dataclass(frozen=True, slots=True)
class Stage:
    """A layer with the shapes that it reads and writes."""

    layer: Layer
    input: Shape
    output: Shape

    @property
    def weights(self) -> int:
        """Multiplicative weights, without biases."""
        match self.layer:
            case LstmLayer(units=units, passes=passes):
                return passes * 4 * units * (self.input.features + units)
            case DenseLayer(units=units):
                return units * self.input.features
        return 0

    @property
    def biases(self) -> int:
        """Bias values."""
        match self.layer:
            case LstmLayer(units=units, passes=passes):
                return passes * 4 * units
            case DenseLayer(units=units):
                return units
        return 0

    @property
    def params(self) -> int:
        """Weights and biases."""
        return self.weights + self.biases

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one inference: matrix products, and 3 per LSTM unit and step (f*c, i*g, o*tanh c)."""
        match self.layer:
            case LstmLayer(units=units, passes=passes):
                return self.input.timesteps * (self.weights + 3 * units * passes)
            case DenseLayer():
                return self.input.timesteps * self.weights
        return 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """A stack of layers over samples of [timesteps, features].

    `note` says what is assumed about it.

    Raises:
        ConfigError: no layer, a size outside 1..1048576, or shapes that do not follow from one another.
    """

    name: str
    timesteps: int
    features: int
    layers: tuple[Layer, ...]
    note: str = ""

    def __post_init__(self) -> None:
        _check_size(f"network {self.name!r}: timesteps", self.timesteps)
        _check_size(f"network {self.name!r}: features", self.features)
        if not 1 <= len(self.layers) <= MAX_LAYERS:
            raise ConfigError(f"network {self.name!r} has {len(self.layers)} layers: 1..{MAX_LAYERS} are supported")
        _ = self.stages

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The layers with their shapes, in order."""
        shape = Shape(self.timesteps, self.features)
        stages = []
        for index, layer in enumerate(self.layers):
            output = _output_shape(layer, shape, f"network {self.name!r}, layer {index + 1}")
            stages.append(Stage(layer, shape, output))
            shape = output
        return tuple(stages)

    @property
    def output(self) -> Shape:
        """The shape of one output sample."""
        return self.stages[-1].output

    @property
    def weights(self) -> int:
        """Multiplicative weights of all layers."""
        return sum(stage.weights for stage in self.stages)

    @property
    def params(self) -> int:
        """Weights and biases of all layers."""
        return sum(stage.params for stage in self.stages)

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one inference."""
        return sum(stage.macs for stage in self.stages)

    @property
    def flops(self) -> int:
        """Floating-point operations of one inference, two per multiply-accumulate (the paper's Table 1 counts so)."""
        return 2 * self.macs

    @property
    def layer_steps(self) -> int:
        """LSTM time steps that run one after the other in one inference."""
        return sum(
            stage.input.timesteps * stage.layer.passes for stage in self.stages if isinstance(stage.layer, LstmLayer)
        )


def preset_names() -> list[str]:
    """Return the names of the networks that come with the package."""
    return sorted(
        entry.name.removesuffix(".toml") for entry in data_folder("networks").iterdir() if entry.name.endswith(".toml")
    )


def load_preset(name: str) -> Network:
    """Return a network of the package by name.

    Raises:
        UnknownNetwork: no such name; the nearest is suggested.
    """
    if name not in preset_names():
        raise UnknownNetwork(f"unknown network {name!r}. {nearest(name, preset_names())}")
    return network_from_toml(data_folder("networks") / f"{name}.toml")


def network_from_toml(path: Any) -> Network:
    """Return the network that a TOML file describes; the presets are examples of the schema.

    Raises:
        ConfigError: a missing or unknown key, or a value out of range.
    """
    table = read_toml(path)
    where = f"network file {Path(str(path)).name!r}"
    check_keys(table, {"name", "timesteps", "features", "layers", "note"}, where)
    missing = {"name", "timesteps", "features", "layers"} - set(table)
    if missing:
        raise ConfigError(f"{where}: the key {sorted(missing)[0]!r} is missing")
    if not isinstance(table["name"], str) or not isinstance(table.get("note", ""), str):
        raise ConfigError(f"{where}: name and note are text")
    if not isinstance(table["layers"], list):
        raise ConfigError(f"{where}: layers are written as [[layers]] tables")
    layers = tuple(_layer_from_table(entry, f"{where}, layer {i + 1}") for i, entry in enumerate(table["layers"]))
    return Network(
        name=table["name"],
        timesteps=table["timesteps"],
        features=table["features"],
        layers=layers,
        note=table.get("note", ""),
    )


SHAPE_PREFIX = "lstm:"
_SHAPE_KEYS = {"units": None, "layers": 1, "timesteps": None, "features": 1}


def network_from_shape(text: str) -> Network:
    """Return equal LSTM layers written in one word: "lstm:units=128,layers=2,timesteps=50,features=1".

    Every layer returns its sequence. Layers and features are 1 where they are not given; the network's name is the
    word in full, so that it can stand in a table of measurements.

    Raises:
        ConfigError: another form, an unknown or missing key, or a size out of range.
    """
    values: dict[str, Any] = dict(_SHAPE_KEYS)
    words = text.removeprefix(SHAPE_PREFIX).split(",")
    check_keys({word.partition("=")[0].strip(): None for word in words}, _SHAPE_KEYS, f"network {text!r}")
    for word in words:
        key, _, number = word.partition("=")
        if not number.strip().isascii() or not number.strip().isdigit() or len(number) > 12:
            raise ConfigError(f"network {text!r}: {word!r} is not of the form KEY=NUMBER")
        values[key.strip()] = int(number)
    for key, value in values.items():
        if value is None:
            raise ConfigError(f"network {text!r}: {key} is missing, such as in lstm:units=128,timesteps=50")
    if not 1 <= values["layers"] <= MAX_LAYERS:
        raise ConfigError(f"network {text!r}: layers = {values['layers']} is outside 1..{MAX_LAYERS}")
    return Network(
        name=SHAPE_PREFIX + ",".join(f"{key}={values[key]}" for key in _SHAPE_KEYS),
        timesteps=values["timesteps"],
        features=values["features"],
        layers=(LstmLayer(units=values["units"]),) * values["layers"],
    )


def network_to_toml(network: Network) -> str:
    """Return a network as the TOML text that `network_from_toml` reads."""
    lines = [f"name = {_toml_text(network.name)}"]
    lines += [f"timesteps = {network.timesteps}", f"features = {network.features}"]
    if network.note:
        lines.append(f"note = {_toml_text(network.note)}")
    kinds = {kind: name for name, kind in _LAYER_TYPES.items()}
    for layer in network.layers:
        lines += ["", "[[layers]]", f'type = "{kinds[type(layer)]}"']
        lines += [f"{part.name} = {json.dumps(getattr(layer, part.name))}" for part in fields(layer)]
    return "\n".join(lines) + "\n"


def _toml_text(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


_LAYER_KEYS: dict[str, dict[str, type]] = {
    "lstm": {"units": int, "return_sequences": bool, "direction": str},
    "dense": {"units": int, "activation": str},
    "repeat": {"count": int},
    "reshape": {"timesteps": int, "features": int},
}
_LAYER_TYPES: dict[str, type[Layer]] = {
    "lstm": LstmLayer,
    "dense": DenseLayer,
    "repeat": RepeatLayer,
    "reshape": ReshapeLayer,
}


def _layer_from_table(entry: Any, where: str) -> Layer:
    if not isinstance(entry, dict) or not isinstance(entry.get("type"), str):
        raise ConfigError(f"{where}: a layer is a table with a type: " + ", ".join(_LAYER_KEYS))
    kind = entry["type"]
    if kind not in _LAYER_KEYS:
        raise ConfigError(f"{where}: unknown layer type {kind!r}. {nearest(kind, _LAYER_KEYS)}")
    values = {key: value for key, value in entry.items() if key != "type"}
    check_keys(values, _LAYER_KEYS[kind], where)
    for key, value in values.items():
        if type(value) is not _LAYER_KEYS[kind][key]:
            raise ConfigError(f"{where}: {key} = {value!r} is not of type {_LAYER_KEYS[kind][key].__name__}")
    try:
        return _LAYER_TYPES[kind](**values)
    except TypeError:
        raise ConfigError(f"{where}: a {kind} layer needs " + ", ".join(_LAYER_KEYS[kind])) from None


def _output_shape(layer: Layer, given: Shape, where: str) -> Shape:
    match layer:
        case LstmLayer(units=units, return_sequences=sequences, direction=direction, passes=passes):
            _check_size(f"{where}: units", units)
            _check_choice(f"{where}: direction", direction, get_args(Direction))
            return Shape(given.timesteps if sequences else 1, passes * units)
        case DenseLayer(units=units, activation=activation):
            _check_size(f"{where}: units", units)
            _check_choice(f"{where}: activation", activation, get_args(DenseActivation))
            return Shape(given.timesteps, units)
        case RepeatLayer(count=count):
            _check_size(f"{where}: count", count)
            if given.timesteps != 1:
                raise ConfigError(
                    f"{where}: repeat needs 1 time step but is given {given.timesteps}: "
                    "set return_sequences = false in the layer before"
                )
            return Shape(count, given.features)
        case ReshapeLayer(timesteps=timesteps, features=features):
            _check_size(f"{where}: timesteps", timesteps)
            _check_size(f"{where}: features", features)
            if timesteps * features != given.timesteps * given.features:
                raise ConfigError(
                    f"{where}: {given.timesteps} x {given.features} values cannot be read as {timesteps} x {features}"
                )
            return Shape(timesteps, features)


def _check_size(what: str, value: Any) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= MAX_SIZE:
        raise ConfigError(f"{what} = {value!r} is not a whole number in 1..{MAX_SIZE}")


def _check_choice(what: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ConfigError(f"{what} = {value!r} is unknown. {nearest(value, known)}")
