"""SSVI: one surface of total variance from the at-the-money variance theta(t) and three numbers.

    w(k, theta) = theta / 2 (1 + rho phi k + sqrt((phi k + rho)^2 + 1 - rho^2))
    phi = eta / (theta^gamma (1 + theta)^(1 - gamma))

Source: Gatheral and Jacquier, "Arbitrage-free SVI volatility surfaces" (Quantitative Finance, 2014).
"""

from __future__ import annotations

import math

from core.jit import njit


@njit
def ssvi_derivatives(k, theta, eta, gamma, rho):
    """(w, dw/dk, d2w/dk2, dw/dtheta) at log-moneyness k; NaN for theta <= 0 or |rho| >= 1."""
    if not (theta > 0.0 and -1.0 < rho < 1.0):
        return math.nan, math.nan, math.nan, math.nan
    phi = eta / (theta**gamma * (1.0 + theta) ** (1.0 - gamma))
    phi_slope = -phi * (gamma / theta + (1.0 - gamma) / (1.0 + theta))
    x = phi * k + rho
    root = math.sqrt(x * x + 1.0 - rho * rho)
    tilt = rho + x / root
    level = 0.5 * (1.0 + rho * phi * k + root)
    bend = 0.5 * theta * phi * phi * (1.0 - rho * rho) / (root * root * root)
    return theta * level, 0.5 * theta * phi * tilt, bend, level + 0.5 * theta * k * tilt * phi_slope
