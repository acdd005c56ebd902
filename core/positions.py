"""Held structures: when each next needs attention, what is decided then, and how its orders fill; pure kernels.

A row is the moment; a decision at row r reads rows <= r, its order fills on a later row with real quotes. Resting
profit orders fill on the row that reaches them. An order for a part of a structure works for one row.
"""

from __future__ import annotations

import numpy as np

from core.assignment import close_stock, endangered, expire, leave, liquidation_row, no_legs, note_part
from core.costs import limit_cents, net_cents, package
from core.jit import HOT, INNER, njit
from core.portfolio import (
    IDLE,
    PATHS,
    T_OVERSHOOT,
    T_PNL,
    add_stock,
    deal_of,
    fill_deal,
    is_usable,
    mark_slot,
    roll_deal,
    settle_slot,
    short_asks,
    side_paths,
    side_widths2,
    spot_cents,
    take_off,
)
from core.risk_manager import roll_fits
from core.types import (
    ALL_LEGS,
    CALL,
    CALL_SIDE,
    CASH_AM,
    CLOSE_ALL,
    CLOSE_SHORT,
    CLOSE_SIDE,
    FRACTION,
    LEAVE,
    MID2,
    MOST_DUE,
    NATURAL_CENTS,
    NO_ACTION,
    ONE_SHORT_CALL,
    ONE_SHORT_PUT,
    OUT_AT_DTE,
    OUT_TESTED,
    PHYSICAL_PM,
    PUT,
    PUT_SIDE,
    ROLL,
    ROLL_CALL,
    ROLL_PUT,
    ROLL_UNTESTED,
    SHARES,
    SHORT_ASK,
    SHORT_CALL,
    SHORT_PUT,
    SIDE_NATURAL,
    SIDE_USABLE,
    TABLE,
    Reason,
)
from options_strategy import armed_below, choose_roll, exit_code, profit_limit, stop_level, trail
from strategies.breach import breach_chance
from strategies.legs import leg_quotes
from strategies.timing import NEVER, daily_row, in_edge, time_exit_row


@njit(**HOT)
def settlement_row(m, s, expiry):
    """Row of session s at which an expiry settles, or IDLE if it is another session's."""
    if m.exp[expiry].session != s:
        return IDLE
    row = m.ses[s].start if m.exp[expiry].style == CASH_AM else m.ses[s].end - 1
    return row if m.row[row].ts >= m.exp[expiry].ts else IDLE  # a market that ends at noon settles nothing


@njit(**HOT)
def quiet_prices(book, p, j0, j1, low, high):
    """Whether natural stays strictly between two prices on rows that are all usable."""
    if not book.slot[p].clean:
        return False
    natural = book.path[NATURAL_CENTS, p, j0:j1]
    least, most = natural[0], natural[0]
    for j in range(natural.shape[0]):
        least = min(least, natural[j])
    for j in range(natural.shape[0]):
        most = max(most, natural[j])
    return least > low and most < high


@njit(**HOT)
def price_reason(m, rules, book, p, s, r0, r):
    """(reason, above, best) of slot p's price on row r; r0 is the row of the scratch's first element."""
    j = r - r0
    natural, mid2, usable = book.path[NATURAL_CENTS, p, j], book.path[MID2, p, j], is_usable(book, p, j)
    return judged_price(rules, book.slot[p], natural, mid2, usable, in_edge(m, rules, s, r))


@njit(**HOT)
def judged_price(rules, slot, natural, mid2, usable, edge):
    """(reason, above, best) of a slot at one price; see exit_code and trail."""
    target, stop = (-IDLE, IDLE) if rules.by_side else (slot.target, slot.stop)
    reason, above = exit_code(natural, mid2, usable, slot.above, edge, target, stop, rules)
    best = slot.best
    if usable and rules.trail_from > 0.0:
        fallen, best = trail(natural, best, slot.credit, slot.paid, rules)
        if fallen and reason == Reason.NONE:
            reason = Reason.TRAILING
    return reason, above, best


@njit(**HOT)
def price_event(m, rules, book, p, s, r0, r, r1):
    """First row in [r, r1) on which slot p's price makes it leave, or IDLE; keeps `above` and `best` up to there.

    r0 is the row of the scratch arrays' first element.
    """
    if r >= r1 or (rules.by_side and rules.trail_from <= 0.0):
        return IDLE
    slot = book.slot[p]
    if rules.by_side or (rules.trail_from > 0.0 and slot.best != IDLE):
        low, high = IDLE, -IDLE  # the price is followed row by row
    else:
        low, high = slot.target, slot.stop
        if rules.trail_from > 0.0:  # until it is armed
            low = max(low, armed_below(slot.credit, slot.paid, rules))
    if low < high and quiet_prices(book, p, r - r0, r1 - r0, low, high):
        if book.slot[p].above:  # natural below the stop, so every mid is too; mids at the edges count for nothing
            for row in range(r, r1):
                if not in_edge(m, rules, s, row):
                    book.slot[p].above = 0
        return IDLE
    for row in range(r, r1):
        reason, above, best = price_reason(m, rules, book, p, s, r0, row)
        if reason != Reason.NONE:
            return row
        book.slot[p].above, book.slot[p].best = above, best
    return IDLE


@njit(**HOT)
def scaled_stop(credit_cents, slot, rules):
    """stop_level with the slot's own shift of the multiple; NEVER without a stop."""
    return stop_level(credit_cents, rules.stop_multiple + slot.stop_shift) if rules.stop_multiple > 0.0 else NEVER


@njit(**INNER)
def side_level(slot, side, rules):
    """(target, stop) of one side in cents: of its own credit."""
    credit = slot.side_credit2[side] // 2
    if credit <= 0:
        return -IDLE, IDLE
    return profit_limit(credit, rules), scaled_stop(credit, slot, rules)


@njit(**HOT)
def has_side(slot, side):
    return slot.legs[SHORT_PUT if side == 0 else SHORT_CALL] >= 0


@njit(**INNER)
def side_price_reason(rules, book, p, side, j):
    """SIDE_TARGET or SIDE_STOP where the price of one side of slot p asks for it on scratch row j, or NONE."""
    slot = book.slot[p]
    if not (rules.by_side and has_side(slot, side) and book.path[SIDE_USABLE + side, p, j]):
        return Reason.NONE
    target, stop = side_level(slot, side, rules)
    natural = book.path[SIDE_NATURAL + side, p, j]
    if natural <= target:
        return Reason.SIDE_TARGET
    return Reason.SIDE_STOP if natural >= stop else Reason.NONE


@njit(**INNER)
def side_reason(rules, book, p, j):
    """(reason, part) of the first side of slot p whose price, or its short's, asks for an order on scratch row j."""
    slot = book.slot[p]
    for side in range(2):
        reason = side_price_reason(rules, book, p, side, j)
        if reason != Reason.NONE:
            return reason, PUT_SIDE if side == 0 else CALL_SIDE
    for side in range(2):
        if rules.cheap_short > 0 and has_side(slot, side) and book.path[SHORT_ASK + side, p, j] <= rules.cheap_short:
            return Reason.CHEAP_SHORT, ONE_SHORT_PUT if side == 0 else ONE_SHORT_CALL
    return Reason.NONE, ALL_LEGS


@njit(**INNER)
def side_event(rules, book, p, r0, r, r1):
    """First row in [r, r1) on which a side of slot p asks for an order, or IDLE."""
    if not rules.by_side and r < r1:
        cheapest = IDLE
        for side in range(2):
            ask = book.path[SHORT_ASK + side, p, r - r0 : r1 - r0]
            for j in range(ask.shape[0]):
                cheapest = min(cheapest, ask[j])
        if cheapest > rules.cheap_short:
            return IDLE
    for row in range(r, r1):
        if side_reason(rules, book, p, row - r0)[0] != Reason.NONE:
            return row
    return IDLE


@njit(**HOT)
def tested_side(m, rules, slot, r):
    """The right whose short strike the spot has come near at row r, or -1."""
    spot = 100.0 * m.row[r].spot
    put, call = slot.legs[SHORT_PUT], slot.legs[SHORT_CALL]
    if put >= 0 and spot <= m.con[put].strike * (1.0 + rules.tested_distance):
        return PUT
    if call >= 0 and spot >= m.con[call].strike * (1.0 - rules.tested_distance):
        return CALL
    return -1


@njit(**HOT)
def may_decide(m, s, r):
    """Whether anything but a time exit may be decided at row r: the decision row alone where quotes come once a day."""
    if m.ses[s].decide == -1:
        return m.kind != TABLE or m.row[r].quoted != 0  # where every bar is quoted, one without quotes is dark
    return m.ses[s].decide == r


@njit(**INNER)
def watches_tests(rules, slot):
    return rules.tested_action != NO_ACTION or (rules.roll_out == OUT_TESTED and slot.rolls_out < rules.max_rolls_out)


@njit(**INNER)
def market_event(m, rules, book, p, s, r, r1):
    """First row in [r, r1) at which the market (regime, a tested short, the daily look) asks slot p something."""
    slot = book.slot[p]
    tests = watches_tests(rules, slot) and slot.tested_on != s
    for row in range(r, r1):
        asked = m.gate[LEAVE, row] != 0 or (tests and tested_side(m, rules, slot, row) >= 0)
        if asked and may_decide(m, s, row):
            return row
    return IDLE


@njit(**INNER)
def breach_event(m, rules, book, p, s, r, r1):
    """The session's daily row if it lies in [r, r1) and the breach probability there is too high; IDLE if not.

    It is computed once a session, from what is held then; one that is unknown asks for nothing.
    """
    look = daily_row(m, rules, s)
    if not r <= look < r1:
        return IDLE
    if book.slot[p].breach_on != s:
        slot = book.slot[p]
        book.slot[p].breach_on = s
        book.slot[p].breach = breach_chance(m, rules, slot.legs, slot.expiry, look)
    return look if book.slot[p].breach > rules.exit_breach else IDLE


@njit(**INNER)
def next_event(m, rules, limits, book, p, s, r0, r, r1):
    """First row in [r, r1) at which slot p settles, fills or decides; IDLE if none."""
    slot = book.slot[p]
    row = settlement_row(m, s, slot.expiry)
    if row < r:
        row = IDLE
    first = max(r, slot.opened + 1)
    row = min(row, liquidation_row(m, limits, slot, s, first, r1))
    if slot.stock != 0:
        for later in range(max(first, slot.decided + 1), r1):
            if m.row[later].minute <= m.ses[s].close:
                return min(row, later)
    if slot.closing != Reason.NONE:
        for later in range(max(first, slot.decided + 1), r1):
            if m.row[later].tradable if slot.part != ALL_LEGS else is_usable(book, p, later - r0):
                return min(row, later)
        return row
    if rules.enter:
        timed, _ = time_exit_row(m, rules, s, slot.expiry, slot.opened)
        if timed < m.ses[s].end and (timed >= first or m.ses[s].decide == -1):
            row = min(row, max(timed, first))  # what an order for a part has kept waiting leaves on the next row
        if rules.exit_breach < 1.0:
            row = min(row, breach_event(m, rules, book, p, s, first, min(r1, row)))
        if rules.watches_market:
            row = min(row, market_event(m, rules, book, p, s, first, min(r1, row)))
        if rules.by_side or rules.cheap_short > 0:
            row = min(row, side_event(rules, book, p, r0, first, min(r1, row)))
        row = min(row, price_event(m, rules, book, p, s, r0, first, min(r1, row)))
    return row if row < r1 else IDLE


@njit(**INNER)
def set_levels(rules, book, p):
    """Cost of what is left of slot p at which the profit order fills and the stop triggers."""
    slot = book.slot[p]
    target, stop = profit_limit(slot.credit, rules), scaled_stop(slot.credit, slot, rules)
    book.slot[p].target = target - slot.paid if target > -NEVER else -NEVER
    book.slot[p].stop = stop - slot.paid if stop < NEVER else NEVER


@njit(**INNER)
def close_price(costs, book, p, reason, natural2, mid2):
    """Net cents at which slot p's working order would fill on these quotes, or IDLE if its limit is not reached.

    A stop, the resting profit orders and everything but a close of the whole pay natural less the fill model's
    improvement; any other close of the whole under the limit model walks from mid to natural first.
    """
    resting = reason in (Reason.PROFIT_TARGET, Reason.SIDE_TARGET)
    net = net_cents(natural2, mid2, 0.0 if resting else costs.close_frac, costs.extra_cents)
    slot = book.slot[p]
    if costs.order_type == FRACTION or resting or reason == Reason.STOP or slot.part != ALL_LEGS:
        return net
    book.slot[p].tries += 1
    if slot.tries <= costs.limit_steps and slot.seen_natural2 != 0:
        limit = limit_cents(costs, slot.seen_natural2, slot.seen_mid2, slot.tries)
        book.slot[p].seen_natural2, book.slot[p].seen_mid2 = natural2, mid2
        return max(min(net, limit), int(np.ceil(mid2 / 2.0))) if natural2 <= 2 * limit else IDLE
    book.slot[p].seen_natural2, book.slot[p].seen_mid2 = natural2, mid2
    return net


@njit(**HOT)
def buys(side):
    """Whether a package buys any leg."""
    return side[0] > 0 or side[1] > 0 or side[2] > 0 or side[3] > 0


@njit(**INNER)
def most_paid(m, slot):
    """Highest price in cents that slot's working order may pay.

    The width of what it closes; nothing for longs alone; a lone short has no bound.
    """
    put_width2, call_width2 = side_widths2(m, slot.legs)
    if slot.part == ALL_LEGS:
        return slot.width
    if slot.part == PUT_SIDE:
        return put_width2 // 2
    if slot.part == CALL_SIDE:
        return call_width2 // 2
    return IDLE - 1


@njit(**INNER)
def fill_close(m, rules, costs, book, out, p, r, reason):
    """Try slot p's working order on row r; 1 if it filled. A close never bids above the width of what it closes."""
    head = book.head
    slot = book.slot[p]
    roll = slot.part & ROLL != 0
    if roll:
        roll_deal(head, slot, CALL if slot.part == ROLL_CALL else PUT)
    else:
        deal_of(head, slot.legs, slot.part, True)
    if not leg_quotes(m, head.deal_legs, r, head.quote_bid, head.quote_ask, book.leg):
        return 0
    natural2, mid2 = package(costs, head.side, head.quote_bid, head.quote_ask)
    net = close_price(costs, book, p, reason, natural2, mid2)
    if net < IDLE and not buys(head.side):
        net = min(net, 0)  # nobody is paid to take longs away, however large the stress
    if net > (-rules.roll_min_credit if roll else most_paid(m, slot)):
        return 0
    fill_deal(m, costs, book, out, r, slot.trade, slot.contracts, net, reason)
    if reason == Reason.STOP:
        out.t_int[slot.trade, T_OVERSHOOT] = net - out.t_int[slot.trade, T_OVERSHOOT]
    take_off(m, book, out, p, r, net, mid2, reason)
    if book.slot[p].trade < 0:
        after_close(m, rules, book, out, p, r, reason)
    else:
        set_levels(rules, book, p)
    return 1


@njit(**INNER)
def after_close(m, rules, book, out, p, r, reason):
    """Waiting times after an exit, and the campaign that is to be opened again in a later expiry."""
    head = book.head
    slot = book.slot[p]
    day = m.ses[m.row[r].session].day
    trade = head.closed_trade
    wait = rules.wait_after_exit
    if out.t_int[trade, T_PNL] < 0:
        wait = max(wait, rules.wait_after_loss)
    if wait > 0:
        head.cool_until = max(head.cool_until, day + wait)
    if reason == Reason.ROLL_OUT and head.due < MOST_DUE:
        n = head.due
        head.due_campaign[n], head.due_out[n] = slot.campaign, slot.rolls_out + 1
        head.due_debit[n], head.due_day[n] = slot.paid, m.exp[slot.expiry].day
        s = int(m.row[r].session)
        head.due_until[n] = s if m.ses[s].decide == -1 else s + 1  # quotes of once a day: tried the day after
        head.due_tries[n] = 0
        head.due = n + 1


@njit(**INNER)
def rolls_out(rules, slot, how):
    """Whether a structure that leaves in this way is rolled out to a later expiry."""
    return rules.roll_out == how and slot.rolls_out < rules.max_rolls_out


@njit(**INNER)
def tested_order(m, rules, book, p, s, r):
    """(reason, part) of what is done about a tested short at row r; (NONE, ALL_LEGS) if nothing can be."""
    slot = book.slot[p]
    right = tested_side(m, rules, slot, r)
    if rolls_out(rules, slot, OUT_TESTED):
        return Reason.ROLL_OUT, ALL_LEGS
    if rules.tested_action == CLOSE_ALL:
        return Reason.TESTED, ALL_LEGS
    if rules.tested_action == CLOSE_SIDE:
        return Reason.TESTED, PUT_SIDE if right == PUT else CALL_SIDE
    if rules.tested_action == CLOSE_SHORT:
        return Reason.TESTED, ONE_SHORT_PUT if right == PUT else ONE_SHORT_CALL
    if rules.tested_action != ROLL_UNTESTED or slot.rolls >= rules.max_rolls:
        return Reason.NONE, ALL_LEGS
    if m.exp[slot.expiry].day - m.ses[s].day < rules.roll_min_dte:
        return Reason.NONE, ALL_LEGS
    other = CALL if right == PUT else PUT
    put_width2, call_width2 = side_widths2(m, slot.legs)
    if put_width2 == 0 or call_width2 == 0:
        return Reason.NONE, ALL_LEGS
    short, long = choose_roll(m, rules, book, p, other, r, book.leg)
    if short < 0:
        return Reason.NONE, ALL_LEGS
    book.slot[p].new_legs[0], book.slot[p].new_legs[1] = short, long
    return Reason.ROLLED, ROLL_PUT if other == PUT else ROLL_CALL


@njit(**INNER)
def roll_pays(m, rules, costs, book, p, right, r):
    """Whether the roll that is laid out promises its least credit on row r's quotes."""
    head = book.head
    roll_deal(head, book.slot[p], right)
    if not leg_quotes(m, head.deal_legs, r, head.quote_bid, head.quote_ask, book.leg) and m.row[r].tradable:
        return False
    natural2, mid2 = package(costs, head.side, head.quote_bid, head.quote_ask)
    return -net_cents(natural2, mid2, costs.close_frac, costs.extra_cents) >= rules.roll_min_credit


@njit(**INNER)
def market_order(m, rules, limits, costs, book, p, s, r):
    """(reason, part): what the regime, a tested short or the breach probability asks of slot p at row r."""
    slot = book.slot[p]
    if not may_decide(m, s, r):
        return Reason.NONE, ALL_LEGS
    if m.gate[LEAVE, r] != 0:
        return Reason.REGIME_EXIT, ALL_LEGS
    if watches_tests(rules, slot) and slot.tested_on != s and tested_side(m, rules, slot, r) >= 0:
        book.slot[p].tested_on = s  # once a session, whatever comes of it
        reason, part = tested_order(m, rules, book, p, s, r)
        if part & ROLL != 0:
            right = CALL if part == ROLL_CALL else PUT
            if not (roll_pays(m, rules, costs, book, p, right, r) and roll_fits(m, limits, book, p, r)):
                reason = Reason.NONE
        if reason != Reason.NONE:
            return reason, part
    if rules.exit_breach < 1.0 and breach_event(m, rules, book, p, s, r, r + 1) == r:
        return Reason.BREACH_EXIT, ALL_LEGS
    return Reason.NONE, ALL_LEGS


@njit(**INNER)
def decide_exit(m, rules, limits, costs, book, out, p, s, r0, r):
    """Exit decision of slot p at row r: a reason and a working order, or NONE."""
    slot = book.slot[p]
    timed, why = time_exit_row(m, rules, s, slot.expiry, slot.opened)
    j = r - r0
    reason, above, best = price_reason(m, rules, book, p, s, r0, r)
    book.slot[p].above, book.slot[p].best = above, best
    part = ALL_LEGS
    if reason not in (Reason.STOP, Reason.TRAILING):
        reason = Reason.NONE
        if rules.by_side or rules.cheap_short > 0:
            reason, part = side_reason(rules, book, p, j)
        cheap = reason == Reason.CHEAP_SHORT
        if reason == Reason.NONE or cheap:
            asked, of = market_order(m, rules, limits, costs, book, p, s, r)
            if asked != Reason.NONE:
                reason, part = asked, of
        if timed <= r and reason not in (Reason.REGIME_EXIT, Reason.BREACH_EXIT, Reason.ROLL_OUT):
            reason, part = why, ALL_LEGS
            if why == Reason.DTE_EXIT and rolls_out(rules, slot, OUT_AT_DTE):
                reason = Reason.ROLL_OUT
    if reason == Reason.NONE:
        return reason
    book.slot[p].closing, book.slot[p].part = reason, part
    book.slot[p].decided, book.slot[p].tries = r, 0
    book.slot[p].seen_natural2, book.slot[p].seen_mid2 = 2 * book.path[NATURAL_CENTS, p, j], book.path[MID2, p, j]
    if reason == Reason.STOP:
        out.t_int[slot.trade, T_OVERSHOOT] = slot.stop
    return reason


@njit(**INNER)
def fill_resting(m, rules, costs, book, out, p, r0, r):
    """Fill the resting profit orders of slot p that row r's prices reach: the whole's, or each side's; the reason."""
    j = r - r0
    shown = Reason.NONE
    for side in range(2 if rules.by_side else 1):
        slot = book.slot[p]
        if rules.by_side:
            reached = slot.trade >= 0 and side_price_reason(rules, book, p, side, j) == Reason.SIDE_TARGET
            reason, part = Reason.SIDE_TARGET, PUT_SIDE if side == 0 else CALL_SIDE
        else:
            reached = is_usable(book, p, j) and book.path[NATURAL_CENTS, p, j] <= slot.target
            reason, part = Reason.PROFIT_TARGET, ALL_LEGS
        if not reached:
            continue
        book.slot[p].decided = slot.opened  # the order has been resting since the entry filled
        book.slot[p].part = part
        book.head.closed_trade = slot.trade
        if fill_close(m, rules, costs, book, out, p, r, reason):
            shown = reason
        else:
            book.slot[p].part = ALL_LEGS
    return shown


@njit(**INNER)
def stop_what_is_left(rules, book, p, r0, r):
    """After a side's profit order filled on row r: put the other side's stop to work if the same row calls for it."""
    for side in range(2):
        if side_price_reason(rules, book, p, side, r - r0) == Reason.SIDE_STOP:
            book.slot[p].closing, book.slot[p].part = Reason.SIDE_STOP, PUT_SIDE if side == 0 else CALL_SIDE
            book.slot[p].decided, book.slot[p].tries = r, 0
            return


@njit(**INNER)
def liquidate(m, costs, book, out, p, r):
    """The broker buys an endangered short of slot p back at row r's ask, and the rest is closed; 1 if it did."""
    head, slot = book.head, book.slot[p]
    deal_of(head, slot.legs, 1 << endangered(m, slot, r), True)
    if not leg_quotes(m, head.deal_legs, r, head.quote_bid, head.quote_ask, book.leg):
        return 0
    natural2, mid2 = package(costs, head.side, head.quote_bid, head.quote_ask)
    net = net_cents(natural2, mid2, 0.0, costs.extra_cents)
    head.closed_trade = slot.trade
    book.slot[p].part, book.slot[p].decided = 1 << endangered(m, slot, r), r
    fill_deal(m, costs, book, out, r, slot.trade, slot.contracts, net, Reason.LIQUIDATED)
    take_off(m, book, out, p, r, net, mid2, Reason.LIQUIDATED)
    if book.slot[p].trade >= 0:
        leave(book, p, r, Reason.LIQUIDATED)
    return 1


@njit(**INNER)
def attend(m, rules, limits, costs, book, out, p, s, r0, r):
    """Slot p's event at row r: settle, fill, or decide; returns the reason to show for the row."""
    if settlement_row(m, s, book.slot[p].expiry) == r:
        book.head.closed_trade = book.slot[p].trade
        if m.exp[book.slot[p].expiry].style == PHYSICAL_PM:
            reason = expire(m, limits, book, out, p, r)
        else:
            reason = Reason.SETTLED
            settle_slot(m, book, out, p, r)
        if book.slot[p].trade < 0:
            after_close(m, rules, book, out, p, r, reason)
        return reason
    if liquidation_row(m, limits, book.slot[p], s, r, r + 1) == r and liquidate(m, costs, book, out, p, r):
        return Reason.LIQUIDATED
    if book.slot[p].closing != Reason.NONE:
        reason = book.slot[p].closing
        book.head.closed_trade = book.slot[p].trade
        if book.slot[p].stock != 0 and r > book.slot[p].decided and m.row[r].minute <= m.ses[s].close:
            shares_net = close_stock(m, book, out, p, r)
            if book.slot[p].trade < 0:
                after_close(m, rules, book, out, p, r, reason)
                return reason
            if fill_close(m, rules, costs, book, out, p, r, reason):
                return reason
            note_part(m, book, out, p, r, SHARES, shares_net, reason)
            return reason
        if no_legs(book.slot[p]):
            return Reason.CLOSE_WORKING
        if r > book.slot[p].decided and fill_close(m, rules, costs, book, out, p, r, reason):
            return reason
        if book.slot[p].part != ALL_LEGS and r > book.slot[p].decided:
            book.slot[p].closing, book.slot[p].part = Reason.NONE, ALL_LEGS  # an order for a part works for one row
        return Reason.CLOSE_WORKING
    reason = fill_resting(m, rules, costs, book, out, p, r0, r)
    if reason != Reason.NONE:
        if book.slot[p].trade >= 0:
            stop_what_is_left(rules, book, p, r0, r)
        return reason
    return decide_exit(m, rules, limits, costs, book, out, p, s, r0, r)


@njit(**HOT)
def lay_out(m, rules, book, p, r0, r1):
    """Marks of slot p for rows r0 <= r < r1 of one session, and its sides' where a rule watches them."""
    stock = book.slot[p].stock
    if stock == 0:
        mark_slot(m, book, p, r0, r1)
    else:  # an option without a mark keeps its own last one, not that of the shares
        shares2 = 2 * stock * spot_cents(m, r0 - 1)
        book.slot[p].last_mid2 += shares2
        mark_slot(m, book, p, r0, r1)
        book.slot[p].last_mid2 -= shares2
        add_stock(m, book, p, r0, r1)
    if rules.by_side:
        side_paths(m, book, p, r0, r1)
    if rules.cheap_short > 0:
        short_asks(m, book, p, r0, r1)


@njit(**INNER)
def shift_marks(rules, book, p, by, n):
    """Move marks laid out from the slot's own first row to where the session's scratch begins."""
    paths = PATHS if rules.by_side or rules.cheap_short > 0 else SIDE_NATURAL
    for path in range(paths):
        for j in range(n - 1, -1, -1):
            book.path[path, p, j + by] = book.path[path, p, j]
