"""Realised volatility: from daily bars by range estimators, from five-minute bars with the night apart.

Window estimators take the days of one window and return annualised volatility; `trailing` runs one over a series.
The first three range estimators do not see the night: beside an implied volatility they understate.
Sources: Parkinson (1980); Garman and Klass (1980); Rogers and Satchell (1991); Yang and Zhang (2000); Barndorff-Nielsen
and Shephard (2004) for bipower variation; Hansen and Lunde (2005) on the night.
"""

from __future__ import annotations

import math

from core.jit import njit

DAYS_PER_YEAR = 252.0


@njit
def close_to_close(prev_close, close):
    """Annualised deviation (ddof 1) of ln(close / previous close); float64[n] each, n >= 2."""
    n = close.size
    mean, square = 0.0, 0.0
    for i in range(n):
        mean += math.log(close[i] / prev_close[i]) / n
    for i in range(n):
        square += (math.log(close[i] / prev_close[i]) - mean) ** 2
    return math.sqrt(square / (n - 1.0) * DAYS_PER_YEAR) if n > 1 else math.nan


@njit
def parkinson(high, low):
    """Annualised, from the day's range alone."""
    total = 0.0
    for i in range(high.size):
        total += math.log(high[i] / low[i]) ** 2
    return math.sqrt(total / (4.0 * math.log(2.0) * high.size) * DAYS_PER_YEAR)


@njit
def garman_klass(open_, high, low, close):
    """Annualised, from range and open to close; for a share without drift. NaN if the mean comes out negative."""
    total = 0.0
    for i in range(high.size):
        body = math.log(close[i] / open_[i])
        total += 0.5 * math.log(high[i] / low[i]) ** 2 - (2.0 * math.log(2.0) - 1.0) * body * body
    return math.sqrt(total / high.size * DAYS_PER_YEAR) if total >= 0.0 else math.nan


@njit
def _rogers_satchell_mean(open_, high, low, close):
    total = 0.0
    for i in range(high.size):
        up, down = math.log(high[i] / open_[i]), math.log(low[i] / open_[i])
        body = math.log(close[i] / open_[i])
        total += up * (up - body) + down * (down - body)
    return total / high.size


@njit
def rogers_satchell(open_, high, low, close):
    """Annualised, whatever the drift."""
    return math.sqrt(max(_rogers_satchell_mean(open_, high, low, close), 0.0) * DAYS_PER_YEAR)


@njit
def yang_zhang(prev_close, open_, high, low, close):
    """Annualised, the night included, whatever the drift; float64[n] each, n >= 2."""
    n = close.size
    if n < 2:
        return math.nan
    night_mean, day_mean = 0.0, 0.0
    for i in range(n):
        night_mean += math.log(open_[i] / prev_close[i]) / n
        day_mean += math.log(close[i] / open_[i]) / n
    night, day = 0.0, 0.0
    for i in range(n):
        night += (math.log(open_[i] / prev_close[i]) - night_mean) ** 2 / (n - 1.0)
        day += (math.log(close[i] / open_[i]) - day_mean) ** 2 / (n - 1.0)
    k = 0.34 / (1.34 + (n + 1.0) / (n - 1.0))
    return math.sqrt((night + k * day + (1.0 - k) * _rogers_satchell_mean(open_, high, low, close)) * DAYS_PER_YEAR)


@njit
def day_variances(open_, closes):
    """(sum of squared log returns, bipower variation) of one session, from its open print and the bars' closes.

    closes : float64[m], any number of bars (a half day has fewer). Bipower, pi/2 sum |r_i||r_(i-1)|, leaves jumps out.
    """
    square, bipower = 0.0, 0.0
    last, before = math.log(open_), 0.0
    for i in range(closes.size):
        now = math.log(closes[i])
        r = now - last
        square += r * r
        if i > 0:
            bipower += abs(r) * abs(before)
        last, before = now, r
    return square, 0.5 * math.pi * bipower


@njit
def night_variance(open_, prev_close, dividend):
    """Squared log return from the last close to the open; dividend ($) where the share goes ex this morning, else 0."""
    r = math.log((open_ + dividend) / prev_close)
    return r * r


@njit
def trailing_volatility(day, night, window, out):
    """Annualised volatility of the last `window` days including today, night and session; fills out, float64[n].

    day, night : float64[n], variances of each session and of the night before it. NaN until the window is full and
    while it holds an unknown day. Computed afresh for each day, so it does not drift.
    """
    for t in range(out.size):
        out[t] = math.nan
        if t + 1 >= window:
            total = 0.0
            for i in range(t + 1 - window, t + 1):
                total += day[i] + night[i]
            out[t] = math.sqrt(total / window * DAYS_PER_YEAR)
