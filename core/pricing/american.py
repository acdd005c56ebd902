"""American options with a continuous yield: the exercise boundary by fixed-point iteration, then one integral.

The put's boundary B(t), t = time left, solves B = K exp(-(r - q) t) N(t) / D(t) with

    N(t) = N(d-(t, B(t)/K)) + r Int_0^t e^{ru} N(d-(t - u, B(t)/B(u))) du,   D(t) likewise with d+ and q,
    d+-(t, z) = (ln z + (r - q) t) / (sigma sqrt t) +- sigma sqrt(t) / 2,

and the value is the European one plus the present value of interest less dividends earned below the boundary.
ln(B/X)^2, X = B(0+) = K min(1, r/q), is smooth in sqrt(t), so a polynomial through a few Chebyshev nodes carries
it; the integrals run by Gauss-Legendre over the angle whose sine is sqrt((t - u) / t). Where these points lie
between the nodes is the same for every option, so interpolation is a fixed matrix. Calls are puts by
McDonald-Schroder symmetry: C(S, K, r, q) = P(K, S, q, r).
Sources: Andersen, Lake and Offengenden, "High-performance American option pricing" (J. Comp. Finance, 2016);
the start is Li, "Analytical approximations for the critical stock prices" (QD+, Rev. Derivatives Research, 2010).
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from core.jit import njit
from core.pricing.black_scholes import black_greeks, black_price
from core.pricing.fastmath import exp_poly, log_poly, norm_cdf, norm_pdf
from core.pricing.implied_vol import implied_vol


class Scheme(NamedTuple):
    """Nodes and matrices of one accuracy: n boundary nodes, l and p quadrature points, as fractions of sqrt(years).

    With sqrt(t - u) = sqrt(t) sin a and sqrt(u) = sqrt(t) cos a both ends of an integral over u are smooth in a.

    node        : float64[n], sqrt(t) of the boundary nodes, descending from 1; t = 0 is a node besides
    early       : float64[c, n], start values at all nodes from those at `coarse`, int64[c], a few of them
    inner       : float64[n, l], sqrt(t - u) of the points of each node's integral; inner_w their weights in 2 v dv
    inner_basis : float64[n, n, l], boundary values at those points from the values at the nodes
    outer, outer_w, outer_basis : float64[p], [p], [n, p], the same for the value's integral
    passes      : fixed-point passes over the nodes
    """

    node: Any
    coarse: Any
    early: Any
    inner: Any
    inner_w: Any
    inner_basis: Any
    outer: Any
    outer_w: Any
    outer_basis: Any
    passes: int


def _lagrange(at: Any, nodes: Any) -> Any:
    """float64[len(at), len(nodes) - 1]: basis polynomials through all nodes, the last of which carries 0."""
    basis = np.ones((len(at), len(nodes)))
    for k in range(len(nodes)):
        for j in range(len(nodes)):
            if j != k:
                basis[:, k] *= (at - nodes[j]) / (nodes[k] - nodes[j])
    return np.ascontiguousarray(basis[:, :-1])


def scheme_of(nodes: int, inner: int, outer: int, passes: int, starts: int) -> Scheme:
    """A scheme with that many boundary nodes, quadrature points, passes, and nodes of the start."""
    chebyshev = 0.5 * (1.0 + np.cos(np.pi * np.arange(nodes + 1) / nodes))
    node = chebyshev[:-1].copy()
    coarse = np.unique(np.linspace(0, nodes - 1, starts).round().astype(np.int64))
    early = _lagrange(node, np.append(node[coarse], 0.0)).T
    angle, weight = _angles(inner)
    reach = np.outer(node, np.sin(angle))
    bases = [_lagrange(x * np.cos(angle), chebyshev).T for x in node]
    steps = 2.0 * reach * np.outer(node, np.cos(angle) * weight)
    last, last_weight = _angles(outer)
    return Scheme(
        node,
        coarse,
        np.ascontiguousarray(early),
        reach,
        steps,
        np.ascontiguousarray(np.stack(bases)),
        np.sin(last),
        2.0 * np.sin(last) * np.cos(last) * last_weight,
        np.ascontiguousarray(_lagrange(np.cos(last), chebyshev).T),
        passes,
    )


def _angles(points: int) -> tuple[Any, Any]:
    """Gauss-Legendre points and weights on [0, pi / 2]."""
    y, w = np.polynomial.legendre.leggauss(points)
    return 0.25 * np.pi * (1.0 + y), 0.25 * np.pi * w


# Largest error on options like SPY's against QuantLib's QdFp engine at its highest precision: FAST 5e-5 $,
# ACCURATE 2e-7 $. FAST takes about a tenth of the time.
FAST = scheme_of(nodes=6, inner=8, outer=16, passes=2, starts=4)
ACCURATE = scheme_of(nodes=14, inner=32, outer=64, passes=6, starts=14)

START_STEPS = 8
START_CLOSE = 5e-4
SMALLEST_SHAPE = 1e-12
SMALLEST_DEVIATION = 1e-6
NO_INTEREST = 1e-10  # interest over the life that nobody would exercise for: 1e-7 $ on a strike of 1,000
DEEPEST = -60.0  # ln(B / X) is not followed below: such a boundary is never met


@njit
def _start_gap(log_b, t, vol, rate, dividend_yield):
    """Li's QD+ condition at boundary K exp(log_b), per unit of strike: its root in log_b is the start."""
    b = math.exp(log_b)
    dr = math.exp(-rate * t)
    dq = math.exp(-dividend_yield * t)
    s = vol * math.sqrt(t)
    dp = (log_b + (rate - dividend_yield) * t) / s + 0.5 * s
    dm = dp - s
    below_p, below_m = norm_cdf(-dp), norm_cdf(-dm)
    price = dr * below_m - b * dq * below_p
    theta = -0.5 * vol * b * dq * norm_pdf(dp) / math.sqrt(t) - dividend_yield * b * dq * below_p + rate * dr * below_m
    h = -math.expm1(-rate * t)
    m, n = 2.0 * rate / (vol * vol), 2.0 * (rate - dividend_yield) / (vol * vol)
    root = math.sqrt((n - 1.0) * (n - 1.0) + 4.0 * m / h)
    q = -0.5 * (n - 1.0 + root)
    slope = m / (h * h * root)
    gain = 1.0 - b - price
    c0 = -(1.0 - h) * m / (2.0 * q + n - 1.0) * (1.0 / h - theta / (dr * rate * gain) + slope / (2.0 * q + n - 1.0))
    return (1.0 - dq * below_p) * b + (q + c0) * gain


@njit
def _start(t, vol, rate, dividend_yield, log_x, guess):
    """ln(B(t) / K) of the start, by secant steps from a guess; never above log_x."""
    a = min(guess, log_x - 1e-9)
    fa = _start_gap(a, t, vol, rate, dividend_yield)
    b = a - 0.02 * vol * math.sqrt(t) - 1e-9
    for _ in range(START_STEPS):
        fb = _start_gap(b, t, vol, rate, dividend_yield)
        if not abs(fb - fa) > 0.0:
            break
        step = -fb * (b - a) / (fb - fa)
        reach = 1.5 * vol * math.sqrt(t) + 1e-9
        step = min(max(step, -reach), reach)
        a, fa = b, fb
        b = min(b + step, log_x)
        if not b > DEEPEST or abs(step) < START_CLOSE:
            break
    if not DEEPEST < b <= log_x:
        b = guess
    return b


@njit
def _boundary(years, vol, rate, dividend_yield, scheme, shape):
    """Fill shape[i] = ln(B(t_i) / X)^2 at the nodes, t_i = years node_i^2; returns ln(X / K).

    Newton's method on the whole system ln B_i - ln(K e^{-(r-q)t} N_i / D_i) = 0 in y_i = ln(X / B_i). (A plain
    fixed-point pass needs ten times as many: the slope of its right side by B(t) is close to 1.)
    """
    node, inner, inner_w, basis = scheme.node, scheme.inner, scheme.inner_w, scheme.inner_basis
    n, points = basis.shape[0], basis.shape[2]
    drift = rate - dividend_yield
    scale = vol * math.sqrt(years)
    log_x = log_poly(rate / dividend_yield) if dividend_yield > rate else 0.0
    _start_nodes(years, vol, rate, dividend_yield, log_x, scheme, shape)
    y = np.empty(n)
    for i in range(n):
        y[i] = math.sqrt(shape[i])
    interest, paid = np.empty((n, points)), np.empty((n, points))
    for i in range(n):
        for j in range(points):
            u = years * (node[i] * node[i] - inner[i, j] * inner[i, j])
            interest[i, j] = rate * years * inner_w[i, j] * exp_poly(rate * u)
        for j in range(points):
            u = years * (node[i] * node[i] - inner[i, j] * inner[i, j])
            paid[i, j] = dividend_yield * years * inner_w[i, j] * exp_poly(dividend_yield * u)
    gap, turn, d, cdf, pdf = np.empty(points), np.empty(points), np.empty(points), np.empty(points), np.empty(points)
    jacobian, excess = np.empty((n, n)), np.empty(n)
    for _ in range(scheme.passes):
        for i in range(n):
            t = years * node[i] * node[i]
            s = scale * node[i]
            for j in range(points):
                gap[j] = 0.0
            for k in range(n):
                for j in range(points):
                    gap[j] += basis[i, k, j] * shape[k]
            for j in range(points):
                gap[j] = math.sqrt(max(gap[j], 0.0))
            for j in range(points):  # 0 where the polynomial has dipped below 0: no value there to follow
                turn[j] = gap[j] / (max(gap[j] * gap[j], SMALLEST_SHAPE) * scale * inner[i, j])
            for j in range(points):
                gap[j] = (gap[j] - y[i] + drift * years * inner[i, j] * inner[i, j]) / (scale * inner[i, j])
            at = (log_x - y[i] + drift * t) / s
            top, top_slope = norm_cdf(at - 0.5 * s), norm_pdf(at - 0.5 * s) / s
            bottom, bottom_slope = norm_cdf(at + 0.5 * s), norm_pdf(at + 0.5 * s) / s
            for j in range(points):
                d[j] = gap[j] - 0.5 * scale * inner[i, j]
            for j in range(points):
                cdf[j] = norm_cdf(d[j])
            for j in range(points):
                pdf[j] = norm_pdf(d[j])
            for j in range(points):
                top += interest[i, j] * cdf[j]
            for j in range(points):
                gap[j] += 0.5 * scale * inner[i, j]
            for j in range(points):
                cdf[j] = norm_cdf(gap[j])
            for j in range(points):
                bottom += paid[i, j] * cdf[j]
            for j in range(points):
                d[j] = interest[i, j] * pdf[j] / top
            for j in range(points):
                pdf[j] = norm_pdf(gap[j])
            for j in range(points):
                d[j] -= paid[i, j] * pdf[j] / bottom  # d ln(N / D) by ln(B(t) / B(u)) / deviation
            own = top_slope / top - bottom_slope / bottom
            for j in range(points):
                own += d[j] / (scale * inner[i, j])
            for j in range(points):
                d[j] *= turn[j]
            for k in range(n):
                total = 0.0
                for j in range(points):
                    total += d[j] * basis[i, k, j]
                jacobian[i, k] = -total * y[k]
            jacobian[i, i] += own - 1.0
            excess[i] = log_x - y[i] + drift * t - log_poly(top / bottom)
        _solve_in_place(jacobian, excess)
        for i in range(n):
            y[i] = max(y[i] - min(max(excess[i], -scale * node[i]), scale * node[i]), 0.0)
            shape[i] = y[i] * y[i]
    return log_x


@njit
def _solve_in_place(matrix, right):
    """right becomes the solution of matrix x = right (Gaussian elimination, rows exchanged); matrix is destroyed."""
    n = right.size
    for i in range(n):
        pivot = i
        for k in range(i + 1, n):
            if abs(matrix[k, i]) > abs(matrix[pivot, i]):
                pivot = k
        if pivot != i:
            for j in range(i, n):
                matrix[i, j], matrix[pivot, j] = matrix[pivot, j], matrix[i, j]
            right[i], right[pivot] = right[pivot], right[i]
        inverse = 1.0 / matrix[i, i]
        for k in range(i + 1, n):
            share = matrix[k, i] * inverse
            for j in range(i + 1, n):
                matrix[k, j] -= share * matrix[i, j]
            right[k] -= share * right[i]
    for i in range(n - 1, -1, -1):
        for j in range(i + 1, n):
            right[i] -= matrix[i, j] * right[j]
        right[i] /= matrix[i, i]


@njit
def _start_nodes(years, vol, rate, dividend_yield, log_x, scheme, shape):
    """Fill shape with the start: the QD+ boundary at a few nodes, interpolated."""
    node, coarse = scheme.node, scheme.coarse
    for i in range(node.size):
        shape[i] = 0.0
    slope = 0.9 * vol
    for c in range(coarse.size - 1, -1, -1):  # from short to long
        t = years * node[coarse[c]] * node[coarse[c]]
        log_b = _start(t, vol, rate, dividend_yield, log_x, log_x - slope * math.sqrt(t))
        slope = (log_x - log_b) / math.sqrt(t)
        for i in range(node.size):
            shape[i] += scheme.early[c, i] * (log_b - log_x) * (log_b - log_x)
    for i in range(node.size):
        shape[i] = max(shape[i], 0.0)


@njit
def _put(spot, strike, years, vol, rate, dividend_yield, scheme):
    """(price, delta, european price, is exercise optimal now) of a put whose early exercise can be optimal."""
    basis, outer, outer_w = scheme.outer_basis, scheme.outer, scheme.outer_w
    n, points = basis.shape
    shape = np.empty(n)
    log_x = _boundary(years, vol, rate, dividend_yield, scheme, shape)
    discount, growth = exp_poly(-rate * years), exp_poly(-dividend_yield * years)
    european = black_price(0, spot * growth / discount, strike, years, vol, discount)
    m = log_poly(spot / strike)
    if m <= log_x - math.sqrt(shape[0]):
        return strike - spot, -1.0, european, True
    drift, root = rate - dividend_yield, math.sqrt(years)
    gap, above, below = np.zeros(points), np.empty(points), np.empty(points)
    for k in range(n):
        for j in range(points):
            gap[j] += basis[k, j] * shape[k]
    for j in range(points):
        gap[j] = m - log_x + math.sqrt(max(gap[j], 0.0)) + drift * years * outer[j] * outer[j]
    for j in range(points):
        w = vol * root * outer[j]
        above[j] = norm_cdf(-gap[j] / w - 0.5 * w)
    for j in range(points):
        w = vol * root * outer[j]
        below[j] = norm_cdf(-gap[j] / w + 0.5 * w)
    s = vol * root
    delta = -growth * norm_cdf(-(m + drift * years) / s - 0.5 * s)
    gain = 0.0
    for j in range(points):
        t = years * outer[j] * outer[j]
        w = vol * root * outer[j]
        interest = rate * strike * exp_poly(-rate * t) * years * outer_w[j]
        paid = dividend_yield * exp_poly(-dividend_yield * t) * years * outer_w[j]
        gain += interest * below[j] - paid * spot * above[j]
        # spot e^{-qt} phi(d+) = strike' e^{-rt} phi(d-) holds at the boundary's strike only: both densities.
        density = norm_pdf(gap[j] / w + 0.5 * w) * paid * spot - norm_pdf(gap[j] / w - 0.5 * w) * interest
        delta += density / (spot * w) - paid * above[j]
    return max(european + max(gain, 0.0), strike - spot), delta, european, False


@njit
def _without_vol(spot, strike, years, rate, dividend_yield):
    """The put on a certain path: the best of exercise now, at expiry, and where interest lost equals dividends."""
    best = max(strike - spot, 0.0)
    best = max(best, strike * math.exp(-rate * years) - spot * math.exp(-dividend_yield * years))
    if rate > 0.0 and dividend_yield > 0.0 and rate != dividend_yield:
        t = math.log(rate * strike / (dividend_yield * spot)) / (rate - dividend_yield)
        if 0.0 < t < years:
            best = max(best, strike * math.exp(-rate * t) - spot * math.exp(-dividend_yield * t))
    return best


@njit
def american_values(is_call, spot, strike, years, vol, rate, dividend_yield, scheme):
    """(price, delta, European price, whether exercise is optimal now) of one American option.

    is_call              : 1 or True for a call
    spot, strike         : $, > 0
    years, vol           : ACT/365 years, decimals per year; at years <= 0 the intrinsic value, at vol <= 0 the best
                           of the certain path
    rate, dividend_yield : continuous, per year; negative ones too, but where both of a put are negative and the
                           yield below the rate (a call: the other way round) there are two boundaries: NaN
    scheme               : FAST or ACCURATE
    The early-exercise premium is price less European price. NaN gives NaN.
    """
    if not (
        spot > 0.0
        and strike > 0.0
        and years == years
        and vol == vol
        and rate == rate
        and dividend_yield == dividend_yield
    ):
        return math.nan, math.nan, math.nan, False
    side = 1.0 if is_call else -1.0
    s, k, r, q = (strike, spot, dividend_yield, rate) if is_call else (spot, strike, rate, dividend_yield)
    if years <= 0.0 or vol * math.sqrt(years) < SMALLEST_DEVIATION:
        certain = max(k - s, 0.0) if years <= 0.0 else _without_vol(s, k, years, r, q)
        held = max(k * math.exp(-r * years) - s * math.exp(-q * years), 0.0) if years > 0.0 else certain
        return certain, side if certain > 0.0 else 0.0, held, certain > 0.0 and certain <= k - s
    discount = math.exp(-rate * years)
    forward = spot * math.exp((rate - dividend_yield) * years)
    if r <= 0.0 and q < r:
        return math.nan, math.nan, math.nan, False
    if r * years < NO_INTEREST:
        delta, _, _, _, european = black_greeks(is_call, spot, forward, strike, years, vol, discount)
        return european, delta, european, False
    price, delta, european, now = _put(s, k, years, vol, r, q, scheme)
    if is_call:
        # P(K, S) is homogeneous of degree one in (S, K), so its slope in the strike is (P - K dP/dK) / S.
        delta = (price - s * delta) / k
    return price, delta, european, now


@njit
def american_price(is_call, spot, strike, years, vol, rate, dividend_yield):
    """American option value, $/share, within 1e-4 $ of the exact one for options like SPY's; see american_values."""
    return american_values(is_call, spot, strike, years, vol, rate, dividend_yield, FAST)[0]


@njit
def exercise_now(is_call, spot, strike, years, vol, rate, dividend_yield):
    """Whether a holder should exercise at once: the spot is beyond the exercise boundary."""
    return american_values(is_call, spot, strike, years, vol, rate, dividend_yield, ACCURATE)[3]


@njit
def american_price_rows(is_call, spot, strike, years, vol, rate, dividend_yield, out):
    """american_price over rows: every argument an array[n]; fills `out`, float64[n]."""
    for i in range(out.size):
        out[i] = american_price(is_call[i], spot[i], strike[i], years[i], vol[i], rate[i], dividend_yield[i])


VOL_STEPS = 60
VOL_CLOSE = 1e-9
LOWEST_VOL, HIGHEST_VOL = 1e-4, 10.0
EXERCISE_MARGIN = 1e-7  # of the strike; a price this close to exercise value holds no volatility


@njit
def american_implied_vol(is_call, price, spot, strike, years, rate, dividend_yield):
    """Volatility (decimal per year) at which american_price equals price; NaN when there is none.

    Units as american_values. NaN: an unknown input, years <= 0, a price at or below exercise value (then any low
    volatility fits) or the value of the certain path, or above what vol 10 gives. Newton steps from the European
    volatility with the European vega, inside a bracket, then secant steps.
    """
    exercise = spot - strike if is_call else strike - spot
    if not (price > exercise + EXERCISE_MARGIN * strike and price > 0.0 and years > 0.0):
        return math.nan
    discount = math.exp(-rate * years)
    forward = spot * math.exp((rate - dividend_yield) * years)
    vol = implied_vol(is_call, price, forward, strike, years, discount)
    if not LOWEST_VOL < vol < HIGHEST_VOL:
        vol = 0.3
    low, high = LOWEST_VOL, HIGHEST_VOL
    last_vol, last_value = math.nan, math.nan
    for _ in range(VOL_STEPS):
        value, _, _, now = american_values(is_call, spot, strike, years, vol, rate, dividend_yield, FAST)
        if math.isnan(value):
            return math.nan
        if value > price:
            high = vol
        else:
            low = vol
        # The first slope is the European vega, the next the secant's: near the boundary they are far apart.
        slope = (value - last_value) / (vol - last_vol)
        if not slope > 0.0:
            _, _, slope, _, _ = black_greeks(is_call, spot, forward, strike, years, vol, discount)
        last_vol, last_value = vol, value
        new = vol + (price - value) / slope if slope > 1e-8 * strike and not now else math.inf
        if not low < new < high:
            new = math.sqrt(low * high)
        is_close = abs(new - vol) < VOL_CLOSE
        vol = new
        if is_close:
            break
    else:
        if high - low > 1e-6:
            return math.nan
    return vol if 1.001 * LOWEST_VOL < vol < 0.999 * HIGHEST_VOL else math.nan


@njit
def american_implied_vol_rows(is_call, price, spot, strike, years, rate, dividend_yield, out):
    """american_implied_vol over rows: every argument an array[n]; fills `out`, float64[n]."""
    for i in range(out.size):
        out[i] = american_implied_vol(is_call[i], price[i], spot[i], strike[i], years[i], rate[i], dividend_yield[i])
