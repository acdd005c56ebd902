"""optimize.html: a search as one page that needs nothing else. No clock and no run id get in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from core.market.calendar import day_text
from core.market.store import Store, days_between
from core.report import optimize_plots as plots
from core.report.model import whole_usd
from core.report.page import write_page
from core.report.plots import PALETTE
from core.search.cross_validation import CrossValidated
from core.search.findings import Findings
from core.search.heat import heat_map
from core.search.outputs import Top, brief, cell, short_names
from core.search.terminal import FIGURES, HEADS
from core.search.words import (
    coarse_words,
    efficiency_words,
    loss_words,
    luck_words,
    uncounted_words,
    whole_efficiency_words,
    why_none,
)
from core.trials import COUNTS, METRIC

SHOWN, MAPS = 25, 3
TONES = {"not overfit": "gain", "overfit": "loss", "undecided": ""}
HEADLINES = {
    "not overfit": "Not overfit: the recommended settings beat what luck shows in so many tries",
    "overfit": "Overfit: luck alone would show as much in so many tries",
    "undecided": "Undecided: there is too little to tell skill from luck",
}
BESIDE = ("net_profit", "max_drawdown", "net_profit_over_max_drawdown", "sharpe", "profit_factor", "trades", "win_rate",
          "worst_day", "cvar_95", "margin_max")  # fmt: skip


def session_days(findings: Findings, store: Store) -> list[str]:
    base = findings.found.base
    return [day_text(day) for day in days_between(store, base["market.start"], base["market.end"])]


def beside_rows(findings: Findings) -> list[list[str]]:
    """Settings and figures of the recommended trial and of the best point."""
    pair = (findings.recommended, findings.best)
    rows = [[path, *("" if i < 0 else str(values[i]) for i in pair)] for path, values in findings.settings.items()]
    for name in BESIDE:
        values = [None if i < 0 else float(findings.figures[i, METRIC[name]]) for i in pair]
        rows.append([name, *("" if v is None else f"{v:,.0f}" if name in COUNTS else brief(v) for v in values)])
    rows.append(["robustness", *("" if i < 0 else brief(float(findings.robustness[i])) for i in pair)])
    return rows


def maps_of(findings: Findings) -> dict[str, tuple[str, plots.Figure]]:
    """Heat maps of the settings that matter most, by phase."""
    found = {}
    if not np.isfinite(findings.scores).any():
        return {}
    for number, (phase, shares) in enumerate(zip(findings.found.phases, findings.importances, strict=False)):
        levels = phase.levels()
        names = sorted((n for n in levels if len(set(levels[n])) > 1), key=lambda n: -shares[n])
        pairs = [(a, b) for i, a in enumerate(names) for b in names[i + 1 :]][:MAPS]
        short = short_names(list(levels))
        for k, (a, b) in enumerate(pairs):
            figure = plots.map_figure(heat_map(levels, phase.scores, a, b), phase.chosen)
            found[f"map-{number}-{k}"] = (f"{phase.phase.name}: {short[a]} up, {short[b]} across", figure)
    return found


def shares_of(findings: Findings) -> dict[str, float]:
    """Share of variance by setting, with its phase where there are several; empty where nothing varies or is known."""
    several, shares = len(findings.found.phases) > 1, {}
    for phase, found in zip(findings.found.phases, findings.importances, strict=False):
        named = short_names([name for name in found if name != "interactions"])
        shares |= {f"{phase.phase.name}: {short}" if several else short: found[name] for name, short in named.items()}
    return shares if any(share > 0.0 for share in shares.values()) else {}


def figures_of(
    findings: Findings, store: Store, walked: Any, validated: CrossValidated | None
) -> dict[str, plots.Figure]:
    """Every figure that can be drawn, by the id of its place."""
    days, shares = session_days(findings, store), shares_of(findings)
    net, fall = findings.figures[:, METRIC["net_profit"]], findings.figures[:, METRIC["max_drawdown"]]
    figures = {
        "equity": plots.equity_figure(days, findings.equity, findings.ledger, findings.recommended, findings.best),
        "front": plots.front_figure(fall, net, findings.recommended, findings.best),
    }
    if shares:
        figures["importances"] = plots.importances_figure(shares)
    if np.isfinite(findings.robustness).any():
        figures["robustness"] = plots.marked(
            findings.scores, findings.robustness, findings.recommended, findings.best, "objective", "robustness"
        )
    tested = findings.luck.overfitting if findings.luck else None
    if tested is not None:
        figures["logits"] = plots.logits_figure(tested.logits)
        figures["halves"] = plots.halves_figure(tested.in_sample, tested.out_of_sample)
    if walked is not None:
        after = days[-len(walked.equity) :]
        figures["walked"] = plots.walked_figure(after, walked.equity, [step.test[0] for step in walked.steps])
    if validated is not None:
        figures["paths"] = plots.paths_figure(validated.sharpe)
    return figures


def walk_row(step: dict[str, Any]) -> list[str]:
    """One window of a walk-forward."""
    chosen = ", ".join(f"{path.rsplit('.', 1)[-1]} {value}" for path, value in step["settings"].items())
    return [
        " to ".join(step["train"]), " to ".join(step["test"]), brief(step["in_sample_profit_a_year"]),
        brief(step["out_of_sample_profit_a_year"]),
        "" if step["efficiency"] is None else efficiency_words(step["efficiency"]),
        chosen if step["counted"] else f"no trial counted; as the search began: {chosen}",
    ]  # fmt: skip


def walk_value(summary: dict[str, Any]) -> dict[str, Any] | None:
    walked = summary["walk_forward"]
    if walked is None:
        return None
    ratio = whole_efficiency_words(walked)
    rows = [walk_row(step) for step in walked["windows"]]
    text = (
        f"{walked['kind']} windows, purged by {walked['purge_days']} days and {walked['embargo_days']} more: "
        f"{whole_usd(walked['net_profit'])} out of sample, efficiency {ratio}."
    )
    return {"text": text, "rows": rows}


def warnings_of(findings: Findings, quotes: str, stopped: str | None) -> list[str]:
    found = []
    if stopped is not None:
        found.append(f"The walk-forward ended early ({stopped}), and is left out.")
    if quotes != "real":
        found.append(f"{quotes}: a modelled premium proves no edge.")
    if not findings.found.ended and findings.found.failure is None:
        found.append("The search was interrupted: these are the trials that had ended.")
    if findings.found.failure is not None:
        found.append(f"The search ended early: {findings.found.failure}")
    if findings.found.coarse.asked:
        found.append(f"C{coarse_words(findings.found)[1:]}.")
    found += [f"{text[0].upper()}{text[1:]}." for text in (loss_words(findings),) if text is not None]
    uncounted = int((~np.isfinite(findings.scores)).sum())
    if uncounted:
        found.append(
            f"{trials_words(uncounted)} of {findings.found.count():,} do not count: {uncounted_words(findings)}."
        )
    return found


def trials_words(n: int) -> str:
    return "1 trial" if n == 1 else f"{n:,} trials"


def top_table(top: Top, several: bool) -> tuple[list[str], list[list[str]]]:
    """(heads, rows) of the best trials: the terminal's figures, then the settings; equal figures once."""
    names = [name for name in HEADS if name != "phase" or several]
    settings = range(top.columns.index("phase") + 1, top.columns.index("Balance"))
    order = [*(top.columns.index(name) for name in names), *settings]
    told = [top.columns.index(name) for name in FIGURES]
    first = {tuple(cell(row[i]) for i in told): row for row in reversed(top.rows)}
    rows = [row for row in top.rows if first[tuple(cell(row[i]) for i in told)] is row][:SHOWN]
    heads = [*(HEADS[name] for name in names), *(top.columns[i] for i in settings)]
    return heads, [[brief(row[i]) if isinstance(row[i], float) else cell(row[i]) for i in order] for row in rows]


def untested_words(findings: Findings) -> str:
    """Why the best is not tested in halves of the sample."""
    if findings.luck is None:
        return f"Nothing to test: {why_none(findings)}."
    if findings.found.plan.coarse:
        return "Not tested in halves of the sample: only the best by closed trades were run in full."
    return "Too few sessions, or trials that differ, to test the best in halves of the sample."


def write_optimize(
    folder: Path,
    findings: Findings,
    top: Top,
    summary: dict[str, Any],
    store: Store,
    walked: Any,
    validated: CrossValidated | None,
) -> None:
    """Write optimize.html into a run folder. walked : optimizer.Walked, or None."""
    quotes = store.manifest.get("quotes", "real")
    maps = maps_of(findings)
    figures = figures_of(findings, store, walked, validated) | {key: figure for key, (_, figure) in maps.items()}
    columns, rows = top_table(top, len(findings.found.phases) > 1)
    luck, shape, check = findings.luck, findings.shape, summary["cross_validation"]
    verdict = luck.verdict if luck else "undecided"
    write_page(
        folder / "optimize.html", "optimize.html", {"palette": PALETTE, "figures": figures},
        title=f"Search {findings.found.grid.name} on {store.name}",
        badge="" if quotes == "real" else "modelled quotes",
        about=f"{trials_words(findings.found.count())}, {findings.found.plan.method}; objective "
        f"{findings.found.plan.wish.objective}. {findings.found.grid.about}",
        warnings=warnings_of(findings, quotes, summary["walk_forward_stopped"]),
        tone=TONES[verdict],
        verdict=HEADLINES[verdict],
        luck=luck_words(findings).partition(": ")[2],
        shape=shape.words if shape else "",
        beside=beside_rows(findings) if findings.recommended >= 0 else [],
        top_columns=columns,
        top_rows=rows,
        untested=untested_words(findings),
        combinations=luck.overfitting.combinations if luck and luck.overfitting else 0,
        inert=findings.inert,
        maps=[(key, text) for key, (text, _) in maps.items()],
        walk=walk_value(summary),
        validation=None
        if check is None
        else f"{check['paths']} paths: Sharpe ratio {check['sharpe_50']:.2f} at the median "
        f"(5 to 95 %: {check['sharpe_5']:.2f} to {check['sharpe_95']:.2f}), {check['losing_paths']:.0%} lose.",
        palette=PALETTE,
        figures=figures,
    )  # fmt: skip
