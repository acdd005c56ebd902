"""Held condors: each rule that closes, rolls or rolls out alone decides, on markets drawn by hand.

The condor is sold at 10:05 of the first day for $2.00, $1.00 a side, each side $10 wide, without fees.
"""

from contextlib import suppress

import numpy as np
import pytest

from core.errors import ConfigError
from core.market.build import Daily
from core.replay import Replay
from core.types import ALL_LEGS, CALL_SIDE, LEG_SIGN, MOST_DUE_TRIES, PUT_SIDE, ROLL_PUT, A, F, Reason, T
from tests import markets
from tests.hand import CONDOR, EXPIRY, LATER, NO_QUOTE, Then, config_of, make_up, market, orders, ran, row_at, time_of

ENTERED = ("06-02 10:05", "enter", "+P460 -P470 -C530 +C540")
WHOLE = "-P460 +P470 +C530 -C540"
PUTS, CALLS = "-P460 +P470", "+C530 -C540"


def costs(cents):
    """Prices at which the whole condor costs so much to close: the puts a dollar, the calls the rest."""
    return {"C530": cents}


def pnl(result, trade=0):
    return int(result.trades[trade, T["pnl"]])


# ---------------------------------------------------------------- target and stop of a side


def test_a_side_that_has_kept_its_half_closes_alone_and_the_other_is_managed_on(tmp_path):
    store = market(tmp_path, Then("06-02 11:00", {"P470": 90, "P460": 40}), Then("06-03 12:00", {"C530": 151}))
    sides = ran(store, exits__scope="side")
    assert orders(sides) == [ENTERED, ("06-02 11:00", "side_target", PUTS)]
    assert sides.trades[0, T["closed"]] == -1
    assert sides.adjustments[:, [A["part"], A["net"], A["reason"]]].tolist() == [[PUT_SIDE, 50, Reason.SIDE_TARGET]]
    assert orders(ran(store)) == [ENTERED]  # $1.01 in all: half of the whole is not kept


def test_the_sides_of_a_trade_make_its_credit_debit_and_profit(tmp_path):
    store = market(
        tmp_path, Then("06-02 11:00", {"P470": 90, "P460": 40}), Then("06-03 12:00", {"C530": 420, "C540": 110})
    )
    result = ran(store, exits__scope="side")
    assert orders(result) == [
        ENTERED,
        ("06-02 11:00", "side_target", PUTS),
        ("06-03 12:05", "side_stop", CALLS),
    ]
    trade = result.trades[0]
    assert trade[[T["credit"], T["debit"], T["pnl"]]].tolist() == [200, 50 + 310, -16_000]
    assert trade[T["reason"]] == Reason.SIDE_STOP
    assert result.equity[-1] == 10_000_000 - 16_000
    assert len(result.adjustments) == 1  # the last part is the trade's own close


@pytest.mark.parametrize(("put_short", "stops"), [(399, False), (400, True)])
def test_a_side_stops_once_it_has_lost_twice_its_own_credit(tmp_path, put_short, stops):
    store = market(tmp_path, Then("06-02 11:00", {"P470": put_short}))
    stopped = [("06-02 11:05", "side_stop", PUTS)] if stops else []
    assert orders(ran(store, exits__scope="side")) == [ENTERED, *stopped]
    assert orders(ran(store)) == [ENTERED]  # $4.00 in all: far from the whole's stop at $6.00


@pytest.mark.parametrize(("call_short", "closes"), [(151, False), (150, True)])
def test_by_side_the_target_is_of_the_sides_own_credit(tmp_path, call_short, closes):
    store = market(tmp_path, Then("06-02 11:00", {"C530": call_short}))
    kept = [("06-02 11:00", "side_target", CALLS)] if closes else []
    assert orders(ran(store, exits__scope="side")) == [ENTERED, *kept]


def test_by_side_the_whole_has_no_target_and_no_stop(tmp_path):
    store = market(tmp_path, Then("06-02 11:00", {"P470": 151, "C530": 151}), Then("06-03 11:00", {"P470": 399}))
    assert orders(ran(store, exits__scope="side", exits__profit_frac=0.5)) == [ENTERED]
    assert len(orders(ran(store, exits__profit_frac=0.4))) == 2


def test_an_order_for_a_side_works_for_one_row_and_is_decided_anew(tmp_path):
    store = market(
        tmp_path,
        Then("06-02 11:00", {"P470": 400}),
        Then("06-02 11:05", {"P460": NO_QUOTE}),
        Then("06-02 11:10", {"P460": 100, "P470": 200}),
        Then("06-02 12:00", {"P470": 410}),
    )
    assert orders(ran(store, exits__scope="side")) == [ENTERED, ("06-02 12:05", "side_stop", PUTS)]


def test_a_side_without_two_sided_quotes_triggers_nothing_while_the_other_does(tmp_path):
    store = market(tmp_path, Then("06-02 11:00", {"P470": 90, "P460": NO_QUOTE, "C530": 140}))
    assert orders(ran(store, exits__scope="side")) == [ENTERED, ("06-02 11:00", "side_target", CALLS)]


@pytest.mark.parametrize("put_short", [400, 150], ids=["the_puts_stop", "the_puts_fill_too"])
def test_the_resting_order_of_a_side_fills_on_the_row_that_reaches_it_whatever_the_other_does(tmp_path, put_short):
    """At 11:00 the calls cost half their dollar, on that row alone; the puts stop or reach their own target there."""
    store = market(tmp_path, Then("06-02 11:00", {"P470": put_short, "C530": 150}), Then("06-02 11:05", {"C530": 200}))
    at_eleven = [order for order in orders(ran(store, exits__scope="side")) if order[0] == "06-02 11:00"]
    assert [order[1] for order in at_eleven] == ["side_target"]
    assert CALLS in at_eleven[0][2]


# ---------------------------------------------------------------- trailing stop

# From $1.40 on (30 % kept) it is armed; 25 % of the credit given back from the lowest price since triggers it.
TRAIL = {"exits__trail_from": 0.3, "exits__trail_giveback": 0.25}


@pytest.mark.parametrize(("back_at", "leaves"), [(169, False), (170, True)])
def test_a_trailing_stop_arms_follows_and_triggers(tmp_path, back_at, leaves):
    path = [("06-02 11:00", 140), ("06-02 12:00", 120), ("06-02 13:00", 165), ("06-02 14:00", back_at)]
    store = market(tmp_path, *(Then(time, costs(cents)) for time, cents in path))
    left = [("06-02 14:05", "trailing", WHOLE)] if leaves else []
    assert orders(ran(store, **TRAIL))[:2] == [ENTERED, *left]
    assert orders(ran(store)) == [ENTERED]


def test_a_trailing_stop_that_is_not_armed_does_nothing(tmp_path):
    store = market(tmp_path, Then("06-02 11:00", costs(141)), Then("06-02 12:00", costs(400)))
    assert orders(ran(store, **TRAIL)) == [ENTERED]


def test_a_trailing_stop_remembers_its_best_over_nights_and_pieces(tmp_path):
    store = market(
        tmp_path, Then("06-02 15:55", costs(120)), Then("06-03 09:40", costs(169)), Then("06-04 09:35", costs(170))
    )
    whole = ran(store, **TRAIL)
    assert orders(whole) == [ENTERED, ("06-04 09:40", "trailing", WHOLE)]
    pieces = Replay(store, config_of(store, **TRAIL))
    for row in range(len(whole.market.row.ts)):
        pieces.to(row)
    assert np.array_equal(pieces.trades, whole.trades)
    assert np.array_equal(pieces.fills, whole.fills)


# ---------------------------------------------------------------- a stop that moves with the market


@pytest.mark.parametrize(
    ("scale", "signal", "level"),
    [
        ("atr", {"day_atr": 0.005}, 500),
        ("atr", {"day_atr": 0.001}, 500),
        ("atr", {"day_atr": 0.0125}, 600),
        ("atr", {"day_atr": 0.020}, 700),
        ("atr", {"day_atr": 0.090}, 700),
        ("vol", {"iv": 0.10}, 500),
        ("vol", {"iv": 0.20}, 600),
        ("vol", {"iv": 0.30}, 700),
    ],
)
def test_the_stop_moves_by_exactly_its_range_at_both_ends(tmp_path, monkeypatch, scale, signal, level):
    make_up(monkeypatch, signal)
    rules = {"exits__stop_scale": scale, "exits__stop_scale_range": 0.5}
    near = ran(market(tmp_path, Then("06-02 11:00", costs(level - 1))), **rules)
    beyond = ran(market(tmp_path / "beyond", Then("06-02 11:00", costs(level))), **rules)
    assert orders(near) == [ENTERED]
    assert orders(beyond)[1] == ("06-02 11:05", "stop", WHOLE)
    assert beyond.trades[0, T["overshoot"]] == 0


def test_the_stop_is_the_one_of_the_deciding_row_whatever_comes_later(tmp_path, monkeypatch):
    store = market(tmp_path, Then("06-02 11:00", costs(500)))
    atr = np.full(len(store.columns["ts"]), 0.020)
    atr[5] = 0.005  # 10:00
    make_up(monkeypatch, {"day_atr": atr})
    assert orders(ran(store, exits__stop_scale="atr"))[1] == ("06-02 11:05", "stop", WHOLE)


@pytest.mark.parametrize(("scale", "other"), [("atr", "iv"), ("vol", "day_atr")])
def test_a_stop_that_needs_an_unknown_signal_refuses_the_entry(tmp_path, monkeypatch, scale, other):
    make_up(monkeypatch, {other: 0.02})
    store = market(tmp_path)
    refused = ran(store, exits__stop_scale=scale)
    assert orders(refused) == []
    assert Reason.SIGNAL_UNKNOWN in refused.ledger.codes[0]
    assert orders(ran(store)) == [ENTERED]


@pytest.mark.parametrize(
    "scope",
    ["whole", "side"],
)
def test_a_stop_that_is_off_is_not_moved_on(tmp_path, monkeypatch, scope):
    make_up(monkeypatch, {"iv": 0.30})
    store = market(tmp_path, Then("06-02 11:00", {"C530": 1000}))
    off = {"exits__stop_multiple": 0.0, "exits__stop_scale": "vol", "exits__scope": scope}
    assert orders(ran(store, **off)) == [ENTERED]


def test_a_calm_market_does_not_take_the_stop_away(tmp_path, monkeypatch):
    """0.4 credits less a range of 0.5: refused as a setting, or a stop at hand, but not none."""
    make_up(monkeypatch, {"iv": 0.10})
    store = market(tmp_path, Then("06-02 11:00", costs(800)))
    with suppress(ConfigError):
        tight = ran(store, exits__stop_multiple=0.4, exits__stop_scale="vol", exits__stop_scale_range=0.5)
        assert orders(tight)[1][1] == "stop"


# ---------------------------------------------------------------- regime


def test_a_regime_to_leave_closes_everything_on_the_next_row(tmp_path, monkeypatch):
    store = market(tmp_path)
    make_up(monkeypatch, {}, leave_at=["06-03 11:00"])
    left = ran(store, exits__leave_regimes="crash")
    assert orders(left)[:2] == [ENTERED, ("06-03 11:05", "regime_exit", WHOLE)]
    assert left.trades[0, T["exit_decided"]] == row_at(left.market, "06-03 11:00")
    make_up(monkeypatch, {})
    assert orders(ran(store, exits__leave_regimes="crash")) == [ENTERED]


# ---------------------------------------------------------------- a cheap short

CHEAP = {"exits__cheap_short": 0.05}


@pytest.mark.parametrize(("ask", "bought"), [(6, False), (5, True)])
def test_a_cheap_short_is_bought_back_alone_and_its_wing_stays(tmp_path, ask, bought):
    store = market(tmp_path, Then("06-02 11:00", {"P470": (2, ask), "P460": (1, 2), "C530": 300}))
    back = [("06-02 11:05", "cheap_short", "+P470")] if bought else []
    result = ran(store, **CHEAP)
    assert orders(result) == [ENTERED, *back]
    assert (result.fills[:, F["contract"]] == 1).sum() == (2 if bought else 1)
    assert orders(ran(store)) == [ENTERED]


def test_what_a_cheap_short_cost_counts_towards_the_target_of_what_is_left(tmp_path):
    """Half of $2.00 is kept when the rest costs $0.95, 5 cents having been paid."""
    cheap = Then("06-02 11:00", {"P470": 5, "P460": 1, "C530": 300})
    for rest, closes in ((97, False), (96, True)):  # the calls' cost less the wing's cent
        store = market(tmp_path / str(rest), cheap, Then("06-03 11:00", {"C530": 100 + rest}))
        result = ran(store, **CHEAP)
        closed = [("06-03 11:00", "profit_target", "-P460 +C530 -C540")] if closes else []
        assert orders(result) == [ENTERED, ("06-02 11:05", "cheap_short", "+P470"), *closed]
    assert result.trades[0, [T["debit"], T["pnl"]]].tolist() == [100, 10_000]


def test_what_a_cheap_short_cost_counts_towards_the_stop_of_what_is_left(tmp_path):
    cheap = Then("06-02 11:00", {"P470": 5, "P460": 1, "C530": 300})
    for rest, stops in ((594, False), (595, True)):
        store = market(tmp_path / str(rest), cheap, Then("06-03 11:00", {"C530": 101 + rest}))
        stopped = [("06-03 11:05", "stop", "-P460 +C530 -C540")] if stops else []
        assert orders(ran(store, **CHEAP)) == [ENTERED, ("06-02 11:05", "cheap_short", "+P470"), *stopped]


def test_both_shorts_can_be_bought_back_one_after_the_other(tmp_path):
    store = market(
        tmp_path, Then("06-02 11:00", {"P470": 5, "P460": 1, "C530": 5, "C540": 1}), Then("06-03 11:00", {"P460": 0})
    )
    result = ran(store, **CHEAP, exits__profit_frac=1.0)
    assert orders(result) == [
        ENTERED,
        ("06-02 11:05", "cheap_short", "+P470"),
        ("06-02 11:15", "cheap_short", "+C530"),  # the row of a fill decides nothing more
    ]


@pytest.mark.parametrize("name", list(markets.RUNS))
def test_no_wing_is_sold_while_its_short_is_open(name):
    """On the fills of every run: a long leg leaves in the row of its short or later."""
    fills = markets.run_named(name).fills
    fills = fills[fills[:, F["trade"]] >= 0]
    held: dict[tuple[int, int], int] = {}
    for row in np.unique(fills[:, F["row"]]):
        for f in fills[fills[:, F["row"]] == row]:
            key = int(f[F["trade"]]), int(f[F["leg"]])
            held[key] = held.get(key, 0) + int(f[F["quantity"]])
        for (trade, leg), quantity in held.items():
            if LEG_SIGN[leg] < 0:
                wing = held[trade, leg - 1 if leg == 1 else leg + 1]
                assert 0 <= -quantity <= wing, (name, trade, leg, int(row))


# ---------------------------------------------------------------- a tested short

NEAR = {"manage__tested_distance": 0.01}  # the put at 470 is tested from 474.70 down


@pytest.mark.parametrize(
    ("action", "order"),
    [
        ("close_side", ("06-02 11:05", "tested", PUTS)),
        ("close_short", ("06-02 11:05", "tested", "+P470")),
        ("close_all", ("06-02 11:05", "tested", WHOLE)),
    ],
)
def test_a_tested_put_is_acted_on_as_asked(tmp_path, action, order):
    store = market(tmp_path, Then("06-02 11:00", spot=474.70))
    assert orders(ran(store, manage__tested_action=action, **NEAR))[:2] == [ENTERED, order]
    assert orders(ran(store, manage__tested_action="none", **NEAR)) == [ENTERED]
    short_of_it = market(tmp_path / "short", Then("06-02 11:00", spot=474.71))
    assert orders(ran(short_of_it, manage__tested_action=action, **NEAR)) == [ENTERED]


def test_a_tested_call_closes_its_own_side(tmp_path):
    for spot, tested in ((529.99, False), (530.0, True)):
        store = market(tmp_path / str(spot), Then("06-02 11:00", spot=spot))
        result = ran(store, manage__tested_action="close_side")
        assert orders(result) == [ENTERED, *([("06-02 11:05", "tested", CALLS)] if tested else [])]
    assert result.adjustments[0, A["part"]] == CALL_SIDE


def test_a_test_is_acted_on_once_a_session(tmp_path):
    """The order of 11:05 finds no quotes; the same test asks again on the next day, not in the same session."""
    store = market(
        tmp_path,
        Then("06-02 11:00", spot=470.0),
        Then("06-02 11:05", {"P470": NO_QUOTE}),
        Then("06-02 11:10", {"P470": 200}),
    )
    result = ran(store, manage__tested_action="close_side")
    assert orders(result) == [ENTERED, ("06-03 09:40", "tested", PUTS)]


def test_what_is_left_of_a_tested_side_is_no_longer_tested(tmp_path):
    store = market(tmp_path, Then("06-02 11:00", spot=470.0), Then("06-03 11:00", spot=530.0))
    result = ran(store, manage__tested_action="close_side")
    assert orders(result)[1:3] == [("06-02 11:05", "tested", PUTS), ("06-03 11:05", "tested", CALLS)]
    assert pnl(result) == 0


# ---------------------------------------------------------------- time exits on what is left


@pytest.mark.parametrize(
    ("rule", "reason"), [({"exits__exit_dte": 44}, "dte_exit"), ({"exits__max_hold_days": 1}, "max_hold")]
)
def test_time_exits_close_what_is_left(tmp_path, rule, reason):
    store = market(tmp_path, Then("06-02 11:00", {"P470": 90, "P460": 40}))
    result = ran(store, exits__scope="side", entry__dte_min=45, **rule)
    assert orders(result) == [
        ENTERED,
        ("06-02 11:00", "side_target", PUTS),
        ("06-03 10:05", reason, CALLS),
    ]
    assert result.trades[0, [T["debit"], T["pnl"]]].tolist() == [150, 5_000]


SAME_DAY = {f"{name} 2025-06-04": drawn for name, drawn in CONDOR.items()}
TO_EXPIRY = {"entry__dte_min": 2, "entry__dte_target": 2, "exits__exit_dte": 0, "exits__profit_frac": 1.0}


def expiring(folder, *changes):
    """A market whose only expiry is that of its last day, Wednesday 4 June."""
    return market(folder, *changes, contracts=SAME_DAY)


def test_on_the_expirys_day_what_is_left_of_a_condor_is_closed(tmp_path):
    store = expiring(tmp_path, Then("06-04 11:00", spot=470.0))
    result = ran(store, manage__tested_action="close_side", **TO_EXPIRY)
    assert orders(result) == [
        ENTERED,
        ("06-04 11:05", "tested", PUTS),
        ("06-04 14:35", "expiry_flat", CALLS),
    ]


@pytest.mark.parametrize("stopped_at", ["14:25", "14:30"])
def test_an_order_for_a_side_does_not_keep_the_rest_from_being_flat_on_the_expirys_day(tmp_path, stopped_at):
    """The side's order fills on the very row of the flat exit, or is decided on it; shares must not be delivered."""
    store = expiring(tmp_path, Then(f"06-04 {stopped_at}", {"P470 2025-06-04": 400}))
    result = ran(store, exits__scope="side", **TO_EXPIRY)
    assert orders(result)[-1][1] == "expiry_flat"
    assert {order[1] for order in orders(result)} <= {"enter", "side_stop", "expiry_flat"}


def test_a_condor_opened_on_the_row_of_the_flat_exit_is_flat_before_its_expiry_all_the_same(tmp_path):
    last_moment = {
        "entry__weekdays": "wed",
        "entry__window_start": "14:25",
        "entry__dte_min": 0,
        "entry__dte_target": 0,
    }
    result = ran(expiring(tmp_path), **{**TO_EXPIRY, **last_moment})
    assert [order[:2] for order in orders(result)] in ([], [("06-04 14:30", "enter"), ("06-04 14:40", "expiry_flat")])


@pytest.mark.parametrize("stopped_at", ["09:55", "10:00"])
def test_an_order_for_a_side_does_not_put_off_a_time_exit_of_the_rest(tmp_path, stopped_at):
    store = market(tmp_path, Then(f"06-03 {stopped_at}", {"P470": 400}))
    result = ran(store, exits__scope="side", exits__exit_dte=44, entry__dte_min=45)
    assert orders(result)[-1][1] == "dte_exit"
    assert time_of(result.market, result.trades[0, T["closed"]]).startswith("06-03")


# ---------------------------------------------------------------- rolls of the untested side

# The calls are tested at 530; the puts roll from 470 to 485 (22 delta) for 50 cents, same expiry, same width.
ROLLABLE = {**CONDOR, "P475": (0.18, 250), "P485": (0.22, 400)}
ROLLING = {"manage__tested_action": "roll_untested", "manage__roll_delta": 0.22}
TESTED_CALL = Then("06-02 11:00", spot=530.0)
ROLLED = ("06-02 11:05", "rolled", "+P470 -P460 -P485 +P475")


def rolled(folder, *changes, contracts=ROLLABLE, **rules):
    return ran(market(folder, TESTED_CALL, *changes, contracts=contracts), **{**ROLLING, **rules})


def test_the_untested_side_rolls_towards_the_spot_in_one_order_of_four_legs(tmp_path):
    result = rolled(tmp_path)
    assert orders(result) == [ENTERED, ROLLED]
    m, a = result.market, result.adjustments[0]
    assert a[[A["part"], A["reason"], A["net"]]].tolist() == [ROLL_PUT, Reason.ROLLED, -50]
    assert [m.con.strike[a[name]] for name in (A["new_short"], A["new_long"])] == [48_500, 47_500]
    assert len(set(m.con.expiry[result.fills[:, F["contract"]]].tolist())) == 1
    assert result.trades[:, [T["campaign"], T["credit"]]].tolist() == [[0, 200]]
    assert result.ledger.rows[0, -1] == 10_000_000 + 20_000 + 5_000


def test_a_roll_that_takes_the_book_above_a_cap_is_not_made(tmp_path):
    """The new puts are nearer the spot: their gamma is more than the book may have, where the entry's was not."""
    assert orders(rolled(tmp_path / "free", risk__book_gamma=8.0)) == [ENTERED, ROLLED]
    assert orders(rolled(tmp_path, risk__book_gamma=2.0)) == [ENTERED]


def test_a_roll_that_binds_more_margin_than_there_is_is_not_made(tmp_path):
    """At IBKR equal wings bind one side and unequal ones both: beside calls ten wide the new puts are eight wide."""
    narrow = {name: drawn for name, drawn in ROLLABLE.items() if name != "P475"} | {"P477": (0.19, 260)}
    rules = {"size__max_risk_frac": 1.0, "risk__margin": "ibkr", "contracts": narrow}
    rich = rolled(tmp_path / "rich", **rules, account__starting_cash=1_650.0)
    assert [why for _, why, _ in orders(rich)] == [
        "enter",
        "rolled",
    ]  # 1,800 bound, 1,850 there without the roll's credit
    poor = rolled(tmp_path, **rules, account__starting_cash=1_550.0)
    assert [why for _, why, _ in orders(poor)] == ["enter"]


def test_target_and_stop_after_a_roll_are_of_all_credits_received(tmp_path):
    """$2.50 in all: half is kept at $1.25, the stop is at $7.50. The puts cost 1.50, the calls C530 - 1.00."""
    for cents, then in ((76, []), (75, [("06-03 11:00", "profit_target", "-P475 +P485 +C530 -C540")])):
        prices = {"P485": 250 + cents, "C530": 150}
        result = rolled(tmp_path / str(cents), Then("06-03 11:00", prices))
        assert orders(result) == [ENTERED, ROLLED, *then]
    assert result.trades[0, [T["debit"], T["pnl"]]].tolist() == [75, 12_500]
    for cents, then in ((699, []), (700, [("06-03 11:05", "stop", "-P475 +P485 +C530 -C540")])):
        result = rolled(tmp_path / str(cents), Then("06-03 11:00", {"C530": cents}))
        assert orders(result)[2:3] == then
    assert pnl(result) == 25_000 - 75_000


@pytest.mark.parametrize(
    ("rules", "rolls"),
    [
        ({"manage__roll_min_credit": 0.50}, True),
        ({"manage__roll_min_credit": 0.51}, False),
        ({"manage__roll_min_dte": 45}, True),
        ({"manage__roll_min_dte": 46}, False),
        ({"manage__max_rolls": 0}, False),
        ({"manage__roll_delta": 0.16}, False),  # the strike that is held: no nearer to the spot
    ],
    ids=str,
)
def test_a_roll_keeps_its_limits(tmp_path, rules, rolls):
    assert orders(rolled(tmp_path, **rules)) == [ENTERED, *([ROLLED] if rolls else [])]


def test_a_roll_that_no_longer_pays_on_its_own_row_is_dropped(tmp_path):
    result = rolled(tmp_path, Then("06-02 11:05", {"P485": 359}))  # 9 cents where 10 are the least
    assert orders(result) == [ENTERED, ("06-03 09:40", "rolled", ROLLED[2])][:1]
    kept = rolled(tmp_path / "kept", Then("06-02 11:05", {"P485": 360}))
    assert orders(kept) == [ENTERED, ROLLED]


@pytest.mark.parametrize(("most", "rolls"), [(1, 1), (2, 2)])
def test_rolls_are_counted_by_structure(tmp_path, most, rolls):
    """On the second day the strike at 500 has 22 delta, and the calls are tested from the first bar on."""
    nearer = Then("06-03 09:35", deltas={"P485": 0.18, "P500": 0.22})
    contracts = {**ROLLABLE, "P490": (0.30, 450), "P500": (0.35, 620)}
    result = rolled(tmp_path, nearer, contracts=contracts, manage__max_rolls=most)
    again = ("06-03 09:40", "rolled", "+P485 -P475 -P500 +P490")
    assert orders(result) == [ENTERED, ROLLED, again][: 1 + rolls]


@pytest.mark.parametrize(
    ("contracts", "why"),
    [
        ({**CONDOR, "P480": (0.22, 350)}, "its wing would be the short that is bought back"),
        ({**CONDOR, "P474": (0.17, 245), "P485": (0.22, 400)}, "only a wider vertical is listed"),
        ({**CONDOR, "P524": (0.30, 900), "P534": (0.22, 1200)}, "the put would be above the call"),
    ],
    ids=["same_contract", "wider", "inverted"],
)
def test_a_roll_that_would_break_the_structure_is_not_made(tmp_path, contracts, why):
    assert orders(rolled(tmp_path, contracts=contracts)) == [ENTERED], why


def test_a_roll_away_from_the_spot_is_not_made_though_it_pays(tmp_path):
    """The strike of the wanted delta is now 465, and would pay 2.50 for what costs 1.00."""
    moved = Then("06-02 11:00", deltas={"P470": 0.24, "P465": 0.16})
    contracts = {**CONDOR, "P465": (0.12, 300), "P455": (0.05, 50)}
    assert orders(rolled(tmp_path, moved, contracts=contracts, manage__roll_delta=0.16)) == [ENTERED]
    nearer = Then("06-02 11:00", deltas={"P470": 0.12, "P475": 0.16})
    pays = {**CONDOR, "P465": (0.05, 50), "P475": (0.20, 300)}
    assert orders(rolled(tmp_path / "nearer", nearer, contracts=pays, manage__roll_delta=0.16))[1:] == [
        ("06-02 11:05", "rolled", "+P470 -P460 -P475 +P465")
    ]


def test_a_roll_may_meet_the_tested_strike_but_not_pass_it(tmp_path):
    contracts = {**CONDOR, "P520": (0.30, 800), "P530": (0.22, 950)}
    assert orders(rolled(tmp_path, contracts=contracts))[1:] == [("06-02 11:05", "rolled", "+P470 -P460 -P530 +P520")]


def test_a_narrower_vertical_will_do_for_a_roll(tmp_path):
    contracts = {**CONDOR, "P477": (0.18, 270), "P485": (0.22, 400)}
    assert orders(rolled(tmp_path, contracts=contracts))[1:] == [("06-02 11:05", "rolled", "+P470 -P460 -P485 +P477")]


TO_SETTLEMENT = {
    "exits__expiry_rule": "settle",
    "exits__exit_dte": 0,
    "exits__profit_frac": 1.0,
    "exits__stop_multiple": 0.0,
    "entry__dte_min": 2,
    "entry__dte_target": 2,
}


@pytest.mark.parametrize("settles_at", [400.0, 472.0, 480.0, 500.0, 533.0, 545.0])
def test_a_rolled_condor_loses_at_settlement_no_more_than_its_width_less_all_credits(tmp_path, settles_at):
    """$10 wide, $2.50 received: $7.50 a share at most, on either side."""
    contracts = {f"{name} 2025-06-04": drawn for name, drawn in ROLLABLE.items()}
    daily = Daily({int(markets.days_of(("2025-06-04",))[0]): settles_at}, {}, {})
    store = market(tmp_path, TESTED_CALL, contracts=contracts, root="SPXW", daily=daily)
    result = ran(store, **ROLLING, manage__roll_min_dte=1, **TO_SETTLEMENT)
    assert [order[1] for order in orders(result)][:2] == ["enter", "rolled"]
    put, call = max(485 - settles_at, 0) - max(475 - settles_at, 0), max(settles_at - 530, 0) - max(settles_at - 540, 0)
    assert pnl(result) == round(25_000 - 10_000 * (put + call))
    assert pnl(result) >= -75_000


@pytest.mark.parametrize("name", ["rolled", "carried_rolled", "surface_full", "full"])
def test_a_rolled_structure_loses_no_more_than_its_width_less_credits_plus_debits_and_costs(name):
    """As long as its legs stay: of every rolled trade of the laws' runs, at its close."""
    result = markets.run_named(name)
    m, rolls = result.market, result.adjustments[result.adjustments[:, A["reason"]] == Reason.ROLLED]
    assert len(rolls) >= 1
    for trade in np.unique(rolls[:, A["trade"]]):
        t = result.trades[trade]
        own = rolls[rolls[:, A["trade"]] == trade]
        assert (own[:, A["net"]] <= -result.rules.roll_min_credit).all()
        for a in own:
            short, long = m.con.strike[a[A["new_short"]]], m.con.strike[a[A["new_long"]]]
            assert abs(short - long) <= t[T["width"]]
            assert len(set(m.con.expiry[a[[A["new_short"], A["new_long"]]]].tolist()) | {t[T["expiry"]]}) == 1
            side = result.fills[(result.fills[:, F["row"]] == a[A["row"]]) & (result.fills[:, F["trade"]] == trade)]
            assert len(set(side[:, F["contract"]].tolist())) == 4
        assert len(own) <= result.rules.max_rolls
        parts = result.adjustments[(result.adjustments[:, A["trade"]] == trade)]
        received = t[T["credit"]] - parts[:, A["net"]].sum()
        if t[T["closed"]] >= 0:
            assert t[T["pnl"]] >= -(t[T["width"]] - received) * 100 * t[T["contracts"]] - t[T["fees"]]


# ---------------------------------------------------------------- rolling out to a later expiry

# On the second day 44 days are left; the other expiry has 58 and pays $2.50.
TWO_EXPIRIES = {**CONDOR, **{f"{name} {LATER}": drawn for name, drawn in CONDOR.items()}, f"C530 {LATER}": (0.16, 250)}
EVERY_DAY = {"entry__weekdays": "mon,tue,wed,thu,fri", "max_positions": 1}
OUT = {"manage__roll_out": "exit_dte", "exits__exit_dte": 44, "entry__dte_min": 45, **EVERY_DAY}
TESTED_OUT = {"manage__roll_out": "tested", "entry__dte_min": 45, **EVERY_DAY}
RETESTED = (
    Then("06-03 11:00", spot=470.0),
    Then("06-03 11:05", spot=500.0),
    Then("06-04 11:00", spot=470.0),
)
OUT_AGAIN = ("06-03 10:10", "enter", "+P460 -P470 -C530 +C540")


def test_rolling_out_closes_first_and_opens_a_later_expiry_in_the_same_campaign(tmp_path):
    result = ran(market(tmp_path, contracts=TWO_EXPIRIES), **OUT)
    assert orders(result) == [ENTERED, ("06-03 10:05", "roll_out", WHOLE), OUT_AGAIN]
    m = result.market
    days = m.exp.day[result.trades[:, T["expiry"]]].astype("datetime64[D]").astype(str)
    assert days.tolist() == [EXPIRY, LATER]
    assert result.trades[:, T["campaign"]].tolist() == [0, 0]
    assert time_of(m, result.trades[1, T["decided"]]) == "06-03 10:05"
    assert result.trades[1, T["credit"]] == 250


@pytest.mark.parametrize(("least", "opens"), [(0.50, True), (0.51, False)])
def test_the_new_credit_is_at_least_what_the_close_cost_and_the_minimum(tmp_path, least, opens):
    """Paid $2.00, received $2.50. A campaign that finds nothing on six rows has ended; then new ones may begin."""
    result = ran(market(tmp_path, contracts=TWO_EXPIRIES), manage__roll_out_min_credit=least, **OUT)
    if opens:
        assert orders(result)[2] == OUT_AGAIN
        return
    codes = result.ledger.codes[0]
    first = row_at(result.market, "06-03 10:05")
    codes = codes[first : first + MOST_DUE_TRIES].tolist()
    assert set(codes[1:]) == {Reason.ROLL_OUT_CREDIT}
    assert all(campaign == i for i, campaign in enumerate(result.trades[:, T["campaign"]].tolist()))


@pytest.mark.parametrize(("most", "reason"), [(1, "dte_exit"), (2, "roll_out")])
def test_a_campaign_that_has_been_rolled_out_as_often_as_it_may_just_ends(tmp_path, most, reason):
    """Half-hourly bars: out of the first expiry on 3 June, and 44 days before the other's on 17 June."""
    store = market(tmp_path, contracts=TWO_EXPIRIES, days=("2025-06-02", "2025-06-17"), minutes=30)
    result = ran(store, **OUT, manage__max_rolls_out=most)
    assert [order[:2] for order in orders(result)] == [
        ("06-02 10:30", "enter"),
        ("06-03 10:30", "roll_out"),
        ("06-03 11:00", "enter"),
        ("06-17 10:30", reason),
    ]


@pytest.mark.parametrize(("most", "last"), [(1, []), (2, [("06-04 11:05", "roll_out", WHOLE)])])
def test_rolls_out_are_counted_by_campaign(tmp_path, most, last):
    """Tested on the second day and again on the third; the expiry first held is then outside the window."""
    store = market(tmp_path, *RETESTED, contracts=TWO_EXPIRIES)
    result = ran(store, **TESTED_OUT, manage__max_rolls_out=most)
    out = ("06-03 11:05", "roll_out", WHOLE), ("06-03 11:10", *OUT_AGAIN[1:])
    expected = [ENTERED, *out, *last]
    assert orders(result)[: len(expected)] == expected
    assert (result.trades[:, T["campaign"]] == 0).sum() == 2


def test_what_was_paid_for_a_side_before_counts_in_what_rolling_out_must_earn(tmp_path):
    """50 cents for the puts and 1.00 for the calls: the later expiry's $2.50 earns 1.00 over it."""
    puts = Then("06-02 11:00", {"P470": 90, "P460": 40})
    for least, opens in ((1.00, True), (1.01, False)):
        store = market(tmp_path / str(least), puts, contracts=TWO_EXPIRIES)
        result = ran(store, exits__scope="side", manage__roll_out_min_credit=least, **OUT)
        assert orders(result)[2] == ("06-03 10:05", "roll_out", CALLS)
        assert (orders(result)[3] == OUT_AGAIN) == opens


def test_a_tested_condor_rolls_out(tmp_path):
    store = market(tmp_path, RETESTED[0], contracts=TWO_EXPIRIES)
    result = ran(store, **TESTED_OUT)
    assert orders(result) == [ENTERED, ("06-03 11:05", "roll_out", WHOLE), ("06-03 11:10", *OUT_AGAIN[1:])]
    assert result.trades[:, T["campaign"]].tolist() == [0, 0]
    assert orders(ran(store, **{**TESTED_OUT, "manage__roll_out": "never"})) == [ENTERED]


def test_a_tested_condor_rolls_out_past_the_expiry_it_held_though_that_is_nearest_the_target(tmp_path):
    store = market(tmp_path, Then("06-03 11:00", spot=470.0), contracts=TWO_EXPIRIES)
    result = ran(store, manage__roll_out="tested", **EVERY_DAY)
    assert orders(result)[1] == ("06-03 11:05", "roll_out", WHOLE)
    assert result.trades[:, T["campaign"]].tolist() == [0, 0]
    assert result.market.exp.day[result.trades[1, T["expiry"]]] == markets.days_of((LATER,))[0]


def test_a_campaign_whose_order_misses_its_price_is_offered_again_that_day(tmp_path):
    store = market(
        tmp_path,
        Then("06-03 10:10", {f"C530 {LATER}": 100}),
        Then("06-03 10:15", {f"C530 {LATER}": 250}),
        contracts=TWO_EXPIRIES,
    )
    result = ran(store, **OUT)
    assert result.missed == 1
    assert result.trades[:, T["campaign"]].tolist() == [0, 0]


def test_where_quotes_come_once_a_day_a_campaign_is_offered_at_the_next_deciding_row():
    """Opened again, or told that no later expiry pays enough."""
    result = markets.ran(
        markets.market("carried"),
        strategy__manage__roll_out="exit_dte",
        strategy__exits__exit_dte=5,
        strategy__entry__dte_min=6,
        strategy__entry__dte_target=12,
        strategy__exits__profit_frac=1.0,
        strategy__exits__stop_multiple=0.0,
    )
    assert (result.trades[:, T["reason"]] == Reason.ROLL_OUT).sum() >= 3
    opened_again = (result.trades[:, T["campaign"]] < np.arange(len(result.trades))).any()
    assert opened_again or Reason.ROLL_OUT_CREDIT in result.ledger.codes[0]
