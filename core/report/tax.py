"""What tax would leave, for a US person, in two treatments; a sketch with the user's own rates, and no advice.

Options on SPY are taxed as short-term gains. Broad-based index options (SPX, XSP) fall under section 1256 of the
Internal Revenue Code: 60 % long-term and 40 % short-term, whatever the holding time. A year's loss is carried into the
next years and pays nothing back; state tax, the limit on losses and wash sales are left out, and positions open at a
year's end count in the year in which they close (section 1256 would mark them).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from core.errors import ConfigError
from core.market.calendar import day_text
from core.report.campaigns import Campaigns

if TYPE_CHECKING:
    from backtest_engine import BacktestResult

LONG_SHARE = 0.6  # of a section 1256 gain, IRC 1256(a)(3)


class Taxed(NamedTuple):
    """One treatment of the run's closed trades, $."""

    name: str
    rate: float
    before: float
    tax: float
    after: float


def rates_of(text: str | None) -> tuple[float, float] | None:
    """(short-term, long-term) of '0.37,0.20'; None without."""
    if text is None:
        return None
    try:
        short, long = (float(part) for part in text.split(","))
    except ValueError:
        raise ConfigError(f"--tax is {text!r}; give short- and long-term rates, as 0.37,0.20") from None
    if not (0.0 <= long < 1.0 and 0.0 <= short < 1.0):
        raise ConfigError(f"--tax is {text!r}; rates are from 0 to below 1")
    return short, long


def taxed(result: BacktestResult, campaigns: Campaigns, rates: tuple[float, float]) -> list[Taxed]:
    """Both treatments. campaigns : closed ones; rates : short-term, long-term."""
    short, long = rates
    market = result.market
    years = [day_text(day)[:4] for day in market.ses.day[market.row.session[campaigns.ended]].tolist()]
    by_year: dict[str, float] = {}
    for year, cents in zip(years, campaigns.pnl.tolist(), strict=True):
        by_year[year] = by_year.get(year, 0.0) + cents / 100.0
    before = round(sum(by_year.values()), 2)
    mixed = LONG_SHARE * long + (1.0 - LONG_SHARE) * short
    found = []
    for name, rate in (("SPY options, short-term", short), ("SPX or XSP, section 1256", mixed)):
        tax, carried = 0.0, 0.0
        for year in sorted(by_year):
            gain = by_year[year] + carried
            tax, carried = tax + rate * max(gain, 0.0), min(gain, 0.0)
        found.append(Taxed(name, rate, before, round(tax, 2), round(before - tax, 2)))
    return found


def tax_lines(rows: list[Taxed]) -> list[list[str]]:
    """Treatment, rate, before, tax, after."""
    return [[t.name, f"{t.rate:.1%}", f"{t.before:+,.0f}", f"{t.tax:,.0f}", f"{t.after:+,.0f}"] for t in rows]
