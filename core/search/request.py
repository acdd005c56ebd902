"""What a command asks of a search, made into a plan and into who runs it; refusals come before anything runs."""

from __future__ import annotations

import os
from typing import Any, NamedTuple

from core.config import Config, unknown
from core.errors import ConfigError
from core.market.store import Store
from core.search.grid import Grid
from core.search.methods import METHODS, default_trials
from core.search.objectives import DEFAULT, LEAST_TRADES, PARETO, wish_of
from core.search.records import Plan
from core.search.windows import check_kind
from core.search.workers import TrialEngine, local_engine

MOST_JOBS = 256
WINDOWS, EMBARGO_DAYS = 5, 5


class Request(NamedTuple):
    """What the command line asks of a search; None leaves a wish to the grid's file, then to the default."""

    method: str | None = None
    trials: int | None = None
    objective: str | None = None
    min_trades: int | None = None
    limits: tuple[str, ...] = ()
    jobs: int | None = None
    engine: str = "local"
    address: str | None = None
    resume: bool = False
    coarse: int | None = None
    draw_seed: int | None = None  # of what methods draw and suggest; None: the market's


class OutOfSample(NamedTuple):
    """How the search itself is tested on sessions that it did not see."""

    kind: str | None = None  # of a walk-forward: anchored or rolling; None: none
    windows: int = WINDOWS
    embargo_days: int = EMBARGO_DAYS
    groups: int | None = None  # of a cross-validation; None: none

    def value(self) -> dict[str, Any]:
        """As JSON, without what is not in force."""
        walks, tests = self.kind is not None, self.kind is not None or self.groups is not None
        return {
            "walk_forward": self.kind,
            "windows": self.windows if walks else None,
            "cross_validate": self.groups,
            "embargo_days": self.embargo_days if tests else None,
        }


def out_of_sample_of(
    kind: str | None, windows: int | None, embargo_days: int | None, groups: int | None
) -> OutOfSample:
    """From the command line's words; what would be ignored is refused."""
    check_kind(kind)
    if windows is not None and kind is None:
        raise ConfigError("--windows is of a walk-forward; add --walk-forward anchored or rolling")
    if embargo_days is not None and kind is None and groups is None:
        raise ConfigError("--embargo is of --walk-forward and --cross-validate; add one of them")
    if embargo_days is not None and embargo_days < 0:
        raise ConfigError(f"--embargo is {embargo_days}; give 0 or more days")
    return OutOfSample(
        kind, WINDOWS if windows is None else windows, EMBARGO_DAYS if embargo_days is None else embargo_days, groups
    )


def plan_of(request: Request, grid: Grid, seed: int) -> Plan:
    """The plan of a request on a grid."""
    method = request.method or grid.method or "grid"
    if method not in METHODS:
        raise ConfigError(unknown("method", method, METHODS))
    least = request.min_trades if request.min_trades is not None else grid.min_trades
    wish = wish_of(
        request.objective or grid.objective or DEFAULT,
        LEAST_TRADES if least is None else least,
        (*grid.limits, *request.limits),
    )
    asked = request.trials if request.trials is not None else grid.trials
    trials = default_trials(method) if asked is None else asked
    if method == "grid" and (request.trials is not None or (grid.trials is not None and request.method is None)):
        given = "--trials" if request.trials is not None else f"grid {grid.name}: trials"
        raise ConfigError(f"{given} is for --method random, sobol, tpe and cmaes; grid runs all combinations")
    if request.coarse is not None and request.coarse < 1:
        raise ConfigError(f"--coarse is {request.coarse}; give how many trials to run in full, 1 or more")
    if request.address is not None and request.engine != "ray":
        raise ConfigError("--address is of a Ray cluster; add --engine ray")
    seed = seed if request.draw_seed is None else request.draw_seed
    plan = Plan(method, trials, wish, seed, request.resume, request.coarse or 0)
    check_plan(plan, grid)
    return plan


def check_plan(plan: Plan, grid: Grid) -> None:
    """Refuse what cannot be, before anything runs."""
    if plan.wish.objective == PARETO and plan.method != "tpe":
        raise ConfigError("objective pareto (net profit against drawdown) is for --method tpe")
    if plan.coarse and plan.method in ("tpe", "cmaes"):
        raise ConfigError("--coarse is for --method grid, random and sobol")
    if plan.coarse and plan.wish.limits:
        raise ConfigError("--coarse ranks by closed trades, before limits can be told; leave out one of the two")
    if plan.trials < 1:
        raise ConfigError(f"--trials is {plan.trials}; give 1 or more")
    if plan.method == "cmaes" and len(grid.phases) > 1:
        raise ConfigError(f"--method cmaes searches one phase of numbers; grid {grid.name} has {len(grid.phases)}")


def engine_of(store: Store, base: Config, request: Request) -> TrialEngine:
    """Who runs the trials."""
    jobs = request.jobs if request.jobs is not None else os.cpu_count() or 1
    if not 1 <= jobs <= MOST_JOBS:
        raise ConfigError(f"--jobs is {jobs}; give 1 to {MOST_JOBS}")
    if request.engine == "ray":
        from core.search.ray_engine import RayEngine

        return RayEngine(store, base, request.address, request.jobs)
    return local_engine(store, base, jobs)
