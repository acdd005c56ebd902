"""How many contracts: the risk budget, scaled down by what is known of the market, and Kelly's bound.

    budget    = max_risk_frac x equity x fuzzy x regime x realised volatility x volatility target
    contracts = min(rules.contracts, floor(budget / maximum loss of one contract), Kelly's bound)

Every factor lies in [0, 1]: nothing raises the budget, and zero contracts are allowed. One contract is one
whole structure, each of its legs times one. An input that is not known opens nothing.
"""

from __future__ import annotations

import math

from core.jit import njit
from core.types import CRASH, HIGH_VOL, MULTIPLIER, RANGE, SIGNAL, TREND_DOWN, TREND_UP, Reason

SCORE, REGIME, REALISED = SIGNAL["score"], SIGNAL["regime"], SIGNAL["realised"]
NO_BOUND = 1 << 30  # contracts


@njit
def size(most, width_cents, credit_cents, budget_cents):
    """Contracts, at most `most`, whose maximum loss stays inside the risk budget; may be zero.

    width_cents, credit_cents : cents per share; budget_cents : cents for all contracts together
    A structure that cannot lose (width <= credit) needs no budget.
    """
    risk = (width_cents - credit_cents) * MULTIPLIER
    return most if risk <= 0 else max(0, min(most, budget_cents // risk))


@njit
def contracts_of(rules, signal, r, won, lost, won_cents, lost_cents, width_cents, credit_cents, equity_cents):
    """(contracts, reason, budget in cents) of an entry at row r; reason is ENTER when there are contracts.

    signal                    : Market.signal, float64 (K, N); (K, 0) will do where no rule reads it
    won, lost                 : closed trades by result so far
    won_cents, lost_cents     : sums of their P&L per contract, cents, both >= 0
    width_cents, credit_cents : wider wing and credit, cents per share
    equity_cents              : equity of now, so that gains and losses compound
    Zero contracts say why: SIZE_UNKNOWN a rule that is on does not know its input (budget 0), SIZE_ZERO the whole
    budget is below one contract, SIZE_SCALED only scaling or Kelly made it zero. A structure that cannot lose is
    bounded by rules.contracts alone.
    """
    factor = budget_factor(rules, signal, r)
    if math.isnan(factor):
        return 0, Reason.SIZE_UNKNOWN, 0
    whole_cents = int(math.floor(rules.max_risk_frac * equity_cents))
    budget_cents = int(math.floor(whole_cents * factor)) if whole_cents > 0 else whole_cents
    if width_cents <= credit_cents:
        return rules.contracts, Reason.ENTER, budget_cents
    if size(rules.contracts, width_cents, credit_cents, whole_cents) < 1:
        return 0, Reason.SIZE_ZERO, budget_cents
    most = min(rules.contracts, kelly_bound(rules, won, lost, won_cents, lost_cents, equity_cents))
    contracts = size(most, width_cents, credit_cents, budget_cents)
    return contracts, Reason.ENTER if contracts > 0 else Reason.SIZE_SCALED, budget_cents


@njit
def budget_factor(rules, signal, r):
    """Share of the risk budget in [0, 1] that the rules leave at row r; NaN when one that is on lacks its input."""
    factor = 1.0
    if rules.fuzzy_scale > 0.0:
        factor *= score_factor(rules.fuzzy_scale, known(signal, SCORE, r))
    if min(rules.high_vol_factor, rules.trend_factor, rules.crash_factor) < 1.0:
        factor *= regime_factor(rules, known(signal, REGIME, r))
    if rules.vol_floor < 1.0:
        factor *= volatility_factor(rules.vol_low, rules.vol_high, rules.vol_floor, known(signal, REALISED, r))
    if rules.vol_target > 0.0:
        factor *= target_factor(rules.vol_target, known(signal, REALISED, r))
    return factor


@njit
def known(signal, which, r):
    """One signal at row r; NaN where the market holds no signals."""
    return signal[which, r] if r < signal.shape[1] else math.nan


@njit
def score_factor(scale, score):
    """1 - scale + scale x score, for a fuzzy score in [0, 1]: scale 0 ignores it, scale 1 is the score itself."""
    return 1.0 - scale + scale * score


@njit
def regime_factor(rules, regime):
    """The factor of a REGIMES code; NaN for the unknown regime."""
    if regime == HIGH_VOL:
        return rules.high_vol_factor
    if regime in (TREND_UP, TREND_DOWN):
        return rules.trend_factor
    if regime == CRASH:
        return rules.crash_factor
    return 1.0 if regime == RANGE else math.nan


@njit
def volatility_factor(low, high, floor, realised):
    """1 up to realised volatility `low`, `floor` from `high` on, a line between; volatilities per year."""
    if realised >= high:
        return floor
    if realised <= low:
        return 1.0
    return 1.0 - (1.0 - floor) * (realised - low) / (high - low)


@njit
def target_factor(target, realised):
    """target / realised volatility, at most 1: the budget's own volatility stays at the target or below."""
    if math.isnan(realised):
        return math.nan
    return target / realised if realised > target else 1.0


@njit
def kelly_bound(rules, won, lost, won_cents, lost_cents, equity_cents):
    """Most contracts by Kelly's bet on the closed trades; NO_BOUND when it is off, too early, or nothing was lost.

    With win rate p, loss rate q, mean win W and mean loss L per contract, the growth of capital is greatest at
    equity (p W - q L) / (W L) contracts (Kelly 1956); kelly_frac of it is allowed, none without an edge. Written
    with the sums, W = won_cents / won and so on, to divide once.
    """
    trades = won + lost
    if rules.kelly_frac <= 0.0 or trades < rules.kelly_min_trades:
        return NO_BOUND
    if won_cents <= lost_cents:
        return 0
    if lost_cents <= 0:
        return NO_BOUND
    edge = float(won_cents - lost_cents) * won * lost / (float(won_cents) * lost_cents * trades)
    return int(max(0.0, min(float(NO_BOUND), math.floor(rules.kelly_frac * equity_cents * edge))))
