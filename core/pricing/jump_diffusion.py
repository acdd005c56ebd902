"""Merton's jump diffusion: lognormal jumps at Poisson times on top of a lognormal share.

Given n jumps the share is lognormal, so a price is the Poisson average of Black's. Jumps have log size
N(jump_mean, jump_std^2), `intensity` of them a year; the drift is lowered by what they add on average.
Bates' model, the same jumps on Heston's volatility, is in core.pricing.heston.
Source: Merton, "Option pricing when underlying stock returns are discontinuous" (J. Financial Economics, 1976).
"""

from __future__ import annotations

import math

from core.jit import njit
from core.pricing.black_scholes import black_price

LAST_WEIGHT = 1e-17
MOST_TERMS = 2000


@njit
def merton_price(is_call, forward, strike, years, discount, vol, intensity, jump_mean, jump_std):
    """European option value, $/share.

    forward, strike : $, > 0; years : ACT/365; discount : value today of 1 $ at expiry
    vol             : of the diffusion alone, decimal per year, >= 0
    intensity       : jumps a year, >= 0; jump_mean, jump_std >= 0 : of the log jump
    The out-of-the-money option is summed until terms are below 1e-17 of the whole, then parity. NaN outside the
    domain or where intensity x years is beyond 1,000 (then jumps are a diffusion).
    """
    if not (forward > 0.0 and strike > 0.0 and years >= 0.0 and vol >= 0.0 and intensity >= 0.0 and jump_std >= 0.0):
        return math.nan
    mean_jump = math.exp(jump_mean + 0.5 * jump_std * jump_std)
    expected = intensity * years
    tilted = expected * mean_jump
    if not (expected <= 1000.0 and tilted <= 1000.0):
        return math.nan
    is_otm_call = strike >= forward
    total, weight = 0.0, 0.0
    log_forward = math.log(forward) - expected * (mean_jump - 1.0)
    log_weight = -expected
    for n in range(MOST_TERMS):
        if n > 0:
            if expected <= 0.0:
                break
            log_weight += math.log(expected / n)
        share = math.exp(log_weight)
        weight += share
        at = math.exp(log_forward + n * (jump_mean + 0.5 * jump_std * jump_std))
        deviation = math.sqrt(vol * vol * years + n * jump_std * jump_std)
        term = share * black_price(is_otm_call, at, strike, 1.0, deviation, 1.0)
        total += term
        if n > tilted and n > expected and share < LAST_WEIGHT and term < LAST_WEIGHT * (total + 1e-300):
            break
    call = bool(is_call)
    price = total
    if call and not is_otm_call:
        price = total + forward - strike
    elif not call and is_otm_call:
        price = total + strike - forward
    return discount * price


@njit
def merton_rows(is_call, forward, strike, years, discount, vol, intensity, jump_mean, jump_std, out):
    """`merton_price` of one model over rows: the first five arguments array[n]; fills out, float64[n]."""
    for i in range(out.size):
        out[i] = merton_price(
            is_call[i], forward[i], strike[i], years[i], discount[i], vol, intensity, jump_mean, jump_std
        )
