"""What a search found, in one place: all trials side by side, the recommended one, its neighbours, and its luck."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from core.config import Config
from core.market.store import Store, days_between
from core.overfit import deflated_sharpe
from core.search.cross_validation import CrossValidated, cross_validated
from core.search.grid import Grid, levels_of_grid
from core.search.luck import Luck, adverse_moments, independent_periods, luck_of
from core.search.records import Found, PhaseFound
from core.search.robustness import ground_of, importances, inert, neighbourhood_scores
from core.search.shapes import Shape, robustness_with, shape_of
from core.trials import METRIC

TESTED_GROUPS = 2


class Findings(NamedTuple):
    """The trials of all phases in order (n), and what they say together."""

    found: Found
    phase: list[str]  # of each trial
    settings: dict[str, list[Any]]  # every varied or set path, a value per trial
    hashes: list[str]
    figures: Any  # float64 (n, K)
    equity: Any  # int64 (m, sessions): of ledgers, which trials share
    returns: Any  # float64 (sessions, m), in excess of cash
    ledger: Any  # int64 (n): whose equity and returns a trial has
    scores: Any  # float64 (n)
    robustness: Any  # float64 (n), NaN without neighbours
    recommended: int  # trial id, -1: none counts
    best: int  # the best point
    luck: Luck | None  # of the recommended trial; None where there is none
    shape: Shape | None
    importances: list[dict[str, float]]  # by phase; none after a coarse stage
    logged: int  # settings tried on this market
    inert: list[str]  # varied settings that changed nothing on this market


def excess_returns(equity: Any, start_cents: Any, cash_returns: Any) -> Any:
    """float64 (sessions, m) from int64 (m, sessions); NaN where an account was lost."""
    returns = np.empty(equity.shape)  # what an account had before, then what it earned: one array for both
    returns[:, 0], returns[:, 1:] = start_cents, equity[:, :-1]
    lost = returns <= 0.0
    with np.errstate(divide="ignore", invalid="ignore"):
        np.divide(equity, returns, out=returns)
    returns -= 1.0
    returns -= cash_returns
    returns[lost] = np.nan
    return returns.T


def varied_paths(found: Found) -> list[str]:
    """Every path that a phase varied or set, in order of its first appearance."""
    return list(dict.fromkeys(path for phase in found.phases for path in (*phase.phase.levels, *phase.phase.fixed)))


def column_of(phase: PhaseFound, path: str, found: Found) -> list[Any]:
    """A setting of a phase's trials, a value each."""
    if path not in phase.paths:
        return [found.base[path]] * len(phase.rows)
    place = phase.paths.index(path)
    return [row[place] for row in phase.rows]


def findings_of(found: Found, logged: int, cash_returns: Any) -> Findings:
    """Put a search's phases together. logged : settings tried on this market, these included; one phase at least."""
    phases = found.phases
    paths = varied_paths(found)
    settings = {path: [value for phase in phases for value in column_of(phase, path, found)] for path in paths}
    starts = [value for phase in phases for value in column_of(phase, "account.starting_cash", found)]
    equity = np.concatenate([phase.equity for phase in phases])
    ends = np.cumsum([len(phase.equity) for phase in phases])
    ledger = np.concatenate([end - len(p.equity) + p.ledger for end, p in zip(ends, phases, strict=True)])
    first = np.unique(ledger, return_index=True)[1]  # trial of each
    returns = excess_returns(equity, np.round(np.array(starts)[first] * 100.0), cash_returns)
    scores = np.concatenate([phase.scores for phase in phases])
    grounds = [phase.ground or ground_of(phase.levels()) for phase in phases]
    pairs = list(zip(grounds, phases, strict=True))
    told = [] if found.plan.coarse else pairs  # what matters, and how halves agree, is told by all trials or not at all
    robustness = np.concatenate([neighbourhood_scores(ground, phase.scores) for ground, phase in pairs])
    last = max((i for i, phase in enumerate(phases) if phase.chosen >= 0), default=-1)
    recommended = sum(len(phase.rows) for phase in phases[:last]) + phases[last].chosen if last >= 0 else -1
    own_place = (phases[last].scores, phases[last].chosen)
    varied = [path for path, levels in levels_of_grid(found.grid).items() if len(levels) > 1]
    if recommended >= 0 and found.beyond:
        robustness[recommended] = robustness_with(grounds[last], *own_place, found.beyond)
    return Findings(
        found=found,
        phase=[phase.phase.name for phase in phases for _ in phase.rows],
        settings=settings,
        hashes=[key for phase in phases for key in phase.hashes],
        figures=np.concatenate([phase.figures for phase in phases]),
        equity=equity,
        returns=returns,
        ledger=ledger,
        scores=scores,
        robustness=robustness,
        recommended=recommended,
        best=int(np.nanargmax(scores)) if np.isfinite(scores).any() else -1,
        luck=luck_of(returns, int(ledger[recommended]), logged, not found.plan.coarse) if recommended >= 0 else None,
        shape=shape_of(grounds[last], phases[last].scores, phases[last].chosen, found.beyond, varied)
        if last >= 0
        else None,
        importances=[importances(ground, phase.scores) for ground, phase in told],
        logged=logged,
        inert=[
            name
            for ground, phase in told
            if (phase.figures[:, METRIC["trades"]] > 0).any()
            for name in inert(ground, phase.figures)
        ],
    )


def deflated_of(findings: Findings, trial: int) -> float | None:
    """Deflated Sharpe ratio of any one trial, with the count and the spread of the whole search."""
    luck, own = findings.luck, findings.returns[:, findings.ledger[trial]]
    if luck is None or luck.spread is None:
        return None
    moments = adverse_moments(luck.common, own)
    if moments is None:
        return None
    sharpe = float(own.mean() / own.std(ddof=1))
    return deflated_sharpe(sharpe, independent_periods(own), *moments, luck.effective, luck.spread**2)


def ranking(findings: Findings) -> Any:
    """Trial ids, the best objective first; those that do not count come last, by net profit."""
    net = np.nan_to_num(findings.figures[:, METRIC["net_profit"]], nan=-np.inf)
    score = np.nan_to_num(findings.scores, nan=-np.inf)
    return np.lexsort((np.arange(len(score)), -net, -score))


def validated_of(findings: Findings, store: Store, groups: int, embargo_days: int) -> CrossValidated | None:
    """Combinatorial purged cross-validation of the search's trials but those that lost everything; None without any."""
    base = findings.found.base
    days = days_between(store, base["market.start"], base["market.end"])
    known = findings.returns[:, np.isfinite(findings.returns).all(axis=0)]
    if not known.shape[1]:
        return None
    purge = longest_hold(findings.found.grid, base)
    return cross_validated(known, days, groups, TESTED_GROUPS, purge, embargo_days)


def longest_hold(grid: Grid, base: Config) -> int:
    """Calendar days that a position of any trial may be held, by its settings."""

    def given(path: str) -> list[Any]:
        found = [v for phase in grid.phases for v in (*phase.levels.get(path, ()), phase.fixed.get(path))]
        return [v for v in found if v is not None] or [base[path]]

    days = max(given("strategy.entry.dte_max")) - min(given("strategy.exits.exit_dte"))
    if any(kind != "never" for kind in given("strategy.manage.roll_out")):
        days *= 1 + max(given("strategy.manage.max_rolls_out"))
    holds = given("strategy.exits.max_hold_days")
    return int(days if min(holds) == 0 else min(days, max(holds)))
