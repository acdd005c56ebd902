"""Bootstrap particle filter of a hidden AR(1), seen with noise or as the log variance of returns.

    x_{t+1} = mean + phi (x_t - mean) + sd N(0, 1)
    LINEAR : y_t = design x_t + N(0, obs_var);   RETURNS : y_t = exp(x_t / 2) N(0, 1)

Particles are moved by the model, weighed by the observation, and resampled systematically when fewer than half of
them count. All random numbers come from the caller: the same numbers give the same answer, one bar at a time or all
at once. Only filtered quantities are returned.
Sources: Gordon, Salmond and Smith (1993); Kitagawa (1996); Doucet and Johansen, "A tutorial on particle filtering".
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from core.jit import njit

LINEAR, RETURNS = 0, 1
LOG_2PI = math.log(2.0 * math.pi)


class HiddenModel(NamedTuple):
    """The AR(1) and how it is seen; design and obs_var count for LINEAR only."""

    mean: float
    phi: float
    sd: float
    seen: int
    design: float
    obs_var: float


class Cloud(NamedTuple):
    """Particles and normalised weights before the next observation, float64[p] each; changed in place."""

    x: Any
    weight: Any


class FilteredPath(NamedTuple):
    """By time: filtered mean and variance of x, ln density of y; float64[n] each."""

    mean: Any
    variance: Any
    loglike: Any


def stationary_log_variance(kappa: float, theta: float, sigma: float, dt: float) -> HiddenModel:
    """The OU process of core.features.ornstein_uhlenbeck as the log variance of returns every dt years."""
    phi = math.exp(-kappa * dt)
    return HiddenModel(theta, phi, sigma * math.sqrt((1.0 - phi * phi) / (2.0 * kappa)), RETURNS, 0.0, 0.0)


def cloud_of(draws: Any, mean: float, variance: float) -> Cloud:
    """Particles of the first state, before any observation, from standard normal draws float64[p]."""
    x = mean + math.sqrt(variance) * np.asarray(draws, np.float64)
    return Cloud(x, np.full(len(x), 1.0 / len(x)))


@njit
def particle_step(model, cloud, y, noise, uniform, scratch):
    """Take in y: (mean of x, variance, ln density of y), filtered; moves the cloud on to the next time.

    noise : float64[p] standard normals, uniform : in [0, 1) for the resampling, scratch : float64[p]
    A NaN observation weighs nothing: the cloud only moves.
    """
    x, weight = cloud.x, cloud.weight
    n = x.size
    value = 0.0
    if not math.isnan(y):
        highest = -math.inf
        for i in range(n):
            if model.seen == LINEAR:
                error = y - model.design * x[i]
                scratch[i] = -0.5 * (LOG_2PI + math.log(model.obs_var) + error * error / model.obs_var)
            else:
                scratch[i] = -0.5 * (LOG_2PI + x[i] + y * y * math.exp(-x[i]))
            highest = max(highest, scratch[i])
        total = 0.0
        for i in range(n):
            weight[i] *= math.exp(scratch[i] - highest)
            total += weight[i]
        value = highest + math.log(total)
        for i in range(n):
            weight[i] /= total
    mean, square, crowd = 0.0, 0.0, 0.0
    for i in range(n):
        mean += weight[i] * x[i]
        crowd += weight[i] * weight[i]
    for i in range(n):
        square += weight[i] * (x[i] - mean) * (x[i] - mean)
    if 1.0 / crowd < 0.5 * n:
        _resample(x, weight, uniform, scratch)
    for i in range(n):
        x[i] = model.mean + model.phi * (x[i] - model.mean) + model.sd * noise[i]
    return mean, square, value


@njit
def _resample(x, weight, uniform, scratch):
    """Systematic resampling: one uniform number places n evenly spaced marks on the cumulated weights."""
    n = x.size
    at, reached = 0, weight[0]
    for i in range(n):
        mark = (i + uniform) / n
        while reached < mark and at < n - 1:
            at += 1
            reached += weight[at]
        scratch[i] = x[at]
    for i in range(n):
        x[i] = scratch[i]
        weight[i] = 1.0 / n


@njit
def particle_rows(model, cloud, y, noise, uniform, mean, variance, loglike):
    """`particle_step` over a series: noise float64[n, p], uniform float64[n]; fills the columns of FilteredPath."""
    scratch = np.empty(cloud.x.size)
    for t in range(y.size):
        mean[t], variance[t], loglike[t] = particle_step(model, cloud, y[t], noise[t], uniform[t], scratch)


def particle_filter(model: HiddenModel, start: Cloud, y: Any, rng: np.random.Generator) -> FilteredPath:
    """Filter a series from a cloud (left as it is) with numbers of the caller's generator."""
    n, p = len(y), len(start.x)
    cloud = Cloud(start.x.copy(), start.weight.copy())
    out = FilteredPath(np.empty(n), np.empty(n), np.empty(n))
    noise, uniform = rng.standard_normal((n, p)), rng.random(n)
    particle_rows(model, cloud, np.asarray(y, np.float64), noise, uniform, *out)
    return out
