"""The run folder: manifest.json, metrics.json and the CSV files, byte for byte the same for the same run.

Clock and run id stand in manifest.json and nowhere else. Times are ISO 8601 with the New York offset.
"""

from __future__ import annotations

import datetime as dt
import functools
import importlib.metadata
import json
import os
import platform
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core.errors import ConfigError, DataError
from core.jit import ROOT, code_hash
from core.market.calendar import day_text, iso_prefixes
from core.report.exposure import options_held, shares_held
from core.report.known import failing_texts, gates_of, regime_names, signals_of, strengths_of, strongest_texts
from core.report.measure import Measured, power_share
from core.report.numbers import csv_bytes, money_cells, text_cells
from core.types import (
    ALL_LEGS,
    CALL,
    CALL_SIDE,
    CASH,
    CASH_AM,
    DRAWDOWN,
    EVENT_NAMES,
    GATE,
    KIND_NAMES,
    LEG_NAMES,
    LIQUIDATION,
    MARGIN,
    MARKS,
    MONEY_EVENTS,
    MULTIPLIER,
    ONE_SHORT_CALL,
    ONE_SHORT_PUT,
    PHYSICAL_PM,
    PUT_SIDE,
    REASON_NAMES,
    REASONS,
    ROLL_CALL,
    ROLL_PUT,
    SHARES,
    SIGNAL,
    SOFT,
    VERDICT,
    A,
    F,
    T,
)

if TYPE_CHECKING:
    from backtest_engine import BacktestResult

PACKAGES = ("numpy", "numba", "pandas", "scipy", "pyarrow", "plotly", "matplotlib", "arch", "exchange_calendars")
TRADE_COLUMNS = (
    "trade_id campaign_id structure entry_decided entry_time exit_decided exit_time expiry put_long put_short "
    "call_short call_long contracts credit debit fees pnl max_adverse max_favourable max_loss exit_reason "
    "stop_overshoot quote_kinds attr_delta attr_gamma attr_theta attr_vega attr_spread attr_residual"
).split()
TRACE_SIGNALS = {"score": ".4f", "confidence": ".4f", "consensus": ".4f", "iv_percentile": ".2f", "vix": ".2f"}
TRACE_COLUMNS = (
    *("time", "spot", "verdict", "reason", "soft_marks", "regime"),
    *TRACE_SIGNALS,
    *("first_gate", "failing_gates", "rule_1", "rule_2"),
    *("delta", "gamma", "vega", "theta", "delta_usd", "buying_power_share"),
)
ADJUSTMENT_COLUMNS = "time decided trade_id campaign_id part reason contracts net new_short new_long".split()
PART_NAMES = {
    ALL_LEGS: "all",
    SHARES: "shares",
    PUT_SIDE: "put_side",
    CALL_SIDE: "call_side",
    ONE_SHORT_PUT: "short_put",
    ONE_SHORT_CALL: "short_call",
    ROLL_PUT: "roll_put",
    ROLL_CALL: "roll_call",
}
EQUITY_COLUMNS = ("time", "cash", "marks", "equity", "drawdown", "liquidation", "margin")
FILL_COLUMNS = "time trade_id event contract side quantity multiplier price bid ask mid fee quote_time kind".split()


def row_times(result: BacktestResult) -> list[str]:
    """ISO time of every row of the whole market."""
    ses, row = result.market.ses, result.market.row
    heads, tails = iso_prefixes(ses.day.tolist(), ses.offset.tolist())
    clock = [f"{m // 60:02d}:{m % 60:02d}:00" for m in range(24 * 60)]
    return [heads[s] + clock[m] + tails[s] for s, m in zip(row.session.tolist(), row.minute.tolist(), strict=True)]


def money(cents: int) -> str:
    """Integer cents as dollars, exactly."""
    sign = "-" if cents < 0 else ""
    return f"{sign}{abs(cents) // 100}.{abs(cents) % 100:02d}"


def half_cents(price2: int) -> str:
    """Half-cents as dollars, exactly."""
    return money(price2 // 2) if price2 % 2 == 0 else f"{money(price2 // 2)}5"


def roots_by_style(result: BacktestResult) -> dict[int, str]:
    """Root symbol of each settlement style in this market."""
    found = {}
    for root, facts in result.store.manifest["roots"].items():
        text = facts["settlement"]
        style = PHYSICAL_PM if text.startswith("American") else (CASH_AM if "a.m." in text else 1)
        found[style] = root
    return found


def contract_names(result: BacktestResult) -> Any:
    """OCC symbol of contract c."""
    market, roots = result.market, roots_by_style(result)

    @functools.cache
    def name(c: int) -> str:
        con, exp = market.con[c], market.exp[market.con[c].expiry]
        day = day_text(exp.day)
        right = "C" if con.right == CALL else "P"
        return f"{roots[int(exp.style)]}{day[2:4]}{day[5:7]}{day[8:10]}{right}{int(con.strike) * 10:08d}"

    return name


def write_csv(path: Path, columns: Iterable[str], lines: Iterable[str]) -> None:
    text = "\n".join([",".join(columns), *lines, ""])
    path.write_text(text, encoding="utf-8")


def kinds_text(mask: int) -> str:
    return "+".join(name for i, name in enumerate(KIND_NAMES) if mask >> i & 1)


def trade_lines(result: BacktestResult, parts: Any, times: list[str]) -> list[str]:
    lines = []
    structure = "scripted" if result.scripted else result.config["strategy.structure"]
    for i, t in enumerate(result.trades.tolist()):
        closed = t[T["closed"]] >= 0
        strikes = [
            money(int(result.market.con[t[T["leg0"] + leg]].strike)) if t[T["leg0"] + leg] >= 0 else ""
            for leg in range(len(LEG_NAMES))
        ]
        part = [f"{p / 100:.2f}" for p in parts[i]]
        fields = [
            str(i), str(t[T["campaign"]]), structure, times[t[T["decided"]]], times[t[T["opened"]]],
            times[t[T["exit_decided"]]] if closed else "", times[t[T["closed"]]] if closed else "",
            day_text(result.market.exp[t[T["expiry"]]].day), *strikes, str(t[T["contracts"]]),
            money(t[T["credit"]]), money(t[T["debit"]]) if closed else "", money(t[T["fees"]]),
            money(t[T["pnl"]] + t[T["mark"]]),  # an open structure counts at its mark
            money(t[T["mae"]]), money(t[T["mfe"]]), money(t[T["max_loss"]]), REASON_NAMES[t[T["reason"]]],
            money(t[T["overshoot"]]) if REASON_NAMES[t[T["reason"]]] == "stop" and closed else "",
            kinds_text(t[T["kinds"]]), *part[:5], part[6],
        ]  # fmt: skip
        lines.append(",".join(fields))
    return lines


def fill_lines(result: BacktestResult, times: list[str]) -> list[str]:
    name, shares = contract_names(result), roots_by_style(result).get(PHYSICAL_PM, "")
    snap_row = np.asarray(result.store.columns["q_row"])
    lines = []
    for f in result.fills.tolist():
        event = f[F["event"]]
        quantity, mid2 = f[F["quantity"]], f[F["bid"]] + f[F["ask"]]
        is_money = event in MONEY_EVENTS
        is_shares = not is_money and f[F["contract"]] < 0
        shown = times[f[F["row"]]]
        snap = f[F["snap"]]
        contract = "" if is_money else (shares if is_shares else name(f[F["contract"]]))
        quote_time = times[int(snap_row[snap])] if 0 <= snap < len(snap_row) else shown
        fields = [
            shown, "" if f[F["trade"]] < 0 else str(f[F["trade"]]), EVENT_NAMES[event],
            contract, "buy" if quantity > 0 else "sell", str(abs(quantity)),
            "1" if is_money or is_shares else str(MULTIPLIER), half_cents(f[F["price2"]]),
            *(("", "", "") if is_money else (money(f[F["bid"]]), money(f[F["ask"]]), half_cents(mid2))),
            money(f[F["fee"]]), shown if is_money else quote_time, KIND_NAMES[f[F["kind"]]],
        ]  # fmt: skip
        lines.append(",".join(fields))
    return lines


def adjustment_lines(result: BacktestResult, times: list[str]) -> list[str]:
    """One line per part closed or side rolled; net in $/share, positive paid; the new strikes of a roll."""

    def strike(contract: int) -> str:
        return money(int(result.market.con[contract].strike)) if contract >= 0 else ""

    lines = []
    for a in result.adjustments.tolist():
        rolls = a[A["part"]] in (ROLL_PUT, ROLL_CALL)
        fields = [
            times[a[A["row"]]], times[a[A["decided"]]], str(a[A["trade"]]),
            str(result.trades[a[A["trade"]], T["campaign"]]), PART_NAMES[a[A["part"]]],
            REASON_NAMES[a[A["reason"]]], str(a[A["contracts"]]), money(a[A["net"]]),
            *(strike(a[A[name]]) if rolls else "" for name in ("new_short", "new_long")),
        ]  # fmt: skip
        lines.append(",".join(fields))
    return lines


def equity_file(result: BacktestResult, times: list[str]) -> bytes:
    """equity.csv: a row per bar of the run."""
    rows = result.ledger.rows
    columns = (rows[CASH], rows[MARKS], rows[CASH] + rows[MARKS], rows[DRAWDOWN], rows[LIQUIDATION], rows[MARGIN])
    shown = text_cells(times[result.first_row : result.last_row])
    return csv_bytes(EQUITY_COLUMNS, [shown, *map(money_cells, columns)])


def decision_lines(result: BacktestResult) -> list[str]:
    """How many bars of each month ended with each reason."""
    first, last = result.first_row, result.last_row
    months, month = np.unique([day_text(day)[:7] for day in result.market.ses.day.tolist()], return_inverse=True)
    counts = np.zeros((len(months), max(REASONS) + 1), np.int64)
    np.add.at(counts, (month[result.market.row.session[first:last]], result.ledger.codes[VERDICT]), 1)
    return [
        f"{months[i]},{REASONS[code][0]},{REASON_NAMES[code]},{n}"
        for i, of_month in enumerate(counts.tolist())
        for n, code in sorted(((n, code) for code, n in enumerate(of_month) if n), key=lambda item: (-item[0], item[1]))
    ]


def known_texts(result: BacktestResult) -> list[list[str]]:
    """Columns of trace.csv on what was known on each row of the run; an unknown number is empty."""
    cut = slice(result.first_row, result.last_row)
    signal, gate = signals_of(result)
    signal = signal[:, cut]
    columns = [regime_names(signal)]
    for name, form in TRACE_SIGNALS.items():
        values = signal[SIGNAL[name]]
        columns.append([format(v, form) if v == v else "" for v in values.tolist()])
    columns.append([REASON_NAMES[code] if code else "" for code in gate[GATE, cut].tolist()])
    columns.append(failing_texts(gates_of(result), cut))
    return [*columns, *strongest_texts(strengths_of(result), cut)]


def risk_texts(result: BacktestResult) -> list[list[str]]:
    """Columns of trace.csv on the book after each row: greeks (the hedge's shares too), delta in $, funds bound."""
    rows = np.arange(result.first_row, result.last_row)
    greeks = options_held(result, rows)[:, :4]
    greeks[:, 0] += shares_held(result, rows)
    columns = [*greeks.T, greeks[:, 0] * result.market.row.spot[rows], power_share(result)]
    forms = (".2f", ".3f", ".2f", ".2f", ".0f", ".4f")
    return [[format(v, f) if v == v else "" for v in c.tolist()] for c, f in zip(columns, forms, strict=True)]


def trace_lines(result: BacktestResult, times: list[str]) -> list[str]:
    spot = result.market.row.spot[result.first_row : result.last_row]
    verdict, soft = result.ledger.codes[VERDICT].tolist(), result.ledger.codes[SOFT].tolist()
    shown = times[result.first_row : result.last_row]
    known = map(",".join, zip(*known_texts(result), *risk_texts(result), strict=True))
    return [
        f"{time},{price:.2f},{REASONS[code][0]},{REASON_NAMES[code]},{flag},{more}"
        for time, price, code, flag, more in zip(shown, spot.tolist(), verdict, soft, known, strict=True)
    ]


def version_of(package: importlib.metadata.Distribution) -> str:
    """Its version; asking the package itself would read its whole metadata as a mail, with a description of pages."""
    head = re.search(r"^Version: *(\S+)", package.read_text("METADATA") or "", re.MULTILINE)
    return head[1] if head else package.version


def versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version_of(importlib.metadata.distribution(package))
        except importlib.metadata.PackageNotFoundError:
            found[package] = "absent"
    return found


def manifest_of(result: BacktestResult, run_id: str, started: dt.datetime, logged: int) -> dict[str, Any]:
    """Everything needed to repeat the run, and when it was made."""
    values, sources = result.config.values, result.config.sources
    return {
        "run_id": run_id,
        "started": started.isoformat(timespec="seconds"),
        "finished": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "settings": {path: {"value": values[path], "source": sources[path]} for path in values},
        "settings_hash": result.config.hash(),
        "market": result.store.name,
        "store_hash": result.store.hash,
        "quotes": result.store.manifest.get("quotes", "real"),
        "quote_kinds": sorted({KIND_NAMES[k] for k in np.unique(result.fills[:, F["kind"]]).tolist()}),
        "code_version": code_hash(),
        "versions": versions(),
        "seed": values["market.seed"],
        "logged_trials": logged,
    }


def reports_folder() -> Path:
    """Where run folders and the log of trials go: reports, or QMTF_REPORTS_DIR."""
    return Path(os.environ.get("QMTF_REPORTS_DIR", ROOT / "reports"))


def run_folder(out: str | None, command: str, settings_hash: str, started: dt.datetime) -> tuple[Path, str]:
    """(folder, run id). An existing folder is never written into."""
    run_id = f"{started:%Y%m%dT%H%M%SZ}-{command}-{settings_hash[:6]}"
    base = Path(out) if out is not None else reports_folder() / run_id
    folder = base
    try:
        for attempt in range(1, 100):
            if out is not None and folder.exists() and any(folder.iterdir()):
                raise ConfigError(f"--out {folder} already holds files; give a new folder")
            if out is not None or not folder.exists():
                folder.mkdir(parents=True, exist_ok=True)
                return folder, folder.name if out is None else run_id
            folder = base.with_name(f"{base.name}.{attempt}")
    except OSError as error:
        words = f"{folder}: cannot be written ({error.strerror or error})"
        raise DataError(words) if out is None else ConfigError(f"--out {words}") from None
    raise DataError(f"{base}: too many runs with one name in one second")


@contextmanager
def fresh_folder(out: str | None, command: str, settings_hash: str, started: dt.datetime) -> Iterator[tuple[Path, str]]:
    """run_folder, refused before the work begins; one that was made and stays empty is taken away again."""
    made = out is None or not Path(out).exists()
    folder, run_id = run_folder(out, command, settings_hash, started)
    try:
        yield folder, run_id
    finally:
        if made and not any(folder.iterdir()):
            folder.rmdir()


def write_run(folder: Path, result: BacktestResult, measured: Measured, manifest: dict[str, Any], trace: bool) -> None:
    """All files of a run but its pictures."""
    times = row_times(result)
    write_csv(folder / "trades.csv", TRADE_COLUMNS, trade_lines(result, measured.parts, times))
    write_csv(folder / "adjustments.csv", ADJUSTMENT_COLUMNS, adjustment_lines(result, times))
    write_csv(folder / "fills.csv", FILL_COLUMNS, fill_lines(result, times))
    (folder / "equity.csv").write_bytes(equity_file(result, times))
    write_csv(folder / "decisions.csv", ("month", "verdict", "reason", "bars"), decision_lines(result))
    if trace:
        write_csv(folder / "trace.csv", TRACE_COLUMNS, trace_lines(result, times))
    for name, value in (("metrics.json", measured.metrics), ("manifest.json", manifest)):
        (folder / name).write_text(json.dumps(value, indent=1, allow_nan=False) + "\n", encoding="utf-8")
