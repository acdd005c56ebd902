"""optimize as the user types it: what it prints, writes and refuses."""

from __future__ import annotations

import errno
import json
import math
import os
from pathlib import Path

import pytest
import yaml

import main
from tests import markets

SMALL = """
vary:
  strategy.exits.profit_frac: [0.2, 0.4, 0.6]
  strategy.exits.stop_multiple: [1, 2]
min_trades: 2
"""


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A market, a grid and settings; reports go beside them."""
    monkeypatch.setenv("QMTF_REPORTS_DIR", str(tmp_path / "reports"))
    monkeypatch.setenv("QMTF_STORE_DIR", str(markets.market("modelled").path.parent))
    (tmp_path / "grid.yaml").write_text(SMALL, encoding="utf-8")
    settings = {key: value for key, value in markets.SHORT_LIVED.items()}
    (tmp_path / "settings.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    return tmp_path


def typed(desk: Path, *more: str) -> list[str]:
    given = [
        "optimize",
        "--market",
        "modelled",
        "--grid",
        str(desk / "grid.yaml"),
        "--config",
        str(desk / "settings.yaml"),
    ]
    return [*given, "--jobs", "1", *more]


def test_it_writes_a_folder_and_says_how_much_is_luck(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(typed(desk, "--out", str(desk / "run"), "--apply", str(desk / "mine.yaml"))) == 0
    shown = capsys.readouterr()
    assert "deflated Sharpe" in shown.out and "PBO" in shown.out and "recommended (best plateau):" in shown.out
    assert "6 of 6" in shown.err
    luck = json.loads((desk / "run" / "summary.json").read_text(encoding="utf-8"))["luck"]
    claim = luck["least_sessions_for_claim"]
    record = f"{luck['sessions']:,} sessions, " + (
        "no record is long enough for this claim"
        if claim is None
        else f"least record for this claim {math.ceil(claim):,}"
    )
    assert record in " ".join(shown.out.split()) and record in (desk / "run" / "optimize.html").read_text(
        encoding="utf-8"
    )
    assert luck["least_sessions_to_judge"] > 0.0
    names = {"trials.parquet", "top100.csv", "best.yaml", "manifest.json", "summary.json", "optimize.html"}
    assert {path.name for path in (desk / "run").iterdir()} == names
    assert yaml.safe_load((desk / "mine.yaml").read_text(encoding="utf-8"))["about"]
    manifest = json.loads((desk / "run" / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["logged_trials"] == 6 and manifest["settings_hash"]
    searched = manifest["search"]
    assert searched["phases"][0]["vary"]["strategy.exits.profit_frac"] == [0.2, 0.4, 0.6]
    assert (searched["method"], searched["min_trades"], searched["engine"]) == ("grid", 2, "local")


def test_what_it_recommends_runs_as_a_backtest_to_the_cent(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """best.yaml and what --apply writes are settings files as they are."""
    run = desk / "run"
    assert main.main(typed(desk, "--json", "--quiet", "--out", str(run), "--apply", str(desk / "mine.yaml"))) == 0
    wanted = json.loads(capsys.readouterr().out)["recommended"]["metrics"]
    for file in (run / "best.yaml", desk / "mine.yaml"):
        given = ["backtest", "--market", "modelled", "--config", str(file), "--report", "none", "--quiet", "--json"]
        assert main.main(given) == 0
        told = json.loads(capsys.readouterr().out)
        for key in ("net_profit", "max_drawdown", "trades"):
            assert told[key] == pytest.approx(wanted[key], abs=1e-9), (file, key)


def test_nothing_is_applied_where_nothing_is_recommended(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = typed(desk, "--quiet", "--report", "none", "--min-trades", "9999", "--apply", str(desk / "mine.yaml"))
    assert main.main(given) == 0
    assert "preset not written: no trial counted" in capsys.readouterr().out
    assert not (desk / "mine.yaml").exists()


def test_tries_count_where_none_of_them_counts(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(typed(desk, "--json", "--quiet", "--out", str(desk / "run"), "--min-trades", "9999")) == 0
    assert json.loads(capsys.readouterr().out)["luck"]["logged_trials"] == 6
    assert json.loads((desk / "run" / "manifest.json").read_text(encoding="utf-8"))["logged_trials"] == 6


def test_an_interrupted_walk_forward_keeps_the_search(
    desk: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    markets.market("years")
    monkeypatch.setattr("optimizer.walk", stopped)
    given = typed(desk, "--market", "years", "--quiet", "--out", str(desk / "run"), "--walk-forward", "anchored")
    assert main.main([*given, "--windows", "2"]) == 130
    assert "walk-forward: ended early (interrupted), and is left out" in capsys.readouterr().out
    told = json.loads((desk / "run" / "summary.json").read_text(encoding="utf-8"))
    assert told["ended"] and told["walk_forward"] is None and told["walk_forward_stopped"] == "interrupted"
    assert (desk / "run" / "optimize.html").exists()


def test_a_folder_that_stays_empty_goes(
    desk: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("optimizer.search", stopped)
    assert main.main(typed(desk, "--quiet", "--out", str(desk / "run"))) == 130
    assert not (desk / "run").exists()


def test_a_full_disk_is_one_line(
    desk: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("core.search.outputs.write_top", full)
    given = typed(desk, "--quiet", "--out", str(desk / "run"), "--apply", str(desk / "mine.yaml"))
    assert main.main(given) == 3
    there = {path.name for path in (desk / "run").iterdir()}
    assert there == {"best.yaml", "manifest.json", "summary.json", "trials.parquet", "optimize.html"}  # all others
    assert (desk / "mine.yaml").exists()
    shown = capsys.readouterr()
    assert shown.err.startswith("DataError: ") and "not all files could be written (No space left" in shown.err
    assert "recommended (best plateau):" in shown.out  # what was found is told all the same


def test_windows_of_a_walk_forward_count_as_tries(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Those of the very run that prints the verdict: the same command again counts no more."""
    markets.market("years")
    walked = ("--json", "--quiet", "--report", "none", "--walk-forward", "anchored", "--windows", "2")
    told = []
    for _ in range(2):
        assert main.main(typed(desk, "--market", "years", *walked)) == 0
        told.append(json.loads(capsys.readouterr().out)["luck"]["logged_trials"])
    assert told[0] == told[1] >= 6 + 2 * 6


def test_a_setting_that_the_grid_varies_is_told_to_be_set_in_vain(
    desk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path, told in (("strategy.exits.profit_frac", True), ("strategy.max_positions", False)):
        value = "0.5" if told else "2"
        assert main.main(typed(desk, "--report", "none", "--set", f"{path}={value}")) == 0
        assert (f"{path} is varied by the grid: what --set gives has no effect" in capsys.readouterr().err) == told


def test_its_json_is_one_object(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(typed(desk, "--json", "--report", "none", "--quiet", "--resume")) == 0
    shown = capsys.readouterr()
    value = json.loads(shown.out)
    assert value["trials"] == 6 and value["luck"]["verdict"] in ("overfit", "not overfit", "undecided")
    assert value["recommended"]["metrics"]["trades"] >= 2 and shown.err == ""


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--grid", "nothing"], "unknown grid 'nothing'"),
        (["--method", "gird"], "did you mean 'grid'"),
        (["--objective", "sharp"], "did you mean 'sharpe'"),
        (["--objective", "nothing"], "(there are: net_profit, "),
        (["--limit", "sharpe = 3"], "as 'max_drawdown_pct <= 20'"),
        (["--limit", "sharp > 3"], "unknown metric 'sharp'; did you mean 'sharpe'?"),
        (["--jobs", "0"], "--jobs is 0"),
        (["--apply", "config.py"], "never your config.py"),
        (["--apply", "/dev/null/mine.yaml"], "no folder that can be written into"),
        (["--out", "/dev/null/run"], "--out /dev/null/run: cannot be written"),
        (["--out", "."], "already holds files"),
        (["--trials", "5"], "grid runs all combinations"),
        (["--address", "here:1"], "add --engine ray"),
        (["--windows", "3"], "add --walk-forward"),
        (["--embargo", "3"], "add one of them"),
        (["--report", "pdf"], "--report is 'pdf'"),
        (["--walk-forward", "sideways"], "give anchored or rolling"),
        (["--walk-forward", "rolling", "--windows", "500"], "give fewer --windows"),
        (["--cross-validate", "1"], "test fewer than all"),
        (["--cross-validate", "8", "--grid", "classic"], "grids of one phase"),
        (["--coarse", "5", "--limit", "trades >= 3"], "leave out one of the two"),
        (["--cross-validate", "4", "--embargo", "-1"], "--embargo is -1"),
        (["--cross-validate", "4", "--coarse", "3", "--set", "strategy.max_positions=1"], "takes all trials"),
        (["--coarse", "0"], "--coarse is 0"),
        (["--coarse", "3"], "one position at a time, and not strategy.max_positions above 1"),
        (["--min-trades", "-1"], "--min-trades is -1"),
    ],
)
def test_mistakes_are_one_line(desk: Path, capsys: pytest.CaptureFixture[str], more: list[str], words: str) -> None:
    """And are found before anything runs."""
    assert main.main(typed(desk, *more)) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert lines[-1].startswith("ConfigError: ") and words in lines[-1]
    assert not any("trials/s" in line for line in lines)
