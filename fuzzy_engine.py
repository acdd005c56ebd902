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
BLOCK = 256  # rows inferred together: their memberships stay in the first cache


class Variable(NamedTuple):
    """An input: the range its terms must cover, and the terms as 3 (triangle) or 4 (trapezoid) ascending corners.

    Equal first or last corners make a shoulder, which goes on beyond the range.
    """

    low: float
    high: float
    terms: Mapping[str, Sequence[float]]


class Rule(NamedTuple):
    """If each named variable is its term, then const + sum of slope x input; weight > 0.

    factor : the group of rules that a setting weighs together, "" for none
    """

    when: Mapping[str, str]
    const: float
    slopes: Mapping[str, float]
    weight: float = 1.0
    factor: str = ""


class RuleBase(NamedTuple):
    """Variables, rules and the norm that joins a rule's conditions, as a file states them."""

    variables: Mapping[str, Variable]
    rules: tuple[Rule, ...]
    norm: str


class Engine(NamedTuple):
    """Rules over v inputs as arrays, for `infer_rows`: t terms, r rules with c conditions in all.

    variable : int64[t], the input of a term; corners : float64[t, 4], its trapezoid
    first : int64[r + 1], rule i has the conditions first[i] .. first[i + 1]; term : int64[c], the term of each
    const, weight : float64[r]; slope : float64[r, v]; sloped : uint8[r], any slope; norm : MINIMUM or PRODUCT
    """

    variable: Any
    corners: Any
    first: Any
    term: Any
    const: Any
    weight: Any
    slope: Any
    sloped: Any
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
def joined(norm, degree, m):
    """A rule's degree with one more condition; NaN if either is."""
    if norm == PRODUCT:
        return degree * m
    return m if m < degree or math.isnan(m) else degree


@njit
def infer(engine, x, strength):
    """(score, confidence) of one row x, float64[v]; fills strength, float64[r], with what each rule fired.

    Confidence is the share of the rules' weight whose inputs were all known. The score is NaN where no rule fires:
    there is no answer, and the caller has to say so.
    """
    total, answer, seen, all_weight = 0.0, 0.0, 0.0, 0.0
    for r in range(engine.const.size):
        degree = 1.0
        for c in range(engine.first[r], engine.first[r + 1]):
            t = engine.term[c]
            corners = engine.corners[t]
            m = membership(x[engine.variable[t]], corners[0], corners[1], corners[2], corners[3])
            degree = joined(engine.norm, degree, m)
        value = engine.const[r]
        if engine.sloped[r]:
            for v in range(x.size):
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


# The same sums in the same order for many rows at a time. Each loop writes one array, or it does not become SIMD.


@njit
def memberships(x, a, b, c, d, out):
    """`membership` of many x, without branches."""
    left, right = 1.0 if a == b else 0.0, 1.0 if c == d else 0.0
    rise, fall = b - a if b > a else 1.0, d - c if d > c else 1.0
    for i in range(out.size):
        rising = (x[i] - a) / rise if x[i] > a else left
        falling = (d - x[i]) / fall if x[i] < d else right
        inside = rising if x[i] < b else (falling if x[i] > c else 1.0)
        out[i] = inside if x[i] == x[i] else math.nan


@njit
def join(norm, member, degree):
    """One more condition: degree becomes its product or minimum with member; NaN if either is."""
    if norm == PRODUCT:
        for i in range(degree.size):
            degree[i] *= member[i]
    else:
        for i in range(degree.size):
            smaller = member[i] if member[i] < degree[i] else degree[i]
            degree[i] = smaller if member[i] == member[i] else math.nan


@njit
def add_known(value, out):
    for i in range(out.size):
        out[i] += value[i] if value[i] == value[i] else 0.0


@njit
def add_share(strength, value, out):
    for i in range(out.size):
        part = strength[i] * value
        out[i] += part if part == part else 0.0


@njit
def add_where_known(strength, weight, out):
    for i in range(out.size):
        out[i] += weight if strength[i] == strength[i] else 0.0


@njit
def rule_values(slope, const, columns, start, out):
    """const + slopes x inputs of one rule, for the rows from `start` on."""
    out[:] = const
    for v in range(columns.shape[0]):
        if slope[v] != 0.0:
            for i in range(out.size):
                out[i] += slope[v] * columns[v, start + i]


@njit
def rule_strengths(engine, r, degree, strength):
    """What rule r fires on the rows of a block; NaN where an input is unknown."""
    m = strength.size
    strength[:] = 1.0
    for c in range(engine.first[r], engine.first[r + 1]):
        join(engine.norm, degree[engine.term[c]][:m], strength)
    for i in range(m):
        strength[i] *= engine.weight[r]


@njit
def infer_rows(engine, columns, score, confidence):
    """`infer` over rows: columns float64[v, n]; fills score and confidence, float64[n]."""
    degree, scratch = np.empty((engine.variable.size, BLOCK)), np.empty((5, BLOCK))
    all_weight = 0.0
    for r in range(engine.weight.size):
        all_weight += engine.weight[r]
    for start in range(0, score.size, BLOCK):
        m = min(BLOCK, score.size - start)
        total, answer, seen = scratch[0][:m], scratch[1][:m], scratch[2][:m]
        strength, value = scratch[3][:m], scratch[4][:m]
        scratch[:3] = 0.0
        for t in range(engine.variable.size):
            c = engine.corners[t]
            x = columns[engine.variable[t]][start : start + m]
            memberships(x, c[0], c[1], c[2], c[3], degree[t][:m])
        for r in range(engine.const.size):
            rule_strengths(engine, r, degree, strength)
            if engine.sloped[r]:
                rule_values(engine.slope[r], engine.const[r], columns, start, value)
                for i in range(m):
                    strength[i] = strength[i] if value[i] == value[i] else math.nan
                for i in range(m):
                    value[i] *= strength[i]
                add_known(value, answer)
            else:
                add_share(strength, engine.const[r], answer)
            add_known(strength, total)
            add_where_known(strength, engine.weight[r], seen)
        for i in range(m):
            score[start + i] = answer[i] / total[i] if total[i] > 0.0 else math.nan
        for i in range(m):
            confidence[start + i] = seen[i] / all_weight


def fired(engine: Engine, columns: Any, rows: Any) -> Any:
    """float64 (len(rows), rules): how strongly each rule fires on chosen rows of columns, float64[v, n].

    Membership x weight; 0 where an input is unknown.
    """
    out = np.empty((len(rows), len(engine.const)))
    for i, r in enumerate(rows):
        infer(engine, np.ascontiguousarray(columns[:, r]), out[i])
    return out


def rule_texts(base: RuleBase) -> list[str]:
    """Each rule in words: 'if vix is calm and adx is weak then 0.9 (regime, weight 2)'."""
    texts = []
    for rule in base.rules:
        when = " and ".join(f"{name} is {term}" for name, term in rule.when.items())
        then = "".join([f"{rule.const:g}", *(f" {slope:+g} {name}" for name, slope in rule.slopes.items())])
        texts.append(f"if {when} then {then} ({rule.factor + ', ' if rule.factor else ''}weight {rule.weight:g})")
    return texts


FACTORS = ("mtf", "iv", "regime", "premium", "rsi", "adx", "stoch", "bbands", "volume", "sma")


def rule_base(tree: Mapping[str, Any], source: str) -> RuleBase:
    """The variables and rules of a file: `norm`, `variables: {name: {range, terms}}`, `rules: [{when, then, ...}]`.

    then : a number, or {const, slopes}; weight : default 1; factor : one of FACTORS. A ConfigError names what is
    missing or unknown; what terms and rules mean is checked by `engine_of`.
    """
    try:
        variables = {
            name: Variable(float(given["range"][0]), float(given["range"][1]), given["terms"])
            for name, given in tree["variables"].items()
        }
        rules = tuple(_rule(given, f"{source}, rule {i + 1}") for i, given in enumerate(tree["rules"]))
        return RuleBase(variables, rules, tree["norm"])
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        raise ConfigError(
            f"{source}: no fuzzy rules ({error}); give norm, variables (range, terms) and rules (when, then, factor)"
        ) from None


def _rule(given: Mapping[str, Any], where: str) -> Rule:
    for key in given:
        if key not in ("when", "then", "weight", "factor"):
            raise ConfigError(f"{where}: unknown '{key}'{suggestion(key, ('when', 'then', 'weight', 'factor'))}")
    if given["factor"] not in FACTORS:
        raise ConfigError(f"{where}: factor is {given['factor']!r}; give one of: {', '.join(FACTORS)}")
    then = given["then"] if isinstance(given["then"], Mapping) else {"const": given["then"], "slopes": {}}
    return Rule(given["when"], float(then["const"]), then["slopes"], float(given.get("weight", 1.0)), given["factor"])


def weighed(base: RuleBase, scales: Mapping[str, float]) -> RuleBase:
    """The rules with their weights multiplied by their factor's scale; a scale of 0 removes them.

    ConfigError: no rule is left.
    """
    rules = tuple(
        rule._replace(weight=rule.weight * scales[rule.factor]) for rule in base.rules if scales[rule.factor] > 0.0
    )
    if not rules:
        raise ConfigError("all weights strategy.signals.fuzzy_* are 0: no rule is left; give one of them a weight")
    return base._replace(rules=rules)


def renamed(base: RuleBase, old: str, new: str) -> RuleBase:
    """The rules with another column in place of a variable."""
    variables = {new if name == old else name: variable for name, variable in base.variables.items()}
    rules = tuple(
        rule._replace(
            when={new if name == old else name: term for name, term in rule.when.items()},
            slopes={new if name == old else name: slope for name, slope in rule.slopes.items()},
        )
        for rule in base.rules
    )
    return base._replace(variables=variables, rules=rules)


def engine_of(
    variables: Mapping[str, Variable], rules: Sequence[Rule], norm: str, inputs: Sequence[str] | None = None
) -> Engine:
    """Check variables and rules and lay them out; a row holds the inputs in the order of `inputs` (default: variables).

    ConfigError: unknown variable, term, input or norm; corners that do not ascend; a term outside its variable's
    range; a range that its terms leave uncovered; no rules; a weight <= 0.
    """
    if norm not in T_NORMS:
        raise ConfigError(f"fuzzy norm is {norm!r}; give one of: {', '.join(T_NORMS)}")
    if not rules:
        raise ConfigError("fuzzy rules: there are none")
    names = list(variables if inputs is None else inputs)
    for name, variable in variables.items():
        if name not in names:
            raise ConfigError(f"fuzzy variable {name}: there is no such input{suggestion(name, names)}")
        check_variable(name, variable)
    for r, rule in enumerate(rules):
        check_rule(r, rule, variables)
    conditions = [condition for rule in rules for condition in rule.when.items()]
    terms = sorted(set(conditions))
    slope = np.zeros((len(rules), len(names)))
    for r, rule in enumerate(rules):
        for name, value in rule.slopes.items():
            slope[r, names.index(name)] = value
    return Engine(
        variable=np.array([names.index(name) for name, _ in terms]),
        corners=np.array([trapezoid(variables[name].terms[term]) for name, term in terms], np.float64),
        first=np.cumsum([0, *(len(rule.when) for rule in rules)]),
        term=np.array([terms.index(condition) for condition in conditions]),
        const=np.array([rule.const for rule in rules], np.float64),
        weight=np.array([rule.weight for rule in rules], np.float64),
        slope=slope,
        sloped=slope.any(axis=1).astype(np.uint8),
        norm=T_NORMS[norm],
    )


def check_rule(r: int, rule: Rule, variables: Mapping[str, Variable]) -> None:
    """A rule has a condition and a weight, and speaks of variables and terms that there are."""
    if not rule.weight > 0.0 or not rule.when:
        raise ConfigError(f"fuzzy rule {r + 1}: it needs a condition and a weight above 0, not {rule.weight}")
    for name in (*rule.when, *rule.slopes):
        if name not in variables:
            raise ConfigError(f"fuzzy rule {r + 1}: unknown variable '{name}'{suggestion(name, list(variables))}")
    for name, term in rule.when.items():
        terms = variables[name].terms
        if term not in terms:
            raise ConfigError(f"fuzzy rule {r + 1}: {name} has no term '{term}'{suggestion(term, list(terms))}")


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
    x = np.linspace(variable.low, variable.high, COVERAGE_POINTS)
    degree = np.empty((len(variable.terms), len(x)))
    for t, corners in enumerate(variable.terms.values()):
        memberships(x, *(float(c) for c in trapezoid(corners)), degree[t])
    bare = x[~(degree > 0.0).any(axis=0)]
    if len(bare):
        raise ConfigError(
            f"fuzzy variable {name}: no term covers {bare[0]:g}; widen one of: {', '.join(variable.terms)}"
        )
