"""What a package of option legs pays: from quotes today, and at expiry at any price.

Everything is integer cents per share of ONE package; a caller multiplies by the
multiplier (100) and the number of packages. Legs are parallel arrays:

quantity      : legs per package, signed, short < 0 (a condor: 1, -1, -1, 1; a butterfly body: -2)
right         : > 0 a call, otherwise a put
strike_cents  : strike in cents, any order, equal strikes allowed
bid_cents, ask_cents : two-sided quotes; the caller has already refused legs without one

A credit is what opening the package brings in and a debit what closing it costs, both
positive in the normal case; a negative credit is a price paid.
"""

from __future__ import annotations

import numpy as np

from core.jit import njit

# The highest price looked at. Above the last strike a payoff is a straight line, so any higher price only
# repeats its value there, or shows a loss (profit) of some 10**12 cents when it has no bound: see net_calls.
PRICE_CEILING_CENTS = 10**12


@njit
def natural_credit_cents(quantity, bid_cents, ask_cents):
    """Cash taken in by opening the package at once: shorts sold at the bid, longs bought at the ask."""
    credit = np.int64(0)
    for leg in range(quantity.size):
        price = bid_cents[leg] if quantity[leg] < 0 else ask_cents[leg]
        credit -= np.int64(quantity[leg]) * np.int64(price)
    return credit


@njit
def natural_debit_cents(quantity, bid_cents, ask_cents):
    """Cash paid to close the package at once: shorts bought at the ask, longs sold at the bid (0 allowed)."""
    debit = np.int64(0)
    for leg in range(quantity.size):
        price = ask_cents[leg] if quantity[leg] < 0 else bid_cents[leg]
        debit -= np.int64(quantity[leg]) * np.int64(price)
    return debit


@njit
def mid_credit_twice_cents(quantity, bid_cents, ask_cents):
    """Twice the mid price of the package (bid + ask, so that it stays an integer).

    The same number for opening (a credit) and closing (a debit).
    """
    twice = np.int64(0)
    for leg in range(quantity.size):
        twice -= np.int64(quantity[leg]) * (np.int64(bid_cents[leg]) + np.int64(ask_cents[leg]))
    return twice


@njit
def round_trip_cents(quantity, bid_cents, ask_cents):
    """Lost by opening and closing at the same quotes: natural debit - natural credit, every leg's spread."""
    return natural_debit_cents(quantity, bid_cents, ask_cents) - natural_credit_cents(quantity, bid_cents, ask_cents)


@njit
def intrinsic_cents(right, strike_cents, settle_cents):
    """Value of one long option at expiry, >= 0."""
    gain = np.int64(settle_cents) - np.int64(strike_cents)
    if right <= 0:
        gain = -gain
    return max(gain, np.int64(0))


@njit
def payoff_cents(right, strike_cents, quantity, settle_cents):
    """Value of the legs at expiry to their holder; a short condor's is <= 0."""
    value = np.int64(0)
    for leg in range(quantity.size):
        value += np.int64(quantity[leg]) * intrinsic_cents(right[leg], strike_cents[leg], settle_cents)
    return value


@njit
def expiry_pnl_cents(right, strike_cents, quantity, credit_cents, settle_cents):
    """Profit when the package, opened for credit_cents (a debit < 0), is held to settlement; no fees."""
    return np.int64(credit_cents) + payoff_cents(right, strike_cents, quantity, settle_cents)


@njit
def payoff_range_cents(right, strike_cents, quantity, low_cents, high_cents):
    """(lowest, highest) payoff over all settlement prices in [low_cents, high_cents].

    The payoff is linear between strikes, so its extremes lie at the ends or at a strike.
    """
    lowest = payoff_cents(right, strike_cents, quantity, low_cents)
    highest = lowest
    value = payoff_cents(right, strike_cents, quantity, high_cents)
    lowest, highest = min(lowest, value), max(highest, value)
    for leg in range(strike_cents.size):
        if low_cents < strike_cents[leg] < high_cents:
            value = payoff_cents(right, strike_cents, quantity, strike_cents[leg])
            lowest, highest = min(lowest, value), max(highest, value)
    return lowest, highest


@njit
def max_loss_cents(right, strike_cents, quantity, credit_cents):
    """The most that can be lost at expiry, over all prices from 0 up; < 0 when a profit is certain.

    A condor can lose on one side only, so this is its wider width minus the credit. With
    credit_cents = 0 it is the gross requirement per share. It does not bound an early
    close at natural prices, nor an early assignment. Where `net_calls` < 0 the loss has
    no bound and the number is of the size of PRICE_CEILING_CENTS.
    """
    lowest, _ = payoff_range_cents(right, strike_cents, quantity, 0, PRICE_CEILING_CENTS)
    return -(np.int64(credit_cents) + lowest)


@njit
def max_profit_cents(right, strike_cents, quantity, credit_cents):
    """The most that can be earned at expiry over all prices; without bound where `net_calls` > 0."""
    _, highest = payoff_range_cents(right, strike_cents, quantity, 0, PRICE_CEILING_CENTS)
    return np.int64(credit_cents) + highest


@njit
def net_calls(right, quantity):
    """Signed calls of the package: below 0 the loss has no bound, above 0 the profit has none."""
    net = np.int64(0)
    for leg in range(quantity.size):
        if right[leg] > 0:
            net += np.int64(quantity[leg])
    return net


@njit
def breakevens_cents(right, strike_cents, quantity, credit_cents, out):
    """Write the settlement prices where P&L turns between loss and no loss; return how many there are.

    out : float64, room for number of legs + 1; filled in rising order, the rest is NaN.
    Prices are fractional where the payoff moves more than one cent per cent. A stretch of
    exactly zero P&L counts by its edges next to a loss. No crossing, no breakeven: a side
    whose width is below the credit has none.
    """
    out[:] = np.nan
    count = 0
    corners = np.sort(strike_cents)
    left = np.int64(0)
    pnl_left = expiry_pnl_cents(right, strike_cents, quantity, credit_cents, left)
    for i in range(corners.size + 1):
        price = np.int64(corners[i]) if i < corners.size else np.int64(PRICE_CEILING_CENTS)
        pnl = expiry_pnl_cents(right, strike_cents, quantity, credit_cents, price)
        if (pnl_left < 0) != (pnl < 0):
            price_per_pnl = (price - left) / (pnl_left - pnl)
            crossing = left + pnl_left * price_per_pnl
            if count == 0 or out[count - 1] != crossing:
                out[count] = crossing
                count += 1
        left, pnl_left = price, pnl
    return count


@njit
def nominal_breakevens_cents(short_put_cents, short_call_cents, credit_cents):
    """(lower, upper) breakeven of a condor as brokers print it: short strike -/+ credit.

    True only while the credit is below the width of that side; `breakevens_cents` says
    whether the payoff reaches it.
    """
    return short_put_cents - credit_cents, short_call_cents + credit_cents
