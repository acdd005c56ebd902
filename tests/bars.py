"""Five-minute bars of whole sessions whose close counts upwards, for tests of what is made of bars."""

from typing import Any

import numpy as np

from core.features.timeframes import Bars
from core.types import OPEN_MINUTE

FULL, HALF = 16 * 60, 13 * 60


def day_bars(*closing: int, width: float = 0.0, missing: Any = ()) -> Bars:
    """Five-minute bars of sessions that close at these minutes; the close counts 0, 1, 2, ...

    missing : (session, minute) of bars that are not there
    """
    slots = [(s, m) for s, end in enumerate(closing) for m in range(OPEN_MINUTE + 5, end + 1, 5)]
    slots = [slot for slot in slots if slot not in missing]
    session, minute = (np.array(part) for part in zip(*slots, strict=True))
    close = np.arange(len(slots), dtype=float)
    start = np.searchsorted(session, np.arange(len(closing)))
    return Bars(
        session.astype(np.int32),
        minute.astype(np.int16),
        np.ones(len(slots), np.uint8),
        close.copy(),
        close + width,
        close - width,
        close,
        np.ones(len(slots)),
        start.astype(np.int32),
        np.array(closing, np.int16),
    )
