"""What explains a run: campaigns, the funnel, groups, signals of winners and losers, exposure."""

import math
from types import SimpleNamespace

import numpy as np
import pytest

from core.exposure import DELTA, VANNA, VEGA, book_greeks
from core.pricing.black_scholes import european
from core.quotes import leg_greeks
from core.report.campaigns import campaigns_of, done
from core.report.exposure import credit_held, options_held, shares_held
from core.report.factors import Strengths, factors_of, firings_of, welch
from core.report.folder import adjustment_lines
from core.report.funnel import STAGES, funnel, funnel_figures
from core.report.groups import bucketed, grouped
from core.report.insight_plots import LONG_SESSIONS, panels, regime_runs
from core.report.known import Gates, failing_texts, strongest_texts
from core.report.model import hedge_profit
from core.types import (
    CALL,
    CALL_SIDE,
    CRASH,
    EVENT_FILL,
    EVENT_HEDGE,
    FILL_FIELDS,
    HIGH_VOL,
    RANGE,
    REASONS,
    ROLL_PUT,
    SIGNAL,
    SIGNALS,
    TRADE_FIELDS,
    TREND_UP,
    VERDICT,
    A,
    F,
    Reason,
    T,
)
from tests import markets


def table_of(names, rows):
    """Rows of {name: value} as an int64 table; what is not named is 0."""
    table = np.zeros((len(rows), len(names)), np.int64)
    for i, row in enumerate(rows):
        for name, value in row.items():
            table[i, names[name]] = value
    return table


def trades_of(*rows):
    assert len(T) == len(TRADE_FIELDS)
    return SimpleNamespace(trades=table_of(T, rows))


# --- campaigns -------------------------------------------------------------------------------------------


def test_a_chain_of_rolled_losses_counts_as_one_result():
    run = trades_of(
        {"campaign": 0, "opened": 10, "closed": 20, "pnl": -300, "max_loss": 500, "reason": Reason.ROLL_OUT},
        {"campaign": 1, "opened": 12, "closed": 15, "pnl": 50, "max_loss": 400, "reason": Reason.PROFIT_TARGET},
        {"campaign": 0, "opened": 21, "closed": 40, "pnl": 200, "max_loss": 700, "reason": Reason.STOP},
    )
    found = campaigns_of(run)
    assert found.pnl.tolist() == [-100, 50]
    assert found.margin.tolist() == [700, 400]
    assert (found.opened.tolist(), found.ended.tolist()) == ([10, 12], [40, 15])
    assert found.reason.tolist() == [Reason.STOP, Reason.PROFIT_TARGET]


def test_a_campaign_is_closed_when_all_its_trades_are():
    run = trades_of(
        {"campaign": 0, "closed": 20, "pnl": -300},
        {"campaign": 0, "closed": -1, "pnl": 90},
        {"campaign": 2, "closed": 30, "pnl": 10},
    )
    assert campaigns_of(run).closed.tolist() == [False, True]
    assert campaigns_of(run).ended.tolist() == [-1, 30]
    assert done(campaigns_of(run)).pnl.tolist() == [10]


# --- the funnel ------------------------------------------------------------------------------------------


def test_every_reason_belongs_to_exactly_one_stage_but_the_order_itself():
    listed = [code for _, reasons in STAGES for code in reasons]
    assert sorted(listed) == sorted(code for code in REASONS if code != Reason.ENTER)


def test_funnel_counts_the_bars_that_come_through_each_stage():
    counts = ((Reason.WINDOW, 50), (Reason.SCHEDULE, 30), (Reason.VIX_LEVEL, 8), (Reason.STOP, 2), (Reason.ENTER, 10))
    verdict = np.repeat(*np.array(counts).T)
    codes = np.array([verdict, verdict])
    run = trades_of(*({"decided": 1000 + 90 + i} for i in range(7)))  # the last ten rows sent orders; seven filled
    run.ledger, run.first_row = SimpleNamespace(codes=codes), 1000
    bars = {stage["stage"]: stage["bars"] for stage in funnel_figures(funnel(run))}
    assert (bars["all bars"], bars["in entry window"], bars["no exit on the bar"]) == (100, 50, 48)
    assert (bars["schedule"], bars["VIX"], bars["entry orders"], bars["fills"]) == (18, 10, 10, 7)


@pytest.mark.parametrize("name", ["natural", "modelled"])
def test_funnel_of_a_run_only_narrows_and_ends_at_its_trades(name):
    run = markets.run_named(name)
    stages = funnel(run)
    bars = [stage.bars for stage in stages]
    assert bars == sorted(bars, reverse=True)
    assert bars[-2] == (run.ledger.codes[VERDICT] == Reason.ENTER).sum()
    assert bars[-1] == len(run.trades) > 0


# --- groups ----------------------------------------------------------------------------------------------


def test_a_bucket_begins_at_its_edge_and_unknown_is_a_group_of_its_own():
    index, names = bucketed(np.array([0.0, 1.0, 7.0, 8.0, 60.0, np.nan]), (1, 8, 22), whole=True)
    assert [names[i] for i in index.tolist()] == ["0", "1-7", "1-7", "8-21", "22+", "unknown"]
    index, names = bucketed(np.array([4.9, 5.0, 10.0]), (5, 10))
    assert [names[i] for i in index.tolist()] == ["below 5", "5-10", "10+"]


def test_a_group_says_its_net_mean_error_and_win_rate():
    pnl = np.array([10.0, 30.0, -10.0, 30.0, 0.0, 500.0])
    day = np.arange(6, dtype=np.int32) * 7  # a week each: independent
    small, large = grouped(np.array([1, 1, 1, 1, 1, 0]), ["a", "b", "c"], pnl, day, day)
    assert (small.group, small.trades, small.net, small.mean_se, small.few) == ("a", 1, 500.0, None, True)
    assert (large.trades, large.net, large.mean, large.win_rate, large.few) == (5, 60.0, 12.0, 0.75, False)
    assert 0.0 < large.mean_se <= pnl[:5].std(ddof=1)


# --- signals ---------------------------------------------------------------------------------------------


def test_welch_interval_agrees_with_the_textbook():
    a, b = np.array([1.0, 2.0, 3.0, 4.0]), np.array([0.0, 0.0, 6.0])
    difference, error, half = welch(a, b)
    assert difference == 0.5
    assert error == pytest.approx(math.sqrt(5 / 3 / 4 + 12 / 3))
    from scipy.stats import ttest_ind

    low, high = ttest_ind(a, b, equal_var=False).confidence_interval(0.95)
    assert (difference - half, difference + half) == (pytest.approx(low), pytest.approx(high))


def test_no_interval_without_two_values_or_any_variation():
    assert welch(np.array([1.0]), np.array([1.0, 2.0])) is None
    assert welch(np.array([0.1, 0.1]), np.array([0.1, 0.1, 0.1])) is None


def won_and_lost():
    run = trades_of(*({"campaign": i, "decided": i, "closed": 9, "pnl": 5 if i < 3 else -5} for i in range(6)))
    return done(campaigns_of(run))


def test_factors_read_the_deciding_row_and_stand_by_clarity():
    signal = np.full((len(SIGNALS), 6), np.nan)
    signal[SIGNAL["vix"]] = [10, 11, 12, 20, 21, 22]
    signal[SIGNAL["rsi"]] = [50, 40, 60, 49, 41, 57]
    signal[SIGNAL["adx"]] = [30, np.nan, np.nan, 20, 21, 22]  # known at one winner alone
    signal[SIGNAL["regime"]] = [1, 2, 1, 3, 2, 1]  # a name, not a number
    factors = factors_of(won_and_lost(), signal)
    assert [factor.name for factor in factors] == ["vix", "rsi"]
    vix = factors[0]
    assert (vix.winners, vix.losers, vix.difference) == (11.0, 21.0, -10.0)
    assert vix.low < -10.0 < vix.high < 0.0
    assert vix.strength == pytest.approx(10 / math.sqrt(1 / 3 + 1 / 3))


def test_rules_fire_in_the_window_at_winners_and_at_losers():
    strength = np.array([[1.0, 1.0, 1.0, 0.0, 0.0, 0.0], [0.5] * 6])
    first, second = firings_of(Strengths(("calm", "any"), strength), won_and_lost(), np.arange(6))
    assert first == ("calm", 0.5, 1.0, 0.0)
    assert second == ("any", 0.5, 0.5, 0.5)


def test_trace_names_every_failing_gate_and_the_two_strongest_rules():
    gates = Gates(("score", "regime", "term"), np.array([0, 1, 6]))
    assert failing_texts(gates, slice(0, 3)) == ["", "score", "regime+term"]
    strengths = Strengths(("a, b", "c", "d"), np.array([[0.2, 0.0], [0.9, 0.0], [0.5, 0.1]]))
    assert strongest_texts(strengths, slice(0, 2)) == (["c:0.900", "d:0.100"], ["d:0.500", ""])


# --- regimes behind the price ----------------------------------------------------------------------------


def test_short_runs_of_a_few_days_are_drawn_bar_by_bar():
    code, session = np.array([1, 1, 2, 2, 1]), np.array([0, 0, 0, 1, 1])
    runs = regime_runs(code, session)
    assert (runs.first.tolist(), runs.end.tolist(), runs.code.tolist()) == ([0, 2, 4], [2, 4, 4], [1, 2, 1])


def test_long_spans_are_drawn_by_the_session():
    session = np.repeat(np.arange(LONG_SESSIONS + 1), 3)
    code = np.full(len(session), RANGE)
    code[4] = CRASH  # shorter than half a session: not seen
    code[30:35] = HIGH_VOL  # session 10, and most of session 11
    code[-3:] = TREND_UP
    runs = regime_runs(code, session)
    assert runs.first.tolist() == [0, 30, 36, len(code) - 3]
    assert runs.end.tolist() == [30, 36, len(code) - 3, len(code) - 1]
    assert runs.code.tolist() == [RANGE, HIGH_VOL, RANGE, TREND_UP]


def test_panels_fill_the_height_without_overlap():
    (low_1, top_1), (low_2, top_2) = panels(2, gap=0.1)
    assert (low_1, top_1, low_2, top_2) == (0.55, 1.0, 0.0, 0.45)


# --- exposure --------------------------------------------------------------------------------------------


def fills_of(*rows):
    return table_of(F, [{"event": EVENT_FILL, **row} for row in rows])


def test_a_book_holds_what_its_fills_leave():
    market = markets.run_named("modelled").market
    contract = int(np.argmin(np.abs(market.con.strike / 100.0 - market.row.spot[100])))
    fills = fills_of(
        {"row": 100, "contract": contract, "quantity": -2},
        {"row": 150, "contract": contract, "quantity": 1},  # a part is closed
        {"row": 200, "contract": contract, "quantity": 1},
    )
    run = SimpleNamespace(market=market, fills=fills)
    none, two, one, closed = options_held(run, np.array([99, 100, 160, 200]))
    _, delta, _, vega, _, _ = leg_greeks(market, contract, 160)
    assert none.tolist() == closed.tolist() == [0.0] * 6
    assert one[DELTA] == pytest.approx(-100.0 * delta) and one[VEGA] == pytest.approx(-vega)
    assert two[DELTA] == pytest.approx(-200.0 * leg_greeks(market, contract, 100)[1])
    assert FILL_FIELDS[F["quantity"]] == "quantity"


def test_vanna_and_volga_are_those_of_the_market_that_prices_the_leg():
    market = markets.run_named("modelled").market
    contract, r = int(np.flatnonzero(market.con.right == CALL)[3]), 100
    out, one = np.zeros((1, 6)), np.array([1], np.int64)
    rows, slot = np.array([r], np.int64), np.zeros(1, np.int64)
    book_greeks(market, rows, np.array([contract], np.int64), rows, slot, one, np.zeros(1, np.int64), out)
    ses, expiry = market.ses[market.row[r].session], market.exp[market.con[contract].expiry]
    years = (expiry.ts - market.row[r].ts) / (365.0 * 86400e9)
    vol = leg_greeks(market, contract, r)[5]
    strike = market.con[contract].strike / 100.0
    value = european(True, market.row[r].spot, strike, years, vol, ses.rate, ses.dividend_yield)
    expected = [
        100 * value.delta,
        100 * value.gamma,
        value.vega,
        100 * value.theta / 365,
        value.vanna,
        value.volga / 100,
    ]
    assert out[0] == pytest.approx(np.array([float(v) for v in expected]), rel=1e-9)
    assert VANNA == 4


@pytest.mark.parametrize("name", ["natural", "carried", "modelled"])
def test_exposure_of_a_run_does_not_see_later_fills(name):
    run = markets.run_named(name)
    rows = (run.market.ses.end - 1).astype(np.int64)
    whole = options_held(run, rows)
    cut = rows[len(rows) // 2]
    before = options_held(run._replace(fills=run.fills[run.fills[:, F["row"]] <= cut]), rows[rows <= cut])
    assert np.array_equal(whole[: len(before)], before, equal_nan=True)
    assert np.abs(np.nan_to_num(whole)).sum() > 0.0


def test_shares_and_credit_are_held_from_their_fill_on():
    shares = {"event": EVENT_HEDGE, "contract": -1}
    option = {"event": EVENT_HEDGE, "contract": 7, "quantity": 2}  # of the smile hedge
    fills = fills_of({"row": 5, **shares, "quantity": -30}, {"row": 6, **option}, {"row": 9, **shares, "quantity": 10})
    trades = table_of(
        T,
        [
            {"opened": 4, "closed": 8, "credit": 120, "contracts": 2},
            {"opened": 7, "closed": -1, "credit": 50, "contracts": 1},
        ],
    )
    run = SimpleNamespace(fills=fills, trades=trades)
    rows = np.array([3, 6, 9])
    assert shares_held(run, rows).tolist() == [0, -30, -20]
    assert credit_held(run, rows).tolist() == [0.0, 240.0, 50.0]


# --- adjustments and the hedge ---------------------------------------------------------------------------


def test_adjustments_name_campaign_part_and_the_strikes_of_a_roll():
    run = trades_of({"campaign": 0}, {"campaign": 0})
    common = {"row": 1, "decided": 0, "trade": 1, "contracts": 2, "new_short": 1, "new_long": 0}
    made = [
        {**common, "part": ROLL_PUT, "reason": Reason.ROLLED, "net": -35},
        {**common, "part": CALL_SIDE, "reason": Reason.SIDE_STOP, "net": 120},
    ]
    run.adjustments = table_of(A, made)
    run.market = SimpleNamespace(con=[SimpleNamespace(strike=39_500), SimpleNamespace(strike=40_000)])
    assert adjustment_lines(run, ["10:00", "10:05"]) == [
        "10:05,10:00,1,0,roll_put,rolled,2,-0.35,400.00,395.00",
        "10:05,10:00,1,0,call_side,side_stop,2,1.20,,",
    ]


def test_the_hedge_earns_what_its_shares_brought_less_what_they_are_worth():
    hedge = {"event": EVENT_HEDGE, "contract": -1}
    fills = fills_of(
        {**hedge, "quantity": -30, "price2": 20_000, "fee": 100},  # 30 sold at $100, $1 of fees
        {**hedge, "quantity": 10, "price2": 19_600},  # 10 bought back at $98
        {"quantity": 1, "price2": 500},  # an option: none of the hedge's
    )
    row = SimpleNamespace(spot=np.array([100.0, 99.0]))
    run = SimpleNamespace(fills=fills, market=SimpleNamespace(row=row), last_row=2)
    assert hedge_profit(run) == 3000.0 - 980.0 - 20 * 99.0 - 1.0
