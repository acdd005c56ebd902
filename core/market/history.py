"""The embedded market `history`: real S&P 500 and VIX closes of 2014 to 2018 under modelled bars and quotes.

The index's daily closes, highs and lows (divided by 10: the size of SPY), VIX closes and the monthly cash rate
ship inside the `arch` package; dividends are data/presets/spy_dividends.yaml. Between the closes everything is
drawn (core.market.paths), and every quote is MODELLED (core.pricing.model_surface).
"""

from __future__ import annotations

import gzip
import importlib.metadata
import importlib.util
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from core.errors import DataError
from core.market.calendar import Sessions, day_number, day_text, sessions_between
from core.market.modelled import (
    CALENDAR_REACH,
    PRESETS,
    DayFacts,
    bars_of,
    modelled_columns,
    modelled_facts,
    read_shape,
)
from core.market.paths import Paths, build_paths
from core.market.store import Store
from core.market.writer import write_store

FIRST_DAY, LAST_DAY = "2014-01-03", "2018-12-31"
VIX_BEFORE_FIRST = 14.23  # VIX close of 2014-01-02, Cboe; the package's series starts a day later
POINTS_PER_DOLLAR = 10.0
DIVIDEND_FILE = PRESETS / "spy_dividends.yaml"
TRAILING_DIVIDENDS = 4
QUOTES = "MODELLED QUOTES ON REAL INDEX AND VIX CLOSES"
BIG_GAP = 0.02


class DailyInput(NamedTuple):
    """The daily series that the market is built from; one entry per consecutive session."""

    day: Any  # days since 1970, int32 (S)
    close: Any  # $, S&P 500 / 10
    high: Any
    low: Any
    vix: Any  # close, points
    rate: Any  # cash, continuous per year, known before the session opens
    dividend: Any  # $ per share of the trailing four dividends with an ex-date at or before the session
    close_before: float  # $ on the session before the first
    vix_before: float


# ---------------------------------------------------------------- the daily series


def package_table(name: str) -> list[list[str]]:
    """Rows of a series that ships inside arch, as text; read as a file, since importing arch takes seconds."""
    spec = importlib.util.find_spec("arch")
    if spec is None or not spec.submodule_search_locations:
        raise DataError("package arch is not installed; it holds the series of market 'history': see requirements.txt")
    path = Path(spec.submodule_search_locations[0]) / "data" / name / f"{name}.csv.gz"
    try:
        with gzip.open(path, "rt", encoding="utf-8") as file:
            return [line.split(",") for line in file.read().splitlines()[1:]]
    except OSError as error:
        raise DataError(f"arch/data/{name}: cannot be read ({error}); install the arch of requirements.txt") from None


def american_day(text: str) -> int:
    """'1/3/2014' -> days since 1970-01-01."""
    month, day, year = (int(part) for part in text.split("/"))
    return day_number(f"{year:04d}-{month:02d}-{day:02d}")


def read_dividends(path: Path = DIVIDEND_FILE) -> tuple[Any, Any]:
    """(ex-dates as days, $ per share), in order."""
    import yaml

    table = yaml.safe_load(path.read_text(encoding="utf-8"))["dividends"]
    return np.array([day_number(day) for day in table]), np.array(list(table.values()), np.float64)


def trailing_dividends(days: Any, ex_days: Any, amounts: Any) -> Any:
    """Sum of the last four dividends whose ex-date is at or before each day."""
    paid = np.concatenate(([0.0], np.cumsum(amounts)))
    count = np.searchsorted(ex_days, days, "right")
    if count.min() < TRAILING_DIVIDENDS:
        raise DataError(f"{DIVIDEND_FILE.name}: fewer than {TRAILING_DIVIDENDS} dividends before {day_text(days[0])}")
    return paid[count] - paid[count - TRAILING_DIVIDENDS]


def monthly_rates(days: Any) -> tuple[Any, int]:
    """(cash rate of each day, continuous per year; days in months after the series' end, which keep its last rate).

    The month's bill return in per cent, known when the month begins.
    """
    table = {int(row[0]): float(row[4]) for row in package_table("frenchdata")}
    months = np.array(sorted(table))
    years = np.log1p(np.array([table[m] for m in months.tolist()]) / 100.0) * 12.0
    since = days.astype("datetime64[D]").astype("datetime64[M]").astype(int)
    month = (1970 + since // 12) * 100 + since % 12 + 1
    at = np.searchsorted(months, month, "right") - 1
    return years[at], int((month > months[-1]).sum())


def read_daily() -> tuple[DailyInput, dict[str, Any]]:
    """The shipped series of FIRST_DAY to LAST_DAY, and a report of what was missing or passed over."""
    first, last = day_number(FIRST_DAY), day_number(LAST_DAY)
    rows = [(american_day(row[0]), row) for row in package_table("sp500")]
    before = [row for day, row in rows if day < first]
    index = {day: row for day, row in rows if first <= day <= last}
    vix = {american_day(row[0]): row[1] for row in package_table("vix")}
    known = {day: float(value) for day, value in vix.items() if value not in ("", ".")}
    days = sorted(day for day in index if day in known)
    high, low, close = (np.array([float(index[d][k]) for d in days]) / POINTS_PER_DOLLAR for k in (2, 3, 4))
    session_days = np.array(days, np.int32)
    rate, carried = monthly_rates(session_days)
    daily = DailyInput(
        day=session_days,
        close=close,
        high=high,
        low=low,
        vix=np.array([known[d] for d in days]),
        rate=rate,
        dividend=trailing_dividends(session_days, *read_dividends()),
        close_before=float(before[-1][4]) / POINTS_PER_DOLLAR,
        vix_before=VIX_BEFORE_FIRST,
    )
    report = {
        "sessions": len(days),
        "index_days_without_vix": len(index) - len(days),
        "vix_days_without_a_value": sum(first <= d <= last and d not in known for d in vix),
        "printed_opens_ignored": len(days),
        "sessions_with_a_carried_rate": carried,
    }
    return daily, report


# ---------------------------------------------------------------- the market


def calendar_of(daily: DailyInput) -> Sessions:
    """The sessions of the input and CALENDAR_REACH days more; the input must miss none and add none."""
    sessions = sessions_between(int(daily.day[0]), int(daily.day[-1]) + CALENDAR_REACH)
    expected = sessions.day[: np.searchsorted(sessions.day, daily.day[-1], "right")]
    if not np.array_equal(expected, daily.day):
        odd = np.setxor1d(expected, daily.day)
        where = day_text(odd[0]) if len(odd) else "a repeated day"
        raise DataError(f"daily input and the exchange calendar differ first on {where}; give one row per session")
    return sessions


def drawn(paths: Paths, ends: Any, close_before: Any) -> dict[str, float]:
    """What the drawing did: the overnight share of the variance, and the opening gaps."""
    opens = paths.open[np.concatenate(([0], ends[:-1]))]
    gap, move = np.log(opens / close_before), np.log(paths.close[ends - 1] / close_before)
    return {
        "overnight_share_of_variance": round(float((gap**2).sum() / (gap**2 + (move - gap) ** 2).sum()), 4),
        "gaps_above_2_percent": int((np.abs(gap) > BIG_GAP).sum()),
        "largest_gap_percent": round(100.0 * float(np.abs(gap).max()), 3),
    }


def build_history(folder: Path, seed: int = 7, daily: DailyInput | None = None) -> Store:
    """Write market 'history' into `folder` (the store's own folder) and open it. Modelled.

    seed : of the drawn bars; daily : other daily series than the shipped ones, for tests
    """
    report: dict[str, Any] = {}
    source: dict[str, Any] = {"daily": "given"}
    if daily is None:
        daily, report = read_daily()
        source = {
            "daily": f"arch {importlib.metadata.version('arch')}: sp500 (closes, highs, lows / 10), vix, frenchdata RF",
            "first": FIRST_DAY,
            "last": LAST_DAY,
            "vix_before": f"{VIX_BEFORE_FIRST}, Cboe",
            "dividends": f"data/presets/{DIVIDEND_FILE.name}",
        }
    sessions = calendar_of(daily)
    bars = bars_of(sessions)[: len(daily.day)]
    paths = build_paths(daily.close, daily.high, daily.low, daily.vix, daily.close_before, daily.vix_before, bars, seed)
    close_before = np.concatenate(([daily.close_before], daily.close[:-1]))
    facts = DayFacts(close_before, daily.rate, daily.dividend / close_before)
    shape = read_shape()
    columns = modelled_columns(sessions, paths, np.full(len(paths.close), np.nan), facts, shape)
    report["drawn"] = drawn(paths, np.cumsum(bars), close_before)
    report["early_closes"] = int((bars < bars.max()).sum())
    return write_store(folder, columns, modelled_facts("history", source, QUOTES, seed, shape), report)
