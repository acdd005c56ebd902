"""The coarse stage of a search: closed trades of one condor at a time, from tables of first passages.

Trials that differ in profit target, stop and time exits alone open the same structures wherever they become free on
the same row. For each such structure the row on which its price first passes every target and stop of the grid is
found once, a session at a time and no further than a trial asks; a trial is then a walk from trade to trade, three
look-ups each. It ranks trials by their closed trades: nothing here is marked, so drawdowns are those of closed results.
What survives is always run in full.

Exact on what it counts: tests/laws/test_coarse.py compares every trade count and cent with the engine's. Where a size
might be cut, an exercise comes first or the expiry is reached, it does not guess: such a trial is left unranked.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from backtest_engine import fill_entry, order_row
from core.assignment import is_exercised
from core.costs import fee_cents, net_cents
from core.jit import HOT, INNER, TOP, by_reference, njit
from core.portfolio import IDLE
from core.positions import settlement_row
from core.shared import forget_paths, last_session, stretch_of, take_path
from core.sweep import find, reset, timed_row
from core.types import (
    GATE,
    LEG_SIGN,
    LEGS,
    MULTIPLIER,
    NO_MARGIN,
    PHYSICAL_PM,
    SHORT_CALL,
    SHORT_PUT,
    Reason,
    dtype_of,
)
from options_strategy import profit_limit, put_to_work, stop_level
from strategies.sizing import budget_factor
from strategies.timing import first_at_least, window_rows

OPENED = [
    ("row", "i8"),  # of the fill
    ("day", "i8"),
    ("seen", "i8"),  # rows before it have been looked at
    ("end", "i8"),  # one past the last row of its life
    ("expiry", "i8"),
    ("credit", "i8"),
    ("width", "i8"),
    ("legs", "i8", (LEGS,)),
    ("mark2", "i8"),  # at its fill
    ("cash", "i8"),  # cents that its fill moved, fees included
    ("need", "i8"),  # cash below which it might be cut in size
    ("assigned", "i8"),  # first row of a session on whose eve a holder exercises; IDLE
]
LEVEL = [  # of a structure: a target, a stop or a rule of time
    ("price", "i4"),  # cost to close at natural, cents; none of a rule of time
    ("hit", "i4"),  # first row on which it asks; IDLE where none has been seen
    ("closed", "i4"),  # row on which what it asks for is filled; NOT_ASKED, IDLE, TOO_MANY
    ("net", "i4"),  # cents a share paid there
]
MOST_OPENED, MOST_LEVELS = 1 << 15, 1 << 24
PLENTY = 1 << 50  # cents
NOT_ASKED, NOTHING, TOO_MANY = -2, -1, -3
NET, COUNT, WON, LOST_CENTS, FALL, FILLS = range(6)  # of a trial's results
RESULTS = ("net_cents", "trades", "wins", "lost_cents", "closed_drawdown_cents", "fills")
UNRANKED = -1  # as COUNT
MIX, BITS = 6364136223846793005, (1 << 62) - 1  # Knuth's multiplier; what plain Python keeps of a product too


class Passages(NamedTuple):
    """Structures by the row of their fill, and when each first passes the levels of a grid."""

    used: Any  # int64 (1): structures so far
    opened: Any  # OPENED (M)
    following: Any  # int32 (N): the structure that a free slot opens next from a row on; NOT_ASKED, NOTHING, TOO_MANY
    level: Any  # LEVEL (M, levels): targets, then stops, then rules of time
    profit: Any  # float64 (A): profit_frac by level
    stop: Any  # float64 (B): stop_multiple
    dte: Any  # int64 (C): exit_dte and max_hold_days of each time rule
    hold: Any


def new_passages(rows: int, profit: Any, stop: Any, dte: Any, hold: Any) -> Passages:
    """Empty, for a market of so many rows and these levels; for fewer structures where the levels are many."""
    levels = len(profit) + len(stop) + len(dte)
    most = max(min(MOST_OPENED, MOST_LEVELS // levels), 1)
    return Passages(
        used=np.zeros(1, np.int64),
        opened=np.zeros(most, dtype_of(OPENED)).view(np.recarray),
        following=np.full(rows, NOT_ASKED, np.int32),
        level=np.zeros((most, levels), dtype_of(LEVEL)).view(np.recarray),
        profit=np.ascontiguousarray(profit, np.float64),
        stop=np.ascontiguousarray(stop, np.float64),
        dte=np.ascontiguousarray(dte, np.int64),
        hold=np.ascontiguousarray(hold, np.int64),
    )


@njit(**INNER)
def assigned_row(m, limits, slot, t1):
    """First row of the first session before which a short of this structure is exercised; IDLE."""
    if not limits.early_exercise or m.exp[slot.expiry].style != PHYSICAL_PM:
        return IDLE
    s, last = int(m.row[slot.opened].session) + 1, m.row[t1 - 1].session
    while s <= last and (m.exp[slot.expiry].session < 0 or s <= m.exp[slot.expiry].session):
        for leg in (SHORT_PUT, SHORT_CALL):
            if slot.legs[leg] >= 0 and is_exercised(m, slot.legs[leg], s, m.ses[s].start - 1):
                return m.ses[s].start
        s += 1
    return IDLE


@njit(**INNER)
def laid_stretch(m, rules, book, shared, this, s):
    """Index of session s of a structure's path, laid out in slot 0; -1 where all room does not hold it."""
    slot = book.slot[0]
    for _ in range(2):
        slot.expiry, slot.credit, slot.stock, slot.last_mid2 = this.expiry, this.credit, 0, this.mark2
        for leg in range(LEGS):
            slot.legs[leg] = this.legs[leg]
        path = take_path(m, shared, slot, this.row)
        if path >= 0:
            shared.lane[0].path = path
            k = stretch_of(m, rules, book, shared, 0, s)
            if k >= 0:
                return k
        forget_paths(shared)
    return -1


@njit(**HOT)
def passing_row(shared, shift, r, end, price, falls):
    """First row in [r, end) on which natural is at or beyond a price; IDLE. falls : at or below it."""
    for row in range(r, end):
        natural = shared.natural[row + shift]
        if shared.usable[row + shift] and (natural <= price if falls else natural >= price):
            return row
    return IDLE


@njit(**INNER)
def look_on(m, rules, book, shared, passages, k):
    """Look for the levels of structure k in the next session of its life; whether there was room."""
    this = passages.opened[k]
    s = int(m.row[this.seen].session)
    place = laid_stretch(m, rules, book, shared, this, s)
    if place < 0:
        return False
    stretch = shared.stretch[place]
    shift, end = stretch.at - stretch.start, min(stretch.end, this.end)
    a = passages.profit.size
    for j in range(a + passages.stop.size):
        level = passages.level[k, j]
        if level.hit == IDLE and (level.price >= stretch.low if j < a else level.price <= stretch.high):
            level.hit = passing_row(shared, shift, this.seen, end, level.price, j < a)
    this.seen = end
    return True


@njit(**INNER)
def set_levels(m, rules, passages, k, x, credit):
    """Prices of structure k's targets and stops, and the rows on which time alone makes it leave."""
    a, b = passages.profit.size, passages.profit.size + passages.stop.size
    for j in range(passages.level.shape[1]):
        level = passages.level[k, j]
        level.hit, level.closed = IDLE, NOT_ASKED
        if j < a:
            rules.profit_frac = passages.profit[j]
            level.price = profit_limit(credit, rules)
        elif j < b:
            level.price = stop_level(credit, passages.stop[j - a])
        else:
            rules.exit_dte, rules.max_hold_days = passages.dte[j - b], passages.hold[j - b]
            level.hit = timed_row(m, rules, x, passages.opened[k].row)


@njit(**INNER)
def note_opened(m, rules, limits, book, passages, r, paid, t1):
    """The structure just opened in slot 0 on row r, with its levels; its number, or TOO_MANY."""
    k, slot = passages.used[0], book.slot[0]
    if k >= passages.opened.shape[0] or slot.contracts != rules.contracts:
        return TOO_MANY
    this = passages.opened[k]
    this.row, this.day, this.seen = r, m.ses[m.row[r].session].day, r + 1
    this.expiry, this.credit, this.width, this.mark2 = slot.expiry, slot.credit, slot.width, slot.last_mid2
    for leg in range(LEGS):
        this.legs[leg] = slot.legs[leg]
    expires = m.exp[slot.expiry].session
    settles = settlement_row(m, expires, slot.expiry) if 0 <= expires < m.ses.shape[0] else IDLE
    this.end = min(m.ses[last_session(m, slot.expiry)].end, min(settles, t1))
    this.cash, this.assigned = paid, assigned_row(m, limits, slot, t1)
    factor = budget_factor(rules, m.signal, book.head.order_decided)
    lost = MULTIPLIER * slot.contracts * max(slot.width - min(slot.credit, book.head.order_credit), 0)
    # The budget is rounded down twice, to whole cents before and after the factor: two cents more are sure to reach it.
    this.need = int(math.ceil((lost + 2) / max(rules.max_risk_frac * factor, 1e-12))) + MULTIPLIER
    if limits.margin != NO_MARGIN:
        this.need = max(this.need, int(math.ceil(2 * MULTIPLIER * slot.contracts * slot.width / limits.power_share)))
    set_levels(m, rules, passages, k, slot.expiry, slot.credit)
    passages.used[0] = k + 1
    return k


@njit(**INNER)
def open_next(m, rules, limits, costs, book, blank, out, shared, passages, r, t1):
    """Number of the structure that a free slot opens next from row r on; NOTHING, or TOO_MANY."""
    while r < t1:
        s = int(m.row[r].session)
        first, last, _ = window_rows(m, rules, s)
        row, end = max(r, first), min(last, m.ses[s].end)
        while row < end:
            if m.gate[GATE, row] != 0 or not decide_alone(m, rules, costs, book, blank, out, shared, row):
                row += 1
                continue
            fill = order_row(m, book, row + 1, m.ses[s].end)
            if fill == IDLE:
                row = end
                continue
            if fill_entry(m, rules, limits, costs, book, out, fill) >= 0:
                return note_opened(m, rules, limits, book, passages, fill, book.head.cash - PLENTY, t1)
            row = fill
        r = m.ses[s].end
    return NOTHING


@njit(**INNER)
def decide_alone(m, rules, costs, book, blank, out, shared, r):
    """Put the candidate of row r to work in an empty book of plenty; whether there is one."""
    reset(book, out, PLENTY)
    found, head = shared.candidate[r], book.head
    if found.known == 0:
        find(m, rules, costs, blank, found, r)
    if found.expiry < 0 or found.verdict != Reason.ENTER:
        return False
    head.order_floor, head.order_width, head.order_credit = found.floor, found.width, found.credit
    head.order_natural2, head.order_mid2 = found.natural2, found.mid2
    for leg in range(LEGS):
        head.order_legs[leg] = found.legs[leg]
    return put_to_work(m, rules, head, r, PLENTY) == Reason.ENTER


@njit(**INNER)
def closing_fees(costs, slot_sides, contracts):
    """Cents to close all legs that a structure has."""
    fees = 0
    for leg in range(LEGS):
        if slot_sides[leg] != 0:
            fees += fee_cents(costs, -LEG_SIGN[leg], 0, contracts, True)
    return fees


@njit(**INNER)
def fill_exit(m, rules, costs, book, shared, this, level, resting):
    """Find the row and the net cents a share of the exit that a level asks for: it rests there, or is decided there.

    IDLE as the row where it is never filled; TOO_MANY without room.
    """
    row = level.hit if resting else level.hit + 1
    level.closed, level.net = IDLE, 0
    while row < this.end:
        place = laid_stretch(m, rules, book, shared, this, int(m.row[row].session))
        if place < 0:
            level.closed = TOO_MANY
            return
        stretch = shared.stretch[place]
        shift, end = stretch.at - stretch.start, min(stretch.end, this.end)
        while row < end:
            i = row + shift
            if shared.usable[i]:
                frac = 0.0 if resting else costs.close_frac
                net = net_cents(2 * shared.natural[i], shared.mid2[i], frac, costs.extra_cents)
                if net <= this.width:
                    level.closed, level.net = row, net
                    return
                if resting:
                    return
            row += 1


@njit(**HOT)
def mixed(sign, value):
    """A hash of all values so far with one more."""
    return ((sign ^ (sign >> 31)) * MIX + int(value)) & BITS


@njit(**TOP)
def coarse(m, rules, limits, costs, book, blank, out, shared, passages, sides, levels, start_cents, t0, t1, results):
    """Walk n trials from trade to trade over rows [t0, t1).

    rules : the record of the group, whose exits are overwritten; levels : int32 (n, 3): target, stop and time rule of
    each trial, as indices of passages.profit, stop, dte; sides : int64 (LEGS), 0 where the structure has no leg
    results : int64 (n, 6), see RESULTS; UNRANKED as the count where it would have to guess. `fills` is a hash of the
    structures opened and of the row and price of every close: trials that agree in it have the same ledger
    """
    m = by_reference(m)
    book, blank, out = by_reference(book), by_reference(blank), by_reference(out)
    shared, passages = by_reference(shared), by_reference(passages)
    a, b = passages.profit.size, passages.profit.size + passages.stop.size
    fees = closing_fees(costs, sides, rules.contracts)
    for trial in range(levels.shape[0]):
        target, stop, timed = levels[trial, 0], a + levels[trial, 1], b + levels[trial, 2]
        cash, peak, fall, trades, wins, lost, r, fills = start_cents, start_cents, 0, 0, 0, 0, t0, 0
        while r < t1:
            k = passages.following[r]
            if k == NOT_ASKED:
                k = open_next(m, rules, limits, costs, book, blank, out, shared, passages, r, t1)
                passages.following[r] = k
            if k == NOTHING:
                break
            this = passages.opened[k]
            if k == TOO_MANY or cash < this.need:
                trades = UNRANKED
                break
            gain, loss, late = passages.level[k, target], passages.level[k, stop], passages.level[k, timed]
            room = True
            while room and this.seen < this.end and min(gain.hit, loss.hit, late.hit) >= this.seen:
                room = look_on(m, rules, book, shared, passages, k)
            resting = gain.hit <= late.hit and gain.hit < loss.hit
            level = gain if resting else loss if loss.hit <= late.hit else late
            asks = level.hit < this.end
            if asks and level.closed == NOT_ASKED:
                fill_exit(m, rules, costs, book, shared, this, level, resting)
            if not room or (asks and level.closed == TOO_MANY):
                trades = UNRANKED
                break
            row, net = (level.closed, level.net) if asks else (IDLE, 0)
            fills = mixed(mixed(mixed(fills, k), row), net)
            if row >= this.assigned:  # IDLE too, open when the market ends
                trades = UNRANKED if min(this.assigned, this.end) < t1 or (asks and resting) else trades
                break
            pnl = this.cash - MULTIPLIER * rules.contracts * net - fees
            cash += pnl
            trades += 1
            wins += pnl > 0
            lost -= min(pnl, 0)
            peak = max(peak, cash)
            fall = max(fall, peak - cash)
            r = row
            wait = max(rules.min_days_between, 1)  # one entry a day
            if m.ses[m.row[row].session].day < this.day + wait:
                s = first_at_least(m.ses.day, 0, m.ses.shape[0], this.day + wait)
                r = m.ses[s].start if s < m.ses.shape[0] else t1
        results[trial, NET], results[trial, COUNT], results[trial, WON] = cash - start_cents, trades, wins
        results[trial, LOST_CENTS], results[trial, FALL], results[trial, FILLS] = lost, fall, fills
