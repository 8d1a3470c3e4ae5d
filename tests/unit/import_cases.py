"""Random networks in Keras and PyTorch for the round trips of the importers."""

from __future__ import annotations

from typing import Any

import numpy as np

COUNT = 20
TOLERANCE = 1e-5


def inputs(seed: int, timesteps: int, features: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(3, timesteps, features)).astype(np.float32)


def keras_model(keras: Any, seed: int) -> Any:
    """A random stack; turned-round sequences come in pairs, since our layers return time in order."""
    pick = np.random.default_rng(seed)
    layers = keras.layers
    timesteps, features = int(pick.integers(2, 4)), int(pick.integers(1, 5))
    stack: list[Any] = []
    for _ in range(int(pick.integers(0, 2))):
        stack += _keras_sequence(layers, pick)
    shape = str(pick.choice(["last", "autoencoder", "sequence", "flatten", "reverse_last", "reshape"]))
    units = int(pick.integers(1, 5))
    if shape in ("last", "autoencoder", "reverse_last"):
        backwards = shape == "reverse_last"
        stack.append(layers.LSTM(units, go_backwards=backwards, use_bias=bool(pick.integers(2))))
    if shape == "autoencoder":
        stack += [layers.RepeatVector(timesteps), *_keras_sequence(layers, pick)]
        stack.append(layers.TimeDistributed(layers.Dense(features)))
    if shape == "flatten":
        stack += [layers.LSTM(units, return_sequences=True), layers.Flatten()]
    if shape == "reshape":
        stack += [layers.LSTM(4), layers.Reshape((2, 2)), layers.Bidirectional(layers.LSTM(units))]
    if shape != "autoencoder":
        stack.append(layers.Dense(3, activation=str(pick.choice(["linear", "relu", "sigmoid", "tanh", "softmax"]))))
        stack += [layers.Dropout(0.5), layers.Dense(2, use_bias=False), layers.Activation("sigmoid")]
    model = keras.Sequential([keras.Input((timesteps, features)), *stack])
    if seed % 3 == 0:
        model = _as_functional(keras, model, timesteps, features)
    model.set_weights([pick.uniform(-0.8, 0.8, weight.shape) for weight in model.get_weights()])
    return model


def _keras_sequence(layers: Any, pick: np.random.Generator) -> list[Any]:
    units = int(pick.integers(1, 5))
    match int(pick.integers(5)):
        case 0:
            return [layers.Bidirectional(layers.LSTM(units, return_sequences=True))]
        case 1:
            turned = {"return_sequences": True, "go_backwards": True}
            return [layers.LSTM(units, **turned), layers.Dense(3, "relu"), layers.LSTM(units, **turned)]
        case 2:
            return [layers.LSTM(units, return_sequences=True), layers.SpatialDropout1D(0.2)]
        case 3:
            return [layers.LSTM(units, return_sequences=True), layers.TimeDistributed(layers.Dense(3, "tanh"))]
    return [layers.LSTM(units, return_sequences=True, use_bias=False)]


def _as_functional(keras: Any, model: Any, timesteps: int, features: int) -> Any:
    """The same layers in a functional model around an inner Sequential one."""
    first, *others = model.layers
    entry = keras.Input((timesteps, features))
    values = keras.Sequential([keras.Input((timesteps, features)), first], name="inner")(entry)
    for layer in others:
        values = layer(values)
    return keras.Model(entry, values)


def torch_module(torch: Any, seed: int) -> tuple[Any, tuple[int, int], bool]:
    """Return a random module, [timesteps, features] and whether the batch comes first."""
    pick = np.random.default_rng(seed)
    torch.manual_seed(seed)
    nn = torch.nn
    timesteps, features, hidden = int(pick.integers(2, 6)), int(pick.integers(1, 5)), int(pick.integers(1, 5))
    batch_first = bool(pick.integers(2))
    both = bool(pick.integers(2))
    use = str(pick.choice(["all", "states", "repeat"] if both else ["all", "last", "states", "repeat", "flatten"]))
    depth, bias = int(pick.integers(1, 3)), bool(pick.integers(2))

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = nn.LSTM(features, hidden, depth, batch_first=batch_first, bidirectional=both, bias=bias)
            width = hidden * (2 if both else 1)
            self.decoder = nn.LSTM(width, 3, batch_first=batch_first)
            flat = timesteps if use == "flatten" else 1
            self.head = nn.Linear(flat * width if use != "repeat" else 3, 4)
            self.drop = nn.Dropout(0.3)
            self.end = nn.Linear(4, 2, bias=bias)

        def forward(self, values: Any) -> Any:
            outputs, (states, _) = self.lstm(values)
            last = torch.cat([states[-2], states[-1]], dim=1) if both else states[-1]
            if use == "last":
                outputs = outputs[:, -1] if batch_first else outputs[-1]
            elif use == "states":
                outputs = last
            elif use == "flatten":
                outputs = (outputs if batch_first else outputs.transpose(0, 1)).flatten(1)
            elif use == "repeat":
                repeated = last.unsqueeze(1).repeat(1, timesteps, 1)
                outputs, _ = self.decoder(repeated if batch_first else repeated.transpose(0, 1))
            return torch.sigmoid(self.end(self.drop(torch.relu(self.head(outputs)))))

    return Net().eval(), (timesteps, features), batch_first


def torch_outputs(torch: Any, module: Any, values: np.ndarray, batch_first: bool) -> np.ndarray:
    """The module's outputs with the batch first."""
    given = torch.from_numpy(values)
    with torch.no_grad():
        outputs = module(given if batch_first else given.transpose(0, 1))
    if not batch_first and outputs.ndim == 3:
        outputs = outputs.transpose(0, 1)
    return outputs.numpy()


def assert_same(ours: np.ndarray, theirs: np.ndarray) -> None:
    assert ours.size == theirs.size
    assert np.abs(ours.reshape(theirs.shape) - theirs).max() <= TOLERANCE
