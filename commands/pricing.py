"""`python main.py price` and `calibrate`: a chain, or stated terms, under every model."""

from __future__ import annotations

import argparse
import datetime as dt
import json
from pathlib import Path
from typing import Any

from commands.common import common, show, teller
from core import config as settings
from core.errors import ConfigError


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
