"""`report`, `compare`, `runs`, `doctor`, `completion`: on runs made before, and on this machine."""

import json
import re
import shutil
import subprocess

import numpy as np
import pytest

import main
from core.report import doctor, shelf
from core.report import folder as run_files
from tests import markets

USAGE, DATA = 2, 3


def test_a_report_made_again_is_the_same_to_the_byte_and_knows_no_clock(reports, said, backtest):
    run = backtest(report="html,pdf")
    first = {name: (reports / run / name).read_bytes() for name in ("report.html", "report.pdf", "equity.png")}
    shown = said("report", run, "--quiet")
    assert shown.out.splitlines() == [str(reports / run / f"report.{face}") for face in ("html", "pdf")]
    for name, content in first.items():
        assert (reports / run / name).read_bytes() == content, name
    assert 6 <= len(re.findall(rb"/Type /Page\b", first["report.pdf"])) <= 10
    manifest = json.loads((reports / run / "manifest.json").read_text())
    for text in (run, manifest["started"]):
        assert text.encode() not in first["report.pdf"] + first["report.html"]
    assert b"CreationDate" not in first["report.pdf"]


def test_another_face_goes_where_it_is_asked_for(reports, tmp_path, said, backtest):
    run = backtest()
    out = tmp_path / "elsewhere"
    said("report", run, "--report", "html", "--tax", "0.3,0.1", "--out", str(out), "--quiet")
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "After tax" in page and not (out / "report.pdf").exists() and not (reports / run / "report.html").exists()
    assert "give html, pdf" in said("report", run, "--report", "none", code=USAGE).err
    assert "give html, pdf" in said("report", run, "--report", "docx", code=USAGE).err


def test_a_run_that_comes_to_other_money_is_not_reported_as_it_was(reports, said, backtest):
    run = backtest()
    path = reports / run / "metrics.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "net_profit": 1.0}))
    assert "makes another run" in said("report", run, "--quiet", code=DATA).err


def test_runs_side_by_side_name_what_differs_and_how_sure_it_is(reports, said, backtest):
    a, b = backtest(), backtest("--set", "strategy.exits.profit_frac=0.2")
    value = json.loads(said("compare", a, b, "--json").out)
    assert value["settings"] == {"strategy.exits.profit_frac": [0.5, 0.2]}
    assert value["figures"]["net_profit"][0] == json.loads((reports / a / "metrics.json").read_text())["net_profit"]
    only = value["differences"][0]
    assert only["run"] == b and only["sessions"] == 26 and only["low"] is None and value["same_market"]
    shown = said("compare", a, b, b).out
    assert shown.count("quotes: real") == 3
    assert "B - A  n/a: too few sessions" in shown and "partly luck" in shown and "strategy.exits.profit_frac" in shown
    assert "two runs or more" in said("compare", a, code=USAGE).err
    assert "no run 'nothing'" in said("compare", a, "nothing", code=DATA).err


def made_run(reports, name, returns):
    """A run folder of a hundred sessions with these daily returns."""
    folder = reports / name
    folder.mkdir(parents=True)
    facts = {
        "settings": {},
        "settings_hash": "aa",
        "store_hash": "bb",
        "code_version": "cc",
        "market": "made",
        "quotes": "real",
    }
    (folder / "manifest.json").write_text(json.dumps(facts))
    (folder / "metrics.json").write_text(json.dumps({"starting_cash": 1000.0, "net_profit": 0.0}))
    days = np.arange(np.datetime64("2020-01-01"), np.datetime64("2020-01-01") + len(returns))
    equity = 1000.0 * np.cumprod(1.0 + np.asarray(returns))
    lines = [f"{day}T16:00:00-05:00,{value!r}" for day, value in zip(days, equity.tolist(), strict=True)]
    (folder / "equity.csv").write_text("\n".join(["time,equity", *lines]) + "\n")
    return name


def test_a_difference_has_an_interval_about_its_mean_and_none_is_none(reports, said):
    draw = np.random.default_rng(1).normal(0.0, 0.01, 100)
    a, b = made_run(reports, "a", draw), made_run(reports, "b", draw + 0.001)
    c = made_run(reports, "c", draw + np.random.default_rng(2).normal(0.0, 0.01, 100))
    found = json.loads(said("compare", a, a, b, c, "--json").out)["differences"]
    same, more, noise = found
    assert same["annual_return"] == 0.0 and same["p_value"] == 1.0
    assert more["low"] == pytest.approx(0.252) == more["annual_return"] and more["p_value"] < 0.01
    assert noise["low"] < 0.0 < noise["high"] and noise["low"] < noise["annual_return"] < noise["high"]


def test_runs_are_listed_sorted_and_deleted_after_a_yes(reports, monkeypatch, said, backtest):
    assert "no runs in" in said("runs").out
    a, b = backtest(), backtest("--set", "strategy.exits.profit_frac=0.2")
    (reports / "no-run").mkdir()
    value = json.loads(said("runs", "--sort", "net_profit", "--json").out)
    nets = [run["net_profit"] for run in value["runs"]]
    assert nets == sorted(nets, reverse=True) and {run["run"] for run in value["runs"]} == {a, b}
    assert said("runs", "--command", "optimize").out.startswith("no runs")
    assert "and 1 more" in said("runs", "--limit", "1").out
    assert "did you mean 'sharpe'" in said("runs", "--sort", "shape", code=USAGE).err
    assert "no terminal" in said("runs", "--delete", a, code=USAGE).err
    monkeypatch.setattr("sys.stdin", type("Answer", (), {"isatty": lambda _: True, "readline": lambda _: "n\n"})())
    assert "nothing was deleted" in said("runs", "--delete", a, code=USAGE).err and (reports / a).exists()
    monkeypatch.setattr("sys.stdin", type("Answer", (), {"isatty": lambda _: True, "readline": lambda _: "y\n"})())
    assert said("runs", "--delete", a).out == f"deleted {a}\n" and not (reports / a).exists()
    assert "no run" in said("runs", "--delete", "../elsewhere", "--yes", code=DATA).err
    assert [run["run"] for run in shelf.listed()] == [b]


def test_the_doctor_names_each_part_and_what_is_wrong(reports, monkeypatch, tmp_path, said):
    value = json.loads(said("doctor", "--json").out)
    names = [check["check"] for check in value["checks"]]
    assert value["ok"] and {"python", "numba", "kernels", "market carried"} <= set(names)
    monkeypatch.setattr(doctor, "OPTIONAL", (("flying", "no-such-package", "requirements-wings.txt"),))
    shown = said("doctor").out
    assert "missing" in shown and "pip install -r requirements-wings.txt" in shown and "all in order" in shown
    stores = tmp_path / "stores"
    shutil.copytree(markets.market("carried").path, stores / "carried")
    (stores / "carried" / "spot.npy").write_bytes(b"broken")
    monkeypatch.setenv("QMTF_STORE_DIR", str(stores))
    shown = said("doctor", code=DATA)
    assert "1 wrong" in shown.out and "market carried" in shown.err and "import it again" in shown.out


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_completion_names_every_command_and_its_options(shell, said):
    text = said("completion", shell).out
    for command in main.COMMANDS:
        assert f'"{command}") words=' in text
    assert "--walk-forward" in text and '"data import") words=' in text
    asked = "COMP_WORDS=(quantor optimize --wa); COMP_CWORD=2; _quantor; echo ${COMPREPLY[@]}"
    if shell == "bash":
        done = subprocess.run(["bash", "-c", f"{text}\n{asked}"], capture_output=True, text=True, check=True)
        assert done.stdout == "--walk-forward\n"
