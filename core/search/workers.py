"""Who runs the trials: this process, or a few beside it that map the same market.

An engine takes rows of settings and gives outcomes back in pieces, in any order; what a trial gives depends neither on
who ran it nor on what ran beside it. Pieces grow until one takes about a quarter of a second.
"""

from __future__ import annotations

import gc
import multiprocessing
import signal
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from core.config import Config
from core.errors import DataError
from core.market.store import Store, open_store
from core.search.evaluate import FREE, Evaluator, Outcome, Task, private_mb

PIECE_SECONDS, FIRST_PIECE, MOST_IN_PIECE, GROWTH = 0.25, 8, 4096, 8
MOST_RESTARTS = 3


class Piece(NamedTuple):
    """Some of the rows that were asked for, and what came of them."""

    rows: tuple[int, ...]
    outcome: Outcome


class TrialEngine(Protocol):
    """Runs trials: rows of values of the paths, beside the settings it was made with."""

    evaluator: Evaluator  # of this process; what it learns before the first trials, forked workers know

    def run(self, paths: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> Iterator[Piece]: ...

    def close(self) -> None: ...


def in_order(paths: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> list[int]:
    """Indices of the rows with those together that can share what they open."""
    separating = [i for i, path in enumerate(paths) if path not in FREE]
    keys = {values: i for i, values in enumerate(dict.fromkeys(tuple(row[j] for j in separating) for row in rows))}
    return sorted(range(len(rows)), key=lambda i: keys[tuple(rows[i][j] for j in separating)])


class Pieces:
    """Hands out indices in pieces whose size follows the time that the last ones took."""

    def __init__(self, order: Sequence[int]) -> None:
        self.order, self.at, self.size = order, 0, FIRST_PIECE

    def next(self, share: int = 1) -> tuple[int, ...]:
        """The next piece; at most 1/share of what is left, so that no worker ends long after the others."""
        left = len(self.order) - self.at
        size = min(self.size, max(FIRST_PIECE, -(-left // (2 * share))))
        piece = tuple(self.order[self.at : self.at + size])
        self.at += len(piece)
        return piece

    def took(self, trials: int, seconds: float) -> None:
        wanted = int(trials * PIECE_SECONDS / max(seconds, 1e-4))
        self.size = max(1, min(wanted, GROWTH * self.size, MOST_IN_PIECE))


class Alone:
    """Runs trials in this process."""

    def __init__(self, store: Store, base: Config) -> None:
        self.evaluator = Evaluator(store, base)

    def run(self, paths: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> Iterator[Piece]:
        pieces = Pieces(in_order(paths, rows))
        while piece := pieces.next():
            began = time.perf_counter()
            outcome = self.evaluator.evaluate(Task(tuple(paths), tuple(rows[i] for i in piece)))
            pieces.took(len(piece), time.perf_counter() - began)
            yield Piece(piece, outcome)

    def close(self) -> None:
        """Nothing to close."""


MINE: list[Evaluator] = []  # of a worker process


def begin_worker(path: Path | None, base: Config | None) -> None:
    """Ctrl-C is the parent's business. A forked worker has its evaluator already."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if path is not None and base is not None:
        MINE[:] = [Evaluator(open_store(path), base)]


def work(task: Task) -> tuple[Outcome, float, float | None]:
    """(outcome, seconds, private memory in MB) of one task."""
    began = time.perf_counter()
    outcome = MINE[0].evaluate(task)
    return outcome, time.perf_counter() - began, private_mb()


class Local:
    """Worker processes of this machine: forked, so that they share the code and the mapped market; else spawned."""

    def __init__(self, store: Store, base: Config, jobs: int) -> None:
        self.store, self.base, self.jobs = store, base, jobs
        self.private_mb = 0.0
        self.forks = "fork" in multiprocessing.get_all_start_methods()
        self.evaluator = Evaluator(store, base)
        MINE[:] = [self.evaluator]
        if self.forks:
            self.evaluator.warm()
        self.pool: ProcessPoolExecutor | None = None

    def start(self) -> ProcessPoolExecutor:
        if self.forks:
            gc.freeze()  # what workers only read stays shared
        given = (None, None) if self.forks else (self.store.path, self.base)
        context = multiprocessing.get_context("fork" if self.forks else "spawn")
        return ProcessPoolExecutor(self.jobs, mp_context=context, initializer=begin_worker, initargs=given)

    def run(self, paths: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> Iterator[Piece]:
        """Outcomes as they come. A worker that dies is replaced, and what it had is asked for again."""
        pieces = Pieces(in_order(paths, rows))
        waiting: dict[Future[Any], tuple[int, ...]] = {}
        again: list[tuple[int, ...]] = []
        restarts = 0
        self.pool = self.pool or self.start()
        while True:
            while len(waiting) < 2 * self.jobs and (piece := again.pop() if again else pieces.next(self.jobs)):
                waiting[self.pool.submit(work, Task(tuple(paths), tuple(rows[i] for i in piece)))] = piece
            if not waiting:
                return
            done, _ = wait(waiting, return_when=FIRST_COMPLETED)
            for future in done:
                piece = waiting.pop(future)
                try:
                    outcome, seconds, private = future.result()
                except BrokenProcessPool:
                    again.append(piece)
                    continue
                self.private_mb = max(self.private_mb, private or 0.0)
                pieces.took(len(piece), seconds)
                yield Piece(piece, outcome)
            if again:
                restarts += 1
                if restarts > MOST_RESTARTS:
                    raise DataError("workers died again and again; is memory short? try --jobs 1")
                again += waiting.values()
                waiting.clear()
                self.pool.shutdown(cancel_futures=True)
                self.pool = self.start()

    def close(self) -> None:
        if self.pool is not None:
            self.pool.shutdown(cancel_futures=True)


def local_engine(store: Store, base: Config, jobs: int) -> TrialEngine:
    return Alone(store, base) if jobs == 1 else Local(store, base, jobs)
