"""What is compiled: once, as it says, and for the types that every command calls it with."""

import numpy as np
import pytest

from core.coarse import new_passages
from core.jit import NO_JIT, njit
from core.live.warm import small_day
from core.market.store import empty_market
from tests import markets

compiled = pytest.mark.skipif(NO_JIT, reason="nothing is compiled with QMTF_NO_JIT=1")


def kinds(record):
    """What numba tells arguments apart by: of an array its type, shape, order and whether it may be written."""
    return {
        name: (v.dtype.str, v.ndim, v.flags.c_contiguous, v.flags.writeable) if isinstance(v, np.ndarray) else type(v)
        for name, v in record._asdict().items()
    }


@pytest.mark.parametrize("name", sorted({market for market, _ in markets.RUNS.values()}))
def test_every_market_has_the_types_that_are_compiled_beforehand(name):
    result = next(markets.run_named(run) for run, (market, _) in markets.RUNS.items() if market == name)
    assert kinds(result.market) == kinds(empty_market())


def test_a_live_day_has_the_types_of_a_stored_market():
    assert kinds(small_day()[0].market) == kinds(empty_market())


def test_levels_of_the_coarse_stage_have_one_type_however_they_were_cut_out():
    table = np.arange(6).reshape(3, 2)
    assert kinds(new_passages(2, [0.5], [2.0], table[:, 0], table[:, 1])) == kinds(
        new_passages(2, [0.5], [2.0], [21], [0])
    )


@compiled
def test_a_kernel_is_not_inlined_because_its_first_caller_is():
    @njit(cache=False)
    def callee(x):
        return x + 1.0

    @njit(cache=False, forceinline=True)
    def hot(x):
        return callee(x)

    @njit(cache=False)
    def top(x):
        return hot(x)

    assert top(1.0) == 2.0
    inlined = {k.__name__: [o.fndesc.inline for o in k.overloads.values()] for k in (callee, hot, top)}
    assert inlined == {"callee": [False], "hot": [True], "top": [False]}


@compiled
def test_a_constant_argument_compiles_no_kernel_of_its_own():
    @njit(cache=False)
    def callee(side, x):
        return x if side else -x

    @njit(cache=False)
    def top(n):
        return callee(0, 1.0) + callee(1, 2.0) + callee(n, 4.0)

    assert top(0) == -3.0 and top(1) == 5.0
    assert len(callee.signatures) == 1
