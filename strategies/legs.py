"""Strikes and legs: what is listed and quoted at a row, how far apart, what is held on the other side; pure kernels."""

from __future__ import annotations

import numpy as np

from core.jit import INNER, njit
from core.quotes import cell_index, leg_delta, leg_rows, slice_of
from core.types import (
    ASK,
    BAD_UNMARKED,
    BID,
    CALL,
    CARRIED,
    FLAG,
    GOOD,
    INTEREST,
    LEG_SIGN,
    LEGS,
    LONG_CALL,
    LONG_PUT,
    MODEL,
    PUT,
    ROLL,
    SHORT_CALL,
    SHORT_PUT,
    SIZE,
    SMILE_LEGS,
    TRADED,
    Reason,
)
from strategies.timing import NEVER, first_at_least

WING_TOLERANCE = 0.25  # the listed wing may differ from the wanted width by so much of it
STRADDLE_TO_SD = 0.7979  # an at-the-money straddle is worth sqrt(2/pi) of one standard deviation
MOST_SHIFTS = 3  # strikes that a leg may move to avoid a contract held on the other side


@njit(**INNER)
def strike_range(m, x, right):
    """Contract range of one side of an expiry, strikes ascending."""
    if right == PUT:
        return m.exp[x].put_lo, m.exp[x].put_hi
    return m.exp[x].call_lo, m.exp[x].call_hi


@njit(**INNER)
def nearest_strike(m, first, last, strike_cents):
    """Contract in [first, last) whose strike is nearest (ties: the lower); -1 if the range is empty."""
    low = first_at_least(m.con.strike, first, last, strike_cents)
    if first >= last:
        return -1
    if low == last:
        return last - 1
    if low > first and strike_cents - m.con[low - 1].strike <= m.con[low].strike - strike_cents:
        return low - 1
    return low


@njit(**INNER)
def listed(m, c, r):
    """Whether contract c could be traded at row r: listed, and in the last snapshot where there is one."""
    if m.con[c].first > r:
        return False
    if m.kind == MODEL:
        return True
    i = cell_index(m, c, r)
    return i >= 0 and m.q_flag[i] < BAD_UNMARKED


@njit(**INNER)
def nearest_listed(m, first, last, strike_cents, r):
    """Like nearest_strike, among the strikes that could be traded at row r: later listings are not seen."""
    low = nearest_strike(m, first, last, strike_cents)
    high = low + 1
    if low >= 0 and m.con[low].strike > strike_cents:
        low, high = low - 1, low
    while low >= first and not listed(m, low, r):
        low -= 1
    while high < last and not listed(m, high, r):
        high += 1
    below = strike_cents - m.con[low].strike if low >= first else NEVER
    above = m.con[high].strike - strike_cents if first <= high < last else NEVER
    if below == NEVER and above == NEVER:
        return -1
    return low if below <= above else high


@njit(**INNER)
def has_quotes(m, x, r):
    """Whether deltas of expiry x can be known at row r."""
    if m.kind == MODEL:
        return True
    if m.row[r].snap < 0:
        return False
    if m.kind == CARRIED and m.row[r].quoted == 0 and slice_of(m, x, r) < 0:
        return False
    for side in range(2):
        first, last = (m.exp[x].put_lo, m.exp[x].put_hi) if side == 0 else (m.exp[x].call_lo, m.exp[x].call_hi)
        for c in range(first, last):
            if cell_index(m, c, r) >= 0:
                return True
    return False


@njit(**INNER)
def expected_move(m, x, r, quote):
    """One standard deviation of the spot to expiry in $, from the at-the-money straddle's mid; NaN unknown."""
    total = 0.0
    for right in range(2):
        first, last = strike_range(m, x, right)
        c = nearest_listed(m, first, last, int(round(m.row[r].spot * 100.0)), r)
        if c < 0:
            return np.nan
        leg_rows(m, c, r, r + 1, quote)
        if quote[FLAG, 0] == BAD_UNMARKED:
            return np.nan
        total += (quote[BID, 0] + quote[ASK, 0]) / 200.0
    return total / STRADDLE_TO_SD


@njit(**INNER)
def wider_wing(m, legs):
    """Wider of the two wings in cents."""
    width = 0
    if legs[SHORT_PUT] >= 0:
        width = m.con[legs[SHORT_PUT]].strike - m.con[legs[LONG_PUT]].strike
    if legs[SHORT_CALL] >= 0:
        width = max(width, m.con[legs[LONG_CALL]].strike - m.con[legs[SHORT_CALL]].strike)
    return width


@njit(**INNER)
def holds_opposite(book, slot_count, leg, contract):
    """Whether a contract is on the other side of what is open, working, or about to be rolled into."""
    if book.head.smile_held or book.head.smile_working:
        for j in range(SMILE_LEGS):
            if book.head.smile_contract[j] == contract and book.head.smile_quantity[j] * LEG_SIGN[leg] < 0:
                return True
    sign = LEG_SIGN[leg]
    for p in range(slot_count):
        if book.slot[p].trade < 0:
            continue
        for other in range(LEGS):
            if book.slot[p].legs[other] == contract and LEG_SIGN[other] != sign:
                return True
        rolls = book.slot[p].closing != Reason.NONE and book.slot[p].part & ROLL != 0
        if rolls and book.slot[p].new_legs[0 if sign > 0 else 1] == contract:  # a short and a long that it will open
            return True
    if book.head.order_working:
        for other in range(LEGS):
            if book.head.order_legs[other] == contract and LEG_SIGN[other] != sign:
                return True
    return False


@njit(**INNER)
def avoid_opposite(m, rules, book, r, legs):
    """Shift shorts outwards and longs inwards until no contract is long here and short there; 0 if impossible.

    The broker nets positions by contract, so the same contract on both sides is refused.
    """
    slots = book.slot.shape[0]
    put_width = m.con[legs[SHORT_PUT]].strike - m.con[legs[LONG_PUT]].strike if legs[SHORT_PUT] >= 0 else 0
    call_width = m.con[legs[LONG_CALL]].strike - m.con[legs[SHORT_CALL]].strike if legs[SHORT_CALL] >= 0 else 0
    for leg in range(LEGS):
        if legs[leg] < 0:
            continue
        right = PUT if leg in (LONG_PUT, SHORT_PUT) else CALL
        first, last = strike_range(m, m.con[legs[leg]].expiry, right)
        outwards = -1 if right == PUT else 1
        step = outwards if LEG_SIGN[leg] < 0 else -outwards  # a vertical gets narrower, never wider
        tries = 0
        while holds_opposite(book, slots, leg, legs[leg]):
            legs[leg] += step
            while first <= legs[leg] < last and not listed(m, legs[leg], r):
                legs[leg] += step  # strikes listed later must make no difference
            tries += 1
            if tries > MOST_SHIFTS or not first <= legs[leg] < last:
                return 0
        if tries > 0 and LEG_SIGN[leg] < 0 and not rules.short_at_money:
            delta = abs(leg_delta(m, legs[leg], r))
            if not rules.delta_low <= delta <= rules.delta_high:
                return 0
    if legs[SHORT_PUT] >= 0 and not near_width(m, legs[LONG_PUT], legs[SHORT_PUT], put_width):
        return 0
    if legs[SHORT_CALL] >= 0 and not near_width(m, legs[SHORT_CALL], legs[LONG_CALL], call_width):
        return 0
    return 1


@njit(**INNER)
def near_width(m, low, high, width_cents):
    """Whether a vertical is still about as wide as it was chosen, and no wider."""
    width = m.con[high].strike - m.con[low].strike
    return low < high and (1.0 - WING_TOLERANCE) * width_cents <= width <= width_cents


@njit(**INNER)
def leg_quotes(m, legs, r, leg_bid, leg_ask, quote):
    """Quotes of all legs at row r into leg_bid, leg_ask (4); 1 if every leg is two-sided."""
    good = 1
    for leg in range(LEGS):
        if legs[leg] >= 0:
            leg_rows(m, legs[leg], r, r + 1, quote)
            leg_bid[leg] = quote[BID, 0]
            leg_ask[leg] = quote[ASK, 0]
            if quote[FLAG, 0] != GOOD:
                good = 0
    return good


@njit
def set_sides(legs, side, closing):
    """+1 buy, -1 sell, 0 unused, for opening or closing the structure."""
    for leg in range(LEGS):
        if legs[leg] < 0:
            side[leg] = 0
        else:
            side[leg] = -LEG_SIGN[leg] if closing else LEG_SIGN[leg]


@njit(**INNER)
def is_liquid(m, rules, legs, r, leg_bid, leg_ask):
    """Whether every leg passes the liquidity limits that are on; what a market does not know fails its limit."""
    for leg in range(LEGS):
        c = legs[leg]
        if c < 0:
            continue
        mid2 = leg_bid[leg] + leg_ask[leg]
        wide = 2.0 * (leg_ask[leg] - leg_bid[leg]) > rules.max_leg_spread * mid2
        if wide and rules.max_leg_spread > 0.0 and LEG_SIGN[leg] < 0:
            return False
        if rules.min_size + rules.min_interest + rules.min_volume > 0:
            i = cell_index(m, c, r)
            if i < 0 or m.q_depth.shape[1] == 0:
                return False
            if m.q_depth[SIZE, i] < rules.min_size or m.q_depth[INTEREST, i] < rules.min_interest:
                return False
            if m.q_depth[TRADED, i] < rules.min_volume:
                return False
    return True
