"""Sessions of the New York Stock Exchange, and New York wall-clock time without pandas.

Sessions, holidays and early closes come from exchange_calendars, which is imported only when a
store is built: a store carries its own sessions.
"""

from __future__ import annotations

import datetime as dt
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from core.errors import DataError

NS_MINUTE = 60_000_000_000
NS_DAY = 86_400_000_000_000
EPOCH = dt.date(1970, 1, 1)


class Sessions(NamedTuple):
    """Regular sessions in order: day (days since 1970), open and close as UTC ns, New York - UTC in minutes."""

    day: Any  # int32 (S)
    open_ns: Any  # int64 (S)
    close_ns: Any  # int64 (S)
    offset: Any  # int16 (S)


def day_number(date: dt.date | str) -> int:
    """'2018-02-05' or a date -> days since 1970-01-01."""
    if isinstance(date, str):
        date = dt.date.fromisoformat(date)
    return (date - EPOCH).days


def day_text(day: int) -> str:
    return (EPOCH + dt.timedelta(days=int(day))).isoformat()


def sessions_between(first_day: int, last_day: int) -> Sessions:
    """XNYS sessions of an inclusive range of days; a DataError where the calendar does not reach."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the calendar package warns about pandas internals
        import exchange_calendars as xcals

        try:
            calendar = xcals.get_calendar("XNYS", start=day_text(first_day), end=day_text(last_day))
        except ValueError as error:
            raise DataError(
                f"no exchange sessions from {day_text(first_day)} to {day_text(last_day)}: {error}"
            ) from None
        schedule = calendar.schedule
    days = schedule.index.to_numpy().astype("datetime64[D]").astype(np.int32)
    opens = schedule["open"].dt.tz_convert(None).to_numpy().astype("datetime64[ns]").astype(np.int64)
    closes = schedule["close"].dt.tz_convert(None).to_numpy().astype("datetime64[ns]").astype(np.int64)
    # A regular session opens at 09:30 New York time: that fixes the offset of the day.
    offset = (days.astype(np.int64) * NS_DAY + 570 * NS_MINUTE - opens) // NS_MINUTE
    return Sessions(days, opens, closes, offset.astype(np.int16))


@lru_cache(maxsize=8)
def sessions_of_years(first: int, last: int) -> Sessions:
    return sessions_between(day_number(f"{first}-01-01"), day_number(f"{last}-12-31"))


def sessions_over(first_day: int, last_day: int) -> Sessions:
    """Sessions of an inclusive range of days. Whole years are fetched once: the calendar is slow to build."""
    first, last = int(day_text(first_day)[:4]), int(day_text(last_day)[:4])
    years = sessions_of_years(first, max(last, first + 2))
    inside = (years.day >= first_day) & (years.day <= last_day)
    return Sessions(*(column[inside] for column in years))


def minute_of_day(ts: Any, day: Any, offset: Any) -> Any:
    """New York minute of the day of UTC ns stamps, given each one's session day and offset."""
    local = ts // NS_MINUTE + offset
    return (local - np.asarray(day, np.int64) * 1440).astype(np.int16)


def stamp(day: int, minute: int, offset: int) -> int:
    """UTC ns of a New York wall-clock minute."""
    return day * NS_DAY + (minute - offset) * NS_MINUTE


def iso_prefixes(days: Any, offsets: Any) -> tuple[list[str], list[str]]:
    """('2018-02-05T' per session, '-05:00' per session), the fixed parts of ISO stamps."""
    heads = [day_text(d) + "T" for d in days]
    tails = [f"{'-' if o < 0 else '+'}{abs(int(o)) // 60:02d}:{abs(int(o)) % 60:02d}" for o in offsets]
    return heads, tails
