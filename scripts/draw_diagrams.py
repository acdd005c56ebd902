"""Draws diagrams/*.png from the code: layers with their real imports, the way of the data, and how it decides.

What is drawn is kept inside each picture as text, so that a test can tell a picture that the code has
outgrown. The same code gives the same bytes. After a module or an import has changed, run
`python scripts/draw_diagrams.py`.
"""

import json
import sys
from io import BytesIO
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from core.live.desk import LIVE_STATES, MOVES
from scripts import draw_decisions as decisions
from scripts.architecture import LAYERS, ROOT, edges, layer_of, modules, place_of

Point = tuple[float, float]
INK, RULE = "#1c2430", "#8d99a8"
TINTS = {6: "#e8e2f5", 5: "#fadce0", 4: "#fde3cf", 3: "#fbf0bd", 2: "#dff0d8", 1: "#d3e8f3", 0: "#e7eaee"}
LINES = {6: "#7a5fb5", 5: "#b8475a", 4: "#c96f2b", 3: "#a38a12", 2: "#4f8f3a", 1: "#2f7fa8"}

# The way of the data: column, row from the top, what it is, the module that does it. A box whose module
# does not exist is not drawn.
FLOW: dict[str, tuple[float, float, str, str]] = {
    "files": (0, 0, "bar and chain files\nCSV, Parquet", "core.market.import_*"),
    "history": (1, 0, "real index and VIX closes,\nMODELLED quotes", "core.market.history"),
    "generator": (2, 0, "seeded generator,\nMODELLED prices and quotes", "core.market.generate"),
    "build": (1, 1, "validate, align, count what is bad", "core.market.build"),
    "store": (1, 2, "market store: read-only columns,\nmemory-mapped, hashed", "core.market.store"),
    "features": (0, 3, "causal columns: closed bars\nonly, NaN while warming up", "core.features.*"),
    "fuzzy": (1, 3, "memberships, rules,\nscore and regime", "fuzzy_engine"),
    "rules": (2, 3, "exits, gates, expiry, strikes:\nan intent with its reason", "options_strategy"),
    "costs": (2, 4, "package fills, never better\nthan mid; fees", "core.costs"),
    "book": (1, 4, "book: a fold over fills,\ncash + marks = equity", "core.portfolio"),
    "engine": (0, 4, "one compiled pass: settle,\nfill, mark, exit, enter", "backtest_engine"),
    "report": (1, 5, "run folder: metrics, trades,\nfills, equity, HTML", "core.report.*"),
}
# States of an order: column, row. What leads where is core.live.desk.MOVES.
STATES: dict[str, Point] = {
    "SENDING": (0, 1), "UNKNOWN": (1, 0), "ABANDONED": (2, 0), "WORKING": (1, 1), "CANCELLING": (2, 1), "DONE": (3, 1),
    "REJECTED": (1, 2), "QUARANTINE": (3, 2),
}  # fmt: skip
# What the system is to hold, and the module that does it: it is there, or it is not.
ROADMAP: tuple[tuple[str, str], ...] = (
    ("backtest, honestly costed", "backtest_engine"),
    ("own data, vendors' files", "core.market.importers"),
    ("pricing under every model", "core.pricing.heston"),
    ("timeframes, fuzzy regimes", "fuzzy_engine"),
    ("rolls, sides, hedges", "core.hedge"),
    ("caps, margin, assignment", "core.risk_manager"),
    ("stress and chance", "core.stress.reruns"),
    ("search, and what is luck", "optimizer"),
    ("a second clock", "core.backtrader_bridge"),
    ("paper trading", "core.live.trader"),
    ("page, paper, comparisons", "core.report.pdf"),
    ("live money", "core.live.money"),
    ("hedges while trading", "core.live.hedge"),
    ("other brokers", "core.live.ibkr"),
)
ARROWS = (
    "files build, history build, generator build, build store, store features, store rules, features fuzzy, "
    "fuzzy rules, rules costs, costs book, book engine, engine report, book report"
)


def facts(root: Path = ROOT) -> dict[str, Any]:
    """What each picture shows, as plain data. Modules under one entry of the table are one box."""
    files = modules(root)
    places = {place_of(module) for module, path in files.items() if path.stat().st_size} - {None}
    imports = {(place_of(a) or a, place_of(b) or b) for a, b in edges(root)}
    drawn = [name for name, (*_, place) in FLOW.items() if place in places]
    arrows = [pair.split() for pair in ARROWS.split(", ")]
    return {
        "layers.png": {
            "boxes": {str(n): [p for p in patterns if p in places] for n, (_, patterns) in LAYERS.items()},
            "imports": sorted([a, b] for a, b in imports if a != b and {a, b} <= places),
        },
        "data_flow.png": {"boxes": drawn, "arrows": [pair for pair in arrows if set(pair) <= set(drawn)]},
        "orders.png": {state: list(after) for state, after in MOVES.items()},
        "roadmap.png": [[text, module, module in files] for text, module in ROADMAP],
        **decisions.facts(root),
    }


def facts_in(picture: Path) -> Any:
    """The facts a picture was drawn from; None when it does not say."""
    from PIL import Image

    with Image.open(picture) as image:
        return json.loads(image.info.get("Description", "null"))


def _canvas(width: float, height: float) -> Any:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=110, facecolor="white")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)  # rows run downwards
    axes.axis("off")
    return axes


def _box(axes: Any, at: Point, size: Point, tint: str, title: str, text: str) -> None:
    from matplotlib.patches import FancyBboxPatch

    (x, y), (width, height) = at, size
    style = {"boxstyle": "round,pad=0,rounding_size=0.08", "fc": tint, "ec": RULE, "lw": 0.8, "zorder": 3}
    axes.add_patch(FancyBboxPatch((x - width / 2, y - height / 2), width, height, **style))
    words = {"ha": "center", "va": "center", "color": INK, "zorder": 4}
    axes.text(x, y - (0.24 if text else 0), title, size=8.5, weight="bold", **words)
    axes.text(x, y + 0.13, text, size=8.5, **words)


def _arrow(axes: Any, start: Point, end: Point, colour: str, bend: float = 0) -> None:
    line = {"arrowstyle": "-|>", "color": colour, "alpha": 0.8, "shrinkA": 0, "shrinkB": 0}
    axes.annotate("", end, start, arrowprops=line | {"connectionstyle": f"arc3,rad={bend}"}, zorder=2)


def draw_layers(shown: dict[str, Any]) -> Any:
    """Rows of boxes, the highest layer on top; an arrow from a box to each one that it imports."""
    rows = {int(layer): boxes for layer, boxes in shown["boxes"].items()}
    width = 2.4 + 1.95 * max(len(boxes) for boxes in rows.values())
    axes = _canvas(width, 0.4 + 1.7 * len(rows))
    at = {}
    for row, (layer, boxes) in enumerate(rows.items()):
        y = 0.7 + 1.7 * row
        axes.axhspan(y - 0.45, y + 0.45, color=TINTS[layer], alpha=0.4, lw=0)
        axes.text(0.15, y, f"{layer}  " + LAYERS[layer][0].replace(", ", ",\n    "), size=9, va="center")
        for column, place in enumerate(boxes):
            at[place] = (2.3 + (column + 0.5) * (width - 2.4) / len(boxes), y)
            _box(axes, at[place], (1.85, 0.5), TINTS[layer], place, "")
    for importer, imported in shown["imports"]:
        above, below = layer_of(importer), layer_of(imported)
        (x0, y0), (x1, y1) = at[importer], at[imported]
        lean = max(-0.6, min(0.6, (x1 - x0) / 8))  # lines leave and meet a box on the side they come from
        if above == below != 0:
            _arrow(axes, (x0 + lean, y0 + 0.25), (x1 - lean, y1 + 0.25), LINES[above], 0.8 / (x1 - x0))
        elif below:
            _arrow(axes, (x0 + lean, y0 + 0.25), (x1 - lean, y1 - 0.25), LINES[above])
    note = "An arrow is an import. Imports of layer 0, open to all, are not drawn."
    axes.text(0.15, 0.4 + 1.7 * len(rows) - 0.35, note, size=8.5, color=INK)
    return axes.figure


def draw_data_flow(shown: dict[str, Any]) -> Any:
    """Boxes on a grid, each with the module that does it; arrows go the way of the data."""
    axes = _canvas(11.4, 10.2)
    size = (2.9, 0.95)
    at = {name: (1.9 + 3.8 * FLOW[name][0], 0.9 + 1.68 * FLOW[name][1]) for name in shown["boxes"]}
    for name in shown["boxes"]:
        *_, text, place = FLOW[name]
        _box(axes, at[name], size, TINTS[layer_of(place)], place, text)
    for start, end in shown["arrows"]:
        (x0, y0), (x1, y1) = at[start], at[end]
        if y0 == y1:
            side = size[0] / 2 if x1 > x0 else -size[0] / 2
            _arrow(axes, (x0 + side, y0), (x1 - side, y1), INK)
        else:
            lean = max(-0.9, min(0.9, (x1 - x0) / 3))
            rise = size[1] / 2 if y1 > y0 else -size[1] / 2
            _arrow(axes, (x0 + lean, y0 + rise), (x1 - lean, y1 - rise), INK)
    return axes.figure


def draw_orders(shown: dict[str, list[str]]) -> Any:
    """States of an order and what leads where; boxes on a grid."""
    axes = _canvas(11.4, 4.6)
    size = (1.9, 0.84)
    at = {state: (1.4 + 2.85 * STATES[state][0], 0.8 + 1.5 * STATES[state][1]) for state in shown}
    for state in shown:
        still = "stays followed" if state in LIVE_STATES else "looked for" if state == "ABANDONED" else "over"
        _box(axes, at[state], size, TINTS[3] if state in LIVE_STATES else TINTS[0], state, still)
    for state, after in shown.items():
        for other in after:
            (x0, y0), (x1, y1) = at[state], at[other]
            back = state in shown[other]
            bend = 0.28 if back else 0.18 if y0 == y1 and abs(x1 - x0) > 3 else 0.0
            lean = 0.5 if x1 > x0 else -0.5 if x1 < x0 else 0.0
            rise = 0.42 if y1 > y0 else -0.42 if y1 < y0 else 0.0
            side = 0.95 if x1 > x0 else -0.95
            if rise:
                _arrow(axes, (x0 + lean, y0 + rise), (x1 - lean, y1 - rise), INK, bend)
            else:
                _arrow(axes, (x0 + side, y0), (x1 - side, y1), INK, bend)
    note = "core/live/desk.py: a state changes only by what a REST answer says."
    axes.text(0.2, 4.45, note, size=8.5, color=INK)
    return axes.figure


def draw_roadmap(shown: list[list[Any]]) -> Any:
    """What is there and what is not yet, by whether its module exists."""
    axes = _canvas(11.4, 0.9 * ((len(shown) + 3) // 4) + 0.6)
    for i, (text, module, there) in enumerate(shown):
        at = (1.5 + 2.8 * (i % 4), 0.6 + 0.9 * (i // 4))
        _box(axes, at, (2.6, 0.7), TINTS[2] if there else TINTS[0], text, module if there else "not begun")
    return axes.figure


def picture(name: str, shown: dict[str, Any]) -> bytes:
    """The PNG of one diagram, its facts inside."""
    drawn = {"layers.png": draw_layers, "data_flow.png": draw_data_flow, "orders.png": draw_orders,
             "roadmap.png": draw_roadmap, **decisions.DRAWN}  # fmt: skip
    figure = drawn[name](shown)
    file = BytesIO()
    figure.savefig(file, metadata={"Software": None, "Description": json.dumps(shown)})
    return file.getvalue()


if __name__ == "__main__":
    for name, shown in facts().items():
        (ROOT / "diagrams" / name).write_bytes(picture(name, shown))
        print(f"diagrams/{name}")
