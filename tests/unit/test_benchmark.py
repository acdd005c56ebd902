"""The benchmark compares ratios to the yardstick of each run, and says what is not there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import benchmark_cpu
from core.errors import ConfigError
from core.types import LEGS
from scripts import peers


def result(yardstick: float = 1e9, engine: float = 1e7, trials: float = 4e3, ns: float = 20.0) -> dict[str, Any]:
    return {
        "yardstick": {"rows_per_s": yardstick},
        "engine": {"tabulated": {"1": {"bars_per_s": engine}}},
        "trials": {"exit_only": {"1": {"per_s_per_core": trials}}},
        "pricing": {"black_price": {"ns": ns}},
    }


def test_a_slow_hour_is_no_slowdown() -> None:
    lines, slower = benchmark_cpu.compared(result(), result(5e8, 5e6, 2e3, 40.0), 0.2)
    assert slower == [] and all("SLOWER" not in line for line in lines)


def test_a_slowdown_is_named() -> None:
    lines, slower = benchmark_cpu.compared(result(), result(trials=3e3), 0.2)
    assert slower == ["trials.exit_only.1"] and "0.75  SLOWER" in lines[2]
    assert benchmark_cpu.compared(result(), result(ns=30.0), 0.2)[1] == ["pricing.black_price"]
    assert benchmark_cpu.compared(result(), result(trials=3e3), 0.3)[1] == []


def test_gains_and_missing_cases_are_shown() -> None:
    before, now = result(), result(engine=3e7)
    del before["pricing"], now["trials"]
    lines, slower = benchmark_cpu.compared(before, now, 0.2)
    assert slower == [] and any(line.split() == ["engine.tabulated.1", "3.00"] for line in lines)
    assert any(line.split() == ["pricing.black_price", "new"] for line in lines)
    assert any(line.split() == ["trials.exit_only.1", "gone"] for line in lines)


def test_a_file_that_is_no_result_is_refused(tmp_path: Path) -> None:
    (tmp_path / "b.json").write_text("[]", encoding="utf-8")
    with pytest.raises(ConfigError, match="no yardstick"):
        benchmark_cpu.read_result(str(tmp_path / "b.json"))
    with pytest.raises(ConfigError, match="cannot be read"):
        benchmark_cpu.read_result(str(tmp_path / "none.json"))
    (tmp_path / "b.json").write_text(json.dumps(result()), encoding="utf-8")
    assert benchmark_cpu.read_result(str(tmp_path / "b.json")) == result()


def test_the_grids_of_trials_act() -> None:
    for condors in (1, 5):
        base = benchmark_cpu.workload(condors)
        assert len(benchmark_cpu.task_of(benchmark_cpu.EXIT_ONLY, base).rows) == 420
        assert len(benchmark_cpu.task_of(benchmark_cpu.STRUCTURES_TRIED, base).rows) == 18
    assert LEGS == 4


def test_peers_that_fail_or_are_missing_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_store: Any) -> tuple[float, str]:
        peers.module("no_such_peer")
        raise AssertionError

    def broken(_store: Any) -> tuple[float, str]:
        raise ValueError("its own trouble")

    monkeypatch.setattr(peers, "PEERS", {"a": missing, "b": broken, "c": lambda _store: (100.0, "work")})
    found = peers.peers(None, 1000.0)  # type: ignore[arg-type]
    assert found["a"]["text"] == "not installed (pip install no_such_peer)" and found["a"]["per_s"] is None
    assert found["b"]["text"] == "failed: ValueError: its own trouble"
    assert found["c"]["text"] == "100 a second; ours 10 x (work)"
