"""The commands beside the loop, by the real program on a rehearsed morning."""

import json

import pytest

from core.live.fills import fills_of
from tests.live.alpaca_sim.stage import Stage


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    made = Stage(tmp_path_factory.mktemp("commands") / "stage", settings=("live.walk_steps=1",))
    assert made.run(until="10:15") == 0, made.text()[-2000:]
    yield made
    made.end()


def asked(stage, *words):
    code, text = stage.ask(*words, "--json")
    assert code == 0, text[-1500:]
    return json.loads(text.splitlines()[-1])


def test_status_shows_book_and_last_decision(stage):
    value = asked(stage, "status")
    assert len(value["structures"]) == 1 and len(value["structures"][0]["legs"]) == 4
    assert value["last_decision"]["words"] and value["latched"] is None


def test_today_tells_what_is_kept_and_how_far_the_shorts_are(stage):
    (structure,) = asked(stage, "today")["structures"]
    assert 0 < structure["cost_to_close"] < 10
    assert structure["kept_share"] == pytest.approx(1 - structure["cost_to_close"] / structure["credit"])
    assert [0.3 < short["away"] < 3.0 for short in structure["shorts"]] == [True, True]
    assert structure["profit_order_at"] == pytest.approx(structure["credit"] / 2, abs=0.01)
    assert structure["stop_at"] == pytest.approx(structure["credit"] * 3, abs=0.02)


def test_reconcile_agrees_and_doctor_finds_nothing_missing(stage):
    assert asked(stage, "reconcile")["differ"] == {}
    checks = asked(stage, "doctor")["checks"]
    assert all(check["ok"] for check in checks), checks


def test_watchdog_leaves_a_loop_alone_that_is_not_dead(stage):
    assert asked(stage, "watchdog", "--once")["cancelled"] == []


def test_a_fill_stands_beside_the_quotes_that_it_was_sent_on(stage):
    (fill,) = fills_of(stage.account)
    assert fill["mid"] <= fill["natural"] and fill["net"] <= fill["natural"] + 1
    assert fill["feed"] == "indicative"


def test_no_journal_is_told_in_a_line(stage, tmp_path):
    before = stage.environment
    stage.environment = lambda failpoint="": {**before(), "QMTF_LIVE_HOME": str(tmp_path)}
    try:
        code, text = stage.ask("status")
    finally:
        stage.environment = before
    assert code == 7 and text.startswith("JournalError: no journal below")
