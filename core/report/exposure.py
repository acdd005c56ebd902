"""Exposure over time: greeks of the options held and shares of the hedge at the last row of each session."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from core.exposure import DELTA, GAMMA, GREEKS, THETA, VANNA, VEGA, VOLGA, book_greeks
from core.report.measure import closing_rows, session_range
from core.types import EVENT_FILL, EVENT_HEDGE, EVENT_SETTLEMENT, MULTIPLIER, SIGNAL, F, T

if TYPE_CHECKING:
    from backtest_engine import BacktestResult

PAST_SESSIONS = 63  # that say how far volatility moves in a day
FEWEST_SESSIONS = 20
YEAR = 252


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
    over_budget: Any  # bool: |vanna| or |volga| above the budget


def options_held(result: BacktestResult, rows: Any) -> Any:
    """Greeks of the options held at rows, float64 (n, 6) as core.exposure.book_greeks."""
    event = result.fills[:, F["event"]]
    fills = result.fills[(event == EVENT_FILL) | (event == EVENT_SETTLEMENT)]
    contracts, slot = np.unique(fills[:, F["contract"]], return_inverse=True)
    out = np.zeros((len(rows), len(GREEKS)))
    columns = (fills[:, F["row"]], slot.astype(np.int64), fills[:, F["quantity"]])
    held = np.zeros(len(contracts), np.int64)
    book_greeks(result.market, rows, contracts, *(np.ascontiguousarray(c) for c in columns), held, out)
    return out


def shares_held(result: BacktestResult, rows: Any) -> Any:
    """Shares of the hedge after each row, signed."""
    fills = result.fills[result.fills[:, F["event"]] == EVENT_HEDGE]
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


def past_deviation(values: Any) -> Any:
    """Standard deviation of daily changes over the sessions up to each one; NaN until enough of them are known."""
    change = np.diff(values, prepend=np.nan)
    out = np.full(len(values), np.nan)
    for i in range(FEWEST_SESSIONS, len(values)):
        past = change[max(0, i + 1 - PAST_SESSIONS) : i + 1]
        past = past[np.isfinite(past)]
        if len(past) >= FEWEST_SESSIONS:
            out[i] = past.std(ddof=1)
    return out


def exposure_of(result: BacktestResult, signal: Any) -> Exposure:
    """The book at each session's end. One standard deviation is a day's: of spot by its IV, of IV by its own past."""
    rows = (closing_rows(result) + result.first_row).astype(np.int64)
    greeks = options_held(result, rows)
    iv = signal[SIGNAL["iv"], rows]
    spot_move = result.market.row.spot[rows] * iv / math.sqrt(YEAR)
    sessions = session_range(result)
    closes = result.market.ses.end[: sessions[-1] + 1] - 1  # of the sessions before the run, too
    vol_move = 100.0 * past_deviation(signal[SIGNAL["iv"], closes])[sessions]
    vanna = greeks[:, VANNA] * spot_move * vol_move
    volga = 0.5 * greeks[:, VOLGA] * vol_move**2
    budget = result.config["strategy.hedge.vanna_volga_budget"] * credit_held(result, rows)
    return Exposure(
        rows=rows,
        delta=greeks[:, DELTA],
        gamma=greeks[:, GAMMA],
        vega=greeks[:, VEGA],
        theta=greeks[:, THETA],
        vanna=vanna,
        volga=volga,
        hedge=shares_held(result, rows),
        over_budget=np.maximum(np.abs(vanna), np.abs(volga)) > budget,
    )
