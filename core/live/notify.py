"""Notifications: taken from the journal's outbox, one at a time; a failure is counted and never stands in the way.

live.notify: log (a warning in the log), command (QMTF_NOTIFY_COMMAND, the message on its standard input), webhook
(QMTF_NOTIFY_URL, https, JSON {topic, body}; the address is a secret and stands in no file).
"""

from __future__ import annotations

import json
import logging
import os
import shlex
import subprocess
import urllib.request
from urllib.parse import urlsplit

from core.errors import ConfigError
from core.live.journal import Journal

COMMAND, URL = "QMTF_NOTIFY_COMMAND", "QMTF_NOTIFY_URL"
MOST_ATTEMPTS = 5
SECONDS = 3.0
log = logging.getLogger("quantor.notify")


def check(how: str) -> None:
    """A ConfigError where the way is set and what it needs is not."""
    if how == "command" and not os.environ.get(COMMAND):
        raise ConfigError(f"live.notify is command, but {COMMAND} is not set; export the program to run")
    if how == "webhook" and urlsplit(os.environ.get(URL, "")).scheme != "https":
        raise ConfigError(f"live.notify is webhook, but {URL} is not an https address; export it")


def send_one(journal: Journal, how: str, now_ns: int) -> None:
    """Send the oldest notification that has not been sent, if there is one."""
    rows = journal.rows(
        "SELECT * FROM outbox WHERE sent_ns IS NULL AND attempts < ? ORDER BY id LIMIT 1", (MOST_ATTEMPTS,)
    )
    if not rows:
        return
    row = rows[0]
    try:
        deliver(how, row["topic"], row["body"])
    except (OSError, subprocess.SubprocessError) as error:
        log.warning("notification_failed topic=%s why=%s", row["topic"], type(error).__name__)
        with journal.transaction() as j:
            j.update("outbox", "id", row["id"], attempts=row["attempts"] + 1)
        return
    with journal.transaction() as j:
        j.update("outbox", "id", row["id"], sent_ns=now_ns, attempts=row["attempts"] + 1)


def deliver(how: str, topic: str, body: str) -> None:
    """One notification by log, command or webhook; OSError or SubprocessError where it did not go."""
    if how == "log":
        log.warning("notice topic=%s %s", topic, body)
    elif how == "command":
        words = shlex.split(os.environ[COMMAND])
        subprocess.run(words, input=f"{topic}: {body}\n", text=True, timeout=SECONDS, check=True, capture_output=True)
    else:
        data = json.dumps({"topic": topic, "body": body}).encode()
        request = urllib.request.Request(os.environ[URL], data, {"Content-Type": "application/json"})
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=SECONDS):
            pass
