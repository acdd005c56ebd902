"""Pictures that show why: regimes behind the price, P&L by regime, signals of winners and losers, exposure over time.

Plain data for plotly.js as in core.report.plots, with its colour names.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from core.report.exposure import Exposure
from core.report.factors import Factor
from core.report.groups import Group
from core.report.plots import Figure, axis, date_axis, kept_rows, layout, line, rounded
from core.types import REGIMES, UNKNOWN_REGIME

LONG_SESSIONS = 60  # a longer run is coloured session by session
POINTS = 1500  # most points of a curve of exposure


class Runs(NamedTuple):
    """Stretches of one regime: first row, row at which the next begins (or the last row), REGIMES code."""

    first: Any
    end: Any
    code: Any


def regime_runs(code: Any, session: Any) -> Runs:
    """Stretches of equal regime in a column of rows; in long runs each session has the regime of most of its rows.

    code, session : int64, one per row, sessions ascending
    """
    rows = len(code)
    starts = np.flatnonzero(np.diff(session, prepend=session[0] - 1))
    if len(starts) > LONG_SESSIONS:
        number = np.cumsum(np.diff(session, prepend=session[0]) != 0)
        counts = np.bincount(number * len(REGIMES) + code, minlength=len(starts) * len(REGIMES))
        code, at = counts.reshape(-1, len(REGIMES)).argmax(1), starts
    else:
        at = np.arange(rows)
    changes = np.flatnonzero(np.diff(code, prepend=-1))
    first = at[changes]
    return Runs(first, np.append(first[1:], rows - 1), code[changes])


def regime_bands(runs: Runs, first_times: list[str], end_times: list[str]) -> list[dict[str, Any]]:
    """Coloured columns behind the price, one trace per regime that occurs, on the second y axis (0 to 1)."""
    traces = []
    for code, name in enumerate(REGIMES):
        mine = np.flatnonzero(runs.code == code).tolist()
        if code == UNKNOWN_REGIME or not mine:
            continue
        x = [time for i in mine for time in (first_times[i], first_times[i], end_times[i], end_times[i], None)]
        traces.append(
            {
                **{"type": "scatter", "mode": "lines", "fill": "toself", "hoverinfo": "skip", "yaxis": "y2"},
                **{"x": x, "y": [0, 1, 1, 0, None] * len(mine), "name": name.replace("_", " ")},
                **{"line": {"width": 0}, "fillcolor": f"@{name}", "legendrank": 2000 + code},
            }
        )
    return traces


def regime_bars(groups: list[Group]) -> Figure:
    """Net P&L of closed campaigns by the regime at entry, $."""
    names = [f"{group.group.replace('_', ' ')}<br>{group.trades} trade{'s' * (group.trades != 1)}" for group in groups]
    bars = {
        **{"type": "bar", "orientation": "h", "y": names, "x": [round(group.net, 2) for group in groups]},
        "marker": {"color": ["@gain" if group.net > 0 else "@loss" for group in groups]},
        "hovertemplate": "%{x:$,.0f}<extra></extra>",
        "showlegend": False,
    }
    look = axis(tickformat="$~s", nticks=5)
    return {"data": [bars], "layout": layout(xaxis=look, yaxis=axis(autorange="reversed", showgrid=False))}


def factor_figure(factors: list[Factor]) -> Figure:
    """Winners' mean less losers' in deviations of the signal over all entries, with 95 % whiskers."""
    colours = ["@gain" if factor.low > 0 or factor.high < 0 else "@muted" for factor in factors]
    scaled = [[value / factor.spread for value in (factor.difference, factor.low, factor.high)] for factor in factors]
    names = [factor.name.replace("_", " ") for factor in factors]
    whiskers = {"type": "data", "thickness": 1.4, "width": 3, "color": "@muted"}
    dots = {
        **{"type": "scatter", "mode": "markers", "showlegend": False, "y": names},
        "x": [round(middle, 4) for middle, _, _ in scaled],
        "error_x": {**whiskers, "array": [round(high - middle, 4) for middle, _, high in scaled]},
        "marker": {"size": 9, "color": colours},
        "hovertemplate": "%{y}: %{x:+.2f} deviations<extra></extra>",
    }
    across = axis(title={"text": "winners less losers, deviations"}, zeroline=True, nticks=7)
    rows = axis(range=[len(factors) - 0.4, -0.6], dtick=1)
    return {"data": [dots], "layout": layout(xaxis=across, yaxis=rows)}


def panels(count: int, gap: float = 0.035) -> list[tuple[float, float]]:
    """Domains of `count` panels of one height from top to bottom."""
    height = (1.0 - gap * (count - 1)) / count
    tops = [1.0 - i * (height + gap) for i in range(count)]
    return [(round(max(0.0, top - height), 4), round(top, 4)) for top in tops]


def exposure_figure(times: list[str], shown: Exposure) -> Figure:
    """Greeks of the book session by session, in panels over one time axis."""
    hedged = bool(shown.hedge.any())
    rows: list[tuple[str, list[tuple[str, Any, str]]]] = [
        ("delta, shares", [("options", shown.delta, "@gain")]),
        ("delta, $", [("of the book", shown.delta_usd, "@gain")]),
        ("gamma, shares per $", [("gamma", shown.gamma, "@gain")]),
        ("vega, $ per point", [("vega", shown.vega, "@gain")]),
        ("theta, $ per day", [("theta", shown.theta, "@gain")]),
        ("margin, share of funds", [("margin", shown.power, "@gain")]),
        ("one-sd moves, $", [("vanna", shown.vanna, "@gain"), ("volga", shown.volga, "@loss")]),
    ]
    if hedged:
        rows[0][1].extend([("hedge", shown.hedge, "@second"), ("net", shown.delta + shown.hedge, "@ink")])
    curves = [curve for _, several in rows for _, curve, _ in several]
    kept = kept_rows(*(np.nan_to_num(curve) for curve in curves), limit=max(POINTS, 4 * len(curves)))
    when = [times[i] for i in kept.tolist()]
    data: list[dict[str, Any]] = []
    axes: dict[str, Any] = {}
    notes = []
    for i, ((title, several), domain) in enumerate(zip(rows, panels(len(rows)), strict=True), 1):
        number = "" if i == 1 else str(i)
        for name, curve, colour in several:
            look = {"yaxis": f"y{number}", "showlegend": len(several) > 1, "hovertemplate": "%{y:,.4~g}"}
            data.append(line(when, rounded(curve[kept], 3), name, colour, width=1.2, **look))
        axes[f"yaxis{number}"] = axis(domain=list(domain), nticks=4, tickformat=",~g")
        place = {"x": 0, "xref": "paper", "xanchor": "left", "y": domain[1], "yref": "paper", "yanchor": "bottom"}
        notes.append({**place, "text": title, "showarrow": False, "font": {"color": "@muted", "size": 11}})
    marked = [i for i in np.flatnonzero(shown.over_budget).tolist() if np.isfinite(shown.vanna[i])]
    if marked:
        dots = {"mode": "markers", "marker": {"color": "@edge", "size": 4, "symbol": "diamond"}, "hoverinfo": "skip"}
        x, y = [times[i] for i in marked], rounded(shown.vanna[marked], 3)
        data.append({"type": "scatter", "x": x, "y": y, "name": "above the budget", "yaxis": f"y{len(rows)}", **dots})
    time = date_axis(times, anchor=f"y{len(rows)}")
    if "rangeselector" in time:
        time["rangeselector"]["y"] = 1.05  # above the first panel's title
    margin = {"l": 8, "r": 12, "t": 58 if "rangeselector" in time else 24, "b": 8}
    legend = {"orientation": "h", "x": 0, "y": -0.06, "yanchor": "top"}
    return {
        "data": data,
        "layout": layout(xaxis=time, hovermode="x unified", margin=margin, annotations=notes, legend=legend, **axes),
    }
