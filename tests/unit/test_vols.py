"""The volatilities a table keeps with its quotes give the quotes back."""

import numpy as np
from scipy.special import ndtr

from core.types import GOOD
from tests import markets


def black(is_call, spot, strike, years, vol):
    """Black's price without carry, $."""
    deviation = vol * np.sqrt(years)
    d1 = np.log(spot / strike) / deviation + deviation / 2
    call = spot * ndtr(d1) - strike * ndtr(d1 - deviation)
    return np.where(is_call, call, call - spot + strike)


def test_a_volatility_gives_its_mid_back_and_an_unusable_quote_has_none():
    c = markets.market("table").columns
    length = c["q_last"] - c["q_first"] + 1
    of = np.repeat(np.arange(len(length)), length)
    row = c["q_row"][np.arange(len(of)) - np.repeat(c["q_base"] - c["q_first"], length)]
    years = (c["e_ts"][c["c_expiry"][of]] - c["ts"][row]) / (365 * 86_400e9)
    mid = (c["q_bid"] + c["q_ask"]) / 200
    call, strike, spot = c["c_right"][of] == 1, c["c_strike"][of] / 100, c["spot"][row]
    worth = np.maximum(np.where(call, spot - strike, strike - spot), 0.0)
    usable = (c["q_flag"] == GOOD) & (years > 0) & (mid > worth)
    assert usable.sum() > 10_000 and (~usable).sum() > 10
    assert np.array_equal(np.isfinite(c["q_vol"]), usable)
    price = black(call, spot, strike, years, c["q_vol"].astype(float))
    assert np.abs(price - mid)[usable].max() < 1e-4


def test_a_market_that_quotes_no_bar_keeps_no_volatilities():
    assert "q_vol" not in markets.market("carried").columns
