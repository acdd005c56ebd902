"""The figures of one trial of a search, compiled: what core.metrics says of a whole run, in microseconds.

Signs, units and definitions are those of core.metrics; NaN stands for what that module calls None. A trial is a
backtest: its money is counted in whole cents, so that two ways to the same equity give the same bytes.
"""

from __future__ import annotations

import math

import numpy as np

from core.jit import njit
from core.metrics import SESSIONS_PER_YEAR, TAIL
from core.types import CASH, MARGIN, MARKS, T

TRIAL_METRICS = (
    *("net_profit", "net_profit_pct", "cagr", "max_drawdown", "max_drawdown_pct", "net_profit_over_max_drawdown"),
    *("sharpe", "sortino", "calmar", "profit_factor", "expectancy", "trades", "open_trades", "wins", "losses"),
    *("win_rate", "avg_win", "avg_loss", "largest_win", "largest_loss", "worst_day", "cvar_95", "time_in_market"),
    *("return_on_margin_days", "fees", "margin_max"),
)
COUNTS = ("trades", "open_trades", "wins", "losses")
METRIC = {name: i for i, name in enumerate(TRIAL_METRICS)}
NET, NET_PCT, CAGR, FALL, FALL_PCT, NET_FALL = range(6)
SHARPE, SORTINO, CALMAR, FACTOR, EXPECTANCY, CLOSED, OPEN, WINS, LOSSES = range(6, 15)
WIN_RATE, AVG_WIN, AVG_LOSS, BEST, WORST, WORST_DAY, CVAR, IN_MARKET, ON_MARGIN, FEES, MARGIN_MAX = range(15, 26)
DEEPEST, DEEPEST_SHARE, BOUND = 0, 1, 2  # of `extremes`: cents, share of the peak, cents of margin
EXTREMES = 3
T_PNL, T_FEES, T_OPENED, T_CLOSED = T["pnl"], T["fees"], T["opened"], T["closed"]
T_CAMPAIGN, T_MAX_LOSS = T["campaign"], T["max_loss"]


@njit
def rows_summary(rows, ends, first, start_cents, day_equity, extremes):
    """What a trial keeps of a ledger's rows: equity at each session's end (cents), and its EXTREMES.

    rows : Ledger.rows of the rows from `first` on; ends : int64 (S), one past each session's last row, of the market
    """
    peak, begin = start_cents, 0
    deepest, share, bound = 0, 0.0, 0
    for s in range(ends.size):
        end = ends[s] - first
        for r in range(begin, end):
            equity = rows[CASH, r] + rows[MARKS, r]
            peak = max(peak, equity)
            bound = max(bound, rows[MARGIN, r])
            if peak - equity > deepest:  # the largest share of a peak is met where the fall is the deepest so far
                deepest = peak - equity
                share = max(share, deepest / peak)
        begin = end
        day_equity[s] = rows[CASH, end - 1] + rows[MARKS, end - 1]
    extremes[DEEPEST], extremes[DEEPEST_SHARE], extremes[BOUND] = deepest, share, bound


@njit
def day_figures(day_equity, start_cents, cash_returns, out):
    """Metrics of the sessions' equity into out."""
    n = day_equity.size
    net = day_equity[n - 1] - start_cents
    out[NET] = net / 100.0
    out[NET_PCT] = 100.0 * net / start_cents
    whole = 1.0 + net / start_cents
    out[CAGR] = whole ** (SESSIONS_PER_YEAR / n) - 1.0 if whole >= 0.0 else math.nan
    total, before, known, largest = 0.0, start_cents, True, 0.0
    worst = day_equity[0] - start_cents
    for s in range(n):
        known = known and before > 0
        excess = day_equity[s] / before - 1.0 - cash_returns[s] if before > 0 else math.nan
        total += excess
        largest = max(largest, abs(excess))
        worst = min(worst, day_equity[s] - before)
        before = day_equity[s]
    out[WORST_DAY] = worst / 100.0
    out[SHARPE] = out[SORTINO] = math.nan
    if not known or n < 2:
        return
    mean, squares, below, before = total / n, 0.0, 0.0, start_cents
    for s in range(n):
        excess = day_equity[s] / before - 1.0 - cash_returns[s]
        squares += (excess - mean) ** 2
        below += min(excess, 0.0) ** 2
        before = day_equity[s]
    deviation = math.sqrt(squares / (n - 1))
    if deviation > 1e-12 * largest:
        out[SHARPE] = mean / deviation * math.sqrt(SESSIONS_PER_YEAR)
    if below > 0.0:
        out[SORTINO] = mean * math.sqrt(SESSIONS_PER_YEAR) / math.sqrt(below / n)


@njit
def worst_days(day_equity, start_cents, worst):
    """Mean P&L in $ of the worst days: as many as `worst`, int64 scratch, has places."""
    k, kept = worst.size, 0
    before = start_cents
    for s in range(day_equity.size):
        pnl = day_equity[s] - before
        before = day_equity[s]
        if kept == k and pnl >= worst[k - 1]:
            continue
        i = min(kept, k - 1)
        kept = min(kept + 1, k)
        while i > 0 and worst[i - 1] > pnl:
            worst[i] = worst[i - 1]
            i -= 1
        worst[i] = pnl
    total = 0
    for i in range(k):
        total += worst[i]
    return total / (100.0 * k)


@njit
def campaign_rows(t_int, trades, chain):
    """Put trades together by campaign: chain[c] = (P&L, margin, opened, ended; -1 open), campaigns by first trade.

    chain : int64 (>= trades, 4); the row of a trade that began no campaign holds opened -1
    """
    for i in range(trades):
        c = t_int[i, T_CAMPAIGN]
        closed = t_int[i, T_CLOSED]
        if c == i:
            chain[i, 0], chain[i, 1], chain[i, 2], chain[i, 3] = 0, 0, t_int[i, T_OPENED], 0
        else:
            chain[i, 2] = -1
        if closed < 0 or chain[c, 3] < 0:
            chain[c, 3] = -1
        else:
            chain[c, 3] = max(chain[c, 3], closed)
        if closed >= 0:
            chain[c, 0] += t_int[i, T_PNL]
        chain[c, 1] = max(chain[c, 1], t_int[i, T_MAX_LOSS])


@njit
def trade_figures(day, session, t_int, trades, chain, out):
    """Metrics of the closed campaigns into out. day : int32 (S) of the market, session : int32 (N), of each row."""
    campaign_rows(t_int, trades, chain)
    won, lost, wins, losses, closed, best, worst = 0, 0, 0, 0, 0, 0, 0
    tied = 0.0
    for i in range(trades):
        if chain[i, 2] < 0 or chain[i, 3] < 0:
            continue
        pnl = chain[i, 0]
        closed += 1
        held = max(day[session[chain[i, 3]]] - day[session[chain[i, 2]]], 1)
        tied += float(chain[i, 1]) * held
        if pnl > 0:
            wins, won, best = wins + 1, won + pnl, max(best, pnl)
        elif pnl < 0:
            losses, lost, worst = losses + 1, lost - pnl, min(worst, pnl)
    out[CLOSED], out[WINS], out[LOSSES] = closed, wins, losses
    out[EXPECTANCY] = (won - lost) / (100.0 * closed) if closed > 0 else math.nan
    out[FACTOR] = won / lost if lost > 0 else math.nan
    out[WIN_RATE] = wins / (wins + losses) if wins + losses > 0 else math.nan
    out[AVG_WIN] = won / (100.0 * wins) if wins > 0 else math.nan
    out[AVG_LOSS] = -lost / (100.0 * losses) if losses > 0 else math.nan
    out[BEST] = best / 100.0 if wins > 0 else math.nan
    out[WORST] = worst / 100.0 if losses > 0 else math.nan
    out[ON_MARGIN] = 365.0 * (won - lost) / tied if tied > 0.0 else math.nan


@njit
def rows_held(t_int, trades, last_row):
    """Rows on which any structure was open, and how many are at the end; trades are in order of their opening.

    A part that was assigned is a trade of its own, opened when it came to be: its rows lie within its parent's.
    """
    held, until, still = 0, -1, 0
    for i in range(trades):
        opened, closed = t_int[i, T_OPENED], t_int[i, T_CLOSED]
        still += closed < 0
        end = closed if closed >= 0 else last_row
        if end > until:
            held += end - max(opened, until)
            until = end
    return held, still


@njit
def trial_figures(day, session, rows, last_row, t_int, trades, fees, day_equity, start_cents, cash_returns, extremes,
                  chain, worst, out):  # fmt: skip
    """All TRIAL_METRICS of one run into out, float64 (len(TRIAL_METRICS)), NaN where undefined.

    day : int32 (S) of the market; session : int32 (N); rows : how many the run covers, ending before last_row
    fees : cents paid; day_equity : int64 (sessions of the run); chain, worst : scratch, see above
    """
    day_figures(day_equity, start_cents, cash_returns, out)
    out[CVAR] = worst_days(day_equity, start_cents, worst)
    trade_figures(day, session, t_int, trades, chain, out)
    held, out[OPEN] = rows_held(t_int, trades, last_row)
    out[IN_MARKET] = held / rows
    out[FALL], out[FALL_PCT] = extremes[DEEPEST] / 100.0, 100.0 * extremes[DEEPEST_SHARE]
    out[NET_FALL] = out[NET] / out[FALL] if extremes[DEEPEST] > 0.0 else math.nan
    out[CALMAR] = out[CAGR] / extremes[DEEPEST_SHARE] if extremes[DEEPEST_SHARE] > 0.0 else math.nan
    out[FEES], out[MARGIN_MAX] = fees / 100.0, extremes[BOUND] / 100.0


def tail_places(sessions: int) -> int:
    """How many worst days the conditional value at risk averages."""
    return int((sessions - 1) * TAIL) + 1


def scratch_for(sessions: int, trades: int) -> tuple[np.ndarray, np.ndarray]:
    """(chain, worst) of trial_figures."""
    return np.zeros((max(trades, 1), 4), np.int64), np.zeros(tail_places(sessions), np.int64)
