"""`data download`: Alpaca's bars of SPY and of its options into a market store, a session at a time, resumable.

Alpaca sells no history of option quotes, only of trades. A five-minute bar's last trade therefore stands for a quote's
mid, and bid and ask are MODELLED around it by the spread rule that is fitted to SPY's quotes (core.quotes.calm_spread);
the store says so. A contract without a trade in a bar has no quote there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from core.errors import DataError
from core.live.broker import Broker
from core.live.morning import bars_of
from core.live.occ import Option, parse_occ
from core.live.reconcile import UNDERLYING
from core.live.recording import write_atomically
from core.market.build import BAR_MINUTES, NO_DAILY, STYLES, Bars, Chain, assemble, five_minute
from core.market.calendar import NS_MINUTE, Sessions, day_number, day_text, sessions_over
from core.market.store import Store
from core.market.writer import write_store
from core.pricing.black_scholes import black_greeks
from core.pricing.implied_vol import implied_vol
from core.quotes import calm_spread
from core.types import NS_PER_YEAR, PHYSICAL_PM

BAND = 0.12  # of the day's range: strikes that are asked for
SYMBOLS = 100  # of one request
BAR_NS = BAR_MINUTES * NS_MINUTE
FIRST_OPTIONS = "2024-02-01"  # Alpaca's option history begins here
Say = Callable[[str], None]


def download(broker: Broker, folder: Path, name: str, start: str, end: str, dte: tuple[int, int], say: Say) -> Store:
    """Fetch what is not there yet of the sessions from `start` to `end` and make the market.

    dte : least and most days to expiry of the contracts; say : told after each session. Sessions that were fetched
    before stand below data/downloads and are not asked for again.
    """
    if start < FIRST_OPTIONS:
        raise DataError(f"Alpaca's option history begins {FIRST_OPTIONS}; --start is {start}")
    sessions = sessions_over(day_number(start), day_number(end))
    if not len(sessions.day):
        raise DataError(f"no session from {start} to {end}")
    folder.mkdir(parents=True, exist_ok=True)
    for s, day in enumerate(sessions.day.tolist()):
        path = folder / f"{day_text(day)}.npz"
        if not path.exists():
            found = session_of(broker, sessions, s, dte)
            write_atomically(path, lambda file, found=found: np.savez(file, **found))
        with np.load(path) as kept:
            say(f"{day_text(day)}: {len(kept['ts'])} bars, {len(kept['occ'])} contracts, {len(kept['at'])} option bars")
    return store_of(folder, sessions, name)


def session_of(broker: Broker, sessions: Sessions, s: int, dte: tuple[int, int]) -> dict[str, Any]:
    """Bars of the underlying and of its options in one session, as columns."""
    opens, closes, day = int(sessions.open_ns[s]), int(sessions.close_ns[s]), int(sessions.day[s])
    feed, rows = broker.bars(UNDERLYING, BAR_MINUTES, opens, closes - BAR_NS)
    if not rows:
        raise DataError(f"the broker has no bars of {UNDERLYING} on {day_text(day)}; leave that session out")
    bars = bars_of(rows)
    low, high = float(bars.low.min()) * (1 - BAND), float(bars.high.max()) * (1 + BAND)
    listed = [
        c.occ
        for c in broker.contracts(UNDERLYING, day_text(day + dte[0]), day_text(day + dte[1]), True)
        if low <= parse_occ(c.occ).strike_cents / 100 <= high
    ]
    at, contract, price, volume = [], [], [], []
    for part in parts_of(listed):
        found = broker.option_bars(part, BAR_MINUTES, opens, closes - BAR_NS)
        for occ, option_bars in found.items():
            for bar in option_bars:
                at.append(bar.start_ns + BAR_NS)
                contract.append(listed.index(occ))
                price.append(bar.close)
                volume.append(bar.volume)
    return {
        "feed": np.array(feed), "ts": bars.ts, "bars": np.column_stack(bars[1:]), "occ": np.array(listed, dtype="U21"),
        "at": np.array(at, np.int64), "contract": np.array(contract, np.int64), "price": np.array(price, float),
        "volume": np.array(volume, np.int64),
    }  # fmt: skip


def parts_of(symbols: list[str]) -> Iterator[list[str]]:
    for first in range(0, len(symbols), SYMBOLS):
        yield symbols[first : first + SYMBOLS]


def store_of(folder: Path, sessions: Sessions, name: str) -> Store:
    """The fetched sessions as a market."""
    from core.market.catalog import store_folder

    ts, bars, chains = [], [], []
    for day in sessions.day.tolist():
        with np.load(folder / f"{day_text(day)}.npz") as kept:
            columns = {key: kept[key] for key in kept.files}
        ts.append(columns["ts"])
        bars.append(columns["bars"])
        chains.append(chain_of(columns))
    raw = Bars(np.concatenate(ts), *np.vstack(bars).T)
    grid, report = five_minute(raw, sessions, "the broker's bars")
    chain = Chain(*(np.concatenate(parts) if parts[0] is not None else None for parts in zip(*chains, strict=True)))
    if not len(chain.ts):
        raise DataError("no option traded in these sessions; widen --dte or the dates")
    columns, quality, kind = assemble(grid, sessions, chain, NO_DAILY)
    quality["bars"] = report
    quality["quotes_are"] = "last trades of five-minute bars; bid and ask are modelled around them"
    facts = {
        "name": name, "kind": kind, "price_scale": 1.0,
        "source": {"format": "alpaca", "bars": "iex", "chain": "trades"},
        "timezone": "America/New_York", "roots": {UNDERLYING: {"settlement": STYLES[PHYSICAL_PM], "multiplier": 100}},
        "quotes": "modelled", "thin": False,
    }  # fmt: skip
    return write_store(store_folder() / name, columns, facts, quality)


def chain_of(columns: dict[str, Any]) -> Chain:
    """One session's option bars as quotes: the last trade, and a modelled spread around it."""
    options = [parse_occ(str(occ)) for occ in columns["occ"]]
    at, of = columns["at"], columns["contract"]
    spot = np.interp(at.astype(float), columns["ts"].astype(float), columns["bars"][:, 3])
    half = half_spreads(options, at, of, columns["price"], spot)
    bid = np.maximum(np.floor((columns["price"] - half) * 100 + 1e-9), 0.0) / 100
    ask = np.ceil((columns["price"] + half) * 100 - 1e-9) / 100
    unknown, zero = np.full(len(at), np.nan), np.zeros(len(at), np.int64)

    def each(field: str, kind: Any) -> Any:
        return np.array([getattr(option, field) for option in options], kind)[of] if options else np.zeros(0, kind)

    return Chain(
        at, spot, each("root", "U6"), each("expiry_day", np.int32), each("strike_cents", np.int64),
        each("right", np.int64) == 1, bid, np.maximum(ask, bid + 0.01), unknown, unknown, columns["volume"],
        zero, zero, zero,
    )  # fmt: skip


def half_spreads(options: list[Option], at: Any, of: Any, price: Any, spot: Any) -> Any:
    """Half of the modelled bid-ask width of each trade, $."""
    half = np.empty(len(at))
    for i, c in enumerate(of.tolist()):
        option = options[c]
        years = ((option.expiry_day * 1440 + 21 * 60) * NS_MINUTE - int(at[i])) / NS_PER_YEAR
        call, strike = option.right == 1, option.strike_cents / 100
        vol = implied_vol(call, price[i], spot[i], strike, years, 1.0)
        delta, _, vega, _, _ = black_greeks(call, spot[i], spot[i], strike, years, vol, 1.0)
        width = calm_spread(delta, vega, 1.0) if np.isfinite(vol) else calm_spread(0.5, 0.0, 1.0)
        half[i] = width / 2
    return half
