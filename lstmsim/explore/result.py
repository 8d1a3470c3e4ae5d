"""What an exploration found: counts, the front, a sample to draw, and tables to write."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lstmsim.config import KernelConfig
from lstmsim.core.sweep import METRICS
from lstmsim.errors import ConfigError
from lstmsim.explore.goals import METRIC_NAMES
from lstmsim.explore.space import DesignSpace

if TYPE_CHECKING:
    from lstmsim.explore.problem import Problem


@dataclass(frozen=True, slots=True)
class Design:
    """One design of a space: its index, its configuration, and its figures by metric in SI units."""

    index: int
    config: KernelConfig
    figures: dict[str, float]

    def to_dict(self) -> dict[str, Any]:
        """Return figures and knobs as one flat row."""
        return {"index": self.index, **self.figures, **self.config.to_dict()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Exploration:
    """An exact Pareto front and how it came about.

    `evaluated` designs were left of `size` after pruning (`pruned` by rule); `fitting` are within the budget,
    `feasible` also meet the constraints (`excluded` by constraint, budgets included). `front` holds the indices of the
    non-dominated designs, best first by the first objective; of designs with equal objectives the first in the
    space stands for all. `sample` are index and figures (in the order of METRICS) of some feasible designs.
    """

    network: str
    device: str
    objectives: tuple[str, ...]
    constraints: tuple[str, ...]
    batch: int
    queue: int
    space: DesignSpace
    evaluated: int
    fitting: int
    feasible: int
    pruned: dict[str, int]
    excluded: dict[str, int]
    front: tuple[int, ...]
    seconds: float
    threads: int
    problem: Problem = field(repr=False)
    sample: tuple[tuple[float, ...], ...] = field(repr=False, default=())

    @property
    def size(self) -> int:
        """Designs of the space before pruning."""
        return self.space.size

    def designs(self, count: int | None = None) -> list[Design]:
        """Return the first `count` designs of the front, or all, with their figures."""
        return [self.design(index) for index in (self.front if count is None else self.front[:count])]

    def design(self, index: int) -> Design:
        """Return one design of the space, evaluated again by the plain functions."""
        return Design(index, self.space.config_at(index), self.problem.figures_at(index))

    def best(self, objective: str) -> Design:
        """Return the design of the front that is best by one objective."""
        name, sign = METRIC_NAMES[objective]
        return min(self.designs(), key=lambda design: sign * design.figures[name])

    def excess(self, config: KernelConfig) -> float:
        """Return how far a design of the space is from the front, as a share.

        Some design of the front is better by this share or more in every objective at once; 0 is on the front (or
        not beaten in every objective).

        Raises:
            ConfigError: the space has no such design.
        """
        index = self.space.index_of(config, self.space.axes["clock_hz"][-1])
        if index is None:
            raise ConfigError("the space has no such design: its knobs must be among the choices of the axes")
        own = self.problem.figures_at(index)
        metrics = [METRIC_NAMES[name] for name in self.objectives]
        gains = [
            min((own[name] / other[name]) ** sign if other[name] and own[name] else 1.0 for name, sign in metrics)
            for other in (design.figures for design in self.designs())
        ]
        return max(0.0, max(gains) - 1.0)

    def sample_rows(self) -> list[dict[str, float]]:
        """Return the sample as rows by "index" and metric."""
        return [dict(zip(("index", *METRICS), row, strict=True)) for row in self.sample]

    def to_dict(self, count: int | None = None) -> dict[str, Any]:
        """Return everything as plain values, with the first `count` designs of the front."""
        return {
            "network": self.network,
            "device": self.device,
            "objectives": list(self.objectives),
            "constraints": list(self.constraints),
            "batch": self.batch,
            "queue": self.queue,
            "space": self.size,
            "evaluated": self.evaluated,
            "fitting": self.fitting,
            "feasible": self.feasible,
            "pruned": self.pruned,
            "excluded": self.excluded,
            "front_size": len(self.front),
            "seconds": self.seconds,
            "threads": self.threads,
            "front": [design.to_dict() for design in self.designs(count)],
        }
