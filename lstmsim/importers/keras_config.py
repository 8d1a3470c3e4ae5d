"""The configuration of a Keras model (Keras 2 and 3, Sequential and straight Functional) read as a chain of layers.

Plain JSON: Keras itself is not needed. Weights come from a `WeightSource`, so that archives, HDF5 files and live
models share this reader.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

from lstmsim.errors import ModelFormatError
from lstmsim.importers.chain import Blueprint, Chain, Fetch, dense_activation, needed_timesteps, refuse
from lstmsim.network import DenseActivation, DenseLayer, LstmLayer, Shape

if TYPE_CHECKING:
    from lstmsim.importers.keras_weights import Arrays

Table = dict[str, Any]
Direction = Literal["forward", "reverse", "bidirectional"]

MODEL_CLASSES = {"Sequential", "Functional", "Model"}
IDLE_CLASSES = {  # they do nothing at inference
    "Dropout", "SpatialDropout1D", "GaussianNoise", "GaussianDropout", "AlphaDropout", "ActivityRegularization",
}  # fmt: skip
DEPTH_LIMIT = 16
QUANTIZED_POLICIES = {"QuantizedDTypePolicy", "QuantizedFloat8DTypePolicy", "GPTQDTypePolicy", "AWQDTypePolicy"}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a layer stands in its model: position, name, and the group of a .keras archive that holds its weights."""

    index: int
    name: str
    store: str


@dataclass(frozen=True, slots=True)
class Leaf:
    """A layer that is no model itself, and the places of it and of the models around it, outermost first."""

    kind: str
    config: Table
    path: tuple[Place, ...]

    @property
    def where(self) -> str:
        """How messages name it."""
        return f"layer {'/'.join(place.name for place in self.path)!r} of class {self.kind}"


class WeightSource(Protocol):
    """Where the arrays of a layer are."""

    def lstm(self, leaf: Leaf, part: str) -> Arrays:
        """Kernel, recurrent kernel and bias; part: "", "forward_layer" or "backward_layer"."""
        ...

    def dense(self, leaf: Leaf, part: str) -> Arrays:
        """Kernel and bias; part: "" or "layer" (inside TimeDistributed)."""
        ...


def read_config(config: Any, name: str, timesteps: int | None, weights: WeightSource | None) -> Blueprint:
    """Return the network that a model's configuration describes.

    Args:
        config: {"class_name": ..., "config": ...}, as `model.to_json()` writes it.
        name: the name that the network gets.
        timesteps: for models that leave it open.
        weights: where the arrays are; None when only the shape is wanted.

    Raises:
        ModelFormatError: no such configuration, or a layer that is not supported, with its name.
    """
    kind, body = class_and_config(config, "the model")
    if kind not in MODEL_CLASSES:
        raise ModelFormatError(f"the model is of class {kind!r}: Sequential and straight Functional models are read")
    leaves = leaves_of(kind, body, ())
    shape = input_shape(body, leaves)
    walker = _Walker(_open_chain(shape, name, timesteps), weights, rank=len(shape))
    for leaf in leaves:
        walker.visit(leaf)
    return walker.finish()


def class_and_config(entry: Any, where: str) -> tuple[str, Table]:
    """Return the class name and the configuration of a serialised object."""
    if not isinstance(entry, dict) or not isinstance(entry.get("class_name"), str):
        raise ModelFormatError(f"{where} has no class_name: not a Keras configuration")
    body = entry.get("config")
    if isinstance(body, list):  # Keras 2.0-2.2 Sequential
        body = {"layers": body}
    if not isinstance(body, dict):
        raise ModelFormatError(f"{where} has no config: not a Keras configuration")
    return entry["class_name"], body


def leaves_of(kind: str, body: Table, path: tuple[Place, ...]) -> list[Leaf]:
    """Return the layers of a model in the order in which they run; models inside are opened.

    Raises:
        ModelFormatError: not one straight chain.
    """
    if len(path) > DEPTH_LIMIT:
        raise ModelFormatError(f"models are nested more than {DEPTH_LIMIT} deep")
    entries = body.get("layers")
    if not isinstance(entries, list) or not entries:
        raise ModelFormatError("the model has no layers")
    order: Sequence[int] = range(len(entries))
    if kind != "Sequential":
        from lstmsim.importers.keras_functional import chain_order

        order = chain_order(body, entries)
    places = _places(entries)
    leaves: list[Leaf] = []
    for index in order:
        inner_kind, inner = class_and_config(entries[index], f"layer {index + 1}")
        here = (*path, places[index])
        if inner_kind in MODEL_CLASSES:
            leaves += leaves_of(inner_kind, inner, here)
        else:
            leaves.append(Leaf(inner_kind, inner, here))
    return leaves


def _places(entries: list[Any]) -> list[Place]:
    """Keras names the groups of an archive by class, in snake case, and counts layers of the same class."""
    used: dict[str, int] = {}
    places = []
    for index, entry in enumerate(entries):
        kind, body = class_and_config(entry, f"layer {index + 1}")
        snake = re.sub("([a-z])([A-Z])", r"\1_\2", re.sub("(.)([A-Z][a-z0-9]+)", r"\1_\2", kind)).lower()
        number = used.get(snake, 0)
        used[snake] = number + 1
        name = str(body.get("name", f"number {index + 1}"))
        places.append(Place(index, name, f"layers/{snake}_{number}" if number else f"layers/{snake}"))
    return places


def input_shape(body: Table, leaves: Sequence[Leaf]) -> tuple[int | None, ...]:
    """Return the shape of one sample, None where it is open.

    Raises:
        ModelFormatError: unknown, or neither [features] nor [timesteps, features].
    """
    build = body.get("build_input_shape")
    build = build if isinstance(build, list) else None
    candidates = [leaves[0].config.get("batch_shape"), leaves[0].config.get("batch_input_shape"), build]
    for shape in candidates:
        if isinstance(shape, list) and all(size is None or type(size) is int for size in shape):
            if len(shape) not in (2, 3) or shape[-1] is None:
                raise ModelFormatError(
                    f"the input has shape {shape}: [batch, features] or [batch, timesteps, features] is supported"
                )
            return tuple(shape[1:])
    raise ModelFormatError("the model does not say its input shape: save it after it was built, with an Input layer")


def _open_chain(shape: tuple[int | None, ...], name: str, timesteps: int | None) -> Chain:
    features = shape[-1]
    assert features is not None
    if len(shape) == 1:
        return Chain(name, 1, features)
    return Chain(name, needed_timesteps(shape[0], timesteps, f"the input of model {name!r}"), features)


@dataclass(slots=True)
class _Walker:
    """Turns leaves into layers. `rank` is 1 for [features], 2 for [timesteps, features].

    `flipped`: the tensor holds our time steps last to first, as Keras leaves them after go_backwards.
    """

    chain: Chain
    weights: WeightSource | None
    rank: int
    flipped: bool = False
    visitors: dict[str, Callable[[Leaf], None]] = field(init=False)

    def __post_init__(self) -> None:
        self.visitors = {
            "InputLayer": self._idle,
            "LSTM": self._lstm,
            "CuDNNLSTM": self._lstm,
            "Bidirectional": self._bidirectional,
            "Dense": self._dense,
            "TimeDistributed": self._time_distributed,
            "RepeatVector": self._repeat,
            "Flatten": self._flatten,
            "Reshape": self._reshape,
            "Activation": self._activation,
            "ReLU": self._relu,
            "Softmax": self._softmax,
            **dict.fromkeys(IDLE_CLASSES, self._idle),
        }

    def visit(self, leaf: Leaf) -> None:
        """Append what a leaf computes."""
        kind = leaf.kind.removeprefix("keras.layers>")
        if kind not in self.visitors:
            raise refuse(leaf.where, "this class is not supported")
        policy = leaf.config.get("dtype")
        if isinstance(policy, dict) and policy.get("class_name") in QUANTIZED_POLICIES:
            raise refuse(leaf.where, "quantised weights are not supported", "import the float model")
        self.visitors[kind](leaf)

    def finish(self) -> Blueprint:
        """Return the network."""
        if self.flipped:
            raise ModelFormatError(
                "the model returns its time steps last to first (go_backwards=True with return_sequences=True): "
                "undo it with a second such layer, or return the last step only"
            )
        return self.chain.blueprint()

    def _idle(self, leaf: Leaf) -> None:
        """A layer that passes values on."""

    def _lstm(self, leaf: Leaf) -> None:
        sequences = lstm_options(leaf.config, leaf.where)
        backwards = flag(leaf.config, "go_backwards", leaf.where)
        self._need_sequence(leaf)
        direction: Direction = "reverse" if backwards != self.flipped else "forward"
        layer = LstmLayer(units=size(leaf.config, "units", leaf.where), return_sequences=sequences, direction=direction)
        self.chain.add(layer, leaf.where, self._fetch_lstm(leaf, ("",)))
        self.flipped = sequences and direction == "reverse"
        self.rank = 2 if sequences else 1

    def _bidirectional(self, leaf: Leaf) -> None:
        self._need_sequence(leaf)
        self._refuse_flipped(leaf)
        layer, parts = bidirectional_layer(leaf)
        self.chain.add(layer, leaf.where, self._fetch_lstm(leaf, parts))
        self.rank = 2 if layer.return_sequences else 1

    def _dense(self, leaf: Leaf) -> None:
        self._add_dense(leaf, leaf.config, "")

    def _time_distributed(self, leaf: Leaf) -> None:
        kind, inner = class_and_config(leaf.config.get("layer"), leaf.where)
        self._need_sequence(leaf)
        if kind == "Activation":
            self.chain.activate(inner.get("activation", "linear"), leaf.where)
        elif kind == "Dense":
            self._add_dense(leaf, inner, "layer")
        elif kind not in IDLE_CLASSES:
            raise refuse(leaf.where, f"the class {kind} inside is not supported", "supported inside: Dense, Activation")

    def _add_dense(self, leaf: Leaf, config: Table, part: str) -> None:
        if config.get("lora_rank") is not None or config.get("quantization_mode") is not None:
            raise refuse(leaf.where, "LoRA and quantised weights are not supported", "merge them into the kernel")
        activation: DenseActivation = dense_activation(config.get("activation", "linear"), leaf.where)
        layer = DenseLayer(units=size(config, "units", leaf.where), activation=activation)
        inputs = self.chain.shape.features
        bias = flag(config, "use_bias", leaf.where, default=True)
        source = self.weights
        fetch: Fetch | None = None
        if source is not None:

            def fetch() -> Any:
                from lstmsim.importers.keras_weights import dense_weights

                return dense_weights(source.dense(leaf, part), inputs, layer.units, bias, leaf.where)

        self.chain.add(layer, leaf.where, fetch)

    def _repeat(self, leaf: Leaf) -> None:
        if self.rank != 1:
            raise refuse(leaf.where, "it follows a sequence", "set return_sequences=False before it")
        self.chain.repeat(size(leaf.config, "n", leaf.where), leaf.where)
        self.rank = 2

    def _flatten(self, leaf: Leaf) -> None:
        self._refuse_flipped(leaf)
        self.chain.flatten(leaf.where)
        self.rank = 1

    def _reshape(self, leaf: Leaf) -> None:
        self._refuse_flipped(leaf)
        target = reshape_target(leaf, self.chain.shape)
        self.chain.reshape(*(target if len(target) == 2 else (1, target[0])), leaf.where)
        self.rank = len(target)

    def _activation(self, leaf: Leaf) -> None:
        self.chain.activate(leaf.config.get("activation", "linear"), leaf.where)

    def _relu(self, leaf: Leaf) -> None:
        options = {key: leaf.config.get(key) for key in ("max_value", "negative_slope", "threshold")}
        if any(options.values()) or options["max_value"] == 0:
            raise refuse(leaf.where, f"options {options} are not supported", "supported: plain relu")
        self.chain.activate("relu", leaf.where)

    def _softmax(self, leaf: Leaf) -> None:
        if leaf.config.get("axis", -1) not in (-1, self.rank):
            raise refuse(leaf.where, f"axis {leaf.config['axis']} is not supported", "supported: the last axis")
        self.chain.activate("softmax", leaf.where)

    def _need_sequence(self, leaf: Leaf) -> None:
        if self.rank != 2:
            raise refuse(leaf.where, "it needs a sequence", "set return_sequences=True before it, or add RepeatVector")

    def _refuse_flipped(self, leaf: Leaf) -> None:
        if self.flipped:
            raise refuse(
                leaf.where,
                "it follows time steps that run last to first (go_backwards=True with return_sequences=True)",
                "supported after it: LSTM, Dense",
            )

    def _fetch_lstm(self, leaf: Leaf, parts: tuple[str, ...]) -> Fetch | None:
        source = self.weights
        if source is None:
            return None
        inputs = self.chain.shape.features

        def fetch() -> Any:
            from lstmsim.importers.keras_weights import lstm_weights

            return tuple(lstm_weights(source.lstm(leaf, part), inputs, leaf, part) for part in parts)

        return fetch


def bidirectional_layer(leaf: Leaf) -> tuple[LstmLayer, tuple[str, str]]:
    """Return the layer, and its parts in the order of our passes.

    Raises:
        ModelFormatError: another merge mode than concat, or two parts that differ.
    """
    where = leaf.where
    if leaf.config.get("merge_mode", "concat") != "concat":
        raise refuse(where, f"merge_mode {leaf.config['merge_mode']!r} is not supported", "supported: 'concat'")
    kind, forward = class_and_config(leaf.config.get("layer"), where)
    if kind not in ("LSTM", "CuDNNLSTM"):
        raise refuse(where, f"the class {kind} inside is not supported", "supported inside: LSTM")
    units, sequences = size(forward, "units", where), lstm_options(forward, where)
    if flag(forward, "go_backwards", where):
        raise refuse(where, "its forward layer goes backwards", "supported: forward first")
    backward_entry = leaf.config.get("backward_layer")
    if backward_entry is not None:
        other_kind, backward = class_and_config(backward_entry, where)
        same = (other_kind, size(backward, "units", where), lstm_options(backward, where)) == (kind, units, sequences)
        if not same or not flag(backward, "go_backwards", where):
            raise refuse(where, "its two layers differ", "supported: the same LSTM forwards and backwards")
    layer = LstmLayer(units=units, return_sequences=sequences, direction="bidirectional")
    return layer, ("forward_layer", "backward_layer")


def inner_lstm(leaf: Leaf, part: str) -> Table:
    """Return the configuration of the LSTM that a part of a leaf is."""
    if not part:
        return leaf.config
    entry = leaf.config.get("backward_layer") if part == "backward_layer" else None
    return class_and_config(entry or leaf.config.get("layer"), leaf.where)[1]


def array_count(leaf: Leaf) -> int:
    """Return how many arrays of weights a layer has; 0 for a class that has none, or is not supported."""
    if leaf.kind in ("Bidirectional", "TimeDistributed"):
        inner_kind, inner = class_and_config(leaf.config.get("layer"), leaf.where)
        return (2 if leaf.kind == "Bidirectional" else 1) * array_count(Leaf(inner_kind, inner, leaf.path))
    base = {"LSTM": 2, "CuDNNLSTM": 2, "Dense": 1}.get(leaf.kind, 0)
    return base + flag(leaf.config, "use_bias", leaf.where, default=True) if base else 0


def lstm_options(config: Table, where: str) -> bool:
    """Return return_sequences; refuse every option that changes what an LSTM computes.

    Raises:
        ModelFormatError: with the layer's name and the option.
    """
    for key, plain in (("activation", "tanh"), ("recurrent_activation", "sigmoid")):
        if config.get(key, plain) != plain:
            raise refuse(where, f"{key} {config[key]!r} is not supported", f"supported: {plain!r}")
    for key, remedy in (
        ("stateful", "set stateful=False"),
        ("return_state", "return the output only"),
        ("time_major", "put the batch first"),
    ):
        if flag(config, key, where):
            raise refuse(where, f"{key}=True is not supported", remedy)
    return flag(config, "return_sequences", where)


def reshape_target(leaf: Leaf, given: Shape) -> tuple[int, ...]:
    """Return a Reshape's target of one or two sizes, -1 resolved."""
    target = leaf.config.get("target_shape")
    if not isinstance(target, list) or len(target) not in (1, 2) or not all(type(part) is int for part in target):
        raise refuse(leaf.where, f"target_shape {target} is not supported", "supported: one or two sizes")
    if target.count(-1) == 1:
        known = next((part for part in target if part != -1), 1)
        values = given.timesteps * given.features
        target = [values // known if part == -1 and known > 0 else part for part in target]
    return tuple(target)


def flag(config: Table, key: str, where: str, *, default: bool = False) -> bool:
    """Return a boolean option."""
    value = config.get(key, default)
    if not isinstance(value, bool):
        raise refuse(where, f"{key} = {value!r} is not true or false", "the file may be damaged")
    return value


def size(config: Table, key: str, where: str) -> int:
    """Return a size; its range is checked when the layer is added."""
    value = config.get(key)
    if type(value) is not int:
        raise refuse(where, f"{key} = {value!r} is not a whole number", "the file may be damaged")
    return value
