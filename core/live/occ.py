"""OCC symbols of options, such as SPY260320P00600000."""

from __future__ import annotations

import re
from typing import NamedTuple

from core.errors import BrokerError
from core.market.calendar import day_number, day_text

PATTERN = re.compile(r"([A-Z]{1,6}\d?)(\d{2})(\d{2})(\d{2})([CP])(\d{8})")
PUT, CALL = 0, 1


class Option(NamedTuple):
    """One listed contract. expiry_day: days since 1970; right: 0 put, 1 call."""

    root: str
    expiry_day: int
    right: int
    strike_cents: int


def occ_symbol(root: str, expiry_day: int, right: int, strike_cents: int) -> str:
    """('SPY', day, 0, 60000) -> 'SPY...P00600000'; a BrokerError where the symbol would not say the same."""
    year, month, day = day_text(expiry_day).split("-")
    text = f"{root}{year[2:]}{month}{day}{'CP'[right == PUT]}{strike_cents * 10:08d}"
    if parse_occ(text) != Option(root, expiry_day, right, strike_cents):
        raise BrokerError(f"no OCC symbol for {root} {day_text(expiry_day)} {strike_cents} cents (got {text})")
    return text


def parse_occ(text: str) -> Option:
    """The contract that a symbol names; a BrokerError for anything else, a strike of fractions of a cent included."""
    match = PATTERN.fullmatch(text) if len(text) <= 21 else None
    if match is None:
        raise BrokerError(f"{text[:40]!r} is no OCC symbol of an option, such as SPY260320P00600000")
    root, year, month, day, right, strike = match.groups()
    try:
        expiry = day_number(f"20{year}-{month}-{day}")
    except ValueError:
        raise BrokerError(f"{text!r} names no date: 20{year}-{month}-{day}") from None
    if int(strike) % 10:
        raise BrokerError(f"{text!r} has a strike of fractions of a cent")
    return Option(root, expiry, CALL if right == "C" else PUT, int(strike) // 10)
