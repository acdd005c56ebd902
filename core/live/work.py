"""The orders of one bar: each wish of the engine becomes a job, worked from mid towards natural until the next bar."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from core.config import Config
from core.errors import BrokerError
from core.live.broker import Ambiguous, Broker, RateLimited, Refused, package_cents
from core.live.clock import Clock
from core.live.desk import DONE, LIVE_STATES, REJECTED, Desk
from core.live.engine import CLOSE, OPEN, Wanted
from core.live.journal import Journal
from core.live.pricing import is_urgent, limit_of
from core.live.records import Quote

LETTERS = {"open": "o", "close": "c", "roll": "r"}
CANCEL_SECONDS = 20.0
BLIND_AFTER = 3  # steps without a price, until an urgent exit is sent at its bound
log = logging.getLogger("quantor.work")


def name_of(order: Wanted) -> str:
    """What an order is about, as its id says it: letter of the purpose, structure, part."""
    return f"{LETTERS[order.purpose]}{max(order.trade, 0)}p{order.part}"


@dataclass
class Job:
    """One wish being worked. step: how far its limit has walked; next_ns: when it walks on; ended: no more is sent."""

    order: Wanted
    prefix: str
    step: int = 0
    next_ns: int = 0
    ended: bool = False
    refused: str = ""


class Workbench:
    """Works jobs at one desk. held(): contracts by symbol as the book and the fills since have them."""

    def __init__(
        self,
        journal: Journal,
        desk: Desk,
        broker: Broker,
        clock: Clock,
        config: Config,
        held: Callable[[], Mapping[str, int]],
    ) -> None:
        self.journal, self.desk, self.broker, self.clock, self.config = journal, desk, broker, clock, config
        self.held = held
        self.jobs: list[Job] = []

    def take(self, wanted: tuple[Wanted, ...], day: int, minute: int) -> None:
        """Begin a bar's jobs. Their order ids are the same after a restart."""
        self.jobs = []
        for order in wanted:
            self.add(order, day, minute)

    def add(self, order: Wanted, day: int, minute: int) -> None:
        """One more job of this bar."""
        self.jobs.append(Job(order, f"qmtf-p-{day}-{minute // 60:02d}{minute % 60:02d}-{name_of(order)}-"))

    def drop_entries(self) -> None:
        """Nothing is opened any more in this bar: working entries are cancelled."""
        for job in self.jobs:
            if job.order.purpose == OPEN:
                job.ended = True
        for row in self.desk.open_orders():
            if row["purpose"] == OPEN:
                self.finish_one(row["cid"])

    def tend(self) -> None:
        """One look at every job: closes first."""
        for job in sorted(self.jobs, key=lambda job: job.order.purpose == OPEN):
            if not job.ended:
                try:
                    self._tend(job)
                except (Ambiguous, RateLimited) as error:
                    log.warning("job_waits job=%s why=%s", job.prefix, error)

    def _tend(self, job: Job) -> None:
        rows = self._rows(job)
        active = [row for row in rows if row["state"] in LIVE_STATES]
        if active:
            state = self.desk.poll(active[-1]["cid"])
            if state in LIVE_STATES:
                if self.clock.now_ns() < job.next_ns or not self._walks(job):
                    return
                if self.desk.finish(active[-1]["cid"], CANCEL_SECONDS) in LIVE_STATES:
                    return
            rows = self._rows(job)
        left = job.order.units - sum(row["filled"] for row in rows)
        if left <= 0:
            job.ended = True
        elif rows and rows[-1]["state"] == REJECTED:
            job.ended, job.refused = True, rows[-1]["note"]
            self._after_refusal(job)
        elif self.clock.now_ns() >= job.next_ns:
            self._send(job, left, len(rows))

    def _rows(self, job: Job) -> list[dict[str, Any]]:
        return self.journal.rows(
            "SELECT * FROM orders JOIN intent USING(cid) WHERE cid LIKE ? ORDER BY created_ns, cid", (f"{job.prefix}%",)
        )

    def _walks(self, job: Job) -> bool:
        return job.step <= self.config.live["live.walk_steps"] or is_urgent(job.order)

    def _send(self, job: Job, units: int, attempt: int) -> None:
        price, seen = self.price(job)
        job.next_ns = self.clock.now_ns() + int(self.config.live["live.walk_every"] * 1e9)
        job.step += 1
        if price is None:
            return
        order = job.order
        row = {
            "cid": f"{job.prefix}{attempt + 1}", "purpose": order.purpose, "trade": order.trade, "part": order.part,
            "reason": order.reason, "legs": [list(leg) for leg in order.legs],
        }  # fmt: skip
        try:
            self.desk.send(row, units, price, self.held(), seen)
        except (Ambiguous, RateLimited, Refused):
            raise
        except BrokerError as error:  # our own check: it is not sent, and it is said
            job.ended, job.refused = True, str(error)
            log.error("order_not_sent job=%s why=%s", job.prefix, error)

    def price(self, job: Job) -> tuple[int | None, dict[str, Any]]:
        """(net limit of the job's step or None, what was seen) on fresh quotes; old ones are no price."""
        legs = [(occ, side) for occ, side, _, _ in job.order.legs]
        chain = self.broker.quotes([occ for occ, _ in legs])
        now, oldest = self.clock.now_ns(), self.config.live["live.quote_age"] * 1e9
        fresh: dict[str, Quote] = {quote.occ: quote for quote in chain.quotes if now - quote.ts_ns <= oldest}
        mid, natural = package_cents(fresh, legs)
        net = limit_of(job.order, mid, natural, job.step, self.config.live["live.walk_steps"])
        seen = {
            "feed": chain.feed, "mid": None if math.isnan(mid) else mid,
            "natural": None if math.isnan(natural) else natural, "step": job.step,
        }  # fmt: skip
        if net is None and is_urgent(job.order) and job.order.most is not None and job.step >= BLIND_AFTER:
            net = job.order.most  # an exit that may not wait is not kept by dark quotes: its bound is the width
        return net, seen

    def _after_refusal(self, job: Job) -> None:
        """A close of several legs that the broker will not take as one is done short by short, then long by long."""
        if job.order.purpose == CLOSE and "mleg order is disabled" in job.refused and len(job.order.legs) > 1:
            legs = sorted(job.order.legs, key=lambda leg: -leg[1])
            singles = [
                Job(
                    job.order._replace(legs=(leg,), part=1 << leg[3], most=None if leg[1] > 0 else 0, width=0),
                    f"{job.prefix[:-1]}s{leg[3]}-",
                )
                for leg in legs
            ]
            self.jobs.extend(singles)
            log.warning("close_by_legs job=%s legs=%s", job.prefix, len(legs))

    def finish(self) -> None:
        """Cancel what still works and follow it until it is done."""
        for row in self.desk.open_orders():
            self.finish_one(row["cid"])

    def finish_one(self, cid: str) -> str:
        try:
            return self.desk.finish(cid, CANCEL_SECONDS)
        except (Ambiguous, RateLimited) as error:
            log.warning("finish_waits cid=%s why=%s", cid, error)
            return "UNKNOWN"

    def blocked(self) -> set[int]:
        """Trades that still have an order which is not done: nothing new is sent for them."""
        return {row["trade"] for row in self.desk.open_orders() if row["state"] != DONE}
