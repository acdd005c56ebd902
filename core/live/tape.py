"""The market of some days as one file, for a rehearsal: bars, listed contracts and their quotes row by row.

A tape is cut from one of our market stores, or drawn for tests; the rehearsal server reads nothing else.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from core.errors import DataError
from core.live.occ import occ_symbol, parse_occ
from core.market.calendar import NS_DAY, NS_MINUTE, day_number, day_text, sessions_over

PAST_SESSIONS = 70
STRIKE_BAND = 0.13


class Tape(NamedTuple):
    """N rows of the rehearsed sessions, C contracts. Quotes in cents, -1 where there is none."""

    ts: Any  # int64 (N) UTC ns, closes of five-minute bars
    bars: Any  # float64 (N, 5) open, high, low, close ($), volume
    past_ts: Any  # int64 (M) bars of earlier sessions
    past_bars: Any  # float64 (M, 5)
    day: Any  # int32 (S) sessions that are rehearsed
    open_ns: Any  # int64 (S)
    close_ns: Any  # int64 (S)
    occ: Any  # str (C)
    bid: Any  # int32 (N, C)
    ask: Any  # int32 (N, C)


def write_tape(path: Path, tape: Tape) -> None:
    with path.open("wb") as file:
        np.savez(file, **tape._asdict())


def read_tape(path: Path) -> Tape:
    """A DataError for a file that is no tape."""
    try:
        with np.load(path) as columns:
            return Tape(*(columns[name] for name in Tape._fields))
    except (OSError, KeyError, ValueError) as error:
        raise DataError(f"{path} is no tape of a market ({error})") from None


def tape_of_store(store: Any, first: str, last: str, dte_max: int) -> Tape:
    """The sessions from `first` to `last` of a market store, with contracts to expire within `dte_max` days after.

    A DataError where the store has no five-minute bars or no quotes on them.
    """
    from core.market.snapshot import chain_cells
    from core.market.store import market_of, rows_between

    market, columns = market_of(store), store.columns
    start, end = rows_between(store, first, last)
    is_bar = np.asarray(columns["is_bar"], bool)
    rows = np.arange(start, end)[is_bar[start:end]]
    session = np.asarray(columns["session"])
    past_from = int(columns["s_start"][max(int(session[start]) - PAST_SESSIONS, 0)])
    past = np.arange(past_from, start)[is_bar[past_from:start]]
    days = np.asarray(columns["s_day"])[np.unique(session[rows])]
    spot = np.asarray(columns["spot"])[rows]
    exp, con = market.exp, market.con
    expiry = np.asarray(exp.day)[np.asarray(con.expiry)]
    strike = np.asarray(con.strike) / 100.0
    wanted = (expiry >= days[0]) & (expiry <= days[-1] + dte_max)
    wanted &= (strike >= spot.min() * (1 - STRIKE_BAND)) & (strike <= spot.max() * (1 + STRIKE_BAND))
    chosen = np.flatnonzero(wanted)
    bid = np.full((len(rows), len(chosen)), -1, np.int32)
    ask = bid.copy()
    cells = [np.zeros(len(con), np.int32) for _ in range(3)]
    for i, r in enumerate(rows):
        chain_cells(market, int(r), *cells)
        good = (cells[2][chosen] == 0) & (cells[1][chosen] > 0)
        bid[i, good], ask[i, good] = cells[0][chosen][good], cells[1][chosen][good]
    listed = (ask > 0).any(0)
    if not listed.any():
        raise DataError(f"market '{store.name}' has no option quotes from {first} to {last}")
    root = sorted(store.manifest["roots"])[0]
    if root != "SPY":
        raise DataError(f"market '{store.name}' quotes {root}; a rehearsal trades SPY")
    occ = [occ_symbol(root, int(expiry[c]), int(con[c].right), int(con[c].strike)) for c in chosen[listed]]
    names = ("open", "high", "low", "spot", "volume")

    def bars_at(at: Any) -> Any:
        return np.column_stack([np.nan_to_num(np.asarray(columns[name], float)[at]) for name in names])

    sessions = sessions_over(int(days[0]), int(days[-1]))
    inside = np.isin(sessions.day, days)
    ts = np.asarray(columns["ts"])
    return Tape(
        ts[rows], bars_at(rows), ts[past], bars_at(past), days.astype(np.int32),
        sessions.open_ns[inside], sessions.close_ns[inside], np.array(occ), bid[:, listed], ask[:, listed],
    )  # fmt: skip


def drawn_tape(
    first: str,
    sessions: int = 1,
    seed: int = 7,
    spot: float = 600.0,
    daily_vol: float = 0.008,
    dte: tuple[int, ...] = (28, 45, 60),
    past: int = 3,
    expires: str | None = None,
) -> Tape:
    """A small market for tests: a seeded walk of the spot, Black's prices on a flat smile, quotes a few cents wide.

    dte : days to expiry of the listed expiries, moved to the next Friday; expires: one more expiry, on that day
    """
    from scipy.special import ndtr

    draw = np.random.default_rng(seed)
    day = day_number(first)
    around = sessions_over(day - 4 * past - 10, day + 2 * sessions + 10)
    at = int(np.searchsorted(around.day, day))
    if around.day[at] != day:
        raise DataError(f"{first} is no session")
    used = slice(at - past, at + sessions)
    opens, closes = around.open_ns[used], around.close_ns[used]
    ts = np.concatenate(
        [np.arange(o + 5 * NS_MINUTE, c + 1, 5 * NS_MINUTE) for o, c in zip(opens, closes, strict=True)]
    )
    close = np.round(spot * np.exp(np.cumsum(draw.normal(0.0, daily_vol / np.sqrt(78), len(ts)))), 2)
    opening = np.r_[spot, close[:-1]]
    bars = np.column_stack(
        [opening, np.maximum(opening, close) + 0.05, np.minimum(opening, close) - 0.05, close, np.full(len(ts), 1e5)]
    )
    today = ts > around.open_ns[at]
    fridays = [d + (4 - (d + 3) % 7) % 7 for d in (day + n for n in dte)]
    days = sorted({*fridays, *([day_number(expires)] if expires else [])})
    rows, path = ts[today], close[today]
    strikes = np.arange(round(path[0] * 0.90), round(path[0] * 1.10) + 1)
    occ, prices = [], []
    for expiry in days:
        instant = expiry * NS_DAY + (16 * 60 + 240) * NS_MINUTE
        years = np.maximum((instant - rows) / (365 * NS_DAY), 0.0)
        for right in (0, 1):
            for strike in strikes:
                k = np.log(strike / path)
                vol = 0.16 * np.clip(1.0 - 0.8 * k, 0.6, 1.8)
                deviation = np.maximum(vol * np.sqrt(years), 1e-9)
                d1 = -k / deviation + deviation / 2
                call = path * ndtr(d1) - strike * ndtr(d1 - deviation)
                prices.append(np.maximum(call if right else call - path + strike, 0.0))
                occ.append(occ_symbol("SPY", expiry, right, int(strike) * 100))
    price = np.array(prices).T * 100.0
    half = 1.0 + 0.006 * price
    bid = np.maximum(np.floor(price - half), 0).astype(np.int32)
    ask = np.maximum(np.ceil(price + half), bid + 1).astype(np.int32)
    return Tape(
        rows, bars[today], ts[~today], bars[~today], around.day[at : at + sessions].astype(np.int32),
        around.open_ns[at : at + sessions], around.close_ns[at : at + sessions], np.array(occ), bid, ask,
    )  # fmt: skip


def words_of(tape: Tape) -> str:
    days = [day_text(d) for d in tape.day]
    expiries = sorted({parse_occ(str(occ)).expiry_day for occ in tape.occ})
    return f"{days[0]} to {days[-1]}, {len(tape.occ)} contracts, {len(expiries)} expiries"
