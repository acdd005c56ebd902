"""Figures of a search, as plain data for its page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from core.metrics import SESSIONS_PER_YEAR
from core.report.plots import Figure, axis, histogram, layout, line, rounded
from core.search.heat import HeatMap
from core.search.robustness import pareto

MOST_POINTS = 3000
BAND = (10.0, 90.0)
MOST_TOLD, LONG = 8, 6  # columns of a map whose cells have room for numbers; letters of a label that are turned
BELOW_TITLE = -0.2  # where a legend begins that lies under the title of an axis


def thinned(n: int, keep: Sequence[int] = ()) -> Any:
    """At most MOST_POINTS of n indices, evenly, and those to keep."""
    few = np.unique(np.linspace(0, n - 1, min(n, MOST_POINTS)).astype(int))
    return np.unique(np.concatenate((few, np.array([i for i in keep if i >= 0], np.int64))))


def equity_figure(days: list[str], equity: Any, ledger: Any, recommended: int, best: int) -> Figure:
    """Equity in $ of two trials over the middle 80 per cent of all, or of MOST_POINTS of them.

    equity : int64 (m, sessions) cents; ledger : int64 (n), whose row each trial has
    """
    shown = np.ascontiguousarray(equity[ledger[thinned(len(ledger))]].T)
    low, high = np.percentile(shown, BAND, axis=1, overwrite_input=True) / 100.0
    data = [
        {**line(days, rounded(high), "middle 80 % of all trials", "@grid"), "mode": "lines", "showlegend": False},
        {**line(days, rounded(low), "middle 80 % of all trials", "@grid"), "fill": "tonexty", "fillcolor": "@grid"},
    ]
    if best >= 0 and best != recommended:
        data.append(line(days, rounded(equity[ledger[best]] / 100.0), "best point", "@second"))
    if recommended >= 0:
        data.append(line(days, rounded(equity[ledger[recommended]] / 100.0), "recommended", "@gain"))
    return {"data": data, "layout": layout(xaxis=axis(type="date"), yaxis=axis(tickformat="$,.0f"), hovermode="x")}


def logits_figure(logits: Any) -> Figure:
    edges, counts, width = histogram(logits, at_least=0.1)
    bars = {
        **{"type": "bar", "x": [edge + width / 2 for edge in edges], "y": counts, "width": width, "showlegend": False},
        "marker": {
            "color": ["@loss" if edge < 0 else "@gain" for edge in edges],
            "line": {"color": "@card", "width": 1},
        },
    }
    return {"data": [bars], "layout": layout(yaxis=axis(title={"text": "combinations"}))}


def scatter(x: Any, y: Any, colour: str, name: str, **marker: Any) -> dict[str, Any]:
    return {
        **{"type": "scatter", "mode": "markers", "x": rounded(x, 4), "y": rounded(y, 4), "name": name},
        "marker": {"color": colour, "size": 5, "opacity": 0.6, **marker},
    }


def halves_figure(inside: Any, outside: Any) -> Figure:
    year = np.sqrt(SESSIONS_PER_YEAR)
    kept = thinned(len(inside))
    data = [scatter(inside[kept] * year, outside[kept] * year, "@gain", "a combination")]
    return {
        "data": data,
        "layout": layout(
            xaxis=axis(title={"text": "in sample"}), yaxis=axis(title={"text": "out of sample"}), showlegend=False
        ),
    }


def importances_figure(shares: dict[str, float]) -> Figure:
    names = sorted(shares, key=lambda name: shares[name])
    bars = {
        **{"type": "bar", "orientation": "h", "y": names, "x": [round(shares[name], 4) for name in names]},
        **{"marker": {"color": "@gain"}, "showlegend": False},
        "text": [f"{shares[name]:.0%}" for name in names],
    }
    return {
        "data": [bars],
        "layout": layout(xaxis=axis(tickformat=".0%", rangemode="tozero"), yaxis=axis(showgrid=False)),
    }


def marked(x: Any, y: Any, recommended: int, best: int, across: str, up: str, joined: Any = None) -> Figure:
    """A cloud of trials with the recommended one and the best point marked, and a front joined."""
    kept = thinned(len(x), (recommended, best))
    data = [scatter(x[kept], y[kept], "@muted", "trials")]
    if joined is not None and joined.sum() > 1:
        order = np.nonzero(joined)[0]
        order = order[np.argsort(x[order])]
        data.append(line(rounded(x[order]), rounded(y[order]), "front", "@edge"))
    for i, name, colour, symbol in (
        (best, "best point", "@second", "x"),
        (recommended, "recommended", "@gain", "star"),
    ):
        if i >= 0:
            data.append(scatter(x[i : i + 1], y[i : i + 1], colour, name, size=13, symbol=symbol, opacity=1.0))
    look = layout(xaxis=axis(title={"text": across}), yaxis=axis(title={"text": up}))
    look["legend"] = {**look["legend"], "y": BELOW_TITLE}
    return {"data": data, "layout": look}


def front_figure(drawdown: Any, profit: Any, recommended: int, best: int) -> Figure:
    return marked(drawdown, profit, recommended, best, "maximum drawdown, $", "net profit, $", pareto(profit, drawdown))


def number(value: float, digits: int) -> str:
    """A cell's number: so many digits, never an exponent for what is not tiny."""
    return f"{value:,.0f}" if abs(value) >= 100.0 else f"{value:.{digits}g}"


def map_figure(found: HeatMap, chosen: int) -> Figure:
    """Cells with their numbers; that of the chosen trial framed (-1: none)."""
    cells = [[None if value != value else round(float(value), 4) for value in line] for line in found.mean]
    known = [abs(value) for line in cells for value in line if value is not None]
    most = max(known, default=1.0) or 1.0
    digits = next((d for d in (2, 3, 4) if len({number(v, d) for v in known}) >= 0.8 * len(set(known))), 5)
    heat = {
        **{"type": "heatmap", "z": cells, "zmin": -most, "zmax": most, "showscale": False, "xgap": 1, "ygap": 1},
        "x": [str(value) for value in found.columns],
        "y": [str(value) for value in found.rows],
        "colorscale": [[0.0, "@loss"], [0.5, "@card"], [1.0, "@gain"]],
        "text": [["" if value is None else number(value, digits) for value in line] for line in cells],
        "texttemplate": "%{text}" if len(found.columns) <= MOST_TOLD else "",
        "textfont": {"size": 10},
    }
    shapes = []
    if chosen >= 0:
        x, y = int(found.column[chosen]), int(found.row[chosen])
        frame = {"x0": x - 0.5, "x1": x + 0.5, "y0": y - 0.5, "y1": y + 0.5}
        shapes.append({"type": "rect", **frame, "line": {"color": "@ink", "width": 2}})
    look = {"type": "category", "showgrid": False}
    turned = {"tickangle": 45} if any(len(str(value)) > LONG for value in found.columns) else {}
    return {"data": [heat], "layout": layout(xaxis=axis(**look, **turned), yaxis=axis(**look), shapes=shapes)}


def walked_figure(days: list[str], equity: Any, begins: list[str]) -> Figure:
    """Out-of-sample equity in $ with the windows' first days."""
    data = [line(days, rounded(equity / 100.0), "out of sample", "@gain")]
    shapes = [
        {
            "type": "line",
            "x0": day,
            "x1": day,
            "y0": 0,
            "y1": 1,
            "yref": "paper",
            "line": {"color": "@axis", "dash": "dot"},
        }
        for day in begins
    ]
    look = layout(xaxis=axis(type="date"), yaxis=axis(tickformat="$,.0f"), shapes=shapes, showlegend=False)
    return {"data": data, "layout": look}


def paths_figure(sharpe: Any) -> Figure:
    edges, counts, width = histogram(np.asarray(sharpe, np.float64), at_least=0.05)
    bars = {
        **{"type": "bar", "x": [edge + width / 2 for edge in edges], "y": counts, "width": width, "showlegend": False},
        "marker": {"color": ["@loss" if edge < 0 else "@gain" for edge in edges]},
    }
    return {
        "data": [bars],
        "layout": layout(xaxis=axis(title={"text": "Sharpe ratio a year"}), yaxis=axis(title={"text": "paths"})),
    }
