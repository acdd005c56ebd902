"""The live loop: poll, reconcile, book, decide, review, journal, submit; one bar at a time, a day unattended.

Before a bar closes its orders are worked (core.live.work); then they are cancelled and confirmed, the bar and its chain
are recorded, the broker's positions are held against the book, and the engine takes one row: what filled goes in, what
is wanted comes out. The book, the decision and what was booked are one transaction. Polling is the truth.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from core.config import Config
from core.errors import BrokerError, DataError, RiskHalt
from core.live import guards, notify, reconcile
from core.live.broker import Ambiguous, Broker, RateLimited
from core.live.clock import Clock, SystemClock
from core.live.day_market import Snapshot, grid_of
from core.live.desk import QUARANTINE, Desk, answer_of
from core.live.engine import CLOSE, OPEN, Engine, Step, Wanted
from core.live.failpoint import reach
from core.live.healing import changes_of
from core.live.journal import Journal, text_of
from core.live.morning import Calendar, begin_day, recorded_bars
from core.live.recording import Recorder
from core.live.records import Quote
from core.live.state import TABLES
from core.live.stream import Updates
from core.live.work import Workbench
from core.market.build import BAR_MINUTES
from core.market.calendar import NS_MINUTE, day_text
from core.types import REASON_NAMES, Reason

BAR_NS = BAR_MINUTES * NS_MINUTE
SECOND = 1_000_000_000
WATCH_SECONDS = 60  # between two looks at the positions while orders work
FINISH_SECONDS = 25  # before a bar closes, when its orders are cancelled
log = logging.getLogger("quantor.live")


class Stopped(KeyboardInterrupt):
    """A signal asked the loop to end: working entries are cancelled, positions stay as they are."""


class Trader:
    """One account, traded by the settings. folder: where its journal, recordings and the KILL file are.

    asked : whether a signal asked to stop; show : told after each decision
    """

    def __init__(
        self,
        config: Config,
        broker: Broker,
        clock: Clock,
        journal: Journal,
        folder: Path,
        calendar: Calendar,
        asked: Callable[[], bool] = lambda: False,
        show: Callable[[Trader, Step], None] = lambda trader, step: None,
    ) -> None:
        self.config, self.broker, self.clock, self.journal, self.folder = config, broker, clock, journal, folder
        self.calendar, self._asked, self._show = calendar, asked, show
        self.desk = Desk(journal, broker, clock, config.live["live.lookup_wait"])
        self.bench = Workbench(journal, self.desk, broker, clock, config, self.held)
        self.ready = False
        self.safe = bool(journal.get("safe", False))
        self.skew_ns = 0
        self.feed = ""
        self.updates: Updates | None = None  # the stream of order updates, where one is listened to
        self._watched_ns = 0

    # ------------------------------------------------------------ a day

    def start(self) -> None:
        """Resolve what an earlier process left, in the order of the start-up; READY, or an error that says why not."""
        guards.refuse_if_latched(self.journal)
        self.skew_ns = self.calendar.skew()
        for row in self.desk.open_orders():
            self.desk.poll(row["cid"])
        for row in self.desk.open_orders():
            self.bench.finish_one(row["cid"])
        self._note_strange_orders()

    def _note_strange_orders(self) -> None:
        """Orders at the broker that this journal never sent are not touched, and nothing is opened beside them."""
        known = {row["cid"] for row in self.journal.rows("SELECT cid FROM intent")}
        strange = [order for order in self.broker.orders("open") if order.cid not in known]
        if strange:
            self.enter_safe_mode(
                f"{len(strange)} open orders of nobody's: {', '.join(o.cid[:40] for o in strange[:3])}"
            )

    def open_day(self, day: int) -> None:
        """The book and the market of a session, as far as it is recorded; READY."""
        self.recorder = Recorder(self.folder / "recorded", day)
        self.morning = self.recorder.morning()
        saved = self.journal.rows("SELECT body FROM book")
        book = None if not saved else json.loads(saved[0]["body"])
        if self.morning is None:
            self.morning = begin_day(self.broker, self.config, self.clock, self.recorder, day, book)
            reach("morning-recorded")
        self.engine = self._engine(day, book)
        self.caps = guards.DayCaps(self.journal, self.config, day)
        self.day_equity = self._day_equity(day)
        self.ready = True
        self.journal_event("ready", {"day": day, "safe": self.safe})

    def run_day(self, day: int, until: int = 24 * 60) -> None:
        """Trade one session from where its recording ends to its close, or to a minute of the day."""
        self.open_day(day)
        self._resume(day)
        assert self.morning is not None
        close_ns = int(self.morning.sessions.close_ns[-1])
        grid = grid_of(self.morning.sessions, len(self.morning.sessions.day) - 1).tolist()
        for ts in grid:
            if ts <= self._last_ts() or self._minute_of(ts) > until:
                continue
            self._work_until(min(ts, close_ns))
            self._decide(ts, last=ts == grid[-1])
        self.desk.forget_abandoned()
        self.journal.backup(self.folder / "journal.backup")
        self.ready = False

    def _engine(self, day: int, book: Any) -> Engine:
        """The engine as the journal left it, on today's market with all that was recorded."""
        assert self.morning is not None
        market = self.morning.market()
        cash = int(self.journal.get("starting_cash", 0))
        engine = Engine(self.config, market, cash, self.config.live["live.profit_order"] == "rests")
        if book is not None:
            lines: dict[str, dict[int, Any]] = {table: {} for table in TABLES}
            for row in self.journal.rows("SELECT tab, number, body FROM line"):
                lines[row["tab"]][row["number"]] = json.loads(row["body"])
            engine.restore(book, lines)
        decided = self._last_ts()
        for snapshot in self.recorder.snapshots():
            if snapshot.ts <= decided:
                market.take(snapshot)
        if decided < int(market.rows.ts[market.first]) and book is not None:
            with self.journal.transaction() as j:
                j.put("morning", day=day, body=text_of({"book": book}))
        return engine

    def _last_ts(self) -> int:
        """Time of the last decision, 0 before the first."""
        rows = self.journal.rows("SELECT max(ts_ns) AS ts FROM decision")
        return int(rows[0]["ts"] or 0)

    def _resume(self, day: int) -> None:
        """After a restart within a bar: what the last decision wanted is worked on."""
        rows = self.journal.rows("SELECT ts_ns FROM decision WHERE day = ? ORDER BY ts_ns DESC LIMIT 1", (day,))
        wanted = () if not rows else tuple(self.engine.wanted())
        self._take(wanted, self._minute_of(rows[0]["ts_ns"]) if rows else 0)

    def _minute_of(self, ts: int) -> int:
        market = self.engine.day
        return int(market.columns["minute"][market.row_of(ts)])

    def _day_equity(self, day: int) -> int:
        """The broker's equity at the day's first look, cents; kept over restarts."""
        kept = self.journal.get("day_equity", {})
        if kept.get("day") != day:
            kept = {"day": day, "cents": self.broker.account().equity}
            with self.journal.transaction() as j:
                j.set("day_equity", kept)
        return int(kept["cents"])

    # ------------------------------------------------------------ between two bars

    def held(self) -> dict[str, int]:
        """Contracts by symbol: the book, and what filled since."""
        found = self.engine.positions()
        for row in self.desk.unbooked():
            for occ, side, *_ in json.loads(row["wanted"]):
                filled = json.loads(row["legs"])[occ][0] - json.loads(row["booked_legs"]).get(occ, [0, 0])[0]
                found[occ] = found.get(occ, 0) + side * filled
        return {occ: quantity for occ, quantity in found.items() if quantity}

    def _take(self, wanted: Any, minute: int) -> None:
        blocked = self.bench.blocked()
        orders = tuple(order for order in wanted if order.trade not in blocked)
        if self.config.live["live.profit_order"] == "rests":
            busy = {order.trade for order in orders} | blocked
            orders += tuple(order for order in self.engine.resting() if order.trade not in busy)
        self.bench.take(orders, self.recorder.day, minute)

    def _work_until(self, ts: int) -> None:
        """Work the bar's orders until shortly before `ts`; heartbeat, kill switch and positions meanwhile."""
        poll = self.config.live["live.poll"]
        end = ts - FINISH_SECONDS * SECOND
        while True:
            now = self.clock.now_ns()
            self._beat(now)
            self._obey()
            if now >= end:
                break
            self.bench.tend()
            self._check_latches()
            self._watch(now)
            idle = all(job.ended for job in self.bench.jobs) and not self.desk.open_orders()
            pause = min(60.0, 12 * poll) if idle else poll
            self._pause(max(min(pause, (end - self.clock.now_ns()) / SECOND), 0.05))
        self.bench.finish()

    def _pause(self, seconds: float) -> None:
        """Wait, or until the stream says that an order changed."""
        if self.updates is None:
            self.clock.sleep(seconds)
            return
        until = self.clock.now_ns() + int(seconds * SECOND)
        while self.clock.now_ns() < until and not self.updates.wait(0.0):
            if isinstance(self.clock, SystemClock):
                self.updates.wait((until - self.clock.now_ns()) / SECOND)
                return
            self.clock.sleep(min(5.0, (until - self.clock.now_ns()) / SECOND))

    def _beat(self, now: int) -> None:
        with self.journal.transaction() as j:
            j.set("heartbeat_ns", now)
        notify.send_one(self.journal, self.config.live["live.notify"], now)

    def _obey(self) -> None:
        """The KILL file and signals."""
        wish = guards.kill_wish(self.folder)
        if wish is not None:
            self._kill(wish)
        if self._asked():
            self.bench.drop_entries()
            self.journal_event("stopped", {"by": "signal"})
            raise Stopped

    def _kill(self, wish: str) -> None:
        """Cancel working entries, close everything if that is wished, latch, end."""
        now = self.clock.now_ns()
        guards.latch(self.journal, "killed", f"the KILL file says {wish}", now)
        self.bench.drop_entries()
        if wish == guards.CLOSE_TOO and self.ready:
            self.close_everything(Reason.KILLED)
        raise RiskHalt("killed: working entries are cancelled, nothing is opened until `live reset --reason WHY`")

    def close_everything(self, reason: int, minutes: int = 15) -> None:
        """Close every structure now, for at most so many minutes; what stays open is reported."""
        row = max(self.engine.day.first, self.engine.day.first + self.engine.day.taken - 1)
        for trade in [int(slot.trade) for slot in self.engine.book.slot if slot.trade >= 0]:
            self.engine.leave(trade, reason, row)
        self.engine.withdraw_entry()
        self.bench.finish()
        minute = (self.clock.now_ns() // NS_MINUTE) % 1440
        self.bench.take(tuple(self.engine.wanted()), self.recorder.day, int(minute))
        until = self.clock.now_ns() + minutes * NS_MINUTE
        while self.clock.now_ns() < until and not all(job.ended for job in self.bench.jobs):
            self.bench.tend()
            self.clock.sleep(self.config.live["live.poll"])
        self.bench.finish()
        left = self.held()
        with self.journal.transaction() as j:
            j.notify("flatten", f"still held: {left}" if left else "everything is closed")

    def _check_latches(self) -> None:
        if self.desk.rejects >= self.config.live["live.rejects_in_row"]:
            guards.latch(self.journal, "refused", f"{self.desk.rejects} orders refused in a row", self.clock.now_ns())
            self.bench.drop_entries()

    def _watch(self, now: int) -> None:
        """Every minute: do the positions still agree? A short that lost its cover is bought back at once."""
        if now - self._watched_ns < WATCH_SECONDS * SECOND:
            return
        self._watched_ns = now
        try:
            options, _ = reconcile.options_and_shares(self.broker.positions())
        except (Ambiguous, RateLimited) as error:
            self._broker_away(error)
            return
        self.journal_event("back", {}) if self._away() else None
        if options != self.held() and not self.desk.open_orders():
            for occ, contracts in reconcile.naked_shorts(options).items():
                self._buy_back(occ, contracts)

    def _away(self) -> bool:
        away = bool(self.journal.get("away", False))
        if away:
            with self.journal.transaction() as j:
                j.set("away", False)
        return away

    def _broker_away(self, error: BrokerError) -> None:
        if not self.journal.get("away", False):
            with self.journal.transaction() as j:
                j.set("away", True)
                j.notify("broker", f"the broker does not answer: {error}")
        log.warning("broker_away why=%s", error)

    def _buy_back(self, occ: str, contracts: int) -> None:
        """An emergency order: a short that the broker left uncovered."""
        trade, place = self._owner(occ)
        if trade < 0:
            return
        self.enter_safe_mode(f"{occ}: {contracts} short without cover")
        part = 1 << place
        if any(job.order.trade == trade and job.order.part == part and not job.ended for job in self.bench.jobs):
            return
        order = Wanted(CLOSE, trade, part, Reason.BROKER_CHANGED, contracts, ((occ, 1, 0, place),), None, 0)
        self.bench.add(order, self.recorder.day, int((self.clock.now_ns() // NS_MINUTE) % 1440))

    def _owner(self, occ: str) -> tuple[int, int]:
        """(trade, leg) of the structure that holds a contract; (-1, -1) for none."""
        for slot in self.engine.book.slot:
            if slot.trade >= 0:
                for leg, c in enumerate(slot.legs):
                    if c >= 0 and self.engine.day.occ[c] == occ:
                        return int(slot.trade), leg
        return -1, -1

    # ------------------------------------------------------------ one bar

    def _decide(self, ts: int, last: bool) -> None:
        """The decision of the bar that closes at `ts`, and of any before it that was missed."""
        wait = ts + int(self.config.live["live.bar_delay"] * 1e9) - self.clock.now_ns()
        if wait > 0:
            self.clock.sleep(wait / SECOND)
        bars, quotes = self._look(ts)
        for missed in sorted(t for t in bars if self._last_ts() < t < ts):
            self._row(missed, bars[missed], [], Reason.STALE, ())
        if ts not in bars:
            self.journal_event("no_bar", {"ts": ts})
            log.warning("no_bar ts=%s", ts)
            return
        veto, changes = self._reconciled()
        if not quotes:
            veto = veto or Reason.STALE
        self._row(ts, bars[ts], quotes, veto, changes)
        if last:
            self.bench.take((), self.recorder.day, self._minute_of(ts))

    def _look(self, ts: int) -> tuple[dict[int, tuple[float, ...]], list[Quote]]:
        """(today's closed bars by time, the fresh quotes of the chain); {} or [] where the broker does not say."""
        until = ts + int(self.config.live["live.bar_age"] * 1e9)
        bars: dict[int, tuple[float, ...]] = {}
        while True:
            try:
                bars = recorded_bars(self.broker, self.morning, ts)
                if ts in bars:
                    break
            except (Ambiguous, RateLimited) as error:
                self._broker_away(error)
            if self.clock.now_ns() >= until:
                return bars, []
            self.clock.sleep(self.config.live["live.poll"])
            self._obey()
        try:
            return bars, self._chain()
        except (Ambiguous, RateLimited, DataError) as error:
            self._broker_away(error) if isinstance(error, BrokerError) else log.warning("no_chain why=%s", error)
            return bars, []
        except BrokerError as error:
            log.warning("no_chain why=%s", error)
            return bars, []

    def _chain(self) -> list[Quote]:
        """The chain's fresh quotes of listed contracts; [] if too few of them are usable."""
        assert self.morning is not None
        days = self.engine.day.contracts.x_day
        strikes = self.engine.day.contracts.strike / 100.0
        first, last = day_text(days.min()), day_text(days.max())
        chain = self.broker.chain(reconcile.UNDERLYING, first, last, float(strikes.min()), float(strikes.max()))
        self.feed = chain.feed
        known = set(self.engine.day.occ)
        listed = [quote for quote in chain.quotes if quote.occ in known]
        oldest = self.clock.now_ns() - int(self.config.live["live.quote_age"] * 1e9)
        fresh = [q for q in listed if q.ts_ns >= oldest and 0 <= q.bid < q.ask]
        if len(fresh) < self.config.live["live.least_quoted"] * max(len(listed), 1):
            log.warning("chain_stale usable=%s of=%s", len(fresh), len(listed))
            return []
        return fresh

    def _reconciled(self) -> tuple[int, tuple[dict[str, Any], ...]]:
        """(veto, answers for what the broker changed by itself) after the positions were held against the book."""
        try:
            positions = self.broker.positions()
            account = self.broker.account()
            self.skew_ns = self.calendar.skew()
            changes = changes_of(self, positions)
        except (Ambiguous, RateLimited) as error:
            self._broker_away(error)
            return Reason.CLOSING_ONLY, ()
        lost = guards.equity_lost(self.config, account, self.day_equity)
        if lost:
            guards.latch(self.journal, "equity_loss", lost, self.clock.now_ns())
            for slot in self.engine.book.slot:
                if slot.trade >= 0:
                    self.engine.leave(int(slot.trade), Reason.KILLED, self.engine.day.first)
        if any(row["state"] == QUARANTINE for row in self.desk.open_orders()):
            self.enter_safe_mode("an order says what cannot be; see `live status`")
        return guards.veto_of(self.journal, self.config, self.caps, self.safe, self.skew_ns), changes

    def enter_safe_mode(self, why: str) -> None:
        """Positions are managed and closed, nothing is opened, until `live reconcile --accept`."""
        if self.safe:
            return
        self.safe = True
        with self.journal.transaction() as j:
            j.set("safe", True)
            j.set("safe_why", why[:400])
            j.notify("safe_mode", why[:400])
        log.error("safe_mode why=%s", why)
        self.bench.drop_entries()

    def _row(
        self, ts: int, bar: tuple[float, ...], quotes: list[Quote], veto: int, changes: tuple[dict[str, Any], ...]
    ) -> None:
        """Record, book, decide, journal: one transaction; then the orders are sent."""
        minute = self._minute_of(ts)
        snapshot: Snapshot = self.recorder.add(minute, ts, bar, quotes, self.feed)
        reach("snapshot-recorded")
        rows = self.desk.unbooked()
        answers = [*changes, *self._answers(rows)]
        step = self.engine.step(snapshot, answers, veto)
        for change in changes:
            self.engine.leave(change["trade"], Reason.BROKER_CHANGED, step.row)
        if changes:
            step = step._replace(wanted=tuple(self.engine.wanted()))
        if veto in (Reason.CLOSING_ONLY, Reason.EQUITY_LOSS, Reason.REFUSED, Reason.KILLED):
            self.engine.withdraw_entry()
            step = step._replace(wanted=tuple(order for order in step.wanted if order.purpose != OPEN))
        step = self._capped(step)
        self._commit(step, answers, rows, veto)
        reach("decision-committed")
        self._take(step.wanted, minute)
        log.debug("decided ts=%s verdict=%s wanted=%s", ts, REASON_NAMES[step.verdict], len(step.wanted))
        self._show(self, step)

    def _capped(self, step: Step) -> Step:
        """The entry of a step is dropped where it would exceed the cap on everything open and working."""
        cap = self.config.live["live.most_risk"]
        entries = [order for order in step.wanted if order.purpose == OPEN]
        if cap <= 0.0 or not entries:
            return step
        order = entries[0]
        assert order.most is not None
        loss = (order.width + order.most) * 100 * order.units
        if self.engine.worst_loss() + loss <= cap * 100:
            return step
        self.engine.withdraw_entry()
        return step._replace(wanted=tuple(o for o in step.wanted if o.purpose != OPEN))

    def _answers(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """What filled, one answer for each structure and part; an entry that was given up is taken back first."""
        groups: dict[tuple[int, int], list[dict[str, Any]]] = {}
        for row in rows:
            groups.setdefault((row["trade"], row["part"]), []).append(row)
        answers = []
        for group in groups.values():
            answer = answer_of(group, self.engine.names.number)
            if group[0]["purpose"] == OPEN:
                answer["trade"] = -1
                if not self.engine.book.head.order_working:
                    legs = {place: occ for occ, _, _, place in json.loads(group[0]["wanted"])}
                    self.engine.reinstate_entry(legs, answer["contracts"], self.engine.day.first)
                answer["reason"] = Reason.ENTER
            answers.append(answer)
        return answers

    def _commit(self, step: Step, answers: list[dict[str, Any]], rows: list[dict[str, Any]], veto: int) -> None:
        book, lines = self.engine.save()
        with self.journal.transaction() as j:
            j.put("book", id=1, ts_ns=step.ts, body=text_of(book))
            for table, numbered in lines.items():
                for number, line in numbered.items():
                    j.put("line", tab=table, number=number, body=text_of(line))
            for row in rows:
                j.update("orders", "cid", row["cid"], booked=row["filled"], booked_legs=row["legs"])
            wanted = [list(order) for order in step.wanted]
            j.put(
                "decision", ts_ns=step.ts, day=self.recorder.day, verdict=step.verdict, veto=veto, equity=step.equity,
                answers=text_of(answers), wanted=text_of(wanted),
            )  # fmt: skip
            j.event(
                "decision", str(step.ts),
                {"verdict": REASON_NAMES[step.verdict], "veto": veto, "equity": step.equity, "answers": answers,
                 "wanted": wanted},
            )  # fmt: skip

    def journal_event(self, kind: str, body: dict[str, Any]) -> None:
        with self.journal.transaction() as j:
            j.event(kind, "live", body)
