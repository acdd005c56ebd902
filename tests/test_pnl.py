"""Where the money is: P&L of a condor by hand, equity, drawdown, and the laws that hold on every run.

The hand-drawn market quotes every leg at one price (bid = ask), so that what a condor makes can be checked in the head:
its shorts cost $2.00 each and its wings $1.00, so it is sold for $2.00 a share, $10 wide.
"""

import numpy as np
import pytest

from core.metrics import max_drawdown
from core.report.measure import measure
from core.types import CASH, DRAWDOWN, MARKS, MULTIPLIER, F, Reason, T
from tests import hand, markets
from tests.hand import NO_QUOTE, Then

HALF = {"P470": 150, "C530": 150, "P460": 100, "C540": 100}  # costs $1.00 to buy back: half the credit is kept
AWAY = {"P470": 700, "P460": 100}  # the put side runs away: $7.00 less $1.00, and $1.00 for the call side


@pytest.fixture
def sold(tmp_path):
    """Runs one condor on a market that changes as a test says."""

    def run(*changes, **settings):
        return hand.ran(hand.market(tmp_path / "market", *changes), **settings)

    return run


def only(result):
    assert len(result.trades) == 1
    return result.trades[0]


def test_a_condor_that_keeps_half_its_credit_makes_100_dollars(sold):
    trade = only(sold(Then("06-03 11:00", HALF)))
    assert (trade[T["credit"]], trade[T["debit"]], trade[T["fees"]]) == (200, 100, 0)
    assert trade[T["pnl"]] == (200 - 100) * MULTIPLIER and trade[T["reason"]] == Reason.PROFIT_TARGET


def test_a_condor_that_is_stopped_loses_what_it_cost_less_its_credit(sold):
    trade = only(sold(Then("06-03 11:00", AWAY)))
    assert trade[T["reason"]] == Reason.STOP
    assert trade[T["pnl"]] == (trade[T["credit"]] - trade[T["debit"]]) * MULTIPLIER < 0
    assert trade[T["debit"]] == 700  # 7.00 - 1.00 of the puts and 2.00 - 1.00 of the calls


def test_three_contracts_make_three_times_as_much(sold, tmp_path):
    one = only(sold(Then("06-03 11:00", HALF)))
    store = hand.market(tmp_path / "three", Then("06-03 11:00", HALF))
    three = only(hand.ran(store, size__contracts=3, size__max_risk_frac=1.0))
    assert (three[T["contracts"]], three[T["pnl"]]) == (3, 3 * one[T["pnl"]])


def test_an_open_condor_is_worth_its_mark_and_not_yet_a_trade(sold):
    result = sold(Then("06-03 11:00", {"P470": 180, "C530": 180}))
    trade = only(result)
    assert trade[T["closed"]] == -1 and trade[T["pnl"]] + trade[T["mark"]] == (200 - 160) * MULTIPLIER
    assert result.equity[-1] - result.equity[0] == (200 - 160) * MULTIPLIER
    metrics = measure(result).metrics
    assert (metrics["trades"], metrics["open_trades"], metrics["net_profit"]) == (0, 1, 40.0)


def test_a_drawdown_is_counted_from_the_highest_equity_on_every_bar(sold):
    up = {"P470": 160, "C530": 160}  # $0.80 a share made
    down = {"P470": 300, "C530": 160}  # $0.60 a share lost
    result = sold(Then("06-03 11:00", up), Then("06-03 12:00", down), Then("06-03 13:00", up))
    assert result.ledger.rows[DRAWDOWN].max() == (80 + 60) * MULTIPLIER
    metrics = measure(result).metrics
    assert metrics["max_drawdown"] == 140.0 == max_drawdown(np.concatenate(([1e5], result.equity / 100.0))).usd
    assert result.ledger.rows[DRAWDOWN][-1] == 0


def test_a_leg_without_a_quote_changes_no_money(sold):
    result = sold(Then("06-03 11:00", {"P470": NO_QUOTE}))
    assert len(np.unique(result.equity)) == 1


@pytest.mark.parametrize("name", sorted(markets.RUNS))
def test_cash_and_marks_are_equity_and_fills_are_the_cash(name):
    """The law of conservation on every run that laws are held against."""
    result = markets.run_named(name)
    rows, fills = result.ledger.rows, result.fills
    assert np.array_equal(rows[CASH] + rows[MARKS], result.equity)
    per_unit = np.where(fills[:, F["contract"]] >= 0, MULTIPLIER, 1)
    moved = -(fills[:, F["quantity"]] * fills[:, F["price2"]] * per_unit) // 2 - fills[:, F["fee"]]
    start = round(result.config["account.starting_cash"] * 100)
    assert start + moved.sum() == rows[CASH][-1]


@pytest.mark.parametrize("name", sorted(markets.RUNS))
def test_net_profit_is_what_trades_made_and_what_is_open_is_worth(name):
    result = markets.run_named(name)
    metrics = measure(result).metrics
    closed = result.trades[:, T["closed"]] >= 0
    done = result.trades[closed, T["pnl"]].sum()
    rest = round(100 * (metrics["net_profit"] - metrics["interest"])) - done
    if closed.all() and not (result.fills[:, F["trade"]] < 0).any():
        assert rest == 0
    assert metrics["win_rate"] is None or 0.0 <= metrics["win_rate"] <= 1.0
    assert metrics["largest_loss"] is None or metrics["largest_loss"] <= 0.0 <= (metrics["largest_win"] or 0.0)


@pytest.mark.parametrize("name", sorted(markets.RUNS))
def test_the_drawdown_is_never_negative_and_zero_at_every_new_high(name):
    result = markets.run_named(name)
    fall, equity = result.ledger.rows[DRAWDOWN], result.equity
    peak = np.maximum.accumulate(np.maximum(equity, round(result.config["account.starting_cash"] * 100)))
    assert np.array_equal(fall, peak - equity) and (fall >= 0).all()
