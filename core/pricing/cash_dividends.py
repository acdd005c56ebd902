"""Options on a share that pays cash on dates: Crank-Nicolson in ln(spot), the share falling by the cash.

Between dates the share is lognormal with no yield; on a date V(S, before) = V(S - cash, after), read off the grid by
a cubic, and an American holder chooses again on both sides. (This "spot" model is not the escrowed one, which
takes the dividends' present value off the spot and keeps the volatility: that differs by tens of cents.)
American exercise is solved exactly on each step by Brennan and Schwartz's sweep, which ends on the exercise side.
Sources: Haug, Haug and Lewis, "Back to basics" (Wilmott, 2003); Brennan and Schwartz (1977); Rannacher (1984).
"""

from __future__ import annotations

import math

import numpy as np

from core.jit import njit
from core.pricing.black_scholes import black_price

POINTS = 801
STEPS_PER_YEAR = 400.0
LEAST_STEPS = 60
REACH = 6.0  # standard deviations
SOFT_STEPS = 4  # implicit half-steps behind each kink


@njit
def cash_dividend_values(is_call, spot, strike, years, vol, rate, pay_years, pay_cash, american):
    """(price $/share, delta) of an option on a share with cash dividends.

    is_call, american : 1 or True
    spot, strike      : $, > 0; years, vol > 0; rate continuous
    pay_years, pay_cash : float64[m], ascending times (years from now) and $ per share; those at or before now, or
                        after expiry, do not count. A share worth less than a dividend pays what it is worth.
    NaN where an input is out of its domain. Within 0.005 $ for options like SPY's (spot 300 to 700).
    """
    if not (spot > 0.0 and strike > 0.0 and years > 0.0 and vol > 0.0 and rate == rate):
        return math.nan, math.nan
    total = 0.0
    for i in range(pay_cash.size):
        if 0.0 < pay_years[i] <= years:
            total += pay_cash[i]
    s = vol * math.sqrt(years)
    half = REACH * s + abs(rate) * years + 2.0 * total / spot + 0.05
    centre = math.log(spot)
    dx = 2.0 * half / (POINTS - 1)
    share, payoff, value = np.empty(POINTS), np.empty(POINTS), np.empty(POINTS)
    side = 1.0 if is_call else -1.0
    for j in range(POINTS):
        share[j] = math.exp(centre - half + j * dx)
        payoff[j] = max(side * (share[j] - strike), 0.0)
        # The mean over the cell, so that the strike's place between nodes does not matter.
        low, high = share[j] * math.exp(-0.5 * dx), share[j] * math.exp(0.5 * dx)
        value[j] = payoff[j]
        if low < strike < high:
            value[j] = _mean_payoff(side, strike, low, high)
    end = years
    for i in range(pay_cash.size - 1, -2, -1):
        begin = 0.0
        if i >= 0:
            if not 0.0 < pay_years[i] <= years:
                continue
            begin = pay_years[i]
        _diffuse(side, strike, end - begin, vol, rate, dx, american, share, payoff, value)
        end = begin
        if i >= 0:
            _pay(pay_cash[i], centre - half, dx, american, share, payoff, value)
    middle = POINTS // 2
    slope = (value[middle + 1] - value[middle - 1]) / (2.0 * dx)
    return value[middle], slope / spot


@njit
def _mean_payoff(side, strike, low, high):
    """Mean of the payoff over ln S in a cell that holds the strike."""
    if side > 0.0:
        return ((high - strike) - strike * math.log(high / strike)) / math.log(high / low)
    return (strike * math.log(strike / low) - (strike - low)) / math.log(high / low)


@njit
def _pay(cash, left, dx, american, share, payoff, value):
    """Value just before a dividend from that just after it: V(S - cash) by a cubic through four nodes."""
    after = value.copy()
    for j in range(share.size):
        left_over = max(share[j] - cash, share[0])
        at = (math.log(left_over) - left) / dx
        k = min(max(int(at) - 1, 0), share.size - 4)
        f = at - k
        value[j] = (
            -after[k] * (f - 1.0) * (f - 2.0) * (f - 3.0) / 6.0
            + after[k + 1] * f * (f - 2.0) * (f - 3.0) / 2.0
            - after[k + 2] * f * (f - 1.0) * (f - 3.0) / 2.0
            + after[k + 3] * f * (f - 1.0) * (f - 2.0) / 6.0
        )
        if american:
            value[j] = max(value[j], payoff[j])


@njit
def _diffuse(side, strike, years, vol, rate, dx, american, share, payoff, value):
    """Step `value` back over `years` without dividends; the first steps are implicit (Rannacher)."""
    if not years > 0.0:
        return
    steps = max(LEAST_STEPS, int(STEPS_PER_YEAR * years))
    dt = years / steps
    for _ in range(SOFT_STEPS):
        _step(side, strike, 0.5 * dt, 1.0, vol, rate, dx, american, share, payoff, value)
    for _ in range(steps - SOFT_STEPS // 2):
        _step(side, strike, dt, 0.5, vol, rate, dx, american, share, payoff, value)


@njit
def _step(side, strike, dt, implicit, vol, rate, dx, american, share, payoff, value):
    """One theta step; the sweep back runs from the exercise side outwards, so that the maximum is exact."""
    n = value.size
    spread = 0.5 * vol * vol / (dx * dx)
    drift = 0.5 * (rate - 0.5 * vol * vol) / dx
    up, down, middle = spread + drift, spread - drift, -2.0 * spread - rate
    old = 1.0 - implicit
    right, ratio = np.empty(n), np.empty(n)
    for j in range(1, n - 1):
        right[j] = value[j] + old * dt * (down * value[j - 1] + middle * value[j] + up * value[j + 1])
    a, b, c = -implicit * dt * down, 1.0 - implicit * dt * middle, -implicit * dt * up
    # Far out the value is linear in the spot: exercise value with the strike discounted, or nothing.
    decay = math.exp(-rate * dt)
    value[0] = value[0] * decay if side > 0.0 else max(value[0] * decay + share[0] * (decay - 1.0), 0.0)
    value[n - 1] = value[n - 1] * decay if side < 0.0 else value[n - 1] * decay + share[n - 1] * (1.0 - decay)
    if american:
        value[0], value[n - 1] = max(value[0], payoff[0]), max(value[n - 1], payoff[n - 1])
    if side < 0.0:  # exercise at low spots: eliminate from the top, sweep upwards
        right[n - 2] -= c * value[n - 1]
        pivot = b
        ratio[n - 2] = a / pivot
        right[n - 2] /= pivot
        for j in range(n - 3, 0, -1):
            pivot = b - c * ratio[j + 1]
            ratio[j] = a / pivot
            right[j] = (right[j] - c * right[j + 1]) / pivot
        for j in range(1, n - 1):
            value[j] = right[j] - ratio[j] * value[j - 1]
            if american:
                value[j] = max(value[j], payoff[j])
    else:
        right[1] -= a * value[0]
        pivot = b
        ratio[1] = c / pivot
        right[1] /= pivot
        for j in range(2, n - 1):
            pivot = b - a * ratio[j - 1]
            ratio[j] = c / pivot
            right[j] = (right[j] - a * right[j - 1]) / pivot
        for j in range(n - 2, 0, -1):
            value[j] = right[j] - ratio[j] * value[j + 1]
            if american:
                value[j] = max(value[j], payoff[j])


@njit
def interest_saved(strike, rate, years):
    """$ a share that paying the strike at expiry instead of today saves; an unknown rate saves nothing."""
    return strike * (1.0 - math.exp(-rate * years)) if rate == rate else 0.0


@njit
def exercises_call(dividend, put_price, strike, rate, years):
    """Whether a call is exercised on the evening before an ex-dividend day: never without a dividend.

    $ a share; years from the ex-date to expiry, ACT/365; put_price : same strike, on the ex-date.
    """
    return dividend > 0.0 and dividend > put_price + interest_saved(strike, rate, years)


@njit
def exercises_put(dividend, call_price, strike, rate, years):
    """Whether a put is exercised on an evening: the interest beats the same-strike call and tomorrow's dividend."""
    return interest_saved(strike, rate, years) > call_price + dividend


@njit
def exercise_before_dividend(spot_cum, dividend, strike, years_after, vol, rate):
    """A call on the evening before its last ex-dividend date: (hold value, exercise value, whether to exercise).

    spot_cum    : $, the share still with the dividend; the option is not exercised after it, so what is held is a
                  European call on spot_cum - dividend
    years_after : ACT/365 years from the ex-date to expiry
    Source: Merton (1973); Hull, Options, Futures and Other Derivatives, chapter 15.
    """
    from_parity, _, put, _ = parity_of_dividend(spot_cum, dividend, strike, years_after, vol, rate)
    hold = spot_cum - dividend - strike * math.exp(-rate * years_after) + put
    return hold, spot_cum - strike, from_parity


@njit
def parity_of_dividend(spot_cum, dividend, strike, years_after, vol, rate):
    """The same decision as a monitor sees it: (dividend > put + interest, interest saved, put, dividend).

    put is the European put of the same strike on the ex-date, interest = strike (1 - exp(-rate years_after)) what
    paying the strike only at expiry saves.
    """
    spot_ex = spot_cum - dividend
    discount = math.exp(-rate * years_after)
    put = black_price(0, spot_ex / discount, strike, years_after, vol, discount)
    interest = interest_saved(strike, rate, years_after)
    return exercises_call(dividend, put, strike, rate, years_after), interest, put, dividend
