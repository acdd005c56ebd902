"""Pictures of a stress: as PNG for its folder, and as plain data for the page. Blue gains, orange losses.

Values come from stress.json alone. Every number that a colour shows stands in its cell too.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from core.report.plots import PALETTE, Figure, axis, layout

COLOUR = PALETTE["light"]
DIVERGING = (COLOUR["loss"], "#ffffff", COLOUR["gain"])
FAN_PAIRS = (("1", "99"), ("5", "95"), ("25", "75"))


def usd(value: float) -> str:
    """$ in whole dollars with a true minus."""
    return f"{chr(0x2212) if round(value) < 0 else ''}${abs(value):,.0f}"


def money(value: float, _place: Any = None) -> str:
    return usd(value)


def plain(panel: Any, title: str) -> None:
    panel.set_title(title, loc="left", fontsize=10.5)
    panel.spines[["top", "right"]].set_visible(False)
    panel.tick_params(labelsize=9)


def painted(path: Path, size: tuple[float, float], draw: Callable[[Any], None]) -> None:
    """One picture; the same bytes for the same values, whatever the user's defaults."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Canvas

    with matplotlib.rc_context(matplotlib.rcParamsDefault):
        canvas = Canvas(figsize=size, dpi=100)
        FigureCanvasAgg(canvas)
        draw(canvas)
        canvas.savefig(path, format="png", metadata={"Software": None})


# ---------------------------------------------------------------- past shocks


def shock_label(shock: dict[str, Any]) -> str:
    return f"{shock['name']}\nspot {100 * shock['spot_move']:+.1f} %, VIX x{shock['vol_factor']:.2f}"


def draw_bars(panel: Any, names: list[str], values: list[float | None], form: Callable[[float], str]) -> None:
    """Horizontal bars from top to bottom, each with its number beside it; n/a where unknown."""
    known = [0.0 if value is None else value for value in values]
    colours = [COLOUR["gain"] if value >= 0.0 else COLOUR["loss"] for value in known]
    at = np.arange(len(names))
    panel.barh(at, known, color=colours, height=0.62)
    low, high = min(0.0, *known), max(0.0, *known)
    room = max(high - low, 1e-9)
    panel.set_xlim(
        low - room * (0.24 if low < 0.0 else 0.02), high + room * (0.24 if high > 0.0 or low == 0.0 else 0.02)
    )
    for i, value in enumerate(values):
        end = known[i]
        side = "right" if end < 0.0 else "left"
        gap = -0.012 * room if end < 0.0 else 0.012 * room
        text = "n/a" if value is None else form(value)
        panel.text(end + gap, i, text, ha=side, va="center", fontsize=9, color=COLOUR["ink"])
    panel.set_yticks(at, names, fontsize=8.5)
    panel.invert_yaxis()
    panel.axvline(0.0, color=COLOUR["axis"], linewidth=0.8)
    panel.grid(axis="x", color=COLOUR["grid"], linewidth=0.6)
    panel.set_axisbelow(True)


def write_shocks(path: Path, value: dict[str, Any]) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    def draw(canvas: Any) -> None:
        panel = canvas.subplots()
        canvas.subplots_adjust(left=0.27, right=0.98, top=0.93, bottom=0.08)
        shocks = value["shocks"]
        draw_bars(panel, [shock_label(s) for s in shocks], [s["pnl_usd"] for s in shocks], usd)
        plain(panel, f"Moves of the past on the book of {moment(value)}, $")
        panel.xaxis.set_major_locator(MaxNLocator(6))
        panel.xaxis.set_major_formatter(FuncFormatter(money))

    painted(path, (10.5, 0.8 + 0.52 * len(value["shocks"])), draw)


def moment(value: dict[str, Any]) -> str:
    """When the book was held, with the label that modelled quotes need."""
    book = value["book"]
    text = f"{book['time'][:10]} {book['time'][11:16]}"
    return text if value["quotes"] == "real" else f"{text} (MODELLED quotes)"


# ---------------------------------------------------------------- the grid


def page_title(days: float | str) -> str:
    if days == "expiry":
        return "at expiry (each leg at its own)"
    return "at once" if days == 0 else f"after {days:g} day{'s' * (days != 1)}"


def pages(grid: dict[str, Any]) -> list[Any]:
    """One array of $ (vol factors, spot moves) for each number of days, NaN unknown."""
    return [np.array(page, np.float64) for page in grid["pnl_usd"]]


def draw_page(panel: Any, grid: dict[str, Any], cells: Any, most: float, names: list[str]) -> None:
    """One slice as coloured cells with their numbers."""
    from matplotlib.colors import LinearSegmentedColormap

    colours = LinearSegmentedColormap.from_list("loss_gain", DIVERGING).with_extremes(bad=COLOUR["grid"])
    panel.imshow(np.ma.masked_invalid(cells), cmap=colours, vmin=-most, vmax=most, aspect="auto", origin="lower")
    for (i, j), cell in np.ndenumerate(cells):
        dark = np.isfinite(cell) and abs(cell) > 0.75 * most
        text = "n/a" if not np.isfinite(cell) else short(cell)
        panel.text(j, i, text, ha="center", va="center", fontsize=7.5, color="#ffffff" if dark else COLOUR["ink"])
    panel.set_xticks(range(len(grid["spot_moves"])), [move_text(move) for move in grid["spot_moves"]])
    panel.set_yticks(range(len(names)), names)
    panel.tick_params(length=0)
    panel.spines[:].set_visible(False)


def move_text(move: float) -> str:
    """-0.2 as -20, 0.05 as +5, 0 as 0."""
    return f"{100 * move:+g}" if move else "0"


def short(cell: float) -> str:
    """$ in at most five characters."""
    sign = chr(0x2212) if round(cell) < 0 else ""
    size = abs(cell)
    if size >= 999_500:
        return f"{sign}{size / 1e6:.1f}m"
    return f"{sign}{size / 1e3:.{1 if size < 99_950 else 0}f}k" if size >= 9_950 else f"{sign}{size:,.0f}"


def write_grid(path: Path, value: dict[str, Any]) -> None:
    """A panel for each number of days; at expiry volatility makes no difference, so one line says all."""
    grid = value["grid"]
    several = pages(grid)
    most = max((float(np.nanmax(np.abs(page))) for page in several if np.isfinite(page).any()), default=1.0) or 1.0
    factors = [f"x{factor:g}" for factor in grid["vol_factors"]]

    def draw(canvas: Any) -> None:
        space = canvas.add_gridspec(3, 2, height_ratios=[7, 7, 1.1])
        places = [space[0, 0], space[0, 1], space[1, 0], space[1, 1], space[2, :]]
        canvas.subplots_adjust(left=0.055, right=0.985, top=0.9, bottom=0.04, hspace=0.34, wspace=0.1)
        for place, page, days in zip(places, several, grid["days"], strict=True):
            panel = canvas.add_subplot(place)
            last = days == "expiry"
            draw_page(panel, grid, page[:1] if last else page, most, ["any"] if last else factors)
            plain(panel, page_title(days))
            panel.spines[:].set_visible(False)
        canvas.text(0.055, 0.965, f"P&L in $ of the book of {moment(value)}", fontsize=12)
        axes = "across: spot moved by so many per cent; up: every volatility times so much"
        canvas.text(0.055, 0.94, axes, fontsize=9, color=COLOUR["muted"])

    painted(path, (14, 8.8), draw)


# ---------------------------------------------------------------- reruns


def write_reruns(path: Path, value: dict[str, Any]) -> None:
    """Net profit and deepest drawdown of every run, side by side."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    rows = value["reruns"]
    names = [row["key"].replace("_", " ") for row in rows]

    def draw(canvas: Any) -> None:
        left, right = canvas.subplots(1, 2, sharey=True)
        canvas.subplots_adjust(left=0.1, right=0.985, top=0.9, bottom=0.09, wspace=0.06)
        fall = [None if row["max_drawdown"] is None else -row["max_drawdown"] for row in rows]
        for panel, numbers, title in (
            (left, [row["net_profit"] for row in rows], f"Net profit, $ ({value['market']})"),
            (right, fall, "Deepest drawdown, $"),
        ):
            draw_bars(panel, names, numbers, usd)
            plain(panel, title)
            panel.xaxis.set_major_locator(MaxNLocator(4))
            panel.xaxis.set_major_formatter(FuncFormatter(money))
        left.invert_yaxis()  # the axis is shared: the second panel turned it back

    painted(path, (11, 1.0 + 0.42 * len(rows)), draw)


# ---------------------------------------------------------------- chance


def draw_fan(panel: Any, value: dict[str, Any]) -> None:
    """Quantiles of the drawdown at each session of the bootstrapped paths."""
    fan = value["bootstrap"]["drawdown_fan"]
    at, bands = fan["session"], fan["quantiles"]
    for (low, high), strength in zip(FAN_PAIRS, (0.18, 0.3, 0.45), strict=True):
        down, up = (-np.array(bands[name]) for name in (high, low))
        name = f"{low} to {high} % of paths"
        panel.fill_between(at, down, up, color=COLOUR["loss"], alpha=strength, linewidth=0, label=name)
    panel.plot(at, -np.array(bands["50"]), color=COLOUR["ink"], linewidth=1.2, label="median")
    panel.set_xlim(at[0], at[-1])
    panel.set_xlabel("session", fontsize=9)
    panel.legend(frameon=False, fontsize=8.5, loc="lower left")
    plain(panel, f"Drawdown below the peak, {value['bootstrap']['paths']:,} paths of the run's own days, $")


def draw_counts(panel: Any, several: list[tuple[str, list[float], str]]) -> None:
    """Share of paths in each of 30 bins; lines, so that two can be told apart where they overlap."""
    everything = np.concatenate([np.asarray(numbers) for _, numbers, _ in several])
    edges = np.linspace(everything.min(), max(everything.max(), everything.min() + 1.0), 31)
    for name, numbers, colour in several:
        weights = np.full(len(numbers), 100.0 / len(numbers))
        look = {"color": COLOUR[colour], "label": name}
        panel.hist(numbers, edges, weights=weights, histtype="stepfilled", alpha=0.25, color=COLOUR[colour])
        panel.hist(numbers, edges, weights=weights, histtype="step", linewidth=1.4, **look)
    panel.set_ylabel("% of paths", fontsize=9)
    panel.set_ylim(0.0, panel.get_ylim()[1] * 1.22)
    panel.legend(frameon=False, fontsize=8.5, loc="upper right")


def write_chance(path: Path, value: dict[str, Any]) -> None:
    """Fan of drawdowns, and how deepest drawdown and net profit are spread in both kinds of chance."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    drawn = value["bootstrap"]
    both = (("the run's own days", drawn, "gain"), ("MODELLED generated markets", value["generated"], "second"))
    kinds = [kind for kind in both if "refused" not in kind[1]]

    def draw(canvas: Any) -> None:
        space = canvas.add_gridspec(2, 2, height_ratios=[1.15, 1])
        canvas.subplots_adjust(left=0.075, right=0.985, top=0.94, bottom=0.07, hspace=0.34, wspace=0.17)
        top = canvas.add_subplot(space[0, :])
        draw_fan(top, value)
        top.yaxis.set_major_formatter(FuncFormatter(money))
        for place, key, title in (
            (space[1, 0], "max_drawdown_by_path", f"Deepest drawdown in {drawn['days']} sessions, $"),
            (space[1, 1], "net_profit_by_path", f"Net profit in {drawn['days']} sessions, $"),
        ):
            panel = canvas.add_subplot(place)
            draw_counts(panel, [(name, part[key], colour) for name, part, colour in kinds])
            panel.xaxis.set_major_locator(MaxNLocator(6))
            panel.xaxis.set_major_formatter(FuncFormatter(money))
            plain(panel, title)
        for panel in canvas.axes:
            panel.grid(color=COLOUR["grid"], linewidth=0.6)
            panel.set_axisbelow(True)

    painted(path, (11, 7.6), draw)


PICTURES = {"shocks": write_shocks, "grid": write_grid, "reruns": write_reruns, "chance": write_chance}


# ---------------------------------------------------------------- for the page


def shock_figure(shocks: list[dict[str, Any]]) -> Figure:
    """Bars of the past shocks."""
    names = [s["name"] for s in shocks]
    numbers = [s["pnl_usd"] for s in shocks]
    hints = [f"spot {100 * s['spot_move']:+.1f} %, VIX x{s['vol_factor']:.2f}, {s['days']:g} days" for s in shocks]
    bars = {
        **{"type": "bar", "orientation": "h", "y": names, "x": numbers, "customdata": hints, "showlegend": False},
        "marker": {"color": ["@gain" if (value or 0.0) >= 0.0 else "@loss" for value in numbers]},
        "text": ["n/a" if value is None else usd(value) for value in numbers],
        "textposition": "auto",
        "hovertemplate": "%{y}<br>%{customdata}<br>%{x:$,.0f}<extra></extra>",
    }
    rows = axis(autorange="reversed", showgrid=False)
    return {"data": [bars], "layout": layout(xaxis=axis(tickformat="$,.0f", nticks=6), yaxis=rows)}


def grid_figure(grid: dict[str, Any], page: int) -> Figure:
    """One slice of the grid as coloured cells with their numbers."""
    cells = grid["pnl_usd"][page]
    most = max((abs(cell) for line in cells for cell in line if cell is not None), default=1.0) or 1.0
    heat = {
        **{"type": "heatmap", "z": cells, "zmin": -most, "zmax": most, "showscale": False, "xgap": 1, "ygap": 1},
        "x": [f"{move_text(move)}%" for move in grid["spot_moves"]],
        "y": [f"x{factor:g}" for factor in grid["vol_factors"]],
        "colorscale": [[0.0, "@loss"], [0.5, "@card"], [1.0, "@gain"]],
        "text": [["n/a" if cell is None else short(cell) for cell in line] for line in cells],
        "texttemplate": "%{text}",
        "textfont": {"size": 10},
        "hovertemplate": "spot %{x}, vol %{y}: %{z:$,.0f}<extra></extra>",
    }
    look = {"type": "category", "showgrid": False}
    return {"data": [heat], "layout": layout(xaxis=axis(**look), yaxis=axis(**look))}
