"""Whether a run knew the future: the same run on markets cut short must have seen and done the same until the cut.

Nothing that is known at a row may depend on what comes after it. So the market is cut after some rows, the run is
made again on what is left, and every signal, gate, verdict, trade, fill and cent up to the cut is compared.
It finds a feature or a rule that looks ahead; data that were stored with hindsight look the same in both runs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from core.config import Config
from core.market.calendar import day_text
from core.market.store import Store, rows_between
from core.market.truncate import truncated
from core.replay import Replay, contract_name, row_time
from core.types import (
    ADJUSTMENT_FIELDS,
    CASH,
    DRAWDOWN,
    FILL_FIELDS,
    GATE,
    HEAD,
    LEAVE,
    LEGS,
    LIQUIDATION,
    MARKS,
    REASONS,
    SIGNALS,
    SOFT,
    TRADE_FIELDS,
    VERDICT,
    A,
    F,
    Market,
    T,
)

KINDS = ("entry", "exit", "adjustment", "quiet", "session end")
MONEY = {"cash": CASH, "marks": MARKS, "liquidation": LIQUIDATION, "drawdown": DRAWDOWN}
ORDER_FIELDS = tuple(name for name, *_ in HEAD if name.startswith("order_"))


class Finding(NamedTuple):
    """One thing that is not the same before a cut: what, where first, and both values."""

    what: str  # signal rsi, gate, verdict, trade 3 credit, fill 12 price2, cash, order floor ...
    cut: int  # row after which the market was cut
    row: int  # first row (of a trade: of its opening) at which it differs
    whole: Any  # with the future; None unknown or absent
    short: Any  # without it
    count: int  # rows, or entries, that differ


class Checked(NamedTuple):
    """What was compared: the market, the rows cut after, how much the whole run holds, and what was found."""

    market: Market
    cuts: list[int]
    signals: int
    trades: int
    fills: int
    adjustments: int
    findings: list[Finding]


# ---------------------------------------------------------------- where to cut


def moments(replay: Replay) -> dict[str, Any]:
    """Rows of each of KINDS in a finished run: what is worth a cut."""
    market, first, last = replay.market, replay.first, replay.last
    trades, adjustments = replay.trades, replay.adjustments
    closed = trades[trades[:, T["closed"]] >= 0]
    ends = market.ses.end[market.row.session[first] : market.row.session[last] + 1] - 1
    found = {
        "entry": np.unique(trades[:, [T["decided"], T["opened"]]]),
        "exit": np.unique(closed[:, [T["exit_decided"], T["closed"]]]),
        "adjustment": np.unique(adjustments[:, [A["decided"], A["row"]]]),
        "session end": ends,
    }
    busy = np.concatenate(list(found.values()))
    found["quiet"] = np.setdiff1d(np.arange(first, last + 1), busy)
    return {kind: rows[(first <= rows) & (rows <= last)] for kind, rows in found.items()}


def cut_rows(replay: Replay, count: int) -> list[int]:
    """Up to `count` rows spread evenly over a finished run, by turns at each kind of moment; always the same ones.

    The run is split into stretches of equal length. In each, the turn's kind of moment (or the next kind that the
    stretch holds) nearest its middle is taken. A row between the close and the evening's snapshot gives way to the
    session's last row: until then nobody knows whether the session is over.
    """
    found = moments(replay)
    edges = np.linspace(replay.first, replay.last + 1, count + 1).astype(np.int64)
    chosen = set()
    for i in range(count):
        low, high = edges[i], edges[i + 1]
        for turn in range(len(KINDS)):
            rows = found[KINDS[(i + turn) % len(KINDS)]]
            rows = rows[(low <= rows) & (rows < high)]
            if len(rows):
                chosen.add(int(rows[np.argmin(np.abs(2 * rows - (low + high)))]))
                break
    return sorted({settled_row(replay.market, row) for row in chosen})


def settled_row(market: Market, row: int) -> int:
    """The row itself, or its session's last row from the close on."""
    session = market.ses[market.row.session[row]]
    return int(session.end) - 1 if market.row.minute[row] >= session.close else row


# ---------------------------------------------------------------- what differs


def plain(value: Any) -> Any:
    """A number as JSON can hold it: NaN is None."""
    value = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(value, float) and not np.isfinite(value) else value


def column_findings(
    what: str, cut: int, first: int, whole: Any, short: Any, say: Callable[[Any], Any]
) -> list[Finding]:
    """The first row at which two columns differ (NaN equals NaN); `first` is the row of their first element."""
    differ = np.flatnonzero((whole != short) & ~((whole != whole) & (short != short)))
    if not len(differ):
        return []
    at = int(differ[0])
    return [Finding(what, cut, first + at, say(whole[at]), say(short[at]), len(differ))]


def signal_findings(whole: Market, short: Market, cut: int) -> list[Finding]:
    """Signals and gates of all rows up to the cut."""
    found = []
    for i, name in enumerate(SIGNALS):
        found += column_findings(
            f"signal {name}", cut, 0, whole.signal[i, : cut + 1], short.signal[i, : cut + 1], plain
        )
    for name, i in (("gate", GATE), ("leave gate", LEAVE)):
        found += column_findings(name, cut, 0, whole.gate[i, : cut + 1], short.gate[i, : cut + 1], reason_words)
    return found


def reason_words(code: Any) -> str:
    return "open" if code == 0 else REASONS[int(code)][1]


def row_findings(whole: Replay, short: Replay) -> list[Finding]:
    """Verdicts, soft marks and money of every row of the run up to the cut."""
    first, end = whole.first, whole.last + 1
    codes, rows = whole.ledger.codes[:, first:end], whole.ledger.rows[:, first:end]
    other_codes, other_rows = short.ledger.codes[:, first:end], short.ledger.rows[:, first:end]
    found = column_findings("verdict", whole.last, first, codes[VERDICT], other_codes[VERDICT], reason_words)
    found += column_findings("soft marks", whole.last, first, codes[SOFT], other_codes[SOFT], plain)
    for name, i in MONEY.items():
        found += column_findings(name, whole.last, first, rows[i], other_rows[i], cents)
    return found


def cents(value: Any) -> float:
    """Integer cents as $."""
    return int(value) / 100


def table_findings(
    what: str, cut: int, row_at: int, whole: list[Any], short: list[Any], names: list[str]
) -> list[Finding]:
    """The first entry that differs of two tables (lists of entries in words), and its first field."""
    differ = [i for i in range(max(len(whole), len(short))) if whole[i : i + 1] != short[i : i + 1]]
    if not differ:
        return []
    at = differ[0]
    if at >= min(len(whole), len(short)):
        there = (whole + [None] * (at + 1))[at], (short + [None] * (at + 1))[at]
        entry = there[0] or there[1]
        told = ["none" if t is None else "there" for t in there]
        return [Finding(f"{what} {at}", cut, entry[row_at], *told, len(differ))]
    field = next(k for k in range(len(names)) if whole[at][k] != short[at][k])
    row = min(whole[at][row_at], short[at][row_at])
    return [Finding(f"{what} {at} {names[field]}", cut, row, whole[at][field], short[at][field], len(differ))]


def in_words(market: Market, table: Any, contracts: list[int], expiry: int | None = None) -> list[list[Any]]:
    """Entries of a table with contracts and expiries by what they are: their numbers move with what is listed."""
    entries = table.tolist()
    for entry in entries:
        for k in contracts:
            entry[k] = contract_name(market, entry[k])
        if expiry is not None:
            entry[expiry] = day_text(market.exp.day[entry[expiry]])
    return entries


def event_findings(whole: Replay, short: Replay) -> list[Finding]:
    """Trades, adjustments, fills and the working order, as they stand after the cut's row."""
    cut = whole.last
    legs = [T["leg0"] + leg for leg in range(LEGS)]
    trades = [in_words(run.market, run.trades, legs, T["expiry"]) for run in (whole, short)]
    found = table_findings("trade", cut, T["opened"], *trades, TRADE_FIELDS)
    shorts = [A["new_short"], A["new_long"]]
    adjustments = [in_words(run.market, run.adjustments, shorts) for run in (whole, short)]
    found += table_findings("adjustment", cut, A["row"], *adjustments, ADJUSTMENT_FIELDS)
    fills = [in_words(run.market, run.fills, [F["contract"]]) for run in (whole, short)]
    found += table_findings("fill", cut, F["row"], *fills, FILL_FIELDS)
    orders = [order_in_words(run) for run in (whole, short)]
    for name, a, b in zip(ORDER_FIELDS, *orders, strict=True):
        if a != b:
            found.append(Finding(name.replace("_", " "), cut, cut, a, b, 1))
    return found


def order_in_words(run: Replay) -> list[Any]:
    """The working entry order's fields; all None without one, for what is left in them is scratch."""
    head = run.book.head
    if not head.order_working:
        return [None] * len(ORDER_FIELDS)
    legs = ", ".join(contract_name(run.market, int(c)) for c in head.order_legs if c >= 0)
    return [legs if name == "order_legs" else plain(head[name]) for name in ORDER_FIELDS]


def findings(whole: Replay, short: Replay) -> list[Finding]:
    """Everything that differs between two runs that stand after the same row, in the order of its cause."""
    found = signal_findings(whole.market, short.market, whole.last)
    return found + row_findings(whole, short) + event_findings(whole, short)


# ---------------------------------------------------------------- the check


def check(store: Store, config: Config, count: int, say: Callable[[str], None]) -> Checked:
    """Run `config` on the whole market and on `count` markets cut short, and compare up to each cut."""
    end = rows_between(store, config["market.start"], config["market.end"])[1]
    whole = Replay(store, config).to(end - 1)
    cuts = cut_rows(whole, count)
    told = (len(whole.trades), len(whole.fills), len(whole.adjustments))
    replay = Replay(store, config, whole.market)
    found: list[Finding] = []
    for i, cut in enumerate(cuts):
        say(f"cut {i + 1} of {len(cuts)}: {row_time(whole.market, cut)} ...")
        found += findings(replay.to(cut), Replay(truncated(store, cut), config).to(cut))
    return Checked(whole.market, cuts, len(SIGNALS), *told, found)


# ---------------------------------------------------------------- what is said of it


def value_of(checked: Checked) -> dict[str, Any]:
    """The check as JSON: cuts as times, each thing that changed once, with its first row and its number of cuts."""
    market = checked.market
    changed: dict[str, list[Finding]] = {}
    for finding in checked.findings:
        changed.setdefault(finding.what, []).append(finding)
    firsts = {what: min(several, key=lambda f: f.row) for what, several in changed.items()}
    return {
        "clean": not changed,
        "cuts": [row_time(market, cut) for cut in checked.cuts],
        "compared": {name: getattr(checked, name) for name in ("signals", "trades", "fills", "adjustments")},
        "changed": [
            {
                "what": what,
                "first": row_time(market, first.row),
                "cut": row_time(market, first.cut),
                "with_future": first.whole,
                "without": first.short,
                "cuts": len({f.cut for f in changed[what]}),
            }
            for what, first in firsts.items()
        ],
    }


def lines_of(value: dict[str, Any]) -> list[str]:
    """The check in words."""
    compared = ", ".join(f"{n:,} {name}" for name, n in value["compared"].items())
    span = f"{value['cuts'][0][:16]} to {value['cuts'][-1][:16]}"
    head = f"compared up to {len(value['cuts'])} cuts, {span}: {compared}; gates, verdicts and equity of every row"
    if value["clean"]:
        return [head, f"no look-ahead found in {len(value['cuts'])} cuts"]
    lines = [head, f"{'what':26} {'first':16} {'cut after':16} {'with the future':28} {'without':28} cuts"]
    for c in value["changed"]:
        told = [f"{shown(c[k]):28}" for k in ("with_future", "without")]
        lines.append(f"{c['what']:26} {c['first'][:16]} {c['cut'][:16]} {told[0]} {told[1]} {c['cuts']}")
    return lines


def shown(value: Any) -> str:
    return "unknown" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)
