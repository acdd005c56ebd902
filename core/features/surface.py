"""Volatility measures of the surface and where they stand in their own past year.

Everything is of one moment and of moments before it. Levels are decimals per year (0.18), ranks 0 to 100.
"""

from __future__ import annotations

import math

import numpy as np

from core.jit import njit
from core.pricing.fastmath import norm_cdf
from core.pricing.svi import svi_total_variance

YEAR_OF_DAYS = 252
MONTH_YEARS = 30.0 / 365.0
DELTA_STEPS = 60


@njit
def rank_and_percentile(history, current):
    """(IV rank, share of history strictly below, share below or equal), in per cent, of a value against past ones.

    history : float64[n] of completed days, today not among them. The rank, 100 (current - min) / (max - min), leaves
    [0, 100] on a new extreme and is NaN where max = min; all are NaN with an empty history or an unknown value in it.
    """
    n = history.size
    low, high, below, equal = math.inf, -math.inf, 0, 0
    for i in range(n):
        if math.isnan(history[i]):
            return math.nan, math.nan, math.nan
        low, high = min(low, history[i]), max(high, history[i])
        below += history[i] < current
        equal += history[i] == current
    if n == 0 or math.isnan(current):
        return math.nan, math.nan, math.nan
    rank = 100.0 * (current - low) / (high - low) if high > low else math.nan
    return rank, 100.0 * below / n, 100.0 * (below + equal) / n


@njit
def ranks(daily, window, out):
    """IV rank and strict percentile of each day against the `window` days before it; fills out, float64[2, n].

    NaN until that many days are there. One outlier holds the rank down for a year: rules had better use the percentile.
    """
    for t in range(daily.size):
        out[0, t], out[1, t] = math.nan, math.nan
        if t >= window:
            out[0, t], out[1, t], _ = rank_and_percentile(daily[t - window : t], daily[t])


@njit
def constant_maturity_variance(years, total, target):
    """Total variance at `target` years, linear in time between expiries; NaN outside them (no extrapolation).

    years, total : float64[m], ascending expiries and their total variances (vol^2 years)
    """
    for j in range(years.size):
        if years[j] == target:
            return total[j]
        if years[j] > target:
            if j == 0:
                return math.nan
            part = (target - years[j - 1]) / (years[j] - years[j - 1])
            return total[j - 1] + part * (total[j] - total[j - 1])
    return math.nan


@njit
def at_money_vol(years, slices, target):
    """At-the-money-forward volatility at constant maturity; slices float64[m, 5], raw SVI of total variance."""
    total = np.empty(years.size)
    for j in range(years.size):
        s = slices[j]
        total[j] = svi_total_variance(s[0], s[1], s[2], s[3], s[4], 0.0)
    variance = constant_maturity_variance(years, total, target)
    return math.sqrt(variance / target) if variance >= 0.0 else math.nan


@njit
def _moneyness_of_delta(a, b, rho, m, sigma, delta):
    """k at which the slice's forward delta N(d1) of a call is `delta`, by bisection within 6 deviations."""
    spread = math.sqrt(max(svi_total_variance(a, b, rho, m, sigma, 0.0), 1e-12))
    low, high = -6.0 * spread, 6.0 * spread
    for _ in range(DELTA_STEPS):
        k = 0.5 * (low + high)
        s = math.sqrt(max(svi_total_variance(a, b, rho, m, sigma, k), 1e-14))
        if norm_cdf(-k / s + 0.5 * s) > delta:
            low = k
        else:
            high = k
    return 0.5 * (low + high)


@njit
def delta_skew(years, slices, target, delta):
    """Put volatility less call volatility at |forward delta| `delta` (0.25) and constant maturity, decimals."""
    put, call = np.empty(years.size), np.empty(years.size)
    for j in range(years.size):
        s = slices[j]
        k = _moneyness_of_delta(s[0], s[1], s[2], s[3], s[4], 1.0 - delta)
        put[j] = svi_total_variance(s[0], s[1], s[2], s[3], s[4], k)
        k = _moneyness_of_delta(s[0], s[1], s[2], s[3], s[4], delta)
        call[j] = svi_total_variance(s[0], s[1], s[2], s[3], s[4], k)
    below, above = constant_maturity_variance(years, put, target), constant_maturity_variance(years, call, target)
    if not (below >= 0.0 and above >= 0.0):
        return math.nan
    return math.sqrt(below / target) - math.sqrt(above / target)


@njit
def term_slope(near_vol, far_vol):
    """Near volatility over far (VIX / VIX3M): above 1 is backwardation; NaN where either is unknown."""
    return near_vol / far_vol if far_vol > 0.0 else math.nan


@njit
def variance_premium(implied_vol, forecast_variance):
    """Implied variance less the FORECAST of realised variance over the same horizon, both per year."""
    return implied_vol * implied_vol - forecast_variance
