"""The gate that every entry passes, and the halts; pure kernels. Closes and hedges are never refused.

Entries are cut to what every cap leaves, and refused with the cap's reason where that is nothing. Caps on greeks and
shocks hold on the quotes of the row that decides, caps on losses and margin also at the price that is paid. A halt is
latched: the daily loss until the next session, the drawdown for risk.drawdown_rest days (then measured from a new
high) or for good, the pause after losses for its days, the kill switch for good.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from core.costs import net_cents
from core.jit import INNER, by_reference, njit
from core.margin import UNBOUNDED, requirement
from core.market.calendar import day_number
from core.portfolio import all_shares
from core.quotes import greeks_of_leg
from core.scenario import DAYS, shocked_value
from core.settings import SETTINGS
from core.types import (
    ALL_LEGS,
    CALL,
    LEG_SIGN,
    LEGS,
    LONG_CALL,
    LONG_PUT,
    MULTIPLIER,
    NO_MARGIN,
    PORTFOLIO,
    SHORT_CALL,
    SHORT_PUT,
    SMILE_LEGS,
    Limits,
    Reason,
)
from strategies.rules import whole_cents

MARGINS = ("none", "alpaca", "reg_t", "ibkr", "portfolio")
GREEK_CAPS = ("delta", "gamma", "vega", "theta")
SHOCK_MOVES = (-0.05, -0.10, 0.05)  # of the spot
POINT = 0.01  # of volatility
NO_BUDGET = 1 << 52  # cents
# Shares, shares per $, $ per vol point, $ per calendar day; then $.
RISK_FIGURES = ("delta", "gamma", "vega", "theta", "largest_loss_usd", "worst_shock_usd", "margin_usd", "funds_usd")


def limits_from(values: Mapping[str, Any]) -> Limits:
    """The settings risk.* as numbers."""
    risk = {k.rsplit(".", 1)[1]: v for k, v in values.items() if k.startswith("risk.")}
    caps: dict[str, Any] = {f"{of}_{name}": risk[f"{of}_{name}"] for of in ("trade", "book") for name in GREEK_CAPS}
    return Limits(
        margin=MARGINS.index(risk["margin"]),
        power_share=risk["buying_power"],
        greeks=int(any(caps.values())),
        **caps,
        trade_loss=whole_cents(risk["trade_loss"]),
        book_loss=whole_cents(risk["book_loss"]),
        book_contracts=risk["book_contracts"],
        expiry_loss_share=risk["expiry_loss"],
        shock_loss_share=risk["shock_loss"],
        shock_vol=risk["shock_vol"],
        daily_loss_share=risk["daily_loss"],
        drawdown_share=risk["drawdown"],
        drawdown_rest=risk["drawdown_rest"],
        halt_closes=int(risk["halt"] == "close_all"),
        losses_in_row=risk["losses_in_row"],
        losses_rest=risk["losses_rest"],
        kill_from=-1 if risk["kill_from"] is None else day_number(risk["kill_from"]),
        early_exercise=int(values["assignment.early"] == "rational"),
        assigned_share=values["assignment.share"],
        pin_band=round(values["assignment.pin_band"] * 100),
        liquidates=int(values["assignment.broker_liquidation"] == "short_leg"),
    )


def limits_of_orders(values: Mapping[str, Any]) -> Limits:
    """Of a run that only replays stated orders: no cap, no halt, no margin, but assignment as set."""
    assignment = {name: value for name, value in values.items() if name.startswith("assignment.")}
    return limits_from({**{s.path: s.default for s in SETTINGS}, **assignment, "risk.margin": "none"})


NO_LIMITS = limits_of_orders({})

# ---------------------------------------------------------------- what the book has at stake


@njit(**INNER)
def add_greeks(m, c, r, contracts, out):
    """Add `contracts` of c to out[4]: delta (shares), gamma (shares per $), vega ($ per point), theta ($ per day)."""
    delta, gamma, vega, theta, _ = greeks_of_leg(m, c, r)
    shares = contracts * MULTIPLIER
    out[0] += shares * delta
    out[1] += shares * gamma
    out[2] += shares * vega * POINT
    out[3] += shares * theta / DAYS


@njit(**INNER)
def add_open_greeks(m, book, r, out):
    """Greeks of everything held at row r added to out[4]; NaN where a leg's are unknown."""
    out[0] += all_shares(book)
    if book.head.smile_held:
        for i in range(SMILE_LEGS):
            if book.head.smile_quantity[i] != 0:
                add_greeks(m, book.head.smile_contract[i], r, book.head.smile_quantity[i], out)
    for p in range(book.slot.shape[0]):
        if book.slot[p].trade >= 0:
            for leg in range(LEGS):
                c = book.slot[p].legs[leg]
                if c >= 0:
                    add_greeks(m, c, r, LEG_SIGN[leg] * book.slot[p].contracts, out)


@njit(**INNER)
def loss_cents(slot):
    """Most that an open structure can still lose at expiry: the wider of its sides less what it has kept."""
    return max(0, slot.width - slot.credit + slot.paid) * MULTIPLIER * slot.contracts


@njit(**INNER)
def open_loss(m, book, x):
    """Sum of the largest losses of the open structures, of one expiry or (x < 0) of all, cents."""
    total = 0
    for p in range(book.slot.shape[0]):
        if book.slot[p].trade >= 0 and (x < 0 or book.slot[p].expiry == x):
            total += loss_cents(book.slot[p])
    return total


@njit(**INNER)
def add_shocks(m, limits, c, r, contracts, out):
    """Add to out (one per SHOCK_MOVES) the $ that `contracts` of c gain if the spot moves and volatilities respond."""
    before = shocked_value(m, c, r, 0.0, 1.0, 0.0)
    for k in range(len(SHOCK_MOVES)):
        after = shocked_value(m, c, r, SHOCK_MOVES[k], response(limits, SHOCK_MOVES[k]), 0.0)
        out[k] += MULTIPLIER * contracts * (after - before)


@njit(**INNER)
def add_open_shocks(m, limits, book, r, out):
    """add_shocks of everything held."""
    for k in range(len(SHOCK_MOVES)):
        out[k] += all_shares(book) * SHOCK_MOVES[k] * m.row[r].spot
    if book.head.smile_held:
        for i in range(SMILE_LEGS):
            if book.head.smile_quantity[i] != 0:
                add_shocks(m, limits, book.head.smile_contract[i], r, book.head.smile_quantity[i], out)
    for p in range(book.slot.shape[0]):
        for leg in range(LEGS if book.slot[p].trade >= 0 else 0):
            c = book.slot[p].legs[leg]
            if c >= 0:
                add_shocks(m, limits, c, r, LEG_SIGN[leg] * book.slot[p].contracts, out)


@njit(**INNER)
def response(limits, move):
    """The factor by which volatilities rise when the spot falls; a rising spot leaves them.

    A breached spread loses less at once where volatility has risen: risk.shock_vol 0 is the harsher test of it.
    """
    return 1.0 + limits.shock_vol * 100.0 * max(-move, 0.0)


@njit
def risk_figures(m, limits, book, r, out):
    """What the book has at stake on row r, into out, float64[len(RISK_FIGURES)]; NaN where a leg is unknown."""
    m, book = by_reference(m), by_reference(book)
    out[:] = 0.0
    add_open_greeks(m, book, r, out)
    out[4] = open_loss(m, book, -1) / 100.0
    gains = book.head.risk_book
    gains[:] = 0.0
    add_open_shocks(m, limits, book, r, gains)
    out[5] = gains[0]
    for k in range(1, len(SHOCK_MOVES)):
        out[5] = gains[k] if not gains[k] >= out[5] else out[5]
    out[6] = requirement(m, limits, book, book.head.order_legs, 0, -1, r) / 100.0
    out[7] = funds(limits, book.head, book.head.equity) / 100.0


# ---------------------------------------------------------------- how much fits


@njit
def most_within(held, each, cap, most):
    """Largest n in 0..most with |held + n each| <= cap; 0 where there is none."""
    if abs(held + most * each) <= cap:
        return most
    if each == 0.0:
        return 0
    signed = held if each > 0.0 else -held
    n = int(math.floor((cap - signed) / abs(each) + 1e-9))
    return n if 1 <= n <= most and signed + n * abs(each) >= -cap else 0


@njit
def most_of_loss(budget_cents, each_cents, most):
    """Largest n in 0..most whose losses stay in a budget."""
    if each_cents <= 0:
        return most
    return max(0, min(most, budget_cents // each_cents))


@njit(**INNER)
def within_greeks(m, limits, book, legs, r, most):
    """(contracts, reason): as many of the structure as the caps on greeks leave, and the cap that left least."""
    each, held = book.head.risk_each, book.head.risk_book
    each[:] = 0.0
    held[:] = 0.0
    for leg in range(LEGS):
        if legs[leg] >= 0:
            add_greeks(m, legs[leg], r, LEG_SIGN[leg], each)
    add_open_greeks(m, book, r, held)
    total = 0.0
    for i in range(4):
        total += each[i] + held[i]
    if math.isnan(total):
        return 0, Reason.RISK_UNKNOWN
    trade = (limits.trade_delta, limits.trade_gamma, limits.trade_vega, limits.trade_theta)
    whole = (limits.book_delta, limits.book_gamma, limits.book_vega, limits.book_theta)
    reason = Reason.ENTER
    for i in range(8):
        cap = trade[i] if i < 4 else whole[i - 4]
        if cap > 0.0:
            n = most_within(0.0 if i < 4 else held[i - 4], each[i % 4], cap, most)
            if n < most:
                most, reason = n, (Reason.TRADE_DELTA + i if i < 4 else Reason.BOOK_DELTA + i - 4)
    return most, reason


@njit(**INNER)
def within_shocks(m, limits, book, legs, r, most, equity_cents):
    """(contracts, reason): as many as keep the book's loss under every shock of the spot inside its share of equity."""
    budget = limits.shock_loss_share * equity_cents / 100.0
    reason = Reason.ENTER
    each, held = book.head.risk_each, book.head.risk_book
    each[:] = 0.0
    held[:] = 0.0
    for leg in range(LEGS):
        if legs[leg] >= 0:
            add_shocks(m, limits, legs[leg], r, LEG_SIGN[leg], each)
    add_open_shocks(m, limits, book, r, held)
    for k in range(len(SHOCK_MOVES)):
        if math.isnan(held[k] + each[k]):
            return 0, Reason.RISK_UNKNOWN
        if held[k] + most * each[k] < -budget:
            n = int(math.floor((held[k] + budget) / -each[k] + 1e-9)) if each[k] < 0.0 else 0
            most, reason = max(0, min(most, n)), Reason.SHOCK_LOSS
    return most, reason


@njit(**INNER)
def funds(limits, head, equity_cents):
    """What margin is compared with: cash, or under portfolio margin equity; cents."""
    return int(math.floor(limits.power_share * (equity_cents if limits.margin == PORTFOLIO else head.cash)))


@njit(**INNER)
def fits(m, limits, book, legs, x, r, contracts, credit_cents, equity_cents):
    """Whether the broker would take so many contracts at this credit; the figures stay in the head."""
    head = book.head
    brought = 0 if limits.margin == PORTFOLIO else int(limits.power_share * MULTIPLIER * contracts * credit_cents)
    head.need = requirement(m, limits, book, legs, contracts, x, r)
    head.room = funds(limits, head, equity_cents) + brought
    return head.need <= head.room


@njit(**INNER)
def within_margin(m, limits, book, legs, x, r, most, credit_cents, equity_cents):
    """As many contracts as the buying power carries: what is missing falls with each contract that is left out."""
    if limits.margin == NO_MARGIN or fits(m, limits, book, legs, x, r, most, credit_cents, equity_cents):
        return most
    need, room = book.head.need, book.head.room
    low, high = 0, most
    while high - low > 1:
        middle = (low + high) // 2
        if fits(m, limits, book, legs, x, r, middle, credit_cents, equity_cents):
            low = middle
        else:
            high = middle
    book.head.need, book.head.room = need, room
    return low


# ---------------------------------------------------------------- the review of an entry


@njit(**INNER)
def within_losses(m, limits, book, x, each_cents, most, equity_cents):
    """(contracts, reason, budget in cents): what the caps on contracts and largest losses leave."""
    held = 0
    for p in range(book.slot.shape[0]):
        held += book.slot[p].contracts if book.slot[p].trade >= 0 else 0
    reason, budget = Reason.ENTER, NO_BUDGET
    if limits.book_contracts > 0 and held + most > limits.book_contracts:
        most, reason = max(0, limits.book_contracts - held), Reason.BOOK_CONTRACTS
    for i in range(3):
        if i == 0:
            on, room, why = limits.trade_loss > 0, limits.trade_loss, Reason.TRADE_LOSS
        elif i == 1:
            on, room, why = limits.book_loss > 0, limits.book_loss - open_loss(m, book, -1), Reason.BOOK_LOSS
        else:
            share = limits.expiry_loss_share
            on, why = share > 0.0, Reason.EXPIRY_LOSS
            room = int(math.floor(share * equity_cents)) - open_loss(m, book, x) if on else 0
        if on:
            budget = min(budget, room)
            n = most_of_loss(room, each_cents, most)
            if n < most:
                most, reason = n, why
    return most, reason, budget


@njit(**INNER)
def expiry_of(m, legs):
    x = -1
    for leg in range(LEGS):
        if legs[leg] >= 0:
            x = m.con[legs[leg]].expiry
    return x


@njit(**INNER)
def review(m, limits, costs, book, r, equity_cents):
    """Reason.ENTER and the working entry order cut to what every cap allows, or the cap that leaves nothing.

    equity_cents : marked equity at row r. Nothing else works when an entry is proposed, so the book and this order are
    all there is; closes and hedges are never refused.
    """
    head = book.head
    legs, x = head.order_legs, expiry_of(m, head.order_legs)
    credit = -net_cents(head.order_natural2, head.order_mid2, costs.open_frac, costs.extra_cents)
    each = (head.order_width - credit) * MULTIPLIER
    most, reason, budget = within_losses(m, limits, book, x, each, head.order_contracts, equity_cents)
    if most > 0 and limits.greeks:
        n, why = within_greeks(m, limits, book, legs, r, most)
        most, reason = n, reason if n == most else why
    if most > 0 and limits.shock_loss_share > 0.0:
        n, why = within_shocks(m, limits, book, legs, r, most, equity_cents)
        most, reason = n, reason if n == most else why
    if most > 0:
        n = within_margin(m, limits, book, legs, x, r, most, credit, equity_cents)
        if n < most:
            unknown = limits.margin == PORTFOLIO and head.need == UNBOUNDED
            most, reason = n, Reason.RISK_UNKNOWN if unknown else Reason.MARGIN
    if most == 0:
        return reason
    head.order_contracts = most
    head.order_budget = min(head.order_budget, budget)
    return Reason.ENTER


@njit(**INNER)
def affordable(m, limits, book, legs, r, contracts, credit_cents):
    """Contracts of the working entry that the broker still takes at the credit that is paid."""
    return within_margin(m, limits, book, legs, expiry_of(m, legs), r, contracts, credit_cents, book.head.equity)


@njit(**INNER)
def roll_fits(m, limits, book, p, r):
    """Whether the roll of slot p laid out in the head keeps every cap of the book, or at least makes none worse."""
    head, contracts = book.head, book.slot[p].contracts
    if limits.greeks:
        each, held = head.risk_each, head.risk_book
        each[:] = 0.0
        held[:] = 0.0
        for i in range(LEGS):
            if head.side[i] != 0:
                add_greeks(m, head.deal_legs[i], r, head.side[i] * contracts, each)
        add_open_greeks(m, book, r, held)
        whole = (limits.book_delta, limits.book_gamma, limits.book_vega, limits.book_theta)
        for i in range(4):
            if whole[i] > 0.0 and not abs(held[i] + each[i]) <= max(whole[i], abs(held[i])):
                return False
    if limits.shock_loss_share > 0.0:
        budget = limits.shock_loss_share * head.equity / 100.0
        each, held = head.risk_each, head.risk_book
        each[:] = 0.0
        held[:] = 0.0
        for i in range(LEGS):
            if head.side[i] != 0:
                add_shocks(m, limits, head.deal_legs[i], r, head.side[i] * contracts, each)
        add_open_shocks(m, limits, book, r, held)
        for k in range(len(SHOCK_MOVES)):
            if not held[k] + each[k] >= min(-budget, held[k]):
                return False
    return limits.margin == NO_MARGIN or roll_margin_fits(m, limits, book, p, r)


@njit(**INNER)
def roll_margin_fits(m, limits, book, p, r):
    """Whether the margin after the roll fits, or is no more than before; its credit is not counted."""
    head, slot = book.head, book.slot[p]
    before = requirement(m, limits, book, head.order_legs, 0, -1, r)
    short, long = (SHORT_CALL, LONG_CALL) if m.con[slot.new_legs[0]].right == CALL else (SHORT_PUT, LONG_PUT)
    old_short, old_long = slot.legs[short], slot.legs[long]
    slot.legs[short], slot.legs[long] = slot.new_legs[0], slot.new_legs[1]
    after = requirement(m, limits, book, head.order_legs, 0, -1, r)
    slot.legs[short], slot.legs[long] = old_short, old_long
    return after <= max(before, funds(limits, head, head.equity))


# ---------------------------------------------------------------- halts


@njit(**INNER)
def halted_row(limits, book, marks, soft):
    """(index, reason) of the first of these rows at which a halt begins; (size, NONE) without one.

    The cash of the head stands for all rows; a row whose marks are not all two-sided quotes (soft) triggers nothing.
    Keeps the high from which the drawdown is measured.
    """
    head = book.head
    watched_day = limits.daily_loss_share > 0.0 and head.halt == Reason.NONE
    watched_peak = limits.drawdown_share > 0.0 and head.halt in (Reason.NONE, Reason.DAILY_LOSS)
    if not (watched_day or watched_peak):
        return marks.size, Reason.NONE
    floor = head.day_equity * (1.0 - limits.daily_loss_share)
    for j in range(marks.size):
        if soft[j]:
            continue
        equity = head.cash + marks[j]
        head.risk_peak = max(head.risk_peak, equity)
        if watched_peak and equity <= head.risk_peak * (1.0 - limits.drawdown_share):
            return j, Reason.DRAWDOWN
        if watched_day and equity <= floor:
            return j, Reason.DAILY_LOSS
    return marks.size, Reason.NONE


@njit(**INNER)
def halt(m, limits, book, s, r, reason):
    """A halt begins at row r: the working entry is cancelled and, where it closes everything, every slot leaves."""
    head = book.head
    head.halt, head.halt_day = reason, m.ses[s].day
    if head.order_working:
        head.order_working = 0
        head.missed += 1
    if not (limits.halt_closes or reason == Reason.KILLED):
        return
    head.due = 0  # nothing waits to be opened again
    for p in range(book.slot.shape[0]):
        slot = book.slot[p]
        if slot.trade >= 0 and not (slot.closing != Reason.NONE and slot.part == ALL_LEGS):
            book.slot[p].closing, book.slot[p].part = reason, ALL_LEGS
            book.slot[p].decided, book.slot[p].tries = r, 0
            book.slot[p].seen_natural2 = book.slot[p].seen_mid2 = 0


@njit(**INNER)
def begin_day(m, limits, book, s, r):
    """At a session's first row: the halts that end, the kill switch, the equity from which its losses are measured."""
    head = book.head
    day = m.ses[s].day
    head.day_equity = head.equity
    if head.halt == Reason.DAILY_LOSS:
        head.halt = Reason.NONE
    elif head.halt == Reason.DRAWDOWN and 0 < limits.drawdown_rest <= day - head.halt_day:
        head.halt, head.risk_peak = Reason.NONE, head.equity
    if 0 <= limits.kill_from <= day and head.halt != Reason.KILLED:
        halt(m, limits, book, s, r, Reason.KILLED)


@njit(**INNER)
def halt_gate(m, book, s):
    """The halt of an earlier session, or the pause after losses, that forbids entries all through session s, or 0."""
    head = book.head
    day = m.ses[s].day
    if head.halt == Reason.KILLED or (head.halt != Reason.NONE and head.halt_day < day):
        return head.halt
    return Reason.LOSSES_IN_ROW if day < head.pause_until else Reason.NONE


@njit(**INNER)
def note_result(limits, head, pnl_cents, day):
    """Count losses in a row; so many make a pause."""
    head.losses = head.losses + 1 if pnl_cents < 0 else 0
    if limits.losses_in_row > 0 and head.losses >= limits.losses_in_row:
        head.losses = 0
        head.pause_until = day + limits.losses_rest
