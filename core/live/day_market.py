"""The market of one live session: past bars, today's rows, and quotes that are filled in as they come.

The columns are those of a store with quotes on every bar, made by the importer's own functions, so that a recorded day
that is imported later shows the kernels the same numbers (a law). Rows of today that have not come yet hold no bar and
no quote; nothing that runs on a row reads them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from core.errors import DataError
from core.live.occ import Option, occ_symbol
from core.market.build import (
    BAR_MINUTES,
    ROOTS,
    STRIKE_BITS,
    Bars,
    Cells,
    CellTable,
    Chain,
    Contracts,
    Rows,
    Surfaces,
    bar_columns,
    contracts_of,
    expiry_columns,
    first_rows,
)
from core.market.calendar import NS_MINUTE, Sessions, minute_of_day
from core.market.quality import classify, mark_stale
from core.market.store import SCHEMA, Store, frozen, market_of
from core.market.vols import fill_vols
from core.types import Market

BAR_NS = BAR_MINUTES * NS_MINUTE
UNLISTED = np.iinfo(np.int32).max  # first row of a contract that has not been quoted yet


class Snapshot(NamedTuple):
    """What was seen at one row: the bar that closed and the chain. Prices in $; NaN unknown."""

    ts: int  # UTC ns, the bar's close
    bar: tuple[float, float, float, float, float]  # open, high, low, close, volume
    chain: Chain
    feed: str


def grid_of(sessions: Sessions, s: int) -> Any:
    """int64: closes of the five-minute bars of session s."""
    return np.arange(sessions.open_ns[s] + BAR_NS, sessions.close_ns[s] + 1, BAR_NS)


def empty_chain(options: list[Option]) -> Chain:
    """A chain that lists contracts and quotes none."""
    none = np.full(len(options), np.nan)
    zero = np.zeros(len(options), np.int64)
    return Chain(
        ts=zero,
        spot=none,
        root=np.array([o.root for o in options], dtype="U6"),
        day=np.array([o.expiry_day for o in options], np.int32),
        strike=np.array([o.strike_cents for o in options], np.int64),
        is_call=np.array([o.right == 1 for o in options], bool),
        bid=none,
        ask=none,
        iv=none,
        delta=none,
        volume=zero,
        interest=zero,
        bid_size=zero,
        ask_size=zero,
    )


class DayMarket:
    """Columns of a market whose last session is today; `take` fills in one row.

    past     : five-minute bars of earlier sessions, stamped at their close
    sessions : exchange sessions that cover them and today, today last
    options  : every contract that may be quoted or is held today
    """

    def __init__(self, past: Bars, sessions: Sessions, options: list[Option]) -> None:
        if not options:
            raise DataError("no option contract is listed for these settings; widen the DTE window")
        self.options = options
        today = len(sessions.day) - 1
        grid = grid_of(sessions, today)
        self.contracts: Contracts = contracts_of(empty_chain(options))
        self.occ = [
            occ_symbol(str(self.contracts.x_root[x]), int(self.contracts.x_day[x]), int(right), int(strike))
            for x, right, strike in zip(self.contracts.expiry, self.contracts.right, self.contracts.strike, strict=True)
        ]
        self.roots = sorted(set(self.contracts.x_root.tolist()))
        x = self.contracts.expiry
        self._keys = key_of(
            self.roots, self.contracts.x_root[x], self.contracts.x_day[x], self.contracts.right, self.contracts.strike
        )
        self.rows = rows_of(past, sessions, grid)
        self.first = len(past.ts)  # row of today's first bar
        self.size = len(grid)
        self.taken = 0  # snapshots
        self._seen = _LastQuotes(len(self.occ))
        self._cells()
        self._build(today)

    def _cells(self) -> None:
        count, cap = len(self.occ), self.size
        first = np.zeros(count, np.int64)
        self.cells = Cells(np.arange(count, dtype=np.int64) * cap, first, first + cap - 1, first, count * cap)
        self.table = CellTable(count * cap)
        self.q_row = self.first + np.arange(cap)
        self.spots = np.full(cap, np.nan)
        rates = np.full(len(self.rows.days), np.nan)
        self.surfaces = Surfaces(self.contracts, self.cells, self.q_row, self.spots, self.rows, rates)
        self.vols = np.full(count * cap, np.nan, np.float32)

    def _build(self, today: int) -> None:
        rows, count = self.rows, len(self.occ)
        none = np.full(count, UNLISTED, np.int64)
        columns = bar_columns(rows)
        self.columns: dict[str, Any] = {
            **columns,
            "quoted": np.zeros(len(rows.ts), np.uint8),
            "snap": np.full(len(rows.ts), -1, np.int32),
            **session_columns(rows, self.first),
            **expiry_columns(
                self.contracts, rows, first_rows(self.contracts.expiry, none, len(self.contracts.x_day)), none
            ),
            "q_base": self.cells.base,
            "q_first": np.zeros(count, np.int32),
            "q_last": np.full(count, -1, np.int32),
            **self.table.columns(),
            "q_row": self.q_row.astype(np.int32),
            "q_stick": frozen(np.zeros(0)),
            "v_index": frozen(np.zeros((0, 0), np.int32)),
            "v_slice": frozen(np.zeros((0, 9))),
            "q_vol": self.vols,
        }
        self.columns["s_decide"] = np.full(len(rows.days), -1, np.int32)
        self.scale = max(ROOTS[r][1] for r in self.roots)
        manifest = {
            "name": "live", "schema": SCHEMA, "kind": "table", "quotes": "real", "roots": dict.fromkeys(self.roots, ""),
            "price_scale": self.scale, "hash": "",
        }  # fmt: skip
        self.store = Store(Path("live"), manifest, self.columns)
        self.market: Market = market_of(self.store)
        self._row, self._con, self._exp = self.market.row.copy(), self.market.con.copy(), self.market.exp.copy()
        self._track = self.market.track.copy()
        self.market = self.market._replace(
            row=_view(self._row), con=_view(self._con), exp=_view(self._exp), track=frozen(self._track.view()),
            **{name: frozen(self.columns[name].view()) for name in ("q_bid", "q_ask", "q_flag", "q_delta", "q_vol")},
        )  # fmt: skip

    def numbers(self, chain: Chain) -> Any:
        """int64: the contract of each quote, -1 where this market does not list it."""
        if not len(chain.day):
            return np.empty(0, np.int64)
        key = key_of(self.roots, chain.root, chain.day, chain.is_call, chain.strike)
        at = np.minimum(np.searchsorted(self._keys, key), len(self._keys) - 1)
        return np.where((self._keys[at] == key) & (key >= 0), at, -1)

    def last_spot(self) -> float:
        """$ of the last bar that is known, today's or the last session's."""
        known = np.flatnonzero(np.isfinite(self.columns["spot"]))
        return float(self.columns["spot"][known[-1]])

    def row_of(self, ts: int) -> int:
        """Today's row stamped `ts` (UTC ns); a DataError where the session has none."""
        r = int(np.searchsorted(self.rows.ts, ts))
        if r >= len(self.rows.ts) or self.rows.ts[r] != ts or r < self.first:
            raise DataError(f"{ts} is no five-minute bar of today's session")
        return r

    def take(self, snapshot: Snapshot) -> int:
        """Fill in the row of a snapshot; returns it. Contracts that are not in this market are left out."""
        r = self.row_of(snapshot.ts)
        opening, high, low, close, volume = snapshot.bar
        for name, value in (("open", opening), ("high", high), ("low", low), ("spot", close), ("volume", volume)):
            self.columns[name][r] = value
        self.columns["is_bar"][r] = 1
        self._row.spot[r] = close
        self._track[0, r] = close
        self._take_chain(r, snapshot)
        return r

    def _take_chain(self, r: int, snapshot: Snapshot) -> None:
        chain = snapshot.chain
        known = self.numbers(chain)
        if not (known >= 0).any():
            self._carry(r)
            return
        q = self.taken
        chain = Chain(*(None if column is None else np.asarray(column)[known >= 0] for column in chain))
        contract = known[known >= 0]
        strike = chain.strike / 100.0
        spot = np.full(len(contract), snapshot.bar[3])
        code = classify(chain.bid, chain.ask, strike, chain.is_call, spot, chain.delta, None, self.scale)
        self._seen.mark(code, contract, chain, spot)
        at = self.cells.base[contract] + q
        self.table.put(at, chain, code)
        self.spots[q] = snapshot.bar[3]
        self.taken = q + 1
        self._row.quoted[r] = self._row.tradable[r] = self.columns["quoted"][r] = 1
        self._row.snap[r:] = self.columns["snap"][r:] = q
        self._list(contract, r)
        for x in range(len(self.contracts.x_day)):
            self.surfaces.one(self.table, q, x, False)
        self._fill_vols(q)

    def _carry(self, r: int) -> None:
        """A row without quotes knows the last snapshot and no more."""
        self._row.quoted[r] = self._row.tradable[r] = self.columns["quoted"][r] = 0

    def _list(self, contract: Any, r: int) -> None:
        fresh = contract[self._con.first[contract] > r]
        self._con.first[fresh] = self.columns["c_first"][fresh] = r
        x = self.contracts.expiry[fresh]
        self._exp.first[x] = np.minimum(self._exp.first[x], r)
        self.columns["e_first"][x] = np.minimum(self.columns["e_first"][x], r)
        self._con.snap_last[:] = self.columns["q_last"][:] = self.taken - 1

    def _fill_vols(self, q: int) -> None:
        here = np.full(len(self.occ), q, np.int32)
        out = np.empty(len(self.vols), np.float32)
        m, con = self.market, self._con
        fill_vols(
            *(frozen(a) for a in (
                np.array(m.row.spot), np.array(m.row.ts), self.columns["q_row"].copy(), np.array(m.exp.ts),
                np.array(con.expiry, np.int32), np.array(con.strike), np.array(con.right, np.int8),
                self.cells.base + q, here, here.copy(),
            )),
            m.q_bid, m.q_ask, m.q_flag, out,
        )  # fmt: skip
        at = self.cells.base + q
        self.vols[at] = out[at]


class _LastQuotes:
    """Each contract's last quote, by which one that stands still while the spot moves is found out."""

    def __init__(self, count: int) -> None:
        self.bid, self.ask, self.spot = (np.full(count, np.nan) for _ in range(3))
        self.has = np.zeros(count, bool)

    def mark(self, code: Any, contract: Any, chain: Chain, spot: Any) -> None:
        """Mark stale quotes in `code`, in place, and remember these."""
        n = len(contract)
        before = np.where(self.has[contract], n + np.arange(n), -1)
        bid, ask = np.r_[chain.bid, self.bid[contract]], np.r_[chain.ask, self.ask[contract]]
        delta, spots = np.r_[chain.delta, chain.delta], np.r_[spot, self.spot[contract]]
        codes = np.r_[code, np.zeros(n, code.dtype)]
        mark_stale(codes, bid, ask, delta, spots, np.r_[before, np.full(n, -1)])
        code[:] = codes[:n]
        self.bid[contract], self.ask[contract], self.spot[contract] = chain.bid, chain.ask, spot
        self.has[contract] = True


def key_of(roots: list[str], root: Any, day: Any, right: Any, strike: Any) -> Any:
    """int64 in the order of a market's contracts: by day, root, right, strike; -1 for another root."""
    number = np.full(len(day), -1, np.int64)
    for i, name in enumerate(roots):
        number[np.asarray(root) == name] = i
    expiry = np.asarray(day, np.int64) * len(roots) + number
    key = (expiry * 2 + np.asarray(right, np.int64)) << STRIKE_BITS | np.asarray(strike, np.int64)
    return np.where(number >= 0, key, -1)


def _view(table: Any) -> Any:
    view = table.view()
    view.flags.writeable = False
    return view


def rows_of(past: Bars, sessions: Sessions, grid: Any) -> Rows:
    """The clock of past bars and of today's, whose prices are not known yet."""
    unknown = np.full(len(grid), np.nan)
    ts = np.r_[past.ts, grid].astype(np.int64)
    bars = Bars(ts, *(np.r_[np.asarray(c, np.float64), unknown] for c in past[1:]))
    session = np.searchsorted(sessions.close_ns, ts)
    used, compact = np.unique(session, return_inverse=True)
    return Rows(
        ts=ts,
        bars=bars,
        is_bar=np.r_[np.ones(len(past.ts), np.uint8), np.zeros(len(grid), np.uint8)],
        session=compact.astype(np.int32),
        days=sessions.day[used],
        offset=sessions.offset[used],
        close_ns=sessions.close_ns[used],
    )


def session_columns(rows: Rows, first_today: int) -> dict[str, Any]:
    """Sessions by their rows; a past session's last price stands for its official close, today's is not known."""
    starts = np.flatnonzero(np.r_[True, np.diff(rows.session) != 0]).astype(np.int32)
    ends = np.r_[starts[1:], len(rows.session)].astype(np.int32)
    settle = rows.bars.close[ends - 1].copy()
    return {
        "s_start": starts,
        "s_end": ends,
        "s_day": rows.days.astype(np.int32),
        "s_offset": rows.offset.astype(np.int16),
        "s_close": minute_of_day(rows.close_ns, rows.days, rows.offset),
        "s_settle": settle,
        "s_open": rows.bars.open[starts].copy(),
        "s_rate": np.full(len(rows.days), np.nan),
        "s_dividend_yield": np.full(len(rows.days), np.nan),
    }
