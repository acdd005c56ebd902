"""A market as many settings see it: each part of a view is worked out once for the settings that shape it.

What the market itself implies is worked out once; signals by the settings of strategy.signals; the fuzzy score again
where only its weights change; gates by the filters.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from core.features.timeframes import bars_of
from core.market.store import Store, frozen, market_of
from core.settings import SETTINGS
from core.types import SIGNALS, Market
from fuzzy_engine import FACTORS
from strategies.gates import LEFT
from strategies.view import gates_of, implied_of, needs_signals, score_signals, unscored_signals

WEIGHTS = ("strategy.signals.fuzzy", *(f"strategy.signals.fuzzy_{factor}" for factor in FACTORS))
SHAPING = tuple(s.path for s in SETTINGS if s.path.startswith("strategy.signals.") and s.path not in WEIGHTS)
JUDGING = (*(s.path for s in SETTINGS if s.path.startswith("strategy.filters.")), LEFT)
MOST_GATES = 64


class Views:
    """The views of one store's market in this process."""

    def __init__(self, store: Store, intraday_quotes: str) -> None:
        self.store, self.market = store, market_of(store, intraday_quotes)
        self.none = frozen(np.zeros((len(SIGNALS), 0)))
        self.implied: Any = None
        self.bars: Any = None
        self.signal: Any = None
        self.shape: Any = None
        self.weights: Any = None
        self.gates: dict[Any, Any] = {}

    def key(self, values: Mapping[str, Any]) -> Any:
        """Equal for settings that see the same market."""
        judged = tuple(values[path] for path in JUDGING)
        if not needs_signals(values):
            return (None, None, judged)
        return (tuple(values[path] for path in SHAPING), tuple(values[path] for path in WEIGHTS), judged)

    def of(self, values: Mapping[str, Any]) -> Market:
        """The market with the signals and gates of these settings; signals hold until the next call."""
        key = self.key(values)
        signal = self.none if key[0] is None else self.signals(values, key[0], key[1])
        if key not in self.gates:
            if len(self.gates) >= MOST_GATES:
                self.gates.pop(next(iter(self.gates)))
            self.gates[key] = frozen(gates_of(self.market, signal, values))
        return self.market._replace(signal=signal, gate=self.gates[key])

    def signals(self, values: Mapping[str, Any], shape: Any, weights: Any) -> Any:
        """Market.signal, read-only: worked out anew as far as the settings differ from the last ones."""
        if self.implied is None:
            self.bars = bars_of(self.store.columns)
            self.implied = implied_of(self.market, self.bars)
        if shape != self.shape:
            self.signal, self.shape = unscored_signals(self.market, self.bars, values, *self.implied), shape
            self.weights = None
        if weights != self.weights:
            score_signals(values, self.signal)
            self.weights = weights
        view = self.signal.view()
        return frozen(view)
