"""The gate before entries and the halts: each cap alone decides, on markets drawn by hand.

Ten condors are wanted at 10:05 of the first day for $2.00 each, $10 wide; each cap leaves as many as fit.
"""

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.stats import norm

from core.replay import Replay
from core.types import CASH, LEG_SIGN, MARGIN, T
from tests.hand import CONDOR, LATER, NO_QUOTE, SPOT, Then, config_of, market, orders, ran, reasons_on, row_at

ENTERED = ("06-02 10:05", "enter", "+P460 -P470 -C530 +C540")
WHOLE = "-P460 +P470 +C530 -C540"
TEN = {"size__contracts": 10, "size__max_risk_frac": 1.0, "exits__stop_multiple": 0.0, "exits__profit_frac": 1.0}
DAILY = {**TEN, "entry__weekdays": "mon,tue,wed", "max_positions": 4, "entry__schedule": "daily"}
YEARS = (45 + 6 / 24) / 365  # from 10:00 of 2 June to 16:00 of 17 July


def contracts(result):
    return result.trades[:, T["contracts"]].tolist()


def priced(call, strike, vol, spot=SPOT, years=YEARS):
    """Black's price without carry, $."""
    d1 = np.log(spot / strike) / (vol * np.sqrt(years)) + vol * np.sqrt(years) / 2
    value = spot * norm.cdf(d1) - strike * norm.cdf(d1 - vol * np.sqrt(years))
    return value if call else value - spot + strike


def vol_of(call, strike, price):
    return brentq(lambda vol: priced(call, strike, vol) - price, 0.01, 3.0)


def shocked(move=0.0, vol_factor=1.0, more_vol=0.0, days=0.0, of=CONDOR):
    """Gain in $ of one condor, sold at these prices, after the spot, its volatilities and time have moved."""
    gain = 0.0
    for sign, (name, (_, cents)) in zip(LEG_SIGN, of.items(), strict=True):
        call, strike = name[0] == "C", float(name[1:])
        vol = vol_of(call, strike, cents / 100)
        after = priced(call, strike, vol * vol_factor + more_vol, SPOT * (1 + move), YEARS - days / 365)
        gain += 100 * sign * (after - cents / 100)
    return gain


SHOCKS = ((-0.05, 1.25), (-0.10, 1.5), (0.05, 1.0))
CALM_SHOCKS = tuple((move, 1.0) for move, _ in SHOCKS)
GREEKS = {
    "delta": abs(shocked(1e-5) - shocked(-1e-5)) / (2e-5 * SPOT),
    "gamma": abs(shocked(1e-3) + shocked(-1e-3)) / (1e-3 * SPOT) ** 2,
    "vega": abs(shocked(more_vol=1e-4) - shocked(more_vol=-1e-4)) / 2e-4 * 0.01,
    "theta": abs(shocked(days=1e-3) - shocked(days=-1e-3)) / 2e-3,
}


# ---------------------------------------------------------------- caps


@pytest.mark.parametrize("of", ["trade", "book"])
@pytest.mark.parametrize("greek", list(GREEKS))
def test_a_cap_on_a_greek_cuts_the_entry_to_what_fits_and_refuses_what_does_not(greek, of, tmp_path):
    store = market(tmp_path)
    each = GREEKS[greek]
    cut = ran(store, **TEN, **{f"risk__{of}_{greek}": 3.02 * each})
    assert contracts(cut) == [3]
    assert contracts(ran(store, **TEN, **{f"risk__{of}_{greek}": 2.98 * each})) == [2]
    none = ran(store, **TEN, **{f"risk__{of}_{greek}": 0.98 * each})
    assert contracts(none) == []
    assert f"{of}_{greek}" in reasons_on(none, "06-02")


def test_the_book_s_caps_count_what_is_open_and_an_entry_s_do_not(tmp_path):
    store = market(tmp_path)
    cap = 13.05 * GREEKS["vega"]
    assert contracts(ran(store, **DAILY, risk__trade_vega=cap))[:2] == [10, 10]
    both = ran(store, **DAILY, risk__book_vega=cap)
    assert contracts(both)[0] == 10
    assert contracts(both)[1] in (3, 4)  # a day later vega is a little smaller
    assert "book_vega" in reasons_on(both, "06-04")


@pytest.mark.parametrize(
    ("cap", "value", "fit"),
    [
        ("trade_loss", 2_400.0, 3),
        ("trade_loss", 2_399.0, 2),
        ("trade_loss", 799.0, 0),
        ("book_loss", 4_000.0, 5),
        ("book_loss", 799.0, 0),
        ("book_contracts", 7, 7),
        ("expiry_loss", 0.04, 5),
        ("expiry_loss", 0.007, 0),
    ],
)
def test_a_cap_on_losses_cuts_the_entry_to_what_fits(cap, value, fit, tmp_path):
    result = ran(market(tmp_path), **TEN, **{f"risk__{cap}": value})
    assert contracts(result) == ([fit] if fit else [])
    if not fit:
        assert cap in reasons_on(result, "06-02")


def test_losses_of_the_book_add_up_and_those_of_an_expiry_only_there(tmp_path):
    later = {f"{name} {LATER}": drawn for name, drawn in CONDOR.items()}
    store = market(tmp_path, contracts={**CONDOR, **later})
    wide = {**DAILY, "entry__dte_target": 45, "entry__dte_max": 60, "entry__dte_min": 30}
    assert contracts(ran(store, **wide, risk__book_loss=9_600.0)) == [10, 2]
    assert contracts(ran(store, **wide, risk__expiry_loss=0.08))[0] == 10
    assert contracts(ran(store, **wide, risk__expiry_loss=0.096))[:2] == [10, 2]
    assert contracts(ran(store, **wide, risk__book_contracts=11)) == [10, 1]


def test_the_loss_under_a_shock_of_the_spot_is_capped_by_full_repricing(tmp_path):
    store = market(tmp_path)
    worst = -min(shocked(move, factor) for move, factor in SHOCKS)
    assert contracts(ran(store, **TEN, risk__shock_loss=4.02 * worst / 1e5)) == [4]
    assert contracts(ran(store, **TEN, risk__shock_loss=3.98 * worst / 1e5)) == [3]
    none = ran(store, **TEN, risk__shock_loss=0.98 * worst / 1e5)
    assert contracts(none) == []
    assert "shock_loss" in reasons_on(none, "06-02")


def test_the_shock_of_a_far_spread_is_worse_with_the_risen_volatility(tmp_path):
    far = {"P420": (0.08, 30), "P430": (0.16, 50), "C560": (0.16, 50), "C570": (0.08, 30)}
    store = market(tmp_path, contracts=far)
    worst, calm = (-min(shocked(move, f, of=far) for move, f in shocks) for shocks in (SHOCKS, CALM_SHOCKS))
    assert worst > 1.1 * calm
    rules = {**TEN, "entry__min_credit_vs_median": 0.0}
    assert contracts(ran(store, **rules, risk__shock_loss=4.02 * worst / 1e5)) == [4]
    assert contracts(ran(store, **rules, risk__shock_loss=4.02 * calm / 1e5, risk__shock_vol=0.0)) == [4]
    assert contracts(ran(store, **rules, risk__shock_loss=4.02 * calm / 1e5)) == [3]


def test_a_held_leg_without_a_volatility_is_no_reason_to_guess(tmp_path):
    puts = {"P410": (0.01, 5), "P420": (0.01, 10), "P460": (0.08, 100), "P470": (0.16, 200)}
    # The spot falls below the old puts, whose quotes stay behind: less than they are worth at once.
    later = Then("06-03 09:35", {"P410": 100, "P420": 200}, spot=440.0, deltas={"P410": 0.08, "P420": 0.16})
    store = market(tmp_path, later, contracts=puts)
    rules = {**DAILY, "structure": "put_spread", "size__contracts": 1, "entry__min_credit_vs_median": 0.0}
    assert contracts(ran(store, **rules))[:2] == [1, 1]
    for cap, wide in (("risk__trade_vega", 1e6), ("risk__shock_loss", 1.0)):
        result = ran(store, **rules, **{cap: wide})
        assert contracts(result) == [1]
        assert "risk_unknown" in reasons_on(result, "06-03")


# ---------------------------------------------------------------- margin


@pytest.mark.parametrize(("profile", "each"), [("alpaca", 1_000), ("reg_t", 1_000), ("ibkr", 1_000), ("none", 0)])
def test_an_entry_takes_what_its_margin_less_its_credit_leaves(profile, each, tmp_path):
    store = market(tmp_path)
    result = ran(store, **TEN, account__starting_cash=4_000.0, risk__margin=profile)
    # Each binds 1,000 and brings 200. Without margin it is the risk budget, all of the equity, that leaves five.
    assert contracts(result) == [5]
    bound = result.ledger.rows[MARGIN, row_at(result.market, "06-02 10:05")]
    assert bound == 100 * each * 5
    assert bound <= result.ledger.rows[CASH, -1]


def test_margin_alone_refuses_what_the_risk_budget_allows(tmp_path):
    store = market(tmp_path, contracts={**CONDOR, "P450": (0.05, 50)})
    wings = {"entry__put_wing_scale": 2.0, **TEN}  # 20 below, 10 above; the budget knows the wider wing alone
    cash = {"account__starting_cash": 2_500.0}
    credit = 250
    whole = ran(store, **wings, **cash, risk__margin="none")
    assert whole.trades[0, [T["credit"], T["width"], T["contracts"]]].tolist() == [credit, 2000, 1]
    assert contracts(ran(store, **wings, **cash, risk__margin="reg_t")) == [1]  # 2,000 bound, 2,750 there
    two = ran(store, **wings, **cash, risk__margin="ibkr")  # two spreads: 3,000 bound
    assert contracts(two) == []
    assert "margin" in reasons_on(two, "06-02")
    assert contracts(ran(store, **wings, account__starting_cash=2_750.0, risk__margin="ibkr")) == [1]


def test_a_refusal_keeps_the_figure(tmp_path):
    store = market(tmp_path, contracts={**CONDOR, "P450": (0.05, 50)})
    changes = {**TEN, "entry__put_wing_scale": 2.0, "account__starting_cash": 2_500.0, "risk__margin": "ibkr"}
    replay = Replay(store, config_of(store, **changes))
    replay.to(row_at(replay.market, "06-02 10:00"))
    assert (replay.book.head.need, replay.book.head.room) == (300_000, 275_000)


def test_the_share_of_cash_that_margin_may_bind(tmp_path):
    store = market(tmp_path)
    half = ran(store, **TEN, account__starting_cash=4_000.0, risk__buying_power=0.5)
    assert contracts(half) == [2]  # half of 4,400 is 2,200: two thousand are bound


def test_portfolio_margin_is_the_worst_scenario_and_no_less_than_its_minimum(tmp_path):
    store = market(tmp_path)
    worst = max(-shocked(move) for move in (-0.08, -0.064, -0.048, -0.032, -0.016, 0.012, 0.024, 0.036, 0.048, 0.06))
    result = ran(store, **TEN, risk__margin="portfolio")
    bound = int(result.ledger.rows[MARGIN, row_at(result.market, "06-02 10:05")])
    assert bound == pytest.approx(100 * max(10 * worst, 10 * 4 * 37.5), rel=1e-3)
    fit = int(2_500 // worst)
    assert 1 < fit < 10
    assert contracts(ran(store, **TEN, risk__margin="portfolio", risk__buying_power=0.025)) == [fit]


# ---------------------------------------------------------------- halts


def falls(time, cents=400):
    """From a time on the condor costs so much more to close."""
    return Then(time, {"P470": 200 + cents})


def test_a_daily_loss_stops_entries_until_the_next_session(tmp_path):
    store = market(tmp_path, falls("06-02 11:00"), days=("2025-06-02", "2025-06-04"))
    changes = {**TEN, "entry__weekdays": "mon,tue", "max_positions": 8, "entry__schedule": "ladder",
               "entry__ladder_days": 0, "entry__ladder_minutes": 120, "entry__max_new_per_day": 3,
               "entry__min_credit_vs_median": 0.0}  # fmt: skip
    free = [time for time, why, _ in orders(ran(store, **changes)) if why == "enter"]
    assert free[:2] == ["06-02 10:05", "06-02 12:10"]
    result = ran(store, **changes, risk__daily_loss=0.03)
    assert [time for time, why, _ in orders(result) if why == "enter"][:2] == ["06-02 10:05", "06-03 10:05"]
    assert "daily_loss" in reasons_on(result, "06-02")
    assert "daily_loss" not in reasons_on(result, "06-03")
    assert [time for time, why, _ in orders(ran(store, **changes, risk__daily_loss=0.05)) if why == "enter"] == free


def test_a_halt_may_close_everything(tmp_path):
    store = market(tmp_path, falls("06-02 11:00"))
    result = ran(store, **TEN, risk__daily_loss=0.03, risk__halt="close_all")
    assert orders(result) == [ENTERED, ("06-02 11:05", "daily_loss", WHOLE)]
    assert orders(ran(store, **TEN, risk__daily_loss=0.03)) == [ENTERED]


def test_a_row_without_quotes_triggers_no_halt(tmp_path):
    store = market(
        tmp_path,
        Then("06-02 11:00", {"P470": 600, "C540": NO_QUOTE}),
        Then("06-02 11:05", {"P470": 200, "C540": 100}),
    )
    assert orders(ran(store, **TEN, risk__daily_loss=0.03, risk__halt="close_all")) == [ENTERED]


def test_a_drawdown_halts_for_good_or_until_it_has_rested(tmp_path):
    days = ("2025-06-02", "2025-06-09")
    store = market(tmp_path, falls("06-03 11:00"), days=days)
    changes = {**TEN, "entry__weekdays": "mon,tue,wed,thu,fri", "max_positions": 8, "size__contracts": 5,
               "entry__min_credit_vs_median": 0.0}  # fmt: skip
    free = [time for time, why, _ in orders(ran(store, **changes)) if why == "enter"]
    assert [t[:5] for t in free] == ["06-02", "06-03", "06-04", "06-05", "06-06", "06-09"]
    ended = ran(store, **changes, risk__drawdown=0.03)
    assert [t[:5] for t, why, _ in orders(ended) if why == "enter"] == ["06-02", "06-03"]
    assert reasons_on(ended, "06-05") == {"drawdown"}
    rested = ran(store, **changes, risk__drawdown=0.03, risk__drawdown_rest=2)
    assert [t[:5] for t, why, _ in orders(rested) if why == "enter"] == ["06-02", "06-03", "06-05", "06-06", "06-09"]


def test_losses_in_a_row_make_a_pause_and_a_win_breaks_the_row(tmp_path):
    days = ("2025-06-02", "2025-06-11")
    up = [Then(f"06-{day:02d} 11:00", {"P470": 500}) for day in (2, 3, 4, 5, 6, 9, 10, 11)]
    down = [Then(f"06-{day:02d} 13:00", {"P470": 200}) for day in (2, 3, 4, 5, 6, 9, 10, 11)]
    changes = sorted((*up, *down), key=lambda change: change.time)
    store = market(tmp_path, *changes, days=days)
    rules = {"entry__weekdays": "mon,tue,wed,thu,fri", "exits__stop_multiple": 1.0, "exits__profit_frac": 1.0}
    every = [t[:5] for t, why, _ in orders(ran(store, **rules)) if why == "enter"]
    assert every == ["06-02", "06-03", "06-04", "06-05", "06-06", "06-09", "06-10", "06-11"]
    paused = ran(store, **rules, risk__losses_in_row=2, risk__losses_rest=3)
    entered = [t[:5] for t, why, _ in orders(paused) if why == "enter"]
    assert entered == ["06-02", "06-03", "06-06", "06-09"]
    assert "losses_in_row" in reasons_on(paused, "06-04")


def test_the_kill_switch_closes_everything_and_stays(tmp_path):
    store = market(tmp_path)
    changes = {**TEN, "entry__weekdays": "mon,tue,wed"}
    result = ran(store, **changes, risk__kill_from="2025-06-03")
    assert orders(result) == [ENTERED, ("06-03 09:40", "killed", WHOLE)]
    assert reasons_on(result, "06-03") == {"killed"}
    assert reasons_on(result, "06-04") == {"killed"}
