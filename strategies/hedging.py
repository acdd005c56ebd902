"""Arithmetic of hedges: shares against net delta, three liquid options against vega, vanna and volga.

Pure numbers in, pure numbers out; what an exposure is made of (core.pricing.black_scholes has the greeks) and
when to look at it are the caller's.
"""

from __future__ import annotations

import math

from core.jit import njit

PAST_SESSIONS = 63  # that say how far volatility moves in a day
FEWEST_SESSIONS = 20
YEAR = 252
# Below this share of Hadamard's bound on the determinant three options do not span three greeks.
FLATTEST = 1e-9


@njit
def hedge_order(net_delta_shares, held_shares, band):
    """Whole shares to buy (+) or sell (-) so that the net delta is zero to half a share; 0 inside the band.

    net_delta_shares : delta of options and shares together, in shares
    held_shares      : shares held now, signed and whole, already in net_delta_shares
    band             : shares, the net delta that is left alone, bound included; 0 or less: hedging is off
    A net delta that is not known (NaN) trades nothing.
    """
    if not band > 0.0 or not abs(net_delta_shares) > band:
        return 0
    wanted = int(round(held_shares - net_delta_shares))
    return wanted - int(held_shares)


@njit
def determinant(a0, a1, a2, b0, b1, b2, c0, c1, c2):
    """Determinant of the matrix with rows a, b and c."""
    return a0 * (b1 * c2 - b2 * c1) - a1 * (b0 * c2 - b2 * c0) + a2 * (b0 * c1 - b1 * c0)


@njit
def liquid_smile_hedge(portfolio_vega, portfolio_vanna, portfolio_volga, hedge, cost_per_unit):
    """((x0, x1, x2), cost, found): contracts of three options that bring vega, vanna and volga to zero.

    portfolio_*   : exposures of what is held, $ per unit of the greek
    hedge         : float64 (3, 3), rows vega, vanna, volga of one contract, columns the 25-delta put, the
                    at-the-money option and the 25-delta call, in the same units
    cost_per_unit : float64 (3), $ to trade one contract of each, >= 0
    x is signed and fractional (buy > 0), cost = sum |x_j| cost_per_unit_j. Where the three do not span the
    greeks, or something is NaN, found is False and x and cost are NaN.
    Source: Castagna and Mercurio (2007), The vanna-volga method for implied volatilities, Risk, January.
    """
    a0, a1, a2 = hedge[0, 0], hedge[0, 1], hedge[0, 2]
    b0, b1, b2 = hedge[1, 0], hedge[1, 1], hedge[1, 2]
    c0, c1, c2 = hedge[2, 0], hedge[2, 1], hedge[2, 2]
    span = determinant(a0, a1, a2, b0, b1, b2, c0, c1, c2)
    bound = math.sqrt((a0 * a0 + a1 * a1 + a2 * a2) * (b0 * b0 + b1 * b1 + b2 * b2) * (c0 * c0 + c1 * c1 + c2 * c2))
    if not abs(span) > FLATTEST * bound:
        return (math.nan, math.nan, math.nan), math.nan, False
    a, b, c = -portfolio_vega, -portfolio_vanna, -portfolio_volga
    x0 = determinant(a, a1, a2, b, b1, b2, c, c1, c2) / span
    x1 = determinant(a0, a, a2, b0, b, b2, c0, c, c2) / span
    x2 = determinant(a0, a1, a, b0, b1, b, c0, c1, c) / span
    cost = abs(x0) * cost_per_unit[0] + abs(x1) * cost_per_unit[1] + abs(x2) * cost_per_unit[2]
    if math.isnan(cost):
        return (math.nan, math.nan, math.nan), math.nan, False
    return (x0, x1, x2), cost, True


@njit
def spot_move(spot, iv):
    """One standard deviation of a day's move of the spot, $; iv at the money per year."""
    return spot * iv / math.sqrt(YEAR)


@njit
def past_vol_move(iv, ses, s):
    """Standard deviation of the daily changes of iv over the last PAST_SESSIONS sessions up to s, itself included.

    iv  : float64 (N), per row of the market; ses : SESSION records, whose last rows are compared
    In the unit of iv; NaN until FEWEST_SESSIONS changes are known. A change to or from an unknown iv is left out.
    """
    first = max(1, s + 1 - PAST_SESSIONS)
    count, total = 0, 0.0
    for k in range(first, s + 1):
        change = iv[ses[k].end - 1] - iv[ses[k - 1].end - 1]
        if math.isfinite(change):
            count += 1
            total += change
    if count < FEWEST_SESSIONS:
        return math.nan
    mean, squares = total / count, 0.0
    for k in range(first, s + 1):
        change = iv[ses[k].end - 1] - iv[ses[k - 1].end - 1]
        if math.isfinite(change):
            squares += (change - mean) ** 2
    return math.sqrt(squares / (count - 1))


@njit
def smile_moves(vanna, volga, sd_spot, sd_vol):
    """(vanna sd_spot sd_vol, volga sd_vol^2 / 2), $: what one standard deviation of spot and volatility makes.

    vanna : $ per $ of spot and unit of vol; volga : $ per unit of vol squared
    sd_spot, sd_vol : standard deviations over the horizon, $ and units of vol (1.00, or points, as the greeks)
    """
    return vanna * sd_spot * sd_vol, 0.5 * volga * sd_vol * sd_vol


@njit
def smile_exposure(vanna, volga, sd_spot, sd_vol):
    """The larger of the two `smile_moves` by size, $; NaN where either is unknown."""
    first, second = smile_moves(vanna, volga, sd_spot, sd_vol)
    return max(abs(first), abs(second)) if math.isfinite(first + second) else math.nan


@njit
def worth_hedging(exposure, budget, cost):
    """Whether an exposure is above its budget and costs less to remove than it is; $, NaN is not worth it."""
    return exposure > budget and cost < exposure
