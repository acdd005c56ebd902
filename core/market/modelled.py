"""A market quoted by the modelled surface alone: rows, sessions, listed expiries and strikes as a store's columns.

Nothing here is a quote: a modelled market holds spot, VIX, rates and what was listed when; core.quotes prices a
leg when somebody asks. Every price made so is MODELLED. Listings follow the calendar and past closes only.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from core.errors import DataError
from core.jit import njit
from core.market.build import BAR_MINUTES, STYLES, no_chain_columns
from core.market.calendar import NS_MINUTE, Sessions, day_number, minute_of_day
from core.market.paths import Paths
from core.market.store import Store
from core.pricing.model_surface import VIX_DAYS, ModelShape, shape_from_mapping, variance_clock, vol_at
from core.types import CALL, PHYSICAL_PM, PUT

PRESETS = Path(__file__).resolve().parents[2] / "data" / "presets"
SHAPE_FILE = PRESETS / "model_surface.yaml"
NEW_YORK = "America/New_York"
OPEN_MINUTE = 570
CENTS_PER_STRIKE = 100  # $1 steps
CALENDAR_REACH = 200  # calendar days known beyond the market's end: farther than any listing
YEAR_SESSIONS = 252.0
PREMIUM_DAYS = 30


class Listing(NamedTuple):
    """A family of expiries: which days, how long before each is listed (calendar days), and its strikes.

    weekday : of the expiry, Monday 0; or MONTHLY (third Friday) or QUARTER_END
    first   : earliest expiry day, None for always; the family is not listed before the session before it
    low, high: strikes inside these multiples of the previous close are listed
    """

    weekday: int
    ahead: int
    first: str | None
    low: float
    high: float


MONDAY, WEDNESDAY, FRIDAY, MONTHLY, QUARTER_END = 0, 2, 4, 7, 8
# SPY's expiries and how far ahead they are listed; Cboe/NYSE listing notices; not verified. A holiday moves an
# expiry to the session before, a Monday's to the session after. Real monthlies and quarter-ends are listed far
# longer; nothing farther out than this is needed here. Strike ranges are ours, in the manner of the listed ones.
LISTINGS = (
    Listing(MONTHLY, 182, None, 0.60, 1.15),
    Listing(QUARTER_END, 182, None, 0.60, 1.15),
    Listing(FRIDAY, 43, None, 0.75, 1.12),
    Listing(WEDNESDAY, 36, "2016-08-31", 0.75, 1.12),
    Listing(MONDAY, 31, "2018-02-20", 0.75, 1.12),
)


class Expiries(NamedTuple):
    """Expiry days in order, the day from which each is listed, and its strike range as multiples of a close."""

    day: Any  # int32 (X)
    listed: Any  # int32 (X)
    low: Any  # float64 (X)
    high: Any  # float64 (X)


class DayFacts(NamedTuple):
    """What is known of each session before it opens, (S,)."""

    close_before: Any  # $, the last close
    rate: Any  # cash rate per year, continuous
    dividend_yield: Any  # per year


def read_shape(path: Path = SHAPE_FILE) -> ModelShape:
    """The fitted numbers of the surface."""
    import yaml

    return shape_from_mapping(yaml.safe_load(path.read_text(encoding="utf-8"))["shape"])


# ---------------------------------------------------------------- listings


def nominal_days(listing: Listing, first_day: int, last_day: int) -> Any:
    """Expiry days of a family as its rule says, holidays not looked at."""
    days = np.arange(first_day, last_day + 1)
    dates = days.astype("datetime64[D]")
    months = dates.astype("datetime64[M]")
    if listing.weekday == QUARTER_END:
        last_of_month = (dates + 1).astype("datetime64[M]") != months
        chosen = last_of_month & (months.astype(int) % 3 == 2)  # months since January 1970
    else:
        weekday = FRIDAY if listing.weekday == MONTHLY else listing.weekday
        chosen = (days + 3) % 7 == weekday  # day 0 was a Thursday
        if listing.weekday == MONTHLY:
            chosen &= ((dates - months.astype("datetime64[D]")).astype(int) // 7) == 2
    return days[chosen]


def spy_expiries(sessions: Sessions, last_listed: int, listings: tuple[Listing, ...] = LISTINGS) -> Expiries:
    """Every expiry in a calendar that is listed by day `last_listed`; one per day, the longest listed."""
    parts = []
    first_day, last_day = int(sessions.day[0]), int(sessions.day[-1])
    for listing in listings:
        start = first_day if listing.first is None else max(first_day, day_number(listing.first))
        nominal = nominal_days(listing, start - 7, last_day)
        after = listing.weekday == MONDAY
        at = np.searchsorted(sessions.day, nominal) if after else np.searchsorted(sessions.day, nominal, "right") - 1
        inside = (at >= 0) & (at < len(sessions.day))
        day, nominal = sessions.day[np.where(inside, at, 0)], nominal[inside]
        day = day[inside]
        keep = day >= start
        day, nominal = day[keep], nominal[keep]
        listed = nominal - listing.ahead
        if listing.first is not None:
            listed = np.maximum(listed, sessions.day[np.searchsorted(sessions.day, start) - 1])
        wide = np.full(len(day), listing.low), np.full(len(day), listing.high)
        parts.append(np.column_stack([day, listed, *wide]))
    table = np.concatenate(parts)
    table = table[table[:, 1] <= last_listed]
    table = table[np.lexsort((table[:, 1], table[:, 0]))]
    day, first = np.unique(table[:, 0], return_index=True)
    return Expiries(
        day.astype(np.int32),
        table[first, 1].astype(np.int32),  # of families that share a day, the one listed first
        np.minimum.reduceat(table[:, 2], first),
        np.maximum.reduceat(table[:, 3], first),
    )


def strikes_of(close_before: Any, low: float, high: float) -> tuple[Any, Any]:
    """(strikes in cents, session of the life at whose open each is first listed) of one expiry.

    close_before : $, last close before each session of the expiry's life. A strike is listed once the range
    around a close has reached it; the grid has no holes.
    """
    lows = np.minimum.accumulate(np.ceil(low * close_before - 1e-9)).astype(np.int64)
    highs = np.maximum.accumulate(np.floor(high * close_before + 1e-9)).astype(np.int64)
    strikes = np.arange(lows[-1], highs[-1] + 1)
    by_low = np.searchsorted(-lows, -strikes)  # first session whose lowest strike is at or below
    by_high = np.searchsorted(highs, strikes)
    return strikes * CENTS_PER_STRIKE, np.maximum(by_low, by_high)


# ---------------------------------------------------------------- columns


def session_columns(sessions: Sessions, starts: Any, ends: Any, paths: Paths, facts: DayFacts) -> dict[str, Any]:
    count = len(starts)
    return {
        "s_start": starts.astype(np.int32),
        "s_end": ends.astype(np.int32),
        "s_day": sessions.day[:count].astype(np.int32),
        "s_offset": sessions.offset[:count].astype(np.int16),
        "s_close": minute_of_day(sessions.close_ns, sessions.day, sessions.offset)[:count],
        "s_settle": paths.close[ends - 1],
        "s_open": paths.open[starts],
        "s_rate": np.asarray(facts.rate, np.float64),
        "s_dividend_yield": np.asarray(facts.dividend_yield, np.float64),
        "s_decide": np.full(count, -1, np.int32),
    }


def row_columns(sessions: Sessions, bars: Any, starts: Any, paths: Paths, facts: DayFacts) -> dict[str, Any]:
    """Rows at the close of each bar; every row is tradable, at modelled quotes."""
    session = np.repeat(np.arange(len(bars), dtype=np.int32), bars)
    bar = np.arange(len(session)) - starts[session]
    ts = sessions.open_ns[session] + (bar + 1) * BAR_MINUTES * NS_MINUTE
    minute = minute_of_day(ts, sessions.day[session], sessions.offset[session])
    return {
        "ts": ts,
        "spot": paths.close,
        "session": session,
        "minute": minute,
        "quoted": np.ones(len(session), np.uint8),
        "snap": np.full(len(session), -1, np.int32),
        "vix": paths.vix,
        "since": minute.astype(np.float64) - OPEN_MINUTE,
        "move": paths.close / np.asarray(facts.close_before)[session] - 1.0,
        "open": paths.open,
        "high": paths.high,
        "low": paths.low,
        "volume": np.full(len(session), np.nan),
        "is_bar": np.ones(len(session), bool),
    }


def contract_columns(expiries: Expiries, sessions: Sessions, starts: Any, facts: DayFacts) -> dict[str, Any]:
    """Expiries (e_) and contracts (c_), sorted by expiry, right (put first) and strike."""
    days = sessions.day[: len(starts)]
    born = np.searchsorted(days, expiries.listed)
    dead = np.searchsorted(days, expiries.day, "right")
    ranges = np.zeros((len(expiries.day), 4), np.int32)
    parts: list[tuple[Any, ...]] = []
    total = 0
    for x, (a, b) in enumerate(zip(born, dead, strict=True)):
        strikes, since = strikes_of(facts.close_before[a:b], expiries.low[x], expiries.high[x])
        n = len(strikes)
        ranges[x] = total, total + n, total + n, total + 2 * n
        total += 2 * n
        rights = np.repeat(np.array([PUT, CALL], np.int8), n)
        parts.append((np.full(2 * n, x), np.tile(strikes, 2), rights, np.tile(starts[a + since], 2)))
    expiry, strike, right, first = (np.concatenate(column) for column in zip(*parts, strict=True))
    at = np.searchsorted(sessions.day, expiries.day)
    return {
        "e_day": expiries.day,
        "e_session": np.where(at < len(starts), at, -1).astype(np.int32),
        "e_ts": sessions.close_ns[at],
        "e_style": np.full(len(at), PHYSICAL_PM, np.int8),
        "e_first": starts[born].astype(np.int32),
        "e_put_lo": ranges[:, 0],
        "e_put_hi": ranges[:, 1],
        "e_call_lo": ranges[:, 2],
        "e_call_hi": ranges[:, 3],
        "c_expiry": expiry.astype(np.int32),
        "c_strike": strike.astype(np.int32),
        "c_right": right,
        "c_first": first.astype(np.int32),
    }


def no_cells(contracts: int) -> dict[str, Any]:
    """Quote columns of a market without a table of quotes: no contract has a cell."""
    return {
        **no_chain_columns(),
        "q_base": np.zeros(contracts, np.int64),
        "q_first": np.zeros(contracts, np.int32),
        "q_last": np.full(contracts, -1, np.int32),
    }


def clock_at(shape: ModelShape, sessions: Sessions, ts: Any) -> Any:
    """The variance clock (years since the first session's open) at UTC ns stamps inside the calendar."""
    out = np.empty(len(ts))
    variance_clock(shape, np.asarray(ts), sessions.open_ns, sessions.close_ns, out)
    return out


def bars_of(sessions: Sessions) -> Any:
    """Five-minute bars of each session."""
    return (sessions.close_ns - sessions.open_ns) // (BAR_MINUTES * NS_MINUTE)


def modelled_columns(
    sessions: Sessions,
    paths: Paths,
    vix3m: Any,
    facts: DayFacts,
    shape: ModelShape,
    listings: tuple[Listing, ...] = LISTINGS,
) -> dict[str, Any]:
    """All columns of a modelled market.

    sessions : the market's sessions and then the calendar for CALENDAR_REACH days more
    paths    : bars of the market's sessions; vix3m : points per bar, NaN unknown; facts : (S,)
    """
    count = len(facts.close_before)
    bars = bars_of(sessions)[:count]
    ends = np.cumsum(bars)
    starts = ends - bars
    if ends[-1] != len(paths.close):
        raise DataError(f"{len(paths.close)} bars for sessions that hold {ends[-1]}; give one per five minutes")
    rows = row_columns(sessions, bars, starts, paths, facts)
    contracts = contract_columns(
        spy_expiries(sessions, int(sessions.day[count - 1]), listings), sessions, starts, facts
    )
    alive = contracts["e_day"] >= sessions.day[0]
    if not alive.all():
        raise DataError("an expiry lies before the market's first session")
    return {
        **rows,
        "vix3m": np.asarray(vix3m, np.float64),
        "clock": clock_at(shape, sessions, rows["ts"]),
        **session_columns(sessions, starts, ends, paths, facts),
        **contracts,
        "e_clock": clock_at(shape, sessions, contracts["e_ts"]),
        **no_cells(len(contracts["c_strike"])),
    }


def modelled_facts(name: str, source: Any, quotes: str, seed: int, shape: ModelShape) -> dict[str, Any]:
    """The manifest's facts of a modelled SPY market."""
    return {
        "name": name,
        "kind": "model",
        "price_scale": 1.0,
        "source": source,
        "timezone": NEW_YORK,
        "stamps": "bars at their close, UTC ns",
        "roots": {"SPY": {"settlement": STYLES[PHYSICAL_PM], "multiplier": 100}},
        "quotes": quotes,
        "pricing": "European; early exercise is not priced",
        "listings": "SPY's expiries by rule: Cboe/NYSE listing notices; not verified",
        "seed": seed,
        "shape": shape._asdict(),
    }


# ---------------------------------------------------------------- what the surface pays


@njit
def at_the_money(shape, vix, vix3m, out):
    """Modelled ATM volatility at 30 days (both clocks: 30/365) for arrays of VIX; writes `out`."""
    for i in range(vix.size):
        out[i] = vol_at(shape, 0.0, VIX_DAYS, VIX_DAYS, vix[i], vix3m[i])


def forward_volatility(days: Any, closes: Any, horizon: int = PREMIUM_DAYS) -> Any:
    """Volatility per year, close to close, over the `horizon` calendar days after each session; NaN unknown."""
    squares = np.concatenate(([0.0, 0.0], np.cumsum(np.diff(np.log(closes)) ** 2)))  # up to and including session i
    last = np.searchsorted(days, days + horizon, "right") - 1
    count = last - np.arange(len(days))
    known = (days + horizon <= days[-1]) & (count > 0)
    variance = YEAR_SESSIONS * (squares[last + 1] - squares[1:]) / np.maximum(count, 1)
    return np.where(known, np.sqrt(np.maximum(variance, 0.0)), np.nan)


def premium_of(store: Store) -> dict[str, float]:
    """ATM volatility at 30 days less the realised volatility of the 30 days that follow, in decimals per year.

    What selling options can earn on this market because the surface was given so. At each session's close, over
    sessions whose 30 days lie inside the market. A store without a surface, or shorter than that, is a DataError.
    """
    if "shape" not in store.manifest:
        raise DataError(f"market '{store.name}' has no modelled surface, so no premium of its own")
    columns = store.columns
    last = columns["s_end"] - 1
    implied = np.empty(len(last))
    shape = shape_from_mapping(store.manifest["shape"])
    at_the_money(shape, columns["vix"][last], columns["vix3m"][last], implied)
    realised = forward_volatility(columns["s_day"], columns["s_settle"])
    known = np.isfinite(realised) & np.isfinite(implied)
    if not known.any():
        raise DataError(f"market '{store.name}' is shorter than {PREMIUM_DAYS} days; its premium is unknown")
    premium = (implied - realised)[known]
    return {
        "sessions": int(known.sum()),
        "implied_mean": float(implied[known].mean()),
        "realised_mean": float(realised[known].mean()),
        "mean": float(premium.mean()),
        "median": float(np.median(premium)),
    }
