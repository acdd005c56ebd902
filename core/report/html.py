"""report.html: a run as one page that needs nothing else.

What it says comes from core.report.model, its figures from core.report.plots, its looks from templates/report.html.
No clock and no run id get in: two equal runs give the same bytes.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from core.report import insight_plots, outcome_plots, plots
from core.report.beside import beside_lines
from core.report.build import Report
from core.report.days import bad_day_lines
from core.report.insight import insight_values
from core.report.known import regime_of
from core.report.measure import dollars, slippage_cents
from core.report.model import (
    TRADE_COLUMNS,
    TradeFacts,
    clock_text,
    report_values,
    strikes_text,
    trade_rows,
    usd,
)
from core.report.page import write_page
from core.report.stress import stress_values
from core.report.tax import tax_lines
from core.report.trades import details
from core.types import DRAWDOWN, LIQUIDATION, REASONS, T

if TYPE_CHECKING:
    from backtest_engine import BacktestResult


# ---------------------------------------------------------------- figures


def segments(result: BacktestResult, facts: TradeFacts) -> list[plots.Segments]:
    """Each trade as the price chart draws it."""
    found = []
    spot = result.market.row.spot
    for i, t in enumerate(result.trades.tolist()):
        closed = bool(facts.closed[i])
        strikes = facts.strikes[i].tolist()
        end = f"{usd(facts.pnl[i])}, {REASONS[t[T['reason']]][1]}" if closed else "open"
        found.append(
            plots.Segments(
                entry=facts.entry[i],
                exit=facts.exit[i],
                short=tuple(k for k in strikes[1:3] if k == k),
                long=tuple(k for k in (strikes[0], strikes[3]) if k == k),
                result=("won" if t[T["pnl"]] > 0 else "lost") if closed else "open",
                spot=float(spot[t[T["closed"] if closed else T["opened"]]]),
                label=f"trade {i}: {strikes_text(strikes)}<br>credit ${facts.credit[i]:.2f}<br>{end}",
            )
        )
    return found


class Curves(NamedTuple):
    """What is drawn of the account over time, at the rows kept: $ but for the times."""

    times: list[str]
    equity: Any
    liquidation: Any
    drawdown: Any
    held: Any  # the starting cash grown with the underlying's price


def curves_of(result: BacktestResult) -> Curves:
    equity = dollars(result.equity)
    liquidation, drawdown = dollars(result.ledger.rows[LIQUIDATION]), dollars(result.ledger.rows[DRAWDOWN])
    kept = plots.kept_rows(equity, liquidation, drawdown)
    spot = result.market.row.spot[result.first_row : result.last_row]
    held = result.config["account.starting_cash"] * spot[kept] / spot[0]
    times = clock_text(result, kept + result.first_row)
    return Curves(times, equity[kept], liquidation[kept], drawdown[kept], held)


def bands_of(result: BacktestResult, signal: Any) -> list[dict[str, Any]]:
    """The regime behind the price, by the rows of the run."""
    rows = np.arange(result.first_row, result.last_row)
    session = result.market.row.session[rows].astype(np.int64)
    runs = insight_plots.regime_runs(regime_of(signal)[rows], session)
    ends = (clock_text(result, rows[at]) for at in (runs.first, runs.end))
    return insight_plots.regime_bands(runs, *ends)


def price_figure(result: BacktestResult, facts: TradeFacts, bands: list[dict[str, Any]]) -> plots.Figure:
    """Every trade over the underlying, regimes behind."""
    spot = result.market.row.spot[result.first_row : result.last_row]
    kept = plots.kept_rows(spot)
    times = clock_text(result, kept + result.first_row)
    return plots.trades_figure(times, spot[kept], segments(result, facts), bands)


def figures_of(report: Report, curves: Curves) -> dict[str, Any]:
    """Every figure by the id of its place on the page; those of trades only where there are trades."""
    result, facts, insight, metrics = report.result, report.facts, report.insight, report.measured.metrics
    bands = bands_of(result, insight.signal)
    figures = {
        "equity": plots.equity_figure(*curves, bands, cut_of(report)),
        "trades": price_figure(result, facts, bands),
    }
    if len(result.trades):
        times = clock_text(result, insight.exposure.rows)
        figures["exposure"] = insight_plots.exposure_figure(times, insight.exposure)
        figures["dte"] = plots.distribution_figure(facts.dte, "days", at_least=1.0)
        figures["credit"] = plots.distribution_figure(facts.credit, "$")
        figures["share"] = plots.distribution_figure(facts.share, "%", at_least=0.5)
        paid, half, _ = slippage_cents(result)
        if half:
            figures["costs"] = outcome_plots.cost_figure(metrics["net_profit"], paid / 100.0, half / 100.0)
    if facts.closed.any():
        closes = clock_text(result, report.causes.row)
        figures["pnl"] = plots.distribution_figure(facts.pnl[facts.closed], "$", signed=True)
        figures["by_regime"] = insight_plots.regime_bars(insight.groups["regime"])
        figures["cause"] = plots.attribution_figure(metrics["attribution"])
        figures["causes"] = outcome_plots.causes_figure(closes, report.causes.total)
    if len(report.outcomes.pnl):
        figures["held"] = plots.distribution_figure(report.outcomes.held_days, "days", at_least=1.0)
        figures["adverse"] = plots.distribution_figure(report.outcomes.adverse, "$")
        figures["excursion"] = outcome_plots.excursion_figure(report.outcomes)
        figures["favourable"] = outcome_plots.favourable_figure(report.outcomes)
    if insight.factors:
        figures["factors"] = insight_plots.factor_figure(insight.factors)
    return figures


def cut_of(report: Report) -> str | None:
    """First session out of sample, where the run has one."""
    if report.insight.twin is not None and report.insight.twin["out_of_sample"] is not None:
        return str(report.insight.twin["out_of_sample"]["start"])
    return report.asked.cut


def page_values(report: Report) -> dict[str, Any]:
    """All words and tables of the page."""
    return {
        **report_values(report.result, report.measured, report.manifest),
        **insight_values(report.insight),
        **stress_values(report.stress),
        "beside": beside_lines(report.beside),
        "bad_days": bad_day_lines(report.worst),
        "taxed": tax_lines(report.taxed),
    }


def write_html(folder: Path, report: Report, values: dict[str, Any], figures: dict[str, plots.Figure]) -> None:
    """Write report.html into the run folder. values : of page_values; figures : by the id of their places."""
    data = {
        "palette": plots.PALETTE,
        "figures": figures,
        "trades": {
            "columns": TRADE_COLUMNS,
            "rows": trade_rows(report.result, report.facts),
            "details": details(report.result, report.facts),
        },
    }
    write_page(folder / "report.html", "report.html", data, **values, palette=plots.PALETTE, figures=figures)
