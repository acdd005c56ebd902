"""The volatility that every quote of a tabulated market implies: a column computed once, where the store is written."""

from __future__ import annotations

from typing import Any

import numpy as np

from core.jit import njit
from core.market.store import frozen
from core.pricing.implied_vol import implied_vol
from core.types import CALL, GOOD, NS_PER_YEAR

READ = (
    *("spot", "ts", "q_row", "e_ts", "c_expiry", "c_strike", "c_right"),
    *("q_base", "q_first", "q_last", "q_bid", "q_ask", "q_flag"),
)


@njit
def fill_vols(spot, ts, q_row, e_ts, expiry, strike, right, base, first, last, bid, ask, flag, out):
    """out, float32 (cells): volatility of each two-sided quote's mid at its row's spot, no carry; NaN elsewhere.

    spot ($), ts (ns) by row; q_row by snapshot; e_ts (ns) by expiry; expiry to last by contract; bid, ask (cents), flag
    by cell.
    """
    out[:] = np.nan
    for c in range(expiry.size):
        for q in range(first[c], last[c] + 1):
            i = base[c] + q - first[c]
            if flag[i] == GOOD:
                r = q_row[q]
                years = (e_ts[expiry[c]] - ts[r]) / NS_PER_YEAR
                mid = (bid[i] + ask[i]) / 200.0
                out[i] = implied_vol(right[c] == CALL, mid, spot[r], strike[c] / 100.0, years, 1.0)


def quote_vols(columns: dict[str, Any]) -> Any:
    """Column q_vol of a store with a quote in every row. European: what an early exercise is worth is in it."""
    out = np.empty(len(columns["q_bid"]), np.float32)
    fill_vols(*(frozen(np.asarray(columns[name]).view()) for name in READ), out)
    return out
