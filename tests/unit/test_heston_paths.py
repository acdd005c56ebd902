"""Simulated Heston paths against the Fourier price, and their breaches against the PDE under the same smile."""

import math

import numpy as np
import pytest

from core.errors import DataError
from core.pricing.heston import heston_price
from core.pricing.heston_paths import _normal_quantile, heston_breach, qe_walk
from core.pricing.implied_vol import implied_vols
from core.pricing.local_vol import breach_probability
from core.pricing.svi import fit_svi
from core.pricing.touch import stay_inside_probability

HESTON = (0.02, 4.0, 0.03, 0.8, -0.7)
SPOT, YEARS = 600.0, 30.0 / 365.0


def test_the_quantile_inverts_the_distribution():
    for p in (1e-6, 0.01, 0.3, 0.5, 0.8, 0.99999):
        assert 0.5 * math.erfc(-_normal_quantile(p) / math.sqrt(2.0)) == pytest.approx(p, rel=1e-7)


def test_simulated_options_cost_what_the_characteristic_function_says():
    rng = np.random.default_rng(1)
    steps, paths = 60, 60_000
    end, left = np.empty(paths), np.empty(paths, np.int64)
    open_ = np.full(steps + 1, np.inf)
    draws = rng.standard_normal((steps, paths)), rng.random((steps, paths)), rng.random((steps, paths))
    qe_walk(HESTON, YEARS, *draws, -open_, open_, end, left)
    assert np.all(left == 0) and np.exp(end).mean() == pytest.approx(1.0, abs=5e-4)
    for strike in (570.0, 600.0, 620.0):
        paid = np.maximum(SPOT * np.exp(end) - strike, 0.0)
        error = paid.std() / math.sqrt(paths)
        exact = float(heston_price(True, SPOT, strike, YEARS, 1.0, *HESTON))
        assert abs(paid.mean() - exact) < 4.0 * error + 0.01


def test_without_volatility_of_volatility_the_corridor_is_the_closed_form():
    found = heston_breach(
        SPOT, 570.0, 630.0, YEARS, 0.03, (0.04, 2.0, 0.04, 1e-3, 0.0), 40, 40_000, np.random.default_rng(2)
    )
    exact = stay_inside_probability(SPOT, 570.0, 630.0, YEARS, 0.2, 0.03, 0.0)
    assert found.inside == pytest.approx(exact, abs=4.0 * found.standard_error)
    assert found.lower_first + found.upper_first + found.inside == pytest.approx(1.0)


def both(parameters):
    """Chances (lower first, upper first, inside) by the PDE on Heston's own smile, and by simulation."""
    years, slices = np.array([10.0, 20.0, 30.0]) / 365.0, []
    for t in years:
        k = np.linspace(-3.0, 2.2, 25) * 0.15 * math.sqrt(t)
        strike = SPOT * np.exp(k)
        vol = implied_vols(k > 0, heston_price(k > 0, SPOT, strike, t, 1.0, *parameters), SPOT, strike, t, 1.0)
        slices.append(fit_svi(k, vol * vol * t, np.ones(25))[:5])
    pde = breach_probability(SPOT, 573.0, 622.0, YEARS, years, np.array(slices), np.full(3, SPOT))
    simulated = heston_breach(SPOT, 573.0, 622.0, YEARS, 0.0, parameters, 120, 40_000, np.random.default_rng(3))
    return pde, simulated[:3]


def test_with_a_mild_smile_local_and_stochastic_volatility_breach_equally_often():
    pde, simulated = both((0.02, 4.0, 0.03, 0.2, -0.5))
    assert pde == pytest.approx(simulated, abs=0.015)


def test_with_an_index_smile_the_models_differ_by_what_they_say_of_volatility_at_the_barrier():
    """The same prices at expiry, not the same chance of a touch: local volatility touches the call side more."""
    pde, simulated = both(HESTON)
    assert pde[0] == pytest.approx(simulated[0], abs=0.02)
    assert 0.02 < pde[1] - simulated[1] < 0.08


def test_a_spot_outside_its_barriers_is_refused():
    with pytest.raises(DataError, match="around the spot"):
        heston_breach(560.0, 570.0, 630.0, YEARS, 0.0, HESTON, 10, 100, np.random.default_rng(4))
