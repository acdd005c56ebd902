"""The backtest: one compiled pass over the clock.

For every row, in this order: settle, fill, mark, exits, entries. Decisions at row r read rows
<= r; orders fill on the next row with real quotes at the earliest.

Nothing happens on most rows. A session is therefore cut at its events: the marks of each held
structure are laid out for the session in one pass, the first row on which anything can happen
is found in them, and the quiet rows before it are booked together. Calling `run_rows` for all
rows at once or one row at a time gives the same ledger.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from core.attribution import PARTS, attribute
from core.config import ROOT, Config, read_fees
from core.config import load as load_config
from core.costs import costs_from, fee_cents, limit_cents, net_cents, package
from core.errors import ConfigError, DataError
from core.jit import HOT, INNER, njit
from core.market.calendar import day_text
from core.market.store import Store, empty_market, market_of, rows_between
from core.portfolio import (
    IDLE,
    PATHS,
    T_KEY,
    T_OVERSHOOT,
    T_PNL,
    USABLE,
    close_slot,
    credit_interest,
    deal_of,
    fill_deal,
    fill_kind,
    fill_shares,
    is_usable,
    mark_shares,
    mark_slot,
    new_book,
    new_ledger,
    note_open,
    open_count,
    open_slot,
    record,
    roll_deal,
    settle_slot,
    side_paths,
    side_widths2,
    take_off,
)
from core.quotes import greeks_of_leg, leg_rows
from core.types import (
    ALL_LEGS,
    ASK,
    BID,
    CALL,
    CALL_SIDE,
    CASH,
    CASH_AM,
    CLOSE_ALL,
    CLOSE_SHORT,
    CLOSE_SIDE,
    DRAWDOWN,
    EVENT_FILL,
    FLAG,
    FRACTION,
    GATE,
    GOOD,
    LEAVE,
    LEG_SIGN,
    LEGS,
    LIQUIDATION,
    LONG_CALL,
    LONG_PUT,
    MARKS,
    MID2,
    MOST_DUE,
    MULTIPLIER,
    NATURAL_CENTS,
    NO_ACTION,
    ONE_SHORT_CALL,
    ONE_SHORT_PUT,
    OPEN_MINUTE,
    OUT_AT_DTE,
    OUT_TESTED,
    PHYSICAL_PM,
    PUT,
    PUT_SIDE,
    ROLL,
    ROLL_CALL,
    ROLL_PUT,
    ROLL_UNTESTED,
    SCRIPT,
    SETTLE,
    SHORT_ASK,
    SHORT_CALL,
    SHORT_PUT,
    SIDE_NATURAL,
    SIDE_USABLE,
    SOFT,
    USABLE_ROW,
    VERDICT,
    Costs,
    Ledger,
    Market,
    Reason,
    Rules,
    dtype_of,
    record_of,
)
from options_strategy import (
    choose_roll,
    exit_code,
    profit_limit,
    propose,
    stop_level,
    stop_shift,
    trail,
)
from strategies.breach import breach_chance
from strategies.hedging import hedge_order
from strategies.legs import leg_quotes, wider_wing
from strategies.rules import rules_from
from strategies.sizing import size
from strategies.structures import STRUCTURES
from strategies.timing import NEVER, daily_row, in_edge, time_exit_row, window_rows

# ---------------------------------------------------------------- what comes next


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


@njit(**INNER)
def price_reason(m, rules, book, p, s, r0, r):
    """(reason, above, best) of slot p's price on row r; r0 is the row of the scratch's first element."""
    j = r - r0
    slot = book.slot[p]
    usable = is_usable(book, p, j)
    natural = book.path[NATURAL_CENTS, p, j]
    edge = in_edge(m, rules, s, r)
    target, stop = (-IDLE, IDLE) if rules.by_side else (slot.target, slot.stop)
    reason, above = exit_code(natural, book.path[MID2, p, j], usable, slot.above, edge, target, stop, rules)
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
            low = max(low, int(slot.credit * (1.0 - rules.trail_from) + 1e-9) - slot.paid)
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


@njit(**INNER)
def side_level(slot, side, rules):
    """(target, stop) of one side in cents: of its own credit."""
    credit = slot.side_credit2[side] // 2
    if credit <= 0:
        return -IDLE, IDLE
    return profit_limit(credit, rules), stop_level(credit, rules.stop_multiple + slot.stop_shift)


@njit(**INNER)
def has_side(slot, side):
    return slot.legs[SHORT_PUT if side == 0 else SHORT_CALL] >= 0


@njit(**INNER)
def side_reason(rules, book, p, j):
    """(reason, part) of the first side of slot p whose price, or its short's, asks for an order on scratch row j."""
    slot = book.slot[p]
    for side in range(2):
        if not has_side(slot, side):
            continue
        if rules.by_side and book.path[SIDE_USABLE + side, p, j]:
            target, stop = side_level(slot, side, rules)
            natural = book.path[SIDE_NATURAL + side, p, j]
            if natural <= target:
                return Reason.SIDE_TARGET, PUT_SIDE if side == 0 else CALL_SIDE
            if natural >= stop:
                return Reason.SIDE_STOP, PUT_SIDE if side == 0 else CALL_SIDE
    for side in range(2):
        if rules.cheap_short > 0 and has_side(slot, side) and book.path[SHORT_ASK + side, p, j] <= rules.cheap_short:
            return Reason.CHEAP_SHORT, ONE_SHORT_PUT if side == 0 else ONE_SHORT_CALL
    return Reason.NONE, ALL_LEGS


@njit(**INNER)
def side_event(rules, book, p, r0, r, r1):
    """First row in [r, r1) on which a side of slot p asks for an order, or IDLE."""
    for row in range(r, r1):
        if side_reason(rules, book, p, row - r0)[0] != Reason.NONE:
            return row
    return IDLE


@njit(**INNER)
def tested_side(m, rules, slot, r):
    """The right whose short strike the spot has come near at row r, or -1."""
    spot = 100.0 * m.row[r].spot
    put, call = slot.legs[SHORT_PUT], slot.legs[SHORT_CALL]
    if put >= 0 and spot <= m.con[put].strike * (1.0 + rules.tested_distance):
        return PUT
    if call >= 0 and spot >= m.con[call].strike * (1.0 - rules.tested_distance):
        return CALL
    return -1


@njit(**INNER)
def may_decide(m, s, r):
    """Whether anything but a time exit may be decided at row r: the decision row alone where quotes come once a day."""
    if m.ses[s].decide == -1:
        return True
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
def next_event(m, rules, book, p, s, r0, r, r1):
    """First row in [r, r1) at which slot p settles, fills or decides; IDLE if none."""
    slot = book.slot[p]
    row = settlement_row(m, s, slot.expiry)
    if row < r:
        row = IDLE
    first = max(r, slot.opened + 1)
    if slot.closing != Reason.NONE:
        for later in range(max(first, slot.decided + 1), r1):
            if m.row[later].tradable if slot.part != ALL_LEGS else is_usable(book, p, later - r0):
                return min(row, later)
        return row
    if rules.enter:
        timed, _ = time_exit_row(m, rules, s, slot.expiry, slot.opened)
        if timed >= first:
            row = min(row, timed)
        if rules.exit_breach < 1.0 and slot.breach_on != s:
            look = daily_row(m, rules, s)
            if look >= first:
                row = min(row, look)
        if rules.watches_market:
            row = min(row, market_event(m, rules, book, p, s, first, min(r1, row)))
        if rules.by_side or rules.cheap_short > 0:
            row = min(row, side_event(rules, book, p, r0, first, min(r1, row)))
        row = min(row, price_event(m, rules, book, p, s, r0, first, min(r1, row)))
    return row if row < r1 else IDLE


@njit(**INNER)
def entry_gate(m, rules, book, s, r):
    """(reason, row): ENTER and the first row in the session at which an entry may be proposed, or why not."""
    if not rules.enter:
        return Reason.SCRIPTED, IDLE
    if book.head.order_working:
        return Reason.ORDER_WORKING, IDLE
    if open_count(book) >= rules.max_positions:
        return Reason.MAX_POSITIONS, IDLE
    if book.head.due > 0:  # a campaign to be rolled out waits for nothing
        return Reason.ENTER, r
    if m.ses[s].day < book.head.cool_until:
        return Reason.COOLDOWN, IDLE
    last = book.head.last_entry
    if last >= 0:
        days = m.ses[s].day - m.ses[m.row[last].session].day
        if days < rules.min_days_between or (days == 0 and book.head.new_today >= rules.max_new_per_day):
            return Reason.SCHEDULE, IDLE
        if days == 0:
            ready = m.row[last].ts + rules.min_minutes_between * 60_000_000_000
            while r < m.ses[s].end and m.row[r].ts < ready:
                r += 1
            if r == m.ses[s].end:
                return Reason.SCHEDULE, IDLE
            return Reason.ENTER, r
    return Reason.ENTER, r


@njit(**HOT)
def signal_gate(m, book, r):
    """Why the signals forbid an entry at row r, or 0; a campaign to be rolled out does not ask them."""
    return 0 if book.head.due > 0 else m.gate[GATE, r]


@njit(**INNER)
def order_row(m, book, r, r1):
    """Next row in [r, r1) on which the working entry order can fill, or IDLE."""
    if not book.head.order_working:
        return IDLE
    for row in range(max(r, book.head.order_decided + 1), r1):
        if m.row[row].tradable:
            return row
    return IDLE


# ---------------------------------------------------------------- what happens on a row


@njit(**INNER)
def fill_entry(m, rules, costs, book, out, r):
    """Try the working entry order on row r; returns the slot opened, or -1."""
    head = book.head
    legs = head.order_legs
    good = leg_quotes(m, legs, r, head.quote_bid, head.quote_ask, book.leg)
    head.order_tries += 1
    if good:
        deal_of(head, legs, ALL_LEGS, False)
        natural2, mid2 = package(costs, head.side, head.quote_bid, head.quote_ask)
        if costs.order_type == FRACTION:
            net = net_cents(natural2, mid2, costs.open_frac, costs.extra_cents)
            filled = -net >= head.order_floor
        else:  # a limit set on the quotes last seen; it fills at its own price once natural reaches it
            net = limit_cents(costs, head.order_natural2, head.order_mid2, head.order_tries)
            filled = natural2 <= 2 * net and -net >= head.order_floor
            head.order_natural2, head.order_mid2 = natural2, mid2
            if filled:  # at natural where that is better than the limit, never better than mid
                net = max(min(net, net_cents(natural2, mid2, 0.0, costs.extra_cents)), int(np.ceil(mid2 / 2.0)))
        # The credit that was hoped for sized the order; the risk budget holds for the one that is paid.
        contracts = size(head.order_contracts, head.order_width, -net, head.order_budget)
        if filled and contracts > 0:
            head.order_working = 0
            p = open_slot(
                m, book, out, r, head.order_decided, legs, contracts, -net, head.order_width, -1, head.order_campaign
            )
            fill_deal(m, costs, book, out, r, book.slot[p].trade, contracts, net, Reason.ENTER)
            book.slot[p].side_credit2[0] = head.price2[SHORT_PUT] - head.price2[LONG_PUT]
            book.slot[p].side_credit2[1] = head.price2[SHORT_CALL] - head.price2[LONG_CALL]
            book.slot[p].rolls_out = head.order_out
            book.slot[p].stop_shift = stop_shift(m, rules, head.order_decided)
            set_levels(rules, book, p)
            if head.last_entry < 0 or m.row[r].session != m.row[head.last_entry].session:
                head.new_today = 0
            head.new_today += 1
            head.last_entry = r
            return p
    if costs.order_type == FRACTION or head.order_tries >= costs.order_life:
        head.order_working = 0
        head.missed += 1
    return -1


@njit(**INNER)
def set_levels(rules, book, p):
    """Cost of what is left of slot p at which the profit order fills and the stop triggers."""
    slot = book.slot[p]
    target, stop = profit_limit(slot.credit, rules), stop_level(slot.credit, rules.stop_multiple + slot.stop_shift)
    book.slot[p].target = target - slot.paid if target > -NEVER else -NEVER
    book.slot[p].stop = stop - slot.paid if stop < NEVER and rules.stop_multiple > 0.0 else NEVER


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


@njit(**INNER)
def most_paid(m, slot):
    """Highest price in cents that slot's working order may pay: the width of what it closes; a lone short has none."""
    put_width2, call_width2 = side_widths2(m, slot.legs)
    if slot.part == ALL_LEGS:
        return slot.width if slot.width > 0 else IDLE
    if slot.part == PUT_SIDE:
        return put_width2 // 2 if put_width2 > 0 else IDLE
    if slot.part == CALL_SIDE:
        return call_width2 // 2 if call_width2 > 0 else IDLE
    return IDLE


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
def market_order(m, rules, costs, book, p, s, r):
    """(reason, part): what the regime, a tested short or the breach probability asks of slot p at row r."""
    slot = book.slot[p]
    if not may_decide(m, s, r):
        return Reason.NONE, ALL_LEGS
    if m.gate[LEAVE, r] != 0:
        return Reason.REGIME_EXIT, ALL_LEGS
    if watches_tests(rules, slot) and slot.tested_on != s and tested_side(m, rules, slot, r) >= 0:
        book.slot[p].tested_on = s  # once a session, whatever comes of it
        reason, part = tested_order(m, rules, book, p, s, r)
        if part & ROLL != 0 and not roll_pays(m, rules, costs, book, p, CALL if part == ROLL_CALL else PUT, r):
            reason = Reason.NONE
        if reason != Reason.NONE:
            return reason, part
    if rules.exit_breach < 1.0 and slot.breach_on != s and daily_row(m, rules, s) == r:
        book.slot[p].breach_on = s
        if breach_chance(m, rules, slot.legs, slot.expiry, r) > rules.exit_breach:  # unknown: no exit
            return Reason.BREACH_EXIT, ALL_LEGS
    return Reason.NONE, ALL_LEGS


@njit(**INNER)
def decide_exit(m, rules, costs, book, out, p, s, r0, r):
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
            asked, of = market_order(m, rules, costs, book, p, s, r)
            if asked != Reason.NONE:
                reason, part = asked, of
        if timed == r and reason not in (Reason.SIDE_STOP, Reason.REGIME_EXIT, Reason.BREACH_EXIT, Reason.ROLL_OUT):
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
def resting_target(m, rules, book, p, r0, r):
    """(reason, part) of the resting profit order that row r's prices fill, or NONE."""
    slot = book.slot[p]
    j = r - r0
    if not rules.by_side:
        filled = is_usable(book, p, j) and book.path[NATURAL_CENTS, p, j] <= slot.target
        return (Reason.PROFIT_TARGET if filled else Reason.NONE), ALL_LEGS
    reason, part = side_reason(rules, book, p, j)
    return (reason if reason == Reason.SIDE_TARGET else Reason.NONE), part


@njit(**INNER)
def attend(m, rules, costs, book, out, p, s, r0, r):
    """Slot p's event at row r: settle, fill, or decide; returns the reason to show for the row."""
    if settlement_row(m, s, book.slot[p].expiry) == r:
        book.head.closed_trade = book.slot[p].trade
        settle_slot(m, book, out, p, r)
        after_close(m, rules, book, out, p, r, Reason.SETTLED)
        return Reason.SETTLED
    if book.slot[p].closing != Reason.NONE:
        reason = book.slot[p].closing
        book.head.closed_trade = book.slot[p].trade
        if r > book.slot[p].decided and fill_close(m, rules, costs, book, out, p, r, reason):
            return reason
        if book.slot[p].part != ALL_LEGS and r > book.slot[p].decided:
            book.slot[p].closing, book.slot[p].part = Reason.NONE, ALL_LEGS  # an order for a part works for one row
        return Reason.CLOSE_WORKING
    reason, part = resting_target(m, rules, book, p, r0, r)
    if reason != Reason.NONE:
        book.slot[p].decided = book.slot[p].opened  # the order has been resting since the entry filled
        book.slot[p].part = part
        book.head.closed_trade = book.slot[p].trade
        if fill_close(m, rules, costs, book, out, p, r, reason):
            return reason
        book.slot[p].part = ALL_LEGS
    return decide_exit(m, rules, costs, book, out, p, s, r0, r)


# ---------------------------------------------------------------- the hedge


@njit(**INNER)
def hedge_row(m, rules, book, s, r, r1):
    """Next row in [r, r1) at which the hedge's order fills or the net delta is looked at; IDLE if none."""
    if rules.delta_band <= 0.0:
        return IDLE
    for row in range(r, r1):
        if m.row[row].minute > m.ses[s].close:
            return IDLE  # shares do not trade on evening snapshots
        if book.head.hedge_shares != 0 and row > book.head.hedge_decided:
            return row
        if (m.row[row].minute - OPEN_MINUTE) % rules.hedge_minutes == 0:
            return row
    return IDLE


@njit(**INNER)
def net_delta(m, book, r):
    """Delta of all open structures and the hedge's shares, in shares; NaN where a leg's is unknown."""
    total = float(book.head.shares)
    for p in range(book.slot.shape[0]):
        if book.slot[p].trade >= 0:
            for leg in range(LEGS):
                c = book.slot[p].legs[leg]
                if c >= 0:
                    total += LEG_SIGN[leg] * MULTIPLIER * book.slot[p].contracts * greeks_of_leg(m, c, r)[0]
    return total


@njit(**INNER)
def attend_hedge(m, rules, book, out, s, r):
    """Fill the hedge's order of an earlier row, then look at the net delta; an order fills on the next bar."""
    head = book.head
    if head.hedge_shares != 0 and r > head.hedge_decided:
        fill_shares(m, book, out, r, head.hedge_shares)
        head.hedge_shares = 0
    if (m.row[r].minute - OPEN_MINUTE) % rules.hedge_minutes == 0:
        if open_count(book) > 0:
            head.hedge_shares = hedge_order(net_delta(m, book, r), head.shares, rules.delta_band)
        else:
            head.hedge_shares = -head.shares  # nothing is left to hedge
        head.hedge_decided = r


@njit(**INNER)
def replay(m, costs, book, out, script, r, r0, r1, s, rules):
    """Book the stated orders of row r at their stated prices."""
    k = book.head.script
    while k < script.shape[0] and script[k].row == r:
        legs = script[k].legs
        deal_of(book.head, legs, ALL_LEGS, script[k].opens == 0)
        net2 = 0
        for leg in range(LEGS):
            net2 += book.head.side[leg] * script[k].price2[leg]
        slot = -1
        if script[k].opens:
            width = wider_wing(m, legs)
            book.head.order_floor = 0
            slot = open_slot(m, book, out, r, r, legs, script[k].contracts, -net2 // 2, width, script[k].key, -1)
        else:
            for p in range(book.slot.shape[0]):
                if book.slot[p].trade >= 0 and out.t_int[book.slot[p].trade, T_KEY] == script[k].key:
                    slot = p
        if slot >= 0:
            stated_fills(m, costs, book, out, script, k, slot, r)
            if not script[k].opens:
                book.slot[slot].decided = r
                book.slot[slot].paid += net2 // 2
                close_slot(book, out, slot, r, Reason.STATED)
            else:
                mark_slot(m, book, slot, r0, r1)
                book.slot[slot].event = next_event(m, rules, book, slot, s, r0, r + 1, r1)
        k += 1
    book.head.script = k


@njit(**INNER)
def stated_fills(m, costs, book, out, script, k, slot, r):
    """Leg fills at stated prices; the row's own quote is shown beside them where there is one."""
    legs = script[k].legs
    closing = script[k].opens == 0
    for leg in range(LEGS):
        side = book.head.side[leg]
        if side == 0:
            continue
        price2 = script[k].price2[leg]
        bid, ask = price2 // 2, (price2 + 1) // 2
        leg_rows(m, legs[leg], r, r + 1, book.leg)
        if book.leg[FLAG, 0] == GOOD:
            bid, ask = book.leg[BID, 0], book.leg[ASK, 0]
        contracts = script[k].contracts
        fee = fee_cents(costs, side, price2, contracts, closing)
        record(
            book, out, r, book.slot[slot].trade, EVENT_FILL, leg, legs[leg], side * contracts, price2,
            bid, ask, fee, m.row[r].snap, fill_kind(m, r), Reason.STATED,
        )  # fmt: skip


# ---------------------------------------------------------------- the pass


@njit(**INNER)
def book_rows(m, book, out, r0, r, r_end):
    """Book rows [r, r_end) of a session on which the set of open structures does not change."""
    if r >= r_end:
        return
    n = r_end - r
    cash = book.head.cash
    marks, liquidation = out.rows[MARKS, r:r_end], out.rows[LIQUIDATION, r:r_end]
    drawdown, soft = out.rows[DRAWDOWN, r:r_end], out.codes[SOFT, r:r_end]
    out.rows[CASH, r:r_end] = cash
    marks[:] = 0
    liquidation[:] = cash
    soft[:] = 0
    for p in range(book.slot.shape[0]):
        if book.slot[p].trade >= 0:
            book_slot(book, out, p, r - r0, n, marks, liquidation, soft)
    if book.head.shares != 0:
        mark_shares(m, book, r, n, marks, liquidation)
    peak = book.head.peak
    for j in range(n):
        equity = cash + marks[j]
        peak = max(peak, equity)
        drawdown[j] = peak - equity
    book.head.peak = peak


@njit(**HOT)
def book_slot(book, out, p, j0, n, marks, liquidation, soft):
    """Add slot p's marks on n rows of the scratch from j0 on, and keep its extremes."""
    slot = book.slot[p]
    mid_cents = (MULTIPLIER // 2) * slot.contracts
    natural_cents = MULTIPLIER * slot.contracts
    mid2 = book.path[MID2, p, j0 : j0 + n]
    natural = book.path[NATURAL_CENTS, p, j0 : j0 + n]
    least, most = mid2[0], mid2[0]
    for j in range(n):  # one result per loop, so that each vectorises
        marks[j] -= mid_cents * mid2[j]
    for j in range(n):
        liquidation[j] -= natural_cents * natural[j]
    for j in range(n):
        least = min(least, mid2[j])
    for j in range(n):
        most = max(most, mid2[j])
    if not slot.clean:
        usable = book.path[USABLE_ROW, p, j0 : j0 + n]
        for j in range(n):
            soft[j] |= usable[j] != USABLE
    paid = out.t_int[slot.trade, T_PNL]
    slot.mae = min(slot.mae, paid - mid_cents * most)
    slot.mfe = max(slot.mfe, paid - mid_cents * least)
    slot.last_mid2 = mid2[n - 1]


@njit(**HOT)
def quiet_verdicts(m, out, r, r_end, first, last, ready, inside, outside):
    """Reasons of rows on which no entry was proposed; from `ready` on it is the signals that said no."""
    low, high = min(max(first, r), r_end), max(min(last, r_end), r)
    out.codes[VERDICT, r:low] = outside
    out.codes[VERDICT, low:high] = inside
    out.codes[VERDICT, max(low, high) : r_end] = outside
    for row in range(max(low, ready), high):
        out.codes[VERDICT, row] = m.gate[GATE, row]


@njit(**INNER)
def busy_row(m, rules, costs, book, out, script, s, r0, r, r1, first, last, outside):
    """Everything on one eventful row, in the order settle, fill, mark, exits, entries."""
    shown = Reason.NONE
    adjusted = book.head.adjustments
    for p in range(book.slot.shape[0]):
        if book.slot[p].trade >= 0 and book.slot[p].event == r:
            reason = attend(m, rules, costs, book, out, p, s, r0, r)
            shown = reason if shown == Reason.NONE else shown
            if book.slot[p].trade >= 0:
                if out.a_int.shape[0] > 0 and book.head.adjustments > adjusted:
                    adjusted = book.head.adjustments
                    lay_out(m, rules, book, p, r, r1)
                    shift_marks(rules, book, p, r - r0, r1 - r)
                book.slot[p].event = next_event(m, rules, book, p, s, r0, r + 1, r1)
    missed = book.head.missed
    if order_row(m, book, r, r + 1) == r:
        p = fill_entry(m, rules, costs, book, out, r)
        if p >= 0:
            lay_out(m, rules, book, p, r, r1)
            shift_marks(rules, book, p, r - r0, r1 - r)
            book.slot[p].event = next_event(m, rules, book, p, s, r0, r + 1, r1)
    if hedge_row(m, rules, book, s, r, r + 1) == r:
        attend_hedge(m, rules, book, out, s, r)
    replay(m, costs, book, out, script, r, r0, r1, s, rules)
    book_rows(m, book, out, r0, r, r + 1)
    verdict = outside
    if first <= r < last:
        verdict, row = entry_gate(m, rules, book, s, r)
        if verdict == Reason.ENTER and row != r:
            verdict = Reason.SCHEDULE
        elif verdict == Reason.ENTER and signal_gate(m, book, r) != 0:
            verdict = m.gate[GATE, r]
        elif verdict == Reason.ENTER:
            equity = out.rows[CASH, r] + out.rows[MARKS, r]
            verdict = propose(m, rules, costs, book, r, equity)
    if book.head.missed > missed and verdict != Reason.ENTER:
        verdict = Reason.MISSED
    out.codes[VERDICT, r] = shown if shown != Reason.NONE and verdict != Reason.ENTER else verdict


@njit(**INNER)
def lay_out(m, rules, book, p, r0, r1):
    """Marks of slot p for rows r0 <= r < r1 of one session, and its sides' where a rule watches them."""
    mark_slot(m, book, p, r0, r1)
    if rules.by_side or rules.cheap_short > 0:
        side_paths(m, book, p, r0, r1)


@njit(**INNER)
def shift_marks(rules, book, p, by, n):
    """Move marks laid out from the slot's own first row to where the session's scratch begins."""
    paths = PATHS if rules.by_side or rules.cheap_short > 0 else SIDE_NATURAL
    for path in range(paths):
        for j in range(n - 1, -1, -1):
            book.path[path, p, j + by] = book.path[path, p, j]


@njit(**HOT)
def script_row(book, script, r1):
    k = book.head.script
    if k < script.shape[0] and script[k].row < r1:
        return script[k].row
    return IDLE


@njit(**INNER)
def run_session(m, rules, costs, book, out, script, s, r0, r1):
    """Rows [r0, r1) of session s."""
    if book.head.session != s:
        book.head.session = s
        if book.head.order_working:  # entry orders are day orders
            book.head.order_working = 0
            book.head.missed += 1
        book.head.due = 0  # a campaign that found no later expiry on its day has ended
        book.head.hedge_shares = 0
        if costs.interest:
            credit_interest(m, book, out, s, r0)
    for p in range(book.slot.shape[0]):
        if book.slot[p].trade >= 0:
            lay_out(m, rules, book, p, r0, r1)
            book.slot[p].event = next_event(m, rules, book, p, s, r0, r0, r1)
    first, last, outside = window_rows(m, rules, s)
    if not rules.enter:
        outside = Reason.SCRIPTED
    r = r0
    while r < r1:
        inside, ready = entry_gate(m, rules, book, s, max(r, first))
        if inside == Reason.ENTER:
            inside = Reason.SCHEDULE  # rows before the next allowed entry
        entry = ready
        while first <= entry < last and signal_gate(m, book, entry) != 0:
            entry += 1
        if entry < first or entry >= last:
            entry = IDLE
        stop = min(entry, order_row(m, book, r, r1), script_row(book, script, r1), r1)
        stop = min(stop, hedge_row(m, rules, book, s, r, r1))
        for p in range(book.slot.shape[0]):
            if book.slot[p].trade >= 0:
                stop = min(stop, book.slot[p].event)
        book_rows(m, book, out, r0, r, stop)
        quiet_verdicts(m, out, r, stop, first, last, ready, inside, outside)
        if stop >= r1:
            break
        busy_row(m, rules, costs, book, out, script, s, r0, stop, r1, first, last, outside)
        r = stop + 1


@njit
def run_rows(m, rules, costs, book, out, script, t0, t1):
    """Advance the book over rows [t0, t1): the whole market at once, or one bar at a time."""
    r = t0
    while r < t1:
        s = int(m.row[r].session)
        end = min(m.ses[s].end, t1)
        run_session(m, rules, costs, book, out, script, s, r, end)
        r = end


# ---------------------------------------------------------------- the driver


class ScriptedOrder(NamedTuple):
    """One stated order: a structure opened or closed at given prices, decided by nobody.

    when   : UTC ns; booked on the first row at or after it
    key    : number of the structure (a close names the open's)
    opens  : True opens, False closes
    expiry : days since 1970
    strikes: $ of long put, short put, short call, long call; None where unused
    prices : $/share of each leg, same order
    """

    when: int
    key: int
    opens: bool
    expiry: int
    strikes: tuple[float | None, float | None, float | None, float | None]
    prices: tuple[float | None, float | None, float | None, float | None]
    contracts: int = 1
    style: int | None = None


class BacktestResult(NamedTuple):
    """Everything a run produced: the ledger's arrays cut to what was used, and what it ran on."""

    store: Store
    config: Config
    market: Market
    rules: Rules
    costs: Costs
    first_row: int
    last_row: int  # one past
    ledger: Ledger
    trades: Any  # int64 (trades, TRADE_FIELDS)
    fills: Any  # int64 (events, FILL_FIELDS)
    adjustments: Any  # int64 (adjustments, ADJUSTMENT_FIELDS)
    missed: int
    scripted: bool

    @property
    def equity(self) -> Any:
        """Marked equity in cents, one per row."""
        return self.ledger.rows[CASH] + self.ledger.rows[MARKS]


def find_contract(market: Market, expiry_day: int, right: int, strike: float, style: int | None) -> int:
    """Contract of an expiry day, right and strike, or a DataError that names it."""
    for x in np.flatnonzero(market.exp.day == expiry_day):
        if style is not None and market.exp.style[x] != style:
            continue
        e = market.exp[x]
        first, last = (e.put_lo, e.put_hi) if right == PUT else (e.call_lo, e.call_hi)
        at = first + int(np.searchsorted(market.con.strike[first:last], round(strike * 100)))
        if at < last and market.con.strike[at] == round(strike * 100):
            return int(at)
    raise DataError(f"no contract {day_text(expiry_day)} {'PC'[right]}{strike:g} in this market; check the order")


def script_of(market: Market, orders: Sequence[ScriptedOrder]) -> Any:
    """Stated orders as the arrays that the kernel replays, in order of time."""
    orders = sorted(orders, key=lambda o: (o.when, o.opens, o.key))
    script = np.zeros(len(orders), dtype_of(SCRIPT)).view(np.recarray)
    script.legs = -1
    for k, order in enumerate(orders):
        row = int(np.searchsorted(market.row.ts, order.when))
        if row >= len(market.row.ts):
            raise DataError(f"stated order {order.key} lies after the market's last row")
        script[k].row, script[k].key, script[k].opens = row, order.key, order.opens
        script[k].contracts = order.contracts
        for leg, (strike, price) in enumerate(zip(order.strikes, order.prices, strict=True)):
            if strike is not None and price is not None:
                right = PUT if leg < SHORT_CALL else CALL
                script[k].legs[leg] = find_contract(market, order.expiry, right, strike, order.style)
                script[k].price2[leg] = round(price * 200)
    return script


def capacity(config: Config, sessions: int, orders: int) -> int:
    """Most structures a run can open."""
    per_day = config["strategy.entry.max_new_per_day"] if config["strategy.entry.schedule"] == "ladder" else 1
    if config["strategy.manage.roll_out"] != "never":
        per_day += config["strategy.max_positions"]
    return sessions * per_day + orders + 1


def most_adjustments(config: Config, trades: int) -> int:
    """Most orders for a part of a structure: each leg once, and the rolls."""
    parts = config["strategy.exits.scope"] == "side" or config["strategy.exits.cheap_short"] > 0
    action = config["strategy.manage.tested_action"]
    rolls = config["strategy.manage.max_rolls"] if action == "roll_untested" else 0
    return trades * (LEGS * (parts or action in ("close_side", "close_short")) + rolls)


def ledger_for(config: Config, market: Market, orders: int = 0) -> Ledger:
    """Room for everything that a run of these settings, or of so many stated orders, can write."""
    trades = capacity(config, len(market.ses), orders)
    return new_ledger(len(market.row.ts), trades, most_adjustments(config, trades))


def run(store: Store, config: Config, scripted_orders: Sequence[ScriptedOrder] | None = None) -> BacktestResult:
    """Replay the strategy of `config` on `store`; or stated orders alone, through the same book."""
    market = market_of(store, config["data.intraday_quotes"])
    rules = rules_from(config.values, enter=scripted_orders is None)
    costs = costs_from(config.values, read_fees(config["costs.fees"]), STRUCTURES[config["strategy.structure"]].legs)
    if costs.interest and bool(np.isnan(market.ses.rate).all()):
        raise ConfigError(
            f"account.cash_yield is tbill, but market '{store.name}' holds no rates; import with --rates, or set zero"
        )
    if rules.expiry_rule == SETTLE and bool((market.exp.style == PHYSICAL_PM).any()):
        raise ConfigError(
            "strategy.exits.expiry_rule is settle, but these options deliver shares; use flat, or a cash-settled market"
        )
    first, last = rows_between(store, config["market.start"], config["market.end"])
    orders = scripted_orders or ()
    script = script_of(market, orders)
    slots = rules.max_positions if rules.enter else max(1, len(orders))
    book = new_book(round(config["account.starting_cash"] * 100), slots, int((market.ses.end - market.ses.start).max()))
    out = ledger_for(config, market, len(orders))
    run_rows(market, record_of(rules), record_of(costs), book, out, script, first, last)
    note_open(book, out.t_int)
    cut = slice(first, last)
    ledger = out._replace(rows=out.rows[:, cut], codes=out.codes[:, cut])
    return BacktestResult(
        store=store,
        config=config,
        market=market,
        rules=rules,
        costs=costs,
        first_row=first,
        last_row=last,
        ledger=ledger,
        trades=out.t_int[: book.head.trades],
        fills=out.f_int[: book.head.fills],
        adjustments=out.a_int[: book.head.adjustments],
        missed=int(book.head.missed),
        scripted=scripted_orders is not None,
    )


def warm() -> None:
    """Compile the engine for the types of every store, without running anything."""
    market = empty_market()
    config = load_config(user_file=ROOT / "no user settings")
    rules = record_of(rules_from(config.values))
    costs = record_of(costs_from(config.values, read_fees("none"), LEGS))
    out = new_ledger(2, 1)
    run_rows(market, rules, costs, new_book(0, 1, 2), out, script_of(market, ()), 0, 0)
    attribute(market, out.t_int[:0], out.f_int[:0], 0, np.zeros((0, len(PARTS))))
