"""The coarse stage counts the very trades that the engine closes, or says that it cannot tell."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backtest_engine import run
from core import coarse
from core.coarse import COUNT, FILLS, NET, UNRANKED, WON
from core.config import load
from core.errors import ConfigError
from core.market.build import Daily
from core.market.catalog import open_market
from core.search import coarse_stage
from core.search.coarse_stage import leaders, rank, survivors
from core.search.evaluate import Evaluator, Task
from core.search.objectives import DEFAULT, wish_of
from core.trials import METRIC
from core.types import T
from tests import markets
from tests.laws.test_every_setting_acts import ACTS
from tests.laws.test_every_setting_acts import stores as stores  # the fixture of markets by name

ALONE = {
    "strategy__max_positions": 1,
    "strategy__entry__schedule": "daily",
    "account__starting_cash": 1e6,
    "risk__margin": "alpaca",
}
LEVELS = {
    "strategy.exits.profit_frac": (0.1, 0.3, 0.5, 0.8, 1.0),
    "strategy.exits.stop_multiple": (0.0, 0.3, 0.7, 1.5),
    "strategy.exits.exit_dte": (0, 1, 3),
    "strategy.exits.max_hold_days": (0, 1, 3),
}
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "table": ("table", {}),
    "fraction": ("table", {"costs__fill": "fraction", "costs__fraction": 0.4, "costs__fees": "classic"}),
    "three contracts": ("table", {"strategy__size__contracts": 3}),
    "weekly": ("modelled", {"strategy__entry__schedule": "weekly"}),
    "ladder of one a day": (
        "table",
        {
            "strategy__entry__schedule": "ladder",
            "strategy__entry__ladder_days": 0,
            "strategy__entry__max_new_per_day": 1,
        },
    ),
    "modelled": ("modelled", {}),
    "carried": ("carried", {}),
    "put spread": ("table", {"strategy__structure": "put_spread"}),
    "ex-dividend": ("exdiv", {"strategy__entry__dte_min": 4, "strategy__entry__dte_target": 7}),
}


def task_of() -> Task:
    rows = [
        (a, b, c, d)
        for a in LEVELS["strategy.exits.profit_frac"]
        for b in LEVELS["strategy.exits.stop_multiple"]
        for c in LEVELS["strategy.exits.exit_dte"]
        for d in LEVELS["strategy.exits.max_hold_days"]
    ]
    return Task(tuple(LEVELS), tuple(rows))


@pytest.mark.parametrize("name", CASES)
def test_closed_trades_are_those_of_the_engine(name: str) -> None:
    of, changes = CASES[name]
    store = markets.market(of)
    config = markets.config_of(market__name=store.name, **{**ALONE, **changes})
    task = task_of()
    results = rank(Evaluator(store, config), task).results
    known = 0
    for i in range(0, len(task.rows), 3):
        own = config.with_values(**{p.replace(".", "__"): v for p, v in zip(task.paths, task.rows[i], strict=True)})
        trades = run(store, own).trades
        pnl = trades[trades[:, T["closed"]] >= 0][:, T["pnl"]]
        if results[i, COUNT] != UNRANKED:
            known += 1
            assert (results[i, NET], results[i, COUNT], results[i, WON]) == (pnl.sum(), len(pnl), (pnl > 0).sum()), i
    assert known > (5 if name == "ex-dividend" else 30)


@pytest.mark.parametrize("name", CASES)
def test_trials_led_by_another_have_its_ledger(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every figure and the equity of every session, to the last bit."""
    monkeypatch.setattr(coarse_stage, "WORTH_SHARING", 2)
    of, changes = CASES[name]
    store = markets.market(of)
    config = markets.config_of(market__name=store.name, **{**ALONE, **changes})
    evaluator, task = Evaluator(store, config), task_of()
    lead = leaders(evaluator, task)
    outcome = evaluator.evaluate(task)  # over the marks that were just laid out
    assert np.array_equal(lead, leaders(evaluator, task))
    alone = Evaluator(store, config).evaluate(task)
    assert np.array_equal(outcome.figures, alone.figures, equal_nan=True)
    assert np.array_equal(outcome.equity, alone.equity)
    assert (lead[lead] == lead).all() and (lead <= np.arange(len(lead))).all()
    assert np.array_equal(outcome.figures[lead], outcome.figures, equal_nan=True)
    assert np.array_equal(outcome.equity[lead], outcome.equity)
    distinct = len(np.unique(outcome.equity, axis=0))
    assert distinct <= len(set(lead.tolist())) < len(lead)


@pytest.mark.parametrize("name", ("table", "modelled"))
def test_no_room_is_made_good_or_said(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Marks that had to be forgotten are laid out again; where no structure fits, nothing is ranked."""
    store = markets.market(name)
    config = markets.config_of(market__name=store.name, **ALONE)
    task = task_of()
    want = rank(Evaluator(store, config), task).results
    whole = Evaluator(store, config)
    rank(whole, task)
    used = int(whole.shared.used.rows)
    assert (want[:, COUNT] != UNRANKED).sum() > 30
    for room in (used // 2, used // 8):
        monkeypatch.setattr("core.shared.MOST_ROWS", room)
        assert np.array_equal(rank(Evaluator(store, config), task).results, want)
    monkeypatch.setattr("core.shared.MOST_ROWS", 1)
    assert (rank(Evaluator(store, config), task).results[:, COUNT] == UNRANKED).all()
    monkeypatch.setattr("core.shared.MOST_ROWS", used)
    monkeypatch.setattr(coarse, "MOST_OPENED", 4)
    few = rank(Evaluator(store, config), task).results
    known = few[:, COUNT] != UNRANKED
    assert not known.all() and np.array_equal(few[known, :FILLS], want[known, :FILLS])


def test_a_budget_that_is_rounded_twice_is_not_overestimated() -> None:
    """A hundredth of a per cent, scaled by volatility: cash around what one contract needs, in steps of ten dollars."""
    store = markets.market("years")
    config = load(
        user_file=markets.NO_FILE,
        flags={
            "market.name": store.name,
            "market.start": "2020-02-03",
            "market.end": "2020-02-06",
            "strategy.max_positions": 1,
            "strategy.entry.dte_min": 14,
            "strategy.entry.dte_target": 30,
            "strategy.entry.wing_width": 2.0,
            "strategy.entry.min_credit_vs_median": 0.2,
            "strategy.entry.schedule": "weekly",
            "strategy.size.max_risk_frac": 0.0001,
            "strategy.size.vol_floor": 0.3,
            "strategy.size.vol_low": 0.0,
            "strategy.size.vol_high": 0.01,
            "strategy.exits.exit_dte": 0,
            "risk.margin": "none",
        },
    )
    task = Task(FEW, ((0.5, 1), (0.6, 1)))
    told = traded = 0
    for cash in range(5_433_330, 5_434_330, 10):
        own = config.with_values(account__starting_cash=float(cash))
        evaluator = Evaluator(store, own)
        results = rank(evaluator, task).results
        figures = evaluator.evaluate(task).figures
        traded += figures[0, METRIC["trades"]] > 0
        for found, full in zip(results, figures, strict=True):
            if found[COUNT] != UNRANKED:
                told += 1
                assert (found[COUNT], found[NET]) == (full[METRIC["trades"]], round(full[METRIC["net_profit"]] * 100))
    assert told > 20 and traded > 20


def test_settings_that_are_the_same_for_all_are_no_hindrance() -> None:
    """An earlier phase's choice, or `set` in a grid: a column that does not vary."""
    store = markets.market("table")
    config = markets.config_of(market__name=store.name, **{**ALONE, "strategy__max_positions": 3})
    task = task_of()
    constant = Task((*task.paths, "strategy.max_positions"), tuple((*row, 1) for row in task.rows))
    alone = Evaluator(store, markets.config_of(market__name=store.name, **ALONE))
    assert np.array_equal(rank(Evaluator(store, config), constant).results, rank(alone, task).results)


def test_many_levels_take_no_more_room() -> None:
    levels = np.arange(20_000)
    many = coarse.new_passages(10, levels / 20_000, levels / 20_000, levels, levels)
    assert many.level.size <= coarse.MOST_LEVELS and len(many.opened) == len(many.level) > 0


FEW = ("strategy.exits.profit_frac", "strategy.exits.max_hold_days")


@pytest.mark.parametrize("path", [p for p in ACTS if not p.startswith("market.")])
def test_a_setting_is_followed_or_refused(path: str, stores: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """With any setting at another value the stage counts the engine's trades, or says that it cannot.

    And a trial that is led by another has its trades.
    """
    monkeypatch.setattr(coarse_stage, "WORTH_SHARING", 2)
    value, of, shared = ACTS[path]
    changes = {p.replace(".", "__"): v for p, v in {**shared, path: value}.items()}
    store = open_market(of, 7, lambda text: None)
    config = markets.config_of(market__name=store.name, **{**ALONE, **changes})
    levels = [(a, b) for a in (0.3, 0.8) for b in (1, 3)]
    task = Task(FEW, tuple(levels)) if path not in FEW else Task(("strategy.exits.stop_multiple",), ((0.7,), (1.5,)))
    evaluator = Evaluator(store, config)
    try:
        results = rank(evaluator, task).results
    except ConfigError:
        return
    ledgers = []
    for row, found in zip(task.rows, results, strict=True):
        own = config.with_values(**{p.replace(".", "__"): v for p, v in zip(task.paths, row, strict=True)})
        trades = run(store, own).trades
        ledgers.append(trades)
        pnl = trades[trades[:, T["closed"]] >= 0][:, T["pnl"]]
        if found[COUNT] != UNRANKED:
            assert (found[NET], found[COUNT], found[WON]) == (pnl.sum(), len(pnl), (pnl > 0).sum())
    for i, first in enumerate(leaders(evaluator, task)):
        assert np.array_equal(ledgers[i], ledgers[first])


def test_it_says_what_it_cannot_follow() -> None:
    store = markets.market("table")
    for changes, word in (
        ({"strategy__max_positions": 2}, "max_positions"),
        ({"strategy__exits__trail_from": 0.2}, "trail_from"),
        ({"strategy__exits__stop_on": "mid"}, "stop_on"),
        ({"risk__daily_loss": 0.02}, "risk"),
        ({"costs__fill": "limit"}, "costs"),
        ({"strategy__manage__tested_action": "close_all"}, "more than prices"),
    ):
        config = markets.config_of(market__name=store.name, **{**ALONE, **changes})
        with pytest.raises(ConfigError, match=word):
            rank(Evaluator(store, config), task_of())


def test_interest_at_a_negative_rate_is_not_followed(tmp_path: Path) -> None:
    """It takes cash that the walk from trade to trade does not see leave."""
    tape = markets.table_tape("falling", seed=5)
    rates = dict.fromkeys(tape.sessions.day.tolist(), -0.05)
    store = markets.stored(tape._replace(daily=Daily({}, {}, rates)), tmp_path)
    config = markets.config_of(market__name=store.name, **{**ALONE, "account__cash_yield": "tbill"})
    with pytest.raises(ConfigError, match="negative rate"):
        rank(Evaluator(store, config), task_of())


def test_the_best_survive_and_so_does_what_cannot_be_told() -> None:
    store = markets.market("modelled")
    config = markets.config_of(market__name=store.name, **ALONE)
    ranked = rank(Evaluator(store, config), task_of())
    ranked.results[7, COUNT] = UNRANKED
    kept = survivors(ranked, wish_of("net_profit", 1, ()), 10)
    assert 7 in kept and len(kept) == 10 + int((ranked.results[:, COUNT] == UNRANKED).sum())
    best = max(range(len(ranked.results)), key=lambda i: (ranked.results[i, COUNT] > 0, ranked.results[i, NET]))
    assert best in kept
    with pytest.raises(ConfigError, match="sharpe"):
        survivors(ranked, wish_of("sharpe", 1, ()), 10)
    assert survivors(ranked, wish_of(DEFAULT, 10**6, ()), 10) == [
        i for i in range(len(ranked.results)) if ranked.results[i, COUNT] == UNRANKED
    ]
