"""Markets by name: stores under data/store, and the two that build themselves (history, synthetic)."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

from core.config import suggestion
from core.errors import DataError
from core.jit import ROOT
from core.market.store import Store, open_store

BUILT = ("history", "synthetic")
SOURCES = (
    *(f"core/market/{name}.py" for name in ("history", "generate", "modelled", "paths", "build", "writer", "calendar")),
    *("core/pricing/model_surface.py", "data/presets/model_surface.yaml", "data/presets/spy_dividends.yaml"),
)


def store_folder() -> Path:
    """Where stores live: data/store, or QMTF_STORE_DIR."""
    return Path(os.environ.get("QMTF_STORE_DIR", ROOT / "data" / "store"))


def names() -> list[str]:
    """Stores on disk, in order of name."""
    folder = store_folder()
    return sorted(p.parent.name for p in folder.glob("[!.]*/manifest.json")) if folder.exists() else []


def _builder(name: str) -> Callable[[Path, int], Store]:
    """The build function of a market that builds itself."""
    if name == "history":
        from core.market.history import build_history

        return build_history
    from core.market.generate import build_synthetic

    return build_synthetic


def recipe(seed: int) -> str:
    """What a built market depends on: the seed and the sources and numbers that make it."""
    digest = hashlib.sha256(str(seed).encode())
    for source in SOURCES:
        digest.update((ROOT / source).read_bytes())
    return digest.hexdigest()


def open_market(name: str, seed: int, say: Callable[[str], None]) -> Store:
    """Open a market by name; the built-in ones are made on first use (`say` tells the user)."""
    path = store_folder() / name
    if name in BUILT:
        note = path / "recipe.txt"
        if not note.exists() or note.read_text(encoding="utf-8") != recipe(seed):
            say(f"building the {name} market (seed {seed}), once ...")
            store = _builder(name)(path, seed)
            note.write_text(recipe(seed), encoding="utf-8")
            return store
    elif not (path / "manifest.json").exists():
        known = list(dict.fromkeys((*BUILT, *names())))
        raise DataError(
            f"no market '{name}'{suggestion(name, known)} (there are: {', '.join(known)}); "
            f"bring your own with `python main.py data import`"
        )
    return open_store(path)
