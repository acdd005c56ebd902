"""The play of chance: what the bootstrap keeps, ruin against its known odds, one seed one answer."""

import itertools
import math

import numpy as np
import pytest

from core.resampling import largest_share, path_figures, share_error, stationary_indices
from core.stress.chance import MEAN_BLOCK, bootstrap, chance_of, generated, warm_up
from tests import markets

START = 1000.0


def test_a_path_goes_on_day_by_day_until_a_block_begins_and_wraps_at_the_end():
    starts = np.array([[3, 9, 9, 0, 9, 9]])
    breaks = np.array([[False, False, False, True, False, False]])
    assert stationary_indices(starts, breaks, 5).tolist() == [[3, 4, 0, 0, 1, 2]]


def test_figures_of_one_path_can_be_checked_in_the_head():
    figures = path_figures(np.array([[100.0, -300.0, 50.0, -350.0, 600.0]]), START, 500.0)
    assert figures.net[0] == 100.0
    assert figures.drawdown[0] == 600.0  # from 1,100 to 500
    assert figures.drawdown_share[0] == pytest.approx(600 / 1100)
    assert figures.ruined[0]  # at the floor is ruin
    assert not path_figures(np.array([[100.0, -599.0]]), START, 500.0).ruined[0]
    assert path_figures(np.array([[-100.0, 90.0]]), START, 0.0).drawdown[0] == 100.0  # the start is the first peak


def test_the_chance_of_ruin_of_a_fair_coin_is_that_of_the_reflection_principle():
    """All 1,024 paths of ten tosses: P(least sum <= -4) = P(S <= -4) + P(S < -4)."""
    tosses = np.array(list(itertools.product((-1.0, 1.0), repeat=10)))
    ruined = path_figures(tosses, START, START - 4.0).ruined
    count = sum(math.comb(10, k) for k in range(11) if 10 - 2 * k <= -4)
    count += sum(math.comb(10, k) for k in range(11) if 10 - 2 * k < -4)
    assert ruined.sum() == count == 232


def test_the_chance_of_ruin_of_drawn_tosses_is_near_it():
    """Days that alternate at random, blocks of one day and of ten: the same odds within four errors."""
    pnl = np.random.default_rng(5).choice((-1.0, 1.0), 100_000)
    found = bootstrap(pnl, 8.0, 4000, 10, 0.5, 1)["ruin"]
    assert abs(found["probability"] - 232 / 1024) < 4 * found["standard_error"] + 0.005
    assert found["standard_error"] == pytest.approx(math.sqrt(0.2266 * 0.7734 / 4000), rel=0.05)


def test_the_bootstrap_keeps_the_mean_and_the_length_of_blocks():
    draw = np.random.default_rng(3)
    pnl = draw.normal(7.0, 50.0, 400)
    found = bootstrap(pnl, 1e6, 4000, 100, 0.5, 11)
    assert found["net_profit"]["mean"] / 100 == pytest.approx(
        pnl.mean(), abs=4 * found["net_profit"]["standard_error"] / 100
    )
    days = stationary_indices(draw.integers(0, 400, (500, 200)), draw.random((500, 200)) < 1 / MEAN_BLOCK, 400)
    kept = ((days[:, 1:] - days[:, :-1]) % 400 == 1).mean()
    assert kept == pytest.approx(1.0 - 1.0 / MEAN_BLOCK, abs=0.01)


def test_days_stay_together_in_blocks():
    """Fifty good days, then fifty bad: forty days drawn one by one end within 6.3 of 0, in blocks of ten within 24."""
    pnl = np.repeat([1.0, -1.0], 50)
    net = np.array(bootstrap(pnl, START, 2000, 40, 0.5, 9)["net_profit_by_path"])
    assert 17.0 < net.std() < 27.0


def test_one_seed_gives_one_answer_and_another_another():
    pnl = np.random.default_rng(1).normal(0.0, 10.0, 60)
    one, same, other = (bootstrap(pnl, START, 50, 20, 0.5, seed) for seed in (4, 4, 5))
    assert one == same
    assert one["net_profit_by_path"] != other["net_profit_by_path"]


def test_the_fan_ends_at_its_paths_and_its_bands_do_not_cross():
    pnl = np.random.default_rng(2).normal(0.0, 10.0, 60)
    fan = bootstrap(pnl, START, 200, 40, 0.5, 4)["drawdown_fan"]
    assert fan["session"][0] == 0 and fan["session"][-1] == 40
    bands = np.array(list(fan["quantiles"].values()))
    assert (np.diff(bands, axis=0) >= 0.0).all() and (bands >= 0.0).all()
    assert (bands[:, 0] == 0.0).all()


def test_a_chance_never_seen_is_bounded_by_the_rule_of_three():
    seen = chance_of(0, 1000)
    assert (seen["probability"], seen["standard_error"]) == (0.0, 0.0)
    assert seen["at_most"] == pytest.approx(1.0 - 0.05**0.001, abs=1e-6)
    assert seen["at_most"] == pytest.approx(3.0 / 1000, rel=0.01)
    assert largest_share(5, 5) == 1.0
    assert share_error(0.5, 100) == 0.05


def test_generated_markets_are_modelled_seeded_and_told_of(monkeypatch):
    config = markets.config_of()
    monkeypatch.setattr("core.stress.chance.EVERY_SECONDS", 0.0)
    said = []
    one = generated(config, 3, 15, 0.5, 7, said.append)
    two = generated(config, 2, 15, 0.5, 7, said.append)
    assert one["kind"].startswith("MODELLED")
    assert one["net_profit_by_path"][:2] == two["net_profit_by_path"]
    assert len(set(one["net_profit_by_path"])) == 3 and one["trades"] > 0
    assert said[0].startswith("generated markets: 1 of 3")


def test_a_strategy_that_reads_ranks_is_given_their_year_first():
    assert warm_up(markets.config_of()) == 0
    ranked = markets.config_of(strategy__filters__iv_rank_min=20.0, strategy__signals__iv_window=30)
    assert warm_up(ranked) == 30
    found = generated(ranked, 1, 10, 0.5, 7, lambda _: None)
    assert found["warm_up_sessions"] == 30 and found["days"] == 10
