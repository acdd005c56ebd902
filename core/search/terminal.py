"""What a search prints: the best trials, what it recommends, and how much of that is luck."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

from core.jit import ROOT
from core.report.model import whole_usd
from core.report.terminal import WIDTH
from core.search.findings import Findings
from core.search.outputs import Top, brief, cell
from core.search.words import coarse_words, few_words, loss_words, luck_words, whole_efficiency_words

SHOWN = 12
FIGURES = ("NetProfit", "MaxDD", "Sharpe", "Trades", "WinRate")
HEADS = {
    "Rank": "rank",
    "phase": "phase",
    "NetProfit": "net profit",
    "MaxDD": "drawdown",
    "NP_DD_Ratio": "NP/DD",
    "Sharpe": "Sharpe",
    "DeflatedSharpe": "deflated",
    "Trades": "trades",
    "WinRate": "win rate",
    "Robustness": "robust",
}


def table_lines(top: Top) -> list[str]:
    """The best trials, columns as wide as what stands in them; the phase only where there are several.

    Trials with the figures of one that stands above them are left out, and counted in a last line.
    """
    places = {name: top.columns.index(name) for name in HEADS}
    several = len({row[places["phase"]] for row in top.rows}) > 1
    names = [name for name in HEADS if name != "phase" or several]
    cells, seen, equal = [[HEADS[name] for name in names]], set(), 0
    for row in top.rows:
        figures = tuple(cell(row[places[name]]) for name in FIGURES)
        if figures in seen:
            equal += 1
        elif len(cells) <= SHOWN:
            cells.append([brief(row[places[name]]) for name in names])
        else:
            break
        seen.add(figures)
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        "  ".join(
            text.ljust(width) if name == "phase" else text.rjust(width)
            for name, text, width in zip(names, line, widths, strict=True)
        )
        for line in cells
    ]
    return [*lines, f"left out: {equal} with the figures of one above them"] if equal else lines


def summary_lines(findings: Findings, top: Top, summary: dict[str, Any], folder: Path | None, quotes: str) -> list[str]:
    """The search for people: a table of the best, the recommended settings, and the verdict."""
    lines = table_lines(top)
    found = findings.found
    if findings.recommended >= 0:
        lines.append("recommended (best plateau):")
        values = found.recommended.values
        lines += [f"  {path:42} {values[path]}" for path in findings.settings]
    told = [] if findings.shape is None else [findings.shape.words]
    loss = loss_words(findings)
    if loss is not None:
        told.append(loss)
    if findings.inert:
        told.append(f"changed nothing on this market: {', '.join(findings.inert)}")
    told += [*out_of_sample(summary), luck_words(findings)]
    few = few_words(found)
    if few is not None:
        told.append(few)
    if quotes != "real":
        told.append(f"{quotes}: a modelled premium proves no edge.")
    if found.coarse.asked:
        told.append(coarse_words(found))
    lines += [
        part for text in told for part in textwrap.wrap(text, WIDTH, subsequent_indent="  ", break_on_hyphens=False)
    ]
    steps = f" and {len(found.beyond)} steps from the recommended one" if found.beyond else ""
    rate = (found.count() + len(found.beyond)) / found.seconds if found.seconds > 0 else 0.0
    state = "" if found.ended else "interrupted: " if found.failure is None else "ended early: "
    trials = "trial" if found.count() == 1 else "trials"
    lines.append(
        f"{state}{found.count():,} {trials}{steps} in {found.seconds:.1f} s ({rate:,.0f} a second), "
        f"{found.resumed} resumed"
    )
    if folder is not None:
        lines.append(f"run folder: {folder.relative_to(ROOT) if folder.is_relative_to(ROOT) else folder}")
    return lines


def out_of_sample(summary: dict[str, Any]) -> list[str]:
    """Walk-forward and cross-validation in words."""
    lines = []
    walked, validated = summary["walk_forward"], summary["cross_validation"]
    if summary["walk_forward_stopped"] is not None:
        lines.append(f"walk-forward: ended early ({summary['walk_forward_stopped']}), and is left out")
    if walked is not None:
        for step in walked["windows"]:
            inside, outside = (
                "unknown" if value is None else f"{whole_usd(value)} a year"
                for value in (step["in_sample_profit_a_year"], step["out_of_sample_profit_a_year"])
            )
            if not step["counted"]:
                inside = "no trial counted, traded as the search began"
            lines.append(
                f"{step['train'][0]} to {step['train'][1]}: {inside}; "
                f"tested {step['test'][0]} to {step['test'][1]}: {outside}"
            )
        kept = "" if walked["drift_kept"] is None else f", {walked['drift_kept']:.0%} of windows kept the last choice"
        ratio = whole_efficiency_words(walked)
        lines.append(
            f"walk-forward, {walked['kind']}, purged {walked['purge_days']} days: out of sample "
            f"{whole_usd(walked['net_profit'])}, efficiency {ratio}{kept}"
        )
    if validated is not None:
        lines.append(
            f"cross-validation, {validated['paths']} paths: Sharpe {validated['sharpe_50']:.2f} at the median "
            f"(5 to 95 %: {validated['sharpe_5']:.2f} to {validated['sharpe_95']:.2f}), "
            f"{validated['losing_paths']:.0%} lose"
        )
    return lines
