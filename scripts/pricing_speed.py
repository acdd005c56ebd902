"""ns per option of every pricing kernel, and of the same work in whatever peers are installed, in one run.

    python scripts/pricing_speed.py

Process time of one core, median of several repeats; the options are like SPY's: 0.01 to 1 year, 2 deviations around
the money. A peer is timed as Python calls it, one option at a time, which is how it is used.
"""

from __future__ import annotations

import importlib.util
import math
import sys
import time
from collections.abc import Callable
from itertools import cycle
from typing import Any

import numpy as np

from core.jit import njit
from core.pricing.american import (
    ACCURATE,
    american_implied_vol_rows,
    american_price_rows,
    american_values,
)
from core.pricing.black_scholes import black_price_rows, price_and_greeks_rows
from core.pricing.heston import heston_price
from core.pricing.implied_vol import implied_vol_rows
from core.pricing.local_vol import breach_probability
from core.pricing.trees import leisen_reimer

SPOT, RATE, YIELD = 600.0, 0.04, 0.012
MANY, SOME, FEW = 20_000, 2_000, 40
YEAR_DAYS = 365


def options(n: int) -> dict[str, Any]:
    """n options: columns of terms and their European prices."""
    rng = np.random.default_rng(5)
    years, vol = rng.uniform(0.01, 1.0, n), rng.uniform(0.08, 0.6, n)
    strike = SPOT * np.exp(rng.uniform(-2.0, 2.0, n) * vol * np.sqrt(years))
    call = strike > SPOT
    flat = np.ones(n)
    terms = np.array([call.astype(float), SPOT * flat, strike, years, vol, RATE * flat, YIELD * flat])
    out = np.empty((6, n))
    price_and_greeks_rows(terms, out)
    return {"terms": terms, "call": call, "strike": strike, "years": years, "vol": vol, "price": out[0].copy()}


def median_ns(work: Callable[[], Any], options_each: int, repeats: int) -> float:
    """Median process time of a call per option, after one call that is not counted."""
    work()
    found = []
    for _ in range(repeats):
        began = time.process_time()
        work()
        found.append(time.process_time() - began)
    return 1e9 * float(np.median(found)) / options_each


@njit(cache=False)
def trees(call, strike, years, vol, steps, out):
    for i in range(out.size):
        out[i] = leisen_reimer(call[i], 600.0, strike[i], years[i], vol[i], 0.04, 0.012, steps, 1)[0]


@njit(cache=False)
def accurate(call, strike, years, vol, scheme, out):
    for i in range(out.size):
        out[i] = american_values(call[i], 600.0, strike[i], years[i], vol[i], 0.04, 0.012, scheme)[0]


def own_cases() -> dict[str, tuple[Callable[[], Any], int]]:
    """name -> (work, options in it)."""
    many, some = options(MANY), options(SOME)
    out, six, few = np.empty(MANY), np.empty((6, MANY)), np.empty(SOME)
    forward = SPOT * np.exp((RATE - YIELD) * many["years"])
    discount = np.exp(-RATE * many["years"])
    s = some["terms"]
    american = np.empty(SOME)
    columns = (some["call"], s[1], s[2], s[3])
    american_price_rows(*columns, s[4], s[5], s[6], american)
    years = np.array([10.0, 30.0, 60.0]) / YEAR_DAYS
    slices = np.array([[0.004 * t, 0.05 * math.sqrt(t), -0.6, 0.01, 0.35 * math.sqrt(t)] for t in years])
    at = SPOT * np.exp((RATE - YIELD) * years)
    strikes = np.linspace(540.0, 650.0, FEW)
    part = (some["call"], some["strike"], some["years"], some["vol"])
    return {
        "black_price": (
            lambda: black_price_rows(1, forward, 610.0, many["years"], many["vol"], discount, out),
            MANY,
        ),
        "price_and_five_greeks": (lambda: price_and_greeks_rows(many["terms"], six), MANY),
        "implied_vol": (
            lambda: implied_vol_rows(
                many["call"], many["price"], forward, many["strike"], many["years"], discount, out
            ),
            MANY,
        ),
        "american": (lambda: american_price_rows(*columns, s[4], s[5], s[6], few), SOME),
        "american_accurate": (lambda: accurate(*part, ACCURATE, few), SOME),
        "american_implied_vol": (
            lambda: american_implied_vol_rows(some["call"], american, s[1], s[2], s[3], s[5], s[6], few),
            SOME,
        ),
        "leisen_reimer_101": (lambda: trees(*part, 101, few), SOME),
        "leisen_reimer_501": (lambda: trees(*part, 501, few), SOME),
        "heston_40_strikes": (
            lambda: heston_price(True, SPOT, strikes, 0.1, 1.0, 0.03, 4.0, 0.05, 0.8, -0.7),
            FEW,
        ),
        "breach_by_local_vol": (lambda: breach_probability(SPOT, 570.0, 630.0, 0.08, years, slices, at), 1),
    }


def quantlib_cases() -> dict[str, tuple[Callable[[], Any], int]]:
    """The same kinds of work in QuantLib, from Python."""
    import QuantLib as ql

    today = ql.Date(2, 1, 2026)
    ql.Settings.instance().evaluationDate = today
    days = ql.Actual365Fixed()
    spot, vol = ql.SimpleQuote(SPOT), ql.SimpleQuote(0.2)
    curves = [ql.YieldTermStructureHandle(ql.FlatForward(today, r, days)) for r in (YIELD, RATE)]
    vols = ql.BlackVolTermStructureHandle(ql.BlackConstantVol(today, ql.NullCalendar(), ql.QuoteHandle(vol), days))
    process = ql.BlackScholesMertonProcess(ql.QuoteHandle(spot), *curves, vols)
    payoffs = [ql.PlainVanillaPayoff(ql.Option.Put, k) for k in np.linspace(540.0, 650.0, FEW).tolist()]
    european, american = ql.EuropeanExercise(today + 90), ql.AmericanExercise(today, today + 90)
    prices = [ql.VanillaOption(p, european) for p in payoffs]
    fast = ql.QdFpAmericanEngine.fastScheme()
    engines = {
        "quantlib_european": (ql.AnalyticEuropeanEngine(process), european),
        "quantlib_american_fast": (ql.QdFpAmericanEngine(process, fast), american),
        "quantlib_american_accurate": (ql.QdFpAmericanEngine(process), american),
        "quantlib_leisen_reimer_101": (ql.BinomialVanillaEngine(process, "lr", 101), american),
    }
    cases: dict[str, tuple[Callable[[], Any], int]] = {}
    moves = cycle((1e-7, -1e-7))  # a quote that does not move is answered from memory

    def revalue(held: list[Any]) -> list[float]:
        spot.setValue(SPOT + next(moves))
        return [option.NPV() for option in held]

    for name, (engine, exercise) in engines.items():
        held = [ql.VanillaOption(p, exercise) for p in payoffs]
        for option in held:
            option.setPricingEngine(engine)
        cases[name] = (lambda held=held: revalue(held), FEW)
    for option in prices:
        option.setPricingEngine(engines["quantlib_european"][0])
    values = [option.NPV() for option in prices]
    deviation, at, strikes = (
        0.2 * math.sqrt(90 / YEAR_DAYS),
        SPOT * math.exp(0.028 * 90 / YEAR_DAYS),
        [p.strike() for p in payoffs],
    )
    discount = math.exp(-RATE * 90 / YEAR_DAYS)
    cases["quantlib_implied_vol"] = (
        lambda: [
            ql.blackFormulaImpliedStdDev(ql.Option.Put, k, at, v, discount, 0.0, deviation * 1.3, 1e-10)
            for k, v in zip(strikes, values, strict=True)
        ],
        FEW,
    )
    return cases


def lets_be_rational_cases() -> dict[str, tuple[Callable[[], Any], int]]:
    """Jaeckel's inversion, in Python."""
    from py_lets_be_rational import implied_volatility_from_a_transformed_rational_guess as invert

    some = options(FEW)
    call = np.where(some["call"], 1.0, -1.0)
    forward = SPOT * np.exp((RATE - YIELD) * some["years"])
    price = some["price"] * np.exp(RATE * some["years"])
    rows = list(zip(price, forward, some["strike"], some["years"], call, strict=True))
    return {"py_lets_be_rational_implied_vol": (lambda: [invert(*row) for row in rows], FEW)}


PEERS = {"QuantLib": quantlib_cases, "py_lets_be_rational": lets_be_rational_cases}


def measured(repeats: int) -> dict[str, dict[str, float]]:
    """name -> {ns} of our kernels, then of the peers that are installed."""
    cases = own_cases()
    for module, more in PEERS.items():
        if importlib.util.find_spec(module) is not None:
            cases |= more()
    return {name: {"ns": median_ns(work, n, repeats)} for name, (work, n) in cases.items()}


def main() -> int:
    for name, case in measured(7).items():
        print(f"{name:34} {case['ns']:>12,.1f} ns")
    return 0


if __name__ == "__main__":
    sys.exit(main())
