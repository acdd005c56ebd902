"""Margin profiles against payoffs worked out another way: legs on a grid of prices, structures by their widths."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.jit import by_reference, njit
from core.margin import UNBOUNDED, requirement
from core.market.store import empty_market, frozen
from core.portfolio import new_book
from core.risk_manager import NO_LIMITS
from core.types import ALPACA, IBKR, LEG_SIGN, NO_MARGIN, REG_T, record_of

RIGHTS = (0, 0, 1, 1)
SPOT = 500.0


@njit
def bound(m, limits, book, legs, contracts, x):
    m, book = by_reference(m), by_reference(book)
    return requirement(m, limits, book, legs, contracts, x, 0)


def market_of_structures(structures):
    """A market that lists the legs of (expiry, contracts, strikes) alone: structure i has contracts 4 i to 4 i + 3."""
    m = empty_market()
    row, con = np.zeros(1, m.row.dtype), np.zeros(4 * len(structures), m.con.dtype)
    row["spot"] = SPOT
    for i, (expiry, _, strikes) in enumerate(structures):
        part = con[4 * i : 4 * i + 4]
        part["strike"], part["right"], part["expiry"] = strikes, RIGHTS, expiry
    return m._replace(row=frozen(row.view(np.recarray)), con=frozen(con.view(np.recarray)))


def binds(profile, structures, candidate=(0, 0, (0, 0, 0, 0)), shares=0, gone=()):
    """Cents bound for open structures, a candidate and shares; gone: (structure, leg) that are closed."""
    m = market_of_structures([*structures, candidate])
    book = new_book(0, len(structures) + 1, 2)
    book.head.shares = shares
    for i, (expiry, contracts, _) in enumerate(structures):
        book.slot[i].trade, book.slot[i].expiry, book.slot[i].contracts = i, expiry, contracts
        book.slot[i].legs[:] = np.arange(4 * i, 4 * i + 4)
    for i, leg in gone:
        book.slot[i].legs[leg] = -1
    legs = 4 * len(structures) + np.arange(4)
    limits = record_of(NO_LIMITS._replace(margin=profile))
    return int(bound(m, limits, book, legs, candidate[1], candidate[0]))


def worst_payoff(structures):
    """Sum over the expiries of the worst net payoff on every dollar, cents x 100 shares, positive."""
    total = 0
    for expiry in {s[0] for s in structures}:
        prices = np.arange(0, 200_000, 100)
        net = np.zeros(prices.size, np.int64)
        for x, contracts, strikes in structures:
            if x == expiry:
                for right, sign, strike in zip(RIGHTS, LEG_SIGN, strikes, strict=True):
                    net += contracts * sign * np.maximum(prices - strike if right else strike - prices, 0)
        total += 100 * max(0, -int(net.min()))
    return total


dollars = st.integers(1, 30)
structure = st.builds(
    lambda expiry, contracts, short_put, gap, put_wing, call_wing: (
        expiry,
        contracts,
        tuple(100 * k for k in (short_put - put_wing, short_put, short_put + gap, short_put + gap + call_wing)),
    ),
    st.integers(0, 2),
    st.integers(1, 9),
    st.integers(400, 520),
    st.integers(0, 60),
    dollars,
    dollars,
)


@settings(max_examples=200)
@given(st.lists(structure, min_size=1, max_size=5), st.integers(0, 2))
def test_no_profile_of_gross_margin_is_below_the_worst_expiry_payoff(structures, last):
    *held, candidate = structures
    worst = worst_payoff(structures)
    assert binds(ALPACA, held, candidate) == worst  # the universal spread rule is that payoff
    assert binds(REG_T, held, candidate) >= worst
    assert binds(IBKR, held, candidate) >= binds(REG_T, held, candidate)
    assert binds(NO_MARGIN, held, candidate) == 0
    assert binds(ALPACA, structures) == worst  # proposed or held, it binds the same


def test_a_condor_binds_its_wider_side_and_at_ibkr_both_unless_they_are_equal():
    equal, unequal = (0, 2, (45_000, 46_000, 53_000, 54_000)), (0, 2, (44_000, 46_000, 53_000, 54_000))
    assert [binds(p, [equal]) for p in (ALPACA, REG_T, IBKR)] == [200_000] * 3
    assert [binds(p, [unequal]) for p in (ALPACA, REG_T, IBKR)] == [400_000, 400_000, 600_000]


def test_structures_of_one_expiry_bind_what_they_can_lose_at_one_price_and_of_two_expiries_what_each_can():
    """Put spreads below and call spreads above never lose together; the far legs of each pair are worth nothing."""
    puts, calls = (45_000, 46_000, 90_000, 90_000), (10_000, 10_000, 53_000, 54_000)
    assert binds(ALPACA, [(0, 1, puts)], (0, 1, calls)) == 100_000
    assert binds(ALPACA, [(0, 1, puts)], (1, 1, calls)) == 200_000
    assert binds(REG_T, [(0, 1, puts)], (0, 1, calls)) == 200_000  # structure by structure


def test_a_short_call_that_lost_its_wing_has_no_bound():
    condor = (0, 1, (45_000, 46_000, 53_000, 54_000))
    for profile in (ALPACA, REG_T, IBKR):
        assert binds(profile, [condor], gone=[(0, 3)]) >= UNBOUNDED
        assert binds(profile, [condor], gone=[(0, 2), (0, 3)]) == 100_000
        assert binds(profile, [condor], gone=[(0, 1), (0, 2)]) == 0  # longs alone owe nothing
        assert binds(profile, [condor], gone=[(0, 0)]) >= 4_600_000  # a put without a wing: its strike


def test_shares_bind_half_of_their_value_long_and_half_as_much_again_short():
    """Against cash that paid for them: 100 shares at $500 cost 50,000, and the broker lends 25,000 of it."""
    for profile in (ALPACA, REG_T, IBKR):
        assert binds(profile, [], shares=100) == -2_500_000
        assert binds(profile, [], shares=-100) == 7_500_000


@pytest.mark.parametrize("profile", [ALPACA, REG_T, IBKR])
def test_what_is_free_binds_nothing(profile):
    assert binds(profile, []) == 0
