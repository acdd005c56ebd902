"""`python main.py live`: wires a broker, a clock, a journal and the trader; the days follow one another."""

from __future__ import annotations

import hashlib
import logging
import os
import signal
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from core.config import ROOT, Config
from core.errors import BrokerError, CredentialsError
from core.jit import is_cold
from core.live import guards, notify
from core.live.broker import Broker, Refused
from core.live.clock import Clock, RehearsalClock, SystemClock
from core.live.journal import Journal
from core.live.keys import Endpoint, Keys, check_keys, endpoint_of, keys_at_hand
from core.live.morning import Calendar
from core.live.records import Account
from core.live.redact import Redaction, quieten
from core.live.stream import Updates, stream_url
from core.live.trader import Trader
from core.live.warm import warm
from core.types import Reason

ENDPOINT = "QMTF_ALPACA_URL"  # a rehearsal on this machine, nothing else
TOKEN = "QMTF_CLOCK_TOKEN"  # of its clock
STREAM = "QMTF_STREAM"  # 1: listen to order updates in a rehearsal too
HOME = ROOT / "data" / "live"
log = logging.getLogger("quantor.live")


class Signals:
    """SIGINT and SIGTERM set a flag; the loop looks at it."""

    def __init__(self) -> None:
        self.asked = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._note)

    def _note(self, _number: int, _frame: FrameType | None) -> None:
        self.asked = True


def place_of(account_number: str, home: Path) -> Path:
    """Folder of an account: its journal, recordings and KILL file. The number itself is in no path."""
    return home / f"{hashlib.sha256(account_number.encode()).hexdigest()[:12]}-paper"


def clock_of(endpoint: Endpoint) -> Clock:
    token = os.environ.get(TOKEN, "")
    return RehearsalClock(endpoint.trading, token) if endpoint.rehearsal and token else SystemClock()


def connect(config: Config, endpoint: Endpoint, keys: Keys, clock: Clock) -> Broker:
    """The broker through alpaca-py, keys checked against the address and kept out of every log."""
    from core.live.alpaca import AlpacaBroker

    check_keys(keys, endpoint)
    quieten(Redaction(keys.texts))
    live = config.live
    return AlpacaBroker(
        keys, endpoint, clock, live["live.timeout"], live["live.option_feed"], live["live.stock_feed"]
    )  # fmt: skip


def updates_of(endpoint: Endpoint, keys: Keys) -> Updates | None:
    """The stream of order updates, started; in a rehearsal, whose clock it does not move, only if asked for."""
    if endpoint.rehearsal and os.environ.get(STREAM) != "1":
        return None
    updates = Updates(stream_url(endpoint.trading), keys)
    updates.start()
    return updates


def set_up(config: Config) -> tuple[Broker, Clock, Endpoint]:
    endpoint = endpoint_of(os.environ.get(ENDPOINT))
    keys = keys_at_hand()
    clock = clock_of(endpoint)
    return connect(config, endpoint, keys, clock), clock, endpoint


def account_of(broker: Broker, endpoint: Endpoint) -> Account:
    """The account that answers, if it may be traded here."""
    try:
        account = broker.account()
    except Refused as error:
        if error.kind == "unauthorized":
            raise CredentialsError(
                "the broker does not know these keys; paper keys are made at app.alpaca.markets, and resetting the "
                "paper account makes the old ones invalid"
            ) from None
        raise
    guards.check_account(account, endpoint)
    return account


def trade(
    config: Config,
    days: int | None,
    home: Path = HOME,
    show: Callable[[Trader, Any], None] = lambda trader, step: None,
    until: int = 24 * 60,
) -> dict[str, Any]:
    """Trade session after session (None: without end) until a signal or a halt; what became of it.

    until : minute of the day after which a day's bars are left alone
    """
    notify.check(config.live["live.notify"])
    os.umask(0o077)  # journal, recordings and logs are the user's own
    if is_cold("answered.answered_row"):
        log.warning("compiling the decisions once, for this version of the code; it takes a minute or two")
    warm()
    signals, updates = Signals(), None
    broker, clock, endpoint = set_up(config)
    account = account_of(broker, endpoint)
    folder = place_of(account.number, home)
    journal = Journal(folder / "journal.sqlite", hashlib.sha256(account.id.encode()).hexdigest(), clock.now_ns)
    try:
        with journal.transaction() as j:
            if journal.get("starting_cash") is None:
                j.set("starting_cash", account.cash)
            j.event("started", "live", {"pid_free": True, "feeds": [config.live["live.option_feed"]]})
        calendar = Calendar(broker, clock)
        trader = Trader(config, broker, clock, journal, folder, calendar, lambda: signals.asked, show)
        trader.updates = updates = updates_of(endpoint, keys_at_hand())
        trader.start()
        traded = 0
        while days is None or traded < days:
            day, opens, _ = calendar.next_session()
            wait_for(trader, clock, opens, signals)
            trader.run_day(day, until)
            traded += 1
        return {"folder": str(folder), "days": traded, "positions": trader.held(), "safe": trader.safe}
    finally:
        if updates is not None:
            updates.stop()
        journal.close()


def wait_for(trader: Trader, clock: Clock, opens: int, signals: Signals) -> None:
    """Wait for the opening, with a heartbeat; the KILL file and signals are obeyed meanwhile."""
    while True:
        left = (opens - clock.now_ns()) / 1e9
        if left <= 0:
            return
        trader._obey()
        trader._beat(clock.now_ns())
        clock.sleep(min(left, 300.0))


def flatten(config: Config, home: Path = HOME) -> dict[str, Any]:
    """Close every structure of the account's book now, within the session."""
    signals = Signals()
    broker, clock, endpoint = set_up(config)
    account = account_of(broker, endpoint)
    folder = place_of(account.number, home)
    journal = Journal(folder / "journal.sqlite", hashlib.sha256(account.id.encode()).hexdigest(), clock.now_ns)
    try:
        calendar = Calendar(broker, clock)
        trader = Trader(config, broker, clock, journal, folder, calendar, lambda: signals.asked)
        day, opens, _ = calendar.next_session()
        if clock.now_ns() < opens:
            raise BrokerError("the market is closed; options are closed in its regular session only")
        trader.start()
        trader.open_day(day)
        trader.close_everything(Reason.KILLED)
        return {"folder": str(folder), "positions": trader.held()}
    finally:
        journal.close()
