"""`python main.py lookahead` and `explain`: questions to a run made before."""

from __future__ import annotations

import argparse
from typing import Any

from commands.common import common, past_run, show, teller
from core.errors import ConfigError, DataError

MOST_CUTS = 1000


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
