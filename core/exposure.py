"""What a book of options is exposed to: its greeks on given rows, from the fills that made it.

Quantities come from the fills, contract by contract, so closed parts and rolled sides are right by themselves.
"""

from __future__ import annotations

import math

import numpy as np

from core.jit import INNER, by_reference, njit
from core.pricing.black_scholes import european_values
from core.quotes import greeks_of_leg, slice_of, years_to_expiry
from core.types import CALL, MODEL, MULTIPLIER, TABLE

GREEKS = ("delta", "gamma", "vega", "theta", "vanna", "volga")
DELTA, GAMMA, VEGA, THETA, VANNA, VOLGA = range(len(GREEKS))
POINT = 0.01  # of volatility
DAYS = 365.0


@njit(**INNER)
def carry_of(m, c, r):
    """(rate, dividend yield) per year that greeks_of_leg prices contract c with at row r; NaN without a slice."""
    if m.kind == TABLE:
        return 0.0, 0.0
    if m.kind == MODEL:
        s = m.row[r].session
        return m.ses[s].rate, m.ses[s].dividend_yield
    v = slice_of(m, m.con[c].expiry, r)
    years = years_to_expiry(m, m.con[c].expiry, r)
    if v < 0 or not years > 0.0:
        return np.nan, np.nan
    held = m.v_slice[v]
    rate = -math.log(held[8]) / held[7]
    return rate, rate - math.log(held[1] / held[0]) / years


@njit(**INNER)
def add_leg(m, c, r, quantity, out):
    """Add `quantity` contracts of c at row r to out[6], units as `book_greeks`; NaN where unknown."""
    delta, gamma, vega, theta, vol = greeks_of_leg(m, c, r)
    rate, dividend_yield = carry_of(m, c, r)
    years = years_to_expiry(m, m.con[c].expiry, r)
    call = m.con[c].right == CALL
    values = european_values(call, m.row[r].spot, m.con[c].strike / 100.0, years, vol, rate, dividend_yield)
    shares = quantity * MULTIPLIER
    out[DELTA] += shares * delta
    out[GAMMA] += shares * gamma
    out[VEGA] += shares * vega * POINT
    out[THETA] += shares * theta / DAYS
    out[VANNA] += shares * values[7] * POINT
    out[VOLGA] += shares * values[8] * POINT * POINT


@njit
def book_greeks(m, rows, contracts, fill_row, fill_slot, fill_quantity, held, out):
    """Greeks of the options held at the end of given rows.

    rows      : int64[n], ascending
    contracts : int64[k], the contracts that ever were held
    fill_row, fill_slot, fill_quantity : int64[f] in order of rows; slot indexes `contracts`, short < 0
    held      : int64[k] zeros, scratch; out : float64[n, 6] zeros, filled with delta (shares), gamma (shares per $),
        vega ($ per vol point), theta ($ per calendar day), vanna (shares per vol point), volga ($ per vol point
        squared); NaN where a held contract's greeks are unknown
    """
    m = by_reference(m)
    k = 0
    for i in range(rows.size):
        while k < fill_row.size and fill_row[k] <= rows[i]:
            held[fill_slot[k]] += fill_quantity[k]
            k += 1
        for j in range(contracts.size):
            if held[j] != 0:
                add_leg(m, contracts[j], rows[i], held[j], out[i])
