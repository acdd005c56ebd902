"""Forecasts of realised variance: HAR by regression on the past, GARCH with `arch`; both causal.

Variances are per day unless a name says otherwise; multiply by 252 for a year. A forecast stamped t uses days up to
and including t, for the mean variance of days t+1 .. t+horizon.
Sources: Corsi, "A simple approximate long-memory model of realized volatility" (J. Financial Econometrics, 2009);
Glosten, Jagannathan and Runkle (1993); Bollerslev, Patton and Quaedvlieg (2016) for the filter of absurd forecasts.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from core.errors import DataError
from core.jit import njit

DAY, WEEK, MONTH = 1, 5, 22
FEWEST_TARGETS = 100
TERMS = 4


@njit
def har_forecast(variance, horizon):
    """HAR forecast of the mean daily variance over the next `horizon` days, float64[n]; NaN while warming up.

    variance : float64[n], daily realised variance, > 0; a NaN day restarts the month that regressors need
    Coefficients at t come from targets that had ended by t (expanding least squares, FEWEST_TARGETS at least). A
    forecast outside the range of variances seen so far is absurd, and is moved to its edge.
    """
    n = variance.size
    out = np.full(n, math.nan)
    rows = np.full((n, TERMS), math.nan)
    matrix, right = np.zeros((TERMS, TERMS)), np.zeros(TERMS)
    lowest, highest = math.inf, 0.0
    targets = 0
    for t in range(n):
        if variance[t] > 0.0:
            lowest, highest = min(lowest, variance[t]), max(highest, variance[t])
        if t >= MONTH - 1:
            rows[t, 0] = 1.0
            rows[t, 1] = variance[t]
            rows[t, 2] = variance[t - WEEK + 1 : t + 1].mean()
            rows[t, 3] = variance[t - MONTH + 1 : t + 1].mean()
        s = t - horizon
        if s >= MONTH - 1:
            target = variance[s + 1 : t + 1].mean()
            if not math.isnan(rows[s].sum() + target):
                targets += 1
                for i in range(TERMS):
                    right[i] += rows[s, i] * target
                    for j in range(TERMS):
                        matrix[i, j] += rows[s, i] * rows[s, j]
        if targets >= FEWEST_TARGETS and not math.isnan(rows[t].sum()):
            beta = np.linalg.solve(matrix, right)
            out[t] = min(max((beta * rows[t]).sum(), lowest), highest)
    return out


@njit
def gjr_variance(returns, mean, omega, alpha, gamma, beta, first):
    """Variance of the next day given each day's return, float64[n]: GJR-GARCH(1,1); gamma 0 is plain GARCH.

    returns : float64[n]; first : variance before the first day. A NaN return leaves its expected square in place.
    """
    out = np.empty(returns.size)
    now = first
    for t in range(returns.size):
        e = returns[t] - mean
        if math.isnan(e):
            now = omega + (alpha + 0.5 * gamma + beta) * now
        else:
            now = omega + (alpha + (gamma if e < 0.0 else 0.0)) * e * e + beta * now
        out[t] = now
    return out


def garch_forecast(returns: Any, horizon: int, minimum: int = 504, refit_every: int = 63, leverage: bool = True) -> Any:
    """GARCH forecast of the mean daily variance over the next `horizon` days, float64[n]; NaN before `minimum` days.

    returns : float64[n], daily log returns without gaps
    Parameters are fitted by `arch` on days 0..t at t = minimum - 1 and every refit_every days, so no forecast knows
    what came after. DataError for gaps or too few days.
    """
    from arch import arch_model

    returns = np.asarray(returns, np.float64)
    if minimum < 100 or not np.all(np.isfinite(returns)):
        raise DataError(f"GARCH needs returns without gaps and at least 100 of them (minimum is {minimum})")
    out = np.full(len(returns), np.nan)
    for start in range(minimum - 1, len(returns), refit_every):
        end = min(start + refit_every, len(returns))
        model = arch_model(100.0 * returns[: start + 1], vol="GARCH", p=1, o=int(leverage), q=1, rescale=False)
        found = model.fit(disp="off", show_warning=False).params
        mean, omega = found["mu"] / 100.0, found["omega"] / 1e4
        alpha, beta, gamma = found["alpha[1]"], found["beta[1]"], found.get("gamma[1]", 0.0)
        first = float(np.var(returns[: start + 1]))
        ahead = gjr_variance(returns[:end], mean, omega, alpha, gamma, beta, first)[start:end]
        stay = alpha + 0.5 * gamma + beta
        # The expected variance decays to its long-run level by `stay` a day; the mean over the horizon in closed form.
        if stay < 1.0 - 1e-9:
            level = omega / (1.0 - stay)
            out[start:end] = level + (ahead - level) * (1.0 - stay**horizon) / (horizon * (1.0 - stay))
        else:
            out[start:end] = ahead + 0.5 * omega * (horizon - 1)
    return out
