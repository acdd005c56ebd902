"""The market store: columns on disk, read-only and memory-mapped, under a hashed manifest.

A store is a folder of .npy columns (of rows; s_ sessions, e_ expiries, c_ contracts, q_ quote cells,
v_ surfaces) and a manifest.json that says what they are: schema version,
source, ranges, timezone, kinds of quotes, gaps, counts of bad quotes, and a hash of every column.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from core.config import PRESETS, read_yaml
from core.errors import DataError
from core.market.calendar import day_number, day_text
from core.pricing.model_surface import ModelShape, shape_from_mapping
from core.types import (
    CARRIED,
    CONTRACT,
    EXPIRY,
    KIND_MODELLED,
    KIND_QUOTED,
    MODEL,
    ROW,
    SESSION,
    SIGNALS,
    TABLE,
    TRACKS,
    Market,
    dtype_of,
    record_of,
)

SCHEMA = 2
KINDS = {"table": TABLE, "carried": CARRIED, "model": MODEL}
NO_SHAPE = ModelShape(*[0.0] * len(ModelShape._fields))


class Store(NamedTuple):
    """An opened store: its folder, its manifest, and its columns (memory-mapped, read-only)."""

    path: Path
    manifest: dict[str, Any]
    columns: dict[str, Any]

    @property
    def name(self) -> str:
        return str(self.manifest["name"])

    @property
    def hash(self) -> str:
        return str(self.manifest["hash"])

    @property
    def modelled(self) -> bool:
        """Whether its quotes come from a model, tabulated or not."""
        return self.manifest["quotes"] != "real"


def columns_hash(columns: dict[str, Any], facts: dict[str, Any]) -> str:
    """One hash over all columns' bytes and the facts that change their meaning."""
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for name in sorted(columns):
        column = np.ascontiguousarray(columns[name])
        digest.update(f"{name} {column.dtype.str} {column.shape}".encode())
        digest.update(column.tobytes())
    return digest.hexdigest()


def open_store(path: Path) -> Store:
    """Map a store's columns. A missing, partial or foreign folder is a DataError that says so."""
    manifest_path = path / "manifest.json"
    try:
        manifest = json.loads(manifest_path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"no market store at {path}; make one with `python main.py data import`") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{manifest_path}: not a manifest ({error}); import the market again") from None
    if manifest.get("schema") != SCHEMA:
        raise DataError(
            f"{manifest_path}: schema {manifest.get('schema')}, this version reads {SCHEMA}; import the market again"
        )
    columns = {}
    for name, facts in manifest["columns"].items():
        file = path / f"{name}.npy"
        try:
            column = np.load(file, mmap_mode="r" if facts["bytes"] else None)
        except (OSError, ValueError, EOFError) as error:
            raise DataError(f"{file}: column cannot be read ({error}); import the market again") from None
        if str(column.dtype) != facts["dtype"] or list(column.shape) != facts["shape"]:
            raise DataError(
                f"{file}: {column.dtype}{column.shape} is not what the manifest says; import the market again"
            )
        column.flags.writeable = False
        columns[name] = column.view(np.ndarray)
    return Store(path, manifest, columns)


def market_of(store: Store, intraday_quotes: str = "snapshot") -> Market:
    """The kernels' view of a store. `surface` lets orders fill on carried marks between snapshots."""
    columns = dict(store.columns)
    numbers = store.manifest.get("shape")
    shape = NO_SHAPE if numbers is None else shape_from_mapping(numbers)
    kind = KINDS[store.manifest["kind"]]
    tradable, decide = columns["quoted"], columns["s_decide"]
    if kind == CARRIED and intraday_quotes == "surface":
        tradable = np.asarray(columns["snap"] >= 0).astype(np.uint8)
        decide = np.full_like(decide, -1)
    columns.update(tradable=tradable, s_decide=decide, s_dividend=dividends_of(store))
    return Market(
        kind=kind,
        row=records(ROW, columns, {}),
        track=frozen(np.array([columns[name] for name in TRACKS])),
        ses=records(SESSION, columns, {name: f"s_{name}" for name, _ in SESSION}),
        exp=records(EXPIRY, columns, {name: f"e_{name}" for name, _ in EXPIRY}),
        con=records(CONTRACT, columns, {**{name: f"c_{name}" for name, _ in CONTRACT}, **CELL_COLUMNS}),
        **{name: columns[name] for name in QUOTE_COLUMNS},
        q_vol=columns["q_vol"] if kind == TABLE else frozen(np.zeros(0, np.float32)),
        quote_kind=KIND_QUOTED if store.manifest["quotes"] == "real" else KIND_MODELLED,
        shape=record_of(shape),
        price_scale=float(store.manifest["price_scale"]),
        q_depth=frozen(np.zeros((3, 0), np.int32)),
        signal=frozen(np.zeros((len(SIGNALS), 0))),
        gate=frozen(np.zeros((2, len(columns["ts"])), np.uint8)),
    )


def dividends_of(store: Store) -> Any:
    """float64 (S): $ a share for which SPY goes ex at each session's open; 0 where the market delivers no shares.

    Listed ex-dates (data/presets/spy_dividends.yaml); one on a day without a session counts for the next, and outside
    the days that the list covers it is NaN.
    """
    days = np.asarray(store.columns["s_day"])
    if "SPY" not in store.manifest["roots"]:
        return np.zeros(len(days))
    table = read_yaml(PRESETS / "spy_dividends.yaml")
    first, last = (day_number(text) for text in table["covered"])
    paid = np.where((days >= first) & (days <= last), 0.0, np.nan)
    for text, amount in table["dividends"].items():
        s = int(np.searchsorted(days, day_number(text)))
        if 0 < s < len(days):
            paid[s] += amount
    return paid


def depth_of(store: Store) -> Any:
    """Size shown, open interest and volume of each quote cell, int32 (3, cells); (3, 0) where the market knows none."""
    columns = store.columns
    if "q_interest" not in columns:
        return frozen(np.zeros((3, 0), np.int32))
    size = np.minimum(columns["q_bid_size"], columns["q_ask_size"])
    return frozen(np.stack([size, columns["q_interest"], columns["q_volume"]]))


def empty_market() -> Market:
    """A market without rows, of the types that every store has: compiling for it compiles for all."""
    kinds = {"q_bid": "i4", "q_ask": "i4", "q_flag": "u1", "q_delta": "f4", "q_vol": "f4", "q_stick": "f8"}
    return Market(
        kind=MODEL,
        row=frozen(np.zeros(0, dtype_of(ROW)).view(np.recarray)),
        track=frozen(np.zeros((len(TRACKS), 0))),
        ses=frozen(np.zeros(0, dtype_of(SESSION)).view(np.recarray)),
        exp=frozen(np.zeros(0, dtype_of(EXPIRY)).view(np.recarray)),
        con=frozen(np.zeros(0, dtype_of(CONTRACT)).view(np.recarray)),
        **{name: frozen(np.zeros(0, kind)) for name, kind in kinds.items()},
        v_index=frozen(np.zeros((0, 0), np.int32)),
        v_slice=frozen(np.zeros((0, 9))),
        quote_kind=KIND_QUOTED,
        shape=record_of(NO_SHAPE),
        price_scale=1.0,
        q_depth=frozen(np.zeros((3, 0), np.int32)),
        signal=frozen(np.zeros((len(SIGNALS), 0))),
        gate=frozen(np.zeros((2, 0), np.uint8)),
    )


QUOTE_COLUMNS = ("q_bid", "q_ask", "q_flag", "q_delta", "q_stick", "v_index", "v_slice")
CELL_COLUMNS = {"snap_first": "q_first", "snap_last": "q_last", "cell_base": "q_base"}


def frozen(array: Any) -> Any:
    array.flags.writeable = False
    return array


def records(fields: list[Any], columns: dict[str, Any], names: dict[str, str]) -> Any:
    """Columns gathered into one read-only array of records."""
    first = columns[names.get(fields[0][0], fields[0][0])]
    table = np.zeros(len(first), dtype_of(fields))
    for name, _ in fields:
        table[name] = columns[names.get(name, name)]
    return frozen(table.view(np.recarray))


def sessions_between(store: Store, start: str | None, end: str | None) -> tuple[int, int]:
    """Sessions [low, high) of an inclusive range of their dates; a DataError if it lies outside the store."""
    days = store.columns["s_day"]
    first, last = day_text(days[0]), day_text(days[-1])
    for name, value in (("start", start), ("end", end)):
        if value is not None and not first <= value <= last:
            raise DataError(f"market.{name} is {value}, but market '{store.name}' holds {first} to {last}")
    low = 0 if start is None else int(np.searchsorted(days, day_number(start)))
    high = len(days) if end is None else int(np.searchsorted(days, day_number(end), side="right"))
    if low >= high:
        raise DataError(f"market '{store.name}' has no session from {start or first} to {end or last}")
    return low, high


def rows_between(store: Store, start: str | None, end: str | None) -> tuple[int, int]:
    """Rows [first, last) of the same."""
    low, high = sessions_between(store, start, end)
    return int(store.columns["s_start"][low]), int(store.columns["s_end"][high - 1])


def days_between(store: Store, start: str | None, end: str | None) -> Any:
    """int (S): the sessions' dates, days since 1970-01-01."""
    low, high = sessions_between(store, start, end)
    return np.asarray(store.columns["s_day"][low:high])
