"""The calendar of events: which sessions are near one, and what is not known is an error."""

import datetime as dt

import numpy as np
import pytest

from core.errors import DataError
from core.market.calendar import day_number, day_text, sessions_over
from strategies.events import ALWAYS, read_events, sessions_near_events

KINDS = ("fomc", "cpi", "exdiv")
NEVER_TAKEN_BACK = ALWAYS[1]


def between(first, last):
    return sessions_over(day_number(first), day_number(last)).day


def near(first, last, kinds, ahead):
    """The sessions of a span that are near an event, as dates."""
    days = between(first, last)
    return [day_text(d) for d in days[sessions_near_events(days, kinds, ahead)]]


def dates(kind, year):
    return [day_text(d) for d in read_events(kind).day if day_text(d)[:4] == str(year)]


# ---------------------------------------------------------------- near


def test_a_decision_day_is_near_itself_and_the_sessions_before_it():
    assert near("2018-06-08", "2018-06-18", ["fomc"], 0) == ["2018-06-13"]
    assert near("2018-06-08", "2018-06-18", ["fomc"], 2) == ["2018-06-11", "2018-06-12", "2018-06-13"]


def test_sessions_are_counted_not_days():
    # Eight sessions before Thursday 2018-09-13: seven of September (the 3rd is a holiday), then Friday, 31 August.
    days = between("2018-08-27", "2018-09-14")
    made = sessions_near_events(days, ["cpi"], 8)
    assert day_text(days[np.flatnonzero(made)[0]]) == "2018-08-31"


def test_a_release_on_good_friday_belongs_to_monday():
    assert "2017-04-14" in dates("cpi", 2017)
    assert near("2017-04-10", "2017-04-19", ["cpi"], 0) == ["2017-04-17"]
    assert near("2017-04-10", "2017-04-19", ["cpi"], 1) == ["2017-04-13", "2017-04-17"]
    assert near("2017-04-17", "2017-04-19", ["cpi"], 0) == ["2017-04-17"]  # also when the market begins that day


def test_the_event_of_an_ex_dividend_day_is_the_evening_before():
    # Thursday 2026-06-18: the day after is a holiday, so no rule of third Fridays finds it.
    assert dt.date(2026, 6, 18).weekday() == 3
    assert near("2026-06-12", "2026-06-24", ["exdiv"], 0) == ["2026-06-17"]
    assert near("2026-06-12", "2026-06-24", ["exdiv"], 1) == ["2026-06-16", "2026-06-17"]


def test_kinds_add_up_and_none_is_near_nothing():
    days = between("2018-01-02", "2018-12-31")
    alone = [sessions_near_events(days, [kind], 1) for kind in KINDS]
    assert (sessions_near_events(days, KINDS, 1) == np.any(alone, axis=0)).all()
    assert not sessions_near_events(days, [], 10).any()
    assert sessions_near_events([], KINDS, 1).shape == (0,)


def test_missing_sessions_do_not_bring_an_event_nearer():
    kept = np.array([day_number(d) for d in ("2018-06-07", "2018-06-13")])  # four sessions apart
    assert sessions_near_events(kept, ["fomc"], 3).tolist() == [False, True]
    assert sessions_near_events(kept, ["fomc"], 4).tolist() == [True, True]


@pytest.mark.parametrize("kind", KINDS)
def test_cutting_the_future_off_changes_nothing(kind):
    days = between("2025-09-02", "2026-04-30")
    whole = sessions_near_events(days, [kind], 5)
    assert whole.any()
    for k in (1, 20, 60, 70, 71, 72, 73, 100, 140):
        assert (sessions_near_events(days[:k], [kind], 5) == whole[:k]).all()


# ---------------------------------------------------------------- moved


def test_a_moved_release_is_seen_where_the_calendar_had_it_at_the_time():
    # Planned for Wednesday 10 December 2025; a notice of 21 November moved it to Thursday the 18th.
    assert near("2025-11-10", "2025-12-31", ["cpi"], 0) == ["2025-12-18"]
    assert near("2025-12-01", "2025-12-31", ["cpi"], 1) == ["2025-12-17", "2025-12-18"]
    # Planned for Wednesday 15 October; a notice of the 10th moved it to the 24th, ten sessions away.
    assert near("2025-10-06", "2025-10-31", ["cpi"], 5) == [
        *("2025-10-08", "2025-10-09", "2025-10-10"),
        *("2025-10-17", "2025-10-20", "2025-10-21", "2025-10-22", "2025-10-23", "2025-10-24"),
    ]
    assert "2025-10-10" not in near("2025-10-13", "2025-10-31", ["cpi"], 10)


def test_a_meeting_that_was_not_held_is_seen_until_its_notice():
    # Planned for Wednesday 18 March 2020, replaced on Sunday the 15th.
    assert near("2020-03-09", "2020-03-20", ["fomc"], 3) == ["2020-03-13"]


# ---------------------------------------------------------------- what is listed


@pytest.mark.parametrize("kind", KINDS)
def test_events_are_in_order_on_weekdays_and_inside_their_span(kind):
    events = read_events(kind)
    assert (np.diff(events.day) > 0).all()
    assert events.first <= events.day[0]
    assert events.day[-1] <= events.last
    assert {dt.date.fromisoformat(day_text(d)).weekday() for d in events.day} <= set(range(5))


def test_every_year_has_its_events():
    unmoved = {kind: read_events(kind).day[read_events(kind).seen_until == NEVER_TAKEN_BACK] for kind in KINDS}
    counts = {
        kind: {y: sum(day_text(d)[:4] == str(y) for d in days) for y in range(2013, 2027)}
        for kind, days in unmoved.items()
    }
    assert counts["fomc"] == {**dict.fromkeys(range(2013, 2027), 8), 2020: 7}
    assert counts["cpi"] == {**dict.fromkeys(range(2013, 2027), 12), 2025: 11}
    assert counts["exdiv"] == {**dict.fromkeys(range(2013, 2027), 4), 2026: 2}


def test_days_that_are_known_by_heart_are_there():
    assert {"2013-09-18", "2015-12-16", "2018-12-19", "2022-06-15", "2024-09-18"} <= {
        d for y in range(2013, 2027) for d in dates("fomc", y)
    }
    assert {"2013-02-21", "2014-01-16", "2018-02-14", "2022-06-10", "2022-11-10"} <= {
        d for y in range(2013, 2027) for d in dates("cpi", y)
    }


def test_decisions_are_on_wednesdays_and_thursdays():
    assert {dt.date.fromisoformat(day_text(d)).weekday() for d in read_events("fomc").day} == {2, 3}


@pytest.mark.parametrize(("kind", "moved"), [("fomc", 1), ("cpi", 4), ("exdiv", 0)])
def test_every_planned_day_is_kept_beside_the_days_held(kind, moved):
    assert sum(read_events(kind).seen_until < NEVER_TAKEN_BACK) == moved


# ---------------------------------------------------------------- the span


@pytest.mark.parametrize(
    ("kind", "first", "last", "ahead"),
    [
        ("fomc", "2012-12-31", "2013-01-31", 0),
        ("cpi", "2012-12-31", "2013-01-31", 0),
        ("cpi", "2026-12-01", "2027-01-04", 0),
        ("cpi", "2026-12-01", "2026-12-30", 2),
        ("exdiv", "2026-08-03", "2026-08-21", 0),
        ("exdiv", "2026-08-03", "2026-08-19", 2),
    ],
)
def test_days_outside_the_span_of_a_kind_are_an_error(kind, first, last, ahead):
    with pytest.raises(DataError, match=rf"events of kind {kind}: .*covers 2013-01-01 to 202[67]-\d\d-\d\d"):
        sessions_near_events(between(first, last), [kind], ahead)


def test_the_last_sessions_inside_the_span_are_no_error():
    assert near("2026-12-01", "2026-12-31", ["cpi"], 0) == ["2026-12-10"]
    assert near("2026-08-17", "2026-08-20", ["exdiv"], 0) == []


def test_kinds_that_are_not_chosen_need_no_span():
    assert near("2027-01-20", "2027-01-29", ["fomc"], 0) == ["2027-01-27"]
