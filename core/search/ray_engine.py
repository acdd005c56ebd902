"""Trials on a Ray cluster: the same tasks, sent to whichever node is free.

Every node needs this checkout at the same path, by a shared disk or a clone of its own. The market travels with the
tasks: a node that does not have it on disk is given the store's files once. A node that is lost loses nothing: Ray asks
another one for what it had.
"""

from __future__ import annotations

import socket
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from core.config import Config
from core.errors import ConfigError
from core.jit import ROOT
from core.market.store import Store, open_store
from core.search.evaluate import Evaluator, Outcome, Task
from core.search.workers import Piece, Pieces, in_order

ANSWER_SECONDS = 10.0

OPEN: dict[str, Evaluator] = {}  # of a worker process, by market and settings


def ray_module() -> Any:
    """ray, or the line that says how to get it."""
    try:
        import ray
    except ImportError:
        raise ConfigError(
            "--engine ray needs ray, which is not installed; pip install -r requirements-ray.txt, or use --engine local"
        ) from None
    return ray


def files_of(store: Store) -> dict[str, Any]:
    """The store's files as bytes."""
    return {path.name: np.fromfile(path, np.uint8) for path in sorted(store.path.iterdir()) if path.is_file()}


def store_at(path: str, wanted: str, files: dict[str, Any]) -> Store:
    """The market of this hash on this node: where it lies on the driver's, or unpacked from what was sent."""
    if (Path(path) / "manifest.json").exists():
        store = open_store(Path(path))
        if store.hash == wanted:
            return store
    folder = Path(tempfile.gettempdir()) / f"quantor-store-{wanted[:16]}"
    if not (folder / "manifest.json").exists():
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in sorted(files.items(), key=lambda item: item[0] == "manifest.json"):
            part = folder / f"{name}.{time.time_ns()}"
            content.tofile(part)
            part.replace(folder / name)
    return open_store(folder)


def work(task: Task, path: str, wanted: str, files: dict[str, Any], base: Config) -> tuple[Outcome, float]:
    """(outcome, seconds) of one task on whatever node this is."""
    key = wanted + base.hash()
    if key not in OPEN:
        OPEN[key] = Evaluator(store_at(path, wanted, files), base)
    began = time.perf_counter()
    outcome = OPEN[key].evaluate(task)
    return outcome, time.perf_counter() - began


def check_answers(address: str) -> None:
    """Refuse HOST:PORT where nothing listens: Ray itself would wait for minutes."""
    host, found, port = address.rpartition(":")
    if not found or not port.isdigit():
        return  # auto, or a ray:// address: Ray's own business
    try:
        socket.create_connection((host, int(port)), ANSWER_SECONDS).close()
    except OSError as error:
        raise ConfigError(f"--address {address}: no Ray cluster answers ({error.strerror or error})") from None


class RayEngine:
    """Runs trials on a cluster that is running (`address`), or on one of this machine's own."""

    def __init__(self, store: Store, base: Config, address: str | None, jobs: int | None) -> None:
        self.ray = ray_module()
        self.evaluator = Evaluator(store, base)
        if address is not None:
            check_answers(address)
            if jobs is not None:
                raise ConfigError("--jobs is of this machine; a cluster at --address brings its own workers")
        self.owned = not self.ray.is_initialized()
        if self.owned:
            options: dict[str, Any] = (
                {"address": address} if address else {"num_cpus": jobs, "include_dashboard": False}
            )
            environment = {"env_vars": {"PYTHONPATH": str(ROOT)}}
            try:
                self.ray.init(logging_level="ERROR", log_to_driver=False, runtime_env=environment, **options)
            except (ConnectionError, ValueError, RuntimeError) as error:
                raise ConfigError(f"--address {address}: no Ray cluster answers ({error})") from None
        self.jobs = max(1, int(self.ray.cluster_resources().get("CPU", 1)))
        self.given = (
            str(store.path.resolve()),
            store.hash,
            self.ray.put(files_of(store)),
            self.ray.put(base),
        )
        # -1: asked again as often as nodes are lost; an error of our own code is not retried.
        self.remote = self.ray.remote(max_retries=-1, num_cpus=1)(work)

    def run(self, paths: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> Iterator[Piece]:
        """Outcomes as they come."""
        pieces = Pieces(in_order(paths, rows))
        waiting: dict[Any, tuple[int, ...]] = {}
        while True:
            while len(waiting) < 2 * self.jobs and (piece := pieces.next(self.jobs)):
                task = Task(tuple(paths), tuple(rows[i] for i in piece))
                waiting[self.remote.remote(task, *self.given)] = piece
            if not waiting:
                return
            done, _ = self.ray.wait(list(waiting), num_returns=1)
            for reference in done:
                piece = waiting.pop(reference)
                outcome, seconds = self.ray.get(reference)
                pieces.took(len(piece), seconds)
                yield Piece(piece, outcome)

    def close(self) -> None:
        if self.owned:
            self.ray.shutdown()
