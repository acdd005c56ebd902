"""What a search looks for, and which trials count: an objective, a least number of trades, and limits on any metric."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from core.config import unknown
from core.errors import ConfigError
from core.trials import METRIC, TRIAL_METRICS

CENT = 0.01
LESS_IS_BETTER = ("max_drawdown", "max_drawdown_pct", "fees", "margin_max", "losses", "open_trades")
DEFAULT = "net_profit_over_max_drawdown"
PARETO = "pareto"  # net profit against drawdown: searched as a pair, ranked by their ratio
OBJECTIVES = (*TRIAL_METRICS, "net_profit_over_cvar", PARETO)
LEAST_TRADES = 30
SIGNS: dict[str, Callable[[Any, Any], Any]] = {
    "<=": operator.le, ">=": operator.ge, "<": operator.lt, ">": operator.gt,
}  # fmt: skip


class Limit(NamedTuple):
    """`metric sign value`; a trial whose metric is unknown does not keep it."""

    metric: str
    sign: str
    value: float


class Wish(NamedTuple):
    """What is looked for among the trials that count."""

    objective: str
    least_trades: int
    limits: tuple[Limit, ...]


def wish_of(objective: str, least_trades: int, limits: Sequence[str]) -> Wish:
    """A wish from its words; ConfigError for an unknown metric."""
    if objective not in OBJECTIVES:
        raise ConfigError(unknown("objective", objective, OBJECTIVES))
    if least_trades < 0:
        raise ConfigError(f"--min-trades is {least_trades}; give 0 or more")
    return Wish(objective, least_trades, tuple(limit_of(text) for text in limits))


def limit_of(text: str) -> Limit:
    """'max_drawdown_pct <= 20' as data."""
    for sign in SIGNS:
        metric, found, value = str(text).partition(sign)
        if found:
            break
    metric = metric.strip()
    if not found:
        raise ConfigError(f"limit {text!r}; write a metric, <=, >=, < or >, and a number, as 'max_drawdown_pct <= 20'")
    if metric not in METRIC:
        raise ConfigError(f"limit {text!r}: {unknown('metric', metric, METRIC)}")
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ConfigError(f"limit {text!r}: {value.strip()!r} is no number")
    return Limit(metric, sign, number)


def scores(wish: Wish, figures: Any) -> Any:
    """float64 (n): the objective, more is better; NaN for trials that do not count.

    figures : float64 (n, K) of core.trials. A run that never fell counts its fall as one cent: it ranks first if it
    earned anything, and is no division by zero.
    """
    net = figures[:, METRIC["net_profit"]]
    if wish.objective in (DEFAULT, PARETO):
        score = net / np.maximum(figures[:, METRIC["max_drawdown"]], CENT)
    elif wish.objective == "net_profit_over_cvar":
        score = net / np.maximum(-figures[:, METRIC["cvar_95"]], CENT)
    else:
        score = figures[:, METRIC[wish.objective]]
        score = -score if wish.objective in LESS_IS_BETTER else score
    counts = figures[:, METRIC["trades"]] >= wish.least_trades
    for limit in wish.limits:
        counts &= SIGNS[limit.sign](figures[:, METRIC[limit.metric]], limit.value)
    return np.where(counts & np.isfinite(score), score, np.nan)
