"""The rulebook: each rule with numbers that can be checked in the head, and every entry against a slow chooser."""

import numpy as np
import pytest

from core.config import load
from core.types import CALL, FLAT, LEGS, MID, NATURAL, POINTS, PUT, SETTLE, Reason, T, record_of
from options_strategy import exit_code, profit_limit, stop_level, trail
from strategies.rules import rules_from
from strategies.sizing import size
from strategies.timing import NEVER, weekday_of
from tests import markets
from tests.conftest import both_ways
from tests.markets import NO_FILE


def rules(**changes):
    return rules_from(
        load(user_file=NO_FILE, flags={f"strategy.{n.replace('__', '.')}": v for n, v in changes.items()}).values
    )


def exits(**changes):
    return record_of(rules(**{f"exits__{name}": value for name, value in changes.items()}))


# ---------------------------------------------------------------- settings as numbers


def test_the_default_is_the_practitioners_condor():
    made = rules()
    assert (made.use_put, made.use_call, made.short_at_money) == (1, 1, 0)
    assert (made.dte_min, made.dte_target, made.dte_max) == (30, 45, 60)
    assert (made.delta_low, made.delta_target, made.delta_high) == (0.10, 0.16, 0.25)
    assert (made.wing_rule, made.wing_width, made.put_wing_scale, made.call_wing_scale) == (POINTS, 10.0, 1.0, 1.0)
    assert (made.window_start, made.window_end, made.weekday_mask) == (600, 900, 0b11111)
    assert (made.profit_frac, made.stop_multiple, made.stop_on, made.exit_dte) == (0.5, 2.0, NATURAL, 21)
    assert (made.expiry_rule, made.flat_from, made.edge_minutes, made.enter) == (FLAT, 870, 10, 1)
    assert (made.min_days_between, made.max_new_per_day, made.min_minutes_between) == (1, 1, 0)


@pytest.mark.parametrize(
    ("structure", "used"),
    [
        ("iron_condor", (1, 1, 0)),
        ("put_spread", (1, 0, 0)),
        ("call_spread", (0, 1, 0)),
        ("iron_butterfly", (1, 1, 1)),
        ("broken_wing_condor", (1, 1, 0)),
    ],
)
def test_structures_are_rows_of_a_table(structure, used):
    made = rules(structure=structure)
    assert (made.use_put, made.use_call, made.short_at_money) == used
    assert made.put_wing_scale == (2.0 if structure == "broken_wing_condor" else 1.0)
    one_side = 0.5 if sum(used[:2]) == 1 else 1.0
    same_delta = rules(structure="iron_condor", entry__short_delta=0.5, entry__delta_high=0.5) if used[2] else rules()
    assert made.min_credit_share == pytest.approx(one_side * same_delta.min_credit_share)


def test_schedules_are_days_minutes_and_a_number_a_day():
    ladder = {"entry__ladder_days": 3, "entry__ladder_minutes": 45, "entry__max_new_per_day": 4}
    spacing = {name: rules(entry__schedule=name, **ladder) for name in ("daily", "weekly", "ladder")}
    numbers = {n: (r.min_days_between, r.min_minutes_between, r.max_new_per_day) for n, r in spacing.items()}
    assert numbers == {"daily": (1, 0, 1), "weekly": (7, 0, 1), "ladder": (3, 45, 4)}


def test_weekdays_are_a_mask_monday_first():
    assert rules(entry__weekdays="mon").weekday_mask == 1
    assert rules(entry__weekdays="fri,wed").weekday_mask == 0b10100


def test_other_choices_reach_their_numbers():
    assert rules(exits__stop_on="mid").stop_on == MID
    assert rules(exits__expiry_rule="settle").expiry_rule == SETTLE
    assert rules_from(load(user_file=NO_FILE).values, enter=False).enter == 0


@both_ways
def test_the_epoch_began_on_a_thursday(weekday_of):
    assert [weekday_of(day) for day in range(5)] == [3, 4, 5, 6, 0]
    assert weekday_of(int(markets.days_of(("2018-02-05",))[0])) == 0


# ---------------------------------------------------------------- exits


@both_ways
def test_the_profit_order_rests_at_the_credit_kept(profit_limit):
    assert profit_limit(100, exits(profit_frac=0.5)) == 50
    assert profit_limit(101, exits(profit_frac=0.5)) == 50  # half a cent less for us, never more
    assert profit_limit(100, exits(profit_frac=0.9)) == 10
    assert profit_limit(100, exits(profit_frac=1.0)) == -NEVER


@both_ways
def test_the_stop_is_a_multiple_of_the_credit_lost(stop_level):
    assert stop_level(100, 2.0) == 300
    assert stop_level(101, 0.5) == 152
    assert stop_level(100, 0.0) == NEVER


@both_ways
def test_a_stop_on_natural_needs_one_price_at_any_time_of_day(exit_code):
    made = exits(profit_frac=0.5, stop_multiple=2.0)
    for edge in (False, True):
        assert exit_code(299, 560, True, 0, edge, 50, 300, made) == (Reason.NONE, 0)
        assert exit_code(300, 560, True, 0, edge, 50, 300, made) == (Reason.STOP, 0)
        assert exit_code(51, 90, True, 0, edge, 50, 300, made) == (Reason.NONE, 0)
        assert exit_code(50, 90, True, 0, edge, 50, 300, made) == (Reason.PROFIT_TARGET, 0)


@both_ways
def test_a_stop_on_mid_needs_two_mids_in_a_row_outside_the_edges(exit_code):
    made = exits(profit_frac=0.5, stop_multiple=2.0, stop_on="mid")
    assert exit_code(320, 600, True, 0, False, 50, 300, made) == (Reason.NONE, 1)
    assert exit_code(320, 600, True, 1, False, 50, 300, made) == (Reason.STOP, 1)
    assert exit_code(320, 599, True, 1, False, 50, 300, made) == (Reason.NONE, 0)
    assert exit_code(320, 600, True, 0, True, 50, 300, made) == (Reason.NONE, 0)
    assert exit_code(320, 600, True, 1, True, 50, 300, made) == (Reason.NONE, 1)


@both_ways
def test_a_price_without_two_sided_quotes_triggers_nothing_and_forgets_nothing(exit_code):
    for stop_on in ("natural", "mid"):
        made = exits(profit_frac=0.5, stop_multiple=2.0, stop_on=stop_on)
        for above in (0, 1):
            assert exit_code(0, 0, False, above, False, 50, 300, made) == (Reason.NONE, above)
            assert exit_code(9999, 19998, False, above, False, 50, 300, made) == (Reason.NONE, above)


# ---------------------------------------------------------------- size


@both_ways
def test_size_keeps_the_maximum_loss_inside_the_budget(size):
    assert size(10, 1000, 200, 500_000) == 6  # $5,000 over $800 a contract
    assert size(10, 1000, 200, 5_000_000) == 10  # never more than asked for
    assert size(10, 1000, 200, 75_000) == 0  # $750: no floor that breaches the rule
    assert size(10, 1000, 200, 80_000) == 1
    assert size(10, 1000, 200, 0) == 0
    assert size(10, 1000, 200, -250_000) == 0


# ---------------------------------------------------------------- a slow chooser


class Chooser:
    """The entry rules in plain loops over a table market, from the store's columns alone."""

    def __init__(self, result):
        self.r, self.c = result, result.store.columns

    def cell(self, c, row):
        """(bid, ask, flag, delta) of a contract at a row; None without a cell."""
        q = self.c["snap"][row]
        if not self.c["q_first"][c] <= q <= self.c["q_last"][c]:
            return None
        i = self.c["q_base"][c] + q - self.c["q_first"][c]
        return self.c["q_bid"][i], self.c["q_ask"][i], self.c["q_flag"][i], self.c["q_delta"][i]

    def expiry(self, row):
        rules, day = self.r.rules, self.c["s_day"][self.c["session"][row]]
        dte = self.c["e_day"] - day
        allowed = [x for x in range(len(dte)) if rules.dte_min <= dte[x] <= rules.dte_max]
        return min(allowed, key=lambda x: (abs(dte[x] - rules.dte_target), dte[x]))

    def short(self, x, right, row):
        """The quoted strike out of the money whose delta is nearest the target inside the band."""
        rules, spot = self.r.rules, self.c["spot"][row]
        found = []
        for c in np.flatnonzero((self.c["c_expiry"] == x) & (self.c["c_right"] == right)):
            cell, strike = self.cell(c, row), self.c["c_strike"][c] / 100
            if cell is None or cell[2] != 0 or not np.isfinite(cell[3]):
                continue
            delta = abs(float(cell[3]))
            outside = strike <= spot + 0.5 if right == PUT else strike >= spot - 0.5
            if outside and rules.delta_low <= delta <= rules.delta_high:
                found.append((abs(delta - rules.delta_target), c))
        return min(found)[1]

    def wing(self, x, right, short, row):
        away = -1 if right == PUT else 1
        target = self.c["c_strike"][short] + away * round(self.r.rules.wing_width * 100)
        quoted = [
            c
            for c in np.flatnonzero((self.c["c_expiry"] == x) & (self.c["c_right"] == right))
            if self.cell(c, row) is not None and self.cell(c, row)[2] == 0 and (c - short) * away > 0
        ]
        return min(quoted, key=lambda c: abs(self.c["c_strike"][c] - target))

    def legs(self, row):
        x = self.expiry(row)
        put, call = self.short(x, PUT, row), self.short(x, CALL, row)
        return [self.wing(x, PUT, put, row), put, call, self.wing(x, CALL, call, row)]


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    return markets.stored(markets.table_tape("clean", bad=False), tmp_path_factory.mktemp("clean"))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"strategy__entry__short_delta": 0.22, "strategy__entry__wing_width": 5.0},
        {"strategy__entry__dte_target": 16},
    ],
    ids=["default", "wider", "longer"],
)
def test_entries_are_what_a_slow_chooser_picks(changes, clean):
    """One structure at a time, so that nothing must be shifted; quotes without gaps."""
    result = markets.ran(clean, strategy__max_positions=1, strategy__exits__max_hold_days=1, **changes)
    chooser = Chooser(result)
    assert len(result.trades) >= 5
    for t in result.trades:
        chosen = t[T["leg0"] : T["leg0"] + LEGS].tolist()
        assert chosen == chooser.legs(int(t[T["decided"]]))


def test_entries_are_decided_inside_the_window_on_the_weekdays_asked_for():
    result = markets.ran(
        markets.market("table"), strategy__entry__window_start="11:00", strategy__entry__window_end="12:30",
        strategy__entry__weekdays="mon,wed",
    )  # fmt: skip
    rows = result.trades[:, T["decided"]]
    assert len(rows) >= 4
    minutes = result.market.row.minute[rows]
    assert minutes.min() >= 660
    assert minutes.max() <= 750
    days = result.market.ses.day[result.market.row.session[rows]]
    assert set(((days + 3) % 7).tolist()) <= {0, 2}


def test_the_spacing_of_entries_is_kept():
    for schedule, days, minutes, per_day in (("daily", 1, 0, 1), ("weekly", 7, 0, 1), ("ladder", 0, 90, 3)):
        result = markets.ran(markets.market("table"), strategy__entry__schedule=schedule, strategy__max_positions=64)
        rows = result.trades[:, T["opened"]]
        day = result.market.ses.day[result.market.row.session[rows]]
        ts = result.market.row.ts[result.trades[:, T["decided"]]]
        assert len(rows) >= 2
        assert (np.diff(day) >= days).all()
        assert np.unique(day, return_counts=True)[1].max() <= per_day
        same_day = np.diff(day) == 0
        assert (ts[1:][same_day] - result.market.row.ts[rows][:-1][same_day] >= minutes * 60 * 10**9).all()


def test_never_more_positions_than_allowed():
    for limit in (1, 2, 4):
        result = markets.ran(markets.market("table"), strategy__max_positions=limit)
        held = np.zeros(len(result.market.row.ts) + 1, int)
        for t in result.trades:
            held[t[T["opened"]]] += 1
            held[t[T["closed"]] if t[T["closed"]] >= 0 else -1] -= 1
        assert np.cumsum(held).max() == limit


def test_time_exits_leave_when_they_should():
    result = markets.ran(markets.market("table"), strategy__exits__profit_frac=1.0, strategy__exits__stop_multiple=0.0)
    done = result.trades[result.trades[:, T["reason"]] == Reason.DTE_EXIT]
    assert len(done) >= 3
    market = result.market
    rows = done[:, T["exit_decided"]]
    left = market.exp.day[done[:, T["expiry"]]] - market.ses.day[market.row.session[rows]]
    assert (left <= 2).all()
    assert (market.row.minute[rows] == 600).all()
    later = [(market.exp.day[t[T["expiry"]]] - market.ses.day[market.row.session[t[T["closed"]] - 78]]) for t in done]
    assert min(later) > 2  # not a session too late


@pytest.mark.parametrize(
    ("changes", "minute", "early"), [({}, 870, 720), ({"strategy__exits__flat_from": "13:00"}, 780, 720)]
)
def test_on_the_expirys_day_the_close_is_decided_in_time_also_when_it_closes_early(changes, minute, early, clean):
    result = markets.ran(
        clean,
        strategy__exits__exit_dte=0,
        strategy__exits__profit_frac=1.0,
        strategy__exits__stop_multiple=0.0,
        **changes,
    )
    market = result.market
    flat = result.trades[result.trades[:, T["reason"]] == Reason.EXPIRY_FLAT]
    assert len(flat) >= 2
    seen = set()
    for t in flat:
        s = market.row.session[t[T["exit_decided"]]]
        assert s == market.exp.session[t[T["expiry"]]]
        assert market.row.minute[t[T["exit_decided"]]] == (early if market.ses.close[s] == 780 else minute)
        assert market.row.session[t[T["closed"]]] == s
        seen.add(int(market.ses.close[s]))
    assert 780 in seen


@pytest.mark.parametrize("name", ["natural", "butterfly", "put_spread", "delta_wings", "broken_wing", "modelled"])
def test_short_deltas_lie_in_their_band_when_nothing_is_shifted(name):
    of, changes = markets.RUNS[name]
    result = markets.ran(markets.market(of), **{**changes, "strategy__max_positions": 1})
    assert len(result.trades) >= 2
    if of == "modelled":
        return
    columns = result.store.columns
    for t in result.trades:
        for leg in (1, 2):
            c = t[T["leg0"] + leg]
            if c < 0:
                continue
            cell = columns["q_base"][c] + columns["snap"][t[T["decided"]]] - columns["q_first"][c]
            delta = abs(float(columns["q_delta"][cell]))
            if result.rules.short_at_money:
                assert 0.3 < delta < 0.7
            else:
                assert 0.10 <= delta <= 0.25
