"""A rehearsed day: the decisions of the engine's replay and of the day's backtest; the same journal twice."""

import json
from pathlib import Path

import numpy as np
import pytest

from backtest_engine import run
from core.config import load
from core.live.occ import occ_symbol, parse_occ
from core.live.parity import parity_lines, parity_of
from core.live.tape import drawn_tape
from core.market.build import Bars, Chain, Daily, assemble
from core.market.calendar import sessions_over
from core.market.importers import facts_of
from core.market.writer import write_store
from core.types import T
from tests.live.alpaca_sim.judge import judge
from tests.live.alpaca_sim.stage import FIRST, SETTINGS, Stage


@pytest.fixture(scope="module")
def rehearsed(tmp_path_factory):
    """Two rehearsals of one day with one seed, to its end."""
    stages = []
    for number in range(2):
        stage = Stage(tmp_path_factory.mktemp("parity") / str(number), settings=("live.walk_steps=1",))
        code = stage.run(until="15:59")
        assert code == 0, stage.text()[-2000:]
        judge(stage)
        stages.append(stage)
    yield stages
    for stage in stages:
        stage.end()


def test_a_rehearsed_day_decides_what_the_engine_decides_again(rehearsed):
    value = parity_of(rehearsed[0].account)
    assert value["decisions"] >= 70
    assert value["differ"] == [], parity_lines(value)


def test_two_rehearsals_with_one_seed_leave_the_same_journal(rehearsed):
    events = [stage.rows("SELECT ts_ns, kind, entity, body, hash FROM event ORDER BY seq") for stage in rehearsed]
    assert events[0] == events[1]
    assert rehearsed[0].ledger()["digest"] == rehearsed[1].ledger()["digest"]


def store_of(tape, folder):
    """The rehearsed tape as an imported market."""
    ts = np.r_[tape.past_ts, tape.ts]
    bars = Bars(ts, *np.vstack([tape.past_bars, tape.bars]).T)
    options = [parse_occ(str(occ)) for occ in tape.occ]
    n, c = tape.bid.shape
    row, column = np.meshgrid(np.arange(n), np.arange(c), indexing="ij")
    good = (tape.ask > 0) & (tape.bid < tape.ask)
    row, column = row[good], column[good]
    zero, unknown = np.zeros(len(row), np.int64), np.full(len(row), np.nan)

    def of(name):
        return np.array([getattr(option, name) for option in options])[column]

    chain = Chain(
        tape.ts[row], tape.bars[row, 3], of("root"), of("expiry_day").astype(np.int32), of("strike_cents"),
        of("right") == 1, tape.bid[row, column] / 100, tape.ask[row, column] / 100, unknown, unknown,
        zero, zero, zero, zero,
    )  # fmt: skip
    days = ts // 86_400_000_000_000
    columns, report, kind = assemble(bars, sessions_over(int(days[0]), int(days[-1])), chain, Daily({}, {}, {}))
    facts = facts_of("rehearsed", kind, "standard", (Path("bars"), Path("chain")), chain, False)
    return write_store(folder / "rehearsed", columns, facts, report)


def test_a_rehearsed_day_decides_what_its_backtest_decides(rehearsed, tmp_path):
    """Entries and exits at the same bars and with the same legs, though the backtest's fills are modelled."""
    tape = drawn_tape(FIRST)
    store = store_of(tape, tmp_path)
    config = load(user_file=Path("/nonexistent"), sets=[s for s in SETTINGS if not s.startswith("live")],
                  flags={"market.start": FIRST})  # fmt: skip
    result = run(store, config)
    stage = rehearsed[0]
    lines = [json.loads(row["body"]) for row in stage.rows("SELECT body FROM line WHERE tab = 'trade' ORDER BY number")]
    ts = result.market.row.ts
    assert len(lines) == len(result.trades) > 0
    for line, trade in zip(lines, result.trades, strict=True):
        assert line[T["decided"]] == ts[trade[T["decided"]]]
        legs = [result.market.con[trade[T[f"leg{i}"]]] for i in range(4)]
        names = [
            occ_symbol("SPY", int(result.market.exp[leg.expiry].day), int(leg.right), int(leg.strike)) for leg in legs
        ]
        assert [line[T[f"leg{i}"]] for i in range(4)] == names
        assert line[T["reason"]] == trade[T["reason"]]
    verdicts = stage.rows("SELECT ts_ns, verdict FROM decision ORDER BY ts_ns")
    first = result.first_row
    backtest = dict(zip(ts[first:].tolist(), result.ledger.codes[0].tolist(), strict=True))
    differ = [row for row in verdicts if backtest[row["ts_ns"]] != row["verdict"]]
    assert not differ
