"""How much of a search's best is luck: deflated Sharpe ratio, probability of overfitting, and a verdict in words.

N counts everything ever tried on the market, runs by hand included. Settings that differ little are no new tries, so N
is brought down to an effective number: as many independent tries as are expected to show the best Sharpe ratio that
these correlated ones exceed by luck in one search of four. Their average best would do for an average search; this
errs on the safe side, for one search is all there is. That best is drawn: the trials' own returns, each session's
multiplied by one normal number for all of them, keep their correlations and lose their means (multiplier bootstrap).
Luck is measured by the error of one estimate, not by how far the trials lie apart: good and bad settings differ by more
than luck, and what they differ by is no luck of the best. From the same figures comes the least record: how many
sessions this Sharpe ratio takes to be above the luck of so many tries, and how many any verdict takes.
Sources: Bailey and Lopez de Prado, "The deflated Sharpe ratio" (2014); Chernozhukov, Chetverikov and Kato, "Gaussian
approximations and multiplier bootstrap for maxima" (2013); Bailey, Borwein, Lopez de Prado and Zhu, "Pseudo-mathematics
and financial charlatanism" (2014) and "The probability of backtest overfitting" (2017).
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from core.metrics import SESSIONS_PER_YEAR, skew_and_kurtosis
from core.overfit import (
    QUANTILE,
    Overfitting,
    deflated_sharpe,
    expected_best_sharpe,
    least_backtest_years,
    least_record,
    overfitting,
)

SURE = 0.95
DRAWS, DRAW_SEED = 400, 1
AT_ONCE = 256  # columns standardised together: as many as the processor's own memory holds
QUARTER = 0.75
MOMENTS, LAGS = 24, 10
MOST_TRIES = 1e12
SPLITS = (16, 14, 12, 10, 8, 6, 4)
MOST_WORK = 3e7  # combinations x columns: about a second
LEAST_SESSIONS = 4  # a block
NO_RECORD = "no record is long enough for this claim"
EVEN = 0.5
VISIBLE = 2.0  # annual Sharpe ratio that a record must be able to show before anything in it is called overfit


class Luck(NamedTuple):
    """What a search's best column is worth once all tries are counted. Sharpe ratios a session; None undefined."""

    sharpe: float | None
    periods: int
    worth: int  # independent ones that they are worth
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
    common: tuple[float, float] | None  # median skew and kurtosis of the trials
    least: float | None  # sessions that this Sharpe ratio takes to be called not overfit; infinite at or below 0
    least_to_judge: float | None  # and below which nothing is called overfit


def moving(returns: Any) -> Any:
    """Indices of columns that are known throughout and vary, each distinct one once, in order."""
    returns = np.asarray(returns, np.float64)
    rows = np.ascontiguousarray(returns.T)
    if not rows.size:
        return np.zeros(0, np.int64)
    high, low = rows.max(axis=1), rows.min(axis=1)  # NaN where any is
    usable = np.nonzero(np.isfinite(high) & np.isfinite(low) & (high > low))[0]
    seen: dict[bytes, int] = {}
    for i in usable.tolist():
        seen.setdefault(rows[i].tobytes(), i)
    return np.array(sorted(seen.values()), np.int64)


def sharpe_ratios(returns: Any) -> Any:
    """Per period, of each column; columns must vary."""
    return returns.mean(axis=0) / returns.std(axis=0, ddof=1)


def lucky_best(returns: Any) -> float:
    """What the largest of the columns' standardised means is under no skill, with their correlations, in three
    searches of four at most (QUARTER); columns vary."""
    draws = np.random.default_rng(DRAW_SEED).standard_normal((DRAWS, len(returns)))
    best = np.full(DRAWS, -np.inf)
    for first in range(0, returns.shape[1], AT_ONCE):
        z = returns[:, first : first + AT_ONCE]
        z = (z - z.mean(axis=0)) / z.std(axis=0)
        np.maximum(best, (draws @ z).max(axis=1), out=best)
    return float(np.quantile(best / math.sqrt(len(returns)), QUARTER))


def independent(best: float) -> float:
    """How many independent tries show that expected best, in standard deviations: the inverse of its formula."""
    low, high = 1.0, 2.0
    while expected_best_sharpe(high, 1.0) < best and high < MOST_TRIES:
        low, high = high, 2.0 * high
    for _ in range(60):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if expected_best_sharpe(middle, 1.0) < best else (low, middle)
    return high


def effective_number(returns: Any, trials: int) -> float:
    """Independent tries that `trials` ones amount to, of which float64[T, N] columns are known: at least 1.

    Tries whose returns are not known (by hand, in earlier searches) are taken to be as alike as the known ones: where N
    of them amount to N to the power of a, so do all.
    """
    columns = returns[:, moving(returns)]
    return effective_of(columns, trials)


def effective_of(columns: Any, trials: int) -> float:
    """effective_number of columns that are distinct and vary."""
    n = columns.shape[1]
    if n < 2:
        return float(max(trials, 1))
    alike = math.log(max(independent(lucky_best(columns)), 1.0)) / math.log(n)
    return float(max(trials, n) ** min(alike, 1.0))


def splits_for(periods: int, columns: int) -> int | None:
    """Blocks for CSCV: 16 where they are long enough and the work is bearable, else fewer; None for too few."""
    for splits in SPLITS:
        if periods // splits >= LEAST_SESSIONS and math.comb(splits, splits // 2) * columns <= MOST_WORK:
            return splits
    return None


def luck_of(returns: Any, best: int, trials: int, all_known: bool = True) -> Luck:
    """What column `best` of float64[T, N] returns in excess of cash is worth after `trials` tries.

    all_known : False where the columns were chosen by their results; halves of the sample cannot be tested by such.
    """
    returns = np.asarray(returns, np.float64)
    trials, periods = max(trials, returns.shape[1]), len(returns)
    kept = moving(returns)
    own = returns[:, best]
    columns = returns[:, kept]
    tested, splits = None, splits_for(periods, len(kept)) if len(kept) > 1 and all_known else None
    if splits is not None:
        tested = overfitting(columns, splits)
    effective = effective_of(columns, trials)
    common = common_moments(columns)
    moments = adverse_moments(common, own)
    sharpe = spread = by_luck = deflated = least = to_judge = None
    worth = periods
    if moments is not None and periods > 2:
        sharpe = float(own.mean() / own.std(ddof=1))
        worth = independent_periods(own)
        spread = spread_of(sharpe, worth, *moments)
        by_luck = expected_best_sharpe(effective, spread**2)
        deflated = deflated_sharpe(sharpe, worth, *moments, effective, spread**2)
        least = least_for_claim(sharpe, *moments, effective) * periods / worth
        to_judge = least_to_judge(*moments, effective) * periods / worth
    verdict, words = judged(sharpe, by_luck, deflated, tested)
    if deflated is not None and least is not None and to_judge is not None:
        verdict, words = with_record(verdict, words, periods, least, to_judge)
    return Luck(
        sharpe, periods, worth, trials, effective, spread, by_luck, deflated, tested.pbo if tested else None,
        tested.loss if tested else None, tested, splits, verdict, words, common, least, to_judge,
    )  # fmt: skip


def least_for_claim(sharpe: float, skew: float, kurtosis: float, effective: float) -> float:
    """Independent periods from which on this Sharpe ratio a period deflates to SURE or more; infinite at or below 0.

    The minimum track record length against the best of so many tries: what luck shows falls as the record grows, in the
    proportion in which the error of the estimate does, so both stand in one square.
    """
    once = least_record(sharpe, skew, kurtosis, 0.0, SURE)
    return 1.0 + (once - 1.0) * (1.0 + expected_best_sharpe(effective, 1.0) / QUANTILE(SURE)) ** 2


def least_to_judge(skew: float, kurtosis: float, effective: float) -> float:
    """Independent periods below which no result is called overfit, for skill could not have been seen in them.

    The longer of two records for a true Sharpe ratio of VISIBLE a year: the one that tells it from none, tried once
    (minimum track record length), and the one in which luck is no longer expected to show as much (minimum backtest
    length of so many tries).
    """
    once = least_record(VISIBLE / math.sqrt(SESSIONS_PER_YEAR), skew, kurtosis, 0.0, SURE)
    return max(once, SESSIONS_PER_YEAR * least_backtest_years(effective, VISIBLE))


def with_record(verdict: str, words: str, periods: int, least: float, to_judge: float) -> tuple[str, str]:
    """The verdict with the length of the record beside it; undecided where that is too short to call it overfit."""
    claim = f"least record for this claim {math.ceil(least):,}" if math.isfinite(least) else NO_RECORD
    words = f"{words}; {periods:,} sessions, {claim}"
    if verdict == "overfit" and periods < to_judge:
        return "undecided", (
            f"{words}; too short to judge: a true Sharpe ratio of {VISIBLE:g} a year takes {math.ceil(to_judge):,} "
            "sessions to be told from luck"
        )
    return verdict, words


def common_moments(columns: Any) -> tuple[float, float] | None:
    """Median (skew, raw kurtosis) of some of the columns, evenly chosen; None where none varies."""
    few = columns[:, np.unique(np.linspace(0, columns.shape[1] - 1, MOMENTS).astype(int))] if columns.size else columns
    found = [pair for pair in (skew_and_kurtosis(column) for column in few.T) if pair is not None]
    if not found:
        return None
    skew, kurtosis = np.median(found, axis=0)
    return float(skew), float(kurtosis)


def adverse_moments(common: tuple[float, float] | None, own: Any) -> tuple[float, float] | None:
    """(skew, raw kurtosis) of a column, or the trials' common ones where those are worse; None where it does not vary.

    The winner's own are flattered by what did not happen to it.
    """
    if not np.isfinite(own).all() or not np.ptp(own) > 0.0:
        return None
    mine = skew_and_kurtosis(own)
    if mine is None or common is None:
        return mine
    return min(mine[0], common[0]), max(mine[1], common[1])


def independent_periods(own: Any) -> int:
    """Periods that as many dependent ones are worth for a mean: fewer where returns follow each other (Newey-West)."""
    centred = own - own.mean()
    n, lags = len(own), min(LAGS, len(own) - 2)
    total = float(centred @ centred)
    factor = 1.0
    for lag in range(1, lags + 1):
        factor += 2.0 * (1.0 - lag / (lags + 1)) * float(centred[lag:] @ centred[:-lag]) / total
    return max(3, int(n / max(factor, 1.0)))


def spread_of(sharpe: float, periods: int, skew: float, kurtosis: float) -> float:
    """Standard deviation of the Sharpe ratios that tries without skill show: the error of one estimate.

    The spread across trials, which the deflated ratio was first given, is the error and what the settings differ by:
    losers far below, or a cluster of good ones above, would pass for luck of the best. Without any skill all true
    ratios are 0 at most and the error is all there is; how alike the trials are is in their effective number.
    """
    return math.sqrt(max(1.0 - skew * sharpe + 0.25 * (kurtosis - 1.0) * sharpe**2, 0.0) / (periods - 1))


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
        f"annual Sharpe {sharpe * year:.2f}; luck alone shows {by_luck * year:.2f} or more as the best of so many "
        "tries in one search of four"
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
