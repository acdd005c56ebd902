"""The quotes of one snapshot that a model is fitted to, and what a fit says of itself."""

from __future__ import annotations

from typing import Any, NamedTuple


class SmileQuotes(NamedTuple):
    """Out-of-the-money quotes of one moment, European, sorted by (years, strike); every field is an array[n].

    years    : float64, ACT/365 to settlement, > 0
    forward  : float64, $, of that expiry
    discount : float64, value today of 1 $ at that expiry
    strike   : float64, $
    is_call  : bool
    price    : float64, $/share, the European value at `vol` (an American quote has lost its exercise premium)
    half_spread : float64, $/share, (ask - bid) / 2
    vol      : float64, implied, decimal per year
    vega     : float64, $ per 1.00 of vol
    """

    years: Any
    forward: Any
    discount: Any
    strike: Any
    is_call: Any
    price: Any
    half_spread: Any
    vol: Any
    vega: Any


class Calibration(NamedTuple):
    """A fitted model: what it found, how well it fits, how far to trust it.

    model             : name
    parameters        : name -> value, in the order of the model's formula
    standard_errors   : name -> standard error, None where the quotes do not determine it (at a bound, singular)
    vol_error         : float64[n], model minus quote in vol points (0.01 of vol)
    price_error_cents : float64[n], model minus quote, cents/share
    half_spreads      : float64[n], |model price - quote| in half-spreads of that quote
    at_bound          : names of parameters that stopped at a bound
    starts_agreeing, starts : how many of the starts tried reached the best cost within 1 %
    """

    model: str
    parameters: dict[str, float]
    standard_errors: dict[str, float | None]
    vol_error: Any
    price_error_cents: Any
    half_spreads: Any
    at_bound: tuple[str, ...]
    starts_agreeing: int
    starts: int
