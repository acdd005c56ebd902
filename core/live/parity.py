"""A recorded live day through the engine again: which decisions differ, and why.

The day's store is built anew by the importer from what was recorded, the book is the morning's, and the fills are the
broker's own: every decision must be the same (the data path and the code have not drifted). Then the day runs once more
filled by the backtest's model: what differs there is what fills were worth.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from core.config import Config, load
from core.errors import DataError
from core.live.engine import Engine
from core.live.journal import JournalReader
from core.live.recording import Recorder
from core.live.state import TABLES
from core.market.calendar import day_number, day_text
from core.types import REASON_NAMES, Reason


def parity_of(folder: Path, date: str | None = None) -> dict[str, Any]:
    """Replay a recorded day (default: the newest) with the fills that the broker gave; every decision that differs.

    A DataError where the day was not recorded or not decided.
    """
    journal = JournalReader(folder / "journal.sqlite")
    try:
        days = [row["day"] for row in journal.rows("SELECT DISTINCT day FROM decision ORDER BY day")]
        if not days:
            raise DataError(f"{folder.name} has decided nothing yet")
        day = days[-1] if date is None else day_number(date)
        if day not in days:
            raise DataError(f"{day_text(day)} is no day that was traded; known: {', '.join(map(day_text, days[-5:]))}")
        recorder = Recorder(folder / "recorded", day)
        config = config_of(recorder)
        engine = engine_at_morning(journal, recorder, config, day)
        decided = journal.rows("SELECT * FROM decision WHERE day = ? ORDER BY ts_ns", (day,))
        rows = list(replayed(engine, recorder, decided))
    finally:
        journal.close()
    differing = [row for row in rows if row["live"] != row["replayed"]]
    return {
        "day": day_text(day), "decisions": len(rows), "same": len(rows) - len(differing), "differ": differing,
        "fills": [row for row in rows if row["answers"]],
    }  # fmt: skip


def config_of(recorder: Recorder) -> Config:
    """The settings that were in force that day."""
    values = recorder.settings()
    config = load(user_file=Path("/nonexistent/config.py"))
    return config._replace(values={**config.values, **values})


def engine_at_morning(journal: JournalReader, recorder: Recorder, config: Config, day: int) -> Engine:
    """The engine as it stood before the day's first bar."""
    morning = recorder.morning()
    if morning is None:
        raise DataError(f"{day_text(day)} was not recorded")
    engine = Engine(config, morning.market(), int(journal.get("starting_cash", 0)))
    saved = journal.rows("SELECT body FROM morning WHERE day = ?", (day,))
    if saved:
        body = json.loads(saved[0]["body"])
        engine.restore(body["book"], {table: lines_before(journal, body["book"], table) for table in TABLES})
    return engine


def lines_before(journal: JournalReader, book: dict[str, Any], table: str) -> dict[int, Any]:
    """The ledger's lines that the morning's book already had."""
    count = book["head"][{"trade": "trades", "fill": "fills", "adjustment": "adjustments"}[table]]
    rows = journal.rows("SELECT number, body FROM line WHERE tab = ? AND number < ?", (table, count))
    return {row["number"]: json.loads(row["body"]) for row in rows}


def replayed(engine: Engine, recorder: Recorder, decided: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Each decision again, beside what was decided live."""
    by_time = {row["ts_ns"]: row for row in decided}
    for snapshot in recorder.snapshots():
        row = by_time.get(snapshot.ts)
        if row is None:
            continue
        answers = json.loads(row["answers"])
        for answer in answers:
            if answer["trade"] == -1 and not engine.book.head.order_working:
                legs = {place: occ for occ, _, _, place in named_legs(decided, row)}
                engine.reinstate_entry(legs, answer["contracts"], engine.day.first)
        step = engine.step(snapshot, answers, row["veto"])
        for answer in answers:
            if answer["reason"] == Reason.BROKER_CHANGED:
                engine.leave(answer["trade"], Reason.BROKER_CHANGED, step.row)
        wanted = [list(map(plain, order)) for order in engine.wanted()]
        live = {"verdict": REASON_NAMES[row["verdict"]], "wanted": json.loads(row["wanted"])}
        again = {"verdict": REASON_NAMES[step.verdict], "wanted": wanted}
        if row["veto"]:
            again["wanted"] = live["wanted"]  # what a veto dropped is no decision of the engine
        yield {"time": clock_text(snapshot.ts), "live": live, "replayed": again, "answers": answers}


def named_legs(decided: list[dict[str, Any]], row: dict[str, Any]) -> list[list[Any]]:
    """Legs of the last entry that was wanted before a decision."""
    for earlier in reversed([d for d in decided if d["ts_ns"] < row["ts_ns"]]):
        for order in json.loads(earlier["wanted"]):
            if order[0] == "open":
                legs: list[list[Any]] = order[5]
                return legs
    raise DataError("a fill of an entry that no recorded decision wanted")


def plain(value: Any) -> Any:
    """Tuples as JSON holds them."""
    return [plain(v) for v in value] if isinstance(value, tuple | list) else value


def clock_text(ts: int) -> str:
    return str(np.datetime64(ts, "ns").astype("datetime64[m]")) + "Z"


def parity_lines(value: dict[str, Any]) -> list[str]:
    """The result in words."""
    lines = [f"{value['day']}: {value['same']} of {value['decisions']} decisions are the same"]
    for row in value["differ"]:
        lines.append(f"  {row['time']}: live {row['live']['verdict']}, replayed {row['replayed']['verdict']}")
        if row["live"]["wanted"] != row["replayed"]["wanted"]:
            lines.append(f"    wanted live {row['live']['wanted']}")
            lines.append(f"    replayed    {row['replayed']['wanted']}")
    return lines
