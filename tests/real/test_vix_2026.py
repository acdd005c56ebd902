"""Real SPY chains of 2026 with the real VIX beside them: each row sees the last close, and a run filters by it."""

import csv
import json
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from core.market.calendar import day_number, day_text
from core.market.store import open_store
from tests.conftest import ROOT

CHAIN, BARS, VIX = "spy_chain_eod_2026.parquet", "spy_5min_2026h2.parquet", "vol_indices_daily.parquet"
INDEX_CHAIN, INDEX_BARS = "spx_chain_eod_2026.parquet", "spx_5min_2026.parquet"
PATIENCE = 900  # seconds: a cold start compiles


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("vix")


@pytest.fixture(scope="module")
def command(folder):
    """command(arg, ...) -> stdout of `python main.py arg ... --json` as a value, stores in a folder of its own."""
    env = {**os.environ, "QMTF_STORE_DIR": str(folder / "stores")}

    def run(*args):
        line = [sys.executable, str(ROOT / "main.py"), *map(str, args), "--json"]
        done = subprocess.run(line, cwd=ROOT, env=env, capture_output=True, text=True, timeout=PATIENCE, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


@pytest.fixture(scope="module")
def stores(command, kit_files, folder):
    """SPY and SPX of the same days, as imported, by name."""
    vix = kit_files(VIX)[0]
    for name, chain, bars in (("spy", CHAIN, BARS), ("spx", INDEX_CHAIN, INDEX_BARS)):
        chain, bars = kit_files(chain, bars)
        options = ("--stamp", "start", "--vix", vix)
        command("data", "import", "standard", "--chain", chain, "--bars", bars, "--name", name, *options)
    return {name: open_store(folder / "stores" / name) for name in ("spy", "spx")}


@pytest.fixture(scope="module")
def closes(kit_files):
    """VIX closes by date."""
    table = pd.read_parquet(kit_files(VIX)[0])
    return dict(zip(table["date"].dt.strftime("%Y-%m-%d"), table["vix_close"], strict=True))


def day_rows(store, day):
    """(minutes, VIX) of a session's rows."""
    rows = store.columns["s_day"][store.columns["session"]] == day_number(day)
    assert rows.any(), f"no session on {day}"
    return store.columns["minute"][rows], store.columns["vix"][rows]


@pytest.mark.parametrize("name", ["spy", "spx"])
def test_before_the_close_a_row_knows_the_close_of_the_session_before(stores, closes, name):
    minute, vix = day_rows(stores[name], "2026-08-04")
    assert closes["2026-08-03"] != closes["2026-08-04"]
    assert set(vix[minute < 960]) == {closes["2026-08-03"]}
    assert set(vix[minute >= 960]) == {closes["2026-08-04"]}


def test_every_row_knows_a_vix_of_the_last_seven_days(stores, closes):
    columns = stores["spy"].columns
    days = columns["s_day"][columns["session"]]
    assert np.isfinite(columns["vix"]).all()
    for day, vix in {(int(d), float(v)) for d, v in zip(days, columns["vix"], strict=True)}:
        assert vix in [closes.get(day_text(day - age)) for age in range(8)]


def test_quality_tells_where_vix3m_ends(stores):
    report = json.loads((stores["spy"].path / "quality.json").read_text(encoding="utf-8"))["vix"]
    assert report["sessions_with_vix"] == report["sessions"] == len(stores["spy"].columns["s_day"])
    assert 0 < report["sessions_with_vix3m"] < report["sessions"]


def test_a_run_that_filters_by_vix_trades_and_says_which_days_it_sat_out(command, stores, folder):
    out = folder / "run"
    wanted = ("--preset", "short_dated", "--set", "strategy.filters.vix_max=17", "--set", "strategy.exits.exit_dte=0")
    figures = command("backtest", "--market", "spy", *wanted, "--report", "none", "--trace", "--out", out)
    assert figures["trades"] + figures["open_trades"] > 0
    with (out / "trace.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    refused = [float(row["vix"]) for row in rows if row["reason"] == "vix_level"]
    entered = [float(row["vix"]) for row in rows if row["reason"] == "enter"]
    assert refused and min(refused) > 17.0
    assert entered and max(entered) <= 17.0
    assert not [row for row in rows if row["reason"] == "signal_unknown"]
