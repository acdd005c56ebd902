"""`python main.py backtest` and `report`: a run with its folder, and its report again."""

from __future__ import annotations

import argparse
import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Any

from commands.common import common, compile_if_cold, effective, market_options, past_run, show, teller
from core import config as settings
from core.errors import ConfigError

FACES = ("html", "pdf")  # of a backtest's report
DRIVERS = ("native", "backtrader")


def add_backtest_parser(commands: Any) -> None:
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


def report_options(parser: argparse.ArgumentParser) -> None:
    """What a user may add to a report."""
    parser.add_argument("--beside", metavar="FILE", action="append", default=[], help="CSV of an index to show beside")
    parser.add_argument("--tax", metavar="S,L", help="short- and long-term tax rates, as 0.37,0.20 (default: no tax)")


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
    """What the user adds to a report; its files are read once now, before anything runs."""
    from core.report.beside import read_index
    from core.report.build import Asked
    from core.report.tax import rates_of
    from core.report.twin import day_of_cut

    for file in args.beside:
        read_index(file)
    if args.cut is not None:
        day_of_cut(args.cut)
    return Asked(args.cut, tuple(args.beside), rates_of(args.tax))


def start_painter() -> Any:
    from core.report.plots import Painter

    return Painter()


def backtest_and_write(
    args: argparse.Namespace, config: settings.Config, say: Callable[[str], None], painter: Any, started: dt.datetime
) -> None:
    from core.market.catalog import open_market

    asked = asked_of(args) if painter is not None else None
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

        say("making the report ...")
        report = report_of(result, measured, manifest, insight, small_stress(result), asked)
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


def run_report(args: argparse.Namespace) -> None:
    """Make the report of a run again, in its folder or in another."""
    faces = faces_of(args.report)
    if not faces:
        raise ConfigError("--report none makes no report; give html, pdf or html,pdf")
    asked = asked_of(args)
    folder, config, store = past_run(args)
    import backtest_engine
    from core.report.again import remade

    say = teller(args)
    result = backtest_engine.run(store, config)
    out = remade(result, folder, faces, asked, Path(args.out) if args.out else folder, say)
    files = [str(out / f"report.{face}") for face in faces]
    show(args, {"run": folder.name, "files": files}, files)
