"""How Vitis HLS composes cycles out of loops and modules.

Plain scalar functions that numba can compile. The rules were read in the loop tables of public csynth reports,
2017.3 to 2025.1: the tool's "trip count" counts iterations, "depth" is the iteration latency of a pipelined loop and
"II" its initiation interval, all in cycles. `docs/reports.md` says where each rule holds and where it does not.
"""

from __future__ import annotations

OUTLINED_OVERHEAD_CYCLES = 2
"""Entry and exit states around a pipelined loop, in a function or in a module of its own (`..._Pipeline_...`)."""

DATAFLOW_OVERHEAD_CYCLES = 2
"""Start and end of a dataflow region; real reports show 2 to 5."""


def pipelined_loop_cycles(trips: float, ii: float, depth: float) -> float:
    """Return the latency of a pipelined loop, in cycles.

    The last iteration starts after (trips - 1) intervals and takes `depth`. Where the interval is the depth no two
    iterations overlap and the loop takes trips * depth. With ii < depth, HLS prints one cycle less, because the loop's
    exit test shares a state with the last iteration's end. A loop of no trips costs nothing.
    """
    if trips <= 0:
        return 0.0
    if ii >= depth:
        return trips * ii
    return depth + ii * (trips - 1) - 1


def sequential_loop_cycles(trips: float, iteration_cycles: float) -> float:
    """Return the latency of a loop that is not pipelined: one iteration after the other."""
    if trips <= 0:
        return 0.0
    return trips * iteration_cycles


def dataflow_latency_cycles(sum_of_stages_cycles: float) -> float:
    """Return the latency of one pass through a dataflow region whose stages wait for whole arrays (ping-pong)."""
    return sum_of_stages_cycles + DATAFLOW_OVERHEAD_CYCLES


def adder_tree_levels(terms: int) -> int:
    """Return the levels of a balanced tree that adds `terms` values: ceil(log2(terms))."""
    levels = 0
    width = 1
    while width < terms:
        width *= 2
        levels += 1
    return levels


def float_tree_depth_cycles(terms: int, ii: float, add_cycles: float) -> float:
    """Return the depth of an unrolled float row added by a balanced tree: ii + 4 + add_cycles per level."""
    return ii + 4 + add_cycles * adder_tree_levels(terms)


def float_chain_depth_cycles(terms: int, add_cycles: float) -> float:
    """Return the depth of an unrolled float row added one after the other: add_cycles * terms + 7."""
    return add_cycles * terms + 7
