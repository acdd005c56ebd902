"""Sugeno inference: bounds, missing inputs, order of rules, monotonicity, and the rules that are refused."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import ConfigError
from fuzzy_engine import Rule, Variable, engine_of, infer, infer_rows, membership
from tests.conftest import both_ways

STRESS = Variable(0.0, 10.0, {"calm": (0, 0, 2, 6), "tense": (2, 6, 8), "panic": (6, 8, 10, 10)})
TREND = Variable(-1.0, 1.0, {"down": (-1, -1, 0), "flat": (-0.5, 0, 0.5), "up": (0, 1, 1)})
VARIABLES = {"stress": STRESS, "trend": TREND}
RULES = (
    Rule({"stress": "calm"}, 1.0, {}),
    Rule({"stress": "tense"}, 0.5, {}),
    Rule({"stress": "panic"}, 0.0, {}),
    Rule({"stress": "calm", "trend": "flat"}, 0.9, {}, weight=0.5),
)


def score_of(stress, trend, norm="product", rules=RULES):
    engine = engine_of(VARIABLES, rules, norm)
    return infer(engine, np.array([stress, trend]), np.empty(len(rules)))


@both_ways
def test_a_trapezoid_by_hand(membership):
    assert [membership(x, 0.0, 1.0, 2.0, 4.0) for x in (-1.0, 0.5, 1.5, 3.0, 4.0)] == [0.0, 0.5, 1.0, 0.5, 0.0]
    assert membership(-5.0, 0.0, 0.0, 1.0, 2.0) == 1.0 and membership(9.0, 0.0, 1.0, 2.0, 2.0) == 1.0
    assert math.isnan(membership(math.nan, 0.0, 1.0, 2.0, 4.0))


@pytest.mark.parametrize("norm", ["min", "product"])
@given(stress=st.floats(0, 10), trend=st.floats(-1, 1))
def test_the_score_lies_between_the_rules_and_their_order_does_not_matter(norm, stress, trend):
    score, confidence = score_of(stress, trend, norm)
    assert 0.0 <= score <= 1.0 and confidence == 1.0
    assert score_of(stress, trend, norm, RULES[::-1])[0] == pytest.approx(score, abs=1e-12)


@given(stress=st.floats(0, 10), more=st.floats(0, 5), trend=st.floats(-1, 1))
def test_more_stress_never_raises_the_score(stress, more, trend):
    plain = RULES[:3]
    assert score_of(min(stress + more, 10.0), trend, rules=plain)[0] <= score_of(stress, trend, rules=plain)[0] + 1e-12


def test_a_missing_input_silences_its_rules_and_lowers_the_confidence():
    score, confidence = score_of(1.0, math.nan)
    assert score == 1.0 and confidence == pytest.approx(3.0 / 3.5)
    score, confidence = score_of(math.nan, 0.0)
    assert math.isnan(score) and confidence == 0.0


def test_no_rule_that_fires_is_no_answer():
    assert math.isnan(score_of(9.0, 0.0, rules=RULES[:2])[0])


def test_a_rule_of_first_order_by_hand():
    rules = (Rule({"stress": "calm"}, 0.2, {"trend": 0.5}), Rule({"stress": "tense"}, 0.0, {"stress": 0.1}))
    engine, strength = engine_of(VARIABLES, rules, "min"), np.empty(2)
    score, _ = infer(engine, np.array([4.0, 0.6]), strength)
    assert strength.tolist() == [0.5, 0.5] and score == pytest.approx(0.5 * 0.5 + 0.5 * 0.4)


def test_a_column_is_the_rows_one_by_one():
    engine = engine_of(VARIABLES, RULES, "product")
    columns = np.array([np.linspace(-1, 11, 50), np.linspace(-1, 1, 50)])
    columns[1, 7] = np.nan
    score, confidence = np.empty(50), np.empty(50)
    infer_rows(engine, columns, score, confidence)
    single = [infer(engine, columns[:, i].copy(), np.empty(4)) for i in range(50)]
    np.testing.assert_array_equal(score, [s for s, _ in single])
    np.testing.assert_array_equal(confidence, [c for _, c in single])


@pytest.mark.parametrize(
    ("variables", "rules", "norm", "why"),
    [
        (VARIABLES, RULES, "max", "give one of: min, product"),
        (VARIABLES, (), "min", "there are none"),
        (VARIABLES, (Rule({"stres": "calm"}, 1.0, {}),), "min", "did you mean 'stress'"),
        (VARIABLES, (Rule({"stress": "clam"}, 1.0, {}),), "min", "did you mean 'calm'"),
        (VARIABLES, (Rule({"stress": "calm"}, 1.0, {}, 0.0),), "min", "weight above 0"),
        ({"x": Variable(0, 1, {"a": (0, 0.8, 0.5)})}, RULES, "min", "ascending corners"),
        ({"x": Variable(0, 1, {"a": (0, 0, 0.3, 0.5)})}, RULES, "min", "no term covers"),
        ({"x": Variable(1, 1, {"a": (1, 1, 1)})}, RULES, "min", "is empty"),
    ],
)
def test_rules_that_make_no_sense_are_refused(variables, rules, norm, why):
    with pytest.raises(ConfigError, match=why):
        engine_of(variables, rules, norm)
