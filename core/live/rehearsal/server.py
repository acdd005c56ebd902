"""The rehearsal server: Alpaca's paths over HTTP on 127.0.0.1, a virtual clock, and a control door for tests.

Every request costs the virtual clock a little; otherwise it moves when the trader waits (POST /_sim/clock).
"""

from __future__ import annotations

import asyncio
import email.utils
import json
import time
from typing import Any

from aiohttp import WSMsgType, web

from core.live.records import stamp_of
from core.live.rehearsal import bodies
from core.live.rehearsal.exchange import MONEY, Exchange, Refusal
from core.live.rehearsal.faults import AFTER, BEFORE, Faults, spoil
from core.live.rehearsal.ledger import TERMINAL
from core.market.calendar import NS_DAY, NS_MINUTE, day_number, day_text, minute_of_day

A_MINUTE = 200
SLICE_SECONDS = 0.05
OFFSET_MINUTES = -300


class Server:
    """One rehearsed account behind HTTP. speed: virtual seconds a second of real time (0: no waiting)."""

    def __init__(self, exchange: Exchange, faults: Faults, token: str, speed: float, latency_ms: int) -> None:
        self.exchange, self.faults, self.token = exchange, faults, token
        self.speed, self.latency_ns = speed, latency_ms * 1_000_000
        self.ledger, self.market = exchange.ledger, exchange.market
        self._used: dict[str, list[int]] = {"trading": [], "data": []}
        self._sockets: list[web.WebSocketResponse] = []
        self._lock = asyncio.Lock()

    def app(self) -> web.Application:
        app = web.Application(client_max_size=2**20)
        app.router.add_route("*", "/_sim/{what}", self.control)
        app.router.add_get("/stream", self.stream)
        app.router.add_route("*", "/{path:.*}", self.answer)
        return app

    # ------------------------------------------------------------ one request

    async def answer(self, request: web.Request) -> web.StreamResponse:
        received = time.time_ns()
        body: Any = {}
        if request.can_read_body:
            try:
                body = await request.json()
            except json.JSONDecodeError:
                body = {}
        cid = (
            str(body.get("client_order_id") or request.query.get("client_order_id") or "")
            if isinstance(body, dict)
            else ""
        )
        async with self._lock:
            self.exchange.advance(self.ledger.now + self.latency_ns)
        entry = {
            "at": self.ledger.now,
            "received": received,
            "method": request.method,
            "path": request.path_qs,
            "body": body,
        }
        rule = self.faults.find(request, BEFORE, cid)
        if rule is not None:
            self.ledger.log_request({**entry, "fault": rule["id"]})
            return await self._spoiled(rule, request, None)
        async with self._lock:
            response = self._respond(request, body)
            self.ledger.save()
        self.ledger.log_request({**entry, "status": response.status})
        rule = self.faults.find(request, AFTER, cid)
        if rule is not None:
            return await self._spoiled(rule, request, response)
        await self._tell_streams()
        return response

    async def _spoiled(
        self, rule: dict[str, Any], request: web.Request, answer: web.Response | None
    ) -> web.StreamResponse:
        spoiled = await spoil(rule, request, answer)
        if spoiled is None:
            raise ConnectionResetError
        return spoiled

    def _respond(self, request: web.Request, body: Any) -> web.Response:
        if not request.headers.get("APCA-API-KEY-ID") or not request.headers.get("APCA-API-SECRET-KEY"):
            return web.json_response({"message": "unauthorized."}, status=401)
        keys = self.exchange.options.get("keys")
        if keys and request.headers["APCA-API-KEY-ID"] not in keys:
            return web.json_response({"message": "unauthorized."}, status=401)
        headers, limited = self._rate(request)
        try:
            if limited:
                raise Refusal(429, 42910000, "too many requests.")
            found = self._route(request, body)
        except Refusal as refusal:
            return web.json_response(refusal.body, status=refusal.status, headers=headers)
        if found is None:
            return web.Response(status=204, headers=headers)
        return web.json_response(found, headers=headers)

    def _rate(self, request: web.Request) -> tuple[dict[str, str], bool]:
        kind = "data" if "/stocks/" in request.path or "/v1beta1/" in request.path else "trading"
        now = self.ledger.now
        used = [t for t in self._used[kind] if t > now - NS_MINUTE]
        limited = len(used) >= A_MINUTE
        if not limited:
            used.append(now)
        self._used[kind] = used
        reset = (used[0] + NS_MINUTE) // 1_000_000_000 + 1
        date = email.utils.formatdate(now / 1e9, usegmt=True)
        return {
            "X-Request-ID": self.ledger.new_id().replace("-", ""), "Date": date, "X-RateLimit-Limit": str(A_MINUTE),
            "X-RateLimit-Remaining": str(max(A_MINUTE - len(used), 0)), "X-RateLimit-Reset": str(reset),
        }, limited  # fmt: skip

    # ------------------------------------------------------------ paths

    def _route(self, request: web.Request, body: Any) -> Any:
        path, method, query = request.path, request.method, request.query
        exact = {
            ("GET", "/v2/account"): lambda: bodies.account(self.exchange),
            ("GET", "/v2/account/configurations"): self.configurations,
            ("PATCH", "/v2/account/configurations"): self.configurations,
            ("GET", "/v2/clock"): self.clock,
            ("GET", "/v2/calendar"): lambda: self.calendar(query),
            ("GET", "/v2/options/contracts"): lambda: self.contracts(query),
            ("GET", "/v2/orders"): lambda: self.list_orders(query),
            ("POST", "/v2/orders"): lambda: self.new_order(body),
            ("DELETE", "/v2/orders"): self.cancel_all,
            ("GET", "/v2/orders:by_client_order_id"): lambda: self.by_cid(query.get("client_order_id", "")),
            ("GET", "/v2/positions"): lambda: [
                bodies.position(self.exchange, s) for s in sorted(self.ledger.positions)
            ],
            ("GET", "/v2/account/activities"): lambda: self.activities(query),
            ("GET", "/v1beta1/options/quotes/latest"): lambda: self.option_quotes(query),
            ("GET", "/v1beta1/options/bars"): lambda: self.option_bars(query),
            ("GET", "/v2/stocks/bars"): lambda: self.stock_bars(query),
            ("GET", "/v2/stocks/quotes/latest"): lambda: self.stock_quotes(query),
        }
        if (method, path) in exact:
            return exact[method, path]()
        parts = path.strip("/").split("/")
        tail = parts[-1]
        if method == "GET" and path.startswith("/v1beta1/options/snapshots"):
            return self.snapshots(query)
        if path.startswith("/v2/orders/") and len(parts) == 3:
            return self.one_order(method, tail, query)
        if path.startswith("/v2/positions/") and method == "GET":
            if tail not in self.ledger.positions:
                raise Refusal(404, 40410000, "position does not exist")
            return bodies.position(self.exchange, tail)
        if path.startswith("/v2/positions/") and tail in ("exercise", "do-not-exercise"):
            return self.exercise(parts[-2], tail)
        if path.startswith("/v2/options/contracts/") and method == "GET":
            if tail not in self.market.options:
                raise Refusal(404, 40410000, f"contract {tail} not found")
            return self.market.contract_body(tail, self.ledger.named_id)
        if path.startswith("/v2/account/activities/") and method == "GET":
            return self.activities({**query, "activity_types": tail})
        raise Refusal(404, 40410000, f"no path {method} {path} in the rehearsal")

    def positions(self) -> list[dict[str, Any]]:
        return [bodies.position(self.exchange, symbol) for symbol in sorted(self.ledger.positions)]

    @staticmethod
    def configurations() -> dict[str, Any]:
        return {
            "dtbp_check": "entry", "trade_confirm_email": "none", "suspend_trade": False, "no_shorting": False,
            "fractional_trading": False, "max_margin_multiplier": "2", "max_options_trading_level": 3,
            "pdt_check": "entry", "ptp_no_exception_entry": False,
        }  # fmt: skip

    def clock(self) -> dict[str, Any]:
        now, tape = self.ledger.now + int(self.market.faults.get("skew_s", 0) * 1e9), self.market.tape
        opens = [t for t in tape.open_ns.tolist() if t > now] or [int(tape.open_ns[-1]) + NS_DAY]
        closes = [t for t in tape.close_ns.tolist() if t > now] or [int(tape.close_ns[-1]) + NS_DAY]
        return {
            "timestamp": bodies.stamp(now), "is_open": self.market.session(now) >= 0,
            "next_open": bodies.stamp(opens[0]), "next_close": bodies.stamp(closes[0]),
        }  # fmt: skip

    def calendar(self, query: Any) -> list[dict[str, Any]]:
        """The sessions of the tape; days beyond it are whole ones by the exchange's calendar of the tape's own days."""
        first, last = (day_number(query.get(name, "1970-01-01")) for name in ("start", "end"))
        tape, found = self.market.tape, []
        for day, opens, closes in zip(tape.day.tolist(), tape.open_ns.tolist(), tape.close_ns.tolist(), strict=True):
            if first <= day <= last:
                offset = (day * NS_DAY + 570 * NS_MINUTE - opens) // NS_MINUTE
                minute = int(minute_of_day(closes, day, offset))
                minute += int(self.market.faults.get("calendar_shift", 0))
                text = f"{minute // 60:02d}:{minute % 60:02d}"
                found.append(
                    {
                        "date": day_text(day),
                        "open": "09:30",
                        "close": text,
                        "session_open": "0400",
                        "session_close": "2000",
                        "settlement_date": day_text(day + 1),
                    }
                )
        return found

    def contracts(self, query: Any) -> dict[str, Any]:
        now = self.ledger.now
        first = day_number(query.get("expiration_date_gte", day_text(now // NS_DAY)))
        last = day_number(query.get("expiration_date_lte", day_text(now // NS_DAY + 7)))
        listed = [] if query.get("status") == "inactive" else self.market.listed(now)
        rows = [s for s in listed if first <= self.market.options[s].expiry_day <= last]
        page, token = paged(rows, int(query.get("limit", 100)), query.get("page_token"))
        found = [self.market.contract_body(s, self.ledger.named_id) for s in page]
        if self.market.faults.get("adjusted_root") and found:
            found.append({**found[0], "symbol": "SPY1" + found[0]["symbol"][3:], "root_symbol": "SPY1"})
        return {"option_contracts": found, "next_page_token": token}

    def _feed(self, query: Any) -> None:
        if query.get("feed") == "opra" and self.market.faults.get("no_opra"):
            raise Refusal(403, 40310000, "OPRA agreement is not signed")
        if query.get("feed") == "sip" and self.market.faults.get("no_sip"):
            raise Refusal(403, 40310000, "subscription does not permit querying recent SIP data")

    def snapshots(self, query: Any) -> dict[str, Any]:
        self._feed(query)
        now = self.ledger.now
        first = day_number(query.get("expiration_date_gte", "1970-01-01"))
        last = day_number(query.get("expiration_date_lte", "2200-01-01"))
        low = float(query.get("strike_price_gte", 0)) * 100
        high = float(query.get("strike_price_lte", 1e9)) * 100
        rows = [
            s
            for s in self.market.listed(now)
            if first <= self.market.options[s].expiry_day <= last and low <= self.market.options[s].strike_cents <= high
        ]
        limit = int(self.market.faults.get("page", query.get("limit", 100)))
        page, token = paged(rows, limit, query.get("page_token"))
        if self.market.faults.get("doubled") and query.get("page_token") and rows:
            page = [rows[0], *page]
        if self.market.faults.get("same_token"):
            token = "again"
        return {
            "snapshots": {s: self.market.snapshot_body(s, now, bodies.stamp) for s in page}, "next_page_token": token,
        }  # fmt: skip

    def option_quotes(self, query: Any) -> dict[str, Any]:
        self._feed(query)
        now = self.ledger.now
        names = [s for s in query.get("symbols", "").split(",") if s in self.market.options]
        return {"quotes": {s: self.market.quote_body(s, now, bodies.stamp) for s in names}}

    def stock_bars(self, query: Any) -> dict[str, Any]:
        self._feed(query)
        if query.get("timeframe") != "5Min":
            raise Refusal(400, 40010000, "the rehearsal holds 5Min bars")
        start, end = stamp_of(query["start"]), stamp_of(query.get("end")) or self.ledger.now
        rows = self.market.closed_bars(start, end, self.ledger.now, bodies.stamp)
        page, token = paged(rows, int(query.get("limit", 1000)), query.get("page_token"))
        return {"bars": {"SPY": page} if page else {}, "next_page_token": token, "currency": "USD"}

    def option_bars(self, query: Any) -> dict[str, Any]:
        """Bars of trades: one at the mid of each row's close, for every second row, as if not all of them traded."""
        start, end = stamp_of(query["start"]), stamp_of(query.get("end")) or self.ledger.now
        rows: list[tuple[str, dict[str, Any]]] = []
        for occ in query.get("symbols", "").split(","):
            if occ in self.market.options:
                rows += [(occ, bar) for bar in self.market.option_bars(occ, start, end, self.ledger.now, bodies.stamp)]
        page, token = paged(rows, int(query.get("limit", 1000)), query.get("page_token"))
        found: dict[str, list[dict[str, Any]]] = {}
        for occ, bar in page:
            found.setdefault(occ, []).append(bar)
        return {"bars": found, "next_page_token": token}

    def stock_quotes(self, query: Any) -> dict[str, Any]:
        self._feed(query)
        now, spot = self.ledger.now, self.market.spot(self.ledger.now)
        quote = {
            "t": bodies.stamp(now), "ax": "V", "ap": round(spot + 0.01, 2), "as": 1, "bx": "V",
            "bp": round(spot - 0.01, 2), "bs": 1, "c": ["R"], "z": "B",
        }  # fmt: skip
        return {"quotes": {"SPY": quote}, "currency": "USD"}

    # ------------------------------------------------------------ orders

    def new_order(self, body: Any) -> dict[str, Any]:
        if not isinstance(body, dict):
            raise Refusal(400, 40010000, "request body format is invalid")
        order = self.exchange.submit(body)
        self.exchange.match()
        return bodies.order(self.ledger, order)

    def by_cid(self, cid: str) -> dict[str, Any]:
        order = next((o for o in self.ledger.orders.values() if o["cid"] == cid), None)
        if order is None or self.faults.lagging(cid):
            raise Refusal(404, 40410000, f"order not found for {cid}")
        return bodies.order(self.ledger, order)

    def one_order(self, method: str, name: str, query: Any) -> Any:
        order = self.ledger.orders.get(name)
        if order is None:
            if any(leg["id"] == name for o in self.ledger.orders.values() for leg in o["legs"]):
                raise Refusal(422, 42210000, "cannot cancel individual legs of a mleg order")
            raise Refusal(404, 40410000, f"order not found for {name}")
        if method == "DELETE":
            self.exchange.cancel(order)
            return None
        if method == "PATCH":
            raise Refusal(403, MONEY, "replace mleg order is disabled")
        return bodies.order(self.ledger, order, query.get("nested", "").lower() == "true")

    def list_orders(self, query: Any) -> list[dict[str, Any]]:
        status, after = query.get("status", "open"), stamp_of(query.get("after"))
        rows = [
            o
            for o in self.ledger.orders.values()
            if (status == "all" or (o["status"] in TERMINAL) == (status == "closed")) and o["created"] > after
        ]
        rows.sort(key=lambda o: (o["created"], o["id"]), reverse=query.get("direction", "desc") == "desc")
        nested = query.get("nested", "").lower() == "true"
        return [bodies.order(self.ledger, o, nested) for o in rows[: int(query.get("limit", 50))]]

    def cancel_all(self) -> list[dict[str, Any]]:
        found = []
        for order in self.ledger.orders.values():
            if order["status"] not in TERMINAL:
                self.exchange.cancel(order)
                found.append({"id": order["id"], "status": 200})
        return found

    def activities(self, query: Any) -> list[dict[str, Any]]:
        kinds = set(filter(None, query.get("activity_types", "").split(",")))
        after = query.get("after", "")
        rows = [
            a
            for a in self.ledger.state["activities"]
            if (not kinds or a["kind"] in kinds) and a["seen"] <= self.ledger.now and bodies.stamp(a["at"]) > after
        ]
        token = query.get("page_token")
        rows = sorted(rows, key=lambda a: a["id"])
        rows = [a for a in rows if not token or a["id"] > token]
        return [bodies.activity(a) for a in rows[: int(query.get("page_size", 100))]]

    def exercise(self, symbol: str, what: str) -> None:
        held = self.ledger.positions.get(symbol, [0, 0])[0]
        if not held:
            raise Refusal(403, 40310000, "no available position")
        if held < 0:
            raise Refusal(403, 40310001, f"cannot {what} a short position")

    # ------------------------------------------------------------ streams

    async def stream(self, request: web.Request) -> web.WebSocketResponse:
        """The stream of order updates: binary frames that hold JSON."""
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            if message.type not in (WSMsgType.TEXT, WSMsgType.BINARY):
                break
            said = json.loads(message.data)
            if said.get("action") in ("authenticate", "auth"):
                if self.exchange.options.get("stream_refused"):
                    await self._frame(socket, {"stream": "authorization", "data": {"status": "unauthorized"}})
                    break
                data = {"status": "authorized", "action": "authenticate"}
                await self._frame(socket, {"stream": "authorization", "data": data})
            elif said.get("action") == "listen":
                streams = [] if self.exchange.options.get("stream_unheard") else ["trade_updates"]
                self._sockets.append(socket)
                await self._frame(socket, {"stream": "listening", "data": {"streams": streams}})
        if socket in self._sockets:
            self._sockets.remove(socket)
        return socket

    @staticmethod
    async def _frame(socket: web.WebSocketResponse, body: Any) -> None:
        await socket.send_bytes(json.dumps(body).encode())

    async def _tell_streams(self) -> None:
        heard, self.exchange.heard = self.exchange.heard, []
        options = self.exchange.options
        if options.get("stream_mute"):
            return
        if heard and options.get("stream_drop"):
            for socket in self._sockets:
                await socket.close()
            return
        if options.get("stream_doubled"):
            heard = [*reversed(heard), *heard, {**heard[0], "event": "frobnicated"}] if heard else heard
        for event in heard:
            order = self.ledger.orders[event["order"]]
            data = {
                "event": event["event"], "timestamp": bodies.stamp(event["at"]),
                "order": bodies.order(self.ledger, order),
                "execution_id": self.ledger.named_id(f"{event['order']}{event['at']}"),
            }  # fmt: skip
            for socket in [s for s in self._sockets if not s.closed]:
                if options.get("stream_bad"):
                    await socket.send_bytes(b"\x00not json")
                await self._frame(socket, {"stream": "trade_updates", "data": data})

    # ------------------------------------------------------------ the control door

    async def control(self, request: web.Request) -> web.Response:
        what = request.match_info["what"]
        if what == "clock" and request.method == "GET":
            return web.json_response({"now_ns": self.ledger.now})
        if request.headers.get("X-Sim-Token") != self.token:
            return web.json_response({"message": "the control door needs its token"}, status=403)
        body = await request.json() if request.can_read_body else {}
        if what == "clock":
            until = body.get("until_ns", self.ledger.now + int(body.get("advance_ns", 0)))
            await self._run_to(int(until))
            return web.json_response({"now_ns": self.ledger.now})
        async with self._lock:
            found = self._control(what, request.method, body)
            self.ledger.save()
        return web.json_response(found)

    def _control(self, what: str, method: str, body: Any) -> Any:
        if what == "faults":
            if method == "POST":
                self.faults.arm(body)
            elif method == "DELETE":
                self.faults.clear()
            return self.faults.fired
        if what == "market":
            self.market.faults.update(body)
            self.exchange.match()
            return self.market.faults
        if what == "options":
            self.exchange.options.update(body)
            return self.exchange.options
        if what == "assign":
            self.exchange.remove(body["symbol"], int(body["contracts"]), bool(body.get("delivers", True)))
            return self.ledger.positions
        if what == "order":
            order = self.exchange.submit(body)
            order["foreign"] = True
            self.exchange.match()
            return {"id": order["id"]}
        if what == "bust":
            order = self.ledger.orders[body["id"]]
            order["filled"] -= 1
            order["status"] = "partially_filled" if order["filled"] else "canceled"
            return {}
        if what == "requests":
            return self.ledger.requests()
        if what == "ledger":
            return {**self.ledger.state, "digest": self.ledger.digest(), "conserved": self.ledger.conserved(),
                    "margin": self.ledger.margin()}  # fmt: skip
        raise web.HTTPNotFound

    async def _run_to(self, until: int) -> None:
        """Let the virtual time run, at `speed` times real time where one is set."""
        while self.ledger.now < until:
            step = until
            if self.speed > 0:
                step = min(until, self.ledger.now + int(SLICE_SECONDS * self.speed * 1e9))
            before = self.ledger.now
            async with self._lock:
                self.exchange.advance(step)
            await self._tell_streams()
            if self.speed > 0:
                await asyncio.sleep((step - before) / 1e9 / self.speed)


def paged(rows: list[Any], limit: int, token: str | None) -> tuple[list[Any], str | None]:
    """One page from the place that the token names, and the next token."""
    first = int(token) if token and token.isdigit() else 0
    following = first + limit
    return rows[first:following], str(following) if following < len(rows) else None
