"""Fitting models to the quotes of a moment: bounded least squares from several starts, with honest errors.

Residuals are price errors in half-spreads where the quotes have them, so that a fit as good as the market's own doubt
scores about 1; without spreads (model prices) they are errors in vol points. Standard errors come from the Jacobian
and the residuals' variance as if quotes erred independently: neighbours do not, so they are lower bounds. A parameter
at its bound, or one that the quotes cannot tell apart from another, has none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from scipy.optimize import least_squares

from core.errors import DataError
from core.pricing.heston import FITTING_PANELS, expiry_prices
from core.pricing.implied_vol import implied_vols
from core.pricing.jump_diffusion import merton_rows
from core.pricing.sabr import sabr_vol
from core.pricing.smile import Calibration, SmileQuotes

LEAST_HALF_SPREAD = 0.005  # $; half a cent of doubt remains in a locked quote
LEAST_VEGA = 0.5  # $ per 1.00 of vol; below it a price holds no volatility
AGREES = 1.01
SINGULAR = 1e-10
NEAR_BOUND = 1e-3

HESTON = ("v0", "kappa", "theta", "sigma", "rho")
JUMPS = ("intensity", "jump_mean", "jump_std")
BOUNDS = {
    "v0": (1e-4, 2.0),
    "kappa": (0.05, 30.0),
    "theta": (1e-4, 2.0),
    "sigma": (0.01, 6.0),
    "rho": (-0.995, 0.995),
    "intensity": (0.0, 50.0),
    "jump_mean": (-0.5, 0.3),
    "jump_std": (0.001, 0.5),
    "vol": (0.005, 2.0),
    "alpha": (1e-3, 5.0),
    "nu": (1e-3, 15.0),
}
# Starts: multiples of the quotes' own variance for v0 and theta, then plain numbers.
HESTON_STARTS = ((1.0, 3.0, 1.0, 0.6, -0.6), (1.0, 8.0, 1.5, 1.5, -0.7), (0.7, 1.0, 2.0, 0.4, -0.4))
JUMP_STARTS = ((0.5, -0.10, 0.10), (4.0, -0.03, 0.04))
SABR_STARTS = ((-0.6, 1.0), (-0.3, 3.0), (0.0, 0.5))


def scale_of(quotes: SmileQuotes) -> Any:
    """$ per unit of residual, float64[n]: half-spreads, or what one vol point is worth where spreads are unknown."""
    point = 0.01 * np.maximum(quotes.vega, LEAST_VEGA)
    known = np.asarray(quotes.half_spread) > 0.0
    return np.where(known, np.maximum(quotes.half_spread, LEAST_HALF_SPREAD), point)


def expiries_of(quotes: SmileQuotes) -> list[slice]:
    """The runs of equal `years`; quotes are sorted by it."""
    cuts = np.flatnonzero(np.diff(quotes.years)) + 1
    edges = [0, *cuts.tolist(), len(quotes.years)]
    return [slice(a, b) for a, b in pairwise(edges)]


def fit(
    model: str,
    names: Sequence[str],
    starts: Sequence[Sequence[float]],
    price_of: Callable[[Any], Any],
    quotes: SmileQuotes,
) -> Calibration:
    """Best of bounded least-squares fits from several starts; price_of(parameters) gives float64[n], $/share.

    DataError with fewer quotes than parameters, or where no start can be priced.
    """
    if len(quotes.price) <= len(names):
        raise DataError(f"{len(quotes.price)} quotes cannot determine the {len(names)} parameters of {model}")
    low, high = (np.array([BOUNDS[name][side] for name in names]) for side in (0, 1))
    scale = scale_of(quotes)

    def residuals(x: Any) -> Any:
        errors = (price_of(x) - quotes.price) / scale
        return np.where(np.isfinite(errors), errors, 1e6)

    found = []
    for start in starts:
        inside = np.clip(start, low + 1e-6 * (high - low), high - 1e-6 * (high - low))
        found.append(least_squares(residuals, inside, bounds=(low, high), x_scale="jac", xtol=1e-10, ftol=1e-10))
    best = min(found, key=lambda f: f.cost)
    agreeing = sum(bool(f.cost <= AGREES * best.cost + 1e-12) for f in found)
    near = NEAR_BOUND * (high - low)
    stuck = (best.x - low < np.minimum(near, 0.01 * np.abs(best.x) + 1e-9)) | (high - best.x < near)
    errors = standard_errors(best.jac, best.fun, ~stuck)
    return judged(model, dict(zip(names, best.x.tolist(), strict=True)), dict(zip(names, errors, strict=True)),
                  price_of(best.x), quotes, tuple(n for n, s in zip(names, stuck, strict=True) if s), agreeing,
                  len(found))  # fmt: skip


def standard_errors(jacobian: Any, residuals: Any, free: Any) -> list[float | None]:
    """Of each parameter, from the free ones' columns of the Jacobian; None for the others, or all where singular."""
    none: list[float | None] = [None] * len(free)
    columns = jacobian[:, free]
    spare = len(residuals) - columns.shape[1]
    if spare <= 0 or not columns.shape[1]:
        return none
    size = np.linalg.norm(columns, axis=0)
    if not np.all(size > 0.0):
        return none
    _, singular, vectors = np.linalg.svd(columns / size, full_matrices=False)
    if singular[-1] < SINGULAR * singular[0]:
        return none
    spread = np.sqrt(residuals @ residuals / spare) * np.sqrt(((vectors.T / singular) ** 2).sum(axis=1)) / size
    for at, value in zip(np.flatnonzero(free).tolist(), spread.tolist(), strict=True):
        none[at] = value
    return none


def judged(
    model: str, parameters: dict[str, float], errors: dict[str, float | None], price: Any, quotes: SmileQuotes,
    at_bound: tuple[str, ...], agreeing: int, starts: int,
) -> Calibration:  # fmt: skip
    """A Calibration with the errors of `price`; where a price holds no volatility, the error over vega stands in."""
    vol = implied_vols(quotes.is_call, price, quotes.forward, quotes.strike, quotes.years, quotes.discount)
    linear = (price - quotes.price) / np.maximum(quotes.vega, LEAST_VEGA)
    gap = np.where(np.isfinite(vol), vol - quotes.vol, linear)
    away = price - quotes.price
    return Calibration(
        model, parameters, errors, 100.0 * gap, 100.0 * away,
        np.abs(away) / np.maximum(quotes.half_spread, LEAST_HALF_SPREAD), at_bound, agreeing, starts,
    )  # fmt: skip


def _bates_prices(quotes: SmileQuotes, parameters: Any) -> Any:
    """Prices of every quote, expiry by expiry; parameters: Heston's five, then the jumps' three."""
    out = np.empty(len(quotes.price))
    for rows in expiries_of(quotes):
        i = rows.start
        expiry_prices(
            quotes.is_call[rows], quotes.forward[i], quotes.strike[rows], quotes.years[i], quotes.discount[i],
            *parameters, FITTING_PANELS, out[rows],
        )  # fmt: skip
    return out


def _level(quotes: SmileQuotes) -> float:
    """The variance near the money, to start from."""
    near = np.argsort(np.abs(np.log(quotes.strike / quotes.forward)) / (quotes.vol * np.sqrt(quotes.years)))
    return float(np.median(quotes.vol[near[: max(5, len(near) // 5)]]) ** 2)


def calibrate_heston(quotes: SmileQuotes) -> Calibration:
    """Heston's five parameters from all expiries together. Feller's condition is not forced: index smiles break it."""
    level = _level(quotes)
    starts = [(level * a, k, level * b, s, r) for a, k, b, s, r in HESTON_STARTS]
    return fit("heston", HESTON, starts, lambda x: _bates_prices(quotes, (*x, 0.0, 0.0, 0.0)), quotes)


def calibrate_bates(quotes: SmileQuotes, heston: Calibration | None = None) -> Calibration:
    """Heston with jumps, from a Heston fit (made here unless given) and two sizes of jumps."""
    base = heston or calibrate_heston(quotes)
    begin = tuple(base.parameters[name] for name in HESTON)
    starts = [(*begin, *jump) for jump in JUMP_STARTS]
    return fit("bates", (*HESTON, *JUMPS), starts, lambda x: _bates_prices(quotes, x), quotes)


def calibrate_merton(quotes: SmileQuotes) -> Calibration:
    """Merton's diffusion volatility and jumps from all expiries together: no term structure, a benchmark for Bates."""
    level = _level(quotes) ** 0.5
    out = np.empty(len(quotes.price))

    def price_of(x: Any) -> Any:
        merton_rows(quotes.is_call, quotes.forward, quotes.strike, quotes.years, quotes.discount, *x, out)
        return out.copy()

    starts = [(0.8 * level, *jump) for jump in JUMP_STARTS]
    return fit("merton", ("vol", *JUMPS), starts, price_of, quotes)


def calibrate_sabr(quotes: SmileQuotes, beta: float = 1.0) -> list[Calibration]:
    """SABR's alpha, rho and nu of each expiry with at least 5 quotes; beta is given."""
    from core.pricing.black_scholes import black_price

    found = []
    for rows in expiries_of(quotes):
        part = SmileQuotes(*(column[rows] for column in quotes))
        if len(part.price) < 5:
            continue
        forward, years, discount = part.forward[0], part.years[0], part.discount[0]

        def price_of(x: Any, part: Any = part, f: float = forward, t: float = years, d: float = discount) -> Any:
            alpha, rho, nu = x
            vols = [sabr_vol(k, f, t, alpha, beta, nu, rho) for k in part.strike]
            return np.array(
                [black_price(c, f, k, t, v, d) for c, k, v in zip(part.is_call, part.strike, vols, strict=True)]
            )

        level = _level(part) ** 0.5 * forward ** (1.0 - beta)
        starts = [(level, rho, nu) for rho, nu in SABR_STARTS]
        found.append(fit("sabr", ("alpha", "rho", "nu"), starts, price_of, part))
    return found
