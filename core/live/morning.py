"""The start of a session: the calendar of exchange and broker, past bars, the contracts that may be traded today."""

from __future__ import annotations

from typing import Any

import numpy as np

from core.config import Config
from core.errors import BrokerError, DataError
from core.live.broker import Broker
from core.live.clock import Clock
from core.live.occ import Option, parse_occ
from core.live.reconcile import UNDERLYING
from core.live.recording import Morning, Recorder
from core.live.records import Bar
from core.live.state import held_contracts
from core.market.build import BAR_MINUTES, Bars, five_minute
from core.market.calendar import NS_DAY, NS_MINUTE, Sessions, day_text, sessions_over

BAND = 0.25  # strikes so far from the spot on either side are looked at
BAR_NS = BAR_MINUTES * NS_MINUTE
SIP_DELAY_NS = 20 * NS_MINUTE  # what the free plan may see of the consolidated feed


class Calendar:
    """Sessions by the exchange's calendar, held against the broker's; and the difference between the two clocks."""

    def __init__(self, broker: Broker, clock: Clock) -> None:
        self.broker, self.clock = broker, clock

    def skew(self) -> int:
        """ns by which the broker's clock is ahead of ours."""
        before = self.clock.now_ns()
        said = self.broker.clock().now_ns
        return said - (before + self.clock.now_ns()) // 2

    def next_session(self) -> tuple[int, int, int]:
        """(day, open, close UTC ns) of the session that is open, or of the next one.

        A BrokerError where the broker's calendar says another closing time than the exchange's.
        """
        now = self.clock.now_ns()
        today = now // NS_DAY
        ours = sessions_over(int(today) - 1, int(today) + 10)
        s = int(np.searchsorted(ours.close_ns, now, side="right"))
        day = int(ours.day[s])
        theirs = [row for row in self.broker.calendar(day_text(day), day_text(day)) if row.day == day]
        minutes = (int(ours.close_ns[s]) // NS_MINUTE + int(ours.offset[s])) % 1440
        if not theirs or theirs[0].close_minute != minutes:
            said = f"{theirs[0].close_minute // 60}:{theirs[0].close_minute % 60:02d}" if theirs else "no session"
            raise BrokerError(
                f"{day_text(day)} closes at {minutes // 60}:{minutes % 60:02d} by the exchange's calendar, the broker "
                f"says {said}; nothing is traded until they agree"
            )
        return day, int(ours.open_ns[s]), int(ours.close_ns[s])


def bars_of(rows: list[Bar]) -> Bars:
    """The broker's bars, stamped at their close."""
    ts = np.array([row.start_ns + BAR_NS for row in rows], np.int64)
    columns = [np.array([getattr(row, name) for row in rows]) for name in ("open", "high", "low", "close", "volume")]
    return Bars(ts, *columns)


def begin_day(
    broker: Broker, config: Config, clock: Clock, recorder: Recorder, day: int, book: dict[str, Any] | None
) -> Morning:
    """Ask for past bars and today's contracts, and record them. A DataError where there are none."""
    ahead = sessions_over(day - 2 * config.live["live.warmup_sessions"] - 20, day)
    wanted = Sessions(*(column[-config.live["live.warmup_sessions"] - 1 :] for column in ahead))
    end = min(clock.now_ns(), int(wanted.open_ns[-1]))
    feed, rows = broker.bars(UNDERLYING, BAR_MINUTES, int(wanted.open_ns[0]), end - BAR_NS)
    rows = [row for row in rows if row.start_ns < wanted.open_ns[-1]]
    if not rows:
        raise DataError(f"the broker has no bars of {UNDERLYING} before {day_text(day)}; nothing can be decided")
    past, _ = five_minute(bars_of(rows), Sessions(*(column[:-1] for column in wanted)), "the broker's bars")
    held = held_contracts(book) if book else set()
    options = listed(broker, config, day, float(past.close[-1]), held)
    used = np.isin(wanted.day, np.append(np.unique(days_of(past, wanted)), day))
    morning = Morning(day, past, Sessions(*(column[used] for column in wanted)), options, feed)
    recorder.begin(morning, config)
    return morning


def days_of(past: Bars, sessions: Sessions) -> Any:
    return sessions.day[np.searchsorted(sessions.close_ns, past.ts)]


def listed(broker: Broker, config: Config, day: int, spot: float, held: set[str]) -> list[Option]:
    """Contracts in the entry's DTE window around the spot, and those that are held, whatever they are."""
    ours = {parse_occ(occ) for occ in held}
    first = min([day + config["strategy.entry.dte_min"], *(option.expiry_day for option in ours)])
    last = max([day + config["strategy.entry.dte_max"], *(option.expiry_day for option in ours)])
    low, high = spot * 100 * (1 - BAND), spot * 100 * (1 + BAND)
    found = set(ours)
    for contract in broker.contracts(UNDERLYING, day_text(first), day_text(last)):
        option = parse_occ(contract.occ)
        if contract.tradable and option.root == UNDERLYING and low <= option.strike_cents <= high:
            found.add(option)
    if not found:
        raise DataError(
            f"the broker lists no option of {UNDERLYING} from {day_text(first)} to {day_text(last)} near ${spot:.2f}"
        )
    return sorted(found)


def recorded_bars(broker: Broker, morning: Morning | None, ts: int) -> dict[int, tuple[float, ...]]:
    """Today's bars that have closed by `ts`, by their close."""
    assert morning is not None
    start = int(morning.sessions.open_ns[-1])
    _, rows = broker.bars(UNDERLYING, BAR_MINUTES, start, ts - 1)
    found = {}
    for row in rows:
        close = row.start_ns + BAR_NS
        prices = (row.open, row.high, row.low, row.close)
        if start < close <= ts and (close - start) % BAR_NS == 0 and min(prices) > 0 and row.low <= row.high:
            found[close] = (*prices, row.volume)
    return found
