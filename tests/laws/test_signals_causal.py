"""Signals and gates know the past only: what a market says up to a row is the same whatever comes after it."""

import numpy as np
import pytest

from core.features import turbulence as turbulence_module
from core.features.hmm import RegimeModel
from core.market.store import frozen, market_of
from core.types import SIGNAL, VIX, VIX3M
from strategies.view import view_of
from tests import markets
from tests.markets import config_of, poisoned, stored, until

SETTINGS = config_of(
    strategy__signals__iv_window=20,
    strategy__signals__realised_days=5,
    strategy__signals__regime_sma_days=4,
    strategy__signals__regime_confirm=3,
    strategy__filters__avoid_regimes="crash,trend_down",
    strategy__filters__vix_max=19.0,
    strategy__filters__iv_rank_min=20.0,
    strategy__filters__stretch_max=3.0,
    strategy__filters__score_min=0.5,
    strategy__exits__leave_regimes="high_vol",
).values
ROW_COLUMNS = ("session", "minute", "is_bar", "open", "high", "low", "spot", "volume")


def seen(name):
    store = markets.market(name)
    return view_of(market_of(store), store.columns, SETTINGS)


def cut(market, columns, k):
    """A market's first k rows, as they stood then."""
    s = int(columns["session"][k - 1]) + 1
    part = {name: columns[name][:k] for name in ROW_COLUMNS} | {n: columns[n][:s] for n in ("s_start", "s_close")}
    track = frozen(np.ascontiguousarray(market.track[:, :k]))
    return market._replace(row=market.row[:k], track=track, ses=market.ses[:s]), part


def assert_same_past(full, part, k):
    np.testing.assert_array_equal(part.signal[:, :k], full.signal[:, :k])
    np.testing.assert_array_equal(part.gate[:, :k], full.gate[:, :k])


CUTS = (1, 2, 3, 11, 12, 13, 77, 78, 79, 80, 233, 400, 546, 547, 551, 552, 858, 899)


@pytest.mark.parametrize("name", ["table", "carried", "modelled"])
def test_a_market_cut_short_says_the_same_up_to_the_cut(name):
    store, full = markets.market(name), seen(name)
    later = (1500, 1501, 1511, 2017) if name != "table" else ()
    for k in (*CUTS, *later):
        assert_same_past(full, view_of(*cut(market_of(store), store.columns, k), SETTINGS), k)


def test_the_columns_compared_hold_values_before_the_last_cut():
    known = {name: np.isfinite(seen(name).signal[:, :1501]).any(axis=1) for name in ("table", "carried", "modelled")}
    silent = {name for name, at in SIGNAL.items() if not any(columns[at] for columns in known.values())}
    assert silent == {"term", "turbulent"}  # no VIX3M in these markets; the second below
    assert len(np.unique(seen("modelled").gate[0, :1501])) > 4


@pytest.mark.parametrize(("name", "k"), [("table", 431), ("carried", 800), ("carried", 1185)])
def test_a_store_made_before_the_future_says_the_same(name, k, tmp_path):
    ts = int(markets.market(name).columns["ts"][k - 1])
    part = stored(until(markets.tape(name), ts), tmp_path)
    assert_same_past(seen(name), view_of(market_of(part), part.columns, SETTINGS), k)


@pytest.mark.parametrize("name", ["table", "carried"])
def test_a_poisoned_future_changes_nothing_before_it(name, tmp_path):
    k = 500
    ts = int(markets.market(name).columns["ts"][k - 1])
    other = stored(poisoned(markets.tape(name), ts), tmp_path)
    wild = view_of(market_of(other), other.columns, SETTINGS)
    assert_same_past(seen(name), wild, k)
    assert not np.array_equal(wild.signal[:, k:], seen(name).signal[:, k:], equal_nan=True)


@pytest.mark.parametrize("k", [547, 560, 1500])
def test_a_poisoned_future_of_prices_and_vix_changes_nothing_before_it(k):
    store = markets.market("modelled")
    market, columns = market_of(store), dict(store.columns)
    for name in ("open", "high", "low", "spot"):
        columns[name] = np.r_[columns[name][:k], 3.0 * np.asarray(columns[name][k:])]
    track = market.track.copy()
    track[VIX, k:], track[VIX3M, k:] = 90.0, np.nan
    assert_same_past(seen("modelled"), view_of(market._replace(track=frozen(track)), columns, SETTINGS), k)


# ---------------------------------------------------------------- classic faults, one by one


def row_at(store, session, minute):
    columns = store.columns
    return int(np.flatnonzero((columns["session"] == session) & (columns["minute"] == minute))[0])


def test_a_60_minute_trend_at_10_05_is_that_of_the_bar_closed_the_day_before():
    store, signal = markets.market("modelled"), seen("modelled").signal
    for name in ("trend_60", "stretch_60", "trend_strength"):
        column = signal[SIGNAL[name]]
        yesterday = column[row_at(store, 14, 960)]
        assert (column[row_at(store, 15, 575) : row_at(store, 15, 630)] == yesterday).all()
        assert column[row_at(store, 15, 630)] != yesterday


def test_the_bar_that_is_still_forming_is_not_seen():
    store = markets.market("modelled")
    columns = dict(store.columns)
    at, close = row_at(store, 20, 645), row_at(store, 20, 690)
    columns["high"] = np.array(columns["high"])
    columns["high"][at] *= 1.05
    wild = view_of(market_of(store), columns, SETTINGS).signal
    for name, first in (("stretch_15", at), ("stretch_60", close)):
        same = wild[SIGNAL[name]] == seen("modelled").signal[SIGNAL[name]]
        assert same[at - 20 : first].all() and not same[first]


def test_the_iv_of_today_is_not_in_the_window_it_is_ranked_in():
    store = markets.market("modelled")
    market = market_of(store)
    r, first = row_at(store, 25, 800), row_at(store, 25, 575)
    track = market.track.copy()
    track[VIX, first:r] = 60.0
    wild = view_of(market._replace(track=frozen(track)), store.columns, SETTINGS).signal
    for name in ("iv_rank", "iv_percentile"):
        assert np.isfinite(wild[SIGNAL[name], r])
        assert wild[SIGNAL[name], r] == seen("modelled").signal[SIGNAL[name], r]


def test_volatility_and_means_of_sessions_leave_today_out():
    store = markets.market("modelled")
    columns = dict(store.columns)
    first, r = row_at(store, 25, 575), row_at(store, 25, 800)
    for name in ("spot", "high", "low"):
        columns[name] = np.array(columns[name])
        columns[name][first:r] *= 1.5
    wild = view_of(market_of(store), columns, SETTINGS).signal
    for name in ("realised", "day_atr", "day_distance", "vol_ratio"):
        assert wild[SIGNAL[name], r] == seen("modelled").signal[SIGNAL[name], r]


def test_turbulence_comes_from_returns_of_sessions_that_are_over(monkeypatch):
    def fit(returns, regimes=2):
        chain = np.array([[0.95, 0.05], [0.05, 0.95]])
        return RegimeModel(np.array([0.5, 0.5]), chain, np.zeros(2), returns.std() * np.array([0.5, 2.0]))

    monkeypatch.setattr(turbulence_module, "fit_regimes", fit)
    monkeypatch.setattr(turbulence_module, "FIRST_FIT", 10)
    store = markets.market("modelled")
    values = {**SETTINGS, "strategy.signals.classifier": "hmm", "strategy.signals.hmm_refit": 5}
    full = view_of(market_of(store), store.columns, values)
    turbulent = full.signal[SIGNAL["turbulent"]]
    assert np.isnan(turbulent[: 11 * 78]).all() and np.isfinite(turbulent[11 * 78 :]).all()
    for k in (860, 936, 1000, 1500):
        assert_same_past(full, view_of(*cut(market_of(store), store.columns, k), values), k)
