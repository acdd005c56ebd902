"""Binomial trees: Leisen-Reimer and Cox-Ross-Rubinstein, European, Bermudan and American exercise.

The values of a step lie in one array that is overwritten from the bottom; the spots of a step are those of the last
one times a factor, so that the inner loop reads two arrays, writes one, and vectorises.
Sources: Cox, Ross and Rubinstein (1979); Leisen and Reimer, "Binomial models for option valuation" (1996), with the
second Peizer-Pratt inversion; Broadie and Detemple (1996) for Black-Scholes values on the step before the last.
"""

from __future__ import annotations

import math

import numpy as np

from core.jit import njit
from core.pricing.black_scholes import black_price

EUROPEAN = 0  # `exercise_every`: never before expiry; 1 is American, k every k-th step


@njit
def _peizer_pratt(z, steps):
    """The probability whose binomial distribution over `steps` (odd) matches the normal's N(z)."""
    ratio = z / (steps + 1.0 / 3.0 + 0.1 / (steps + 1.0))
    half = 0.5 * math.sqrt(1.0 - math.exp(-ratio * ratio * (steps + 1.0 / 6.0)))
    return 0.5 + math.copysign(half, z)


@njit
def _roll_back(side, strike, base, factor, up, down, steps, last, exercise_every, values):
    """Roll `values` back from step `last` to step 1; spots of step i are base[j] factor^(steps - i)."""
    scale = 1.0
    for _ in range(steps - last):
        scale *= factor
    for i in range(last - 1, 0, -1):
        scale *= factor
        if exercise_every > 0 and i % exercise_every == 0:
            if side > 0.0:
                for j in range(i + 1):
                    values[j] = max(up * values[j + 1] + down * values[j], scale * base[j] - strike)
            else:
                for j in range(i + 1):
                    values[j] = max(up * values[j + 1] + down * values[j], strike - scale * base[j])
        else:
            for j in range(i + 1):
                values[j] = up * values[j + 1] + down * values[j]


@njit
def leisen_reimer(is_call, spot, strike, years, vol, rate, dividend_yield, steps, exercise_every):
    """(price $/share, delta) on a Leisen-Reimer tree; NaN for an even number of steps or an input <= 0.

    steps          : odd, >= 3; the European price converges with its square
    exercise_every : 0 European, 1 American, k Bermudan at every k-th step
    Other inputs as in core.pricing.american. Delta is the slope between the two nodes of the first step.
    """
    if not (steps % 2 == 1 and steps >= 3 and spot > 0.0 and strike > 0.0 and years > 0.0 and vol > 0.0):
        return math.nan, math.nan
    dt = years / steps
    s = vol * math.sqrt(years)
    d1 = (math.log(spot / strike) + (rate - dividend_yield) * years) / s + 0.5 * s
    p = _peizer_pratt(d1 - s, steps)
    growth = math.exp((rate - dividend_yield) * dt)
    u = growth * _peizer_pratt(d1, steps) / p
    d = (growth - p * u) / (1.0 - p)
    if not (0.0 < p < 1.0 and d > 0.0):
        return math.nan, math.nan  # so far from the money that the probability has left (0, 1)
    return _tree(is_call, spot, strike, u, d, p, math.exp(-rate * dt), steps, exercise_every, 0.0, 0.0, 0.0)


@njit
def cox_ross_rubinstein(is_call, spot, strike, years, vol, rate, dividend_yield, steps, exercise_every):
    """(price $/share, delta) on a Cox-Ross-Rubinstein tree with Black-Scholes values on the step before the last.

    Arguments as leisen_reimer, any steps >= 3. NaN where an input is <= 0 or a step is too long for the drift (its
    probability leaves (0, 1)): take more steps.
    """
    if not (steps >= 3 and spot > 0.0 and strike > 0.0 and years > 0.0 and vol > 0.0):
        return math.nan, math.nan
    dt = years / steps
    u = math.exp(vol * math.sqrt(dt))
    p = (math.exp((rate - dividend_yield) * dt) - 1.0 / u) / (u - 1.0 / u)
    if not 0.0 < p < 1.0:
        return math.nan, math.nan
    carry = math.exp((rate - dividend_yield) * dt)
    return _tree(is_call, spot, strike, u, 1.0 / u, p, math.exp(-rate * dt), steps, exercise_every, dt, vol, carry)


@njit
def _tree(is_call, spot, strike, u, d, p, discount, steps, exercise_every, smooth_years, vol, carry):
    """(price, delta) of a tree; smooth_years > 0: Black-Scholes values at step steps - 1."""
    side = 1.0 if is_call else -1.0
    base, values = np.empty(steps + 1), np.empty(steps + 1)
    base[0] = spot * d**steps
    for j in range(steps):
        base[j + 1] = base[j] * (u / d)
    last = steps
    if smooth_years > 0.0:
        last = steps - 1
        may_exercise = exercise_every > 0 and last % exercise_every == 0
        for j in range(steps):
            at = base[j] / d
            values[j] = black_price(is_call, at * carry, strike, smooth_years, vol, discount)
            if may_exercise:
                values[j] = max(values[j], side * (at - strike))
    else:
        for j in range(steps + 1):
            values[j] = max(side * (base[j] - strike), 0.0)
    _roll_back(side, strike, base, 1.0 / d, discount * p, discount * (1.0 - p), steps, last, exercise_every, values)
    price = discount * (p * values[1] + (1.0 - p) * values[0])
    if exercise_every > 0:
        price = max(price, side * (spot - strike))
    return price, (values[1] - values[0]) / (spot * (u - d))
