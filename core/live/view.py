"""What a watcher sees: a line for each decision, or a table that redraws itself on a terminal with rich."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import Any

from core.live import guards
from core.live.engine import Step
from core.types import REASON_NAMES


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


def viewer(args: argparse.Namespace) -> Callable[[Any, Step], None]:
    """How decisions are shown: not at all with --quiet, redrawn on a terminal, else a line each on stderr."""
    if args.quiet:
        return lambda trader, step: None
    if sys.stderr.isatty() and not args.json:
        try:
            return table_viewer()
        except ModuleNotFoundError:
            pass  # rich is optional: lines are shown instead
    last = {"verdict": -1}

    def tell(trader: Any, step: Step) -> None:
        if step.verdict != last["verdict"] or step.wanted:
            sys.stderr.write(line_of(trader, step) + "\n")
            sys.stderr.flush()
        last["verdict"] = step.verdict

    return tell


def table_viewer() -> Callable[[Any, Step], None]:
    """A table of the book, redrawn at each decision."""
    from rich.console import Console
    from rich.live import Live
    from rich.table import Table

    live = Live(console=Console(stderr=True), auto_refresh=False)
    live.start()

    def tell(trader: Any, step: Step) -> None:
        table = Table(title=f"{time_of(trader, step)}  equity ${step.equity / 100:,.2f}  {guards.words(step.verdict)}")
        for name in ("structure", "legs", "contracts", "credit", "mark", "P&L", "order"):
            table.add_column(name)
        for slot in trader.engine.book.slot:
            if slot.trade >= 0:
                legs = " ".join(trader.engine.day.occ[c] for c in slot.legs if c >= 0)
                mark = slot.last_mid2 / 200
                pnl = (slot.credit - slot.paid) / 100 - mark
                table.add_row(
                    str(slot.trade), legs, str(slot.contracts), f"{slot.credit / 100:.2f}", f"{mark:.2f}",
                    f"{pnl * 100 * slot.contracts:+,.2f}", REASON_NAMES[int(slot.closing)] if slot.closing else "",
                )  # fmt: skip
        table.caption = "closing only" if trader.safe else f"feed {trader.feed}"
        live.update(table, refresh=True)

    return tell
