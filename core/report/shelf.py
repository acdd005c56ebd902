"""The runs on disk: what each was and came to; sorted, filtered, deleted."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from core.config import suggestion
from core.errors import ConfigError, DataError
from core.report.folder import reports_folder
from core.report.model import text

SORTS = ("started", "net_profit", "sharpe", "max_drawdown", "trades")


def listed(command: str | None = None, market: str | None = None, sort: str = "started") -> list[dict[str, Any]]:
    """Every run with a manifest, the newest first, or the largest first by a figure; those without it come last."""
    if sort not in SORTS:
        raise ConfigError(f"--sort is {sort!r}{suggestion(sort, SORTS)}; give one of: {', '.join(SORTS)}")
    found = [facts for path in reports_folder().glob("*/manifest.json") if (facts := facts_of(path.parent))]
    found = [f for f in found if command in (None, f["command"]) and market in (None, f["market"])]
    found.sort(key=lambda f: f["run"], reverse=True)
    if sort != "started":
        found.sort(key=lambda f: (f[sort] is None, -(f[sort] or 0.0)))
    return found


def facts_of(folder: Path) -> dict[str, Any] | None:
    """One run in a few facts; None for a folder that is no run."""
    try:
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        path = folder / "metrics.json"
        metrics = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except (OSError, ValueError):
        return None
    if not isinstance(manifest, dict) or "settings_hash" not in manifest:
        return None
    parts = folder.name.split("-")
    return {
        "run": folder.name,
        "command": parts[1] if len(parts) > 2 else "unknown",
        "market": manifest.get("market"),
        "quotes": manifest.get("quotes"),
        "start": metrics.get("start"),
        "end": metrics.get("end"),
        **{key: metrics.get(key) for key in SORTS[1:]},
        "megabytes": round(sum(p.stat().st_size for p in folder.iterdir() if p.is_file()) / 1e6, 1),
    }


def list_lines(found: list[dict[str, Any]]) -> list[str]:
    if not found:
        return [f"no runs in {reports_folder()}"]

    width = max(len(f["run"]) for f in found)
    lines = [
        f"{'run':{width}} {'market':20} {'net $':>12} {'Sharpe':>7} {'fall $':>11} {'trades':>7} {'MB':>6}  quotes"
    ]
    for f in found:
        lines.append(
            f"{f['run']:{width}} {f['market'] or 'n/a':20} {text(f['net_profit'], '{:,.2f}'):>12} "
            f"{text(f['sharpe'], '{:.2f}'):>7} {text(f['max_drawdown'], '{:,.2f}'):>11} {text(f['trades'], '{}'):>7} "
            f"{f['megabytes']:>6.1f}  {f['quotes'] or 'n/a'}"
        )
    return lines


def chosen(names: list[str]) -> list[Path]:
    """Folders of the runs that are to go: by id, in the folder of reports alone."""
    known = {f["run"] for f in listed()}
    for name in names:
        if name not in known:
            raise DataError(f"no run '{name}'{suggestion(name, known)} in {reports_folder()}")
    return [reports_folder() / name for name in dict.fromkeys(names)]


def delete(folders: list[Path]) -> None:
    """Take run folders away. The count of trials in trials.sqlite stays: what was tried was tried."""
    for folder in folders:
        shutil.rmtree(folder)
