"""The records that everything is made of: markets, rules, book and events as plain arrays.

Kernels take NamedTuples of arrays and scalars. Prices of options are integer cents per
share; a mid is kept as bid + ask (half-cents), so that nothing is ever rounded by storing it.
Rows are the moments of the clock: the close of each bar, and the moment of an end-of-day
snapshot that comes after the last bar. Times are int64 UTC ns, days int32 since 1970-01-01.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

Array = Any  # numpy arrays; kernels are specialised on their element types

# Rights, and the four leg slots of a structure: long put, short put, short call, long call.
PUT, CALL = 0, 1
LONG_PUT, SHORT_PUT, SHORT_CALL, LONG_CALL = 0, 1, 2, 3
LEGS = 4
LEG_NAMES = ("put_long", "put_short", "call_short", "call_long")
LEG_SIGN = (1, -1, -1, 1)
MULTIPLIER = 100
OPEN_MINUTE = 9 * 60 + 30  # every regular session opens at 09:30 New York

# How a market is quoted.
TABLE, CARRIED, MODEL = 0, 1, 2  # every row quoted | snapshots, a surface between | a surface alone

# What a quote cell holds. GOOD cells alone fill orders or trigger exits.
# two-sided | listed, unusable, holds a fallback mark | not listed, or nothing known
GOOD, BAD_MARKED, BAD_UNMARKED = 0, 1, 2

# Where a price comes from, in order of worth.
KIND_QUOTED, KIND_SURFACE, KIND_MODELLED, KIND_SETTLEMENT = 0, 1, 2, 3
KIND_NAMES = ("quoted", "surface", "modelled", "settlement")

# Settlement of an expiry.
PHYSICAL_PM, CASH_PM, CASH_AM = 0, 1, 2


# Records of a market. Kernels get arrays of records: a record is passed as one pointer, where a tuple of
# sixty arrays would be passed as four hundred values and take minutes to compile.
ROW = [
    ("ts", "i8"),  # UTC ns
    ("spot", "f8"),  # $
    ("session", "i4"),
    ("snap", "i4"),  # the latest snapshot at or before the row, -1 if none
    ("minute", "i2"),  # minutes since midnight New York
    ("quoted", "u1"),  # the row carries a snapshot of its own
    ("tradable", "u1"),  # orders may fill and price exits may trigger here
]
SESSION = [
    ("day", "i4"),  # since 1970-01-01
    ("start", "i4"),  # first row
    ("end", "i4"),  # one past the last row
    ("decide", "i4"),  # the one row that decides where quotes come once a day; -1 any row, -2 no quotes today
    ("close", "i2"),  # closing minute
    ("offset", "i2"),  # New York - UTC, minutes
    ("settle", "f8"),  # official close, $
    ("open", "f8"),  # opening settlement value, $
    ("rate", "f8"),  # cash rate per year, NaN unknown
    ("dividend_yield", "f8"),  # dividend yield per year, NaN unknown
]
EXPIRY = [
    ("day", "i4"),
    ("session", "i4"),  # session of the expiry, -1 if beyond the market
    ("first", "i4"),  # first row at which it is listed
    ("put_lo", "i4"),  # contract ranges, strikes ascending
    ("put_hi", "i4"),
    ("call_lo", "i4"),
    ("call_hi", "i4"),
    ("style", "i4"),  # PHYSICAL_PM, CASH_PM, CASH_AM
    ("ts", "i8"),  # UTC ns of the expiry instant
    ("clock", "f8"),  # the variance clock at that instant
]
CONTRACT = [
    ("expiry", "i4"),
    ("strike", "i4"),  # cents
    ("right", "i4"),
    ("first", "i4"),  # first row at which it is listed
    ("snap_first", "i4"),  # its quote cells: snapshots snap_first..snap_last, contiguous from cell_base
    ("snap_last", "i4"),
    ("cell_base", "i8"),
]
TRACKS = ("spot", "vix", "vix3m", "clock", "since", "move")
SPOT, VIX, VIX3M, CLOCK, SINCE, MOVE = range(len(TRACKS))


def dtype_of(fields: list[Any]) -> Any:
    return np.dtype(fields, align=True)


class Market(NamedTuple):
    """One market as the kernels see it; every array is read-only.

    N rows, S sessions, X expiries, C contracts, Q snapshots. Contracts are sorted by expiry, right
    (put, call) and strike. Quote cells lie contract by contract, each contiguous in time.
    """

    kind: int  # TABLE, CARRIED or MODEL
    row: Array  # ROW (N)
    track: Array  # float64 (6, N), see TRACKS: $, points, points, years, minutes, return since the last close
    ses: Array  # SESSION (S)
    exp: Array  # EXPIRY (X)
    con: Array  # CONTRACT (C)
    q_bid: Array  # int32 cents
    q_ask: Array  # int32 cents
    q_flag: Array  # uint8 GOOD, BAD_MARKED, BAD_UNMARKED
    q_delta: Array  # float32, NaN unknown
    q_stick: Array  # float64 (Q) skew stickiness known at the snapshot
    v_index: Array  # int32 (Q, X) slice of an expiry at a snapshot, -1 none
    v_slice: Array  # float64 (V, 9): spot, forward, a, b, rho, m, sigma, years, discount
    quote_kind: int  # what a quote of this market is: KIND_QUOTED or KIND_MODELLED
    shape: Any  # ModelShape of the modelled surface, as a record
    price_scale: float  # 1 for SPY, 10 for the index


class Rules(NamedTuple):
    """The strategy's settings as numbers (see options_strategy.rules_from)."""

    use_put: int
    use_call: int
    short_at_money: int
    dte_min: int
    dte_max: int
    dte_target: int
    delta_target: float
    delta_low: float
    delta_high: float
    wing_rule: int  # POINTS, PERCENT, EXPECTED_MOVE, DELTA
    wing_width: float
    put_wing_scale: float
    call_wing_scale: float
    min_credit_share: float  # of the width: the median for the wing rule times the setting
    credit_slope: float  # how that median falls with the width in per cent of spot
    window_start: int
    window_end: int
    weekday_mask: int
    min_days_between: int
    max_new_per_day: int
    min_minutes_between: int
    max_positions: int
    contracts: int
    max_risk_frac: float
    profit_frac: float
    stop_multiple: float
    stop_on: int  # NATURAL or MID
    exit_dte: int
    max_hold_days: int
    time_exit_from: int
    expiry_rule: int  # FLAT or SETTLE
    flat_from: int
    flat_before_early_close: int
    edge_minutes: int
    enter: int  # 0: only scripted orders trade


class Costs(NamedTuple):
    """How packages fill and what they cost (see core.costs)."""

    order_type: int  # FRACTION or LIMIT
    open_frac: float  # net = natural + frac * (mid - natural)
    close_frac: float
    order_life: int  # tradable rows an entry order may work
    limit_steps: int
    fee_buy: float  # $ per contract bought, exchange and regulatory fees included
    fee_sell: float
    free_close: int  # cents: closing buys at or below cost no commission
    commission: float  # $ per contract, the part that a free close saves
    extra_cents: float  # stress: each package's net worsens by so many cents per share
    spread_multiple: float  # stress: the half-spread of every leg is multiplied by this
    interest: int  # 1: cash earns the bill rate


SLOT = [
    ("trade", "i4"),  # trade number, -1 when the slot is free
    ("expiry", "i4"),
    ("contracts", "i4"),
    ("credit", "i4"),  # cents per share received
    ("width", "i4"),  # wider wing, cents
    ("opened", "i4"),  # row of the fill
    ("closing", "i4"),  # reason of a working close, 0 none
    ("decided", "i4"),  # row at which the close was decided
    ("above", "i4"),  # the last mid was beyond the stop
    ("tries", "i4"),  # rows a close has been working
    ("event", "i4"),  # next row at which the slot needs attention
    ("clean", "i4"),  # 1: every row laid out in the scratch is usable
    ("legs", "i4", (LEGS,)),  # contract ids, -1 unused
    ("last_mid2", "i8"),  # last known mark, half-cents per share
    ("mae", "i8"),  # cents, worst and best open P&L
    ("mfe", "i8"),
    ("seen_natural2", "i8"),  # quotes last seen by a working close, half-cents
    ("seen_mid2", "i8"),
]
HEAD = [
    ("cash", "i8"),  # cents
    ("peak", "i8"),  # cents, highest equity
    ("trades", "i8"),
    ("fills", "i8"),
    ("missed", "i8"),
    ("session", "i8"),
    ("new_today", "i8"),
    ("last_entry", "i8"),  # row
    ("interest_day", "i8"),
    ("script", "i8"),  # next stated order
    ("order_working", "i4"),
    ("order_decided", "i4"),
    ("order_contracts", "i4"),
    ("order_floor", "i4"),  # smallest credit accepted, cents
    ("order_tries", "i4"),
    ("order_width", "i4"),
    ("order_budget", "i8"),  # cents that the structure may lose
    ("order_natural2", "i8"),  # quotes last seen, half-cents
    ("order_mid2", "i8"),
    ("order_legs", "i4", (LEGS,)),
    ("side", "i4", (LEGS,)),  # scratch: +1 buy, -1 sell, 0 unused
    ("quote_bid", "i4", (LEGS,)),  # scratch
    ("quote_ask", "i4", (LEGS,)),  # scratch
    ("price2", "i8", (LEGS,)),  # scratch
]


class Book(NamedTuple):
    """Everything that carries over from row to row, and the scratch space of a session (W rows)."""

    head: Any  # HEAD record
    slot: Array  # SLOT (P), one per open structure
    path: Array  # int32 (3, P + 1, W): MID2, NATURAL and USABLE of each slot per row of the session; slot P is scratch
    leg: Array  # int32 (3, W) scratch: BID, ASK, FLAG of one leg per row


MID2, NATURAL_CENTS, USABLE_ROW = 0, 1, 2
BID, ASK, FLAG = 0, 1, 2


class Ledger(NamedTuple):
    """What a run writes: columns by clock row, a row per trade, a row per cash event."""

    rows: Array  # int64 (4, N) cents: CASH, MARKS at mid, LIQUIDATION at natural, DRAWDOWN below the running peak
    codes: Array  # uint8 (2, N): VERDICT (a Reason), SOFT (1: a mark did not come from two-sided quotes of the row)
    t_int: Array  # int64 (T, TRADE_FIELDS)
    f_int: Array  # int64 (F, FILL_FIELDS)


CASH, MARKS, LIQUIDATION, DRAWDOWN = 0, 1, 2, 3
VERDICT, SOFT = 0, 1


# Stated orders to replay: legs, rows and prices are given, nothing is decided.
SCRIPT = [
    ("row", "i4"),
    ("key", "i4"),  # number of the structure
    ("opens", "i4"),
    ("contracts", "i4"),
    ("legs", "i4", (LEGS,)),
    ("price2", "i8", (LEGS,)),  # half-cents per share
]


def record_of(values: Any) -> Any:
    """A NamedTuple of numbers as one record: int fields as i8, float fields as f8."""
    kinds = [(name, "i8" if isinstance(value, int) else "f8") for name, value in values._asdict().items()]
    table = np.zeros(1, dtype_of(kinds)).view(np.recarray)
    for name, value in values._asdict().items():
        table[name] = value
    return table[0]


# Columns of Ledger.t_int and Ledger.f_int, by name.
TRADE_FIELDS = (
    "opened decided expiry leg0 leg1 leg2 leg3 contracts credit width fees closed exit_decided debit reason "
    "pnl mae mfe max_loss overshoot kinds mark key"
).split()
# A fill moves quantity x price2 / 2 x 100 cents; an amount of money (interest) quantity x price2 / 2 cents.
FILL_FIELDS = "row trade event leg contract quantity price2 bid ask fee snap kind reason".split()
T = {name: i for i, name in enumerate(TRADE_FIELDS)}
F = {name: i for i, name in enumerate(FILL_FIELDS)}

EVENT_FILL, EVENT_SETTLEMENT, EVENT_INTEREST = 0, 1, 2
EVENT_NAMES = ("fill", "settlement", "interest")


class Reasons(NamedTuple):
    """Why a row did what it did, and why a trade closed. Words in REASONS."""

    NONE: int = 0
    ENTER: int = 1
    NO_QUOTES: int = 2
    WEEKDAY: int = 3
    WINDOW: int = 4
    MAX_POSITIONS: int = 5
    ORDER_WORKING: int = 6
    SCHEDULE: int = 7
    NO_EXPIRY: int = 8
    NO_STRIKE: int = 9
    NO_WING: int = 10
    ONE_SIDED: int = 11
    LOW_CREDIT: int = 12
    OPPOSITE_LEG: int = 13
    SIZE_ZERO: int = 14
    MISSED: int = 15
    EXPIRY_DAY: int = 17
    SCRIPTED: int = 18
    PROFIT_TARGET: int = 20
    STOP: int = 21
    DTE_EXIT: int = 22
    MAX_HOLD: int = 23
    EXPIRY_FLAT: int = 24
    SETTLED: int = 25
    STATED: int = 26
    CLOSE_WORKING: int = 27
    OPEN_AT_END: int = 28


Reason = Reasons()  # an instance, so that kernels read its fields as constants
REASONS = {
    Reason.NONE: ("none", "nothing recorded"),
    Reason.ENTER: ("enter", "entry order submitted"),
    Reason.NO_QUOTES: ("skip", "no option quotes are known yet"),
    Reason.WEEKDAY: ("skip", "weekday not traded"),
    Reason.WINDOW: ("skip", "outside the entry window"),
    Reason.MAX_POSITIONS: ("skip", "maximum number of open positions reached"),
    Reason.ORDER_WORKING: ("wait", "an entry order is working"),
    Reason.SCHEDULE: ("skip", "schedule: too soon after the last entry"),
    Reason.NO_EXPIRY: ("skip", "no listed expiry inside the DTE window"),
    Reason.NO_STRIKE: ("skip", "no short strike inside the delta band"),
    Reason.NO_WING: ("skip", "no long strike at the wing's distance"),
    Reason.ONE_SIDED: ("skip", "a leg has no two-sided quote"),
    Reason.LOW_CREDIT: ("skip", "credit below the minimum for its wing rule"),
    Reason.OPPOSITE_LEG: ("skip", "a contract is already held on the other side"),
    Reason.SIZE_ZERO: ("skip", "risk budget below one contract"),
    Reason.MISSED: ("skip", "entry order missed its price and was cancelled"),
    Reason.EXPIRY_DAY: ("skip", "too late on the expiry's own day"),
    Reason.SCRIPTED: ("scripted", "only stated orders trade in this run"),
    Reason.PROFIT_TARGET: ("exit", "profit target"),
    Reason.STOP: ("exit", "stop"),
    Reason.DTE_EXIT: ("exit", "days to expiry"),
    Reason.MAX_HOLD: ("exit", "maximum holding time"),
    Reason.EXPIRY_FLAT: ("exit", "flat before expiry"),
    Reason.SETTLED: ("exit", "settled at expiry"),
    Reason.STATED: ("exit", "stated close"),
    Reason.CLOSE_WORKING: ("wait", "a close is working: no two-sided quote yet, or natural beyond the width"),
    Reason.OPEN_AT_END: ("open", "open when the market ends"),
}
REASON_NAMES = {code: name.lower() for name, code in Reason._asdict().items()}

POINTS, PERCENT, EXPECTED_MOVE, DELTA = 0, 1, 2, 3
NATURAL, MID = 0, 1
FLAT, SETTLE = 0, 1
FRACTION, LIMIT = 0, 1
