"""What options would be worth if the spot, volatility and time were other than they are: full repricing, no greeks.

Prices come from the model of core.quotes at each leg's own volatility, so a difference of two of them is a model's
answer, also where quotes are real. European: what an early exercise is worth is left out.
"""

from __future__ import annotations

import math

from core.exposure import carry_of
from core.jit import INNER, njit
from core.pricing.black_scholes import black_price
from core.quotes import leg_vol, years_to_expiry
from core.types import CALL

DAYS = 365.0


@njit(**INNER)
def shocked_value(m, c, r, move, vol_factor, days):
    """$ per share of contract c if on row r the spot had moved by the share `move`, its volatility were `vol_factor`
    times what it is, and so many calendar days had passed; intrinsic value at and after expiry, NaN unknown.
    """
    x = m.con[c].expiry
    call = m.con[c].right == CALL
    spot, strike = m.row[r].spot * (1.0 + move), m.con[c].strike / 100.0
    years = years_to_expiry(m, x, r) - days / DAYS
    if not years > 0.0:
        return max(spot - strike if call else strike - spot, 0.0)
    rate, dividend_yield = carry_of(m, c, r)
    forward = spot * math.exp((rate - dividend_yield) * years)
    vol = leg_vol(m, c, r) * vol_factor
    return black_price(call, forward, strike, years, vol, math.exp(-rate * years))
