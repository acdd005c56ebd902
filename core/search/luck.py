"""How much of a search's best is luck: deflated Sharpe ratio, probability of overfitting, and a verdict in words.

N counts everything ever tried on the market, runs by hand included. Settings that differ little are no new tries, so N
is clustered: to the number of groups of trials whose returns move together, or to the directions in which all of them
vary, whichever is more. The best of N tries without skill is measured with the spread of the trials' own Sharpe ratios,
but never with less than the error of a single estimate: trials that are nearly one and the same share their luck.
Sources: Bailey and Lopez de Prado, "The deflated Sharpe ratio" (2014); Lopez de Prado and Lewis, "Detection of false
investment strategies using unsupervised learning methods" (2019); Bailey, Borwein, Lopez de Prado and Zhu, "The
probability of backtest overfitting" (2017).
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from core.metrics import SESSIONS_PER_YEAR, skew_and_kurtosis
from core.overfit import Overfitting, deflated_sharpe, expected_best_sharpe, overfitting

SURE = 0.95
ALIKE = 0.5  # correlation from which two trials count as one group
MOST_CLUSTERED = 1000  # columns; of more an even choice is grouped, and the share of groups carried over
SPLITS = (16, 14, 12, 10, 8, 6, 4)
MOST_WORK = 3e7  # combinations x columns: about a second
LEAST_SESSIONS = 4  # a block
EVEN = 0.5


class Luck(NamedTuple):
    """What a search's best column is worth once all tries are counted. Sharpe ratios a session; None undefined."""

    sharpe: float | None
    periods: int
    trials: int  # tried on this market, at least the columns
    effective: float  # of those, clustered
    spread: float | None  # standard deviation of Sharpe ratios that tries without skill have
    by_luck: float | None  # Sharpe ratio that the best of them would show
    deflated: float | None  # probability that the true one is above that
    pbo: float | None
    loss: float | None  # share of combinations in which the best in sample loses out of sample
    overfitting: Overfitting | None
    splits: int | None
    verdict: str  # overfit, not overfit, undecided
    words: str


def moving(returns: Any) -> Any:
    """Indices of columns that are known throughout and vary, each distinct one once, in order."""
    returns = np.asarray(returns, np.float64)
    usable = np.nonzero(np.isfinite(returns).all(axis=0) & (np.ptp(returns, axis=0) > 0.0))[0]
    seen: dict[bytes, int] = {}
    for i in usable.tolist():
        seen.setdefault(np.ascontiguousarray(returns[:, i]).tobytes(), i)
    return np.array(sorted(seen.values()), np.int64)


def sharpe_ratios(returns: Any) -> Any:
    """Per period, of each column; columns must vary."""
    return returns.mean(axis=0) / returns.std(axis=0, ddof=1)


def directions(returns: Any) -> float:
    """Participation ratio of the columns' correlations (core.overfit.effective_trials) without their N x N matrix."""
    z = (returns - returns.mean(axis=0)) / returns.std(axis=0)
    gram = z @ z.T / len(z)
    return float(returns.shape[1] ** 2 / (gram * gram).sum())


def groups(returns: Any) -> float:
    """Groups of columns by average linkage, joined while their mean correlation is at least ALIKE."""
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import squareform

    n = returns.shape[1]
    chosen = returns if n <= MOST_CLUSTERED else returns[:, np.linspace(0, n - 1, MOST_CLUSTERED).astype(int)]
    apart = np.clip(1.0 - np.corrcoef(chosen, rowvar=False), 0.0, 2.0)
    np.fill_diagonal(apart, 0.0)
    labels = fcluster(linkage(squareform(apart, checks=False), "average"), 1.0 - ALIKE, "distance")
    return float(labels.max()) * n / chosen.shape[1]


def effective_number(returns: Any, trials: int) -> float:
    """Independent tries that `trials` ones amount to, of which float64[T, N] columns are known: at least 1.

    Tries whose returns are not known (by hand, in earlier searches) are taken to be as alike as the known ones, but
    add logarithmically: a market tried ten times as often has not been tried ten times as independently.
    """
    columns = returns[:, moving(returns)]
    n = columns.shape[1]
    if n < 2:
        return max(1.0, 1.0 + math.log(max(trials, 1)))
    known = max(directions(columns), groups(columns), 1.0)
    return known * (1.0 + math.log(max(trials / returns.shape[1], 1.0)))


def splits_for(periods: int, columns: int) -> int | None:
    """Blocks for CSCV: 16 where they are long enough and the work is bearable, else fewer; None for too few."""
    for splits in SPLITS:
        if periods // splits >= LEAST_SESSIONS and math.comb(splits, splits // 2) * columns <= MOST_WORK:
            return splits
    return None


def luck_of(returns: Any, best: int, trials: int) -> Luck:
    """What column `best` of float64[T, N] returns in excess of cash is worth after `trials` tries."""
    returns = np.asarray(returns, np.float64)
    trials, periods = max(trials, returns.shape[1]), len(returns)
    effective, kept = effective_number(returns, trials), moving(returns)
    own = returns[:, best]
    moments = skew_and_kurtosis(own) if np.isfinite(own).all() and np.ptp(own) > 0.0 else None
    sharpe = spread = by_luck = deflated = None
    if moments is not None and periods > 2:
        sharpe = float(own.mean() / own.std(ddof=1))
        spread = spread_of(returns[:, kept], sharpe, periods, *moments)
        by_luck = expected_best_sharpe(effective, spread**2)
        deflated = deflated_sharpe(sharpe, periods, *moments, effective, spread**2)
    tested, splits = None, splits_for(periods, len(kept)) if len(kept) > 1 else None
    if splits is not None:
        tested = overfitting(returns[:, kept], splits)
    verdict, words = judged(sharpe, by_luck, deflated, tested)
    return Luck(
        sharpe, periods, trials, effective, spread, by_luck, deflated, tested.pbo if tested else None,
        tested.loss if tested else None, tested, splits, verdict, words,
    )  # fmt: skip


def spread_of(columns: Any, sharpe: float, periods: int, skew: float, kurtosis: float) -> float:
    """Standard deviation of the Sharpe ratios of tries without skill: the trials' own, or the error of one estimate."""
    error = math.sqrt(max(1.0 - skew * sharpe + 0.25 * (kurtosis - 1.0) * sharpe**2, 0.0) / (periods - 1))
    across = float(sharpe_ratios(columns).std(ddof=1)) if columns.shape[1] > 1 else 0.0
    return max(error, across)


def judged(
    sharpe: float | None, by_luck: float | None, deflated: float | None, tested: Overfitting | None
) -> tuple[str, str]:
    """(verdict, why in words)."""
    if sharpe is None or by_luck is None or deflated is None:
        return (
            "undecided",
            "the best trial's returns do not vary, or a trial lost everything: there is nothing to judge",
        )
    year = math.sqrt(SESSIONS_PER_YEAR)
    seen = (
        f"annual Sharpe {sharpe * year:.2f}, and {by_luck * year:.2f} is what the best of so many tries shows by luck"
    )
    if deflated < SURE:
        return "overfit", f"{seen}: the chance that it is better is {deflated:.0%}, less than {SURE:.0%}"
    if tested is not None and tested.pbo > EVEN and tested.loss > EVEN:
        return (
            "overfit",
            f"{seen}, but the best in one half of the sample loses in the other {tested.loss:.0%} of the time",
        )
    which = ""
    if tested is not None and tested.pbo > EVEN:
        which = f"; which of the settings is best is luck all the same (PBO {tested.pbo:.0%})"
    return "not overfit", f"{seen}: the chance that it is better is {deflated:.0%}{which}"
