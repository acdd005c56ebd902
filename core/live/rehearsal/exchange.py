"""Orders of the rehearsed account: accepted or refused as Alpaca does, matched, cancelled, expired, settled."""

from __future__ import annotations

from math import gcd
from typing import Any

from core.errors import BrokerError
from core.live.occ import parse_occ
from core.live.rehearsal.ledger import TERMINAL, Ledger, is_option
from core.live.rehearsal.market import Shown
from core.market.calendar import NS_DAY, NS_MINUTE

SECOND = 1_000_000_000
CANCEL_NS = 200_000_000  # from asking to canceled
LAST_OPENING_NS = 30 * NS_MINUTE  # before the close of its last day, when a contract opens nothing more
INTENTS = ("buy_to_open", "buy_to_close", "sell_to_open", "sell_to_close")
MONEY = 40310000
BAD = 42210000


class Refusal(Exception):
    def __init__(self, status: int, code: int, message: str, **more: Any) -> None:
        super().__init__(message)
        self.status, self.body = status, {"code": code, "message": message, **more}


class Exchange:
    """One account's orders on what the market shows. options: of the scenario (levels, blocks, how fills come)."""

    def __init__(self, ledger: Ledger, market: Shown, options: dict[str, Any]) -> None:
        self.ledger, self.market, self.options = ledger, market, options
        self.heard: list[dict[str, Any]] = []  # order updates for the stream

    # ------------------------------------------------------------ accepting

    def submit(self, body: dict[str, Any]) -> dict[str, Any]:
        """A new order, or a Refusal."""
        ledger = self.ledger
        if self.options.get("account_blocked") or self.options.get("trading_blocked"):
            raise Refusal(403, MONEY, "account is restricted from trading")
        cid = str(body.get("client_order_id") or ledger.new_id())
        if any(order["cid"] == cid for order in ledger.orders.values()):
            raise Refusal(int(self.options.get("duplicate_status", 422)), 40010001, "client_order_id must be unique")
        legs = self._legs(body)
        units = self._whole(body.get("qty"), "qty must be > 0")
        limit = self._limit(body, legs)
        self._check_contracts(legs)
        self._check_intents(legs, units)
        self._check_money(legs, units, limit)
        order = {
            "id": ledger.new_id(), "cid": cid, "class": "mleg" if len(legs) > 1 else "simple", "units": units,
            "filled": 0, "limit": limit, "type": body.get("type"), "status": "new", "created": ledger.now,
            "updated": ledger.now, "legs": legs, "total": 0, "cancel_at": None, "tries": 0, "foreign": False,
        }  # fmt: skip
        ledger.orders[order["id"]] = order
        self._hear("new", order)
        return order

    @staticmethod
    def _whole(value: Any, message: str) -> int:
        try:
            number = float(value)
        except (TypeError, ValueError):
            raise Refusal(422, 40010001, message) from None
        if number != int(number) or number <= 0:
            raise Refusal(422, 40010001, message)
        return int(number)

    def _legs(self, body: dict[str, Any]) -> list[dict[str, Any]]:
        if body.get("order_class") == "mleg":
            if self.options.get("mleg_disabled"):
                raise Refusal(403, MONEY, "submit mleg order is disabled")
            raw = body.get("legs") or []
            if not 2 <= len(raw) <= 4:
                raise Refusal(422, BAD, "mleg orders must have at least 2 legs and at most 4 legs")
        else:
            raw = [{**body, "ratio_qty": 1}]
        legs = []
        for i, leg in enumerate(raw):
            symbol, side = str(leg.get("symbol", "")), leg.get("side")
            ratio = self._whole(leg.get("ratio_qty", 1), "ratio_qty must be > 0")
            if side not in ("buy", "sell"):
                raise Refusal(422, BAD, f"leg.{i} side is required")
            if is_option(symbol) and len(raw) > 1 and leg.get("position_intent") not in INTENTS:
                raise Refusal(422, BAD, f"leg.{i} position intent is required")
            legs.append(
                {
                    "id": self.ledger.new_id(),
                    "symbol": symbol,
                    "side": side,
                    "sign": 1 if side == "buy" else -1,
                    "intent": leg.get("position_intent") or "",
                    "ratio": ratio,
                    "total": 0,
                }
            )
        if len({leg["symbol"] for leg in legs}) != len(legs):
            raise Refusal(422, BAD, "leg symbols must be unique")
        common = gcd(*(leg["ratio"] for leg in legs))
        if common != 1:
            said = " ".join(str(leg["ratio"]) for leg in legs)
            raise Refusal(422, BAD, f"leg ratio quantities should be relatively prime: GCD[{said}] = {common}")
        return legs

    @staticmethod
    def _limit(body: dict[str, Any], legs: list[dict[str, Any]]) -> int | None:
        """Net limit in cents, positive where the account pays; None for a market order."""
        kind = body.get("type")
        if kind == "market":
            return None
        if kind != "limit" or body.get("time_in_force") != "day":
            raise Refusal(422, 40010001, "only limit and market day orders are known here")
        try:
            price = float(body["limit_price"]) * 100.0
        except (KeyError, TypeError, ValueError):
            raise Refusal(422, 40010001, "limit orders require a limit price") from None
        if abs(price - round(price)) > 1e-6:
            raise Refusal(422, BAD, f"invalid limit_price {body['limit_price']}. sub-penny increment")
        return round(price) if len(legs) > 1 or legs[0]["side"] == "buy" else -round(price)

    def _check_contracts(self, legs: list[dict[str, Any]]) -> None:
        now, market = self.ledger.now, self.market
        session = market.session(now)
        for leg in legs:
            symbol = leg["symbol"]
            if not is_option(symbol):
                continue
            try:
                option = parse_occ(symbol)
            except BrokerError:
                raise Refusal(422, BAD, f"asset {symbol} not found") from None
            if symbol not in market.options:
                raise Refusal(422, BAD, f'contract "{symbol}" not found')
            if symbol in market.faults.get("not_tradable", ()):
                raise Refusal(422, BAD, f'contract "{symbol}" is not tradable')
            if option.expiry_day < now // NS_DAY:
                raise Refusal(422, BAD, f'contract "{symbol}" is expired')
            opens = leg["intent"].endswith("open")
            last_day = session >= 0 and option.expiry_day == int(market.tape.day[session])
            if opens and last_day and now >= int(market.tape.close_ns[session]) - LAST_OPENING_NS:
                raise Refusal(422, BAD, f'contract "{symbol}" expires soon, unable to open new positions')
        if session < 0:
            raise Refusal(422, BAD, "options orders are only allowed during market hours")

    def _check_intents(self, legs: list[dict[str, Any]], units: int) -> None:
        for leg in legs:
            if not is_option(leg["symbol"]):
                continue
            held = self.ledger.positions.get(leg["symbol"], [0, 0])[0]
            closes = held * leg["sign"] < 0
            inferred = f"{leg['side']}_to_{'close' if closes else 'open'}"
            if leg["intent"] and leg["intent"] != inferred:
                raise Refusal(422, BAD, f"position intent mismatch, inferred: {inferred}, specified: {leg['intent']}")
            leg["intent"] = inferred
            if closes and units * leg["ratio"] > abs(held) - self._held_for_orders(leg["symbol"], leg["sign"]):
                raise Refusal(
                    403, MONEY, f"insufficient qty available for order (requested: {units * leg['ratio']}, "
                    f"available: {abs(held)})"
                )  # fmt: skip

    def _held_for_orders(self, symbol: str, sign: int) -> int:
        return sum(
            (order["units"] - order["filled"]) * leg["ratio"]
            for order in self.ledger.orders.values()
            if order["status"] not in TERMINAL
            for leg in order["legs"]
            if leg["symbol"] == symbol and leg["sign"] == sign
        )

    def _check_money(self, legs: list[dict[str, Any]], units: int, limit: int | None) -> None:
        ledger = self.ledger
        changes = {leg["symbol"]: leg["sign"] * leg["ratio"] * units for leg in legs if is_option(leg["symbol"])}
        if not changes:
            return
        opens = any(leg["intent"].endswith("open") for leg in legs)
        if opens and int(self.options.get("options_trading_level", 3)) < (3 if len(legs) > 1 else 2):
            raise Refusal(403, MONEY, "account not eligible to trade spreads or uncovered contracts")
        if ledger.naked_calls(changes) and not all(leg["intent"] == "buy_to_close" for leg in legs):
            raise Refusal(403, MONEY, "account not eligible to trade uncovered option contracts")
        if opens:
            working = ledger.working_changes()
            both = {s: changes.get(s, 0) + working.get(s, 0) for s in {*changes, *working} if is_option(s)}
            need = ledger.margin(both) - ledger.margin(working) + (limit or 0) * 100 * units
            room = self.buying_power()
            if need > room:
                raise Refusal(
                    403, MONEY, "insufficient options buying power", options_buying_power=f"{room / 100:.2f}",
                    cost_basis=f"{need / 100:.2f}",
                )  # fmt: skip

    def buying_power(self) -> int:
        """Cash less margin, cents."""
        return max(int(self.ledger.state["cash"]) - self.ledger.margin(self.ledger.working_changes()), 0)

    # ------------------------------------------------------------ matching

    def natural(self, order: dict[str, Any]) -> tuple[int, list[int]] | None:
        """(net cents of one unit at the natural side, price of each leg); None where a leg has no price."""
        prices, net = [], 0
        for leg in order["legs"]:
            if is_option(leg["symbol"]):
                bid, ask = self.market.quote(leg["symbol"], self.ledger.now)
            else:
                cents = round(self.market.spot(self.ledger.now) * 100)
                bid, ask = cents - 1, cents + 1
            price = ask if leg["sign"] > 0 else bid
            if bid < 0 or ask <= 0 or (leg["sign"] < 0 and bid <= 0 and order["limit"] is None):
                return None
            prices.append(price)
            net += leg["sign"] * leg["ratio"] * price
        return net, prices

    def match(self) -> None:
        """Fill what the quotes allow, oldest order first."""
        if self.market.session(self.ledger.now) < 0 or self.market.faults.get("halted"):
            return
        for order in list(self.ledger.orders.values()):
            if order["status"] not in ("new", "partially_filled", "accepted", "pending_cancel"):
                continue
            if self.options.get("fills") == "never" and not order["foreign"]:
                continue
            found = self.natural(order)
            if found is None or (order["limit"] is not None and found[0] > order["limit"]):
                continue
            self._fill(order, *found)

    def _fill(self, order: dict[str, Any], net: int, prices: list[int]) -> None:
        left = order["units"] - order["filled"]
        most = self.options.get("units")
        if most is not None:
            if order["tries"] >= int(self.options.get("unit_fills", 1)):
                return
            left = min(left, int(most))
        order["tries"] += 1
        order["filled"] += left
        order["total"] += net * left
        now = self.ledger.now
        for leg, price in zip(order["legs"], prices, strict=True):
            quantity = leg["sign"] * leg["ratio"] * left
            leg["total"] += price * leg["ratio"] * left
            self.ledger.move(leg["symbol"], quantity, price)
            fill = {
                "id": self.ledger.new_id(), "at": now, "order": order["id"], "leg": leg["id"], "symbol": leg["symbol"],
                "quantity": quantity, "price": price, "left": order["units"] - order["filled"],
            }  # fmt: skip
            self.ledger.state["fills"].append(fill)
            self._activity("FILL", now, leg["symbol"], quantity, price, order=leg["id"], side=leg["side"])
        order["status"] = "filled" if order["filled"] == order["units"] else "partially_filled"
        if order["cancel_at"] is not None and order["status"] != "filled":
            order["status"] = "pending_cancel"
        order["updated"] = now
        self._hear("fill" if order["status"] == "filled" else "partial_fill", order)
        self._watch_risk()

    def _watch_risk(self) -> None:
        state = self.ledger.state
        state["worst"] = max(state["worst"], self.ledger.margin())
        state["ever_naked"] = bool(state.get("ever_naked")) or (
            self.ledger.naked_calls({}) and not state.get("broker_acted")
        )

    def cancel(self, order: dict[str, Any]) -> None:
        """Ask for a cancel; it takes effect a little later."""
        if self.options.get("cancel_disabled") and order["class"] == "mleg":
            raise Refusal(403, MONEY, "cancel mleg order is disabled")
        if order["status"] in TERMINAL:
            raise Refusal(422, BAD, f'order is not cancelable: order is already in "{order["status"]}" state')
        if order["cancel_at"] is None:
            order["cancel_at"] = self.ledger.now + int(self.options.get("cancel_ns", CANCEL_NS))
            order["status"] = "pending_cancel"
            if self.options.get("fill_on_cancel"):
                self.options["fills"] = "all"
                self.options.pop("units", None)
                order["limit"] = None
                self.match()

    def _end(self, order: dict[str, Any], status: str) -> None:
        order["status"], order["updated"] = status, self.ledger.now
        self._hear(status, order)

    # ------------------------------------------------------------ time

    def next_event(self, until: int) -> int:
        """The next moment in (now, until] at which something happens by itself."""
        now = self.ledger.now
        times = [until, *self.market.changes(now, until)[:1]]
        for s, close in enumerate(self.market.tape.close_ns.tolist()):
            times += [close, close - LAST_OPENING_NS, int(self.market.tape.open_ns[s]), midnight(close)]
        times += [o["cancel_at"] for o in self.ledger.orders.values() if o["cancel_at"] and o["status"] not in TERMINAL]
        return min(t for t in times if now < t <= until)

    def advance(self, until: int) -> None:
        """Let the virtual time run to `until`, event by event."""
        while self.ledger.now < until:
            self.ledger.state["now"] = self.next_event(until)
            self.happen()
        self.ledger.save()

    def happen(self) -> None:
        """Everything that is due now."""
        now = self.ledger.now
        for order in list(self.ledger.orders.values()):
            if order["status"] not in TERMINAL and order["cancel_at"] is not None and order["cancel_at"] <= now:
                self._end(order, "canceled")
        tape = self.market.tape
        for s, close in enumerate(tape.close_ns.tolist()):
            if now == close - LAST_OPENING_NS and self.options.get("liquidator"):
                self.liquidate(int(tape.day[s]))
            if now == close:
                self._close_session(int(tape.day[s]))
            if now == int(tape.open_ns[s]):
                self._open_session(s)
        self.match()

    def _close_session(self, day: int) -> None:
        for order in list(self.ledger.orders.values()):
            if order["status"] not in TERMINAL:
                self._end(order, "expired")
        if day in self.ledger.state["settled"]:
            return
        self.ledger.state["settled"].append(day)
        spot = round(self.market.spot(self.ledger.now) * 100)
        for symbol in sorted(s for s in self.ledger.positions if is_option(s)):
            option = parse_occ(symbol)
            if option.expiry_day == day:
                value = spot - option.strike_cents if option.right else option.strike_cents - spot
                self.remove(symbol, abs(self.ledger.positions[symbol][0]), value >= 1)
        self.ledger.state["last_equity"] = self.equity()

    def _open_session(self, s: int) -> None:
        for wish in self.options.get("assign", []):
            if wish.get("session", 1) == s and not wish.get("done"):
                wish["done"] = True
                shorts = [x for x, (q, _) in self.ledger.positions.items() if is_option(x) and q < 0]
                side = [
                    x for x in sorted(shorts) if parse_occ(x).right == (1 if wish.get("right", "call") == "call" else 0)
                ]
                if side:
                    self.remove(side[0], int(wish.get("contracts", 1)), True)

    def remove(self, symbol: str, contracts: int, delivers: bool) -> None:
        """Contracts go: exercised or assigned into shares, or worthless. Its entries are seen the next day."""
        self.ledger.state["broker_acted"] = True
        option = parse_occ(symbol)
        held = self.ledger.positions[symbol][0]
        contracts = min(contracts, abs(held))
        change = -contracts if held > 0 else contracts
        self.ledger.move(symbol, change, 0)
        later = midnight(self.ledger.now)
        if not delivers:
            self._activity("OPEXP", self.ledger.now, symbol, change, 0, seen=later)
            return
        kind = "OPEXC" if held > 0 else "OPASN"
        self._activity(kind, self.ledger.now, symbol, change, 0, seen=later)
        shares = 100 * contracts * (1 if (option.right == 1) == (held > 0) else -1)
        self.ledger.move("SPY", shares, option.strike_cents)
        self._activity("OPTRD", self.ledger.now, "SPY", shares, option.strike_cents, seen=later)

    def liquidate(self, day: int) -> None:
        """The broker closes one short leg of what expires today, by an order of its own."""
        self.ledger.state["broker_acted"] = True
        for symbol, (quantity, _) in sorted(self.ledger.positions.items()):
            if is_option(symbol) and quantity < 0 and parse_occ(symbol).expiry_day == day:
                leg = {
                    "id": self.ledger.new_id(), "symbol": symbol, "side": "buy", "sign": 1, "intent": "buy_to_close",
                    "ratio": 1, "total": 0,
                }  # fmt: skip
                order = {
                    "id": self.ledger.new_id(), "cid": self.ledger.new_id(), "class": "simple", "units": -quantity,
                    "filled": 0, "limit": None, "type": "market", "status": "new", "created": self.ledger.now,
                    "updated": self.ledger.now, "legs": [leg], "total": 0, "cancel_at": None, "tries": 0,
                    "foreign": True,
                }  # fmt: skip
                self.ledger.orders[order["id"]] = order
                return

    def equity(self) -> int:
        """Cash and positions at mid, cents."""
        total = int(self.ledger.state["cash"])
        for symbol, (quantity, _) in self.ledger.positions.items():
            if is_option(symbol):
                bid, ask = self.market.quote(symbol, self.ledger.now)
                total += quantity * 100 * max(bid + ask, 0) // 2
            else:
                total += quantity * round(self.market.spot(self.ledger.now) * 100)
        return total

    def _activity(
        self, kind: str, at: int, symbol: str, quantity: int, price: int, seen: int = 0, order: str = "", side: str = ""
    ) -> None:
        self.ledger.state["activities"].append(
            {
                "id": f"{at // 1_000_000:020d}::{self.ledger.new_id()}",
                "kind": kind,
                "at": at,
                "symbol": symbol,
                "quantity": quantity,
                "price": price,
                "seen": seen,
                "order": order,
                "side": side,
            }
        )

    def _hear(self, event: str, order: dict[str, Any]) -> None:
        self.heard.append({"event": event, "order": order["id"], "at": self.ledger.now})


def midnight(ns: int) -> int:
    """The next midnight of New York's winter, UTC ns."""
    five = 5 * 60 * NS_MINUTE
    return ((ns - five) // NS_DAY + 1) * NS_DAY + five
