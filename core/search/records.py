"""What a search is asked for, what it gives back, and the room that outcomes fill on the way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from core.config import Config
from core.errors import QuantorError
from core.search.grid import Grid, Phase, Row
from core.search.objectives import Wish
from core.search.robustness import Ground
from core.search.shapes import Neighbour
from core.trials import TRIAL_METRICS


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


class Coarse(NamedTuple):
    """Trials of a coarse stage."""

    asked: int
    unranked: int  # that only a full run can tell
    beside: int  # run in full because they lie one step from the best


class PhaseFound(NamedTuple):
    """The trials of one phase, in order."""

    phase: Phase
    paths: tuple[str, ...]  # of the rows: what is varied or set by this phase or those before
    rows: list[Row]
    hashes: list[str]
    figures: Any  # float64 (n, K)
    equity: Any  # int64 (m, sessions) cents: of its ledgers, in order of the first trial of each
    ledger: Any  # int64 (n): whose row of equity a trial has
    scores: Any  # float64 (n), NaN: does not count
    chosen: int  # of the recommended one; -1: none counts
    ground: Ground | None = None  # the levels and who is whose neighbour

    def levels(self) -> dict[str, list[Any]]:
        """The varied settings, a value per trial."""
        return levels_of_rows(self.phase, self.paths, self.rows)


def levels_of_rows(phase: Phase, paths: Sequence[str], rows: Sequence[Row]) -> dict[str, list[Any]]:
    """The settings that a phase varies, a value per row."""
    places = {path: paths.index(path) for path in phase.levels}
    return {path: [row[place] for row in rows] for path, place in places.items()}


class Gathered:
    """Room for a phase's outcomes, filled as they come."""

    def __init__(self, rows: list[Row]) -> None:
        self.rows = rows
        self.hashes = [""] * len(rows)
        self.figures = np.full((len(rows), len(TRIAL_METRICS)), np.nan)
        self.leader = np.full(len(rows), -1)  # place of the first trial that has the same ledger; -1 until it is done
        self.equity: dict[int, Any] = {}  # int64 (sessions) by leader

    def take(self, places: Any, hashes: Sequence[str], figures: Any, leaders: Any) -> None:
        """Trials that are done; the equity of their leaders is put into `equity` by whoever has it."""
        for place, name in zip(places, hashes, strict=True):
            self.hashes[place] = name
        self.figures[places], self.leader[places] = figures, leaders

    def done(self) -> Any:
        """Places of the trials that are done."""
        return np.nonzero(self.leader >= 0)[0]

    def more(self, rows: list[Row]) -> list[int]:
        """Room for further rows; their places."""
        before, n = len(self.rows), len(rows)
        self.rows += rows
        self.hashes += [""] * n
        self.figures = np.concatenate((self.figures, np.full((n, len(TRIAL_METRICS)), np.nan)))
        self.leader = np.concatenate((self.leader, np.full(n, -1)))
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
    coarse: Coarse = Coarse(0, 0, 0)  # of all phases
    beyond: tuple[Neighbour, ...] = ()  # steps from the recommended trial along settings of earlier phases
    failure: QuantorError | None = None  # what ended it early, beside Ctrl-C

    def count(self) -> int:
        return sum(len(phase.rows) for phase in self.phases)
