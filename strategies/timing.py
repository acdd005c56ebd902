"""When: entry windows, the rows of time exits, the last session in which a structure may be held. Pure kernels."""

from __future__ import annotations

from core.jit import HOT, INNER, njit
from core.types import FLAT, OPEN_MINUTE, Reason

NEVER = 1 << 30


@njit(**HOT)
def first_at_least(values, low, high, least):
    """First index in [low, high) of ascending values that is not below `least`; high if there is none."""
    while low < high:
        mid = (low + high) // 2
        if values[mid] < least:
            low = mid + 1
        else:
            high = mid
    return low


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
    first = row_at_minute(m, s, rules.window_start)
    end = min(rules.window_end, m.ses[s].close - rules.edge_minutes)
    return first, max(first, row_at_minute(m, s, end + 1)), Reason.WINDOW


@njit(**HOT)
def row_at_minute(m, s, minute):
    """First row of session s at or after a minute of the day; one past the session if there is none."""
    return first_at_least(m.row.minute, m.ses[s].start, m.ses[s].end, minute)


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
    row = daily_row(m, rules, s)
    if row == NEVER:
        return best, why
    if rules.exit_dte > 0 and left <= rules.exit_dte:
        best, why = row, Reason.DTE_EXIT
    elif rules.max_hold_days > 0 and day - m.ses[m.row[opened].session].day >= rules.max_hold_days:
        best, why = row, Reason.MAX_HOLD
    if must_be_flat(m, rules, expiry) and s == last_session_to_leave(m, expiry):
        flat = flat_row(m, rules, s)
        if flat < best:
            best, why = flat, Reason.EXPIRY_FLAT
    return best, why


@njit(**HOT)
def must_be_flat(m, rules, expiry):
    """Whether nothing may be held to its settlement."""
    return rules.expiry_rule == FLAT


@njit(**HOT)
def flat_row(m, rules, s):
    """Row of the last session to leave at which a close is decided."""
    return m.ses[s].decide if m.ses[s].decide >= 0 else row_at_minute(m, s, flat_minute(m, rules, s))


@njit(**INNER)
def last_session_to_leave(m, expiry):
    """Session in which a structure must be closed to be flat on its expiry day.

    The expiry's own session; the one before it where quotes come once a day, after the deadline.
    """
    s = m.exp[expiry].session
    return s - 1 if s > 0 and m.ses[0].decide != -1 else s


@njit(**HOT)
def in_edge(m, rules, s, r):
    """Whether row r lies in the first or last minutes of its session; never where quotes come once a day."""
    if m.ses[s].decide != -1:
        return False
    minute = m.row[r].minute
    return minute <= OPEN_MINUTE + rules.edge_minutes or minute > m.ses[s].close - rules.edge_minutes


@njit(**HOT)
def daily_row(m, rules, s):
    """The one row of session s at which time exits and daily looks are decided; NEVER if it has none."""
    if m.ses[s].decide == -2:
        return NEVER
    return m.ses[s].decide if m.ses[s].decide >= 0 else row_at_minute(m, s, rules.time_exit_from)
