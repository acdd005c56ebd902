"""Hedges: numbers that can be checked in the head, and real greeks brought to zero."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.pricing.black_scholes import european
from core.types import SESSION, dtype_of
from strategies.hedging import (
    FEWEST_SESSIONS,
    hedge_order,
    liquid_smile_hedge,
    past_vol_move,
    smile_exposure,
    smile_moves,
    spot_move,
    worth_hedging,
)
from tests.conftest import both_ways

# ---------------------------------------------------------------- shares


@both_ways
def test_nothing_is_traded_inside_the_band(hedge_order):
    assert hedge_order(20.0, 0, 20.0) == 0
    assert hedge_order(-20.0, 0, 20.0) == 0
    assert hedge_order(0.0, -35, 20.0) == 0


@both_ways
def test_outside_the_band_the_net_delta_goes_to_zero(hedge_order):
    assert hedge_order(20.4, 0, 20.0) == -20  # too long: sell
    assert hedge_order(-31.0, 0, 20.0) == 31
    assert hedge_order(25.2, -40, 20.0) == -25  # options +65.2, shares -40: sell 25 more


@both_ways
def test_an_unknown_delta_and_a_band_of_zero_trade_nothing(hedge_order):
    assert hedge_order(math.nan, 10, 20.0) == 0
    assert hedge_order(50.0, 10, 0.0) == 0


@both_ways
@given(st.floats(-1e6, 1e6), st.integers(-100_000, 100_000), st.floats(1.0, 1000.0))
def test_an_order_leaves_half_a_share_at_most_and_the_next_look_is_quiet(hedge_order, net, held, band):
    bought = hedge_order(net, held, band)
    if bought:
        assert abs(net + bought) <= 0.5 + 1e-9
        assert hedge_order(net + bought, held + bought, band) == 0
    else:
        assert abs(net) <= band


# ---------------------------------------------------------------- vanna and volga

# Columns: put, at the money, call. Buying 1, 2 and 1 gives vega 6, vanna 0, volga 2.
HEDGE = np.array([[1.0, 2.0, 1.0], [-1.0, 0.0, 1.0], [1.0, 0.0, 1.0]])
COSTS = np.array([3.0, 2.0, 3.0])


@both_ways
def test_three_options_take_vega_vanna_and_volga_away(liquid_smile_hedge):
    x, cost, found = liquid_smile_hedge(-6.0, 0.0, -2.0, HEDGE, COSTS)
    assert x == pytest.approx((1.0, 2.0, 1.0))
    assert cost == pytest.approx(3 + 4 + 3)
    assert found
    sold, same_cost, _ = liquid_smile_hedge(6.0, 0.0, 2.0, HEDGE, COSTS)
    assert sold == pytest.approx((-1.0, -2.0, -1.0))
    assert same_cost == pytest.approx(10)


@both_ways
def test_vanna_alone_is_a_risk_reversal(liquid_smile_hedge):
    x, cost, _ = liquid_smile_hedge(0.0, 4.0, 0.0, HEDGE, COSTS)
    assert x == pytest.approx((2.0, 0.0, -2.0))
    assert cost == pytest.approx(12)


@both_ways
def test_options_that_do_not_span_the_greeks_find_nothing(liquid_smile_hedge):
    twins = np.array([[1.0, 1.0, 1.0], [-1.0, -1.0, 1.0], [1.0, 1.0, 1.0]])
    nearly_twins = twins + np.array([[0.0, 1e-12, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 1e-12]])
    for hedge in (twins, nearly_twins, np.zeros((3, 3)), np.full((3, 3), np.nan)):
        x, cost, found = liquid_smile_hedge(-6.0, 0.0, -2.0, hedge, COSTS)
        assert not found
        assert np.isnan([*x, cost]).all()


@both_ways
@pytest.mark.parametrize("unknown", [(math.nan, 0.0, 0.0), (0.0, math.nan, 0.0), (0.0, 0.0, math.nan)])
def test_an_unknown_exposure_finds_nothing(liquid_smile_hedge, unknown):
    assert not liquid_smile_hedge(*unknown, HEDGE, COSTS)[2]


@both_ways
def test_greeks_of_a_real_smile_are_brought_to_zero(liquid_smile_hedge):
    # 45 days, spot 500: 25-delta put, at the money, 25-delta call; a short 16-delta put spread on it.
    wings = european([0, 1, 1, 0, 0], 500.0, [480, 501, 518, 465, 455], 45 / 365, [0.19, 0.16, 0.14, 0.21, 0.22], 0.04)
    greeks = 100 * np.array([wings.vega, wings.vanna, wings.volga])
    held = greeks[:, 4] - greeks[:, 3]
    x, cost, found = liquid_smile_hedge(*held, np.ascontiguousarray(greeks[:, :3]), COSTS)
    assert found
    assert cost > 0
    assert held + greeks[:, :3] @ np.array(x) == pytest.approx(np.zeros(3), abs=1e-8 * np.abs(greeks).max())


@both_ways
def test_a_smile_moves_by_one_standard_deviation_of_both(smile_moves):
    # A $5 move with two vol points: vanna 200 x 5 x .02 = $20, volga 1/2 x 5,000 x .0004 = $1.
    assert smile_moves(-200.0, 5_000.0, 5.0, 0.02) == pytest.approx((-20.0, 1.0))
    assert smile_moves(200.0, -5_000.0, 5.0, 0.02) == pytest.approx((20.0, -1.0))


@both_ways
def test_the_exposure_is_the_larger_move_and_unknown_with_either(smile_exposure):
    assert smile_exposure(-200.0, 5_000.0, 5.0, 0.02) == pytest.approx(20.0)
    assert smile_exposure(-2.0, -500_000.0, 5.0, 0.02) == pytest.approx(100.0)
    for unknown in ((math.nan, 1.0, 5.0, 0.02), (1.0, math.nan, 5.0, 0.02), (1.0, 1.0, math.nan, 0.02)):
        assert math.isnan(smile_exposure(*unknown))


@both_ways
def test_a_days_move_of_the_spot_is_a_sixteenth_of_a_years(spot_move):
    assert spot_move(500.0, 0.16 * math.sqrt(252 / 256)) == pytest.approx(5.0)


def one_row_sessions(n):
    ses = np.zeros(n, dtype_of(SESSION)).view(np.recarray)
    ses.end = np.arange(1, n + 1)
    return ses


@both_ways
def test_a_days_move_of_volatility_is_measured_on_the_past(past_vol_move):
    values = np.cumsum(np.tile([0.01, -0.01], 30))
    values[40:] += 5.0
    ses = one_row_sessions(60)
    assert all(math.isnan(past_vol_move(values, ses, s)) for s in range(-1, FEWEST_SESSIONS))
    assert past_vol_move(values, ses, 39) == pytest.approx(0.01, rel=0.03)
    assert past_vol_move(values, ses, 40) > 0.5
    values[3] = math.nan  # two changes fewer are known
    assert math.isnan(past_vol_move(values, ses, FEWEST_SESSIONS + 1))
    assert past_vol_move(values, ses, FEWEST_SESSIONS + 2) > 0.0


@both_ways
def test_a_hedge_is_worth_it_above_the_budget_and_below_what_it_removes(worth_hedging):
    assert worth_hedging(20.0, 10.0, 19.0)
    assert not worth_hedging(20.0, 10.0, 20.0)  # costs what it removes
    assert not worth_hedging(10.0, 10.0, 1.0)  # inside the budget
    assert not worth_hedging(math.nan, 10.0, 1.0)
    assert not worth_hedging(20.0, 10.0, math.nan)
