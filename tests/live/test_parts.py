"""The parts of live trading alone: symbols, records, prices and their signs, keys, budget, redaction, the journal."""

import json
import logging
import math
import pickle
import sqlite3

import hypothesis.strategies as st
import pytest
from hypothesis import given

from core.config import load
from core.errors import BrokerError, ConfigError, CredentialsError, JournalError
from core.live import notify
from core.live.broker import Leg, OrderRequest, kind_of, limit_price, package_cents, validate
from core.live.budget import A_MINUTE, MINUTE_NS, RESERVED, Budget
from core.live.desk import QUARANTINE, REJECTED, WORKING, Desk, answer_of, leg_of
from core.live.engine import CLOSE, OPEN, Wanted
from core.live.guards import masked
from core.live.journal import Journal, JournalReader
from core.live.keys import Secret, endpoint_of
from core.live.occ import Option, occ_symbol, parse_occ
from core.live.pricing import limit_of
from core.live.records import Order, Quote, number_of, stamp_of, stamp_text, text_of
from core.live.redact import Redaction
from core.settings import LIVE
from core.types import Reason

SHORT, LONG = "SPY260417P00560000", "SPY260417P00550000"
CALL, FAR = "SPY260417C00640000", "SPY260417C00650000"
CONDOR = ((LONG, 1, 1, 0), (SHORT, -1, 1, 1), (CALL, -1, 1, 2), (FAR, 1, 1, 3))
CLOSING = tuple((occ, -side, 0, place) for occ, side, _, place in CONDOR)
OPENING = tuple(
    Leg(occ, "buy" if side > 0 else "sell", f"{'buy' if side > 0 else 'sell'}_to_open") for occ, side, *_ in CONDOR
)
BACK = tuple(
    Leg(occ, "buy" if side > 0 else "sell", f"{'buy' if side > 0 else 'sell'}_to_close") for occ, side, *_ in CLOSING
)


# ---------------------------------------------------------------- symbols and records


@given(st.integers(18_000, 30_000), st.integers(0, 1), st.integers(1, 9_999_999))
def test_a_symbol_says_what_the_contract_is(day, right, strike):
    assert parse_occ(occ_symbol("SPY", day, right, strike)) == Option("SPY", day, right, strike)


@pytest.mark.parametrize(
    "text", ["", "SPY", "SPY260230P00560000", "SPY260417X00560000", "SPY260417P00560005", "S" * 40]
)
def test_what_is_no_symbol_is_refused(text):
    with pytest.raises(BrokerError):
        parse_occ(text)


@pytest.mark.parametrize("value", ["NaN", "Infinity", "1e400", "abc", [1], {}])
def test_a_number_that_is_none_is_refused(value):
    with pytest.raises(BrokerError):
        number_of(value)


def test_times_with_nanoseconds_and_offsets_are_read_and_written():
    assert stamp_of("2026-03-02T09:30:00-05:00") == stamp_of("2026-03-02T14:30:00Z")
    assert stamp_of("1970-01-01T00:00:01.123456789Z") == 1_123_456_789
    assert stamp_text(stamp_of("2026-03-02T14:30:00.5Z")) == "2026-03-02T14:30:00.500000Z"


def test_text_that_would_move_a_terminal_is_refused():
    with pytest.raises(BrokerError):
        text_of("\x1b[2J")


def test_an_unknown_status_is_kept_beside_unknown():
    order = Order.of({"id": "1", "client_order_id": "c", "status": "frobnicated", "qty": "1", "filled_qty": "0"})
    assert (order.status, order.said, order.done) == ("unknown", "frobnicated", False)


def test_a_quote_without_greeks_time_or_side_is_read_as_unknown():
    quote = Quote.of(SHORT, {"latestQuote": {"bp": 1.5, "t": "0001-01-01T00:00:00Z"}, "greeks": {"delta": "x"}})
    assert (quote.bid, quote.ask, quote.ts_ns) == (150, -1, 0)
    assert math.isnan(quote.delta) and math.isnan(quote.vol)


# ---------------------------------------------------------------- prices and their signs


@given(st.integers(-50_000, 50_000))
def test_an_opening_credit_is_negative_and_a_closing_debit_is_not(net):
    for legs, wrong in ((OPENING, net >= 0), (BACK, net < 0)):
        if wrong:
            with pytest.raises(BrokerError):
                limit_price(net, legs)
        else:
            assert limit_price(net, legs) == net / 100
            assert f"{limit_price(net, legs):.2f}" == f"{net / 100:.2f}"


@given(st.integers(-30_000, 30_000), st.integers(0, 2000), st.integers(0, 6), st.sampled_from([OPEN, CLOSE]))
def test_a_limit_stays_between_mid_and_what_is_allowed(mid2, spread, step, purpose):
    mid, natural = mid2 / 2, mid2 / 2 + spread
    most = -100 if purpose == OPEN else 1000
    legs = CONDOR if purpose == OPEN else CLOSING
    order = Wanted(purpose, 0, 15, Reason.DTE_EXIT if purpose == CLOSE else 0, 1, legs, most, 1000)
    net = limit_of(order, mid, natural, step, 4)
    if net is None:
        assert purpose == OPEN
        return
    assert net <= most
    assert net >= min(math.floor(mid), most) or net == 0
    if step >= 4 and math.ceil(natural) <= most:
        assert net == max(math.ceil(natural - 1e-9), 0) or purpose == OPEN
    limit_price(net, OPENING if purpose == OPEN else BACK)


def test_no_price_is_made_of_a_leg_that_has_none():
    quotes = {SHORT: Quote(SHORT, 0, 10, 1, 1, 0, 0.0, 0.0)}
    assert all(math.isnan(price) for price in package_cents(quotes, [(SHORT, -1)]))
    assert all(math.isnan(price) for price in package_cents({}, [(SHORT, 1)]))


# ---------------------------------------------------------------- what must not leave this machine

HELD = {LONG: 2, SHORT: -2, CALL: -2, FAR: 2}
UNSENDABLE = {
    "no legs": ((), 1, -100, {}),
    "five legs": ((*OPENING, Leg("SPY260417C00660000", "buy", "buy_to_open")), 1, -100, {}),
    "twice the same": ((OPENING[0], OPENING[0]), 1, None, {}),
    "no units": (OPENING, 0, -100, {}),
    "half a unit": (OPENING, 0.5, -100, {}),
    "a credit that is paid": (OPENING, 1, 100, {}),
    "a naked short": ((OPENING[1],), 1, -100, {}),
    "a wing sold under its short": ((Leg(LONG, "sell", "sell_to_close"),), 1, -10, HELD),
    "more than is held": (BACK, 3, 100, HELD),
    "side and intent": ((Leg(LONG, "sell", "buy_to_open"),), 1, -10, {}),
}


@pytest.mark.parametrize("name", UNSENDABLE)
def test_an_order_that_must_not_be_sent_is_not(name):
    legs, units, net, held = UNSENDABLE[name]
    with pytest.raises(BrokerError):
        validate(OrderRequest("qmtf-1", legs, units, net), held)


def test_orders_of_the_forms_that_are_sent_are_valid():
    validate(OrderRequest("a", OPENING, 1, -100), {})
    validate(OrderRequest("b", BACK, 2, 100), HELD)
    validate(OrderRequest("c", (Leg(SHORT, "buy", "buy_to_close"),), 1, 10), HELD)
    validate(OrderRequest("d", (Leg(LONG, "sell", "sell_to_close"),), 1, -5), {LONG: 1})


@pytest.mark.parametrize(
    ("status", "message", "kind"),
    [
        (422, "client_order_id must be unique", "duplicate"),
        (409, "whatever", "duplicate"),
        (403, "insufficient options buying power", "buying_power"),
        (403, "account not eligible to trade uncovered option contracts", "level"),
        (403, "submit mleg order is disabled", "mleg_disabled"),
        (422, 'contract "X" expires soon, unable to open new positions', "expires_soon"),
        (422, "position intent mismatch, inferred: a, specified: b", "intent"),
        (404, "order not found", "not_found"),
        (401, "unauthorized.", "unauthorized"),
        (422, "something new", "other"),
    ],
)
def test_refusals_are_told_apart(status, message, kind):
    assert kind_of(status, status * 100_000, message) == kind


# ---------------------------------------------------------------- keys, addresses, logs, budget


def test_a_secret_shows_itself_nowhere():
    secret = Secret("s3cr3t")
    assert "s3cr3t" not in f"{secret!r}{secret!s}{[secret]}{ {'x': secret} }"
    with pytest.raises(CredentialsError):
        pickle.dumps(secret)


@pytest.mark.parametrize(
    "url",
    ["https://api.alpaca.markets", "http://localhost:1", "http://127.0.0.1", "ftp://127.0.0.1:1", "http://127.0.0.1:1/v2",
     "http://a@127.0.0.1:1", "http://127.0.0.1.evil.example:1", "https://127.0.0.1:1", "http://127.0.0.1:x"],
)  # fmt: skip
def test_keys_are_sent_to_no_other_address(url):
    with pytest.raises(CredentialsError):
        endpoint_of(url)


def test_a_log_holds_no_key():
    redaction = Redaction(("KEY123", "SECRET456"))
    record = logging.LogRecord("x", logging.DEBUG, "", 0, "sent %s", ("APCA-API-SECRET-KEY: SECRET456 KEY123",), None)
    assert redaction.filter(record)
    assert "SECRET456" not in record.getMessage() and "KEY123" not in record.getMessage()
    assert redaction.clean('{"secret_key": "abcd1234"}') == '{"secret_key": "[hidden]"}'


def test_an_account_number_is_shown_in_part():
    assert masked("PA3ABCDEFG12") == "PA********12"


@given(st.lists(st.tuples(st.integers(0, 5 * 10**9), st.booleans()), max_size=400))
def test_the_budget_is_kept_and_its_reserve_left_to_closes(asked):
    budget, now, times = Budget(), 0, []
    for gap, urgent in asked:
        now += gap
        wait = budget.wait_ns(now, urgent)
        if wait == 0:
            budget.note(now)
            times.append((now, urgent))
    for i, (t, _) in enumerate(times):
        within = [u for s, u in times[: i + 1] if s > t - MINUTE_NS]
        assert len(within) <= A_MINUTE
        if not times[i][1]:
            assert len(within) <= A_MINUTE - RESERVED


# ---------------------------------------------------------------- the journal and the desk


class StubClock:
    now = 1_772_461_800_000_000_000

    def now_ns(self):
        return self.now

    def sleep(self, seconds):
        self.now += int(seconds * 1e9)


@pytest.fixture
def journal(tmp_path):
    made = Journal(tmp_path / "journal.sqlite", "account", StubClock().now_ns)
    yield made
    made.close()


def test_a_second_writer_is_kept_out(journal):
    with pytest.raises(JournalError, match="another live process"):
        Journal(journal.path, "account", StubClock().now_ns)


def test_a_foreign_journal_is_refused(journal):
    journal.close()
    with pytest.raises(JournalError, match="another account"):
        Journal(journal.path, "another", StubClock().now_ns)


def test_a_transaction_is_all_or_nothing_and_the_chain_holds(journal):
    with journal.transaction() as j:
        j.event("a", "x", {"n": 1})
    with pytest.raises(RuntimeError), journal.transaction() as j:
        j.event("b", "x", {"n": 2})
        raise RuntimeError
    with journal.transaction() as j:
        j.event("c", "x", {"n": 3})
    reader = JournalReader(journal.path)
    kinds = [row["kind"] for row in reader.rows("SELECT kind FROM event ORDER BY seq")]
    assert kinds == ["a", "c"] and reader.last == 2
    reader.close()


@pytest.mark.parametrize("change", ["UPDATE event SET body = '{}' WHERE seq = 1", "DELETE FROM event WHERE seq = 1"])
def test_a_changed_event_breaks_the_chain(journal, change):
    for n in range(3):
        with journal.transaction() as j:
            j.event("a", "x", {"n": n})
    path = journal.path
    db = sqlite3.connect(path)
    db.execute(change)
    db.commit()
    db.close()
    with pytest.raises(JournalError, match="chain"):
        JournalReader(path)


def order_body(filled, status, units=5, price="0.50"):
    legs = [
        {"symbol": occ, "side": "buy" if side > 0 else "sell", "filled_qty": str(filled), "filled_avg_price": price}
        for occ, side, *_ in CONDOR
    ]
    counts = {"qty": str(units), "filled_qty": str(filled)}
    return Order.of({"id": "b1", "client_order_id": "c1", "status": status, "legs": legs, **counts})


class StubBroker:
    """Answers what it is told to."""

    def __init__(self):
        self.answers = []

    def submit(self, _request):
        return order_body(0, "new")

    def order(self, _order_id):
        return self.answers.pop(0)


@pytest.fixture
def desk(journal):
    made = Desk(journal, StubBroker(), StubClock(), 1.0)
    row = {"cid": "c1", "purpose": "open", "trade": -1, "part": 15, "reason": 0, "legs": [list(leg) for leg in CONDOR]}
    assert made.send(row, 5, -200, {}, {}) == WORKING
    return made


def test_24_executions_told_twice_or_out_of_order_count_once(desk):
    desk.broker.answers = [
        order_body(2, "partially_filled"),
        order_body(2, "partially_filled"),
        order_body(5, "filled"),
    ]
    for _ in range(3):
        desk.poll("c1")
    assert desk.unbooked()[0]["filled"] == 5


def test_fewer_units_than_before_are_quarantined(desk):
    desk.broker.answers = [order_body(3, "partially_filled"), order_body(2, "partially_filled")]
    desk.poll("c1")
    assert desk.poll("c1") == QUARANTINE


def test_legs_that_filled_unevenly_are_quarantined(desk):
    uneven = order_body(2, "partially_filled")
    desk.broker.answers = [uneven._replace(legs=(*uneven.legs[:3], uneven.legs[3]._replace(filled=1)))]
    assert desk.poll("c1") == QUARANTINE


def test_an_order_rejected_after_acceptance_counts_as_refused(desk):
    desk.broker.answers = [order_body(0, "rejected")]
    assert desk.poll("c1") == REJECTED and desk.rejects == 1


def test_an_average_that_is_no_half_cent_is_booked_to_the_cent():
    """Three units of which one leg went for 0.50, 0.50 and 0.51: 151 cents in all, whatever the average says."""
    legs = {occ: [3, round(0.503333 * 10_000)] for occ, *_ in CONDOR}
    row = {
        "cid": "c", "purpose": "open", "trade": -1, "part": 15, "reason": 1, "filled": 3, "booked": 0,
        "legs": json.dumps(legs), "booked_legs": "{}", "wanted": json.dumps(CONDOR),
    }  # fmt: skip
    answer = answer_of([row], lambda occ: 0)
    total2 = [p * 3 + d for p, d in zip(answer["price2"], answer["dearer"], strict=True)]
    assert total2 == [302] * 4 and answer["contracts"] == 3


# ---------------------------------------------------------------- settings


def test_every_live_setting_is_read_somewhere():
    """One that nothing reads would change nothing (law 6)."""
    from core.config import ROOT

    code = "".join(path.read_text() for path in (ROOT / "core" / "live").rglob("*.py"))
    assert [s.path for s in LIVE if f'"{s.path}"' not in code] == []


def test_live_settings_are_no_part_of_a_run(tmp_path):
    plain, changed = (load(user_file=tmp_path / "none", sets=sets) for sets in ([], ["live.poll=9"]))
    assert changed.live["live.poll"] == 9
    assert plain.hash() == changed.hash() and "live.poll" not in changed.values


# ---------------------------------------------------------------- notifications


def test_a_notification_is_sent_once_and_a_failing_one_is_given_up(journal, monkeypatch, tmp_path):
    seen = tmp_path / "seen"
    monkeypatch.setenv(notify.COMMAND, f"tee -a {seen}")
    with journal.transaction() as j:
        j.notify("halt", "stopped")
    for _ in range(3):
        notify.send_one(journal, "command", 1)
    assert seen.read_text() == "halt: stopped\n"
    monkeypatch.setenv(notify.COMMAND, "false")
    with journal.transaction() as j:
        j.notify("halt", "again")
    for _ in range(9):
        notify.send_one(journal, "command", 1)
    assert journal.rows("SELECT attempts, sent_ns FROM outbox ORDER BY id")[1] == {"attempts": 5, "sent_ns": None}


@pytest.mark.parametrize("how", ["command", "webhook"])
def test_a_way_of_notifying_that_is_not_set_up_is_told(how, monkeypatch):
    monkeypatch.delenv(notify.COMMAND, raising=False)
    monkeypatch.setenv(notify.URL, "http://plain.example")
    with pytest.raises(ConfigError):
        notify.check(how)


# ---------------------------------------------------------------- who may import what


def imports_of(path):
    import ast

    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def test_one_file_imports_alpaca_and_no_trading_code_the_rehearsal():
    from core.config import ROOT

    files = [path for path in (*ROOT.glob("*.py"), *(ROOT / "core").rglob("*.py"))]
    alpaca = [p.name for p in files if any(name.split(".")[0] == "alpaca" for name in imports_of(p))]
    assert alpaca == ["alpaca.py"]
    rehearsal = [p for p in files if any(name.startswith("core.live.rehearsal") for name in imports_of(p))]
    assert {p.parent.name for p in rehearsal} == {"rehearsal"}
