"""Heston's stochastic volatility, and Bates' jumps on top: European prices by one Fourier integral per expiry.

    dv = kappa (theta - v) dt + sigma sqrt(v) dW2,  d<W1, W2> = rho dt

with jumps of log size N(jump_mean, jump_std^2), `intensity` of them a year, in Bates' model.

With psi(u) the characteristic function of x = ln(S_T / forward) and k = ln(strike / forward), Lewis' form is

    call / (discount forward) = 1 - e^{k/2} / pi Int_0^oo Re[e^{-iuk} psi(u - i/2)] / (u^2 + 1/4) du.

Taken as a difference from Black's price with the same total variance, whose integral is known, the integrand is
smooth and small at 0 and there is nothing to subtract at the money. The integral runs by Gauss-Legendre on panels up
to where both parts have died; the characteristic function is evaluated once an expiry and serves every strike.
The form of psi is the one without branch cuts ("little trap").
Sources: Heston (1993); Bates (1996); Albrecher, Mayer, Schoutens and Tistaert, "The little Heston trap" (Wilmott,
2007); Lewis (2001); Andersen and Piterbarg, Interest Rate Modeling (2010), volume 1, section 8.4.
"""

from __future__ import annotations

import cmath
import math
from typing import Any

import numpy as np

from core.errors import DataError
from core.jit import njit
from core.pricing.black_scholes import black_price

NODE, NODE_WEIGHT = np.polynomial.legendre.leggauss(16)
PANELS = 40  # error about 1e-14 of the forward; 10 leave about 1e-9, for fitting
FITTING_PANELS = 10
PANEL_TURNS = 12.0  # radians of the fastest strike
GONE = 36.0  # -ln of the integrand's size, at its largest strike, where it counts as dead
HIGHEST_U = 1e6


@njit
def log_cf(u, years, v0, kappa, theta, sigma, rho, intensity, jump_mean, jump_std):
    """ln E exp(i u x) of x = ln(S_T / forward), u complex, in Heston's model with jumps (intensity 0: none)."""
    iu = 1j * u
    b = kappa - rho * sigma * iu
    d = cmath.sqrt(b * b + sigma * sigma * (u * u + iu))
    # (b - d) without cancellation: their product is -(sigma^2)(u^2 + iu)
    small = -sigma * sigma * (u * u + iu) / (b + d)
    g = small / (b + d)
    decay = cmath.exp(-d * years)
    shrink = (1.0 - g * decay) / (1.0 - g)
    c = kappa * theta / (sigma * sigma) * (small * years - 2.0 * cmath.log(shrink))
    value = c + v0 / (sigma * sigma) * small * (1.0 - decay) / (1.0 - g * decay)
    if intensity > 0.0:
        mean_jump = math.exp(jump_mean + 0.5 * jump_std * jump_std) - 1.0
        jump = cmath.exp(iu * jump_mean - 0.5 * jump_std * jump_std * u * u) - 1.0
        value += intensity * years * (jump - iu * mean_jump)
    return value


@njit
def _end_of_integral(years, v0, kappa, theta, sigma, rho, intensity, jump_mean, jump_std):
    """u beyond which |psi(u - i/2)| / u^2 is below e^-GONE: by doubling, then halving the last step."""
    u = 1.0
    while u < HIGHEST_U:
        size = log_cf(complex(u, -0.5), years, v0, kappa, theta, sigma, rho, intensity, jump_mean, jump_std).real
        if not size - 2.0 * math.log(u) > -GONE:
            break
        u *= 1.5
    return u


@njit
def fourier_calls(moneyness, years, v0, kappa, theta, sigma, rho, intensity, jump_mean, jump_std, panels, out):
    """out[i] = call / (discount forward) at moneyness[i] = ln(strike / forward), for one expiry.

    The Black price that is the control has the model's expected variance (jumps included).
    """
    mean_decay = -math.expm1(-kappa * years) / kappa
    total = theta * years + (v0 - theta) * mean_decay
    total += intensity * years * (jump_std * jump_std + jump_mean * jump_mean)
    end = _end_of_integral(years, v0, kappa, theta, sigma, rho, intensity, jump_mean, jump_std)
    end = max(end, math.sqrt(2.0 * GONE / total))
    for i in range(out.size):
        out[i] = 0.0
    # Panels grow with u: the integrand varies on the scale of 1 / deviation first and slowly in its tail.
    first = min(1.0 / math.sqrt(total), end / panels)
    ratio = _growth(end / first, panels)
    furthest = 1e-9
    for i in range(out.size):
        furthest = max(furthest, abs(moneyness[i]))
    low, width = 0.0, first
    while low < end:
        # e^{iuk} turns ever faster in k: a panel may hold a few turns of it, not many.
        width = min(width, PANEL_TURNS / furthest)
        for j in range(NODE.size):
            u = low + 0.5 * width * (1.0 + NODE[j])
            psi = cmath.exp(
                log_cf(complex(u, -0.5), years, v0, kappa, theta, sigma, rho, intensity, jump_mean, jump_std)
            )
            gap = (psi - math.exp(-0.5 * total * (u * u + 0.25))) * (0.5 * width * NODE_WEIGHT[j] / (u * u + 0.25))
            for i in range(out.size):
                out[i] += math.cos(u * moneyness[i]) * gap.real + math.sin(u * moneyness[i]) * gap.imag
        low += width
        width *= ratio
    for i in range(out.size):
        black = black_price(1, 1.0, math.exp(moneyness[i]), 1.0, math.sqrt(total), 1.0)
        out[i] = black - math.exp(0.5 * moneyness[i]) / math.pi * out[i]


@njit
def _growth(length, panels):
    """The ratio r of `panels` panels of lengths 1, r, r^2, ... that add to `length` >= panels."""
    low, high = 1.0, 8.0
    for _ in range(50):
        r = 0.5 * (low + high)
        total = panels if r == 1.0 else (r**panels - 1.0) / (r - 1.0)
        if total < length:
            low = r
        else:
            high = r
    return high


@njit
def expiry_prices(is_call, forward, strike, years, discount, v0, kappa, theta, sigma, rho, lam, mu, delta, panels, out):
    """Fill out[i], $/share, with options of one expiry: is_call, strike arrays[n]; the rest scalars."""
    moneyness = np.empty(out.size)
    for i in range(out.size):
        moneyness[i] = math.log(strike[i] / forward)
    fourier_calls(moneyness, years, v0, kappa, theta, sigma, rho, lam, mu, delta, panels, out)
    for i in range(out.size):
        ratio = strike[i] / forward
        value = min(max(out[i], max(1.0 - ratio, 0.0)), 1.0)
        out[i] = discount * forward * (value if is_call[i] else max(value - 1.0 + ratio, 0.0))


def bates_price(
    is_call: Any,
    forward: Any,
    strike: Any,
    years: Any,
    discount: Any,
    v0: float,
    kappa: float,
    theta: float,
    sigma: float,
    rho: float,
    intensity: float = 0.0,
    jump_mean: float = 0.0,
    jump_std: float = 0.0,
) -> Any:
    """European values, $/share, float64 of the broadcast shape of the first five, an expiry at a time.

    forward, strike : $, > 0; years : ACT/365, > 0; discount : value today of 1 $ at expiry
    v0, theta       : variances per year, > 0; kappa, sigma > 0, per year; rho in (-1, 1)
    intensity       : jumps a year, >= 0; jump_mean, jump_std of the log jump
    Error about 1e-10 of the forward for years from a day to 15. DataError outside the domain.
    """
    if not (min(v0, kappa, theta, sigma) > 0.0 and abs(rho) < 1.0 and min(intensity, jump_std) >= 0.0):
        raise DataError(
            f"Heston with v0 {v0}, kappa {kappa}, theta {theta}, sigma {sigma}, rho {rho}, jumps {intensity} a year of "
            f"{jump_mean} +- {jump_std}: v0, kappa, theta, sigma must be positive and -1 < rho < 1"
        )
    columns = np.broadcast_arrays(is_call, forward, strike, years, discount)
    call, *rest = [np.array(column, np.float64).ravel() for column in columns]
    at, k, t, d = rest
    if not (np.all(at > 0) and np.all(k > 0) and np.all(t > 0)):
        raise DataError("Heston prices need forward, strike and years above 0")
    out = np.empty(call.size)
    order = np.lexsort((d, at, t))
    key = np.array([t[order], at[order], d[order]])
    cuts = np.flatnonzero(np.any(np.diff(key, axis=1) != 0.0, axis=0)) + 1
    for rows in np.split(order, cuts):
        i = rows[0]
        part = np.empty(len(rows))
        parameters = (v0, kappa, theta, sigma, rho, intensity, jump_mean, jump_std)
        expiry_prices(call[rows], at[i], k[rows], t[i], d[i], *parameters, PANELS, part)
        out[rows] = part
    return out.reshape(columns[0].shape)


def heston_price(
    is_call: Any, forward: Any, strike: Any, years: Any, discount: Any, v0: float, kappa: float, theta: float,
    sigma: float, rho: float,
) -> Any:  # fmt: skip
    """`bates_price` without jumps."""
    return bates_price(is_call, forward, strike, years, discount, v0, kappa, theta, sigma, rho)
