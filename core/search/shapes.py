"""How the ground lies around a trial: a plateau, a slope, a ridge or a spike, by what each step leaves."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from core.search.robustness import Ground, Levels, ground_of, spread_of, survival, worst_of

HOLDS, COLLAPSES = 0.7, 0.3  # of the objective that survives a step
SPREAD = "the trials' standard deviation"  # in which a step is measured where there is no gain to keep a share of
UNTRIED = "no trial one step away was tried"
UNMEASURED = "steps from a loss are measured by the spread of all trials, and not all were run"


class Neighbour(NamedTuple):
    """A trial one step of one setting away."""

    name: str
    objective: float  # NaN: does not count


def objectives(beyond: Sequence[Neighbour]) -> Any:
    """float64 (n): one that does not count leaves nothing, for the worst of another phase's trials is no measure."""
    values = np.array([step.objective for step in beyond], np.float64)
    return np.where(np.isnan(values), -np.inf, values)


class Shape(NamedTuple):
    """How the ground lies around a trial."""

    word: str  # plateau, slope, ridge, spike, unknown
    along: tuple[str, ...]  # settings of which a step changes little
    across: tuple[str, ...]  # settings of which a step ruins it
    survives: dict[str, float]  # worst share of the objective left by a step of each setting that was stepped
    words: str


def shape_of(
    levels: Levels | Ground, objective: Any, i: int, beyond: Sequence[Neighbour] = (), varied: Sequence[str] = ()
) -> Shape:
    """The shape around trial i; unknown where it does not count or has no neighbour.

    beyond : steps that were taken from it along settings that the levels do not have, those of other phases
    varied : the settings that those vary; the ones without a step are named as untried
    """
    objective = np.asarray(objective, np.float64)
    ground = ground_of(levels)
    if i < 0 or not np.isfinite(objective[i]):
        return Shape("unknown", (), (), {}, UNTRIED)
    if ground.part and objective[i] <= 0.0:
        return Shape("unknown", (), (), {}, UNMEASURED)
    names, survives = list(ground.levels), dict[str, float]()
    taken = [(names[j], objective[other[mine == i]]) for j, mine, other in ground.steps]
    drawn = [objective[other[mine == i]] for _, mine, other in ground.near]
    if any(map(len, drawn)):
        return drawn_shape(ground, objective, i, np.concatenate(drawn), objectives(beyond))
    more = zip((step.name for step in beyond), np.split(objectives(beyond), len(beyond)), strict=True) if beyond else ()
    for name, values in (*taken, *more):
        if len(values):
            left = left_by(ground, objective, i, values)
            survives[name] = min(float(left.min()), survives.get(name, 1.0))
    if not survives:
        return Shape("unknown", (), (), {}, UNTRIED)
    along = tuple(name for name, left in survives.items() if left >= HOLDS)
    across = tuple(name for name, left in survives.items() if left < COLLAPSES)
    untried = [name for j, name in enumerate(names) if ground.code[:, j].max() > 0 and name not in survives]
    untried += [name for name in varied if name not in survives and name not in names]
    word = word_of(len(survives), len(along), len(across))
    words = shape_words(word, along, across, survives, untried, objective[i] > 0.0)
    return Shape(word, along, across, survives, words)


def robustness_with(levels: Levels | Ground, objective: Any, i: int, beyond: Sequence[Neighbour]) -> float:
    """Mean share of trial i's objective that its neighbours and the steps beyond leave; NaN where that is unknown."""
    objective, ground = np.asarray(objective, np.float64), ground_of(levels)
    found = [objective[other[mine == i]] for _, mine, other in (*ground.steps, *ground.near)]
    values = np.concatenate([*found, objectives(beyond)])
    unknown = ground.part and objective[i] <= 0.0
    # Sorted: the same digits in any order of trials.
    return float(np.sort(left_by(ground, objective, i, values)).mean()) if len(values) and not unknown else math.nan


def left_by(ground: Ground, objective: Any, i: int, values: Any) -> Any:
    """float64: share of trial i's objective that each of these neighbours' leaves."""
    known = np.where(np.isnan(values), worst_of(ground, objective), values)
    return survival(np.full(len(known), objective[i]), known, spread_of(objective))


def word_of(steps: int, holds: int, collapses: int) -> str:
    """What the ground is called of which so many steps hold and so many collapse."""
    if holds == steps:
        return "plateau"
    if holds and collapses:
        return "ridge"
    return "spike" if 2 * collapses >= steps else "slope"


def drawn_shape(ground: Ground, objective: Any, i: int, drawn: Any, beyond: Any) -> Shape:
    """The shape of a trial without neighbours one step away, by the objectives of the nearest that were drawn."""
    left = left_by(ground, objective, i, np.concatenate((drawn, beyond)))
    word = word_of(len(left), int((left >= HOLDS).sum()), int((left < COLLAPSES).sum()))
    steps = f" and {len(beyond)} steps along settings of other phases" if len(beyond) else ""
    near, low, high = f"{word}: the {len(drawn)} nearest drawn trials{steps}", left.min(), left.max()
    if objective[i] > 0.0:
        return Shape(word, (), (), {}, f"{near} keep {low:.0%} to {high:.0%} of the objective")
    words = f"{near} lie {1.0 - high:.0%} to {1.0 - low:.0%} of {SPREAD} below it"
    return Shape(word, (), (), {}, words)


def last(names: Sequence[str]) -> str:
    """The last parts of paths."""
    return ", ".join(name.rsplit(".", 1)[-1] for name in names)


def shape_words(
    word: str, along: Sequence[str], across: Sequence[str], survives: Mapping[str, float], untried: Sequence[str],
    gains: bool,
) -> str:  # fmt: skip
    """What the steps leave, in a sentence that claims no step that was not taken."""
    least = min(survives, key=lambda name: survives[name])
    left = survives[least]
    more = " or more" if left == 0.0 else ""
    change = f"leaves {left:.0%} of the objective" if gains else f"costs {1.0 - left:.0%}{more} of {SPREAD}"
    text = f"the worst step ({last([least])}) {change}"
    if untried:
        text += f"; no step along {last(untried)} was tried"
    if word == "plateau":
        where = f"along {last(along)}" if untried else "in every direction"
        return f"plateau: it holds one step away {where}; {text}"
    if word == "ridge":
        return f"ridge: it holds along {last(along)} and breaks along {last(across)}; {text}"
    if word == "spike":
        every = len(across) == len(survives)
        whole = "every step ruins it" if every else f"it breaks along {last(across)} and holds nowhere"
        return f"spike: {whole}; {text}"
    if across:
        return f"slope: it breaks along {last(across)} and falls along the others; {text}"
    holds = f"it holds along {last(along)} and falls along the others" if along else "it falls"
    return f"slope: {holds}, and no step ruins it; {text}"
