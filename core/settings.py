"""Every setting as one table: path, default, kind, range, unit, meaning.

The template, the checks, `config schema` and the test that every setting acts are
all read from here; nothing else knows a default.
"""

from __future__ import annotations

from typing import Any, NamedTuple


class Setting(NamedTuple):
    path: str
    default: Any
    kind: str  # int, float, bool, str, date, time, choice, subset, weekdays
    low: float | None
    high: float | None
    choices: tuple[str, ...]
    unit: str
    text: str


def _number(path: str, default: float, low: float, high: float, unit: str, text: str) -> Setting:
    return Setting(path, default, "int" if isinstance(default, int) else "float", low, high, (), unit, text)


def _choice(path: str, default: str, choices: str, text: str) -> Setting:
    return Setting(path, default, "choice", None, None, tuple(choices.split()), "", text)


def _subset(path: str, default: str, choices: str, text: str) -> Setting:
    """A comma-separated choice of several, or "none"."""
    return Setting(path, default, "subset", None, None, tuple(choices.split()), "", text)


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
    _choice(
        "strategy.signals.indicator_minutes",
        "5",
        "5 15 60",
        "bars (minutes) of RSI, ADX, stochastic, Bollinger bands, volume and moving-average distance",
    ),
    _number("strategy.signals.trend_fast", 8, 2, 100, "bars", "fast average of each timeframe's trend"),
    _number("strategy.signals.trend_slow", 21, 3, 200, "bars", "slow average of each timeframe's trend"),
    _number("strategy.signals.weight_5", 0.2, 0.0, 1.0, "share", "weight of the 5-minute trend in the consensus"),
    _number("strategy.signals.weight_15", 0.3, 0.0, 1.0, "share", "weight of the 15-minute trend in the consensus"),
    _number("strategy.signals.weight_60", 0.5, 0.0, 1.0, "share", "weight of the 60-minute trend in the consensus"),
    _number("strategy.signals.iv_window", 252, 20, 1000, "sessions", "past against which IV is ranked"),
    _choice(
        "strategy.signals.iv_measure", "percentile", "percentile rank", "IV rank as share of days below, or by range"
    ),
    _number("strategy.signals.realised_days", 20, 5, 252, "sessions", "window of realised volatility"),
    _choice(
        "strategy.signals.classifier", "rules", "rules hmm", "regimes by rules, or volatility by a hidden Markov model"
    ),
    _number("strategy.signals.regime_adx", 25.0, 5.0, 80.0, "ADX", "rules: a trend from this 60-minute ADX on"),
    _number("strategy.signals.regime_sma_days", 20, 2, 250, "sessions", "rules: mean that gives a trend its direction"),
    _number(
        "strategy.signals.regime_distance", 0.01, 0.0, 0.2, "share", "rules: a trend is at least so far from that mean"
    ),
    _number("strategy.signals.regime_high_vix", 20.0, 5.0, 100.0, "points", "rules: high volatility from this VIX on"),
    _number("strategy.signals.regime_crash_vix", 35.0, 5.0, 200.0, "points", "rules: a crash from this VIX on"),
    _number("strategy.signals.regime_crash_term", 1.1, 0.8, 3.0, "VIX/VIX3M", "rules: or from this term structure on"),
    _number("strategy.signals.regime_confirm", 6, 1, 400, "bars", "a new regime counts after so many bars in a row"),
    _number("strategy.signals.hmm_refit", 63, 5, 504, "sessions", "hmm: sessions between two fits on the past"),
    _number("strategy.signals.hmm_enter", 0.7, 0.5, 1.0, "probability", "hmm: turbulent from here on"),
    _number("strategy.signals.hmm_leave", 0.4, 0.0, 0.7, "probability", "hmm: calm again below"),
    _choice("strategy.signals.fuzzy", "quantor", "quantor classic", "fuzzy rules (data/presets/fuzzy)"),
    _number("strategy.signals.fuzzy_mtf", 1.0, 0.0, 10.0, "x", "weight of the fuzzy rules on timeframes' consensus"),
    _number("strategy.signals.fuzzy_iv", 1.0, 0.0, 10.0, "x", "weight of the fuzzy rules on IV rank"),
    _number(
        "strategy.signals.fuzzy_regime", 1.0, 0.0, 10.0, "x", "weight of the fuzzy rules on VIX and its term structure"
    ),
    _number(
        "strategy.signals.fuzzy_premium",
        1.0,
        0.0,
        10.0,
        "x",
        "weight of the fuzzy rules on realised against implied volatility",
    ),
    _number("strategy.signals.fuzzy_rsi", 1.0, 0.0, 10.0, "x", "weight of the fuzzy rules on RSI"),
    _number("strategy.signals.fuzzy_adx", 1.0, 0.0, 10.0, "x", "weight of the fuzzy rules on ADX"),
    _number("strategy.signals.fuzzy_stoch", 1.0, 0.0, 10.0, "x", "weight of the fuzzy rules on stochastic"),
    _number("strategy.signals.fuzzy_bbands", 1.0, 0.0, 10.0, "x", "weight of the fuzzy rules on Bollinger bands"),
    _number("strategy.signals.fuzzy_volume", 1.0, 0.0, 10.0, "x", "weight of the fuzzy rules on volume"),
    _number("strategy.signals.fuzzy_sma", 1.0, 0.0, 10.0, "x", "weight of the fuzzy rules on moving-average distance"),
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
    _choice(
        "strategy.entry.expiry_rule", "target", "target edge", "expiry nearest the target, or of the best edge a day"
    ),
    _number(
        "strategy.entry.skew_penalty", 0.0, 0.0, 5.0, "delta per vol share", "against strikes below ATM volatility"
    ),
    _number("strategy.entry.put_wing_scale", 1.0, 0.1, 10.0, "x wing_width", "put wing alone"),
    _number("strategy.entry.call_wing_scale", 1.0, 0.1, 10.0, "x wing_width", "call wing alone"),
    _number("strategy.entry.widen", 1.0, 1.0, 10.0, "x wing", "both wings where volatility is high; 1: off"),
    _number("strategy.entry.widen_iv_rank", 50.0, 0.0, 100.0, "per cent", "widen: from this IV rank on"),
    _subset(
        "strategy.entry.widen_regimes",
        "high_vol,crash",
        "unknown range high_vol trend_up trend_down crash",
        "widen: or in these regimes",
    ),
    _number(
        "strategy.entry.credit_iv_scale", 0.0, 0.0, 1.0, "share", "smallest credit moves so much from IV rank 50 to 100"
    ),
    _number("strategy.entry.wait_after_exit", 0, 0, 365, "calendar days", "no entry after an exit; 0: off"),
    _number("strategy.entry.wait_after_loss", 0, 0, 365, "calendar days", "no entry after a loss; 0: off"),
    _number("strategy.filters.consensus_min", 0.0, 0.0, 1.0, "consensus", "enter from here; 0 with max 1: off"),
    _number("strategy.filters.consensus_max", 1.0, 0.0, 1.0, "consensus", "enter up to here"),
    _number("strategy.filters.stretch_max", 0.0, 0.0, 50.0, "average true ranges", "no timeframe farther out; 0: off"),
    _number("strategy.filters.score_min", 0.0, 0.0, 1.0, "score", "fuzzy score at least; 0: off"),
    _number("strategy.filters.confidence_min", 0.0, 0.0, 1.0, "share", "fuzzy confidence at least; 0: off"),
    _subset(
        "strategy.filters.avoid_regimes",
        "none",
        "unknown range high_vol trend_up trend_down crash",
        "regimes in which nothing is opened",
    ),
    _number("strategy.filters.iv_rank_min", 0.0, 0.0, 100.0, "per cent", "IV rank or percentile at least; 0: off"),
    _number("strategy.filters.iv_rank_max", 100.0, 0.0, 100.0, "per cent", "and at most; 100: off"),
    _number("strategy.filters.vix_min", 0.0, 0.0, 200.0, "points", "VIX at least; 0: off"),
    _number("strategy.filters.vix_max", 200.0, 0.0, 200.0, "points", "VIX at most; 200: off"),
    _number("strategy.filters.term_max", 0.0, 0.0, 3.0, "VIX/VIX3M", "term structure at most; 0: off"),
    _number("strategy.filters.vol_ratio_max", 0.0, 0.0, 10.0, "realised/implied", "at most; 0: off"),
    _number("strategy.filters.rsi_min", 0.0, 0.0, 100.0, "RSI", "at least; 0: off"),
    _number("strategy.filters.rsi_max", 100.0, 0.0, 100.0, "RSI", "at most; 100: off"),
    _number("strategy.filters.adx_max", 100.0, 0.0, 100.0, "ADX", "at most; 100: off"),
    _number("strategy.filters.stoch_min", 0.0, 0.0, 100.0, "%K", "at least; 0: off"),
    _number("strategy.filters.stoch_max", 100.0, 0.0, 100.0, "%K", "at most; 100: off"),
    _number("strategy.filters.volume_min", 0.0, 0.0, 10.0, "x mean", "volume at least; 0: off"),
    _number("strategy.filters.sma_distance_max", 0.0, 0.0, 0.5, "share", "distance from the mean at most; 0: off"),
    _subset("strategy.filters.avoid_events", "none", "fomc cpi exdiv", "events near which nothing is opened"),
    _number("strategy.filters.event_days", 0, 0, 10, "sessions", "so long before an event, its own day included"),
    _number("strategy.filters.max_leg_spread", 0.0, 0.0, 5.0, "share of mid", "widest quote of a short; 0: off"),
    _number("strategy.filters.min_size", 0, 0, 100_000, "contracts", "smallest size shown on a leg; 0: off"),
    _number("strategy.filters.min_interest", 0, 0, 1_000_000, "contracts", "open interest of each leg; 0: off"),
    _number("strategy.filters.min_volume", 0, 0, 1_000_000, "contracts", "volume of each leg today; 0: off"),
    _number("strategy.filters.max_breach", 1.0, 0.01, 1.0, "probability", "that a short is reached; 1: off"),
    _choice(
        "strategy.filters.breach_model",
        "approximation",
        "approximation local_vol",
        "breach probability by the constant-volatility formula (labelled an approximation), or by local volatility",
    ),
    _number("strategy.size.contracts", 1, 1, 10_000, "contracts", "most contracts per structure"),
    _number("strategy.size.max_risk_frac", 0.05, 0.0001, 1.0, "share of equity", "max loss of one structure at entry"),
    _number("strategy.size.fuzzy_scale", 0.0, 0.0, 1.0, "share", "how much the fuzzy score scales the budget; 0: off"),
    _number("strategy.size.high_vol_factor", 1.0, 0.0, 1.0, "x budget", "in regime high_vol"),
    _number("strategy.size.trend_factor", 1.0, 0.0, 1.0, "x budget", "in regimes trend_up and trend_down"),
    _number("strategy.size.crash_factor", 1.0, 0.0, 1.0, "x budget", "in regime crash"),
    _number("strategy.size.vol_low", 0.10, 0.0, 2.0, "per year", "realised volatility up to which size is whole"),
    _number("strategy.size.vol_high", 0.35, 0.01, 3.0, "per year", "from which it is vol_floor"),
    _number("strategy.size.vol_floor", 1.0, 0.0, 1.0, "x budget", "size at high realised volatility; 1: off"),
    _number("strategy.size.vol_target", 0.0, 0.0, 2.0, "per year", "size falls with realised volatility above; 0: off"),
    _number("strategy.size.kelly_frac", 0.0, 0.0, 1.0, "x Kelly", "share of Kelly's bet on closed trades; 0: off"),
    _number("strategy.size.kelly_min_trades", 20, 2, 1000, "closed trades", "Kelly says nothing before"),
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
    _choice("strategy.exits.scope", "whole", "whole side", "target and stop of the structure, or of each side alone"),
    _number("strategy.exits.trail_from", 0.0, 0.0, 1.0, "share of credit", "kept, arms a trailing stop; 0: off"),
    _number("strategy.exits.trail_giveback", 0.25, 0.01, 1.0, "share of credit", "given back, closes"),
    _choice("strategy.exits.stop_scale", "none", "none atr vol", "stop_multiple moves with the ATR or IV at entry"),
    _number(
        "strategy.exits.stop_scale_range", 0.5, 0.0, 5.0, "x credit", "by so much down in calm, up in wild markets"
    ),
    _number("strategy.exits.exit_breach", 1.0, 0.01, 1.0, "probability", "of a breach that closes, daily; 1: off"),
    _subset(
        "strategy.exits.leave_regimes",
        "none",
        "unknown range high_vol trend_up trend_down crash",
        "regimes that close everything",
    ),
    _number("strategy.exits.cheap_short", 0.0, 0.0, 1.0, "$/share", "a short at or below is bought back; 0: off"),
    _choice(
        "strategy.manage.tested_action",
        "none",
        "none close_all close_side close_short roll_untested",
        "what happens when the spot comes near a short strike",
    ),
    _number("strategy.manage.tested_distance", 0.0, 0.0, 0.2, "share of spot", "how near; 0: at the strike"),
    _number("strategy.manage.roll_delta", 0.16, 0.01, 0.6, "absolute delta", "new short of a rolled side"),
    _number("strategy.manage.roll_min_credit", 0.10, 0.01, 100.0, "$/share", "a roll pays at least"),
    _number("strategy.manage.roll_min_dte", 21, 0, 365, "calendar days", "no roll nearer to expiry"),
    _number("strategy.manage.max_rolls", 1, 0, 20, "rolls", "of sides, per structure"),
    _choice("strategy.manage.roll_out", "never", "never exit_dte tested", "close and open again in a later expiry"),
    _number("strategy.manage.roll_out_min_credit", 0.0, 0.0, 100.0, "$/share", "new credit less what the close cost"),
    _number("strategy.manage.max_rolls_out", 1, 1, 20, "rolls", "per campaign"),
    _number("strategy.hedge.delta_band", 0.0, 0.0, 1e6, "shares", "net delta that is hedged in shares; 0: off"),
    _number("strategy.hedge.minutes", 30, 5, 390, "minutes", "between two looks at the net delta"),
    _number("strategy.hedge.vanna_volga_budget", 0.10, 0.0, 10.0, "share of credit", "exposure that the report marks"),
    _choice(
        "strategy.hedge.smile",
        "report",
        "report trade",
        "vanna and volga above the budget: marked in the report, or hedged with three liquid options",
    ),
    _choice(
        "risk.margin",
        "alpaca",
        "none alpaca reg_t ibkr portfolio",
        "whose margin an entry must fit: worst payoff by expiry, wider side, equal wings or two spreads, or scenarios",
    ),
    _number("risk.buying_power", 1.0, 0.01, 1.0, "share", "of the cash that margin may bind"),
    _number("risk.trade_delta", 0.0, 0.0, 1e6, "shares", "most absolute delta of one entry; 0: off, as all caps"),
    _number("risk.trade_gamma", 0.0, 0.0, 1e6, "shares per $", "most absolute gamma of one entry"),
    _number("risk.trade_vega", 0.0, 0.0, 1e7, "$ per point", "most absolute vega of one entry"),
    _number("risk.trade_theta", 0.0, 0.0, 1e7, "$ per day", "most absolute theta of one entry"),
    _number("risk.trade_loss", 0.0, 0.0, 1e9, "$", "most that one entry may lose"),
    _number("risk.book_delta", 0.0, 0.0, 1e6, "shares", "most absolute delta of the book after an entry"),
    _number("risk.book_gamma", 0.0, 0.0, 1e6, "shares per $", "most absolute gamma of the book after an entry"),
    _number("risk.book_vega", 0.0, 0.0, 1e7, "$ per point", "most absolute vega of the book after an entry"),
    _number("risk.book_theta", 0.0, 0.0, 1e7, "$ per day", "most absolute theta of the book after an entry"),
    _number("risk.book_loss", 0.0, 0.0, 1e9, "$", "most that all structures may lose together"),
    _number("risk.book_contracts", 0, 0, 100_000, "contracts", "most structures times contracts open"),
    _number("risk.expiry_loss", 0.0, 0.0, 1.0, "share of equity", "most that structures of one expiry may lose"),
    _number(
        "risk.shock_loss",
        0.0,
        0.0,
        1.0,
        "share of equity",
        "most that the book may lose at once at the worst of spot -5, -10 and +5 %",
    ),
    _number("risk.shock_vol", 0.05, 0.0, 1.0, "share per %", "rise of volatility for each per cent the spot falls"),
    _number("risk.daily_loss", 0.0, 0.0, 1.0, "share of equity", "loss of a session that halts it; 0: off"),
    _number("risk.drawdown", 0.0, 0.0, 1.0, "share of the peak", "drawdown that halts trading; 0: off"),
    _number("risk.drawdown_rest", 0, 0, 3650, "calendar days", "after which it goes on from there; 0: it ends"),
    _choice("risk.halt", "entries", "entries close_all", "what a halt stops: entries alone, or it closes everything"),
    _number("risk.losses_in_row", 0, 0, 100, "trades", "so many losses in a row make a pause; 0: off"),
    _number("risk.losses_rest", 5, 1, 365, "calendar days", "of that pause"),
    _other("risk.kill_from", None, "date", "New York date", "the kill switch is thrown at this session's first bar"),
    _choice(
        "assignment.early", "rational", "rational none", "whether holders exercise shorts early where that pays them"
    ),
    _number("assignment.share", 1.0, 0.01, 1.0, "share", "of the contracts that such an evening assigns, rounded up"),
    _number("assignment.pin_band", 0.0, 0.0, 20.0, "$", "a short so near its strike at expiry is assigned anyway"),
    _choice(
        "assignment.broker_liquidation",
        "none",
        "none short_leg",
        "fault: from 15:30 on the expiry's day the broker buys back a short that is in the money or within 1 %",
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

# How the live loop works: nothing here changes a backtest, so it is no part of a run's settings or of their hash.
LIVE: tuple[Setting, ...] = (
    _choice("live.option_feed", "indicative", "indicative opra", "option quotes; opra needs Alpaca's agreement"),
    _choice("live.stock_feed", "iex", "iex sip", "bars and quotes of SPY"),
    _number("live.warmup_sessions", 60, 1, 600, "sessions", "of past bars that the signals are warmed up with"),
    _number("live.bar_delay", 5, 0, 240, "seconds", "after a bar's close until its chain is asked for"),
    _number("live.poll", 5, 1, 120, "seconds", "between two looks at working orders"),
    _number("live.walk_steps", 4, 1, 50, "steps", "of a limit from mid to natural"),
    _number("live.walk_every", 30, 2, 600, "seconds", "between two steps"),
    _choice("live.profit_order", "sent", "sent rests", "when its price is reached, or resting at the broker all day"),
    _number("live.quote_age", 60, 5, 3600, "seconds", "an older option quote opens nothing and triggers no price exit"),
    _number("live.bar_age", 120, 10, 3600, "seconds", "after a bar's close, when it is waited for no longer"),
    _number("live.least_quoted", 0.5, 0.0, 1.0, "share", "of the chain that must be usable for a bar to decide"),
    _number("live.clock_skew", 5.0, 0.1, 60.0, "seconds", "between our clock and the broker's that halts entries"),
    _number("live.timeout", 10.0, 0.2, 120.0, "seconds", "for one answer of the broker"),
    _number("live.lookup_wait", 30, 1, 600, "seconds", "in which an order of unknown fate is looked up again"),
    _number("live.orders_a_day", 200, 1, 100_000, "orders", "most sent in a day; closes may go on"),
    _number("live.entries_a_day", 10, 1, 1000, "orders", "most opening orders filled in a day"),
    _number("live.rejects_in_row", 3, 1, 100, "orders", "refused one after another, latch a halt"),
    _number("live.most_risk", 0.0, 0.0, 1e9, "$", "largest loss of all that is open or working; 0: off"),
    _number(
        "live.equity_loss", 0.0, 0.0, 1.0, "share", "loss of the broker's equity in a day that latches a halt; 0: off"
    ),
    _number("live.dead_after", 60, 10, 3600, "seconds", "without a heartbeat, when the watchdog cancels entries"),
    _choice("live.notify", "log", "log command webhook", "where notifications go; command and URL: see the README"),
)
LIVE_BY_PATH = {s.path: s for s in LIVE}
