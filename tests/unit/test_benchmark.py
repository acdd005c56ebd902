"""The benchmark's own logic, without timing anything: keys, the comparison of two results, peers that are not there."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import benchmark_cpu
from core.errors import ConfigError
from core.settings import BY_PATH
from scripts import peers
from tests import markets

YARD = 1e9


def result(scale: float = 1.0, yard: float = YARD) -> dict[str, Any]:
    """A made-up result of a machine `scale` times as fast, with every kind of speed."""

    def engine() -> dict[str, Any]:
        case = {"bars_per_s": 4e7 * scale, "open_condor_bars_per_s": 4e7 * scale, "mean_open": 1.0, "trades": 39}
        return {"tabulated": {"1": {**case, "quotes_per_bar": 4.0}, "5": dict(case)}}

    return {
        "machine": {"processor": "x86_64", "cores": 2},
        "versions": {"python": "3.11"},
        "yardstick": {"rows_per_s": yard, "lowest": yard, "highest": yard},
        "engine": engine(),
        "engine_with_risk": engine(),
        "trials": {"exit_only": {"1": {"per_s_per_core": 5000 * scale, "trials": 420, "mean_trades": 40.0}}},
        "signals": {"tabulated": {"ns": 800 / scale}},
        "pricing": {"black_price": {"ns": 20 / scale}},
        "startup": {"help_s": 0.2, "cold_s": None, "warm_s": 2.5},
        "memory": {"peak_mb": 300.0, "private_per_worker_mb": 40.0},
    }


# ---------------------------------------------------------------- --compare


def test_equal_results_compare_as_one() -> None:
    found = benchmark_cpu.compared(result(), result(), 0.2)
    assert set(found["ratios"].values()) == {1.0}
    assert len(found["ratios"]) == 7
    assert not (found["slower"] or found["new"] or found["gone"] or found["unknown"])


@pytest.mark.parametrize(
    ("path", "share"),
    [
        (("engine", "tabulated", "5", "bars_per_s"), 0.75),
        (("trials", "exit_only", "1", "per_s_per_core"), 0.75),
        (("signals", "tabulated", "ns"), 1 / 0.75),
        (("pricing", "black_price", "ns"), 1 / 0.75),
    ],
)
def test_one_case_a_quarter_slower_is_found(path: tuple[str, ...], share: float) -> None:
    now = result()
    place = now
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] *= share
    found = benchmark_cpu.compared(result(), now, 0.2)
    assert found["slower"] == [".".join(path)]
    assert found["ratios"][".".join(path)] == pytest.approx(0.75)
    assert benchmark_cpu.compared(result(), now, 0.3)["slower"] == []
    lines = benchmark_cpu.comparison_table(found)
    assert [line for line in lines if "SLOWER" in line] == [f"{'.'.join(path):62} {0.75:>7.3f}  SLOWER"]
    assert lines[-1] == "1 of 7 cases slower by more than 20 %"


def test_what_became_faster_is_not_flagged() -> None:
    found = benchmark_cpu.compared(result(), result(scale=3.0), 0.0)
    assert found["slower"] == []
    assert list(found["ratios"].values()) == pytest.approx([3.0] * 7)


def test_a_slow_hour_slows_the_yardstick_too() -> None:
    """Half the speed with half the yardstick is no slowdown; the same times with twice the yardstick is one."""
    found = benchmark_cpu.compared(result(), result(scale=0.5, yard=YARD / 2), 0.05)
    assert found["slower"] == []
    assert list(found["ratios"].values()) == pytest.approx([1.0] * 7)
    assert len(benchmark_cpu.compared(result(), result(yard=2 * YARD), 0.2)["slower"]) == 7


def test_cases_of_one_result_alone_are_listed() -> None:
    before, now = result(), result()
    del now["signals"]
    before["trials"]["exit_only"]["1"]["per_s_per_core"] = None  # never measured
    before["pricing"]["black_price"]["us"] = 0.02
    before["weather"] = {"rain": 1.0}
    found = benchmark_cpu.compared(before, now, 0.2)
    assert found["gone"] == ["signals.tabulated.ns"]
    assert found["new"] == ["trials.exit_only.1.per_s_per_core"]
    assert found["unknown"] == ["trials.exit_only.1.per_s_per_core", "pricing.black_price.us", "weather.rain"]
    text = "\n".join(benchmark_cpu.comparison_table(found))
    for path in (*found["gone"], *found["new"], *found["unknown"]):
        assert path in text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"yardstick": 3}',
        '{"yardstick": {"rows_per_s": 0}}',
        '{"yardstick": {"rows_per_s": null}}',
        '{"yardstick": {"rows_per_s": 1e9}, "engine": {}}',
    ],
)
def test_what_is_no_result_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "benchmark.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match="--compare"):
        benchmark_cpu.read_result(str(path))
    with pytest.raises(ConfigError, match="cannot be read"):
        benchmark_cpu.read_result(str(tmp_path / "absent.json"))


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[..., int]]:
    """The command with a made-up measurement, writing into a folder of its own."""
    before = tmp_path / "before.json"
    before.write_text(json.dumps(result()), encoding="utf-8")

    def run(*arguments: str, scale: float = 1.0) -> int:
        found = result(scale)
        found["engine_with_intelligence"] = found["engine_with_risk"]
        found["trials"]["exit_only"]["1"]["per_s_from_nothing"] = 1000.0 * scale
        monkeypatch.setenv("QMTF_REPORTS_DIR", str(tmp_path / "reports"))
        monkeypatch.setattr(benchmark_cpu, "measured", lambda quick: found)
        return benchmark_cpu.main([a.replace("BEFORE", str(before)) for a in arguments])

    yield run


def test_exit_codes_of_a_comparison(command: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    assert command("--compare", "BEFORE") == 0
    assert command("--compare", "BEFORE", scale=0.7) == 1
    assert command("--compare", "BEFORE", "--tolerance", "0.4", scale=0.7) == 0
    assert command("--compare", "BEFORE", scale=5.0) == 0
    capsys.readouterr()
    assert command("--compare", "BEFORE-not") == 2
    assert "ConfigError: --compare" in capsys.readouterr().err
    for wrong in (
        ["--tolerance", "20"],
        ["--tolerance", "much"],
        ["--compare", "BEFORE", "--peers"],
        ["--tolerance", "0.1"],
    ):
        with pytest.raises(SystemExit) as ended:
            command(*wrong)
        assert ended.value.code == 2


def test_json_is_one_object_with_the_comparison(
    command: Callable[..., int], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert command("--json", "--compare", "BEFORE", scale=0.7) == 1
    printed = json.loads(capsys.readouterr().out)
    assert len(printed["compare"]["slower"]) == 7
    stored = json.loads((tmp_path / "reports" / "benchmark.json").read_text(encoding="utf-8"))
    assert "compare" not in stored and stored["yardstick"] == printed["yardstick"]


def test_what_a_run_is_compared_with_stays_as_it_is(
    command: Callable[..., int], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """And what another library does is no case of ours."""
    assert command() == 0
    kept = tmp_path / "reports" / "benchmark.json"
    before = kept.read_bytes()
    assert command("--compare", str(kept), scale=5.0) == 0
    assert kept.read_bytes() == before and "stays as it is" in capsys.readouterr().out
    old = {**result(), "pricing": {"quantlib_european": {"ns": 1.0}}}
    new = {**result(), "pricing": {"quantlib_european": {"ns": 9.0}}}
    found = benchmark_cpu.compared(old, new, 0.2)
    assert found["ratios"]["pricing.quantlib_european.ns"] < 0.2 and found["slower"] == []


def test_the_table_shows_trials_and_memory(command: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    assert command() == 0
    text = capsys.readouterr().out
    assert "exit only" in text and "5,000" in text and "1,000" in text
    assert "private memory of a worker" in text and "40 MB" in text


# ---------------------------------------------------------------- what is measured


def test_keys_that_scripts_rely_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every measurement replaced by a name of itself: where each lands in the result."""
    names = ("engine_case", "signals_case", "trials_case", "coarse_case", "startup", "private_mb")
    for name in (*names, "private_per_worker"):
        monkeypatch.setattr(benchmark_cpu, name, lambda *a, name=name: {"by": name})
    monkeypatch.setattr(benchmark_cpu, "markets", lambda: {"modelled": None, "tabulated": None})
    monkeypatch.setattr(benchmark_cpu, "yard_speed", lambda: YARD)
    monkeypatch.setattr(benchmark_cpu.pricing_speed, "measured", lambda repeats: {"black_price": {"ns": 1.0}})
    found = benchmark_cpu.leaves(benchmark_cpu.measured(True))
    for kind in ("tabulated", "modelled"):
        for condors in ("1", "5", "20"):
            assert found[f"engine.{kind}.{condors}.by"] == "engine_case"
    for kind in ("exit_only", "structure"):
        for condors in ("1", "5"):
            assert found[f"trials.{kind}.{condors}.by"] == "trials_case"
    assert found["trials.coarse.1.by"] == "coarse_case"
    assert found["memory.peak_mb.by"] == "private_mb"
    assert found["memory.private_per_worker_mb.by"] == "private_per_worker"
    assert found["yardstick.rows_per_s"] == YARD
    assert {path.split(".")[0] for path in found} >= {"machine", "versions", "startup", "pricing", "signals"}


@pytest.mark.parametrize("condors", [1, 5])
def test_grids_are_whole_and_every_trial_is_a_sound_setting(condors: int) -> None:
    base = benchmark_cpu.workload(condors)
    for vary, least in ((benchmark_cpu.EXIT_ONLY, 200), (benchmark_cpu.STRUCTURES_TRIED, 12)):
        task = benchmark_cpu.task_of(vary, base)
        assert set(task.paths) == set(vary) <= set(BY_PATH)
        assert len(task.rows) == np.prod([len(values) for values in vary.values()]) >= least
    latest = max(benchmark_cpu.EXIT_ONLY["strategy.exits.exit_dte"])
    assert latest < base["strategy.entry.dte_min"]


# ---------------------------------------------------------------- --peers


def test_a_peer_that_is_not_installed_says_so() -> None:
    def needs_it(sample: peers.Sample) -> Iterator[peers.Figure]:
        raise AssertionError("it is not reached")

    store = markets.market("table")
    found = peers.measure_all(store, {"bars": 1e6}, True, {"no_such_peer_anywhere": needs_it})
    assert found == {"no_such_peer_anywhere": {"version": None, "figures": [], "failed": "not installed"}}
    assert peers.table(found)[1].split(maxsplit=1) == ["no_such_peer_anywhere", "not installed"]


def test_a_peers_own_failure_is_one_line_beside_its_figures() -> None:
    def breaks(sample: peers.Sample) -> Iterator[peers.Figure]:
        yield peers.Figure("a loop", 2000.0, "bars")
        raise RuntimeError("its queue is full\nand more")

    def lacks(sample: peers.Sample) -> Iterator[peers.Figure]:
        import no_such_part_of_it

        yield peers.Figure("nothing", 1.0, "bars")

    # numpy stands for an installed package
    store = markets.market("table")
    broken = peers.measure_all(store, {"bars": 1e6}, False, {"numpy": breaks})["numpy"]
    assert broken["failed"] == "RuntimeError: its queue is full"
    assert broken["figures"] == [{"work": "a loop", "per_s": 2000.0, "ours": "bars", "ours_per_s": 1e6, "ratio": 500.0}]
    assert broken["version"] == np.__version__
    lacking = peers.measure_all(store, {"bars": 1e6}, False, {"numpy": lacks})["numpy"]
    assert lacking["failed"].startswith("ModuleNotFoundError: No module named 'no_such_part_of_it'")
    text = "\n".join(peers.table({"numpy": broken}))
    assert "500.0" in text and "its queue is full" in text and "and more" not in text


def test_peers_see_the_markets_own_bars_and_quotes() -> None:
    store = markets.market("table")
    sample = peers.sample_of(store, None)
    bars = int(np.sum(store.columns["is_bar"]))
    frame = peers.frame_of(sample)
    assert len(frame) == bars and frame.index.is_monotonic_increasing and frame.index.is_unique
    assert (frame["high"] >= frame["low"]).all() and frame["close"].notna().all()
    few = peers.sample_of(store, 2)
    assert set(few.column("session")) == {0, 1}
    chain = peers.daily_chain(sample)
    assert chain["quote_date"].nunique() <= len(store.columns["s_day"])
    assert (chain["ask"] >= chain["bid"]).all() and (chain["bid"] > 0).all()
    assert not chain.duplicated(["quote_date", "expiration", "strike", "option_type"]).any()


def test_every_peer_is_held_against_a_speed_that_is_measured() -> None:
    source = Path(peers.__file__).read_text(encoding="utf-8")
    assert set(peers.PEERS) == {"backtrader", "vectorbt", "nautilus_trader", "optopsy", "ironcondor"}
    for name in benchmark_cpu.OURS:
        assert f'"{name}"' in source
