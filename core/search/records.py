"""What a search is asked for, what it gives back, and the room that outcomes fill on the way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from core.config import Config
from core.search.grid import Grid, Phase
from core.search.objectives import Wish
from core.search.robustness import Ground
from core.trials import TRIAL_METRICS

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


class Gathered:
    """Room for a phase's outcomes, filled as they come."""

    def __init__(self, rows: list[Row]) -> None:
        self.rows = rows
        self.hashes = [""] * len(rows)
        self.figures = np.full((len(rows), len(TRIAL_METRICS)), np.nan)
        self.equity: Any = None
        self.done = np.zeros(len(rows), bool)

    def take(self, i: Any, hashes: Sequence[str], figures: Any, equity: Any) -> None:
        if self.equity is None:
            self.equity = np.zeros((len(self.rows), equity.shape[-1]), np.int64)
        for place, name in zip(i, hashes, strict=True):
            self.hashes[place] = name
        self.figures[i], self.equity[i], self.done[i] = figures, equity, True

    def more(self, rows: list[Row]) -> list[int]:
        """Room for further rows; their places."""
        before, n = len(self.rows), len(rows)
        self.rows += rows
        self.hashes += [""] * n
        self.figures = np.concatenate((self.figures, np.full((n, len(TRIAL_METRICS)), np.nan)))
        self.done = np.concatenate((self.done, np.zeros(n, bool)))
        if self.equity is not None:
            self.equity = np.concatenate((self.equity, np.zeros((n, self.equity.shape[1]), np.int64)))
        return list(range(before, before + n))


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
    coarse: tuple[int, int] = (0, 0)  # trials that the coarse stage was asked for, and those it could not rank

    def count(self) -> int:
        return sum(len(phase.rows) for phase in self.phases)
