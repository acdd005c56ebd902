"""Every example that --help shows is run: on a short market under the embedded one's name, with files beside it.

What needs an account or a recorded day ends with the exit code and the line that say so.
"""

import argparse
import json
import re
import shlex

import pytest

import main
from core.jit import ROOT
from core.market import catalog
from core.report import folder as run_files
from tests import markets
from tests.unit.test_importers import bar_table, chain_table

CREDENTIALS, JOURNAL = 8, 7
# Examples that cannot end well on a machine without keys, recordings or the reader's own runs.
ENDS = {"data download": (CREDENTIALS, "APCA_API_KEY_ID"), "parity": (JOURNAL, "no journal below")}


def examples():
    """(command, its words) of each parser's epilog."""
    found = {}

    def walk(name, parser):
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                for word, below in action.choices.items():
                    walk(f"{name} {word}".strip(), below)
        if name:
            found[name] = re.search(r"python main\.py (.*?)\)?\"?$", parser.epilog).group(1)

    walk("", main.build_parser())
    return found


def test_every_command_shows_an_example_of_itself():
    found = examples()
    assert set(main.COMMANDS) <= set(found)
    for name, text in found.items():
        assert text.startswith(name), (name, text)


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    """A folder with a short market called history, the files that examples name, and reports of two runs."""
    folder = tmp_path_factory.mktemp("desk")
    store = markets.modelled_store(folder / "store", 78, name="history", first="2017-11-27")
    (store.path / "recipe.txt").write_text(catalog.recipe(382), encoding="utf-8")
    naive = bar_table(["2025-11-24", "2025-11-25"]).assign(timestamp=lambda t: t.timestamp.dt.tz_localize(None))
    naive.to_csv(folder / "spy_5min.csv", index=False)
    chain_table(["2025-11-24", "2025-11-25"]).to_csv(folder / "chain.csv", index=False)
    (folder / "data").mkdir()
    (folder / "data" / "grids").symlink_to(ROOT / "data" / "grids")
    return folder


@pytest.fixture
def at_the_desk(desk, monkeypatch):
    monkeypatch.setattr("core.config.ROOT", desk)
    monkeypatch.setattr(run_files, "ROOT", desk)
    monkeypatch.setenv("QMTF_STORE_DIR", str(desk / "store"))
    monkeypatch.setenv("QMTF_LIVE_HOME", str(desk / "live"))
    for name in ("APCA_API_KEY_ID", "APCA_API_SECRET_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(desk)
    return desk


def run_ids(desk):
    return sorted(path.parent.name for path in (desk / "reports").glob("*-backtest-*/manifest.json"))


@pytest.mark.parametrize("name", [n for n in examples() if n not in ("live",)])
def test_the_example_does_what_it_says(name, at_the_desk, capsys):
    words = shlex.split(examples()[name])
    if "--start" in words and name == "backtest":
        words[words.index("--start") + 1] = "2017-12-01"
    if name == "optimize":
        words += ["--start", "2018-01-16"]
    if name in ("report", "compare", "lookahead", "explain", "stress") and len(run_ids(at_the_desk)) < 2:
        for frac in ("0.5", "0.4"):
            command = ["backtest", "--report", "none", "--quiet", "--set", f"strategy.exits.profit_frac={frac}"]
            assert main.main(command) == 0
    mine = iter(run_ids(at_the_desk))
    words = [next(mine) if re.fullmatch(r"\d{8}T\d{6}Z-backtest-\w{6}", word) else word for word in words]
    code, text = ENDS.get(name, (0, ""))
    shown = capsys.readouterr()
    assert main.main([*words, *(["--days", "20", "--paths", "20"] if name == "stress" else [])]) == code
    shown = capsys.readouterr()
    assert text in shown.err if code else shown.out.strip(), shown.err


def test_json_is_one_object_alone_wherever_it_is_asked_for(at_the_desk, capsys):
    assert main.main(["backtest", "--report", "none", "--json"]) == 0
    capsys.readouterr()
    for text in ("runs", "doctor", "config check", "config schema", "data list", "data describe history"):
        words = text.split()
        assert main.main([*words, "--json"]) == 0, words
        assert isinstance(json.loads(capsys.readouterr().out), dict), words
