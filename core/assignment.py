"""When holders exercise what was sold to them, and what is left then; pure kernels. American options on shares alone.

A call is exercised on the evening before an ex-dividend day iff the dividend is worth more than what exercise gives
up: the same-strike put and the interest on the strike (Merton 1973). A put iff the interest on its strike is worth more
than the same-strike call, and the dividend of the next morning if there is one. The short learns of it next morning:
at the first row of the session its leg is gone, a hundred shares a contract stand in its place, and the dividend is
owed. At expiry what is a cent in the money is exercised (OCC's exercise by exception).
"""

from __future__ import annotations

import math

from core.exposure import carry_of
from core.jit import INNER, njit
from core.portfolio import (
    A_CONTRACTS,
    A_DECIDED,
    A_LONG,
    A_NET,
    A_PART,
    A_REASON,
    A_ROW,
    A_SHORT,
    A_TRADE,
    F_CONTRACT,
    F_LEG,
    F_PRICE2,
    F_QUANTITY,
    F_TRADE,
    IDLE,
    SHARE_HALF_SPREAD,
    T_CONTRACTS,
    T_CREDIT,
    T_DECIDED,
    T_FEES,
    T_KINDS,
    T_LEG0,
    T_MAX_LOSS,
    T_OPENED,
    T_PNL,
    close_slot,
    free_slot,
    record,
    record_money,
    record_shares,
    side_widths2,
    spot_cents,
)
from core.pricing.black_scholes import black_price
from core.pricing.cash_dividends import exercises_call, exercises_put
from core.quotes import cell_index, leg_vol, years_to_expiry
from core.types import (
    ALL_LEGS,
    CALL,
    EVENT_ASSIGNMENT,
    EVENT_DIVIDEND,
    EVENT_EXERCISE,
    EVENT_SETTLEMENT,
    EVENT_SHARES,
    EVENT_TRANSFER,
    GOOD,
    KIND_SETTLEMENT,
    LEG_SIGN,
    LEGS,
    MODEL,
    MULTIPLIER,
    PHYSICAL_PM,
    SHORT_CALL,
    SHORT_PUT,
    Reason,
)
from strategies.timing import first_at_least, row_at_minute

LIQUIDATION_MINUTES = 30  # before the close: 15:30 of a whole session
LIQUIDATION_DISTANCE = 0.01  # of the strike

# ---------------------------------------------------------------- the holder's decision


@njit(**INNER)
def same_strike(m, c):
    """The contract of the other right with the strike and expiry of c, or -1."""
    x = m.con[c].expiry
    low, high = (m.exp[x].put_lo, m.exp[x].put_hi) if m.con[c].right == CALL else (m.exp[x].call_lo, m.exp[x].call_hi)
    other = first_at_least(m.con.strike, low, high, m.con[c].strike)
    return other if other < high and m.con[other].strike == m.con[c].strike else -1


@njit(**INNER)
def other_price(m, c, q, dividend):
    """$ of the same-strike option of the other right on row q: its mid, else by the model at c's own volatility.

    A quote of the evening knows of the dividend; the model is told, and then of no other: they come once a quarter. NaN
    where neither is known.
    """
    other = same_strike(m, c)
    if other >= 0 and m.kind != MODEL and m.row[q].quoted:
        i = cell_index(m, other, q)
        if i >= 0 and m.q_flag[i] == GOOD:
            return (m.q_bid[i] + m.q_ask[i]) / 200.0
    x = m.con[c].expiry
    years = years_to_expiry(m, x, q)
    rate, dividend_yield = carry_of(m, c, q)
    dividend_yield = 0.0 if dividend > 0.0 else dividend_yield
    forward = (m.row[q].spot - dividend) * math.exp((rate - dividend_yield) * years)
    call = m.con[c].right != CALL
    return black_price(call, forward, m.con[c].strike / 100.0, years, leg_vol(m, c, q), math.exp(-rate * years))


@njit(**INNER)
def is_exercised(m, c, s, q):
    """Whether the short contract c is exercised on the evening of row q, the last before session s."""
    x = m.con[c].expiry
    call = m.con[c].right == CALL
    spot, strike = m.row[q].spot, m.con[c].strike / 100.0
    dividend = m.ses[s].dividend
    if not (spot > strike if call else spot < strike) or (call and not dividend > 0.0):
        return False
    dividend = max(dividend, 0.0) if dividend == dividend else 0.0
    other = other_price(m, c, q, dividend)
    years = years_to_expiry(m, x, q)
    rate = m.ses[s - 1].rate
    if call:
        return exercises_call(dividend, other, strike, rate, years)
    return exercises_put(dividend, other, strike, rate, years)


# ---------------------------------------------------------------- what it leaves


@njit(**INNER)
def deliver(m, book, out, p, r, leg, kind, reason):
    """Leg `leg` of slot p is exercised or assigned at row r: it goes, and its shares change hands at the strike."""
    slot = book.slot[p]
    c = slot.legs[leg]
    event = EVENT_EXERCISE if LEG_SIGN[leg] > 0 else EVENT_ASSIGNMENT
    side = LEG_SIGN[leg] if m.con[c].right == CALL else -LEG_SIGN[leg]  # +1: shares are bought
    snap, strike = m.row[r].snap, m.con[c].strike
    record(book, out, r, slot.trade, event, leg, c, -LEG_SIGN[leg] * slot.contracts, 0, 0, 0, 0, snap, kind, reason)
    shares = side * MULTIPLIER * slot.contracts
    record_shares(book, out, r, slot.trade, event, shares, strike, strike, strike, snap, kind, reason)
    book.slot[p].legs[leg] = -1
    book.slot[p].stock += side
    book.slot[p].paid += side * strike


@njit(**INNER)
def note_part(m, book, out, p, r, part, net, reason):
    """An adjustment of slot p, what is left of its width, and the levels that no longer hold."""
    slot = book.slot[p]
    a = out.a_int[book.head.adjustments]
    a[A_ROW], a[A_DECIDED], a[A_TRADE], a[A_PART], a[A_REASON] = r, slot.decided, slot.trade, part, reason
    a[A_CONTRACTS], a[A_NET], a[A_SHORT], a[A_LONG] = slot.contracts, net, -1, -1
    book.head.adjustments += 1
    put_width2, call_width2 = side_widths2(m, slot.legs)
    book.slot[p].width = max(put_width2, call_width2) // 2


@njit(**INNER)
def leave(book, p, r, reason):
    """Everything that is left of slot p is closed from row r on."""
    book.slot[p].closing, book.slot[p].part = reason, ALL_LEGS
    book.slot[p].decided, book.slot[p].tries = r, 0
    book.slot[p].seen_natural2 = book.slot[p].seen_mid2 = 0


@njit(**INNER)
def entry_price2(book, out, trade, c):
    """Half-cents at which a trade last opened contract c."""
    for k in range(book.head.fills - 1, -1, -1):
        f = out.f_int[k]
        if f[F_TRADE] == trade and f[F_CONTRACT] == c and f[F_QUANTITY] * LEG_SIGN[f[F_LEG]] > 0:
            return f[F_PRICE2]
    return 0


@njit(**INNER)
def split(m, book, out, p, contracts, r, reason):
    """Move so many contracts of slot p to a free slot, at the prices of their entry; returns the slot, -1 if none.

    They are a trade of the same campaign from row r on; its rows in the ledger (transfer) move no cash.
    """
    q = free_slot(book)
    if q < 0:
        return -1
    old, trade = book.slot[p].trade, book.head.trades
    book.head.trades += 1
    book.slot[q] = book.slot[p]
    for field in range(out.t_int.shape[1]):
        out.t_int[trade, field] = out.t_int[old, field]
    t, net2 = out.t_int[trade], 0
    t[T_PNL] = t[T_FEES] = 0
    for leg in range(LEGS):
        c = book.slot[p].legs[leg]
        t[T_LEG0 + leg] = c
        if c < 0:
            continue
        price2 = entry_price2(book, out, old, c)
        net2 -= LEG_SIGN[leg] * price2
        for side in (-1, 1):  # out of the old trade, into the new one
            record(
                book, out, r, old if side < 0 else trade, EVENT_TRANSFER, leg, c, side * LEG_SIGN[leg] * contracts,
                price2, price2 // 2, price2 - price2 // 2, 0, m.row[r].snap, m.quote_kind, reason,
            )  # fmt: skip
    whole = book.slot[p].contracts
    t[T_OPENED] = t[T_DECIDED] = r
    t[T_CONTRACTS], t[T_CREDIT] = contracts, net2 // 2
    t[T_MAX_LOSS] = out.t_int[old, T_MAX_LOSS] * contracts // whole
    out.t_int[old, T_MAX_LOSS] -= t[T_MAX_LOSS]
    out.t_int[old, T_CONTRACTS] = book.slot[p].contracts = whole - contracts
    book.slot[q].trade, book.slot[q].contracts, book.slot[q].opened = trade, contracts, r
    book.slot[q].credit, book.slot[q].paid = net2 // 2, 0
    return q


@njit(**INNER)
def assign(m, limits, book, out, p, leg, s, r0):
    """The short `leg` of slot p was exercised on the evening before session s: all, or the share that is assigned."""
    whole = book.slot[p].contracts
    contracts = int(math.ceil(limits.assigned_share * whole - 1e-9))
    if contracts < whole:
        part = split(m, book, out, p, contracts, r0, Reason.ASSIGNED)
        p, contracts = (part, contracts) if part >= 0 else (p, whole)
    slot = book.slot[p]
    c = slot.legs[leg]
    strike, call = m.con[c].strike, m.con[c].right == CALL
    leave(book, p, r0, Reason.ASSIGNED)
    deliver(m, book, out, p, r0, leg, m.quote_kind, Reason.ASSIGNED)
    # The last known mark: the leg's intrinsic value goes, the shares come.
    book.slot[p].last_mid2 += 2 * (strike if call else -strike)
    if call and m.ses[s].dividend > 0.0:
        cents = int(math.floor(m.ses[s].dividend * MULTIPLIER * contracts * 100.0 + 0.5))
        record_money(book, out, r0, slot.trade, EVENT_DIVIDEND, cents, m.row[r0].snap)
    note_part(m, book, out, p, r0, 1 << leg, -strike if call else strike, Reason.ASSIGNED)


@njit(**INNER)
def morning(m, limits, book, out, s, r0):
    """At the first row of session s: what was exercised on the evening before, and shares to be closed today."""
    for p in range(book.slot.shape[0]):
        slot = book.slot[p]
        if slot.trade < 0:
            continue
        x = slot.expiry
        if m.exp[x].ts <= m.row[r0 - 1].ts:
            book.slot[p].decided = r0  # shares of an expiry: known this morning, closed on the next bar
            continue
        if m.exp[x].style != PHYSICAL_PM or not limits.early_exercise:
            continue
        for leg in (SHORT_PUT, SHORT_CALL):
            if book.slot[p].legs[leg] >= 0 and is_exercised(m, book.slot[p].legs[leg], s, r0 - 1):
                assign(m, limits, book, out, p, leg, s, r0)


@njit(**INNER)
def expire(m, limits, book, out, p, r):
    """The expiry of slot p on shares at its last row: exercise, assignment or nothing; shares stay until morning."""
    slot = book.slot[p]
    s = m.exp[slot.expiry].session
    settle = int(math.floor(m.ses[s].settle * 100.0 + 0.5))
    reason, paid = Reason.SETTLED, slot.paid
    for leg in range(LEGS):
        c = slot.legs[leg]
        if c < 0:
            continue
        value = settle - m.con[c].strike if m.con[c].right == CALL else m.con[c].strike - settle
        pinned = LEG_SIGN[leg] < 0 and value < 1 and value >= -limits.pin_band and limits.pin_band > 0
        if value >= 1 or pinned:
            reason = Reason.PINNED if pinned or reason == Reason.PINNED else Reason.EXERCISED
            deliver(m, book, out, p, r, leg, KIND_SETTLEMENT, Reason.PINNED if pinned else Reason.EXERCISED)
        else:
            side, snap = -LEG_SIGN[leg] * slot.contracts, m.row[r].snap
            record(book, out, r, slot.trade, EVENT_SETTLEMENT, leg, c, side, 0, 0, 0, 0, snap, KIND_SETTLEMENT, reason)
            book.slot[p].legs[leg] = -1
    out.t_int[slot.trade, T_KINDS] |= 1 << KIND_SETTLEMENT
    leave(book, p, r, reason)
    if slot.stock == 0:
        close_slot(book, out, p, r, reason)
    else:
        book.slot[p].last_mid2 = -2 * slot.stock * spot_cents(m, r - 1)
        note_part(m, book, out, p, r, ALL_LEGS, slot.paid - paid, reason)
    return reason


@njit(**INNER)
def close_stock(m, book, out, p, r):
    """Sell or buy back the shares of slot p at row r's price and half a spread; returns their net, cents paid."""
    slot = book.slot[p]
    side = -slot.stock
    mid = spot_cents(m, r)
    price = mid + side * SHARE_HALF_SPREAD
    shares = side * MULTIPLIER * slot.contracts
    record_shares(
        book, out, r, slot.trade, EVENT_SHARES, shares, price, mid - SHARE_HALF_SPREAD, mid + SHARE_HALF_SPREAD,
        m.row[r].snap, m.quote_kind, slot.closing,
    )  # fmt: skip
    book.slot[p].paid += side * price
    book.slot[p].last_mid2 -= 2 * side * spot_cents(m, r - 1)
    book.slot[p].stock = 0
    if no_legs(slot):
        close_slot(book, out, p, r, slot.closing)
    return side * price


@njit(**INNER)
def no_legs(slot):
    return slot.legs[0] < 0 and slot.legs[1] < 0 and slot.legs[2] < 0 and slot.legs[3] < 0


# ---------------------------------------------------------------- the broker's liquidation


@njit(**INNER)
def endangered(m, slot, r):
    """The short in the money or within LIQUIDATION_DISTANCE of its strike at row r, the worse of two; -1 for none."""
    best, least = -1, LIQUIDATION_DISTANCE
    for leg in (SHORT_PUT, SHORT_CALL):
        c = slot.legs[leg]
        if c >= 0:
            away = m.row[r].spot / (m.con[c].strike / 100.0) - 1.0
            away = away if leg == SHORT_PUT else -away
            if away <= least:
                best, least = leg, away
    return best


@njit(**INNER)
def liquidation_row(m, limits, slot, s, r, r1):
    """First row in [r, r1) at which the broker would buy a short of this structure back, or IDLE."""
    if not limits.liquidates or m.exp[slot.expiry].session != s or m.exp[slot.expiry].style != PHYSICAL_PM:
        return IDLE
    for row in range(max(r, row_at_minute(m, s, m.ses[s].close - LIQUIDATION_MINUTES)), r1):
        if m.row[row].tradable and endangered(m, slot, row) >= 0 and settles_later(m, slot, row):
            return row
    return IDLE


@njit(**INNER)
def settles_later(m, slot, row):
    return m.row[row].ts < m.exp[slot.expiry].ts
