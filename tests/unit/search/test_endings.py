"""How a search ends and what it leaves: with steps from its choice, interrupted, out of room, by a damaged file."""

from __future__ import annotations

import errno
import io
import math
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import optimizer
from backtest_engine import run
from core.config import PRESETS
from core.errors import ConfigError, DataError
from core.report.measure import measure
from core.search import database as database_module
from core.search.database import Database, results_hash
from core.search.evaluate import cash_returns_of
from core.search.findings import findings_of
from core.search.grid import parse_grid
from core.search.patience import PATIENCE
from core.search.progress import ProgressLine
from core.search.ray_engine import check_answers
from core.search.records import Progress
from core.search.request import OutOfSample
from core.search.shapes import Neighbour, robustness_with, shape_of
from core.trials import METRIC
from tests import markets
from tests.unit.search.test_search import ENTRY, EXITS, TREE, quiet, reports, searched

__all__ = ["reports"]  # a fixture that every test here has


def test_the_recommended_trial_is_stepped_from_along_settings_of_every_phase() -> None:
    """A plateau of the last phase may stand on a spike of an earlier one; each step is a backtest of its own."""
    found, logged = searched()
    assert {step.name for step in found.beyond} == {f"{EXITS}.profit_frac", f"{EXITS}.stop_multiple"}
    findings = findings_of(found, logged, cash_returns_of(markets.market("modelled"), found.base))
    assert findings.shape is not None and set(findings.shape.survives) == {
        *TREE["phases"][0]["vary"],
        *TREE["phases"][1]["vary"],
    }
    stop = f"{EXITS}.stop_multiple"
    (step,) = (step for step in found.beyond if step.name == stop)
    other = {1.0: 2, 2.0: 1}[found.recommended[stop]]
    own = found.recommended.with_values(strategy__exits__stop_multiple=other)
    figures = measure(run(markets.market("modelled"), own)).metrics
    assert step.objective == pytest.approx(figures["net_profit"] / max(figures["max_drawdown"], 0.01), rel=1e-12)


def test_settings_of_a_phase_in_which_nothing_counted_are_stepped_along_too() -> None:
    """Not called a plateau in every direction, nor settings that change nothing, where nothing had traded."""
    first = {
        "name": "shut",
        "vary": {f"{EXITS}.profit_frac": [0.3, 0.5, 0.7]},
        "set": {"strategy.filters.vix_max": 1.0},
    }
    later = {"name": "open", "vary": {"strategy.filters.vix_max": [100.0, 150.0]}}
    grid = parse_grid({"phases": [first, later], "min_trades": 1, "objective": "net_profit"}, "shut")
    found, logged = searched(grid)
    assert [step.name for step in found.beyond] == [f"{EXITS}.profit_frac"] * 2
    for step, frac in zip(found.beyond, (0.3, 0.7), strict=True):
        own = found.recommended.with_values(strategy__exits__profit_frac=frac)
        net = measure(run(markets.market("modelled"), own)).metrics["net_profit"]
        assert step.objective == pytest.approx(net, abs=1e-6)
    findings = findings_of(found, logged, cash_returns_of(markets.market("modelled"), found.base))
    assert f"{EXITS}.profit_frac" not in findings.inert
    assert findings.shape is not None and f"{EXITS}.profit_frac" in findings.shape.survives


def test_no_step_goes_where_a_phase_forbids_and_what_has_none_is_named() -> None:
    first = {"name": "a", "vary": {f"{EXITS}.profit_frac": [0.2, 0.4], f"{EXITS}.stop_multiple": [1, 2]}}
    later = {"name": "b", "vary": {f"{ENTRY}.short_delta": [0.12, 0.16]}, "where": [f"{EXITS}.stop_multiple >= CHOSEN"]}
    chosen = searched(parse_grid({"phases": [first], "min_trades": 1}, "a"))[0].recommended[f"{EXITS}.stop_multiple"]
    sign = ">= 2" if chosen == 2.0 else "<= 1"
    later["where"] = [f"{EXITS}.stop_multiple {sign}"]
    found, logged = searched(parse_grid({"phases": [first, later], "min_trades": 1}, "test"))
    assert [step.name for step in found.beyond] == [f"{EXITS}.profit_frac"]
    findings = findings_of(found, logged, cash_returns_of(markets.market("modelled"), found.base))
    assert findings.shape is not None and "no step along stop_multiple was tried" in findings.shape.words
    assert "in every direction" not in findings.shape.words


def test_a_step_beyond_that_ruins_the_trial_is_no_plateau() -> None:
    levels, scores = {"b.y": [0, 1, 2]}, [2.0, 2.1, 2.0]
    assert shape_of(levels, scores, 1).word == "plateau"
    for objective in (0.1, math.nan):  # nan: does not count
        beyond = (Neighbour("a.x", objective),)
        shape = shape_of(levels, scores, 1, beyond)
        assert shape.word == "ridge" and shape.across == ("a.x",) and "breaks along x" in shape.words
        assert robustness_with(levels, scores, 1, beyond) < robustness_with(levels, scores, 1, ())


def test_a_walk_forward_takes_settings_that_a_later_phase_sets_over_an_earlier_one() -> None:
    store, base = markets.market("years"), markets.config_of(market__name="years")
    first = {"name": "a", "vary": {f"{EXITS}.profit_frac": [0.3, 0.7]}}
    later = {"name": "b", "vary": {f"{EXITS}.stop_multiple": [1, 2]}, "set": {f"{EXITS}.profit_frac": 0.5}}
    grid = parse_grid({"phases": [first, later], "min_trades": 1}, "walk")
    walked = optimizer.walk(store, base, grid, optimizer.Request(jobs=1), OutOfSample("rolling", 2), quiet)
    assert walked.drift.mean_steps[f"{EXITS}.profit_frac"] == 0.0
    assert all(step.settings[f"{EXITS}.profit_frac"] == 0.5 for step in walked.steps)


def test_interrupting_between_phases_keeps_those_that_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def space(phase: Any, base: Any) -> Any:
        seen.append(phase.name)
        if phase.name == "entries" and seen.count("entries") > 1:  # the first look is that ahead of all phases
            raise KeyboardInterrupt
        return original(phase, base)

    original = optimizer.Space
    monkeypatch.setattr(optimizer, "Space", space)
    seen.append("entries")
    found, _ = searched()
    assert not found.ended and found.failure is None and [phase.phase.name for phase in found.phases] == ["exits"]


def test_an_interrupted_search_says_no_more_of_neighbours_than_it_knows() -> None:
    """Trials whose neighbours had not run have no robustness, and are not recommended."""

    def stop(progress: Progress) -> None:
        if progress.done >= 8:
            raise KeyboardInterrupt

    vary = {f"{EXITS}.profit_frac": [0.1, 0.2, 0.3, 0.4, 0.5, 0.6], f"{EXITS}.stop_multiple": [0.5, 1, 2, 3]}
    found, logged = searched(parse_grid({"vary": vary, "min_trades": 1}, "cut"), watch=stop)
    phase = found.phases[0]
    assert not found.ended and 8 <= found.count() < 24
    assert phase.ground is not None and not phase.ground.whole.all()
    findings = findings_of(found, logged, cash_returns_of(markets.market("modelled"), found.base))
    assert np.isnan(findings.robustness[~phase.ground.whole]).all()
    assert phase.chosen < 0 or phase.ground.whole[phase.chosen]


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


@pytest.fixture
def listening() -> Iterator[None]:
    """Ctrl-C raises here as in a terminal, also where the tests themselves run in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_started_deaf_it_stays_deaf() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with PATIENCE.in_force() as patience, PATIENCE.hearing():
            interrupt()
            assert patience.asked == 0
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("listening")
def test_ctrl_c_is_heard_where_trials_run_and_waits_elsewhere() -> None:
    """Once: a second one while results are put away is not heard, a third is."""
    with PATIENCE.in_force() as patience:
        interrupt()  # between trials: waits
        with pytest.raises(KeyboardInterrupt), PATIENCE.hearing():
            pytest.fail("trials ran after Ctrl-C")
        assert patience.asked == 1
    with PATIENCE.in_force() as patience:
        with pytest.raises(KeyboardInterrupt), PATIENCE.hearing():
            interrupt()
        interrupt()
        with pytest.raises(KeyboardInterrupt):
            interrupt()
    with pytest.raises(KeyboardInterrupt):
        interrupt()  # as ever


@pytest.mark.usefixtures("listening")
def test_ctrl_c_twice_keeps_what_is_done() -> None:
    def stop(progress: Progress) -> None:
        if progress.done >= 3:
            threading.Timer(0.01, interrupt).start()
            interrupt()

    with PATIENCE.in_force() as patience:
        found, logged = searched(jobs=2, watch=stop)
        while patience.asked < 2:  # the second one may come after the search has ended
            time.sleep(0.001)
    assert not found.ended and found.count() >= 3 and logged >= found.count()


def test_no_room_to_keep_trials_ends_a_search_with_what_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    keep, calls = Database.keep, []

    def full(self: Database, *given: Any) -> None:
        calls.append(1)
        if len(calls) > 1:
            raise DataError("trials.sqlite: cannot be used (database or disk is full)")
        keep(self, *given)

    monkeypatch.setattr(Database, "keep", full)
    found, _ = searched(parse_grid({"vary": {f"{EXITS}.profit_frac": [i / 100 for i in range(10, 40)]}}, "full"))
    assert not found.ended and isinstance(found.failure, DataError) and 0 < found.count() < 30


def test_a_database_damaged_inside_is_named(reports: Path) -> None:
    searched()
    path = reports / "trials.sqlite"
    data = bytearray(path.read_bytes())
    for page in range(4096, len(data), 4096):
        data[page : page + 64] = b"\xa5" * 64
    path.write_bytes(data)
    found, _ = searched(resume=True)
    assert not found.ended and isinstance(found.failure, DataError) and "move it away" in str(found.failure)


def test_a_preset_of_ones_own_leaves_finished_trials_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`--apply` writes one after each search."""
    tables = tmp_path / "presets"
    for path in PRESETS.rglob("*.yaml"):
        (tables / path.relative_to(PRESETS)).parent.mkdir(parents=True, exist_ok=True)
        (tables / path.relative_to(PRESETS)).write_bytes(path.read_bytes())
    monkeypatch.setattr(database_module, "PRESETS", tables)
    before = results_hash.__wrapped__()
    (tables / "strategy" / "mine.yaml").write_text("about: mine\n", encoding="utf-8")
    assert results_hash.__wrapped__() == before
    (tables / "fees.yaml").write_text("none: {}\n", encoding="utf-8")
    assert results_hash.__wrapped__() != before


def test_limits_of_the_grid_and_of_the_command_hold_together_and_draws_have_a_seed() -> None:
    grid = parse_grid({"vary": {f"{EXITS}.profit_frac": [i / 100 for i in range(10, 40)]}, "min_trades": 0,
                       "limits": ["max_drawdown_pct <= 90"]}, "limits")  # fmt: skip
    first, _ = searched(grid, method="random", trials=5, limits=("trades >= 1",))
    assert [limit.metric for limit in first.plan.wish.limits] == ["max_drawdown_pct", "trades"]
    again, _ = searched(grid, method="random", trials=5)
    other, _ = searched(grid, method="random", trials=5, draw_seed=99)
    assert first.phases[0].hashes == again.phases[0].hashes != other.phases[0].hashes


def test_where_no_cluster_listens_it_is_said_at_once() -> None:
    with pytest.raises(ConfigError, match="no Ray cluster answers"):
        check_answers("127.0.0.1:1")
    check_answers("auto")


def test_nobody_to_tell_is_no_reason_to_stop() -> None:
    class Full(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    line = ProgressLine(Full())
    for done in (1, 2, 3):
        line(Progress("exits", done, 3, 1.0, 0, None))
    line.close()
    assert line.deaf


def test_a_later_phase_that_counts_nothing_is_no_reason_to_fail() -> None:
    later = {"name": "none", "vary": {f"{ENTRY}.short_delta": [0.12, 0.16]}, "set": {"strategy.max_positions": 1}}
    tree = {**TREE, "phases": [TREE["phases"][0], later], "limits": ["trades >= 25"], "min_trades": 0}
    found, logged = searched(parse_grid(tree, "test"))
    findings = findings_of(found, logged, cash_returns_of(markets.market("modelled"), found.base))
    assert findings.figures[:, METRIC["trades"]].max() > 0
