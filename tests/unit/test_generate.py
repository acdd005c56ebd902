"""The generated market repeats by its seed; its table quotes what the model quotes."""

import json
import os

import numpy as np
import pytest

from core.errors import DataError
from core.jit import by_reference, njit
from core.market.calendar import NS_MINUTE
from core.market.generate import MODEL, Grid, advance, build_synthetic, expected_variance, tabulate
from core.market.modelled import premium_of
from core.market.store import market_of, open_store
from core.quotes import leg_delta, leg_rows
from core.types import FLAG, GOOD, TABLE
from scripts.data.build_regression_market import FACTS, FOLDER, build, unpack
from tests.conftest import both_ways

SESSIONS = 3 if os.environ.get("QMTF_NO_JIT") == "1" else 60
QUIET = MODEL._replace(jump_rate=0.0, priced_jump_rate=0.0)

compiled_only = pytest.mark.skipif(
    os.environ.get("QMTF_NO_JIT") == "1", reason="a whole table of quotes in plain Python takes minutes"
)


@njit
def delta_of(m, c, r):
    """leg_delta by way of a compiled caller."""
    m = by_reference(m)
    return leg_delta(m, c, r)


@pytest.fixture(scope="module")
def market(tmp_path_factory):
    return build_synthetic(tmp_path_factory.mktemp("market") / "synthetic", 7, SESSIONS)


@pytest.fixture(scope="module")
def fridays(market):
    return [int(day) for day in market.columns["e_day"] if (day + 3) % 7 == 4]


@pytest.fixture(scope="module")
def table(market, fridays, tmp_path_factory):
    grid = Grid(dte_max=12, step_cents=1000)
    return tabulate(market, tmp_path_factory.mktemp("table") / "table", "table", grid, fridays)


# ---------------------------------------------------------------- the process


@both_ways
def test_expected_variance_at_its_mean_without_jumps_is_the_mean(expected_variance):
    assert expected_variance(QUIET, QUIET.priced_mean, 30 / 365) == pytest.approx(QUIET.priced_mean)


@both_ways
def test_expected_variance_relaxes_to_its_mean_and_jumps_add_their_square(expected_variance):
    short, long = (expected_variance(QUIET, 0.09, years) for years in (1e-6, 100.0))
    assert short == pytest.approx(0.09, rel=1e-4) and long == pytest.approx(QUIET.priced_mean, rel=0.01)
    small = QUIET._replace(priced_jump_rate=2.0, priced_jump_mean=-0.01, jump_sd=0.0)
    assert expected_variance(small, 0.02, 0.1) - expected_variance(QUIET, 0.02, 0.1) == pytest.approx(2e-4, rel=0.01)


@both_ways
def test_variance_without_noise_decays_exponentially(advance):
    calm = QUIET._replace(vol=0.0)
    _, v = advance(np.random.default_rng(1), calm, 0.0, 0.09, 0.2, 2000)
    assert v == pytest.approx(calm.mean + (0.09 - calm.mean) * np.exp(-calm.speed * 0.2), rel=2e-3)


@compiled_only
def test_returns_have_the_drift_and_the_variance_of_the_model():
    """Over 20,000 quarters from the mean: E[S] grows by the drift; log-variance is v T + jumps + rho's cross term."""
    rng = np.random.default_rng(2)
    years = 0.25
    ends = np.array([advance(rng, MODEL, 0.0, MODEL.mean, years, 60)[0] for _ in range(20_000)])
    jumps = MODEL.jump_rate * (MODEL.jump_mean**2 + MODEL.jump_sd**2) * years
    assert np.exp(ends).mean() == pytest.approx(np.exp(MODEL.drift * years), abs=4 * ends.std() / np.sqrt(20_000))
    assert ends.var() == pytest.approx(MODEL.mean * years + jumps, rel=0.1)


# ---------------------------------------------------------------- the market


def test_every_generated_session_is_a_full_one(market):
    c = market.columns
    assert ((c["s_end"] - c["s_start"]) == 78).all() and (c["s_close"] == 960).all()
    within = np.diff(c["session"]) == 0
    assert (np.diff(c["ts"])[within] == 5 * NS_MINUTE).all()
    assert market.manifest["quotes"] == "MODELLED: GENERATED MARKET" and market.modelled


def test_generated_bars_hold_their_open_and_close_in_whole_cents(market):
    c = market.columns
    assert (c["high"] >= np.maximum(c["open"], c["spot"])).all() and (
        c["low"] <= np.minimum(c["open"], c["spot"])
    ).all()
    assert np.abs(c["spot"] * 100 - np.rint(c["spot"] * 100)).max() < 1e-6
    assert np.isfinite(c["vix"]).all() and (c["vix"] > 5).all() and (c["vix3m"] > 5).all()


def test_a_generated_market_repeats_by_its_seed(market, tmp_path):
    assert build_synthetic(tmp_path / "again", 7, SESSIONS).hash == market.hash
    assert build_synthetic(tmp_path / "other", 8, SESSIONS).hash != market.hash


@compiled_only
def test_a_longer_generated_market_begins_like_a_shorter_one(market, tmp_path):
    longer = build_synthetic(tmp_path / "longer", 7, SESSIONS + 5)
    rows = market.manifest["rows"]
    for name in ("ts", "spot", "vix", "clock", "move"):
        assert np.array_equal(longer.columns[name][:rows], market.columns[name])


@compiled_only
def test_night_and_day_share_the_variance_as_the_clock_says(tmp_path):
    c = build_synthetic(tmp_path / "long", 3, 504).columns
    gap = np.log(c["s_open"][1:] / c["s_settle"][:-1])
    day = np.log(c["s_settle"] / c["s_open"])[1:]
    share = (gap**2).sum() / ((gap**2).sum() + (day**2).sum())
    assert 0.28 < share < 0.45


@compiled_only
def test_a_generated_market_states_its_own_premium(tmp_path):
    premium = premium_of(build_synthetic(tmp_path / "long", 3, 504))
    assert 0.0 < premium["mean"] < 0.03


def test_no_sessions_are_an_error(tmp_path):
    with pytest.raises(DataError, match="at least 1"):
        build_synthetic(tmp_path / "none", 7, 0)


# ---------------------------------------------------------------- tables


@compiled_only
def test_a_table_quotes_what_the_model_quotes(market, table):
    m, t = market_of(market), market_of(table)
    assert t.kind == TABLE
    modelled, tabled = np.zeros((3, 78), np.int32), np.zeros((3, 78), np.int32)
    for c in range(0, len(t.con), 5):
        day, right, strike = t.exp.day[t.con.expiry[c]], t.con.right[c], t.con.strike[c]
        x = int(np.searchsorted(m.exp.day, day))
        low, high = (m.exp.put_lo[x], m.exp.put_hi[x]) if right == 0 else (m.exp.call_lo[x], m.exp.call_hi[x])
        same = int(low + np.searchsorted(m.con.strike[low:high], strike))
        s = int(t.row.session[t.con.first[c]])
        start, end = int(t.ses.start[s]), int(t.ses.end[s])
        leg_rows(m, same, start, end, modelled)
        leg_rows(t, c, start, end, tabled)
        assert np.array_equal(tabled[: FLAG + 1], modelled)
        assert delta_of(t, c, start) == pytest.approx(delta_of(m, same, start), abs=6e-5)


@compiled_only
def test_a_table_s_cells_are_contiguous_and_last_until_expiry(table):
    c = table.columns
    size = c["q_last"] - c["q_first"] + 1
    assert np.array_equal(c["q_base"], np.concatenate(([0], np.cumsum(size)[:-1]))) and size.sum() == len(c["q_bid"])
    assert np.array_equal(c["q_first"], c["c_first"]) and (c["q_flag"] == GOOD).all()
    session = c["e_session"][c["c_expiry"]]
    ends = np.where(session >= 0, c["s_end"][session], len(c["ts"])) - 1
    assert np.array_equal(c["q_last"], ends)


@compiled_only
def test_a_table_lists_no_strike_before_a_close_has_reached_its_range(market, table):
    c, grid = table.columns, Grid(dte_max=12, step_cents=1000)
    before = np.concatenate(([320.0], c["s_settle"][:-1]))
    for contract in range(len(c["c_strike"])):
        session = c["session"][c["c_first"][contract]]
        low, high = grid.call_range if c["c_right"][contract] else grid.put_range
        strike = c["c_strike"][contract] / 100.0
        born = max(0, int(np.searchsorted(c["s_day"], c["e_day"][c["c_expiry"][contract]] - 12)))
        reached = before[born : session + 1]
        assert reached.min() * low - 1e-6 <= strike <= reached.max() * high + 1e-6
        if session > born:
            assert not (reached[:-1].min() * low <= strike <= reached[:-1].max() * high)


@compiled_only
def test_a_table_says_that_it_is_modelled_and_keeps_its_sessions(market, table):
    assert table.manifest["quotes"].startswith("MODELLED")
    assert np.array_equal(table.columns["spot"], market.columns["spot"])
    assert open_store(table.path).hash == table.hash


@compiled_only
def test_only_a_modelled_market_is_tabulated(table, tmp_path):
    with pytest.raises(DataError, match="of kind table"):
        tabulate(table, tmp_path / "twice", "twice")


@compiled_only
def test_a_grid_without_expiries_is_an_error(market, tmp_path):
    with pytest.raises(DataError, match="no expiry"):
        tabulate(market, tmp_path / "empty", "empty", expiry_days=[1])


# ---------------------------------------------------------------- the regression market


@compiled_only
def test_the_checked_in_regression_market_is_rebuilt_to_the_byte(tmp_path):
    kept = unpack(tmp_path / "kept")
    fresh = build(tmp_path)
    assert set(kept.columns) == set(fresh.columns)
    for name, column in fresh.columns.items():
        assert kept.columns[name].tobytes() == column.tobytes(), name
    stated = json.loads((FOLDER / FACTS).read_text(encoding="utf-8"))["hash"]
    assert stated == kept.hash == fresh.hash


def test_the_regression_market_is_small():
    assert sum(file.stat().st_size for file in FOLDER.glob("market.*")) < 1_500_000
