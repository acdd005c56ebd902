"""Mechanical against full: the same strategy without its intelligence, on the same market.

The twin keeps structure, schedule, exits and costs, and puts every setting of the intelligent layer back to its
default. The run is cut in two at a date. Nothing is fitted on either part here, so the second part is out of sample
only if the settings were chosen without looking at it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from core.config import Config
from core.errors import ConfigError
from core.market.calendar import day_number, day_text
from core.metrics import daily_returns, effective_trades, max_drawdown, psr, sharpe
from core.report.campaigns import campaigns_of, done
from core.report.measure import cash_returns, closing_rows, dollars, session_range
from core.settings import BY_PATH

if TYPE_CHECKING:
    from backtest_engine import BacktestResult

# The intelligent layer: settings that switch a part of it on, and those that only say how. `x.*` is all of x.
SWITCHES = (
    *(f"strategy.filters.{name}" for name in ("consensus_min", "consensus_max", "stretch_max", "score_min")),
    *(f"strategy.filters.{name}" for name in ("confidence_min", "avoid_regimes", "iv_rank_min", "iv_rank_max")),
    *(f"strategy.filters.{name}" for name in ("vix_min", "vix_max", "term_max", "vol_ratio_max", "rsi_min")),
    *(f"strategy.filters.{name}" for name in ("rsi_max", "adx_max", "stoch_min", "stoch_max", "volume_min")),
    *(f"strategy.filters.{name}" for name in ("sma_distance_max", "avoid_events", "max_breach")),
    *(f"strategy.entry.{name}" for name in ("expiry_rule", "skew_penalty", "widen", "credit_iv_scale")),
    *(f"strategy.size.{name}" for name in ("fuzzy_scale", "high_vol_factor", "trend_factor", "crash_factor")),
    *(f"strategy.size.{name}" for name in ("vol_floor", "vol_target", "kelly_frac")),
    *(f"strategy.exits.{name}" for name in ("stop_scale", "exit_breach", "leave_regimes")),
    *("strategy.manage.tested_action", "strategy.manage.roll_out", "strategy.hedge.delta_band"),
    "strategy.hedge.smile",
)
HOW = (
    *("strategy.signals.*", "strategy.manage.*", "strategy.hedge.*"),
    *("strategy.entry.widen_iv_rank", "strategy.entry.widen_regimes"),
    *("strategy.filters.event_days", "strategy.filters.breach_model", "strategy.exits.stop_scale_range"),
    *("strategy.size.vol_low", "strategy.size.vol_high", "strategy.size.kelly_min_trades"),
)
IN_SAMPLE = 0.6  # of the sessions, where no date is given
DRAWS, MEAN_BLOCK, SEED = 1000, 10, 20
FEWEST_SESSIONS = 4 * MEAN_BLOCK
YEAR = 252


class Difference(NamedTuple):
    """Full less mechanical, simple return a year; 95 % interval and two-sided p-value. None: too few sessions."""

    annual_return: float | None
    low: float | None
    high: float | None
    p_value: float | None


def layer() -> tuple[str, ...]:
    """Paths of all settings of the intelligent layer."""
    prefixes = tuple(path[:-1] for path in HOW if path.endswith("*"))
    return tuple(path for path in BY_PATH if path in SWITCHES or path in HOW or path.startswith(prefixes))


def switched_on(config: Config) -> list[str]:
    """Switches of the intelligent layer that are not at their defaults."""
    return [path for path in SWITCHES if config[path] != BY_PATH[path].default]


def twin_of(config: Config) -> Config:
    """The config with the intelligent layer at its defaults."""
    return config.with_values("twin", **{path.replace(".", "__"): BY_PATH[path].default for path in layer()})


def bootstrapped(difference: Any) -> Difference:
    """The mean daily difference as a yearly figure, by stationary block bootstrap (Politis and Romano 1994).

    difference : float64, one per session; 1,000 seeded draws of blocks of 10 sessions on average; percentile interval.
    """
    if len(difference) < FEWEST_SESSIONS or not np.isfinite(difference).all():
        return Difference(None, None, None, None)
    mean = YEAR * float(difference.mean())
    if not difference.any():
        return Difference(0.0, 0.0, 0.0, 1.0)
    from arch.bootstrap import StationaryBootstrap

    drawn = StationaryBootstrap(MEAN_BLOCK, difference, seed=SEED).bootstrap(DRAWS)
    means = YEAR * np.array([data[0].mean() for data, _ in drawn])
    low, high = np.quantile(means, (0.025, 0.975)).tolist()
    beyond = min(int((means <= 0.0).sum()), int((means >= 0.0).sum()))
    return Difference(mean, low, high, min(1.0, 2.0 * (beyond + 1) / (DRAWS + 1)))


class Part(NamedTuple):
    """A run between two sessions, counted from its first."""

    first: int
    last: int  # one past


def part_figures(result: BacktestResult, part: Part) -> dict[str, Any]:
    """One run over one part. Trades are closed campaigns that were entered in it."""
    ends = closing_rows(result)
    at_close = dollars(result.equity)[ends]
    start = at_close[part.first - 1] if part.first else float(result.config["account.starting_cash"])
    first_bar = ends[part.first - 1] + 1 if part.first else 0
    bars = dollars(result.equity[first_bar : ends[part.last - 1] + 1])
    returns = daily_returns(at_close[part.first : part.last], start)
    cash = cash_returns(result)[part.first : part.last]
    fall = max_drawdown(np.concatenate(([start], bars)))
    campaigns = done(campaigns_of(result))
    session = result.market.row.session
    entered = session[campaigns.opened] - session[result.first_row]
    mine = (entered >= part.first) & (entered < part.last)
    day = result.market.ses.day
    entry, ended = day[session[campaigns.opened[mine]]], day[session[campaigns.ended[mine]]]
    return {
        "net_profit": float(at_close[part.last - 1] - start),
        "sharpe": sharpe(returns, cash),
        "psr": psr(returns, cash),
        "trades": int(mine.sum()),
        "effective_trades": effective_trades(campaigns.pnl[mine] / 100.0, entry, ended),
        "max_drawdown": fall.usd if fall else None,
    }


def day_of_cut(cut: str) -> int:
    """Day number of --cut."""
    try:
        return day_number(cut)
    except ValueError:
        raise ConfigError(f"--cut is {cut!r}; give a date such as 2017-01-03") from None


def cut_session(result: BacktestResult, cut: str | None) -> int:
    """How many sessions of the run are in sample: those before the date `cut`, or the first 60 %."""
    days = result.market.ses.day[session_range(result)]
    if cut is None:
        return max(1, round(IN_SAMPLE * len(days))) if len(days) > 1 else 0
    at = int(np.searchsorted(days, day_of_cut(cut)))
    if not 0 < at < len(days):
        raise ConfigError(
            f"--cut {cut} leaves a part empty: the run covers {day_text(days[0])} to {day_text(days[-1])}"
        )
    return at


def returns_of(result: BacktestResult) -> Any:
    at_close = dollars(result.equity)[closing_rows(result)]
    return daily_returns(at_close, float(result.config["account.starting_cash"]))


def compared(full: BacktestResult, mechanical: BacktestResult, cut: str | None) -> dict[str, Any]:
    """The value of metrics.json's `twin`: both runs in and out of sample, their difference, and a verdict."""
    days = full.market.ses.day[session_range(full)]
    at = cut_session(full, cut)
    difference = returns_of(full) - returns_of(mechanical)
    parts = {"in_sample": Part(0, at), "out_of_sample": Part(at, len(days))}
    value: dict[str, Any] = {
        "settings": {path: full.config[path] for path in switched_on(full.config)},
        "cut": day_text(days[at]) if at < len(days) else None,
    }
    for name, part in parts.items():
        if part.first == part.last:
            value[name] = None
            continue
        value[name] = {
            "start": day_text(days[part.first]),
            "end": day_text(days[part.last - 1]),
            "sessions": part.last - part.first,
            "full": part_figures(full, part),
            "mechanical": part_figures(mechanical, part),
            "difference": bootstrapped(difference[part.first : part.last])._asdict(),
        }
    return {**value, "verdict": verdict(value["out_of_sample"])}


def verdict(out_of_sample: dict[str, Any] | None) -> str:
    """In words, from the interval of the out-of-sample difference alone."""
    low = out_of_sample["difference"]["low"] if out_of_sample else None
    if out_of_sample is None or low is None:
        return f"no verdict: fewer than {FEWEST_SESSIONS} sessions out of sample"
    if low > 0.0:
        return "significant out-of-sample benefit"
    return (
        "significant out-of-sample harm"
        if out_of_sample["difference"]["high"] < 0.0
        else ("no significant out-of-sample difference")
    )


def difference_text(difference: dict[str, float | None]) -> str:
    """The value of metrics.json in words."""
    if difference["low"] is None:
        return "n/a: too few sessions"
    mean, low, high = (100.0 * difference[key] for key in ("annual_return", "low", "high"))  # type: ignore[operator]
    return f"{mean:+.2f}% a year (95%: {low:+.2f} to {high:+.2f}), p = {difference['p_value']:.3f}"


def compare_with_twin(result: BacktestResult, cut: str | None) -> dict[str, Any] | None:
    """Run the mechanical twin and compare; None where the run has no intelligence switched on."""
    if result.scripted or not switched_on(result.config):
        return None
    from backtest_engine import run

    return compared(result, run(result.store, twin_of(result.config)), cut)
