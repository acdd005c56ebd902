"""Loaded by the trader's process in tests: no socket leaves this machine (I9)."""

import sys


def watch(event, args):
    if event == "socket.connect" and isinstance(args[1], tuple) and args[1][0] not in ("127.0.0.1", "::1"):
        raise RuntimeError(f"a socket to {args[1]} was opened")


sys.addaudithook(watch)
