"""A market cut short is the market that would have been stored at that moment, as far as a run can see."""

import numpy as np
import pytest

from core.errors import DataError
from core.market.build import Bars
from core.market.calendar import NS_DAY, day_number, day_text
from core.market.history import build_history, read_daily
from core.market.store import market_of
from core.market.truncate import truncated
from tests import markets
from tests.laws.test_history_truncation import part
from tests.laws.test_no_lookahead import assert_same_past, carried_rows, story
from tests.markets import ran, stored, until

NAMES = ("natural", "limit", "delta_wings", "settled", "carried", "carried_limit", "surface", "modelled")
RUNS = {name: markets.RUNS[name] for name in NAMES}
CUTS = {"table": (30, 130, 389, 560), "cash": (130, 389, 421), "modelled": (40, 77, 700, 1500)}


def cuts_of(market):
    return tuple(carried_rows().values()) if market == "carried" else CUTS[market]


@pytest.mark.parametrize("name", RUNS)
def test_a_run_on_a_market_cut_short_is_the_beginning_of_the_whole_run(name):
    of, changes = RUNS[name]
    whole = markets.run_named(name)
    for row in cuts_of(of):
        left = truncated(markets.market(of), row)
        assert len(left.columns["ts"]) == row + 1
        assert_same_past(whole, ran(left, **changes), row)


@pytest.mark.parametrize(("of", "name"), [("table", "natural"), ("cash", "settled"), ("carried", "carried")])
def test_a_market_cut_short_runs_as_the_one_stored_from_files_that_end_there(of, name, tmp_path):
    """To the end of the run, open structures and all."""
    for row in cuts_of(of)[1:]:
        ts = int(markets.market(of).columns["ts"][row])
        left, built = truncated(markets.market(of), row), stored(until(markets.tape(of), ts), tmp_path / str(row))
        a, b = (ran(store, **RUNS[name][1]) for store in (left, built))
        assert len(a.trades)
        first, second = story(a, row), story(b, row)
        assert first.pop("rows").tobytes() == second.pop("rows").tobytes()
        assert first.pop("codes").tobytes() == second.pop("codes").tobytes()
        for seen in ("signals", "gates"):
            assert np.array_equal(first.pop(seen), second.pop(seen), equal_nan=True), seen
        assert first == second


@pytest.mark.parametrize("of", ["table", "carried"])
def test_what_is_left_is_what_files_that_end_there_would_have_given(of, tmp_path):
    store, row = markets.market(of), cuts_of(of)[1]
    left = truncated(store, row)
    built = stored(until(markets.tape(of), int(store.columns["ts"][row])), tmp_path)
    assert set(left.columns) == set(built.columns)
    for name in left.columns:
        if name.startswith("q_") and name not in ("q_first", "q_row", "q_stick"):
            continue  # cells: contracts that vanish before the cut keep empty ones; compared below
        assert left.columns[name].tobytes() == built.columns[name].tobytes(), name
        assert left.columns[name].dtype == built.columns[name].dtype, name
    assert left.columns["q_last"].max() == len(left.columns["q_row"]) - 1
    assert len(left.columns["q_bid"]) == (left.columns["q_last"] - left.columns["q_first"] + 1).sum()
    for c in range(len(left.columns["c_strike"])):
        length = int(built.columns["q_last"][c] - built.columns["q_first"][c]) + 1
        names = ("q_bid", "q_ask", "q_flag", "q_delta", "q_iv", "q_volume", *(["q_vol"] if of == "table" else []))
        for name in names:
            a = left.columns[name][left.columns["q_base"][c] :][:length]
            assert np.array_equal(a, built.columns[name][built.columns["q_base"][c] :][:length], equal_nan=True), name


def test_a_session_that_will_be_missing_is_not_known_to_be_missing(tmp_path):
    """Friday's bars and quotes are not in the files; on Wednesday evening Friday still counts as a session."""
    tape = markets.carried_tape("hole", bad=False)
    friday = int(markets.days_of(("2025-11-14",))[0])
    bars, chain = (column.ts // NS_DAY != friday for column in (tape.bars, tape.chain))
    tape = tape._replace(bars=Bars(*(c[bars] for c in tape.bars)), chain=markets.picked(tape.chain, chain))
    store = stored(tape, tmp_path / "whole")
    wednesday = int(np.searchsorted(store.columns["s_day"], friday - 2))
    row = int(store.columns["s_end"][wednesday]) - 1
    left, built = truncated(store, row), stored(until(tape, int(store.columns["ts"][row])), tmp_path / "cut")
    day, session = left.columns["e_day"], left.columns["e_session"]
    assert session[day == friday] == wednesday + 2
    assert store.columns["e_session"][store.columns["e_day"] == friday] == -1
    assert session.tobytes() == built.columns["e_session"].tobytes()


def test_a_modelled_market_cut_at_a_session_s_end_is_the_one_built_from_shorter_input(tmp_path):
    whole, _ = read_daily()
    first = int(np.searchsorted(whole.day, day_number("2018-02-01")))
    stores = [build_history(tmp_path / str(n), 7, part(whole, first, first + n)) for n in (6, 4)]
    cut = truncated(stores[0], len(stores[1].columns["ts"]) - 1)
    for name, column in stores[1].columns.items():
        assert cut.columns[name].tobytes() == column.tobytes(), name
        assert cut.columns[name].dtype == column.dtype, name


def test_a_session_in_progress_has_no_official_close_yet():
    store = markets.market("table")
    s = 3
    end = int(store.columns["s_end"][s])
    left = truncated(store, end - 10)
    assert left.columns["s_end"][-1] == end - 9
    assert left.columns["s_settle"][-1] == store.columns["spot"][end - 10]
    assert left.columns["s_settle"][-1] != store.columns["s_settle"][s]
    done = truncated(store, end - 1)
    assert done.columns["s_settle"][-1] == store.columns["s_settle"][s]


def test_contracts_listed_later_are_absent_and_the_rest_are_the_same_contracts(tmp_path):
    """$5 strikes at first; from row 151 on $1 strikes too: 13 of 61 strikes are left before."""
    tape = markets.table_tape("late", bad=False)
    late = (tape.chain.strike % 500 != 0) & (tape.chain.ts <= tape.bars.ts[150])
    store = stored(tape._replace(chain=markets.picked(tape.chain, ~late)), tmp_path)
    left = truncated(store, 150)
    expiries = len(left.columns["e_day"])
    assert len(left.columns["c_strike"]) == expiries * 2 * 13
    assert (left.columns["c_strike"] % 500 == 0).all()
    assert len(truncated(store, 151).columns["c_strike"]) == expiries * 2 * 61
    m = market_of(left)
    for x in range(expiries):
        assert (m.con.expiry[m.exp.put_lo[x] : m.exp.call_hi[x]] == x).all()
        assert m.exp.put_hi[x] == m.exp.call_lo[x]
        assert (np.diff(m.con.strike[m.exp.put_lo[x] : m.exp.put_hi[x]]) > 0).all()


def test_the_manifest_tells_what_is_left_and_has_a_hash_of_its_own():
    store = markets.market("carried")
    parts = [truncated(store, row) for row in (300, 301)]
    assert len({store.hash, *(part.hash for part in parts)}) == 3
    facts = parts[0].manifest
    assert facts["rows"] == 301
    assert facts["sessions"] == len(parts[0].columns["s_day"])
    assert facts["last"] == day_text(parts[0].columns["s_day"][-1])
    assert not any(column.flags.writeable for column in parts[0].columns.values())
    last = truncated(store, len(store.columns["ts"]) - 1)
    assert all(last.columns[name].tobytes() == store.columns[name].tobytes() for name in store.columns)


def test_a_cut_before_the_first_quote_leaves_a_market_without_contracts():
    left = truncated(markets.market("carried"), 5)
    assert len(left.columns["c_strike"]) == len(left.columns["e_day"]) == len(left.columns["q_bid"]) == 0
    assert len(ran(left).trades) == 0


@pytest.mark.parametrize("row", [-1, 900])
def test_a_row_outside_the_market_is_refused(row):
    with pytest.raises(DataError, match="rows 0 to 899"):
        truncated(markets.market("table"), row)
