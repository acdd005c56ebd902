"""What a leg is worth on a row: a quote of the row itself, or a mark from what was known.

Every number for row r comes from rows and snapshots at or before r. A cell that is GOOD
is a two-sided quote; BAD_MARKED is a mark only (it neither fills nor triggers);
BAD_UNMARKED is unknown, and whoever asked keeps the last known mark.
"""

from __future__ import annotations

import math

import numpy as np

from core.jit import ALLOCATING, HOT, INNER, by_reference, njit
from core.pricing.black_scholes import black_greeks
from core.pricing.model_surface import ModelShape, quote_rows, vol_at
from core.pricing.svi import svi_total_variance
from core.types import (
    ASK,
    BAD_MARKED,
    BAD_UNMARKED,
    BID,
    CALL,
    CARRIED,
    CLOCK,
    FLAG,
    GOOD,
    MODEL,
    MOVE,
    NS_PER_YEAR,
    SINCE,
    SPOT,
    TABLE,
    VIX,
    VIX3M,
)


@njit(**INNER)
def years_to_expiry(m, x, r):
    """Years (ACT/365, to the minute) from row r to the expiry instant of x; negative after it."""
    return (m.exp[x].ts - m.row[r].ts) / NS_PER_YEAR


@njit(**INNER)
def slice_of(m, x, r):
    """Row of v_slice that carries expiry x at row r, or -1."""
    q = int(m.row[r].snap)
    if q < 0 or m.v_index.shape[0] == 0:
        return -1
    return m.v_index[q, x]


@njit(**HOT)
def carried_greeks(m, c, r):
    """carried_from the snapshot that row r knows."""
    return carried_from(m, c, r, m.row[r].snap)


@njit(**HOT)
def carried_from(m, c, r, q):
    """Price and greeks of contract c at row r from snapshot q's slice, moved with the spot.

    The slice's forward moves in proportion to the spot; the smile moves by the skew stickiness
    known at that snapshot (0: volatility stays with the strike, 1: with the moneyness).
    Returns (price $, delta, gamma, vega per 1.00, theta per year, vol); NaN without a slice.
    """
    x = m.con[c].expiry
    v = m.v_index[q, x] if q >= 0 and m.v_index.shape[0] > 0 else -1
    if v < 0:
        return np.nan, np.nan, np.nan, np.nan, np.nan, np.nan
    s = m.v_slice[v]
    move = math.log(m.row[r].spot / s[0])
    forward = s[1] * m.row[r].spot / s[0]
    strike = m.con[c].strike / 100.0
    k = math.log(strike / s[1]) - m.q_stick[q] * move
    variance = max(svi_total_variance(s[2], s[3], s[4], s[5], s[6], k), 0.0)
    vol = math.sqrt(variance / s[7])
    years = years_to_expiry(m, x, r)
    discount = s[8] ** max(years / s[7], 0.0)
    delta, gamma, vega, theta, price = black_greeks(
        m.con[c].right == CALL, m.row[r].spot, forward, strike, years, vol, discount
    )
    return price, delta, gamma, vega, theta, vol


@njit(forceinline=True)
def leg_greeks(m, c, r):
    """(price $, delta, gamma, vega per 1.00, theta per year, vol) of contract c at row r.

    From the modelled surface where the market is one, else from the last snapshot's slice.
    """
    m = by_reference(m)
    return modelled_greeks(m, c, r) if m.kind == MODEL else carried_greeks(m, c, r)


@njit
def shape_of(record):
    """The model's numbers as scalars: loads from a record inside a loop would keep it from vectorising."""
    return ModelShape(
        record.mean_reversion,
        record.vix3m_ratio_0,
        record.vix3m_ratio_1,
        record.atm_0,
        record.atm_1,
        record.left_slope,
        record.right_slope,
        record.center_0,
        record.center_1,
        record.width_0,
        record.width_1,
        record.overnight_weight,
        record.morning_weight,
        record.midday_weight,
        record.closed_day_weight,
        record.spread_base_usd,
        record.spread_delta_usd,
        record.spread_vega,
        record.spread_min_usd,
        record.spread_vix_from,
        record.spread_per_vix,
        record.spread_per_move,
        record.spread_open_factor,
        record.spread_open_minutes,
        record.spread_settle_minutes,
    )


@njit(**HOT)
def modelled_greeks(m, c, r):
    """leg_greeks on a modelled surface."""
    s = int(m.row[r].session)
    x = m.con[c].expiry
    years = years_to_expiry(m, x, r)
    strike = m.con[c].strike / 100.0
    discount = math.exp(-m.ses[s].rate * max(years, 0.0))
    forward = m.row[r].spot * math.exp((m.ses[s].rate - m.ses[s].dividend_yield) * max(years, 0.0))
    vol = vol_at(
        shape_of(m.shape),
        math.log(strike / forward),
        years,
        m.exp[x].clock - m.track[CLOCK, r],
        m.track[VIX, r],
        m.track[VIX3M, r],
    )
    if not years > 0.0:
        vol = 0.0
    delta, gamma, vega, theta, price = black_greeks(
        m.con[c].right == CALL, m.row[r].spot, forward, strike, years, vol, discount
    )
    return price, delta, gamma, vega, theta, vol


@njit(**ALLOCATING)
def modelled_rows(m, c, r0, r1, bid, ask):
    """Modelled quotes of contract c for rows [r0, r1) of one session, in one vectorised pass."""
    n = r1 - r0
    s = int(m.row[r0].session)
    x = m.con[c].expiry
    years = np.empty(n)
    variance_years = np.empty(n)
    for j in range(n):
        years[j] = (m.exp[x].ts - m.row[r0 + j].ts) / NS_PER_YEAR
        variance_years[j] = m.exp[x].clock - m.track[CLOCK, r0 + j]
    quote_rows(
        shape_of(m.shape), m.price_scale, m.con[c].right == CALL, m.con[c].strike / 100.0,
        m.track[SPOT, r0:r1], m.track[VIX, r0:r1], m.track[VIX3M, r0:r1], years, variance_years,
        m.ses[s].rate, m.ses[s].dividend_yield, m.track[SINCE, r0:r1], m.track[MOVE, r0:r1], bid[:n], ask[:n],
    )  # fmt: skip


@njit(**HOT)
def cell_index(m, c, r):
    """Index of contract c's quote cell at row r's latest snapshot; -1 where it is not listed or unknown.

    A cell inside the contract's life that the snapshot did not hold counts as none: whether the
    contract is quoted again later must make no difference.
    """
    q = int(m.row[r].snap)
    if q < 0 or q < m.con[c].snap_first or q > m.con[c].snap_last:
        return -1
    i = m.con[c].cell_base + (q - m.con[c].snap_first)
    return i if m.q_flag[i] < BAD_UNMARKED else -1


@njit(**HOT)
def leg_delta(m, c, r):
    """Signed delta by the leg's own smile as seen at row r; NaN where unknown or not listed."""
    if m.con[c].first > r:
        return np.nan
    if m.kind == MODEL:
        return leg_greeks(m, c, r)[1]
    i = cell_index(m, c, r)
    if i < 0:
        return np.nan
    if m.row[r].quoted == 0:  # a quote of an earlier row says nothing of this one
        return carried_greeks(m, c, r)[1] if m.kind == CARRIED else np.nan
    return m.q_delta[i]


@njit(**INNER)
def carried_quote(m, c, r):
    """(bid, ask, flag) of a leg between snapshots: the slice's price, the last known half-spread."""
    price, delta, _, vega, _, _ = carried_greeks(m, c, r)
    i = cell_index(m, c, r)
    if not price >= 0.0:
        if i >= 0:
            return m.q_bid[i], m.q_ask[i], BAD_MARKED  # no surface: the last quote, as a mark
        return 0, 0, BAD_UNMARKED
    good = i >= 0 and m.q_flag[i] == GOOD
    if good:
        half = (m.q_ask[i] - m.q_bid[i]) / 200.0
    else:
        half = 0.5 * calm_spread(delta, vega, m.price_scale)
    bid = int(math.floor(max(price - half, 0.0) * 100.0 + 1e-6))
    ask = int(math.ceil((price + half) * 100.0 - 1e-6))
    return bid, max(ask, bid + 1), GOOD if good and m.row[r].tradable else BAD_MARKED


@njit
def calm_spread(delta, vega, scale):
    """Full bid-ask width in $ on a calm evening; fitted to SPY chains of summer 2026 (VIX 14-21).

    max(0.01, 0.0056 + 0.1446 |delta| + 0.0104 vega per point), mean absolute error 0.012.
    """
    return max(0.01, 0.0056 + 0.1446 * abs(delta) + 0.0104 * vega / scale / 100.0) * scale


@njit
def leg_rows(m, c, r0, r1, quote):
    """Quotes of contract c for rows r0 <= r < r1 of one session, into the rows BID, ASK (cents) and FLAG of `quote`."""
    m = by_reference(m)
    if m.kind == MODEL:
        modelled_rows(m, c, r0, r1, quote[BID], quote[ASK])
        ask, flag = quote[ASK, : r1 - r0], quote[FLAG, : r1 - r0]
        for j in range(r1 - r0):  # 0/0 is the model's answer to an input it does not know
            flag[j] = GOOD if ask[j] > 0 else BAD_UNMARKED
        return
    for r in range(r0, r1):
        j = r - r0
        if m.row[r].quoted == 0 and m.kind == CARRIED:
            quote[BID, j], quote[ASK, j], quote[FLAG, j] = carried_quote(m, c, r)
            continue
        i = cell_index(m, c, r)
        if i < 0:
            quote[BID, j], quote[ASK, j], quote[FLAG, j] = carried_quote(m, c, r)
            quote[FLAG, j] = max(quote[FLAG, j], BAD_MARKED)
        else:
            quote[BID, j] = m.q_bid[i]
            quote[ASK, j] = m.q_ask[i]
            quote[FLAG, j] = m.q_flag[i]
            if m.row[r].quoted == 0 and quote[FLAG, j] == GOOD:
                quote[FLAG, j] = BAD_MARKED  # an older quote marks, and does no more


@njit(**HOT)
def dense_rows(m, c, r0, r1):
    """Index of the first cell if rows r0..r1 are all quoted cells of contract c in one run, else -1."""
    i = cell_index(m, c, r0)
    if (
        i < 0
        or m.row[r0].quoted == 0
        or m.row[r1 - 1].snap - m.row[r0].snap != r1 - 1 - r0
        or m.row[r1 - 1].snap > m.con[c].snap_last
    ):
        return -1
    return i


@njit(**INNER)
def quoted_vol(m, c, r):
    """Volatility that the row's own mid implies on a tabulated market, no carry; NaN without a two-sided quote."""
    i = cell_index(m, c, r)
    return m.q_vol[i] if i >= 0 and m.row[r].quoted != 0 else np.nan


@njit(**INNER)
def quoted_greeks(m, c, r):
    """leg_greeks on a tabulated market, at quoted_vol."""
    vol = quoted_vol(m, c, r)
    if math.isnan(vol):
        return np.nan, np.nan, np.nan, np.nan, np.nan, np.nan
    years = years_to_expiry(m, m.con[c].expiry, r)
    strike = m.con[c].strike / 100.0
    spot = m.row[r].spot
    call = m.con[c].right == CALL
    delta, gamma, vega, theta, price = black_greeks(call, spot, spot, strike, years, vol, 1.0)
    return price, delta, gamma, vega, theta, vol


@njit(**INNER)
def greeks_of_leg(m, c, r):
    """(delta, gamma, vega, theta, vol) of a leg at row r; NaN where unknown."""
    _, delta, gamma, vega, theta, vol = quoted_greeks(m, c, r) if m.kind == TABLE else leg_greeks(m, c, r)
    return delta, gamma, vega, theta, vol


@njit(**INNER)
def leg_vol(m, c, r):
    """Volatility of contract c by its own quote or smile at row r, decimals per year; NaN unknown."""
    return quoted_vol(m, c, r) if m.kind == TABLE else leg_greeks(m, c, r)[5]


@njit(**INNER)
def log_carry(m, x, r):
    """ln(forward / spot) of expiry x at row r: the slice's, the model's, or 0 where quotes alone are known."""
    years = years_to_expiry(m, x, r)
    if m.kind == MODEL:
        s = int(m.row[r].session)
        return (m.ses[s].rate - m.ses[s].dividend_yield) * max(years, 0.0)
    v = slice_of(m, x, r)
    if v < 0:
        return 0.0
    return math.log(m.v_slice[v, 1] / m.v_slice[v, 0]) * max(years, 0.0) / m.v_slice[v, 7]
