"""Writes the faces of a report that were asked for: the page, the printed sheets, and the picture beside both."""

from __future__ import annotations

from pathlib import Path

from core.report import plots
from core.report.build import Report
from core.report.html import curves_of, figures_of, page_values, write_html
from core.report.pdf import printed
from core.report.stress import stress_figures


def write_report(folder: Path, report: Report, kinds: tuple[str, ...], painter: plots.Painter | None = None) -> None:
    """report.html, report.pdf and equity.png into the run folder; a painter started earlier saves its start-up."""
    values, curves = page_values(report), curves_of(report.result)
    figures = figures_of(report, curves) | stress_figures(report.stress)
    title = " ".join([values["market"], values["structure"], values["quotes"] if values["badge"] else ""]).strip()
    painter = painter or plots.Painter()
    painter.draw(folder / "equity.png", *curves[:4], title)
    if "pdf" in kinds:
        painter.print(folder / "report.pdf", printed(report, values, figures))
    painter.begin()
    if "html" in kinds:
        write_html(folder, report, values, figures)
    painter.finish()
