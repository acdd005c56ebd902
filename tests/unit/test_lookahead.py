"""The check for look-ahead: what peeks is found and named, what does not is not."""

import numpy as np
import pytest

import strategies.view
from core.lookahead import check, cut_rows, findings, lines_of, moments, value_of
from core.replay import Replay
from core.types import GATE, SIGNAL, Reason
from tests import markets
from tests.markets import RUNS, poisoned, stored

REAL_VIEW = strategies.view.view_of


def silent(_text):
    return None


def checked(name, count=4, **more):
    of, changes = RUNS[name]
    store = markets.market(of)
    return check(store, markets.config_of(market__name=store.name, **changes, **more), count, silent)


@pytest.mark.parametrize("name", ["natural", "carried", "surface", "settled", "modelled"])
def test_an_honest_run_is_clean(name):
    value = value_of(checked(name))
    assert value["clean"]
    assert len(value["cuts"]) >= 3
    assert value["compared"]["trades"] >= 5
    assert lines_of(value)[-1] == f"no look-ahead found in {len(value['cuts'])} cuts"


def peeking(name):
    """The signals with one of them a row early."""

    def view(market, columns, values, always=False):
        seen = REAL_VIEW(market, columns, values, always=always)
        signal = seen.signal.copy()
        signal[SIGNAL[name]] = np.r_[signal[SIGNAL[name]][1:], np.nan]
        signal.flags.writeable = False
        return seen._replace(signal=signal)

    return view


@pytest.mark.parametrize("run", ["natural", "carried", "modelled"])
def test_a_feature_that_knows_the_next_row_is_found_and_named(run, monkeypatch):
    monkeypatch.setattr("backtest_engine.view_of", peeking("rsi"))
    result = checked(run)
    assert {f.what for f in result.findings} == {"signal rsi"}
    assert [f.cut for f in result.findings] == result.cuts
    for f in result.findings:
        assert (f.row, f.short, f.count) == (f.cut, None, 1)
        assert f.whole == result.market.signal[SIGNAL["rsi"], f.cut]
    value = value_of(result)
    assert not value["clean"]
    (changed,) = value["changed"]
    assert (changed["what"], changed["cuts"], changed["without"]) == ("signal rsi", len(result.cuts), None)
    assert changed["first"] == value["cuts"][0]
    line = lines_of(value)[-1]
    assert line.startswith("signal rsi")
    assert "unknown" in line


def test_a_gate_that_knows_the_next_row_is_found_and_named(monkeypatch):
    """Closed where the next row's spot is lower; at the end of what it sees it stays open."""

    def view(market, columns, values, always=False):
        seen = REAL_VIEW(market, columns, values, always=always)
        gate = seen.gate.copy()
        gate[GATE, :-1] = np.where(np.diff(market.row.spot) < 0, Reason.TERM, 0)
        gate.flags.writeable = False
        return seen._replace(gate=gate)

    monkeypatch.setattr("backtest_engine.view_of", view)
    found = [f for f in checked("carried", 12).findings if f.what == "gate"]
    assert found
    for f in found:
        assert (f.row, f.short) == (f.cut, "open")
        assert f.whole == "VIX above VIX3M by more than allowed"


def test_decisions_fills_and_money_that_differ_are_named_at_their_first_row(tmp_path):
    """Two runs whose quotes differ from row 81 on, compared at row 200."""
    store = markets.market("table")
    other = stored(poisoned(markets.tape("table"), int(store.columns["ts"][80])), tmp_path)
    config = markets.config_of(market__name="table")
    runs = [Replay(s, config) for s in (store, other)]
    assert findings(runs[0].to(80), runs[1].to(80)) == []
    found = findings(runs[0].to(200), runs[1].to(200))
    rows = {f.what: f.row for f in found if not f.what.startswith(("signal", "gate"))}
    assert {"verdict", "cash", "marks", "liquidation"} <= set(rows)
    assert any(what.startswith("fill ") for what in rows)
    assert any(what.startswith("trade ") for what in rows)
    assert min(row for what, row in rows.items() if not what.startswith("trade ")) > 80


def test_a_trade_that_only_one_run_has_is_named_by_its_opening():
    store = markets.market("carried")
    runs = [Replay(store, markets.config_of(market__name="carried", strategy__max_positions=n)) for n in (4, 1)]
    opened = [run.to(len(store.columns["ts"]) - 1).trades[:, 0] for run in runs]
    extra = next(i for i in range(len(opened[0])) if i >= len(opened[1]) or opened[0][i] != opened[1][i])
    (trade,) = (f for f in findings(*runs) if f.what.startswith("trade "))
    assert trade.what.startswith(f"trade {extra}")
    assert trade.row == opened[0][extra]


# ---------------------------------------------------------------- where it cuts


def finished(name):
    of, changes = RUNS[name]
    store = markets.market(of)
    config = markets.config_of(market__name=store.name, **changes)
    return Replay(store, config).to(len(store.columns["ts"]) - 1)


@pytest.mark.parametrize("name", ["natural", "carried", "modelled"])
def test_cuts_are_the_same_every_time_and_take_turns_at_every_kind_of_moment(name):
    replay = finished(name)
    cuts = cut_rows(replay, 12)
    assert cuts == cut_rows(replay, 12) == sorted(set(cuts))
    assert 10 <= len(cuts) <= 12
    assert np.diff(cuts).max() < 3 * len(replay.market.row.ts) / 12
    found = moments(replay)
    for kind in ("entry", "exit", "quiet", "session end"):
        assert np.isin(cuts, found[kind]).any(), kind


def test_no_cut_lies_between_the_close_and_the_evening_s_snapshot():
    replay = finished("carried")
    market = replay.market
    cuts = np.array(cut_rows(replay, 200))
    session = market.row.session[cuts]
    late = market.row.minute[cuts] >= market.ses.close[session]
    assert late.sum() > 5
    assert (cuts[late] == market.ses.end[session[late]] - 1).all()


def test_a_run_over_part_of_its_market_is_cut_inside_that_part():
    result = checked("natural", market__start="2025-11-24", market__end="2025-12-02")
    days = {f"{d}"[:10] for d in value_of(result)["cuts"]}
    assert min(days) >= "2025-11-24"
    assert max(days) <= "2025-12-02"
    assert not result.findings
