"""Markets drawn by hand: one spot and a few contracts whose prices change when a test says so.

Prices are cents and locked (bid = ask) unless a pair says otherwise, so that mid and natural are one number. The
chain's own spot stands still, so that no unchanged quote passes for stale; the bars' spot is what rules look at.
"""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import backtest_engine
from backtest_engine import BacktestResult, run
from core.config import Config, load
from core.market.build import Bars, Chain, Daily
from core.market.calendar import NS_MINUTE, Sessions, sessions_over
from core.market.store import Store, frozen
from core.types import LEAVE, REASON_NAMES, SIGNAL, SIGNALS, F, Market, Reason
from tests.markets import NO_FILE, Tape, days_of, stored

SPOT = 500.0
DAYS = ("2025-06-02", "2025-06-04")  # Monday to Wednesday
EXPIRY = "2025-07-17"  # 45 days after the first
LATER = "2025-07-31"  # 59 days
# Contract: (absolute delta, price). Sold as a condor for $2.00; a side for $1.00, $10 wide.
CONDOR = {"P460": (0.08, 100), "P470": (0.16, 200), "C530": (0.16, 200), "C540": (0.08, 100)}
NO_QUOTE = (None, None)


class Then(NamedTuple):
    """From a time ("06-03 11:00", New York, 2025) on prices (cents or (bid, ask)), deltas and spot ($) are these."""

    time: str
    prices: Mapping[str, Any] = {}
    spot: float | None = None
    deltas: Mapping[str, float] = {}  # absolute


def stamp(time: str, sessions: Sessions) -> int:
    """UTC ns of "06-03 11:00"."""
    moment = dt.datetime.fromisoformat(f"2025-{time}+00:00")
    minutes = int(moment.timestamp()) // 60
    return (minutes - int(sessions.offset[0])) * NS_MINUTE


def bars_at(ts: Any, spot: Any) -> Bars:
    """Bars that open where they close: a jump is the next bar's whole body."""
    return Bars(ts, spot, spot, spot, spot, np.full(len(ts), 1000.0))


def tape(
    *changes: Then,
    days: tuple[str, str] = DAYS,
    contracts: Mapping[str, tuple[float, Any]] = CONDOR,
    root: str = "SPY",
    minutes: int = 5,
    daily: Daily | None = None,
    depth: Mapping[str, Mapping[str, int]] | None = None,
) -> Tape:
    """A market of these contracts ("P470", or "P470 2025-07-31" of another expiry), quoted on every bar.

    minutes : between two bars; depth : volume, interest, bid_size or ask_size by contract where they are not 100
    """
    sessions = sessions_over(*days_of(days))
    spans = zip(sessions.open_ns, sessions.close_ns, strict=True)
    ts = np.concatenate(
        [np.arange(first + minutes * NS_MINUTE, last + 1, minutes * NS_MINUTE) for first, last in spans]
    )
    spot = np.full(len(ts), SPOT)
    for change in changes:
        if change.spot is not None:
            spot[ts >= stamp(change.time, sessions)] = change.spot
    parts = [quotes_of(name, contracts[name], changes, ts, sessions, root, depth or {}) for name in contracts]
    chain = Chain(*(np.concatenate(columns) for columns in zip(*(part[:-1] for part in parts), strict=True)))
    return Tape("hand", bars_at(ts, spot), chain, sessions, daily or Daily({}, {}, {}))


def quotes_of(name: str, drawn: Any, changes: Any, ts: Any, sessions: Sessions, root: str, depth: Any) -> Chain:
    """One contract's quotes at all times; without a quote its row is left out."""
    price = drawn[1]
    side = np.array([[price] * 2 if np.isscalar(price) else price] * len(ts), float)
    delta = np.full(len(ts), drawn[0])
    for change in changes:
        since = ts >= stamp(change.time, sessions)
        if name in change.prices:
            now = change.prices[name]
            side[since] = [now] * 2 if np.isscalar(now) else now
        if name in change.deltas:
            delta[since] = change.deltas[name]
    contract, _, expiry = name.partition(" ")
    kept = np.isfinite(side).all(axis=1)
    count = int(kept.sum())
    numbers = {key: np.full(count, depth.get(name, {}).get(key, 100)) for key in DEPTH}
    call = contract[0] == "C"
    return Chain(
        ts=ts[kept],
        spot=np.full(count, SPOT),
        root=np.full(count, root),
        day=np.full(count, days_of((expiry or EXPIRY,))[0]),
        strike=np.full(count, round(100 * float(contract[1:]))),
        is_call=np.full(count, call),
        bid=side[kept, 0] / 100.0,
        ask=side[kept, 1] / 100.0,
        iv=np.full(count, np.nan),
        delta=delta[kept] if call else -delta[kept],
        **numbers,
    )


DEPTH = ("volume", "interest", "bid_size", "ask_size")


def market(folder: Path, *changes: Then, **drawn: Any) -> Store:
    """The drawn market as a store."""
    return stored(tape(*changes, **drawn), folder)


def config_of(store: Store, **changes: Any) -> Config:
    """Defaults, entries on Mondays alone, no fees; and changes (exits__scope="side" of the strategy, risk__margin)."""
    flags = {"market.name": store.name, "costs.fees": "none", "strategy.entry.weekdays": "mon"}
    for name, value in changes.items():
        path = name.replace("__", ".")
        flags[
            path
            if path.startswith(("costs.", "account.", "data.", "market.", "risk.", "assignment."))
            else f"strategy.{path}"
        ] = value
    return load(user_file=NO_FILE, flags=flags)


def ran(store: Store, **changes: Any) -> BacktestResult:
    """A run; without changes a condor is decided at 10:00 of the first day and filled at 10:05."""
    return run(store, config_of(store, **changes))


def time_of(m: Market, r: int) -> str:
    """ "06-03 11:00" of a row."""
    day = np.datetime64(int(m.ses.day[m.row.session[r]]), "D")
    return f"{str(day)[5:]} {m.row.minute[r] // 60:02d}:{m.row.minute[r] % 60:02d}"


def row_at(m: Market, time: str) -> int:
    return next(r for r in range(len(m.row.ts)) if time_of(m, r) == time)


def contract_name(m: Market, c: int) -> str:
    return f"{'PC'[m.con.right[c]]}{m.con.strike[c] / 100:g}"


def orders(result: BacktestResult) -> list[tuple[str, str, str]]:
    """Every package that filled, in order: ("06-02 10:05", "enter", "+P460 -P470 -C530 +C540")."""
    m, told = result.market, []
    options = result.fills[result.fills[:, F["contract"]] >= 0]
    for _, own in itertools.groupby(options, key=lambda f: (f[F["row"]], f[F["trade"]], f[F["reason"]])):
        legs = list(own)
        words = " ".join(f"{'+' if f[F['quantity']] > 0 else '-'}{contract_name(m, f[F['contract']])}" for f in legs)
        told.append((time_of(m, legs[0][F["row"]]), REASON_NAMES[int(legs[0][F["reason"]])], words))
    return told


def reasons_on(result: BacktestResult, day: str) -> set[str]:
    """What the rows of one day ("06-03") inside the entry window were told."""
    m, codes = result.market, result.ledger.codes[0]
    at = [r for r in range(len(m.row.ts)) if time_of(m, r).startswith(day) and 600 <= m.row.minute[r] <= 900]
    return {REASON_NAMES[int(codes[r])] for r in at}


def make_up(monkeypatch: Any, signals: Mapping[str, Any], leave_at: Iterable[str] = ()) -> None:
    """Let the next runs see these signals (a number, or one by row; others unknown), and must leave at these times."""

    def view(m: Market, _columns: Any, _values: Any, _always: bool = False) -> Market:
        signal = np.full((len(SIGNALS), len(m.row.ts)), np.nan)
        signal[SIGNAL["regime"]] = 0.0
        for name, value in signals.items():
            signal[SIGNAL[name]] = value
        gate = np.zeros((2, len(m.row.ts)), np.uint8)
        for time in leave_at:
            gate[LEAVE, row_at(m, time)] = Reason.REGIME_EXIT
        return m._replace(signal=frozen(signal), gate=frozen(gate))

    monkeypatch.setattr(backtest_engine, "view_of", view)
