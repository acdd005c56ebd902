"""How much of a result is luck: deflated Sharpe ratios, length of record needed, probability of overfitting.

Sharpe ratios are per period (a day), never annualised; kurtosis is raw (3 for the normal law). N counts every trial
ever made on the data, those thrown away included.
Sources: Bailey and Lopez de Prado, "The Sharpe ratio efficient frontier" (2012) and "The deflated Sharpe ratio"
(2014); Bailey, Borwein, Lopez de Prado and Zhu, "Pseudo-mathematics and financial charlatanism" (2014) and "The
probability of backtest overfitting" (2017); Politis and Romano, "The stationary bootstrap" (1994).
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations, pairwise
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np

from core.errors import DataError
from core.jit import TOP, njit
from core.metrics import psr_from_moments

EULER = 0.5772156649015329
QUANTILE = NormalDist().inv_cdf  # of the normal law; scipy's would take a fifth of a second to load


def expected_best_sharpe(trials: float, variance: float) -> float:
    """Expected largest Sharpe ratio per period of `trials` (>= 1) skill-less ones whose ratios have that variance."""
    if trials <= 1.0:
        return 0.0
    high, higher = -QUANTILE(1.0 / trials), -QUANTILE(1.0 / (trials * math.e))
    return math.sqrt(variance) * ((1.0 - EULER) * high + EULER * higher)


def deflated_sharpe(
    sharpe: float, periods: int, skew: float, kurtosis: float, trials: float, variance: float
) -> float | None:
    """Probability that the true Sharpe ratio beats the best that luck gives in `trials`; None where undefined."""
    return psr_from_moments(sharpe, periods, skew, kurtosis, expected_best_sharpe(trials, variance))


def least_record(sharpe: float, skew: float, kurtosis: float, benchmark: float, confidence: float) -> float:
    """Periods needed for PSR(benchmark) >= confidence (minimum track record length); infinite at or below it."""
    if sharpe <= benchmark:
        return math.inf
    width = 1.0 - skew * sharpe + 0.25 * (kurtosis - 1.0) * sharpe * sharpe
    return 1.0 + width * (QUANTILE(confidence) / (sharpe - benchmark)) ** 2


def least_backtest_years(trials: float, best_annual_sharpe: float) -> float:
    """Years below which the best of `trials` skill-less strategies is expected to show that annual Sharpe ratio."""
    if best_annual_sharpe <= 0.0:
        return math.inf
    return (expected_best_sharpe(trials, 1.0) / best_annual_sharpe) ** 2


class Overfitting(NamedTuple):
    """Combinatorially symmetric cross-validation of T x N returns; one entry a combination in the arrays."""

    pbo: float  # share of combinations whose in-sample best is in the worse half out of sample
    mean_logit: float
    combinations: int
    logits: Any  # float64[c]
    in_sample: Any  # float64[c], Sharpe ratio per period of the best in sample
    out_of_sample: Any  # float64[c], the same strategy's out of sample
    loss: float  # share of combinations in which it is below 0


def overfitting(returns: Any, splits: int) -> Overfitting:
    """Probability of backtest overfitting by CSCV.

    returns : float64[T, N], a column a strategy, all on the same periods; the first T mod splits rows are left out
    splits  : even number of blocks; half of them train, in every combination (16 give 12,870)
    Performance is mean over deviation (ddof 1) per period; a column without deviation ranks last (its ratio is -inf).
    Ranks of ties are averaged. DataError for a NaN, fewer than 2 columns, or blocks shorter than 2 periods.
    """
    returns = np.asarray(returns, np.float64)
    if returns.ndim != 2 or returns.shape[1] < 2 or splits < 2 or splits % 2:
        raise DataError(f"CSCV needs a matrix of 2 or more columns and an even number of blocks, not {splits}")
    size = len(returns) // splits
    if size < 2 or not np.all(np.isfinite(returns)):
        raise DataError(f"CSCV needs {2 * splits} periods or more, none missing; there are {len(returns)}")
    blocks = returns[len(returns) - size * splits :].reshape(splits, size, -1)
    # The mean is taken off first: sums of squares about 0 would lose the digits that tell strategies apart.
    centre = blocks.mean(axis=(0, 1))
    sums, squares = np.empty((2, splits, blocks.shape[2]))
    for s, block in enumerate(blocks):
        moved = block - centre
        sums[s], squares[s] = moved.sum(axis=0), (moved**2).sum(axis=0)
    chosen = np.array(list(combinations(range(splits), splits // 2)), np.int64)
    out = np.empty((3, len(chosen)))
    half, threads = len(chosen) // 2, os.cpu_count() or 1
    bounds = [half * i // threads for i in range(threads + 1)]
    with ThreadPoolExecutor(threads) as pool:  # the kernel holds no lock
        parts = [
            pool.submit(cscv_rows, sums, squares, centre, size, chosen, first, end, out)
            for first, end in pairwise(bounds)
        ]
    for part in parts:
        part.result()
    logits, inside, outside = out
    return Overfitting(
        float(np.mean(logits <= 0.0)), float(logits.mean()), len(chosen), logits, inside, outside,
        float(np.mean(outside < 0.0)),
    )  # fmt: skip


@njit(nogil=True, **TOP)
def cscv_rows(sums, squares, centre, size, chosen, first, end, out):
    """Fill out[0] logits, out[1] in-sample and out[2] out-of-sample ratios of the best, per combination of blocks.

    Those of [first, end) of the first half of the combinations, and their opposites.

    sums, squares : float64[S, N] by block, of returns less centre, float64[N]; size : periods a block
    chosen        : int64[c, S/2], the blocks that train, in lexicographic order: what one trains on, the one as far
                    from the other end is tested on, so both are judged at once
    """
    splits, n = sums.shape
    half, last = chosen.shape[1], chosen.shape[0] - 1
    periods = float(half * size)
    total, total_square = np.zeros(n), np.zeros(n)
    for s in range(splits):
        for j in range(n):
            total[j] += sums[s, j]
        for j in range(n):
            total_square[j] += squares[s, j]
    train, train_square, test = np.empty(n), np.empty(n), np.empty(n)
    for c in range(first, end):
        for j in range(n):
            train[j] = 0.0
        for j in range(n):
            train_square[j] = 0.0
        for b in range(half):
            s = chosen[c, b]
            for j in range(n):
                train[j] += sums[s, j]
            for j in range(n):
                train_square[j] += squares[s, j]
        for j in range(n):
            test[j] = _ratio(total[j] - train[j], total_square[j] - train_square[j], centre[j], periods)
        for j in range(n):
            train[j] = _ratio(train[j], train_square[j], centre[j], periods)
        _judge(train, test, out[:, c])
        _judge(test, train, out[:, last - c])


@njit
def _judge(train, test, out):
    """(logit, in-sample and out-of-sample ratio) of the best in training into out, by the ratios of all columns."""
    n = train.shape[0]
    best = 0
    for j in range(n):
        if train[j] > train[best]:
            best = j
    below, same, own = 0, 0, test[best]
    for j in range(n):
        below += test[j] < own
    for j in range(n):
        same += test[j] == own
    share = (below + 0.5 * (same + 1.0)) / (n + 1.0)
    out[0] = math.log(share / (1.0 - share))
    out[1], out[2] = train[best], own


@njit
def _ratio(total, square, centre, periods):
    """Mean over deviation from sums about `centre`; -inf without deviation."""
    mean = total / periods
    variance = (square - periods * mean * mean) / (periods - 1.0)
    return (centre + mean) / math.sqrt(variance) if variance > 1e-24 else -math.inf


def effective_trials(returns: Any) -> float:
    """How many independent trials N correlated ones amount to: the participation ratio of their correlation matrix.

    (sum of eigenvalues)^2 / sum of squared eigenvalues of the correlations of float64[T, N]; between 1 and N. It counts
    directions of variation, so it errs low where a few clusters dwarf many small ones. Columns without variation are
    left out; NaN counts nowhere: DataError.
    """
    returns = np.asarray(returns, np.float64)
    if not np.all(np.isfinite(returns)):
        raise DataError("trial returns hold unknown values; give the periods that all trials share")
    moving = returns[:, returns.std(axis=0) > 0.0]
    if moving.shape[1] < 2:
        return float(moving.shape[1])
    correlation = np.corrcoef(moving, rowvar=False)
    return float(moving.shape[1] ** 2 / (correlation**2).sum())


def bootstrap_interval(
    statistic: Callable[[Any], float], returns: Any, confidence: float, samples: int, rng: np.random.Generator
) -> tuple[float, float]:
    """(low, high) of a statistic of a return series by the stationary block bootstrap, percentile method.

    Blocks have the mean length that Politis and White (2004) find best for the series, to a whole period.
    """
    from arch.bootstrap import StationaryBootstrap, optimal_block_length

    returns = np.asarray(returns, np.float64)
    length = max(round(float(optimal_block_length(returns)["stationary"].iloc[0])), 1)
    drawn = StationaryBootstrap(length, returns, seed=rng)
    found = [statistic(sample[0][0]) for sample in drawn.bootstrap(samples)]
    tail = 50.0 * (1.0 - confidence)
    low, high = np.percentile(found, [tail, 100.0 - tail])
    return float(low), float(high)
