"""Packages of legs: credit, debit, payoff, worst case and breakevens, with numbers to check in the head."""

import math
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.payoff import (
    PRICE_CEILING_CENTS,
    breakevens_cents,
    expiry_pnl_cents,
    intrinsic_cents,
    max_loss_cents,
    max_profit_cents,
    mid_credit_twice_cents,
    natural_credit_cents,
    natural_debit_cents,
    net_calls,
    nominal_breakevens_cents,
    payoff_cents,
    payoff_range_cents,
    round_trip_cents,
)
from core.types import CALL, PUT
from tests.conftest import both_ways


class Package(NamedTuple):
    right: np.ndarray
    strike: np.ndarray
    quantity: np.ndarray


def package(*legs):
    right, strike_usd, quantity = zip(*legs, strict=True)
    return Package(np.array(right, np.int8), np.array(strike_usd, np.int32) * 100, np.array(quantity, np.int32))


CONDOR = package((PUT, 90, 1), (PUT, 95, -1), (CALL, 105, -1), (CALL, 115, 1))
PUT_SPREAD = package((PUT, 90, 1), (PUT, 95, -1))
BUTTERFLY = package((CALL, 95, 1), (CALL, 100, -2), (CALL, 105, 1))
BROKEN_WING = package((CALL, 95, 1), (CALL, 100, -2), (CALL, 110, 1))
NAKED_CALL = package((CALL, 100, -1))
NAKED_PUTS = package((PUT, 100, -2))
LONG_STRADDLE = package((PUT, 100, 1), (CALL, 100, 1))

BID = np.array([60, 150, 140, 20], np.int32)
ASK = np.array([64, 154, 146, 24], np.int32)


def breakevens(kernel, legs, credit):
    out = np.empty(legs.quantity.size + 1)
    count = kernel(legs.right, legs.strike, legs.quantity, credit, out)
    assert np.isnan(out[count:]).all()
    return out[:count].tolist()


@both_ways
def test_opening_sells_at_the_bid_and_buys_at_the_ask(natural_credit_cents):
    assert natural_credit_cents(CONDOR.quantity, BID, ASK) == 150 + 140 - 64 - 24


@both_ways
def test_closing_buys_at_the_ask_and_sells_at_the_bid(natural_debit_cents):
    assert natural_debit_cents(CONDOR.quantity, BID, ASK) == 154 + 146 - 60 - 20


@both_ways
def test_a_worthless_wing_is_sold_for_nothing(natural_debit_cents):
    bid = BID.copy()
    bid[3] = 0
    assert natural_debit_cents(CONDOR.quantity, bid, ASK) == 154 + 146 - 60


@both_ways
def test_the_mid_is_kept_as_twice_its_value(mid_credit_twice_cents):
    assert mid_credit_twice_cents(CONDOR.quantity, BID, ASK) == 304 + 286 - 124 - 44


@both_ways
def test_a_round_trip_costs_the_spread_of_every_leg(round_trip_cents):
    assert round_trip_cents(CONDOR.quantity, BID, ASK) == 4 + 4 + 6 + 4


@both_ways
def test_a_double_body_counts_twice(natural_credit_cents, natural_debit_cents):
    bid, ask = np.array([600, 300, 100], np.int32), np.array([610, 310, 110], np.int32)
    assert natural_credit_cents(BUTTERFLY.quantity, bid, ask) == 2 * 300 - 610 - 110
    assert natural_debit_cents(BUTTERFLY.quantity, bid, ask) == 2 * 310 - 600 - 100


@both_ways
@given(data=st.data())
def test_the_mid_lies_midway_between_natural_credit_and_natural_debit(
    data, mid_credit_twice_cents, natural_credit_cents, natural_debit_cents
):
    legs = data.draw(st.integers(1, 4))
    size = st.lists(st.integers(0, 50_000), min_size=legs, max_size=legs)
    bid = np.array(data.draw(size), np.int32)
    ask = bid + np.array(data.draw(size), np.int32)
    quantity = np.array(data.draw(st.lists(st.integers(-3, 3), min_size=legs, max_size=legs)), np.int32)
    credit, debit = natural_credit_cents(quantity, bid, ask), natural_debit_cents(quantity, bid, ask)
    assert mid_credit_twice_cents(quantity, bid, ask) == credit + debit
    assert credit <= debit


@both_ways
def test_an_option_is_worth_its_intrinsic_value_and_never_less_than_nothing(intrinsic_cents):
    assert intrinsic_cents(CALL, 10_000, 10_350) == 350
    assert intrinsic_cents(PUT, 10_000, 10_350) == 0
    assert intrinsic_cents(PUT, 10_000, 9_999) == 1


@both_ways
@pytest.mark.parametrize(
    ("settle_usd", "value"),
    [(0, -500), (90, -500), (93, -200), (95, 0), (105, 0), (108, -300), (115, -1000), (999, -1000)],
)
def test_a_condor_pays_away_at_most_one_width(payoff_cents, settle_usd, value):
    assert payoff_cents(CONDOR.right, CONDOR.strike, CONDOR.quantity, 100 * settle_usd) == value


@both_ways
def test_profit_at_expiry_is_credit_plus_payoff(expiry_pnl_cents):
    assert expiry_pnl_cents(*CONDOR, 150, 9_300) == -50


@both_ways
def test_a_thousand_packages_of_int32_legs_do_not_overflow(payoff_cents):
    legs = CONDOR._replace(quantity=CONDOR.quantity * 5_000, strike=CONDOR.strike * 60)
    assert payoff_cents(*legs, 0) == -500 * 60 * 5_000


@both_ways
@pytest.mark.parametrize(
    ("legs", "credit", "loss", "profit"),
    [
        (CONDOR, 150, 1000 - 150, 150),  # the wider side alone, never the sum of both
        (PUT_SPREAD, 120, 380, 120),
        (BUTTERFLY, -80, 80, 420),
        (BROKEN_WING, 30, 470, 530),
        (NAKED_PUTS, 0, 20_000, 0),
    ],
    ids=["condor", "put spread", "butterfly", "broken wing", "two naked puts"],
)
def test_worst_and_best_case_at_expiry(max_loss_cents, max_profit_cents, legs, credit, loss, profit):
    assert max_loss_cents(*legs, credit) == loss
    assert max_profit_cents(*legs, credit) == profit


@both_ways
def test_a_credit_above_the_width_cannot_lose(max_loss_cents):
    assert max_loss_cents(*PUT_SPREAD, 510) == -10


@both_ways
def test_each_side_of_a_condor_has_its_own_worst_case(payoff_range_cents):
    assert payoff_range_cents(*CONDOR, 0, 9_500) == (-500, 0)
    assert payoff_range_cents(*CONDOR, 10_500, PRICE_CEILING_CENTS) == (-1000, 0)
    assert payoff_range_cents(*CONDOR, 9_600, 10_400) == (0, 0)


@both_ways
def test_a_loss_without_bound_is_too_large_to_be_missed(net_calls, max_loss_cents, max_profit_cents):
    assert net_calls(CONDOR.right, CONDOR.quantity) == 0
    assert net_calls(NAKED_CALL.right, NAKED_CALL.quantity) == -1
    assert max_loss_cents(*NAKED_CALL, 300) > PRICE_CEILING_CENTS // 2
    assert net_calls(LONG_STRADDLE.right, LONG_STRADDLE.quantity) == 1
    assert max_profit_cents(*LONG_STRADDLE, -500) > PRICE_CEILING_CENTS // 2


@both_ways
@pytest.mark.parametrize(
    ("legs", "credit", "prices"),
    [
        (CONDOR, 150, [9_350, 10_650]),
        (CONDOR, 600, [11_100]),  # the put side cannot lose more than 500
        (CONDOR, 1_001, []),
        (CONDOR, 0, [9_500, 10_500]),
        (CONDOR, -10, []),  # loses everywhere
        (PUT_SPREAD, 500, []),  # P&L never below 0
        (PUT_SPREAD, 120, [9_380]),
        (BUTTERFLY, -80, [9_580, 10_420]),
        (BUTTERFLY, -500, [10_000]),  # only the peak breaks even
        (BROKEN_WING, 30, [10_530]),
        (LONG_STRADDLE, -700, [9_300, 10_700]),
        (NAKED_CALL, 250, [10_250]),
    ],
)
def test_breakevens_are_where_loss_begins(breakevens_cents, legs, credit, prices):
    assert breakevens(breakevens_cents, legs, credit) == prices


@both_ways
def test_a_double_slope_breaks_even_between_cents(breakevens_cents):
    ratio = package((CALL, 100, -2), (CALL, 110, 2))
    assert breakevens(breakevens_cents, ratio, 155) == [10_077.5]


@both_ways
def test_nominal_breakevens_are_short_strike_and_credit(nominal_breakevens_cents, breakevens_cents):
    assert nominal_breakevens_cents(9_500, 10_500, 150) == (9_350, 10_650)
    assert breakevens(breakevens_cents, CONDOR, 150) == [9_350, 10_650]


leg = st.tuples(st.sampled_from([PUT, CALL]), st.integers(1, 40), st.integers(-3, 3))


@both_ways
@given(legs=st.lists(leg, min_size=1, max_size=6), credit=st.integers(-900, 900), price=st.integers(0, 6_000))
def test_no_price_is_worse_than_the_worst_case_and_losses_lie_between_breakevens(
    legs, credit, price, expiry_pnl_cents, max_loss_cents, max_profit_cents, breakevens_cents
):
    legs = package(*legs)
    profit = expiry_pnl_cents(*legs, credit, price)
    assert -max_loss_cents(*legs, credit) <= profit <= max_profit_cents(*legs, credit)
    crossings = breakevens(breakevens_cents, legs, credit)
    assert crossings == sorted(set(crossings))
    # Between two neighbouring breakevens P&L keeps its sign.
    below = max((x for x in crossings if x <= price), default=0.0)
    above = min((x for x in crossings if x > price), default=float(PRICE_CEILING_CENTS))
    if below < price:
        for other in {math.ceil(below + 1e-9), math.floor(above - 1e-9)}:
            if below < other < above:
                assert (expiry_pnl_cents(*legs, credit, other) < 0) == (profit < 0)


@both_ways
@given(
    widths=st.tuples(st.integers(1, 20), st.integers(1, 20)),
    credit=st.integers(1, 2_500),
)
def test_the_two_forms_of_a_condor_agree(widths, credit, max_loss_cents, breakevens_cents, nominal_breakevens_cents):
    put_width, call_width = widths
    legs = package((PUT, 95 - put_width, 1), (PUT, 95, -1), (CALL, 105, -1), (CALL, 105 + call_width, 1))
    assert max_loss_cents(*legs, credit) == 100 * max(widths) - credit
    low, high = nominal_breakevens_cents(9_500, 10_500, credit)
    expected = [low] if credit < 100 * put_width else []
    expected += [high] if credit < 100 * call_width else []
    assert breakevens(breakevens_cents, legs, credit) == expected
