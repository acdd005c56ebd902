"""`python -m core.live.rehearsal --tape FILE --ledger FILE`: serve a rehearsal; prints its port and token as JSON."""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import logging
import sys
from pathlib import Path
from typing import Any

import numpy as np
from aiohttp import web

from core.live.rehearsal.exchange import Exchange
from core.live.rehearsal.faults import Faults
from core.live.rehearsal.ledger import Ledger
from core.live.rehearsal.market import Shown
from core.live.rehearsal.server import Server
from core.live.tape import read_tape
from core.market.calendar import NS_MINUTE

EARLY_NS = 5 * NS_MINUTE  # before the first session's opening, when the clock starts


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="core.live.rehearsal", description=__doc__)
    parser.add_argument("--tape", type=Path, required=True)
    parser.add_argument("--ledger", type=Path, required=True)
    parser.add_argument("--start-ns", type=int, default=0, help="UTC ns; 0: five minutes before the first opening")
    parser.add_argument("--cash", type=float, default=100_000.0)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--speed", type=float, default=0.0)
    parser.add_argument("--latency-ms", type=int, default=20)
    parser.add_argument("--next-after", type=float, default=60.0, help="seconds after a bar until the next quotes show")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--scenario", type=Path, help="JSON: {options, market, faults}")
    return parser.parse_args()


def make(args: argparse.Namespace) -> Server:
    tape = read_tape(args.tape)
    scenario: dict[str, Any] = json.loads(args.scenario.read_text()) if args.scenario else {}
    start = args.start_ns or int(tape.open_ns[0]) - EARLY_NS
    ledger = Ledger(args.ledger, args.seed, round(args.cash * 100), start)
    market = Shown(tape, int(args.next_after * 1e9))
    market.faults.update(scenario.get("market", {}))
    faults = Faults(args.seed)
    faults.arm(scenario.get("faults", []))
    exchange = Exchange(ledger, market, dict(scenario.get("options", {})))
    token = hashlib.sha256(f"{args.seed}/{args.ledger}".encode()).hexdigest()[:32]
    return Server(exchange, faults, token, args.speed, args.latency_ms)


async def serve(args: argparse.Namespace) -> None:
    server = make(args)
    runner = web.AppRunner(server.app(), access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", args.port)
    await site.start()
    port = runner.addresses[0][1]
    sys.stdout.write(json.dumps({"port": port, "token": server.token}) + "\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    np.seterr(all="raise", under="ignore")
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)  # answers that were cut off on purpose
    asyncio.run(serve(options()))
