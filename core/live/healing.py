"""What the broker changed by itself: assigned, expired, liquidated. The book follows, what is left is closed."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from core.errors import BrokerError
from core.live import reconcile
from core.live.broker import Ambiguous, RateLimited
from core.live.failpoint import reach
from core.live.occ import parse_occ
from core.live.records import Order, Position
from core.types import EVENT_SETTLEMENT, LEGS, Reason

if TYPE_CHECKING:
    from core.live.trader import Trader

log = logging.getLogger("quantor.healing")


def changes_of(trader: Trader, positions: list[Position]) -> tuple[dict[str, Any], ...]:
    """Answers that bring the book to the broker's positions; () where they agree. Enters the safe mode if not.

    Fills that the book will be told of with this row count as told. What nobody of ours holds is never touched.
    """
    engine = trader.engine
    theirs, others = reconcile.options_and_shares(positions)
    if theirs == trader.held() and not others:
        return ()
    trader.clock.sleep(2.0)
    positions = trader.broker.positions()
    theirs, others = reconcile.options_and_shares(positions)
    held = trader.held()
    shares = others.get(reconcile.UNDERLYING, 0)
    if theirs == held and not others:
        return ()
    found = reconcile.differences(engine, positions)
    trader.enter_safe_mode("; ".join(reconcile.words_of(d) for d in found) or "positions differ")
    spot = engine.day.last_spot()
    paid = close_shares(trader, shares) if shares else None
    foreign = foreign_fills(trader)
    answers = []
    for slot in engine.book.slot:
        if slot.trade < 0:
            continue
        for leg in range(LEGS):
            if slot.legs[leg] < 0:
                continue
            occ = engine.day.occ[slot.legs[leg]]
            ours, there = held.get(occ, 0), theirs.get(occ, 0)
            lost = min(abs(ours) - abs(there), int(slot.contracts)) if ours * there >= 0 else int(slot.contracts)
            if lost > 0:
                held[occ] = ours - lost * (1 if ours > 0 else -1)
                answers.append(lost_leg(int(slot.trade), leg, lost, price_of(occ, spot, paid, foreign)))
    return tuple(answers)


def lost_leg(trade: int, leg: int, contracts: int, price: float) -> dict[str, Any]:
    """The answer that takes one leg out of a structure at a price in $."""
    price2, sign = [0] * 4, (1 if leg in (1, 2) else -1)
    price2[leg] = round(price * 200)
    return {
        "trade": trade, "part": 1 << leg, "reason": Reason.BROKER_CHANGED, "contracts": contracts,
        "net": -((-sign * price2[leg]) // 2), "new_legs": [-1, -1], "price2": price2, "dearer": [0] * 4,
        "event": EVENT_SETTLEMENT,
    }  # fmt: skip


def price_of(occ: str, spot: float, paid: float | None, foreign: dict[str, float]) -> float:
    """What a lost leg went for, $: a fill of an order that was not ours, else what the shares say, else intrinsic."""
    if occ in foreign:
        return foreign[occ]
    return reconcile.intrinsic_cents(occ, spot if paid is None else paid) / 100.0


def foreign_fills(trader: Trader) -> dict[str, float]:
    """Prices of today's fills of orders that this journal never sent, by symbol."""
    known = {row["cid"] for row in trader.journal.rows("SELECT cid FROM intent")}
    start = int(trader.engine.day.rows.ts[trader.engine.day.first]) - 24 * 3600 * 10**9
    found = {}
    for order in trader.broker.orders("closed", start):
        if order.cid not in known:
            found.update({leg.occ: leg.price for leg in order.legs if leg.filled and is_option(leg.occ)})
    return found


def is_option(symbol: str) -> bool:
    try:
        parse_occ(symbol)
    except BrokerError:
        return False
    return True


def close_shares(trader: Trader, shares: int) -> float | None:
    """Sell or buy back the shares that an assignment left, at the market; their price, None while it is not known."""
    day = trader.recorder.day
    cid = f"qmtf-p-{day}-{trader.clock.now_ns() // 10**9 % 86400}-x"
    with trader.journal.transaction() as j:
        j.event("shares", cid, {"symbol": reconcile.UNDERLYING, "quantity": -shares})
        j.notify("assigned", f"{shares:+d} shares of {reconcile.UNDERLYING} stood in the account; they are closed")
    reach("shares-committed")
    order: Order | None
    try:
        order = trader.broker.market_shares(reconcile.UNDERLYING, -shares, cid)
    except (Ambiguous, RateLimited) as error:  # never sent again: what is left is seen at the next bar
        log.warning("shares_unclear cid=%s why=%s", cid, error)
        order = trader.broker.order_by_cid(cid)
    for _ in range(10):
        if order is None or order.done:
            break
        trader.clock.sleep(1.0)
        order = trader.broker.order(order.id)
    return order.legs[0].price if order is not None and order.filled else None
