"""Small markets for tests: drawn bars and quotes, stored through the path that imported files take.

    table   : SPY, quotes on every bar of 12 sessions (an early close among them), some of them bad
    cash    : the same, settled in cash (SPXW)
    carried : SPY, one chain a day at 16:15, 26 sessions
    modelled: the embedded market's builder on a few drawn days
    deep    : as table, its quotes sound, with volume, open interest and sizes that vary
    years   : the generated market, 330 sessions with VIX3M
    restless: as carried, 32 sessions, a cent or two wide, at volatilities that leap from day to day

Quotes are Black's formula on a smile around a drawn path, in cents. Everything is drawn from a seed.
"""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.special import ndtr

from backtest_engine import BacktestResult, run
from core.config import Config, load
from core.market.build import NO_DAILY, Bars, Chain, Daily, assemble, expiry_instants, picked
from core.market.calendar import NS_MINUTE, Sessions, day_number, sessions_over
from core.market.generate import build_synthetic
from core.market.history import DailyInput, build_history
from core.market.importers import facts_of
from core.market.store import Store
from core.market.writer import write_store

NO_FILE = Path("no-such-config.py")
YEAR_NS = 365 * 86_400 * 1e9
BAR = 5 * NS_MINUTE
FIRST_SPOT = 300.0
LEVEL = 0.22  # at-the-money volatility of the smile


class Tape(NamedTuple):
    """What a vendor's files would hold: bars, quotes and daily values of one market."""

    name: str
    bars: Bars
    chain: Chain
    sessions: Sessions
    daily: Daily = NO_DAILY


# ---------------------------------------------------------------- drawing


def drawn_bars(sessions: Sessions, volatility: float, seed: int) -> Bars:
    """A random walk on five-minute bars with a jump overnight."""
    draw = np.random.default_rng(seed)
    spans = zip(sessions.open_ns, sessions.close_ns, strict=True)
    ts = np.concatenate([np.arange(first + BAR, last + 1, BAR) for first, last in spans])
    night = np.r_[True, np.diff(ts) > BAR]
    step = volatility / np.sqrt(252 * 78)
    close = np.round(FIRST_SPOT * np.exp(np.cumsum(draw.normal(0.0, np.where(night, 4 * step, step)))), 2)
    opening = np.r_[FIRST_SPOT, close[:-1]]
    wick = np.abs(draw.normal(0.0, 0.05, (2, len(ts))))
    high, low = np.maximum(opening, close) + wick[0], np.minimum(opening, close) - wick[1]
    return Bars(ts, opening, high, low, close, np.full(len(ts), 1000.0))


def black(is_call: Any, spot: Any, strike: Any, years: Any, level: Any = LEVEL) -> Any:
    """Black's price without carry on a smile: skewed, flatter for longer lives. $."""
    k = np.log(strike / spot)
    z = k / np.sqrt(np.maximum(years, 1 / 365))
    deviation = level * np.clip(1.0 - 0.35 * z + 0.5 * z * z, 0.5, 3.0) * np.sqrt(years)
    d1 = -k / deviation + deviation / 2
    call = spot * ndtr(d1) - strike * ndtr(d1 - deviation)
    return np.maximum(np.where(is_call, call, call - spot + strike), 0.0)


def drawn_chain(
    ts: Any, spot: Any, expiry_days: Any, strikes: Any, root: str, seed: int, level: Any = LEVEL, width: float = 1.0
) -> Chain:
    """Two-sided quotes of all strikes (cents) and expiries that are alive at each time and spot.

    level : at-the-money volatility, one or by time; width : of the usual spread
    """
    draw = np.random.default_rng(seed)
    days = np.asarray(expiry_days, np.int32)
    instants = expiry_instants(days, [root] * len(days))
    axes = (np.arange(len(ts)), np.arange(len(days)), np.arange(len(strikes)), np.arange(2))
    at, x, k, call = (axis.ravel() for axis in np.meshgrid(*axes, indexing="ij"))
    alive = instants[x] > ts[at]
    at, x, k, call = at[alive], x[alive], k[alive], call[alive]
    strike, years = strikes[k] / 100.0, (instants[x] - ts[at]) / YEAR_NS
    price = black(call == 1, spot[at], strike, years, np.broadcast_to(level, len(ts))[at])
    half = width * (0.005 + 0.006 * np.minimum(price, 10.0) + 0.005 * draw.integers(0, 2, len(at)))
    bid = np.floor(np.maximum(price - half, 0.0) * 100) / 100
    ask = np.maximum(np.ceil((price + half) * 100) / 100, bid + 0.01)
    unknown, whole = np.full(len(at), np.nan), np.zeros(len(at), np.int64)
    return Chain(
        ts=ts[at],
        spot=spot[at],
        root=np.full(len(at), root),
        day=days[x],
        strike=strikes[k].astype(np.int64),
        is_call=call == 1,
        bid=bid,
        ask=ask,
        iv=unknown,
        delta=unknown,
        volume=whole,
        interest=whole,
        bid_size=whole,
        ask_size=whole,
    )


def damaged(chain: Chain, seed: int, absent: bool = True) -> Chain:
    """Some quotes made 0/0, crossed or bid 0 / ask 5; some left out; whole snapshots left out."""
    draw = np.random.default_rng(seed)
    fate = draw.random(len(chain.ts))
    bid, ask = chain.bid.copy(), chain.ask.copy()
    bid[fate < 0.015] = 0.0
    ask[fate < 0.010] = 0.0
    ask[(fate >= 0.010) & (fate < 0.015)] = 5.0
    crossed = (fate >= 0.015) & (fate < 0.020)
    bid[crossed] = ask[crossed] + 0.05
    keep = fate < 0.99
    times = np.unique(chain.ts)
    dark = times[draw.random(len(times)) < 0.02]
    keep &= ~np.isin(chain.ts, dark)
    damaged_chain = chain._replace(bid=bid, ask=ask)
    return picked(damaged_chain, keep) if absent else damaged_chain


# ---------------------------------------------------------------- tapes

TABLE_DAYS = ("2025-11-20", "2025-12-08")  # Thanksgiving and the early close after it
TABLE_EXPIRIES = ("2025-11-28", "2025-12-03", "2025-12-08", "2025-12-19")
CARRIED_DAYS = ("2025-11-03", "2025-12-09")
RESTLESS_DAYS = ("2025-10-20", "2025-12-03")
RESTLESS_EXPIRIES = ("2025-10-31", "2025-11-14", "2025-11-21", "2025-11-28", "2025-12-05", "2025-12-12", "2026-01-16")
EXDIV_DAYS = ("2025-12-10", "2025-12-23")
EXDIV_EXPIRIES = ("2025-12-12", "2025-12-17", "2025-12-19", "2025-12-22", "2025-12-26", "2026-01-02")
CARRIED_EXPIRIES = ("2025-11-14", "2025-11-21", "2025-11-28", "2025-12-05", "2025-12-19")


def days_of(texts: tuple[str, ...]) -> Any:
    return np.array([day_number(text) for text in texts], np.int32)


def table_tape(name: str = "table", root: str = "SPY", seed: int = 5, bad: bool = True) -> Tape:
    sessions = sessions_over(*days_of(TABLE_DAYS))
    bars = drawn_bars(sessions, 0.30, seed)
    strikes = np.arange(270, 331) * 100
    chain = drawn_chain(bars.ts, bars.close, days_of(TABLE_EXPIRIES), strikes, root, seed + 1)
    day = sessions.day.tolist()
    daily = Daily({}, {}, dict.fromkeys(day, 0.04))
    return Tape(name, bars, damaged(chain, seed + 2) if bad else chain, sessions, daily)


def carried_tape(name: str = "carried", seed: int = 11, bad: bool = True) -> Tape:
    sessions = sessions_over(*days_of(CARRIED_DAYS))
    bars = drawn_bars(sessions, 0.25, seed)
    last = np.searchsorted(bars.ts, sessions.close_ns)
    ts = sessions.close_ns + 15 * NS_MINUTE
    spot = np.round(bars.close[last] * 1.0005, 2)
    strikes = np.arange(262, 339) * 100
    chain = drawn_chain(ts, spot, days_of(CARRIED_EXPIRIES), strikes, "SPY", seed + 1)
    return Tape(name, bars, damaged(chain, seed + 2, absent=False) if bad else chain, sessions)


def restless_tape(name: str = "restless", seed: int = 31) -> Tape:
    """The level of the smile is drawn anew every day: four or five points from one to the next."""
    sessions = sessions_over(*days_of(RESTLESS_DAYS))
    bars = drawn_bars(sessions, 0.25, seed)
    last = np.searchsorted(bars.ts, sessions.close_ns)
    level = LEVEL * np.exp(np.random.default_rng(seed + 3).normal(0.0, 0.15, len(last)))
    times = (sessions.close_ns + 15 * NS_MINUTE, np.round(bars.close[last] * 1.0005, 2))
    strikes = np.arange(255, 346) * 100
    chain = drawn_chain(*times, days_of(RESTLESS_EXPIRIES), strikes, "SPY", seed + 1, level, width=0.0)
    return Tape(name, bars, damaged(chain, seed + 2, absent=False), sessions)


def deep_tape(name: str = "deep", seed: int = 21) -> Tape:
    """Bars of some 1000 shares; sizes of 1 to 60 contracts, open interest below 1000 and volume below 100 a quote."""
    tape = table_tape(name, bad=False)
    draw = np.random.default_rng(seed)
    bars = tape.bars._replace(volume=np.round(1000.0 * np.exp(draw.normal(0.0, 0.5, len(tape.bars.ts)))))
    lowest_highest = {"bid_size": (1, 61), "ask_size": (1, 61), "interest": (0, 1000), "volume": (0, 100)}
    depth = {name: draw.integers(*span, len(tape.chain.ts)) for name, span in lowest_highest.items()}
    return tape._replace(bars=bars, chain=tape.chain._replace(**depth))


def exdiv_tape(name: str = "exdiv", seed: int = 41) -> Tape:
    """Two weeks that rise by 8 % through SPY's listed ex-dividend day, 19 December 2025."""
    sessions = sessions_over(*days_of(EXDIV_DAYS))
    bars = drawn_bars(sessions, 0.12, seed)
    rise = np.exp(np.linspace(0.0, 0.08, len(bars.ts)))
    bars = Bars(bars.ts, *(np.round(column * rise, 2) for column in bars[1:5]), bars.volume)
    chain = drawn_chain(bars.ts, bars.close, days_of(EXDIV_EXPIRIES), np.arange(270, 350) * 100, "SPY", seed + 1)
    rates = dict.fromkeys(sessions.day.tolist(), 0.03)
    return Tape(name, bars, damaged(chain, seed + 2), sessions, Daily({}, {}, rates))


def until(tape: Tape, ts: int) -> Tape:
    """The tape as it stood at a moment: what came later is not there."""
    bars = Bars(*(column[tape.bars.ts <= ts] for column in tape.bars))
    daily = Daily(*({d: v for d, v in values.items() if d * 1440 * NS_MINUTE <= ts} for values in tape.daily))
    return tape._replace(bars=bars, chain=picked(tape.chain, tape.chain.ts <= ts), daily=daily)


def poisoned(tape: Tape, ts: int, seed: int = 3) -> Tape:
    """The same tape up to a moment; afterwards the spot doubles and quotes are torn apart."""
    draw = np.random.default_rng(seed)
    after = tape.bars.ts > ts
    prices = [np.where(after, column * 2.0, column) for column in tape.bars[1:5]]
    later = tape.chain.ts > ts
    wild = tape.chain._replace(
        bid=np.where(later, draw.integers(0, 300, len(later)) / 100, tape.chain.bid),
        ask=np.where(later, draw.integers(300, 900, len(later)) / 100, tape.chain.ask),
        spot=np.where(later, tape.chain.spot * 2.0, tape.chain.spot),
    )
    return tape._replace(bars=Bars(tape.bars.ts, *prices, tape.bars.volume), chain=wild)


def stored(tape: Tape, folder: Path) -> Store:
    """The tape as a market store."""
    columns, quality, kind = assemble(tape.bars, tape.sessions, tape.chain, tape.daily)
    facts = facts_of(tape.name, kind, "drawn", (Path("bars"), Path("chain")), tape.chain, False)
    return write_store(folder / tape.name, columns, facts, quality)


def modelled_store(
    folder: Path, sessions: int = 30, seed: int = 7, name: str = "modelled", first: str = "2016-03-01"
) -> Store:
    """The embedded market's builder on drawn daily values."""
    draw = np.random.default_rng(1)
    days = sessions_over(day_number(first), day_number(first) + 2 * sessions).day[:sessions]
    close = 200.0 * np.exp(np.cumsum(draw.normal(0.0, 0.012, sessions)))
    before = np.r_[200.0, close[:-1]]
    daily = DailyInput(
        day=days,
        close=close,
        high=np.maximum(close, before) * 1.004,
        low=np.minimum(close, before) * 0.996,
        vix=np.clip(18.0 + np.cumsum(draw.normal(0.0, 0.8, sessions)), 11.0, 40.0),
        rate=np.full(sessions, 0.003),
        dividend=np.full(sessions, 4.2),
        close_before=200.0,
        vix_before=18.0,
    )
    return build_history(folder / name, seed, daily)


# ---------------------------------------------------------------- runs

SHORT_LIVED = {  # many trades in a dozen sessions
    "strategy.max_positions": 4,
    "strategy.entry.dte_min": 4,
    "strategy.entry.dte_max": 30,
    "strategy.entry.dte_target": 8,
    "strategy.entry.wing_width": 3.0,
    "strategy.entry.min_credit_vs_median": 0.2,
    "strategy.entry.schedule": "ladder",
    "strategy.entry.ladder_days": 0,
    "strategy.entry.ladder_minutes": 90,
    "strategy.entry.max_new_per_day": 3,
    "strategy.exits.exit_dte": 2,
    "strategy.exits.stop_multiple": 1.0,
    "account.starting_cash": 25_000.0,
}


def config_of(**changes: Any) -> Config:
    """Defaults, the short-lived rules, and changes (dots as double underscores)."""
    settings = {**SHORT_LIVED, **{name.replace("__", "."): value for name, value in changes.items()}}
    return load(user_file=NO_FILE, flags=settings)


def ran(store: Store, **changes: Any) -> BacktestResult:
    return run(store, config_of(market__name=store.name, **changes))


MAKERS: dict[str, Callable[[Path], Store]] = {
    "table": lambda folder: stored(tape("table"), folder),
    "cash": lambda folder: stored(tape("cash"), folder),
    "carried": lambda folder: stored(tape("carried"), folder),
    "modelled": modelled_store,
    "deep": lambda folder: stored(tape("deep"), folder),
    "exdiv": lambda folder: stored(tape("exdiv"), folder),
    "restless": lambda folder: stored(tape("restless"), folder),
    "years": lambda folder: build_synthetic(folder / "years", 7, 330, "years"),
}
TAPES = {
    "table": table_tape,
    "cash": lambda: table_tape("cash", "SPXW"),
    "carried": carried_tape,
    "deep": deep_tape,
    "exdiv": exdiv_tape,
    "restless": restless_tape,
}
TO_SETTLEMENT = {
    "strategy__exits__expiry_rule": "settle",
    "strategy__exits__exit_dte": 0,
    "strategy__exits__profit_frac": 1.0,
    "strategy__exits__stop_multiple": 0.0,
    "account__cash_yield": "tbill",
}
TESTED = {"strategy__manage__tested_distance": 0.015, "strategy__exits__stop_multiple": 0.0}
ROLLED = {
    **TESTED,
    "strategy__manage__tested_action": "roll_untested",
    "strategy__manage__roll_min_dte": 1,
    "strategy__manage__roll_min_credit": 0.02,
    "strategy__manage__max_rolls": 2,
    "strategy__manage__roll_delta": 0.22,
}
# Everything at once, as far as it can be: filters wide enough to trade, every exit, rolls both ways, scaled sizes.
FULL = {
    **ROLLED,
    "strategy__signals__iv_window": 20,
    "strategy__signals__realised_days": 5,
    "strategy__signals__regime_sma_days": 3,
    "strategy__filters__consensus_min": 0.02,
    "strategy__filters__consensus_max": 0.98,
    "strategy__filters__stretch_max": 12.0,
    "strategy__filters__vol_ratio_max": 5.0,
    "strategy__filters__rsi_min": 5.0,
    "strategy__filters__confidence_min": 0.1,
    "strategy__filters__score_min": 0.05,
    "strategy__filters__max_breach": 0.98,
    "strategy__exits__stop_multiple": 1.5,
    "strategy__exits__trail_from": 0.3,
    "strategy__exits__trail_giveback": 0.3,
    "strategy__exits__cheap_short": 0.05,
    "strategy__exits__exit_breach": 0.95,
    "strategy__exits__stop_scale": "vol",
    "strategy__exits__leave_regimes": "crash",
    "strategy__manage__roll_out": "exit_dte",
    "strategy__entry__expiry_rule": "edge",
    "strategy__entry__skew_penalty": 0.2,
    "strategy__size__contracts": 3,
    "strategy__size__max_risk_frac": 0.06,
    "strategy__size__fuzzy_scale": 0.5,
    "strategy__size__vol_floor": 0.5,
    "strategy__size__kelly_frac": 0.5,
    "strategy__size__kelly_min_trades": 5,
    "strategy__hedge__delta_band": 5.0,
}
# Without VIX a regime is known in a trend alone: weak ones count at once, and what they open is soon tested.
TRENDS = {
    "strategy__signals__regime_adx": 10.0,
    "strategy__signals__regime_confirm": 1,
    "strategy__entry__wing_width": 4.0,
    "strategy__entry__ladder_minutes": 45,
    "strategy__manage__tested_distance": 0.02,
    "strategy__manage__roll_delta": 0.2,
}
# Ten condors at a time on quotes a cent wide: their vanna costs less to hedge than it moves.
SMILE = {
    "strategy__hedge__smile": "trade",
    "strategy__hedge__vanna_volga_budget": 0.0,
    "strategy__size__contracts": 10,
    "strategy__size__max_risk_frac": 0.1,
}
# Many contracts at a time, so that caps bind.
DENSE = {
    "strategy__size__contracts": 10,
    "strategy__size__max_risk_frac": 0.2,
    "strategy__max_positions": 6,
    "strategy__entry__schedule": "ladder",
    "strategy__entry__ladder_days": 0,
    "strategy__entry__max_new_per_day": 3,
}
GUARDED = {
    **DENSE,
    "risk__trade_theta": 250.0,
    "risk__book_vega": 250.0,
    "risk__book_delta": 60.0,
    "risk__expiry_loss": 0.3,
    "risk__daily_loss": 0.02,
    "risk__halt": "close_all",
    "risk__losses_in_row": 3,
    "risk__losses_rest": 1,
}
MARGINED = {
    **DENSE,
    "risk__margin": "portfolio",
    "risk__buying_power": 0.25,
    "risk__shock_loss": 0.15,
    "risk__drawdown": 0.03,
    "risk__drawdown_rest": 4,
}
# Nothing leaves before its expiry but what is assigned.
UNTOUCHED = {
    "strategy__exits__exit_dte": 0,
    "strategy__exits__profit_frac": 1.0,
    "strategy__exits__stop_multiple": 0.0,
    "strategy__entry__dte_min": 2,
    "strategy__entry__dte_target": 7,
    "strategy__max_positions": 8,
    "strategy__exits__expiry_rule": "settle",
}
# The runs that laws are held against: market, changes to SHORT_LIVED.
RUNS: dict[str, tuple[str, dict[str, Any]]] = {
    "natural": ("table", {}),
    "fraction": ("table", {"costs__fill": "fraction", "costs__fraction": 0.4, "costs__fees": "classic"}),
    "mid": ("table", {"costs__fill": "mid", "strategy__size__contracts": 3, "strategy__size__max_risk_frac": 0.03}),
    "limit": ("table", {"costs__fill": "limit", "strategy__exits__max_hold_days": 1}),
    "stop_on_mid": ("table", {"strategy__exits__stop_on": "mid", "strategy__exits__stop_multiple": 0.6}),
    "butterfly": ("table", {"strategy__structure": "iron_butterfly", "strategy__entry__wing_width": 6.0}),
    "broken_wing": ("table", {"strategy__structure": "broken_wing_condor", "strategy__entry__wing_rule": "percent"}),
    "put_spread": ("table", {"strategy__structure": "put_spread", "strategy__entry__wing_rule": "expected_move",
                             "strategy__entry__wing_width": 0.5}),
    "delta_wings": ("table", {"strategy__entry__wing_rule": "delta", "strategy__entry__wing_width": 0.06}),
    "carried": ("carried", {}),
    "carried_limit": ("carried", {"costs__fill": "limit"}),
    "surface": ("carried", {"data__intraday_quotes": "surface"}),
    "settled": ("cash", TO_SETTLEMENT),
    "modelled": ("modelled", {}),
    "sides": ("table", {"strategy__exits__scope": "side", "strategy__exits__stop_multiple": 0.8}),
    "trailing": ("table", {"strategy__exits__trail_from": 0.15, "strategy__exits__trail_giveback": 0.1}),
    "cheap": ("table", {"strategy__exits__cheap_short": 0.12, "strategy__exits__profit_frac": 0.9}),
    "tested_side": ("table", {**TESTED, "strategy__manage__tested_action": "close_side"}),
    "tested_short": ("table", {**TESTED, "strategy__manage__tested_action": "close_short"}),
    "rolled": ("table", ROLLED),
    "rolled_out": ("table", {"strategy__manage__roll_out": "exit_dte", "strategy__manage__max_rolls_out": 2,
                             "strategy__exits__stop_multiple": 0.0, "strategy__exits__profit_frac": 0.9,
                             "strategy__manage__roll_out_min_credit": 0.01}),
    "hedged": ("table", {"strategy__hedge__delta_band": 4.0}),
    "smile": ("restless", SMILE),
    "assigned": ("exdiv", UNTOUCHED),
    "liquidated": ("exdiv", {**UNTOUCHED, "assignment__broker_liquidation": "short_leg",
                             "assignment__pin_band": 2.0}),
    "guarded": ("table", GUARDED),
    "margined": ("modelled", MARGINED),
    "carried_rolled": ("carried", {**ROLLED, "strategy__exits__exit_breach": 0.9}),
    "surface_full": ("carried", {**FULL, "data__intraday_quotes": "surface", "strategy__exits__stop_scale": "atr",
                                 "strategy__filters__vol_ratio_max": 0.0, **TRENDS}),
    "full": ("modelled", {**FULL, "strategy__filters__breach_model": "local_vol"}),
}  # fmt: skip


@cache
def _folder() -> Path:
    folder = tempfile.mkdtemp(prefix="qmtf-markets-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


@cache
def tape(name: str) -> Tape:
    return TAPES[name]()


@cache
def market(name: str) -> Store:
    """A small market by name, built once per test process."""
    return MAKERS[name](_folder())


@cache
def run_named(name: str) -> BacktestResult:
    """One of RUNS, run once per test process."""
    of, changes = RUNS[name]
    return ran(market(of), **changes)
