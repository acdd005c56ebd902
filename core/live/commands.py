"""What may be asked of a live account beside the loop: status, today, kill, reset, reconcile, watchdog, doctor."""

from __future__ import annotations

import json
import math
import os
import sqlite3
from pathlib import Path
from typing import Any

from core.config import Config
from core.errors import DataError, JournalError, QuantorError, ReconciliationError
from core.live import guards
from core.live.broker import Broker
from core.live.clock import Clock
from core.live.desk import LIVE_STATES
from core.live.journal import Journal, JournalReader
from core.live.occ import parse_occ
from core.live.reconcile import UNDERLYING, options_and_shares
from core.market.calendar import NS_DAY, NS_MINUTE, day_text
from core.pricing.implied_vol import implied_vol
from core.types import NS_PER_YEAR, REASON_NAMES, T

OURS = "qmtf-"
NONE = 1 << 29  # levels beyond it stand for none
CLOSE_NS = 21 * 60 * NS_MINUTE  # 16:00 New York in winter: an hour matters little to a distance


def folder_of(home: Path) -> Path:
    """The account's folder: the one whose journal was written last; a JournalError where there is none."""
    folders = [path for path in home.rglob("journal.sqlite") if path.is_file()]
    if not folders:
        raise JournalError(f"no journal below {home}; `python main.py live --paper` makes one")
    return max(folders, key=lambda path: path.stat().st_mtime).parent


def status(folder: Path) -> dict[str, Any]:
    """What the journal knows, without asking the broker."""
    journal = JournalReader(folder / "journal.sqlite")
    try:
        marks = ", ".join("?" * len(LIVE_STATES))
        orders = journal.rows(f"SELECT cid, state, filled, note FROM orders WHERE state IN ({marks})", LIVE_STATES)
        last = journal.rows("SELECT * FROM decision ORDER BY ts_ns DESC LIMIT 1")
        book = journal.rows("SELECT body FROM book")
        value: dict[str, Any] = {
            "folder": str(folder), "events": journal.last, "heartbeat_ns": journal.get("heartbeat_ns"),
            "latched": guards.latched(journal), "safe_mode": bool(journal.get("safe", False)),
            "why": journal.get("safe_why"), "working": orders, "structures": structures(book),
        }  # fmt: skip
        if last:
            value["last_decision"] = {
                "ts_ns": last[0]["ts_ns"], "verdict": REASON_NAMES[last[0]["verdict"]],
                "words": guards.words(last[0]["verdict"]), "equity": last[0]["equity"] / 100,
            }  # fmt: skip
        notices = journal.rows("SELECT topic, body FROM outbox ORDER BY id DESC LIMIT 5")
        value["notices"] = [f"{row['topic']}: {row['body']}" for row in notices]
        return value
    finally:
        journal.close()


def structures(book: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Open structures of a saved book."""
    if not book:
        return []
    slots = json.loads(book[0]["body"])["slots"].values()
    return [
        {
            "trade": s["trade"], "expiry": day_text(s["expiry"]), "legs": [occ for occ in s["legs"] if occ],
            "contracts": s["contracts"], "credit": s["credit"] / 100,
            "closing": REASON_NAMES[s["closing"]] if s["closing"] else "",
        }
        for s in slots
    ]  # fmt: skip


def status_lines(value: dict[str, Any]) -> list[str]:
    lines = [f"account folder  {value['folder']}", f"journal         {value['events']} events, chain intact"]
    if value["latched"]:
        lines.append(f"HALTED          {value['latched']['what']}: {value['latched']['why']}")
    if value["safe_mode"]:
        lines.append(f"CLOSING ONLY    {value['why']}")
    if "last_decision" in value:
        last = value["last_decision"]
        lines.append(f"last decision   {last['words']}; equity ${last['equity']:,.2f}")
    for s in value["structures"]:
        legs = " ".join(s["legs"])
        lines.append(f"structure {s['trade']:<5} {s['contracts']} x {legs}, credit {s['credit']:.2f} {s['closing']}")
    lines += [f"working         {row['cid']} {row['state']}" for row in value["working"]]
    lines += [f"notice          {text}" for text in value["notices"]]
    return lines


def kill(folder: Path, close: bool) -> dict[str, Any]:
    """Ask the loop to stop by a file that it looks for every few seconds; latched until `reset`."""
    path = folder / guards.KILL_FILE
    path.write_text(guards.CLOSE_TOO if close else "stop", encoding="utf-8")
    return {"file": str(path), "closes": close}


def writer(folder: Path, clock: Clock) -> Journal:
    """The journal for a command that writes; a JournalError while the loop holds it."""
    reader = JournalReader(folder / "journal.sqlite")
    account = reader.get("account")
    reader.close()
    return Journal(folder / "journal.sqlite", str(account), clock.now_ns)


def reset(folder: Path, reason: str, clock: Clock) -> dict[str, Any]:
    """Take a latched halt back, with the reason in the journal."""
    journal = writer(folder, clock)
    try:
        halt = guards.latched(journal)
        with journal.transaction() as j:
            j.event("reset", "live", {"reason": reason, "was": halt})
            j.set("latched", None)
            j.set("rejects_in_row", 0)
        (folder / guards.KILL_FILE).unlink(missing_ok=True)
        return {"was": halt, "reason": reason}
    finally:
        journal.close()


def compare(folder: Path, broker: Broker) -> dict[str, Any]:
    """The journal's book beside the broker's positions."""
    reader = JournalReader(folder / "journal.sqlite")
    try:
        book = reader.rows("SELECT body FROM book")
        ours: dict[str, int] = {}
        for s in json.loads(book[0]["body"])["slots"].values() if book else []:
            for leg, occ in enumerate(s["legs"]):
                if occ:
                    ours[occ] = ours.get(occ, 0) + (-1 if leg in (1, 2) else 1) * s["contracts"]
        safe, why = bool(reader.get("safe", False)), reader.get("safe_why")
    finally:
        reader.close()
    theirs, others = options_and_shares(broker.positions())
    names = sorted({*ours, *theirs})
    differ = {n: [ours.get(n, 0), theirs.get(n, 0)] for n in names if ours.get(n, 0) != theirs.get(n, 0)}
    return {"safe_mode": safe, "why": why, "differ": differ, "shares": others.get(UNDERLYING, 0), "held": ours}


def accept(folder: Path, broker: Broker, clock: Clock) -> dict[str, Any]:
    """Leave the safe mode, once book and broker agree; a ReconciliationError that says where they do not."""
    value = compare(folder, broker)
    if value["differ"] or value["shares"]:
        raise ReconciliationError(
            f"book and broker still differ: {value['differ']}, {value['shares']} shares; the loop takes over what the "
            "broker changed at its next bar. Close what is foreign by hand first"
        )
    journal = writer(folder, clock)
    try:
        with journal.transaction() as j:
            j.set("safe", False)
            j.event("accepted", "live", {"why": value["why"]})
    finally:
        journal.close()
    return value


def start_over(folder: Path, stamp: str) -> Path:
    """Put a journal that cannot be trusted aside, so that a new one can begin; returns where it is kept."""
    kept = folder / f"journal-{stamp}.kept"
    for path in folder.glob("journal.sqlite*"):
        os.replace(path, kept.with_name(kept.name + path.name.removeprefix("journal.sqlite")))
    return kept


def watch(folder: Path, broker: Broker, clock: Clock, dead_after: float) -> dict[str, Any]:
    """Cancel working entry orders if the loop's heartbeat is too old; what was done."""
    reader = JournalReader(folder / "journal.sqlite")
    try:
        beat = int(reader.get("heartbeat_ns", 0))
    finally:
        reader.close()
    age = (clock.now_ns() - beat) / 1e9
    cancelled = []
    if age > dead_after:
        for order in broker.orders("open"):
            if order.cid.startswith(OURS) and "-o" in order.cid:
                broker.cancel(order.id)
                cancelled.append(order.cid)
    return {"heartbeat_age_s": round(age, 1), "dead": age > dead_after, "cancelled": cancelled}


def today(folder: Path, broker: Broker, config: Config, clock: Clock) -> dict[str, Any]:
    """Each structure now: the expected move, each short's distance in it, P&L as a share of credit, what fires next."""
    reader = JournalReader(folder / "journal.sqlite")
    try:
        book = reader.rows("SELECT ts_ns, body FROM book")
        if not book:
            raise DataError("nothing has been decided yet")
        saved = json.loads(book[0]["body"])
        trades = {
            row["number"]: json.loads(row["body"]) for row in reader.rows("SELECT * FROM line WHERE tab = 'trade'")
        }
    finally:
        reader.close()
    found, now = [], clock.now_ns()
    _, bars = broker.bars(UNDERLYING, 5, now - 4 * NS_DAY, now)
    if not bars:
        raise DataError(f"the broker has no bars of {UNDERLYING} for the last days")
    for s in saved["slots"].values():
        symbols = [occ for occ in s["legs"] if occ]
        quotes = {q.occ: q for q in broker.quotes(symbols).quotes}
        found.append(structure_today(s, trades.get(s["trade"]), quotes, config, bars[-1].close, now))
    return {"asof_ns": book[0]["ts_ns"], "structures": found}


def structure_today(
    s: dict[str, Any], line: Any, quotes: dict[str, Any], config: Config, spot: float, now_ns: int
) -> dict[str, Any]:
    """One structure of `today`; shorts: see short_today."""
    mid = 0.0
    for leg, occ in enumerate(s["legs"]):
        if occ:
            quote = quotes.get(occ)
            price = math.nan if quote is None or quote.bid < 0 else (quote.bid + quote.ask) / 2
            mid += (1 if leg in (1, 2) else -1) * price
    credit = s["credit"] - s["paid"]
    pnl = (credit - mid) * s["contracts"]
    return {
        "trade": s["trade"], "expiry": day_text(s["expiry"]), "contracts": s["contracts"], "credit": s["credit"] / 100,
        "cost_to_close": None if math.isnan(mid) else mid / 100, "pnl": None if math.isnan(pnl) else pnl,
        "kept_share": None if math.isnan(pnl) or credit <= 0 else (credit - mid) / credit,
        "profit_order_at": s["target"] / 100 if s["target"] > -NONE else None,
        "stop_at": s["stop"] / 100 if s["stop"] < NONE else None, "exit_dte": config["strategy.exits.exit_dte"],
        "opened_ns": None if line is None else line[T["opened"]],
        "shorts": [short_today(s["legs"][leg], quotes, spot, now_ns) for leg in (1, 2) if s["legs"][leg]],
    }  # fmt: skip


def short_today(occ: str, quotes: dict[str, Any], spot: float, now_ns: int) -> dict[str, Any]:
    """A short: sd, the spot's standard deviation to expiry by its own volatility ($); away, its distance in them."""
    option, quote = parse_occ(occ), quotes.get(occ)
    years = (option.expiry_day * NS_DAY + CLOSE_NS - now_ns) / NS_PER_YEAR
    price = math.nan if quote is None or quote.bid < 0 else (quote.bid + quote.ask) / 200
    strike = option.strike_cents / 100
    vol = implied_vol(option.right == 1, price, spot, strike, years, 1.0)
    sd = spot * vol * math.sqrt(max(years, 0.0))
    away = (strike - spot) * (1 if option.right else -1) / sd if sd > 0 else math.nan
    return {"occ": occ, "strike": strike, "sd": none_if_nan(sd), "away": none_if_nan(away)}


def none_if_nan(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def today_lines(value: dict[str, Any]) -> list[str]:
    lines = []
    for s in value["structures"]:
        kept = "unknown" if s["kept_share"] is None else f"{s['kept_share']:.0%} of credit"
        cost = "no quote" if s["cost_to_close"] is None else f"{s['cost_to_close']:.2f}"
        stop = "no stop" if s["stop_at"] is None else f"stop at {s['stop_at']:.2f}"
        goal = "no profit order" if s["profit_order_at"] is None else f"profit at {s['profit_order_at']:.2f}"
        far = "; ".join(
            f"{short['strike']:g} is {short['away']:.1f} deviations of ${short['sd']:.2f} away"
            for short in s["shorts"]
            if short["away"] is not None
        )
        lines.append(
            f"structure {s['trade']} {s['expiry']} x{s['contracts']}: credit {s['credit']:.2f}, costs {cost} to close, "
            f"{kept}; {goal}, {stop}, at {s['exit_dte']} days to expiry; {far or 'distances unknown'}"
        )
    return lines or ["nothing is open"]


def doctor(home: Path, connect: Any) -> list[dict[str, Any]]:
    """Each thing that trading needs: whether it is there, and what to do if not."""
    checks: list[dict[str, Any]] = []

    def check(name: str, ask: Any, remedy: str) -> Any:
        try:
            found = ask()
            checks.append({"what": name, "ok": True, "found": str(found)})
            return found
        except QuantorError as error:
            checks.append({"what": name, "ok": False, "found": str(error), "remedy": remedy})
            return None

    made = check("keys and alpaca-py", connect, "export APCA_API_KEY_ID and APCA_API_SECRET_KEY; install alpaca-py")
    if made is not None:
        broker, clock, endpoint = made
        checks[-1]["found"] = f"{'a rehearsal' if endpoint.rehearsal else 'paper'}, keys hidden"
        account = check("account", broker.account, "look at the account at app.alpaca.markets")
        if account is not None:
            checks[-1]["found"] = (
                f"{guards.masked(account.number)}, {account.status}, equity ${account.equity / 100:,.2f}"
            )
            check(
                "permissions",
                lambda: guards.check_account(account, endpoint) or "level 3, not blocked",
                "ask for options level 3; unblock the account",
            )
        before = clock.now_ns()
        said = check("broker's clock", broker.clock, "check the network")
        if said is not None:
            skew = (said.now_ns - before) / 1e9
            checks[-1]["found"] = f"{skew:+.1f} s from ours"
            checks[-1]["ok"] = abs(skew) < 5
            checks[-1]["remedy"] = "set this machine's clock by NTP"
    journals = sorted(home.rglob("journal.sqlite"))
    for path in journals:
        check(
            f"journal {path.parent.name}",
            lambda path=path: f"{JournalReader(path).last} events, chain intact",
            "keep the file; `live reconcile --accept` begins a new one",
        )
    version = sqlite3.sqlite_version
    note = (
        ""
        if tuple(map(int, version.split("."))) >= (3, 51, 3)
        else "; one writer alone is used, as this version asks for"
    )
    checks.append({"what": "SQLite", "ok": True, "found": version + note})
    return checks


def doctor_lines(checks: list[dict[str, Any]]) -> list[str]:
    lines = []
    for check in checks:
        lines.append(f"{'ok ' if check['ok'] else 'NO '} {check['what']:24} {check['found']}")
        if not check["ok"]:
            lines.append(f"      -> {check['remedy']}")
    return lines
