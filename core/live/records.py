"""What the broker says, as plain records: parsed tolerantly, bounded, money in integer cents, times UTC ns.

An unknown status is kept as text beside UNKNOWN, fields that are not known are left out; a number that is none, or text
with control characters, is refused (BrokerError). Nothing here knows alpaca-py.
"""

from __future__ import annotations

import datetime as dt
import math
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from core.errors import BrokerError
from core.market.calendar import day_number

UNKNOWN = "unknown"
# Order statuses as Alpaca names them; those of TERMINAL change no more.
STATUSES = frozenset(
    "new partially_filled filled done_for_day canceled expired replaced pending_cancel pending_replace pending_review "
    "accepted pending_new accepted_for_bidding stopped rejected suspended calculated held".split()
)
TERMINAL = frozenset("filled canceled expired rejected replaced".split())
MOST_TEXT = 400
LARGEST = 1e15
STAMP = re.compile(r"(\d{4}-\d\d-\d\d)[T ](\d\d):(\d\d):(\d\d)(?:\.(\d{1,12}))?(Z|[+-]\d\d:?\d\d)")


def text_of(value: Any, limit: int = MOST_TEXT) -> str:
    """A bounded text without control characters; None is ''."""
    text = "" if value is None else str(value)
    if len(text) > limit or any(ord(c) < 32 or ord(c) == 127 for c in text):
        raise BrokerError(f"the broker sent text that is too long or holds control characters: {text[:40]!r}")
    return text


def number_of(value: Any, default: float = math.nan) -> float:
    """A finite number from text or JSON; None and '' give the default."""
    if value is None or value == "":
        return default
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise BrokerError(f"the broker sent {str(value)[:40]!r} where a number belongs") from None
    if not math.isfinite(number) or abs(number) > LARGEST:
        raise BrokerError(f"the broker sent {value!r} where a finite number belongs")
    return number


def cents_of(value: Any, default: int = 0) -> int:
    """$ as integer cents."""
    number = number_of(value)
    return default if math.isnan(number) else round(number * 100.0)


def whole_of(value: Any, default: int = 0) -> int:
    """A whole number; one with a fraction is refused."""
    number = number_of(value)
    if math.isnan(number):
        return default
    if number != round(number):
        raise BrokerError(f"the broker sent {value!r} where a whole number belongs")
    return round(number)


def stamp_of(value: Any) -> int:
    """RFC 3339 (up to nanoseconds) -> UTC ns; 0 where there is none."""
    if value in (None, ""):
        return 0
    match = STAMP.fullmatch(str(value))
    if match is None:
        raise BrokerError(f"the broker sent {str(value)[:40]!r} where a time belongs")
    date, hour, minute, second, fraction, zone = match.groups()
    offset = 0
    if zone != "Z":
        digits = zone[1:].replace(":", "")
        offset = (int(digits[:2]) * 60 + int(digits[2:])) * (-1 if zone[0] == "-" else 1)
    seconds = day_number(date) * 86400 + int(hour) * 3600 + int(minute) * 60 + int(second) - offset * 60
    return seconds * 1_000_000_000 + int(((fraction or "") + "0" * 9)[:9])


def stamp_text(ns: int) -> str:
    """UTC ns -> '2026-03-02T14:35:00Z', cut to the microsecond."""
    moment = dt.datetime.fromtimestamp(ns // 1_000_000_000, dt.UTC)
    micro = ns % 1_000_000_000 // 1000
    return moment.strftime("%Y-%m-%dT%H:%M:%S") + (f".{micro:06d}" if micro else "") + "Z"


class Account(NamedTuple):
    """Money in cents."""

    id: str
    number: str
    status: str
    cash: int
    equity: int
    last_equity: int
    buying_power: int
    options_buying_power: int
    blocked: bool  # trading or account blocked, or suspended by the user
    options_level: int  # what may be traded now; 3: spreads

    @classmethod
    def of(cls, raw: Mapping[str, Any]) -> Account:
        return cls(
            text_of(raw.get("id")),
            text_of(raw.get("account_number")),
            text_of(raw.get("status")).upper(),
            cents_of(raw.get("cash")),
            cents_of(raw.get("equity")),
            cents_of(raw.get("last_equity")),
            cents_of(raw.get("buying_power")),
            cents_of(raw.get("options_buying_power")),
            any(raw.get(name) is True for name in ("trading_blocked", "account_blocked", "trade_suspended_by_user")),
            whole_of(raw.get("options_trading_level")),
        )


class MarketClock(NamedTuple):
    now_ns: int
    is_open: bool
    next_open_ns: int
    next_close_ns: int

    @classmethod
    def of(cls, raw: Mapping[str, Any]) -> MarketClock:
        return cls(
            stamp_of(raw.get("timestamp")),
            raw.get("is_open") is True,
            stamp_of(raw.get("next_open")),
            stamp_of(raw.get("next_close")),
        )


class Session(NamedTuple):
    """A day of the broker's calendar: day since 1970, opening and closing minute of New York."""

    day: int
    open_minute: int
    close_minute: int

    @classmethod
    def of(cls, raw: Mapping[str, Any]) -> Session:
        minutes = []
        for name in ("open", "close"):
            hour, _, minute = text_of(raw.get(name), 10).partition(":")
            if not (hour.isdigit() and minute.isdigit()):
                raise BrokerError(f"the broker's calendar has {raw.get(name)!r} where a time belongs")
            minutes.append(int(hour) * 60 + int(minute))
        return cls(day_number(text_of(raw.get("date"), 10)), *minutes)


class Contract(NamedTuple):
    occ: str
    root: str
    tradable: bool
    open_interest: int

    @classmethod
    def of(cls, raw: Mapping[str, Any]) -> Contract:
        return cls(
            text_of(raw.get("symbol")),
            text_of(raw.get("root_symbol")),
            raw.get("tradable") is True and text_of(raw.get("status")) == "active",
            whole_of(raw.get("open_interest")),
        )


class Quote(NamedTuple):
    """One option's quote; cents, -1 where a side is missing; greeks and volatility NaN where the feed has none."""

    occ: str
    bid: int
    ask: int
    bid_size: int
    ask_size: int
    ts_ns: int
    vol: float
    delta: float

    @classmethod
    def of(cls, occ: str, raw: Mapping[str, Any]) -> Quote:
        quote, greeks = raw.get("latestQuote") or {}, raw.get("greeks") or {}

        def maybe(value: Any) -> float:
            try:
                return number_of(value)
            except BrokerError:  # a greek that is no number is not known; the quote itself may be good
                return math.nan

        return cls(
            occ,
            cents_of(quote.get("bp"), -1),
            cents_of(quote.get("ap"), -1),
            whole_of(quote.get("bs")),
            whole_of(quote.get("as")),
            stamp_of(quote.get("t")) if not str(quote.get("t", "")).startswith("0001") else 0,
            maybe(raw.get("impliedVolatility")),
            maybe(greeks.get("delta")),
        )


class Bar(NamedTuple):
    """start_ns: its start, as Alpaca stamps it; prices in $."""

    start_ns: int
    open: float
    high: float
    low: float
    close: float
    volume: float

    @classmethod
    def of(cls, raw: Mapping[str, Any]) -> Bar:
        return cls(stamp_of(raw.get("t")), *(number_of(raw.get(name)) for name in "ohlcv"))


class Leg(NamedTuple):
    """occ: symbol; side: buy or sell; intent: buy_to_open, buy_to_close, sell_to_open, sell_to_close."""

    occ: str
    side: str
    intent: str


class OrderRequest(NamedTuple):
    """units: of the package; net_cents: per share, positive we pay, negative we receive; None: at the market."""

    cid: str
    legs: tuple[Leg, ...]
    units: int
    net_cents: int | None


class LegFill(NamedTuple):
    occ: str
    side: str
    filled: int  # contracts
    price: float  # $ per share, 0 while nothing filled


class Order(NamedTuple):
    """units and filled count packages; legs in the broker's order (of a single-leg order: itself)."""

    id: str
    cid: str
    status: str  # one of STATUSES, or UNKNOWN
    said: str  # the status as it came
    units: int
    filled: int
    legs: tuple[LegFill, ...]
    submitted_ns: int
    replaced_by: str

    @property
    def done(self) -> bool:
        return self.status in TERMINAL

    @classmethod
    def of(cls, raw: Mapping[str, Any]) -> Order:
        said = text_of(raw.get("status"))
        units, filled = whole_of(raw.get("qty")), whole_of(raw.get("filled_qty"))
        parts = raw.get("legs") or [raw]
        legs = tuple(
            LegFill(
                text_of(leg.get("symbol")),
                text_of(leg.get("side")),
                whole_of(leg.get("filled_qty")),
                number_of(leg.get("filled_avg_price"), 0.0),
            )
            for leg in parts
        )
        return cls(
            text_of(raw.get("id")),
            text_of(raw.get("client_order_id")),
            said if said in STATUSES else UNKNOWN,
            said,
            units,
            filled,
            legs,
            stamp_of(raw.get("submitted_at")),
            text_of(raw.get("replaced_by")),
        )


class Position(NamedTuple):
    symbol: str
    is_option: bool
    quantity: int

    @classmethod
    def of(cls, raw: Mapping[str, Any]) -> Position:
        return cls(text_of(raw.get("symbol")), raw.get("asset_class") == "us_option", whole_of(raw.get("qty")))


class Activity(NamedTuple):
    """An entry of the account's history. price in $; quantity: change of the position."""

    id: str
    kind: str
    symbol: str
    quantity: float
    price: float
    order_id: str
    status: str
    day: str

    @classmethod
    def of(cls, raw: Mapping[str, Any]) -> Activity:
        return cls(
            text_of(raw.get("id")),
            text_of(raw.get("activity_type")),
            text_of(raw.get("symbol")),
            number_of(raw.get("qty"), 0.0),
            number_of(raw.get("price"), 0.0),
            text_of(raw.get("order_id")),
            text_of(raw.get("status") or "executed"),
            text_of(raw.get("date") or raw.get("transaction_time"))[:10],
        )
