"""Design space exploration: every combination of knobs, the exact Pareto front, constraints, sweeps that resume."""

from __future__ import annotations

from lstmsim.explore.engine import explore as explore
from lstmsim.explore.goals import DEFAULT_OBJECTIVES as DEFAULT_OBJECTIVES
from lstmsim.explore.goals import METRIC_NAMES as METRIC_NAMES
from lstmsim.explore.goals import Constraint as Constraint
from lstmsim.explore.goals import parse_constraint as parse_constraint
from lstmsim.explore.goals import parse_objectives as parse_objectives
from lstmsim.explore.result import Design as Design
from lstmsim.explore.result import Exploration as Exploration
from lstmsim.explore.space import DesignSpace as DesignSpace
from lstmsim.explore.space import default_space as default_space
from lstmsim.explore.space import load_space as load_space
