"""Faults 1 to 18 of the reliability goal: no order twice, no order lost, whatever the wire or the process does.

Each runs the real program against the rehearsal server over real sockets; the broker's books decide.
"""

import json
import os
import resource
import signal
import time

import pytest

from tests.live.alpaca_sim.judge import judge
from tests.live.alpaca_sim.stage import QUICK, ours

ORDERS = "/v2/orders$"


def entries(ledger):
    return [order for order in ledger["orders"].values() if ours(order) and "-o" in order["cid"]]


def held_units(ledger):
    """Units of the one condor that is held: every leg has as many contracts."""
    sizes = {abs(quantity) for quantity, _ in ledger["positions"].values()}
    assert len(ledger["positions"]) in (0, 4) and len(sizes) <= 1
    return sizes.pop() if sizes else 0


def entered_once(stage, code=0):
    assert code == 0, stage.text()[-2000:]
    ledger = judge(stage)
    assert held_units(ledger) == 1
    return ledger


def waited_no_longer_than_allowed(stage):
    """After an order nothing was waited for much longer than live.timeout (1 s)."""
    received = [request["received"] for request in stage.control("requests")]
    sent = [i for i, request in enumerate(stage.control("requests")) if request["method"] == "POST"]
    assert all(received[i + 1] - received[i] < 5e9 for i in sent if i + 1 < len(received))


SPOILED = {
    "01-504-after-accept": {"action": "status", "status": 504},
    "02-reset-after-accept": {"action": "rst"},
    "03-hang-after-accept": {"action": "hang", "seconds": 9},
    "03-slow-drip": {"action": "slow_drip", "seconds": 4},
    "05-truncated-json": {"action": "bad_json"},
    "05-half-body": {"action": "half_body"},
    "05-empty-body": {"action": "empty"},
    "05-redirect": {"action": "redirect"},
    "06-body-of-another-order": {"action": "rewrite", "from": '"client_order_id": "q', "to": '"client_order_id": "x'},
}  # fmt: skip


@pytest.mark.parametrize("name", SPOILED)
def test_an_answer_that_is_lost_or_spoiled_sends_nothing_twice(stages, name):
    stage = stages()
    stage.fault(method="POST", path=ORDERS, phase="after", count=1, **SPOILED[name])
    ledger = entered_once(stage, stage.run())
    assert stage.control("faults")
    assert len({order["cid"] for order in entries(ledger)}) == len(entries(ledger))
    waited_no_longer_than_allowed(stage)


def test_04_a_500_before_accept_is_sent_again_under_the_same_id(stages):
    stage = stages()
    stage.fault(method="POST", path=ORDERS, phase="before", action="status", status=500, body="html")
    entered_once(stage, stage.run())
    posts = [r["body"]["client_order_id"] for r in stage.control("requests") if r["method"] == "POST"]
    assert posts[0] == posts[1]


def test_07_an_order_that_is_not_shown_at_once_is_waited_for(stages):
    stage = stages()
    stage.control("faults", [
        {"method": "POST", "path": ORDERS, "phase": "after", "action": "status", "status": 504},
        {"action": "visibility_lag", "count": 4},
    ])  # fmt: skip
    entered_once(stage, stage.run())


@pytest.mark.parametrize("status", [422, 409])
def test_08_a_duplicate_is_adopted_and_not_called_rejected(stages, status):
    stage = stages(scenario={"options": {"duplicate_status": status}})
    stage.control("faults", [
        {"method": "POST", "path": ORDERS, "phase": "after", "action": "status", "status": 504},
        {"action": "visibility_lag", "count": 5},
    ])  # fmt: skip
    entered_once(stage, stage.run())
    assert not stage.rows("SELECT cid FROM orders WHERE state = 'REJECTED'")


def test_09_a_second_process_is_kept_out(stages):
    second_process(stages())


def second_process(stage):
    first = stage.begin(until="11:30")
    try:
        assert stage.wait_for(lambda ledger: ledger["orders"])
        first.send_signal(signal.SIGSTOP)
        assert stage.run() == 7
        assert "another live process" in stage.text()
        first.send_signal(signal.SIGCONT)
        assert first.wait(60) == 0
        entered_once(stage)
    finally:
        first.send_signal(signal.SIGCONT)
        first.kill()
        first.wait()


@pytest.mark.parametrize("point", ["intent-committed", "before-post", "after-post", "decision-committed"])
def test_10_and_11_a_killed_process_adopts_what_it_sent(stages, point):
    stage = stages()
    nth = 2 if point == "decision-committed" else 1
    assert stage.run(failpoint=f"{point}:{nth}") == -9
    entered_once(stage, stage.run())


def test_12_a_kill_while_partially_filled_keeps_the_units(stages):
    options = {"units": 2, "unit_fills": 1}
    stage = stages(settings=(*QUICK, "strategy.size.contracts=5", "live.walk_every=200"), scenario={"options": options})
    stage.begin()
    assert stage.wait_for(lambda ledger: any(o["status"] == "partially_filled" for o in ledger["orders"].values()))
    stage.trader.kill()
    stage.trader.wait()
    stage.control("options", {"fills": "never"})
    assert stage.run() == 0, stage.text()[-2000:]
    assert held_units(judge(stage)) == 2


@pytest.mark.parametrize("point", ["before-cancel", "after-cancel"])
def test_13_a_kill_around_a_cancel_leaves_no_second_order(stages, point):
    stage = stages(settings=())
    assert stage.run(failpoint=f"{point}:2") == -9
    entered_once(stage, stage.run())


@pytest.mark.parametrize("point", ["journal-created", "backup-written", "morning-recorded", "snapshot-recorded"])
def test_14_a_kill_while_files_are_made_leaves_them_usable(stages, point):
    stage = stages()
    assert stage.run(until="09:50", failpoint=f"{point}:1") == -9
    entered_once(stage, stage.run())


def test_16_a_full_disk_stops_trading_before_anything_is_sent(stages):
    stage = stages()
    limit = 400_000

    def small():
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    assert stage.run(until="15:00", limits=small) == 7, stage.text()[-2000:]
    assert "JournalError" in stage.text()
    assert stage.run(until="15:00") == 0
    judge(stage)


def test_17_a_damaged_journal_is_not_traded_on(stages):
    stage = stages()
    assert stage.run() == 0
    orders = len(stage.ledger()["orders"])
    path = stage.account / "journal.sqlite"
    data = bytearray(path.read_bytes())
    for at in range(4096, len(data), 4096):
        data[at : at + 64] = os.urandom(64)
    path.write_bytes(bytes(data))
    assert stage.run(until="11:00") == 7
    assert len(stage.ledger()["orders"]) == orders
    code, text = stage.ask("reconcile", "--accept")
    assert code == 0 and "kept" in text
    assert stage.run(until="11:00") == 0, stage.text()[-2000:]
    assert stage.get("safe") and len(stage.ledger()["orders"]) == orders


def test_17_a_chain_that_was_tampered_with_is_not_traded_on(stages):
    import sqlite3

    stage = stages()
    assert stage.run() == 0
    db = sqlite3.connect(stage.account / "journal.sqlite")
    db.execute("UPDATE event SET body = '{}' WHERE seq = 3")
    db.commit()
    db.close()
    assert stage.run(until="11:00") == 7
    assert "chain of events is broken" in stage.text()


def test_18_a_broker_that_is_restarted_in_the_middle_keeps_the_order(stages):
    stage = stages(settings=(*QUICK, "live.walk_every=200"), scenario={"options": {"fills": "never"}})
    stage.begin()
    assert stage.wait_for(lambda ledger: entries(ledger))
    stage.kill_server()
    time.sleep(0.3)
    (stage.folder / "scenario.json").write_text(json.dumps({}))
    stage.start_server()
    assert stage.trader.wait(90) == 0, stage.text()[-2000:]
    entered_once(stage)
