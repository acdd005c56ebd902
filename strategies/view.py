"""A market as a strategy sees it: its signals and gates beside its prices, computed once per setting.

Signals are left out where no rule in force reads them.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np

from core.config import members, read_fuzzy
from core.features.regimes import fill_regime
from core.features.signals import signal_columns
from core.features.timeframes import bars_of
from core.implied import fresh_rows, implied_rows
from core.market.store import frozen
from core.types import SIGNAL, SIGNALS, VIX, VIX3M, Market
from fuzzy_engine import FACTORS, Engine, RuleBase, engine_of, infer_rows, renamed, rule_base, weighed
from strategies.gates import gate_rows, gates_from, reads_signals

# Settings that read signals unless they are at this value; filters and regimes to leave are judged by the gates.
SILENT_AT = {
    "strategy.size.fuzzy_scale": 0.0,
    "strategy.size.high_vol_factor": 1.0,
    "strategy.size.trend_factor": 1.0,
    "strategy.size.crash_factor": 1.0,
    "strategy.size.vol_floor": 1.0,
    "strategy.size.vol_target": 0.0,
    "strategy.exits.stop_scale": "none",
    "strategy.entry.widen": 1.0,
    "strategy.entry.credit_iv_scale": 0.0,
    "strategy.entry.expiry_rule": "target",
    "strategy.hedge.smile": "report",
}


def needs_signals(values: Mapping[str, Any]) -> bool:
    """Whether any rule in force reads a signal. Breach probabilities need none: they take the legs' own smile."""
    return reads_signals(gates_from(values)) or any(values[path] != silent for path, silent in SILENT_AT.items())


@cache
def named_rules(name: str) -> RuleBase:
    """The rules of data/presets/fuzzy; read once, since every setting of a search asks for them."""
    return rule_base(read_fuzzy(name), f"data/presets/fuzzy/{name}.yaml")


def fuzzy_base(values: Mapping[str, Any]) -> RuleBase:
    """The rules that the settings name, weighed by factor, on the measure of IV in use."""
    base = named_rules(values["strategy.signals.fuzzy"])
    if values["strategy.signals.iv_measure"] == "rank":
        base = renamed(base, "iv_percentile", "iv_rank")
    return weighed(base, {factor: values[f"strategy.signals.fuzzy_{factor}"] for factor in FACTORS})


def fuzzy_engine_of(base: RuleBase) -> Engine:
    """The rules on rows of Market.signal."""
    return engine_of(base.variables, base.rules, base.norm, SIGNALS)


def implied_of(market: Market, bars: Any) -> tuple[Any, Any]:
    """(iv, fresh) of every row: what the market itself says, whatever the settings."""
    return implied_rows(market, bars.is_bar), fresh_rows(market)


def unscored_signals(market: Market, bars: Any, values: Mapping[str, Any], iv: Any, fresh: Any) -> Any:
    """signals_of without the fuzzy score; iv, fresh : those of implied_of."""
    signal = signal_columns(bars, values, iv, fresh, market.track[VIX], market.track[VIX3M])
    fill_regime(values, signal)
    return signal


def score_signals(values: Mapping[str, Any], signal: Any) -> None:
    """Write the fuzzy score and its confidence into the other signals' array."""
    engine = fuzzy_engine_of(fuzzy_base(values))
    infer_rows(engine, signal, signal[SIGNAL["score"]], signal[SIGNAL["confidence"]])


def signals_of(market: Market, columns: Mapping[str, Any], values: Mapping[str, Any]) -> Any:
    """float64 (len(SIGNALS), N): every signal of a market. columns : those of its store."""
    bars = bars_of(columns)
    signal = unscored_signals(market, bars, values, *implied_of(market, bars))
    score_signals(values, signal)
    return signal


def gates_of(market: Market, signal: Any, values: Mapping[str, Any]) -> Any:
    """uint8 (2, N): Market.gate of these settings on these signals."""
    session = np.ascontiguousarray(market.row.session)
    return gate_rows(gates_from(values), signal, session, events_near(market, values))


def events_near(market: Market, values: Mapping[str, Any]) -> Any:
    """uint8 (S): 1 for sessions so near an event that nothing is opened."""
    kinds = members(values, "strategy.filters.avoid_events")
    if not kinds:
        return np.zeros(len(market.ses), np.uint8)
    from strategies.events import sessions_near_events

    days = np.ascontiguousarray(market.ses.day)
    return np.asarray(sessions_near_events(days, kinds, values["strategy.filters.event_days"]), np.uint8)


def view_of(market: Market, columns: Mapping[str, Any], values: Mapping[str, Any], always: bool = False) -> Market:
    """The market with `signal` and `gate` filled for these settings, read-only.

    columns : those of the market's store; always : fill the signals even if no rule reads them
    """
    wanted = always or needs_signals(values)
    signal = signals_of(market, columns, values) if wanted else np.zeros((len(SIGNALS), 0))
    return market._replace(signal=frozen(signal), gate=frozen(gates_of(market, signal, values)))
