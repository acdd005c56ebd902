"""What is known of the sessions before a row: their bars, volatility, mean close, and where IV stands among theirs.

Everything of session s comes from sessions before s; today is in none of its own windows.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from core.features.indicators import atr_rows, atr_state, sma_rows, window_state
from core.features.timeframes import ATR_BARS, Bars
from core.features.volatility import day_variances, night_variance, trailing_volatility
from core.jit import njit


class SessionBars(NamedTuple):
    """One bar a session, float64 (S) each; prices in $, variances of log returns."""

    high: Any
    low: Any
    close: Any  # of the last bar
    day: Any  # variance from the opening print through the bars' closes
    night: Any  # squared return from the last close to the opening print; NaN on the first session


@njit
def session_rows(bars, high, low, close, day, night):
    """Fill the sessions' bars. Dividends are not known here: an ex-date's drop counts as a move of the night."""
    for s in range(bars.start.size):
        first = bars.start[s]
        end = bars.start[s + 1] if s + 1 < bars.start.size else bars.session.size
        while end > first + 1 and not bars.is_bar[end - 1]:
            end -= 1
        high[s], low[s], close[s] = bars.high[first], bars.low[first], bars.close[end - 1]
        for r in range(first, end):
            high[s], low[s] = max(high[s], bars.high[r]), min(low[s], bars.low[r])
        day[s], _ = day_variances(bars.open[first], bars.close[first:end])
        night[s] = night_variance(bars.open[first], close[s - 1], 0.0) if s > 0 else math.nan


def session_bars(bars: Bars) -> SessionBars:
    out = np.empty((5, len(bars.start)))
    session_rows(bars, *out)
    return SessionBars(*out)


def before(value: Any) -> Any:
    """Values known at the end of each session, float64[S], as the next session sees them."""
    return np.r_[np.nan, value[:-1]] if len(value) else value


def mean_close(sessions: SessionBars, days: int) -> Any:
    """Mean close of the last `days` completed sessions, as each session sees it, $."""
    out = np.empty(len(sessions.close))
    sma_rows(window_state(days), days, sessions.close, out)
    return before(out)


def day_range(sessions: SessionBars) -> Any:
    """Average true range (14) of the completed sessions over the last close, as each session sees it."""
    out = np.empty(len(sessions.close))
    atr_rows(atr_state(), ATR_BARS, sessions.high, sessions.low, sessions.close, out)
    return before(out / sessions.close)


def realised_volatility(sessions: SessionBars, days: int) -> Any:
    """Volatility per year of the last `days` completed sessions, nights included, as each session sees it."""
    out = np.empty(len(sessions.close))
    trailing_volatility(sessions.day, sessions.night, days, out)
    return before(out)


@njit
def place(ordered, n, value):
    """How many of the first n of an ascending array are below a value."""
    low, high = 0, n
    while low < high:
        middle = (low + high) // 2
        if ordered[middle] < value:
            low = middle + 1
        else:
            high = middle
    return low


@njit
def take_in(ordered, n, value):
    """Put a value among the first n of an ascending array; n + 1."""
    at = place(ordered, n, value)
    for i in range(n, at, -1):
        ordered[i] = ordered[i - 1]
    ordered[at] = value
    return n + 1


@njit
def take_out(ordered, n, value):
    """Take a value that is there out of the first n of an ascending array; n - 1."""
    for i in range(place(ordered, n, value), n - 1):
        ordered[i] = ordered[i + 1]
    return n - 1


@njit
def rank_among(ordered, n, current):
    """(rank, share strictly below, share at or below), per cent, of a value among the first n of an ascending array.

    As core.features.surface.rank_and_percentile, for a history that is kept in order: many values are ranked in one.
    """
    if n == 0 or math.isnan(current):
        return math.nan, math.nan, math.nan
    low, high = ordered[0], ordered[n - 1]
    below = place(ordered, n, current)
    upto = below
    while upto < n and ordered[upto] == current:
        upto += 1
    rank = 100.0 * (current - low) / (high - low) if high > low else math.nan
    return rank, 100.0 * below / n, 100.0 * upto / n


@njit
def iv_rank_rows(session, iv, fresh, window, last, ordered, rank, percentile):
    """Rank and strict percentile of each row's iv among the last iv of each of the `window` sessions before its own.

    fresh : uint8 (N), 1 where the iv was read in the row's own session. A session without a reading of its own is left
    out; NaN until half of the window is known. last : float64 (S), ordered : float64 (window + 1), both scratch
    """
    n, now = 0, -1
    for r in range(iv.size):
        if session[r] != now:
            if now >= 0 and not math.isnan(last[now]):
                n = take_in(ordered, n, last[now])
            gone = session[r] - window - 1
            if gone >= 0 and not math.isnan(last[gone]):
                n = take_out(ordered, n, last[gone])
            now = session[r]
            last[now] = math.nan
        rank[r], percentile[r] = math.nan, math.nan
        if 2 * n >= window:
            rank[r], percentile[r], _ = rank_among(ordered, n, iv[r])
        if fresh[r] and not math.isnan(iv[r]):
            last[now] = iv[r]


def iv_ranks(bars: Bars, iv: Any, fresh: Any, window: int) -> Any:
    """float64 (2, N): IV rank and percentile of every row, 0 to 100 (the rank leaves it on a new extreme)."""
    out = np.empty((2, len(iv)))
    iv_rank_rows(bars.session, iv, fresh, window, np.empty(len(bars.start)), np.empty(window + 1), *out)
    return out
