"""What winners and losers looked like when they were entered: means of every signal, and what each fuzzy rule fired."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from core.report.campaigns import Campaigns
from core.report.known import Strengths
from core.types import SIGNALS

if TYPE_CHECKING:
    from backtest_engine import BacktestResult

CONFIDENCE = 0.95
CATEGORIES = ("regime",)  # signals whose numbers are names


class Factor(NamedTuple):
    """One signal at entry; low to high is the 95 % interval of the difference, spread its deviation over entries."""

    name: str
    winners: float
    losers: float
    difference: float
    low: float
    high: float
    strength: float  # |difference| / its standard error
    spread: float


def welch(a: Any, b: Any) -> tuple[float, float, float] | None:
    """(mean of a less mean of b, its standard error, half width of its 95 % interval); None where undefined.

    Unequal variances, Satterthwaite's degrees of freedom (Welch, Biometrika 1947). Values are taken as independent.
    """
    from scipy.special import stdtrit

    if len(a) < 2 or len(b) < 2:
        return None
    share_a, share_b = float(a.var(ddof=1)) / len(a), float(b.var(ddof=1)) / len(b)
    variance = share_a + share_b
    largest = max(float(np.abs(a).max()), float(np.abs(b).max()))
    if not variance > (1e-12 * largest) ** 2:  # equal values leave a rounding residue
        return None
    freedom = variance**2 / (share_a**2 / (len(a) - 1) + share_b**2 / (len(b) - 1))
    error = math.sqrt(variance)
    return float(a.mean() - b.mean()), error, error * float(stdtrit(freedom, 0.5 + CONFIDENCE / 2))


def factors_of(campaigns: Campaigns, signal: Any) -> list[Factor]:
    """Signals at the rows that decided the entries of closed campaigns, the clearest difference first.

    Left out: a signal known at fewer than two winners or losers, or that never varies.
    """
    won, lost = campaigns.pnl > 0, campaigns.pnl < 0
    found = []
    for name, column in zip(SIGNALS, signal, strict=True):
        values = column[campaigns.decided]
        known = np.isfinite(values)
        a, b = values[won & known], values[lost & known]
        tested = None if name in CATEGORIES else welch(a, b)
        if tested is not None:
            difference, error, half = tested
            spread = float(np.concatenate((a, b)).std(ddof=1))
            strength = abs(difference) / error
            ends = (difference - half, difference + half)
            found.append(Factor(name, float(a.mean()), float(b.mean()), difference, *ends, strength, spread))
    return sorted(found, key=lambda factor: -factor.strength)


class Firing(NamedTuple):
    """Mean strength of a fuzzy rule over the bars of the entry window, and at entries; None where there are none."""

    rule: str
    window: float | None
    winners: float | None
    losers: float | None


def window_rows(result: BacktestResult) -> Any:
    """Rows of the run inside the entry window, on weekdays traded."""
    rows = np.arange(result.first_row, result.last_row)
    row, ses, rules = result.market.row, result.market.ses, result.rules
    minute = row.minute[rows]
    weekday = (ses.day[row.session[rows]].astype(np.int64) + 3) % 7
    allowed = (rules.weekday_mask >> weekday) & 1 == 1
    return rows[(minute >= rules.window_start) & (minute <= rules.window_end) & allowed]


def firings_of(strengths: Strengths, campaigns: Campaigns, window: Any) -> list[Firing]:
    """Every rule, in the order of the rule book."""
    sets = (window, campaigns.decided[campaigns.pnl > 0], campaigns.decided[campaigns.pnl < 0])
    means = [strengths.strength[:, rows].mean(1).tolist() if len(rows) else None for rows in sets]
    return [
        Firing(text, *(None if column is None else column[i] for column in means))
        for i, text in enumerate(strengths.texts)
    ]
