"""Runs side by side: figures, the settings that differ, and whether the difference could be chance.

The difference of two runs is that of their daily returns on the sessions that both have, paired, by stationary block
bootstrap. Of several runs the best is partly luck: each is held against the first alone, and how many were is said.
"""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np

from core.errors import ConfigError, DataError
from core.metrics import daily_returns
from core.report.model import shown
from core.report.runs import find_run, read_manifest
from core.report.twin import bootstrapped, difference_text

FIGURES = (
    ("net_profit", "net profit", "usd"),
    ("net_profit_pct", "net profit, %", "percent"),
    ("max_drawdown", "deepest drawdown", "usd"),
    ("net_profit_over_max_drawdown", "net profit / drawdown", "number"),
    ("sharpe", "Sharpe", "number"),
    ("psr", "P(Sharpe > 0)", "share"),
    ("trades", "closed trades", "count"),
    ("effective_trades", "independent results", "number"),
    ("win_rate", "win rate", "share"),
    ("profit_factor", "profit factor", "number"),
    ("expectancy", "mean P&L a trade", "usd"),
    ("expectancy_r", "mean P&L a trade, R", "ratio"),
    ("worst_day", "worst day", "usd"),
    ("cvar_95", "mean of the worst 5% of days", "usd"),
    ("fees", "fees", "usd"),
    ("slippage_paid", "given up against mid", "usd"),
    ("break_even_slippage_per_package", "break-even a package ($/share)", "fine"),
    ("share_fills_modelled", "fills on modelled quotes", "share"),
)


def metrics_of(folder: Path) -> dict[str, Any]:
    path = folder / "metrics.json"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read ({error}); give the folder of a backtest") from None
    if not isinstance(found, dict):
        raise DataError(f"{path}: not a backtest's figures; give the folder of a backtest")
    return found


def session_equity(folder: Path) -> dict[str, float]:
    """Equity in $ at the end of each session, by date, from equity.csv."""
    path = folder / "equity.csv"
    try:
        with path.open(newline="", encoding="utf-8") as lines:
            return {row["time"][:10]: float(row["equity"]) for row in csv.DictReader(lines)}
    except (OSError, KeyError, ValueError) as error:
        raise DataError(f"{path}: cannot be read ({error}); run the backtest again") from None


def returns_of(folder: Path, metrics: dict[str, Any]) -> dict[str, float]:
    """Daily return by date."""
    equity = session_equity(folder)
    values = daily_returns(np.array(list(equity.values())), float(metrics["starting_cash"]))
    return dict(zip(equity, values.tolist(), strict=True))


def compared(names: list[str]) -> dict[str, Any]:
    """Two runs or more, the first of which the others are held against."""
    if len(names) < 2:
        raise ConfigError("compare needs two runs or more, by id or folder (see `python main.py runs`)")
    folders = [find_run(name) for name in names]
    manifests, metrics = [read_manifest(f) for f in folders], [metrics_of(f) for f in folders]
    returns = [returns_of(*pair) for pair in zip(folders, metrics, strict=True)]
    settings = [{path: entry["value"] for path, entry in m["settings"].items()} for m in manifests]
    paths = sorted({path for values in settings for path in values})
    differs = {path: [values.get(path) for values in settings] for path in paths}
    differs = {path: values for path, values in differs.items() if any(v != values[0] for v in values)}
    found = []
    for i in range(1, len(folders)):
        common = sorted(set(returns[0]) & set(returns[i]))
        change = np.array([returns[i][day] - returns[0][day] for day in common])
        span = {"start": common[0], "end": common[-1]} if common else {"start": None, "end": None}
        found.append({"run": folders[i].name, "sessions": len(common), **span, **bootstrapped(change)._asdict()})
    return {
        "runs": [folder.name for folder in folders],
        "markets": [m["market"] for m in manifests],
        "quotes": [m["quotes"] for m in manifests],
        "same_market": len({m["store_hash"] for m in manifests}) == 1,
        "same_code": len({m["code_version"] for m in manifests}) == 1,
        "figures": {key: [m.get(key) for m in metrics] for key, _, _ in FIGURES},
        "settings": differs,
        "differences": found,
    }


def compare_lines(value: dict[str, Any]) -> list[str]:
    """For people: letters for runs, figures beside each other, settings that differ, differences with intervals."""
    letters = [chr(ord("A") + i) if i < 26 else str(i) for i in range(len(value["runs"]))]
    rows = zip(letters, value["runs"], value["markets"], value["quotes"], strict=True)
    lines = [f"{a}  {run} on {market}, quotes: {quotes}" for a, run, market, quotes in rows]
    if not value["same_market"]:
        lines.append("! The markets are not the same: figures differ for reasons that no setting explains.")
    if not value["same_code"]:
        lines.append("! The runs were made by different versions of the code.")
    lines += ["", f"{'':34}" + "".join(f"{a:>16}" for a in letters)]
    for key, name, form in FIGURES:
        lines.append(f"{name:34}" + "".join(f"{shown(v, form):>16}" for v in value["figures"][key]))
    lines += ["", "settings that differ" if value["settings"] else "no setting differs"]
    for path, values in value["settings"].items():
        lines.append(f"  {path:42}" + "  ".join(f"{a} {v}" for a, v in zip(letters, values, strict=True)))
    lines += ["", "daily returns against A, as a yearly figure (paired block bootstrap)"]
    for letter, d in zip(letters[1:], value["differences"], strict=True):
        lines.append(f"  {letter} - A  {difference_text(d)}, {d['sessions']} sessions in common")
    if len(letters) > 2:
        lines.append(f"  {len(letters) - 1} were compared with A: the best of them is partly luck")
    return lines
