"""Faults 19 to 51: the broker's limits and refusals, bad quotes, expiry, assignment, clocks, halts."""

import json
import os
import re
import signal
import time

import pytest

from core.live.tape import drawn_tape
from core.market.calendar import NS_MINUTE
from core.types import Reason
from tests.live.alpaca_sim.judge import book_of, judge
from tests.live.alpaca_sim.stage import QUICK, ours

pytestmark = pytest.mark.live
FIVE = (*QUICK, "strategy.size.contracts=5", "live.walk_every=200")
ORDERS = "/v2/orders$"
TODAY = ("strategy.entry.dte_min=0", "strategy.entry.dte_target=0", "strategy.entry.dte_max=1",
         "strategy.exits.exit_dte=0", "strategy.entry.delta_low=0.02", "strategy.entry.delta_high=0.4",
         "strategy.entry.min_credit_vs_median=0.0", "strategy.entry.wing_width=3.0",
         "strategy.exits.profit_frac=1.0", "strategy.exits.stop_multiple=0")  # fmt: skip


def positions(ledger):
    return {symbol: quantity for symbol, (quantity, _) in ledger["positions"].items()}


def units(ledger):
    return max((abs(quantity) for quantity in positions(ledger).values()), default=0)


def mine(ledger, letter=""):
    return [order for order in ledger["orders"].values() if ours(order) and f"-{letter}" in order["cid"]]


def ran(stage, **options):
    code = stage.run(**options)
    assert code == 0, stage.text()[-2500:]
    return judge(stage)


def entered(stage, ledger, count=1):
    assert units(ledger) == count, stage.text()[-2500:]


# ---------------------------------------------------------------- 19, 20: outages and limits


def test_19_an_outage_halts_entries_and_ends_in_a_reconcile(stages):
    stage = stages()
    entered(stage, ran(stage, until="09:55"))
    stage.fault(path="/v", action="status", status=503, body="html", count=400)
    stage.begin(until="11:30")
    time.sleep(4)
    stage.control("faults", method="DELETE")
    code = stage.trader.wait(90)
    assert code in (0, 4), stage.text()[-2500:]
    entered(stage, ran(stage, until="12:00"))


def test_19_an_outage_in_the_middle_of_a_day_is_survived(stages):
    stage = stages()
    stage.begin(until="12:00")
    assert stage.wait_for(lambda ledger: units(ledger) == 1)
    stage.fault(path="/v", action="status", status=503, body="html", count=150)
    assert stage.trader.wait(120) == 0, stage.text()[-2500:]
    entered(stage, judge(stage))
    assert any(row["topic"] == "broker" for row in stage.rows("SELECT topic FROM outbox"))


def test_20_a_rate_limit_is_waited_out_and_not_exceeded(stages):
    stage = stages()
    reset = 1772461800 + 20
    stage.fault(path="/v", action="status", status=429, reset=reset, count=6)
    ledger = ran(stage)
    entered(stage, ledger)
    times = sorted(request["at"] for request in stage.control("requests"))
    most = max(sum(t < u <= t + 60 * 10**9 for u in times) for t in times)
    assert most <= 400  # trading and data are counted apart, 200 a minute each


# ---------------------------------------------------------------- 21 to 24: partial fills


def test_21_two_of_five_units_and_then_nothing(stages):
    stage = stages(settings=FIVE, scenario={"options": {"units": 2, "unit_fills": 1}})
    stage.begin(until="10:00")
    assert stage.wait_for(lambda ledger: units(ledger) == 2)
    stage.control("options", {"fills": "never"})
    assert stage.trader.wait(60) == 0, stage.text()[-2500:]
    entered(stage, judge(stage), 2)
    stage.control("options", {"fills": "all", "units": None})
    code, text = stage.ask("flatten")
    assert code == 0, text[-2500:]
    assert positions(judge(stage)) == {}


def test_22_a_partial_fill_a_cancel_and_a_fill_that_wins_the_race(stages):
    stage = stages(settings=FIVE, scenario={"options": {"units": 2, "unit_fills": 1, "fill_on_cancel": True}})
    entered(stage, ran(stage, until="10:00"), 5)


def test_23_a_cancel_that_comes_too_late_is_read_again(stages):
    stage = stages(settings=("live.walk_every=20",), scenario={"options": {"fills": "never", "fill_on_cancel": True}})
    stage.fault(
        method="DELETE", phase="after", action="status", status=422, code=42210000, message="order is not cancelable"
    )
    entered(stage, ran(stage, until="10:00"))


# ---------------------------------------------------------------- 25 to 28: refusals

REFUSED = {
    "not-tradable": (422, 42210000, 'contract "SPY260417P00537000" is not tradable'),
    "expires-soon": (422, 42210000, 'contract "SPY260417P00537000" expires soon, unable to open new positions'),
    "intent": (422, 42210000, "position intent mismatch, inferred: buy_to_close, specified: buy_to_open"),
    "uncovered": (403, 40310000, "account not eligible to trade uncovered option contracts"),
    "gcd": (422, 42210000, "leg ratio quantities should be relatively prime: GCD[2 2] = 2"),
    "26-buying-power": (403, 40310000, "insufficient options buying power"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_25_and_26_a_refusal_is_not_repeated_in_its_bar(stages, name):
    stage = stages()
    status, code, message = REFUSED[name]
    stage.fault(method="POST", path=ORDERS, action="status", status=status, code=code, message=message)
    entered(stage, ran(stage))
    posts = [r for r in stage.control("requests") if r["method"] == "POST"]
    bars = [re.search(r"-(\d{4})-o", r["body"]["client_order_id"]).group(1) for r in posts]
    assert bars.count(bars[0]) == 1  # refused once, tried again with the next bar's decision


def test_27_packages_disabled_for_sending_latch_after_three_refusals(stages):
    stage = stages(scenario={"options": {"mleg_disabled": True}})
    ledger = ran(stage, until="11:00")
    assert not mine(ledger)
    assert stage.get("latched")["what"] == "refused"
    assert stage.run() == 5
    assert "live reset" in stage.text()
    assert stage.ask("reset", "--reason", "the broker enabled packages")[0] == 0
    stage.control("options", {"mleg_disabled": False})
    entered(stage, ran(stage, until="11:30"))


def test_27_a_close_goes_leg_by_leg_shorts_first_where_packages_are_disabled(stages):
    stage = stages()
    entered(stage, ran(stage, until="09:55"))
    stage.control("options", {"mleg_disabled": True})
    code, text = stage.ask("flatten")
    assert code == 0, text[-2500:]
    ledger = judge(stage)
    assert positions(ledger) == {}


def test_27_cancels_disabled_leave_the_order_and_send_no_second(stages):
    stage = stages(scenario={"options": {"cancel_disabled": True, "fills": "never"}})
    code = stage.run(until="10:30", timeout=200)
    assert code == 0, stage.text()[-2500:]
    ledger = judge(stage, quiet=False)
    assert len([o for o in mine(ledger) if o["status"] not in ("canceled", "expired")]) <= 1


# ---------------------------------------------------------------- 29 to 34: what the market shows

UNUSABLE = {
    "29-ten-minutes-old": {"stale_s": 600}, "29-no-time": {"no_time": True}, "30-crossed": {"crossed": True},
    "30-locked": {"locked": True}, "30-zero-bids": {"zero_bid": True}, "nan": {"nan_strings": True},
}  # fmt: skip


@pytest.mark.parametrize("name", UNUSABLE)
def test_29_and_30_quotes_that_are_no_quotes_open_nothing(stages, name):
    stage = stages(scenario={"market": UNUSABLE[name]})
    ledger = ran(stage, until="10:00")
    assert not ledger["orders"]
    verdicts = {row["verdict"] for row in stage.rows("SELECT verdict FROM decision")}
    assert Reason.ENTER not in verdicts


USABLE = {"31-no-greeks": {"no_greeks": True}, "31-partial-greeks": {"partial_greeks": True},
          "31-zero-volatility": {"zero_iv": True}, "32-pages": {"page": 300},
          "33-doubled": {"page": 300, "doubled": True}, "33-adjusted-root": {"adjusted_root": True}}  # fmt: skip


@pytest.mark.parametrize("name", USABLE)
def test_31_to_33_what_a_chain_may_lack_costs_no_decision(stages, name):
    stage = stages(scenario={"market": USABLE[name]})
    entered(stage, ran(stage))


def test_32_a_page_that_fails_makes_no_partial_chain(stages):
    stage = stages(scenario={"market": {"page": 300}})
    stage.fault(path="snapshots.*page_token", action="status", status=500, count=1000)
    ledger = ran(stage, until="09:55")
    assert not ledger["orders"]


def test_32_pages_without_end_are_left(stages):
    stage = stages(scenario={"market": {"same_token": True}})
    assert not ran(stage, until="09:55")["orders"]


def test_34_a_feed_that_is_refused_is_replaced_and_named(stages):
    settings = (*QUICK, "live.option_feed=opra", "live.stock_feed=sip")
    stage = stages(settings=settings, scenario={"market": {"no_opra": True, "no_sip": True}})
    entered(stage, ran(stage))
    assert "feed_degraded wanted=opra now=indicative" in stage.text()
    assert '"feed":"indicative"' in "".join(row["seen"] for row in stage.rows("SELECT seen FROM intent"))


# ---------------------------------------------------------------- 36 to 38: the stream is a hint

STREAMS = {
    "well": {}, "36-dropped-at-a-fill": {"stream_drop": True}, "37-mute": {"stream_mute": True},
    "37-not-subscribed": {"stream_unheard": True}, "38-doubled-reordered-unknown": {"stream_doubled": True},
    "38-bad-frames": {"stream_bad": True}, "38-refused": {"stream_refused": True},
}  # fmt: skip


@pytest.mark.parametrize("name", STREAMS)
def test_36_to_38_whatever_the_stream_does_polling_finds_the_truth(stages, name):
    stage = stages(scenario={"options": STREAMS[name]}, stream=True)
    ledger = ran(stage, until="09:55")
    entered(stage, ledger)
    assert stage.text().count("stream_") < 20  # no flood
    if name == "well":
        assert "stream_listening" in stage.text()
    if name in ("37-not-subscribed", "38-refused"):
        assert "stream_refused" in stage.text()


# ---------------------------------------------------------------- 39, 40: strangers


def test_39_a_fill_of_an_order_that_was_never_sent(stages):
    stage = stages()
    stage.begin(until="11:00")
    assert stage.wait_for(lambda ledger: units(ledger) == 1)
    stage.control("order", {
        "symbol": "SPY260417C00630000", "qty": "1", "side": "buy", "type": "market", "time_in_force": "day",
        "position_intent": "buy_to_open",
    })  # fmt: skip
    assert stage.trader.wait(90) == 0, stage.text()[-2500:]
    assert stage.get("safe") and "foreign" in stage.get("safe_why")
    ledger = judge(stage, quiet=False)
    assert positions(ledger)["SPY260417C00630000"] == 1  # never touched
    assert stage.ask("reconcile", "--accept")[0] == 6


def test_40_an_unknown_status_is_quarantined(stages):
    stage = stages()
    stage.fault(method="GET", path="/v2/orders/", phase="after", action="rewrite", count=2,
                **{"from": '"status": "[a-z_]+"', "to": '"status": "frobnicated"'})  # fmt: skip
    assert stage.run(until="10:30") == 0, stage.text()[-2500:]
    judge(stage)
    assert "order_quarantined" in stage.text()


# ---------------------------------------------------------------- 41 to 44: the day of expiry


def flat_by(stage, minute):
    """Time of the last fill that closed, at most `minute` of the New York winter's day."""
    last = max(fill["at"] for fill in stage.ledger()["fills"])
    assert (last // NS_MINUTE) % 1440 - 300 <= minute
    assert positions(stage.ledger()) == {}


def test_41_flat_before_three_on_the_day_of_expiry(stages):
    tape = drawn_tape("2026-03-02", dte=(28,), expires="2026-03-02")
    stage = stages(settings=(*QUICK, *TODAY), tape=tape)
    stage.begin(until="15:10")
    assert stage.trader.wait(120) == 0, stage.text()[-2500:]
    judge(stage)
    assert mine(stage.ledger(), "c")
    flat_by(stage, 15 * 60)


def test_41_an_early_close_moves_the_deadline(stages):
    tape = drawn_tape("2025-11-28", dte=(28,), expires="2025-11-28")
    stage = stages(settings=(*QUICK, *TODAY), tape=tape)
    assert stage.run(until="12:55") == 0, stage.text()[-2500:]
    judge(stage)
    flat_by(stage, 12 * 60 + 10)


def test_42_the_brokers_own_liquidation_of_one_leg(stages):
    tape = drawn_tape("2026-03-02", dte=(28,), expires="2026-03-02")
    stage = stages(settings=(*QUICK, *TODAY), tape=tape, scenario={"options": {"liquidator": True}})
    stage.begin(until="15:55")
    assert stage.wait_for(lambda ledger: units(ledger) == 1)
    stage.control("options", {"fills": "never"})
    assert stage.wait_for(
        lambda ledger: any(o["foreign"] and o["status"] == "filled" for o in ledger["orders"].values())
    )
    stage.control("options", {"fills": "all"})
    assert stage.trader.wait(120) == 0, stage.text()[-2500:]
    judge(stage, broker_acts=True)
    assert stage.get("safe")


def test_43_a_close_that_is_not_filled_never_bids_above_the_width(stages):
    tape = drawn_tape("2026-03-02", dte=(28,), expires="2026-03-02")
    stage = stages(settings=(*QUICK, *TODAY), tape=tape)
    stage.begin(until="15:30")
    assert stage.wait_for(lambda ledger: units(ledger) == 1)
    stage.control("options", {"fills": "never"})
    stage.control("market", {"widen": 300})
    assert stage.trader.wait(180) == 0, stage.text()[-2500:]
    closes = mine(judge(stage, quiet=False), "c")
    assert len(closes) > 3
    assert all(0 <= order["limit"] <= 1000 for order in closes)


def test_44_an_expiry_while_the_process_was_down(stages):
    tape = drawn_tape("2026-03-02", sessions=2, dte=(28,), expires="2026-03-02")
    stage = stages(settings=(*QUICK, *TODAY), tape=tape)
    assert stage.run(until="13:00") == 0, stage.text()[-2500:]
    stage.control("clock", {"until_ns": int(tape.open_ns[1]) - 10 * NS_MINUTE})
    held = positions(stage.ledger())
    assert stage.run(until="10:00") == 0, stage.text()[-2500:]
    ledger = judge(stage, broker_acts=True)
    assert stage.get("safe")
    assert (
        not any(occ in positions(ledger) for occ in book_of(stage)) or not held or book_of(stage) == positions(ledger)
    )


# ---------------------------------------------------------------- 45, 46: assignment, corrections


def test_45_one_of_three_short_calls_is_assigned_overnight(stages):
    tape = drawn_tape("2026-03-02", sessions=2)
    wish = {"assign": [{"session": 1, "right": "call", "contracts": 1}]}
    stage = stages(settings=(*QUICK, "strategy.size.contracts=3"), tape=tape, scenario={"options": wish})
    assert stage.run(until="10:30") == 0, stage.text()[-2500:]
    entered(stage, stage.ledger(), 3)
    stage.control("clock", {"until_ns": int(tape.open_ns[1]) - 10 * NS_MINUTE})
    assert stage.run(until="10:30") == 0, stage.text()[-2500:]
    ledger = judge(stage, broker_acts=True)
    assert "SPY" not in positions(ledger)  # the shares are closed the same day
    assert stage.get("safe") and "assigned" in stage.get("safe_why")


def test_45_a_short_whose_long_went_is_bought_back_before_the_next_bar(stages):
    """The broker took the long put away: its short is bought back at once, not when the bar closes."""
    stage = stages()
    stage.begin(until="11:00")
    booked = 1_772_461_800_000_000_000 + 16 * NS_MINUTE  # after the bar at which the book is told of the fill
    assert stage.wait_for(lambda ledger: units(ledger) == 1 and ledger["now"] > booked)
    held = positions(stage.ledger())
    long_put = next(occ for occ, quantity in held.items() if quantity > 0 and occ[9] == "P")
    short_put = next(occ for occ, quantity in held.items() if quantity < 0 and occ[9] == "P")
    stage.control("assign", {"symbol": long_put, "contracts": 1, "delivers": False})
    gone = stage.ledger()["now"]
    assert stage.trader.wait(90) == 0, stage.text()[-2500:]
    ledger = judge(stage, broker_acts=True)
    back = [fill["at"] for fill in ledger["fills"] if fill["symbol"] == short_put and fill["quantity"] > 0]
    assert back and back[0] - gone < 200 * 10**9, stage.text()[-2500:]
    assert positions(ledger) == {} and stage.get("safe")


def test_45_an_unclear_answer_to_the_sale_of_shares_sells_them_once(stages):
    tape = drawn_tape("2026-03-02", sessions=2)
    wish = {"assign": [{"session": 1, "right": "call", "contracts": 1}]}
    stage = stages(tape=tape, scenario={"options": wish})
    assert stage.run(until="10:30") == 0, stage.text()[-2500:]
    stage.control("clock", {"until_ns": int(tape.open_ns[1]) - 10 * NS_MINUTE})
    stage.fault(method="POST", path=ORDERS, phase="after", action="status", status=504)
    assert stage.run(until="10:30") == 0, stage.text()[-2500:]
    ledger = judge(stage, broker_acts=True)
    assert "SPY" not in positions(ledger)
    assert len([order for order in ledger["orders"].values() if order["cid"].endswith("-x")]) == 1


def test_46_a_fill_that_is_taken_back_is_quarantined(stages):
    stage = stages(settings=FIVE, scenario={"options": {"units": 2, "unit_fills": 1}})
    stage.begin(until="10:30")
    assert stage.wait_for(lambda ledger: units(ledger) == 2)
    order = mine(stage.ledger())[-1]
    stage.control("bust", {"id": order["id"]})
    assert stage.trader.wait(90) == 0, stage.text()[-2500:]
    assert "order_quarantined" in stage.text() or stage.get("safe")


# ---------------------------------------------------------------- 47: time


def test_47_clocks_that_differ_halt_entries(stages):
    stage = stages(scenario={"market": {"skew_s": 10}})
    ledger = ran(stage, until="10:00")
    assert not ledger["orders"]
    verdicts = {row["verdict"] for row in stage.rows("SELECT verdict FROM decision")}
    assert Reason.CLOCK_SKEW in verdicts


def test_47_calendars_that_differ_stop_it(stages):
    stage = stages(scenario={"market": {"calendar_shift": -180}})
    assert stage.run() == 4
    assert "nothing is traded until they agree" in stage.text()
    assert not stage.ledger()["orders"]


def test_47_the_first_session_of_daylight_saving_time(stages):
    stage = stages(tape=drawn_tape("2026-03-09"))
    assert stage.run() == 0, stage.text()[-2500:]
    entered(stage, stage.ledger())
    first = min(order["created"] for order in stage.ledger()["orders"].values())
    assert (first // NS_MINUTE) % 1440 - 240 == 9 * 60 + 40


def test_47_a_clock_that_does_not_answer_opens_nothing(stages):
    stage = stages()
    stage.begin(until="10:00")
    time.sleep(1.5)
    stage.fault(path="/v2/clock", action="status", status=503, count=1000)
    assert stage.trader.wait(90) in (0, 4)
    judge(stage)


# ---------------------------------------------------------------- 48 to 50: halts


def test_48_kill_cancels_entries_and_stays_latched(stages):
    stage = stages(settings=(*QUICK, "live.walk_every=200"), scenario={"options": {"fills": "never"}})
    stage.begin(until="12:00")
    assert stage.wait_for(lambda ledger: mine(ledger))
    assert stage.ask("kill")[0] == 0
    assert stage.trader.wait(60) == 5, stage.text()[-2500:]
    ledger = judge(stage)
    assert all(order["status"] == "canceled" for order in mine(ledger))
    assert stage.run() == 5
    assert stage.ask("reset", "--reason", "looked at it")[0] == 0
    stage.control("options", {"fills": "all"})
    entered(stage, ran(stage, until="11:30"))


def test_48_kill_with_close_closes_everything(stages):
    stage = stages()
    stage.begin(until="15:00")
    assert stage.wait_for(lambda ledger: units(ledger) == 1)
    stage.ask("kill", "--close")
    assert stage.trader.wait(60) == 5, stage.text()[-2500:]
    assert positions(judge(stage)) == {}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_48_a_signal_cancels_entries_and_ends(stages, number):
    stage = stages(settings=("live.walk_every=250",), scenario={"options": {"fills": "never"}})
    stage.begin(until="12:00")
    assert stage.wait_for(lambda ledger: mine(ledger))
    stage.trader.send_signal(number)
    assert stage.trader.wait(60) == 130, stage.text()[-2500:]
    assert all(order["status"] == "canceled" for order in mine(judge(stage)))


def test_49_a_gap_latches_closes_and_is_not_bypassed_by_a_restart(stages):
    stage = stages(settings=(*QUICK, "live.equity_loss=0.002"))
    stage.begin(until="11:30")
    assert stage.wait_for(lambda ledger: units(ledger) == 1)
    stage.control("market", {"jump": -0.05})
    stage.trader.wait(90)
    judge(stage)
    assert stage.get("latched")["what"] == "equity_loss"
    assert positions(stage.ledger()) == {}
    assert stage.run() == 5


def test_50_the_watchdog_cancels_entries_of_a_process_that_hangs(stages):
    stage = stages(settings=("live.walk_every=250",), scenario={"options": {"fills": "never"}})
    trader = stage.begin(until="10:30")
    assert stage.wait_for(lambda ledger: mine(ledger))
    trader.send_signal(signal.SIGSTOP)
    stage.control("clock", {"advance_ns": 120 * 10**9})
    code, text = stage.ask("watchdog", "--once", "--json")
    assert code == 0 and json.loads(text.splitlines()[-1])["cancelled"]
    trader.send_signal(signal.SIGCONT)
    assert trader.wait(60) == 0, stage.text()[-2500:]
    judge(stage)


# ---------------------------------------------------------------- 51: keys and addresses


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"APCA_API_KEY_ID": ""}, 8),
        ({"APCA_API_SECRET_KEY": ""}, 8),
        ({"QMTF_ALPACA_URL": "https://evil.example"}, 8),
        ({"QMTF_ALPACA_URL": "http://10.0.0.1:80"}, 8),
        ({"QMTF_ALPACA_URL": "http://127.0.0.1:80/v2"}, 8),
        ({"QMTF_ALPACA_URL": "http://user:pass@127.0.0.1:80"}, 8),
        ({"APCA_API_KEY_ID": "PKREALLOOKING123"}, 8),
    ],
)
def test_51_keys_go_to_no_other_address(stages, change, code):
    stage = stages()
    before = dict(stage.environment())
    stage.environment = lambda failpoint="": {**before, **change}
    assert stage.run() == code, stage.text()[-2500:]
    assert not stage.control("requests")


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        ({"account_number": "123456789"}, 8, "no paper account"),
        ({"options_trading_level": 2}, 8, "options level 2"),
        ({"account_blocked": True}, 5, "may not trade"),
        ({"status": "ACCOUNT_CLOSED"}, 5, "may not trade"),
        ({"keys": ["another"]}, 8, "does not know these keys"),
    ],
)
def test_51_an_account_that_may_not_be_traded_is_not(stages, options, code, words):
    stage = stages(scenario={"options": options})
    assert stage.run() == code, stage.text()[-2500:]
    assert words in stage.text()
    assert not stage.ledger()["orders"]


def test_51_live_money_is_refused(stages):
    stage = stages()
    code, text = stage.ask("--live-money", "--days", "1")
    assert code == 8 and "live money" in text
