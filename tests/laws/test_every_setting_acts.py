"""Law 6: a setting that changes nothing is a defect. Each one is changed once, and something moves."""

from typing import Any

import numpy as np
import pytest

from core.config import load
from core.market import catalog
from core.settings import BY_PATH, SETTINGS
from tests import markets

FLAT = {"strategy.exits.exit_dte": 0, "strategy.exits.profit_frac": 1.0, "strategy.exits.stop_multiple": 0.0}
LIMIT = {"costs.fill": "limit"}
LEGS = {"costs.fill": "leg_count", "costs.leg_base": 0.25, "costs.leg_step": 0.073}
# path: (another value, market, other settings that both runs share)
ACTS: dict[str, tuple[Any, str, dict[str, Any]]] = {
    "market.name": ("carried", "table", {}),
    "market.start": ("2025-11-25", "table", {}),
    "market.end": ("2025-12-02", "table", {}),
    "market.seed": (8, "synthetic", {}),
    "account.starting_cash": (30_000.0, "table", {}),
    "account.cash_yield": ("tbill", "cash", {}),
    "data.intraday_quotes": ("surface", "carried", {}),
    "strategy.structure": ("put_spread", "table", {}),
    "strategy.max_positions": (1, "table", {}),
    "strategy.entry.dte_min": (7, "table", {"strategy.entry.dte_target": 7}),
    "strategy.entry.dte_max": (8, "table", {}),
    "strategy.entry.dte_target": (20, "table", {}),
    "strategy.entry.short_delta": (0.20, "table", {}),
    "strategy.entry.delta_low": (0.155, "table", {}),
    "strategy.entry.delta_high": (0.165, "table", {}),
    "strategy.entry.wing_rule": ("percent", "table", {}),
    "strategy.entry.wing_width": (5.0, "table", {}),
    "strategy.entry.broken_wing_ratio": (3.0, "table", {"strategy.structure": "broken_wing_condor"}),
    "strategy.entry.min_credit_vs_median": (1.0, "table", {}),
    "strategy.entry.window_start": ("11:00", "table", {}),
    "strategy.entry.window_end": ("10:30", "table", {}),
    "strategy.entry.weekdays": ("mon,tue", "table", {}),
    "strategy.entry.schedule": ("weekly", "table", {}),
    "strategy.entry.ladder_days": (3, "table", {}),
    "strategy.entry.ladder_minutes": (30, "table", {}),
    "strategy.entry.max_new_per_day": (1, "table", {}),
    "strategy.size.contracts": (2, "table", {}),
    "strategy.size.max_risk_frac": (0.009, "table", {}),
    "strategy.exits.profit_frac": (0.3, "table", {}),
    "strategy.exits.stop_multiple": (2.0, "table", {}),
    "strategy.exits.stop_on": ("mid", "table", {}),
    "strategy.exits.exit_dte": (3, "table", {}),
    "strategy.exits.max_hold_days": (1, "table", {}),
    "strategy.exits.time_exit_from": ("13:00", "table", {"strategy.exits.max_hold_days": 1}),
    "strategy.exits.expiry_rule": ("settle", "cash", FLAT),
    "strategy.exits.flat_from": ("12:00", "table", FLAT),
    "strategy.exits.flat_before_early_close": (120, "table", FLAT),
    "strategy.exits.edge_minutes": (60, "table", {"strategy.exits.stop_on": "mid"}),
    "costs.fill": ("mid", "table", {}),
    "costs.fraction": (0.5, "table", {"costs.fill": "fraction"}),
    "costs.leg_base": (0.5, "table", LEGS),
    "costs.leg_step": (0.2, "table", LEGS),
    "costs.limit_steps": (1, "table", LIMIT),
    "costs.order_life": (1, "table", LIMIT),
    "costs.fees": ("classic", "table", {}),
    "costs.free_close_at": (0.5, "table", {"costs.fees": "classic"}),
    "costs.extra_slippage": (0.03, "table", {}),
    "costs.spread_multiple": (2.0, "table", {}),
}


@pytest.fixture
def stores(monkeypatch):
    """Markets are opened by name as a command does; `synthetic` builds a small drawn market from its seed."""
    for name in ("table", "cash", "carried"):
        folder = markets.market(name).path.parent
    monkeypatch.setenv("QMTF_STORE_DIR", str(folder))
    build = catalog._builder

    def small(name: str) -> Any:
        return (
            (lambda to, seed: markets.modelled_store(to, 12, seed, "synthetic")) if name == "synthetic" else build(name)
        )

    monkeypatch.setattr(catalog, "_builder", small)


def outcome(settings: dict[str, Any]) -> dict[str, Any]:
    """All that a run did."""
    config = load(user_file=markets.NO_FILE, flags={**markets.SHORT_LIVED, **settings})
    store = catalog.open_market(config["market.name"], config["market.seed"], lambda _: None)
    result = markets.run(store, config)
    ledger = result.ledger
    return {"trades": result.trades, "fills": result.fills, "rows": ledger.rows, "codes": ledger.codes}


def test_the_table_names_every_setting():
    assert list(ACTS) == [setting.path for setting in SETTINGS]


@pytest.mark.parametrize("path", list(ACTS))
def test_changing_a_setting_changes_the_run(path, stores):
    value, market, shared = ACTS[path]
    base = {"market.name": market, **shared}
    before = outcome(base)
    after = outcome({**base, path: value})
    assert load(user_file=markets.NO_FILE, flags={**markets.SHORT_LIVED, **base})[path] != value
    assert len(before["trades"]) >= 1
    assert any(not np.array_equal(before[key], after[key]) for key in before)


@pytest.mark.parametrize("path", [s.path for s in SETTINGS if s.kind == "choice"])
def test_every_choice_of_a_setting_can_be_run(path, stores):
    """Each structure, wing rule, schedule, fill and fee table does something of its own."""
    _, market, shared = ACTS[path]
    seen = []
    for choice in BY_PATH[path].choices:
        width = {"strategy.entry.wing_width": {"delta": 0.06, "expected_move": 0.4, "percent": 1.5}.get(choice, 3.0)}
        run = outcome({"market.name": market, **shared, **width, path: choice})
        assert len(run["trades"]) >= 1, choice
        key = b"".join(np.ascontiguousarray(run[part]).tobytes() for part in ("trades", "fills", "rows", "codes"))
        assert key not in seen, choice
        seen.append(key)
