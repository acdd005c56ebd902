"""The rolls of the iron condor index traded by the full strategy, beside the mechanical ones.

Every roll is a run of its own from its sale to its settlement: the structure of preset `cndr` behind the signals,
filters, sizes, exits and management of preset `mtfuzz`, as far as they act on three rows a session. It may be sold on
its own day alone, or not at all. A roll earns

    share x P&L / (10 x the wider wing) + bills,     share = contracts over those that the whole budget would buy

so that share 1, held to settlement, is the index's own roll. Nothing here is fitted on rolls or index. The first 60 %
of the rolls are called in sample; the others are out of sample if the preset was chosen without them.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from core.config import Config, load, members
from core.market.calendar import Sessions, day_text, sessions_between
from core.market.daily_model import (
    LEAST_VIX_OPEN,
    ROWS,
    DailyFiles,
    DailySeries,
    daily_series,
    known_days,
    write_daily_model,
)
from core.market.store import Store
from core.metrics import cagr, cumulative_return, effective_trades, psr, sharpe
from core.report.twin import IN_SAMPLE, SWITCHES, layer, verdict
from core.settings import BY_PATH
from core.types import MULTIPLIER, REASONS, SIGNAL, VERDICT, Reason, T
from strategies.events import read_events

PRESET = "mtfuzz"
ROLLS_A_YEAR = 12
WARM_DAYS = 420  # calendar days of signals before the first roll: a year of sessions for the IV percentile, and more
CALENDAR_REACH = 90  # beyond the last settlement
DRAWS, MEAN_BLOCK, SEED = 2000, 3, 20
FEWEST_ROLLS = 4 * MEAN_BLOCK
MOST_CONTRACTS = 10_000  # so many that the budget alone decides the size
EVENTS = "strategy.filters.avoid_events"
BARS = "needs five-minute bars; there are three rows a session"
# Settings of the preset that this market cannot follow, and why.
CANNOT_ACT = {
    "strategy.filters.consensus_min": BARS,
    "strategy.filters.consensus_max": BARS,
    "strategy.filters.stretch_max": BARS,
    "strategy.entry.expiry_rule": "one monthly expiry is listed: there is nothing to choose",
    "strategy.exits.stop_scale": "the index has no stop to scale",
}
# Settings that this market needs otherwise than the preset has them, and why.
INSTEAD = {
    "strategy.signals.regime_distance": (0.2, "without 60-minute bars no trend is confirmed: VIX and its term decide"),
    "strategy.filters.breach_model": ("local_vol", "the market has a surface on every row: the breach under its skew"),
}
ALSO = ("strategy.entry.min_credit_vs_median",)  # what credit_iv_scale scales


class Sold(NamedTuple):
    """What became of each roll, one element each. share 0: not sold."""

    share: Any  # of the whole size, 0 to 1
    earned: Any  # P&L over collateral, of one whole size
    ended: Any  # day on which it was settled or closed
    verdict: list[int]  # Reason on the row that decided
    left: list[int]  # Reason of the close
    sides_rolled: int
    confidence: Any  # fuzzy, at the decision; NaN where no rule reads signals


# ---------------------------------------------------------------- the settings


def preset_values() -> Config:
    return load(preset=PRESET, user_file=Path("no-user-settings.py"))


def cannot_act(rolls: Sequence[Any]) -> dict[str, str]:
    """Settings that the market of these rolls cannot follow, with the reason."""
    first, last = rolls[0].sold - WARM_DAYS, rolls[-1].settled
    unlisted = [kind for kind in members(preset_values().values, EVENTS) if not listed_over(kind, first, last)]
    return {**CANNOT_ACT, **({EVENTS: f"the days of {', '.join(unlisted)} are not all listed"} if unlisted else {})}


def listed_over(kind: str, first: int, last: int) -> bool:
    """Whether every event of a kind is listed from one day to another."""
    events = read_events(kind)
    return events.first <= first and last <= events.last


def full_values(rolls: Sequence[Any]) -> dict[str, Any]:
    """Values by path that make preset `cndr` the full strategy on these rolls."""
    preset, silent = preset_values(), cannot_act(rolls)
    values = {path: preset[path] for path in (*layer(), *ALSO) if path not in silent}
    return {**values, **{path: value for path, (value, _) in INSTEAD.items()}}


def on(values: Mapping[str, Any]) -> list[str]:
    """The switches of the intelligent layer that are not at their defaults."""
    return [path for path in SWITCHES if path in values and values[path] != BY_PATH[path].default]


# ---------------------------------------------------------------- the market


def known_at_the_opening(series: DailySeries, files: DailyFiles, days: Any) -> DailySeries:
    """The same days with the opening's spot and VIX at 11:00 wherever no intraday bar tells them."""
    before = np.r_[np.nan, series.vix[:-1]]
    opening = files.vol["vix_open"].reindex(days).to_numpy()
    opening = np.where(opening > LEAST_VIX_OPEN * before, opening, before)
    opening[0] = series.vix_11[0]
    seen = files.vix_11.reindex(days).to_numpy()
    return series._replace(
        spot_11=np.where(series.seen_11, series.spot_11, series.spot_open),
        vix_11=np.where(np.isnan(seen), opening, seen),
    )


def warm_store(files: DailyFiles, rolls: Sequence[Any], folder: Path, name: str, opening: bool) -> Store:
    """The market of the rolls, with the sessions before them that signals need. opening : see known_at_the_opening."""
    from core.market.modelled import read_shape

    first = max(known_days(files)[0], rolls[0].sold - WARM_DAYS)
    calendar = sessions_between(first - 10, rolls[-1].settled + CALENDAR_REACH)
    calendar = Sessions(*(column[calendar.day >= first] for column in calendar))
    days = calendar.day[calendar.day <= rolls[-1].settled]
    series = daily_series(files, days)
    if opening:
        series = known_at_the_opening(series, files, days)
    return write_daily_model(folder / name, name, calendar, series, read_shape())


# ---------------------------------------------------------------- the rolls


def roll_config(config: Config, roll: Any) -> Config:
    """Settings under which this roll alone can be sold: no other day is so far from the expiry."""
    dte = roll.settled - roll.sold
    return config.with_values(
        "the roll",
        market__start=day_text(roll.sold),
        market__end=day_text(roll.settled),
        **{f"strategy__entry__dte_{name}": int(dte) for name in ("min", "max", "target")},
    )


def whole_size(result: Any, trade: Any) -> int:
    """Contracts that the whole risk budget would have bought at the credit that was paid."""
    equity = int(result.equity[int(trade[T["decided"]]) - result.first_row])
    budget = math.floor(result.rules.max_risk_frac * equity)
    risk = int(trade[T["width"]] - trade[T["credit"]]) * MULTIPLIER
    return min(result.rules.contracts, budget // risk)


def trade_rolls(store: Store, config: Config, rolls: Sequence[Any], wings: int) -> Sold:
    """Run every roll on its own. wings : collateral in wider wings."""
    from backtest_engine import run

    share, earned, confidence = (np.zeros(len(rolls)) for _ in range(3))
    ended = np.array([roll.settled for roll in rolls])
    verdicts, left, sides = [], [], 0
    for k, roll in enumerate(rolls):
        result = run(store, roll_config(config, roll))
        signal = result.market.signal
        confidence[k] = signal[SIGNAL["confidence"], result.first_row] if signal.shape[1] else np.nan
        # The day of the settlement may be as far from the next expiry: what is sold there is the next roll.
        trades = result.trades[result.trades[:, T["opened"]] < result.first_row + ROWS]
        if len(trades) == 0:
            first, second = (int(code) for code in result.ledger.codes[VERDICT, :2])
            verdicts.append(second if first == Reason.ENTER else first)
            left.append(Reason.NONE)
            continue
        trade = trades[0]
        contracts = int(trade[T["contracts"]])
        share[k] = contracts / whole_size(result, trade)
        earned[k] = float(trade[T["pnl"]]) / (contracts * MULTIPLIER * wings * float(trade[T["width"]]))
        ended[k] = int(result.market.ses.day[result.market.row.session[int(trade[T["closed"]])]])
        sides += len(result.adjustments)
        verdicts.append(Reason.ENTER)
        left.append(int(trade[T["reason"]]))
    return Sold(share, earned, ended, verdicts, left, sides, confidence)


def as_sold(rolls: Sequence[Any]) -> Sold:
    """The index's own rolls: each sold whole and held to settlement."""
    count = len(rolls)
    earned = np.array([(roll.credit - roll.payoff) / roll.collateral for roll in rolls])
    settled = np.array([roll.settled for roll in rolls])
    unread = np.full(count, np.nan)
    return Sold(np.ones(count), earned, settled, [Reason.ENTER] * count, [Reason.SETTLED] * count, 0, unread)


# ---------------------------------------------------------------- the comparison


def returns_of(sold: Sold, bills: Any) -> Any:
    return sold.share * sold.earned + bills


def part_figures(sold: Sold, bills: Any, days: Any, part: slice) -> dict[str, Any]:
    """One way to trade the rolls of a part. Independent results are counted among the rolls sold."""
    returns, cash = returns_of(sold, bills)[part], bills[part]
    done = sold.share[part] > 0.0
    results = (sold.share * sold.earned)[part][done]
    return {
        "annual_return": cagr(cumulative_return(returns), len(returns), ROLLS_A_YEAR),
        "sharpe": sharpe(returns, cash, ROLLS_A_YEAR),
        "psr": psr(returns, cash),
        "rolls": len(returns),
        "sold": int(done.sum()),
        "mean_share": float(sold.share[part][done].mean()) if done.any() else None,
        "effective_trades": effective_trades(results, days[part][done], sold.ended[part][done]),
        "worst_roll": float(returns.min()),
    }


def difference(full: Any, mechanical: Any, bills: Any) -> dict[str, Any]:
    """Full less mechanical: mean simple return a year and Sharpe, each with the 95 % interval of a block bootstrap.

    One value a roll; stationary blocks of 3 rolls on average (Politis and Romano 1994), 2,000 seeded draws.
    """
    if len(full) < FEWEST_ROLLS:
        return dict.fromkeys(("annual_return", "low", "high", "sharpe", "sharpe_low", "sharpe_high"))
    from arch.bootstrap import StationaryBootstrap

    def both(a: Any, b: Any, cash: Any) -> tuple[float, float]:
        ratios = (sharpe(a, cash, ROLLS_A_YEAR), sharpe(b, cash, ROLLS_A_YEAR))
        unlike = math.nan if None in ratios else ratios[0] - ratios[1]  # type: ignore[operator]
        return ROLLS_A_YEAR * float((a - b).mean()), unlike

    table = np.column_stack([full, mechanical, bills])
    drawn = StationaryBootstrap(MEAN_BLOCK, table, seed=SEED).bootstrap(DRAWS)
    found = np.array([both(*data[0].T) for data, _ in drawn])
    (low, ratio_low), (high, ratio_high) = np.nanquantile(found, (0.025, 0.975), axis=0).tolist()
    mean, ratio = both(full, mechanical, bills)
    names = ("annual_return", "low", "high", "sharpe", "sharpe_low", "sharpe_high")
    values = (mean, low, high, ratio, ratio_low, ratio_high)
    return {name: value if math.isfinite(value) else None for name, value in zip(names, values, strict=True)}


def counted(codes: Sequence[int], but: int) -> dict[str, int]:
    """Words of reasons by how often they stand, without one of them."""
    counts = Counter(code for code in codes if code not in (but, Reason.NONE))
    return {REASONS[code][1]: number for code, number in counts.most_common()}


class Ways(NamedTuple):
    """The rolls traded both ways, and both ways again on what was known at the opening."""

    full: Sold
    mechanical: Sold
    opening_full: Sold
    opening_mechanical: Sold


def both_ways(files: DailyFiles, rolls: Sequence[Any], settings: Sequence[str], wings: int, folder: Path) -> Ways:
    """Trade the rolls; the mechanical ones of the proxies' market are those that were given."""
    mechanical = load(preset="cndr", sets=settings, user_file=folder / "no-user-settings.py")
    mechanical = mechanical.with_values("size", strategy__size__contracts=MOST_CONTRACTS)
    full = mechanical.with_values(PRESET, **{path.replace(".", "__"): v for path, v in full_values(rolls).items()})
    proxies, opening = (warm_store(files, rolls, folder, name, name == "opening") for name in ("proxies", "opening"))
    return Ways(
        trade_rolls(proxies, full, rolls, wings),
        as_sold(rolls),
        trade_rolls(opening, full, rolls, wings),
        trade_rolls(opening, mechanical, rolls, wings),
    )


def compared(ways: Ways, rolls: Sequence[Any], part: slice) -> dict[str, Any] | None:
    """Both ways over a part of the rolls; None where it is empty."""
    if len(rolls[part]) == 0:
        return None
    bills = np.array([roll.bills for roll in rolls])
    days = np.array([roll.sold for roll in rolls], np.int32)
    full = part_figures(ways.full, bills, days, part)
    full["skipped"] = counted(ways.full.verdict[part], Reason.ENTER)
    full["left_early"] = counted(ways.full.left[part], Reason.SETTLED)
    returns = [returns_of(way, bills)[part] for way in ways]
    return {
        "start": day_text(int(days[part][0])),
        "end": day_text(int(rolls[part][-1].settled)),
        "mechanical": part_figures(ways.mechanical, bills, days, part),
        "full": full,
        "difference": difference(*returns[:2], bills[part]),
        "difference_at_the_opening": difference(*returns[2:], bills[part]),
    }


def beside(
    files: DailyFiles, rolls: Sequence[Any], settings: Sequence[str], wings: int, folder: Path
) -> dict[str, Any]:
    """The comparison: both ways in and out of sample, what acts and what does not.

    rolls : the mechanical rolls that were settled; settings : those under which they were traded, path=value
    wings : collateral in wider wings; folder : for markets
    """
    values = full_values(rolls)
    ways = both_ways(files, rolls, settings, wings, folder)
    cut = max(1, round(IN_SAMPLE * len(rolls)))
    out = compared(ways, rolls, slice(cut, len(rolls)))
    known = out is not None and out["difference"]["low"] is not None
    return {
        "preset": PRESET,
        "acting": {path: values[path] for path in on(values)},
        "instead": {path: {"value": given, "why": why} for path, (given, why) in INSTEAD.items()},
        "not_acting": {path: why for path, why in cannot_act(rolls).items() if path in on(preset_values().values)},
        "mean_confidence": float(ways.full.confidence.mean()),
        "sides_rolled": ways.full.sides_rolled,
        "in_sample": compared(ways, rolls, slice(0, cut)),
        "out_of_sample": out,
        "verdict": verdict(out) if known else f"no verdict: fewer than {FEWEST_ROLLS} rolls out of sample",
    }


# ---------------------------------------------------------------- showing

FIGURES = (
    ("annual_return", "return a year", "+.2%"),
    ("sharpe", "Sharpe", "+.2f"),
    ("psr", "P(Sharpe > 0)", ".1%"),
    ("sold", "rolls sold", "d"),
    ("mean_share", "mean size of those", ".1%"),
    ("effective_trades", "independent results", ".1f"),
    ("worst_roll", "worst roll", "+.2%"),
)
RETURN, RATIO = ("annual_return", "low", "high"), ("sharpe", "sharpe_low", "sharpe_high")
DIFFERENCES = (
    ("difference", RETURN, "difference a year", "+.2%"),
    ("difference", RATIO, "difference in Sharpe", "+.2f"),
    ("difference_at_the_opening", RETURN, "  from opening values", "+.2%"),
)
PARTS = (("in_sample", "in sample"), ("out_of_sample", "out of sample"))


def shown(value: float | None, form: str) -> str:
    return "n/a" if value is None else format(value, form)


def interval(part: dict[str, Any], keys: Sequence[str], form: str) -> str:
    mean, low, high = (part[key] for key in keys)
    if mean is None or low is None:
        return f"n/a: fewer than {FEWEST_ROLLS} rolls"
    return f"{mean:{form}} ({low:{form}} to {high:{form}})"


def listed(counts: dict[str, int]) -> str:
    return "; ".join(f"{number} {words}" for words, number in counts.items()) or "none"


def table_lines(parts: Sequence[tuple[str, dict[str, Any]]]) -> list[str]:
    """Both ways side by side in each part, and their differences."""
    spans = "".join(f"{f'{title}, ' + part['start'] + ' to ' + part['end']:>40}" for title, part in parts)
    lines = [f"{'':22}{spans}", f"{'':22}" + "".join(f"{'mechanical':>20}{'full':>20}" for _ in parts)]
    for key, text, form in FIGURES:
        cells = (shown(part[way][key], form) for _, part in parts for way in ("mechanical", "full"))
        lines.append(f"{text:22}" + "".join(f"{cell:>20}" for cell in cells))
    for key, keys, text, form in DIFFERENCES:
        lines.append(f"{text:22}" + "".join(f"{interval(part[key], keys, form):>40}" for _, part in parts))
    return lines


def lines_of(value: dict[str, Any]) -> list[str]:
    """The comparison as text: the table, reasons, what acts and what does not."""
    parts = [(title, value[key]) for key, title in PARTS if value[key] is not None]
    lines = [
        f"the same rolls by the full strategy (preset {value['preset']}, nothing fitted)",
        "",
        *table_lines(parts),
        "",
    ]
    lines.append(f"out of sample: {value['verdict']} (intervals: 95 %)")
    lines.append(
        "from opening values: both ways again on the day's opening spot and VIX wherever no bar shows 11:00, because "
        "the proxies used there know something of the rest of the day"
    )
    for title, part in parts:
        lines.append(f"{title}: skipped {listed(part['full']['skipped'])}")
        lines.append(f"{title}: left early {listed(part['full']['left_early'])}")
    lines.append(f"sides rolled: {value['sides_rolled']}; mean fuzzy confidence {value['mean_confidence']:.2f}")
    lines.append("acts: " + ", ".join(f"{path.split('.', 1)[1]} {given}" for path, given in value["acting"].items()))
    for path, one in value["instead"].items():
        lines.append(f"{path.split('.', 1)[1]} is {one['value']} here: {one['why']}")
    return lines + [f"does not act: {path.split('.', 1)[1]}: {why}" for path, why in value["not_acting"].items()]
