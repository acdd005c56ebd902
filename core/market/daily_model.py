"""A modelled index-option market from daily prices: three rows a session, monthly expiries that settle at the opening.

    daily files -> DailySeries -> rows at 10:55, 11:00 and the close -> columns of a store

Daily files do not say what happened at 11:00. Where intraday bars exist, they say it. Elsewhere the spot is the mean
of the day's opening, high and low, and VIX the mean of its opening and close. Against SPY's hourly bars that spot
misses by .26 % in 2010-17 and .37 % in 2018-21 (one standard deviation), the mean of opening and close by .34 % and
.53 %; before 2010 both miss by .6 %. VIX misses by 4 % in 2023-26. Such values know something of the rest of the day,
so this market serves to price a condor whose strikes follow a rule; it cannot show that a decision taken at 11:00
earns anything.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from core.errors import DataError
from core.market.build import STYLES
from core.market.calendar import NS_MINUTE, Sessions, day_text, minute_of_day
from core.market.history import trailing_dividends
from core.market.modelled import clock_at, no_cells
from core.market.store import Store
from core.market.writer import write_store
from core.pricing.model_surface import ModelShape
from core.types import CALL, CASH_AM, PUT

DECIDE_MINUTE, ROLL_MINUTE, OPEN_MINUTE = 655, 660, 570  # decided at 10:55, filled at 11:00
ROWS = 3
PRICE_SCALE = 10.0  # the index against SPY
STRIKE_STEP = 5  # points
LOWEST_STRIKE, HIGHEST_STRIKE = 0.40, 1.50  # of the opening on the day an expiry is listed
# Intraday files: name, minutes of a bar. A day is read from the first file that holds it.
SPY_BARS = (("spy_1min_2024", 1), ("spy_5min_2025", 5), ("spy_5min_2026h2", 5), ("spy_hourly_1998_2021", 60))
VIX_BARS = (("vix_hourly_2023_2026", 60),)
BILL_DAYS = 91
OLDEST_BILL_DAYS = 7  # a bill rate older than this is unknown
LEAST_VIX_OPEN = 0.5  # of the close: 2004-11-08 is printed as 2.58


class DailySeries(NamedTuple):
    """One value per session, in order; `before` is the index's close of the session before the first.

    spot_open : opening settlement value; spot_11, vix_11 : at 11:00; spot, vix, vix3m : at the close, index points,
    vix3m NaN where unknown; rate, dividend_yield : decimals per year, continuous; seen_11 : whether a bar gave spot_11
    """

    before: float
    spot_open: Any
    spot_11: Any
    spot: Any
    vix_11: Any
    vix: Any
    vix3m: Any
    rate: Any
    dividend_yield: Any
    seen_11: Any


# ---------------------------------------------------------------- reading


class DailyFiles(NamedTuple):
    """Tables by day number, as read."""

    spx: Any
    spy: Any
    vol: Any
    bills: Any  # continuous rate per year
    dividends: Any  # $ per ex-date
    spy_11: Any  # at 11:00, on the days that have intraday bars
    vix_11: Any


def read_file(path: Path, columns: tuple[str, ...]) -> Any:
    """Columns of a CSV or Parquet file, or a DataError that says what is wrong with it."""
    import pandas as pd

    try:
        table = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; give the folder of the market files") from None
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read ({' '.join(str(error).split())}); get the file again") from None
    missing = [name for name in columns if name not in table]
    if missing:
        raise DataError(f"{path}: no column {', '.join(missing)} (there are: {', '.join(map(str, table.columns))})")
    return table[list(columns)]


def read_by_day(path: Path, columns: tuple[str, ...]) -> Any:
    """Columns of numbers by day number, one row a day in order."""
    import pandas as pd

    table = read_file(path, ("date", *columns))
    try:
        days = pd.to_datetime(table["date"]).to_numpy().astype("datetime64[D]").astype(np.int64)
        table = table[list(columns)].astype(float)
    except (ValueError, TypeError) as error:
        raise DataError(f"{path}: {' '.join(str(error).split())}; give a date and numbers on every line") from None
    table.index = days
    if not table.index.is_monotonic_increasing or table.index.has_duplicates:
        raise DataError(f"{path}: dates repeat or are out of order; give one row a day, sorted")
    return table


def at_eleven(folder: Path, files: tuple[tuple[str, int], ...]) -> Any:
    """Close of the bar that ends at 11:00 New York, by day number; files that are not there add nothing."""
    import pandas as pd

    known = pd.Series(dtype=float)
    for name, minutes in files:
        path = folder / f"{name}.parquet"
        if not path.exists():
            continue
        bars = read_file(path, ("timestamp", "close"))
        start = bars["timestamp"].dt
        bars = bars[(start.hour * 60 + start.minute == ROLL_MINUTE - minutes).to_numpy()]
        days = bars["timestamp"].dt.tz_localize(None).to_numpy().astype("datetime64[D]").astype(np.int64)
        known = known.combine_first(pd.Series(bars["close"].to_numpy(float), index=days))
    return known


def read_daily_files(folder: Path) -> DailyFiles:
    """The daily files of a data kit."""
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; give the folder of the market files")
    discount = read_by_day(folder / "rates_daily.parquet", ("dtb3_pct",))["dtb3_pct"].dropna() / 100.0
    return DailyFiles(
        spx=read_by_day(folder / "spx_daily.parquet", ("close",))["close"],
        spy=read_by_day(folder / "spy_daily.parquet", ("open", "high", "low", "close")),
        vol=read_by_day(folder / "vol_indices_daily.parquet", ("vix_open", "vix_close", "vix3m_close")),
        bills=-np.log(1.0 - discount * BILL_DAYS / 360.0) * 365.0 / BILL_DAYS,
        dividends=read_by_day(folder / "spy_dividends.csv", ("dividend",))["dividend"],
        spy_11=at_eleven(folder, SPY_BARS),
        vix_11=at_eleven(folder, VIX_BARS),
    )


def known_days(files: DailyFiles) -> tuple[int, int]:
    """First and last day that all daily files reach; the first has a session before it."""
    series = files.spx, files.spy, files.vol["vix_close"].dropna(), files.bills
    ends = [s.index[-1] for s in series[:-1]] + [files.bills.index[-1] + OLDEST_BILL_DAYS]
    return int(max(s.index[0] for s in series)) + 1, int(min(ends))


def daily_series(files: DailyFiles, days: Any) -> DailySeries:
    """The market's inputs on consecutive sessions; a missing price is a DataError, a missing VIX3M stays NaN.

    The opening settlement value is the previous close moved by SPY's overnight return, its dividend added back.
    """
    days = np.asarray(days, np.int64)
    spy, vol = files.spy.reindex(days), files.vol.reindex(days)
    spot, spy_close, vix = (c.to_numpy() for c in (files.spx.reindex(days), spy["close"], vol["vix_close"]))
    for name, values in (("spx_daily", spot), ("spy_daily", spy_close), ("vol_indices_daily", vix)):
        gone = days[np.isnan(values)]
        if len(gone):
            more = f" and {len(gone) - 1} other sessions" if len(gone) > 1 else ""
            raise DataError(f"{name}.parquet: no close on {day_text(gone[0])}{more}; choose a span without it")
    before = [table.iloc[table.index.searchsorted(days[0]) - 1] for table in (files.spx, files.spy["close"])]
    paid = files.dividends.reindex(days).fillna(0.0).to_numpy()
    overnight = (spy["open"].to_numpy() + paid) / np.r_[before[1], spy_close[:-1]]
    spot_open = np.r_[before[0], spot[:-1]] * overnight
    per_share = spot / spy_close
    seen = files.spy_11.reindex(days).to_numpy() * per_share
    guess = (spot_open + (spy["high"] + spy["low"]).to_numpy() * per_share) / 3.0
    vix_open = vol["vix_open"].to_numpy()
    vix_guess = 0.5 * (np.where(vix_open > LEAST_VIX_OPEN * vix, vix_open, vix) + vix)
    vix_seen = files.vix_11.reindex(days).to_numpy()
    dividends = trailing_dividends(days, files.dividends.index.to_numpy(), files.dividends.to_numpy())
    return DailySeries(
        before=float(before[0]),
        spot_open=spot_open,
        spot_11=np.where(np.isnan(seen), guess, seen),
        spot=spot,
        vix_11=np.where(np.isnan(vix_seen), vix_guess, vix_seen),
        vix=vix,
        vix3m=vol["vix3m_close"].to_numpy(),
        rate=bills_on(files, days),
        dividend_yield=dividends / spy_close,
        seen_11=~np.isnan(seen),
    )


def bills_on(files: DailyFiles, days: Any) -> Any:
    """The last bill rate known on each day."""
    at = files.bills.index.searchsorted(days, side="right") - 1
    age = days - files.bills.index.to_numpy()[at]
    if age.max() > OLDEST_BILL_DAYS or at.min() < 0:
        raise DataError(f"rates_daily.parquet: no bill rate near {day_text(days[np.argmax(age)])}; choose another span")
    return files.bills.to_numpy()[at]


# ---------------------------------------------------------------- the store's columns


def third_fridays(calendar: Sessions, first_day: int, last_day: int) -> Any:
    """Standard monthly expiry days of an inclusive range: the third Friday, or the session before it on a holiday.

    The calendar reaches from a week before the range to a week after it.
    """
    days = np.arange(first_day, last_day + 8)
    dates = days.astype("datetime64[D]")
    day_of_month = (dates - dates.astype("datetime64[M]")).astype(np.int64)
    fridays = days[((days + 3) % 7 == 4) & (day_of_month // 7 == 2)]  # day 0 was a Thursday
    expiries = calendar.day[np.searchsorted(calendar.day, fridays, side="right") - 1]
    return expiries[(expiries >= first_day) & (expiries <= last_day)].astype(np.int32)


def daily_row_columns(series: DailySeries, sessions: Sessions) -> dict[str, Any]:
    """Columns by row but for the clock. Until the close, VIX3M keeps the ratio to VIX of the previous close."""
    count = len(sessions.day)
    close = minute_of_day(sessions.close_ns, sessions.day, sessions.offset)
    minute = np.column_stack([np.full(count, DECIDE_MINUTE), np.full(count, ROLL_MINUTE), close]).astype(np.int64)
    ratio = np.r_[np.nan, series.vix3m[:-1] / series.vix[:-1]]

    def by_row(at_11: Any, at_close: Any) -> Any:
        return np.column_stack([at_11, at_11, at_close]).ravel()

    spot = by_row(series.spot_11, series.spot)
    rows = np.arange(ROWS * count, dtype=np.int32)
    return {
        "ts": (sessions.open_ns[:, None] + (minute - OPEN_MINUTE) * NS_MINUTE).ravel(),
        "spot": spot,
        "session": rows // ROWS,
        "minute": minute.ravel().astype(np.int16),
        "vix": by_row(series.vix_11, series.vix),
        "vix3m": by_row(series.vix_11 * ratio, series.vix3m),
        "since": (minute - OPEN_MINUTE).ravel().astype(np.float64),
        "move": spot / np.repeat(np.r_[series.before, series.spot[:-1]], ROWS) - 1.0,
        "quoted": np.ones(len(rows), np.uint8),
        "snap": rows,
        # Five minutes before a bar of the same price: the two would pass for a market of five-minute bars.
        "is_bar": np.tile(np.array([0, 1, 1], np.uint8), count),
        **dict.fromkeys(("open", "high", "low"), spot),
        "volume": np.zeros(len(rows)),
        "s_start": rows[::ROWS],
        "s_end": rows[::ROWS] + ROWS,
        "s_day": sessions.day,
        "s_offset": sessions.offset,
        "s_close": close,
        "s_settle": series.spot,
        "s_open": series.spot_open,
        "s_rate": series.rate,
        "s_dividend_yield": series.dividend_yield,
        "s_decide": np.full(count, -1, np.int32),
    }


def daily_contract_columns(series: DailySeries, calendar: Sessions) -> dict[str, Any]:
    """Monthly expiries and their strikes, each listed on the day when the one before it expires."""
    count = len(series.spot)
    first, last = int(calendar.day[0]), int(calendar.day[count - 1])
    expiries = third_fridays(calendar, first + 1, int(calendar.day[-1]) - 8)
    expiries = expiries[: np.searchsorted(expiries, last, side="right") + 1]  # one lies beyond the last session
    if len(expiries) == 0 or expiries[-1] <= last:
        raise DataError(f"the exchange calendar holds no monthly expiry after {day_text(last)}")
    session = np.searchsorted(calendar.day, expiries)
    listed = np.searchsorted(calendar.day, np.r_[first, expiries[:-1]])
    steps = [np.arange(int(LOWEST_STRIKE * s / STRIKE_STEP), HIGHEST_STRIKE * s / STRIKE_STEP + 1) for s in
             series.spot_open[listed]]  # fmt: skip
    sizes = np.array([len(step) for step in steps])
    edges = np.r_[0, np.cumsum(np.repeat(sizes, 2))].astype(np.int32)
    return {
        "e_day": expiries,
        "e_session": np.where(session < count, session, -1).astype(np.int32),
        "e_ts": calendar.open_ns[session],
        "e_style": np.full(len(expiries), CASH_AM, np.int8),
        "e_first": (ROWS * listed).astype(np.int32),
        "e_put_lo": edges[:-1:2],
        "e_put_hi": edges[1::2],
        "e_call_lo": edges[1::2],
        "e_call_hi": edges[2::2],
        "c_expiry": np.repeat(np.arange(len(expiries), dtype=np.int32), 2 * sizes),
        "c_strike": np.concatenate([np.tile(100 * STRIKE_STEP * step, 2) for step in steps]).astype(np.int32),
        "c_right": np.concatenate([np.repeat(np.array([PUT, CALL], np.int8), size) for size in sizes]),
        "c_first": np.repeat(ROWS * listed, 2 * sizes).astype(np.int32),
    }


def write_daily_model(path: Path, name: str, calendar: Sessions, series: DailySeries, shape: ModelShape) -> Store:
    """Write and open a modelled market of monthly index options.

    calendar : the sessions of `series`, and then those of at least the next two months
    """
    sessions = Sessions(*(column[: len(series.spot)] for column in calendar))
    rows, contracts = daily_row_columns(series, sessions), daily_contract_columns(series, calendar)
    columns = {
        **rows,
        "clock": clock_at(shape, calendar, rows["ts"]),
        **contracts,
        "e_clock": clock_at(shape, calendar, contracts["e_ts"]),
        **no_cells(len(contracts["c_strike"])),
    }
    facts = {
        "name": name,
        "kind": "model",
        "price_scale": PRICE_SCALE,
        "roots": {"SPX": {"settlement": STYLES[CASH_AM], "multiplier": 100}},
        "timezone": "America/New_York",
        "source": "daily index, SPY, VIX and bill rates",
        "quotes": "MODELLED QUOTES ON REAL INDEX AND VIX VALUES",
        "shape": shape._asdict(),
    }
    return write_store(path, columns, facts, {"modelled": True})
