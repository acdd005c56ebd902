"""At-the-money volatility at 30 days of every row, by what the market's quotes allow: one definition, three readings.

A modelled surface is read on each row. Slices of end-of-day chains are read at their snapshot. Where every bar is
quoted, the straddles of the two expiries around 30 days are inverted on every sixth bar. Between two readings the last
one stands; nothing is extrapolated. Straddles of American options keep their exercise premium: at the money, a month
out, it is worth some hundredths of a volatility point.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from core.features.surface import MONTH_YEARS, at_money_vol, constant_maturity_variance
from core.jit import INNER, by_reference, njit
from core.pricing.implied_vol import implied_vol
from core.pricing.model_surface import vol_at
from core.quotes import cell_index, shape_of, years_to_expiry
from core.types import CARRIED, GOOD, MODEL, VIX, VIX3M, Market

BARS_BETWEEN_READINGS = 6
NEAR_MONEY = 0.05  # strikes farther from the spot are not looked at
NEAR_FORWARD = 0.01  # a straddle farther from its forward is not at the money


@njit(**INNER)
def straddle_vol(m, x, r):
    """Volatility per year of expiry x at row r from the pair of quotes nearest its forward; NaN without one."""
    years = years_to_expiry(m, x, r)
    spot = m.row[r].spot
    best, strike, call, put = math.inf, math.nan, math.nan, math.nan
    p = m.exp[x].put_lo
    for c in range(m.exp[x].call_lo, m.exp[x].call_hi):
        if abs(m.con[c].strike / (100.0 * spot) - 1.0) > NEAR_MONEY:
            continue
        while p < m.exp[x].put_hi and m.con[p].strike < m.con[c].strike:
            p += 1
        if p == m.exp[x].put_hi or m.con[p].strike != m.con[c].strike:
            continue
        i, j = cell_index(m, c, r), cell_index(m, p, r)
        if i < 0 or j < 0 or m.q_flag[i] != GOOD or m.q_flag[j] != GOOD:
            continue
        above, below = (m.q_bid[i] + m.q_ask[i]) / 200.0, (m.q_bid[j] + m.q_ask[j]) / 200.0
        if abs(above - below) < best:
            best, strike, call, put = abs(above - below), m.con[c].strike / 100.0, above, below
    rate = m.ses[m.row[r].session].rate
    discount = 1.0 if math.isnan(rate) else math.exp(-rate * years)
    forward = strike + (call - put) / discount
    if not abs(forward / strike - 1.0) <= NEAR_FORWARD:
        return math.nan
    is_call = forward < strike
    return implied_vol(is_call, call if is_call else put, forward, strike, years, discount)


@njit(**INNER)
def table_vol(m, r, years, total):
    """30-day volatility at row r from the nearest expiries with a straddle on either side; NaN without both.

    years, total : float64 (2) scratch
    """
    if not m.row[r].quoted:
        return math.nan
    after = 0
    while after < m.exp.shape[0] and years_to_expiry(m, after, r) < MONTH_YEARS:
        after += 1
    years[:] = math.nan
    total[:] = math.nan
    for side in (1, 0):  # beyond 30 days first: without it there is nothing to interpolate
        x = after - 1 + side
        while 0 <= x < m.exp.shape[0] and years_to_expiry(m, x, r) > 0.0 and math.isnan(total[side]):
            vol = straddle_vol(m, x, r)
            years[side] = years_to_expiry(m, x, r)
            total[side] = vol * vol * years[side]
            x += 2 * side - 1
        if side == 1 and math.isnan(total[1]):
            return math.nan
    variance = constant_maturity_variance(years, total, MONTH_YEARS)
    return math.sqrt(variance / MONTH_YEARS) if variance >= 0.0 else math.nan


@njit(**INNER)
def snapshot_slices(m, r, years, slices):
    """Gather the slices known at a snapshot's row, ascending in years; returns how many there are.

    A slice carried from an older snapshot keeps its volatility: its total variance shrinks with its time.
    """
    n = 0
    for x in range(m.v_index.shape[1]):
        v = m.v_index[m.row[r].snap, x]
        left = years_to_expiry(m, x, r)
        if v < 0 or not left > 0.0 or (n > 0 and left <= years[n - 1]):
            continue
        s = m.v_slice[v]
        share = left / s[7]
        years[n] = left
        slices[n, 0], slices[n, 1] = share * s[2], share * s[3]
        slices[n, 2], slices[n, 3], slices[n, 4] = s[4], s[5], s[6]
        n += 1
    return n


@njit
def modelled_vol_rows(m, out):
    """At the money on the modelled surface, 30 days of both clocks ahead of each row."""
    m = by_reference(m)
    shape = shape_of(m.shape)
    for r in range(out.size):
        out[r] = vol_at(shape, 0.0, MONTH_YEARS, MONTH_YEARS, m.track[VIX, r], m.track[VIX3M, r])


@njit
def carried_vol_rows(m, out):
    """Of the slices of each row's last snapshot."""
    m = by_reference(m)
    count = m.v_index.shape[1]
    years, slices, last = np.empty(count), np.empty((count, 5)), math.nan
    for r in range(out.size):
        if m.row[r].quoted:
            n = snapshot_slices(m, r, years, slices)
            last = at_money_vol(years[:n], slices[:n], MONTH_YEARS)
        out[r] = last


@njit
def table_vol_rows(m, is_bar, out):
    """Of straddles on a session's first bar, every sixth after it and its last; a reading that fails is tried again.

    Until it succeeds the volatility is unknown.
    """
    m = by_reference(m)
    years, total = np.empty(2), np.empty(2)
    session, ordinal, due, last = -1, 0, True, math.nan
    for r in range(out.size):
        s = m.row[r].session
        if s != session:
            session, ordinal = s, 0
        if is_bar[r]:
            due = due or ordinal % BARS_BETWEEN_READINGS == 0 or m.row[r].minute >= m.ses[s].close
            ordinal += 1
            if due:
                last = table_vol(m, r, years, total)
                due = math.isnan(last)
        out[r] = last


def fresh_rows(market: Market) -> Any:
    """uint8 (N): 1 where a row's volatility was read in its own session, 0 where it may come from an older snapshot."""
    return np.array(market.row.quoted) if market.kind == CARRIED else np.ones(len(market.row), np.uint8)


def implied_rows(market: Market, is_bar: Any) -> Any:
    """float64 (N): at-the-money 30-day volatility per year of every row, NaN unknown. is_bar : uint8 (N)."""
    out = np.empty(len(market.row))
    if market.kind == MODEL:
        modelled_vol_rows(market, out)
    elif market.kind == CARRIED:
        carried_vol_rows(market, out)
    else:
        table_vol_rows(market, is_bar, out)
    return out
