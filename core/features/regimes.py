"""What kind of market a row is in: by rules on VIX, its term structure and the trend, or by a hidden Markov model.

Rules, first that holds: crash | trend up, trend down | high volatility | range. An unknown input that could change the
answer makes it unknown; an established trend needs no VIX, and without VIX3M the term structure has no say. A new
regime counts after some rows in a row. A crash and not knowing count at once; a crash ends only on confirmation.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from core.jit import njit
from core.types import CRASH, HIGH_VOL, RANGE, SIGNAL, TREND_DOWN, TREND_UP, UNKNOWN_REGIME

INPUTS = tuple(SIGNAL[name] for name in ("vix", "term", "trend_strength", "day_distance", "turbulent"))
SHOWN, COMING, ROWS, CALM_OR_WILD = range(4)  # of the state: regime shown, regime coming, its rows, the HMM's last


class RegimeLimits(NamedTuple):
    """The settings of the classifier as numbers."""

    by_hmm: int
    adx: float
    distance: float  # share
    high_vix: float  # points
    crash_vix: float  # points
    crash_term: float  # VIX / VIX3M
    confirm: int  # rows
    enter: float  # probability
    leave: float  # probability


def regime_limits(values: Mapping[str, Any]) -> RegimeLimits:
    given = {k.rsplit(".", 1)[1]: v for k, v in values.items() if k.startswith("strategy.signals.")}
    rules = {name: given[f"regime_{name}"] for name in RegimeLimits._fields[1:7]}
    by_hmm = int(given["classifier"] == "hmm")
    return RegimeLimits(by_hmm=by_hmm, **rules, enter=given["hmm_enter"], leave=given["hmm_leave"])


def regime_state() -> Any:
    """State of `regime_step`: nothing is known."""
    return np.zeros(4, np.int64)


@njit
def regime_by_rules(limits, vix, term, strength, distance):
    """The regime of one row taken alone; UNKNOWN_REGIME where an unknown input could change it."""
    if vix >= limits.crash_vix or term >= limits.crash_term:
        return CRASH
    strong, far = strength >= limits.adx, abs(distance) >= limits.distance
    if strong and far:
        return TREND_UP if distance > 0.0 else TREND_DOWN
    may_be_strong, may_be_far = strong or math.isnan(strength), far or math.isnan(distance)
    if math.isnan(vix) or (may_be_strong and may_be_far):
        return UNKNOWN_REGIME
    return HIGH_VOL if vix >= limits.high_vix else RANGE


@njit
def regime_by_turbulence(limits, state, vix, term, turbulent):
    """Crash by VIX where it is known; else wild or calm by the filtered probability, between its limits what it was."""
    if vix >= limits.crash_vix or term >= limits.crash_term:
        return CRASH
    if math.isnan(turbulent):
        state[CALM_OR_WILD] = UNKNOWN_REGIME
    elif turbulent >= limits.enter:
        state[CALM_OR_WILD] = HIGH_VOL
    elif turbulent <= limits.leave:
        state[CALM_OR_WILD] = RANGE
    return state[CALM_OR_WILD]


@njit
def regime_step(limits, state, vix, term, strength, distance, turbulent):
    """The regime shown on the next row."""
    if limits.by_hmm:
        found = regime_by_turbulence(limits, state, vix, term, turbulent)
    else:
        found = regime_by_rules(limits, vix, term, strength, distance)
    state[ROWS] = state[ROWS] + 1 if found == state[COMING] else 1
    state[COMING] = found
    at_once = found == CRASH or (found == UNKNOWN_REGIME and state[SHOWN] != CRASH)
    if at_once or state[ROWS] >= limits.confirm:
        state[SHOWN] = found
    return state[SHOWN]


@njit
def regime_rows(limits, state, vix, term, strength, distance, turbulent, out):
    """`regime_step` over rows: fills out, float64[n], with codes of REGIMES."""
    for r in range(out.size):
        out[r] = regime_step(limits, state, vix[r], term[r], strength[r], distance[r], turbulent[r])


def fill_regime(values: Mapping[str, Any], signal: Any) -> None:
    """Fill the regime of signal columns whose inputs are there."""
    inputs = (signal[at] for at in INPUTS)
    regime_rows(regime_limits(values), regime_state(), *inputs, signal[SIGNAL["regime"]])
