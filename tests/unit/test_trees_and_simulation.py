"""Trees, least-squares Monte Carlo and cash dividends: what they must agree on with the closed forms and each other."""

import math

import numpy as np
import pytest

from core.errors import DataError
from core.pricing.american import american_price
from core.pricing.barone_adesi_whaley import barone_adesi_whaley
from core.pricing.black_scholes import european
from core.pricing.cash_dividends import cash_dividend_values, exercise_before_dividend, parity_of_dividend
from core.pricing.longstaff_schwartz import longstaff_schwartz
from core.pricing.trees import EUROPEAN, cox_ross_rubinstein, leisen_reimer

ARGS = (600.0, 590.0, 0.25, 0.2, 0.04, 0.012)


@pytest.mark.parametrize("is_call", [False, True])
@pytest.mark.parametrize("tree", [leisen_reimer, cox_ross_rubinstein])
def test_a_tree_without_early_exercise_is_black_scholes(tree, is_call):
    price, delta = tree(is_call, *ARGS, 501, EUROPEAN)
    exact = european(is_call, *ARGS)
    assert price == pytest.approx(float(exact.price), abs=5e-3)
    assert delta == pytest.approx(float(exact.delta), abs=2e-3)


def test_more_chances_to_exercise_are_worth_more():
    args = (False, 40.0, 44.0, 1.0, 0.2, 0.06, 0.0)
    european_, bermudan, american = (cox_ross_rubinstein(*args, 1000, every)[0] for every in (EUROPEAN, 100, 1))
    assert european_ < bermudan < american


def test_a_tree_outside_its_domain_is_unknown():
    assert math.isnan(leisen_reimer(True, *ARGS, 100, 1)[0])  # an even number of steps
    assert math.isnan(leisen_reimer(True, -1.0, *ARGS[1:], 101, 1)[0])
    assert math.isnan(cox_ross_rubinstein(True, 600.0, 600.0, 1.0, 0.001, 0.5, 0.0, 3, 1)[0])


def test_simulation_is_within_its_error_of_the_tree_and_below_in_expectation():
    args = (False, 40.0, 44.0, 1.0, 0.2, 0.06, 0.0)
    exact = cox_ross_rubinstein(*args, 1000, 20)[0]
    found = longstaff_schwartz(*args, 50, 40_000, np.random.default_rng(3))
    assert abs(found.price - exact) < 3.0 * found.standard_error
    assert found == longstaff_schwartz(*args, 50, 40_000, np.random.default_rng(3))
    with pytest.raises(DataError, match="even in number"):
        longstaff_schwartz(*args, 50, 39_999, np.random.default_rng(3))


def test_the_quadratic_approximation_is_close_for_short_options():
    assert barone_adesi_whaley(False, *ARGS) == pytest.approx(american_price(False, *ARGS), abs=0.1)
    call = (True, *ARGS[:5], 0.0)
    assert barone_adesi_whaley(*call) == pytest.approx(american_price(*call), abs=1e-9)


NONE = np.empty(0)


@pytest.mark.parametrize("is_call", [False, True])
def test_without_dividends_the_grid_is_the_closed_form_and_the_boundary_engine(is_call):
    args = (is_call, 600.0, 590.0, 0.25, 0.2, 0.04)
    price, delta = cash_dividend_values(*args, NONE, NONE, False)
    exact = european(*args, 0.0)
    assert price == pytest.approx(float(exact.price), abs=2e-3)
    assert delta == pytest.approx(float(exact.delta), abs=1e-4)
    assert cash_dividend_values(*args, NONE, NONE, True)[0] == pytest.approx(american_price(*args, 0.0), abs=5e-3)


def test_a_dividend_lowers_the_share_and_only_dates_within_the_life_count():
    args = (True, 600.0, 590.0, 0.25, 0.2, 0.04)
    plain = cash_dividend_values(*args, NONE, NONE, False)[0]
    paid = cash_dividend_values(*args, np.array([0.1]), np.array([1.8]), False)[0]
    outside = cash_dividend_values(*args, np.array([-0.1, 0.3]), np.array([1.8, 1.8]), False)[0]
    assert paid < plain - 0.5 and outside == plain
    early = cash_dividend_values(*args, np.array([0.1]), np.array([1.8]), True)[0]
    assert paid <= early <= plain + 2e-3


def test_european_parity_holds_with_a_cash_dividend():
    when, cash = np.array([0.1]), np.array([1.8])
    call, put = (cash_dividend_values(c, 600.0, 590.0, 0.25, 0.2, 0.04, when, cash, False)[0] for c in (True, False))
    forward = 600.0 - 1.8 * math.exp(-0.04 * 0.1) - 590.0 * math.exp(-0.04 * 0.25)
    assert call - put == pytest.approx(forward, abs=2e-3)


def test_a_call_deep_in_the_money_is_exercised_before_a_dividend_and_one_with_time_value_is_not():
    hold, exercise, now = exercise_before_dividend(600.0, 1.8, 500.0, 0.02, 0.15, 0.04)
    assert now and exercise == 100.0 and hold < exercise
    assert not exercise_before_dividend(600.0, 1.8, 598.0, 0.08, 0.15, 0.04)[2]
    assert parity_of_dividend(600.0, 1.8, 500.0, 0.02, 0.15, 0.04)[0]
