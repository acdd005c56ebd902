"""Campaigns: a structure and everything it was rolled into count as one result.

A chain of rolled losses that ends with a win is one trade, not several losses and a win.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from core.types import T

if TYPE_CHECKING:
    from backtest_engine import BacktestResult


class Campaigns(NamedTuple):
    """One element per campaign, in order of entry (parallel arrays); money in cents, rows of the whole market."""

    first: Any  # index of the first structure in the run's trades
    last: Any  # and of the last
    closed: Any  # bool: every structure is closed
    pnl: Any  # of the closed structures
    margin: Any  # largest maximum loss of its structures
    decided: Any  # row on which the first entry was decided
    opened: Any  # row of its fill
    ended: Any  # row of the last close; -1 while open
    reason: Any  # why the last structure closed


def campaigns_of(result: BacktestResult) -> Campaigns:
    """The trades of a run, put together by T["campaign"]."""
    trades = result.trades
    keys, first, chain = np.unique(trades[:, T["campaign"]], return_index=True, return_inverse=True)
    order = np.arange(len(trades))
    last = np.zeros(len(keys), np.int64)
    closed = np.ones(len(keys), bool)
    margin = np.zeros(len(keys), np.int64)
    ended = np.full(len(keys), -1, np.int64)
    pnl = np.zeros(len(keys), np.int64)
    np.maximum.at(last, chain, order)
    np.maximum.at(margin, chain, trades[:, T["max_loss"]])
    np.maximum.at(ended, chain, trades[:, T["closed"]])
    np.logical_and.at(closed, chain, trades[:, T["closed"]] >= 0)
    np.add.at(pnl, chain, trades[:, T["pnl"]])
    return Campaigns(
        first=first,
        last=last,
        closed=closed,
        pnl=pnl,
        margin=margin,
        decided=trades[first, T["decided"]],
        opened=trades[first, T["opened"]],
        ended=np.where(closed, ended, -1),
        reason=trades[last, T["reason"]],
    )


def done(campaigns: Campaigns) -> Campaigns:
    """The closed ones."""
    return Campaigns(*(column[campaigns.closed] for column in campaigns))
