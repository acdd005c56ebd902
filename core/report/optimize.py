"""optimize.html: a search as one page that needs nothing else. No clock and no run id get in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from core.market.calendar import day_text
from core.market.store import Store, days_between
from core.report import optimize_plots as plots
from core.report.html import TEMPLATES, csp_hash, for_script, plotly_script
from core.report.plots import PALETTE
from core.search.cross_validation import CrossValidated
from core.search.findings import Findings
from core.search.heat import heat_map
from core.search.outputs import Top, brief, cell, short_names
from core.trials import METRIC

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
        rows.append([name, *("" if i < 0 else brief(float(findings.figures[i, METRIC[name]])) for i in pair)])
    rows.append(["robustness", *("" if i < 0 else brief(float(findings.robustness[i])) for i in pair)])
    return rows


def maps_of(findings: Findings) -> dict[str, tuple[str, plots.Figure]]:
    """Heat maps of the settings that matter most, by phase."""
    found = {}
    for number, (phase, shares) in enumerate(zip(findings.found.phases, findings.importances, strict=True)):
        levels = phase.levels()
        names = sorted((n for n in levels if len(set(levels[n])) > 1), key=lambda n: -shares[n])
        pairs = [(a, b) for i, a in enumerate(names) for b in names[i + 1 :]][:MAPS]
        short = short_names(list(levels))
        for k, (a, b) in enumerate(pairs):
            figure = plots.map_figure(heat_map(levels, phase.scores, a, b), phase.chosen)
            found[f"map-{number}-{k}"] = (f"{phase.phase.name}: {short[a]} up, {short[b]} across", figure)
    return found


def figures_of(
    findings: Findings, store: Store, walked: Any, validated: CrossValidated | None
) -> dict[str, plots.Figure]:
    """Every figure that can be drawn, by the id of its place."""
    days, shares = session_days(findings, store), {}
    for phase in findings.importances:
        shares |= {name.rsplit(".", 1)[-1]: share for name, share in phase.items() if name != "interactions"}
    net, fall = findings.figures[:, METRIC["net_profit"]], findings.figures[:, METRIC["max_drawdown"]]
    figures = {
        "equity": plots.equity_figure(days, findings.equity, findings.ledger, findings.recommended, findings.best),
        "importances": plots.importances_figure(shares),
        "front": plots.front_figure(fall, net, findings.recommended, findings.best),
    }
    if np.isfinite(findings.scores).any():
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


def walk_value(summary: dict[str, Any]) -> dict[str, Any] | None:
    walked = summary["walk_forward"]
    if walked is None:
        return None
    ratio = "undefined (nothing earned in sample)" if walked["efficiency"] is None else f"{walked['efficiency']:.0%}"
    rows = [
        [
            " to ".join(step["train"]), " to ".join(step["test"]), brief(step["in_sample_profit_a_year"]),
            brief(step["out_of_sample_profit_a_year"]), brief(step["efficiency"]),
            ", ".join(f"{path.rsplit('.', 1)[-1]} {value}" for path, value in step["settings"].items()),
        ]
        for step in walked["windows"]
    ]  # fmt: skip
    text = (
        f"{walked['kind']} windows, purged by {walked['purge_days']} days and {walked['embargo_days']} more: "
        f"${walked['net_profit']:,.0f} out of sample, efficiency {ratio}."
    )
    return {"text": text, "rows": rows}


def warnings_of(findings: Findings, quotes: str) -> list[str]:
    found = []
    if quotes != "real":
        found.append(f"{quotes}: a modelled premium proves no edge.")
    if not findings.found.ended:
        found.append("The search was interrupted: these are the trials that had ended.")
    uncounted = int((~np.isfinite(findings.scores)).sum())
    if uncounted:
        least = findings.found.plan.wish.least_trades
        found.append(f"{uncounted} trials do not count: fewer than {least} trades, or beyond a limit.")
    return found


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
    import jinja2
    from markupsafe import Markup

    quotes = store.manifest.get("quotes", "real")
    maps = maps_of(findings)
    figures = figures_of(findings, store, walked, validated) | {key: figure for key, (_, figure) in maps.items()}
    columns, rows = top
    luck, shape, check = findings.luck, findings.shape, summary["cross_validation"]
    verdict = luck.verdict if luck else "undecided"
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.filters["csp_hash"] = csp_hash
    page = environment.get_template("optimize.html").render(
        title=f"Search {findings.found.grid.name} on {store.name}",
        badge="" if quotes == "real" else "modelled quotes",
        about=f"{findings.found.count():,} trials, {findings.found.plan.method}; objective "
        f"{findings.found.plan.wish.objective}. {findings.found.grid.about}",
        warnings=warnings_of(findings, quotes),
        tone=TONES[verdict],
        verdict=HEADLINES[verdict],
        luck=luck.words if luck else "no trial counted",
        shape=shape.words if shape else "",
        beside=beside_rows(findings),
        top_columns=columns,
        top_rows=[[brief(value) if isinstance(value, float) else cell(value) for value in row] for row in rows[:SHOWN]],
        combinations=luck.overfitting.combinations if luck and luck.overfitting else 0,
        inert=findings.inert,
        maps=[(key, text) for key, (text, _) in maps.items()],
        walk=walk_value(summary),
        validation=None
        if check is None
        else f"{check['paths']} paths: Sharpe ratio {check['sharpe_50']:.2f} at the median "
        f"({check['sharpe_5']:.2f} to {check['sharpe_95']:.2f}), {check['losing_paths']:.0%} lose.",
        palette=PALETTE,
        figures=figures,
        data=Markup(for_script({"palette": PALETTE, "figures": figures})),
        plotly=plotly_script(),
    )
    (folder / "optimize.html").write_text(page, encoding="utf-8", newline="\n")
