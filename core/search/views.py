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
from core.settings import BY_PATH, SETTINGS
from core.types import GATE, SIGNAL, SIGNALS, Market
from fuzzy_engine import FACTORS
from strategies.gates import LEFT, gate_rows, gates_from
from strategies.view import gates_of, implied_of, needs_signals, score_signals, unscored_signals

WEIGHTS = ("strategy.signals.fuzzy", *(f"strategy.signals.fuzzy_{factor}" for factor in FACTORS))
SHAPING = tuple(s.path for s in SETTINGS if s.path.startswith("strategy.signals.") and s.path not in WEIGHTS)
JUDGING = (*(s.path for s in SETTINGS if s.path.startswith("strategy.filters.")), LEFT)
SCORE_GATES = ("strategy.filters.score_min", "strategy.filters.confidence_min")  # the last ones; off at 0
SILENT = {path: BY_PATH[path].default for path in JUDGING}  # every filter ships off
MOST_GATES = 64


class Views:
    """The views of one store's market in this process."""

    def __init__(self, store: Store, intraday_quotes: str) -> None:
        self.store, self.market = store, market_of(store, intraday_quotes)
        self.none = frozen(np.zeros((len(SIGNALS), 0)))
        self.implied: Any = None
        self.bars: Any = None
        self.signal: Any = None
        self.shape: Any = None  # the settings that shaped it
        self.scored: Any = None  # and those of its score
        self.gates: dict[Any, Any] = {}

    def key(self, values: Mapping[str, Any]) -> Any:
        """Equal for settings that see the same market."""
        judged = tuple(values[path] for path in JUDGING)
        if not needs_signals(values):
            return (None, None, judged)
        return (tuple(values[path] for path in SHAPING), tuple(values[path] for path in WEIGHTS), judged)

    def of(self, values: Mapping[str, Any]) -> Market:
        """The market with the signals and gates of these settings; signals hold until the next call."""
        shape, weights, judged = self.key(values)
        if shape is None:
            return self.market._replace(signal=self.none, gate=self.gate(values, (judged,), self.none))
        self.shaped(values, shape)
        if values["strategy.manage.roll_out"] != "never" or values["strategy.hedge.smile"] != "report":
            gate = self.scored_everywhere(values, (shape, weights, judged))
        else:
            gate = self.scored_where_open(values, shape, weights, judged)
        return self.market._replace(signal=frozen(self.signal.view()), gate=gate)

    def gate(self, values: Mapping[str, Any], key: Any, signal: Any) -> Any:
        """Market.gate of these settings, kept by a key."""
        if key not in self.gates:
            if len(self.gates) >= MOST_GATES:
                self.gates.pop(next(iter(self.gates)))
            self.gates[key] = frozen(gates_of(self.market, signal, values))
        return self.gates[key]

    def shaped(self, values: Mapping[str, Any], shape: Any) -> None:
        """Every signal but the score, worked out anew where the settings that shape them changed."""
        if self.implied is None:
            self.bars = bars_of(self.store.columns)
            self.implied = implied_of(self.market, self.bars)
        if shape != self.shape:
            self.signal = unscored_signals(self.market, self.bars, values, *self.implied)
            self.shape, self.scored = shape, None

    def scored_everywhere(self, values: Mapping[str, Any], key: Any) -> Any:
        """Score every row: where campaigns are rolled out, rows are decided that a gate keeps shut."""
        if self.scored != key[1]:
            score_signals(values, self.signal)
            self.scored = key[1]
        return self.gate(values, key, self.signal)

    def scored_where_open(self, values: Mapping[str, Any], shape: Any, weights: Any, judged: Any) -> Any:
        """Score the rows that every other gate leaves open; no other row's score is read, and it stays unknown."""
        before = {**values, **dict.fromkeys(SCORE_GATES, 0.0)}
        gate = self.gate(before, (shape, tuple(before[path] for path in JUDGING)), self.signal)
        rows = np.nonzero(gate[GATE] == 0)[0]
        score = self.signal[SIGNAL["score"] : SIGNAL["confidence"] + 1]
        if self.scored != (weights, judged):
            score[:] = np.nan
            few = np.ascontiguousarray(self.signal[:, rows])
            score_signals(values, few)
            score[:, rows] = few[SIGNAL["score"] : SIGNAL["confidence"] + 1]
            self.scored = (weights, judged)
        if all(values[path] == 0.0 for path in SCORE_GATES) or not len(rows):
            return gate
        only = gates_from({**values, **{path: SILENT[path] for path in JUDGING if path not in SCORE_GATES}})
        session, event = np.zeros(len(rows), np.int32), np.zeros(1, np.uint8)
        judged_rows = gate_rows(only, np.ascontiguousarray(self.signal[:, rows]), session, event)
        result = gate.copy()
        result[GATE, rows] = judged_rows[GATE]
        return frozen(result)
