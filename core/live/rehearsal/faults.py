"""Faults of the transport, armed by tests: how an answer is lost, late, cut, doubled or wrong."""

from __future__ import annotations

import asyncio
import os
import random
import re
import signal
from fnmatch import fnmatchcase
from typing import Any

from aiohttp import web

# An answer is spoiled `before` the request acts, or `after` it has acted.
BEFORE, AFTER = "before", "after"


class Faults:
    """Rules in order; each fires for the requests that match it, at most `count` times.

    rule : {id, method, path (regular expression), cid (pattern), nth, prob, phase, action, count, and what the
    action needs: status, body (json, html, empty), seconds}
    """

    def __init__(self, seed: int) -> None:
        self.rules: list[dict[str, Any]] = []
        self.fired: dict[str, int] = {}
        self._random = random.Random(seed)

    def arm(self, rules: list[dict[str, Any]]) -> None:
        for rule in rules:
            self.rules.append({"id": f"fault-{len(self.rules) + 1}", "phase": BEFORE, "count": 1, "seen": 0, **rule})

    def clear(self) -> None:
        self.rules.clear()

    def find(self, request: web.Request, phase: str, cid: str) -> dict[str, Any] | None:
        """The rule that fires for this request in this phase."""
        for rule in self.rules:
            if rule["phase"] != phase or rule["count"] <= 0 or rule["action"] in ("visibility_lag",):
                continue
            if rule.get("method", request.method) != request.method:
                continue
            if not re.search(rule.get("path", ""), request.path_qs) or not fnmatchcase(cid, rule.get("cid", "*")):
                continue
            rule["seen"] += 1
            if "nth" in rule and rule["seen"] != rule["nth"]:
                continue
            if "prob" in rule and self._random.random() >= rule["prob"]:
                continue
            rule["count"] -= 1
            self.fired[rule["id"]] = self.fired.get(rule["id"], 0) + 1
            return rule
        return None

    def lagging(self, cid: str) -> bool:
        """Whether an order that exists is not found yet by its own id."""
        for rule in self.rules:
            if rule["action"] == "visibility_lag" and rule["count"] > 0 and fnmatchcase(cid, rule.get("cid", "*")):
                rule["count"] -= 1
                self.fired[rule["id"]] = self.fired.get(rule["id"], 0) + 1
                return True
        return False


async def spoil(rule: dict[str, Any], request: web.Request, answer: web.Response | None) -> web.StreamResponse | None:
    """What is sent instead of `answer`; None where the connection is gone."""
    action = rule["action"]
    if action == "kill_self":
        os.kill(os.getpid(), signal.SIGKILL)
    if action == "rst":
        return abort(request)
    if action == "hang":
        await asyncio.sleep(float(rule.get("seconds", 30)))
        return abort(request)
    if action == "status":
        return of_status(int(rule["status"]), rule.get("body", "json"), rule)
    if action == "redirect":
        return web.Response(status=307, headers={"Location": "https://example.invalid/"})
    if action == "empty":
        return web.Response(status=200, text="")
    text = (answer.text if answer is not None else "") or "{}"
    if action == "bad_json":
        return web.Response(status=200, text=text[: len(text) // 2], content_type="application/json")
    if action == "half_body":
        return await cut(request, text.encode())
    if action == "slow_drip":
        return await drip(request, text.encode(), float(rule.get("seconds", 30)))
    if action == "rewrite":  # a word of the answer becomes another one
        return web.Response(status=200, text=re.sub(rule["from"], rule["to"], text), content_type="application/json")
    raise ValueError(f"unknown fault {action}")


def abort(request: web.Request) -> None:
    """Reset the connection."""
    if request.transport is not None:
        request.transport.abort()


def of_status(status: int, kind: str, rule: dict[str, Any]) -> web.Response:
    headers = {"X-RateLimit-Reset": str(rule["reset"])} if "reset" in rule else {}
    if kind == "html":
        return web.Response(status=status, text="<html><body>Bad Gateway</body></html>", content_type="text/html")
    if kind == "empty":
        return web.Response(status=status, headers=headers)
    code = rule.get("code", status * 100_000)
    return web.json_response({"code": code, "message": rule.get("message", "fault")}, status=status, headers=headers)


async def cut(request: web.Request, body: bytes) -> None:
    response = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": str(len(body))})
    await response.prepare(request)
    await response.write(body[: len(body) // 2])
    abort(request)


async def drip(request: web.Request, body: bytes, seconds: float) -> web.StreamResponse | None:
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    await response.prepare(request)
    step = 0.1
    for i in range(int(seconds / step)):
        try:
            await response.write(body[i : i + 1] or b" ")
        except ConnectionError:
            return None
        await asyncio.sleep(step)
    abort(request)
    return None
