"""The broker's stream of order updates: a hint that wakes the loop's next poll earlier, and never more than that.

What it says is not read beyond its kind: a lost, doubled, late or foreign message changes nothing, and a stream that is
mute, refused or gone leaves polling as it was. The connection is made anew with growing pauses; after REFUSALS refusals
it is given up.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from typing import Any

from core.live.keys import Keys

OPEN_SECONDS, MUTE_SECONDS = 10.0, 90.0
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0
REFUSALS = 3
MOST_BYTES = 1_000_000
log = logging.getLogger("quantor.stream")


class Updates:
    """Listens in a thread of its own. url: ws or wss, whole; heard: set at every update, cleared by who waits."""

    def __init__(self, url: str, keys: Keys) -> None:
        self.url, self._keys = url, keys
        self.heard = threading.Event()
        self.state = "connecting"  # listening, mute, away, refused
        self.messages = self.bad = self.refusals = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="order-updates", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._ended.set()

    def wait(self, seconds: float) -> bool:
        """Wait at most so long for an update; whether one came."""
        came = self.heard.wait(seconds)
        self.heard.clear()
        return came

    def _run(self) -> None:
        from websockets.exceptions import WebSocketException
        from websockets.sync.client import connect

        pause = FIRST_PAUSE
        while not self._ended.is_set() and self.refusals < REFUSALS:
            try:
                with connect(self.url, open_timeout=OPEN_SECONDS, max_size=MOST_BYTES, proxy=None) as socket:
                    if self._greet(socket):
                        pause = FIRST_PAUSE
                        self._listen(socket)
            except (OSError, WebSocketException, TimeoutError) as error:
                self._note("away", type(error).__name__)
            if self.refusals < REFUSALS:
                self._ended.wait(pause)
                pause = min(2.0 * pause, LONGEST_PAUSE)
        self._note("refused" if self.refusals >= REFUSALS else "ended", "")

    def _note(self, state: str, why: str) -> None:
        """One line for each change of state, none for its repetition."""
        if state != self.state:
            log.info("stream_%s %s", state, why)
        self.state = state

    def _greet(self, socket: Any) -> bool:
        """Authenticate and ask for order updates; False where the broker does not agree."""
        key, secret = self._keys.texts
        socket.send(json.dumps({"action": "authenticate", "data": {"key_id": key, "secret_key": secret}}))
        if data_of(socket.recv(OPEN_SECONDS)).get("status") != "authorized":
            self.refusals += 1
            self._note("refused", "authentication")
            return False
        socket.send(json.dumps({"action": "listen", "data": {"streams": ["trade_updates"]}}))
        if "trade_updates" not in (data_of(socket.recv(OPEN_SECONDS)).get("streams") or []):
            self.refusals += 1
            self._note("refused", "trade_updates")
            return False
        self._note("listening", "")
        return True

    def _listen(self, socket: Any) -> None:
        until = time.monotonic() + MUTE_SECONDS
        while not self._ended.is_set():
            try:
                frame = socket.recv(1.0)
            except TimeoutError:
                if time.monotonic() > until:
                    self._note("mute", "")
                continue
            until = time.monotonic() + MUTE_SECONDS
            self.messages += 1
            self.bad += not data_of(frame)
            self._note("listening", "")
            self.heard.set()  # whatever it says, the next poll will see what is true


def data_of(frame: str | bytes) -> dict[str, Any]:
    """The data of a message; {} for a frame that is none."""
    try:
        message = json.loads(frame)
    except ValueError:
        return {}
    data = message.get("data") if isinstance(message, dict) else None
    return data if isinstance(data, dict) else {}


def stream_url(trading: str) -> str:
    """Address of the stream beside an address of the trading interface."""
    return trading.replace("http", "ws", 1) + "/stream"
