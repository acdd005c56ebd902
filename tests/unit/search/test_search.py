"""A whole search: the same for any number of workers, resumed without loss, told in files."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import optimizer
from backtest_engine import ledger_for
from core.config import ROOT, Config, load
from core.errors import ConfigError, DataError
from core.search import coarse_stage, outputs
from core.search import database as database_module
from core.search.database import SOURCES, Database, log_trial, packed, parts_of, results_hash, unpacked
from core.search.evaluate import Evaluator, Hasher, Task, cash_returns_of
from core.search.findings import findings_of, ranking, validated_of
from core.search.grid import Grid, parse_grid
from core.search.records import Found, Progress
from core.search.request import OutOfSample
from core.search.robustness import ground_of, neighbours
from core.search.terminal import HEADS, SHOWN, out_of_sample, table_lines
from core.search.workers import MINE, Local
from core.settings import BY_PATH
from core.trials import METRIC
from tests import markets

EXITS, ENTRY = "strategy.exits", "strategy.entry"
TREE = {
    "phases": [
        {
            "name": "exits",
            "vary": {"strategy.exits.profit_frac": [0.2, 0.4, 0.6], "strategy.exits.stop_multiple": [1, 2]},
        },
        {
            "name": "entries",
            "vary": {"strategy.entry.short_delta": [0.12, 0.16, 0.2], "strategy.max_positions": [2, 4]},
        },
    ],
    "min_trades": 3,
}


@pytest.fixture(autouse=True)
def reports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("QMTF_REPORTS_DIR", str(tmp_path / "reports"))
    return tmp_path / "reports"


def quiet(_: Progress) -> None:
    """Tell nobody."""


def searched(
    grid: Grid | None = None, config: Config | None = None, of: str = "modelled",
    watch: Callable[[Progress], None] = quiet, **wishes: Any,
) -> tuple[Found, int]:  # fmt: skip
    store = markets.market(of)
    base = config or markets.config_of(market__name=store.name)
    request = optimizer.Request(**{"jobs": 1, **wishes})
    return optimizer.search(store, base, grid or parse_grid(TREE, "test"), request, watch)


def files_of(found: Found, logged: int, folder: Path) -> dict[str, bytes]:
    store = markets.market("modelled")
    findings = findings_of(found, logged, cash_returns_of(store, found.base))
    folder.mkdir()
    outputs.write_search(folder, findings, outputs.top_of(findings), {"run": "x"}, outputs.summary_value(findings))
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_ledger_has_room_for_whatever_its_group_can_write() -> None:
    """Groups that open as many structures may adjust them more or less often."""
    base = markets.config_of(market__name="modelled")
    evaluator = Evaluator(markets.market("modelled"), base)
    paths = ("strategy.manage.tested_action", "strategy.manage.max_rolls", "strategy.exits.scope")
    task = Task(paths, (("close_all", 20, "whole"), ("roll_untested", 20, "whole"), ("close_all", 20, "side")))
    for group in evaluator.groups(task):
        wanted = ledger_for(Config(dict(group.values), {}), evaluator.market)
        out = evaluator.ledger(group, group.rules.max_positions)
        for mine, own in zip(out, wanted, strict=True):
            assert np.shape(mine) == np.shape(own)


def test_the_number_of_workers_changes_no_byte(tmp_path: Path) -> None:
    alone = files_of(*searched(), tmp_path / "one")
    for jobs in (2, 4):
        assert files_of(*searched(jobs=jobs), tmp_path / str(jobs)) == alone
    assert set(alone) == {"trials.parquet", "top100.csv", "best.yaml", "manifest.json", "summary.json"}


SHARING = {"vary": {f"{EXITS}.profit_frac": [0.1, 0.2, 0.3, 0.5], f"{EXITS}.stop_multiple": [0.5, 1, 3, 5],
                    f"{EXITS}.max_hold_days": [1, 2, 3]}, "min_trades": 1}  # fmt: skip
ALONE = {"strategy__max_positions": 1, "strategy__entry__schedule": "daily", "account__starting_cash": 1e6}


def test_trials_that_share_a_ledger_are_told_as_if_each_had_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Run once, run each, or taken from what was kept: the same files to the byte."""
    grid, config = parse_grid(SHARING, "sharing"), markets.config_of(market__name="modelled", **ALONE)
    monkeypatch.setattr(coarse_stage, "WORTH_SHARING", 2)
    found, logged = searched(grid, config)
    assert len(found.phases[0].equity) < found.count() == 48
    shared = files_of(found, logged, tmp_path / "shared")
    again, logged = searched(grid, config, resume=True)
    assert again.resumed == 48
    assert files_of(again, logged, tmp_path / "again") == shared
    monkeypatch.setattr(coarse_stage, "WORTH_SHARING", 10**6)
    each, logged = searched(grid, config)
    assert len(each.phases[0].equity) == 48
    assert files_of(each, logged, tmp_path / "each") == shared


def test_a_dead_worker_is_replaced() -> None:
    store = markets.market("modelled")
    base = markets.config_of(market__name=store.name)
    rows = [(0.1 + 0.01 * i,) for i in range(60)]
    engine = Local(store, base, 2)
    try:
        got: dict[int, Any] = {}
        for n, piece in enumerate(engine.run(("strategy.exits.profit_frac",), rows)):
            got.update({i: piece.outcome.equity[k] for k, i in enumerate(piece.rows)})
            if n == 0:
                os.kill(next(iter(engine.pool._processes)), signal.SIGKILL)
    finally:
        engine.close()
    want = Evaluator(store, base).evaluate(Task(("strategy.exits.profit_frac",), tuple(rows))).equity
    assert sorted(got) == list(range(60)) and all(np.array_equal(got[i], want[i]) for i in got)
    MINE.clear()


def test_a_phase_begins_where_the_last_one_ended() -> None:
    found, _ = searched()
    first, second = found.phases
    chosen = dict(zip(first.paths, first.rows[first.chosen], strict=True))
    for row in second.rows:
        values = dict(zip(second.paths, row, strict=True))
        assert all(values[path] == chosen[path] for path in first.phase.levels)
    assert found.recommended["strategy.exits.profit_frac"] == chosen["strategy.exits.profit_frac"]
    assert found.count() == 12


def test_hashes_are_those_of_the_settings() -> None:
    base = markets.config_of()
    for paths, row in (
        (("strategy.max_positions", "account.starting_cash"), (2, 5000.0)),
        (("strategy.structure",), ("put_spread",)),
        (("strategy.size.vol_target", "account.cash_yield", "costs.spread_multiple"), (0.1, "zero", 2.0)),
    ):
        changes = {path.replace(".", "__"): value for path, value in zip(paths, row, strict=True)}
        assert Hasher(base.values, paths).of(row) == base.with_values(**changes).hash()
    first, last = min(base.values), max(base.values)
    assert Hasher(base.values, (first, last)).of((base[first], base[last])) == base.hash()


def test_equity_is_kept_to_the_cent() -> None:
    small = np.array([[10_000_000, 9_999_998, 10_500_000]] * 3, np.int64)
    large = small * 10**6
    for equity in (small, large):
        assert np.array_equal(unpacked(packed(equity), 3), equity)
    assert len(packed(small)) < len(packed(large))


def test_resuming_takes_what_is_there_and_changed_code_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    found, logged = searched()
    again, logged_again = searched(resume=True)
    assert again.resumed == found.count() + len(found.beyond) == 14 and logged_again == logged
    for a, b in zip(found.phases, again.phases, strict=True):
        assert a.hashes == b.hashes and a.figures.tobytes() == b.figures.tobytes()
        assert np.array_equal(a.equity, b.equity) and a.chosen == b.chosen
    assert searched()[0].resumed == 0  # only when asked
    monkeypatch.setattr("core.search.database.results_hash", lambda: "other code")
    other, logged_other = searched(resume=True)
    assert other.resumed <= 1 and logged_other == logged  # one of its own: a later phase holds the start again


def test_what_is_finished_is_not_written_again(reports: Path) -> None:
    """A search that is made again, or ranked again by closed trades, adds nothing to the file."""
    store = markets.market("modelled")
    grid, config = parse_grid(SHARING, "again"), markets.config_of(market__name="modelled", **ALONE)
    assert searched(grid, config, coarse=2)[1] == 48
    first = kept(reports, store.hash)
    assert len(set(first)) == 48 < len(first)  # those that were run in full stand there twice
    assert searched(grid, config, coarse=2)[1] == 48
    assert kept(reports, store.hash) == first
    assert searched(grid, config)[1] == 48
    whole = kept(reports, store.hash)
    assert len(whole) > len(first) and set(whole) == set(first)
    assert searched(grid, config)[1] == 48
    assert kept(reports, store.hash) == whole


def test_hand_made_runs_count(reports: Path) -> None:
    store = markets.market("modelled")
    reports.mkdir(parents=True)
    (reports / "trials.log").write_text(f"{store.hash} {'ab' * 32}\nother {'cd' * 32}\n", encoding="utf-8")
    assert log_trial("11" * 32, store.hash) == 2
    assert log_trial("11" * 32, store.hash) == 2
    assert not (reports / "trials.log").exists()
    found, logged = searched(parse_grid(SHARING, "one"))
    assert logged == len(set(found.phases[0].hashes)) + 2


def test_a_file_that_is_no_database_is_named(reports: Path) -> None:
    reports.mkdir(parents=True)
    (reports / "trials.sqlite").write_bytes(b"this is not a database, and long enough to be read as one" * 20)
    with pytest.raises(DataError, match="move it away"):
        Database("store")


def test_a_database_that_cannot_be_written_is_not_to_be_moved_away(reports: Path) -> None:
    with Database("store") as database:
        database.connection.execute("pragma query_only = on")
        with pytest.raises(DataError, match=r"readonly database.*is the disk full, or the file not yours") as caught:
            database.log("11" * 32)
        assert "move it away" not in str(caught.value)
        with pytest.raises(DataError, match=r"trials\.sqlite: cannot be used"):
            database.keep(["22" * 32], np.zeros((1, len(METRIC))), np.zeros((1, 5), np.int64))
    (reports / "file").write_text("", encoding="utf-8")
    with pytest.raises(DataError, match="cannot be used"):
        Database("store", reports / "file" / "trials.sqlite")


@pytest.mark.parametrize("name", SOURCES)
def test_finished_trials_are_no_longer_taken_once_what_runs_them_changed(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for source in SOURCES:
        (tmp_path / source).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / source).write_bytes((ROOT / source).read_bytes())
    monkeypatch.setattr(database_module, "ROOT", tmp_path)
    before = results_hash.__wrapped__()
    assert before == results_hash()
    with (tmp_path / name).open("a", encoding="utf-8") as file:
        file.write("# changed\n")
    assert results_hash.__wrapped__() != before


def test_interrupting_keeps_what_is_done() -> None:
    def stop(progress: Progress) -> None:
        if progress.done >= 6:
            raise KeyboardInterrupt

    found, logged = searched(watch=stop)
    assert not found.ended and 1 <= found.count() < 12 and logged >= found.count()
    rest, _ = searched(resume=True)
    assert rest.ended and rest.count() == 12 and rest.resumed >= found.count()


def test_the_top_is_what_the_trials_say(tmp_path: Path) -> None:
    found, logged = searched()
    findings = findings_of(found, logged, cash_returns_of(markets.market("modelled"), found.base))
    columns, rows = outputs.top_of(findings)
    wanted = "Rank phase profit_frac stop_multiple short_delta max_positions Balance NetProfit MaxDD NP_DD_Ratio"
    rest = "ProfitFactor Expectancy Sharpe DeflatedSharpe Trades Wins Losses WinRate Robustness"
    assert columns == [*wanted.split(), *rest.split()]
    best = ranking(findings)[0]
    assert rows[0][columns.index("NetProfit")] == findings.figures[best, METRIC["net_profit"]]
    assert rows[0][columns.index("Balance")] == 25_000.0 + rows[0][columns.index("NetProfit")]
    import pyarrow.parquet as pq

    outputs.write_trials(tmp_path / "t.parquet", findings)
    table = pq.read_table(tmp_path / "t.parquet").to_pydict()
    assert table["trial_id"] == list(range(12)) and table["net_profit"] == findings.figures[:, 0].tolist()
    assert not any("deflated" in name.lower() for name in table)


def test_the_table_for_people_leaves_out_repetitions_and_is_as_wide_as_its_cells() -> None:
    columns = [*HEADS]
    rows: list[list[Any]] = [
        [i + 1, "exits", -1000.0 * (i // 3), 10.0, -1.5, 0.25, 0.5, 30, 0.75, 0.9] for i in range(3 * (SHOWN + 2))
    ]
    lines = table_lines(outputs.Top(columns, rows))
    assert len(lines) == SHOWN + 2 and lines[-1] == f"left out: {2 * SHOWN} with the figures of one above them"
    assert lines[0].split()[:3] == ["rank", "net", "profit"] and lines[2].split()[:2] == ["4", "-1,000.00"]
    assert len({len(line) for line in lines[:-1]}) == 1 and len(lines[0]) < 80  # one phase: its name is left out
    rows[1][1] = "entries"
    assert table_lines(outputs.Top(columns, rows[:6]))[1].split()[:2] == ["1", "exits"]
    assert not table_lines(outputs.Top(columns, []))[1:]
    nothing = [[i + 1, "exits", 5.0, 1.0, 5.0, 0.5, None, 0, float("nan"), None] for i in range(3)]
    assert table_lines(outputs.Top(columns, nothing))[2:] == ["left out: 2 with the figures of one above them"]


def test_presets_are_written_and_nothing_is_overwritten(tmp_path: Path) -> None:
    found, logged = searched()
    findings = findings_of(found, logged, cash_returns_of(markets.market("modelled"), found.base))
    text = outputs.preset_text(findings, "a test")
    path = outputs.apply_to(str(tmp_path / "mine.yaml"), text)
    assert path.read_text(encoding="utf-8") == text and text.startswith("about: a test\n")
    # Another value of a varied setting in the user's own file is overridden, also by a default.
    other = tmp_path / "config.py"
    other.write_text(f"CONFIG = {{'{EXITS}.profit_frac': 0.33, 'strategy.max_positions': 9}}\n", encoding="utf-8")
    default = BY_PATH["strategy.max_positions"].default
    at_default = found._replace(
        recommended=found.recommended.with_values(source="test", strategy__max_positions=default)
    )
    path.write_text(outputs.preset_text(findings._replace(found=at_default), "a test"), encoding="utf-8")
    loaded = load(file=str(path), user_file=other)
    for key, value in at_default.recommended.values.items():
        assert loaded[key] == value or key.startswith("market."), key
    with pytest.raises(ConfigError, match="exists already"):
        outputs.apply_to(str(path), text)
    with pytest.raises(ConfigError, match=r"never your config\.py"):
        outputs.apply_to("config.py", text)


def test_every_method_ends_with_what_was_asked() -> None:
    pytest.importorskip("optuna")
    one = parse_grid({"vary": TREE["phases"][0]["vary"] | TREE["phases"][1]["vary"], "min_trades": 3}, "one")
    for method, objective in (("random", None), ("sobol", None), ("tpe", None), ("tpe", "pareto"), ("cmaes", "sharpe")):
        first, _ = searched(one, method=method, trials=20, objective=objective)
        second, _ = searched(one, method=method, trials=20, objective=objective, jobs=2)
        assert first.count() == 20 and first.phases[0].hashes == second.phases[0].hashes, method
        assert len(set(first.phases[0].hashes)) == 20


def test_plans_that_cannot_be_are_refused() -> None:
    for wishes, words in (
        ({"method": "gird"}, "did you mean 'grid'"),
        ({"objective": "pareto"}, "--method tpe"),
        ({"jobs": 0}, "give 1 to"),
        ({"trials": -1, "method": "random"}, "--trials is -1"),
        ({"trials": 0, "method": "random"}, "--trials is 0"),
        ({"method": "cmaes"}, "one phase"),
        ({"coarse": 5, "method": "tpe"}, "--coarse"),
        ({"coarse": 5}, "max_positions"),
        ({"trials": 5}, "grid runs all combinations"),
        ({"address": "here:6379"}, "add --engine ray"),
    ):
        with pytest.raises(ConfigError) as caught:
            searched(**wishes)
        assert words in str(caught.value), wishes


def test_a_coarse_stage_keeps_the_best() -> None:
    vary = {f"{EXITS}.profit_frac": [0.1, 0.2, 0.3, 0.4, 0.5, 0.6], f"{EXITS}.stop_multiple": [0.5, 1, 2]}
    grid = parse_grid({"vary": vary, "min_trades": 1, "objective": "net_profit"}, "exits")
    config = markets.config_of(market__name="modelled", strategy__max_positions=1, strategy__entry__schedule="daily",
                               account__starting_cash=1e6)  # fmt: skip
    whole, _ = searched(grid, config)
    few, logged = searched(grid, config, coarse=4)
    assert 4 <= few.count() < 18 and logged == 18
    closed = whole.phases[0].figures[:, METRIC["expectancy"]] * whole.phases[0].figures[:, METRIC["trades"]]
    assert whole.phases[0].hashes[int(np.nanargmax(closed))] in few.phases[0].hashes


def test_what_a_coarse_stage_recommends_has_all_its_neighbours() -> None:
    """And as high a plateau as the full grid says of it; what takes all trials is unknown, not flattered."""
    vary = {f"{EXITS}.profit_frac": [0.1, 0.2, 0.3, 0.4, 0.5, 0.6], f"{EXITS}.stop_multiple": [0.5, 1, 2, 3],
            f"{EXITS}.max_hold_days": [0, 1, 2, 3, 5]}  # fmt: skip
    grid = parse_grid({"vary": vary, "min_trades": 1, "objective": "net_profit"}, "exits")
    config = markets.config_of(market__name="modelled", strategy__max_positions=1, strategy__entry__schedule="daily",
                               account__starting_cash=1e6)  # fmt: skip
    cash = cash_returns_of(markets.market("modelled"), config)
    whole, few = (findings_of(*searched(grid, config, coarse=coarse), cash) for coarse in (None, 3))
    assert few.found.coarse.beside > 0 and len(few.hashes) < len(whole.hashes)
    ground, own = few.found.phases[0].ground, few.recommended
    assert ground is not None and ground.whole[own] and not ground.whole.all()
    there = whole.hashes.index(few.hashes[own])
    beside = neighbours(ground_of(whole.found.phases[0].levels()), [there])
    assert {whole.hashes[i] for i in beside} <= set(few.hashes)
    gained = few.figures[own, METRIC["net_profit"]] > 0.0
    if gained and not np.isnan(whole.scores[beside]).any():
        assert few.robustness[own] == pytest.approx(whole.robustness[there], rel=1e-12)
    assert np.isnan(few.robustness[~ground.whole]).all()
    assert few.luck is not None and few.luck.pbo is None and whole.luck is not None and whole.luck.pbo is not None
    assert few.importances == [] and few.inert == []


def test_a_phase_that_cannot_run_from_what_was_chosen_ends_the_search_with_what_is_done() -> None:
    """Whatever the first phase chooses, one of its levels leaves the second nothing to try."""
    first = {"name": "first", "vary": {f"{EXITS}.profit_frac": [0.2, 0.4]}}
    for sign in ("<", ">"):
        later = {
            "name": "later",
            "vary": {f"{EXITS}.stop_multiple": [1, 2]},
            "where": [f"{EXITS}.profit_frac {sign} 0.3"],
        }
        found, _ = searched(parse_grid({"phases": [first, later], "min_trades": 1}, "test"))
        if found.failure is not None:
            break
    assert found.failure is not None and "leave no combination" in str(found.failure)
    assert not found.ended and [phase.phase.name for phase in found.phases] == ["first"] and found.count() == 2


def test_a_hopeless_later_phase_is_refused_before_the_first_runs() -> None:
    told: list[Progress] = []
    first = {"name": "first", "vary": {f"{EXITS}.profit_frac": [0.2, 0.4]}}
    later = {"name": "later", "vary": {f"{EXITS}.trail_giveback": [0.1, 0.2]}}
    with pytest.raises(ConfigError, match="phase later varies"):
        searched(parse_grid({"phases": [first, later]}, "test"), watch=told.append)
    assert not told


def test_a_space_too_large_to_list_is_searched_by_suggestions() -> None:
    pytest.importorskip("optuna")
    names = (f"{EXITS}.profit_frac", f"{EXITS}.stop_multiple", f"{ENTRY}.short_delta", f"{ENTRY}.skew_penalty")
    vary = {name: {"from": low, "to": high, "count": 40} for name, low, high in zip(
        names, (0.1, 1.0, 0.15, 0.0), (0.9, 5.0, 0.25, 1.0), strict=True)}  # fmt: skip
    found, _ = searched(parse_grid({"vary": vary, "min_trades": 1}, "large"), method="tpe", trials=20)
    assert found.count() == 20 == len(set(found.phases[0].hashes))


def test_a_walk_forward_whose_trainings_count_nothing_says_so() -> None:
    store, base = markets.market("years"), markets.config_of(market__name="years")
    grid = parse_grid({"vary": {f"{EXITS}.profit_frac": [0.3, 0.5]}, "min_trades": 10**6}, "walk")
    request, wanted = optimizer.Request(jobs=1), OutOfSample("rolling", 3)
    walked = optimizer.walk(store, base, grid, request, wanted, quiet)
    assert [step.counted for step in walked.steps] == [False] * 3 and walked.drift.kept is None
    findings = findings_of(*searched(grid, base, "years"), cash_returns_of(store, base))
    told = " ".join(out_of_sample(outputs.summary_value(findings, walked)))
    assert told.count("no trial counted, traded as the search began") == 3 and "kept the last choice" not in told


def test_walking_forward_searches_every_training_anew() -> None:
    store = markets.market("years")
    base = markets.config_of(market__name="years")
    grid = parse_grid({"vary": {"strategy.exits.profit_frac": [0.3, 0.5], "strategy.exits.stop_multiple": [1, 2]},
                       "min_trades": 3}, "walk")  # fmt: skip
    walked = optimizer.walk(store, base, grid, optimizer.Request(jobs=1), OutOfSample("rolling", 3), quiet)
    assert len(walked.steps) == 3 and walked.purge_days == 28 and walked.trials == 12
    cash = 2_500_000
    for step in walked.steps:
        assert step.start_cents == cash and step.train[1] < step.test[0]
        own = base.with_values(**{k.replace(".", "__"): v for k, v in step.settings.items()},
                               market__start=step.test[0], market__end=step.test[1],
                               account__starting_cash=cash / 100)  # fmt: skip
        from backtest_engine import run

        cash = int(run(store, own).equity[-1])
        assert int(step.equity[-1]) == cash
    assert int(walked.equity[-1]) == cash
    found, logged = searched(grid, base, "years")
    findings = findings_of(found, logged, cash_returns_of(store, base))
    validated = validated_of(findings, store, 5, 5)
    value = outputs.summary_value(findings, walked, validated)
    assert value["walk_forward"]["windows"][0]["train"] == walked.steps[0].train
    assert value["cross_validation"]["paths"] == 4


SCRIPT = """
import sys
from pathlib import Path
import optimizer
from core.search.grid import parse_grid
from tests import markets
from core.market.store import open_store
vary = {"profit_frac": {"from": 0.1, "to": 0.89, "step": 0.01}, "stop_multiple": [1, 2, 3]}
tree = {"vary": {"strategy": {"exits": vary}}, "min_trades": 1}
store = open_store(Path(sys.argv[1]))
base = markets.config_of(market__name="modelled")
found, logged = optimizer.search(store, base, parse_grid(tree, "kill"), optimizer.Request(jobs=2, resume=True),
                                 lambda p: print(p.done, flush=True))
print("end", found.count(), found.resumed, logged, flush=True)
"""


def kept(reports: Path, store_hash: str) -> list[bytes]:
    connection = sqlite3.connect(reports / "trials.sqlite")
    try:
        blobs = connection.execute("select hashes from finished where store = ?", (store_hash,)).fetchall()
    except sqlite3.OperationalError:
        return []
    finally:
        connection.close()
    return [part for (blob,) in blobs for part in parts_of(blob)]


@pytest.mark.slow
def test_kill_9_at_ten_random_moments_loses_and_repeats_nothing(reports: Path) -> None:
    store = markets.market("modelled")
    draw = random.Random(4)
    before = 0
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    for _ in range(10):
        process = subprocess.Popen(
            [sys.executable, "-c", SCRIPT, str(store.path)], stdout=subprocess.PIPE, env=environment, cwd=ROOT,
            start_new_session=True, text=True,
        )  # fmt: skip
        assert process.stdout is not None
        process.stdout.readline()  # it has begun to count
        time.sleep(draw.uniform(0.0, 0.02))
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
        done = kept(reports, store.hash)
        assert len(done) == len(set(done)) >= before  # whole pieces, none twice
        before = len(done)
    last = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(store.path)],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    word, count, resumed, logged = last.stdout.splitlines()[-1].split()
    assert (word, int(count), int(resumed), int(logged)) == ("end", 240, before, 240)
    done = kept(reports, store.hash)
    assert len(done) == len(set(done)) == 240
