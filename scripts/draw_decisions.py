"""The pictures of how it decides: the way of an entry, reasons to leave, fuzzy memberships, and size.

Everything comes from the tables and kernels that decide. `facts` gives what each picture shows as plain data, the
functions in DRAWN draw it; scripts/draw_diagrams.py writes the files.
"""

import importlib.util
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from core.report.funnel import FILLS, ORDERS, STAGES
from core.types import REASON_NAMES, REASONS, Reason

INK, RULE, STOP, GO = "#1c2430", "#8d99a8", "#f3dfd0", "#d8e9f4"
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#a3578c", "#e69f00", "#56b4e9", "#5b6672")  # after Okabe and Ito
EXIT_STAGE = "no exit on the bar"
COLUMNS = 6  # of boxes on the way of an entry
FUZZY = "data/presets/fuzzy/quantor.yaml"
SCALES, FLOORS, TARGETS = (0.0, 0.5, 1.0), (0.5, 0.25), (0.15, 0.10)
WHOLE = 10  # contracts that the unscaled budget buys in the picture of size
RISK_CENTS = 90_000  # maximum loss of one of them
VOL_LOW, VOL_HIGH = 0.10, 0.35


def facts(root: Path) -> dict[str, Any]:
    """What each picture shows; that of fuzzy rules and of size only where the project has them."""
    shown: dict[str, Any] = {
        "entry.png": [[name, [REASON_NAMES[code] for code in reasons]] for name, reasons in STAGES],
        "exits.png": [
            [REASON_NAMES[code], kind, words]
            for code, (kind, words) in REASONS.items()
            if kind in ("exit", "adjust") or (kind == "halt" and code != Reason.LOSSES_IN_ROW)
        ],
    }
    if (root / FUZZY).exists():
        from core.config import read_yaml

        shown["fuzzy.png"] = membership_facts(read_yaml(root / FUZZY)["variables"])
    if importlib.util.find_spec("strategies.sizing") is not None:
        shown["sizing.png"] = sizing_facts()
    return shown


def membership_facts(variables: dict[str, Any]) -> list[Any]:
    """[name, low, high, {term: four corners}] of each variable, given as {name: {range, terms}}."""
    from fuzzy_engine import trapezoid

    return [
        [name, *part["range"], {term: list(trapezoid(corners)) for term, corners in part["terms"].items()}]
        for name, part in variables.items()
    ]


def sizing_facts() -> dict[str, Any]:
    """Contracts against the fuzzy score and against realised volatility: {panel: {x, curves {label: contracts}}}."""
    from strategies.sizing import score_factor, size, target_factor, volatility_factor

    def contracts(factor: float) -> int:
        return int(size(WHOLE, RISK_CENTS // 100, 0, int(WHOLE * RISK_CENTS * factor)))

    score = [round(x, 4) for x in np.linspace(0.0, 1.0, 201).tolist()]
    vol = [round(x, 4) for x in np.linspace(0.0, 0.5, 201).tolist()]
    by_vol = {f"vol_floor {f:g}": [contracts(volatility_factor(VOL_LOW, VOL_HIGH, f, v)) for v in vol] for f in FLOORS}
    by_vol |= {f"vol_target {t:g}": [contracts(target_factor(t, v)) for v in vol] for t in TARGETS}
    by_score = {f"fuzzy_scale {s:g}": [contracts(score_factor(s, x)) for x in score] for s in SCALES}
    return {
        "fuzzy score": {"x": score, "curves": by_score},
        "realised volatility a year": {"x": vol, "curves": by_vol},
    }


# ---------------------------------------------------------------- boxes


def _canvas(width: float, height: float) -> Any:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=110, facecolor="white")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)  # rows run downwards
    axes.axis("off")
    return axes


def _box(axes: Any, x: float, y: float, size: tuple[float, float], tint: str, title: str, text: str = "") -> None:
    from matplotlib.patches import FancyBboxPatch

    style = {"boxstyle": "round,pad=0,rounding_size=0.08", "fc": tint, "ec": RULE, "lw": 0.8, "zorder": 3}
    axes.add_patch(FancyBboxPatch((x - size[0] / 2, y - size[1] / 2), *size, **style))
    words = {"ha": "center", "color": INK, "zorder": 4}
    top = y - size[1] / 2 + 0.2 if text else y
    axes.text(x, top, title, size=8.5, weight="bold", va="center", **words)
    axes.text(x, top + 0.16, text, size=7.5, va="top", linespacing=1.25, **words)


def _arrow(axes: Any, start: tuple[float, float], end: tuple[float, float]) -> None:
    line = {"arrowstyle": "-|>", "color": INK, "alpha": 0.8, "shrinkA": 0, "shrinkB": 0}
    axes.annotate("", end, start, arrowprops=line, zorder=2)


def many(name: str, reasons: list[str]) -> str:
    """More reasons than a box has lines: the exits have a picture of their own, others are told by number."""
    if name == EXIT_STAGE:
        return f"{len(reasons)} reasons: exits.png"
    return "\n".join([*reasons[:2], f"and {len(reasons) - 2} more"])


def draw_entry(stages: list[Any]) -> Any:
    """A bar's way to a fill, row by row and back; in each box the reasons that stop it there."""
    most = max(len(reasons) for _, reasons in stages if len(reasons) <= 3)
    size, step = (1.85, 0.42 + 0.17 * most), (2.1, 0.72 + 0.17 * most)
    boxes = [("a bar", []), *((name, reasons) for name, reasons in stages), (ORDERS, []), (FILLS, [])]
    rows = -(-len(boxes) // COLUMNS)
    axes = _canvas(0.3 + step[0] * COLUMNS, 0.5 + step[1] * rows)
    at = []
    for i, (name, reasons) in enumerate(boxes):
        row, column = divmod(i, COLUMNS)
        column = column if row % 2 == 0 else COLUMNS - 1 - column  # there and back
        at.append((0.15 + step[0] * (column + 0.5), 0.1 + step[1] * (row + 0.5)))
        text = "\n".join(reasons) if len(reasons) <= 3 else many(name, reasons)
        _box(axes, *at[-1], size, STOP if reasons else GO, name, text)
    for (x0, y0), (x1, y1) in pairwise(at):
        if y0 == y1:
            side = size[0] / 2 if x1 > x0 else -size[0] / 2
            _arrow(axes, (x0 + side, y0), (x1 - side, y1))
        else:
            _arrow(axes, (x0, y0 + size[1] / 2), (x1, y1 - size[1] / 2))
    note = "Each box: what a bar must have, and the reasons in the ledger for the bars that stop there."
    axes.text(0.15, 0.5 + step[1] * rows - 0.2, note, size=8.5, color=INK)
    return axes.figure


def draw_exits(reasons: list[Any]) -> Any:
    """Every reason for which a held structure is closed, in whole or in part, or changed."""
    size, step, columns = (3.4, 0.62), (3.6, 0.78), 3
    rows = -(-len(reasons) // columns)
    axes = _canvas(0.3 + step[0] * columns, 1.5 + step[1] * rows)
    middle = 0.15 + step[0] * columns / 2
    _box(axes, middle, 0.4, (3.4, 0.5), GO, "a held structure, on each bar")
    for i, (name, kind, words) in enumerate(reasons):
        row, column = divmod(i, columns)
        x, y = 0.15 + step[0] * (column + 0.5), 1.1 + step[1] * (row + 0.5)
        _box(axes, x, y, size, GO if kind == "adjust" else STOP, name, words)
        if row == 0:
            _arrow(axes, (middle, 0.65), (x, y - size[1] / 2))
    note = "One of these, or it is held. Blue: goes on changed. In the order of core.types.Reasons, not of precedence."
    axes.text(0.15, 1.3 + step[1] * rows, note, size=8.5, color=INK)
    return axes.figure


# ---------------------------------------------------------------- curves


def _panels(count: int, columns: int, width: float, height: float) -> Any:
    from matplotlib.figure import Figure

    rows = -(-count // columns)
    figure = Figure(figsize=(width * columns, height * rows), dpi=110, facecolor="white", layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False).ravel().tolist()
    for axes in grid[count:]:
        axes.set_axis_off()
    for axes in grid[:count]:
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=8)
        axes.grid(color="#e2e6ea", linewidth=0.6)
    return figure, grid[:count]


def window_of(low: float, high: float, terms: dict[str, list[float]]) -> tuple[float, float]:
    """The part of a variable's range in which memberships change, with as much again around it."""
    inner = [corner for corners in terms.values() for corner in corners if low < corner < high]
    if not inner:
        return low, high
    room = 0.5 * (max(inner) - min(inner))
    return max(low, min(inner) - room), min(high, max(inner) + room)


def draw_memberships(variables: list[Any]) -> Any:
    """One panel per variable, one trapezoid per term; a shoulder goes on beyond the picture."""
    figure, panels = _panels(len(variables), 3, 3.8, 2.3)
    for axes, (name, low, high, terms) in zip(panels, variables, strict=True):
        for colour, (term, (a, b, c, d)) in zip(COLOURS, terms.items(), strict=False):
            x = [low, a, b, c, d, high]
            y = [float(a == b), float(a == b), 1.0, 1.0, float(c == d), float(c == d)]
            axes.plot(x, y, color=colour, linewidth=1.6, label=term)
        axes.set_xlim(*window_of(low, high, terms))
        axes.set_ylim(0.0, 1.05)
        axes.set_title(name.replace("_", " "), fontsize=9, loc="left", color=INK, pad=16)
        axes.legend(fontsize=7, frameon=False, loc="lower left", bbox_to_anchor=(0, 1), ncols=4, borderpad=0)
    return figure


def draw_sizing(panels: dict[str, Any]) -> Any:
    """Contracts where the whole budget would buy WHOLE, against what scales the budget."""
    figure, grid = _panels(len(panels), 2, 5.4, 3.4)
    for axes, (name, panel) in zip(grid, panels.items(), strict=True):
        for colour, dash, (label, contracts) in zip(
            COLOURS, ("-", "--", "-.", ":"), panel["curves"].items(), strict=False
        ):
            axes.step(panel["x"], contracts, where="post", color=colour, linestyle=dash, linewidth=1.6, label=label)
        axes.set_ylim(0, WHOLE + 0.5)
        axes.set_xlabel(name, fontsize=9)
        axes.set_ylabel("contracts", fontsize=9)
        axes.legend(fontsize=8, frameon=False, loc="best")
    return figure


DRAWN = {
    "entry.png": draw_entry,
    "exits.png": draw_exits,
    "fuzzy.png": draw_memberships,
    "sizing.png": draw_sizing,
}
