"""A book of options under shocks of spot, volatility, its term structure and its skew: each leg repriced in full.

A leg keeps the volatility of its own strike (sticky strike), times a factor. The factor of a 30-day option is the
shock's `vol_factor`; its logarithm falls with time as a power, ln f(T) = ln f * (30 days / T) ** term, and a skew adds
to strikes below the shocked spot what it takes from those above. No term and no skew: every leg has the same factor.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from core.jit import INNER, by_reference, njit
from core.quotes import years_to_expiry
from core.scenario import DAYS, shocked_value
from core.types import MULTIPLIER

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


MOVE, VOL_FACTOR, TERM, SKEW, PASSED = range(len(Shock._fields))


@njit(**INNER)
def leg_factor(m, c, r, shock):
    """What a shock (a row of the table) multiplies the volatility of contract c by."""
    years = years_to_expiry(m, m.con[c].expiry, r) - shock[PASSED] / DAYS
    factor = shock[VOL_FACTOR] ** ((MONTH / max(years, WEEK)) ** shock[TERM])
    spot = m.row[r].spot * (1.0 + shock[MOVE])
    below = math.log(spot / (m.con[c].strike / 100.0)) / SKEW_UNIT
    return factor * max(1.0 + shock[SKEW] * min(max(below, -SKEW_REACH), SKEW_REACH), LEAST_TILT)


@njit
def shocked_book(m, r, contracts, quantity, shocks, out):
    """Value of each holding at row r under each shock, $.

    contracts, quantity : int64[k], signed; shocks : float64[n, 5], fields of Shock, move > -1, vol_factor > 0
    out : float64[n, k], filled; NaN where the leg's volatility is unknown and it has life left
    """
    m = by_reference(m)
    for i in range(shocks.shape[0]):
        for j in range(contracts.size):
            factor = leg_factor(m, contracts[j], r, shocks[i])
            value = shocked_value(m, contracts[j], r, shocks[i, MOVE], factor, shocks[i, PASSED])
            out[i, j] = quantity[j] * MULTIPLIER * value
