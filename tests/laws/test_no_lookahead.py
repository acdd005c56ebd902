"""Law 1: what a run did up to a moment is the same whatever came after it."""

from typing import Any

import numpy as np
import pytest

from backtest_engine import BacktestResult
from core.market.store import Store
from core.types import CASH, LEGS, F, T
from tests import markets
from tests.markets import Tape, poisoned, ran, stored, until

TABLE_RUNS = {name: changes for name, (market, changes) in markets.RUNS.items() if market == "table"}
CARRIED_RUNS = {name: changes for name, (market, changes) in markets.RUNS.items() if market == "carried"}


def contract(result: BacktestResult, c: int) -> tuple[int, int, int] | None:
    """A contract by what it is: its number changes with what else the market lists."""
    if c < 0:
        return None
    con = result.market.con[c]
    return int(result.market.exp.day[con.expiry]), int(con.right), int(con.strike)


def story(result: BacktestResult, last: int) -> dict[str, Any]:
    """Everything that was decided, filled and booked on rows 0..last."""
    entries, exits, fills = [], [], []
    for t in result.trades:
        if t[T["opened"]] <= last:
            legs = [contract(result, t[T["leg0"] + leg]) for leg in range(LEGS)]
            entries.append(
                [*legs, *(int(t[T[k]]) for k in ("opened", "decided", "contracts", "credit", "width", "max_loss"))]
            )
        if 0 <= t[T["closed"]] <= last:
            exits.append(
                [int(t[T[k]]) for k in ("opened", "closed", "exit_decided", "debit", "reason", "pnl", "mae", "mfe")]
            )
    for f in result.fills:
        if f[F["row"]] <= last:
            fills.append([contract(result, f[F["contract"]]), *(int(f[F[k]]) for k in F if k != "contract")])
    return {
        "entries": entries,
        "exits": exits,
        "fills": fills,
        "rows": result.ledger.rows[:, : last + 1],
        "codes": result.ledger.codes[:, : last + 1],
    }


def assert_same_past(full: BacktestResult, other: BacktestResult, last: int) -> None:
    before, after = story(full, last), story(other, last)
    for name in ("entries", "exits", "fills"):
        assert after[name] == before[name], name
    for name in ("codes", "rows"):
        differ = np.flatnonzero((after[name] != before[name]).any(axis=0))
        assert len(differ) == 0, f"{name} differ first at row {differ[:1]} of {last}"


# ---------------------------------------------------------------- quotes on every bar

TABLE_CUTS = (30, 130, 389, 560)  # inside a session, at the end of one, inside a later one; no expiry's own session


@pytest.mark.parametrize("k", TABLE_CUTS)
def test_cutting_the_future_off_changes_nothing_before_the_cut(k, tmp_path):
    ts = int(markets.market("table").columns["ts"][k])
    part = stored(until(markets.tape("table"), ts), tmp_path)
    assert len(part.columns["ts"]) == k + 1
    for name, changes in TABLE_RUNS.items():
        assert_same_past(markets.run_named(name), ran(part, **changes), k)


def test_poisoning_the_future_changes_nothing_before_it(tmp_path):
    k = 200
    store = markets.market("table")
    other = stored(poisoned(markets.tape("table"), int(store.columns["ts"][k])), tmp_path)
    for name, changes in TABLE_RUNS.items():
        wild = ran(other, **changes)
        assert_same_past(markets.run_named(name), wild, k)
    assert (wild.ledger.rows[CASH, -1] != markets.run_named(name).ledger.rows[CASH, -1]).all()


@pytest.mark.parametrize("name", ["natural", "settled", "carried", "modelled"])
def test_a_run_that_ends_earlier_is_the_beginning_of_the_longer_one(name):
    of, changes = markets.RUNS[name]
    store = markets.market(of)
    s = len(store.columns["s_day"]) // 2
    short = ran(store, **changes, market__end=str(np.datetime64(int(store.columns["s_day"][s]), "D")))
    assert short.last_row == store.columns["s_end"][s]
    assert_same_past(markets.run_named(name), short, short.last_row - 1)


def test_the_runs_compared_do_trade_before_the_cuts():
    for name in TABLE_RUNS:
        opened = markets.run_named(name).trades[:, T["opened"]]
        assert (opened < TABLE_CUTS[1]).sum() >= 1, name
        assert (opened < TABLE_CUTS[-1]).sum() >= 3, name


# ---------------------------------------------------------------- one chain a day


def carried_rows() -> dict[str, int]:
    """Rows of a session in the middle: before and at the decision, and the snapshot."""
    ses = markets.run_named("carried").market.ses
    s = 9
    return {"before": int(ses.decide[s]) - 20, "decision": int(ses.decide[s]), "snapshot": int(ses.end[s]) - 1}


@pytest.mark.parametrize(
    "moment",
    [
        "before",
        "decision",
        "snapshot",
    ],
)
def test_cutting_the_future_off_an_end_of_day_market_changes_nothing_before_the_cut(moment, tmp_path):
    k = carried_rows()[moment]
    part = stored(until(markets.tape("carried"), int(markets.market("carried").columns["ts"][k])), tmp_path)
    for name, changes in CARRIED_RUNS.items():
        assert_same_past(markets.run_named(name), ran(part, **changes), k)


def test_an_end_of_day_decision_does_not_see_the_snapshot_it_fills_on(tmp_path):
    """With that day's snapshot torn apart, strikes, prices and verdicts up to the decision row stay."""
    full = markets.run_named("carried")
    ses, row = full.market.ses, full.market.row
    decided = full.trades[:, T["decided"]]
    assert len(decided) >= 8
    k = int(decided[len(decided) // 2])
    other = stored(poisoned(markets.tape("carried"), int(row.ts[k])), tmp_path)
    assert_same_past(full, ran(other), k)
    for t in full.trades:
        s = row.session[t[T["decided"]]]
        assert t[T["decided"]] == ses.decide[s]
        assert row.session[t[T["opened"]]] == s
        assert row.quoted[t[T["opened"]]]
        assert not row.quoted[t[T["decided"]]]
        assert row.snap[t[T["decided"]]] == row.snap[t[T["opened"]]] - 1  # the smile of the day before


@pytest.mark.parametrize("name", ["table", "carried"])
def test_nothing_stored_of_a_snapshot_depends_on_later_ones(name, tmp_path):
    """Flags, quotes, deltas, slices and skew stickiness of snapshots up to the cut."""
    store = markets.market(name)
    snapshots = len(store.columns["q_row"])
    q = snapshots // 2
    ts = int(store.columns["ts"][store.columns["q_row"][q]])
    other = stored(poisoned(markets.tape(name), ts), tmp_path)
    a, b = store.columns, other.columns
    assert np.array_equal(a["q_stick"][: q + 1], b["q_stick"][: q + 1])
    assert np.array_equal(a["v_index"][: q + 1], b["v_index"][: q + 1])
    known = a["v_index"][: q + 1].max(initial=-1) + 1
    assert np.array_equal(a["v_slice"][:known], b["v_slice"][:known])
    for c in range(len(a["c_strike"])):
        n = min(q, int(a["q_last"][c])) - int(a["q_first"][c]) + 1
        for column in ("q_bid", "q_ask", "q_flag", "q_delta"):
            x = a[column][a["q_base"][c] :][: max(n, 0)]
            y = b[column][b["q_base"][c] :][: max(n, 0)]
            assert np.array_equal(x, y, equal_nan=True), (column, c)
    if name == "carried":
        assert (a["q_stick"][1 : q + 1] != 0).any()
        assert not np.array_equal(a["q_stick"][q + 1 :], b["q_stick"][q + 1 :])


# ---------------------------------------------------------------- what is listed, and when


def same_past_when_cut(tape: Tape, full: Store, k: int, folder: Any, **changes: Any) -> BacktestResult:
    """Runs on a store and on its first k + 1 rows agree; returns the longer run."""
    part = stored(until(tape, int(full.columns["ts"][k])), folder / "cut")
    run = ran(full, **changes)
    assert_same_past(run, ran(part, **changes), k)
    return run


@pytest.fixture(scope="module")
def late_strikes(tmp_path_factory):
    """$5 strikes at first; from row 151 on $1 strikes too."""
    tape = markets.table_tape("late", bad=False)
    late = (tape.chain.strike % 500 != 0) & (tape.chain.ts <= tape.bars.ts[150])
    tape = tape._replace(chain=markets.picked(tape.chain, ~late))
    return tape, stored(tape, tmp_path_factory.mktemp("late"))


@pytest.mark.parametrize(
    "changes",
    [
        {"strategy__entry__wing_width": 7.0},
        {"strategy__structure": "iron_butterfly", "strategy__entry__wing_width": 10.0},
        {"strategy__entry__wing_rule": "expected_move", "strategy__entry__wing_width": 0.8},
    ],
    ids=["wing", "butterfly", "expected_move"],
)
def test_strikes_listed_later_choose_nothing_now(changes, late_strikes, tmp_path):
    run = same_past_when_cut(*late_strikes, 140, tmp_path, strategy__entry__min_credit_vs_median=0.0, **changes)
    assert len(run.trades)


def test_an_expiry_without_quotes_now_is_not_chosen_because_it_is_quoted_later(tmp_path):
    tape = markets.table_tape("gap", bad=False)
    first, last = tape.bars.ts[[100, 145]]
    nearest = tape.chain.day == markets.days_of(("2025-11-28",))[0]
    hidden = nearest & (tape.chain.ts >= first) & (tape.chain.ts <= last)
    tape = tape._replace(chain=markets.picked(tape.chain, ~hidden))
    run = same_past_when_cut(tape, stored(tape, tmp_path), 130, tmp_path, strategy__entry__dte_max=16)
    assert len(run.trades)


def test_a_held_contract_is_marked_alike_whether_or_not_it_is_quoted_again(tmp_path):
    tape = markets.carried_tape("vanishing", bad=False)
    store = stored(tape, tmp_path)
    trade = ran(store).trades[0]
    con = store.columns
    short_put = int(trade[T["leg1"]])
    opened = int(trade[T["opened"]])
    day = con["e_day"][con["c_expiry"][short_put]]
    times = np.unique(tape.chain.ts)
    missing = times[(times > con["ts"][opened])][:2]
    gone = (tape.chain.day == day) & (tape.chain.strike == con["c_strike"][short_put])
    gone &= (tape.chain.is_call == con["c_right"][short_put]) & np.isin(tape.chain.ts, missing)
    assert gone.sum() == 2
    tape = tape._replace(chain=markets.picked(tape.chain, ~gone))
    k = int(np.searchsorted(con["ts"], missing[1]))
    run = same_past_when_cut(tape, stored(tape, tmp_path / "gone"), k, tmp_path)
    assert 0 <= run.trades[0][T["opened"]] < k


# ---------------------------------------------------------------- the end of a market is not the end of the world


def test_a_market_that_ends_the_day_before_an_expiry_is_left_all_the_same(tmp_path):
    """One chain a day: to be flat on the expiry's day means to leave the day before."""
    changes = {
        "strategy__exits__exit_dte": 0,
        "strategy__exits__profit_frac": 1.0,
        "strategy__exits__stop_multiple": 0.0,
    }
    tape = markets.carried_tape("flat", bad=False)
    full = stored(tape, tmp_path)
    expiry = markets.days_of(("2025-11-21",))[0]
    k = int(full.columns["s_end"][np.searchsorted(full.columns["s_day"], expiry) - 1]) - 1
    run = same_past_when_cut(tape, full, k, tmp_path, strategy__exits__flat_from="14:30", **changes)
    assert (run.trades[:, T["closed"]] == k).any()


def test_nothing_settles_at_noon_because_the_market_ends_there(tmp_path):
    tape = markets.tape("cash")
    full = markets.market("cash")
    expiry = markets.days_of(("2025-11-28",))[0]
    s = int(np.searchsorted(full.columns["s_day"], expiry))
    k = int(full.columns["s_start"][s]) + 30
    same_past_when_cut(tape, full, k, tmp_path, **markets.TO_SETTLEMENT)
