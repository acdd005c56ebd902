"""European option price and greeks in forward form (Black 1976).

The forward and the discount factor carry rate, yield and dividends: one formula serves SPY,
SPX and a parity forward read off the quotes. With s = vol sqrt(years):

    d1 = ln(forward / strike) / s + s / 2,   d2 = d1 - s
    call = discount (forward N(d1) - strike N(d2)),   put by parity

Every price is computed as discounted intrinsic value plus the out-of-the-money option at the
same strike. So parity holds to rounding, no price falls below intrinsic, and a vanishing s
(expiry, or no volatility) gives the intrinsic value without a special case. NaN gives NaN.
Source: Black (1976); Hull, Options, Futures and Other Derivatives, chapters 18 and 19.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from core.jit import njit
from core.pricing.fastmath import exp_poly, log_poly, norm_cdf, norm_pdf

# Stands for s = 0: d1 and d2 become huge but finite, or 0 exactly at the strike.
SMALLEST_DEVIATION = 1e-150


# forceinline: each is larger than LLVM inlines by itself, and a call would keep loops scalar.
@njit(forceinline=True)
def total_deviation(years, vol):
    """vol sqrt(years), the standard deviation of the log of the forward; negative inputs count as 0."""
    return (0.0 if vol < 0.0 else vol) * math.sqrt(0.0 if years < 0.0 else years)


@njit(forceinline=True)
def black_price(is_call, forward, strike, years, vol, discount):
    """European option value, $/share.

    is_call         : 1 or True for a call, 0 or False for a put
    forward, strike : $, > 0
    years, vol      : ACT/365 years, decimals per year; where either is <= 0 the discounted intrinsic value
    discount        : value today of 1 $ at expiry
    """
    deviation = total_deviation(years, vol)
    floored = SMALLEST_DEVIATION if deviation < SMALLEST_DEVIATION else deviation
    side = 1.0 if is_call else -1.0
    otm_side = 1.0 if strike >= forward else -1.0
    d1 = log_poly(forward / strike) / floored + 0.5 * floored
    d2 = d1 - floored
    time_value = otm_side * (forward * norm_cdf(otm_side * d1) - strike * norm_cdf(otm_side * d2))
    time_value = 0.0 if time_value < 0.0 else time_value
    exercise = side * (forward - strike)
    return discount * (time_value + (0.0 if exercise < 0.0 else exercise))


@njit
def black_price_rows(is_call, forward, strike, years, vol, discount, out):
    """`black_price` of ONE contract over rows: all but is_call and strike are float64 arrays; fills `out`."""
    for i in range(out.size):
        out[i] = black_price(is_call, forward[i], strike, years[i], vol[i], discount[i])


@njit(forceinline=True)
def black_greeks(is_call, spot, forward, strike, years, vol, discount):
    """(delta, gamma, vega, theta, price) of one European option on one share.

    delta : $ per $ of spot with the yield fixed, discount forward / spot N(d1) for a call
    gamma : delta per $ of spot
    vega  : $ per 1.00 of vol (0.01 is one vol point)
    theta : $ per year of passing time, dV/dt, under the rate and yield that discount and forward imply
    price : as `black_price`
    At years <= 0 or vol <= 0 delta is the step (half of it at the strike), gamma and vega are 0; theta is
    then the carry of the step, and 0 at years <= 0. Divide theta by 365 for $ per calendar day.
    """
    life = 0.0 if years < 0.0 else years
    deviation = total_deviation(years, vol)
    is_flat = deviation < SMALLEST_DEVIATION
    floored = SMALLEST_DEVIATION if is_flat else deviation
    side = 1.0 if is_call else -1.0
    otm_side = 1.0 if strike >= forward else -1.0
    d1 = log_poly(forward / strike) / floored + 0.5 * floored
    d2 = d1 - floored
    otm_n1 = norm_cdf(otm_side * d1)
    otm_n2 = norm_cdf(otm_side * d2)
    density = 0.0 if is_flat else norm_pdf(d1)

    time_value = otm_side * (forward * otm_n1 - strike * otm_n2)
    time_value = 0.0 if time_value < 0.0 else time_value
    exercise = side * (forward - strike)
    price = discount * (time_value + (0.0 if exercise < 0.0 else exercise))

    n1 = otm_n1 if side == otm_side else 1.0 - otm_n1
    n2 = otm_n2 if side == otm_side else 1.0 - otm_n2
    share = discount * forward / spot
    delta = side * share * n1
    gamma = share * density / (spot * floored)
    vega = discount * forward * density * math.sqrt(life)

    per_year = 1.0 / (life if life > 0.0 else math.inf)
    rate = -log_poly(discount) * per_year
    dividend_yield = rate - log_poly(forward / spot) * per_year
    decay = -0.5 * discount * forward * density * deviation * per_year
    carry = side * discount * (dividend_yield * forward * n1 - rate * strike * n2)
    return delta, gamma, vega, decay + carry, price


class EuropeanValues(NamedTuple):
    """Value and greeks of European options; see `european` for the units."""

    price: Any
    delta: Any
    gamma: Any
    vega: Any
    theta: Any
    rho: Any
    dividend_rho: Any
    vanna: Any
    volga: Any
    charm: Any
    speed: Any
    prob_itm: Any


@njit
def european_values(is_call, spot, strike, years, vol, rate, dividend_yield):
    """(price, delta, gamma, vega, theta, rho, dividend rho, vanna, volga, charm, speed, P(ITM)) of one option.

    Units and limits as `european`.
    """
    life = 0.0 if years < 0.0 else years
    discount = math.exp(-rate * life)
    growth = math.exp(-dividend_yield * life)
    forward = spot * growth / discount
    delta, gamma, vega, theta, price = black_greeks(is_call, spot, forward, strike, years, vol, discount)
    side = 1.0 if is_call else -1.0
    deviation = total_deviation(years, vol)
    if deviation < SMALLEST_DEVIATION:
        itm = 0.5 if forward == strike else (1.0 if side * (forward - strike) > 0.0 else 0.0)
        # Without volatility theta is the carry alone; black_greeks reads rates off the discount, here they are known.
        carry = side * itm * (dividend_yield * spot * growth - rate * strike * discount)
        theta = carry if life > 0.0 else 0.0
        rho, dividend_rho = side * itm * life * strike * discount, -side * itm * life * spot * growth
        return (
            price,
            delta,
            gamma,
            vega,
            theta,
            rho,
            dividend_rho,
            0.0,
            0.0,
            side * itm * dividend_yield * growth,
            0.0,
            itm,
        )
    d1 = math.log(forward / strike) / deviation + 0.5 * deviation
    d2 = d1 - deviation
    n1, n2 = norm_cdf(side * d1), norm_cdf(side * d2)
    density = norm_pdf(d1)
    theta = -0.5 * spot * growth * density * vol / math.sqrt(life) + side * (
        dividend_yield * spot * growth * n1 - rate * strike * discount * n2
    )
    rho = side * life * strike * discount * n2
    dividend_rho = -side * life * spot * growth * n1
    vanna = -growth * density * d2 / vol
    volga = vega / vol * d1 * d2
    charm, speed = side * dividend_yield * growth * n1, 0.0
    if density > 0.0:  # so far from the money that the density is 0 nothing else may make it NaN
        charm -= growth * density * ((rate - dividend_yield) / (vol * math.sqrt(life)) - 0.5 * d2 / life)
        speed = -gamma / spot * (d1 / deviation + 1.0)
    return price, delta, gamma, vega, theta, rho, dividend_rho, vanna, volga, charm, speed, n2


@njit
def european_rows(is_call, spot, strike, years, vol, rate, dividend_yield, out):
    """`european_values` over rows: every input an array[n]; fills out, float64[12, n]."""
    for i in range(out.shape[1]):
        values = european_values(is_call[i], spot[i], strike[i], years[i], vol[i], rate[i], dividend_yield[i])
        (
            out[0, i], out[1, i], out[2, i], out[3, i], out[4, i], out[5, i],
            out[6, i], out[7, i], out[8, i], out[9, i], out[10, i], out[11, i],
        ) = values  # fmt: skip


def european(
    is_call: Any, spot: Any, strike: Any, years: Any, vol: Any, rate: Any, dividend_yield: Any = 0.0
) -> EuropeanValues:
    """Value and greeks of European options over broadcast inputs; every field float64 of the broadcast shape.

    is_call              : truth values; spot, strike: $, > 0; years: ACT/365; vol: decimal per year
    rate, dividend_yield : continuous, per year
    price        : $/share; delta, gamma : per $ of spot; speed : gamma per $ of spot
    vega, volga, vanna : per 1.00 of vol; rho, dividend_rho : per 1.00 of rate or yield
    theta, charm : of price and delta per year of passing time; prob_itm : risk-neutral
    At years <= 0 or vol <= 0 the limits: intrinsic value, a step for delta (half at the strike), 0 for what the step
    has no slope in. NaN gives NaN. Source: Haug, The Complete Guide to Option Pricing Formulas (2007), chapter 2.
    """
    columns = np.broadcast_arrays(is_call, spot, strike, years, vol, rate, dividend_yield)
    flat = [np.array(column, np.float64).ravel() for column in columns]
    out = np.empty((len(EuropeanValues._fields), flat[0].size))
    european_rows(*flat, out)
    return EuropeanValues(*out.reshape(-1, *columns[0].shape))


BLOCK = 256  # rows whose columns stay in the first cache between the loops


@njit
def price_and_greeks_rows(terms, out):
    """Price, delta, gamma, vega, theta and rho over rows, units as `european`.

    terms : float64[7, n], is_call (1 or 0), spot, strike, years > 0, vol > 0, rate, dividend yield
    out   : float64[6, n], filled
    """
    n = out.shape[1]
    d1, root = np.empty(BLOCK), np.empty(BLOCK)
    for low in range(0, n, BLOCK):
        high = min(low + BLOCK, n)
        _greeks_block(terms, out, low, high, d1, root)


@njit
def _greeks_block(terms, out, low, high, d1, root):
    """One loop an output, so that every one of them vectorises."""
    is_call, spot, strike, years = terms[0, low:high], terms[1, low:high], terms[2, low:high], terms[3, low:high]
    vol, rate, dividend_yield = terms[4, low:high], terms[5, low:high], terms[6, low:high]
    price, delta, gamma = out[0, low:high], out[1, low:high], out[2, low:high]
    vega, theta, rho = out[3, low:high], out[4, low:high], out[5, low:high]
    n = price.size
    for i in range(n):
        root[i] = math.sqrt(years[i])
    for i in range(n):
        s = vol[i] * root[i]
        d1[i] = (log_poly(spot[i] / strike[i]) + (rate[i] - dividend_yield[i]) * years[i]) / s + 0.5 * s
    for i in range(n):
        delta[i] = exp_poly(-dividend_yield[i] * years[i])  # the yield's discount, for now
    for i in range(n):
        vega[i] = spot[i] * delta[i] * norm_pdf(d1[i]) * root[i]
    for i in range(n):
        gamma[i] = vega[i] / (spot[i] * spot[i] * vol[i] * years[i])
    for i in range(n):
        rho[i] = strike[i] * exp_poly(-rate[i] * years[i])
    for i in range(n):
        rho[i] *= norm_cdf((2.0 * is_call[i] - 1.0) * (d1[i] - vol[i] * root[i]))
    for i in range(n):
        delta[i] *= norm_cdf((2.0 * is_call[i] - 1.0) * d1[i])
    for i in range(n):
        price[i] = (2.0 * is_call[i] - 1.0) * (spot[i] * delta[i] - rho[i])
    for i in range(n):
        carry = (2.0 * is_call[i] - 1.0) * (dividend_yield[i] * spot[i] * delta[i] - rate[i] * rho[i])
        theta[i] = carry - 0.5 * vol[i] / years[i] * vega[i]
    for i in range(n):
        rho[i] *= (2.0 * is_call[i] - 1.0) * years[i]
    for i in range(n):
        delta[i] *= 2.0 * is_call[i] - 1.0
