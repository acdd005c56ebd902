"""Writing a store: columns into a temporary folder, flushed, then renamed. Nothing is half-written."""

from __future__ import annotations

import datetime as dt
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from core.errors import DataError
from core.market.calendar import day_text
from core.market.store import SCHEMA, Store, columns_hash, open_store
from core.market.vols import quote_vols


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_json(path: Path, value: Any) -> None:
    with path.open("w", encoding="utf-8") as file:
        json.dump(value, file, indent=1, sort_keys=True, allow_nan=False)
        file.write("\n")


def put_in_place(building: Path, path: Path) -> None:
    """Rename a finished folder to its name; a store that is there already comes back if that fails."""
    if not path.exists():
        building.rename(path)
        return
    retired = Path(tempfile.mkdtemp(prefix=f".{path.name}-old-", dir=path.parent))
    path.rename(retired / "store")
    try:
        building.rename(path)
    except OSError:
        (retired / "store").rename(path)
        raise
    finally:
        shutil.rmtree(retired, ignore_errors=True)


def write_store(path: Path, columns: dict[str, Any], facts: dict[str, Any], quality: dict[str, Any]) -> Store:
    """Write columns, manifest.json and quality.json, and open the result.

    facts : name, kind (table, carried, model), price_scale, source, timezone, roots and whatever
            else describes the market; they are part of the hash, the time of writing is not. A table gets
            its column q_vol here.
    """
    if facts["kind"] == "table":
        columns = {**columns, "q_vol": quote_vols(columns)}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        building = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
    except OSError as error:
        raise DataError(f"store {path}: cannot be written ({error.strerror or error}); nothing was changed") from None
    try:
        described = {}
        for name, column in columns.items():
            column = np.ascontiguousarray(column)
            np.save(building / f"{name}.npy", column)
            described[name] = {"dtype": str(column.dtype), "shape": list(column.shape), "bytes": column.nbytes}
        days = columns["s_day"]
        manifest = {
            **facts,
            "schema": SCHEMA,
            "columns": described,
            "first": day_text(days[0]),
            "last": day_text(days[-1]),
            "sessions": len(days),
            "rows": len(columns["ts"]),
            "contracts": len(columns["c_strike"]),
            "expiries": len(columns["e_day"]),
            "snapshots": len(columns["q_row"]),
            "hash": columns_hash(columns, facts),
            "written": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        }
        write_json(building / "manifest.json", manifest)
        write_json(building / "quality.json", quality)
        for file in building.iterdir():
            _flush(file)
        _flush(building)
        put_in_place(building, path)
    except OSError as error:
        raise DataError(f"store {path}: cannot be written ({error.strerror or error}); nothing was changed") from None
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return open_store(path)
