"""Regimes by rules: first that holds, unknown where it could matter, and no flicker; by the HMM: with two limits."""

import numpy as np
import pytest

from core.features import turbulence as turbulence_module
from core.features.hmm import RegimeModel, filtered_regimes, smoothed_for_pictures
from core.features.regimes import RegimeLimits, regime_by_rules, regime_rows, regime_state, regime_step
from core.features.turbulence import FIRST_FIT, turbulence
from core.types import CRASH, HIGH_VOL, RANGE, TREND_DOWN, TREND_UP, UNKNOWN_REGIME
from tests.conftest import both_ways

NAN = np.nan
RULES = RegimeLimits(0, 25.0, 0.01, 20.0, 35.0, 1.1, 3, 0.7, 0.4)
HMM = RULES._replace(by_hmm=1)

CASES = [  # vix, term, ADX, distance from the mean -> regime
    ((15, 0.9, 20, 0.005), RANGE),
    ((25, 0.9, 20, 0.005), HIGH_VOL),
    ((20, 0.9, 20, 0.005), HIGH_VOL),
    ((25, 0.9, 25, 0.01), TREND_UP),
    ((15, 0.9, 30, -0.02), TREND_DOWN),
    ((15, 0.9, 30, 0.005), RANGE),  # a strong ADX at the mean has no direction
    ((35, 0.9, 30, -0.02), CRASH),
    ((15, 1.1, 20, 0.0), CRASH),
    ((NAN, 1.2, NAN, NAN), CRASH),
    ((15, NAN, 20, 0.005), RANGE),  # without VIX3M the term structure has no say
    ((NAN, NAN, 30, 0.02), TREND_UP),  # an established trend needs no VIX
    ((NAN, 0.9, 20, 0.005), UNKNOWN_REGIME),
    ((15, 0.9, NAN, 0.02), UNKNOWN_REGIME),
    ((15, 0.9, 30, NAN), UNKNOWN_REGIME),
    ((15, 0.9, NAN, 0.005), RANGE),  # so near the mean the ADX changes nothing
    ((15, 0.9, 20, NAN), RANGE),
    ((40, 0.9, NAN, NAN), CRASH),
    ((NAN, NAN, NAN, NAN), UNKNOWN_REGIME),
]


@pytest.mark.parametrize(("inputs", "regime"), CASES)
@both_ways
def test_the_first_rule_that_holds_names_the_regime(regime_by_rules, inputs, regime):
    assert regime_by_rules(RULES, *(float(x) for x in inputs)) == regime


def told(limits, vix, term=None, turbulent=None, strength=None):
    n = len(vix)
    columns = [np.array(vix, float)]
    for given, otherwise in ((term, 0.9), (strength, 10.0), (None, 0.0), (turbulent, NAN)):
        columns.append(np.full(n, otherwise) if given is None else np.array(given, float))
    out = np.empty(n)
    regime_rows(limits, regime_state(), *columns, out)
    return out.tolist()


def test_a_new_regime_counts_after_three_rows_in_a_row():
    calm, high = 15, 25
    assert told(RULES, [calm] * 4 + [high, high, calm] + [high] * 4) == [0, 0, *[RANGE] * 7, HIGH_VOL, HIGH_VOL]


def test_a_crash_counts_at_once_and_ends_only_on_confirmation():
    assert told(RULES, [15] * 3 + [40] + [15] * 4) == [0, 0, RANGE, CRASH, CRASH, CRASH, RANGE, RANGE]
    assert told(RULES, [15] * 3 + [40, 15, 25, 15, 25, 25, 25])[4:] == [CRASH] * 5 + [HIGH_VOL]
    assert told(RULES, [40, NAN, NAN, NAN]) == [CRASH, CRASH, CRASH, UNKNOWN_REGIME]


def test_not_knowing_counts_at_once():
    assert told(RULES, [15] * 3 + [NAN] + [15] * 3) == [0, 0, RANGE, 0, 0, 0, RANGE]


@both_ways
def test_turbulence_between_its_limits_stays_what_it_was(regime_step):
    state, limits = regime_state(), HMM._replace(confirm=1)
    shown = [regime_step(limits, state, 15.0, NAN, NAN, NAN, p) for p in (0.5, 0.7, 0.5, 0.4, 0.5, 0.69, 0.9, NAN)]
    assert shown == [UNKNOWN_REGIME, HIGH_VOL, HIGH_VOL, RANGE, RANGE, RANGE, HIGH_VOL, UNKNOWN_REGIME]


def test_the_hmm_leaves_crashes_to_the_vix():
    assert told(HMM._replace(confirm=1), [15, 40, NAN], turbulent=[0.1, 0.1, 0.1]) == [RANGE, CRASH, RANGE]


# ---------------------------------------------------------------- how turbulent the days were

CALM, WILD = 0.005, 0.02


def known_model(returns, regimes=2):
    """In place of a fit, which takes a second: the law that drew the returns."""
    del regimes
    chain = np.array([[0.98, 0.02], [0.02, 0.98]])
    return RegimeModel(np.array([0.5, 0.5]), chain, np.zeros(2), np.array([CALM, WILD + 0.0 * returns[0]]))


@pytest.fixture
def quick_fit(monkeypatch):
    seen = []

    def fit(returns, regimes=2):
        seen.append(len(returns))
        return known_model(returns, regimes)

    monkeypatch.setattr(turbulence_module, "fit_regimes", fit)
    return seen


def closes(n=400):
    draw = np.random.default_rng(4)
    sd = np.where((np.arange(n) // 40) % 2 == 0, CALM, WILD)
    return 100.0 * np.exp(np.cumsum(draw.standard_normal(n) * sd))


def test_turbulence_is_fitted_on_the_past_alone_and_again_as_time_goes_on(quick_fit):
    found = turbulence(closes(), 63)
    assert quick_fit == [252, 315, 378]
    assert np.isnan(found[:FIRST_FIT]).all() and np.isfinite(found[FIRST_FIT:]).all()
    assert found[275] < 0.1 and found[310] > 0.7  # sessions 240..279 are calm, 280..319 wild


@pytest.mark.parametrize("cut", [252, 253, 300, 316, 399])
def test_turbulence_cut_short_is_the_same(quick_fit, cut):
    np.testing.assert_array_equal(turbulence(closes()[:cut], 63), turbulence(closes(), 63)[:cut])


def test_turbulence_is_filtered_and_not_smoothed(quick_fit):
    close = closes()
    model = known_model(np.diff(np.log(close)))
    found = turbulence(close, 1000)
    np.testing.assert_array_equal(found[FIRST_FIT:], filtered_regimes(model, np.diff(np.log(close)))[0][251:, 1])
    smooth = smoothed_for_pictures(model, np.diff(np.log(close)))[251:, 1]
    assert np.abs(found[FIRST_FIT:] - smooth).max() > 0.3


def test_a_fit_that_fails_keeps_the_model_before_it(monkeypatch, quick_fit):
    good = turbulence_module.fit_regimes

    def only_once(returns, regimes=2):
        if len(returns) > FIRST_FIT:
            raise turbulence_module.DataError("did not converge")
        return good(returns, regimes)

    monkeypatch.setattr(turbulence_module, "fit_regimes", only_once)
    np.testing.assert_array_equal(turbulence(closes(), 63), turbulence(closes(), 1000))
    assert np.isnan(turbulence(np.full(300, 100.0), 63)).all()  # nothing moves: there is nothing to fit


def test_a_real_fit_tells_the_wild_weeks_from_the_calm_ones():
    found = turbulence(closes(320), 1000)
    assert found[270:280].mean() < 0.3 and found[300:].mean() > 0.7
