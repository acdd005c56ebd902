"""Signal columns by hand: sessions before, IV and where it stands, indicators of the chosen bars, what is left out."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.features import sessions as se
from core.features.indicators import rsi_rows, rsi_state
from core.features.sessions import iv_rank_rows, rank_among
from core.features.signals import signal_columns
from core.features.surface import MONTH_YEARS, rank_and_percentile
from core.features.timeframes import Bars, frame_bars
from core.implied import implied_rows
from core.market.calendar import day_number, sessions_over
from core.market.store import frozen, market_of
from core.pricing.model_surface import vol_at
from core.quotes import shape_of
from core.types import BAD_MARKED, SIGNAL, SIGNALS, VIX, VIX3M
from strategies.view import view_of
from tests import markets
from tests.bars import FULL, HALF, day_bars
from tests.conftest import both_ways
from tests.markets import LEVEL, Tape, config_of, days_of, drawn_bars, drawn_chain, stored

NAN = np.nan


def session_closes(*closes):
    """Sessions of one quiet day each, two bars long: opening at the close before, closing at these."""
    bars = day_bars(*[9 * 60 + 40] * len(closes))
    close = np.repeat(np.array(closes, float), 2)
    opening = np.r_[close[0], close[:-1]]
    return bars._replace(open=opening, high=close + 1.0, low=close - 1.0, close=close)


def columns_of(bars, iv=NAN, vix=NAN, vix3m=NAN, **changes):
    n = len(bars.session)
    given = (np.broadcast_to(np.asarray(x, float), n).copy() for x in (iv, vix, vix3m))
    iv, vix, vix3m = given
    return signal_columns(bars, config_of(**changes).values, iv, np.ones(n, np.uint8), vix, vix3m)


# ---------------------------------------------------------------- the sessions before


def test_a_sessions_mean_close_is_of_the_sessions_before_it():
    bars = session_closes(10.0, 20.0, 30.0, 40.0)
    distance = columns_of(bars, strategy__signals__regime_sma_days=2)[SIGNAL["day_distance"]]
    assert np.isnan(distance[:4]).all()
    assert distance[4:].tolist() == pytest.approx([30 / 15 - 1, 30 / 15 - 1, 40 / 25 - 1, 40 / 25 - 1])


def test_realised_volatility_holds_nights_and_leaves_today_out():
    """Sessions that only jump at night, by 1 %: the volatility is that of 1 % a day. Today's fall is not in it."""
    opens = 100.0 * 1.01 ** np.arange(8.0)
    bars = session_closes(*opens)
    bars = bars._replace(open=bars.close.copy())
    bars.close[-1] = 50.0
    realised = columns_of(bars, strategy__signals__realised_days=5)[SIGNAL["realised"]]
    assert np.isnan(realised[:12]).all()  # the night before the first session is not known
    np.testing.assert_allclose(realised[12:], math.log(1.01) * math.sqrt(252), rtol=1e-12)


def test_a_session_varies_by_its_bars_from_the_opening_print():
    bars = session_closes(100.0, 100.0)
    bars.open[0], bars.close[0] = 99.0, 101.0
    sessions = se.session_bars(bars)
    assert sessions.day[0] == pytest.approx(math.log(101 / 99) ** 2 + math.log(100 / 101) ** 2)
    assert np.isnan(sessions.night[0]) and sessions.night[1] == 0.0
    assert (sessions.high[0], sessions.low[0], sessions.close[0]) == (101.0, 99.0, 100.0)


def test_the_range_of_sessions_is_a_share_of_the_last_close():
    bars = session_closes(*[100.0] * 18)
    found = columns_of(bars)[SIGNAL["day_atr"]]
    assert np.isnan(found[:30]).all()  # 14 ranges need 15 sessions
    np.testing.assert_allclose(found[30:], 2.0 / 100.0)


def test_an_evening_row_belongs_to_no_session_bar():
    bars = session_closes(10.0, 20.0, 30.0)
    bars.is_bar[3], bars.high[3], bars.close[3] = 0, 99.0, 98.0
    sessions = se.session_bars(bars)
    assert sessions.close.tolist() == [10.0, 20.0, 30.0] and sessions.high[1] == 21.0


# ---------------------------------------------------------------- where IV stands


@given(
    history=st.lists(st.one_of(st.integers(1, 30), st.none()), min_size=1, max_size=60),
    now=st.integers(0, 32),
    window=st.integers(1, 20),
)
def test_ranks_kept_in_order_are_those_of_the_definition(history, now, window):
    iv = np.array([NAN if x is None else x for x in history] + [now], float)
    out = np.empty((2, len(iv)))
    session = np.arange(len(iv), dtype=np.int32)
    iv_rank_rows(session, iv, np.ones(len(iv), np.uint8), window, np.empty(len(iv)), np.empty(window + 1), *out)
    known = iv[-1 - window : -1] if len(iv) > window else iv[:-1]
    known = known[~np.isnan(known)]
    expected = rank_and_percentile(known, float(now))[:2] if 2 * len(known) >= window else (NAN, NAN)
    np.testing.assert_array_equal(out[:, -1], expected)


@both_ways
def test_a_value_among_ordered_ones_by_hand(rank_among):
    ordered = np.array([10.0, 20.0, 20.0, 40.0, 7.0])
    assert rank_among(ordered, 4, 20.0) == pytest.approx((100 / 3, 25.0, 75.0))
    assert rank_among(ordered, 4, 50.0)[0] == pytest.approx(400 / 3)
    assert np.isnan(rank_among(ordered, 4, NAN)).all() and np.isnan(rank_among(ordered, 0, 1.0)).all()
    assert np.isnan(rank_among(np.full(3, 5.0), 3, 5.0)[0])


def test_today_is_not_in_its_own_window():
    session = np.repeat(np.arange(5, dtype=np.int32), 2)
    iv = np.array([1, 1, 2, 2, 3, 3, 4, 4, 99, 2.5])
    out = np.empty((2, 10))
    iv_rank_rows(session, iv, np.ones(10, np.uint8), 4, np.empty(5), np.empty(5), *out)
    assert out[:, -1].tolist() == [50.0, 50.0]  # among 1, 2, 3, 4, whatever today has seen
    assert np.isnan(out[:, :4]).all() and np.isfinite(out[1, 4:]).all()  # half of the window is two sessions


def test_a_session_counts_with_its_last_known_iv_and_without_one_not_at_all():
    session = np.repeat(np.arange(4, dtype=np.int32), 2)
    iv = np.array([1, 2, 5, NAN, NAN, NAN, 3, 3])
    out = np.empty((2, 8))
    fresh = np.ones(8, np.uint8)
    iv_rank_rows(session, iv, fresh, 4, np.empty(4), np.empty(5), *out)
    assert out[:, -1].tolist() == pytest.approx([100 / 3, 50.0])  # among 2 and 5
    iv[4:6] = 5.0  # carried from the session before: no reading of its own
    fresh[4:6] = 0
    iv_rank_rows(session, iv, fresh, 4, np.empty(4), np.empty(5), *out)
    assert out[:, -1].tolist() == pytest.approx([100 / 3, 50.0])


# ---------------------------------------------------------------- IV of three kinds of market


def test_a_modelled_market_is_read_on_its_surface_at_every_row():
    market = market_of(markets.market("modelled"))
    iv = implied_rows(market, np.ones(len(market.row), np.uint8))
    r = 100
    vix, vix3m = market.track[VIX, r], market.track[VIX3M, r]
    assert iv[r] == vol_at(shape_of(market.shape), 0.0, MONTH_YEARS, MONTH_YEARS, vix, vix3m)
    assert len(np.unique(iv)) > 1000


def test_end_of_day_chains_are_read_at_their_snapshot_and_never_extrapolated():
    store = markets.market("carried")
    iv = implied_rows(market_of(store), np.asarray(store.columns["is_bar"]).astype(np.uint8))
    day = store.columns["s_day"][store.columns["session"]]
    first = int(np.flatnonzero(np.asarray(store.columns["quoted"]))[0])
    assert np.isnan(iv[:first]).all() and iv[first] == pytest.approx(LEVEL, abs=2e-3)
    assert (iv[first : first + 78] == iv[first]).all()
    ahead = day_number("2025-12-19") - 30  # later, the last expiry is less than 30 days away
    assert np.isnan(iv[day > ahead + 1]).all() and np.isfinite(iv[first:][day[first:] < ahead]).all()


@pytest.fixture(scope="module")
def quoted(tmp_path_factory):
    """Two sessions quoted on every bar, with expiries on either side of 30 days."""
    sessions = sessions_over(day_number("2025-11-20"), day_number("2025-11-21"))
    bars = drawn_bars(sessions, 0.30, 5)
    days = days_of(("2025-11-28", "2025-12-19", "2025-12-26"))
    chain = drawn_chain(bars.ts, bars.close, days, np.arange(285, 316) * 100, "SPY", 6)
    tape = Tape("quoted", bars, chain, sessions)
    return market_of(stored(tape, tmp_path_factory.mktemp("quoted")))


def test_straddles_are_inverted_on_every_sixth_bar_of_a_session_and_its_last(quoted):
    iv = implied_rows(quoted, np.ones(156, np.uint8))
    np.testing.assert_allclose(iv, LEVEL, atol=1.5e-3)
    changes = np.flatnonzero(np.diff(iv) != 0.0) + 1
    read = {78 * s + i for s in range(2) for i in (*range(0, 78, 6), 77)}
    assert set(changes.tolist()) <= read and len(changes) > 20


def test_a_reading_that_fails_is_unknown_and_tried_again_on_the_next_bar(quoted):
    flag = quoted.q_flag.copy()
    for con in quoted.con:
        if con.right == 1 and quoted.exp[con.expiry].day != day_number("2025-11-28"):
            flag[con.cell_base - con.snap_first] = BAD_MARKED
    iv = implied_rows(quoted._replace(q_flag=frozen(flag)), np.ones(156, np.uint8))
    assert np.isnan(iv[0]) and np.isfinite(iv[1:]).all()


def test_without_an_expiry_beyond_30_days_the_volatility_is_unknown():
    store = markets.market("table")
    assert np.isnan(implied_rows(market_of(store), np.ones(len(store.columns["ts"]), np.uint8))).all()


# ---------------------------------------------------------------- all columns


def test_volatilities_stand_beside_each_other_and_nothing_unknown_is_filled_in():
    bars = session_closes(*100.0 * 1.01 ** np.arange(8.0))
    signal = columns_of(
        bars, iv=np.r_[np.full(14, 0.2), NAN, 0.1], vix=15.0, vix3m=np.r_[np.full(14, 20.0), NAN, 0.0],
        strategy__signals__realised_days=5,
    )  # fmt: skip
    assert (signal[SIGNAL["vix"]] == 15.0).all()
    assert signal[SIGNAL["term"], 13] == 0.75 and np.isnan(signal[SIGNAL["term"], 14:]).all()
    ratio = signal[SIGNAL["realised"], 13] / 0.2
    assert signal[SIGNAL["vol_ratio"], 13] == ratio and np.isnan(signal[SIGNAL["vol_ratio"], 14])
    assert np.isnan(signal[SIGNAL["turbulent"]]).all()  # the classifier by rules does not ask for it


@pytest.mark.parametrize("minutes", [5, 15, 60])
def test_indicators_are_of_the_chosen_bars_and_trends_of_every_timeframe(minutes):
    bars = day_bars(FULL, HALF, FULL, FULL, width=0.4)
    close = 200.0 + bars.close + 3.0 * np.sin(bars.close)
    bars = bars._replace(open=close.copy(), high=close + 0.4, low=close - 0.4, close=close)
    signal = columns_of(bars, strategy__signals__indicator_minutes=str(minutes))
    frame = frame_bars(bars, minutes)
    rsi = np.empty(len(frame.close))
    rsi_rows(rsi_state(), 14, frame.close, rsi)
    np.testing.assert_array_equal(signal[SIGNAL["rsi"]][frame.seen], rsi)
    assert np.isfinite(signal[[SIGNAL[f"trend_{m}"] for m in (5, 15, 60)], -1]).all()


def test_rows_of_the_evening_carry_what_the_last_bar_said():
    store = markets.market("carried")
    signal = view_of(market_of(store), store.columns, config_of().values, always=True).signal
    evening = np.flatnonzero(np.asarray(store.columns["is_bar"]) == 0)
    assert len(evening) > 20
    intraday = [SIGNAL[name] for name in ("consensus", "stretch_5", "rsi", "adx", "bb_width", "volume_ratio")]
    np.testing.assert_array_equal(signal[intraday][:, evening], signal[intraday][:, evening - 1])
    assert np.isfinite(signal[intraday][:, evening[5:]]).all()


def test_daily_prices_know_their_sessions_and_nothing_of_the_day():
    bars = day_bars(*[FULL] * 30, width=1.0)
    ends = (bars.minute == 575) | (bars.minute == FULL)
    start = np.arange(0, 60, 2, dtype=np.int32)
    daily = Bars(*(column[ends] for column in bars[:8]), start, bars.closing)
    daily = daily._replace(open=daily.open + 100.0, close=daily.close + 100.0)
    signal = columns_of(daily, iv=0.2)
    within = [name for name in SIGNALS[: SIGNAL["trend_strength"] + 1]]
    assert np.isnan(signal[: len(within)]).all()
    for name in ("day_distance", "day_atr"):
        assert np.isfinite(signal[SIGNAL[name], -1])


def test_a_view_without_readers_has_no_signals_and_one_that_asks_has_them_read_only():
    store = markets.market("modelled")
    market = market_of(store)
    bare = view_of(market, store.columns, config_of().values)
    assert bare.signal.shape == (len(SIGNALS), 0) and not bare.gate.any() and bare.gate.shape == (2, len(market.row))
    full = view_of(market, store.columns, config_of(strategy__filters__vix_max=18.0).values)
    assert full.signal.shape == (len(SIGNALS), len(market.row))
    np.testing.assert_array_equal(full.gate[0] > 0, full.signal[SIGNAL["vix"]] > 18.0)
    for array in (bare.signal, bare.gate, full.signal, full.gate):
        assert not array.flags.writeable


CHANGES = {  # setting -> a column that it moves
    "trend_fast": (5, "trend_5"),
    "trend_slow": (30, "trend_15"),
    "weight_5": (0.9, "consensus"),
    "weight_15": (0.9, "consensus"),
    "weight_60": (0.1, "consensus"),
    "indicator_minutes": ("15", "rsi"),
    "iv_window": (30, "iv_percentile"),
    "realised_days": (8, "realised"),
    "regime_sma_days": (5, "day_distance"),
    "regime_adx": (15.0, "regime"),
    "regime_distance": (0.0, "regime"),
    "regime_high_vix": (17.0, "regime"),
    "regime_crash_vix": (20.5, "regime"),
    "regime_confirm": (40, "regime"),
    "fuzzy": ("classic", "score"),
    "iv_measure": ("rank", "score"),
    **{f"fuzzy_{name}": (3.0, "score") for name in ("mtf", "iv", "regime", "premium", "rsi", "adx", "stoch")},
    **{f"fuzzy_{name}": (0.0, "score") for name in ("bbands", "sma")},
    "fuzzy_volume": (0.0, "confidence"),  # this market knows no volume
}


@pytest.fixture(scope="module")
def plain():
    store = markets.market("modelled")
    settings = {"strategy__signals__iv_window": 20, "strategy__signals__realised_days": 5}
    settings |= {"strategy__signals__regime_sma_days": 3, "strategy__signals__regime_confirm": 2}
    return store, settings, view_of(market_of(store), store.columns, config_of(**settings).values, always=True)


@pytest.mark.parametrize("name", CHANGES)
def test_every_setting_of_the_signals_moves_a_column(plain, name):
    store, settings, before = plain
    value, column = CHANGES[name]
    values = config_of(**{**settings, f"strategy__signals__{name}": value}).values
    after = view_of(market_of(store), store.columns, values, always=True)
    assert not np.array_equal(after.signal[SIGNAL[column]], before.signal[SIGNAL[column]], equal_nan=True)
