"""The engine's book as plain values, and back: what it holds by number is written by name.

Rows become times, sessions and expiries days, contracts OCC symbols, so that tomorrow's market, which numbers them
anew, can take the book over. Numbers of trades stay: the ledger's trades are never numbered again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from core.errors import JournalError
from core.portfolio import IDLE
from core.types import ADJUSTMENT_FIELDS, FILL_FIELDS, HEAD, SLOT, TRADE_FIELDS

# What the fields of the book's records refer to; every other field is a number of its own.
ROWS = frozenset("last_entry hedge_decided smile_decided order_decided opened decided row closed exit_decided".split())
SESSIONS = frozenset("session edge_session breach_session due_until tested_on breach_on".split())
CONTRACTS = frozenset(
    "smile_contract breach_legs deal_legs order_legs legs new_legs leg0 leg1 leg2 leg3 contract new_short "
    "new_long".split()
)
EXPIRIES = frozenset({"expiry", "edge_expiry"})
# Scratch, made anew where it is needed.
SCRATCH = frozenset(
    "smile_greeks smile_leg smile_matrix smile_cost margin_sides risk_book risk_each deal_legs deal_leg side quote_bid "
    "quote_ask price2 event clean script".split()
)


class Names:
    """What the numbers of one market are called, and the way back.

    ts : int64 (N) UTC ns of its rows; days : (S) of its sessions; expiries : (X) days; occ : (C) symbols
    """

    def __init__(self, ts: Any, days: Any, expiries: Any, occ: list[str]) -> None:
        self.ts, self.days, self.expiries, self.occ = ts, days, expiries, occ
        self._contract = {name: c for c, name in enumerate(occ)}

    def kind(self, field: str) -> tuple[Callable[[int], Any], Callable[[Any], int]] | None:
        """(number -> name, name -> number) of a field, None for a plain number."""
        if field in ROWS:
            return lambda r: int(self.ts[r]), self._row
        if field in SESSIONS:
            return self._day_of, self._session
        if field in CONTRACTS:
            return lambda c: self.occ[c], self.number
        if field in EXPIRIES:
            return lambda x: int(self.expiries[x]), self._expiry
        return None

    def _day_of(self, s: int) -> int:
        """A session beyond the market (the last on which something may wait) counts on from the last day."""
        last = len(self.days) - 1
        return int(self.days[min(s, last)]) + max(s - last, 0)

    def _row(self, ts: int) -> int:
        r = int(np.searchsorted(self.ts, ts))
        return r if r < len(self.ts) and self.ts[r] == ts else -1

    def _session(self, day: int) -> int:
        """The session of a day, or the next one; -1 before the market's first."""
        s = int(np.searchsorted(self.days, day))
        return -1 if s == 0 and self.days[0] != day else s

    def number(self, occ: str) -> int:
        """The contract of an OCC symbol, -1 where this market does not list it."""
        return self._contract.get(occ, -1)

    def _expiry(self, day: int) -> int:
        x = int(np.searchsorted(self.expiries, day))
        return x if x < len(self.expiries) and self.expiries[x] == day else -1


def named(value: Any, name: Callable[[int], Any] | None) -> Any:
    """One field's value as JSON holds it: None for 'none' (-1) of what has names."""
    if isinstance(value, np.ndarray):
        return [named(v, name) for v in value.reshape(-1)]
    number = value.item()
    if name is None:
        return None if isinstance(number, float) and number != number else number
    return None if number < 0 or number >= IDLE else name(number)


def numbered(value: Any, number: Callable[[Any], int] | None) -> Any:
    """The way back from `named`."""
    if number is None:
        return np.nan if value is None else value
    return -1 if value is None else number(value)


def record_out(record: Any, fields: list[Any], names: Names) -> dict[str, Any]:
    """A HEAD or SLOT record by field name."""
    out = {}
    for field, *_ in fields:
        if field not in SCRATCH:
            kind = names.kind(field)
            out[field] = named(np.asarray(record[field])[()], kind[0] if kind else None)
    return out


def record_in(record: Any, fields: list[Any], saved: dict[str, Any], names: Names) -> None:
    """Fill a record from `record_out`'s; a field that is missing there is a JournalError."""
    for field, kind_of, *shape in fields:
        if field in SCRATCH:
            continue
        if field not in saved:
            raise JournalError(f"the saved book lacks '{field}': it was written by another version of this program")
        kind = names.kind(field)
        back = kind[1] if kind else None
        value = saved[field]
        if shape:
            values = [numbered(v, back) for v in value]
            record[field] = np.array(values, kind_of).reshape(shape[0])
        else:
            record[field] = numbered(value, back)


def book_out(book: Any, names: Names) -> dict[str, Any]:
    """The whole book as plain values."""
    slots = {str(p): record_out(book.slot[p], SLOT, names) for p in range(len(book.slot)) if book.slot[p].trade >= 0}
    return {"head": record_out(book.head, HEAD, names), "slots": slots}


def book_in(book: Any, saved: dict[str, Any], names: Names) -> None:
    """Fill an empty book from `book_out`'s. A held contract that this market does not list is a JournalError."""
    record_in(book.head, HEAD, saved["head"], names)
    for p, slot in saved["slots"].items():
        if int(p) >= len(book.slot):
            raise JournalError(
                f"the saved book holds a structure in place {p}, these settings have {len(book.slot)}; "
                "raise strategy.max_positions to what it was"
            )
        record_in(book.slot[int(p)], SLOT, slot, names)
        book.slot[int(p)].event = IDLE
        lost = [occ for occ, c in zip(slot["legs"], book.slot[int(p)].legs, strict=True) if occ is not None and c < 0]
        if lost:
            raise JournalError(f"the book holds {', '.join(lost)}, which today's market does not list")


def line_out(line: Any, fields: list[str], names: Names) -> list[Any]:
    """One row of the ledger's trades, fills or adjustments."""
    kinds = [names.kind(field) for field in fields]
    return [named(value, kind[0] if kind else None) for value, kind in zip(line, kinds, strict=True)]


def line_in(saved: list[Any], fields: list[str], names: Names) -> list[int]:
    """The way back from `line_out`."""
    kinds = [names.kind(field) for field in fields]
    return [int(numbered(value, kind[1] if kind else None)) for value, kind in zip(saved, kinds, strict=True)]


TABLES = {"trade": TRADE_FIELDS, "fill": FILL_FIELDS, "adjustment": ADJUSTMENT_FIELDS}


def held_contracts(saved: dict[str, Any]) -> set[str]:
    """OCC symbols that a saved book holds, is about to trade or has in an order."""
    found = {occ for slot in saved["slots"].values() for name in ("legs", "new_legs") for occ in slot[name] if occ}
    return found | {occ for occ in saved["head"]["order_legs"] if occ and saved["head"]["order_working"]}
