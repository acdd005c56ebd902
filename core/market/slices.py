"""Surfaces of snapshots: one SVI slice per expiry, deltas, fallback marks, and how the smile follows the spot.

Everything of snapshot q comes from quotes of snapshots <= q. The skew stickiness known at q is fitted
on the moves between earlier snapshots: it starts at 0 (volatility stays with the strike).
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from core.jit import njit
from core.pricing.black_scholes import black_greeks
from core.pricing.implied_vol import implied_vol
from core.pricing.svi import SVI_OK, fit_snapshot_slice, parity_forward, svi_vol

STICK_PRIOR_WEIGHT = 4e-5  # sum of (slope x move)^2 that the prior of 0 is worth: about a month of 1 % moves
STICK_LIMIT = 2.0
STICK_POINTS = np.array([-1.5, -1.0, -0.5, 0.5, 1.0])  # strikes compared, in standard deviations
LAST_RESORT = 3  # snapshots that a slice may stand in for a missing one
SLICE_COLUMNS = 9


class Side(NamedTuple):
    """One expiry of one snapshot by strike: cells of both rights (-1 absent)."""

    strike: Any
    put: Any
    call: Any


def pair_strikes(strike: Any, is_call: Any, cells: Any) -> Side:
    """Join a snapshot-expiry's quotes by strike."""
    levels = np.unique(strike)
    put = np.full(len(levels), -1, np.int64)
    call = np.full(len(levels), -1, np.int64)
    at = np.searchsorted(levels, strike)
    put[at[~is_call]] = cells[~is_call]
    call[at[is_call]] = cells[is_call]
    return Side(levels, put, call)


def _column(values: Any, cells: Any, missing: float) -> Any:
    return np.where(cells >= 0, values[np.maximum(cells, 0)], missing)


def fit_side(side: Side, bid: Any, ask: Any, good: Any, years: float, spot: float, discount: float) -> Any:
    """fit_snapshot_slice for one expiry of one snapshot; bid, ask ($) and good are indexed by cell."""
    mid, half = (bid + ask) / 2.0, (ask - bid) / 2.0
    return fit_snapshot_slice(
        side.strike,
        _column(mid, side.put, math.nan),
        _column(mid, side.call, math.nan),
        _column(good, side.put, 0.0) > 0,
        _column(good, side.call, 0.0) > 0,
        _column(half, side.put, math.nan),
        _column(half, side.call, math.nan),
        years,
        spot,
        discount,
    )


def slice_row(fit: Any, years: float, spot: float, discount: float) -> Any:
    """A row of v_slice, or None where the fit has no full smile."""
    if fit[8] != SVI_OK or not np.isfinite(fit[:6]).all():
        return None
    return np.array([spot, *fit[:6], years, discount])


@njit
def smile_vol(row, k):
    return svi_vol(row[2], row[3], row[4], row[5], row[6], k, row[7])


@njit
def stickiness_sums(before, after):
    """(sum of slope^2 move^2, sum of -change x slope x move) between two slices of one expiry.

    With vol_after(K) = vol_before(k - stick x move), k = ln(K / forward_before), stick is their quotient.
    """
    move = math.log(after[0] / before[0])
    top, bottom = 0.0, 0.0
    deviation = smile_vol(before, 0.0) * math.sqrt(before[7])
    for z in STICK_POINTS:
        k = z * deviation
        strike = before[1] * math.exp(k)
        change = smile_vol(after, math.log(strike / after[1])) - smile_vol(before, k)
        step = 0.1 * deviation
        slope = (smile_vol(before, k + step) - smile_vol(before, k - step)) / (2.0 * step)
        top -= change * slope * move
        bottom += (slope * move) ** 2
    return bottom / len(STICK_POINTS), top / len(STICK_POINTS)


def stickiness(v_index: Any, v_slice: Any, shortest_years: float = 7 / 365) -> Any:
    """Skew stickiness known at each snapshot (Q), from the moves between snapshots up to it."""
    snapshots = v_index.shape[0]
    result = np.zeros(snapshots)
    bottom, top = STICK_PRIOR_WEIGHT, 0.0
    for q in range(1, snapshots):
        pairs = []
        for x in range(v_index.shape[1]):
            i, j = v_index[q - 1, x], v_index[q, x]
            if i >= 0 and j >= 0 and v_slice[j, 7] > shortest_years and v_slice[i, 0] != v_slice[j, 0]:
                pairs.append(stickiness_sums(v_slice[i], v_slice[j]))
        if pairs:
            step = np.median(np.array(pairs), axis=0)
            bottom += step[0]
            top += step[1]
        result[q] = np.clip(top / bottom, -STICK_LIMIT, STICK_LIMIT)
    return result


def fill_forward(v_index: Any, v_slice: Any) -> Any:
    """Let the last slices of an expiry stand in where a snapshot has none (a few snapshots at most)."""
    result = v_index.copy()
    for x in range(v_index.shape[1]):
        last, age = -1, 0
        for q in range(v_index.shape[0]):
            if v_index[q, x] >= 0:
                last, age = v_index[q, x], 0
            elif last >= 0:
                age += 1
                result[q, x] = last if age <= LAST_RESORT else -1
    return result


@njit
def own_smile_delta(
    strike, put_bid, put_ask, call_bid, call_ask, put_ok, call_ok, years, spot, discount, put_delta, call_delta
):
    """Deltas of one expiry by each strike's own out-of-the-money volatility (NaN where it has none).

    Arrays by strike, $; results into put_delta and call_delta. Returns the parity forward.
    """
    put_delta[:] = np.nan
    call_delta[:] = np.nan
    put_mid = (put_bid + put_ask) / 2.0
    call_mid = (call_bid + call_ask) / 2.0
    forward = parity_forward(strike, put_mid, call_mid, put_ok, call_ok, spot, discount)
    if not (forward > 0.0 and years > 0.0):
        return forward
    for i in range(strike.size):
        is_call = strike[i] >= forward
        mid = call_mid[i] if is_call else put_mid[i]
        if not (call_ok[i] if is_call else put_ok[i]) or not mid > 0.0:
            continue
        vol = implied_vol(is_call, mid, forward, strike[i], years, discount)
        if not vol > 0.0:
            continue
        call_delta[i] = black_greeks(True, spot, forward, strike[i], years, vol, discount)[0]
        put_delta[i] = call_delta[i] - discount * forward / spot
    return forward
