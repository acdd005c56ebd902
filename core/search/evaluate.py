"""Trials on one market: from changed settings to their figures, by the shared sweep where it can follow them.

A trial is a backtest. Those that the sweep does not follow are run by the engine itself, row by row; both ways end in
the same figures, to the last bit of what is counted in cents (tests/laws/test_sweep.py).
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from backtest_engine import check_market, room_for, run_rows, script_of, slots_of
from core.config import Config, part_of, read_fees
from core.costs import costs_from
from core.market.store import Store, depth_of, frozen, market_of, rows_between
from core.portfolio import new_book, new_ledger
from core.report.measure import cash_returns_between
from core.risk_manager import limits_from
from core.search.views import Views
from core.shared import new_shared
from core.sweep import sweep
from core.trials import EXTREMES, TRIAL_METRICS, rows_summary, scratch_for, trial_figures
from core.types import NO_ACTION, PORTFOLIO, Book, Costs, F, Ledger, Limits, Market, Rules, dtype_of, record_of
from strategies.rules import rules_from
from strategies.structures import STRUCTURES

# Settings that neither choose a structure nor change what its quotes are, and the fields of Rules that they are:
# trials that differ in these alone share candidates, and one call runs them all.
FREE = {
    "strategy.max_positions": "max_positions",
    "strategy.size.contracts": "contracts",
    "strategy.size.max_risk_frac": "max_risk_frac",
    "strategy.exits.profit_frac": "profit_frac",
    "strategy.exits.stop_multiple": "stop_multiple",
    "strategy.exits.exit_dte": "exit_dte",
    "strategy.exits.max_hold_days": "max_hold_days",
    "strategy.exits.trail_from": "trail_from",
    "strategy.exits.trail_giveback": "trail_giveback",
    "strategy.exits.stop_scale_range": "stop_scale_range",
    "strategy.entry.wait_after_exit": "wait_after_exit",
    "strategy.entry.wait_after_loss": "wait_after_loss",
}
DEPTH = tuple(f"strategy.filters.min_{name}" for name in ("size", "interest", "volume"))


class Task(NamedTuple):
    """Trials by what they change: the paths, and a value of each for every trial."""

    paths: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]


class Outcome(NamedTuple):
    """What trials did, in the order in which they were asked for."""

    hashes: tuple[str, ...]  # of their settings
    figures: Any  # float64 (n, len(TRIAL_METRICS)), NaN undefined
    equity: Any  # int64 (n, sessions): cents at each session's end


class Group(NamedTuple):
    """Trials that share a view of the market, costs, caps and candidates."""

    values: Mapping[str, Any]  # of the first
    rules: Rules
    limits: Limits
    costs: Costs
    start_cents: int
    members: Any  # int64: places of the trials in the task
    free: dict[str, Any]  # fields of Rules by name, a value per trial


def kinds_of(record: Any) -> Any:
    """The dtype of a NamedTuple of numbers as a record; see record_of."""
    return dtype_of([(name, "i8" if isinstance(value, int) else "f8") for name, value in record._asdict().items()])


def repeated(record: Any, n: int) -> Any:
    """n equal records."""
    return np.full(n, np.array(tuple(record), kinds_of(record))).view(np.recarray)


@cache
def fees_by_name(name: str) -> dict[str, float]:
    return read_fees(name)


def is_followed(rules: Rules, limits: Limits) -> bool:
    """Whether the sweep knows everything that these settings can ask for."""
    whole = not (rules.by_side or rules.cheap_short or rules.watches_market)
    plain = rules.exit_breach >= 1.0 and rules.tested_action == NO_ACTION and rules.roll_out == 0
    unhedged = rules.delta_band <= 0.0 and not rules.smile
    kept = limits.margin != PORTFOLIO and not limits.liquidates and limits.assigned_share >= 1.0
    return bool(whole and plain and unhedged and kept)


def shares_candidates(rules: Rules) -> bool:
    """Whether what may be opened on a row depends on the row alone; else it depends on when the session first asked."""
    return not rules.by_edge and not (rules.max_breach < 1.0 and rules.local_vol)


class Hasher:
    """Config.hash of settings that differ from a base in a few paths, without writing them all out each time."""

    def __init__(self, base: Mapping[str, Any], paths: Sequence[str]) -> None:
        self.order = sorted(range(len(paths)), key=lambda i: paths[i])
        self.paths = tuple(paths)
        self.known: dict[tuple[str, Any], str] = {}
        pieces: list[list[str]] = [[]]
        for path in sorted(base):
            if path in paths:
                pieces.append([])
            else:
                pieces[-1].append(part_of(path, base[path]))
        joined = [", ".join(piece) for piece in pieces]
        self.head = hashlib.sha256(f"{{{joined[0]}".encode())
        self.begins = bool(joined[0])
        self.between = [f", {text}" if text else "" for text in joined[1:]]

    def part(self, path: str, value: Any) -> str:
        key = (path, value)
        if key not in self.known:
            self.known[key] = part_of(path, value)
        return self.known[key]

    def of(self, row: Sequence[Any]) -> str:
        digest, first = self.head.copy(), not self.begins
        texts = []
        for place, i in enumerate(self.order):
            texts.append(f"{'' if first else ', '}{self.part(self.paths[i], row[i])}{self.between[place]}")
            first = False
        digest.update(f"{''.join(texts)}}}".encode())
        return digest.hexdigest()


class Evaluator:
    """A market, the settings that trials begin with, and everything that trials share in this process."""

    def __init__(self, store: Store, base: Config) -> None:
        self.store, self.base = store, base
        self.views = Views(store, base["data.intraday_quotes"])
        self.market = self.views.market
        self.width = int((self.market.ses.end - self.market.ses.start).max())
        self.shared: Any = None
        self.candidates_of: Any = None
        self.ledgers: dict[tuple[int, int, int], Ledger] = {}
        self.hashers: dict[tuple[str, ...], Hasher] = {}

    def evaluate(self, task: Task) -> Outcome:
        """Run the task's trials; ConfigError where this market cannot follow a setting."""
        groups = self.groups(task)
        first, last = self.window(groups)
        sessions = int(self.market.row[last - 1].session - self.market.row[first].session) + 1
        figures = np.full((len(task.rows), len(TRIAL_METRICS)), np.nan)
        equity = np.zeros((len(task.rows), sessions), np.int64)
        for group in groups:
            self.run_group(group, first, last, figures, equity)
        if task.paths not in self.hashers:
            self.hashers[task.paths] = Hasher(self.base.values, task.paths)
        return Outcome(tuple(map(self.hashers[task.paths].of, task.rows)), figures, equity)

    def groups(self, task: Task) -> list[Group]:
        """The trials by what separates them, in order of the first of each."""
        apart = [i for i, path in enumerate(task.paths) if path not in FREE]
        free = [i for i, path in enumerate(task.paths) if path in FREE]
        found: dict[tuple[Any, ...], list[int]] = {}
        for place, row in enumerate(task.rows):
            found.setdefault(tuple(row[i] for i in apart), []).append(place)
        return [self.group(task, places, free) for places in found.values()]

    def group(self, task: Task, places: list[int], free: list[int]) -> Group:
        values = {**self.base.values, **dict(zip(task.paths, task.rows[places[0]], strict=True))}
        fields = {FREE[task.paths[i]]: [task.rows[place][i] for place in places] for i in free}
        legs = STRUCTURES[values["strategy.structure"]].legs
        return Group(
            values=values,
            rules=rules_from(values),
            limits=limits_from(values),
            costs=costs_from(values, fees_by_name(values["costs.fees"]), legs),
            start_cents=round(values["account.starting_cash"] * 100),
            members=np.array(places),
            free=fields,
        )

    def window(self, groups: Sequence[Group]) -> tuple[int, int]:
        """Rows of the run: the same for all trials of a task."""
        found = {(group.values["market.start"], group.values["market.end"]) for group in groups}
        assert len(found) == 1, "a task's trials run over one window"
        return rows_between(self.store, *found.pop())

    def seen_by(self, group: Group) -> Market:
        """The market as a group's settings see it: signals, gates, depth of quotes where a filter reads it."""
        market = self.views.of(group.values)
        if any(group.values[path] > 0 for path in DEPTH):
            market = market._replace(q_depth=frozen(depth_of(self.store)))
        return market

    def run_group(self, group: Group, first: int, last: int, figures: Any, equity: Any) -> None:
        market = self.seen_by(group)
        check_market(self.store, market, Config(dict(group.values), {}), group.rules, group.costs)
        rules = repeated(group.rules, len(group.members))
        for name, column in group.free.items():
            rules[name] = column
        left = np.arange(len(group.members))
        if is_followed(group.rules, group.limits):
            left = self.follow(market, group, rules, first, last, figures, equity)
        for i in left:
            place = group.members[i]
            self.run_alone(market, group, rules[i], first, last, figures[place], equity[place])

    def ledger(self, group: Group, positions: int) -> Ledger:
        """Room for a run of any of a group's trials; written over by the next."""
        config = Config({**group.values, "strategy.max_positions": positions}, {})
        room = room_for(config, self.market)
        if room not in self.ledgers:
            self.ledgers = {room: new_ledger(len(self.market.row), *room)}
        out = self.ledgers[room]
        out.t_int[:] = 0
        return out

    def follow(self, market: Market, group: Group, rules: Any, first: int, last: int, figures: Any, equity: Any) -> Any:
        """The sweep over a group; returns the indices of trials that it left to the engine."""
        n, slots, sessions = len(rules), int(rules.max_positions.max()), equity.shape[1]
        shared = self.shared_for(slots, market, group)
        out = self.ledger(group, slots)
        chain, worst = scratch_for(sessions, len(out.t_int))
        mine, days = np.empty((n, len(TRIAL_METRICS))), np.zeros((n, sessions), np.int64)
        followed = np.zeros(n, np.uint8)
        sweep(
            market, rules, repeated(group.limits, n), record_of(group.costs), new_book(0, slots, self.width),
            new_book(0, 1, self.width), out, shared, first, last, np.full(n, group.start_cents),
            cash_returns_between(market, group.costs, first, last), chain, worst, np.zeros(EXTREMES), days, mine,
            followed,
        )  # fmt: skip
        done = followed == 1
        figures[group.members[done]], equity[group.members[done]] = mine[done], days[done]
        return np.nonzero(~done)[0]

    def shared_for(self, slots: int, market: Market, group: Group) -> Any:
        """What trials share: paths stay from group to group, candidates while the entries stay the same."""
        if self.shared is None or len(self.shared.lane) < slots:
            self.shared = new_shared(len(self.market.row), slots, self.width)
            self.candidates_of = None
        if len(group.members) == 1 or not shares_candidates(group.rules):
            return self.shared._replace(candidate=self.shared.candidate[:0])
        fixed = group.rules._replace(**dict.fromkeys(FREE.values(), 0))
        key = (self.views.key(group.values), group.costs, fixed)
        if key != self.candidates_of:
            self.shared.candidate.known = 0
            self.candidates_of = key
        return self.shared

    def run_alone(
        self, market: Market, group: Group, rules: Any, first: int, last: int, figures: Any, equity: Any
    ) -> None:
        """One trial by the engine's own pass."""
        out = self.ledger(group, int(rules.max_positions))
        slots = slots_of(group.rules._replace(max_positions=int(rules.max_positions)), group.limits)
        book: Book = new_book(group.start_cents, slots, self.width)
        limits, costs = record_of(group.limits), record_of(group.costs)
        run_rows(market, rules, limits, costs, book, out, script_of(market, ()), first, last)
        ends = np.minimum(market.ses.end[market.row[first].session : market.row[last - 1].session + 1], last)
        extremes = np.zeros(EXTREMES)
        start = group.start_cents
        rows_summary(out.rows[:, first:last], np.ascontiguousarray(ends, np.int64), first, start, equity, extremes)
        chain, worst = scratch_for(len(equity), len(out.t_int))
        trial_figures(
            np.ascontiguousarray(market.ses.day), np.ascontiguousarray(market.row.session), last - first, last,
            out.t_int, int(book.head.trades), int(out.f_int[: book.head.fills, F["fee"]].sum()), equity, start,
            cash_returns_between(market, group.costs, first, last), extremes, chain, worst, figures,
        )  # fmt: skip

    def warm(self) -> None:
        """Load the compiled sweep before workers are forked, so that they share it."""
        first, last = rows_between(self.store, self.base["market.start"], self.base["market.end"])
        sessions = int(self.market.row[last - 1].session - self.market.row[first].session) + 1
        group = self.group(Task((), ((),)), [0], [])
        rules = repeated(group.rules, 0)
        self.views.of(group.values)
        rules_group = group._replace(members=np.zeros(0, np.int64))
        none = np.zeros((0, sessions), np.int64)
        shared = self.shared_for(group.rules.max_positions, self.market, rules_group)
        out = self.ledger(group, group.rules.max_positions)
        chain, worst = scratch_for(sessions, len(out.t_int))
        book = new_book(0, group.rules.max_positions, self.width)
        sweep(
            self.market, rules, repeated(group.limits, 0), record_of(group.costs), book, book, out, shared, first, last,
            np.zeros(0, np.int64), np.zeros(sessions), chain, worst, np.zeros(EXTREMES), none,
            np.zeros((0, len(TRIAL_METRICS))), np.zeros(0, np.uint8),
        )  # fmt: skip


def cash_returns_of(store: Store, config: Config) -> Any:
    """What cash earned in each session of a run of these settings; see core.report.measure.cash_returns_between."""
    market = market_of(store, config["data.intraday_quotes"])
    costs = costs_from(config.values, fees_by_name(config["costs.fees"]), 1)
    first, last = rows_between(store, config["market.start"], config["market.end"])
    return cash_returns_between(market, costs, first, last)


def private_mb() -> float | None:
    """Private memory of this process that it has written, mapped pages not counted (Linux; else None)."""
    path = f"/proc/{os.getpid()}/smaps_rollup"
    if not os.path.exists(path):
        return None
    with open(path, encoding="utf-8") as file:
        return sum(int(line.split()[1]) for line in file if line.startswith("Private_Dirty:")) / 1024.0
