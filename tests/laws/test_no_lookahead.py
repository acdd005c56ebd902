"""Law 1: what a run did up to a moment is the same whatever came after it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backtest_engine import BacktestResult
from core.market.history import DailyInput, build_history
from core.market.store import Store, market_of
from core.types import CASH, LEGS, A, F, T
from strategies.view import view_of
from tests import markets
from tests.held import smile_fills
from tests.markets import Tape, poisoned, ran, stored, until

TABLE_RUNS = {name: changes for name, (market, changes) in markets.RUNS.items() if market == "table"}
CARRIED_RUNS = {name: changes for name, (market, changes) in markets.RUNS.items() if market == "carried"}


ENTRY_FIELDS = ("opened", "decided", "contracts", "credit", "width", "max_loss", "campaign", "floor")


def contract(result: BacktestResult, c: int) -> tuple[int, int, int] | None:
    """A contract by what it is: its number changes with what else the market lists."""
    if c < 0:
        return None
    con = result.market.con[c]
    return int(result.market.exp.day[con.expiry]), int(con.right), int(con.strike)


def story(result: BacktestResult, last: int) -> dict[str, Any]:
    """Everything that was decided, filled and booked on rows 0..last."""
    entries, exits, fills, adjustments = [], [], [], []
    for t in result.trades:
        if t[T["opened"]] <= last:
            legs = [contract(result, t[T["leg0"] + leg]) for leg in range(LEGS)]
            entries.append([*legs, *(int(t[T[k]]) for k in ENTRY_FIELDS)])
        if 0 <= t[T["closed"]] <= last:
            exits.append(
                [int(t[T[k]]) for k in ("opened", "closed", "exit_decided", "debit", "reason", "pnl", "mae", "mfe")]
            )
    for f in result.fills:
        if f[F["row"]] <= last:
            fills.append([contract(result, f[F["contract"]]), *(int(f[F[k]]) for k in F if k != "contract")])
    for a in result.adjustments:
        if a[A["row"]] <= last:
            new = [contract(result, a[A[k]]) for k in ("new_short", "new_long")]
            adjustments.append([*new, *(int(a[A[k]]) for k in A if not k.startswith("new_"))])
    return {
        "entries": entries,
        "exits": exits,
        "fills": fills,
        "adjustments": adjustments,
        "rows": result.ledger.rows[:, : last + 1],
        "codes": result.ledger.codes[:, : last + 1],
        "signals": result.market.signal[:, : last + 1],
        "gates": result.market.gate[:, : last + 1],
    }


def assert_same_past(full: BacktestResult, other: BacktestResult, last: int) -> None:
    before, after = story(full, last), story(other, last)
    for name in ("signals", "gates"):  # what is seen, before what is made of it; an unknown stays unknown
        assert after[name].shape == before[name].shape
        same = (after[name] == before[name]) | ((after[name] != after[name]) & (before[name] != before[name]))
        differ = np.argwhere(~same)
        assert len(differ) == 0, f"{name} differ first at (column, row) {differ[:1]} of {last}"
    for name in ("entries", "exits", "fills", "adjustments"):
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


@pytest.mark.parametrize(
    "name",
    [
        "natural",
        "settled",
        "carried",
        "modelled",
        "rolled",
        "hedged",
        "carried_rolled",
        "surface_full",
        "full",
        "smile",
    ],
)
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


@pytest.mark.parametrize("moment", ["before", "decision", "snapshot"])
def test_cutting_the_future_off_an_end_of_day_market_changes_nothing_before_the_cut(moment, tmp_path):
    k = carried_rows()[moment]
    part = stored(until(markets.tape("carried"), int(markets.market("carried").columns["ts"][k])), tmp_path)
    for name, changes in CARRIED_RUNS.items():
        assert_same_past(markets.run_named(name), ran(part, **changes), k)


@pytest.mark.parametrize("moment", ["before", "decision", "snapshot"])
def test_poisoning_the_future_of_an_end_of_day_market_changes_nothing_before_it(moment, tmp_path):
    """Of the spot and the quotes alike; a decision on the surface does not see the snapshot that comes after it."""
    k = carried_rows()[moment]
    other = stored(poisoned(markets.tape("carried"), int(markets.market("carried").columns["ts"][k])), tmp_path)
    for name, changes in CARRIED_RUNS.items():
        wild = ran(other, **changes)
        assert_same_past(markets.run_named(name), wild, k)
        assert not np.array_equal(wild.ledger.rows, markets.run_named(name).ledger.rows), name


@pytest.mark.parametrize("change", [until, poisoned], ids=["cut", "poisoned"])
@pytest.mark.parametrize("moment", ["before", "decision", "snapshot"])
def test_a_smile_hedge_is_the_same_whatever_comes_after(change, moment, tmp_path):
    """Cut and poisoned in the session that opens its second hedge, and at the snapshot that fills it."""
    full = markets.run_named("smile")
    opened = np.unique(smile_fills(full)[:, F["row"]])[2]
    decision = int(full.market.ses.decide[full.market.row.session[opened]])
    k = {"before": decision - 20, "decision": decision, "snapshot": int(opened)}[moment]
    other = stored(change(markets.tape("restless"), int(full.market.row.ts[k])), tmp_path)
    assert_same_past(full, ran(other, **markets.SMILE), k)


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
        for column in ("q_bid", "q_ask", "q_flag", "q_delta", *(["q_vol"] if name == "table" else [])):
            x = a[column][a["q_base"][c] :][: max(n, 0)]
            y = b[column][b["q_base"][c] :][: max(n, 0)]
            assert np.array_equal(x, y, equal_nan=True), (column, c)
    if name == "carried":
        assert (a["q_stick"][1 : q + 1] != 0).any()
        assert not np.array_equal(a["q_stick"][q + 1 :], b["q_stick"][q + 1 :])


# ---------------------------------------------------------------- with everything switched on

SEEN = ("carried_rolled", "surface_full", "full")


def with_signals(result: BacktestResult) -> BacktestResult:
    """The run with every signal of its market, whether or not a rule of it reads them."""
    market = view_of(market_of(result.store), result.store.columns, result.config.values, always=True)
    return result._replace(market=result.market._replace(signal=market.signal, gate=market.gate))


MODELLED_RUNS = {name: changes for name, (market, changes) in markets.RUNS.items() if market == "modelled"}
KEPT = 22  # sessions; the runs compared have rolled sides by then


def modelled_days() -> DailyInput:
    """The daily values that the modelled market is made of."""
    seen: list[DailyInput] = []

    def build(_folder: Any, _seed: int, daily: DailyInput) -> None:
        seen.append(daily)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(markets, "build_history", build)
        markets.modelled_store(Path())
    return seen[0]


@pytest.mark.parametrize("name", SEEN)
def test_every_signal_is_the_same_whatever_comes_after(name, tmp_path):
    """And every gate and decision, of the market cut and of the market poisoned after the same row."""
    of, changes = markets.RUNS[name]
    full, store = with_signals(markets.run_named(name)), markets.market(of)
    if of == "modelled":
        daily, k = modelled_days(), int(store.columns["s_start"][KEPT]) - 1
        others = [build_history(tmp_path / str(i), 7, days) for i, days in enumerate((cut(daily), crashed(daily)))]
    else:
        k = int(store.columns["s_start"][KEPT]) + 30
        ts = int(store.columns["ts"][k])
        tape = markets.tape(of)
        others = [stored(t, tmp_path / str(i)) for i, t in enumerate((until(tape, ts), poisoned(tape, ts)))]
    known = np.isfinite(full.market.signal[:, : k + 1]).any(axis=1)
    assert known.sum() >= 15
    assert len(others[0].columns["ts"]) == k + 1
    for other in others:
        assert_same_past(full, with_signals(ran(other, **changes)), k)
    assert (full.adjustments[:, A["row"]] <= k).sum() >= 3


def cut(daily: DailyInput) -> DailyInput:
    return DailyInput(*(column[:KEPT] for column in daily[:7]), daily.close_before, daily.vix_before)


def crashed(daily: DailyInput) -> DailyInput:
    """From the day after the cut on everything is worth less than half, and VIX three times as much."""
    factors = {"close": 0.4, "high": 0.42, "low": 0.38, "vix": 3.0, "rate": 5.0, "dividend": 0.5}
    late = np.arange(len(daily.day)) >= KEPT
    return daily._replace(**{name: getattr(daily, name) * np.where(late, f, 1.0) for name, f in factors.items()})


@pytest.mark.parametrize("name", list(MODELLED_RUNS))
def test_a_modelled_market_with_another_future_was_traded_alike_before_it(name, tmp_path):
    k = int(markets.market("modelled").columns["s_start"][KEPT]) - 1
    other = build_history(tmp_path / "other", 7, crashed(modelled_days()))
    wild = ran(other, **MODELLED_RUNS[name])
    assert_same_past(markets.run_named(name), wild, k)
    assert not np.array_equal(wild.ledger.rows, markets.run_named(name).ledger.rows)


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
