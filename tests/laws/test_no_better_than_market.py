"""Law 3: nothing fills better than the market gave, on a quote already seen, or on no quote at all."""

from typing import Any

import numpy as np
import pytest

from backtest_engine import BacktestResult
from core.report.measure import measure
from core.types import CALL, LEG_SIGN, LEGS, F, Reason, T
from tests import markets

NAMES = list(markets.RUNS)
QUOTED = [name for name, (market, _) in markets.RUNS.items() if market != "modelled" and name != "surface"]
PRICE_EXITS = (Reason.PROFIT_TARGET, Reason.STOP)


def packages(result: BacktestResult) -> list[Any]:
    """Fills of the market (no settlement, no interest), grouped by row and trade."""
    fills = result.fills[result.fills[:, F["event"]] == 0]
    keys = fills[:, F["row"]] * 100_000 + fills[:, F["trade"]]
    return [fills[keys == key] for key in np.unique(keys)]


def net_cost(package: Any) -> int:
    """What a package pays per share in cents, positive: paid."""
    return int((np.sign(package[:, F["quantity"]]) * package[:, F["price2"]]).sum()) // 2


def sides(package: Any) -> tuple[int, int]:
    """(natural, mid) of a package in half-cents, from the quotes that its fills show."""
    side = np.sign(package[:, F["quantity"]])
    natural = np.where(side > 0, package[:, F["ask"]], package[:, F["bid"]])
    return int((side * natural * 2).sum()), int((side * (package[:, F["bid"]] + package[:, F["ask"]])).sum())


@pytest.mark.parametrize("name", NAMES)
def test_a_buy_pays_at_least_the_mid_and_a_sale_gets_at_most_the_mid(name):
    result = markets.run_named(name)
    for f in result.fills[result.fills[:, F["event"]] == 0]:
        mid2 = f[F["bid"]] + f[F["ask"]]
        assert (f[F["price2"]] - mid2) * np.sign(f[F["quantity"]]) >= 0


@pytest.mark.parametrize("name", NAMES)
def test_each_leg_lies_between_its_mid_and_its_natural_side(name):
    result = markets.run_named(name)
    assert len(packages(result)) >= 4
    for f in result.fills[result.fills[:, F["event"]] == 0]:
        mid2, side = f[F["bid"]] + f[F["ask"]], np.sign(f[F["quantity"]])
        natural2 = 2 * (f[F["ask"]] if side > 0 else f[F["bid"]])
        assert min(mid2, natural2) <= f[F["price2"]] <= max(mid2, natural2)


@pytest.mark.parametrize("name", NAMES)
def test_the_legs_of_a_package_sum_to_its_credit_or_debit_exactly(name):
    result = markets.run_named(name)
    for package in packages(result):
        total2 = int((np.sign(package[:, F["quantity"]]) * package[:, F["price2"]]).sum())
        assert total2 % 2 == 0  # a net price is whole cents
        trade = result.trades[package[0, F["trade"]]]
        if package[0, F["row"]] == trade[T["opened"]]:
            assert trade[T["credit"]] == -total2 // 2
        else:
            assert trade[T["debit"]] == total2 // 2


@pytest.mark.parametrize(
    ("name", "share"), [("natural", 0.0), ("fraction", 0.4), ("mid", 1.0), ("carried", 0.0), ("modelled", 0.0)]
)
def test_a_package_pays_natural_less_its_share_of_the_spread_rounded_against_us(name, share):
    result = markets.run_named(name)
    for package in packages(result):
        natural2, mid2 = sides(package)
        used = 0.0 if package[0, F["reason"]] == Reason.PROFIT_TARGET else share
        assert net_cost(package) == int(np.ceil((natural2 + used * (mid2 - natural2)) / 2 - 1e-9))


@pytest.mark.parametrize("name", NAMES)
def test_nothing_fills_on_the_row_that_decided_it_or_before(name):
    result = markets.run_named(name)
    trades = result.trades
    assert (trades[:, T["opened"]] > trades[:, T["decided"]]).all()
    closed = trades[(trades[:, T["closed"]] >= 0) & (trades[:, T["reason"]] != Reason.SETTLED)]
    assert (closed[:, T["closed"]] > closed[:, T["exit_decided"]]).all()
    assert (closed[:, T["closed"]] > closed[:, T["opened"]]).all()
    resting = closed[closed[:, T["reason"]] == Reason.PROFIT_TARGET]
    assert (resting[:, T["exit_decided"]] == resting[:, T["opened"]]).all()  # it rests since the entry filled


@pytest.mark.parametrize("name", QUOTED)
def test_the_quote_of_a_fill_is_the_rows_own_and_later_than_the_decision(name):
    result = markets.run_named(name)
    snapshot_row = result.store.columns["q_row"]
    for package in packages(result):
        row, trade = package[0, F["row"]], result.trades[package[0, F["trade"]]]
        quote_row = snapshot_row[package[0, F["snap"]]]
        assert quote_row == row
        assert quote_row > (trade[T["decided"]] if row == trade[T["opened"]] else trade[T["exit_decided"]])


@pytest.mark.parametrize("name", QUOTED)
def test_no_fill_uses_a_cell_that_is_not_two_sided(name):
    """The drawn quotes themselves are looked up: present, not 0/0, not crossed, not bid 0 with ask 5."""
    result = markets.run_named(name)
    chain = markets.tape(markets.RUNS[name][0]).chain
    keys = zip(chain.ts.tolist(), chain.day.tolist(), chain.is_call.tolist(), chain.strike.tolist(), strict=True)
    book = dict(zip(keys, zip(np.round(chain.bid * 100), np.round(chain.ask * 100), strict=True), strict=True))
    market = result.market
    for f in result.fills[result.fills[:, F["event"]] == 0]:
        con = market.con[f[F["contract"]]]
        key = (int(market.row.ts[f[F["row"]]]), int(market.exp.day[con.expiry]), con.right == CALL, int(con.strike))
        assert (f[F["bid"]], f[F["ask"]]) == book[key]
        assert f[F["bid"]] <= f[F["ask"]] > 0
        assert f[F["bid"]] > 0 or f[F["ask"]] <= 50


@pytest.mark.parametrize("name", [n for n in QUOTED if n != "settled"])
def test_a_price_exit_is_triggered_by_two_sided_quotes_of_every_leg_alone(name):
    result = markets.run_named(name)
    market = result.market
    stopped = result.trades[result.trades[:, T["reason"]] == Reason.STOP]
    for trade in stopped:
        row = trade[T["exit_decided"]]
        assert market.row.quoted[row]
        q = market.row.snap[row]
        natural = mid2 = 0
        for leg in range(LEGS):
            c = trade[T["leg0"] + leg]
            if c < 0:
                continue
            cell = market.con.cell_base[c] + q - market.con.snap_first[c]
            assert market.q_flag[cell] == 0
            bid, ask = int(market.q_bid[cell]), int(market.q_ask[cell])
            natural -= LEG_SIGN[leg] * (ask if LEG_SIGN[leg] < 0 else bid)
            mid2 -= LEG_SIGN[leg] * (bid + ask)
        level = int(np.ceil(trade[T["credit"]] * (1 + result.rules.stop_multiple) - 1e-9))
        assert (natural >= level) if result.rules.stop_on == 0 else (mid2 >= 2 * level)
        assert trade[T["overshoot"]] == trade[T["debit"]] - level
    assert len(stopped) or name in ("butterfly", "carried_limit")


@pytest.mark.parametrize("name", NAMES)
def test_a_close_never_pays_more_than_the_wider_wing(name):
    result = markets.run_named(name)
    done = result.trades[result.trades[:, T["closed"]] >= 0]
    assert len(done)
    assert (done[:, T["debit"]] <= done[:, T["width"]]).all()


@pytest.mark.parametrize("name", NAMES)
def test_the_width_of_a_trade_is_its_wider_wing_and_its_maximum_loss_follows_from_it(name):
    result = markets.run_named(name)
    strike = result.market.con.strike
    for t in result.trades:
        put = strike[t[T["leg1"]]] - strike[t[T["leg0"]]] if t[T["leg1"]] >= 0 else 0
        call = strike[t[T["leg3"]]] - strike[t[T["leg2"]]] if t[T["leg2"]] >= 0 else 0
        assert t[T["width"]] == max(put, call)  # not their sum: only one side can lose
        assert t[T["max_loss"]] == (t[T["width"]] - t[T["credit"]]) * 100 * t[T["contracts"]]


@pytest.mark.parametrize("name", NAMES)
def test_no_closed_trade_loses_more_than_width_less_credit_and_fees(name):
    result = markets.run_named(name)
    done = result.trades[result.trades[:, T["closed"]] >= 0]
    assert (-done[:, T["pnl"]] <= done[:, T["max_loss"]] + done[:, T["fees"]]).all()


@pytest.mark.parametrize("name", NAMES)
def test_no_contract_is_held_long_in_one_structure_and_short_in_another(name):
    result = markets.run_named(name)
    for i, a in enumerate(result.trades):
        for b in result.trades[:i]:
            overlap = b[T["closed"]] < 0 or b[T["closed"]] > a[T["opened"]]
            if not overlap:
                continue
            for j in range(LEGS):
                for k in range(LEGS):
                    if a[T["leg0"] + j] >= 0 and a[T["leg0"] + j] == b[T["leg0"] + k]:
                        assert LEG_SIGN[j] == LEG_SIGN[k]


@pytest.mark.parametrize("name", NAMES)
def test_all_legs_of_a_structure_share_one_expiry_and_stand_in_order(name):
    result = markets.run_named(name)
    con = result.market.con
    for t in result.trades:
        legs = [c for c in t[T["leg0"] : T["leg0"] + LEGS] if c >= 0]
        assert {int(con.expiry[c]) for c in legs} == {int(t[T["expiry"]])}
        strikes = [int(con.strike[c]) for c in legs]
        assert strikes == sorted(strikes)
        if t[T["leg0"]] >= 0:
            assert con.strike[t[T["leg0"]]] < con.strike[t[T["leg1"]]]
        if t[T["leg3"]] >= 0:
            assert con.strike[t[T["leg2"]]] < con.strike[t[T["leg3"]]]


# ---------------------------------------------------------------- limits that the settings promise


def days_to_expiry(result: BacktestResult, rows: Any, expiry: Any) -> Any:
    return result.market.exp.day[expiry] - result.market.ses.day[result.market.row.session[rows]]


@pytest.mark.parametrize("name", [n for n in NAMES if n != "carried_limit"])
def test_entries_keep_the_dte_limits_when_they_fill(name):
    entries_keep_dte(markets.run_named(name))


def test_a_limit_order_that_takes_days_to_fill_keeps_the_dte_limits():
    result = markets.ran(markets.market("carried"), costs__fill="limit", strategy__entry__dte_min=8)
    entries_keep_dte(result)
    same = (
        result.market.row.session[result.trades[:, T["opened"]]]
        == result.market.row.session[result.trades[:, T["decided"]]]
    )
    assert same.all()


def entries_keep_dte(result: BacktestResult) -> None:
    for rows in (result.trades[:, T["decided"]], result.trades[:, T["opened"]]):
        dte = days_to_expiry(result, rows, result.trades[:, T["expiry"]])
        assert len(dte) and (dte >= result.rules.dte_min).all() and (dte <= result.rules.dte_max).all()


def wings(result: BacktestResult) -> Any:
    """Width of each wing that is used, $."""
    strike = result.market.con.strike / 100.0
    t = result.trades
    put = strike[t[:, T["leg1"]]] - strike[t[:, T["leg0"]]]
    call = strike[t[:, T["leg3"]]] - strike[t[:, T["leg2"]]]
    return np.r_[put[t[:, T["leg1"]] >= 0], call[t[:, T["leg2"]] >= 0]]


def test_a_wing_is_as_wide_as_asked_to_a_quarter():
    result = markets.ran(markets.market("modelled"), strategy__max_positions=1)
    assert len(result.trades) >= 5
    assert (np.abs(wings(result) - 3.0) <= 0.25 * 3.0 + 0.5).all()


@pytest.mark.parametrize("name", ["natural", "surface"])
def test_a_wing_stays_as_wide_as_asked_beside_other_structures(name):
    assert (np.abs(wings(markets.run_named(name)) - 3.0) <= 0.25 * 3.0 + 0.5).all()


def test_the_risk_of_a_structure_stays_inside_the_budget_when_it_fills():
    """Of the equity on the row that decided; the credit of the fill counts, not the one hoped for."""
    for share in (0.01, 0.03, 1.0):
        changes = {"strategy__size__max_risk_frac": share, "strategy__size__contracts": 50, "costs__fill": "mid"}
        result = markets.ran(markets.market("table"), **changes)
        assert len(result.trades) >= 2
        for t in result.trades:
            assert t[T["max_loss"]] <= share * result.equity[t[T["decided"]]]
            assert 1 <= t[T["contracts"]] <= 50


def test_between_snapshots_only_legs_with_a_two_sided_last_quote_fill():
    result = markets.run_named("surface")
    market = result.market
    fills = result.fills[(result.fills[:, F["event"]] == 0) & (result.fills[:, F["kind"]] == 1)]
    assert len(fills)
    for f in fills:
        con = market.con[f[F["contract"]]]
        assert con.snap_first <= f[F["snap"]] <= con.snap_last
        assert market.q_flag[con.cell_base + f[F["snap"]] - con.snap_first] == 0


def test_a_physically_settled_structure_that_could_not_be_closed_says_so():
    result = markets.run_named("butterfly")
    assert (result.trades[:, T["reason"]] == Reason.SETTLED).any()
    words = " ".join(measure(result).metrics["warnings"]).lower()
    assert "deliver" in words or "assign" in words or "physical" in words


@pytest.mark.parametrize("name", ["natural", "carried", "modelled"])
def test_the_profit_target_is_met_by_the_natural_price_after_the_entry(name):
    """Never on the row of the entry itself, and never for more than the limit."""
    result = markets.run_named(name)
    hits = result.trades[result.trades[:, T["reason"]] == Reason.PROFIT_TARGET]
    assert len(hits) >= 3
    assert (hits[:, T["debit"]] <= np.floor(hits[:, T["credit"]] * (1 - result.rules.profit_frac) + 1e-9)).all()
    assert (hits[:, T["closed"]] > hits[:, T["opened"]]).all()


def test_costs_are_subtracted_and_slippage_does_not_grow_with_the_price_per_share():
    """Twice the contracts: twice the fees and twice the slippage in $, the same credit per share."""
    shared = {"strategy__size__max_risk_frac": 1.0, "costs__fees": "classic", "costs__extra_slippage": 0.02}
    shared["account__starting_cash"] = 1e6
    one, two = (markets.ran(markets.market("table"), strategy__size__contracts=n, **shared) for n in (1, 2))
    assert np.array_equal(one.trades[:, T["credit"]], two.trades[:, T["credit"]])
    assert np.array_equal(2 * one.trades[:, T["fees"]], two.trades[:, T["fees"]])
    assert np.array_equal(2 * one.trades[:, T["pnl"]], two.trades[:, T["pnl"]])
    closed = one.trades[one.trades[:, T["closed"]] >= 0]
    assert (closed[:, T["fees"]] == 8 * 65).all()
    assert (closed[:, T["pnl"]] == (closed[:, T["credit"]] - closed[:, T["debit"]]) * 100 - closed[:, T["fees"]]).all()
