"""VIX and VIX3M of an imported market: each row sees the last value that was published by then, for a week at most.

A daily close counts as published at its session's close, though the index is computed for 15 minutes more; one of a day
without a session, when that day is over. A bar's close is published when the bar ends.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from core.errors import ConfigError, DataError
from core.market.calendar import NS_DAY, NS_MINUTE, day_text, sessions_over
from core.market.import_tables import (
    NEW_YORK,
    Asked,
    days,
    need,
    numbers,
    place,
    read_table,
    spacing_minutes,
    stamps,
)

if TYPE_CHECKING:
    import pandas as pd

INDICES = ("vix", "vix3m")
DAILY_COLUMNS, BAR_COLUMNS = ("vix_close", "vix3m_close"), ("close",)
DATE_FORMATS = ("ISO8601", "%m/%d/%Y")  # Cboe's own files write 08/03/2026
OLDEST_DAYS = 7  # calendar days after which a value says nothing any more
LOWEST, HIGHEST = 5.0, 200.0  # index points; outside them a column is no VIX, or a decimal


class Published(NamedTuple):
    """Values of one index, in order of time: when each is known from (UTC ns), its New York day, index points."""

    ts: Any  # int64
    day: Any  # int64, since 1970
    points: Any  # float64


def seen(values: Published, ts: Any, day: Any) -> Any:
    """float64 (N): the last value published at or before each row; NaN without one, and OLDEST_DAYS after its day.

    ts : int64 (N), UTC ns of the rows; day : (N), their New York days
    """
    at = np.searchsorted(values.ts, ts, side="right") - 1
    result = np.full(len(ts), np.nan)
    known = at >= 0
    known[known] = np.asarray(day)[known] - values.day[at[known]] <= OLDEST_DAYS
    result[known] = values.points[at[known]]
    return result


# ---------------------------------------------------------------- reading


def chosen(frame: pd.DataFrame, path: Path, usual: Sequence[str], stated: Sequence[str]) -> list[str]:
    """The columns of VIX and, where there is one, of VIX3M: the stated ones, else the usual ones."""
    if len(stated) > len(INDICES):
        raise ConfigError(f"--vix-columns names {len(stated)} columns; give that of VIX, or of VIX and VIX3M")
    names = list(stated) or [usual[0], *(n for n in usual[1:] if n in frame.columns)]
    missing = [n for n in names if n not in frame.columns]
    if missing:
        raise DataError(
            f"{path.name} line 1: no column {', '.join(missing)} of VIX; it has "
            f"{', '.join(map(str, frame.columns[:12]))} (name it with --vix-columns)"
        )
    return names


def points_of(frame: pd.DataFrame, name: str, path: Path) -> Any:
    """A column in index points; empty is NaN, what cannot be a VIX is a DataError with its line."""
    values = numbers(frame, name, path)
    odd = np.isfinite(values) & ~((values >= LOWEST) & (values <= HIGHEST))
    if odd.any():
        at = int(np.flatnonzero(odd)[0])
        raise DataError(
            f"{place(path, frame[name], at)}: {name} is {values[at]:g}; give index points ({LOWEST:g} to {HIGHEST:g}), "
            f"or leave it empty"
        )
    return values


def in_order(path: Path, frame: pd.DataFrame, names: Sequence[str], ts: Any, day: Any) -> dict[str, Published]:
    """Published values by index; one time stamp given twice is an error."""
    order = np.argsort(ts, kind="stable")
    again = np.flatnonzero(np.diff(ts[order]) == 0)
    if len(again):
        raise DataError(f"{path.name}: {day_text(day[order][again[0]])} has two values of one time; give one")
    found = {}
    for index, name in zip(INDICES, names, strict=False):
        points = points_of(frame, name, path)[order]
        known = np.isfinite(points)
        found[index] = Published(ts[order][known], day[order][known], points[known])
    return found


def read_closes(path: Path, frame: pd.DataFrame, columns: Sequence[str], first: int, last: int) -> dict[str, Published]:
    """Daily closes of the days first to last and of the week before them."""
    dates = [name for name in frame.columns if str(name).lower() == "date"]
    need(frame, dates[:1] or ["date"], path)
    names = chosen(frame, path, DAILY_COLUMNS, columns)
    day = days(frame[dates[0]], path, DATE_FORMATS)
    inside = (day >= first - OLDEST_DAYS) & (day <= last)
    if not inside.any():
        raise DataError(
            f"{path.name} holds {day_text(day.min())} to {day_text(day.max())}, the market {day_text(first)} to "
            f"{day_text(last)}; give VIX of the market's time"
        )
    frame, day = frame[inside], day[inside]
    sessions = sessions_over(int(day.min()), int(day.max()))
    at = np.minimum(np.searchsorted(sessions.day, day), max(len(sessions.day) - 1, 0))
    ts = (day + 1) * NS_DAY
    if len(sessions.day):
        ts = np.where(sessions.day[at] == day, sessions.close_ns[at], ts)
    return in_order(path, frame, names, ts, day)


def read_vix_bars(path: Path, frame: pd.DataFrame, columns: Sequence[str], asked: Asked) -> dict[str, Published]:
    """Closes of bars, each known when its bar ends; bars of two lengths in one file are refused."""
    import pandas as pd

    names = chosen(frame, path, BAR_COLUMNS, columns)
    if asked.stamp not in ("start", "end"):
        raise DataError(f"{path.name}: say whether bars are stamped at their start or end (--stamp start|end)")
    ts = stamps(frame["timestamp"], asked.tz, path)
    local = pd.to_datetime(ts, utc=True).tz_convert(NEW_YORK).tz_localize(None)
    day = local.to_numpy().astype("datetime64[D]").astype(np.int64)
    if asked.stamp == "start":
        minutes = spacing_minutes(ts, path)
        check_length(path, np.sort(ts), minutes)
        ts = ts + minutes * NS_MINUTE
    return in_order(path, frame, names, ts, day)


def check_length(path: Path, ts: Any, minutes: int) -> None:
    """Longer bars among shorter ones, stamped at their start, would be seen before they end."""
    day = ts // NS_DAY
    within = np.diff(day) == 0
    gap, day = (np.diff(ts) // NS_MINUTE)[within], day[1:][within]
    for gaps, one in zip(np.split(gap, np.flatnonzero(np.diff(day)) + 1), np.unique(day), strict=True):
        if np.median(gaps) > minutes and len(gaps) > 1:
            raise DataError(
                f"{path.name}: bars are {minutes} minutes apart, but {np.median(gaps):g} on {day_text(one)}; give bars "
                f"of one length, or stamp them at their end (--stamp end)"
            )


# ---------------------------------------------------------------- the store's columns


def vix_columns(
    path: Path, names: Sequence[str], asked: Asked, columns: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """(columns vix and vix3m of a market's rows, what quality.json says of them).

    names   : of the columns of VIX and VIX3M in the file; none for the usual ones
    columns : the market's own, for its rows and sessions
    """
    frame = read_table(path)
    market_days = np.asarray(columns["s_day"], np.int64)
    by_bars = "timestamp" in frame.columns
    if by_bars:
        need(frame, ("timestamp",), path)
        published = read_vix_bars(path, frame, names, asked)
    else:
        published = read_closes(path, frame, names, int(market_days[0]), int(market_days[-1]))
    ts, session = np.asarray(columns["ts"]), np.asarray(columns["session"])
    found = {index: seen(values, ts, market_days[session]) for index, values in published.items()}
    report: dict[str, Any] = {"values": "bars" if by_bars else "daily closes", "sessions": len(market_days)}
    for index, values in found.items():
        whole = np.bincount(session, np.isnan(values), len(market_days)) == 0
        report[f"sessions_with_{index}"] = int(whole.sum())  # on each of their rows
    if np.isnan(found["vix"]).all():
        raise DataError(f"{path.name}: no row of the market has a VIX; give a file of the market's time")
    return found, report
