"""Barone-Adesi and Whaley's quadratic approximation of American options: quick, known, off by cents.

Kept because the field quotes it; core.pricing.american prices. Source: Barone-Adesi and Whaley, "Efficient analytic
approximation of American option values" (Journal of Finance, 1987).
"""

from __future__ import annotations

import math

from core.jit import njit
from core.pricing.black_scholes import black_greeks, black_price

STEPS = 100


@njit
def barone_adesi_whaley(is_call, spot, strike, years, vol, rate, dividend_yield):
    """Approximate American value, $/share; units as core.pricing.american, positive years and vol, rate > 0.

    A call without dividend yield is European. NaN outside the domain.
    """
    if not (spot > 0.0 and strike > 0.0 and years > 0.0 and vol > 0.0 and rate > 0.0):
        return math.nan
    carry = math.exp((rate - dividend_yield) * years)
    discount = math.exp(-rate * years)
    european = black_price(is_call, spot * carry, strike, years, vol, discount)
    if is_call and dividend_yield <= 0.0:
        return european
    side = 1.0 if is_call else -1.0
    m, n = 2.0 * rate / (vol * vol), 2.0 * (rate - dividend_yield) / (vol * vol)
    q = 0.5 * (1.0 - n + side * math.sqrt((n - 1.0) * (n - 1.0) + 4.0 * m / -math.expm1(-rate * years)))
    # The critical price lies between the strike and the perpetual option's.
    perpetual = 0.5 * (1.0 - n + side * math.sqrt((n - 1.0) * (n - 1.0) + 4.0 * m))
    a, b = strike, strike * perpetual / (perpetual - 1.0)
    for _ in range(STEPS):
        middle = 0.5 * (a + b)
        delta, _, _, _, price = black_greeks(is_call, middle, middle * carry, strike, years, vol, discount)
        # Exercise value less holding value: below 0 while holding is worth more.
        if side * (middle - strike) - price - (side - delta) * middle * side / (q * side) < 0.0:
            a = middle
        else:
            b = middle
    critical = 0.5 * (a + b)
    if side * (spot - critical) >= 0.0:
        return side * (spot - strike)
    delta, _, _, _, _ = black_greeks(is_call, critical, critical * carry, strike, years, vol, discount)
    return european + (side - delta) * critical / q * (spot / critical) ** q
