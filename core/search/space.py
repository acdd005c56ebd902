"""The combinations of a phase: all of them, or some drawn where they are too many to write down."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cached_property
from math import prod
from typing import Any

import numpy as np

from core.config import Config, check_together
from core.errors import ConfigError
from core.search.grid import Grid, Phase, Row, levels_of_grid
from core.search.needs import why_inert
from core.settings import BY_PATH

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
        self.contradiction: str | None = None  # of the last combination that contradicted itself

    def admits(self, row: Row) -> bool:
        """Whether the conditions hold; a ConfigError for a combination that contradicts itself."""
        self.values.update(zip(self.paths, row, strict=True))
        if not self.phase.admits(self.values):
            return False
        try:
            check_together(self.values)
        except ConfigError as error:
            self.contradiction = f"{error} (leave it out with a condition under where)"
            raise ConfigError(f"phase {self.phase.name}: {self.contradiction}") from None
        return True

    def can_run(self, row: Row) -> bool:
        """Whether it is admitted and contradicts nothing: what a draw asks."""
        try:
            return self.admits(row)
        except ConfigError:
            return False

    @cached_property
    def is_open(self) -> bool:
        """Whether the conditions hold that read nothing of what varies."""
        values = {**self.values, **self.phase.fixed}
        fixed = [condition for condition in self.phase.where if not set(condition.reads()) & set(self.phase.levels)]
        return all(condition.holds(values) for condition in fixed)

    @property
    def is_listed(self) -> bool:
        """Whether draws choose among all rows."""
        return self.size <= MOST_LISTED

    @cached_property
    def rows(self) -> list[Row]:
        """All of them, in the order of the paths, the last one fastest; a ConfigError where there are none."""
        self.check_size()
        if not self.is_open:
            raise self.nothing_left()
        rows = [row for found in self.phase.combinations() if self.admits(row := (*found, *self.tail))]
        if not rows:
            raise self.nothing_left()
        return rows

    @cached_property
    def runnable(self) -> list[Row]:
        """Those of all rows that contradict nothing, few of many: asked for where draws do not find them."""
        return [row for found in self.phase.combinations() if self.can_run(row := (*found, *self.tail))]

    def check_size(self) -> None:
        """Refuse to write down too many."""
        if self.size > MOST_COMBINATIONS:
            raise ConfigError(
                f"phase {self.phase.name} has {self.size:,} combinations, more than {MOST_COMBINATIONS:,}; "
                "leave out levels, or draw some with --method random, sobol or tpe"
            )

    def row_at(self, places: Sequence[int]) -> Row:
        """The combination with these places among the levels."""
        return (*(levels[i] for levels, i in zip(self.levels, places, strict=True)), *self.tail)

    def drawn(self, rng: np.random.Generator, count: int, known: Collection[Row] = ()) -> list[Row]:
        """Up to `count` distinct rows in the order drawn, none of the known.

        Where DRAWS for each do not find them, they are chosen among all rows, as far as those can be written down.
        """
        found = self.draws(rng, count, known)
        return [*found, *self.others(rng, count - len(found), {*known, *found})]

    def draws(self, rng: np.random.Generator, count: int, known: Collection[Row] = ()) -> list[Row]:
        """The same by DRAWS for each alone."""
        sizes = np.array([len(levels) for levels in self.levels])
        seen, found = set(known), list[Row]()
        for _ in range(DRAWS if count > 0 and self.is_open else 0):
            for places in rng.integers(0, sizes, (count, len(sizes))).tolist():
                row = self.row_at(places)
                if row not in seen and self.can_run(row):
                    seen.add(row)
                    found.append(row)
                if len(found) == count:
                    return found
        return found

    def others(self, rng: np.random.Generator, count: int, known: Collection[Row]) -> list[Row]:
        """Up to `count` rows beside the known, chosen among all; none where they cannot be written down."""
        if self.size > MOST_COMBINATIONS or count <= 0 or not self.is_open:
            return []
        left = [row for row in self.runnable if row not in known]
        chosen = rng.choice(len(left), min(count, len(left)), replace=False) if left else []
        return [left[i] for i in chosen]

    @cached_property
    def sample(self) -> list[Row]:
        """Some that are quickly drawn; none may be found where few are admitted."""
        return self.draws(np.random.default_rng(SAMPLE_SEED), SAMPLE)

    @cached_property
    def some(self) -> list[Row]:
        """All rows where they are listed, else a sample."""
        if self.is_listed:
            return self.rows
        found = self.sample or self.others(np.random.default_rng(SAMPLE_SEED), SAMPLE, ())
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
        also = f"; {self.contradiction}" if self.contradiction else ""
        return ConfigError(f"phase {self.phase.name}: its conditions {which}: {asked}{also}")


def check_acts(space: Space, base: Config) -> None:
    """A ConfigError for a varied setting that changes nothing in any of the combinations, or of a sample of them."""
    for path in space.phase.levels:
        reason: str | None = None
        for row in space.some:
            reason = why_inert(path, {**base.values, **dict(zip(space.paths, row, strict=True))})
            if reason is None:
                break
        if reason is not None:
            raise ConfigError(f"phase {space.phase.name} varies {path}, which changes nothing here: {reason}")


def check_ahead(grid: Grid, base: Config, method: str = "grid") -> None:
    """Refuse a later phase before any runs, where no choice of those before it could mend what is wrong with it.

    The first is looked at when its turn comes, which is before anything runs.
    Of those choices some are looked at: none, the first and the last level of each setting, each level by itself, and
    STARTS drawn ones, as far as the earlier phases' conditions admit them. A phase that can run from one of them is
    left to its turn.
    """
    for i, phase in enumerate(grid.phases[1:], 1):
        errors = []
        if method == "grid":
            Space(phase, base).check_size()
        for start in starts(grid.phases[:i], base):
            try:
                here = changed(base, start, "phase")
                space = Space(phase, here)
                if not space.is_open:
                    raise space.nothing_left()
                if space.is_listed or space.sample:  # else what is admitted is too rare to be looked for here
                    check_acts(space, here)
                break
            except ConfigError as error:
                errors.append(error)
        else:
            raise errors[0]


def starts(earlier: Sequence[Phase], base: Config) -> Iterator[dict[str, Any]]:
    """Some of what earlier phases may choose, with what they set: a later phase's word wins."""
    varied = {path: levels for phase in earlier for path, levels in phase.levels.items()}
    rng = np.random.default_rng(SAMPLE_SEED)
    picks: list[dict[str, Any]] = [{}]
    if varied:
        picks += [{path: levels[end] for path, levels in varied.items()} for end in (0, -1)]
        picks += [{path: level} for path, levels in varied.items() for level in levels]
        for _ in range(STARTS):
            picks.append({path: levels[rng.integers(len(levels))] for path, levels in varied.items()})
    for k, pick in enumerate(picks):
        values, admitted = dict[str, Any](), True
        for phase in earlier:
            values.update({path: pick[path] for path in phase.levels if path in pick})
            values.update(phase.fixed)
            admitted &= phase.admits({**base.values, **values})
        if admitted or k == 0:
            yield values


def steps_from(grid: Grid, last: Phase, here: Config) -> Iterator[tuple[str, Any]]:
    """(setting, level) of every step from settings along what other phases than the last one vary.

    Numbers by the next level each way, choices to every other one; steps that contradict nothing and that every phase
    admits that admits the settings themselves.
    """
    asking = [phase for phase in grid.phases if phase.admits(here.values)]
    for path, levels in levels_of_grid(grid).items():
        if path in last.levels or path in last.fixed or here[path] not in levels:
            continue
        place = levels.index(here[path])
        ordered = BY_PATH[path].kind in ("int", "float")
        for k, level in enumerate(levels):
            if k == place or (ordered and abs(k - place) > 1):
                continue
            values = {**here.values, path: level}
            try:
                check_together(values)
            except ConfigError:
                continue
            if all(phase.admits(values) for phase in asking):
                yield path, level


def changed(base: Config, values: Mapping[str, Any], source: str) -> Config:
    """Settings with some values by path."""
    return base.with_values(source=source, **{path.replace(".", "__"): value for path, value in values.items()})
