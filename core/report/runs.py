"""Runs made before: their folder by id, their settings and their market, as their manifest tells them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from core.config import Config, check_together, checked, suggestion
from core.errors import DataError
from core.jit import code_hash
from core.market.catalog import open_market
from core.market.store import Store
from core.report.folder import reports_folder
from core.settings import BY_PATH

NEWEST_NAMED = 3  # runs that an error suggests


def run_ids(command: str = "backtest") -> list[str]:
    """Runs of a command in the folder of reports, the newest first (ids begin with their UTC time)."""
    return sorted((p.parent.name for p in reports_folder().glob(f"*-{command}-*/manifest.json")), reverse=True)


def find_run(name: str | None) -> Path:
    """The folder of a run by path or id; of the newest backtest by default. DataError: there is none."""
    ids = run_ids()
    if name is None:
        if not ids:
            raise DataError(
                f"no backtest in {reports_folder()}; make one with `python main.py backtest`, or give --run"
            )
        return reports_folder() / ids[0]
    for folder in (Path(name), reports_folder() / name):
        if (folder / "manifest.json").is_file():
            return folder
    newest = ", ".join(ids[:NEWEST_NAMED]) or f"none in {reports_folder()}"
    raise DataError(f"no run '{name}'{suggestion(name, ids)} (newest backtests: {newest})")


def read_manifest(folder: Path) -> dict[str, Any]:
    """manifest.json of a run folder."""
    path = folder / "manifest.json"
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read ({error}); run the backtest again") from None
    if not isinstance(manifest, dict) or not {"settings", "store_hash", "code_version"} <= set(manifest):
        raise DataError(f"{path}: not a backtest's manifest; give the folder of a backtest")
    return manifest


def config_of(manifest: dict[str, Any], folder: Path) -> Config:
    """The run's effective settings; a setting that the run or this version does not know is a DataError."""
    given = manifest["settings"]
    unknown = sorted(set(given) ^ set(BY_PATH))
    if unknown:
        raise DataError(
            f"{folder}: made by a version with other settings ({unknown[0]}, {len(unknown)} in all); "
            "run the backtest again"
        )
    sources = {path: str(given[path]["source"]) for path in BY_PATH}
    values = {path: checked(path, given[path]["value"], f"{folder.name}/manifest.json") for path in BY_PATH}
    check_together(values)
    return Config(values, sources)


def reopened(name: str | None, say: Callable[[str], None], warn: Callable[[str], None]) -> tuple[Path, Config, Store]:
    """A run's folder, settings and market. Another code version is a warning, another market a DataError."""
    folder = find_run(name)
    manifest = read_manifest(folder)
    config = config_of(manifest, folder)
    store = open_market(config["market.name"], config["market.seed"], say)
    if store.hash != manifest["store_hash"]:
        raise DataError(
            f"{folder.name}: market '{store.name}' is not the one of the run (hash {store.hash[:12]}, then "
            f"{manifest['store_hash'][:12]}); run the backtest again"
        )
    if manifest["code_version"] != code_hash():
        warn(f"! {folder.name} was made by code version {manifest['code_version']}; this is {code_hash()}, made again")
    return folder, config, store
