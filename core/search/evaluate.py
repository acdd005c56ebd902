"""Trials on one market: from changed settings to their figures, by the shared sweep where it can follow them.

A trial is a backtest. Those that the sweep does not follow are run by the engine itself, row by row; both ways end in
the same figures, to the last bit of what is counted in cents (tests/laws/test_sweep.py).
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from backtest_engine import capacity, check_market, ledger_for, run_rows, script_of, slots_of
from core.config import Config, hash_of_parts, part_of, read_fees
from core.costs import costs_from
from core.market.store import Store, depth_of, frozen, rows_between
from core.portfolio import new_book
from core.report.measure import cash_returns_between
from core.risk_manager import limits_from
from core.search.views import Views
from core.sweep import new_shared, sweep
from core.trials import EXTREMES, TRIAL_METRICS, rows_summary, scratch_for, trial_figures
from core.types import NO_ACTION, PORTFOLIO, Book, Costs, F, Ledger, Limits, Market, Rules, dtype_of, record_of
from strategies.rules import rules_from
from strategies.structures import STRUCTURES

# Fields of Rules that neither choose a structure nor change what its quotes are: trials that differ in these alone
# share candidates. Every other field separates.
FREE = frozenset(
    "window_start window_end weekday_mask min_days_between max_new_per_day min_minutes_between max_positions contracts "
    "max_risk_frac profit_frac stop_multiple stop_on exit_dte max_hold_days time_exit_from edge_minutes "
    "wait_after_exit wait_after_loss fuzzy_scale high_vol_factor trend_factor crash_factor vol_low vol_high vol_floor "
    "vol_target kelly_frac kelly_min_trades trail_from trail_giveback stop_scale_range".split()
)
FIXED = tuple(i for i, name in enumerate(Rules._fields) if name not in FREE)
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


class Prepared(NamedTuple):
    """One trial as the kernels take it."""

    rules: Rules
    limits: Limits
    costs: Costs
    values: Mapping[str, Any]


def records_of(tuples: Sequence[Any]) -> Any:
    """NamedTuples of numbers as an array of records; see record_of."""
    kinds = [(name, "i8" if isinstance(value, int) else "f8") for name, value in tuples[0]._asdict().items()]
    table = np.array([tuple(values) for values in tuples], dtype_of(kinds))
    return table.view(np.recarray)


@cache
def fees_by_name(name: str) -> dict[str, float]:
    return read_fees(name)


def is_followed(rules: Rules, limits: Limits) -> bool:
    """Whether the sweep knows everything that these settings can ask for."""
    whole = not (rules.by_side or rules.cheap_short or rules.watches_market)
    plain = rules.exit_breach >= 1.0 and rules.tested_action == NO_ACTION and rules.roll_out == 0
    unhedged = rules.delta_band <= 0.0 and not rules.smile
    return bool(whole and plain and unhedged and limits.margin != PORTFOLIO and not limits.liquidates)


def shares_candidates(rules: Rules) -> bool:
    """Whether what may be opened on a row depends on the row alone; else it depends on when the session first asked."""
    return not rules.by_edge and not (rules.max_breach < 1.0 and rules.local_vol)


class Evaluator:
    """A market, the settings that trials begin with, and everything that trials share in this process."""

    def __init__(self, store: Store, base: Config) -> None:
        self.store, self.base = store, base
        self.views = Views(store, base["data.intraday_quotes"])
        self.market = self.views.market
        self.width = int((self.market.ses.end - self.market.ses.start).max())
        self.parts = {path: part_of(path, value) for path, value in sorted(base.values.items())}
        self.shared: Any = None
        self.ledgers: dict[tuple[int, int], Ledger] = {}
        self.known: dict[tuple[str, ...], Prepared] = {}
        self.deep: Market | None = None

    def evaluate(self, task: Task) -> Outcome:
        """Run the task's trials; ConfigError where this market cannot follow a setting."""
        prepared, hashes = self.prepare(task)
        first, last = self.window(prepared)
        sessions = int(self.market.row[last - 1].session - self.market.row[first].session) + 1
        figures = np.full((len(prepared), len(TRIAL_METRICS)), np.nan)
        equity = np.zeros((len(prepared), sessions), np.int64)
        for members in self.groups(prepared):
            self.run_group([prepared[i] for i in members], members, first, last, figures, equity)
        return Outcome(tuple(hashes), figures, equity)

    def prepare(self, task: Task) -> tuple[list[Prepared], list[str]]:
        """The trials' records and the hashes of their settings."""
        prefixes = tuple(path.partition(".")[0] for path in task.paths)
        prepared, hashes = [], []
        base_limits = limits_from(self.base.values)
        base_costs = self.costs_of(self.base.values)
        costly = "costs" in prefixes or "account" in prefixes or "strategy.structure" in task.paths
        for row in task.rows:
            values = {**self.base.values, **dict(zip(task.paths, row, strict=True))}
            parts = {**self.parts, **{path: part_of(path, value) for path, value in zip(task.paths, row, strict=True)}}
            hashes.append(hash_of_parts(parts.values()))
            limits = limits_from(values) if "risk" in prefixes or "assignment" in prefixes else base_limits
            costs = self.costs_of(values) if costly else base_costs
            prepared.append(Prepared(rules_from(values), limits, costs, values))
        return prepared, hashes

    def costs_of(self, values: Mapping[str, Any]) -> Costs:
        return costs_from(values, fees_by_name(values["costs.fees"]), STRUCTURES[values["strategy.structure"]].legs)

    def window(self, prepared: Sequence[Prepared]) -> tuple[int, int]:
        """Rows of the run: the same for all trials of a task."""
        found = {(p.values["market.start"], p.values["market.end"]) for p in prepared}
        assert len(found) == 1, "a task's trials run over one window"
        return rows_between(self.store, *found.pop())

    def groups(self, prepared: Sequence[Prepared]) -> list[list[int]]:
        """Indices of the trials that share a view of the market, costs and candidates, in order of the first."""
        found: dict[Any, list[int]] = {}
        for i, trial in enumerate(prepared):
            key = (self.views.key(trial.values), trial.costs, tuple(trial.rules[j] for j in FIXED))
            found.setdefault((key, is_followed(trial.rules, trial.limits)), []).append(i)
        return list(found.values())

    def run_group(
        self, group: list[Prepared], members: list[int], first: int, last: int, figures: Any, equity: Any
    ) -> None:
        """Run trials that share everything but FREE rules, limits and starting cash."""
        market = self.seen(group[0])
        for trial in group:
            check_market(self.store, market, Config(dict(trial.values), {}), trial.rules, trial.costs)
        left = np.arange(len(group))
        if is_followed(group[0].rules, group[0].limits):
            left = self.follow(market, group, members, first, last, figures, equity)
        for i in left:
            self.run_alone(market, group[i], first, last, figures[members[i]], equity[members[i]])

    def seen(self, trial: Prepared) -> Market:
        """The market as the trial's settings see it."""
        market = self.views.of(trial.values)
        if any(trial.values[path] > 0 for path in DEPTH):
            market = market._replace(q_depth=frozen(depth_of(self.store)))
        return market

    def ledger(self, group: Sequence[Prepared]) -> Ledger:
        """Room for a run of any of these trials; written over by the next."""
        configs = [Config(dict(trial.values), {}) for trial in group]
        largest = max(configs, key=lambda config: capacity(config, len(self.market.ses), 0))
        fresh = (capacity(largest, len(self.market.ses), 0), int(group[0].rules.roll_out or group[0].rules.smile))
        if fresh not in self.ledgers:
            self.ledgers = {fresh: ledger_for(largest, self.market)}
        return self.ledgers[fresh]

    def follow(
        self,
        market: Market,
        group: list[Prepared],
        members: list[int],
        first: int,
        last: int,
        figures: Any,
        equity: Any,
    ) -> Any:
        """The sweep over a group; returns the indices of trials that it left to the engine."""
        slots = max(slots_of(trial.rules, trial.limits) for trial in group)
        shared = self.shared_for(slots, len(group) > 1 and shares_candidates(group[0].rules))
        out = self.ledger(group)
        out.t_int[:] = 0
        sessions = equity.shape[1]
        chain, worst = scratch_for(sessions, len(out.t_int))
        mine, days = np.empty((len(group), len(TRIAL_METRICS))), np.zeros((len(group), sessions), np.int64)
        followed = np.zeros(len(group), np.uint8)
        starts = np.array([round(trial.values["account.starting_cash"] * 100) for trial in group], np.int64)
        sweep(
            market, records_of([t.rules for t in group]), records_of([t.limits for t in group]),
            record_of(group[0].costs), new_book(0, slots, self.width), new_book(0, 1, self.width), out, shared,
            first, last, starts, cash_returns_between(market, group[0].costs, first, last), chain, worst,
            np.zeros(EXTREMES), days, mine, followed,
        )  # fmt: skip
        done = followed == 1
        figures[np.asarray(members)[done]], equity[np.asarray(members)[done]] = mine[done], days[done]
        return np.nonzero(~done)[0]

    def shared_for(self, slots: int, candidates: bool) -> Any:
        """What trials share: paths stay from group to group, candidates are forgotten."""
        if self.shared is None or len(self.shared.lane) < slots:
            self.shared = new_shared(len(self.market.row), slots, self.width, True)
        if not candidates:
            return self.shared._replace(candidate=self.shared.candidate[:0])
        self.shared.candidate.known = 0
        return self.shared

    def run_alone(self, market: Market, trial: Prepared, first: int, last: int, figures: Any, equity: Any) -> None:
        """One trial by the engine's own pass."""
        out = self.ledger([trial])
        out.t_int[:] = 0
        start = round(trial.values["account.starting_cash"] * 100)
        book: Book = new_book(start, slots_of(trial.rules, trial.limits), self.width)
        rules, limits, costs = record_of(trial.rules), record_of(trial.limits), record_of(trial.costs)
        run_rows(market, rules, limits, costs, book, out, script_of(market, ()), first, last)
        ends = np.minimum(market.ses.end[market.row[first].session : market.row[last - 1].session + 1], last)
        extremes = np.zeros(EXTREMES)
        rows_summary(out.rows[:, first:last], np.ascontiguousarray(ends, np.int64), first, start, equity, extremes)
        chain, worst = scratch_for(len(equity), len(out.t_int))
        trial_figures(
            np.ascontiguousarray(market.ses.day), np.ascontiguousarray(market.row.session), last - first, last,
            out.t_int, int(book.head.trades), int(out.f_int[: book.head.fills, F["fee"]].sum()), equity, start,
            cash_returns_between(market, trial.costs, first, last), extremes, chain, worst, figures,
        )  # fmt: skip


def private_mb() -> float | None:
    """Private memory of this process that it has written, mapped pages not counted (Linux; else None)."""
    path = f"/proc/{os.getpid()}/smaps_rollup"
    if not os.path.exists(path):
        return None
    with open(path, encoding="utf-8") as file:
        return sum(int(line.split()[1]) for line in file if line.startswith("Private_Dirty:")) / 1024.0
