"""`python main.py stress`: options, the run that is stressed, its files."""

from __future__ import annotations

import argparse
import datetime as dt
from typing import Any

from commands.common import REPORTS, common, compile_if_cold, effective, market_options, past_run, show, teller
from core import config as settings
from core.errors import ConfigError

MOST_PATHS, MOST_MARKETS, MOST_DAYS = 20_000, 1000, 2520
MARKETS, QUICK_MARKETS = 50, 10


def add_stress_parser(commands: Any) -> None:
    stress = commands.add_parser(
        "stress",
        help="an open book and a strategy under shocks, on worse markets and by chance",
        description="Run the backtest once, or take a run already made (--run). Then: moves of the past and a grid of "
        "spot, volatility and time on the open book; the strategy again at worse volatility, costs, gaps and quotes; "
        "paths drawn from its own days, and generated markets (MODELLED).",
        epilog="example: python main.py stress --preset weekly --at '2018-02-02 15:00' --quick",
    )
    market_options(stress)
    stress.add_argument("--run", metavar="ID", help="stress a run already made: its id or folder, no market options")
    stress.add_argument("--at", metavar="TIME", help="New York time of the book (default: the largest open risk)")
    stress.add_argument("--paths", metavar="N", type=int, default=1000, help="bootstrapped paths, 1 to 20000 (1000)")
    stress.add_argument("--generated", metavar="N", type=int, help="generated markets, 1 to 1000 (50, --quick 10)")
    stress.add_argument("--quick", action="store_true", help="10 generated markets")
    stress.add_argument("--days", metavar="N", type=int, default=252, help="sessions of each, 5 to 2520 (252)")
    stress.add_argument(
        "--ruin", metavar="X", type=float, default=0.5, help="ruin: equity at or below this share of the start (0.5)"
    )
    stress.add_argument("--report", default="html", metavar="LIST", help="html (default, with pictures) or none")
    stress.add_argument("--out", metavar="DIR", help="run folder (default reports/<run id>)")
    common(stress)


def plan_of(args: argparse.Namespace, seed: int) -> Any:
    """How much --paths, --generated, --days and --ruin ask for."""
    from core.stress.whole import Plan

    markets = args.generated if args.generated is not None else (QUICK_MARKETS if args.quick else MARKETS)
    limits = (("paths", args.paths, 1, MOST_PATHS), ("generated", markets, 1, MOST_MARKETS))
    for name, value, low, high in (*limits, ("days", args.days, 5, MOST_DAYS)):
        if not low <= value <= high:
            raise ConfigError(f"--{name} is {value}; give {low} to {high}")
    if not 0.0 <= args.ruin < 1.0:
        raise ConfigError(f"--ruin is {args.ruin:g}; it is a share of the starting cash, so 0 <= x < 1 (0.5: half)")
    return Plan(args.at, args.paths, markets, args.days, args.ruin, seed)


def stressed_run(args: argparse.Namespace) -> tuple[str | None, settings.Config, Any]:
    """(id of the run if it was made before, settings, market), with the engine compiled."""
    if args.run is not None:
        given = [name for name in ("market", "start", "end", "config", "preset", "set", "seed") if getattr(args, name)]
        if given:
            raise ConfigError(f"--run brings its own market and settings; leave out --{', --'.join(given)}")
        folder, config, store = past_run(args)
        return folder.name, config, store
    from core.market.catalog import open_market

    config = effective(args)
    compiling = compile_if_cold(teller(args))
    store = open_market(config["market.name"], config["market.seed"], teller(args))
    if compiling is not None:
        compiling.wait()
    return None, config, store


def run_stress(args: argparse.Namespace) -> None:
    started = dt.datetime.now(dt.UTC)
    if args.report not in REPORTS:
        raise ConfigError(f"--report is {args.report!r}; give one of: {', '.join(REPORTS)}")
    plan_of(args, 0)  # a mistake in it is told before anything is built
    run_id, config, store = stressed_run(args)
    import backtest_engine
    from core.report import folder as run_files
    from core.report.stress import stress_lines, write_stress
    from core.search.database import log_trial
    from core.stress.whole import stressed

    plan = plan_of(args, config["market.seed"])
    result = backtest_engine.run(store, config)
    value = stressed(result, plan, teller(args))
    folder, own_id = run_files.run_folder(args.out, "stress", config.hash(), started)
    manifest = run_files.manifest_of(result, own_id, started, log_trial(config.hash(), store.hash))
    manifest = {**manifest, "stressed_run": run_id, "stress": plan._asdict()}
    write_stress(folder, value, manifest, args.report == "html")
    if args.report == "html":
        from core.report.build import report_of
        from core.report.faces import write_report
        from core.report.insight import insight_of
        from core.report.measure import measure

        write_report(folder, report_of(result, measure(result), manifest, insight_of(result), value), ("html",))
    show(args, {"run_id": own_id, "folder": str(folder), **value}, stress_lines(value, folder))
