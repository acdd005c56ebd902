"""Bars of 5, 15 and 60 minutes made of five-minute bars, each seen only once closed, and what their trends agree on.

Longer bars are anchored at the session's open; one that the session's close cuts short closes there. A bar whose last
five minutes never came closes on the next bar of the market. Rows between two closes show the last CLOSED bar.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from core.errors import ConfigError
from core.features.indicators import atr_state, atr_step, ema_state, ema_step, sma_step, window_state
from core.jit import njit
from core.types import OPEN_MINUTE

FRAMES = (5, 15, 60)
ATR_BARS, MEAN_BARS = 14, 20


class Bars(NamedTuple):
    """A market's rows as bars, stamped at their close: N rows, S sessions. Prices in $."""

    session: Any  # int32 (N)
    minute: Any  # int16 (N), since midnight New York
    is_bar: Any  # uint8 (N), 0 for snapshots that come after the last bar
    open: Any  # float64 (N), as are the next four
    high: Any
    low: Any
    close: Any
    volume: Any  # NaN unknown
    start: Any  # int32 (S), first row of each session
    closing: Any  # int16 (S), the minute at which it closes


class FrameBars(NamedTuple):
    """Closed bars of one timeframe, M of them."""

    high: Any  # float64 (M), as are the next three
    low: Any
    close: Any
    volume: Any
    seen: Any  # int64 (M), the row from which on each is known


def bars_of(columns: Mapping[str, Any]) -> Bars:
    """The bars of a store's columns."""
    prices = {
        field: np.asarray(columns[name], np.float64)
        for field, name in (("open", "open"), ("high", "high"), ("low", "low"), ("close", "spot"), ("volume", "volume"))
    }
    return Bars(
        session=np.asarray(columns["session"], np.int32),
        minute=np.asarray(columns["minute"], np.int16),
        is_bar=np.asarray(columns["is_bar"]).astype(np.uint8),
        **prices,
        start=np.asarray(columns["s_start"], np.int32),
        closing=np.asarray(columns["s_close"], np.int16),
    )


@njit
def first_step(bars):
    """First row that closes a bar five minutes after the bar before it; the number of rows if there is none.

    Daily prices (a bar at the open, one at the close) never have one: such rows are no bars of a timeframe.
    """
    last, session = 0, -1
    for r in range(bars.session.size):
        if bars.is_bar[r]:
            if bars.session[r] == session and bars.minute[r] - last == FRAMES[0]:
                return r
            last, session = bars.minute[r], bars.session[r]
    return bars.session.size


@njit
def close_bars(bars, minutes, high, low, close, volume, seen):
    """Fill the closed bars of a timeframe and the row on which each is first known; returns how many there are."""
    count, forming, session, slot = 0, False, -1, -1
    for r in range(bars.session.size):
        if not bars.is_bar[r]:
            continue
        s = bars.session[r]
        now = (bars.minute[r] - OPEN_MINUTE - 1) // minutes
        if forming and (s != session or now != slot):
            seen[count] = r
            count += 1
            forming = False
        if not forming:
            high[count], low[count], volume[count] = bars.high[r], bars.low[r], 0.0
        high[count], low[count] = max(high[count], bars.high[r]), min(low[count], bars.low[r])
        close[count] = bars.close[r]
        volume[count] += bars.volume[r]
        forming, session, slot = True, s, now
        if bars.minute[r] == OPEN_MINUTE + (now + 1) * minutes or bars.minute[r] >= bars.closing[s]:
            seen[count] = r
            count += 1
            forming = False
    return count


def frame_bars(bars: Bars, minutes: int) -> FrameBars:
    """The closed bars of `minutes` (5, 15 or 60)."""
    n = len(bars.session)
    prices, seen = np.empty((4, n)), np.empty(n, np.int64)
    count = close_bars(bars, minutes, *prices, seen)
    return FrameBars(*(column[:count] for column in (*prices, seen)))


@njit
def last_closed(seen, first, out):
    """Number of the last bar known at each row, int64[n]; -1 before any is, and on the rows before `first`."""
    at = -1
    for r in range(out.size):
        while at + 1 < seen.size and seen[at + 1] == r:
            at += 1
        out[r] = at if r >= first else -1


@njit
def show_closed(closed, value, out):
    """Carry values of closed bars, float64[m], along the rows; NaN where no bar is known."""
    for r in range(out.size):
        out[r] = value[closed[r]] if closed[r] >= 0 else math.nan


@njit
def trend_rows(fast_state, slow_state, range_state, mean_state, fast, slow, high, low, close, trend, stretch):
    """Trend, (EMA fast - EMA slow) / ATR14 within -1 to 1, and stretch, (close - SMA20) / ATR14, of each bar.

    NaN while warming up, and without any range.
    """
    for i in range(close.size):
        quick, calm = ema_step(fast_state, fast, close[i]), ema_step(slow_state, slow, close[i])
        reach = atr_step(range_state, ATR_BARS, high[i], low[i], close[i])
        mean = sma_step(mean_state, MEAN_BARS, close[i])
        if not reach > 0.0:
            reach = math.nan
        move = (quick - calm) / reach
        trend[i] = math.nan if math.isnan(move) else min(max(move, -1.0), 1.0)
        stretch[i] = (close[i] - mean) / reach


def frame_trend(frame: FrameBars, fast: int, slow: int) -> Any:
    """float64 (2, M): trend and stretch of each closed bar."""
    out = np.empty((2, len(frame.close)))
    states = (ema_state(), ema_state(), atr_state(), window_state(MEAN_BARS))
    trend_rows(*states, fast, slow, frame.high, frame.low, frame.close, *out)
    return out


@njit
def consensus_rows(weight, trend, out):
    """0.5 + 0.5 x the weighted mean of the trends: 0 bearish agreement, 0.5 none, 1 bullish agreement.

    weight : float64 (3), not all 0; a weight of 0 leaves its frame out. trend : float64 (3, N).
    NaN while a frame in use is not known.
    """
    whole = weight[0] + weight[1] + weight[2]
    for r in range(out.size):
        total = 0.0
        for f in range(3):
            if weight[f] > 0.0:
                total += weight[f] * trend[f, r]
        out[r] = 0.5 + 0.5 * total / whole


def frame_weights(values: Mapping[str, Any]) -> Any:
    """float64 (3): the weights of the frames; a ConfigError where all are 0."""
    weight = np.array([values[f"strategy.signals.weight_{minutes}"] for minutes in FRAMES])
    if not weight.sum() > 0.0:
        raise ConfigError("strategy.signals.weight_5, weight_15 and weight_60 are all 0; give one of them a weight")
    return weight
