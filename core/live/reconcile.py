"""Our book against the broker's positions: what differs, what it means, and what is done about it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from core.live.engine import Engine
from core.live.occ import parse_occ
from core.live.records import Position
from core.types import LEGS, SHORT_CALL, SHORT_PUT

UNDERLYING = "SPY"
ASSIGNED, BROKEN, VANISHED, FOREIGN = "assigned", "broken", "vanished", "foreign"


class Difference(NamedTuple):
    """One structure, or something of nobody's. legs: symbol -> (ours, theirs), where they differ."""

    kind: str
    trade: int  # -1: of no structure
    legs: dict[str, tuple[int, int]]


def options_and_shares(positions: list[Position]) -> tuple[dict[str, int], dict[str, int]]:
    """(options, everything else) by symbol, zero quantities left out."""
    options = {p.symbol: p.quantity for p in positions if p.is_option and p.quantity}
    others = {p.symbol: p.quantity for p in positions if not p.is_option and p.quantity}
    return options, others


def differences(engine: Engine, positions: list[Position]) -> list[Difference]:
    """Where the book and the broker differ; nothing where they agree.

    Structures that share a contract are told apart only if together they do not match.
    """
    theirs, others = options_and_shares(positions)
    ours = engine.positions()
    off = {occ for occ in ours.keys() | theirs.keys() if ours.get(occ, 0) != theirs.get(occ, 0)}
    found = []
    shares = others.get(UNDERLYING, 0)
    for slot in engine.book.slot:
        legs = legs_of(engine, slot) if slot.trade >= 0 else {}
        wrong = {occ: (quantity, theirs.get(occ, 0)) for occ, quantity in legs.items() if occ in off}
        if wrong:
            gone = all(theirs.get(occ, 0) == 0 for occ in legs)
            kind = ASSIGNED if shares else VANISHED if gone else BROKEN
            found.append(Difference(kind, int(slot.trade), wrong))
    strangers = {occ: (0, theirs[occ]) for occ in off if occ not in ours}
    strangers |= {name: (0, quantity) for name, quantity in others.items() if name != UNDERLYING or not found}
    if strangers:
        found.append(Difference(FOREIGN, -1, strangers))
    return found


def legs_of(engine: Engine, slot: Any) -> dict[str, int]:
    """Contracts of one structure by symbol, short < 0."""
    found = {}
    for leg in range(LEGS):
        if slot.legs[leg] >= 0:
            sign = -1 if leg in (SHORT_PUT, SHORT_CALL) else 1
            found[engine.day.occ[slot.legs[leg]]] = sign * int(slot.contracts)
    return found


def words_of(difference: Difference) -> str:
    legs = ", ".join(f"{occ} ours {ours:+d} theirs {theirs:+d}" for occ, (ours, theirs) in difference.legs.items())
    of = f"structure {difference.trade}" if difference.trade >= 0 else "no structure of ours"
    return f"{difference.kind} ({of}): {legs}"


def intrinsic_cents(occ: str, spot: float) -> int:
    """Value of a contract at a price of the underlying, cents a share."""
    option = parse_occ(occ)
    value = round(spot * 100.0) - option.strike_cents
    return max(value if option.right == 1 else -value, 0)


def naked_shorts(theirs: Mapping[str, int]) -> dict[str, int]:
    """Shorts (contracts to buy back, positive) that no long of the same expiry and right covers any more."""
    groups: dict[tuple[int, int], dict[str, int]] = {}
    for occ, quantity in theirs.items():
        option = parse_occ(occ)
        groups.setdefault((option.expiry_day, option.right), {})[occ] = quantity
    found = {}
    for legs in groups.values():
        bare = -sum(legs.values())
        for occ, quantity in sorted(legs.items()):
            if quantity < 0 and bare > 0:
                found[occ] = min(-quantity, bare)
                bare -= found[occ]
    return found
