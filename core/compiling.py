"""Who is told, once, that a kernel has to be compiled: whoever waits should know why."""

from __future__ import annotations

from collections.abc import Callable

_listener: Callable[[], None] | None = None


def listen(tell: Callable[[], None] | None) -> None:
    """Call `tell` before the first kernel that is not on the disk is compiled; None: nobody is told."""
    global _listener
    _listener = tell


def begun() -> None:
    """A kernel is about to be compiled."""
    global _listener
    tell, _listener = _listener, None
    if tell is not None:
        tell()
