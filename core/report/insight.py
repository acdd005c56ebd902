"""What explains a run: groups, signals, rules, exposure and mechanical twin, put together once for page and files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from core.report.campaigns import Campaigns, campaigns_of, done
from core.report.exposure import Exposure, exposure_of
from core.report.factors import Factor, Firing, factors_of, firings_of, window_rows
from core.report.groups import GROUPINGS, Group, group_figures, groups_of
from core.report.known import signals_of, strengths_of
from core.report.model import shown
from core.report.twin import compare_with_twin, difference_text

if TYPE_CHECKING:
    from backtest_engine import BacktestResult


class Insight(NamedTuple):
    """Everything that explains a run; `twin` is None without intelligence."""

    signal: Any  # float64 (SIGNALS, N)
    campaigns: Campaigns  # closed
    groups: dict[str, list[Group]]
    factors: list[Factor]
    firings: list[Firing]
    exposure: Exposure
    twin: dict[str, Any] | None

    @property
    def figures(self) -> dict[str, Any]:
        """What it adds to metrics.json."""
        added: dict[str, Any] = {"by_group": group_figures(self.groups)}
        return added if self.twin is None else {**added, "twin": self.twin}


def insight_of(result: BacktestResult, cut: str | None = None) -> Insight:
    """Explain a run; runs its mechanical twin where the run has any intelligence switched on."""
    signal, _ = signals_of(result)
    campaigns = done(campaigns_of(result))
    return Insight(
        signal=signal,
        campaigns=campaigns,
        groups=groups_of(result, campaigns, signal),
        factors=factors_of(campaigns, signal),
        firings=firings_of(strengths_of(result), campaigns, window_rows(result)),
        exposure=exposure_of(result, signal),
        twin=compare_with_twin(result, cut),
    )


# ---------------------------------------------------------------- in words, for the page

TWIN_ROWS = (
    ("net_profit", "net profit", "usd"),
    ("sharpe", "Sharpe", "number"),
    ("psr", "P(Sharpe > 0)", "share"),
    ("trades", "closed trades", "count"),
    ("effective_trades", "independent results", "number"),
    ("max_drawdown", "deepest drawdown", "usd"),
)


def group_tables(groups: dict[str, list[Group]]) -> list[tuple[str, list[list[Any]]]]:
    """(heading, lines of name, trades, net, mean +- its error, win rate, few) of every grouping."""
    tables = []
    for key, title in GROUPINGS.items():
        lines = []
        for row in groups[key]:
            mean = f"{row.mean:+,.0f}" + (f" ± {row.mean_se:,.0f}" if row.mean_se is not None else "")
            rate = "n/a" if row.win_rate is None else f"{row.win_rate:.0%}"
            lines.append([row.group.replace("_", " "), str(row.trades), f"{row.net:+,.0f}", mean, rate, row.few])
        tables.append((title, lines))
    return tables


def factor_lines(factors: list[Factor]) -> list[list[str]]:
    """Name, winners' mean, losers' mean, difference, |difference| / se, interval."""
    lines = []
    for f in factors:
        means = (f"{f.winners:.4g}", f"{f.losers:.4g}", f"{f.difference:+.3g}")
        lines.append([f.name.replace("_", " "), *means, f"{f.strength:.1f}", f"{f.low:+.3g} to {f.high:+.3g}"])
    return lines


def firing_lines(firings: list[Firing]) -> list[list[str]]:
    """Rule, mean strength in the window, at winners' entries, at losers'."""
    return [[f.rule, *("n/a" if v is None else f"{v:.3f}" for v in (f.window, f.winners, f.losers))] for f in firings]


def twin_tables(twin: dict[str, Any]) -> list[tuple[str, list[tuple[str, str, str]], str]]:
    """(part with its dates, lines of name, full, mechanical, the difference in words) of each part that exists."""
    tables = []
    for key, title in (("in_sample", "In sample"), ("out_of_sample", "Out of sample")):
        part = twin[key]
        if part is not None:
            full, mechanical = part["full"], part["mechanical"]
            lines = [(name, shown(full[k], form), shown(mechanical[k], form)) for k, name, form in TWIN_ROWS]
            tables.append((f"{title}, {part['start']} to {part['end']}", lines, difference_text(part["difference"])))
    return tables


def insight_values(insight: Insight) -> dict[str, Any]:
    """All that the page says of it, but for its figures."""
    shown_days = int(insight.exposure.over_budget.sum())
    unknown = int((~np.isfinite(insight.exposure.delta)).sum())
    return {
        "group_tables": group_tables(insight.groups) if len(insight.campaigns.first) else [],
        "factor_lines": factor_lines(insight.factors),
        "firing_lines": firing_lines(insight.firings),
        "over_budget": shown_days,
        "exposure_unknown": unknown,
        "exposure_days": len(insight.exposure.rows),
        "twin": insight.twin,
        "twin_tables": twin_tables(insight.twin) if insight.twin else [],
    }
