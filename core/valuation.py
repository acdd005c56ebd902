"""What an option or a condor is worth: every model beside the others, greeks, chances, P&L by date.

The terms come with a volatility for each leg: one number for all, or the smile of a fitted surface. All values are
$/share of one structure, positive when the holder of the quantities receives money to close; probabilities are
risk-neutral.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from core.errors import DataError
from core.pricing.american import ACCURATE, american_values
from core.pricing.black_scholes import EuropeanValues, european
from core.pricing.cash_dividends import cash_dividend_values
from core.pricing.longstaff_schwartz import longstaff_schwartz
from core.pricing.touch import stay_inside_probability, touch_probability
from core.pricing.trees import leisen_reimer

TREE_STEPS = 501
PATHS = 40_000
DATES_PER_YEAR = 252
SEED = 20160104  # the simulation's figures repeat
GRID = 2001
GRID_REACH = 8.0  # deviations of ln(spot)


class Leg(NamedTuple):
    """One option of the structure: quantity is signed, vol is its own smile volatility."""

    is_call: bool
    strike: float
    quantity: int
    vol: float


class Terms(NamedTuple):
    """What all legs share: $ spot, ACT/365 years, continuous rate and yield, cash dividends [(years, $), ...]."""

    spot: float
    years: float
    rate: float
    dividend_yield: float
    dividends: tuple[tuple[float, float], ...] = ()

    @property
    def forward(self) -> float:
        return self.spot * math.exp((self.rate - self.dividend_yield) * self.years)

    @property
    def discount(self) -> float:
        return math.exp(-self.rate * self.years)


def check(terms: Terms, legs: list[Leg]) -> None:
    """DataError for terms that no model can price."""
    if not (terms.spot > 0.0 and terms.years > 0.0 and math.isfinite(terms.rate + terms.dividend_yield)):
        raise DataError(f"spot {terms.spot}, years {terms.years}: both must be above 0, rate and yield numbers")
    for leg in legs:
        if not (leg.strike > 0.0 and leg.vol > 0.0 and leg.quantity):
            raise DataError(f"strike {leg.strike} at volatility {leg.vol}: both must be above 0")


def european_legs(terms: Terms, legs: list[Leg], spot: Any = None, years: float | None = None) -> EuropeanValues:
    """Values and greeks, arrays [..., legs]; at other spots (float64[n]) or with other time left if given."""
    at = np.asarray(terms.spot if spot is None else spot, np.float64)[..., None]
    left = terms.years if years is None else years
    call, strike, vol = (np.array(column) for column in zip(*((g.is_call, g.strike, g.vol) for g in legs), strict=True))
    return european(call, at, strike, left, vol, terms.rate, terms.dividend_yield)


def net(values: Any, legs: list[Leg]) -> Any:
    """Sum over legs by quantity; the last axis of `values` is legs."""
    return np.asarray(values) @ np.array([leg.quantity for leg in legs], np.float64)


def greeks(terms: Terms, legs: list[Leg]) -> dict[str, float]:
    """Net greeks a share: vega per vol point, theta and charm per calendar day, rho per 1 %, the rest as `european`."""
    values = european_legs(terms, legs)
    per = {
        "vega": 0.01,
        "rho": 0.01,
        "dividend_rho": 0.01,
        "vanna": 0.01,
        "volga": 1e-4,
        "theta": 1 / 365,
        "charm": 1 / 365,
    }
    names = [name for name in values._fields if name not in ("price", "prob_itm")]
    return {name: float(net(getattr(values, name), legs)) * per.get(name, 1.0) for name in names}


def model_values(terms: Terms, legs: list[Leg]) -> dict[str, dict[str, float]]:
    """Model -> {value, and standard_error where simulated}, net; every leg at its own volatility."""
    s, t, r, q = terms.spot, terms.years, terms.rate, terms.dividend_yield
    args = [(leg.is_call, s, leg.strike, t, leg.vol, r, q) for leg in legs]
    found = {
        "european": {"value": float(net(european_legs(terms, legs).price, legs))},
        "american": {"value": float(net([american_values(*a, ACCURATE)[0] for a in args], legs))},
        "american_tree": {"value": float(net([leisen_reimer(*a, TREE_STEPS, 1)[0] for a in args], legs))},
    }
    if len(legs) == 1:
        dates = max(round(DATES_PER_YEAR * t), 2)
        simulated = longstaff_schwartz(*args[0], dates, PATHS, np.random.default_rng(SEED))
        found["american_simulated"] = {
            "value": legs[0].quantity * simulated.price,
            "standard_error": abs(legs[0].quantity) * simulated.standard_error,
        }
    if terms.dividends:
        when, cash = (np.array(column, np.float64) for column in zip(*terms.dividends, strict=True))
        paid = [cash_dividend_values(g.is_call, s, g.strike, t, g.vol, r, when, cash, True)[0] for g in legs]
        found["american_cash_dividends"] = {"value": float(net(paid, legs))}
    return found


class Structure(NamedTuple):
    """What a structure sold or bought at `credit` ($/share, negative for a debit) can make at expiry."""

    credit: float
    max_profit: float
    max_loss: float
    breakevens: tuple[float, ...]


def payoff(legs: list[Leg], spot: Any) -> Any:
    """What the legs are worth at expiry, $/share, at spots float64[n]."""
    at = np.asarray(spot, np.float64)[:, None]
    side = np.array([1.0 if leg.is_call else -1.0 for leg in legs])
    strike = np.array([leg.strike for leg in legs])
    return net(np.maximum(side * (at - strike), 0.0), legs)


def structure_at(legs: list[Leg], credit: float) -> Structure:
    """Extremes and breakevens at expiry; a structure that is not bounded has an infinite one."""
    strikes = sorted({leg.strike for leg in legs})
    corners = np.array([0.0, *strikes, 4.0 * strikes[-1]])
    pnl = payoff(legs, corners) + credit
    slope_up = sum(leg.quantity for leg in legs if leg.is_call)
    found = [
        float(a + (b - a) * x / (x - y))
        for a, b, x, y in zip(corners[:-1], corners[1:], pnl[:-1], pnl[1:], strict=True)
        if x * y < 0.0
    ]
    best = math.inf if slope_up > 0 else float(pnl.max())
    worst = math.inf if slope_up < 0 else float(-pnl.min())
    return Structure(credit, best, worst, tuple(found))


def terminal_law(terms: Terms, vol_at: Any) -> tuple[Any, Any]:
    """(spots float64[n], probability of ending below each) from a smile vol_at(strikes): -dPut/dK, risk-neutral.

    The smile's own slope is in it: a digital is not N(d2) under skew.
    """
    width = float(vol_at(np.array([terms.forward]))[0]) * math.sqrt(terms.years)
    spots = terms.forward * np.exp(np.linspace(-GRID_REACH, GRID_REACH, GRID) * width)
    step = 1e-4 * spots
    price = [
        european(False, terms.spot, k, terms.years, vol_at(k), terms.rate, terms.dividend_yield).price
        for k in (spots - step, spots + step)
    ]
    return spots, np.clip((price[1] - price[0]) / (2.0 * step * terms.discount), 0.0, 1.0)


def profit_probability(terms: Terms, legs: list[Leg], credit: float, vol_at: Any) -> float:
    """Risk-neutral probability that the structure ends with a profit under a smile."""
    spots, below = terminal_law(terms, vol_at)
    middle = np.sqrt(spots[:-1] * spots[1:])
    return float(np.diff(below)[payoff(legs, middle) + credit > 0.0].sum())


def constant_vol_chances(terms: Terms, lower: float | None, upper: float | None, vol: float) -> dict[str, float]:
    """Chances of touching one or both barriers by expiry at one volatility: an approximation, wrong under skew."""
    rest = (terms.years, vol, terms.rate, terms.dividend_yield)
    if lower is not None and upper is not None:
        inside = stay_inside_probability(terms.spot, lower, upper, *rest)
        touch = {"lower": lower, "upper": upper}
        found = {name: touch_probability(terms.spot, at, *rest)[0] for name, at in touch.items()}
        return {**found, "inside": inside}
    barrier = upper if lower is None else lower
    if barrier is None:
        return {}
    return {"touch": touch_probability(terms.spot, barrier, *rest)[0]}
