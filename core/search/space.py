"""The combinations of a phase: all of them, or some drawn where they are too many to write down."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cached_property
from math import prod
from typing import Any

import numpy as np

from core.config import Config, check_together
from core.errors import ConfigError
from core.search.grid import Grid, Phase, Row
from core.search.needs import why_inert

MOST_COMBINATIONS = 5_000_000  # that a full grid may have
MOST_LISTED = 100_000  # combinations up to which a draw chooses among all of them
DRAWS = 64  # that one wanted row may take
SAMPLE, SAMPLE_SEED, STARTS = 1000, 0, 64


class Space:
    """The combinations of a phase from given settings that its conditions admit: paths, and a value of each a trial."""

    def __init__(self, phase: Phase, base: Config) -> None:
        self.phase = phase
        self.paths = (*phase.levels, *phase.fixed)
        self.levels, self.tail = list(phase.levels.values()), tuple(phase.fixed.values())
        self.size = prod(map(len, self.levels))
        self.values = dict(base.values)

    def admits(self, row: Row) -> bool:
        """Whether the conditions hold; a ConfigError for a combination that contradicts itself."""
        self.values.update(zip(self.paths, row, strict=True))
        if not self.phase.admits(self.values):
            return False
        try:
            check_together(self.values)
        except ConfigError as error:
            raise ConfigError(f"phase {self.phase.name}: {error} (leave it out with a condition under where)") from None
        return True

    @property
    def is_listed(self) -> bool:
        """Whether draws choose among all rows."""
        return self.size <= MOST_LISTED

    @cached_property
    def rows(self) -> list[Row]:
        """All of them, in the order of the paths, the last one fastest; a ConfigError where there are none."""
        if self.size > MOST_COMBINATIONS:
            raise ConfigError(
                f"phase {self.phase.name} has {self.size:,} combinations, more than {MOST_COMBINATIONS:,}; "
                "leave out levels, or draw some with --method random, sobol or tpe"
            )
        rows = [row for found in self.phase.combinations() if self.admits(row := (*found, *self.tail))]
        if not rows:
            raise self.nothing_left()
        return rows

    def row_at(self, places: Sequence[int]) -> Row:
        """The combination with these places among the levels."""
        return (*(levels[i] for levels, i in zip(self.levels, places, strict=True)), *self.tail)

    def drawn(self, rng: np.random.Generator, count: int, known: Collection[Row] = ()) -> list[Row]:
        """Up to `count` distinct rows in the order drawn, none of the known; fewer where DRAWS each did not do."""
        sizes = np.array([len(levels) for levels in self.levels])
        seen, found = set(known), list[Row]()
        for _ in range(DRAWS if count > 0 else 0):
            for places in rng.integers(0, sizes, (count, len(sizes))).tolist():
                row = self.row_at(places)
                if row not in seen and self.admits(row):
                    seen.add(row)
                    found.append(row)
                if len(found) == count:
                    return found
        return found

    def some(self) -> list[Row]:
        """All rows where they are listed, else a sample."""
        if self.is_listed:
            return self.rows
        found = self.drawn(np.random.default_rng(SAMPLE_SEED), SAMPLE)
        if not found:
            raise self.nothing_left()
        return found

    def nothing_left(self) -> ConfigError:
        asked = ", ".join(
            f"{c.left} {c.sign} {c.right}"
            + "".join(f" ({path} is {self.values[path]})" for path in c.reads() if path not in self.phase.levels)
            for c in self.phase.where
        )
        which = "leave no combination" if self.size <= MOST_COMBINATIONS else f"left none of {DRAWS * SAMPLE:,} drawn"
        return ConfigError(f"phase {self.phase.name}: its conditions {which}: {asked}")


def check_acts(space: Space, base: Config) -> None:
    """A ConfigError for a varied setting that changes nothing in any of the combinations, or of a sample of them."""
    for path in space.phase.levels:
        reason: str | None = None
        for row in space.some():
            reason = why_inert(path, {**base.values, **dict(zip(space.paths, row, strict=True))})
            if reason is None:
                break
        if reason is not None:
            raise ConfigError(f"phase {space.phase.name} varies {path}, which changes nothing here: {reason}")


def check_ahead(grid: Grid, base: Config) -> None:
    """Refuse a phase before any runs, where no choice of those before it could mend what is wrong with it.

    Of those choices some are looked at: none, the first and the last level of each setting, each level by itself, and
    STARTS drawn ones. A phase that can run from one of them is left to its turn.
    """
    varied: dict[str, tuple[Any, ...]] = {}
    fixed: dict[str, Any] = {}
    for phase in grid.phases:
        errors = []
        for start in starts(varied):
            try:
                here = changed(base, {**fixed, **start}, "phase")
                check_acts(Space(phase, here), here)
                break
            except ConfigError as error:
                errors.append(error)
        else:
            raise errors[0]
        varied, fixed = {**varied, **phase.levels}, {**fixed, **phase.fixed}


def starts(varied: Mapping[str, tuple[Any, ...]]) -> Iterator[dict[str, Any]]:
    """Some of what earlier phases may choose."""
    yield {}
    if varied:
        yield {path: levels[0] for path, levels in varied.items()}
        yield {path: levels[-1] for path, levels in varied.items()}
        yield from ({path: level} for path, levels in varied.items() for level in levels)
        rng = np.random.default_rng(SAMPLE_SEED)
        for _ in range(STARTS):
            yield {path: levels[rng.integers(len(levels))] for path, levels in varied.items()}


def changed(base: Config, values: Mapping[str, Any], source: str) -> Config:
    """Settings with some values by path."""
    return base.with_values(source=source, **{path.replace(".", "__"): value for path, value in values.items()})
