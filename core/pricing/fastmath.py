"""exp, log and the normal law as straight-line arithmetic, so that array loops vectorise.

No library of vector mathematics comes with the packages, and a call into libm keeps LLVM
from turning a loop into SIMD. Every function here is a polynomial or a quotient of two
polynomials, plus moves between the bits of a double and integers; choices are conditional
expressions on values that are already computed, which compile to selects.

Accuracy, measured against 40-digit arithmetic: exp, log within 1 ulp or so, `norm_cdf` and
`norm_pdf` within 2e-15 relative on the whole line, deep left tail included. NaN gives NaN.
"""

from __future__ import annotations

import math

from core.jit import bits_of, float_of, njit

LOG2_E = 1.4426950408889634
# ln 2 = LN2_HI + LN2_LO; the low 21 bits of LN2_HI are zero, so n * LN2_HI is exact for |n| < 2^21.
LN2_HI = float.fromhex("0x1.62e42fee00000p-1")
LN2_LO = 1.9082149292705878e-10
# Adding 1.5 * 2^52 rounds a double to an integer, which then stands in its low bits.
ROUND_MAGIC = 6755399441055744.0
EXP_LOWEST = -708.0
EXP_HIGHEST = 709.0

LOW_27_BITS_OFF = -(1 << 27)
MANTISSA_BITS = 52
EXPONENT_MASK = 0x7FF
EXPONENT_BIAS = 1023
SQRT_HALF_BITS = 0x3FE6A09E667F3BCD
# The double 2^52 + n has n in its low bits: the way from a small integer to a double.
TWO_52_BITS = 0x4330000000000000
TWO_52_PLUS_BIAS = 4503599627370496.0 + 1023.0
SMALLEST_NORMAL = 2.2250738585072014e-308
TWO_54 = 18014398509481984.0

INV_SQRT_2PI = 0.3989422804014327
TAIL_END = 37.6  # N(-37.6) is about 1e-309, below the normal doubles: taken as 0


@njit(forceinline=True)
def _exp_sum(high, low):
    """exp(high + low) for high in [-708, 709] and |low| < 1e-4.

    exp(x) = 2^n exp(r), r = x - n ln 2 in +-0.3466, exp(r) = 1 + r + r^2 p(r).
    p: Chebyshev fit of (exp(r) - 1 - r) / r^2, degree 9, on that interval; largest error of
    the whole 1.3e-17 relative, so that rounding is all that remains.
    """
    shifted = high * LOG2_E + ROUND_MAGIC
    n = shifted - ROUND_MAGIC
    r = ((high - n * LN2_HI) - n * LN2_LO) + low
    p = 2.510038549551032e-08
    p = p * r + 2.7620088445409746e-07
    p = p * r + 2.7557268459997064e-06
    p = p * r + 2.4801521295954376e-05
    p = p * r + 0.00019841269863053618
    p = p * r + 0.0013888888917213717
    p = p * r + 0.008333333333330062
    p = p * r + 0.04166666666662413
    p = p * r + 0.16666666666666669
    p = p * r + 0.5000000000000001
    scale = float_of(((bits_of(shifted) + EXPONENT_BIAS) & EXPONENT_MASK) << MANTISSA_BITS)
    return (1.0 + (r + (r * r) * p)) * scale


@njit(forceinline=True)
def exp_poly(x):
    """exp(x); x is first clamped to [-708, 709], so the result is never 0, subnormal or inf."""
    capped = EXP_HIGHEST if x > EXP_HIGHEST else x
    return _exp_sum(EXP_LOWEST if capped < EXP_LOWEST else capped, 0.0)


@njit(forceinline=True)
def log_poly(x):
    """Natural logarithm of x > 0; -inf at 0, NaN below.

    x = 2^e m with m in [sqrt(1/2), sqrt 2), f = m - 1, s = f / (2 + f), z = s^2:
    log m = 2 atanh(s) = f - f^2/2 + s (f^2/2 + z p(z)).
    p: Chebyshev fit of (2 atanh(s)/s - 2) / z in z on [0, 0.0295], degree 6; largest error of
    log m 5e-18 relative. That order of the sums loses nothing for x near 1.
    """
    in_domain = x if x > 0.0 else 1.0
    is_subnormal = in_domain < SMALLEST_NORMAL
    bits = bits_of(in_domain * TWO_54 if is_subnormal else in_domain)
    lifted = 54.0 if is_subnormal else 0.0
    biased = ((bits - SQRT_HALF_BITS + (EXPONENT_BIAS << MANTISSA_BITS)) >> MANTISSA_BITS) & EXPONENT_MASK
    f = float_of(bits - ((biased - EXPONENT_BIAS) << MANTISSA_BITS)) - 1.0
    e = (float_of(biased | TWO_52_BITS) - TWO_52_PLUS_BIAS) - lifted
    s = f / (2.0 + f)
    z = s * s
    p = 0.14617807153417325
    p = p * z + 0.15331611722055008
    p = p * z + 0.1818289243253687
    p = p * z + 0.22222211089379496
    p = p * z + 0.28571428626253836
    p = p * z + 0.3999999999989889
    p = p * z + 0.666666666666667
    half_square = 0.5 * f * f
    value = e * LN2_HI + (f - (half_square - (s * (half_square + z * p) + e * LN2_LO)))
    edge = -math.inf if x == 0.0 else (math.nan if x < 0.0 else x)
    return value if 0.0 < x < math.inf else edge


@njit(forceinline=True)
def _gauss_exp(z):
    """exp(-z^2 / 2) for 0 <= z <= 37.6.

    z^2 loses up to 8e-14 of the exponential when it is rounded at z = 38; so z is cut to its
    upper 26 bits (whose square is exact) and the rest enters behind the range reduction.
    """
    upper = float_of(bits_of(z) & LOW_27_BITS_OFF)
    return _exp_sum(-0.5 * upper * upper, -0.5 * (z - upper) * (z + upper))


@njit(forceinline=True)
def norm_pdf(x):
    """Standard normal density; 0 beyond |x| = 37.6."""
    z = abs(x)
    inside = TAIL_END if z > TAIL_END else z
    density = INV_SQRT_2PI * _gauss_exp(inside)
    return 0.0 if z > TAIL_END else density


@njit(forceinline=True)
def norm_cdf(x):
    """Standard normal distribution function, accurate relative to itself in the left tail too.

    N(-z) = exp(-z^2/2) P(z)/Q(z), z >= 0. P (degree 9) and Q (degree 10): rational fit of
    exp(z^2/2) N(-z) on [0, 38.6] by iteratively reweighted least squares in 60-digit
    arithmetic at Chebyshev points of t = (z-3)/(z+3); largest relative error 5e-17. All
    coefficients are positive, so nothing cancels, and P(0)/Q(0) is 1/2 to the bit. 0 below -37.6.
    """
    z = abs(x)
    inside = TAIL_END if z > TAIL_END else z
    p = 0.39894228040019175
    p = p * inside + 10.733390799009268
    p = p * inside + 141.38122986700347
    p = p * inside + 1179.5175648419377
    p = p * inside + 6816.821043296096
    p = p * inside + 28205.56707168896
    p = p * inside + 83563.02191911826
    p = p * inside + 171634.19524277883
    p = p * inside + 223966.02237923376
    p = p * inside + 144579.9896546381
    q = inside + 26.904620858820575
    q = q * inside + 355.39018834619344
    q = q * inside + 2983.516695993736
    q = q * inside + 17439.62668434438
    q = q * inside + 73603.67130741781
    q = q * inside + 225849.96116126794
    q = q * inside + 495278.6590371341
    q = q * inside + 740171.4238383324
    q = q * inside + 678648.3278514122
    q = q * inside + 289159.9793092762
    tail = _gauss_exp(inside) * p / q
    tail = 0.0 if z > TAIL_END else tail
    return 1.0 - tail if x > 0.0 else tail
