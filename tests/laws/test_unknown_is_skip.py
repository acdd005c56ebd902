"""Law 4: what is not known yields a skip that is counted, never a number."""

import csv
import datetime as dt
import json
import math

import numpy as np
import pytest

from core.market.build import Daily, picked
from core.market.store import market_of
from core.report.folder import manifest_of, write_run
from core.report.measure import measure
from core.types import CASH, EVENT_HEDGE, GATE, LEAVE, LIQUIDATION, MARKS, REASONS, SOFT, VERDICT, F, Reason, T
from strategies.view import view_of
from tests import markets
from tests.held import packages
from tests.markets import ran, stored, table_tape

NAMES = list(markets.RUNS)


def verdicts(result, rows=slice(None)):
    """Reason -> number of rows."""
    codes, counts = np.unique(result.ledger.codes[VERDICT][rows], return_counts=True)
    return dict(zip(codes.tolist(), counts.tolist(), strict=True))


@pytest.mark.parametrize("name", NAMES)
def test_every_bar_has_a_verdict_and_decisions_sum_to_the_bars(name, tmp_path):
    result = markets.run_named(name)
    counts = verdicts(result)
    assert Reason.NONE not in counts
    assert set(counts) <= set(REASONS)
    measured = measure(result)
    write_run(tmp_path, result, measured, manifest_of(result, "x", dt.datetime(2026, 1, 1, tzinfo=dt.UTC), 1), True)
    with (tmp_path / "decisions.csv").open(encoding="utf-8", newline="") as file:
        decisions = list(csv.DictReader(file))
    assert sum(int(d["bars"]) for d in decisions) == measured.metrics["bars"] == len(result.ledger.codes[VERDICT])
    assert sum(int(d["bars"]) for d in decisions if d["reason"] == "enter") == counts[Reason.ENTER]
    assert len((tmp_path / "trace.csv").read_text(encoding="utf-8").splitlines()) == measured.metrics["bars"] + 1


@pytest.mark.parametrize("name", NAMES)
def test_no_figure_of_a_run_is_nan_or_infinite(name):
    def numbers(value):
        if isinstance(value, dict):
            return [n for v in value.values() for n in numbers(v)]
        return [value] if isinstance(value, float) else []

    metrics = measure(markets.run_named(name)).metrics
    assert all(math.isfinite(n) for n in numbers(metrics))
    json.dumps(metrics, allow_nan=False)


def test_a_run_without_trades_explains_itself():
    result = ran(
        markets.market("table"),
        strategy__entry__dte_min=200,
        strategy__entry__dte_target=210,
        strategy__entry__dte_max=220,
    )
    assert len(result.trades) == 0
    counts = verdicts(result)
    assert counts.pop(Reason.WINDOW) > 0
    assert set(counts) <= {Reason.NO_EXPIRY, Reason.NO_QUOTES} and counts[Reason.NO_EXPIRY] > 0
    metrics = measure(result).metrics
    assert any("decisions.csv" in warning for warning in metrics["warnings"])
    assert metrics["trades"] == 0
    for undefined in (
        "profit_factor",
        "expectancy",
        "win_rate",
        "avg_win",
        "break_even_slippage_per_package",
        "sharpe",
    ):
        assert metrics[undefined] is None, undefined
    assert metrics["net_profit"] == 0


@pytest.fixture(scope="module")
def dark(tmp_path_factory):
    """No quotes on rows 0-20, on a whole session, and on every third row of another."""
    tape = table_tape("dark", bad=False)
    rows = np.r_[0:21, 78 * 3 : 78 * 4, 78 * 4 : 78 * 5 : 3]
    hidden = np.isin(tape.chain.ts, tape.bars.ts[rows])
    return rows, stored(tape._replace(chain=picked(tape.chain, ~hidden)), tmp_path_factory.mktemp("dark"))


def test_rows_before_the_first_quote_are_skipped_for_want_of_quotes(dark):
    result = ran(dark[1])
    counts = verdicts(result, slice(5, 21))
    assert counts == {Reason.NO_QUOTES: 16}


def test_rows_without_quotes_decide_nothing(dark):
    rows, store = dark
    often = {"strategy__entry__max_new_per_day": 50, "strategy__entry__ladder_minutes": 0}
    result = ran(store, strategy__max_positions=64, strategy__size__max_risk_frac=1.0, **often)
    assert result.ledger.codes[SOFT][rows].any()
    assert len(result.trades) >= 5
    assert not np.isin(result.trades[:, T["decided"]], rows).any()


def test_rows_without_quotes_fill_nothing_and_trigger_nothing(dark):
    rows, store = dark
    for result in (ran(store), ran(store, costs__fill="limit"), ran(store, strategy__exits__stop_on="mid")):
        assert not np.isin(result.fills[:, F["row"]], rows).any()
        stopped = result.trades[result.trades[:, T["reason"]] == Reason.STOP]
        assert not np.isin(stopped[:, T["exit_decided"]], rows).any()


PRICE_RULES = ["sides", "trailing", "cheap", "tested_side", "tested_short", "rolled", "rolled_out"]


@pytest.mark.parametrize("name", PRICE_RULES)
def test_rows_without_quotes_trigger_no_exit_of_a_part_and_no_roll(name, dark):
    """The spot is known there: it may find a short tested, but nothing is bought, sold or rolled on what is not."""
    rows, store = dark
    result = ran(store, **markets.RUNS[name][1])
    assert len(result.fills) >= 20
    assert not np.isin(result.fills[:, F["row"]], rows).any()
    for package in packages(result):
        if package.reason in (Reason.SIDE_STOP, Reason.TRAILING, Reason.CHEAP_SHORT, Reason.ROLLED):
            assert package.decided not in rows


def test_a_net_delta_without_quotes_hedges_nothing(dark):
    """Shares that nothing is left to hedge with are sold all the same."""
    rows, store = dark
    result = ran(store, **markets.RUNS["hedged"][1])
    hedges = result.fills[result.fills[:, F["event"]] == EVENT_HEDGE]
    assert len(hedges) >= 10
    looked = hedges[:, F["row"]] - 1
    assert not any(is_open(result, row) for row in looked[np.isin(looked, rows)])


def test_a_breach_probability_without_quotes_closes_nothing(dark):
    rows, store = dark
    result = ran(store, strategy__exits__exit_breach=0.4, strategy__exits__stop_multiple=0.0)
    left = result.trades[result.trades[:, T["reason"]] == Reason.BREACH_EXIT]
    assert len(left) >= 3
    assert not np.isin(left[:, T["exit_decided"]], rows).any()


def test_a_roll_is_not_decided_without_quotes(tmp_path):
    """Every third row is dark: the strikes and the credit of a roll are not read off the row before."""
    tape = table_tape("patchy", bad=False)
    rows = np.arange(0, len(tape.bars.ts), 3)
    hidden = np.isin(tape.chain.ts, tape.bars.ts[rows])
    store = stored(tape._replace(chain=picked(tape.chain, ~hidden)), tmp_path)
    rolled = [p.decided for p in packages(ran(store, **markets.RUNS["rolled"][1])) if p.rolls]
    assert len(rolled) >= 3
    assert not np.isin(rolled, rows).any()


def is_open(result, row):
    """Whether anything was open on a row."""
    opened, closed = result.trades[:, T["opened"]], result.trades[:, T["closed"]]
    return bool(((opened <= row) & ((closed < 0) | (closed > row))).any())


# A rule that needs what this market does not know: the reason of every row on which it alone is in the way.
UNKNOWN = {
    "a VIX that is nowhere": ("table", {"strategy__filters__vix_max": 60.0}, Reason.SIGNAL_UNKNOWN),
    "an IV rank without a past": ("table", {"strategy__filters__iv_rank_min": 1.0}, Reason.SIGNAL_UNKNOWN),
    "a VIX3M that is nowhere": ("modelled", {"strategy__filters__term_max": 2.0}, Reason.SIGNAL_UNKNOWN),
    "a size scaled by no regime": ("table", {"strategy__size__crash_factor": 0.5}, Reason.SIZE_UNKNOWN),
    "an edge without a volatility": ("table", {"strategy__entry__expiry_rule": "edge"}, Reason.EDGE_UNKNOWN),
    "sizes of no quote": ("modelled", {"strategy__filters__min_size": 1}, Reason.ILLIQUID),
}


@pytest.mark.parametrize("what", list(UNKNOWN))
def test_a_rule_that_lacks_its_input_opens_nothing_and_counts_the_rows(what):
    of, changes, reason = UNKNOWN[what]
    plain, result = ran(markets.market(of)), ran(markets.market(of), **changes)
    assert len(plain.trades) >= 20 and len(result.trades) == 0
    entered = plain.ledger.codes[VERDICT] == Reason.ENTER
    assert (result.ledger.codes[VERDICT][entered] == reason).all()
    assert (result.ledger.rows[CASH] == 2_500_000).all() and not result.ledger.rows[MARKS].any()


def test_rules_of_exit_that_lack_their_input_leave_nothing():
    """An unknown regime is not one to leave, unless it is named; but nothing is opened while it might be one."""
    unknown = view_of(
        market_of(markets.market("table")),
        markets.market("table").columns,
        markets.config_of(strategy__exits__leave_regimes="crash,high_vol").values,
    )
    assert not unknown.gate[LEAVE].any()
    assert (unknown.gate[GATE] == Reason.SIGNAL_UNKNOWN).all()
    assert len(ran(markets.market("table"), strategy__exits__leave_regimes="crash,high_vol").trades) == 0


def test_a_mark_without_quotes_stays_inside_the_width_of_each_vertical(dark):
    rows, store = dark
    result = ran(store, strategy__max_positions=1, strategy__entry__wing_width=3.0)
    held = np.zeros(len(result.market.row.ts), np.int64)
    for t in result.trades:
        end = t[T["closed"]] if t[T["closed"]] >= 0 else len(held)
        held[t[T["opened"]] : end] = (2 * t[T["width"]]) * 100
    assert (held[rows] > 0).any()
    assert (-result.ledger.rows[MARKS][rows] <= held[rows]).all()
    assert (result.ledger.rows[MARKS][rows] <= 0).all()
    assert (result.ledger.codes[SOFT][rows][held[rows] > 0] == 1).all()


def test_an_unknown_leg_keeps_the_last_known_mark(tmp_path):
    """One held contract loses its quotes for a while: the marks stand still, and no exit fires on them."""
    tape = table_tape("blind", bad=False)
    clean = stored(tape, tmp_path)
    changes = {"strategy__max_positions": 1, "strategy__exits__stop_multiple": 0.0, "strategy__exits__profit_frac": 1.0}
    trade = ran(clean, **changes).trades[0]
    con = clean.columns
    leg = int(trade[T["leg1"]])
    first = int(trade[T["opened"]]) + 10
    blind = np.arange(first, first + 12)
    gone = (tape.chain.day == con["e_day"][con["c_expiry"][leg]]) & (tape.chain.strike == con["c_strike"][leg])
    gone &= ~tape.chain.is_call & np.isin(tape.chain.ts, tape.bars.ts[blind])
    assert gone.sum() == 12
    for fate in ("absent", "zero"):
        chain = (
            picked(tape.chain, ~gone)
            if fate == "absent"
            else tape.chain._replace(bid=np.where(gone, 0.0, tape.chain.bid), ask=np.where(gone, 0.0, tape.chain.ask))
        )
        result = ran(stored(tape._replace(chain=chain), tmp_path / fate), **changes)
        assert result.trades[0][T["opened"]] == trade[T["opened"]]
        assert (result.ledger.rows[MARKS][blind] == result.ledger.rows[MARKS][first - 1]).all()
        assert (result.ledger.codes[SOFT][blind] == 1).all()
        assert result.ledger.codes[SOFT][first - 1] == 0
        assert result.ledger.codes[SOFT][blind[-1] + 1] == 0


def test_an_unknown_rate_pays_no_interest(tmp_path):
    tape = table_tape("rates", "SPXW", bad=False)
    days = tape.sessions.day.tolist()
    known = {day: 0.04 for day in days if day != days[4]}
    store = stored(tape._replace(daily=Daily({}, {}, known)), tmp_path)
    result = ran(store, account__cash_yield="tbill")
    paid = result.fills[result.fills[:, F["event"]] == 2]
    sessions = result.market.row.session[paid[:, F["row"]]].tolist()
    assert sessions == [s for s in range(1, 12) if s != 5]  # the rate of the session before


def test_the_ledger_starts_from_the_starting_cash_and_holds_it_while_nothing_is_open():
    result = markets.run_named("natural")
    before = slice(0, int(result.trades[0][T["opened"]]))
    for column in (CASH, LIQUIDATION):
        assert (result.ledger.rows[column][before] == 2_500_000).all()
    assert (result.ledger.rows[MARKS][before] == 0).all()
