"""How turbulent the days have been: a two-regime Gaussian HMM, fitted again and again on the past alone.

The probabilities are filtered: each comes from the returns up to its day and from a model fitted on returns up to the
last fit before it. Nothing is smoothed.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from core.errors import DataError
from core.features.hmm import RegimeModel, filtered_regimes, fit_regimes

FIRST_FIT = 252  # returns


def refitted(returns: Any, model: RegimeModel | None) -> RegimeModel | None:
    """The model of these returns; the one before where they cannot be fitted."""
    if not returns.std() > 0.0:
        return model
    try:
        return fit_regimes(returns)
    except (DataError, np.linalg.LinAlgError):
        return model


def turbulence(close: Any, refit_every: int) -> Any:
    """P(turbulent regime) at the end of each session, float64[S], from closes ($) of sessions up to it.

    refit_every : sessions between two fits, the first on FIRST_FIT returns; NaN before it.
    """
    out = np.full(len(close), np.nan)
    returns = np.diff(np.log(close))
    model = None
    for k in range(FIRST_FIT, len(close), refit_every):
        model = refitted(returns[:k], model)
        if model is not None:
            end = min(k + refit_every, len(close))
            # After k returns, session k is complete; the filter starts afresh under the new model.
            filtered, _ = filtered_regimes(model, returns[: end - 1])
            out[k:end] = filtered[k - 1 :, -1]
    return out
