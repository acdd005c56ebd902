"""Luck: what many useless trials look like, and what one good one does."""

import math

import numpy as np
import pytest

from core import overfit
from core.errors import DataError


def test_the_best_of_many_useless_trials_is_as_good_as_expected():
    rng = np.random.default_rng(1)
    best = [np.max(rng.standard_normal(100)) for _ in range(2000)]
    assert overfit.expected_best_sharpe(100, 1.0) == pytest.approx(np.mean(best), rel=0.02)
    assert overfit.expected_best_sharpe(1, 1.0) == 0.0


def test_more_trials_deflate_more_and_none_at_all_is_the_plain_probability():
    chances = [overfit.deflated_sharpe(0.1, 1000, -1.0, 6.0, n, 0.001) for n in (1, 10, 100, 1000)]
    assert chances == sorted(chances, reverse=True)
    assert chances[0] == overfit.psr_from_moments(0.1, 1000, -1.0, 6.0, 0.0)


def test_a_record_of_the_least_length_just_reaches_the_confidence():
    n = overfit.least_record(0.08, -1.5, 8.0, 0.02, 0.95)
    assert overfit.psr_from_moments(0.08, round(n), -1.5, 8.0, 0.02) == pytest.approx(0.95, abs=1e-3)
    assert overfit.least_record(0.02, 0.0, 3.0, 0.02, 0.95) == math.inf
    assert overfit.least_backtest_years(45, 1.0) == pytest.approx(5.0, rel=0.05)  # the paper's own example


def test_noise_is_overfitted_about_half_the_time_and_skill_is_not():
    rng = np.random.default_rng(2)
    noise = 0.01 * rng.standard_normal((800, 20))
    found = overfit.overfitting(noise, 10)
    assert found.combinations == 252 and 0.2 < found.pbo < 0.8
    noise[:, 3] += 0.003
    skilled = overfit.overfitting(noise, 10)
    assert skilled.pbo == 0.0 and skilled.loss == 0.0
    assert np.all(skilled.in_sample > 0.0) and len(skilled.logits) == 252


def test_the_number_of_cores_changes_nothing(monkeypatch):
    returns = np.random.default_rng(4).standard_normal((200, 7))
    found = []
    for cores in (1, 2, 3, 8, None):
        monkeypatch.setattr("os.cpu_count", lambda cores=cores: cores)
        found.append(np.stack(overfit.overfitting(returns, 6)[3:6]).tobytes())
    assert len(set(found)) == 1


def test_the_measure_does_not_care_for_scale_order_or_a_column_that_never_trades():
    rng = np.random.default_rng(3)
    returns = 0.01 * rng.standard_normal((400, 12))
    plain = overfit.overfitting(returns, 8)
    mixed = overfit.overfitting(7.0 * returns[:, ::-1], 8)
    assert plain.pbo == mixed.pbo and plain.mean_logit == pytest.approx(mixed.mean_logit, abs=1e-12)
    idle = overfit.overfitting(np.column_stack([returns, np.zeros(400)]), 8)
    assert math.isfinite(idle.mean_logit)


def test_what_cannot_be_split_is_refused():
    returns = np.ones((100, 3))
    for matrix, splits in ((returns, 7), (returns[:, :1], 8), (returns[:10], 8), (np.full((100, 3), np.nan), 8)):
        with pytest.raises(DataError):
            overfit.overfitting(matrix, splits)


def test_copies_of_a_trial_count_once():
    rng = np.random.default_rng(4)
    one = rng.standard_normal((500, 1))
    assert overfit.effective_trials(np.repeat(one, 30, axis=1)) == pytest.approx(1.0)
    assert overfit.effective_trials(rng.standard_normal((5000, 30))) == pytest.approx(30.0, rel=0.05)
    assert overfit.effective_trials(np.column_stack([one, np.zeros(500)])) == 1.0


def test_a_bootstrap_interval_holds_the_mean_and_widens_with_dependence():
    rng = np.random.default_rng(5)
    noise = rng.standard_normal(600)
    slow = np.convolve(noise, np.ones(10), "valid") / math.sqrt(10)
    widths = []
    for series in (noise, slow):
        low, high = overfit.bootstrap_interval(lambda r: float(np.mean(r)), series, 0.9, 400, np.random.default_rng(6))
        assert low < series.mean() < high
        widths.append(high - low)
    assert widths[1] > 1.5 * widths[0]
