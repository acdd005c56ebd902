"""No secret in a log: exact keys and what looks like a credential are taken out of every record."""

from __future__ import annotations

import logging
import re

HIDDEN = "[hidden]"
LOOKS_LIKE_A_KEY = re.compile(
    r"(?i)(apca-api-(?:key-id|secret-key)|secret_key|secret|key_id)(['\"\s:=]+)([^\s'\",}]{4,})"
)
TALKATIVE = ("urllib3", "websockets", "websockets.client", "alpaca", "requests")


class Redaction(logging.Filter):
    """Takes the given secrets out of messages, whatever logger they come from."""

    def __init__(self, secrets: tuple[str, ...]) -> None:
        super().__init__()
        self._secrets = tuple(s for s in secrets if s)

    def clean(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, HIDDEN)
        return LOOKS_LIKE_A_KEY.sub(lambda m: m.group(1) + m.group(2) + HIDDEN, text)

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = self.clean(record.getMessage()), None
        if record.exc_info:
            record.exc_text = self.clean(logging.Formatter().formatException(record.exc_info))
            record.exc_info = None
        return True


def quieten(redaction: Redaction) -> None:
    """Put the filter on every handler of the root logger, and keep the talkative libraries at warnings."""
    for handler in logging.getLogger().handlers:
        handler.addFilter(redaction)
    for name in TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)
