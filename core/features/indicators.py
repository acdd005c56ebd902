"""Technical indicators, one closed bar at a time: a small state, a step, and the batch that loops over the step.

So a live bar and a backtest give the same bits. Conventions are TA-Lib's: Wilder's averages start from a plain mean
(ADX's sums from period - 1 terms), EMA from a simple mean, MACD's two EMAs from the same bar, Bollinger's deviation has
ddof 0, stochastics are shown from the bar on which %D exists. NaN while warming up. A bar with a missing input gives
NaN and starts the indicator afresh; a ratio without a denominator (no range, no movement) is NaN, not a middle value.
Sources: Wilder, New Concepts in Technical Trading Systems (1978); the TA-Lib manual for the starts.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from core.jit import njit

# Every state is a float64 array whose first element counts the bars taken in.
MACD_FAST, MACD_SLOW, MACD_SIGNAL = 12, 26, 9
STOCH_SMOOTH = 3
SAR_STEP, SAR_MOST = 0.02, 0.2


def window_state(period: int) -> Any:
    """State of `sma_step`, `bollinger_step`, `volume_ratio_step`: the last values."""
    return np.zeros(1 + period)


def ema_state() -> Any:
    """State of `ema_step`: count, running sum, average."""
    return np.zeros(3)


def rsi_state() -> Any:
    """State of `rsi_step`: count, last close, average gain, average loss."""
    return np.zeros(4)


def atr_state() -> Any:
    """State of `atr_step`: count, last close, average."""
    return np.zeros(3)


def adx_state() -> Any:
    """State of `adx_step`: count, last high, low, close, sums of +DM, -DM, true range, and ADX's average."""
    return np.zeros(9)


def stochastic_state(period: int) -> Any:
    """State of `stochastic_step`: count, highs, lows, last %K fast, last %K slow."""
    return np.zeros(1 + 2 * period + 2 * STOCH_SMOOTH)


def macd_state() -> Any:
    """State of `macd_step`: count, sums and averages of both EMAs, of the signal, and the closes of the fast start."""
    return np.zeros(6)


def sar_state() -> Any:
    """State of `sar_step`: count, long or short, extreme, acceleration, SAR, last high, last low."""
    return np.zeros(7)


def obv_state() -> Any:
    """State of `obv_step`: count, last close, volume."""
    return np.zeros(3)


@njit
def _keep(state, period, value):
    """Take a value into the window; whether the window is full."""
    state[1 + int(state[0]) % period] = value
    state[0] += 1.0
    return state[0] >= period


@njit
def _mean(state, period):
    total = 0.0
    for i in range(period):
        total += state[1 + i]
    return total / period


@njit
def sma_step(state, period, value):
    """Simple moving average of the last `period` values."""
    if math.isnan(value):
        state[:] = 0.0
        return math.nan
    return _mean(state, period) if _keep(state, period, value) else math.nan


@njit
def sma_distance_step(state, period, close):
    """Close over its simple moving average, less 1."""
    return close / sma_step(state, period, close) - 1.0


@njit
def bollinger_step(state, period, width, close):
    """(lower, middle, upper, position in the band with 0 the lower and 1 the upper edge, band width over middle)."""
    middle = sma_step(state, period, close)
    if math.isnan(middle):
        return math.nan, math.nan, math.nan, math.nan, math.nan
    square = 0.0
    for i in range(period):
        square += (state[1 + i] - middle) * (state[1 + i] - middle)
    half = width * math.sqrt(square / period)
    position = (close - middle + half) / (2.0 * half) if half > 0.0 else math.nan
    return middle - half, middle, middle + half, position, 2.0 * half / middle


@njit
def volume_ratio_step(state, period, volume):
    """Volume over the mean of the `period` bars BEFORE this one."""
    if math.isnan(volume):
        state[:] = 0.0
        return math.nan
    before = _mean(state, period) if state[0] >= period else math.nan
    _keep(state, period, volume)
    return volume / before if before > 0.0 else math.nan


@njit
def ema_step(state, period, value):
    """Exponential moving average with weight 2 / (period + 1)."""
    if math.isnan(value):
        state[:] = 0.0
        return math.nan
    state[0] += 1.0
    if state[0] <= period:
        state[1] += value
        state[2] = state[1] / period
    else:
        state[2] += 2.0 / (period + 1.0) * (value - state[2])
    return state[2] if state[0] >= period else math.nan


@njit
def rsi_step(state, period, close):
    """Relative strength index, 0 to 100; NaN where nothing has moved."""
    if math.isnan(close):
        state[:] = 0.0
        return math.nan
    change = close - state[1]
    state[0] += 1.0
    state[1] = close
    changes = state[0] - 1.0
    if changes < 1.0:
        return math.nan
    gain, loss = max(change, 0.0), max(-change, 0.0)
    if changes <= period:
        state[2] += gain / period
        state[3] += loss / period
    else:
        state[2] += (gain - state[2]) / period
        state[3] += (loss - state[3]) / period
    moved = state[2] + state[3]
    return 100.0 * state[2] / moved if changes >= period and moved > 0.0 else math.nan


@njit
def _true_range(high, low, last_close):
    return max(high, last_close) - min(low, last_close)


@njit
def atr_step(state, period, high, low, close):
    """Average true range, in the price's units."""
    if math.isnan(high + low + close):
        state[:] = 0.0
        return math.nan
    reach = _true_range(high, low, state[1])
    state[0] += 1.0
    state[1] = close
    ranges = state[0] - 1.0
    if ranges < 1.0:
        return math.nan
    state[2] += reach / period if ranges <= period else (reach - state[2]) / period
    return state[2] if ranges >= period else math.nan


@njit
def adx_step(state, period, high, low, close):
    """(ADX, +DI, -DI), 0 to 100."""
    if math.isnan(high + low + close):
        state[:] = 0.0
        return math.nan, math.nan, math.nan
    up, down = high - state[1], state[2] - low
    reach = _true_range(high, low, state[3])
    state[0] += 1.0
    state[1], state[2], state[3] = high, low, close
    moves = state[0] - 1.0
    if moves < 1.0:
        return math.nan, math.nan, math.nan
    plus = up if up > down and up > 0.0 else 0.0
    minus = down if down > up and down > 0.0 else 0.0
    keep = 1.0 if moves < period else 1.0 - 1.0 / period
    state[4] = keep * state[4] + plus
    state[5] = keep * state[5] + minus
    state[6] = keep * state[6] + reach
    if moves < period or not state[6] > 0.0:
        return math.nan, math.nan, math.nan
    plus_di, minus_di = 100.0 * state[4] / state[6], 100.0 * state[5] / state[6]
    both = plus_di + minus_di
    if both > 0.0:
        dx = 100.0 * abs(plus_di - minus_di) / both
        state[8] += 1.0
        state[7] += dx / period if state[8] <= period else (dx - state[7]) / period
    return (state[7] if state[8] >= period else math.nan), plus_di, minus_di


@njit
def stochastic_step(state, period, high, low, close):
    """(slow %K, %D), 0 to 100: the mean of 3 fast %K, and the mean of 3 of those."""
    if math.isnan(high + low + close):
        state[:] = 0.0
        return math.nan, math.nan
    at = int(state[0])
    highs, lows = 1, 1 + period
    fast, slow = 1 + 2 * period, 1 + 2 * period + STOCH_SMOOTH
    state[highs + at % period], state[lows + at % period] = high, low
    state[0] += 1.0
    if at + 1 < period:
        return math.nan, math.nan
    top, bottom = state[highs], state[lows]
    for i in range(1, period):
        top, bottom = max(top, state[highs + i]), min(bottom, state[lows + i])
    state[fast + at % STOCH_SMOOTH] = 100.0 * (close - bottom) / (top - bottom) if top > bottom else math.nan
    k, d = 0.0, 0.0
    for i in range(STOCH_SMOOTH):
        k += state[fast + i] / STOCH_SMOOTH
    state[slow + at % STOCH_SMOOTH] = k
    for i in range(STOCH_SMOOTH):
        d += state[slow + i] / STOCH_SMOOTH
    return (k, d) if at + 1 >= period + 2 * (STOCH_SMOOTH - 1) else (math.nan, math.nan)


@njit
def macd_step(state, close):
    """(MACD 12-26, its 9-bar signal, their difference), from the bar on which the signal exists."""
    if math.isnan(close):
        state[:] = 0.0
        return math.nan, math.nan, math.nan
    state[0] += 1.0
    n = state[0]
    if n <= MACD_SLOW:
        state[2] += close / MACD_SLOW
        if n > MACD_SLOW - MACD_FAST:
            state[1] += close / MACD_FAST
        if n < MACD_SLOW:
            return math.nan, math.nan, math.nan
    else:
        state[1] += 2.0 / (MACD_FAST + 1.0) * (close - state[1])
        state[2] += 2.0 / (MACD_SLOW + 1.0) * (close - state[2])
    macd = state[1] - state[2]
    since = n - MACD_SLOW + 1.0
    state[3] += macd / MACD_SIGNAL if since <= MACD_SIGNAL else 2.0 / (MACD_SIGNAL + 1.0) * (macd - state[3])
    if since < MACD_SIGNAL:
        return math.nan, math.nan, math.nan
    return macd, state[3], macd - state[3]


@njit
def sar_step(state, high, low):
    """Parabolic stop and reverse in force during this bar, in the price's units."""
    if math.isnan(high + low):
        state[:] = 0.0
        return math.nan
    last_high, last_low = state[5], state[6]
    state[0] += 1.0
    state[5], state[6] = high, low
    if state[0] < 2.0:
        return math.nan
    if state[0] == 2.0:
        falls = last_low - low > max(high - last_high, 0.0)
        state[1] = -1.0 if falls else 1.0
        state[2] = low if falls else high
        state[3] = SAR_STEP
        state[4] = last_high if falls else last_low
        last_high, last_low = high, low  # the first bar only gave the direction
    side, extreme, sar = state[1], state[2], state[4]
    turned = low <= sar if side > 0.0 else high >= sar
    if turned:
        sar = min(extreme, last_low, low) if side < 0.0 else max(extreme, last_high, high)
        shown = sar
        side = -side
        extreme = low if side < 0.0 else high
        state[3] = SAR_STEP
    else:
        shown = sar
        if side * ((high if side > 0.0 else low) - extreme) > 0.0:
            extreme = high if side > 0.0 else low
            state[3] = min(state[3] + SAR_STEP, SAR_MOST)
    sar += state[3] * (extreme - sar)
    sar = min(sar, last_low, low) if side > 0.0 else max(sar, last_high, high)
    state[1], state[2], state[4] = side, extreme, sar
    return shown


@njit
def obv_step(state, close, volume):
    """On-balance volume: volume added on a rise, taken off on a fall; starts at the first bar's volume."""
    if math.isnan(close + volume):
        state[:] = 0.0
        return math.nan
    if state[0] == 0.0:
        state[2] = volume
    elif close > state[1]:
        state[2] += volume
    elif close < state[1]:
        state[2] -= volume
    state[0] += 1.0
    state[1] = close
    return state[2]


# Batches: float64[n] in, float64[n] (or [m, n] for m values) out.


@njit
def sma_rows(state, period, value, out):
    for i in range(out.size):
        out[i] = sma_step(state, period, value[i])


@njit
def sma_distance_rows(state, period, close, out):
    for i in range(out.size):
        out[i] = sma_distance_step(state, period, close[i])


@njit
def ema_rows(state, period, value, out):
    for i in range(out.size):
        out[i] = ema_step(state, period, value[i])


@njit
def rsi_rows(state, period, close, out):
    for i in range(out.size):
        out[i] = rsi_step(state, period, close[i])


@njit
def volume_ratio_rows(state, period, volume, out):
    for i in range(out.size):
        out[i] = volume_ratio_step(state, period, volume[i])


@njit
def atr_rows(state, period, high, low, close, out):
    for i in range(out.size):
        out[i] = atr_step(state, period, high[i], low[i], close[i])


@njit
def adx_rows(state, period, high, low, close, out):
    for i in range(out.shape[1]):
        out[0, i], out[1, i], out[2, i] = adx_step(state, period, high[i], low[i], close[i])


@njit
def bollinger_rows(state, period, width, close, out):
    for i in range(out.shape[1]):
        out[0, i], out[1, i], out[2, i], out[3, i], out[4, i] = bollinger_step(state, period, width, close[i])


@njit
def stochastic_rows(state, period, high, low, close, out):
    for i in range(out.shape[1]):
        out[0, i], out[1, i] = stochastic_step(state, period, high[i], low[i], close[i])


@njit
def macd_rows(state, close, out):
    for i in range(out.shape[1]):
        out[0, i], out[1, i], out[2, i] = macd_step(state, close[i])


@njit
def sar_rows(state, high, low, out):
    for i in range(out.size):
        out[i] = sar_step(state, high[i], low[i])


@njit
def obv_rows(state, close, volume, out):
    for i in range(out.size):
        out[i] = obv_step(state, close[i], volume[i])
