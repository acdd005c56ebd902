"""Files of bars and quotes into a market store: `python main.py data import FORMAT --bars F --chain F`.

A reader turns one file format into the tables of `core.market.build` (Bars, Chain); READERS names
them. Bad input gets one error with file, line, value and remedy, and nothing is written.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core.errors import DataError
from core.market.build import ROOTS, STYLES, Bars, Chain, Daily, assemble, daily_rows, five_minute
from core.market.calendar import NS_DAY, NS_MINUTE, day_text, sessions_between
from core.market.store import Store
from core.market.writer import write_store

if TYPE_CHECKING:
    import pandas as pd

NEW_YORK = "America/New_York"
BAR_NAMES = ("timestamp", "open", "high", "low", "close")
EOD_NAMES = ("date", "root", "expiration", "strike", "type", "bid", "ask")
MINUTE_NAMES = ("timestamp", "root", "expiration", "strike", "type", "bid", "ask")
FEWEST_CONTRACTS = 40  # a snapshot with fewer is a selection, not a chain
SELECTION_SHARE = 0.5  # ... when so many snapshots are that thin


def read_table(path: Path) -> pd.DataFrame:
    """A CSV or Parquet file as a frame; whatever cannot be read is a DataError."""
    import pandas as pd
    import pyarrow as pa

    if not path.exists():
        raise DataError(f"{path}: no such file; check the path")
    try:
        if path.suffix.lower() in (".parquet", ".pq"):
            return pd.read_parquet(path)
        frame = pd.read_csv(path)
    except (OSError, ValueError, pa.ArrowException, UnicodeDecodeError) as error:
        raise DataError(f"{path.name}: cannot be read ({' '.join(str(error).split())[:160]}); is the file complete?") from None
    if frame.shape[1] == 1 and any(mark in str(frame.columns[0]) for mark in ";\t|"):
        raise DataError(f"{path.name} line 1: one column {frame.columns[0][:60]!r}; save it with commas between the columns")
    return frame


def need(frame: pd.DataFrame, names: tuple[str, ...], path: Path) -> None:
    missing = [n for n in names if n not in frame.columns]
    if missing:
        raise DataError(
            f"{path.name} line 1: no column {', '.join(missing)}; it has {', '.join(map(str, frame.columns[:12]))}"
        )
    if len(frame) == 0:
        raise DataError(f"{path.name}: no rows")


def numbers(frame: pd.DataFrame, name: str, path: Path, fallback: float = np.nan) -> Any:
    """A column as float64; text that is no number is a DataError with its line."""
    import pandas as pd

    if name not in frame.columns:
        return np.full(len(frame), fallback)
    column = frame[name]
    values = pd.to_numeric(column, errors="coerce")
    bad = values.isna() & column.notna()
    if bad.any():
        at = int(np.flatnonzero(bad.to_numpy())[0])
        raise DataError(f"{path.name} line {at + 2}: {name} is {column.iloc[at]!r}; give a number or leave it empty")
    return values.to_numpy(np.float64)


def stamps(column: pd.Series, tz: str | None, path: Path) -> Any:
    """UTC ns of a column of times. Naive times need `tz`; ambiguous or absent wall-clock times are an error."""
    import pandas as pd

    try:
        times = pd.to_datetime(column)
        if times.dt.tz is None:
            if tz is None:
                raise DataError(f"{path.name}: {column.name} has no timezone; say which with --tz (such as {NEW_YORK} or UTC)")
            times = times.dt.tz_localize(tz)
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        text = " ".join(str(error).split())[:140]
        raise DataError(f"{path.name}: {column.name} cannot be read as times ({text}); check --tz and the format") from None
    if times.isna().any():
        at = int(np.flatnonzero(times.isna().to_numpy())[0])
        raise DataError(f"{path.name} line {at + 2}: {column.name} is empty")
    return times.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy().astype("datetime64[ns]").astype(np.int64)


def days(column: pd.Series, path: Path) -> Any:
    """Days since 1970 of a column of dates."""
    import pandas as pd

    try:
        dates = pd.to_datetime(column)
    except (ValueError, TypeError) as error:
        text = " ".join(str(error).split())[:140]
        raise DataError(f"{path.name}: {column.name} cannot be read as dates ({text})") from None
    return dates.to_numpy().astype("datetime64[D]").astype(np.int64)


# ---------------------------------------------------------------- bars


def spacing_minutes(ts: Any) -> int:
    """The commonest distance of consecutive stamps, in minutes."""
    gaps = np.diff(np.unique(ts)) // NS_MINUTE
    if len(gaps) == 0:
        raise DataError("a single bar is no market")
    values, times = np.unique(gaps, return_counts=True)
    return int(values[times.argmax()])


def read_bars(path: Path, tz: str | None, stamp: str | None) -> Bars:
    """Intraday bars of 1 or 5 minutes with columns timestamp, open, high, low, close[, volume], stamped as stated."""
    frame = read_table(path)
    need(frame, BAR_NAMES, path)
    if stamp not in ("start", "end"):
        raise DataError(f"{path.name}: say whether bars are stamped at their start or end (--stamp start|end)")
    ts = stamps(frame["timestamp"], tz, path)
    minutes = spacing_minutes(ts)
    if minutes not in (1, 5):
        raise DataError(f"{path.name}: bars are {minutes} minutes apart; 1- and 5-minute bars can be imported")
    if stamp == "start":
        ts = ts + minutes * NS_MINUTE
    columns = [numbers(frame, n, path) for n in BAR_NAMES[1:]]
    return Bars(ts, *columns, np.nan_to_num(numbers(frame, "volume", path, 0.0)))


def is_daily(path: Path) -> bool:
    """Whether a bar file holds one row a day (a `date` column instead of `timestamp`)."""
    frame = read_table(path)
    return "date" in frame.columns and "timestamp" not in frame.columns


def read_daily_bars(path: Path) -> tuple[Any, Any, Any, Any, Any]:
    """(days, open, high, low, close) of a daily file, in order."""
    frame = read_table(path)
    need(frame, ("date", "open", "high", "low", "close"), path)
    number = days(frame["date"], path)
    order = np.argsort(number)
    return (number[order], *(numbers(frame, n, path)[order] for n in ("open", "high", "low", "close")))


# ---------------------------------------------------------------- chains


def is_call(column: pd.Series, path: Path) -> Any:
    letter = column.astype(str).str.strip().str.lower().str[:1]
    bad = ~letter.isin(["c", "p"])
    if bad.any():
        at = int(np.flatnonzero(bad.to_numpy())[0])
        raise DataError(f"{path.name} line {at + 2}: type is {column.iloc[at]!r}; give call or put")
    return (letter == "c").to_numpy()


def quote_times(frame: pd.DataFrame, path: Path, tz: str | None) -> Any:
    """UTC ns of each quote: its minute's end, or the evening of its date (16:15 where the file holds the
    spot implied at that time, `underlying_implied`, else 16:00; 13:00 or 13:15 on early closes)."""
    if "timestamp" in frame.columns:
        return stamps(frame["timestamp"], tz, path) + NS_MINUTE
    day = days(frame["date"], path)
    sessions = sessions_between(int(day.min()), int(day.max()))
    at = np.searchsorted(sessions.day, day)
    found = at < len(sessions.day)
    found &= sessions.day[np.minimum(at, len(sessions.day) - 1)] == day
    if not found.all():
        line = int(np.flatnonzero(~found)[0])
        raise DataError(f"{path.name} line {line + 2}: {day_text(day[line])} is not a trading session")
    late = 15 * NS_MINUTE if "underlying_implied" in frame.columns else 0
    return sessions.close_ns[at] + late


def read_chain(path: Path, tz: str | None) -> Chain:
    """Quotes with columns (date | timestamp), root, expiration, strike, type, bid, ask and what else there is."""
    frame = read_table(path)
    need(frame, MINUTE_NAMES if "timestamp" in frame.columns else EOD_NAMES, path)
    return chain_of(frame, path, quote_times(frame, path, tz))


def chain_of(frame: pd.DataFrame, path: Path, ts: Any) -> Chain:
    """A Chain from a frame with standard column names; spot from underlying_implied, else underlying."""
    root = frame["root"].astype(str).str.strip().str.upper().to_numpy(dtype=object)
    unknown = sorted(set(root.tolist()) - set(ROOTS))
    if unknown:
        raise DataError(f"{path.name}: root {unknown[0]!r} is not known; this version trades {', '.join(ROOTS)}")
    spot_name = "underlying_implied" if "underlying_implied" in frame.columns else "underlying"
    strike = numbers(frame, "strike", path)
    if not (strike > 0).all():
        line = int(np.flatnonzero(~(strike > 0))[0])
        raise DataError(f"{path.name} line {line + 2}: strike is {frame['strike'].iloc[line]!r}; give a positive price")
    iv, delta = numbers(frame, "iv", path), numbers(frame, "delta", path)
    # The feed writes 0 for an IV it could not solve; its delta (0 or +-1) is then no measurement either.
    delta = np.where(iv > 0.0, delta, np.nan)
    whole = [np.nan_to_num(numbers(frame, n, path)) for n in ("volume", "open_interest", "bid_size", "ask_size")]
    return Chain(
        ts=ts,
        spot=numbers(frame, spot_name, path),
        root=root,
        day=days(frame["expiration"], path),
        strike=np.round(strike * 100).astype(np.int64),
        is_call=is_call(frame["type"], path),
        bid=numbers(frame, "bid", path),
        ask=numbers(frame, "ask", path),
        iv=np.where(iv > 0.0, iv, np.nan),
        delta=delta,
        volume=whole[0],
        interest=whole[1],
        bid_size=whole[2],
        ask_size=whole[3],
    )


def check_chain(chain: Chain, path: Path) -> None:
    """Refuse what cannot give a strategy return: one side missing, or contracts picked from a chain."""
    for side, name in ((chain.is_call, "calls"), (~chain.is_call, "puts")):
        if not side.any():
            raise DataError(f"{path.name}: no {name}; a condor needs both sides of the chain")
    per_snapshot = np.unique(np.column_stack([chain.ts, chain.day]), axis=0, return_counts=True)[1]
    _, contracts = np.unique(chain.ts, return_counts=True)
    if np.mean(contracts < FEWEST_CONTRACTS) > SELECTION_SHARE:
        raise DataError(
            f"{path.name}: {int(np.median(contracts))} contracts a snapshot ({int(np.median(per_snapshot))} an expiry); "
            f"that is a selection, not a chain, and a return on it would be biased. Give the full chain, "
            f"or add --thin to store it for checks of prices and greeks only"
        )


def fill_spot(chain: Chain, bars: Bars) -> Chain:
    """Quotes without an underlying price take the close of the last bar at or before them."""
    lacking = ~(chain.spot > 0.0)
    if not lacking.any():
        return chain
    at = np.searchsorted(bars.ts, chain.ts, side="right") - 1
    spot = np.where(lacking & (at >= 0), bars.close[np.maximum(at, 0)], chain.spot)
    return chain._replace(spot=spot)


# ---------------------------------------------------------------- the command

BarReader = Callable[[Path, "str | None", "str | None"], Bars]
ChainReader = Callable[[Path, "str | None"], Chain]
READERS: dict[str, tuple[BarReader, ChainReader]] = {"standard": (read_bars, read_chain)}


def daily_values(close: Path | None, rates: Path | None) -> Daily:
    """Official closes and cash rates by day, from daily files (rates: dtb3_pct, else dff_pct, in per cent)."""
    closes: dict[int, float] = {}
    rate: dict[int, float] = {}
    if close is not None:
        number, _, _, _, price = read_daily_bars(close)
        closes = {int(d): float(p) for d, p in zip(number, price, strict=True) if p > 0}
    if rates is not None:
        frame = read_table(rates)
        need(frame, ("date",), rates)
        names = [n for n in ("dtb3_pct", "dff_pct") if n in frame.columns]
        if not names:
            raise DataError(f"{rates.name} line 1: no column dtb3_pct or dff_pct (per cent a year)")
        last = np.nan
        bill = numbers(frame, names[0], rates)
        other = numbers(frame, names[-1], rates)
        for d, a, b in zip(days(frame["date"], rates), bill, other, strict=True):
            value = a if np.isfinite(a) else b
            last = value if np.isfinite(value) else last
            rate[int(d)] = float(np.log1p(last / 100.0))
    return Daily(closes, {}, rate)


def import_market(
    format_name: str,
    bars_path: Path,
    chain_path: Path,
    name: str,
    folder: Path,
    tz: str | None = None,
    stamp: str | None = None,
    thin: bool = False,
    closes: Path | None = None,
    rates: Path | None = None,
) -> Store:
    """Read, check, assemble and write one market; returns the opened store."""
    bar_reader, chain_reader = READERS[format_name]
    chain = chain_reader(chain_path, tz)
    if not thin:
        check_chain(chain, chain_path)
    daily = daily_values(closes, rates)
    if is_daily(bars_path):
        number, *prices = read_daily_bars(bars_path)
        quote_days = chain.ts // NS_DAY
        keep = (number >= quote_days.min() - 3) & (number <= max(quote_days.max(), chain.day.max()))
        if not keep.any():
            raise DataError(
                f"chain and bars share no session: {bars_path.name} holds {day_text(number[0])} to "
                f"{day_text(number[-1])}, quotes start {day_text(quote_days.min())}"
            )
        bars, sessions = daily_rows(number[keep], *(p[keep] for p in prices))
        report: dict[str, Any] = {"daily_bars": int(keep.sum())}
        if not daily.close:
            daily = daily._replace(close={int(d): float(p) for d, p in zip(number, prices[3], strict=True)})
    else:
        raw = bar_reader(bars_path, tz, stamp)
        sessions = sessions_between(int(raw.ts.min() // NS_DAY) - 1, int(raw.ts.max() // NS_DAY) + 1)
        bars, report = five_minute(raw, sessions)
    chain = fill_spot(chain, bars)
    columns, quality, kind = assemble(bars, sessions, chain, daily)
    quality["bars"] = report
    roots = sorted(set(chain.root.tolist()))
    facts = {
        "name": name,
        "kind": kind,
        "price_scale": max(ROOTS[r][1] for r in roots),
        "source": {"format": format_name, "bars": bars_path.name, "chain": chain_path.name},
        "timezone": NEW_YORK,
        "roots": {r: {"settlement": STYLES[ROOTS[r][0]], "multiplier": 100} for r in roots},
        "quotes": "real",
        "thin": thin,
    }
    return write_store(folder / name, columns, facts, quality)
