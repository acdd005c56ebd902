"""How fast is this machine: bars and trials per second, ns per option of the kernels, start-up, memory.

    python benchmark_cpu.py [--quick] [--json] [--compare FILE] [--peers]

Prints a table and writes reports/benchmark.json. The workload trades: two years of five-minute bars
(39,312) of a generated market, with 1, 5 and 20 condors open at a time, on tabulated and on modelled
quotes, without and with the intelligence (INTELLIGENCE below: filters, breach chances by the closed form,
scaled sizes, every kind of exit, rolls, a hedge), and with the risk manager's caps and halts on top
(RISK). Timed: decisions, fills, marks, equity, drawdown, reason codes. Timed apart: the signal columns.
Not timed: attribution, greeks, trace, export. Trials are those of `optimize` on the tabulated market, one
core, after loading: grids of exits, grids of structures, and the coarse stage. Compare ratios to the
yardstick (a plain sum over the same columns), not single times: --compare does so with an earlier
reports/benchmark.json, and --peers runs what else is installed on the same bars (scripts/peers.py).
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
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

import backtest_engine
from core import config as settings
from core.coarse import COUNT, UNRANKED
from core.config import Config
from core.costs import costs_from
from core.errors import ConfigError, QuantorError
from core.jit import ROOT, njit
from core.market.catalog import store_folder
from core.market.store import Store, market_of, open_store
from core.portfolio import new_book
from core.report.folder import versions
from core.risk_manager import limits_from
from core.search.coarse_stage import rank_group
from core.search.evaluate import Evaluator, Task
from core.search.grid import parse_grid, read_grid, space_of
from core.search.workers import Local
from core.trials import METRIC
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


EXIT_ONLY = {
    "strategy.exits.profit_frac": [0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8],
    "strategy.exits.stop_multiple": [1.0, 1.5, 2.0, 2.5, 3.0, 4.0],
    "strategy.exits.exit_dte": [5, 7, 10, 12, 14],
    "strategy.exits.max_hold_days": [0, 10],
}
STRUCTURES_TRIED = {
    "strategy.entry.dte_target": [28, 35, 42],
    "strategy.entry.short_delta": [0.12, 0.16, 0.2],
    "strategy.entry.wing_width": [5.0, 10.0],
}


def task_of(vary: dict[str, list[Any]], base: Config) -> Task:
    """A grid as one task."""
    space = space_of(parse_grid({"vary": vary}, "benchmark").phases[0], base)
    return Task(space.paths, tuple(space.rows))


def trials_case(store: Store, vary: dict[str, list[Any]], condors: int, repeats: int) -> dict[str, float]:
    """Trials per second of one core on a grid, the market and its marks at hand."""
    base = workload(condors)
    evaluator, task = Evaluator(store, base), task_of(vary, base)
    outcome = evaluator.evaluate(task)
    seconds = best_seconds(lambda: evaluator.evaluate(task), repeats)
    trades = float(outcome.figures[:, METRIC["trades"]].mean())
    return {"per_s_per_core": len(task.rows) / seconds, "trials": len(task.rows), "mean_trades": trades}


def coarse_case(store: Store, repeats: int) -> dict[str, float]:
    """Trials per second of the coarse stage: all exits of data/grids/exits.yaml, tables at hand."""
    base = workload(1).with_values(source="benchmark", strategy__entry__schedule="daily", strategy__entry__dte_min=30)
    evaluator = Evaluator(store, base)
    space = space_of(read_grid("exits").phases[0], base)
    timed: list[float] = []
    group = evaluator.groups(Task(space.paths, tuple(space.rows)))[0]
    results = rank_group(evaluator, group, lambda run: timed.append(best_seconds(run, repeats)))
    return {
        "per_s_per_core": len(space.rows) / timed[0],
        "trials": len(space.rows),
        "ranked": float((results[:, COUNT] != UNRANKED).mean()),
    }


def private_per_worker(store: Store) -> float:
    """MB that a second worker of a search has for itself, mapped pages not counted."""
    base = workload(1)
    engine = Local(store, base, 2)
    try:
        task = task_of(EXIT_ONLY, base)
        for _ in engine.run(task.paths, task.rows):
            pass
        return engine.private_mb
    finally:
        engine.close()


def trials(store: Store, repeats: int) -> dict[str, Any]:
    return {
        "exit_only": {str(n): trials_case(store, EXIT_ONLY, n, repeats) for n in CONDORS[:2]},
        "structure": {str(n): trials_case(store, STRUCTURES_TRIED, n, repeats) for n in CONDORS[:2]},
        "coarse": {"1": coarse_case(store, repeats)},
    }


# ---------------------------------------------------------------- against an earlier run


def speeds_of(found: Mapping[str, Any]) -> dict[str, float]:
    """Every speed of a result as a share of its yardstick, by its place: more is faster. Times are turned over."""
    yard = found["yardstick"]["rows_per_s"]
    flat: dict[str, float] = {}
    for engine in KINDS:
        for kind, cases in found.get(engine, {}).items():
            flat |= {f"{engine}.{kind}.{n}": case["bars_per_s"] / yard for n, case in cases.items()}
    for kind, cases in found.get("trials", {}).items():
        flat |= {f"trials.{kind}.{n}": case["per_s_per_core"] / yard for n, case in cases.items()}
    for part in ("signals", "pricing"):
        flat |= {f"{part}.{name}": 1e9 / case["ns"] / yard for name, case in found.get(part, {}).items()}
    return flat


def compared(before: Mapping[str, Any], now: Mapping[str, Any], tolerance: float) -> tuple[list[str], list[str]]:
    """(lines for people, cases slower than before by more than the tolerance), each by its own run's yardstick."""
    old, new = speeds_of(before), speeds_of(now)
    lines, slower = [f"{'against the earlier run, by the yardstick':42} {'ratio':>7}"], []
    for name, speed in new.items():
        if name not in old:
            lines.append(f"{name:42} {'new':>7}")
            continue
        ratio = speed / old[name]
        if ratio < 1.0 - tolerance:
            slower.append(name)
        lines.append(f"{name:42} {ratio:>7.2f}{'  SLOWER' if name in slower else ''}")
    lines += [f"{name:42} {'gone':>7}" for name in old if name not in new]
    return lines, slower


def read_result(path: str) -> dict[str, Any]:
    """An earlier result; ConfigError where it is none."""
    try:
        found = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"--compare {path}: cannot be read ({error}); give a benchmark.json") from None
    if not isinstance(found, dict) or "yardstick" not in found:
        raise ConfigError(f"--compare {path}: holds no yardstick; give a benchmark.json made by this command")
    return found


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
        "trials": trials(stores["tabulated"], 3),
        "pricing": pricing_speed.measured(repeats),
        "startup": startup(quick),
        "memory": {"peak_mb": private_mb(), "private_per_worker_mb": private_per_worker(stores["tabulated"])},
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
    for kind, cases in found["trials"].items():
        for condors, case in cases.items():
            lines.append(
                f"{'trials, ' + kind + ', ' + condors + ' condors':34} {case['per_s_per_core']:>12,.0f} a second"
            )
    lines += [f"{'signals, ' + kind:34} {case['ns']:>12,.1f} ns a bar" for kind, case in found["signals"].items()]
    lines += [f"{name:34} {case['ns']:>12,.1f} ns an option" for name, case in found["pricing"].items()]
    for name, value in found["startup"].items():
        lines.append(f"{name:26} {'not measured (--quick)' if value is None else f'{value:8.2f} s'}")
    for name, text in (("peak_mb", "private memory"), ("private_per_worker_mb", "private memory of a worker")):
        value = found["memory"][name]
        lines.append(f"{text:26} {'n/a' if value is None else f'{value:8.0f} MB'}")
    return lines


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer repeats, no cold start")
    parser.add_argument("--json", action="store_true", help="print the JSON instead of the table")
    parser.add_argument("--compare", metavar="FILE", help="an earlier benchmark.json; exit code 1 if a case is slower")
    parser.add_argument("--tolerance", metavar="X", type=float, default=0.2, help="slowdown that is flagged (0.2)")
    parser.add_argument("--peers", action="store_true", help="other systems on the same bars, where installed")
    args = parser.parse_args(argv)
    try:
        before = None if args.compare is None else read_result(args.compare)
        found = measured(args.quick)
        if args.peers:
            from scripts.peers import peers

            found["peers"] = peers(markets()["tabulated"], found["engine"]["tabulated"]["1"]["bars_per_s"])
    except QuantorError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return error.exit_code
    path = ROOT / "reports" / "benchmark.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    lines = [*table(found), f"written to {path.relative_to(ROOT)}"]
    for name, peer in found.get("peers", {}).items():
        lines.append(f"{name:42} {peer['text']}")
    slower: list[str] = []
    if before is not None:
        more, slower = compared(before, found, args.tolerance)
        lines += more
    print(json.dumps(found) if args.json else "\n".join(lines))
    return 1 if slower else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
