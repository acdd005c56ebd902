"""Latent-state models."""

import math
from typing import Any

import numpy as np

from core.features.hmm import (
    RegimeModel,
    filtered_regimes,
    fit_switching_autoregression,
    most_likely_path_for_pictures,
    smoothed_for_pictures,
)
from core.features.kalman import LinearModel, fit_local_level, kalman_filter, known_start
from core.features.kalman import smoothed_for_pictures as smoothed_states
from core.features.ornstein_uhlenbeck import fit_ou
from core.features.particle import LINEAR, HiddenModel, cloud_of, particle_filter
from tests.oracles.compare import Adapter, Case, Judge, disagreements

PARTICLES = 2000


def column(values: Any) -> Any:
    return np.array(values, dtype=np.float64)


def kalman(inputs: dict[str, Any]) -> dict[str, Any]:
    if "design" not in inputs:
        level = fit_local_level(column(inputs["y"]))
        return {"obs_var": level.obs_var, "state_var": float(level.state_cov[0, 0])}
    model = LinearModel(*(column(inputs[name]) for name in ("design", "transition", "state_cov")), inputs["obs_var"])
    found = kalman_filter(model, known_start(inputs["initial_mean"], inputs["initial_cov"]), column(inputs["y"]))
    return {
        "loglike": float(found.loglike.sum()),
        "filtered_state": found.mean.tolist(),
        "filtered_cov_last": found.cov[-1].tolist(),
        "smoothed_state": smoothed_states(model, found).tolist(),
    }


def particle(inputs: dict[str, Any]) -> dict[str, Any]:
    (((phi,),), ((variance,),)) = inputs["transition"], inputs["state_cov"]
    model = HiddenModel(0.0, phi, math.sqrt(variance), LINEAR, inputs["design"][0], inputs["obs_var"])
    rng = np.random.default_rng(11)
    start = cloud_of(rng.standard_normal(PARTICLES), inputs["initial_mean"][0], inputs["initial_cov"][0][0])
    found = particle_filter(model, start, column(inputs["y"]), rng)
    return {"loglike": float(found.loglike.sum()), "filtered_mean": found.mean}


def particle_judge(case: Case, ours: dict[str, Any]) -> list[str]:
    """The filtered means are judged by their root mean square distance from the exact ones."""
    expected = dict(case.body["expected"])
    exact = column(expected.pop("filtered_mean")).ravel()
    lines = disagreements(case._replace(body={**case.body, "expected": expected}), ours)
    distance = float(np.sqrt(np.mean((ours["filtered_mean"] - exact) ** 2)))
    limit = case.body["tol"]["filtered_mean_rmse"]["abs"]
    return lines if distance <= limit else [*lines, f"filtered means {distance} away, allowed {limit}"]


def hmm(inputs: dict[str, Any]) -> dict[str, Any]:
    y = column(inputs["y"])
    if "start" not in inputs:
        return switching(y)
    model = RegimeModel(*(column(inputs[name]) for name in ("start", "transition", "mean", "sd")))
    filtered, loglike = filtered_regimes(model, y)
    return {
        "loglike": float(loglike.sum()),
        "filtered_prob": filtered.tolist(),
        "filtered_prob_last": filtered[-1].tolist(),
        "smoothed_prob": smoothed_for_pictures(model, y).tolist(),
        "viterbi": most_likely_path_for_pictures(model, y).tolist(),
    }


def switching(y: Any) -> dict[str, Any]:
    """Hamilton's MSM(2)-AR(4), under the names in print and under the library's."""
    found = fit_switching_autoregression(y, 2, 4)
    stay, leave = float(found.transition[0, 0]), float(found.transition[1, 0])
    low, high = found.mean.tolist()
    return {
        **{"loglike": found.loglike, "sigma2": found.variance},
        **{"p_0_0": stay, "p_1_0": leave, "const_0": low, "const_1": high},
        **{"p[0->0]": stay, "p[1->0]": leave, "const[0]": low, "const[1]": high},
        **{f"ar.L{i + 1}": float(value) for i, value in enumerate(found.ar)},
    }


def hmm_judge(case: Case, ours: dict[str, Any]) -> list[str]:
    """Tolerances `prob` and `params` stand for all probabilities and all parameters."""
    tol = dict(case.body.get("tol") or {})
    for group in ("prob", "params"):
        if group in tol:
            names = [name for name in ours if (group == "params") != ("prob" in name) and name != "loglike"]
            tol |= dict.fromkeys(names, tol[group])
    return disagreements(case._replace(body={**case.body, "tol": tol}), ours)


def ou_mle(inputs: dict[str, Any]) -> dict[str, Any]:
    return fit_ou(column(inputs["x"]), float(inputs["dt"]))._asdict()


ADAPTERS: dict[str, Adapter] = {
    "kalman": kalman,
    "particle_filter": particle,
    "hmm_markov_switching": hmm,
    "ou_mle": ou_mle,
}
JUDGES: dict[str, Judge] = {"particle_filter": particle_judge, "hmm_markov_switching": hmm_judge}
