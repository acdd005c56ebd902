"""The mechanical twin: what it switches off, where the run is cut, and when a benefit is called significant."""

import numpy as np
import pytest

from core.config import load
from core.errors import ConfigError
from core.report.twin import (
    SWITCHES,
    Difference,
    bootstrapped,
    compared,
    cut_session,
    difference_text,
    layer,
    switched_on,
    twin_of,
    verdict,
)
from core.settings import BY_PATH
from tests import markets

# Settings of the layer's own branches that a mechanical trader has, too.
MECHANICAL = {
    *(f"strategy.filters.{name}" for name in ("max_leg_spread", "min_size", "min_interest", "min_volume")),
    *(f"strategy.size.{name}" for name in ("contracts", "max_risk_frac")),
}
BRANCHES = ("strategy.filters.", "strategy.size.", "strategy.signals.", "strategy.manage.", "strategy.hedge.")


def config_of(**flags):
    return load(user_file=markets.NO_FILE, flags={name.replace("__", "."): value for name, value in flags.items()})


def test_every_setting_of_filters_size_signals_and_management_is_intelligent_or_mechanical():
    branch = {path for path in BY_PATH if path.startswith(BRANCHES)}
    assert branch - set(layer()) == MECHANICAL
    assert set(SWITCHES) <= set(layer()) <= set(BY_PATH)


def test_nothing_is_switched_on_by_default_nor_by_a_signal_that_no_rule_reads():
    assert switched_on(config_of()) == []
    assert switched_on(config_of(strategy__signals__iv_window=100)) == []


def test_the_twin_keeps_the_mechanics_and_loses_the_intelligence():
    config = config_of(
        strategy__filters__vix_max=25.0, strategy__signals__iv_window=100, strategy__exits__stop_multiple=3.0
    )
    twin = twin_of(config)
    assert switched_on(config) == ["strategy.filters.vix_max"] and switched_on(twin) == []
    assert (twin["strategy.filters.vix_max"], twin["strategy.signals.iv_window"]) == (200.0, 252)
    assert twin["strategy.exits.stop_multiple"] == 3.0


def test_the_first_six_tenths_are_in_sample_unless_a_date_is_given():
    run = markets.run_named("natural")
    sessions = len(run.market.ses)
    assert cut_session(run, None) == round(0.6 * sessions)
    assert cut_session(run, "2025-11-24") == 2  # after the 20th and the 21st
    with pytest.raises(ConfigError, match="leaves a part empty"):
        cut_session(run, "2030-01-01")
    with pytest.raises(ConfigError, match="--cut is 'soon'"):
        cut_session(run, "soon")


def test_parts_add_up_to_the_whole():
    full, mechanical = markets.run_named("natural"), markets.run_named("mid")
    value = compared(full, mechanical, None)
    net = sum(value[part]["full"]["net_profit"] for part in ("in_sample", "out_of_sample"))
    assert net == pytest.approx(full.equity[-1] / 100.0 - full.config["account.starting_cash"])
    trades = sum(value[part]["mechanical"]["trades"] for part in ("in_sample", "out_of_sample"))
    assert trades == (mechanical.trades[:, 11] >= 0).sum() > 0
    assert value["out_of_sample"]["difference"]["annual_return"] is None  # a handful of sessions
    assert value["verdict"].startswith("no verdict")


def noise(sessions, seed):
    return np.random.default_rng(seed).normal(0.0, 0.001, sessions)


def test_a_clear_daily_benefit_is_significant_and_noise_is_not():
    clear, nothing = bootstrapped(noise(500, 1) + 0.0005), bootstrapped(noise(500, 2))
    assert clear.annual_return == pytest.approx(0.126, abs=0.03)
    assert 0.0 < clear.low < clear.annual_return < clear.high and clear.p_value < 0.01
    assert nothing.low < 0.0 < nothing.high and nothing.p_value > 0.05


def test_the_bootstrap_repeats_itself_and_leaves_no_trace_of_equal_runs():
    assert bootstrapped(noise(100, 3)) == bootstrapped(noise(100, 3))
    assert bootstrapped(np.zeros(100)) == Difference(0.0, 0.0, 0.0, 1.0)
    assert bootstrapped(np.full(10, 0.1)).p_value is None


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (0.001, 0.02, "significant out-of-sample benefit"),
        (-0.001, 0.02, "no significant out-of-sample difference"),
        (0.0, 0.0, "no significant out-of-sample difference"),
        (-0.02, -0.001, "significant out-of-sample harm"),
        (None, None, "no verdict: fewer than 40 sessions out of sample"),
    ],
)
def test_the_verdict_is_read_off_the_interval(low, high, words):
    assert verdict({"difference": {"low": low, "high": high}}) == words


def test_a_difference_reads_as_words():
    text = difference_text(Difference(0.0125, -0.01, 0.035, 0.21)._asdict())
    assert text == "+1.25% a year (95%: -1.00 to +3.50), p = 0.210"
