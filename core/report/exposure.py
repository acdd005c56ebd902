"""Exposure over time: greeks of the options held and shares of the hedge at the last row of each session."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from core.exposure import DELTA, GAMMA, GREEKS, THETA, VANNA, VEGA, VOLGA, book_greeks
from core.report.measure import closing_rows, power_share, session_range
from core.types import MONEY_EVENTS, MULTIPLIER, SIGNAL, F, T
from strategies.hedging import past_vol_move, smile_moves, spot_move

if TYPE_CHECKING:
    from backtest_engine import BacktestResult


class Exposure(NamedTuple):
    """One value per session; NaN where a leg's greeks are unknown."""

    rows: Any  # last row of each session, of the whole market
    delta: Any  # of the options, in shares
    gamma: Any  # shares per $
    vega: Any  # $ per vol point
    theta: Any  # $ per calendar day
    vanna: Any  # $ made by one-sd moves of spot and volatility together
    volga: Any  # $ made by a one-sd move of volatility, second order
    hedge: Any  # shares held
    delta_usd: Any  # of options and hedge together: shares times spot
    power: Any  # share of the funds that margin binds
    over_budget: Any  # bool: |vanna| or |volga| above the budget


def options_held(result: BacktestResult, rows: Any) -> Any:
    """Greeks of the options held at rows, the smile hedge's among them, float64 (n, 6) as core.exposure.book_greeks."""
    fills = result.fills[result.fills[:, F["contract"]] >= 0]
    contracts, slot = np.unique(fills[:, F["contract"]], return_inverse=True)
    out = np.zeros((len(rows), len(GREEKS)))
    columns = (fills[:, F["row"]], slot.astype(np.int64), fills[:, F["quantity"]])
    held = np.zeros(len(contracts), np.int64)
    book_greeks(result.market, rows, contracts, *(np.ascontiguousarray(c) for c in columns), held, out)
    return out


def shares_held(result: BacktestResult, rows: Any) -> Any:
    """Shares of the hedge and of exercises after each row, signed."""
    money = np.isin(result.fills[:, F["event"]], MONEY_EVENTS)
    fills = result.fills[(result.fills[:, F["contract"]] < 0) & ~money]
    total = np.concatenate(([0], np.cumsum(fills[:, F["quantity"]])))
    return total[np.searchsorted(fills[:, F["row"]], rows, side="right")]


def credit_held(result: BacktestResult, rows: Any) -> Any:
    """Credit received for the structures open after each row, $."""
    trades = result.trades
    credit = trades[:, T["credit"]] * trades[:, T["contracts"]] * MULTIPLIER / 100.0
    total = np.zeros(len(rows) + 1)
    np.add.at(total, np.searchsorted(rows, trades[:, T["opened"]]), credit)
    closed = trades[:, T["closed"]] >= 0
    np.subtract.at(total, np.searchsorted(rows, trades[closed, T["closed"]]), credit[closed])
    return np.cumsum(total)[:-1]


def exposure_of(result: BacktestResult, signal: Any) -> Exposure:
    """The book at each session's end. One standard deviation is a day's: of spot by its IV, of IV by its own past."""
    rows = (closing_rows(result) + result.first_row).astype(np.int64)
    greeks = options_held(result, rows)
    hedge = shares_held(result, rows)
    iv = signal[SIGNAL["iv"], rows]
    sd_spot = spot_move(result.market.row.spot[rows], iv)
    past = [past_vol_move(signal[SIGNAL["iv"]], result.market.ses, s) for s in session_range(result).tolist()]
    vanna, volga = smile_moves(greeks[:, VANNA], greeks[:, VOLGA], sd_spot, 100.0 * np.array(past))
    budget = result.config["strategy.hedge.vanna_volga_budget"] * credit_held(result, rows)
    return Exposure(
        rows=rows,
        delta=greeks[:, DELTA],
        gamma=greeks[:, GAMMA],
        vega=greeks[:, VEGA],
        theta=greeks[:, THETA],
        vanna=vanna,
        volga=volga,
        hedge=hedge,
        delta_usd=(greeks[:, DELTA] + hedge) * result.market.row.spot[rows],
        power=power_share(result)[rows - result.first_row],
        over_budget=np.maximum(np.abs(vanna), np.abs(volga)) > budget,
    )
