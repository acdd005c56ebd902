"""Short condors on real evening chains through a volatility shock: marks, exits and settlement from the raw quotes.

Everything that a test expects is computed here from the Parquet files; the engine's ledger is compared with it.
"""

import datetime as dt
import math
from functools import cache

import numpy as np
import pandas as pd
import pytest

import backtest_engine
from core.types import (
    CASH,
    EVENT_FILL,
    EVENT_SETTLEMENT,
    LEG_SIGN,
    LIQUIDATION,
    MARKS,
    MULTIPLIER,
    SOFT,
    F,
    Reason,
    T,
)

CHAIN, DAILY = "spxw_chain_eod_2018.parquet", "spx_daily.parquet"
SHOCK = "2018-02-05"
SHOCK_MOVE = 0.02  # a day that moves less need not hurt a short condor
STARTING_CASH = 100_000
RIGHTS = ("put", "put", "call", "call")  # of long put, short put, short call, long call
DELTAS = ((0.16, 0.05), (0.20, 0.05), (0.25, 0.10), (0.30, 0.15), (0.10, 0.03), (0.40, 0.20))
FAMOUS = ("2018-02-01", ((2605.0, 2740.0, 2890.0, 2950.0), (2605.0, 2720.0, 2900.0, 2950.0)))
INDEX_SCALE = 10.0  # the index's spreads against SPY's


def cents(dollars):
    return round(dollars * 100)


# ---------------------------------------------------------------- the raw files


@pytest.fixture(scope="module")
def chain(kit_files):
    rows = pd.read_parquet(kit_files(CHAIN, DAILY)[0])
    rows["day"] = rows["date"].dt.strftime("%Y-%m-%d")
    rows["expiry"] = rows["expiration"].dt.strftime("%Y-%m-%d")
    return rows.drop_duplicates(["day", "expiry", "type", "strike"], keep="last")


@pytest.fixture(scope="module")
def closes(kit_files):
    """Official close of the index by date."""
    rows = pd.read_parquet(kit_files(CHAIN, DAILY)[1])
    return dict(zip(rows["date"].dt.strftime("%Y-%m-%d"), rows["close"], strict=True))


@pytest.fixture(scope="module")
def quotes(chain):
    """(day, expiry, right, strike) -> bid, ask in cents and what to think of them."""
    table = {}
    before = {}
    for row in chain.sort_values("date", kind="stable").itertuples():
        contract = (row.expiry, row.type, row.strike)
        table[row.day, *contract] = (cents(row.bid), cents(row.ask), worth(row, before.get(contract)))
        before[contract] = (row.bid, row.ask)
    return table


def worth(row, before):
    """'good', 'bad' or, where the rule leaves room (the modelled spread, staleness), 'either'."""
    if not (row.bid >= 0.0 and row.ask > 0.0) or row.bid > row.ask:
        return "bad"
    spread = 0.0056 + 0.1446 * abs(row.delta) + 0.0104 * row.vega / 100.0 / INDEX_SCALE
    if row.bid == 0.0 and row.ask > max(0.50, 3.0 * INDEX_SCALE * max(0.01, spread)):
        return "bad"
    if (row.bid == 0.0 and row.ask > 0.50) or (row.bid, row.ask) == before:
        return "either"
    return "good"


@pytest.fixture(scope="module")
def days_quoted(chain):
    """expiry -> its quoted dates in order."""
    return {expiry: sorted(set(rows["day"])) for expiry, rows in chain.groupby("expiry")}


def legs_of(day, expiry, strikes):
    return [(day, expiry, right, strike) for right, strike in zip(RIGHTS, strikes, strict=True)]


def condors_of(chain, quotes, expiry, first_day):
    """Strikes of condors chosen by the vendor's deltas on the first day, and of their neighbours one strike out."""
    day = chain[(chain["expiry"] == expiry) & (chain["day"] == first_day)]
    spot = day["underlying"].iloc[0]
    sound = day[(day["bid"] > 0.0) & (day["ask"] >= day["bid"])]
    puts = sound[(sound["type"] == "put") & (sound["strike"] < spot)].sort_values("strike")
    calls = sound[(sound["type"] == "call") & (sound["strike"] > spot)].sort_values("strike")
    found = []
    for short, far in DELTAS:
        at = [
            int((side["delta"].abs() - target).abs().to_numpy().argmin())
            for side, target in ((puts, far), (puts, short), (calls, short), (calls, far))
        ]
        for out in (0, 1):
            chosen = (puts, at[0]), (puts, at[1] - out), (calls, at[2] + out), (calls, at[3])
            if all(0 <= i < len(side) for side, i in chosen):
                found.append(tuple(float(side["strike"].iloc[i]) for side, i in chosen))
    if first_day == FAMOUS[0]:
        found += [s for s in FAMOUS[1] if all(leg in quotes for leg in legs_of(first_day, expiry, s))]
    return [s for s in dict.fromkeys(found) if s[0] < s[1] < s[2] < s[3]]


@pytest.fixture(scope="module")
def condors(chain, quotes, days_quoted):
    """(expiry, strikes) of every condor that is sold on the first day its expiry is quoted."""
    found = [(e, s) for e, days in days_quoted.items() for s in condors_of(chain, quotes, e, days[0])]
    if not found:
        pytest.skip("no expiry with four sound out-of-the-money strikes on its first day")
    return found


# ---------------------------------------------------------------- the engine's side


@pytest.fixture(scope="module")
def market(spxw_store, configured):
    """Dates of the market's sessions, and an empty run on it."""
    empty = backtest_engine.run(spxw_store, configured({"costs.fees": "none"}), scripted_orders=[])
    return empty.market


def date_of(market, row):
    return str(np.datetime64(int(market.ses[market.row[row].session].day), "D"))


def quoted_rows(market):
    """date -> the row that carries that day's real quotes."""
    return {date_of(market, r): int(r) for r in np.flatnonzero(market.row.quoted)}


def number(day):
    return (dt.date.fromisoformat(day) - dt.date(1970, 1, 1)).days


@pytest.fixture(scope="module")
def sold(quotes, days_quoted, spxw_store, configured, market):
    """sold(expiry, strikes) -> the run that sells one condor at natural on its expiry's first day."""
    rows = quoted_rows(market)
    config = configured({"costs.fees": "none", "account.starting_cash": STARTING_CASH})

    @cache
    def run(expiry, strikes):
        day = days_quoted[expiry][0]
        prices = [quotes[leg] for leg in legs_of(day, expiry, strikes)]
        paid = tuple(p[1 if sign > 0 else 0] / 100 for p, sign in zip(prices, LEG_SIGN, strict=True))
        order = backtest_engine.ScriptedOrder(
            when=int(market.row[rows[day]].ts), key=0, opens=True, expiry=number(expiry), strikes=strikes, prices=paid
        )
        return backtest_engine.run(spxw_store, config, scripted_orders=[order])

    return run


def mid2_of(legs, quotes):
    """Cost of buying the condor back at mid, in half-cents; None where a leg is not listed."""
    if any(leg not in quotes for leg in legs):
        return None
    return sum(-sign * (quotes[leg][0] + quotes[leg][1]) for leg, sign in zip(legs, LEG_SIGN, strict=True))


def natural_of(legs, quotes):
    """Cost of buying the condor back at natural, in cents."""
    return sum(quotes[leg][1] if sign < 0 else -quotes[leg][0] for leg, sign in zip(legs, LEG_SIGN, strict=True))


def opinion(legs, quotes):
    """'good' if every leg is two-sided beyond doubt, 'bad' if one is not, else 'either'."""
    found = {quotes[leg][2] if leg in quotes else "bad" for leg in legs}
    return "bad" if "bad" in found else ("either" if "either" in found else "good")


# ---------------------------------------------------------------- marks


def test_the_condor_is_sold_at_the_bids_and_bought_at_the_asks_of_its_first_day(condors, sold, quotes, days_quoted):
    for expiry, strikes in condors:
        result = sold(expiry, strikes)
        fills = result.fills[result.fills[:, F["event"]] == EVENT_FILL]
        raw = [quotes[leg] for leg in legs_of(days_quoted[expiry][0], expiry, strikes)]
        assert fills[:, F["bid"]].tolist() == [q[0] for q in raw]
        assert fills[:, F["ask"]].tolist() == [q[1] for q in raw]
        assert result.trades[0, T["credit"]] == -natural_of_sale(raw)


def natural_of_sale(raw):
    return sum(q[1] if sign > 0 else -q[0] for q, sign in zip(raw, LEG_SIGN, strict=True))


def test_equity_is_marked_from_the_days_own_quotes_wherever_all_four_are_two_sided(
    condors, sold, quotes, days_quoted, market
):
    rows = quoted_rows(market)
    exact = 0
    for expiry, strikes in condors:
        result = sold(expiry, strikes)
        for day in days_quoted[expiry]:
            row, legs = rows[day], legs_of(day, expiry, strikes)
            soft = result.ledger.codes[SOFT, row]
            if day == expiry:
                continue  # settled, not marked
            if opinion(legs, quotes) == "good":
                assert not soft, (expiry, strikes, day)
            if soft:
                continue
            cost2 = mid2_of(legs, quotes)
            assert result.ledger.rows[MARKS, row] == -cost2 * MULTIPLIER // 2, (expiry, strikes, day)
            assert result.ledger.rows[LIQUIDATION, row] - result.ledger.rows[CASH, row] == -MULTIPLIER * natural_of(
                legs, quotes
            ), (expiry, strikes, day)
            credit = int(result.trades[0, T["credit"]])
            assert result.equity[row] == STARTING_CASH * 100 + MULTIPLIER * credit - cost2 * MULTIPLIER // 2
            exact += 1
    assert exact > len(condors)


def test_a_bad_quote_gives_a_soft_mark_inside_the_bounds_of_both_verticals(condors, sold, quotes, days_quoted, market):
    rows = quoted_rows(market)
    seen = 0
    for expiry, strikes in condors:
        result = sold(expiry, strikes)
        widths = cents(strikes[1] - strikes[0]) + cents(strikes[3] - strikes[2])
        for day in days_quoted[expiry]:
            legs = legs_of(day, expiry, strikes)
            soft = bool(result.ledger.codes[SOFT, rows[day]])
            if day != expiry and opinion(legs, quotes) == "bad":
                assert soft, (expiry, strikes, day)
                seen += 1
            if soft:
                assert 0 <= -result.ledger.rows[MARKS, rows[day]] <= MULTIPLIER * widths, (expiry, strikes, day)
    if not seen:
        pytest.skip("no condor of this file meets a quote that is not two-sided")


# ---------------------------------------------------------------- the day of the empty quotes


@pytest.fixture(scope="module")
def shock(chain, days_quoted):
    """(day before, day) of one expiry: 5 February 2018, else the day with most 0/0 quotes."""
    empty = chain[(chain["bid"] == 0.0) & (chain["ask"] == 0.0)]
    if SHOCK not in set(chain["day"]) and empty.empty:
        pytest.skip("no quote in this file is 0/0")
    day = SHOCK if SHOCK in set(chain["day"]) else empty["day"].value_counts().index[0]
    for expiry, days in days_quoted.items():
        if day in days[1:]:
            return expiry, days[days.index(day) - 1], day
    pytest.skip(f"{day} is the first day of its expiry: no condor is held into it")


def test_a_short_condor_loses_on_the_day_of_the_shock(condors, sold, quotes, shock, closes, market):
    expiry, before, day = shock
    move = closes[day] / closes[before] - 1.0
    if abs(move) < SHOCK_MOVE:
        pytest.skip(f"the index moved {move:+.1%} on {day}: a short condor need not lose")
    rows = quoted_rows(market)
    fictitious = []
    for strikes in [s for e, s in condors if e == expiry]:
        equity = sold(expiry, strikes).equity
        assert equity[rows[day]] < equity[rows[before]], strikes
        naive, was = (mid2_of(legs_of(d, expiry, strikes), quotes) for d in (day, before))
        if naive is not None and was is not None and naive < was:
            fictitious.append(strikes)
    if day == SHOCK and FAMOUS[1][0] in [s for _, s in condors]:
        assert FAMOUS[1][0] in fictitious  # by the mids of empty quotes it would have been a profit


def test_marks_of_condors_with_empty_quotes_agree_with_put_call_parity(condors, sold, quotes, shock, market):
    """A 0/0 leg whose twin of the other right is quoted is worth the twin's mid plus the forward's distance."""
    expiry, _, day = shock
    row = quoted_rows(market)[day]
    forward = parity_forward(quotes, day, expiry)
    compared = 0
    for strikes in [s for e, s in condors if e == expiry]:
        legs = legs_of(day, expiry, strikes)
        empty = [leg for leg in legs if leg in quotes and quotes[leg][:2] == (0, 0)]
        put, call = (half_cost2(legs[i : i + 2], LEG_SIGN[i : i + 2], quotes, forward) for i in (0, 2))
        if not empty or put is None or call is None:
            continue
        widths = [2 * cents(strikes[i + 1] - strikes[i]) for i in (0, 2)]
        expected = min(max(put, 0), widths[0]) + min(max(call, 0), widths[1])
        mark2 = -2 * sold(expiry, strikes).ledger.rows[MARKS, row] / MULTIPLIER
        slack = widths[1] if opinion(legs[2:], quotes) != "good" else 0.02 * widths[0]
        assert abs(mark2 - expected) <= slack, (strikes, mark2 / 200, expected / 200)
        compared += 1
    if not compared:
        pytest.skip(f"no condor of this file holds an empty quote on {day} that parity could mark")


def half_cost2(legs, signs, quotes, forward):
    """Cost of one vertical at mid in half-cents, 0/0 legs by parity; None where that is unknown."""
    total = 0.0
    for leg, sign in zip(legs, signs, strict=True):
        day, expiry, right, strike = leg
        if leg not in quotes:
            return None
        mid2 = quotes[leg][0] + quotes[leg][1]
        if quotes[leg][:2] == (0, 0):
            twin = (day, expiry, "call" if right == "put" else "put", strike)
            if twin not in quotes or quotes[twin][0] == 0:
                return None
            parity = 200 * (strike - forward) * (1 if right == "put" else -1)
            mid2 = quotes[twin][0] + quotes[twin][1] + parity
        total -= sign * mid2
    return total


def parity_forward(quotes, day, expiry):
    """Median of K + C - P over the ten strikes where both rights are two-sided and nearest in price."""
    found = []
    for (d, e, right, strike), (bid, ask, view) in quotes.items():
        put = quotes.get((day, expiry, "put", strike))
        if (d, e, right) == (day, expiry, "call") and bid > 0 and put and put[0] > 0 and view == put[2] == "good":
            difference = (bid + ask - put[0] - put[1]) / 200
            found.append((abs(difference), strike + difference))
    return float(np.median([forward for _, forward in sorted(found)[:10]]))


# ---------------------------------------------------------------- settlement


def test_condors_followed_to_expiry_settle_at_the_index_close_to_the_cent(condors, sold, closes):
    settled = 0
    for expiry, strikes in condors:
        result = sold(expiry, strikes)
        if expiry not in closes:
            continue
        close = closes[expiry]
        worth_ = [
            max(0.0, k - close) if right == "put" else max(0.0, close - k)
            for k, right in zip(strikes, RIGHTS, strict=True)
        ]
        rounded = [math.floor(w * 100 + 0.5) for w in worth_]
        events = result.fills[result.fills[:, F["event"]] == EVENT_SETTLEMENT]
        assert events[:, F["price2"]].tolist() == [2 * w for w in rounded]
        payoff = sum(-sign * w for w, sign in zip(rounded, LEG_SIGN, strict=True))
        trade = result.trades[0]
        assert trade[T["reason"]] == Reason.SETTLED
        assert date_of(result.market, trade[T["closed"]]) == expiry
        assert trade[T["debit"]] == payoff
        assert trade[T["pnl"]] == MULTIPLIER * (trade[T["credit"]] - payoff)
        assert result.equity[-1] == STARTING_CASH * 100 + trade[T["pnl"]]
        assert payoff <= trade[T["width"]]
        settled += 1
    if not settled:
        pytest.skip(f"{DAILY} holds no close of an expiry of {CHAIN}")


# ---------------------------------------------------------------- exits by rule

LADDER = {
    "account.starting_cash": 1_000_000,
    "account.cash_yield": "zero",
    "costs.fees": "none",
    "strategy.max_positions": 12,
    "strategy.entry.dte_min": 8,
    "strategy.entry.dte_max": 45,
    "strategy.entry.dte_target": 27,
    "strategy.entry.min_credit_vs_median": 0.0,
    "strategy.size.max_risk_frac": 1.0,
    "strategy.exits.exit_dte": 0,
    "strategy.exits.expiry_rule": "settle",
    "strategy.exits.profit_frac": 0.5,
}
SHAPES = [(0.16, "points", 50.0), (0.20, "delta", 0.05), (0.30, "points", 25.0), (0.25, "percent", 4.0)]
SHAPES += [(round(0.10 + 0.02 * i, 2), "points", 100.0) for i in range(15)]
STOPS = [("natural", 1.0), ("natural", 2.0), ("mid", 1.0), ("mid", 2.0)]


@pytest.fixture(scope="module")
def by_rule(spxw_store, configured):
    """Runs of the rulebook: several shapes of condor, a new one each day, stopped on natural or on mids."""
    runs = []
    for delta, rule, width in SHAPES:
        for stop_on, multiple in STOPS:
            own = {
                "strategy.entry.short_delta": delta,
                "strategy.entry.delta_low": 0.05, "strategy.entry.delta_high": 0.45,
                "strategy.entry.wing_rule": rule, "strategy.entry.wing_width": width,
                "strategy.exits.stop_on": stop_on, "strategy.exits.stop_multiple": multiple,
            }  # fmt: skip
            runs.append(backtest_engine.run(spxw_store, configured({**LADDER, **own}, preset="cndr")))
    if not sum(len(run.trades) for run in runs):
        pytest.skip("the rules open no condor on this file")
    return runs


def legs_on(run, trade, day):
    """The raw keys of a trade's four legs on a day."""
    con = [run.market.con[int(trade[T["leg0"] + i])] for i in range(4)]
    expiry = str(np.datetime64(int(run.market.exp[int(trade[T["expiry"]])].day), "D"))
    return legs_of(day, expiry, [c.strike / 100 for c in con])


def test_no_price_exit_is_decided_on_or_filled_from_a_quote_that_is_not_two_sided(by_rule, quotes):
    decided = 0
    for run in by_rule:
        quoted = quoted_rows(run.market)
        for trade in run.trades[np.isin(run.trades[:, T["reason"]], [Reason.STOP, Reason.PROFIT_TARGET])]:
            rows = {int(trade[T["closed"]])}
            if trade[T["reason"]] == Reason.STOP:
                assert trade[T["closed"]] > trade[T["exit_decided"]]
                rows.add(int(trade[T["exit_decided"]]))
                decided += 1
            for row in rows:
                day = date_of(run.market, row)
                assert quoted[day] == row
                assert opinion(legs_on(run, trade, day), quotes) != "bad", (trade.tolist(), day)
    if not decided:
        pytest.skip("no condor of this file is stopped")


def expected_exit(run, trade, quotes, days):
    """(reason, day decided, day closed, debit in cents) by the raw quotes of `days`; None where they leave room.

    The resting profit order fills once natural reaches it; a stop is decided on natural, or on the second sound
    mid in a row, and buys back at natural on the first later sound quotes that cost no more than the width.
    """
    rules, credit, width = run.rules, int(trade[T["credit"]]), int(trade[T["width"]])
    level, target = math.ceil(credit * (1.0 + rules.stop_multiple) - 1e-9), credit * (1.0 - rules.profit_frac)
    decided, above = None, False
    for day in days:
        legs = legs_on(run, trade, day)
        view = opinion(legs, quotes)
        if view == "either":
            return None
        if view == "bad":
            continue
        natural, mid2 = natural_of(legs, quotes), mid2_of(legs, quotes)
        if decided:
            if natural <= width:
                return Reason.STOP, decided, day, natural
            continue
        if natural <= target + 1e-9:
            return Reason.PROFIT_TARGET, None, day, natural
        beyond = natural >= level if rules.stop_on == 0 else mid2 >= 2 * level
        if beyond and (above or rules.stop_on == 0):
            decided = day
        above = beyond
    return Reason.SETTLED, None, None, None


@pytest.mark.parametrize("stop_on", ["natural", "mid"])
def test_every_exit_is_the_one_that_the_raw_quotes_call_for(by_rule, quotes, days_quoted, stop_on):
    seen = []
    for run in by_rule:
        if run.rules.stop_on != ("natural", "mid").index(stop_on):
            continue
        for trade in run.trades:
            opened, expiry = date_of(run.market, trade[T["opened"]]), legs_on(run, trade, "")[0][1]
            wanted = expected_exit(run, trade, quotes, [d for d in days_quoted[expiry] if opened < d < expiry])
            if wanted is None:
                continue
            reason, decided, closed, debit = wanted
            assert trade[T["reason"]] == reason, (opened, expiry, wanted, trade.tolist())
            if reason == Reason.STOP:
                assert date_of(run.market, trade[T["exit_decided"]]) == decided
                assert trade[T["overshoot"]] == debit - math.ceil(
                    trade[T["credit"]] * (1 + run.rules.stop_multiple) - 1e-9
                )
            if closed is not None:
                assert (date_of(run.market, trade[T["closed"]]), trade[T["debit"]]) == (closed, debit)
            seen.append(reason)
    if Reason.STOP not in seen:
        pytest.skip(f"no condor of this file is stopped on {stop_on}")


def test_condors_held_into_the_shock_with_an_empty_quote_stay_open_that_day(by_rule, quotes, shock):
    expiry, _, day = shock
    held = 0
    for run in by_rule:
        row = quoted_rows(run.market)[day]
        for trade in run.trades[(run.trades[:, T["opened"]] < row)]:
            legs = legs_on(run, trade, day)
            if legs[0][1] != expiry or (0 <= trade[T["closed"]] < row):
                continue
            if any(leg in quotes and quotes[leg][:2] == (0, 0) for leg in legs):
                assert trade[T["closed"]] != row
                assert trade[T["exit_decided"]] != row
                assert run.ledger.codes[SOFT, row]
                held += 1
    if not held:
        pytest.skip(f"no condor of the rulebook holds a leg quoted 0/0 on {day}")


def test_no_entry_fills_on_a_quote_that_is_not_two_sided(by_rule, quotes):
    for run in by_rule:
        for trade in run.trades:
            day = date_of(run.market, trade[T["opened"]])
            legs = legs_on(run, trade, day)
            assert opinion(legs, quotes) != "bad", (trade.tolist(), day)
            assert trade[T["credit"]] == -natural_of_sale([quotes[leg] for leg in legs])
            assert trade[T["decided"]] < trade[T["opened"]]


def test_liquidation_is_never_worth_more_than_the_mark(condors, sold):
    for expiry, strikes in condors:
        result = sold(expiry, strikes)
        assert (result.ledger.rows[LIQUIDATION] <= result.equity).all(), (expiry, strikes)
