"""Features know the past only: cutting the future off changes nothing, and one bar at a time is the whole at once."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.features import indicators as ind
from core.features.hmm import RegimeModel, filtered_regimes, regime_step
from core.features.kalman import LinearModel, diffuse_start, kalman_filter, kalman_step
from core.features.particle import RETURNS, HiddenModel, cloud_of, particle_rows, particle_step
from core.features.surface import ranks
from core.features.volatility import trailing_volatility
from core.features.volatility_forecast import garch_forecast, har_forecast

N = 400
rng = np.random.default_rng(9)
RETURN = 0.01 * rng.standard_normal(N) * (1.0 + 0.8 * np.sin(np.arange(N) / 30.0))
CLOSE = 400.0 * np.exp(np.cumsum(RETURN))
HIGH, LOW = CLOSE * 1.004, CLOSE * 0.995
VOLUME = np.floor(1e6 * rng.lognormal(size=N))
VARIANCE = RETURN**2 + 1e-6


def column(kernel, state, *args, values=1, at=N):
    """A batch over the first `at` bars, always as [values, at]."""
    parts = [a[:at] if isinstance(a, np.ndarray) else a for a in args]
    out = np.empty(at) if values == 1 else np.empty((values, at))
    kernel(state(), *parts, out)
    return out.reshape(values, at)


def window(period):
    return lambda: ind.window_state(period)


def stochastic():
    return ind.stochastic_state(14)


# name -> (batch kernel, state, arguments, number of values, step kernel)
INDICATORS = {
    "sma": (ind.sma_rows, window(20), (20, CLOSE), 1, ind.sma_step),
    "sma distance": (ind.sma_distance_rows, window(20), (20, CLOSE), 1, ind.sma_distance_step),
    "ema": (ind.ema_rows, ind.ema_state, (20, CLOSE), 1, ind.ema_step),
    "rsi": (ind.rsi_rows, ind.rsi_state, (14, CLOSE), 1, ind.rsi_step),
    "atr": (ind.atr_rows, ind.atr_state, (14, HIGH, LOW, CLOSE), 1, ind.atr_step),
    "adx": (ind.adx_rows, ind.adx_state, (14, HIGH, LOW, CLOSE), 3, ind.adx_step),
    "bollinger": (ind.bollinger_rows, window(20), (20, 2.0, CLOSE), 5, ind.bollinger_step),
    "stochastic": (
        ind.stochastic_rows,
        lambda: ind.stochastic_state(14),
        (14, HIGH, LOW, CLOSE),
        2,
        ind.stochastic_step,
    ),
    "macd": (ind.macd_rows, ind.macd_state, (CLOSE,), 3, ind.macd_step),
    "sar": (ind.sar_rows, ind.sar_state, (HIGH, LOW), 1, ind.sar_step),
    "obv": (ind.obv_rows, ind.obv_state, (CLOSE, VOLUME), 1, ind.obv_step),
    "volume ratio": (ind.volume_ratio_rows, window(20), (20, VOLUME), 1, ind.volume_ratio_step),
}


@pytest.mark.parametrize("name", INDICATORS)
@settings(max_examples=25)
@given(cut=st.integers(1, N))
def test_an_indicator_cut_short_is_the_same(name, cut):
    kernel, state, args, values, _ = INDICATORS[name]
    whole = column(kernel, state, *args, values=values)
    np.testing.assert_array_equal(column(kernel, state, *args, values=values, at=cut), whole[:, :cut])


@pytest.mark.parametrize("name", INDICATORS)
def test_an_indicator_bar_by_bar_is_the_same(name):
    kernel, make, args, values, step = INDICATORS[name]
    whole, state = column(kernel, make, *args, values=values), make()
    for i in range(120):
        found = step(state, *(a[i] if isinstance(a, np.ndarray) else a for a in args))
        np.testing.assert_array_equal(np.atleast_1d(found), whole[:, i])


def har(n):
    return har_forecast(VARIANCE[:n], 5)


def garch(n):
    return garch_forecast(RETURN[:n], 5, minimum=150, refit_every=120)


def ranked(n):
    out = np.empty((2, n))
    ranks(VARIANCE[:n], 60, out)
    return out


def trailing(n):
    out = np.empty(n)
    trailing_volatility(VARIANCE[:n], 0.3 * VARIANCE[:n], 20, out)
    return out


@pytest.mark.parametrize("feature", [har, garch, ranked, trailing])
@pytest.mark.parametrize("cut", [1, 61, 149, 151, 270, 271, 399])
def test_a_daily_feature_cut_short_is_the_same(feature, cut):
    np.testing.assert_allclose(feature(cut), feature(N)[..., :cut], rtol=1e-12)
    assert np.isfinite(feature(N)).any()


REGIMES = RegimeModel(
    np.array([0.5, 0.5]), np.array([[0.97, 0.03], [0.05, 0.95]]), np.array([5e-4, -1e-3]), np.array([0.007, 0.02])
)
LEVEL = LinearModel(np.ones(1), np.ones((1, 1)), np.full((1, 1), 1e-5), 1e-4)
HIDDEN = HiddenModel(-9.2, 0.97, 0.2, RETURNS, 0.0, 0.0)


@pytest.mark.parametrize("cut", [1, 50, 399])
def test_filtered_states_cut_short_are_the_same(cut):
    np.testing.assert_array_equal(
        filtered_regimes(REGIMES, RETURN[:cut])[0], filtered_regimes(REGIMES, RETURN)[0][:cut]
    )
    for part, whole in zip(
        kalman_filter(LEVEL, diffuse_start(1), RETURN[:cut]),
        kalman_filter(LEVEL, diffuse_start(1), RETURN),
        strict=True,
    ):
        np.testing.assert_array_equal(part, whole[:cut])


def test_filters_bar_by_bar_are_the_same():
    filtered, predicted = filtered_regimes(REGIMES, RETURN)[0], REGIMES.start.copy()
    states, start = kalman_filter(LEVEL, diffuse_start(1), RETURN), diffuse_start(1)
    prob, mean, cov = np.empty(2), np.empty(1), np.empty((1, 1))
    noise, uniform = rng.standard_normal((N, 200)), rng.random(N)
    cloud, again = cloud_of(noise[0], -9.2, 0.5), cloud_of(noise[0], -9.2, 0.5)
    batch, scratch = np.empty((3, N)), np.empty(200)
    particle_rows(HIDDEN, cloud, RETURN, noise, uniform, *batch)
    for t in range(N):
        regime_step(REGIMES, predicted, RETURN[t], prob)
        np.testing.assert_allclose(prob, filtered[t], atol=1e-12)
        kalman_step(LEVEL, start, RETURN[t], mean, cov)
        np.testing.assert_allclose(mean, states.mean[t], atol=1e-12)
        found = particle_step(HIDDEN, again, RETURN[t], noise[t], uniform[t], scratch)
        np.testing.assert_allclose(found, batch[:, t], atol=1e-12)


def test_a_missing_observation_only_moves_the_state_on():
    y = RETURN[:30].copy()
    y[10] = np.nan
    filtered, loglike = filtered_regimes(REGIMES, y)
    np.testing.assert_allclose(filtered[10], filtered[9] @ REGIMES.transition, atol=1e-15)
    assert loglike[10] == 0.0
    found = kalman_filter(LEVEL, diffuse_start(1), y)
    assert found.loglike[10] == 0.0 and found.mean[10] == found.mean[9]
