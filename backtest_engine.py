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
from core.exposure import GREEKS, book_greeks
from core.jit import HOT, INNER, njit
from core.market.calendar import day_text
from core.market.store import Store, empty_market, market_of, rows_between
from core.portfolio import (
    IDLE,
    T_KEY,
    T_OVERSHOOT,
    T_PNL,
    USABLE,
    close_slot,
    credit_interest,
    fill_kind,
    fill_legs,
    is_usable,
    mark_slot,
    new_book,
    new_ledger,
    note_open,
    open_count,
    open_slot,
    record,
    settle_slot,
)
from core.quotes import leg_rows
from core.types import (
    ASK,
    BID,
    CALL,
    CASH,
    CASH_AM,
    DRAWDOWN,
    EVENT_FILL,
    FLAG,
    FRACTION,
    GOOD,
    LEGS,
    LIQUIDATION,
    MARKS,
    MID2,
    MULTIPLIER,
    NATURAL_CENTS,
    OPEN_MINUTE,
    PHYSICAL_PM,
    PUT,
    SCRIPT,
    SETTLE,
    SHORT_CALL,
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
    exit_code,
    leg_quotes,
    profit_limit,
    propose,
    rules_from,
    set_sides,
    size,
    stop_level,
    time_exit_row,
    wider_wing,
    window_rows,
)
from strategies.structures import STRUCTURES

# ---------------------------------------------------------------- what comes next


@njit(**HOT)
def settlement_row(m, s, expiry):
    """Row of session s at which an expiry settles, or IDLE if it is another session's."""
    if m.exp[expiry].session != s:
        return IDLE
    row = m.ses[s].start if m.exp[expiry].style == CASH_AM else m.ses[s].end - 1
    return row if m.row[row].ts >= m.exp[expiry].ts else IDLE  # a market that ends at noon settles nothing


@njit(**INNER)
def in_edge(m, rules, s, r):
    """Whether row r lies in the first or last minutes of its session; never where quotes come once a day."""
    if m.ses[s].decide != -1:
        return False
    minute = m.row[r].minute
    return minute <= OPEN_MINUTE + rules.edge_minutes or minute > m.ses[s].close - rules.edge_minutes


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
    """(reason, above) of slot p's price on row r; r0 is the row of the scratch's first element."""
    j = r - r0
    slot = book.slot[p]
    usable = is_usable(book, p, j)
    edge = in_edge(m, rules, s, r)
    return exit_code(
        book.path[NATURAL_CENTS, p, j], book.path[MID2, p, j], usable, slot.above, edge, slot.credit, rules
    )


@njit(**HOT)
def price_event(m, rules, book, p, s, r0, r, r1):
    """First row in [r, r1) on which slot p's price makes it leave, or IDLE; keeps `above` up to there.

    r0 is the row of the scratch arrays' first element.
    """
    credit = book.slot[p].credit
    if r >= r1:
        return IDLE
    level = stop_level(credit, rules)
    if quiet_prices(book, p, r - r0, r1 - r0, profit_limit(credit, rules), level):
        if book.slot[p].above:  # natural below the stop, so every mid is too; mids at the edges count for nothing
            for row in range(r, r1):
                if not in_edge(m, rules, s, row):
                    book.slot[p].above = 0
        return IDLE
    for row in range(r, r1):
        reason, above = price_reason(m, rules, book, p, s, r0, row)
        if reason != Reason.NONE:
            return row
        book.slot[p].above = above
    return IDLE


@njit(**INNER)
def next_event(m, rules, book, p, s, r0, r, r1):
    """First row in [r, r1) at which slot p settles, fills or decides; IDLE if none."""
    x = book.slot[p].expiry
    row = settlement_row(m, s, x)
    if row < r:
        row = IDLE
    first = max(r, book.slot[p].opened + 1)
    if book.slot[p].closing != Reason.NONE:
        for later in range(max(first, book.slot[p].decided + 1), r1):
            if is_usable(book, p, later - r0):
                return min(row, later)
        return row
    if rules.enter:
        timed, _ = time_exit_row(m, rules, s, x, book.slot[p].opened)
        if timed >= first:
            row = min(row, timed)
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
    legs = book.head.order_legs
    good = leg_quotes(m, legs, r, book.head.quote_bid, book.head.quote_ask, book.leg)
    book.head.order_tries += 1
    if good:
        set_sides(legs, book.head.side, 0)
        natural2, mid2 = package(costs, book.head.side, book.head.quote_bid, book.head.quote_ask)
        if costs.order_type == FRACTION:
            net = net_cents(natural2, mid2, costs.open_frac, costs.extra_cents)
            filled = -net >= book.head.order_floor
        else:  # a limit set on the quotes last seen; it fills at its own price once natural reaches it
            net = limit_cents(costs, book.head.order_natural2, book.head.order_mid2, book.head.order_tries)
            filled = natural2 <= 2 * net and -net >= book.head.order_floor
            book.head.order_natural2, book.head.order_mid2 = natural2, mid2
            if filled:  # at natural where that is better than the limit, never better than mid
                net = max(min(net, net_cents(natural2, mid2, 0.0, costs.extra_cents)), int(np.ceil(mid2 / 2.0)))
        # The credit that was hoped for sized the order; the risk budget holds for the one that is paid.
        head = book.head
        contracts = size(head.order_contracts, head.order_width, -net, head.order_budget)
        if filled and contracts > 0:
            head.order_working = 0
            p = open_slot(m, book, out, r, head.order_decided, legs, contracts, -net, head.order_width, -1)
            trade = book.slot[p].trade
            fill_legs(m, costs, book, out, r, trade, legs, head.side, contracts, net, False, Reason.ENTER)
            if head.last_entry < 0 or m.row[r].session != m.row[head.last_entry].session:
                head.new_today = 0
            head.new_today += 1
            head.last_entry = r
            return p
    if costs.order_type == FRACTION or book.head.order_tries >= costs.order_life:
        book.head.order_working = 0
        book.head.missed += 1
    return -1


@njit(**INNER)
def fill_close(m, costs, book, out, p, r, reason):
    """Try to buy slot p back on row r; 1 if it filled. Never bids above the wider vertical's width.

    A stop and the resting profit order pay natural less the fill model's improvement; a time exit
    under the limit model walks from mid to natural first.
    """
    legs = book.slot[p].legs
    if not leg_quotes(m, legs, r, book.head.quote_bid, book.head.quote_ask, book.leg):
        return 0
    set_sides(legs, book.head.side, 1)
    natural2, mid2 = package(costs, book.head.side, book.head.quote_bid, book.head.quote_ask)
    frac = 0.0 if reason == Reason.PROFIT_TARGET else costs.close_frac
    net = net_cents(natural2, mid2, frac, costs.extra_cents)
    if costs.order_type != FRACTION and reason not in (Reason.PROFIT_TARGET, Reason.STOP):
        book.slot[p].tries += 1
        slot = book.slot[p]
        if slot.tries <= costs.limit_steps and slot.seen_natural2 != 0:
            limit = limit_cents(costs, slot.seen_natural2, slot.seen_mid2, slot.tries)
            slot.seen_natural2, slot.seen_mid2 = natural2, mid2
            if natural2 > 2 * limit:
                return 0
            net = max(min(net, limit), int(np.ceil(mid2 / 2.0)))
        slot.seen_natural2, slot.seen_mid2 = natural2, mid2
    if net > book.slot[p].width:
        return 0
    trade = book.slot[p].trade
    fill_legs(m, costs, book, out, r, trade, legs, book.head.side, book.slot[p].contracts, net, True, reason)
    if reason == Reason.STOP:
        out.t_int[trade, T_OVERSHOOT] = net - out.t_int[trade, T_OVERSHOOT]
    close_slot(book, out, p, r, net, reason)
    return 1


@njit(**INNER)
def decide_exit(m, rules, book, out, p, s, r0, r):
    """Exit decision of slot p at row r: a reason and a working close, or NONE."""
    timed, why = time_exit_row(m, rules, s, book.slot[p].expiry, book.slot[p].opened)
    j = r - r0
    reason, above = price_reason(m, rules, book, p, s, r0, r)
    book.slot[p].above = above
    if reason != Reason.STOP:
        reason = why if timed == r else Reason.NONE
    if reason == Reason.NONE:
        return reason
    book.slot[p].closing, book.slot[p].decided, book.slot[p].tries = reason, r, 0
    book.slot[p].seen_natural2, book.slot[p].seen_mid2 = 2 * book.path[NATURAL_CENTS, p, j], book.path[MID2, p, j]
    if reason == Reason.STOP:
        out.t_int[book.slot[p].trade, T_OVERSHOOT] = stop_level(book.slot[p].credit, rules)
    return reason


@njit(**INNER)
def attend(m, rules, costs, book, out, p, s, r0, r):
    """Slot p's event at row r: settle, fill, or decide; returns the reason to show for the row."""
    if settlement_row(m, s, book.slot[p].expiry) == r:
        settle_slot(m, book, out, p, r)
        return Reason.SETTLED
    if book.slot[p].closing != Reason.NONE:
        reason = book.slot[p].closing
        if r > book.slot[p].decided and fill_close(m, costs, book, out, p, r, reason):
            return reason
        return Reason.CLOSE_WORKING
    j = r - r0
    if is_usable(book, p, j) and book.path[NATURAL_CENTS, p, j] <= profit_limit(book.slot[p].credit, rules):
        book.slot[p].decided = book.slot[p].opened  # the order has been resting since the entry filled
        if fill_close(m, costs, book, out, p, r, Reason.PROFIT_TARGET):
            return Reason.PROFIT_TARGET
    return decide_exit(m, rules, book, out, p, s, r0, r)


@njit(**INNER)
def replay(m, costs, book, out, script, r, r0, r1, s, rules):
    """Book the stated orders of row r at their stated prices."""
    k = book.head.script
    while k < script.shape[0] and script[k].row == r:
        legs = script[k].legs
        set_sides(legs, book.head.side, 0 if script[k].opens else 1)
        net2 = 0
        for leg in range(LEGS):
            net2 += book.head.side[leg] * script[k].price2[leg]
        slot = -1
        if script[k].opens:
            width = wider_wing(m, legs)
            slot = open_slot(m, book, out, r, r, legs, script[k].contracts, -net2 // 2, width, script[k].key)
        else:
            for p in range(book.slot.shape[0]):
                if book.slot[p].trade >= 0 and out.t_int[book.slot[p].trade, T_KEY] == script[k].key:
                    slot = p
        if slot >= 0:
            stated_fills(m, costs, book, out, script, k, slot, r)
            if not script[k].opens:
                book.slot[slot].decided = r
                close_slot(book, out, slot, r, net2 // 2, Reason.STATED)
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
def quiet_verdicts(out, r, r_end, first, last, inside, outside):
    """Reasons of rows on which no entry was proposed."""
    low, high = min(max(first, r), r_end), max(min(last, r_end), r)
    out.codes[VERDICT, r:low] = outside
    out.codes[VERDICT, low:high] = inside
    out.codes[VERDICT, max(low, high) : r_end] = outside


@njit(**INNER)
def busy_row(m, rules, costs, book, out, script, s, r0, r, r1, first, last, outside):
    """Everything on one eventful row, in the order settle, fill, mark, exits, entries."""
    shown = Reason.NONE
    for p in range(book.slot.shape[0]):
        if book.slot[p].trade >= 0 and book.slot[p].event == r:
            reason = attend(m, rules, costs, book, out, p, s, r0, r)
            shown = reason if shown == Reason.NONE else shown
            if book.slot[p].trade >= 0:
                book.slot[p].event = next_event(m, rules, book, p, s, r0, r + 1, r1)
    missed = book.head.missed
    if order_row(m, book, r, r + 1) == r:
        p = fill_entry(m, rules, costs, book, out, r)
        if p >= 0:
            mark_slot(m, book, p, r, r1)
            shift_marks(book, p, r - r0, r1 - r)
            book.slot[p].event = next_event(m, rules, book, p, s, r0, r + 1, r1)
    replay(m, costs, book, out, script, r, r0, r1, s, rules)
    book_rows(m, book, out, r0, r, r + 1)
    verdict = outside
    if first <= r < last:
        verdict, row = entry_gate(m, rules, book, s, r)
        if verdict == Reason.ENTER:
            equity = out.rows[CASH, r] + out.rows[MARKS, r]
            verdict = propose(m, rules, costs, book, r, equity) if row == r else Reason.SCHEDULE
    if book.head.missed > missed and verdict != Reason.ENTER:
        verdict = Reason.MISSED
    out.codes[VERDICT, r] = shown if shown != Reason.NONE and verdict != Reason.ENTER else verdict


@njit(**INNER)
def shift_marks(book, p, by, n):
    """Move marks laid out from the slot's own first row to where the session's scratch begins."""
    for j in range(n - 1, -1, -1):
        book.path[MID2, p, j + by] = book.path[MID2, p, j]
        book.path[NATURAL_CENTS, p, j + by] = book.path[NATURAL_CENTS, p, j]
        book.path[USABLE_ROW, p, j + by] = book.path[USABLE_ROW, p, j]


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
        if costs.interest:
            credit_interest(m, book, out, s, r0)
    for p in range(book.slot.shape[0]):
        if book.slot[p].trade >= 0:
            mark_slot(m, book, p, r0, r1)
            book.slot[p].event = next_event(m, rules, book, p, s, r0, r0, r1)
    first, last, outside = window_rows(m, rules, s)
    if not rules.enter:
        outside = Reason.SCRIPTED
    r = r0
    while r < r1:
        inside, entry = entry_gate(m, rules, book, s, max(r, first))
        if inside == Reason.ENTER:
            inside = Reason.SCHEDULE  # rows before the next allowed entry
        if entry < first or entry >= last:
            entry = IDLE
        stop = min(entry, order_row(m, book, r, r1), script_row(book, script, r1), r1)
        for p in range(book.slot.shape[0]):
            if book.slot[p].trade >= 0:
                stop = min(stop, book.slot[p].event)
        book_rows(m, book, out, r0, r, stop)
        quiet_verdicts(out, r, stop, first, last, inside, outside)
        if stop >= r1:
            break
        busy_row(m, rules, costs, book, out, script, s, r0, stop, r1, first, last, outside)
        r = stop + 1


@njit
def run_rows(m, rules, costs, book, out, script, t0, t1):
    """Advance the book over rows [t0, t1): the whole market at once, or one bar at a time."""
    r = t0
    while r < t1:
        s = m.row[r].session
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
    return sessions * per_day + orders + 1


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
    out = new_ledger(len(market.row.ts), capacity(config, len(market.ses), len(orders)))
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
    none = np.zeros(0, np.int64)
    book_greeks(market, none, none, none, none, none, none, np.zeros((0, len(GREEKS))))
