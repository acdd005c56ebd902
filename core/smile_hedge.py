"""The hedge of the smile: three liquid options against vega, vanna and volga, looked at once a session; pure kernels.

At the daily row the one-sd moves of vanna and volga of the structures that stay are held against their budget. An
order fills on a later row of the session whose quotes are two-sided, all legs together and at natural. One hedge is
held at a time: until nothing is open, its expiry must be left, or it has come to add to what it was meant to remove.
"""

from __future__ import annotations

import math

import numpy as np

from core.costs import fee_cents, half_spread2
from core.exposure import VANNA, VEGA, VOLGA, add_leg
from core.jit import HOT, INNER, njit
from core.portfolio import IDLE, T_CREDIT, fill_kind, open_count, record, settlement_price2
from core.positions import settlement_row
from core.quotes import cell_index, leg_delta, leg_rows, log_carry
from core.types import (
    ALL_LEGS,
    ASK,
    BAD_UNMARKED,
    BID,
    CALL,
    EVENT_HEDGE,
    EVENT_SETTLEMENT,
    FLAG,
    GOOD,
    KIND_SETTLEMENT,
    LEG_SIGN,
    LEGS,
    LONG_PUT,
    MODEL,
    MULTIPLIER,
    PUT,
    ROLL,
    SHORT_PUT,
    SIGNAL,
    SMILE_LEGS,
    Reason,
)
from options_strategy import nearest_by_delta
from strategies.hedging import liquid_smile_hedge, past_vol_move, smile_exposure, spot_move, worth_hedging
from strategies.legs import holds_opposite, nearest_listed, strike_range
from strategies.timing import daily_row, flat_row, last_session_to_leave, must_be_flat

IV = SIGNAL["iv"]
WING_DELTA = 0.25
POINTS = 100.0  # of volatility in 1.00

# ---------------------------------------------------------------- when


@njit(**HOT)
def smile_row(m, rules, book, s, r, r1):
    """Next row in [r, r1) at which the smile hedge settles, fills or is decided on; IDLE if none."""
    return next_smile_row(m, rules, book, s, r, r1) if rules.smile else IDLE


@njit(**INNER)
def next_smile_row(m, rules, book, s, r, r1):
    head = book.head
    row = IDLE
    if head.smile_held:
        settled = settlement_row(m, s, expiry_of(m, head))
        row = settled if settled >= r else IDLE
    if head.smile_working:
        for later in range(max(r, head.smile_decided + 1), min(r1, row)):
            if m.row[later].tradable:
                return later
    else:
        look = daily_row(m, rules, s)
        row = min(row, look if look >= r else IDLE, max(r, leave_row(m, rules, book, s)))
    return row if row < r1 else IDLE


@njit(**INNER)
def expiry_of(m, head):
    """Expiry of the smile hedge that is held."""
    return m.con[head.smile_contract[0]].expiry


@njit(**INNER)
def leave_row(m, rules, book, s):
    """First row of session s at which the hedge that is held must go, whatever it does; IDLE if none, or none is held.

    It goes with the last structure, and as structures do before its expiry.
    """
    if not book.head.smile_held:
        return IDLE
    if open_count(book) == 0:
        return m.ses[s].start
    expiry = expiry_of(m, book.head)
    last = last_session_to_leave(m, expiry)
    if last < 0 or s < last or not must_be_flat(m, rules, expiry):
        return IDLE
    return flat_row(m, rules, s) if s == last else m.ses[s].start


@njit(**INNER)
def attend_smile(m, rules, costs, book, out, s, r):
    """Settle or fill the smile hedge at row r, then decide on it; an order fills on a later row."""
    head = book.head
    if head.smile_held and settlement_row(m, s, expiry_of(m, head)) == r:
        settle_smile(m, book, out, r)
        return
    if head.smile_working and r > head.smile_decided:
        fill_smile(m, costs, book, out, r)
    if head.smile_working:
        return
    asked = r >= leave_row(m, rules, book, s)
    if not asked and r == daily_row(m, rules, s):
        asked = harms(m, rules, costs, book, out, s, r) if head.smile_held else helps(m, rules, costs, book, out, s, r)
    if asked:
        head.smile_working, head.smile_decided = 1, r


# ---------------------------------------------------------------- what is decided


@njit(**INNER)
def leaves(slot):
    """Whether an order to close the whole structure works: it needs no hedge any more."""
    return slot.closing != Reason.NONE and slot.part == ALL_LEGS


@njit(**INNER)
def structures_held(m, book, out, r):
    """(credit received in $, expiry of the most contracts, -1 if none) of the structures that stay.

    Their greeks go to head.smile_greeks; NaN where a leg's are unknown.
    """
    greeks = book.head.smile_greeks
    greeks[:] = 0.0
    credit, most, expiry = 0.0, 0, -1
    for p in range(book.slot.shape[0]):
        slot = book.slot[p]
        if slot.trade < 0 or leaves(slot):
            continue
        credit += out.t_int[slot.trade, T_CREDIT] * slot.contracts * MULTIPLIER / 100.0
        if slot.contracts > most:
            most, expiry = slot.contracts, slot.expiry
        for leg in range(LEGS):
            if slot.legs[leg] >= 0:
                add_leg(m, slot.legs[leg], r, LEG_SIGN[leg] * slot.contracts, greeks)
    return credit, expiry


@njit(**INNER)
def day_moves(m, s, r):
    """One standard deviation of a day's move of spot ($) and volatility (points) as row r knows them; NaN unknown."""
    return spot_move(m.row[r].spot, m.signal[IV, r]), POINTS * past_vol_move(m.signal[IV], m.ses, s - 1)


@njit(**INNER)
def helps(m, rules, costs, book, out, s, r):
    """Whether three options are worth having against the structures that stay; they are left in the head."""
    head = book.head
    credit, expiry = structures_held(m, book, out, r)
    sd_spot, sd_vol = day_moves(m, s, r)
    greeks = head.smile_greeks
    exposure = smile_exposure(greeks[VANNA], greeks[VOLGA], sd_spot, sd_vol)
    budget = rules.smile_budget * credit
    if expiry < 0 or not exposure > budget or 0 <= last_session_to_leave(m, expiry) <= s:
        return False
    if not liquid_options(m, costs, book, expiry, r):
        return False
    wanted, _, found = liquid_smile_hedge(
        greeks[VEGA], greeks[VANNA], greeks[VOLGA], head.smile_matrix, head.smile_cost
    )
    if not found:
        return False
    vega, vanna, volga, cost = greeks[VEGA], greeks[VANNA], greeks[VOLGA], 0.0
    for j in range(SMILE_LEGS):
        quantity = int(np.rint(wanted[j]))
        head.smile_quantity[j] = quantity
        vega += quantity * head.smile_matrix[0, j]
        vanna += quantity * head.smile_matrix[1, j]
        volga += quantity * head.smile_matrix[2, j]
        cost += trade_cost(m, costs, book, head.smile_contract[j], quantity, r, False)
    left = smile_exposure(vanna, volga, sd_spot, sd_vol)
    if crosses(book) or abs(vega) > abs(greeks[VEGA]):  # whole contracts may miss what fractions would have met
        return False
    return worth_hedging(exposure, budget, cost + left)  # of all zeros `left` is the exposure itself


@njit(**INNER)
def harms(m, rules, costs, book, out, s, r):
    """Whether the hedge that is held adds to the exposure of the structures that stay, by more than its close costs."""
    head = book.head
    greeks = head.smile_greeks
    credit, _ = structures_held(m, book, out, r)
    sd_spot, sd_vol = day_moves(m, s, r)
    without, cost = smile_exposure(greeks[VANNA], greeks[VOLGA], sd_spot, sd_vol), 0.0
    for j in range(SMILE_LEGS):
        quantity = head.smile_quantity[j]
        if quantity != 0:
            add_leg(m, head.smile_contract[j], r, quantity, greeks)
            cost += trade_cost(m, costs, book, head.smile_contract[j], -quantity, r, True)
    exposure = smile_exposure(greeks[VANNA], greeks[VOLGA], sd_spot, sd_vol)
    return worth_hedging(exposure, rules.smile_budget * credit, cost + without)


@njit(**INNER)
def liquid_options(m, costs, book, x, r):
    """Lay out 25-delta put, option at the money and 25-delta call of expiry x; False if one lacks a two-sided quote.

    smile_matrix gets vega, vanna and volga of a contract of each, smile_cost what one costs to trade.
    """
    head = book.head
    head.smile_contract[0] = nearest_by_delta(m, x, PUT, WING_DELTA, 0.0, 1.0, 0.0, r)
    head.smile_contract[1] = money_option(m, x, r)
    head.smile_contract[2] = nearest_by_delta(m, x, CALL, WING_DELTA, 0.0, 1.0, 0.0, r)
    for j in range(SMILE_LEGS):
        c = head.smile_contract[j]
        if c < 0:
            return False
        head.smile_leg[:] = 0.0
        add_leg(m, c, r, 1, head.smile_leg)
        head.smile_matrix[0, j], head.smile_matrix[1, j] = head.smile_leg[VEGA], head.smile_leg[VANNA]
        head.smile_matrix[2, j] = head.smile_leg[VOLGA]
        head.smile_cost[j] = trade_cost(m, costs, book, c, 1, r, False)
        if math.isnan(head.smile_cost[j]):
            return False
    return True


@njit(**INNER)
def money_option(m, x, r):
    """Put or call of expiry x whose strike is nearest the forward (ties: the put); -1 if none is listed."""
    forward_cents = int(round(m.row[r].spot * math.exp(log_carry(m, x, r)) * 100.0))
    put_first, put_last = strike_range(m, x, PUT)
    call_first, call_last = strike_range(m, x, CALL)
    put = nearest_listed(m, put_first, put_last, forward_cents, r)
    call = nearest_listed(m, call_first, call_last, forward_cents, r)
    if put < 0 or call < 0:
        return max(put, call)
    return put if abs(m.con[put].strike - forward_cents) <= abs(m.con[call].strike - forward_cents) else call


@njit(**INNER)
def two_sided(m, c, r, quote):
    """Whether contract c has a two-sided quote as row r knows it, which goes to `quote`.

    Where row r is no row of fills the last quote counts, as for entries between snapshots.
    """
    leg_rows(m, c, r, r + 1, quote)
    if m.kind == MODEL or m.row[r].tradable:
        return quote[FLAG, 0] == GOOD
    i = cell_index(m, c, r)
    return i >= 0 and m.q_flag[i] == GOOD and quote[FLAG, 0] != BAD_UNMARKED


@njit(**INNER)
def trade_cost(m, costs, book, c, quantity, r, closing):
    """$ that trading contracts of c (signed) gives up: half-spreads at natural and fees; NaN without two sides."""
    if not two_sided(m, c, r, book.leg):
        return math.nan
    bid, ask = int(book.leg[BID, 0]), int(book.leg[ASK, 0])
    half2, side = half_spread2(costs, bid, ask), 1 if quantity > 0 else -1
    fee = fee_cents(costs, side, bid + ask + side * half2, abs(quantity), closing)
    return (abs(quantity) * half2 * (MULTIPLIER // 2) + fee) / 100.0


@njit(**INNER)
def crosses(book):
    """Whether a contract of the hedge to be opened is held, or about to be, on the other side: the broker nets them."""
    head = book.head
    for j in range(SMILE_LEGS):
        c, quantity = head.smile_contract[j], head.smile_quantity[j]
        if quantity == 0:
            continue
        if holds_opposite(book, book.slot.shape[0], LONG_PUT if quantity > 0 else SHORT_PUT, c):
            return True
        for leg in range(LEGS):
            if head.order_working and head.order_legs[leg] == c and quantity * LEG_SIGN[leg] < 0:
                return True
        for p in range(book.slot.shape[0]):
            slot = book.slot[p]
            rolls = slot.trade >= 0 and slot.closing != Reason.NONE and slot.part & ROLL != 0
            if rolls and c == slot.new_legs[0 if quantity > 0 else 1]:
                return True
    return False


# ---------------------------------------------------------------- what fills


@njit(**INNER)
def fill_smile(m, costs, book, out, r):
    """Try the working order on row r: all legs or none. An opening that nothing asks for any more is cancelled."""
    head = book.head
    closing = head.smile_held
    if not closing and (open_count(book) == 0 or crosses(book)):
        head.smile_working = 0
        return
    for j in range(SMILE_LEGS):
        if head.smile_quantity[j] != 0:
            leg_rows(m, head.smile_contract[j], r, r + 1, book.leg)
            if book.leg[FLAG, 0] != GOOD:
                return
            head.quote_bid[j], head.quote_ask[j] = book.leg[BID, 0], book.leg[ASK, 0]
    for j in range(SMILE_LEGS):
        quantity = -head.smile_quantity[j] if closing else head.smile_quantity[j]
        if quantity == 0:
            continue
        bid, ask, side = int(head.quote_bid[j]), int(head.quote_ask[j]), 1 if quantity > 0 else -1
        price2 = bid + ask + side * half_spread2(costs, bid, ask)
        fee = fee_cents(costs, side, price2, abs(quantity), closing)
        record(
            book, out, r, -1, EVENT_HEDGE, -1, head.smile_contract[j], quantity, price2,
            bid, ask, fee, m.row[r].snap, fill_kind(m, r), Reason.NONE,
        )  # fmt: skip
        head.smile_mid2[j] = bid + ask
    head.smile_held, head.smile_working = 1 - closing, 0


@njit(**INNER)
def settle_smile(m, book, out, r):
    """Settlement of a hedge that was not left before its expiry, at the official value."""
    head = book.head
    for j in range(SMILE_LEGS):
        if head.smile_quantity[j] != 0:
            price2 = settlement_price2(m, head.smile_contract[j])
            record(
                book, out, r, -1, EVENT_SETTLEMENT, -1, head.smile_contract[j], -head.smile_quantity[j], price2,
                price2 // 2, price2 // 2, 0, m.row[r].snap, KIND_SETTLEMENT, Reason.SETTLED,
            )  # fmt: skip
    head.smile_held = head.smile_working = 0


# ---------------------------------------------------------------- what is held


@njit(**INNER)
def mark_smile(m, book, r, n, marks, liquidation, soft):
    """Add the smile hedge to the marks of n rows of a session from r on.

    A leg without any mark keeps its last; a row on which a leg is not two-sided is flagged soft.
    """
    head = book.head
    for j in range(SMILE_LEGS):
        quantity, mid2 = head.smile_quantity[j], head.smile_mid2[j]
        if quantity == 0:
            continue
        leg_rows(m, head.smile_contract[j], r, r + n, book.leg)
        for i in range(n):
            flag, natural2 = book.leg[FLAG, i], mid2
            if flag != BAD_UNMARKED:
                bid, ask = int(book.leg[BID, i]), int(book.leg[ASK, i])
                mid2 = bid + ask
                natural2 = min(2 * bid, mid2) if quantity > 0 else max(2 * ask, mid2)
            if flag != GOOD or not m.row[r + i].tradable:
                soft[i] = 1
            marks[i] += quantity * mid2 * (MULTIPLIER // 2)
            liquidation[i] += quantity * natural2 * (MULTIPLIER // 2)
        head.smile_mid2[j] = mid2


@njit(**INNER)
def smile_delta(m, book, r):
    """Delta of the smile hedge, in shares; NaN where a leg's is unknown."""
    total = 0.0
    for j in range(SMILE_LEGS):
        if book.head.smile_held and book.head.smile_quantity[j] != 0:
            total += MULTIPLIER * book.head.smile_quantity[j] * leg_delta(m, book.head.smile_contract[j], r)
    return total
