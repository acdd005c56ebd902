"""Six faults of the classic system's position size, each held off by a test of its own.

The condor of these tests is $5 wide and sold for $1.00 a share: one contract loses at most $400.
"""

import numpy as np
import pytest

from core.config import load
from core.types import REGIMES, SIGNAL, SIGNALS, Reason, record_of
from strategies.rules import rules_from
from strategies.sizing import contracts_of
from tests.conftest import both_ways
from tests.markets import NO_FILE

WIDTH, CREDIT = 500, 100  # cents per share
NO_TRADES = (0, 0, 0, 0)  # won, lost and their sums in cents
NO_SIGNALS = np.empty((len(SIGNALS), 0))
ACCOUNT = 2_500_000  # $25,000 in cents


def rules(**changes):
    flags = {"contracts": 100, **changes}
    return record_of(
        rules_from(load(user_file=NO_FILE, flags={f"strategy.size.{n}": v for n, v in flags.items()}).values)
    )


def signals(**known):
    """One row of signals; all others are not known."""
    table = np.full((len(SIGNALS), 1), np.nan)
    for name, value in known.items():
        table[SIGNAL[name], 0] = value
    return table


@both_ways
def test_no_floor_of_two_contracts_breaks_the_risk_ceiling(contracts_of):
    # 2 % of $25,000 is $500: one contract, where the floor of two would have risked $800.
    one = contracts_of(rules(max_risk_frac=0.02), NO_SIGNALS, 0, *NO_TRADES, WIDTH, CREDIT, ACCOUNT)
    assert one == (1, Reason.ENTER, 50_000)
    for percent in range(1, 51):
        contracts, _, budget = contracts_of(
            rules(max_risk_frac=percent / 100), NO_SIGNALS, 0, *NO_TRADES, WIDTH, CREDIT, ACCOUNT
        )
        assert contracts * (WIDTH - CREDIT) * 100 <= budget <= ACCOUNT * percent / 100 + 1e-6


@both_ways
def test_one_condor_is_four_legs_times_one_and_loses_on_one_wing_only(contracts_of):
    # Both wings cannot lose at one expiry: $400 buys one condor, and eight times that buys eight, not four or sixteen.
    exact = rules(max_risk_frac=0.016)  # $400 of $25,000
    assert contracts_of(exact, NO_SIGNALS, 0, *NO_TRADES, WIDTH, CREDIT, ACCOUNT)[0] == 1
    assert contracts_of(exact, NO_SIGNALS, 0, *NO_TRADES, WIDTH, CREDIT, 8 * ACCOUNT)[0] == 8


@both_ways
def test_volatility_is_read_where_it_is_measured_and_its_penalty_acts(contracts_of):
    # 8 % of $25,000 is $2,000: five contracts in calm markets, one at a fifth of the budget.
    made = rules(max_risk_frac=0.08, vol_low=0.10, vol_high=0.35, vol_floor=0.2)
    calm, wild, unknown = (signals(realised=v) for v in (0.10, 0.40, np.nan))
    assert contracts_of(made, calm, 0, *NO_TRADES, WIDTH, CREDIT, ACCOUNT)[0] == 5
    assert contracts_of(made, wild, 0, *NO_TRADES, WIDTH, CREDIT, ACCOUNT)[0] == 1
    assert contracts_of(made, unknown, 0, *NO_TRADES, WIDTH, CREDIT, ACCOUNT) == (0, Reason.SIZE_UNKNOWN, 0)


@both_ways
def test_size_follows_the_equity_of_now_and_so_compounds(contracts_of):
    made = rules(max_risk_frac=0.08)
    sizes = [
        contracts_of(made, NO_SIGNALS, 0, *NO_TRADES, WIDTH, CREDIT, equity)[0]
        for equity in (1_250_000, 2_500_000, 5_000_000)  # $12,500, $25,000, $50,000
    ]
    assert sizes == [2, 5, 10]


@both_ways
def test_dollars_per_share_are_not_compared_with_dollars(contracts_of):
    # A loss of $4.00 a share is $400 a contract: a budget of $399 buys none, although 4 < 399.
    made = rules(max_risk_frac=0.01)
    assert contracts_of(made, NO_SIGNALS, 0, *NO_TRADES, WIDTH, CREDIT, 3_990_000)[:2] == (0, Reason.SIZE_ZERO)
    assert contracts_of(made, NO_SIGNALS, 0, *NO_TRADES, WIDTH, CREDIT, 4_000_000)[:2] == (1, Reason.ENTER)


REFUSALS = [
    pytest.param({"max_risk_frac": 0.01}, {}, Reason.SIZE_ZERO, id="budget below one contract"),
    pytest.param({"max_risk_frac": 0.02, "fuzzy_scale": 1.0}, {"score": 0.5}, Reason.SIZE_SCALED, id="scaled away"),
    pytest.param({"max_risk_frac": 0.02, "fuzzy_scale": 1.0}, {}, Reason.SIZE_UNKNOWN, id="score not known"),
]


@both_ways
@pytest.mark.parametrize(("settings", "known", "why"), REFUSALS)
def test_size_may_be_zero_and_a_rejected_size_says_why(contracts_of, settings, known, why):
    contracts, reason, _ = contracts_of(rules(**settings), signals(**known), 0, *NO_TRADES, WIDTH, CREDIT, ACCOUNT)
    assert (contracts, reason) == (0, why)


@both_ways
def test_a_crash_may_take_the_whole_budget(contracts_of):
    made = rules(max_risk_frac=0.08, crash_factor=0.0)
    crash = signals(regime=REGIMES.index("crash"))
    assert contracts_of(made, crash, 0, *NO_TRADES, WIDTH, CREDIT, ACCOUNT) == (0, Reason.SIZE_SCALED, 0)
