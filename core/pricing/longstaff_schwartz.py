"""American options by least-squares Monte Carlo, priced on paths that the exercise rule has not seen.

The continuation value at each exercise date is regressed on powers of spot / strike over the paths in the money.
A price on those same paths mixes foresight (up) with a poor rule (down); on fresh paths with the coefficients frozen
it is an unbiased value of a rule that can be followed, hence a true lower bound.
Source: Longstaff and Schwartz, "Valuing American options by simulation" (Review of Financial Studies, 2001).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from core.errors import DataError
from core.jit import njit
from core.pricing.american import _solve_in_place

BASIS = 5  # 1, m, ..., m^4 with m = spot / strike - 1
FEWEST = 4 * BASIS  # paths in the money; with fewer nobody exercises on that date


class SimulatedPrice(NamedTuple):
    """$/share: price on fresh paths, its standard error, and the price on the paths of the fit."""

    price: float
    standard_error: float
    in_sample: float


def longstaff_schwartz(
    is_call: bool,
    spot: float,
    strike: float,
    years: float,
    vol: float,
    rate: float,
    dividend_yield: float,
    dates: int,
    paths: int,
    rng: np.random.Generator,
) -> SimulatedPrice:
    """Option exercisable on `dates` evenly spaced dates up to expiry, on `paths` (even) antithetic paths a pass.

    Units as core.pricing.american. DataError for an input out of its domain.
    """
    if not (min(spot, strike, years, vol) > 0.0 and dates >= 1 and paths >= 2 and paths % 2 == 0):
        raise DataError(
            f"least-squares Monte Carlo of spot {spot}, strike {strike}, years {years}, vol {vol}, {dates} dates, "
            f"{paths} paths: all must be positive and the paths even in number"
        )
    side = 1.0 if is_call else -1.0
    coefficients = np.full((dates, BASIS), np.nan)
    args = (side, spot, strike, years / dates, vol, rate, rate - dividend_yield)
    fitted = np.empty(paths // 2)
    _walk(*args, rng.standard_normal((dates, paths // 2)), coefficients, True, fitted)
    fresh = np.empty(paths // 2)
    _walk(*args, rng.standard_normal((dates, paths // 2)), coefficients, False, fresh)
    now = max(side * (spot - strike), 0.0)
    error = float(np.std(fresh, ddof=1) / math.sqrt(len(fresh)))
    return SimulatedPrice(max(float(fresh.mean()), now), error, max(float(fitted.mean()), now))


@njit
def _walk(side, spot, strike, dt, vol, rate, drift, normal, coefficients, fit, value):
    """Fill value[i], the discounted cash flow of antithetic pair i; with `fit` the coefficients are made on the way."""
    dates, pairs = normal.shape
    share = np.empty((dates, 2 * pairs))
    step, mean = vol * math.sqrt(dt), (drift - 0.5 * vol * vol) * dt
    for i in range(pairs):
        a, b = math.log(spot), math.log(spot)
        for t in range(dates):
            a += mean + step * normal[t, i]
            b += mean - step * normal[t, i]
            share[t, i], share[t, pairs + i] = math.exp(a), math.exp(b)
    cash = np.empty(2 * pairs)
    for i in range(2 * pairs):
        cash[i] = max(side * (share[dates - 1, i] - strike), 0.0)
    discount = math.exp(-rate * dt)
    for t in range(dates - 2, -1, -1):
        for i in range(2 * pairs):
            cash[i] *= discount
        if fit:
            _regress(side, strike, share[t], cash, coefficients[t])
        c = coefficients[t]
        if math.isnan(c[0]):
            continue
        for i in range(2 * pairs):
            exercise = side * (share[t, i] - strike)
            m = share[t, i] / strike - 1.0
            if exercise > 0.0 and exercise > c[0] + m * (c[1] + m * (c[2] + m * (c[3] + m * c[4]))):
                cash[i] = exercise
    for i in range(pairs):
        value[i] = 0.5 * discount * (cash[i] + cash[pairs + i])


@njit
def _regress(side, strike, share, cash, coefficients):
    """Least squares of cash on the basis over paths in the money; left NaN when there are too few."""
    matrix, right, power = np.zeros((BASIS, BASIS)), np.zeros(BASIS), np.empty(BASIS)
    count = 0
    for i in range(share.size):
        if side * (share[i] - strike) > 0.0:
            count += 1
            m = share[i] / strike - 1.0
            power[0] = 1.0
            for k in range(1, BASIS):
                power[k] = power[k - 1] * m
            for k in range(BASIS):
                right[k] += power[k] * cash[i]
                for l in range(BASIS):
                    matrix[k, l] += power[k] * power[l]
    if count >= FEWEST:
        _solve_in_place(matrix, right)
        for k in range(BASIS):
            coefficients[k] = right[k]
