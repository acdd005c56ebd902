"""How a case of schema quantor-oracle/1 is compared with our values."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

SCHEMA = "quantor-oracle/1"


class Later(NamedTuple):
    """A field that cannot be computed yet, and why."""

    why: str


class Case(NamedTuple):
    topic: str
    body: dict[str, Any]
    default_tol: dict[str, Any]


# Inputs of a case -> our value of every field; a judge replaces the comparison where the schema's plain one does not
# fit (a tolerance in words, a band around a random estimate): case, our values -> one line per disagreement.
Adapter = Callable[[dict[str, Any]], dict[str, Any]]
Judge = Callable[[Case, dict[str, Any]], list[str]]


def tolerance(field: str, case: Case) -> tuple[float, float]:
    """(abs, rel) for a field: the case goes before the file, an entry for the field before one for all."""
    for stated in (case.body.get("tol") or {}, case.default_tol):
        entry = stated.get(field, stated)
        if "abs" in entry or "rel" in entry:
            return entry.get("abs", 0.0), entry.get("rel", 0.0)
    raise AssertionError(f"{case.topic} {case.body['id']}: no tolerance for {field}")


def agrees(ours: Any, expected: Any, case: Case, field: str) -> bool:
    """Numbers: |diff| <= abs + rel |expected|; null against none only; words and truth values exactly."""
    if expected is None:
        return ours is None
    if isinstance(expected, list):
        return (
            isinstance(ours, (list, tuple, np.ndarray))
            and len(ours) == len(expected)
            and all(agrees(a, b, case, field) for a, b in zip(ours, expected, strict=True))
        )
    if isinstance(expected, (bool, str)):
        return type(ours) is type(expected) and ours == expected
    if ours is None:
        return False
    absolute, relative = tolerance(field, case)
    return abs(ours - expected) <= absolute + relative * abs(expected)  # False for NaN


def disagreements(case: Case, ours: dict[str, Any]) -> list[str]:
    """One line per expected field (printed and full-precision figures) that ours does not meet."""
    lines = []
    for group in ("expected", "expected_full_precision"):
        for field, expected in case.body.get(group, {}).items():
            if field not in ours:
                lines.append(f"{field}: the adapter gives no value")
            elif not isinstance(ours[field], Later) and not agrees(ours[field], expected, case, field):
                lines.append(f"{field}: ours {ours[field]}, {group} {expected}")
    return lines
