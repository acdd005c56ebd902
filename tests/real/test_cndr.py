"""The replay of the Cboe iron condor index on real days: as near as required, on the level too, and worked by hand."""

import contextlib
import io
import json
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from core.config import load
from core.features.timeframes import bars_of, first_step
from core.market.calendar import day_number, day_text, sessions_between
from core.market.daily_model import daily_series, read_daily_files, third_fridays
from core.types import Reason
from scripts import cndr_full as beside
from scripts import validate_cndr as cndr

NEEDED = ("spx_daily.parquet", "spy_daily.parquet", "vol_indices_daily.parquet", "rates_daily.parquet")
MONTHLY = "cboe_strategy_indices_monthly.parquet"


def run(*arguments):
    """(exit code, stdout, stderr) of the script, in this process."""
    out, error = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
        code = cndr.main([str(a) for a in arguments])
    return code, out.getvalue(), error.getvalue()


@pytest.fixture(scope="module")
def folder(kit):
    absent = [name for name in (*NEEDED, "spy_dividends.csv", cndr.INDEX_FILE) if not (kit / name).exists()]
    if absent:
        pytest.skip(f"{kit} has no {', '.join(absent)}")
    return kit


@pytest.fixture(scope="module")
def result(folder):
    code, out, error = run("--data", folder, "--json")
    if code == 3 and "monthly expiries" in error:
        pytest.skip(error.strip())
    assert code == 0, error
    return json.loads(out)


@pytest.fixture(scope="module")
def rolls(result, folder, tmp_path_factory):
    files = read_daily_files(folder)
    index = cndr.read_index(folder / cndr.INDEX_FILE)
    return cndr.replay(files, *cndr.span(index, files, None, None), tmp_path_factory.mktemp("cndr")).rolls


@pytest.mark.parametrize("name", list(cndr.FIGURES))
def test_the_replay_is_as_near_to_the_index_as_required(result, name):
    low, high, _ = cndr.FIGURES[name]
    assert low <= result[name] <= high
    assert result["checks"][name] is True


def test_a_condor_given_away_correlates_as_well_but_misses_the_level(result):
    null = result["null"]
    assert null["correlation"] > result["correlation"] - 0.02
    assert null["mean_difference"] < -0.05
    assert null["credit_ratio"] == 0.0
    assert result["checks"]["null_fails_the_level"] is True


def test_it_stops_at_the_last_complete_roll_and_says_so(result, folder):
    days = pd.read_csv(folder / cndr.INDEX_FILE)["date"]
    assert result["end"] <= days.iloc[-1]
    assert any("last complete roll" in note and result["end"] in note for note in result["notes"])
    assert any("MODELLED" in note for note in result["notes"])


def test_every_condor_is_sold_on_a_monthly_expiry_and_settles_on_the_next(rolls):
    calendar = sessions_between(rolls[0].sold - 10, rolls[-1].settled + 10)
    expected = third_fridays(calendar, rolls[0].sold, rolls[-1].settled)
    assert [roll.sold for roll in rolls] == expected[:-1].tolist()
    assert [roll.settled for roll in rolls] == expected[1:].tolist()


def test_payoffs_follow_from_the_opening_quotation_of_the_raw_files(rolls, folder):
    spx = pd.read_parquet(folder / "spx_daily.parquet").set_index("date")["close"]
    spy = pd.read_parquet(folder / "spy_daily.parquet").set_index("date")
    paid = pd.read_csv(folder / "spy_dividends.csv", parse_dates=["date"]).set_index("date")["dividend"]
    for roll in rolls:
        day = pd.Timestamp(day_text(roll.settled))
        eve = spx.index[spx.index.get_loc(day) - 1]
        opening = spx[eve] * (spy["open"][day] + paid.get(day, 0.0)) / spy["close"][eve]
        long_put, short_put, short_call, long_call = roll.strikes
        loss = np.clip(short_put - opening, 0, short_put - long_put)
        loss += np.clip(opening - short_call, 0, long_call - short_call)
        assert roll.payoff == pytest.approx(loss, abs=0.011), day
        assert roll.collateral == 10 * max(short_put - long_put, long_call - short_call)
        assert roll.credit == pytest.approx(np.dot(roll.prices, (-1, 1, 1, -1)), abs=1e-9)


def test_the_compounded_level_is_that_of_the_rolls(folder, rolls, tmp_path):
    files = read_daily_files(folder)
    rep = cndr.replay(files, rolls[0].sold, rolls[8].settled, tmp_path)
    held = [1.0 + (roll.credit - roll.payoff) / roll.collateral + roll.bills for roll in rep.rolls]
    free = [1.0 - roll.payoff / roll.collateral + roll.bills for roll in rep.rolls]
    # The last level holds what the rolls earned and the afternoon of the condor sold on the last day.
    assert rep.level[-1] == pytest.approx(np.prod(held), rel=0.005)
    assert rep.null[-1] == pytest.approx(np.prod(free), rel=0.02)
    assert np.isfinite(rep.level).all()


def test_month_ends_before_vix3m_are_compared_with_a_labelled_estimate(folder):
    if not (folder / MONTHLY).exists():
        pytest.skip(f"{folder} has no {MONTHLY}")
    code, out, _ = run(
        "--data", folder, "--index", folder / MONTHLY, "--start", "2008-01-01", "--end", "2010-12-31", "--json"
    )
    found = json.loads(out)
    assert code == 0
    assert found["credit_ratio"] is None and found["daily_correlation"] is None
    assert "credit_ratio" not in found["checks"]
    assert any("VIX3M is missing" in note and "ESTIMATED" in note for note in found["notes"])
    assert found["checks"]["null_fails_the_level"] is True


def test_bad_input_is_one_line_with_the_exit_code_of_its_kind(folder, tmp_path):
    foreign = tmp_path / "index.csv"
    foreign.write_text("date,level\n2018-01-02,1.0\n")
    broken = tmp_path / "broken.parquet"
    broken.write_bytes(b"PAR1 and no more")
    cases = [
        (2, "--data", [folder, "--start", "soon"]),
        (2, "--bogus", []),
        (3, "--data", [tmp_path / "nowhere"]),
        (3, "--data", [tmp_path]),
        (3, "--data", [folder, "--start", "1901-01-01"]),
        (3, "--data", [folder, "--index", foreign]),
        (3, "--data", [folder, "--index", broken]),
        (3, "--data", [folder, "--index", tmp_path / "none.csv"]),
    ]
    for expected, first, rest in cases:
        code, out, error = run(first, *rest)
        assert code == expected, (rest, error)
        assert out == "" and len(error.splitlines()) == 1, error


def test_monthly_expiries_move_to_thursday_before_good_friday():
    calendar = sessions_between(day_number("2019-01-01"), day_number("2022-12-31"))
    days = third_fridays(calendar, day_number("2019-03-15"), day_number("2022-05-20"))
    found = [day_text(day) for day in days]
    assert found[:3] == ["2019-03-15", "2019-04-18", "2019-05-17"]
    assert found[-2:] == ["2022-04-14", "2022-05-20"]
    assert len(found) == 39


def test_a_copy_of_the_index_is_perfectly_like_it():
    index = np.array([0.01, -0.03, 0.012, 0.004])
    same = cndr.likeness(index, index)
    assert same["correlation"] == pytest.approx(1.0)
    assert same["beta"] == pytest.approx(1.0)
    assert same["mean_difference"] == same["rmse"] == 0.0
    richer = cndr.likeness(index + 0.001, index)
    assert richer["mean_difference"] == pytest.approx(0.012)
    assert richer["rmse"] == pytest.approx(0.001)


# ---------------------------------------------------------------- the full strategy on the same rolls


@pytest.fixture(scope="module")
def both(result, folder):
    """The result of --full."""
    code, out, error = run("--data", folder, "--full", "--json")
    assert code == 0, error
    return json.loads(out)


@pytest.fixture(scope="module")
def warm(rolls, folder, tmp_path_factory):
    """The market of six rolls with a year before them."""
    six = rolls[10:16]
    return six, beside.warm_store(read_daily_files(folder), six, tmp_path_factory.mktemp("warm"), "warm", False)


def mechanical(**changes):
    config = load(preset="cndr", sets=cndr.SETTINGS, user_file=cndr.PROJECT / "no-user-settings.py")
    return config.with_values("test", strategy__size__contracts=beside.MOST_CONTRACTS, **changes)


def test_the_full_strategy_stands_beside_figures_that_do_not_change(both, result):
    assert {name: value for name, value in both.items() if name != "full"} == result
    assert list(both)[:-1] == list(result)


def test_every_roll_is_sold_or_skipped_for_a_reason(both, rolls):
    parts = [both["full"][name] for name in ("in_sample", "out_of_sample")]
    for part in parts:
        full = part["full"]
        assert full["sold"] + sum(full["skipped"].values()) == full["rolls"] == part["mechanical"]["sold"]
        assert 0 < full["effective_trades"] <= full["sold"]
        assert sum(full["left_early"].values()) <= full["sold"]
    assert [part["full"]["rolls"] for part in parts] == [round(0.6 * len(rolls)), len(rolls) - round(0.6 * len(rolls))]
    assert parts[0]["end"] <= parts[1]["start"]


def test_the_mechanical_return_is_that_of_the_rolls(both, rolls):
    part = rolls[: both["full"]["in_sample"]["mechanical"]["rolls"]]
    grown = np.prod([1.0 + (roll.credit - roll.payoff) / roll.collateral + roll.bills for roll in part])
    assert both["full"]["in_sample"]["mechanical"]["annual_return"] == pytest.approx(grown ** (12 / len(part)) - 1.0)


def test_what_cannot_act_is_said_and_does_not_act(both):
    full = both["full"]
    assert full["not_acting"]["strategy.filters.consensus_min"] == beside.BARS
    assert not set(full["not_acting"]) & set(full["acting"])
    assert {"strategy.filters.score_min", "strategy.size.fuzzy_scale"} <= set(full["acting"])
    assert 0.5 < full["mean_confidence"] < 0.9


NO_CHOICE = beside.CANNOT_ACT["strategy.entry.expiry_rule"]


def test_the_text_names_both_ways_the_reasons_and_what_does_not_act(both):
    text = "\n".join(beside.lines_of(both["full"]))
    for words in ("mechanical", "out of sample: no significant", "skipped", f"expiry_rule: {NO_CHOICE}", "95 %"):
        assert words in text


def test_rolls_run_one_by_one_under_the_index_rules_are_the_index_rolls(warm):
    six, store = warm
    sold = beside.trade_rolls(store, mechanical(), six, cndr.COLLATERAL_WINGS)
    assert sold.share.tolist() == [1.0] * 6
    assert sold.earned == pytest.approx(beside.as_sold(six).earned, abs=1e-12)
    assert sold.left == [Reason.SETTLED] * 6
    assert sold.ended.tolist() == [roll.settled for roll in six]


def test_half_the_budget_is_half_a_roll(warm):
    six, store = warm
    config = mechanical(strategy__size__vol_low=0.0, strategy__size__vol_high=0.01, strategy__size__vol_floor=0.5)
    sold = beside.trade_rolls(store, config, six, cndr.COLLATERAL_WINGS)
    assert sold.share == pytest.approx(np.full(6, 0.5), abs=0.001)
    assert sold.earned == pytest.approx(beside.as_sold(six).earned, abs=1e-12)


def test_a_roll_that_is_skipped_is_not_made_up_by_the_next_one(warm):
    """On the day of settlement the next expiry may be as far away, and VIX low enough to sell it."""
    six, store = warm
    pairs = [(a, b) for a, b in pairwise(six) if b.vix < a.vix]
    same = [a for a, b in pairs if a.settled - a.sold == b.settled - b.sold]
    assert same, "no such pair among these rolls"
    config = mechanical(strategy__filters__vix_max=float(same[0].vix) - 1e-6)
    sold = beside.trade_rolls(store, config, same[:1], cndr.COLLATERAL_WINGS)
    assert sold.verdict == [Reason.VIX_LEVEL]
    assert sold.share.tolist() == sold.earned.tolist() == [0.0]


def test_three_rows_a_session_are_no_five_minute_bars(warm):
    bars = bars_of(warm[1].columns)
    assert first_step(bars) == len(bars.session)


def test_what_is_known_at_the_opening_does_not_move_with_the_rest_of_the_day(folder):
    files = read_daily_files(folder)
    days = sessions_between(day_number("2019-03-01"), day_number("2019-03-15")).day
    files = files._replace(spy_11=files.spy_11.iloc[:0], vix_11=files.vix_11.iloc[:0])
    last = days[-1]
    vol, spy, spx = files.vol.copy(), files.spy.copy(), files.spx.copy()
    vol.loc[last, "vix_close"] *= 3.0
    spy.loc[last, ["high", "low", "close"]] *= 0.8
    spx.loc[last] *= 0.8
    known = [
        beside.known_at_the_opening(daily_series(f, days), f, days)
        for f in (files, files._replace(vol=vol, spy=spy, spx=spx))
    ]
    assert known[0].spot_11.tolist() == known[1].spot_11.tolist()
    assert known[0].vix_11[1:].tolist() == known[1].vix_11[1:].tolist()
    assert known[0].vix[-1] != known[1].vix[-1]


def test_a_roll_earns_its_share_and_bills_and_a_skipped_one_bills_alone():
    shares, earned, bills = np.array([1.0, 0.5, 0.0]), np.array([0.02, -0.04, 0.0]), np.full(3, 0.001)
    days = np.array([0, 28, 56], np.int32)
    verdicts, left = [Reason.ENTER, Reason.ENTER, Reason.BREACH], [Reason.SETTLED, Reason.BREACH_EXIT, Reason.NONE]
    sold = beside.Sold(shares, earned, days + 28, verdicts, left, 0, np.full(3, 0.7))
    assert beside.returns_of(sold, bills).tolist() == pytest.approx([0.021, -0.019, 0.001])
    figures = beside.part_figures(sold, bills, days, slice(0, 3))
    assert figures["annual_return"] == pytest.approx((1.021 * 0.981 * 1.001) ** 4 - 1.0)
    assert (figures["rolls"], figures["sold"], figures["mean_share"]) == (3, 2, 0.75)
    assert figures["worst_roll"] == pytest.approx(-0.019)
    assert beside.counted(verdicts, Reason.ENTER) == {"probability of a breach too high": 1}
    assert beside.counted(left, Reason.SETTLED) == {"probability of a breach": 1}


def test_the_difference_of_equals_is_nothing_and_a_tenth_per_cent_a_roll_is_1_2_a_year():
    bills = np.full(24, 0.001)
    mechanical = bills + np.tile([0.01, -0.02, 0.005], 8)
    nothing = beside.difference(mechanical, mechanical, bills)
    assert set(nothing.values()) == {0.0}
    more = beside.difference(mechanical + 0.001, mechanical, bills)
    assert [more[name] for name in ("annual_return", "low", "high")] == pytest.approx([0.012] * 3)
    assert more["sharpe_low"] > 0.0
    assert set(beside.difference(mechanical[:11], mechanical[:11], bills[:11]).values()) == {None}
