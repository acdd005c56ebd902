"""The regression market: a small generated table of quotes, checked in, from which golden results are made.

    python scripts/data/build_regression_market.py           compare a fresh build with data/regression
    python scripts/data/build_regression_market.py --write   renew data/regression

It is MODELLED throughout: seed 382, 40 sessions of early 2020's calendar, three expiries, $5 strikes. The columns
lie in one compressed file; `unpack` makes a store of them.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from core.market.calendar import day_number
from core.market.generate import MANIFEST_OWN, Grid, build_synthetic, tabulate
from core.market.store import Store, columns_hash
from core.market.writer import write_store

PROJECT = Path(__file__).resolve().parents[2]
FOLDER = PROJECT / "data/regression"
COLUMNS, FACTS = "market.npz", "market.json"
SEED, SESSIONS = 382, 40  # the night before session 20 falls by 4 %, so that stops are hit too
EXPIRIES = ("2020-01-31", "2020-02-21", "2020-03-20")
GRID = Grid(dte_max=60, step_cents=500, put_range=(0.89, 1.0), call_range=(1.0, 1.08))


def build(folder: Path) -> Store:
    """Make the market anew from its seed, as a store in `folder`."""
    market = build_synthetic(folder / "whole", SEED, SESSIONS)
    days = [day_number(day) for day in EXPIRIES]
    return tabulate(market, folder / "regression", "regression", GRID, days)


def facts_of(store: Store) -> dict[str, Any]:
    return {key: value for key, value in store.manifest.items() if key not in MANIFEST_OWN}


def unpack(folder: Path) -> Store:
    """The checked-in market as a store in `folder`."""
    facts = json.loads((FOLDER / FACTS).read_text(encoding="utf-8"))
    facts.pop("hash")
    with np.load(FOLDER / COLUMNS) as packed:
        return write_store(folder, dict(packed), facts, {})


def pack(store: Store) -> None:
    """Write a store's columns and facts into data/regression; the same store gives the same bytes."""
    facts = facts_of(store)
    text = json.dumps({**facts, "hash": columns_hash(store.columns, facts)}, indent=1, sort_keys=True)
    FOLDER.mkdir(parents=True, exist_ok=True)
    drawn = {name: column for name, column in store.columns.items() if name != "q_vol"}  # which follows from the rest
    np.savez_compressed(FOLDER / COLUMNS, **drawn)
    (FOLDER / FACTS).write_text(text + "\n", encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="renew data/regression")
    renew = parser.parse_args().write
    with tempfile.TemporaryDirectory() as folder:
        store = build(Path(folder))
        if renew:
            pack(store)
        kept = json.loads((FOLDER / FACTS).read_text(encoding="utf-8"))["hash"]
        same = kept == store.hash
        cells = len(store.columns["q_bid"])
        size = (FOLDER / COLUMNS).stat().st_size
        print(f"{store.manifest['rows']} rows, {store.manifest['contracts']} contracts, {cells} quotes, {size} bytes")
        print(f"hash {store.hash[:16]}: {'the same as' if same else 'NOT'} data/regression")
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
