"""Markets by name: stores under data/store, and the two that build themselves (history, synthetic)."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from core.config import suggestion
from core.errors import DataError
from core.jit import ROOT
from core.market.store import SCHEMA, Store, open_store

BUILT = ("history", "synthetic")


def store_folder() -> Path:
    """Where stores live: data/store, or QMTF_STORE_DIR."""
    return Path(os.environ.get("QMTF_STORE_DIR", ROOT / "data" / "store"))


def names() -> list[str]:
    """Stores on disk, in order of name."""
    folder = store_folder()
    return sorted(p.parent.name for p in folder.glob("[!.]*/manifest.json")) if folder.exists() else []


def _builder(name: str) -> tuple[Callable[[Path, int], Store], int]:
    """(build function, its version) of a market that builds itself."""
    if name == "history":
        from core.market.history import BUILDER_VERSION, build_history

        return build_history, BUILDER_VERSION
    from core.market.generate import BUILDER_VERSION as version
    from core.market.generate import build_synthetic

    return build_synthetic, version


def _current(path: Path, seed: int, version: int) -> bool:
    """Whether a built store is there, of this seed, builder and schema."""
    try:
        manifest: dict[str, Any] = json.loads((path / "manifest.json").read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError):
        return False
    wanted = {"schema": SCHEMA, "seed": seed, "builder_version": version}
    return all(manifest.get(key) == value for key, value in wanted.items())


def open_market(name: str, seed: int, say: Callable[[str], None]) -> Store:
    """Open a market by name; the built-in ones are made on first use (`say` tells the user)."""
    path = store_folder() / name
    if name in BUILT:
        build, version = _builder(name)
        if not _current(path, seed, version):
            say(f"building the {name} market (seed {seed}), once ...")
            return build(store_folder(), seed)
    elif not (path / "manifest.json").exists():
        known = [*BUILT, *names()]
        raise DataError(
            f"no market '{name}'{suggestion(name, known)} (there are: {', '.join(known)}); "
            f"bring your own with `python main.py data import`"
        )
    return open_store(path)
