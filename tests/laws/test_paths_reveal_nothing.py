"""What is visible at 10:00, 12:00 or 14:00 of a drawn day does not tell where the rest of it goes."""

import os

import exchange_calendars
import numpy as np
import pandas as pd
import pytest
from arch.data import sp500, vix

from core.market.paths import Paths, build_paths, daily_law_of

BARS_SEEN = {"10:00": 6, "12:00": 30, "14:00": 54}
FIRST, LAST = "2014-01-03", "2018-12-31"
VIX_BEFORE_FIRST = 14.23  # VIX close of 2014-01-02

compiled_only = pytest.mark.skipif(
    os.environ.get("QMTF_NO_JIT") == "1", reason="five years in plain Python take minutes"
)


@pytest.fixture(scope="module")
def daily():
    """The real sample, as keyword arguments of build_paths."""
    index = sp500.load()
    volatility = vix.load()
    index.index, volatility.index = pd.DatetimeIndex(index.index), pd.DatetimeIndex(volatility.index)
    before = index["Close"].shift(1)[FIRST]
    index = index.loc[FIRST:LAST] / 10.0
    calendar = exchange_calendars.get_calendar("XNYS", start="2014-01-01", end="2019-01-01")
    lengths = (calendar.closes - calendar.opens).reindex(index.index)
    return {
        "close": index["Close"].to_numpy(),
        "high": index["High"].to_numpy(),
        "low": index["Low"].to_numpy(),
        "vix": volatility["vix"].reindex(index.index).to_numpy(),
        "prev_close": before / 10.0,
        "prev_vix": VIX_BEFORE_FIRST,
        "bars_per_session": (lengths / pd.Timedelta(minutes=5)).to_numpy().astype(int),
    }


def before_each(daily, column):
    return np.concatenate(([daily[f"prev_{column}"]], daily[column][:-1]))


def session_bounds(daily):
    ends = np.cumsum(daily["bars_per_session"])
    return ends - daily["bars_per_session"], ends


def seen_and_rest(paths: Paths, daily, seen: int):
    """Everything visible after `seen` bars, and what the rest of the day does; columns over sessions long enough."""
    first, end = session_bounds(daily)
    use = daily["bars_per_session"] > seen
    first, end, last = first[use], end[use], first[use] + seen - 1
    close_before, vix_before = before_each(daily, "close")[use], before_each(daily, "vix")[use]
    beta = daily_law_of(*(daily[k] for k in ("close", "high", "low", "vix", "prev_close", "prev_vix"))).vix_beta[use]
    rows = first[:, None] + np.arange(seen)
    now, opened, vix_now = paths.close[last], paths.open[first], paths.vix[last]
    high, low = paths.high[rows].max(axis=1), paths.low[rows].min(axis=1)
    vix_half_hour_ago = paths.vix[last - 6] if seen > 6 else vix_before
    ret, vix_ret = np.log(now / close_before), np.log(vix_now / vix_before)
    visible = {
        "gap": np.log(opened / close_before),
        "return since the previous close": ret,
        "return since the open": np.log(now / opened),
        "return of the last bar": np.log(now / paths.open[last]),
        "place in the range": (now - low) / (high - low),
        "range": np.log(high / low),
        "distance to the high": np.log(high / now),
        "distance to the low": np.log(now / low),
        "realised volatility": np.log(paths.close[rows] / paths.open[rows]).std(axis=1),
        "VIX change in points": vix_now - vix_before,
        "VIX change in logs": vix_ret,
        "VIX change of the last half hour": np.log(vix_now / vix_half_hour_ago),
        "VIX change less beta times return": vix_ret - beta * ret,
        "VIX change plus 7.5 times return": vix_ret + 7.5 * ret,
    }
    rest = {
        "return": np.log(paths.close[end - 1] / now),
        "VIX points": paths.vix[end - 1] - vix_now,
        "log VIX": np.log(paths.vix[end - 1] / vix_now),
    }
    return visible, rest


def robust_t(x, y):
    """t of the slope of y on x, errors robust to heteroskedasticity and clustered by session.

    x, y: (seeds, sessions); with one seed this is White's t.
    """
    x, y = x - x.mean(), y - y.mean()
    slope = (x * y).sum() / (x * x).sum()
    scores = (x * (y - slope * x)).sum(axis=0)
    return slope * (x * x).sum() / np.sqrt((scores**2).sum())


def predictions(daily, seeds, change=lambda paths: paths):
    """{(time, visible, rest): (mean over seeds of each seed's t, t of all seeds together)}."""
    pairs = {}
    for seed in seeds:
        paths = change(build_paths(**daily, seed=seed))
        for time, seen in BARS_SEEN.items():
            visible, rest = seen_and_rest(paths, daily, seen)
            for x in visible:
                for y in rest:
                    pairs.setdefault((time, x, y), []).append((visible[x], rest[y]))
    return {key: _mean_and_pooled_t(np.array(drawn)) for key, drawn in pairs.items()}


def _mean_and_pooled_t(drawn):
    single = [robust_t(x[None], y[None]) for x, y in drawn]
    return np.mean(single), robust_t(drawn[:, 0], drawn[:, 1])


def beyond(t_by_key, limit):
    return {key: round(float(t), 2) for key, t in t_by_key.items() if not abs(t) < limit}


@compiled_only
def test_nothing_visible_predicts_the_rest_of_the_day(daily):
    found = predictions(daily, seeds=range(4))
    assert beyond({key: mean for key, (mean, _) in found.items()}, 3.0) == {}


@pytest.mark.slow
@compiled_only
def test_nothing_visible_predicts_the_rest_of_the_day_over_a_hundred_seeds(daily):
    found = predictions(daily, seeds=range(100))
    assert beyond({key: mean for key, (mean, _) in found.items()}, 3.0) == {}
    assert beyond({key: pooled for key, (_, pooled) in found.items()}, 3.0) == {}


@compiled_only
def test_a_straight_line_vix_would_be_caught(daily):
    def straight(paths):
        share = np.concatenate([np.arange(1, n + 1) / n for n in daily["bars_per_session"]])
        before, after = (np.repeat(v, daily["bars_per_session"]) for v in (before_each(daily, "vix"), daily["vix"]))
        return paths._replace(vix=before + share * (after - before))

    found = predictions(daily, seeds=range(1), change=straight)
    assert abs(found["12:00", "VIX change in logs", "log VIX"][0]) > 10.0


@compiled_only
def test_overnight_takes_its_share_of_the_variance_and_large_gaps_exist(daily):
    first, _ = session_bounds(daily)
    before = before_each(daily, "close")
    squares = np.square(np.log(daily["close"] / before)).sum()
    gaps = np.array([np.log(build_paths(**daily, seed=s).open[first] / before) for s in range(4)])
    share = np.square(gaps).sum(axis=1) / squares
    assert 0.30 < share.mean() < 0.40
    assert np.all((share > 0.28) & (share < 0.42)), share  # a seed's own share has an sd of .02
    assert np.all((np.abs(gaps) > 0.02).any(axis=1))


@compiled_only
def test_later_input_changes_no_earlier_bar(daily):
    daily = {k: v if np.ndim(v) == 0 else v[:300] for k, v in daily.items()}
    whole = build_paths(**daily, seed=1)
    first, _ = session_bounds(daily)
    for d in (1, 2, 137, 299):
        changed = {k: np.copy(v) for k, v in daily.items()}
        for column in ("close", "high", "low"):
            changed[column][d:] *= 1.07
        changed["vix"][d:] *= 1.5
        cut = {k: v if np.ndim(v) == 0 else v[:d] for k, v in daily.items()}
        for other in (build_paths(**changed, seed=1), build_paths(**cut, seed=1)):
            for ours, theirs in zip(whole, other, strict=True):
                assert ours[: first[d]].tobytes() == theirs[: first[d]].tobytes()
        assert not np.array_equal(whole.close[first[d] :], build_paths(**changed, seed=1).close[first[d] :])
