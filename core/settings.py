"""Every setting as one table: path, default, kind, range, unit, meaning.

The template, the checks, `config schema` and the test that every setting acts are
all read from here; nothing else knows a default.
"""

from __future__ import annotations

from typing import Any, NamedTuple


class Setting(NamedTuple):
    path: str
    default: Any
    kind: str  # int, float, bool, str, date, time, choice, weekdays
    low: float | None
    high: float | None
    choices: tuple[str, ...]
    unit: str
    text: str


def _number(path: str, default: float, low: float, high: float, unit: str, text: str) -> Setting:
    return Setting(path, default, "int" if isinstance(default, int) else "float", low, high, (), unit, text)


def _choice(path: str, default: str, choices: str, text: str) -> Setting:
    return Setting(path, default, "choice", None, None, tuple(choices.split()), "", text)


def _other(path: str, default: Any, kind: str, unit: str, text: str) -> Setting:
    return Setting(path, default, kind, None, None, (), unit, text)


SETTINGS: tuple[Setting, ...] = (
    _other(
        "market.name", "history", "str", "", "market to trade: history, synthetic, or a store made by `data import`"
    ),
    _other("market.start", None, "date", "New York date", "first session, inclusive; none for the market's own"),
    _other("market.end", None, "date", "New York date", "last session, inclusive; none for the market's own"),
    _number("market.seed", 7, 0, 2**31 - 1, "", "seed of modelled and generated markets"),
    _number("account.starting_cash", 100_000.0, 100.0, 1e9, "$", "cash on the first row"),
    _choice(
        "account.cash_yield", "zero", "zero tbill", "interest on cash, credited daily: none, or the market's bill rate"
    ),
    _choice(
        "data.intraday_quotes",
        "snapshot",
        "snapshot surface",
        "with end-of-day chains: act on real snapshots only, or also on surface marks between them",
    ),
    _choice(
        "strategy.structure",
        "iron_condor",
        "iron_condor put_spread call_spread iron_butterfly broken_wing_condor",
        "what is sold",
    ),
    _number("strategy.max_positions", 3, 1, 64, "structures", "open at the same time"),
    _number("strategy.entry.dte_min", 30, 0, 730, "calendar days", "nearest expiry allowed"),
    _number("strategy.entry.dte_max", 60, 0, 730, "calendar days", "farthest expiry allowed"),
    _number("strategy.entry.dte_target", 45, 0, 730, "calendar days", "expiry preferred"),
    _number("strategy.entry.short_delta", 0.16, 0.01, 0.60, "absolute delta", "short strikes aim at this"),
    _number("strategy.entry.delta_low", 0.10, 0.0, 0.60, "absolute delta", "short strikes never below"),
    _number("strategy.entry.delta_high", 0.25, 0.01, 0.80, "absolute delta", "short strikes never above"),
    _choice(
        "strategy.entry.wing_rule",
        "points",
        "points percent expected_move delta",
        "how wing_width is read: $ of strike, % of spot, share of the one-sd move to expiry, or long delta",
    ),
    _number("strategy.entry.wing_width", 10.0, 0.001, 1000.0, "by wing_rule", "distance from short to long strike"),
    _number("strategy.entry.broken_wing_ratio", 2.0, 1.0, 10.0, "x call wing", "put wing of a broken-wing condor"),
    _number(
        "strategy.entry.min_credit_vs_median",
        0.60,
        0.0,
        3.0,
        "x median credit/width",
        "smallest credit, relative to the median that this wing width collects",
    ),
    _other("strategy.entry.window_start", "10:00", "time", "New York", "first minute an entry may be decided"),
    _other("strategy.entry.window_end", "15:00", "time", "New York", "last minute an entry may be decided"),
    _other("strategy.entry.weekdays", "mon,tue,wed,thu,fri", "weekdays", "", "weekdays on which entries are allowed"),
    _choice(
        "strategy.entry.schedule",
        "daily",
        "daily weekly ladder",
        "spacing of entries: once a day, once a week, or a ladder",
    ),
    _number("strategy.entry.ladder_days", 5, 0, 90, "calendar days", "ladder: days between two entries (0: same day)"),
    _number("strategy.entry.ladder_minutes", 60, 0, 390, "minutes", "ladder: minutes between two entries of one day"),
    _number("strategy.entry.max_new_per_day", 1, 1, 50, "structures", "entries on one day"),
    _number("strategy.size.contracts", 1, 1, 10_000, "contracts", "most contracts per structure"),
    _number("strategy.size.max_risk_frac", 0.05, 0.0001, 1.0, "share of equity", "max loss of one structure at entry"),
    _number(
        "strategy.exits.profit_frac",
        0.50,
        0.01,
        1.0,
        "share of credit",
        "profit kept that closes (0.5: at half); 1: never",
    ),
    _number("strategy.exits.stop_multiple", 2.0, 0.0, 50.0, "x credit lost", "loss that closes; 0: no stop"),
    _choice("strategy.exits.stop_on", "natural", "natural mid", "stop on the natural price, or on two mids in a row"),
    _number("strategy.exits.exit_dte", 21, 0, 365, "calendar days", "close at this many days to expiry; 0: off"),
    _number("strategy.exits.max_hold_days", 0, 0, 365, "calendar days", "close after so many days; 0: off"),
    _other("strategy.exits.time_exit_from", "10:00", "time", "New York", "time exits are decided from here on"),
    _choice(
        "strategy.exits.expiry_rule", "flat", "flat settle", "on the expiry's day: be flat, or hold to cash settlement"
    ),
    _other("strategy.exits.flat_from", "14:30", "time", "New York", "expiry day: the close is decided here"),
    _number(
        "strategy.exits.flat_before_early_close",
        60,
        10,
        240,
        "minutes",
        "expiry day that closes early: decided so long before",
    ),
    _number(
        "strategy.exits.edge_minutes", 10, 0, 60, "minutes", "first and last minutes of a session: mids trigger nothing"
    ),
    _choice(
        "costs.fill", "natural", "natural mid fraction leg_count limit", "how packages fill between natural and mid"
    ),
    _number("costs.fraction", 0.25, 0.0, 1.0, "share", "fraction: net = natural + share x (mid - natural)"),
    _number("costs.leg_base", 0.25, 0.0, 1.0, "share", "leg_count: part of the half-spread crossed with one leg"),
    _number("costs.leg_step", 0.073, 0.0, 1.0, "share", "leg_count: more of it crossed per further leg"),
    _number("costs.limit_steps", 3, 1, 20, "snapshots", "limit: steps from mid to natural"),
    _number("costs.order_life", 4, 1, 100, "snapshots", "limit: snapshots before an entry is cancelled"),
    _choice("costs.fees", "alpaca", "none classic alpaca", "fee table (data/presets/fees.yaml)"),
    _number("costs.free_close_at", 0.0, 0.0, 1.0, "$/share", "closing buys at or below pay no commission; 0: off"),
    _number("costs.extra_slippage", 0.0, 0.0, 100.0, "$/share", "stress: added to each package's cost"),
    _number("costs.spread_multiple", 1.0, 1.0, 100.0, "x half-spread", "stress: every leg's half-spread times this"),
)
BY_PATH = {s.path: s for s in SETTINGS}
