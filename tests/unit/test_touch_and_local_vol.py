"""Touching barriers: closed forms against each other, and the PDE under a smile against them."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.pricing.black_scholes import european
from core.pricing.local_vol import breach_probability, diffuse_back, dupire_variance, surface_local_variance
from core.pricing.svi import svi_total_variance
from core.pricing.touch import NARROW, WIDE, stay_inside_probability, touch_probability, watched_barrier

SPOT, RATE, YIELD = 600.0, 0.04, 0.012
YEARS = np.array([10.0, 30.0, 60.0]) / 365.0


def flat_surface(vol):
    slices = np.array([[vol * vol * t, 0.0, 0.0, 0.0, 0.1] for t in YEARS])
    return YEARS, slices, SPOT * np.exp((RATE - YIELD) * YEARS)


def skewed_surface():
    """About SPY's: at the money 15 %, steep on the left; no calendar or butterfly arbitrage."""
    slices = np.array([[0.0 + 0.004 * t, 0.09 * math.sqrt(t) * 0.55, -0.6, 0.01, 0.35 * math.sqrt(t)] for t in YEARS])
    return YEARS, slices, SPOT * np.exp((RATE - YIELD) * YEARS)


@settings(max_examples=200)
@given(
    low=st.floats(0.7, 0.999),
    high=st.floats(1.001, 1.3),
    years=st.floats(1e-4, 1.0),
    vol=st.floats(0.03, 1.0),
)
def test_a_corridor_is_left_with_at_least_each_barriers_chance(low, high, years, vol):
    inside = stay_inside_probability(SPOT, low * SPOT, high * SPOT, years, vol, RATE, YIELD)
    below = touch_probability(SPOT, low * SPOT, years, vol, RATE, YIELD)
    above = touch_probability(SPOT, high * SPOT, years, vol, RATE, YIELD)
    assert 0.0 <= inside <= 1.0
    assert max(below[0], above[0]) - 1e-9 <= 1.0 - inside <= below[0] + above[0] + 1e-9
    assert below[0] >= below[1] - 1e-12 and above[0] >= above[1] - 1e-12
    wider = stay_inside_probability(SPOT, 0.99 * low * SPOT, 1.01 * high * SPOT, years, vol, RATE, YIELD)
    assert wider >= inside - 1e-12


def normal_mass(low, high):
    """Of the standard normal law between two points, by the library's erfc, from the tail both lie in."""
    if low > 0.0:
        low, high = -high, -low
    return 0.5 * (math.erfc(-high / math.sqrt(2.0)) - math.erfc(-low / math.sqrt(2.0)))


@settings(max_examples=300)
@given(
    at=st.floats(0.02, 0.98),
    width=st.floats(0.01, 1.0),
    deviations=st.floats(0.03, 1.5) | st.sampled_from([WIDE - 1e-9, WIDE + 1e-9, NARROW - 1e-9, NARROW + 1e-9]),
    drifts=st.floats(-2.0, 2.0),
)
def test_the_chance_to_stay_inside_is_the_long_sum_of_images(at, width, deviations, drifts):
    """Both series, on both sides of where one takes over from the other, for drifts up to two deviations."""
    years, s = 0.1, deviations * width
    vol, drift, x = s / math.sqrt(years), drifts * s, at * width
    lower = SPOT * math.exp(-x)
    rate = drift / years + 0.5 * vol * vol
    inside = stay_inside_probability(SPOT, lower, lower * math.exp(width), years, vol, rate, 0.0)
    a, total = drift / (s * s), 0.0
    for m in range(-12, 13):
        shift = 2.0 * m * width
        direct = normal_mass((-x - shift - drift) / s, (width - x - shift - drift) / s)
        mirrored = normal_mass((x - shift - drift) / s, (width + x - shift - drift) / s)
        total += math.exp(a * shift) * direct if direct > 0.0 else 0.0
        total -= math.exp(a * (shift - 2.0 * x)) * mirrored if mirrored > 0.0 else 0.0
    assert inside == pytest.approx(min(max(total, 0.0), 1.0), abs=1e-11)


def test_limits_of_touching():
    assert touch_probability(SPOT, SPOT, 0.1, 0.2, RATE, YIELD)[0] == 1.0
    assert touch_probability(SPOT, 500.0, 0.0, 0.2, RATE, YIELD) == (0.0, 0.0)
    assert math.isnan(touch_probability(-1.0, 500.0, 0.1, 0.2, RATE, YIELD)[0])
    assert stay_inside_probability(700.0, 550.0, 660.0, 0.1, 0.2, RATE, YIELD) == 0.0
    assert watched_barrier(SPOT, 550.0, 0.2, 5 / (252 * 390)) < 550.0 < 660.0 < watched_barrier(SPOT, 660.0, 0.2, 1e-5)


@pytest.mark.parametrize("corridor", [(560.0, 640.0), (580.0, 630.0), (500.0, 700.0), (595.0, 640.0)])
@pytest.mark.parametrize("vol", [0.1, 0.2, 0.6])
def test_without_a_smile_the_pde_is_the_closed_form(corridor, vol):
    below, above, inside = breach_probability(SPOT, *corridor, 30 / 365, *flat_surface(vol))
    assert below + above + inside == pytest.approx(1.0, abs=1e-12)
    assert inside == pytest.approx(stay_inside_probability(SPOT, *corridor, 30 / 365, vol, RATE, YIELD), abs=2e-4)


def test_local_volatility_without_a_smile_is_the_volatility():
    years, slices, _ = flat_surface(0.25)
    assert surface_local_variance(years, slices, -0.05, 0.05) == pytest.approx(0.0625)
    assert math.isnan(dupire_variance(0.1, -1.0, 0.0, 0.0, 1.0))


@pytest.mark.parametrize("strike", [560.0, 590.0, 600.0, 620.0])
def test_local_volatility_gives_the_smiles_own_prices_back(strike):
    """Dupire's promise: the diffusion without barriers reprices the vanilla options of the surface."""
    years, slices, forward = skewed_surface()
    until, n = years[1], 801
    low, high = math.log(350.0), math.log(850.0)
    dy = (high - low) / (n - 1)
    spots = np.exp(low + dy * np.arange(n))
    values = np.maximum(strike - spots, 0.0)[:, None].copy()
    bottom, top = values[0].copy(), np.zeros(1)
    diffuse_back(SPOT, years, slices, forward, until, low, dy, values, bottom, top, 200)
    found = np.interp(math.log(SPOT), low + dy * np.arange(n), values[:, 0]) * math.exp(-RATE * until)
    vol = math.sqrt(svi_total_variance(*slices[1], math.log(strike / forward[1])) / until)
    exact = european(False, SPOT, strike, until, vol, RATE, YIELD)
    assert found == pytest.approx(float(exact.price), abs=0.004 * float(exact.vega))  # 0.4 vol points


def test_skew_moves_the_chances_to_the_put_side():
    years, slices, forward = skewed_surface()
    at_money = math.sqrt(svi_total_variance(*slices[1], 0.0) / years[1])
    smile = breach_probability(SPOT, 570.0, 630.0, 30 / 365, years, slices, forward)
    flat = breach_probability(SPOT, 570.0, 630.0, 30 / 365, *flat_surface(at_money))
    assert smile[0] > flat[0] and smile[1] < flat[1]


def test_wider_shorts_and_less_time_are_breached_less():
    surface = skewed_surface()
    chances = [breach_probability(SPOT, 600.0 - d, 600.0 + d, 30 / 365, *surface)[2] for d in (15.0, 25.0, 40.0)]
    assert chances == sorted(chances)
    sooner = breach_probability(SPOT, 575.0, 625.0, 10 / 365, *surface)[2]
    assert sooner > chances[1]


def test_a_spot_at_a_barrier_has_breached_it():
    surface = skewed_surface()
    assert breach_probability(570.0, 570.0, 630.0, 0.05, *surface) == (1.0, 0.0, 0.0)
    assert all(math.isnan(p) for p in breach_probability(600.0, 630.0, 570.0, 0.05, *surface))
