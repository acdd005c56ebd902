"""Combinatorial purged cross-validation: many paths out of sample from one sample.

The sessions are cut into groups; every choice of a few groups is tested once with the rest, purged, as training. Each
group is then out of sample in several splits, and the tests put together make paths, each covering every session.
Source: Lopez de Prado, "Advances in financial machine learning" (2018), chapter 12.
"""

from __future__ import annotations

import math
from itertools import combinations, pairwise
from typing import Any, NamedTuple

import numpy as np

from core.errors import ConfigError
from core.metrics import SESSIONS_PER_YEAR

LEAST_GROUP = 10  # sessions


class CrossValidated(NamedTuple):
    """What choosing in training gave in the tests."""

    sharpe: Any  # float64 (paths), a year
    returns: Any  # float64 (paths, sessions)
    chosen: Any  # int64 (splits), column best in training
    in_sample: Any  # float64 (splits), its Sharpe ratio a year in training
    out_of_sample: Any  # float64 (splits), and in the test
    losing: float  # share of paths that lose


def bounds_of(sessions: int, groups: int) -> list[tuple[int, int]]:
    """[first, one past the last) session of each group."""
    edges = np.linspace(0, sessions, groups + 1).round().astype(int).tolist()
    return list(pairwise(edges))


def splits_of(groups: int, tested: int) -> list[tuple[int, ...]]:
    """The groups tested in each split."""
    return list(combinations(range(groups), tested))


def training_mask(days: Any, tests: list[tuple[int, int]], purge_days: int, embargo_days: int) -> Any:
    """bool (S): sessions that may be trained on beside tests [first, one past the last).

    Out go sessions from which a position could be held into a test, those after one that could hold a position opened
    in it, and after these the embargo.
    """
    days = np.asarray(days, np.int64)
    mask = np.ones(len(days), bool)
    for first, end in tests:
        mask &= (days < days[first] - purge_days) | (days > days[end - 1] + purge_days + embargo_days)
    return mask


def paths_of(splits: list[tuple[int, ...]], groups: int, tested: int) -> Any:
    """int64 (paths, groups): the split that serves each group on each path; every one serves once."""
    count = math.comb(groups - 1, tested - 1)
    served = np.zeros((count, groups), np.int64)
    used = [0] * groups
    for i, split in enumerate(splits):
        for group in split:
            served[used[group], group] = i
            used[group] += 1
    return served


def sharpe_by_column(total: Any, squares: Any, n: int) -> Any:
    """Sharpe ratio a period of columns from their sums; -inf where nothing varies."""
    mean = total / n
    variance = np.maximum(squares - n * mean**2, 0.0) / max(n - 1, 1)
    return np.divide(mean, np.sqrt(variance), out=np.full(len(mean), -np.inf), where=variance > 1e-24)


def yearly(returns: Any) -> float:
    deviation = float(np.std(returns, ddof=1)) if len(returns) > 1 else 0.0
    return float(np.mean(returns)) / deviation * math.sqrt(SESSIONS_PER_YEAR) if deviation > 0.0 else 0.0


def trainings_of(days: Any, groups: int, tested: int, purge_days: int, embargo_days: int) -> list[tuple[Any, Any]]:
    """(sessions [first, one past the last) of each test, bool (S) training) of every split.

    days : int (S) ascending, days since 1970-01-01
    ConfigError where groups are too short, or purging leaves nothing to train on.
    """
    if not 1 <= tested < groups or len(days) // groups < LEAST_GROUP:
        raise ConfigError(
            f"cross-validation of {len(days)} sessions in {groups} groups, {tested} of them tested; give groups of at "
            f"least {LEAST_GROUP} sessions and test fewer than all"
        )
    bounds, found = bounds_of(len(days), groups), []
    for split in splits_of(groups, tested):
        tests = [bounds[group] for group in split]
        train = training_mask(days, tests, purge_days, embargo_days)
        if train.sum() < LEAST_GROUP:
            raise ConfigError(
                f"cross-validation in {groups} groups: purging {purge_days} days leaves {int(train.sum())} sessions to "
                "train on; give fewer groups"
            )
        found.append((tests, train))
    return found


def cross_validated(
    returns: Any, days: Any, groups: int, tested: int, purge_days: int, embargo_days: int
) -> CrossValidated:
    """Choose by Sharpe ratio in every purged training, and put the tests together.

    returns : float64 (sessions, trials), known throughout; days : int (sessions)
    ConfigError as of trainings_of.
    """
    returns = np.asarray(returns, np.float64)
    bounds, splits = bounds_of(len(returns), groups), splits_of(groups, tested)
    chosen, inside, outside = (np.zeros(len(splits)) for _ in range(3))
    for i, (tests, train) in enumerate(trainings_of(days, groups, tested, purge_days, embargo_days)):
        part = returns[train]
        ratios = sharpe_by_column(part.sum(axis=0), (part**2).sum(axis=0), len(part))
        chosen[i] = np.argmax(ratios)
        test = np.concatenate([returns[first:end, int(chosen[i])] for first, end in tests])
        inside[i], outside[i] = yearly(part[:, int(chosen[i])]), yearly(test)
    served = paths_of(splits, groups, tested)
    paths = np.array([
        np.concatenate([returns[first:end, int(chosen[row[g]])] for g, (first, end) in enumerate(bounds)])
        for row in served
    ])  # fmt: skip
    sharpe = np.array([yearly(path) for path in paths])
    return CrossValidated(sharpe, paths, chosen.astype(np.int64), inside, outside, float(np.mean(sharpe < 0.0)))
