"""Many trials in one compiled call: the pass of backtest_engine over marks that trials share.

A trial of a search writes no rows; it is asked for its trades, its equity by session and its deepest fall. So its pass
goes from event to event. The marks of a structure from its fill on (a path, core.shared) are laid out once, and serve
every trial that opens the same legs on the same row; what may be opened on a row (a candidate) is worked out once for
all trials that differ in exits, sizes and caps alone. Decisions, fills, fees, sizes, caps and the book are the engine's
own functions; what is written here is the clock: which row comes next, and how equity moved until then.
tests/laws/test_sweep.py holds it to the engine, cent for cent.

A pass for which no room is left ends early and says so; the caller gives that trial to the engine.
"""

from __future__ import annotations

from backtest_engine import decide_and_review, entry_gate, fill_entry, order_row, signal_gate, turn_day
from core.jit import HOT, INNER, TOP, by_reference, njit
from core.margin import requirement
from core.portfolio import IDLE
from core.positions import attend, judged_price, settlement_row
from core.risk_manager import halt, halted_row, note_result, review
from core.shared import before, keeps_path, leave_path, make_room, note_mark, stretch_of, take_path
from core.trials import BOUND, DEEPEST, DEEPEST_SHARE, trial_figures
from core.types import FLAT, LEGS, MID2, MULTIPLIER, NATURAL_CENTS, USABLE_ROW, Reason, T
from options_strategy import armed_below, fit_for_book, giveback_cents, put_to_work, wanted
from strategies.legs import holds_opposite
from strategies.timing import first_at_least, in_edge, last_session_to_leave, time_exit_row, window_rows

FOLLOWED, LEFT_TO_ENGINE = 1, 0


# ---------------------------------------------------------------- which row comes next


@njit(**INNER)
def timed_row(m, rules, x, opened):
    """First row after the fill on which time alone makes a structure leave; IDLE if none in the market."""
    first, begin = opened + 1, int(m.row[opened].session)
    day = m.exp[x].day - rules.exit_dte if rules.exit_dte > 0 else IDLE
    if rules.max_hold_days > 0:
        day = min(day, m.ses[begin].day + rules.max_hold_days)
    s = first_at_least(m.ses.day, begin, m.ses.shape[0], day)  # no session before it asks
    if rules.expiry_rule == FLAT and m.exp[x].session >= 0:
        s = min(s, max(begin, last_session_to_leave(m, x)))
    while s < m.ses.shape[0]:
        row, _ = time_exit_row(m, rules, s, x, opened)
        if row < m.ses[s].end and (row >= first or m.ses[s].decide == -1) and max(row, first) < m.ses[s].end:
            return max(row, first)
        s += 1
    return IDLE


@njit(**HOT)
def price_levels(rules, slot):
    """(low, high): natural strictly between them on a usable row asks slot for nothing and teaches it nothing.

    What a stop on two mids remembers (slot.above) is not in them.
    """
    if rules.trail_from <= 0.0:
        return slot.target, slot.stop
    if slot.best == IDLE:
        return max(slot.target, armed_below(slot.credit, slot.paid, rules)), slot.stop
    return max(slot.target, slot.best - 1), min(slot.stop, slot.best + giveback_cents(slot.credit, rules))


@njit(**INNER)
def price_row(m, rules, book, shared, p, r, last):
    """First row in [r, last) on which slot p's price makes it leave, or IDLE; -1 without room.

    Keeps what a stop on two mids and a trailing stop remember, up to the row before.
    """
    low, high = price_levels(rules, book.slot[p])
    path = shared.path[shared.lane[p].path]
    k = int(m.row[r].session) - path.session if r < last else 0
    while r < last:
        if k >= path.laid and stretch_of(m, rules, book, shared, p, path.session + k) < 0:
            return -1
        stretch = shared.stretch[path.first + k]
        end, shift = min(stretch.end, last), stretch.at - stretch.start
        if (low < stretch.low and stretch.high < high) and not book.slot[p].above:
            r = end
        while r < end:
            r = loud_row(shared, shift, r, end, low, high, book.slot[p].above)
            if r == end:
                break
            natural, mid2, usable = shared.natural[r + shift], shared.mid2[r + shift], shared.usable[r + shift]
            edge = in_edge(m, rules, path.session + k, r)
            reason, above, best = judged_price(rules, book.slot[p], natural, mid2, usable, edge)
            if reason != Reason.NONE:
                return r
            book.slot[p].above, book.slot[p].best = above, best
            low, high = price_levels(rules, book.slot[p])
            r += 1
        k += 1
    return IDLE


@njit(**HOT)
def loud_row(shared, shift, r, end, low, high, above):
    """First row in [r, end) on which natural is not strictly between the levels, or any usable one; end if none."""
    natural, usable = shared.natural[r + shift : end + shift], shared.usable[r + shift : end + shift]
    for j in range(natural.shape[0]):
        if usable[j] and (above or natural[j] <= low or natural[j] >= high):
            return r + j
    return end


@njit(**INNER)
def usable_row(m, rules, book, shared, p, r, last):
    """First row in [r, last) on which every leg of slot p is two-sided, or IDLE; -1 without room."""
    while r < last:
        s = int(m.row[r].session)
        k = stretch_of(m, rules, book, shared, p, s)
        if k < 0:
            return -1
        shift, end = shared.stretch[k].at - shared.stretch[k].start, min(m.ses[s].end, last)
        for row in range(r, end):
            if shared.usable[row + shift]:
                return row
        r = end
    return IDLE


@njit(**INNER)
def next_row(m, rules, book, shared, p, r, t1):
    """First row from r on at which slot p settles, fills or decides, IDLE if none before t1; -1 without room."""
    slot = book.slot[p]
    expires, last = m.exp[slot.expiry].session, t1
    if 0 <= expires < m.ses.shape[0]:
        settles = settlement_row(m, expires, slot.expiry)
        last = min(settles, t1) if settles >= r else t1  # what is left after it are shares
    first = max(r, slot.opened + 1)
    if slot.stock != 0:
        row = trading_row(m, max(first, slot.decided + 1), last)
    elif slot.closing != Reason.NONE:
        row = usable_row(m, rules, book, shared, p, max(first, slot.decided + 1), last)
    else:
        timed = min(max(shared.lane[p].timed, first), last)
        row = price_row(m, rules, book, shared, p, first, timed)
        if row == IDLE:
            row = timed
    return min(row, last) if min(row, last) < t1 else IDLE


@njit(**INNER)
def trading_row(m, r, last):
    """First row in [r, last) on which shares trade, or IDLE."""
    for row in range(r, last):
        if m.row[row].minute <= m.ses[m.row[row].session].close:
            return row
    return IDLE


@njit(**INNER)
def entry_row(m, rules, book, shared, s, r, r1, first, last):
    """First row in [r, r1) on which an entry is to be decided, or r1: rows known to offer nothing are passed over."""
    inside, entry = entry_gate(m, rules, book, s, max(r, first))
    if inside != Reason.ENTER:
        return r1
    known = shared.candidate.shape[0] > 0
    while first <= entry < min(last, r1):
        if signal_gate(m, book, entry) == 0:
            if not known:
                return entry
            found = shared.candidate[entry]
            nothing = found.expiry < 0 or (found.verdict != Reason.ENTER and not holds_any(found.legs, book))
            if found.known == 0 or not nothing:
                return entry
        entry += 1
    return r1


@njit(**INNER)
def holds_any(legs, book):
    """Whether any of these legs is held on the other side."""
    for leg in range(LEGS):
        if legs[leg] >= 0 and holds_opposite(book, book.slot.shape[0], leg, legs[leg]):
            return True
    return False


# ---------------------------------------------------------------- equity between the rows


@njit(**INNER)
def book_stretch(m, rules, limits, book, shared, s, a, b, extremes):
    """Equity over rows [a, b) of session s, on which the set of structures does not change.

    Returns (row after the last one booked, reason): a halt ends the stretch with the row that it begins on; -1
    without room. The rows are gone through only where bounds leave open whether the peak, the deepest fall or a halt
    lies among them.
    """
    head = book.head
    most = least = last = head.cash
    for p in range(book.slot.shape[0]):
        if book.slot[p].trade >= 0:
            k = stretch_of(m, rules, book, shared, p, s)
            if k < 0:
                return -1, Reason.NONE
            stretch, cents = shared.stretch[k], (MULTIPLIER // 2) * book.slot[p].contracts
            most -= cents * stretch.cheap
            least -= cents * stretch.dear
            last -= cents * (stretch.last if b == stretch.end else shared.mid2[stretch.at + b - 1 - stretch.start])
    quiet = most <= head.peak and head.peak - least <= extremes[DEEPEST]
    if limits.daily_loss_share > 0.0:
        quiet = quiet and least > head.day_equity * (1.0 - limits.daily_loss_share)
    if limits.drawdown_share > 0.0:
        quiet = quiet and most <= head.risk_peak and least > head.risk_peak * (1.0 - limits.drawdown_share)
    if quiet:
        head.equity = last
        return b, Reason.NONE
    return book_each_row(m, limits, book, shared, s, a, b, extremes)


@njit(**INNER)
def book_each_row(m, limits, book, shared, s, a, b, extremes):
    """book_stretch row by row."""
    head, n = book.head, b - a
    marks, halted = shared.marks[:n], Reason.NONE
    for j in range(n):
        marks[j] = 0
    for p in range(book.slot.shape[0]):
        if book.slot[p].trade >= 0:
            path = shared.path[shared.lane[p].path]
            stretch, cents = shared.stretch[path.first + s - path.session], (MULTIPLIER // 2) * book.slot[p].contracts
            at = stretch.at + a - stretch.start
            mid2 = shared.mid2[at : at + n]
            for j in range(n):
                marks[j] -= cents * mid2[j]
    if limits.daily_loss_share > 0.0 or limits.drawdown_share > 0.0:
        j, halted = watch(limits, book, shared, s, a, n)
        n = min(n, j + 1)
    peak, deepest, share, cash = head.peak, extremes[DEEPEST], extremes[DEEPEST_SHARE], head.cash
    for j in range(n):
        equity = cash + marks[j]
        peak = max(peak, equity)
        if peak - equity > deepest:
            deepest = peak - equity
            share = max(share, deepest / peak)
    head.peak, extremes[DEEPEST], extremes[DEEPEST_SHARE] = peak, deepest, share
    head.equity = cash + marks[n - 1]
    return a + n, halted


@njit(**INNER)
def watch(limits, book, shared, s, a, n):
    """halted_row of n rows from row a on, with what says whether each is marked by two-sided quotes."""
    soft = shared.soft[:n]
    for j in range(n):
        soft[j] = 0
    for p in range(book.slot.shape[0]):
        if book.slot[p].trade >= 0:
            path = shared.path[shared.lane[p].path]
            stretch = shared.stretch[path.first + s - path.session]
            at = stretch.at + a - stretch.start
            for j in range(n):
                soft[j] |= 1 - shared.usable[at + j]
    return halted_row(limits, book, shared.marks[:n], soft)


# ---------------------------------------------------------------- what happens on a row


@njit(**INNER)
def decide(m, rules, limits, costs, book, blank, shared, r):
    """decide_and_review at row r, with the candidate that trials share unless its legs would have to give way."""
    if shared.candidate.shape[0] == 0:
        decide_and_review(m, rules, limits, costs, book, r)
        return
    found, head = shared.candidate[r], book.head
    if found.known == 0:
        find(m, rules, costs, blank, found, r)
    if found.expiry < 0:
        return
    for leg in range(LEGS):
        head.order_legs[leg] = found.legs[leg]
    if holds_any(found.legs, book):
        verdict = fit_for_book(m, rules, costs, book, found.expiry, r)
    else:
        verdict = found.verdict
        head.order_floor, head.order_width, head.order_credit = found.floor, found.width, found.credit
        head.order_natural2, head.order_mid2 = found.natural2, found.mid2
    if verdict != Reason.ENTER or put_to_work(m, rules, head, r, head.equity) != Reason.ENTER:
        return
    if review(m, limits, costs, book, r, head.equity) != Reason.ENTER:
        head.order_working = 0


@njit(**INNER)
def find(m, rules, costs, blank, found, r):
    """Work out the candidate of row r with a book that holds nothing."""
    head = blank.head
    verdict, x = wanted(m, rules, costs, blank, r)
    found.known, found.expiry = 1, x if verdict == Reason.ENTER else -1
    for leg in range(LEGS):
        found.legs[leg] = head.order_legs[leg]
    if verdict == Reason.ENTER:
        verdict = fit_for_book(m, rules, costs, blank, x, r)
    found.verdict, found.floor, found.width = verdict, head.order_floor, head.order_width
    found.credit = head.order_credit
    found.natural2, found.mid2 = head.order_natural2, head.order_mid2


@njit(**INNER)
def show_row(book, shared, p, s, r):
    """Put slot p's prices of row r where the engine looks for them: first in its scratch."""
    path = shared.path[shared.lane[p].path]
    i = shared.stretch[path.first + s - path.session].at + r - shared.stretch[path.first + s - path.session].start
    book.path[MID2, p, 0], book.path[NATURAL_CENTS, p, 0] = shared.mid2[i], shared.natural[i]
    book.path[USABLE_ROW, p, 0], book.slot[p].clean = shared.usable[i], 0


@njit(**INNER)
def follow_slots(m, rules, book, shared, r, t1):
    """The next event of every open slot from row r on; 0 without room."""
    for p in range(book.slot.shape[0]):
        if book.slot[p].trade >= 0:
            row = next_row(m, rules, book, shared, p, r, t1)
            if row < 0:
                return 0
            book.slot[p].event = row
    return 1


@njit(**INNER)
def attend_slots(m, rules, limits, costs, book, out, shared, s, r, t1):
    """Everything that open structures do on row r; 0 if the pass cannot be followed on."""
    adjusted = book.head.adjustments
    for p in range(book.slot.shape[0]):
        if book.slot[p].trade < 0 or book.slot[p].event != r:
            continue
        if stretch_of(m, rules, book, shared, p, s) < 0:
            return 0
        show_row(book, shared, p, s, r)
        note_mark(shared, book, p, s, r)
        attend(m, rules, limits, costs, book, out, p, s, r, r)
        if book.slot[p].trade < 0:
            note_result(limits, book.head, out.t_int[book.head.closed_trade, T_PNL], m.ses[s].day)
            continue
        if book.head.adjustments > adjusted:
            adjusted = book.head.adjustments
            if not leave_path(m, shared, book, p, r):
                return 0
        row = next_row(m, rules, book, shared, p, r + 1, t1)
        if row < 0:
            return 0
        book.slot[p].event = row
    return 1


T_PNL = T["pnl"]


@njit(**INNER)
def open_lane(m, rules, limits, costs, book, out, shared, r, t1):
    """Try the working entry on row r and follow what it opens; 0 without room."""
    p = fill_entry(m, rules, limits, costs, book, out, r)
    if p < 0:
        return 1
    path = take_path(m, shared, book.slot[p], r)
    if path < 0:
        return 0
    shared.lane[p].path = path
    shared.lane[p].timed = timed_row(m, rules, book.slot[p].expiry, r)
    row = next_row(m, rules, book, shared, p, r + 1, t1)
    book.slot[p].event = row
    return 1 if row >= 0 else 0


@njit(**INNER)
def stop_trading(m, rules, limits, book, shared, s, r, t1, reason):
    """A halt begins at row r; 0 without room."""
    halt(m, limits, book, s, r, reason)
    return follow_slots(m, rules, book, shared, r + 1, t1) if limits.halt_closes else 1


@njit(**INNER)
def eventful_row(m, rules, limits, costs, book, blank, out, shared, s, r, t1, first, last, extremes):
    """Everything on one row, in the engine's order: settle, fill, mark, exits, entries; 0 if it cannot be followed."""
    head = book.head
    fills = head.fills
    if not attend_slots(m, rules, limits, costs, book, out, shared, s, r, t1):
        return 0
    filling = order_row(m, book, r, r + 1) == r
    if filling and not open_lane(m, rules, limits, costs, book, out, shared, r, t1):
        return 0
    if head.fills > fills:
        head.margin = requirement(m, limits, book, head.order_legs, 0, -1, r)
        extremes[BOUND] = max(extremes[BOUND], head.margin)
    end, halted = book_stretch(m, rules, limits, book, shared, s, r, r + 1, extremes)
    if end < 0:
        return 0
    if halted != Reason.NONE and not stop_trading(m, rules, limits, book, shared, s, r, t1, halted):
        return 0
    if first <= r < last:
        verdict, row = entry_gate(m, rules, book, s, r)
        if verdict == Reason.ENTER and row == r and signal_gate(m, book, r) == 0 and head.halt == Reason.NONE:
            decide(m, rules, limits, costs, book, blank, shared, r)
    return 1


@njit(**INNER)
def session_rows(m, rules, limits, costs, book, blank, out, shared, s, r, t1, extremes):
    """One session from its first row r on; 0 if it cannot be followed."""
    head, r1 = book.head, m.ses[s].end
    halted = head.halt
    for p in range(book.slot.shape[0]):
        if book.slot[p].trade >= 0:
            path = shared.path[shared.lane[p].path]
            book.slot[p].last_mid2 = before(shared, path, s)
    turn_day(m, limits, costs, book, out, s, r)
    for p in range(book.slot.shape[0]):
        changed = book.slot[p].trade >= 0 and not keeps_path(shared, book.slot[p], p)
        if changed and not leave_path(m, shared, book, p, r):
            return 0
        if book.slot[p].trade >= 0 and (book.slot[p].stock != 0 or book.slot[p].decided == r):
            row = next_row(m, rules, book, shared, p, r, t1)
            if row < 0:
                return 0
            book.slot[p].event = row
    if head.halt == Reason.KILLED and halted != Reason.KILLED and not follow_slots(m, rules, book, shared, r, t1):
        return 0
    if is_quiet(m, rules, book, s, r, r1):
        end, halted = book_stretch(m, rules, limits, book, shared, s, r, r1, extremes)
        if end < 0 or halted == Reason.NONE:
            return end >= 0
        if not stop_trading(m, rules, limits, book, shared, s, end - 1, t1, halted):
            return 0
        r = end
    first, last, _ = window_rows(m, rules, s)
    while r < r1:
        stop = min(order_row(m, book, r, r1), entry_row(m, rules, book, shared, s, r, r1, first, last), r1)
        for p in range(book.slot.shape[0]):
            if book.slot[p].trade >= 0:
                stop = min(stop, book.slot[p].event)
        if r < stop:
            end, halted = book_stretch(m, rules, limits, book, shared, s, r, stop, extremes)
            if end < 0:
                return 0
            if halted != Reason.NONE:
                if not stop_trading(m, rules, limits, book, shared, s, end - 1, t1, halted):
                    return 0
                r = end
                continue
        if stop < r1 and not eventful_row(
            m, rules, limits, costs, book, blank, out, shared, s, stop, t1, first, last, extremes
        ):
            return 0
        r = min(stop + 1, r1)
    return 1


@njit(**INNER)
def is_quiet(m, rules, book, s, r, r1):
    """Whether nothing can happen in session s but a halt: no slot has an event and none is free."""
    for p in range(book.slot.shape[0]):
        if book.slot[p].trade >= 0 and book.slot[p].event < r1:
            return False
    return entry_gate(m, rules, book, s, r)[0] != Reason.ENTER


@njit(**INNER)
def reset(book, out, start_cents):
    """The book as new_book makes it, and the trades of the last run gone."""
    head = book.head
    for i in range(head.trades):
        for j in range(out.t_int.shape[1]):
            out.t_int[i, j] = 0
    head.cash = head.peak = head.equity = head.day_equity = head.risk_peak = start_cents
    head.session = head.last_entry = head.interest_day = head.breach_session = head.edge_session = -1
    head.trades = head.fills = head.missed = head.new_today = head.script = head.adjustments = head.closed_trade = 0
    head.halt = head.halt_day = head.losses = head.pause_until = head.margin = head.need = head.room = 0
    head.cool_until = head.won = head.lost = head.won_cents = head.lost_cents = head.due = 0
    head.edge_expiry = head.order_working = head.order_tries = head.order_floor = head.shares = 0
    for p in range(book.slot.shape[0]):
        book.slot[p].trade, book.slot[p].event = -1, IDLE
        for leg in range(LEGS):
            book.slot[p].legs[leg] = -1


@njit(**INNER)
def follow(m, rules, limits, costs, book, blank, out, shared, t0, t1, day_equity, extremes):
    """One trial over rows [t0, t1), whole sessions: equity at each one's end, and its extremes; 0 if not followed."""
    sessions = m.row[t1 - 1].session + 1
    begin = int(m.row[t0].session)
    for i in range(extremes.shape[0]):
        extremes[i] = 0.0
    for s in range(begin, sessions):
        r = m.ses[s].start
        if not session_rows(m, rules, limits, costs, book, blank, out, shared, s, r, t1, extremes):
            return LEFT_TO_ENGINE
        day_equity[s - begin] = book.head.equity
    return FOLLOWED


@njit(**TOP)
def sweep(m, rules, limits, costs, book, blank, out, shared, t0, t1, starts, cash_returns, chain, worst, extremes,
          day_equity, figures, followed):  # fmt: skip
    """Run n trials over rows [t0, t1); the market's columns and the costs are the same for all.

    rules, limits : records (n); starts : int64 (n) cents; day_equity : int64 (n, sessions); figures : float64 (n, K),
    see core.trials; followed : uint8 (n), 0 where the engine has to run the trial. book and out are scratch, blank is
    a book in which nothing is ever held; the rest is what trial_figures asks for.
    """
    m = by_reference(m)
    book, blank, out, shared = by_reference(book), by_reference(blank), by_reference(out), by_reference(shared)
    for i in range(rules.shape[0]):
        reset(book, out, starts[i])
        make_room(shared)
        followed[i] = follow(m, rules[i], limits[i], costs, book, blank, out, shared, t0, t1, day_equity[i], extremes)
        if followed[i]:
            trades, fees = book.head.trades, 0
            for trade in range(trades):
                fees += out.t_int[trade, T_FEES]
            trial_figures(
                m.ses.day, m.row.session, t1 - t0, t1, out.t_int, trades, fees, day_equity[i], starts[i],
                cash_returns, extremes, chain, worst, figures[i],
            )  # fmt: skip


T_FEES = T["fees"]
