"""Files whose columns a YAML map names: `data import generic --map FILE`, and the vendors' maps of data/presets.

    layout: long                  # one row a contract; wide: one row a strike, with columns of both rights
    delimiter: ","
    time: {column: quoted, format: "%Y-%m-%d %H:%M", timezone: America/New_York, length_minutes: 1}
                                  # length_minutes: quotes are the close of an interval stamped at its start
    time: {date: day, format: "%m/%d/%Y", minutes_after_close: 0}      # where only the date is known
    expiration: {column: expiry, format: "%Y-%m-%d"}
    right: {column: cp, call: [C], put: [P]}                           # long layout
    columns: {strike: Strike, bid: Bid, ask: Ask, underlying: Spot}    # ours: theirs, or a list of theirs
    call: {bid: CallBid, ask: CallAsk}                                 # wide layout
    put: {bid: PutBid, ask: PutAsk}
    constants: {root: SPY}
    percent: [iv]                 # columns given in per cent
    optional: [iv, delta]         # columns that a file may lack
    spx_weeklies: true            # the file calls SPXW expiries SPX
    bars: {time: {column: t, timezone: UTC, stamp: start}, columns: {open: o, high: h, low: l, close: c}}

Formats are those of strptime; ISO 8601 where none is given; a list is tried in order.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core.config import read_yaml, suggestion
from core.errors import ConfigError, DataError
from core.market.build import Bars, Chain, picked
from core.market.calendar import NS_MINUTE, sessions_over
from core.market.import_tables import (
    ISO,
    RIGHTS,
    Asked,
    bars_of,
    chain_of,
    evenings,
    need,
    numbers,
    of_roots,
    read_bars,
    read_table,
    rights,
    stamps,
)

if TYPE_CHECKING:
    import pandas as pd

Map = dict[str, Any]
OURS = frozenset(
    "root strike bid ask iv delta volume open_interest bid_size ask_size underlying underlying_implied mark".split()
)
PARTS: dict[str, frozenset[str] | None] = {  # the keys of a map, and the keys within each; None: a plain value
    **dict.fromkeys(("about", "source", "date", "checked")),
    **dict.fromkeys(("layout", "delimiter", "percent", "optional", "spx_weeklies")),
    "time": frozenset(("column", "date", "format", "timezone", "unit", "length_minutes", "minutes_after_close")),
    "expiration": frozenset(("column", "format")),
    "right": frozenset(("column", "call", "put")),
    **dict.fromkeys(("columns", "call", "put", "constants"), OURS),
    "bars": frozenset(("time", "columns")),
}
BAR_PARTS = {
    "time": frozenset(("column", "format", "timezone", "unit", "stamp")),
    "columns": frozenset(("open", "high", "low", "close", "volume")),
}


def load_map(path: Path) -> Map:
    """A column map, its keys checked; an unknown or missing one is a ConfigError."""
    tree = read_yaml(path)
    for key, value in tree.items():
        if key not in PARTS:
            raise ConfigError(f"{path.name}: unknown key {key!r}{suggestion(key, PARTS)}")
        inner = PARTS[key]
        if inner is None:
            continue
        if not isinstance(value, dict):
            raise ConfigError(f"{path.name}: {key} is {value!r}; give a mapping such as {{column: NAME}}")
        for name in value:
            if name not in inner:
                raise ConfigError(f"{path.name}: unknown key {key}.{name}{suggestion(name, inner)}")
    if tree.get("layout", "long") not in ("long", "wide"):
        raise ConfigError(
            f"{path.name}: layout is {tree['layout']!r}; give long (row a contract) or wide (row a strike)"
        )
    wide = tree.get("layout") == "wide"
    for key in ("time", "expiration", "columns", *(("call", "put") if wide else ("right",))):
        if key not in tree:
            raise ConfigError(f"{path.name}: no {key}; a {'wide' if wide else 'long'} map needs it")
    for side in ("call", "put") if wide else ("columns",):
        known = set(tree["columns"]) | set(tree[side])
        if not ({"strike", "bid", "ask"} <= known or {"strike", "mark"} <= known):
            raise ConfigError(f"{path.name}: {side} does not name strike, bid and ask (or strike and mark)")
    for key, part, names in (
        ("time", tree["time"], ("column", "date")),
        ("expiration", tree["expiration"], ("column",)),
        *((("right", tree["right"], ("column",)),) if not wide else ()),
    ):
        if not set(names) & set(part):
            raise ConfigError(f"{path.name}: no {key}.{' or '.join(names)}; name the column")
    return tree


def listed(value: Any) -> list[str]:
    return [str(v) for v in value] if isinstance(value, list) else [str(value)]


def formats_of(part: Map) -> Sequence[str]:
    return listed(part["format"]) if "format" in part else ISO


def found(frame: pd.DataFrame, names: Any, path: Path) -> str:
    """The first of a column's possible names that the file has."""
    for name in listed(names):
        if name in frame.columns:
            return name
    held = ", ".join(map(str, frame.columns[:12]))
    raise DataError(f"{path.name} line 1: no column {' or '.join(listed(names))}; it has {held}")


def chosen(frame: pd.DataFrame, names: Map, optional: Sequence[str], path: Path) -> dict[str, str]:
    """ours -> theirs for the columns that the file has; a missing one must be optional."""
    result = {}
    for ours, theirs in names.items():
        if ours in optional and not set(listed(theirs)) & set(frame.columns):
            continue
        result[ours] = found(frame, theirs, path)
    return result


def long_rows(frame: pd.DataFrame, plan: Map, path: Path) -> tuple[pd.DataFrame, dict[str, str]]:
    """(one row a contract under our names, ours -> theirs for messages); calls before puts where rows were wide."""
    import pandas as pd

    optional = listed(plan.get("optional", []))
    need(frame, [], path)
    common = chosen(frame, plan["columns"], optional, path)
    expiry = found(frame, plan["expiration"]["column"], path)
    parts = []
    titles = dict(common)
    sides = ("call", "put") if plan.get("layout") == "wide" else ("",)
    for side in sides:
        names = {**common, **(chosen(frame, plan[side], optional, path) if side else {})}
        part = pd.DataFrame({ours: frame[theirs] for ours, theirs in names.items()}, index=frame.index)
        part["expiration"] = frame[expiry]
        if side:
            part["type"] = side
            for ours in plan[side].keys() & names.keys():
                titles[ours] = f"{titles[ours]} or {names[ours]}" if ours in titles else names[ours]
        else:
            letter = frame[found(frame, plan["right"]["column"], path)]
            part["type"] = np.where(rights(letter, path, words(plan)), "call", "put")
        parts.append(part)
    rows = pd.concat(parts) if len(parts) > 1 else parts[0]
    for name in listed(plan.get("percent", [])):
        if name in rows.columns:
            rows[name] = numbers(rows, name, path, titles=titles) / 100.0
    for name, value in plan.get("constants", {}).items():
        rows[name] = value
    return rows, titles


def words(plan: Map) -> dict[str, bool]:
    """The words for call and put: those of the map, else the usual ones."""
    own = {w.strip().lower(): side == "call" for side in ("call", "put") for w in listed(plan["right"].get(side, []))}
    return own or dict(RIGHTS)


def quote_times(frame: pd.DataFrame, plan: Map, path: Path, tz: str | None) -> Any:
    """UTC ns of each row of a file: of its stamp, or by its date and that session's close."""
    time = plan["time"]
    if "date" in time:
        name = found(frame, time["date"], path)
        return evenings(frame, name, path, int(time.get("minutes_after_close", 0)), formats_of(time))
    name = found(frame, time["column"], path)
    ts = stamps(frame[name], time.get("timezone", tz), path, formats_of(time), time.get("unit"))
    return ts + int(time.get("length_minutes", 0)) * NS_MINUTE


def standard_monthly(days: Any) -> Any:
    """Whether each day is a third Friday, the Saturday after it, or the Thursday before where it is a holiday."""
    dates = days.astype("datetime64[D]")
    month_day = (dates - dates.astype("datetime64[M]")).astype(np.int64) + 1
    weekday = (days + 3) % 7  # 1970-01-01 was a Thursday; Monday is 0
    friday_open = np.isin(days + 1, sessions_over(int(days.min()), int(days.max()) + 1).day)
    return (
        ((weekday == 4) & (month_day >= 15) & (month_day <= 21))
        | ((weekday == 5) & (month_day >= 16) & (month_day <= 22))
        | ((weekday == 3) & (month_day >= 14) & (month_day <= 20) & ~friday_open)
    )


def split_index_roots(chain: Chain) -> tuple[Chain, dict[str, Any]]:
    """Rename SPX to SPXW off the monthly expiries, where vendors call both SPX: they settle differently."""
    weekly = (chain.root == "SPX") & ~standard_monthly(chain.day)
    if not weekly.any():
        return chain, {}
    root = chain.root.copy()
    root[weekly] = "SPXW"
    return chain._replace(root=root), {"rows_taken_for_spxw": int(weekly.sum())}


def mapped_chain(
    frame: pd.DataFrame, plan: Map, path: Path, asked: Asked, ts: Any = None
) -> tuple[Chain, dict[str, Any]]:
    """Quotes of a frame by its column map, and what was noticed. ts: times of the rows, where the map has none.

    A file without a column of roots takes the one stated by --root.
    """
    import pandas as pd

    rows, titles = long_rows(frame, plan, path)
    times = pd.Series(quote_times(frame, plan, path, asked.tz) if ts is None else ts, index=frame.index)
    rows["_time"] = np.tile(times.to_numpy(), len(rows) // len(frame))
    notes: dict[str, Any] = {}
    stated = "root" in rows.columns
    if not stated:
        if len(asked.roots) != 1:
            raise DataError(f"{path.name}: no column names the root; say which it is with --root (such as SPY)")
        rows["root"] = asked.roots[0]
    weeklies = bool(plan.get("spx_weeklies"))
    if stated and not weeklies:
        rows, notes = of_roots(rows, path, asked.roots)
    formats = formats_of(plan["expiration"])
    chain = chain_of(rows, path, rows["_time"].to_numpy(np.int64), titles, formats)
    if weeklies:
        chain, notes = split_index_roots(chain)
        if stated and asked.roots:
            chain, left = only_roots(chain, path, asked.roots)
            notes |= left
    return chain, notes


def only_roots(chain: Chain, path: Path, roots: Sequence[str]) -> tuple[Chain, dict[str, Any]]:
    keep = np.isin(chain.root.astype(str), roots)
    if not keep.any():
        held = ", ".join(sorted(set(chain.root.tolist())))
        raise DataError(f"{path.name}: no quotes of root {', '.join(roots)}; it holds {held} (--root)")
    left = int((~keep).sum())
    return picked(chain, keep), {"rows_of_other_roots": left} if left else {}


def plan_of(asked: Asked) -> Map:
    if asked.map_file is None:
        raise ConfigError("format generic needs a column map: --map FILE.yaml (see core/market/import_generic.py)")
    return load_map(asked.map_file)


def maps_bars(asked: Asked) -> bool:
    """Whether a column map says how the bar file is read."""
    return asked.map_file is not None and "bars" in load_map(asked.map_file)


def read_generic_chain(path: Path, asked: Asked) -> tuple[Chain, dict[str, Any]]:
    plan = plan_of(asked)
    return mapped_chain(read_table(path, str(plan.get("delimiter", ","))), plan, path, asked)


def read_generic_bars(path: Path, asked: Asked) -> Bars:
    """Bars by the map's `bars`; standard bars where it has none."""
    plan = plan_of(asked)
    if "bars" not in plan:
        return read_bars(path, asked)
    part = plan["bars"]
    for key, known in BAR_PARTS.items():
        if key not in part:
            raise ConfigError(f"{asked.map_file}: no bars.{key}; give both time and columns")
        for name in part[key]:
            if name not in known:
                raise ConfigError(f"{asked.map_file}: unknown key bars.{key}.{name}{suggestion(name, known)}")
    frame = read_table(path, str(plan.get("delimiter", ",")))
    need(frame, [], path)
    names = chosen(frame, part["columns"], ("volume",), path)
    missing = sorted({"open", "high", "low", "close"} - set(names))
    if missing:
        raise ConfigError(f"{asked.map_file}: no bars.columns.{missing[0]}; name those of open, high, low and close")
    time = part["time"]
    column = frame[found(frame, time["column"], path)]
    ts = stamps(column, time.get("timezone", asked.tz), path, formats_of(time), time.get("unit"))
    rows = frame[list(names.values())].rename(columns={theirs: ours for ours, theirs in names.items()})
    return bars_of(rows, path, ts, time.get("stamp", asked.stamp), names)
