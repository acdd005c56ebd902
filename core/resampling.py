"""Paths drawn from a record of daily P&L: stationary bootstrap, falls from the peak, the chance of ruin.

Random numbers come from the caller. Source: Politis and Romano, "The stationary bootstrap" (1994).
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np


class PathFigures(NamedTuple):
    """One value per path."""

    net: Any  # $, at the end
    drawdown: Any  # $, deepest fall from the running peak, >= 0; the start is the first peak
    drawdown_share: Any  # deepest fall as a share of its peak
    ruined: Any  # bool: equity was at or below the floor at some time


def stationary_indices(starts: Any, breaks: Any, size: int) -> Any:
    """Days that make up each path: int64[paths, length].

    starts : int64[paths, length], days drawn uniformly from 0 to size - 1, used where a block begins
    breaks : bool[paths, length], whether a block begins; a block that runs past the last day goes on with the first
    """
    days = np.empty(starts.shape, np.int64)
    days[:, 0] = starts[:, 0]
    for t in range(1, starts.shape[1]):
        days[:, t] = np.where(breaks[:, t], starts[:, t], (days[:, t - 1] + 1) % size)
    return days


def path_figures(pnl_usd: Any, start_usd: float, floor_usd: float) -> PathFigures:
    """Figures of paths of daily P&L, float64[paths, length], added to the start."""
    equity = start_usd + np.cumsum(pnl_usd, axis=1)
    equity = np.concatenate((np.full((len(equity), 1), start_usd), equity), axis=1)
    peak = np.maximum.accumulate(equity, axis=1)
    fall = peak - equity
    return PathFigures(
        net=equity[:, -1] - start_usd,
        drawdown=fall.max(axis=1),
        drawdown_share=(fall / peak).max(axis=1),
        ruined=(equity <= floor_usd).any(axis=1),
    )


def share_error(share: float, count: int) -> float:
    """Standard error of a share seen in `count` independent draws."""
    return math.sqrt(share * (1.0 - share) / count)


def largest_share(hits: int, count: int, confidence: float = 0.95) -> float:
    """Upper end of a one-sided Clopper-Pearson interval: with no hit in n, 1 - (1 - confidence) ** (1 / n)."""
    from scipy.special import betaincinv

    return 1.0 if hits >= count else float(betaincinv(hits + 1, count - hits, confidence))
