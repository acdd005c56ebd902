"""Heston, Bates, Merton and SABR: parity, bounds, limits, QuantLib; and fits that find what made the prices."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import DataError
from core.pricing.black_scholes import black_price, european
from core.pricing.calibration import calibrate_bates, calibrate_heston, calibrate_merton, calibrate_sabr
from core.pricing.heston import bates_price, heston_price
from core.pricing.implied_vol import implied_vols
from core.pricing.jump_diffusion import merton_price
from core.pricing.sabr import sabr_density_factor, sabr_vol
from core.pricing.smile import SmileQuotes

FORWARD = 600.0
SHAPE = {
    "years": st.floats(2 / 365, 3.0),
    "v0": st.floats(0.005, 0.4),
    "kappa": st.floats(0.3, 10.0),
    "theta": st.floats(0.005, 0.3),
    "sigma": st.floats(0.05, 2.0),
    "rho": st.floats(-0.95, 0.5),
}


@settings(max_examples=120)
@given(jumps=st.floats(0.0, 5.0), **SHAPE)
def test_prices_are_within_bounds_fall_with_the_strike_and_are_convex(jumps, years, v0, kappa, theta, sigma, rho):
    strike = FORWARD * np.exp(np.linspace(-2.5, 2.5, 21) * math.sqrt(max(v0, theta) * years))
    args = (years, 0.97, v0, kappa, theta, sigma, rho, jumps, -0.05, 0.06)
    call, put = (bates_price(kind, FORWARD, strike, *args) for kind in (True, False))
    assert np.all(np.isfinite(call)) and np.all(call >= 0.97 * np.maximum(FORWARD - strike, 0.0) - 1e-9)
    assert np.all(call <= 0.97 * FORWARD)
    np.testing.assert_allclose(call - put, 0.97 * (FORWARD - strike), atol=1e-9)
    assert np.all(np.diff(call) <= 1e-7)
    assert np.all(np.diff(np.diff(call) / np.diff(strike)) >= -1e-7)


def test_without_volatility_of_volatility_heston_is_black_with_the_mean_variance():
    v0, kappa, theta, years = 0.05, 2.0, 0.03, 0.5
    mean = theta + (v0 - theta) * (1 - math.exp(-kappa * years)) / (kappa * years)
    found = heston_price(True, FORWARD, 620.0, years, 1.0, v0, kappa, theta, 1e-4, 0.0)
    assert float(found) == pytest.approx(black_price(1, FORWARD, 620.0, years, math.sqrt(mean), 1.0), abs=1e-5)


def test_without_volatility_of_volatility_bates_is_merton():
    found = bates_price(True, FORWARD, 620.0, 0.25, 1.0, 0.04, 2.0, 0.04, 1e-4, 0.0, 1.5, -0.08, 0.1)
    exact = merton_price(True, FORWARD, 620.0, 0.25, 1.0, 0.2, 1.5, -0.08, 0.1)
    assert float(found) == pytest.approx(exact, abs=1e-5)


def test_merton_without_jumps_is_black_and_keeps_parity_with_them():
    assert merton_price(True, 600.0, 610.0, 0.2, 0.99, 0.2, 0.0, -0.1, 0.1) == pytest.approx(
        black_price(1, 600.0, 610.0, 0.2, 0.2, 0.99), abs=1e-12
    )
    call, put = (merton_price(kind, 600.0, 610.0, 0.2, 0.99, 0.15, 3.0, -0.05, 0.08) for kind in (True, False))
    assert call - put == pytest.approx(0.99 * (600.0 - 610.0), abs=1e-9)
    assert math.isnan(merton_price(True, 600.0, 610.0, 1.0, 1.0, 0.2, 5000.0, 0.0, 0.1))


def test_parameters_outside_the_domain_are_refused():
    with pytest.raises(DataError, match="must be positive"):
        heston_price(True, 600.0, 600.0, 0.1, 1.0, 0.04, 2.0, 0.04, -0.5, 0.0)
    assert math.isnan(sabr_vol(600.0, 600.0, 0.1, -0.2, 1.0, 0.5, 0.0))


def test_sabr_is_smooth_across_the_money_and_flat_without_volatility_of_volatility():
    near = [sabr_vol(600.0 * math.exp(x), 600.0, 0.25, 0.2, 1.0, 1.2, -0.6) for x in (1.6e-4, 1.7e-4)]
    assert abs(near[1] - near[0]) < 2e-5  # on both sides of where the series takes over
    z = np.array(
        [sabr_vol(600.0 * math.exp(x), 600.0, 0.25, 0.2, 1.0, 1.2, -0.6) for x in np.linspace(-1e-3, 1e-3, 41)]
    )
    assert np.abs(np.diff(z, 3)).max() < 1e-10
    assert sabr_vol(650.0, 600.0, 0.25, 0.2, 1.0, 1e-12, 0.0) == pytest.approx(0.2)
    assert sabr_density_factor(600.0, 600.0, 0.1, 0.2, 1.0, 1.0, -0.5) > 0.0


def test_quantlib_agrees_on_heston():
    ql = pytest.importorskip("QuantLib")
    today = ql.Date(2, 1, 2026)
    ql.Settings.instance().evaluationDate = today
    zero = ql.YieldTermStructureHandle(ql.FlatForward(today, 0.0, ql.Actual365Fixed()))
    spot = ql.QuoteHandle(ql.SimpleQuote(FORWARD))
    rng = np.random.default_rng(8)
    for days in (2, 7, 30, 180, 900):
        v0, theta = rng.uniform(0.01, 0.1, 2)
        kappa, sigma, rho = rng.uniform(0.5, 6.0), rng.uniform(0.2, 1.6), rng.uniform(-0.9, 0.0)
        model = ql.HestonModel(ql.HestonProcess(zero, zero, spot, v0, kappa, theta, sigma, rho))
        engine = ql.AnalyticHestonEngine(model, 1e-12, 100_000)
        for strike in (540.0, 600.0, 640.0):
            option = ql.VanillaOption(ql.PlainVanillaPayoff(ql.Option.Call, strike), ql.EuropeanExercise(today + days))
            option.setPricingEngine(engine)
            ours = heston_price(True, FORWARD, strike, days / 365.0, 1.0, v0, kappa, theta, sigma, rho)
            assert float(ours) == pytest.approx(option.NPV(), abs=1e-7)


def quotes_from(price_of, half_spread=np.nan):
    """Quotes of four expiries, twelve strikes each, priced by a model: price_of(is_call, strike, years)."""
    rows = []
    for days in (7, 21, 45, 90):
        years = days / 365.0
        strike = np.round(FORWARD * np.exp(np.linspace(-2.2, 1.6, 12) * 0.18 * math.sqrt(years)))
        rows += [(years, k, k >= FORWARD, float(price_of(bool(k >= FORWARD), k, years))) for k in strike]
    years, strike, is_call, price = (np.array(column) for column in zip(*rows, strict=True))
    forward, discount = np.full(len(rows), FORWARD), np.ones(len(rows))
    vol = implied_vols(is_call, price, forward, strike, years, discount)
    vega = european(is_call, forward, strike, years, vol, 0.0).vega
    return SmileQuotes(
        years, forward, discount, strike, is_call.astype(bool), price, np.full(len(rows), half_spread), vol, vega
    )


def test_a_heston_fit_finds_the_parameters_that_made_the_prices():
    made = (0.03, 4.0, 0.05, 0.8, -0.7)
    found = calibrate_heston(quotes_from(lambda c, k, t: heston_price(c, FORWARD, k, t, 1.0, *made)))
    assert list(found.parameters.values()) == pytest.approx(made, rel=1e-3)
    assert np.abs(found.vol_error).max() < 1e-3 and found.starts_agreeing >= 2 and not found.at_bound


def test_errors_grow_with_the_noise_and_cover_the_truth():
    made = (0.03, 4.0, 0.05, 0.8, -0.7)
    rng = np.random.default_rng(2)
    clean = quotes_from(lambda c, k, t: heston_price(c, FORWARD, k, t, 1.0, *made))
    noisy = clean._replace(price=clean.price + 0.01 * clean.vega * 0.2 * rng.standard_normal(len(clean.price)))
    found = calibrate_heston(noisy)
    for name, truth in zip(found.parameters, made, strict=True):
        error = found.standard_errors[name]
        assert error is not None and error > 0.0 and abs(found.parameters[name] - truth) < 5.0 * error


def test_bates_fits_jumps_that_heston_cannot():
    made = (0.02, 3.0, 0.03, 0.4, -0.5, 1.5, -0.06, 0.05)
    quotes = quotes_from(lambda c, k, t: bates_price(c, FORWARD, k, t, 1.0, *made))
    heston = calibrate_heston(quotes)
    bates = calibrate_bates(quotes, heston)
    assert np.sqrt(np.mean(bates.vol_error**2)) < 0.02 < np.sqrt(np.mean(heston.vol_error**2))


def test_merton_and_sabr_find_their_own_prices():
    jumps = (0.12, 2.0, -0.05, 0.06)
    merton = calibrate_merton(quotes_from(lambda c, k, t: merton_price(c, FORWARD, k, t, 1.0, *jumps)))
    assert np.abs(merton.vol_error).max() < 0.01
    smile = quotes_from(
        lambda c, k, t: black_price(c, FORWARD, k, t, sabr_vol(k, FORWARD, t, 0.17, 1.0, 2.0, -0.6), 1.0)
    )
    found = calibrate_sabr(smile)
    assert len(found) == 4
    for fit in found:
        assert list(fit.parameters.values()) == pytest.approx((0.17, -0.6, 2.0), rel=1e-3)


def test_too_few_quotes_are_refused():
    quotes = quotes_from(lambda c, k, t: black_price(c, FORWARD, k, t, 0.2, 1.0))
    with pytest.raises(DataError, match="cannot determine"):
        calibrate_heston(SmileQuotes(*(column[:5] for column in quotes)))
