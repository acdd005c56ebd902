"""The report as values: verdict, figures in words, tables and per-trade facts; no looks and no files of its own.

Every face of the report (today the page) shows these values. No clock and no run id get in.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from core.errors import DataError
from core.market.calendar import day_text
from core.report.folder import kinds_text
from core.report.funnel import funnel, shown_stages
from core.report.measure import FEW_TRADES, Measured, closing_rows, dollars, open_risk, session_range
from core.report.plots import rounded
from core.types import EVENT_HEDGE, EVENT_INTEREST, KIND_NAMES, MARKS, MULTIPLIER, REASONS, SOFT, VERDICT, F, T

if TYPE_CHECKING:
    from backtest_engine import BacktestResult

MODELLED, PARTLY = "MODELLED", "PARTLY MODELLED"
# Facts of a market that are not for people, or that hold a clock.
HIDDEN_FACTS = ("columns", "shape", "written", "hash", "schema")

# Key of metrics.json, its name on the page, its form (see `shown`).
GROUPS: tuple[tuple[str, tuple[tuple[str, str, str], ...]], ...] = (
    (
        "Result",
        (
            ("net_profit", "net profit", "usd"),
            ("net_profit_pct", "net profit, %", "percent"),
            ("cagr", "growth a year", "share"),
            ("buy_and_hold_pct", "buy and hold (price only)", "percent"),
            ("return_on_margin_days", "return a year on margin in use", "share"),
            ("net_r", "net of closed trades, R (largest loss)", "number"),
            ("expectancy_r", "mean P&L a trade, R", "ratio"),
            ("worst_r", "worst trade, R", "ratio"),
            ("buying_power_days", "buying-power-days, $ x days", "count"),
            ("profit_per_1000_buying_power_days", "profit on 1,000 of them", "usd"),
            ("interest", "interest on cash", "usd"),
            ("time_in_market", "time in the market", "share"),
            ("buying_power_share_max", "buying power bound at most", "share"),
            ("buying_power_share_mean", "and on the mean bar in a trade", "share"),
        ),
    ),
    (
        "Costs",
        (
            ("fees", "fees", "usd"),
            ("slippage_paid", "given up against mid", "usd"),
            ("break_even_slippage_per_package", "break-even slippage a package ($/share)", "fine"),
            ("break_even_slippage_half_spreads", "break-even, in real half-spreads", "number"),
        ),
    ),
    (
        "Risk",
        (
            ("max_drawdown", "deepest drawdown", "usd"),
            ("max_drawdown_pct", "deepest drawdown, %", "percent"),
            ("net_profit_over_max_drawdown", "net profit / drawdown", "number"),
            ("worst_day", "worst day", "usd"),
            ("cvar_95", "mean of the worst 5% of days", "usd"),
            ("sharpe", "Sharpe (in excess of cash)", "number"),
            ("sortino", "Sortino", "number"),
            ("calmar", "Calmar", "number"),
            ("psr", "probability that Sharpe > 0", "share"),
        ),
    ),
    (
        "Trades",
        (
            ("trades", "closed trades", "count"),
            ("open_trades", "open at the end", "count"),
            ("effective_trades", "independent results", "number"),
            ("win_rate", "win rate", "share"),
            ("profit_factor", "profit factor", "number"),
            ("expectancy", "mean P&L a trade", "usd"),
            ("expectancy_se", "its standard error", "usd"),
            ("avg_win", "mean win", "usd"),
            ("avg_loss", "mean loss", "usd"),
            ("largest_win", "largest win", "usd"),
            ("largest_loss", "largest loss", "usd"),
        ),
    ),
)
FORMS = {
    **{"percent": "{:,.2f}%", "ratio": "{:+.3f}", "number": "{:,.2f}", "count": "{:,.0f}", "share": "{:,.1%}"},
    "fine": "{:+.3f}",
}
TRADE_COLUMNS = (
    "trade|entry|exit|expiry|DTE|strikes|contracts|credit $|debit $|credit / width %|P&L $|fees $|worst $|best $|"
    "closed by|quotes"
).split("|")


def usd(value: float) -> str:
    return f"{'-' if value < 0 else ''}${abs(value):,.2f}"


def whole_usd(value: float) -> str:
    """Whole dollars."""
    return f"{'-' if round(value) < 0 else ''}${abs(value):,.0f}"


def shown(value: float | None, form: str) -> str:
    """A figure as people read it; n/a where it is undefined."""
    if value is None:
        return "n/a"
    return usd(value) if form == "usd" else FORMS[form].format(value)


def text(value: Any, form: str) -> str:
    """A figure in a form of str.format; n/a where it is undefined."""
    return "n/a" if value is None else form.format(value)


# ---------------------------------------------------------------- words


class Verdict(NamedTuple):
    """The run in words: tone is gain, loss or none (it sets a colour beside the words)."""

    tone: str
    headline: str
    text: str


def modelled_badge(manifest: dict[str, Any], metrics: dict[str, Any]) -> str:
    """What a reader must see beside every price and result: MODELLED, PARTLY MODELLED, or nothing."""
    if manifest["quotes"] != "real":
        return MODELLED
    soft = max(metrics["share_fills_modelled"], metrics["share_pnl_modelled"])
    return PARTLY if soft > 0 else ""


def soft_marks(result: BacktestResult) -> float:
    """Share of the bars in a trade that are marked from surfaces, not from two-sided quotes, per cent."""
    held = result.ledger.codes[SOFT][open_risk(result)]
    return 100.0 * float(held.mean()) if len(held) else 0.0


def verdict_of(metrics: dict[str, Any], badge: str, main_reason: str) -> Verdict:
    """What the run says, and how little: a gain is not called proven."""
    span = f"from {metrics['start']} to {metrics['end']}"
    if metrics["trades"] + metrics["open_trades"] == 0:
        text = f"No structure was opened {span}, so there is nothing to judge."
        return Verdict("none", "No trades", f"{text} Most bars: {main_reason}.")
    net = metrics["net_profit"]
    tone = "gain" if net > 0 else "loss"
    words = [f"Net {usd(net)} ({metrics['net_profit_pct']:+.2f}%) on {usd(metrics['starting_cash'])} {span}."]
    if metrics["buy_and_hold_pct"] is not None:
        words.append(f"Holding the underlying made {metrics['buy_and_hold_pct']:+.1f}% (price only).")
    effective = metrics["effective_trades"]
    if effective is None or effective < FEW_TRADES:
        count = "unknown" if effective is None else f"{effective:.0f}"
        words.append(f"Independent results: {count}; too few to tell skill from luck.")
    if metrics["psr"] is not None:
        words.append(f"The chance that its true Sharpe ratio is above zero is put at {metrics['psr']:.1%}.")
    per_package = metrics["break_even_slippage_per_package"]
    if per_package is not None and net > 0:
        words.append(f"Another ${per_package:.3f}/share lost on every package would take all of it.")
    headline = "Made money" if net > 0 else ("Lost money" if net < 0 else "Broke even")
    where = {MODELLED: " on modelled quotes", PARTLY: " partly on modelled quotes"}.get(badge, "")
    return Verdict(tone if net else "none", headline + where, " ".join(words))


def hedge_profit(result: BacktestResult) -> float:
    """P&L of the hedge in shares after fees, $; shares still held count at the last price."""
    fills = result.fills[(result.fills[:, F["event"]] == EVENT_HEDGE) & (result.fills[:, F["contract"]] < 0)]
    quantity = fills[:, F["quantity"]]
    paid = (quantity * fills[:, F["price2"]]).sum() / 200.0 + fills[:, F["fee"]].sum() / 100.0
    return round(float(quantity.sum() * result.market.row.spot[result.last_row - 1] - paid), 2)


def smile_profit(result: BacktestResult) -> float:
    """P&L of the smile hedge's options after fees, $; what is still held counts at its last mark."""
    fills = result.fills
    own = (fills[:, F["trade"]] < 0) & (fills[:, F["contract"]] >= 0)
    paid = (fills[own, F["quantity"]] * fills[own, F["price2"]]).sum() * MULTIPLIER / 200.0
    shares = fills[(fills[:, F["event"]] == EVENT_HEDGE) & (fills[:, F["contract"]] < 0), F["quantity"]].sum()
    structures = float(dollars(result.trades[:, T["mark"]].sum()))
    held = float(dollars(result.ledger.rows[MARKS, -1])) - structures
    held -= float(shares) * round(float(result.market.row.spot[result.last_row - 1]), 2)
    return round(held - float(paid) - float(dollars(fills[own, F["fee"]].sum())), 2) + 0.0


def reconciliation(result: BacktestResult, metrics: dict[str, Any]) -> str:
    """Net profit taken apart into what closed, what is open and what cash earned; exact in cents."""
    closed = result.trades[:, T["closed"]] >= 0
    done = float(dollars(result.trades[closed, T["pnl"]].sum()))
    hedge = hedge_profit(result)
    smile = smile_profit(result)
    rest = round(metrics["net_profit"] - done - metrics["interest"] - hedge - smile, 2) + 0.0
    parts = f"closed trades {usd(done)}, trades open at the end {usd(rest)}, interest {usd(metrics['interest'])}"
    if hedge:
        parts += f", shares of the hedge {usd(hedge)}"
    if smile:
        parts += f", options of the smile hedge {usd(smile)}"
    return f"Net profit {usd(metrics['net_profit'])} = {parts}."


# ---------------------------------------------------------------- tables


class Bar(NamedTuple):
    """One line of a bar list: a name, its share of the whole in per cent, and the figure in words."""

    name: str
    share: float
    text: str
    tone: str = ""


def reason_bars(result: BacktestResult) -> list[Bar]:
    """Share of bars by what the run did on them, largest first."""
    counts = np.bincount(result.ledger.codes[VERDICT], minlength=len(REASONS))
    order = sorted(np.flatnonzero(counts).tolist(), key=lambda code: (-counts[code], code))
    bars = []
    for code in order:
        verdict, words = REASONS[code]
        share = 100.0 * counts[code] / counts.sum()
        bars.append(Bar(f"{verdict}: {words}", share, f"{share:.1f}% ({counts[code]:,})", verdict))
    return bars


def funnel_rows(result: BacktestResult) -> list[tuple[str, str, str, str]]:
    """(stage, bars, share of all bars, bars it stopped) of every stage that says something."""
    stages = shown_stages(funnel(result))
    whole = stages[0].bars
    return [(s.name, f"{s.bars:,}", f"{s.bars / whole:.2%}", f"{s.stopped:,}" if s.stopped else "") for s in stages]


def fill_bars(result: BacktestResult) -> list[Bar]:
    """Share of fills and settlements by the kind of quote they rest on."""
    events = result.fills[result.fills[:, F["event"]] != EVENT_INTEREST]
    kinds, counts = np.unique(events[:, F["kind"]], return_counts=True)
    shares = 100.0 * counts / max(1, len(events))
    rows = zip(kinds.tolist(), shares.tolist(), counts.tolist(), strict=True)
    return [Bar(KIND_NAMES[kind], share, f"{share:.1f}% ({n:,})", KIND_NAMES[kind]) for kind, share, n in rows]


def pnl_bars(result: BacktestResult) -> list[Bar]:
    """Share of the absolute P&L of closed trades, and their net P&L, by the kinds of quotes a trade rests on."""
    done = result.trades[result.trades[:, T["closed"]] >= 0]
    size = np.abs(done[:, T["pnl"]])
    bars = []
    for mask in np.unique(done[:, T["kinds"]]).tolist():
        mine = done[:, T["kinds"]] == mask
        share = 100.0 * float(size[mine].sum()) / max(1.0, float(size.sum()))
        net = float(dollars(done[mine, T["pnl"]].sum()))
        bars.append(Bar(kinds_text(mask), share, f"{share:.1f}%, net {usd(net)}", kinds_text(mask)))
    return bars


class Year(NamedTuple):
    """One line of the monthly table: returns in per cent, None where the run has no session."""

    year: str
    months: list[float | None]
    whole: float


def monthly_returns(days: Any, session_equity_usd: Any, starting_cash_usd: float) -> list[Year]:
    """Return of each calendar month, from the last equity before it to its own last; years compound.

    A month in which the equity is lost has no return from there on: None.
    """
    names = [day_text(day)[:7] for day in days]
    last = {name: value for name, value in zip(names, session_equity_usd.tolist(), strict=True)}
    years: dict[str, list[float | None]] = {}
    whole: dict[str, float] = {}
    before = starting_cash_usd
    for name, value in last.items():
        year, month = name.split("-")
        months = years.setdefault(year, [None] * 12)
        if before > 0:
            months[int(month) - 1] = 100.0 * (value / before - 1.0)
            whole[year] = whole.get(year, 1.0) * value / before
        before = value
    return [Year(year, months, 100.0 * (whole.get(year, 1.0) - 1.0)) for year, months in years.items()]


def flat(value: Any, path: str = "") -> list[tuple[str, str]]:
    """Nested facts as (dotted path, text) in order."""
    if isinstance(value, dict):
        return [row for key, part in value.items() for row in flat(part, f"{path}.{key}" if path else str(key))]
    if isinstance(value, list):
        return [(path, ", ".join(str(part) for part in value) or "none")]
    if isinstance(value, float):
        return [(path, f"{value:.10g}")]
    return [(path, str(value))]


def quality_facts(result: BacktestResult) -> list[tuple[str, str]]:
    """The store's own count of what was wrong with its input."""
    path = result.store.path / "quality.json"
    try:
        return flat(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, json.JSONDecodeError) as error:
        raise DataError(f"{path}: cannot be read ({error}); import the market again") from None


def settings_rows(manifest: dict[str, Any]) -> list[tuple[str, str, str]]:
    """(path, value, source), those that are not defaults first."""
    rows = [
        (path, "none" if entry["value"] is None else str(entry["value"]), entry["source"])
        for path, entry in manifest["settings"].items()
    ]
    return sorted(rows, key=lambda row: row[2] == "default")


# ---------------------------------------------------------------- trades


def clock_text(result: BacktestResult, rows: Any) -> list[str]:
    """New York wall-clock time of rows of the whole market, to the minute."""
    row, ses = result.market.row, result.market.ses
    minutes = row.minute[rows].tolist()
    days = [day_text(day) for day in ses.day[row.session[rows]].tolist()]
    return [f"{day} {m // 60:02d}:{m % 60:02d}" for day, m in zip(days, minutes, strict=True)]


class TradeFacts(NamedTuple):
    """Columns of all trades that several parts of the page need (parallel, in order of entry)."""

    entry: list[str]
    exit: list[str]  # the run's last row where still open
    closed: Any  # bool
    dte: Any  # calendar days at entry
    strikes: Any  # $ (trades, 4), NaN where a leg is unused
    credit: Any  # $/share
    share: Any  # credit / width, per cent
    pnl: Any  # $


def trade_facts(result: BacktestResult) -> TradeFacts:
    market, t = result.market, result.trades
    closed = t[:, T["closed"]] >= 0
    ends = np.where(closed, t[:, T["closed"]], result.last_row - 1)
    legs = t[:, T["leg0"] : T["leg0"] + 4]
    strikes = np.where(legs >= 0, market.con.strike[np.maximum(legs, 0)] / 100.0, np.nan)
    entry_day = market.ses.day[market.row.session[t[:, T["opened"]]]]
    return TradeFacts(
        entry=clock_text(result, t[:, T["opened"]]),
        exit=clock_text(result, ends),
        closed=closed,
        dte=market.exp.day[t[:, T["expiry"]]] - entry_day,
        strikes=strikes,
        credit=dollars(t[:, T["credit"]]),
        share=100.0 * t[:, T["credit"]] / t[:, T["width"]],
        pnl=dollars(t[:, T["pnl"]]),
    )


def strikes_text(strikes: Any) -> str:
    """'163/173P 199/204C' of long put, short put, short call, long call ($; NaN where unused)."""
    sides = ((strikes[0], strikes[1], "P"), (strikes[2], strikes[3], "C"))
    pairs = ["/".join(f"{k:g}" for k in (low, high) if k == k) + name for low, high, name in sides]
    return " ".join(pair for pair in pairs if len(pair) > 1)


def trade_rows(result: BacktestResult, facts: TradeFacts) -> list[list[Any]]:
    """The trade table, TRADE_COLUMNS; None where there is nothing to show."""
    rows = []
    share = rounded(facts.share, 1)
    for i, t in enumerate(result.trades.tolist()):
        closed = t[T["closed"]] >= 0
        outcome = (t[T["pnl"]], t[T["fees"]], t[T["mae"]], t[T["mfe"]])
        rows.append(
            [
                *(i, facts.entry[i], facts.exit[i] if closed else None),
                *(day_text(result.market.exp[t[T["expiry"]]].day), int(facts.dte[i]), strikes_text(facts.strikes[i])),
                *(t[T["contracts"]], t[T["credit"]] / 100.0, t[T["debit"]] / 100.0 if closed else None, share[i]),
                *(value / 100.0 if closed else None for value in outcome),
                *(REASONS[t[T["reason"]]][1], kinds_text(t[T["kinds"]])),
            ]
        )
    return rows


# ---------------------------------------------------------------- all together


def report_values(result: BacktestResult, measured: Measured, manifest: dict[str, Any]) -> dict[str, Any]:
    """All that the report says, but for its figures."""
    metrics = measured.metrics
    reasons = reason_bars(result)
    badge = modelled_badge(manifest, metrics)
    ses = session_range(result)
    equity = dollars(result.equity)[closing_rows(result)]
    facts = {key: value for key, value in result.store.manifest.items() if key not in HIDDEN_FACTS}
    return {
        "metrics": metrics,
        "market": manifest["market"],
        "structure": "stated orders" if result.scripted else result.config["strategy.structure"],
        "badge": badge,
        "quotes": manifest["quotes"],
        "soft_marks": soft_marks(result),
        "verdict": verdict_of(metrics, badge, reasons[0].name.partition(": ")[2]),
        "groups": [
            (name, [(key, label, shown(metrics[key], form), json.dumps(metrics[key])) for key, label, form in rows])
            for name, rows in GROUPS
        ],
        "reconciliation": reconciliation(result, metrics),
        "years": monthly_returns(result.market.ses.day[ses], equity, metrics["starting_cash"]),
        "reasons": reasons,
        "funnel": funnel_rows(result),
        "fill_bars": fill_bars(result),
        "pnl_bars": pnl_bars(result),
        "settings": settings_rows(manifest),
        "facts": flat(facts),
        "quality": quality_facts(result),
        "origins": [(key, manifest[key]) for key in ("settings_hash", "store_hash", "code_version", "seed")],
        "versions": sorted(manifest["versions"].items()),
    }
