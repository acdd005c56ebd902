"""The play of chance: paths drawn from the run's own days, and the strategy on markets that never were.

The first takes the days as they came, in blocks, and knows nothing worse than its worst. The second is MODELLED: a
Heston market with jumps whose quotes come from the modelled surface; it shows a spread of outcomes, not an edge.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core.config import Config
from core.market.calendar import day_text
from core.market.generate import CLOSE_BEFORE, MODEL, build_synthetic
from core.metrics import max_drawdown
from core.report.measure import dollars
from core.report.twin import switched_on
from core.resampling import largest_share, path_figures, share_error, stationary_indices

if TYPE_CHECKING:
    from backtest_engine import BacktestResult

MEAN_BLOCK = 10  # sessions
QUANTILES = (0.5, 0.9, 0.95, 0.99)
NET_QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
BOOTSTRAP_STREAM, MARKET_STREAM = 3, 4  # of the seed
FAN = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
EVERY_SECONDS = 2.0


def chance_of(hits: int, count: int) -> dict[str, Any]:
    """A probability with its standard error, and the most it can be with 95 % confidence."""
    share = hits / count
    return {
        "probability": round(share, 6),
        "standard_error": round(share_error(share, count), 6),
        "at_most": round(largest_share(hits, count), 6),
        "hits": hits,
        "of": count,
    }


def quantiles(numbers: Any, which: tuple[float, ...], digits: int = 2) -> dict[str, float]:
    """Quantiles by their per cent, linear between order statistics."""
    found = np.quantile(numbers, which).tolist()
    return {f"{100 * q:g}": round(value, digits) for q, value in zip(which, found, strict=True)}


def outcome(net: Any, fall: Any, fall_share: Any, ruined: Any, ruin: float) -> dict[str, Any]:
    """What both kinds of chance tell of their paths."""
    count = len(net)
    return {
        "net_profit": {
            "mean": round(float(net.mean()), 2),
            "standard_error": round(float(net.std(ddof=1)) / count**0.5, 2) if count > 1 else None,
            "quantiles": quantiles(net, NET_QUANTILES),
        },
        "loss": chance_of(int((net < 0).sum()), count),
        "max_drawdown": {"quantiles": quantiles(fall, QUANTILES)},
        "max_drawdown_pct": {"quantiles": quantiles(100.0 * fall_share, QUANTILES, 4)},
        "ruin": {"below_share_of_start": ruin, **chance_of(int(ruined.sum()), count)},
        "net_profit_by_path": [round(value, 2) for value in net.tolist()],
        "max_drawdown_by_path": [round(value, 2) for value in fall.tolist()],
    }


def bootstrap(pnl_usd: Any, start_usd: float, paths: int, days: int, ruin: float, seed: int) -> dict[str, Any]:
    """Paths of `days` sessions drawn from the run's daily marked P&L by the stationary bootstrap, $ added."""
    draw = np.random.default_rng([seed, BOOTSTRAP_STREAM])
    starts = draw.integers(0, len(pnl_usd), (paths, days))
    breaks = draw.random((paths, days)) < 1.0 / MEAN_BLOCK
    drawn = pnl_usd[stationary_indices(starts, breaks, len(pnl_usd))]
    figures = path_figures(drawn, start_usd, ruin * start_usd)
    equity = np.concatenate((np.zeros((paths, 1)), np.cumsum(drawn, axis=1)), axis=1)
    fall = np.maximum.accumulate(equity, axis=1) - equity
    at = np.unique(np.linspace(0, days, min(days, 63) + 1).astype(np.int64))
    bands = {f"{100 * q:g}": np.quantile(fall[:, at], q, axis=0).round(2).tolist() for q in FAN}
    return {
        "kind": "days of this run, drawn again in blocks",
        "method": "stationary bootstrap of daily marked P&L in $, added; drawdown at closes",
        "mean_block_sessions": MEAN_BLOCK,
        "sessions_drawn_from": len(pnl_usd),
        "paths": paths,
        "days": days,
        "seed": seed,
        **outcome(figures.net, figures.drawdown, figures.drawdown_share, figures.ruined, ruin),
        "drawdown_fan": {"session": at.tolist(), "quantiles": bands},
    }


def warm_up(config: Config) -> int:
    """Sessions before the first that may trade: a year of ranks where a rule of the settings reads signals."""
    return int(config["strategy.signals.iv_window"]) if switched_on(config) else 0


def generated_run(config: Config, seed: int, days: int, folder: Path) -> BacktestResult:
    """The strategy on one generated market of `days` sessions after its warm-up."""
    from backtest_engine import run

    early = warm_up(config)
    store = build_synthetic(folder / str(seed), seed, early + days)
    first = day_text(int(store.columns["s_day"][early]))
    return run(store, config.with_values("stress", market__start=first, market__end=None))


def generated(
    config: Config, markets: int, days: int, ruin: float, seed: int, say: Callable[[str], None]
) -> dict[str, Any]:
    """The whole strategy on so many generated markets. MODELLED."""
    start = float(config["account.starting_cash"])
    seeds = np.random.SeedSequence([seed, MARKET_STREAM]).generate_state(markets) % (2**31)
    table = np.zeros((4, markets))  # net, drawdown, its share, ruined
    trades = 0
    begun = told = time.monotonic()
    for i, one in enumerate(seeds.tolist()):
        with tempfile.TemporaryDirectory() as folder:
            result = generated_run(config, one, days, Path(folder))
            equity = np.concatenate(([start], dollars(result.equity)))
        fall = max_drawdown(equity)
        assert fall is not None
        table[:, i] = equity[-1] - start, fall.usd, fall.fraction, equity.min() <= ruin * start
        trades += len(result.trades)
        if time.monotonic() - told > EVERY_SECONDS:
            told = time.monotonic()
            say(f"generated markets: {i + 1} of {markets}, {told - begun:.0f} s")
    return {
        "kind": "MODELLED: generated markets",
        "method": "the whole strategy on Heston markets with jumps, quoted by the modelled surface; every row marked; "
        f"SPY from ${CLOSE_BEFORE:g} on",
        "model": {name: float(value) for name, value in MODEL._asdict().items()},
        "markets": markets,
        "days": days,
        "warm_up_sessions": warm_up(config),
        "seed": seed,
        "trades": trades,
        **outcome(*table[:3], table[3] > 0, ruin),
    }
