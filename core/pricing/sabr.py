"""SABR: Hagan's lognormal implied volatility of one expiry.

The original expansion (equation 2.17), good to first order in time: at low strikes and large nu^2 years its density
turns negative, so `sabr_density_factor` should be looked at before its wings are believed.
Source: Hagan, Kumar, Lesniewski and Woodward, "Managing smile risk" (Wilmott, 2002).
"""

from __future__ import annotations

import math

from core.jit import njit
from core.pricing.svi import durrleman_g

NEAR_MONEY = 1e-3  # of z: below it z / x(z) by its series


@njit
def sabr_vol(strike, forward, years, alpha, beta, nu, rho):
    """Lognormal implied volatility, decimal per year.

    strike, forward : $, > 0; years : ACT/365; alpha > 0, in units forward^(1 - beta); beta in [0, 1]; nu >= 0;
    rho in (-1, 1). NaN outside that domain.
    """
    if not (strike > 0.0 and forward > 0.0 and years >= 0.0 and alpha > 0.0 and nu >= 0.0 and -1.0 < rho < 1.0):
        return math.nan
    log_m = math.log(forward / strike)
    power = (forward * strike) ** (0.5 * (1.0 - beta))
    flat = (1.0 - beta) * (1.0 - beta) * log_m * log_m
    z = nu / alpha * power * log_m
    if abs(z) < NEAR_MONEY:
        ratio = 1.0 + z * (-0.5 * rho + z * (2.0 - 3.0 * rho * rho + 0.5 * z * rho * (5.0 - 6.0 * rho * rho)) / 12.0)
    else:
        root = math.sqrt(1.0 - 2.0 * rho * z + z * z)
        # ln((root + z - rho) / (1 - rho)), without cancellation for large negative z
        x = math.log((root + z - rho) / (1.0 - rho)) if z > 0.0 else -math.log((root - z + rho) / (1.0 + rho))
        ratio = z / x
    growth = (
        (1.0 - beta) * (1.0 - beta) / 24.0 * alpha * alpha / (power * power)
        + 0.25 * rho * beta * nu * alpha / power
        + (2.0 - 3.0 * rho * rho) / 24.0 * nu * nu
    )
    return alpha / (power * (1.0 + flat / 24.0 + flat * flat / 1920.0)) * ratio * (1.0 + growth * years)


@njit
def sabr_density_factor(strike, forward, years, alpha, beta, nu, rho):
    """Durrleman's g at a strike of the SABR smile (derivatives by differences); below 0 there is a butterfly."""
    h = 1e-3 * nu * math.sqrt(years) + 1e-4
    k = math.log(strike / forward)
    vol = sabr_vol(strike, forward, years, alpha, beta, nu, rho)
    up = sabr_vol(strike * math.exp(h), forward, years, alpha, beta, nu, rho)
    down = sabr_vol(strike * math.exp(-h), forward, years, alpha, beta, nu, rho)
    w, w_up, w_down = vol * vol * years, up * up * years, down * down * years
    slope, bend = (w_up - w_down) / (2.0 * h), (w_up - 2.0 * w + w_down) / (h * h)
    return durrleman_g(k, w, slope, bend)
