"""Probability that a short is reached: what it is worth, what it refuses, when it makes a structure leave."""

import math
from functools import cache

import numpy as np
import pytest

from core.errors import ConfigError
from core.jit import by_reference, njit
from core.market.store import frozen, market_of
from core.pricing.black_scholes import european
from core.pricing.implied_vol import implied_vol
from core.pricing.touch import stay_inside_probability, touch_probability
from core.types import LONG_CALL, LONG_PUT, SHORT_CALL, SHORT_PUT, Reason, T, record_of
from strategies.breach import breach_chance
from strategies.rules import rules_from
from tests import markets
from tests.hand import CONDOR, SPOT, Then, market, orders, ran, row_at

ENTERED = ("06-02 10:05", "enter", "+P460 -P470 -C530 +C540")
WHOLE = "-P460 +P470 +C530 -C540"
YEARS = 45.25 / 365
PUT_SPREAD, CALL_SPREAD = (LONG_PUT, SHORT_PUT), (SHORT_CALL, LONG_CALL)


@njit
def chance_of(m, rules, legs, x, r):
    m = by_reference(m)
    return breach_chance(m, rules, legs, x, r)


@cache
def rules(model):
    return record_of(rules_from(markets.config_of(strategy__filters__breach_model=model).values))


def chance(m, legs, x, r, model="approximation"):
    return float(chance_of(m, rules(model), np.array(legs, np.int64), x, r))


def only(legs, kept):
    """The legs of one side alone."""
    return [c if leg in kept else -1 for leg, c in enumerate(legs)]


# ---------------------------------------------------------------- the closed form


def at_vol(put_vol, call_vol):
    """A condor whose shorts are quoted at these volatilities (to the cent)."""
    shorts = european([0, 1], SPOT, [470, 530], YEARS, [put_vol, call_vol], 0.0).price
    put, call = (round(100 * float(price)) for price in shorts)
    return {**CONDOR, "P460": (0.08, 1), "P470": (0.16, put), "C530": (0.16, call), "C540": (0.08, 1)}


def drawn(folder, contracts):
    """(market, legs, row 10:00) of a hand-drawn market; its contracts are the four legs in order."""
    m = market_of(market(folder, contracts=contracts))
    return m, [0, 1, 2, 3], row_at(m, "06-02 10:00")


def quoted_vol(m, c):
    """Volatility of the contract's locked quote at 10:00, where the cell's price is that of all rows."""
    price = m.q_bid[m.con.cell_base[c]] / 100
    return implied_vol(m.con.right[c] == 1, price, SPOT, m.con.strike[c] / 100, YEARS, 1.0)


def test_without_a_skew_the_chance_is_that_of_leaving_the_corridor(tmp_path):
    m, legs, r = drawn(tmp_path, at_vol(0.20, 0.20))
    expected = 1.0 - stay_inside_probability(SPOT, 470.0, 530.0, YEARS, 0.20, 0.0, 0.0)
    assert chance(m, legs, 0, r) == pytest.approx(expected, abs=5e-4)  # prices are whole cents
    mean = 0.5 * (quoted_vol(m, 1) + quoted_vol(m, 2))
    exact = 1.0 - stay_inside_probability(SPOT, 470.0, 530.0, YEARS, mean, 0.0, 0.0)
    assert chance(m, legs, 0, r) == pytest.approx(exact, abs=1e-7)


def test_under_a_skew_the_closed_form_takes_the_mean_of_the_shorts_volatilities(tmp_path):
    m, legs, r = drawn(tmp_path, at_vol(0.24, 0.16))
    expected = 1.0 - stay_inside_probability(SPOT, 470.0, 530.0, YEARS, 0.20, 0.0, 0.0)
    assert chance(m, legs, 0, r) == pytest.approx(expected, abs=1e-3)


def test_one_side_is_touched_at_its_own_volatility(tmp_path):
    m, legs, r = drawn(tmp_path, at_vol(0.24, 0.16))
    for kept, c, barrier in ((PUT_SPREAD, 1, 470.0), (CALL_SPREAD, 2, 530.0)):
        expected = touch_probability(SPOT, barrier, YEARS, quoted_vol(m, c), 0.0, 0.0)[0]
        assert chance(m, only(legs, kept), 0, r) == pytest.approx(expected, abs=1e-7)
    assert chance(m, [-1] * 4, 0, r) == 0.0
    assert chance(m, only(legs, (LONG_PUT, LONG_CALL)), 0, r) == 0.0


def test_a_short_without_a_volatility_has_no_chance_that_is_known(tmp_path):
    dear = {**CONDOR, "P470": (0.16, 47_100), "P460": (0.08, 47_000)}  # above any price of a put
    m, legs, r = drawn(tmp_path, dear)
    assert math.isnan(chance(m, legs, 0, r))
    assert math.isnan(chance(m, only(legs, PUT_SPREAD), 0, r))
    assert 0.0 < chance(m, only(legs, CALL_SPREAD), 0, r) < 1.0


# ---------------------------------------------------------------- the smile's own diffusion


@cache
def evening():
    """(carried market, expiry, row, legs about 1.2 deviations out) at a snapshot with a slice."""
    m = market_of(markets.market("carried"))
    r = int(np.flatnonzero((m.row.quoted == 1) & (m.row.snap >= 5))[0])
    x = int(np.flatnonzero(m.v_index[m.row.snap[r]] >= 0)[-2])  # 25 days: strikes are listed far enough out
    years = m.v_slice[m.v_index[m.row.snap[r], x], 7]
    spot, move = m.row.spot[r], 1.2 * 0.2 * math.sqrt(years)

    def nearest(right, strike):
        of = np.flatnonzero((m.con.expiry == x) & (m.con.right == right))
        return int(of[np.argmin(np.abs(m.con.strike[of] / 100 - strike))])

    put, call = nearest(0, spot * (1 - move)), nearest(1, spot * (1 + move))
    return m, x, r, [put - 3, put, call, call + 3]


def flat(m, vol, carry=0.0):
    """The market with every slice at one volatility and ln(forward / spot) = carry."""
    slices = np.array(m.v_slice)
    slices[:, 1] = slices[:, 0] * math.exp(carry)
    slices[:, 2], slices[:, 3], slices[:, 4], slices[:, 5], slices[:, 6] = vol * vol * slices[:, 7], 0.0, 0.0, 0.0, 0.1
    return m._replace(v_slice=frozen(slices))


@pytest.mark.parametrize("kept", [(*PUT_SPREAD, *CALL_SPREAD), PUT_SPREAD, CALL_SPREAD], ids=["both", "put", "call"])
@pytest.mark.parametrize("vol", [0.12, 0.20, 0.35])
@pytest.mark.parametrize("carry", [0.0, 0.004])
def test_on_a_flat_surface_the_pde_is_the_closed_form(kept, vol, carry):
    m, x, r, legs = evening()
    surface = flat(m, vol, carry)
    found = [chance(surface, only(legs, kept), x, r, model) for model in ("approximation", "local_vol")]
    assert 0.01 < found[0] < 0.99
    assert found[1] == pytest.approx(found[0], abs=1e-3)


@pytest.mark.parametrize("vol", [0.15, 0.25])
def test_between_snapshots_the_pde_follows_the_spot_as_the_closed_form_does(vol):
    m, x, r, legs = evening()
    surface = flat(m, vol)
    for later in (r + 10, r + 50):
        found = [chance(surface, legs, x, later, model) for model in ("approximation", "local_vol")]
        assert found[1] == pytest.approx(found[0], abs=1e-3)
        assert found[0] != pytest.approx(chance(surface, legs, x, r), abs=1e-3)


def test_under_a_skew_the_closed_form_errs_on_both_sides_as_it_must():
    """With the put's own high volatility it reaches down too often, with the call's low one up too seldom."""
    m, x, r, legs = evening()
    put = [chance(m, only(legs, PUT_SPREAD), x, r, model) for model in ("approximation", "local_vol")]
    call = [chance(m, only(legs, CALL_SPREAD), x, r, model) for model in ("approximation", "local_vol")]
    assert put[1] < put[0] - 0.01
    assert call[1] > call[0] + 0.01


@pytest.mark.parametrize("model", ["approximation", "local_vol"])
def test_without_a_surface_nothing_is_known(model):
    m, x, r, legs = evening()
    bare = m._replace(v_index=frozen(np.full_like(m.v_index, -1)))
    assert math.isnan(chance(bare, legs, x, r, model))


@pytest.mark.parametrize("model", ["approximation", "local_vol"])
def test_farther_shorts_are_reached_less_often_and_either_side_less_than_both(model):
    m, x, r, legs = evening()
    both = chance(m, legs, x, r, model)
    sides = [chance(m, only(legs, kept), x, r, model) for kept in (PUT_SPREAD, CALL_SPREAD)]
    assert max(sides) < both < sum(sides) + 1e-9
    assert chance(m, [legs[0] - 2, legs[1] - 2, legs[2] + 2, legs[3] + 2], x, r, model) < both


# ---------------------------------------------------------------- the filter


def test_an_entry_above_the_most_likely_breach_is_refused(tmp_path):
    store = market(tmp_path)
    m = market_of(store)
    now = chance(m, [0, 1, 2, 3], 0, row_at(m, "06-02 10:00"))
    once = {"entry__window_end": "10:00"}
    assert orders(ran(store, filters__max_breach=now + 1e-6, **once)) == [ENTERED]
    refused = ran(store, filters__max_breach=now - 1e-6, **once)
    assert orders(refused) == []
    assert refused.ledger.codes[0, row_at(m, "06-02 10:00")] == Reason.BREACH


def test_an_entry_of_unknown_breach_is_refused_for_a_reason_of_its_own(tmp_path):
    store = market(tmp_path, contracts={**CONDOR, "P470": (0.16, 47_100), "P460": (0.08, 47_000)})
    refused = ran(store, filters__max_breach=0.99)
    assert orders(refused) == []
    assert Reason.BREACH_UNKNOWN in refused.ledger.codes[0]
    assert Reason.BREACH not in refused.ledger.codes[0]
    assert orders(ran(store)) == [ENTERED]


@pytest.mark.parametrize("rule", ["filters__max_breach", "exits__exit_breach"])
def test_a_market_of_quotes_alone_refuses_local_volatility(tmp_path, rule):
    with pytest.raises(ConfigError, match="holds no surfaces; set approximation"):
        ran(market(tmp_path), filters__breach_model="local_vol", **{rule: 0.5})
    assert orders(ran(market(tmp_path / "off"), filters__breach_model="local_vol")) == [ENTERED]


@pytest.mark.parametrize("model", ["approximation", "local_vol"])
@pytest.mark.parametrize("name", ["carried", "modelled"])
def test_the_filter_lets_through_what_is_likely_enough_to_hold(name, model):
    """The limit is the median of the entries made without it. Under local volatility a further entry of the same legs
    in a session goes by the figure of the first."""
    settings = {"strategy__filters__breach_model": model, "strategy__exits__max_hold_days": 1}
    free = entry_chances(markets.ran(markets.market(name), **settings), model)
    limit = float(np.median(list(free.values())))
    kept = markets.ran(markets.market(name), strategy__filters__max_breach=limit, **settings)
    judged = entry_chances(kept, model)
    assert len(judged) >= 5
    assert max(judged.values()) <= limit < max(free.values())
    assert Reason.BREACH in kept.ledger.codes[0]


def entry_chances(result, model):
    """Chance at the deciding row by session and legs, of the first entry of each."""
    m, found = result.market, {}
    for t in result.trades:
        legs, r = t[T["leg0"] : T["leg0"] + 4], int(t[T["decided"]])
        key = (int(m.row.session[r]), *legs.tolist()) if model == "local_vol" else r
        if key not in found:
            found[key] = chance(m, legs, int(t[T["expiry"]]), r, model)
    return found


# ---------------------------------------------------------------- the exit

NEAR_BY = 528.0


def test_a_likely_breach_closes_at_the_days_one_look(tmp_path):
    """Near the call from 10:05 to 15:00 nothing happens; near it at 10:00 the condor leaves."""
    m = market_of(market(tmp_path, Then("06-02 11:00", spot=NEAR_BY)))
    far, near = (chance(m, [0, 1, 2, 3], 0, row_at(m, f"06-02 {time}")) for time in ("10:00", "11:00"))
    limit = 0.5 * (far + near)
    assert near > far + 0.1
    between = market(tmp_path / "between", Then("06-03 10:05", spot=NEAR_BY), Then("06-03 15:00", spot=SPOT))
    assert orders(ran(between, exits__exit_breach=limit)) == [ENTERED]
    at_ten = market(tmp_path / "ten", Then("06-03 10:00", spot=NEAR_BY), Then("06-03 10:05", spot=SPOT))
    left = ran(at_ten, exits__exit_breach=limit)
    assert orders(left) == [ENTERED, ("06-03 10:05", "breach_exit", WHOLE)]
    assert left.trades[0, T["exit_decided"]] == row_at(left.market, "06-03 10:00")
    assert orders(ran(at_ten)) == [ENTERED]


def test_another_order_in_the_day_is_no_look_at_the_breach(tmp_path):
    """A short bought back at noon, with the spot near the call, asks nothing of the probability."""
    store = market(tmp_path, Then("06-03 12:00", {"P470": 5, "P460": 1}, NEAR_BY), Then("06-03 13:00", spot=SPOT))
    m = market_of(store)
    noon = chance(m, only([0, 1, 2, 3], CALL_SPREAD), 0, row_at(m, "06-03 12:00"))
    morning = chance(m, [0, 1, 2, 3], 0, row_at(m, "06-03 10:00"))
    limit = 0.5 * (noon + morning)
    assert noon > limit > morning
    result = ran(store, exits__exit_breach=limit, exits__cheap_short=0.05)
    assert orders(result) == [ENTERED, ("06-03 12:05", "cheap_short", "+P470")]


def test_an_unknown_breach_is_no_exit(tmp_path):
    dear = Then("06-02 11:00", {"P470": 47_100, "P460": 47_000})
    store = market(tmp_path, dear)
    assert orders(ran(store, exits__exit_breach=0.01)) == [ENTERED]


HOLD = {"strategy__exits__profit_frac": 1.0, "strategy__exits__stop_multiple": 0.0}


@pytest.mark.parametrize("model", ["approximation", "local_vol"])
@pytest.mark.parametrize("name", ["carried", "modelled"])
def test_a_breach_exit_is_the_first_daily_look_beyond_its_limit(name, model):
    limit = {"carried": 0.75, "modelled": 0.70}[name]
    result = markets.ran(
        markets.market(name), strategy__exits__exit_breach=limit, strategy__filters__breach_model=model, **HOLD
    )
    m, left = result.market, 0
    for t in result.trades:
        legs, x = t[T["leg0"] : T["leg0"] + 4], int(t[T["expiry"]])
        end = t[T["exit_decided"]] if t[T["closed"]] >= 0 else len(m.row.ts) - 1
        looks = [r for r in map(int, daily_looks(m)) if t[T["opened"]] < r <= end]
        chances = [chance(m, legs, x, r, model) for r in looks]
        if t[T["reason"]] == Reason.BREACH_EXIT:
            left += 1
            assert looks[-1] == end
            assert chances.pop() > limit
        assert all(not value > limit for value in chances[: len(chances) - (t[T["reason"]] == Reason.DTE_EXIT)])
    assert left >= 3


def daily_looks(m):
    """The row of each session that looks once a day: the deciding one, or the first from 10:00 on."""
    for s in range(len(m.ses.day)):
        if m.ses.decide[s] >= 0:
            yield m.ses.decide[s]
        elif m.ses.decide[s] == -1:
            yield m.ses.start[s] + np.argmax(m.row.minute[m.ses.start[s] : m.ses.end[s]] >= 600)
