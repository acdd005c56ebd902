"""Performance figures: small cases to check in the head, and what must stay undefined."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import metrics
from core.metrics import Trades

MONDAY = 17_532  # 2018-01-01
ALTERNATING = np.array([0.02, -0.01] * 10)


def floats(*values):
    return np.array(values, dtype=np.float64)


def days(*values):
    return np.array(values, dtype=np.int32)


def trades(pnl, entry=None, exit_=None, margin=None):
    pnl = floats(*pnl)
    entry = days(*range(MONDAY, MONDAY + 7 * len(pnl), 7)) if entry is None else days(*entry)
    exit_ = entry + np.int32(3) if exit_ is None else days(*exit_)
    return Trades(pnl, entry, exit_, np.full(len(pnl), 500.0) if margin is None else floats(*margin))


# --- returns


def test_the_first_return_is_measured_from_the_starting_cash():
    assert metrics.daily_returns(floats(110, 99), 100.0) == pytest.approx([0.10, -0.10])


def test_a_lost_account_has_no_return():
    returns = metrics.daily_returns(floats(-5, 10), 100.0)
    assert returns[0] == pytest.approx(-1.05)
    assert math.isnan(returns[1])
    assert metrics.sharpe(returns) is None


def test_growth_of_two_years_is_the_square_root():
    assert metrics.cagr(0.21, 504) == pytest.approx(0.10)


@pytest.mark.parametrize(("total", "periods"), [(None, 10), (-1.5, 252), (0.1, 0), (1e9, 1)])
def test_growth_without_meaning_is_undefined(total, periods):
    assert metrics.cagr(total, periods) is None


def test_a_total_loss_is_growth_of_minus_one():
    assert metrics.cagr(-1.0, 100) == -1.0


def test_sharpe_counts_idle_days():
    busy = floats(0.02, -0.01, 0.02, -0.01)
    idle = floats(0.02, -0.01, 0, 0, 0.02, -0.01, 0, 0)
    assert metrics.sharpe(idle) < metrics.sharpe(busy)


def test_sharpe_is_in_excess_of_cash():
    cash = np.full(20, 0.005)
    assert metrics.sharpe(ALTERNATING, cash) == pytest.approx(0.0, abs=1e-12)
    assert metrics.sharpe(ALTERNATING) == pytest.approx(0.005 / 0.015389675 * math.sqrt(252), rel=1e-6)


def test_earning_exactly_cash_has_no_sharpe():
    cash = np.linspace(0.0001, 0.0002, 50)
    assert metrics.sharpe(cash, cash) is None
    assert metrics.psr(cash, cash) is None


@pytest.mark.parametrize("returns", [floats(), floats(0.01), np.full(30, 0.1), floats(0.01, math.nan, 0.02)])
def test_ratios_without_variation_or_with_unknown_days_are_undefined(returns):
    assert metrics.sharpe(returns) is None
    assert metrics.psr(returns) is None


def test_sortino_divides_by_all_periods():
    assert metrics.sortino(floats(0.02, -0.01), periods_per_year=1) == pytest.approx(0.005 / (0.01 / math.sqrt(2)))


def test_sortino_without_a_losing_day_is_undefined():
    assert metrics.sortino(floats(0.01, 0.02, 0.0)) is None


def test_published_probabilistic_sharpe_ratio_is_reproduced():
    """Bailey & Lopez de Prado 2012: 24 months at .458 per month, skew -2.448, kurtosis 10.164."""
    assert metrics.psr_from_moments(0.458, 24, -2.448, 10.164) == pytest.approx(0.913, abs=5e-4)
    assert metrics.psr_from_moments(0.458, 24, 0.0, 3.0) == pytest.approx(0.982, abs=5e-4)


def test_many_small_gains_and_few_large_losses_lower_the_probability():
    returns = floats(*([0.002] * 57), *([-0.03] * 3))
    per_period = metrics.sharpe_per_period(returns)
    assert metrics.psr(returns) < metrics.psr_from_moments(per_period, 60, 0.0, 3.0)
    assert metrics.psr(-returns) > metrics.psr_from_moments(-per_period, 60, 0.0, 3.0)


def test_moments_of_a_coin_are_zero_and_one():
    assert metrics.skew_and_kurtosis(floats(1, -1, 1, -1)) == pytest.approx((0.0, 1.0))


def test_an_impossible_variance_term_gives_no_probability():
    assert metrics.psr_from_moments(1.0, 24, 5.0, 1.0) is None


# --- losses


def test_drawdown_is_the_deepest_fall_in_dollars_and_in_share_of_its_peak():
    """The deepest share comes early (100 to 80), the deepest amount later (200 to 170)."""
    assert metrics.max_drawdown(floats(100, 80, 200, 170)) == (30.0, 0.2)


def test_rising_equity_has_a_drawdown_of_zero_and_no_calmar():
    assert metrics.max_drawdown(floats(100, 101, 105)) == (0.0, 0.0)
    assert metrics.calmar(0.05, 0.0) is None


@pytest.mark.parametrize("equity", [floats(), floats(0, 1), floats(100, math.nan)])
def test_drawdown_of_unknown_equity_is_undefined(equity):
    assert metrics.max_drawdown(equity) is None


@given(st.lists(st.floats(1.0, 1e6), min_size=1, max_size=40))
def test_more_bars_never_shrink_the_drawdown(equity):
    equity = floats(*equity)
    whole, part = metrics.max_drawdown(equity), metrics.max_drawdown(equity[: len(equity) // 2 + 1])
    assert whole.usd >= part.usd and whole.fraction >= part.fraction


def test_expected_shortfall_is_the_mean_of_the_worst_twentieth():
    pnl = np.arange(-20.0, 21.0)  # 41 days: the lowest floor(40 x .05) + 1 = 3
    assert metrics.expected_shortfall(pnl) == -19.0
    assert metrics.value_at_risk(pnl) == -18.0
    assert metrics.tail_ratio(pnl) == 1.0


# --- trades


def test_profit_factor_needs_a_loss():
    assert metrics.profit_factor(floats(30, -10, 0)) == 3.0
    assert metrics.profit_factor(floats(30, 10)) is None
    assert metrics.profit_factor(floats()) is None


def test_a_scratch_is_neither_win_nor_loss():
    assert metrics.win_rate(floats(5, 0, -5, 5)) == pytest.approx(2 / 3)
    assert metrics.win_rate(floats(0, 0)) is None


def test_payoff_ratio_compares_average_gain_with_average_loss():
    assert metrics.payoff_ratio(floats(10, 30, -40)) == 0.5
    assert metrics.payoff_ratio(floats(10)) is None


def weekly(blocks, per_block):
    """Entry days of `per_block` trades on the Monday to Friday of each of `blocks` weeks."""
    return [MONDAY + 7 * week + i % 5 for week in range(blocks) for i in range(per_block)]


def test_five_copies_of_each_trade_count_about_once():
    rng = np.random.default_rng(3)
    each = rng.normal(size=80)
    entry = days(*weekly(80, 5))
    effective = metrics.effective_trades(np.repeat(each, 5), entry, entry)
    assert effective == pytest.approx(80, rel=0.02)


def test_independent_trades_count_nearly_in_full():
    rng = np.random.default_rng(4)
    entry = days(*weekly(200, 5))
    effective = metrics.effective_trades(rng.normal(size=1000), entry, entry)
    assert 750 < effective <= 1000


def test_blocks_are_as_long_as_trades_are_held():
    """A trade a week, held for four weeks: what four of them share is seen by blocks of four weeks only."""
    rng = np.random.default_rng(5)
    entry = days(*(MONDAY + 7 * week for week in range(240)))
    four_weeks = (entry - 4) // 28
    pnl = rng.normal(size=100)[four_weeks - four_weeks[0]]
    assert metrics.effective_trades(pnl, entry, entry + np.int32(28)) < 75
    assert metrics.effective_trades(pnl, entry, entry) > 200


def test_one_block_counts_as_one_trade_and_equal_results_count_blocks():
    assert metrics.effective_trades(floats(1, 2, 3), days(MONDAY, MONDAY, MONDAY), days(MONDAY, MONDAY, MONDAY)) == 1.0
    same = trades([50.0, 50.0, 50.0])
    assert metrics.effective_trades(same.pnl_usd, same.entry_day, same.exit_day) == 3.0


@given(st.lists(st.tuples(st.floats(-1e4, 1e4), st.integers(0, 400), st.integers(0, 60)), min_size=1, max_size=40))
def test_effective_trades_lie_between_one_and_all(rows):
    pnl, entry, held = (np.array(column) for column in zip(*rows, strict=True))
    entry = (entry + MONDAY).astype(np.int32)
    effective = metrics.effective_trades(pnl.astype(np.float64), entry, entry + held.astype(np.int32))
    assert 1.0 <= effective <= len(rows)


def test_the_standard_error_grows_as_trades_overlap():
    pnl = floats(10, -10, 10, -10)
    alone = metrics.expectancy_standard_error(pnl, 4.0)
    assert alone == pytest.approx(np.std(pnl, ddof=1) / 2)
    assert metrics.expectancy_standard_error(pnl, 1.0) == pytest.approx(2 * alone)


def test_trades_without_variation_have_no_standard_error():
    assert metrics.expectancy_standard_error(floats(10, 10, 10), 3.0) is None
    assert metrics.expectancy_standard_error(floats(10), 1.0) is None


def test_margin_days_count_a_day_trade_as_one_day():
    """10 $ on 500 $ for one day and 20 $ on 500 $ for two days: 30 / 1500 in a day, 7.3 a year."""
    closed = trades([10, 20], entry=[MONDAY, MONDAY], exit_=[MONDAY, MONDAY + 2])
    assert metrics.return_on_margin_days(closed) == pytest.approx(365 * 30 / 1500)


def test_unknown_margin_gives_no_return_on_it():
    assert metrics.return_on_margin_days(trades([10, 20], margin=[500, math.nan])) is None
    assert metrics.return_on_margin_days(trades([])) is None


# --- the summary


def other(**changes):
    attribution = dict.fromkeys(("delta", "gamma", "theta", "vega", "spread", "fees", "residual"), 0.0)
    return {**dict.fromkeys(metrics.OTHER_KEYS, 0.0), "attribution": attribution, "warnings": [], **changes}


def summary(**changes):
    inputs = dict(
        session_day=days(MONDAY, MONDAY + 1, MONDAY + 2),
        session_equity_usd=floats(10_100, 9_900, 10_200),
        underlying_close=floats(200, 190, 210),
        bar_equity_usd=floats(10_050, 10_100, 9_700, 9_900, 10_000, 10_200),
        bar_open_risk=np.array([0, 1, 1, 1, 0, 0], dtype=bool),
        starting_cash_usd=10_000.0,
        trades=trades([300, -150, 50]),
        open_trades=1,
        other=other(),
    )
    return metrics.summarise(**{**inputs, **changes})


def test_the_summary_says_what_happened():
    said = summary()
    assert (said["start"], said["end"], said["bars"]) == ("2018-01-01", "2018-01-03", 6)
    assert said["net_profit"] == 200.0
    assert said["net_profit_pct"] == pytest.approx(2.0)
    assert said["max_drawdown"] == 400.0  # 10,100 to 9,700 within the day, not 10,100 to 9,900 at the close
    assert said["max_drawdown_pct"] == pytest.approx(100 * 400 / 10_100)
    assert said["net_profit_over_max_drawdown"] == 0.5
    assert said["worst_day"] == said["cvar_95"] == -200.0
    assert said["time_in_market"] == 0.5
    assert said["buy_and_hold_pct"] == pytest.approx(5.0)
    assert (said["trades"], said["open_trades"], said["wins"], said["losses"]) == (3, 1, 2, 1)
    assert (said["avg_win"], said["avg_loss"]) == (175.0, -150.0)
    assert (said["largest_win"], said["largest_loss"]) == (300.0, -150.0)
    assert said["profit_factor"] == pytest.approx(350 / 150)
    rate = said["win_rate"]
    assert said["expectancy"] == pytest.approx(rate * 175 + (1 - rate) * -150)
    assert said["calmar"] == pytest.approx(said["cagr"] / (said["max_drawdown_pct"] / 100))


def test_the_first_peak_is_the_starting_cash():
    assert summary(bar_equity_usd=floats(9_800, 9_900))["max_drawdown"] == 200.0


def test_the_summary_has_the_keys_of_the_contract_in_order():
    assert tuple(summary()) == metrics.KEYS
    assert len(set(metrics.KEYS)) == len(metrics.KEYS)
    assert set(metrics.OTHER_KEYS) <= set(metrics.KEYS)


def test_a_run_without_trades_is_undefined_where_it_must_be():
    flat = np.full(3, 10_000.0)
    said = summary(
        session_equity_usd=flat,
        bar_equity_usd=flat,
        bar_open_risk=np.zeros(3, bool),
        trades=trades([]),
        open_trades=0,
    )
    undefined = {
        *("sharpe", "sortino", "calmar", "psr", "profit_factor", "expectancy", "expectancy_se", "win_rate"),
        *("avg_win", "avg_loss", "largest_win", "largest_loss", "return_on_margin_days"),
        "net_profit_over_max_drawdown",
    }
    assert {key for key, value in said.items() if value is None} == undefined
    assert said["net_profit"] == said["max_drawdown"] == said["cagr"] == said["effective_trades"] == 0.0
    assert said["trades"] == 0


def test_a_blown_account_still_has_a_summary():
    said = summary(session_equity_usd=floats(10_000, -500, -400), bar_equity_usd=floats(10_000, -500, -400))
    assert said["net_profit"] == -10_400.0
    assert said["max_drawdown_pct"] == pytest.approx(105.0)
    assert said["sharpe"] is said["cagr"] is said["psr"] is said["calmar"] is None


def test_the_summary_is_strict_json_whatever_the_ledger_hands_in():
    said = summary(
        other=other(
            fees=np.float64(12.5),
            slippage_paid=np.nan,
            interest=math.inf,
            attribution={"delta": np.float32("nan")},
        )
    )
    assert (said["fees"], said["slippage_paid"], said["interest"]) == (12.5, None, None)
    assert said["attribution"] == {"delta": None}
    json.dumps(said, allow_nan=False)


def test_keys_of_the_ledger_must_be_complete_and_known():
    incomplete = other()
    del incomplete["fees"]
    with pytest.raises(ValueError, match="fees"):
        summary(other=incomplete)
    with pytest.raises(ValueError, match="sharpe"):
        summary(other=other(sharpe=9.9))


def test_an_empty_run_has_no_summary():
    with pytest.raises(ValueError, match="at least one bar"):
        summary(bar_equity_usd=floats())


def test_cash_returns_lower_the_sharpe_of_the_same_equity():
    assert summary(cash_returns=np.full(3, 1e-4))["sharpe"] < summary()["sharpe"]
