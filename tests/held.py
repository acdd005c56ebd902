"""What a run's fills say was ordered and held: the packages of each structure, read from the ledger alone."""

from __future__ import annotations

from collections import defaultdict
from typing import Any, NamedTuple

import numpy as np

from backtest_engine import BacktestResult
from core.types import (
    ALL_LEGS,
    EVENT_ASSIGNMENT,
    EVENT_EXERCISE,
    EVENT_HEDGE,
    EVENT_SETTLEMENT,
    EVENT_SHARES,
    LEG_SIGN,
    MONEY_EVENTS,
    ROLL,
    A,
    F,
    T,
)

PUT_LEGS, CALL_LEGS = (0, 1), (2, 3)
NOT_ORDERED = (EVENT_SETTLEMENT, EVENT_ASSIGNMENT, EVENT_EXERCISE)


class Package(NamedTuple):
    """The fills of one trade on one row: its entry, an order for a part, a roll, its close, or its settlement."""

    row: int
    decided: int  # row at which the order was decided; of a resting order the row of the entry
    trade: int
    opens: bool
    settles: bool  # settled, assigned or exercised: nobody ordered it
    part: int  # what an adjustment closed or rolled; ALL_LEGS for entries and closes of what was left
    reason: int
    net: int  # cents per share paid, received < 0
    fills: list[list[int]]
    before: dict[int, int]  # leg: contract
    after: dict[int, int]

    @property
    def rolls(self) -> bool:
        return bool(self.part & ROLL)

    @property
    def closed(self) -> dict[int, int]:
        """What of `before` is gone: leg: contract."""
        return {leg: c for leg, c in self.before.items() if self.after.get(leg) != c}


def side_of(quantity: int) -> int:
    return 1 if quantity > 0 else -1


def held_after(before: dict[int, int], fills: list[list[int]]) -> dict[int, int]:
    """The legs after a package; a fill that closes what is not held, or opens what is, is an error."""
    after = dict(before)
    for f in fills:
        leg, contract = f[F["leg"]], f[F["contract"]]
        if side_of(f[F["quantity"]]) != LEG_SIGN[leg]:
            assert after.pop(leg, None) == contract, "closes another contract than the one that is held"
        else:
            assert leg not in after, "opens a leg that is open"
            after[leg] = contract
    return after


def packages(result: BacktestResult) -> list[Package]:
    """Every package of every trade, in the order of the ledger."""
    adjusted = {(a[A["row"]], a[A["trade"]]): a for a in result.adjustments.tolist()}
    groups: dict[tuple[int, int], list[list[int]]] = defaultdict(list)
    for f in result.fills.tolist():
        if f[F["trade"]] >= 0 and f[F["leg"]] >= 0:
            groups[f[F["row"]], f[F["trade"]]].append(f)
    held: dict[int, dict[int, int]] = defaultdict(dict)
    found = []
    for (row, trade), fills in groups.items():
        before = held[trade]
        held[trade] = held_after(before, fills)
        paid2 = sum(side_of(f[F["quantity"]]) * f[F["price2"]] for f in fills)
        assert paid2 % 2 == 0, "a net price is whole cents"
        t, a = result.trades[trade], adjusted.get((row, trade))
        opens = row == t[T["opened"]]
        decided = t[T["decided"]] if opens else t[T["exit_decided"]] if a is None else a[A["decided"]]
        found.append(
            Package(
                row=row,
                decided=int(decided),
                trade=trade,
                opens=opens,
                settles=any(f[F["event"]] in NOT_ORDERED for f in fills),
                part=ALL_LEGS if a is None else a[A["part"]],
                reason=fills[0][F["reason"]],
                net=paid2 // 2,
                fills=fills,
                before=before,
                after=held[trade],
            )
        )
    return found


def by_trade(result: BacktestResult) -> dict[int, list[Package]]:
    """The packages of each trade, its entry first."""
    found: dict[int, list[Package]] = {trade: [] for trade in range(len(result.trades))}
    for package in packages(result):
        found[package.trade].append(package)
    return found


def widths(result: BacktestResult, legs: dict[int, int]) -> list[int]:
    """Widths in cents of the verticals among some legs."""
    strike = result.market.con.strike
    pairs = [side for side in (PUT_LEGS, CALL_LEGS) if all(leg in legs for leg in side)]
    return [abs(int(strike[legs[a]]) - int(strike[legs[b]])) for a, b in pairs]


def lone_shorts(legs: dict[int, int]) -> list[int]:
    """Short legs whose long is not there."""
    return [short for short, long in ((1, 0), (2, 3)) if short in legs and long not in legs]


def share_fills(result: BacktestResult) -> Any:
    """Fills of the hedge in shares."""
    return result.fills[(result.fills[:, F["event"]] == EVENT_HEDGE) & (result.fills[:, F["contract"]] < 0)]


def stock_rows(result: BacktestResult, trade: int | None = None) -> Any:
    """Fills of shares that belong to a trade (to any): deliveries at the strike and what closes them."""
    fills = result.fills
    own = fills[:, F["trade"]] >= 0 if trade is None else fills[:, F["trade"]] == trade
    return fills[own & (fills[:, F["leg"]] < 0) & ~np.isin(fills[:, F["event"]], MONEY_EVENTS)]


def carried_shares(result: BacktestResult) -> set[int]:
    """Trades that held shares: their loss has no bound."""
    return set(result.fills[result.fills[:, F["event"]] == EVENT_SHARES, F["trade"]].tolist())


def exercise_shares(result: BacktestResult) -> Any:
    """int64 per row of the run: shares that exercises left, signed, after the row's fills."""
    change = np.zeros(result.last_row - result.first_row, np.int64)
    own = stock_rows(result)
    np.add.at(change, own[:, F["row"]] - result.first_row, own[:, F["quantity"]])
    return np.cumsum(change)


def smile_fills(result: BacktestResult) -> Any:
    """Fills of the smile hedge's options."""
    return result.fills[(result.fills[:, F["event"]] == EVENT_HEDGE) & (result.fills[:, F["contract"]] >= 0)]


def shares_held(result: BacktestResult) -> Any:
    """int64 per row of the run: shares of the hedge after the row's fills, signed."""
    change = np.zeros(result.last_row - result.first_row, np.int64)
    hedges = share_fills(result)
    np.add.at(change, hedges[:, F["row"]] - result.first_row, hedges[:, F["quantity"]])
    return np.cumsum(change)
