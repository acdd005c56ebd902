"""Law 2: cash + marks = equity, and the exported files alone tell where every cent went.

Everything here is read from the files of a run and from the drawn quotes; nothing of the engine's book is used.
"""

import csv
import datetime as dt
import json
from collections import Counter, defaultdict
from decimal import Decimal
from functools import cache
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.report.folder import manifest_of, write_run
from core.report.measure import measure
from tests import markets

NAMES = list(markets.RUNS)
QUOTED = [
    name
    for name, (market, changes) in markets.RUNS.items()
    if market in markets.TAPES and changes.get("data__intraday_quotes") != "surface"
]
HEDGED = [name for name, (_, changes) in markets.RUNS.items() if "strategy__hedge__delta_band" in changes]
START = Decimal("25000.00")
SIGN = {"buy": -1, "sell": 1}
COLUMNS = (
    ("put_long", "buy", "P"),
    ("put_short", "sell", "P"),
    ("call_short", "sell", "C"),
    ("call_long", "buy", "C"),
)


class Files:
    """The files of one run."""

    def __init__(self, name: str, folder: Path) -> None:
        result = markets.run_named(name)
        measured = measure(result)
        manifest = manifest_of(result, "run", dt.datetime(2026, 1, 1, tzinfo=dt.UTC), 1)
        write_run(folder, result, measured, manifest, True)
        tables = ("fills", "equity", "trades", "adjustments", "decisions", "trace")
        self.fills, self.equity, self.trades, self.adjustments, self.decisions, self.trace = (
            self.table(folder / f"{file}.csv") for file in tables
        )
        self.metrics: dict[str, Any] = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))

    @staticmethod
    def table(path: Path) -> list[dict[str, str]]:
        with path.open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return cache(lambda name: Files(name, tmp_path_factory.mktemp(name)))


def amount(fill: dict[str, str]) -> Decimal:
    """Cash that a row of fills.csv moves, $."""
    value = Decimal(fill["price"]) * int(fill["quantity"]) * int(fill["multiplier"])
    return SIGN[fill["side"]] * value - Decimal(fill["fee"])


def held_quantity(fill: dict[str, str]) -> int:
    return -SIGN[fill["side"]] * int(fill["quantity"])


def expiry_right_strike(symbol: str) -> tuple[str, str, int]:
    """(2025-11-28, P, strike in cents) of an OCC symbol."""
    tail = symbol[-15:]
    return f"20{tail[:2]}-{tail[2:4]}-{tail[4:6]}", tail[6], int(tail[7:]) // 10


@pytest.mark.parametrize("name", NAMES)
def test_starting_cash_and_the_fills_give_the_cash_of_every_row(name, files):
    run = files(name)
    assert len(run.fills) >= 16
    left = list(run.fills)
    cash = START
    for row in run.equity:
        while left and left[0]["time"] == row["time"]:
            cash += amount(left.pop(0))
        assert Decimal(row["cash"]) == cash, row["time"]
        assert Decimal(row["cash"]) + Decimal(row["marks"]) == Decimal(row["equity"])
    assert left == []
    assert cash == START + sum(amount(fill) for fill in run.fills)


def shares_at(run: Files) -> list[int]:
    """Shares of the hedge and of exercises on every row, signed, by the rows of fills.csv."""
    change: dict[str, int] = defaultdict(int)
    for fill in run.fills:
        if fill["contract"] and fill["multiplier"] == "1":
            change[fill["time"]] += held_quantity(fill)
    return list(accumulate(change[row["time"]] for row in run.equity))


def options_of_no_trade(run: Files) -> dict[str, int]:
    """Contracts of the smile hedge that are held at the end, signed."""
    held: dict[str, int] = defaultdict(int)
    for fill in run.fills:
        if fill["trade_id"] == "" and fill["multiplier"] == "100":
            held[fill["contract"]] += held_quantity(fill)
    return {contract: quantity for contract, quantity in held.items() if quantity}


@pytest.mark.parametrize("name", NAMES)
def test_a_trade_earns_the_signed_sum_of_its_fills_and_fees(name, files, quotes):
    """What the trades, interest and the hedges earn is what the account earns."""
    run = files(name)
    total, fees = defaultdict(Decimal), defaultdict(Decimal)
    for fill in run.fills:
        total[fill["trade_id"]] += amount(fill)
        fees[fill["trade_id"]] += Decimal(fill["fee"])
    loose = total.pop("", Decimal(0))  # interest, and the hedges
    assert set(total) == {trade["trade_id"] for trade in run.trades}
    at_mark = Decimal(0)
    for trade in run.trades:
        assert Decimal(trade["fees"]) == fees[trade["trade_id"]]
        if trade["exit_time"]:
            assert Decimal(trade["pnl"]) == total[trade["trade_id"]]
        else:  # an open trade counts at its mark
            at_mark += Decimal(trade["pnl"]) - total[trade["trade_id"]]
    shares = shares_at(run)[-1] * Decimal(run.trace[-1]["spot"])
    options = Decimal(0)
    for contract, quantity in options_of_no_trade(run).items():
        options += quantity * quotes(markets.RUNS[name][0]).of(run.equity[-1]["time"], contract) / Decimal(2)
    assert at_mark + shares + options == Decimal(run.equity[-1]["marks"])
    interest, hedge = (sum(amount(f) for f in run.fills if f["event"] == event) for event in ("interest", "hedge"))
    assert loose == interest + hedge
    assert run.metrics["interest"] == pytest.approx(float(interest))
    assert run.metrics["fees"] == pytest.approx(float(sum(fees.values())))
    profit = sum((Decimal(trade["pnl"]) for trade in run.trades), Decimal(0)) + interest + hedge + shares + options
    assert Decimal(run.equity[-1]["equity"]) == START + profit
    assert run.metrics["net_profit"] == pytest.approx(float(profit))


@pytest.mark.parametrize("name", HEDGED)
def test_fills_of_the_hedge_are_shares_that_belong_to_no_trade(name, files):
    hedges = [fill for fill in files(name).fills if fill["event"] == "hedge"]
    assert len(hedges) >= 20
    for fill in hedges:
        assert (fill["trade_id"], fill["contract"], fill["multiplier"], fill["fee"]) == ("", "SPY", "1", "0.00")
    assert any(shares_at(files(name)))


def test_fills_of_the_smile_hedge_are_options_that_belong_to_no_trade(files):
    """Whole hedges: on one row each is opened, on another the same contracts are closed, with fees like any option."""
    hedges = [fill for fill in files("smile").fills if fill["event"] == "hedge"]
    assert len(hedges) >= 12
    for fill in hedges:
        assert (fill["trade_id"], fill["multiplier"], fill["contract"][:3]) == ("", "100", "SPY")
        assert Decimal(fill["fee"]) > 0
    rows = [[f for f in hedges if f["time"] == time] for time in dict.fromkeys(f["time"] for f in hedges)]
    for opened, closed in zip(rows[::2], rows[1::2], strict=False):
        assert [f["contract"] for f in opened] == [f["contract"] for f in closed]
        assert [held_quantity(f) for f in opened] == [-held_quantity(f) for f in closed]
    assert len(rows) % 2 == bool(options_of_no_trade(files("smile")))


@pytest.mark.parametrize("name", NAMES)
def test_credit_and_debit_of_a_trade_are_those_of_its_fills(name, files):
    """The debit is what was paid after the entry: for parts and the close, less what rolls brought in."""
    run = files(name)
    for trade in run.trades:
        own = [fill for fill in run.fills if fill["trade_id"] == trade["trade_id"]]
        opened = [fill for fill in own if fill["time"] == trade["entry_time"]]
        later = [fill for fill in own if fill["time"] > trade["entry_time"]]
        assert own == opened + later
        assert Decimal(trade["credit"]) == -paid(opened, trade)
        if trade["exit_time"]:
            assert Decimal(trade["debit"]) == paid(later, trade)
            assert later[-1]["time"] == trade["exit_time"]
        times = {a["time"] for a in run.adjustments if a["trade_id"] == trade["trade_id"]}
        assert {fill["time"] for fill in later} == times | ({trade["exit_time"]} - {""})
        options = [f for f in own if f["multiplier"] == "100"]
        assert {int(f["quantity"]) for f in options} == {int(trade["contracts"])}
        assert all(expiry_right_strike(f["contract"])[0] == trade["expiry"] for f in options)
        for column, side, right in COLUMNS:
            legs = [f for f in opened if f["side"] == side and expiry_right_strike(f["contract"])[1] == right]
            strikes = [Decimal(expiry_right_strike(f["contract"])[2]) / 100 for f in legs]
            assert strikes == ([Decimal(trade[column])] if trade[column] else [])


def paid(fills: list[dict[str, str]], trade: dict[str, str]) -> Decimal:
    """What fills of options and shares cost per share of a trade, $; received < 0. Dividends are no part of a price."""
    priced = [f for f in fills if f["event"] != "dividend"]
    amounts = (SIGN[f["side"]] * Decimal(f["price"]) * int(f["quantity"]) * int(f["multiplier"]) for f in priced)
    return -sum(amounts, Decimal(0)) / (100 * int(trade["contracts"]))


# The legs that an adjustment closes, and those that it opens: side and right of each, in the order of the fills.
PARTS = {
    "put_side": [("buy", "P"), ("sell", "P")],
    "call_side": [("buy", "C"), ("sell", "C")],
    "short_put": [("buy", "P")],
    "short_call": [("buy", "C")],
    "roll_put": [("buy", "P"), ("sell", "P"), ("sell", "P"), ("buy", "P")],
    "roll_call": [("buy", "C"), ("sell", "C"), ("sell", "C"), ("buy", "C")],
}


@pytest.mark.parametrize("name", NAMES)
def test_adjustments_agree_with_their_fills(name, files):
    """One row of adjustments.csv for every order between a trade's entry and its close, and the same legs and cash."""
    run = files(name)
    trades = {trade["trade_id"]: trade for trade in run.trades}
    seen = set()
    for a in run.adjustments:
        trade = trades[a["trade_id"]]
        seen.add((a["time"], a["trade_id"]))
        fills = [f for f in run.fills if f["trade_id"] == a["trade_id"] and f["time"] == a["time"]]
        options = [f for f in fills if f["multiplier"] == "100"]
        legs = [(f["side"], expiry_right_strike(f["contract"])[1]) for f in options]
        ordered = {f["event"] for f in fills} == {"fill"}
        if a["part"] in PARTS:
            assert sorted(legs) == sorted(PARTS[a["part"]])
            assert {f["quantity"] for f in options} == {a["contracts"]} == {trade["contracts"]}
        else:
            assert (a["part"] == "shares" and options == []) or (a["part"] == "all" and not ordered)
        assert Decimal(a["net"]) == paid(fills, trade)
        assert a["campaign_id"] == trade["campaign_id"]
        assert trade["entry_time"] <= a["decided"] <= a["time"]
        assert a["decided"] < a["time"] or not ordered or a["reason"] == "liquidated"
        assert trade["exit_time"] == "" or a["time"] < trade["exit_time"]
        if a["part"].startswith("roll"):
            new = [Decimal(expiry_right_strike(f["contract"])[2]) / 100 for f in fills[2:]]
            assert new == [Decimal(a["new_short"]), Decimal(a["new_long"])]
            assert Decimal(a["net"]) < 0
        else:
            assert a["new_short"] == a["new_long"] == ""
    assert len(seen) == len(run.adjustments)


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_left_of_a_closed_trade(name, files):
    """Of an open one as many long as short, but for the longs whose shorts were bought back alone."""
    run = files(name)
    held = defaultdict(int)
    for fill in run.fills:
        if fill["trade_id"]:
            held[fill["trade_id"], fill["contract"]] += held_quantity(fill)
    alone = Counter((a["trade_id"], a["part"]) for a in run.adjustments if a["part"].startswith("short"))
    assert set(alone.values()) <= {1}
    for trade in run.trades:
        own = {contract: q for (key, contract), q in held.items() if key == trade["trade_id"] and q and contract}
        assert bool(own) == (trade["exit_time"] == "")
        own.pop("SPY", None)
        for right, part in (("P", "short_put"), ("C", "short_call")):
            left = sum(q for contract, q in own.items() if expiry_right_strike(contract)[1] == right)
            assert left == (int(trade["contracts"]) * alone[trade["trade_id"], part] if own else 0)


class Quotes:
    """The drawn quotes by (stamp, expiry, right, strike): twice the mid in cents, None where not two-sided."""

    def __init__(self, name: str) -> None:
        chain = markets.tape(name).chain
        mid2 = np.round((chain.bid + chain.ask) * 100).astype(int)
        good = (chain.ask >= chain.bid) & (chain.ask > 0) & ((chain.bid > 0) | (chain.ask <= 0.50))
        days = chain.day.astype("datetime64[D]").astype(str)
        rights = np.where(chain.is_call, "C", "P")
        keys = zip(chain.ts.tolist(), days.tolist(), rights.tolist(), chain.strike.tolist(), strict=True)
        self.mid2 = {key: m for key, m, ok in zip(keys, mid2.tolist(), good.tolist(), strict=True) if ok}

    def of(self, time: str, contract: str) -> int | None:
        moment = dt.datetime.fromisoformat(time)
        seconds = (moment - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)) // dt.timedelta(seconds=1)
        return self.mid2.get((seconds * 10**9, *expiry_right_strike(contract)))


@pytest.fixture(scope="module")
def quotes():
    return cache(Quotes)


@pytest.mark.parametrize("name", QUOTED)
def test_marks_are_the_mids_of_what_is_held(name, files, quotes):
    """With the hedge's shares at the spot, on every row where each held leg has a two-sided quote.

    Elsewhere a mark is a guess, and says so.
    """
    run, book = files(name), quotes(markets.RUNS[name][0])
    held: dict[str, int] = defaultdict(int)
    left = list(run.fills)
    compared = soft = 0
    for row, trace, shares in zip(run.equity, run.trace, shares_at(run), strict=True):
        while left and left[0]["time"] == row["time"]:
            fill = left.pop(0)
            if fill["multiplier"] == "100":
                held[fill["contract"]] += held_quantity(fill)
        open_legs = {contract: quantity for contract, quantity in held.items() if quantity}
        mids = [book.of(row["time"], contract) for contract in open_legs]
        if None in mids:
            soft += trace["soft_marks"] == "1"
            assert trace["soft_marks"] == "1"
            continue
        value = sum(q * m for q, m in zip(open_legs.values(), mids, strict=True)) * 50
        assert Decimal(row["marks"]) * 100 == value + shares * Decimal(trace["spot"]) * 100, row["time"]
        compared += bool(open_legs)
    assert compared >= 5
    assert soft >= 1


def test_settlement_pays_intrinsic_value_of_the_official_close(files):
    run = files("settled")
    store = markets.market("cash").columns
    close = {
        str(np.datetime64(int(d), "D")): round(v * 100) for d, v in zip(store["s_day"], store["s_settle"], strict=True)
    }
    settled = [fill for fill in run.fills if fill["event"] == "settlement"]
    assert len(settled) >= 8
    for fill in settled:
        day, right, strike = expiry_right_strike(fill["contract"])
        assert fill["time"][:10] == day
        intrinsic = max(0, close[day] - strike if right == "C" else strike - close[day])
        assert Decimal(fill["price"]) * 100 == intrinsic
        assert fill["bid"] == fill["ask"] == fill["mid"] == fill["price"]
        assert Decimal(fill["fee"]) == 0
    last_rows = {row["time"][:10]: row["time"] for row in run.equity}
    assert all(fill["time"] == last_rows[fill["time"][:10]] for fill in settled), "not at the first bar of the day"


def test_interest_is_the_bill_rate_of_the_day_before_on_the_cash_of_that_evening(files):
    run = files("settled")
    last = {row["time"][:10]: Decimal(row["cash"]) for row in run.equity}
    days = sorted(last)
    paid = {fill["time"][:10]: amount(fill) for fill in run.fills if fill["event"] == "interest"}
    assert list(paid) == days[1:]
    for before, day in pairwise(days):
        nights = (dt.date.fromisoformat(day) - dt.date.fromisoformat(before)).days
        expected = float(last[before]) * np.expm1(0.04 * nights / 365)
        assert float(paid[day]) == pytest.approx(expected, abs=0.0051)


@pytest.mark.parametrize("name", NAMES)
def test_drawdown_is_measured_from_the_highest_equity_so_far(name, files):
    peak = START
    for row in files(name).equity:
        peak = max(peak, Decimal(row["equity"]))
        assert Decimal(row["drawdown"]) == peak - Decimal(row["equity"])


@pytest.mark.parametrize("name", NAMES)
def test_liquidation_is_worth_no_more_than_the_marks_with_and_without_quotes(name, files):
    for row in files(name).equity:
        assert Decimal(row["liquidation"]) <= Decimal(row["equity"]), row["time"]


@pytest.mark.parametrize("name", NAMES)
def test_the_parts_of_a_closed_trades_profit_sum_to_it(name, files):
    parts_sum([trade for trade in files(name).trades if trade["exit_time"]])


def test_the_parts_of_an_open_trades_profit_sum_to_it(files):
    parts_sum([trade for trade in files("natural").trades if not trade["exit_time"]])


def parts_sum(trades: list[dict[str, str]]) -> None:
    parts = ("attr_delta", "attr_gamma", "attr_theta", "attr_vega", "attr_spread", "attr_residual")
    assert trades
    for trade in trades:
        total = sum(Decimal(trade[part]) for part in parts) - Decimal(trade["fees"])
        assert abs(total - Decimal(trade["pnl"])) <= Decimal("0.04")  # each part is rounded to the cent
