"""What live trading saw, kept as it was used: one file a bar, so that a day can be replayed and a crash loses none.

<folder>/<day>/past.npz     bars of earlier sessions that warmed the signals up
<folder>/<day>/day.json     the sessions of those bars, the contracts listed, the settings
<folder>/<day>/HHMM.npz     the bar that closed then, and the chain: quotes in cents, -1 where a side is missing
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from core.config import Config
from core.errors import DataError, JournalError
from core.live.day_market import DayMarket, Snapshot
from core.live.occ import Option, parse_occ
from core.live.records import Quote
from core.market.build import Bars, Chain
from core.market.calendar import Sessions, day_text, sessions_over

FIELDS = ("bid", "ask", "bid_size", "ask_size")


def write_atomically(path: Path, write: Any) -> None:
    """Write a file aside, flush it, and put it in its place at once; a JournalError if the disk refuses."""
    building = path.with_name(path.name + ".building")
    try:
        with building.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(building, path)
    except OSError as error:
        raise JournalError(f"{path}: {error.strerror}; what is not recorded is not traded") from None


def chain_of(quotes: Iterable[Quote], ts_ns: int, spot: float) -> Chain:
    """Quotes of the broker as an importer's chain: deltas are left to the smile of the quotes themselves."""
    quotes = list(quotes)
    options = [parse_occ(quote.occ) for quote in quotes]
    n = len(quotes)
    unknown, zero = np.full(n, np.nan), np.zeros(n, np.int64)

    def dollars(values: list[int]) -> Any:
        cents = np.array(values, float)
        return np.where(cents < 0, np.nan, cents / 100.0)

    return Chain(
        ts=np.full(n, ts_ns, np.int64),
        spot=np.full(n, spot),
        root=np.array([o.root for o in options], dtype="U6"),
        day=np.array([o.expiry_day for o in options], np.int32),
        strike=np.array([o.strike_cents for o in options], np.int64),
        is_call=np.array([o.right == 1 for o in options], bool),
        bid=dollars([quote.bid for quote in quotes]),
        ask=dollars([quote.ask for quote in quotes]),
        iv=unknown,
        delta=unknown,
        volume=zero,
        interest=zero,
        bid_size=np.array([quote.bid_size for quote in quotes], np.int64),
        ask_size=np.array([quote.ask_size for quote in quotes], np.int64),
    )


class Morning(NamedTuple):
    """What a session begins with: past bars (stamped at their close), its sessions and the contracts listed."""

    day: int
    past: Bars
    sessions: Sessions
    options: list[Option]
    stock_feed: str

    def market(self) -> DayMarket:
        return DayMarket(self.past, self.sessions, self.options)


class Recorder:
    """The files of one day."""

    def __init__(self, folder: Path, day: int) -> None:
        self.folder = folder / day_text(day)
        self.day = day
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def begin(self, morning: Morning, config: Config) -> None:
        """Keep what the session begins with."""
        columns = dict(zip(Bars._fields, morning.past, strict=True))
        write_atomically(self.folder / "past.npz", lambda file: np.savez(file, **columns))
        facts = {
            "day": morning.day,
            "sessions": morning.sessions.day.tolist(),
            "options": [list(option) for option in morning.options],
            "stock_feed": morning.stock_feed,
            "settings": config.values,
        }
        text = json.dumps(facts, sort_keys=True).encode()
        write_atomically(self.folder / "day.json", lambda file: file.write(text))

    def morning(self) -> Morning | None:
        """What the session began with, if it was recorded."""
        if not (self.folder / "day.json").exists():
            return None
        facts = json.loads((self.folder / "day.json").read_text())
        with np.load(self.folder / "past.npz") as columns:
            past = Bars(*(columns[name] for name in Bars._fields))
        return Morning(
            facts["day"], past, sessions_of_days(facts["sessions"]),
            [Option(*option) for option in facts["options"]], facts["stock_feed"],
        )  # fmt: skip

    def settings(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / "day.json").read_text())["settings"]
        return found

    def add(self, minute: int, ts: int, bar: tuple[float, ...], quotes: list[Quote], feed: str) -> Snapshot:
        """Keep one bar and its chain; the snapshot that is decided on is what can be read back."""
        columns: dict[str, Any] = {name: np.array([getattr(q, name) for q in quotes], np.int32) for name in FIELDS}
        columns["occ"] = np.array([q.occ for q in quotes], dtype="U21")
        columns["bar"], columns["ts"], columns["feed"] = np.array(bar, float), np.array(ts), np.array(feed)
        write_atomically(self.folder / f"{minute // 60:02d}{minute % 60:02d}.npz", lambda f: np.savez(f, **columns))
        return Snapshot(ts, (bar[0], bar[1], bar[2], bar[3], bar[4]), chain_of(quotes, ts, bar[3]), feed)

    def snapshots(self) -> list[Snapshot]:
        """Every recorded bar, in order of time."""
        found = []
        for path in sorted(self.folder.glob("[0-9][0-9][0-9][0-9].npz")):
            with np.load(path) as columns:
                quotes = [
                    Quote(str(occ), int(bid), int(ask), int(bs), int(size), 0, np.nan, np.nan)
                    for occ, bid, ask, bs, size in zip(
                        columns["occ"], *(columns[name].tolist() for name in FIELDS), strict=True
                    )
                ]
                ts, bar = int(columns["ts"]), columns["bar"].tolist()
                found.append(Snapshot(ts, tuple(bar), chain_of(quotes, ts, bar[3]), str(columns["feed"])))
        return found


def sessions_of_days(days: list[int]) -> Sessions:
    """The exchange sessions of these days; a DataError for one that the calendar does not hold."""
    sessions = sessions_over(days[0], days[-1])
    at = np.searchsorted(sessions.day, days)
    if len(sessions.day) <= at.max() or (sessions.day[at] != days).any():
        raise DataError("a recorded session is no session of the exchange")
    return Sessions(*(column[at] for column in sessions))
