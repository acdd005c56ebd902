"""Which quotes may be trusted: each bad kind is counted, none is dropped silently.

A quote is two-sided unless it is
    impossible  a price that is infinite, negative, or above any bound of its payoff
    zero_zero   bid and ask both 0
    crossed     bid above ask
    one_sided   no bid or no ask, or bid 0 with an ask above max($0.50, 3 x the modelled spread)
    stale       unchanged since the last snapshot although the spot moved it by far more than its spread
    mark_only   neither side, but a price between them: it marks and never fills
Two quotes of one contract at one time count as duplicate; the later row is kept. Where several quotes of
a contract fall into one row of the clock, the earlier ones count as superseded.
"""

from __future__ import annotations

from typing import Any

import numpy as np

KINDS = ("good", "impossible", "zero_zero", "crossed", "one_sided", "stale", "mark_only")
GOOD, IMPOSSIBLE, ZERO_ZERO, CROSSED, ONE_SIDED, STALE, MARK_ONLY = range(len(KINDS))
NO_BID_ASK = 0.50
SPREADS_OF_DOUBT = 3.0
STALE_MOVE = 0.10


def classify(bid: Any, ask: Any, strike: Any, is_call: Any, spot: Any, delta: Any, mark: Any, scale: float) -> Any:
    """Quality code of each quote ($ per share; NaN bid or ask: missing). delta may be NaN, mark None.

    The modelled spread here leaves out its vega part: vendors give vega in different units or not at all.
    """
    code = np.zeros(len(bid), np.uint8)
    spread = np.fmax(0.01, 0.0056 + 0.1446 * np.abs(np.nan_to_num(delta)))
    code[(bid == 0.0) & (ask > np.maximum(NO_BID_ASK, SPREADS_OF_DOUBT * spread * scale))] = ONE_SIDED
    code[np.isnan(bid) | np.isnan(ask)] = ONE_SIDED
    code[bid > ask] = CROSSED
    code[(bid == 0.0) & (ask == 0.0)] = ZERO_ZERO
    bound = np.where(is_call, spot, strike)
    code[np.isinf(bid) | np.isinf(ask) | (bid < 0.0) | (ask < 0.0) | (bid > 1.05 * bound)] = IMPOSSIBLE
    if mark is not None:
        code[np.isnan(bid) & np.isnan(ask) & (mark >= 0.0)] = MARK_ONLY
    return code


def mark_stale(code: Any, bid: Any, ask: Any, delta: Any, spot: Any, before: Any) -> None:
    """Mark as stale, in place, quotes equal to the contract's previous one (`before`: its index, -1 none)."""
    has = (before >= 0) & (code == GOOD)
    now = np.flatnonzero(has)
    then = before[now]
    moved = np.abs(delta[now] * (spot[now] - spot[then]))
    spread = ask[now] - bid[now]
    same = (bid[now] == bid[then]) & (ask[now] == ask[then])
    late = same & (moved > np.maximum(STALE_MOVE, SPREADS_OF_DOUBT * spread))
    code[now[late]] = STALE


def counts(code: Any) -> dict[str, int]:
    """Quotes of each kind, for quality.json."""
    return {name: int((code == i).sum()) for i, name in enumerate(KINDS)}
