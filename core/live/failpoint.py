"""Named moments at which a test may kill the process: QMTF_FAILPOINT=name:nth sends SIGKILL at the nth passing.

They mark the instructions between which a crash must lose nothing; without the variable they do nothing.
"""

from __future__ import annotations

import os
import signal

_PLAN = os.environ.get("QMTF_FAILPOINT", "")
_passed: dict[str, int] = {}
_total = 0


def reach(name: str) -> None:
    """Pass the moment `name`. The plan '*:nth' counts every moment."""
    global _total
    if not _PLAN:
        return
    wanted, _, nth = _PLAN.partition(":")
    _passed[name] = _passed.get(name, 0) + 1
    _total += 1
    count = _total if wanted == "*" else _passed[name]
    if wanted in (name, "*") and count == int(nth or 1):
        os.kill(os.getpid(), signal.SIGKILL)
