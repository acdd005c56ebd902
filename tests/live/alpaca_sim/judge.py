"""The invariants I1 to I10, judged from the broker's ledger and the journal, never from what the trader claims."""

import json
import re

from core.live.desk import MOVES, REJECTED, SENDING
from tests.live.alpaca_sim.stage import KEY, SECRET, ours, quick_check

OPEN_NS, CLOSE_NS = (14 * 60 + 30) * 60 * 10**9, 21 * 3600 * 10**9  # of a New York winter's day, UTC
DAY_NS = 86_400 * 10**9
WORKING = ("new", "accepted", "partially_filled", "pending_cancel")


def judge(stage, cap_cents=None, quiet=True, broker_acts=False):
    """Assert the invariants. quiet: nothing works any more, so that both books must agree."""
    ledger = stage.ledger()
    intents = {row["cid"]: row for row in stage.rows("SELECT * FROM intent")}
    requests = stage.control("requests")
    once(ledger, intents)
    if quiet:
        same_book(stage, ledger)
        working = [o["cid"] for o in ledger["orders"].values() if ours(o) and o["status"] in WORKING]
        assert not working, f"I2: {working} still works and nobody follows it"
    if cap_cents is not None:
        assert ledger["worst"] <= cap_cents, "I3: more at risk than allowed"
    if not broker_acts:
        assert not ledger.get("ever_naked"), "I4: a short without cover"
    assert ledger["conserved"]
    signs(ledger)
    lawful_moves(stage)
    in_session(requests)
    journal_first(stage, requests)
    assert quick_check(stage.account / "journal.sqlite") == "ok", "I7"
    stage.journal().close()  # verifies the chain (I7)
    artifacts = stage.artifacts()
    assert SECRET.encode() not in artifacts and KEY.encode() not in artifacts, "I8: a key was written"
    assert "a socket to" not in stage.text(), "I9"
    return ledger


def once(ledger, intents):
    """I1: one order per intent, and no job fills more than it wished."""
    mine = [order for order in ledger["orders"].values() if ours(order)]
    assert len({order["cid"] for order in mine}) == len(mine), "I1: an order id twice"
    mine = [order for order in mine if "-x" not in order["cid"]]  # shares: see journal_first
    assert {order["cid"] for order in mine} <= set(intents), "I1: an order without an intent"
    jobs = {}
    for order in mine:
        job = re.match(r"qmtf-\w+-\d+-\d+-\w+-", order["cid"]).group()
        jobs.setdefault(job, []).append(order)
    for job, orders in jobs.items():
        wished = max(intents[order["cid"]]["units"] for order in orders)
        assert sum(order["filled"] for order in orders) <= wished, f"I1: {job} filled more than it wished"
        working = [order for order in orders if order["status"] not in ("filled", "canceled", "expired", "rejected")]
        assert len(working) <= 1, f"I1: {job} works twice"


def lawful_moves(stage):
    """Every order went from state to state as core.live.desk.MOVES allows."""
    now = {}
    for row in stage.rows("SELECT kind, entity, body FROM event ORDER BY seq"):
        kind, cid = row["kind"], row["entity"]
        if kind in ("intent", "rejected"):
            state = {"intent": SENDING, "rejected": REJECTED}[kind]
        elif kind in ("state", "order"):
            state = json.loads(row["body"])["state"]
        else:
            continue
        before = now.get(cid, state)
        assert state == before or state in MOVES[before], f"{cid}: {before} -> {state}"
        now[cid] = state


def signs(ledger):
    """A package that opens is sold for a credit, one that closes is not paid for: the limit's sign says so."""
    for order in ledger["orders"].values():
        if ours(order) and len(order["legs"]) == 4 and order["limit"] is not None:
            opens = all(leg["intent"].endswith("open") for leg in order["legs"])
            closes = all(leg["intent"].endswith("close") for leg in order["legs"])
            assert not (opens and order["limit"] >= 0), f"{order['cid']} opens at {order['limit']}"
            assert not (closes and order["limit"] < 0), f"{order['cid']} closes at {order['limit']}"


def book_of(stage):
    """The journal's own positions: the book, and what filled since."""
    found = {}
    for row in stage.rows("SELECT body FROM book"):
        for slot in json.loads(row["body"])["slots"].values():
            for leg, occ in enumerate(slot["legs"]):
                if occ:
                    found[occ] = found.get(occ, 0) + (-1 if leg in (1, 2) else 1) * slot["contracts"]
    unbooked = stage.rows(
        "SELECT orders.*, intent.legs AS wanted FROM orders JOIN intent USING(cid) WHERE filled > booked"
    )
    for row in unbooked:
        legs, booked = json.loads(row["legs"]), json.loads(row["booked_legs"])
        for occ, side, *_ in json.loads(row["wanted"]):
            found[occ] = found.get(occ, 0) + side * (legs[occ][0] - booked.get(occ, [0])[0])
    return {occ: quantity for occ, quantity in found.items() if quantity}


def same_book(stage, ledger):
    """I2."""
    theirs = {symbol: quantity for symbol, (quantity, _) in ledger["positions"].items()}
    assert book_of(stage) == theirs, "I2: the books differ"


def in_session(requests):
    """I5: nothing is sent outside the session."""
    for request in requests:
        if request["method"] == "POST" and request["path"].startswith("/v2/orders"):
            assert OPEN_NS <= request["at"] % DAY_NS <= CLOSE_NS, "I5: an order outside the session"


def journal_first(stage, requests):
    """I6: every order was in the journal before it reached the broker."""
    created = {
        row["entity"]: row["ts_ns"] for row in stage.rows("SELECT entity, ts_ns FROM event WHERE kind = 'intent'")
    }
    created |= {
        row["entity"]: row["ts_ns"] for row in stage.rows("SELECT entity, ts_ns FROM event WHERE kind = 'shares'")
    }
    for request in requests:
        if request["method"] == "POST" and request["path"].startswith("/v2/orders"):
            cid = request["body"].get("client_order_id", "")
            assert cid in created and created[cid] <= request["at"], f"I6: {cid} was sent before it was written"
