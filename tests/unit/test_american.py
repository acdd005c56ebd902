"""American options: bounds, limits, symmetry, the tree and QuantLib beside the boundary engine, inversion."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.pricing.american import ACCURATE, FAST, american_implied_vol, american_price, american_values
from core.pricing.trees import leisen_reimer

TERMS = {
    "is_call": st.booleans(),
    "moneyness": st.floats(-2.5, 2.5),  # deviations
    "years": st.floats(2.0 / (24 * 365), 1.0),
    "vol": st.floats(0.05, 1.5),
    "rate": st.floats(0.0, 0.08),
    "dividend_yield": st.floats(0.0, 0.05),
}
SPOT = 600.0


def strike_at(moneyness, years, vol):
    return SPOT * math.exp(moneyness * vol * math.sqrt(years))


def laws(is_call, moneyness, years, vol, rate, dividend_yield):
    strike = strike_at(moneyness, years, vol)
    price, delta, european, now = american_values(is_call, SPOT, strike, years, vol, rate, dividend_yield, FAST)
    intrinsic = max(SPOT - strike if is_call else strike - SPOT, 0.0)
    assert price >= european - 1e-9 and price >= intrinsic - 1e-9 and price > -1e-12
    assert price <= (SPOT if is_call else strike) + 1e-9
    assert (-1.0 - 1e-6 <= delta <= 1.0 + 1e-6 and (delta >= -1e-9) == bool(is_call)) or abs(delta) < 1e-9
    if now:
        assert price == intrinsic
    higher = american_price(is_call, SPOT, strike * 1.01, years, vol, rate, dividend_yield)
    assert (higher <= price + 2e-4) if is_call else (higher >= price - 2e-4)
    more = american_price(is_call, SPOT, strike, years, vol * 1.05, rate, dividend_yield)
    assert more >= price - 2e-4
    mirrored = american_values(not is_call, strike, SPOT, years, vol, dividend_yield, rate, FAST)[0]
    assert mirrored == pytest.approx(price, abs=1e-9)


@settings(max_examples=300)
@given(**TERMS)
def test_bounds_monotonicity_and_symmetry(**terms):
    laws(**terms)


@pytest.mark.slow
@settings(max_examples=20_000)
@given(**TERMS)
def test_bounds_monotonicity_and_symmetry_at_length(**terms):
    laws(**terms)


@settings(max_examples=60)
@given(**TERMS)
def test_fast_and_accurate_agree_within_a_few_millionths_of_the_strike(**terms):
    moneyness = terms.pop("moneyness")
    strike = strike_at(moneyness, terms["years"], terms["vol"])
    args = (terms["is_call"], SPOT, strike, *list(terms.values())[1:])
    fast, accurate = (american_values(*args, scheme)[0] for scheme in (FAST, ACCURATE))
    assert fast == pytest.approx(accurate, abs=3e-6 * max(SPOT, strike))


@pytest.mark.parametrize("is_call", [False, True])
@pytest.mark.parametrize("strike", [560.0, 600.0, 640.0])
def test_a_tree_of_ever_more_steps_comes_to_the_same_price(is_call, strike):
    args = (is_call, SPOT, strike, 0.25, 0.22, 0.045, 0.013)
    price = american_values(*args, ACCURATE)[0]
    errors = [abs(leisen_reimer(*args, steps, 1)[0] - price) for steps in (101, 1001, 4001)]
    assert errors[0] < 0.03 and errors[1] < 0.005 and errors[2] < 0.002


def test_a_call_without_yield_is_european_and_a_put_without_interest_too():
    call = american_values(True, SPOT, 580.0, 0.3, 0.2, 0.05, 0.0, FAST)
    put = american_values(False, SPOT, 620.0, 0.3, 0.2, 0.0, 0.02, FAST)
    assert call[0] == call[2] and put[0] == put[2]


def test_limits_of_time_and_volatility():
    assert american_price(False, 90.0, 100.0, 0.0, 0.2, 0.05, 0.0) == 10.0
    assert american_price(False, 90.0, 100.0, 0.5, 0.0, 0.05, 0.0) == 10.0
    assert american_price(True, 110.0, 100.0, 0.5, 0.0, 0.05, 0.0) == pytest.approx(110.0 - 100.0 * math.exp(-0.025))
    assert american_price(False, 110.0, 100.0, 1e-6, 0.2, 0.05, 0.0) == pytest.approx(0.0, abs=1e-12)


def test_unknown_or_doubly_bounded_inputs_are_unknown():
    assert math.isnan(american_price(False, math.nan, 100.0, 0.5, 0.2, 0.05, 0.0))
    assert math.isnan(american_price(False, 100.0, 100.0, 0.5, 0.2, -0.02, -0.05))
    assert american_price(False, 100.0, 100.0, 0.5, 0.2, -0.02, 0.01) > 0.0


@settings(max_examples=150)
@given(
    is_call=st.booleans(),
    moneyness=st.floats(-2.0, 0.7),
    years=st.floats(1 / 365, 1.0),
    vol=st.floats(0.06, 1.2),
    rate=st.floats(0.0, 0.06),
    dividend_yield=st.floats(0.0, 0.03),
)
def test_the_volatility_of_a_price_is_found_again(is_call, moneyness, years, vol, rate, dividend_yield):
    """Out of the money to somewhat in it (moneyness counts outwards), where the price holds the volatility."""
    strike = strike_at(-moneyness if is_call else moneyness, years, vol)
    price, _, _, now = american_values(is_call, SPOT, strike, years, vol, rate, dividend_yield, FAST)
    if now or price < 1e-4:
        return
    found = american_implied_vol(is_call, price, SPOT, strike, years, rate, dividend_yield)
    again = american_price(is_call, SPOT, strike, years, found, rate, dividend_yield)
    assert again == pytest.approx(price, abs=1e-5)


def test_a_price_without_volatility_says_so():
    assert math.isnan(american_implied_vol(False, 20.0, 580.0, 600.0, 0.1, 0.04, 0.01))  # exercise value
    assert math.isnan(american_implied_vol(True, 600.0, 600.0, 580.0, 0.1, 0.04, 0.01))  # the share itself
    assert math.isnan(american_implied_vol(True, math.nan, 600.0, 580.0, 0.1, 0.04, 0.01))


def test_quantlib_agrees():
    ql = pytest.importorskip("QuantLib")
    today = ql.Date(2, 1, 2026)
    ql.Settings.instance().evaluationDate = today
    day_count = ql.Actual365Fixed()

    def theirs(is_call, spot, strike, years, vol, rate, dividend_yield):
        def flat(r):
            return ql.YieldTermStructureHandle(ql.FlatForward(today, r * years, day_count))

        vols = ql.BlackConstantVol(today, ql.NullCalendar(), vol * math.sqrt(years), day_count)
        process = ql.BlackScholesMertonProcess(
            ql.QuoteHandle(ql.SimpleQuote(spot)), flat(dividend_yield), flat(rate), ql.BlackVolTermStructureHandle(vols)
        )
        kind = ql.Option.Call if is_call else ql.Option.Put
        option = ql.VanillaOption(ql.PlainVanillaPayoff(kind, strike), ql.AmericanExercise(today, today + 365))
        option.setPricingEngine(ql.QdFpAmericanEngine(process, ql.QdFpAmericanEngine.highPrecisionScheme()))
        return option.NPV()

    rng = np.random.default_rng(4)
    for _ in range(40):
        years, vol = rng.uniform(0.004, 1.0), rng.uniform(0.08, 0.9)
        strike = strike_at(rng.uniform(-2, 2), years, vol)
        args = (bool(rng.random() < 0.5), SPOT, strike, years, vol, rng.uniform(0.001, 0.06), rng.uniform(0.0, 0.03))
        assert american_values(*args, ACCURATE)[0] == pytest.approx(theirs(*args), abs=1e-5)
        assert american_values(*args, FAST)[0] == pytest.approx(theirs(*args), abs=1e-3)
