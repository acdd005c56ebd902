"""Position size: each rule alone decides, and more stress never means more contracts.

A structure $5 wide sold for $1.00 risks $400 a contract; with $100,000 and 4 % the whole budget is ten contracts.
"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.config import load
from core.types import REGIMES, SIGNAL, SIGNALS, Reason, record_of
from strategies.rules import rules_from
from strategies.sizing import NO_BOUND, contracts_of, kelly_bound, volatility_factor
from tests.conftest import both_ways
from tests.markets import NO_FILE

WIDTH, CREDIT, EQUITY = 500, 100, 10_000_000
NO_TRADES = (0, 0, 0, 0)
NO_SIGNALS = np.empty((len(SIGNALS), 0))


def rules(**changes):
    flags = {"contracts": 50, "max_risk_frac": 0.04, **changes}
    return record_of(
        rules_from(load(user_file=NO_FILE, flags={f"strategy.size.{n}": v for n, v in flags.items()}).values)
    )


def signals(**known):
    table = np.full((len(SIGNALS), 2), np.nan)
    for name, value in known.items():
        table[SIGNAL[name], 1] = value
    return table


def decided(kernel, made, table=NO_SIGNALS, trades=NO_TRADES, width=WIDTH, credit=CREDIT, equity=EQUITY):
    return kernel(made, table, 1, *trades, width, credit, equity)


@both_ways
def test_without_scaling_the_budget_alone_decides(contracts_of):
    assert decided(contracts_of, rules()) == (10, Reason.ENTER, 400_000)
    assert decided(contracts_of, rules(contracts=3)) == (3, Reason.ENTER, 400_000)
    assert decided(contracts_of, rules(), equity=999_999) == (0, Reason.SIZE_ZERO, 39_999)
    assert decided(contracts_of, rules(), equity=-EQUITY)[:2] == (0, Reason.SIZE_ZERO)


@both_ways
def test_a_structure_that_cannot_lose_is_bounded_by_its_most_contracts(contracts_of):
    assert decided(contracts_of, rules(contracts=7), credit=500)[:2] == (7, Reason.ENTER)
    assert decided(contracts_of, rules(contracts=7), credit=520)[:2] == (7, Reason.ENTER)


@both_ways
@pytest.mark.parametrize(("scale", "score", "contracts"), [(1, 1, 10), (1, 0.5, 5), (0.5, 0, 5), (0.5, 0.5, 7)])
def test_the_fuzzy_score_scales_by_its_share(contracts_of, scale, score, contracts):
    assert decided(contracts_of, rules(fuzzy_scale=scale), signals(score=score))[:2] == (contracts, Reason.ENTER)


@both_ways
@pytest.mark.parametrize(
    ("regime", "expected"),
    [
        ("range", (10, Reason.ENTER, 400_000)),
        ("high_vol", (5, Reason.ENTER, 200_000)),
        ("trend_up", (8, Reason.ENTER, 320_000)),
        ("trend_down", (8, Reason.ENTER, 320_000)),
        ("crash", (0, Reason.SIZE_SCALED, 0)),
        ("unknown", (0, Reason.SIZE_UNKNOWN, 0)),
    ],
)
def test_each_regime_has_its_factor(contracts_of, regime, expected):
    made = rules(high_vol_factor=0.5, trend_factor=0.8, crash_factor=0.0)
    assert decided(contracts_of, made, signals(regime=REGIMES.index(regime))) == expected


@both_ways
def test_an_unknown_regime_matters_only_where_a_regime_scales(contracts_of):
    assert decided(contracts_of, rules(), signals(regime=0.0))[:2] == (10, Reason.ENTER)
    assert decided(contracts_of, rules(trend_factor=0.9), signals(regime=0.0))[:2] == (0, Reason.SIZE_UNKNOWN)


@both_ways
@pytest.mark.parametrize(
    ("realised", "factor"),
    [(0.05, 1.0), (0.10, 1.0), (0.20, 0.75), (0.25, 0.625), (0.30, 0.5), (0.80, 0.5)],
)
def test_realised_volatility_scales_on_a_line(volatility_factor, realised, factor):
    assert volatility_factor(0.10, 0.30, 0.5, realised) == pytest.approx(factor)


@both_ways
def test_a_line_of_no_width_is_a_step(volatility_factor):
    assert volatility_factor(0.2, 0.2, 0.5, 0.19) == 1.0
    assert volatility_factor(0.2, 0.2, 0.5, 0.2) == 0.5


@both_ways
def test_realised_volatility_alone_decides(contracts_of):
    made = rules(vol_low=0.10, vol_high=0.30, vol_floor=0.5)
    assert decided(contracts_of, made, signals(realised=0.10))[0] == 10
    assert decided(contracts_of, made, signals(realised=0.50))[0] == 5


@both_ways
def test_a_volatility_target_never_adds(contracts_of):
    made = rules(vol_target=0.10)
    sizes = {v: decided(contracts_of, made, signals(realised=v))[0] for v in (0.0, 0.05, 0.10, 0.20, 0.40)}
    assert sizes == {0.0: 10, 0.05: 10, 0.10: 10, 0.20: 5, 0.40: 2}


@both_ways
def test_factors_multiply(contracts_of):
    made = rules(fuzzy_scale=1.0, high_vol_factor=0.5)
    assert decided(contracts_of, made, signals(score=0.5, regime=REGIMES.index("high_vol"))) == (
        2,
        Reason.ENTER,
        100_000,
    )


RULES_THAT_READ = [
    {"fuzzy_scale": 0.1},
    {"high_vol_factor": 0.9},
    {"trend_factor": 0.9},
    {"crash_factor": 0.9},
    {"vol_floor": 0.9},
    {"vol_target": 0.1},
]


@both_ways
@pytest.mark.parametrize("changes", RULES_THAT_READ, ids=lambda c: next(iter(c)))
def test_a_rule_that_does_not_know_its_input_opens_nothing(contracts_of, changes):
    unknown = (0, Reason.SIZE_UNKNOWN, 0)
    assert decided(contracts_of, rules(**changes), signals()) == unknown
    assert decided(contracts_of, rules(**changes), NO_SIGNALS) == unknown
    everything = signals(score=1.0, regime=1.0, realised=0.01)
    assert decided(contracts_of, rules(**changes), everything)[:2] == (10, Reason.ENTER)


@both_ways
def test_later_rows_are_not_read(contracts_of):
    table = np.full((len(SIGNALS), 2), np.nan)
    table[SIGNAL["score"], 0] = 0.5
    made = rules(fuzzy_scale=1.0)
    assert contracts_of(made, table, 0, *NO_TRADES, WIDTH, CREDIT, EQUITY)[0] == 5
    table[SIGNAL["score"], 1] = 1.0
    assert contracts_of(made, table, 0, *NO_TRADES, WIDTH, CREDIT, EQUITY)[0] == 5


# ---------------------------------------------------------------- Kelly

# Eight wins of $100, two losses of $200 a contract: p W - q L = 80 - 40 = $40, W L = 20,000: one in $500.
EIGHT_TO_TWO = (8, 2, 80_000, 40_000)


@both_ways
def test_kelly_s_bet_is_its_share_of_the_edge(kelly_bound):
    whole = rules(kelly_frac=1.0, kelly_min_trades=10)
    assert kelly_bound(whole, *EIGHT_TO_TWO, 100_000) == 2  # $1,000
    assert kelly_bound(whole, *EIGHT_TO_TWO, 99_900) == 1
    assert kelly_bound(rules(kelly_frac=0.5, kelly_min_trades=10), *EIGHT_TO_TWO, 100_000) == 1


@both_ways
def test_kelly_is_silent_when_off_too_early_or_unbeaten(kelly_bound):
    assert kelly_bound(rules(), *EIGHT_TO_TWO, 100_000) == NO_BOUND
    assert kelly_bound(rules(kelly_frac=1.0, kelly_min_trades=11), *EIGHT_TO_TWO, 100_000) == NO_BOUND
    assert kelly_bound(rules(kelly_frac=1.0, kelly_min_trades=2), 5, 0, 50_000, 0, 100_000) == NO_BOUND


@both_ways
def test_kelly_stakes_nothing_without_an_edge(kelly_bound):
    made = rules(kelly_frac=1.0, kelly_min_trades=2)
    assert kelly_bound(made, 0, 3, 0, 30_000, EQUITY) == 0
    assert kelly_bound(made, 2, 1, 20_000, 20_000, EQUITY) == 0
    assert kelly_bound(made, 8, 2, 80_000, 90_000, EQUITY) == 0
    assert kelly_bound(made, *EIGHT_TO_TWO, -EQUITY) == 0


@both_ways
def test_kelly_alone_decides(contracts_of):
    tight = rules(kelly_frac=0.02, kelly_min_trades=10)  # 0.02 x $100,000 / $500 = 4
    assert decided(contracts_of, tight, trades=EIGHT_TO_TWO) == (4, Reason.ENTER, 400_000)
    assert decided(contracts_of, tight, trades=(8, 2, 80_000, 80_000)) == (0, Reason.SIZE_SCALED, 400_000)
    assert decided(contracts_of, rules(kelly_frac=1.0, kelly_min_trades=10), trades=EIGHT_TO_TWO)[0] == 10


# ---------------------------------------------------------------- laws

shares = st.floats(0.0, 1.0)
volatilities = st.floats(0.0, 2.0)


@both_ways
@given(shares, volatilities, volatilities, shares, shares, st.integers(0, 20_000_000), st.integers(1, 600))
def test_more_stress_never_means_more_contracts(contracts_of, scale, one, other, score, worse, equity, credit):
    made = rules(fuzzy_scale=scale, vol_low=0.10, vol_high=0.35, vol_floor=0.2, vol_target=0.15)
    calm, wild = min(one, other), max(one, other)
    good, bad = max(score, worse), min(score, worse)
    results = [
        decided(contracts_of, made, signals(score=s, realised=v), credit=credit, equity=equity)
        for s, v in ((good, calm), (bad, calm), (good, wild), (bad, wild))
    ]
    whole = results[0][0]
    assert results[1][0] <= whole
    assert results[2][0] <= whole
    assert results[3][0] <= min(results[1][0], results[2][0])


@both_ways
@given(shares, shares, volatilities, st.integers(-1_000_000, 50_000_000), st.integers(1, 499), st.integers(0, 40))
def test_the_budget_is_never_broken_and_zero_has_a_reason(contracts_of, scale, score, realised, equity, credit, lost):
    made = rules(fuzzy_scale=scale, vol_target=0.15, kelly_frac=0.5)
    contracts, reason, budget = decided(
        contracts_of,
        made,
        signals(score=score, realised=realised),
        trades=(20, lost, 200_000, 5_000 * lost),
        credit=credit,
        equity=equity,
    )
    assert 0 <= contracts <= made.contracts
    assert contracts * (WIDTH - credit) * 100 <= max(budget, 0) <= max(0.04 * equity, 0) + 1e-6
    assert (reason == Reason.ENTER) == (contracts > 0)
