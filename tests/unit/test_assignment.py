"""Early exercise, expiry on shares, pin risk and the broker's liquidation: each alone, ledgers worked out by hand.

A condor is sold at 10:05 on Monday 16 June 2025 for $2.00. SPY's listed ex-dividend day is Friday 20 June, $1.761; the
19th is a holiday, so the evening that counts is Wednesday the 18th.
"""

import numpy as np
import pytest

from backtest_engine import run
from core.market.build import Daily
from core.market.store import market_of
from core.scripted import ScriptedOrder
from core.types import EVENT_NAMES, MONEY_EVENTS, A, F, Reason, T
from tests.hand import CONDOR, NO_QUOTE, Then, config_of, contract_name, market, orders, ran, time_of

DAYS = ("2025-06-16", "2025-06-24")
HELD = {"exits__stop_multiple": 0.0, "exits__profit_frac": 1.0, "exits__exit_dte": 0, "entry__dte_min": 20,
        "entry__dte_target": 30, "entry__min_credit_vs_median": 0.0}  # fmt: skip
WITH_PUT = {**CONDOR, "P530": (0.01, 3100), "C470": (0.01, 3100)}
DEEP_CALL = {"C530": 3005, "C540": 2010, "P470": 2, "P460": 1, "P530": 40, "C470": 9000}
ENTERED = ("06-16 10:05", "enter", "+P460 -P470 -C530 +C540")


def cash_events(result):
    """(time, event, what, quantity bought, price) of every row but entries; money in $ paid."""
    m, told = result.market, []
    for f in result.fills.tolist():
        if f[F["reason"]] == Reason.ENTER:
            continue
        event, c = f[F["event"]], f[F["contract"]]
        what = contract_name(m, c) if c >= 0 else ("$" if event in MONEY_EVENTS else "SPY")
        told.append((time_of(m, f[F["row"]]), EVENT_NAMES[event], what, f[F["quantity"]], f[F["price2"]] / 200))
    return told


def balances(result):
    """Cash is the start and all signed rows, to the cent; nothing is left when all is closed."""
    fills = result.fills
    unit = np.where(fills[:, F["contract"]] >= 0, 100, 1)
    cash = 10_000_000 - (fills[:, F["quantity"]] * fills[:, F["price2"]] * unit).sum() // 2 - fills[:, F["fee"]].sum()
    assert cash == result.ledger.rows[0, -1]
    assert result.trades[:, T["pnl"]].sum() == cash - 10_000_000
    shares = (fills[:, F["contract"]] < 0) & ~np.isin(fills[:, F["event"]], MONEY_EVENTS)
    assert fills[shares, F["quantity"]].sum() == 0
    for c in np.unique(fills[fills[:, F["contract"]] >= 0, F["contract"]]):
        assert fills[fills[:, F["contract"]] == c, F["quantity"]].sum() == 0
    assert (result.trades[:, T["closed"]] >= 0).all()


# ---------------------------------------------------------------- the evening before an ex-dividend day


def test_an_ex_dividend_evening_by_hand(tmp_path):
    store = market(tmp_path, Then("06-18 12:00", DEEP_CALL, spot=560.0), days=DAYS, contracts=WITH_PUT)
    result = ran(store, **HELD)
    assert cash_events(result) == [
        ("06-20 09:35", "assignment", "C530", 1, 0.0),
        ("06-20 09:35", "assignment", "SPY", -100, 530.00),  # delivered: the holder pays the strike
        ("06-20 09:35", "dividend", "$", 1, 176.10),  # the short owes it
        ("06-20 09:40", "fill", "SPY", 100, 560.01),  # bought back on the next bar, half a cent of spread up to a cent
        ("06-20 09:40", "fill", "P460", -1, 0.01),
        ("06-20 09:40", "fill", "P470", 1, 0.02),
        ("06-20 09:40", "fill", "C540", -1, 20.10),
    ]
    # 200 credit + 53,000 - 176.10 - 56,001 + 1 - 2 + 2,010 = -968.10
    trade = result.trades[0]
    assert trade[[T["pnl"], T["reason"]]].tolist() == [-96_810, Reason.ASSIGNED]
    assert trade[T["pnl"]] < -trade[T["max_loss"]]  # wider than wing less credit: the dividend
    balances(result)
    parts = result.adjustments[:, [A["part"], A["net"], A["reason"]]].tolist()
    assert parts == [[0b0100, -53_000, Reason.ASSIGNED]]  # the shares go with the rest, in the trade's own close
    assert orders(ran(store, **HELD, assignment__early="none")) == [ENTERED]


def test_the_shares_are_carried_and_marked_with_the_spot(tmp_path):
    """The price jumps between the two bars: the short shares lose what the long call wins, but for the strike apart."""
    jump = Then("06-20 09:40", {"C540": 3000}, spot=570.0)
    store = market(tmp_path, Then("06-18 12:00", DEEP_CALL, spot=560.0), jump, days=DAYS, contracts=WITH_PUT)
    result = ran(store, **HELD)
    row = next(r for r in range(len(result.market.row.ts)) if time_of(result.market, r) == "06-20 09:35")
    cash, marks = result.ledger.rows[0, row], result.ledger.rows[1, row]
    assert cash == 10_000_000 + 20_000 + 5_300_000 - 17_610
    assert marks == -5_600_000 + 201_000 + 100 - 200  # shares at 560, the call, the puts
    assert result.fills[-4, F["price2"]] == 2 * 57_001
    balances(result)


def test_shares_are_closed_at_once_though_an_option_cannot_be(tmp_path):
    """The wing has no quote on the first bars: the shares do not wait for it, and it follows when it is quoted."""
    gone = Then("06-20 09:35", {"C540": NO_QUOTE}, spot=560.0)
    back = Then("06-20 10:00", {"C540": 2010})
    store = market(tmp_path, Then("06-18 12:00", DEEP_CALL, spot=560.0), gone, back, days=DAYS, contracts=WITH_PUT)
    result = ran(store, **HELD)
    assert [e[0] for e in cash_events(result)[3:]] == ["06-20 09:40", "06-20 10:00", "06-20 10:00", "06-20 10:00"]
    assert result.adjustments[:, [A["part"], A["net"]]].tolist() == [[0b0100, -53_000], [0b100000, 56_001]]
    assert result.trades[0, T["pnl"]] == -96_810
    balances(result)


@pytest.mark.parametrize("first", ["06-20 09:35", "06-23 09:35"])
def test_no_other_evening_than_the_listed_one_counts(first, tmp_path):
    """In the money only after the ex-date's own opening: nobody exercises a call for a dividend that has gone."""
    store = market(tmp_path, Then(first, DEEP_CALL, spot=560.0), days=DAYS, contracts=WITH_PUT)
    assert orders(ran(store, **HELD)) == [ENTERED]


@pytest.mark.parametrize(
    ("put", "rate", "exercised"),
    [(40, None, True), (174, None, True), (178, None, False), (5, 0.04, True), (40, 0.04, False), (None, None, True)],
)
def test_the_dividend_must_beat_the_put_and_the_interest_on_the_strike(put, rate, exercised, tmp_path):
    """Interest on 530 at 4 % for 29 days to 17 July is 1.68: with a put at 0.05 the dividend of 1.761 is worth more."""
    quotes = {**DEEP_CALL, "P530": NO_QUOTE if put is None else put}
    rates = {} if rate is None else dict.fromkeys(range(20254, 20263), rate)
    daily = Daily({}, {}, rates)
    store = market(tmp_path, Then("06-18 12:00", quotes, spot=560.0), days=DAYS, contracts=WITH_PUT, daily=daily)
    reasons = [why for _, why, _ in orders(ran(store, **HELD))]
    assert ("assigned" in reasons) == exercised


def test_a_call_out_of_the_money_is_not_exercised(tmp_path):
    store = market(tmp_path, Then("06-18 12:00", {"P530": 1}, spot=529.99), days=DAYS, contracts=WITH_PUT)
    assert orders(ran(store, **HELD)) == [ENTERED]


def test_where_dividends_are_not_listed_nothing_is_guessed(tmp_path):
    """An index market delivers no shares, and so is never assigned."""
    store = market(tmp_path, Then("06-18 12:00", DEEP_CALL, spot=560.0), days=DAYS, contracts=WITH_PUT, root="SPXW")
    assert orders(ran(store, **HELD)) == [ENTERED]


# ---------------------------------------------------------------- puts, parts


def test_a_deep_put_is_exercised_for_the_interest_on_its_strike(tmp_path):
    """470 at 4 % for 30 days brings 1.54; the call at 470 is worth less on the evening of the 17th."""
    deep = {"P470": 7000, "P460": 6000, "C470": 120, "C530": 1, "C540": 1, "P530": 13000}
    rates = Daily({}, {}, dict.fromkeys(range(20254, 20263), 0.04))
    fall = Then("06-17 12:00", deep, spot=400.0)
    store = market(tmp_path, fall, days=DAYS, contracts=WITH_PUT, daily=rates)
    result = ran(store, **HELD)
    assert cash_events(result) == [
        ("06-18 09:35", "assignment", "P470", 1, 0.0),
        ("06-18 09:35", "assignment", "SPY", 100, 470.00),
        ("06-18 09:40", "fill", "SPY", -100, 399.99),
        ("06-18 09:40", "fill", "P460", -1, 60.00),
        ("06-18 09:40", "fill", "C530", 1, 0.01),
        ("06-18 09:40", "fill", "C540", -1, 0.01),
    ]
    assert result.trades[0, T["pnl"]] == 20_000 - 4_700_000 + 3_999_900 + 600_000
    balances(result)
    dear = market(tmp_path / "dear", Then("06-17 12:00", {**deep, "C470": 160}, spot=400.0), days=DAYS,
                  contracts=WITH_PUT, daily=rates)  # fmt: skip
    assert orders(ran(dear, **HELD)) == [ENTERED]


def test_a_share_of_the_contracts_may_be_assigned(tmp_path):
    """Three of ten: they become a trade of the same campaign; the other seven stay a condor."""
    store = market(tmp_path, Then("06-18 12:00", DEEP_CALL, spot=560.0), days=DAYS, contracts=WITH_PUT)
    ten = {**HELD, "size__contracts": 10, "size__max_risk_frac": 1.0}
    result = ran(store, **ten, assignment__share=0.25)
    assert result.trades[:, T["contracts"]].tolist() == [7, 3]
    assert result.trades[:, T["campaign"]].tolist() == [0, 0]
    assert result.trades[:, T["closed"]].tolist()[0] == -1
    assert result.trades[1, T["pnl"]] == 3 * -96_810
    whole = ran(store, **ten)
    assert whole.trades[:, T["pnl"]].tolist() == [10 * -96_810]
    # The seven are marked where one condor of seven would be.
    assert result.ledger.rows[1, -1] == -700 * (3005 - 2010 + 2 - 1)
    moved = result.fills[:, F["event"]] == EVENT_NAMES.index("transfer")
    signed = result.fills[moved, F["quantity"]] * result.fills[moved, F["price2"]]
    assert moved.sum() == 8 and signed.sum() == 0


# ---------------------------------------------------------------- expiry on shares

SOON = "2025-06-18"  # a Wednesday
DAILY_CONDOR = {f"{name} {SOON}": drawn for name, drawn in CONDOR.items()}
TO_EXPIRY = {**HELD, "entry__dte_min": 0, "entry__dte_target": 2, "exits__expiry_rule": "settle"}


def at_expiry(tmp_path, spot, after=None, **changes):
    """The run of a condor that expires on 18 June with the spot there; the next session is the 20th."""
    moves = [Then("06-18 12:00", {}, spot=spot)]
    moves += [Then("06-20 09:35", {}, spot=after)] if after else []
    store = market(tmp_path, *moves, days=("2025-06-16", "2025-06-20"), contracts=DAILY_CONDOR)
    return ran(store, **TO_EXPIRY, **changes)


def test_out_of_the_money_everything_expires_worthless(tmp_path):
    result = at_expiry(tmp_path, 500.0)
    assert [e[1:] for e in cash_events(result)] == [("settlement", c, q, 0.0) for c, q in
                                                    (("P460", -1), ("P470", 1), ("C530", 1), ("C540", -1))]  # fmt: skip
    assert result.trades[0, [T["pnl"], T["reason"]]].tolist() == [20_000, Reason.SETTLED]
    balances(result)


def test_a_vertical_in_the_money_delivers_and_nets_to_its_width(tmp_path):
    result = at_expiry(tmp_path, 450.0)
    shares = [e[1:] for e in cash_events(result) if e[2] == "SPY"]
    assert shares == [("exercise", "SPY", -100, 460.00), ("assignment", "SPY", 100, 470.00)]
    assert result.trades[0, [T["pnl"], T["reason"]]].tolist() == [20_000 - 100_000, Reason.EXERCISED]
    assert result.trades[0, T["pnl"]] == -result.trades[0, T["max_loss"]]
    balances(result)


def test_between_the_strikes_the_shares_stay_over_the_night(tmp_path):
    """Assigned at 470 with the spot at 465; the market opens at 440: the wing has expired."""
    result = at_expiry(tmp_path, 465.0, after=440.0)
    assert [e for e in cash_events(result) if e[2] == "SPY"] == [
        ("06-18 16:00", "assignment", "SPY", 100, 470.00),
        ("06-20 09:40", "fill", "SPY", -100, 439.99),
    ]
    assert result.trades[0, T["pnl"]] == 20_000 + 100 * (43_999 - 47_000)
    assert result.trades[0, T["pnl"]] < -result.trades[0, T["max_loss"]]
    balances(result)


@pytest.mark.parametrize(("spot", "assigned"), [(469.99, True), (470.0, False)])
def test_a_cent_in_the_money_is_exercised(spot, assigned, tmp_path):
    result = at_expiry(tmp_path, spot)
    assert any(e[2] == "SPY" for e in cash_events(result)) == assigned


def test_near_its_strike_a_short_may_be_assigned_though_out_of_the_money(tmp_path):
    result = at_expiry(tmp_path, 470.3, assignment__pin_band=0.5)
    assert [e for e in cash_events(result) if e[2] == "SPY"] == [
        ("06-18 16:00", "assignment", "SPY", 100, 470.00),
        ("06-20 09:40", "fill", "SPY", -100, 470.29),
    ]
    assert result.trades[0, T["reason"]] == Reason.PINNED
    balances(result)
    assert not any(e[2] == "SPY" for e in cash_events(at_expiry(tmp_path / "wide", 470.6, assignment__pin_band=0.5)))


def test_the_default_is_flat_before_the_close(tmp_path):
    store = market(tmp_path, days=("2025-06-16", "2025-06-20"), contracts=DAILY_CONDOR)
    result = ran(store, **{**TO_EXPIRY, "exits__expiry_rule": "flat"})
    assert orders(result)[-1] == ("06-18 14:35", "expiry_flat", "-P460 +P470 +C530 -C540")


# ---------------------------------------------------------------- the broker's liquidation


def test_the_broker_buys_back_an_endangered_short_and_leaves_the_wing(tmp_path):
    """15:30 on the expiry's day, spot 472, short put at 470: bought at its ask; the rest follows on the next bar."""
    near = {f"P470 {SOON}": (90, 110), f"P460 {SOON}": (4, 6), f"C530 {SOON}": (0, 1), f"C540 {SOON}": (0, 1)}
    store = market(tmp_path, Then("06-18 12:00", near, spot=472.0), days=("2025-06-16", "2025-06-20"),
                   contracts=DAILY_CONDOR)  # fmt: skip
    result = ran(store, **TO_EXPIRY, assignment__broker_liquidation="short_leg")
    assert cash_events(result) == [
        ("06-18 15:30", "fill", "P470", 1, 1.10),
        ("06-18 15:35", "fill", "P460", -1, 0.04),
        ("06-18 15:35", "fill", "C530", 1, 0.01),
        ("06-18 15:35", "fill", "C540", -1, 0.0),
    ]
    assert result.trades[0, [T["pnl"], T["reason"]]].tolist() == [20_000 - 11_000 + 400 - 100, Reason.LIQUIDATED]
    parts = result.adjustments[:, [A["part"], A["net"], A["reason"]]].tolist()
    assert parts == [[0b0010, 110, Reason.LIQUIDATED]]
    balances(result)
    free = ran(store, **TO_EXPIRY)
    assert {e[1] for e in cash_events(free)} == {"settlement"}


@pytest.mark.parametrize("spot", [500.0, 475.0])
def test_a_short_that_is_far_is_left_alone(spot, tmp_path):
    result = at_expiry(tmp_path, spot, assignment__broker_liquidation="short_leg")
    assert {e[1] for e in cash_events(result)} == {"settlement"}


def test_a_stated_condor_is_assigned_like_any_other(tmp_path):
    """A condor of stated legs and prices, held through the evening: the ledger above, from its stated credit on."""
    store = market(tmp_path, Then("06-18 12:00", DEEP_CALL, spot=560.0), days=DAYS, contracts=WITH_PUT)
    expiry = int(market_of(store).exp.day[0])
    legs = {"expiry": expiry, "strikes": (460.0, 470.0, 530.0, 540.0), "contracts": 1}
    opening = int(np.datetime64("2025-06-16T14:05").astype("datetime64[ns]").astype(np.int64))
    closing = int(np.datetime64("2025-06-24T14:05").astype("datetime64[ns]").astype(np.int64))
    stated = [
        ScriptedOrder(key=1, when=opening, opens=True, prices=(1.0, 2.0, 2.0, 1.0), **legs),
        ScriptedOrder(key=1, when=closing, opens=False, prices=(0.01, 0.02, 30.0, 20.0), **legs),
    ]
    result = run(store, config_of(store, **HELD), stated)
    assert result.trades[0, [T["pnl"], T["reason"]]].tolist() == [-96_810, Reason.ASSIGNED]
    balances(result)  # the stated close found nothing to close
