"""What a broker binds for the open book, by profile; pure kernels. Cents throughout.

    alpaca     universal spread rule: the worst net payoff over all prices, premiums ignored, expiry by expiry. Its
               document nets expiries at one price; here each expiry's worst counts, which is never less
    reg_t      the wider side of each structure: a condor can lose on one side only
    ibkr       the same where both wings are equally wide; else the sides are two spreads, and both count
    portfolio  the worst model loss over spots from -8 to +6 % at unchanged volatilities, at least $37.50 a contract

The first three ignore premiums, so what they bind is compared with cash, credits included; portfolio margin with
equity. Long shares are lent half of their value, short ones bind half as much again as they brought. Sources: Alpaca,
"Options level 3 trading" (universal spread rule); tastytrade help, "Short iron condor"; Interactive Brokers, "US
options margin requirements"; FINRA rule 4210(f)(2) and (g).
"""

from __future__ import annotations

import numpy as np

from core.jit import INNER, njit
from core.portfolio import all_shares
from core.scenario import shocked_value
from core.types import (
    ALPACA,
    CALL,
    IBKR,
    LEG_SIGN,
    LEGS,
    LONG_CALL,
    LONG_PUT,
    MULTIPLIER,
    NO_MARGIN,
    PORTFOLIO,
    SHORT_CALL,
    SHORT_PUT,
)

UNBOUNDED = MULTIPLIER << 45  # cents: a short call without a wing
PORTFOLIO_MOVES = (-0.08, -0.064, -0.048, -0.032, -0.016, 0.012, 0.024, 0.036, 0.048, 0.06)
LEAST_PER_CONTRACT = 3750  # cents, portfolio margin


@njit
def side_loss(m, short, long):
    """Most that one side can pay at expiry, cents per share: its width, a lone put's strike, UNBOUNDED a lone call."""
    if short < 0:
        return 0
    if long >= 0:
        return abs(int(m.con[short].strike) - int(m.con[long].strike))
    return int(m.con[short].strike) if m.con[short].right != CALL else UNBOUNDED // MULTIPLIER


@njit(**INNER)
def structure_margin(m, profile, legs):
    """Reg T's or IBKR's requirement of one structure, cents per share."""
    put = side_loss(m, legs[SHORT_PUT], legs[LONG_PUT])
    call = side_loss(m, legs[SHORT_CALL], legs[LONG_CALL])
    if profile == IBKR and put != call:
        return put + call
    return max(put, call)


@njit
def leg_payoff(m, c, price_cents):
    """Intrinsic value of contract c at a spot, cents per share."""
    value = price_cents - m.con[c].strike
    return max(value if m.con[c].right == CALL else -value, 0)


@njit(**INNER)
def payoff_of(m, x, legs, contracts, price_cents):
    """(worth, calls) of the legs of expiry x at a spot at expiry, cents x contracts; calls held less calls owed."""
    worth, calls = 0, 0
    for leg in range(LEGS):
        c = legs[leg]
        if c >= 0 and m.con[c].expiry == x:
            worth += contracts * LEG_SIGN[leg] * leg_payoff(m, c, price_cents)
            calls += contracts * LEG_SIGN[leg] * (m.con[c].right == CALL)
    return worth, calls


@njit(**INNER)
def payoff_at(m, book, x, legs, contracts, price_cents):
    """payoff_of everything open and `contracts` structures of `legs`."""
    worth, calls = payoff_of(m, x, legs, contracts, price_cents)
    for p in range(book.slot.shape[0]):
        if book.slot[p].trade >= 0:
            more, of_calls = payoff_of(m, x, book.slot[p].legs, book.slot[p].contracts, price_cents)
            worth, calls = worth + more, calls + of_calls
    return worth, calls


@njit(**INNER)
def worst_at_strikes(m, book, x, of, legs, contracts, worst):
    """The least of `worst` and payoff_at at each strike of the legs `of`."""
    for leg in range(LEGS):
        if of[leg] >= 0 and m.con[of[leg]].expiry == x:
            worst = min(worst, payoff_at(m, book, x, legs, contracts, m.con[of[leg]].strike)[0])
    return worst


@njit(**INNER)
def add_sides(m, legs, contracts, sides):
    """Add a structure's full losses (cents x contracts) below and above to `sides`, and keep the innermost shorts.

    sides : int64[4] of an expiry: below, above, highest short put, lowest short call. False where a short has no wing
    farther out or a long no short: then the ends are not the worst.
    """
    for right in range(2):
        short, long = legs[SHORT_CALL if right else SHORT_PUT], legs[LONG_CALL if right else LONG_PUT]
        if short < 0 and long < 0:
            continue
        if short < 0 or long < 0:
            return False
        inner, outer = m.con[short].strike, m.con[long].strike
        width = outer - inner if right else inner - outer
        if width < 0:
            return False
        sides[right] += contracts * width
        sides[2 + right] = min(sides[3], inner) if right else max(sides[2], inner)
    return True


@njit(**INNER)
def worst_of_sides(m, book, x, legs, contracts):
    """expiry_margin where no short put lies above a short call: all is lost on one side; -1: look at every strike."""
    sides = book.head.margin_sides
    sides[0] = sides[1] = sides[2] = 0
    sides[3] = UNBOUNDED
    if contracts > 0 and not add_sides(m, legs, contracts, sides):
        return -1
    for p in range(book.slot.shape[0]):
        here = book.slot[p].trade >= 0 and book.slot[p].expiry == x
        if here and not add_sides(m, book.slot[p].legs, book.slot[p].contracts, sides):
            return -1
    return MULTIPLIER * max(sides[0], sides[1]) if sides[2] <= sides[3] else -1


@njit(**INNER)
def expiry_margin(m, book, x, legs, contracts):
    """The worst net payoff of expiry x over all prices, as a positive requirement in cents.

    The payoff bends at strikes only: they and a spot of nothing are looked at.
    """
    simple = worst_of_sides(m, book, x, legs, contracts)
    if simple >= 0:
        return simple
    worst, calls = payoff_at(m, book, x, legs, contracts, 0)
    if calls < 0:
        return UNBOUNDED  # a rising spot has no worst price
    if contracts > 0:
        worst = worst_at_strikes(m, book, x, legs, legs, contracts, worst)
    for p in range(book.slot.shape[0]):
        if book.slot[p].trade >= 0:
            worst = worst_at_strikes(m, book, x, book.slot[p].legs, legs, contracts, worst)
    return -MULTIPLIER * min(worst, 0)


@njit(**INNER)
def universal_margin(m, book, legs, contracts, x):
    """Sum of the expiries' worst payoffs, with `contracts` structures of `legs` (expiry x) added."""
    total = expiry_margin(m, book, x, legs, contracts) if contracts > 0 else 0
    for p in range(book.slot.shape[0]):
        own = book.slot[p].expiry
        if book.slot[p].trade < 0 or (contracts > 0 and own == x):
            continue
        seen = False
        for q in range(p):
            seen = seen or (book.slot[q].trade >= 0 and book.slot[q].expiry == own)
        if not seen:
            total += expiry_margin(m, book, own, legs, 0)
    return min(total, UNBOUNDED)


@njit(**INNER)
def share_margin(shares, spot_cents):
    """What shares bind beyond the cash they cost or brought: minus half their value if long, 1.5 times it if short."""
    value = shares * spot_cents
    return abs(value) // 2 - value


@njit(**INNER)
def model_loss(m, legs, contracts, r, move):
    """$ that `contracts` structures of `legs` would lose if the spot moved at once, volatilities unchanged."""
    loss = 0.0
    for leg in range(LEGS):
        if legs[leg] >= 0:
            before = shocked_value(m, legs[leg], r, 0.0, 1.0, 0.0)
            loss += LEG_SIGN[leg] * (before - shocked_value(m, legs[leg], r, move, 1.0, 0.0))
    return loss * MULTIPLIER * contracts


@njit(**INNER)
def legs_used(legs):
    count = 0
    for leg in range(LEGS):
        count += legs[leg] >= 0
    return count


@njit(**INNER)
def scenario_margin(m, book, legs, contracts, r):
    """Portfolio margin in cents; UNBOUNDED where a leg's volatility is unknown."""
    worst, least = 0.0, contracts * legs_used(legs)
    for p in range(book.slot.shape[0]):
        if book.slot[p].trade >= 0:
            least += book.slot[p].contracts * legs_used(book.slot[p].legs)
    for move in PORTFOLIO_MOVES:
        loss = -all_shares(book) * move * m.row[r].spot
        if contracts > 0:
            loss += model_loss(m, legs, contracts, r, move)
        for p in range(book.slot.shape[0]):
            if book.slot[p].trade >= 0:
                loss += model_loss(m, book.slot[p].legs, book.slot[p].contracts, r, move)
        if not loss < UNBOUNDED / 100:
            return UNBOUNDED
        worst = max(worst, loss)
    return max(int(np.ceil(worst * 100.0)), least * LEAST_PER_CONTRACT)


@njit(**INNER)
def requirement(m, limits, book, legs, contracts, x, r):
    """What the broker binds at row r for the book and `contracts` structures of `legs` (expiry x); 0: none. Cents."""
    if limits.margin == NO_MARGIN:
        return 0
    if limits.margin == PORTFOLIO:
        return scenario_margin(m, book, legs, contracts, r)
    shares = share_margin(all_shares(book), int(round(m.row[r].spot * 100.0)))
    if limits.margin == ALPACA:
        return universal_margin(m, book, legs, contracts, x) + shares
    total = shares
    if contracts > 0:
        total += MULTIPLIER * contracts * structure_margin(m, limits.margin, legs)
    for p in range(book.slot.shape[0]):
        if book.slot[p].trade >= 0:
            total += MULTIPLIER * book.slot[p].contracts * structure_margin(m, limits.margin, book.slot[p].legs)
    return min(total, UNBOUNDED)
