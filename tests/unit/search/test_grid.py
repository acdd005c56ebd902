"""Grids are checked before anything runs."""

from __future__ import annotations

from typing import Any

import pytest

from core.config import load
from core.errors import ConfigError
from core.search.grid import grid_names, parse_grid, read_grid
from core.search.methods import sampled
from core.search.needs import NEEDS, need_of, why_inert
from core.search.objectives import DEFAULT, scores, wish_of
from core.search.space import Space, check_acts, check_ahead
from core.settings import BY_PATH
from core.trials import METRIC, TRIAL_METRICS
from tests import markets

BASE = load(user_file=markets.NO_FILE)
PROFIT, STOP = "strategy.exits.profit_frac", "strategy.exits.stop_multiple"


def space(tree: dict[str, Any]) -> Any:
    phase = parse_grid(tree, "test").phases[0]
    found = Space(phase, BASE)
    check_acts(found, BASE)
    return found


@pytest.mark.parametrize("name", grid_names())
def test_the_grids_that_ship_can_run(name: str) -> None:
    grid = read_grid(name)
    base = load(preset=grid.preset, user_file=markets.NO_FILE)
    assert grid.about
    for phase in grid.phases:
        found = Space(phase, base)
        check_acts(found, base)
        best = dict(zip(found.paths, found.rows[0], strict=True))
        base = base.with_values(**{path.replace(".", "__"): value for path, value in best.items()})


def test_the_classic_phases_are_829_trials() -> None:
    sizes, base = [], load(preset="classic", user_file=markets.NO_FILE)
    for phase in read_grid("classic").phases:
        sizes.append(len(Space(phase, base).rows))
    assert sizes == [54, 16, 18, 4, 8, 729] and sum(sizes) == 829


def test_ten_thousand_exits_are_ten_thousand_and_fewer_where_entries_have_few_days() -> None:
    phase = read_grid("exits").phases[0]
    assert len(Space(phase, BASE).rows) == 10_000
    for preset, days in (("weekly", {0, 2, 4}), ("short_dated", {0, 2, 4})):
        found = Space(phase, load(preset=preset, user_file=markets.NO_FILE))
        assert {row[found.paths.index("strategy.exits.exit_dte")] for row in found.rows} == days
    with pytest.raises(ConfigError, match=r"no combination: .*exit_dte < .*dte_min \(strategy.entry.dte_min is 0\)"):
        check_acts(Space(phase, load(preset="zero_dte", user_file=markets.NO_FILE)), BASE)


def test_ranges_lists_and_conditions() -> None:
    found = space({"vary": {PROFIT: {"from": 0.2, "to": 0.6, "step": 0.2}, STOP: {"from": 1, "to": 3, "count": 3}}})
    assert found.rows[:4] == [(0.2, 1.0), (0.2, 2.0), (0.2, 3.0), (0.4, 1.0)] and len(found.rows) == 9
    found = space({"vary": {PROFIT: [0.6, 0.2]}, "where": [f"{PROFIT} < 0.5"], "set": {STOP: 3}})
    assert found.paths == (PROFIT, STOP) and found.rows == [(0.2, 3.0)]
    two = {"vary": {"strategy": {"entry": {"delta_low": [0.05, 0.15], "short_delta": [0.1, 0.2]}}}}
    with pytest.raises(ConfigError, match=r"delta_low.*leave it out with a condition"):
        space(two)
    assert len(space({**two, "where": ["strategy.entry.delta_low < strategy.entry.short_delta"]}).rows) == 3


@pytest.mark.parametrize(
    ("tree", "words"),
    [
        ({"vary": {"strategy.exits.profit_fraction": [0.5]}}, "did you mean 'strategy.exits.profit_frac'"),
        ({"vary": {PROFIT: [1.5]}}, "give 0.01 to 1"),
        ({"vary": {PROFIT: [0.5, 0.5]}}, "names a level twice"),
        ({"vary": {PROFIT: {"from": 0.5, "to": 0.2, "step": 0.1}}}, "to is below from"),
        ({"vary": {PROFIT: {"from": 0.2, "to": 0.5, "count": 2.5}}}, "count is no whole number"),
        ({"vary": {PROFIT: {"from": 0.1, "to": 0.9, "step": 1e-9}}}, "give 1 to"),
        ({"vary": {PROFIT: {"from": 0.5, "until": 0.9}}}, "unknown key 'until'"),
        ({"vary": {PROFIT: []}}, "give a list, or a range"),
        ({"vary": {PROFIT: {"from": 0.2, "to": float("inf"), "step": 0.1}}}, "give {from: a"),
        ({"vary": {PROFIT: [0.5]}, "set": [7]}, "set is [7]; give a mapping"),
        ({"vary": {}}, "varies nothing"),
        ({"vary": {PROFIT: [0.5]}, "set": {PROFIT: 0.4}}, "varied and set"),
        ({"vary": {PROFIT: [0.5]}, "where": ["profit > 3"]}, "unknown setting 'profit'"),
        ({"vary": {PROFIT: [0.5]}, "where": [f"{PROFIT} about 3"]}, "no comparison"),
        ({"vary": {PROFIT: [0.5]}, "where": [f"{PROFIT} > 0.9"]}, "leave no combination"),
        ({"phases": [{"vary": {PROFIT: [0.5]}}], "vary": {PROFIT: [0.5]}}, "beside them"),
        ({"vary": {PROFIT: [0.5]}, "trails": 5}, "did you mean 'trials'"),
        ({"vary": {"market.seed": [1, 2]}}, "all trials share"),
        ({"vary": {PROFIT: [0.5]}, "set": {"market.start": "2017-01-03"}}, "all trials share"),
        ({"vary": {PROFIT: {"from": 0.3, "to": 0.75, "step": 0.1}}}, "no whole number of steps"),
        ({"vary": {PROFIT: {"from": 0.3, "to": 0.7, "step": 0.1, "count": 5}}}, "give {from: a, to: b, step: c} or"),
        ({"vary": {PROFIT: {"from": 0.3, "to": 0.7, "count": 1}}}, "cannot be both ends"),
        ({"phases": [{"name": "a", "vary": {PROFIT: [0.5]}}] * 2}, "give each a name of its own"),
        ({"vary": {"strategy.exits.trail_giveback": [0.1, 0.2]}}, "changes nothing here: strategy.exits.trail_from"),
        (
            {"vary": {"strategy.signals.fuzzy_iv": [0.5, 1]}},
            "no filter and no size reads the fuzzy score",
        ),
        ({"vary": {PROFIT: [0.5]}, "trials": "many"}, "trials is 'many'; give a whole number"),
        ({"vary": {PROFIT: [0.5]}, "trials": True}, "give a whole number"),
        ({"vary": {PROFIT: [0.5]}, "min_trades": 1.5}, "give a whole number"),
        ({"vary": {PROFIT: [0.5]}, "objective": 3}, "give a metric's name"),
        ({"vary": {PROFIT: [0.5]}, "method": ["grid"]}, "give a method's name"),
        ({"vary": {PROFIT: [0.5]}, "limits": "sharpe > 1"}, "give a list such as"),
        ({"vary": {PROFIT: [0.5]}, "name": "mine"}, "there are: about, preset, method"),
        ({"preset": "clasic", "vary": {PROFIT: [0.5]}}, "did you mean 'classic'"),
    ],
)
def test_mistakes_say_what_to_do(tree: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        space(tree)
    assert words in str(caught.value)


def test_an_unknown_grid_is_named() -> None:
    with pytest.raises(ConfigError, match="did you mean 'classic'"):
        read_grid("clasic")


def test_every_need_is_of_settings_that_there_are() -> None:
    for key in NEEDS:
        assert any(path == key or path.startswith(key) for path in BY_PATH), key
    for path in BY_PATH:
        need = need_of(path)
        assert need is None or isinstance(need[1], str)
    assert why_inert("strategy.exits.trail_giveback", {**BASE.values, "strategy.exits.trail_from": 0.3}) is None


def test_samples_are_repeatable_and_admissible() -> None:
    phase = read_grid("exits").phases[0]
    everything = Space(phase, BASE)
    for method in ("random", "sobol"):
        found = sampled(everything, method, 100, 7)
        assert len(found) == len(set(found)) == 100 and set(found) <= set(everything.rows)
        assert found == sampled(everything, method, 100, 7) != sampled(everything, method, 100, 8)


def test_a_space_too_large_to_write_down_is_drawn_from() -> None:
    """20^6 combinations: neither method walks them, and all that come are admitted, different and repeatable."""
    numbers = {PROFIT: (0.05, 0.99), STOP: (1.0, 5.0), "strategy.entry.short_delta": (0.1, 0.25),
               "strategy.size.max_risk_frac": (0.001, 0.05), "strategy.entry.skew_penalty": (0.0, 1.0),
               "strategy.filters.vix_max": (20.0, 60.0)}  # fmt: skip
    vary = {path: {"from": low, "to": high, "count": 20} for path, (low, high) in numbers.items()}
    large = Space(parse_grid({"vary": vary, "where": [f"{PROFIT} < 0.5"]}, "large").phases[0], BASE)
    assert large.size == 20**6 and not large.is_listed
    check_acts(large, BASE)
    for method in ("random", "sobol"):
        found = sampled(large, method, 300, 7)
        assert len(found) == len(set(found)) == 300 and all(large.admits(row) for row in found)
        assert found == sampled(large, method, 300, 7) != sampled(large, method, 300, 8)
        for place in range(6):
            assert len({row[place] for row in found}) >= (8 if place == 0 else 18)
    with pytest.raises(ConfigError, match="or draw some with --method random"):
        sampled(large, "grid", 300, 7)
    none = Space(parse_grid({"vary": vary, "where": [f"{PROFIT} > 0.99"]}, "none").phases[0], BASE)
    with pytest.raises(ConfigError, match="left none of 64,000 drawn"):
        check_acts(none, BASE)


def test_conditions_that_read_nothing_varied_are_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not of millions of rows, for each of the ways in which a phase may begin."""
    vary = {path: {"from": 0.1, "to": 0.2, "count": 150} for path in (PROFIT, "strategy.entry.short_delta",
                                                                     "strategy.entry.skew_penalty")}  # fmt: skip
    shut = {"vary": vary, "where": ["strategy.entry.wing_width >= 50"]}
    monkeypatch.setattr(Space, "can_run", lambda *_: pytest.fail("a row was looked at"))
    phases = [{"name": "a", "vary": {"strategy.entry.wing_width": [5, 10]}}, {"name": "b", **shut}]
    with pytest.raises(ConfigError, match=r"leave no combination: .*wing_width >= 50"):
        check_ahead(parse_grid({"phases": phases}, "g"), BASE, "random")


def test_draws_find_what_there_is_however_rare() -> None:
    """Conditions that hardly anything meets: all of it is found, and nothing at all is a mistake, not a result."""
    hundred = {"from": 0.01, "to": 0.4, "count": 400}
    vary = {
        "strategy.entry.short_delta": {"from": 0.1, "to": 0.2, "count": 400},
        "strategy.entry.skew_penalty": hundred,
    }
    rare = {"vary": vary, "where": ["strategy.entry.short_delta == strategy.entry.skew_penalty"]}
    phase = parse_grid(rare, "rare").phases[0]
    listed = set(Space(phase, BASE).rows)
    assert 1 <= len(listed) < 500 and not Space(phase, BASE).is_listed
    for method in ("random", "sobol"):
        found = sampled(Space(phase, BASE), method, 500, 3)
        assert set(found) == listed and len(found) == len(listed)
    small = {"vary": {PROFIT: {"from": 0.01, "to": 0.99, "count": 99}, "strategy.exits.trail_from": {
        "from": 0.01, "to": 0.99, "count": 99}}, "where": [f"{PROFIT} == strategy.exits.trail_from"]}  # fmt: skip
    assert len(sampled(Space(parse_grid(small, "s").phases[0], BASE), "sobol", 50, 3)) == 50


def test_later_phases_are_looked_at_as_earlier_ones_can_leave_them() -> None:
    """By what their conditions admit, what a later one sets over an earlier one, and how many rows a grid has."""
    low = {"name": "a", "vary": {PROFIT: [0.3, 0.5]}, "where": [f"{PROFIT} > 0.4"]}
    never = {"name": "b", "vary": {STOP: [1, 2]}, "where": [f"{PROFIT} < 0.4"]}
    base = BASE.with_values(strategy__exits__profit_frac=0.5)
    with pytest.raises(ConfigError, match="leave no combination"):
        check_ahead(parse_grid({"phases": [low, never]}, "g"), base)
    scales = [{"name": "a", "vary": {"strategy.exits.stop_scale": ["vol", "atr"]}},
              {"name": "b", "vary": {STOP: [1, 2]}, "set": {"strategy.exits.stop_scale": "none"}},
              {"name": "c", "vary": {"strategy.exits.stop_scale_range": [0.1, 0.2]}}]  # fmt: skip
    with pytest.raises(ConfigError, match="stop_scale is none"):
        check_ahead(parse_grid({"phases": scales}, "g"), BASE)
    many = {path: {"from": 0.1, "to": 0.2, "count": 300} for path in (PROFIT, "strategy.entry.short_delta",
                                                                     "strategy.entry.skew_penalty")}  # fmt: skip
    large = parse_grid({"phases": [{"name": "a", "vary": {STOP: [1, 2]}}, {"name": "b", "vary": many}]}, "g")
    with pytest.raises(ConfigError, match="27,000,000 combinations"):
        check_ahead(large, BASE)
    check_ahead(large, BASE, "random")


def test_later_phases_are_looked_at_before_any_runs() -> None:
    """One that no choice before it can mend is refused; one that a choice can mend is left to its turn."""
    first = {"vary": {"strategy.exits.stop_scale": ["none", "vol"]}}
    check_ahead(parse_grid({"phases": [first, {"vary": {"strategy.exits.stop_scale_range": [0.1, 0.2]}}]}, "g"), BASE)
    choices = {"strategy.signals.classifier": ["rules", "hmm"], "strategy.filters.avoid_regimes": ["crash", "none"]}
    needs_both = {"vary": {"strategy.signals.hmm_refit": [21, 63]}}
    check_ahead(parse_grid({"phases": [{"vary": choices}, needs_both]}, "g"), BASE)
    with pytest.raises(ConfigError, match=r"phase later varies strategy\.exits\.trail_giveback, which changes nothing"):
        later = {"name": "later", "vary": {"strategy.exits.trail_giveback": [0.1, 0.2]}}
        check_ahead(parse_grid({"phases": [first, later]}, "g"), BASE)


def test_a_run_that_never_fell_ranks_first_and_few_trades_do_not_count() -> None:
    import numpy as np

    figures = np.full((4, len(TRIAL_METRICS)), np.nan)
    figures[:, METRIC["net_profit"]] = (100.0, 500.0, 900.0, -50.0)
    figures[:, METRIC["max_drawdown"]] = (0.0, 50.0, 300.0, 80.0)
    figures[:, METRIC["trades"]] = (40, 40, 3, 40)
    found = scores(wish_of(DEFAULT, 30, ()), figures)
    assert np.nanargmax(found) == 0 and np.isnan(found[2]) and found[3] < 0.0 and found[1] == 10.0
    assert np.isnan(scores(wish_of(DEFAULT, 30, ("max_drawdown <= 60",)), figures)[3])
    assert scores(wish_of("max_drawdown", 0, ()), figures)[0] == 0.0
    with pytest.raises(ConfigError, match="'nan' is no number"):
        wish_of(DEFAULT, 30, ("sharpe >= nan",))
    for bad, words in (("sharp", "did you mean 'sharpe'"), (DEFAULT, "as 'max_drawdown_pct <= 20'")):
        with pytest.raises(ConfigError) as caught:
            wish_of(bad, 30, ("max_drawdown = 3",))
        assert words in str(caught.value)
