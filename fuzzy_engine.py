"""Fuzzy inference by Sugeno's rules: memberships -> firing strengths -> one score, with what it could not see.

A rule says: if x is A and y is B then z, with z a number (zero order) or linear in the inputs (first order). Its
strength is the minimum or the product of its memberships, times its weight; the score is the strengths' mean of the
z. Variables, terms and rules are data, checked once and laid out as arrays; one kernel runs a column of rows.
A missing input (NaN) silences the rules that need it and lowers the confidence; it is never replaced.
Source: Takagi and Sugeno, "Fuzzy identification of systems" (IEEE SMC, 1985).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from core.config import suggestion
from core.errors import ConfigError
from core.jit import njit

MINIMUM, PRODUCT = 0, 1
T_NORMS = {"min": MINIMUM, "product": PRODUCT}
COVERAGE_POINTS = 1001


class Variable(NamedTuple):
    """An input: the range its terms must cover, and the terms as 3 (triangle) or 4 (trapezoid) ascending corners.

    Equal first or last corners make a shoulder, which goes on beyond the range.
    """

    low: float
    high: float
    terms: Mapping[str, Sequence[float]]


class Rule(NamedTuple):
    """If each named variable is its term, then const + sum of slope x input; weight > 0."""

    when: Mapping[str, str]
    const: float
    slopes: Mapping[str, float]
    weight: float = 1.0


class Engine(NamedTuple):
    """Variables and rules as arrays, for `infer_rows`; v variables, r rules.

    corners : float64[r, v, 4], the trapezoid of a rule's term; used : uint8[r, v], whether the rule names the variable
    const, weight : float64[r]; slope : float64[r, v]; norm : MINIMUM or PRODUCT
    """

    corners: Any
    used: Any
    const: Any
    slope: Any
    weight: Any
    norm: int


@njit
def membership(x, a, b, c, d):
    """Degree in [0, 1] of x in the trapezoid a <= b <= c <= d; NaN for a NaN. a = b (c = d) is a shoulder."""
    if math.isnan(x):
        return math.nan
    if x < b:
        return (x - a) / (b - a) if x > a else (1.0 if a == b else 0.0)
    if x > c:
        return (d - x) / (d - c) if x < d else (1.0 if c == d else 0.0)
    return 1.0


@njit
def infer(engine, x, strength):
    """(score, confidence) of one row x, float64[v]; fills strength, float64[r], with what each rule fired.

    Confidence is the share of the rules' weight whose inputs were all known. The score is NaN where no rule fires:
    there is no answer, and the caller has to say so.
    """
    total, answer, seen, all_weight = 0.0, 0.0, 0.0, 0.0
    for r in range(engine.const.size):
        degree = 1.0
        value = engine.const[r]
        for v in range(x.size):
            if engine.used[r, v]:
                c = engine.corners[r, v]
                m = membership(x[v], c[0], c[1], c[2], c[3])
                degree = degree * m if engine.norm == PRODUCT else (m if m < degree or math.isnan(m) else degree)
                if math.isnan(m):
                    break
            if engine.slope[r, v] != 0.0:
                value += engine.slope[r, v] * x[v]
        all_weight += engine.weight[r]
        known = not math.isnan(degree) and not math.isnan(value)
        strength[r] = degree * engine.weight[r] if known else 0.0
        if known:
            seen += engine.weight[r]
            total += strength[r]
            answer += strength[r] * value
    return (answer / total if total > 0.0 else math.nan), seen / all_weight


@njit
def infer_rows(engine, columns, score, confidence):
    """`infer` over rows: columns float64[v, n]; fills score and confidence, float64[n]."""
    x, strength = np.empty(columns.shape[0]), np.empty(engine.const.size)
    for i in range(score.size):
        for v in range(x.size):
            x[v] = columns[v, i]
        score[i], confidence[i] = infer(engine, x, strength)


def engine_of(variables: Mapping[str, Variable], rules: Sequence[Rule], norm: str) -> Engine:
    """Check variables and rules and lay them out; inputs come in the order of `variables`.

    ConfigError: unknown variable, term or norm; corners that do not ascend; a term outside its variable's range; a
    range that its terms leave uncovered; no rules; a weight <= 0.
    """
    if norm not in T_NORMS:
        raise ConfigError(f"fuzzy norm is {norm!r}; give one of: {', '.join(T_NORMS)}")
    if not rules:
        raise ConfigError("fuzzy rules: there are none")
    for name, variable in variables.items():
        check_variable(name, variable)
    names = list(variables)
    shape = (len(rules), len(names))
    engine = Engine(
        np.zeros((*shape, 4)), np.zeros(shape, np.uint8), np.zeros(len(rules)), np.zeros(shape), np.zeros(len(rules)),
        T_NORMS[norm],
    )  # fmt: skip
    for r, rule in enumerate(rules):
        if not rule.weight > 0.0 or not rule.when:
            raise ConfigError(f"fuzzy rule {r + 1}: it needs a condition and a weight above 0, not {rule.weight}")
        for name in (*rule.when, *rule.slopes):
            if name not in variables:
                raise ConfigError(f"fuzzy rule {r + 1}: unknown variable '{name}'{suggestion(name, names)}")
        for name, term in rule.when.items():
            terms = variables[name].terms
            if term not in terms:
                raise ConfigError(f"fuzzy rule {r + 1}: {name} has no term '{term}'{suggestion(term, list(terms))}")
            at = names.index(name)
            engine.corners[r, at] = trapezoid(terms[term])
            engine.used[r, at] = 1
        for name, slope in rule.slopes.items():
            engine.slope[r, names.index(name)] = slope
        engine.const[r], engine.weight[r] = rule.const, rule.weight
    return engine


def trapezoid(corners: Sequence[float]) -> tuple[float, ...]:
    """A triangle is a trapezoid whose top is a point."""
    return tuple(corners) if len(corners) == 4 else (corners[0], corners[1], corners[1], corners[2])


def check_variable(name: str, variable: Variable) -> None:
    """Corners ascend within the range, and every value of the range belongs to some term."""
    if not variable.low < variable.high:
        raise ConfigError(f"fuzzy variable {name}: range {variable.low} to {variable.high} is empty")
    for term, corners in variable.terms.items():
        inside = len(corners) in (3, 4) and all(variable.low <= c <= variable.high for c in corners)
        if not inside or any(a > b for a, b in pairwise(corners)):
            raise ConfigError(
                f"fuzzy term {name}.{term} is {list(corners)}; give 3 or 4 ascending corners within "
                f"{variable.low} to {variable.high}"
            )
    for x in np.linspace(variable.low, variable.high, COVERAGE_POINTS):
        if not any(membership(x, *trapezoid(corners)) > 0.0 for corners in variable.terms.values()):
            raise ConfigError(f"fuzzy variable {name}: no term covers {x:g}; widen one of: {', '.join(variable.terms)}")
