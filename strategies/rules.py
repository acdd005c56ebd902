"""Settings as the numbers that kernels read: one record, `Rules`, for the whole strategy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.config import WEEKDAYS, members, minutes_of
from core.types import (
    ATR_SCALE,
    CLOSE_ALL,
    CLOSE_SHORT,
    CLOSE_SIDE,
    DELTA,
    EXPECTED_MOVE,
    FLAT,
    MID,
    NATURAL,
    NEVER_OUT,
    NO_ACTION,
    NO_SCALE,
    OUT_AT_DTE,
    OUT_TESTED,
    PERCENT,
    POINTS,
    REGIMES,
    ROLL_UNTESTED,
    SETTLE,
    SIGNAL,
    VOL_SCALE,
    Rules,
)
from strategies.structures import STRUCTURES

# Median credit / width that a 16-delta condor of 28-50 DTE collects falls with the width: .25 at $2,
# .23 at $5, .20 at $10 with SPY near 750 (chains of summer 2026). A line in width per cent of spot
# fits those; it scales with the short delta, and a 20/5-delta condor collects .105.
MEDIAN_SHARE, MEDIAN_SLOPE, MEDIAN_DELTA, MEDIAN_DELTA_WINGS = 0.2635, 0.0475, 0.16, 0.105
WING_RULES = {"points": POINTS, "percent": PERCENT, "expected_move": EXPECTED_MOVE, "delta": DELTA}
STOP_SCALES = {"none": NO_SCALE, "atr": ATR_SCALE, "vol": VOL_SCALE}
TESTED_ACTIONS = {
    "none": NO_ACTION,
    "close_all": CLOSE_ALL,
    "close_side": CLOSE_SIDE,
    "close_short": CLOSE_SHORT,
    "roll_untested": ROLL_UNTESTED,
}
ROLL_OUTS = {"never": NEVER_OUT, "exit_dte": OUT_AT_DTE, "tested": OUT_TESTED}
A_WEEK = 7


class Section:
    """Settings of one section by their last name; a search asks for rules ten thousand times, so nothing is copied."""

    def __init__(self, values: Mapping[str, Any], prefix: str) -> None:
        self.values, self.prefix = values, prefix

    def __getitem__(self, name: str) -> Any:
        return self.values[self.prefix + name]


def rules_from(values: Mapping[str, Any], enter: bool = True) -> Rules:
    """Settings as the numbers that kernels read."""
    entry, leave = Section(values, "strategy.entry."), Section(values, "strategy.exits.")
    structure = STRUCTURES[values["strategy.structure"]]
    ratio = entry["broken_wing_ratio"] if structure.broken else 1.0
    sides = 0.5 * (structure.use_put + structure.use_call)
    by_delta = entry["wing_rule"] == "delta"
    short_delta = 0.5 if structure.short_at_money else entry["short_delta"]
    median = MEDIAN_DELTA_WINGS * short_delta / 0.20 if by_delta else MEDIAN_SHARE * short_delta / MEDIAN_DELTA
    slope = 0.0 if by_delta else MEDIAN_SLOPE / MEDIAN_SHARE
    every = {"daily": 1, "weekly": A_WEEK, "ladder": entry["ladder_days"]}[entry["schedule"]]
    return Rules(
        use_put=structure.use_put,
        use_call=structure.use_call,
        short_at_money=structure.short_at_money,
        dte_min=entry["dte_min"],
        dte_max=entry["dte_max"],
        dte_target=entry["dte_target"],
        delta_target=short_delta,
        delta_low=entry["delta_low"],
        delta_high=entry["delta_high"],
        wing_rule=WING_RULES[entry["wing_rule"]],
        wing_width=entry["wing_width"],
        put_wing_scale=ratio * entry["put_wing_scale"],
        call_wing_scale=entry["call_wing_scale"],
        min_credit_share=entry["min_credit_vs_median"] * median * sides,
        credit_slope=slope,
        window_start=minutes_of(entry["window_start"]),
        window_end=minutes_of(entry["window_end"]),
        weekday_mask=sum(1 << WEEKDAYS.index(d) for d in entry["weekdays"].split(",")),
        min_days_between=every,
        max_new_per_day=entry["max_new_per_day"] if entry["schedule"] == "ladder" else 1,
        min_minutes_between=entry["ladder_minutes"] if entry["schedule"] == "ladder" else 0,
        max_positions=values["strategy.max_positions"],
        contracts=values["strategy.size.contracts"],
        max_risk_frac=values["strategy.size.max_risk_frac"],
        profit_frac=leave["profit_frac"],
        stop_multiple=leave["stop_multiple"],
        stop_on=MID if leave["stop_on"] == "mid" else NATURAL,
        exit_dte=leave["exit_dte"],
        max_hold_days=leave["max_hold_days"],
        time_exit_from=minutes_of(leave["time_exit_from"]),
        expiry_rule=FLAT if leave["expiry_rule"] == "flat" else SETTLE,
        flat_from=minutes_of(leave["flat_from"]),
        flat_before_early_close=leave["flat_before_early_close"],
        edge_minutes=leave["edge_minutes"],
        enter=int(enter),
        smile=int(enter and values["strategy.hedge.smile"] == "trade"),
        smile_budget=values["strategy.hedge.vanna_volga_budget"],
        **construction_rules(values),
        **filter_rules(values),
        **size_rules(values),
        **exit_rules(values),
    )


def regime_mask(values: Mapping[str, Any], path: str) -> int:
    """Bits of the regimes that a setting names."""
    return sum(1 << REGIMES.index(name) for name in members(values, path))


def construction_rules(values: Mapping[str, Any]) -> dict[str, Any]:
    entry = Section(values, "strategy.entry.")
    measure = values["strategy.signals.iv_measure"]
    return {
        "by_edge": int(entry["expiry_rule"] == "edge"),
        "skew_penalty": entry["skew_penalty"],
        "widen": entry["widen"],
        "widen_iv_rank": entry["widen_iv_rank"],
        "widen_mask": regime_mask(values, "strategy.entry.widen_regimes"),
        "credit_iv_scale": entry["credit_iv_scale"],
        "iv_signal": SIGNAL["iv_rank" if measure == "rank" else "iv_percentile"],
        "wait_after_exit": entry["wait_after_exit"],
        "wait_after_loss": entry["wait_after_loss"],
    }


def filter_rules(values: Mapping[str, Any]) -> dict[str, Any]:
    """Filters that look at a proposed structure; those on signals are in Market.gate (strategies.gates)."""
    given = Section(values, "strategy.filters.")
    return {
        "max_leg_spread": given["max_leg_spread"],
        "min_size": given["min_size"],
        "min_interest": given["min_interest"],
        "min_volume": given["min_volume"],
        "max_breach": given["max_breach"],
        "local_vol": int(given["breach_model"] == "local_vol"),
    }


def size_rules(values: Mapping[str, Any]) -> dict[str, Any]:
    names = "fuzzy_scale high_vol_factor trend_factor crash_factor vol_low vol_high vol_floor vol_target kelly_frac"
    return {name: values[f"strategy.size.{name}"] for name in [*names.split(), "kelly_min_trades"]}


def whole_cents(usd: float) -> int:
    """Cents, at least one of anything above 0: rounding switches nothing off."""
    return max(1, round(usd * 100)) if usd > 0.0 else 0


def exit_rules(values: Mapping[str, Any]) -> dict[str, Any]:
    leave, manage = Section(values, "strategy.exits."), Section(values, "strategy.manage.")
    return {
        "by_side": int(leave["scope"] == "side"),
        "trail_from": leave["trail_from"],
        "trail_giveback": leave["trail_giveback"],
        "stop_scale": STOP_SCALES[leave["stop_scale"]],
        "stop_scale_range": leave["stop_scale_range"],
        "exit_breach": leave["exit_breach"],
        "cheap_short": whole_cents(leave["cheap_short"]),
        "watches_market": int(
            leave["leave_regimes"] != "none" or manage["tested_action"] != "none" or manage["roll_out"] == "tested"
        ),
        "tested_action": TESTED_ACTIONS[manage["tested_action"]],
        "tested_distance": manage["tested_distance"],
        "roll_delta": manage["roll_delta"],
        "roll_min_credit": whole_cents(manage["roll_min_credit"]),
        "roll_min_dte": manage["roll_min_dte"],
        "max_rolls": manage["max_rolls"],
        "roll_out": ROLL_OUTS[manage["roll_out"]],
        "roll_out_min_credit": whole_cents(manage["roll_out_min_credit"]),
        "max_rolls_out": manage["max_rolls_out"],
        "delta_band": values["strategy.hedge.delta_band"],
        "hedge_minutes": values["strategy.hedge.minutes"],
    }
