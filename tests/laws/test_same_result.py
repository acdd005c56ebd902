"""Law 5: the same bytes in one pass or bar by bar, compiled or plain, today or tomorrow."""

import datetime as dt
import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest

from backtest_engine import ledger_for, run_rows, script_of, slots_of
from core.config import ROOT
from core.jit import NO_JIT
from core.portfolio import new_book, note_open
from core.report.folder import manifest_of, write_run
from core.report.measure import measure
from core.types import CONTRACT, EXPIRY, HEAD, ROW, SCRIPT, SESSION, SLOT, Costs, Rules, T, record_of
from tests import markets

NAMES = list(markets.RUNS)


def in_pieces(whole, ends):
    """A run again, advanced piece by piece up to each of `ends` and to the run's end: its arrays, as arrays_of."""
    market, config = whole.market, whole.config
    book = new_book(
        round(config["account.starting_cash"] * 100),
        slots_of(whole.rules, whole.limits),
        int((market.ses.end - market.ses.start).max()),
    )
    out = ledger_for(config, market)
    script, rules = script_of(market, ()), record_of(whole.rules)
    limits, costs = record_of(whole.limits), record_of(whole.costs)
    first = whole.first_row
    for last in (*(end for end in ends if first < end < whole.last_row), whole.last_row):
        run_rows(market, rules, limits, costs, book, out, script, first, int(last))
        first = int(last)
    note_open(book, out.t_int)
    cut = slice(whole.first_row, whole.last_row)
    return {
        "trades": out.t_int[: book.head.trades],
        "fills": out.f_int[: book.head.fills],
        "adjustments": out.a_int[: book.head.adjustments],
        "rows": out.rows[:, cut],
        "codes": out.codes[:, cut],
        "missed": int(book.head.missed),
    }


def arrays_of(result):
    """Everything that a run wrote."""
    return {
        "trades": result.trades,
        "fills": result.fills,
        "adjustments": result.adjustments,
        "rows": result.ledger.rows,
        "codes": result.ledger.codes,
        "missed": result.missed,
    }


def assert_same(whole, pieces):
    for label, expected in arrays_of(whole).items():
        assert np.array_equal(expected, pieces[label]), label


@pytest.mark.parametrize("name", NAMES)
def test_one_bar_at_a_time_gives_what_one_pass_gives(name):
    whole = markets.run_named(name)
    assert_same(whole, in_pieces(whole, range(1, len(whole.market.row.ts) + 1)))


@pytest.mark.parametrize("name", NAMES)
def test_pieces_of_any_length_give_what_one_pass_gives(name):
    whole = markets.run_named(name)
    rows = len(whole.market.row.ts)
    draw = np.random.default_rng(17)
    for _ in range(5):
        ends = np.unique(draw.integers(1, rows, draw.integers(3, 60)))
        assert_same(whole, in_pieces(whole, [*ends, rows]))


def test_a_mid_beyond_the_stop_is_remembered_over_the_edges_of_sessions_in_pieces_too(tmp_path):
    """Beyond the stop at 15:50 and again at 09:45, quiet in the edges between: two mids in a row."""
    tape = markets.table_tape("edges", bad=False)
    changes = {"strategy__max_positions": 1, "strategy__exits__stop_on": "mid", "strategy__exits__profit_frac": 1.0}
    calm = markets.ran(markets.stored(tape, tmp_path), **{**changes, "strategy__exits__stop_multiple": 0.0})
    trade, con = calm.trades[0], calm.market.con
    short_put = con[trade[T["leg1"]]]
    assert trade[T["opened"]] < 75
    shock = (
        (tape.chain.strike == short_put.strike)
        & ~tape.chain.is_call
        & (tape.chain.day == calm.market.exp.day[short_put.expiry])
    )
    shock &= np.isin(tape.chain.ts, calm.market.row.ts[[75, 80]])
    assert shock.sum() == 2
    chain = tape.chain._replace(bid=tape.chain.bid + 9.0 * shock, ask=tape.chain.ask + 9.0 * shock)
    shocked = markets.stored(tape._replace(chain=chain), tmp_path / "shocked")
    whole = markets.ran(shocked, **changes, strategy__exits__stop_multiple=3.0)
    assert whole.trades[0][T["exit_decided"]] == 80
    assert_same(whole, in_pieces(whole, range(1, len(whole.market.row.ts) + 1)))


def files_of(name, folder, trace=True):
    """Bytes of a run's files but its manifest."""
    of, changes = markets.RUNS[name]
    result = markets.ran(markets.market(of), **changes)
    folder.mkdir()
    manifest = manifest_of(result, folder.name, dt.datetime.now(dt.UTC), 1)
    write_run(folder, result, measure(result), manifest, trace)
    return {p.name: p.read_bytes() for p in sorted(folder.iterdir()) if p.name != "manifest.json"}


@pytest.mark.parametrize("name", ["natural", "carried", "settled", "modelled", "sides", "surface_full", "full"])
def test_two_runs_differ_in_no_byte_but_the_manifest(name, tmp_path):
    first, second = files_of(name, tmp_path / "a"), files_of(name, tmp_path / "b")
    tables = ("trades", "fills", "adjustments", "equity", "decisions", "trace")
    assert set(first) == {"metrics.json", *(f"{table}.csv" for table in tables)}
    assert first == second


def test_two_builds_of_a_market_are_the_same_market(tmp_path):
    for name in ("carried", "table"):
        again = markets.stored(markets.TAPES[name](), tmp_path)
        assert again.hash == markets.market(name).hash
    assert markets.modelled_store(tmp_path).hash == markets.market("modelled").hash
    assert markets.modelled_store(tmp_path / "other", seed=8).hash != markets.market("modelled").hash


def digest(array):
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()


@pytest.mark.parametrize("name", ["natural", "carried", "modelled", "rolled", "surface_full", "full"])
def test_a_run_leaves_its_market_as_it_was(name):
    of, changes = markets.RUNS[name]
    store = markets.market(of)
    before = {column: digest(values) for column, values in store.columns.items()}
    result = markets.ran(store, **changes)
    measure(result)
    assert {column: digest(values) for column, values in store.columns.items()} == before
    arrays = [*store.columns.values(), *(a for a in result.market if isinstance(a, np.ndarray))]
    assert not any(a.flags.writeable for a in arrays)


# Plain Python is slow: a few sessions of the markets with dense rows.
SPANS = {"table": {"market__end": "2025-11-25"}, "modelled": {"market__end": "2016-03-09"}}


PLAIN_NEW = ["sides", "trailing", "cheap", "tested_short", "rolled", "rolled_out", "hedged", "surface_full", "smile"]

PLAIN = """
import sys
sys.path.insert(0, {root!r})
from pathlib import Path
import numpy as np
from core import jit
assert jit.NO_JIT
from core.market.store import open_store
from tests import markets
from tests.laws.test_same_result import SPANS, arrays_of
for name in {names!r}:
    of, changes = markets.RUNS[name]
    result = markets.ran(open_store(Path({folder!r}) / of), **changes, **SPANS.get(of, {{}}))
    np.savez(Path({out!r}) / name, **arrays_of(result))
"""


def test_no_field_of_a_record_bears_the_name_of_a_method_of_records():
    """Compiled code would read the field and plain Python the method."""
    fields = [name for table in (ROW, SESSION, EXPIRY, CONTRACT, SLOT, HEAD, SCRIPT) for name, *_ in table]
    fields += [*Rules._fields, *Costs._fields]
    assert [name for name in fields if hasattr(np.record, name) or hasattr(np.ndarray, name)] == []


@pytest.mark.skipif(NO_JIT, reason="there is no compiled code to compare with")
def test_plain_python_gives_what_compiled_code_gives(tmp_path):
    """Trades, fills, verdicts and every cent of every row."""
    names = ["carried", "carried_limit", "surface", "butterfly", "stop_on_mid", "modelled", *PLAIN_NEW]
    for name in names:
        markets.market(markets.RUNS[name][0])
    folder = markets.market("carried").path.parent
    code = PLAIN.format(root=str(ROOT), names=names, folder=str(folder), out=str(tmp_path))
    environment = {**os.environ, "QMTF_NO_JIT": "1"}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for name in names:
        of, changes = markets.RUNS[name]
        compiled = markets.ran(markets.market(of), **changes, **SPANS.get(of, {}))
        plain = np.load(tmp_path / f"{name}.npz")
        assert len(compiled.trades)
        for label, values in arrays_of(compiled).items():
            assert np.array_equal(values, plain[label]), (name, label)
