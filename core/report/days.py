"""The account day by day: its worst days with what the market did, and where P&L came from as time went on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from core.attribution import PARTS
from core.market.calendar import day_text
from core.report.measure import Measured, closing_rows, dollars, session_range
from core.report.model import text
from core.types import T

if TYPE_CHECKING:
    from backtest_engine import BacktestResult

WORST = 10


class BadDay(NamedTuple):
    """One of the worst sessions: P&L marked at mid, and the day's moves; None where unknown."""

    day: str
    pnl: float  # $
    share: float  # of the equity before, per cent
    index: float | None  # the underlying's close on the close before, per cent
    vix: float | None  # change in points
    vix_close: float | None
    open_structures: int  # at the session's beginning


def worst_days(result: BacktestResult) -> list[BadDay]:
    """The WORST sessions by P&L, the worst first; sessions without a loss are left out."""
    market, sessions, ends = result.market, session_range(result), closing_rows(result)
    equity = dollars(result.equity)[ends]
    before = np.concatenate(([result.config["account.starting_cash"]], equity[:-1]))
    pnl = np.round(equity - before, 2)
    rows = ends + result.first_row
    spot, vix = market.row.spot[rows], result.store.columns["vix"][rows]
    opened, closed = result.trades[:, T["opened"]], result.trades[:, T["closed"]]
    found = []
    for i in np.argsort(pnl, kind="stable")[:WORST].tolist():
        if pnl[i] >= 0:
            break
        start = int(market.ses.start[sessions[i]])
        held = int(((opened < start) & ((closed < 0) | (closed >= start))).sum())
        index = 100.0 * (spot[i] / spot[i - 1] - 1.0) if i else np.nan
        move = vix[i] - vix[i - 1] if i else np.nan
        known = [float(v) if np.isfinite(v) else None for v in (index, move, vix[i])]
        share = float(100.0 * pnl[i] / before[i])
        found.append(BadDay(day_text(market.ses.day[sessions[i]]), float(pnl[i]), share, *known, held))
    return found


def bad_day_lines(days: list[BadDay]) -> list[list[str]]:
    """Day, P&L, share of equity, index, VIX with its move, structures open."""
    return [
        [d.day, f"{d.pnl:+,.0f}", f"{d.share:+.2f}%", text(d.index, "{:+.2f}%"), text(d.vix, "{:+.1f}"),
         text(d.vix_close, "{:.1f}"), str(d.open_structures)]
        for d in days
    ]  # fmt: skip


class Causes(NamedTuple):
    """P&L of closed trades by cause, added up as they closed."""

    row: Any  # of the closes, ascending
    total: Any  # float64 (PARTS, n): $ so far


def causes_over_time(result: BacktestResult, measured: Measured) -> Causes:
    closed = result.trades[:, T["closed"]]
    order = np.lexsort((np.arange(len(closed)), closed))
    order = order[closed[order] >= 0]
    return Causes(closed[order], np.cumsum(dollars(measured.parts[order]), axis=0).T.reshape(len(PARTS), -1))
