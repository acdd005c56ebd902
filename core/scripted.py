"""Stated orders: structures opened and closed at given prices, decided by nobody, through the same book."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from core.costs import fee_cents
from core.errors import DataError
from core.jit import HOT, INNER, njit
from core.market.calendar import day_text
from core.portfolio import IDLE, T_KEY, close_slot, deal_of, fill_kind, mark_slot, open_slot, record
from core.positions import next_event
from core.quotes import leg_rows
from core.types import (
    ALL_LEGS,
    ASK,
    BID,
    CALL,
    EVENT_FILL,
    FLAG,
    GOOD,
    LEGS,
    PUT,
    SCRIPT,
    SHORT_CALL,
    Market,
    Reason,
    dtype_of,
)
from strategies.legs import wider_wing


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


@njit(**INNER)
def replay(m, limits, costs, book, out, script, r, r0, r1, s, rules):
    """Book the stated orders of row r at their stated prices; a close of legs that are not held finds nothing."""
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
            for leg in range(LEGS):
                if slot >= 0 and book.slot[slot].legs[leg] != legs[leg]:
                    slot = -1
        if slot >= 0:
            stated_fills(m, costs, book, out, script, k, slot, r)
            if not script[k].opens:
                book.slot[slot].decided = r
                book.slot[slot].paid += net2 // 2
                close_slot(book, out, slot, r, Reason.STATED)
            else:
                mark_slot(m, book, slot, r0, r1)
                book.slot[slot].event = next_event(m, rules, limits, book, slot, s, r0, r + 1, r1)
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


@njit(**HOT)
def script_row(book, script, r1):
    k = book.head.script
    if k < script.shape[0] and script[k].row < r1:
        return script[k].row
    return IDLE
