"""Training the networks in Keras."""

from __future__ import annotations

import importlib
import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lstmsim.datasets import Dataset
from lstmsim.errors import ConfigError, DataError, MissingExtra
from lstmsim.files import refuse_existing, write_text
from lstmsim.model import Array, DenseWeights, LayerWeights, LstmWeights, Model
from lstmsim.network import DenseLayer, LstmLayer, Network, RepeatLayer, ReshapeLayer
from lstmsim.weights import as_half

CLIP_NORM = 1.0
WARM_UP_SHARE = 0.05
FINAL_RATE_SHARE = 0.02
Progress = Callable[[int, float, float], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingPlan:
    """How a network is trained.

    `patience` stops after that many epochs without a better loss on the calibration windows and takes the best
    weights; 0 runs all epochs. `windows` takes so many training windows, spread evenly; 0 takes all. `threads` limits
    TensorFlow where it has not started yet; 0 leaves its choice.

    Raises:
        ConfigError: a value out of range.
    """

    epochs: int = 30
    batch: int = 64
    learning_rate: float = 2e-3
    seed: int = 0
    patience: int = 0
    windows: int = 0
    threads: int = 0

    def __post_init__(self) -> None:
        limits = {"epochs": (1, 10_000), "batch": (1, 1 << 16), "seed": (0, 2**31 - 1), "patience": (0, 10_000)}
        limits["windows"] = (0, 1 << 31)
        for name, (low, high) in limits.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise ConfigError(f"{name} = {value!r} is outside {low}..{high}")
        if not (math.isfinite(self.learning_rate) and 0 < self.learning_rate <= 1):
            raise ConfigError(f"learning rate {self.learning_rate!r} is outside 0..1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """A trained model, the mean squared error of each epoch, and that of the windows watched, last or best."""

    model: Model
    plan: TrainingPlan
    data: str
    losses: tuple[float, ...]
    calibration_loss: float


def train(network: Network, data: Dataset, plan: TrainingPlan, progress: Progress | None = None) -> Trained:
    """Train a preset-like network from its seed; `progress(epoch, loss, calibration_loss)` after each epoch.

    Raises:
        MissingExtra: TensorFlow is not installed.
        DataError: the data leave no whole batch, or training diverged.
    """
    keras = _keras(plan.threads)
    chosen = _chosen(len(data.train), plan.windows)
    inputs, targets = data.train[chosen], data.train_targets[chosen]
    batches = len(inputs) // plan.batch
    if not batches:
        raise DataError(f"{len(inputs)} training windows do not fill one batch of {plan.batch}: use a smaller --batch")
    keras.utils.set_random_seed(plan.seed)
    net = build_keras(network)
    rate = _schedule(keras, plan, batches * plan.epochs)
    net.compile(optimizer=keras.optimizers.Adam(rate, clipnorm=CLIP_NORM), loss="mse", jit_compile=True)
    checks = (data.calibration, data.calibration) if data.task == "detection" else _held_out(data, plan.batch)
    watcher = _watcher(keras, progress)
    stopper = keras.callbacks.EarlyStopping(patience=plan.patience, restore_best_weights=True)
    net.fit(
        _shuffled(inputs, targets, plan),
        epochs=plan.epochs,
        verbose=0,
        validation_data=checks,
        validation_batch_size=max(plan.batch, 256),
        shuffle=False,
        callbacks=[watcher, keras.callbacks.TerminateOnNaN()] + ([stopper] if plan.patience else []),
    )
    losses = tuple(float(loss) for loss in net.history.history["loss"])
    if not all(map(math.isfinite, losses)):
        raise DataError("training diverged (the loss is not finite): use a smaller --learning-rate")
    history = [float(loss) for loss in net.history.history["val_loss"]]
    return Trained(
        model=from_keras_weights(network, net),
        plan=plan,
        data=data.name,
        losses=losses,
        calibration_loss=min(history) if plan.patience else history[-1],
    )


def build_keras(network: Network) -> Any:
    """Return the network as an untrained Keras model, layer for layer.

    Raises:
        MissingExtra: TensorFlow is not installed.
    """
    keras = _keras()
    given = keras.Input((network.timesteps, network.features))
    values = given
    for layer in network.layers:
        values = _keras_layer(keras, layer, values)
    return keras.Model(given, values, name=network.name.replace("-", "_"))


def from_keras_weights(network: Network, net: Any) -> Model:
    """Return a `Model` with the weights of a Keras model that `build_keras` made of the same network."""
    arrays = [np.asarray(value, dtype=np.float64) for value in net.get_weights()]
    weights: list[LayerWeights] = []
    for layer in network.layers:
        match layer:
            case LstmLayer(passes=passes):
                weights.append(tuple(_lstm_weights(*arrays[3 * n : 3 * n + 3]) for n in range(passes)))
                del arrays[: 3 * passes]
            case DenseLayer():
                weights.append(DenseWeights(arrays[0].T.copy(), arrays[1]))
                del arrays[:2]
            case _:
                weights.append(None)
    return Model(network, tuple(weights))


def save_trained(trained: Trained, path: Path, *, half: bool = True, force: bool = False) -> Path:
    """Write weights as .npz (float16 where `half`), their story as .toml beside it; return the latter's path."""
    story = path.with_suffix(".toml")
    refuse_existing(story, force=force)
    model = as_half(trained.model) if half else trained.model
    model.save(path, force=force)
    plan = trained.plan
    lines = [
        f'network = "{trained.model.network.name}"',
        f'data = "{trained.data}"',
        f"seed = {plan.seed}",
        f"epochs = {len(trained.losses)}",
        f"batch = {plan.batch}",
        f"learning_rate = {plan.learning_rate!r}",
        f"final_loss = {trained.losses[-1]:.6g}",
        f"calibration_loss = {trained.calibration_loss:.6g}",
        f'number_format = "{"float16" if half else "float64"}"',
        f'command = "{_command(trained)}"',
    ]
    write_text(story, "\n".join(lines) + "\n", force=force)
    return story


def _chosen(count: int, windows: int) -> Any:
    if not windows or windows >= count:
        return slice(None)
    return np.linspace(0, count - 1, windows).astype(np.int64)


def _keras(threads: int = 0) -> Any:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    try:
        tensorflow = importlib.import_module("tensorflow")
        keras = importlib.import_module("keras")
    except ImportError:
        raise MissingExtra("tensorflow", "tensorflow", "training") from None
    if threads:
        try:
            tensorflow.config.threading.set_intra_op_parallelism_threads(threads)
            tensorflow.config.threading.set_inter_op_parallelism_threads(threads)
        except RuntimeError:
            return keras  # TensorFlow has started: its threads are fixed
    return keras


def _schedule(keras: Any, plan: TrainingPlan, steps: int) -> Any:
    warm_up = max(1, int(WARM_UP_SHARE * steps))
    return keras.optimizers.schedules.CosineDecay(
        plan.learning_rate / 20,
        max(1, steps - warm_up),
        alpha=FINAL_RATE_SHARE,
        warmup_target=plan.learning_rate,
        warmup_steps=warm_up,
    )


def _shuffled(inputs: Any, targets: Any, plan: TrainingPlan) -> Any:
    tensorflow = importlib.import_module("tensorflow")
    pairs = tensorflow.data.Dataset.from_tensor_slices((inputs, targets))
    return pairs.shuffle(len(inputs), seed=plan.seed).batch(plan.batch, drop_remainder=True)


def _held_out(data: Dataset, batch: int) -> tuple[Any, Any]:
    """The last tenth of the training windows of a forecast: watched, and trained on too unless patience is set."""
    count = max(min(batch, len(data.train)), len(data.train) // 10)
    return data.train[-count:], data.train_targets[-count:]


def _watcher(keras: Any, progress: Progress | None) -> Any:
    def report(epoch: int, logs: dict[str, float]) -> None:
        if progress is not None:
            progress(epoch + 1, float(logs["loss"]), float(logs.get("val_loss", math.nan)))

    return keras.callbacks.LambdaCallback(on_epoch_end=report)


def _keras_layer(keras: Any, layer: Any, values: Any) -> Any:
    match layer:
        case LstmLayer(units=units, return_sequences=sequences, direction="bidirectional"):
            inner = keras.layers.LSTM(units, return_sequences=True)
            both = keras.layers.Bidirectional(inner)(values)
            return both if sequences else keras.ops.concatenate([both[:, -1:, :units], both[:, :1, units:]], axis=2)
        case LstmLayer(units=units, return_sequences=sequences, direction=direction):
            backwards = direction == "reverse"
            result = keras.layers.LSTM(units, return_sequences=True, go_backwards=backwards)(values)
            if not sequences:
                return result[:, -1:]
            return keras.ops.flip(result, axis=1) if backwards else result
        case DenseLayer(units=units, activation=activation):
            return keras.layers.Dense(units, activation=activation)(values)
        case RepeatLayer(count=count):
            return keras.ops.repeat(values, count, axis=1)
        case ReshapeLayer(timesteps=timesteps, features=features):
            return keras.layers.Reshape((timesteps, features))(values)


def _lstm_weights(kernel: Array, recurrent: Array, bias: Array) -> LstmWeights:
    """Keras keeps [inputs, 4 units] with the gates in our order."""
    units = recurrent.shape[0]
    return LstmWeights(
        kernel.T.reshape(4, units, -1).copy(), recurrent.T.reshape(4, units, units).copy(), bias.reshape(4, units)
    )


def _command(trained: Trained) -> str:
    plan = trained.plan
    source = {"nslkdd": "NSL-KDD-FOLDER"}.get(trained.data.split(" ")[0], trained.data)
    words = f"lstmsim train {trained.model.network.name} --data {source} --seed {plan.seed} --epochs {plan.epochs}"
    words += f" --batch {plan.batch} --learning-rate {plan.learning_rate!r}"
    return words + (f" --windows {plan.windows}" if plan.windows else "")
