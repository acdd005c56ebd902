"""Any settings on any small market: whatever the table of settings allows, the laws hold for what comes of it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backtest_engine import BacktestResult, run
from core.config import ORDERED, WEEKDAYS, load
from core.errors import ConfigError, DataError
from core.lookahead import findings, settled_row
from core.market.calendar import NS_MINUTE, day_text, sessions_over
from core.market.store import Store
from core.market.truncate import truncated
from core.quotes import leg_rows
from core.replay import Replay
from core.settings import BY_PATH, SETTINGS, Setting
from core.types import (
    CASH,
    EVENT_ASSIGNMENT,
    EVENT_EXERCISE,
    EVENT_FILL,
    EVENT_HEDGE,
    FLAG,
    LEG_SIGN,
    MARKS,
    REASONS,
    SOFT,
    VERDICT,
    F,
    Reason,
    T,
)
from tests import markets
from tests.held import exercise_shares, packages, shares_held, stock_rows
from tests.laws.test_no_better_than_market import (
    campaigns_roll_out,
    closes_inside_the_width,
    contracts_are_held_one_way,
    fills_between_mid_and_natural,
    hedge_fills_at_the_market,
    legs_stand_in_order,
    losses_are_bounded,
    orders_fill_later,
    packages_sum_to_trades,
    risk_stays_in_budget,
    rolls_pay,
    settlements_inside_the_width,
    shorts_are_covered,
)
from tests.laws.test_same_result import assert_same, in_pieces

DRAWS, SLOW_DRAWS = 500, 5000
Law = Callable[[BacktestResult], None]

# ---------------------------------------------------------------- markets


class Shape(NamedTuple):
    """A drawn market of a few sessions."""

    days: tuple[str, str]
    expiries: tuple[str, ...]
    strikes: tuple[int, int, int]  # $: first, one past the last, step
    volatility: float
    root: str = "SPY"
    evening: bool = False  # one chain a day, after the close
    damages: int = 1  # how often its quotes are damaged


THANKSGIVING = ("2025-11-28", "2025-12-01", "2025-12-05", "2025-12-12", "2025-12-26")
SHAPES = {
    "calm": Shape(("2025-11-24", "2025-12-01"), THANKSGIVING, (280, 322, 1), 0.12),
    "wild": Shape(("2025-11-24", "2025-12-02"), THANKSGIVING, (230, 372, 2), 0.90, "SPXW"),
    "sparse": Shape(("2025-12-01", "2025-12-05"), ("2025-12-05", "2025-12-12"), (240, 365, 5), 0.40, damages=5),
    "morning": Shape(("2025-11-17", "2025-11-24"), ("2025-11-21", "2025-12-19"), (265, 336, 1), 0.35, "SPX"),
    "evening": Shape(
        ("2025-11-03", "2025-11-12"),
        ("2025-11-07", "2025-11-10", "2025-11-14", "2025-11-21", "2025-12-05"),
        (250, 352, 1),
        0.45,
        evening=True,
    ),
}
MODELLED = {"modelled": 8, "long": 28}  # sessions; the longer one knows every signal
MARKETS = (*SHAPES, "evening", *MODELLED)


def shaped(name: str, seed: int) -> markets.Tape:
    """Bars and quotes of a shape; sizes, interest and volume are drawn too."""
    shape = SHAPES[name]
    draw = np.random.default_rng(seed)
    sessions = sessions_over(*markets.days_of(shape.days))
    bars = markets.drawn_bars(sessions, shape.volatility, seed)
    bars = bars._replace(volume=draw.integers(200, 3000, len(bars.ts)).astype(float))
    ts, spot = bars.ts, bars.close
    if shape.evening:
        last = np.searchsorted(bars.ts, sessions.close_ns)
        ts, spot = sessions.close_ns + 15 * NS_MINUTE, np.round(bars.close[last] * 1.0005, 2)
    first, end, step = shape.strikes
    strikes = np.arange(first, end, step) * 100
    chain = markets.drawn_chain(ts, spot, markets.days_of(shape.expiries), strikes, shape.root, seed + 1)
    many = {name: draw.integers(0, 400, len(chain.ts)) for name in ("volume", "interest", "bid_size", "ask_size")}
    chain = chain._replace(**many)
    for i in range(shape.damages):
        chain = markets.damaged(chain, seed + 2 + i, absent=not shape.evening)
    rates = dict.fromkeys(sessions.day.tolist(), 0.04)
    return markets.Tape(name, bars, chain, sessions, markets.Daily({}, {}, rates))


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Store]:
    folder = tmp_path_factory.mktemp("drawn")

    def made(name: str) -> Store:
        if name in MODELLED:
            return markets.modelled_store(Path(folder), MODELLED[name], name=name)
        return markets.stored(shaped(name, 23), Path(folder))

    return cache(made)


# ---------------------------------------------------------------- settings

# How likely a setting is to leave its base, by the beginning of its path; the longest one counts.
WEIGHTS = {
    "market.": 2,
    "account.": 3,
    "data.": 10,
    "strategy.": 5,
    "strategy.signals.": 1,
    "strategy.entry.": 2,
    "strategy.filters.": 1,
    "strategy.size.": 2,
    "strategy.exits.": 4,
    "strategy.manage.": 5,
    "strategy.hedge.": 4,
    "risk.": 1,
    "assignment.": 3,
    "costs.": 3,
}
SWITCHES = (
    "strategy.max_positions",
    "strategy.manage.tested_action",
    "strategy.manage.roll_out",
    "strategy.hedge.delta_band",
    "strategy.exits.scope",
    "strategy.exits.expiry_rule",
    "strategy.exits.cheap_short",
    "costs.fill",
)
MOST_CHANGES = 16
BASE = {
    **markets.SHORT_LIVED,
    "strategy.entry.wing_width": 4.0,
    "strategy.signals.realised_days": 5,
    "strategy.manage.tested_distance": 0.015,  # acts once an action is drawn, as do the next three
    "strategy.manage.roll_delta": 0.22,
    "strategy.manage.roll_min_credit": 0.02,
    "strategy.manage.roll_min_dte": 1,
}
# What is plausible in a market of a few days; other numbers lie within three times their default.
LIKELY: dict[str, tuple[Any, ...]] = {
    "market.seed": (0, 7),
    "account.starting_cash": (3_000.0, 12_345.67, 50_000.0, 1e6),
    "strategy.max_positions": (1, 2, 3, 8, 20),
    "strategy.entry.dte_min": (0, 1, 2, 3, 5, 8),
    "strategy.entry.dte_max": (8, 12, 20, 30, 45),
    "strategy.entry.dte_target": (1, 4, 8, 14),
    "strategy.entry.wing_width": (0.3, 0.6, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0),
    "strategy.entry.min_credit_vs_median": (0.0, 0.1, 0.3, 0.5),
    "strategy.entry.ladder_days": (0, 1, 2),
    "strategy.entry.ladder_minutes": (0, 5, 30, 60),
    "strategy.entry.max_new_per_day": (1, 5, 20),
    "strategy.entry.wait_after_exit": (1, 2),
    "strategy.entry.wait_after_loss": (1, 3),
    "strategy.entry.window_start": ("09:30", "09:45", "10:00", "13:00"),
    "strategy.entry.window_end": ("12:00", "15:00", "15:55", "16:00"),
    "strategy.signals.iv_window": (20,),
    "strategy.signals.realised_days": (5, 6),
    "strategy.signals.regime_sma_days": (2, 3, 5),
    "strategy.signals.regime_confirm": (1, 3, 12),
    "strategy.filters.max_leg_spread": (0.3, 1.0, 3.0),
    "strategy.filters.min_size": (1, 20),
    "strategy.filters.min_interest": (1, 20),
    "strategy.filters.min_volume": (1, 20),
    "strategy.filters.max_breach": (0.5, 0.7, 0.9),
    "strategy.filters.stretch_max": (2.0, 5.0, 20.0),
    "strategy.filters.score_min": (0.1, 0.3),
    "strategy.filters.confidence_min": (0.2, 0.5),
    "strategy.filters.vol_ratio_max": (1.0, 5.0),
    "strategy.size.contracts": (1, 2, 5, 50),
    "strategy.size.max_risk_frac": (0.01, 0.05, 0.3, 1.0),
    "strategy.size.kelly_min_trades": (2, 3, 5),
    "strategy.exits.profit_frac": (0.1, 0.3, 0.7, 0.95, 1.0),
    "strategy.exits.stop_multiple": (0.0, 0.2, 0.5, 1.5, 4.0),
    "strategy.exits.exit_dte": (0, 1, 2, 3, 6),
    "strategy.exits.max_hold_days": (1, 2, 4),
    "strategy.exits.trail_from": (0.05, 0.2, 0.5),
    "strategy.exits.trail_giveback": (0.01, 0.1, 0.3),
    "strategy.exits.exit_breach": (0.4, 0.6, 0.9),
    "strategy.exits.cheap_short": (0.05, 0.1, 0.3, 1.0),
    "strategy.manage.tested_action": ("roll_untested", "close_side", "close_short", "roll_untested", "close_all"),
    "strategy.manage.roll_out": ("exit_dte", "tested"),
    "strategy.manage.tested_distance": (0.0, 0.01, 0.02, 0.04),
    "strategy.manage.roll_delta": (0.16, 0.2, 0.25),
    "strategy.manage.roll_min_credit": (0.01, 0.05, 0.2),
    "strategy.manage.roll_min_dte": (0, 1, 3),
    "strategy.manage.max_rolls": (1, 2, 5),
    "strategy.hedge.delta_band": (0.5, 2.0, 5.0, 20.0),
    "strategy.hedge.minutes": (5, 7, 30, 60),
    "risk.buying_power": (0.1, 0.5, 0.9),
    "risk.trade_delta": (1.0, 5.0, 30.0),
    "risk.trade_gamma": (0.5, 5.0),
    "risk.trade_vega": (5.0, 50.0, 300.0),
    "risk.trade_theta": (5.0, 50.0, 300.0),
    "risk.trade_loss": (200.0, 1_000.0),
    "risk.book_delta": (1.0, 10.0, 100.0),
    "risk.book_gamma": (1.0, 10.0),
    "risk.book_vega": (10.0, 100.0, 500.0),
    "risk.book_theta": (10.0, 100.0, 500.0),
    "risk.book_loss": (300.0, 3_000.0),
    "risk.book_contracts": (1, 3, 10),
    "risk.expiry_loss": (0.02, 0.1, 0.5),
    "risk.shock_loss": (0.01, 0.1),
    "risk.daily_loss": (0.0005, 0.005, 0.02),
    "risk.drawdown": (0.001, 0.01, 0.05),
    "risk.drawdown_rest": (1, 2, 5),
    "risk.losses_in_row": (1, 2, 3),
    "risk.losses_rest": (1, 2),
    "assignment.pin_band": (0.5, 2.0, 10.0),
    "costs.free_close_at": (0.05, 0.2),
    "costs.extra_slippage": (0.01, 0.03, 0.1),
    "costs.spread_multiple": (1.3, 2.0, 5.0),
}


class Story(NamedTuple):
    """What draws would come by too seldom alone: its markets, and what some of its settings are drawn from."""

    markets: tuple[str, ...]
    settings: dict[str, tuple[Any, ...]]


ON_SHARES = ("calm", "sparse", "evening", *MODELLED)
HELD = {  # hardly anything but its story takes a structure off
    "strategy.entry.dte_target": (1, 4),
    "strategy.exits.profit_frac": (0.9, 1.0),
    "strategy.exits.stop_multiple": (0.0, 4.0),
}
STORIES = {
    "any": Story(MARKETS, {}),
    "settled": Story(
        ("wild", "morning", "wild", "morning", "calm", "sparse", "modelled"),
        {**HELD, "strategy.entry.dte_min": (1, 2, 4), "strategy.exits.expiry_rule": ("settle",)},
    ),
    "assigned": Story(
        ("calm", "sparse", "modelled"),
        {
            **HELD,
            "strategy.entry.dte_min": (1, 2, 4),
            "strategy.entry.short_delta": (0.3, 0.4),
            "strategy.entry.delta_high": (0.5, 0.6),
            "strategy.exits.expiry_rule": ("settle",),
        },
    ),
    "rolled out": Story(
        MARKETS,
        {
            **HELD,
            "strategy.entry.dte_min": (3, 4),
            "strategy.entry.dte_max": (20, 45),
            "strategy.exits.exit_dte": (2, 3),
            "strategy.manage.roll_out": LIKELY["strategy.manage.roll_out"],
            "strategy.manage.tested_distance": (0.02, 0.04),
        },
    ),
    "rolled": Story(
        MARKETS,
        {
            **HELD,
            "strategy.manage.tested_action": ("roll_untested",),
            "strategy.manage.tested_distance": (0.01, 0.02, 0.04),
            "strategy.manage.roll_min_dte": (0, 1),
        },
    ),
    "adjusted": Story(
        MARKETS,
        {
            **HELD,
            "strategy.exits.scope": ("side",),
            "strategy.exits.cheap_short": (0.1, 0.3, 1.0),
            "strategy.manage.tested_action": ("close_side", "close_short"),
        },
    ),
    "refused": Story(
        MARKETS,
        {
            "strategy.size.contracts": (5, 50),
            "strategy.size.max_risk_frac": (0.3, 1.0),
            "strategy.max_positions": (3, 8),
            "risk.margin": ("alpaca", "reg_t", "ibkr", "portfolio"),
            **{
                f"risk.{name}": (0, value)
                for name, value in (
                    ("book_vega", 20.0),
                    ("trade_theta", 20.0),
                    ("book_loss", 500.0),
                    ("shock_loss", 0.02),
                    ("book_contracts", 1),
                )
            },
        },
    ),
    "halted": Story(
        MARKETS,
        {
            "strategy.max_positions": (3, 8),
            "risk.daily_loss": (0.0, 0.0005, 0.005),
            "risk.drawdown": (0.0, 0.001, 0.01),
            "risk.losses_in_row": (0, 1),
            "risk.halt": ("entries", "close_all"),
        },
    ),
    "hedged": Story(ON_SHARES, {**HELD, "strategy.hedge.delta_band": (0.5, 2.0, 5.0)}),
}
TOLD = ("any",) * 8 + tuple(STORIES)[1:]
TIMES = st.integers(0, 24 * 60 - 1).map(lambda minute: f"{minute // 60:02d}:{minute % 60:02d}")


def some_of(names: tuple[str, ...], least: int) -> st.SearchStrategy[str]:
    return st.lists(st.sampled_from(names), unique=True, min_size=least).map(lambda few: ",".join(few) or "none")


def number(setting: Setting, low: float, high: float) -> st.SearchStrategy[Any]:
    if setting.kind == "int":
        return st.integers(int(low), int(high))
    return st.floats(low, high, allow_nan=False).map(lambda value: round(value, 4)).filter(lambda v: low <= v <= high)


@cache
def whole_range(path: str) -> st.SearchStrategy[Any]:
    """Everything that the table allows a setting to be."""
    setting = BY_PATH[path]
    if setting.low is not None and setting.high is not None:
        return number(setting, setting.low, setting.high)
    kinds = {
        "choice": st.sampled_from(setting.choices or ("",)),
        "subset": some_of(setting.choices or ("",), 0),
        "weekdays": some_of(WEEKDAYS, 1),
        "time": TIMES,
    }
    return kinds[setting.kind]


@cache
def likely(path: str) -> st.SearchStrategy[Any]:
    setting = BY_PATH[path]
    if path in LIKELY:
        return st.sampled_from(LIKELY[path])
    if setting.low is None or setting.high is None:
        return whole_range(path)
    return number(setting, setting.low, min(setting.high, max(3 * setting.default, setting.low + 1)))


def weighted() -> list[str]:
    """Every path but the market's name, as often as its weight; what switches others on three times as often."""
    weight = {s.path: WEIGHTS[max((w for w in WEIGHTS if s.path.startswith(w)), key=len)] for s in SETTINGS}
    weight |= {path: 3 * weight[path] for path in SWITCHES}
    # A part that is assigned is a trade of its own, which fills of whole structures cannot follow: tested apart.
    apart = ("market.name", "assignment.share")
    return [path for path, times in weight.items() if path not in apart for _ in range(times)]


PATHS = weighted()
# Of a story: most filters and scaled sizes wait for signals that a few days do not know, and it would not begin.
STORY_PATHS = [path for path in PATHS if not path.startswith(("strategy.filters.", "strategy.size."))]


class Drawn(NamedTuple):
    """A market by name, what departs from BASE, and where the run is cut into pieces and cut short (shares)."""

    market: str
    changes: dict[str, Any]
    pieces: list[float]
    cut: float | None


@st.composite
def cases(draw: Any) -> Drawn:
    story = STORIES[draw(st.sampled_from(TOLD))]
    name = draw(st.sampled_from(story.markets))
    many = draw(st.integers(0, MOST_CHANGES))
    changes = {}
    paths = STORY_PATHS if story.settings else PATHS
    for path in draw(st.lists(st.sampled_from(paths), unique=True, min_size=many, max_size=many)):
        if BY_PATH[path].kind == "date":
            changes[path] = draw(st.integers(0, 7))  # a session by its number
        else:
            changes[path] = draw(whole_range(path) if draw(st.integers(0, 5)) == 3 else likely(path))
    changes |= {path: draw(st.sampled_from(some)) for path, some in story.settings.items()}
    values = {setting.path: setting.default for setting in SETTINGS} | BASE | changes
    if draw(st.integers(0, 19)) < 19:  # else the settings may contradict each other, or the market
        changes |= mended(name, values)
    pieces = draw(st.lists(st.floats(0, 1), max_size=6))
    return Drawn(name, changes, pieces, draw(st.floats(0, 1)) if draw(st.integers(0, 2)) == 2 else None)


def mended(name: str, values: dict[str, Any]) -> dict[str, Any]:
    """The settings that must be others for a draw to agree with itself and with its market."""
    before = dict(values)
    for _ in range(3):
        for low, high in ORDERED:
            if None not in (values[low], values[high]) and values[low] > values[high]:
                values[low], values[high] = values[high], values[low]
    on_shares = name in MODELLED or SHAPES[name].root == "SPY"
    if not on_shares:
        values["strategy.hedge.delta_band"] = 0.0
    settles = values["strategy.exits.expiry_rule"] == "settle"
    leave = 0 if settles else min(values["strategy.exits.exit_dte"], values["strategy.entry.dte_min"] - 1)
    values["strategy.exits.exit_dte"] = max(0, leave)
    if values["strategy.exits.exit_dte"] == 0 and values["strategy.manage.roll_out"] == "exit_dte":
        values["strategy.manage.roll_out"] = "tested"
    if name in SHAPES and not SHAPES[name].evening:
        values["strategy.filters.breach_model"] = "approximation"
    return {path: value for path, value in values.items() if value != before[path]}


def config_of(store: Store, changes: dict[str, Any]) -> Any:
    days = store.columns["s_day"]
    dates = {path: day_text(days[v % len(days)]) for path, v in changes.items() if BY_PATH[path].kind == "date"}
    return load(user_file=markets.NO_FILE, flags={**BASE, **changes, **dates, "market.name": store.name})


# ---------------------------------------------------------------- laws that need no file


def the_book_balances(result: BacktestResult) -> None:
    """Cash is the start and the signed fills up to each row; with the marks it is the equity that drawdowns count."""
    start = round(result.config["account.starting_cash"] * 100)
    fills, (cash, marks, liquidation, drawdown) = result.fills, result.ledger.rows[:4]
    unit2 = np.where(fills[:, F["contract"]] >= 0, 100, 1)
    moved2 = -fills[:, F["quantity"]] * fills[:, F["price2"]] * unit2 - 2 * fills[:, F["fee"]]
    by_row2 = np.zeros(len(cash), np.int64)
    np.add.at(by_row2, fills[:, F["row"]] - result.first_row, moved2)
    assert np.array_equal(2 * cash, 2 * start + np.cumsum(by_row2))
    equity = cash + marks
    assert np.array_equal(drawdown, np.maximum.accumulate(np.r_[start, equity])[1:] - equity)
    assert (liquidation <= equity).all()
    loose2 = int(moved2[fills[:, F["trade"]] < 0].sum())
    shares = int(shares_held(result)[-1]) * spot_cents(result)[-1]
    earned = int(result.trades[:, T["pnl"]].sum() + result.trades[:, T["mark"]].sum())
    assert 2 * (equity[-1] - start) == 2 * (earned + shares) + loose2


def spot_cents(result: BacktestResult) -> Any:
    return np.round(result.market.row.spot[result.first_row : result.last_row] * 100).astype(np.int64)


def the_marks_are_mids(result: BacktestResult) -> None:
    """Where all that is held is two-sided, its mids and the shares at the spot; elsewhere a row says it is a guess."""
    market, first, last = result.market, result.first_row, result.last_row
    value = np.zeros(last - first, np.int64)
    known = np.ones(last - first, bool)
    since: dict[tuple[int, int], tuple[int, int]] = {}  # trade, leg: contract, row
    spans = []
    for package in packages(result):
        for leg, c in package.closed.items():
            spans.append((leg, package.trade, *since.pop((package.trade, leg)), package.row))
            assert spans[-1][2] == c
        for leg, c in package.after.items():
            since.setdefault((package.trade, leg), (c, package.row))
    spans += [(leg, trade, *held, last) for (trade, leg), held in since.items()]
    for leg, trade, c, opened, closed in spans:
        quantity = LEG_SIGN[leg] * int(result.trades[trade][T["contracts"]])
        for r0, r1 in sessions_between(market, opened, closed):
            quote = np.zeros((3, r1 - r0), np.int32)
            leg_rows(market, c, r0, r1, quote)
            value[r0 - first : r1 - first] += quantity * 50 * (quote[0].astype(np.int64) + quote[1])
            known[r0 - first : r1 - first] &= quote[FLAG] == 0
    value += (shares_held(result) + exercise_shares(result)) * spot_cents(result)
    assert np.array_equal(result.ledger.rows[MARKS][known], value[known])
    assert (result.ledger.codes[SOFT][~known] == 1).all()


def sessions_between(market: Any, r0: int, r1: int) -> list[tuple[int, int]]:
    """Rows [r0, r1) cut at the ends of sessions."""
    spans = []
    while r0 < r1:
        end = min(int(market.ses.end[market.row.session[r0]]), r1)
        spans.append((r0, end))
        r0 = end
    return spans


def every_row_has_its_reason(result: BacktestResult) -> None:
    codes = np.unique(result.ledger.codes[VERDICT]).tolist()
    assert set(codes) <= set(REASONS) - {Reason.NONE}
    assert set(result.trades[:, T["reason"]].tolist()) <= set(REASONS) - {Reason.NONE}


def closed_trades_leave_nothing(result: BacktestResult) -> None:
    """And never more are open than the settings allow; the ledger has room for more than was written."""
    left = {package.trade: package.after for package in packages(result)}
    stock = exercise_shares(result)[-1] != 0
    for trade, legs in left.items():
        closed = result.trades[trade][T["closed"]] >= 0
        assert (legs == {}) if closed else (legs != {} or stock)
        assert not closed or stock_rows(result, trade)[:, F["quantity"]].sum() == 0
    change = np.zeros(result.last_row - result.first_row + 1, np.int64)
    np.add.at(change, result.trades[:, T["opened"]] - result.first_row, 1)
    closed = result.trades[:, T["closed"]]
    np.add.at(change, closed[closed >= 0] - result.first_row, -1)
    assert np.cumsum(change).max(initial=0) <= result.rules.max_positions
    room = result.ledger
    assert len(result.trades) < len(room.t_int) and len(result.fills) < len(room.f_int)
    assert len(result.adjustments) <= len(room.a_int)


# ---------------------------------------------------------------- a law that cannot be broken is none


def forged(result: BacktestResult) -> BacktestResult:
    """A copy of a run whose arrays may be written to."""
    ledger = result.ledger._replace(rows=result.ledger.rows.copy(), codes=result.ledger.codes.copy())
    tables = {name: getattr(result, name).copy() for name in ("trades", "fills", "adjustments")}
    return result._replace(ledger=ledger, **tables)


def fills_of(result: BacktestResult, trade: int, row: int | None = None) -> Any:
    """Indices of a trade's fills, all of them or those of a row."""
    own = result.fills[:, F["trade"]] == trade
    return np.flatnonzero(own if row is None else own & (result.fills[:, F["row"]] == row))


def sell_the_long_first(result: BacktestResult) -> None:
    """What was a short bought back alone becomes its long sold alone; the close buys the short."""
    of = ["leg", "contract", "quantity"]
    columns = [F[name] for name in of]
    early = next(p for p in packages(result) if p.reason == Reason.CHEAP_SHORT and p.after)
    (i,) = fills_of(result, early.trade, early.row)
    long = 0 if result.fills[i, F["leg"]] == 1 else 3
    own = fills_of(result, early.trade)
    j = own[np.flatnonzero(result.fills[own, F["leg"]] == long)[-1]]
    result.fills[i, columns], result.fills[j, columns] = result.fills[j, columns], result.fills[i, columns].copy()


def hold_one_contract_both_ways(result: BacktestResult) -> None:
    """The second trade, open beside the first, gets the first one's short put for its long put."""
    own = fills_of(result, 1)
    result.fills[own[result.fills[own, F["leg"]] == 0], F["contract"]] = result.trades[0, T["leg0"] + 1]


def pay_more(result: BacktestResult, row: int, trade: int) -> None:
    """$50 a share more for what a package buys."""
    fills = fills_of(result, trade, row)
    result.fills[fills[result.fills[fills, F["quantity"]] > 0][0], F["price2"]] += 10_000


def pay_more_at(reason: int) -> Callable[[BacktestResult], None]:
    def forge(result: BacktestResult) -> None:
        package = next(p for p in packages(result) if p.reason == reason)
        pay_more(result, package.row, package.trade)

    return forge


def set_cell(table: str, column: int, value: int, add: bool = False, row: int = 0) -> Callable[[BacktestResult], None]:
    def forge(result: BacktestResult) -> None:
        cells = getattr(result, table)
        cells[row, column] = value + (cells[row, column] if add else 0)

    return forge


def ledger_plus(column: int) -> Callable[[BacktestResult], None]:
    def forge(result: BacktestResult) -> None:
        result.ledger.rows[column] += 1

    return forge


def no_reason(result: BacktestResult) -> None:
    result.ledger.codes[VERDICT, 7] = Reason.NONE


def cheaper_shares(result: BacktestResult) -> None:
    result.fills[result.fills[:, F["event"]] == EVENT_HEDGE, F["price2"]] -= 2


def no_credit(result: BacktestResult) -> None:
    result.trades[result.trades[:, T["campaign"]] < np.arange(len(result.trades)), T["credit"]] = -1000


# A run, and what in its ledger breaks the law.
FORGERIES: dict[Law, tuple[str, Callable[[BacktestResult], None]]] = {
    every_row_has_its_reason: ("natural", no_reason),
    closed_trades_leave_nothing: ("natural", set_cell("trades", T["closed"], -1)),
    the_book_balances: ("full", ledger_plus(CASH)),
    the_marks_are_mids: ("full", ledger_plus(MARKS)),
    fills_between_mid_and_natural: ("natural", set_cell("fills", F["price2"], -9, add=True)),
    packages_sum_to_trades: ("rolled", set_cell("trades", T["debit"], 1, add=True)),
    orders_fill_later: ("natural", set_cell("trades", T["decided"], 500, add=True)),
    legs_stand_in_order: ("natural", set_cell("trades", T["leg0"], 1, add=True)),
    shorts_are_covered: ("cheap", sell_the_long_first),
    closes_inside_the_width: ("sides", pay_more_at(Reason.SIDE_STOP)),
    settlements_inside_the_width: ("settled", pay_more_at(Reason.SETTLED)),
    losses_are_bounded: ("tested_side", set_cell("trades", T["pnl"], -1_000_000, add=True)),
    risk_stays_in_budget: ("natural", set_cell("trades", T["max_loss"], 10_000_000)),
    rolls_pay: ("rolled", pay_more_at(Reason.ROLLED)),
    campaigns_roll_out: ("full", no_credit),
    hedge_fills_at_the_market: ("hedged", cheaper_shares),
    contracts_are_held_one_way: ("natural", hold_one_contract_both_ways),
}


@pytest.mark.parametrize("law", FORGERIES, ids=lambda law: law.__name__)
def test_a_forged_ledger_breaks_the_law(law):
    name, forge = FORGERIES[law]
    result = markets.run_named(name)
    law(result)
    other = forged(result)
    forge(other)
    with pytest.raises(AssertionError):
        law(other)


# ---------------------------------------------------------------- the draws


def same_when_cut(result: BacktestResult, share: float) -> None:
    """The run on a market that ends after one of its rows is the run's own past, signals and gates included."""
    row = result.first_row + int(share * (result.last_row - result.first_row - 1))
    row = min(settled_row(result.market, row), result.last_row - 1)
    short = Replay(truncated(result.store, row), result.config).to(row)
    assert findings(Replay(result.store, result.config).to(row), short) == []


def refusal_teaches(error: Exception) -> None:
    """A refusal names a setting and says what to do about it."""
    assert re.search(r"\b(market|account|data|strategy|costs)\.[a-z]", str(error)), error
    assert re.search(r"\b(give|set|use|narrow|must not exceed)\b", str(error)), error


def obeys(store: Store, case: Drawn, seen: Counter[str]) -> None:
    """Run one draw and hold every law against it."""
    try:
        result = run(store, config_of(store, case.changes))
    except (ConfigError, DataError) as error:
        refusal_teaches(error)
        seen["refused"] += 1
        return
    for law in FORGERIES:
        law(result)
    rows = result.last_row - result.first_row
    assert_same(result, in_pieces(result, sorted(result.first_row + int(share * rows) for share in case.pieces)))
    if case.cut is not None:
        same_when_cut(result, case.cut)
    count(result, case, seen)


def count(result: BacktestResult, case: Drawn, seen: Counter[str]) -> None:
    """What the draws have come by, so that a test that meets nothing does not pass."""
    events, reasons = set(result.fills[:, F["event"]].tolist()), set(result.trades[:, T["reason"]].tolist())
    seen["run"] += 1
    seen["traded"] += len(result.trades) > 0
    seen["adjusted"] += any(not p.rolls for p in packages(result) if p.part != 0b1111)
    seen["rolled"] += any(p.rolls for p in packages(result))
    seen["rolled out"] += bool((result.trades[:, T["campaign"]] < np.arange(len(result.trades))).any())
    seen["hedged"] += EVENT_HEDGE in events
    seen["settled"] += Reason.SETTLED in reasons
    seen["assigned"] += bool(events & {EVENT_ASSIGNMENT, EVENT_EXERCISE})
    told = set(result.ledger.codes[0].tolist())
    seen["refused"] += bool(told & set(range(Reason.MARGIN, Reason.DAILY_LOSS)))
    seen["halted"] += bool(told & {Reason.DAILY_LOSS, Reason.DRAWDOWN, Reason.LOSSES_IN_ROW, Reason.KILLED})
    seen["cut"] += case.cut is not None


def holds_for(draws: int, market: Callable[[str], Store]) -> Counter[str]:
    seen: Counter[str] = Counter()

    @settings(max_examples=draws)
    @given(cases())
    def each(case: Drawn) -> None:
        obeys(market(case.market), case, seen)

    each()
    return seen


# What the draws must at least have come by, as a share of them.
SHARES = {
    "run": 0.9,
    "traded": 0.5,
    "adjusted": 0.05,
    "rolled": 0.01,
    "rolled out": 0.001,
    "hedged": 0.02,
    "settled": 0.005,
    "assigned": 0.005,
    "refused": 0.05,
    "halted": 0.02,
    "cut": 0.1,
}


def test_a_few_hundred_random_settings_obey_every_law(market):
    met_enough(holds_for(DRAWS, market), DRAWS)


@pytest.mark.slow
def test_thousands_of_random_settings_obey_every_law(market):
    met_enough(holds_for(SLOW_DRAWS, market), SLOW_DRAWS)


def met_enough(seen: Counter[str], draws: int) -> None:
    assert not {what: seen[what] for what, share in SHARES.items() if seen[what] < share * draws}
