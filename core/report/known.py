"""What was known on each row of a run: signals, gates and the strengths of the fuzzy rules.

The one place where the report asks the strategy for them, so that a report and a decision cannot differ.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from core.types import REGIMES, SIGNAL, UNKNOWN_REGIME

if TYPE_CHECKING:
    from backtest_engine import BacktestResult


class Gates(NamedTuple):
    """Names of the gates, and which of them fail on each row of the market: bit g of mask (N) is gate g."""

    names: tuple[str, ...]
    mask: Any


class Strengths(NamedTuple):
    """Texts of the fuzzy rules, and what each fired on each row of the market: float64 (rules, N)."""

    texts: tuple[str, ...]
    strength: Any


def signals_of(result: BacktestResult) -> tuple[Any, Any]:
    """(signal float64 (SIGNALS, N), gate uint8 (2, N)) of every row of the market.

    Those the run decided with; computed now where no rule needed them.
    """
    if result.market.signal.shape[1]:
        return result.market.signal, result.market.gate
    from strategies.view import view_of

    market = view_of(result.market, result.store.columns, result.config.values, always=True)
    return market.signal, market.gate


def gates_of(result: BacktestResult) -> Gates:
    """Every gate that does not pass on each row of the market, not the first alone."""
    from strategies.gates import GATES, failing, gates_from
    from strategies.view import events_near

    signal, _ = signals_of(result)
    market, values = result.market, result.config.values
    session = np.ascontiguousarray(market.row.session)
    return Gates(GATES, failing(gates_from(values), signal, session, events_near(market, values)))


def strengths_of(result: BacktestResult) -> Strengths:
    """What each rule of the run's rule book fired on each row of the market; 0 where an input is unknown."""
    from fuzzy_engine import memberships, rule_strengths, rule_texts
    from strategies.view import fuzzy_base, fuzzy_engine_of

    signal, _ = signals_of(result)
    base = fuzzy_base(result.config.values)
    engine = fuzzy_engine_of(base)
    degree = np.empty((len(engine.variable), signal.shape[1]))
    strength = np.empty((len(base.rules), signal.shape[1]))
    for t, corners in enumerate(engine.corners.tolist()):
        memberships(signal[engine.variable[t]], *corners, degree[t])
    for r in range(len(strength)):
        rule_strengths(engine, r, degree, strength[r])
    return Strengths(tuple(rule_texts(base)), np.nan_to_num(strength))


def regime_of(signal: Any) -> Any:
    """REGIMES code of each row, int64; where nothing is known that of the unknown regime."""
    return np.nan_to_num(signal[SIGNAL["regime"]], nan=UNKNOWN_REGIME).astype(np.int64)


def regime_names(signal: Any) -> list[str]:
    return [REGIMES[code] for code in regime_of(signal).tolist()]


def failing_texts(gates: Gates, rows: slice) -> list[str]:
    """'score+regime' of the gates that fail on each row; empty where none does."""
    masks, which = np.unique(gates.mask[rows], return_inverse=True)
    texts = ["+".join(n for g, n in enumerate(gates.names) if mask >> g & 1) for mask in masks.tolist()]
    return [texts[i] for i in which.tolist()]


def strongest_texts(strengths: Strengths, rows: slice) -> tuple[list[str], list[str]]:
    """'text:strength' of the strongest rule of each row and of the second; empty where none fires."""
    fired = strengths.strength[:, rows]
    texts = [text.replace(",", ";") for text in strengths.texts]
    order = np.argsort(-fired, axis=0, kind="stable")[:2]
    columns: list[list[str]] = [[""] * fired.shape[1], [""] * fired.shape[1]]
    for column, which in zip(columns, order, strict=False):
        values = np.take_along_axis(fired, which[None], axis=0)[0]
        column[:] = [
            f"{texts[i]}:{value:.3f}" if value > 0.0 else ""
            for i, value in zip(which.tolist(), values.tolist(), strict=True)
        ]
    return columns[0], columns[1]
