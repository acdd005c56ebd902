"""Touching a barrier under constant volatility: closed forms, labelled as the approximation that they are.

A smile makes them wrong on both sides of the market at once (core.pricing.local_vol has the answer under skew).
ln(spot) drifts by n = rate - yield - vol^2 / 2 a year; monitoring is continuous; the measure is risk-neutral.
Sources: Reiner and Rubinstein, "Unscrambling the binary code" (Risk, 1991); Haug (2007), chapter 4; Hui, "One-touch
double barrier binary option values" (1996); Broadie, Glasserman and Kou, "A continuity correction for discrete
barrier options" (Mathematical Finance, 1997).
"""

from __future__ import annotations

import math

from core.jit import njit
from core.pricing.fastmath import norm_cdf

DISCRETE_SHIFT = 0.5826  # -zeta(1/2) / sqrt(2 pi)
WIDE = 0.2  # vol sqrt(years) over the corridor's log width: below it images converge faster than eigenfunctions
NARROW = 0.6  # above it images converge too slowly
STRONG_DRIFT = 4.0  # ln of the drift's weight across the corridor, at which eigenfunctions cancel
IMAGES = 8
FAR_IMAGE = 9.0  # deviations beyond which an image has no mass left
EIGENFUNCTIONS = 40
NO_MASS = 1e-18


@njit
def touch_probability(spot, barrier, years, vol, rate, dividend_yield):
    """(probability of touching `barrier` by `years`, that of being beyond it then); NaN outside spot, barrier > 0.

    spot, barrier : $; a barrier at or through the spot is touched. At years <= 0 or vol <= 0 the certain path decides.
    """
    if not (spot > 0.0 and barrier > 0.0 and math.isfinite(years + vol + rate + dividend_yield)):
        return math.nan, math.nan
    b = math.log(barrier / spot)
    life = max(years, 0.0)
    drift = (rate - dividend_yield - 0.5 * vol * vol) * life
    s = max(vol, 0.0) * math.sqrt(life)
    if b == 0.0:
        return 1.0, (0.5 if s > 0.0 else 1.0)
    side = 1.0 if b < 0.0 else -1.0
    if s < 1e-12:
        reached = 1.0 if side * (b - drift) >= 0.0 else 0.0
        return reached, reached
    beyond = norm_cdf(side * (b - drift) / s)
    power = 2.0 * drift * b / (s * s)
    tail = norm_cdf(side * (b + drift) / s)
    reflected = math.exp(power) * tail if tail > 0.0 else 0.0
    return min(beyond + reflected, 1.0), beyond


@njit
def one_touch_at_hit(spot, barrier, years, vol, rate, dividend_yield):
    """Value of 1 $ paid when the barrier is touched within `years`; domain as touch_probability, vol and years > 0."""
    if not (spot > 0.0 and barrier > 0.0 and years > 0.0 and vol > 0.0):
        return math.nan
    s = vol * math.sqrt(years)
    mu = (rate - dividend_yield) / (vol * vol) - 0.5
    root = mu * mu + 2.0 * rate / (vol * vol)
    if root < 0.0:
        return math.nan  # a rate so negative that the Laplace transform does not exist
    power = math.sqrt(root)
    side = 1.0 if barrier < spot else -1.0
    ratio = barrier / spot
    z = math.log(ratio) / s + power * s
    return ratio ** (mu + power) * norm_cdf(side * z) + ratio ** (mu - power) * norm_cdf(side * (z - 2.0 * power * s))


@njit
def _between(low, high):
    """Standard normal mass between two points, from the tail that both lie in, where nothing cancels."""
    return norm_cdf(-low) - norm_cdf(-high) if low > 0.0 else norm_cdf(high) - norm_cdf(low)


@njit
def _eigen_sum(x, s, a):
    """stay_inside_probability on a corridor of width 1: 2 e^(-ax - a^2 s^2 / 2) sum sin(kx') e^(-k^2 b) mass_k.

    x' = pi x, b = (pi s)^2 / 2, mass_k = pi k (1 - (-1)^k e^a) / (a^2 + pi^2 k^2). Sines and decays by recurrence.
    """
    angle, b = math.pi * x, 0.5 * math.pi * math.pi * s * s
    before, sine, turn = 0.0, math.sin(angle), 2.0 * math.cos(angle)
    decay = math.exp(-b)
    fall = decay * decay * decay
    again = decay * decay
    lean = math.exp(a)
    total, sign = 0.0, -1.0
    for k in range(1, EIGENFUNCTIONS + 1):
        c = math.pi * k
        total += sine * decay * c * (1.0 - sign * lean) / (a * a + c * c)
        sign = -sign
        before, sine = sine, turn * sine - before
        decay *= fall
        fall *= again
        if decay < NO_MASS:
            break
    return 2.0 * total * math.exp(-a * x - 0.5 * a * a * s * s)


@njit
def stay_inside_probability(spot, lower, upper, years, vol, rate, dividend_yield):
    """Probability that the spot stays strictly between two barriers for `years`; 0 outside them.

    $, ACT/365, decimals. NaN for an input out of its domain (lower < upper, all > 0). Images of the starting point
    where the corridor is wide for the time or the drift strong, eigenfunctions elsewhere: to 1e-13 while the drift is
    below two deviations.
    """
    if not (0.0 < lower < upper and spot > 0.0 and math.isfinite(years + vol + rate + dividend_yield)):
        return math.nan
    if not lower < spot < upper:
        return 0.0
    x, width = math.log(spot / lower), math.log(upper / lower)
    s = max(vol, 0.0) * math.sqrt(max(years, 0.0))
    drift = (rate - dividend_yield - 0.5 * vol * vol) * max(years, 0.0)
    if s < 1e-12:
        return 1.0 if 0.0 < x + drift < width else 0.0
    a = drift / (s * s)
    total = 0.0
    if s < WIDE * width or (s < NARROW * width and abs(a) * width > STRONG_DRIFT):
        # Image m lies at least (2 |m| - 2) widths away from the corridor; a strong drift pulls one more in.
        most = (1 if abs(drift) <= s else 2) + int((FAR_IMAGE * s + abs(drift)) / (2.0 * width))
        most = min(IMAGES, most)
        for m in range(-most, most + 1):
            shift = 2.0 * m * width
            direct = _between((-x - shift) / s - a * s, (width - x - shift) / s - a * s)
            mirrored = _between((x - shift) / s - a * s, (width + x - shift) / s - a * s)
            if direct > 0.0:
                total += math.exp(a * shift) * direct
            if mirrored > 0.0:
                total -= math.exp(a * (shift - 2.0 * x)) * mirrored
        return min(max(total, 0.0), 1.0)
    return min(max(_eigen_sum(x / width, s / width, a * width), 0.0), 1.0)


@njit
def watched_barrier(spot, barrier, vol, years_between):
    """The barrier ($) of continuous watching that stands for watching `barrier` every `years_between` only."""
    shift = DISCRETE_SHIFT * vol * math.sqrt(years_between)
    return barrier * math.exp(-shift if barrier < spot else shift)
