"""How fast is this machine: bars and trials per second, ns per option of the kernels, start-up, memory.

    python benchmark_cpu.py [--quick] [--json] [--compare FILE [--tolerance X]]
    python benchmark_cpu.py --peers [--quick] [--json]

Prints a table and writes reports/benchmark.json. The workload trades: two years of five-minute bars
(39,312) of a generated market, with 1, 5 and 20 condors open at a time, on tabulated and on modelled
quotes, without and with the intelligence (INTELLIGENCE below: filters, breach chances by the closed form,
scaled sizes, every kind of exit, rolls, a hedge), and with the risk manager's caps and halts on top
(RISK). Timed: decisions, fills, marks, equity, drawdown, reason codes. Timed apart: the signal columns.
Not timed: attribution, greeks, trace, export. Trials are those of `optimize` on the tabulated market, one
core: a grid of exits and a grid of structures (with the marks of earlier trials at hand, and from nothing),
and the coarse stage. Compare ratios to the yardstick (a plain sum over the same columns), not single times:
--compare does so with an earlier reports/benchmark.json, and ends with exit code 1 where a case became
slower. --peers runs other systems that are installed beside the same engine (scripts/peers.py) instead,
and writes reports/peers.json.
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
from fnmatch import fnmatchcase
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
from core.report.folder import reports_folder, versions
from core.risk_manager import limits_from
from core.search.coarse_stage import rank_group
from core.search.evaluate import Evaluator, Task
from core.search.grid import parse_grid, read_grid
from core.search.space import Space
from core.search.workers import Local
from core.trials import METRIC
from core.types import LEGS, T, record_of
from scripts import peers, pricing_speed
from strategies.rules import rules_from
from strategies.view import view_of

SESSIONS = 504
CONDORS = (1, 5, 20)
REPEATS, TRIAL_REPEATS = 7, 3
TOLERANCE = 0.2
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


YARD_ROWS, YARD_REPEATS = 39_312, 50


def yard_speed() -> float:
    """Rows per second of the yardstick, now."""
    values, out = np.arange(YARD_ROWS, dtype=np.int64), np.empty(YARD_ROWS, np.int64)
    return YARD_ROWS / best_seconds(lambda: yardstick(values, out), YARD_REPEATS)


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
    space = Space(parse_grid({"vary": vary}, "benchmark").phases[0], base)
    return Task(space.paths, tuple(space.rows))


def first_seconds(make: Callable[[], Callable[[], Any]], repeats: int) -> float:
    """Median process time of the first call of what is made anew each time; the making is not counted."""
    found = []
    for _ in range(repeats):
        work = make()
        began = time.process_time()
        work()
        found.append(time.process_time() - began)
    return float(np.median(found))


def trials_case(store: Store, vary: dict[str, list[Any]], condors: int, repeats: int) -> dict[str, float]:
    """Trials per second of one core on a grid: with the marks of earlier trials at hand, and from nothing."""
    base = workload(condors)
    evaluator, task = Evaluator(store, base), task_of(vary, base)
    outcome = evaluator.evaluate(task)
    seconds = best_seconds(lambda: evaluator.evaluate(task), repeats)

    def fresh() -> Callable[[], Any]:
        new = Evaluator(store, base)
        return lambda: new.evaluate(task)

    return {
        "per_s_per_core": len(task.rows) / seconds,
        "per_s_from_nothing": len(task.rows) / first_seconds(fresh, repeats),
        "trials": len(task.rows),
        "mean_trades": float(outcome.figures[:, METRIC["trades"]].mean()),
    }


def coarse_case(store: Store, repeats: int) -> dict[str, float]:
    """Trials per second of the coarse stage on the exits of data/grids/exits.yaml: tables at hand, and from nothing."""
    base = workload(1).with_values(source="benchmark", strategy__entry__schedule="daily", strategy__entry__dte_min=30)
    evaluator = Evaluator(store, base)
    space = Space(read_grid("exits").phases[0], base)
    group = evaluator.groups(Task(space.paths, tuple(space.rows)))[0]
    timed: list[float] = []
    results = rank_group(evaluator, group, lambda walk: timed.append(best_seconds(walk, repeats)))

    def fresh() -> Callable[[], Any]:
        new = Evaluator(store, base)
        new.views.of(group.values)
        return lambda: rank_group(new, group)

    whole = first_seconds(fresh, repeats)
    return {
        "per_s_per_core": len(space.rows) / timed[0],
        "per_s_from_nothing": len(space.rows) / whole,
        "trials": len(space.rows),
        "ranked": float((results[:, COUNT] != UNRANKED).mean()),
    }


def private_per_worker(store: Store) -> float | None:
    """MB that a worker of a search has for itself, mapped pages not counted: the largest of two (Linux)."""
    base = workload(1)
    engine = Local(store, base, 2)
    try:
        task = task_of(EXIT_ONLY, base)
        for _ in engine.run(task.paths, task.rows):
            pass
    finally:
        engine.close()
    return engine.private_mb or None  # 0 where the system does not tell


def trials(store: Store, repeats: int) -> dict[str, Any]:
    return {
        "exit_only": {str(n): trials_case(store, EXIT_ONLY, n, repeats) for n in CONDORS[:2]},
        "structure": {str(n): trials_case(store, STRUCTURES_TRIED, n, repeats) for n in CONDORS[:2]},
        "coarse": {"1": coarse_case(store, repeats)},
    }


# ---------------------------------------------------------------- against an earlier run


# Where speeds stand in a result, and whether they are speeds (more is faster) or times of one thing (ns).
SPEEDS = {
    "engine.*.*.bars_per_s": False,
    "engine_with_intelligence.*.*.bars_per_s": False,
    "engine_with_risk.*.*.bars_per_s": False,
    "trials.*.*.per_s_per_core": False,
    "trials.*.*.per_s_from_nothing": False,
    "signals.*.ns": True,
    "pricing.*.ns": True,
}
# What else belongs to a result: facts beside the speeds, wall times and memory, which no yardstick scales.
FACTS = ("machine.*", "versions.*", "yardstick.*", "startup.*", "memory.*")
BESIDE = ("open_condor_bars_per_s", "mean_open", "quotes_per_bar", "trades", "trials", "mean_trades", "ranked")


def leaves(found: Any, path: str = "") -> dict[str, Any]:
    """Every value of nested mappings by its dotted path."""
    if not isinstance(found, Mapping):
        return {path: found}
    return {p: v for name, part in found.items() for p, v in leaves(part, f"{path}.{name}" if path else name).items()}


def is_speed(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0.0 < value < float("inf")


def speeds_of(found: Mapping[str, Any]) -> tuple[dict[str, float], list[str]]:
    """(every speed as a share of the run's own yardstick by its path, more is faster; paths that mean nothing here)."""
    yard = found["yardstick"]["rows_per_s"]
    speeds: dict[str, float] = {}
    unknown = []
    for path, value in leaves(found).items():
        kind = next((pattern for pattern in SPEEDS if fnmatchcase(path, pattern)), None)
        if kind is not None and is_speed(value):
            speeds[path] = (1e9 / value if SPEEDS[kind] else value) / yard
        elif kind is not None or not (
            any(fnmatchcase(path, pattern) for pattern in FACTS) or path.rpartition(".")[2] in BESIDE
        ):
            unknown.append(path)
    return speeds, unknown


def is_others(path: str) -> bool:
    """Whether a case is another library's, which stands beside ours and cannot be slower than it was by our doing."""
    return any(name in path for name in ("quantlib", "lets_be_rational"))


def compared(before: Mapping[str, Any], now: Mapping[str, Any], tolerance: float) -> dict[str, Any]:
    """How fast every case is against an earlier run, each taken by its own run's yardstick.

    tolerance : a case is slower where its ratio is below 1 - tolerance; new and gone : cases of one run alone
    """
    (old, strange), (new, _) = speeds_of(before), speeds_of(now)
    ratios = {path: speed / old[path] for path, speed in new.items() if path in old}
    return {
        "tolerance": tolerance,
        "ratios": ratios,
        "slower": [path for path, ratio in ratios.items() if ratio < 1.0 - tolerance and not is_others(path)],
        "new": [path for path in new if path not in old],
        "gone": [path for path in old if path not in new],
        "unknown": strange,
    }


def comparison_table(found: Mapping[str, Any]) -> list[str]:
    """The comparison for people."""
    lines = [f"{'speed against the earlier run, by the yardstick':62} {'ratio':>7}"]
    for path, ratio in found["ratios"].items():
        lines.append(f"{path:62} {ratio:>7.3f}{'  SLOWER' if path in found['slower'] else ''}")
    for name, why in (("new", "not in FILE"), ("gone", "in FILE alone"), ("unknown", "in FILE, not understood")):
        lines += [f"{path:62} {why}" for path in found[name]]
    slower, count = len(found["slower"]), len(found["ratios"])
    lines.append(f"{slower} of {count} cases slower by more than {100 * found['tolerance']:g} %")
    return lines


def read_result(path: str) -> dict[str, Any]:
    """An earlier result; ConfigError where it is none."""
    try:
        found = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"--compare {path}: cannot be read ({error}); give a benchmark.json") from None
    yard = found.get("yardstick") if isinstance(found, dict) else None
    if not isinstance(yard, dict) or not is_speed(yard.get("rows_per_s")):
        raise ConfigError(f"--compare {path}: holds no yardstick; give a benchmark.json made by this command")
    if not speeds_of(found)[0]:
        raise ConfigError(f"--compare {path}: holds no speed; give a benchmark.json made by this command")
    return dict(found)


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
    stores = markets()
    tabulated = stores["tabulated"]
    yard = [yard_speed()]
    parts: dict[str, Any] = {}
    for name, make in (("engine", workload), ("engine_with_intelligence", intelligent), ("engine_with_risk", guarded)):
        parts[name] = {
            kind: {str(n): engine_case(store, make(n), repeats) for n in CONDORS} for kind, store in stores.items()
        }
        yard.append(yard_speed())
    parts["signals"] = {kind: signals_case(store, repeats) for kind, store in stores.items()}
    parts["trials"] = trials(tabulated, min(repeats, TRIAL_REPEATS))
    yard.append(yard_speed())
    parts["pricing"] = pricing_speed.measured(repeats)
    yard.append(yard_speed())
    return {
        "machine": {"processor": platform.processor() or platform.machine(), "cores": os.cpu_count()},
        "versions": versions(),
        "yardstick": {"rows_per_s": float(np.median(yard)), "lowest": min(yard), "highest": max(yard)},
        **parts,
        "startup": startup(quick),
        "memory": {"peak_mb": private_mb(), "private_per_worker_mb": private_per_worker(tabulated)},
    }


def beside_peers(store: Store, repeats: int) -> dict[str, float]:
    """Speeds of this engine that those of peers are held against, on the same bars."""
    one, many = engine_case(store, workload(1), repeats), engine_case(store, workload(CONDORS[-1]), repeats)
    ns = signals_case(store, repeats)["ns"] + 1e9 / engine_case(store, intelligent(1), repeats)["bars_per_s"]
    rows = len(store.columns["ts"])
    return {
        "bars": one["bars_per_s"],
        "signals, bars": 1e9 / ns,
        "condors": many["trades"] * many["bars_per_s"] / rows,
    }


OURS = {
    "bars": "whole backtest of one condor at a time, marked on every bar",
    "signals, bars": "all signal columns of 5, 15 and 60 minutes, then a backtest with everything on",
    "condors": "trades of a backtest that keeps twenty open, marked on every bar",
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
    lines.append(f"{'trials on tabulated':19} {'condors':>7} {'':6} {'trials':>7} {'a second':>9} {'from nothing':>21}")
    for kind, cases in found["trials"].items():
        for condors, case in cases.items():
            lines.append(
                f"{kind.replace('_', ' '):19} {condors:>7} {'':6} {case['trials']:>7} "
                f"{case['per_s_per_core']:>9,.0f} {case['per_s_from_nothing']:>21,.0f}"
            )
    lines += [f"{'signals, ' + kind:34} {case['ns']:>12,.1f} ns a bar" for kind, case in found["signals"].items()]
    lines += [f"{name:34} {case['ns']:>12,.1f} ns an option" for name, case in found["pricing"].items()]
    for name, value in found["startup"].items():
        lines.append(f"{name:26} {'not measured (--quick)' if value is None else f'{value:8.2f} s'}")
    for name, text in (("peak_mb", "private memory"), ("private_per_worker_mb", "private memory of a worker")):
        value = found["memory"][name]
        lines.append(f"{text:26} {'n/a' if value is None else f'{value:8.0f} MB'}")
    return lines


def tolerance(text: str) -> float:
    """A share between 0 and 1."""
    value = float(text)
    if not 0.0 <= value < 1.0:
        raise argparse.ArgumentTypeError(f"{text} is no share; give 0 <= X < 1 (0.2 flags what lost a fifth)")
    return value


def written(found: dict[str, Any], name: str, compared_with: str | None = None) -> str:
    """Write a result among the reports, not over one that it was compared with; the line that says so."""
    path = reports_folder() / name
    shown = path.relative_to(ROOT) if path.is_relative_to(ROOT) else path
    if compared_with is not None and path.resolve() == Path(compared_with).resolve():
        return f"{shown} is what this run was compared with, and stays as it is"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return f"written to {shown}"


def run_peers(quick: bool) -> tuple[dict[str, Any], list[str]]:
    """The result of --peers, and its lines for people."""
    store = markets()["tabulated"]
    ours = beside_peers(store, 3 if quick else REPEATS)
    found = {"versions": versions(), "ours": ours, "peers": peers.measure_all(store, ours, quick)}
    return found, [*peers.table(found["peers"]), *(f"here, {name}: {text}" for name, text in OURS.items())]


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer repeats, no cold start, peers on fewer bars")
    parser.add_argument("--json", action="store_true", help="print the JSON instead of the table")
    other = parser.add_mutually_exclusive_group()
    other.add_argument("--compare", metavar="FILE", help="an earlier benchmark.json; exit code 1 if a case is slower")
    other.add_argument("--peers", action="store_true", help="other systems on the same bars instead, where installed")
    parser.add_argument("--tolerance", metavar="X", type=tolerance, help="slowdown that passes (0.2)")
    args = parser.parse_args(argv)
    if args.tolerance is not None and args.compare is None:
        parser.error("--tolerance is of --compare; add --compare FILE")
    slower = False
    try:
        before = None if args.compare is None else read_result(args.compare)
        if args.peers:
            found, lines = run_peers(args.quick)
        else:
            found = measured(args.quick)
            lines = table(found)
    except QuantorError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return error.exit_code
    lines.append(written(found, "peers.json" if args.peers else "benchmark.json", args.compare))
    if before is not None:
        found = {**found, "compare": compared(before, found, TOLERANCE if args.tolerance is None else args.tolerance)}
        lines += comparison_table(found["compare"])
        slower = bool(found["compare"]["slower"])
    print(json.dumps(found) if args.json else "\n".join(lines))
    return 1 if slower else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
