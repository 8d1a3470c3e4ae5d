"""Functional Keras models: check that the layers form one straight chain, and put them in its order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from lstmsim.errors import ModelFormatError
from lstmsim.importers.chain import refuse

Table = dict[str, Any]


def chain_order(body: Table, entries: list[Any]) -> list[int]:
    """Return the positions of the layers from the input to the output.

    Raises:
        ModelFormatError: several inputs or outputs, branches, shared layers, or nodes that cannot be read.
    """
    first = _single_end(body, "input_layers", "inputs")
    last = _single_end(body, "output_layers", "outputs")
    by_name: dict[str, int] = {}
    following: dict[str, str] = {}
    for index, entry in enumerate(entries):
        name = _name(entry)
        if name in by_name:
            raise ModelFormatError(f"two layers are called {name!r}")
        by_name[name] = index
        source = _source(entry, name)
        if source is None:
            continue
        if source in following:
            raise refuse(f"layer {name!r}", f"the output of {source!r} goes to {following[source]!r} as well")
        following[source] = name
    chain = [first]
    while chain[-1] != last and chain[-1] in following and len(chain) <= len(by_name):
        chain.append(following[chain[-1]])
    if chain[-1] != last or len(chain) != len(by_name) or any(name not in by_name for name in chain):
        raise ModelFormatError("the layers do not form one straight chain from the input to the output")
    return [by_name[name] for name in chain]


def _single_end(body: Table, key: str, what: str) -> str:
    ends = body.get(key)
    if isinstance(ends, list) and len(ends) == 3 and isinstance(ends[0], str):
        return ends[0]
    if not isinstance(ends, list) or not ends or not all(isinstance(end, list) and end for end in ends):
        raise ModelFormatError(f"the model does not say its {what}")
    if len(ends) != 1:
        names = ", ".join(repr(end[0]) for end in ends)
        raise ModelFormatError(f"the model has {len(ends)} {what} ({names}): one is supported")
    return str(ends[0][0])


def _name(entry: Any) -> str:
    if not isinstance(entry, dict) or not isinstance(entry.get("config"), dict):
        raise ModelFormatError("a layer has no config: not a Keras configuration")
    return str(entry.get("name", entry["config"].get("name")))


def _source(entry: Table, name: str) -> str | None:
    """The layer whose output this one reads; None for the input layer."""
    nodes = entry.get("inbound_nodes") or []
    if not isinstance(nodes, list):
        raise ModelFormatError(f"layer {name!r}: its inbound_nodes cannot be read")
    if not nodes:
        return None
    if len(nodes) != 1:
        raise refuse(f"layer {name!r}", f"it is used {len(nodes)} times", "each layer is used once")
    histories = list(_histories(nodes[0]))
    if len(histories) != 1:
        raise refuse(f"layer {name!r}", f"it reads {len(histories)} tensors", "each layer reads one")
    source, node, tensor = histories[0]
    if (node, tensor) != (0, 0):
        raise refuse(f"layer {name!r}", f"it reads output {tensor} of use {node} of {source!r}", "each layer has one")
    return source


def _histories(node: Any) -> Iterator[tuple[str, int, int]]:
    """Yield (layer, node, tensor) of every tensor that a node reads; Keras 3 writes objects, Keras 2 lists."""
    if isinstance(node, dict):
        history = node.get("keras_history")
        if isinstance(history, list):
            yield _triple(history)
            return
        for value in node.values():
            yield from _histories(value)
    elif isinstance(node, list):
        if len(node) >= 3 and isinstance(node[0], str) and type(node[1]) is int:
            yield _triple(node)
            for value in node[3:]:
                yield from _histories(value)
            return
        for value in node:
            yield from _histories(value)


def _triple(history: list[Any]) -> tuple[str, int, int]:
    if (
        len(history) < 3
        or not isinstance(history[0], str)
        or type(history[1]) is not int
        or type(history[2]) is not int
    ):
        raise ModelFormatError(f"a layer's source {history!r} cannot be read")
    return history[0], history[1], history[2]
