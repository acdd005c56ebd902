"""Orders: each is committed as an intent, sent once, and followed by the broker's own word until it is done.

    SENDING -> WORKING -> CANCELLING -> DONE           (its broker status says how: filled, canceled, expired)
       |  \\-> REJECTED   (a definite no)
       \\--> UNKNOWN      (may have arrived) -> looked up by its own id: WORKING, or sent again under the same id,
                          or ABANDONED: looked for until the session ends, cancelled if it appears
    anything impossible (fewer units filled than before, an unknown status) -> QUARANTINE: followed, never trusted

A state changes only by what a REST answer says. A new price is a new order, sent after the old one is done.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from typing import Any

from core.errors import BrokerError
from core.live.broker import INTENTS, Ambiguous, Broker, RateLimited, Refused, validate
from core.live.clock import Clock
from core.live.failpoint import reach
from core.live.journal import Journal, text_of
from core.live.records import UNKNOWN as UNKNOWN_STATUS
from core.live.records import Leg, Order, OrderRequest

SENDING, WORKING, CANCELLING, DONE = "SENDING", "WORKING", "CANCELLING", "DONE"
REJECTED, UNKNOWN, ABANDONED, QUARANTINE = "REJECTED", "UNKNOWN", "ABANDONED", "QUARANTINE"
LIVE_STATES = (SENDING, UNKNOWN, WORKING, CANCELLING, QUARANTINE)
# Where each state may lead; every journal of the tests is held to it (tests/live/alpaca_sim/judge.py).
MOVES = {
    SENDING: (WORKING, DONE, REJECTED, UNKNOWN, ABANDONED, QUARANTINE),
    UNKNOWN: (SENDING, WORKING, DONE, REJECTED, ABANDONED, QUARANTINE),
    WORKING: (CANCELLING, DONE, REJECTED, QUARANTINE),
    CANCELLING: (DONE, REJECTED, QUARANTINE),
    ABANDONED: (WORKING, DONE, REJECTED, QUARANTINE),
    QUARANTINE: (DONE,),
    DONE: (QUARANTINE,),
    REJECTED: (),
}
LOOKUPS = 5
COLUMNS = "orders.*, purpose, trade, part, reason, intent.legs AS wanted, units, limit_cents, created_ns"
log = logging.getLogger("quantor.desk")


class Desk:
    """The orders of one journal at one broker.

    wait : seconds in which an order of unknown fate is looked up, at least LOOKUPS times
    """

    def __init__(self, journal: Journal, broker: Broker, clock: Clock, wait: float) -> None:
        self.journal, self.broker, self.clock, self.wait = journal, broker, clock, wait
        self.rejects = int(journal.get("rejects_in_row", 0))

    # ------------------------------------------------------------ sending

    def send(self, row: dict[str, Any], units: int, net_cents: int | None, held: Mapping[str, int], seen: Any) -> str:
        """Send one order; its state. row: cid, purpose, trade, part, reason, legs [[occ, side, opens, place], ...].

        net_cents : see OrderRequest; seen : quotes behind the price, for the journal; BrokerError: it must not be sent
        """
        legs = tuple(leg_of(*leg) for leg in row["legs"])
        request = OrderRequest(row["cid"], legs, units, net_cents)
        validate(request, held)
        now = self.clock.now_ns()
        with self.journal.transaction() as j:
            j.put(
                "intent", **{**row, "legs": text_of(row["legs"])}, units=units, limit_cents=net_cents, created_ns=now,
                seen=text_of(seen),
            )  # fmt: skip
            j.put("orders", cid=row["cid"], state=SENDING, seen_ns=now)
            j.event("intent", row["cid"], {**row, "units": units, "net_cents": net_cents, "seen": seen})
        reach("intent-committed")
        return self._post(request)

    def _post(self, request: OrderRequest) -> str:
        reach("before-post")
        try:
            order = self.broker.submit(request)
        except Refused as error:
            if error.kind == "duplicate":
                return self.resolve(request.cid)
            return self._reject(request.cid, error)
        except (Ambiguous, RateLimited) as error:
            self._state(request.cid, UNKNOWN, str(error))
            return self.resolve(request.cid)
        reach("after-post")
        return self.adopt(request.cid, order)

    def _reject(self, cid: str, error: Refused) -> str:
        self.rejects += 1
        with self.journal.transaction() as j:
            j.update("orders", "cid", cid, state=REJECTED, note=error.message[:200], seen_ns=self.clock.now_ns())
            j.set("rejects_in_row", self.rejects)
            j.event("rejected", cid, {"kind": error.kind, "status": error.status, "code": error.code})
        log.warning("order_rejected cid=%s kind=%s message=%s", cid, error.kind, error.message[:120])
        return REJECTED

    def _state(self, cid: str, state: str, note: str = "") -> None:
        with self.journal.transaction() as j:
            j.update("orders", "cid", cid, state=state, note=note[:200], seen_ns=self.clock.now_ns())
            j.event("state", cid, {"state": state, "note": note[:200]})

    def resolve(self, cid: str) -> str:
        """Find out what became of an order that may have arrived; sends it again, under its own id, at most once."""
        for again in (True, False):
            order = self._look_up(cid)
            if order is not None:
                return self.adopt(cid, order)
            if not again or not self._may_send_again(cid):
                break
            self._state(cid, SENDING, "sent again under the same id")
            try:
                order = self.broker.submit(self.request_of(cid))
            except Refused as error:
                if error.kind != "duplicate":
                    return self._reject(cid, error)
                continue
            except (Ambiguous, RateLimited) as error:
                self._state(cid, UNKNOWN, str(error))
                continue
            reach("after-post")
            return self.adopt(cid, order)
        self._state(cid, ABANDONED, "not found at the broker")
        return ABANDONED

    def _may_send_again(self, cid: str) -> bool:
        """An entry or a price that is minutes old is not sent after the fact."""
        created = self.journal.rows("SELECT created_ns FROM intent WHERE cid = ?", (cid,))[0]["created_ns"]
        return self.clock.now_ns() - created <= (self.wait + 60) * 1e9

    def _look_up(self, cid: str) -> Order | None:
        """The order by its own id; None after LOOKUPS definite 404s over `wait` seconds. An outage raises."""
        for tried in range(LOOKUPS):
            order = self.broker.order_by_cid(cid)
            if order is not None:
                return order
            if tried < LOOKUPS - 1:
                self.clock.sleep(self.wait / (LOOKUPS - 1))
        return None

    def request_of(self, cid: str) -> OrderRequest:
        row = self.journal.rows("SELECT * FROM intent WHERE cid = ?", (cid,))[0]
        return OrderRequest(
            cid, tuple(leg_of(*leg) for leg in json.loads(row["legs"])), row["units"], row["limit_cents"]
        )

    # ------------------------------------------------------------ following

    def adopt(self, cid: str, order: Order) -> str:
        """Take what the broker says of an order into the journal; its state."""
        row = self.journal.rows("SELECT * FROM orders WHERE cid = ?", (cid,))[0]
        legs = {leg.occ: [leg.filled, round(leg.price * 10_000)] for leg in order.legs}
        state = self._state_of(row, order)
        if order.filled < row["filled"]:  # taken back: the last that could be true is kept until somebody looks
            legs = json.loads(row["legs"])
        same = (state, order.said, order.filled, order.id) == (
            row["state"], row["broker_status"], row["filled"], row["broker_id"]
        )  # fmt: skip
        if same and json.loads(row["legs"]) == legs:
            return state
        with self.journal.transaction() as j:
            j.update(
                "orders", "cid", cid, state=state, broker_id=order.id, broker_status=order.said,
                filled=max(order.filled, row["filled"]), legs=text_of(legs), seen_ns=self.clock.now_ns(),
            )  # fmt: skip
            if self.rejects and order.said != "rejected":
                self.rejects = 0
                j.set("rejects_in_row", 0)
            j.event("order", cid, {"state": state, "status": order.said, "filled": order.filled, "legs": legs})
        if state == QUARANTINE and row["state"] != QUARANTINE:
            log.error("order_quarantined cid=%s status=%s filled=%s", cid, order.said, order.filled)
        return state

    def _state_of(self, row: Mapping[str, Any], order: Order) -> str:
        """The state that an answer means; what cannot be is quarantined."""
        impossible = order.filled < row["filled"] or order.filled > order.units
        impossible |= row["state"] == DONE and order.said != row["broker_status"]
        impossible |= any(leg.filled != order.filled for leg in order.legs)
        if impossible or order.status == UNKNOWN_STATUS or row["state"] == QUARANTINE:
            return DONE if row["state"] == QUARANTINE and order.done and not impossible else QUARANTINE
        if order.status == "rejected":
            self.rejects += 1
            return REJECTED
        if order.done:
            return DONE
        return CANCELLING if row["state"] == CANCELLING else WORKING

    def poll(self, cid: str) -> str:
        """Ask the broker about one order."""
        row = self.journal.rows("SELECT state, broker_id FROM orders WHERE cid = ?", (cid,))[0]
        if row["state"] in (SENDING, UNKNOWN):
            return self.resolve(cid)
        if row["state"] == ABANDONED:
            order = self.broker.order_by_cid(cid)
            if order is None:
                return ABANDONED
            self.adopt(cid, order)
            return self.cancel(cid)
        if not row["broker_id"]:
            return str(row["state"])
        order = self.broker.order(row["broker_id"])
        if order.status == "replaced" and order.replaced_by:
            order = self.broker.order(order.replaced_by)
        return self.adopt(cid, order)

    def cancel(self, cid: str) -> str:
        """Ask for a cancel; the state that the broker shows after it."""
        row = self.journal.rows("SELECT state, broker_id FROM orders WHERE cid = ?", (cid,))[0]
        if row["state"] in (DONE, REJECTED) or not row["broker_id"]:
            return str(row["state"])
        if row["state"] != CANCELLING:
            self._state(cid, CANCELLING if row["state"] != QUARANTINE else QUARANTINE, "cancel asked for")
        reach("before-cancel")
        try:
            self.broker.cancel(row["broker_id"])
        except (Ambiguous, RateLimited) as error:
            log.warning("cancel_unclear cid=%s why=%s", cid, error)
        except Refused as error:
            log.warning("cancel_refused cid=%s why=%s", cid, error.message[:120])
        reach("after-cancel")
        return self.poll(cid)

    def finish(self, cid: str, within: float, every: float = 1.0) -> str:
        """Cancel an order and follow it until it is done, for at most `within` seconds."""
        until = self.clock.now_ns() + int(within * 1e9)
        state = self.cancel(cid)
        while state in LIVE_STATES and self.clock.now_ns() < until:
            self.clock.sleep(every)
            state = self.poll(cid)
        return state

    def open_orders(self) -> list[dict[str, Any]]:
        """Orders that may still fill, oldest first, with their intents."""
        marks = ", ".join("?" * (len(LIVE_STATES) + 1))
        return self.journal.rows(
            f"SELECT {COLUMNS} FROM orders JOIN intent USING(cid) WHERE state IN ({marks}) ORDER BY created_ns, cid",
            (*LIVE_STATES, ABANDONED),
        )

    def unbooked(self) -> list[dict[str, Any]]:
        """Orders of which more is filled than the book knows."""
        return self.journal.rows(
            f"SELECT {COLUMNS} FROM orders JOIN intent USING(cid) WHERE filled > booked ORDER BY created_ns, cid"
        )

    def forget_abandoned(self) -> None:
        """A new session: day orders that never appeared are gone."""
        for row in self.journal.rows("SELECT cid FROM orders WHERE state = ?", (ABANDONED,)):
            self._state(row["cid"], REJECTED, "never seen at the broker")


def leg_of(occ: str, side: int, opens: int, _place: int) -> Leg:
    way = "buy" if side > 0 else "sell"
    return Leg(occ, way, INTENTS[way, bool(opens)])


def unbooked_legs(row: Mapping[str, Any]) -> dict[str, tuple[int, int]]:
    """(contracts, half-cents times contracts) of each leg that an order filled since it was booked last."""
    legs, booked, found = json.loads(row["legs"]), json.loads(row["booked_legs"]), {}
    for occ, *_ in json.loads(row["wanted"]):
        filled, price = legs[occ]
        before, price_before = booked.get(occ, [0, 0])
        found[occ] = (filled - before, round((filled * price - before * price_before) / 50))
    return found


def answer_of(rows: list[dict[str, Any]], contract: Callable[[str], int], event: int = 0) -> dict[str, Any]:
    """What the orders of one job filled since they were booked, as one answer to the engine (core.answered.ANSWER).

    rows : orders with their intents, of one trade and part; contract : OCC symbol -> number in today's market
    """
    units = sum(row["filled"] - row["booked"] for row in rows)
    price2, dearer, new_legs, net2 = [0] * 4, [0] * 4, [-1, -1], 0
    for occ, side, opens, place in json.loads(rows[0]["wanted"]):
        parts = [unbooked_legs(row)[occ] for row in rows]
        if sum(filled for filled, _ in parts) != units:
            raise BrokerError(f"order {rows[0]['cid']}: {occ} filled {parts}, its package {units} times")
        total2 = sum(total for _, total in parts)
        price2[place], dearer[place] = divmod(total2, units)
        net2 += side * total2
        if rows[0]["purpose"] == "roll" and opens:
            new_legs[place - 2] = contract(occ)
    first = rows[0]
    return {
        "trade": first["trade"], "part": first["part"], "reason": first["reason"], "contracts": units,
        "net": -((-net2) // (2 * units)), "new_legs": new_legs, "price2": price2, "dearer": dearer, "event": event,
    }  # fmt: skip
