"""Performance figures of a run, from its equity, its bars and its closed trades.

Pure functions of arrays. What cannot be defined (no losses, no variance, too few
values, an unknown input) is None, never NaN or infinity and never a default number.

Signs and units: money in $, P&L signed (a loss is negative, also in avg_loss, worst_day
and cvar_95); drawdowns are positive amounts; keys ending in _pct are percent; rates,
shares and ratios are plain decimals. A day is a session; a year is 252 of them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
SESSIONS_PER_YEAR = 252
TAIL = 0.05

# The keys of metrics.json in their order; those of OTHER_KEYS are known to the ledger only and passed in.
OTHER_KEYS = (
    "fees",
    "slippage_paid",
    "interest",
    "buying_power_share_max",
    "buying_power_share_mean",
    "margin_max",
    "break_even_slippage_per_package",
    "break_even_slippage_half_spreads",
    "share_fills_modelled",
    "share_pnl_modelled",
    "attribution",
    "warnings",
)
KEYS = (
    *("start", "end", "bars", "starting_cash", "net_profit", "net_profit_pct", "cagr"),
    *("max_drawdown", "max_drawdown_pct", "net_profit_over_max_drawdown"),
    *("sharpe", "sortino", "calmar", "psr", "profit_factor", "expectancy", "expectancy_se"),
    *("trades", "open_trades", "wins", "losses", "win_rate", "avg_win", "avg_loss"),
    *("largest_win", "largest_loss", "worst_day", "cvar_95", "time_in_market", "return_on_margin_days"),
    *OTHER_KEYS[:8],
    *("buy_and_hold_pct", "effective_trades"),
    *OTHER_KEYS[8:],
)


class Trades(NamedTuple):
    """Closed structures, one element each (parallel arrays, in any order)."""

    pnl_usd: Floats  # after all fees
    entry_day: NDArray[np.int32]  # days since 1970-01-01
    exit_day: NDArray[np.int32]
    margin_usd: Floats  # requirement held from entry to exit


class Drawdown(NamedTuple):
    """The deepest falls from a running peak; the two may happen at different times."""

    usd: float
    fraction: float


def _usable(values: Floats, at_least: int = 1) -> bool:
    return len(values) >= at_least and bool(np.isfinite(values).all())


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _ratio(numerator: float | None, denominator: float | None) -> float | None:
    if numerator is None or not denominator:
        return None
    return _finite(numerator / denominator)


# --- returns ---------------------------------------------------------------------------------------------


def daily_returns(session_equity_usd: Floats, starting_cash_usd: float) -> Floats:
    """Simple return of every session; the first is measured from the starting cash.

    NaN where the equity before was not positive: a lost account has no return.
    """
    before = np.concatenate(([starting_cash_usd], session_equity_usd[:-1]))
    returns = np.full(len(session_equity_usd), np.nan)
    np.divide(session_equity_usd, before, out=returns, where=before > 0)
    return returns - 1.0


def cumulative_return(returns: Floats) -> float | None:
    return _finite(float(np.prod(1.0 + returns)) - 1.0) if _usable(returns) else None


def cagr(total_return: float | None, periods: int, periods_per_year: float = SESSIONS_PER_YEAR) -> float | None:
    """Yearly compound growth of a total return earned over `periods` (years = periods / periods_per_year).

    None below a total loss (-1), where growth has no meaning, and where the figure overflows.
    """
    if total_return is None or periods < 1 or total_return < -1.0:
        return None
    try:
        return (1.0 + total_return) ** (periods_per_year / periods) - 1.0
    except OverflowError:
        return None


def annual_volatility(returns: Floats, periods_per_year: float = SESSIONS_PER_YEAR) -> float | None:
    return float(np.std(returns, ddof=1)) * math.sqrt(periods_per_year) if _usable(returns, 2) else None


def sharpe_per_period(returns: Floats, cash_returns: Floats | float = 0.0) -> float | None:
    """Mean over standard deviation (ddof 1) of returns in excess of cash, not annualised.

    None for fewer than two periods or when the excess returns do not vary.
    """
    excess = np.asarray(returns - cash_returns, dtype=np.float64)
    if not _usable(excess, 2):
        return None
    deviation = float(np.std(excess, ddof=1))
    # Equal values leave a rounding residue; a ratio to it would be a huge invented number.
    if deviation <= 1e-12 * float(np.max(np.abs(excess))):
        return None
    return float(np.mean(excess)) / deviation


def sharpe(
    returns: Floats, cash_returns: Floats | float = 0.0, periods_per_year: float = SESSIONS_PER_YEAR
) -> float | None:
    """Annualised Sharpe ratio of periodic returns, idle periods included."""
    per_period = sharpe_per_period(returns, cash_returns)
    return None if per_period is None else per_period * math.sqrt(periods_per_year)


def sortino(
    returns: Floats, cash_returns: Floats | float = 0.0, periods_per_year: float = SESSIONS_PER_YEAR
) -> float | None:
    """Annualised mean excess return over the downside deviation sqrt(mean(min(excess, 0)^2)).

    The mean of squares runs over ALL periods, gains counting as 0.
    """
    excess = np.asarray(returns - cash_returns, dtype=np.float64)
    if not _usable(excess, 2):
        return None
    downside = math.sqrt(float(np.mean(np.minimum(excess, 0.0) ** 2)))
    annualised = float(np.mean(excess)) * math.sqrt(periods_per_year)
    return _ratio(annualised, downside)


def skew_and_kurtosis(values: Floats) -> tuple[float, float] | None:
    """Population skewness and RAW kurtosis (3 for a normal); None without variation."""
    if not _usable(values, 2):
        return None
    centred = values - np.mean(values)
    variance = float(np.mean(centred**2))
    if variance <= (1e-12 * float(np.max(np.abs(values)))) ** 2:
        return None
    return float(np.mean(centred**3)) / variance**1.5, float(np.mean(centred**4)) / variance**2


def psr_from_moments(
    per_period_sharpe: float, periods: int, skew: float, raw_kurtosis: float, benchmark: float = 0.0
) -> float | None:
    """Probability that the true Sharpe ratio exceeds `benchmark` (both per period).

    N[(SR - SR*) sqrt(n - 1) / sqrt(1 - g3 SR + (g4 - 1) / 4 SR^2)]
    (Bailey & Lopez de Prado 2012). None where the variance term is not positive.
    """
    spread = 1.0 - skew * per_period_sharpe + (raw_kurtosis - 1.0) / 4.0 * per_period_sharpe**2
    if periods < 2 or not spread > 0.0:
        return None
    z = (per_period_sharpe - benchmark) * math.sqrt(periods - 1) / math.sqrt(spread)
    return 0.5 * math.erfc(-z / math.sqrt(2.0))


def psr(returns: Floats, cash_returns: Floats | float = 0.0) -> float | None:
    """Probabilistic Sharpe ratio against 0 of returns in excess of cash."""
    per_period = sharpe_per_period(returns, cash_returns)
    moments = skew_and_kurtosis(np.asarray(returns - cash_returns, dtype=np.float64))
    if per_period is None or moments is None:
        return None
    return psr_from_moments(per_period, len(returns), *moments)


# --- losses ----------------------------------------------------------------------------------------------


def max_drawdown(equity: Floats) -> Drawdown | None:
    """Deepest fall from the running peak, in the units of `equity` and as a share of that peak, both >= 0.

    The first value is the first peak: put the starting cash there. Above 1 when equity
    falls below zero. None for unknown values or a start that is not positive.
    """
    if not _usable(equity) or equity[0] <= 0.0:
        return None
    peak = np.maximum.accumulate(equity)
    fall = peak - equity
    return Drawdown(float(np.max(fall)), float(np.max(fall / peak)))


def calmar(annual_growth: float | None, drawdown_fraction: float | None) -> float | None:
    """Annual growth over the deepest drawdown (>= 0); None without a drawdown."""
    return _ratio(annual_growth, drawdown_fraction)


def value_at_risk(values: Floats, tail: float = TAIL) -> float | None:
    """The `tail` quantile, linear between order statistics; signed as the values are (a loss is negative)."""
    return float(np.quantile(values, tail)) if _usable(values) else None


def expected_shortfall(values: Floats, tail: float = TAIL) -> float | None:
    """Mean of the worst values: the lowest floor((n - 1) tail) + 1 of them; signed as the values are."""
    if not _usable(values):
        return None
    worst = int((len(values) - 1) * tail) + 1
    return float(np.mean(np.partition(values, worst - 1)[:worst]))


def tail_ratio(values: Floats, tail: float = TAIL) -> float | None:
    """Size of the upper `tail` quantile over that of the lower one."""
    if not _usable(values):
        return None
    return _ratio(abs(float(np.quantile(values, 1.0 - tail))), abs(float(np.quantile(values, tail))))


# --- wins and losses (of trades or of periods) -------------------------------------------------------------


def profit_factor(pnl: Floats) -> float | None:
    """Sum of gains over sum of losses (the omega ratio at 0); None when nothing was lost."""
    if not _usable(pnl):
        return None
    return _ratio(float(np.sum(pnl[pnl > 0])), -float(np.sum(pnl[pnl < 0])))


def win_rate(pnl: Floats) -> float | None:
    """Share of gains among the results that are not exactly zero."""
    decided = pnl[pnl != 0]
    return float(np.mean(decided > 0)) if _usable(decided) else None


def mean_of(pnl: Floats) -> float | None:
    """Plain mean, None when there is nothing to average: the expectancy per trade or per period."""
    return float(np.mean(pnl)) if _usable(pnl) else None


def payoff_ratio(pnl: Floats) -> float | None:
    """Average gain over the size of the average loss."""
    loss = mean_of(pnl[pnl < 0])
    return None if loss is None else _ratio(mean_of(pnl[pnl > 0]), -loss)


def effective_trades(pnl_usd: Floats, entry_day: NDArray[np.int32], exit_day: NDArray[np.int32]) -> float | None:
    """How many independent trades carry as much information about the mean as these overlapping ones.

    Trades are grouped by entry into blocks of whole weeks, long enough for the median
    holding time (at least one week), because a trade shares its market with all that are
    open beside it. With d_i = pnl_i - mean, n trades and G blocks b,

        var_iid    = n / (n - 1) * sum_i d_i^2                  variance of the sum were trades independent
        var_blocks = G / (G - 1) * sum_b (sum_{i in b} d_i)^2   the same from block sums
        n_eff      = n * var_iid / var_blocks                   clipped to [1, n]

    This is the design effect of cluster sampling. It needs no random draws. A single block
    counts as one trade; equal results (no variance to compare) count as G. Dependence across
    a block's edge is not seen, so it errs on the high side: trades entered daily and held 31
    sessions of independent days give t ratios with a deviation of 1.2 (4 years) to 1.4 (1 year)
    where 1 would be right.
    """
    n = len(pnl_usd)
    if not _usable(pnl_usd):
        return None
    held_days = float(np.median(exit_day.astype(np.int64) - entry_day))
    weeks = max(1, math.ceil(held_days / 7.0))
    # 1970-01-05 was a Monday: weeks run Monday to Sunday.
    _, block = np.unique((entry_day.astype(np.int64) - 4) // (7 * weeks), return_inverse=True)
    blocks = int(block.max()) + 1
    if blocks == 1:
        return 1.0
    deviation = pnl_usd - np.mean(pnl_usd)
    var_iid = n / (n - 1) * float(np.sum(deviation**2))
    var_blocks = blocks / (blocks - 1) * float(np.sum(np.bincount(block, weights=deviation) ** 2))
    if var_iid <= n * (1e-12 * float(np.max(np.abs(pnl_usd)))) ** 2:
        return float(blocks)
    return float(n) if var_blocks <= var_iid else max(1.0, n * var_iid / var_blocks)


def expectancy_standard_error(pnl_usd: Floats, independent_trades: float | None) -> float | None:
    """Standard error of the mean trade: sd (ddof 1) / sqrt(effective trades).

    None for fewer than two trades, or when all results are equal: a sample without
    variation says nothing about its error.
    """
    if independent_trades is None or not _usable(pnl_usd, 2):
        return None
    deviation = float(np.std(pnl_usd, ddof=1))
    if deviation <= 1e-12 * float(np.max(np.abs(pnl_usd))):
        return None
    return deviation / math.sqrt(independent_trades)


def return_on_margin_days(trades: Trades) -> float | None:
    """Yearly simple return on the margin while it was in use.

    365 * sum of pnl / sum of margin_usd * days held, over closed trades; days are calendar
    days from entry to exit, at least 1 (a position opened and closed within a day ties
    its margin up for that day). A decimal per year; None when no margin was held.
    """
    if not (_usable(trades.pnl_usd) and _usable(trades.margin_usd)):
        return None
    days = np.maximum(trades.exit_day.astype(np.int64) - trades.entry_day, 1)
    return _ratio(365.0 * float(np.sum(trades.pnl_usd)), float(np.sum(trades.margin_usd * days)))


# --- the summary -----------------------------------------------------------------------------------------


def _defined(value: Any) -> Any:
    """The value as JSON can say it, at any depth: NaN and infinities are None, numpy numbers plain ones."""
    if isinstance(value, Mapping):
        return {key: _defined(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_defined(inner) for inner in value]
    plain = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(plain, float) and not math.isfinite(plain) else plain


def _equity_figures(
    bar_equity_usd: Floats,
    session_equity_usd: Floats,
    starting_cash_usd: float,
    cash_returns: Floats | float,
) -> dict[str, Any]:
    returns = daily_returns(session_equity_usd, starting_cash_usd)
    day_pnl = np.diff(session_equity_usd, prepend=starting_cash_usd)
    net_profit = float(session_equity_usd[-1]) - starting_cash_usd
    fall = max_drawdown(np.concatenate(([starting_cash_usd], bar_equity_usd)))
    growth = cagr(net_profit / starting_cash_usd, len(returns))
    return {
        "net_profit": net_profit,
        "net_profit_pct": 100.0 * net_profit / starting_cash_usd,
        "cagr": growth,
        "max_drawdown": fall.usd if fall else None,
        "max_drawdown_pct": 100.0 * fall.fraction if fall else None,
        "net_profit_over_max_drawdown": _ratio(net_profit, fall.usd if fall else None),
        "sharpe": sharpe(returns, cash_returns),
        "sortino": sortino(returns, cash_returns),
        "calmar": calmar(growth, fall.fraction if fall else None),
        "psr": psr(returns, cash_returns),
        "worst_day": float(np.min(day_pnl)),
        "cvar_95": expected_shortfall(day_pnl),
    }


def _trade_figures(trades: Trades) -> dict[str, Any]:
    pnl = trades.pnl_usd
    wins, losses = pnl[pnl > 0], pnl[pnl < 0]
    independent = effective_trades(pnl, trades.entry_day, trades.exit_day)
    return {
        "profit_factor": profit_factor(pnl),
        "expectancy": mean_of(pnl),
        "expectancy_se": expectancy_standard_error(pnl, independent),
        "effective_trades": 0.0 if len(pnl) == 0 else independent,
        "trades": len(pnl),
        "wins": len(wins),
        "losses": len(losses),
        "win_rate": win_rate(pnl),
        "avg_win": mean_of(wins),
        "avg_loss": mean_of(losses),
        "largest_win": float(np.max(wins)) if len(wins) else None,
        "largest_loss": float(np.min(losses)) if len(losses) else None,
        "return_on_margin_days": return_on_margin_days(trades),
    }


def summarise(
    *,
    session_day: NDArray[np.int32],
    session_equity_usd: Floats,
    underlying_close: Floats,
    bar_equity_usd: Floats,
    bar_open_risk: NDArray[np.bool_],
    starting_cash_usd: float,
    trades: Trades,
    open_trades: int,
    other: Mapping[str, Any],
    cash_returns: Floats | float = 0.0,
) -> dict[str, Any]:
    """All figures of metrics.json, in the order of KEYS, ready for JSON.

    session_day, session_equity_usd, underlying_close, cash_returns : one per session, idle ones too
        (equity at the session's close; cash return of the session as a decimal)
    bar_equity_usd, bar_open_risk : one per bar; the drawdown uses every bar's marked equity
    other : exactly the OTHER_KEYS, computed by the ledger; undefined numbers in it become None
    Sharpe, Sortino and PSR are in excess of cash_returns. Growth counts sessions / 252 years.
    Buy and hold runs from the first to the last close, without dividends.
    ValueError for an empty run or for keys of `other` that are missing or unknown.
    """
    if len(session_equity_usd) == 0 or len(bar_equity_usd) == 0:
        raise ValueError("summarise needs at least one bar and one session")
    if set(other) != set(OTHER_KEYS):
        raise ValueError(f"keys of `other` that are missing or unknown: {sorted(set(other) ^ set(OTHER_KEYS))}")
    held = _ratio(float(underlying_close[-1]), float(underlying_close[0]))
    figures = {
        "start": str(np.datetime64(int(session_day[0]), "D")),
        "end": str(np.datetime64(int(session_day[-1]), "D")),
        "bars": len(bar_equity_usd),
        "starting_cash": float(starting_cash_usd),
        "open_trades": int(open_trades),
        "time_in_market": float(np.mean(bar_open_risk)),
        "buy_and_hold_pct": None if held is None else 100.0 * (held - 1.0),
        **_equity_figures(bar_equity_usd, session_equity_usd, starting_cash_usd, cash_returns),
        **_trade_figures(trades),
        **other,
    }
    return {key: _defined(figures[key]) for key in KEYS}
