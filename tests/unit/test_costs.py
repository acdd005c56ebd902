"""What a package pays: natural, mid and between, leg by leg, with fees; checked in the head and by law."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.config import load, read_fees
from core.costs import allocate, costs_from, fee_cents, fill_fraction, half_spread2, limit_cents, net_cents, package
from core.types import FRACTION, LEGS, LIMIT, record_of
from tests.conftest import both_ways
from tests.markets import NO_FILE

SELL_CONDOR = np.array([1, -1, -1, 1], np.int32)
CLOSE_CONDOR = -SELL_CONDOR


def costs(fees="alpaca", legs=4, **changes):
    values = load(user_file=NO_FILE, flags={f"costs.{name}": value for name, value in changes.items()}).values
    return costs_from(values, read_fees(fees), legs)


def record(**changes):
    return record_of(costs(**changes))


def quotes(*pairs):
    bid, ask = zip(*pairs, strict=True)
    return np.array(bid, np.int32), np.array(ask, np.int32)


CONDOR = quotes((40, 42), (100, 104), (90, 94), (30, 32))


# ---------------------------------------------------------------- settings


@pytest.mark.parametrize(
    ("fill", "legs", "share"),
    [
        ("natural", 4, 0.0),
        ("mid", 4, 1.0),
        ("fraction", 4, 0.25),
        ("limit", 4, 0.0),
        ("leg_count", 4, 0.531),
        ("leg_count", 2, 0.677),
    ],
)
def test_the_share_of_the_way_to_mid(fill, legs, share):
    made = costs(fill=fill, legs=legs)
    assert made.open_frac == made.close_frac == pytest.approx(share)
    assert fill_fraction(load(user_file=NO_FILE, sets=[f"costs.fill={fill}"]).values, legs) == pytest.approx(share)


def test_more_legs_never_fill_better():
    shares = [costs(fill="leg_count", legs=n, leg_step=0.3).open_frac for n in range(1, 9)]
    assert shares == sorted(shares, reverse=True)
    assert min(shares) == 0.0


def test_settings_reach_their_numbers():
    made = costs("classic", extra_slippage=0.02, spread_multiple=3.0, free_close_at=0.05, order_life=7, limit_steps=2)
    assert (made.extra_cents, made.spread_multiple, made.free_close, made.order_life, made.limit_steps) == (
        2.0,
        3.0,
        5,
        7,
        2,
    )
    assert (made.fee_buy, made.fee_sell, made.commission, made.interest) == (0.65, 0.65, 0.65, 0)
    assert LIMIT in costs(fill="limit") and costs(fill="limit")[0] == LIMIT
    assert costs(fill="natural")[0] == FRACTION
    alpaca = costs("alpaca")
    assert alpaca.fee_sell - alpaca.fee_buy == pytest.approx(0.00329)


# ---------------------------------------------------------------- a condor in the head


@both_ways
def test_a_condor_sold_at_natural_gets_bids_less_asks(package):
    natural2, mid2 = package(record(), SELL_CONDOR, *CONDOR)
    assert natural2 == -2 * (100 + 90 - 42 - 32)
    assert mid2 == -(204 + 184 - 82 - 62)


@both_ways
def test_a_condor_closed_at_natural_pays_asks_less_bids(package):
    natural2, mid2 = package(record(), CLOSE_CONDOR, *CONDOR)
    assert natural2 == 2 * (104 + 94 - 40 - 30)
    assert mid2 == 204 + 184 - 82 - 62


@both_ways
def test_an_unused_leg_costs_nothing(package):
    assert package(record(), np.array([0, 0, -1, 1], np.int32), *CONDOR) == (-2 * (90 - 32), -(184 - 62))


@both_ways
def test_a_wider_spread_worsens_natural_and_leaves_mid(package):
    for multiple, half in ((1.0, 12), (2.0, 24), (2.5, 30)):
        natural2, mid2 = package(record(spread_multiple=multiple), SELL_CONDOR, *CONDOR)
        assert mid2 == -244
        assert natural2 == mid2 + half


@both_ways
def test_a_stressed_sale_never_pays_to_sell(half_spread2):
    assert half_spread2(record(spread_multiple=100.0), 1, 3) == 4  # at most the mid: the price stays >= 0
    assert half_spread2(record(), 0, 1) == 1


@both_ways
def test_a_net_price_is_rounded_to_the_cent_against_us(net_cents):
    assert net_cents(-232, -244, 0.0, 0.0) == -116
    assert net_cents(-232, -244, 1.0, 0.0) == -122
    assert net_cents(-232, -243, 1.0, 0.0) == -121  # a credit of 1.215 becomes 1.21
    assert net_cents(256, 245, 1.0, 0.0) == 123  # a debit of 1.225 becomes 1.23
    assert net_cents(-232, -244, 0.25, 0.0) == -117  # 117.5
    assert net_cents(-232, -244, 0.0, 2.0) == -114


@both_ways
def test_a_limit_walks_from_mid_to_natural_and_stays_there(limit_cents):
    made = record(fill="limit", limit_steps=3)
    walk = [limit_cents(made, -232, -244, tries) for tries in range(6)]
    assert walk == [-122, -120, -118, -116, -116, -116]


# ---------------------------------------------------------------- legs


@st.composite
def packages(draw):
    """(side, bid, ask) with one to four legs in use, at least one of them bought."""
    side = np.array(draw(st.lists(st.sampled_from([-1, 0, 1]), min_size=LEGS, max_size=LEGS)), np.int32)
    if not (side > 0).any():
        side[draw(st.integers(0, LEGS - 1))] = 1
    bid = np.array(draw(st.lists(st.integers(0, 3000), min_size=LEGS, max_size=LEGS)), np.int32)
    width = draw(st.lists(st.integers(0, 300), min_size=LEGS, max_size=LEGS))
    return side, bid, (bid + np.array(width, np.int32)).astype(np.int32)


@both_ways
@given(case=packages(), frac=st.floats(0.0, 1.0))
def test_legs_sum_to_the_net_and_each_lies_between_its_mid_and_its_natural_side(allocate, case, frac):
    side, bid, ask = case
    price2 = np.zeros(LEGS, np.int64)
    natural2, mid2 = package.py_func(record(), side, bid, ask)
    net = net_cents(natural2, mid2, frac, 0.0)
    allocate(record(), side, bid, ask, net, price2)
    assert (side * price2).sum() == 2 * net
    natural_side = np.where(side > 0, 2 * ask, 2 * bid)
    for leg in range(LEGS):
        if side[leg] == 0:
            assert price2[leg] == 0
        else:
            mid = bid[leg] + ask[leg]
            assert min(mid, natural_side[leg]) <= price2[leg] <= max(mid, natural_side[leg])


@both_ways
@given(case=packages(), frac=st.floats(0.0, 1.0), multiple=st.floats(1.0, 5.0), extra=st.integers(0, 50))
def test_stress_makes_a_package_dearer_and_no_sale_negative(allocate, case, frac, multiple, extra):
    side, bid, ask = case
    price2 = np.zeros(LEGS, np.int64)
    calm = net_cents(*package.py_func(record(), side, bid, ask), frac, 0.0)
    hard = record(spread_multiple=multiple)
    net = net_cents(*package.py_func(hard, side, bid, ask), frac, float(extra))
    allocate(hard, side, bid, ask, net, price2)
    assert net >= calm + extra
    assert (side * price2).sum() == 2 * net
    assert (price2 >= 0).all()
    assert ((price2 - bid - ask) * side >= 0).all()


# ---------------------------------------------------------------- fees


@both_ways
def test_fees_are_per_contract_and_side_and_rounded_up_per_fill(fee_cents):
    alpaca, classic = record(), record(fees="classic")
    assert fee_cents(alpaca, 1, 200, 1, False) == 5  # 4.295
    assert fee_cents(alpaca, -1, 200, 1, False) == 5  # 4.624
    assert fee_cents(alpaca, 1, 200, 10, False) == 43
    assert fee_cents(alpaca, -1, 200, 10, False) == 47
    assert [fee_cents(classic, side, 200, n, closing) for side, n, closing in ((1, 1, False), (-1, 3, True))] == [
        65,
        195,
    ]
    assert fee_cents(record(fees="none"), 1, 200, 100, False) == 0


@both_ways
def test_a_cheap_closing_purchase_may_be_free_of_commission(fee_cents):
    made = record(fees="classic", free_close_at=0.05)
    assert fee_cents(made, 1, 10, 2, True) == 0
    assert fee_cents(made, 1, 11, 2, True) == 130  # above the price
    assert fee_cents(made, -1, 10, 2, True) == 130  # a sale
    assert fee_cents(made, 1, 10, 2, False) == 130  # an opening
    assert fee_cents(record(fees="classic"), 1, 0, 2, True) == 130  # the rule is off
