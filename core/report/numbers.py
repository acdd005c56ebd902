"""Columns of money and text as the bytes of a CSV file, a hundred thousand rows at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

_FOUR = np.array([f"{i:04d}" for i in range(10_000)], "S4").view(np.uint8).reshape(10_000, 4)
_POWERS = 10 ** np.arange(1, 19, dtype=np.int64)
LEAST_DIGITS = 3  # 0.05


def money_cells(cents: Any) -> Any:
    """uint8 (n, w): integer cents as dollars with two decimals, as ASCII; 0 where a shorter number has no letter.

    cents : int64 (n)
    """
    size = np.abs(np.asarray(cents, np.int64))
    digits = np.maximum(np.searchsorted(_POWERS, size, side="right") + 1, LEAST_DIGITS)
    most = int(digits.max(initial=LEAST_DIGITS))
    fours = -(-most // 4)
    letters = np.empty((len(size), 4 * fours), np.uint8)
    for i in range(fours):
        size, last = np.divmod(size, 10_000)
        letters[:, 4 * (fours - 1 - i) : 4 * (fours - i)] = _FOUR[last]
    letters[np.arange(4 * fours) < (4 * fours - digits)[:, None]] = 0
    sign = np.where(np.asarray(cents) < 0, ord("-"), 0).astype(np.uint8)[:, None]
    point = np.full((len(sign), 1), ord("."), np.uint8)
    return np.hstack((sign, letters[:, 4 * fours - most : -2], point, letters[:, -2:]))


def text_cells(texts: Sequence[str]) -> Any:
    """uint8 (n, w): ASCII texts; 0 after the end of a shorter one."""
    letters = np.array(texts, "S") if len(texts) else np.empty(0, "S1")
    return letters.view(np.uint8).reshape(len(texts), letters.dtype.itemsize)


def csv_bytes(names: Sequence[str], cells: Sequence[Any]) -> bytes:
    """A CSV file of columns of cells, each uint8 (n, w)."""
    comma = np.full((len(cells[0]), 1), ord(","), np.uint8)
    parts = [part for cell in cells for part in (cell, comma)][:-1]
    lines = np.hstack((*parts, np.full_like(comma, ord("\n"))))
    return ",".join(names).encode() + b"\n" + lines.tobytes().translate(None, b"\0")
