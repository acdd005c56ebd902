"""The hedge in shares: when it looks, what it trades, when it fills, and what it does to cash and equity."""

from functools import cache

import numpy as np
import pytest

from core.errors import ConfigError
from core.market.store import market_of
from core.types import EVENT_HEDGE, LEG_SIGN, F
from tests import markets
from tests.hand import NO_QUOTE, SPOT, Then, market, orders, ran, row_at, time_of

ENTERED = ("06-02 10:05", "enter", "+P460 -P470 -C530 +C540")
FLAT = {"P460": 0.08, "P470": 0.16, "C530": 0.16, "C540": 0.08}
UP = {"P460": 0.02, "P470": 0.05, "C530": 0.40, "C540": 0.25}  # a condor is short 12 shares there
DOWN = {"P460": 0.25, "P470": 0.40, "C530": 0.05, "C540": 0.02}  # and long 12 here


def moved(time, spot, prices=()):
    """The spot, and the deltas that go with it."""
    return Then(time, dict(prices), spot, UP if spot > SPOT else DOWN if spot < SPOT else FLAT)


RISEN = moved("06-02 10:10", 515.0)


def shares(result):
    """Every fill of the hedge: (time, signed shares, price in cents)."""
    own = result.fills[result.fills[:, F["event"]] == EVENT_HEDGE]
    return [(time_of(result.market, f[F["row"]]), int(f[F["quantity"]]), int(f[F["price2"]]) // 2) for f in own]


def net_delta(m, time):
    """Shares that one condor of this market is worth at a time, from the deltas of its quotes."""
    r = row_at(m, time)
    return sum(LEG_SIGN[c] * 100 * float(m.q_delta[m.con.cell_base[c] + m.row.snap[r]]) for c in range(4))


def test_outside_the_band_the_net_delta_is_sold_on_the_next_bar(tmp_path):
    """Looked at every half hour: 10:30 decides, 10:35 fills, half a cent dearer than the spot and in whole cents."""
    store = market(tmp_path, RISEN)
    net = net_delta(market_of(store), "06-02 10:30")
    assert net == pytest.approx(-12.0)  # the call has come near: the condor is short the market
    hedged = ran(store, hedge__delta_band=abs(net) - 0.01)
    assert shares(hedged)[0] == ("06-02 10:35", round(-net), 51_501)
    assert shares(ran(store, hedge__delta_band=abs(net) + 0.01))[:1] != shares(hedged)[:1]
    assert shares(ran(store)) == []


def test_inside_the_band_nothing_is_traded(tmp_path):
    store = market(tmp_path)
    most = max(abs(net_delta(market_of(store), f"06-0{day} {time}"))
               for day in (2, 3, 4) for time in ("10:30", "16:00"))  # fmt: skip
    assert shares(ran(store, hedge__delta_band=most + 0.5)) == []


def test_the_fill_takes_the_price_of_its_own_bar(tmp_path):
    """Decided at 515.00, filled at 517.00; sold the next half hour at what that bar says."""
    store = market(tmp_path, RISEN, Then("06-02 10:35", spot=517.0), moved("06-02 11:00", SPOT))
    bought, sold = shares(ran(store, hedge__delta_band=2.0))[:2]
    assert bought[0], bought[2] == ("06-02 10:35", 51_701)
    assert (sold[0], sold[2]) == ("06-02 11:05", 49_999)
    assert bought[1] > 0 > sold[1]


@pytest.mark.parametrize("minutes", [5, 15, 30, 60])
def test_looks_are_so_many_minutes_apart(tmp_path, minutes):
    moves = [moved(f"06-02 {10 + i}:{10 + i}", 500.0 + (-1) ** i * 15) for i in range(6)]
    result = ran(market(tmp_path, *moves), hedge__delta_band=2.0, hedge__minutes=minutes)
    m = result.market
    rows = [row_at(m, fill[0]) for fill in shares(result)]
    assert len(rows) >= 5
    looked = [m.row.minute[r - 1] for r in rows]
    assert all((minute - 570) % minutes == 0 or minute == 575 for minute in looked)


def test_the_position_is_flat_on_the_look_after_the_last_structure_closes(tmp_path):
    """The call is tested at 11:10 and closed at 11:15: the look of 11:30 sells what is left, and no more after it."""
    store = market(tmp_path, RISEN, Then("06-02 11:10", spot=530.0))
    result = ran(store, hedge__delta_band=5.0, manage__tested_action="close_all")
    closed = [order[0] for order in orders(result) if order[1] == "tested"]
    assert closed == ["06-02 11:15"]
    fills = shares(result)
    assert fills[-1][0] == "06-02 11:35"
    assert sum(quantity for _, quantity, _ in fills) == 0
    assert len(fills) == 2


def test_an_order_of_the_last_bar_is_not_filled_next_morning(tmp_path):
    """At the close nothing is looked at: no bar is left to fill on. The next day's first bar decides."""
    store = market(tmp_path, moved("06-02 16:00", 515.0))
    first = shares(ran(store, hedge__delta_band=5.0))[0]
    assert first[0] == "06-03 09:40"


def test_a_delta_that_is_not_known_trades_nothing(tmp_path):
    store = market(tmp_path, RISEN, Then("06-02 10:30", {"P460": NO_QUOTE}), Then("06-02 11:00", {"P460": 100}))
    assert shares(ran(store, hedge__delta_band=5.0))[0][0] == "06-02 11:05"


def test_shares_belong_to_cash_and_marks_on_every_row(tmp_path):
    """Recomputed from the fills: cash moves by quantity times price; marks are legs at quotes and shares at spot."""
    moves = [moved(f"06-0{2 + i} 12:10", 500.0 + (-1) ** i * 12, {"C530": 200 + 40 * i}) for i in range(3)]
    result = ran(market(tmp_path, *moves), hedge__delta_band=2.0)
    assert len(shares(result)) >= 3
    m, held, cash, fills = result.market, np.zeros(4, int), 10_000_000, list(result.fills)
    own = 0
    for r in range(len(m.row.ts)):
        while fills and fills[0][F["row"]] == r:
            f = fills.pop(0)
            quantity, price2 = f[F["quantity"]], f[F["price2"]]
            if f[F["event"]] == EVENT_HEDGE:
                own += quantity
                cash -= quantity * price2 // 2
            else:
                held[f[F["contract"]]] += quantity
                cash -= quantity * price2 * 50 + f[F["fee"]]
        quotes = m.q_bid[m.con.cell_base + m.row.snap[r]]
        marks = int((held * quotes).sum()) * 100 + own * round(m.row.spot[r] * 100)
        assert result.ledger.rows[:2, r].tolist() == [cash, marks]
        liquidation = result.ledger.rows[2, r]
        assert liquidation == cash + marks - abs(own)  # quotes are locked; shares cost half a spread, a cent here


@cache
def hedged(name):
    return markets.ran(markets.market(name), strategy__hedge__delta_band=4.0)


@pytest.mark.parametrize("name", ["table", "carried", "modelled"])
def test_shares_trade_on_bars_of_the_session_after_the_deciding_row_alone(name):
    """Never on evening snapshots, never across a night, never on the row of the look itself."""
    result = hedged(name)
    m = result.market
    rows = result.fills[result.fills[:, F["event"]] == EVENT_HEDGE][:, F["row"]]
    assert len(rows) >= 5
    assert (m.row.minute[rows] <= m.ses.close[m.row.session[rows]]).all()
    assert (m.row.session[rows] == m.row.session[rows - 1]).all()
    looked = m.row.minute[rows - 1]
    assert (((looked - 570) % 30 == 0) | (looked == 575)).all()
    assert len(np.unique(rows)) == len(rows)


@pytest.mark.parametrize("name", ["table", "carried", "modelled"])
def test_a_hedge_changes_no_trade(name):
    assert np.array_equal(hedged(name).trades, markets.ran(markets.market(name)).trades)


def test_index_markets_have_no_shares_to_hedge_with(tmp_path):
    store = market(tmp_path, root="SPXW")
    with pytest.raises(ConfigError, match="delta_band is 20, but market 'hand' holds options on an index"):
        ran(store, hedge__delta_band=20.0)
    assert orders(ran(store)) == [ENTERED]
