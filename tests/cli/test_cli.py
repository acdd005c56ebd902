"""The command line: exit codes, one line per mistake, JSON for machines, nothing heavy and nothing half-done."""

import errno
import json
import os
import subprocess
import sys

import pytest

import main
from core.config import ROOT
from core.report import folder as run_files
from core.settings import LIVE, SETTINGS
from tests import markets

HEAVY = (
    "numba",
    "numpy",
    "pandas",
    "scipy",
    "yaml",
    "plotly",
    "matplotlib",
    "exchange_calendars",
    "arch",
    "pyarrow",
    "jinja2",
)


@pytest.fixture
def stores(monkeypatch, tmp_path):
    """The small markets under their names, and reports kept out of the project."""
    for name in ("table", "carried"):
        folder = markets.market(name).path.parent
    monkeypatch.setenv("QMTF_STORE_DIR", str(folder))
    monkeypatch.setattr(run_files, "ROOT", tmp_path)
    return folder


def settings_of(**changes):
    values = {**markets.SHORT_LIVED, **changes}
    return [item for path, value in values.items() for item in ("--set", f"{path}={value}")]


def python(*args, **environment):
    command = [sys.executable, *args]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, env={**os.environ, **environment}
    )


# ---------------------------------------------------------------- help


def test_building_the_parser_imports_nothing_heavy():
    code = f"import sys, main; main.build_parser().format_help(); print([m for m in {HEAVY!r} if m in sys.modules])"
    done = python("-c", code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


def test_help_of_every_command_shows_an_example(capsys):
    for command in ([], ["backtest"], ["data"], ["data", "import"], ["data", "list"], ["data", "describe"], ["config"]):
        with pytest.raises(SystemExit) as stop:
            main.main([*command, "--help"])
        assert stop.value.code == 0
        assert "example: python main.py" in capsys.readouterr().out


def test_without_a_command_help_is_shown(capsys):
    assert main.main([]) == 0
    assert "backtest" in capsys.readouterr().out


# ---------------------------------------------------------------- mistakes

USAGE, DATA = 2, 3
IMPORT = ("data", "import", "standard", "--bars", "b.csv", "--chain", "c.csv")
MISTAKES = [
    (["backtest", "--set", "exits.profit_fraction=0.5"], USAGE, "did you mean 'strategy.exits.profit_frac'?"),
    (["backtest", "--set", "strategy.exits.profit_frac=50"], USAGE, "0.01 to 1"),
    (["backtest", "--start", "2025-12-02", "--end", "2025-11-25"], USAGE, "must not exceed"),
    (["backtest", "--start", "2025-02-30"], USAGE, "2025-02-30"),
    (["backtest", "--seed", "x"], USAGE, "market.seed"),
    (["backtest", "--preset", "weakly"], USAGE, "did you mean 'weekly'?"),
    (["backtest", "--config", "no-such-file.yaml"], USAGE, "no-such-file.yaml"),
    (["backtest", "--report", "docx"], USAGE, "docx"),
    (["backtest", "--set", "nonsense"], USAGE, "path=value"),
    (["backtest", "--no-such-flag"], USAGE, "--no-such-flag"),
    (["backtest", "stray"], USAGE, "stray"),
    (["backtst"], USAGE, "backtst"),
    (["data"], USAGE, "ACTION"),
    (["data", "import", "nothing"], USAGE, "nothing"),
    (["data", "import", "standard", "--bars", "x"], USAGE, "--chain"),
    (["config", "shw"], USAGE, "shw"),
    (["config", "check", "--set", "costs.fill=best"], USAGE, "costs.fill"),
    (["backtest", "--market", "tabel"], DATA, "did you mean 'table'?"),
    (["backtest", "--market", "table", "--start", "2020-01-02"], DATA, "2025-11-20 to 2025-12-08"),
    (["backtest", "--market", "table", "--end", "2026-01-02"], DATA, "2025-11-20 to 2025-12-08"),
    (["backtest", "--market", "table", "--start", "2025-11-22", "--end", "2025-11-23"], DATA, "no session"),
    (["backtest", "--market", "carried", "--set", "account.cash_yield=tbill"], USAGE, "cash_yield"),
    (["data", "describe", "nowhere"], DATA, "nowhere"),
    ([*IMPORT, "--name", "x", "--tz", "UTC", "--stamp", "end"], DATA, "c.csv"),
    ([*IMPORT, "--name", "../x", "--tz", "UTC", "--stamp", "end"], USAGE, "../x"),
    ([*IMPORT, "--name", "history"], USAGE, "history"),
    ([*IMPORT, "--name", "x", "--vix-columns", "CLOSE"], USAGE, "--vix-columns is 'CLOSE'"),
    ([*IMPORT, "--name", "x", "--vix", "v.csv", "--vix-columns", "A,"], USAGE, "--vix-columns is 'A,'"),
]  # fmt: skip


@pytest.mark.parametrize(("command", "code", "words"), MISTAKES, ids=[" ".join(c)[:60] for c, _, _ in MISTAKES])
def test_a_mistake_is_one_line_with_its_exit_code_and_writes_nothing(command, code, words, stores, tmp_path, capsys):
    before = sorted(p.name for p in stores.iterdir())
    out = ["--out", str(tmp_path / "out")] if command[0] == "backtest" else []
    for extra in ([], ["--json"]):
        assert main.main([*command, *out, *extra]) == code
        shown = capsys.readouterr()
        assert shown.out == ""
        lines = [line for line in shown.err.splitlines() if not line.startswith("compiling")]
        assert len(lines) == 1, shown.err
        assert lines[0].startswith({USAGE: "ConfigError: ", DATA: "DataError: "}[code])
        assert words in lines[0]
    assert list(tmp_path.iterdir()) == []
    assert sorted(p.name for p in stores.iterdir()) == before


def test_a_mistake_has_no_traceback_from_a_shell_unless_asked(stores):
    environment = {"QMTF_STORE_DIR": str(stores)}
    done = python("main.py", "backtest", "--market", "tabel", **environment)
    assert done.returncode == DATA
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert "Traceback" not in done.stderr
    done = python("main.py", "backtest", "--market", "tabel", "--debug", **environment)
    assert "Traceback" in done.stderr


def test_debug_shows_the_traceback_and_keeps_the_exit_code(stores):
    done = python("main.py", "backtest", "--market", "tabel", "--debug", QMTF_STORE_DIR=str(stores))
    assert "Traceback" in done.stderr
    assert done.returncode == DATA


def test_a_truncated_or_foreign_store_is_a_data_error(stores, monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("QMTF_STORE_DIR", str(tmp_path))
    markets.stored(markets.tape("carried"), tmp_path)
    column = tmp_path / "carried" / "q_bid.npy"
    column.write_bytes(column.read_bytes()[:-1000])
    assert main.main(["backtest", "--market", "carried", "--report", "none", "--out", str(tmp_path / "o")]) == DATA
    assert "q_bid.npy" in capsys.readouterr().err
    (tmp_path / "carried" / "manifest.json").write_text("{")
    assert main.main(["data", "describe", "carried"]) == DATA
    assert "manifest.json" in capsys.readouterr().err
    (tmp_path / "carried" / "manifest.json").write_text('{"schema": 0}')
    assert main.main(["data", "describe", "carried"]) == DATA
    assert not (tmp_path / "o").exists()


# ---------------------------------------------------------------- a run

FILES = {"manifest.json", "metrics.json", "equity.csv", "decisions.csv"} | {
    *("trades.csv", "fills.csv", "adjustments.csv")
}
METRICS = (
    "start end bars starting_cash net_profit net_profit_pct cagr max_drawdown max_drawdown_pct "
    "net_profit_over_max_drawdown sharpe sortino calmar psr profit_factor expectancy expectancy_se trades "
    "open_trades wins losses win_rate avg_win avg_loss largest_win largest_loss worst_day cvar_95 "
    "time_in_market return_on_margin_days fees slippage_paid interest break_even_slippage_per_package "
    "break_even_slippage_half_spreads buy_and_hold_pct effective_trades share_fills_modelled "
    "share_pnl_modelled attribution warnings funnel"
).split()
TRADES = (
    "trade_id campaign_id structure entry_time exit_time expiry put_long put_short call_short call_long "
    "contracts credit debit fees pnl max_adverse max_favourable max_loss exit_reason quote_kinds "
    "attr_delta attr_gamma attr_theta attr_vega attr_spread attr_residual"
).split()
FILLS = "time trade_id event contract side quantity multiplier price bid ask mid fee quote_time kind".split()


def backtest(capsys, *args):
    assert main.main(["backtest", "--market", "table", "--report", "none", *settings_of(), *args]) == 0
    return capsys.readouterr()


def test_a_run_writes_its_folder_and_json_is_one_object_alone(stores, tmp_path, capsys):
    shown = backtest(capsys, "--json", "--trace", "--out", str(tmp_path / "run"))
    value = json.loads(shown.out, parse_constant=lambda word: pytest.fail(word))
    assert shown.out.count("\n") == 1
    assert value["trades"] >= 10
    folder = tmp_path / "run"
    assert {p.name for p in folder.iterdir()} == FILES | {"trace.csv"}
    metrics = json.loads(
        (folder / "metrics.json").read_text(encoding="utf-8"), parse_constant=lambda word: pytest.fail(word)
    )
    assert set(METRICS) <= set(metrics)
    assert {"delta", "gamma", "theta", "vega", "spread", "fees", "residual"} == set(metrics["attribution"])
    assert {key: value[key] for key in metrics} == metrics
    heads = {p.stem: p.read_text(encoding="utf-8").splitlines()[0].split(",") for p in folder.glob("*.csv")}
    assert set(TRADES) <= set(heads["trades"])
    assert heads["fills"] == FILLS
    assert heads["equity"] == ["time", "cash", "marks", "equity", "drawdown", "liquidation", "margin"]
    assert heads["decisions"] == ["month", "verdict", "reason", "bars"]


def test_undefined_figures_are_null(stores, tmp_path, capsys):
    shown = backtest(capsys, "--json", "--out", str(tmp_path / "run"), "--set", "strategy.size.max_risk_frac=0.0001")
    value = json.loads(shown.out, parse_constant=lambda word: pytest.fail(word))
    assert value["trades"] == 0
    for name in ("profit_factor", "win_rate", "expectancy", "sharpe", "break_even_slippage_per_package"):
        assert value[name] is None, name


def test_the_manifest_tells_settings_sources_and_what_the_run_stood_on(stores, tmp_path, capsys):
    backtest(capsys, "--json", "--out", str(tmp_path / "run"))
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text(encoding="utf-8"))
    assert set(manifest["settings"]) == {setting.path for setting in SETTINGS}
    assert manifest["settings"]["market.name"] == {"value": "table", "source": "command line"}
    assert manifest["settings"]["strategy.exits.exit_dte"] == {"value": 2, "source": "--set"}
    assert manifest["settings"]["costs.fill"]["source"] == "default"
    assert manifest["store_hash"] == markets.market("table").hash
    assert {"run_id", "started", "finished", "code_version", "versions", "seed", "quote_kinds", "logged_trials"} <= set(
        manifest
    )


def test_no_file_but_the_manifest_knows_the_clock(stores, tmp_path, capsys):
    runs = []
    for name in ("a", "b"):
        backtest(capsys, "--json", "--out", str(tmp_path / name))
        runs.append({p.name: p.read_bytes() for p in (tmp_path / name).iterdir() if p.name != "manifest.json"})
    assert runs[0] == runs[1]


def test_an_existing_run_is_never_written_into(stores, tmp_path, capsys):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "mine.txt").write_text("mine")
    args = ["backtest", "--market", "table", "--report", "none", "--out", str(tmp_path / "run")]
    assert main.main(args) == USAGE
    assert "mine" not in capsys.readouterr().out
    assert [p.name for p in (tmp_path / "run").iterdir()] == ["mine.txt"]
    (tmp_path / "file").write_text("x")
    assert main.main([*args[:-1], str(tmp_path / "file")]) == USAGE


def test_the_default_folder_bears_command_and_settings(stores, tmp_path, capsys):
    value = json.loads(backtest(capsys, "--json").out)
    names = [p.name for p in (tmp_path / "reports").iterdir() if p.is_dir()]
    assert names == [value["run_id"]]
    stamp, command, digits = value["run_id"].split("-")
    assert (len(stamp), command, len(digits)) == (16, "backtest", 6)


def test_quiet_says_nothing_but_the_result(stores, tmp_path, capsys):
    shown = backtest(capsys, "--quiet", "--out", str(tmp_path / "run"))
    assert shown.err == ""
    assert "net profit" in shown.out


# ---------------------------------------------------------------- settings and markets


def test_the_printed_template_is_the_one_on_disk(capsys):
    assert main.main(["config", "template"]) == 0
    assert capsys.readouterr().out == (ROOT / "config.template.py").read_text(encoding="utf-8")


def test_config_shows_values_with_their_sources(capsys):
    assert main.main(["config", "show", "--json", "--preset", "classic", "--seed", "3"]) == 0
    value = json.loads(capsys.readouterr().out)
    assert value["market.seed"] == {"value": 3, "source": "command line"}
    assert value["costs.fees"] == {"value": "classic", "source": "preset classic"}
    assert main.main(["config", "check"]) == 0
    assert f"{len(SETTINGS) + len(LIVE)} settings" in capsys.readouterr().out
    assert main.main(["config", "schema", "--json"]) == 0
    assert [s["path"] for s in json.loads(capsys.readouterr().out)["settings"]] == [s.path for s in (*SETTINGS, *LIVE)]


def test_markets_are_listed_and_described(stores, capsys):
    assert main.main(["data", "list", "--json"]) == 0
    listed = {market["name"]: market for market in json.loads(capsys.readouterr().out)["markets"]}
    assert listed["table"]["kind"] == "table"
    assert listed["carried"]["kind"] == "carried"
    assert main.main(["data", "describe", "table", "--json"]) == 0
    described = json.loads(capsys.readouterr().out)
    quotes = described["quality"]["quotes"]
    assert quotes["zero_zero"] > 1000
    assert quotes["crossed"] > 1000
    assert quotes["one_sided"] > 1000
    assert described["first"] == "2025-11-20"


def test_what_the_machine_refuses_is_one_line_and_a_bug_shows_itself(monkeypatch, capsys):
    def fails(error):
        def command(args):
            raise error

        monkeypatch.setitem(main.COMMANDS, "runs", command)
        return main.main(["runs"])

    assert fails(OSError(errno.ENOSPC, "No space left on device")) == DATA
    assert capsys.readouterr().err == "DataError: a file: No space left on device\n"
    assert fails(PermissionError(errno.EACCES, "Permission denied", "reports/x")) == DATA
    assert capsys.readouterr().err == "DataError: reports/x: Permission denied\n"
    with pytest.raises(ConnectionResetError):
        fails(ConnectionResetError(errno.ECONNRESET, "reset"))
