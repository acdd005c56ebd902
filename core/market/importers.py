"""Files of bars and quotes into a market store: `python main.py data import FORMAT --bars F --chain F`.

A reader turns one file format into the tables of `core.market.build` (Bars, Chain); READERS names
them. Bad input gets one error with file, line, value and remedy, and nothing is written.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from core.config import suggestion
from core.errors import ConfigError, DataError
from core.market.build import (
    ROOTS,
    STYLES,
    Bars,
    Chain,
    Daily,
    assemble,
    daily_rows,
    five_minute,
)
from core.market.calendar import NS_DAY, NS_MINUTE, Sessions, day_text, sessions_over
from core.market.import_generic import maps_bars, read_generic_bars, read_generic_chain
from core.market.import_tables import (
    NEW_YORK,
    Asked,
    chain_of,
    column_names,
    days,
    evenings,
    need,
    numbers,
    of_roots,
    read_bars,
    read_table,
    stamps,
)
from core.market.import_vendors import (
    read_cboe,
    read_classic,
    read_classic_bars,
    read_ivolatility,
    read_mids,
    read_mids_bars,
    read_optionsdx,
    read_orats,
    read_outcomes,
    read_outcomes_bars,
)
from core.market.import_vix import vix_columns
from core.market.store import Store
from core.market.writer import write_store

EOD_NAMES = ("date", "root", "expiration", "strike", "type", "bid", "ask")
MINUTE_NAMES = ("timestamp", "root", "expiration", "strike", "type", "bid", "ask")
DAILY_NAMES = ("date", "open", "high", "low", "close")
UNDERLYINGS = {"SPY": "SPY", "XSP": "XSP", "SPX": "SPX", "SPXW": "SPX"}
FEWEST_CONTRACTS = 40  # a snapshot with fewer is a selection, not a chain
SELECTION_SHARE = 0.5  # ... when so many snapshots are that thin
SPOT_TOLERANCE = 0.1  # bars further than this from the chain's own spot are another underlying's


def read_standard(path: Path, asked: Asked) -> tuple[Chain, dict[str, Any]]:
    """Quotes with columns (date | timestamp), root, expiration, strike, type, bid, ask and what else there is.

    A timestamp is the start of its minute, the quote that minute's close. A date is the evening of that
    session: 15 minutes after the close where the file holds the spot implied then (`underlying_implied`).
    """
    frame = read_table(path)
    intraday = "timestamp" in frame.columns
    need(frame, MINUTE_NAMES if intraday else EOD_NAMES, path)
    frame, notes = of_roots(frame, path, asked.roots)
    if intraday:
        ts = stamps(frame["timestamp"], asked.tz, path) + NS_MINUTE
    else:
        ts = evenings(frame, "date", path, 15 if "underlying_implied" in frame.columns else 0)
    return chain_of(frame, path, ts), notes


# ---------------------------------------------------------------- what cannot be used


def check_sides(chain: Chain, path: Path) -> None:
    """A condor needs both sides, and one market has one underlying."""
    for side, name in ((chain.is_call, "calls"), (~chain.is_call, "puts")):
        if not side.any():
            raise DataError(f"{path.name}: no {name}; a condor needs both sides of the chain")
    roots = sorted(set(chain.root.tolist()))
    if len({UNDERLYINGS[r] for r in roots}) > 1:
        raise DataError(
            f"{path.name}: roots {', '.join(roots)} have different underlyings; choose with --root {roots[0]}"
        )


def check_full(chain: Chain, path: Path) -> None:
    """Refuse contracts picked from a chain: a strategy's return on them would be biased."""
    contracts = np.unique(chain.ts, return_counts=True)[1]
    if np.mean(contracts < FEWEST_CONTRACTS) <= SELECTION_SHARE:
        return
    expiries = np.unique(chain.ts // NS_MINUTE * 100_000 + chain.day, return_counts=True)[1]
    raise DataError(
        f"{path.name}: {int(np.median(contracts))} contracts a snapshot ({int(np.median(expiries))} an expiry); "
        f"that is a selection, not a chain, and a return on it would be biased. Give the full chain, "
        f"or add --thin to store it for checks of prices and greeks only"
    )


def check_underlying(chain: Chain, bars: Bars, chain_path: Path, bars_path: Path) -> None:
    """The chain's own spot must be near the bars' price of the same day, where there is one."""
    at = np.searchsorted(bars.ts, chain.ts, side="right") - 1
    known = (chain.spot > 0.0) & (at >= 0)
    known &= chain.ts - bars.ts[np.maximum(at, 0)] < NS_DAY
    if not known.any():
        return
    price = float(np.median(bars.close[at[known]]))
    spot = float(np.median(chain.spot[known]))
    if abs(spot / price - 1.0) > SPOT_TOLERANCE:
        raise DataError(
            f"{chain_path.name}: its underlying is near {spot:.2f}, but {bars_path.name} is near {price:.2f} at the "
            f"same times; give bars of the chain's underlying, unadjusted"
        )


def fill_spot(chain: Chain, bars: Bars) -> Chain:
    """Quotes without an underlying price take the close of the last bar at or before them."""
    lacking = ~(chain.spot > 0.0)
    if not lacking.any():
        return chain
    at = np.searchsorted(bars.ts, chain.ts, side="right") - 1
    spot = np.where(lacking & (at >= 0), bars.close[np.maximum(at, 0)], chain.spot)
    return chain._replace(spot=spot)


# ---------------------------------------------------------------- daily files


def is_daily(path: Path) -> bool:
    """Whether a bar file holds one row a day (a `date` column instead of `timestamp`)."""
    names = column_names(path)
    return set(DAILY_NAMES) <= set(names) and "timestamp" not in names


def read_daily_bars(path: Path) -> tuple[Any, Any, Any, Any, Any]:
    """(days, open, high, low, close) of a daily file, in order; a day given twice is an error."""
    frame = read_table(path)
    need(frame, DAILY_NAMES, path)
    number = days(frame["date"], path)
    order = np.argsort(number, kind="stable")
    again = np.flatnonzero(np.diff(number[order]) == 0)
    if len(again):
        raise DataError(f"{path.name}: {day_text(number[order][again[0]])} stands twice; give one row a day")
    return (number[order], *(numbers(frame, n, path)[order] for n in DAILY_NAMES[1:]))


def daily_bars(path: Path, chain: Chain) -> tuple[Bars, Sessions, dict[str, Any], dict[int, float]]:
    """Two rows a session around the chain's life from daily prices; their sessions, report and official closes."""
    number, *prices = read_daily_bars(path)
    quote_days = chain.ts // NS_DAY
    keep = (number >= quote_days.min() - 3) & (number <= max(quote_days.max(), chain.day.max()))
    if not keep.any():
        raise DataError(
            f"chain and bars share no session: {path.name} holds {day_text(number[0])} to "
            f"{day_text(number[-1])}, quotes {day_text(quote_days.min())} to {day_text(quote_days.max())}; "
            f"give bars of the chain's dates"
        )
    opening, high, low, close = prices
    sane = np.isfinite(np.column_stack(prices)).all(1) & (low > 0)
    sane &= (high >= np.maximum(opening, close) - 1e-9) & (low <= np.minimum(opening, close) + 1e-9)
    report = {"daily_bars": int((keep & sane).sum()), "bad_ohlc_dropped": int((keep & ~sane).sum())}
    bars, sessions = daily_rows(number[keep & sane], *(p[keep & sane] for p in prices))
    return bars, sessions, report, {int(d): float(p) for d, p in zip(number, close, strict=True) if p > 0}


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


# ---------------------------------------------------------------- the command

BarReader = Callable[[Path, Asked], Bars]
ChainReader = Callable[[Path, Asked], tuple[Chain, dict[str, Any]]]
READERS: dict[str, tuple[BarReader, ChainReader]] = {
    "standard": (read_bars, read_standard),
    "classic": (read_classic_bars, read_classic),
    "optionsdx": (read_bars, read_optionsdx),
    "ivolatility": (read_bars, read_ivolatility),
    "orats": (read_bars, read_orats),
    "cboe": (read_bars, read_cboe),
    "generic": (read_generic_bars, read_generic_chain),
    "mids": (read_mids_bars, read_mids),
    "outcomes": (read_outcomes_bars, read_outcomes),
}


def reader_of(format_name: str) -> tuple[BarReader, ChainReader]:
    if format_name not in READERS:
        raise ConfigError(
            f"unknown format {format_name!r}{suggestion(format_name, READERS)}; the formats are {', '.join(READERS)}"
        )
    return READERS[format_name]


def roots_asked(root: str | None) -> tuple[str, ...]:
    """'SPX,SPXW' -> those roots; an unknown one is a ConfigError."""
    roots = tuple(r.strip().upper() for r in root.split(",")) if root else ()
    for name in roots:
        if name not in ROOTS:
            raise ConfigError(f"--root {name}: not a root that this version trades; give some of {', '.join(ROOTS)}")
    return roots


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
    root: str | None = None,
    map_file: Path | None = None,
    vix: Path | None = None,
    vix_names: tuple[str, ...] = (),
) -> Store:
    """Read, check, assemble and write one market; returns the opened store.

    tz, stamp : zone of naive times; whether bars are stamped at their start or end (a vendor's format may say)
    thin      : store a selection of contracts too, for checks of prices and greeks only
    closes    : daily file with official closes; rates: daily file of cash rates
    root      : the root, or roots with commas between, to take from the chain
    map_file  : column map of the generic format
    vix       : daily closes or bars of VIX and VIX3M; vix_names: their columns there, none for the usual names
    """
    bar_reader, chain_reader = reader_of(format_name)
    if not re.fullmatch(r"\w[\w.-]*", name):
        raise ConfigError(f"--name {name!r}: a market's name has letters, digits, '_', '-' and '.' only")
    asked = Asked(tz, stamp, roots_asked(root), map_file)
    chain, notes = chain_reader(chain_path, asked)
    check_sides(chain, chain_path)
    if not thin:
        check_full(chain, chain_path)
    daily = daily_values(closes, rates)
    only_daily = not maps_bars(asked) and is_daily(bars_path)
    if only_daily:
        bars, sessions, report, official = daily_bars(bars_path, chain)
        daily = daily._replace(close=daily.close or official)
    else:
        raw = bar_reader(bars_path, asked)
        sessions = sessions_over(int(raw.ts.min() // NS_DAY) - 1, int(raw.ts.max() // NS_DAY) + 1)
        bars, report = five_minute(raw, sessions, bars_path.name)
    check_underlying(chain, bars, chain_path, bars_path)
    columns, quality, kind = assemble(bars, sessions, fill_spot(chain, bars), daily, only_daily)
    quality["bars"] = report
    quality["reader"] = notes
    facts = facts_of(name, kind, format_name, (bars_path, chain_path), chain, thin)
    if vix is not None:
        found, quality["vix"] = vix_columns(vix, vix_names, asked, columns)
        columns.update(found)
        facts["source"]["vix"] = vix.name
    return write_store(folder / name, columns, facts, quality)


def facts_of(
    name: str, kind: str, format_name: str, files: tuple[Path, Path], chain: Chain, thin: bool
) -> dict[str, Any]:
    """What the manifest says of the market beside its columns."""
    roots = sorted(set(chain.root.tolist()))
    return {
        "name": name,
        "kind": kind,
        "price_scale": max(ROOTS[r][1] for r in roots),
        "source": {"format": format_name, "bars": files[0].name, "chain": files[1].name},
        "timezone": NEW_YORK,
        "roots": {r: {"settlement": STYLES[ROOTS[r][0]], "multiplier": 100} for r in roots},
        "quotes": "modelled" if format_name == "classic" else "real",
        "thin": thin,
    }
