"""Hidden Markov regimes with Gaussian observations: filtered probabilities for trading, the rest for pictures.

Fitting is statsmodels' (maximum likelihood); filtering is our own causal recursion, one observation at a time. Labels
are ordered by standard deviation, so that regime 0 is always the calm one.
Sources: Hamilton, "A new approach to the economic analysis of nonstationary time series" (Econometrica, 1989);
Rabiner, "A tutorial on hidden Markov models" (Proc. IEEE, 1989).
"""

from __future__ import annotations

import math
import warnings
from typing import Any, NamedTuple

import numpy as np

from core.errors import DataError
from core.jit import njit

LOG_2PI = math.log(2.0 * math.pi)


class RegimeModel(NamedTuple):
    """k regimes: start float64[k], transition float64[k, k] (rows sum to 1), mean and sd float64[k]."""

    start: Any
    transition: Any
    mean: Any
    sd: Any


class SwitchingAutoregression(NamedTuple):
    """A fitted Markov-switching mean with common AR terms and variance; regimes ordered by mean."""

    transition: Any  # float64[k, k], from row to column
    mean: Any  # float64[k]
    ar: Any  # float64[order]
    variance: float
    loglike: float


@njit
def regime_step(model, predicted, y, filtered):
    """Take in y: fill `filtered` with P(regime | past, y), move `predicted` on to the next time, return ln density.

    predicted, filtered : float64[k]; before the first observation predicted is model.start. A NaN observation
    leaves the prediction as it is and contributes 0.
    """
    k = predicted.size
    value = 0.0
    if math.isnan(y):
        filtered[:] = predicted
    else:
        highest = -math.inf
        for i in range(k):
            z = (y - model.mean[i]) / model.sd[i]
            filtered[i] = -0.5 * (LOG_2PI + z * z) - math.log(model.sd[i])
            if predicted[i] > 0.0:
                highest = max(highest, filtered[i])
        total = 0.0
        for i in range(k):
            filtered[i] = predicted[i] * math.exp(filtered[i] - highest)
            total += filtered[i]
        value = highest + math.log(total)
        for i in range(k):
            filtered[i] /= total
    for j in range(k):
        predicted[j] = 0.0
        for i in range(k):
            predicted[j] += filtered[i] * model.transition[i, j]
    return value


@njit
def regime_rows(model, predicted, y, filtered, loglike):
    """`regime_step` over a series: fills filtered float64[n, k] and loglike float64[n]."""
    for t in range(y.size):
        loglike[t] = regime_step(model, predicted, y[t], filtered[t])


def filtered_regimes(model: RegimeModel, y: Any) -> tuple[Any, Any]:
    """(P(regime_t | y_1..y_t) float64[n, k], ln densities float64[n]): what a trader knew."""
    filtered, loglike = np.empty((len(y), len(model.start))), np.empty(len(y))
    regime_rows(model, model.start.copy(), np.asarray(y, np.float64), filtered, loglike)
    return filtered, loglike


def smoothed_for_pictures(model: RegimeModel, y: Any) -> Any:
    """P(regime_t | WHOLE series), float64[n, k]: looks ahead, never for decisions."""
    smooth, _ = filtered_regimes(model, y)
    for t in range(len(y) - 2, -1, -1):
        ahead = smooth[t] @ model.transition
        smooth[t] *= model.transition @ (smooth[t + 1] / ahead)
    return smooth


def most_likely_path_for_pictures(model: RegimeModel, y: Any) -> Any:
    """Viterbi's regimes, int64[n], given the WHOLE series: looks ahead, never for decisions."""
    y = np.asarray(y, np.float64)
    z = (y[:, None] - model.mean) / model.sd
    density = np.where(np.isnan(z), 0.0, -0.5 * (LOG_2PI + z * z) - np.log(model.sd))
    with np.errstate(divide="ignore"):
        step, score = np.log(model.transition), np.log(model.start) + density[0]
    came = np.zeros((len(y), len(score)), np.int64)
    for t in range(1, len(y)):
        through = score[:, None] + step
        came[t] = through.argmax(axis=0)
        score = through.max(axis=0) + density[t]
    path = np.empty(len(y), np.int64)
    path[-1] = int(score.argmax())
    for t in range(len(y) - 1, 0, -1):
        path[t - 1] = came[t, path[t]]
    return path


def fit_regimes(y: Any, regimes: int = 2) -> RegimeModel:
    """Gaussian regimes by maximum likelihood; the start is the chain's stationary law. Ordered by sd, calm first.

    Fit on data before the first decision only, and again as time goes on: a fit on the whole sample looks ahead.
    """
    from statsmodels.tsa.regime_switching.markov_regression import MarkovRegression

    y = np.asarray(y, np.float64)
    if len(y) < 20 * regimes or not np.all(np.isfinite(y)):
        raise DataError(f"{len(y)} observations for {regimes} regimes; give at least {20 * regimes}, none missing")
    scale = float(y.std())
    found = _fitted(MarkovRegression(y / scale, k_regimes=regimes, switching_variance=True))
    names = list(found.model.param_names)
    values = {name: float(v) for name, v in zip(names, found.params, strict=True)}
    mean = scale * np.array([values[f"const[{i}]"] for i in range(regimes)])
    sd = scale * np.sqrt([values[f"sigma2[{i}]"] for i in range(regimes)])
    transition = np.asarray(found.regime_transition)[:, :, 0].T
    order = np.argsort(sd)
    chain = np.ascontiguousarray(transition[order][:, order])
    return RegimeModel(stationary_law(chain), chain, mean[order], sd[order])


def stationary_law(transition: Any) -> Any:
    """The law float64[k] that a chain keeps: pi = pi transition."""
    k = len(transition)
    system = np.vstack([transition.T - np.eye(k), np.ones(k)])
    law = np.linalg.lstsq(system, np.append(np.zeros(k), 1.0), rcond=None)[0]
    return np.ascontiguousarray(np.clip(law, 0.0, 1.0) / np.clip(law, 0.0, 1.0).sum())


def fit_switching_autoregression(y: Any, regimes: int, order: int) -> SwitchingAutoregression:
    """Hamilton's model: the mean switches, the AR terms around it and the variance do not."""
    from statsmodels.tsa.regime_switching.markov_autoregression import MarkovAutoregression

    found = _fitted(MarkovAutoregression(np.asarray(y, np.float64), k_regimes=regimes, order=order, switching_ar=False))
    values = {name: float(v) for name, v in zip(found.model.param_names, found.params, strict=True)}
    mean = np.array([values[f"const[{i}]"] for i in range(regimes)])
    transition = np.asarray(found.regime_transition)[:, :, 0].T
    by_mean = np.argsort(mean)
    ar = np.array([values[f"ar.L{i}"] for i in range(1, order + 1)])
    return SwitchingAutoregression(
        transition[by_mean][:, by_mean], mean[by_mean], ar, values["sigma2"], float(found.llf)
    )


def _fitted(model: Any) -> Any:
    """statsmodels' result; a fit that did not converge is a DataError, not a warning."""
    from statsmodels.tools.sm_exceptions import ConvergenceWarning, EstimationWarning

    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        warnings.simplefilter("ignore", EstimationWarning)
        warnings.simplefilter("ignore", RuntimeWarning)
        try:
            return model.fit(disp=False)
        except ConvergenceWarning as warning:
            raise DataError(f"the regimes could not be fitted ({warning}); give more data or fewer regimes") from None
