"""Drawn 5-minute paths meet the day they were drawn for, to the last bit."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import DataError
from core.market.paths import (
    Paths,
    bar_extreme,
    bridge,
    build_paths,
    daily_law_of,
    fill_day_clock,
    session_clock,
    stretched,
)
from tests.conftest import both_ways

ROOT = Path(__file__).resolve().parents[2]


def some_days(sessions=8, seed=0, bars=78):
    """A made-up market: daily moves of 1 %, extremes a little beyond open and close."""
    rng = np.random.default_rng(seed)
    moves = 0.01 * rng.standard_normal(sessions)
    close = 200.0 * np.exp(np.cumsum(moves))
    before = np.concatenate(([200.0], close[:-1]))
    high = np.maximum(close, before) * (1.0 + 0.004 * rng.random(sessions))
    low = np.minimum(close, before) * (1.0 - 0.004 * rng.random(sessions))
    vix = 15.0 * np.exp(np.cumsum(-7.0 * moves + 0.04 * rng.standard_normal(sessions)))
    lengths = np.full(sessions, bars)
    lengths[sessions // 2] = 42
    return {
        "close": close,
        "high": high,
        "low": low,
        "vix": vix,
        "prev_close": 200.0,
        "prev_vix": 15.0,
        "bars_per_session": lengths,
    }


def bounds(days):
    ends = np.cumsum(days["bars_per_session"])
    return ends - days["bars_per_session"], ends


def assert_meets_its_days(paths, days):
    first, end = bounds(days)
    assert np.array_equal(np.maximum.reduceat(paths.high, first), days["high"])
    assert np.array_equal(np.minimum.reduceat(paths.low, first), days["low"])
    assert np.array_equal(paths.close[end - 1], days["close"])
    assert np.array_equal(paths.vix[end - 1], days["vix"])
    assert np.all(paths.low <= np.minimum(paths.open, paths.close))
    assert np.all(paths.high >= np.maximum(paths.open, paths.close))
    inside = np.ones(paths.close.size, dtype=bool)
    inside[first] = False
    assert np.array_equal(paths.open[inside], paths.close[:-1][inside[1:]])
    assert np.all(np.isfinite(paths.vix) & (paths.vix > 0.0))


def test_paths_meet_high_low_close_and_vix_exactly():
    days = some_days()
    for seed in range(3):
        assert_meets_its_days(build_paths(**days, seed=seed), days)


@settings(max_examples=25)
@given(
    st.floats(-0.15, 0.15),
    st.floats(0.0, 0.05),
    st.floats(0.0, 0.05),
    st.floats(-0.7, 0.7),
    st.integers(0, 10**9),
)
def test_any_day_is_met_even_one_that_never_trades_back_or_closes_at_its_high(move, above, below, vix_move, seed):
    close = 200.0 * np.exp(move)
    days = {
        "close": [close],
        "high": [close * (1.0 + above)],
        "low": [close * (1.0 - below)],
        "vix": [15.0 * np.exp(vix_move)],
        "prev_close": 200.0,
        "prev_vix": 15.0,
        "bars_per_session": [42],
    }
    assert_meets_its_days(build_paths(**days, seed=seed), days)


def test_same_seed_same_bytes_other_seed_other_path():
    days = some_days()
    one, again, other = (build_paths(**days, seed=s) for s in (3, 3, 4))
    assert all(a.tobytes() == b.tobytes() for a, b in zip(one, again, strict=True))
    assert not np.array_equal(one.close, other.close)


def test_extremes_fall_at_different_times_of_the_day():
    days = some_days(24)
    paths = build_paths(**days, seed=0)
    first, end = bounds(days)
    high_at = [int(np.argmax(paths.high[a:b])) for a, b in zip(first, end, strict=True)]
    assert len(set(high_at)) > 8


def test_vix_is_never_a_straight_line():
    days = some_days()
    paths = build_paths(**days, seed=0)
    for a, b in zip(*bounds(days), strict=True):
        assert np.abs(np.diff(np.log(paths.vix[a:b]), 2)).max() > 1e-3


def test_volatility_is_u_shaped_through_the_day():
    clock = session_clock(78)
    per_bar = np.diff(clock) * 78
    assert clock[0] == 0.0
    assert clock[-1] == 1.0
    assert per_bar[0] > 2.0
    assert per_bar[-1] > 2.0
    assert per_bar[39] < 0.8


def test_prior_beta_holds_until_the_sample_speaks_and_reads_the_past_only():
    days = some_days(400)
    order = ("close", "high", "low", "vix", "prev_close", "prev_vix")
    law = daily_law_of(*(days[k] for k in order))
    assert law.vix_beta[0] == pytest.approx(-5.5)
    assert -7.2 < law.vix_beta[-1] < -6.3  # the made-up market's is -7
    cut = daily_law_of(*(days[k] if np.ndim(days[k]) == 0 else days[k][:100] for k in order))
    assert all(a[:100].tobytes() == b.tobytes() for a, b in zip(law, cut, strict=True))


@both_ways
def test_bridge_ends_where_it_must_with_the_variance_of_its_clock(bridge):
    clock = np.array([0.0, 0.4, 0.7, 1.0])
    rng, ends, nodes = np.random.default_rng(1), [], np.empty(4)
    for _ in range(4000):
        bridge(rng, clock, 0.5, 2.0, nodes)
        ends.append(nodes.copy())
    ends = np.array(ends)
    assert np.all(ends[:, 3] == 0.5)
    assert ends[:, 1].mean() == pytest.approx(0.4 * 0.5, abs=0.06)
    assert ends[:, 1].var() == pytest.approx(4.0 * 0.4 * 0.6, rel=0.08)
    assert ends[:, 2].var() == pytest.approx(4.0 * 0.7 * 0.3, rel=0.08)


@both_ways
def test_maximum_of_a_bar_has_the_law_of_a_brownian_bridge(bar_extreme):
    rng = np.random.default_rng(2)
    tops = np.array([bar_extreme(rng, 0.0, 0.3, 1.0) for _ in range(4000)])
    assert tops.min() >= 0.3
    assert np.mean(tops > 1.0) == pytest.approx(np.exp(-2.0 * 1.0 * 0.7), abs=0.025)


@both_ways
def test_stretching_keeps_the_close_and_meets_the_extremes(stretched):
    assert stretched(0.02, 0.02, -0.01, 0.03, -0.02, 0.005) == pytest.approx(0.03)
    assert stretched(-0.01, 0.02, -0.01, 0.03, -0.02, 0.005) == pytest.approx(-0.02)
    assert stretched(0.005, 0.02, -0.01, 0.03, -0.02, 0.005) == 0.005
    assert stretched(0.005, 0.005, -0.01, 0.005, -0.02, 0.005) == 0.005


@both_ways
def test_day_clock_spends_the_night_before_the_first_bar(fill_day_clock):
    clock = np.empty(4)
    fill_day_clock(np.array([0.0, 0.5, 1.0]), 0.4, clock)
    assert clock == pytest.approx([0.0, 0.4, 0.7, 1.0])


@pytest.mark.skipif(os.environ.get("QMTF_NO_JIT") == "1", reason="everything is plain already")
def test_compiled_equals_plain_python(tmp_path):
    script = (
        "import sys, numpy as np\n"
        "from core.market.paths import build_paths\n"
        "from tests.unit.test_paths import some_days\n"
        "np.save(sys.argv[1], build_paths(**some_days(3), seed=7))\n"
    )
    file = tmp_path / "plain.npy"
    plain_python = {**os.environ, "QMTF_NO_JIT": "1"}
    subprocess.run([sys.executable, "-c", script, str(file)], cwd=ROOT, env=plain_python, check=True)
    assert np.load(file) == pytest.approx(np.array(build_paths(**some_days(3), seed=7)), rel=1e-9)


def test_no_sessions_no_bars():
    paths = build_paths([], [], [], [], 200.0, 15.0, [], 1)
    assert isinstance(paths, Paths)
    assert paths.close.size == 0


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("close", np.nan, "close of session 2 is nan"),
        ("vix", 0.0, "VIX of session 2 is 0.0"),
        ("high", 1.0, "session 2: close .* is outside low .* to high 1.0"),
        ("bars_per_session", 1, "session 2 has 1 bars; at least 2"),
    ],
)
def test_bad_daily_data_is_named(column, value, words):
    days = some_days(5)
    days[column][2] = value
    with pytest.raises(DataError, match=words):
        build_paths(**days, seed=1)


def test_a_missing_day_is_named():
    days = some_days(5)
    days["vix"] = days["vix"][:4]
    with pytest.raises(DataError, match=r"daily VIX has shape \(4,\)"):
        build_paths(**days, seed=1)
    with pytest.raises(DataError, match="previous close is nan"):
        build_paths(**{**some_days(5), "prev_close": np.nan}, seed=1)
