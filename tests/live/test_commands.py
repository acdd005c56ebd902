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


def test_a_session_is_downloaded_once_into_a_market_that_says_it_is_modelled(stage, tmp_path):
    """The second run asks for nothing that it has; a backtest runs on what was made."""
    stage.control("clock", {"until_ns": 1_772_461_800_000_000_000 + 7 * 3600 * 10**9})
    words = ("data", "download", "--name", "fetched", "--start", "2026-03-02", "--end", "2026-03-02", "--json")
    folder = {"QMTF_STORE_DIR": str(tmp_path / "store")}
    code, text = stage.any_command(*words, **folder)
    assert code == 0, text[-1500:]
    assert "MODELLED" in text or "modelled" in text
    asked = len(stage.control("requests"))
    code, text = stage.any_command(*words, **folder)
    assert code == 0 and len(stage.control("requests")) == asked
    words = ("backtest", "--market", "fetched", "--report", "none", "--json", "--out", str(tmp_path / "run"))
    code, text = stage.any_command(*words, "--set", "strategy.entry.window_start=09:40", **folder)
    assert code == 0, text[-1500:]
    assert json.loads(text.splitlines()[-1])["bars"] == 78


def test_a_download_before_the_history_begins_is_told(stage, tmp_path):
    words = ("data", "download", "--name", "old", "--start", "2020-01-02", "--end", "2020-01-03")
    code, text = stage.any_command(*words, QMTF_STORE_DIR=str(tmp_path / "store"))
    assert code == 3 and "begins 2024-02-01" in text
