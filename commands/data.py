"""`python main.py data` and `config`: markets and settings."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from commands.common import Parser, common, effective, market_options, show, teller
from core import config as settings
from core.errors import ConfigError

FORMATS = ("standard", "classic", "optionsdx", "ivolatility", "orats", "cboe", "generic", "mids", "outcomes")


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
