"""Law 6: a setting that changes nothing is a defect. Each one is changed once, and something moves."""

import hashlib
from typing import Any

import numpy as np
import pytest

from backtest_engine import BacktestResult
from core.config import load
from core.errors import ConfigError
from core.market import catalog
from core.report.exposure import exposure_of
from core.report.known import signals_of
from core.settings import BY_PATH, SETTINGS
from core.types import EVENT_HEDGE, A, F, Reason, T
from tests import markets

FLAT = {"strategy.exits.exit_dte": 0, "strategy.exits.profit_frac": 1.0, "strategy.exits.stop_multiple": 0.0}
LIMIT = {"costs.fill": "limit"}
LEGS = {"costs.fill": "leg_count", "costs.leg_base": 0.25, "costs.leg_step": 0.073}
# Gates on signals whose making is then changed; regimes come at these VIX and distances on the markets of their rows.
NEUTRAL = {"strategy.filters.rsi_min": 40.0, "strategy.filters.rsi_max": 60.0}
AGREED = {"strategy.filters.consensus_min": 0.35, "strategy.filters.consensus_max": 0.65}
RANKED = {"strategy.signals.iv_window": 20}
WEEK = {"strategy.signals.realised_days": 5}
NO_TRENDS = {"strategy.filters.avoid_regimes": "trend_up,trend_down", "strategy.signals.regime_sma_days": 3}
REGIMES = {
    "strategy.signals.regime_sma_days": 3,
    "strategy.signals.regime_high_vix": 18.0,
    "strategy.signals.regime_crash_vix": 20.0,
}
LATE = {"market.start": "2021-02-01"}  # of `years`: 272 sessions are past
CALM = {
    **LATE,
    "strategy.filters.avoid_regimes": "high_vol,crash",
    "strategy.signals.regime_high_vix": 14.0,
    "strategy.signals.regime_crash_vix": 17.0,
}
HIDDEN = {**CALM, "strategy.signals.classifier": "hmm"}
WIDER = {**RANKED, "strategy.entry.widen": 2.0}
# So many contracts that a budget which moves by a per cent moves them.
SIZED = {"strategy.size.contracts": 100, "strategy.size.max_risk_frac": 1.0}
SCORED = {**SIZED, "strategy.size.fuzzy_scale": 1.0}
FALLING = {**SIZED, **WEEK, "strategy.size.vol_floor": 0.2}
TESTED = {
    "strategy.exits.stop_multiple": 0.0,
    "strategy.manage.tested_distance": 0.015,
    "strategy.manage.roll_min_dte": 1,
    "strategy.manage.roll_min_credit": 0.02,
}
ROLLED = {**TESTED, "strategy.manage.tested_action": "roll_untested"}
PATIENT = {"strategy.exits.stop_multiple": 0.0, "strategy.exits.profit_frac": 0.9}
ROLLED_OUT = {**PATIENT, "strategy.manage.roll_out": "exit_dte"}
RESTLESS = {name.replace("__", "."): value for name, value in markets.SMILE.items() if "hedge__smile" not in name}
DENSE = {name.replace("__", "."): value for name, value in markets.DENSE.items()}
APART = {**DENSE, "strategy.exits.scope": "side", "strategy.entry.put_wing_scale": 2.0}  # sides left alone, unequal
DEEP = {
    **FLAT,
    "strategy.entry.dte_min": 5,
    "strategy.entry.dte_target": 8,
    "strategy.size.contracts": 5,
    "strategy.size.max_risk_frac": 1.0,
}
SETTLED = {**DEEP, "strategy.entry.dte_min": 1, "strategy.entry.dte_target": 1, "strategy.exits.expiry_rule": "settle"}
# path: (another value, market, other settings that both runs share)
ACTS: dict[str, tuple[Any, str, dict[str, Any]]] = {
    "market.name": ("carried", "table", {}),
    "market.start": ("2025-11-25", "table", {}),
    "market.end": ("2025-12-02", "table", {}),
    "market.seed": (8, "synthetic", {}),
    "account.starting_cash": (30_000.0, "table", {}),
    "account.cash_yield": ("tbill", "cash", {}),
    "data.intraday_quotes": ("surface", "carried", {}),
    "strategy.structure": ("put_spread", "table", {}),
    "strategy.max_positions": (1, "table", {}),
    "strategy.signals.indicator_minutes": ("15", "table", NEUTRAL),
    "strategy.signals.trend_fast": (4, "table", AGREED),
    "strategy.signals.trend_slow": (40, "table", AGREED),
    "strategy.signals.weight_5": (0.6, "table", AGREED),
    "strategy.signals.weight_15": (0.0, "table", AGREED),
    "strategy.signals.weight_60": (0.0, "table", AGREED),
    "strategy.signals.iv_window": (20, "years", {**LATE, "strategy.filters.iv_rank_min": 50.0}),
    "strategy.signals.iv_measure": ("rank", "modelled", {**RANKED, "strategy.filters.iv_rank_min": 40.0}),
    "strategy.signals.realised_days": (5, "modelled", {"strategy.filters.vol_ratio_max": 1.0}),
    "strategy.signals.classifier": ("hmm", "years", CALM),
    "strategy.signals.regime_adx": (35.0, "modelled", NO_TRENDS),
    "strategy.signals.regime_sma_days": (10, "modelled", NO_TRENDS),
    "strategy.signals.regime_distance": (0.03, "modelled", NO_TRENDS),
    "strategy.signals.regime_high_vix": (16.0, "years", CALM),
    "strategy.signals.regime_crash_vix": (15.0, "years", {**CALM, "strategy.filters.avoid_regimes": "crash"}),
    "strategy.signals.regime_crash_term": (0.9, "years", CALM),
    "strategy.signals.regime_confirm": (30, "years", CALM),
    "strategy.signals.hmm_refit": (21, "years", HIDDEN),
    "strategy.signals.hmm_enter": (0.95, "years", HIDDEN),
    "strategy.signals.hmm_leave": (0.1, "years", HIDDEN),
    "strategy.signals.fuzzy": ("classic", "modelled", SCORED),
    "strategy.signals.fuzzy_mtf": (3.0, "table", SCORED),
    "strategy.signals.fuzzy_iv": (0.0, "years", {**LATE, **SCORED}),
    "strategy.signals.fuzzy_regime": (0.0, "years", {**LATE, **SCORED}),
    "strategy.signals.fuzzy_premium": (3.0, "years", {**LATE, **SCORED}),
    "strategy.signals.fuzzy_rsi": (5.0, "table", SCORED),
    "strategy.signals.fuzzy_adx": (5.0, "table", SCORED),
    "strategy.signals.fuzzy_stoch": (5.0, "table", SCORED),
    "strategy.signals.fuzzy_bbands": (5.0, "table", SCORED),
    "strategy.signals.fuzzy_volume": (5.0, "deep", SCORED),
    "strategy.signals.fuzzy_sma": (5.0, "table", SCORED),
    "strategy.entry.dte_min": (7, "table", {"strategy.entry.dte_target": 7}),
    "strategy.entry.dte_max": (8, "table", {}),
    "strategy.entry.dte_target": (20, "table", {}),
    "strategy.entry.short_delta": (0.20, "table", {}),
    "strategy.entry.delta_low": (0.155, "table", {}),
    "strategy.entry.delta_high": (0.165, "table", {}),
    "strategy.entry.wing_rule": ("percent", "table", {}),
    "strategy.entry.wing_width": (5.0, "table", {}),
    "strategy.entry.broken_wing_ratio": (3.0, "table", {"strategy.structure": "broken_wing_condor"}),
    "strategy.entry.min_credit_vs_median": (1.0, "table", {}),
    "strategy.entry.window_start": ("11:00", "table", {}),
    "strategy.entry.window_end": ("10:30", "table", {}),
    "strategy.entry.weekdays": ("mon,tue", "table", {}),
    "strategy.entry.schedule": ("weekly", "table", {}),
    "strategy.entry.ladder_days": (3, "table", {}),
    "strategy.entry.ladder_minutes": (30, "table", {}),
    "strategy.entry.max_new_per_day": (1, "table", {}),
    "strategy.entry.expiry_rule": ("edge", "table", WEEK),
    "strategy.entry.skew_penalty": (2.0, "table", {}),
    "strategy.entry.put_wing_scale": (2.0, "table", {}),
    "strategy.entry.call_wing_scale": (2.0, "table", {}),
    "strategy.entry.widen": (2.0, "modelled", RANKED),
    "strategy.entry.widen_iv_rank": (90.0, "modelled", WIDER),
    # Twenty days, so that the regime is still unknown on some rows where the IV rank is known.
    "strategy.entry.widen_regimes": (
        "range",
        "modelled",
        {**WIDER, **REGIMES, "strategy.entry.widen_iv_rank": 100.0, "strategy.signals.regime_sma_days": 20},
    ),
    "strategy.entry.credit_iv_scale": (0.5, "modelled", RANKED),
    "strategy.entry.wait_after_exit": (2, "table", {}),
    "strategy.entry.wait_after_loss": (2, "table", {}),
    "strategy.filters.consensus_min": (0.45, "table", {}),
    "strategy.filters.consensus_max": (0.55, "table", {}),
    "strategy.filters.stretch_max": (1.5, "table", {}),
    "strategy.filters.score_min": (0.6, "table", {}),
    "strategy.filters.confidence_min": (0.25, "table", {}),
    "strategy.filters.avoid_regimes": ("range", "modelled", REGIMES),
    "strategy.filters.iv_rank_min": (50.0, "modelled", RANKED),
    "strategy.filters.iv_rank_max": (50.0, "modelled", RANKED),
    "strategy.filters.vix_min": (18.0, "modelled", {}),
    "strategy.filters.vix_max": (18.0, "modelled", {}),
    "strategy.filters.term_max": (0.9, "years", LATE),
    "strategy.filters.vol_ratio_max": (1.0, "modelled", WEEK),
    "strategy.filters.rsi_min": (50.0, "table", {}),
    "strategy.filters.rsi_max": (50.0, "table", {}),
    "strategy.filters.adx_max": (20.0, "table", {}),
    "strategy.filters.stoch_min": (50.0, "table", {}),
    "strategy.filters.stoch_max": (50.0, "table", {}),
    "strategy.filters.volume_min": (1.0, "deep", {}),
    "strategy.filters.sma_distance_max": (0.002, "table", {}),
    "strategy.filters.avoid_events": ("fomc", "modelled", {"strategy.filters.event_days": 3}),
    "strategy.filters.event_days": (2, "modelled", {"strategy.filters.avoid_events": "cpi"}),
    "strategy.filters.max_leg_spread": (0.05, "table", {}),
    "strategy.filters.min_size": (10, "deep", {}),
    "strategy.filters.min_interest": (100, "deep", {}),
    "strategy.filters.min_volume": (10, "deep", {}),
    "strategy.filters.max_breach": (0.6, "table", {}),
    "strategy.filters.breach_model": ("local_vol", "modelled", {"strategy.filters.max_breach": 0.6}),
    "strategy.size.contracts": (2, "table", {}),
    "strategy.size.max_risk_frac": (0.009, "table", {}),
    "strategy.size.fuzzy_scale": (0.5, "table", SIZED),
    "strategy.size.high_vol_factor": (0.5, "modelled", {**SIZED, **REGIMES}),
    "strategy.size.trend_factor": (0.5, "modelled", {**SIZED, **REGIMES}),
    "strategy.size.crash_factor": (0.5, "modelled", {**SIZED, **REGIMES}),
    "strategy.size.vol_low": (0.2, "table", FALLING),
    "strategy.size.vol_high": (0.6, "table", FALLING),
    "strategy.size.vol_floor": (0.5, "table", {**SIZED, **WEEK}),
    "strategy.size.vol_target": (0.1, "table", {**SIZED, **WEEK}),
    "strategy.size.kelly_frac": (0.5, "table", {**SIZED, "strategy.size.kelly_min_trades": 5}),
    "strategy.size.kelly_min_trades": (8, "table", {**SIZED, "strategy.size.kelly_frac": 0.5}),
    "strategy.exits.profit_frac": (0.3, "table", {}),
    "strategy.exits.stop_multiple": (2.0, "table", {}),
    "strategy.exits.stop_on": ("mid", "table", {}),
    "strategy.exits.exit_dte": (3, "table", {}),
    "strategy.exits.max_hold_days": (1, "table", {}),
    "strategy.exits.time_exit_from": ("13:00", "table", {"strategy.exits.max_hold_days": 1}),
    "strategy.exits.expiry_rule": ("settle", "cash", FLAT),
    "strategy.exits.flat_from": ("12:00", "table", FLAT),
    "strategy.exits.flat_before_early_close": (120, "table", FLAT),
    "strategy.exits.edge_minutes": (60, "table", {"strategy.exits.stop_on": "mid"}),
    "strategy.exits.scope": ("side", "table", {}),
    "strategy.exits.trail_from": (0.15, "table", {}),
    "strategy.exits.trail_giveback": (0.1, "table", {"strategy.exits.trail_from": 0.15}),
    "strategy.exits.stop_scale": ("vol", "modelled", {}),
    "strategy.exits.stop_scale_range": (0.1, "modelled", {"strategy.exits.stop_scale": "vol"}),
    "strategy.exits.exit_breach": (0.6, "table", {}),
    "strategy.exits.leave_regimes": ("range", "modelled", REGIMES),
    "strategy.exits.cheap_short": (0.12, "table", {}),
    "strategy.manage.tested_action": ("close_side", "table", TESTED),
    "strategy.manage.tested_distance": (0.002, "table", ROLLED),
    "strategy.manage.roll_delta": (0.22, "table", ROLLED),
    "strategy.manage.roll_min_credit": (0.3, "table", ROLLED),
    "strategy.manage.roll_min_dte": (7, "table", ROLLED),
    "strategy.manage.max_rolls": (3, "table", ROLLED),
    "strategy.manage.roll_out": ("exit_dte", "modelled", PATIENT),
    "strategy.manage.roll_out_min_credit": (0.3, "modelled", ROLLED_OUT),
    "strategy.manage.max_rolls_out": (2, "modelled", ROLLED_OUT),
    "strategy.hedge.delta_band": (4.0, "table", {}),
    "strategy.hedge.minutes": (60, "table", {"strategy.hedge.delta_band": 4.0}),
    "strategy.hedge.vanna_volga_budget": (0.0, "modelled", {}),
    "strategy.hedge.smile": ("trade", "restless", RESTLESS),
    "risk.margin": ("ibkr", "table", APART),
    "risk.buying_power": (0.2, "table", DENSE),
    "risk.trade_delta": (2.0, "table", DENSE),
    "risk.trade_gamma": (5.0, "table", DENSE),
    "risk.trade_vega": (100.0, "table", DENSE),
    "risk.trade_theta": (100.0, "table", DENSE),
    "risk.trade_loss": (1_000.0, "table", DENSE),
    "risk.book_delta": (20.0, "table", DENSE),
    "risk.book_gamma": (10.0, "table", DENSE),
    "risk.book_vega": (200.0, "table", DENSE),
    "risk.book_theta": (200.0, "table", DENSE),
    "risk.book_loss": (5_000.0, "table", DENSE),
    "risk.book_contracts": (15, "table", DENSE),
    "risk.expiry_loss": (0.1, "table", DENSE),
    "risk.shock_loss": (0.1, "modelled", DENSE),
    "risk.shock_vol": (0.2, "modelled", {**DENSE, "risk.shock_loss": 0.1}),
    "risk.daily_loss": (0.01, "table", DENSE),
    "risk.drawdown": (0.02, "table", DENSE),
    "risk.drawdown_rest": (2, "table", {**DENSE, "risk.drawdown": 0.02}),
    "risk.halt": ("close_all", "table", {**DENSE, "risk.daily_loss": 0.01}),
    "risk.losses_in_row": (2, "table", DENSE),
    "risk.losses_rest": (1, "table", {**DENSE, "risk.losses_in_row": 2}),
    "risk.kill_from": ("2025-11-26", "table", DENSE),
    "assignment.early": ("none", "exdiv", DEEP),
    "assignment.share": (0.4, "exdiv", DEEP),
    "assignment.pin_band": (20.0, "exdiv", SETTLED),
    "assignment.broker_liquidation": ("short_leg", "exdiv", SETTLED),
    "costs.fill": ("mid", "table", {}),
    "costs.fraction": (0.5, "table", {"costs.fill": "fraction"}),
    "costs.leg_base": (0.5, "table", LEGS),
    "costs.leg_step": (0.2, "table", LEGS),
    "costs.limit_steps": (1, "table", LIMIT),
    "costs.order_life": (1, "table", LIMIT),
    "costs.fees": ("classic", "table", {}),
    "costs.free_close_at": (0.5, "table", {"costs.fees": "classic"}),
    "costs.extra_slippage": (0.03, "table", {}),
    "costs.spread_multiple": (2.0, "table", {}),
}


@pytest.fixture
def stores(monkeypatch):
    """Markets are opened by name as a command does; `synthetic` builds a small drawn market from its seed."""
    for name in ("table", "cash", "carried", "modelled", "deep", "years", "restless", "exdiv"):
        folder = markets.market(name).path.parent
    monkeypatch.setenv("QMTF_STORE_DIR", str(folder))
    build = catalog._builder

    def small(name: str) -> Any:
        return (
            (lambda to, seed: markets.modelled_store(to, 12, seed, "synthetic")) if name == "synthetic" else build(name)
        )

    monkeypatch.setattr(catalog, "_builder", small)


def ran(settings: dict[str, Any]) -> BacktestResult:
    config = load(user_file=markets.NO_FILE, flags={**markets.SHORT_LIVED, **settings})
    store = catalog.open_market(config["market.name"], config["market.seed"], lambda _: None)
    return markets.run(store, config)


def outcome(settings: dict[str, Any]) -> dict[str, Any]:
    """All that a run did, and what its report marks."""
    result = ran(settings)
    ledger = result.ledger
    return {
        "trades": result.trades,
        "fills": result.fills,
        "adjustments": result.adjustments,
        "rows": ledger.rows,
        "codes": ledger.codes,
        "over_budget": exposure_of(result, signals_of(result)[0]).over_budget,
    }


def key_of(run: dict[str, Any]) -> str:
    return hashlib.sha256(b"".join(np.ascontiguousarray(part).tobytes() for part in run.values())).hexdigest()


def test_the_table_names_every_setting():
    assert list(ACTS) == [setting.path for setting in SETTINGS]


@pytest.mark.parametrize("path", list(ACTS))
def test_changing_a_setting_changes_the_run(path, stores):
    value, market, shared = ACTS[path]
    base = {"market.name": market, **shared}
    before = outcome(base)
    after = outcome({**base, path: value})
    assert load(user_file=markets.NO_FILE, flags={**markets.SHORT_LIVED, **base})[path] != value
    assert len(before["trades"]) >= 1
    assert any(not np.array_equal(before[key], after[key]) for key in before)


@pytest.mark.parametrize("path", [s.path for s in SETTINGS if s.kind == "choice"])
def test_every_choice_of_a_setting_can_be_run(path, stores):
    """Each structure, wing rule, schedule, fill and fee table does something of its own."""
    _, market, shared = ACTS[path]
    seen = []
    for choice in BY_PATH[path].choices:
        width = {"strategy.entry.wing_width": {"delta": 0.06, "expected_move": 0.4, "percent": 1.5}.get(choice, 3.0)}
        run = outcome({"market.name": market, **shared, **width, path: choice})
        assert len(run["trades"]) >= 1, choice
        assert key_of(run) not in seen, choice
        seen.append(key_of(run))


@pytest.mark.parametrize("path", [s.path for s in SETTINGS if s.kind == "subset"])
def test_every_member_of_a_subset_does_something_of_its_own(path, stores):
    """Each regime and each kind of event, alone, against none of them and against each other."""
    _, market, shared = ACTS[path]
    seen = []
    for member in ("none", *BY_PATH[path].choices):
        run = outcome({"market.name": market, **shared, path: member})
        assert len(run["trades"]) >= 1, member
        assert key_of(run) not in seen, member
        seen.append(key_of(run))


# ---------------------------------------------------------------- where a setting acts on some values or markets alone


def test_a_structure_rolls_out_where_quotes_come_once_a_day(stores):
    """It closes on the evening's snapshot, so its new entry can only be decided in the next session.

    One structure at a time: the second is bought back at 0.37, and the expiry after it pays more.
    """
    days = {"strategy.entry.dte_min": 6, "strategy.entry.dte_target": 9, "strategy.exits.exit_dte": 5}
    result = ran({"market.name": "carried", **ROLLED_OUT, **days, "strategy.max_positions": 1})
    assert (result.trades[:, T["reason"]] == Reason.ROLL_OUT).any()
    assert (result.trades[:, T["campaign"]] != np.arange(len(result.trades))).any()


@pytest.mark.parametrize("minutes", [91, 390])
def test_the_net_delta_is_hedged_whatever_the_minutes_between_two_looks(minutes, stores):
    result = ran({"market.name": "table", "strategy.hedge.delta_band": 4.0, "strategy.hedge.minutes": minutes})
    assert (result.fills[:, F["event"]] == EVENT_HEDGE).any()


def test_without_a_stop_there_is_none_to_scale_on_a_side_either(stores):
    rules = {"stop_multiple": 0.0, "stop_scale": "atr", "scope": "side"}
    result = ran({"market.name": "modelled", **{f"strategy.exits.{name}": value for name, value in rules.items()}})
    assert not (result.trades[:, T["reason"]] == Reason.SIDE_STOP).any()
    assert not (result.adjustments[:, A["reason"]] == Reason.SIDE_STOP).any()


def test_a_stop_that_calm_would_scale_to_nothing_is_refused():
    with pytest.raises(ConfigError, match="stop_scale_range"):
        markets.config_of(strategy__exits__stop_multiple=0.4, strategy__exits__stop_scale="vol")
