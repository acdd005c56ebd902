"""Chains and surfaces: the forward under American quotes, arbitrage found and mended, SSVI's own conditions."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import DataError
from core.pricing.american import american_price
from core.pricing.black_scholes import black_price
from core.pricing.chain import smile_quotes
from core.pricing.ssvi import ssvi_derivatives
from core.pricing.surface import (
    condition,
    errors_in_half_spreads,
    fit_ssvi,
    fit_surface,
    slice_vols,
    ssvi_variance,
    ssvi_vols,
    surface_variance,
    surface_vols,
)
from core.pricing.svi import jump_wings_of, raw_of_jump_wings, svi_density_factor, svi_derivatives

SPOT, RATE, YIELD = 600.0, 0.04, 0.012
ETA, GAMMA, RHO = 1.4, 0.4, -0.5


def theta_of(years):
    return 0.02 * years + 0.0004


def vol_of(strike, years):
    k = math.log(strike / (SPOT * math.exp((RATE - YIELD) * years)))
    return math.sqrt(ssvi_derivatives(k, theta_of(years), ETA, GAMMA, RHO)[0] / years)


def chain(american, days=(10, 24, 45, 80), half_spread=0.02):
    """Both sides of 41 strikes of some expiries, priced on a known SSVI surface."""
    rows = []
    for d in days:
        years = d / 365.0
        forward, discount = SPOT * math.exp((RATE - YIELD) * years), math.exp(-RATE * years)
        for strike in np.round(SPOT * np.exp(np.linspace(-2.4, 1.8, 41) * 0.16 * math.sqrt(years))):
            for is_call in (False, True):
                vol = vol_of(strike, years)
                if american:
                    price = american_price(is_call, SPOT, strike, years, vol, RATE, YIELD)
                else:
                    price = black_price(is_call, forward, strike, years, vol, discount)
                if price > half_spread:
                    rows.append((strike, is_call, years, price - half_spread, price + half_spread))
    return [np.array(column) for column in zip(*rows, strict=True)]


@pytest.mark.parametrize("american", [False, True])
def test_forward_and_volatilities_come_back_from_the_quotes(american):
    quotes = smile_quotes(*chain(american), SPOT, RATE, american)
    np.testing.assert_allclose(quotes.forward, SPOT * np.exp((RATE - YIELD) * quotes.years), atol=0.01)
    made = [vol_of(k, t) for k, t in zip(quotes.strike, quotes.years, strict=True)]
    np.testing.assert_allclose(quotes.vol, made, atol=2e-4)
    assert np.all(quotes.is_call == (quotes.strike >= quotes.forward))
    european = [
        black_price(c, f, k, t, v, d)
        for c, f, k, t, v, d in zip(
            quotes.is_call, quotes.forward, quotes.strike, quotes.years, quotes.vol, quotes.discount, strict=True
        )
    ]
    np.testing.assert_allclose(quotes.price, european, atol=1e-9)


def test_european_formulas_on_american_quotes_find_too_much_volatility():
    """Why the premium is taken off: puts near the money invert higher without it."""
    strike, is_call, years, bid, ask = chain(True)
    plain = smile_quotes(strike, is_call, years, bid, ask, SPOT, RATE, False)
    right = smile_quotes(strike, is_call, years, bid, ask, SPOT, RATE, True)
    gap = {(k, t): v for k, t, v in zip(plain.strike, plain.years, plain.vol, strict=True)}
    extra = [gap[k, t] - v for k, t, v in zip(right.strike, right.years, right.vol, strict=True) if (k, t) in gap]
    assert np.mean(extra) > 1e-5


def test_a_surface_gives_back_the_volatilities_it_was_fitted_to():
    quotes = smile_quotes(*chain(False), SPOT, RATE, False)
    surface = fit_surface(quotes)
    assert np.median(errors_in_half_spreads(quotes, slice_vols(surface, quotes))) < 0.5
    assert np.all(surface.least_g > 0.0) and np.all(surface.calendar_gap < 1e-5) and not surface.refitted.any()
    between = surface_vols(surface, SPOT, np.array([580.0, 600.0]), 33.0 / 365.0)
    np.testing.assert_allclose(between, [vol_of(580.0, 33 / 365), vol_of(600.0, 33 / 365)], atol=2e-3)


def test_ssvi_finds_its_own_numbers_and_keeps_its_conditions():
    quotes = smile_quotes(*chain(False), SPOT, RATE, False)
    found = fit_ssvi(quotes)
    assert (found.eta, found.gamma, found.rho) == pytest.approx((ETA, GAMMA, RHO), rel=0.05)
    assert np.all(np.diff(found.theta) >= 0.0) and found.condition <= 4.0
    assert np.median(errors_in_half_spreads(quotes, ssvi_vols(found, quotes))) < 0.2


def test_a_crossing_of_expiries_is_found_and_fitted_away():
    """The later expiry's wing is quoted below the earlier one's total variance: impossible for one set of buyers."""
    quotes = smile_quotes(*chain(False, days=(20, 24)), SPOT, RATE, False)
    later = quotes.years > 22.0 / 365.0
    crossed = quotes._replace(vol=np.where(later & (quotes.strike < 585.0), 0.82 * quotes.vol, quotes.vol))
    surface = fit_surface(crossed)
    assert surface.refitted[1]
    k = np.linspace(surface.quoted[0, 0], surface.quoted[0, 1], 40)
    early, late = (np.array([surface_variance(surface.years, surface.slices, x, t) for x in k]) for t in surface.years)
    assert np.min(late - early) > -1e-5


def test_nothing_to_fit_is_refused():
    strike, is_call, years, bid, ask = chain(False, days=(24,))
    with pytest.raises(DataError, match="both sides quoted"):
        smile_quotes(strike[is_call], is_call[is_call], years[is_call], bid[is_call], ask[is_call], SPOT, RATE, False)
    near = np.abs(strike - SPOT) < 4.0
    few = smile_quotes(strike[near], is_call[near], years[near], bid[near], ask[near], SPOT, RATE, False)
    with pytest.raises(DataError, match="no expiry has 5"):
        fit_surface(few)


SLICE = {
    "a": st.floats(0.0, 0.05),
    "b": st.floats(0.01, 0.4),
    "rho": st.one_of(st.floats(-0.9, -0.05), st.floats(0.05, 0.9)),  # at rho = m = 0 jump wings do not tell sigma
    "m": st.floats(-0.2, 0.2),
    "sigma": st.floats(0.02, 0.5),
}


@given(**SLICE)
def test_jump_wings_and_raw_numbers_are_the_same_slice(a, b, rho, m, sigma):
    again = raw_of_jump_wings(*jump_wings_of(a, b, rho, m, sigma, 0.25), 0.25)
    for k in (-0.3, 0.0, 0.2):
        assert svi_derivatives(*again, k)[0] == pytest.approx(svi_derivatives(a, b, rho, m, sigma, k)[0], rel=1e-5)


@given(k=st.floats(-0.5, 0.5), **SLICE)
def test_derivatives_are_those_of_the_slice(k, a, b, rho, m, sigma):
    h = 1e-5
    w = [svi_derivatives(a, b, rho, m, sigma, k + d)[0] for d in (-h, 0.0, h)]
    _, slope, bend = svi_derivatives(a, b, rho, m, sigma, k)
    assert slope == pytest.approx((w[2] - w[0]) / (2 * h), abs=1e-6)
    assert bend == pytest.approx((w[2] - 2 * w[1] + w[0]) / h**2, abs=1e-3 + 1e-3 * abs(bend))


def test_a_negative_density_is_seen():
    assert svi_density_factor(-0.0410, 0.1331, 0.3060, 0.3586, 0.4153, 0.9) < 0.0  # Vogt's slice, in print
    assert condition(np.array([0.04]), 1.4, 0.4, -0.5) < 4.0 < condition(np.array([0.04]), 14.0, 0.4, -0.5)
    assert float(ssvi_variance(np.array([0.0]), 0.04, 1.4, 0.4, -0.5)[0]) == pytest.approx(0.04)
