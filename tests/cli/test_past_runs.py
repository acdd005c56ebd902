"""`lookahead` and `explain`: commands about a run made before, found by id, by folder or as the newest."""

import json

import numpy as np
import pytest

import main
from core.report import folder as run_files
from core.types import SIGNAL
from tests import markets

USAGE, DATA = 2, 3


@pytest.fixture
def run_id(backtest):
    """The id of a backtest made before."""
    return backtest()


def test_an_honest_run_is_clean_and_json_is_one_object_alone(run_id, said):
    shown = said("lookahead", "--run", run_id, "--cuts", "3", "--quiet")
    assert shown.err == ""
    assert shown.out.endswith("no look-ahead found in 3 cuts\n")
    value = json.loads(said("lookahead", "--cuts", "3", "--json").out)
    assert value["clean"] and value["run"] == run_id and value["changed"] == []


def test_a_run_that_peeks_is_named_with_exit_code_3(run_id, monkeypatch, said):
    import strategies.view

    honest = strategies.view.view_of

    def peeking(market, columns, values, always=False):
        seen = honest(market, columns, values, always=always)
        signal = seen.signal.copy()
        signal[SIGNAL["adx"]] = np.r_[signal[SIGNAL["adx"]][1:], np.nan]
        signal.flags.writeable = False
        return seen._replace(signal=signal)

    monkeypatch.setattr("backtest_engine.view_of", peeking)
    shown = said("lookahead", "--run", run_id, "--cuts", "2", "--quiet", code=DATA)
    assert shown.out.splitlines()[-1].startswith("signal adx ")
    assert shown.err.startswith(f"DataError: {run_id} looks ahead: signal adx;")
    assert shown.err.count("\n") == 1
    shown = said("lookahead", "--run", run_id, "--cuts", "2", "--json", "--quiet", code=DATA)
    assert [c["what"] for c in json.loads(shown.out)["changed"]] == ["signal adx"]


def test_a_decision_is_explained_in_words_and_as_json(run_id, reports, said):
    lines = said("explain", "--at", "2025-11-10 15:45").out.splitlines()
    assert lines[0].startswith("2025-11-10 15:45 New York, carried row ")
    assert any(line.startswith("signals  ") for line in lines)
    value = json.loads(said("explain", "--run", str(reports / run_id), "--at", "2025-11-10 15:47", "--json").out)
    assert (value["run"], value["time"]) == (run_id, "2025-11-10T15:45:00-05:00")
    assert value["words"] in lines[2]


def test_without_a_run_or_with_a_wrong_one_the_error_says_what_there_is(reports, said):
    assert "make one with `python main.py backtest`" in said("lookahead", code=DATA).err
    shown = said("explain", "--run", "20200101T000000Z-backtest-abcdef", "--at", "2025-11-10", code=DATA)
    assert "none in" in shown.err


def test_an_unknown_run_is_answered_with_the_newest(run_id, said):
    shown = said("lookahead", "--run", "yesterday", code=DATA)
    assert shown.err == f"DataError: no run 'yesterday' (newest backtests: {run_id})\n"
    assert f"did you mean '{run_id}'?" in said("lookahead", "--run", run_id[:-1], code=DATA).err


MISTAKES = [
    (["lookahead", "--cuts", "0"], USAGE, "give 1 to 1000"),
    (["lookahead", "--cuts", "many"], USAGE, "many"),
    (["explain"], USAGE, "--at"),
    (["explain", "--at", "noon"], USAGE, "2018-02-05 15:45"),
    (["explain", "--at", "2025-11-03 09:00"], DATA, "begins at 2025-11-03 09:35"),
]


@pytest.mark.parametrize(("command", "code", "words"), MISTAKES)
def test_a_mistake_is_one_line_with_its_exit_code(command, code, words, run_id, said):
    shown = said(*command, "--json", code=code)
    assert shown.out == ""
    assert shown.err.count("\n") == 1
    assert words in shown.err


def changed_manifest(reports, run_id, change):
    path = reports / run_id / "manifest.json"
    manifest = json.loads(path.read_text(encoding="utf-8"))
    change(manifest)
    path.write_text(json.dumps(manifest), encoding="utf-8")


def test_another_code_version_is_a_warning(run_id, reports, said):
    changed_manifest(reports, run_id, lambda m: m.update(code_version="0123456789ab"))
    shown = said("explain", "--at", "2025-11-10 15:45")
    assert shown.err.startswith(f"! {run_id} was made by code version 0123456789ab")
    assert said("explain", "--at", "2025-11-10 15:45", "--quiet").err == ""


BROKEN = {
    "is not the one of the run": lambda m: m.update(store_hash="0" * 64),
    "other settings (costs.fill, 1 in all)": lambda m: m["settings"].pop("costs.fill"),
    "other settings (costs.luck, 1 in all)": lambda m: m["settings"].update({"costs.luck": {"value": 1, "source": ""}}),
    "not a backtest's manifest": lambda m: m.pop("settings"),
}


@pytest.mark.parametrize("words", BROKEN)
def test_a_run_that_cannot_be_made_again_is_a_data_error(words, run_id, reports, said):
    changed_manifest(reports, run_id, BROKEN[words])
    shown = said("explain", "--at", "2025-11-10 15:45", code=DATA)
    assert words in shown.err
    assert shown.out == ""


@pytest.mark.parametrize("command", ["lookahead", "explain"])
def test_help_shows_an_example(command, capsys):
    with pytest.raises(SystemExit) as stop:
        main.main([command, "--help"])
    assert stop.value.code == 0
    assert "example: python main.py" in capsys.readouterr().out
