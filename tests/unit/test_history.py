"""The embedded market: real days, drawn bars, listings as they existed, and labels that say modelled."""

import json
import os

import numpy as np
import pytest

from core.errors import DataError
from core.market.calendar import NS_MINUTE, day_number, day_text, sessions_between
from core.market.history import (
    DailyInput,
    build_history,
    monthly_rates,
    read_daily,
    read_dividends,
    trailing_dividends,
)
from core.market.modelled import (
    MONTHLY,
    QUARTER_END,
    Listing,
    clock_at,
    forward_volatility,
    nominal_days,
    premium_of,
    read_shape,
    spy_expiries,
    strikes_of,
)
from core.market.store import market_of
from core.quotes import leg_rows
from core.types import ASK, BID, FLAG, GOOD

compiled_only = pytest.mark.skipif(
    os.environ.get("QMTF_NO_JIT") == "1", reason="five years in plain Python take minutes"
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return build_history(tmp_path_factory.mktemp("market") / "history")


@pytest.fixture(scope="module")
def daily():
    return read_daily()[0]


def part(daily, first_day, count):
    first = int(np.searchsorted(daily.day, day_number(first_day)))
    columns = [column[first : first + count] for column in daily[:7]]
    return DailyInput(*columns, daily.close[first - 1], daily.vix[first - 1])


def days(texts):
    return [day_number(text) for text in texts]


# ---------------------------------------------------------------- the daily series


def test_the_daily_series_are_the_index_over_ten_and_vix(daily):
    assert day_text(daily.day[0]) == "2014-01-03" and day_text(daily.day[-1]) == "2018-12-31"
    assert len(daily.day) == 1257
    assert daily.close_before == pytest.approx(183.1980, abs=1e-4)  # 1831.98 on 2014-01-02
    at = int(np.searchsorted(daily.day, day_number("2018-02-05")))
    assert daily.close[at] == pytest.approx(264.894, abs=1e-3)
    assert daily.vix[at] == 37.32


def test_dividends_are_the_last_four_at_or_before_the_day():
    ex_days, amounts = read_dividends()
    eve, ex_date = day_number("2014-03-20"), day_number("2014-03-21")
    before, after = trailing_dividends(np.array([eve, ex_date]), ex_days, amounts)
    assert before == pytest.approx(0.694 + 0.839 + 0.838 + 0.980)
    assert after == pytest.approx(0.839 + 0.838 + 0.980 + 0.825)


def test_fewer_than_four_dividends_are_an_error():
    with pytest.raises(DataError, match="fewer than 4 dividends before 2013-06-30"):
        trailing_dividends(np.array([day_number("2013-06-30")]), *read_dividends())


def test_the_month_s_bill_rate_holds_from_its_first_day_and_the_last_one_is_carried():
    rates, carried = monthly_rates(np.array(days(["2018-10-31", "2018-11-01", "2018-12-31"])))
    assert rates == pytest.approx([12 * np.log(1.0019), 12 * np.log(1.0018), 12 * np.log(1.0018)])
    assert carried == 1


# ---------------------------------------------------------------- listings


@pytest.fixture(scope="module")
def calendar():
    return sessions_between(day_number("2014-01-02"), day_number("2019-06-28"))


def expiry_days(calendar, **kinds):
    return {day_text(day) for day in spy_expiries(calendar, int(calendar.day[-1]), **kinds).day}


def test_monthlies_are_third_fridays_and_good_friday_moves_one_to_thursday(calendar):
    monthly = expiry_days(calendar, listings=(Listing(MONTHLY, 182, None, 0.6, 1.15),))
    assert {"2014-01-17", "2014-02-21", "2014-03-21", "2014-04-17", "2014-05-16"} <= monthly
    assert "2014-04-18" not in monthly
    assert sum(day.startswith("2016") for day in monthly) == 12


def test_quarter_ends_are_the_last_session_of_the_quarter(calendar):
    quarters = expiry_days(calendar, listings=(Listing(QUARTER_END, 182, None, 0.6, 1.15),))
    assert {"2014-03-31", "2014-06-30", "2016-12-30", "2017-09-29", "2018-03-29"} <= quarters


def test_wednesdays_and_mondays_begin_when_they_were_launched(calendar):
    every = expiry_days(calendar)
    wednesdays = sorted(d for d in every if (day_number(d) + 3) % 7 == 2 and d[5:] not in ("12-31", "09-30"))
    assert next(d for d in wednesdays if d >= "2016-07-01") == "2016-08-31"
    mondays = sorted(d for d in every if (day_number(d) + 3) % 7 == 0)
    assert next(d for d in mondays if d >= "2017-12-01") == "2018-02-26"
    assert "2018-02-20" in every  # Presidents' Day moves the first Monday to Tuesday
    assert "2018-07-03" in every and "2018-07-04" not in every  # Independence Day moves a Wednesday back
    assert "2018-05-29" in every and "2018-05-28" not in every  # Memorial Day moves a Monday on


def test_a_new_family_is_not_listed_before_the_session_before_its_first_expiry(calendar):
    expiries = spy_expiries(calendar, int(calendar.day[-1]))
    listed = {day_text(d): day_text(l) for d, l in zip(expiries.day, expiries.listed, strict=True)}
    assert listed["2016-09-07"] == "2016-08-30" and listed["2016-08-31"] == "2016-08-30"
    assert listed["2018-02-26"] == "2018-02-16"
    assert listed["2014-07-11"] == "2014-05-29"  # a Friday is listed 43 days ahead, on a Thursday


def test_an_expiry_day_that_two_families_share_is_listed_once(calendar):
    expiries = spy_expiries(calendar, int(calendar.day[-1]))
    assert len(np.unique(expiries.day)) == len(expiries.day)
    at = int(np.searchsorted(expiries.day, day_number("2014-06-20")))
    assert expiries.listed[at] == day_number("2014-06-20") - 182 and expiries.low[at] == 0.60


def test_nothing_listed_after_the_last_day_is_there(calendar):
    last = day_number("2014-02-03")
    expiries = spy_expiries(calendar, last)
    assert expiries.listed.max() <= last < expiries.day.max()


def test_strikes_are_listed_once_the_range_around_a_close_reaches_them():
    strikes, since = strikes_of(np.array([100.0, 104.0, 96.0]), 0.75, 1.12)
    assert strikes[0] == 7200 and strikes[-1] == 11600 and (np.diff(strikes) == 100).all()
    first = dict(zip((strikes // 100).tolist(), since.tolist(), strict=True))
    assert first[75] == first[112] == 0
    assert first[113] == first[116] == 1
    assert first[72] == first[74] == 2


def test_third_fridays_fall_on_the_15th_to_the_21st():
    monthly = nominal_days(Listing(MONTHLY, 1, None, 0.5, 2.0), day_number("2015-01-01"), day_number("2015-12-31"))
    assert [day_text(d)[5:] for d in monthly[:5]] == ["01-16", "02-20", "03-20", "04-17", "05-15"]


# ---------------------------------------------------------------- the store


@compiled_only
def test_the_market_meets_every_real_day(whole, daily):
    c = whole.columns
    starts, ends = c["s_start"], c["s_end"]
    assert np.array_equal(c["s_settle"], daily.close) and np.array_equal(c["spot"][ends - 1], daily.close)
    assert np.array_equal(np.maximum.reduceat(c["high"], starts), daily.high)
    assert np.array_equal(np.minimum.reduceat(c["low"], starts), daily.low)
    assert np.array_equal(c["vix"][ends - 1], daily.vix)


@compiled_only
def test_bars_are_stamped_at_their_close_and_early_closes_are_short(whole):
    c = whole.columns
    bars = c["s_end"] - c["s_start"]
    short = {day_text(d) for d in c["s_day"][bars == 42]}
    assert set(bars.tolist()) == {42, 78} and {"2014-07-03", "2018-12-24"} <= short
    assert (c["minute"][c["s_start"]] == 575).all() and np.array_equal(c["minute"][c["s_end"] - 1], c["s_close"])
    within = np.diff(c["session"]) == 0
    assert (np.diff(c["ts"])[within] == 5 * NS_MINUTE).all()
    assert (c["since"] == c["minute"] - 570.0).all()


@compiled_only
def test_moves_and_yields_rest_on_the_last_close(whole, daily):
    c = whole.columns
    before = np.concatenate(([daily.close_before], daily.close[:-1]))
    assert np.array_equal(c["move"], c["spot"] / before[c["session"]] - 1.0)
    assert np.array_equal(c["s_dividend_yield"], daily.dividend / before)


@compiled_only
def test_every_row_is_tradable_at_modelled_quotes(whole):
    m = market_of(whole)
    assert m.row.tradable.all() and (m.row.snap == -1).all()
    quote = np.zeros((3, 78), np.int32)
    x = int(np.searchsorted(m.exp.day, day_number("2016-09-16")))
    put = int(m.exp.put_lo[x] + np.searchsorted(m.con.strike[m.exp.put_lo[x] : m.exp.put_hi[x]], 21000))
    s = int(np.searchsorted(m.ses.day, day_number("2016-08-15")))
    leg_rows(m, put, int(m.ses.start[s]), int(m.ses.end[s]), quote)
    assert (quote[FLAG] == GOOD).all() and (quote[BID] > 0).all() and (quote[ASK] > quote[BID]).all()


@compiled_only
def test_contracts_are_sorted_and_belong_to_their_expiry(whole):
    c = whole.columns
    key = (c["c_expiry"] * 2 + c["c_right"].astype(np.int64)) * 10**6 + c["c_strike"]
    assert (np.diff(key) > 0).all() and len(key) < 150_000
    for low, high, right in (("e_put_lo", "e_put_hi", 0), ("e_call_lo", "e_call_hi", 1)):
        for x in range(0, len(c["e_day"]), 29):
            inside = slice(c[low][x], c[high][x])
            assert (c["c_expiry"][inside] == x).all() and (c["c_right"][inside] == right).all()
    assert (c["c_first"] >= c["e_first"][c["c_expiry"]]).all()


@compiled_only
def test_expiries_end_at_their_own_close_and_the_clock_runs_with_them(whole):
    c = whole.columns
    inside = c["e_session"] >= 0
    assert np.array_equal(c["e_ts"][inside], c["ts"][c["s_end"][c["e_session"][inside]] - 1])
    assert np.allclose(c["e_clock"][inside], c["clock"][c["s_end"][c["e_session"][inside]] - 1], atol=1e-12)
    assert (np.diff(c["clock"]) > 0).all() and (c["e_clock"][~inside] > c["clock"][-1]).all()
    assert (c["e_day"][~inside] > c["s_day"][-1]).all()


@compiled_only
def test_a_third_of_the_variance_passes_overnight_and_large_gaps_exist(whole):
    report = json.loads((whole.path / "quality.json").read_text(encoding="utf-8"))
    assert 0.30 < report["drawn"]["overnight_share_of_variance"] < 0.40
    assert report["drawn"]["gaps_above_2_percent"] > 0
    assert report["sessions_with_a_carried_rate"] == 19 and report["index_days_without_vix"] == 0


@compiled_only
def test_the_manifest_says_modelled_and_holds_the_surface_s_numbers(whole):
    assert whole.modelled
    assert whole.manifest["quotes"] == "MODELLED QUOTES ON REAL INDEX AND VIX CLOSES"
    assert whole.manifest["shape"] == read_shape()._asdict()
    assert "arch" in whole.manifest["source"]["daily"] and whole.manifest["seed"] == 7


@compiled_only
def test_the_surface_pays_little_over_what_is_realised(whole):
    """With ATM near .83 VIX the mean premium of 2014-2018 is small; a surface at .92 VIX would pay two points."""
    premium = premium_of(whole)
    assert premium["mean"] == pytest.approx(premium["implied_mean"] - premium["realised_mean"])
    assert abs(premium["mean"]) < 0.015 and premium["sessions"] > 1200


def test_same_seed_same_bytes_other_seed_other_bytes(daily, tmp_path):
    few = part(daily, "2016-06-20", 4)
    stores = [build_history(tmp_path / str(k), seed, few) for k, seed in enumerate((7, 7, 8))]
    assert stores[0].hash == stores[1].hash != stores[2].hash


def test_a_missing_session_is_named(daily, tmp_path):
    few = part(daily, "2016-06-20", 4)
    holed = few._replace(**{name: np.delete(getattr(few, name), 1) for name in DailyInput._fields[:7]})
    with pytest.raises(DataError, match="differ first on 2016-06-21"):
        build_history(tmp_path / "history", 7, holed)
    assert not (tmp_path / "history").exists()


# ---------------------------------------------------------------- premium


def test_forward_volatility_looks_at_the_thirty_days_that_follow():
    """Alternating moves of 1 % are 15.87 % a year; the last thirty days have no future and are unknown."""
    session_days = np.arange(0, 100)
    closes = 100.0 * np.exp(0.01 * (np.arange(100) % 2))
    realised = forward_volatility(session_days, closes)
    assert realised[:70] == pytest.approx(0.01 * np.sqrt(252.0))
    assert np.isnan(realised[70:]).all()


def test_forward_volatility_does_not_count_the_day_s_own_move():
    closes = np.full(60, 100.0)
    closes[10:] = 110.0
    realised = forward_volatility(np.arange(60), closes)
    assert realised[9] > 0.0 and realised[10] == 0.0


def test_the_clock_of_a_week_is_seven_days_and_a_holiday_s_week_is_shorter(calendar):
    clock = clock_at(read_shape(), calendar, calendar.close_ns[[1, 6, 11, 15]])  # Fridays of January 2014
    weeks = np.diff(clock) * 365.0
    assert weeks[:2] == pytest.approx([7.0, 7.0])
    assert weeks[2] == pytest.approx(7.0 * (4.0 + 3 * 0.1) / 5.2)  # Martin Luther King's day is a closed day
