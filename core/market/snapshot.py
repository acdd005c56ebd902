"""The option chain of a market at one moment, for pricing and fitting outside the engine's pass."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from core.errors import DataError
from core.jit import by_reference, njit
from core.market.calendar import day_number, day_text
from core.market.store import Store, market_of
from core.quotes import leg_rows
from core.types import CALL, FLAG, GOOD, PHYSICAL_PM


class Chain(NamedTuple):
    """Two-sided quotes of one moment, sorted by (expiry, right, strike); the last eight fields are arrays[n]."""

    market: str
    date: str
    minute: int  # since midnight New York
    ts: int  # UTC ns
    spot: float  # $
    rate: float  # continuous, per year
    dividend_yield: float  # continuous, per year; NaN unknown
    modelled: bool  # the quotes come from a model: European prices by construction
    american: bool  # quotes of American options: they hold an exercise premium
    expiry: Any  # int32, days since 1970-01-01
    years: Any  # float64, ACT/365 to the expiry instant
    strike: Any  # float64, $
    is_call: Any  # bool
    bid: Any  # float64, $/share
    ask: Any  # float64, $/share
    contract: Any  # int64, number in the market


@njit
def chain_cells(m, r, bid, ask, flag):
    """Quotes (cents) and flags of every contract at row r; a contract not listed by r, or expired, is -1."""
    m = by_reference(m)
    quote = np.zeros((3, 1), np.int32)
    for c in range(bid.size):
        flag[c] = -1
        if m.con[c].first > r or m.exp[m.con[c].expiry].ts <= m.row[r].ts:
            continue
        leg_rows(m, c, r, r + 1, quote)
        bid[c], ask[c], flag[c] = quote[0, 0], quote[1, 0], quote[FLAG, 0]


def last_quoted_date(store: Store) -> str:
    """The last session with quotes of its own and an expiry still to come."""
    columns = store.columns
    rows = np.flatnonzero(np.asarray(columns["quoted"]) > 0)
    open_after = np.asarray(columns["e_ts"]).max() if len(columns["e_ts"]) else 0
    rows = rows[np.asarray(columns["ts"])[rows] < open_after]
    if not len(rows):
        raise DataError(f"market '{store.name}' has no quotes")
    return day_text(int(columns["s_day"][columns["session"][rows[-1]]]))


def row_at(store: Store, date: str, minute: int | None) -> int:
    """The row of a session with quotes of its own, the last at or before `minute` (default: the last of the day)."""
    columns = store.columns
    days = columns["s_day"]
    wanted = day_number(date)
    at = int(np.searchsorted(days, wanted))
    if at == len(days) or days[at] != wanted:
        raise DataError(
            f"market '{store.name}' has no session on {date}; it holds {day_text(days[0])} to {day_text(days[-1])}"
        )
    rows = np.arange(columns["s_start"][at], columns["s_end"][at])
    quoted = rows[columns["quoted"][rows] > 0]
    if minute is not None:
        quoted = quoted[columns["minute"][quoted] <= minute]
    if not len(quoted):
        before = "" if minute is None else f" at or before {minute // 60:02d}:{minute % 60:02d}"
        raise DataError(f"market '{store.name}' has no quotes on {date}{before}; choose another date or time")
    return int(quoted[-1])


def chain_at(store: Store, date: str, minute: int | None = None, rate: float | None = None) -> Chain:
    """The usable quotes at the last quoted row of `date` (at or before `minute`, New York).

    rate : continuous; default the market's own bill rate of that day, a DataError where it knows none
    """
    market = market_of(store)
    r = row_at(store, date, minute)
    session = market.ses[market.row[r].session]
    cash = float(session.rate) if rate is None else rate
    if not np.isfinite(cash):
        raise DataError(f"market '{store.name}' knows no rate on {date}; give --rate, such as 0.04")
    bid, ask, flag = (np.zeros(len(market.con), np.int32) for _ in range(3))
    chain_cells(market, r, bid, ask, flag)
    chosen = np.flatnonzero((flag == GOOD) & (ask > 0))
    con, exp = market.con[chosen], market.exp[market.con.expiry[chosen]]
    if not len(chosen):
        raise DataError(f"market '{store.name}' has no two-sided quote on {date}")
    return Chain(
        market=store.name,
        date=date,
        minute=int(market.row[r].minute),
        ts=int(market.row[r].ts),
        spot=float(market.row[r].spot),
        rate=cash,
        dividend_yield=float(session.dividend_yield),
        modelled=store.modelled,
        american=not store.modelled and bool((exp.style == PHYSICAL_PM).all()),
        expiry=np.array(exp.day),
        years=(exp.ts - market.row[r].ts) / (365.0 * 86400.0 * 1e9),
        strike=con.strike / 100.0,
        is_call=np.array(con.right == CALL),
        bid=bid[chosen] / 100.0,
        ask=ask[chosen] / 100.0,
        contract=chosen,
    )
