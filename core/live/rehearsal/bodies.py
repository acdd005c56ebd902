"""Alpaca's JSON of the rehearsed account: strings for money and quantities, RFC 3339 times."""

from __future__ import annotations

import datetime as dt
from typing import Any

from core.live.rehearsal.exchange import Exchange
from core.live.rehearsal.ledger import Ledger, is_option
from core.market.calendar import NS_DAY, day_text


def stamp(ns: int) -> str:
    moment = dt.datetime.fromtimestamp(ns // 1_000_000_000, dt.UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S") + f".{ns % 1_000_000_000:09d}Z"


def dollars(cents: float) -> str:
    return f"{cents / 100:.2f}"


def price_text(total_cents: int, units: int) -> str:
    """Average price in $ with as many places as it needs, up to six."""
    text = f"{total_cents / units / 100:.6f}".rstrip("0")
    return text + "00" if text.endswith(".") else text


def account(exchange: Exchange) -> dict[str, Any]:
    state, options = exchange.ledger.state, exchange.options
    equity, margin = exchange.equity(), exchange.ledger.margin()
    long = sum(c for _, c in exchange.ledger.positions.values() if c > 0)
    power = dollars(exchange.buying_power())
    return {
        "id": exchange.ledger.named_id("account"), "account_number": options.get("account_number", "PA3REHEARSE1"),
        "status": options.get("status", "ACTIVE"), "currency": "USD", "cash": dollars(state["cash"]),
        "portfolio_value": dollars(equity), "equity": dollars(equity), "last_equity": dollars(state["last_equity"]),
        "buying_power": power, "options_buying_power": power, "regt_buying_power": power,
        "non_marginable_buying_power": power,
        "initial_margin": dollars(margin), "maintenance_margin": dollars(margin), "last_maintenance_margin": "0",
        "long_market_value": dollars(long), "short_market_value": dollars(equity - state["cash"] - long), "sma": "0",
        "multiplier": "2", "accrued_fees": "0", "trading_blocked": bool(options.get("trading_blocked", False)),
        "transfers_blocked": False, "account_blocked": bool(options.get("account_blocked", False)),
        "trade_suspended_by_user": False, "shorting_enabled": True, "created_at": "2025-01-02T15:00:00Z",
        "options_approved_level": 3, "options_trading_level": int(options.get("options_trading_level", 3)),
    }  # fmt: skip


def order(ledger: Ledger, o: dict[str, Any], nested: bool = True) -> dict[str, Any]:
    """An order as Alpaca shows it; the legs of a package inside it."""
    single = o["class"] == "simple"
    leg = o["legs"][0]
    filled = o["filled"]
    at = stamp(o["updated"])
    status = o["status"]
    average = None
    if filled:
        average = price_text(leg["total"] if single else o["total"], filled)
    limit = None
    if o["limit"] is not None:
        limit = dollars(abs(o["limit"]) if single else o["limit"])
    body = {
        "id": o["id"], "client_order_id": o["cid"], "created_at": stamp(o["created"]), "updated_at": at,
        "submitted_at": stamp(o["created"]), "filled_at": at if status == "filled" else None,
        "expired_at": at if status == "expired" else None, "canceled_at": at if status == "canceled" else None,
        "failed_at": None, "replaced_at": None, "replaced_by": None, "replaces": None,
        "asset_id": ledger.named_id(leg["symbol"]) if single else "", "symbol": leg["symbol"] if single else "",
        "asset_class": kind_of(leg["symbol"]) if single else "", "notional": None, "qty": str(o["units"]),
        "filled_qty": str(filled), "filled_avg_price": average, "order_class": o["class"],
        "order_type": o["type"], "type": o["type"], "side": leg["side"] if single else "", "time_in_force": "day",
        "limit_price": limit, "stop_price": None, "status": status, "extended_hours": False,
        "legs": None if single or not nested else [leg_body(ledger, o, leg) for leg in o["legs"]],
        "trail_percent": None, "trail_price": None, "hwm": None, "subtag": None, "source": None,
        "expires_at": stamp(o["created"] // NS_DAY * NS_DAY + 21 * 3600 * 10**9),
    }  # fmt: skip
    if single and leg["intent"]:
        body["position_intent"] = leg["intent"]
    return body


def leg_body(ledger: Ledger, o: dict[str, Any], leg: dict[str, Any]) -> dict[str, Any]:
    filled = o["filled"] * leg["ratio"]
    at = stamp(o["updated"])
    return {
        "id": leg["id"], "client_order_id": ledger.named_id(leg["id"]), "created_at": stamp(o["created"]),
        "updated_at": at, "submitted_at": stamp(o["created"]), "filled_at": at if o["status"] == "filled" else None,
        "expired_at": None, "canceled_at": None, "failed_at": None, "replaced_at": None, "replaced_by": None,
        "replaces": None, "asset_id": ledger.named_id(leg["symbol"]), "symbol": leg["symbol"],
        "asset_class": "us_option", "notional": None, "qty": str(o["units"] * leg["ratio"]), "filled_qty": str(filled),
        "filled_avg_price": price_text(leg["total"], filled) if filled else None, "order_class": "mleg",
        "order_type": "", "type": "", "side": leg["side"], "position_intent": leg["intent"], "time_in_force": "day",
        "limit_price": None, "stop_price": None, "status": o["status"], "extended_hours": False, "legs": None,
        "trail_percent": None, "trail_price": None, "hwm": None, "ratio_qty": str(leg["ratio"]), "subtag": None,
        "source": None, "expires_at": stamp(o["created"] // NS_DAY * NS_DAY + 21 * 3600 * 10**9),
    }  # fmt: skip


def kind_of(symbol: str) -> str:
    return "us_option" if is_option(symbol) else "us_equity"


def position(exchange: Exchange, symbol: str) -> dict[str, Any]:
    quantity, cost = exchange.ledger.positions[symbol]
    option = is_option(symbol)
    if option:
        bid, ask = exchange.market.quote(symbol, exchange.ledger.now)
        price = max(bid + ask, 0) / 200
    else:
        price = exchange.market.spot(exchange.ledger.now)
    value = price * quantity * (100 if option else 1)
    open_pl = value - cost / 100
    return {
        "asset_id": exchange.ledger.named_id(symbol), "symbol": symbol, "exchange": "" if option else "ARCA",
        "asset_class": kind_of(symbol), "asset_marginable": not option,
        "avg_entry_price": f"{abs(cost / quantity) / (10_000 if option else 100):.4f}", "qty": str(quantity),
        "qty_available": str(available(exchange, symbol, quantity)), "side": "long" if quantity > 0 else "short",
        "market_value": f"{value:.2f}", "cost_basis": dollars(cost), "unrealized_pl": f"{open_pl:.2f}",
        "unrealized_plpc": "0", "unrealized_intraday_pl": f"{open_pl:.2f}", "unrealized_intraday_plpc": "0",
        "current_price": f"{price:.4f}", "lastday_price": f"{price:.4f}", "change_today": "0",
    }  # fmt: skip


def available(exchange: Exchange, symbol: str, quantity: int) -> int:
    """Contracts that no working order closes yet, with the position's sign."""
    sign = 1 if quantity > 0 else -1
    return quantity - sign * min(exchange._held_for_orders(symbol, -sign), abs(quantity))


def activity(a: dict[str, Any]) -> dict[str, Any]:
    if a["kind"] == "FILL":
        return {
            "id": a["id"], "activity_type": "FILL", "transaction_time": stamp(a["at"]), "type": "fill",
            "price": dollars(a["price"]), "qty": str(abs(a["quantity"])), "side": a["side"], "symbol": a["symbol"],
            "leaves_qty": "0", "order_id": a["order"], "cum_qty": str(abs(a["quantity"])), "order_status": "filled",
        }  # fmt: skip
    moved = -a["quantity"] * a["price"] * (100 if is_option(a["symbol"]) else 1)
    return {
        "id": a["id"], "activity_type": a["kind"], "date": day_text(a["at"] // NS_DAY), "net_amount": dollars(moved),
        "symbol": a["symbol"], "qty": str(a["quantity"]), "status": "executed", "created_at": stamp(a["at"]),
        "price": dollars(a["price"]),
    }  # fmt: skip
