"""The coarse stage of a search on one market: closed trades of many exits, in a few hundred nanoseconds each.

It ranks trials, of which the best are run in full, and it finds those that need no run of their own: exits that close
the same structures on the same rows at the same prices have one ledger.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from core.coarse import COUNT, FALL, LOST_CENTS, NET, RESULTS, UNRANKED, WON, coarse, new_passages
from core.errors import ConfigError
from core.portfolio import new_book
from core.search.evaluate import Evaluator, Group, Hasher, Task, is_followed, shares_candidates
from core.search.objectives import DEFAULT, Wish
from core.shared import new_shared
from core.types import FRACTION, LEGS, NATURAL, NO_SCALE, record_of
from strategies.structures import STRUCTURES

WORTH_SHARING = 500  # trials of a group from which on looking for equal ones is cheaper than running them
EXITS = ("profit_frac", "stop_multiple", "exit_dte", "max_hold_days")
RATES: dict[str, Callable[[Any], Any]] = {
    DEFAULT: lambda r: r[:, NET] / np.maximum(r[:, FALL], 1),
    "net_profit": lambda r: r[:, NET] / 100.0,
    "expectancy": lambda r: r[:, NET] / np.maximum(r[:, COUNT], 1),
    "profit_factor": lambda r: (r[:, NET] + r[:, LOST_CENTS]) / np.maximum(r[:, LOST_CENTS], 1),
    "win_rate": lambda r: r[:, WON] / np.maximum(r[:, COUNT], 1),
    "trades": lambda r: r[:, COUNT].astype(np.float64),
}


class Ranked(NamedTuple):
    """Trials by their closed trades, in the order in which they were asked for."""

    hashes: tuple[str, ...]
    results: Any  # int64 (n, 6), see core.coarse.RESULTS; count UNRANKED where the full run alone can tell

    def unranked(self) -> int:
        """How many the full run alone can tell."""
        return int((self.results[:, COUNT] == UNRANKED).sum())


def why_not(evaluator: Evaluator, group: Group) -> str | None:
    """What the coarse stage cannot follow in a group's trials on this market, or None."""
    rules, limits, costs = group.rules, group.limits, group.costs
    others = [name for name, column in group.free.items() if name not in EXITS and len(set(column)) > 1]
    falling = costs.interest and bool((evaluator.market.ses.rate < 0.0).any())
    caps = limits._replace(margin=0, power_share=0.0, shock_vol=0.0, drawdown_rest=0, losses_rest=0, kill_from=-1,
                           early_exercise=0, assigned_share=0.0, pin_band=0, halt_closes=0)  # fmt: skip
    reasons = (
        (bool(others), ", ".join(sorted(others))),
        (falling, "interest at a negative rate"),
        (rules.max_positions != 1, "strategy.max_positions above 1 (add --set strategy.max_positions=1)"),
        (not is_followed(rules, limits) or not shares_candidates(rules), "rules that depend on more than prices"),
        (rules.trail_from > 0.0, "strategy.exits.trail_from"),
        (rules.stop_on != NATURAL or rules.stop_scale != NO_SCALE, "stop_on mid or a scaled stop"),
        (rules.kelly_frac > 0.0 or rules.wait_after_exit > 0 or rules.wait_after_loss > 0, "what earlier results ask"),
        (rules.max_new_per_day > 1, "several entries a day"),
        (any(value > 0 for value in caps) or limits.kill_from >= 0, "caps and halts of risk.*"),
        (costs.order_type != FRACTION or costs.spread_multiple != 1.0 or costs.free_close > 0, "costs of this kind"),
    )
    return next((text for wrong, text in reasons if wrong), None)


def rank(evaluator: Evaluator, task: Task) -> Ranked:
    """Every trial's closed trades; ConfigError where the coarse stage cannot follow the settings."""
    results = np.full((len(task.rows), len(RESULTS)), UNRANKED, np.int64)
    for group in evaluator.groups(task):
        text = why_not(evaluator, group)
        if text is not None:
            raise ConfigError(
                f"--coarse follows targets, stops and time exits of one position at a time, and not {text}; leave it "
                "out, or search without --coarse"
            )
        results[group.members] = rank_group(evaluator, group)
    return Ranked(tuple(map(Hasher(evaluator.base.values, task.paths).of, task.rows)), results)


def leaders(evaluator: Evaluator, task: Task) -> Any:
    """int64 (n): the first trial of the task that has the same ledger; its own place where that cannot be told."""
    found = np.arange(len(task.rows))
    for group in evaluator.groups(task):
        if len(group.members) >= WORTH_SHARING and why_not(evaluator, group) is None:
            results = rank_group(evaluator, group)
            known = results[:, COUNT] != UNRANKED
            _, first, same = np.unique(results[known], axis=0, return_index=True, return_inverse=True)
            places = group.members[known]
            found[places] = places[first[same.reshape(-1)]]
    return found


def rank_group(
    evaluator: Evaluator, group: Group, call: Callable[[Callable[[], None]], None] = lambda run: run()
) -> Any:
    """int64 (n, 6) of trials that share their entries. call : runs the walk (a benchmark times it)."""
    first, last = evaluator.window([group])
    market = evaluator.seen_by(group)
    n = len(group.members)
    given = {name: np.array(group.free.get(name, [getattr(group.rules, name)] * n)) for name in EXITS}
    profit, at_profit = np.unique(given["profit_frac"], return_inverse=True)
    stop, at_stop = np.unique(given["stop_multiple"], return_inverse=True)
    times = np.stack((given["exit_dte"], given["max_hold_days"]), axis=1)
    rules_of_time, at_time = np.unique(times, axis=0, return_inverse=True)
    levels = np.stack((at_profit, at_stop, at_time.reshape(-1)), axis=1).astype(np.int32)
    rows = len(market.row)
    shared = evaluator.shared_for(1, market, group)
    if not len(shared.candidate):
        shared = new_shared(rows, 1, evaluator.width)
    passages = new_passages(rows, profit, stop, rules_of_time[:, 0], rules_of_time[:, 1])
    structure = STRUCTURES[group.values["strategy.structure"]]
    sides = np.array([structure.use_put, structure.use_put, structure.use_call, structure.use_call], np.int64)
    assert len(sides) == LEGS
    results = np.zeros((n, len(RESULTS)), np.int64)
    book, blank, out = new_book(0, 1, evaluator.width), new_book(0, 1, evaluator.width), evaluator.ledger(group, 1)
    rules, limits, costs = record_of(group.rules), record_of(group.limits), record_of(group.costs)

    def walk() -> None:
        coarse(
            market, rules, limits, costs, book, blank, out, shared, passages, sides, levels, group.start_cents, first,
            last, results,
        )  # fmt: skip

    call(walk)
    return results


def survivors(ranked: Ranked, wish: Wish, keep: int) -> list[int]:
    """Places of the best `keep` trials and of all that are unranked, in order; ConfigError for another objective."""
    if wish.objective not in RATES:
        raise ConfigError(
            f"--coarse ranks by closed trades, of which {wish.objective} is no figure; give one of: {', '.join(RATES)}"
        )
    known = ranked.results[:, COUNT] != UNRANKED
    score = np.where(
        known & (ranked.results[:, COUNT] >= wish.least_trades), RATES[wish.objective](ranked.results), -np.inf
    )
    best = np.lexsort((np.arange(len(score)), -score))
    chosen: Sequence[int] = [i for i in best.tolist() if known[i] and np.isfinite(score[i])][:keep]
    return sorted({*chosen, *np.nonzero(~known)[0].tolist()})
