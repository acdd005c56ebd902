"""Walk-forward: windows that train and test, purged so that nothing known in a test was traded on in its training.

A position opened on the last training session may be held as long as the longest holding period; the training ends so
much earlier that it is over, and an embargo later, before the test begins.
Source: Pardo, "The evaluation and optimization of trading strategies" (2008); purging and embargo: Lopez de Prado,
"Advances in financial machine learning" (2018), chapter 7.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from core.errors import ConfigError
from core.search.robustness import is_number

KINDS = ("anchored", "rolling")
FIRST_TRAINING = 0.4  # of the sessions, before the first test
LEAST_SESSIONS = 20  # of a training or a test


class Window(NamedTuple):
    """Sessions of one step, by index, inclusive."""

    train_first: int
    train_last: int
    test_first: int
    test_last: int


def check_kind(kind: str | None) -> None:
    """Refuse a kind of windows that there is not; None is none."""
    if kind is not None and kind not in KINDS:
        raise ConfigError(f"--walk-forward is {kind!r}; give {' or '.join(KINDS)}")


def walk_forward(days: Any, kind: str, windows: int, purge_days: int, embargo_days: int) -> list[Window]:
    """The steps of a walk-forward over sessions.

    days : int (S) ascending, days since 1970-01-01. kind : anchored (each training begins with the first session) or
    rolling (each is as long as the first). Tests of equal length tile the last 60 per cent, in order, without a gap.
    purge_days : calendar days that a position may be held; embargo_days : calendar days more.
    ConfigError where a training or a test would be shorter than LEAST_SESSIONS.
    """
    check_kind(kind)
    if windows < 1:
        raise ConfigError(f"--windows is {windows}; give 1 or more")
    days = np.asarray(days, np.int64)
    total = len(days)
    begins = np.linspace(round(FIRST_TRAINING * total), total, windows + 1).round().astype(int).tolist()
    found = []
    for test, after in itertools.pairwise(begins):
        ends = int(np.searchsorted(days, days[test] - purge_days - embargo_days)) - 1 if test < total else -1
        starts = 0 if kind == "anchored" else max(0, test - begins[0])
        if ends - starts + 1 < LEAST_SESSIONS or after - test < LEAST_SESSIONS:
            raise ConfigError(
                f"{windows} windows of {total} sessions, purged by {purge_days} and {embargo_days} days, leave "
                f"{max(ends - starts + 1, 0)} sessions to train and {after - test} to test; give fewer --windows"
            )
        found.append(Window(starts, ends, test, after - 1))
    return found


def efficiency(in_sample: Sequence[float | None], out_of_sample: Sequence[float | None]) -> tuple[list[Any], Any]:
    """(by window, overall): what is earned a year out of sample over what was in sample; None where that lost."""
    ratios = [
        out / inside if inside is not None and out is not None and inside > 0.0 else None
        for inside, out in zip(in_sample, out_of_sample, strict=True)
    ]
    pairs = [(a, b) for a, b in zip(in_sample, out_of_sample, strict=True) if a is not None and b is not None]
    whole = sum(a for a, _ in pairs)
    return ratios, sum(b for _, b in pairs) / whole if whole > 0.0 else None


class Drift(NamedTuple):
    """How far what is chosen moves from window to window."""

    mean_steps: dict[str, float]  # of each setting, in steps of its grid; a choice that changes is one step
    largest_steps: dict[str, int]
    kept: float | None  # share of windows that chose what the one before had chosen; None for a single window


def drift(chosen: Sequence[Mapping[str, Any]], levels: Mapping[str, Sequence[Any]]) -> Drift:
    """Drift of the settings chosen in each window on their levels."""
    mean, largest = {}, {}
    for path, values in levels.items():
        seen = {*values, *(choice[path] for choice in chosen)}  # a later phase may set what an earlier one varied
        numbers = is_number(list(seen))
        place = {value: i for i, value in enumerate(sorted(seen) if numbers else sorted(seen, key=str))}
        moves = [
            abs(place[b[path]] - place[a[path]]) if numbers else int(a[path] != b[path])
            for a, b in itertools.pairwise(chosen)
        ]
        mean[path], largest[path] = float(np.mean(moves)) if moves else 0.0, max(moves, default=0)
    same = [all(a[path] == b[path] for path in levels) for a, b in itertools.pairwise(chosen)]
    return Drift(mean, largest, float(np.mean(same)) if same else None)


def stitched(pieces: Sequence[Any]) -> Any:
    """int64: equity in cents of runs one after the other, each begun with what the one before ended with.

    pieces : (starting cash, equity by session) of each
    """
    for (_, before), (start, _) in itertools.pairwise(pieces):
        if int(before[-1]) != int(start):
            raise ValueError(f"a run starts with {start} cents, the one before ended with {before[-1]}")
    return np.concatenate([equity for _, equity in pieces])
