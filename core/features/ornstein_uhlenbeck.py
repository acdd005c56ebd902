"""Ornstein-Uhlenbeck process by exact maximum likelihood, its speed with error and correction for bias.

    dx = kappa (theta - x) dt + sigma dW:  x_{t+dt} = theta + phi (x_t - theta) + noise,  phi = exp(-kappa dt)

Conditional on the first value the likelihood is that of a regression of x_{t+1} on x_t. Its kappa is biased upwards
by about 4 / years, as much as itself on a year or two: never use it without its error and the corrected figure.
Source: Tang and Chen, "Parameter estimation and bias correction for diffusion processes" (J. Econometrics, 2009).
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from core.errors import DataError


class OUFit(NamedTuple):
    """Per year: kappa, theta (units of x), sigma (units of x per sqrt year); see fit_ou."""

    kappa: float
    kappa_error: float
    kappa_corrected: float
    theta: float
    sigma: float
    loglike: float
    half_life_years: float
    half_life_corrected_years: float


def fit_ou(x: Any, dt: float) -> OUFit:
    """Fit a series x, float64[n], observed every dt years (say log VIX, dt 1/252).

    kappa_error is the standard error of kappa; kappa_corrected is kappa less Tang and Chen's bias
    (5 + 2 e^{kappa dt} + e^{2 kappa dt}) / (2 n dt), not below 0 (then its half-life is infinite: the data show no
    mean reversion). DataError where the series has fewer than 10 steps, gaps, or a phi outside (0, 1).
    """
    x = np.asarray(x, np.float64)
    n = len(x) - 1
    if n < 10 or not np.all(np.isfinite(x)) or not dt > 0.0:
        raise DataError(f"an OU fit needs at least 11 values without gaps and dt > 0; got {len(x)} and dt {dt}")
    before, after = x[:-1], x[1:]
    spread = before - before.mean()
    sxx = float(spread @ spread)
    if not sxx > 0.0:
        raise DataError("a constant series has no mean reversion to fit")
    phi = float(spread @ after) / sxx
    if not 0.0 < phi < 1.0:
        raise DataError(f"x_(t+1) on x_t has slope {phi:.4f}, outside (0, 1): the series does not revert to a mean")
    theta = float(after.mean() - phi * before.mean()) / (1.0 - phi)
    noise = after - theta - phi * (before - theta)
    variance = float(noise @ noise) / n
    kappa = -math.log(phi) / dt
    bias = (5.0 + 2.0 / phi + 1.0 / (phi * phi)) / (2.0 * n * dt)
    corrected = max(kappa - bias, 0.0)
    return OUFit(
        kappa=kappa,
        kappa_error=math.sqrt(variance / sxx) / (phi * dt),
        kappa_corrected=corrected,
        theta=theta,
        sigma=math.sqrt(variance * 2.0 * kappa / (1.0 - phi * phi)),
        loglike=-0.5 * n * (math.log(2.0 * math.pi * variance) + 1.0),
        half_life_years=math.log(2.0) / kappa,
        half_life_corrected_years=math.log(2.0) / corrected if corrected > 0.0 else math.inf,
    )
