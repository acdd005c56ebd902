"""Kalman filter of a linear Gaussian state seen through one number a time, with an exact diffuse start.

    y_t = design x_t + N(0, obs_var),   x_{t+1} = transition x_t + N(0, state_cov)

The filter looks back only and may be traded on; the smoother uses the whole series and is for pictures.
Source: Durbin and Koopman, Time Series Analysis by State Space Methods (2012), chapters 4 and 5.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from core.errors import DataError
from core.jit import njit

LOG_2PI = math.log(2.0 * math.pi)
DIFFUSE_GONE = 1e-10


class LinearModel(NamedTuple):
    """The model: design float64[k], transition and state_cov float64[k, k], obs_var."""

    design: Any
    transition: Any
    state_cov: Any
    obs_var: float


class State(NamedTuple):
    """What is known before the next observation: mean float64[k], cov and diffuse float64[k, k] (in place).

    diffuse is the part of the covariance that is infinite: zero for a known start, an identity for none at all.
    """

    mean: Any
    cov: Any
    diffuse: Any


class Filtered(NamedTuple):
    """By time: filtered mean [n, k] and cov [n, k, k], predicted ones before each observation, log-likelihoods [n]."""

    mean: Any
    cov: Any
    predicted_mean: Any
    predicted_cov: Any
    loglike: Any


def known_start(mean: Any, cov: Any) -> State:
    """A start with that mean and covariance, before the first observation."""
    mean = np.array(mean, np.float64)
    return State(mean, np.array(cov, np.float64), np.zeros((len(mean), len(mean))))


def diffuse_start(size: int) -> State:
    """A start that knows nothing: the likelihood is then that of the observations behind the first `size`."""
    return State(np.zeros(size), np.zeros((size, size)), np.eye(size))


@njit
def kalman_step(model, state, y, mean, cov):
    """Take in y: fill mean, cov with the filtered state, move `state` on to the next time, return ln density of y.

    A NaN observation leaves the prediction as it is and contributes 0.
    """
    k = state.mean.size
    mean[:] = state.mean
    cov[:, :] = state.cov
    value = 0.0
    if not math.isnan(y):
        spread, wide = state.cov @ model.design, state.diffuse @ model.design
        error = y - model.design @ state.mean
        f, f_wide = model.design @ spread + model.obs_var, model.design @ wide
        if f_wide > DIFFUSE_GONE:
            value = -0.5 * (LOG_2PI + math.log(f_wide))
            for i in range(k):
                mean[i] += wide[i] * error / f_wide
                for j in range(k):
                    cross = (spread[i] * wide[j] + wide[i] * spread[j]) / f_wide
                    cov[i, j] += wide[i] * wide[j] * f / (f_wide * f_wide) - cross
                    state.diffuse[i, j] -= wide[i] * wide[j] / f_wide
        else:
            value = -0.5 * (LOG_2PI + math.log(f) + error * error / f)
            for i in range(k):
                mean[i] += spread[i] * error / f
                for j in range(k):
                    cov[i, j] -= spread[i] * spread[j] / f
    state.mean[:] = model.transition @ mean
    state.cov[:, :] = model.transition @ cov @ model.transition.T + model.state_cov
    state.diffuse[:, :] = model.transition @ state.diffuse @ model.transition.T
    return value


@njit
def kalman_rows(model, state, y, mean, cov, predicted_mean, predicted_cov, loglike):
    """`kalman_step` over a series: fills the columns of Filtered."""
    for t in range(y.size):
        predicted_mean[t] = state.mean
        predicted_cov[t] = state.cov
        loglike[t] = kalman_step(model, state, y[t], mean[t], cov[t])


def kalman_filter(model: LinearModel, start: State, y: Any) -> Filtered:
    """Filter a series; NaN observations are missing. DataError where shapes disagree or obs_var < 0."""
    design, transition, state_cov = (np.array(part, np.float64) for part in model[:3])
    model = LinearModel(design, transition, state_cov, float(model.obs_var))
    k, n = len(model.design), len(y)
    if model.transition.shape != (k, k) or model.state_cov.shape != (k, k) or start.mean.shape != (k,):
        raise DataError(f"a state of {k} needs transition and state_cov of {k} x {k} and a start of {k}")
    if model.obs_var < 0.0:
        raise DataError(f"obs_var is {model.obs_var}; a variance is not negative")
    state = State(*(part.copy() for part in start))
    out = Filtered(np.empty((n, k)), np.empty((n, k, k)), np.empty((n, k)), np.empty((n, k, k)), np.empty(n))
    kalman_rows(model, state, np.asarray(y, np.float64), *out)
    return out


def smoothed_for_pictures(model: LinearModel, found: Filtered) -> Any:
    """State means float64[n, k] given the WHOLE series (Rauch, Tung and Striebel): looks ahead, never for decisions."""
    transition = np.asarray(model.transition, np.float64)
    smooth = found.mean.copy()
    for t in range(len(smooth) - 2, -1, -1):
        gain = found.cov[t] @ transition.T @ np.linalg.pinv(found.predicted_cov[t + 1])
        smooth[t] += gain @ (smooth[t + 1] - found.predicted_mean[t + 1])
    return smooth


def fit_local_level(y: Any) -> LinearModel:
    """Maximum likelihood of a random walk seen with noise (local level), exact diffuse start."""
    from scipy.optimize import minimize

    y = np.asarray(y, np.float64)
    scale = float(np.nanvar(y))
    if not scale > 0.0:
        raise DataError("a constant or empty series has no local level to fit")

    def model_of(logs: Any) -> LinearModel:
        obs, level = scale * np.exp(logs)
        return LinearModel(np.ones(1), np.ones((1, 1)), np.full((1, 1), level), float(obs))

    def cost(logs: Any) -> float:
        return -float(kalman_filter(model_of(logs), diffuse_start(1), y).loglike.sum())

    found = minimize(cost, np.log([0.5, 0.1]), method="Nelder-Mead", options={"xatol": 1e-7, "fatol": 1e-10})
    return model_of(found.x)
