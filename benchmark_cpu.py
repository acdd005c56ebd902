"""How fast is this machine: bars per second of the engine, ns per option of the kernels, start-up, memory.

    python benchmark_cpu.py [--quick] [--json]

Prints a table and writes reports/benchmark.json. The workload trades: two years of five-minute bars
(39,312) of a generated market, with 1, 5 and 20 condors open at a time, on tabulated and on modelled
quotes, without and with the intelligence (INTELLIGENCE below: filters, breach chances by the closed form,
scaled sizes, every kind of exit, rolls, a hedge), and with the risk manager's caps and halts on top
(RISK). Timed: decisions, fills, marks, equity, drawdown, reason codes. Timed apart: the signal columns.
Not timed: attribution, greeks, trace, export. Compare ratios to the yardstick (a plain sum over the same
columns), not single times.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import backtest_engine
from core import config as settings
from core.config import Config
from core.costs import costs_from
from core.jit import ROOT, njit
from core.market.catalog import store_folder
from core.market.store import Store, market_of, open_store
from core.portfolio import new_book
from core.report.folder import versions
from core.risk_manager import limits_from
from core.types import LEGS, T, record_of
from scripts import pricing_speed
from strategies.rules import rules_from
from strategies.view import view_of

SESSIONS = 504
CONDORS = (1, 5, 20)
REPEATS = 7
# Everything on, yet five condors stay open: the filters are wide, the past that ranks need is short.
INTELLIGENCE: dict[str, Any] = {
    "signals__iv_window": 40,
    "signals__realised_days": 10,
    "filters__consensus_min": 0.05,
    "filters__consensus_max": 0.95,
    "filters__score_min": 0.1,
    "filters__confidence_min": 0.1,
    "filters__avoid_regimes": "crash",
    "filters__vol_ratio_max": 3.0,
    "filters__max_breach": 0.97,
    "filters__max_leg_spread": 2.0,
    "entry__expiry_rule": "edge",
    "entry__skew_penalty": 0.1,
    "entry__widen": 1.25,
    "entry__credit_iv_scale": 0.2,
    "size__contracts": 3,
    "size__fuzzy_scale": 0.5,
    "size__vol_floor": 0.5,
    "size__high_vol_factor": 0.75,
    "exits__trail_from": 0.3,
    "exits__trail_giveback": 0.3,
    "exits__stop_scale": "vol",
    "exits__exit_breach": 0.97,
    "exits__leave_regimes": "crash",
    "exits__cheap_short": 0.03,
    "manage__tested_action": "roll_untested",
    "manage__roll_out": "exit_dte",
    "hedge__delta_band": 200.0,
}
# Every cap, halt and check on, so wide that five condors stay open.
RISK: dict[str, Any] = {
    **dict.fromkeys(("trade_delta", "trade_gamma", "trade_vega", "trade_theta"), 1e5),
    **dict.fromkeys(("book_delta", "book_gamma", "book_vega", "book_theta"), 1e5),
    **dict.fromkeys(("trade_loss", "book_loss"), 1e8),
    "book_contracts": 10_000,
    "expiry_loss": 0.9,
    "shock_loss": 0.9,
    "daily_loss": 0.5,
    "drawdown": 0.9,
    "losses_in_row": 100,
    "margin": "alpaca",
}
STORES = {"modelled": "benchmark-modelled", "tabulated": "benchmark-tabulated"}


@njit
def yardstick(values, out):
    """Running sum of an int64 column: what reading and writing a row cannot beat by much."""
    total = 0
    for i in range(values.shape[0]):
        total += values[i]
        out[i] = total
    return total


def best_seconds(work: Callable[[], Any], repeats: int) -> float:
    """Median process time of a call, after one that is not counted."""
    work()
    found = []
    for _ in range(repeats):
        began = time.process_time()
        work()
        found.append(time.process_time() - began)
    return float(np.median(found))


def markets() -> dict[str, Store]:
    """The generated market, and the same market with a dense table of quotes; made once."""
    from core.market.generate import build_synthetic, tabulate

    found = {}
    for kind, name in STORES.items():
        path = store_folder() / name
        if not (path / "manifest.json").exists():
            print(f"building {name} ...", file=sys.stderr, flush=True)
            if kind == "modelled":
                build_synthetic(path, seed=7, sessions=SESSIONS, name=name)
            else:
                tabulate(found["modelled"], path, name)
        found[kind] = open_store(path)
    return found


def workload(condors: int) -> Config:
    """Settings that keep so many condors open most of the time: several entries a day, held for days."""
    return settings.load(user_file=ROOT / "no user settings").with_values(
        source="benchmark",
        strategy__max_positions=condors,
        strategy__entry__dte_min=20,
        strategy__entry__dte_max=50,
        strategy__entry__dte_target=35,
        strategy__entry__schedule="ladder",
        strategy__entry__ladder_days=0,
        strategy__entry__ladder_minutes=30,
        strategy__entry__max_new_per_day=5,
        strategy__entry__min_credit_vs_median=0.0,
        strategy__exits__exit_dte=10,
        account__starting_cash=1e6,
        costs__fees="none",
    )


def intelligent(condors: int) -> Config:
    """The workload with everything on."""
    changes = {f"strategy__{name}": value for name, value in INTELLIGENCE.items()}
    return workload(condors).with_values(source="benchmark", **changes)


def guarded(condors: int) -> Config:
    """And with every cap of the risk manager, its halts and margin."""
    return intelligent(condors).with_values(source="benchmark", **{f"risk__{k}": v for k, v in RISK.items()})


def signals_case(store: Store, repeats: int) -> dict[str, float]:
    """Nanoseconds a bar of all signal columns, fuzzy score, regimes and gates, one core, warm."""
    market, config = market_of(store), intelligent(1)
    seconds = best_seconds(lambda: view_of(market, store.columns, config.values), repeats)
    return {"ns": 1e9 * seconds / len(market.row)}


def engine_case(store: Store, config: Config, repeats: int) -> dict[str, float]:
    """Bars per second of one whole run, one core, warm."""
    condors = config["strategy.max_positions"]
    market = view_of(market_of(store), store.columns, config.values)
    rules = record_of(rules_from(config.values))
    limits = record_of(limits_from(config.values))
    costs = record_of(costs_from(config.values, settings.read_fees("none"), LEGS))
    rows = len(market.row)
    script = backtest_engine.script_of(market, ())
    out = backtest_engine.ledger_for(config, market)
    books: list[Any] = []

    def once() -> None:
        books.append(new_book(10**8, condors, int((market.ses.end - market.ses.start).max())))
        backtest_engine.run_rows(market, rules, limits, costs, books[-1], out, script, 0, rows)

    seconds = best_seconds(once, repeats)
    trades = out.t_int[: books[-1].head.trades]
    closed = np.where(trades[:, T["closed"]] >= 0, trades[:, T["closed"]], rows)
    held = float((closed - trades[:, T["opened"]]).sum())
    return {
        "bars_per_s": rows / seconds,
        "open_condor_bars_per_s": held / seconds,
        "mean_open": held / rows,
        "trades": len(trades),
        "quotes_per_bar": LEGS * held / rows,
    }


def command_seconds(arguments: list[str], environment: dict[str, str]) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "main.py", *arguments], cwd=ROOT, env=environment, check=True, capture_output=True)
    return time.perf_counter() - began


def startup(quick: bool) -> dict[str, float | None]:
    """Wall seconds of whole commands: help, a warm default backtest, and one with an empty compile cache."""
    with tempfile.TemporaryDirectory() as folder:
        environment = dict(os.environ)
        run = ["backtest", "--report", "none", "--json", "--quiet", "--out"]
        command_seconds([*run, f"{folder}/first"], environment)
        warm = min(command_seconds([*run, f"{folder}/warm{i}"], environment) for i in range(3))
        cold = None
        if not quick:
            cold = command_seconds([*run, f"{folder}/cold"], {**environment, "QMTF_CACHE_DIR": f"{folder}/cache"})
        return {"help_s": command_seconds(["--help"], environment), "cold_s": cold, "warm_s": warm}


def private_mb() -> float | None:
    """Private resident memory of this process, mapped store pages not counted (Linux)."""
    rollup = Path("/proc/self/smaps_rollup")
    if not rollup.exists():
        return None
    lines = [line.split() for line in rollup.read_text(encoding="utf-8").splitlines()]
    return sum(int(parts[1]) for parts in lines if parts[0] in ("Private_Dirty:",)) / 1024.0


KINDS = {"engine": "", "engine_with_intelligence": ", all on", "engine_with_risk": ", and risk"}


def measured(quick: bool) -> dict[str, Any]:
    repeats = 3 if quick else REPEATS
    values, out = np.arange(39_312, dtype=np.int64), np.empty(39_312, np.int64)
    stores = markets()
    engine, full, safe = (
        {kind: {str(n): engine_case(store, make(n), repeats) for n in CONDORS} for kind, store in stores.items()}
        for make in (workload, intelligent, guarded)
    )
    return {
        "machine": {"processor": platform.processor() or platform.machine(), "cores": os.cpu_count()},
        "versions": versions(),
        "yardstick": {"rows_per_s": len(values) / best_seconds(lambda: yardstick(values, out), 50)},
        "engine": engine,
        "engine_with_intelligence": full,
        "engine_with_risk": safe,
        "signals": {kind: signals_case(store, repeats) for kind, store in stores.items()},
        "pricing": pricing_speed.measured(repeats),
        "startup": startup(quick),
        "memory": {"peak_mb": private_mb()},
    }


def table(found: dict[str, Any]) -> list[str]:
    """The result for people."""
    yard = found["yardstick"]["rows_per_s"]
    lines = [
        f"{'engine':19} {'condors':>7} {'open':>6} {'trades':>7} {'M bars/s':>9} {'ns/bar':>8} {'x yardstick':>12}"
    ]
    for engine, suffix in KINDS.items():
        for kind, cases in found[engine].items():
            for condors, case in cases.items():
                speed = case["bars_per_s"]
                lines.append(
                    f"{kind + suffix:19} {condors:>7} {case['mean_open']:>6.2f} {case['trades']:>7} "
                    f"{speed / 1e6:>9.2f} {1e9 / speed:>8.1f} {yard / speed:>12.1f}"
                )
    lines += [f"{'signals, ' + kind:34} {case['ns']:>12,.1f} ns a bar" for kind, case in found["signals"].items()]
    lines += [f"{name:34} {case['ns']:>12,.1f} ns an option" for name, case in found["pricing"].items()]
    for name, value in found["startup"].items():
        lines.append(f"{name:26} {'not measured (--quick)' if value is None else f'{value:8.2f} s'}")
    peak = found["memory"]["peak_mb"]
    lines.append(f"{'private memory':26} {'n/a' if peak is None else f'{peak:8.0f} MB'}")
    return lines


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer repeats, no cold start")
    parser.add_argument("--json", action="store_true", help="print the JSON instead of the table")
    args = parser.parse_args(argv)
    found = measured(args.quick)
    path = ROOT / "reports" / "benchmark.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(found) if args.json else "\n".join([*table(found), f"written to {path.relative_to(ROOT)}"]))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
