"""What forbids entries, and what latches: read before every decision, kept in the journal."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from core.config import Config
from core.errors import CredentialsError, RiskHalt
from core.live.journal import Journal
from core.live.keys import LIVE, PAPER, Endpoint
from core.live.records import Account
from core.types import REASONS, Reason

KILL_FILE = "KILL"
CLOSE_TOO = "close"
LEVEL_OF_SPREADS = 3
LATCHED = ("killed", "equity_loss", "refused")


def check_account(account: Account, endpoint: Endpoint) -> None:
    """The account that answered is one that may be traded here: a CredentialsError or RiskHalt if not.

    The address that is used and the account's own number decide, not a flag.
    """
    if endpoint.trading == LIVE or not endpoint.paper:
        raise CredentialsError("live money is not traded by this version; use --paper (the default)")
    if not endpoint.rehearsal and endpoint.trading != PAPER:
        raise CredentialsError(f"{endpoint.trading} is not the paper address; nothing was sent")
    if not account.number.startswith("PA"):
        raise CredentialsError(
            f"account {masked(account.number)} is no paper account (those begin with PA); nothing was sent"
        )
    if account.status != "ACTIVE" or account.blocked:
        raise RiskHalt(
            f"account {masked(account.number)} is {account.status or 'unknown'} and may not trade; see Alpaca"
        )
    if account.options_level < LEVEL_OF_SPREADS:
        raise CredentialsError(
            f"account {masked(account.number)} has options level {account.options_level}; condors need "
            f"{LEVEL_OF_SPREADS}: ask for it in Alpaca's account settings"
        )


def masked(number: str) -> str:
    """An account number as it is shown: its first two and last two characters."""
    return number if len(number) <= 4 else f"{number[:2]}{'*' * (len(number) - 4)}{number[-2:]}"


def kill_wish(folder: Path) -> str | None:
    """What the KILL file asks for: 'stop', or 'close' to close everything first; None without one."""
    path = folder / KILL_FILE
    if not path.exists():
        return None
    return CLOSE_TOO if path.read_text(encoding="utf-8", errors="replace").strip() == CLOSE_TOO else "stop"


def latched(journal: Any) -> dict[str, Any] | None:
    """The halt that stays until `live reset --reason`: what, why, when; None without one."""
    found: dict[str, Any] | None = journal.get("latched")
    return found


def latch(journal: Journal, what: str, why: str, now_ns: int) -> None:
    """Latch a halt, once; it survives a restart."""
    if latched(journal) is not None:
        return
    with journal.transaction() as j:
        j.set("latched", {"what": what, "why": why, "since_ns": now_ns})
        j.event("latched", what, {"why": why})
        j.notify("halt", f"{what}: {why}")


def refuse_if_latched(journal: Journal) -> None:
    """A RiskHalt where a halt is latched."""
    halt = latched(journal)
    if halt is not None:
        raise RiskHalt(
            f"trading is halted: {halt['what']} ({halt['why']}); look at the account, then `live reset --reason WHY`"
        )


class DayCaps:
    """The day's counts, kept in the journal so that a restart does not forget them."""

    def __init__(self, journal: Journal, config: Config, day: int) -> None:
        self.journal, self.config, self.day = journal, config, day

    def orders(self) -> int:
        return self._count("1")

    def entries_filled(self) -> int:
        return self._count("purpose = 'open' AND filled > 0")

    def _count(self, where: str) -> int:
        rows = self.journal.rows(
            f"SELECT count(*) AS n FROM orders JOIN intent USING(cid) WHERE cid LIKE ? AND {where}",
            (f"qmtf-%-{self.day}-%",),
        )
        return int(rows[0]["n"])

    def veto(self) -> int:
        live = self.config.live
        if self.orders() >= live["live.orders_a_day"] or self.entries_filled() >= live["live.entries_a_day"]:
            return Reason.DAY_CAP
        return Reason.NONE


def veto_of(journal: Journal, config: Config, caps: DayCaps, safe: bool, skew_ns: int) -> int:
    """The Reason that forbids entries now, NONE if nothing does."""
    halt = latched(journal)
    if halt is not None:
        return {"equity_loss": Reason.EQUITY_LOSS, "refused": Reason.REFUSED}.get(halt["what"], Reason.KILLED)
    if safe:
        return Reason.CLOSING_ONLY
    if abs(skew_ns) > config.live["live.clock_skew"] * 1e9:
        return Reason.CLOCK_SKEW
    return caps.veto()


def equity_lost(config: Config, account: Account, day_start: int) -> str | None:
    """Words for a loss of the broker's equity beyond live.equity_loss, None within it."""
    share = config.live["live.equity_loss"]
    if share <= 0.0 or day_start <= 0 or account.equity > day_start * (1.0 - share):
        return None
    return f"equity fell from ${day_start / 100:,.2f} to ${account.equity / 100:,.2f}, more than {share:.1%} in a day"


def words(verdict: int) -> str:
    return REASONS[verdict][1] if verdict in REASONS else json.dumps(verdict)
