"""What trials share: marks of structures from their fill on, and what may be opened on a row.

A path is a structure with its marks, laid out a session at a time by the engine's own `lay_out`, when first asked for;
it serves every trial that opens the same legs for the same credit on the same row, of one group or of many. A candidate
is what a row offers to a free slot.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from core.jit import HOT, INNER, njit
from core.portfolio import USABLE
from core.positions import lay_out
from core.types import LEGS, MID2, NATURAL_CENTS, USABLE_ROW, dtype_of

PATH = [
    ("row", "i8"),  # of the fill: its first row
    ("credit", "i8"),
    ("legs", "i8", (LEGS,)),
    ("stock", "i8"),
    ("session", "i8"),  # of the fill
    ("first", "i8"),  # its stretches, one a session: as many as `room`, laid out one after the other
    ("room", "i8"),
    ("laid", "i8"),
    ("last_mid2", "i8"),  # last mark laid out
]
STRETCH = [  # a session of a path
    ("start", "i4"),  # its first row, and one past its last
    ("end", "i4"),
    ("low", "i4"),  # natural, over rows on which every leg is two-sided
    ("high", "i4"),
    ("cheap", "i4"),  # mid2, over all rows
    ("dear", "i4"),
    ("at", "i4"),  # its first row in Shared.mid2, natural, usable
    ("last", "i4"),  # mid2
]
CANDIDATE = [
    ("known", "i8"),
    ("expiry", "i8"),  # -1: the rules find no structure
    ("verdict", "i8"),  # where its legs need not give way
    ("floor", "i8"),
    ("width", "i8"),
    ("credit", "i8"),
    ("natural2", "i8"),
    ("mid2", "i8"),
    ("legs", "i8", (LEGS,)),
]
LANE = [("path", "i8"), ("timed", "i8")]  # of a slot: its path, and the row on which time alone makes it leave
ROOM = [("paths", "i8"), ("stretches", "i8"), ("rows", "i8")]
UNKNOWN_PRICE = (1 << 30) - 1
OWN_SESSIONS = 40  # that a path of one trial alone may last: shares are closed on the next bar
MOST_PATHS, MOST_STRETCHES, MOST_ROWS = 1 << 14, 1 << 18, 1 << 23


class Shared(NamedTuple):
    """What trials share: paths and candidates, and the scratch of the one that is running."""

    used: Any  # ROOM record
    key: Any  # int64 (K): path by hash of fill row, legs and credit, -1 empty
    path: Any  # PATH
    stretch: Any  # STRETCH
    mid2: Any  # int32: cost to close at mid, half-cents
    natural: Any  # int32: at natural, cents
    usable: Any  # uint8: every leg two-sided
    candidate: Any  # CANDIDATE (N), or none where they cannot be shared
    lane: Any  # LANE (P)
    marks: Any  # int64 (W) scratch
    soft: Any  # uint8 (W) scratch


def new_shared(rows: int, slots: int, width: int) -> Shared:
    """Empty, for a market of so many rows, at most `width` a session, and so many structures at a time."""
    used = np.zeros(1, dtype_of(ROOM)).view(np.recarray)
    return Shared(
        used=used[0],
        key=np.full(2 * MOST_PATHS, -1, np.int64),
        path=np.zeros(MOST_PATHS, dtype_of(PATH)).view(np.recarray),
        stretch=np.zeros(MOST_STRETCHES, dtype_of(STRETCH)).view(np.recarray),
        mid2=np.zeros(MOST_ROWS, np.int32),
        natural=np.zeros(MOST_ROWS, np.int32),
        usable=np.zeros(MOST_ROWS, np.uint8),
        candidate=np.zeros(rows, dtype_of(CANDIDATE)).view(np.recarray),
        lane=np.zeros(slots, dtype_of(LANE)).view(np.recarray),
        marks=np.zeros(width, np.int64),
        soft=np.zeros(width, np.uint8),
    )


@njit(**INNER)
def slot_of_key(shared, row, legs, credit):
    """Place in Shared.key of a path, or the empty one where it belongs."""
    mask = shared.key.shape[0] - 1
    h = row * 1000003 + credit
    for leg in range(LEGS):
        h = (h ^ (h >> 17)) * 31 + legs[leg] + 1
    h = (h ^ (h >> 13)) & mask
    while shared.key[h] >= 0:
        path = shared.path[shared.key[h]]
        same = path.row == row and path.credit == credit
        for leg in range(LEGS):
            same = same and path.legs[leg] == legs[leg]
        if same:
            return h
        h = (h + 1) & mask
    return h


@njit(**HOT)
def last_session(m, x):
    """The last session in which anything of expiry x may be held: its own, or the market's last."""
    s, last = m.exp[x].session, m.ses.shape[0] - 1
    return s if 0 <= s < last else last


@njit(**INNER)
def take_path(m, shared, slot, r):
    """Path of the structure that has just been opened in a slot on row r, new or known; -1 without room."""
    h = slot_of_key(shared, r, slot.legs, slot.credit)
    if shared.key[h] >= 0:
        return shared.key[h]
    n = new_path(m, shared, slot, r, last_session(m, slot.expiry) - int(m.row[r].session) + 1)
    if n >= 0:
        shared.key[h] = n
    return n


@njit(**INNER)
def new_path(m, shared, slot, r, room):
    """A path of what a slot holds from row r on, for at most so many sessions; -1 without room."""
    n, s = shared.used.paths, int(m.row[r].session)
    if n >= shared.path.shape[0] - 1 or shared.used.stretches + room > shared.stretch.shape[0]:
        return -1
    path = shared.path[n]
    path.row, path.credit, path.session, path.stock = r, slot.credit, s, slot.stock
    for leg in range(LEGS):
        path.legs[leg] = slot.legs[leg]
    path.first, path.room, path.laid, path.last_mid2 = shared.used.stretches, room, 0, slot.last_mid2
    shared.used.paths += 1
    shared.used.stretches += room
    return n


@njit(**INNER)
def keeps_path(shared, slot, p):
    """Whether slot p still holds what its path marks: an exercise takes a leg and brings shares."""
    path = shared.path[shared.lane[p].path]
    same = path.stock == slot.stock
    for leg in range(LEGS):
        same = same and path.legs[leg] == slot.legs[leg]
    return same


@njit(**INNER)
def leave_path(m, shared, book, p, r):
    """Give slot p a path of its own from row r on, which no other trial shares; 0 without room."""
    room = min(OWN_SESSIONS, m.ses.shape[0] - int(m.row[r].session))
    path = new_path(m, shared, book.slot[p], r, room)
    shared.lane[p].path = path
    return path >= 0


@njit(**HOT)
def note_mark(shared, book, p, s, r):
    """Put slot p's mark of the row before r where the engine keeps the last one known."""
    path = shared.path[shared.lane[p].path]
    if r > path.row:
        stretch = shared.stretch[path.first + s - path.session]
        last = shared.mid2[stretch.at + r - 1 - stretch.start] if r > stretch.start else before(shared, path, s)
        book.slot[p].last_mid2 = last


@njit(**HOT)
def before(shared, path, s):
    """Last mark of the session before s, in which the path was open."""
    return shared.stretch[path.first + s - 1 - path.session].last


@njit(**HOT)
def copy(values, out):
    for j in range(out.shape[0]):
        out[j] = values[j]


@njit(**HOT)
def span(values):
    """(least, most) of at least one value."""
    least, most = values[0], values[0]
    for j in range(values.shape[0]):
        least = min(least, values[j])
    for j in range(values.shape[0]):
        most = max(most, values[j])
    return least, most


@njit(**INNER)
def lay_stretch(m, rules, book, shared, p):
    """Lay out the next session of slot p's path; 0 without room."""
    path = shared.path[shared.lane[p].path]
    s = path.session + path.laid
    r0, r1 = (path.row if path.laid == 0 else m.ses[s].start), m.ses[s].end
    n, at = r1 - r0, shared.used.rows
    if at + n > shared.mid2.shape[0]:
        return 0
    book.slot[p].last_mid2 = path.last_mid2
    lay_out(m, rules, book, p, r0, r1)
    mid2, natural, usable = shared.mid2[at : at + n], shared.natural[at : at + n], shared.usable[at : at + n]
    copy(book.path[MID2, p, :n], mid2)
    copy(book.path[NATURAL_CENTS, p, :n], natural)
    cheap, dear = span(mid2)
    if book.slot[p].clean == 1:
        for j in range(n):
            usable[j] = 1
        low, high = span(natural)
    else:
        low, high = UNKNOWN_PRICE, -UNKNOWN_PRICE
        for j in range(n):
            usable[j] = book.path[USABLE_ROW, p, j] == USABLE
            if usable[j]:
                low, high = min(low, natural[j]), max(high, natural[j])
    stretch = shared.stretch[path.first + path.laid]
    stretch.at, stretch.start, stretch.end = at, r0, r1
    stretch.low, stretch.high, stretch.cheap, stretch.dear = low, high, cheap, dear
    stretch.last = path.last_mid2 = shared.mid2[at + n - 1]
    path.laid += 1
    shared.used.rows += n
    return 1


@njit(**HOT)
def stretch_of(m, rules, book, shared, p, s):
    """Index of session s of slot p's path, laid out when first asked for; -1 without room."""
    path = shared.path[shared.lane[p].path]
    k = s - path.session
    if k >= path.room:
        return -1
    while path.laid <= k:
        if not lay_stretch(m, rules, book, shared, p):
            return -1
    return path.first + k


@njit(**INNER)
def make_room(shared):
    """Forget all paths where less than half the room is left: nothing is open between two trials."""
    used = shared.used
    full = 2 * used.rows > shared.mid2.shape[0] or 2 * used.paths > shared.path.shape[0]
    if full or 2 * used.stretches > shared.stretch.shape[0]:
        forget_paths(shared)


@njit(**INNER)
def forget_paths(shared):
    """Nothing is laid out any more; not while a structure is followed."""
    shared.used.paths = shared.used.stretches = shared.used.rows = 0
    for i in range(shared.key.shape[0]):
        shared.key[i] = -1
