"""Assembling a store from tables of bars and quotes: rows, contracts, cells, surfaces.

bars + quotes -> sessions and rows -> contracts -> quality -> cells -> slices, deltas, marks -> columns
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from core.errors import DataError
from core.market.calendar import NS_MINUTE, Sessions, day_text, minute_of_day, sessions_over
from core.market.quality import GOOD as CLEAN
from core.market.quality import classify, counts, mark_stale
from core.market.slices import (
    SLICE_COLUMNS,
    fill_forward,
    fit_side,
    own_smile_delta,
    pair_strikes,
    slice_row,
    smile_vol,
    stickiness,
)
from core.pricing.black_scholes import black_price
from core.types import BAD_MARKED, BAD_UNMARKED, CASH_AM, CASH_PM, GOOD, NS_PER_YEAR, PHYSICAL_PM

BAR_MINUTES = 5
ROOTS = {  # root: settlement, price scale of its spreads against SPY
    "SPY": (PHYSICAL_PM, 1.0),
    "XSP": (CASH_PM, 1.0),
    "SPXW": (CASH_PM, 10.0),
    "SPX": (CASH_AM, 10.0),
}
STYLES = {PHYSICAL_PM: "American, physical, p.m.", CASH_PM: "European, cash, p.m.", CASH_AM: "European, cash, a.m."}
SLICE_DAYS = 250  # expiries beyond it get no surface
STRIKE_BITS = 31  # strikes in cents are int32
OPEN_MINUTE = 570
NAMED_DATES = 50  # dates that quality.json names of each kind of gap


class Bars(NamedTuple):
    """Bars in order, stamped at their close (UTC ns); prices in $. volume may be zeros."""

    ts: Any
    open: Any
    high: Any
    low: Any
    close: Any
    volume: Any


class Chain(NamedTuple):
    """Quotes, one row each. ts UTC ns of the quote; spot $ at that time; strike in cents; prices $; NaN missing."""

    ts: Any
    spot: Any
    root: Any  # str per row
    day: Any  # expiry, days since 1970
    strike: Any
    is_call: Any
    bid: Any
    ask: Any
    iv: Any
    delta: Any
    volume: Any
    interest: Any
    bid_size: Any
    ask_size: Any
    mark: Any = None  # $, a price known without its two sides: it marks and never fills


def picked(chain: Chain, rows: Any) -> Chain:
    """The chain's rows at a mask or at indices."""
    return Chain(*(None if column is None else np.asarray(column)[rows] for column in chain))


class Daily(NamedTuple):
    """Official values by session day: close, opening settlement value, cash rate. Dicts of day -> value."""

    close: dict[int, float]
    opening: dict[int, float]
    rate: dict[int, float]


NO_DAILY = Daily({}, {}, {})


# ---------------------------------------------------------------- sessions and rows


def session_of(ts: Any, sessions: Sessions) -> Any:
    """Session of each stamp, -1 outside (open, close]."""
    at = np.searchsorted(sessions.close_ns, ts)
    inside = (at < len(sessions.day)) & (ts > sessions.open_ns[np.minimum(at, len(sessions.day) - 1)])
    return np.where(inside, at, -1)


def five_minute(bars: Bars, sessions: Sessions, source: str = "bars") -> tuple[Bars, dict[str, Any]]:
    """Bars on the five-minute grid of their sessions, and what was dropped or missing.

    Of bars with one stamp the later in the file stays.
    """
    order = np.argsort(bars.ts, kind="stable")
    bars = Bars(*(np.asarray(c)[order] for c in bars))
    session = session_of(bars.ts, sessions)
    prices = np.column_stack([bars.open, bars.high, bars.low, bars.close])
    sane = np.isfinite(prices).all(1) & (prices > 0).all(1)
    sane &= (bars.high >= prices.max(1) - 1e-9) & (bars.low <= prices.min(1) + 1e-9)
    keep = (session >= 0) & sane
    kept = np.flatnonzero(keep)
    again = kept[:-1][np.diff(bars.ts[kept]) == 0]
    keep[again] = False
    report: dict[str, Any] = {
        "bars_read": len(bars.ts),
        "extended_hours_dropped": int((session < 0).sum()),
        "bad_ohlc_dropped": int(((session >= 0) & ~sane).sum()),
        "duplicate_bars": len(again),
    }
    if not keep.any():
        raise DataError(f"{source}: no bar lies inside a regular New York session; check --tz and --stamp")
    bars = Bars(*(c[keep] for c in bars))
    session = session[keep]
    step = BAR_MINUTES * NS_MINUTE
    slot = -(-(bars.ts - sessions.open_ns[session]) // step)  # ceiling: a bar belongs to the grid bar it ends in
    close_ts = sessions.open_ns[session] + slot * step
    starts = np.flatnonzero(np.r_[True, np.diff(close_ts) != 0])
    last = np.r_[starts[1:], len(close_ts)] - 1
    grid = Bars(
        ts=close_ts[starts],
        open=bars.open[starts],
        high=np.maximum.reduceat(bars.high, starts),
        low=np.minimum.reduceat(bars.low, starts),
        close=bars.close[last],
        volume=np.add.reduceat(bars.volume, starts),
    )
    used = np.unique(session)
    expected = ((sessions.close_ns - sessions.open_ns) // step)[used]
    have = np.bincount(session[starts], minlength=len(sessions.day))[used]
    report["missing_bars"] = int((expected - have).sum())
    short = [day_text(sessions.day[s]) for s, n, e in zip(used, have, expected, strict=True) if n < e]
    between = sessions.day[used[0] : used[-1] + 1]
    absent = [day_text(d) for d in np.setdiff1d(between, sessions.day[used])]
    for name, dates in (("sessions_with_gaps", short), ("sessions_missing", absent)):
        report[name] = len(dates)
        report[f"{name}_first"] = dates[:NAMED_DATES]
    return grid, report


def daily_rows(days: Any, opening: Any, high: Any, low: Any, close: Any) -> tuple[Bars, Sessions]:
    """Two rows a session from daily prices: the open (stamped 09:35) and the close."""
    sessions = sessions_over(int(days[0]), int(days[-1]))
    at = np.searchsorted(sessions.day, days)
    known = (at < len(sessions.day)) & (sessions.day[np.minimum(at, len(sessions.day) - 1)] == days)
    at, pick = at[known], np.flatnonzero(known)
    first = sessions.open_ns[at] + BAR_MINUTES * NS_MINUTE
    flat = opening[pick]
    rows = Bars(
        ts=np.column_stack([first, sessions.close_ns[at]]).ravel(),
        open=np.column_stack([flat, flat]).ravel(),
        high=np.column_stack([flat, high[pick]]).ravel(),
        low=np.column_stack([flat, low[pick]]).ravel(),
        close=np.column_stack([flat, close[pick]]).ravel(),
        volume=np.zeros(2 * len(pick)),
    )
    return rows, sessions


class Rows(NamedTuple):
    """The clock: bars and, after them, end-of-day snapshots that come later than the last bar."""

    ts: Any
    bars: Bars
    is_bar: Any
    session: Any
    days: Any
    offset: Any
    close_ns: Any


def clock(bars: Bars, sessions: Sessions, chain: Chain | None, evening: bool = True, daily: bool = False) -> Rows:
    """Rows of the market.

    evening : a snapshot after the session's close adds a row of its own (quotes of once or twice a day)
    daily   : so does each snapshot between the two rows of a day that has daily prices alone
    """
    ts = bars.ts
    extra_ts = np.empty(0, np.int64)
    extra_spot = np.empty(0)
    bar_session = session_of(ts, sessions)
    if chain is not None:
        times, at = np.unique(chain.ts, return_index=True)
        s = np.clip(np.searchsorted(sessions.close_ns, times - 4 * 60 * NS_MINUTE), 0, len(sessions.day) - 1)
        same = ((times // NS_MINUTE + sessions.offset[s]) // 1440 == sessions.day[s]) & np.isin(s, bar_session)
        late = times > sessions.close_ns[s]
        own = same & late & evening
        if daily:
            own |= same & ~late & (times > sessions.open_ns[s]) & ~np.isin(times, ts)
        extra_ts, extra_spot = times[own], chain.spot[at[own]]
        if np.isnan(extra_spot).any():
            raise DataError("a snapshot between or after the bars has no underlying price; add one to the chain")
    all_ts = np.r_[ts, extra_ts]
    order = np.argsort(all_ts, kind="stable")
    opening, high, low, close = (np.r_[c, extra_spot][order] for c in (bars.open, bars.high, bars.low, bars.close))
    volume = np.r_[bars.volume, np.zeros(len(extra_ts))][order]
    all_ts = all_ts[order]
    is_bar = np.r_[np.ones(len(ts), np.uint8), np.zeros(len(extra_ts), np.uint8)][order]
    session = np.clip(np.searchsorted(sessions.close_ns, all_ts - 4 * 60 * NS_MINUTE), 0, len(sessions.day) - 1)
    inside = session_of(all_ts, sessions)
    session = np.where(inside >= 0, inside, session)
    used, compact = np.unique(session, return_inverse=True)
    return Rows(
        ts=all_ts,
        bars=Bars(all_ts, opening, high, low, close, volume),
        is_bar=is_bar,
        session=compact.astype(np.int32),
        days=sessions.day[used],
        offset=sessions.offset[used],
        close_ns=sessions.close_ns[used],
    )


# ---------------------------------------------------------------- contracts and cells


class Contracts(NamedTuple):
    """Sorted by expiry (day, root), right, strike."""

    expiry: Any
    strike: Any
    right: Any
    x_day: Any
    x_root: Any
    x_put: Any
    x_call: Any
    of_row: Any  # contract of each chain row


def contracts_of(chain: Chain) -> Contracts:
    roots = np.array(sorted(set(chain.root.tolist())))
    root_no = np.zeros(len(chain.root), np.int64)
    for i, root in enumerate(roots):
        root_no[chain.root == root] = i
    # One whole number per contract, ordered by day, root, right, strike.
    expiry_key = chain.day.astype(np.int64) * len(roots) + root_no
    key = (expiry_key * 2 + chain.is_call) << STRIKE_BITS | chain.strike.astype(np.int64)
    table, of_row = np.unique(key, return_inverse=True)
    strike, right = table & ((1 << STRIKE_BITS) - 1), (table >> STRIKE_BITS) & 1
    expiries, expiry = np.unique(table >> (STRIKE_BITS + 1), return_inverse=True)
    put = np.zeros((len(expiries), 2), np.int32)
    call = np.zeros((len(expiries), 2), np.int32)
    for x in range(len(expiries)):
        inside = np.flatnonzero(expiry == x)
        first, last = inside[0], inside[-1] + 1
        split = first + int((right[first:last] == 0).sum())
        put[x], call[x] = (first, split), (split, last)
    return Contracts(
        expiry=expiry.astype(np.int32),
        strike=strike.astype(np.int32),
        right=right.astype(np.int8),
        x_day=(expiries // len(roots)).astype(np.int32),
        x_root=roots[expiries % len(roots)],
        x_put=put,
        x_call=call,
        of_row=of_row.ravel(),
    )


def snapshots_on(chain: Chain, rows: Rows) -> tuple[Any, Any]:
    """(row at which each chain quote is seen or -1, whether it belongs to a session of the market).

    Quotes from before the opening belong to none: they would pass for the first bar's.
    """
    row = np.searchsorted(rows.ts, chain.ts)
    valid = row < len(rows.ts)
    row = np.where(valid, row, 0)
    day, minute = np.divmod(chain.ts // NS_MINUTE + rows.offset[rows.session[row]], 1440)
    valid &= (day == rows.days[rows.session[row]]) & (minute >= OPEN_MINUTE)
    return np.where(valid, row, -1), valid


class Cells(NamedTuple):
    """Quote cells contract by contract, each contiguous in snapshots."""

    base: Any
    first: Any
    last: Any
    of_row: Any  # cell of each kept chain row
    size: int


def cells_of(contract: Any, snapshot: Any, count: int) -> Cells:
    first = np.full(count, np.iinfo(np.int32).max, np.int64)
    last = np.full(count, -1, np.int64)
    np.minimum.at(first, contract, snapshot)
    np.maximum.at(last, contract, snapshot)
    length = np.maximum(last - first + 1, 0)
    first[length == 0] = 0
    base = np.r_[0, np.cumsum(length)[:-1]]
    return Cells(base, first, last, base[contract] + snapshot - first[contract], int(length.sum()))


def cents(values: Any) -> Any:
    return np.round(np.nan_to_num(values) * 100.0).astype(np.int32)


# ---------------------------------------------------------------- the store's columns


def expiry_instants(days: Any, roots: Any) -> Any:
    """UTC ns at which each expiry settles: the close of its day (early closes too), the open for a.m. roots."""
    sessions = sessions_over(int(days.min()) - 7, int(days.max()) + 7)
    at = np.searchsorted(sessions.day, days, side="right") - 1
    if (at < 0).any():
        raise DataError(f"expiry {day_text(days.min())} lies before the exchange calendar")
    opening = np.array([ROOTS[r][0] == CASH_AM for r in roots])
    return np.where(opening, sessions.open_ns[at], sessions.close_ns[at])


def expiry_sessions(x_day: Any, days: Any) -> Any:
    """Number of each expiry's session; beyond the market it goes on counting exchange sessions. -1: none.

    A market that ends early must leave its structures on the same day as one that goes on.
    """
    at = np.searchsorted(days, x_day)
    inside = np.minimum(at, len(days) - 1)
    ahead = sessions_over(int(days[-1]), int(max(x_day.max(), days[-1])) + 7).day
    later = len(days) - 1 + np.searchsorted(ahead, x_day, side="right") - 1
    return np.where(x_day > days[-1], later, np.where(days[inside] == x_day, inside, -1)).astype(np.int32)


def session_columns(rows: Rows, daily: Daily) -> dict[str, Any]:
    starts = np.flatnonzero(np.r_[True, np.diff(rows.session) != 0]).astype(np.int32)
    ends = np.r_[starts[1:], len(rows.session)].astype(np.int32)
    last_bar = np.array([s + np.flatnonzero(rows.is_bar[s:e])[-1] for s, e in zip(starts, ends, strict=True)])
    bar_close = rows.bars.close[last_bar]
    days = rows.days.tolist()
    return {
        "s_start": starts,
        "s_end": ends,
        "s_day": rows.days.astype(np.int32),
        "s_offset": rows.offset.astype(np.int16),
        "s_close": minute_of_day(rows.close_ns, rows.days, rows.offset),
        "s_settle": np.array([daily.close.get(d, c) for d, c in zip(days, bar_close, strict=True)]),
        "s_open": np.array([daily.opening.get(d, o) for d, o in zip(days, rows.bars.open[starts], strict=True)]),
        "s_rate": np.array([daily.rate.get(d, np.nan) for d in days]),
        "s_dividend_yield": np.full(len(days), np.nan),
    }


def decision_rows(sessions: dict[str, Any], rows: Rows, carried: bool) -> Any:
    """With one snapshot a day: the first row from 15 minutes before the close on (daily bars: the first row).

    The rule knows the clock alone, not whether a snapshot will come: that is not known in time.
    -1: quotes come all day, any row decides. -2: the session has no such row.
    """
    result = np.full(len(rows.days), -1, np.int32)
    if not carried:
        return result
    daily = len(rows.ts) <= 3 * len(rows.days)
    for s, (start, end) in enumerate(zip(sessions["s_start"], sessions["s_end"], strict=True)):
        limit = 0 if daily else rows.close_ns[s] - 15 * NS_MINUTE
        late = np.flatnonzero((rows.ts[start:end] >= limit) & (rows.ts[start:end] < rows.close_ns[s]))
        result[s] = start + late[0] if len(late) else -2
    return result


def bar_columns(rows: Rows) -> dict[str, Any]:
    columns = {
        "ts": rows.ts,
        "spot": rows.bars.close,
        "session": rows.session,
        "minute": minute_of_day(rows.ts, rows.days[rows.session], rows.offset[rows.session]),
        "vix": np.full(len(rows.ts), np.nan),
        "vix3m": np.full(len(rows.ts), np.nan),
        "clock": np.full(len(rows.ts), np.nan),
        "since": np.full(len(rows.ts), np.nan),
        "move": np.full(len(rows.ts), np.nan),
        "is_bar": rows.is_bar,
    }
    for name in ("open", "high", "low", "volume"):
        columns[name] = np.asarray(getattr(rows.bars, name), np.float64)
    return columns


def expiry_columns(contracts: Contracts, rows: Rows, first_row: Any, first_of_contract: Any) -> dict[str, Any]:
    return {
        "e_day": contracts.x_day,
        "e_session": expiry_sessions(contracts.x_day, rows.days),
        "e_ts": expiry_instants(contracts.x_day, contracts.x_root),
        "e_clock": np.full(len(contracts.x_day), np.nan),
        "e_style": np.array([ROOTS[r][0] for r in contracts.x_root], np.int8),
        "e_first": first_row.astype(np.int32),
        "e_put_lo": contracts.x_put[:, 0],
        "e_put_hi": contracts.x_put[:, 1],
        "e_call_lo": contracts.x_call[:, 0],
        "e_call_hi": contracts.x_call[:, 1],
        "c_expiry": contracts.expiry,
        "c_strike": contracts.strike,
        "c_right": contracts.right,
        "c_first": first_of_contract.astype(np.int32),
    }


class Seated(NamedTuple):
    """A chain's quotes on the clock: one per contract and snapshot, in order of time."""

    chain: Chain
    contracts: Contracts
    contract: Any  # per quote
    snapshot: Any
    row: Any
    snap_rows: Any
    counts: dict[str, int]  # rows read, outside the bars, duplicate, superseded


def seated(chain: Chain, rows: Rows) -> Seated:
    """The last quote of each contract in each row of the clock.

    Earlier quotes of the same row are superseded, equal stamps among them duplicates; quotes of no session
    of the market lie outside. A chain that is outside altogether is a DataError.
    """
    row, valid = snapshots_on(chain, rows)
    if not valid.any():
        first, last = day_text(rows.days[0]), day_text(rows.days[-1])
        quote_days = chain.ts[[chain.ts.argmin(), chain.ts.argmax()]] // (1440 * NS_MINUTE)
        raise DataError(
            f"chain and bars share no session: bars {first} to {last}, "
            f"quotes {day_text(quote_days[0])} to {day_text(quote_days[1])}; give bars of the chain's dates"
        )
    inside = np.flatnonzero(valid)
    order = inside[np.lexsort((chain.ts[inside], row[inside]))]
    read = len(chain.ts)
    chain, row = picked(chain, order), row[order]
    contracts = contracts_of(chain)
    snap_rows, snapshot = np.unique(row, return_inverse=True)
    key = contracts.of_row.astype(np.int64) * len(snap_rows) + snapshot
    by_key = np.argsort(key, kind="stable")
    same_next = key[by_key][1:] == key[by_key][:-1]
    same_time = chain.ts[by_key][1:] == chain.ts[by_key][:-1]
    keep = np.sort(by_key[np.r_[~same_next, True]])
    numbers = {
        "rows_read": read,
        "rows_outside_the_bars": int((~valid).sum()),
        "duplicate": int((same_next & same_time).sum()),
        "superseded": int((same_next & ~same_time).sum()),
    }
    return Seated(picked(chain, keep), contracts, contracts.of_row[keep], snapshot[keep], row[keep], snap_rows, numbers)


def chain_columns(chain: Chain, rows: Rows, carried: bool, rates: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Contracts, cells and surfaces of a chain on the clock; and its quality report."""
    chain, contracts, contract, snapshot, row, snap_rows, numbers = seated(chain, rows)
    cells = cells_of(contract, snapshot, len(contracts.strike))
    scale = max(ROOTS[r][1] for r in set(contracts.x_root.tolist()))
    table = CellTable(cells.size)
    strike = chain.strike / 100.0
    code = classify(chain.bid, chain.ask, strike, chain.is_call, chain.spot, chain.delta, chain.mark, scale)
    mark_stale(code, chain.bid, chain.ask, chain.delta, chain.spot, previous_quote(contract, snapshot))
    table.put(cells.of_row, chain, code)
    snap_spot = np.zeros(len(snap_rows))
    snap_spot[snapshot] = chain.spot
    surfaces = Surfaces(contracts, cells, snap_rows, snap_spot, rows, rates)
    v_index, v_slice = surfaces.fit(table, carried)
    columns = {
        **expiry_columns(
            contracts, rows, first_rows(contracts.expiry[contract], row, len(contracts.x_day)),
            first_rows(contract, row, len(contracts.strike)),
        ),
        "q_base": cells.base.astype(np.int64),
        "q_first": cells.first.astype(np.int32),
        "q_last": cells.last.astype(np.int32),
        **table.columns(),
        "q_row": snap_rows.astype(np.int32),
        "q_stick": stickiness(v_index, v_slice),
        "v_index": fill_forward(v_index, v_slice),
        "v_slice": v_slice,
    }  # fmt: skip
    report: dict[str, Any] = {
        "quotes": {**counts(code), **{k: numbers.pop(k) for k in ("duplicate", "superseded")}},
        **numbers,
        "slices": len(v_slice),
    }
    report["roots"] = {r: STYLES[ROOTS[r][0]] for r in sorted(set(contracts.x_root.tolist()))}
    return columns, report


def first_rows(group: Any, row: Any, count: int) -> Any:
    result = np.full(count, np.iinfo(np.int32).max, np.int64)
    np.minimum.at(result, group, row)
    return result


def previous_quote(contract: Any, snapshot: Any) -> Any:
    """Index of each quote's predecessor of the same contract, -1 for the first."""
    order = np.lexsort((snapshot, contract))
    result = np.full(len(contract), -1, np.int64)
    same = contract[order][1:] == contract[order][:-1]
    result[order[1:][same]] = order[:-1][same]
    return result


class CellTable:
    """Growing columns of the quote cells; absent cells are unmarked until a surface marks them."""

    def __init__(self, size: int) -> None:
        self.bid = np.zeros(size, np.int32)
        self.ask = np.zeros(size, np.int32)
        self.flag = np.full(size, BAD_UNMARKED, np.uint8)
        self.listed = np.zeros(size, bool)
        self.extra = {name: np.full(size, np.nan, np.float32) for name in ("q_delta", "q_iv")}
        self.whole = {n: np.zeros(size, np.int32) for n in ("q_volume", "q_interest", "q_bid_size", "q_ask_size")}

    def put(self, at: Any, chain: Chain, code: Any) -> None:
        good = code == CLEAN
        self.bid[at] = np.where(good, cents(chain.bid), 0)
        self.ask[at] = np.where(good, cents(chain.ask), 0)
        self.flag[at] = np.where(good, GOOD, BAD_UNMARKED)
        self.listed[at] = True
        self.extra["q_delta"][at] = chain.delta
        self.extra["q_iv"][at] = chain.iv
        wholes = (chain.volume, chain.interest, chain.bid_size, chain.ask_size)
        for name, column in zip(self.whole, wholes, strict=True):
            self.whole[name][at] = column
        if chain.mark is not None:
            self.mark(at[~good], chain.mark[~good])

    def mark(self, at: Any, price: Any) -> None:
        """Marks ($) of unusable cells, flagged: bid + ask is the mark to the half-cent."""
        ok = np.isfinite(price) & self.listed[at]
        at, price = at[ok], np.maximum(price[ok], 0.0)
        half_cents = np.round(price * 200.0).astype(np.int64)
        self.bid[at] = half_cents // 2
        self.ask[at] = half_cents - half_cents // 2
        self.flag[at] = BAD_MARKED

    def columns(self) -> dict[str, Any]:
        return {"q_bid": self.bid, "q_ask": self.ask, "q_flag": self.flag, **self.extra, **self.whole}


class Surfaces:
    """Slices, deltas and fallback marks of every snapshot and expiry, in order of time."""

    def __init__(self, contracts: Contracts, cells: Cells, snap_rows: Any, spot: Any, rows: Rows, rates: Any) -> None:
        self.contracts, self.cells, self.spot = contracts, cells, spot
        self.ts = rows.ts[snap_rows]
        self.rate = np.nan_to_num(rates[rows.session[snap_rows]])
        self.instants = expiry_instants(contracts.x_day, contracts.x_root)

    def fit(self, table: CellTable, carried: bool) -> tuple[Any, Any]:
        """(v_index, v_slice); slices only where quotes come once or twice a day."""
        shape = (len(self.spot), len(self.contracts.x_day)) if carried else (0, 0)
        v_index = np.full(shape, -1, np.int32)
        slices: list[Any] = []
        for q, x in zip(*self.listed(), strict=True):
            row = self.one(table, q, x, carried)
            if row is not None:
                v_index[q, x] = len(slices)
                slices.append(row)
        return v_index, np.array(slices).reshape(-1, SLICE_COLUMNS)

    def listed(self) -> tuple[Any, Any]:
        """(snapshot, expiry) of every pair with a listed contract, in order of time."""
        starts = self.contracts.x_put[:, 0]
        first = np.minimum.reduceat(self.cells.first, starts)
        count = np.maximum.reduceat(self.cells.last, starts) - first + 1
        x = np.repeat(np.arange(len(starts)), count)
        q = np.arange(len(x)) - np.repeat(np.cumsum(count) - count - first, count)
        order = np.lexsort((x, q))
        return q[order], x[order]

    def one(self, table: CellTable, q: int, x: int, carried: bool) -> Any:
        """Deltas and marks of one expiry of one snapshot, and its slice if one is kept."""
        low, high = self.contracts.x_put[x, 0], self.contracts.x_call[x, 1]
        c = np.arange(low, high)
        c = c[(self.cells.first[c] <= q) & (q <= self.cells.last[c])]
        years = (self.instants[x] - self.ts[q]) / NS_PER_YEAR
        if len(c) == 0 or years <= 0.0 or years > SLICE_DAYS / 365:
            return None
        at = self.cells.base[c] + q - self.cells.first[c]
        bid, ask = table.bid[at] / 100.0, table.ask[at] / 100.0
        good = table.flag[at] == GOOD
        side = pair_strikes(self.contracts.strike[c] / 100.0, self.contracts.right[c] == 1, np.arange(len(c)))
        discount = float(np.exp(-self.rate[q] * years))
        self.deltas(table, at, side, bid, ask, good, years, self.spot[q], discount)
        row = None
        if carried:
            fit = fit_side(side, bid, ask, good, years, self.spot[q], discount)
            row = slice_row(fit, years, self.spot[q], discount)
        self.marks(table, at, side, bid, ask, good, row, years, discount)
        return row

    def deltas(
        self,
        table: CellTable,
        at: Any,
        side: Any,
        bid: Any,
        ask: Any,
        good: Any,
        years: float,
        spot: float,
        discount: float,
    ) -> None:
        """Own-smile deltas where the vendor gives none."""
        lacking = ~np.isfinite(table.extra["q_delta"][at])
        if not (lacking.any() and good.any()):
            return
        by_strike = [np.where(s >= 0, v[np.maximum(s, 0)], np.nan) for s in (side.put, side.call) for v in (bid, ask)]
        ok = [np.where(s >= 0, good[np.maximum(s, 0)], False) for s in (side.put, side.call)]
        put, call = np.empty(len(side.strike)), np.empty(len(side.strike))
        own_smile_delta(side.strike, *by_strike, *ok, years, spot, discount, put, call)
        own = np.full(len(at), np.nan)
        own[side.put[side.put >= 0]] = put[side.put >= 0]
        own[side.call[side.call >= 0]] = call[side.call >= 0]
        table.extra["q_delta"][at[lacking]] = own[lacking]

    def marks(
        self,
        table: CellTable,
        at: Any,
        side: Any,
        bid: Any,
        ask: Any,
        good: Any,
        row: Any,
        years: float,
        discount: float,
    ) -> None:
        """Fallback marks of unusable cells: parity with the other right, else the slice."""
        if good.all() or row is None:
            return
        forward = row[1]
        for own, other, sign in ((side.put, side.call, -1.0), (side.call, side.put, 1.0)):
            for i in np.flatnonzero(own >= 0):
                if table.flag[at[own[i]]] != BAD_UNMARKED:
                    continue
                strike = side.strike[i]
                if other[i] >= 0 and good[other[i]]:
                    mid = (bid[other[i]] + ask[other[i]]) / 2.0
                    price = mid + sign * discount * (forward - strike)
                else:
                    vol = smile_vol(row, float(np.log(strike / forward)))
                    price = black_price(sign > 0, forward, strike, years, vol, discount)
                table.mark(at[own[i] : own[i] + 1], np.array([price]))


def no_chain_columns() -> dict[str, Any]:
    """Empty quote columns of a market that has no table of quotes."""
    return {
        "q_base": np.zeros(0, np.int64),
        "q_first": np.zeros(0, np.int32),
        "q_last": np.zeros(0, np.int32),
        "q_bid": np.zeros(0, np.int32),
        "q_ask": np.zeros(0, np.int32),
        "q_flag": np.zeros(0, np.uint8),
        "q_delta": np.zeros(0, np.float32),
        "q_row": np.zeros(0, np.int32),
        "q_stick": np.zeros(0),
        "v_index": np.zeros((0, 0), np.int32),
        "v_slice": np.zeros((0, SLICE_COLUMNS)),
    }


def assemble(
    bars: Bars, sessions: Sessions, chain: Chain, daily: Daily, daily_bars: bool = False
) -> tuple[dict[str, Any], dict[str, Any], str]:
    """(columns, quality report, kind) of a market made of bars (or two rows a day) and real quotes."""
    per_session = len(np.unique(chain.ts)) / max(1, len(np.unique(chain.ts // (1440 * NS_MINUTE))))
    carried = per_session <= 2
    rows = clock(bars, sessions, chain, evening=carried, daily=daily_bars)
    session = session_columns(rows, daily)
    quotes, report = chain_columns(chain, rows, carried, session["s_rate"])
    quoted = np.zeros(len(rows.ts), np.uint8)
    quoted[quotes["q_row"]] = 1
    snap = np.cumsum(quoted).astype(np.int32) - 1
    session["s_decide"] = decision_rows(session, rows, carried)
    columns = {**bar_columns(rows), "quoted": quoted, "snap": snap, **session, **quotes}
    report["sessions_with_quotes"] = len(np.unique(rows.session[quotes["q_row"]]))
    unknown = int(np.isnan(session["s_rate"]).sum())
    if unknown:
        report["rates"] = f"none known on {unknown} of {len(session['s_rate'])} sessions: discounted at 0 there"
    return columns, report, "carried" if carried else "table"
