"""Whatever the market does around an ex-dividend day or an expiry: cash, shares and contracts are conserved."""

import itertools

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.types import EVENT_ASSIGNMENT, EVENT_DIVIDEND, EVENT_SHARES, MONEY_EVENTS, F, Reason, T
from tests.hand import Then, market, ran
from tests.unit.test_assignment import DAILY_CONDOR, DAYS, HELD, SOON, TO_EXPIRY, WITH_PUT

drawn = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
spots = st.floats(400.0, 640.0).map(lambda usd: round(usd, 2))
number = itertools.count()


def worth(name, spot, time_value):
    """Cents of a contract by name at a spot, with some value of time."""
    strike = float(name[1:4])
    return round(100 * max(spot - strike if name[0] == "C" else strike - spot, 0.0)) + time_value


def conserved(result):
    """Cash, equity, shares and contracts of the ledger again from its cash events."""
    fills, trades = result.fills, result.trades
    unit = np.where(fills[:, F["contract"]] >= 0, 100, 1)
    moved2 = fills[:, F["quantity"]] * fills[:, F["price2"]] * unit
    assert (moved2 % 2 == 0).all()
    cash = 10_000_000 - moved2.sum() // 2 - fills[:, F["fee"]].sum()
    assert cash == result.ledger.rows[0, -1]
    assert (trades[:, T["pnl"]] + trades[:, T["mark"]]).sum() == result.equity[-1] - 10_000_000
    for i, t in enumerate(trades):
        own = fills[fills[:, F["trade"]] == i]
        amount2 = own[:, F["quantity"]] * own[:, F["price2"]] * np.where(own[:, F["contract"]] >= 0, 100, 1)
        assert t[T["pnl"]] == -amount2.sum() // 2 - own[:, F["fee"]].sum()
        shares = own[(own[:, F["contract"]] < 0) & ~np.isin(own[:, F["event"]], MONEY_EVENTS), F["quantity"]].sum()
        left = {
            int(c): int(own[own[:, F["contract"]] == c, F["quantity"]].sum()) for c in own[:, F["contract"]] if c >= 0
        }
        if t[T["closed"]] >= 0:
            assert shares == 0 and not any(left.values())
        else:
            assert shares % (100 * t[T["contracts"]]) == 0
            assert {abs(q) for q in left.values()} <= {0, t[T["contracts"]]}


@pytest.mark.parametrize("fees", ["none", "alpaca"])
def test_an_evening_of_exercise_conserves_cash_and_shares(fees, tmp_path):
    seen = {"assigned": 0, "dividends": 0, "parts": 0}

    @drawn
    @given(spots, spots, st.integers(0, 300), st.integers(1, 12), st.sampled_from([1.0, 0.7, 0.3]))
    def law(evening, morning, time_value, contracts, share):
        before = {name: worth(name, evening, time_value) for name in WITH_PUT}
        after = {name: worth(name, morning, time_value // 2) for name in WITH_PUT}
        changes = Then("06-18 12:00", before, spot=evening), Then("06-20 09:35", after, spot=morning)
        store = market(tmp_path / str(next(number)), *changes, days=DAYS, contracts=WITH_PUT)
        size = {"size__contracts": contracts, "size__max_risk_frac": 1.0}
        result = ran(store, **HELD, **size, assignment__share=share, costs__fees=fees)
        conserved(result)
        events = result.fills[:, F["event"]]
        assert (EVENT_DIVIDEND in events) <= (EVENT_ASSIGNMENT in events)
        first = result.trades[:, T["campaign"]] == 0  # what is left may be closed in time for another entry
        assert result.trades[first, T["contracts"]].sum() == contracts
        seen["assigned"] += EVENT_ASSIGNMENT in events
        seen["dividends"] += EVENT_DIVIDEND in events
        seen["parts"] += len(result.trades) > 1

    law()
    assert min(seen.values()) >= 5, seen


def test_an_expiry_on_shares_conserves_them_and_is_bounded_without_them(tmp_path):
    """Held to expiry a condor loses at most wider width less credit; only shares over the night can lose more."""
    seen = {"shares": 0, "netted": 0, "worthless": 0}

    @drawn
    @given(st.floats(440.0, 560.0).map(lambda usd: round(usd, 2)), spots, st.sampled_from([0.0, 1.0, 5.0]))
    def law(expiry, later, band):
        near = {name: worth(name, expiry, 0) for name in DAILY_CONDOR}
        changes = Then(f"{SOON[5:]} 12:00", near, spot=expiry), Then("06-20 09:35", {}, spot=later)
        store = market(
            tmp_path / str(next(number)), *changes, days=("2025-06-16", "2025-06-20"), contracts=DAILY_CONDOR
        )
        result = ran(store, **TO_EXPIRY, assignment__pin_band=band)
        conserved(result)
        t = result.trades[0]
        carried = EVENT_SHARES in result.fills[:, F["event"]]
        if not carried:
            assert -t[T["pnl"]] <= t[T["max_loss"]] + t[T["fees"]]
        seen["shares"] += carried
        seen["netted"] += t[T["reason"]] == Reason.EXERCISED and not carried
        seen["worthless"] += t[T["reason"]] == Reason.SETTLED

    law()
    assert min(seen.values()) >= 3, seen
