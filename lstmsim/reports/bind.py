"""Bind a kernel's trip counts to a network's dimensions, so that one report predicts other sizes.

A trip count is bound where it equals a dimension, or a product or sum of dimensions that LSTM kernels loop over. A
row that is unrolled over N columns leaves its mark on the interval and the depth of the loop around it; these follow
N where they obey one of the two laws that were seen in real reports (a chain or a tree of float additions).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from lstmsim.core.loops import adder_tree_levels, float_chain_depth_cycles, float_tree_depth_cycles
from lstmsim.errors import ConfigError
from lstmsim.network import LstmLayer, Network
from lstmsim.reports.nest import LoopNode, Nest
from lstmsim.reports.whatif import Changes

GATES = 4
CHAIN_ADD_CYCLES = 5
TREE_ADD_CYCLES = range(3, 10)
PORTS = (1, 2, 4)
SMALLEST_BOUND = 3  # 1 and 2 match anything


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """What one LSTM layer of a network offers to bind to."""

    layer: int
    timesteps: int
    inputs: int
    units: int

    def terms(self) -> dict[str, int]:
        """Return the trip counts that a kernel of this layer may have, simplest first."""
        columns = self.inputs + self.units
        return {
            "units": self.units,
            "inputs": self.inputs,
            "timesteps": self.timesteps,
            "inputs + units": columns,
            "4 units": GATES * self.units,
            "4 inputs": GATES * self.inputs,
            "units inputs": self.units * self.inputs,
            "units^2": self.units * self.units,
            "units (inputs + units)": self.units * columns,
            "4 units inputs": GATES * self.units * self.inputs,
            "4 units^2": GATES * self.units * self.units,
            "4 units (inputs + units)": GATES * self.units * columns,
            "timesteps inputs": self.timesteps * self.inputs,
            "timesteps units": self.timesteps * self.units,
            "3 units": 3 * self.units,
            "2 units": 2 * self.units,
            "units / 2": int(_ceil(self.units, 2)),
            "units / 4": int(_ceil(self.units, 4)),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """A loop's trip count as a dimension; `others` are further readings of the same number."""

    loop: str
    trips: float
    term: str
    layer: int
    others: tuple[str, ...] = ()
    columns: str = ""  # the dimension that interval and depth follow, where they do

    @property
    def ambiguous(self) -> bool:
        """Whether the number has several readings."""
        return bool(self.others)


def layer_sizes(network: Network) -> list[Sizes]:
    """Return the sizes of a network's LSTM layers.

    Raises:
        ConfigError: the network has none.
    """
    found = [
        Sizes(layer=index, timesteps=stage.input.timesteps, inputs=stage.input.features, units=stage.layer.units)
        for index, stage in enumerate(network.stages)
        if isinstance(stage.layer, LstmLayer)
    ]
    if not found:
        raise ConfigError(f"network {network.name!r} has no LSTM layer to bind loops to")
    return found


def bind(nest: Nest, network: Network) -> list[Binding]:
    """Return the loops whose trip counts are dimensions of a network, with every other reading of the number."""
    sizes = layer_sizes(network)
    found = []
    for path, loop in nest.loops.items():
        if loop.trips is None or loop.trips < SMALLEST_BOUND:
            continue
        readings = [(term, size.layer) for term, size in _matches(sizes, loop.trips)]
        if readings:
            over_time = [reading for reading in readings if reading[0] == "timesteps"]
            around = not loop.pipelined and bool(loop.body.loops or loop.body.calls)
            term, layer = over_time[0] if over_time and around and path.count("/") == 1 else readings[0]
            others = tuple(dict.fromkeys(other for other, _layer in readings if other != term))
            columns = _columns(loop, next(size for size in sizes if size.layer == layer))
            found.append(Binding(loop=path, trips=loop.trips, term=term, layer=layer, others=others, columns=columns))
    return found


def _matches(sizes: list[Sizes], trips: float) -> Iterator[tuple[str, Sizes]]:
    for position in range(len(sizes[0].terms())):
        for size in sizes:
            term, value = list(size.terms().items())[position]
            if value == trips:
                yield term, size


def _columns(loop: LoopNode, size: Sizes) -> str:
    """Return which dimension a pipelined loop's interval and depth follow: those of an unrolled row of N terms.

    Both must agree: II = N / ports alone would match by chance.
    """
    if not loop.pipelined or loop.ii is None or loop.depth is None or loop.ii < SMALLEST_BOUND:
        return ""
    for term in ("inputs + units", "inputs", "units"):
        terms = size.terms()[term]
        if _ports(terms, loop.ii) and _depth(loop.ii, loop.depth, terms, terms, loop.ii) == loop.depth:
            return term
    return ""


def _ports(terms: int, ii: float) -> int:
    """Return over how many ports a row of `terms` values is read in `ii` cycles; 0 where none fits."""
    return next((ports for ports in PORTS if _ceil(terms, ports) == ii), 0)


def _ceil(value: float, divisor: float) -> float:
    return -(-value // divisor)


def rescale(nest: Nest, bindings: list[Binding], old: Network, new: Network) -> Changes:
    """Return the changes that turn a kernel made for `old` into the same kernel made for `new`.

    Raises:
        ConfigError: the two networks have different numbers of LSTM layers.
    """
    before = {size.layer: size for size in layer_sizes(old)}
    targets = layer_sizes(new)
    if len(before) != len(targets):
        raise ConfigError(
            f"{old.name!r} has {len(before)} LSTM layers, {new.name!r} has {len(targets)}: "
            "bindings carry over between networks of the same number of layers"
        )
    after = dict(zip(before, targets, strict=True))
    trips, ii, depth = {}, {}, {}
    for binding in bindings:
        source, target = before[binding.layer], after[binding.layer]
        loop = nest.loops[binding.loop]
        trips[binding.loop] = float(target.terms()[binding.term])
        if binding.columns and loop.ii is not None and loop.depth is not None:
            terms, new_terms = source.terms()[binding.columns], target.terms()[binding.columns]
            ii[binding.loop] = float(_ceil(new_terms, _ports(terms, loop.ii)))
            follows = _depth(loop.ii, loop.depth, terms, new_terms, ii[binding.loop])
            depth[binding.loop] = loop.depth if follows is None else follows
    return Changes(trips=trips, ii=ii, depth=depth)


def _depth(ii: float, depth: float, terms: int, new_terms: int, new_ii: float) -> float | None:
    """Return the depth for another number of terms, by the law that the old depth obeys; None where it obeys none.

    A chain of float additions grows with the terms, a balanced tree with their logarithm.
    """
    if depth == float_chain_depth_cycles(terms, CHAIN_ADD_CYCLES):
        return float_chain_depth_cycles(new_terms, CHAIN_ADD_CYCLES)
    levels = adder_tree_levels(terms)
    for add_cycles in TREE_ADD_CYCLES:
        if levels and depth == float_tree_depth_cycles(terms, ii, add_cycles):
            return float_tree_depth_cycles(new_terms, new_ii, add_cycles)
    return None
