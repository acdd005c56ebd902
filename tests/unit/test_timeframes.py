"""Bars of 15 and 60 minutes close at their time, at the session's close or late, and are not seen before."""

import numpy as np
import pytest

from core.errors import ConfigError
from core.features.timeframes import (
    Bars,
    close_bars,
    consensus_rows,
    first_step,
    frame_bars,
    frame_trend,
    frame_weights,
    last_closed,
    show_closed,
    trend_rows,
)
from core.types import OPEN_MINUTE
from tests.bars import FULL, HALF, day_bars
from tests.conftest import both_ways


def row_of(bars, session, hour, minute):
    return int(np.flatnonzero((bars.session == session) & (bars.minute == hour * 60 + minute))[0])


def shown(bars, minutes, value_of=lambda frame: frame.close):
    frame = frame_bars(bars, minutes)
    closed, out = np.empty(len(bars.session), np.int64), np.empty(len(bars.session))
    last_closed(frame.seen, first_step(bars), closed)
    show_closed(closed, value_of(frame), out)
    return out


@both_ways
def test_a_session_of_390_minutes_has_seven_hourly_bars_and_the_last_is_half_an_hour(close_bars):
    bars = day_bars(FULL, width=0.5)
    prices, seen = np.empty((4, 78)), np.empty(78, np.int64)
    count = close_bars(bars, 60, *prices, seen)
    high, low, close, volume = prices[:, :count]
    assert seen[:count].tolist() == [11, 23, 35, 47, 59, 71, 77]
    assert close.tolist() == [11, 23, 35, 47, 59, 71, 77]
    assert high[:2].tolist() == [11.5, 23.5] and low[:2].tolist() == [-0.5, 11.5]
    assert volume.tolist() == [12, 12, 12, 12, 12, 12, 6]


def test_quarter_hours_close_on_every_third_bar_and_five_minutes_on_every_one():
    bars = day_bars(FULL)
    assert frame_bars(bars, 15).seen.tolist() == list(range(2, 78, 3))
    assert frame_bars(bars, 5).seen.tolist() == list(range(78))


def test_an_early_close_closes_the_hour_it_cuts_short():
    frame = frame_bars(day_bars(HALF, FULL), 60)
    assert frame.seen[:5].tolist() == [11, 23, 35, 41, 42 + 11]
    assert frame.volume[3] == 6


def test_a_bar_whose_last_five_minutes_never_came_closes_on_the_next_bar():
    bars = day_bars(FULL, FULL, missing={(0, 630), (0, 960)})
    frame = frame_bars(bars, 60)
    assert frame.seen[0] == row_of(bars, 0, 10, 35) and frame.volume[0] == 11
    assert frame.seen[6] == row_of(bars, 1, 9, 35) and frame.volume[6] == 5  # the last hour of the day before


def test_a_60_minute_value_at_10_05_is_that_of_the_bar_closed_the_day_before():
    bars = day_bars(FULL, FULL)
    hourly = shown(bars, 60)
    for minute in (35, 65, 85):  # 09:35, 10:05, 10:25
        assert hourly[row_of(bars, 1, 9 + minute // 60, minute % 60)] == 77.0
    assert hourly[row_of(bars, 1, 10, 30)] == 78 + 11
    assert hourly[row_of(bars, 1, 11, 25)] == 78 + 11
    assert np.isnan(hourly[: row_of(bars, 0, 10, 30)]).all()


def test_an_unfinished_bar_is_not_seen_whatever_it_holds():
    bars, wild = day_bars(FULL), day_bars(FULL)
    at = row_of(bars, 0, 11, 0)
    wild.close[at], wild.high[at] = 1e6, 1e6
    for minutes, closes in ((15, at), (60, row_of(bars, 0, 11, 30))):
        np.testing.assert_array_equal(shown(wild, minutes)[:closes], shown(bars, minutes)[:closes])
        high = shown(wild, minutes, lambda frame: frame.high)
        assert high[closes] == 1e6 and high[closes - 1] < 1e6


def test_a_row_that_is_no_bar_carries_the_last_bars_values():
    bars = day_bars(FULL, FULL)
    bars.is_bar[77] = 0  # as if the session's close were an evening snapshot
    hourly = shown(bars, 60)
    assert hourly[77] == hourly[76] == 71.0
    assert hourly[78] == 76.0  # the half hour without its end is seen on the next bar


def test_daily_prices_are_no_bars_of_a_timeframe():
    bars = day_bars(FULL, FULL, FULL)
    ends = (bars.minute == OPEN_MINUTE + 5) | (bars.minute == FULL)
    daily = Bars(*(column[ends] for column in bars[:8]), np.array([0, 2, 4], np.int32), bars.closing)
    assert first_step(daily) == 6 and first_step(bars) == 1
    assert np.isnan(shown(daily, 5)).all()


@both_ways
def test_trend_and_stretch_of_a_steady_rise_by_hand(trend_rows):
    """Rising by 1 a bar, an average of n lies (n - 1) / 2 behind; the range of a bar is 10."""
    from core.features.indicators import atr_state, ema_state, window_state

    close = np.arange(60.0)
    out = np.empty((2, 60))
    states = (ema_state(), ema_state(), atr_state(), window_state(20))
    trend_rows(*states, 8, 21, close + 5, close - 5, close, *out)
    trend, stretch = out
    assert np.isnan(trend[:20]).all() and np.isnan(stretch[:19]).all()
    np.testing.assert_allclose(trend[20:], (10 - 3.5) / 10)
    np.testing.assert_allclose(stretch[19:], 9.5 / 10)


def test_a_trend_is_at_most_one_and_nothing_without_a_range():
    steep = frame_trend(frame_bars(day_bars(FULL, width=0.1), 5), 8, 21)
    assert steep[0, -1] == 1.0
    flat = day_bars(FULL)
    flat = flat._replace(high=np.ones(78), low=np.ones(78), close=np.ones(78))
    assert np.isnan(frame_trend(frame_bars(flat, 5), 8, 21)).all()


@both_ways
def test_the_consensus_is_the_weighted_mean_of_the_trends_in_use(consensus_rows):
    trend, out = np.array([[1.0, 1.0, -1.0], [1.0, -1.0, -1.0], [1.0, np.nan, -1.0]]), np.empty(3)
    consensus_rows(np.array([0.2, 0.3, 0.5]), trend, out)
    assert out[0] == 1.0 and np.isnan(out[1]) and out[2] == 0.0
    consensus_rows(np.array([0.2, 0.2, 0.0]), trend, out)
    assert out.tolist() == [1.0, 0.5, 0.0]


def test_weights_that_are_all_zero_are_refused():
    with pytest.raises(ConfigError, match="give one of them a weight"):
        frame_weights({f"strategy.signals.weight_{minutes}": 0.0 for minutes in (5, 15, 60)})
