"""The report's pictures as plain functions: values in, a plotly figure as plain data out; equity.png by matplotlib.

A figure is the dict that plotly.js reads ({data, layout}). Built as data it needs no import of plotly, takes
milliseconds and comes out the same every time. Colours are names ("@gain") of PALETTE that the page replaces,
so that one figure serves light and dark. Money in $, times as New York wall-clock text, shares in per cent.
"""

from __future__ import annotations

import gc
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from core.errors import DataError

Figure = dict[str, Any]

# Blue against orange stays apart for every common colour blindness (after Okabe and Ito); a result is also told by
# its marker's shape or by its side of zero, never by colour alone.
PALETTE = {
    "light": {
        **{"page": "#f3f5f7", "card": "#ffffff", "ink": "#1a2027", "muted": "#5b6672", "grid": "#e2e6ea"},
        **{"axis": "#aab3bd", "gain": "#0072b2", "loss": "#d55e00", "fall": "rgba(213,94,0,0.25)"},
        **{"second": "#a3578c", "warn": "#fff3d6", "edge": "#e69f00"},
        **{
            "range": "#edf1f5",
            "high_vol": "#faeab4",
            "trend_up": "#bfe0f5",
            "trend_down": "#f7cfae",
            "crash": "#cfa5c3",
        },
    },
    "dark": {
        **{"page": "#101317", "card": "#191e24", "ink": "#e7ebef", "muted": "#9ba7b4", "grid": "#2c333b"},
        **{"axis": "#56616d", "gain": "#56b4e9", "loss": "#f28e2b", "fall": "rgba(242,142,43,0.30)"},
        **{"second": "#d9a3cb", "warn": "#3a2f14", "edge": "#e69f00"},
        **{
            "range": "#222a32",
            "high_vol": "#4d431c",
            "trend_up": "#1c4763",
            "trend_down": "#5f3a1d",
            "crash": "#5f3557",
        },
    },
}
RESULTS = ("won", "lost", "open")
WORDS = {"$": "{:,.2f}", "%": "{:.1f}%", "days": "{:g}"}
COLOUR = {"won": "@gain", "lost": "@loss", "open": "@muted"}
SYMBOL = {"won": "circle", "lost": "x", "open": "diamond-open"}
POINTS = 4000  # most points of a curve
CROWD = 80  # more trades than this get smaller marks
STEPS = (1.0, 2.0, 5.0, 10.0)


class Segments(NamedTuple):
    """One structure for the price chart: where it stood and how it ended."""

    entry: str
    exit: str
    short: tuple[float, ...]  # strikes, $
    long: tuple[float, ...]
    result: str  # one of RESULTS
    spot: float  # $, underlying at the exit (an open trade: at its entry)
    label: str


# ---------------------------------------------------------------- from arrays to what is drawn


def kept_rows(*curves: Any, limit: int = POINTS) -> Any:
    """Indices of at most `limit` rows that keep every visible extreme of curves of one length.

    Rows are cut into equal buckets; each keeps its first and last row and the highest and lowest of each curve.
    All rows when they are few.
    """
    rows = len(curves[0])
    if rows <= limit:
        return np.arange(rows)
    edges = np.linspace(0, rows, limit // (2 + 2 * len(curves)) + 1).astype(np.int64)
    kept = [edges[:-1], edges[1:] - 1]
    for first, last in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        parts = [curve[first:last] for curve in curves]
        kept.append(first + np.array([at for part in parts for at in (part.argmin(), part.argmax())]))
    return np.unique(np.concatenate(kept))


def step_between(low: float, high: float, bins: int, at_least: float) -> float:
    """The smallest round step (1, 2 or 5 times a power of ten) that cuts low..high into at most `bins`."""
    raw = max((high - low) / bins, at_least)
    power = 10.0 ** np.floor(np.log10(raw))
    return float(next(s * power for s in STEPS if s * power >= raw * (1 - 1e-9)))


def histogram(values: Any, bins: int = 24, at_least: float = 0.01) -> tuple[list[float], list[int], float]:
    """(lower edges, counts, width) of round bins; zero is always an edge, so no bin mixes gains with losses."""
    values = np.asarray(values, np.float64)
    width = step_between(float(values.min()), float(values.max()), bins, at_least)
    number = np.floor(values / width + 1e-9).astype(np.int64)
    first = int(number.min())
    counts = np.bincount(number - first)
    return [round((first + i) * width, 6) for i in range(len(counts))], counts.tolist(), width


def rounded(values: Any, digits: int = 2) -> list[float | None]:
    """Floats short enough for a page; None where unknown."""
    known = np.isfinite(values)
    return [v if ok else None for v, ok in zip(np.round(values, digits).tolist(), known.tolist(), strict=True)]


# ---------------------------------------------------------------- plotly


def axis(**changes: Any) -> dict[str, Any]:
    look = {"gridcolor": "@grid", "zerolinecolor": "@axis", "linecolor": "@axis", "automargin": True}
    return {**look, "fixedrange": False, **changes}


def layout(**changes: Any) -> dict[str, Any]:
    """What all figures share; `changes` win."""
    return {
        "paper_bgcolor": "@card",
        "plot_bgcolor": "@card",
        "font": {"color": "@ink", "family": "system-ui, sans-serif", "size": 12},
        "margin": {"l": 8, "r": 12, "t": 12, "b": 8},
        "hoverlabel": {"bgcolor": "@page", "bordercolor": "@axis", "font": {"color": "@ink"}},
        "legend": {"orientation": "h", "x": 0, "y": -0.12, "yanchor": "top"},
        "xaxis": axis(),
        "yaxis": axis(),
        **changes,
    }


def date_axis(times: list[str], **changes: Any) -> dict[str, Any]:
    """A time axis; a span of more than half a year gets buttons for its last months."""
    look = {"type": "date", "hoverformat": "%Y-%m-%d %H:%M", **changes}
    days = int((np.datetime64(times[-1]) - np.datetime64(times[0])).astype("timedelta64[D]").astype(np.int64))
    steps = [{"count": n, "step": "month", "label": f"{n} months"} for n in (3, 12) if days > 61 * n]
    if steps:
        place = {"bgcolor": "@page", "activecolor": "@grid", "bordercolor": "@axis", "x": 0, "y": 1.02}
        look["rangeselector"] = {**place, "buttons": [*steps, {"step": "all", "label": "all"}]}
    return axis(**look)


def line(x: Any, y: Any, name: str, colour: str, **changes: Any) -> dict[str, Any]:
    stroke = {"color": colour, "width": changes.pop("width", 1.6), "dash": changes.pop("dash", "solid")}
    return {"type": "scatter", "mode": "lines", "x": x, "y": y, "name": name, "line": stroke, **changes}


def equity_figure(
    times: list[str], equity: Any, liquidation: Any, drawdown: Any, held: Any,
    bands: list[dict[str, Any]] | None = None, cut: str | None = None,
) -> Figure:  # fmt: skip
    """Equity at mid over its drawdown; liquidation value thin; buy-and-hold of the underlying on request.

    All in $, same length; drawdown positive; held is the starting cash grown with the underlying's price.
    bands : regimes behind it (core.report.insight_plots.regime_bands), on the third y axis here
    cut   : first session out of sample, a line where it begins
    """
    money = "%{y:$,.0f}"
    time = date_axis(times, anchor="y2")
    below = {"xaxis": "x", "yaxis": "y2", "fill": "tozeroy", "fillcolor": "@fall"}
    data = [
        line(times, rounded(liquidation), "liquidation value", "@second", width=0.7, hovertemplate=money),
        line(times, rounded(equity), "equity at mid", "@gain", hovertemplate=money),
        line(times, rounded(held), "buy and hold (price)", "@muted", dash="dot", hovertemplate=money),
        line(times, rounded(-drawdown), "drawdown", "@loss", width=1.0, hovertemplate=money, **below),
    ]
    data[2]["visible"] = "legendonly"
    behind: dict[str, Any] = {}
    upper = axis(domain=[0.32, 1.0], tickformat="$,.0f")
    if bands:
        data = [*({**band, "yaxis": "y3"} for band in bands), *data]
        upper |= {"overlaying": "y3", "tickmode": "auto"}
        behind["yaxis3"] = {"range": [0, 1], "visible": False, "fixedrange": True, "domain": [0.32, 1.0]}
    if cut is not None:
        place = {"x0": cut, "x1": cut, "y0": 0, "y1": 1, "yref": "paper"}
        behind["shapes"] = [{"type": "line", **place, "line": {"color": "@ink", "width": 1, "dash": "dash"}}]
        look = {"showarrow": False, "yref": "paper", "yanchor": "bottom", "font": {"color": "@muted", "size": 11}}
        behind["annotations"] = [{"x": cut, "y": 1.0, "xanchor": "left", "text": " out of sample", **look}]
    return {
        "data": data,
        "layout": layout(
            xaxis=time,
            yaxis=upper,
            yaxis2=axis(domain=[0.0, 0.25], tickformat="$,.0f", nticks=4),
            hovermode="x unified",
            margin={"l": 8, "r": 12, "t": 36 if "rangeselector" in time else 12 + 14 * (cut is not None), "b": 8},
            **behind,
        ),
    }


def strike_lines(trades: list[Segments], result: str, legs: str) -> dict[str, Any]:
    """All strikes of one kind of leg and result as one broken line."""
    x: list[str | None] = []
    y: list[float | None] = []
    for trade in trades:
        for strike in getattr(trade, legs):
            x += [trade.entry, trade.exit, None]
            y += [strike, strike, None]
    look: dict[str, Any] = {"width": 2.2} if legs == "short" else {"width": 1.0, "dash": "dot"}
    return line(x, y, f"{result} ({legs} strikes)", COLOUR[result], hoverinfo="skip", legendgroup=result, **look)


def trades_figure(times: list[str], spot: Any, trades: list[Segments], bands: list[dict[str, Any]]) -> Figure:
    """The underlying with each structure's strikes from entry to exit, and a mark where it ended.

    bands : traces behind it on the second y axis, which runs from 0 to 1 (core.report.insight_plots.regime_bands)
    """
    data = [
        *bands,
        line(times, rounded(spot), "underlying", "@ink", width=1.0, hovertemplate="%{y:$,.2f}<extra></extra>"),
    ]
    for result in RESULTS:
        chosen = [trade for trade in trades if trade.result == result]
        if not chosen:
            continue
        data += [strike_lines(chosen, result, "short"), strike_lines(chosen, result, "long")]
        data[-1]["showlegend"] = False
        marker = {
            "symbol": SYMBOL[result],
            "size": 8 if len(trades) <= CROWD else 5,
            "color": COLOUR[result],
            "line": {"width": 1, "color": "@card"},
        }
        data.append(
            {
                **{"type": "scatter", "mode": "markers", "showlegend": False, "marker": marker, "legendgroup": result},
                "x": [t.exit if result != "open" else t.entry for t in chosen],
                "y": [round(t.spot, 2) for t in chosen],
                "text": [t.label for t in chosen],
                "hovertemplate": "%{text}<extra></extra>",
            }
        )
    time = date_axis(times)
    margin = {"l": 8, "r": 12, "t": 36 if "rangeselector" in time else 12, "b": 8}
    price = axis(tickprefix="$", **({"overlaying": "y2", "tickmode": "auto"} if bands else {}))
    behind = {"yaxis2": {"range": [0, 1], "visible": False, "fixedrange": True}} if bands else {}
    return {"data": data, "layout": layout(xaxis=time, yaxis=price, hovermode="closest", margin=margin, **behind)}


def distribution_figure(values: Any, unit: str, signed: bool = False, at_least: float = 0.01) -> Figure:
    """How often a value fell into each round bin, with its median; `signed` colours losses and gains apart.

    unit : "$", "%" or "days"; whole days are counted by the day, so their bars stand on the days themselves
    """
    edges, counts, width = histogram(values, at_least=at_least)
    middle = float(np.median(values))
    last = width - 1.0 if unit == "days" else width
    bars = {
        **{"type": "bar", "x": [edge + last / 2 for edge in edges], "y": counts, "width": width, "showlegend": False},
        "customdata": [f"{edge:,.10g} to {edge + last:,.10g}" if last else f"{edge:,.10g}" for edge in edges],
        "marker": {
            "color": ["@loss" if signed and edge < 0 else "@gain" for edge in edges],
            "line": {"color": "@card", "width": 1},
        },
        "hovertemplate": f"%{{customdata}} {unit}: %{{y}}<extra></extra>",
    }
    text = f"median {WORDS[unit].format(middle)}"
    line_at = {"type": "line", "x0": middle, "x1": middle, "y0": 0, "y1": 1, "yref": "paper"}
    label = {"x": middle, "y": 1.0, "yref": "paper", "yanchor": "bottom", "showarrow": False, "text": text}
    ticks = {"tickformat": {"$": "$,.2f" if width < 1 else "$,.0f", "%": ",~f", "days": "d"}[unit]}
    whole = {"dtick": 1} if unit == "days" and len(counts) <= 12 else {"nticks": 8}
    few = {"dtick": 1} if max(counts) <= 6 else {"nticks": 6}
    return {
        "data": [bars],
        "layout": layout(
            xaxis=axis(**ticks, **whole),
            yaxis=axis(title={"text": "trades"}, rangemode="tozero", tickformat=",d", **few),
            shapes=[{**line_at, "line": {"color": "@ink", "width": 1, "dash": "dash"}}],
            annotations=[{**label, "font": {"color": "@muted", "size": 11}}],
            margin={"l": 8, "r": 12, "t": 26, "b": 8},
        ),
    }


def attribution_figure(parts: dict[str, float]) -> Figure:
    """P&L of closed trades by cause, as steps from zero to the total ($)."""
    values = [*(round(v, 2) for v in parts.values()), round(sum(parts.values()), 2)]
    solid = {"line": {"width": 0}}
    steps = {
        **{"type": "waterfall", "orientation": "h", "measure": [*["relative"] * len(parts), "total"]},
        "y": [f"{name} {value:+,.0f}" for name, value in zip([*parts, "total"], values, strict=True)],
        "x": values,
        "increasing": {"marker": {"color": "@gain", **solid}},
        "decreasing": {"marker": {"color": "@loss", **solid}},
        "totals": {"marker": {"color": "@muted", **solid}},
        "connector": {"line": {"color": "@axis", "width": 1}},
        "hovertemplate": "%{y} $<extra></extra>",
        "showlegend": False,
    }
    return {
        "data": [steps],
        "layout": layout(xaxis=axis(tickformat="$,.0f", nticks=7), yaxis=axis(autorange="reversed", showgrid=False)),
    }


# ---------------------------------------------------------------- equity.png


def draw_equity(canvas: Any, times: Any, equity: Any, liquidation: Any, drawdown: Any, title: str) -> None:
    """Both panels on a matplotlib figure."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
    from matplotlib.ticker import FuncFormatter

    colour = PALETTE["light"]
    money = FuncFormatter(lambda usd, _: f"{chr(0x2212) if usd < 0 else ''}${abs(usd):,.0f}")
    top, bottom = canvas.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    canvas.subplots_adjust(left=0.09, right=0.985, top=0.94, bottom=0.07, hspace=0.08)
    top.plot(times, liquidation, color=colour["second"], linewidth=0.6, label="liquidation value")
    top.plot(times, equity, color=colour["gain"], linewidth=1.2, label="equity at mid")
    top.set_title(title, loc="left", fontsize=11)
    top.legend(loc="best", frameon=False, fontsize=9)
    bottom.fill_between(times, -drawdown, 0.0, color=colour["loss"], alpha=0.3, linewidth=0)
    bottom.plot(times, -drawdown, color=colour["loss"], linewidth=0.7)
    for panel, name in ((top, "equity"), (bottom, "drawdown")):
        panel.set_ylabel(name)
        panel.yaxis.set_major_formatter(money)
        panel.grid(color=colour["grid"], linewidth=0.6)
        panel.spines[["top", "right"]].set_visible(False)
    locator = AutoDateLocator()
    bottom.xaxis.set_major_locator(locator)
    bottom.xaxis.set_major_formatter(ConciseDateFormatter(locator))


def write_equity_png(path: Path, times: list[str], equity: Any, liquidation: Any, drawdown: Any, title: str) -> None:
    """Equity over drawdown, 1,100 x 560 pixels; the same bytes for the same curves, whatever the user's defaults."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Canvas

    with matplotlib.rc_context(matplotlib.rcParamsDefault):
        canvas = Canvas(figsize=(11, 5.6), dpi=100)  # fixed margins: a layout engine would draw it twice
        FigureCanvasAgg(canvas)
        draw_equity(canvas, np.array(times, "datetime64[s]"), equity, liquidation, drawdown, title)
        canvas.savefig(path, format="png", metadata={"Software": None})


class Painter:
    """Draws equity.png and report.pdf in a process of its own: importing matplotlib takes as long as a whole backtest.

    Started early, it has imported by the time the curves are known. Leaving without curves ends it quietly.
    """

    def __init__(self) -> None:
        root = Path(__file__).resolve().parents[2]
        self.process = subprocess.Popen([sys.executable, "-m", "core.report.plots"], cwd=root, stdin=subprocess.PIPE)
        self.wanted: dict[str, Any] = {}

    def draw(self, path: Path, times: list[str], equity: Any, liquidation: Any, drawdown: Any, title: str) -> None:
        """Ask for the picture of the curves."""
        self.wanted |= {"png": np.array([str(path.resolve()), title]), "times": np.array(times)}
        self.wanted |= {"equity": equity, "liquidation": liquidation, "drawdown": drawdown}

    def print(self, path: Path, value: dict[str, Any]) -> None:
        """Ask for printed sheets; see core.report.printing."""
        self.wanted["pdf"] = np.array([str(path.resolve()), json.dumps(value)])

    def begin(self) -> None:
        """Hand over what was asked for; it is there after `finish`."""
        asked = io.BytesIO()
        np.savez(asked, **self.wanted)
        assert self.process.stdin is not None
        self.process.stdin.write(asked.getvalue())
        self.process.stdin.close()
        self.process.stdin = None

    def finish(self) -> None:
        """Wait for what was drawn; its own traceback has been shown if it failed."""
        self.process.communicate()
        if self.process.returncode != 0:
            raise DataError(f"the report could not be drawn (exit {self.process.returncode}); use --report none")


def main() -> None:
    """Draw what the standard input asks for, if it asks."""
    gc.disable()  # a short life, in which little becomes garbage: a tenth of the time
    import matplotlib.backends.backend_agg
    import matplotlib.figure  # noqa: F401

    data = sys.stdin.buffer.read()
    if data:
        asked = np.load(io.BytesIO(data))
        path, title = asked["png"].tolist()
        columns = (asked[name] for name in ("equity", "liquidation", "drawdown"))
        write_equity_png(Path(path), asked["times"].tolist(), *columns, title)
        if "pdf" in asked:
            from core.report.printing import write_pdf

            path, text = asked["pdf"].tolist()
            write_pdf(Path(path), json.loads(text))


if __name__ == "__main__":
    main()
