"""Every trial ever finished, in one SQLite file beside the reports: what was tried, and what came of it.

`by_hand` lists the settings of runs made one at a time; `finished` keeps what searches ran, a row a piece: the hashes
of its settings, and figures and equity, once for those that share a ledger, by market and code. Together they count
what was tried on a market, the number that a deflated Sharpe ratio needs; `--resume` takes from the second what is
there already. A piece is one transaction: after kill -9 each trial is there whole or not at all. One process writes,
any may read.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from core.config import PRESETS
from core.errors import DataError
from core.jit import NO_JIT, ROOT, code_hash
from core.report.folder import reports_folder
from core.trials import TRIAL_METRICS

FORM = 2  # of the rows; part of the code's hash
SOURCES = (
    "optimizer.py", "core/search/coarse_stage.py", "core/search/evaluate.py", "core/search/views.py",
    "core/report/measure.py",
)  # fmt: skip
TABLES = """
create table if not exists by_hand (store text, settings text, primary key (store, settings)) without rowid;
create table if not exists finished (
    id integer primary key, store text, code text, hashes blob not null, figures blob not null, equity blob not null
);
create index if not exists pieces on finished (store, code);
"""
INSERT = "insert into finished (store, code, hashes, figures, equity) values (?, ?, ?, ?, ?)"
HASH_BYTES = 32
WAIT_SECONDS = 30.0


@cache
def results_hash() -> str:
    """Changes with whatever could change a trial's figures: kernels, tables of fees, rules and events, SOURCES.

    Presets of settings are none: what they say is in the settings' own hash, and `--apply` adds to them.
    """
    digest = hashlib.sha256(f"{FORM} {code_hash()} {NO_JIT} {TRIAL_METRICS}".encode())
    tables = [path for path in sorted(PRESETS.rglob("*.yaml")) if path.parent != PRESETS / "strategy"]
    for path in [*(ROOT / name for name in SOURCES), *tables]:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


class Database:
    """The trials of one market under this version of the code."""

    def __init__(self, store_hash: str, path: Path | None = None) -> None:
        self.store = store_hash
        self.known: set[bytes] | None = None
        self.path = reports_folder() / "trials.sqlite" if path is None else path
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.connection = sqlite3.connect(self.path, timeout=WAIT_SECONDS, isolation_level=None)
            self.connection.execute("pragma journal_mode = wal")
            self.connection.execute("pragma synchronous = normal")
            self.connection.executescript(TABLES)
        except (sqlite3.DatabaseError, OSError) as error:
            raise self.failed(error) from None
        self.adopt(self.path.with_name("trials.log"))

    def failed(self, error: Exception) -> DataError:
        """What went wrong with the file, in words; only one that is no database is worth moving away."""
        reason = error.strerror if isinstance(error, OSError) else str(error)
        foreign = isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError)
        remedy = (
            "move it away to begin a new count of trials" if foreign else "is the disk full, or the file not yours?"
        )
        return DataError(f"{self.path}: cannot be used ({reason}); {remedy}")

    def asked(self, statement: str, values: Sequence[Any]) -> list[Any]:
        """The rows of a question; what is to be written is committed."""
        try:
            return self.connection.execute(statement, values).fetchall()
        except sqlite3.DatabaseError as error:
            raise self.failed(error) from None

    def adopt(self, log: Path) -> None:
        """Take over the log that earlier versions kept as text."""
        if not log.exists():
            return
        rows = [line.split() for line in log.read_text(encoding="utf-8").splitlines() if line.count(" ") == 1]
        self.connection.execute("begin immediate")
        self.connection.executemany("insert or ignore into by_hand values (?, ?)", rows)
        self.connection.execute("commit")
        log.unlink(missing_ok=True)

    def __enter__(self) -> Database:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.connection.close()

    def log(self, settings: str) -> int:
        """Note settings run by hand; returns how many distinct ones have been tried on this market so far."""
        self.asked("insert or ignore into by_hand values (?, ?)", (self.store, settings))
        return self.logged()

    def logged(self) -> int:
        """Distinct settings tried on this market, under any version of the code."""
        return len(self.tried())

    def tried(self) -> set[bytes]:
        """Those settings."""
        by_hand = self.asked("select settings from by_hand where store = ?", (self.store,))
        found = {bytes.fromhex(settings) for (settings,) in by_hand}
        for (blob,) in self.asked("select hashes from finished where store = ?", (self.store,)):
            found.update(parts_of(blob))
        return found

    def keep(self, hashes: Sequence[str], figures: Any, equity: Any, source: Any = None) -> None:
        """Commit a piece of n finished trials: figures float64 (m, K), equity int64 (m, sessions) cents.

        source : int (n), which of the m each trial has; by default they have one each. Nothing is written where all of
        them were finished before.
        """
        known = self.finished()
        parts = [bytes.fromhex(settings) for settings in hashes]
        if known.issuperset(parts):
            return
        if source is None:
            source = np.arange(len(hashes))
        blob = source.astype(np.int32).tobytes() + packed(equity)
        row = (self.store, results_hash(), b"".join(parts), figures.tobytes(), blob)
        self.asked(INSERT, row)
        known.update(parts)

    def finished(self) -> set[bytes]:
        """Settings that are finished under this version of the code, as far as this process knows."""
        if self.known is None:
            query = "select hashes from finished where store = ? and code = ?"
            rows = self.asked(query, (self.store, results_hash()))
            self.known = {part for (blob,) in rows for part in parts_of(blob)}
        return self.known

    def keep_ranked(self, hashes: Sequence[str]) -> None:
        """Note trials that were tried by their closed trades alone: they count, and are not finished."""
        tried = self.tried()
        new = [part for part in map(bytes.fromhex, hashes) if part not in tried]
        if new:
            self.asked(INSERT, (self.store, "", b"".join(new), b"", b""))

    def found(self, hashes: Iterable[str]) -> dict[str, tuple[Any, Any]]:
        """(figures, equity) of those that are finished under this version of the code, by settings."""
        wanted, result = {bytes.fromhex(settings) for settings in hashes}, {}
        query = "select id, hashes from finished where store = ? and code = ?"
        for number, blob in self.asked(query, (self.store, results_hash())):
            places = [(i, part) for i, part in enumerate(parts_of(blob)) if part in wanted]
            if places:
                n = len(blob) // HASH_BYTES
                (row,) = self.asked("select figures, equity from finished where id = ?", (number,))
                source = np.frombuffer(row[1], np.int32, n)
                m = int(source.max()) + 1
                figures, equity = np.frombuffer(row[0], np.float64).reshape(m, -1), unpacked(row[1][4 * n :], m)
                result.update({part.hex(): (figures[source[i]], equity[source[i]]) for i, part in places})
        return result


def parts_of(blob: bytes) -> list[bytes]:
    return [blob[i : i + HASH_BYTES] for i in range(0, len(blob), HASH_BYTES)]


def packed(equity: Any) -> bytes:
    """Equity by session as its first value and the changes: 4 bytes each where they fit, else 8."""
    changes = np.diff(equity, axis=1, prepend=0)
    small = changes.astype(np.int32) if np.abs(changes).max(initial=0) < 2**31 else changes
    return bytes([small.itemsize]) + small.tobytes()


def unpacked(blob: bytes, n: int) -> Any:
    kind = np.int32 if blob[0] == np.dtype(np.int32).itemsize else np.int64
    return np.cumsum(np.frombuffer(blob, kind, offset=1).reshape(n, -1), axis=1, dtype=np.int64)


def log_trial(settings_hash: str, store_hash: str) -> int:
    """Note one run made by hand; returns how many distinct settings have been tried on this market so far."""
    with Database(store_hash) as database:
        return database.log(settings_hash)
