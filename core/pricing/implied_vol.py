"""European implied volatility to nearly full double accuracy, or NaN where no volatility exists.

The price is reduced to its out-of-the-money part over discount sqrt(forward strike):

    b(s) = exp(x/2) N(x/s + s/2) - exp(-x/2) N(x/s - s/2),   x = -|ln(forward / strike)|

with s = vol sqrt(years), rising from 0 to exp(x/2), convex up to s_c = sqrt(2 |x|) and concave after.
Below s_c the start is the normal (Bachelier) model's deviation, above it the normal law that has b's
value, slope and curvature at s_c; both are within about 1 %. Then third-order Householder steps inside
a bracket, on a scale where b is nearly a straight line: 1/ln(b/|x|) more than one deviation out of the
money (DEEP), b itself around the money (LINEAR), ln(exp(x/2) - b) near the ceiling (CEILING). Two
steps are the rule. After P. Jaeckel, "Let's be rational" (Wilmott, 2015), whose scales these resemble;
starts, fits and code are our own.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from core.jit import njit
from core.pricing.fastmath import INV_SQRT_2PI, exp_poly, log_poly, norm_cdf

MAX_STEPS = 40
LAST_STEP = 1e-5  # the order is four: behind such a step the error is below 1e-16
LARGEST_DEVIATION = 70.0  # s where even b at the money is 1 to the last bit
NEAR_CEILING = 0.5
RATIO_AT_ONE = 0.08331547058768629  # phi(1) - N(-1)
DEEP, LINEAR, CEILING = 0, 1, 2
SMALLEST_PRICE = 1e-307


@njit
def _upper_quantile(tail):
    """z with N(-z) about tail, for 0 < tail <= 1/2: good to a few 1e-3, enough to start from.

    Series of the inverse error function near 1/2; below, a rational of sqrt(-2 ln tail) with the
    coefficients of Abramowitz and Stegun 26.2.22.
    """
    y = 1.0 - 2.0 * tail
    if y < 0.5:
        y2 = y * y
        return 1.2533141373155001 * y * (1.0 + y2 * (0.2617993877991494 + y2 * 0.14393173084921979))
    t = math.sqrt(-2.0 * log_poly(tail))
    return t - (2.30753 + 0.27061 * t) / (1.0 + t * (0.99229 + 0.04481 * t))


@njit
def _normal_model_distance(ratio):
    """d with (phi(d) - d N(-d)) / d = ratio, within 4e-4 relative: strike distance in deviations.

    Below d = 1 a quotient in 1/ratio, beyond it one in sqrt(-2 ln ratio); both are weighted least
    squares fits over d in (0, 1.02] and [1, 37.6].
    """
    if ratio > RATIO_AT_ONE:
        t = 1.0 / ratio
        top = 0.398817921 + t * (0.133609692 + t * 0.00106092761)
        return t * top / (1.0 + t * (0.829551782 + t * 0.1035064))
    t = math.sqrt(-2.0 * log_poly(ratio))
    top = 0.79485173 + t * (-0.218771087 + t * (-0.193422708 + t * 0.225560925))
    return top / (1.0 + t * (-0.121891278 + t * 0.224605765))


@njit
def _low_start(x, target):
    """Start below s_c: the normal model's deviation, then once more with b's factor exp(-s^2 / 8) undone."""
    distance = _normal_model_distance(-target / x)
    s = -x / distance
    return -x / _normal_model_distance(-target / x * exp_poly(0.125 * s * s))


@njit
def _high_start(target, root, split, at_split):
    """Start above s_c: b modelled as a normal law with b's value, slope and zero curvature at s_c."""
    left = root - at_split
    stretch = 0.5 * root / left
    return split + _upper_quantile(0.5 * (root - target) / left) / stretch


@njit
def _householder_step(region, x, root, s, target, log_target):
    """(step, is b(s) below the target): third-order Householder on the region's own scale g(b).

    bp, b2, b3: b', b''/b', b'''/b'. With g2 = b' g''/g' and g3 = b'^2 g'''/g' (g's derivatives are in b)
    the composed function has h2 = b2 + g2 and h3 = b3 + 3 g2 b2 + g3, and the step is
    newton (1 + newton h2 / 2) / (1 + newton h2 + newton^2 h3 / 6).
    """
    inverse_root = 1.0 / root
    h = x / s
    n2 = norm_cdf(h - 0.5 * s)
    b = root * norm_cdf(h + 0.5 * s) - inverse_root * n2
    bp = INV_SQRT_2PI * exp_poly(-0.5 * (h * h + 0.25 * s * s))
    if region == DEEP:
        floored = SMALLEST_PRICE if b < SMALLEST_PRICE else b
        log_b = log_poly(-floored / x)
        ratio = bp / floored
        newton = (1.0 - log_b / log_target) * log_b / ratio
        g2 = -(1.0 + 2.0 / log_b) * ratio
        g3 = (2.0 + (6.0 + 6.0 / log_b) / log_b) * ratio * ratio
    elif region == LINEAR:
        newton = (target - b) / bp
        g2 = 0.0
        g3 = 0.0
    else:
        beyond = root * norm_cdf(-h - 0.5 * s) + inverse_root * n2
        newton = (log_poly(beyond) - log_target) * beyond / bp
        g2 = bp / beyond
        g3 = 2.0 * g2 * g2
    b2 = h * h / s - 0.25 * s
    b3 = b2 * b2 - 3.0 * (h / s) * (h / s) - 0.25
    h2 = b2 + g2
    h3 = b3 + 3.0 * g2 * b2 + g3
    return newton * (1.0 + 0.5 * newton * h2) / (1.0 + newton * (h2 + newton * h3 / 6.0)), b < target


@njit
def _solve_deviation(x, target):
    """s with b(x, s) = target, for x <= 0 and 0 < target < exp(x/2)."""
    root = exp_poly(0.5 * x)
    inverse_root = 1.0 / root
    split = math.sqrt(-2.0 * x)
    at_split = 0.5 * root - inverse_root * norm_cdf(-split)
    low = 0.0
    high = LARGEST_DEVIATION
    region = LINEAR
    log_target = 0.0
    if target < at_split:
        high = split
        s = _low_start(x, target)
        if s < -x:
            region = DEEP
            log_target = log_poly(-target / x)
    else:
        low = split
        s = _high_start(target, root, split, at_split)
        if root - target < NEAR_CEILING * root:
            region = CEILING
            log_target = log_poly(root - target)
    for _ in range(MAX_STEPS):
        step, is_below = _householder_step(region, x, root, s, target, log_target)
        if abs(step) <= LAST_STEP * s:
            return s + step
        if is_below:
            low = s
        else:
            high = s
        s = s + step if low < s + step < high else 0.5 * (low + high)
    return s


@njit
def implied_vol(is_call, price, forward, strike, years, discount):
    """Volatility (decimal per year) at which `black_price` equals price; NaN when there is none.

    is_call         : 1 or True for a call
    price           : $/share today
    forward, strike : $, > 0
    years, discount : ACT/365 years; value today of 1 $ at expiry, > 0
    NaN: an unknown input, years <= 0, a price at or below discounted intrinsic value or at or above its bound
    (discount forward for a call, discount strike for a put). European: an American price contains an
    exercise premium and inverts too high, hardly so out of the money, badly for puts deep in the money.
    Accuracy: 2e-12 relative or better for vol sqrt(years) above 0.002, 4e-11 down to 0.0001; in the money
    only what the price's digits hold beyond intrinsic value.
    """
    side = 1.0 if is_call else -1.0
    exercise = side * (forward - strike)
    time_value = price / discount - (exercise if exercise > 0.0 else 0.0)
    ceiling = forward if forward < strike else strike
    if not (0.0 < time_value < ceiling and 0.0 < years < math.inf):
        return math.nan
    target = time_value / math.sqrt(forward * strike)
    x = -abs(log_poly(forward / strike))
    if not SMALLEST_PRICE < target < exp_poly(0.5 * x):
        return math.nan
    return _solve_deviation(x, target) / math.sqrt(years)


# Why there is no implied volatility, for `no_vol_reason`.
SOLVED, UNKNOWN_INPUT, NO_TIME, NEGATIVE_PRICE, BELOW_BOUND, ABOVE_BOUND = range(6)
REASONS = (
    "",
    "an input is unknown",
    "no time left",
    "negative price",
    "below no-arbitrage lower bound",
    "above upper bound",
)


@njit
def no_vol_reason(is_call, price, forward, strike, years, discount):
    """Why `implied_vol` of these inputs is NaN: SOLVED if it is not, else an index into REASONS."""
    if not math.isfinite(price + forward + strike + years + discount) or not (forward > 0.0 and strike > 0.0):
        return UNKNOWN_INPUT
    if not years > 0.0:
        return NO_TIME
    if price < 0.0:
        return NEGATIVE_PRICE
    if price >= discount * (forward if is_call else strike):
        return ABOVE_BOUND
    return BELOW_BOUND if math.isnan(implied_vol(is_call, price, forward, strike, years, discount)) else SOLVED


@njit
def implied_vol_rows(is_call, price, forward, strike, years, discount, out):
    """`implied_vol` over rows: every input an array[n]; fills out, float64[n]."""
    for i in range(out.size):
        out[i] = implied_vol(is_call[i], price[i], forward[i], strike[i], years[i], discount[i])


def implied_vols(is_call: Any, price: Any, forward: Any, strike: Any, years: Any, discount: Any) -> Any:
    """`implied_vol` over broadcast inputs: float64 of the broadcast shape, NaN where there is none."""
    columns = np.broadcast_arrays(is_call, price, forward, strike, years, discount)
    flat = [np.array(column, np.float64).ravel() for column in columns]
    out = np.empty(flat[0].size)
    implied_vol_rows(*flat, out)
    return out.reshape(columns[0].shape)
