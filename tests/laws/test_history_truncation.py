"""Cutting the future off the builder's input, or changing it, changes nothing that `history` showed before."""

import os

import numpy as np
import pytest

from core.market.calendar import day_number
from core.market.history import DailyInput, build_history, read_daily
from core.market.store import market_of
from core.quotes import leg_rows
from core.types import ASK, MODEL

SESSIONS, KEPT, EVERY = (8, 5, 97) if os.environ.get("QMTF_NO_JIT") == "1" else (30, 20, 7)
FIRST = "2018-01-24"  # February 2018 lies behind the cut; listings and strikes move a lot there
ROW_COLUMNS = "ts spot session quoted snap minute vix vix3m clock since move open high low volume is_bar".split()
SESSION_COLUMNS = [f"s_{name}" for name in "start end day offset close settle open rate dividend_yield decide".split()]


def part(daily: DailyInput, first: int, last: int) -> DailyInput:
    """Sessions first..last-1 of the daily series."""
    columns = [column[first:last] for column in daily[:7]]
    return DailyInput(*columns, daily.close[first - 1], daily.vix[first - 1])


@pytest.fixture(scope="module")
def daily():
    whole, _ = read_daily()
    first = int(np.searchsorted(whole.day, day_number(FIRST)))
    return part(whole, first, first + SESSIONS)


@pytest.fixture(scope="module")
def whole(daily, tmp_path_factory):
    return build_history(tmp_path_factory.mktemp("whole") / "history", 7, daily)


def listings(store, row):
    """What is listed before a row: (expiry day, right, strike) -> first row; and each expiry's own facts."""
    c = store.columns
    seen = c["c_first"] < row
    names = (c["e_day"][c["c_expiry"]], c["c_right"], c["c_strike"], c["c_first"])
    contracts = np.column_stack([name[seen] for name in names])
    there = c["e_first"] < row
    expiries = {name: c[f"e_{name}"][there] for name in "day first ts clock style".split()}
    return contracts, expiries


def quotes(store, row):
    """Quotes of one listed contract in EVERY over all rows before `row`, one after the other."""
    m = market_of(store)
    assert m.kind == MODEL
    lines = []
    for c in np.flatnonzero(m.con.first < row)[::EVERY]:
        for s in range(int(m.row.session[m.con.first[c]]), int(m.row.session[row - 1]) + 1):
            start, end = int(m.ses.start[s]), int(m.ses.end[s])
            quote = np.zeros((3, end - start), np.int32)
            leg_rows(m, int(c), start, end, quote)
            lines.append(quote)
    return np.concatenate(lines, axis=1)


def assert_same_past(store, whole):
    row = int(whole.columns["s_start"][KEPT])
    for name in ROW_COLUMNS:
        assert store.columns[name][:row].tobytes() == whole.columns[name][:row].tobytes(), name
    for name in SESSION_COLUMNS:
        assert store.columns[name][:KEPT].tobytes() == whole.columns[name][:KEPT].tobytes(), name
    (contracts, expiries), (whole_contracts, whole_expiries) = listings(store, row), listings(whole, row)
    assert np.array_equal(contracts, whole_contracts)
    for name, column in expiries.items():
        assert column.tobytes() == whole_expiries[name].tobytes(), f"e_{name}"
    shown = quotes(store, row)
    assert shown[ASK].any()
    assert shown.tobytes() == quotes(whole, row).tobytes()


def test_days_that_are_cut_off_the_input_change_nothing_before_them(daily, whole, tmp_path):
    cut = build_history(tmp_path / "history", 7, part(daily, 1, KEPT)._replace(
        **{name: getattr(daily, name)[:KEPT] for name in DailyInput._fields[:7]},
        close_before=daily.close_before, vix_before=daily.vix_before,
    ))  # fmt: skip
    assert len(cut.columns["s_day"]) == KEPT
    assert_same_past(cut, whole)
    beyond = cut.columns["e_day"] > cut.columns["s_day"][-1]
    assert beyond.any() and (cut.columns["e_session"][beyond] == -1).all()


def test_days_that_are_changed_in_the_input_change_nothing_before_them(daily, whole, tmp_path):
    """All series of day D and after: a crash, a higher VIX, another rate, a cut dividend."""
    factors = {"close": 0.7, "high": 0.72, "low": 0.69, "vix": 2.0, "rate": 3.0, "dividend": 0.5}
    changed = {name: getattr(daily, name).copy() for name in factors}
    for name, factor in factors.items():
        changed[name][KEPT:] *= factor
    other = build_history(tmp_path / "history", 7, daily._replace(**changed))
    row = int(whole.columns["s_start"][KEPT])
    assert not np.array_equal(other.columns["spot"][row:], whole.columns["spot"][row:])
    assert len(other.columns["c_strike"]) > len(whole.columns["c_strike"])  # the crash lists lower strikes, later
    assert_same_past(other, whole)


@pytest.mark.parametrize("name", ["close", "vix", "rate", "dividend"])
def test_a_day_s_own_close_is_not_in_what_its_first_bar_shows(daily, whole, tmp_path, name):
    """Listings, rates and yields of a session rest on the days before it, or on what is known before it opens."""
    changed = getattr(daily, name).copy()
    changed[KEPT] *= 1.01 if name == "close" else 1.2
    kept = {n: getattr(daily, n) for n in ("high", "low")}
    if name == "close":
        kept = {"high": np.maximum(daily.high, changed), "low": np.minimum(daily.low, changed)}
    other = build_history(tmp_path / "history", 7, daily._replace(**kept, **{name: changed}))
    row = int(whole.columns["s_start"][KEPT]) + 1  # the first bar of the changed day is visible
    contracts, expiries = listings(other, row)
    assert np.array_equal(contracts, listings(whole, row)[0])
    assert expiries["clock"].tobytes() == listings(whole, row)[1]["clock"].tobytes()
    known = {"close": ("rate", "dividend_yield"), "vix": ("rate", "dividend_yield"), "rate": ("dividend_yield",)}
    for column in known.get(name, ("rate",)):
        assert other.columns[f"s_{column}"][KEPT] == whole.columns[f"s_{column}"][KEPT]
