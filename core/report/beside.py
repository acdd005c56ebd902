"""What else the money could have done over the same days: bills, the underlying, and indices that the user has.

An index is a CSV of the user's own (`--beside FILE`): a column of dates and one of closes, as Cboe publishes CNDR and
PUT. Nothing is filled in: a day without a close is left out of that line.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from core.errors import DataError
from core.market.calendar import day_number, day_text
from core.metrics import SESSIONS_PER_YEAR, max_drawdown, sharpe
from core.report.measure import bill_returns, closing_rows, session_range
from core.report.model import text
from core.report.twin import returns_of

if TYPE_CHECKING:
    from backtest_engine import BacktestResult

DATE_NAMES = ("date", "day", "trade_date")
LEAST_DAYS = 20


class Beside(NamedTuple):
    """One way to hold the money over the run's days. None where unknown."""

    name: str
    total: float | None  # return, decimals
    yearly: float | None  # growth a year
    volatility: float | None  # of daily returns, a year
    sharpe: float | None  # in excess of bills
    drawdown: float | None  # deepest fall of closes, decimals
    note: str


def beside_rows(result: BacktestResult, files: tuple[str, ...] = ()) -> list[Beside]:
    """This run, bills, the underlying, then the user's indices."""
    sessions = session_range(result)
    day = result.market.ses.day[sessions].astype(np.int64)
    ends = closing_rows(result)
    bills = bill_returns(result.market, sessions)
    if not np.isfinite(bills).all():
        bills = None
    spot = result.market.row.spot[np.concatenate(([result.first_row], ends + result.first_row))]
    interest = "cash earns bills" if result.costs.interest else "cash earns nothing"
    rows = [line("this run", returns_of(result), bills, interest)]
    if bills is not None:
        rows.append(line("Treasury bills", bills, bills, "the market's bill rates, compounded"))
    rows.append(line("buy and hold", spot[1:] / spot[:-1] - 1.0, bills, "price alone, no dividends"))
    return [*rows, *(index_line(name, day, bills) for name in files)]


def line(name: str, returns: Any, bills: Any, note: str) -> Beside:
    """returns, bills : decimals a session; bills None where unknown."""
    if len(returns) < 2 or not np.isfinite(returns).all() or (returns <= -1.0).any():
        return Beside(name, None, None, None, None, None, note)
    growth = np.cumprod(1.0 + returns)
    fall = max_drawdown(np.concatenate(([1.0], growth)))
    return Beside(
        name, float(growth[-1] - 1.0), float(growth[-1] ** (SESSIONS_PER_YEAR / len(returns)) - 1.0),
        float(returns.std(ddof=1) * np.sqrt(SESSIONS_PER_YEAR)), None if bills is None else sharpe(returns, bills),
        None if fall is None else fall.fraction, note,
    )  # fmt: skip


def index_line(file: str, day: Any, bills: Any) -> Beside:
    """A user's index over the run's days."""
    name, known = read_index(file)
    levels = np.array([known.get(d, np.nan) for d in day.tolist()])
    there = np.flatnonzero(np.isfinite(levels))
    if len(there) < LEAST_DAYS:
        raise DataError(f"{file}: has {len(there)} of the run's {len(day)} sessions, {LEAST_DAYS} or more are needed")
    missing = len(day) - len(there)
    note = f"{day_text(day[there[0]])} to {day_text(day[there[-1]])}" + (f", {missing} days missing" if missing else "")
    cut = levels[there]
    over = None if bills is None or missing else bills[there[1:]]
    return line(name, cut[1:] / cut[:-1] - 1.0, over, note)


def read_index(file: str) -> tuple[str, dict[int, float]]:
    """(name, close by day number) of a CSV with a column of dates and one of closes; the last such column is taken."""
    path = Path(file)
    try:
        with path.open(newline="", encoding="utf-8-sig") as lines:
            rows = [row for row in csv.reader(lines) if row]
    except OSError as error:
        raise DataError(f"{file}: cannot be read ({error.strerror}); check --beside") from None
    heads = [i for i, row in enumerate(rows[:20]) if row[0].strip().lower() in DATE_NAMES and len(row) > 1]
    if not heads:
        raise DataError(f"{file}: no line begins with {', '.join(DATE_NAMES)}; give a CSV with a date and a close")
    head = rows[heads[0]]
    place = next((i for i, text in enumerate(head) if "close" in text.lower()), len(head) - 1)
    known: dict[int, float] = {}
    for number, row in enumerate(rows[heads[0] + 1 :], heads[0] + 2):
        try:
            known[number_of(row[0])] = float(row[place])
        except (ValueError, IndexError):
            raise DataError(f"{file} line {number}: {','.join(row)[:60]!r} is no date and close") from None
    return path.stem, known


def number_of(text: str) -> int:
    """Day number of 2018-02-05 or 2/5/2018."""
    if "/" in text:
        month, day, year = (int(part) for part in text.split("/"))
        text = f"{year:04d}-{month:02d}-{day:02d}"
    return day_number(text[:10])


def beside_lines(rows: list[Beside]) -> list[list[str]]:
    """For tables: name, total, a year, volatility, Sharpe, drawdown, note."""
    return [
        [r.name, text(r.total, "{:+.1%}"), text(r.yearly, "{:+.2%}"), text(r.volatility, "{:.1%}"),
         text(r.sharpe, "{:.2f}"), text(r.drawdown, "{:.1%}"), r.note]
        for r in rows
    ]  # fmt: skip
