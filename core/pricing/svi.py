"""Raw SVI slice of the volatility smile: evaluation, fit, and the fit of one expiry's quotes.

w(k) = a + b (rho (k - m) + sqrt((k - m)^2 + sigma^2)), w = vol^2 years, k = ln(strike / forward).

Given (m, sigma) the slice is linear in (a, c = b sigma, d = rho b sigma), so the fit solves that
weighted least-squares problem exactly, with its bounds, and searches (m, ln sigma) alone: a coarse
grid, then Nelder-Mead. Bounds: b >= 0, |rho| <= 0.999, w >= 0 everywhere, b (1 + |rho|) <= 2 (Lee).
Sources: Gatheral and Jacquier, "Arbitrage-free SVI volatility surfaces" (2014); Zeliade Systems,
"Quasi-explicit calibration of Gatheral's SVI model" (2009); Lee, "The moment formula" (2004).
"""

from __future__ import annotations

import math

import numpy as np

from core.jit import njit
from core.pricing.black_scholes import black_greeks
from core.pricing.implied_vol import implied_vol

SVI_OK = 0
SVI_FEW_POINTS = 1  # 3 or 4 points: (m, sigma) fixed from the strikes, a near-quadratic slice
SVI_FLAT = 2  # 1 or 2 points: w is their weighted mean
SVI_NO_POINTS = 3  # nothing usable: NaN
SVI_NO_FORWARD = 4  # no strike with both sides quoted: NaN

RHO_MAX = 0.999
WING_SLOPE_MAX = 2.0
GRID_M = np.array([-2.0, -1.0, -0.4, 0.0, 0.4, 0.8, 1.4])  # in standard deviations of k
GRID_LN_SIGMA = np.log(np.array([0.1, 0.3, 0.6, 1.2, 2.5]))
M_REACH = 4.0
LN_SIGMA_LOW = math.log(0.03)
LN_SIGMA_HIGH = math.log(10.0)
SEARCH_STEPS = 90
SEARCH_TOLERANCE = 1e-4
PARITY_PAIRS = 11
PARITY_REACH = 0.06
NARROWEST = 1e-9  # spread of k below which the points are one point
# Five parameters cannot follow both wings and the centre to within real spreads: below this |delta| a quote's
# weight falls with delta squared. Chosen on the chains of 2018 and 2026 for the range .05 to .50, keeping the
# wings within a fifth of a vol point at the median.
FULL_WEIGHT_DELTA = 0.2
SMALLEST_HALF_SPREAD = 0.005  # $; a locked quote still holds half a cent of doubt


@njit
def svi_total_variance(a, b, rho, m, sigma, k):
    """w(k) of a raw SVI slice; k = ln(strike / forward)."""
    shifted = k - m
    return a + b * (rho * shifted + math.sqrt(shifted * shifted + sigma * sigma))


@njit
def svi_derivatives(a, b, rho, m, sigma, k):
    """(w, w', w'') of a raw SVI slice at k."""
    x = k - m
    root = math.sqrt(x * x + sigma * sigma)
    return a + b * (rho * x + root), b * (rho + x / root), b * sigma * sigma / (root * root * root)


@njit
def durrleman_g(k, w, slope, bend):
    """Durrleman's g: the risk-neutral density over the lognormal one of the same w; below 0 there is a butterfly.

    k = ln(strike / forward); w, slope, bend : total variance, its first and second derivative in k. NaN for w <= 0.
    """
    if not w > 0.0:
        return math.nan
    flat = 1.0 - 0.5 * k * slope / w
    return flat * flat - 0.25 * slope * slope * (0.25 + 1.0 / w) + 0.5 * bend


@njit
def svi_density_factor(a, b, rho, m, sigma, k):
    """Durrleman's g of a raw SVI slice at k."""
    w, slope, bend = svi_derivatives(a, b, rho, m, sigma, k)
    return durrleman_g(k, w, slope, bend)


@njit
def jump_wings_of(a, b, rho, m, sigma, years):
    """Raw SVI as jump wings (v, psi, p, c, v_tilde): at-the-money variance and skew, wing slopes, least variance.

    Gatheral and Jacquier (2014), equation 3.5; v and v_tilde per year, psi in vol per unit of k. NaN where w(0) <= 0.
    """
    w, slope, _ = svi_derivatives(a, b, rho, m, sigma, 0.0)
    if not (w > 0.0 and years > 0.0):
        return math.nan, math.nan, math.nan, math.nan, math.nan
    root = math.sqrt(w)
    least = a + b * sigma * math.sqrt(1.0 - rho * rho)
    return w / years, 0.5 * slope / root, b * (1.0 - rho) / root, b * (1.0 + rho) / root, least / years


@njit
def raw_of_jump_wings(v, psi, p, c, v_tilde, years):
    """(a, b, rho, m, sigma) of jump wings; NaN where they belong to no slice (same paper, lemma 3.2)."""
    w = v * years
    b = 0.5 * math.sqrt(w) * (c + p)
    nan = math.nan
    if not (w > 0.0 and b > 0.0):
        return nan, nan, nan, nan, nan
    rho = 1.0 - p * math.sqrt(w) / b
    beta = rho - 2.0 * psi * math.sqrt(w) / b
    if not (abs(rho) < 1.0 and abs(beta) <= 1.0):
        return nan, nan, nan, nan, nan
    if beta == 0.0:  # the slice is lowest at the money
        m = 0.0
        sigma = (v - v_tilde) * years / (b * (1.0 - math.sqrt(1.0 - rho * rho)))
    else:
        alpha = math.copysign(math.sqrt(1.0 / (beta * beta) - 1.0), beta)
        spread = -rho + math.copysign(math.sqrt(1.0 + alpha * alpha), alpha) - alpha * math.sqrt(1.0 - rho * rho)
        m = (v - v_tilde) * years / (b * spread)
        sigma = alpha * m
    return v_tilde * years - b * sigma * math.sqrt(1.0 - rho * rho), b, rho, m, sigma


@njit
def svi_vol(a, b, rho, m, sigma, k, years):
    """Implied volatility (decimal per year) of the slice at k; NaN for years <= 0."""
    if not years > 0.0:
        return math.nan
    return math.sqrt(max(svi_total_variance(a, b, rho, m, sigma, k), 0.0) / years)


@njit
def _edge_minimum(c0, d0, c1, d1, szz, syz, syy, szv, syv):
    """(least value, c, d) of the quadratic szz c^2 + 2 syz c d + syy d^2 - 2 szv c - 2 syv d on a segment."""
    step_c = c1 - c0
    step_d = d1 - d0
    bend = szz * step_c * step_c + 2.0 * syz * step_c * step_d + syy * step_d * step_d
    fall = (szv - szz * c0 - syz * d0) * step_c + (syv - syz * c0 - syy * d0) * step_d
    part = 0.0
    if fall > 0.0:
        part = 1.0 if fall >= bend else fall / bend
    c = c0 + part * step_c
    d = d0 + part * step_d
    return szz * c * c + 2.0 * syz * c * d + syy * d * d - 2.0 * szv * c - 2.0 * syv * d, c, d


@njit
def _linear_part(x, v, share, m, ln_sigma, slope_cap):
    """(mean squared error, a, c, d): best v = a + d y + c sqrt(y^2 + 1), y = (x - m) / sigma, in the bounds.

    share: weights that add to 1. slope_cap: bound of b (1 + |rho|) per unit of x: c + |d| <= slope_cap sigma.
    The bounds on (c, d) are a quadrilateral; outside it the minimum lies on one of its edges.
    """
    sigma = math.exp(ln_sigma)
    inverse_sigma = 1.0 / sigma
    y1 = z1 = v1 = yy = yz = yv = zv = vv = 0.0
    for i in range(x.size):
        q = share[i]
        y = (x[i] - m) * inverse_sigma
        z = math.sqrt(y * y + 1.0)
        qy = q * y
        qz = q * z
        qv = q * v[i]
        y1 += qy
        z1 += qz
        v1 += qv
        yy += qy * y
        yz += qy * z
        yv += qy * v[i]
        zv += qz * v[i]
        vv += qv * v[i]
    syy = yy - y1 * y1
    szz = yy + 1.0 - z1 * z1
    syz = yz - y1 * z1
    syv = yv - y1 * v1
    szv = zv - z1 * v1
    svv = vv - v1 * v1
    determinant = szz * syy - syz * syz
    c = d = -1.0
    if determinant > 1e-13 * szz * syy:
        c = (szv * syy - syv * syz) / determinant
        d = (syv * szz - szv * syz) / determinant
    cap = slope_cap * sigma
    if c < 0.0 or abs(d) > RHO_MAX * c or c + abs(d) > cap:
        corner_c = cap / (1.0 + RHO_MAX)
        corner_d = RHO_MAX * corner_c
        best, c, d = _edge_minimum(0.0, 0.0, corner_c, corner_d, szz, syz, syy, szv, syv)
        for edge in range(3):
            if edge == 0:
                value, c2, d2 = _edge_minimum(0.0, 0.0, corner_c, -corner_d, szz, syz, syy, szv, syv)
            elif edge == 1:
                value, c2, d2 = _edge_minimum(cap, 0.0, corner_c, corner_d, szz, syz, syy, szv, syv)
            else:
                value, c2, d2 = _edge_minimum(cap, 0.0, corner_c, -corner_d, szz, syz, syy, szv, syv)
            if value < best:
                best, c, d = value, c2, d2
    error = svv + szz * c * c + 2.0 * syz * c * d + syy * d * d - 2.0 * szv * c - 2.0 * syv * d
    level = v1 - d * y1 - c * z1
    lowest = -math.sqrt(max(c * c - d * d, 0.0))  # w >= 0 at its minimum
    a = max(level, lowest)
    return error + (a - level) * (a - level), a, c, d


@njit
def _search(x, v, share, slope_cap, m, ln_sigma, size):
    """(mean squared error, m, ln sigma) by Nelder-Mead from one start with a simplex of that size."""
    at_m = np.array([m, m + size, m])
    at_s = np.array([ln_sigma, ln_sigma, ln_sigma + size])
    error = np.empty(3)
    for p in range(3):
        error[p] = _linear_part(x, v, share, at_m[p], at_s[p], slope_cap)[0]
    for _ in range(SEARCH_STEPS):
        best = np.argmin(error)
        worst = np.argmax(error)
        middle = 3 - best - worst
        extent = max(abs(at_m[worst] - at_m[best]), abs(at_s[worst] - at_s[best]))
        if best == worst or extent < SEARCH_TOLERANCE:
            break
        centre_m = 0.5 * (at_m[best] + at_m[middle])
        centre_s = 0.5 * (at_s[best] + at_s[middle])
        reach_m = centre_m - at_m[worst]
        reach_s = centre_s - at_s[worst]
        new_m, new_s = _within(centre_m + reach_m, centre_s + reach_s)
        reflected = _linear_part(x, v, share, new_m, new_s, slope_cap)[0]
        value = reflected
        if reflected < error[best] or reflected >= error[middle]:
            stretch = 2.0 if reflected < error[best] else (0.5 if reflected < error[worst] else -0.5)
            try_m, try_s = _within(centre_m + stretch * reach_m, centre_s + stretch * reach_s)
            second = _linear_part(x, v, share, try_m, try_s, slope_cap)[0]
            if second < reflected:
                value, new_m, new_s = second, try_m, try_s
        if value < error[worst]:
            at_m[worst], at_s[worst], error[worst] = new_m, new_s, value
            continue
        for p in range(3):
            if p != best:
                at_m[p] = 0.5 * (at_m[p] + at_m[best])
                at_s[p] = 0.5 * (at_s[p] + at_s[best])
                error[p] = _linear_part(x, v, share, at_m[p], at_s[p], slope_cap)[0]
    best = np.argmin(error)
    return error[best], at_m[best], at_s[best]


@njit
def _within(m, ln_sigma):
    """The nearest point of the search box."""
    return min(max(m, -M_REACH), M_REACH), min(max(ln_sigma, LN_SIGMA_LOW), LN_SIGMA_HIGH)


@njit
def _best_start(x, v, share, slope_cap):
    """(m, ln sigma) of the grid with the least error."""
    least = math.inf
    m = 0.0
    ln_sigma = 0.0
    for i in range(GRID_M.size):
        for j in range(GRID_LN_SIGMA.size):
            error = _linear_part(x, v, share, GRID_M[i], GRID_LN_SIGMA[j], slope_cap)[0]
            if error < least:
                least, m, ln_sigma = error, GRID_M[i], GRID_LN_SIGMA[j]
    return m, ln_sigma


@njit
def fit_svi(k, w, weight):
    """Fit one slice: (a, b, rho, m, sigma, rms error of w, status).

    k      : float64[n], ln(strike / forward), in any order
    w      : float64[n], total variance at k
    weight : float64[n], 1 / (error of w)^2 up to a common factor
    A point with a NaN, w <= 0 or weight <= 0 is left out. The rms is weighted. Fewer than 5 points
    (SVI_FEW_POINTS, SVI_FLAT, SVI_NO_POINTS) give the plainer slices named beside those codes.
    """
    x = np.empty(k.size)
    v = np.empty(k.size)
    share = np.empty(k.size)
    count = 0
    total = centre = level = 0.0
    for i in range(k.size):
        if math.isfinite(k[i]) and 0.0 < w[i] < math.inf and 0.0 < weight[i] < math.inf:
            x[count], v[count], share[count] = k[i], w[i], weight[i]
            total += weight[i]
            centre += weight[i] * k[i]
            level += weight[i] * w[i]
            count += 1
    if count == 0:
        return math.nan, math.nan, math.nan, math.nan, math.nan, math.nan, SVI_NO_POINTS
    x, v, share = x[:count], v[:count], share[:count]
    centre /= total
    level /= total
    variance_k = variance_w = 0.0
    for i in range(count):
        share[i] /= total
        x[i] -= centre
        variance_k += share[i] * x[i] * x[i]
        variance_w += share[i] * (v[i] - level) * (v[i] - level)
    scale = math.sqrt(variance_k)
    if count < 3 or scale < NARROWEST:
        return level, 0.0, 0.0, centre, 1.0, math.sqrt(variance_w), SVI_FLAT
    for i in range(count):
        x[i] /= scale
    slope_cap = WING_SLOPE_MAX * scale
    status = SVI_FEW_POINTS
    m = 0.0
    ln_sigma = math.log(2.0)
    if count >= 5:
        status = SVI_OK
        m, ln_sigma = _best_start(x, v, share, slope_cap)
        # A second, small simplex restarts the first where it has gone flat.
        _, m, ln_sigma = _search(x, v, share, slope_cap, m, ln_sigma, 0.4)
        _, m, ln_sigma = _search(x, v, share, slope_cap, m, ln_sigma, 0.1)
    error, a, c, d = _linear_part(x, v, share, m, ln_sigma, slope_cap)
    sigma = math.exp(ln_sigma) * scale
    rho = d / c if c > 0.0 else 0.0
    return a, c / sigma, rho, centre + m * scale, sigma, math.sqrt(max(error, 0.0)), status


@njit
def parity_forward(strike, put_mid, call_mid, put_ok, call_ok, spot, discount):
    """Forward ($) from put-call parity: median of strike + (call - put) / discount, NaN without a pair.

    Uses the (at most 11) strikes with both sides quoted whose call and put are closest in price, within
    6 % of spot: there the exercise premium of American options and the spreads are small.
    """
    nearest_gap = np.full(PARITY_PAIRS, math.inf)
    implied = np.empty(PARITY_PAIRS)
    for i in range(strike.size):
        if not (put_ok[i] and call_ok[i] and abs(strike[i] - spot) <= PARITY_REACH * spot):
            continue
        difference = call_mid[i] - put_mid[i]
        if abs(difference) < nearest_gap[-1]:
            _insert(nearest_gap, implied, abs(difference), strike[i] + difference / discount)
    count = 0
    while count < PARITY_PAIRS and nearest_gap[count] < math.inf:
        count += 1
    if count == 0:
        return math.nan
    ordered = np.full(PARITY_PAIRS, math.inf)
    for i in range(count):
        _insert(ordered, nearest_gap, implied[i], 0.0)
    return 0.5 * (ordered[(count - 1) // 2] + ordered[count // 2])


@njit
def _insert(keys, values, key, value):
    """Put (key, value) into its place of two arrays ordered by keys; the last pair falls out."""
    at = keys.size - 1
    while at > 0 and keys[at - 1] > key:
        keys[at] = keys[at - 1]
        values[at] = values[at - 1]
        at -= 1
    keys[at] = key
    values[at] = value


@njit
def otm_quote_vols(
    strike, put_mid, call_mid, put_ok, call_ok, put_half_spread, call_half_spread, years, forward, discount
):
    """(vol, vol error, delta) of each strike's out-of-the-money side; NaN without a bid or a volatility.

    The error is half-spread over vega, in decimals; a half-spread counts as at least half a cent. A mid
    not above its half-spread has a bid of 0: it bounds the price and measures nothing.
    """
    vol = np.full(strike.size, math.nan)
    error = np.full(strike.size, math.nan)
    delta = np.full(strike.size, math.nan)
    for i in range(strike.size):
        is_call = strike[i] >= forward
        mid = call_mid[i] if is_call else put_mid[i]
        half_spread = call_half_spread[i] if is_call else put_half_spread[i]
        quoted = call_ok[i] if is_call else put_ok[i]
        if not (quoted and half_spread >= 0.0 and mid > half_spread + 1e-9):
            continue
        implied = implied_vol(is_call, mid, forward, strike[i], years, discount)
        if not implied > 0.0:
            continue
        forward_delta, _, vega, _, _ = black_greeks(is_call, forward, forward, strike[i], years, implied, discount)
        if vega > 0.0:
            vol[i] = implied
            error[i] = max(half_spread, SMALLEST_HALF_SPREAD) / vega
            delta[i] = forward_delta
    return vol, error, delta


@njit
def fit_snapshot_slice(
    strike, put_mid, call_mid, put_ok, call_ok, put_half_spread, call_half_spread, years, spot, discount
):
    """One expiry of one snapshot: (forward, a, b, rho, m, sigma, rms_vol, n_points, status).

    strike, *_mid, *_half_spread : float64[n], $/share, one row a strike; a half-spread is (ask - bid) / 2
    put_ok, call_ok              : bool[n], whether that side is two-sided and sane
    years, spot, discount        : ACT/365 years to settlement, $, value today of 1 $ at expiry
    rms_vol is the weighted rms of (slice - quote) in decimals of vol, n_points the quotes fitted.
    Forward by parity; out-of-the-money quotes weighted by (vega / half-spread)^2, less below delta 0.2. The
    inversion is European also for American options (SPY): out of the money the exercise premium is cents,
    yet not 0.
    NaN quotes are left out; without a forward, points or years > 0 everything is NaN, status says why.
    """
    nan = math.nan
    if not (years > 0.0 and discount > 0.0 and spot > 0.0):
        return nan, nan, nan, nan, nan, nan, nan, 0, SVI_NO_POINTS
    forward = parity_forward(strike, put_mid, call_mid, put_ok, call_ok, spot, discount)
    if not forward > 0.0:
        return nan, nan, nan, nan, nan, nan, nan, 0, SVI_NO_FORWARD
    vol, error, delta = otm_quote_vols(
        strike,
        put_mid,
        call_mid,
        put_ok,
        call_ok,
        put_half_spread,
        call_half_spread,
        years,
        forward,
        discount,
    )
    k = np.empty(strike.size)
    w = np.empty(strike.size)
    weight = np.empty(strike.size)
    vol_weight = np.empty(strike.size)
    for i in range(strike.size):
        wing = min(abs(delta[i]) / FULL_WEIGHT_DELTA, 1.0)
        vol_weight[i] = wing * wing / (error[i] * error[i])
        slope = 2.0 * vol[i] * years
        k[i] = math.log(strike[i] / forward)
        w[i] = vol[i] * vol[i] * years
        weight[i] = vol_weight[i] / (slope * slope)
    a, b, rho, m, sigma, _, status = fit_svi(k, w, weight)
    total = squares = 0.0
    count = 0
    for i in range(strike.size):
        if vol[i] > 0.0:
            miss = svi_vol(a, b, rho, m, sigma, k[i], years) - vol[i]
            squares += vol_weight[i] * miss * miss
            total += vol_weight[i]
            count += 1
    rms_vol = math.sqrt(squares / total) if count > 0 else nan
    return forward, a, b, rho, m, sigma, rms_vol, count, status
