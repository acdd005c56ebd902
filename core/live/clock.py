"""Time for the live loop: the machine's, or that of a rehearsal, which moves when the loop waits."""

from __future__ import annotations

import http.client
import json
import time
from typing import Any, Protocol
from urllib.parse import urlsplit

from core.errors import BrokerError, ConfigError

LOOPBACK = ("127.0.0.1", "::1", "localhost")


class Clock(Protocol):
    def now_ns(self) -> int:
        """UTC ns."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait."""
        ...


class SystemClock:
    """The machine's clock."""

    def now_ns(self) -> int:
        return time.time_ns()

    def sleep(self, seconds: float) -> None:
        time.sleep(max(seconds, 0.0))


class RehearsalClock:
    """The clock of a rehearsal server: waiting moves it. url: http://127.0.0.1:PORT"""

    def __init__(self, url: str, token: str) -> None:
        parts = urlsplit(url)
        if parts.hostname not in LOOPBACK:
            raise ConfigError(f"the rehearsal's clock is at {url!r}; it must be on this machine")
        self._line = http.client.HTTPConnection(parts.hostname, parts.port, timeout=600)
        self._headers = {"X-Sim-Token": token, "Content-Type": "application/json"}

    def _ask(self, method: str, body: dict[str, Any] | None = None) -> int:
        text = None if body is None else json.dumps(body)
        for attempt in range(50):  # the server may be started again in the middle of a rehearsal
            try:
                self._line.request(method, "/_sim/clock", text, self._headers)
                return int(json.loads(self._line.getresponse().read())["now_ns"])
            except (OSError, http.client.HTTPException) as error:
                problem = error
                self._line.close()
                time.sleep(0.1 * min(attempt, 5))
        raise BrokerError(f"the rehearsal's clock does not answer: {problem}")

    def now_ns(self) -> int:
        return self._ask("GET")

    def sleep(self, seconds: float) -> None:
        self._ask("POST", {"advance_ns": int(max(seconds, 0.0) * 1e9)})
