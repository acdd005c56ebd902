"""How each campaign went: against what it risked, how long, how far it was under and over, which side was tested.

R is the largest loss that the structure could make when it was opened. A buying-power-day is a dollar of it, a day.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from core.report.campaigns import Campaigns
from core.types import LEGS, SHORT_CALL, SHORT_PUT, T

if TYPE_CHECKING:
    from backtest_engine import BacktestResult

SIDES = ("put side", "call side", "neither")
PUT, CALL, NEITHER = range(3)
TESTED = 0.5  # a side is tested once the price has gone this share of the way from the entry to its short strike


class Outcomes(NamedTuple):
    """One element per closed campaign, in order of entry."""

    r: Any  # P&L over the largest loss, float64; NaN where nothing could be lost
    held_days: Any  # calendar days
    adverse: Any  # deepest loss on the way, $ (>= 0), of the campaign's worst structure
    favourable: Any  # highest gain on the way, $ (>= 0)
    pnl: Any  # $
    tested: Any  # SIDES


def outcomes_of(result: BacktestResult, campaigns: Campaigns) -> Outcomes:
    """campaigns : closed ones."""
    market, trades = result.market, result.trades
    day = market.ses.day[market.row.session].astype(np.int64)
    keys = trades[:, T["campaign"]]
    chain = np.searchsorted(keys[campaigns.first], keys)  # of structures of campaigns that are still open: meaningless
    mine = np.isin(keys, keys[campaigns.first])
    adverse, favourable = np.zeros(len(campaigns.first)), np.zeros(len(campaigns.first))
    np.maximum.at(adverse, chain[mine], -trades[mine, T["mae"]] / 100.0)
    np.maximum.at(favourable, chain[mine], trades[mine, T["mfe"]] / 100.0)
    risk = campaigns.margin.astype(np.float64)
    return Outcomes(
        r=np.divide(campaigns.pnl, risk, out=np.full(len(risk), np.nan), where=risk > 0),
        held_days=(day[campaigns.ended] - day[campaigns.opened]).astype(np.float64),
        adverse=adverse,
        favourable=favourable,
        pnl=campaigns.pnl / 100.0,
        tested=tested_sides(result, campaigns),
    )


def tested_sides(result: BacktestResult, campaigns: Campaigns) -> Any:
    """Which short strike of its first structure the price came nearer to, as a share of the way from the entry."""
    spot = result.market.row.spot
    found = np.full(len(campaigns.first), NEITHER, np.int64)
    for i, (trade, first, last) in enumerate(
        zip(result.trades[campaigns.first], campaigns.opened.tolist(), campaigns.ended.tolist(), strict=True)
    ):
        path, begin = spot[first : last + 1], float(spot[first])
        strikes = [
            result.market.con.strike[c] / 100.0 if c >= 0 else np.nan for c in trade[T["leg0"] : T["leg0"] + LEGS]
        ]
        down = begin - strikes[SHORT_PUT]
        up = strikes[SHORT_CALL] - begin
        fell, rose = begin - path.min(), path.max() - begin
        shares = np.array([fell / down if down > 0 else 0.0, rose / up if up > 0 else 0.0])
        nearest = int(np.nanargmax(shares))
        if shares[nearest] >= TESTED:
            found[i] = (PUT, CALL)[nearest]
    return found


def outcome_figures(outcomes: Outcomes, campaigns: Campaigns) -> dict[str, Any]:
    """For metrics.json: P&L in R, and the days on which buying power was bound. None without closed trades."""
    r = outcomes.r[np.isfinite(outcomes.r)]
    dollar_days = float((campaigns.margin / 100.0 * np.maximum(outcomes.held_days, 1.0)).sum())
    return {
        "net_r": float(r.sum()) if len(r) else None,
        "expectancy_r": float(r.mean()) if len(r) else None,
        "worst_r": float(r.min()) if len(r) else None,
        "buying_power_days": dollar_days if len(r) else None,
        "profit_per_1000_buying_power_days": 1000.0 * float(outcomes.pnl.sum()) / dollar_days if dollar_days else None,
    }
