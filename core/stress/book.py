"""The open book at one moment of a run, and what shocks do to it: moves of the past, and a grid of spot, vol and time.

Profit and loss is a difference of two model values at each leg's own volatility. A leg whose volatility is unknown at
that moment makes every sum it is in unknown (NaN); how many there are is told.
"""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from core.errors import DataError
from core.market.calendar import day_text
from core.report.measure import dollars
from core.shocks import Shock, shocked_book
from core.stress.events import Event
from core.types import EVENT_HEDGE, LEGS, MARKS, VIX, F, T

if TYPE_CHECKING:
    from backtest_engine import BacktestResult

SPOT_MOVES = tuple(round(-0.20 + 0.025 * i, 3) for i in range(13))  # -20 % to +10 %
VOL_FACTORS = (0.7, 0.85, 1.0, 1.25, 1.5, 2.0, 2.5)
AT_EXPIRY = np.inf  # each leg at its own
DAYS = (0.0, 1.0, 5.0, 21.0, AT_EXPIRY)
STILL = Shock(0.0, 1.0, 0.0, 0.0, 0.0)
RISKIEST = "the first row with the largest sum of maximum losses"
MOST_LOOKED_AT = 500  # rows of one open risk that are tried for known volatilities


class OpenBook(NamedTuple):
    """Everything held after a row."""

    row: int  # of the whole market
    trades: Any  # int64 (open structures, TRADE_FIELDS)
    numbers: Any  # their numbers in the run
    contracts: Any  # int64[k]
    quantity: Any  # int64[k], signed
    shares: int


class Grid(NamedTuple):
    """P&L of a book in $ by days passed, vol factor and spot move, NaN unknown."""

    days: tuple[float, ...]
    vol_factors: tuple[float, ...]
    spot_moves: tuple[float, ...]
    pnl_usd: Any  # float64 (days, vol factors, spot moves)


# ---------------------------------------------------------------- which moment


def open_risk(result: BacktestResult) -> Any:
    """Sum of the largest losses of all open structures after each row of the run, cents; as reckoned at entry."""
    risk = np.zeros(result.last_row - result.first_row + 1, np.int64)
    t = result.trades
    closed = t[:, T["closed"]] >= 0
    np.add.at(risk, t[:, T["opened"]] - result.first_row, t[:, T["max_loss"]])
    np.subtract.at(risk, t[closed, T["closed"]] - result.first_row, t[closed, T["max_loss"]])
    return np.cumsum(risk)[:-1]


def held_at(result: BacktestResult, row: int) -> OpenBook:
    """What the fills up to a row add up to."""
    t = result.trades
    still = (t[:, T["closed"]] < 0) | (t[:, T["closed"]] > row)
    numbers = np.flatnonzero((t[:, T["opened"]] <= row) & still)
    past = result.fills[result.fills[:, F["row"]] <= row]
    options = past[past[:, F["contract"]] >= 0]
    contracts, slot = np.unique(options[:, F["contract"]], return_inverse=True)
    quantity = np.zeros(len(contracts), np.int64)
    np.add.at(quantity, slot, options[:, F["quantity"]])
    held = np.flatnonzero(quantity)
    shares = past[(past[:, F["event"]] == EVENT_HEDGE) & (past[:, F["contract"]] < 0), F["quantity"]].sum()
    return OpenBook(row, t[numbers], numbers, contracts[held], quantity[held], int(shares))


def riskiest(result: BacktestResult) -> OpenBook:
    """The first book of the largest open risk whose volatilities are all known, or the first of it if none is."""
    risk = open_risk(result)
    if not len(risk) or risk.max() <= 0:
        raise DataError(
            f"the run on market '{result.store.name}' opened no structure, so there is no book to stress; see "
            "decisions.csv of a backtest for why entries were skipped"
        )
    rows = result.first_row + np.flatnonzero(risk == risk.max())[:MOST_LOOKED_AT]
    books = (held_at(result, int(row)) for row in rows)
    known = (book for book in books if np.isfinite(values(result, book, [STILL])).all())
    return next(known, held_at(result, int(rows[0])))


# ---------------------------------------------------------------- values


def repriced(result: BacktestResult, book: OpenBook, shocks: list[Shock]) -> tuple[Any, Any]:
    """($ of each holding under each shock, factor of its volatility), float64 (shocks, holdings); NaN unknown."""
    out, factors = np.empty((2, len(shocks), len(book.contracts)))
    table = np.array(shocks, np.float64)
    shocked_book(result.market, book.row, book.contracts, book.quantity, table, out, factors)
    return out, factors


def values(result: BacktestResult, book: OpenBook, shocks: list[Shock]) -> Any:
    """$ of each holding under each shock."""
    return repriced(result, book, shocks)[0]


def profits(result: BacktestResult, book: OpenBook, shocks: list[Shock]) -> Any:
    """P&L of each holding under each shock against its value now, $; the shares of the hedge are the last column."""
    change = values(result, book, shocks) - values(result, book, [STILL])
    spot = float(result.market.row.spot[book.row])
    shares = [book.shares * spot * shock.move for shock in shocks]
    return np.column_stack([change, shares])


def grid_of(result: BacktestResult, book: OpenBook) -> Grid:
    """Every cell repriced in full; skew and term structure stay as they are."""
    shocks = [Shock(move, vol, 0.0, 0.0, days) for days, vol, move in itertools.product(DAYS, VOL_FACTORS, SPOT_MOVES)]
    total = profits(result, book, shocks).sum(axis=1)
    return Grid(DAYS, VOL_FACTORS, SPOT_MOVES, total.reshape(len(DAYS), len(VOL_FACTORS), len(SPOT_MOVES)))


# ---------------------------------------------------------------- as JSON


def known(value: float) -> float | None:
    """$ in cents, None unknown."""
    return round(float(value), 2) + 0.0 if np.isfinite(value) else None


def days_value(days: float) -> float | str:
    return "expiry" if np.isinf(days) else days


def worst_cell(grid: Grid) -> dict[str, Any] | None:
    """The largest loss to the cent; of equal ones the smallest move, then the fewest days, then the calmest vol."""
    cents = np.round(grid.pnl_usd, 2)
    if not np.isfinite(cents).any():
        return None
    ties = np.argwhere(cents == np.nanmin(cents)).tolist()

    def rank(at: list[int]) -> tuple[float, float, float]:
        days, factor, move = grid.days[at[0]], grid.vol_factors[at[1]], grid.spot_moves[at[2]]
        return abs(move), days, abs(math.log(factor))

    d, v, s = min(ties, key=rank)
    return {
        "pnl_usd": known(grid.pnl_usd[d, v, s]),
        "spot_move": grid.spot_moves[s],
        "vol_factor": None if np.isinf(grid.days[d]) else grid.vol_factors[v],
        "days": days_value(grid.days[d]),
    }


def grid_value(grid: Grid) -> dict[str, Any]:
    """The grid and its worst cell; unknown cells are None and counted."""
    return {
        "spot_moves": list(grid.spot_moves),
        "vol_factors": list(grid.vol_factors),
        "days": [days_value(days) for days in grid.days],
        "pnl_usd": [[[known(cell) for cell in line] for line in page] for page in grid.pnl_usd],
        "worst": worst_cell(grid),
        "unknown_cells": int((~np.isfinite(grid.pnl_usd)).sum()),
        "cells": grid.pnl_usd.size,
    }


def event_value(event: Event, pnl_usd: float, factors: Any, equity_usd: float) -> dict[str, Any]:
    """One move of the past on the book; factors: of the volatility of each holding."""
    shock = event.shock
    mean = float(np.mean(factors)) if len(factors) else np.nan
    return {
        "key": event.key,
        "name": event.name,
        "spot_move": round(shock.move, 6),
        "vol_from": event.facts["vol"][0],
        "vol_to": event.facts["vol"][1],
        "vol_factor": round(shock.vol_factor, 6),
        "vol_factor_3m": None if event.vol_factor_3m is None else round(event.vol_factor_3m, 6),
        "strike_factor_mean": round(mean, 6) if np.isfinite(mean) else None,
        "term": round(shock.term, 6),
        "skew": shock.skew,
        "days": shock.days,
        "source": event.facts["source"],
        "skew_source": event.facts["skew_source"],
        "pnl_usd": known(pnl_usd),
        "share_of_equity": round(float(pnl_usd) / equity_usd, 6) if np.isfinite(pnl_usd) and equity_usd > 0 else None,
    }


def structure_value(result: BacktestResult, number: int, t: Any, row: int) -> dict[str, Any]:
    """One open structure as it was opened; strikes in $, None where a leg is unused."""
    con, exp = result.market.con, result.market.exp
    legs = t[T["leg0"] : T["leg0"] + LEGS]
    day = int(exp.day[t[T["expiry"]]])
    return {
        "trade": int(number),
        "expiry": day_text(day),
        "days": day - int(result.market.ses.day[result.market.row.session[row]]),
        "strikes": [float(con.strike[c]) / 100.0 if c >= 0 else None for c in legs.tolist()],
        "contracts": int(t[T["contracts"]]),
        "credit": int(t[T["credit"]]) / 100.0,
        "max_loss_usd": int(t[T["max_loss"]]) / 100.0,
    }


def book_value(result: BacktestResult, book: OpenBook, chosen: str) -> dict[str, Any]:
    """The book itself; `chosen` says why this moment."""
    from core.replay import row_time

    now = values(result, book, [STILL])[0]
    at = book.row - result.first_row
    vix = float(result.market.track[VIX, book.row])
    structures = [
        structure_value(result, n, t, book.row) for n, t in zip(book.numbers.tolist(), book.trades, strict=True)
    ]
    return {
        "time": row_time(result.market, book.row),
        "row": book.row,
        "chosen": chosen,
        "spot": float(result.market.row.spot[book.row]),
        "vix": round(vix, 2) if np.isfinite(vix) else None,
        "structures": structures,
        "hedge_shares": book.shares,
        "legs": len(book.contracts),
        "legs_without_volatility": int((~np.isfinite(now)).sum()),
        "open_risk_usd": float(dollars(book.trades[:, T["max_loss"]].sum())),
        "equity_usd": float(dollars(result.equity[at])),
        "mark_usd": float(dollars(result.ledger.rows[MARKS, at])),
        "model_value_usd": known(now.sum() + book.shares * float(result.market.row.spot[book.row])),
    }


def book_stress(result: BacktestResult, book: OpenBook, events: list[Event], chosen: str) -> dict[str, Any]:
    """(a) and (b) of a stress: the book, the moves of the past on it, and the grid."""
    described = book_value(result, book, chosen)
    if described["legs_without_volatility"] == described["legs"] > 0:
        raise DataError(
            f"market '{result.store.name}' knows no volatility of the book at {described['time'][:16]}; give another "
            "--at, or a market with two-sided quotes"
        )
    moves = [event.shock for event in events]
    table = zip(events, profits(result, book, moves).sum(axis=1), repriced(result, book, moves)[1], strict=True)
    shocks = [event_value(event, pnl, factors, described["equity_usd"]) for event, pnl, factors in table]
    worst = min((s for s in shocks if s["pnl_usd"] is not None), key=lambda s: s["pnl_usd"], default=None)
    return {
        "book": described,
        "shocks": shocks,
        "worst_shock": None if worst is None else worst["key"],
        "grid": grid_value(grid_of(result, book)),
    }
