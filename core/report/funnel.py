"""The funnel: how many bars reach each step from the market to a fill, and which reason stops the others.

A bar is stopped by the reason in its verdict. Stages stand in the order in which the engine asks (that of gates
on signals is strategies.gates.GATES).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from core.types import REASONS, VERDICT, Reason, T

if TYPE_CHECKING:
    from backtest_engine import BacktestResult

# What a bar that comes through a stage has, and the reasons that stop bars there.
LIVE_HALTS = (Reason.CLOSING_ONLY, Reason.DAY_CAP, Reason.EQUITY_LOSS, Reason.REFUSED, Reason.CLOCK_SKEW)
STAGES: tuple[tuple[str, tuple[int, ...]], ...] = (
    ("quotes are known", (Reason.NONE, Reason.NO_QUOTES, Reason.SCRIPTED, Reason.STALE)),
    ("in entry window", (Reason.WEEKDAY, Reason.WINDOW, Reason.EXPIRY_DAY)),
    ("no halt", (Reason.DAILY_LOSS, Reason.DRAWDOWN, Reason.LOSSES_IN_ROW, Reason.KILLED, *LIVE_HALTS)),
    ("no exit on the bar", tuple(c for c, (kind, _) in REASONS.items() if kind in ("exit", "adjust", "open"))),
    ("no order working", (Reason.ORDER_WORKING, Reason.CLOSE_WORKING, Reason.MISSED)),
    ("position free", (Reason.MAX_POSITIONS,)),
    ("schedule", (Reason.SCHEDULE, Reason.COOLDOWN)),
    ("signals are known", (Reason.SIGNAL_UNKNOWN,)),
    ("events", (Reason.EVENT,)),
    ("regime", (Reason.REGIME,)),
    ("VIX", (Reason.VIX_LEVEL,)),
    ("term structure", (Reason.TERM,)),
    ("IV rank", (Reason.IV_RANK,)),
    ("realised/implied", (Reason.VOL_RATIO,)),
    ("consensus", (Reason.CONSENSUS,)),
    ("stretch", (Reason.STRETCH,)),
    ("RSI", (Reason.RSI,)),
    ("ADX", (Reason.ADX,)),
    ("stochastic", (Reason.STOCHASTIC,)),
    ("volume", (Reason.VOLUME,)),
    ("moving average", (Reason.SMA_DISTANCE,)),
    ("fuzzy confidence", (Reason.CONFIDENCE,)),
    ("fuzzy score", (Reason.SCORE,)),
    ("expiry", (Reason.NO_EXPIRY, Reason.EDGE_UNKNOWN)),
    ("short strikes", (Reason.NO_STRIKE,)),
    ("wings", (Reason.NO_WING,)),
    ("no opposite leg", (Reason.OPPOSITE_LEG,)),
    ("two-sided quotes", (Reason.ONE_SIDED,)),
    ("liquidity", (Reason.ILLIQUID,)),
    ("credit", (Reason.LOW_CREDIT, Reason.ROLL_OUT_CREDIT)),
    ("breach probability", (Reason.BREACH, Reason.BREACH_UNKNOWN)),
    ("size", (Reason.SIZE_ZERO, Reason.SIZE_SCALED, Reason.SIZE_UNKNOWN)),
    ("caps on losses", (Reason.TRADE_LOSS, Reason.BOOK_LOSS, Reason.BOOK_CONTRACTS, Reason.EXPIRY_LOSS)),
    (
        "caps on greeks",
        (
            Reason.RISK_UNKNOWN,
            *range(Reason.TRADE_DELTA, Reason.TRADE_LOSS),
            *range(Reason.BOOK_DELTA, Reason.BOOK_LOSS),
        ),
    ),
    ("loss under shocks", (Reason.SHOCK_LOSS,)),
    ("margin", (Reason.MARGIN,)),
)
ALL, ORDERS, FILLS = "all bars", "entry orders", "fills"


class Stage(NamedTuple):
    """Bars that come through a stage, and the bars it stopped."""

    name: str
    bars: int
    stopped: int


def funnel(result: BacktestResult) -> list[Stage]:
    """Every stage from all bars to fills. Orders are the bars on which one was sent; fills those orders that filled."""
    verdict = result.ledger.codes[VERDICT]
    counts = np.bincount(verdict, minlength=1 + max(REASONS))
    left = int(counts.sum())
    stages = [Stage(ALL, left, 0)]
    for name, reasons in STAGES:
        stopped = int(counts[list(reasons)].sum())
        left -= stopped
        stages.append(Stage(name, left, stopped))
    stages.append(Stage(ORDERS, left, 0))
    sent = verdict[result.trades[:, T["decided"]] - result.first_row] == Reason.ENTER
    filled = int(sent.sum())
    return [*stages, Stage(FILLS, filled, left - filled)]


def funnel_figures(stages: list[Stage]) -> list[dict[str, Any]]:
    """For metrics.json."""
    return [{"stage": stage.name, "bars": stage.bars} for stage in stages]


def shown_stages(stages: list[Stage]) -> list[Stage]:
    """Those worth a line: the ends, and every stage that stopped something."""
    return [stage for stage in stages if stage.stopped or stage.name in (ALL, ORDERS, FILLS)]
