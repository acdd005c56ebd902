"""Raw SVI: it finds the slice that made the points, keeps its bounds, and follows real quotes."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.pricing.black_scholes import black_price
from core.pricing.svi import (
    SVI_FEW_POINTS,
    SVI_FLAT,
    SVI_NO_FORWARD,
    SVI_NO_POINTS,
    SVI_OK,
    fit_snapshot_slice,
    fit_svi,
    otm_quote_vols,
    parity_forward,
    svi_total_variance,
    svi_vol,
)
from tests.conftest import both_ways

SLICE = (0.0005, 0.04, -0.6, 0.01, 0.06)
YEARS = 30.0 / 365.0
K = np.linspace(-0.25, 0.12, 80)


def total_variance(params, k):
    return np.array([svi_total_variance(*params, x) for x in k])


@both_ways
def test_total_variance_at_its_lowest_point(svi_total_variance):
    # rho = 0: the minimum a + b sigma lies at m, and the wings rise with slope b.
    assert svi_total_variance(0.01, 0.1, 0.0, 0.2, 0.3, 0.2) == pytest.approx(0.04)
    assert svi_total_variance(0.0, 0.1, 0.0, 0.0, 3.0, 4.0) == pytest.approx(0.5)


def test_total_variance_and_vol_agree_with_values_computed_elsewhere(oracles):
    seen = 0
    for case in json.loads((oracles / "svi.json").read_text())["cases"]:
        i, expected = case["inputs"], case["expected"]
        if i["kind"] != "raw":
            continue
        seen += 1
        params, k = (i["a"], i["b"], i["rho"], i["m"], i["sigma"]), math.log(i["strike"] / i["forward"])
        assert svi_total_variance(*params, k) == pytest.approx(expected["total_variance"], abs=1e-12), case["id"]
        assert svi_vol(*params, k, i["T"]) == pytest.approx(expected["implied_vol"], abs=1e-10), case["id"]
    assert seen > 0


@both_ways
def test_the_fit_finds_the_slice_that_made_the_points(fit_svi):
    w = total_variance(SLICE, K)
    *params, rms, status = fit_svi(K, w, np.ones(K.size))
    assert status == SVI_OK
    assert rms < 1e-6
    assert total_variance(params, K) == pytest.approx(w, abs=2e-6)
    assert params == pytest.approx(SLICE, rel=0.02, abs=1e-4)


@given(
    st.floats(0.0, 0.02),
    st.floats(0.01, 0.3),
    st.floats(-0.9, 0.9),
    st.floats(-0.05, 0.05),
    st.floats(0.02, 0.3),
    st.randoms(use_true_random=False),
)
def test_the_fit_is_close_to_any_slice_whatever_the_order_of_points(a, b, rho, m, sigma, shuffler):
    k = K.copy()
    shuffler.shuffle(k)
    w = total_variance((a, b, rho, m, sigma), k)
    *params, rms, status = fit_svi(k, w, np.ones(k.size))
    assert status == SVI_OK
    assert rms <= 0.005 * np.std(w)
    assert_sound(params)


def assert_sound(params):
    a, b, rho, _, sigma = params
    assert b >= 0.0
    assert abs(rho) < 1.0
    assert sigma > 0.0
    assert a + b * sigma * math.sqrt(1.0 - rho * rho) >= -1e-12
    assert b * (1.0 + abs(rho)) <= 2.0 + 1e-9


@given(st.lists(st.tuples(st.floats(-0.5, 0.5), st.floats(1e-6, 0.5), st.floats(1e-3, 1e6)), max_size=12))
def test_any_points_at_all_give_a_sound_slice_or_nan(points):
    k, w, weight = (
        (np.array(column, dtype=float) for column in zip(*points, strict=True)) if points else [np.empty(0)] * 3
    )
    *params, rms, status = fit_svi(k, w, weight)
    if status == SVI_NO_POINTS:
        assert not points
        assert np.isnan(params).all()
        return
    assert rms >= 0.0
    assert_sound(params)
    assert status == SVI_OK or len(points) < 5 or np.std(k) < 1e-6


@both_ways
def test_few_points_give_a_plainer_slice_that_says_so(fit_svi):
    k = np.array([-0.1, -0.03, 0.02, 0.06])
    w = np.array([0.006, 0.004, 0.003, 0.0028])
    for count, expected in (
        (0, SVI_NO_POINTS),
        (1, SVI_FLAT),
        (2, SVI_FLAT),
        (3, SVI_FEW_POINTS),
        (4, SVI_FEW_POINTS),
    ):
        *params, _, status = fit_svi(k[:count], w[:count], np.ones(count))
        assert status == expected
        if count > 0:
            fitted = total_variance(params, k)
            assert np.all((fitted > 0.001) & (fitted < 0.012))
    assert fit_svi(k[:2], w[:2], np.array([1.0, 3.0]))[0] == pytest.approx(0.0045)


@both_ways
def test_points_that_are_nan_or_without_weight_change_nothing(fit_svi):
    w = total_variance(SLICE, K) * (1.0 + 0.01 * np.cos(40.0 * K))
    clean = fit_svi(K, w, np.ones(K.size))
    k2 = np.concatenate([K, [0.0, np.nan, 0.1, 0.1]])
    w2 = np.concatenate([w, [np.nan, 0.01, 0.5, -1.0]])
    weight2 = np.concatenate([np.ones(K.size), [1.0, 1.0, 0.0, 1.0]])
    assert fit_svi(k2, w2, weight2) == pytest.approx(clean, rel=1e-12)


def chain(forward=602.0, params=SLICE, years=YEARS, discount=0.996):
    """A chain quoted exactly on a slice, half-spread 2 cents, with its forward above spot 600."""
    strike = np.arange(520.0, 661.0, 2.0)
    vol = [svi_vol(*params, math.log(x / forward), years) for x in strike]
    put, call = (
        np.array([black_price(side, forward, x, years, v, discount) for x, v in zip(strike, vol, strict=True)])
        for side in (0, 1)
    )
    ok = np.ones(strike.size, dtype=np.bool_)
    half = np.full(strike.size, 0.02)
    return [strike, put, call, ok, ok.copy(), half, half.copy(), years, 600.0, discount]


@both_ways
def test_a_snapshot_gives_back_its_forward_and_its_smile(fit_snapshot_slice):
    quotes = chain()
    forward, *params, rms_vol, n_points, status = fit_snapshot_slice(*quotes)
    assert forward == pytest.approx(602.0, abs=1e-9)
    assert status == SVI_OK
    assert n_points > 30
    assert rms_vol < 2e-4
    assert svi_vol(*params, 0.0, YEARS) == pytest.approx(svi_vol(*SLICE, 0.0, YEARS), abs=1e-4)


@both_ways
def test_bad_quotes_are_never_read(fit_snapshot_slice):
    quotes = chain()
    quotes[3][5:9] = False
    quotes[4][40] = False
    clean = fit_snapshot_slice(*quotes)
    quotes[1][5:9] = 77.0
    quotes[2][40] = np.nan
    assert fit_snapshot_slice(*quotes) == clean


@both_ways
def test_a_snapshot_without_a_two_sided_strike_has_no_forward(fit_snapshot_slice):
    quotes = chain()
    quotes[4][:] = False
    forward, *rest, n_points, status = fit_snapshot_slice(*quotes)
    assert status == SVI_NO_FORWARD
    assert n_points == 0
    assert np.isnan([forward, *rest]).all()


@both_ways
def test_a_snapshot_at_expiry_has_no_slice(fit_snapshot_slice):
    assert fit_snapshot_slice(*chain()[:7], 0.0, 600.0, 1.0)[-1] == SVI_NO_POINTS
    assert fit_snapshot_slice(*chain()[:7], YEARS, math.nan, 1.0)[-1] == SVI_NO_POINTS


@both_ways
def test_one_wild_pair_does_not_move_the_forward(parity_forward):
    strike, put, call, put_ok, call_ok, _, _, _, spot, discount = chain()
    call[np.searchsorted(strike, 602.0)] += 0.8
    assert parity_forward(strike, put, call, put_ok, call_ok, spot, discount) == pytest.approx(602.0, abs=1e-9)


@both_ways
def test_a_zero_bid_measures_nothing(otm_quote_vols):
    quotes = chain()
    quotes[1][0], quotes[5][0] = 0.02, 0.02  # bid 0, ask 0.04
    vol, error, delta = otm_quote_vols(*quotes[:8], 602.0, 0.996)
    assert np.isnan([vol[0], error[0], delta[0]]).all()
    assert vol[30] > 0.0
    assert -0.5 < delta[30] < 0.0


def real_slices(kit, name, spot_column, rate):
    """Median error in half-spreads over |delta| .05 to .50 of every expiry 5 to 60 days out."""
    pd = pytest.importorskip("pandas")
    path = kit / name
    if not path.exists():
        pytest.skip(f"{name} is not in the kit")
    rows = pd.read_parquet(path, filters=[("dte", ">=", 5), ("dte", "<=", 60)])
    rows = rows[rows["date"].isin(sorted(rows["date"].unique())[::4])]
    rows = rows.assign(
        ok=(rows.ask > 0) & (rows.ask >= rows.bid) & ~((rows.bid == 0) & (rows.ask > 0.5)),
        mid=(rows.bid + rows.ask) / 2,
        half=(rows.ask - rows.bid) / 2,
    )
    medians = []
    for (day, expiration), group in rows.groupby(["date", "expiration"]):
        wide = group.pivot_table(index="strike", columns="type", values=["mid", "half", "ok"], aggfunc="first")
        wide["ok"] = wide["ok"].fillna(False)
        strike = wide.index.to_numpy(float)
        columns = [wide[c][t].to_numpy(float) for c in ("mid", "half") for t in ("put", "call")]
        ok = [wide["ok"][t].to_numpy(bool) for t in ("put", "call")]
        years = ((expiration - day).days - 15.0 / 1440.0) / 365.0  # quotes 16:15, expiry 16:00
        discount = math.exp(-rate * years)
        quotes = (strike, *columns[:2], *ok, *columns[2:], years)
        forward, *params, _, _, status = fit_snapshot_slice(*quotes, group[spot_column].iloc[0], discount)
        assert status == SVI_OK
        vol, error, delta = otm_quote_vols(*quotes, forward, discount)
        read = (np.abs(delta) >= 0.05) & (np.abs(delta) <= 0.5)
        fitted = np.sqrt(total_variance(params, np.log(strike[read] / forward)) / years)
        medians.append(np.median(np.abs(fitted - vol[read]) / error[read]))
    return np.array(medians)


@pytest.mark.parametrize(
    ("name", "spot_column", "rate"),
    [
        ("spy_chain_eod_2026.parquet", "underlying_implied", 0.04),
        ("spxw_chain_eod_2018.parquet", "underlying", 0.014),
    ],
)
def test_most_real_expiries_are_fitted_within_half_the_spread(kit, name, spot_column, rate):
    medians = real_slices(kit, name, spot_column, rate)
    assert medians.size >= 4
    assert np.mean(medians <= 1.0) >= 0.70
