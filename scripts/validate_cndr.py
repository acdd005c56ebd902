"""Replays the Cboe S&P 500 Iron Condor Index (CNDR) through the backtest engine and says how near it comes.

    python scripts/validate_cndr.py --data ../shared/data [--index FILE] [--start D] [--end D] [--full] [--json]

At 11:00 New York on each monthly expiry day (third Friday) a one-month condor is sold at the bid and bought at the
ask: short the strikes nearest 0.20 delta, long those nearest 0.05. It is held to the special opening quotation of the
next one. Ten times the wider wing lies in Treasury bills, so a roll earns (credit - payoff) / (10 x wing) + bills. The
`cndr` preset decides at 10:55 and the engine fills at 11:00. Option prices are MODELLED from VIX; nothing was fitted
on the index.

Both levels are taken at closes, so the new condor is in both at its mid: like is compared with like. A condor given
away for nothing (the null) correlates with the index as well, for the index's own moves make the payoff and the payoff
makes the correlation. It is the level that tests the prices, and there the null must fail. `--full` trades the same
rolls by the full strategy as well (scripts/cndr_full.py).
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

PROJECT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(PROJECT))

from core.config import load  # noqa: E402
from core.errors import ConfigError, DataError, QuantorError  # noqa: E402
from core.market.calendar import Sessions, day_number, day_text, sessions_between  # noqa: E402
from core.market.daily_model import (  # noqa: E402
    ROWS,
    DailyFiles,
    DailySeries,
    daily_series,
    known_days,
    read_by_day,
    read_daily_files,
    third_fridays,
    write_daily_model,
)
from core.types import CASH, EVENT_FILL, EVENT_INTEREST, MARKS, REASON_NAMES, VERDICT, F, T  # noqa: E402

INDEX_FILE = "cndr_daily_2018_2024.csv"
COLLATERAL_WINGS = 10
PERIODS_PER_YEAR = 12
FEWEST_PERIODS = 6
CALENDAR_REACH = 90  # calendar days beyond the last roll: the condor sold there has an expiry
# Settings beside the preset: entries at 10:55 alone, one condor against cash that dwarfs it, bills, no fees.
SETTINGS = (
    "strategy.entry.window_start=10:50",
    "strategy.entry.window_end=10:59",
    "strategy.size.contracts=1",
    "costs.fill=natural",
    "costs.fees=none",
    "account.cash_yield=tbill",
    "account.starting_cash=1000000000",
)
FIGURES = {  # name: lowest, highest, text
    "correlation": (0.97, 1.0, "correlation of returns"),
    "beta": (0.93, 1.07, "beta: the model on the index"),
    "mean_difference": (-0.015, 0.015, "mean difference per year"),
    "rmse": (0.0, 0.0045, "root mean square difference"),
    "credit_ratio": (0.90, 1.10, "credit yield, model / index"),
    "daily_correlation": (0.94, 1.0, "correlation of daily marks"),
}
LEVEL = ("mean_difference", "credit_ratio")  # a condor sold for nothing must miss these


class Index(NamedTuple):
    """Published levels by day number; monthly where they stand at month-ends."""

    name: str
    day: Any
    level: Any
    monthly: bool


def read_index(path: Path) -> Index:
    table = read_by_day(path, ("cndr",))["cndr"].dropna()
    if len(table) < 2 or not (table > 0).all():
        raise DataError(f"{path}: {len(table)} levels, lowest {table.min():g}; give at least two, all above 0")
    days = table.index.to_numpy()
    return Index(path.name, days, table.to_numpy(), bool(np.median(np.diff(days)) > 20))


class Roll(NamedTuple):
    """One condor from its sale to its settlement; prices in index points, long put to long call."""

    sold: int
    settled: int
    spot: float
    vix: float
    strikes: tuple[float, ...]
    prices: tuple[float, ...]
    credit: float
    settlement: float
    payoff: float
    collateral: float
    bills: float  # share earned from 11:00 to 11:00


class Replay(NamedTuple):
    """The modelled index: its rolls, and its level at each close with the credits and without them."""

    rolls: list[Roll]
    day: Any
    level: Any
    null: Any
    series: DailySeries


# ---------------------------------------------------------------- the replay


def span(index: Index, files: DailyFiles, start: str | None, end: str | None) -> tuple[int, int]:
    """First and last day to compare; a DataError where index or market files do not reach."""
    bounds = []
    for name, value, side in (("--start", start, 0), ("--end", end, -1)):
        limits = {index.name: (int(index.day[0]), int(index.day[-1])), "the market files": known_days(files)}
        for what, (low, high) in limits.items():
            if value is not None and not low <= day_number(value) <= high:
                inside = f"{day_text(low)} to {day_text(high)}"
                raise DataError(f"{name} is {value}, outside {what} ({inside}); choose a date inside")
        default = max(low for low, _ in limits.values()) if side == 0 else min(high for _, high in limits.values())
        bounds.append(default if value is None else day_number(value))
    if bounds[0] > bounds[1]:
        raise DataError(f"nothing to compare: the span would begin {day_text(bounds[0])} and end {day_text(bounds[1])}")
    return bounds[0], bounds[1]


def replay(files: DailyFiles, first_day: int, last_day: int, folder: Path) -> Replay:
    """Sell, hold and settle every condor of the span in the engine, and compound what they earned."""
    from backtest_engine import run
    from core.market.modelled import read_shape

    calendar = sessions_between(first_day - 10, last_day + CALENDAR_REACH)
    roll_days = third_fridays(calendar, first_day, last_day)
    if len(roll_days) <= FEWEST_PERIODS:
        raise DataError(
            f"{len(roll_days)} monthly expiries from {day_text(first_day)} to {day_text(last_day)}; "
            f"give a span with at least {FEWEST_PERIODS + 1}"
        )
    calendar = Sessions(*(column[calendar.day >= roll_days[0]] for column in calendar))
    days = calendar.day[calendar.day <= roll_days[-1]]
    series = daily_series(files, days)
    store = write_daily_model(folder / "cndr", "cndr", calendar, series, read_shape())
    result = run(store, load(preset="cndr", sets=SETTINGS, user_file=folder / "no-user-settings.py"))
    check_rolls(result, roll_days, days)
    rolls, level, null = compounded(result, days)
    return Replay(rolls, days, level, null, series)


def check_rolls(result: Any, roll_days: Any, days: Any) -> None:
    """One condor sold on every roll day and on no other, each settled on the next roll day."""
    sold = days[result.trades[:, T["opened"]] // ROWS]
    missing = np.setdiff1d(roll_days, sold)
    if len(missing):
        row = ROWS * int(np.searchsorted(days, missing[0]))
        why = REASON_NAMES[int(result.ledger.codes[VERDICT, row])]
        raise DataError(f"no condor could be sold on {day_text(missing[0])} ({why}); choose a span without that day")
    settled = days[result.trades[:-1, T["closed"]] // ROWS]
    if len(sold) != len(roll_days) or (settled != roll_days[1:]).any():
        raise DataError("condors were sold or settled off the roll days: the engine did not follow the index's rules")


def bill_growth(result: Any) -> Any:
    """Growth of $1 in bills by row, from the interest that the engine paid on cash."""
    cash = result.ledger.rows[CASH].astype(np.float64)
    growth = np.ones(len(cash))
    for fill in result.fills[result.fills[:, F["event"]] == EVENT_INTEREST]:
        received = -fill[F["quantity"]] * fill[F["price2"]] / 2.0  # cents; an amount of money has no multiplier
        growth[fill[F["row"]]] += received / cash[fill[F["row"]] - 1]
    return np.cumprod(growth)


def compounded(result: Any, days: Any) -> tuple[list[Roll], Any, Any]:
    """(rolls, level, null) at the closes: a condor has gained its credit less its mid. Cents per contract."""
    growth, marks = bill_growth(result), result.ledger.rows[MARKS]
    levels = np.empty((2, len(days)))  # with the credit, without it
    base = np.ones(2)
    rolls = []
    for number, trade in enumerate(result.trades):
        opened, closed = int(trade[T["opened"]]), int(trade[T["closed"]])
        end = closed if closed >= 0 else len(growth)
        collateral = 100.0 * COLLATERAL_WINGS * float(trade[T["width"]])
        received = np.array([100.0 * float(trade[T["credit"]]), 0.0])
        rows = np.arange(opened + 1, end, ROWS)
        gain = (received[:, None] + marks[rows]) / collateral
        levels[:, rows // ROWS] = base[:, None] * (growth[rows] / growth[opened] + gain)
        if closed >= 0:
            rolls.append(roll_of(result, days, number, growth[closed] / growth[opened] - 1.0))
            base *= 1.0 + rolls[-1].bills + (received - 100.0 * float(trade[T["debit"]])) / collateral
    return rolls, levels[0], levels[1]


def roll_of(result: Any, days: Any, number: int, bills: float) -> Roll:
    """A settled trade in index points."""
    trade, market = result.trades[number], result.market
    opened, closed = int(trade[T["opened"]]), int(trade[T["closed"]])
    fills = result.fills[(result.fills[:, F["trade"]] == number) & (result.fills[:, F["event"]] == EVENT_FILL)]
    fills = fills[np.argsort(fills[:, F["leg"]])]
    return Roll(
        sold=int(days[opened // ROWS]),
        settled=int(days[closed // ROWS]),
        spot=float(market.row.spot[opened]),
        vix=float(result.store.columns["vix"][opened]),
        strikes=tuple(float(market.con.strike[c]) / 100.0 for c in fills[:, F["contract"]]),
        prices=tuple(float(p) / 200.0 for p in fills[:, F["price2"]]),
        credit=float(trade[T["credit"]]) / 100.0,
        settlement=float(market.ses.open[closed // ROWS]),
        payoff=float(trade[T["debit"]]) / 100.0,
        collateral=COLLATERAL_WINGS * float(trade[T["width"]]) / 100.0,
        bills=bills,
    )


# ---------------------------------------------------------------- the comparison


class Paired(NamedTuple):
    """Returns of the index, the model and the null between common closes; `day` holds the closes."""

    day: Any
    index: Any
    model: Any
    null: Any


def paired(index: Index, rep: Replay, days: Any) -> Paired:
    """Returns between days on which both have a level."""
    at, ours = np.searchsorted(index.day, days), np.searchsorted(rep.day, days)
    return Paired(days, *(v[1:] / v[:-1] - 1.0 for v in (index.level[at], rep.level[ours], rep.null[ours])))


def compared_days(index: Index, rep: Replay) -> Any:
    """Where the periods meet: month-ends, or roll days; where one has no index level, the next session that has."""
    common = np.intersect1d(index.day, rep.day)
    if index.monthly:
        return common
    roll_days = np.array([roll.sold for roll in rep.rolls] + [rep.rolls[-1].settled])
    at = np.searchsorted(common, roll_days)
    return common[at[at < len(common)]]


def likeness(model: Any, index: Any) -> dict[str, float]:
    """Correlation, beta, mean difference per year and rmse of one series of returns against the index's."""
    correlation = float(np.corrcoef(model, index)[0, 1])
    slope = correlation * float(model.std() / index.std())
    return {
        "correlation": correlation,
        "beta": slope,
        "beta_standard_error": slope * float(np.sqrt((correlation**-2 - 1.0) / max(len(index) - 2, 1))),
        "beta_of_index_on_model": correlation**2 / slope,
        "mean_difference": float((model - index).mean()) * PERIODS_PER_YEAR,
        "rmse": float(np.sqrt(((model - index) ** 2).mean())),
    }


def compare(index: Index, rep: Replay) -> dict[str, Any]:
    """Every figure, and the null's. Against month-ends there is no credit ratio and no daily correlation."""
    periods = paired(index, rep, compared_days(index, rep))
    figures: dict[str, Any] = likeness(periods.model, periods.index)
    null: dict[str, Any] = likeness(periods.null, periods.index)
    figures.update(credit_ratio=None, daily_correlation=None, periods=len(periods.index))
    null["credit_ratio"] = None
    if not index.monthly:
        rolls = rep.rolls[: len(periods.index)]
        kept = np.array([roll.payoff == 0.0 for roll in rolls])
        if kept.any():
            earned = np.array([roll.credit / roll.collateral for roll in rolls])[kept].mean()
            implied = (periods.index - np.array([roll.bills for roll in rolls]))[kept].mean()
            figures["credit_ratio"], null["credit_ratio"] = float(earned / implied), 0.0
        daily = paired(index, rep, np.intersect1d(index.day, rep.day))
        next_session = np.diff(np.searchsorted(rep.day, daily.day)) == 1
        figures["daily_correlation"] = float(np.corrcoef(daily.model[next_session], daily.index[next_session])[0, 1])
    figures["null"] = null
    figures["start"], figures["end"] = day_text(periods.day[0]), day_text(periods.day[-1])
    return figures


def verdicts(figures: dict[str, Any]) -> dict[str, bool]:
    """Pass or fail of every figure that could be computed, and whether the null fails on the level."""

    def inside(name: str, value: float) -> bool:
        low, high, _ = FIGURES[name]
        return low <= value <= high

    checks = {name: inside(name, figures[name]) for name in FIGURES if figures[name] is not None}
    level = [inside(name, figures["null"][name]) for name in LEVEL if figures["null"][name] is not None]
    return {**checks, "null_fails_the_level": not any(level)}


def notes_on(index: Index, rep: Replay, last_day: int) -> list[str]:
    """What a reader must know to trust the figures as far as they go."""
    roll_days = [roll.sold for roll in rep.rolls] + [rep.rolls[-1].settled]
    seen = int(rep.series.seen_11[np.searchsorted(rep.day, roll_days[:-1])].sum())
    notes = [
        "MODELLED quotes from VIX and VIX3M on a surface fitted to option chains; nothing is fitted on the index",
        f"the spot at 11:00 is an intraday price on {seen} of {len(rep.rolls)} roll days and a proxy on the others",
        "the opening quotation is a proxy: the previous close moved by SPY's overnight return, dividend added back",
        f"stops at the last complete roll: sold {day_text(rep.rolls[-1].sold)}, settled {day_text(roll_days[-1])}",
    ]
    if roll_days[-1] < last_day:
        notes.append(f"the levels from {day_text(roll_days[-1] + 1)} to {day_text(last_day)} are not used")
    unknown = int(np.isnan(rep.series.vix3m).sum())
    if unknown:
        notes.append(f"VIX3M is missing on {unknown} of {len(rep.day)} sessions and ESTIMATED from VIX there")
    if index.monthly:
        notes.append("month-end levels: periods are months; no credit ratio and no daily correlation can be had")
    else:
        moved = [day_text(day) for day in roll_days if day not in index.day]
        if moved:
            notes.append(
                f"no index level on roll day {', '.join(moved)}: both are compared on the next session with one"
            )
    return notes


# ---------------------------------------------------------------- showing


def show(figures: dict[str, Any], index: Index, rep: Replay) -> None:
    """The table, the notes, and three rolls that a sceptic can work out by hand."""
    print(f"CNDR replay {figures['start']} to {figures['end']}, {figures['periods']} periods ({index.name})\n")
    print(f"{'':30}{'model':>10}   {'required':18}{'':6}{'null: no credit':>16}")
    for name, (low, high, text) in FIGURES.items():
        value, null = figures[name], figures["null"].get(name)
        if value is None:
            print(f"{text:30}{'-':>10}   not measurable here")
            continue
        verdict = "PASS" if figures["checks"][name] else "FAIL"
        print(
            f"{text:30}{value:10.4f}   {f'{low:g} to {high:g}':18}{verdict:6}{'' if null is None else f'{null:16.4f}'}"
        )
    fails = "PASS" if figures["checks"]["null_fails_the_level"] else "FAIL"
    print(f"{'the null fails on the level':30}{'':10}   {'':18}{fails}")
    print(
        f"beta has a standard error of {figures['beta_standard_error']:.3f}; "
        f"the index on the model has {figures['beta_of_index_on_model']:.3f}\n"
    )
    for note in figures["notes"]:
        print(f"- {note}")
    if not index.monthly:
        show_rolls(index, rep)


def show_rolls(index: Index, rep: Replay) -> None:
    """The first roll, the worst, and the one farthest from the index."""
    periods = paired(index, rep, compared_days(index, rep))
    picks = [0, int(np.argmin(periods.model)), int(np.argmax(np.abs(periods.model - periods.index)))]
    for title, k in zip(("the first roll", "the worst roll", "the farthest from the index"), picks, strict=True):
        roll = rep.rolls[k]
        own = (roll.credit - roll.payoff) / roll.collateral
        legs = zip("+--+", "PPCC", roll.strikes, roll.prices, strict=True)
        print(f"\n{title}: sold {day_text(roll.sold)} 11:00, S&P 500 {roll.spot:.2f}, VIX {roll.vix:.2f}")
        print("  legs        " + "  ".join(f"{sign}{right}{strike:g} at {p:.2f}" for sign, right, strike, p in legs))
        print(f"  credit      {roll.credit:.2f}; collateral {roll.collateral:.0f} = 10 x the wider wing")
        print(f"  settled     {day_text(roll.settled)} at {roll.settlement:.2f}: payoff {roll.payoff:.2f}")
        print(f"  11:00-11:00 {own:+.4%} + bills {roll.bills:.4%} = {own + roll.bills:+.4%}")
        print(f"  close-close {periods.model[k]:+.4%} with both days' new condor at its closing mid")
        print(
            f"  the index   {periods.index[k]:+.4%} from {day_text(periods.day[k])} to {day_text(periods.day[k + 1])}"
        )


class Parser(argparse.ArgumentParser):
    """argparse whose mistakes are ConfigErrors, so that every error looks and exits the same way."""

    def error(self, message: str) -> Any:
        raise ConfigError(f"{message} (see --help)")


def parsed(arguments: list[str]) -> argparse.Namespace:
    parser = Parser(
        description=(__doc__ or "").split("\n\n")[0],
        epilog="example: python scripts/validate_cndr.py --data ../shared/data --start 2020-01-01",
    )
    parser.add_argument("--data", metavar="DIR", type=Path, required=True, help="folder of the daily market files")
    parser.add_argument("--index", metavar="FILE", type=Path, help=f"date and cndr columns (default DIR/{INDEX_FILE})")
    parser.add_argument("--start", metavar="D", help="first date, inclusive (default: all that the files hold)")
    parser.add_argument("--end", metavar="D", help="last date, inclusive")
    parser.add_argument("--full", action="store_true", help="also trade the rolls by the full strategy, and compare")
    parser.add_argument("--json", action="store_true", help="the result alone on stdout, as one JSON object")
    parser.add_argument("--strict", action="store_true", help="exit with 1 if a check fails")
    options = parser.parse_args(arguments)
    for name in ("start", "end"):
        try:
            value = getattr(options, name)
            setattr(options, name, value and dt.date.fromisoformat(value).isoformat())
        except ValueError:
            raise ConfigError(f"--{name} is {value!r}; give a date such as 2018-02-05") from None
    return options


def validate(arguments: list[str]) -> int:
    options = parsed(arguments)
    files = read_daily_files(options.data)
    index = read_index(options.index or options.data / INDEX_FILE)
    first_day, last_day = span(index, files, options.start, options.end)
    with tempfile.TemporaryDirectory() as folder:
        rep = replay(files, first_day, last_day, Path(folder))
        beside = None
        if options.full:
            from scripts import cndr_full

            beside = cndr_full.beside(files, rep.rolls, SETTINGS, COLLATERAL_WINGS, Path(folder))
    figures = compare(index, rep)
    figures["checks"] = verdicts(figures)
    figures["notes"] = notes_on(index, rep, last_day)
    if beside is not None:
        figures["full"] = beside
    if options.json:
        print(json.dumps(figures, indent=1, allow_nan=False))
    else:
        show(figures, index, rep)
        if beside is not None:
            print("\n" + "\n".join(cndr_full.lines_of(beside)))
    return int(options.strict and not all(figures["checks"].values()))


def main(arguments: list[str]) -> int:
    try:
        return validate(arguments)
    except QuantorError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
