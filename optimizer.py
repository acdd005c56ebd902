"""The search: phases of trials, what each recommends, and the settings that the last one ends with.

    grid (data/grids) -> combinations -> trials, many per kernel call (core.search) -> figures and equity by session
    -> the best plateau of a phase is where the next begins -> luck, robustness, walk-forward -> reports/<run id>/

A trial is a backtest: the same market, settings and functions, hence the same money. Nothing here knows how a trial is
run or who runs it (core.search.workers, core.search.ray_engine); a search gives the same bytes whoever does.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from core.config import Config
from core.errors import ConfigError, DataError, QuantorError
from core.market.calendar import day_text
from core.market.store import Store, days_between
from core.metrics import SESSIONS_PER_YEAR
from core.search.coarse_stage import leaders, rank, survivors
from core.search.cross_validation import trainings_of
from core.search.database import Database
from core.search.evaluate import Hasher, Outcome, Task
from core.search.findings import TESTED_GROUPS, longest_hold
from core.search.grid import Grid, Phase, Row, levels_of_grid
from core.search.methods import ROUND, Suggester, sampled
from core.search.objectives import PARETO, scores
from core.search.patience import PATIENCE
from core.search.records import Coarse, Found, Gathered, PhaseFound, Plan, Progress, levels_of_rows
from core.search.request import OutOfSample, Request, engine_of, plan_of
from core.search.robustness import Ground, ground_of, neighbours, plateau
from core.search.shapes import Neighbour
from core.search.space import Space, changed, check_acts, check_ahead, steps_from
from core.search.windows import KINDS, Drift, Window, drift, efficiency, stitched, walk_forward
from core.search.workers import TrialEngine
from core.trials import METRIC


class Search:
    """One search on one market: who runs its trials, where they are kept, who is told."""

    def __init__(
        self, store: Store, base: Config, engine: TrialEngine, database: Database, plan: Plan,
        watch: Callable[[Progress], None] = lambda progress: None,
    ) -> None:  # fmt: skip
        self.store, self.base, self.engine, self.database = store, base, engine, database
        self.plan, self.watch = plan, watch
        self.began = time.monotonic()
        self.done = self.total = self.resumed = 0
        self.coarse = Coarse(0, 0, 0)
        self.best: float | None = None
        self.ended = True
        self.failure: QuantorError | None = None  # what ended it early, beside Ctrl-C
        self.hasher_of = cache(lambda paths: Hasher(self.base.values, paths))

    def run(self, grid: Grid) -> Found:
        """All phases. Ctrl-C, or a phase that cannot run from what was chosen, ends it with what is done."""
        check_ahead(grid, changed(self.base, dict(self.plan.fixed), "phase"), self.plan.method)
        chosen = dict(self.plan.fixed)
        phases: list[PhaseFound] = []
        self.total = self.expected(grid)
        for phase in grid.phases:
            try:
                found = self.run_phase(phase, chosen)
            except (QuantorError, KeyboardInterrupt) as reason:
                if not phases:
                    raise
                self.end(reason)
                break
            if found is not None:
                phases.append(found)
                if found.chosen >= 0:
                    chosen.update(zip(found.paths, found.rows[found.chosen], strict=True))
            if not self.ended:
                break
        beyond = self.steps_beyond(grid, phases, chosen) if self.ended else ()
        fixed = dict(self.plan.fixed)
        recommended = changed(self.base, {p: v for p, v in chosen.items() if p not in fixed}, "recommended")
        seconds = time.monotonic() - self.began
        return Found(
            grid,
            self.base,
            self.plan,
            phases,
            recommended,
            self.ended,
            self.resumed,
            seconds,
            self.coarse,
            beyond,
            self.failure,
        )

    def steps_beyond(self, grid: Grid, phases: list[PhaseFound], chosen: dict[str, Any]) -> tuple[Neighbour, ...]:
        """One step from the recommended trial along each setting of the phases beside its own.

        Its own phase told its plateau by its own settings: what a step costs along the others is not known otherwise.
        Windows of a walk-forward ask for choices alone.
        """
        last = next((phase for phase in reversed(phases) if phase.chosen >= 0), None)
        if last is None or self.plan.fixed:
            return ()
        here = changed(self.base, chosen, "steps")
        steps = list(steps_from(grid, last.phase, here))
        if not steps:
            return ()
        names = [path for path, _ in steps]
        paths = (*last.paths, *dict.fromkeys(path for path in names if path not in last.paths))
        own = {**{path: here[path] for path in paths}, **dict(zip(last.paths, last.rows[last.chosen], strict=True))}
        got = Gathered([tuple({**own, path: level}.values()) for path, level in steps])
        self.total += len(steps)
        try:
            self.collect("steps beyond", paths, got, list(range(len(steps))))
        except QuantorError as reason:
            self.end(reason)
        score = scores(self.plan.wish, got.figures)
        return tuple(Neighbour(names[i], float(score[i])) for i in got.done().tolist())

    def end(self, reason: BaseException) -> None:
        """End early, with what is done."""
        self.ended, self.failure = False, reason if isinstance(reason, QuantorError) else None

    def expected(self, grid: Grid) -> int:
        """How many trials the search will have: of phases that begin where others end, as far as it can be told."""
        total = 0
        for phase in grid.phases:
            combinations = 1
            for levels in phase.levels.values():
                combinations *= len(levels)
            total += combinations if self.plan.method == "grid" else min(self.plan.trials, combinations)
        return total

    def run_phase(self, phase: Phase, chosen: dict[str, Any]) -> PhaseFound | None:
        """One phase beside what the earlier ones chose; None where Ctrl-C came before its first trial ended."""
        here = changed(self.base, chosen, "phase")
        space = Space(phase, here)
        check_acts(space, here)
        before = {path: value for path, value in chosen.items() if path not in space.paths}
        paths = (*before, *space.paths)
        head = tuple(before.values())
        if self.plan.method in ("tpe", "cmaes"):
            return self.finished(phase, paths, self.suggested(space, paths, head))
        rows = [(*head, *row) for row in sampled(space, self.plan.method, self.plan.trials, self.plan.seed)]
        if not rows:
            raise space.nothing_left()
        if self.plan.coarse:
            return self.coarsely(phase, paths, rows)
        got = Gathered(rows)
        self.collect(phase.name, paths, got, list(range(len(rows))))
        return self.finished(phase, paths, got)

    def coarsely(self, phase: Phase, paths: tuple[str, ...], rows: list[Row]) -> PhaseFound | None:
        """In full: what closed trades rank first, what only a full run can tell, and all a step from the best of them.

        Those steps are what a plateau is told by; beside the best without them, only what ranks well would lie.
        """
        ranked = rank(self.engine.evaluator, Task(paths, tuple(rows)))
        self.database.keep_ranked(ranked.hashes)
        kept = survivors(ranked, self.plan.wish, self.plan.coarse)
        self.total += len(kept) - len(rows)
        got = Gathered([rows[i] for i in kept])
        self.collect(phase.name, paths, got, list(range(len(kept))))
        ground, beside = ground_of(levels_of_rows(phase, paths, rows)), list[int]()
        if self.ended:
            score = scores(self.plan.wish, got.figures)
            best = np.argsort(-score, kind="stable")[: min(self.plan.coarse, int(np.isfinite(score).sum()))]
            beside = np.setdiff1d(neighbours(ground, np.array(kept)[best]), kept).tolist()
            self.total += len(beside)
            self.collect(phase.name, paths, got, got.more([rows[i] for i in beside]))
        told = Coarse(len(rows), ranked.unranked(), len(beside))
        self.coarse = Coarse(*(a + b for a, b in zip(self.coarse, told, strict=True)))
        return self.finished(phase, paths, got, ground.at(np.array([*kept, *beside])[got.done()]))

    def finished(
        self, phase: Phase, paths: tuple[str, ...], got: Gathered, ground: Ground | None = None
    ) -> PhaseFound | None:
        kept = got.done()
        if not len(kept):
            return None
        rows, hashes = [got.rows[i] for i in kept], [got.hashes[i] for i in kept]
        leaders, ledger = np.unique(got.leader[kept], return_inverse=True)
        equity = np.stack([got.equity[i] for i in leaders.tolist()])
        figures = got.figures[kept]
        score = scores(self.plan.wish, figures)
        found = PhaseFound(phase, paths, rows, hashes, figures, equity, ledger, score, -1)
        if ground is None:
            ground = ground_of(levels_of_rows(phase, paths, got.rows))
            ground = ground if len(kept) == len(got.rows) else ground.at(kept)
        return found._replace(chosen=plateau(ground, score), ground=ground)

    def suggested(self, space: Space, paths: tuple[str, ...], head: Row) -> Gathered:
        """Rounds of suggestions, each told before the next is asked for."""
        both = self.plan.wish.objective == PARETO
        suggester = Suggester(space, self.plan.method, both, self.plan.seed)
        got = Gathered([])
        wanted = min(self.plan.trials, len(space.rows) if space.is_listed else space.size)
        while len(got.rows) < wanted and self.ended:
            asked = suggester.ask(min(ROUND, wanted - len(got.rows)))
            if not asked:
                break
            places = got.more([(*head, *row) for _, row in asked])
            self.collect(space.phase.name, paths, got, places)
            if not self.ended:
                break
            score = scores(self.plan.wish, got.figures[places])
            for (trial, _), place, value in zip(asked, places, score, strict=True):
                figures = got.figures[place]
                pair = [figures[METRIC["net_profit"]], figures[METRIC["max_drawdown"]]]
                suggester.tell(trial, pair if both and np.isfinite(value) else [value])
        return got

    def collect(self, name: str, paths: tuple[str, ...], got: Gathered, places: list[int]) -> None:
        """Run the rows at these places, or take them from what was kept before; each piece is committed as it comes."""
        try:
            with PATIENCE.hearing():
                if self.plan.resume:
                    places = self.remembered(name, paths, got, places)
                for led, outcome, source in self.pieces(paths, [got.rows[i] for i in places]):
                    self.database.keep(outcome.hashes, outcome.figures, outcome.equity, source)
                    where = np.array([places[i] for i in led])
                    first = where[np.unique(source, return_index=True)[1]]
                    got.take(where, outcome.hashes, outcome.figures[source], first[source])
                    got.equity.update(zip(first.tolist(), outcome.equity, strict=True))
                    self.told(name, len(where), outcome.figures)
        except (KeyboardInterrupt, DataError) as reason:  # no room to keep them, or workers that die again and again
            self.end(reason)

    def pieces(self, paths: tuple[str, ...], rows: list[Row]) -> Iterator[tuple[list[int], Outcome, Any]]:
        """(places, outcome, which of its m ledgers each place has) as they come; of equal trials the first is run.

        Places stand by ledger, the one that was run first.
        """
        lead = leaders(self.engine.evaluator, Task(paths, tuple(rows)))
        ran, count = np.unique(lead, return_counts=True)
        order, begins = np.argsort(lead, kind="stable"), np.cumsum(count) - count
        for piece in self.engine.run(paths, [rows[i] for i in ran]):
            asked = np.array(piece.rows)
            source = np.repeat(np.arange(len(asked)), count[asked])
            places = np.concatenate([order[begins[i] : begins[i] + count[i]] for i in asked]).tolist()
            same = len(places) == len(asked)
            hashes = piece.outcome.hashes if same else tuple(self.hashes_of(paths, [rows[i] for i in places]))
            yield places, piece.outcome._replace(hashes=hashes), source

    def remembered(self, name: str, paths: tuple[str, ...], got: Gathered, places: list[int]) -> list[int]:
        """Take what an earlier search finished; the places that are left."""
        hashes = list(self.hashes_of(paths, [got.rows[i] for i in places]))
        known = self.database.found(hashes)
        left = []
        for place, key in zip(places, hashes, strict=True):
            if key in known:
                figures, equity = known[key]
                got.take([place], [key], figures, place)
                got.equity[place] = equity
                self.resumed += 1
                self.told(name, 1, figures[None])
            else:
                left.append(place)
        return left

    def hashes_of(self, paths: Sequence[str], rows: Sequence[Row]) -> Iterator[str]:
        """Config.hash of each row."""
        return map(self.hasher_of(tuple(paths)).of, rows)

    def told(self, name: str, count: int, figures: Any) -> None:
        self.done += count
        score = scores(self.plan.wish, figures)
        if np.isfinite(score).any():
            best = float(np.nanmax(score))
            self.best = best if self.best is None else max(self.best, best)
        seconds = time.monotonic() - self.began
        self.watch(Progress(name, self.done, max(self.total, self.done), seconds, self.resumed, self.best))


def search(
    store: Store, base: Config, grid: Grid, request: Request, watch: Callable[[Progress], None]
) -> tuple[Found, int]:
    """(what was found, settings tried on this market by now)."""
    plan = plan_of(request, grid, base["market.seed"])
    with Database(store.hash) as database, closing(engine_of(store, base, request)) as engine:
        found = Search(store, base, engine, database, plan, watch).run(grid)
        try:
            return found, database.logged()
        except DataError as error:
            return found._replace(ended=False, failure=found.failure or error), found.count()


def check_out_of_sample(store: Store, base: Config, grid: Grid, wanted: OutOfSample, coarse: bool = False) -> None:
    """Refuse windows of a walk-forward and groups of a cross-validation that the market cannot fill."""
    days, purge = days_between(store, base["market.start"], base["market.end"]), longest_hold(grid, base)
    if wanted.kind is not None:
        walk_forward(days, wanted.kind, wanted.windows, purge, wanted.embargo_days)
    if wanted.groups is not None and coarse:
        raise ConfigError("--cross-validate takes all trials, and --coarse runs the best of the whole sample alone")
    if wanted.groups is not None and len(grid.phases) > 1:
        raise ConfigError(
            f"--cross-validate is for grids of one phase; {grid.name} has {len(grid.phases)}, and the later ones begin "
            "with what the tested sessions chose"
        )
    if wanted.groups is not None:
        trainings_of(days, wanted.groups, TESTED_GROUPS, purge, wanted.embargo_days)


def logged(store: Store) -> int:
    """Settings tried on a market by now, by hand and by every search."""
    with Database(store.hash) as database:
        return database.logged()


class Step(NamedTuple):
    """One window of a walk-forward."""

    window: Window
    train: tuple[str, str]  # first and last date
    test: tuple[str, str]
    counted: bool  # whether a trial of the training did; else the test trades what the search began with
    settings: dict[str, Any]  # chosen in training, by varied path
    in_sample: float | None  # net profit a year, $
    out_of_sample: float | None
    in_sharpe: float | None
    out_sharpe: float | None
    start_cents: int
    equity: Any  # int64 (sessions of the test), cents


class Walked(NamedTuple):
    """A walk-forward: every window searched anew, its choice traded in the next test."""

    kind: str
    purge_days: int
    embargo_days: int
    steps: list[Step]
    equity: Any  # int64: the tests one after the other
    efficiency: list[float | None]
    overall: float | None
    drift: Drift
    trials: int


def walk(
    store: Store, base: Config, grid: Grid, request: Request, wanted: OutOfSample, watch: Callable[[Progress], None]
) -> Walked:
    """Search each training anew, trade its choice in the test that follows, and put the tests together."""
    kind = wanted.kind or KINDS[0]
    plan = plan_of(request, grid, base["market.seed"])
    days, purge = days_between(store, base["market.start"], base["market.end"]), longest_hold(grid, base)
    found: list[Step] = []
    trials, cash = 0, round(base["account.starting_cash"] * 100)
    with Database(store.hash) as database, closing(engine_of(store, base, request)) as engine:
        for window in walk_forward(days, kind, wanted.windows, purge, wanted.embargo_days):
            step, count = step_of(store, base, grid, plan, engine, database, window, days, cash, watch)
            found.append(step)
            trials, cash = trials + count, int(step.equity[-1])
    ratios, overall = efficiency([s.in_sample for s in found], [s.out_of_sample for s in found])
    levels = levels_of_grid(grid)
    return Walked(
        kind, purge, wanted.embargo_days, found, stitched([(s.start_cents, s.equity) for s in found]), ratios, overall,
        drift([s.settings for s in found if s.counted], levels), trials,
    )  # fmt: skip


def step_of(
    store: Store, base: Config, grid: Grid, plan: Plan, engine: TrialEngine, database: Database, window: Window,
    days: Any, cash: int, watch: Callable[[Progress], None],
) -> tuple[Step, int]:  # fmt: skip
    """One window: (what it chose and earned, trials of its search)."""
    train = (day_text(days[window.train_first]), day_text(days[window.train_last]))
    test = (day_text(days[window.test_first]), day_text(days[window.test_last]))
    fixed = (("market.start", train[0]), ("market.end", train[1]))
    found = Search(store, base, engine, database, plan._replace(fixed=fixed), watch).run(grid)
    if not found.ended:
        raise found.failure or KeyboardInterrupt
    chosen = [phase for phase in found.phases if phase.chosen >= 0]
    paths = list(dict.fromkeys(path for phase in grid.phases for path in (*phase.levels, *phase.fixed)))
    values = {path: found.recommended[path] for path in paths}
    extra = ("market.start", "market.end", "account.starting_cash")
    row = (*values.values(), *test, cash / 100.0)
    piece = next(iter(engine.run((*paths, *extra), [row])))
    database.keep(piece.outcome.hashes, piece.outcome.figures, piece.outcome.equity)
    inside = chosen[-1].figures[chosen[-1].chosen] if chosen else None
    outside = piece.outcome.figures[0]
    levels = {path: found.recommended[path] for phase in grid.phases for path in phase.levels}
    return Step(
        window, train, test, bool(chosen), levels,
        a_year(inside, window.train_last - window.train_first + 1), a_year(outside, len(piece.outcome.equity[0])),
        known(inside, "sharpe"), known(outside, "sharpe"), cash, piece.outcome.equity[0],
    ), found.count()  # fmt: skip


def known(figures: Any, name: str) -> float | None:
    """A metric, None where there is none."""
    return None if figures is None or not np.isfinite(figures[METRIC[name]]) else float(figures[METRIC[name]])


def a_year(figures: Any, sessions: int) -> float | None:
    """Net profit in $ a year of so many sessions."""
    net = known(figures, "net_profit")
    return None if net is None else net * SESSIONS_PER_YEAR / sessions
