"""The 7-14 day preset on real SPY evening chains and bars: its every fill and profit again from the raw files."""

import ast
import csv
import json
import os
import shutil
import subprocess
import sys

import pandas as pd
import pytest

import backtest_engine
from core.market.store import open_store
from core.report.folder import manifest_of, write_run
from core.report.measure import measure
from scripts.recompute_fills import recompute
from tests.conftest import ROOT

CHAIN, BARS = "spy_chain_eod_2026.parquet", "spy_5min_2026h2.parquet"
SCRIPT = ROOT / "scripts" / "recompute_fills.py"
PRESET, DTE, LONGEST_HOLD = "short_dated", (7, 14), 5
MARKET = "spy-real"
PATIENCE = 900  # seconds: a cold start compiles


@pytest.fixture(scope="module")
def files(kit_files):
    return dict(zip(("chain", "bars"), kit_files(CHAIN, BARS), strict=True))


@pytest.fixture(scope="module")
def shared_days(files):
    """Dates that both files hold, in order."""
    quoted = set(pd.read_parquet(files["chain"], columns=["date"])["date"].dt.date)
    barred = set(pd.read_parquet(files["bars"], columns=["timestamp"])["timestamp"].dt.date)
    return sorted(quoted & barred)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("spy")


@pytest.fixture(scope="module")
def command(folder):
    """command(arg, ...) -> the finished process of `python main.py arg ...` with stores in a folder of its own."""
    env = {**os.environ, "QMTF_STORE_DIR": str(folder / "stores")}

    def run(*args):
        line = [sys.executable, str(ROOT / "main.py"), *map(str, args)]
        return subprocess.run(line, cwd=ROOT, env=env, capture_output=True, text=True, timeout=PATIENCE, check=False)

    return run


@pytest.fixture(scope="module")
def imported(command, files):
    return command(
        "data", "import", "standard", "--chain", files["chain"], "--bars", files["bars"],
        "--name", MARKET, "--stamp", "start", "--json",
    )  # fmt: skip


def can_close_a_trade(files, shared_days):
    """Why these files cannot show a closed 7-14 day trade; None if they can.

    An entry is decided on the surface of an earlier shared day, and leaves after LONGEST_HOLD days at the latest.
    """
    if len(shared_days) < 3 or (shared_days[-1] - shared_days[1]).days < LONGEST_HOLD:
        return f"{len(shared_days)} shared days are too few to enter and to leave"
    rows = pd.read_parquet(files["chain"], columns=["date", "expiration"]).drop_duplicates()
    rows = rows[rows["date"].dt.date.isin(shared_days[:2])]
    if not (rows["expiration"] - rows["date"]).dt.days.between(*DTE).any():
        return "no expiry lies 7 to 14 days ahead"
    return None


@pytest.fixture(scope="module")
def run_dir(command, imported, folder, files, shared_days):
    """The run folder of the preset through the command line."""
    if not shared_days:
        pytest.skip("chain and bars share no day")
    assert imported.returncode == 0, imported.stderr
    cannot = can_close_a_trade(files, shared_days)
    if cannot:
        pytest.skip(cannot)
    out = folder / "run"
    done = command(
        "backtest", "--market", MARKET, "--preset", PRESET, "--report", "none", "--trace", "--out", out, "--json"
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["folder"] == str(out)
    return out


def script(run_dir, files, *more):
    line = [
        sys.executable,
        str(SCRIPT),
        str(run_dir),
        "--chain",
        str(files["chain"]),
        "--bars",
        str(files["bars"]),
        *more,
    ]
    return subprocess.run(line, cwd=run_dir, capture_output=True, text=True, timeout=PATIENCE, check=False)


# ---------------------------------------------------------------- the tests


def test_files_that_share_no_day_are_refused_in_one_line(imported, shared_days):
    if shared_days:
        pytest.skip(f"chain and bars share {len(shared_days)} days")
    assert imported.returncode == 3
    assert len(imported.stderr.strip().splitlines()) == 1
    assert "share no session" in imported.stderr


def test_bars_of_other_dates_are_refused_in_one_line_and_nothing_is_written(
    command, files, shared_days, tmp_path, folder
):
    """The same refusal, made with the kit's own bars moved a year back."""
    bars = pd.read_parquet(files["bars"])
    bars["timestamp"] = bars["timestamp"] - pd.Timedelta(days=364)
    moved = tmp_path / "bars_a_year_earlier.parquet"
    bars.to_parquet(moved)
    done = command(
        "data", "import", "standard", "--chain", files["chain"], "--bars", moved, "--name", "none", "--stamp", "start"
    )
    assert done.returncode == 3
    assert len(done.stderr.strip().splitlines()) == 1
    assert "share no session" in done.stderr
    assert not (folder / "stores" / "none").exists()


def test_the_script_imports_none_of_our_code():
    tree = ast.parse(SCRIPT.read_text(encoding="utf-8"))
    names = {a.name.split(".")[0] for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
    names |= {n.module.split(".")[0] for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
    assert names <= set(sys.stdlib_module_names) | {"pandas", "numpy", "pyarrow"}


def test_the_preset_closes_trades_and_every_number_comes_out_of_the_raw_files(run_dir, files):
    with (run_dir / "trades.csv").open(encoding="utf-8") as file:
        closed = [row for row in csv.DictReader(file) if row["exit_time"] and row["exit_reason"] != "settled"]
    assert closed, (run_dir / "decisions.csv").read_text(encoding="utf-8")
    done = script(run_dir, files)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(closed)} compared     0 differ" in next(x for x in done.stdout.splitlines() if x.startswith("debit "))


def test_a_price_that_is_off_by_a_cent_is_found(run_dir, files, tmp_path):
    spoiled = tmp_path / "spoiled"
    shutil.copytree(run_dir, spoiled)
    spoil(spoiled / "fills.csv", "price", 0.01)
    done = script(spoiled, files)
    assert done.returncode == 1
    assert "price at natural" in done.stdout


def spoil(path, column, by, row=0):
    """Change one number of a CSV file."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    rows[row][column] = f"{float(rows[row][column]) + by:.2f}"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


@pytest.mark.parametrize(
    ("name", "column", "by"),
    [
        ("fills.csv", "bid", 0.01), ("fills.csv", "ask", -0.01), ("fills.csv", "mid", 0.01), ("fills.csv", "fee", 0.01),
        ("trades.csv", "credit", 0.01), ("trades.csv", "debit", -0.01), ("trades.csv", "pnl", 0.01),
        ("trades.csv", "fees", -0.01), ("trades.csv", "put_short", 1.0), ("equity.csv", "cash", 0.01),
        ("equity.csv", "marks", 0.01), ("equity.csv", "equity", -0.01),
    ],
)  # fmt: skip
def test_any_number_that_is_off_by_a_cent_is_found(run_dir, files, tmp_path, name, column, by):
    spoiled = tmp_path / "spoiled"
    shutil.copytree(run_dir, spoiled)
    spoil(spoiled / name, column, by)
    assert recompute(spoiled, files["chain"], files["bars"], None, "start").differences


def test_another_fee_table_is_found(run_dir, files):
    done = script(run_dir, files, "--fees", "0.65,0,0")
    assert done.returncode == 1
    assert "fee: " in done.stdout


@pytest.mark.parametrize(
    "costs",
    [
        {"costs.fill": "mid"},
        {"costs.fill": "fraction", "costs.fraction": 0.37},
        {"costs.fill": "leg_count"},
        {"costs.fill": "limit"},
        {"costs.fill": "natural", "costs.extra_slippage": 0.03},
        {"costs.fill": "fraction", "costs.spread_multiple": 2.5},
        {"costs.fees": "classic", "costs.free_close_at": 0.05, "strategy.size.contracts": 3},
    ],
    ids=lambda costs: ",".join(f"{k.split('.')[1]}={v}" for k, v in costs.items()),
)
def test_other_fill_models_recompute_too(run_dir, files, folder, configured, tmp_path, costs):
    store = open_store(folder / "stores" / MARKET)
    result = backtest_engine.run(store, configured({**costs, "strategy.size.max_risk_frac": 0.2}, preset=PRESET))
    assert len(result.trades)
    started = pd.Timestamp("2026-01-01", tz="UTC").to_pydatetime()
    write_run(tmp_path, result, measure(result), manifest_of(result, "run", started, 1), trace=True)
    checks = recompute(tmp_path, files["chain"], files["bars"], None, "start")
    assert checks.differences == []
