"""What a working order asks for: from mid towards natural, step by step, never beyond what the decision allows."""

from __future__ import annotations

import math

from core.live.engine import CLOSE, Wanted
from core.types import Reason

# Exits that may not wait: they begin at natural and go beyond it.
URGENT = frozenset(
    {
        Reason.STOP, Reason.SIDE_STOP, Reason.TRAILING, Reason.EXPIRY_FLAT, Reason.KILLED, Reason.DAILY_LOSS,
        Reason.DRAWDOWN, Reason.BROKER_CHANGED,
    }
)  # fmt: skip
TICK = 1  # cents
STEP_BEYOND = 0.05  # of the distance from mid to natural, at least a tick, that each step of an urgent exit adds


def is_urgent(order: Wanted) -> bool:
    return order.purpose == CLOSE and order.reason in URGENT


def limit_of(order: Wanted, mid: float, natural: float, step: int, steps: int) -> int | None:
    """Net limit in cents (positive: we pay) of a step, 0 the first; None where no price is allowed or known.

    mid, natural : of the package, cents, positive we pay; NaN unknown
    A price is rounded against us and lies between mid and `most`; an entry never accepts less than its least credit.
    """
    if math.isnan(mid) or math.isnan(natural):
        return None
    if is_urgent(order) or order.reason == Reason.PROFIT_TARGET:
        beyond = max(step, 0) * max(TICK, STEP_BEYOND * (natural - mid)) if is_urgent(order) else 0.0
        price = natural + beyond
    else:
        price = mid + (natural - mid) * min(step / max(steps, 1), 1.0)
    net = math.ceil(price - 1e-9)
    if order.most is not None:
        net = min(net, order.most)
    if order.purpose == CLOSE:
        buys = any(side > 0 for _, side, _, _ in order.legs)
        return max(net, 0) if buys and len(order.legs) > 1 else net_of_single(order, net)
    return net if net < 0 else None


def net_of_single(order: Wanted, net: int) -> int | None:
    """A single leg's price has the sign of its side, and at least a tick; longs alone are sold for what they bring."""
    if any(side > 0 for _, side, _, _ in order.legs):
        return max(net, TICK)
    return min(net, -TICK)
