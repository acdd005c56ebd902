"""P&L by what was known at the entry, and by how it ended: one line per group of campaigns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from core.metrics import effective_trades, expectancy_standard_error, win_rate
from core.report.campaigns import Campaigns
from core.report.known import regime_of
from core.report.outcomes import SIDES, tested_sides
from core.types import REASONS, REGIMES, SIGNAL, T

if TYPE_CHECKING:
    from backtest_engine import BacktestResult

FEW = 5  # a group of fewer says next to nothing
UNKNOWN = "unknown"
DTE_EDGES = (1, 8, 22, 36, 51)  # a group runs from an edge to before the next
CREDIT_EDGES = (5, 10, 15, 20, 25, 30, 40)
IV_EDGES = (20, 40, 60, 80)
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
# Key in metrics.json and its name on the page.
GROUPINGS = {
    "regime": "Regime at entry",
    "dte": "Days to expiry at entry",
    "credit": "Credit, % of width",
    "iv_percentile": "IV percentile at entry",
    "exit_reason": "Exit reason",
    "weekday": "Weekday of entry",
    "hour": "Hour of entry, New York",
    "tested_side": "Tested side",
}


class Group(NamedTuple):
    """Closed campaigns that share something. None: too few, or no variation."""

    group: str
    trades: int
    net: float  # $
    mean: float  # $
    mean_se: float | None  # $, allowing for overlap (core.metrics.effective_trades)
    win_rate: float | None
    few: bool


def bucket_names(edges: tuple[int, ...], whole: bool) -> list[str]:
    """Names of the buckets below, between and from the edges on; whole numbers name their last member."""
    below = "0" if whole and edges[0] == 1 else f"below {edges[0]}"
    last = [edge - 1 if whole else edge for edge in edges[1:]]
    between = [f"{low}" if low == high else f"{low}-{high}" for low, high in zip(edges, last, strict=False)]
    return [below, *between, f"{edges[-1]}+"]


def bucketed(values: Any, edges: tuple[int, ...], whole: bool = False) -> tuple[Any, list[str]]:
    """(index of each value's bucket, names of all buckets); NaN falls into the last one, unknown."""
    names = bucket_names(edges, whole)
    index = np.searchsorted(edges, values, side="right")
    return np.where(np.isnan(values), len(names), index), [*names, UNKNOWN]


def grouped(index: Any, names: list[str], pnl_usd: Any, entry_day: Any, exit_day: Any) -> list[Group]:
    """The groups that hold anything, in the order of their names; all arrays one element per campaign."""
    groups = []
    for i, name in enumerate(names):
        mine = index == i
        if not mine.any():
            continue
        pnl = pnl_usd[mine]
        independent = effective_trades(pnl, entry_day[mine], exit_day[mine])
        net, mean = float(pnl.sum()), float(pnl.mean())
        error = expectancy_standard_error(pnl, independent)
        groups.append(Group(name, len(pnl), net, mean, error, win_rate(pnl), len(pnl) < FEW))
    return groups


def groups_of(result: BacktestResult, campaigns: Campaigns, signal: Any) -> dict[str, list[Group]]:
    """Every grouping of closed campaigns, by the keys of GROUPINGS."""
    market, trades = result.market, result.trades
    session = market.row.session[campaigns.opened]
    entry_day = market.ses.day[session]
    exit_day = market.ses.day[market.row.session[campaigns.ended]]
    pnl = campaigns.pnl / 100.0
    first = trades[campaigns.first]
    dte = (market.exp.day[first[:, T["expiry"]]] - entry_day).astype(np.float64)
    percent = 100.0 * first[:, T["credit"]] / first[:, T["width"]]
    codes = sorted(REASONS)
    hours = (market.row.minute[campaigns.decided] // 60).astype(np.int64)
    sorts: dict[str, tuple[Any, list[str]]] = {
        "regime": (regime_of(signal)[campaigns.decided], list(REGIMES)),
        "dte": bucketed(dte, DTE_EDGES, whole=True),
        "credit": bucketed(percent, CREDIT_EDGES),
        "iv_percentile": bucketed(signal[SIGNAL["iv_percentile"], campaigns.decided], IV_EDGES),
        "exit_reason": (np.searchsorted(codes, campaigns.reason), [REASONS[code][1] for code in codes]),
        "weekday": ((entry_day.astype(np.int64) + 3) % 7, list(WEEKDAYS)),  # 1970-01-01 was a Thursday
        "hour": (hours, [f"{hour:02d}" for hour in range(24)]),
        "tested_side": (tested_sides(result, campaigns), list(SIDES)),
    }
    return {key: grouped(*sorts[key], pnl, entry_day, exit_day) for key in GROUPINGS}


def group_figures(groups: dict[str, list[Group]]) -> dict[str, list[dict[str, Any]]]:
    """For metrics.json."""
    return {key: [group._asdict() for group in rows] for key, rows in groups.items()}
