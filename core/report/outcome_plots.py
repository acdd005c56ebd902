"""Pictures of how trades went: what was lost on the way, what costs would have changed, where P&L came from over time.

Plain data for plotly.js as in core.report.plots, with its colour names.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from core.attribution import PARTS
from core.report.outcomes import Outcomes
from core.report.plots import Figure, axis, date_axis, kept_rows, layout, line, rounded

MOST_DOTS = 2000
CAUSE_LINES = (("@gain", "solid"), ("@loss", "solid"), ("@edge", "solid"), ("@second", "solid"), ("@muted", "dash"),
               ("@muted", "dot"), ("@axis", "dashdot"))  # fmt: skip
FILLS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5)  # share of the real half-spread given up on every leg


def excursion_figure(outcomes: Outcomes) -> Figure:
    """Each closed trade: the deepest loss on its way against what it ended with, $."""
    kept = np.unique(np.linspace(0, len(outcomes.pnl) - 1, min(len(outcomes.pnl), MOST_DOTS)).astype(np.int64))
    data = []
    for name, mine, colour, symbol in (
        ("won", outcomes.pnl[kept] > 0, "@gain", "circle"),
        ("lost", outcomes.pnl[kept] <= 0, "@loss", "x"),
    ):
        if mine.any():
            data.append(
                {
                    **{"type": "scatter", "mode": "markers", "name": name},
                    "x": rounded(outcomes.adverse[kept][mine]),
                    "y": rounded(outcomes.pnl[kept][mine]),
                    "marker": {"color": colour, "symbol": symbol, "size": 7},
                    "hovertemplate": "deepest loss %{x:$,.0f}, ended %{y:$,.0f}<extra></extra>",
                }
            )
    across = axis(title={"text": "deepest loss on the way"}, tickformat="$,.0f", nticks=6, rangemode="tozero")
    up = axis(title={"text": "P&L at the end"}, tickformat="$,.0f", nticks=6)
    return {"data": data, "layout": layout(xaxis=across, yaxis=up)}


def favourable_figure(outcomes: Outcomes) -> Figure:
    """Each closed trade: the highest gain on its way against what was kept of it, $."""
    found = excursion_figure(outcomes._replace(adverse=outcomes.favourable))
    found["layout"]["xaxis"]["title"] = {"text": "highest gain on the way"}
    for trace in found["data"]:
        trace["hovertemplate"] = "highest gain %{x:$,.0f}, ended %{y:$,.0f}<extra></extra>"
    return found


def cost_points(net: float, paid: float, half: float) -> list[float]:
    """Net profit ($) of the very same trades if every fill gave up each of FILLS of its half-spread."""
    return [round(net + paid - share * half, 2) for share in FILLS]


def cost_figure(net: float, paid: float, half: float) -> Figure:
    """Net profit against the fill assumption; paid: given up against mid, half: full half-spreads of the fills, $."""
    x = [100.0 * share for share in FILLS]
    own, said = 100.0 * paid / half, "%{x:.0f}%: %{y:$,.0f}<extra></extra>"
    data = [
        line(x, cost_points(net, paid, half), "net profit", "@gain", hovertemplate=said),
        {
            **{"type": "scatter", "mode": "markers", "name": "this run", "x": [round(own, 1)], "y": [round(net, 2)]},
            "marker": {"color": "@ink", "size": 10, "symbol": "diamond"},
            "hovertemplate": "this run, " + said,
        },
    ]
    title = {"text": "of the half-spread given up on every leg (0 mid, 100 natural)"}
    across = axis(title=title, ticksuffix="%", dtick=25)
    return {"data": data, "layout": layout(xaxis=across, yaxis=axis(tickformat="$,.0f", nticks=6, zeroline=True))}


def causes_figure(times: list[str], total: Any) -> Figure:
    """P&L of closed trades by cause so far, $; times: of the closes, total: float64 (PARTS, n)."""
    kept = kept_rows(*total, limit=1200)
    when = [times[i] for i in kept.tolist()]
    data = [
        line(when, rounded(total[k][kept], 0), name, colour, dash=dash, hovertemplate="%{y:$,.0f}")
        for k, (name, (colour, dash)) in enumerate(zip(PARTS, CAUSE_LINES, strict=True))
    ]
    data.append(line(when, rounded(total.sum(0)[kept], 0), "all", "@ink", width=2.4, hovertemplate="%{y:$,.0f}"))
    time = date_axis(times)
    margin = {"l": 8, "r": 12, "t": 36 if "rangeselector" in time else 12, "b": 8}
    look = layout(xaxis=time, yaxis=axis(tickformat="$,.0f"), hovermode="x unified", margin=margin)
    return {"data": data, "layout": look}
