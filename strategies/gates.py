"""Why nothing may be opened on a row, as far as signals can say: the filters as a table, judged column by column.

A gate that is on and whose signal is not known does not pass. The first gate that does not pass, in the order of GATES,
gives the row its reason; the masks keep them all.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from core.jit import njit
from core.types import SIGNAL, UNKNOWN_REGIME, Reason
from strategies.rules import regime_mask


class Limit(NamedTuple):
    """One gate on signals: the settings (strategy.filters.*) of its bounds, and at which value the upper one is off."""

    gate: str
    reason: int
    signals: tuple[str, ...]
    least: str  # off at 0; "" for none
    most: str
    most_off: float
    either_sign: bool = False  # the upper bound holds for the size of the signal


LEFT = "strategy.exits.leave_regimes"
IV_MEASURE = "iv_measure"  # stands for the column that strategy.signals.iv_measure names
LIMITS = (
    Limit("vix", Reason.VIX_LEVEL, ("vix",), "vix_min", "vix_max", 200.0),
    Limit("term", Reason.TERM, ("term",), "", "term_max", 0.0),
    Limit("iv_rank", Reason.IV_RANK, (IV_MEASURE,), "iv_rank_min", "iv_rank_max", 100.0),
    Limit("vol_ratio", Reason.VOL_RATIO, ("vol_ratio",), "", "vol_ratio_max", 0.0),
    Limit("consensus", Reason.CONSENSUS, ("consensus",), "consensus_min", "consensus_max", 1.0),
    Limit("stretch", Reason.STRETCH, ("stretch_5", "stretch_15", "stretch_60"), "", "stretch_max", 0.0, True),
    Limit("rsi", Reason.RSI, ("rsi",), "rsi_min", "rsi_max", 100.0),
    Limit("adx", Reason.ADX, ("adx",), "", "adx_max", 100.0),
    Limit("stochastic", Reason.STOCHASTIC, ("stochastic",), "stoch_min", "stoch_max", 100.0),
    Limit("volume", Reason.VOLUME, ("volume_ratio",), "volume_min", "", 0.0),
    Limit("sma_distance", Reason.SMA_DISTANCE, ("sma_distance",), "", "sma_distance_max", 0.0, True),
    Limit("confidence", Reason.CONFIDENCE, ("confidence",), "confidence_min", "", 0.0),
    Limit("score", Reason.SCORE, ("score",), "score_min", "", 0.0),
)
GATES = ("event", "regime", *(limit.gate for limit in LIMITS))
GATE_REASONS = np.array([Reason.EVENT, Reason.REGIME, *(limit.reason for limit in LIMITS)], np.uint8)
EVENT_GATE, REGIME_GATE = 0, 1


class Gates(NamedTuple):
    """The gates that are on: t tests low <= signal <= high, and masks of regimes (a bit each)."""

    column: Any  # int64 (t), of SIGNALS
    gate: Any  # int64 (t), of GATES
    low: Any  # float64 (t)
    high: Any  # float64 (t)
    avoid: int  # regimes in which nothing is opened
    leave: int  # regimes in which everything is left


def gates_from(values: Mapping[str, Any]) -> Gates:
    """The filters of the settings."""
    measure = "iv_rank" if values["strategy.signals.iv_measure"] == "rank" else "iv_percentile"
    tests = []
    for limit in LIMITS:
        low = values[f"strategy.filters.{limit.least}"] if limit.least else 0.0
        high = values[f"strategy.filters.{limit.most}"] if limit.most else limit.most_off
        if low == 0.0 and high == limit.most_off:
            continue
        high = math.inf if high == limit.most_off else high
        low = low if low != 0.0 else (-high if limit.either_sign else -math.inf)
        for name in limit.signals:
            tests.append((SIGNAL[measure if name == IV_MEASURE else name], GATES.index(limit.gate), low, high))
    column, gate, low, high = (np.array([test[i] for test in tests]) for i in range(4))
    return Gates(
        column.astype(np.int64),
        gate.astype(np.int64),
        low.astype(np.float64),
        high.astype(np.float64),
        avoid=regime_mask(values, "strategy.filters.avoid_regimes") | regime_mask(values, LEFT),  # not to leave at once
        leave=regime_mask(values, LEFT),
    )


def reads_signals(gates: Gates) -> bool:
    return len(gates.gate) > 0 or gates.avoid != 0 or gates.leave != 0


@njit
def judge_rows(gates, signal, session, event, failed, unknown):
    """Set a bit per gate that fails, and per gate whose signal is unknown; uint32 (N) each, zero before.

    signal : float64 (len(SIGNALS), N), or without columns where no gate reads it; event : uint8 (S), 1 near an event
    A gate of several signals that both fails and lacks one has both bits.
    """
    one = np.uint32(1)
    for r in range(session.size):
        if event[session[r]]:
            failed[r] |= one << np.uint32(EVENT_GATE)
    if gates.avoid:
        for r in range(session.size):
            code = int(signal[SIGNAL_REGIME, r])
            if (gates.avoid >> code) & 1:
                failed[r] |= one << np.uint32(REGIME_GATE)
            elif code == UNKNOWN_REGIME:
                unknown[r] |= one << np.uint32(REGIME_GATE)
    for t in range(gates.column.size):
        bit = one << np.uint32(gates.gate[t])
        low, high, value = gates.low[t], gates.high[t], signal[gates.column[t]]
        for r in range(session.size):
            if value[r] < low or value[r] > high:
                failed[r] |= bit
            elif math.isnan(value[r]):
                unknown[r] |= bit


SIGNAL_REGIME = SIGNAL["regime"]


@njit
def reason_rows(failed, unknown, reasons, out):
    """The reason of the first gate that does not pass; 0 where all pass. A gate that fails for certain says so."""
    for r in range(out.size):
        out[r] = 0
        left, gate = failed[r] | unknown[r], 0
        if left:
            while not (left >> np.uint32(gate)) & np.uint32(1):
                gate += 1
            sure = (failed[r] >> np.uint32(gate)) & np.uint32(1)
            out[r] = reasons[gate] if sure else Reason.SIGNAL_UNKNOWN


@njit
def leave_rows(leave, regime, out):
    """REGIME_EXIT where everything must be left, else 0."""
    for r in range(out.size):
        out[r] = Reason.REGIME_EXIT if (leave >> int(regime[r])) & 1 else 0


def judged(gates: Gates, signal: Any, session: Any, event: Any) -> tuple[Any, Any]:
    """(failed, unknown), uint32 (N): a bit per gate, in the order of GATES."""
    failed, unknown = np.zeros(len(session), np.uint32), np.zeros(len(session), np.uint32)
    if reads_signals(gates) or event.any():  # else nothing can fail, and a start need not load the kernel
        judge_rows(gates, signal, session, event, failed, unknown)
    return failed, unknown


def failing(gates: Gates, signal: Any, session: Any, event: Any) -> Any:
    """uint32 (N): a bit per gate that does not pass, in the order of GATES."""
    failed, unknown = judged(gates, signal, session, event)
    return failed | unknown


def gate_rows(gates: Gates, signal: Any, session: Any, event: Any) -> Any:
    """uint8 (2, N), Market.gate: why nothing may be opened on each row, why everything must be left."""
    out = np.zeros((2, len(session)), np.uint8)
    failed, unknown = judged(gates, signal, session, event)
    if failed.any() or unknown.any():
        reason_rows(failed, unknown, GATE_REASONS, out[0])
    if gates.leave:
        leave_rows(gates.leave, signal[SIGNAL_REGIME], out[1])
    return out
