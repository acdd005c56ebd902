"""The summary a run prints: warnings first, then the figures."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.report.model import text
from core.report.twin import difference_text

if TYPE_CHECKING:
    from backtest_engine import BacktestResult

WIDTH = 100


def twin_lines(twin: dict[str, Any]) -> list[str]:
    """Against the same strategy without its intelligence, in two lines."""
    part = twin["out_of_sample"]
    if part is None:
        return [f"mechanical twin: {twin['verdict']}"]
    full, mechanical = part["full"], part["mechanical"]
    figures = f"net ${full['net_profit']:,.0f} against ${mechanical['net_profit']:,.0f}"
    ratios = f"Sharpe {text(full['sharpe'], '{:.2f}')} against {text(mechanical['sharpe'], '{:.2f}')}"
    return [
        f"mechanical twin, from {part['start']} on: {figures}, {ratios}",
        f"{twin['verdict']}: {difference_text(part['difference'])}",
    ]


def summary_lines(result: BacktestResult, metrics: dict[str, Any], folder: Path) -> list[str]:
    m = metrics
    store = result.store
    head = f"{store.name} {m['start']} to {m['end']}, {m['bars']:,} bars, {result.config['strategy.structure']}"
    lines = [head, "-" * len(head)]
    for warning in m["warnings"]:
        lines += textwrap.wrap(f"! {warning}", WIDTH, subsequent_indent="  ")
    profit = f"${m['net_profit']:,.2f} ({m['net_profit_pct']:.2f} %)"
    fall = f"${m['max_drawdown']:,.2f} ({m['max_drawdown_pct']:.2f} %)"
    mean = f"{text(m['expectancy'], '${:,.2f}')} +- {text(m['expectancy_se'], '{:,.2f}')} a trade"
    per_package = text(m["break_even_slippage_per_package"], "{:+.3f} $/share a package")
    rows = (
        ("net profit", profit, "buy and hold", text(m["buy_and_hold_pct"], "{:.1f} % (price)")),
        ("max drawdown", fall, "profit/drawdown", text(m["net_profit_over_max_drawdown"], "{:.2f}")),
        ("Sharpe", text(m["sharpe"], "{:.2f}"), "P(Sharpe > 0)", text(m["psr"], "{:.1%}")),
        (
            *("trades", f"{m['trades']} closed, {m['open_trades']} open"),
            *("effective", text(m["effective_trades"], "{:.0f}")),
        ),
        ("win rate", text(m["win_rate"], "{:.1%}"), "profit factor", text(m["profit_factor"], "{:.2f}")),
        ("expectancy", mean, "worst day", text(m["worst_day"], "${:,.2f}")),
        ("fees", f"${m['fees']:,.2f}", "slippage paid", f"${m['slippage_paid']:,.2f}"),
        (
            *("buying power", text(m["buying_power_share_max"], "{:.1%} bound at most")),
            *("mean in trades", text(m["buying_power_share_mean"], "{:.1%}")),
        ),
        ("break-even", per_package, "or", text(m["break_even_slippage_half_spreads"], "{:.2f} half-spreads")),
    )
    lines += [f"{a:14} {b:34} {c:16} {d}" for a, b, c, d in rows]
    parts = ", ".join(f"{name} {value:+,.0f}" for name, value in m["attribution"].items())
    lines += textwrap.wrap(f"P&L of closed trades by cause ($): {parts}", WIDTH, subsequent_indent="  ")
    if "twin" in m:
        lines += twin_lines(m["twin"])
    return [*lines, f"run folder: {folder}"]
