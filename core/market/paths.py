"""Five-minute spot and VIX paths, drawn from the law that daily closes, highs and lows leave open.

A session is a Brownian motion on a clock that starts at the previous close: a share of the
variance passes overnight (the opening gap), the rest through the day on a U-shaped clock. Its
volatility is unknown, with a prior from the previous VIX. Candidates (volatility, gap, bridge to
the close) are drawn from that law, one is taken with the weight of how near its extremes come to
the real high and low, and a monotone map of its levels then meets them exactly. Sampling the
whole law, instead of bending one path, is what keeps the visible part of a day from telling the
rest: a bridge whose variance does not match the data's would give cov(visible, rest) =
f (1 - f) (E R^2 - sigma^2).

VIX starts at its previous close, moves with spot through a beta of past sessions, and a bridge
carries what beta leaves to the day's close.

Causality: session d draws from a stream seeded by (seed, d) and reads its own row, the row before
and sums over earlier rows, so no later input can change it. Constants are documented numbers; none
is fitted on the sample it is applied to.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.errors import DataError
from core.jit import njit

Floats = NDArray[np.float64]

# Share of a day's variance that passes overnight: 1 / (1 + exp(-(MEAN + SD z))), .40 on average, of which
# drawn days keep .34 (SPY's opens of 2014-2018: .36). The spread makes nights differ: SPY's gaps over VIX
# have a kurtosis 1.37 times that of its open-to-close moves over VIX (2005-2013 and 2014-2018).
OVERNIGHT_LOGIT_MEAN, OVERNIGHT_LOGIT_SD = -0.5, 1.2

# An index is printed every 15 seconds from last trades, so it overshoots the ends of a bar by less than
# a Brownian motion: by .25 of the mean |move| of one-minute S&P 500 bars (SPY and theory: .50), which is
# this share of the variance. Such days have nearly the index's own range of 2014-2018: mean |return| over
# mean range .64 (real .62), range^2 / (4 ln 2) over return^2 .62 (.67), days that never trade back to the
# last close .23 (.21).
WITHIN_BAR_SHARE = 0.36

# Variance per unit of session time x in [0, 1]:
# FLOOR + OPEN exp(-x / OPEN_DECAY) + CLOSE exp(-(1 - x) / CLOSE_DECAY),
# least squares on each day's squared 5-minute returns over their sum, 404 full SPY sessions
# (2024-03 to 2025-01, 2025-05 to 2025-12, 2026-05 to 2026-08).
CLOCK_FLOOR, CLOCK_OPEN, CLOCK_OPEN_DECAY = 0.636, 1.917, 0.160
CLOCK_CLOSE, CLOCK_CLOSE_DECAY = 2.695, 0.0214

# The index's first prints still hold yesterday's prices of stocks that have not opened: its range
# starts at a share of the gap (printed Open over SPY's gap: quartiles .20, .30, .74 in 2014-2018).
STALE_PRINT_MAX = 0.8

# log(high / low) of the day on log(VIX before / 16): -4.774 + 1.28 x in 2010-2013, as 250 sessions' worth of
# evidence, fading. A day of this law has mean log(range / sd) .142 with sd .37. The spread of the log
# volatility about that line gives return / volatility its kurtosis, 5 = 3 exp(4 x .36^2).
MEAN_LOG_RANGE, LOG_RANGE_SD = 0.142, 0.37
LOG_VOL_PRIOR = (-4.774 - MEAN_LOG_RANGE, 1.28)
LOG_VOL_SD = 0.36

# d log VIX = a + beta R + kappa log(VIX before / 16) + residual, 2010-2013, as 250 sessions' worth
# of evidence; sessions fade with a half-life of 250. Residuals are Student's t with 4.2 degrees.
VIX_PRIOR = (0.006, -5.5, -0.022)
VIX_RESIDUAL_SD, VIX_RESIDUAL_DOF = 0.040, 4.2
PRIOR_SESSIONS, HALF_LIFE = 250.0, 250.0
VIX_REFERENCE = 16.0
# Share of the residual's variance that is there at the open: cov(overnight, whole) / var(whole) = .44
# for hourly VIX 2023-2026.
VIX_OVERNIGHT_SHARE = 0.44

CANDIDATES = 300  # paths drawn for each session
NEARNESS = 0.04  # how near extremes must come, as a share of the day's range (sd of a Gaussian weight)
SMALLEST_RANGE = 1e-6  # log; a day that does not move is read as this
REACH = 3.5  # a bar whose end is further than this many sd from the extreme so far cannot hold it


class Paths(NamedTuple):
    """All bars of all sessions, one after the other.

    Prices in the unit of the input; VIX in points, at the bar's close.
    `open` of a session's first bar is the drawn opening price; the bar's range also holds the
    index's first, stale prints. Every other bar opens at the close before it.
    """

    open: Floats
    high: Floats
    low: Floats
    close: Floats
    vix: Floats


class DailyLaw(NamedTuple):
    """What is known of each session before its bars are drawn; from earlier sessions and its own close alone.

    volatility   : prior median of the sd of the close-to-close log return, decimals per day
    vix_beta     : d log VIX per unit of log return
    vix_drift    : expected d log VIX apart from spot (VIX returns to its mean); spent at the open
    vix_residual : what beta and drift leave of the day's d log VIX
    vix_bridge_sd: sd of a Brownian motion of which the residual is the end point
    """

    volatility: Floats
    vix_beta: Floats
    vix_drift: Floats
    vix_residual: Floats
    vix_bridge_sd: Floats


def session_clock(bars: int) -> Floats:
    """Share of a session's variance passed at the open and at each bar's close; (bars + 1,) from 0 to 1.

    A short session has the same shape in its own time.
    """
    x = np.arange(bars + 1) / bars
    opening = CLOCK_OPEN * CLOCK_OPEN_DECAY * (1.0 - np.exp(-x / CLOCK_OPEN_DECAY))
    closing = (
        CLOCK_CLOSE * CLOCK_CLOSE_DECAY * (np.exp((x - 1.0) / CLOCK_CLOSE_DECAY) - np.exp(-1.0 / CLOCK_CLOSE_DECAY))
    )
    passed = CLOCK_FLOOR * x + opening + closing
    return passed / passed[-1]


@njit
def fill_day_clock(session, overnight_share, clock):
    """Share of a day's variance passed at the previous close, the open and each bar's close; (bars + 2,)."""
    clock[0] = 0.0
    for i in range(session.size):
        clock[i + 1] = overnight_share + (1.0 - overnight_share) * session[i]


@njit
def daily_law(ret, log_range, log_vix_before, vix_move, volatility, beta, drift, residual, bridge_sd):
    """Fill the columns of DailyLaw; row d reads rows before d, and its own moves for the residual.

    ret, vix_move : log changes since the previous close, (sessions,)
    log_vix_before: log of the previous VIX close
    Beta and drift come from ridge least squares with fading memory; the residual's own size is read
    with a Student-t law: sd^2 = (dof s^2 + residual^2) / (dof - 1), whose mean is the residual's variance.
    """
    fade = 0.5 ** (1.0 / HALF_LIFE)
    dof = VIX_RESIDUAL_DOF
    # Second moments the prior stands for: returns of .9 % and log VIX spread of .25 about the reference.
    n, rr, ll, rl, r1, l1 = PRIOR_SESSIONS, PRIOR_SESSIONS * 0.009**2, PRIOR_SESSIONS * 0.0625, 0.0, 0.0, 0.0
    y1, ry, ly = n * VIX_PRIOR[0], rr * VIX_PRIOR[1], ll * VIX_PRIOR[2]
    v1, lv = n * LOG_VOL_PRIOR[0], ll * LOG_VOL_PRIOR[1]
    square_sum, square_count = PRIOR_SESSIONS * VIX_RESIDUAL_SD**2, PRIOR_SESSIONS
    for d in range(ret.size):
        r, y = ret[d], vix_move[d]
        w = log_range[d] - MEAN_LOG_RANGE
        level = log_vix_before[d] - math.log(VIX_REFERENCE)
        c_rr, c_ll, c_rl = rr - r1 * r1 / n, ll - l1 * l1 / n, rl - r1 * l1 / n
        slope = (lv - l1 * v1 / n) / c_ll
        volatility[d] = math.exp((v1 - slope * l1) / n + slope * level)
        c_ry, c_ly = ry - r1 * y1 / n, ly - l1 * y1 / n
        det = c_rr * c_ll - c_rl * c_rl
        b = (c_ry * c_ll - c_ly * c_rl) / det
        kappa = (c_ly * c_rr - c_ry * c_rl) / det
        beta[d] = b
        drift[d] = (y1 - b * r1 - kappa * l1) / n + kappa * level
        residual[d] = y - b * r - drift[d]
        t_scale_sq = (dof - 2.0) / dof * square_sum / square_count
        bridge_sd[d] = math.sqrt((dof * t_scale_sq + residual[d] ** 2) / (dof - 1.0))

        v1, lv = fade * v1 + w, fade * lv + level * w
        n, rr, ll, rl = fade * n + 1.0, fade * rr + r * r, fade * ll + level * level, fade * rl + r * level
        r1, l1, y1 = fade * r1 + r, fade * l1 + level, fade * y1 + y
        ry, ly = fade * ry + r * y, fade * ly + level * y
        square_sum, square_count = fade * square_sum + residual[d] ** 2, fade * square_count + 1.0


@njit
def bridge(rng, clock, end, sd, nodes):
    """Fill nodes with a Brownian motion of variance sd^2 x clock from 0, conditioned on its end value."""
    nodes[0] = 0.0
    last = clock.size - 1
    for i in range(last - 1):
        step, left = clock[i + 1] - clock[i], 1.0 - clock[i]
        pull = (end - nodes[i]) * step / left
        nodes[i + 1] = nodes[i] + pull + sd * math.sqrt(step * (left - step) / left) * rng.standard_normal()
    nodes[last] = end


@njit
def bar_extreme(rng, a, b, variance):
    """How far the maximum of a Brownian bridge from a to b goes; `variance` is that of the free motion.

    P(max > m) = exp(-2 (m - a)(m - b) / variance), inverted at an exponential draw.
    """
    return 0.5 * (a + b + math.sqrt((b - a) ** 2 + 2.0 * variance * rng.standard_exponential()))


@njit
def bar_ranges(rng, clock, sd, nodes, stale, tops, bottoms):
    """Fill each bar's top and bottom where it may hold the day's, NaN elsewhere; return the day's two.

    Bar i runs from nodes[i + 1] to nodes[i + 2]; the first bar's range also reaches to `stale`.
    """
    top, bottom = stale, stale
    for i in range(1, nodes.size):
        top, bottom = max(top, nodes[i]), min(bottom, nodes[i])
    for i in range(tops.size):
        a, b = nodes[i + 1], nodes[i + 2]
        variance = WITHIN_BAR_SHARE * sd * sd * (clock[i + 2] - clock[i + 1])
        reach = REACH * math.sqrt(variance)
        tops[i] = bottoms[i] = math.nan
        if max(a, b) + reach > top:
            tops[i] = bar_extreme(rng, a, b, variance)
            top = max(top, tops[i])
        if min(a, b) - reach < bottom:
            bottoms[i] = -bar_extreme(rng, -a, -b, variance)
            bottom = min(bottom, bottoms[i])
    return top, bottom


@njit
def fill_quiet_bars(rng, clock, sd, nodes, stale, top, bottom, tops, bottoms):
    """Draw the bar extremes that `bar_ranges` left open; they stay within the day's."""
    for i in range(tops.size):
        a, b = nodes[i + 1], nodes[i + 2]
        variance = WITHIN_BAR_SHARE * sd * sd * (clock[i + 2] - clock[i + 1])
        if math.isnan(tops[i]):
            tops[i] = min(top, bar_extreme(rng, a, b, variance))
        if math.isnan(bottoms[i]):
            bottoms[i] = max(bottom, -bar_extreme(rng, -a, -b, variance))
    tops[0], bottoms[0] = max(tops[0], stale), min(bottoms[0], stale)


@njit
def draw_session(rng, session, volatility, high, low, end, nodes, tops, bottoms):
    """Fill nodes, tops and bottoms with one path given the day's close, high and low.

    nodes     : log price over the previous close, at that close, the open and each bar's close
    volatility: prior median sd of the day's log return; high, low, end: logs over the previous close
    Each candidate's sd is proposed near what range and prior suggest and weighted back to the prior;
    the largest (log weight + Gumbel noise) is a draw with those weights. Returns (top, bottom) of the path.
    """
    bars = tops.size
    clock, trial, trial_tops, trial_bottoms = (
        np.empty(bars + 2),
        np.empty(bars + 2),
        np.empty(bars),
        np.empty(bars),
    )
    spread = max(high - low, SMALLEST_RANGE)
    prior_mean = math.log(volatility)
    trust = LOG_VOL_SD**2 / (LOG_VOL_SD**2 + LOG_RANGE_SD**2)
    centre = prior_mean + trust * (math.log(spread) - MEAN_LOG_RANGE - prior_mean)
    width = 1.2 * LOG_VOL_SD * math.sqrt(1.0 - trust)
    best, best_top, best_bottom, best_sd, best_stale, best_share = -math.inf, 0.0, 0.0, 0.0, 0.0, 0.0
    for _ in range(CANDIDATES):
        z = rng.standard_normal()
        log_sd = centre + width * z
        sd = math.exp(log_sd)
        share = 1.0 / (1.0 + math.exp(-(OVERNIGHT_LOGIT_MEAN + OVERNIGHT_LOGIT_SD * rng.standard_normal())))
        fill_day_clock(session, share, clock)
        bridge(rng, clock, end, sd, trial)
        stale = trial[1] * STALE_PRINT_MAX * rng.random()
        top, bottom = bar_ranges(rng, clock, sd, trial, stale, trial_tops, trial_bottoms)
        score = 0.5 * z * z - 0.5 * ((log_sd - prior_mean) / LOG_VOL_SD) ** 2
        score += -log_sd - 0.5 * (end / sd) ** 2
        score -= 0.5 * ((top - high) ** 2 + (bottom - low) ** 2) / (NEARNESS * spread) ** 2
        score -= math.log(rng.standard_exponential())
        if score > best:
            best, best_top, best_bottom, best_sd, best_stale, best_share = (
                score,
                top,
                bottom,
                sd,
                stale,
                share,
            )
            nodes[:], tops[:], bottoms[:] = trial, trial_tops, trial_bottoms
    fill_day_clock(session, best_share, clock)
    fill_quiet_bars(rng, clock, best_sd, nodes, best_stale, best_top, best_bottom, tops, bottoms)
    return best_top, best_bottom


@njit
def stretched(x, top, bottom, high, low, end):
    """The monotone map of levels that sends bottom, end, top to low, end, high."""
    if x >= end:
        return end + (x - end) * (high - end) / (top - end) if top > end else end
    return end + (x - end) * (end - low) / (end - bottom)


@njit
def write_spot(nodes, tops, bottoms, top, bottom, before, high, low, close, out_open, out_high, out_low, out_close):
    """Turn a session's path into prices: stretched to the real extremes, which are met to the last bit."""
    log_high, log_low, end = math.log(high / before), math.log(low / before), math.log(close / before)
    bars = tops.size
    price = min(max(before * math.exp(stretched(nodes[1], top, bottom, log_high, log_low, end)), low), high)
    for i in range(bars):
        out_open[i] = price
        price = before * math.exp(stretched(nodes[i + 2], top, bottom, log_high, log_low, end))
        price = min(max(price, low), high) if i < bars - 1 else close
        out_close[i] = price
        up = before * math.exp(stretched(tops[i], top, bottom, log_high, log_low, end))
        down = before * math.exp(stretched(bottoms[i], top, bottom, log_high, log_low, end))
        up, down = high if tops[i] >= top else up, low if bottoms[i] <= bottom else down
        out_high[i] = min(max(up, out_open[i], price), high)
        out_low[i] = max(min(down, out_open[i], price), low)


@njit
def write_vix(rng, session, law_row, before, prev_close, vix, closes, out_vix):
    """VIX at each bar's close: drift at the open, beta times spot so far, and a bridge to the day's."""
    beta, drift, residual, sd = law_row
    clock, nodes = np.empty(session.size + 1), np.empty(session.size + 1)
    fill_day_clock(session, VIX_OVERNIGHT_SHARE, clock)
    bridge(rng, clock, residual, sd, nodes)
    for i in range(out_vix.size):
        out_vix[i] = before * math.exp(drift + beta * math.log(closes[i] / prev_close) + nodes[i + 2])
    out_vix[-1] = vix


@njit
def write_session(rng, session, volatility, vix_row, prices, vixes, bars):
    """Draw one session into the columns (open, high, low, close, vix) of `bars`."""
    prev_close, high, low, close = prices
    out_open, out_high, out_low, out_close, out_vix = bars
    count = out_open.size
    nodes, tops, bottoms = np.empty(count + 2), np.empty(count), np.empty(count)
    log_high, log_low, end = (
        math.log(high / prev_close),
        math.log(low / prev_close),
        math.log(close / prev_close),
    )
    top, bottom = draw_session(rng, session, volatility, log_high, log_low, end, nodes, tops, bottoms)
    write_spot(
        nodes,
        tops,
        bottoms,
        top,
        bottom,
        prev_close,
        high,
        low,
        close,
        out_open,
        out_high,
        out_low,
        out_close,
    )
    write_vix(rng, session, vix_row, vixes[0], prev_close, vixes[1], out_close, out_vix)


def _checked(name: str, values: ArrayLike, sessions: int) -> Floats:
    column = np.ascontiguousarray(values, dtype=np.float64)
    if column.shape != (sessions,):
        raise DataError(f"daily {name} has shape {column.shape}; one value for each of {sessions} sessions is needed")
    wrong = np.flatnonzero(~(np.isfinite(column) & (column > 0.0)))
    if wrong.size:
        d = int(wrong[0])
        raise DataError(
            f"daily {name} of session {d} is {column[d]}; it must be a positive number, mend the daily file"
        )
    return column


def _check_before(**values: float) -> None:
    for name, value in values.items():
        if not (math.isfinite(value) and value > 0.0):
            raise DataError(f"previous {name} is {value}; the session before the first must have a positive one")


def _check_sessions(close: Floats, high: Floats, low: Floats, counts: NDArray[np.int64]) -> None:
    wrong = np.flatnonzero((close > high) | (close < low))
    if wrong.size:
        d = int(wrong[0])
        raise DataError(f"session {d}: close {close[d]} is outside low {low[d]} to high {high[d]}; mend the daily file")
    short = np.flatnonzero(counts < 2)
    if short.size:
        raise DataError(f"session {int(short[0])} has {int(counts[short[0]])} bars; at least 2 are needed")


def daily_law_of(close: Floats, high: Floats, low: Floats, vix: Floats, prev_close: float, prev_vix: float) -> DailyLaw:
    """DailyLaw of consecutive sessions; arrays (sessions,)."""
    ret = np.diff(np.log(np.concatenate(([prev_close], close))))
    log_vix = np.log(np.concatenate(([prev_vix], vix)))
    law = DailyLaw(*(np.empty(close.size) for _ in DailyLaw._fields))
    log_range = np.log(np.maximum(np.log(high / low), SMALLEST_RANGE))
    daily_law(ret, log_range, log_vix[:-1], np.diff(log_vix), *law)
    return law


def build_paths(
    close: ArrayLike,
    high: ArrayLike,
    low: ArrayLike,
    vix: ArrayLike,
    prev_close: float,
    prev_vix: float,
    bars_per_session: ArrayLike,
    seed: int,
) -> Paths:
    """5-minute bars of spot and VIX that meet each session's real close, high, low and VIX close. Modelled.

    close, high, low : spot per session, (sessions,), one unit throughout
    vix              : VIX close in points, (sessions,)
    prev_close, prev_vix : of the session before the first
    bars_per_session : (sessions,), 78 for a full day, 42 for a half day; at least 2
    seed             : same seed, same bytes; session d depends on (seed, d) and on input rows up to d only
    Raises DataError for a value that is missing, not positive, or a close outside its day's range.
    """
    counts = np.asarray(bars_per_session, dtype=np.int64)
    sessions = counts.size
    close, high, low, vix = (
        _checked(name, column, sessions)
        for name, column in (("close", close), ("high", high), ("low", low), ("VIX", vix))
    )
    _check_before(close=prev_close, VIX=prev_vix)
    _check_sessions(close, high, low, counts)
    law = daily_law_of(close, high, low, vix, prev_close, prev_vix)
    clocks = {n: session_clock(n) for n in map(int, np.unique(counts))}
    paths = Paths(*(np.empty(int(counts.sum())) for _ in Paths._fields))
    ends = np.cumsum(counts)
    spot_before, vix_before = float(prev_close), float(prev_vix)
    for d in range(sessions):
        rng: Any = np.random.default_rng((seed, d))
        n = int(counts[d])
        rows = slice(int(ends[d]) - n, int(ends[d]))
        vix_row = (law.vix_beta[d], law.vix_drift[d], law.vix_residual[d], law.vix_bridge_sd[d])
        prices = (spot_before, high[d], low[d], close[d])
        bars = tuple(column[rows] for column in paths)
        write_session(rng, clocks[n], law.volatility[d], vix_row, prices, (vix_before, vix[d]), bars)
        spot_before, vix_before = float(close[d]), float(vix[d])
    return paths
