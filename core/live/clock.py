"""Time for the live loop: the machine's, or that of a rehearsal, which moves when the loop waits."""

from __future__ import annotations

import json
import time
import urllib.request
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
        if urlsplit(url).hostname not in LOOPBACK:
            raise ConfigError(f"the rehearsal's clock is at {url!r}; it must be on this machine")
        self._url, self._token = url, token
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def _ask(self, path: str, body: dict[str, Any] | None = None) -> int:
        request = urllib.request.Request(
            self._url + path,
            data=None if body is None else json.dumps(body).encode(),
            headers={"X-Sim-Token": self._token, "Content-Type": "application/json"},
            method="GET" if body is None else "POST",
        )
        for attempt in range(50):  # the server may be started again in the middle of a rehearsal
            try:
                with self._opener.open(request, timeout=600) as answer:
                    return int(json.loads(answer.read())["now_ns"])
            except OSError as error:
                problem = error
                time.sleep(0.1 * min(attempt + 1, 5))
        raise BrokerError(f"the rehearsal's clock does not answer: {problem}")

    def now_ns(self) -> int:
        return self._ask("/_sim/clock")

    def sleep(self, seconds: float) -> None:
        self._ask("/_sim/clock", {"advance_ns": int(max(seconds, 0.0) * 1e9)})
