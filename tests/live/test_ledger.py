"""The rehearsed account conserves: whatever is bought, sold, exercised or expires, nothing comes from nowhere."""

import tempfile
from pathlib import Path

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from core.live.rehearsal.exchange import Exchange, Refusal
from core.live.rehearsal.ledger import TERMINAL, Ledger
from core.live.rehearsal.market import Shown
from core.live.tape import drawn_tape

TAPE = drawn_tape("2026-03-02", dte=(28,), expires="2026-03-02")
EXPIRIES = ("260302", "260403")


class Account(RuleBasedStateMachine):
    """Orders, cancels, time and the broker's own acts in any order."""

    def __init__(self):
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        start = int(TAPE.open_ns[0]) + 60 * 10**9
        ledger = Ledger(Path(self.folder.name) / "l.sqlite", 1, 10_000_000, start)
        self.exchange = Exchange(ledger, Shown(TAPE, 60 * 10**9), {})
        self.count = 0

    def teardown(self):
        self.exchange.ledger._db.close()
        self.folder.cleanup()

    @rule(
        expiry=st.sampled_from(EXPIRIES), near=st.integers(2, 12), width=st.integers(1, 8), units=st.integers(1, 6),
        limit=st.integers(-400, 100), closes=st.booleans(),
    )  # fmt: skip
    def order(self, expiry, near, width, units, limit, closes):
        spot = round(self.exchange.market.spot(self.exchange.ledger.now))
        legs = [("P", spot - near - width, "buy"), ("P", spot - near, "sell"), ("C", spot + near, "sell"),
                ("C", spot + near + width, "buy")]  # fmt: skip
        turned = {"buy": "sell", "sell": "buy"}
        self.count += 1
        body = {
            "qty": units, "type": "limit", "time_in_force": "day", "order_class": "mleg",
            "client_order_id": f"o{self.count}", "limit_price": (-limit if closes else limit) / 100,
            "legs": [
                {"symbol": f"SPY{expiry}{right}{strike * 1000:08d}", "ratio_qty": 1,
                 "side": turned[side] if closes else side,
                 "position_intent": f"{turned[side] if closes else side}_to_{'close' if closes else 'open'}"}
                for right, strike, side in legs
            ],
        }  # fmt: skip
        try:
            self.exchange.submit(body)
        except Refusal:
            return
        self.exchange.match()

    @rule(minutes=st.integers(1, 90))
    def wait(self, minutes):
        end = int(TAPE.close_ns[-1]) + 3600 * 10**9
        self.exchange.advance(min(self.exchange.ledger.now + minutes * 60 * 10**9, end))

    @rule(pick=st.integers(0, 5))
    def cancel(self, pick):
        working = [o for o in self.exchange.ledger.orders.values() if o["status"] not in TERMINAL]
        if working:
            self.exchange.cancel(working[pick % len(working)])

    @rule(pick=st.integers(0, 20), contracts=st.integers(1, 3), delivers=st.booleans())
    def broker_acts(self, pick, contracts, delivers):
        held = sorted(s for s in self.exchange.ledger.positions if len(s) > 8)
        if held:
            self.exchange.remove(held[pick % len(held)], contracts, delivers)

    @rule(units=st.sampled_from([None, 1, 2]))
    def fills_come_in_units_of(self, units):
        self.exchange.options["units"] = units

    @invariant()
    def nothing_comes_from_nowhere(self):
        assert self.exchange.ledger.conserved()

    @invariant()
    def a_unit_fills_whole(self):
        for order in self.exchange.ledger.orders.values():
            assert 0 <= order["filled"] <= order["units"]
            total = sum(leg["sign"] * leg["total"] for leg in order["legs"])
            assert total == order["total"]

    @invariant()
    def no_more_is_promised_than_is_there(self):
        for symbol, (quantity, _) in self.exchange.ledger.positions.items():
            sign = 1 if quantity > 0 else -1
            if not self.exchange.ledger.state.get("broker_acted"):
                assert self.exchange._held_for_orders(symbol, -sign) <= abs(quantity)


TestAccount = Account.TestCase
TestAccount.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
