"""The condor rulebook: which expiry, which strikes, whether to enter, when to leave.

Pure compiled functions of a market and a row: nothing later than the row is read. The
backtest, the optimizer and live trading call these very functions.

Entry, in the order of the gates (the first that fails is the row's reason):
    weekday and window -> free slot -> schedule -> quotes -> expiry -> short strikes by delta
    -> wings -> two-sided quotes -> credit -> no contract on both sides -> size
Exit, first of: profit target (a resting limit), stop, days to expiry, holding time, expiry day.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from core.config import WEEKDAYS, members, minutes_of
from core.costs import net_cents, package
from core.jit import HOT, INNER, njit
from core.quotes import cell_index, leg_delta, leg_rows, slice_of
from core.types import (
    ASK,
    ATR_SCALE,
    BAD_UNMARKED,
    BID,
    CALL,
    CARRIED,
    CLOSE_ALL,
    CLOSE_SHORT,
    CLOSE_SIDE,
    DELTA,
    EXPECTED_MOVE,
    FLAG,
    FLAT,
    GOOD,
    LEG_SIGN,
    LEGS,
    LONG_CALL,
    LONG_PUT,
    MID,
    MODEL,
    NATURAL,
    NEVER_OUT,
    NO_ACTION,
    NO_SCALE,
    OUT_AT_DTE,
    OUT_TESTED,
    PERCENT,
    POINTS,
    PUT,
    REGIMES,
    ROLL_UNTESTED,
    SETTLE,
    SHORT_CALL,
    SHORT_PUT,
    SIGNAL,
    TABLE,
    VOL_SCALE,
    Reason,
    Rules,
)
from strategies.sizing import size
from strategies.structures import STRUCTURES

# Median credit / width that a 16-delta condor of 28-50 DTE collects falls with the width: .25 at $2,
# .23 at $5, .20 at $10 with SPY near 750 (chains of summer 2026). A line in width per cent of spot
# fits those; it scales with the short delta, and a 20/5-delta condor collects .105.
MEDIAN_SHARE, MEDIAN_SLOPE, MEDIAN_DELTA, MEDIAN_DELTA_WINGS = 0.2635, 0.0475, 0.16, 0.105
WING_RULES = {"points": POINTS, "percent": PERCENT, "expected_move": EXPECTED_MOVE, "delta": DELTA}
STOP_SCALES = {"none": NO_SCALE, "atr": ATR_SCALE, "vol": VOL_SCALE}
TESTED_ACTIONS = {
    "none": NO_ACTION,
    "close_all": CLOSE_ALL,
    "close_side": CLOSE_SIDE,
    "close_short": CLOSE_SHORT,
    "roll_untested": ROLL_UNTESTED,
}
ROLL_OUTS = {"never": NEVER_OUT, "exit_dte": OUT_AT_DTE, "tested": OUT_TESTED}
WING_TOLERANCE = 0.25  # the listed wing may differ from the wanted width by so much of it
STRADDLE_TO_SD = 0.7979  # an at-the-money straddle is worth sqrt(2/pi) of one standard deviation
A_WEEK = 7
MOST_SHIFTS = 3  # strikes that a leg may move to avoid a contract held on the other side
NEVER = 1 << 30


def rules_from(values: Mapping[str, Any], enter: bool = True) -> Rules:
    """Settings as the numbers that kernels read."""
    entry = {k.rsplit(".", 1)[1]: v for k, v in values.items() if k.startswith("strategy.entry.")}
    leave = {k.rsplit(".", 1)[1]: v for k, v in values.items() if k.startswith("strategy.exits.")}
    structure = STRUCTURES[values["strategy.structure"]]
    ratio = entry["broken_wing_ratio"] if structure.broken else 1.0
    sides = 0.5 * (structure.use_put + structure.use_call)
    by_delta = entry["wing_rule"] == "delta"
    short_delta = 0.5 if structure.short_at_money else entry["short_delta"]
    median = MEDIAN_DELTA_WINGS * short_delta / 0.20 if by_delta else MEDIAN_SHARE * short_delta / MEDIAN_DELTA
    slope = 0.0 if by_delta else MEDIAN_SLOPE / MEDIAN_SHARE
    every = {"daily": 1, "weekly": A_WEEK, "ladder": entry["ladder_days"]}[entry["schedule"]]
    return Rules(
        use_put=structure.use_put,
        use_call=structure.use_call,
        short_at_money=structure.short_at_money,
        dte_min=entry["dte_min"],
        dte_max=entry["dte_max"],
        dte_target=entry["dte_target"],
        delta_target=short_delta,
        delta_low=entry["delta_low"],
        delta_high=entry["delta_high"],
        wing_rule=WING_RULES[entry["wing_rule"]],
        wing_width=entry["wing_width"],
        put_wing_scale=ratio * entry["put_wing_scale"],
        call_wing_scale=entry["call_wing_scale"],
        min_credit_share=entry["min_credit_vs_median"] * median * sides,
        credit_slope=slope,
        window_start=minutes_of(entry["window_start"]),
        window_end=minutes_of(entry["window_end"]),
        weekday_mask=sum(1 << WEEKDAYS.index(d) for d in entry["weekdays"].split(",")),
        min_days_between=every,
        max_new_per_day=entry["max_new_per_day"] if entry["schedule"] == "ladder" else 1,
        min_minutes_between=entry["ladder_minutes"] if entry["schedule"] == "ladder" else 0,
        max_positions=values["strategy.max_positions"],
        contracts=values["strategy.size.contracts"],
        max_risk_frac=values["strategy.size.max_risk_frac"],
        profit_frac=leave["profit_frac"],
        stop_multiple=leave["stop_multiple"],
        stop_on=MID if leave["stop_on"] == "mid" else NATURAL,
        exit_dte=leave["exit_dte"],
        max_hold_days=leave["max_hold_days"],
        time_exit_from=minutes_of(leave["time_exit_from"]),
        expiry_rule=FLAT if leave["expiry_rule"] == "flat" else SETTLE,
        flat_from=minutes_of(leave["flat_from"]),
        flat_before_early_close=leave["flat_before_early_close"],
        edge_minutes=leave["edge_minutes"],
        enter=int(enter),
        **construction_rules(values),
        **filter_rules(values),
        **size_rules(values),
        **exit_rules(values),
    )


def regime_mask(values: Mapping[str, Any], path: str) -> int:
    """Bits of the regimes that a setting names."""
    return sum(1 << REGIMES.index(name) for name in members(values, path))


def construction_rules(values: Mapping[str, Any]) -> dict[str, Any]:
    entry = {k.rsplit(".", 1)[1]: v for k, v in values.items() if k.startswith("strategy.entry.")}
    measure = values["strategy.signals.iv_measure"]
    return {
        "by_edge": int(entry["expiry_rule"] == "edge"),
        "skew_penalty": entry["skew_penalty"],
        "widen": entry["widen"],
        "widen_iv_rank": entry["widen_iv_rank"],
        "widen_mask": regime_mask(values, "strategy.entry.widen_regimes"),
        "credit_iv_scale": entry["credit_iv_scale"],
        "iv_signal": SIGNAL["iv_rank" if measure == "rank" else "iv_percentile"],
        "wait_after_exit": entry["wait_after_exit"],
        "wait_after_loss": entry["wait_after_loss"],
    }


def filter_rules(values: Mapping[str, Any]) -> dict[str, Any]:
    """Filters that look at a proposed structure; those on signals are in Market.gate (strategies.gates)."""
    given = {k.rsplit(".", 1)[1]: v for k, v in values.items() if k.startswith("strategy.filters.")}
    return {
        "max_leg_spread": given["max_leg_spread"],
        "min_size": given["min_size"],
        "min_interest": given["min_interest"],
        "min_volume": given["min_volume"],
        "max_breach": given["max_breach"],
        "local_vol": int(given["breach_model"] == "local_vol"),
    }


def size_rules(values: Mapping[str, Any]) -> dict[str, Any]:
    names = "fuzzy_scale high_vol_factor trend_factor crash_factor vol_low vol_high vol_floor vol_target kelly_frac"
    return {name: values[f"strategy.size.{name}"] for name in [*names.split(), "kelly_min_trades"]}


def exit_rules(values: Mapping[str, Any]) -> dict[str, Any]:
    leave = {k.rsplit(".", 1)[1]: v for k, v in values.items() if k.startswith("strategy.exits.")}
    manage = {k.rsplit(".", 1)[1]: v for k, v in values.items() if k.startswith("strategy.manage.")}
    return {
        "by_side": int(leave["scope"] == "side"),
        "trail_from": leave["trail_from"],
        "trail_giveback": leave["trail_giveback"],
        "stop_scale": STOP_SCALES[leave["stop_scale"]],
        "stop_scale_range": leave["stop_scale_range"],
        "exit_breach": leave["exit_breach"],
        "cheap_short": round(leave["cheap_short"] * 100),
        "tested_action": TESTED_ACTIONS[manage["tested_action"]],
        "tested_distance": manage["tested_distance"],
        "roll_delta": manage["roll_delta"],
        "roll_min_credit": round(manage["roll_min_credit"] * 100),
        "roll_min_dte": manage["roll_min_dte"],
        "max_rolls": manage["max_rolls"],
        "roll_out": ROLL_OUTS[manage["roll_out"]],
        "roll_out_min_credit": round(manage["roll_out_min_credit"] * 100),
        "max_rolls_out": manage["max_rolls_out"],
        "delta_band": values["strategy.hedge.delta_band"],
        "hedge_minutes": values["strategy.hedge.minutes"],
    }


# ---------------------------------------------------------------- time


@njit
def weekday_of(day):
    """0 Monday .. 6 Sunday of a day since 1970-01-01 (a Thursday)."""
    return (day + 3) % 7


@njit(**INNER)
def window_rows(m, rules, s):
    """(first row, one past the last row, reason outside) of the entry window in session s.

    With one snapshot a day the strategy decides at the session's decision row alone.
    """
    if not (rules.weekday_mask >> weekday_of(m.ses[s].day)) & 1:
        return 0, 0, Reason.WEEKDAY
    if m.ses[s].decide == -2:
        return 0, 0, Reason.WINDOW
    if m.ses[s].decide >= 0:
        return m.ses[s].decide, m.ses[s].decide + 1, Reason.WINDOW
    first = m.ses[s].start
    while first < m.ses[s].end and m.row[first].minute < rules.window_start:
        first += 1
    last = m.ses[s].end
    early = m.ses[s].close - rules.edge_minutes
    while last > first and (m.row[last - 1].minute > rules.window_end or m.row[last - 1].minute > early):
        last -= 1
    return first, last, Reason.WINDOW


@njit(**HOT)
def row_at_minute(m, s, minute):
    """First row of session s at or after a minute of the day; one past the session if there is none."""
    row = m.ses[s].start
    while row < m.ses[s].end and m.row[row].minute < minute:
        row += 1
    return row


@njit(**HOT)
def flat_minute(m, rules, s):
    """Minute of the expiry day at which the close is decided."""
    if m.ses[s].close < 16 * 60:
        return m.ses[s].close - rules.flat_before_early_close
    return rules.flat_from


@njit(**INNER)
def time_exit_row(m, rules, s, expiry, opened):
    """(row, reason) at which a structure leaves session s because of time alone; NEVER if it does not."""
    day = m.ses[s].day
    left = m.exp[expiry].day - day
    best, why = NEVER, Reason.NONE
    if m.ses[s].decide == -2:
        return best, why
    row = m.ses[s].decide if m.ses[s].decide >= 0 else row_at_minute(m, s, rules.time_exit_from)
    if rules.exit_dte > 0 and left <= rules.exit_dte:
        best, why = row, Reason.DTE_EXIT
    elif rules.max_hold_days > 0 and day - m.ses[m.row[opened].session].day >= rules.max_hold_days:
        best, why = row, Reason.MAX_HOLD
    if rules.expiry_rule == FLAT or m.exp[expiry].style == 0:
        last = last_session_to_leave(m, expiry)
        if s == last and m.ses[s].decide >= 0:
            flat = m.ses[s].decide
        elif s == last:
            flat = row_at_minute(m, s, flat_minute(m, rules, s))
        else:
            flat = NEVER
        if flat < best:
            best, why = flat, Reason.EXPIRY_FLAT
    return best, why


@njit(**INNER)
def last_session_to_leave(m, expiry):
    """Session in which a structure must be closed to be flat on its expiry day.

    The expiry's own session; the one before it where quotes come once a day, after the deadline.
    """
    s = m.exp[expiry].session
    return s - 1 if s > 0 and m.ses[0].decide != -1 else s


# ---------------------------------------------------------------- construction


@njit
def choose_expiry(m, rules, r):
    """Listed expiry nearest the target inside the DTE window (ties: the nearer); -1 if none."""
    day = m.ses[m.row[r].session].day
    low, high = 0, m.exp.shape[0]
    while low < high:  # first expiry with at least dte_min days
        mid = (low + high) // 2
        if m.exp[mid].day - day < rules.dte_min:
            low = mid + 1
        else:
            high = mid
    best, best_gap = -1, NEVER
    for x in range(low, m.exp.shape[0]):
        dte = m.exp[x].day - day
        if dte > rules.dte_max:
            break
        gap = abs(dte - rules.dte_target)
        if gap < best_gap and m.exp[x].first <= r and has_quotes(m, x, r):
            best, best_gap = x, gap
    return best


@njit(**INNER)
def has_quotes(m, x, r):
    """Whether deltas of expiry x can be known at row r."""
    if m.kind == MODEL:
        return True
    if m.row[r].snap < 0:
        return False
    if m.kind == CARRIED and m.row[r].quoted == 0 and slice_of(m, x, r) < 0:
        return False
    for side in range(2):
        first, last = (m.exp[x].put_lo, m.exp[x].put_hi) if side == 0 else (m.exp[x].call_lo, m.exp[x].call_hi)
        for c in range(first, last):
            if cell_index(m, c, r) >= 0:
                return True
    return False


@njit(**INNER)
def strike_range(m, x, right):
    """Contract range of one side of an expiry, strikes ascending."""
    if right == PUT:
        return m.exp[x].put_lo, m.exp[x].put_hi
    return m.exp[x].call_lo, m.exp[x].call_hi


@njit(**INNER)
def nearest_strike(m, first, last, strike_cents):
    """Contract in [first, last) whose strike is nearest (ties: the lower); -1 if the range is empty."""
    low, high = first, last
    while low < high:
        mid = (low + high) // 2
        if m.con[mid].strike < strike_cents:
            low = mid + 1
        else:
            high = mid
    if first >= last:
        return -1
    if low == last:
        return last - 1
    if low > first and strike_cents - m.con[low - 1].strike <= m.con[low].strike - strike_cents:
        return low - 1
    return low


@njit(**INNER)
def listed(m, c, r):
    """Whether contract c could be traded at row r: listed, and in the last snapshot where there is one."""
    if m.con[c].first > r:
        return False
    if m.kind == MODEL:
        return True
    i = cell_index(m, c, r)
    return i >= 0 and m.q_flag[i] < BAD_UNMARKED


@njit(**INNER)
def nearest_listed(m, first, last, strike_cents, r):
    """Like nearest_strike, among the strikes that could be traded at row r: later listings are not seen."""
    low = nearest_strike(m, first, last, strike_cents)
    high = low + 1
    if low >= 0 and m.con[low].strike > strike_cents:
        low, high = low - 1, low
    while low >= first and not listed(m, low, r):
        low -= 1
    while high < last and not listed(m, high, r):
        high += 1
    below = strike_cents - m.con[low].strike if low >= first else NEVER
    above = m.con[high].strike - strike_cents if first <= high < last else NEVER
    if below == NEVER and above == NEVER:
        return -1
    return low if below <= above else high


@njit
def nearest_by_delta(m, x, right, target, low, high, r):
    """Out-of-the-money contract whose absolute delta is nearest `target` inside [low, high]; -1 if none.

    Walks outwards from the strike nearest the spot; unknown deltas are passed over.
    """
    first, last = strike_range(m, x, right)
    c = nearest_listed(m, first, last, int(round(m.row[r].spot * 100.0)), r)
    step = -1 if right == PUT else 1
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
    return best


@njit(**INNER)
def expected_move(m, x, r, quote):
    """One standard deviation of the spot to expiry in $, from the at-the-money straddle's mid; NaN unknown."""
    total = 0.0
    for right in range(2):
        first, last = strike_range(m, x, right)
        c = nearest_listed(m, first, last, int(round(m.row[r].spot * 100.0)), r)
        if c < 0:
            return np.nan
        leg_rows(m, c, r, r + 1, quote)
        if quote[FLAG, 0] == BAD_UNMARKED:
            return np.nan
        total += (quote[BID, 0] + quote[ASK, 0]) / 200.0
    return total / STRADDLE_TO_SD


@njit(**INNER)
def wing_contract(m, rules, x, right, short, scale, r, quote):
    """The long leg that protects `short`, strictly farther out of the money; -1 if none is near enough."""
    first, last = strike_range(m, x, right)
    if rules.wing_rule == DELTA:
        wing = nearest_by_delta(m, x, right, rules.wing_width, 0.4 * rules.wing_width, 2.0 * rules.wing_width, r)
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
    cents = int(round(width * scale * 100.0))
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
def build_structure(m, rules, x, r, legs, quote):
    """Fill `legs` (4 contract ids, -1 unused) for expiry x at row r; returns Reason.ENTER or what is missing."""
    legs[:] = -1
    for right in range(2):
        if (right == PUT and not rules.use_put) or (right == CALL and not rules.use_call):
            continue
        if rules.short_at_money:
            first, last = strike_range(m, x, right)
            short = nearest_listed(m, first, last, int(round(m.row[r].spot * 100.0)), r)
        else:
            short = nearest_by_delta(m, x, right, rules.delta_target, rules.delta_low, rules.delta_high, r)
        if short < 0:
            return Reason.NO_STRIKE
        scale = rules.put_wing_scale if right == PUT else rules.call_wing_scale
        wing = wing_contract(m, rules, x, right, short, scale, r, quote)
        if wing < 0:
            return Reason.NO_WING
        legs[SHORT_PUT if right == PUT else SHORT_CALL] = short
        legs[LONG_PUT if right == PUT else LONG_CALL] = wing
    return Reason.ENTER


@njit(**INNER)
def wider_wing(m, legs):
    """Wider of the two wings in cents."""
    width = 0
    if legs[SHORT_PUT] >= 0:
        width = m.con[legs[SHORT_PUT]].strike - m.con[legs[LONG_PUT]].strike
    if legs[SHORT_CALL] >= 0:
        width = max(width, m.con[legs[LONG_CALL]].strike - m.con[legs[SHORT_CALL]].strike)
    return width


@njit(**INNER)
def holds_opposite(book, slot_count, leg, contract):
    """Whether a contract is held (or being closed) on the other side by an open structure."""
    for p in range(slot_count):
        if book.slot[p].trade >= 0:
            for other in range(LEGS):
                if book.slot[p].legs[other] == contract and LEG_SIGN[other] != LEG_SIGN[leg]:
                    return True
    return False


@njit(**INNER)
def avoid_opposite(m, rules, book, r, legs):
    """Shift shorts outwards and longs inwards until no contract is long here and short there; 0 if impossible.

    The broker nets positions by contract, so the same contract on both sides is refused.
    """
    slots = book.slot.shape[0]
    put_width = m.con[legs[SHORT_PUT]].strike - m.con[legs[LONG_PUT]].strike if legs[SHORT_PUT] >= 0 else 0
    call_width = m.con[legs[LONG_CALL]].strike - m.con[legs[SHORT_CALL]].strike if legs[SHORT_CALL] >= 0 else 0
    for leg in range(LEGS):
        if legs[leg] < 0:
            continue
        right = PUT if leg in (LONG_PUT, SHORT_PUT) else CALL
        first, last = strike_range(m, m.con[legs[leg]].expiry, right)
        outwards = -1 if right == PUT else 1
        step = outwards if LEG_SIGN[leg] < 0 else -outwards  # a vertical gets narrower, never wider
        tries = 0
        while holds_opposite(book, slots, leg, legs[leg]):
            legs[leg] += step
            while first <= legs[leg] < last and not listed(m, legs[leg], r):
                legs[leg] += step  # strikes listed later must make no difference
            tries += 1
            if tries > MOST_SHIFTS or not first <= legs[leg] < last:
                return 0
        if tries > 0 and LEG_SIGN[leg] < 0 and not rules.short_at_money:
            delta = abs(leg_delta(m, legs[leg], r))
            if not rules.delta_low <= delta <= rules.delta_high:
                return 0
    if legs[SHORT_PUT] >= 0 and not near_width(m, legs[LONG_PUT], legs[SHORT_PUT], put_width):
        return 0
    if legs[SHORT_CALL] >= 0 and not near_width(m, legs[SHORT_CALL], legs[LONG_CALL], call_width):
        return 0
    return 1


@njit(**INNER)
def near_width(m, low, high, width_cents):
    """Whether a vertical is still about as wide as it was chosen, and no wider."""
    width = m.con[high].strike - m.con[low].strike
    return low < high and (1.0 - WING_TOLERANCE) * width_cents <= width <= width_cents


@njit(**INNER)
def leg_quotes(m, legs, r, leg_bid, leg_ask, quote):
    """Quotes of all legs at row r into leg_bid, leg_ask (4); 1 if every leg is two-sided."""
    good = 1
    for leg in range(LEGS):
        if legs[leg] >= 0:
            leg_rows(m, legs[leg], r, r + 1, quote)
            leg_bid[leg] = quote[BID, 0]
            leg_ask[leg] = quote[ASK, 0]
            if quote[FLAG, 0] != GOOD:
                good = 0
    return good


@njit(**INNER)
def credit_floor(m, rules, width_cents, r):
    """Smallest credit in cents: the share of the width that the median condor of this width collects."""
    percent = width_cents / m.row[r].spot
    share = rules.min_credit_share * max(0.2, 1.0 - rules.credit_slope * percent)
    return max(1, int(math.ceil(share * width_cents - 1e-9)))


@njit(**INNER)
def propose(m, rules, costs, book, r, equity_cents):
    """The entry decision at row r: Reason.ENTER and a working order in the book, or why not.

    Credits are tested at the price that the fill model promises on the quotes of row r; between
    snapshots these are marks of the carried surface, and the order fills on a real snapshot.
    """
    if m.kind == TABLE and m.row[r].quoted == 0:
        return Reason.NO_QUOTES
    x = choose_expiry(m, rules, r)
    if x < 0:
        return Reason.NO_EXPIRY if m.kind == MODEL or m.row[r].snap >= 0 else Reason.NO_QUOTES
    last = last_session_to_leave(m, x)
    if (rules.expiry_rule == FLAT or m.exp[x].style == 0) and m.exp[x].session >= 0:
        s = m.row[r].session
        if s > last or (s == last and (m.ses[s].decide >= 0 or m.row[r].minute >= flat_minute(m, rules, s))):
            return Reason.EXPIRY_DAY
    legs = book.head.order_legs
    verdict = build_structure(m, rules, x, r, legs, book.leg)
    if verdict != Reason.ENTER:
        return verdict
    if not avoid_opposite(m, rules, book, r, legs):
        return Reason.OPPOSITE_LEG
    good = leg_quotes(m, legs, r, book.head.quote_bid, book.head.quote_ask, book.leg)
    if not good and m.row[r].tradable:
        return Reason.ONE_SIDED
    set_sides(legs, book.head.side, 0)
    natural2, mid2 = package(costs, book.head.side, book.head.quote_bid, book.head.quote_ask)
    credit = -net_cents(natural2, mid2, costs.open_frac, costs.extra_cents)
    width = wider_wing(m, legs)
    floor = credit_floor(m, rules, width, r)
    if credit < floor:
        return Reason.LOW_CREDIT
    contracts = size(rules.contracts, width, credit, int(rules.max_risk_frac * equity_cents))
    if contracts < 1:
        return Reason.SIZE_ZERO
    head = book.head
    head.order_working, head.order_decided, head.order_tries = 1, r, 0
    head.order_contracts, head.order_floor, head.order_width = contracts, floor, width
    head.order_natural2, head.order_mid2 = natural2, mid2
    head.order_budget = int(rules.max_risk_frac * equity_cents)
    return Reason.ENTER


@njit
def set_sides(legs, side, closing):
    """+1 buy, -1 sell, 0 unused, for opening or closing the structure."""
    for leg in range(LEGS):
        if legs[leg] < 0:
            side[leg] = 0
        else:
            side[leg] = -LEG_SIGN[leg] if closing else LEG_SIGN[leg]


# ---------------------------------------------------------------- exits


@njit
def profit_limit(credit_cents, rules):
    """Price in cents at which the resting profit order buys the structure back; -1: no such order."""
    if rules.profit_frac >= 1.0:
        return -1
    return int(math.floor(credit_cents * (1.0 - rules.profit_frac) + 1e-9))


@njit
def stop_level(credit_cents, rules):
    """Cost to close in cents at which the stop triggers; NEVER without a stop."""
    if rules.stop_multiple <= 0.0:
        return NEVER
    return int(math.ceil(credit_cents * (1.0 + rules.stop_multiple) - 1e-9))


@njit
def exit_code(natural_cents, mid2, usable, above, in_edge, credit_cents, rules):
    """(reason, above): why a short structure leaves on this row's price, or NONE.

    natural_cents : cost to close at natural; mid2 : at mid, half-cents; usable : every leg two-sided
    above         : the previous usable row's mid was at or beyond the stop
    in_edge       : first or last minutes of the session, where a mid triggers nothing
    A row without two-sided quotes never triggers a price exit and leaves `above` as it was.
    PROFIT_TARGET is the fill of the resting order, not a decision.
    """
    if not usable:
        return Reason.NONE, above
    if natural_cents <= profit_limit(credit_cents, rules):
        return Reason.PROFIT_TARGET, 0
    level = stop_level(credit_cents, rules)
    if rules.stop_on == NATURAL:
        return (Reason.STOP if natural_cents >= level else Reason.NONE), 0
    if in_edge:
        return Reason.NONE, above
    beyond = 1 if mid2 >= 2 * level else 0
    if beyond and above:
        return Reason.STOP, 1
    return Reason.NONE, beyond
