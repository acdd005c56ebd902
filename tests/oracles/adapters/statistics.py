"""Performance and overfitting statistics, fuzzy inference."""

import math
from typing import Any

import numpy as np

from core import metrics, overfit
from fuzzy_engine import Rule, Variable, engine_of, infer_rows
from tests.oracles.compare import Adapter, Judge


def performance_metrics(inputs: dict[str, Any]) -> dict[str, Any]:
    returns = np.array(inputs["returns"], dtype=np.float64)
    cash, per_year = float(inputs["risk_free"]), inputs["periods_per_year"]
    total = metrics.cumulative_return(returns)
    growth = metrics.cagr(total, len(returns), per_year)
    fall = metrics.max_drawdown(np.cumprod(np.concatenate(([1.0], 1.0 + returns))))
    moments = metrics.skew_and_kurtosis(returns) or (None, None)
    return {
        "cumulative_return": total,
        "annual_return": growth,
        "annual_volatility": metrics.annual_volatility(returns, per_year),
        "sharpe": metrics.sharpe(returns, cash, per_year),
        "sortino": metrics.sortino(returns, cash, per_year),
        "max_drawdown": -fall.fraction if fall else None,
        "calmar": metrics.calmar(growth, fall.fraction if fall else None),
        "omega": metrics.profit_factor(returns),
        "tail_ratio": metrics.tail_ratio(returns),
        "var_5pct": metrics.value_at_risk(returns),
        "cvar_5pct": metrics.expected_shortfall(returns),
        "skew": moments[0],
        "kurtosis_raw": moments[1],
        "profit_factor": metrics.profit_factor(returns),
        "win_rate": metrics.win_rate(returns),
        "payoff_ratio": metrics.payoff_ratio(returns),
        "expectancy_per_period": metrics.mean_of(returns),
    }


def deflated_sharpe(inputs: dict[str, Any]) -> dict[str, Any]:
    """Everything per period: the file's annual figures are brought to one."""
    n, skew, kurtosis = inputs["n_obs"], inputs["skew"], inputs["kurtosis"]
    if inputs.get("kind") == "psr":
        sharpe, benchmark = inputs["sharpe_per_period"], inputs["benchmark"]
        return {
            "psr": metrics.psr_from_moments(sharpe, n, skew, kurtosis, benchmark),
            "psr_if_normal": metrics.psr_from_moments(sharpe, n, 0.0, 3.0, benchmark),
        }
    per_year = inputs["periods_per_year"]
    sharpe, variance = inputs["sharpe_annual"] / math.sqrt(per_year), inputs["var_trial_sharpe_annual"] / per_year
    return {
        "psr_vs_zero": metrics.psr_from_moments(sharpe, n, skew, kurtosis),
        "sr0_per_period": overfit.expected_best_sharpe(inputs["n_trials"], variance),
        "deflated_sharpe": overfit.deflated_sharpe(sharpe, n, skew, kurtosis, inputs["n_trials"], variance),
    }


def pbo_cscv(inputs: dict[str, Any]) -> dict[str, Any]:
    found = overfit.overfitting(np.array(inputs["returns"], dtype=np.float64), inputs["n_splits"])
    return {"pbo": found.pbo, "mean_logit": found.mean_logit, "n_combinations": found.combinations}


# The variables and rules stand in the file's conventions, which an adapter does not get.
VARIABLES = {
    "iv_rank": Variable(0, 100, {"low": (0, 0, 20, 45), "mid_": (25, 50, 75), "high": (55, 80, 100, 100)}),
    "adx": Variable(0, 60, {"weak": (0, 0, 15, 25), "strong": (18, 32, 60, 60)}),
    "vix_z": Variable(-3, 4, {"calm": (-3, -3, 0, 1), "stress": (0.5, 1.5, 4, 4)}),
}
CONDITIONS: tuple[dict[str, str], ...] = (
    {"iv_rank": "high", "adx": "weak", "vix_z": "calm"},
    {"iv_rank": "mid_", "adx": "weak", "vix_z": "calm"},
    {"iv_rank": "low"},
    {"adx": "strong"},
    {"vix_z": "stress"},
)


def fuzzy_sugeno(inputs: dict[str, Any]) -> dict[str, Any]:
    rules = []
    for when, consequent in zip(CONDITIONS, inputs["consequents"], strict=True):
        slopes = dict(consequent) if isinstance(consequent, dict) else {"const": consequent}
        rules.append(Rule(when, slopes.pop("const", 0.0), slopes))
    engine = engine_of(VARIABLES, rules, {"prod": "product"}.get(inputs["tnorm"], inputs["tnorm"]))
    x = np.array([[inputs["x"][name]] for name in VARIABLES], dtype=np.float64)
    score, confidence = np.empty(1), np.empty(1)
    infer_rows(engine, x, score, confidence)
    assert confidence[0] == 1.0
    return {"score": None if math.isnan(score[0]) else score[0]}


ADAPTERS: dict[str, Adapter] = {
    "performance_metrics": performance_metrics,
    "deflated_sharpe": deflated_sharpe,
    "pbo_cscv": pbo_cscv,
    "fuzzy_sugeno": fuzzy_sugeno,
}
JUDGES: dict[str, Judge] = {}
