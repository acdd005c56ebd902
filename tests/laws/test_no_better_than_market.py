"""Law 3: nothing fills better than the market gave, on a quote already seen, or on no quote at all."""

import math
from collections import defaultdict
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from backtest_engine import BacktestResult
from core.report.measure import measure
from core.types import (
    CALL,
    EVENT_FILL,
    EVENT_SETTLEMENT,
    LEG_SIGN,
    LEGS,
    ROLL_UNTESTED,
    SHORT_CALL,
    SHORT_PUT,
    F,
    Reason,
    T,
)
from tests import markets
from tests.held import (
    Package,
    by_trade,
    carried_shares,
    lone_shorts,
    packages,
    share_fills,
    side_of,
    smile_fills,
    stock_rows,
    widths,
)

NAMES = list(markets.RUNS)
QUOTED = [
    name
    for name, (market, changes) in markets.RUNS.items()
    if market != "modelled" and changes.get("data__intraday_quotes") != "surface"
]
NATURAL = ("natural", "carried", "modelled", "sides", "trailing", "cheap", "tested_side", "tested_short", "rolled")
NATURAL += ("rolled_out", "hedged", "carried_rolled", "surface_full", "full", "smile")
RESTING = (Reason.PROFIT_TARGET, Reason.SIDE_TARGET)


def filled(result: BacktestResult) -> list[Package]:
    """Packages that filled in the market: all but settlements."""
    return [package for package in packages(result) if not package.settles]


def sides(package: Package) -> tuple[int, int]:
    """(natural, mid) of a package in half-cents, from the quotes that its fills show."""
    natural2 = mid2 = 0
    for f in package.fills:
        side = side_of(f[F["quantity"]])
        natural2 += side * 2 * (f[F["ask"]] if side > 0 else f[F["bid"]])
        mid2 += side * (f[F["bid"]] + f[F["ask"]])
    return natural2, mid2


@pytest.mark.parametrize("name", NAMES)
def test_a_buy_pays_at_least_the_mid_and_a_sale_gets_at_most_the_mid(name):
    result = markets.run_named(name)
    for f in result.fills[result.fills[:, F["event"]] == 0]:
        mid2 = f[F["bid"]] + f[F["ask"]]
        assert (f[F["price2"]] - mid2) * np.sign(f[F["quantity"]]) >= 0


@pytest.mark.parametrize("name", NAMES)
def test_each_leg_lies_between_its_mid_and_its_natural_side(name):
    result = markets.run_named(name)
    assert len(filled(result)) >= 4
    fills_between_mid_and_natural(result)


def half_spread2(result: BacktestResult, fill: list[int]) -> int:
    """Half of a leg's spread in half-cents as the costs widen it, rounded against us; a bid is never below 0."""
    bid, ask = fill[F["bid"]], fill[F["ask"]]
    return min(math.ceil((ask - bid) * result.costs.spread_multiple - 1e-9), bid + ask)


def fills_between_mid_and_natural(result: BacktestResult) -> None:
    """The natural side as stress widens it.

    Its extra cost, and the rounding to the cent, may add to what a package buys, or to its sales where it buys nothing.
    """
    extra2 = 2 * math.ceil(result.costs.extra_cents) + (result.costs.spread_multiple > 1.0)
    for package in filled(result):
        buys = any(f[F["quantity"]] > 0 for f in package.fills)
        for f in package.fills:
            side = side_of(f[F["quantity"]])
            worse2 = side * (f[F["price2"]] - f[F["bid"]] - f[F["ask"]])
            assert 0 <= worse2 <= half_spread2(result, f) + extra2 * (side > 0 or not buys)
        mid2 = sides(package)[1]
        assert mid2 <= 2 * package.net <= mid2 + sum(half_spread2(result, f) for f in package.fills) + 1 + extra2


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_sold_for_less_than_nothing(name):
    assert (markets.run_named(name).fills[:, F["price2"]] >= 0).all()


def test_longs_that_are_left_alone_are_not_sold_for_less_than_nothing_under_stress():
    result = markets.ran(markets.market("table"), strategy__exits__cheap_short=1.0, costs__extra_slippage=0.1)
    alone = [p for p in filled(result) if all(f[F["quantity"]] < 0 for f in p.fills)]
    assert len(alone) >= 3
    assert (result.fills[:, F["price2"]] >= 0).all()


def test_a_limit_order_for_longs_that_are_left_alone_waits_for_its_price():
    result = markets.ran(markets.market("modelled"), costs__fill="limit", strategy__exits__cheap_short=0.6)
    alone = [p for p in filled(result) if all(f[F["quantity"]] < 0 for f in p.fills)]
    assert len(alone) >= 3
    assert all(package.net <= 0 for package in alone)


@pytest.mark.parametrize("name", NAMES)
def test_the_legs_of_a_package_sum_to_its_credit_or_debit_exactly(name):
    """A net price is whole cents; the debit is all that was paid after the entry, less what rolls brought in."""
    packages_sum_to_trades(markets.run_named(name))


def packages_sum_to_trades(result: BacktestResult) -> None:
    for trade, (entry, *later) in by_trade(result).items():
        t = result.trades[trade]
        assert entry.opens and not any(package.opens for package in later)
        assert t[T["credit"]] == -entry.net
        if t[T["closed"]] >= 0:
            stock = stock_rows(result, trade)
            ended = max([later[-1].row, *stock[:, F["row"]].tolist()])
            assert ended == t[T["closed"]]
            assert len(stock) or later[-1].reason == t[T["reason"]]
            shares = int((stock[:, F["quantity"]] * stock[:, F["price2"]]).sum()) // (200 * t[T["contracts"]])
            assert t[T["debit"]] == sum(package.net for package in later) + shares
        assert {abs(f[F["quantity"]]) for package in (entry, *later) for f in package.fills} == {t[T["contracts"]]}


@pytest.mark.parametrize(("name", "share"), [*((name, 0.0) for name in NATURAL), ("fraction", 0.4), ("mid", 1.0)])
def test_a_package_pays_natural_less_its_share_of_the_spread_rounded_against_us(name, share):
    for package in filled(markets.run_named(name)):
        natural2, mid2 = sides(package)
        used = 0.0 if package.reason in RESTING else share
        assert package.net == int(np.ceil((natural2 + used * (mid2 - natural2)) / 2 - 1e-9))


@pytest.mark.parametrize("name", NAMES)
def test_nothing_fills_on_the_row_that_decided_it_or_before(name):
    orders_fill_later(markets.run_named(name))


def orders_fill_later(result: BacktestResult) -> None:
    for entry, *later in by_trade(result).values():
        assert entry.row > entry.decided
        for package in later:
            assert package.row > entry.row
            assert package.row > package.decided or package.settles or package.reason == Reason.LIQUIDATED
            if package.reason in RESTING:
                assert package.decided == entry.row  # it rests since the entry filled


@pytest.mark.parametrize("name", QUOTED)
def test_the_quote_of_a_fill_is_the_rows_own_and_later_than_the_decision(name):
    result = markets.run_named(name)
    snapshot_row = result.store.columns["q_row"]
    for package in filled(result):
        for f in package.fills:
            if package.reason == Reason.LIQUIDATED:
                continue  # the broker asks nobody
            assert package.decided < snapshot_row[f[F["snap"]]] == package.row


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


def close_quotes(result: BacktestResult, legs: dict[int, int], row: int) -> tuple[int, int] | None:
    """(natural in cents, mid in half-cents) to close some legs on the quotes of a row; None if one is not two-sided."""
    market = result.market
    natural = mid2 = 0
    if not market.row.quoted[row]:
        return None
    for leg, c in legs.items():
        cell = market.con.cell_base[c] + market.row.snap[row] - market.con.snap_first[c]
        if market.q_flag[cell] != 0:
            return None
        bid, ask = int(market.q_bid[cell]), int(market.q_ask[cell])
        natural -= LEG_SIGN[leg] * (ask if LEG_SIGN[leg] < 0 else bid)
        mid2 -= LEG_SIGN[leg] * (bid + ask)
    return natural, mid2


def level_of(credit: int, multiple: float) -> int:
    return int(np.ceil(credit * (1 + multiple) - 1e-9))


def stop_of(result: BacktestResult, before: list[Package]) -> int:
    """Cost of what is left at which a structure stops, by its entry and adjustments: of all credits, less payments."""
    credit = -sum(package.net for package in before if package.opens or package.rolls)
    paid = sum(package.net for package in before if not package.opens and not package.rolls)
    return level_of(credit, result.rules.stop_multiple) - paid


def side_credit(before: list[Package], short: int) -> int:
    """What a side was last sold for, cents: at the entry or at its roll."""
    for package in reversed(before):
        sold = {f[F["leg"]]: f for f in package.fills if side_of(f[F["quantity"]]) == LEG_SIGN[f[F["leg"]]]}
        if short in sold:
            return int(sold[short][F["price2"]] - sold[0 if short == SHORT_PUT else 3][F["price2"]]) // 2
    raise AssertionError("a side that was never sold")


STOPPED = (Reason.STOP, Reason.TRAILING, Reason.SIDE_STOP, Reason.CHEAP_SHORT)
NEVER_STOPS = (
    "butterfly",
    "carried_limit",
    "settled",
    "guarded",
    "tested_side",
    "tested_short",
    "rolled",
    "rolled_out",
)
NEVER_STOPS += ("carried_rolled", "assigned", "liquidated")


@pytest.mark.parametrize("name", QUOTED)
def test_a_price_exit_is_triggered_by_two_sided_quotes_of_every_leg_it_looks_at_alone(name):
    result = markets.run_named(name)
    found = 0
    for own in by_trade(result).values():
        for i, package in enumerate(own):
            if package.reason in STOPPED and not package.opens:
                found += 1
                price_exit_saw(result, own[:i], package)
    assert found or name in NEVER_STOPS


def price_exit_saw(result: BacktestResult, before: list[Package], package: Package) -> None:
    """A stop looks at all that is held, an exit of a side at that side, a cheap short at itself."""
    whole = package.reason in (Reason.STOP, Reason.TRAILING)
    seen = close_quotes(result, package.before if whole else package.closed, package.decided)
    assert seen is not None
    natural, mid2 = seen
    if package.reason == Reason.STOP:
        level = stop_of(result, before)
        assert (natural >= level) if result.rules.stop_on == 0 else (mid2 >= 2 * level)
        assert result.trades[package.trade][T["overshoot"]] == package.net - level
    if package.reason == Reason.SIDE_STOP:
        (short,) = {SHORT_PUT, SHORT_CALL} & set(package.closed)
        assert natural >= level_of(side_credit(before, short), result.rules.stop_multiple)
    if package.reason == Reason.CHEAP_SHORT:
        assert len(package.closed) == 1 and natural <= result.rules.cheap_short


@pytest.mark.parametrize("name", NAMES)
def test_a_close_never_pays_more_than_the_wider_wing_of_what_it_closes(name):
    result = markets.run_named(name)
    assert (result.trades[:, T["closed"]] >= 0).any()
    closes_inside_the_width(result)


def most_to_close(result: BacktestResult, legs: dict[int, int]) -> float:
    """Highest price of closing some legs, cents: the wider vertical; no bound on a short that lost its long."""
    extra = math.ceil(result.costs.extra_cents) if not widths(result, legs) else 0
    return math.inf if lone_shorts(legs) else max(widths(result, legs), default=0) + extra


def closes_inside_the_width(result: BacktestResult) -> None:
    """A structure, a side or what is left of either: at most the width; whole ones so by their debit."""
    for trade, (entry, *later) in by_trade(result).items():
        for package in later:
            if not package.rolls and not package.settles:
                assert package.net <= most_to_close(result, package.closed)
        if len(later) == 1 and result.trades[trade][T["closed"]] >= 0 and trade not in carried_shares(result):
            assert (
                result.trades[trade][T["debit"]] <= result.trades[trade][T["width"]] == max(widths(result, entry.after))
            )


@pytest.mark.parametrize("name", NAMES)
def test_a_settlement_pays_each_vertical_between_nothing_and_its_width(name):
    settlements_inside_the_width(markets.run_named(name))


def settlements_inside_the_width(result: BacktestResult) -> None:
    for package in packages(result):
        if any(f[F["event"]] != EVENT_SETTLEMENT for f in package.fills):
            continue
        assert package.after == {}
        for pair in ((0, 1), (2, 3)):
            legs = {leg: c for leg, c in package.before.items() if leg in pair}
            cost2 = sum(side_of(f[F["quantity"]]) * f[F["price2"]] for f in package.fills if f[F["leg"]] in pair)
            assert cost2 <= 2 * max(widths(result, legs), default=0)
            assert cost2 >= 0 or len(legs) == 1
        assert package.net <= max(widths(result, package.before), default=0)


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
    """Of an adjusted one: than its adjustments cost and what was left could cost; a roll never adds to the loss."""
    losses_are_bounded(markets.run_named(name))


def losses_are_bounded(result: BacktestResult) -> None:
    for trade, (entry, *later) in by_trade(result).items():
        t = result.trades[trade]
        if t[T["closed"]] < 0 or trade in carried_shares(result):
            continue
        if all(package.rolls for package in later[:-1]):
            assert -t[T["pnl"]] <= t[T["max_loss"]] + t[T["fees"]]
        cost = sum(package.net for package in later[:-1]) + most_to_close(result, later[-1].before)
        assert -t[T["pnl"]] <= (cost + entry.net) * 100 * t[T["contracts"]] + t[T["fees"]]


@pytest.mark.parametrize("name", NAMES)
def test_a_long_is_never_sold_while_the_short_it_protects_is_open(name):
    shorts_are_covered(markets.run_named(name))


def shorts_are_covered(result: BacktestResult) -> None:
    for package in packages(result):
        assert lone_shorts(package.after) == [], package


@pytest.mark.parametrize("name", NAMES)
def test_no_contract_is_held_long_in_one_structure_and_short_in_another(name):
    contracts_are_held_one_way(markets.run_named(name))


def contracts_are_held_one_way(result: BacktestResult) -> None:
    """After all fills of each row: what was closed on a row may be opened the other way on it."""
    held: dict[int, dict[int, int]] = defaultdict(dict)  # contract: trade: sign
    by_row: dict[int, list[Package]] = defaultdict(list)
    for package in packages(result):
        by_row[package.row].append(package)
    for row, several in by_row.items():
        for package in several:
            for c in package.before.values():
                del held[c][package.trade]
            for leg, c in package.after.items():
                held[c][package.trade] = LEG_SIGN[leg]
        for package in several:
            for c in package.after.values():
                assert len(set(held[c].values())) == 1, (row, c, held[c])


ORDERS_OF_ONE_MOMENT = {
    "a roll and an entry": {"strategy__entry__ladder_minutes": 30},
    "a roll and a roll": {"strategy__entry__ladder_minutes": 5, "strategy__manage__max_rolls": 1},
}


@pytest.mark.parametrize("what", list(ORDERS_OF_ONE_MOMENT))
def test_orders_of_one_moment_do_not_take_one_contract_both_ways(what):
    dense = {"strategy__entry__wing_width": 2.0, "strategy__entry__max_new_per_day": 10}
    result = markets.ran(markets.market("table"), **{**markets.ROLLED, **dense, **ORDERS_OF_ONE_MOMENT[what]})
    assert sum(package.rolls for package in packages(result)) >= 5
    contracts_are_held_one_way(result)


@pytest.mark.parametrize("name", NAMES)
def test_all_legs_of_a_structure_share_one_expiry_and_stand_in_order(name):
    legs_stand_in_order(markets.run_named(name))


def legs_stand_in_order(result: BacktestResult) -> None:
    """At the entry and after every adjustment: long put, short put, short call, long call."""
    con = result.market.con
    for package in packages(result):
        if package.opens:
            t = result.trades[package.trade]
            assert {leg: int(t[T["leg0"] + leg]) for leg in range(LEGS) if t[T["leg0"] + leg] >= 0} == package.after
        strikes = [int(con.strike[package.after[leg]]) for leg in sorted(package.after)]
        assert strikes == sorted(strikes)
        assert all(width > 0 for width in widths(result, package.after))
        assert {int(con.expiry[c]) for c in package.after.values()} <= {result.trades[package.trade][T["expiry"]]}
        assert all((con.right[c] == CALL) == (leg >= SHORT_CALL) for leg, c in package.after.items())


def test_a_butterfly_is_never_inverted():
    changes = {"strategy__structure": "iron_butterfly", "strategy__max_positions": 12}
    often = {"strategy__entry__ladder_minutes": 30, "strategy__entry__max_new_per_day": 12}
    result = markets.ran(markets.market("table"), **changes, **often, account__starting_cash=1e6)
    assert len(result.trades) >= 20
    legs_stand_in_order(result)


# ---------------------------------------------------------------- adjustments, rolls and the hedge


@pytest.mark.parametrize("name", NAMES)
def test_a_roll_pays_at_least_its_minimum_and_is_no_wider(name):
    result = markets.run_named(name)
    rolls_pay(result)
    rolled = sum(package.rolls for package in packages(result))
    assert (rolled >= 5) == (result.rules.tested_action == ROLL_UNTESTED)


def rolls_pay(result: BacktestResult) -> None:
    market, rules = result.market, result.rules
    for own in by_trade(result).values():
        rolled = [package for package in own if package.rolls]
        assert len(rolled) <= rules.max_rolls
        for package in rolled:
            assert -package.net >= rules.roll_min_credit
            assert sorted(package.closed) in ([0, 1], [2, 3])
            new = {leg: package.after[leg] for leg in package.closed}
            assert widths(result, new)[0] <= widths(result, package.closed)[0]
            (short,) = {SHORT_PUT, SHORT_CALL} & set(new)
            nearer = int(market.con.strike[new[short]]) - int(market.con.strike[package.closed[short]])
            assert nearer > 0 if short == SHORT_PUT else nearer < 0  # towards the spot: the untested side
            expiry = market.exp.day[result.trades[package.trade][T["expiry"]]]
            assert expiry - market.ses.day[market.row.session[package.decided]] >= rules.roll_min_dte


@pytest.mark.parametrize("name", ["rolled_out", "full"])
def test_a_campaign_rolls_to_a_later_expiry_for_more_than_its_close_cost(name):
    campaigns_roll_out(markets.run_named(name))


def test_campaigns_that_roll_out_again_and_again_keep_to_their_number():
    result = markets.ran(
        markets.market("modelled"), **{**markets.RUNS["rolled_out"][1], "strategy__exits__exit_dte": 5},
        strategy__entry__dte_min=6, strategy__entry__dte_target=9,
    )  # fmt: skip
    campaigns_roll_out(result)
    assert np.bincount(result.trades[:, T["campaign"]]).max() == 1 + result.rules.max_rolls_out


def campaigns_roll_out(result: BacktestResult) -> None:
    own, trades, market = by_trade(result), result.trades, result.market
    chains: dict[int, list[int]] = defaultdict(list)
    for trade, campaign in enumerate(trades[:, T["campaign"]].tolist()):
        chains[campaign].append(trade)
    for campaign, chain in chains.items():
        assert chain[0] == campaign and len(chain) <= 1 + result.rules.max_rolls_out
        for old, new in pairwise(chain):
            assert trades[old][T["reason"]] == Reason.ROLL_OUT
            assert trades[new][T["decided"]] >= trades[old][T["closed"]]
            waited = market.row.session[trades[new][T["opened"]]] - market.row.session[trades[old][T["closed"]]]
            assert waited in ((0,) if market.ses.decide[0] == -1 else (0, 1))  # the close of an evening: a day later
            assert market.exp.day[trades[new][T["expiry"]]] > market.exp.day[trades[old][T["expiry"]]]
            cost = sum(package.net for package in own[old][1:] if not package.rolls)
            assert trades[new][T["credit"]] >= cost + result.rules.roll_out_min_credit


@pytest.mark.parametrize("name", NAMES)
def test_shares_fill_at_the_far_side_of_a_cent_on_the_bar_after_the_look(name):
    result = markets.run_named(name)
    hedge_fills_at_the_market(result)
    assert bool(len(share_fills(result))) == (result.rules.delta_band > 0)


def hedge_fills_at_the_market(result: BacktestResult) -> None:
    row = result.market.row
    for f in share_fills(result).tolist():
        r, quantity = f[F["row"]], f[F["quantity"]]
        spot = round(row.spot[r] * 100)
        assert (f[F["bid"]], f[F["ask"]]) == (spot - 1, spot + 1)
        assert f[F["price2"]] == 2 * (f[F["ask"]] if quantity > 0 else f[F["bid"]])
        assert quantity != 0 and f[F["trade"]] == f[F["contract"]] == f[F["leg"]] == -1 and f[F["fee"]] == 0
        assert row.session[r] == row.session[r - 1]
        first = r - 1 == result.market.ses.start[row.session[r]]
        looked, before = ((row.minute[at] - 570) // result.rules.hedge_minutes for at in (r - 1, r - 2))
        assert first or looked != before
        assert row.minute[r] <= result.market.ses.close[row.session[r]]


@pytest.mark.parametrize("name", NAMES)
def test_options_of_the_smile_hedge_fill_at_the_far_side_on_a_row_with_quotes(name):
    result = markets.run_named(name)
    smile_fills_at_the_market(result)
    assert bool(len(smile_fills(result))) == bool(result.rules.smile)


def smile_fills_at_the_market(result: BacktestResult) -> None:
    """On a quoted cell of the row, later than the row that looks; nothing is held both ways at the broker."""
    market, taken = result.market, by_row_held(result)
    for f in smile_fills(result).tolist():
        r, c, side = f[F["row"]], f[F["contract"]], side_of(f[F["quantity"]])
        cell = market.con.cell_base[c] + market.row.snap[r] - market.con.snap_first[c]
        assert market.row.quoted[r] and market.q_flag[cell] == 0
        assert (f[F["bid"]], f[F["ask"]]) == (market.q_bid[cell], market.q_ask[cell])
        assert f[F["price2"]] == f[F["bid"]] + f[F["ask"]] + side * half_spread2(result, f)
        assert market.ses.decide[market.row.session[r]] < r
        assert f[F["trade"]] == f[F["leg"]] == -1
    for held in taken:
        assert all(len({q > 0 for q in quantities}) == 1 for quantities in held.values())


def by_row_held(result: BacktestResult) -> list[dict[int, list[int]]]:
    """After each row with a fill: contract: what each trade, and the smile hedge, holds of it."""
    held: dict[tuple[int, int], int] = defaultdict(int)
    found = []
    fills = [f for f in result.fills.tolist() if f[F["contract"]] >= 0]
    for row in sorted({f[F["row"]] for f in fills}):
        for f in fills:
            if f[F["row"]] == row:
                held[f[F["contract"]], f[F["trade"]]] += f[F["quantity"]]
        by_contract: dict[int, list[int]] = defaultdict(list)
        for (c, _), quantity in held.items():
            if quantity:
                by_contract[c].append(quantity)
        found.append(by_contract)
    return found


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
        risk_stays_in_budget(result)


@pytest.mark.parametrize("name", NAMES)
def test_the_risk_of_every_structure_stays_inside_the_budget(name):
    risk_stays_in_budget(markets.run_named(name))


def risk_stays_in_budget(result: BacktestResult) -> None:
    """Scores, regimes, volatility and Kelly may make it smaller, never larger."""
    for t in result.trades:
        assert t[T["max_loss"]] <= max(
            0, result.rules.max_risk_frac * result.equity[t[T["decided"]] - result.first_row]
        )
        assert 1 <= t[T["contracts"]] <= result.rules.contracts


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
    assert (result.trades[:, T["reason"]] == Reason.EXERCISED).any()
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
