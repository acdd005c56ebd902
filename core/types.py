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
SMILE_LEGS = 3  # options of the smile hedge
LEG_NAMES = ("put_long", "put_short", "call_short", "call_long")
LEG_SIGN = (1, -1, -1, 1)
MULTIPLIER = 100
OPEN_MINUTE = 9 * 60 + 30  # every regular session opens at 09:30 New York

# How a market is quoted.
NS_PER_YEAR = 365.0 * 86400.0 * 1e9
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
    ("dividend", "f8"),  # $ a share for which the underlying goes ex at the session's open; 0 none, NaN unknown
]
EXPIRY = [
    ("day", "i4"),
    ("session", "i8"),  # session of the expiry, -1 if beyond the market
    ("first", "i4"),  # first row at which it is listed
    ("put_lo", "i8"),  # contract ranges, strikes ascending
    ("put_hi", "i8"),
    ("call_lo", "i8"),
    ("call_hi", "i8"),
    ("style", "i4"),  # PHYSICAL_PM, CASH_PM, CASH_AM
    ("ts", "i8"),  # UTC ns of the expiry instant
    ("clock", "f8"),  # the variance clock at that instant
]
CONTRACT = [
    ("expiry", "i8"),
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


# What is known of a row beyond its price: columns computed once per setting (core.features.signals), NaN unknown.
SIGNALS = (
    "consensus",  # of the timeframes' trends: 0 bearish agreement, 0.5 none, 1 bullish agreement
    "trend_5",  # -1 falling .. 1 rising, by closed bars of 5, 15, 60 minutes
    "trend_15",
    "trend_60",
    "stretch_5",  # close less its mean, in average true ranges
    "stretch_15",
    "stretch_60",
    "rsi",  # 0..100
    "adx",  # 0..100
    "stochastic",  # 0..100, slow %K
    "bb_position",  # 0 lower band, 1 upper band
    "bb_width",  # band width / middle
    "volume_ratio",  # volume / its mean before
    "sma_distance",  # close / mean - 1
    "trend_strength",  # ADX of 60-minute bars, 0..100
    "day_distance",  # spot / mean of the last closes of sessions - 1
    "day_atr",  # average true range of sessions / close
    "iv",  # at-the-money volatility at 30 days, per year
    "iv_rank",  # 100 (iv - min) / (max - min) of the sessions before: beyond 0..100 on a new extreme
    "iv_percentile",  # share of the sessions before that were strictly below, 0..100
    "vix",  # index points
    "term",  # VIX / VIX3M
    "realised",  # volatility of the sessions before, nights included, per year
    "vol_ratio",  # realised / iv
    "turbulent",  # filtered probability of the turbulent regime
    "regime",  # REGIMES code
    "score",  # fuzzy, 0..1
    "confidence",  # share of the rules' weight whose inputs were known
)
SIGNAL = {name: i for i, name in enumerate(SIGNALS)}
REGIMES = ("unknown", "range", "high_vol", "trend_up", "trend_down", "crash")
UNKNOWN_REGIME, RANGE, HIGH_VOL, TREND_UP, TREND_DOWN, CRASH = range(len(REGIMES))
GATE, LEAVE = 0, 1  # rows of Market.gate
SIZE, INTEREST, TRADED = 0, 1, 2  # of Market.q_depth: smaller of the sizes shown, open interest, volume of the day


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
    q_vol: Array  # float32 of a TABLE: volatility that the cell's mid implies, no carry, NaN unless GOOD; else empty
    q_stick: Array  # float64 (Q) skew stickiness known at the snapshot
    v_index: Array  # int32 (Q, X) slice of an expiry at a snapshot, -1 none
    v_slice: Array  # float64 (V, 9): spot, forward, a, b, rho, m, sigma, years, discount
    quote_kind: int  # what a quote of this market is: KIND_QUOTED or KIND_MODELLED
    shape: Any  # ModelShape of the modelled surface, as a record
    price_scale: float  # 1 for SPY, 10 for the index
    q_depth: Array  # int32 (3, cells): SIZE, INTEREST, TRADED; (3, 0) where unknown or no rule reads them
    signal: Array  # float64 (len(SIGNALS), N), or (len(SIGNALS), 0) where no rule needs them
    gate: Array  # uint8 (2, N) Reasons: why nothing may be opened on a row, why everything must be left; 0 neither


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
    # construction
    by_edge: int  # 1: the expiry with the best expected edge a day, 0: nearest to the target
    skew_penalty: float  # of a strike whose volatility is below the money's, in units of delta
    widen: float  # wings are so many times wider where volatility is high
    widen_iv_rank: float  # from this IV percentile on
    widen_mask: int  # or in these regimes (bit per regime)
    credit_iv_scale: float  # how the smallest credit moves with the IV percentile
    iv_signal: int  # SIGNAL of the measure in use: rank or percentile
    # entry
    max_leg_spread: float  # share of a short's mid; 0 off
    min_size: int
    min_interest: int
    min_volume: int
    max_breach: float  # 1 off
    local_vol: int  # 1: breach probabilities by the PDE on the snapshot's smiles
    wait_after_exit: int  # calendar days
    wait_after_loss: int
    # size
    fuzzy_scale: float
    high_vol_factor: float
    trend_factor: float
    crash_factor: float
    vol_low: float
    vol_high: float
    vol_floor: float
    vol_target: float  # 0 off
    kelly_frac: float  # 0 off
    kelly_min_trades: int
    # exits
    by_side: int  # 1: target and stop judge each vertical on its own
    trail_from: float  # 0 off
    trail_giveback: float
    stop_scale: int  # NO_SCALE, ATR_SCALE, VOL_SCALE
    stop_scale_range: float
    exit_breach: float  # 1 off
    cheap_short: int  # cents; 0 off
    # management of a tested side
    watches_market: int  # 1: a regime or a tested short may ask for an exit
    tested_action: int  # NO_ACTION, CLOSE_ALL, CLOSE_SIDE, CLOSE_SHORT, ROLL_UNTESTED
    tested_distance: float  # of spot
    roll_delta: float
    roll_min_credit: int  # cents
    roll_min_dte: int
    max_rolls: int
    roll_out: int  # NEVER_OUT, OUT_AT_DTE, OUT_TESTED
    roll_out_min_credit: int  # cents
    max_rolls_out: int
    # hedge
    delta_band: float  # shares; 0 off
    hedge_minutes: int
    smile: int  # 1: vanna and volga above the budget are hedged with three options
    smile_budget: float  # of the credit received


class Limits(NamedTuple):
    """What the risk manager allows (see core.risk_manager.limits_from); a cap of 0 is off."""

    margin: int  # NO_MARGIN, ALPACA, REG_T, IBKR, PORTFOLIO
    power_share: float  # of the cash that margin may bind
    greeks: int  # 1: some cap on the greeks of an entry or of the book is on
    trade_delta: float  # shares
    trade_gamma: float  # shares per $
    trade_vega: float  # $ per vol point
    trade_theta: float  # $ per calendar day
    trade_loss: int  # cents at most lost by one entry
    book_delta: float
    book_gamma: float
    book_vega: float
    book_theta: float
    book_loss: int  # cents: sum of the largest losses of all structures
    book_contracts: int
    expiry_loss_share: float  # of equity: sum of the largest losses in one expiry
    shock_loss_share: float  # of equity: what the book may lose at the worst of SHOCK_MOVES
    shock_vol: float  # relative rise of every volatility for each per cent that the spot falls
    daily_loss_share: float  # of the last session's equity
    drawdown_share: float  # of the highest equity
    drawdown_rest: int  # calendar days after which trading goes on, from a new high; 0: it ends
    halt_closes: int  # 1: a halt closes everything
    losses_in_row: int
    losses_rest: int  # calendar days
    kill_from: int  # day since 1970 from which the kill switch is thrown; -1 never
    early_exercise: int  # 1: holders exercise early where that pays
    assigned_share: float  # of the contracts that are assigned then
    pin_band: int  # cents: a short so near its strike at expiry is assigned though out of the money
    liquidates: int  # 1: the broker buys back an endangered short on the expiry's afternoon


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


MOST_DUE = 8  # campaigns that may wait to be rolled out at one time
MOST_DUE_TRIES = 6  # rows on which a later expiry is looked for; on five-minute bars half an hour
# Parts of a structure that one order may close, as masks of legs (bit per leg); ROLL closes a side and opens a new one.
ALL_LEGS, PUT_SIDE, CALL_SIDE = 0b1111, 0b0011, 0b1100
ONE_SHORT_PUT, ONE_SHORT_CALL = 0b0010, 0b0100
ROLL = 0b10000
ROLL_PUT, ROLL_CALL = ROLL | PUT_SIDE, ROLL | CALL_SIDE
SHARES = 0b100000  # the shares that an exercise left
NO_SCALE, ATR_SCALE, VOL_SCALE = 0, 1, 2
NO_ACTION, CLOSE_ALL, CLOSE_SIDE, CLOSE_SHORT, ROLL_UNTESTED = 0, 1, 2, 3, 4
NEVER_OUT, OUT_AT_DTE, OUT_TESTED = 0, 1, 2

SLOT = [
    ("trade", "i8"),  # trade number, -1 when the slot is free
    ("campaign", "i8"),  # trade number of the first structure of a chain of rolls
    ("expiry", "i8"),
    ("contracts", "i8"),
    ("stock", "i8"),  # shares that exercise left, in hundreds per contract: -1, 0 or 1
    ("credit", "i8"),  # cents per share received
    ("width", "i8"),  # wider wing, cents
    ("opened", "i8"),  # row of the fill
    ("closing", "i8"),  # reason of a working close, 0 none
    ("decided", "i8"),  # row at which the close was decided
    ("above", "i8"),  # the last mid was beyond the stop
    ("tries", "i8"),  # rows a close has been working
    ("event", "i8"),  # next row at which the slot needs attention
    ("clean", "i8"),  # 1: every row laid out in the scratch is usable
    ("part", "i8"),  # what the working close closes: PARTS of legs, or a roll
    ("paid", "i8"),  # cents per share paid (received < 0) since entry for parts closed and sides rolled
    ("target", "i8"),  # natural cost of what is left at which the resting profit order fills
    ("stop", "i8"),  # and at which the stop triggers; NEVER without
    ("best", "i8"),  # lowest natural cost seen since the trailing stop was armed; NEVER before
    ("rolls", "i8"),  # sides rolled so far
    ("rolls_out", "i8"),  # expiries rolled so far in this campaign
    ("tested_on", "i8"),  # session in which the tested side was last acted on
    ("breach_on", "i8"),  # session in which the breach probability was last computed, and what it was
    ("breach", "f8"),
    ("stop_shift", "f8"),  # added to stop_multiple by stop_scale, fixed at entry
    ("side_credit2", "i8", (2,)),  # half-cents received for the put and the call vertical
    ("new_legs", "i8", (2,)),  # short and long of a working roll
    ("legs", "i8", (LEGS,)),  # contract ids, -1 unused
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
    ("adjustments", "i8"),
    ("closed_trade", "i8"),  # scratch: the trade whose order is being filled
    ("shares", "i8"),  # of the hedge, signed
    ("hedge_shares", "i8"),  # of the working hedge order, signed; 0 none
    ("hedge_decided", "i8"),  # row
    ("smile_held", "i8"),  # 1: the smile hedge below is held
    ("smile_working", "i8"),  # 1: an order for it works; it closes what is held, else opens it
    ("smile_decided", "i8"),  # row
    ("smile_contract", "i8", (SMILE_LEGS,)),  # 25-delta put, option at the money, 25-delta call
    ("smile_quantity", "i8", (SMILE_LEGS,)),  # contracts held or to be opened, signed; 0 unused
    ("smile_mid2", "i8", (SMILE_LEGS,)),  # last known marks, half-cents per share
    ("smile_greeks", "f8", (6,)),  # scratch: core.exposure.GREEKS of the book
    ("smile_leg", "f8", (6,)),  # scratch: of one contract
    ("smile_matrix", "f8", (SMILE_LEGS, SMILE_LEGS)),  # scratch: vega, vanna, volga by option
    ("smile_cost", "f8", (SMILE_LEGS,)),  # scratch: $ to trade one contract
    ("equity", "i8"),  # cents, on the last row booked
    ("day_equity", "i8"),  # cents, on the last row of the session before
    ("risk_peak", "i8"),  # cents, highest equity since trading last went on
    ("halt", "i8"),  # reason of the halt in force, 0 none
    ("halt_day", "i8"),  # day on which it began
    ("losses", "i8"),  # trades lost in a row
    ("pause_until", "i8"),  # day before which nothing is opened after them
    ("margin", "i8"),  # cents that the broker binds for the book
    ("need", "i8"),  # of the last entry that did not fit: what it would bind and what there was, cents
    ("room", "i8"),
    ("margin_sides", "i8", (4,)),  # scratch: core.margin.add_sides
    ("risk_book", "f8", (4,)),  # scratch: delta, gamma, vega, theta
    ("risk_each", "f8", (4,)),
    ("cool_until", "i8"),  # day before which nothing is opened
    ("won", "i8"),  # closed trades by result, and the sums of their P&L per contract in cents, both positive
    ("lost", "i8"),
    ("won_cents", "i8"),
    ("lost_cents", "i8"),
    ("due", "i8"),  # campaigns waiting to be opened again in a later expiry
    ("due_campaign", "i8", (MOST_DUE,)),
    ("due_out", "i8", (MOST_DUE,)),  # how often each was rolled out, this time included
    ("due_debit", "i8", (MOST_DUE,)),  # cents per share paid to close it
    ("due_day", "i8", (MOST_DUE,)),  # day of the expiry that was closed
    ("due_until", "i8", (MOST_DUE,)),  # last session in which it is tried
    ("due_tries", "i8", (MOST_DUE,)),  # rows on which it was tried
    ("edge_session", "i8"),  # the session whose expiry of best edge is known, and that expiry
    ("edge_expiry", "i8"),
    ("breach_session", "i8"),  # the entry candidate whose breach probability was computed last, and what it was
    ("breach_legs", "i8", (LEGS,)),
    ("breach_chance", "f8"),
    ("deal_legs", "i8", (LEGS,)),  # scratch: contracts of the package that is being filled, -1 unused
    ("deal_leg", "i8", (LEGS,)),  # scratch: the leg of the structure that each is
    ("order_working", "i8"),
    ("order_decided", "i8"),
    ("order_contracts", "i8"),
    ("order_floor", "i8"),  # smallest credit accepted, cents
    ("order_tries", "i8"),
    ("order_width", "i8"),
    ("order_credit", "i8"),  # cents per share that the fills promised where it was decided
    ("order_budget", "i8"),  # cents that the structure may lose
    ("order_natural2", "i8"),  # quotes last seen, half-cents
    ("order_mid2", "i8"),
    ("order_campaign", "i8"),  # -1: a new one
    ("order_out", "i8"),  # how often that campaign has been rolled out
    ("order_legs", "i8", (LEGS,)),
    ("side", "i8", (LEGS,)),  # scratch: +1 buy, -1 sell, 0 unused
    ("quote_bid", "i4", (LEGS,)),  # scratch
    ("quote_ask", "i4", (LEGS,)),  # scratch
    ("price2", "i8", (LEGS,)),  # scratch
]


class Book(NamedTuple):
    """Everything that carries over from row to row, and the scratch space of a session (W rows)."""

    head: Any  # HEAD record
    slot: Array  # SLOT (P), one per open structure
    path: Array  # int32 (9, P + 1, W): see MID2 .. SHORT_ASK, of each slot per row of the session; slot P is scratch
    leg: Array  # int32 (3, W) scratch: BID, ASK, FLAG of one leg per row


MID2, NATURAL_CENTS, USABLE_ROW = 0, 1, 2
SIDE_NATURAL, SIDE_USABLE, SHORT_ASK = 3, 5, 7  # + 0 put, + 1 call; laid out only for rules that watch sides
BID, ASK, FLAG = 0, 1, 2


class Ledger(NamedTuple):
    """What a run writes: columns by clock row, a row per trade, a row per cash event."""

    rows: Array  # int64 (5, N) cents: CASH, MARKS at mid, LIQUIDATION at natural, DRAWDOWN below the peak, MARGIN bound
    codes: Array  # uint8 (2, N): VERDICT (a Reason), SOFT (1: a mark did not come from two-sided quotes of the row)
    t_int: Array  # int64 (T, TRADE_FIELDS)
    f_int: Array  # int64 (F, FILL_FIELDS)
    a_int: Array  # int64 (A, ADJUSTMENT_FIELDS)


CASH, MARKS, LIQUIDATION, DRAWDOWN, MARGIN = range(5)
VERDICT, SOFT = 0, 1


# Stated orders to replay: legs, rows and prices are given, nothing is decided.
SCRIPT = [
    ("row", "i8"),
    ("key", "i8"),  # number of the structure
    ("opens", "i8"),
    ("contracts", "i8"),
    ("legs", "i8", (LEGS,)),
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
    "pnl mae mfe max_loss overshoot kinds mark key campaign floor"
).split()
# A fill of options moves quantity x price2 / 2 x 100 cents; shares and amounts of money quantity x price2 / 2 cents.
FILL_FIELDS = "row trade event leg contract quantity price2 bid ask fee snap kind reason".split()
# An adjustment: what was decided and filled, what was closed (PARTS), the new legs of a roll, its net in cents a share.
ADJUSTMENT_FIELDS = "row decided trade part reason contracts net new_short new_long".split()
A = {name: i for i, name in enumerate(ADJUSTMENT_FIELDS)}
T = {name: i for i, name in enumerate(TRADE_FIELDS)}
F = {name: i for i, name in enumerate(FILL_FIELDS)}

# An option that is assigned or exercised goes at 0, its shares change hands at the strike; SHARES are sold on later.
EVENT_FILL, EVENT_SETTLEMENT, EVENT_INTEREST, EVENT_HEDGE = 0, 1, 2, 3
EVENT_ASSIGNMENT, EVENT_EXERCISE, EVENT_DIVIDEND, EVENT_SHARES, EVENT_TRANSFER = 4, 5, 6, 7, 8
EVENT_NAMES = ("fill", "settlement", "interest", "hedge", "assignment", "exercise", "dividend", "fill", "transfer")
MONEY_EVENTS = (EVENT_INTEREST, EVENT_DIVIDEND)


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
    SIGNAL_UNKNOWN: int = 30
    CONSENSUS: int = 31
    STRETCH: int = 32
    SCORE: int = 33
    CONFIDENCE: int = 34
    REGIME: int = 35
    IV_RANK: int = 36
    VIX_LEVEL: int = 37
    TERM: int = 38
    VOL_RATIO: int = 39
    RSI: int = 40
    ADX: int = 41
    STOCHASTIC: int = 42
    VOLUME: int = 43
    SMA_DISTANCE: int = 44
    EVENT: int = 45
    ILLIQUID: int = 46
    BREACH: int = 47
    BREACH_UNKNOWN: int = 48
    EDGE_UNKNOWN: int = 49
    COOLDOWN: int = 50
    SIZE_SCALED: int = 51
    SIZE_UNKNOWN: int = 52
    ROLL_OUT_CREDIT: int = 53
    SIDE_TARGET: int = 60
    SIDE_STOP: int = 61
    TRAILING: int = 62
    REGIME_EXIT: int = 63
    BREACH_EXIT: int = 64
    TESTED: int = 65
    CHEAP_SHORT: int = 66
    ROLLED: int = 67
    ROLL_OUT: int = 68
    ASSIGNED: int = 70
    EXERCISED: int = 71
    PINNED: int = 72
    LIQUIDATED: int = 73
    MARGIN: int = 80
    RISK_UNKNOWN: int = 81
    TRADE_DELTA: int = 82
    TRADE_GAMMA: int = 83
    TRADE_VEGA: int = 84
    TRADE_THETA: int = 85
    TRADE_LOSS: int = 86
    BOOK_DELTA: int = 87
    BOOK_GAMMA: int = 88
    BOOK_VEGA: int = 89
    BOOK_THETA: int = 90
    BOOK_LOSS: int = 91
    BOOK_CONTRACTS: int = 92
    EXPIRY_LOSS: int = 93
    SHOCK_LOSS: int = 94
    DAILY_LOSS: int = 95
    DRAWDOWN: int = 96
    LOSSES_IN_ROW: int = 97
    KILLED: int = 98
    STALE: int = 110
    CLOSING_ONLY: int = 111
    DAY_CAP: int = 112
    EQUITY_LOSS: int = 113
    REFUSED: int = 114
    CLOCK_SKEW: int = 115
    BROKER_CHANGED: int = 116


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
    Reason.SIGNAL_UNKNOWN: ("skip", "a signal that a filter needs is not known (warming up, or not in this market)"),
    Reason.CONSENSUS: ("skip", "timeframes' consensus outside its band"),
    Reason.STRETCH: ("skip", "price stretched away from its mean"),
    Reason.SCORE: ("skip", "fuzzy score below its minimum"),
    Reason.CONFIDENCE: ("skip", "fuzzy confidence below its minimum: too many inputs unknown"),
    Reason.REGIME: ("skip", "regime not traded"),
    Reason.IV_RANK: ("skip", "IV rank outside its band"),
    Reason.VIX_LEVEL: ("skip", "VIX outside its band"),
    Reason.TERM: ("skip", "VIX above VIX3M by more than allowed"),
    Reason.VOL_RATIO: ("skip", "realised volatility too high against implied"),
    Reason.RSI: ("skip", "RSI outside its band"),
    Reason.ADX: ("skip", "ADX too high: a trend"),
    Reason.STOCHASTIC: ("skip", "stochastic outside its band"),
    Reason.VOLUME: ("skip", "volume too low"),
    Reason.SMA_DISTANCE: ("skip", "price too far from its moving average"),
    Reason.EVENT: ("skip", "an event of the calendar is near"),
    Reason.ILLIQUID: ("skip", "a leg is too illiquid: spread, size, open interest or volume"),
    Reason.BREACH: ("skip", "probability of a breach too high"),
    Reason.BREACH_UNKNOWN: ("skip", "probability of a breach unknown: no volatility or no surface"),
    Reason.EDGE_UNKNOWN: ("skip", "expected edge unknown: no forecast of volatility"),
    Reason.COOLDOWN: ("skip", "waiting after an exit"),
    Reason.SIZE_SCALED: ("skip", "size scaled below one contract by score, regime, volatility or Kelly"),
    Reason.SIZE_UNKNOWN: ("skip", "size unknown: a signal that scales it is not known"),
    Reason.ROLL_OUT_CREDIT: ("skip", "no later expiry pays enough to roll out to"),
    Reason.SIDE_TARGET: ("exit", "profit target of one side"),
    Reason.SIDE_STOP: ("exit", "stop of one side"),
    Reason.TRAILING: ("exit", "trailing stop on kept credit"),
    Reason.REGIME_EXIT: ("exit", "regime"),
    Reason.BREACH_EXIT: ("exit", "probability of a breach"),
    Reason.TESTED: ("exit", "short strike tested"),
    Reason.CHEAP_SHORT: ("exit", "short bought back cheaply"),
    Reason.ROLLED: ("adjust", "untested side rolled"),
    Reason.ROLL_OUT: ("exit", "closed to be rolled out"),
    Reason.ASSIGNED: ("exit", "assigned early: shares and what is left are closed"),
    Reason.EXERCISED: ("exit", "exercised at expiry: its shares are closed"),
    Reason.PINNED: ("exit", "assigned at expiry near its strike: its shares are closed"),
    Reason.LIQUIDATED: ("exit", "the broker bought back a short on the expiry's afternoon"),
    Reason.MARGIN: ("skip", "margin: the entry does not fit the buying power"),
    Reason.RISK_UNKNOWN: ("skip", "risk unknown: a held or proposed leg has no volatility"),
    Reason.TRADE_DELTA: ("skip", "delta of one entry above its cap"),
    Reason.TRADE_GAMMA: ("skip", "gamma of one entry above its cap"),
    Reason.TRADE_VEGA: ("skip", "vega of one entry above its cap"),
    Reason.TRADE_THETA: ("skip", "theta of one entry above its cap"),
    Reason.TRADE_LOSS: ("skip", "largest loss of one entry above its cap"),
    Reason.BOOK_DELTA: ("skip", "delta of the book above its cap"),
    Reason.BOOK_GAMMA: ("skip", "gamma of the book above its cap"),
    Reason.BOOK_VEGA: ("skip", "vega of the book above its cap"),
    Reason.BOOK_THETA: ("skip", "theta of the book above its cap"),
    Reason.BOOK_LOSS: ("skip", "largest losses of the book above their cap"),
    Reason.BOOK_CONTRACTS: ("skip", "open contracts above their cap"),
    Reason.EXPIRY_LOSS: ("skip", "largest losses of one expiry above their cap"),
    Reason.SHOCK_LOSS: ("skip", "loss of the book under a shock of the spot above its cap"),
    Reason.DAILY_LOSS: ("halt", "daily loss: entries go on next session"),
    Reason.DRAWDOWN: ("halt", "drawdown: entries go on after risk.drawdown_rest days, or never"),
    Reason.LOSSES_IN_ROW: ("halt", "too many losses in a row: entries go on after risk.losses_rest days"),
    Reason.KILLED: ("halt", "kill switch: everything is closed and stays closed"),
    Reason.STALE: ("skip", "the bar or its quotes came too late, or too few of them are usable"),
    Reason.CLOSING_ONLY: ("halt", "book and broker differ: positions are managed and closed, nothing is opened"),
    Reason.DAY_CAP: ("halt", "a cap of the day on entries or orders is reached"),
    Reason.EQUITY_LOSS: ("halt", "loss of the broker's equity: latched until it is reset"),
    Reason.REFUSED: ("halt", "so many orders refused in a row: latched until it is reset"),
    Reason.CLOCK_SKEW: ("halt", "our clock and the broker's differ"),
    Reason.BROKER_CHANGED: ("exit", "changed by the broker: assigned, expired or liquidated there"),
}
REASON_NAMES = {code: name.lower() for name, code in Reason._asdict().items()}

POINTS, PERCENT, EXPECTED_MOVE, DELTA = 0, 1, 2, 3
NATURAL, MID = 0, 1
FLAT, SETTLE = 0, 1
FRACTION, LIMIT = 0, 1
NO_MARGIN, ALPACA, REG_T, IBKR, PORTFOLIO = range(5)
