"""Sugeno inference: bounds, missing inputs, order of rules, monotonicity, and the rules that are refused."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.config import read_fuzzy
from core.errors import ConfigError
from core.types import SIGNAL, SIGNALS
from fuzzy_engine import (
    BLOCK,
    FACTORS,
    Rule,
    RuleBase,
    Variable,
    engine_of,
    fired,
    infer,
    infer_rows,
    membership,
    memberships,
    renamed,
    rule_base,
    rule_texts,
    trapezoid,
    weighed,
)
from strategies.view import fuzzy_base, fuzzy_engine_of
from tests.conftest import both_ways
from tests.markets import config_of

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


SLOPED = (*RULES, Rule({"stress": "tense"}, 0.2, {"trend": 0.3}, weight=0.7))


@pytest.mark.parametrize("norm", ["min", "product"])
@pytest.mark.parametrize("rules", [RULES, SLOPED, RULES[:2]])
def test_a_column_is_the_rows_one_by_one(norm, rules):
    n = BLOCK + 50
    engine = engine_of(VARIABLES, rules, norm)
    columns = np.array([np.linspace(-1, 11, n), np.tile([0.3, -1.0, np.nan, 0.9, 0.0], n)[:n]])
    columns[0, 7] = np.nan
    score, confidence = np.empty(n), np.empty(n)
    infer_rows(engine, columns, score, confidence)
    single = [infer(engine, columns[:, i].copy(), np.empty(len(rules))) for i in range(n)]
    np.testing.assert_array_equal(score, [s for s, _ in single])
    np.testing.assert_array_equal(confidence, [c for _, c in single])


@both_ways
def test_memberships_are_those_of_one_value_each(memberships):
    x = np.array([-1.0, 0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 9.0, np.nan])
    for corners in ((0.0, 1.0, 2.0, 4.0), (0.0, 0.0, 1.0, 2.0), (0.0, 1.0, 4.0, 4.0), (1.0, 1.0, 1.0, 1.0)):
        out = np.empty(len(x))
        memberships(x, *corners, out)
        np.testing.assert_array_equal(out, [membership(v, *corners) for v in x])


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


# ---------------------------------------------------------------- rules as data

PRESETS = ("quantor", "classic")
STRESSES = ("vix", "term", "vol_ratio")  # more is worse
QUIET = {
    **{"consensus": 0.5, "iv_percentile": 90.0, "iv_rank": 90.0, "vix": 12.0, "term": 0.85, "vol_ratio": 0.6},
    **{"rsi": 50.0, "adx": 15.0, "stochastic": 50.0, "bb_position": 0.5, "bb_width": 0.003, "volume_ratio": 1.0},
    **{"sma_distance": 0.0},
}
WILD = QUIET | {"vix": 40.0, "term": 1.1, "vol_ratio": 1.5, "adx": 40.0, "consensus": 0.05, "bb_position": -0.2}


def preset(name="quantor", **settings):
    return fuzzy_base(config_of(strategy__signals__fuzzy=name, **settings).values)


ENGINES = {name: fuzzy_engine_of(preset(name)) for name in PRESETS}


def row(values):
    x = np.full(len(SIGNALS), np.nan)
    for name, value in values.items():
        x[SIGNAL[name]] = value
    return x


def judged(name, values):
    engine = ENGINES[name]
    return infer(engine, row(values), np.empty(len(engine.const)))


@pytest.mark.parametrize("name", PRESETS)
def test_the_terms_of_a_preset_sum_to_one_everywhere(name):
    for variable in preset(name).variables.values():
        x = np.linspace(variable.low, variable.high, 501)
        degree = [[membership(v, *map(float, trapezoid(c))) for c in variable.terms.values()] for v in x]
        np.testing.assert_allclose(np.sum(degree, axis=1), 1.0, atol=1e-12)


@pytest.mark.parametrize("name", PRESETS)
def test_every_factor_of_a_preset_has_rules_and_consequents_lie_between_0_and_1(name):
    base = preset(name)
    assert {rule.factor for rule in base.rules} == set(FACTORS) - ({"premium"} if name == "classic" else set())
    assert all(0.0 <= rule.const <= 1.0 and not rule.slopes for rule in base.rules)


def test_a_quiet_dear_market_scores_1_and_a_wild_one_nearly_nothing():
    assert judged("quantor", QUIET) == (1.0, 1.0)
    assert judged("quantor", WILD)[0] < 0.1
    for stress, value in (("vix", 40.0), ("term", 1.1), ("vol_ratio", 1.5)):
        assert judged("quantor", QUIET | {stress: value})[0] < 0.6


def test_values_beyond_a_range_belong_to_its_shoulder():
    for far in ({"vix": 200.0}, {"bb_position": -3.0}, {"sma_distance": 0.9}, {"term": 9.0}):
        (name,) = far
        edge = preset().variables[name]
        at_edge = {name: edge.low if far[name] < 0 else edge.high}
        assert judged("quantor", QUIET | far) == judged("quantor", QUIET | at_edge)


INPUTS = {
    **{"consensus": (0, 1), "iv_percentile": (0, 100), "vix": (5, 90), "term": (0.6, 1.6), "vol_ratio": (0, 3)},
    **{"rsi": (0, 100), "adx": (0, 100), "stochastic": (0, 100), "bb_position": (-0.5, 1.5), "bb_width": (0, 0.1)},
    **{"volume_ratio": (0, 5), "sma_distance": (-0.05, 0.05)},
}
ANYTHING = st.fixed_dictionaries(
    {name: st.one_of(st.floats(*span), st.just(math.nan)) for name, span in INPUTS.items()}
)


@given(values=ANYTHING, more=st.fixed_dictionaries({name: st.floats(0, 30) for name in STRESSES}))
def test_more_stress_never_raises_quantors_score_whatever_the_rest_is(values, more):
    before = judged("quantor", values)[0]
    after = judged("quantor", values | {name: values[name] + more[name] for name in STRESSES})[0]
    assert after <= before + 1e-12 or (math.isnan(before) and math.isnan(after))


@pytest.mark.parametrize("stress", STRESSES)
def test_the_score_falls_along_a_grid_of_stress(stress):
    low, high = INPUTS[stress]
    for base in (QUIET, WILD, QUIET | {"iv_percentile": 10.0, "consensus": 0.1}):
        scores = [judged("quantor", base | {stress: x})[0] for x in np.linspace(low, high, 200)]
        assert (np.diff(scores) <= 1e-12).all() and scores[-1] < scores[0]


@given(values=ANYTHING)
@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_scores_between_0_and_1_or_not_at_all(name, values):
    score, confidence = judged(name, values)
    assert 0.0 <= confidence <= 1.0
    assert math.isnan(score) if confidence == 0.0 else -1e-12 <= score <= 1.0 + 1e-12


def test_what_is_missing_lowers_the_confidence_and_is_not_taken_for_one_half():
    score, confidence = judged("classic", {name: x for name, x in QUIET.items() if name != "vix"})
    assert 0.85 * score == pytest.approx(judged("classic", QUIET)[0] - 0.15)  # the other factors' mean
    whole = sum(rule.weight for rule in preset("classic").rules)
    assert confidence == pytest.approx(1.0 - 2 * 0.15 / whole)


def test_the_classic_score_is_the_sum_of_its_nine_factors_by_hand():
    values = QUIET | {"iv_percentile": 30.0, "vix": 21.0, "rsi": 15.0, "adx": 40.0, "consensus": 0.75}
    values |= {"stochastic": 85.0, "bb_position": 0.75, "bb_width": 0.02, "volume_ratio": 0.4, "sma_distance": 0.01}
    halves = (0.25 + 0.18 + 0.15 + 0.10 + 0.10 + 0.07 + 0.056 + 0.024 + 0.04 + 0.03) * 0.5
    score, confidence = judged("classic", values)
    assert score == pytest.approx(halves) and halves == 0.5 and confidence == 1.0
    weights = {factor: 0.0 for factor in FACTORS}
    for rule in preset("classic").rules:
        weights[rule.factor] = round(weights[rule.factor] + rule.weight * (rule.const == 1.0), 6)
    assert {factor: w for factor, w in weights.items() if w} == {
        **{"mtf": 0.25, "iv": 0.18, "regime": 0.15, "rsi": 0.10, "adx": 0.10},
        **{"stoch": 0.07, "bbands": 0.08, "volume": 0.04, "sma": 0.03},
    }


def test_the_rules_read_the_measure_of_iv_in_use():
    by_rank = preset(strategy__signals__iv_measure="rank")
    assert "iv_rank" in by_rank.variables and "iv_percentile" not in by_rank.variables
    engine = fuzzy_engine_of(by_rank)
    values = row(QUIET | {"iv_percentile": math.nan})
    assert infer(engine, values, np.empty(len(engine.const))) == (1.0, 1.0)


def test_a_factor_weighs_its_rules_and_without_weight_they_are_gone():
    base = preset()
    heavy = preset(strategy__signals__fuzzy_rsi=3.0)
    ratio = [b.weight / a.weight for a, b in zip(base.rules, heavy.rules, strict=True)]
    assert ratio == [3.0 if rule.factor == "rsi" else 1.0 for rule in base.rules]
    light = preset(strategy__signals__fuzzy_rsi=0.0)
    assert [rule for rule in base.rules if rule.factor != "rsi"] == list(light.rules)
    with pytest.raises(ConfigError, match="give one of them a weight"):
        weighed(base, dict.fromkeys(FACTORS, 0.0))


def test_what_each_rule_fires_is_told_with_its_words():
    base = RuleBase(VARIABLES, (*SLOPED[:1], SLOPED[3], SLOPED[4]._replace(factor="mtf")), "product")
    assert rule_texts(base) == [
        "if stress is calm then 1 (weight 1)",
        "if stress is calm and trend is flat then 0.9 (weight 0.5)",
        "if stress is tense then 0.2 +0.3 trend (mtf, weight 0.7)",
    ]
    columns = np.array([[1.0, 4.0, 4.0], [0.25, 0.0, math.nan]])
    told = fired(engine_of(*base), columns, np.array([2, 0, 1]))
    np.testing.assert_allclose(told, [[0.5, 0.0, 0.0], [1.0, 0.25, 0.0], [0.5, 0.25, 0.35]])
    assert fired(ENGINES["quantor"], row(QUIET)[:, None], [0]).shape == (1, len(preset().rules))


TREE = read_fuzzy("classic")


@pytest.mark.parametrize(
    ("tree", "why"),
    [
        ({"variables": {}, "rules": []}, "'norm'"),
        ({**TREE, "rules": [{"when": {"vix": "calm"}, "then": 1, "factor": "luck"}]}, "factor is 'luck'"),
        ({**TREE, "rules": [{"when": {"vix": "calm"}, "then": 1, "factr": "rsi"}]}, "did you mean 'factor'"),
        ({**TREE, "rules": [{"when": {"vix": "calm"}, "factor": "rsi"}]}, "'then'"),
        ({**TREE, "variables": {"vix": {"terms": {}}}}, "'range'"),
    ],
)
def test_a_file_of_rules_that_makes_no_sense_is_refused(tree, why):
    with pytest.raises(ConfigError, match=why):
        rule_base(tree, "rules.yaml")


def test_a_variable_that_is_no_signal_is_refused():
    base = renamed(preset(), "vix", "vixx")
    with pytest.raises(ConfigError, match="did you mean 'vix'"):
        engine_of(base.variables, base.rules, base.norm, SIGNALS)


def test_a_rule_of_first_order_may_stand_in_a_file():
    then = {"const": 0.2, "slopes": {"vix": 0.01}}
    tree = {**TREE, "rules": [{"when": {"vix": "calm"}, "then": then, "factor": "regime"}]}
    (rule,) = rule_base(tree, "rules.yaml").rules
    assert (rule.const, rule.slopes, rule.weight) == (0.2, {"vix": 0.01}, 1.0)
