"""Quantor-MTFuzz: research and trade SPY iron condors.

    python main.py backtest                     replay the default strategy on the embedded market
    python main.py data import standard ...     make a market from your own files
    python main.py price                        a condor under every model: value, greeks, chances
    python main.py calibrate --date 2018-12-31  smiles of a market's chain, and how well models fit them
    python main.py optimize                     which settings, and how much of the best is luck
    python main.py stress                       what would have hurt: past shocks, worse markets, chance
    python main.py lookahead                    whether the newest run knew the future
    python main.py explain --at '2018-02-05 15:45'  one decision of it in words and numbers
    python main.py live --rehearse 2018-01-16   trade a day against a broker on this machine; --paper: through Alpaca
    python main.py report; compare; runs        a run's report again, runs side by side, runs on disk
    python main.py doctor                       whether machine, packages, kernels and markets are in order
    python main.py config show                  the effective settings and where each comes from

This file parses, loads settings, wires, calls and shows. It is the only place that catches errors.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from core import config as settings
from core.errors import ConfigError, DataError, QuantorError
from core.live.cli import add_parsers as add_live_parsers
from core.report import cli as report_cli
from core.report.completion import SHELLS, completion

INTERRUPTED = 130
MOST_CUTS = 1000
MOST_PATHS, MOST_MARKETS, MOST_DAYS = 20_000, 1000, 2520
MARKETS, QUICK_MARKETS = 50, 10
REPORTS = ("html", "none")
FACES = ("html", "pdf")  # of a backtest's report
DRIVERS = ("native", "backtrader")
FORMATS = ("standard", "classic", "optionsdx", "ivolatility", "orats", "cboe", "generic", "mids", "outcomes")


class Parser(argparse.ArgumentParser):
    """argparse whose mistakes are ConfigErrors, so that every error looks and exits the same way."""

    def error(self, message: str) -> Any:
        raise ConfigError(f"{message} (see `{self.prog} --help`)")


def common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="the result alone on stdout, as one JSON object")
    parser.add_argument("--quiet", action="store_true", help="no progress on stderr")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")


def market_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--market", metavar="NAME", help="history (default), synthetic, or an imported market")
    parser.add_argument("--start", metavar="D", help="first New York date, inclusive")
    parser.add_argument("--end", metavar="D", help="last New York date, inclusive")
    parser.add_argument("--config", metavar="FILE", help="settings in YAML")
    parser.add_argument("--preset", metavar="NAME", help="settings by name: " + ", ".join(settings.preset_names()))
    parser.add_argument("--set", metavar="KEY=VALUE", action="append", default=[], help="one setting (repeatable)")
    parser.add_argument("--seed", metavar="N", help="seed of a modelled market")


def report_options(parser: argparse.ArgumentParser) -> None:
    """What a user may add to a report."""
    parser.add_argument("--beside", metavar="FILE", action="append", default=[], help="CSV of an index to show beside")
    parser.add_argument("--tax", metavar="S,L", help="short- and long-term tax rates, as 0.37,0.20 (default: no tax)")


def build_parser() -> Parser:
    parser = Parser(
        prog="python main.py",
        description="Research and trade SPY iron condors, honestly costed.",
        epilog="example: python main.py backtest --preset weekly --start 2016-01-01",
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=Parser)
    backtest = commands.add_parser(
        "backtest",
        help="replay the strategy on a market",
        description="Replay the strategy bar by bar with honest fills and write a run folder.",
        epilog="example: python main.py backtest --market history --set strategy.exits.profit_frac=0.4",
    )
    market_options(backtest)
    backtest.add_argument("--report", default="html,pdf", metavar="LIST", help="html,pdf (default), either, or none")
    backtest.add_argument("--cut", metavar="D", help="first session out of sample, against the mechanical twin (60%%)")
    report_options(backtest)
    backtest.add_argument("--trace", action="store_true", help="also write trace.csv, a row per bar")
    backtest.add_argument(
        "--driver",
        choices=DRIVERS,
        default="native",
        metavar="NAME",
        help="native (default), or backtrader: the same result row by row under Cerebro's clock, which checks ours",
    )
    backtest.add_argument("--out", metavar="DIR", help="run folder (default reports/<run id>)")
    common(backtest)
    add_optimize_parser(commands)
    add_stress_parser(commands)
    add_run_parsers(commands)
    add_pricing_parsers(commands)
    add_data_parser(commands)
    report_cli.add_parsers(commands, report_options, common)
    add_live_parsers(commands, market_options, common)
    add_config_parser(commands)
    shell = commands.add_parser(
        "completion",
        help="completion for a shell, and `quantor`, which runs this checkout from anywhere",
        epilog='example: eval "$(python main.py completion bash)"',
    )
    shell.add_argument("shell", choices=SHELLS, metavar="SHELL", help=", ".join(SHELLS))
    common(shell)
    return parser


def add_optimize_parser(commands: Any) -> None:
    optimize = commands.add_parser(
        "optimize",
        help="search the settings, and tell how much of the best is luck",
        description="Try settings on a market, each trial a backtest to the cent; recommend the best plateau; deflate "
        "its Sharpe ratio by everything ever tried on this market. Without a grid: the classic six phases, 829 trials.",
        epilog="example: python main.py optimize --grid exits --set strategy.max_positions=1 --coarse 100",
    )
    market_options(optimize)
    optimize.add_argument("--grid", metavar="G", default="classic", help="name in data/grids, or a YAML file (classic)")
    optimize.add_argument("--method", metavar="M", help="grid (default), random, sobol, tpe, cmaes")
    optimize.add_argument("--trials", metavar="N", type=int, help="of a phase, for all methods but grid")
    optimize.add_argument(
        "--objective", metavar="NAME", help="net_profit_over_max_drawdown (default), any metric, pareto"
    )
    optimize.add_argument("--min-trades", metavar="N", type=int, help="fewer closed trades do not count (30)")
    optimize.add_argument("--limit", metavar="TEXT", action="append", default=[], help="'max_drawdown_pct <= 20'")
    optimize.add_argument("--coarse", metavar="N", type=int, default=0, help="exits: run N in full, by closed trades")
    optimize.add_argument("--walk-forward", metavar="KIND", help="anchored or rolling: search every training anew")
    optimize.add_argument("--windows", metavar="N", type=int, default=5, help="of a walk-forward (5)")
    optimize.add_argument("--embargo", metavar="DAYS", type=int, default=5, help="between training and test (5)")
    optimize.add_argument("--cross-validate", metavar="N", type=int, help="combinatorial, N groups, 2 of them tested")
    optimize.add_argument("--jobs", metavar="N", type=int, help="worker processes (default: all cores)")
    optimize.add_argument("--engine", choices=("local", "ray"), default="local", help="local (default) or ray")
    optimize.add_argument("--address", metavar="HOST:PORT", help="ray: a cluster that runs (default: one of its own)")
    optimize.add_argument("--resume", action="store_true", help="take finished trials of earlier searches")
    optimize.add_argument("--apply", metavar="FILE", help="also write the recommended settings as a preset")
    optimize.add_argument("--report", default="html", metavar="LIST", help="html (default) or none")
    optimize.add_argument("--out", metavar="DIR", help="run folder (default reports/<run id>)")
    common(optimize)


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


def chain_options(parser: argparse.ArgumentParser) -> None:
    """Where a chain comes from."""
    parser.add_argument("--market", metavar="NAME", default="history", help="history (default) or an imported market")
    parser.add_argument("--date", metavar="D", help="New York date of the chain (default: the last with quotes)")
    parser.add_argument("--time", metavar="HH:MM", help="the last quotes at or before it (default: of the day)")
    parser.add_argument("--rate", metavar="R", type=float, help="continuous rate, as 0.04 (default: the market's)")
    parser.add_argument("--models", metavar="LIST", help="svi, ssvi, sabr, heston, merton, bates (default: all)")
    parser.add_argument("--dte-min", metavar="N", type=float, default=5.0, help="youngest expiry fitted, days (5)")
    parser.add_argument("--dte-max", metavar="N", type=float, default=120.0, help="oldest expiry fitted, days (120)")
    parser.add_argument("--report", default="png", metavar="KIND", help="png (default: a run folder) or none")
    parser.add_argument("--out", metavar="DIR", help="run folder (default reports/<run id>)")


def add_run_parsers(commands: Any) -> None:
    """Commands about a run made before."""
    lookahead = commands.add_parser(
        "lookahead",
        help="check that a run did not know the future",
        description="Make a run again on markets cut short and compare every signal, gate, verdict, trade, fill and "
        "cent up to each cut. What changes looked ahead: it is named, and the exit code is 3. Data that were stored "
        "with hindsight cannot be found so.",
        epilog="example: python main.py lookahead --run 20261122T120046Z-backtest-b19a68 --cuts 24",
    )
    lookahead.add_argument("--cuts", metavar="N", type=int, default=12, help="markets cut short, 1 to 1000 (12)")
    explain = commands.add_parser(
        "explain",
        help="one decision of a run in words and numbers",
        description="What was decided on one row and why: gates with value against limit, signals, fuzzy rules, the "
        "structure proposed, what is open and how far it is from its target and its stop.",
        epilog="example: python main.py explain --at '2018-02-05 15:45'",
    )
    explain.add_argument(
        "--at", required=True, metavar="TIME", help="New York time or ISO 8601; the last row at or before it"
    )
    for parser in (lookahead, explain):
        parser.add_argument("--run", metavar="ID", help="run id or folder (default: the newest backtest)")
        common(parser)


def add_pricing_parsers(commands: Any) -> None:
    price = commands.add_parser(
        "price",
        help="value one option or a condor under every model",
        description="Value, greeks, chances and P&L by date of one option or a condor: on a market's chain at its own "
        "smile, or on stated terms (--spot and --vol). Without legs: a 16-delta condor about 45 days out.",
        epilog="example: python main.py price --spot 600 --vol 0.18 --dte 30 --right put --strike 580 --yield 0.012",
    )
    price.add_argument("--right", choices=("put", "call"), help="one option: its right")
    price.add_argument("--strike", metavar="K", type=float, help="one option: its strike, $")
    price.add_argument("--condor", metavar="A/B/C/D", help="strikes of long put/short put/short call/long call")
    price.add_argument("--credit", metavar="C", type=float, help="$/share received (default: the natural price)")
    price.add_argument("--dte", metavar="N", type=float, default=45.0, help="days to expiry; markets: nearest (45)")
    price.add_argument("--spot", metavar="S", type=float, help="price stated terms in place of a market: $")
    price.add_argument("--vol", metavar="V", type=float, help="with --spot: volatility, as 0.18")
    price.add_argument("--yield", dest="dividend_yield", metavar="Q", type=float, default=0.0, help="with --spot")
    price.add_argument("--dividend", metavar="DAYS:CASH", action="append", default=[], help="with --spot (repeatable)")
    chain_options(price)
    common(price)
    calibrate = commands.add_parser(
        "calibrate",
        help="fit smiles and models to a market's chain",
        description="Fit every expiry of one moment: raw SVI, SSVI, SABR, Heston, Merton, Bates. Writes the parameters "
        "as JSON and a picture of each smile.",
        epilog="example: python main.py calibrate --market history --date 2018-02-05 --models svi,ssvi",
    )
    what = ("smiles", "costs")
    calibrate.add_argument(
        "what",
        nargs="?",
        choices=what,
        default="smiles",
        metavar="WHAT",
        help="smiles (default), or costs of live fills",
    )
    chain_options(calibrate)
    common(calibrate)


def add_data_parser(commands: Any) -> None:
    data = commands.add_parser(
        "data", help="make, list and describe markets", epilog="example: python main.py data describe history"
    )
    actions = data.add_subparsers(dest="action", metavar="ACTION", required=True, parser_class=Parser)
    make = actions.add_parser(
        "import",
        help="make a market from files of bars and quotes",
        epilog="example: python main.py data import standard --bars spy_5min.csv --chain chain.csv --name mine "
        "--tz America/New_York --stamp start",
    )
    make.add_argument("format", choices=FORMATS, metavar="FORMAT", help=", ".join(FORMATS))
    make.add_argument("--bars", required=True, metavar="F", help="CSV or Parquet: 1- or 5-minute bars, or daily ones")
    make.add_argument("--chain", required=True, metavar="F", help="CSV or Parquet of option quotes")
    make.add_argument("--name", required=True, metavar="N", help="name of the market")
    make.add_argument("--tz", metavar="Z", help="timezone of stamps that carry none, such as America/New_York or UTC")
    make.add_argument("--stamp", choices=("start", "end"), help="whether bars are stamped at their start or end")
    make.add_argument("--root", metavar="R", help="keep one root only, such as SPXW")
    make.add_argument("--map", metavar="FILE", help="column map of the generic format (YAML)")
    make.add_argument("--closes", metavar="F", help="daily file of official closes (settlement values)")
    make.add_argument("--rates", metavar="F", help="daily file with dtb3_pct or dff_pct (cash yield, discounting)")
    make.add_argument("--vix", metavar="F", help="daily closes of VIX (vix_close[, vix3m_close]) or its bars")
    make.add_argument("--vix-columns", metavar="A[,B]", help="columns of VIX and VIX3M in it, if named otherwise")
    make.add_argument("--thin", action="store_true", help="accept a selection of contracts, for checks only")
    common(make)
    fetch = actions.add_parser(
        "download",
        help="make a market of Alpaca's bars of SPY and its options (bid and ask MODELLED)",
        epilog="example: python main.py data download --name june --start 2026-06-01 --end 2026-06-30",
    )
    fetch.add_argument("--name", required=True, metavar="N", help="name of the market")
    fetch.add_argument("--start", required=True, metavar="D", help="first New York date, inclusive")
    fetch.add_argument("--end", required=True, metavar="D", help="last New York date, inclusive")
    fetch.add_argument("--dte", default="0-60", metavar="A-B", help="days to expiry of the contracts (0-60)")
    common(fetch)
    for name, text in (("list", "markets on disk"), ("describe", "what a market holds, and its quality")):
        example = f"example: python main.py data {name}{' history' * (name == 'describe')}"
        action = actions.add_parser(name, help=text, epilog=example)
        if name == "describe":
            action.add_argument("name", metavar="N")
        common(action)


def add_config_parser(commands: Any) -> None:
    parser = commands.add_parser(
        "config",
        help="show, check or print settings",
        epilog="example: python main.py config show --preset weekly",
    )
    parser.add_argument("action", choices=("show", "check", "template", "schema"), metavar="ACTION")
    market_options(parser)
    common(parser)


def effective(args: argparse.Namespace) -> settings.Config:
    flags = {"market.name": args.market, "market.start": args.start, "market.end": args.end, "market.seed": args.seed}
    return settings.load(preset=args.preset, file=args.config, sets=args.set, flags=flags)


def teller(args: argparse.Namespace) -> Callable[[str], None]:
    """Progress on stderr, unless --quiet."""

    def say(text: str) -> None:
        if not args.quiet:
            print(text, file=sys.stderr, flush=True)

    return say


def show(args: argparse.Namespace, value: Any, lines: list[str]) -> None:
    """The result: one JSON object, or lines for people."""
    if args.json:
        print(json.dumps(value, allow_nan=False))
    else:
        print("\n".join(lines))


# ---------------------------------------------------------------- commands


def run_backtest(args: argparse.Namespace) -> None:
    started = dt.datetime.now(dt.UTC)
    config = effective(args)
    faces = faces_of(args.report)
    if args.driver == "backtrader":
        import core.backtrader_bridge  # noqa: F401  that it is not installed is told before anything is compiled
    say = teller(args)
    painter = start_painter() if faces else None
    try:
        backtest_and_write(args, config, say, painter, started)
    finally:
        if painter is not None:
            painter.finish()


def faces_of(text: str) -> tuple[str, ...]:
    """The faces of a report that --report names, 'html,pdf' or 'none'."""
    found = () if text == "none" else tuple(part.strip() for part in text.split(","))
    if not set(found) <= set(FACES):
        raise ConfigError(f"--report is {text!r}; give html, pdf, html,pdf or none")
    return found


def asked_of(args: argparse.Namespace) -> Any:
    """What the user adds to a report."""
    from core.report.build import Asked
    from core.report.tax import rates_of

    return Asked(args.cut, tuple(args.beside), rates_of(args.tax))


def start_painter() -> Any:
    from core.report.plots import Painter

    return Painter()


def backtest_and_write(
    args: argparse.Namespace, config: settings.Config, say: Callable[[str], None], painter: Any, started: dt.datetime
) -> None:
    from core.market.catalog import open_market

    compiling = compile_if_cold(say)
    store = open_market(config["market.name"], config["market.seed"], say)
    if compiling is not None:
        compile_signals(store, config)
        compiling.wait()
    from core.report import folder as run_files
    from core.report.measure import measure
    from core.report.terminal import summary_lines
    from core.search.database import log_trial

    result = driven(args.driver, store, config)
    measured = measure(result)
    insight = None
    if painter is not None:
        from core.report.insight import insight_of

        insight = insight_of(result, args.cut)
        measured.metrics.update(insight.figures)
    folder, run_id = run_files.run_folder(args.out, "backtest", config.hash(), started)
    logged = log_trial(config.hash(), store.hash)
    manifest = {**run_files.manifest_of(result, run_id, started, logged), "driver": args.driver}
    run_files.write_run(folder, result, measured, manifest, args.trace)
    if insight is not None:
        from core.report.build import report_of
        from core.report.faces import write_report
        from core.report.stress import small_stress

        report = report_of(result, measured, manifest, insight, small_stress(result), asked_of(args))
        write_report(folder, report, faces_of(args.report), painter)
    value = {"run_id": run_id, "folder": str(folder), **measured.metrics}
    show(args, value, summary_lines(result, measured.metrics, folder))


def driven(driver: str, store: Any, config: settings.Config) -> Any:
    """The result of a run by one of DRIVERS."""
    if driver == "backtrader":
        from core.backtrader_bridge import run_under_backtrader

        return run_under_backtrader(store, config)[0]
    import backtest_engine

    return backtest_engine.run(store, config)


def compile_signals(store: Any, config: settings.Config) -> None:
    """Compile what the report needs beside the engine, while the engine is compiled in the other process."""
    from core.market.store import market_of
    from strategies.view import view_of

    view_of(market_of(store), store.columns, config.values, always=True)


def compile_if_cold(say: Callable[[str], None]) -> subprocess.Popen[bytes] | None:
    """Compile the engine in a second process while this one opens, or builds, the market."""
    from core.jit import ROOT, is_cold

    if not is_cold():
        return None
    say("compiling the engine, once for this version of the code (one to four minutes) ...")
    return subprocess.Popen([sys.executable, "-c", "import backtest_engine; backtest_engine.warm()"], cwd=ROOT)


def compile_sweep_if_cold(say: Callable[[str], None]) -> subprocess.Popen[bytes] | None:
    """The same for what searches run; the engine itself is compiled when a trial needs it."""
    from core.jit import ROOT, is_cold

    if not is_cold("sweep.sweep"):
        return None
    say("compiling the sweep, once for this version of the code (one to four minutes) ...")
    return subprocess.Popen([sys.executable, "-m", "core.search.warm"], cwd=ROOT)


def past_run(args: argparse.Namespace) -> tuple[Path, settings.Config, Any]:
    """(folder, settings, market) of the run that --run names, with the engine compiled."""
    from core.report.runs import reopened

    say = teller(args)
    found = reopened(args.run, say, say)
    compiling = compile_if_cold(say)
    if compiling is not None:
        compiling.wait()
    return found


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


def run_optimize(args: argparse.Namespace) -> None:
    started = dt.datetime.now(dt.UTC)
    if args.report not in REPORTS:
        raise ConfigError(f"--report is {args.report!r}; give one of: {', '.join(REPORTS)}")
    from core.search.grid import read_grid
    from core.search.outputs import target_of
    from core.search.windows import check_kind

    if args.apply is not None:
        target_of(args.apply)
    check_kind(args.walk_forward)
    grid = read_grid(args.grid)
    args.preset = args.preset or grid.preset
    config = effective(args)
    say = teller(args)
    from core.market.catalog import open_market

    compiling = compile_sweep_if_cold(say)
    store = open_market(config["market.name"], config["market.seed"], say)
    if compiling is not None:
        compiling.wait()
    import optimizer
    from core.search.progress import ProgressLine

    request = optimizer.Request(
        args.grid, args.method, args.trials, args.objective, args.min_trades, tuple(args.limit), args.jobs, args.engine,
        args.address, args.resume, args.coarse,
    )  # fmt: skip
    line = ProgressLine()
    watch = (lambda _: None) if args.quiet else line
    try:
        found, logged = optimizer.search(store, config, grid, request, watch)
        walked = None
        if args.walk_forward is not None and found.ended:
            walked = optimizer.walk(store, config, grid, request, args.walk_forward, args.windows, args.embargo, watch)
    finally:
        line.close()
    if not found.phases:
        raise KeyboardInterrupt
    show_search(args, store, config, found, logged, walked, started)
    if not found.ended:
        raise KeyboardInterrupt


def show_search(
    args: argparse.Namespace, store: Any, config: settings.Config, found: Any, logged: int, walked: Any,
    started: dt.datetime,
) -> None:  # fmt: skip
    """Put what was found together, write its files, and show it."""
    from core.report import folder as run_files
    from core.search import outputs
    from core.search.evaluate import cash_returns_of
    from core.search.findings import findings_of, validated_of

    findings = findings_of(found, logged, cash_returns_of(store, config))
    validated = None
    if args.cross_validate is not None:
        validated = validated_of(findings, store, args.cross_validate, args.embargo)
    summary = outputs.summary_value(findings, walked, validated)
    folder, run_id = run_files.run_folder(args.out, "optimize", config.hash(), started)
    manifest = outputs.manifest_value(findings, store, run_id, started, {"engine": args.engine})
    outputs.write_search(folder, findings, manifest, summary)
    if args.report == "html":
        from core.report.optimize import write_optimize

        write_optimize(folder, findings, summary, store, walked, validated)
    lines = outputs.summary_lines(findings, summary, folder, store.manifest.get("quotes", "real"))
    if args.apply is not None:
        target = outputs.apply_to(args.apply, outputs.preset_text(findings, outputs.about_of(findings)))
        lines.append(f"preset written: {target}")
    show(args, {"run_id": run_id, "folder": str(folder), **summary}, lines)


def run_lookahead(args: argparse.Namespace) -> None:
    if not 1 <= args.cuts <= MOST_CUTS:
        raise ConfigError(f"--cuts is {args.cuts}; give 1 to {MOST_CUTS}")
    folder, config, store = past_run(args)
    from core import lookahead

    value = lookahead.value_of(lookahead.check(store, config, args.cuts, teller(args)))
    show(args, {"run": folder.name, **value}, lookahead.lines_of(value))
    if value["changed"]:
        names = ", ".join(c["what"] for c in value["changed"][:3])
        more = f" and {len(value['changed']) - 3} more" if len(value["changed"]) > 3 else ""
        raise DataError(f"{folder.name} looks ahead: {names}{more}; with the future cut off they differ (see above)")


def run_explain(args: argparse.Namespace) -> None:
    folder, config, store = past_run(args)
    from core import explain

    value = explain.explained(store, config, explain.row_at(store, config, explain.parse_time(args.at)))
    show(args, {"run": folder.name, **value}, explain.lines_of(value))


def run_data(args: argparse.Namespace) -> None:
    from core.market import catalog
    from core.market.store import open_store

    if args.action == "import":
        from core.market.importers import import_market

        if not args.name.replace("-", "").replace("_", "").isalnum() or args.name in catalog.BUILT:
            raise ConfigError(
                f"--name is {args.name!r}; give letters, digits, - and _, and not {' or '.join(catalog.BUILT)}"
            )
        paths = {k: Path(v) if v else None for k, v in vars(args).items() if k in ("closes", "rates", "vix")}
        store = import_market(
            args.format,
            Path(args.bars),
            Path(args.chain),
            args.name,
            catalog.store_folder(),
            tz=args.tz,
            stamp=args.stamp,
            thin=args.thin,
            root=args.root,
            map_file=Path(args.map) if args.map else None,
            vix_names=vix_names(args),
            **paths,
        )
        describe(args, store)
    elif args.action == "download":
        from core.live import cli

        describe(args, cli.download_market(args, settings.load(), teller(args)))
    elif args.action == "list":
        found = [open_store(catalog.store_folder() / name) for name in catalog.names()]
        value = [{k: s.manifest[k] for k in ("name", "kind", "first", "last", "rows", "quotes")} for s in found]
        lines = [
            f"{v['name']:16} {v['first']} to {v['last']}  {v['rows']:>7} rows  {v['kind']:8} {v['quotes']}"
            for v in value
        ]
        show(args, {"markets": value}, lines or ["no markets yet; `history` is built by the first backtest"])
    else:
        describe(args, catalog.open_market(args.name, settings.load()["market.seed"], teller(args)))


def vix_names(args: argparse.Namespace) -> tuple[str, ...]:
    """The columns that --vix-columns names; none without it."""
    if args.vix_columns is None:
        return ()
    names = tuple(name.strip() for name in args.vix_columns.split(","))
    if args.vix is None or not all(names):
        raise ConfigError(
            f"--vix-columns is {args.vix_columns!r}; give names with a comma between, and the file as --vix"
        )
    return names


def describe(args: argparse.Namespace, store: Any) -> None:
    quality = json.loads((store.path / "quality.json").read_text(encoding="utf-8"))
    facts = {k: v for k, v in store.manifest.items() if k not in ("columns", "shape")}
    lines = [
        f"{key:22} {json.dumps(value) if isinstance(value, dict | list) else value}" for key, value in facts.items()
    ]
    lines += ["quality:"] + [f"  {key:20} {json.dumps(value)}" for key, value in quality.items()]
    show(args, {**facts, "quality": quality}, lines)


def run_config(args: argparse.Namespace) -> None:
    from core.settings import LIVE, SETTINGS

    if args.action == "template":
        print(settings.template(), end="")
        return
    every = (*SETTINGS, *LIVE)
    if args.action == "schema":
        show(args, {"settings": [s._asdict() for s in every]}, [f"{s.path:40} {s.kind:8} {s.text}" for s in every])
        return
    config = effective(args)
    values = {**config.values, **config.live}
    defaults = {s.path: s.default for s in LIVE}
    sources = {path: "default" if v == defaults[path] else "set" for path, v in config.live.items()} | config.sources
    value = {path: {"value": v, "source": sources[path]} for path, v in values.items()}
    lines = [f"{path:40} {v!s:28} {sources[path]}" for path, v in values.items()]
    show(args, value, lines if args.action == "show" else [f"{len(value)} settings, all in range"])


def chain_from(args: argparse.Namespace) -> Any:
    """The chain that --market, --date and --time name."""
    from core.market.catalog import open_market
    from core.market.snapshot import chain_at, last_quoted_date

    minute = None
    if args.time is not None:
        try:
            hours, minutes = (int(part) for part in args.time.split(":"))
        except ValueError:
            raise ConfigError(f"--time is {args.time!r}; give hours and minutes in New York, as 15:30") from None
        minute = 60 * hours + minutes
    store = open_market(args.market, settings.load()["market.seed"], teller(args))
    return chain_at(store, args.date or last_quoted_date(store), minute, args.rate)


def models_of(args: argparse.Namespace) -> tuple[str, ...]:
    from core.smiles import MODELS

    return MODELS if args.models is None else tuple(name.strip() for name in args.models.split(","))


def report_folder(args: argparse.Namespace, command: str, value: Any) -> Path | None:
    """A run folder named by the hash of its content, unless --report none."""
    import hashlib

    from core.report.folder import run_folder

    if args.report not in ("png", "none"):
        raise ConfigError(f"--report is {args.report!r}; give png or none")
    if args.report == "none":
        return None
    digest = hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
    return run_folder(args.out, command, digest, dt.datetime.now(dt.UTC))[0]


def run_calibrate(args: argparse.Namespace) -> None:
    if args.what == "costs":
        from core.live import cli

        cli.run_costs(args, show)
        return
    from core.report.smiles import calibration_lines, calibration_value, write_calibration
    from core.smiles import fit_smiles, quotes_of

    chain = chain_from(args)
    smiles = fit_smiles(quotes_of(chain, args.dte_min, args.dte_max), models_of(args))
    value = calibration_value(chain, smiles)
    folder = report_folder(args, "calibrate", value)
    lines = calibration_lines(value)
    if folder is not None:
        write_calibration(folder, chain, smiles, value)
        lines.append(f"run folder: {folder}")
    show(args, {"folder": str(folder) if folder else None, **value}, lines)


def run_price(args: argparse.Namespace) -> None:
    from core.report import price as pricing

    if (args.right is None) != (args.strike is None) or (args.right and args.condor):
        raise ConfigError("give --right with --strike for one option, or --condor for a condor")
    wanted = None
    if args.right:
        wanted = [(args.right == "call", args.strike, 1)]
    elif args.condor:
        wanted = pricing.parse_condor(args.condor)
    subject = stated_subject(args, wanted) if args.spot is not None else quoted_subject(args, wanted)
    value = pricing.price_value(subject, args.credit)
    folder = report_folder(args, "price", value)
    lines = pricing.price_lines(value)
    if folder is not None:
        pricing.write_price(folder, subject, value)
        lines.append(f"run folder: {folder}")
    show(args, {"folder": str(folder) if folder else None, **value}, lines)


def stated_subject(args: argparse.Namespace, wanted: Any) -> Any:
    """--spot, --vol and the rest of the terms, without a market."""
    from core.report.price import flat_subject
    from core.valuation import Terms

    if args.vol is None or wanted is None:
        raise ConfigError("--spot needs --vol, and --right with --strike or --condor")
    dividends = []
    for text in args.dividend:
        try:
            days, cash = (float(part) for part in text.split(":"))
        except ValueError:
            raise ConfigError(f"--dividend is {text!r}; give days from now and $ a share, as 12:1.83") from None
        dividends.append((days / 365.0, cash))
    rate = 0.04 if args.rate is None else args.rate
    terms = Terms(args.spot, args.dte / 365.0, rate, args.dividend_yield, tuple(sorted(dividends)))
    return flat_subject(terms, wanted, args.vol)


def quoted_subject(args: argparse.Namespace, wanted: Any) -> Any:
    """A market's chain and its smiles; the expiry nearest to --dte."""
    import numpy as np

    from core.report.price import market_subject
    from core.smiles import fit_smiles, quotes_of

    chain = chain_from(args)
    fitted = fit_smiles(quotes_of(chain, args.dte_min, args.dte_max), models_of(args))
    years = fitted.surface.years
    nearest = float(years[np.argmin(np.abs(365.0 * years - args.dte))])
    return market_subject(chain, fitted, nearest, wanted)


def run_live(args: argparse.Namespace) -> None:
    from core.live import cli

    cli.run_live(args, effective(args), show)


def run_parity(args: argparse.Namespace) -> None:
    from core.live import cli

    cli.run_parity(args, show)


def run_report(args: argparse.Namespace) -> None:
    """Make the report of a run again, in its folder or in another."""
    faces = faces_of(args.report)
    if not faces:
        raise ConfigError("--report none makes no report; give html, pdf or html,pdf")
    folder, config, store = past_run(args)
    import backtest_engine
    from core.report.again import remade

    say = teller(args)
    result = backtest_engine.run(store, config)
    out = remade(result, folder, faces, asked_of(args), Path(args.out) if args.out else folder, say)
    files = [str(out / f"report.{face}") for face in faces]
    show(args, {"run": folder.name, "files": files}, files)


def run_completion(args: argparse.Namespace) -> None:
    text = completion(build_parser(), args.shell)
    show(args, {"shell": args.shell, "script": text}, [text.rstrip()])


COMMANDS = {
    "backtest": run_backtest,
    "optimize": run_optimize,
    "report": run_report,
    "compare": lambda args: report_cli.run_compare(args, show),
    "runs": lambda args: report_cli.run_runs(args, show),
    "doctor": lambda args: report_cli.run_doctor(args, show),
    "stress": run_stress,
    "lookahead": run_lookahead,
    "explain": run_explain,
    "price": run_price,
    "calibrate": run_calibrate,
    "data": run_data,
    "live": run_live,
    "parity": run_parity,
    "config": run_config,
    "completion": run_completion,
}


def main(argv: list[str]) -> int:
    """Run one command; returns the exit code of the contract."""
    debug = "--debug" in argv
    try:
        parser = build_parser()
        args = parser.parse_args(argv)
        if args.command is None:
            parser.print_help()
            return 0
        COMMANDS[args.command](args)
        return 0
    except QuantorError as error:
        if debug:
            traceback.print_exc()
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        sys.stderr.close()  # the reader went away: nothing more to say
        return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
