"""The decision core of a live session: one row at a time, the broker's fills in, the orders that are wanted out."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from backtest_engine import check_market, most_adjustments, slots_of
from core.answered import answered_row, answers_of
from core.config import Config, read_fees
from core.costs import costs_from
from core.errors import ConfigError
from core.live.day_market import DayMarket, Snapshot
from core.live.state import TABLES, Names, book_in, book_out, line_in, line_out
from core.portfolio import new_book, new_ledger, note_open
from core.risk_manager import limits_from
from core.types import (
    ALL_LEGS,
    CALL,
    CASH,
    LEGS,
    LIQUIDATION,
    LONG_CALL,
    LONG_PUT,
    MARKS,
    ROLL,
    ROLL_CALL,
    SHORT_CALL,
    SHORT_PUT,
    VERDICT,
    Reason,
    T,
    record_of,
)
from strategies.rules import rules_from
from strategies.structures import STRUCTURES
from strategies.view import view_of

SPARE = 64  # trades that one session may add
OPEN, CLOSE, ROLL_SIDE = "open", "close", "roll"


class Wanted(NamedTuple):
    """One order that the engine left working. Prices in cents a share, positive: we pay.

    legs : (OCC symbol, +1 buy or -1 sell, 1 where it opens, its place in the package), see core.answered.ANSWER
    most : the highest net price that may be paid (of a credit: minus the least that is accepted); None: no bound
    """

    purpose: str  # OPEN, CLOSE, ROLL_SIDE
    trade: int  # -1 of an entry
    part: int
    reason: int
    units: int
    legs: tuple[tuple[str, int, int, int], ...]
    most: int | None
    width: int  # of the wider wing of what it trades, cents


class Step(NamedTuple):
    """What one row came to."""

    row: int
    ts: int
    verdict: int
    wanted: tuple[Wanted, ...]
    equity: int  # cents, at mid
    cash: int
    liquidation: int
    margin: int


def refuse_what_live_cannot(config: Config) -> None:
    """A ConfigError for settings that the live loop does not trade."""
    if config["strategy.hedge.delta_band"] > 0.0 or config["strategy.hedge.smile"] == "trade":
        raise ConfigError("strategy.hedge trades shares or single options, which live does not; set it off")
    if config["strategy.exits.expiry_rule"] != "flat":
        raise ConfigError(
            "strategy.exits.expiry_rule is settle, but the broker closes what expires today by itself; set flat"
        )
    if config["strategy.exits.flat_from"] > "14:40":
        raise ConfigError(
            f"strategy.exits.flat_from is {config['strategy.exits.flat_from']}; live must be flat by 15:00: "
            "set 14:40 or earlier"
        )
    if config["strategy.exits.flat_before_early_close"] < 60:
        raise ConfigError(
            f"strategy.exits.flat_before_early_close is {config['strategy.exits.flat_before_early_close']} minutes; "
            "live needs at least 60"
        )
    if config["account.cash_yield"] != "zero":
        raise ConfigError("account.cash_yield is tbill; the broker credits interest itself: set zero")
    if config["data.intraday_quotes"] != "snapshot":
        raise ConfigError("data.intraday_quotes is surface; live quotes come on every bar: set snapshot")


class Engine:
    """The strategy of `config` on a DayMarket, its book taken over from `saved` (see save).

    profit_rests : profit orders rest at the broker, so that reaching the target is no decision
    """

    def __init__(self, config: Config, day: DayMarket, cash_cents: int, profit_rests: bool = False) -> None:
        refuse_what_live_cannot(config)
        self.config, self.day = config, day
        self.rules = rules_from(config.values)
        # What the broker exercises or liquidates comes as its own report, not from the model.
        self.limits = limits_from(config.values)._replace(early_exercise=0, liquidates=0)
        legs = STRUCTURES[config["strategy.structure"]].legs
        self.costs = costs_from(config.values, read_fees(config["costs.fees"]), legs)
        self.records = record_of(self.rules), record_of(self.limits), record_of(self.costs)
        check_market(day.store, day.market, config, self.rules, self.costs)
        self.names = Names(day.rows.ts, day.rows.days, day.contracts.x_day, day.occ)
        self.book = new_book(cash_cents, 2 * slots_of(self.rules, self.limits), 2)
        self.profit_rests = int(profit_rests)
        self._open_ledger(0, 0, 0)

    def _open_ledger(self, trades: int, fills: int, adjustments: int) -> None:
        rows = len(self.day.rows.ts)
        more = most_adjustments(self.config, SPARE) + SPARE
        ledger = new_ledger(rows, trades + SPARE, adjustments + more)
        self.ledger = ledger._replace(f_int=np.zeros((fills + 32 * SPARE + rows, ledger.f_int.shape[1]), np.int64))
        self._known = {"trade": ledger.t_int[:0].copy(), "fill": 0, "adjustment": 0}

    # ------------------------------------------------------------ taking over and handing on

    def restore(self, saved: dict[str, Any], lines: dict[str, dict[int, list[Any]]]) -> None:
        """Take over a saved book and the ledger's lines (TABLES name -> number -> line)."""
        head = saved["head"]
        self._open_ledger(head["trades"], head["fills"], head["adjustments"])
        book_in(self.book, saved, self.names)
        arrays = {"trade": self.ledger.t_int, "fill": self.ledger.f_int, "adjustment": self.ledger.a_int}
        for table, fields in TABLES.items():
            for number, line in lines[table].items():
                arrays[table][number] = line_in(line, fields, self.names)
        self._note_known()

    def _note_known(self) -> None:
        head = self.book.head
        self._known = {
            "trade": self.ledger.t_int[: head.trades].copy(), "fill": int(head.fills),
            "adjustment": int(head.adjustments),
        }  # fmt: skip

    def save(self) -> tuple[dict[str, Any], dict[str, dict[int, list[Any]]]]:
        """(the book, the ledger's lines that are new or changed since the last save), as plain values."""
        note_open(self.book, self.ledger.t_int)
        head, known = self.book.head, self._known
        trades = self.ledger.t_int[: head.trades]
        before = known["trade"]
        changed = [n for n in range(len(trades)) if n >= len(before) or not np.array_equal(trades[n], before[n])]
        numbers = {
            "trade": changed,
            "fill": range(known["fill"], int(head.fills)),
            "adjustment": range(known["adjustment"], int(head.adjustments)),
        }
        arrays = {"trade": trades, "fill": self.ledger.f_int, "adjustment": self.ledger.a_int}
        lines = {
            table: {int(n): line_out(arrays[table][n], fields, self.names) for n in numbers[table]}
            for table, fields in TABLES.items()
        }
        self._note_known()
        return book_out(self.book, self.names), lines

    # ------------------------------------------------------------ one row

    def step(self, snapshot: Snapshot, answers: list[dict[str, Any]], veto: int = 0) -> Step:
        """Take in a snapshot, book what the broker filled since the last row, decide; what is wanted now.

        veto : a Reason that forbids entries, 0 none
        """
        r = self.day.take(snapshot)
        market = view_of(self.day.market, self.day.columns, self.config.values)
        answered_row(
            market, *self.records, self.book, self.ledger, answers_of(answers), self.profit_rests, veto, r
        )  # fmt: skip
        rows = self.ledger.rows
        return Step(
            row=r,
            ts=int(self.day.rows.ts[r]),
            verdict=int(self.ledger.codes[VERDICT, r]),
            wanted=tuple(self.wanted()),
            equity=int(rows[CASH, r] + rows[MARKS, r]),
            cash=int(rows[CASH, r]),
            liquidation=int(rows[LIQUIDATION, r]),
            margin=int(self.book.head.margin),
        )

    # ------------------------------------------------------------ orders

    def wanted(self) -> list[Wanted]:
        """The orders that the book holds working: closes and rolls of structures first, then the entry."""
        slots = [p for p in range(len(self.book.slot)) if self.book.slot[p].trade >= 0]
        orders = [self._of_slot(self.book.slot[p]) for p in slots if self.book.slot[p].closing]
        if self.book.head.order_working:
            orders.append(self._entry())
        return [order for order in orders if order.legs]

    def resting(self) -> list[Wanted]:
        """The profit orders of structures that have no other order working."""
        found = []
        for slot in self.book.slot:
            if slot.trade >= 0 and not slot.closing and slot.target > 0:
                found.append(self._of_slot(slot, ALL_LEGS, Reason.PROFIT_TARGET))
        return found

    def _entry(self) -> Wanted:
        head = self.book.head
        legs = [(c, -1 if leg in (SHORT_PUT, SHORT_CALL) else 1, 1, leg) for leg, c in enumerate(head.order_legs)]
        budget = head.order_width - head.order_budget // (100 * max(int(head.order_contracts), 1))
        least = max(int(head.order_floor), int(budget))
        return Wanted(
            OPEN, -1, ALL_LEGS, 0, int(head.order_contracts), self._named(legs), -least, int(head.order_width)
        )  # fmt: skip

    def _of_slot(self, slot: Any, part: int | None = None, reason: int | None = None) -> Wanted:
        part = int(slot.part) if part is None else part
        reason = int(slot.closing) if reason is None else reason
        if part & ROLL:
            right = CALL if part == ROLL_CALL else 0
            short, long = (SHORT_CALL, LONG_CALL) if right == CALL else (SHORT_PUT, LONG_PUT)
            legs = [
                (slot.legs[short], 1, 0, 0), (slot.legs[long], -1, 0, 1),
                (slot.new_legs[0], -1, 1, 2), (slot.new_legs[1], 1, 1, 3),
            ]  # fmt: skip
            most: int | None = -int(self.rules.roll_min_credit)
            return Wanted(
                ROLL_SIDE, int(slot.trade), part, reason, int(slot.contracts), self._named(legs), most, int(slot.width)
            )  # fmt: skip
        legs = [
            (slot.legs[leg], 1 if leg in (SHORT_PUT, SHORT_CALL) else -1, 0, leg)
            for leg in range(LEGS)
            if (part >> leg) & 1
        ]
        width = self._width(slot, part)
        shorts = any(c >= 0 and side > 0 for c, side, _, _ in legs)
        most = (width or None) if shorts else 0
        if reason == Reason.PROFIT_TARGET:
            most = int(slot.target)
        return Wanted(CLOSE, int(slot.trade), part, reason, int(slot.contracts), self._named(legs), most, width)

    def _width(self, slot: Any, part: int) -> int:
        """Wider of the verticals that a part closes, cents; 0 for single legs."""
        strike = self.day.market.con.strike
        widths = [0]
        for short, long in ((SHORT_PUT, LONG_PUT), (SHORT_CALL, LONG_CALL)):
            if all((part >> leg) & 1 and slot.legs[leg] >= 0 for leg in (short, long)):
                widths.append(abs(int(strike[slot.legs[short]]) - int(strike[slot.legs[long]])))
        return max(widths)

    def _named(self, legs: list[tuple[int, int, int, int]]) -> tuple[tuple[str, int, int, int], ...]:
        return tuple((self.day.occ[c], side, opens, place) for c, side, opens, place in legs if c >= 0)

    def leave(self, trade: int, reason: int, row: int) -> None:
        """Everything that is left of a structure is to be closed, whatever its rules say."""
        for p in range(len(self.book.slot)):
            if self.book.slot[p].trade == trade:
                slot = self.book.slot[p]
                slot.closing, slot.part, slot.decided, slot.tries = reason, ALL_LEGS, row, 0

    def withdraw_entry(self) -> None:
        """The working entry order is dropped: nothing of it will be sent any more."""
        self.book.head.order_working = 0

    def reinstate_entry(self, legs: dict[int, str], units: int, row: int) -> None:
        """An entry that the book had given up filled after all: it is the working order again, to be answered.

        legs : OCC symbol by place
        """
        head = self.book.head
        head.order_legs[:] = [self.names.number(legs[place]) if place in legs else -1 for place in range(LEGS)]
        strike = self.day.market.con.strike
        pairs = ((SHORT_PUT, LONG_PUT), (SHORT_CALL, LONG_CALL))
        widths = [
            abs(int(strike[head.order_legs[a]]) - int(strike[head.order_legs[b]]))
            for a, b in pairs
            if head.order_legs[a] >= 0
        ]
        head.order_working, head.order_decided, head.order_tries = 1, row, 0
        head.order_contracts, head.order_width, head.order_floor = units, max(widths), 0
        head.order_campaign, head.order_out = -1, 0

    # ------------------------------------------------------------ what is held

    def positions(self) -> dict[str, int]:
        """Contracts held by OCC symbol, short < 0."""
        held: dict[str, int] = {}
        for slot in self.book.slot:
            if slot.trade >= 0:
                for leg, c in enumerate(slot.legs):
                    if c >= 0:
                        sign = -1 if leg in (SHORT_PUT, SHORT_CALL) else 1
                        held[self.day.occ[c]] = held.get(self.day.occ[c], 0) + sign * int(slot.contracts)
        return {occ: quantity for occ, quantity in held.items() if quantity}

    def worst_loss(self) -> int:
        """Sum of the largest losses of what is open, cents."""
        return int(sum(self.ledger.t_int[s.trade, T["max_loss"]] for s in self.book.slot if s.trade >= 0))
