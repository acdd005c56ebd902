"""A book of options under shocks of spot, volatility, its term structure and its skew: each leg repriced in full.

A leg keeps the volatility of its own strike (sticky strike), times a factor. The factor of a 30-day option is the
shock's `vol_factor`; its logarithm falls with time as a power, ln f(T) = ln f * (30 days / T) ** term, and a skew adds
to strikes below the shocked spot what it takes from those above. No term and no skew: every leg has the same factor.

An index of volatility such as VIX compares the money before with the money after, and a part of its rise is the walk
along the smile to lower strikes. With `slide` the factor is read so: strikes are multiplied by what makes the new
money's volatility f(T) times the old money's. On 2018-02-05 VIX rose 2.16 times, SPXW's strikes 1.6 times, all alike.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from core.jit import INNER, by_reference, njit
from core.pricing.model_surface import vol_at
from core.pricing.svi import svi_total_variance
from core.quotes import log_carry, quoted_vol, shape_of, slice_of, years_to_expiry
from core.scenario import DAYS, shocked_value
from core.types import CLOCK, MODEL, MULTIPLIER, TABLE, VIX, VIX3M

MONTH = 30.0 / DAYS  # the term that VIX measures
WEEK = 7.0 / DAYS  # a shorter life has the factor of a week
SKEW_UNIT = 0.10  # log distance from the spot at which `skew` is the relative change of volatility
SKEW_REACH = 2.0  # units beyond which the skew adds nothing more
LEAST_TILT = 0.25


class Shock(NamedTuple):
    """What moves at once; in this order a row of the kernel's table."""

    move: float  # of the spot, as a share
    vol_factor: float  # of volatilities at 30 days
    term: float  # exponent, 0: the same factor for every expiry
    skew: float  # relative extra volatility 10 % below the shocked spot
    days: float  # calendar days that pass; inf: each leg at its own expiry
    slide: float = 0.0  # 1: vol_factor is from the old money to the new, 0: of each strike


MOVE, VOL_FACTOR, TERM, SKEW, PASSED, SLIDE = range(len(Shock._fields))


@njit(**INNER)
def quoted_smile(m, x, r, strike):
    """smile_at of a table of quotes: out-of-the-money quotes, straight between strikes, level beyond the last."""
    spot = m.row[r].spot
    low, low_vol, high, high_vol = 0.0, np.nan, np.inf, np.nan
    for side in range(2):
        first, last = (m.exp[x].put_lo, m.exp[x].put_hi) if side == 0 else (m.exp[x].call_lo, m.exp[x].call_hi)
        for c in range(first, last):
            k = m.con[c].strike / 100.0
            if (k <= spot) != (side == 0):
                continue
            vol = quoted_vol(m, c, r)
            if not vol > 0.0:
                continue
            if low < k <= strike:
                low, low_vol = k, vol
            if strike <= k < high:
                high, high_vol = k, vol
    if math.isnan(low_vol):
        return high_vol
    if math.isnan(high_vol) or high <= low:
        return low_vol
    return low_vol + (high_vol - low_vol) * (strike - low) / (high - low)


@njit(**INNER)
def smile_at(m, x, r, strike):
    """Volatility at a strike ($) of expiry x as row r knows it; NaN unknown."""
    if m.kind == TABLE:
        return quoted_smile(m, x, r, strike)
    years = years_to_expiry(m, x, r)
    if m.kind == MODEL:
        k = math.log(strike / m.row[r].spot) - log_carry(m, x, r)
        clock = m.exp[x].clock - m.track[CLOCK, r]
        return vol_at(shape_of(m.shape), k, years, clock, m.track[VIX, r], m.track[VIX3M, r])
    v = slice_of(m, x, r)
    if v < 0:
        return np.nan
    s = m.v_slice[v]
    k = math.log(strike / s[1]) - m.q_stick[m.row[r].snap] * math.log(m.row[r].spot / s[0])
    return math.sqrt(max(svi_total_variance(s[2], s[3], s[4], s[5], s[6], k), 0.0) / s[7])


@njit(**INNER)
def leg_factor(m, c, r, shock):
    """What a shock (a row of the table) multiplies the volatility of contract c by."""
    years = years_to_expiry(m, m.con[c].expiry, r) - shock[PASSED] / DAYS
    factor = shock[VOL_FACTOR] ** ((MONTH / max(years, WEEK)) ** shock[TERM])
    spot = m.row[r].spot * (1.0 + shock[MOVE])
    if shock[SLIDE] != 0.0:
        x = m.con[c].expiry
        factor *= smile_at(m, x, r, m.row[r].spot) / smile_at(m, x, r, spot)
    below = math.log(spot / (m.con[c].strike / 100.0)) / SKEW_UNIT
    return factor * max(1.0 + shock[SKEW] * min(max(below, -SKEW_REACH), SKEW_REACH), LEAST_TILT)


@njit
def shocked_book(m, r, contracts, quantity, shocks, out, factors):
    """Value of each holding at row r under each shock, $.

    contracts, quantity : int64[k], signed; shocks : float64[n, 6], fields of Shock, move > -1, vol_factor > 0
    out, factors : float64[n, k], filled with values and with what each leg's volatility was multiplied by;
        a value is NaN where the leg's volatility is unknown and it has life left
    """
    m = by_reference(m)
    for i in range(shocks.shape[0]):
        for j in range(contracts.size):
            factors[i, j] = leg_factor(m, contracts[j], r, shocks[i])
            value = shocked_value(m, contracts[j], r, shocks[i, MOVE], factors[i, j], shocks[i, PASSED])
            out[i, j] = quantity[j] * MULTIPLIER * value
