"""The condor rulebook: which expiry, which strikes, whether to enter, when to leave, what to roll.

Pure compiled functions of a market and a row: nothing later than the row is read. The
backtest, the optimizer and live trading call these very functions.

Entry, in the order of the gates (the first that fails is the row's reason):
    weekday and window -> free slot -> waiting time, schedule -> signals (strategies.gates) -> quotes -> expiry
    -> short strikes by delta -> wings -> no contract on both sides -> two-sided quotes -> liquidity -> credit
    -> breach probability -> size (strategies.sizing)
Exit, first of: profit target (a resting limit), stop, trailing stop, stop or target of a side, regime, a tested
short, breach probability, a cheap short, days to expiry, holding time, expiry day.
"""

from __future__ import annotations

import math

import numpy as np

from core.costs import net_cents, package
from core.jit import INNER, by_reference, njit
from core.quotes import leg_delta, leg_vol
from core.types import (
    ATR_SCALE,
    CALL,
    DELTA,
    FLAT,
    LEGS,
    LONG_CALL,
    LONG_PUT,
    MODEL,
    MOST_DUE_TRIES,
    NATURAL,
    NO_SCALE,
    PERCENT,
    POINTS,
    PUT,
    SHORT_CALL,
    SHORT_PUT,
    SIGNAL,
    TABLE,
    Reason,
)
from strategies.breach import breach_chance, fair_value_cents
from strategies.legs import (
    WING_TOLERANCE,
    avoid_opposite,
    expected_move,
    has_quotes,
    holds_opposite,
    is_liquid,
    leg_quotes,
    nearest_listed,
    set_sides,
    strike_range,
    wider_wing,
)
from strategies.sizing import contracts_of
from strategies.timing import NEVER, first_at_least, flat_minute, last_session_to_leave

S_REGIME, S_IV, S_ATR, S_REALISED = SIGNAL["regime"], SIGNAL["iv"], SIGNAL["day_atr"], SIGNAL["realised"]
CALM_ATR, WILD_ATR = 0.005, 0.020  # of the close: where stop_scale moves the stop by its whole range
CALM_VOL, WILD_VOL = 0.10, 0.30
IV_MIDDLE = 50.0

# ---------------------------------------------------------------- construction


@njit(**INNER)
def expiry_reachable(m, rules, x, r):
    """Whether a structure of expiry x opened at row r would have time to leave before it must be flat."""
    if rules.expiry_rule != FLAT or m.exp[x].session < 0:
        return True
    s, last = int(m.row[r].session), last_session_to_leave(m, x)
    return s < last or (s == last and m.ses[s].decide < 0 and m.row[r].minute < flat_minute(m, rules, s))


@njit
def choose_expiry(m, rules, r, after):
    """Listed expiry nearest the target inside the DTE window (ties: the nearer) and after a day; -1 if none."""
    m = by_reference(m)
    day = m.ses[m.row[r].session].day
    best, best_gap = -1, NEVER
    for x in range(first_expiry(m, rules, day), m.exp.shape[0]):
        dte = m.exp[x].day - day
        if dte > rules.dte_max:
            break
        gap = abs(dte - rules.dte_target)
        if gap < best_gap and m.exp[x].day > after and m.exp[x].first <= r and has_quotes(m, x, r):
            best, best_gap = x, gap
    return best


@njit(**INNER)
def first_expiry(m, rules, day):
    """First expiry with at least dte_min days."""
    return first_at_least(m.exp.day, 0, m.exp.shape[0], day + rules.dte_min)


@njit(**INNER)
def choose_by_edge(m, rules, costs, head, quote, r):
    """The session's expiry of the best expected edge a day, found when first asked for; -1 while none can be built."""
    s = int(m.row[r].session)
    if head.due > 0:
        return best_by_edge(m, rules, costs, head, quote, r, head.due_day[0])
    if head.edge_session != s or head.edge_expiry < 0:
        head.edge_session, head.edge_expiry = s, best_by_edge(m, rules, costs, head, quote, r, -1)
    return head.edge_expiry


@njit(**INNER)
def best_by_edge(m, rules, costs, head, quote, r, after):
    """The expiry in the DTE window and after a day whose structure has the best edge a day; -1 if none can be built.

    Edge: the credit that the fills promise less what the structure would be worth if the realised volatility of the
    past sessions went on. It compares expiries, by strikes without the skew penalty; it is no proof of an edge.
    """
    day = m.ses[m.row[r].session].day
    vol = m.signal[S_REALISED, r]
    best, best_edge = -1, -1e300
    for x in range(first_expiry(m, rules, day), m.exp.shape[0]):
        dte = m.exp[x].day - day
        if dte > rules.dte_max:
            break
        if (
            m.exp[x].day <= after
            or m.exp[x].first > r
            or not has_quotes(m, x, r)
            or not expiry_reachable(m, rules, x, r)
        ):
            continue
        if build_structure(m, rules, x, r, head.order_legs, quote, 0.0) != Reason.ENTER:
            continue
        leg_quotes(m, head.order_legs, r, head.quote_bid, head.quote_ask, quote)
        set_sides(head.order_legs, head.side, 0)
        natural2, mid2 = package(costs, head.side, head.quote_bid, head.quote_ask)
        credit = -net_cents(natural2, mid2, costs.open_frac, costs.extra_cents)
        edge = (credit - fair_value_cents(m, head.order_legs, x, r, vol)) / max(dte, 1)
        if edge > best_edge:
            best, best_edge = x, edge
    return best


@njit
def nearest_by_delta(m, x, right, target, low, high, penalty, r):
    """Out-of-the-money contract whose absolute delta is nearest `target` inside [low, high]; -1 if none.

    penalty : added to the distance per share by which the strike's volatility lies below the money's (0: none)
    Walks outwards from the strike nearest the spot; unknown deltas are passed over.
    """
    m = by_reference(m)
    first, last = strike_range(m, x, right)
    c = nearest_listed(m, first, last, int(round(m.row[r].spot * 100.0)), r)
    step = -1 if right == PUT else 1
    start = c
    best, best_gap = -1, 2.0
    while first <= c < last:
        delta = abs(leg_delta(m, c, r))
        if not math.isnan(delta):
            if delta < low - 0.02 and c != first:
                break
            gap = abs(delta - target)
            if low <= delta <= high and gap < best_gap:
                best, best_gap = c, gap
        c += step
    if penalty > 0.0 and best >= 0:
        return least_penalised(m, start, step, best, best_gap, target, low, high, penalty, r)
    return best


@njit(**INNER)
def least_penalised(m, start, step, nearest, gap, target, low, high, penalty, r):
    """The strike of least distance and penalty; only those nearer in delta than `nearest` is with its penalty count."""
    money = leg_vol(m, start, r)
    best, least = nearest, gap + penalty * max(1.0 - leg_vol(m, nearest, r) / money, 0.0)
    if math.isnan(least):
        return nearest  # without a volatility there is no penalty to tell
    worst = least
    for way in range(2):
        c = nearest + step if way == 0 else nearest - step
        x = m.con[nearest].expiry
        first, last = strike_range(m, x, m.con[nearest].right)
        while first <= c < last and c != start - step:
            delta = abs(leg_delta(m, c, r))
            far = abs(delta - target)
            if far > worst:
                break
            if low <= delta <= high and far < least:
                full = far + penalty * max(1.0 - leg_vol(m, c, r) / money, 0.0)
                if full < least:
                    best, least = c, full
            c += step if way == 0 else -step
    return best


@njit(**INNER)
def wing_factor(m, rules, r):
    """How much wider than usual the wings are at row r."""
    if rules.widen <= 1.0:
        return 1.0
    wild = (rules.widen_mask >> int(m.signal[S_REGIME, r])) & 1
    return rules.widen if wild or m.signal[rules.iv_signal, r] >= rules.widen_iv_rank else 1.0


@njit(**INNER)
def wing_contract(m, rules, x, right, short, scale, r, quote):
    """The long leg that protects `short`, strictly farther out of the money; -1 if none is near enough."""
    first, last = strike_range(m, x, right)
    if rules.wing_rule == DELTA:
        aim = rules.wing_width / (scale * wing_factor(m, rules, r))  # a wider wing has a smaller delta
        wing = nearest_by_delta(m, x, right, aim, 0.4 * aim, 2.0 * aim, 0.0, r)
        if wing < 0 or (right == PUT and wing >= short) or (right == CALL and wing <= short):
            return -1
        return wing
    if rules.wing_rule == POINTS:
        width = rules.wing_width
    elif rules.wing_rule == PERCENT:
        width = rules.wing_width / 100.0 * m.row[r].spot
    else:
        width = rules.wing_width * expected_move(m, x, r, quote)
    if not width > 0.0:
        return -1
    return strike_away(m, first, last, right, short, int(round(width * scale * wing_factor(m, rules, r) * 100.0)), r)


@njit(**INNER)
def strike_away(m, first, last, right, short, cents, r):
    """The listed contract about `cents` farther out of the money than `short`; -1 if none is near enough."""
    if right == PUT:
        target = m.con[short].strike - cents
        wing = nearest_listed(m, first, short, target, r)
    else:
        target = m.con[short].strike + cents
        wing = nearest_listed(m, short + 1, last, target, r)
    if wing < 0 or abs(m.con[wing].strike - target) > WING_TOLERANCE * cents + 50:
        return -1
    return wing


@njit(**INNER)
def build_structure(m, rules, x, r, legs, quote, penalty):
    """Fill `legs` (4 contract ids, -1 unused) for expiry x at row r; returns Reason.ENTER or what is missing.

    penalty : see nearest_by_delta
    """
    legs[:] = -1
    for right in range(2):
        if (right == PUT and not rules.use_put) or (right == CALL and not rules.use_call):
            continue
        if rules.short_at_money:
            first, last = strike_range(m, x, right)
            short = nearest_listed(m, first, last, int(round(m.row[r].spot * 100.0)), r)
        else:
            low, high = rules.delta_low, rules.delta_high
            short = nearest_by_delta(m, x, right, rules.delta_target, low, high, penalty, r)
        if short < 0:
            return Reason.NO_STRIKE
        scale = rules.put_wing_scale if right == PUT else rules.call_wing_scale
        wing = wing_contract(m, rules, x, right, short, scale, r, quote)
        if wing < 0:
            return Reason.NO_WING
        legs[SHORT_PUT if right == PUT else SHORT_CALL] = short
        legs[LONG_PUT if right == PUT else LONG_CALL] = wing
    both = legs[SHORT_PUT] >= 0 and legs[SHORT_CALL] >= 0
    if both and m.con[legs[SHORT_PUT]].strike > m.con[legs[SHORT_CALL]].strike:
        return Reason.NO_STRIKE  # where one short lacks its quote the nearest two would be inverted
    return Reason.ENTER


# ---------------------------------------------------------------- entry


@njit(**INNER)
def credit_floor(m, rules, width_cents, r):
    """Smallest credit in cents: the share of the width that the median condor of this width collects.

    It moves with the IV rank by credit_iv_scale: at 100 that much more, at 0 that much less.
    """
    percent = width_cents / m.row[r].spot
    share = rules.min_credit_share * max(0.2, 1.0 - rules.credit_slope * percent)
    if rules.credit_iv_scale > 0.0:
        share *= 1.0 + rules.credit_iv_scale * (m.signal[rules.iv_signal, r] - IV_MIDDLE) / IV_MIDDLE
    return max(1, int(math.ceil(share * width_cents - 1e-9)))


@njit(**INNER)
def stop_shift(m, rules, r):
    """What the market at row r adds to stop_multiple: -1 to 1 times its range; NaN unknown."""
    if rules.stop_scale == NO_SCALE:
        return 0.0
    if rules.stop_scale == ATR_SCALE:
        place = (m.signal[S_ATR, r] - CALM_ATR) / (WILD_ATR - CALM_ATR)
    else:
        place = (m.signal[S_IV, r] - CALM_VOL) / (WILD_VOL - CALM_VOL)
    if math.isnan(place):
        return np.nan
    return rules.stop_scale_range * (2.0 * min(max(place, 0.0), 1.0) - 1.0)


@njit(**INNER)
def unknown_signal(m, rules, r):
    """The reason why a rule of the construction cannot be followed at row r, or NONE."""
    ranked = rules.widen > 1.0 or rules.credit_iv_scale > 0.0
    if ranked and math.isnan(m.signal[rules.iv_signal, r]):
        return Reason.SIGNAL_UNKNOWN
    if math.isnan(stop_shift(m, rules, r)):
        return Reason.SIGNAL_UNKNOWN
    if rules.by_edge and math.isnan(m.signal[S_REALISED, r]):
        return Reason.EDGE_UNKNOWN
    return Reason.NONE


@njit(**INNER)
def decide_entry(m, rules, costs, book, r, equity_cents):
    """`propose`, and what becomes of a campaign that waits to be rolled out when nothing can be opened for it."""
    waiting = book.head.due > 0
    verdict = propose(m, rules, costs, book, r, equity_cents)
    if waiting and verdict != Reason.ENTER:
        tried(book.head)
    return verdict


@njit(**INNER)
def tried(head):
    """The campaign that waits longest could not be opened again on this row; after so many it has ended."""
    head.due_tries[0] += 1
    if head.due_tries[0] >= MOST_DUE_TRIES:
        pop_due(head)


@njit(**INNER)
def propose(m, rules, costs, book, r, equity_cents):
    """The entry decision at row r: Reason.ENTER and a working order in the book, or why not."""
    verdict = candidate(m, rules, costs, book, r)
    return put_to_work(m, rules, book.head, r, equity_cents) if verdict == Reason.ENTER else verdict


@njit(**INNER)
def candidate(m, rules, costs, book, r):
    """Reason.ENTER and the structure that might be opened in the head's order, or why there is none; no size yet.

    Credits are tested at the price that the fill model promises on the quotes of row r; between
    snapshots these are marks of the carried surface, and the order fills on a real snapshot.
    """
    verdict, x = wanted(m, rules, costs, book, r)
    return fit_for_book(m, rules, costs, book, x, r) if verdict == Reason.ENTER else verdict


@njit(**INNER)
def wanted(m, rules, costs, book, r):
    """(ENTER, expiry) and the structure that the rules ask for in the head's order, whatever is held; or why none."""
    head = book.head
    legs = head.order_legs
    if m.kind == TABLE and m.row[r].quoted == 0:
        return Reason.NO_QUOTES, -1
    verdict = unknown_signal(m, rules, r)
    if verdict != Reason.NONE:
        return verdict, -1
    if rules.by_edge:
        x = choose_by_edge(m, rules, costs, head, book.leg, r)
    else:  # rolling out means a later expiry
        x = choose_expiry(m, rules, r, head.due_day[0] if head.due > 0 else -1)
    if x < 0:
        return (Reason.NO_EXPIRY if m.kind == MODEL or m.row[r].snap >= 0 else Reason.NO_QUOTES), -1
    if not expiry_reachable(m, rules, x, r):
        return Reason.EXPIRY_DAY, -1
    return build_structure(m, rules, x, r, legs, book.leg, rules.skew_penalty), x


@njit(**INNER)
def fit_for_book(m, rules, costs, book, x, r):
    """Whether the structure in the head's order can be opened beside what is held: its legs may give way."""
    head = book.head
    legs = head.order_legs
    if not avoid_opposite(m, rules, book, r, legs):
        return Reason.OPPOSITE_LEG
    good = leg_quotes(m, legs, r, head.quote_bid, head.quote_ask, book.leg)
    if not good and m.row[r].tradable:
        return Reason.ONE_SIDED
    if not is_liquid(m, rules, legs, r, head.quote_bid, head.quote_ask):
        return Reason.ILLIQUID
    return judge(m, rules, costs, head, x, r)


@njit(**INNER)
def judge(m, rules, costs, head, x, r):
    """Credit and breach probability of the structure in the order's legs; ENTER keeps what the order is to say."""
    legs = head.order_legs
    set_sides(legs, head.side, 0)
    natural2, mid2 = package(costs, head.side, head.quote_bid, head.quote_ask)
    credit = -net_cents(natural2, mid2, costs.open_frac, costs.extra_cents)
    width = wider_wing(m, legs)
    floor = credit_floor(m, rules, width, r)
    if head.due > 0:
        floor = max(floor, head.due_debit[0] + rules.roll_out_min_credit)
        if credit < floor:
            return Reason.ROLL_OUT_CREDIT
    if credit < floor:
        return Reason.LOW_CREDIT
    if rules.max_breach < 1.0:
        chance = candidate_breach(m, rules, head, x, r)
        if math.isnan(chance):
            return Reason.BREACH_UNKNOWN
        if chance > rules.max_breach:
            return Reason.BREACH
    head.order_floor, head.order_width, head.order_credit = floor, width, credit
    head.order_natural2, head.order_mid2 = natural2, mid2
    return Reason.ENTER


@njit(**INNER)
def put_to_work(m, rules, head, r, equity_cents):
    """Size the candidate in the head's order and put it to work; ENTER, or why it has no size."""
    contracts, verdict, budget = contracts_of(
        rules, m.signal, r, head.won, head.lost, head.won_cents, head.lost_cents, head.order_width, head.order_credit,
        equity_cents,
    )  # fmt: skip
    if verdict != Reason.ENTER:
        return verdict
    head.order_working, head.order_decided, head.order_tries = 1, r, 0
    head.order_contracts, head.order_budget = contracts, budget
    head.order_campaign, head.order_out = -1, 0
    if head.due > 0:
        head.order_campaign, head.order_out = head.due_campaign[0], head.due_out[0]
    return Reason.ENTER


@njit(**INNER)
def candidate_breach(m, rules, head, x, r):
    """Breach probability of the order's legs; under local volatility computed once a session for the same legs."""
    if not rules.local_vol:
        return breach_chance(m, rules, head.order_legs, x, r)
    s = int(m.row[r].session)
    same = head.breach_session == s
    for leg in range(LEGS):
        same = same and head.breach_legs[leg] == head.order_legs[leg]
    if not same:
        head.breach_chance = breach_chance(m, rules, head.order_legs, x, r)
        head.breach_session = s
        for leg in range(LEGS):
            head.breach_legs[leg] = head.order_legs[leg]
    return head.breach_chance


@njit(**INNER)
def pop_due(head):
    """The campaign that waited longest is served."""
    head.due -= 1
    for i in range(head.due):
        head.due_campaign[i], head.due_out[i] = head.due_campaign[i + 1], head.due_out[i + 1]
        head.due_debit[i], head.due_day[i] = head.due_debit[i + 1], head.due_day[i + 1]
        head.due_until[i], head.due_tries[i] = head.due_until[i + 1], head.due_tries[i + 1]


# ---------------------------------------------------------------- exits


@njit
def profit_limit(credit_cents, rules):
    """Price in cents at which the resting profit order buys the structure back; -NEVER: no such order."""
    if rules.profit_frac >= 1.0:
        return -NEVER
    return int(math.floor(credit_cents * (1.0 - rules.profit_frac) + 1e-9))


@njit
def stop_level(credit_cents, multiple):
    """Cost to close in cents at which the stop triggers when it has lost `multiple` credits; NEVER without a stop."""
    if multiple <= 0.0:
        return NEVER
    return int(math.ceil(credit_cents * (1.0 + multiple) - 1e-9))


@njit
def exit_code(natural_cents, mid2, usable, above, in_edge, target, stop, rules):
    """(reason, above): why a short structure leaves on this row's price, or NONE.

    natural_cents : cost to close at natural; mid2 : at mid, half-cents; usable : every leg two-sided
    above         : the previous usable row's mid was at or beyond the stop
    in_edge       : first or last minutes of the session, where a mid triggers nothing
    target, stop  : cents; profit_limit and stop_level, less what has been paid for parts already
    A row without two-sided quotes never triggers a price exit and leaves `above` as it was.
    PROFIT_TARGET is the fill of the resting order, not a decision.
    """
    if not usable:
        return Reason.NONE, above
    if natural_cents <= target:
        return Reason.PROFIT_TARGET, 0
    if rules.stop_on == NATURAL:
        return (Reason.STOP if natural_cents >= stop else Reason.NONE), 0
    if in_edge:
        return Reason.NONE, above
    beyond = 1 if mid2 >= 2 * stop else 0
    if beyond and above:
        return Reason.STOP, 1
    return Reason.NONE, beyond


@njit
def trail(natural_cents, best, credit_cents, paid_cents, rules):
    """(triggered, best): the trailing stop after a usable row.

    It is armed once trail_from of the credit is kept; `best` is the lowest cost to close since (NEVER: not armed). It
    triggers when trail_giveback of the credit has been given back from there.
    """
    if rules.trail_from <= 0.0:
        return False, best
    if best == NEVER:
        armed = natural_cents <= armed_below(credit_cents, paid_cents, rules)
        return False, natural_cents if armed else NEVER
    best = min(best, natural_cents)
    return natural_cents >= best + giveback_cents(credit_cents, rules), best


@njit
def armed_below(credit_cents, paid_cents, rules):
    """Cost to close at or below which the trailing stop is armed."""
    return int(math.floor(credit_cents * (1.0 - rules.trail_from) + 1e-9)) - paid_cents


@njit
def giveback_cents(credit_cents, rules):
    """Rise of the cost to close from its lowest at which the trailing stop triggers."""
    return max(1, int(math.ceil(credit_cents * rules.trail_giveback - 1e-9)))


# ---------------------------------------------------------------- adjustments


@njit(**INNER)
def choose_roll(m, rules, book, p, right, r, quote):
    """(short, long) contracts to roll side `right` of slot p to, same expiry; (-1, -1) if there are none.

    Nearest roll_delta and nearer the spot than the old short, never inverted against the other short, as wide as the
    old vertical or narrower, none of the old contracts again and none that is held on the other side.
    """
    slot = book.slot[p]
    old_short = slot.legs[SHORT_PUT if right == PUT else SHORT_CALL]
    old_long = slot.legs[LONG_PUT if right == PUT else LONG_CALL]
    other = slot.legs[SHORT_CALL if right == PUT else SHORT_PUT]
    short = nearest_by_delta(m, slot.expiry, right, rules.roll_delta, rules.delta_low, rules.delta_high, 0.0, r)
    if short < 0 or other < 0:
        return -1, -1
    towards = m.con[short].strike - m.con[old_short].strike
    inverted = m.con[short].strike - m.con[other].strike
    if right == CALL:
        towards, inverted = -towards, -inverted
    if towards <= 0 or inverted > 0:
        return -1, -1
    width = abs(m.con[old_short].strike - m.con[old_long].strike)
    first, last = strike_range(m, slot.expiry, right)
    wing = strike_away(m, first, last, right, short, width, r)
    if wing < 0 or abs(m.con[wing].strike - m.con[short].strike) > width:
        return -1, -1
    if short == old_long or wing in (old_short, old_long):
        return -1, -1  # the same contract twice in one order
    slots = book.slot.shape[0]
    if holds_opposite(book, slots, SHORT_PUT if right == PUT else SHORT_CALL, short):
        return -1, -1
    if holds_opposite(book, slots, LONG_PUT if right == PUT else LONG_CALL, wing):
        return -1, -1
    return short, wing
