"""Iron condors by payoff arithmetic."""

from typing import Any

import numpy as np

from core import payoff
from core.types import CALL, LEG_SIGN, PUT
from tests.oracles.compare import Adapter, Judge, Later

LEG_ORDER = ("long_put", "short_put", "short_call", "long_call")
RIGHT = np.array([PUT, PUT, CALL, CALL], np.int8)
SIGN = np.array(LEG_SIGN, np.int32)


def cents(usd: float) -> int:
    return round(100 * usd)


def cents_of(usd: dict[str, float]) -> np.ndarray:
    return np.array([cents(usd[leg]) for leg in LEG_ORDER], np.int32)


def iron_condor(inputs: dict[str, Any]) -> dict[str, Any]:
    return condor_margin(inputs) if inputs["kind"] == "margin" else condor_lifecycle(inputs)


def condor_margin(inputs: dict[str, Any]) -> dict[str, Any]:
    """One price a leg, so bid = ask."""
    strike, price = cents_of(inputs), cents_of(inputs["prices"])
    credit = payoff.natural_credit_cents(SIGN, price, price)
    rules = Later("margin rules arrive with the risk layer")
    return {
        "credit": credit * inputs["contracts"],  # cents per share x 100 shares = $
        "max_loss": payoff.max_loss_cents(RIGHT, strike, SIGN, credit) * inputs["contracts"],
        "gross_requirement": rules,
        "net_buying_power": rules,
    }


def condor_lifecycle(inputs: dict[str, Any]) -> dict[str, Any]:
    strike = cents_of(inputs)
    bid = cents_of({leg: quote["bid"] for leg, quote in inputs["quotes"].items()})
    ask = cents_of({leg: quote["ask"] for leg, quote in inputs["quotes"].items()})
    usd = inputs["multiplier"] * inputs["contracts"] / 100  # $ of the position per cent a share
    credit = payoff.natural_credit_cents(SIGN, bid, ask)
    short_put, short_call = int(strike[1]), int(strike[2])
    worst_below, _ = payoff.payoff_range_cents(RIGHT, strike, SIGN, 0, short_put)
    worst_above, _ = payoff.payoff_range_cents(RIGHT, strike, SIGN, short_call, payoff.PRICE_CEILING_CENTS)
    breakevens = payoff.nominal_breakevens_cents(short_put, short_call, credit)
    reached = np.empty(5)
    count = payoff.breakevens_cents(RIGHT, strike, SIGN, credit, reached)
    # The file states short strike -/+ credit also for a side that cannot lose, where P&L never crosses 0.
    sides = zip(breakevens, (worst_below, worst_above), strict=True)
    assert reached[:count].tolist() == [price for price, worst in sides if 0 <= credit < -worst]
    return {
        "natural_credit": credit / 100,
        "mid_credit": payoff.mid_credit_twice_cents(SIGN, bid, ask) / 200,
        "natural_debit_to_close": payoff.natural_debit_cents(SIGN, bid, ask) / 100,
        "round_trip_slippage": payoff.round_trip_cents(SIGN, bid, ask) / 100,
        "max_profit": payoff.max_profit_cents(RIGHT, strike, SIGN, credit) * usd,
        "max_loss": payoff.max_loss_cents(RIGHT, strike, SIGN, credit) * usd,
        "max_loss_put_side": -(credit + worst_below) * usd,
        "max_loss_call_side": -(credit + worst_above) * usd,
        "breakeven_low": breakevens[0] / 100,
        "breakeven_high": breakevens[1] / 100,
        "gross_requirement": payoff.max_loss_cents(RIGHT, strike, SIGN, 0) * usd,
        "pnl_at_expiry": [
            payoff.expiry_pnl_cents(RIGHT, strike, SIGN, credit, cents(settle)) * usd for settle in inputs["settle_at"]
        ],
    }


ADAPTERS: dict[str, Adapter] = {"iron_condor": iron_condor}
JUDGES: dict[str, Judge] = {}
