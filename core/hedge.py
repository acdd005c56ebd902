"""The hedge of the net delta in shares: looked at every so many minutes, filled on the next bar; pure kernels."""

from __future__ import annotations

from core.jit import HOT, INNER, njit
from core.portfolio import IDLE, all_shares, fill_shares, open_count
from core.quotes import leg_delta
from core.smile_hedge import smile_delta
from core.types import LEG_SIGN, LEGS, MULTIPLIER, OPEN_MINUTE
from strategies.hedging import hedge_order


@njit(**HOT)
def look_after(rules, minute):
    """The minute at which the net delta is looked at next after a bar of `minute`."""
    return OPEN_MINUTE + ((minute - OPEN_MINUTE) // rules.hedge_minutes + 1) * rules.hedge_minutes


@njit(**HOT)
def next_look(m, rules, s, r):
    """The minute from which a row at or after r is looked at: the session's first row always is."""
    return m.row[r].minute if r == m.ses[s].start else look_after(rules, m.row[r - 1].minute)


@njit(**HOT)
def looks(m, rules, s, r):
    """Whether the net delta is looked at on row r: the session's first, then one every so many minutes."""
    if m.row[r].minute >= m.ses[s].close:
        return False  # no bar is left on which an order could fill
    return m.row[r].minute >= next_look(m, rules, s, r)


@njit(**INNER)
def wanted_shares(m, rules, book, r):
    """Shares that a look at row r would buy (> 0) or sell; 0: none. Without a structure all are sold."""
    if open_count(book) == 0:
        return -book.head.shares
    return hedge_order(net_delta(m, book, r), book.head.shares, rules.delta_band)


@njit(**INNER)
def hedge_row(m, rules, book, s, r, r1):
    """Next row in [r, r1) at which the hedge's order fills or the net delta is looked at; IDLE if none."""
    if rules.delta_band <= 0.0:
        return IDLE
    due = next_look(m, rules, s, r)
    for row in range(r, r1):
        minute = m.row[row].minute
        if minute > m.ses[s].close:
            return IDLE  # shares do not trade on evening snapshots
        if book.head.hedge_shares != 0 and row > book.head.hedge_decided:
            return row
        if minute >= due:
            if minute < m.ses[s].close and wanted_shares(m, rules, book, row) != 0:
                return row
            due = look_after(rules, minute)
    return IDLE


@njit(**INNER)
def net_delta(m, book, r):
    """Delta of all open structures, the smile hedge and the shares, in shares; NaN where a leg's is unknown."""
    total = float(all_shares(book)) + smile_delta(m, book, r)
    for p in range(book.slot.shape[0]):
        if book.slot[p].trade >= 0:
            for leg in range(LEGS):
                c = book.slot[p].legs[leg]
                if c >= 0:
                    total += LEG_SIGN[leg] * MULTIPLIER * book.slot[p].contracts * leg_delta(m, c, r)
    return total


@njit(**INNER)
def attend_hedge(m, rules, book, out, s, r):
    """Fill the hedge's order of an earlier row, then look at the net delta; an order fills on the next bar."""
    head = book.head
    if head.hedge_shares != 0 and r > head.hedge_decided:
        fill_shares(m, book, out, r, head.hedge_shares)
        head.hedge_shares = 0
    if looks(m, rules, s, r):
        head.hedge_shares, head.hedge_decided = wanted_shares(m, rules, book, r), r
