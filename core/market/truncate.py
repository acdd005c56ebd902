"""A market as it stood after one of its rows: everything later is gone, and nothing points to it.

What a stored market holds of rows, sessions, listings, quotes and surfaces up to that row, in memory. What the
builder itself computed from later data cannot be undone here; the builders have laws of their own for that.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from core.errors import DataError
from core.market.build import expiry_sessions
from core.market.calendar import day_text
from core.market.store import Store, frozen

PER_CONTRACT = ("q_base", "q_first", "q_last")
PER_SNAPSHOT = ("q_row", "q_stick")
RANGES = ("e_put_lo", "e_put_hi", "e_call_lo", "e_call_hi")


def truncated(store: Store, row: int) -> Store:
    """The store cut after `row` (inclusive), with a manifest and a hash of its own; its path is still the whole one's.

    A session in progress ends at the row: its official close is not known, and the last spot stands for it. Expiries
    and contracts listed later are absent, and the rest are renumbered. The kind of market stays, however few
    snapshots are left. A row outside the store is a DataError.
    """
    columns = store.columns
    if not 0 <= row < len(columns["ts"]):
        raise DataError(
            f"market '{store.name}' cannot be cut after row {row}; it has rows 0 to {len(columns['ts']) - 1}"
        )
    kept = {
        name: column[: row + 1] for name, column in columns.items() if name[:2] not in ("s_", "e_", "c_", "q_", "v_")
    }
    kept.update(session_part(columns, row))
    kept.update(listing_part(columns, row, kept["s_day"], store.manifest["kind"] == "model"))
    kept.update(quote_part(columns, row))
    order = {name: frozen(np.ascontiguousarray(kept[name])) for name in columns}
    return Store(store.path, manifest_part(store, order, row), order)


def session_part(columns: dict[str, Any], row: int) -> dict[str, Any]:
    """Sessions begun by the row; the one in progress settles at nothing better than its last spot."""
    count = int(columns["session"][row]) + 1
    kept = {name: np.array(column[:count]) for name, column in columns.items() if name.startswith("s_")}
    if kept["s_end"][-1] != row + 1:
        kept["s_end"][-1] = row + 1
        kept["s_settle"][-1] = columns["spot"][row]
        if kept["s_decide"][-1] > row:
            kept["s_decide"][-1] = -2  # no row of the session has decided yet
    return kept


def listing_part(columns: dict[str, Any], row: int, days: Any, modelled: bool) -> dict[str, Any]:
    """Expiries and contracts listed by the row, renumbered.

    The session of an expiry beyond the cut is what its builder gives it beyond a market's end: -1 in a modelled market
    (the engine only asks whether it is the session at hand), else the count of exchange sessions goes on (where quotes
    come once a day, structures leave the session before).
    """
    there, listed = columns["e_first"] <= row, columns["c_first"] <= row
    number = np.cumsum(there) - 1
    before = np.r_[0, np.cumsum(listed)]  # contracts kept of those below each number
    kept = {name: column[there] for name, column in columns.items() if name.startswith("e_")}
    kept.update({name: column[listed] for name, column in columns.items() if name.startswith("c_")})
    for name in RANGES:
        kept[name] = before[kept[name]].astype(columns[name].dtype)
    kept["c_expiry"] = number[kept["c_expiry"]].astype(columns["c_expiry"].dtype)
    if modelled:
        kept["e_session"] = np.where(kept["e_session"] < len(days), kept["e_session"], -1).astype(np.int32)
    elif len(kept["e_day"]):
        kept["e_session"] = expiry_sessions(kept["e_day"], days)
    return kept


def quote_part(columns: dict[str, Any], row: int) -> dict[str, Any]:
    """Snapshots up to the row, the cells of the contracts that are left, and their surfaces."""
    count = int(np.searchsorted(columns["q_row"], row, side="right"))
    listed = columns["c_first"] <= row
    first, last = columns["q_first"][listed], np.minimum(columns["q_last"][listed], count - 1)
    length = np.maximum(last - first + 1, 0).astype(np.int64)
    base = np.cumsum(length) - length
    cell = np.repeat(columns["q_base"][listed] - base, length) + np.arange(int(length.sum()))
    kept = {}
    for name, column in columns.items():
        if name in PER_SNAPSHOT:
            kept[name] = column[:count]
        elif name.startswith("q_") and name not in PER_CONTRACT:
            kept[name] = column[cell]
    kept.update(q_base=base, q_first=first, q_last=last.astype(columns["q_last"].dtype))
    index = columns["v_index"]
    surfaced = index.shape[0] > 0
    kept["v_index"] = index[:count][:, columns["e_first"] <= row] if surfaced else index
    kept["v_slice"] = columns["v_slice"][: int(kept["v_index"].max(initial=-1)) + 1]  # slices lie in order of time
    return kept


def manifest_part(store: Store, columns: dict[str, Any], row: int) -> dict[str, Any]:
    """The manifest with the cut's counts; the hash follows from the whole store's and the row."""
    return {
        **store.manifest,
        "columns": {n: {"dtype": str(c.dtype), "shape": list(c.shape), "bytes": c.nbytes} for n, c in columns.items()},
        "last": day_text(columns["s_day"][-1]),
        "sessions": len(columns["s_day"]),
        "rows": row + 1,
        "contracts": len(columns["c_strike"]),
        "expiries": len(columns["e_day"]),
        "snapshots": len(columns["q_row"]),
        "hash": hashlib.sha256(f"{store.hash} until row {row}".encode()).hexdigest(),
    }
