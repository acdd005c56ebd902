"""Sessions near events that are announced long before: Fed decisions, price releases, ex-dividend days.

The days are data (data/presets/events.yaml, data/presets/spy_dividends.yaml), each kind with the span it covers:
outside it nothing is known, and that is an error, not a quiet calendar. Where a release was moved, a session sees
the day that was on the calendar at the time.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from core.config import PRESETS, read_yaml
from core.errors import DataError
from core.market.calendar import day_number, day_text, sessions_over

EVENT_FILE, DIVIDEND_FILE = PRESETS / "events.yaml", PRESETS / "spy_dividends.yaml"
# A holder may exercise until the evening before the ex-date: that session, not the ex-date's own, is the event.
EVE_KINDS = ("exdiv",)
ALWAYS = (0, 1 << 30)  # days since 1970 between which an event that was never moved was on the calendar


class Events(NamedTuple):
    """Events of one kind: day, and the first and last session day on which it was on the calendar, int32 (E) each."""

    day: Any
    seen_from: Any
    seen_until: Any
    first: int  # days since 1970 that the list covers, inclusive
    last: int
    file: str  # where they are listed


def read_events(kind: str) -> Events:
    """The listed events of a kind: fomc, cpi or exdiv."""
    if kind == "exdiv":
        table, file = read_yaml(DIVIDEND_FILE), DIVIDEND_FILE.name
        days = [day_number(text) for text in table["dividends"]]
    else:
        table, file = read_yaml(EVENT_FILE)[kind], EVENT_FILE.name
        days = [day_number(f"{year}-{text}") for year, texts in table["days"].items() for text in texts.split()]
    seen = dict.fromkeys(days, ALWAYS)
    for moved in table.get("moved", ()):
        notice = day_number(moved["notice"])
        seen[day_number(moved["planned"])] = (ALWAYS[0], notice)
        if moved["held"] != "none":
            seen[day_number(moved["held"])] = (notice + 1, ALWAYS[1])
    rows = np.array([(day, *seen[day]) for day in sorted(seen)], np.int32)
    first, last = (day_number(text) for text in table["covered"])
    return Events(rows[:, 0], rows[:, 1], rows[:, 2], first, last, file)


def sessions_near_events(days: Any, kinds: Iterable[str], ahead: int) -> Any:
    """bool (S): whether a session lies within `ahead` sessions before an event's session, its own included.

    days  : days since 1970 of sessions, ascending; gaps do not matter, distances are counted on the exchange's calendar
    kinds : any of fomc, cpi, exdiv; ahead : sessions, >= 0
    An event on a day without a session belongs to the next one; an ex-dividend day to the session before it.
    DataError where a kind's list does not reach from the first session to `ahead` sessions past the last.
    """
    days = np.asarray(days, np.int32)
    near = np.zeros(days.size, bool)
    if not days.size:
        return near
    # A week before: an event on a holiday belongs to the first session. After: holidays are never half of the days.
    calendar = sessions_over(int(days[0]) - 7, int(days[-1]) + 2 * ahead + 14).day
    at = np.searchsorted(calendar, days)
    for kind in kinds:
        events = read_events(kind)
        early = int(kind in EVE_KINDS)
        check_span(kind, events, days, int(calendar[at[-1] + ahead + early]))
        own = np.searchsorted(calendar, events.day) - early
        for e in np.flatnonzero((events.day > calendar[0]) & (own < calendar.size)):
            distance = own[e] - at
            seen = (days >= events.seen_from[e]) & (days <= events.seen_until[e])
            near |= (distance >= 0) & (distance <= ahead) & seen
    return near


def check_span(kind: str, events: Events, days: Any, last_needed: int) -> None:
    """DataError unless the list covers the sessions and the days ahead of the last one."""
    if events.first <= days[0] and last_needed <= events.last:
        return
    raise DataError(
        f"events of kind {kind}: the sessions {day_text(days[0])} to {day_text(days[-1])} need every event up to "
        f"{day_text(last_needed)}, and {events.file} covers {day_text(events.first)} to {day_text(events.last)}; "
        f"narrow market.start and market.end, lower strategy.filters.event_days, or take {kind} out of "
        "strategy.filters.avoid_events"
    )
