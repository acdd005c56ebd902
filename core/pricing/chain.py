"""From the quotes of one moment to what surfaces and models are fitted to: European, out of the money, one forward.

An American quote holds an exercise premium. It is inverted by the American engine under the carry that put-call parity
gives, and stands here at the European value of the same volatility. Parity itself holds for European prices only, so
the forward is found from quotes, the premium is taken off the pairs that gave it, and it is found again.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from core.errors import DataError
from core.jit import njit
from core.pricing.american import american_implied_vol
from core.pricing.black_scholes import black_greeks, black_price
from core.pricing.implied_vol import implied_vol
from core.pricing.smile import SmileQuotes
from core.pricing.svi import parity_forward

PARITY_PASSES = 2
PAIR_REACH = 0.06  # of spot: pairs further out are not used for the forward


@njit
def quote_vol(american, is_call, price, spot, forward, strike, years, rate, discount):
    """Volatility of a quote; American quotes through the American engine, the yield being the forward's."""
    if not american:
        return implied_vol(is_call, price, forward, strike, years, discount)
    dividend_yield = rate - math.log(forward / spot) / years
    return american_implied_vol(is_call, price, spot, strike, years, rate, dividend_yield)


@njit
def expiry_forward(american, strike, put, call, put_ok, call_ok, spot, years, rate):
    """Forward ($) of one expiry from its pairs; NaN without one. float64[n] strikes and mids, bool[n] usable sides."""
    discount = math.exp(-rate * years)
    forward = parity_forward(strike, put, call, put_ok, call_ok, spot, discount)
    if not american:
        return forward
    put_european, call_european = put.copy(), call.copy()
    pair_put, pair_call = put_ok.copy(), call_ok.copy()
    for _ in range(PARITY_PASSES):
        if not forward > 0.0:
            return forward
        for i in range(strike.size):
            if not (put_ok[i] and call_ok[i] and abs(strike[i] - spot) <= PAIR_REACH * spot):
                continue
            if abs(call[i] - put[i]) > 0.012 * spot:
                pair_put[i] = False  # only the pairs nearest to the money count, and these alone are worth inverting
                continue
            put_vol = quote_vol(True, 0, put[i], spot, forward, strike[i], years, rate, discount)
            call_vol = quote_vol(True, 1, call[i], spot, forward, strike[i], years, rate, discount)
            pair_put[i], pair_call[i] = put_vol > 0.0, call_vol > 0.0
            if pair_put[i] and pair_call[i]:
                put_european[i] = black_price(0, forward, strike[i], years, put_vol, discount)
                call_european[i] = black_price(1, forward, strike[i], years, call_vol, discount)
        forward = parity_forward(strike, put_european, call_european, pair_put, pair_call, spot, discount)
    return forward


@njit
def quote_columns(american, strike, is_call, bid, ask, spot, forward, years, rate, out):
    """Fill out, float64[4, n]: price, vol, vega, half-spread of each out-of-the-money quote with a bid; else NaN."""
    discount = math.exp(-rate * years)
    for i in range(strike.size):
        out[0, i], out[1, i], out[2, i], out[3, i] = math.nan, math.nan, math.nan, math.nan
        if not (bid[i] > 0.0 and ask[i] >= bid[i]) or (strike[i] >= forward) != is_call[i]:
            continue
        mid = 0.5 * (bid[i] + ask[i])
        vol = quote_vol(american, is_call[i], mid, spot, forward, strike[i], years, rate, discount)
        if vol > 0.0:
            _, _, vega, _, price = black_greeks(is_call[i], spot, forward, strike[i], years, vol, discount)
            out[0, i], out[1, i], out[2, i], out[3, i] = price, vol, vega, 0.5 * (ask[i] - bid[i])


def smile_quotes(
    strike: Any, is_call: Any, years: Any, bid: Any, ask: Any, spot: float, rate: float, american: bool
) -> SmileQuotes:
    """The chain of one moment as SmileQuotes; arrays [n] in any order, $/share and ACT/365; rate continuous.

    Left out: quotes in the money, without a bid, crossed, without a volatility, expired, and expiries in which no
    strike has both sides quoted. DataError where nothing remains.
    """
    strike, years, bid, ask = (np.asarray(column, np.float64) for column in (strike, years, bid, ask))
    is_call = np.asarray(is_call, bool)
    parts = []
    for t in np.unique(years[years > 0.0]):
        rows = np.flatnonzero(years == t)
        rows = rows[np.argsort(strike[rows], kind="stable")]
        forward = _forward_of(strike[rows], is_call[rows], bid[rows], ask[rows], spot, t, rate, american)
        if not forward > 0.0:
            continue
        out = np.empty((4, len(rows)))
        quote_columns(american, strike[rows], is_call[rows], bid[rows], ask[rows], spot, forward, t, rate, out)
        kept = np.isfinite(out[1])
        n = int(kept.sum())
        price, vol, vega, half = out[:, kept]
        same = (np.full(n, t), np.full(n, forward), np.full(n, math.exp(-rate * t)))
        parts.append((*same, strike[rows][kept], is_call[rows][kept], price, half, vol, vega))
    if not parts:
        raise DataError("no expiry of the chain has a strike with both sides quoted and a volatility")
    return SmileQuotes(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _forward_of(
    strike: Any, is_call: Any, bid: Any, ask: Any, spot: float, years: float, rate: float, american: bool
) -> float:
    levels = np.unique(strike)
    side = {}
    for kind in (False, True):
        mid, ok = np.full(len(levels), np.nan), np.zeros(len(levels), bool)
        rows = np.flatnonzero((is_call == kind) & (bid > 0.0) & (ask >= bid))
        at = np.searchsorted(levels, strike[rows])
        mid[at], ok[at] = 0.5 * (bid[rows] + ask[rows]), True
        side[kind] = mid, ok
    (put, put_ok), (call, call_ok) = side[False], side[True]
    return float(expiry_forward(american, levels, put, call, put_ok, call_ok, spot, years, rate))


def forward_delta(quotes: SmileQuotes) -> Any:
    """|delta| of each quote on its forward, undiscounted, by its own volatility, float64[n]."""
    from core.pricing.black_scholes import european

    return np.abs(european(quotes.is_call, quotes.forward, quotes.strike, quotes.years, quotes.vol, 0.0).delta)
