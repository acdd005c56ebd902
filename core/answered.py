"""One row whose fills are stated by a broker: the engine's own book and decisions, no fill model; kernels.

Answers say what became of the orders that the last row left working; `answered_row` books them, decides exits, then
entries, and leaves the orders that are to work until the next row. Fed with the fills that the backtest's model makes,
it writes the backtest's ledger (a law). The hedges, modelled assignments and settlements are not asked for here.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from backtest_engine import (
    begin_halt,
    begin_session,
    begin_structure,
    book_rows,
    give_up,
    order_row,
    show_verdict,
)
from core.assignment import no_legs, split
from core.costs import fee_cents, package
from core.jit import INNER, TOP, by_reference, njit
from core.margin import requirement
from core.portfolio import (
    T_KINDS,
    T_OVERSHOOT,
    T_PNL,
    deal_of,
    fill_kind,
    is_usable,
    open_slot,
    record,
    roll_deal,
    take_off,
)
from core.positions import (
    after_close,
    decide_exit,
    lay_out,
    next_event,
    set_levels,
    side_price_reason,
    stop_what_is_left,
)
from core.quotes import leg_rows
from core.risk_manager import note_result
from core.types import (
    ALL_LEGS,
    ASK,
    BID,
    CALL,
    CALL_SIDE,
    EVENT_FILL,
    FLAG,
    GOOD,
    LEG_SIGN,
    LEGS,
    NATURAL_CENTS,
    PUT_SIDE,
    ROLL,
    ROLL_CALL,
    Reason,
    dtype_of,
)
from strategies.legs import leg_quotes
from strategies.timing import window_rows

ENTRY = -1  # ANSWER.trade of the working entry order
# What the broker did with one order; legs in the order of the package (a roll: the old short and long, the new).
ANSWER = [
    ("trade", "i8"),  # whose close, part or roll filled; ENTRY
    ("part", "i8"),  # what was closed: PARTS of legs or a roll
    ("reason", "i8"),
    ("contracts", "i8"),  # units filled
    ("net", "i8"),  # cents per share paid (received < 0), rounded against us
    ("new_legs", "i8", (2,)),  # short and long of a roll
    ("price2", "i8", (LEGS,)),  # half-cents per share of each leg
    ("dearer", "i8", (LEGS,)),  # so many of its contracts went half a cent higher: sums stay exact
    ("event", "i8"),  # EVENT_FILL; EVENT_SETTLEMENT for what expired
]


def answers_of(rows: list[dict[str, Any]]) -> Any:
    """Answers as the array that the kernel reads; fields that are not given are 0 (event: a fill)."""
    answers = np.zeros(len(rows), dtype_of(ANSWER)).view(np.recarray)
    for answer, row in zip(answers, rows, strict=True):
        for name, value in row.items():
            answer[name] = value
    return answers


@njit(**INNER)
def book_package(m, costs, book, out, r, trade, a, contracts):
    """Book the package laid out in the head at an answer's prices, leg by leg, with its fees."""
    head = book.head
    for i in range(LEGS):
        side, leg, c = head.side[i], head.deal_leg[i], head.deal_legs[i]
        head.price2[i] = a.price2[i]
        if side == 0:
            continue
        leg_rows(m, c, r, r + 1, book.leg)
        quoted = book.leg[FLAG, 0] == GOOD
        for dearer in range(2):
            n = min(a.dearer[i], contracts) if dearer else contracts - min(a.dearer[i], contracts)
            if n <= 0:
                continue
            price2 = a.price2[i] + dearer
            bid, ask = (book.leg[BID, 0], book.leg[ASK, 0]) if quoted else (price2 // 2, price2 - price2 // 2)
            fee = fee_cents(costs, side, price2, n, side != LEG_SIGN[leg]) if a.event == EVENT_FILL else 0
            record(
                book, out, r, trade, a.event, leg, c, side * n, price2, bid, ask, fee, m.row[r].snap,
                fill_kind(m, r), a.reason,
            )  # fmt: skip
    out.t_int[trade, T_KINDS] |= 1 << fill_kind(m, r)


@njit(**INNER)
def mid2_of(m, costs, book, r, net):
    """Mid of the package laid out in the head on row r, half-cents; where a leg has no quote, what it filled at."""
    head = book.head
    if not leg_quotes(m, head.deal_legs, r, head.quote_bid, head.quote_ask, book.leg):
        return 2 * net
    return package(costs, head.side, head.quote_bid, head.quote_ask)[1]


@njit(**INNER)
def answer_entry(m, rules, limits, costs, book, out, answers, s, r):
    """Open what the working entry order filled, if it did; without an answer it grows old on a row with quotes."""
    head = book.head
    for k in range(answers.shape[0]):
        if answers[k].trade == ENTRY and answers[k].contracts > 0 and head.order_working:
            a = answers[k]
            deal_of(head, head.order_legs, ALL_LEGS, False)
            p = open_slot(
                m, book, out, r, head.order_decided, head.order_legs, a.contracts, -a.net, head.order_width, -1,
                head.order_campaign,
            )  # fmt: skip
            book_package(m, costs, book, out, r, book.slot[p].trade, a, a.contracts)
            begin_structure(m, rules, book, p, r)
            lay_out(m, rules, book, p, r, r + 1)
            book.slot[p].event = next_event(m, rules, limits, book, p, s, r, r + 1, r + 1)
            return
    if order_row(m, book, r, r + 1) == r:
        head.order_tries += 1
        give_up(costs, head)


@njit(**INNER)
def answer_close(m, rules, limits, costs, book, out, a, p, s, r):
    """Book what filled of slot p's order: some of its contracts become a trade of their own first.

    An answer to a slot that has no order comes from a profit order that rests at the broker.
    """
    head = book.head
    if a.contracts < book.slot[p].contracts:
        p = split(m, book, out, p, a.contracts, r, a.reason)
        if p < 0:
            return
        lay_out(m, rules, book, p, r, r + 1)
    resting = book.slot[p].closing == Reason.NONE
    if resting:
        book.slot[p].decided = book.slot[p].opened
    book.slot[p].part = a.part
    trade = book.slot[p].trade
    head.closed_trade = trade
    if a.part & ROLL != 0:
        book.slot[p].new_legs[0], book.slot[p].new_legs[1] = a.new_legs[0], a.new_legs[1]
        roll_deal(head, book.slot[p], CALL if a.part == ROLL_CALL else 0)
    else:
        deal_of(head, book.slot[p].legs, a.part, True)
    mid2 = mid2_of(m, costs, book, r, a.net)
    book_package(m, costs, book, out, r, trade, a, a.contracts)
    if a.reason == Reason.STOP:
        out.t_int[trade, T_OVERSHOOT] = a.net - out.t_int[trade, T_OVERSHOOT]
    take_off(m, book, out, p, r, a.net, mid2, a.reason)
    if book.slot[p].trade < 0:
        after_close(m, rules, book, out, p, r, a.reason)
        if a.reason != Reason.ROLL_OUT:
            note_result(limits, head, out.t_int[trade, T_PNL], m.ses[s].day)
        return
    set_levels(rules, book, p)
    if resting:
        stop_what_is_left(rules, book, p, r, r)
    lay_out(m, rules, book, p, r, r + 1)


@njit(**INNER)
def answer_slot(m, rules, limits, costs, book, out, answers, p, s, r):
    """The answers to slot p's orders; the reason to show, NONE without one."""
    shown = Reason.NONE
    for k in range(answers.shape[0]):
        if book.slot[p].trade >= 0 and answers[k].trade == book.slot[p].trade and answers[k].contracts > 0:
            answer_close(m, rules, limits, costs, book, out, answers[k], p, s, r)
            shown = answers[k].reason
    return shown


@njit(**INNER)
def reached_target(rules, book, p):
    """(reason, part) of the profit order that the row's price reaches, where none rests at the broker."""
    if not rules.by_side:
        reached = is_usable(book, p, 0) and book.path[NATURAL_CENTS, p, 0] <= book.slot[p].target
        return (Reason.PROFIT_TARGET if reached else Reason.NONE), ALL_LEGS
    for side in range(2):
        if side_price_reason(rules, book, p, side, 0) == Reason.SIDE_TARGET:
            return Reason.SIDE_TARGET, PUT_SIDE if side == 0 else CALL_SIDE
    return Reason.NONE, ALL_LEGS


@njit(**INNER)
def ask_slot(m, rules, limits, costs, book, out, resting, p, s, r):
    """What slot p decides at its event on row r: a reason to show, and an order left working."""
    slot = book.slot[p]
    if not resting and slot.closing in (Reason.PROFIT_TARGET, Reason.SIDE_TARGET) and r > slot.decided:
        book.slot[p].closing, book.slot[p].part = Reason.NONE, ALL_LEGS  # the price ran away: its stop counts again
    elif slot.closing != Reason.NONE:
        if slot.part != ALL_LEGS and r > slot.decided:
            book.slot[p].closing, book.slot[p].part = Reason.NONE, ALL_LEGS  # an order for a part works for one row
        return Reason.CLOSE_WORKING
    if not resting:
        reason, part = reached_target(rules, book, p)
        if reason != Reason.NONE:
            book.slot[p].closing, book.slot[p].part = reason, part
            book.slot[p].decided, book.slot[p].tries = r, 0
            return reason
    return decide_exit(m, rules, limits, costs, book, out, p, s, r, r)


@njit(**TOP)
def answered_row(m, rules, limits, costs, book, out, answers, resting, veto, r):
    """Advance the book over row r, whose fills are `answers` (ANSWER records).

    resting : 1 where profit orders rest at the broker; 0: reaching the target is a decision to close
    veto    : a Reason that forbids entries on this row, 0 none
    """
    m = by_reference(m)
    book = by_reference(book)
    out = by_reference(out)
    s = int(m.row[r].session)
    begin_session(m, rules, limits, costs, book, out, s, r, r + 1)
    first, last, outside = window_rows(m, rules, s)
    if veto != 0:
        first, last, outside = r, r, veto
    shown, fills = Reason.NONE, book.head.fills
    for p in range(book.slot.shape[0]):
        if book.slot[p].trade < 0 or no_legs(book.slot[p]):
            continue
        reason = answer_slot(m, rules, limits, costs, book, out, answers, p, s, r)
        if reason == Reason.NONE and book.slot[p].event == r:
            reason = ask_slot(m, rules, limits, costs, book, out, resting, p, s, r)
        shown = reason if shown == Reason.NONE else shown
    missed = book.head.missed
    answer_entry(m, rules, limits, costs, book, out, answers, s, r)
    if book.head.fills > fills:
        book.head.margin = requirement(m, limits, book, book.head.order_legs, 0, -1, r)
    _, halted = book_rows(m, limits, book, out, r, r, r + 1)
    if halted != Reason.NONE:
        begin_halt(m, rules, limits, book, s, r, r, r + 1, halted)
    show_verdict(m, rules, limits, costs, book, out, s, r, first, last, outside, missed, shown)
