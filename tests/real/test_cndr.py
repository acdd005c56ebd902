"""The replay of the Cboe iron condor index on real days: as near as required, on the level too, and worked by hand."""

import contextlib
import io
import json

import numpy as np
import pandas as pd
import pytest

from core.market.calendar import day_number, day_text, sessions_between
from core.market.daily_model import read_daily_files, third_fridays
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
