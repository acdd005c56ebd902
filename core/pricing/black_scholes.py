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

from core.jit import njit
from core.pricing.fastmath import log_poly, norm_cdf, norm_pdf

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
