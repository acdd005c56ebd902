"""Markets that are worse than one that is there, as stores of their own: other volatility, gaps, missing quotes.

What is changed on a row comes from that row and from draws made in order of time: cutting the future off changes
nothing before it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from core.market.build import BAR_MINUTES
from core.market.calendar import NS_MINUTE, Sessions, sessions_between
from core.market.generate import MANIFEST_OWN, SESSION_MINUTES
from core.market.modelled import CALENDAR_REACH, DayFacts, modelled_columns
from core.market.paths import Paths
from core.market.store import Store
from core.market.writer import write_store
from core.pricing.model_surface import shape_from_mapping

GAP_EVERY = 126  # sessions from one gap to the next, on average
GAP_VOL = 0.5  # VIX is so much higher on the session of a gap
GAP_HALF_LIFE = 10.0  # sessions in which that excess halves
VIX3M_POWER = 0.74  # ln of VIX3M's factor over ln of VIX's: the term exponent 0.27 from 30 to 93 days
PER_CELL = ("q_base", "q_first", "q_last", "q_row", "q_stick")  # columns q_ that are not one value a cell


def written(store: Store, folder: Path, columns: dict[str, Any], what: str) -> Store:
    """A changed market as a store; `what` is its name's ending, and a fact of its manifest."""
    facts = {key: value for key, value in store.manifest.items() if key not in MANIFEST_OWN}
    facts.update(name=f"{store.name}-{what}", shifted=what)
    return write_store(folder / what, columns, facts, {"made_from": store.hash})


def is_modelled_surface(store: Store) -> bool:
    """Whether quotes come from a surface that VIX drives."""
    return bool(store.manifest["kind"] == "model")


# ---------------------------------------------------------------- another level of volatility


def with_volatility(store: Store, folder: Path, factor: float, what: str) -> Store:
    """Spot as it was; VIX and VIX3M times a factor, so that the surface quotes every option anew."""
    columns = dict(store.columns)
    columns.update(vix=columns["vix"] * factor, vix3m=columns["vix3m"] * factor)
    return written(store, folder, columns, what)


# ---------------------------------------------------------------- other paths


def calendar_of(store: Store) -> Sessions:
    """The store's own sessions, then the exchange's for as long as anything is listed."""
    columns = store.columns
    day = np.asarray(columns["s_day"])
    ahead = sessions_between(int(day[0]), int(day[-1]) + CALENDAR_REACH)
    opened = columns["ts"][columns["s_start"]] - BAR_MINUTES * NS_MINUTE
    own = Sessions(day, opened, columns["ts"][columns["s_end"] - 1], columns["s_offset"])
    later = Sessions(*(column[ahead.day > day[-1]] for column in ahead))
    if bool((own.close_ns - own.open_ns == SESSION_MINUTES * NS_MINUTE).all()):  # a market that knows no early close
        later = later._replace(close_ns=later.open_ns + SESSION_MINUTES * NS_MINUTE)
    return Sessions(*(np.concatenate(pair) for pair in zip(own, later, strict=True)))


def takes_paths(store: Store) -> bool:
    """Whether the listing of strikes can follow a changed path: five-minute bars of SPY under the modelled surface."""
    if not is_modelled_surface(store) or list(store.manifest["roots"]) != ["SPY"]:
        return False
    columns = store.columns
    length = columns["ts"][columns["s_end"] - 1] - columns["ts"][columns["s_start"]]
    steps = length // (BAR_MINUTES * NS_MINUTE) + 1
    return bool((steps == columns["s_end"] - columns["s_start"]).all())


def gap_sessions(sessions: int, draw: np.random.Generator) -> Any:
    """bool[sessions]: a gap before the opening; never before the first."""
    gaps = draw.random(sessions) < 1.0 / GAP_EVERY
    gaps[:1] = False
    return gaps


def excess_volatility(gaps: Any) -> Any:
    """Factor of VIX in each session: 1 + GAP_VOL at the last gap, falling back to 1."""
    number = np.arange(len(gaps))
    last = np.maximum.accumulate(np.where(gaps, number, -1))
    return np.where(last < 0, 1.0, 1.0 + GAP_VOL * 0.5 ** ((number - last) / GAP_HALF_LIFE))


def with_gaps(store: Store, folder: Path, gaps: Any, size: float, what: str) -> Store:
    """The spot opens `size` (a share, < 0 falls) away from where it would have on some sessions and stays there.

    VIX is higher after each gap (excess_volatility).
    """
    session = np.asarray(store.columns["session"])
    level = np.cumprod(np.where(gaps, 1.0 + size, 1.0))[session]
    vol = excess_volatility(gaps)[session]
    return with_path(store, folder, lambda price: price * level, vol, vol**VIX3M_POWER, what)


def with_turbulence(store: Store, folder: Path, factor: float, what: str) -> Store:
    """Every log move of the spot since the start, and VIX and VIX3M, times a factor."""
    first = close_before(store)
    return with_path(store, folder, lambda price: first * (price / first) ** factor, factor, factor, what)


def close_before(store: Store) -> float:
    """The close before the first session, as it is printed."""
    columns = store.columns
    return round(float(columns["spot"][0] / (1.0 + columns["move"][0])), 6)


def with_path(
    store: Store, folder: Path, changed: Callable[[Any], Any], vix_factor: Any, vix3m_factor: Any, what: str
) -> Store:
    """Another path of prices; strikes are listed around its closes, options quoted anew.

    changed : prices of all rows to the new ones; factors : one or by row
    """
    columns = store.columns
    prices = (changed(np.asarray(columns[name])) for name in ("open", "high", "low", "spot"))
    paths = Paths(*prices, np.asarray(columns["vix"]) * vix_factor)
    closes = paths.close[np.asarray(columns["s_end"]) - 1]
    before = np.concatenate(([close_before(store)], closes[:-1]))
    facts = DayFacts(before, columns["s_rate"], columns["s_dividend_yield"])
    vix3m = np.asarray(columns["vix3m"]) * vix3m_factor
    shape = shape_from_mapping(store.manifest["shape"])
    built = modelled_columns(calendar_of(store), paths, vix3m, facts, shape)
    return written(store, folder, {**columns, **built}, what)


# ---------------------------------------------------------------- missing quotes


def with_missing(store: Store, folder: Path, share: float, draw: np.random.Generator, what: str) -> Store:
    """A share of the moments that carried quotes carries none: snapshots, or rows of a modelled surface."""
    columns = store.columns
    if is_modelled_surface(store):
        lost = draw.random(len(columns["ts"])) < share
        unknown = {name: np.where(lost, np.nan, columns[name]) for name in ("vix", "vix3m")}
        quoted = np.where(lost, 0, columns["quoted"]).astype(columns["quoted"].dtype)
        return written(store, folder, {**columns, **unknown, "quoted": quoted}, what)
    kept = draw.random(len(columns["q_row"])) >= share
    return written(store, folder, {**columns, **without_snapshots(columns, kept)}, what)


def without_snapshots(columns: dict[str, Any], kept: Any) -> dict[str, Any]:
    """The columns that change where only some snapshots were ever taken; a contract is listed from its first quote."""
    before = np.concatenate(([0], np.cumsum(kept)))  # snapshots kept of those below each number
    first, last = np.asarray(columns["q_first"], np.int64), np.asarray(columns["q_last"], np.int64)
    length = np.maximum(last - first + 1, 0)
    snapshot = np.repeat(first - (np.cumsum(length) - length), length) + np.arange(int(length.sum()))
    old = np.repeat(columns["q_base"] - first, length) + snapshot
    cell = old[kept[snapshot]]
    new_first, new_last = before[first], before[last + 1] - 1
    count = np.maximum(new_last - new_first + 1, 0)
    some = count > 0
    rows = np.asarray(columns["q_row"])[kept]
    listed = np.full(len(first), len(columns["ts"]), np.int64)  # no quote is left: it is never listed
    listed[some] = rows[new_first[some]]
    at_expiry = np.full(len(columns["e_day"]), len(columns["ts"]), np.int64)
    np.minimum.at(at_expiry, columns["c_expiry"], listed)
    snap = before[np.asarray(columns["snap"]) + 1] - 1
    changed = {name: column[cell] for name, column in columns.items() if name[:2] == "q_" and name not in PER_CELL}
    changed |= {name: columns[name][kept] for name in ("q_row", "q_stick", "v_index") if len(columns[name])}
    changed |= {"q_base": np.cumsum(count) - count, "q_first": np.where(some, new_first, 0)}
    changed |= {"q_last": np.where(some, new_last, -1), "c_first": listed, "e_first": at_expiry, "snap": snap}
    changed["quoted"] = np.asarray(columns["quoted"]) * kept[columns["snap"]] * (np.asarray(columns["snap"]) >= 0)
    return {name: np.asarray(column).astype(columns[name].dtype) for name, column in changed.items()}
