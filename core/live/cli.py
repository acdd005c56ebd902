"""`python main.py live` and `parity`: options, and what is called for each; nothing heavy is imported before."""

from __future__ import annotations

import argparse
import json
import logging
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from core.config import ROOT, Config, minutes_of
from core.errors import ConfigError, CredentialsError

HOME_VARIABLE = "QMTF_LIVE_HOME"
ACTIONS = ("status", "today", "flatten", "kill", "reset", "reconcile", "doctor", "watchdog")
Show = Callable[[argparse.Namespace, Any, list[str]], None]


def home() -> Path:
    """Where accounts are kept: journals, recordings, KILL files."""
    return Path(os.environ.get(HOME_VARIABLE, ROOT / "data" / "live"))


def add_parsers(commands: Any, settings_options: Callable[[Any], None], common: Callable[[Any], None]) -> None:
    live = commands.add_parser(
        "live",
        help="trade the strategy through Alpaca, on paper; or rehearse a day",
        description="Without ACTION: trade, session after session. status, today: what is held and what fires next; "
        "flatten: close everything; kill: stop now, latched; reset: take a latched halt back; reconcile: book against "
        "broker; doctor: what is missing, with its remedy; watchdog: cancel entries of a loop that died.",
        epilog="example: python main.py live --rehearse 2018-01-16 --speed 600",
    )
    live.add_argument("action", nargs="?", choices=ACTIONS, metavar="ACTION", help=", ".join(ACTIONS))
    settings_options(live)
    live.add_argument("--paper", action="store_true", help="the paper account (the default, and the only one)")
    live.add_argument("--live-money", action="store_true", help="refused: this version trades paper alone")
    live.add_argument("--rehearse", metavar="DATE", help="trade a day of --market against a broker on this machine")
    live.add_argument("--speed", metavar="X", type=float, default=60.0, help="of a rehearsal, against real time (60)")
    live.add_argument("--days", metavar="N", type=int, help="sessions to trade (default: without end; a rehearsal: 1)")
    live.add_argument("--until", metavar="HH:MM", help="New York time at which a day ends early; positions stay")
    live.add_argument("--close", action="store_true", help="kill: close everything first")
    live.add_argument("--reason", metavar="WHY", help="reset: why trading may go on")
    live.add_argument(
        "--accept", action="store_true", help="reconcile: leave the closing-only mode; begin a new journal"
    )
    live.add_argument("--once", action="store_true", help="watchdog: look once")
    common(live)
    parity = commands.add_parser(
        "parity",
        help="replay a recorded live day through the engine",
        description="The day's recording through the importer and the engine again, with the fills that the broker "
        "gave: every decision that differs, and why.",
        epilog="example: python main.py parity --day 2026-03-02",
    )
    parity.add_argument("--day", metavar="D", help="New York date (default: the newest recorded)")
    parity.add_argument("--account", metavar="DIR", help="account folder (default: the newest below data/live)")
    common(parity)


def set_up_logs(args: argparse.Namespace) -> None:
    level = logging.DEBUG if args.debug else logging.WARNING if args.quiet else logging.INFO
    logging.basicConfig(stream=sys.stderr, level=level, format="%(message)s", force=True)


def run_live(args: argparse.Namespace, config: Config, show: Show) -> None:
    if args.live_money:
        raise CredentialsError("live money is not traded by this version; use --paper (the default)")
    set_up_logs(args)
    if args.action is None:
        value = rehearse(args, config) if args.rehearse else trade(args, config)
        show(args, value, summary_lines(value))
        return
    DO[args.action](args, config, show)


def trade(args: argparse.Namespace, config: Config) -> dict[str, Any]:
    from core.live.front import trade as trade_days
    from core.live.view import viewer

    with viewer(args) as watch:
        return trade_days(config, args.days, home(), watch, minute_of(args.until))


def minute_of(text: str | None) -> int:
    """Minute of the day of --until; a whole day without."""
    if text is None:
        return 24 * 60
    try:
        return minutes_of(text)
    except ValueError:
        raise ConfigError(f"--until is {text!r}; give a New York time, as 11:30") from None


def summary_lines(value: dict[str, Any]) -> list[str]:
    held = ", ".join(f"{quantity:+d} {occ}" for occ, quantity in value["positions"].items()) or "nothing"
    count = f"{value['days']} session{'' if value['days'] == 1 else 's'}"
    lines = [f"{count} traded; held: {held}", f"journal and recordings: {value['folder']}"]
    if value["safe"]:
        lines.append("closing only: book and broker differed; see `live status`, then `live reconcile --accept`")
    if value.get("modelled"):
        lines.append("the rehearsed quotes are MODELLED")
    if "parity" in value:
        lines.append(f"parity: {value['parity']['same']} of {value['parity']['decisions']} decisions are the same")
    return lines


def rehearse(args: argparse.Namespace, config: Config) -> dict[str, Any]:
    """Trade a day of a market against the rehearsal server, a process of its own."""
    from core.live.front import ENDPOINT, TOKEN
    from core.live.keys import NAMES
    from core.live.tape import tape_of_store, words_of, write_tape
    from core.market.catalog import open_market

    days = args.days or 1
    store = open_market(config["market.name"], config["market.seed"], tell)
    last = session_after(store, args.rehearse, days - 1)
    tape = tape_of_store(store, args.rehearse, last, config["strategy.entry.dte_max"])
    folder = Path(tempfile.mkdtemp(prefix="rehearsal-", dir=made(home())))
    write_tape(folder / "tape.npz", tape)
    logging.getLogger("quantor.live").info("rehearsing %s (%s)", words_of(tape), store.name)
    command = [
        sys.executable, "-m", "core.live.rehearsal", "--tape", str(folder / "tape.npz"), "--ledger",
        str(folder / "broker.sqlite"), "--cash", str(config["account.starting_cash"]), "--speed", str(args.speed),
        "--seed", str(config["market.seed"]),
    ]  # fmt: skip
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    try:
        assert server.stdout is not None
        hello = json.loads(server.stdout.readline() or "{}")
        if not hello:
            raise ConfigError("the rehearsal server did not start; run: python -m pip install -r requirements-live.txt")
        os.environ[ENDPOINT], os.environ[TOKEN] = f"http://127.0.0.1:{hello['port']}", hello["token"]
        os.environ.update(dict.fromkeys(NAMES, "rehearsal"))
        os.environ[HOME_VARIABLE] = str(folder)
        args.days = days
        value = trade(args, config)
    finally:
        server.kill()
        server.wait()
    from core.live.parity import parity_of

    return {**value, "modelled": store.modelled, "parity": parity_of(Path(value["folder"]))}


def tell(text: str) -> None:
    sys.stderr.write(text + "\n")


def made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder


def session_after(store: Any, date: str, count: int) -> str:
    """The date of the session so many after `date`; a DataError where the market does not hold it."""
    from core.market.calendar import day_text
    from core.market.store import rows_between

    _, end = rows_between(store, date, date)
    s = int(store.columns["session"][end - 1])
    days = store.columns["s_day"]
    return day_text(int(days[min(s + count, len(days) - 1)]))


# ---------------------------------------------------------------- actions


def do_status(args: argparse.Namespace, _config: Config, show: Show) -> None:
    from core.live import commands

    value = commands.status(commands.folder_of(home()))
    show(args, value, commands.status_lines(value))


def do_today(args: argparse.Namespace, config: Config, show: Show) -> None:
    from core.live import commands
    from core.live.front import set_up

    broker, clock, _ = set_up(config)
    value = commands.today(commands.folder_of(home()), broker, config, clock)
    show(args, value, commands.today_lines(value))


def do_kill(args: argparse.Namespace, _config: Config, show: Show) -> None:
    from core.live import commands

    value = commands.kill(commands.folder_of(home()), args.close)
    show(args, value, [f"asked to stop by {value['file']}; entries stay halted until `live reset --reason WHY`"])


def do_reset(args: argparse.Namespace, _config: Config, show: Show) -> None:
    from core.live import commands
    from core.live.clock import SystemClock

    if not args.reason:
        raise ConfigError("live reset needs --reason WHY; it stands in the journal")
    value = commands.reset(commands.folder_of(home()), args.reason, SystemClock())
    show(args, value, [f"reset; it was: {value['was']}"])


def do_reconcile(args: argparse.Namespace, config: Config, show: Show) -> None:
    from core.errors import JournalError, ReconciliationError
    from core.live import commands
    from core.live.front import set_up

    broker, clock, _ = set_up(config)
    folder = commands.folder_of(home())
    try:
        value = commands.accept(folder, broker, clock) if args.accept else commands.compare(folder, broker)
    except JournalError:
        if not args.accept:
            raise
        kept = commands.start_over(folder, str(clock.now_ns()))
        show(args, {"kept": str(kept)}, [f"the damaged journal is kept as {kept}; the next start begins a new one"])
        return
    if value["differ"] or value["shares"]:
        raise ReconciliationError(f"book and broker differ: {value['differ']}, {value['shares']} shares")
    show(
        args,
        value,
        [
            "book and broker agree"
            + (" (closing only until --accept)" if value["safe_mode"] and not args.accept else "")
        ],
    )


def do_doctor(args: argparse.Namespace, config: Config, show: Show) -> None:
    from core.live import commands
    from core.live.front import set_up

    checks = commands.doctor(home(), lambda: set_up(config))
    show(args, {"checks": checks}, commands.doctor_lines(checks))


def do_watchdog(args: argparse.Namespace, config: Config, show: Show) -> None:
    from core.live import commands
    from core.live.front import set_up

    broker, clock, _ = set_up(config)
    while True:
        value = commands.watch(commands.folder_of(home()), broker, clock, config.live["live.dead_after"])
        if args.once or value["cancelled"]:
            show(
                args,
                value,
                [f"heartbeat {value['heartbeat_age_s']} s old; cancelled: {value['cancelled'] or 'nothing'}"],
            )
        if args.once:
            return
        clock.sleep(10.0)


def do_flatten(args: argparse.Namespace, config: Config, show: Show) -> None:
    from core.live.front import flatten

    value = flatten(config, home())
    show(args, value, [f"held now: {value['positions'] or 'nothing'}"])


DO = {
    "status": do_status, "today": do_today, "kill": do_kill, "reset": do_reset, "reconcile": do_reconcile,
    "doctor": do_doctor, "watchdog": do_watchdog, "flatten": do_flatten,
}  # fmt: skip


def run_parity(args: argparse.Namespace, show: Show) -> None:
    from core.live.commands import folder_of
    from core.live.parity import parity_lines, parity_of

    folder = Path(args.account) if args.account else folder_of(home())
    value = parity_of(folder, args.day)
    show(args, value, parity_lines(value))


def run_costs(args: argparse.Namespace, show: Show) -> None:
    from core.live.commands import folder_of
    from core.live.fills import cost_lines, cost_value

    value = cost_value(folder_of(home()))
    show(args, value, cost_lines(value))


def download_market(args: argparse.Namespace, config: Config, say: Callable[[str], None]) -> Any:
    from core.live.download import download
    from core.live.front import set_up
    from core.market import catalog

    low, _, high = args.dte.partition("-")
    if not (low.isdigit() and high.isdigit() and int(low) <= int(high)):
        raise ConfigError(f"--dte is {args.dte!r}; give least and most days to expiry, as 0-60")
    if not args.name.replace("-", "").replace("_", "").isalnum() or args.name in catalog.BUILT:
        raise ConfigError(
            f"--name is {args.name!r}; give letters, digits, - and _, and not {' or '.join(catalog.BUILT)}"
        )
    broker, _, _ = set_up(config)
    folder = catalog.store_folder().parent / "downloads" / args.name
    return download(broker, folder, args.name, args.start, args.end, (int(low), int(high)), say)
