"""Loaded by the trader's process in tests: no socket leaves this machine (I9); one safeguard removed on request."""

import os
import sys


def watch(event, args):
    if event == "socket.connect" and isinstance(args[1], tuple) and args[1][0] not in ("127.0.0.1", "::1"):
        raise RuntimeError(f"a socket to {args[1]} was opened")


sys.addaudithook(watch)


def without_lookup():
    """An order of unknown fate is sent again under another id."""
    from core.live import desk

    def resolve(self, cid):
        request = self.request_of(cid)
        self._state(cid, "REJECTED", "not looked up")
        row = self.journal.rows("SELECT * FROM intent WHERE cid = ?", (cid,))[0]
        again = {k: row[k] for k in ("purpose", "trade", "part", "reason")}
        legs = desk.json.loads(row["legs"])
        return self.send({**again, "cid": cid + "-again", "legs": legs}, request.units, request.net_cents, {}, {})

    desk.Desk.resolve = resolve


def without_timeout():
    from core.live import alpaca

    harden = alpaca.harden
    alpaca.harden = lambda client, seconds, observe: harden(client, 3600.0, observe)


def without_sign():
    from core.live import alpaca

    alpaca.limit_price = lambda net_cents, legs: abs(net_cents) / 100.0


def without_lock():
    from core.live import journal

    journal.Lock.__init__ = lambda self, path: None
    journal.Lock.release = lambda self: None


if os.environ.get("QMTF_MUTATION"):
    globals()["without_" + os.environ["QMTF_MUTATION"]]()
