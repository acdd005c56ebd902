"""Heat maps: the objective by the levels of two settings."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from core.search.robustness import Levels, codes

MOST_CELLS = 12  # on an axis


class HeatMap(NamedTuple):
    """Mean and best objective by the levels of two settings; NaN where no trial counts."""

    rows: list[Any]  # labels
    columns: list[Any]
    mean: Any  # float64 (rows, columns)
    best: Any
    row: Any  # int64 (n): where each trial went
    column: Any


def axis_of(values: Sequence[Any]) -> tuple[list[Any], Any]:
    """(labels, int64 (n) place of each trial) on an axis.

    Levels stand for themselves; more numbers than MOST_CELLS are joined to bins of about as many trials each, called by
    their lowest and highest level.
    """
    code, ordered = codes({"": values})
    place, numbers = code[:, 0], bool(ordered[0])
    levels = sorted(set(values)) if numbers else sorted(set(values), key=str)
    if not numbers or len(levels) <= MOST_CELLS:
        return levels, place
    count = np.bincount(place)
    middle = np.cumsum(count) - 0.5 * count  # trials below the middle of each level
    _, bin_of = np.unique((middle * MOST_CELLS / len(values)).astype(int), return_inverse=True)
    first = np.searchsorted(bin_of, np.arange(bin_of[-1] + 2))
    return [label(levels[a], levels[b - 1]) for a, b in pairwise(first.tolist())], bin_of[place]


def label(low: float, high: float) -> str:
    """A bin by its range."""
    return f"{low:.4g}" if low == high else f"{low:.4g} to {high:.4g}"


def heat_map(levels: Levels, objective: Any, a: str, b: str) -> HeatMap:
    """The objective by setting a, up, and b, across."""
    objective = np.asarray(objective, np.float64)
    (rows, row), (columns, column) = axis_of(levels[a]), axis_of(levels[b])
    shape, known = (len(rows), len(columns)), np.isfinite(objective)
    cell, values = (row * len(columns) + column)[known], objective[known]
    count = np.bincount(cell, minlength=shape[0] * shape[1]).reshape(shape)
    total = np.bincount(cell, values, shape[0] * shape[1]).reshape(shape)
    best = np.full(shape[0] * shape[1], -np.inf)
    np.maximum.at(best, cell, values)
    mean = np.divide(total, count, out=np.full(shape, np.nan), where=count > 0)
    return HeatMap(rows, columns, mean, np.where(count > 0, best.reshape(shape), np.nan), row, column)
