"""How packages fill and what they cost.

A package's net price is natural + frac x (mid - natural), rounded to the cent against us.
It is allocated to the legs so that they sum exactly and each lies between its mid and its
natural side. Prices of legs are half-cents (price2), so that the allocation always exists.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from core.jit import njit
from core.types import FRACTION, LEGS, LIMIT, Costs


def fill_fraction(values: Mapping[str, Any], legs: int) -> float:
    """Share of the way from natural to mid at which a package of so many legs fills."""
    fill = values["costs.fill"]
    if fill == "mid":
        return 1.0
    if fill == "fraction":
        return float(values["costs.fraction"])
    if fill == "leg_count":
        return max(0.0, 1.0 - (values["costs.leg_base"] + values["costs.leg_step"] * (legs - 1)))
    return 0.0


def costs_from(values: Mapping[str, Any], fees: Mapping[str, float], legs: int) -> Costs:
    """Settings and a fee table as numbers."""
    share = fill_fraction(values, legs)
    return Costs(
        order_type=LIMIT if values["costs.fill"] == "limit" else FRACTION,
        open_frac=share,
        close_frac=share,
        order_life=int(values["costs.order_life"]),
        limit_steps=int(values["costs.limit_steps"]),
        fee_buy=float(fees["commission"] + fees["both"]),
        fee_sell=float(fees["commission"] + fees["both"] + fees["sell"]),
        free_close=round(values["costs.free_close_at"] * 100),
        commission=float(fees["commission"]),
        extra_cents=float(values["costs.extra_slippage"] * 100),
        spread_multiple=float(values["costs.spread_multiple"]),
        interest=int(values["account.cash_yield"] == "tbill"),
    )


@njit
def half_spread2(costs, bid, ask):
    """Half the bid-ask spread in half-cents, stressed by spread_multiple, rounded up, at most the mid."""
    return min(int(math.ceil((ask - bid) * costs.spread_multiple - 1e-9)), bid + ask)


@njit
def package(costs, side, bid, ask):
    """(natural, mid) net cost of a package in half-cents; side +1 buys, -1 sells, 0 unused.

    Positive costs money, negative pays. bid, ask : cents, per leg.
    """
    natural2, mid2 = 0, 0
    for leg in range(LEGS):
        if side[leg] != 0:
            mid = int(bid[leg]) + int(ask[leg])
            mid2 += side[leg] * mid
            natural2 += side[leg] * mid + half_spread2(costs, int(bid[leg]), int(ask[leg]))
    return natural2, mid2


@njit
def net_cents(natural2, mid2, frac, extra_cents):
    """Net cost in whole cents, rounded against us, after the stress of extra cents."""
    return int(math.ceil((natural2 + frac * (mid2 - natural2)) / 2.0 + extra_cents - 1e-9))


@njit
def allocate(costs, side, bid, ask, net, price2):
    """Leg prices (half-cents) that sum to `net` cents, each between its natural side and its mid.

    The improvement over natural is shared in proportion to the legs' half-spreads; what rounding
    leaves goes to the legs in order. A net beyond natural (stress only) is added to bought
    legs, or taken off sold ones where none is bought.
    """
    total = 0
    natural2, _ = package(costs, side, bid, ask)
    better = natural2 - 2 * net
    for leg in range(LEGS):
        price2[leg] = 0
        if side[leg] != 0:
            half = half_spread2(costs, int(bid[leg]), int(ask[leg]))
            total += half
            price2[leg] = int(bid[leg]) + int(ask[leg]) + side[leg] * half
    if better < 0:
        for leg in range(LEGS):
            if side[leg] > 0:
                price2[leg] -= better
                return
        for leg in range(LEGS):  # nothing is bought: sales bring less, down to nothing
            taken = min(-better, price2[leg])
            price2[leg] -= taken
            better += taken
        return
    left = better
    for leg in range(LEGS):
        if side[leg] != 0 and total > 0:
            half = half_spread2(costs, int(bid[leg]), int(ask[leg]))
            share = better * half // total
            price2[leg] -= side[leg] * share
            left -= share
    for leg in range(LEGS):
        if side[leg] != 0 and left > 0:
            half = half_spread2(costs, int(bid[leg]), int(ask[leg]))
            used = side[leg] * (int(bid[leg]) + int(ask[leg]) + side[leg] * half - price2[leg])
            more = min(left, half - used)
            price2[leg] -= side[leg] * more
            left -= more


@njit
def fee_cents(costs, side, price2, contracts, closing):
    """Fee of one leg's fill in cents, rounded up; cheap closing buys may be free of commission."""
    rate = costs.fee_buy if side > 0 else costs.fee_sell
    if closing and side > 0 and costs.free_close > 0 and price2 <= 2 * costs.free_close:
        rate -= costs.commission
    return int(math.ceil(contracts * rate * 100.0 - 1e-9))


@njit
def limit_cents(costs, natural2, mid2, tries):
    """Net price of a working limit order after so many tries: from mid towards natural."""
    share = min(1.0, tries / costs.limit_steps)
    return net_cents(natural2, mid2, 1.0 - share, costs.extra_cents)
