"""The backtest: one compiled pass over the clock.

For every row, in this order: settle, fill, mark, exits, entries. Decisions at row r read rows
<= r; orders fill on the next row with real quotes at the earliest.

Nothing happens on most rows. A session is therefore cut at its events: the marks of each held
structure are laid out for the session in one pass, the first row on which anything can happen
is found in them, and the quiet rows before it are booked together. Calling `run_rows` for all
rows at once or one row at a time gives the same ledger.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from core.assignment import morning
from core.attribution import PARTS, attribute
from core.config import ROOT, Config, read_fees
from core.config import load as load_config
from core.costs import costs_from, limit_cents, net_cents, package
from core.errors import ConfigError
from core.exposure import GREEKS, book_greeks
from core.hedge import attend_hedge, hedge_row
from core.jit import HOT, INNER, TOP, by_reference, njit
from core.margin import requirement
from core.market.store import Store, depth_of, empty_market, market_of, rows_between
from core.portfolio import (
    IDLE,
    T_PNL,
    USABLE,
    credit_interest,
    deal_of,
    fill_deal,
    mark_shares,
    new_book,
    new_ledger,
    note_open,
    open_count,
    open_slot,
)
from core.positions import attend, lay_out, next_event, set_levels, shift_marks
from core.risk_manager import (
    affordable,
    begin_day,
    halt,
    halt_gate,
    halted_row,
    limits_from,
    limits_of_orders,
    note_result,
    review,
)
from core.scripted import ScriptedOrder, replay, script_of, script_row
from core.shocks import Shock, shocked_book
from core.smile_hedge import attend_smile, mark_smile, smile_row
from core.types import (
    ALL_LEGS,
    CASH,
    DRAWDOWN,
    FRACTION,
    GATE,
    LEGS,
    LIQUIDATION,
    LONG_CALL,
    LONG_PUT,
    MARGIN,
    MARKS,
    MID2,
    MULTIPLIER,
    NATURAL_CENTS,
    PORTFOLIO,
    SHORT_CALL,
    SHORT_PUT,
    SOFT,
    TABLE,
    USABLE_ROW,
    VERDICT,
    Costs,
    Ledger,
    Limits,
    Market,
    Reason,
    Rules,
    record_of,
)
from options_strategy import (
    decide_entry,
    pop_due,
    stop_shift,
    tried,
)
from strategies.legs import leg_quotes
from strategies.rules import rules_from
from strategies.sizing import size
from strategies.structures import STRUCTURES
from strategies.timing import window_rows
from strategies.view import view_of

# ---------------------------------------------------------------- what comes next


@njit(**INNER)
def entry_gate(m, rules, book, s, r):
    """(reason, row): ENTER and the first row in the session at which an entry may be proposed, or why not."""
    if not rules.enter:
        return Reason.SCRIPTED, IDLE
    halted = halt_gate(m, book, s)
    if halted != Reason.NONE:
        return halted, IDLE
    if book.head.order_working:
        return Reason.ORDER_WORKING, IDLE
    if open_count(book) >= rules.max_positions:
        return Reason.MAX_POSITIONS, IDLE
    if book.head.due > 0:  # a campaign to be rolled out waits for nothing
        return Reason.ENTER, r
    if m.ses[s].day < book.head.cool_until:
        return Reason.COOLDOWN, IDLE
    last = book.head.last_entry
    if last >= 0:
        days = m.ses[s].day - m.ses[m.row[last].session].day
        if days < rules.min_days_between or (days == 0 and book.head.new_today >= rules.max_new_per_day):
            return Reason.SCHEDULE, IDLE
        if days == 0:
            ready = m.row[last].ts + rules.min_minutes_between * 60_000_000_000
            while r < m.ses[s].end and m.row[r].ts < ready:
                r += 1
            if r == m.ses[s].end:
                return Reason.SCHEDULE, IDLE
            return Reason.ENTER, r
    return Reason.ENTER, r


@njit(**HOT)
def signal_gate(m, book, r):
    """Why the signals forbid an entry at row r, or 0; a campaign to be rolled out does not ask them."""
    return 0 if book.head.due > 0 else m.gate[GATE, r]


@njit(**HOT)
def order_row(m, book, r, r1):
    """Next row in [r, r1) on which the working entry order can fill, or IDLE."""
    if not book.head.order_working:
        return IDLE
    for row in range(max(r, book.head.order_decided + 1), r1):
        if m.row[row].tradable:
            return row
    return IDLE


# ---------------------------------------------------------------- what happens on a row


@njit(**INNER)
def fill_entry(m, rules, limits, costs, book, out, r):
    """Try the working entry order on row r; returns the slot opened, or -1."""
    head = book.head
    legs = head.order_legs
    good = leg_quotes(m, legs, r, head.quote_bid, head.quote_ask, book.leg)
    head.order_tries += 1
    if good:
        deal_of(head, legs, ALL_LEGS, False)
        natural2, mid2 = package(costs, head.side, head.quote_bid, head.quote_ask)
        if costs.order_type == FRACTION:
            net = net_cents(natural2, mid2, costs.open_frac, costs.extra_cents)
            filled = -net >= head.order_floor
        else:  # a limit set on the quotes last seen; it fills at its own price once natural reaches it
            net = limit_cents(costs, head.order_natural2, head.order_mid2, head.order_tries)
            filled = natural2 <= 2 * net and -net >= head.order_floor
            head.order_natural2, head.order_mid2 = natural2, mid2
            if filled:  # at natural where that is better than the limit, never better than mid
                net = max(min(net, net_cents(natural2, mid2, 0.0, costs.extra_cents)), int(np.ceil(mid2 / 2.0)))
        # The credit that was hoped for sized the order; the risk budget holds for the one that is paid.
        contracts = size(head.order_contracts, head.order_width, -net, head.order_budget)
        if filled and contracts > 0:
            contracts = affordable(m, limits, book, legs, r, contracts, -net)
        if filled and contracts > 0:
            return enter(m, rules, costs, book, out, r, contracts, net)
    give_up(costs, head)
    return -1


@njit(**INNER)
def enter(m, rules, costs, book, out, r, contracts, net):
    """Book the working entry order as filled on row r at `net` cents by the fill model; returns the slot."""
    head = book.head
    p = open_slot(
        m, book, out, r, head.order_decided, head.order_legs, contracts, -net, head.order_width, -1, head.order_campaign
    )
    fill_deal(m, costs, book, out, r, book.slot[p].trade, contracts, net, Reason.ENTER)
    begin_structure(m, rules, book, p, r)
    return p


@njit(**INNER)
def begin_structure(m, rules, book, p, r):
    """What a filled entry leaves in slot p and in the head: credits by side, levels, the day's count."""
    head = book.head
    head.order_working = 0
    book.slot[p].side_credit2[0] = head.price2[SHORT_PUT] - head.price2[LONG_PUT]
    book.slot[p].side_credit2[1] = head.price2[SHORT_CALL] - head.price2[LONG_CALL]
    book.slot[p].rolls_out = head.order_out
    book.slot[p].stop_shift = stop_shift(m, rules, head.order_decided)
    set_levels(rules, book, p)
    if head.order_campaign >= 0:
        pop_due(head)  # it is open again, and is not rolled out twice on one day
        book.slot[p].tested_on = m.row[r].session
    if head.last_entry < 0 or m.row[r].session != m.row[head.last_entry].session:
        head.new_today = 0
    head.new_today += 1
    head.last_entry = r


@njit(**INNER)
def give_up(costs, head):
    """After a row on which the entry order did not fill: it is cancelled unless its fill model lets it work on."""
    if costs.order_type == FRACTION or head.order_tries >= costs.order_life:
        head.order_working = 0
        head.missed += 1
        if head.order_campaign >= 0:
            tried(head)


# ---------------------------------------------------------------- the pass


@njit(**INNER)
def book_rows(m, limits, book, out, r0, r, r_end):
    """Book rows [r, r_end) of a session on which the set of open structures does not change.

    Returns (row after the last one booked, reason): a halt ends the stretch with the row that it begins on, and a
    smile hedge that is watched for one, whose marks carry a state, is booked row by row.
    """
    if r >= r_end:
        return r_end, Reason.NONE
    watched, halted = limits.daily_loss_share > 0.0 or limits.drawdown_share > 0.0, Reason.NONE
    if watched and book.head.smile_held:
        r_end = r + 1
    mark_rows(m, book, out, r0, r, r_end)
    if watched:
        j, halted = halted_row(limits, book, out.rows[MARKS, r:r_end], out.codes[SOFT, r:r_end])
        r_end = min(r_end, r + j + 1)
    for p in range(book.slot.shape[0]):
        if book.slot[p].trade >= 0:
            keep_extremes(book, out, p, r - r0, r_end - r)
    cash, marks, drawdown = book.head.cash, out.rows[MARKS, r:r_end], out.rows[DRAWDOWN, r:r_end]
    out.rows[MARGIN, r:r_end] = book.head.margin
    peak = book.head.peak
    for j in range(r_end - r):
        equity = cash + marks[j]
        peak = max(peak, equity)
        drawdown[j] = peak - equity
    book.head.peak = peak
    book.head.equity = cash + marks[r_end - r - 1]
    return r_end, halted


@njit(**INNER)
def mark_rows(m, book, out, r0, r, r_end):
    """Cash, marks, liquidation value and softness of rows [r, r_end)."""
    n = r_end - r
    cash = book.head.cash
    marks, liquidation = out.rows[MARKS, r:r_end], out.rows[LIQUIDATION, r:r_end]
    soft = out.codes[SOFT, r:r_end]
    out.rows[CASH, r:r_end] = cash
    marks[:] = 0
    liquidation[:] = cash
    soft[:] = 0
    for p in range(book.slot.shape[0]):
        if book.slot[p].trade >= 0:
            book_slot(book, p, r - r0, n, marks, liquidation, soft)
    if book.head.shares != 0:
        mark_shares(m, book, r, n, marks, liquidation)
    if book.head.smile_held:
        mark_smile(m, book, r, n, marks, liquidation, soft)


@njit(**HOT)
def book_slot(book, p, j0, n, marks, liquidation, soft):
    """Add slot p's marks on n rows of the scratch from j0 on."""
    slot = book.slot[p]
    mid_cents = (MULTIPLIER // 2) * slot.contracts
    natural_cents = MULTIPLIER * slot.contracts
    mid2 = book.path[MID2, p, j0 : j0 + n]
    natural = book.path[NATURAL_CENTS, p, j0 : j0 + n]
    for j in range(n):  # one result per loop, so that each vectorises
        marks[j] -= mid_cents * mid2[j]
    for j in range(n):
        liquidation[j] -= natural_cents * natural[j]
    if not slot.clean:
        usable = book.path[USABLE_ROW, p, j0 : j0 + n]
        for j in range(n):
            soft[j] |= usable[j] != USABLE


@njit(**HOT)
def keep_extremes(book, out, p, j0, n):
    """Follow slot p's worst and best open P&L and its last mark over n rows of the scratch from j0 on."""
    slot = book.slot[p]
    mid2 = book.path[MID2, p, j0 : j0 + n]
    least, most = mid2[0], mid2[0]
    for j in range(n):
        least = min(least, mid2[j])
    for j in range(n):
        most = max(most, mid2[j])
    mid_cents = (MULTIPLIER // 2) * slot.contracts
    paid = out.t_int[slot.trade, T_PNL]
    slot.mae = min(slot.mae, paid - mid_cents * most)
    slot.mfe = max(slot.mfe, paid - mid_cents * least)
    slot.last_mid2 = mid2[n - 1]


@njit(**INNER)
def quiet_verdicts(m, out, r, r_end, first, last, ready, inside, outside):
    """Reasons of rows on which no entry was proposed; from `ready` on it is the signals that said no."""
    low, high = min(max(first, r), r_end), max(min(last, r_end), r)
    out.codes[VERDICT, r:low] = outside
    out.codes[VERDICT, low:high] = inside
    out.codes[VERDICT, max(low, high) : r_end] = outside
    for row in range(max(low, ready), high):
        out.codes[VERDICT, row] = m.gate[GATE, row]


@njit(**INNER)
def busy_row(m, rules, limits, costs, book, out, script, s, r0, r, r1, first, last, outside):
    """Everything on one eventful row, in the order settle, fill, mark, exits, entries."""
    shown = Reason.NONE
    fills = book.head.fills
    adjusted = book.head.adjustments
    for p in range(book.slot.shape[0]):
        if book.slot[p].trade >= 0 and book.slot[p].event == r:
            reason = attend(m, rules, limits, costs, book, out, p, s, r0, r)
            shown = reason if shown == Reason.NONE else shown
            if book.slot[p].trade < 0 and reason != Reason.ROLL_OUT:
                note_result(limits, book.head, out.t_int[book.head.closed_trade, T_PNL], m.ses[s].day)
            if book.slot[p].trade >= 0:
                if out.a_int.shape[0] > 0 and book.head.adjustments > adjusted:
                    adjusted = book.head.adjustments
                    lay_out(m, rules, book, p, r, r1)
                    shift_marks(rules, book, p, r - r0, r1 - r)
                book.slot[p].event = next_event(m, rules, limits, book, p, s, r0, r + 1, r1)
    missed = book.head.missed
    if order_row(m, book, r, r + 1) == r:
        p = fill_entry(m, rules, limits, costs, book, out, r)
        if p >= 0:
            lay_out(m, rules, book, p, r, r1)
            shift_marks(rules, book, p, r - r0, r1 - r)
            book.slot[p].event = next_event(m, rules, limits, book, p, s, r0, r + 1, r1)
    if smile_row(m, rules, book, s, r, r + 1) == r:
        attend_smile(m, rules, costs, book, out, s, r)
    if hedge_row(m, rules, book, s, r, r + 1) == r:
        attend_hedge(m, rules, book, out, s, r)
    replay(m, limits, costs, book, out, script, r, r0, r1, s, rules)
    if book.head.fills > fills:
        book.head.margin = requirement(m, limits, book, book.head.order_legs, 0, -1, r)
    _, halted = book_rows(m, limits, book, out, r0, r, r + 1)
    if halted != Reason.NONE:
        begin_halt(m, rules, limits, book, s, r0, r, r1, halted)
    show_verdict(m, rules, limits, costs, book, out, s, r, first, last, outside, missed, shown)


@njit(**INNER)
def show_verdict(m, rules, limits, costs, book, out, s, r, first, last, outside, missed, shown):
    """The entry decision at row r, and the row's verdict: it, or what the structures did (`shown`) before it."""
    verdict = outside
    if first <= r < last:
        verdict, row = entry_gate(m, rules, book, s, r)
        if verdict == Reason.ENTER and row != r:
            verdict = Reason.SCHEDULE
        elif verdict == Reason.ENTER and signal_gate(m, book, r) != 0:
            verdict = m.gate[GATE, r]
        elif verdict == Reason.ENTER and book.head.halt != Reason.NONE:
            verdict = book.head.halt
        elif verdict == Reason.ENTER:
            verdict = decide_and_review(m, rules, limits, costs, book, r)
    if book.head.missed > missed and verdict != Reason.ENTER:
        verdict = Reason.MISSED
    out.codes[VERDICT, r] = shown if shown != Reason.NONE and verdict != Reason.ENTER else verdict


@njit(**INNER)
def decide_and_review(m, rules, limits, costs, book, r):
    """The entry decision at row r after the risk manager has seen it: ENTER and a working order, or why not."""
    waiting = book.head.due > 0
    verdict = decide_entry(m, rules, costs, book, r, book.head.equity)
    if verdict != Reason.ENTER:
        return verdict
    verdict = review(m, limits, costs, book, r, book.head.equity)
    if verdict != Reason.ENTER:
        book.head.order_working = 0
        if waiting:
            tried(book.head)
    return verdict


@njit(**INNER)
def begin_halt(m, rules, limits, book, s, r0, r, r1, reason):
    """A halt begins at row r; where it closes everything, the slots' next events are the fills of their closes."""
    halt(m, limits, book, s, r, reason)
    if limits.halt_closes:
        for p in range(book.slot.shape[0]):
            if book.slot[p].trade >= 0:
                book.slot[p].event = next_event(m, rules, limits, book, p, s, r0, r + 1, r1)


@njit(**HOT)
def turn_day(m, limits, costs, book, out, s, r0):
    """What ends with the last session and begins with session s: orders, interest, exercises, halts, margin."""
    book.head.session = s
    if book.head.order_working:  # entry orders are day orders
        book.head.order_working = 0
        book.head.missed += 1
    while book.head.due > 0 and book.head.due_until[0] < s:
        pop_due(book.head)  # a campaign that found no later expiry in time has ended
    book.head.hedge_shares = book.head.smile_working = 0
    if costs.interest:
        credit_interest(m, book, out, s, r0)
    if s > 0:
        morning(m, limits, book, out, s, r0)
    begin_day(m, limits, book, s, r0)
    if limits.margin == PORTFOLIO:
        book.head.margin = requirement(m, limits, book, book.head.order_legs, 0, -1, r0)


@njit(**HOT)
def begin_session(m, rules, limits, costs, book, out, s, r0, r1):
    """What a new session ends and begins, and the marks of what is held for its rows [r0, r1)."""
    if book.head.session != s:
        turn_day(m, limits, costs, book, out, s, r0)
    for p in range(book.slot.shape[0]):
        if book.slot[p].trade >= 0:
            lay_out(m, rules, book, p, r0, r1)
            book.slot[p].event = next_event(m, rules, limits, book, p, s, r0, r0, r1)


@njit(**HOT)
def next_stop(m, rules, book, script, s, r, r1, first, last):
    """(row, ready, reason): the next row in [r, r1] on which anything happens, r1 if nothing does.

    Until `ready` entries are kept back by the reason, from there on by the signals.
    """
    inside, ready = entry_gate(m, rules, book, s, max(r, first))
    if inside == Reason.ENTER:
        inside = Reason.SCHEDULE  # rows before the next allowed entry
    entry = ready
    while first <= entry < last and signal_gate(m, book, entry) != 0:
        entry += 1
    stop = min(order_row(m, book, r, r1), script_row(book, script, r1), r1)
    if first <= entry < last:
        stop = min(stop, entry)
    for p in range(book.slot.shape[0]):
        if book.slot[p].trade >= 0:
            stop = min(stop, book.slot[p].event)
    stop = min(stop, hedge_row(m, rules, book, s, r, stop))
    return min(stop, smile_row(m, rules, book, s, r, stop)), ready, inside


@njit(**TOP)
def run_rows(m, rules, limits, costs, book, out, script, t0, t1):
    """Advance the book over rows [t0, t1): the whole market at once, or one bar at a time."""
    m = by_reference(m)
    book = by_reference(book)
    out = by_reference(out)
    r = t0
    while r < t1:
        s = int(m.row[r].session)
        r0, r1 = r, min(m.ses[s].end, t1)
        begin_session(m, rules, limits, costs, book, out, s, r0, r1)
        first, last, outside = window_rows(m, rules, s)
        if not rules.enter:
            outside = Reason.SCRIPTED
        while r < r1:
            stop, ready, inside = next_stop(m, rules, book, script, s, r, r1, first, last)
            end, halted = book_rows(m, limits, book, out, r0, r, stop)
            quiet_verdicts(m, out, r, end, first, last, ready, inside, outside)
            if halted != Reason.NONE:
                begin_halt(m, rules, limits, book, s, r0, end - 1, r1, halted)
            if halted != Reason.NONE or end < stop:
                r = end
                continue
            if stop < r1:
                busy_row(m, rules, limits, costs, book, out, script, s, r0, stop, r1, first, last, outside)
            r = min(stop + 1, r1)


# ---------------------------------------------------------------- the driver


class BacktestResult(NamedTuple):
    """Everything a run produced: the ledger's arrays cut to what was used, and what it ran on."""

    store: Store
    config: Config
    market: Market
    rules: Rules
    limits: Limits
    costs: Costs
    first_row: int
    last_row: int  # one past
    ledger: Ledger
    trades: Any  # int64 (trades, TRADE_FIELDS)
    fills: Any  # int64 (events, FILL_FIELDS)
    adjustments: Any  # int64 (adjustments, ADJUSTMENT_FIELDS)
    missed: int
    scripted: bool

    @property
    def equity(self) -> Any:
        """Marked equity in cents, one per row."""
        return self.ledger.rows[CASH] + self.ledger.rows[MARKS]


def capacity(config: Config, sessions: int, orders: int) -> int:
    """Most structures a run can open."""
    per_day = config["strategy.entry.max_new_per_day"] if config["strategy.entry.schedule"] == "ladder" else 1
    if config["assignment.share"] < 1.0:
        per_day += config["strategy.max_positions"]
    if config["strategy.manage.roll_out"] != "never":
        per_day += config["strategy.max_positions"]
    return sessions * per_day + orders + 1


def slots_of(rules: Rules, limits: Limits) -> int:
    """Places for structures: where only a share of one may be assigned, one more for each part."""
    return rules.max_positions * (2 if limits.assigned_share < 1.0 else 1)


def most_adjustments(config: Config, trades: int) -> int:
    """Most orders for a part of a structure: each leg once, and the rolls."""
    parts = config["strategy.exits.scope"] == "side" or config["strategy.exits.cheap_short"] > 0
    action = config["strategy.manage.tested_action"]
    rolls = config["strategy.manage.max_rolls"] if action == "roll_untested" else 0
    exercised = 4  # a side assigned, the other too, their shares, and the broker's liquidation
    return trades * (LEGS * (parts or action in ("close_side", "close_short")) + rolls + exercised)


def room_for(config: Config, market: Market, orders: int = 0) -> tuple[int, int, int]:
    """(structures, adjustments, smile hedges) that a run of these settings, or of so many stated orders, can write."""
    trades = capacity(config, len(market.ses), orders)
    hedges = len(market.ses) if config["strategy.hedge.smile"] == "trade" else 0
    return trades, most_adjustments(config, trades), hedges


def ledger_for(config: Config, market: Market, orders: int = 0) -> Ledger:
    """Room for all of that."""
    return new_ledger(len(market.row.ts), *room_for(config, market, orders))


def market_seen(store: Store, config: Config, always: bool = False) -> Market:
    """The market as these settings see it: signals and gates (always: even if no rule reads them), depth of quotes."""
    market = view_of(market_of(store, config["data.intraday_quotes"]), store.columns, config.values, always)
    if any(config[f"strategy.filters.min_{name}"] > 0 for name in ("size", "interest", "volume")):
        market = market._replace(q_depth=depth_of(store))
    return market


def check_market(store: Store, market: Market, config: Config, rules: Rules, costs: Costs) -> None:
    """Refuse settings that this market cannot follow: a ConfigError that says which and why."""
    if costs.interest and bool(np.isnan(market.ses.rate).all()):
        raise ConfigError(
            f"account.cash_yield is tbill, but market '{store.name}' holds no rates; import with --rates, or set zero"
        )
    if rules.delta_band > 0.0 and "SPY" not in store.manifest["roots"]:
        raise ConfigError(
            f"strategy.hedge.delta_band is {rules.delta_band:g}, but market '{store.name}' holds options on an index, "
            "which has no shares; set it to 0"
        )
    breach = rules.max_breach < 1.0 or rules.exit_breach < 1.0
    if breach and rules.local_vol and market.kind == TABLE:
        raise ConfigError(
            f"strategy.filters.breach_model is local_vol, but market '{store.name}' is quoted on every bar and holds "
            "no surfaces; set approximation"
        )


def run(
    store: Store,
    config: Config,
    scripted_orders: Sequence[ScriptedOrder] | None = None,
    driver: Callable[..., None] = run_rows,
) -> BacktestResult:
    """Replay the strategy of `config` on `store`; or stated orders alone, through the same book.

    driver : takes what `run_rows` takes, and has advanced the book over those rows when it returns
    """
    rules = rules_from(config.values, enter=scripted_orders is None)
    market = market_seen(store, config) if rules.enter else market_of(store, config["data.intraday_quotes"])
    costs = costs_from(config.values, read_fees(config["costs.fees"]), STRUCTURES[config["strategy.structure"]].legs)
    limits = limits_from(config.values) if rules.enter else limits_of_orders(config.values)
    check_market(store, market, config, rules, costs)
    first, last = rows_between(store, config["market.start"], config["market.end"])
    orders = scripted_orders or ()
    script = script_of(market, orders)
    slots = slots_of(rules, limits) if rules.enter else max(1, len(orders))
    book = new_book(round(config["account.starting_cash"] * 100), slots, int((market.ses.end - market.ses.start).max()))
    out = ledger_for(config, market, len(orders))
    driver(market, record_of(rules), record_of(limits), record_of(costs), book, out, script, first, last)
    note_open(book, out.t_int)
    cut = slice(first, last)
    ledger = out._replace(rows=out.rows[:, cut], codes=out.codes[:, cut])
    return BacktestResult(
        store=store,
        config=config,
        market=market,
        rules=rules,
        limits=limits,
        costs=costs,
        first_row=first,
        last_row=last,
        ledger=ledger,
        trades=out.t_int[: book.head.trades],
        fills=out.f_int[: book.head.fills],
        adjustments=out.a_int[: book.head.adjustments],
        missed=int(book.head.missed),
        scripted=scripted_orders is not None,
    )


def warm() -> None:
    """Compile the engine for the types of every store, without running anything."""
    market = empty_market()
    config = load_config(user_file=ROOT / "no user settings")
    rules = record_of(rules_from(config.values))
    costs = record_of(costs_from(config.values, read_fees("none"), LEGS))
    out = new_ledger(2, 1)
    limits = record_of(limits_from(config.values))
    run_rows(market, rules, limits, costs, new_book(0, 1, 2), out, script_of(market, ()), 0, 0)
    attribute(market, out.t_int[:0], out.f_int[:0], 0, np.zeros((0, len(PARTS))))
    none = np.zeros(0, np.int64)
    book_greeks(market, none, none, none, none, none, none, np.zeros((0, len(GREEKS))))
    shocked_book(market, 0, none, none, np.zeros((0, len(Shock._fields))), np.zeros((0, 0)), np.zeros((0, 0)))
