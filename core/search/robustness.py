"""Whether good settings have good neighbours: the best plateau, and which settings matter.

A neighbour differs by one step of one setting: the next level of a number, any other value of a choice. Where trials
were drawn and so have no such neighbours, the nearest few by rank take their place. Nothing here depends on the order
of the trials, nor on what the values of a choice are called.
Source of the shares of variance: functional ANOVA, Sobol, "Sensitivity estimates for nonlinear models" (1993).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple

import numpy as np

NEAREST = 6
BINS = 8
Levels = Mapping[str, Sequence[Any]]


class Ground(NamedTuple):
    """Trials by their levels, and who is whose neighbour: worked out once for all that is asked about them."""

    levels: Levels
    code: Any  # int64 (n, p): place of each trial's level
    ordered: Any  # bool (p)
    steps: list[tuple[int, Any, Any]]  # setting, trials, neighbours one step away: a tuple for each way
    near: list[tuple[int, Any, Any]]  # and the nearest of trials without any (setting -1)
    whole: Any  # bool (n): whether all neighbours of a trial are among the trials
    part: bool = False  # some of the trials only: what the worst of all is, and how far they spread, is unknown

    def at(self, places: Any) -> Ground:
        """Some of the trials, by place; those that miss a neighbour are not whole."""
        where = np.full(len(self.code), -1)
        where[places] = np.arange(len(places))
        whole = self.whole[places]
        for _, mine, other in (*self.steps, *self.near):
            whole[where[mine[(where[mine] >= 0) & (where[other] < 0)]]] = False
        levels = {name: [values[i] for i in places] for name, values in self.levels.items()}
        steps, near = ([among(where, *ways) for ways in found] for found in (self.steps, self.near))
        return Ground(levels, self.code[places], self.ordered, steps, near, whole, True)


def among(where: Any, setting: int, mine: Any, other: Any) -> tuple[int, Any, Any]:
    """Pairs by their new places, where both have one."""
    both = (where[mine] >= 0) & (where[other] >= 0)
    return setting, where[mine[both]], where[other[both]]


def ground_of(levels: Levels | Ground) -> Ground:
    if isinstance(levels, Ground):
        return levels
    code, ordered = codes(levels)
    found = steps_of(code, ordered)
    return Ground(levels, code, ordered, found, nearest(code, ordered, found), np.ones(len(code), bool))


def is_number(values: Sequence[Any]) -> bool:
    return all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)


def codes(levels: Levels) -> tuple[Any, Any]:
    """(int64 (n, p) place of each trial's level, bool (p) whether the levels have an order)."""
    columns, ordered = [], []
    for values in levels.values():
        distinct = list(dict.fromkeys(values))
        numbers = is_number(distinct)
        distinct = sorted(distinct) if numbers else sorted(distinct, key=str)
        places = {value: i for i, value in enumerate(distinct)}
        columns.append([places[value] for value in values])
        ordered.append(numbers)
    return np.array(columns, np.int64).T.reshape(-1, len(columns)), np.array(ordered)


def steps_of(code: Any, ordered: Any) -> list[tuple[int, Any, Any]]:
    """(setting, trials, neighbours) for each way to take one step: parallel arrays of indices."""
    n, p = code.shape
    if n == 0 or p == 0:
        return []
    size = code.max(axis=0) + 1
    weight = np.concatenate(([1], np.cumprod(size[:-1].astype(object)))).tolist()
    key = (
        sum(code[:, j].astype(object) * weight[j] for j in range(p))
        if np.prod(size.astype(float)) > 2**62
        else (code @ np.array(weight, np.int64))
    )
    order = np.argsort(key, kind="stable")
    ranked, found = key[order], []
    for j in range(p):
        ways = (-1, 1) if ordered[j] else [d for d in range(1 - int(size[j]), int(size[j])) if d]
        for way in ways:
            target = code[:, j] + way
            inside = np.nonzero((target >= 0) & (target < size[j]))[0]
            wanted = key[inside] + way * weight[j]
            place = np.minimum(np.searchsorted(ranked, wanted), n - 1)
            tried = ranked[place] == wanted
            if tried.any():
                found.append((j, inside[tried], order[place[tried]]))
    return found


def located(code: Any, ordered: Any) -> Any:
    """float64 (n, d): numbers by rank from 0 to 1; choices so that any two values are 1 apart."""
    parts = []
    for j in range(code.shape[1]):
        column, most = code[:, j : j + 1], int(code[:, j].max())
        parts.append(column / max(most, 1) if ordered[j] else (column == np.arange(most + 1)) / math.sqrt(2.0))
    return np.concatenate(parts, axis=1)


def nearest(code: Any, ordered: Any, found: list[tuple[int, Any, Any]]) -> list[tuple[int, Any, Any]]:
    """The nearest few, and whatever is as near, of trials without a neighbour among `found`."""
    alone = np.ones(len(code), bool)
    for _, mine, _ in found:
        alone[mine] = False
    if not alone.any() or len(code) <= NEAREST:
        return []
    from scipy.spatial import cKDTree

    points = located(code, ordered)
    tree = cKDTree(points)
    reach = tree.query(points[alone], NEAREST + 1)[0][:, -1]
    near = tree.query_ball_point(points[alone], reach * (1.0 + 1e-9))
    mine = np.repeat(np.nonzero(alone)[0], [len(others) for others in near])
    other = np.fromiter(chain.from_iterable(near), np.int64, len(mine))
    return [(-1, mine[mine != other], other[mine != other])]


def steps(levels: Levels | Ground) -> list[tuple[int, Any, Any]]:
    """(setting, trials, neighbours one step away)."""
    return ground_of(levels).steps


def neighbours(ground: Ground, trials: Any) -> Any:
    """int64: places of all neighbours of some trials, ascending."""
    asked = np.zeros(len(ground.code), bool)
    asked[trials] = True
    found = [other[asked[mine]] for _, mine, other in (*ground.steps, *ground.near)]
    return np.unique(np.concatenate(found)) if found else np.zeros(0, np.int64)


def worst_of(ground: Ground, objective: Any) -> float:
    """What a neighbour that does not count is taken for: the worst trial; NaN where none counts.

    Beside some of the trials only, it is taken for worse than any: it leaves nothing of a gain.
    """
    if ground.part:
        return -math.inf
    return float(np.nanmin(objective)) if np.isfinite(objective).any() else math.nan


def spread_of(objective: Any) -> float:
    """Standard deviation of the trials that count; 0 without any."""
    known = objective[np.isfinite(objective)]
    return float(np.sort(known).std()) if len(known) else 0.0  # sorted: the same digits in any order of trials


def around(levels: Levels | Ground, objective: Any) -> tuple[Any, Any]:
    """(trials, objective of a neighbour) for every pair, ascending; see worst_of for those that do not count."""
    ground = ground_of(levels)
    found = [*ground.steps, *ground.near]
    if not found:
        return np.zeros(0, np.int64), np.zeros(0)
    mine, other = (np.concatenate([pair[k] for pair in found]) for k in (1, 2))
    return ascending(mine, np.where(np.isfinite(objective[other]), objective[other], worst_of(ground, objective)))


def ascending(trial: Any, value: Any) -> tuple[Any, Any]:
    """Both, by trial and then by value: sums over a trial's values have the same digits in any order of trials."""
    order = np.lexsort((value, trial))
    return trial[order], value[order]


def with_own(levels: Levels | Ground, objective: Any) -> tuple[Any, Any]:
    """The pairs of `around` and every trial that counts beside its own objective, ascending."""
    mine, values = around(levels, objective)
    own = np.nonzero(np.isfinite(objective))[0]
    return ascending(np.concatenate((own, mine)), np.concatenate((objective[own], values)))


def plateau(levels: Levels | Ground, objective: Any) -> int:
    """The recommended trial: the best plateau, not the best point; -1 where no trial counts. One is of whole ones.

    The trial whose own and neighbours' objectives have the highest lower quartile; of equals the one with their highest
    mean, then the best, then the one whose levels come first.
    """
    objective, ground = np.asarray(objective, np.float64), ground_of(levels)
    own = np.nonzero(np.isfinite(objective) & ground.whole)[0]
    if not len(own):
        return -1
    trial, value = with_own(ground, objective)
    counts, total = np.bincount(trial, minlength=len(objective)), np.bincount(trial, value, len(objective))
    quartile = value[np.searchsorted(trial, own) + (counts[own] - 1) // 4]
    keys = (quartile, total[own] / counts[own], objective[own])
    order = np.lexsort((*ground.code[own].T[::-1], *(-key for key in reversed(keys))))
    return int(own[order[0]])


def survival(own: Any, other: Any, spread: float) -> Any:
    """Share of the objective left after a step, in [0, 1]: their ratio for gains, else the fall in spreads of all."""
    other = np.asarray(other, np.float64)
    gain = np.where(own > 0.0, np.divide(other, own, out=np.ones_like(other), where=own > 0.0), 1.0)
    fall = 1.0 - np.maximum(own - other, 0.0) / spread if spread > 0.0 else np.ones_like(own)
    return np.clip(np.where(own > 0.0, gain, fall), 0.0, 1.0)


def neighbourhood_scores(levels: Levels | Ground, objective: Any) -> Any:
    """float64 (n) in [0, 1]: mean share of the objective that one step leaves; NaN without neighbours, or not all.

    NaN for losses too beside some of the trials only: they are measured by the spread of all.
    """
    objective, ground = np.asarray(objective, np.float64), ground_of(levels)
    mine, values = around(ground, objective)
    counted = np.isfinite(objective[mine]) & ground.whole[mine] & ~((objective[mine] <= 0.0) & ground.part)
    mine, values = mine[counted], values[counted]
    left = survival(objective[mine], values, spread_of(objective))
    total, count = np.bincount(mine, left, len(objective)), np.bincount(mine, minlength=len(objective))
    return np.divide(total, count, out=np.full(len(objective), np.nan), where=count > 0)


def binned(column: Any) -> Any:
    """Codes joined to at most BINS bins of about as many trials each."""
    distinct = int(column.max()) + 1
    if distinct <= BINS:
        return column
    order = np.searchsorted(np.sort(column), column, side="left")
    return order * BINS // len(column)


def importances(levels: Levels | Ground, objective: Any) -> dict[str, float]:
    """Share of the objective's variance that each setting's levels explain alone, and `interactions`: the rest.

    Exact on full grids; on drawn trials what as many bins explain by chance is taken off.
    """
    objective = np.asarray(objective, np.float64)
    ground = ground_of(levels)
    levels, code = ground.levels, ground.code
    known = np.isfinite(objective)
    values, total = objective[known], float(np.var(objective[known])) if known.any() else 0.0
    if total <= 0.0:
        return dict.fromkeys([*levels, "interactions"], 0.0)
    full = len(values) == np.prod([len(set(v)) for v in levels.values()], dtype=float)
    shares = {}
    for j, name in enumerate(levels):
        group = binned(code[known, j])
        count = np.bincount(group)
        mean = np.bincount(group, values) / np.maximum(count, 1)
        share = float((count * (mean - values.mean()) ** 2).sum()) / (len(values) * total)
        chance = 0.0 if full else (np.count_nonzero(count) - 1) / max(len(values) - 1, 1)
        shares[name] = max((share - chance) / (1.0 - chance) if chance < 1.0 else 0.0, 0.0)
    whole = sum(shares.values())
    shares = {name: share / max(whole, 1.0) for name, share in shares.items()}
    return {**shares, "interactions": max(0.0, 1.0 - sum(shares.values()))}


def pareto(profit: Any, drawdown: Any) -> Any:
    """bool (n): trials for which no other has at least the profit and at most the drawdown, one of them better."""
    profit, drawdown = np.asarray(profit, np.float64), np.asarray(drawdown, np.float64)
    front = np.zeros(len(profit), bool)
    known = np.nonzero(np.isfinite(profit) & np.isfinite(drawdown))[0]
    best, at = -np.inf, None
    for i in known[np.lexsort((-profit[known], drawdown[known]))].tolist():
        if profit[i] > best or (profit[i] == best and at is not None and drawdown[i] == drawdown[at]):
            front[i], best, at = True, profit[i], i
    return front


def inert(levels: Levels | Ground, outcomes: Any) -> list[str]:
    """Settings of which no step ever changed anything in float64 (n, k)."""
    ground = ground_of(levels)
    names, moved, stepped = list(ground.levels), set(), set()
    for j, mine, other in ground.steps:
        stepped.add(j)
        same = (outcomes[mine] == outcomes[other]) | (np.isnan(outcomes[mine]) & np.isnan(outcomes[other]))
        if not same.all():
            moved.add(j)
    return [names[j] for j in sorted(stepped - moved)]
