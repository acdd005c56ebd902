"""How likely a structure's short strikes are to be reached before expiry: by a closed form, or under local volatility.

The closed form takes one constant volatility, the mean of the two shorts' own: under a skew it is an APPROXIMATION,
and reports say so. The PDE takes the expiry's whole smile. Both are risk-neutral: they hold the market's premium for
risk and forecast nothing. NaN where a volatility or a surface is unknown.
"""

from __future__ import annotations

import math

import numpy as np

from core.jit import ALLOCATING, INNER, njit
from core.pricing.black_scholes import black_price
from core.pricing.local_vol import stay_on_smile
from core.pricing.model_surface import vol_at
from core.pricing.svi import svi_total_variance
from core.pricing.touch import stay_inside_probability, touch_probability
from core.quotes import leg_vol, log_carry, shape_of, slice_of, years_to_expiry
from core.types import CALL, CLOCK, LEG_SIGN, LEGS, MODEL, SHORT_CALL, SHORT_PUT, VIX, VIX3M

SMILE_POINTS = 241
SMILE_REACH = 6.0  # deviations of the money that the smile's grid covers on either side
FAR = 8.0  # a side without a short has its barrier so many deviations away


@njit(**INNER)
def breach_by_formula(m, legs, x, r):
    """Probability that a short strike is reached under one constant volatility: an approximation under a skew."""
    years = years_to_expiry(m, x, r)
    if not years > 0.0:
        return np.nan
    spot = m.row[r].spot
    rate = log_carry(m, x, r) / years  # the carry is all that the drift needs
    put, call = legs[SHORT_PUT], legs[SHORT_CALL]
    if put >= 0 and call >= 0:
        vol = 0.5 * (leg_vol(m, put, r) + leg_vol(m, call, r))
        inside = stay_inside_probability(
            spot, m.con[put].strike / 100.0, m.con[call].strike / 100.0, years, vol, rate, 0.0
        )
        return 1.0 - inside
    short = put if put >= 0 else call
    if short < 0:
        return 0.0
    return touch_probability(spot, m.con[short].strike / 100.0, years, leg_vol(m, short, r), rate, 0.0)[0]


@njit(**INNER)
def total_variance(m, x, r, k):
    """Total variance of expiry x at row r and moneyness k = ln(K / forward); NaN without a surface."""
    if m.kind == MODEL:
        years = years_to_expiry(m, x, r)
        clock = m.exp[x].clock - m.track[CLOCK, r]
        vol = vol_at(shape_of(m.shape), k, years, clock, m.track[VIX, r], m.track[VIX3M, r])
        return vol * vol * years
    v = slice_of(m, x, r)
    if v < 0:
        return np.nan
    s = m.v_slice[v]
    move = math.log(m.row[r].spot / s[0])
    whole = svi_total_variance(s[2], s[3], s[4], s[5], s[6], k + (1.0 - m.q_stick[m.row[r].snap]) * move)
    return whole * years_to_expiry(m, x, r) / s[7]


@njit(**ALLOCATING)
def breach_by_local_vol(m, legs, x, r):
    """Probability that a short strike is reached under the local volatility of the expiry's own smile."""
    years = years_to_expiry(m, x, r)
    money = total_variance(m, x, r, 0.0)
    if not (years > 0.0 and money > 0.0):
        return np.nan
    deviation = math.sqrt(money)
    spot = m.row[r].spot
    put, call = legs[SHORT_PUT], legs[SHORT_CALL]
    if put < 0 and call < 0:
        return 0.0
    lower = m.con[put].strike / 100.0 if put >= 0 else spot * math.exp(-FAR * deviation)
    upper = m.con[call].strike / 100.0 if call >= 0 else spot * math.exp(FAR * deviation)
    carry = log_carry(m, x, r)
    first = min(math.log(lower / spot) - abs(carry), -SMILE_REACH * deviation)
    last = max(math.log(upper / spot) + abs(carry), SMILE_REACH * deviation)
    step = (last - first) / (SMILE_POINTS - 1)
    total = np.empty(SMILE_POINTS)
    for i in range(SMILE_POINTS):
        total[i] = total_variance(m, x, r, first + i * step)
    return 1.0 - stay_on_smile(spot, lower, upper, years, carry, first, step, total)


@njit(**INNER)
def breach_chance(m, rules, legs, x, r):
    """Probability that a short strike is reached before expiry, by the model of the rules; NaN unknown."""
    if rules.local_vol:
        return breach_by_local_vol(m, legs, x, r)
    return breach_by_formula(m, legs, x, r)


@njit(**INNER)
def fair_value_cents(m, legs, x, r, vol):
    """What the structure would be worth (cents per share received) if volatility were `vol` for all its life."""
    years = years_to_expiry(m, x, r)
    forward = m.row[r].spot * math.exp(log_carry(m, x, r))
    value = 0.0
    for leg in range(LEGS):
        c = legs[leg]
        if c >= 0:
            price = black_price(m.con[c].right == CALL, forward, m.con[c].strike / 100.0, years, vol, 1.0)
            value -= LEG_SIGN[leg] * 100.0 * price
    return value
