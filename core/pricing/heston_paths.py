"""Heston by simulation: Andersen's QE scheme, with breach of two barriers; the independent check of the PDE.

Over a step the variance is drawn from a squared normal where its law is far from zero and from an exponential with
mass at 0 where it is near; the share's drift is corrected so that its discounted mean stays. Between steps a barrier
is watched by a Brownian bridge with the step's mean variance.
Source: Andersen, "Efficient simulation of the Heston stochastic volatility model" (J. Computational Finance, 2008).
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from core.errors import DataError
from core.jit import njit

SWITCH = 1.5  # psi above which the exponential law is used
HALF = 0.5  # weights of both ends in the integrated variance


class Breach(NamedTuple):
    """Risk-neutral chances by simulation, their standard error, and a check: mean of S_T / forward, 1 in theory."""

    lower_first: float
    upper_first: float
    inside: float
    standard_error: float  # of `inside`
    mean_ratio: float


@njit
def qe_walk(parameters, years, normal, uniform, bridge, log_low, log_high, end, left):
    """Simulate paths: fills end[i] = ln(S_T / forward) and left[i]: 0 inside, -1 lower first, 1 upper first.

    parameters : v0, kappa, theta, sigma, rho; normal, uniform, bridge : float64[steps, paths]
    log_low, log_high : float64[steps + 1], ln(barrier / forward) at the step's ends (-inf, inf: none)
    """
    v0, kappa, theta, sigma, rho = parameters
    steps, paths = normal.shape
    dt = years / steps
    decay = math.exp(-kappa * dt)
    spread0 = sigma * sigma * decay * (1.0 - decay) / kappa
    spread1 = theta * sigma * sigma * (1.0 - decay) * (1.0 - decay) / (2.0 * kappa)
    k1 = HALF * dt * (kappa * rho / sigma - 0.5) - rho / sigma
    k2 = HALF * dt * (kappa * rho / sigma - 0.5) + rho / sigma
    k3 = HALF * dt * (1.0 - rho * rho)
    a = k2 + 0.5 * k3
    for i in range(paths):
        x, v = 0.0, v0
        left[i] = 0
        for t in range(steps):
            mean = theta + (v - theta) * decay
            psi = (v * spread0 + spread1) / (mean * mean)
            if psi <= SWITCH:
                inverse = 2.0 / psi
                b2 = inverse - 1.0 + math.sqrt(inverse * (inverse - 1.0))
                scale = mean / (1.0 + b2)
                z = math.sqrt(b2) + _normal_quantile(uniform[t, i])
                new = scale * z * z
                correction = -(a * b2 * scale / (1.0 - 2.0 * a * scale)) + 0.5 * math.log(1.0 - 2.0 * a * scale)
            else:
                p = (psi - 1.0) / (psi + 1.0)
                beta = (1.0 - p) / mean
                new = math.log((1.0 - p) / (1.0 - uniform[t, i])) / beta if uniform[t, i] > p else 0.0
                correction = -math.log(p + beta * (1.0 - p) / (beta - a))
            correction -= (k1 + 0.5 * k3) * v
            step = correction + k1 * v + k2 * new + math.sqrt(k3 * (v + new)) * normal[t, i]
            if left[i] == 0:
                left[i] = _crossed(x, x + step, log_low[t], log_low[t + 1], log_high[t], log_high[t + 1],
                                   HALF * dt * (v + new), bridge[t, i])  # fmt: skip
            x, v = x + step, new
        end[i] = x


@njit
def _crossed(x, y, low0, low1, high0, high1, variance, u):
    """-1, 1 or 0: whether a bridge from x to y crosses the lower or upper barrier (linear between its ends)."""
    if y <= low1:
        return -1
    if y >= high1:
        return 1
    below = math.exp(-2.0 * (x - low0) * (y - low1) / variance) if variance > 0.0 else 0.0
    above = math.exp(-2.0 * (high0 - x) * (high1 - y) / variance) if variance > 0.0 else 0.0
    if u < below:
        return -1
    return 1 if u > 1.0 - above else 0


@njit
def _normal_quantile(p):
    """Normal quantile to 1e-9 (Acklam's rationals), for p in (0, 1)."""
    tail = min(p, 1.0 - p)
    if tail > 0.02425:
        q = p - 0.5
        r = q * q
        top = -39.69683028665376
        for c in (220.9460984245205, -275.9285104469687, 138.3577518672690, -30.66479806614716, 2.506628277459239):
            top = top * r + c
        bottom = -54.47609879822406
        for c in (161.5858368580409, -155.6989798598866, 66.80131188771972, -13.28068155288572, 1.0):
            bottom = bottom * r + c
        return q * top / bottom
    q = math.sqrt(-2.0 * math.log(tail))
    top = -0.007784894002430293
    for c in (-0.3223964580411365, -2.400758277161838, -2.549732539343734, 4.374664141464968, 2.938163982698783):
        top = top * q + c
    bottom = 0.007784695709041462
    for c in (0.3224671290700398, 2.445134137142996, 3.754408661907416, 1.0):
        bottom = bottom * q + c
    return top / bottom if p < 0.5 else -top / bottom


def heston_breach(
    spot: float,
    lower: float,
    upper: float,
    years: float,
    carry: float,
    parameters: tuple[float, float, float, float, float],
    steps: int,
    paths: int,
    rng: np.random.Generator,
) -> Breach:
    """Chances of reaching either barrier ($) within `years`; carry = rate - yield, parameters v0..rho of Heston.

    DataError for a spot outside the barriers or parameters outside their domain.
    """
    v0, kappa, theta, sigma, rho = parameters
    if not (0.0 < lower < spot < upper and years > 0.0 and min(v0, kappa, theta, sigma) > 0.0 and abs(rho) < 1.0):
        raise DataError(
            f"barriers {lower} and {upper} must lie around the spot {spot}, and Heston's numbers be positive"
        )
    growth = carry * years * np.linspace(0.0, 1.0, steps + 1)
    end, left = np.empty(paths), np.empty(paths, np.int64)
    draws: tuple[Any, ...] = (
        rng.standard_normal((steps, paths)),
        rng.random((steps, paths)),
        rng.random((steps, paths)),
    )
    log_low, log_high = math.log(lower / spot) - growth, math.log(upper / spot) - growth
    qe_walk(parameters, years, *draws, log_low, log_high, end, left)
    inside = float(np.mean(left == 0))
    error = math.sqrt(inside * (1.0 - inside) / paths)
    return Breach(float(np.mean(left == -1)), float(np.mean(left == 1)), inside, error, float(np.exp(end).mean()))
