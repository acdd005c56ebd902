"""The rehearsed account: cash, positions, orders, fills, activities. Integer cents; every change is kept on disk.

Positions at cost and cash together never change by a trade (conservation); a unit of a package fills all its legs or
none, at leg prices that sum to the package's.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import uuid
from pathlib import Path
from typing import Any

from core.live.occ import parse_occ

TERMINAL = ("filled", "canceled", "expired", "rejected", "replaced")
HUNDRED = 100


def is_option(symbol: str) -> bool:
    return len(symbol) > 8


class Ledger:
    """State of one account, written to `path` after every change. seed: of ids."""

    def __init__(self, path: Path, seed: int, cash_cents: int, now_ns: int) -> None:
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=OFF")  # survives a killed process, which is what is rehearsed
        self._db.execute("CREATE TABLE IF NOT EXISTS state(id INTEGER PRIMARY KEY, body TEXT)")
        self._db.execute("CREATE TABLE IF NOT EXISTS request(id INTEGER PRIMARY KEY, body TEXT)")
        kept = self._db.execute("SELECT body FROM state WHERE id = 1").fetchone()
        self.state: dict[str, Any] = (
            json.loads(kept[0])
            if kept
            else {
                "seed": seed, "now": now_ns, "count": 0, "cash": cash_cents, "starting": cash_cents, "positions": {},
                "orders": {}, "fills": [], "activities": [], "settled": [], "last_equity": cash_cents, "worst": 0,
            }
        )  # fmt: skip

    def save(self) -> None:
        self._db.execute("INSERT OR REPLACE INTO state VALUES(1, ?)", (json.dumps(self.state),))

    def log_request(self, body: dict[str, Any]) -> None:
        self._db.execute("INSERT INTO request(body) VALUES(?)", (json.dumps(body),))

    def requests(self) -> list[dict[str, Any]]:
        return [json.loads(row[0]) for row in self._db.execute("SELECT body FROM request ORDER BY id")]

    @property
    def now(self) -> int:
        return int(self.state["now"])

    @property
    def positions(self) -> dict[str, list[int]]:
        """symbol -> [quantity, cost in cents (paid > 0)]."""
        found: dict[str, list[int]] = self.state["positions"]
        return found

    @property
    def orders(self) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = self.state["orders"]
        return found

    def new_id(self) -> str:
        """A UUID that the seed and a counter give: the same for the same requests."""
        self.state["count"] += 1
        text = f"{self.state['seed']}/{self.state['count']}"
        return str(uuid.uuid5(uuid.NAMESPACE_URL, text))

    def named_id(self, name: str) -> str:
        return str(uuid.uuid5(uuid.NAMESPACE_URL, f"name/{name}"))

    # ------------------------------------------------------------ money

    def move(self, symbol: str, quantity: int, price_cents: int) -> None:
        """Buy (> 0) or sell at a price; the cost of what is closed leaves in proportion, the rest is realised."""
        size = HUNDRED if is_option(symbol) else 1
        self.state["cash"] -= quantity * price_cents * size
        held, cost = self.positions.get(symbol, [0, 0])
        if held * quantity >= 0:
            held, cost = held + quantity, cost + quantity * price_cents * size
        else:
            closed = min(abs(quantity), abs(held)) * (1 if held > 0 else -1)
            left = held - closed
            cost_left = cost * left // held
            self.state["realised"] = self.state.get("realised", 0) + (closed * price_cents * size - (cost - cost_left))
            opened = quantity + closed
            held, cost = left + opened, cost_left + opened * price_cents * size
        if held:
            self.positions[symbol] = [held, cost]
        else:
            self.positions.pop(symbol, None)

    def conserved(self) -> bool:
        """cash + positions at cost = starting cash + what was realised."""
        at_cost = sum(cost for _, cost in self.positions.values())
        return bool(self.state["cash"] + at_cost == self.state["starting"] + self.state.get("realised", 0))

    # ------------------------------------------------------------ margin

    def margin(self, changes: dict[str, int] | None = None) -> int:
        """Universal spread rule, cents: by expiry the worst payoff over all prices, without premiums; the largest."""
        held = {s: q for s, (q, _) in self.positions.items() if is_option(s)}
        for symbol, quantity in (changes or {}).items():
            held[symbol] = held.get(symbol, 0) + quantity
        groups: dict[int, list[tuple[int, int, int]]] = {}
        for symbol, quantity in held.items():
            option = parse_occ(symbol)
            groups.setdefault(option.expiry_day, []).append((option.right, option.strike_cents, quantity))
        worst = 0
        for legs in groups.values():
            strikes = sorted({0, *(strike for _, strike, _ in legs)})
            for price in (*strikes, strikes[-1] + 100):
                payoff = sum(q * max(price - k if right else k - price, 0) for right, k, q in legs)
                worst = max(worst, -payoff * HUNDRED)
        return worst

    def naked_calls(self, changes: dict[str, int]) -> bool:
        """Whether some right of some expiry would hold more shorts than longs."""
        cover: dict[tuple[int, int], int] = {}
        for symbol in {*self.positions, *changes}:
            if is_option(symbol):
                option = parse_occ(symbol)
                group = (option.expiry_day, option.right)
                quantity = self.positions.get(symbol, [0, 0])[0] + changes.get(symbol, 0)
                cover[group] = cover.get(group, 0) + quantity
        return any(quantity < 0 for quantity in cover.values())

    def working_changes(self) -> dict[str, int]:
        """What all working orders would still do to the positions."""
        found: dict[str, int] = {}
        for order in self.orders.values():
            if order["status"] not in TERMINAL:
                left = order["units"] - order["filled"]
                for leg in order["legs"]:
                    found[leg["symbol"]] = found.get(leg["symbol"], 0) + leg["sign"] * left
        return found

    # ------------------------------------------------------------ proof

    def digest(self) -> str:
        """Hash of everything that happened, for comparing two rehearsals."""
        parts = {k: self.state[k] for k in ("cash", "positions", "orders", "fills", "activities")}
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
