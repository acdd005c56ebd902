"""exp, log and the normal law: accurate to the last bits, the same compiled and plain, and vectorised."""

import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special

from core.jit import NO_JIT, njit
from core.pricing.fastmath import exp_poly, log_poly, norm_cdf, norm_pdf

ROOT = Path(__file__).resolve().parents[2]
GRID = np.concatenate([np.linspace(-37.5, 8.0, 4001), np.linspace(-1e-3, 1e-3, 41)])


def worst_relative(values, reference):
    return np.max(np.abs(np.asarray(values) / reference - 1.0))


def test_exp_agrees_with_libm_on_the_whole_range():
    x = np.concatenate([np.linspace(-708.0, 709.0, 5001), np.linspace(-1.0, 1.0, 501)])
    assert worst_relative([exp_poly(v) for v in x], np.exp(x)) < 5e-16


def test_exp_stops_at_its_ends():
    assert exp_poly(-1e9) == exp_poly(-math.inf) == exp_poly(-708.0) > 0.0
    assert exp_poly(1e9) == exp_poly(math.inf) == exp_poly(709.0) < math.inf


def test_log_agrees_with_libm_even_beside_one():
    x = np.concatenate([np.exp(np.linspace(-708.0, 709.0, 5001)), 1.0 + np.linspace(-1e-5, 1e-5, 500)])
    x = np.append(x[x != 1.0], [5e-324, 1e-310, 1.7e308])
    assert worst_relative([log_poly(v) for v in x], np.log(x)) < 1e-15
    assert log_poly(1.0) == 0.0


def test_log_outside_its_domain():
    assert log_poly(0.0) == -math.inf
    assert log_poly(math.inf) == math.inf
    assert math.isnan(log_poly(-1.0))


def test_normal_law_is_accurate_relative_to_itself_deep_into_the_left_tail():
    # log_ndtr is itself good to about 1e-15 of a logarithm of up to 708.
    tail = np.linspace(-37.4, -5.0, 500)
    assert worst_relative([norm_cdf(v) for v in tail], np.exp(special.log_ndtr(tail))) < 5e-13
    assert worst_relative([norm_cdf(v) for v in GRID], special.ndtr(GRID)) < 5e-13
    near = GRID[np.abs(GRID) < 6.0]
    assert worst_relative([norm_cdf(v) for v in near], special.ndtr(near)) < 1e-14


@pytest.mark.parametrize(
    ("x", "probability"),
    # erfc to 40 digits
    [
        (0.0, 0.5),
        (-1.0, 0.15865525393145705),
        (-8.0, 6.220960574271784e-16),
        (-20.0, 2.7536241186062337e-89),
        (-37.0, 5.725571222524576e-300),
        (2.0, 0.9772498680518208),
    ],
)
def test_normal_law_at_values_from_the_tables(x, probability):
    assert norm_cdf(x) == pytest.approx(probability, rel=3e-15)


@given(st.floats(-40.0, 40.0))
def test_normal_law_is_symmetric_and_its_density_even(x):
    assert norm_cdf(x) + norm_cdf(-x) == pytest.approx(1.0, abs=2e-16)
    assert norm_pdf(x) == norm_pdf(-x)


@given(st.floats(-38.0, 38.0), st.floats(1e-6, 1.0))
def test_normal_law_rises(x, step):
    assert norm_cdf(x) <= norm_cdf(x + step)


def test_density_agrees_with_its_formula():
    near = GRID[np.abs(GRID) < 8.0]
    assert worst_relative([norm_pdf(v) for v in near], np.exp(-0.5 * near**2) / math.sqrt(2 * math.pi)) < 1e-14


@pytest.mark.parametrize("function", [exp_poly, log_poly, norm_cdf, norm_pdf])
def test_nan_stays_nan(function):
    assert math.isnan(function(math.nan))


def test_normal_law_at_infinity():
    assert norm_cdf(-math.inf) == 0.0
    assert norm_cdf(math.inf) == 1.0
    assert norm_pdf(math.inf) == norm_pdf(-math.inf) == 0.0


PLAIN = """
from core.pricing.fastmath import exp_poly, log_poly, norm_cdf, norm_pdf
from core.pricing.black_scholes import black_greeks
from core.pricing.implied_vol import implied_vol
for i in range(-60, 61):
    x = i * 0.61803
    print(exp_poly(x).hex(), log_poly(exp_poly(x)).hex(), norm_cdf(x).hex(), norm_pdf(x).hex())
    greeks = black_greeks(i % 2, 600.0, 601.0, 600.0 + i, 0.05, 0.2, 0.995)
    print(*[v.hex() for v in greeks])
    print(implied_vol(i % 2, greeks[4], 601.0, 600.0 + i, 0.05, 0.995).hex())
"""


@pytest.mark.skipif(NO_JIT, reason="everything runs as plain Python")
def test_compiled_and_plain_python_give_the_same_bits():
    """In processes of their own: the bit casts have their Python twins only without the compiler."""
    outputs = []
    for no_jit in ("0", "1"):
        done = subprocess.run(
            [sys.executable, "-c", PLAIN],
            cwd=ROOT,
            env={**os.environ, "QMTF_NO_JIT": no_jit},
            capture_output=True,
            text=True,
            check=True,
        )
        outputs.append(done.stdout.split())
    assert len(outputs[0]) == 121 * 10
    assert outputs[0] == outputs[1]


@pytest.mark.skipif(NO_JIT, reason="needs the compiler")
@pytest.mark.parametrize("function", [exp_poly, log_poly, norm_cdf, norm_pdf])
def test_an_array_loop_calls_nothing_and_holds_packed_arithmetic(function):
    """A call left in the loop, or scalar code alone, means that LLVM could not vectorise."""

    @njit(cache=False)
    def loop(x, out):
        for i in range(x.size):
            out[i] = function(x[i])

    x = np.linspace(0.5, 3.0, 64)
    out = np.empty(64)
    loop(x, out)
    ir = next(iter(loop.inspect_llvm().values()))
    assert out == pytest.approx([function(v) for v in x], rel=1e-15)
    assert any(f"fmul <{lanes} x double>" in ir for lanes in (2, 4, 8))
