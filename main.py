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

This file puts the parser together, calls one command (commands/*) and is the only place that catches errors.
"""

from __future__ import annotations

import argparse
import errno
import gc
import os
import sys
import traceback

from commands.backtest import add_backtest_parser, report_options, run_backtest, run_report
from commands.common import Parser, common, effective, market_options, say_when_compiling, show
from commands.data import add_config_parser, add_data_parser, run_config, run_data
from commands.pricing import add_pricing_parsers, run_calibrate, run_price
from commands.runs import add_run_parsers, run_explain, run_lookahead
from commands.search import add_optimize_parser, run_optimize
from commands.stress import add_stress_parser, run_stress
from core.errors import DataError, QuantorError
from core.live.cli import add_parsers as add_live_parsers
from core.report import cli as report_cli
from core.report.completion import SHELLS, completion

INTERRUPTED = 130
DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO)  # told without the name of the file


def build_parser() -> Parser:
    parser = Parser(
        prog="python main.py",
        description="Research and trade SPY iron condors, honestly costed.",
        epilog="example: python main.py backtest --preset weekly --start 2016-01-01",
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=Parser)
    add_backtest_parser(commands)
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


# ---------------------------------------------------------------- commands


def run_live(args: argparse.Namespace) -> None:
    from core.live import cli

    cli.run_live(args, effective(args), show)


def run_parity(args: argparse.Namespace) -> None:
    from core.live import cli

    cli.run_parity(args, show)


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
    if sys.stderr is None:  # closed by whoever started this: words for it go nowhere, the result is still shown
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    try:
        parser = build_parser()
        args = parser.parse_args(argv)
        if args.command is None:
            parser.print_help()
            return 0
        say_when_compiling(args)
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
    except OSError as error:
        if error.filename is None and error.errno not in DISK:
            raise
        if debug:
            traceback.print_exc()
        print(f"DataError: {error.filename or 'a file'}: {error.strerror}", file=sys.stderr)
        return DataError.exit_code


if __name__ == "__main__":
    gc.set_threshold(20_000, 20, 100)  # what a command makes it mostly keeps: asked at every 700th object, the
    # collector takes a tenth of a second of a search of 10,000 trials
    sys.exit(main(sys.argv[1:]))
