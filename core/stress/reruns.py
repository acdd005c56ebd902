"""The strategy run again on markets that are worse than its own, and at worse costs: same engine, same settings."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from core.config import Config
from core.market.calendar import day_text
from core.market.store import Store
from core.metrics import max_drawdown
from core.report.campaigns import campaigns_of, done
from core.report.measure import closing_rows, dollars, session_range
from core.stress.markets import (
    gap_sessions,
    is_modelled_surface,
    takes_paths,
    with_gaps,
    with_missing,
    with_turbulence,
    with_volatility,
)

if TYPE_CHECKING:
    from backtest_engine import BacktestResult

SPREADS = 2.0
SLIPPAGE = 0.05  # $/share a package
GAP = -0.05
TURBULENCE = 1.5
VOLATILITIES = (("vol_up", 1.5), ("vol_down", 0.7))
MISSING = (("missing_10", 0.1), ("missing_50", 0.5))
GAP_STREAM, MISSING_STREAM = 1, 2  # of the seed
GIVEN_QUOTES = "the quotes of this market are given, not priced: only costs can be shifted, and quotes be left out"
NO_PATHS = "only five-minute bars of SPY on the modelled surface can take another path"
MOST_SPREADS, MOST_SLIPPAGE = 100.0, 100.0  # the settings' ends


class Case(NamedTuple):
    """One rerun: what is worse, and how to get there; `refused` says why it cannot be had here."""

    key: str
    words: str
    store: Callable[[], Store] | None
    config: Config
    refused: str | None = None


def figures_of(result: BacktestResult) -> dict[str, Any]:
    """Net profit, deepest drawdown on any row, closed trades and worst session, as metrics.json has them."""
    start = float(result.config["account.starting_cash"])
    equity = dollars(result.equity)
    fall = max_drawdown(np.concatenate(([start], equity)))
    at_close = equity[closing_rows(result)]
    return {
        "net_profit": round(float(equity[-1]) - start, 2),
        "max_drawdown": None if fall is None else round(fall.usd, 2),
        "max_drawdown_pct": None if fall is None else round(100.0 * fall.fraction, 4),
        "worst_day": round(float(np.diff(at_close, prepend=start).min()), 2),
        "trades": len(done(campaigns_of(result)).opened),
    }


def daily_pnl(result: BacktestResult) -> Any:
    """Change of marked equity from one session's close to the next, $."""
    at_close = dollars(result.equity)[closing_rows(result)]
    return np.diff(at_close, prepend=float(result.config["account.starting_cash"]))


def costlier(config: Config) -> list[tuple[str, str, Config]]:
    """(key, words, settings) of the reruns at worse costs."""
    spreads = min(SPREADS * config["costs.spread_multiple"], MOST_SPREADS)
    slippage = min(config["costs.extra_slippage"] + SLIPPAGE, MOST_SLIPPAGE)
    return [
        ("spreads_x2", "every leg's spread doubled", config.with_values("stress", costs__spread_multiple=spreads)),
        (
            "slippage",
            f"${SLIPPAGE:.2f}/share more paid on every package",
            config.with_values("stress", costs__extra_slippage=slippage),
        ),
    ]


def cases(result: BacktestResult, seed: int, folder: Path) -> list[Case]:
    """All reruns, in the order shown."""
    store, config = result.store, result.config
    only_costs = None if is_modelled_surface(store) else GIVEN_QUOTES
    found = []
    for key, factor in VOLATILITIES:
        words = f"VIX times {factor:g}, every option quoted anew; the path of prices stays: premium alone changes"
        found.append(Case(key, words, lambda k=key, f=factor: with_volatility(store, folder, f, k), config, only_costs))
    found.append(turbulent_case(result, folder))
    found += [Case(key, words, None, changed) for key, words, changed in costlier(config)]
    found.append(gap_case(result, seed, folder))
    what = "rows" if is_modelled_surface(store) else "snapshots"
    for i, (key, share) in enumerate(MISSING):
        draw = np.random.default_rng([seed, MISSING_STREAM, i])
        build = lambda s=share, d=draw, k=key: with_missing(store, folder, s, d, k)  # noqa: E731
        found.append(Case(key, f"{share:.0%} of the {what} without any quote", build, config))
    return found


def turbulent_case(result: BacktestResult, folder: Path) -> Case:
    """Larger moves and the volatility that goes with them."""
    words = f"every move of the spot and VIX times {TURBULENCE:g}"
    refused = None if takes_paths(result.store) else NO_PATHS
    build = lambda: with_turbulence(result.store, folder, TURBULENCE, "turbulent")  # noqa: E731
    return Case("turbulent", words, build, result.config, refused)


def gap_case(result: BacktestResult, seed: int, folder: Path) -> Case:
    """Overnight falls at sessions drawn from the seed."""
    store = result.store
    words = f"overnight gaps of {GAP:.0%}, one in half a year on average"
    if not takes_paths(store):
        return Case("gaps", words, None, result.config, NO_PATHS)
    gaps = gap_sessions(len(store.columns["s_day"]), np.random.default_rng([seed, GAP_STREAM]))
    inside = session_range(result)
    count = int(gaps[inside].sum())
    if count == 0:
        return Case("gaps", words, None, result.config, "no gap fell into these sessions; take more, or another seed")
    first = day_text(int(store.columns["s_day"][inside][gaps[inside]][0]))
    words += f" ({count} in this run, the first on {first}), VIX half as high again after each"
    return Case("gaps", words, lambda: with_gaps(store, folder, gaps, GAP, "gaps"), result.config)


def reruns(result: BacktestResult, seed: int, folder: Path, say: Callable[[str], None]) -> Iterator[dict[str, Any]]:
    """The base and every rerun as JSON; figures are None where a market cannot be had."""
    from backtest_engine import run

    yield {"key": "base", "words": "as it was run", "refused": None, **figures_of(result)}
    for case in cases(result, seed, folder):
        head = {"key": case.key, "words": case.words, "refused": case.refused}
        if case.refused is not None:
            yield {**head, **dict.fromkeys(figures_of(result))}
            continue
        say(f"running again: {case.words}")
        store = result.store if case.store is None else case.store()
        yield {**head, **figures_of(run(store, case.config))}
