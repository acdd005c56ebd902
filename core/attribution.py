"""Where a trade's P&L came from: delta, gamma, theta, vega, spread, fees and what they do not explain.

Between two moments a leg's value changes by delta dS + gamma dS^2 / 2 + theta dt + vega dvol, with the
greeks and the leg's own volatility at the earlier moment; what is left of the trade's P&L is its residual.
"""

from __future__ import annotations

import math

import numpy as np

from core.jit import INNER, by_reference, njit
from core.quotes import carried_from, cell_index, greeks_of_leg, years_to_expiry
from core.types import (
    EVENT_DIVIDEND,
    EVENT_FILL,
    EVENT_SHARES,
    EVENT_TRANSFER,
    GOOD,
    LEG_SIGN,
    LEGS,
    MULTIPLIER,
    NS_PER_YEAR,
    TABLE,
    F,
    T,
)

PARTS = ("delta", "gamma", "theta", "vega", "spread", "fees", "residual")
DELTA, GAMMA, THETA, VEGA, SPREAD, FEES, RESIDUAL = range(7)
STEP_ROWS = 6  # between two snapshots of the greeks, where quotes are dense: half an hour
T_OPENED, T_CLOSED, T_LEG0 = T["opened"], T["closed"], T["leg0"]
T_FEES, T_PNL, T_MARK = T["fees"], T["pnl"], T["mark"]
F_ROW, F_TRADE, F_EVENT, F_LEG, F_CONTRACT = F["row"], F["trade"], F["event"], F["leg"], F["contract"]
F_QUANTITY, F_PRICE2, F_BID, F_ASK = F["quantity"], F["price2"], F["bid"], F["ask"]


@njit(**INNER)
def next_moment(m, r, last):
    """The next row at which greeks are looked at: STEP_ROWS on, or the next row with real quotes if sooner."""
    for row in range(r + 1, min(r + STEP_ROWS, last)):
        if m.kind != TABLE and m.row[row].quoted and not m.row[row - 1].quoted:
            return row
    return min(r + STEP_ROWS, last)


@njit(**INNER)
def attribute_leg(m, c, scale, r, end, parts):
    """Add the market's part of one leg held from row r to `end` to parts[DELTA..VEGA]; scale in cents per $ a share."""
    delta, gamma, vega, theta, vol = greeks_of_leg(m, c, r)
    while r < end:
        later = next_moment(m, r, end)
        after = greeks_of_leg(m, c, later)
        if not math.isnan(delta):
            step = m.row[later].spot - m.row[r].spot
            years = (m.row[later].ts - m.row[r].ts) / NS_PER_YEAR
            change = after[4] - vol
            parts[DELTA] += scale * delta * step
            parts[GAMMA] += scale * 0.5 * gamma * step * step
            parts[THETA] += scale * theta * years
            if not math.isnan(change) and years_to_expiry(m, m.con[c].expiry, later) > 0.0:
                parts[VEGA] += scale * vega * change
        if not math.isnan(after[0]):
            delta, gamma, vega, theta, vol = after
        elif later == end:
            break
        r = later


@njit(**INNER)
def attribute_shares(m, fills, k, end, parts):
    """Shares of an exercise: their delta until they are closed, and what closing them gave up against mid, cents."""
    event, shares = fills[k, F_EVENT], fills[k, F_QUANTITY]
    if event == EVENT_SHARES:
        parts[SPREAD] -= shares * (fills[k, F_PRICE2] - fills[k, F_BID] - fills[k, F_ASK]) / 2.0
    elif event != EVENT_DIVIDEND:
        for later in range(k + 1, fills.shape[0]):
            if fills[later, F_TRADE] == fills[k, F_TRADE] and fills[later, F_EVENT] == EVENT_SHARES:
                end = fills[later, F_ROW]
                break
        parts[DELTA] += 100.0 * shares * (m.row[end].spot - m.row[fills[k, F_ROW]].spot)


@njit(**INNER)
def held_until(fills, k, end):
    """Row at which the leg opened by fill k is closed by a later fill of its trade, or `end`."""
    for later in range(k + 1, fills.shape[0]):
        same = fills[later, F_TRADE] == fills[k, F_TRADE] and fills[later, F_CONTRACT] == fills[k, F_CONTRACT]
        if same and fills[later, F_QUANTITY] == -fills[k, F_QUANTITY]:
            return fills[later, F_ROW]
        if fills[later, F_ROW] > end:
            return end
    return end


@njit
def attribute(m, trades, fills, last_row, out):
    """P&L parts of every trade in cents: out (trades, 7). An open trade is followed to the last row.

    Each leg counts from the fill that opened it to the one that closed it, so that closed parts and rolled sides are
    followed as they were held. Spread is what the fills gave up against mid; the parts of a row sum to its P&L,
    marked for an open trade.
    """
    m = by_reference(m)
    for i in range(trades.shape[0]):
        out[i, FEES] = -trades[i, T_FEES]
    for k in range(fills.shape[0]):
        i = fills[k, F_TRADE]
        if i < 0:
            continue
        if fills[k, F_CONTRACT] < 0:
            attribute_shares(m, fills, k, trades[i, T_CLOSED] if trades[i, T_CLOSED] >= 0 else last_row, out[i])
            continue
        mid2 = fills[k, F_BID] + fills[k, F_ASK]
        out[i, SPREAD] -= fills[k, F_QUANTITY] * (fills[k, F_PRICE2] - mid2) * (MULTIPLIER // 2)
        opens = fills[k, F_EVENT] == EVENT_FILL and fills[k, F_QUANTITY] * LEG_SIGN[fills[k, F_LEG]] > 0
        if opens or fills[k, F_EVENT] == EVENT_TRANSFER:
            end = held_until(fills, k, trades[i, T_CLOSED] if trades[i, T_CLOSED] >= 0 else last_row)
            scale = fills[k, F_QUANTITY] * MULTIPLIER * 100.0
            attribute_leg(m, fills[k, F_CONTRACT], scale, fills[k, F_ROW], end, out[i])
    for i in range(trades.shape[0]):
        total = 0.0
        for part in range(RESIDUAL):
            total += out[i, part]
        out[i, RESIDUAL] = trades[i, T_PNL] + trades[i, T_MARK] - total


@njit
def carried_errors(m, trades, last_row, out):
    """What the surface carried from the snapshot before would have missed on each real mark of a held structure.

    out : float64, long enough for rows x trades; $ per share, carried cost to close less the real one.
    Only rows where every leg is two-sided count. Returns how many were written.
    """
    m = by_reference(m)
    n = 0
    for i in range(trades.shape[0]):
        end = trades[i, T_CLOSED] if trades[i, T_CLOSED] >= 0 else last_row
        for r in range(trades[i, T_OPENED] + 1, end + 1):
            if m.row[r].quoted and n < out.shape[0]:
                error = carried_error(m, trades[i], r)
                if not math.isnan(error):
                    out[n] = error
                    n += 1
    return n


@njit(**INNER)
def carried_error(m, trade, r):
    """One row of carried_errors; NaN where a leg lacks a two-sided quote or a slice."""
    error = 0.0
    for leg in range(LEGS):
        c = trade[T_LEG0 + leg]
        if c < 0:
            continue
        i = cell_index(m, c, r)
        if i < 0 or m.q_flag[i] != GOOD:
            return np.nan
        real = (m.q_bid[i] + m.q_ask[i]) / 200.0
        error -= LEG_SIGN[leg] * (carried_from(m, c, r, m.row[r].snap - 1)[0] - real)
    return error
