"""The smiles of a chain under every model: one volatility function each, for reports and prices."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from core.errors import ConfigError, DataError
from core.market.snapshot import Chain
from core.pricing.calibration import (
    HESTON,
    calibrate_bates,
    calibrate_heston,
    calibrate_merton,
    calibrate_sabr,
    expiries_of,
)
from core.pricing.chain import forward_delta, smile_quotes
from core.pricing.heston import bates_price
from core.pricing.implied_vol import implied_vols
from core.pricing.jump_diffusion import merton_price
from core.pricing.sabr import sabr_vol
from core.pricing.smile import Calibration, SmileQuotes
from core.pricing.surface import SsviFit, VolSurface, fit_ssvi, fit_surface, slice_variance, ssvi_variance

MODELS = ("svi", "ssvi", "sabr", "heston", "merton", "bates")
LEAST_DELTA = 0.02
MOST_EXPIRIES, MOST_STRIKES = 10, 15  # of a joint fit: more of the same quotes add time, not knowledge


class Smiles(NamedTuple):
    """What was fitted; a model that was not asked for is None (sabr: empty)."""

    quotes: SmileQuotes
    surface: VolSurface
    ssvi: SsviFit | None
    sabr: dict[float, Calibration]  # by years
    joint: dict[str, Calibration]  # heston, merton, bates


def quotes_of(chain: Chain, dte_min: float, dte_max: float) -> SmileQuotes:
    """Out-of-the-money quotes between two ages in calendar days, |delta| at least 0.02."""
    days = chain.years * 365.0
    rows = (days >= dte_min) & (days <= dte_max)
    if not rows.any():
        raise DataError(f"market '{chain.market}' has no quote from {dte_min:g} to {dte_max:g} days on {chain.date}")
    columns = (chain.strike[rows], chain.is_call[rows], chain.years[rows], chain.bid[rows], chain.ask[rows])
    quotes = smile_quotes(*columns, chain.spot, chain.rate, chain.american)
    return SmileQuotes(*(column[forward_delta(quotes) >= LEAST_DELTA] for column in quotes))


def thinned(quotes: SmileQuotes) -> SmileQuotes:
    """At most 10 expiries and 15 quotes of each, evenly over the list: what the joint models are fitted to."""
    runs = expiries_of(quotes)
    chosen = [runs[i] for i in np.unique(np.linspace(0, len(runs) - 1, MOST_EXPIRIES).round().astype(int))]
    rows = [np.unique(np.linspace(r.start, r.stop - 1, MOST_STRIKES).round().astype(int)) for r in chosen]
    return SmileQuotes(*(column[np.concatenate(rows)] for column in quotes))


def fit_smiles(quotes: SmileQuotes, models: tuple[str, ...] = MODELS) -> Smiles:
    """Fit the models asked for; SVI always (the others are drawn beside it). ConfigError for an unknown one."""
    unknown = [name for name in models if name not in MODELS]
    if unknown:
        raise ConfigError(f"--models has {unknown[0]!r}; give some of: {', '.join(MODELS)}")
    some = thinned(quotes)
    joint = {}
    if "heston" in models or "bates" in models:
        joint["heston"] = calibrate_heston(some)
    if "merton" in models:
        joint["merton"] = calibrate_merton(some)
    if "bates" in models:
        joint["bates"] = calibrate_bates(some, joint["heston"])
    sabr = {}
    if "sabr" in models:
        runs = [rows for rows in expiries_of(quotes) if rows.stop - rows.start >= 5]
        years = [float(quotes.years[rows.start]) for rows in runs]
        sabr = dict(zip(years, calibrate_sabr(quotes), strict=True))
    surface = fit_surface(quotes)
    return Smiles(quotes, surface, fit_ssvi(quotes) if "ssvi" in models else None, sabr, joint)


def smile_functions(smiles: Smiles, years: float) -> dict[str, Callable[[Any], Any]]:
    """Model -> volatility at strikes float64[n] for one of the quoted expiries."""
    quotes = smiles.quotes
    at = np.flatnonzero(quotes.years == years)
    if not len(at):
        raise DataError(f"no quotes of the expiry {365.0 * years:.1f} days away were fitted")
    forward = float(quotes.forward[at[0]])
    found: dict[str, Callable[[Any], Any]] = {}
    slices = np.flatnonzero(smiles.surface.years == years)
    if len(slices):
        raw = smiles.surface.slices[slices[0]]
        found["svi"] = lambda k: np.sqrt(np.maximum(slice_variance(raw, np.log(k / forward)), 0.0) / years)
    if smiles.ssvi is not None:
        run = [quotes.years[rows.start] for rows in expiries_of(quotes)].index(years)
        fit, theta = smiles.ssvi, float(smiles.ssvi.theta[run])
        found["ssvi"] = lambda k: np.sqrt(ssvi_variance(np.log(k / forward), theta, *fit[:3]) / years)
    if years in smiles.sabr:
        alpha, rho, nu = smiles.sabr[years].parameters.values()
        found["sabr"] = lambda k: np.array([sabr_vol(x, forward, years, alpha, 1.0, nu, rho) for x in np.ravel(k)])
    for name, fitted in smiles.joint.items():
        found[name] = _inverted(name, fitted, forward, years)
    return found


def _inverted(name: str, fitted: Calibration, forward: float, years: float) -> Callable[[Any], Any]:
    """The implied volatility of a model's own price."""
    values = tuple(fitted.parameters.values())

    def vol_at(strike: Any) -> Any:
        strike = np.atleast_1d(np.asarray(strike, np.float64))
        call = strike >= forward
        if name == "merton":
            price = [merton_price(c, forward, k, years, 1.0, *values) for c, k in zip(call, strike, strict=True)]
        else:
            price = bates_price(call, forward, strike, years, 1.0, *values)
        return implied_vols(call, price, forward, strike, years, 1.0)

    return vol_at


def breach_args(smiles: Smiles) -> tuple[Any, Any, Any]:
    """(years, slices, forward) of the surface, as core.pricing.local_vol takes them."""
    return smiles.surface.years, np.ascontiguousarray(smiles.surface.slices), smiles.surface.forward


def heston_parameters(smiles: Smiles) -> tuple[float, ...] | None:
    """Heston's five numbers if it was fitted."""
    fitted = smiles.joint.get("heston")
    return None if fitted is None else tuple(fitted.parameters[name] for name in HESTON)


def rms(values: Any) -> float:
    """Root mean square of the known values."""
    known = np.asarray(values)[np.isfinite(values)]
    return math.sqrt(float(np.mean(known**2))) if len(known) else math.nan
