"""The journal: what live trading intends and knows, committed before it acts. One SQLite file, one writer.

Every change is an event in a chain of hashes; state tables are written in the same transaction as their events. Money
is integer cents. A committed transaction survives kill -9 and power loss (synchronous=FULL); an order is sent only
after its intent is committed. The lock beside the file keeps a second writer out; readers open it read-only.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from core.errors import JournalError
from core.live.failpoint import reach

SCHEMA = 1
GENESIS = "0" * 64
PRAGMAS = (
    "journal_mode=WAL",
    "synchronous=FULL",
    "foreign_keys=ON",
    "busy_timeout=5000",
    "trusted_schema=OFF",
    "mmap_size=0",
)
TABLES = """
CREATE TABLE event(seq INTEGER PRIMARY KEY, ts_ns INTEGER NOT NULL, kind TEXT NOT NULL, entity TEXT NOT NULL,
    body TEXT NOT NULL, prev TEXT NOT NULL, hash TEXT NOT NULL) STRICT;
CREATE TABLE intent(cid TEXT PRIMARY KEY, purpose TEXT NOT NULL, trade INTEGER NOT NULL, part INTEGER NOT NULL,
    reason INTEGER NOT NULL, legs TEXT NOT NULL, units INTEGER NOT NULL, limit_cents INTEGER,
    created_ns INTEGER NOT NULL, seen TEXT NOT NULL) STRICT;
CREATE TABLE orders(cid TEXT PRIMARY KEY REFERENCES intent(cid), state TEXT NOT NULL, broker_id TEXT UNIQUE,
    broker_status TEXT NOT NULL DEFAULT '', filled INTEGER NOT NULL DEFAULT 0, booked INTEGER NOT NULL DEFAULT 0,
    legs TEXT NOT NULL DEFAULT '{}', booked_legs TEXT NOT NULL DEFAULT '{}', seen_ns INTEGER NOT NULL,
    note TEXT NOT NULL DEFAULT '') STRICT;
CREATE TABLE book(id INTEGER PRIMARY KEY CHECK(id = 1), ts_ns INTEGER NOT NULL, body TEXT NOT NULL) STRICT;
CREATE TABLE morning(day INTEGER PRIMARY KEY, body TEXT NOT NULL) STRICT;
CREATE TABLE line(tab TEXT NOT NULL, number INTEGER NOT NULL, body TEXT NOT NULL, PRIMARY KEY(tab, number)) STRICT;
CREATE TABLE decision(ts_ns INTEGER PRIMARY KEY, day INTEGER NOT NULL, verdict INTEGER NOT NULL, veto INTEGER NOT NULL,
    equity INTEGER NOT NULL, answers TEXT NOT NULL, wanted TEXT NOT NULL) STRICT;
CREATE TABLE control(name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE activity(id TEXT PRIMARY KEY, day INTEGER NOT NULL, body TEXT NOT NULL) STRICT;
CREATE TABLE outbox(id INTEGER PRIMARY KEY, topic TEXT NOT NULL, body TEXT NOT NULL, created_ns INTEGER NOT NULL,
    sent_ns INTEGER, attempts INTEGER NOT NULL DEFAULT 0) STRICT;
"""


def text_of(value: Any) -> str:
    """The one JSON text of a value, as it is hashed."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def link(prev: str, seq: int, ts_ns: int, kind: str, entity: str, body: str) -> str:
    """Hash of one event in the chain."""
    return hashlib.sha256(f"{prev}|{seq}|{ts_ns}|{kind}|{entity}|{body}".encode()).hexdigest()


class Lock:
    """A lock file that one process holds; a JournalError for the second."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._file)
            raise JournalError(f"{path}: another live process trades this account; stop it first") from None
        os.ftruncate(self._file, 0)
        os.write(self._file, str(os.getpid()).encode())

    def release(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


class Journal:
    """The one writer of a journal file.

    path : its file; account : what it belongs to (a foreign one is a JournalError); now : UTC ns
    """

    def __init__(self, path: Path, account: str, now: Callable[[], int]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.path, self._now = path, now
        self._lock = Lock(path.with_suffix(".lock"))
        try:
            self._open(account)
        except BaseException:
            self._lock.release()
            raise

    def _open(self, account: str) -> None:
        fresh = not self.path.exists()
        if fresh:
            os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600))
        try:
            self._db = sqlite3.connect(self.path, isolation_level=None)
            for pragma in PRAGMAS:
                self._db.execute(f"PRAGMA {pragma}")
            self._check(account)
        except sqlite3.Error as error:
            raise JournalError(
                f"{self.path}: {error}; nothing was sent. Keep the file, and start a new one from the broker's "
                "positions with `live reconcile --accept`"
            ) from None

    def _check(self, account: str) -> None:
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        if version == 0 and not self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            self._create(account)
        elif version != SCHEMA:
            raise JournalError(f"{self.path}: schema {version}, this version writes {SCHEMA}; keep it, start a new one")
        damage = self._db.execute("PRAGMA quick_check").fetchone()[0]
        if damage != "ok":
            raise JournalError(f"{self.path} is damaged ({damage}); keep it and run `live reconcile --accept`")
        if self.get("account") != account:
            raise JournalError(f"{self.path} belongs to another account; keep one journal for each")
        self._seq, self._hash = verify(self._db, self.path)

    def _create(self, account: str) -> None:
        self._db.execute("BEGIN IMMEDIATE")
        for statement in TABLES.split(";"):
            if statement.strip():
                self._db.execute(statement)
        self._db.execute("INSERT INTO control VALUES('account', ?)", (text_of(account),))
        self._db.execute(f"PRAGMA user_version={SCHEMA}")
        reach("journal-created")
        self._db.execute("COMMIT")

    def close(self) -> None:
        self._db.close()
        self._lock.release()

    # ------------------------------------------------------------ writing

    @contextmanager
    def transaction(self) -> Iterator[Journal]:
        """All of it or nothing; a disk that does not take it is a JournalError."""
        before = self._seq, self._hash
        try:
            self._db.execute("BEGIN IMMEDIATE")
            yield self
            reach("before-commit")
            self._db.execute("COMMIT")
            reach("after-commit")
        except sqlite3.Error as error:
            self._roll_back(before)
            raise JournalError(f"{self.path}: {error}; nothing is sent without the journal") from None
        except BaseException:
            self._roll_back(before)
            raise

    def _roll_back(self, before: tuple[int, str]) -> None:
        self._seq, self._hash = before
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")

    def event(self, kind: str, entity: str, body: Any) -> None:
        """Append to the chain; inside a transaction."""
        text, now = text_of(body), self._now()
        self._seq += 1
        made = link(self._hash, self._seq, now, kind, entity, text)
        self._db.execute(
            "INSERT INTO event VALUES(?, ?, ?, ?, ?, ?, ?)", (self._seq, now, kind, entity, text, self._hash, made)
        )
        self._hash = made

    def put(self, table: str, **row: Any) -> None:
        """Insert or replace one row."""
        names, marks = ", ".join(row), ", ".join("?" * len(row))
        self._db.execute(f"INSERT OR REPLACE INTO {table}({names}) VALUES({marks})", tuple(row.values()))

    def update(self, table: str, key: str, value: Any, **row: Any) -> None:
        """Change columns of the row whose `key` is `value`."""
        sets = ", ".join(f"{name} = ?" for name in row)
        self._db.execute(f"UPDATE {table} SET {sets} WHERE {key} = ?", (*row.values(), value))

    def set(self, name: str, value: Any) -> None:
        """A control value, as JSON."""
        self.put("control", name=name, value=text_of(value))

    # ------------------------------------------------------------ reading

    def get(self, name: str, default: Any = None) -> Any:
        row = self._db.execute("SELECT value FROM control WHERE name = ?", (name,)).fetchone()
        return default if row is None else json.loads(row[0])

    def rows(self, query: str, values: Iterable[Any] = ()) -> list[dict[str, Any]]:
        cursor = self._db.execute(query, tuple(values))
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor]

    def notify(self, topic: str, body: str) -> None:
        """Put a notification into the outbox, and into the chain; inside a transaction."""
        self.event("notice", topic, body)
        self._db.execute("INSERT INTO outbox(topic, body, created_ns) VALUES(?, ?, ?)", (topic, body, self._now()))

    def backup(self, path: Path) -> None:
        """A whole copy of the journal, put in its place at once."""
        building = path.with_suffix(".building")
        building.unlink(missing_ok=True)
        self._db.execute("VACUUM INTO ?", (str(building),))
        reach("backup-written")
        os.replace(building, path)


def verify(db: sqlite3.Connection, path: Path) -> tuple[int, str]:
    """(number, hash) of the last event; a JournalError where the chain is broken."""
    seq, prev = 0, GENESIS
    for row in db.execute("SELECT seq, ts_ns, kind, entity, body, prev, hash FROM event ORDER BY seq"):
        number, ts_ns, kind, entity, body, before, made = row
        if number != seq + 1 or before != prev or made != link(prev, number, ts_ns, kind, entity, body):
            raise JournalError(f"{path}: the chain of events is broken at number {number}; keep the file")
        seq, prev = number, made
    return seq, prev


class JournalReader:
    """A journal opened read-only, beside its writer."""

    def __init__(self, path: Path) -> None:
        if not path.exists():
            raise JournalError(f"no journal at {path}; it is made by the first `python main.py live --paper`")
        try:
            self._db = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
            self.last, self.hash = verify(self._db, path)
        except sqlite3.Error as error:
            raise JournalError(f"{path}: {error}") from None

    rows = Journal.rows
    get = Journal.get

    def close(self) -> None:
        self._db.close()
