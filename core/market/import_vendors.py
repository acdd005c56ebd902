"""Readers of vendors' chain files: what a column map (data/presets/vendors) cannot say about each.

No header here could be checked against its vendor: the maps say where each fact comes from.
"""

from __future__ import annotations

import datetime as dt
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core.config import PRESETS
from core.errors import DataError
from core.market.build import Bars, Chain
from core.market.calendar import NS_DAY, NS_MINUTE, sessions_over
from core.market.import_generic import Map, load_map, mapped_chain
from core.market.import_tables import (
    NEW_YORK,
    Asked,
    check_exists,
    days,
    evenings,
    first_bad,
    need,
    numbers,
    place,
    read_bars,
    read_table,
    spacing_minutes,
    stamps,
)

if TYPE_CHECKING:
    import pandas as pd

OPTION_CODE = r"^\s*([A-Z]+)\s*\d{6}[CP]\d{8}\s*$"
LONGEST_BAR = 15  # minutes: marks of the classic system belong to bars of 1, 5 or 15 minutes
AFTER_CLOSE = 15 * NS_MINUTE  # when SPY and index options stop being quoted
OFFSETS = {"EDT": -4, "EST": -5}
SOON = 1e-6  # relative: an open interest this near the underlying price is the underlying price


def vendor_map(name: str) -> Map:
    return load_map(PRESETS / "vendors" / f"{name}.yaml")


def roots_of_codes(column: pd.Series, path: Path) -> pd.Series:
    """Root symbols of OCC option codes such as SPXW220218C00200000."""
    roots = column.astype(str).str.extract(OPTION_CODE, expand=False)
    if roots.isna().any():
        at = first_bad(roots.isna())
        raise DataError(f"{place(path, column, at)}: {column.name} is {column.iloc[at]!r}, which is not an option code")
    return roots


# ---------------------------------------------------------------- the classic system


def read_classic_bars(path: Path, asked: Asked) -> Bars:
    """The classic system's spot files: UTC unless stated, stamped at the start, extended hours included."""
    return read_bars(path, asked._replace(tz=asked.tz or "UTC", stamp=asked.stamp or "start"))


def read_classic(path: Path, asked: Asked) -> tuple[Chain, dict[str, Any]]:
    """Its option marks: each belongs to the bar stamped at its start and is known at that bar's close."""
    chain, notes = mapped_chain(read_table(path), vendor_map("classic"), path, asked._replace(tz=asked.tz or "UTC"))
    length = LONGEST_BAR
    if len(np.unique(chain.ts)) > 1:
        length = min(spacing_minutes(chain.ts, path), LONGEST_BAR)
    notes["marks_moved_to_the_close_of_their_bar_minutes"] = length
    notes["quotes_are"] = "marks of the classic system, which it makes by a model unless another source was loaded"
    return chain._replace(ts=chain.ts + length * NS_MINUTE), notes


# ---------------------------------------------------------------- vendors


def read_optionsdx(path: Path, asked: Asked) -> tuple[Chain, dict[str, Any]]:
    """OptionsDX: a row a strike; the root is in the file's name or stated by --root."""
    frame = read_table(path)
    need(frame, ("[QUOTE_READTIME]", "[STRIKE]"), path)
    said: dict[str, Any] = {}
    if not asked.roots:
        named = re.match(r"(spy|spxw|spx|xsp)(?![a-z])", path.name.lower())
        if named is None:
            raise DataError(f"{path.name}: no column names the root; say which it is with --root (such as SPY)")
        asked = asked._replace(roots=(named[1].upper(),))
        said["root_from_file_name"] = named[1].upper()
    for side in "CP":
        if f"[{side}_SIZE]" in frame.columns:
            sizes = frame[f"[{side}_SIZE]"].astype(str).str.extract(r"^\s*(\d+)\s*x\s*(\d+)\s*$").astype(float)
            frame[f"[{side}_SIZE] bid"], frame[f"[{side}_SIZE] ask"] = sizes[0], sizes[1]
    chain, notes = mapped_chain(frame, vendor_map("optionsdx"), path, asked)
    if "[QUOTE_UNIXTIME]" in frame.columns:
        unix = stamps(frame["[QUOTE_UNIXTIME]"], None, path, unit="s")
        read = stamps(frame["[QUOTE_READTIME]"], NEW_YORK, path, ("%Y-%m-%d %H:%M",))
        if (unix != read).any():
            said["rows_whose_unixtime_is_not_their_readtime"] = int((unix != read).sum())
    return chain, notes | said


def read_orats(path: Path, asked: Asked) -> tuple[Chain, dict[str, Any]]:
    """ORATS strikes: a row a strike, about 14 minutes before the close; its delta is the call's."""
    frame, plan = read_table(path), vendor_map("orats")
    if "cOpra" in frame.columns and frame["cOpra"].notna().all():
        frame["ticker"] = roots_of_codes(frame["cOpra"], path)
        plan["spx_weeklies"] = False
    return mapped_chain(frame, plan, path, asked)


def read_ivolatility(path: Path, asked: Asked) -> tuple[Chain, dict[str, Any]]:
    """iVolatility end of day; volume and open interest are taken from where a parsing fault put them."""
    frame, plan = read_table(path), vendor_map("ivolatility")
    need(frame, ("volume", "open_interest", "underlying_price"), path)
    notes: dict[str, Any] = {}
    price = numbers(frame, "underlying_price", path)
    interest = numbers(frame, "open_interest", path)
    if (numbers(frame, "volume", path) == 0).all() and (np.abs(interest - price) <= SOON * price).all():
        need(frame, ("oi_2", "option_id"), path)
        frame["volume"], frame["open_interest"] = frame["oi_2"], frame["option_id"]
        notes["columns_shifted"] = (
            "volume was 0 and open_interest the underlying price in every row: "
            "volume is taken from oi_2 and open interest from option_id"
        )
    if "option_symbol" in frame.columns:
        frame["symbol"] = roots_of_codes(frame["option_symbol"], path)
        plan["spx_weeklies"] = False
    chain, said = mapped_chain(frame, plan, path, asked)
    return chain, notes | said


# ---------------------------------------------------------------- Cboe quotedata


def read_cboe(path: Path, asked: Asked) -> tuple[Chain, dict[str, Any]]:
    """Cboe's delayed quotes: lines with symbol, last price and date, then a row a strike."""
    check_exists(path)
    with path.open(encoding="utf-8", errors="replace") as file:
        head = [file.readline() for _ in range(12)]
    at = [i for i, line in enumerate(head) if line.lower().lstrip('"').startswith("expiration date")]
    if not at:
        raise DataError(f"{path.name}: no line starts with 'Expiration Date'; is it Cboe's quotedata file?")
    preamble = " ".join(head[: at[0]])
    last = re.search(r"Last:\s*\"?([\d,]*\.?\d+)", preamble)
    if last is None:
        raise DataError(f"{path.name}: no 'Last: <price>' above the header; keep the lines above it")
    frame = read_table(path, skip=at[0])
    need(frame, ("Calls", "Puts", "Strike"), path)
    frame["root"] = roots_of_codes(frame["Calls"], path)
    frame["underlying"] = float(last[1].replace(",", ""))
    seen = cboe_instant(preamble, path)
    ts = quotes_known_at(seen)
    notes: dict[str, Any] = {"saved": np.datetime64(seen, "ns").astype("datetime64[s]").item().isoformat() + "Z"}
    if ts != seen:
        notes["quotes_taken_as_of"] = "15 minutes after the last close before it was saved; the underlying is the close"
    chain, said = mapped_chain(frame, vendor_map("cboe"), path, asked, np.full(len(frame), ts))
    return chain, notes | said


def cboe_instant(preamble: str, path: Path) -> int:
    """UTC ns of 'Date: July 8, 2022 at 4:10 PM EDT'."""
    found = re.search(r"Date:\s*(\w+ \d{1,2}, \d{4}) at (\d{1,2}:\d{2}\s*[AP]M) (\w+)", preamble)
    if found is None or found[3] not in OFFSETS:
        raise DataError(
            f"{path.name}: no 'Date: <month day, year> at <time> EDT|EST' above the header; keep the lines above it"
        )
    zone = dt.timezone(dt.timedelta(hours=OFFSETS[found[3]]))
    try:
        naive = dt.datetime.strptime(f"{found[1]} {found[2].replace(' ', '')}", "%B %d, %Y %I:%M%p")  # noqa: DTZ007
    except ValueError:
        raise DataError(f"{path.name}: the date {found[0]!r} above the header cannot be read") from None
    return int(naive.replace(tzinfo=zone).timestamp()) * 10**9


def quotes_known_at(seen: int) -> int:
    """When quotes saved at `seen` (UTC ns) were certainly out: then, or at the end of the last session."""
    day = seen // NS_DAY
    sessions = sessions_over(day - 10, day)
    ends = sessions.close_ns + AFTER_CLOSE
    during = (sessions.open_ns < seen) & (seen <= ends)
    return seen if during.any() else int(ends[ends <= seen][-1])


# ---------------------------------------------------------------- files of mids, and of outcomes


def read_mids(path: Path, asked: Asked) -> tuple[Chain, dict[str, Any]]:
    """Mid prices of same-day SPXW options, a row a strike and time: they mark, and nothing fills on them."""
    return mapped_chain(read_table(path), vendor_map("mids"), path, asked)


def read_mids_bars(path: Path, asked: Asked) -> Bars:
    """Bars of the index, or the file of mids itself: then its spot at each time is all there is."""
    frame = read_table(path)
    if "call_mid" not in frame.columns:
        return read_bars(path, asked)
    need(frame, ("timestamp", "spx"), path)
    ts, first = np.unique(stamps(frame["timestamp"], asked.tz, path), return_index=True)
    spot = numbers(frame, "spx", path)[first]
    return Bars(ts, spot, spot, spot, spot, np.zeros(len(ts)))


OUTCOME_LEGS = (  # strike, price, whether a call, which side the price is
    ("long_put", "long_put_ask", False, "ask"),
    ("short_put", "short_put_bid", False, "bid"),
    ("short_call", "short_call_bid", True, "bid"),
    ("long_call", "long_call_ask", True, "ask"),
)
OUTCOME_NAMES = ("date", "entry_time", "spx_at_entry", "spx_close", *(name for leg in OUTCOME_LEGS for name in leg[:2]))


def outcome_times(frame: pd.DataFrame, path: Path) -> tuple[Any, Any]:
    """(entry, close of that session) of each row, UTC ns."""
    import pandas as pd

    need(frame, OUTCOME_NAMES, path)
    text = pd.Series(frame["date"].astype(str) + " " + frame["entry_time"].astype(str), frame.index, name="entry_time")
    return stamps(text, NEW_YORK, path), evenings(frame, "date", path, 0)


def read_outcomes_bars(path: Path, asked: Asked) -> Bars:
    """Two rows a day: the index at the entry, and its close."""
    frame = read_table(path)
    entry, close = outcome_times(frame, path)
    ts, first = np.unique(np.concatenate([entry, close]), return_index=True)
    prices = np.concatenate([numbers(frame, n, path) for n in ("spx_at_entry", "spx_close")])[first]
    return Bars(ts, prices, prices, prices, prices, np.zeros(len(ts)))


def read_outcomes(path: Path, asked: Asked) -> tuple[Chain, dict[str, Any]]:
    """Same-day condors with the one side of each leg that traded: short legs bid, long legs ask."""
    frame = read_table(path)
    entry, _ = outcome_times(frame, path)
    n = len(frame)
    nothing = np.full(4 * n, np.nan)
    bid, ask = nothing.copy(), nothing.copy()
    strike = np.zeros(4 * n)
    for leg, (level, price, _, side) in enumerate(OUTCOME_LEGS):
        at = slice(leg * n, (leg + 1) * n)
        strike[at] = numbers(frame, level, path)
        (bid if side == "bid" else ask)[at] = numbers(frame, price, path)
    chain = Chain(
        ts=np.tile(entry, 4),
        spot=np.tile(numbers(frame, "spx_at_entry", path), 4),
        root=np.full(4 * n, "SPXW", object),
        day=np.tile(days(frame["date"], path), 4),
        strike=np.round(strike * 100).astype(np.int64),
        is_call=np.repeat([leg[2] for leg in OUTCOME_LEGS], n),
        bid=bid,
        ask=ask,
        **dict.fromkeys(("iv", "delta"), nothing),
        **dict.fromkeys(("volume", "interest", "bid_size", "ask_size"), np.zeros(4 * n)),
    )
    return chain, {"quotes_are": "one side of each leg: stated orders can be replayed, no strategy can trade"}
