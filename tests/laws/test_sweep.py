"""A trial of a search is a backtest: the same money by session and the same figures, whichever way it was run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backtest_engine import BacktestResult, run
from core.config import Config, check_together
from core.errors import ConfigError, DataError
from core.market.catalog import open_market
from core.market.store import Store
from core.report.measure import closing_rows, measure
from core.search.evaluate import Evaluator, Outcome, Task, is_followed
from core.trials import METRIC, TRIAL_METRICS
from tests import markets
from tests.laws.test_every_setting_acts import ACTS
from tests.laws.test_every_setting_acts import stores as stores  # the fixture of markets by name
from tests.laws.test_random_settings import Drawn, cases, config_of
from tests.laws.test_random_settings import market as market  # the fixture of drawn markets

EXITS = {
    "strategy.exits.profit_frac": (0.2, 0.5, 0.9),
    "strategy.exits.stop_multiple": (0.0, 0.7, 2.0),
    "strategy.exits.max_hold_days": (0, 2),
}
DRAWS = 120


def exits_of(config: Config, table: dict[str, tuple[Any, ...]] = EXITS) -> Task:
    """Every combination of the exits that does not contradict the other settings."""
    rows = []
    for profit in table["strategy.exits.profit_frac"]:
        for stop in table["strategy.exits.stop_multiple"]:
            for hold in table["strategy.exits.max_hold_days"]:
                row = (profit, stop, hold)
                try:
                    check_together({**config.values, **dict(zip(table, row, strict=True))})
                except ConfigError:
                    continue
                rows.append(row)
    return Task(tuple(table), tuple(rows))


def same_as_backtests(store: Store, config: Config, task: Task, outcome: Outcome) -> None:
    """Every trial against a backtest of its own settings."""
    for i, row in enumerate(task.rows):
        changes = {path.replace(".", "__"): value for path, value in zip(task.paths, row, strict=True)}
        own = config.with_values(source="test", **changes)
        result = run(store, own)
        assert outcome.hashes[i] == own.hash()
        assert outcome.equity[i].tolist() == np.asarray(result.equity)[closing_rows(result)].tolist(), row
        same_figures(result, outcome.figures[i], row)


def same_figures(result: BacktestResult, figures: Any, row: Any) -> None:
    metrics = measure(result).metrics
    for name in TRIAL_METRICS:
        mine, theirs = figures[METRIC[name]], metrics[name]
        if theirs is None:
            assert np.isnan(mine), (name, mine, row)
        else:
            # A loss of a millionth of the cash leaves a growth rate few digits, and what is divided by it no more.
            digits = 1e-7 if name in ("cagr", "calmar") else 1e-9
            assert mine == pytest.approx(theirs, rel=digits, abs=1e-9), (name, row)


@pytest.mark.parametrize("name", markets.RUNS)
def test_trials_are_backtests(name: str) -> None:
    of, changes = markets.RUNS[name]
    store = markets.market(of)
    config = markets.config_of(market__name=store.name, **changes)
    task = exits_of(config)
    evaluator = Evaluator(store, config)
    outcome = evaluator.evaluate(task)
    same_as_backtests(store, config, task, outcome)
    again = evaluator.evaluate(Task(task.paths, task.rows[::-1]))  # in another order, on paths that are there already
    assert again.figures[::-1].tobytes() == outcome.figures.tobytes()
    assert again.equity[::-1].tobytes() == outcome.equity.tobytes()


@pytest.mark.slow
@pytest.mark.parametrize("path", [p for p in ACTS if not p.startswith(("market.", "data."))])
def test_a_search_over_a_setting_is_backtests(path: str, stores: None) -> None:
    """Any setting as what a search varies: its value in the run and another."""
    value, of, shared = ACTS[path]
    store = open_market(of, 7, lambda text: None)
    config = markets.config_of(**{p.replace(".", "__"): v for p, v in {"market.name": of, **shared}.items()})
    task = Task((path,), ((config[path],), (value,)))
    same_as_backtests(store, config, task, Evaluator(store, config).evaluate(task))


def test_the_sweep_follows_most_runs_itself() -> None:
    """Else the law above would compare the engine with itself."""
    followed = []
    for name, (of, changes) in markets.RUNS.items():
        store = markets.market(of)
        evaluator = Evaluator(store, markets.config_of(market__name=store.name, **changes))
        group = evaluator.groups(exits_of(evaluator.base))[0]
        if is_followed(group.rules, group.limits):
            followed.append(name)
            left: list[Any] = []
            evaluator.run_alone = lambda *_, into=left: into.append(1)  # type: ignore[method-assign]
            evaluator.evaluate(exits_of(evaluator.base))
            assert not left, name
    assert {"natural", "limit", "stop_on_mid", "settled", "modelled", "trailing", "assigned", "guarded"} <= set(
        followed
    )


@settings(max_examples=DRAWS)
@given(drawn=cases(), seed=st.integers(0, 2**16))
def test_any_trial_is_a_backtest(market: Callable[[str], Store], drawn: Drawn, seed: int) -> None:
    store = market(drawn.market)
    try:
        config = config_of(store, drawn.changes)
        result = run(store, config)
    except (ConfigError, DataError):
        return
    assert result is not None
    task = exits_of(config, {**EXITS, "strategy.exits.profit_frac": (0.3, 0.8), "strategy.exits.max_hold_days": (0,)})
    order = np.random.default_rng(seed).permutation(len(task.rows))
    task = Task(task.paths, tuple(task.rows[i] for i in order))
    same_as_backtests(store, config, task, Evaluator(store, config).evaluate(task))


def test_scores_are_those_of_a_backtest_whatever_was_scored_before() -> None:
    """Weights, limits and sizes by the fuzzy score: rows that another gate shuts are not scored, and never asked."""
    store = markets.market("years")
    config = markets.config_of(
        market__name="years", strategy__size__contracts=20, strategy__size__max_risk_frac=1.0,
        strategy__filters__rsi_max=70.0, strategy__filters__avoid_regimes="trend_down",
    )  # fmt: skip
    paths = ("strategy.signals.fuzzy_iv", "strategy.filters.score_min", "strategy.size.fuzzy_scale")
    rows = tuple((iv, least, scale) for iv in (0.2, 3.0) for least in (0.0, 0.45, 0.6) for scale in (0.0, 1.0))
    task = Task(paths, rows)
    evaluator = Evaluator(store, config)
    outcome = evaluator.evaluate(task)
    same_as_backtests(store, config, task, outcome)
    again = evaluator.evaluate(Task(paths, rows[::-1]))
    assert again.equity[::-1].tobytes() == outcome.equity.tobytes()
    assert len({line.tobytes() for line in outcome.equity}) > 6


def test_starting_cash_is_rounded_to_the_cent_once() -> None:
    """The book begins with whole cents; what was not there is no loss."""
    store = markets.market("table")
    config = markets.config_of(market__name="table", account__starting_cash=100.125)
    assert measure(run(store, config)).metrics["net_profit"] == 0.0
    task = exits_of(config)
    same_as_backtests(store, config, task, Evaluator(store, config).evaluate(task))
