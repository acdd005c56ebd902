"""What a search is asked for and what it gives back, as plain records."""

from __future__ import annotations

from typing import Any, NamedTuple

from core.config import Config
from core.search.grid import Grid, Phase
from core.search.objectives import Wish
from core.search.robustness import Ground

Row = tuple[Any, ...]


class Plan(NamedTuple):
    """How to search."""

    method: str
    trials: int  # of a phase, for all methods but grid
    wish: Wish
    seed: int
    resume: bool = False
    coarse: int = 0  # of a phase, as many are run in full as closed trades rank first; 0: all
    fixed: tuple[tuple[str, Any], ...] = ()  # settings of every trial, beside the base's: the window of a walk-forward


class Progress(NamedTuple):
    """Where a search stands."""

    phase: str
    done: int
    total: int
    seconds: float
    resumed: int
    best: float | None


class PhaseFound(NamedTuple):
    """The trials of one phase, in order."""

    phase: Phase
    paths: tuple[str, ...]  # of the rows: what is varied or set by this phase or those before
    rows: list[Row]
    hashes: list[str]
    figures: Any  # float64 (n, K)
    equity: Any  # int64 (n, sessions) cents
    scores: Any  # float64 (n), NaN: does not count
    chosen: int  # of the recommended one; -1: none counts
    ground: Ground | None = None  # the levels and who is whose neighbour

    def levels(self) -> dict[str, list[Any]]:
        """The varied settings, a value per trial."""
        places = {path: self.paths.index(path) for path in self.phase.levels}
        return {path: [row[place] for row in self.rows] for path, place in places.items()}


class Found(NamedTuple):
    """Everything that a search found."""

    grid: Grid
    base: Config
    plan: Plan
    phases: list[PhaseFound]
    recommended: Config  # the base's settings with what the phases recommend
    ended: bool  # False: interrupted
    resumed: int  # trials taken from an earlier search
    seconds: float

    def count(self) -> int:
        return sum(len(phase.rows) for phase in self.phases)
