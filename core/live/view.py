"""What a watcher sees: a line for each decision, or a table that redraws itself on a terminal with rich."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from core.live import guards
from core.live.commands import NONE
from core.live.engine import Step
from core.live.occ import CALL, PUT, parse_occ
from core.market.calendar import day_text
from core.types import LEG_SIGN, REASON_NAMES

Watch = Callable[[Any, Step], None]


def time_of(trader: Any, step: Step) -> str:
    minute = int(trader.engine.day.columns["minute"][step.row])
    return f"{minute // 60:02d}:{minute % 60:02d}"


def line_of(trader: Any, step: Step) -> str:
    """One decision in a line."""
    orders = [(o.purpose, REASON_NAMES[o.reason] if o.reason else "new", o.units) for o in step.wanted]
    wanted = "; ".join(f"{purpose} {reason} x{units}" for purpose, reason, units in orders)
    held = len({int(slot.trade) for slot in trader.engine.book.slot if slot.trade >= 0})
    return (
        f"{time_of(trader, step)}  equity ${step.equity / 100:,.2f}  open {held}  "
        f"{guards.words(step.verdict)}{'  -> ' + wanted if wanted else ''}"
    )


def lines() -> Watch:
    """A line on stderr for each decision that differs from the last, or asks for something."""
    last = {"verdict": -1}

    def tell(trader: Any, step: Step) -> None:
        if step.verdict != last["verdict"] or step.wanted:
            sys.stderr.write(line_of(trader, step) + "\n")
            sys.stderr.flush()
        last["verdict"] = step.verdict

    return tell


@contextmanager
def viewer(args: argparse.Namespace) -> Iterator[Watch]:
    """How decisions are shown: not at all with --quiet, redrawn on a terminal, else a line each on stderr."""
    if args.quiet:
        yield lambda trader, step: None
        return
    if sys.stderr.isatty() and not args.json:
        try:
            from rich.console import Console
            from rich.live import Live
        except ModuleNotFoundError:
            pass  # rich is optional: lines are shown instead
        else:
            with Live(console=Console(stderr=True), auto_refresh=False) as live, logs_above():
                yield lambda trader, step: live.update(book_shown(trader, step), refresh=True)
            return
    yield lines()


@contextmanager
def logs_above() -> Iterator[None]:
    """While a table is redrawn what is logged goes above it, not through it."""
    handlers = [handler for handler in logging.getLogger().handlers if isinstance(handler, logging.StreamHandler)]
    before = [handler.setStream(sys.stderr) for handler in handlers]  # which is the table's by now
    try:
        yield
    finally:
        for handler, stream in zip(handlers, before, strict=True):
            if stream is not None:
                handler.setStream(stream)


def price(cents: int) -> str:
    """A level of a structure, $ a share; a dash for none."""
    return f"{cents / 100:.2f}" if abs(cents) < NONE else "-"


def legs_of(occ: Sequence[str | None]) -> tuple[str, str]:
    """(expiry, legs) of a structure by its contracts in order of LEGS: ('2018-02-23', '+259 -269 P  -286 +296 C')."""
    options = [(sign, parse_occ(text)) for sign, text in zip(LEG_SIGN, occ, strict=True) if text is not None]
    sides = []
    for right, name in ((PUT, "P"), (CALL, "C")):
        strikes = [f"{sign * option.strike_cents / 100:+g}" for sign, option in options if option.right == right]
        if strikes:
            sides.append(" ".join([*strikes, name]))
    return (day_text(options[0][1].expiry_day) if options else ""), "  ".join(sides)


def book_shown(trader: Any, step: Step) -> Any:
    """The book after a decision, to be drawn by rich: 80 columns hold all of it."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    engine = trader.engine
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False)
    for name in ("", "expiry", "legs", "x", "credit", "mark", "P&L", "target", "stop", "order"):
        words = name in ("expiry", "legs", "order")
        table.add_column(name, justify="left" if words else "right", no_wrap=name != "order")
    for slot in engine.book.slot:
        if slot.trade >= 0:
            expiry, legs = legs_of([engine.day.occ[c] if c >= 0 else None for c in slot.legs])
            if slot.stock:
                legs = f"{legs}  {100 * slot.stock:+d} shares".strip()
            mark = slot.last_mid2 / 200
            pnl = (slot.credit - slot.paid) / 100 - mark
            table.add_row(
                str(slot.trade), expiry, legs, str(slot.contracts), f"{slot.credit / 100:.2f}", f"{mark:.2f}",
                f"{pnl * 100 * slot.contracts:+,.2f}", price(slot.target), price(slot.stop),
                REASON_NAMES[int(slot.closing)] if slot.closing else "",
            )  # fmt: skip
    shares = f", {int(engine.book.head.shares):+d} shares of the hedge" if engine.book.head.shares else ""
    state = f"{'closing only' if trader.safe else f'feed {trader.feed}'}{shares}"
    head = f"{time_of(trader, step)}  equity ${step.equity / 100:,.2f}  {guards.words(step.verdict)}  ({state})"
    return Group(Text(head), table if table.row_count else Text("nothing is open"))
