"""One decision in words and numbers: on entries, exits and skips, with what stood on the row and nothing later."""

import json

import numpy as np
import pytest

from core.errors import ConfigError, DataError
from core.explain import explained, lines_of, parse_time, row_at
from core.market.truncate import truncated
from core.types import CASH, MARKS, REASONS, VERDICT, T
from tests import markets

UTC_15_45 = int(np.datetime64("2018-02-05T20:45", "ns").astype(np.int64))


@pytest.mark.parametrize("text", ["2018-02-05 15:45", "2018-02-05T15:45-05:00", "2018-02-05T20:45Z"])
def test_a_time_is_new_york_s_unless_it_says_otherwise(text):
    assert parse_time(text) == UTC_15_45


def test_a_summer_time_and_a_date_alone():
    noon = int(np.datetime64("2018-07-05T16:00", "ns").astype(np.int64))
    assert parse_time("2018-07-05 12:00") == noon
    assert parse_time("2018-07-05") == noon + (11 * 60 + 59) * 60_000_000_000


@pytest.mark.parametrize("text", ["noon", "2018-02-30 10:00", "15:45", ""])
def test_a_time_that_is_none_is_a_config_error(text):
    with pytest.raises(ConfigError, match="--at is"):
        parse_time(text)


def config(name="carried", **changes):
    return markets.config_of(market__name=name, **changes)


def test_at_night_the_last_row_before_is_told():
    store = markets.market("carried")
    end = int(store.columns["s_end"][3]) - 1
    for text in ("2025-11-06 16:15", "2025-11-06 23:00", "2025-11-07 03:00", "2025-11-06"):
        assert row_at(store, config(), parse_time(text)) == end
    assert row_at(store, config(), parse_time("2025-11-06 16:14")) == end - 1
    assert row_at(store, config(), parse_time("2030-01-01")) == len(store.columns["ts"]) - 1


def test_a_time_before_the_run_is_a_data_error_that_names_its_beginning():
    store = markets.market("carried")
    with pytest.raises(DataError, match="begins at 2025-11-03 09:35"):
        row_at(store, config(), parse_time("2025-11-03 09:30"))
    with pytest.raises(DataError, match="begins at 2025-11-10 09:35"):
        row_at(store, config(market__start="2025-11-10"), parse_time("2025-11-07 12:00"))


def gates_of(value):
    return {g["gate"]: g for g in value["gates"]}


@pytest.mark.parametrize("name", ["natural", "carried", "modelled"])
def test_an_entry_is_told_with_its_order(name):
    whole = markets.run_named(name)
    trade = whole.trades[3]
    row = int(trade[T["decided"]])
    value = explained(whole.store, whole.config, row)
    assert (value["verdict"], value["reason"]) == ("enter", "enter")
    assert all(g["passed"] for g in value["gates"])
    order = value["candidate"]
    assert order["working"]
    assert order["expiry"] == str(np.datetime64(int(whole.market.exp.day[trade[T["expiry"]]]), "D"))
    strikes = [whole.market.con.strike[trade[T[f"leg{leg}"]]] / 100 for leg in range(4)]
    assert list(order["strikes"].values()) == strikes
    assert order["credit"] >= order["floor"] > 0
    assert order["natural"] <= order["credit"] <= order["mid"]
    assert order["contracts"] * order["max_loss_usd"] <= order["budget_usd"]
    lines = lines_of(value)
    assert lines[2] == "enter: entry order submitted"
    assert any("/".join(f"{k:g}" for k in strikes) in line for line in lines)
    assert len(lines) <= 40


def test_an_open_structure_is_told_with_its_distance_to_target_and_stop():
    """Half of the credit kept closes; one credit lost stops."""
    whole = markets.run_named("carried")
    row = int(whole.trades[0][T["opened"]])
    value = explained(whole.store, whole.config, row)
    (held,) = value["structures"]
    credit = int(whole.trades[0][T["credit"]])
    assert held["credit"] == credit / 100
    assert held["target"] == (credit // 2) / 100
    assert held["stop"] == 2 * credit / 100
    assert held["mark"] < held["to_close"]
    assert held["days"] == 9
    assert value["marks_usd"] == -100 * held["mark"] * held["contracts"]
    assert value["equity_usd"] == (whole.ledger.rows[CASH, row] + whole.ledger.rows[MARKS, row]) / 100
    assert f"trade 0 opened for {credit / 100:.2f}, size 1" in value["happened"]


def test_sides_that_are_judged_alone_are_told_alone():
    """A side stops at twice its own credit and is bought back at half of it."""
    whole = markets.ran(markets.market("carried"), strategy__exits__scope="side")
    row = int(whole.trades[0][T["opened"]])
    (held,) = explained(whole.store, whole.config, row)["structures"]
    assert (held["target"], held["stop"]) == (None, None)
    credits = {name: round(50 * side["stop"]) for name, side in held["sides"].items()}
    assert set(credits) == {"put", "call"}
    assert abs(sum(credits.values()) - 100 * held["credit"]) <= 1
    for name, side in held["sides"].items():
        assert side["target"] == (credits[name] // 2) / 100
    assert sum(side["to_close"] for side in held["sides"].values()) == pytest.approx(held["to_close"])


def test_an_exit_is_told_with_its_reason():
    whole = markets.run_named("carried")
    closed = int(np.flatnonzero(whole.trades[:, T["closed"]] >= 0)[0])
    trade = whole.trades[closed]
    row, reason = int(trade[T["closed"]]), REASONS[int(trade[T["reason"]])][1]
    value = explained(whole.store, whole.config, row)
    assert (value["verdict"], value["words"]) == ("exit", reason)
    assert any(text.startswith(f"trade {closed} closed at") and reason in text for text in value["happened"])
    assert closed not in [s["trade"] for s in value["structures"]]


def test_a_row_outside_the_window_is_a_skip_whose_gate_fails():
    whole = markets.run_named("natural")
    row = int(whole.market.ses.start[2])
    value = explained(whole.store, whole.config, row)
    assert (value["verdict"], value["reason"]) == ("skip", "window")
    window = gates_of(value)["window"]
    assert window == {"gate": "window", "value": "09:35", "limit": "10:00 to 15:00", "passed": False}
    assert value["candidate"] is None
    assert "skip: outside the entry window" in lines_of(value)


def test_a_credit_below_the_floor_is_shown_beside_it():
    store = markets.market("carried")
    settings = config(strategy__entry__min_credit_vs_median=3.0)
    row = int(store.columns["s_decide"][5])
    value = explained(store, settings, row)
    assert value["reason"] == "low_credit"
    told = value["candidate"]
    assert not told["working"]
    assert told["contracts"] is None
    assert 0 < told["credit"] < told["floor"]
    assert any(line.startswith("candidate: ") for line in lines_of(value))


def test_filters_stand_with_value_and_limit_and_an_unknown_one_says_so():
    store = markets.market("carried")
    settings = config(strategy__filters__rsi_min=20.0, strategy__filters__rsi_max=45.0, strategy__filters__vix_max=30.0)
    row = int(store.columns["s_decide"][4])
    value = explained(store, settings, row)
    gates = gates_of(value)
    rsi = value["signals"]["rsi"]
    assert gates["rsi"] == {"gate": "rsi", "value": rsi, "limit": "from 20 to 45", "passed": 20 <= rsi <= 45}
    assert gates["vix"]["passed"] is None
    assert any(line.startswith("  UNKNOWN vix") for line in lines_of(value))


def test_the_strongest_fuzzy_rules_stand_first():
    store = markets.market("carried")
    value = explained(store, config(), 700)
    strengths = [rule["strength"] for rule in value["rules"]]
    assert strengths == sorted(strengths, reverse=True)
    assert len(strengths) == 3
    assert value["rules"][0]["rule"].startswith("if ")


@pytest.mark.parametrize("name", ["natural", "carried", "modelled"])
def test_nothing_that_is_told_depends_on_what_comes_later(name):
    whole = markets.run_named(name)
    for row in (int(whole.trades[2][T["decided"]]), int(whole.trades[2][T["opened"]]) + 3):
        value = explained(whole.store, whole.config, row)
        assert explained(truncated(whole.store, row), whole.config, row) == value
        assert json.loads(json.dumps(value, allow_nan=False)) == value


def test_every_row_s_verdict_is_the_run_s_own():
    whole = markets.run_named("carried")
    for row in range(3, len(whole.market.row.ts), 401):
        value = explained(whole.store, whole.config, row)
        assert value["words"] == REASONS[int(whole.ledger.codes[VERDICT, row])][1]
