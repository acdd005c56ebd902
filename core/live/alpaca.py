"""Alpaca through alpaca-py: the only module that imports it.

Its clients are hardened before they are used: alpaca-py 0.44.0 repeats POST /orders by itself on 429 and 504, waits
without a limit, and obeys proxy variables. Here nothing is repeated but reads, each answer has a deadline and a largest
size, and what may have acted is said to be Ambiguous. Answers are raw JSON, read by core.live.records.
"""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Callable, Iterable
from importlib.metadata import version
from typing import Any

from core.errors import BrokerError, ConfigError, CredentialsError
from core.live.broker import Ambiguous, Chain, RateLimited, Refused, kind_of, limit_price
from core.live.budget import Budget
from core.live.clock import Clock
from core.live.keys import DATA, LIVE, PAPER, Endpoint, Keys
from core.live.records import (
    Account,
    Activity,
    Bar,
    Contract,
    MarketClock,
    Order,
    OrderRequest,
    Position,
    Quote,
    Session,
    stamp_text,
)

try:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its streams use a part of websockets that will go
        import requests
        import urllib3
        from alpaca.common.exceptions import APIError
        from alpaca.data.historical.option import OptionHistoricalDataClient
        from alpaca.data.historical.stock import StockHistoricalDataClient
        from alpaca.trading.client import TradingClient
        from requests.adapters import HTTPAdapter
except ModuleNotFoundError:
    raise ConfigError(
        "trading through Alpaca needs the package alpaca-py, which is not installed; "
        "run: python -m pip install -r requirements-live.txt"
    ) from None

TRIED_VERSION = "0.44.0"
CONNECT_SECONDS = 3.05
LARGEST_BODY = 20_000_000
MOST_PAGES = 200
READ_TRIES = 3
LIMITED_TRIES = 10
PAGE = 1000
OCC_TAIL = 15  # characters of an OCC symbol after its root
log = logging.getLogger("quantor.alpaca")


class _Deadline(HTTPAdapter):
    """Sends with a time limit for the whole answer and a largest size; nothing is repeated or redirected."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        super().__init__(max_retries=0)

    def send(self, request: Any, **options: Any) -> Any:
        until = time.monotonic() + self._seconds
        options.update(timeout=(min(CONNECT_SECONDS, self._seconds), self._seconds), stream=True)
        response = super().send(request, **options)
        try:
            response._content, response._content_consumed = self._body(response.raw, until), True
        except urllib3.exceptions.HTTPError as error:
            raise requests.exceptions.ConnectionError(type(error).__name__) from None
        response.raw.release_conn()
        return response

    def _body(self, raw: Any, until: float) -> bytes:
        """The whole body, piece by piece as it comes."""
        body = bytearray()
        while part := raw.read1(65536, decode_content=True):
            body += part
            if len(body) > LARGEST_BODY:
                raise requests.exceptions.ContentDecodingError(f"an answer of more than {LARGEST_BODY} bytes")
            if time.monotonic() > until:
                raise requests.exceptions.ReadTimeout(f"no whole answer within {self._seconds:g} s")
        return bytes(body)


def harden(client: Any, seconds: float, observe: Callable[..., None]) -> Any:
    """Take from a client what it does by itself. Its private names are those of the version that was tried."""
    for name in ("_session", "_retry", "_retry_codes"):
        if not hasattr(client, name):
            raise BrokerError(
                f"alpaca-py {version('alpaca-py')} has no {name}; this program was tried with {TRIED_VERSION}: "
                "install that, so that no order is sent twice"
            )
    client._retry, client._retry_codes = 0, []
    session = client._session
    session.trust_env = False
    session.max_redirects = 0
    for scheme in ("https://", "http://"):
        session.mount(scheme, _Deadline(seconds))
    session.hooks["response"].append(observe)
    return client


def used_url(client: Any) -> str:
    """The address that a client really uses: an override beats its `paper` flag."""
    base = client._base_url
    return str(getattr(base, "value", base)).rstrip("/")


class AlpacaBroker:
    """One account at one endpoint. clock: for waiting; seconds: deadline of an answer."""

    def __init__(
        self, keys: Keys, endpoint: Endpoint, clock: Clock, seconds: float, option_feed: str, stock_feed: str
    ) -> None:
        key, secret = keys.texts
        trading = None if endpoint.trading in (PAPER, LIVE) else endpoint.trading
        data = None if endpoint.data == DATA else endpoint.data
        self._trading = harden(
            TradingClient(key, secret, paper=endpoint.paper, raw_data=True, url_override=trading),
            seconds,
            self._observe,
        )
        self._options = harden(
            OptionHistoricalDataClient(key, secret, raw_data=True, url_override=data), seconds, self._observe
        )
        self._stocks = harden(
            StockHistoricalDataClient(key, secret, raw_data=True, url_override=data), seconds, self._observe
        )
        for client, wanted in (
            (self._trading, endpoint.trading), (self._options, endpoint.data), (self._stocks, endpoint.data)
        ):  # fmt: skip
            if used_url(client) != wanted:
                raise CredentialsError(f"requests would go to {used_url(client)}, not to {wanted}; nothing was sent")
        self.option_feed, self.stock_feed = option_feed, stock_feed
        self._clock = clock
        self.trading_budget, self.data_budget = Budget(), Budget()
        self._reset_ns = 0

    # ------------------------------------------------------------ one request

    def _observe(self, response: Any, *_args: Any, **_options: Any) -> None:
        """Keep what the headers say of the rate limit."""
        reset = response.headers.get("X-RateLimit-Reset", "")
        self._reset_ns = int(reset) * 1_000_000_000 if reset.isdigit() else 0

    def _ask(self, client: Any, method: str, path: str, data: Any, urgent: bool) -> Any:
        """One request, once; what it answered. Raises Refused, RateLimited or Ambiguous."""
        budget = self.trading_budget if client is self._trading else self.data_budget
        wait = budget.wait_ns(self._clock.now_ns(), urgent)
        if wait > 0:
            self._clock.sleep(wait / 1e9)
        budget.note(self._clock.now_ns())
        try:
            if method == "POST":
                answer = client.post(path, data)
            elif method == "DELETE":
                answer = client.delete(path, data)
            else:
                answer = client.get(path, data)
        except APIError as error:
            raise self._refusal(error, budget) from None
        except requests.exceptions.RequestException as error:
            raise Ambiguous(f"{method} {path}: {type(error).__name__}") from None
        except (TypeError, ValueError) as error:
            raise Ambiguous(f"{method} {path}: an answer that cannot be read ({type(error).__name__})") from None
        except OSError as error:
            raise Ambiguous(f"{method} {path}: {type(error).__name__}") from None
        log.debug("asked method=%s path=%s", method, path)
        return answer

    def _refusal(self, error: Any, budget: Budget) -> BrokerError:
        """What an error answer means. Its body may be no JSON and may lack a code."""
        status = int(error.status_code or 0)
        try:
            code, message = int(error.code), str(error.message)
        except (ValueError, KeyError, TypeError):
            code, message = 0, "".join(c for c in str(error)[:200] if c.isprintable())
        if status == 429:
            budget.refused(self._reset_ns, self._clock.now_ns())
            return RateLimited(self._reset_ns)
        if status in (400, 401, 403, 404, 405, 409, 422):
            return Refused(kind_of(status, code, message), status, code, message[:200])
        return Ambiguous(f"status {status}")

    def _read(self, client: Any, path: str, data: Any = None, urgent: bool = False) -> Any:
        """A GET, tried again a few times where it failed without a definite answer."""
        limited = failed = 0
        while True:
            try:
                return self._ask(client, "GET", path, data, urgent)
            except RateLimited:  # the budget waits until the broker listens again
                limited += 1
                if limited == LIMITED_TRIES:
                    raise
            except Ambiguous:
                failed += 1
                if failed == READ_TRIES:
                    raise
                self._clock.sleep(0.5 * 2**failed)

    @staticmethod
    def _mapping(answer: Any) -> dict[str, Any]:
        if not isinstance(answer, dict):
            raise Ambiguous(f"an answer that is no object ({type(answer).__name__})")
        return answer

    @staticmethod
    def _list(answer: Any) -> list[dict[str, Any]]:
        if not isinstance(answer, list) or not all(isinstance(row, dict) for row in answer):
            raise Ambiguous("an answer that is no list of objects")
        return answer

    # ------------------------------------------------------------ the account and its calendar

    def account(self) -> Account:
        return Account.of(self._mapping(self._read(self._trading, "/account", urgent=True)))

    def clock(self) -> MarketClock:
        return MarketClock.of(self._mapping(self._read(self._trading, "/clock", urgent=True)))

    def calendar(self, first: str, last: str) -> list[Session]:
        answer = self._read(self._trading, "/calendar", {"start": first, "end": last})
        return [Session.of(row) for row in self._list(answer)]

    # ------------------------------------------------------------ the market

    def _pages(self, client: Any, path: str, data: dict[str, Any], take: Callable[[dict[str, Any]], None]) -> None:
        """All pages or an error: a part of a chain is no chain."""
        seen: set[str] = set()
        for _ in range(MOST_PAGES):
            answer = self._mapping(self._read(client, path, data))
            take(answer)
            token = answer.get("next_page_token")
            if not token:
                return
            if token in seen:
                raise BrokerError(f"{path} gives the same page again and again")
            seen.add(str(token))
            data = {**data, "page_token": token}
        raise BrokerError(f"{path} has more than {MOST_PAGES} pages")

    def contracts(self, underlying: str, first: str, last: str, past: bool = False) -> list[Contract]:
        found: dict[str, Contract] = {}

        def take(answer: dict[str, Any]) -> None:
            for row in answer.get("option_contracts") or []:
                contract = Contract.of(row)
                if contract.root == underlying:
                    found[contract.occ] = contract

        data = {"underlying_symbols": underlying, "limit": 10_000, **expiries(first, last)}
        for status in ("active", "inactive") if past else ("active",):  # what has expired is inactive
            self._pages(self._trading, "/options/contracts", {**data, "status": status}, take)
        return [found[occ] for occ in sorted(found)]

    def chain(self, underlying: str, first: str, last: str, low: float, high: float) -> Chain:
        found: dict[str, Quote] = {}

        def take(answer: dict[str, Any]) -> None:
            for occ, row in (answer.get("snapshots") or {}).items():
                if (
                    isinstance(row, dict)
                    and occ.startswith(underlying)
                    and occ[len(underlying) : len(underlying) + 1] in "0123456789"
                ):
                    found.setdefault(occ, Quote.of(occ, row))

        data = {**expiries(first, last), "strike_price_gte": low, "strike_price_lte": high, "limit": PAGE}
        feed = self._fed(
            lambda feed: self._pages(self._options, f"/options/snapshots/{underlying}", {**data, "feed": feed}, take)
        )
        return Chain(feed, tuple(found[occ] for occ in sorted(found)))

    def _fed(self, ask: Callable[[str], None]) -> str:
        """Ask with the feed that is wanted; without the agreement for it, with the free one; which it was."""
        try:
            ask(self.option_feed)
        except Refused as error:
            if self.option_feed != "opra" or error.status != 403:
                raise
            log.warning("feed_degraded wanted=opra now=indicative reason=%s", error.message[:80])
            self.option_feed = "indicative"
            ask(self.option_feed)
        return self.option_feed

    def quotes(self, symbols: Iterable[str]) -> Chain:
        found: dict[str, Quote] = {}

        def take(answer: dict[str, Any]) -> None:
            for occ, row in (answer.get("quotes") or {}).items():
                found[occ] = Quote.of(occ, {"latestQuote": row})

        names = ",".join(sorted(symbols))
        feed = self._fed(
            lambda feed: self._pages(self._options, "/options/quotes/latest", {"symbols": names, "feed": feed}, take)
        )
        return Chain(feed, tuple(found[occ] for occ in sorted(found)))

    def option_bars(self, symbols: Iterable[str], minutes: int, start_ns: int, end_ns: int) -> dict[str, list[Bar]]:
        found: dict[str, list[Bar]] = {}

        def take(answer: dict[str, Any]) -> None:
            for occ, rows in (answer.get("bars") or {}).items():
                found.setdefault(occ, []).extend(Bar.of(row) for row in rows)

        data = {
            "symbols": ",".join(symbols), "timeframe": f"{minutes}Min", "start": stamp_text(start_ns),
            "end": stamp_text(end_ns), "limit": 10_000, "sort": "asc",
        }  # fmt: skip
        self._pages(self._options, "/options/bars", data, take)
        return found

    def bars(self, symbol: str, minutes: int, start_ns: int, end_ns: int) -> tuple[str, list[Bar]]:
        found: list[Bar] = []
        data = {
            "symbols": symbol, "timeframe": f"{minutes}Min", "start": stamp_text(start_ns), "end": stamp_text(end_ns),
            "limit": 10_000, "adjustment": "raw", "sort": "asc",
        }  # fmt: skip

        def take(answer: dict[str, Any]) -> None:
            found.extend(Bar.of(row) for row in (answer.get("bars") or {}).get(symbol) or [])

        try:
            self._pages(self._stocks, "/stocks/bars", {**data, "feed": self.stock_feed}, take)
        except Refused as error:
            if self.stock_feed != "sip" or error.status != 403:
                raise
            log.warning("feed_degraded wanted=sip now=iex reason=%s", error.message[:80])
            self.stock_feed = "iex"
            found.clear()
            self._pages(self._stocks, "/stocks/bars", {**data, "feed": self.stock_feed}, take)
        return self.stock_feed, found

    # ------------------------------------------------------------ orders

    def submit(self, request: OrderRequest) -> Order:
        """Send an order once. Ambiguous: look it up by its own id before anything else."""
        answer = Order.of(self._mapping(self._ask(self._trading, "POST", "/orders", body_of(request), True)))
        if answer.cid != request.cid:
            raise Ambiguous(f"the answer to order {request.cid} is about another order")
        return answer

    def order_by_cid(self, cid: str) -> Order | None:
        try:
            raw = self._read(
                self._trading, "/orders:by_client_order_id", {"client_order_id": cid, "nested": True}, True
            )
        except Refused as error:
            if error.kind == "not_found":
                return None
            raise
        order = Order.of(self._mapping(raw))
        if order.cid != cid:
            raise Ambiguous(f"asked for order {cid}, answered with another")
        return order

    def order(self, order_id: str) -> Order:
        return Order.of(self._mapping(self._read(self._trading, f"/orders/{order_id}", {"nested": True}, True)))

    def orders(self, status: str, after_ns: int = 0) -> list[Order]:
        data: dict[str, Any] = {"status": status, "limit": 500, "nested": True, "direction": "asc"}
        if after_ns:
            data["after"] = stamp_text(after_ns)
        found: dict[str, Order] = {}
        for _ in range(MOST_PAGES):
            page = [Order.of(row) for row in self._list(self._read(self._trading, "/orders", data, True))]
            fresh = [order for order in page if order.id not in found]
            found.update((order.id, order) for order in page)
            if len(page) < 500 or not fresh:
                break
            data["after"] = stamp_text(max(order.submitted_ns for order in page) - 1)
        return list(found.values())

    def cancel(self, order_id: str) -> bool:
        """True: asked for (not yet done); False: too late, read the order again."""
        try:
            self._ask(self._trading, "DELETE", f"/orders/{order_id}", None, True)
        except Refused as error:
            if error.status in (404, 422):
                return False
            raise
        return True

    def positions(self) -> list[Position]:
        return [Position.of(row) for row in self._list(self._read(self._trading, "/positions", urgent=True))]

    def activities(self, kinds: str, after: str) -> list[Activity]:
        """Entries of the account's history of these kinds from a day on, in order."""
        data: dict[str, Any] = {"activity_types": kinds, "page_size": 100, "direction": "asc", "after": after}
        found: dict[str, Activity] = {}
        for _ in range(MOST_PAGES):
            page = [Activity.of(row) for row in self._list(self._read(self._trading, "/account/activities", data))]
            found.update((activity.id, activity) for activity in page)
            if len(page) < 100 or data.get("page_token") == page[-1].id:
                break
            data["page_token"] = page[-1].id
        return list(found.values())

    def market_shares(self, symbol: str, quantity: int, cid: str) -> Order:
        """Sell (quantity < 0) or buy shares at the market: only what an assignment left."""
        body = {
            "symbol": symbol, "qty": str(abs(quantity)), "side": "buy" if quantity > 0 else "sell", "type": "market",
            "time_in_force": "day", "client_order_id": cid,
        }  # fmt: skip
        return Order.of(self._mapping(self._ask(self._trading, "POST", "/orders", body, True)))


def expiries(first: str, last: str) -> dict[str, str]:
    """Both bounds: without the later one Alpaca answers for this week alone."""
    return {"expiration_date_gte": first, "expiration_date_lte": last}


def body_of(request: OrderRequest) -> dict[str, Any]:
    """An order as it goes over the wire."""
    body: dict[str, Any] = {
        "qty": str(request.units),
        "type": "market" if request.net_cents is None else "limit",
        "time_in_force": "day",
        "client_order_id": request.cid,
    }
    if request.net_cents is not None:
        body["limit_price"] = f"{limit_price(request.net_cents, request.legs):.2f}"
    if len(request.legs) == 1:
        leg = request.legs[0]
        return {**body, "symbol": leg.occ, "side": leg.side, "position_intent": leg.intent, "order_class": "simple"}
    legs = [
        {"symbol": leg.occ, "ratio_qty": "1", "side": leg.side, "position_intent": leg.intent} for leg in request.legs
    ]
    return {**body, "order_class": "mleg", "legs": legs}
