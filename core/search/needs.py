"""What a setting needs beside it to act: read by searches, which refuse to vary what changes nothing.

Law 6 says that every setting acts; it does so where another one lets it. A stop's range says nothing without a scale.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from strategies.gates import gates_from
from strategies.structures import STRUCTURES
from strategies.view import needs_signals

Values = Mapping[str, Any]


def reads_score(values: Values) -> bool:
    return bool(
        values["strategy.filters.score_min"] > 0.0
        or values["strategy.filters.confidence_min"] > 0.0
        or values["strategy.size.fuzzy_scale"] > 0.0
    )


def reads_regime(values: Values) -> bool:
    gates = gates_from(values)
    factors = ("high_vol_factor", "trend_factor", "crash_factor")
    widened = values["strategy.entry.widen"] > 1.0 and values["strategy.entry.widen_regimes"] != "none"
    return bool(gates.avoid or gates.leave or widened or min(values[f"strategy.size.{f}"] for f in factors) < 1.0)


def is_on(path: str, off: Any) -> Callable[[Values], bool]:
    return lambda values: bool(values[path] != off)


def is_at(path: str, *wanted: Any) -> Callable[[Values], bool]:
    return lambda values: values[path] in wanted


SELLS_BY_DELTA = "strategy.structure sells at the money"
# Path (or its beginning, with a dot or an underscore at its end): what must hold, and what is missing if it does not.
NEEDS: dict[str, tuple[Callable[[Values], bool], str]] = {
    "strategy.exits.trail_giveback": (is_on("strategy.exits.trail_from", 0.0), "strategy.exits.trail_from is 0"),
    "strategy.exits.stop_scale_range": (is_on("strategy.exits.stop_scale", "none"), "exits.stop_scale is none"),
    "strategy.exits.stop_on": (is_on("strategy.exits.stop_multiple", 0.0), "strategy.exits.stop_multiple is 0"),
    "strategy.exits.stop_scale": (is_on("strategy.exits.stop_multiple", 0.0), "strategy.exits.stop_multiple is 0"),
    "strategy.exits.flat_": (is_at("strategy.exits.expiry_rule", "flat"), "strategy.exits.expiry_rule is settle"),
    "strategy.entry.ladder_": (is_at("strategy.entry.schedule", "ladder"), "strategy.entry.schedule is no ladder"),
    "strategy.entry.max_new_per_day": (
        is_at("strategy.entry.schedule", "ladder"),
        "strategy.entry.schedule is no ladder",
    ),
    "strategy.entry.broken_wing_ratio": (
        lambda v: bool(STRUCTURES[v["strategy.structure"]].broken),
        "strategy.structure has no broken wing",
    ),
    "strategy.entry.short_delta": (lambda v: not STRUCTURES[v["strategy.structure"]].short_at_money, SELLS_BY_DELTA),
    "strategy.entry.delta_low": (lambda v: not STRUCTURES[v["strategy.structure"]].short_at_money, SELLS_BY_DELTA),
    "strategy.entry.delta_high": (lambda v: not STRUCTURES[v["strategy.structure"]].short_at_money, SELLS_BY_DELTA),
    "strategy.entry.skew_penalty": (lambda v: not STRUCTURES[v["strategy.structure"]].short_at_money, SELLS_BY_DELTA),
    "strategy.entry.dte_target": (is_at("strategy.entry.expiry_rule", "target"), "entry.expiry_rule is edge"),
    "strategy.entry.widen_": (lambda v: v["strategy.entry.widen"] > 1.0, "strategy.entry.widen is 1"),
    "strategy.entry.put_wing_scale": (
        lambda v: bool(STRUCTURES[v["strategy.structure"]].use_put),
        "strategy.structure has no puts",
    ),
    "strategy.entry.call_wing_scale": (
        lambda v: bool(STRUCTURES[v["strategy.structure"]].use_call),
        "strategy.structure has no calls",
    ),
    "strategy.filters.event_days": (
        is_on("strategy.filters.avoid_events", "none"),
        "strategy.filters.avoid_events is none",
    ),
    "strategy.filters.breach_model": (
        lambda v: v["strategy.filters.max_breach"] < 1.0 or v["strategy.exits.exit_breach"] < 1.0,
        "strategy.filters.max_breach and exits.exit_breach are 1",
    ),
    "strategy.size.vol_low": (lambda v: v["strategy.size.vol_floor"] < 1.0, "strategy.size.vol_floor is 1"),
    "strategy.size.vol_high": (lambda v: v["strategy.size.vol_floor"] < 1.0, "strategy.size.vol_floor is 1"),
    "strategy.size.kelly_min_trades": (is_on("strategy.size.kelly_frac", 0.0), "strategy.size.kelly_frac is 0"),
    "strategy.manage.tested_distance": (
        lambda v: v["strategy.manage.tested_action"] != "none" or v["strategy.manage.roll_out"] == "tested",
        "strategy.manage.tested_action is none",
    ),
    "strategy.manage.roll_delta": (
        is_at("strategy.manage.tested_action", "roll_untested"),
        "strategy.manage.tested_action rolls nothing",
    ),
    "strategy.manage.roll_min_": (
        is_at("strategy.manage.tested_action", "roll_untested"),
        "strategy.manage.tested_action rolls nothing",
    ),
    "strategy.manage.max_rolls": (
        is_at("strategy.manage.tested_action", "roll_untested"),
        "strategy.manage.tested_action rolls nothing",
    ),
    "strategy.manage.roll_out_min_credit": (
        is_on("strategy.manage.roll_out", "never"),
        "strategy.manage.roll_out is never",
    ),
    "strategy.manage.max_rolls_out": (is_on("strategy.manage.roll_out", "never"), "strategy.manage.roll_out is never"),
    "strategy.hedge.minutes": (is_on("strategy.hedge.delta_band", 0.0), "strategy.hedge.delta_band is 0"),
    "strategy.hedge.vanna_volga_budget": (is_at("strategy.hedge.smile", "trade"), "strategy.hedge.smile is report"),
    "strategy.signals.fuzzy": (reads_score, "no filter and no size reads the fuzzy score"),
    "strategy.signals.fuzzy_": (reads_score, "no filter and no size reads the fuzzy score"),
    "strategy.signals.hmm_": (
        lambda v: v["strategy.signals.classifier"] == "hmm" and reads_regime(v),
        "the classifier is not hmm, or nothing reads the regime",
    ),
    "strategy.signals.regime_": (
        lambda v: reads_regime(v),
        "no filter, no size and no exit reads the regime",
    ),
    "strategy.signals.classifier": (reads_regime, "no filter, no size and no exit reads the regime"),
    "strategy.signals.": (needs_signals, "no rule in force reads a signal"),
    "risk.buying_power": (is_on("risk.margin", "none"), "risk.margin is none"),
    "risk.shock_vol": (is_on("risk.shock_loss", 0.0), "risk.shock_loss is 0"),
    "risk.drawdown_rest": (is_on("risk.drawdown", 0.0), "risk.drawdown is 0"),
    "risk.losses_rest": (is_on("risk.losses_in_row", 0), "risk.losses_in_row is 0"),
    "risk.halt": (
        lambda v: v["risk.daily_loss"] > 0.0 or v["risk.drawdown"] > 0.0,
        "neither risk.daily_loss nor risk.drawdown halts anything",
    ),
    "costs.fraction": (is_at("costs.fill", "fraction"), "costs.fill is not fraction"),
    "costs.leg_": (is_at("costs.fill", "leg_count"), "costs.fill is not leg_count"),
    "costs.limit_steps": (is_at("costs.fill", "limit"), "costs.fill is not limit"),
    "costs.order_life": (is_at("costs.fill", "limit"), "costs.fill is not limit"),
    "costs.free_close_at": (is_on("costs.fees", "none"), "costs.fees is none"),
}


def need_of(path: str) -> tuple[Callable[[Values], bool], str] | None:
    """The row of NEEDS that holds for a path: its own, or the longest beginning."""
    if path in NEEDS:
        return NEEDS[path]
    begins = [key for key in NEEDS if key.endswith((".", "_")) and path.startswith(key)]
    return NEEDS[max(begins, key=len)] if begins else None


def why_inert(path: str, values: Values) -> str | None:
    """Why a setting changes nothing beside these others, or None where it may act."""
    need = need_of(path)
    return None if need is None or need[0](values) else need[1]
