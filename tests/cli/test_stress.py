"""`stress`: what it prints, writes and refuses."""

import json
import subprocess
import sys

import pytest

import main
from core.config import ROOT
from core.errors import ConfigError
from core.report import folder as run_files
from tests import markets

USAGE, DATA = 2, 3
SETS = [item for path, value in markets.SHORT_LIVED.items() for item in ("--set", f"{path}={value}")]
SMALL = ["--market", "carried", *SETS, "--generated", "2", "--days", "10", "--paths", "40"]
PICTURES = {f"stress-{name}.png" for name in ("shocks", "grid", "reruns", "chance")}

pytestmark = pytest.mark.usefixtures("reports")


def test_a_stress_writes_its_folder_and_json_is_one_object_alone(reports, said):
    shown = said("stress", *SMALL, "--json", "--quiet")
    assert shown.err == ""
    value = json.loads(shown.out)
    folder = reports / value["run_id"]
    assert "-stress-" in folder.name
    names = {path.name for path in folder.iterdir()}
    assert names == {"stress.json", "manifest.json", "report.html", "equity.png", *PICTURES}
    written = json.loads((folder / "stress.json").read_text(encoding="utf-8"))
    assert written == {k: v for k, v in value.items() if k not in ("run_id", "folder")}
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["stress"]["paths"] == 40 and manifest["stress"]["seed"] == 7
    assert manifest["store_hash"] == markets.market("carried").hash and manifest["stressed_run"] is None
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert 'id="stress"' in page and "The strategy run again" in page and "1987-10-19, close to close" in page


def test_the_summary_says_everything_once_for_people(said):
    lines = said("stress", *SMALL, "--report", "none").out.splitlines()
    for start in ("book of ", "moves of the past", "worst of 455 cells", "the strategy run again", "40 paths of 10"):
        assert sum(line.startswith(start) for line in lines) == 1, start
    assert any(line.startswith("2 generated markets") and "MODELLED" in line for line in lines)
    assert max(map(len, lines[:-1])) <= 120


def test_two_equal_stresses_are_equal_bytes(tmp_path, said):
    for name in "ab":
        said("stress", *SMALL, "--quiet", "--out", str(tmp_path / name))
    for path in sorted((tmp_path / "a").iterdir()):
        if path.name != "manifest.json":
            assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes(), path.name


def test_a_run_already_made_is_stressed_and_the_backtests_page_tells_of_its_riskiest_book(reports, said):
    made = json.loads(said("backtest", "--market", "carried", *SETS, "--json", "--quiet").out)
    page = (reports / made["run_id"] / "report.html").read_text(encoding="utf-8")
    assert 'id="stress"' in page and "figure-stress_grid_1" in page and "The strategy run again" not in page
    options = ["--generated", "1", "--days", "5", "--paths", "9", "--report", "none", "--json", "--quiet"]
    value = json.loads(said("stress", "--run", made["run_id"], *options).out)
    assert value["reruns"][0]["net_profit"] == pytest.approx(made["net_profit"], abs=0.01)
    manifest = json.loads((reports / value["run_id"] / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["stressed_run"] == made["run_id"]


def test_at_chooses_the_moment(said):
    riskiest = json.loads(said("stress", *SMALL, "--report", "none", "--json", "--quiet").out)["book"]
    later = riskiest["time"][:10] + " 15:59"
    value = json.loads(said("stress", *SMALL, "--at", later, "--report", "none", "--json", "--quiet").out)
    assert value["book"]["chosen"] == "asked for by --at"
    assert value["book"]["time"][:10] == riskiest["time"][:10]


MISTAKES = [
    (["--paths", "0"], USAGE, "--paths is 0; give 1 to 20000"),
    (["--generated", "1001"], USAGE, "--generated is 1001"),
    (["--days", "4"], USAGE, "--days is 4"),
    (["--ruin", "1"], USAGE, "0 <= x < 1"),
    (["--report", "pdf"], USAGE, "html, none"),
    (["--at", "noon"], USAGE, "2018-02-05 15:45"),
    (["--at", "2020-01-02"], DATA, "give a later --at"),
    (["--at", "2025-11-03 09:40"], DATA, "no structure is open at 2025-11-03 09:40; the largest open risk is at 2025-"),
    (["--set", "strategy.filters.vix_max=0.001", "--set", "strategy.filters.vix_min=0"], DATA, "opened no structure"),
    (["--run", "yesterday", "--market", "carried"], USAGE, "leave out --market, --set"),
]


@pytest.mark.parametrize(("options", "code", "words"), MISTAKES)
def test_a_mistake_is_one_line_with_its_exit_code(options, code, words, said):
    shown = said("stress", *SMALL, *options, "--json", "--quiet", code=code)
    assert shown.out == ""
    assert shown.err.count("\n") == 1
    assert words in shown.err


def test_an_unknown_run_is_a_data_error(said):
    assert "no run 'yesterday'" in said("stress", "--run", "yesterday", code=DATA).err


def test_help_shows_an_example_and_the_classic_script_is_the_same_door(capsys):
    with pytest.raises(SystemExit) as stop:
        main.main(["stress", "--help"])
    assert stop.value.code == 0
    shown = capsys.readouterr().out
    assert "example: python main.py stress" in shown
    script = [sys.executable, "scripts/backtest/run_stress_test.py", "--help"]
    done = subprocess.run(script, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "python main.py stress" in done.stdout


def test_settings_that_generated_markets_cannot_follow_are_said_and_the_rest_is_told(tmp_path, monkeypatch, said):
    def refuses(*_args):
        raise ConfigError("account.cash_yield is tbill, but these markets hold no rates")

    monkeypatch.setattr("core.stress.whole.generated", refuses)
    options = ["--market", "carried", *SETS, "--days", "5", "--paths", "9", "--out", str(tmp_path / "out")]
    lines = said("stress", *options, "--quiet").out.splitlines()
    assert any(line.startswith("generated markets: not run, account.cash_yield is tbill") for line in lines)
    assert (tmp_path / "out" / "stress-chance.png").exists()
    assert "not run: account.cash_yield" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
