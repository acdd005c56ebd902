"""Iron condors by payoff arithmetic."""

from typing import Any

import numpy as np

from core import payoff
from core.jit import by_reference, njit
from core.margin import requirement
from core.market.store import empty_market, frozen
from core.portfolio import new_book
from core.risk_manager import NO_LIMITS
from core.types import CALL, LEG_SIGN, PUT, REG_T, record_of
from tests.oracles.compare import Adapter, Judge

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
    gross = gross_cents(strike, inputs["contracts"]) / 100
    return {
        "credit": credit * inputs["contracts"],  # cents per share x 100 shares = $
        "max_loss": payoff.max_loss_cents(RIGHT, strike, SIGN, credit) * inputs["contracts"],
        "gross_requirement": gross,
        "net_buying_power": gross - credit * inputs["contracts"],
    }


@njit
def gross_of_book(m, limits, book, legs, contracts):
    m, book = by_reference(m), by_reference(book)
    return requirement(m, limits, book, legs, contracts, 0, 0)


def gross_cents(strike: np.ndarray, contracts: int) -> int:
    """What Reg T's profile binds for a book of this condor alone, by the engine's own kernel, in cents."""
    m = empty_market()
    row, con = np.zeros(1, m.row.dtype), np.zeros(4, m.con.dtype)
    row["spot"], con["strike"], con["right"] = strike.mean() / 100, strike, RIGHT
    m = m._replace(row=frozen(row.view(np.recarray)), con=frozen(con.view(np.recarray)))
    limits = record_of(NO_LIMITS._replace(margin=REG_T))
    return int(gross_of_book(m, limits, new_book(0, 1, 2), np.arange(4), contracts))


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
        "gross_requirement": gross_cents(strike, inputs["contracts"]) * inputs["multiplier"] / 10_000,
        "pnl_at_expiry": [
            payoff.expiry_pnl_cents(RIGHT, strike, SIGN, credit, cents(settle)) * usd for settle in inputs["settle_at"]
        ],
    }


ADAPTERS: dict[str, Adapter] = {"iron_condor": iron_condor}
JUDGES: dict[str, Judge] = {}
