"""Why nothing is left: one line that names the constraint that excludes most, and what would be possible."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from lstmsim.core.rules import RULES
from lstmsim.core.sweep import BUDGET_LIMITS, EVALUATED, FITTING, Tally
from lstmsim.explore.goals import Constraint

if TYPE_CHECKING:
    from lstmsim.explore.problem import Problem

_SHOWN = {
    "latency_s": (1e3, "ms"),
    "throughput_per_s": (1.0, "/s"),
    "power_w": (1.0, "W"),
    "energy_j": (1e3, "mJ"),
    "accuracy": (100.0, "%"),
}


def shown(metric: str, value: float) -> str:
    """Return a metric with its unit, for people."""
    factor, unit = _SHOWN.get(metric, (1.0, ""))
    return f"{value * factor:,.4g}{'' if unit in {'%', '/s'} or not unit else ' '}{unit}"


def explain_nothing(
    network: str, device: str, problem: Problem, tally: Tally, constraints: Sequence[Constraint]
) -> str:
    """Return one line for a search that found nothing: no valid design, none that fits, or none that meets all."""
    evaluated, fitting = int(tally.counts[EVALUATED]), int(tally.counts[FITTING])
    if evaluated == 0:
        worst = max(range(len(RULES)), key=lambda rule: int(tally.pruned[rule]))
        return (
            f"the space has no valid design for {network} on {device}: the rule {RULES[worst]!r} prunes "
            f"{int(tally.pruned[worst]):,} of {int(tally.pruned.sum()):,}"
        )
    if fitting == 0:
        worst = max(range(BUDGET_LIMITS), key=lambda limit: int(tally.broken[limit, 0]))
        return (
            f"none of {evaluated:,} designs for {network} fits {device}: {problem.limit_names[worst]} "
            f"excludes most, {int(tally.broken[worst, 0]):,}; widen the space (larger mac_share, narrower formats)"
        )
    worst = max(range(BUDGET_LIMITS, len(tally.broken)), key=lambda limit: int(tally.broken[limit, 0]))
    count, alone = int(tally.broken[worst, 0]), int(tally.broken[worst, 1])
    text = (
        f"no design of {network} on {device} meets every constraint: {problem.limit_names[worst]} excludes most, "
        f"{count:,} of the {fitting:,} that fit"
    )
    if alone:
        text += f"; without it {alone:,} would be left"
    constraint = constraints[worst - BUDGET_LIMITS] if worst - BUDGET_LIMITS < len(constraints) else None
    best = float(tally.best[worst])
    if constraint is not None and math.isfinite(best):
        value = best if constraint.smaller else -best
        text += f"; designs that fit reach {shown(constraint.metric, value)}"
    return text
