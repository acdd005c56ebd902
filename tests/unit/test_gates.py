"""Gates on signals: each decides alone, not knowing never passes, the first in order gives the reason."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from core.market.store import market_of
from core.types import CRASH, GATE, HIGH_VOL, LEAVE, RANGE, REASON_NAMES, SIGNAL, SIGNALS, UNKNOWN_REGIME, Reason
from strategies.gates import GATES, LIMITS, failing, gate_rows, gates_from, judge_rows, judged, reason_rows
from strategies.view import events_near, needs_signals, view_of
from tests.conftest import both_ways
from tests.markets import config_of, market

NAN = np.nan
# filter, its value, signal -> value that passes, value that does not, reason
ALONE = [
    ("consensus_min", 0.3, "consensus", 0.3, 0.29, Reason.CONSENSUS),
    ("consensus_max", 0.7, "consensus", 0.7, 0.71, Reason.CONSENSUS),
    ("stretch_max", 2.0, "stretch_5", -2.0, -2.1, Reason.STRETCH),
    ("stretch_max", 2.0, "stretch_15", 2.0, 2.1, Reason.STRETCH),
    ("stretch_max", 2.0, "stretch_60", 1.0, 2.1, Reason.STRETCH),
    ("score_min", 0.5, "score", 0.5, 0.49, Reason.SCORE),
    ("confidence_min", 0.5, "confidence", 0.5, 0.49, Reason.CONFIDENCE),
    ("iv_rank_min", 20.0, "iv_percentile", 20.0, 19.0, Reason.IV_RANK),
    ("iv_rank_max", 80.0, "iv_percentile", 80.0, 81.0, Reason.IV_RANK),
    ("vix_min", 12.0, "vix", 12.0, 11.0, Reason.VIX_LEVEL),
    ("vix_max", 30.0, "vix", 30.0, 31.0, Reason.VIX_LEVEL),
    ("term_max", 1.0, "term", 1.0, 1.01, Reason.TERM),
    ("vol_ratio_max", 1.2, "vol_ratio", 1.2, 1.3, Reason.VOL_RATIO),
    ("rsi_min", 30.0, "rsi", 30.0, 29.0, Reason.RSI),
    ("rsi_max", 70.0, "rsi", 70.0, 71.0, Reason.RSI),
    ("adx_max", 25.0, "adx", 25.0, 26.0, Reason.ADX),
    ("stoch_min", 20.0, "stochastic", 20.0, 19.0, Reason.STOCHASTIC),
    ("stoch_max", 80.0, "stochastic", 80.0, 81.0, Reason.STOCHASTIC),
    ("volume_min", 0.8, "volume_ratio", 0.8, 0.7, Reason.VOLUME),
    ("sma_distance_max", 0.01, "sma_distance", -0.01, -0.011, Reason.SMA_DISTANCE),
    ("avoid_regimes", "crash,high_vol", "regime", RANGE, CRASH, Reason.REGIME),
]
QUIET = {name: 0.0 for name in SIGNALS} | {"regime": float(RANGE)}
SESSION, NO_EVENT = np.zeros(3, np.int32), np.zeros(1, np.uint8)


def rows(**columns):
    """Signals of three rows: 0 (and regime range) where nothing is said."""
    signal = np.array([np.full(3, QUIET[name]) for name in SIGNALS])
    for name, values in columns.items():
        signal[SIGNAL[name]] = values
    return signal


def gates_of(**filters):
    return gates_from(config_of(**{f"strategy__filters__{name}": value for name, value in filters.items()}).values)


@pytest.mark.parametrize(("name", "value", "signal", "good", "bad", "reason"), ALONE)
def test_each_gate_decides_alone_and_does_not_pass_what_it_does_not_know(name, value, signal, good, bad, reason):
    unknown = UNKNOWN_REGIME if signal == "regime" else NAN
    found = gate_rows(gates_of(**{name: value}), rows(**{signal: [good, bad, unknown]}), SESSION, NO_EVENT)
    assert found[GATE].tolist() == [Reason.NONE, reason, Reason.SIGNAL_UNKNOWN]
    assert not found[LEAVE].any()


def test_every_gate_is_in_the_table_of_those_that_decide_alone():
    assert {REASON_NAMES[case[-1]] for case in ALONE} == {REASON_NAMES[limit.reason] for limit in LIMITS} | {"regime"}


def test_a_gate_that_is_off_asks_for_nothing():
    signal = np.full((len(SIGNALS), 3), NAN)
    assert not gate_rows(gates_of(), signal[:, :0], SESSION, NO_EVENT).any()
    below = gate_rows(gates_of(iv_rank_max=50.0), rows(iv_percentile=[-5.0, 0.0, 51.0]), SESSION, NO_EVENT)
    assert below[GATE].tolist() == [0, 0, Reason.IV_RANK]  # its lower bound is off
    above = gate_rows(gates_of(iv_rank_min=50.0), rows(iv_percentile=[150.0, 50.0, 49.0]), SESSION, NO_EVENT)
    assert above[GATE].tolist() == [0, 0, Reason.IV_RANK]  # a rank may exceed 100


def test_the_rank_is_judged_where_the_settings_measure_by_rank():
    values = config_of(strategy__signals__iv_measure="rank", strategy__filters__iv_rank_min=50.0).values
    found = gate_rows(gates_from(values), rows(iv_rank=[60, 40, 60], iv_percentile=[0, 99, 0]), SESSION, NO_EVENT)
    assert found[GATE].tolist() == [0, Reason.IV_RANK, 0]


def test_a_stretch_that_is_too_far_for_certain_is_no_unknown():
    signal = rows(stretch_5=[3.0, 1.0, 1.0], stretch_60=[NAN, NAN, 1.0])
    found = gate_rows(gates_of(stretch_max=2.0), signal, SESSION, NO_EVENT)
    assert found[GATE].tolist() == [Reason.STRETCH, Reason.SIGNAL_UNKNOWN, 0]


@both_ways
def test_the_first_gate_in_order_gives_the_reason_and_the_mask_keeps_all(judge_rows, reason_rows):
    gates = gates_of(vix_max=30.0, rsi_max=70.0, score_min=0.5)
    signal = rows(vix=[40, NAN, 20], rsi=[80, 80, 80], score=[0.1, NAN, 0.6])
    failed, unknown, out = np.zeros(3, np.uint32), np.zeros(3, np.uint32), np.zeros(3, np.uint8)
    judge_rows(gates, signal, SESSION, NO_EVENT, failed, unknown)
    from strategies.gates import GATE_REASONS

    reason_rows(failed, unknown, GATE_REASONS, out)
    assert out.tolist() == [Reason.VIX_LEVEL, Reason.SIGNAL_UNKNOWN, Reason.RSI]
    names = [[GATES[g] for g in range(len(GATES)) if (int(mask) >> g) & 1] for mask in failed | unknown]
    assert names == [["vix", "rsi", "score"], ["vix", "rsi", "score"], ["rsi"]]
    np.testing.assert_array_equal(failing(gates, signal, SESSION, NO_EVENT), failed | unknown)
    np.testing.assert_array_equal(judged(gates, signal, SESSION, NO_EVENT)[1], unknown)


def test_an_event_goes_before_everything():
    session, event = np.array([0, 0, 1], np.int32), np.array([1, 0], np.uint8)
    found = gate_rows(gates_of(vix_max=30.0), rows(vix=[40.0, NAN, 40.0]), session, event)
    assert found[GATE].tolist() == [Reason.EVENT, Reason.EVENT, Reason.VIX_LEVEL]


def test_the_calendar_is_asked_for_the_kinds_and_days_of_the_settings(monkeypatch):
    def near(days, kinds, ahead):
        assert kinds == ("fomc", "exdiv") and ahead == 2
        return days == days[3]

    monkeypatch.setitem(sys.modules, "strategies.events", SimpleNamespace(sessions_near_events=near))
    store = market("modelled")
    m = market_of(store)
    values = config_of(strategy__filters__avoid_events="fomc,exdiv", strategy__filters__event_days=2).values
    assert np.flatnonzero(events_near(m, values)).tolist() == [3]
    view = view_of(m, store.columns, values)
    assert view.signal.shape[1] == 0  # events are no signal
    assert np.unique(m.row.session[view.gate[GATE] == Reason.EVENT]).tolist() == [3]
    assert not events_near(m, config_of().values).any()


def test_a_regime_that_is_not_known_can_be_avoided_by_name():
    found = gate_rows(gates_of(avoid_regimes="unknown"), rows(regime=[0, 1, 2]), SESSION, NO_EVENT)
    assert found[GATE].tolist() == [Reason.REGIME, 0, 0]


def test_everything_is_left_in_the_regimes_to_leave_alone():
    values = config_of(strategy__exits__leave_regimes="crash,high_vol").values
    found = gate_rows(gates_from(values), rows(regime=[CRASH, HIGH_VOL, UNKNOWN_REGIME]), SESSION, NO_EVENT)
    assert found[LEAVE].tolist() == [Reason.REGIME_EXIT, Reason.REGIME_EXIT, 0]
    assert found[GATE].tolist() == [Reason.REGIME, Reason.REGIME, Reason.SIGNAL_UNKNOWN]  # nor is anything opened


READERS = [
    ("strategy.size.fuzzy_scale", 0.5),
    ("strategy.size.high_vol_factor", 0.5),
    ("strategy.size.trend_factor", 0.5),
    ("strategy.size.crash_factor", 0.5),
    ("strategy.size.vol_floor", 0.5),
    ("strategy.size.vol_target", 0.2),
    ("strategy.exits.stop_scale", "atr"),
    ("strategy.exits.leave_regimes", "crash"),
    ("strategy.entry.widen", 1.5),
    ("strategy.entry.credit_iv_scale", 0.2),
    ("strategy.entry.expiry_rule", "edge"),
    *((f"strategy.filters.{case[0]}", case[1]) for case in ALONE),
]


@pytest.mark.parametrize(("path", "value"), READERS)
def test_a_rule_that_reads_signals_asks_for_them(path, value):
    assert not needs_signals(config_of().values)
    assert needs_signals(config_of(**{path.replace(".", "__"): value}).values)


def test_what_reads_no_signal_does_not_ask_for_them():
    assert not needs_signals(config_of(strategy__filters__avoid_events="fomc").values)
    breach = {"strategy__filters__max_breach": 0.3, "strategy__exits__exit_breach": 0.5}
    assert not needs_signals(config_of(**breach).values)
