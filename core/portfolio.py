"""The book: a fold over fills, fees, settlements and interest. cash + marks = equity, always.

All money is integer cents. A structure's mark is what closing it at mid would cost; its
liquidation value uses the natural side. One structure occupies one slot of the book; legs that
were closed before the rest leave their place empty (-1). Shares of the hedge belong to the book,
not to a structure.
"""

from __future__ import annotations

import math

import numpy as np

from core.costs import allocate, fee_cents
from core.jit import HOT, INNER, njit
from core.quotes import dense_rows, leg_rows
from core.types import (
    ADJUSTMENT_FIELDS,
    ALL_LEGS,
    ASK,
    BAD_UNMARKED,
    BID,
    CALL,
    EVENT_FILL,
    EVENT_HEDGE,
    EVENT_INTEREST,
    EVENT_SETTLEMENT,
    FILL_FIELDS,
    FLAG,
    GOOD,
    HEAD,
    KIND_SETTLEMENT,
    KIND_SURFACE,
    LEG_SIGN,
    LEGS,
    LONG_CALL,
    LONG_PUT,
    MID2,
    MODEL,
    MULTIPLIER,
    NATURAL_CENTS,
    ROLL,
    ROLL_CALL,
    SHORT_ASK,
    SHORT_CALL,
    SHORT_PUT,
    SIDE_NATURAL,
    SIDE_USABLE,
    SLOT,
    SMILE_LEGS,
    TABLE,
    TRADE_FIELDS,
    USABLE_ROW,
    Book,
    Ledger,
    Reason,
    T,
    dtype_of,
)

(F_ROW, F_TRADE, F_EVENT, F_LEG, F_CONTRACT, F_QUANTITY, F_PRICE2, F_BID, F_ASK, F_FEE, F_SNAP, F_KIND, F_REASON) = (
    range(len(FILL_FIELDS))
)
A_ROW, A_DECIDED, A_TRADE, A_PART, A_REASON, A_CONTRACTS, A_NET, A_SHORT, A_LONG = range(len(ADJUSTMENT_FIELDS))
T_OPENED, T_DECIDED, T_EXPIRY, T_LEG0 = T["opened"], T["decided"], T["expiry"], T["leg0"]
T_CONTRACTS, T_CREDIT, T_WIDTH, T_FEES = T["contracts"], T["credit"], T["width"], T["fees"]
T_CLOSED, T_EXIT_DECIDED, T_DEBIT, T_REASON = T["closed"], T["exit_decided"], T["debit"], T["reason"]
T_PNL, T_MAE, T_MFE, T_MAX_LOSS, T_OVERSHOOT = T["pnl"], T["mae"], T["mfe"], T["max_loss"], T["overshoot"]
T_KINDS, T_MARK, T_KEY = T["kinds"], T["mark"], T["key"]
T_CAMPAIGN, T_FLOOR = T["campaign"], T["floor"]
PATHS = 9
IDLE = 1 << 30
UNKNOWN, USABLE, MARKED = 0, 1, 2  # of a structure on a row: no mark | all legs two-sided | a mark only


def new_book(starting_cash_cents: int, slots: int, rows_per_session: int) -> Book:
    """An empty book with scratch space for sessions of so many rows."""
    width = max(rows_per_session, 2)
    head = np.zeros(1, dtype_of(HEAD)).view(np.recarray)
    head.cash = head.peak = head.equity = head.day_equity = head.risk_peak = starting_cash_cents
    head.session = head.last_entry = head.interest_day = -1
    head.breach_session = head.edge_session = -1
    slot = np.zeros(slots, dtype_of(SLOT)).view(np.recarray)
    slot.trade, slot.event = -1, IDLE
    slot.legs = -1
    return Book(
        head=head[0],
        slot=slot,
        path=np.zeros((PATHS, slots + 1, width), np.int32),
        leg=np.zeros((3, width), np.int32),
    )


def new_ledger(rows: int, trades: int, adjustments: int = 0, smile_hedges: int = 0) -> Ledger:
    """Room for a run's output: `rows` clock rows, and structures, adjustments and hedges with their cash events."""
    fills = trades * 2 * LEGS + adjustments * LEGS + rows + 8  # at most one fill of shares or interest a row
    fills += smile_hedges * 2 * SMILE_LEGS
    return Ledger(
        rows=np.zeros((5, rows), np.int64),
        codes=np.zeros((2, rows), np.uint8),
        t_int=np.zeros((trades, len(TRADE_FIELDS)), np.int64),
        f_int=np.zeros((fills, len(FILL_FIELDS)), np.int64),
        a_int=np.zeros((adjustments, len(ADJUSTMENT_FIELDS)), np.int64),
    )


@njit(**INNER)
def record(book, out, row, trade, event, leg, contract, quantity, price2, bid, ask, fee, snap, kind, reason):
    """Append one cash event and move the cash: quantity > 0 buys (pays), < 0 sells (receives)."""
    n = book.head.fills
    f = out.f_int[n]
    f[F_ROW], f[F_TRADE], f[F_EVENT], f[F_LEG], f[F_CONTRACT] = row, trade, event, leg, contract
    f[F_QUANTITY], f[F_PRICE2], f[F_BID], f[F_ASK], f[F_FEE] = quantity, price2, bid, ask, fee
    f[F_SNAP], f[F_KIND], f[F_REASON] = snap, kind, reason
    book.head.fills = n + 1
    amount = -quantity * price2 * (MULTIPLIER // 2) - fee
    book.head.cash += amount
    if trade >= 0:
        out.t_int[trade, T_PNL] += amount
        out.t_int[trade, T_FEES] += fee


@njit(**INNER)
def record_money(book, out, row, trade, event, cents, snap):
    """Append an amount of money, paid if positive, and move the cash and the trade's result (trade -1: none)."""
    side = 1 if cents > 0 else -1
    f = out.f_int[book.head.fills]
    f[:] = 0
    f[F_ROW], f[F_TRADE], f[F_EVENT], f[F_LEG], f[F_CONTRACT] = row, trade, event, -1, -1
    f[F_QUANTITY], f[F_PRICE2], f[F_SNAP], f[F_KIND] = side, 2 * abs(cents), snap, KIND_SETTLEMENT
    book.head.fills += 1
    book.head.cash -= cents
    if trade >= 0:
        out.t_int[trade, T_PNL] -= cents


@njit(**INNER)
def record_shares(book, out, row, trade, event, shares, price, bid, ask, snap, kind, reason):
    """Append shares bought (> 0) or sold at `price` cents; moves the cash and the trade's result (trade -1: none)."""
    f = out.f_int[book.head.fills]
    f[:] = 0
    f[F_ROW], f[F_TRADE], f[F_EVENT], f[F_LEG], f[F_CONTRACT] = row, trade, event, -1, -1
    f[F_QUANTITY], f[F_PRICE2], f[F_BID], f[F_ASK] = shares, 2 * price, bid, ask
    f[F_SNAP], f[F_KIND], f[F_REASON] = snap, kind, reason
    book.head.fills += 1
    book.head.cash -= shares * price
    if trade >= 0:
        out.t_int[trade, T_PNL] -= shares * price


@njit(**INNER)
def fill_kind(m, r):
    """Where a fill's quotes come from on row r."""
    return m.quote_kind if m.row[r].quoted else KIND_SURFACE


@njit(**INNER)
def deal_of(head, legs, part, closing):
    """Lay out the package that opens `legs` or closes the `part` of them that is there: contracts, legs and sides."""
    for leg in range(LEGS):
        there = legs[leg] >= 0 and (part >> leg) & 1
        head.deal_legs[leg], head.deal_leg[leg] = (legs[leg] if there else -1), leg
        head.side[leg] = 0 if not there else (-LEG_SIGN[leg] if closing else LEG_SIGN[leg])


@njit(**INNER)
def roll_deal(head, slot, right):
    """Lay out the package that closes side `right` of a slot and opens its new_legs: four legs in one order."""
    short, long = (SHORT_PUT, LONG_PUT) if right != CALL else (SHORT_CALL, LONG_CALL)
    head.deal_legs[0], head.deal_leg[0], head.side[0] = slot.legs[short], short, 1
    head.deal_legs[1], head.deal_leg[1], head.side[1] = slot.legs[long], long, -1
    head.deal_legs[2], head.deal_leg[2], head.side[2] = slot.new_legs[0], short, -1
    head.deal_legs[3], head.deal_leg[3], head.side[3] = slot.new_legs[1], long, 1


@njit(**INNER)
def fill_deal(m, costs, book, out, r, trade, contracts, net, reason):
    """Book the package laid out in the head at `net` cents (positive: we pay), leg by leg, with its fees."""
    head = book.head
    allocate(costs, head.side, head.quote_bid, head.quote_ask, net, head.price2)
    kind = fill_kind(m, r)
    for i in range(LEGS):
        side, leg = head.side[i], head.deal_leg[i]
        if side == 0:
            continue
        price2 = head.price2[i]
        fee = fee_cents(costs, side, price2, contracts, side != LEG_SIGN[leg])
        record(
            book, out, r, trade, EVENT_FILL, leg, head.deal_legs[i], side * contracts, price2,
            head.quote_bid[i], head.quote_ask[i], fee, m.row[r].snap, kind, reason,
        )  # fmt: skip
    out.t_int[trade, T_KINDS] |= 1 << kind


@njit(**INNER)
def free_slot(book):
    for p in range(book.slot.shape[0]):
        if book.slot[p].trade < 0:
            return p
    return -1


@njit(**HOT)
def open_count(book):
    count = 0
    for p in range(book.slot.shape[0]):
        if book.slot[p].trade >= 0:
            count += 1
    return count


@njit(**INNER)
def open_slot(m, book, out, r, decided, legs, contracts, credit, width, key, campaign):
    """Give a new structure a slot and a trade number; returns the slot. campaign -1: it starts one of its own."""
    p = free_slot(book)
    trade = book.head.trades
    book.head.trades = trade + 1
    x = -1
    for leg in range(LEGS):
        book.slot[p].legs[leg] = legs[leg]
        out.t_int[trade, T_LEG0 + leg] = legs[leg]
        if legs[leg] >= 0:
            x = m.con[legs[leg]].expiry
    campaign = trade if campaign < 0 else campaign
    book.slot[p].trade, book.slot[p].expiry, book.slot[p].contracts = trade, x, contracts
    book.slot[p].credit, book.slot[p].width, book.slot[p].opened = credit, width, r
    book.slot[p].closing, book.slot[p].decided, book.slot[p].above, book.slot[p].tries = 0, -1, 0, 0
    book.slot[p].stock = 0
    book.slot[p].last_mid2, book.slot[p].mae, book.slot[p].mfe = 2 * credit, 0, 0
    book.slot[p].campaign, book.slot[p].paid, book.slot[p].rolls, book.slot[p].rolls_out = campaign, 0, 0, 0
    book.slot[p].target, book.slot[p].stop, book.slot[p].best = -IDLE, IDLE, IDLE
    book.slot[p].tested_on, book.slot[p].breach_on, book.slot[p].part = -1, -1, ALL_LEGS
    t = out.t_int[trade]
    t[T_OPENED], t[T_DECIDED], t[T_EXPIRY], t[T_CONTRACTS] = r, decided, x, contracts
    t[T_CREDIT], t[T_WIDTH], t[T_CLOSED], t[T_REASON] = credit, width, -1, Reason.OPEN_AT_END
    t[T_MAX_LOSS], t[T_KEY] = (width - credit) * MULTIPLIER * contracts, key
    t[T_CAMPAIGN], t[T_FLOOR] = campaign, book.head.order_floor
    return p


@njit(**INNER)
def close_slot(book, out, p, r, reason):
    """Free the slot; the trade keeps when, why, and all that was paid after its entry."""
    slot = book.slot[p]
    t = out.t_int[slot.trade]
    t[T_CLOSED], t[T_EXIT_DECIDED], t[T_DEBIT], t[T_REASON] = r, slot.decided, paid_since(slot, t), reason
    t[T_MAE] = min(slot.mae, t[T_PNL])
    t[T_MFE] = max(slot.mfe, t[T_PNL])
    gain = t[T_PNL] // slot.contracts
    if gain >= 0:
        book.head.won += 1
        book.head.won_cents += gain
    else:
        book.head.lost += 1
        book.head.lost_cents -= gain
    book.slot[p].trade = -1
    book.slot[p].event = IDLE


@njit(**INNER)
def paid_since(slot, t):
    """Cents per share paid after the entry: closes less the credits of rolled sides."""
    return slot.paid - (slot.credit - t[T_CREDIT])


@njit(**INNER)
def take_off(m, book, out, p, r, net, mid2, reason):
    """Book what a filled part of slot p leaves behind: empty legs, or the new legs of a roll; what it cost."""
    slot = book.slot[p]
    part = slot.part
    roll = part & ROLL != 0
    last = True
    for leg in range(LEGS):
        if (part >> leg) & 1:
            book.slot[p].legs[leg] = -1
    if roll:
        right = CALL if part == ROLL_CALL else 0
        short, long = (SHORT_PUT, LONG_PUT) if right != CALL else (SHORT_CALL, LONG_CALL)
        book.slot[p].legs[short], book.slot[p].legs[long] = slot.new_legs[0], slot.new_legs[1]
        book.slot[p].side_credit2[1 if right == CALL else 0] = book.head.price2[2] - book.head.price2[3]
        book.slot[p].credit -= net
        book.slot[p].rolls += 1
    else:
        book.slot[p].paid += net
    book.slot[p].last_mid2 -= mid2
    for leg in range(LEGS):
        last = last and book.slot[p].legs[leg] < 0
    if last and slot.stock == 0:
        close_slot(book, out, p, r, reason)
        return
    n = book.head.adjustments
    a = out.a_int[n]
    a[A_ROW], a[A_DECIDED], a[A_TRADE], a[A_PART], a[A_REASON] = r, slot.decided, slot.trade, part, reason
    a[A_CONTRACTS], a[A_NET], a[A_SHORT], a[A_LONG] = slot.contracts, net, -1, -1
    if roll:
        a[A_SHORT], a[A_LONG] = slot.new_legs[0], slot.new_legs[1]
    book.head.adjustments = n + 1
    put_width2, call_width2 = side_widths2(m, book.slot[p].legs)
    book.slot[p].width = max(put_width2, call_width2) // 2
    book.slot[p].closing, book.slot[p].part, book.slot[p].above, book.slot[p].best = 0, ALL_LEGS, 0, IDLE
    book.slot[p].breach_on = -1  # what is left has another one


@njit
def note_open(book, t_int):
    """Write the marks and extremes of structures that are still open into their trades."""
    for p in range(book.slot.shape[0]):
        slot = book.slot[p]
        if slot.trade >= 0:
            t = t_int[slot.trade]
            t[T_MARK] = -slot.last_mid2 * (MULTIPLIER // 2) * slot.contracts
            t[T_MAE], t[T_MFE] = slot.mae, slot.mfe


@njit(**INNER)
def settlement_price2(m, c):
    """Intrinsic value of contract c at its expiry's official value, half-cents, in whole cents."""
    x = m.con[c].expiry
    s = m.exp[x].session
    value = m.ses[s].open if m.exp[x].style == 2 else m.ses[s].settle
    intrinsic = value - m.con[c].strike / 100.0
    if m.con[c].right != CALL:
        intrinsic = -intrinsic
    return 2 * int(math.floor(max(intrinsic, 0.0) * 100.0 + 0.5))


@njit(**INNER)
def settle_slot(m, book, out, p, r):
    """Cash settlement at the expiry's official value; quotes are ignored."""
    trade = book.slot[p].trade
    debit2 = 0
    for leg in range(LEGS):
        c = book.slot[p].legs[leg]
        if c < 0:
            continue
        price2 = settlement_price2(m, c)
        side = -LEG_SIGN[leg]  # closes the leg
        debit2 += side * price2
        record(
            book, out, r, trade, EVENT_SETTLEMENT, leg, c, side * book.slot[p].contracts, price2,
            price2 // 2, price2 // 2, 0, m.row[r].snap, KIND_SETTLEMENT, Reason.SETTLED,
        )  # fmt: skip
    out.t_int[trade, T_KINDS] |= 1 << KIND_SETTLEMENT
    book.slot[p].decided = r
    book.slot[p].paid += debit2 // 2
    close_slot(book, out, p, r, Reason.SETTLED)


@njit(**INNER)
def credit_interest(m, book, out, s, r):
    """Interest on cash for the calendar days since the last session, at the rate known then."""
    day = m.ses[s].day
    last = book.head.interest_day
    book.head.interest_day = day
    if last < 0 or s == 0:
        return
    rate = m.ses[s - 1].rate
    if math.isnan(rate):
        return
    cents = int(math.floor(book.head.cash * (math.exp(rate * (day - last) / 365.0) - 1.0) + 0.5))
    if cents == 0:
        return
    record_money(book, out, r, -1, EVENT_INTEREST, -cents, m.row[r].snap)


# One array written per loop: with two, the compiler cannot rule out that they overlap and stays scalar.


@njit(forceinline=True)
def add_short(mid2, natural, bid, ask):
    """Cost to close of a short leg: its mid and its ask."""
    for j in range(mid2.shape[0]):
        mid2[j] += bid[j] + ask[j]
    for j in range(natural.shape[0]):
        natural[j] += ask[j]


@njit(forceinline=True)
def add_long(mid2, natural, bid, ask):
    """Cost to close of a long leg, negative: its mid and its bid."""
    for j in range(mid2.shape[0]):
        mid2[j] -= bid[j] + ask[j]
    for j in range(natural.shape[0]):
        natural[j] -= bid[j]


@njit(**HOT)
def dense_marks(m, book, p, r0, r1):
    """Marks of slot p over rows whose cells are contiguous; 1 if it could and every cell is two-sided.

    The loops read each leg's quotes once, in order, through views that start at 0: with an offset in
    the index the compiler must allow for negative ones and does not vectorise.
    """
    n = r1 - r0
    mid2 = book.path[MID2, p, :n]
    natural = book.path[NATURAL_CENTS, p, :n]
    mid2[:] = 0
    natural[:] = 0
    bad = 0
    for leg in range(LEGS):
        c = book.slot[p].legs[leg]
        if c < 0:
            continue
        i = dense_rows(m, c, r0, r1)
        if i < 0:
            return 0
        bid, ask, flag = m.q_bid[i : i + n], m.q_ask[i : i + n], m.q_flag[i : i + n]
        for j in range(n):
            bad |= flag[j]
        if LEG_SIGN[leg] < 0:
            add_short(mid2, natural, bid, ask)
        else:
            add_long(mid2, natural, bid, ask)
    if bad != 0:
        return 0
    book.slot[p].clean = 1
    return 1


@njit(**INNER)
def add_leg(m, book, p, leg, r0, r1, side):
    """Add one leg's quotes to a side's mid (a slot of the scratch), to natural and to usability.

    Returns how many of its rows are not two-sided.
    """
    n = r1 - r0
    leg_rows(m, book.slot[p].legs[leg], r0, r1, book.leg)
    bid, ask, flag = book.leg[BID, :n], book.leg[ASK, :n], book.leg[FLAG, :n]
    mid2 = book.path[MID2, side, :n]
    natural = book.path[NATURAL_CENTS, p, :n]
    if LEG_SIGN[leg] < 0:
        add_short(mid2, natural, bid, ask)
    else:
        add_long(mid2, natural, bid, ask)
    bad = 0
    for j in range(n):
        bad += flag[j] != GOOD
    if bad == 0:
        return 0
    usable = book.path[USABLE_ROW, p, :n]
    for j in range(n):
        if flag[j] == BAD_UNMARKED:
            usable[j] = UNKNOWN
        elif flag[j] != GOOD and usable[j] == USABLE:
            usable[j] = MARKED
    return bad


@njit(**INNER)
def mark_slot(m, book, p, r0, r1):
    """Cost to close slot p at mid and at natural for rows r0 <= r < r1 of one session.

    usable is 1 where every leg is two-sided. Elsewhere the mark is bounded: each vertical lies
    within [0, width]; with a leg that has no mark at all the last known mark stands.
    """
    if m.kind == TABLE and dense_marks(m, book, p, r0, r1):
        return
    n = r1 - r0
    spare = book.slot.shape[0]
    mid2, call2 = book.path[MID2, p, :n], book.path[MID2, spare, :n]
    usable = book.path[USABLE_ROW, p, :n]
    mid2[:] = 0
    call2[:] = 0
    book.path[NATURAL_CENTS, p, :n] = 0
    usable[:] = USABLE
    bad = 0
    for leg in range(LEGS):
        if book.slot[p].legs[leg] >= 0:
            bad += add_leg(m, book, p, leg, r0, r1, p if leg < SHORT_CALL else spare)
    if bad == 0 and m.kind == MODEL:
        for j in range(n):
            mid2[j] += call2[j]
        book.slot[p].clean = 1
        return
    book.slot[p].clean = 0
    legs = book.slot[p].legs
    put_low, put_high = side_bounds2(m, legs[SHORT_PUT], legs[LONG_PUT])
    call_low, call_high = side_bounds2(m, legs[SHORT_CALL], legs[LONG_CALL])
    natural = book.path[NATURAL_CENTS, p]
    last = book.slot[p].last_mid2
    for j in range(n):
        if usable[j] == USABLE:
            mid2[j] += call2[j]
            if not m.row[r0 + j].tradable:
                usable[j] = UNKNOWN
        elif usable[j] == MARKED:
            mid2[j] = min(max(mid2[j], put_low), put_high) + min(max(call2[j], call_low), call_high)
            usable[j] = UNKNOWN
        else:
            mid2[j] = last
        natural[j] = max(natural[j], (mid2[j] + 1) // 2)  # a leg without a quote is not free to buy back
        last = mid2[j]


@njit(**HOT)
def is_usable(book, p, j):
    """Whether every leg of slot p is two-sided on scratch row j."""
    return book.slot[p].clean == 1 or book.path[USABLE_ROW, p, j] == USABLE


@njit(**INNER)
def side_widths2(m, legs):
    """Widths of the put and the call vertical in half-cents (0 where there is no vertical)."""
    put_width2, call_width2 = 0, 0
    if legs[SHORT_PUT] >= 0 and legs[LONG_PUT] >= 0:
        put_width2 = 2 * (m.con[legs[SHORT_PUT]].strike - m.con[legs[LONG_PUT]].strike)
    if legs[SHORT_CALL] >= 0 and legs[LONG_CALL] >= 0:
        call_width2 = 2 * (m.con[legs[LONG_CALL]].strike - m.con[legs[SHORT_CALL]].strike)
    return put_width2, call_width2


@njit(**INNER)
def side_bounds2(m, short, long):
    """(lowest, highest) cost of a side at mid, half-cents: a vertical lies in [0, width], a lone long is worth >= 0."""
    if short >= 0 and long >= 0:
        return 0, 2 * abs(m.con[short].strike - m.con[long].strike)
    if short >= 0:
        return 0, IDLE
    return (-IDLE, 0) if long >= 0 else (0, 0)


@njit(**INNER)
def short_asks(m, book, p, r0, r1):
    """What a cheap short is judged by: the ask of each short per row, IDLE (never cheap) where it is not two-sided."""
    n = r1 - r0
    for side in range(2):
        ask = book.path[SHORT_ASK + side, p, :n]
        ask[:] = IDLE
        c = book.slot[p].legs[SHORT_PUT if side == 0 else SHORT_CALL]
        if c < 0:
            continue
        i = dense_rows(m, c, r0, r1) if m.kind == TABLE and book.slot[p].clean else -1
        if i >= 0:
            quoted = m.q_ask[i : i + n]
            for j in range(n):
                ask[j] = quoted[j]
            continue
        leg_rows(m, c, r0, r1, book.leg)
        for j in range(n):
            if book.leg[FLAG, j] == GOOD and m.row[r0 + j].tradable:
                ask[j] = book.leg[ASK, j]


@njit(**INNER)
def side_paths(m, book, p, r0, r1):
    """Cost to close each side at natural per row, and whether all its legs are two-sided."""
    n = r1 - r0
    for side in range(2):
        natural, usable = book.path[SIDE_NATURAL + side, p, :n], book.path[SIDE_USABLE + side, p, :n]
        natural[:] = 0
        usable[:] = 1
        for short in range(2):
            leg = (SHORT_PUT if side == 0 else SHORT_CALL) if short else (LONG_PUT if side == 0 else LONG_CALL)
            c = book.slot[p].legs[leg]
            if c < 0:
                continue
            leg_rows(m, c, r0, r1, book.leg)
            for j in range(n):
                natural[j] += book.leg[ASK, j] if short else -book.leg[BID, j]
                usable[j] &= 1 if book.leg[FLAG, j] == GOOD and m.row[r0 + j].tradable else 0


# ---------------------------------------------------------------- shares of the hedge

SHARE_HALF_SPREAD = 1  # cents: SPY trades a cent wide; each side pays half of it, rounded up


@njit(**HOT)
def spot_cents(m, r):
    return int(round(m.row[r].spot * 100.0))


@njit(**INNER)
def fill_shares(m, book, out, r, shares):
    """Buy (> 0) or sell shares of the underlying at row r's price and half a spread; part of no trade."""
    mid = spot_cents(m, r)
    price = mid + SHARE_HALF_SPREAD if shares > 0 else mid - SHARE_HALF_SPREAD
    record_shares(
        book, out, r, -1, EVENT_HEDGE, shares, price, mid - SHARE_HALF_SPREAD, mid + SHARE_HALF_SPREAD,
        m.row[r].snap, m.quote_kind, Reason.NONE,
    )  # fmt: skip
    book.head.shares += shares


@njit(**INNER)
def add_stock(m, book, p, r0, r1):
    """Add the shares of slot p to its cost to close on rows [r0, r1): short ones are bought back, long ones sold."""
    stock = book.slot[p].stock
    mid2, natural = book.path[MID2, p], book.path[NATURAL_CENTS, p]
    for j in range(r1 - r0):
        worth = stock * spot_cents(m, r0 + j)
        mid2[j] -= 2 * worth
        natural[j] += SHARE_HALF_SPREAD - worth


@njit(**INNER)
def all_shares(book):
    """Shares of the hedge and of all exercises, signed."""
    total = book.head.shares
    for p in range(book.slot.shape[0]):
        if book.slot[p].trade >= 0:
            total += book.slot[p].stock * MULTIPLIER * book.slot[p].contracts
    return total


@njit(**HOT)
def mark_shares(m, book, r, n, marks, liquidation):
    """Add the hedge's shares to the marks of n rows from r on."""
    shares = book.head.shares
    half = SHARE_HALF_SPREAD * abs(shares)
    for j in range(n):
        value = shares * spot_cents(m, r + j)
        marks[j] += value
        liquidation[j] += value - half
