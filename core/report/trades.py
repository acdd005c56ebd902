"""Each trade on its own: the way of price and mark from entry to exit, greeks at both, and the decision in words.

Values come from what the trade's own fills say was held on a row, so closed parts and rolled sides are right by
themselves. In a long run every trade has its words, and the largest DETAILED their way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from core.market.calendar import day_text
from core.marks import DELTA, GAMMA, THETA, VEGA, WORTH, piece_values
from core.report.model import TradeFacts, clock_text, strikes_text, usd
from core.report.plots import rounded
from core.types import MULTIPLIER, REASONS, SHORT_CALL, SHORT_PUT, F, T

if TYPE_CHECKING:
    from backtest_engine import BacktestResult

DETAILED = 600  # trades with a way of their own: the largest gains and losses
STOPS = 40  # rows of a way


class Way(NamedTuple):
    """One trade on at most STOPS rows, from its fill to its last row; NaN where unknown."""

    rows: Any  # of the market
    spot: Any  # $
    pnl: Any  # $ marked at mid, what was realised and fees included
    delta: Any  # shares
    gamma: Any  # shares per $
    vega: Any  # $ per vol point
    theta: Any  # $ per calendar day


def stops_of(first: int, last: int, spot: Any) -> Any:
    """At most STOPS rows of first..last: evenly, with the highest and lowest price."""
    rows = np.unique(np.linspace(first, last, min(last - first + 1, STOPS - 2)).astype(np.int64))
    path = spot[first : last + 1]
    return np.unique(np.concatenate((rows, [first + int(path.argmin()), first + int(path.argmax())])))


def ways_of(result: BacktestResult, chosen: list[int]) -> dict[int, Way]:
    """The way of each chosen trade, by its number."""
    market, trades, fills = result.market, result.trades, result.fills
    spot = market.row.spot
    order = np.argsort(fills[:, F["trade"]], kind="stable")
    begins = np.searchsorted(fills[order, F["trade"]], np.arange(len(trades) + 1))
    rows, pieces, cash = {}, [], {}
    at = 0
    for i in chosen:
        closed = int(trades[i, T["closed"]])
        stops = stops_of(int(trades[i, T["opened"]]), closed if closed >= 0 else result.last_row - 1, spot)
        mine = fills[order[begins[i] : begins[i + 1]]]
        rows[i], cash[i] = stops, cash_on(mine, stops)
        pieces.append(held_pieces(mine, stops, at, spot))
        at += len(stops)
    contract, row, quantity, place, shares = (np.concatenate(parts) for parts in zip(*pieces, strict=True))
    out = np.zeros((at, 5))
    piece_values(market, contract, row, quantity, place, out)
    found, at = {}, 0
    for i in chosen:
        n = len(rows[i])
        part = slice(at, at + n)
        value = out[part, WORTH] * MULTIPLIER + shares[part] * spot[rows[i]] + cash[i]
        greeks = (out[part, DELTA] + shares[part], *(out[part, k] for k in (GAMMA, VEGA, THETA)))
        found[i] = Way(rows[i], spot[rows[i]], value, *greeks)
        at += n
    return found


def cash_on(fills: Any, rows: Any) -> Any:
    """Cash that a trade's fills had moved by the end of each row, $; fees included."""
    options = fills[:, F["contract"]] >= 0
    size = np.where(options, MULTIPLIER, 1)
    cents = -(fills[:, F["quantity"]] * fills[:, F["price2"]] * size) / 2.0 - fills[:, F["fee"]]
    total = np.concatenate(([0.0], np.cumsum(cents))) / 100.0
    return total[np.searchsorted(fills[:, F["row"]], rows, side="right")]


def held_pieces(fills: Any, rows: Any, at: int, spot: Any) -> tuple[Any, Any, Any, Any, Any]:
    """(contract, row, quantity, place) of what a trade held at the end of each row, and its shares by row."""
    found: list[tuple[Any, Any, Any, Any]] = []
    shares = np.zeros(len(rows))
    for c in np.unique(fills[:, F["contract"]]).tolist():
        mine = fills[fills[:, F["contract"]] == c]
        total = np.concatenate(([0], np.cumsum(mine[:, F["quantity"]])))
        held = total[np.searchsorted(mine[:, F["row"]], rows, side="right")]
        if c < 0:
            shares += held
            continue
        there = np.flatnonzero(held)
        found.append((np.full(len(there), c), rows[there], held[there], at + there))
    columns = zip(*found, strict=True) if found else ([], [], [], [])
    none = np.zeros(0, np.int64)
    contract, row, quantity, place = (np.concatenate([none, *parts]).astype(np.int64) for parts in columns)
    return contract, row, quantity, place, shares


# ---------------------------------------------------------------- for the page


def chosen_trades(result: BacktestResult) -> list[int]:
    """The trades that get a way: all, or the largest gains and losses."""
    size = np.abs(result.trades[:, T["pnl"]])
    return sorted(np.argsort(-size, kind="stable")[:DETAILED].tolist())


def words_of(result: BacktestResult, facts: TradeFacts, i: int) -> str:
    """The decision, its entry and its exit in words."""
    trade, market = result.trades[i], result.market
    decided = clock_text(result, np.array([trade[T["decided"]]]))[0]
    text = (
        f"Decided {decided}, filled {facts.entry[i]}: {trade[T['contracts']]} x {strikes_text(facts.strikes[i])}, "
        f"expiry {day_text(market.exp[trade[T['expiry']]].day)} in {int(facts.dte[i])} days, "
        f"for {usd(facts.credit[i])} a share ({facts.share[i]:.1f}% of the width); "
        f"at most {usd(trade[T['max_loss']] / 100.0)} could be lost. "
    )
    vix = float(result.store.columns["vix"][trade[T["opened"]]])
    text += f"The underlying stood at {market.row.spot[trade[T['opened']]]:,.2f}"
    text += f", VIX at {vix:.1f}. " if np.isfinite(vix) else ". "
    if not facts.closed[i]:
        return f"{text}Still open at the end."
    return (
        f"{text}Left {facts.exit[i]} ({REASONS[trade[T['reason']]][1]}) at {usd(trade[T['debit']] / 100.0)} a share: "
        f"{usd(facts.pnl[i])} after {usd(trade[T['fees']] / 100.0)} of fees."
    )


def breakevens(facts: TradeFacts, i: int) -> list[float]:
    """Prices at expiry between which the structure, as it was opened, earns; $."""
    strikes, credit = facts.strikes[i], float(facts.credit[i])
    found = (strikes[SHORT_PUT] - credit, strikes[SHORT_CALL] + credit)
    return [round(float(price), 2) for price in found if np.isfinite(price)]


def details(result: BacktestResult, facts: TradeFacts) -> list[dict[str, Any]]:
    """What the page needs of each trade, in order of entry. `way` is left out of the smaller ones of a long run.

    minutes : of New York's clock since the first row's midnight
    greeks  : delta, gamma, vega, theta on the first row and on the last on which anything was held
    """
    market = result.market
    chosen = chosen_trades(result)
    ways = ways_of(result, chosen) if chosen else {}
    day = market.ses.day[market.row.session]
    found = []
    for i in range(len(result.trades)):
        value: dict[str, Any] = {
            "words": words_of(result, facts, i),
            "strikes": [k for k in facts.strikes[i].tolist() if k == k],
            "breakevens": breakevens(facts, i),
        }
        if i in ways:
            way = ways[i]
            first = int(day[way.rows[0]])
            minutes = (day[way.rows].astype(np.int64) - first) * 1440 + market.row.minute[way.rows]
            greeks = [[rounded(np.array([g[k]]), 3)[0] for g in way[3:]] for k in (0, -2 if facts.closed[i] else -1)]
            value["way"] = {"day": day_text(first), "minutes": minutes.tolist(), "spot": rounded(way.spot),
                            "pnl": rounded(way.pnl), "greeks": greeks}  # fmt: skip
        found.append(value)
    return found
