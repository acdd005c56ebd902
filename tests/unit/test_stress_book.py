"""An open book under shocks: against Black's formula written anew, at rest, at expiry, and where nothing is known."""

import json
import math

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import brentq
from scipy.stats import norm

from core.errors import ConfigError, DataError
from core.payoff import payoff_cents, payoff_range_cents
from core.quotes import leg_greeks
from core.report.stress import book_lines, grid_lines, shock_lines, small_stress
from core.report.stress_plots import short
from core.shocks import Shock
from core.stress.book import (
    AT_EXPIRY,
    DAYS,
    SPOT_MOVES,
    STILL,
    VOL_FACTORS,
    Grid,
    book_stress,
    grid_of,
    grid_value,
    held_at,
    open_risk,
    profits,
    repriced,
    riskiest,
    values,
    worst_cell,
)
from core.stress.events import event_of, read_events, term_exponent
from core.types import CALL, T
from tests import hand, markets

EVENTS = read_events()
TEN_FIVE = "06-02 10:05"  # the condor of tests.hand is filled here


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """(run, its book at the fill) on the hand-drawn market."""
    result = hand.ran(hand.market(tmp_path_factory.mktemp("hand")))
    return result, held_at(result, hand.row_at(result.market, TEN_FIVE))


def black(call, spot, strike, years, vol):
    """Black's price without carry, from its textbook form."""
    if years <= 0.0:
        return max(spot - strike, 0.0) if call else max(strike - spot, 0.0)
    deviation = vol * math.sqrt(years)
    d = math.log(spot / strike) / deviation + deviation / 2.0
    sign = 1.0 if call else -1.0
    return sign * (spot * norm.cdf(sign * d) - strike * norm.cdf(sign * (d - deviation)))


def vol_of(call, strike, years, price):
    return brentq(lambda v: black(call, hand.SPOT, strike, years, v) - price, 0.01, 3.0)


def by_hand(result, book, shock):
    """P&L of the hand-drawn condor under a shock, $: its volatilities from its prices, then the formula."""
    m, total = result.market, 0.0
    years = (m.exp.ts[m.con.expiry[book.contracts[0]]] - m.row.ts[book.row]) / (365 * 86400e9)
    for c, quantity in zip(book.contracts.tolist(), book.quantity.tolist(), strict=True):
        call, strike = m.con.right[c] == CALL, m.con.strike[c] / 100.0
        price = hand.CONDOR[hand.contract_name(m, c)][1] / 100.0
        vol = vol_of(call, strike, years, price)
        left = years - shock.days / 365.0
        spot = hand.SPOT * (1.0 + shock.move)
        power = (30.0 / max(365.0 * left, 7.0)) ** shock.term
        below = min(max(math.log(spot / strike) / 0.10, -2.0), 2.0)
        slide = 1.0
        if shock.slide:  # the hand-drawn smile: straight between its strikes, level beyond them
            strikes = [float(name[1:]) for name in hand.CONDOR]
            smile = [vol_of(n[0] == "C", float(n[1:]), years, hand.CONDOR[n][1] / 100.0) for n in hand.CONDOR]
            slide = np.interp(hand.SPOT, strikes, smile) / np.interp(spot, strikes, smile)
        factor = slide * math.exp(math.log(shock.vol_factor) * power) * max(1.0 + shock.skew * below, 0.25)
        total += 100 * quantity * (black(call, spot, strike, left, vol * factor) - price)
    return total


# --- the grid --------------------------------------------------------------------------------------------


def test_every_cell_of_the_grid_is_blacks_price_of_the_moved_legs(drawn):
    result, book = drawn
    grid = grid_of(result, book)
    assert grid.pnl_usd.shape == (len(DAYS), len(VOL_FACTORS), len(SPOT_MOVES))
    for (d, v, s), cell in np.ndenumerate(grid.pnl_usd):
        shock = Shock(SPOT_MOVES[s], VOL_FACTORS[v], 0.0, 0.0, min(DAYS[d], 1e6))
        assert cell == pytest.approx(by_hand(result, book, shock), abs=0.02), shock


@pytest.mark.parametrize(
    "shock",
    [
        Shock(-0.08, 1.9, 0.35, 0.12, 3.0),
        Shock(-0.20, 4.1, 0.27, 0.2, 1.0),
        Shock(0.05, 0.8, 0.5, -0.1, 40.0),
        Shock(-0.03, 1.6, 0.3, 0.05, 2.0, 1.0),
        Shock(-0.15, 2.2, 0.3, 0.0, 2.0, 1.0),  # the new money lies below the last strike
        Shock(0.06, 0.8, 0.3, 0.0, 2.0, 1.0),
        Shock(0.03, 4.0, 0.0, 20.0, 0.0),  # the tilt of the calls ends at its least
    ],
)
def test_term_and_skew_move_each_leg_as_stated(drawn, shock):
    result, book = drawn
    assert profits(result, book, [shock]).sum() == pytest.approx(by_hand(result, book, shock), abs=0.02)


def test_a_shock_of_nothing_makes_nothing(drawn):
    result, book = drawn
    assert (profits(result, book, [STILL, Shock(0.0, 1.0, 0.4, 0.0, 0.0)]) == 0.0).all()
    grid = grid_of(result, book)
    at_rest = grid.pnl_usd[DAYS.index(0.0), VOL_FACTORS.index(1.0), SPOT_MOVES.index(0.0)]
    assert at_rest == 0.0


def test_at_expiry_the_grid_is_the_payoff_and_its_worst_the_payoffs_worst(drawn):
    result, book = drawn
    con = result.market.con
    legs = (con.right[book.contracts], con.strike[book.contracts], book.quantity)
    now = values(result, book, [STILL]).sum()
    page = grid_of(result, book).pnl_usd[-1]
    for j, move in enumerate(SPOT_MOVES):
        settled = round(100 * hand.SPOT * (1.0 + move))
        assert page[:, j] == pytest.approx(payoff_cents(*legs, settled) - now, abs=1e-6)
    least, _ = payoff_range_cents(*legs, round(80 * hand.SPOT), round(110 * hand.SPOT))
    assert page.min() == pytest.approx(least - now, abs=1e-6)
    worst = grid_value(grid_of(result, book))["worst"]
    assert worst["pnl_usd"] == pytest.approx(least - now, abs=0.01)
    assert (worst["days"], worst["vol_factor"]) == ("expiry", None)


def test_of_equal_losses_the_one_that_is_nearest_is_named():
    table = np.zeros((2, 2, 3))
    table[0, 1, 0] = table[1, 0, 2] = table[1, 1, 2] = -5.001
    table[0, 0, 0] = -5.0  # the same to the cent
    grid = Grid((1.0, AT_EXPIRY), (0.7, 1.0), (-0.2, 0.0, 0.1), table)
    assert worst_cell(grid) == {"pnl_usd": -5.0, "spot_move": 0.1, "vol_factor": None, "days": "expiry"}
    table[0, 0, 2] = table[0, 1, 2] = -5.0
    assert worst_cell(grid) == {"pnl_usd": -5.0, "spot_move": 0.1, "vol_factor": 1.0, "days": 1.0}


def test_a_higher_volatility_costs_the_seller_where_the_spot_stands(drawn):
    result, book = drawn
    line = grid_of(result, book).pnl_usd[0][:, SPOT_MOVES.index(0.0)]
    assert (np.diff(line) < 0.0).all()


@pytest.mark.parametrize("name", ["carried", "modelled"])
def test_a_slide_gives_the_new_money_the_stated_multiple_of_the_old(name):
    """Wherever the spot goes, to the strike of any leg of one expiry, the volatility there comes out the same."""
    result = markets.run_named(name)
    book, m = riskiest(result), result.market
    money = {}
    for j, c in enumerate(book.contracts.tolist()):
        move = m.con.strike[c] / 100.0 / float(m.row.spot[book.row]) - 1.0
        _, factors = repriced(result, book, [Shock(move, 1.7, 0.0, 0.0, 0.0, 1.0), Shock(0.0, 1.7, 0.0, 0.0, 0.0, 1.0)])
        assert factors[1, j] == pytest.approx(1.7)
        assert factors[0, j] != pytest.approx(1.7, rel=1e-3)
        money.setdefault(int(m.con.expiry[c]), []).append(factors[0, j] * leg_greeks(m, c, book.row)[5])
    for several in money.values():
        assert len(several) > 2 and several == pytest.approx([several[0]] * len(several))


def test_shares_of_the_hedge_move_with_the_spot(drawn):
    result, book = drawn
    moved = Shock(-0.10, 1.0, 0.0, 0.0, 0.0)
    more = profits(result, book._replace(shares=30), [moved]) - profits(result, book, [moved])
    assert more.sum() == pytest.approx(30 * hand.SPOT * -0.10)


# --- which book ------------------------------------------------------------------------------------------


def test_the_riskiest_book_holds_the_most_that_can_be_lost():
    result = markets.run_named("natural")
    risk, book = open_risk(result), riskiest(result)
    assert risk.max() == risk[book.row - result.first_row] == book.trades[:, T["max_loss"]].sum()
    assert len(book.numbers) > 1


def test_quantities_are_what_the_open_structures_hold():
    result = markets.run_named("natural")
    book = riskiest(result)
    expected = {}
    for t in book.trades:
        for leg, sign in enumerate((1, -1, -1, 1)):
            c = int(t[T["leg0"] + leg])
            expected[c] = expected.get(c, 0) + sign * int(t[T["contracts"]])
    assert dict(zip(book.contracts.tolist(), book.quantity.tolist(), strict=True)) == {
        c: q for c, q in expected.items() if q
    }


def test_a_leg_without_a_quote_makes_its_sums_unknown_and_is_counted(tmp_path):
    gone = hand.Then("06-02 11:00", {"P460": hand.NO_QUOTE})
    result = hand.ran(hand.market(tmp_path, gone))
    book = held_at(result, hand.row_at(result.market, "06-02 11:00"))
    value = book_stress(result, book, EVENTS, "asked")
    assert value["book"]["legs_without_volatility"] == 1
    assert value["grid"]["unknown_cells"] == value["grid"]["cells"]
    assert all(s["pnl_usd"] is None for s in value["shocks"])
    assert value["worst_shock"] is value["grid"]["worst"] is None
    json.dumps(value, allow_nan=False)
    assert riskiest(result).row < book.row  # a row of the same risk whose volatilities are known comes first


def test_a_book_without_any_volatility_and_a_run_without_trades_are_errors(tmp_path):
    gone = hand.Then("06-02 11:00", dict.fromkeys(hand.CONDOR, hand.NO_QUOTE))
    result = hand.ran(hand.market(tmp_path, gone))
    book = held_at(result, hand.row_at(result.market, "06-02 11:00"))
    with pytest.raises(DataError, match="knows no volatility of the book at 2025-06-02T11:00"):
        book_stress(result, book, EVENTS, "asked")
    idle = hand.ran(result.store, entry__weekdays="fri")
    with pytest.raises(DataError, match="opened no structure"):
        riskiest(idle)
    assert "opened no structure" in small_stress(idle)["unknown"]


@pytest.mark.parametrize("name", ["natural", "carried", "modelled", "smile", "hedged"])
def test_every_kind_of_market_and_book_can_be_stressed(name):
    result = markets.run_named(name)
    value = small_stress(result)
    assert value["grid"]["unknown_cells"] == 0
    assert value["grid"]["worst"]["pnl_usd"] < 0.0
    assert value == small_stress(result)


# --- the moves of the past ---------------------------------------------------------------------------------


def test_every_shock_has_a_source_and_falls_come_with_rising_volatility():
    assert len(EVENTS) >= 12
    for event in EVENTS:
        assert len(event.facts["source"]) > 20 and len(event.facts["skew_source"]) > 20
        assert -0.25 < event.shock.move < 0.0
        assert 1.0 < event.shock.vol_factor < 5.0
        assert 0.0 <= event.shock.term < 1.0 and 0.0 <= event.shock.skew <= 0.3 and event.shock.days >= 1
        if event.vol_factor_3m is not None:  # three months move less than one
            assert 1.0 < event.vol_factor_3m < event.shock.vol_factor


def test_the_assumed_term_is_the_median_of_those_that_are_known():
    terms = [e.shock.term for e in EVENTS if e.vol_factor_3m is not None]
    assumed = {e.shock.term for e in EVENTS if e.vol_factor_3m is None}
    assert assumed == {round(float(np.median(terms)), 2)}


def test_the_term_gives_back_both_factors():
    term = term_exponent(2.156, 1.652)
    assert math.exp(math.log(2.156) * (30 / 93) ** term) == pytest.approx(1.652)


def test_facts_are_those_of_the_daily_series(kit):
    spy = pd.read_parquet(kit / "spy_daily.parquet")[["open", "low", "close"]].to_numpy()
    vol = pd.read_parquet(kit / "vol_indices_daily.parquet")
    vix, vix3m = vol[["vix_close", "vix_high"]].to_numpy(), vol[["vix3m_close"]].to_numpy()
    for event in EVENTS:
        if event.key == "crash_1987":
            continue
        for name, table in (("spot", spy), ("vol", vix), ("vol3m", vix3m)):
            for number in event.facts[name] or ():
                assert np.nanmin(np.abs(table - number)) < 0.006, (event.key, name, number)


def smile_of(chain, day):
    """(forward by put-call parity, {strike: volatility of the out-of-the-money quote}) of SPXW of 28 February 2018."""
    mine = chain[(chain.date == day) & (chain.bid > 0.05)]
    mid = {side: ((q.bid + q.ask) / 2).set_axis(q.strike) for side, q in mine.groupby("type")}
    near = [k for k in mid["put"].index if abs(k - mine.underlying.iloc[0]) < 40 and k in mid["call"].index]
    forward = float(np.median([k + mid["call"][k] - mid["put"][k] for k in near]))
    years = (pd.Timestamp("2018-02-28") - pd.Timestamp(day)).days / 365
    smile = {}
    for strike in range(2375, 2801, 25):
        call = strike >= forward
        price = mid["call" if call else "put"].get(strike)
        if price is not None:
            smile[strike] = brentq(lambda v, k=strike, s=call, p=price: black(s, forward, k, years, v) - p, 0.02, 3.0)
    return forward, smile


def test_february_2018_moved_every_strike_by_one_factor_and_the_money_by_more(kit):
    """What `skew` and `slide` say of 2018-02-05 is in its quotes."""
    chain = pd.read_parquet(kit / "spxw_chain_eod_2018.parquet")
    (old, before), (new, after) = smile_of(chain, "2018-02-02"), smile_of(chain, "2018-02-05")
    strikes = sorted(before.keys() & after.keys())
    ratio = np.array([after[k] / before[k] for k in strikes])
    slope = -0.1 * np.polyfit(np.log(strikes), ratio / ratio.mean(), 1)[0]
    event = next(e for e in EVENTS if e.key == "february_2018")
    assert event.shock.skew == pytest.approx(slope, abs=0.02)

    def at(smile, strike):
        return np.interp(strike, list(smile), list(smile.values()))

    money_to_money, slide = at(after, new) / at(before, old), at(before, new) / at(before, old)
    assert money_to_money == pytest.approx(2.26, abs=0.03)
    assert slide == pytest.approx(1.40, abs=0.02)
    assert ratio.mean() == pytest.approx(money_to_money / slide, abs=0.02)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"spot": None}, "two positive numbers"),
        ({"vol": [20.0, -1.0]}, "two positive numbers"),
        ({"vol3m": [20.0, 19.0]}, "moves vol and vol3m apart"),
        ({"source": " "}, "needs words"),
        ({"days": -1}, "days of 0 or more"),
    ],
)
def test_a_shock_that_makes_no_sense_is_refused_by_name(change, words):
    facts = {**EVENTS[0].facts, **change}
    with pytest.raises(ConfigError, match=f"'mine'.*{words}"):
        event_of("mine", facts, 0.3, "shocks.yaml")
    with pytest.raises(ConfigError, match="'mine' lacks skew"):
        event_of("mine", {k: v for k, v in EVENTS[0].facts.items() if k != "skew"}, 0.3, "shocks.yaml")


@pytest.mark.parametrize(
    ("cell", "words"), [(-123.4, "\u2212123"), (9_949.0, "9,949"), (12_345.0, "12.3k"), (-2.5e6, "\u22122.5m")]
)
def test_numbers_in_cells_are_short(cell, words):
    assert short(cell) == words


def test_lines_say_unknown_where_it_is(tmp_path):
    gone = hand.Then("06-02 11:00", {"P460": hand.NO_QUOTE})
    result = hand.ran(hand.market(tmp_path, gone))
    book = held_at(result, hand.row_at(result.market, "06-02 11:00"))
    value = {**book_stress(result, book, EVENTS, "asked"), "quotes": "real"}
    lines = "\n".join(book_lines(value) + shock_lines(value) + grid_lines(value))
    assert "1 of 4 legs have no known volatility" in lines
    assert "455 cells are unknown" in lines and "nan" not in lines.lower()
