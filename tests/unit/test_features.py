"""Indicators against TA-Lib, ranges of volatility against each other, ranks and skew against hand-made cases."""

import math

import numpy as np
import pytest

from core.features import indicators as ind
from core.features import surface as sf
from core.features import volatility as vol
from core.features.indicators import bollinger_step
from tests.conftest import both_ways

rng = np.random.default_rng(12)
CLOSE = 450.0 * np.exp(np.cumsum(0.01 * rng.standard_normal(300)))
HIGH = CLOSE * np.exp(np.abs(0.004 * rng.standard_normal(300)))
LOW = CLOSE * np.exp(-np.abs(0.004 * rng.standard_normal(300)))
OPEN = np.clip(CLOSE * np.exp(0.003 * rng.standard_normal(300)), LOW, HIGH)
VOLUME = np.floor(1e6 * rng.lognormal(size=300))


def rows(kernel, state, *args, values=1):
    n = len(CLOSE)
    out = np.empty(n) if values == 1 else np.empty((values, n))
    kernel(state, *args, out)
    return out


def test_talib_agrees_from_the_first_value():
    talib = pytest.importorskip("talib")
    adx = rows(ind.adx_rows, ind.adx_state(), 14, HIGH, LOW, CLOSE, values=3)
    bands = rows(ind.bollinger_rows, ind.window_state(20), 20, 2.0, CLOSE, values=5)
    k, d = rows(ind.stochastic_rows, ind.stochastic_state(14), 14, HIGH, LOW, CLOSE, values=2)
    macd = rows(ind.macd_rows, ind.macd_state(), CLOSE, values=3)
    theirs_k, theirs_d = talib.STOCH(HIGH, LOW, CLOSE, 14, 3, 0, 3, 0)
    upper, middle, lower = talib.BBANDS(CLOSE, 20, 2.0, 2.0)
    pairs = [
        (rows(ind.sma_rows, ind.window_state(20), 20, CLOSE), talib.SMA(CLOSE, 20)),
        (rows(ind.ema_rows, ind.ema_state(), 20, CLOSE), talib.EMA(CLOSE, 20)),
        (rows(ind.rsi_rows, ind.rsi_state(), 14, CLOSE), talib.RSI(CLOSE, 14)),
        (rows(ind.atr_rows, ind.atr_state(), 14, HIGH, LOW, CLOSE), talib.ATR(HIGH, LOW, CLOSE, 14)),
        (adx[0], talib.ADX(HIGH, LOW, CLOSE, 14)),
        (adx[1], talib.PLUS_DI(HIGH, LOW, CLOSE, 14)),
        (adx[2], talib.MINUS_DI(HIGH, LOW, CLOSE, 14)),
        (bands[0], lower),
        (bands[1], middle),
        (bands[2], upper),
        (k, theirs_k),
        (d, theirs_d),
        *zip(macd, talib.MACD(CLOSE, 12, 26, 9), strict=True),
        (rows(ind.sar_rows, ind.sar_state(), HIGH, LOW), talib.SAR(HIGH, LOW, 0.02, 0.2)),
        (rows(ind.obv_rows, ind.obv_state(), CLOSE, VOLUME), talib.OBV(CLOSE, VOLUME)),
    ]
    for ours, theirs in pairs:
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-7)


def test_a_missing_bar_is_unknown_and_starts_afresh():
    close = CLOSE.copy()
    close[100] = np.nan
    rsi = np.empty(300)
    ind.rsi_rows(ind.rsi_state(), 14, close, rsi)
    assert np.isnan(rsi[100:115]).all() and np.isfinite(rsi[115:]).all()
    fresh = np.empty(199)
    ind.rsi_rows(ind.rsi_state(), 14, close[101:], fresh)
    np.testing.assert_array_equal(rsi[101:], fresh)


def test_what_does_not_move_has_no_strength_and_no_place_in_its_range():
    flat = np.full(50, 100.0)
    out, pair, bands = np.empty(50), np.empty((2, 50)), np.empty((5, 50))
    ind.rsi_rows(ind.rsi_state(), 14, flat, out)
    ind.stochastic_rows(ind.stochastic_state(14), 14, flat, flat, flat, pair)
    ind.bollinger_rows(ind.window_state(20), 20, 2.0, flat, bands)
    assert np.isnan(out).all() and np.isnan(pair).all() and np.isnan(bands[3]).all() and bands[4, -1] == 0.0


def test_volume_is_compared_with_the_bars_before():
    out = np.empty(5)
    ind.volume_ratio_rows(ind.window_state(3), 3, np.array([1.0, 2.0, 3.0, 8.0, 13.0]), out)
    np.testing.assert_allclose(out[3:], [4.0, 3.0])
    assert np.isnan(out[:3]).all()


@both_ways
def test_bollinger_position_is_0_at_the_lower_band_and_1_at_the_upper(bollinger_step):
    state = ind.window_state(2)
    bollinger_step(state, 2, 1.0, 100.0)
    lower, middle, upper, position, width = bollinger_step(state, 2, 1.0, 102.0)
    assert (lower, middle, upper) == pytest.approx((100.0, 101.0, 102.0))
    assert position == pytest.approx(1.0) and width == pytest.approx(2.0 / 101.0)


def test_range_estimators_find_the_volatility_of_a_random_walk():
    draws = np.random.default_rng(5)
    days, steps, sigma = 2000, 200, 0.2
    path = np.cumsum(draws.standard_normal((days, steps)) * sigma / math.sqrt(252 * steps), axis=1)
    open_, close = np.ones(days), np.exp(path[:, -1])
    high, low = np.exp(np.maximum(path.max(axis=1), 0.0)), np.exp(np.minimum(path.min(axis=1), 0.0))
    found = [
        vol.close_to_close(open_, close),
        vol.parkinson(high, low),
        vol.garman_klass(open_, high, low, close),
        vol.rogers_satchell(open_, high, low, close),
        vol.yang_zhang(open_, open_, high, low, close),
    ]
    np.testing.assert_allclose(found, sigma, rtol=0.08)  # watched 200 times a day ranges are a few per cent short


def test_the_night_counts_and_a_dividend_is_no_loss():
    assert vol.night_variance(99.0, 100.0, 1.0) == 0.0
    day, night = np.full(5, 1e-4), np.full(5, 5e-5)
    out = np.empty(5)
    vol.trailing_volatility(day, night, 3, out)
    assert np.isnan(out[:2]).all() and out[-1] == pytest.approx(math.sqrt(1.5e-4 * 252))


def test_a_jump_is_in_the_squares_and_hardly_in_the_bipower():
    closes = 100.0 * np.exp(np.cumsum(np.array([0.001, -0.001, 0.001, 0.03, -0.001, 0.001])))
    square, bipower = vol.day_variances(100.0, closes)
    assert square > 9e-4 and bipower < 2e-4


def test_rank_uses_the_days_before_only_and_may_leave_its_range():
    daily = np.array([20.0, 10.0, 30.0, 40.0, 15.0])
    out = np.empty((2, 5))
    sf.ranks(daily, 3, out)
    assert np.isnan(out[:, :3]).all()
    assert out[:, 3].tolist() == [150.0, 100.0]
    assert out[:, 4] == pytest.approx([100 * 5 / 30, 100 / 3])
    assert math.isnan(sf.rank_and_percentile(np.full(3, 5.0), 5.0)[0])


def test_constant_maturity_interpolates_variance_and_never_extrapolates():
    years = np.array([20.0, 40.0]) / 365
    slices = np.array([[0.04 * t, 0.0, 0.0, 0.0, 0.1] for t in years])
    assert sf.at_money_vol(years, slices, 30 / 365) == pytest.approx(0.2)
    assert math.isnan(sf.at_money_vol(years, slices, 50 / 365)) and math.isnan(sf.at_money_vol(years, slices, 10 / 365))
    assert sf.delta_skew(years, slices, 30 / 365, 0.25) == pytest.approx(0.0, abs=1e-12)
    steep = np.array([[0.03 * t, 0.1 * math.sqrt(t) * 0.5, -0.6, 0.0, 0.3 * math.sqrt(t)] for t in years])
    assert sf.delta_skew(years, steep, 30 / 365, 0.25) > 0.01
    assert sf.term_slope(20.0, 16.0) == 1.25 and math.isnan(sf.term_slope(20.0, 0.0))
    assert sf.variance_premium(0.2, 0.03) == pytest.approx(0.01)
