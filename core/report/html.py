"""report.html: a run as one page that needs nothing else.

What it says comes from core.report.model, its figures from core.report.plots, its looks from templates/report.html.
No clock and no run id get in: two equal runs give the same bytes.
"""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from core.errors import DataError
from core.report import insight_plots, plots
from core.report.insight import Insight, insight_values
from core.report.known import regime_of
from core.report.measure import Measured, dollars
from core.report.model import (
    TRADE_COLUMNS,
    TradeFacts,
    clock_text,
    report_values,
    strikes_text,
    trade_facts,
    trade_rows,
    usd,
)
from core.report.stress import stress_figures, stress_values
from core.types import DRAWDOWN, LIQUIDATION, REASONS, T

if TYPE_CHECKING:
    from backtest_engine import BacktestResult

TEMPLATES = Path(__file__).with_name("templates")


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


def price_figure(result: BacktestResult, facts: TradeFacts, signal: Any) -> plots.Figure:
    """Every trade over the underlying, regimes behind."""
    spot = result.market.row.spot[result.first_row : result.last_row]
    kept = plots.kept_rows(spot)
    times = clock_text(result, kept + result.first_row)
    return plots.trades_figure(times, spot[kept], segments(result, facts), bands_of(result, signal))


def figures_of(
    result: BacktestResult, measured: Measured, curves: Curves, facts: TradeFacts, insight: Insight
) -> dict[str, Any]:
    """Every figure by the id of its place on the page; those of trades only where there are trades."""
    figures = {"equity": plots.equity_figure(*curves), "trades": price_figure(result, facts, insight.signal)}
    if len(result.trades):
        times = clock_text(result, insight.exposure.rows)
        figures["exposure"] = insight_plots.exposure_figure(times, insight.exposure)
        figures["dte"] = plots.distribution_figure(facts.dte, "days", at_least=1.0)
        figures["credit"] = plots.distribution_figure(facts.credit, "$")
        figures["share"] = plots.distribution_figure(facts.share, "%", at_least=0.5)
    if facts.closed.any():
        figures["pnl"] = plots.distribution_figure(facts.pnl[facts.closed], "$", signed=True)
        figures["by_regime"] = insight_plots.regime_bars(insight.groups["regime"])
        figures["cause"] = plots.attribution_figure(measured.metrics["attribution"])
    if insight.factors:
        figures["factors"] = insight_plots.factor_figure(insight.factors)
    return figures


def for_script(value: Any) -> str:
    """JSON that stays data inside a script element whatever strings it holds."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def csp_hash(script: str) -> str:
    """The content-security-policy source that lets this very inline script run, and no other."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


def plotly_script() -> str:
    """plotly.js as the plotly package ships it; importing the package for it would take half a second."""
    package = importlib.util.find_spec("plotly")
    if package is None or package.origin is None:
        raise DataError("the plotly package is missing; install requirements.txt, or run with --report none")
    return (Path(package.origin).parent / "package_data" / "plotly.min.js").read_text(encoding="utf-8")


def write_html(
    folder: Path,
    result: BacktestResult,
    measured: Measured,
    manifest: dict[str, Any],
    insight: Insight,
    stress: dict[str, Any],
    painter: plots.Painter | None = None,
) -> None:
    """Write report.html and equity.png into the run folder; a painter started earlier saves its start-up.

    stress : what `stress` found, or core.report.stress.small_stress
    """
    import jinja2
    from markupsafe import Markup

    values = report_values(result, measured, manifest) | insight_values(insight) | stress_values(stress)
    curves, facts = curves_of(result), trade_facts(result)
    title = " ".join([values["market"], values["structure"], values["quotes"] if values["badge"] else ""]).strip()
    painter = painter or plots.Painter()
    painter.draw(folder / "equity.png", *curves[:4], title)
    data = {
        "palette": plots.PALETTE,
        "figures": figures_of(result, measured, curves, facts, insight) | stress_figures(stress),
        "trades": {"columns": TRADE_COLUMNS, "rows": trade_rows(result, facts)},
    }
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["csp_hash"] = csp_hash
    page = environment.get_template("report.html").render(
        **values, palette=plots.PALETTE, figures=data["figures"], data=Markup(for_script(data)), plotly=plotly_script()
    )
    (folder / "report.html").write_text(page, encoding="utf-8", newline="\n")
    painter.finish()
