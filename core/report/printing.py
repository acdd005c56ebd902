"""Pages on paper: blocks of text, tables and figures laid out and drawn with matplotlib; the same bytes every time.

Figures are those of the page (core.report.plots: plain data for plotly.js, colours by name), drawn here in ink: one
description is shown twice. What is drawn: lines, marks and fills, bars, waterfalls and heat maps.
"""

from __future__ import annotations

import re
import textwrap
from pathlib import Path
from typing import Any

import numpy as np

from core.report.plots import PALETTE, Figure

WIDTH, HEIGHT = 8.27, 11.69  # inches, A4
LEFT, RIGHT, TOP, BOTTOM = 0.07, 0.95, 0.95, 0.045  # shares of the page
GAP = 0.022
INK = PALETTE["light"]
TEXT, SMALL = 8.5, 7.0
LINE = 0.0125  # of the page's height, a line of text
CHARACTER = 0.0088  # of the page's width
SYMBOLS = {"circle": "o", "x": "x", "diamond": "D", "diamond-open": "D"}
DASHES = {"solid": "-", "dash": "--", "dot": ":", "dashdot": "-."}
MARKUP = re.compile(r"<[^>]+>")


def ink(name: Any) -> Any:
    """A colour of the palette, or a CSS colour, as matplotlib takes it."""
    text = INK.get(str(name).removeprefix("@"), str(name))
    if text.startswith("rgba"):
        *rgb, alpha = (float(part) for part in text[5:-1].split(","))
        return (*(v / 255.0 for v in rgb), alpha)
    return text


def plain(text: Any) -> str:
    """Text without the page's markup; a dollar sign is no formula."""
    return MARKUP.sub(" ", str(text).replace("<br>", "\n")).replace("$", r"\$")


# ---------------------------------------------------------------- figures


def is_dates(values: Any) -> bool:
    return next((isinstance(v, str) and v[:4].isdigit() and v[4:5] == "-" for v in values if v is not None), False)


def column(values: Any) -> Any:
    """A trace's x or y for matplotlib: dates, floats with NaN gaps, or names."""
    values = list(values)
    if is_dates(values):
        return np.array(["NaT" if v is None else v.replace(" ", "T") for v in values], "datetime64[s]")
    if any(isinstance(v, str) for v in values):
        return [plain(v) for v in values]
    return np.array([np.nan if v is None else v for v in values], float)


def draw_lines(axes: Any, trace: dict[str, Any]) -> None:
    """A scatter trace: a line, marks, or a filled band."""
    x, y = column(trace["x"]), column(trace["y"])
    look, name = trace.get("line", {}), trace.get("name")
    label = plain(name) if name and trace.get("showlegend", True) else None
    if "markers" in trace.get("mode", "lines") and "lines" not in trace.get("mode", "lines"):
        mark = trace["marker"]
        colour = mark["color"]
        colours = [ink(c) for c in colour] if isinstance(colour, list) else ink(colour)
        open_mark = mark.get("symbol") == "diamond-open"
        style = {"facecolors": "none", "edgecolors": colours} if open_mark else {"c": colours}
        symbol = SYMBOLS[mark.get("symbol", "circle")]
        axes.scatter(x, y, s=9, marker=symbol, linewidths=0.8, label=label, **style)
        return
    if trace.get("fill") == "toself":
        draw_bands(axes, x, ink(trace["fillcolor"]), label)
        return
    if trace.get("fill") == "tozeroy":
        axes.fill_between(x, y, 0.0, color=ink(trace["fillcolor"]), linewidth=0)
    width = 0.6 * float(look.get("width", 1.6))
    axes.plot(x, y, color=ink(look.get("color", "@ink")), linewidth=width, linestyle=DASHES[look.get("dash", "solid")],
              label=label)  # fmt: skip


def draw_bands(axes: Any, x: Any, colour: Any, label: str | None) -> None:
    """Stretches of x over the whole height, drawn as one; x : the corners of each, an unknown one between two."""
    from matplotlib.collections import PolyCollection
    from matplotlib.dates import date2num

    known = ~(np.isnat(x) if x.dtype.kind == "M" else np.isnan(x))
    places = np.flatnonzero(known)
    numbers = date2num(x) if x.dtype.kind == "M" else x
    parts = [numbers[part] for part in np.split(places, np.flatnonzero(np.diff(places) > 1) + 1) if len(part)]
    boxes = [[(p.min(), 0.0), (p.min(), 1.0), (p.max(), 1.0), (p.max(), 0.0)] for p in parts]
    bands = PolyCollection(boxes, facecolors=colour, linewidth=0, zorder=0, transform=axes.get_xaxis_transform())
    axes.add_collection(bands, autolim=False)
    axes.plot([], [], color=colour, linewidth=4, label=label)


def draw_bars(axes: Any, trace: dict[str, Any]) -> None:
    colour = trace["marker"]["color"]
    colours = [ink(c) for c in colour] if isinstance(colour, list) else ink(colour)
    if trace.get("orientation") == "h":
        axes.barh(column(trace["y"]), column(trace["x"]), color=colours, height=0.7)
    else:
        look = {"width": trace.get("width", 0.8), "edgecolor": "white", "linewidth": 0.4}
        axes.bar(column(trace["x"]), column(trace["y"]), color=colours, **look)


def draw_steps(axes: Any, trace: dict[str, Any]) -> None:
    """A waterfall: each step from where the last one ended; the total from zero."""
    values, names, begin = column(trace["x"]), column(trace["y"]), 0.0
    for i, (value, kind) in enumerate(zip(values, trace["measure"], strict=True)):
        total = kind == "total"
        colour = trace["totals" if total else "increasing" if value > 0 else "decreasing"]["marker"]["color"]
        axes.barh(i, value, left=0.0 if total else begin, color=ink(colour), height=0.7)
        begin += 0.0 if total else value
    axes.set_yticks(range(len(names)), names)
    axes.use_sticky_edges = False
    axes.autoscale_view()


def draw_heat(axes: Any, trace: dict[str, Any]) -> None:
    from matplotlib.colors import LinearSegmentedColormap

    cells = np.array([[np.nan if v is None else v for v in row] for row in trace["z"]], float)
    scale = LinearSegmentedColormap.from_list("scale", [(place, ink(colour)) for place, colour in trace["colorscale"]])
    axes.imshow(cells, aspect="auto", cmap=scale, vmin=trace["zmin"], vmax=trace["zmax"], origin="lower")
    axes.set_xticks(range(cells.shape[1]), [plain(v) for v in trace["x"]])
    axes.set_yticks(range(cells.shape[0]), [plain(v) for v in trace["y"]])
    for (i, j), value in np.ndenumerate(np.array(trace.get("text", np.full(cells.shape, "")), object)):
        axes.text(j, i, plain(value), ha="center", va="center", fontsize=5, color=ink("ink"))


DRAWN = {"scatter": draw_lines, "bar": draw_bars, "waterfall": draw_steps, "heatmap": draw_heat}


def panel_of(layout: dict[str, Any], name: str) -> tuple[float, float]:
    """The share of the figure's height that a y axis covers."""
    low, high = layout.get("yaxis" + name[1:], {}).get("domain", (0.0, 1.0))
    return float(low), float(high)


def draw_figure(canvas: Any, place: tuple[float, float, float, float], figure: Figure) -> None:
    """A figure of the page within (left, bottom, width, height) of the sheet."""
    layout = figure["layout"]
    panels: dict[tuple[float, float], Any] = {}
    for trace in figure["data"]:
        if trace.get("visible") == "legendonly":
            continue
        panels.setdefault(panel_of(layout, trace.get("yaxis", "y")), []).append(trace)
    left, bottom, width, height = place
    lowest = min(low for low, _ in panels)
    for (low, high), traces in sorted(panels.items(), key=lambda item: -item[0][1]):
        axes = canvas.add_axes((left, bottom + low * height, width, (high - low) * height))
        for trace in sorted(traces, key=lambda t: t.get("fill") != "toself"):
            DRAWN[trace["type"]](axes, trace)
        own = next((layout.get("yaxis" + t.get("yaxis", "y")[1:], {}) for t in traces if t.get("fill") != "toself"), {})
        dress(axes, layout, own, traces, low == lowest)
    for note in layout.get("annotations", ()):
        if note.get("xref") == "paper":
            y = bottom + note["y"] * height + 0.001
            canvas.text(left + 0.004, y, plain(note["text"]), fontsize=6, color=ink("muted"))


def dress(axes: Any, layout: dict[str, Any], own: dict[str, Any], traces: list[dict[str, Any]], last: bool) -> None:
    """Ticks, titles, lines and legend of one panel."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
    from matplotlib.ticker import MaxNLocator

    heat = traces[0]["type"] == "heatmap"
    axes.tick_params(labelsize=6, length=2, colors=ink("muted"), labelbottom=last)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom") or heat)
        spine.set_color(ink("axis"))
        spine.set_linewidth(0.6)
    if not heat:
        axes.grid(color=ink("grid"), linewidth=0.4)
        axes.set_axisbelow(True)
    across = layout.get("xaxis", {})
    dated = across.get("type") == "date"
    if dated:
        locator = AutoDateLocator(maxticks=8)
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    for ticks, look, axis in ((axes.yaxis, own, "y"), (axes.xaxis, across, "x")):
        form = look.get("tickformat", "")
        if form.startswith("$") or look.get("tickprefix") == "$":
            ticks.set_major_formatter(lambda value, _: money(value))
        elif "%" in form or look.get("ticksuffix") == "%":
            ticks.set_major_formatter(lambda value, _, form=form: f"{100 * value if '%' in form else value:.0f}%")
        if not heat and not (axis == "x" and dated) and traces[0]["type"] not in ("bar", "waterfall"):
            ticks.set_major_locator(MaxNLocator(6))
    if across.get("title") and last:
        axes.set_xlabel(plain(across["title"]["text"]), fontsize=6.5, color=ink("muted"))
    if own.get("title"):
        axes.set_ylabel(plain(own["title"]["text"]), fontsize=6.5, color=ink("muted"))
    if own.get("autorange") == "reversed" or traces[0].get("type") == "waterfall":
        axes.invert_yaxis()
    for shape in layout.get("shapes", ()):
        if shape.get("type") == "line" and shape.get("yref") == "paper":
            at = np.datetime64(shape["x0"]) if dated else shape["x0"]
            axes.axvline(at, color=ink("ink"), linewidth=0.7, linestyle="--")
    if any(t.get("name") and t.get("showlegend", True) for t in traces) and len(traces) > 1:
        axes.legend(loc="lower right", bbox_to_anchor=(1.0, 0.985), ncol=9, frameon=False, fontsize=5.5,
                    handlelength=1.4, columnspacing=1.0)  # fmt: skip


def money(value: float) -> str:
    sign = "−" if value < 0 else ""
    return f"{sign}\\${abs(value):,.0f}" if abs(value) >= 10 or value == 0 else f"{sign}\\${abs(value):,.2f}"


# ---------------------------------------------------------------- text and tables


def wrapped(lines: list[str], width: float, size: float) -> list[str]:
    """Lines cut to a width, a share of the page's."""
    most = max(int(width / CHARACTER * TEXT / size), 12)
    return [part for text in lines for part in (textwrap.wrap(text, most) or [""])]


def draw_text(canvas: Any, place: tuple[float, float, float, float], block: dict[str, Any]) -> None:
    left, bottom, width, height = place
    size = block.get("size", TEXT)
    for i, text in enumerate(wrapped(block["text"], width, size)):
        y = bottom + height - (i + 1) * LINE * size / TEXT
        canvas.text(left, y, plain(text), fontsize=size, color=ink("ink"))


def draw_table(canvas: Any, place: tuple[float, float, float, float], block: dict[str, Any]) -> None:
    """Rows of texts; the first column on the left, numbers to the right of theirs."""
    left, bottom, width, height = place
    head, rows = block.get("head", []), [[str(cell) for cell in row] for row in block["rows"]]
    size = block.get("size", SMALL)
    every = [head, *rows] if head else rows
    if not rows:
        return
    longest = [max(len(row[j]) for row in every) + 2 for j in range(len(every[0]))]
    edges = left + width * np.cumsum([0, *longest]) / sum(longest)
    step = min(LINE * size / TEXT * 1.12, height / len(every))
    for i, row in enumerate(every):
        y = bottom + height - (i + 1) * step
        for j, cell in enumerate(row):
            words = j == 0 or j in block.get("words", ())
            x, side = (edges[j] + 0.008 * (j > 0), "left") if words else (edges[j + 1] - 0.004, "right")
            colour = ink("muted" if head and i == 0 else "ink")
            canvas.text(x, y + 0.25 * step, plain(cell), fontsize=size, ha=side, color=colour)
        canvas.add_artist(rule(left, left + width, y))


def rule(x0: float, x1: float, y: float) -> Any:
    from matplotlib.lines import Line2D

    return Line2D([x0, x1], [y, y], color=ink("grid"), linewidth=0.4)


# ---------------------------------------------------------------- sheets


def draw_sheet(canvas: Any, sheet: dict[str, Any], number: int, count: int, foot: str) -> None:
    """One page: its title, then rows of blocks of stated shares of the height."""
    canvas.text(LEFT, TOP, plain(sheet["title"]), fontsize=13, weight="bold", color=ink("ink"))
    if sheet.get("badge"):
        canvas.text(RIGHT, TOP, sheet["badge"], fontsize=7.5, weight="bold", color=ink("ink"), ha="right",
                    bbox={"facecolor": ink("edge"), "edgecolor": "none", "pad": 2.5})  # fmt: skip
    canvas.text(LEFT, 0.018, plain(foot), fontsize=6, color=ink("muted"))
    canvas.text(RIGHT, 0.018, f"{number} / {count}", fontsize=6, color=ink("muted"), ha="right")
    y = TOP - 0.018
    room = y - BOTTOM
    whole = sum(row["height"] for row in sheet["rows"])
    for row in sheet["rows"]:
        height = room * row["height"] / max(whole, 1.0)
        each = (RIGHT - LEFT - GAP * 2 * (len(row["blocks"]) - 1)) / len(row["blocks"])
        for i, block in enumerate(row["blocks"]):
            left, top = LEFT + i * (each + 2 * GAP), y - 0.004
            if block.get("title"):
                canvas.text(left, top - LINE, plain(block["title"]), fontsize=8.5, weight="bold", color=ink("ink"))
                top -= 1.5 * LINE
            place = (left, y - height + 0.008, each, top - (y - height + 0.008))
            if "figure" in block:
                inset, below, above = block.get("inset", 0.05), 0.036, 0.016
                inner = (left + inset, place[1] + below, each - inset, place[3] - below - above)
                draw_figure(canvas, inner, block["figure"])
            elif "rows" in block:
                draw_table(canvas, place, block)
            else:
                draw_text(canvas, place, block)
        y -= height


def write_pdf(path: Path, value: dict[str, Any]) -> None:
    """value : {title, foot, sheets: [{title, badge, rows: [{height, blocks}]}]}, plain data."""
    import matplotlib
    from matplotlib.backends.backend_pdf import PdfPages
    from matplotlib.figure import Figure as Canvas

    facts = {"Title": value["title"], "Creator": "Quantor-MTFuzz", "Producer": None, "CreationDate": None}
    with matplotlib.rc_context(matplotlib.rcParamsDefault):
        matplotlib.rcParams["pdf.fonttype"] = 42
        with PdfPages(path, metadata=facts) as pages:
            for i, sheet in enumerate(value["sheets"], 1):
                canvas = Canvas(figsize=(WIDTH, HEIGHT))
                draw_sheet(canvas, sheet, i, len(value["sheets"]), value["foot"])
                pages.savefig(canvas)
