"""Whether good settings have good neighbours: the best plateau, its shape, and which settings matter.

A neighbour differs by one step of one setting: the next level of a number, any other value of a choice. Where trials
were drawn and so have no such neighbours, the nearest few by rank take their place.
Source of the shares of variance: functional ANOVA, Sobol, "Sensitivity estimates for nonlinear models" (1993).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

NEAREST = 6
HOLDS, COLLAPSES = 0.7, 0.3  # of the objective that survives a step
BINS = 8
MOST_CELLS = 12  # on an axis of a heat map
Levels = Mapping[str, Sequence[Any]]


class Ground(NamedTuple):
    """Trials by their levels, and who is whose neighbour: worked out once for all that is asked about them."""

    levels: Levels
    code: Any  # int64 (n, p): place of each trial's level
    ordered: Any  # bool (p)
    steps: list[tuple[int, Any, Any]]  # setting, trials, neighbours one step away: a tuple for each way
    near: list[tuple[int, Any, Any]]  # and the nearest of trials without any (setting -1)


def ground_of(levels: Levels | Ground) -> Ground:
    if isinstance(levels, Ground):
        return levels
    code, ordered = codes(levels)
    found = steps_of(code, ordered)
    return Ground(levels, code, ordered, found, nearest(code, found))


class Shape(NamedTuple):
    """How the ground lies around a trial."""

    word: str  # plateau, slope, ridge, spike, unknown
    along: tuple[str, ...]  # settings of which a step changes little
    across: tuple[str, ...]  # settings of which a step ruins it
    survives: dict[str, float]  # worst share of the objective left by a step of each setting
    words: str


def is_number(values: Sequence[Any]) -> bool:
    return all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)


def codes(levels: Levels) -> tuple[Any, Any]:
    """(int64 (n, p) place of each trial's level, bool (p) whether the levels have an order)."""
    columns, ordered = [], []
    for values in levels.values():
        distinct = list(dict.fromkeys(values))
        numbers = is_number(distinct)
        distinct = sorted(distinct) if numbers else sorted(distinct, key=str)  # whatever the trials' order
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
    where = {k: i for i, k in reversed(list(enumerate(key.tolist())))}
    found = []
    for j in range(p):
        ways = (-1, 1) if ordered[j] else [d for d in range(1 - int(size[j]), int(size[j])) if d]
        for way in ways:
            target = code[:, j] + way
            inside = np.nonzero((target >= 0) & (target < size[j]))[0]
            keys = (key[inside] + way * weight[j]).tolist()
            pairs = [(i, where[k]) for i, k in zip(inside.tolist(), keys, strict=True) if k in where]
            if pairs:
                mine, other = np.array(pairs).T
                found.append((j, mine, other))
    return found


def nearest(code: Any, found: list[tuple[int, Any, Any]]) -> list[tuple[int, Any, Any]]:
    """The nearest few, and whatever is as near, in the space of ranks, of trials without a neighbour among `found`."""
    alone = np.ones(len(code), bool)
    for _, mine, _ in found:
        alone[mine] = False
    if not alone.any() or len(code) <= NEAREST:
        return []
    from scipy.spatial import cKDTree

    scaled = code / np.maximum(code.max(axis=0), 1)
    tree = cKDTree(scaled)
    reach = tree.query(scaled[alone], NEAREST + 1)[0][:, -1]
    near = tree.query_ball_point(scaled[alone], reach * (1.0 + 1e-9))
    mine = np.repeat(np.nonzero(alone)[0], [len(others) for others in near])
    other = np.concatenate([np.asarray(others, np.int64) for others in near])
    return [(-1, mine[mine != other], other[mine != other])]


def steps(levels: Levels | Ground) -> list[tuple[int, Any, Any]]:
    """(setting, trials, neighbours one step away)."""
    return ground_of(levels).steps


def around(levels: Levels | Ground, objective: Any) -> tuple[Any, Any]:
    """(trials, objective of a neighbour) for every pair; a neighbour that does not count counts as the worst trial."""
    worst = float(np.nanmin(objective)) if np.isfinite(objective).any() else np.nan
    ground = ground_of(levels)
    found = [*ground.steps, *ground.near]
    if not found:
        return np.zeros(0, np.int64), np.zeros(0)
    mine, other = (np.concatenate([pair[k] for pair in found]) for k in (1, 2))
    return mine, np.where(np.isfinite(objective[other]), objective[other], worst)


def lower_quartiles(levels: Levels | Ground, objective: Any) -> Any:
    """float64 (n): lower quartile of a trial's own and its neighbours' objective; NaN where its own is undefined."""
    objective = np.asarray(objective, np.float64)
    mine, values = around(levels, objective)
    own = np.nonzero(np.isfinite(objective))[0]
    trial = np.concatenate((own, mine))
    value = np.concatenate((objective[own], values))
    order = np.lexsort((value, trial))
    trial, value = trial[order], value[order]
    begins = np.searchsorted(trial, np.arange(len(objective)))
    counts = np.bincount(trial, minlength=len(objective))
    out = np.full(len(objective), np.nan)
    place = begins[own] + (counts[own] - 1) // 4
    out[own] = value[place]
    return out


def plateau(levels: Levels | Ground, objective: Any) -> int:
    """The recommended trial: the best plateau, not the best point; -1 where no trial counts.

    The trial whose own and neighbours' objectives have the highest lower quartile; of equals the one with their highest
    mean, then the best, then the one whose levels come first.
    """
    objective = np.asarray(objective, np.float64)
    if not np.isfinite(objective).any():
        return -1
    levels = ground_of(levels)
    mine, values = around(levels, objective)
    known = np.isfinite(objective)
    total = np.bincount(mine, values, len(objective)) + np.where(known, objective, 0.0)
    mean = total / (np.bincount(mine, minlength=len(objective)) + 1)
    keys = (lower_quartiles(levels, objective), np.where(known, mean, np.nan), objective)
    order = np.lexsort((*levels.code.T[::-1], *(-np.nan_to_num(key, nan=-np.inf) for key in reversed(keys))))
    return int(order[0])


def survival(own: Any, other: Any, spread: float) -> Any:
    """Share of the objective left after a step, in [0, 1]: their ratio for gains, else the fall in spreads of all."""
    gain = np.where(own > 0.0, np.divide(other, own, out=np.ones_like(other), where=own > 0.0), 1.0)
    fall = 1.0 - np.maximum(own - other, 0.0) / spread if spread > 0.0 else np.ones_like(own)
    return np.clip(np.where(own > 0.0, gain, fall), 0.0, 1.0)


def neighbourhood_scores(levels: Levels | Ground, objective: Any) -> Any:
    """float64 (n) in [0, 1]: mean share of the objective that one step leaves; NaN without neighbours."""
    objective = np.asarray(objective, np.float64)
    mine, values = around(levels, objective)
    counted = np.isfinite(objective[mine])
    mine, values = mine[counted], values[counted]
    spread = float(np.nanstd(objective)) if np.isfinite(objective).any() else 0.0
    left = survival(objective[mine], values, spread)
    total, count = np.bincount(mine, left, len(objective)), np.bincount(mine, minlength=len(objective))
    return np.divide(total, count, out=np.full(len(objective), np.nan), where=count > 0)


def shape_of(levels: Levels | Ground, objective: Any, i: int) -> Shape:
    """Whether trial i stands on a plateau, a ridge or a spike."""
    objective = np.asarray(objective, np.float64)
    ground = ground_of(levels)
    names, spread = list(ground.levels), float(np.nanstd(objective)) if np.isfinite(objective).any() else 0.0
    worst = float(np.nanmin(objective)) if np.isfinite(objective).any() else np.nan
    survives: dict[str, float] = {}
    if i >= 0 and np.isfinite(objective[i]):
        for j, mine, other in ground.steps:
            values = objective[other[mine == i]]
            if len(values):
                values = np.where(np.isfinite(values), values, worst)
                left = float(survival(np.full(len(values), objective[i]), values, spread).min())
                survives[names[j]] = min(left, survives.get(names[j], 1.0))
    if not survives:
        return drawn_shape(ground, objective, i, spread, worst)
    along = tuple(name for name, left in survives.items() if left >= HOLDS)
    across = tuple(name for name, left in survives.items() if left < COLLAPSES)
    word = word_of(len(survives), len(along), len(across))
    return Shape(word, along, across, survives, shape_words(word, along, across, survives))


def word_of(steps: int, holds: int, collapses: int) -> str:
    """What the ground is called of which so many steps hold and so many collapse."""
    if holds == steps:
        return "plateau"
    if collapses == 0:
        return "slope"
    return "ridge" if holds else "spike"


def drawn_shape(ground: Ground, objective: Any, i: int, spread: float, worst: float) -> Shape:
    """The shape of a trial without neighbours one step away, by the nearest that were drawn; unknown without any."""
    others = [other[mine == i] for _, mine, other in ground.near]
    found = np.concatenate(others) if others and i >= 0 and np.isfinite(objective[i]) else np.zeros(0, np.int64)
    if not len(found):
        return Shape("unknown", (), (), {}, "no trial one step away was tried")
    values = np.where(np.isfinite(objective[found]), objective[found], worst)
    left = survival(np.full(len(values), objective[i]), values, spread)
    word = word_of(len(left), int((left >= HOLDS).sum()), int((left < COLLAPSES).sum()))
    words = f"{word}: the {len(left)} nearest drawn trials keep {left.min():.0%} to {left.max():.0%} of the objective"
    return Shape(word, (), (), {}, words)


def shape_words(word: str, along: Sequence[str], across: Sequence[str], survives: Mapping[str, float]) -> str:
    def last(names: Sequence[str]) -> str:
        return ", ".join(name.rsplit(".", 1)[-1] for name in names)

    least = min(survives, key=lambda name: survives[name])
    text = f"the worst step ({last([least])}) leaves {survives[least]:.0%} of the objective"
    if word == "plateau":
        return f"plateau: it holds one step away in every direction; {text}"
    if word == "slope":
        holds = f"it holds along {last(along)} and " if along else "it "
        return f"slope: {holds}loses along the others, and no step ruins it; {text}"
    if word == "ridge":
        return f"ridge: it holds along {last(along)} and breaks along {last(across)}; {text}"
    whole = (
        "every step ruins it" if len(across) == len(survives) else f"it breaks along {last(across)} and holds nowhere"
    )
    return f"spike: {whole}; {text}"


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


class HeatMap(NamedTuple):
    """Mean and best objective by the levels of two settings; NaN where no trial counts."""

    rows: list[Any]
    columns: list[Any]
    mean: Any  # float64 (rows, columns)
    best: Any


def axis_of(values: Sequence[Any]) -> tuple[list[Any], Any]:
    """(labels, int64 place of each trial) of a setting; more than MOST_CELLS numbers are joined by quantiles."""
    code, ordered = codes({"": values})
    numbers = bool(ordered[0])
    distinct = sorted(set(values)) if numbers else sorted(dict.fromkeys(values), key=str)
    if not numbers or len(distinct) <= MOST_CELLS:
        return distinct, code[:, 0]
    edges = np.unique(np.quantile(np.asarray(values, float), np.linspace(0.0, 1.0, MOST_CELLS + 1)))
    place = np.clip(np.searchsorted(edges, np.asarray(values, float), side="right") - 1, 0, len(edges) - 2)
    return [f"{low:.4g} to {high:.4g}" for low, high in pairwise(edges)], place


def heat_map(levels: Levels, objective: Any, a: str, b: str) -> HeatMap:
    objective = np.asarray(objective, np.float64)
    (rows, place), (columns, across) = axis_of(levels[a]), axis_of(levels[b])
    shape = (len(rows), len(columns))
    known = np.isfinite(objective)
    total, count, best = np.zeros(shape), np.zeros(shape), np.full(shape, -np.inf)
    np.add.at(total, (place[known], across[known]), objective[known])
    np.add.at(count, (place[known], across[known]), 1)
    np.maximum.at(best, (place[known], across[known]), objective[known])
    mean = np.divide(total, count, out=np.full(shape, np.nan), where=count > 0)
    return HeatMap(rows, columns, mean, np.where(count > 0, best, np.nan))


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
