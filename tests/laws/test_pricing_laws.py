"""What no price may break: sign, bounds, parity, order in the strike, limits. 20,000 cases with --slow."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.pricing.black_scholes import european
from core.pricing.heston import bates_price
from core.pricing.implied_vol import REASONS, SOLVED, implied_vol, no_vol_reason
from core.pricing.jump_diffusion import merton_price

SPOT = 600.0
TERMS = {
    "strike": st.floats(60.0, 6000.0),
    "years": st.floats(0.0, 5.0),
    "vol": st.floats(0.0, 3.0),
    "rate": st.floats(-0.02, 0.12),
    "dividend_yield": st.floats(-0.02, 0.08),
}


def european_laws(strike, years, vol, rate, dividend_yield):
    call, put = (european(kind, SPOT, strike, years, vol, rate, dividend_yield) for kind in (True, False))
    discount, share = math.exp(-rate * years), SPOT * math.exp(-dividend_yield * years)
    for values in (call, put):
        assert all(np.isfinite(value) for value in values)
    assert call.price >= 0.0 and put.price >= 0.0
    assert max(share - strike * discount, 0.0) - 1e-9 <= call.price <= share + 1e-9
    assert call.price - put.price == pytest.approx(share - strike * discount, abs=1e-9 * SPOT)
    assert call.delta - put.delta == pytest.approx(math.exp(-dividend_yield * years), abs=1e-12)
    assert call.gamma == pytest.approx(put.gamma, abs=1e-15) and call.vega == pytest.approx(put.vega, abs=1e-12)
    assert 0.0 <= call.prob_itm <= 1.0 and call.prob_itm + put.prob_itm == pytest.approx(1.0, abs=1e-12)
    h = 1e-3 * strike
    ladder = european(True, SPOT, np.array([strike - h, strike, strike + h]), years, vol, rate, dividend_yield).price
    assert ladder[0] >= ladder[1] - 1e-9 and ladder[1] >= ladder[2] - 1e-9
    assert ladder[0] - 2.0 * ladder[1] + ladder[2] >= -1e-9
    more = european(True, SPOT, strike, years, vol + 0.01, rate, dividend_yield)
    assert more.price >= call.price - 1e-9
    gone = european(True, SPOT, strike, 0.0, vol, rate, dividend_yield)
    assert gone.price == max(SPOT - strike, 0.0)
    still = european(True, SPOT, strike, years, 0.0, rate, dividend_yield)
    assert still.price == pytest.approx(max(share - strike * discount, 0.0), abs=1e-9)


@settings(max_examples=400)
@given(**TERMS)
def test_european_prices_keep_the_laws(**terms):
    european_laws(**terms)


@pytest.mark.slow
@settings(max_examples=20_000)
@given(**TERMS)
def test_european_prices_keep_the_laws_at_length(**terms):
    european_laws(**terms)


def inversion(is_call, moneyness, years, vol):
    strike = SPOT * math.exp(moneyness * vol * math.sqrt(years))
    values = european(is_call, SPOT, strike, years, vol, 0.0)
    price = float(values.price)
    found = implied_vol(is_call, price, SPOT, strike, years, 1.0)
    reason = no_vol_reason(is_call, price, SPOT, strike, years, 1.0)
    assert ((reason == SOLVED) == (not math.isnan(found)) and REASONS[reason] == "") or math.isnan(found)
    room = 100.0 * np.finfo(float).eps * max(price, 1e-300) / max(float(values.vega), 1e-300)
    if reason == SOLVED and room < 0.01 * vol:
        assert found == pytest.approx(vol, abs=1e-9 + room)


INVERTED = {
    "is_call": st.booleans(),
    "moneyness": st.floats(-5.0, 5.0),
    "years": st.floats(1.0 / (24 * 365), 3.0),
    "vol": st.floats(0.01, 3.0),
}


@settings(max_examples=400)
@given(**INVERTED)
def test_the_volatility_of_a_price_is_found_again_as_far_as_the_price_holds_it(**terms):
    inversion(**terms)


@pytest.mark.slow
@settings(max_examples=20_000)
@given(**INVERTED)
def test_the_volatility_of_a_price_is_found_again_at_length(**terms):
    inversion(**terms)


MODEL = {
    "moneyness": st.floats(-4.0, 4.0),
    "years": st.floats(1.0 / 365, 3.0),
    "v0": st.floats(0.004, 0.5),
    "kappa": st.floats(0.2, 12.0),
    "theta": st.floats(0.004, 0.4),
    "sigma": st.floats(0.05, 2.5),
    "rho": st.floats(-0.97, 0.6),
    "jumps": st.floats(0.0, 6.0),
}


def model_laws(moneyness, years, v0, kappa, theta, sigma, rho, jumps):
    strike = SPOT * math.exp(moneyness * math.sqrt(max(v0, theta) * years))
    ladder = np.array([0.99, 1.0, 1.01]) * strike
    call, put = (
        bates_price(kind, SPOT, ladder, years, 0.98, v0, kappa, theta, sigma, rho, jumps, -0.06, 0.07)
        for kind in (True, False)
    )
    assert np.all(np.isfinite(call)) and np.all(call >= 0.0) and np.all(put >= 0.0)
    assert call - put == pytest.approx(0.98 * (SPOT - ladder), abs=1e-9)
    assert call[0] >= call[1] - 1e-6 and call[1] >= call[2] - 1e-6
    assert call[0] - 2.0 * call[1] + call[2] >= -2e-6
    jumped = merton_price(True, SPOT, strike, years, 0.98, math.sqrt(v0), jumps, -0.06, 0.07)
    plain = merton_price(True, SPOT, strike, years, 0.98, math.sqrt(v0), 0.0, -0.06, 0.07)
    assert jumped >= plain - 1e-9


@settings(max_examples=150)
@given(**MODEL)
def test_model_prices_keep_the_laws(**terms):
    model_laws(**terms)


@pytest.mark.slow
@settings(max_examples=20_000)
@given(**MODEL)
def test_model_prices_keep_the_laws_at_length(**terms):
    model_laws(**terms)
