"""Reading tables of market data: every value that cannot be read is told with its file, line and remedy.

A frame's index holds the line of the file (of a Parquet file: the row), so that a value keeps its
place through filters and from wide rows to long ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from core.errors import DataError
from core.market.build import ROOTS, Bars, Chain
from core.market.calendar import NS_MINUTE, day_text, sessions_over

if TYPE_CHECKING:
    import pandas as pd

NEW_YORK = "America/New_York"
ISO = ("ISO8601",)
PARQUET = (".parquet", ".pq")
RIGHTS = {"c": True, "call": True, "calls": True, "p": False, "put": False, "puts": False}
WITH_OFFSET = r"(?:Z|UTC|[+-]\d{2}:?\d{2})$"
UNIX_NS = {"s": 10**9, "ms": 10**6}


class Asked(NamedTuple):
    """What the user states about the files: zone of naive times, where bars are stamped, roots, column map."""

    tz: str | None = None
    stamp: str | None = None
    roots: tuple[str, ...] = ()
    map_file: Path | None = None


def place(path: Path, column: pd.Series, at: int) -> str:
    """'chain.csv line 17' of the at-th value of a column."""
    return f"{path.name} {'row' if path.suffix.lower() in PARQUET else 'line'} {column.index[at]}"


def first_bad(bad: Any) -> int:
    return int(np.flatnonzero(np.asarray(bad))[0])


def check_delimiter(path: Path, delimiter: str, skip: int) -> None:
    """One column where another mark stands between the names: the wrong delimiter."""
    if path.suffix.lower() in (".gz", ".zip", ".bz2", ".xz"):
        return
    with path.open(encoding="utf-8", errors="replace") as file:
        lines = [file.readline() for _ in range(skip + 1)]
    if delimiter not in lines[-1] and any(mark in lines[-1] for mark in ";\t|,"):
        raise DataError(
            f"{path.name} line {skip + 1}: one column {lines[-1].strip()[:60]!r}; "
            f"save it with {'commas' if delimiter == ',' else repr(delimiter)} between the columns"
        )


def check_exists(path: Path) -> None:
    if not path.is_file():
        raise DataError(f"{path}: no such file; check the path")


def column_names(path: Path) -> list[str]:
    """The names of a file's columns, without reading its rows."""
    import pyarrow.parquet as pq

    if path.suffix.lower() not in PARQUET:
        return list(map(str, read_table(path, rows=0).columns))
    check_exists(path)
    try:
        return list(map(str, pq.read_schema(path).names))
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from None


def unreadable(path: Path, error: Exception) -> DataError:
    return DataError(
        f"{path.name}: cannot be read ({' '.join(str(error).split())[:140]}); is the file complete, "
        f"and is it {'Parquet' if path.suffix.lower() in PARQUET else 'a CSV'}?"
    )


def read_table(path: Path, delimiter: str = ",", skip: int = 0, rows: int | None = None) -> pd.DataFrame:
    """A CSV or Parquet file as a frame indexed by line (row); whatever cannot be read is a DataError."""
    import pandas as pd

    check_exists(path)
    try:
        if path.suffix.lower() in PARQUET:
            frame = pd.read_parquet(path)
            frame.index = pd.RangeIndex(1, len(frame) + 1)
            return frame
        check_delimiter(path, delimiter, skip)
        frame = pd.read_csv(
            path, sep=delimiter, skiprows=skip, nrows=rows, skipinitialspace=True, low_memory=False, index_col=False
        )
    except (OSError, ValueError) as error:  # Arrow's and pandas' own errors are ValueErrors
        raise unreadable(path, error) from None
    frame.columns = frame.columns.astype(str).str.strip()
    frame.index = pd.RangeIndex(skip + 2, skip + 2 + len(frame))
    return frame


def need(frame: pd.DataFrame, names: Sequence[str], path: Path) -> None:
    missing = [n for n in names if n not in frame.columns]
    if missing:
        held = ", ".join(map(str, frame.columns[:12]))
        raise DataError(f"{path.name} line 1: no column {', '.join(missing)}; it has {held}")
    if len(frame) == 0:
        raise DataError(f"{path.name}: no rows; give a file with data")


def titled(name: str, titles: Mapping[str, str] | None) -> str:
    """A column's name as the user's file has it."""
    other = (titles or {}).get(name, name)
    return name if other == name else f"{name} (column {other})"


def numbers(
    frame: pd.DataFrame, name: str, path: Path, fallback: float = np.nan, titles: Mapping[str, str] | None = None
) -> Any:
    """A column as float64; empty is NaN; text that is no number is a DataError with its line."""
    import pandas as pd

    if name not in frame.columns:
        return np.full(len(frame), fallback)
    column = frame[name]
    values = pd.to_numeric(column, errors="coerce")
    bad = values.isna() & column.notna()
    if bad.any() and not pd.api.types.is_numeric_dtype(column):
        bad &= column.astype(str).str.strip() != ""
    if bad.any():
        at = first_bad(bad)
        raise DataError(
            f"{place(path, column, at)}: {titled(name, titles)} is {column.iloc[at]!r}; give a number or leave it empty"
        )
    return values.to_numpy(np.float64)


# ---------------------------------------------------------------- times


def parsed(column: pd.Series, path: Path, formats: Sequence[str], what: str, utc: bool = False) -> pd.Series:
    """Text as times by the first format that reads every value; else the first value that none reads."""
    import pandas as pd

    tried = []
    for form in formats:
        times = pd.to_datetime(column, format=form, errors="coerce", utc=utc)
        bad = times.isna().to_numpy()
        if not bad.any():
            return times
        tried.append(first_bad(bad))
    at = max(tried)
    value = column.iloc[at]
    if value is None or value != value or not str(value).strip():
        raise DataError(f"{place(path, column, at)}: {column.name} is empty; give a {what}")
    wanted = " or ".join("ISO 8601 (2026-07-22)" if f == "ISO8601" else f for f in formats)
    raise DataError(f"{place(path, column, at)}: {column.name} is {value!r}, which is not a {what} written as {wanted}")


def days(column: pd.Series, path: Path, formats: Sequence[str] = ISO) -> Any:
    """Days since 1970 of a column of dates; whole numbers are read as YYYYMMDD."""
    import pandas as pd

    if pd.api.types.is_datetime64_any_dtype(column.dtype):
        dates = column
        if dates.isna().any():
            raise DataError(f"{place(path, column, first_bad(dates.isna()))}: {column.name} is empty; give a date")
    else:
        codes, values = pd.factorize(column, use_na_sentinel=False)
        lines = column.index[np.unique(codes, return_index=True)[1]]  # codes count up in order of appearance
        text = pd.Series(values, index=lines, name=column.name)
        distinct = parsed(text.astype(str) if text.dtype.kind in "iu" else text, path, formats, "date")
        dates = distinct.iloc[codes]
    if dates.dt.tz is not None:
        dates = dates.dt.tz_localize(None)
    return dates.to_numpy().astype("datetime64[D]").astype(np.int64)


def stamps(column: pd.Series, tz: str | None, path: Path, formats: Sequence[str] = ISO, unit: str | None = None) -> Any:
    """UTC ns of a column of times. Naive times need `tz`; wall-clock times that clocks skip or repeat are errors.

    unit : "s" or "ms" where the column counts them since 1970 (UTC), else None.
    """
    import pandas as pd

    if unit is not None:
        values = numbers(column.to_frame(), str(column.name), path)
        if np.isnan(values).any():
            raise DataError(f"{place(path, column, first_bad(np.isnan(values)))}: {column.name} is empty; give a time")
        return values.astype(np.int64) * UNIX_NS[unit]
    if pd.api.types.is_numeric_dtype(column.dtype):
        raise DataError(
            f"{place(path, column, 0)}: {column.name} is the number {column.iloc[0]!r}; give ISO 8601 times, "
            f"or state its unit in a column map (--map)"
        )
    if pd.api.types.is_datetime64_any_dtype(column.dtype):
        times = column
        if times.isna().any():
            raise DataError(f"{place(path, column, first_bad(times.isna()))}: {column.name} is empty; give a time")
    else:
        with_offset = column.astype(str).str.strip().str.contains(WITH_OFFSET, regex=True).to_numpy()
        if with_offset.any() and not with_offset.all():
            at = first_bad(~with_offset)
            raise DataError(
                f"{place(path, column, at)}: {column.name} is {column.iloc[at]!r}, without the UTC offset that "
                f"other lines have; give all or none"
            )
        times = parsed(column, path, formats, "time", utc=bool(with_offset.all()))
    if times.dt.tz is None:
        times = localized(times, column, tz, path)
    return times.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy().astype("datetime64[ns]").astype(np.int64)


def localized(times: pd.Series, column: pd.Series, tz: str | None, path: Path) -> pd.Series:
    """Naive times in zone `tz`."""
    if tz is None:
        raise DataError(f"{path.name}: {column.name} has no timezone; say which with --tz (such as {NEW_YORK} or UTC)")
    try:
        local = times.dt.tz_localize(tz, ambiguous="NaT", nonexistent="NaT")
    except (KeyError, ValueError, TypeError):
        raise DataError(f"--tz {tz}: no such timezone; give one such as {NEW_YORK} or UTC") from None
    bad = local.isna().to_numpy()
    if bad.any():
        at = first_bad(bad)
        moved = times.iloc[[at]].dt.tz_localize(tz, ambiguous=np.array([True]), nonexistent="NaT")
        fault = "does not exist (clocks go forward)" if moved.isna().any() else "happens twice (clocks go back)"
        raise DataError(
            f"{place(path, column, at)}: {column.name} {times.iloc[at]} {fault} in {tz}; "
            f"check --tz, or give UTC offsets"
        )
    return local


def evenings(frame: pd.DataFrame, name: str, path: Path, minutes_after_close: int, formats: Sequence[str] = ISO) -> Any:
    """UTC ns of quotes known by date alone: so many minutes after (before) that session's own close."""
    day = days(frame[name], path, formats)
    sessions = sessions_over(int(day.min()), int(day.max()))
    at = np.searchsorted(sessions.day, day)
    found = at < len(sessions.day)
    if found.any():
        found &= sessions.day[np.minimum(at, len(sessions.day) - 1)] == day
    if not found.all():
        line = first_bad(~found)
        raise DataError(
            f"{place(path, frame[name], line)}: {name} {day_text(day[line])} is not a trading session; "
            f"is the date that of the quotes?"
        )
    return sessions.close_ns[at] + minutes_after_close * NS_MINUTE


# ---------------------------------------------------------------- chains


def rights(column: pd.Series, path: Path, words: Mapping[str, bool] = RIGHTS) -> Any:
    """True for calls; a word that names neither right is a DataError with its line."""
    import pandas as pd

    codes, values = pd.factorize(column, use_na_sentinel=False)
    known = [words.get(str(value).strip().lower()) for value in values]
    if None in known:
        at = first_bad(codes == known.index(None))
        raise DataError(f"{place(path, column, at)}: {column.name} is {column.iloc[at]!r}; give call or put")
    return np.array(known, bool)[codes]


def roots_of(column: pd.Series, path: Path) -> Any:
    """Root symbols as objects; one that this version cannot settle is a DataError."""
    import pandas as pd

    codes, values = pd.factorize(column, use_na_sentinel=False)
    names = np.array([str(value).strip().upper() for value in values], object)
    for i, name in enumerate(names):
        if name not in ROOTS:
            raise DataError(
                f"{place(path, column, first_bad(codes == i))}: root {name!r} is not known; this version trades "
                f"{', '.join(ROOTS)}. Choose among a file's roots with --root"
            )
    return names[codes]


def of_roots(frame: pd.DataFrame, path: Path, roots: Sequence[str]) -> tuple[pd.DataFrame, dict[str, Any]]:
    """The rows of the stated roots, and how many were left out; all rows where none is stated."""
    if not roots:
        return frame, {}
    names = frame["root"].astype(str).str.strip().str.upper()
    keep = names.isin(roots).to_numpy()
    if not keep.any():
        raise DataError(
            f"{path.name}: no quotes of root {', '.join(roots)}; it holds {', '.join(sorted(set(names)))} (--root)"
        )
    left = int((~keep).sum())
    return frame[keep], {"rows_of_other_roots": left} if left else {}


def chain_of(
    frame: pd.DataFrame,
    path: Path,
    ts: Any,
    titles: Mapping[str, str] | None = None,
    expiry_formats: Sequence[str] = ISO,
) -> Chain:
    """A Chain from a frame with standard column names; spot from underlying_implied, else underlying.

    titles : the names that columns have in the user's file, for messages.
    """

    def values(name: str) -> Any:
        return numbers(frame, name, path, titles=titles)

    strike = values("strike")
    if not (strike > 0).all():
        at = first_bad(~(strike > 0))
        raise DataError(
            f"{place(path, frame['strike'], at)}: {titled('strike', titles)} is {frame['strike'].iloc[at]!r}; "
            f"give a positive price"
        )
    iv, delta = values("iv"), values("delta")
    if "iv" in frame.columns:
        # A feed writes 0 for an IV it could not solve; its delta (0 or +-1) is then no measurement either.
        delta = np.where(iv > 0.0, delta, np.nan)
    return Chain(
        ts=ts,
        spot=values("underlying_implied" if "underlying_implied" in frame.columns else "underlying"),
        root=roots_of(frame["root"], path),
        day=days(frame["expiration"], path, expiry_formats),
        strike=np.round(strike * 100).astype(np.int64),
        is_call=rights(frame["type"], path),
        bid=values("bid"),
        ask=values("ask"),
        iv=np.where(iv > 0.0, iv, np.nan),
        delta=delta,
        volume=np.nan_to_num(values("volume")),
        interest=np.nan_to_num(values("open_interest")),
        bid_size=np.nan_to_num(values("bid_size")),
        ask_size=np.nan_to_num(values("ask_size")),
        mark=values("mark") if "mark" in frame.columns else None,
    )


# ---------------------------------------------------------------- bars

BAR_NAMES = ("timestamp", "open", "high", "low", "close")


def spacing_minutes(ts: Any, path: Path) -> int:
    """The commonest distance of consecutive stamps, in minutes."""
    gaps = np.diff(np.unique(ts)) // NS_MINUTE
    if len(gaps) == 0:
        raise DataError(f"{path.name}: a single time stamp is no market; give a longer file")
    values, times = np.unique(gaps, return_counts=True)
    return int(values[times.argmax()])


def bars_of(
    frame: pd.DataFrame, path: Path, ts: Any, stamp: str | None, titles: Mapping[str, str] | None = None
) -> Bars:
    """Bars of 1 or 5 minutes from a frame with standard names; ts as stamped in the file."""
    if stamp not in ("start", "end"):
        raise DataError(f"{path.name}: say whether bars are stamped at their start or end (--stamp start|end)")
    minutes = spacing_minutes(ts, path)
    if minutes not in (1, 5):
        raise DataError(f"{path.name}: bars are {minutes} minutes apart; 1- and 5-minute bars can be imported")
    if stamp == "start":
        ts = ts + minutes * NS_MINUTE
    opening, high, low, close = (numbers(frame, n, path, titles=titles) for n in BAR_NAMES[1:])
    return Bars(ts, opening, high, low, close, np.nan_to_num(numbers(frame, "volume", path, 0.0, titles)))


def read_bars(path: Path, asked: Asked) -> Bars:
    """Bars with columns timestamp, open, high, low, close[, volume], stamped as stated."""
    frame = read_table(path)
    need(frame, BAR_NAMES, path)
    return bars_of(frame, path, stamps(frame["timestamp"], asked.tz, path), asked.stamp)
