"""What the live loop asks of a broker, and the ways in which it may fail."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple, Protocol

from core.errors import BrokerError
from core.live.occ import parse_occ
from core.live.records import (
    Account,
    Activity,
    Bar,
    Contract,
    Leg,
    MarketClock,
    Order,
    OrderRequest,
    Position,
    Quote,
    Session,
)

MOST_LEGS = 4
CID = re.compile(r"[A-Za-z0-9._-]{1,128}")
INTENTS = {("buy", True): "buy_to_open", ("buy", False): "buy_to_close", ("sell", True): "sell_to_open",
           ("sell", False): "sell_to_close"}  # fmt: skip


class Ambiguous(BrokerError):
    """The request may or may not have acted: a timeout, a reset, a 5xx, an answer that cannot be read."""


class Refused(BrokerError):
    """A definite no: HTTP status, the broker's code and message, and what kind of no it is (KINDS)."""

    def __init__(self, kind: str, status: int, code: int, message: str) -> None:
        super().__init__(f"the broker refused ({status} {code}, {kind}): {message}")
        self.kind, self.status, self.code, self.message = kind, status, code, message


class RateLimited(BrokerError):
    """429. reset_ns: when the broker listens again, 0 unknown."""

    def __init__(self, reset_ns: int) -> None:
        super().__init__("the broker's rate limit is reached")
        self.reset_ns = reset_ns


# kind: what the message says (lower case). Status and code come first; messages change.
KINDS: tuple[tuple[str, str], ...] = (
    ("duplicate", r"client_order_id must be unique|duplicate client"),
    ("buying_power", r"insufficient (options )?buying power|cost basis"),
    ("level", r"not eligible to trade|not authorized to trade options|level"),
    ("uncovered", r"uncovered"),
    ("mleg_disabled", r"mleg order is disabled"),
    ("quantity", r"insufficient qty"),
    ("expires_soon", r"expires soon|expiring today|is expired"),
    ("assignment_lock", r"assignment lock"),
    ("not_tradable", r"not tradable|not active|not found for|contract .* not found"),
    ("intent", r"position intent"),
    ("market_closed", r"only allowed during market hours|market is closed"),
    ("legs", r"relatively prime|at least 2 legs|unique|underlying asset mismatch"),
    ("too_late", r"not cancelable|cannot cancel|already in|order is not"),
    ("price", r"limit price|sub-?penny"),
)


def kind_of(status: int, code: int, message: str) -> str:
    """The kind of a definite refusal."""
    if status == 401:
        return "unauthorized"
    text = message.lower()
    if status == 404:
        return "not_found"
    for kind, pattern in KINDS:
        if re.search(pattern, text):
            return kind
    return "duplicate" if status == 409 else "other"


def limit_price(net_cents: int, legs: Iterable[Leg]) -> float:
    """The number that goes into limit_price: THE one place that owns its sign. Alpaca: a credit negative, a debit not.

    net_cents : per share, positive we pay, negative we receive. A package that opens and sells dearer than it buys is
    a credit, so that opening it at a price we would pay is refused (BrokerError), as is a close at a credit of its
    shorts. A single leg's price is never negative.
    """
    legs = tuple(legs)
    if len(legs) == 1:
        if net_cents == 0 or (net_cents < 0) != (legs[0].side == "sell"):
            raise BrokerError(f"a {legs[0].side} at {net_cents} cents has the wrong sign")
        return round(abs(net_cents) / 100.0, 2)
    opening = {leg.intent.endswith("open") for leg in legs}
    sells_to_open = any(leg.intent == "sell_to_open" for leg in legs)
    buys_to_close = any(leg.intent == "buy_to_close" for leg in legs)
    if opening == {True} and sells_to_open and net_cents >= 0:
        raise BrokerError(f"opening for {net_cents} cents would pay for what is sold; a credit is negative")
    if opening == {False} and buys_to_close and net_cents < 0:
        raise BrokerError(f"closing for {net_cents} cents would be paid for what is bought back; a debit is positive")
    return round(net_cents / 100.0, 2)


def validate(request: OrderRequest, held: Mapping[str, int]) -> None:
    """A BrokerError for an order that must not leave this machine, whatever the broker would say to it.

    held : contracts by symbol, short < 0; no order leaves a short with less cover than it had
    """
    legs = request.legs
    if not CID.fullmatch(request.cid):
        raise BrokerError(f"order id {request.cid[:40]!r} is not 1 to 128 letters, digits, dots and dashes")
    if not 1 <= len(legs) <= MOST_LEGS or len({leg.occ for leg in legs}) != len(legs):
        raise BrokerError(f"an order has 1 to {MOST_LEGS} legs of different contracts, not {[leg.occ for leg in legs]}")
    if not isinstance(request.units, int) or not 0 < request.units <= 10_000:
        raise BrokerError(f"{request.units} units; an order has 1 to 10000")
    if len({parse_occ(leg.occ).root for leg in legs}) != 1:
        raise BrokerError("the legs of an order have one underlying")
    after = dict(held)
    for leg in legs:
        if leg.intent not in INTENTS.values() or not leg.intent.startswith(leg.side):
            raise BrokerError(f"{leg.occ}: {leg.side} is no {leg.intent}")
        signed = request.units if leg.side == "buy" else -request.units
        after[leg.occ] = after.get(leg.occ, 0) + signed
        if leg.intent.endswith("close") and held.get(leg.occ, 0) * (held.get(leg.occ, 0) + signed) < 0:
            raise BrokerError(f"{leg.occ}: closing {request.units} of {held.get(leg.occ, 0)} would turn the position")
    before, now = cover_of(held), cover_of(after)
    for group, cover in now.items():
        if cover < 0 and cover < before.get(group, 0):
            raise BrokerError(f"the order would leave {-cover} shorts without a long that covers them")
    if request.net_cents is not None:
        limit_price(request.net_cents, legs)


def cover_of(held: Mapping[str, int]) -> dict[tuple[int, int], int]:
    """Longs less shorts by (expiry day, right)."""
    cover: dict[tuple[int, int], int] = {}
    for occ, quantity in held.items():
        option = parse_occ(occ)
        group = (option.expiry_day, option.right)
        cover[group] = cover.get(group, 0) + quantity
    return cover


class Chain(NamedTuple):
    """Quotes of one moment, and the feed they came from."""

    feed: str
    quotes: tuple[Quote, ...]


class Broker(Protocol):
    """One account. Every method may raise BrokerError or one of its kinds above; none retries what acts."""

    def account(self) -> Account: ...

    def clock(self) -> MarketClock: ...

    def calendar(self, first: str, last: str) -> list[Session]: ...

    def contracts(self, underlying: str, first: str, last: str, past: bool = False) -> list[Contract]: ...

    def chain(self, underlying: str, first: str, last: str, low: float, high: float) -> Chain: ...

    def quotes(self, symbols: Iterable[str]) -> Chain: ...

    def option_bars(self, symbols: Iterable[str], minutes: int, start_ns: int, end_ns: int) -> dict[str, list[Bar]]: ...

    def bars(self, symbol: str, minutes: int, start_ns: int, end_ns: int) -> tuple[str, list[Bar]]: ...

    def submit(self, request: OrderRequest) -> Order: ...

    def order_by_cid(self, cid: str) -> Order | None: ...

    def order(self, order_id: str) -> Order: ...

    def orders(self, status: str, after_ns: int = 0) -> list[Order]: ...

    def cancel(self, order_id: str) -> bool: ...

    def market_shares(self, symbol: str, quantity: int, cid: str) -> Order: ...

    def positions(self) -> list[Position]: ...

    def activities(self, kinds: str, after: str) -> list[Activity]: ...


def package_cents(quotes: dict[str, Quote], legs: Iterable[tuple[str, int]]) -> tuple[float, float]:
    """(mid, natural) of a package, cents per share, positive we pay; NaN where a leg is not two-sided.

    legs : (symbol, +1 buy or -1 sell)
    """
    mid = natural = 0.0
    for occ, side in legs:
        quote = quotes.get(occ)
        if quote is None or quote.bid < 0 or quote.ask <= 0 or quote.bid > quote.ask or (side < 0 and quote.bid <= 0):
            return math.nan, math.nan
        mid += side * (quote.bid + quote.ask) / 2.0
        natural += quote.ask if side > 0 else -quote.bid
    return mid, natural
