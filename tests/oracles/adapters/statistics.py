"""Performance and overfitting statistics, fuzzy inference."""

import math
from typing import Any

import numpy as np

from core import metrics
from tests.oracles.compare import Adapter, Judge, Later


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
    """The probabilistic half: everything per period; deflation by the number of trials comes later."""
    n, skew, kurtosis = inputs["n_obs"], inputs["skew"], inputs["kurtosis"]
    if inputs.get("kind") == "psr":
        sharpe, benchmark = inputs["sharpe_per_period"], inputs["benchmark"]
        return {
            "psr": metrics.psr_from_moments(sharpe, n, skew, kurtosis, benchmark),
            "psr_if_normal": metrics.psr_from_moments(sharpe, n, 0.0, 3.0, benchmark),
        }
    later = Later("deflation by the number of trials arrives with the optimizer")
    per_period = inputs["sharpe_annual"] / math.sqrt(inputs["periods_per_year"])
    return {
        "psr_vs_zero": metrics.psr_from_moments(per_period, n, skew, kurtosis),
        "sr0_per_period": later,
        "deflated_sharpe": later,
    }


ADAPTERS: dict[str, Adapter] = {"performance_metrics": performance_metrics, "deflated_sharpe": deflated_sharpe}
JUDGES: dict[str, Judge] = {}
