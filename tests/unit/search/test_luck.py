"""Luck is called luck, and skill skill, on the trials of a real search with their means taken off."""

from __future__ import annotations

import math
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from core.overfit import deflated_sharpe, overfitting
from core.search.evaluate import Evaluator, Task
from core.search.findings import excess_returns
from core.search.grid import parse_grid
from core.search.luck import (
    effective_number,
    independent,
    independent_periods,
    judged,
    luck_of,
    moving,
    splits_for,
    spread_of,
)
from core.search.space import Space
from tests import markets

SEARCHED = {
    "vary": {
        "strategy.entry.short_delta": [0.12, 0.16, 0.2],
        "strategy.exits.profit_frac": [0.3, 0.5, 0.7],
        "strategy.exits.stop_multiple": [1.0, 2.0, 3.0],
        "strategy.exits.exit_dte": [1, 2, 3],
    }
}
FOUR_YEARS, A_WEEK = 1008, 5


@cache
def trials() -> Any:
    """float64 (sessions, 81): returns of a search at mid, without fees, on a generated market; means taken off."""
    store = markets.market("years")
    config = markets.config_of(market__name=store.name, costs__fill="mid", costs__fees="none")
    space = Space(parse_grid(SEARCHED, "searched").phases[0], config)
    outcome = Evaluator(store, config).evaluate(Task(space.paths, tuple(space.rows)))
    starts = np.full(len(space.rows), 2_500_000.0)
    returns = excess_returns(outcome.equity, starts, np.zeros(outcome.equity.shape[1]))
    return returns - returns.mean(axis=0)


def drawn(seed: int, annual_sharpe: Any) -> Any:
    """Four years of the same trials, weeks drawn again, with a drift that is each one's true Sharpe ratio."""
    base, rng = trials(), np.random.default_rng(seed)
    starts = rng.integers(0, len(base), FOUR_YEARS // A_WEEK + 1)
    rows = np.concatenate([(np.arange(A_WEEK) + start) % len(base) for start in starts])[:FOUR_YEARS]
    return base[rows] + annual_sharpe / math.sqrt(252) * base.std(axis=0, ddof=1)


def verdicts(annual_sharpe: float, seeds: int) -> list[tuple[str, float]]:
    found = []
    for seed in range(seeds):
        returns = drawn(seed, annual_sharpe)
        best = int(np.argmax(returns.mean(axis=0) / returns.std(axis=0, ddof=1)))
        luck = luck_of(returns, best, returns.shape[1])
        assert luck.deflated is not None
        found.append((luck.verdict, luck.deflated))
    return found


def test_without_drift_the_winner_is_called_overfit_in_95_of_100_seeds() -> None:
    found = verdicts(0.0, 100)
    assert sum(verdict == "overfit" and deflated < 0.95 for verdict, deflated in found) >= 95


def test_a_true_sharpe_ratio_of_2_is_seen_in_80_of_100_seeds() -> None:
    assert sum(verdict == "not overfit" for verdict, _ in verdicts(2.0, 100)) >= 80


def test_plainly_bad_settings_are_no_luck_of_the_best() -> None:
    """One column of Sharpe 2.5 a year among sixty between -4 and 1: the losers say nothing of how it came about."""
    rng = np.random.default_rng(11)
    returns = 0.01 * rng.standard_normal((FOUR_YEARS, 61))
    returns -= returns.mean(axis=0)
    annual = np.concatenate(([2.5], rng.uniform(-4.0, 1.0, 60)))
    returns += annual / math.sqrt(252) * returns.std(axis=0, ddof=1)
    luck = luck_of(returns, 0, 61)
    assert luck.verdict == "not overfit", luck.words
    assert luck.by_luck is not None and luck.by_luck * math.sqrt(252) < 2.0


def test_good_settings_beside_bad_ones_are_no_luck_either() -> None:
    """A third of the trials earn a true Sharpe ratio of 2.5 a year, the others lose: skill differs, luck does not."""
    annual = np.where(np.arange(81) % 3 == 0, 2.5, -2.0)
    assert sum(luck_of(drawn(seed, annual), 0, 81).verdict == "not overfit" for seed in range(10)) >= 8


def test_the_best_of_losers_is_no_find() -> None:
    for seed in range(10):
        returns = drawn(seed, np.linspace(-4.0, 0.0, 81))
        assert luck_of(returns, int(np.argmax(returns.mean(axis=0) / returns.std(axis=0))), 81).verdict == "overfit"


def test_a_record_too_short_to_show_anything_is_undecided() -> None:
    luck = luck_of(drawn(3, 1.0)[:40, :1], 0, 1)
    assert luck.verdict == "undecided" and "40 sessions" in luck.words and "too short to judge" in luck.words
    assert luck.least_to_judge is not None and 100 < luck.least_to_judge < 500
    assert luck_of(drawn(3, 0.0), 0, 81).verdict == "overfit"  # four years are long enough to say so


def test_more_tries_take_a_longer_record() -> None:
    found = [luck_of(drawn(5, 2.0), 0, tries) for tries in (81, 10_000, 10**9)]
    for a, b in pairwise(found):
        assert a.least is not None and b.least is not None and a.least < b.least
        assert a.least_to_judge is not None and b.least_to_judge is not None and a.least_to_judge <= b.least_to_judge
    assert found[2].verdict == "undecided"  # luck alone is expected to show a Sharpe ratio of 2 in four years


@pytest.mark.parametrize("seed", range(12))
def test_a_record_as_long_as_its_least_is_what_not_overfit_means(seed: int) -> None:
    luck = luck_of(drawn(seed, 1.6), 0, 81)
    assert luck.least is not None and luck.deflated is not None
    if abs(luck.least / luck.periods - 1.0) > 0.01:  # independent sessions are whole ones
        assert (luck.periods > luck.least) == (luck.deflated >= 0.95)
    assert f"1,008 sessions, least record for this claim {math.ceil(luck.least):,}" in luck.words


def test_no_record_is_long_enough_for_a_loss() -> None:
    luck = luck_of(drawn(5, -2.0), 0, 81)
    assert luck.least == math.inf and "no record is long enough for this claim" in luck.words


def test_copies_are_no_new_tries() -> None:
    rng = np.random.default_rng(3)
    one = rng.standard_normal((1000, 1))
    few = rng.standard_normal((1000, 8))
    assert effective_number(np.repeat(few, 20, axis=1), 160) == pytest.approx(effective_number(few, 160), rel=1e-9)
    assert len(moving(np.repeat(few, 20, axis=1))) == 8
    alike = one + 0.01 * rng.standard_normal((1000, 100))
    assert effective_number(alike, 100) < 6.0
    apart = rng.standard_normal((1000, 100))
    assert 60.0 < effective_number(apart, 100) <= 100.0
    assert effective_number(alike, 100) < effective_number(alike, 10_000) < 10_000


def test_independent_tries_invert_the_expected_best() -> None:
    from core.overfit import expected_best_sharpe

    for tries in (3.0, 10.0, 250.0):
        assert independent(expected_best_sharpe(tries, 1.0)) == pytest.approx(tries, rel=1e-6)


def test_dependent_returns_are_worth_fewer() -> None:
    rng = np.random.default_rng(5)
    noise = rng.standard_normal(3000)
    assert independent_periods(noise) > 2700
    following = np.convolve(noise, np.ones(5) / 5, "valid")
    assert independent_periods(following) < 1200


def test_more_tries_never_raise_the_deflated_ratio() -> None:
    returns = drawn(1, 1.5)
    values = [luck_of(returns, 0, tries).deflated for tries in (81, 1_000, 100_000)]
    assert values == sorted(values, key=lambda v: -(v or 0.0)) and values[0] != values[2]


def test_what_cannot_be_known_is_undecided() -> None:
    flat = np.zeros((300, 4))
    luck = luck_of(flat, 0, 4)
    assert (luck.verdict, luck.deflated, luck.pbo) == ("undecided", None, None)
    lost = drawn(2, 0.0).copy()
    lost[500:, 3] = np.nan
    assert luck_of(lost, 3, 81).verdict == "undecided"
    assert luck_of(lost, 4, 81).deflated is not None  # the others are still judged


def test_blocks_fit_the_record_and_the_work() -> None:
    assert splits_for(1008, 81) == 16
    assert splits_for(1008, 10_000) == 12
    assert splits_for(20, 81) == 4
    assert splits_for(15, 81) is None


def test_the_parts_are_those_of_core_overfit() -> None:
    """No second formula: the figures are the ones that the published examples hold."""
    returns = drawn(7, 1.0)
    luck = luck_of(returns, 5, 200)
    assert luck.overfitting is not None and luck.splits is not None
    assert luck.pbo == overfitting(returns, luck.splits).pbo
    assert luck.sharpe is not None and luck.spread is not None
    assert luck.spread == spread_of(luck.sharpe, luck.worth, *moments_of(returns, 5))
    assert luck.deflated == pytest.approx(
        deflated_sharpe(luck.sharpe, luck.worth, *moments_of(returns, 5), luck.effective, luck.spread**2)
    )


def moments_of(returns: Any, column: int) -> tuple[float, float]:
    from core.search.luck import adverse_moments, common_moments

    found = adverse_moments(common_moments(returns[:, moving(returns)]), returns[:, column])
    assert found is not None
    return found


def test_a_verdict_needs_more_than_a_good_half() -> None:
    from core.overfit import Overfitting

    bad = Overfitting(0.8, -1.0, 10, None, None, None, 0.7)
    assert judged(0.1, 0.02, 0.99, bad)[0] == "overfit"
    assert judged(0.1, 0.02, 0.99, bad._replace(loss=0.1))[0] == "not overfit"
    assert "which of the settings is best is luck" in judged(0.1, 0.02, 0.99, bad._replace(loss=0.1))[1]
    assert judged(0.1, 0.02, 0.90, None)[0] == "overfit"
    assert judged(None, None, None, None)[0] == "undecided"
