"""`python main.py report`, `compare`, `runs`, `doctor`: options, and what is called for each."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import Any

from core.errors import ConfigError, DataError

Show = Callable[[argparse.Namespace, Any, list[str]], None]


def add_parsers(commands: Any, report_options: Callable[[Any], None], common: Callable[[Any], None]) -> None:
    report = commands.add_parser(
        "report",
        help="make the report of a run again, or another face of it",
        description="Run a backtest again by its manifest, check that its figures are the same, and write its report.",
        epilog="example: python main.py report --report pdf --tax 0.37,0.20",
    )
    report.add_argument("run", nargs="?", metavar="RUN", help="run id or folder (default: the newest backtest)")
    report.add_argument("--report", default="html,pdf", metavar="LIST", help="html,pdf (default), html or pdf")
    report.add_argument("--cut", metavar="D", help="first session out of sample")
    report.add_argument("--out", metavar="DIR", help="where to write (default: the run's own folder)")
    report_options(report)
    compare = commands.add_parser(
        "compare",
        help="runs side by side, and whether their difference could be chance",
        description="Figures beside each other, the settings that differ, and the paired difference of daily returns "
        "with its 95 % interval (block bootstrap), each run against the first.",
        epilog="example: python main.py compare 20261122T120046Z-backtest-b19a68 20261123T080000Z-backtest-73a4d5",
    )
    compare.add_argument("runs", nargs="+", metavar="RUN", help="run ids or folders, two or more")
    runs = commands.add_parser(
        "runs",
        help="list the runs on disk, or delete some",
        epilog="example: python main.py runs --command backtest --sort sharpe",
    )
    runs.add_argument("--command", dest="of", metavar="NAME", help="of one command alone: backtest, optimize, ...")
    runs.add_argument("--market", metavar="NAME", help="on one market alone")
    runs.add_argument("--sort", metavar="BY", default="started", help="started (default), net_profit, sharpe, "
                      "max_drawdown, trades")  # fmt: skip
    runs.add_argument("--limit", metavar="N", type=int, default=30, help="at most so many (30; 0: all)")
    runs.add_argument("--delete", metavar="RUN", action="append", default=[], help="delete a run (repeatable)")
    runs.add_argument("--yes", action="store_true", help="delete without asking")
    doctor = commands.add_parser(
        "doctor",
        help="whether machine, packages, kernels and markets are in order",
        description="Versions, cores, memory, compiled kernels, markets and optional parts, each with its remedy. The "
        "exit code is 3 if anything is wrong. Keys and account: `python main.py live doctor`.",
        epilog="example: python main.py doctor",
    )
    for parser in (report, compare, runs, doctor):
        common(parser)


def run_compare(args: argparse.Namespace, show: Show) -> None:
    from core.report.compare import compare_lines, compared

    value = compared(args.runs)
    show(args, value, compare_lines(value))


def run_runs(args: argparse.Namespace, show: Show) -> None:
    from core.report import shelf

    if not args.delete:
        found = shelf.listed(args.of, args.market, args.sort)
        cut = found[: args.limit] if args.limit > 0 else found
        more = [f"and {len(found) - len(cut)} more (--limit 0)"] if len(cut) < len(found) else []
        show(args, {"runs": cut, "all": len(found)}, [*shelf.list_lines(cut), *more])
        return
    folders = shelf.chosen(args.delete)
    if not args.yes:
        agreed(f"delete {', '.join(folder.name for folder in folders)}? [y/N] ")
    shelf.delete(folders)
    show(args, {"deleted": [folder.name for folder in folders]}, [f"deleted {folder.name}" for folder in folders])


def agreed(question: str) -> None:
    """Ask on a terminal; ConfigError without one, or without a yes."""
    if not sys.stdin.isatty():
        raise ConfigError("deleting asks first, and there is no terminal to ask on; give --yes")
    sys.stderr.write(question)
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise ConfigError("nothing was deleted")


def run_doctor(args: argparse.Namespace, show: Show) -> None:
    from core.report.doctor import checks, doctor_lines

    found = checks()
    wrong = [c["check"] for c in found if c["state"] == "wrong"]
    show(args, {"ok": not wrong, "checks": found}, doctor_lines(found))
    if wrong:
        raise DataError(f"not in order: {', '.join(wrong)}; the remedies stand above")
