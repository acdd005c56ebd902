"""All of a stress put together: the open book, the reruns, the play of chance, as one JSON object."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from core.errors import ConfigError, DataError
from core.stress.book import RISKIEST, OpenBook, book_stress, held_at, riskiest
from core.stress.chance import bootstrap, generated
from core.stress.events import read_events
from core.stress.reruns import daily_pnl, reruns

if TYPE_CHECKING:
    from backtest_engine import BacktestResult


class Plan(NamedTuple):
    """How much is asked for."""

    at: str | None  # New York time of the book, None: the riskiest
    paths: int  # bootstrapped
    markets: int  # generated
    days: int  # sessions of each path and generated market
    ruin: float  # share of the starting cash
    seed: int


def book_at(result: BacktestResult, at: str | None) -> tuple[OpenBook, str]:
    """(book, why this one). A DataError where nothing is open, with the hours nearest to it that hold something."""
    if at is None:
        return riskiest(result), RISKIEST
    from core.explain import parse_time, row_at

    row = row_at(result.store, result.config, parse_time(at))
    book = held_at(result, row)
    if len(book.numbers) == 0:
        from core.replay import row_time

        most = row_time(result.market, riskiest(result).row)[:16].replace("T", " ")
        when = row_time(result.market, row)[:16].replace("T", " ")
        raise DataError(f"no structure is open at {when}; the largest open risk is at {most}: --at '{most}'")
    return book, "asked for by --at"


def stressed(result: BacktestResult, plan: Plan, say: Callable[[str], None]) -> dict[str, Any]:
    """Everything `stress` finds; no clock, no run id: two equal stresses are equal bytes."""
    book, chosen = book_at(result, plan.at)
    value = book_stress(result, book, read_events(), chosen)
    with tempfile.TemporaryDirectory() as folder:
        again = list(reruns(result, plan.seed, Path(folder), say))
    start = float(result.config["account.starting_cash"])
    pnl = daily_pnl(result)
    return {
        "market": result.store.name,
        "quotes": result.store.manifest["quotes"],
        "structure": result.config["strategy.structure"],
        "starting_cash": start,
        "seed": plan.seed,
        **value,
        "reruns": again,
        "bootstrap": bootstrap(pnl, start, plan.paths, plan.days, plan.ruin, plan.seed),
        "generated": on_generated_markets(result, plan, say),
    }


def on_generated_markets(result: BacktestResult, plan: Plan, say: Callable[[str], None]) -> dict[str, Any]:
    """chance.generated; or {'refused': words} where the settings ask for what those markets do not have."""
    try:
        return generated(result.config, plan.markets, plan.days, plan.ruin, plan.seed, say)
    except ConfigError as error:
        return {"refused": str(error)}
