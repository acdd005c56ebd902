"""The figures of a run: metrics.json from a BacktestResult, and what makes them untrustworthy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from core.attribution import PARTS, attribute, carried_errors
from core.metrics import Trades, summarise
from core.report.campaigns import campaigns_of, done
from core.report.funnel import funnel, funnel_figures
from core.report.outcomes import outcome_figures, outcomes_of
from core.types import (
    CARRIED,
    CASH,
    EVENT_ASSIGNMENT,
    EVENT_EXERCISE,
    EVENT_FILL,
    EVENT_HEDGE,
    EVENT_INTEREST,
    FRACTION,
    KIND_MODELLED,
    KIND_SURFACE,
    MARGIN,
    MARKS,
    PORTFOLIO,
    SOFT,
    F,
    Reason,
    T,
)

if TYPE_CHECKING:
    from backtest_engine import BacktestResult
    from core.market.store import Store
    from core.types import Costs, Market

DELIVERIES = (EVENT_ASSIGNMENT, EVENT_EXERCISE)
FEW_TRADES = 30
WIDE_RESIDUAL = 0.20
SOFT_SHARE = 0.20
PREMIUM_SESSIONS = 60  # fewer say nothing about a premium


class Measured(NamedTuple):
    """Figures of a run: metrics by the contract's keys, and P&L parts per trade in cents (trades, 7)."""

    metrics: dict[str, Any]
    parts: Any


def dollars(cents: Any) -> Any:
    return np.asarray(cents, np.float64) / 100.0


def session_range(result: BacktestResult) -> Any:
    """Indices of the sessions that the run covers."""
    row = result.market.row
    return np.arange(row[result.first_row].session, row[result.last_row - 1].session + 1)


def closing_rows(result: BacktestResult) -> Any:
    """Last row of each session, counted from the run's first row."""
    ends = result.market.ses.end[session_range(result)]
    return np.minimum(ends, result.last_row) - 1 - result.first_row


def cash_returns(result: BacktestResult) -> Any:
    """What cash earned by rule in each session of a run; see cash_returns_between."""
    return cash_returns_between(result.market, result.costs, result.first_row, result.last_row)


def cash_returns_between(market: Market, costs: Costs, first_row: int, last_row: int) -> Any:
    """What cash earned by rule in each session of rows [first, last), as decimals: zeros unless it earns bill rates."""
    sessions = np.arange(market.row[first_row].session, market.row[last_row - 1].session + 1)
    return np.nan_to_num(bill_returns(market, sessions)) if costs.interest else np.zeros(len(sessions))


def bill_returns(market: Market, sessions: Any) -> Any:
    """What bills paid in each of these sessions, decimals, by the rate of the one before; NaN where it is unknown."""
    days = np.diff(market.ses.day[sessions], prepend=market.ses.day[sessions[0]])
    return np.expm1(market.ses.rate[np.maximum(sessions - 1, 0)] * days / 365.0)


def open_risk(result: BacktestResult) -> Any:
    """Whether any structure was open, by row."""
    held = np.zeros(result.last_row - result.first_row + 1, np.int64)
    for trade in result.trades:
        held[trade[T["opened"]] - result.first_row] += 1
        if trade[T["closed"]] >= 0:
            held[trade[T["closed"]] - result.first_row] -= 1
    return np.cumsum(held)[:-1] > 0


def power_share(result: BacktestResult) -> Any:
    """Share of the funds that the broker has bound after each row: of cash, under portfolio margin of equity."""
    rows = result.ledger.rows
    there = rows[CASH] + rows[MARKS] if result.limits.margin == PORTFOLIO else rows[CASH]
    return np.divide(rows[MARGIN], there, out=np.full(there.size, np.nan), where=there > 0)


def power_figures(result: BacktestResult) -> dict[str, Any]:
    """How much of the funds margin bound: at most, and on the mean bar on which it bound anything. None without."""
    share = power_share(result)
    used = share[np.isfinite(share) & (result.ledger.rows[MARGIN] > 0)]
    return {
        "buying_power_share_max": float(used.max()) if used.size else None,
        "buying_power_share_mean": float(used.mean()) if used.size else None,
        "margin_max": float(dollars(result.ledger.rows[MARGIN].max())),
    }


def option_fills(result: BacktestResult) -> Any:
    """Fills of options in the market: of the structures, and of the smile hedge."""
    event = result.fills[:, F["event"]]
    return result.fills[(event == EVENT_FILL) | ((event == EVENT_HEDGE) & (result.fills[:, F["contract"]] >= 0))]


def slippage_cents(result: BacktestResult) -> tuple[int, int, int]:
    """(given up against mid by the fills, full half-spreads of the same fills, packages x contracts filled).

    The smile hedge's fills count in the first two; a package is a structure's.
    """
    fills = option_fills(result)
    if len(fills) == 0:
        return 0, 0, 0
    quantity, mid2 = fills[:, F["quantity"]], fills[:, F["bid"]] + fills[:, F["ask"]]
    paid = int((quantity * (fills[:, F["price2"]] - mid2) * 50).sum())
    half = int((np.abs(quantity) * (fills[:, F["ask"]] - fills[:, F["bid"]]) * 50).sum())
    fills = fills[fills[:, F["trade"]] >= 0]
    package = np.unique(fills[:, [F["row"], F["trade"]]], axis=0, return_index=True)[1]
    return paid, half, int(np.abs(fills[package, F["quantity"]]).sum())


def break_even(result: BacktestResult, net_cents: int) -> tuple[float | None, float | None]:
    """Slippage at which net profit is zero, the trades staying the same.

    ($/share added to every package, multiple of the real half-spread paid on every leg). None without fills.
    """
    paid, half, packages = slippage_cents(result)
    per_package = net_cents / 100.0 / (packages * 100.0) if packages else None
    multiple = (net_cents + paid) / half if half else None
    return per_package, multiple


def kind_shares(result: BacktestResult) -> tuple[float, float]:
    """Share of fills, and of absolute trade P&L, that rest on surface or modelled quotes."""
    fills = option_fills(result)
    soft_fill = np.isin(fills[:, F["kind"]], (KIND_SURFACE, KIND_MODELLED))
    soft_trade = (result.trades[:, T["kinds"]] & (1 << KIND_SURFACE | 1 << KIND_MODELLED)) != 0
    pnl = np.abs(result.trades[:, T["pnl"]])
    return (
        float(soft_fill.mean()) if len(fills) else 0.0,
        float(pnl[soft_trade].sum() / pnl.sum()) if pnl.sum() else 0.0,
    )


def surface_error(result: BacktestResult) -> dict[str, float] | None:
    """How far marks of the carried surface were from the next real ones; None where there is no such pair."""
    if result.market.kind != CARRIED or len(result.trades) == 0:
        return None
    snapshots = int(result.market.row.quoted[result.first_row : result.last_row].sum())
    errors = np.zeros(snapshots * len(result.trades))
    errors = errors[: carried_errors(result.market, result.trades, result.last_row - 1, errors)]
    if len(errors) == 0:
        return None
    return {"median_abs": float(np.median(np.abs(errors))), "mean": float(errors.mean()), "marks": len(errors)}


def own_premium(store: Store) -> dict[str, float] | None:
    """IV less forward realised volatility of a modelled surface; None for real quotes and short markets."""
    if store.manifest["kind"] != "model" or store.manifest["sessions"] < PREMIUM_SESSIONS:
        return None
    from core.market.modelled import premium_of

    return premium_of(store)


def warnings_of(result: BacktestResult, metrics: dict[str, Any], parts: Any) -> list[str]:
    """What makes this run untrustworthy, in words."""
    found = []
    closed = metrics["trades"]
    if closed == 0:
        found.append("No trade closed: see decisions.csv for why entries were skipped.")
    elif closed < FEW_TRADES:
        found.append(f"Only {closed} closed trades: every ratio below is mostly noise.")
    effective = metrics["effective_trades"]
    if effective is not None and closed and effective < 0.7 * closed:
        found.append(f"Trades overlap: {closed} trades carry about {effective:.0f} independent results.")
    if result.store.manifest.get("quotes", "real") != "real":
        found.append(f"{result.store.manifest['quotes']}: a modelled premium proves no edge.")
    elif metrics["share_fills_modelled"] > 0:
        found.append(f"{metrics['share_fills_modelled']:.0%} of fills rest on surface marks, not on quotes.")
    error = surface_error(result)
    if error is not None:
        found.append(
            f"Marks between snapshots come from a carried surface; it missed the next real mark of a held structure by "
            f"${error['median_abs']:.2f} a share at the median (mean {error['mean']:+.2f}, {error['marks']} marks)."
        )
    premium = own_premium(result.store)
    if premium is not None:
        found.append(
            f"The market's own surface put in a premium: at-the-money IV less forward realised volatility "
            f"averages {100 * premium['mean']:+.1f} vol points (median {100 * premium['median']:+.1f})."
        )
    soft = float(np.mean(result.ledger.codes[SOFT][open_risk(result)])) if closed or metrics["open_trades"] else 0.0
    if soft > SOFT_SHARE:
        found.append(f"{soft:.0%} of the bars in a trade are marked from carried surfaces, not from two-sided quotes.")
    ended = result.trades[:, T["closed"]] >= 0
    gross = np.abs(parts[ended, :-1]).sum()
    if gross and abs(parts[ended, -1]).sum() > WIDE_RESIDUAL * gross:
        found.append(f"Greeks leave {abs(parts[ended, -1]).sum() / gross:.0%} of gross P&L unexplained.")
    found += assignment_warnings(result)
    if metrics["open_trades"]:
        stuck = (
            "; their closes found no price within the width"
            if (result.ledger.codes[0][-1] == Reason.CLOSE_WORKING)
            else ""
        )
        found.append(f"{metrics['open_trades']} structures are still open at the end and count at their marks{stuck}.")
    if result.costs.order_type == FRACTION and result.costs.open_frac > 0:
        found.append(f"Packages fill {result.costs.open_frac:.0%} of the way from natural to mid: an assumption.")
    return found


def assignment_warnings(result: BacktestResult) -> list[str]:
    """What exercise did to the run, and where it could not be followed."""
    found, t = [], result.trades
    delivered = np.unique(result.fills[np.isin(result.fills[:, F["event"]], DELIVERIES), F["trade"]])
    if delivered.size:
        beyond = int((t[delivered, T["pnl"]] < -(t[delivered, T["max_loss"]] + t[delivered, T["fees"]])).sum())
        more = f"; {beyond} lost more than their largest loss at entry" if beyond else ""
        found.append(f"{delivered.size} structures were assigned or exercised and delivered shares{more}.")
    sessions = session_range(result)
    unknown = np.isnan(result.market.ses.dividend[sessions])
    if unknown.any() and result.limits.early_exercise:
        found.append(
            f"Ex-dividend days are not listed for {int(unknown.sum())} sessions: no call is assigned early there."
        )
    return found


def measure(result: BacktestResult) -> Measured:
    """All figures of a run."""
    parts = np.zeros((len(result.trades), len(PARTS)))
    attribute(result.market, result.trades, result.fills, result.last_row - 1, parts)
    closed = result.trades[:, T["closed"]] >= 0
    campaigns = done(campaigns_of(result))
    ses, row = result.market.ses, result.market.row
    equity = dollars(result.equity)
    at_close = closing_rows(result)
    net = int(result.equity[-1]) - round(result.config["account.starting_cash"] * 100)
    per_package, multiple = break_even(result, net)
    share_fills, share_pnl = kind_shares(result)
    interest = result.fills[result.fills[:, F["event"]] == EVENT_INTEREST]
    total = dollars(parts[closed].sum(0))
    other = {
        "fees": float(dollars(result.fills[:, F["fee"]].sum())),
        "slippage_paid": slippage_cents(result)[0] / 100.0,
        "interest": float(dollars(-(interest[:, F["quantity"]] * interest[:, F["price2"]]).sum() // 2)),
        "break_even_slippage_per_package": per_package,
        "break_even_slippage_half_spreads": multiple,
        "share_fills_modelled": share_fills,
        "share_pnl_modelled": share_pnl,
        "attribution": {name: float(value) for name, value in zip(PARTS, total, strict=True)},
        **power_figures(result),
        "warnings": [],
    }
    metrics = summarise(
        session_day=ses.day[session_range(result)],
        session_equity_usd=equity[at_close],
        underlying_close=row.spot[at_close + result.first_row],
        bar_equity_usd=equity,
        bar_open_risk=open_risk(result),
        starting_cash_usd=round(result.config["account.starting_cash"] * 100) / 100,  # as the book has it, to the cent
        trades=Trades(
            pnl_usd=dollars(campaigns.pnl),
            entry_day=ses.day[row.session[campaigns.opened]],
            exit_day=ses.day[row.session[campaigns.ended]],
            margin_usd=dollars(campaigns.margin),
        ),
        open_trades=int((~closed).sum()),
        other=other,
        cash_returns=cash_returns(result),
    )
    metrics.update(outcome_figures(outcomes_of(result, campaigns), campaigns))
    metrics["warnings"] = warnings_of(result, metrics, parts)
    metrics["funnel"] = funnel_figures(funnel(result))
    return Measured(metrics, parts)
