"""Worse markets: each changes what it says and nothing else, and reaches back in time nowhere."""

import numpy as np
import pytest

from core import lookahead
from core.report.measure import measure
from core.stress.markets import (
    excess_volatility,
    gap_sessions,
    takes_paths,
    with_gaps,
    with_missing,
    with_turbulence,
    with_volatility,
)
from core.stress.reruns import SLIPPAGE, cases, daily_pnl, figures_of, reruns
from tests import markets

ROWS = ("ts", "spot", "open", "high", "low", "vix", "vix3m", "clock", "since", "move", "minute", "quoted", "snap")


def changed(base, other):
    """Names of the columns whose bytes differ."""
    assert set(base.columns) == set(other.columns)
    return {
        name
        for name, column in base.columns.items()
        if column.shape != other.columns[name].shape
        or column.dtype != other.columns[name].dtype
        or column.tobytes() != other.columns[name].tobytes()
    }


def drawing(seed=1):
    return np.random.default_rng(seed)


# --- volatility ------------------------------------------------------------------------------------------


def test_another_volatility_changes_the_two_indices_and_nothing_else(tmp_path):
    base = markets.market("years")
    other = with_volatility(base, tmp_path, 1.5, "vol_up")
    assert changed(base, other) == {"vix", "vix3m"}
    assert np.array_equal(other.columns["vix"], 1.5 * base.columns["vix"])
    assert other.hash != base.hash and other.name == "years-vol_up"


# --- other paths -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["years", "modelled"])
def test_a_market_built_again_without_a_gap_is_the_same_bytes(name, tmp_path):
    base = markets.market(name)
    assert takes_paths(base)
    none = np.zeros(len(base.columns["s_day"]), bool)
    assert changed(base, with_gaps(base, tmp_path, none, -0.05, "gaps")) == set()
    # first * (price / first) may differ in its last bit
    assert changed(base, with_turbulence(base, tmp_path, 1.0, "turbulent")) <= {
        "spot",
        "open",
        "high",
        "low",
        "move",
        "s_open",
        "s_settle",
    }


def test_a_gap_moves_every_later_price_and_none_before(tmp_path):
    base = markets.market("years")
    gaps = np.zeros(len(base.columns["s_day"]), bool)
    gaps[[100, 200]] = True
    other = with_gaps(base, tmp_path, gaps, -0.05, "gaps")
    first, second = base.columns["s_start"][[100, 200]]
    for name in ROWS:
        assert np.array_equal(base.columns[name][:first], other.columns[name][:first], equal_nan=True), name
    for name in ("spot", "open", "high", "low"):
        ratio = other.columns[name] / base.columns[name]
        assert ratio[first:second] == pytest.approx(0.95) and ratio[second:] == pytest.approx(0.95**2)
    assert {"ts", "session", "minute", "clock", "s_day", "s_rate", "e_day", "e_ts"}.isdisjoint(changed(base, other))
    assert other.columns["vix"][first] == pytest.approx(1.5 * base.columns["vix"][first])
    assert (other.columns["vix3m"][first] / base.columns["vix3m"][first]) == pytest.approx(1.5**0.74)
    opening = other.columns["open"][first] / other.columns["spot"][first - 1]
    assert opening == pytest.approx(0.95 * base.columns["open"][first] / base.columns["spot"][first - 1])


def test_contracts_listed_before_a_gap_are_those_of_the_market_without_it(tmp_path):
    base = markets.market("years")
    gaps = np.zeros(len(base.columns["s_day"]), bool)
    gaps[150] = True
    other = with_gaps(base, tmp_path, gaps, -0.2, "gaps")
    start = base.columns["s_start"][150]

    def listed(store):
        c = store.columns
        early = c["c_first"] < start
        day = c["e_day"][c["c_expiry"][early]]
        return list(
            zip(
                day.tolist(),
                c["c_strike"][early].tolist(),
                c["c_right"][early].tolist(),
                c["c_first"][early].tolist(),
                strict=True,
            )
        )

    assert listed(base) == listed(other)
    assert len(base.columns["c_strike"]) != len(other.columns["c_strike"])


def test_gaps_are_drawn_in_order_of_time_and_volatility_falls_back():
    assert gap_sessions(2000, drawing())[:700].tolist() == gap_sessions(700, drawing()).tolist()
    assert 8 < gap_sessions(2000, drawing()).sum() < 26  # 16 on average
    assert not any(gap_sessions(1, drawing(seed))[0] for seed in range(600))  # nothing comes before the first
    excess = excess_volatility(np.array([False, True] + [False] * 20))
    assert excess[:3].tolist() == [1.0, 1.5, pytest.approx(1.0 + 0.5 * 0.5**0.1)]
    assert excess[11] == pytest.approx(1.25)


def test_turbulence_stretches_log_moves(tmp_path):
    base = markets.market("years")
    other = with_turbulence(base, tmp_path, 1.5, "turbulent")
    moves = [np.diff(np.log(store.columns["spot"])) for store in (base, other)]
    assert moves[1] == pytest.approx(1.5 * moves[0], abs=1e-12)
    assert np.array_equal(other.columns["vix"], 1.5 * base.columns["vix"])


def test_real_quotes_take_no_other_path():
    assert not takes_paths(markets.market("table")) and not takes_paths(markets.market("carried"))


# --- missing quotes ------------------------------------------------------------------------------------------


def test_missing_rows_of_a_surface_have_no_volatility_and_the_rest_is_as_it_was(tmp_path):
    base = markets.market("years")
    other = with_missing(base, tmp_path, 0.1, drawing(), "missing_10")
    assert changed(base, other) == {"vix", "vix3m", "quoted"}
    lost = other.columns["quoted"] == 0
    assert lost.mean() == pytest.approx(0.1, abs=0.01)
    assert np.array_equal(np.isnan(other.columns["vix"]), lost)
    assert np.array_equal(other.columns["vix"][~lost], base.columns["vix"][~lost])


@pytest.mark.parametrize("name", ["table", "carried", "deep"])
def test_a_snapshot_that_is_kept_says_what_it_said(name, tmp_path):
    base = markets.market(name)
    other = with_missing(base, tmp_path, 0.5, drawing(), "missing_50")
    b, o = base.columns, other.columns
    kept = np.flatnonzero(np.isin(b["q_row"], o["q_row"]))
    assert 0 < len(kept) == len(o["q_row"]) < len(b["q_row"])
    cells = [name for name in b if name[:2] == "q_" and len(b[name]) == len(b["q_bid"])]
    for c in range(0, len(b["c_strike"]), 7):
        mine = [q for q in range(b["q_first"][c], b["q_last"][c] + 1) if q in set(kept.tolist())]
        assert o["q_last"][c] - o["q_first"][c] + 1 == len(mine)
        for k, q in enumerate(mine):
            assert kept[o["q_first"][c] + k] == q
            for column in cells:
                was, now = b[column][b["q_base"][c] + q - b["q_first"][c]], o[column][o["q_base"][c] + k]
                assert was == now or (was != was and now != now), column
        if mine:
            assert o["c_first"][c] == b["q_row"][mine[0]]
    untouched = {"ts", "spot", "session", "minute", "is_bar", "s_day", "s_decide", "c_strike", "e_day", "v_slice"}
    assert untouched.isdisjoint(changed(base, other))
    quoted = np.flatnonzero(o["quoted"])
    assert quoted.tolist() == o["q_row"].tolist()
    assert np.array_equal(o["snap"], np.cumsum(o["quoted"], dtype=np.int64) - 1)


@pytest.mark.parametrize("name", ["table", "carried", "modelled"])
def test_the_strategy_on_a_market_with_holes_does_not_know_the_future(name, tmp_path):
    store = with_missing(markets.market(name), tmp_path, 0.3, drawing(), "missing")
    checked = lookahead.check(store, markets.config_of(market__name=store.name), 3, lambda _: None)
    assert lookahead.value_of(checked)["clean"]


# --- the reruns ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["natural", "carried", "modelled"])
def test_figures_are_those_of_metrics_json(name):
    result = markets.run_named(name)
    metrics, figures = measure(result).metrics, figures_of(result)
    for key, value in figures.items():
        assert value == pytest.approx(metrics[key], abs=0.006), key
    assert daily_pnl(result).sum() == pytest.approx(figures["net_profit"], abs=0.01)


def test_real_quotes_say_that_only_costs_can_be_shifted(tmp_path):
    rows = {row["key"]: row for row in reruns(markets.run_named("natural"), 7, tmp_path, lambda _: None)}
    assert "only costs can be shifted" in rows["vol_up"]["refused"]
    assert "another path" in rows["gaps"]["refused"] and rows["gaps"]["net_profit"] is None
    ran = {key for key, row in rows.items() if row["refused"] is None}
    assert ran == {"base", "spreads_x2", "slippage", "missing_10", "missing_50"}
    assert rows["spreads_x2"]["net_profit"] < rows["base"]["net_profit"]


def test_a_modelled_market_takes_them_all_and_the_same_seed_gives_the_same(tmp_path):
    result = markets.ran(markets.market("years"))
    one, two = (list(reruns(result, 3, tmp_path / name, lambda _: None)) for name in "ab")
    assert one == two
    assert [row["key"] for row in one][:5] == ["base", "vol_up", "vol_down", "turbulent", "spreads_x2"]
    assert all(row["refused"] is None for row in one)
    assert len({row["net_profit"] for row in one}) == len(one)


def test_costs_are_shifted_by_their_settings(tmp_path):
    result = markets.run_named("fraction")
    found = {case.key: case.config for case in cases(result, 7, tmp_path)}
    base = result.config
    assert found["spreads_x2"]["costs.spread_multiple"] == 2.0 * base["costs.spread_multiple"]
    assert found["slippage"]["costs.extra_slippage"] == base["costs.extra_slippage"] + SLIPPAGE
    differing = [path for path in base.values if found["slippage"][path] != base[path]]
    assert differing == ["costs.extra_slippage"]
