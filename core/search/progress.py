"""Where a search stands, on one line of a terminal that is written over; elsewhere a line every few seconds."""

from __future__ import annotations

import sys
import time
from typing import TextIO

from core.search.records import Progress

OFTEN, SELDOM = 0.2, 10.0  # seconds between two lines


def clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"


def line_of(progress: Progress) -> str:
    """'exits: 1,234 of 10,000, 2,500 trials/s, best 1.234, 0:03 left'."""
    fresh = progress.done - progress.resumed
    rate = fresh / progress.seconds if progress.seconds > 0.0 and fresh > 0 else 0.0
    left = f", {clock((progress.total - progress.done) / rate)} left" if rate > 0.0 else ""
    best = "none counts yet" if progress.best is None else f"best {progress.best:.4g}"
    return f"{progress.phase}: {progress.done:,} of {progress.total:,}, {rate:,.0f} trials/s, {best}{left}"


class ProgressLine:
    """Shows progress on a stream."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self.stream = sys.stderr if stream is None else stream
        self.overwrites = self.stream.isatty()
        self.next, self.width, self.deaf = 0.0, 0, False

    def __call__(self, progress: Progress) -> None:
        now = time.monotonic()
        ends = progress.done >= progress.total
        if self.deaf or (now < self.next and not ends):
            return
        first = self.next == 0.0
        self.next = now + (OFTEN if self.overwrites else SELDOM)
        text = line_of(progress)
        try:
            if self.overwrites:
                self.stream.write("\r" + text.ljust(self.width))
                self.width = len(text)
            elif not first or ends:
                self.stream.write(text + "\n")
            self.stream.flush()
        except OSError:
            self.deaf = True  # nobody listens: no reason to lose a search

    def close(self) -> None:
        if self.overwrites and self.width and not self.deaf:
            self.stream.write("\n")
            self.stream.flush()
