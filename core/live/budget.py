"""The rate budget: fewer requests than the broker allows, and a reserve for those that close."""

from __future__ import annotations

from collections import deque

A_MINUTE = 150
RESERVED = 50  # of them for cancels, closes and looks at orders
MINUTE_NS = 60_000_000_000


class Budget:
    """Requests of the last minute. Times are UTC ns."""

    def __init__(self, a_minute: int = A_MINUTE, reserved: int = RESERVED) -> None:
        self.a_minute, self.reserved = a_minute, reserved
        self._times: deque[int] = deque()
        self.closed_until = 0  # the broker's own word after a 429

    def wait_ns(self, now_ns: int, urgent: bool) -> int:
        """How long to wait before the next request; 0: now. Urgent ones may use the reserve."""
        while self._times and self._times[0] <= now_ns - MINUTE_NS:
            self._times.popleft()
        wait = max(self.closed_until - now_ns, 0)
        most = self.a_minute if urgent else self.a_minute - self.reserved
        if len(self._times) >= most:
            wait = max(wait, self._times[len(self._times) - most] + MINUTE_NS - now_ns)
        return wait

    def note(self, now_ns: int) -> None:
        """A request is sent now."""
        self._times.append(now_ns)

    def refused(self, reset_ns: int, now_ns: int) -> None:
        """The broker said 429; it names when it listens again (0: not said, then in five seconds)."""
        self.closed_until = max(self.closed_until, reset_ns or now_ns + 5_000_000_000)
