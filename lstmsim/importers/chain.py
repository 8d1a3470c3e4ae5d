"""What every importer builds: a chain of layers, each with a way to fetch its weights later."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast, get_args

from lstmsim.errors import ConfigError, LstmsimError, ModelFormatError
from lstmsim.network import (
    DenseActivation,
    DenseLayer,
    Layer,
    LstmLayer,
    Network,
    RepeatLayer,
    ReshapeLayer,
    Shape,
)

if TYPE_CHECKING:
    from lstmsim.model import LayerWeights, Model

Fetch = Callable[[], "LayerWeights"]

SUPPORTED = (
    "supported: LSTM, Bidirectional, Dense, TimeDistributed(Dense), RepeatVector, Flatten, Reshape, Dropout, Activation"
)
MESSAGE_LIMIT = 300


def refuse(where: str, problem: str, remedy: str = SUPPORTED) -> ModelFormatError:
    """Return the error that names a layer, what is wrong with it, and what is supported."""
    return ModelFormatError(f"{where}: {problem} ({remedy})")


@contextmanager
def reading(path: object, kind: str) -> Iterator[None]:
    """Turn whatever a parser raises on a damaged file into one ModelFormatError line.

    Parsers of other projects document no list of exceptions, hence the broad clause.
    """
    try:
        yield
    except LstmsimError:
        raise
    except Exception as problem:
        detail = " ".join(str(problem).split())[:MESSAGE_LIMIT] or "no detail"
        raise ModelFormatError(
            f"{str(path)!r} cannot be read as {kind}, it may be damaged: {type(problem).__name__}: {detail}"
        ) from None


@dataclass(frozen=True, slots=True)
class Blueprint:
    """A network, and for each of its layers a function that returns the weights (None: the layer has none)."""

    network: Network
    fetches: tuple[Fetch | None, ...]

    def model(self) -> Model:
        """Fetch all weights.

        Raises:
            ModelFormatError: missing weights, or of a wrong shape.
        """
        from lstmsim.model import Model

        return Model(self.network, tuple(fetch() if fetch else None for fetch in self.fetches))


class Chain:
    """Collects layers in order and follows the shape of one sample, [timesteps, features]."""

    def __init__(self, name: str, timesteps: int, features: int) -> None:
        self.name = name
        self.given = Shape(timesteps, features)
        self.shape = self.given
        self._layers: list[Layer] = []
        self._fetches: list[Fetch | None] = []
        self._check_sizes()

    def _check_sizes(self) -> None:
        Network(
            name=self.name,
            timesteps=self.given.timesteps,
            features=self.given.features,
            layers=(ReshapeLayer(timesteps=self.given.timesteps, features=self.given.features),),
        )

    def add(self, layer: Layer, where: str, fetch: Fetch | None = None) -> None:
        """Append a layer.

        Raises:
            ModelFormatError: its sizes do not follow from the layer before.
        """
        try:
            step = Network(name=where, timesteps=self.shape.timesteps, features=self.shape.features, layers=(layer,))
        except ConfigError as problem:
            raise ModelFormatError(str(problem).replace(", layer 1", "")) from None
        self._layers.append(layer)
        self._fetches.append(fetch)
        self.shape = step.output

    def reshape(self, timesteps: int, features: int, where: str) -> None:
        """Append a reshape, unless the shape is already so."""
        if self.shape != Shape(timesteps, features):
            self.add(ReshapeLayer(timesteps=timesteps, features=features), where)

    def flatten(self, where: str) -> None:
        """Append a reshape to one time step, unless there is one only."""
        self.reshape(1, self.shape.timesteps * self.shape.features, where)

    def repeat(self, count: int, where: str) -> None:
        """Append a repeat; a count of one changes nothing."""
        if count != 1 or self.shape.timesteps != 1:
            self.add(RepeatLayer(count=count), where)

    def activate(self, activation: str, where: str) -> None:
        """Fuse an activation into the dense layer before.

        Raises:
            ModelFormatError: an unknown activation, or no dense layer without one before it.
        """
        name = dense_activation(activation, where)
        if name == "linear":
            return
        last = self._layers[-1] if self._layers else None
        if not isinstance(last, DenseLayer) or last.activation != "linear":
            raise refuse(where, f"activation {name!r} does not follow a Dense layer without one")
        self._layers[-1] = replace(last, activation=name)

    @property
    def last(self) -> Layer | None:
        """The layer added last."""
        return self._layers[-1] if self._layers else None

    def blueprint(self, note: str = "") -> Blueprint:
        """Return the finished network.

        Raises:
            ModelFormatError: no layer that computes.
        """
        if not any(isinstance(layer, LstmLayer | DenseLayer) for layer in self._layers):
            raise ModelFormatError(f"model {self.name!r} has no LSTM or Dense layer")
        network = Network(
            name=self.name,
            timesteps=self.given.timesteps,
            features=self.given.features,
            layers=tuple(self._layers),
            note=note,
        )
        return Blueprint(network, tuple(self._fetches))


def dense_activation(name: Any, where: str) -> DenseActivation:
    """Return a supported activation's name.

    Raises:
        ModelFormatError: another activation.
    """
    known = get_args(DenseActivation)
    if name is None:
        return "linear"
    if name not in known:
        raise refuse(where, f"activation {name!r} is not supported", "supported: " + ", ".join(known))
    return cast(DenseActivation, name)


def needed_timesteps(stated: int | None, timesteps: int | None, where: str) -> int:
    """Return the number of time steps, stated by the model or by the caller.

    Raises:
        ModelFormatError: neither is known, or they differ.
    """
    if stated is None and timesteps is None:
        raise ModelFormatError(f"{where} leaves the number of time steps open: give timesteps=N (--timesteps N)")
    if stated is not None and timesteps is not None and stated != timesteps:
        raise ModelFormatError(f"{where} has {stated} time steps, {timesteps} were asked for")
    return cast(int, stated if stated is not None else timesteps)
