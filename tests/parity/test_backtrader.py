"""Under backtrader's clock the backtest gives the same ledger to the cent, and its analyzers see our equity."""

import importlib.util
import json
import sys

import numpy as np
import pytest

import main
from backtest_engine import BacktestResult, run
from commands.backtest import DRIVERS
from core import config
from core.errors import DataError
from core.jit import NO_KERNELS, ROOT
from core.market.truncate import truncated
from core.metrics import daily_returns
from core.report import folder as run_files
from core.report.measure import closing_rows
from core.types import CASH, DRAWDOWN, MARKS
from scripts.data.build_regression_market import unpack
from tests import markets
from tests.laws.test_no_lookahead import assert_same_past

if importlib.util.find_spec("backtrader") is None:
    pytest.skip("backtrader is not installed (requirements-backtrader.txt)", allow_module_level=True)

from core import backtrader_bridge as bridge

bt = bridge.bt
DAYS = {"timeframe": bt.TimeFrame.Days}
# Preset, or None: everything at once, the settings of a kept ledger.
PRESETS = ("practitioner", "short_dated", "weekly", "classic", "mtfuzz", None)
NAMED = (
    "limit",
    "carried",
    "surface_full",
    "settled",
    "modelled",
    "rolled",
    "smile",
    "assigned",
    "guarded",
    "margined",
)


@pytest.fixture(scope="module")
def regression(tmp_path_factory):
    return unpack(tmp_path_factory.mktemp("regression") / "market")


def config_of(preset, **flags):
    file = None if preset else str(ROOT / "tests/golden/full.yaml")
    return config.load(preset=preset, file=file, user_file=markets.NO_FILE, flags=flags)


def assert_same_result(ours: BacktestResult, theirs: BacktestResult):
    for name in ("trades", "fills", "adjustments"):
        assert np.array_equal(getattr(ours, name), getattr(theirs, name)), name
    for name, column in ours.ledger._asdict().items():
        assert np.array_equal(column, getattr(theirs.ledger, name), equal_nan=column.dtype.kind == "f"), name
    assert (ours.first_row, ours.last_row, ours.missed) == (theirs.first_row, theirs.last_row, theirs.missed)


# ---------------------------------------------------------------- the same ledger


@pytest.mark.parametrize("preset", PRESETS)
def test_the_regression_market_gives_the_native_ledger_cent_for_cent(preset, regression):
    settings = config_of(preset)
    ours = run(regression, settings)
    assert preset == "mtfuzz" or len(ours.trades) > 0
    assert_same_result(ours, bridge.run_under_backtrader(regression, settings)[0])


@pytest.mark.parametrize("name", NAMED)
def test_drawn_markets_with_snapshots_and_early_closes_do_too(name):
    ours = markets.run_named(name)
    assert len(ours.trades) > 0
    assert_same_result(ours, bridge.run_under_backtrader(ours.store, ours.config)[0])


def test_a_part_of_a_market_begins_and_ends_where_the_native_run_does(regression):
    settings = config_of("short_dated", **{"market.start": "2020-01-16", "market.end": "2020-02-07"})
    ours = run(regression, settings)
    assert 0 < ours.first_row < ours.last_row < len(regression.columns["ts"])
    assert_same_result(ours, bridge.run_under_backtrader(regression, settings)[0])


def test_a_market_with_holes_is_followed_across_them(tmp_path):
    """Bars missing on the hour, two in a row, at a session's end and at its beginning."""
    tape = markets.tape("carried")
    days = np.searchsorted(tape.sessions.close_ns, tape.bars.ts)
    minute = (tape.bars.ts - tape.sessions.open_ns[days]) // bridge.NS_MINUTE
    gone = (days == 3) & np.isin(minute, (60, 90, 95)) | (days == 7) & (minute > 355) | (days == 8) & (minute < 40)
    bars = type(tape.bars)(*(column[~gone] for column in tape.bars))
    store = markets.stored(tape._replace(name="holes", bars=bars), tmp_path)
    ours = markets.ran(store)
    assert gone.sum() == 3 + 7 + 7 and len(ours.trades) > 0
    assert_same_result(ours, bridge.run_under_backtrader(store, ours.config)[0])


# ---------------------------------------------------------------- what analyzers see


class Seen(bt.Analyzer):
    """Moment, cash and value as notified; and whether anything is booked after the row just advanced."""

    def create_analysis(self):
        self.rets = []

    def notify_cashvalue(self, cash, value):
        self.told = cash, value

    def next(self):
        broker = self.strategy.broker
        later = broker.ledger.rows[:, broker.row :].any() or broker.ledger.codes[:, broker.row :].any()
        self.rets.append((self.strategy.datetime.datetime(0), *self.told, bool(later)))


def analysed(store, settings):
    kinds = (Seen, bt.analyzers.DrawDown, (bt.analyzers.TimeReturn, DAYS), (bt.analyzers.SharpeRatio, DAYS))
    result, made = bridge.run_under_backtrader(store, settings, kinds)
    return result, [analyzer.get_analysis() for analyzer in made]


@pytest.fixture(scope="module", params=["regression", "carried"])
def analysis(request):
    if request.param == "carried":
        run_of_ours = markets.run_named("carried")
        return analysed(run_of_ours.store, run_of_ours.config)
    return analysed(request.getfixturevalue("regression"), config_of("practitioner"))


def test_on_every_row_the_broker_is_worth_the_marked_equity_and_nothing_later_is_known(analysis):
    result, (seen, *_) = analysis
    moments, cash, value, later = zip(*seen, strict=True)
    ts = result.market.row.ts[result.first_row : result.last_row]
    assert np.array_equal(np.array(moments, "datetime64[ns]").astype(np.int64), ts)
    assert np.array_equal(np.round(np.array(cash) * 100), result.ledger.rows[CASH])
    assert np.array_equal(np.round(np.array(value) * 100), result.equity)
    assert np.ptp(result.ledger.rows[MARKS]) > 0
    assert not any(later)


def test_drawdown_and_daily_returns_agree_with_ours(analysis):
    result, (_, drawdown, returns, sharpe) = analysis
    assert drawdown.max.moneydown == pytest.approx(result.ledger.rows[DRAWDOWN].max() / 100, abs=1e-6)
    assert drawdown.max.moneydown > 0
    ours = daily_returns(result.equity[closing_rows(result)] / 100, result.config["account.starting_cash"])
    assert list(returns.values()) == pytest.approx(ours.tolist(), abs=1e-12)
    days = result.market.ses.day[: len(ours)].astype("datetime64[D]")
    assert [moment.date() for moment in returns] == days.tolist()
    assert sharpe["sharperatio"] is not None


# ---------------------------------------------------------------- no look-ahead


@pytest.mark.parametrize("row", [130, 421])
def test_a_market_cut_short_is_the_beginning_of_the_whole_run(row):
    whole = markets.run_named("natural")
    settings = whole.config
    left, _ = bridge.run_under_backtrader(truncated(whole.store, row), settings)
    assert left.last_row == row + 1
    assert_same_past(whole, left, row)


# ---------------------------------------------------------------- mismatches are loud


def test_a_longer_bar_that_we_see_otherwise_ends_the_run(regression, monkeypatch):
    seen_right = bridge.frame_bars

    def higher(bars, minutes):
        frame = seen_right(bars, minutes)
        frame.high[5] += 0.01 * (minutes == 60)
        return frame

    monkeypatch.setattr(bridge, "frame_bars", higher)
    with pytest.raises(DataError, match=r"row 71 of market 'regression' .* another 60-minute bar"):
        bridge.run_under_backtrader(regression, config_of("practitioner"))


def test_a_longer_bar_that_we_see_too_early_ends_the_run(regression, monkeypatch):
    seen_right = bridge.frame_bars

    def early(bars, minutes):
        frame = seen_right(bars, minutes)
        frame.seen[1] -= minutes == 15
        return frame

    monkeypatch.setattr(bridge, "frame_bars", early)
    with pytest.raises(DataError, match=r"row 4 of market 'regression' .* 1 bars of 15 minutes, not 2"):
        bridge.run_under_backtrader(regression, config_of("practitioner"))


def test_a_feed_whose_clock_is_off_ends_the_run(regression, monkeypatch):
    feed_of = bridge.feed_of
    monkeypatch.setattr(bridge, "feed_of", lambda ts, *rest: feed_of(ts + bridge.NS_MINUTE, *rest))
    with pytest.raises(DataError, match=r"row 0 of market 'regression' \(2020-01-02T14:35:00 UTC\) .* 14:36:00 UTC"):
        bridge.run_under_backtrader(regression, config_of("practitioner"))


def test_two_rows_of_one_moment_end_the_run():
    ours = markets.run_named("carried")
    columns = dict(ours.store.columns)
    snapshot = int(np.flatnonzero(columns["is_bar"] == 0)[0])
    columns["ts"] = np.array(columns["ts"])
    columns["ts"][snapshot] = columns["ts"][snapshot - 1]
    with pytest.raises(DataError, match=f"delivers 2 rows at once at row {snapshot - 1}"):
        bridge.run_under_backtrader(ours.store._replace(columns=columns), ours.config)


# ---------------------------------------------------------------- the command


@pytest.fixture
def place(monkeypatch, tmp_path):
    """The small markets under their names, no settings of the user, and reports kept out of the project."""
    monkeypatch.setattr("core.config.ROOT", tmp_path)
    monkeypatch.setattr(run_files, "ROOT", tmp_path)
    monkeypatch.setenv("QMTF_STORE_DIR", str(markets.market("carried").path.parent))
    return tmp_path


def command(place, driver):
    options = [item for path, value in markets.SHORT_LIVED.items() for item in ("--set", f"{path}={value}")]
    where = ["--market", "carried", "--out", str(place / driver), "--driver", driver]
    return main.main(["backtest", *where, *options, "--json", "--trace", "--quiet"])


def test_the_two_drivers_write_the_same_files_and_the_manifest_names_the_driver(place, capsys):
    written = {}
    for driver in DRIVERS:
        assert command(place, driver) == 0
        written[driver] = {path.name: path.read_bytes() for path in (place / driver).iterdir()}
        assert json.loads(written[driver].pop("manifest.json"))["driver"] == driver
    native, other = written.values()
    assert {"trades.csv", "trace.csv", "equity.png", "report.html"} <= set(native)
    assert native == other
    capsys.readouterr()


def test_where_backtrader_is_missing_one_line_says_what_to_install(place, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "backtrader", None)
    monkeypatch.delitem(sys.modules, "core.backtrader_bridge")
    assert command(place, "backtrader") == 2
    shown = capsys.readouterr()
    assert shown.out == "" and shown.err.count("\n") == 1
    assert shown.err.startswith("ConfigError: --driver backtrader needs the package backtrader")
    assert "pip install -r requirements-backtrader.txt" in shown.err
    assert not (place / "backtrader").exists()


def test_an_unknown_driver_is_a_mistake_of_usage(place, capsys):
    assert command(place, "zipline") == 2
    assert "zipline" in capsys.readouterr().err


def test_sources_left_out_of_the_compilers_hash_hold_no_kernel():
    for name in NO_KERNELS:
        assert "njit" not in (ROOT / name).read_text(encoding="utf-8")
