"""Which combinations of a phase are tried: all of them, some at random, or those that earlier ones suggest.

A method hands out rounds of combinations and hears how each went. Its choices depend on the seed and on what it heard,
in order; rounds have a fixed size, so that they do not depend on the number of workers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from core.errors import ConfigError
from core.search.grid import Row
from core.search.space import DRAWS, Space
from core.settings import BY_PATH

METHODS = ("grid", "random", "sobol", "tpe", "cmaes")
SAMPLED_TRIALS, SUGGESTED_TRIALS, ROUND = 1000, 300, 16


def default_trials(method: str) -> int:
    return SUGGESTED_TRIALS if method in ("tpe", "cmaes") else SAMPLED_TRIALS


def sampled(space: Space, method: str, trials: int, seed: int) -> list[Row]:
    """Rows of the space: all (grid), a draw without repeats (random), or spread evenly (sobol; repeats are dropped)."""
    if method == "grid" or (space.is_listed and trials >= len(space.rows)):
        return space.rows
    if method == "random":
        rng = np.random.default_rng(seed)
        if not space.is_listed:
            return space.drawn(rng, trials)
        return [space.rows[i] for i in sorted(rng.choice(len(space.rows), trials, replace=False).tolist())]
    from scipy.stats import qmc

    sizes = [len(levels) for levels in space.levels]
    engine = qmc.Sobol(len(sizes), seed=seed)
    found: dict[Row, None] = {}
    while len(found) < trials and engine.num_generated < DRAWS * trials:
        for point in engine.random(1 << max(3, (trials - 1).bit_length())):
            row = space.row_at([min(int(x * size), size - 1) for x, size in zip(point, sizes, strict=True)])
            if len(found) < trials and row not in found and space.can_run(row):
                found[row] = None
    return [*found, *space.others(np.random.default_rng(seed), trials - len(found), found)]


def optuna_module() -> Any:
    """optuna, or the line that says how to get it."""
    try:
        import optuna
    except ImportError:
        raise ConfigError(
            "--method tpe and cmaes need optuna; pip install -r requirements-optuna.txt, or use --method sobol"
        ) from None
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna


class Suggester:
    """Combinations suggested by optuna's samplers, a round at a time."""

    def __init__(self, space: Space, method: str, both: bool, seed: int) -> None:
        optuna = optuna_module()
        self.space, self.levels, self.tail = space, space.phase.levels, space.tail
        self.rng = np.random.default_rng(seed)
        # The sampler asks for a multivariate model of a whole round, so its own warnings of an experiment are expected.
        if method == "cmaes":
            ordered = [path for path in self.levels if BY_PATH[path].kind in ("int", "float")]
            if len(ordered) < 2 or len(ordered) < len(self.levels):
                raise ConfigError("--method cmaes varies two or more numbers and no choices; use tpe")
            sampler = optuna.samplers.CmaEsSampler(seed=seed)
        else:
            sampler = optuna.samplers.TPESampler(seed=seed, constant_liar=not both)
        directions = ["maximize", "minimize"] if both else ["maximize"]
        self.study = optuna.create_study(sampler=sampler, directions=directions)
        self.failed = optuna.trial.TrialState.FAIL
        self.seen: set[Row] = set()

    def ask(self, count: int) -> list[tuple[Any, Row]]:
        """(optuna trial, row) pairs, new ones that the conditions admit; fewer where it keeps repeating itself."""
        found: list[tuple[Any, Row]] = []
        for _ in range(8 * count):
            trial = self.study.ask()
            row = (*(self.level(trial, path) for path in self.levels), *self.tail)
            if row not in self.seen and self.space.can_run(row):
                self.seen.add(row)
                found.append((trial, row))
            else:
                self.study.tell(trial, state=self.failed)
            if len(found) == count:
                return found
        for row in self.unseen(count - len(found)):  # it repeats itself: look where it has not looked
            found.append((self.study.ask(), row))
        return found

    def unseen(self, count: int) -> list[Row]:
        """Admissible rows that were not asked for yet: evenly spread over what is left, or drawn."""
        if self.space.is_listed:
            left = [row for row in self.space.rows if row not in self.seen]
            places = np.unique(np.linspace(0, len(left) - 1, count).astype(int)) if left and count > 0 else []
            chosen = [left[i] for i in places]
        else:
            chosen = self.space.drawn(self.rng, count, self.seen)
        self.seen.update(chosen)
        return chosen

    def level(self, trial: Any, path: str) -> Any:
        levels = self.levels[path]
        if BY_PATH[path].kind in ("int", "float"):
            return levels[trial.suggest_int(path, 0, len(levels) - 1)]
        return trial.suggest_categorical(path, levels)

    def tell(self, trial: Any, values: Sequence[float]) -> None:
        """How an asked row went; one that was not the sampler's own idea teaches it nothing."""
        known = all(np.isfinite(v) for v in values) and len(trial.params) == len(self.levels)
        self.study.tell(trial, list(values) if known else None, state=None if known else self.failed)
