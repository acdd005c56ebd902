"""The modelled surface: no static arbitrage where it is used, honest two-sided quotes, a sane clock."""

import math
from pathlib import Path

import numpy as np
import pytest
import yaml

from core.pricing.black_scholes import black_price
from core.pricing.model_surface import (
    DAY_NS,
    HOUR_NS,
    delta_at,
    quote_rows,
    shape_from_mapping,
    spread_usd,
    variance_clock,
    vol_at,
    vols_at,
)
from tests.conftest import both_ways

PRESET = Path(__file__).resolve().parents[2] / "data/presets/model_surface.yaml"
SHAPE = shape_from_mapping(yaml.safe_load(PRESET.read_text(encoding="utf-8"))["shape"])
HOUR = 1 / 8760
LIVES = np.array([1, 2, 6.5, 24, 48, 72, 24 * 7, 24 * 14, 24 * 30, 24 * 45, 24 * 90, 24 * 180, 24 * 365]) * HOUR
LEVELS = [9.0, 12.0, 16.0, 23.0, 35.0, 55.0, 80.0]
# VIX3M over VIX: unknown, deeply inverted, flat, steep. A calm curve is steep, a crisis never is.
MARKETS = [(vix, math.nan) for vix in LEVELS]
MARKETS += [(vix, ratio * vix) for vix in LEVELS for ratio in (0.6, 0.85)]
MARKETS += [(vix, ratio * vix) for vix in (9.0, 16.0, 35.0) for ratio in (1.0, 1.2, 1.4)]


def total_deviation(k, years, vix, vix3m):
    n = len(k)
    out = np.empty(n)
    vols_at(SHAPE, k, np.full(n, years), np.full(n, years), np.full(n, vix), np.full(n, vix3m), out)
    return out * math.sqrt(years)


def quotes(kernel, n=1, is_call=False, strike=190.0, price_scale=1.0, rate=0.02, dividend_yield=0.018, **changed):
    market = {
        "spot": 200.0,
        "vix": 15.0,
        "vix3m": math.nan,
        "years": 30 / 365,
        "variance_years": 30 / 365,
        "minutes_since_open": 120.0,
        "day_move": 0.0,
    } | changed
    columns = {name: np.broadcast_to(np.asarray(v, float), n).copy() for name, v in market.items()}
    bid, ask = np.empty(n, np.int32), np.empty(n, np.int32)
    kernel(
        SHAPE,
        price_scale,
        is_call,
        strike,
        *(columns[name] for name in ("spot", "vix", "vix3m", "years", "variance_years")),
        rate,
        dividend_yield,
        columns["minutes_since_open"],
        columns["day_move"],
        bid,
        ask,
    )
    return bid, ask


@pytest.mark.parametrize(("vix", "vix3m"), MARKETS)
def test_no_butterfly_costs_less_than_nothing(vix, vix3m):
    for years in LIVES:
        atm = total_deviation(np.zeros(1), years, vix, vix3m)[0]
        k = np.linspace(-4, 4, 161) * atm
        w = total_deviation(k, years, vix, vix3m) ** 2
        slope = np.gradient(w, k)
        # Gatheral & Jacquier (2014): the risk-neutral density has the sign of this.
        density = (1 - k * slope / (2 * w)) ** 2 - slope**2 / 4 * (1 / w + 0.25) + np.gradient(slope, k) / 2
        assert density[2:-2].min() > -1e-3, (years, k[2 + density[2:-2].argmin()] / atm)


@pytest.mark.parametrize(("vix", "vix3m"), MARKETS)
def test_total_variance_grows_with_time_at_every_strike(vix, vix3m):
    lives = np.geomspace(HOUR, 1.0, 80)
    scale = total_deviation(np.zeros(1), 30 / 365, vix, vix3m)[0]
    k = np.linspace(-4, 4, 41) * scale
    deviations = np.array([total_deviation(k, t, vix, vix3m) for t in lives])
    atm = np.array([total_deviation(np.zeros(1), t, vix, vix3m) for t in lives])
    used = np.abs(k) <= 4 * atm
    growth = np.diff(deviations, axis=0)[used[1:] & used[:-1]]
    assert growth.min() > 0


@both_ways
def test_vols_stay_sane_far_outside_the_fitted_range(vol_at):
    for vix in (5.0, 9.0, 40.0, 90.0):
        for k in (-0.9, -0.3, 0.0, 0.3):
            vol = vol_at(SHAPE, k, 30 / 365, 30 / 365, vix, math.nan)
            assert 0.003 * vix < vol < 0.12 * vix + 0.9
        at_the_money = vol_at(SHAPE, 0.0, 30 / 365, 30 / 365, vix, math.nan) * 100 / vix
        assert 0.75 < at_the_money < 0.92
    assert vol_at(SHAPE, -0.05, 0.1, 0.1, 20.0, math.nan) > vol_at(SHAPE, 0.0, 0.1, 0.1, 20.0, math.nan)


@both_ways
def test_an_unknown_vix3m_falls_back_and_a_known_one_moves_long_expiries_only(vol_at):
    for years, least, most in ((30 / 365, 0.999, 1.001), (0.5, 1.05, 1.45)):
        low, high = (vol_at(SHAPE, 0.0, years, years, 16.0, v3) for v3 in (16.0, 20.0))
        assert least < high / low < most
        assert low < vol_at(SHAPE, 0.0, years, years, 16.0, math.nan) < high or years < 0.1


@both_ways
def test_nothing_known_gives_nan_never_a_vol(vol_at):
    assert math.isnan(vol_at(SHAPE, 0.0, 0.1, 0.1, math.nan, 20.0))
    assert math.isnan(vol_at(SHAPE, 0.0, 0.0, 0.0, 16.0, 20.0))
    assert math.isnan(vol_at(SHAPE, math.nan, 0.1, 0.1, 16.0, 20.0))


@both_ways
def test_delta_falls_with_the_strike_and_its_two_sides_differ_by_a_share(delta_at):
    strikes = np.arange(160.0, 241.0, 5.0)
    market = (200.0, 30 / 365, 30 / 365, 16.0, math.nan, 0.02, 0.018)
    calls = np.array([delta_at(SHAPE, True, strike, *market) for strike in strikes])
    puts = np.array([delta_at(SHAPE, False, strike, *market) for strike in strikes])
    assert (np.diff(calls) < 0).all()
    assert calls - puts == pytest.approx(math.exp(-0.018 * 30 / 365))
    expired = (0.0, 0.0, 16.0, math.nan, 0.02, 0.018)
    assert [delta_at(SHAPE, True, 200.0, spot, *expired) for spot in (199.0, 200.0, 201.0)] == [0, 0.5, 1]
    assert math.isnan(delta_at(SHAPE, True, 200.0, math.nan, *market[1:]))


@both_ways
def test_quotes_straddle_the_black_price_of_the_surface(quote_rows):
    for is_call in (False, True):
        for strike in (150.0, 180.0, 195.0, 200.0, 205.0, 230.0):
            bid, ask = quotes(quote_rows, is_call=is_call, strike=strike)
            years = 30 / 365
            discount = math.exp(-0.02 * years)
            forward = 200.0 * math.exp((0.02 - 0.018) * years)
            vol = vol_at(SHAPE, math.log(strike / forward), years, years, 15.0, math.nan)
            price = 100 * black_price(int(is_call), forward, strike, years, vol, discount)
            assert 0 <= bid[0] <= price + 1e-6 and price - 1e-6 <= ask[0] and ask[0] > bid[0]
            assert bid[0] == 0 or ask[0] - bid[0] < 2 + 2 * (price - bid[0] + 1)


@both_ways
def test_spreads_widen_with_delta_vix_a_large_move_and_the_open(quote_rows, spread_usd):
    calm = spread_usd(SHAPE, 1.0, -0.2, 0.2, 14.0, 120.0, 0.0)
    assert 0.01 <= calm < 0.10
    assert spread_usd(SHAPE, 1.0, -0.5, 0.2, 14.0, 120.0, 0.0) > calm
    assert spread_usd(SHAPE, 1.0, -0.2, 0.2, 35.0, 120.0, 0.0) > 2 * calm
    assert spread_usd(SHAPE, 1.0, -0.2, 0.2, 14.0, 120.0, -0.03) > 1.5 * calm
    assert spread_usd(SHAPE, 1.0, -0.2, 0.2, 14.0, 120.0, 0.03) > 1.5 * calm
    assert spread_usd(SHAPE, 1.0, -0.2, 0.2, 14.0, 1.0, 0.0) == pytest.approx(1.75 * calm)
    assert spread_usd(SHAPE, 1.0, -0.2, 0.2, 14.0, math.nan, math.nan) == pytest.approx(calm)
    assert spread_usd(SHAPE, 10.0, -0.2, 2.0, 14.0, 120.0, 0.0) == pytest.approx(10 * calm)
    bid, ask = quotes(quote_rows, n=3, minutes_since_open=[1.0, 10.0, 60.0], strike=200.0)
    assert (np.diff(ask - bid) <= 0).all() and ask[0] - bid[0] > ask[2] - bid[2]


@both_ways
def test_an_expired_option_is_worth_its_intrinsic_value(quote_rows):
    bid, ask = quotes(quote_rows, n=3, spot=[180.0, 190.0, 200.0], years=0.0, variance_years=0.0)
    mid = (bid + ask) / 2
    assert mid == pytest.approx([1000, 0, 0], abs=12) and (ask > bid).all() and (bid[1:] == 0).all()


@both_ways
def test_an_unknown_input_gives_no_quote_rather_than_a_free_option(quote_rows):
    for name in ("spot", "vix", "years", "variance_years"):
        bid, ask = quotes(quote_rows, **{name: math.nan})
        assert (bid[0], ask[0]) == (0, 0), name


def test_compiled_quotes_equal_plain_ones_to_the_cent():
    rng = np.random.default_rng(7)
    n = 300
    market = {
        "n": n,
        "spot": rng.uniform(180, 220, n),
        "vix": rng.uniform(9, 80, n),
        "vix3m": np.where(rng.random(n) < 0.5, np.nan, rng.uniform(9, 60, n)),
        "years": rng.uniform(0, 0.5, n),
        "variance_years": rng.uniform(0, 0.5, n),
        "day_move": rng.normal(0, 0.02, n),
        "minutes_since_open": rng.uniform(0, 390, n),
    }
    compiled, plain = quotes(quote_rows, **market), quotes(quote_rows.py_func, **market)
    np.testing.assert_array_equal(compiled, plain)
    assert (compiled[0] >= 0).all() and (compiled[1] > compiled[0]).all()


@both_ways
def test_a_week_of_variance_is_a_week_and_the_weekend_is_short(variance_clock):
    # Eleven sessions of two weeks and a day from a Monday, 14:30 to 21:00 UTC.
    monday = 17_532 * DAY_NS
    days = np.array([d for d in range(15) if d % 7 < 5])
    opens = monday + days * DAY_NS + 29 * HOUR_NS // 2
    closes = opens + 13 * HOUR_NS // 2
    closes[4] -= 3 * HOUR_NS  # an early close on the first Friday
    at = np.concatenate([opens[:6], closes[:6], opens[-2:-1] - HOUR_NS, closes[-1:] + 1])
    out = np.empty(len(at))
    variance_clock(SHAPE, at, opens, closes, out)
    unit = 7 / 365 / (5 + 2 * SHAPE.closed_day_weight)
    assert out[0] == 0
    assert np.diff(out[:5]) == pytest.approx(np.full(4, unit))
    weekend = out[5] - out[10]
    assert weekend == pytest.approx(unit * (SHAPE.overnight_weight + 2 * SHAPE.closed_day_weight))
    assert out[10] - out[4] == pytest.approx(unit * (SHAPE.morning_weight + 0.4 * SHAPE.midday_weight))
    assert out[11] - out[5] == pytest.approx(unit * (SHAPE.morning_weight + SHAPE.midday_weight))
    assert math.isnan(out[-1])
    whole = np.empty(2)
    closes[4] = opens[4] + 13 * HOUR_NS // 2
    variance_clock(SHAPE, np.array([closes[0], closes[5]]), opens, closes, whole)
    assert whole[1] - whole[0] == pytest.approx(7 / 365)


def test_a_preset_with_a_wrong_name_is_refused():
    values = SHAPE._asdict()
    with pytest.raises(KeyError, match="atm_9"):
        shape_from_mapping(values | {"atm_9": 1.0})
    with pytest.raises(KeyError, match="atm_0"):
        shape_from_mapping({name: v for name, v in values.items() if name != "atm_0"})
