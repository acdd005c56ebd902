"""Compile what a live session runs, before a session waits for it: one bar of a small market."""

from __future__ import annotations

import numpy as np

from core.config import ROOT, load
from core.live.day_market import DayMarket, Snapshot
from core.live.engine import Engine
from core.live.occ import Option
from core.live.recording import chain_of
from core.live.records import Quote
from core.market.build import Bars
from core.market.calendar import day_number, sessions_over

FIRST, LAST = "2026-03-02", "2026-03-03"


def small_day() -> tuple[DayMarket, Snapshot]:
    """A day with puts and calls of one expiry, before its first bar, and that bar's snapshot."""
    sessions = sessions_over(day_number(FIRST), day_number(LAST))
    ts = np.array([sessions.close_ns[0]])
    past = Bars(ts, *(np.array([value]) for value in (600.0, 601.0, 599.0, 600.0, 1.0)))
    expiry = day_number("2026-04-17")
    options = [Option("SPY", expiry, right, strike * 100) for right in (0, 1) for strike in range(560, 641, 10)]
    day = DayMarket(past, sessions, options)
    first = int(day.rows.ts[day.first])
    quotes = [Quote(occ, 100, 102, 1, 1, first, np.nan, np.nan) for occ in day.occ]
    return day, Snapshot(first, (600.0, 601.0, 599.0, 600.0, 1.0), chain_of(quotes, first, 600.0), "none")


def warm() -> None:
    """One row, decided and thrown away."""
    day, snapshot = small_day()
    engine = Engine(load(user_file=ROOT / "no user settings"), day, 10_000_000)
    engine.step(snapshot, [])
    engine.save()


if __name__ == "__main__":
    warm()
