"""What pieces of structures were worth, piece by piece: a contract, a row and how many were held, valued at mid."""

from __future__ import annotations

import numpy as np

from core.exposure import DAYS, POINT
from core.jit import by_reference, njit
from core.quotes import greeks_of_leg, leg_rows
from core.types import ASK, BAD_UNMARKED, BID, FLAG

WORTH, DELTA, GAMMA, VEGA, THETA = range(5)


@njit
def piece_values(m, contracts, rows, quantities, places, out):
    """Add up pieces by their place.

    contracts, rows, quantities, places : int64[k]: a contract held on a row, how many (short < 0), index into out
    out : float64[n, 5] zeros, filled with the value at mid in $ a share and, times 100 shares, delta (shares), gamma
        (shares per $), vega ($ per vol point) and theta ($ per calendar day); NaN where a quote or a greek is unknown
    """
    m = by_reference(m)
    quote = np.zeros((3, 1), np.int32)
    for k in range(contracts.size):
        c, r, held, place = contracts[k], rows[k], quantities[k], places[k]
        leg_rows(m, c, r, r + 1, quote)
        known = quote[FLAG, 0] != BAD_UNMARKED
        out[place, WORTH] += held * (quote[BID, 0] + quote[ASK, 0]) / 200.0 if known else np.nan
        delta, gamma, vega, theta, _ = greeks_of_leg(m, c, r)
        out[place, DELTA] += 100.0 * held * delta
        out[place, GAMMA] += 100.0 * held * gamma
        out[place, VEGA] += 100.0 * held * vega * POINT
        out[place, THETA] += 100.0 * held * theta / DAYS
