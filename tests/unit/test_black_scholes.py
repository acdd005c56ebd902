"""Black 1976 and its inverse: laws, limits and values computed elsewhere."""

import json
import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from core.pricing.black_scholes import black_greeks, black_price, black_price_rows
from core.pricing.implied_vol import implied_vol
from tests.conftest import both_ways

forwards = st.floats(50.0, 5000.0)
moneyness = st.floats(0.5, 2.0)
lives = st.floats(1e-6, 3.0)
vols = st.floats(0.01, 3.0)
discounts = st.floats(0.7, 1.0)
sides = st.sampled_from([0, 1])


def market(inputs):
    years = inputs["T"]
    discount = math.exp(-inputs["rate"] * years)
    forward = inputs["spot"] * math.exp((inputs["rate"] - inputs["div_yield"]) * years)
    return inputs["type"] == "call", forward, discount


def cases(oracles, topic):
    return json.loads((oracles / f"{topic}.json").read_text())["cases"]


@both_ways
def test_a_price_known_by_heart(black_price):
    # Hull's example: spot 42, strike 40, rate 10 %, vol 20 %, half a year: call 4.76, put 0.81.
    discount = math.exp(-0.05)
    assert black_price(1, 42.0 / discount, 40.0, 0.5, 0.2, discount) == pytest.approx(4.759422, abs=1e-6)
    assert black_price(0, 42.0 / discount, 40.0, 0.5, 0.2, discount) == pytest.approx(0.808599, abs=1e-6)


@both_ways
@given(forwards, moneyness, lives, vols, discounts)
def test_put_call_parity(black_price, forward, ratio, years, vol, discount):
    strike = forward * ratio
    call = black_price(1, forward, strike, years, vol, discount)
    put = black_price(0, forward, strike, years, vol, discount)
    assert call - put == pytest.approx(discount * (forward - strike), abs=1e-13 * forward)


@both_ways
@given(sides, forwards, moneyness, lives, vols, discounts)
def test_a_price_lies_between_intrinsic_and_its_bound(black_price, is_call, forward, ratio, years, vol, discount):
    strike = forward * ratio
    price = black_price(is_call, forward, strike, years, vol, discount)
    intrinsic = max(forward - strike, 0.0) if is_call else max(strike - forward, 0.0)
    bound = forward if is_call else strike
    assert discount * intrinsic <= price <= discount * bound * (1.0 + 1e-15)


@given(forwards, moneyness, lives, vols, st.floats(1e-4, 0.2))
def test_calls_fall_and_puts_rise_with_the_strike_by_less_than_the_strike(forward, ratio, years, vol, step):
    low, high = forward * ratio, forward * ratio * (1.0 + step)
    slack = 1e-13 * forward
    calls = [black_price(1, forward, strike, years, vol, 1.0) for strike in (low, high)]
    puts = [black_price(0, forward, strike, years, vol, 1.0) for strike in (low, high)]
    assert -slack <= calls[0] - calls[1] <= high - low + slack
    assert -slack <= puts[1] - puts[0] <= high - low + slack


@given(sides, forwards, moneyness, lives, vols, st.floats(1e-3, 1.0))
def test_more_volatility_never_cheapens(is_call, forward, ratio, years, vol, more):
    strike = forward * ratio
    low = black_price(is_call, forward, strike, years, vol, 1.0)
    assert black_price(is_call, forward, strike, years, vol + more, 1.0) >= low - 1e-13 * forward


@both_ways
@pytest.mark.parametrize(("years", "vol"), [(0.0, 0.2), (-1.0, 0.2), (0.5, 0.0), (0.5, -0.1), (0.0, 0.0)])
def test_without_time_or_volatility_the_discounted_intrinsic_value_is_left(black_price, years, vol):
    assert black_price(1, 110.0, 100.0, years, vol, 0.9) == pytest.approx(9.0)
    assert black_price(0, 110.0, 100.0, years, vol, 0.9) == 0.0
    assert black_price(1, 100.0, 100.0, years, vol, 0.9) == 0.0


@both_ways
def test_greeks_at_expiry_are_a_step(black_greeks):
    assert black_greeks(1, 110.0, 110.0, 100.0, 0.0, 0.2, 1.0) == (1.0, 0.0, 0.0, 0.0, 10.0)
    assert black_greeks(0, 110.0, 110.0, 100.0, 0.0, 0.2, 1.0) == (0.0, 0.0, 0.0, 0.0, 0.0)
    assert black_greeks(1, 100.0, 100.0, 100.0, 0.0, 0.2, 1.0) == (0.5, 0.0, 0.0, 0.0, 0.0)


@both_ways
def test_an_unknown_volatility_gives_an_unknown_price(black_greeks):
    assert all(math.isnan(v) for v in black_greeks(1, 100.0, 100.0, 105.0, 0.5, math.nan, 1.0))
    assert math.isnan(black_price(0, 100.0, 105.0, 0.5, math.nan, 1.0))


@given(sides, moneyness, st.floats(0.01, 2.0), st.floats(0.05, 1.0))
def test_greeks_are_the_derivatives_of_the_price(is_call, ratio, years, vol):
    rate, dividend_yield, spot = 0.04, 0.013, 100.0
    strike = spot * ratio

    def price(spot, years, vol):
        forward = spot * math.exp((rate - dividend_yield) * years)
        return black_price(is_call, forward, strike, years, vol, math.exp(-rate * years))

    forward, discount = spot * math.exp((rate - dividend_yield) * years), math.exp(-rate * years)
    delta, gamma, vega, theta, value = black_greeks(is_call, spot, forward, strike, years, vol, discount)
    h = 1e-3
    up, middle, down = (price(spot + step, years, vol) for step in (h, 0.0, -h))
    assert value == middle
    assert delta == pytest.approx((up - down) / (2 * h), abs=1e-6)
    assert gamma == pytest.approx((up - 2 * middle + down) / h**2, abs=1e-5)
    h = 1e-5
    assert vega == pytest.approx((price(spot, years, vol + h) - price(spot, years, vol - h)) / (2 * h), abs=1e-4)
    assert theta == pytest.approx((price(spot, years - h, vol) - price(spot, years + h, vol)) / (2 * h), abs=1e-3)


def test_rows_price_one_contract_over_time():
    forward = np.array([600.0, 601.5, 599.0, np.nan])
    years = np.array([0.02, 0.019, 0.0, 0.01])
    vol = np.array([0.15, 0.16, 0.2, 0.2])
    discount = np.exp(-0.04 * years)
    out = np.empty(4)
    black_price_rows(0, forward, 605.0, years, vol, discount, out)
    one_by_one = [black_price(0, f, 605.0, t, v, d) for f, t, v, d in zip(forward, years, vol, discount, strict=True)]
    assert out == pytest.approx(one_by_one, rel=1e-13, nan_ok=True)
    assert out[2] == 6.0
    assert math.isnan(out[3])


@both_ways
def test_greeks_agree_with_values_computed_elsewhere(black_greeks, oracles):
    for case in cases(oracles, "european_greeks"):
        inputs, expected = case["inputs"], case["expected"]
        is_call, forward, discount = market(inputs)
        *greeks, price = black_greeks(
            is_call, inputs["spot"], forward, inputs["strike"], inputs["T"], inputs["vol"], discount
        )
        assert price == pytest.approx(expected["price"], abs=1e-9, rel=0.0), case["id"]
        for name, value in zip(("delta", "gamma", "vega", "theta"), greeks, strict=True):
            assert abs(value - expected[name]) <= 1e-9 + 1e-8 * abs(expected[name]), (case["id"], name)


@both_ways
def test_implied_vols_agree_with_values_computed_elsewhere(implied_vol, oracles):
    for case in cases(oracles, "implied_vol"):
        inputs, expected = case["inputs"], case["expected"]["implied_vol"]
        is_call, forward, discount = market(inputs)
        vol = implied_vol(is_call, inputs["price"], forward, inputs["strike"], inputs["T"], discount)
        if expected is None:
            assert math.isnan(vol), case["id"]
        else:
            assert vol == pytest.approx(expected, abs=case.get("tol", {}).get("abs", 1e-9)), case["id"]


@both_ways
@given(sides, forwards, st.floats(-12.0, 12.0), st.floats(1e-5, 3.0), vols, discounts)
def test_the_volatility_of_a_price_is_the_volatility_it_was_made_with(
    implied_vol, is_call, forward, deviations, years, vol, discount
):
    s = vol * math.sqrt(years)
    strike = forward * math.exp(deviations * s)
    assume(0.02 < strike / forward < 50.0)
    price = black_price(is_call, forward, strike, years, vol, discount)
    vega = black_greeks(is_call, forward, forward, strike, years, vol, discount)[2]
    # What the price's own last digits allow, here also in the money.
    rounding = 20.0 * 2.3e-16 * max(price, 1e-300) / vega if vega > 0.0 else math.inf
    assume(rounding < 1e-3 * vol)
    solved = implied_vol(is_call, price, forward, strike, years, discount)
    assert solved == pytest.approx(vol, rel=1e-11 + 2e-15 / s, abs=rounding)


@both_ways
@pytest.mark.parametrize(
    ("is_call", "price"),
    [(1, 9.99), (1, 110.0), (1, -1.0), (0, 0.0), (0, 100.0), (0, math.nan), (1, math.inf)],
)
def test_a_price_outside_its_bounds_has_no_volatility(implied_vol, is_call, price):
    assert math.isnan(implied_vol(is_call, price, 110.0, 100.0, 0.5, 1.0))


@both_ways
def test_no_time_or_an_unknown_input_has_no_volatility(implied_vol):
    assert math.isnan(implied_vol(1, 1.0, 100.0, 105.0, 0.0, 1.0))
    assert math.isnan(implied_vol(1, 1.0, math.nan, 105.0, 0.1, 1.0))
    assert math.isnan(implied_vol(1, 1.0, 100.0, math.nan, 0.1, 1.0))
    assert math.isnan(implied_vol(1, 1.0, 100.0, 105.0, math.nan, 1.0))


def test_minutes_to_expiry_and_cents_of_price_still_invert():
    five_minutes = 5.0 / (365.0 * 24.0 * 60.0)
    price = black_price(0, 600.0, 598.0, five_minutes, 0.6, 1.0)
    assert implied_vol(0, price, 600.0, 598.0, five_minutes, 1.0) == pytest.approx(0.6, rel=1e-11)
    assert implied_vol(0, 1e-40, 600.0, 400.0, 0.1, 1.0) > 0.0
