"""The ground around a trial: neighbours, plateaus, what matters."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.search.heat import heat_map
from core.search.robustness import (
    ground_of,
    importances,
    inert,
    neighbourhood_scores,
    pareto,
    plateau,
    steps,
)
from core.search.shapes import shape_of


def grid(**axes: Any) -> dict[str, list[Any]]:
    rows = list(product(*axes.values()))
    return {name: [row[i] for row in rows] for i, name in enumerate(axes)}


LEVELS = grid(a=[1, 2, 3, 4, 5], b=[0.1, 0.2, 0.3], c=["x", "y", "z"])


def pairs(levels: dict[str, list[Any]]) -> set[tuple[int, int]]:
    return {(int(i), int(k)) for _, mine, other in steps(levels) for i, k in zip(mine, other, strict=True)}


def test_neighbours_are_one_step_of_one_setting_away() -> None:
    n = len(LEVELS["a"])
    want = set()
    for i, k in product(range(n), range(n)):
        apart = [name for name in LEVELS if LEVELS[name][i] != LEVELS[name][k]]
        if len(apart) == 1:
            name = apart[0]
            if name == "c" or abs(sorted(set(LEVELS[name])).index(LEVELS[name][i])
                                  - sorted(set(LEVELS[name])).index(LEVELS[name][k])) == 1:  # fmt: skip
                want.add((i, k))
    assert pairs(LEVELS) == want


@given(order=st.permutations(range(45)))
def test_the_order_of_trials_does_not_matter(order: list[int]) -> None:
    levels = {name: [values[i] for i in order] for name, values in LEVELS.items()}
    score = np.array([a + 10 * b for a, b in zip(LEVELS["a"], LEVELS["b"], strict=True)])
    shuffled = score[order]
    assert order[plateau(levels, shuffled)] == plateau(LEVELS, score)
    flat = np.zeros(45)  # nothing but ties
    assert order[plateau(levels, flat)] == plateau(LEVELS, flat)
    assert np.allclose(neighbourhood_scores(levels, shuffled), neighbourhood_scores(LEVELS, score)[order])


def test_the_plateau_is_taken_and_not_the_spike() -> None:
    levels = grid(a=list(range(9)), b=list(range(9)))
    a, b = np.array(levels["a"]), np.array(levels["b"])
    score = np.where((abs(a - 6) <= 1) & (abs(b - 6) <= 1), 1.0, 0.1)
    spike = int(np.nonzero((a == 1) & (b == 1))[0][0])
    score[spike] = 2.0
    chosen = plateau(levels, score)
    assert (levels["a"][chosen], levels["b"][chosen]) == (6, 6)
    assert shape_of(levels, score, chosen).word == "plateau"
    assert shape_of(levels, score, spike).word == "spike"
    assert neighbourhood_scores(levels, score)[spike] == pytest.approx(0.05)


def test_a_ridge_names_its_directions() -> None:
    levels = grid(a=list(range(7)), b=list(range(7)))
    score = np.where(np.array(levels["b"]) == 3, 1.0, 0.05)
    chosen = plateau(levels, score)
    shape = shape_of(levels, score, chosen)
    assert (shape.word, shape.along, shape.across) == ("ridge", ("a",), ("b",))
    assert "breaks along b" in shape.words


def test_trials_that_do_not_count_are_bad_neighbours() -> None:
    levels = grid(a=[1, 2, 3])
    assert plateau(levels, np.array([np.nan, np.nan, np.nan])) == -1
    score = np.array([5.0, np.nan, 1.0])
    assert plateau(levels, score) == 0
    assert shape_of(levels, score, 0).word == "spike"


def test_scores_stay_in_bounds_with_losses() -> None:
    rng = np.random.default_rng(1)
    score = rng.standard_normal(45) - 1.0
    found = neighbourhood_scores(LEVELS, score)
    assert (found >= 0.0).all() and (found <= 1.0).all()


def test_drawn_trials_have_their_nearest() -> None:
    rng = np.random.default_rng(2)
    levels = {"a": rng.permutation(200).tolist(), "b": rng.permutation(200).tolist()}
    score = -np.hypot(np.array(levels["a"]) - 100, np.array(levels["b"]) - 100)
    chosen = plateau(levels, score)
    assert score[chosen] > np.quantile(score, 0.97)
    assert np.isfinite(neighbourhood_scores(levels, score)).all()


@given(order=st.permutations(range(12)))
def test_the_order_of_drawn_trials_and_their_choices_does_not_matter(order: list[int]) -> None:
    levels = {"a": [1, 9, 4, 7, 2, 8, 3, 6, 5, 0, 11, 10], "c": list("zxyzyxxyzyzx")}
    score = np.arange(12.0) ** 2
    mixed = {name: [values[i] for i in order] for name, values in levels.items()}
    assert np.allclose(neighbourhood_scores(mixed, score[order]), neighbourhood_scores(levels, score)[order])


def test_what_a_choice_is_called_does_not_matter() -> None:
    """Any two values of a choice are equally far apart: no rank of their names makes some of them near."""
    rng = np.random.default_rng(6)
    chosen = rng.choice(list("vwxyz"), 60).tolist()
    levels = {"a": rng.permutation(60).tolist(), "c": chosen}
    renamed = {**levels, "c": [dict(zip("vwxyz", "zvyxw", strict=True))[c] for c in chosen]}
    score = rng.standard_normal(60)
    assert np.array_equal(neighbourhood_scores(levels, score), neighbourhood_scores(renamed, score))


@given(order=st.permutations(range(45)))
def test_equal_plateaus_are_equal_whatever_the_order_of_their_sums(order: list[int]) -> None:
    levels = {name: [values[i] for i in order] for name, values in LEVELS.items()}
    score = np.array([0.1, 0.2, 0.3])[(np.array(LEVELS["a"]) + [ord(c) for c in LEVELS["c"]]) % 3]
    assert order[plateau(levels, score[order])] == plateau(LEVELS, score)
    assert np.array_equal(neighbourhood_scores(levels, score[order]), neighbourhood_scores(LEVELS, score)[order])


@pytest.mark.parametrize(
    ("around", "word", "words"),
    [
        ((1.0, 0.9, 0.8, 1.0), "plateau", "in every direction"),
        ((1.0, 1.0, 0.5, 0.5), "slope", "holds along a and falls along the others, and no step ruins it"),
        ((0.5, 0.5, 0.5, 0.5), "slope", "no step ruins it"),
        ((1.0, 1.0, 0.1, 0.1), "ridge", "holds along a and breaks along b"),
        ((0.1, 0.1, 0.1, 0.1), "spike", "every step ruins it"),
        ((0.5, 0.5, 0.1, 0.1), "spike", "breaks along b and holds nowhere"),
    ],
)
def test_the_words_say_what_the_steps_leave(around: tuple[float, ...], word: str, words: str) -> None:
    levels = {"a": [1, 0, 2, 1, 1], "b": [1, 1, 1, 0, 2]}
    shape = shape_of(levels, np.array([1.0, *around]), 0)
    assert shape.word == word and words in shape.words


def test_one_bad_step_of_four_is_no_spike() -> None:
    levels = {name: [1] * 9 for name in "abcd"}
    for j, name in enumerate("abcd"):
        levels[name][1 + 2 * j], levels[name][2 + 2 * j] = 0, 2
    shape = shape_of(levels, np.array([1.0, 0.1, 0.1, *[0.5] * 6]), 0)
    assert (shape.word, shape.across) == ("slope", ("a",))
    assert (
        shape.words
        == "slope: it breaks along a and falls along the others; the worst step (a) leaves 10% of the objective"
    )


def test_a_plateau_in_every_direction_was_stepped_in_every_direction() -> None:
    levels = {"a": [1, 2, 3, 9], "b": [1, 1, 1, 5]}
    shape = shape_of(levels, np.array([1.0, 1.0, 1.0, 0.0]), 1)
    assert shape.word == "plateau" and "every direction" not in shape.words
    assert "no step along b was tried" in shape.words


def test_a_drawn_trial_has_the_shape_of_its_nearest() -> None:
    rng = np.random.default_rng(2)
    levels = {"a": rng.permutation(200).tolist(), "b": rng.permutation(200).tolist()}
    assert shape_of(levels, np.ones(200), 7).word == "plateau"
    alone = np.full(200, 0.01)
    alone[7] = 1.0
    shape = shape_of(levels, alone, 7)
    assert shape.word == "spike" and "nearest drawn trials keep 1% to 1%" in shape.words


def test_heat_maps_of_many_levels_are_binned() -> None:
    rng = np.random.default_rng(4)
    levels = {"a": rng.normal(size=500).tolist(), "b": rng.integers(0, 3, 500).tolist()}
    found = heat_map(levels, np.arange(500.0), "a", "b")
    assert len(found.rows) == 12 and found.columns == [0, 1, 2] and " to " in found.rows[0]
    assert found.best.max() == 499.0 and np.isfinite(found.mean).all()
    assert found.best[found.row[499], found.column[499]] == 499.0  # where the last trial went
    whole = heat_map({"a": list(range(24)), "b": [0] * 24}, np.ones(24), "a", "b")
    assert whole.rows == [f"{i} to {i + 1}" for i in range(0, 24, 2)]  # no level is in two labels
    few = heat_map({"a": [*[5] * 100, *range(13)], "b": [0] * 113}, np.ones(113), "a", "b")
    assert "5" in few.rows and len(few.rows) <= 12  # a bin of one level is called by it


def test_importances_are_the_shares_of_an_additive_score() -> None:
    a, b, c = (np.array(LEVELS[name], dtype=object) for name in "abc")
    effect = {"x": 0.0, "y": 1.0, "z": 2.0}
    score = a.astype(float) + 10.0 * b.astype(float) + np.array([effect[v] for v in c])
    found = importances(LEVELS, score)
    total = float(np.var(score))
    assert found["a"] == pytest.approx(np.var(a.astype(float)) / total)
    assert found["b"] == pytest.approx(np.var(10.0 * b.astype(float)) / total)
    assert found["interactions"] == pytest.approx(0.0, abs=1e-9)
    product_only = (a.astype(float) - 3.0) * (b.astype(float) - 0.2)
    assert importances(LEVELS, product_only)["interactions"] == pytest.approx(1.0)


def test_chance_is_no_importance() -> None:
    rng = np.random.default_rng(3)
    levels = {"a": rng.permutation(400).tolist(), "b": rng.permutation(400).tolist()}
    found = importances(levels, rng.standard_normal(400))
    assert max(found["a"], found["b"]) < 0.06


def test_heat_maps_hold_means_and_bests() -> None:
    score = np.arange(45, dtype=float)
    score[0] = np.nan
    found = heat_map(LEVELS, score, "a", "b")
    assert found.rows == [1, 2, 3, 4, 5] and found.columns == [0.1, 0.2, 0.3]
    assert found.mean[0, 0] == pytest.approx(1.5) and found.best[4, 2] == 44.0


def test_the_front_is_not_beaten() -> None:
    profit, fall = np.array([1.0, 2.0, 3.0, 3.0, np.nan]), np.array([1.0, 1.0, 5.0, 4.0, 0.0])
    assert pareto(profit, fall).tolist() == [False, True, False, True, False]


def test_settings_that_changed_nothing_are_named() -> None:
    outcome = np.array([[a, 1.0] for a in LEVELS["a"]], dtype=float)
    assert inert(LEVELS, outcome) == ["b", "c"]


def test_beside_some_of_the_trials_a_neighbour_that_does_not_count_leaves_nothing() -> None:
    """What the worst of all trials is, and how far they spread, is unknown then; of all it is the worst that counts."""
    levels, scores = {"a.x": [0, 1, 2, 3, 4]}, np.array([2.0, 4.0, np.nan, 1.0, 3.0])
    assert neighbourhood_scores(levels, scores)[1] == pytest.approx((0.5 + 0.25) / 2)
    part = ground_of(levels).at(np.array([0, 1, 2]))
    assert part.whole.tolist() == [True, True, False]
    assert neighbourhood_scores(part, scores[:3])[1] == pytest.approx((0.5 + 0.0) / 2)
    assert np.isnan(neighbourhood_scores(part, -scores[:3])).all()
    assert shape_of(part, scores[:3], 1).word != "unknown" == shape_of(part, -scores[:3], 1).word
    assert plateau(ground_of({"a.x": [0, 1, 2]}), [1.0, 0.5, 9.0]) == 2
    assert plateau(part, [1.0, 0.5, 9.0]) == 1  # the last misses a neighbour


def test_steps_from_a_loss_are_told_in_the_spread_of_the_trials() -> None:
    """A share of what is lost would say that a worse loss keeps more than all of it."""
    levels = {"a.x": [0, 1, 2]}
    lost = shape_of(levels, [-1.0, -1.1, -3.0], 1)
    assert lost.words.endswith("the worst step (x) costs 100% or more of the trials' standard deviation")
    assert "costs 0% of the trials' standard deviation" in shape_of(levels, [-1.0, -1.0, -3.0], 0).words
    assert shape_of(levels, [2.0, 1.0, 1.0], 0).words.endswith("leaves 50% of the objective")
