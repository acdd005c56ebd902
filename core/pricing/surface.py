"""A fitted volatility surface: raw SVI slices without calendar or butterfly arbitrage, and SSVI beside them.

Each slice is fitted to its own quotes; one that crosses its predecessor, or has a negative density, where the quotes
are or a little beyond, is fitted again with the crossing as a penalty. Between expiries total variance is linear in
time at fixed moneyness. SSVI fits all expiries by three numbers and a variance each: coarser, and free of arbitrage
by construction.
Sources: Gatheral and Jacquier (2014); Fengler, "Arbitrage-free smoothing of the implied volatility surface" (2009).
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import least_squares

from core.errors import DataError
from core.jit import njit
from core.pricing.calibration import LEAST_HALF_SPREAD, expiries_of
from core.pricing.chain import forward_delta
from core.pricing.smile import SmileQuotes
from core.pricing.svi import FULL_WEIGHT_DELTA, SVI_OK, fit_svi, svi_density_factor, svi_total_variance

GRID = 61
BEYOND = 0.1  # the checks reach this share of the quoted width beyond the quotes: further out nothing is known
PENALTY = 30.0
TOLERATED_GAP = 1e-6  # of total variance; a thousandth of a vol point at the money of a month
FEWEST = 5
SSVI_LIMIT = 4.0
SSVI_START = (1.0, 0.4, -0.5)
SSVI_LOW, SSVI_HIGH = (0.01, 0.01, -0.99), (20.0, 0.5, 0.99)


class VolSurface(NamedTuple):
    """m expiries, ascending: what kernels need, and how far each slice may be trusted.

    years, forward, discount : float64[m]; slices : float64[m, 5], raw SVI (a, b, rho, m, sigma) of total variance
    quoted       : float64[m, 2], lowest and highest quoted k = ln(strike / forward)
    least_g      : float64[m], least Durrleman g over the checked range; below 0 a butterfly remains
    calendar_gap : float64[m], largest fall of total variance from the expiry before, 0 where there is none
    refitted     : bool[m], whether the slice was fitted again under the penalty
    """

    years: Any
    forward: Any
    discount: Any
    slices: Any
    quoted: Any
    least_g: Any
    calendar_gap: Any
    refitted: Any


class SsviFit(NamedTuple):
    """eta, gamma, rho, theta float64[m] by expiry, and the arbitrage condition's largest value (at most 4)."""

    eta: float
    gamma: float
    rho: float
    theta: Any
    condition: float


@njit
def surface_variance(years, slices, k, t):
    """Total variance at moneyness k and time t: linear in t between slices, in proportion before the first.

    Beyond the last slice its variance per year goes on. NaN for t <= 0.
    """
    if not t > 0.0:
        return math.nan
    last = years.size - 1
    j = 0
    while j < last and years[j] < t:
        j += 1
    s = slices[j]
    right = svi_total_variance(s[0], s[1], s[2], s[3], s[4], k)
    if j == 0 or t >= years[j]:
        return right * t / years[j]
    s = slices[j - 1]
    left = svi_total_variance(s[0], s[1], s[2], s[3], s[4], k)
    return left + (right - left) * (t - years[j - 1]) / (years[j] - years[j - 1])


def surface_vols(surface: VolSurface, spot: float, strike: Any, t: float) -> Any:
    """Volatilities at strikes (float64[n], $) for an expiry t years away."""
    from core.pricing.local_vol import log_forward

    at = log_forward(spot, surface.years, surface.forward, t)
    k = np.log(np.asarray(strike, np.float64)) - at
    total = [surface_variance(surface.years, surface.slices, x, t) for x in k.ravel()]
    return np.sqrt(np.maximum(total, 0.0) / t).reshape(k.shape)


def weights_of(quotes: SmileQuotes) -> Any:
    """1 / error in vol of each quote, less in the wings, as the market store's slices have it."""
    wing = np.minimum(forward_delta(quotes) / FULL_WEIGHT_DELTA, 1.0)
    return wing * quotes.vega / np.maximum(quotes.half_spread, LEAST_HALF_SPREAD)


def fit_surface(quotes: SmileQuotes) -> VolSurface:
    """Fit every expiry with at least 5 quotes; DataError where there is none."""
    weight = weights_of(quotes)
    rows_of = [rows for rows in expiries_of(quotes) if rows.stop - rows.start >= FEWEST]
    if not rows_of:
        raise DataError(f"no expiry has {FEWEST} out-of-the-money quotes to fit a smile to")
    found: list[tuple[Any, ...]] = []
    for rows in rows_of:
        k = np.log(quotes.strike[rows] / quotes.forward[rows])
        t = float(quotes.years[rows.start])
        vol, q = quotes.vol[rows], weight[rows]
        *raw, _, status = fit_svi(k, vol * vol * t, (q / (2.0 * vol * t)) ** 2)
        if status != SVI_OK:
            continue
        grid = checked_range(k)
        before = (found[-1][3], found[-1][4]) if found else None
        least, gap = arbitrage(raw, grid, before)
        again = least < 0.0 or gap > TOLERATED_GAP
        if again:
            raw = refit(raw, k, vol, q, t, grid, before)
            least, gap = arbitrage(raw, grid, before)
        i = rows.start
        found.append((t, quotes.forward[i], quotes.discount[i], np.array(raw), (k[0], k[-1]), least, gap, again))
    if not found:
        raise DataError("no expiry's quotes are spread over enough strikes to fit a smile to")
    return VolSurface(*(np.array(column) for column in zip(*found, strict=True)))


def checked_range(k: Any) -> Any:
    """Moneyness grid float64[GRID] over the quotes and half their width beyond."""
    beyond = BEYOND * (k[-1] - k[0])
    return np.linspace(k[0] - beyond, k[-1] + beyond, GRID)


def slice_variance(raw: Any, k: Any) -> Any:
    a, b, rho, m, sigma = raw
    return a + b * (rho * (k - m) + np.sqrt((k - m) ** 2 + sigma * sigma))


def arbitrage(raw: Any, grid: Any, before: Any) -> tuple[float, float]:
    """(least g on the grid, largest fall below the slice before where that was quoted)."""
    least = min(svi_density_factor(*raw, x) for x in grid)
    return least, float(np.max(floor_of(before, grid) - slice_variance(raw, grid), initial=0.0))


def floor_of(before: Any, grid: Any) -> Any:
    """Total variance of the slice before where it was quoted, 0 elsewhere; before: (raw, quoted range) or None."""
    if before is None:
        return np.zeros(len(grid))
    raw, (low, high) = before
    return np.where((grid >= low) & (grid <= high), slice_variance(raw, grid), 0.0)


def refit(raw: Any, k: Any, vol: Any, weight: Any, years: float, grid: Any, before: Any) -> Any:
    """The slice again, with its crossing of `before` and its negative density as penalties."""
    floor = floor_of(before, grid)
    scale = 0.01 * 2.0 * math.sqrt(slice_variance(raw, 0.0) * years)  # total variance of one vol point
    size = math.sqrt(len(k)) * float(np.median(weight)) * 0.01

    def residuals(x: Any) -> Any:
        w = slice_variance(x, k)
        errors = (np.sqrt(np.maximum(w, 1e-12) / years) - vol) * weight
        fall = np.maximum(floor + 0.5 * TOLERATED_GAP - slice_variance(x, grid), 0.0) / scale
        dip = np.maximum(1e-3 - np.array([svi_density_factor(*x, at) for at in grid]), 0.0)
        return np.concatenate([errors, PENALTY * size * fall, PENALTY * size * np.nan_to_num(dip, nan=1.0)])

    low, high = (-1.0, 0.0, -0.999, -2.0, 1e-4), (2.0, 5.0, 0.999, 2.0, 4.0)
    start = np.clip(raw, np.array(low) + 1e-9, np.array(high) - 1e-9)
    found = least_squares(residuals, start, bounds=(low, high), x_scale=(0.01, 0.1, 0.5, 0.1, 0.1), max_nfev=200)
    return found.x.tolist()


def fit_ssvi(quotes: SmileQuotes) -> SsviFit:
    """eta, gamma, rho and a non-decreasing theta per expiry, by a loss that outlying quotes do not rule.

    gamma within (0, 1/2]; theta phi (1 + |rho|) and theta phi^2 (1 + |rho|) are held at or below 4.
    """
    rows_of = expiries_of(quotes)
    owner = np.concatenate([np.full(rows.stop - rows.start, i) for i, rows in enumerate(rows_of)])
    k = np.log(quotes.strike / quotes.forward)
    weight = weights_of(quotes)
    level = []
    for rows in rows_of:
        near = np.argsort(np.abs(k[rows]))[:3]
        level.append(float(np.median(quotes.vol[rows][near] ** 2)) * quotes.years[rows.start])
    theta = np.maximum.accumulate(np.array(level))
    steps = np.maximum(np.diff(theta, prepend=0.0), 1e-3 * theta[0])

    def residuals(x: Any) -> Any:
        at = np.cumsum(np.exp(x[3:]))
        w = ssvi_variance(k, at[owner], *x[:3])
        errors = (np.sqrt(w / quotes.years) - quotes.vol) * weight
        return np.append(errors, 1e3 * max(condition(at, *x[:3]) - 0.999 * SSVI_LIMIT, 0.0))

    low = np.append(SSVI_LOW, np.full(len(steps), -25.0))
    high = np.append(SSVI_HIGH, np.full(len(steps), 2.0))
    start = np.append(SSVI_START, np.log(steps))
    found = least_squares(residuals, start, bounds=(low, high), loss="soft_l1", x_scale="jac", max_nfev=100)
    eta, gamma, rho = found.x[:3].tolist()
    at = np.cumsum(np.exp(found.x[3:]))
    return SsviFit(eta, gamma, rho, at, condition(at, eta, gamma, rho))


def ssvi_variance(k: Any, theta: Any, eta: float, gamma: float, rho: float) -> Any:
    """core.pricing.ssvi.ssvi_derivatives' w over arrays."""
    phi = eta / (theta**gamma * (1.0 + theta) ** (1.0 - gamma))
    x = phi * k + rho
    return 0.5 * theta * (1.0 + rho * phi * k + np.sqrt(x * x + 1.0 - rho * rho))


def condition(theta: Any, eta: float, gamma: float, rho: float) -> float:
    """The larger of theta phi (1 + |rho|) and theta phi^2 (1 + |rho|) over the expiries."""
    phi = eta / (theta**gamma * (1.0 + theta) ** (1.0 - gamma))
    wide = 1.0 + abs(rho)
    return float(max(np.max(theta * phi) * wide, np.max(theta * phi * phi) * wide))


def errors_in_half_spreads(quotes: SmileQuotes, vols: Any) -> Any:
    """|model vol - quote's| in half-spreads of vol, float64[n]."""
    return np.abs(vols - quotes.vol) * quotes.vega / np.maximum(quotes.half_spread, LEAST_HALF_SPREAD)


def slice_vols(surface: VolSurface, quotes: SmileQuotes) -> Any:
    """Each quote's volatility on its own slice; NaN for an expiry without one."""
    out = np.full(len(quotes.vol), np.nan)
    for rows in expiries_of(quotes):
        at = np.flatnonzero(surface.years == quotes.years[rows.start])
        if len(at):
            k = np.log(quotes.strike[rows] / quotes.forward[rows])
            w = slice_variance(surface.slices[at[0]], k)
            out[rows] = np.sqrt(np.maximum(w, 0.0) / quotes.years[rows.start])
    return out


def ssvi_vols(fit: SsviFit, quotes: SmileQuotes) -> Any:
    """Each quote's volatility on the SSVI surface; the quotes have the expiries of the fit."""
    owner = np.concatenate([np.full(r.stop - r.start, i) for i, r in enumerate(expiries_of(quotes))])
    k = np.log(quotes.strike / quotes.forward)
    return np.sqrt(ssvi_variance(k, fit.theta[owner], fit.eta, fit.gamma, fit.rho) / quotes.years)


def by_expiry(quotes: SmileQuotes, values: Any) -> list[float]:
    """Median of `values` per expiry."""
    return [float(np.median(values[rows])) for rows in expiries_of(quotes)]
