"""A modelled SPY/SPX option market: implied vols and two-sided quotes from spot, VIX and time alone.

Every price made here is MODELLED. The numbers (`ModelShape`) are fitted to real chains by
scripts/data/fit_model_surface.py and kept in data/presets/model_surface.yaml.

Two clocks. `years` is calendar time (ACT/365) and discounts. `variance_years` is the time in
which variance accrues: a closed day counts little, the first 90 minutes of a session much. A full
week is 7/365 in both, so `variance_years = years` is an unbiased stand-in that knows no weekends.

Level, with u = 2 (VIX - 16) / (VIX + 16), which is ln(VIX / 16) near 16 and bounded in the extremes:
    strip variance  W(t) = VIX^2 [long t + (short - long) (1 - e^(-c t)) / c], with W(30 days) = VIX^2 t
                    and W(93 days) = VIX3M^2 t; an unknown VIX3M is VIX (ratio_0 + ratio_1 u)
    at the money    theta(t) = (atm_0 + atm_1 u)^2 W(t)
Smile, in x = ln(K / F) / sqrt(theta), the same for all expiries but for its width s(t):
    sigma sqrt(T) = sqrt(theta) [1 + b (r x + sqrt((x - m)^2 + s^2) - sqrt(m^2 + s^2))]
with m = m_0 + m_1 u and s = s_0 + s_1 sqrt(30 days / t); the slopes of the two wings are
left = b (1 - r) and right = b (1 + r). Total volatility, not variance, is a hyperbola: on real
chains it is straight in the put wing. Static arbitrage is tested for, not excluded by form.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from core.jit import njit
from core.pricing.fastmath import exp_poly, log_poly, norm_cdf, norm_pdf

VIX_DAYS = 30.0 / 365.0
VIX3M_DAYS = 93.0 / 365.0
# Smiles narrower in time than a trading day keep that day's shape; longer than a year likewise.
SHAPE_FROM = 1.0 / 365.0
SHAPE_TO = 1.0
# Neither end of the variance curve falls below this share of VIX^2: keeps theta increasing.
LEAST_VARIANCE = 0.1
TINY_YEARS = 1e-9
DAY_NS = 86_400_000_000_000
HOUR_NS = 3_600_000_000_000
MORNING_HOURS = 1.5
SESSION_HOURS = 6.5
CENT_EPS = 1e-7


class ModelShape(NamedTuple):
    """The fitted numbers of the surface, the clock and the spreads; all floats."""

    mean_reversion: float  # c, 1/year of variance time
    vix3m_ratio_0: float  # VIX3M / VIX at VIX 16 where VIX3M is unknown
    vix3m_ratio_1: float  # its change per unit of u
    atm_0: float  # at-the-money vol over the strip's vol at VIX 16
    atm_1: float
    left_slope: float  # d(sigma/sigma_atm)/dx far in the puts
    right_slope: float  # the same far in the calls
    center_0: float  # m
    center_1: float
    width_0: float  # s
    width_1: float
    overnight_weight: float  # variance of a weekday: close to open
    morning_weight: float  # open to open + 90 minutes
    midday_weight: float  # the five hours after; these three sum to 1
    closed_day_weight: float  # each day without a session
    spread_base_usd: float  # full width, $ of a SPY-sized option
    spread_delta_usd: float  # per |delta|
    spread_vega: float  # per $ of vega per vol point
    spread_min_usd: float
    spread_vix_from: float  # VIX above which spreads widen
    spread_per_vix: float  # relative widening per VIX point above it
    spread_per_move: float  # relative widening per 1.00 of |day return|
    spread_open_factor: float  # in the first minutes of a session
    spread_open_minutes: float  # how long they last
    spread_settle_minutes: float  # then back to 1 over this time


def shape_from_mapping(values: Mapping[str, float]) -> ModelShape:
    """ModelShape from the `shape:` table of the preset; a missing or unknown name raises KeyError."""
    wrong = set(values) ^ set(ModelShape._fields)
    if wrong:
        raise KeyError(f"model surface: missing or unknown numbers: {', '.join(sorted(wrong))}")
    return ModelShape(**{name: float(values[name]) for name in ModelShape._fields})


@njit(forceinline=True)
def _larger(a, b):
    """The larger of two numbers; a NaN in `a` gives b, in `b` gives NaN."""
    return a if a > b else b


@njit(forceinline=True)
def _smaller(a, b):
    return a if a < b else b


@njit(forceinline=True)
def _log_like(vix):
    """2 (VIX - 16) / (VIX + 16): ln(VIX / 16) to third order, between -2 and 2."""
    return 2.0 * (vix - 16.0) / (vix + 16.0)


@njit(forceinline=True)
def _relaxed(c, t):
    """(1 - exp(-c t)) / (c t), t > 0: how much of a shock to instantaneous variance is in its mean to t."""
    return (1.0 - exp_poly(-c * t)) / (c * t)


@njit(forceinline=True)
def _atm_variance(shape, mean_30, mean_93, u, variance_years, vix, vix3m):
    """theta, total variance at the money; the means are _relaxed at 30 and 93 days (hoisted by the caller)."""
    span = mean_30 - mean_93
    estimate = shape.vix3m_ratio_0 + shape.vix3m_ratio_1 * u
    given = vix3m / vix
    ratio = given if given > 0.0 else estimate
    lowest = (mean_93 + LEAST_VARIANCE * span) / mean_30
    highest = ((1.0 - mean_93) - LEAST_VARIANCE * span) / (1.0 - mean_30)
    variance_ratio = _smaller(_larger(ratio * ratio, lowest), highest)
    short = ((1.0 - mean_93) - variance_ratio * (1.0 - mean_30)) / span
    long = (variance_ratio * mean_30 - mean_93) / span
    vol = 0.01 * vix * (shape.atm_0 + shape.atm_1 * u)
    mean = long + (short - long) * _relaxed(shape.mean_reversion, variance_years)
    return vol * vol * mean * variance_years


@njit(forceinline=True)
def _total_deviation(shape, mean_30, mean_93, k, variance_years, vix, vix3m):
    """sigma sqrt(T) at k = ln(K / F); variance_years > 0, vix in points > 0."""
    u = _log_like(vix)
    atm = math.sqrt(_atm_variance(shape, mean_30, mean_93, u, variance_years, vix, vix3m))
    x = k / atm
    shape_years = _smaller(_larger(variance_years, SHAPE_FROM), SHAPE_TO)
    center = shape.center_0 + shape.center_1 * u
    width = shape.width_0 + shape.width_1 * math.sqrt(VIX_DAYS / shape_years)
    half_sum = 0.5 * (shape.left_slope + shape.right_slope)
    half_difference = 0.5 * (shape.right_slope - shape.left_slope)
    off = x - center
    square = width * width
    bend = math.sqrt(off * off + square) - math.sqrt(center * center + square)
    return atm * (1.0 + half_difference * x + half_sum * bend)


@njit(forceinline=True)
def vol_at(shape, k, years, variance_years, vix, vix3m):
    """Black implied volatility (decimal per year, ACT/365) at log-moneyness k = ln(K / F).

    years, variance_years > 0 : calendar and variance time to expiry; vix, vix3m : index points,
    vix3m may be NaN (then estimated from vix). NaN for a NaN vix or no time left.
    """
    mean_30 = _relaxed(shape.mean_reversion, VIX_DAYS)
    mean_93 = _relaxed(shape.mean_reversion, VIX3M_DAYS)
    if not (years > 0.0 and variance_years > 0.0 and vix > 0.0):
        return math.nan
    return _total_deviation(shape, mean_30, mean_93, k, variance_years, vix, vix3m) / math.sqrt(years)


@njit
def vols_at(shape, k, years, variance_years, vix, vix3m, out):
    """vol_at for arrays of equal length; writes `out`."""
    for i in range(k.shape[0]):
        out[i] = vol_at(shape, k[i], years[i], variance_years[i], vix[i], vix3m[i])


@njit
def delta_at(shape, is_call, strike, spot, years, variance_years, vix, vix3m, rate, dividend_yield):
    """Spot delta with the leg's own smile vol: e^(-qT) N(d1) for a call, that minus e^(-qT) for a put.

    No time left: 1 or 0 (0.5 at the strike itself), negative for puts. NaN for a NaN input.
    """
    if not years > 0.0:
        inside = 1.0 if spot > strike else (0.0 if spot < strike else 0.5)
        return inside if is_call else inside - 1.0
    k = math.log(strike / spot) - (rate - dividend_yield) * years
    deviation = vol_at(shape, k, years, variance_years, vix, vix3m) * math.sqrt(years)
    delta = exp_poly(-dividend_yield * years) * norm_cdf(-k / deviation + 0.5 * deviation)
    return delta if is_call else delta - exp_poly(-dividend_yield * years)


@njit
def spread_usd(shape, price_scale, delta, vega_usd, vix, minutes_since_open, day_move):
    """Full bid-ask width in $ per share, before rounding to cents.

    delta : either sign; vega_usd : $ per vol point; day_move : return since the last close, either
    sign; price_scale : 1 for SPY, 10 for SPX. A NaN minutes_since_open or day_move counts as calm.
    """
    plain = price_scale * (
        shape.spread_base_usd + shape.spread_delta_usd * abs(delta) + shape.spread_vega * abs(vega_usd) / price_scale
    )
    plain = _larger(plain, price_scale * shape.spread_min_usd)
    above = _larger(vix - shape.spread_vix_from, 0.0)
    move = _larger(abs(day_move), 0.0)
    settling = (minutes_since_open - shape.spread_open_minutes) / shape.spread_settle_minutes
    left = _larger(1.0 - _larger(settling, 0.0), 0.0)
    opening = 1.0 + (shape.spread_open_factor - 1.0) * (left if minutes_since_open == minutes_since_open else 0.0)
    return plain * (1.0 + shape.spread_per_vix * above) * (1.0 + shape.spread_per_move * move) * opening


@njit
def quote_rows(
    shape,
    price_scale,
    is_call,
    strike,
    spot,
    vix,
    vix3m,
    years,
    variance_years,
    rate,
    dividend_yield,
    minutes_since_open,
    day_move,
    bid_out,
    ask_out,
):
    """Modelled bid and ask (int32 cents per share) of one contract over n moments.

    shape : ModelShape; price_scale : 1.0 SPY, 10.0 SPX (spreads in $ scale with it)
    is_call, strike : the contract; spot [$], vix, vix3m [points, NaN allowed in vix3m], years,
    variance_years, minutes_since_open, day_move : arrays of n; rate, dividend_yield : decimals per year
    European Black price +- half the spread; bid floored to a cent and >= 0, ask ceiled and >= bid + 1.
    years <= 0 gives the intrinsic value. A NaN spot, vix, time, or rate gives 0 / 0: no quote.
    The loop has no branches and no calls, so it compiles to SIMD.
    """
    mean_30 = _relaxed(shape.mean_reversion, VIX_DAYS)
    mean_93 = _relaxed(shape.mean_reversion, VIX3M_DAYS)
    sign = 1.0 if is_call else -1.0
    for i in range(bid_out.shape[0]):
        alive = years[i] > 0.0
        t = _larger(years[i], TINY_YEARS)
        variance_t = _larger(variance_years[i], TINY_YEARS)
        k = log_poly(strike / spot[i]) - (rate - dividend_yield) * t
        deviation = _total_deviation(shape, mean_30, mean_93, k, variance_t, vix[i], vix3m[i])
        d1 = -k / deviation + 0.5 * deviation
        share = spot[i] * exp_poly(-dividend_yield * t)
        cash = strike * exp_poly(-rate * t)
        inside = norm_cdf(sign * d1)
        value = sign * (share * inside - cash * norm_cdf(sign * (d1 - deviation)))
        vega = 0.01 * share * norm_pdf(d1) * math.sqrt(t)
        intrinsic = _larger(sign * (spot[i] - strike), 0.0)
        mid = _larger(value, 0.0) if alive else intrinsic
        width = spread_usd(
            shape, price_scale, inside, vega if alive else 0.0, vix[i], minutes_since_open[i], day_move[i]
        )
        bid = np.floor(_larger(100.0 * mid - 50.0 * width, 0.0) + CENT_EPS)
        ask = _larger(np.ceil(100.0 * mid + 50.0 * width - CENT_EPS), bid + 1.0)
        inputs = years[i] + variance_years[i] + value + width
        known = inputs == inputs
        bid_out[i] = np.int32(bid if known else 0.0)
        ask_out[i] = np.int32(ask if known else 0.0)


@njit
def variance_clock(shape, ts_ns, open_ns, close_ns, out):
    """Variance time (years) from the first session's open to each ts_ns; writes `out`.

    open_ns, close_ns : the sessions, ascending; ts_ns : any order, inside the calendar's span (NaN
    outside it). Time to expiry is out[expiry close] - out[bar]. A session shorter than 6.5 hours has
    the same morning and the same rate per hour after it; days without a session between two sessions
    add closed_day_weight each to the night they prolong.
    """
    unit = 7.0 / 365.0 / (5.0 + 2.0 * shape.closed_day_weight)
    n = open_ns.shape[0]
    at_open = np.empty(n)
    at_close = np.empty(n)
    total = 0.0
    for s in range(n):
        if s > 0:
            closed_days = close_ns[s] // DAY_NS - close_ns[s - 1] // DAY_NS - 1
            total += shape.overnight_weight + shape.closed_day_weight * closed_days
        at_open[s] = total
        total += _session_variance(shape, (close_ns[s] - open_ns[s]) / HOUR_NS)
        at_close[s] = total
    for i in range(ts_ns.shape[0]):
        s = np.searchsorted(open_ns, ts_ns[i], side="right") - 1
        if s < 0 or (s == n - 1 and ts_ns[i] > close_ns[s]):
            out[i] = math.nan
        elif ts_ns[i] <= close_ns[s]:
            out[i] = unit * (at_open[s] + _session_variance(shape, (ts_ns[i] - open_ns[s]) / HOUR_NS))
        else:
            gone = (ts_ns[i] - close_ns[s]) / (open_ns[s + 1] - close_ns[s])
            out[i] = unit * (at_close[s] + gone * (at_open[s + 1] - at_close[s]))


@njit
def _session_variance(shape, hours):
    """Share of a weekday's variance in the first `hours` of its session."""
    morning = _smaller(hours, MORNING_HOURS) / MORNING_HOURS
    rest = _larger(hours - MORNING_HOURS, 0.0) / (SESSION_HOURS - MORNING_HOURS)
    return shape.morning_weight * morning + shape.midday_weight * rest
