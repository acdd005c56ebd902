"""Building a condor: each rule alone chooses the expiry, the strikes or the wings, or refuses the entry.

Markets are drawn by hand: spot 500, condors sold for $2.00 at 45 days; a rule's threshold is met once and missed once.
"""

import numpy as np
import pytest

from core.pricing.black_scholes import european
from core.types import REGIMES, Reason, T
from tests import markets
from tests.hand import CONDOR, EXPIRY, LATER, SPOT, Then, make_up, market, orders, ran, reasons_on, row_at

ENTERED = ("06-02 10:05", "enter", "+P460 -P470 -C530 +C540")
YEARS = 45.25 / 365  # from 10:00 to the expiry at 16:00


def verdict(result, time="06-02 10:00"):
    return int(result.ledger.codes[0, row_at(result.market, time)])


def strikes(result):
    """What was sold and bought: "+P460 -P470 -C530 +C540"."""
    return orders(result)[0][2]


def cents_at(vol, is_call, strike):
    """Black's price in whole cents at the deciding row, without carry."""
    return round(100 * float(european(is_call, SPOT, strike, YEARS, vol, 0.0).price))


# ---------------------------------------------------------------- expiry


def two_expiries(later_call):
    """The near condor pays 2.00 for 45 days, the later one `later_call` less the wing's 1.00, and the puts' 1.00."""
    later = {**CONDOR, "C530": (0.16, later_call)}
    return {**CONDOR, **{f"{name} {LATER}": drawn for name, drawn in later.items()}}


def expiry_of(result):
    return str(np.datetime64(int(result.market.exp.day[result.trades[0, T["expiry"]]]), "D"))


@pytest.mark.parametrize(("later_call", "expected"), [(262, EXPIRY), (263, LATER)])
def test_the_expiry_of_the_better_edge_a_day_is_taken(tmp_path, monkeypatch, later_call, expected):
    """In a market that does not move the edge is the credit: 2.00 / 45 = 4.444 cents a day; 2.62 / 59 = 4.441."""
    make_up(monkeypatch, {"realised": 0.01})
    store = market(tmp_path, contracts=two_expiries(later_call))
    assert expiry_of(ran(store, entry__expiry_rule="edge")) == expected
    assert expiry_of(ran(store)) == EXPIRY


@pytest.mark.parametrize(
    ("realised", "expected"), [(0.05, LATER), (0.10, EXPIRY), (0.12, EXPIRY), (0.16, LATER), (0.30, LATER)]
)
def test_the_edge_is_the_credit_less_the_condors_worth_at_realised_volatility(
    tmp_path, monkeypatch, realised, expected
):
    make_up(monkeypatch, {"realised": realised})
    edges = {}
    for expiry, days, credit in ((EXPIRY, 45, 200), (LATER, 59, 265)):
        price = european([0, 0, 1, 1], SPOT, [460, 470, 530, 540], (days + 0.25) / 365, realised, 0.0).price
        edges[expiry] = (credit - 100 * (price[1] - price[0] + price[2] - price[3])) / days
    assert max(edges, key=edges.__getitem__) == expected
    assert expiry_of(ran(market(tmp_path, contracts=two_expiries(265)), entry__expiry_rule="edge")) == expected


def test_an_expiry_that_cannot_be_built_is_no_candidate_of_the_edge(tmp_path, monkeypatch):
    make_up(monkeypatch, {"realised": 0.01})
    contracts = {name: drawn for name, drawn in two_expiries(200).items() if name != "P460"}
    store = market(tmp_path, contracts=contracts)
    assert verdict(ran(store)) == Reason.NO_WING
    assert expiry_of(ran(store, entry__expiry_rule="edge")) == LATER


def test_without_a_forecast_there_is_no_edge_and_no_entry(tmp_path, monkeypatch):
    make_up(monkeypatch, {})
    store = market(tmp_path)
    refused = ran(store, entry__expiry_rule="edge")
    assert orders(refused) == []
    assert reasons_on(refused, "06-02") == {"edge_unknown"}
    assert orders(ran(store)) == [ENTERED]


# ---------------------------------------------------------------- strikes


@pytest.mark.parametrize(("penalty", "short"), [(0.0, "P470"), (0.015, "P470"), (0.025, "P465"), (1.0, "P465")])
def test_the_skew_penalty_moves_the_short_to_the_dearer_volatility(tmp_path, penalty, short):
    """470 has the wanted 16 delta at half the money's volatility, 465 has 15 at all of it: equal from 0.02 on."""
    contracts = {
        **CONDOR,
        "P500": (0.50, cents_at(0.20, False, 500)),
        "P470": (0.16, cents_at(0.10, False, 470)),
        "P465": (0.15, cents_at(0.20, False, 465)),
        "P460": (0.08, 1),
        "P455": (0.07, 1),
    }
    result = ran(market(tmp_path, contracts=contracts), entry__skew_penalty=penalty)
    wing = {"P470": "P460", "P465": "P455"}[short]
    assert strikes(result) == f"+{wing} -{short} -C530 +C540"


def test_the_skew_penalty_keeps_to_the_delta_band(tmp_path):
    contracts = {
        **CONDOR,
        "P500": (0.50, cents_at(0.20, False, 500)),
        "P470": (0.16, cents_at(0.10, False, 470)),
        "P465": (0.099, cents_at(0.20, False, 465)),
        "P460": (0.08, 1),
        "P455": (0.07, 1),
    }
    assert strikes(ran(market(tmp_path, contracts=contracts), entry__skew_penalty=5.0)) == "+P460 -P470 -C530 +C540"


# ---------------------------------------------------------------- wings

WIDE = {**CONDOR, "P450": (0.04, 50), "C550": (0.04, 50)}
NORMAL, WIDER = "+P460 -P470 -C530 +C540", "+P450 -P470 -C530 +C550"


@pytest.mark.parametrize(
    ("signals", "legs"),
    [
        ({"iv_percentile": 49.9}, NORMAL),
        ({"iv_percentile": 50.0}, WIDER),
        ({"iv_percentile": 0.0, "regime": REGIMES.index("high_vol")}, WIDER),
        ({"iv_percentile": 0.0, "regime": REGIMES.index("crash")}, WIDER),
        ({"iv_percentile": 0.0, "regime": REGIMES.index("range")}, NORMAL),
        ({"iv_percentile": 0.0, "regime": REGIMES.index("trend_up")}, NORMAL),
    ],
    ids=str,
)
def test_wings_widen_with_high_volatility_or_in_its_regimes(tmp_path, monkeypatch, signals, legs):
    make_up(monkeypatch, signals)
    store = market(tmp_path, contracts=WIDE)
    assert strikes(ran(store, entry__widen=2.0)) == legs
    assert strikes(ran(store)) == NORMAL


def test_wings_widen_by_the_rank_where_the_settings_measure_by_rank(tmp_path, monkeypatch):
    make_up(monkeypatch, {"iv_rank": 80.0, "iv_percentile": 0.0})
    store = market(tmp_path, contracts=WIDE)
    assert strikes(ran(store, entry__widen=2.0, signals__iv_measure="rank")) == WIDER
    assert strikes(ran(store, entry__widen=2.0, signals__iv_measure="rank", entry__widen_iv_rank=81.0)) == NORMAL


@pytest.mark.parametrize("rule", [{"entry__widen": 2.0}, {"entry__credit_iv_scale": 0.5}], ids=str)
def test_a_rule_on_iv_rank_opens_nothing_while_the_rank_is_unknown(tmp_path, monkeypatch, rule):
    make_up(monkeypatch, {"iv": 0.2})
    refused = ran(market(tmp_path, contracts=WIDE), **rule)
    assert orders(refused) == []
    assert reasons_on(refused, "06-02") == {"signal_unknown"}


@pytest.mark.parametrize(
    ("rule", "legs"),
    [
        ({"entry__put_wing_scale": 2.0}, "+P450 -P470 -C530 +C540"),
        ({"entry__call_wing_scale": 2.0}, "+P460 -P470 -C530 +C550"),
        ({"entry__put_wing_scale": 2.0, "entry__wing_width": 5.0, "entry__call_wing_scale": 4.0},
         "+P460 -P470 -C530 +C550"),
        ({"structure": "broken_wing_condor"}, "+P450 -P470 -C530 +C540"),  # its put wing is twice as wide
    ],
    ids=str,
)  # fmt: skip
def test_each_wing_has_a_scale_of_its_own(tmp_path, rule, legs):
    result = ran(market(tmp_path, contracts=WIDE), **rule)
    assert strikes(result) == legs
    put, call = (int(name[2:]) for name in (legs.split()[0], legs.split()[3]))
    assert result.trades[0, T["width"]] == 100 * max(470 - put, call - 530)


# ---------------------------------------------------------------- credit


@pytest.mark.parametrize(("percentile", "floor"), [(0.0, 51), (50.0, 102), (100.0, 152)])
def test_the_smallest_credit_moves_with_the_iv_rank(tmp_path, monkeypatch, percentile, floor):
    """$10 wide at 500: 10.11 % of the width; half of it less at rank 0 and half more at rank 100, cents rounded up."""
    make_up(monkeypatch, {"iv_percentile": percentile})
    for credit, entered in ((floor - 1, False), (floor, True)):
        cheap = {**CONDOR, "P470": (0.16, 120), "C530": (0.16, 80 + credit)}
        store = market(tmp_path / str(credit), contracts=cheap)
        result = ran(store, entry__credit_iv_scale=0.5)
        assert verdict(result) == (Reason.ENTER if entered else Reason.LOW_CREDIT)
        assert verdict(ran(store)) == (Reason.ENTER if credit >= 102 else Reason.LOW_CREDIT)
    assert result.trades[0, [T["credit"], T["floor"]]].tolist() == [floor, floor]


# ---------------------------------------------------------------- liquidity


@pytest.mark.parametrize(
    ("rule", "passes", "fails"),
    [("min_size", 9, 10), ("min_interest", 49, 50), ("min_volume", 19, 20)],
)
@pytest.mark.parametrize("leg", list(CONDOR))
def test_every_leg_must_show_size_interest_and_volume(tmp_path, rule, passes, fails, leg):
    column = {"min_size": "ask_size", "min_interest": "interest", "min_volume": "volume"}[rule]
    store = market(tmp_path, depth={leg: {column: passes}})
    assert orders(ran(store, **{f"filters__{rule}": passes})) == [ENTERED]
    refused = ran(store, **{f"filters__{rule}": fails})
    assert orders(refused) == []
    assert reasons_on(refused, "06-02") == {"illiquid"}


def test_the_smaller_of_the_two_sizes_counts(tmp_path):
    store = market(tmp_path, depth={"P470": {"bid_size": 3, "ask_size": 500}})
    assert verdict(ran(store, filters__min_size=3)) == Reason.ENTER
    assert verdict(ran(store, filters__min_size=4)) == Reason.ILLIQUID


@pytest.mark.parametrize("leg", ["P470", "C530"])
def test_a_shorts_spread_may_be_so_much_of_its_mid(tmp_path, leg):
    store = market(tmp_path, contracts={**CONDOR, leg: (0.16, (190, 210))})  # a tenth of 2.00
    assert verdict(ran(store, filters__max_leg_spread=0.10)) == Reason.ENTER
    assert verdict(ran(store, filters__max_leg_spread=0.099)) == Reason.ILLIQUID


def test_the_spread_of_a_wing_is_not_judged(tmp_path):
    store = market(tmp_path, contracts={**CONDOR, "P460": (0.08, (50, 100))})
    assert verdict(ran(store, filters__max_leg_spread=0.01)) == Reason.ENTER


@pytest.mark.parametrize("rule", ["min_size", "min_interest", "min_volume"])
def test_a_market_that_does_not_know_its_depth_fails_a_limit_on_it(rule):
    store = markets.market("modelled")
    refused = markets.ran(store, **{f"strategy__filters__{rule}": 1})
    assert len(refused.trades) == 0
    assert Reason.ILLIQUID in refused.ledger.codes[0]
    assert len(markets.ran(store).trades) > 0


# ---------------------------------------------------------------- waiting times

DAILY = {"entry__weekdays": "mon,tue,wed,thu,fri", "max_positions": 1}
WON = Then("06-02 11:00", {"C530": 100})  # half of the credit is kept
LOST = Then("06-02 11:00", {"C530": 500}), Then("06-02 11:05", {"C530": 500}), Then("06-02 11:10", {"C530": 200})


def days_entered(result):
    return [time[:5] for time, reason, _ in orders(result) if reason == "enter"]


@pytest.mark.parametrize(
    ("wait", "days", "waits_on"),
    [(0, ["06-02", "06-03"], set()), (1, ["06-02", "06-03"], set()), (2, ["06-02", "06-04"], {"06-03"}),
     (3, ["06-02"], {"06-03", "06-04"})],
)  # fmt: skip
def test_nothing_is_opened_so_many_days_after_an_exit(tmp_path, wait, days, waits_on):
    store = market(tmp_path, WON, Then("06-02 11:05", {"C530": 200}))
    result = ran(store, entry__wait_after_exit=wait, **DAILY)
    assert days_entered(result) == days
    assert {day for day in ("06-03", "06-04") if reasons_on(result, day) == {"cooldown"}} == waits_on


def test_waiting_after_a_loss_does_not_follow_a_gain(tmp_path):
    won = market(tmp_path / "won", WON, Then("06-02 11:05", {"C530": 200}))
    lost = market(tmp_path / "lost", *LOST)
    rules = {"entry__wait_after_loss": 2, "exits__stop_multiple": 1.0, **DAILY}
    assert days_entered(ran(won, **rules)) == ["06-02", "06-03"]
    waited = ran(lost, **rules)
    assert orders(waited)[1][1] == "stop"
    assert days_entered(waited) == ["06-02", "06-04"]
    assert days_entered(ran(lost, **{**rules, "entry__wait_after_loss": 0})) == ["06-02", "06-03"]


def test_the_longer_of_two_waiting_times_holds(tmp_path):
    lost = market(tmp_path, *LOST)
    rules = {"exits__stop_multiple": 1.0, **DAILY}
    for after_exit, after_loss in ((3, 2), (2, 3)):
        waiting = {"entry__wait_after_exit": after_exit, "entry__wait_after_loss": after_loss}
        assert days_entered(ran(lost, **rules, **waiting)) == ["06-02"]


def test_closing_one_side_is_no_exit_to_wait_after(tmp_path):
    store = market(tmp_path, Then("06-02 11:00", {"P470": 90, "P460": 40}))
    rules = {"exits__scope": "side", "entry__wait_after_exit": 3, **DAILY, "max_positions": 2}
    assert days_entered(ran(store, **rules)) == ["06-02", "06-03"]


def test_entries_are_decided_from_the_windows_first_minute_to_its_last(tmp_path):
    """Both ends count, and the minutes at the session's edge end the window where they come sooner."""
    store = market(tmp_path)

    def outside(times, **rules):
        result = ran(store, max_positions=1, **rules)
        return [verdict(result, f"06-02 {time}") == Reason.WINDOW for time in times]

    window = {"entry__window_start": "10:30", "entry__window_end": "15:00"}
    assert outside(("10:25", "10:30", "15:00", "15:05"), **window) == [True, False, False, True]
    late = {"entry__window_end": "16:00", "exits__edge_minutes": 15}
    assert outside(("15:45", "15:50"), **late) == [False, True]
