"""The files of a search: trials.parquet, top100.csv, best.yaml, summary.json; the same bytes for the same search."""

from __future__ import annotations

import datetime as dt
import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from core.config import PRESETS
from core.errors import ConfigError
from core.jit import code_hash
from core.market.store import Store
from core.report.folder import versions
from core.search.columns import number_column, text_column
from core.search.cross_validation import CrossValidated
from core.search.findings import Findings, deflated_of, ranking
from core.search.luck import Luck
from core.search.words import why_none
from core.settings import BY_PATH
from core.trials import COUNTS, METRIC, TRIAL_METRICS

TOP = 100
TOP_METRICS = {
    "NetProfit": "net_profit", "MaxDD": "max_drawdown", "NP_DD_Ratio": "net_profit_over_max_drawdown",
    "ProfitFactor": "profit_factor", "Expectancy": "expectancy", "Sharpe": "sharpe",
}  # fmt: skip
TOP_COUNTS = {"Trades": "trades", "Wins": "wins", "Losses": "losses"}


def known(value: float | None) -> float | None:
    """The number as JSON can say it; None for what is not finite."""
    return None if value is None or not math.isfinite(value) else float(value)


def short_names(paths: Any) -> dict[str, str]:
    """Last names of paths where they are unique, else the paths."""
    lasts = [path.rsplit(".", 1)[-1] for path in paths]
    return {path: last if lasts.count(last) == 1 else path for path, last in zip(paths, lasts, strict=True)}


def write_trials(path: Path, findings: Findings) -> None:
    """trials.parquet: a row per trial in order of its id, settings and metrics alone."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns: dict[str, Any] = {
        "trial_id": number_column(np.arange(len(findings.phase))),
        "phase": text_column(findings.phase),
        "settings_hash": text_column(findings.hashes),
    }
    kinds = {"int": np.int64, "float": np.float64}
    for name, values in findings.settings.items():
        kind = kinds.get(BY_PATH[name].kind)
        columns[name] = text_column(values) if kind is None else number_column(np.array(values, kind))
    for name in TRIAL_METRICS:
        column = findings.figures[:, METRIC[name]]
        columns[name] = number_column(column.astype(np.int64)) if name in COUNTS else number_column(column, True)
    columns["objective"] = number_column(findings.scores, True)
    pq.write_table(pa.Table.from_arrays(list(columns.values()), list(columns)), path, compression="zstd")


class Top(NamedTuple):
    """The best trials, as in top100.csv."""

    columns: list[str]
    rows: list[list[Any]]


def top_of(findings: Findings) -> Top:
    """The first TOP by the objective."""
    names = short_names(list(findings.settings))
    columns = ["Rank", "phase", *names.values(), "Balance", *TOP_METRICS, "DeflatedSharpe", *TOP_COUNTS]
    columns += ["WinRate", "Robustness"]
    start = findings.found.base["account.starting_cash"]
    rows = []
    for rank, trial in enumerate(ranking(findings)[:TOP].tolist()):
        figures = findings.figures[trial]
        cash = findings.settings.get("account.starting_cash", {trial: start})[trial]
        row: list[Any] = [rank + 1, findings.phase[trial], *(values[trial] for values in findings.settings.values())]
        row += [cash + figures[METRIC["net_profit"]], *(figures[METRIC[key]] for key in TOP_METRICS.values())]
        row += [deflated_of(findings, trial), *(int(figures[METRIC[key]]) for key in TOP_COUNTS.values())]
        rows.append([*row, figures[METRIC["win_rate"]], findings.robustness[trial]])
    return Top(columns, rows)


def cell(value: Any) -> str:
    """A value of a CSV: numbers to ten digits, nothing for the unknown, commas in quotes."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    if isinstance(value, float):
        return f"{value:.10g}" if abs(value) < 1e8 else f"{value:.2f}"
    text = str(value)
    return f'"{text}"' if "," in text else text


def write_top(path: Path, top: Top) -> None:
    lines = [",".join(top.columns), *(",".join(map(cell, row)) for row in top.rows), ""]
    path.write_text("\n".join(lines), encoding="utf-8")


def preset_settings(findings: Findings) -> dict[str, Any]:
    """What a preset of the recommended settings has to say: all that were varied, and what is not at its default.

    One that was varied stands there at its default too: beside another value in the user's own file it would be lost.
    The market's settings are left out.
    """
    grid, values = findings.found.grid, findings.found.recommended.values
    searched = {path for phase in grid.phases for path in (*phase.levels, *phase.fixed)}
    return {
        path: value
        for path, value in values.items()
        if (path in searched or value != BY_PATH[path].default) and not path.startswith("market.")
    }


def nested(flat: dict[str, Any]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for path, value in flat.items():
        *parts, name = path.split(".")
        node = tree
        for part in parts:
            node = node.setdefault(part, {})
        node[name] = value
    return tree


def preset_text(findings: Findings, about: str) -> str:
    """The recommended settings as a preset."""
    import yaml

    tree = {"about": about, **nested(preset_settings(findings))}
    return yaml.safe_dump(tree, sort_keys=False, width=110, allow_unicode=True)


def about_of(findings: Findings) -> str:
    if findings.luck is None:
        return f"{why_none(findings)}: the settings that the search began with"
    shape = findings.shape.words if findings.shape else ""
    base = findings.found.base
    window = f"{base['market.start'] or 'its first session'} to {base['market.end'] or 'its last'}"
    head = (
        f"recommended by a search of {findings.found.count()} trials of grid {findings.found.grid.name} on market "
        f"{base['market.name']}, {window}"
    )
    return f"{head}; {findings.luck.verdict}: {findings.luck.words}; {shape}"


def target_of(target: str) -> Path:
    """Where --apply writes: a bare name into data/presets/strategy. Nothing is overwritten."""
    path = Path(target)
    if path.suffix not in (".yaml", ".yml"):
        raise ConfigError(f"--apply is {target!r}; give a YAML file to write, as mine.yaml (never your config.py)")
    if path.parent == Path() and not path.is_absolute():
        path = PRESETS / "strategy" / path.name
    if path.exists():
        raise ConfigError(f"--apply {path}: exists already; give another name")
    there = next(folder for folder in path.absolute().parents if folder.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise ConfigError(f"--apply {path}: {there} is no folder that can be written into")
    return path


def apply_to(target: str, text: str) -> Path:
    """Write a preset where --apply says."""
    path = target_of(target)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"--apply {path}: cannot be written ({error.strerror or error})") from None
    return path


def luck_value(findings: Findings) -> dict[str, Any]:
    """The figures of luck as JSON."""
    luck: Luck | None = findings.luck
    if luck is None:
        return {"verdict": "undecided", "words": why_none(findings), "logged_trials": findings.logged}
    return {
        "verdict": luck.verdict,
        "words": luck.words,
        "deflated_sharpe": known(luck.deflated),
        "pbo": known(luck.pbo),
        "probability_of_loss": known(luck.loss),
        "cscv_blocks": luck.splits,
        "logged_trials": luck.trials,
        "effective_trials": known(luck.effective),
        "sharpe_per_session": known(luck.sharpe),
        "sharpe_by_luck_per_session": known(luck.by_luck),
        "sessions": luck.periods,
        "independent_sessions": luck.worth,
        "least_sessions_for_claim": known(luck.least),
        "least_sessions_to_judge": known(luck.least_to_judge),
    }


def figures_value(findings: Findings, trial: int) -> dict[str, Any] | None:
    """One trial: its settings and figures."""
    if trial < 0:
        return None
    figures = {name: known(findings.figures[trial, METRIC[name]]) for name in TRIAL_METRICS}
    return {
        "trial_id": trial,
        "settings": {path: values[trial] for path, values in findings.settings.items()},
        "metrics": {**figures, **{name: int(figures[name] or 0) for name in COUNTS}},
        "objective": known(findings.scores[trial]),
        "robustness": known(findings.robustness[trial]),
        "deflated_sharpe": known(deflated_of(findings, trial)),
    }


def summary_value(
    findings: Findings, walked: Any = None, validated: CrossValidated | None = None, stopped: str | None = None
) -> dict[str, Any]:
    """What a search says, as JSON without clock or worker. stopped : what ended a walk-forward early."""
    found, shape = findings.found, findings.shape
    return {
        "grid": found.grid.name,
        "method": found.plan.method,
        "objective": found.plan.wish.objective,
        "trials": found.count(),
        "counted": int(np.isfinite(findings.scores).sum()),
        "ended": found.ended,
        "failure": None if found.failure is None else str(found.failure),
        "coarse": found.coarse._asdict() if found.plan.coarse else None,
        "recommended": figures_value(findings, findings.recommended),
        "best_point": figures_value(findings, findings.best),
        "shape": None if shape is None else {"word": shape.word, "words": shape.words, "survives": shape.survives},
        "luck": luck_value(findings),
        "importances": dict(zip([phase.phase.name for phase in found.phases], findings.importances, strict=False)),
        "inert": findings.inert,
        "walk_forward": None if walked is None else walked_value(walked),
        "walk_forward_stopped": stopped,
        "cross_validation": None if validated is None else validated_value(validated),
    }


def walked_value(walked: Any) -> dict[str, Any]:
    """A walk-forward as JSON (optimizer.Walked)."""
    return {
        "kind": walked.kind,
        "purge_days": walked.purge_days,
        "embargo_days": walked.embargo_days,
        "windows": [
            {
                "train": step.train,
                "test": step.test,
                "counted": step.counted,
                "settings": step.settings,
                "in_sample_profit_a_year": known(step.in_sample),
                "out_of_sample_profit_a_year": known(step.out_of_sample),
                "in_sample_sharpe": known(step.in_sharpe),
                "out_of_sample_sharpe": known(step.out_sharpe),
                "efficiency": known(ratio),
            }
            for step, ratio in zip(walked.steps, walked.efficiency, strict=True)
        ],
        "efficiency": known(walked.overall),
        "net_profit": (int(walked.equity[-1]) - walked.steps[0].start_cents) / 100.0,
        "drift_mean_steps": walked.drift.mean_steps,
        "drift_kept": known(walked.drift.kept),
        "trials": walked.trials,
    }


def validated_value(validated: CrossValidated) -> dict[str, Any]:
    """A cross-validation as JSON: Sharpe ratios a year."""
    low, middle, high = np.percentile(validated.sharpe, [5.0, 50.0, 95.0]).tolist()
    return {
        "paths": len(validated.sharpe),
        "sharpe_5": low,
        "sharpe_50": middle,
        "sharpe_95": high,
        "losing_paths": validated.losing,
        "in_sample_sharpe": float(np.mean(validated.in_sample)),
        "out_of_sample_sharpe": float(np.mean(validated.out_of_sample)),
    }


def search_value(findings: Findings) -> dict[str, Any]:
    """What was searched and how, with the grid as it was read."""
    grid, plan = findings.found.grid, findings.found.plan
    return {
        "grid": grid.name,
        "phases": [
            {
                "name": phase.name,
                "vary": {path: list(levels) for path, levels in phase.levels.items()},
                "where": [f"{c.left} {c.sign} {c.right}" for c in phase.where],
                "set": phase.fixed,
            }
            for phase in grid.phases
        ],
        "method": plan.method,
        "trials": None if plan.method == "grid" else plan.trials,
        "objective": plan.wish.objective,
        "min_trades": plan.wish.least_trades,
        "limits": [f"{limit.metric} {limit.sign} {limit.value:g}" for limit in plan.wish.limits],
        "coarse": plan.coarse,
        "draw_seed": plan.seed,
        "resume": plan.resume,
    }


def manifest_value(findings: Findings, store: Store, run_id: str, started: dt.datetime, extra: dict[str, Any]) -> Any:
    """manifest.json: everything needed to search again, and when it was done. extra : keys of its `search`."""
    base = findings.found.base
    return {
        "run_id": run_id,
        "started": started.isoformat(timespec="seconds"),
        "finished": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "settings": {path: {"value": base[path], "source": base.sources[path]} for path in base.values},
        "settings_hash": base.hash(),
        "market": store.name,
        "store_hash": store.hash,
        "quotes": store.manifest.get("quotes", "real"),
        "code_version": code_hash(),
        "versions": versions(),
        "seed": findings.found.plan.seed,
        "logged_trials": findings.logged,
        "seconds": findings.found.seconds,
        "resumed": findings.found.resumed,
        "search": {**search_value(findings), **extra},
    }


def search_files(
    folder: Path, findings: Findings, top: Top, manifest: dict[str, Any], summary: dict[str, Any]
) -> list[Callable[[], None]]:
    """What writes each file but the page, the small ones first."""

    def write(name: str, text: str) -> None:
        (folder / name).write_text(text, encoding="utf-8")

    return [
        lambda: write("best.yaml", preset_text(findings, about_of(findings))),
        lambda: write("manifest.json", json.dumps(manifest, indent=1, allow_nan=False) + "\n"),
        lambda: write("summary.json", json.dumps(summary, indent=1, allow_nan=False) + "\n"),
        lambda: write_top(folder / "top100.csv", top),
        lambda: write_trials(folder / "trials.parquet", findings),
    ]


def write_search(folder: Path, findings: Findings, top: Top, manifest: dict[str, Any], summary: dict[str, Any]) -> None:
    """All files but the page."""
    for write in search_files(folder, findings, top, manifest, summary):
        write()


def brief(value: Any) -> str:
    if isinstance(value, float) and math.isfinite(value):
        return f"{value:,.2f}" if abs(value) >= 10 else f"{value:.3f}"
    return cell(value)
