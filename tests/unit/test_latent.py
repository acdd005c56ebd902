"""Latent-state fits: they find what made the data, say how sure they are, and refuse what cannot be fitted."""

import math

import numpy as np
import pytest

from core.errors import DataError
from core.features.hmm import RegimeModel, filtered_regimes, fit_regimes, smoothed_for_pictures, stationary_law
from core.features.kalman import LinearModel, fit_local_level, kalman_filter, known_start
from core.features.kalman import smoothed_for_pictures as smooth
from core.features.ornstein_uhlenbeck import fit_ou
from core.features.particle import cloud_of, particle_filter, stationary_log_variance
from core.features.volatility_forecast import garch_forecast, gjr_variance, har_forecast


def test_regimes_are_found_and_ordered_calm_first():
    rng = np.random.default_rng(21)
    state, y = 1, np.empty(1500)
    for t in range(len(y)):
        if rng.random() < 0.03:
            state = 1 - state
        y[t] = (0.006, 0.02)[state] * rng.standard_normal()
    found = fit_regimes(y)
    assert found.sd == pytest.approx([0.006, 0.02], rel=0.12)
    assert np.diag(found.transition) == pytest.approx([0.97, 0.97], abs=0.03)
    assert found.start == pytest.approx(stationary_law(found.transition))
    np.testing.assert_allclose(found.start @ found.transition, found.start, atol=1e-12)
    with pytest.raises(DataError, match="give at least 40"):
        fit_regimes(y[:30])


def test_smoothing_sees_the_turn_before_the_filter_does():
    y = np.concatenate([np.full(30, 0.002), np.tile([0.04, -0.04], 15)])
    model = RegimeModel(np.array([0.5, 0.5]), np.array([[0.9, 0.1], [0.1, 0.9]]), np.zeros(2), np.array([0.005, 0.03]))
    filtered, smoothed = filtered_regimes(model, y)[0], smoothed_for_pictures(model, y)
    assert smoothed[29, 1] > filtered[29, 1]
    np.testing.assert_allclose(filtered.sum(axis=1), 1.0)
    np.testing.assert_allclose(smoothed[-1], filtered[-1])


def test_a_local_level_is_found():
    rng = np.random.default_rng(3)
    level = np.cumsum(0.5 * rng.standard_normal(800))
    found = fit_local_level(level + rng.standard_normal(800))
    assert found.obs_var == pytest.approx(1.0, rel=0.25) and found.state_cov[0, 0] == pytest.approx(0.25, rel=0.4)
    with pytest.raises(DataError, match="constant"):
        fit_local_level(np.full(50, 2.0))


def test_smoothing_a_state_lowers_its_error():
    rng = np.random.default_rng(4)
    level = np.cumsum(0.3 * rng.standard_normal(400))
    model = LinearModel(np.ones(1), np.ones((1, 1)), np.full((1, 1), 0.09), 1.0)
    found = kalman_filter(model, known_start([0.0], [[1.0]]), level + rng.standard_normal(400))
    error = [np.mean((states[:, 0] - level) ** 2) for states in (found.mean, smooth(model, found))]
    assert error[1] < error[0] < 1.0
    with pytest.raises(DataError, match="2 x 2"):
        kalman_filter(
            LinearModel(np.ones(2), np.ones((1, 1)), np.ones((1, 1)), 1.0), known_start([0.0], [[1.0]]), level
        )


def test_a_particle_filter_follows_the_volatility():
    rng = np.random.default_rng(5)
    model = stationary_log_variance(kappa=10.0, theta=math.log(1e-4), sigma=3.0, dt=1 / 252)
    x = np.empty(600)
    x[0] = model.mean
    for t in range(1, len(x)):
        x[t] = model.mean + model.phi * (x[t - 1] - model.mean) + model.sd * rng.standard_normal()
    y = np.exp(x / 2) * rng.standard_normal(600)
    found = particle_filter(model, cloud_of(rng.standard_normal(2000), model.mean, 0.5), y, rng)
    assert np.corrcoef(found.mean[50:], x[50:])[0, 1] > 0.6
    assert np.mean((found.mean - x) ** 2) < np.var(x) and np.all(found.variance > 0.0)


def test_the_speed_of_mean_reversion_comes_with_its_error_and_its_bias_taken_off():
    rng = np.random.default_rng(6)
    kappa, dt = 4.0, 1 / 252
    phi = math.exp(-kappa * dt)
    found = []
    for _ in range(60):
        x = np.zeros(505)
        for t in range(1, len(x)):
            x[t] = phi * x[t - 1] + 0.06 * rng.standard_normal()
        found.append(fit_ou(x, dt))
    plain, corrected = (np.mean([getattr(f, name) for f in found]) for name in ("kappa", "kappa_corrected"))
    assert plain > kappa + 1.0 and abs(corrected - kappa) < abs(plain - kappa)
    assert all(f.kappa_error > 0.0 and f.kappa_corrected <= f.kappa for f in found)


def test_a_series_without_mean_reversion_is_refused():
    with pytest.raises(DataError, match="does not revert"):
        fit_ou(np.arange(50.0) ** 2, 1 / 252)
    with pytest.raises(DataError, match="without gaps"):
        fit_ou(np.array([1.0, np.nan] * 20), 1 / 252)


def test_forecasts_follow_the_level_of_the_variance():
    rng = np.random.default_rng(7)
    level = np.where(np.arange(700) < 400, 1e-4, 4e-4)
    returns = np.sqrt(level) * rng.standard_normal(700)
    har = har_forecast(level * rng.chisquare(78, 700) / 78, 5)
    assert (
        np.isnan(har[:100]).all()
        and har[380] == pytest.approx(1e-4, rel=0.2)
        and har[-1] == pytest.approx(4e-4, rel=0.3)
    )
    garch = garch_forecast(returns, 5, minimum=300, refit_every=200)
    assert np.isnan(garch[:299]).all() and garch[-50:].mean() > 2.0 * garch[350:400].mean()
    with pytest.raises(DataError, match="without gaps"):
        garch_forecast(np.full(700, np.nan), 5)


def test_a_fall_raises_the_leveraged_variance_more_than_a_rise():
    args = (0.0, 1e-6, 0.03, 0.1, 0.9, 1e-4)
    fall, rise = gjr_variance(np.array([-0.03]), *args), gjr_variance(np.array([0.03]), *args)
    assert fall[0] > rise[0]
