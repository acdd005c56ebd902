"""Ctrl-C is heard where trials run; elsewhere it waits until what is done is put away."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

INSISTS = 3  # Ctrl-C this often is heard anywhere


class Patience:
    """Ctrl-C of this process, while it is in force: heard once, by the trials that run or are to run next."""

    def __init__(self) -> None:
        self.asked, self.hears = 0, False

    def handle(self, _number: int, _frame: Any) -> None:
        self.asked += 1
        if (self.hears and self.asked == 1) or self.asked >= INSISTS:
            raise KeyboardInterrupt

    @contextmanager
    def in_force(self) -> Iterator[Patience]:
        """From here on a Ctrl-C ends the trials, not the command: that asks `asked` when all is put away."""
        before = signal.getsignal(signal.SIGINT)
        self.asked = 0
        if before is not signal.SIG_IGN:  # else whoever started this in the background wants it deaf
            signal.signal(signal.SIGINT, self.handle)
        try:
            yield self
        finally:
            signal.signal(signal.SIGINT, before)
            self.asked, self.hears = 0, False

    @contextmanager
    def hearing(self) -> Iterator[None]:
        """Around trials; KeyboardInterrupt at once where one waited."""
        if self.asked:
            raise KeyboardInterrupt
        self.hears = True
        try:
            yield
        finally:
            self.hears = False


PATIENCE = Patience()
