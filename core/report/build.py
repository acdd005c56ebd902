"""The report of a run put together once; the page, the printed pages and the terminal show parts of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from core.report.beside import Beside, beside_rows
from core.report.days import BadDay, Causes, causes_over_time, worst_days
from core.report.insight import Insight
from core.report.measure import Measured
from core.report.model import TradeFacts, trade_facts
from core.report.outcomes import Outcomes, outcomes_of
from core.report.tax import Taxed, taxed

if TYPE_CHECKING:
    from backtest_engine import BacktestResult


class Asked(NamedTuple):
    """What a user may add to a report."""

    cut: str | None = None  # first session out of sample
    beside: tuple[str, ...] = ()  # files of indices
    tax: tuple[float, float] | None = None  # short-term and long-term rates


NOTHING_ASKED = Asked()


class Report(NamedTuple):
    """A run and everything that is shown of it."""

    result: BacktestResult
    measured: Measured
    manifest: dict[str, Any]
    insight: Insight
    stress: dict[str, Any]  # what `stress` found, or core.report.stress.small_stress
    asked: Asked
    facts: TradeFacts
    outcomes: Outcomes
    causes: Causes
    worst: list[BadDay]
    beside: list[Beside]
    taxed: list[Taxed]  # empty unless asked for


def report_of(
    result: BacktestResult,
    measured: Measured,
    manifest: dict[str, Any],
    insight: Insight,
    stress: dict[str, Any],
    asked: Asked = NOTHING_ASKED,
) -> Report:
    return Report(
        result,
        measured,
        manifest,
        insight,
        stress,
        asked,
        facts=trade_facts(result),
        outcomes=outcomes_of(result, insight.campaigns),
        causes=causes_over_time(result, measured),
        worst=worst_days(result),
        beside=beside_rows(result, asked.beside),
        taxed=taxed(result, insight.campaigns, asked.tax) if asked.tax is not None else [],
    )
