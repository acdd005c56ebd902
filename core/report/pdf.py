"""report.pdf: what is put on which sheet. Words and tables are those of the page, figures too.

No clock and no run id get in: two equal runs give the same bytes.
"""

from __future__ import annotations

from typing import Any

from core.report.build import Report
from core.report.plots import Figure

LARGEST = 14  # trades on each side of the list
CHANGED = 60  # settings shown


def figure(title: str, shown: Figure, **changes: Any) -> dict[str, Any]:
    return {"title": title, "figure": shown, **changes}


def table(title: str, head: list[str], rows: list[list[str]], **changes: Any) -> dict[str, Any]:
    return {"title": title, "head": head, "rows": rows, **changes}


def row(height: float, *blocks: dict[str, Any]) -> dict[str, Any]:
    return {"height": height, "blocks": list(blocks)}


def first_sheet(values: dict[str, Any]) -> list[dict[str, Any]]:
    verdict = values["verdict"]
    warnings = [f"! {text}" for text in values["metrics"]["warnings"]] or ["No warning."]
    groups = {name: [[label, text] for _, label, text, _ in rows] for name, rows in values["groups"]}
    lines = sum(len(text) // 95 + 1 for text in warnings)
    return [
        row(0.10, {"title": verdict.headline, "text": [verdict.text]}),
        row(0.045 + 0.014 * lines, {"title": "What makes this untrustworthy", "text": warnings, "size": 7.5}),
        row(0.24, *(table(name, [], groups[name]) for name in ("Result", "Risk"))),
        row(0.2, *(table(name, [], groups[name]) for name in ("Trades", "Costs"))),
        row(0.05, {"text": [values["reconciliation"]], "size": 7.5}),
    ]


def month_rows(values: dict[str, Any]) -> list[list[str]]:
    def text(value: float | None) -> str:
        return "" if value is None else f"{round(value, 2) + 0.0:+.2f}"

    return [[year.year, *(text(v) for v in year.months), f"{year.whole:+.2f}"] for year in values["years"]]


def equity_sheet(values: dict[str, Any], figures: dict[str, Figure]) -> list[dict[str, Any]]:
    months = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec Year".split()
    beside = ["", "return", "a year", "volatility", "Sharpe", "deepest fall", "note"]
    found = [
        row(0.42, figure("Equity at mid, regimes behind, and drawdown", figures["equity"])),
        row(0.06 + 0.017 * len(values["years"]), table("Return by month, %", ["", *months], month_rows(values))),
        row(0.06 + 0.017 * len(values["beside"]), table("Beside it", beside, values["beside"], words=(6,))),
    ]
    if values["taxed"]:
        head = ["", "rate", "closed trades $", "tax $", "left $"]
        found.append(row(0.08, table("After tax, a sketch at stated rates; no advice", head, values["taxed"])))
    if values["bad_days"]:
        head = ["session", "P&L $", "of equity", "underlying", "VIX, points", "VIX", "open"]
        found.append(row(0.06 + 0.016 * len(values["bad_days"]), table("The worst days", head, values["bad_days"])))
    return found


def trade_sheet(report: Report, values: dict[str, Any], figures: dict[str, Figure]) -> list[dict[str, Any]]:
    from core.report.model import TRADE_COLUMNS, trade_rows

    wanted = ("entry", "exit", "DTE", "strikes", "credit $", "debit $", "P&L $", "worst $", "closed by", "quotes")
    places = [TRADE_COLUMNS.index(name) for name in wanted]
    rows = [r for r in trade_rows(report.result, report.facts) if r[TRADE_COLUMNS.index("P&L $")] is not None]
    rows.sort(key=lambda r: (r[TRADE_COLUMNS.index("P&L $")], r[0]))
    chosen = rows if len(rows) <= 2 * LARGEST else [*rows[:LARGEST], *rows[-LARGEST:]]

    def text(value: Any) -> str:
        return "" if value is None else f"{value:,.2f}" if isinstance(value, float) else str(value)

    found = [row(0.4, figure("Every trade over the price", figures["trades"]))]
    if chosen:
        lines = [[text(r[i]) for i in places] for r in chosen]
        title = "Closed trades, the worst first" + ("" if len(chosen) == len(rows) else "; the middle left out")
        found.append(row(0.6, table(title, list(wanted), lines, size=6, words=(1, 3, 8, 9))))
    return found


def grids(blocks: list[dict[str, Any]], height: float) -> list[dict[str, Any]]:
    """Blocks side by side, two a row."""
    return [row(height, *blocks[i : i + 2]) for i in range(0, len(blocks), 2)]


def spread_sheet(figures: dict[str, Figure]) -> list[dict[str, Any]]:
    titles = {
        "pnl": "P&L of a closed trade, $",
        "dte": "Days to expiry at entry",
        "credit": "Credit, $ a share",
        "share": "Credit as a share of the wing's width, %",
        "held": "Days held",
        "adverse": "Deepest loss on the way, $",
        "excursion": "Deepest loss on the way, and the end",
        "favourable": "Highest gain on the way, and the end",
    }
    return grids([figure(text, figures[key]) for key, text in titles.items() if key in figures], 0.25)


def cause_sheet(figures: dict[str, Figure]) -> list[dict[str, Any]]:
    found = []
    if "costs" in figures:
        found.append(row(0.28, figure("The same trades at other fills: net profit", figures["costs"])))
    if "cause" in figures:
        found.append(row(0.3, figure("P&L of closed trades by cause, $", figures["cause"], inset=0.16)))
        found.append(row(0.42, figure("P&L by cause as trades closed, $", figures["causes"])))
    return found


def group_sheet(values: dict[str, Any]) -> list[dict[str, Any]]:
    head = ["", "trades", "net $", "mean $", "won"]
    blocks = [
        table(title, head, [[f"{name} *" if few else name, *rest] for name, *rest, few in lines], size=6.5)
        for title, lines in values["group_tables"]
    ]
    longest = [max(len(block["rows"]) for block in blocks[i : i + 2]) for i in range(0, len(blocks), 2)]
    rows = grids(blocks, 0.0)
    for place, most in zip(rows, longest, strict=True):
        place["height"] = 0.045 + 0.0155 * most
    note = "Mean and its standard error, which allows for overlap. * fewer than 5: says next to nothing."
    return [*rows, row(0.03, {"text": [note], "size": 7})] if rows else []


def risk_sheet(values: dict[str, Any], figures: dict[str, Figure]) -> list[dict[str, Any]]:
    found = []
    if "exposure" in figures:
        found.append(row(0.55, figure("The book's greeks at each session's end", figures["exposure"])))
    stress = values["stress"]
    if "unknown" in stress:
        return [*found, row(0.06, {"title": "Stress", "text": [stress["unknown"]]})]
    text = (
        f"The book of {stress['when']}: {stress['chosen']}. {stress['structures']} structures that can lose "
        f"{stress['risk']} in all. Worst cell of the grid: {stress['worst']}."
    )
    head = ["move of the past", "spot", "VIX", "strikes", "term", "skew", "days", "P&L", "of equity"]
    found.append(row(0.08, {"title": "Stress", "text": [text]}))
    found.append(row(0.05 + 0.014 * len(stress["shocks"]), table("", head, stress["shocks"], size=6)))
    return found


def ground_sheet(values: dict[str, Any], figures: dict[str, Figure]) -> list[dict[str, Any]]:
    grid = next((name for name in figures if name.startswith("stress_grid")), None)
    found = []
    if grid is not None:
        title = f"P&L {values['stress']['pages'][0]}, $: spot across, every volatility times up"
        found.append(row(0.27, figure(title, figures[grid])))
    bars = [[bar.name, bar.text] for bar in values["reasons"][:14]]
    funnel = [list(line) for line in values["funnel"]]
    found.append(
        row(0.33, table("From bars to fills", ["", "bars", "share", "stopped"], funnel, size=6),
            table("What happened on each bar", [], bars, size=6))
    )  # fmt: skip
    kinds = [[bar.name, bar.text] for bar in (*values["fill_bars"], *values["pnl_bars"])]
    facts = [*([key, str(value)[:40]] for key, value in values["origins"]), *([k, v] for k, v in values["versions"])]
    rests, made = table("What the result rests on", [], kinds, size=6), table("What made it", [], facts, size=6)
    found.append(row(0.2, rests, made))
    changed = [[path, value, source] for path, value, source in values["settings"] if source != "default"][:CHANGED]
    changed = changed or [["every setting", "default", ""]]
    found.append(row(0.05 + 0.013 * len(changed), table("Settings that are not defaults", [], changed, size=6)))
    return found


def printed(report: Report, values: dict[str, Any], figures: dict[str, Figure]) -> dict[str, Any]:
    """Sheets for core.report.printing.write_pdf. values, figures : those of the page."""
    title = f"{values['structure'].replace('_', ' ')} on {values['market']}"
    metrics = values["metrics"]
    foot = f"{title}, {metrics['start']} to {metrics['end']}, {metrics['bars']:,} bars; quotes: {values['quotes']}. "
    foot += "Times are New York."
    sheets = [
        (title, first_sheet(values)),
        ("Equity", equity_sheet(values, figures)),
        ("Trades", trade_sheet(report, values, figures)),
        ("How trades went", spread_sheet(figures)),
        ("Where it came from", cause_sheet(figures)),
        ("P&L by group", group_sheet(values)),
        ("Exposure and stress", risk_sheet(values, figures)),
        ("What it rests on", ground_sheet(values, figures)),
    ]
    kept = [{"title": name, "badge": values["badge"], "rows": rows} for name, rows in sheets if rows]
    return {"title": title, "foot": foot, "sheets": kept}
