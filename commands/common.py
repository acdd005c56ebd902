"""What the commands share: their parser and options, settings as they are in force, words on both outputs, compiling.

Nothing heavy is imported before it is needed.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from core import compiling
from core import config as settings
from core.errors import ConfigError

REPORTS = ("html", "none")


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
    parser.add_argument("--seed", metavar="N", help="seed of a modelled market: another seed is another market")


def effective(args: argparse.Namespace) -> settings.Config:
    flags = {"market.name": args.market, "market.start": args.start, "market.end": args.end, "market.seed": args.seed}
    return settings.load(preset=args.preset, file=args.config, sets=args.set, flags=flags)


def teller(args: argparse.Namespace) -> Callable[[str], None]:
    """Progress on stderr, unless --quiet."""

    def say(text: str) -> None:
        if not args.quiet:
            print(text, file=sys.stderr, flush=True)

    return say


def say_when_compiling(args: argparse.Namespace) -> None:
    """Tell whoever waits for kernels that are not on the disk yet."""
    say = teller(args)
    compiling.listen(lambda: say("compiling, once for this version of the code (a minute or two) ..."))


def show(args: argparse.Namespace, value: Any, lines: list[str]) -> None:
    """The result: one JSON object, or lines for people."""
    if args.json:
        print(json.dumps(value, allow_nan=False))
    else:
        print("\n".join(lines))


def compile_if_cold(say: Callable[[str], None]) -> subprocess.Popen[bytes] | None:
    """Compile the engine in a second process while this one opens, or builds, the market."""
    from core.jit import ROOT, is_cold

    if not is_cold():
        return None
    say("compiling the engine, once for this version of the code (a minute or two) ...")
    compiling.listen(None)
    return subprocess.Popen([sys.executable, "-c", "import backtest_engine; backtest_engine.warm()"], cwd=ROOT)


def compile_sweep_if_cold(say: Callable[[str], None]) -> subprocess.Popen[bytes] | None:
    """The same for what searches run; the engine itself is compiled when a trial needs it."""
    from core.jit import ROOT, is_cold

    if not is_cold("sweep.sweep"):
        return None
    say("compiling the sweep, once for this version of the code (a minute or two) ...")
    compiling.listen(None)
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
