"""Dupire local volatility of a fitted surface, and the probability that a condor's short strikes are reached.

With total variance w(k, t), k = ln(strike / forward):

    local variance = (dw/dt) / g,  g = (1 - k w'/(2 w))^2 - (w'^2 / 4)(1/4 + 1/w) + w''/2

Between two slices w is linear in time at fixed k, before the first it grows from 0 in proportion. The probabilities
come from Kolmogorov's backward equation in y = ln(spot), both short strikes absorbing: Crank-Nicolson behind a few
implicit steps. The measure is risk-neutral: it holds the market's premium for risk, and is no forecast.
Sources: Dupire, "Pricing with a smile" (Risk, 1994); Gatheral, The Volatility Surface (2006), chapter 1.
"""

from __future__ import annotations

import math

import numpy as np

from core.jit import njit
from core.pricing.svi import durrleman_g, svi_derivatives

POINTS = 161  # nodes between the barriers
STEPS = 120
SOFT_STEPS = 4
LEAST_DENSITY = 0.05  # g is held above this: below 0 the slice has a butterfly and no local volatility
LOWEST_VARIANCE, HIGHEST_VARIANCE = 1e-4, 9.0


@njit
def dupire_variance(k, w, w_k, w_kk, w_t):
    """Local variance per year from total variance, its derivatives in k, and in time; NaN for w <= 0 or g <= 0."""
    g = durrleman_g(k, w, w_k, w_kk)
    return w_t / g if g > 0.0 else math.nan


@njit
def surface_local_variance(years, slices, k, t):
    """Local variance per year at moneyness k and time t, held in [LOWEST_VARIANCE, HIGHEST_VARIANCE].

    years  : float64[m], ascending; slices : float64[m, 5], raw SVI (a, b, rho, m, sigma) of total variance
    Beyond the last slice its last slope in time goes on.
    """
    j = 0
    while j < years.size - 1 and years[j] < t:
        j += 1
    s = slices[j]
    w1, d1, c1 = svi_derivatives(s[0], s[1], s[2], s[3], s[4], k)
    if j == 0:
        part = t / years[0]
        w, w_k, w_kk, w_t = w1 * part, d1 * part, c1 * part, w1 / years[0]
    else:
        s = slices[j - 1]
        w0, d0, c0 = svi_derivatives(s[0], s[1], s[2], s[3], s[4], k)
        part = (t - years[j - 1]) / (years[j] - years[j - 1])
        w, w_k, w_kk = w0 + part * (w1 - w0), d0 + part * (d1 - d0), c0 + part * (c1 - c0)
        w_t = (w1 - w0) / (years[j] - years[j - 1])
    if not w > 1e-12:
        return LOWEST_VARIANCE
    g = max(durrleman_g(k, w, w_k, w_kk), LEAST_DENSITY)
    return min(max(w_t / g, LOWEST_VARIANCE), HIGHEST_VARIANCE)


@njit
def log_forward(spot, years, forward, t):
    """ln of the forward at time t: linear between the expiries' logs, from the spot at 0, its last slope going on."""
    left_t, left = 0.0, math.log(spot)
    for j in range(years.size):
        right = math.log(forward[j])
        if t <= years[j] or j == years.size - 1:
            return left + (right - left) * (t - left_t) / (years[j] - left_t)
        left_t, left = years[j], right
    return left


@njit
def step_back(values, variance, drift, h, implicit, dy, bottom, top, ratio, right):
    """One step of length h (years) of Kolmogorov's backward equation for the functions in `values`, float64[n, p].

    variance : float64[n], local variance per year at the nodes; drift : of ln(spot) without the variance's half
    implicit : 1 implicit, 0.5 Crank-Nicolson; ratio float64[n], right float64[n, p] : scratch
    """
    n, p = values.shape
    for i in range(1, n - 1):
        spread = 0.5 * variance[i] / (dy * dy)
        lean = 0.5 * (drift - 0.5 * variance[i]) / dy
        for j in range(p):
            change = (spread + lean) * values[i + 1, j] - 2.0 * spread * values[i, j]
            right[i, j] = values[i, j] + (1.0 - implicit) * h * (change + (spread - lean) * values[i - 1, j])
    for j in range(p):
        values[0, j], values[n - 1, j] = bottom[j], top[j]
        right[0, j] = bottom[j]
    ratio[0] = 0.0
    for i in range(1, n - 1):
        spread = 0.5 * variance[i] / (dy * dy)
        lean = 0.5 * (drift - 0.5 * variance[i]) / dy
        below = -implicit * h * (spread - lean)
        pivot = 1.0 + 2.0 * implicit * h * spread - below * ratio[i - 1]
        ratio[i] = -implicit * h * (spread + lean) / pivot
        for j in range(p):
            right[i, j] = (right[i, j] - below * right[i - 1, j]) / pivot
    for i in range(n - 2, 0, -1):
        for j in range(p):
            values[i, j] = right[i, j] - ratio[i] * values[i + 1, j]


@njit
def diffuse_back(spot, years, slices, forward, until, low, dy, values, bottom, top, steps):
    """Roll `values` (float64[n, p], p functions of the spot at `until`) back to now under local volatility.

    The grid is y_i = low + i dy, i = 0..n-1, in ln(spot); at both ends a function keeps the values bottom[j], top[j]
    (undiscounted). years, slices, forward : the surface, see surface_local_variance and log_forward.
    """
    n, p = values.shape
    variance, ratio, right = np.empty(n), np.empty(n), np.empty((n, p))
    dt = until / steps
    t = until
    for step in range(steps + SOFT_STEPS // 2):
        soft = step < SOFT_STEPS
        h = 0.5 * dt if soft else dt
        middle = t - 0.5 * h
        at = log_forward(spot, years, forward, middle)
        drift = (log_forward(spot, years, forward, t) - log_forward(spot, years, forward, t - h)) / h
        for i in range(1, n - 1):
            variance[i] = surface_local_variance(years, slices, low + i * dy - at, middle)
        step_back(values, variance, drift, h, 1.0 if soft else 0.5, dy, bottom, top, ratio, right)
        t -= h


@njit
def between_nodes(values, at, j):
    """values[:, j] at the fractional node `at`: cubic through four nodes."""
    i = min(max(int(at), 1), values.shape[0] - 3)
    f = at - i
    return (
        -values[i - 1, j] * f * (f - 1.0) * (f - 2.0) / 6.0
        + values[i, j] * (f + 1.0) * (f - 1.0) * (f - 2.0) / 2.0
        - values[i + 1, j] * (f + 1.0) * f * (f - 2.0) / 2.0
        + values[i + 2, j] * (f + 1.0) * f * (f - 1.0) / 6.0
    )


@njit
def stay_on_smile(spot, lower, upper, until, carry, first_k, step_k, total):
    """Probability of staying between two barriers until an expiry, under local volatility of that expiry's own smile.

    spot, lower, upper : $; until : ACT/365 years to the expiry; carry : ln(forward / spot) to it
    total : float64[n], total variance at ln(K / forward) = first_k + i step_k, > 0 (beyond the ends the end counts)
    Before the expiry total variance grows in proportion to time at fixed moneyness: the term structure inside the
    life is not looked at. 0 outside the barriers; NaN for inputs out of their domain or an unknown total variance.
    """
    if not (0.0 < lower < upper and spot > 0.0 and until > 0.0 and np.all(total > 0.0)):
        return math.nan
    if spot <= lower or spot >= upper:
        return 0.0
    n = total.size
    low, high = math.log(lower), math.log(upper)
    dy = (high - low) / (POINTS - 1)
    values = np.ones((POINTS, 1))
    variance, ratio, right = np.empty(POINTS), np.empty(POINTS), np.empty((POINTS, 1))
    edge = np.zeros(1)
    values[0, 0], values[POINTS - 1, 0] = 0.0, 0.0
    dt = until / STEPS
    t = until
    for step in range(STEPS + SOFT_STEPS // 2):
        soft = step < SOFT_STEPS
        h = 0.5 * dt if soft else dt
        part = (t - 0.5 * h) / until
        at = math.log(spot) + carry * part
        for i in range(1, POINTS - 1):
            k = low + i * dy - at
            place = (k - first_k) / step_k
            j = min(max(int(place), 1), n - 3)
            f = min(max(place - j, 0.0), 1.0)
            w0, w1 = total[j], total[j + 1]
            w = w0 + f * (w1 - w0)
            slope = (1.0 - f) * (w1 - total[j - 1]) + f * (total[j + 2] - w0)
            bend = (1.0 - f) * (w1 - 2.0 * w0 + total[j - 1]) + f * (total[j + 2] - 2.0 * w1 + w0)
            g = durrleman_g(k, w * part, slope * part / (2.0 * step_k), bend * part / (step_k * step_k))
            variance[i] = min(max(w / until / max(g, LEAST_DENSITY), LOWEST_VARIANCE), HIGHEST_VARIANCE)
        step_back(values, variance, carry / until, h, 1.0 if soft else 0.5, dy, edge, edge, ratio, right)
        t -= h
    return min(max(between_nodes(values, (math.log(spot) - low) / dy, 0), 0.0), 1.0)


@njit
def breach_probability(spot, lower, upper, until, years, slices, forward):
    """(reaches lower first, reaches upper first, stays inside) until `until`, under the surface's local volatility.

    spot, lower, upper : $; until : ACT/365 years
    years, forward     : float64[m], expiries of the surface (ascending) and their forwards, $
    slices             : float64[m, 5], raw SVI of total variance, free of calendar arbitrage between lower and upper
    The three add to 1. Continuous watching; for watching every five minutes move the barriers (touch.watched_barrier).
    A spot outside is a breach of that side; NaN for inputs out of their domain. Against constant volatility's closed
    form within 1e-4; against twice the grid within 2e-4 on surfaces like SPY's.
    """
    if not (0.0 < lower < upper and spot > 0.0 and until > 0.0 and years.size > 0):
        return math.nan, math.nan, math.nan
    if spot <= lower or spot >= upper:
        return (1.0, 0.0, 0.0) if spot <= lower else (0.0, 1.0, 0.0)
    values = np.zeros((POINTS, 2))
    low, high = math.log(lower), math.log(upper)
    dy = (high - low) / (POINTS - 1)
    for i in range(1, POINTS - 1):
        values[i, 1] = 1.0
    bottom, top = np.array([1.0, 0.0]), np.zeros(2)
    diffuse_back(spot, years, slices, forward, until, low, dy, values, bottom, top, STEPS)
    at = (math.log(spot) - low) / dy
    found = between_nodes(values, at, 0), between_nodes(values, at, 1)
    below, inside = min(max(found[0], 0.0), 1.0), min(max(found[1], 0.0), 1.0)
    return below, max(1.0 - below - inside, 0.0), inside
