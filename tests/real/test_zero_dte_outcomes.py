"""Same-day condors with known fills: credit, settlement and P&L come out of the book to the cent."""

import math

import numpy as np
import pandas as pd
import pytest

import backtest_engine
from core.types import EVENT_FILL, EVENT_SETTLEMENT, LIQUIDATION, MULTIPLIER, F, Reason, T

LEGS = ("long_put", "short_put", "short_call", "long_call")
PRICES = ("long_put_ask", "short_put_bid", "short_call_bid", "long_call_ask")
NUMBERS = (*LEGS, *PRICES, "total_credit", "spx_close", "call_val_at_expiry", "put_val_at_expiry", "pnl_usd")
COMMISSION_USD = 0.65  # the classic fee table: per contract and side, nothing else


@pytest.fixture(scope="module")
def outcomes(kit_files):
    """The file's condors, one a row, in its order."""
    (file,) = kit_files("spx_0dte_ironcondor_outcomes.csv")
    rows = pd.read_csv(file).dropna(subset=[*NUMBERS, "date", "entry_time"]).reset_index(drop=True)
    if rows.empty:
        pytest.skip(f"{file.name} has no complete row")
    return rows


def stated(outcomes):
    """Each row as a stated order at the moment of its entry; nothing closes it before settlement."""
    entry = pd.to_datetime(outcomes["date"] + " " + outcomes["entry_time"]).dt.tz_localize("America/New_York")
    when = entry.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy("datetime64[ns]").astype(np.int64)
    days = pd.to_datetime(outcomes["date"]).to_numpy("datetime64[D]").astype(np.int64)
    return [
        backtest_engine.ScriptedOrder(
            when=int(when[i]), key=i, opens=True, expiry=int(days[i]),
            strikes=tuple(float(row[leg]) for leg in LEGS), prices=tuple(float(row[price]) for price in PRICES),
        )
        for i, row in outcomes.iterrows()
    ]  # fmt: skip


@pytest.fixture(scope="module")
def replayed(outcomes, outcomes_store, configured):
    """replayed(fees) -> the run of all stated condors, and its trades in the file's order."""
    done = {}

    def run(fees):
        if fees not in done:
            config = configured({"costs.fees": fees, "account.starting_cash": 1_000_000})
            result = backtest_engine.run(outcomes_store, config, scripted_orders=stated(outcomes))
            done[fees] = result, result.trades[np.argsort(result.trades[:, T["key"]])]
        return done[fees]

    return run


def cents(dollars):
    return np.rint(np.asarray(dollars, float) * 100).astype(np.int64)


def test_every_stated_condor_is_held_to_cash_settlement(outcomes, replayed):
    result, trades = replayed("none")
    assert trades[:, T["key"]].tolist() == list(range(len(outcomes)))
    assert (trades[:, T["reason"]] == Reason.SETTLED).all()
    closing = result.market.row[trades[:, T["closed"]]]
    opening = result.market.row[trades[:, T["opened"]]]
    assert (closing.session == opening.session).all()
    assert (closing.ts > opening.ts).all()
    assert np.allclose(closing.spot, outcomes["spx_close"], rtol=0, atol=1e-9)


def test_credit_is_the_one_that_was_received(outcomes, replayed):
    _, trades = replayed("none")
    assert trades[:, T["credit"]].tolist() == cents(outcomes["total_credit"]).tolist()


def test_settlement_pays_the_value_at_the_index_close(outcomes, replayed):
    _, trades = replayed("none")
    worth = outcomes["call_val_at_expiry"] + outcomes["put_val_at_expiry"]
    assert trades[:, T["debit"]].tolist() == cents(worth).tolist()
    close, legs = outcomes["spx_close"].to_numpy(), {leg: outcomes[leg].to_numpy() for leg in LEGS}
    from_strikes = (
        np.maximum(close - legs["short_call"], 0) - np.maximum(close - legs["long_call"], 0)
        + np.maximum(legs["short_put"] - close, 0) - np.maximum(legs["long_put"] - close, 0)
    )  # fmt: skip
    assert trades[:, T["debit"]].tolist() == cents(from_strikes).tolist()


def test_profit_without_commissions_is_the_recorded_one(outcomes, replayed):
    result, trades = replayed("none")
    assert trades[:, T["pnl"]].tolist() == cents(outcomes["pnl_usd"]).tolist()
    assert result.equity[-1] - 1_000_000_00 == cents(outcomes["pnl_usd"]).sum()


def test_fees_come_off_the_recorded_profit_and_settlement_is_free(outcomes, replayed):
    result, trades = replayed("classic")
    fee = 4 * math.ceil(COMMISSION_USD * 100)  # four legs sold and bought once, then settled in cash
    assert trades[:, T["fees"]].tolist() == [fee] * len(outcomes)
    assert trades[:, T["pnl"]].tolist() == (cents(outcomes["pnl_usd"]) - fee).tolist()
    assert (result.fills[result.fills[:, F["event"]] == EVENT_SETTLEMENT][:, F["fee"]] == 0).all()


@pytest.mark.parametrize("fees", ["none", "classic"])
def test_cash_is_the_sum_of_the_events(outcomes, replayed, fees):
    result, trades = replayed(fees)
    fills = result.fills
    assert set(fills[:, F["event"]]) == {EVENT_FILL, EVENT_SETTLEMENT}
    assert len(fills) == 8 * len(outcomes)
    amounts = -fills[:, F["quantity"]] * fills[:, F["price2"]] * (MULTIPLIER // 2) - fills[:, F["fee"]]
    by_trade = np.bincount(fills[:, F["trade"]], weights=amounts).astype(np.int64)
    assert by_trade[np.argsort(result.trades[:, T["key"]])].tolist() == trades[:, T["pnl"]].tolist()
    assert amounts.sum() == result.equity[-1] - 1_000_000_00


def test_liquidation_is_never_worth_more_than_the_mark(replayed):
    """Legs with one side only have no mark of their own: closing them is not free."""
    result, _ = replayed("none")
    assert (result.ledger.rows[LIQUIDATION] <= result.equity).all()
