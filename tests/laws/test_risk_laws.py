"""Whatever the market does: no entry takes the book above a cap, nothing is opened while a halt stands."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.exposure import GREEKS, book_greeks
from core.types import CASH, LEG_SIGN, MARGIN, SOFT, F, Reason, T
from tests import markets
from tests.hand import time_of

EXAMPLES = 120
CAPS = {
    "risk__trade_delta": st.floats(1.0, 60.0),
    "risk__trade_gamma": st.floats(0.5, 20.0),
    "risk__trade_vega": st.floats(10.0, 400.0),
    "risk__trade_theta": st.floats(5.0, 400.0),
    "risk__book_delta": st.floats(1.0, 100.0),
    "risk__book_gamma": st.floats(0.5, 40.0),
    "risk__book_vega": st.floats(10.0, 800.0),
    "risk__book_theta": st.floats(5.0, 800.0),
    "risk__trade_loss": st.floats(300.0, 6_000.0),
    "risk__book_loss": st.floats(300.0, 20_000.0),
    "risk__book_contracts": st.integers(1, 40),
    "risk__expiry_loss": st.floats(0.02, 0.6),
}
HALTS = {
    "risk__daily_loss": st.floats(0.002, 0.05),
    "risk__drawdown": st.floats(0.005, 0.1),
    "risk__drawdown_rest": st.integers(0, 6),
    "risk__halt": st.sampled_from(["entries", "close_all"]),
}
drawn = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))


def open_at(result, row):
    """Trades open when row's entry was decided: filled at or before it and not yet closed."""
    t = result.trades
    closed = np.where(t[:, T["closed"]] < 0, 1 << 40, t[:, T["closed"]])
    return np.flatnonzero((t[:, T["opened"]] <= row) & (closed > row))


def greeks_of(result, row, trades, contracts=None):
    """Delta, gamma, vega, theta of whole structures at a row, from the reports' kernel."""
    out = np.zeros((1, len(GREEKS)))
    legs = result.trades[trades][:, T["leg0"] : T["leg0"] + 4]
    counts = result.trades[trades, T["contracts"]] if contracts is None else np.array(contracts)
    quantity = (np.array(LEG_SIGN) * counts[:, None])[legs >= 0]
    held = np.unique(legs[legs >= 0])
    if held.size:
        slot = np.searchsorted(held, legs[legs >= 0])
        rows = np.array([row])
        book_greeks(
            result.market, rows, held, np.zeros(slot.size, np.int64), slot, quantity, np.zeros(held.size, np.int64), out
        )
    return out[0, :4]


def caps_hold(result, caps):
    for i in range(len(result.trades)):
        t = result.trades[i]
        before = open_at(result, t[T["decided"]])
        each = greeks_of(result, t[T["decided"]], [i])
        held = greeks_of(result, t[T["decided"]], before)
        for k, name in enumerate(GREEKS[:4]):
            if f"risk__trade_{name}" in caps:
                assert abs(each[k]) <= caps[f"risk__trade_{name}"] * (1 + 1e-9)
            if f"risk__book_{name}" in caps:
                assert abs(held[k] + each[k]) <= max(caps[f"risk__book_{name}"], abs(held[k])) * (1 + 1e-9)
        now = open_at(result, t[T["opened"]])
        loss = result.trades[now, T["max_loss"]] / 100
        same = result.trades[now, T["expiry"]] == t[T["expiry"]]
        assert t[T["max_loss"]] / 100 <= caps.get("risk__trade_loss", np.inf)
        assert loss.sum() <= caps.get("risk__book_loss", np.inf)
        assert result.trades[now, T["contracts"]].sum() <= caps.get("risk__book_contracts", np.inf)
        equity = result.equity[t[T["decided"]] - result.first_row] / 100
        assert loss[same].sum() <= caps.get("risk__expiry_loss", np.inf) * equity + 1e-6


@pytest.mark.parametrize("of", ["table", "modelled"])
def test_no_entry_takes_the_book_above_a_cap(of):
    seen = {"trades": 0, "cut": 0}

    @drawn
    @given(st.fixed_dictionaries({}, optional=CAPS))
    def law(caps):
        result = markets.ran(markets.market(of), **markets.DENSE, strategy__hedge__delta_band=0.0, **caps)
        caps_hold(result, caps)
        seen["trades"] += len(result.trades)
        seen["cut"] += int((result.trades[:, T["contracts"]] < 10).sum())

    law()
    assert seen["trades"] > 5 * EXAMPLES and seen["cut"] > EXAMPLES


@pytest.mark.parametrize("profile", ["alpaca", "reg_t", "ibkr"])
def test_margin_stays_within_cash_whenever_something_is_opened(profile):
    refused = 0

    @drawn
    @given(st.floats(4_000.0, 30_000.0), st.floats(0.3, 1.0))
    def law(cash, share):
        nonlocal refused
        changes = {**markets.DENSE, "strategy__size__max_risk_frac": 1.0, "account__starting_cash": cash}
        result = markets.ran(markets.market("table"), **changes, risk__margin=profile, risk__buying_power=share)
        rows = result.ledger.rows
        opened = np.unique(result.trades[:, T["opened"]]) - result.first_row
        fees = np.array(
            [result.fills[result.fills[:, F["row"]] == r, F["fee"]].sum() for r in opened + result.first_row]
        )
        assert (rows[MARGIN, opened] <= share * (rows[CASH, opened] + fees) + 1).all()
        refused += int((result.ledger.codes[0] == Reason.MARGIN).sum())

    law()
    assert refused > EXAMPLES


@pytest.mark.parametrize("of", ["table", "modelled"])
def test_nothing_is_opened_while_a_halt_stands(of):
    """The halts again, row by row from the equity curve alone."""
    halted = 0

    @drawn
    @given(st.fixed_dictionaries({}, optional=HALTS))
    def law(halts):
        nonlocal halted
        result = markets.ran(markets.market(of), **markets.DENSE, **halts)
        allowed = entries_allowed(result, halts)
        halted += int((~allowed).sum())
        decided = result.trades[:, T["decided"]] - result.first_row
        assert allowed[decided].all()
        if halts.get("risk__halt") == "close_all":
            closes_follow(result, allowed, halts)

    law()
    assert halted > 100 * EXAMPLES


def entries_allowed(result, halts):
    """bool per row: no halt began at or before it that still stands."""
    m, equity, soft = result.market, result.equity, result.ledger.codes[SOFT]
    daily, drawdown = halts.get("risk__daily_loss", 0.0), halts.get("risk__drawdown", 0.0)
    rest = halts.get("risk__drawdown_rest", 0)
    allowed = np.ones(equity.size, bool)
    base = peak = 100 * result.config["account.starting_cash"]
    last, session, today, since = base, -1, False, None
    for j in range(equity.size):
        s = m.row.session[result.first_row + j]
        day = m.ses.day[s]
        if s != session:
            session, base, today = s, last, False
            if since is not None and rest and day >= since + rest:
                since, peak = None, last
        last = equity[j]
        if since is None and not soft[j]:
            peak = max(peak, last)
            if drawdown and last <= peak * (1 - drawdown):
                since = day
            elif daily and last <= base * (1 - daily):
                today = True
        allowed[j] = since is None and not today
    return allowed


def closes_follow(result, allowed, halts):
    """Whatever is open when a halt begins is decided to be closed on that row at the latest."""
    begins = np.flatnonzero(~allowed & np.r_[True, allowed[:-1]]) + result.first_row
    for row in begins:
        for i in open_at(result, row):
            t = result.trades[i]
            working = t[T["closed"]] < 0  # no two-sided quote came, or the market ended
            assert working or t[T["exit_decided"]] <= row, time_of(result.market, row)
