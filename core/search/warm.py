"""Compile the sweep, the coarse stage and the test of halves for the types of every market, without running anything.

python -m core.search.warm
"""

from __future__ import annotations

import numpy as np

from core.coarse import RESULTS, coarse, new_passages
from core.config import ROOT, load
from core.costs import costs_from
from core.market.store import empty_market
from core.overfit import overfitting
from core.portfolio import new_book, new_ledger
from core.risk_manager import limits_from
from core.search.evaluate import fees_by_name, repeated
from core.shared import new_shared
from core.sweep import sweep
from core.trials import EXTREMES, TRIAL_METRICS, scratch_for
from core.types import LEGS, record_of
from strategies.rules import rules_from


def warm() -> None:
    """All kernels that only searches run."""
    market, config = empty_market(), load(user_file=ROOT / "no user settings")
    rules, limits = rules_from(config.values), limits_from(config.values)
    costs = record_of(costs_from(config.values, fees_by_name("none"), LEGS))
    book, blank, out, shared = new_book(0, 1, 2), new_book(0, 1, 2), new_ledger(2, 1), new_shared(2, 1, 2)
    chain, worst = scratch_for(2, 1)
    sweep(
        market, repeated(rules, 0), repeated(limits, 0), costs, book, blank, out, shared, 0, 1, np.zeros(0, np.int64),
        np.zeros(2), chain, worst, np.zeros(EXTREMES), np.zeros((0, 2), np.int64), np.zeros((0, len(TRIAL_METRICS))),
        np.zeros(0, np.uint8),
    )  # fmt: skip
    passages = new_passages(2, [0.5], [2.0], [21], [0])
    sides, levels = np.ones(LEGS, np.int64), np.zeros((0, 3), np.int32)
    coarse(
        market, record_of(rules), record_of(limits), costs, book, blank, out, shared, passages, sides, levels, 10**7,
        0, 1, np.zeros((0, len(RESULTS)), np.int64),
    )  # fmt: skip
    overfitting(np.arange(16.0).reshape(8, 2) % 3.0, 2)


if __name__ == "__main__":
    warm()
