"""Recompute a run's fills, fees, P&L, marks and cash from the raw files alone; this file imports none of our code.

    python scripts/recompute_fills.py RUN_DIR --chain F --bars F [--fees COMMISSION,BOTH,SELL] [--stamp end]

For markets of evening chains (one snapshot a day, 15 minutes after the close where the chain names the spot implied
then, else at the close). Prints a table of what was compared; exit code 1 on any difference. Cents and half-cents are
whole numbers here. What the raw files cannot say (why an entry was chosen, interest) is taken from the run folder.
"""

import argparse
import csv
import json
import math
import re
import sys
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

SIDES = {"put_long": 1, "put_short": -1, "call_short": -1, "call_long": 1}  # at entry: +1 buys, -1 sells
RIGHTS = {"put_long": "put", "put_short": "put", "call_short": "call", "call_long": "call"}
SYMBOL = re.compile(r"^([A-Z]+)(\d{2})(\d{2})(\d{2})([CP])(\d{8})$")
MULTIPLIER = 100
SHOWN = 25
DOUBTFUL_ASK = 50  # cents: with a bid of 0 a higher ask may or may not count as two-sided
FEES_FILE = Path(__file__).resolve().parent.parent / "data" / "presets" / "fees.yaml"


class Contract(NamedTuple):
    root: str
    expiry: str
    right: str
    strike: int  # cents


class Checks:
    """How often each thing was compared, and every difference."""

    def __init__(self) -> None:
        self.done: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()
        self.differences: list[str] = []

    def holds(self, what: str, true: bool, said: str) -> None:
        self.done[what] += 1
        if not true:
            self.failed[what] += 1
            self.differences.append(f"{what}: {said}")

    def same(self, what: str, where: str, run: object, raw: object) -> None:
        self.holds(what, run == raw, f"{where}: the run says {run}, the raw files {raw}")


def half_cents(text: str) -> int:
    return round(float(text) * 200)


def cents(text: str) -> int:
    return round(float(text) * 100)


def read_rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def contract_of(symbol: str) -> Contract:
    found = SYMBOL.match(symbol)
    if found is None:
        raise SystemExit(f"fills.csv: contract {symbol!r} is not an OCC symbol")
    root, year, month, day, right, strike = found.groups()
    return Contract(root, f"20{year}-{month}-{day}", {"C": "call", "P": "put"}[right], int(strike) // 10)


def is_option(fill: dict[str, str]) -> bool:
    return SYMBOL.match(fill["contract"]) is not None


# ---------------------------------------------------------------- the raw files


class Raw(NamedTuple):
    """Quotes in cents by (date, contract), bar closes by time, and when each date's snapshot was taken."""

    quote: dict[tuple[str, Contract], tuple[int, int]]
    before: dict[tuple[str, Contract], tuple[int, int]]  # the contract's previous quote
    bar: dict[pd.Timestamp, float]
    snapshot: dict[str, pd.Timestamp]
    close: dict[str, float]


def read_bars(path: Path, stamp: str) -> dict[pd.Timestamp, float]:
    """Close of each bar by its closing time; of daily files the open at 09:35 and the close at 16:00."""
    frame = pd.read_csv(path) if path.suffix == ".csv" else pd.read_parquet(path)
    if "timestamp" not in frame.columns:
        day = pd.to_datetime(frame["date"]).dt.tz_localize("America/New_York")
        opening = dict(zip(day + pd.Timedelta(hours=9, minutes=35), frame["open"], strict=True))
        return opening | dict(zip(day + pd.Timedelta(hours=16), frame["close"], strict=True))
    time = pd.to_datetime(frame["timestamp"])
    time = time.dt.tz_localize("America/New_York") if time.dt.tz is None else time.dt.tz_convert("America/New_York")
    if stamp == "start":
        time = time + time.sort_values().diff().mode()[0]
    minute = time.dt.hour * 60 + time.dt.minute
    regular = (minute > 570) & (minute <= 960)
    return dict(zip(time[regular], frame["close"][regular], strict=True))


def read_raw(chain: Path, bars: Path, stamp: str, wanted: set[Contract]) -> Raw:
    bar = read_bars(bars, stamp)
    close_time: dict[str, pd.Timestamp] = {}
    for time in sorted(bar):
        close_time[f"{time:%Y-%m-%d}"] = time
    frame = pd.read_csv(chain) if chain.suffix == ".csv" else pd.read_parquet(chain)
    if "date" not in frame.columns:
        raise SystemExit(f"{chain.name}: no column date; this script reads evening chains, one snapshot a day")
    late = pd.Timedelta(minutes=15 if "underlying_implied" in frame.columns else 0)
    dates = pd.to_datetime(frame["date"]).dt.strftime("%Y-%m-%d")
    snapshot = {d: close_time[d] + late for d in dates.unique() if d in close_time}
    frame = frame.assign(date=dates, expiration=pd.to_datetime(frame["expiration"]).dt.strftime("%Y-%m-%d"))
    strike = (frame["strike"] * 100).round().astype(np.int64)
    held = frame["expiration"].isin({c.expiry for c in wanted}) & strike.isin({c.strike for c in wanted})
    quote, before, last = {}, {}, {}
    for row in frame[held].sort_values("date", kind="stable").itertuples():
        contract = Contract(row.root, row.expiration, row.type, round(row.strike * 100))
        if contract in wanted and row.bid >= 0 and row.ask >= 0:
            quote[row.date, contract] = round(row.bid * 100), round(row.ask * 100)
            before[row.date, contract] = last.get(contract, (-1, -1))
            last[contract] = quote[row.date, contract]
    return Raw(quote, before, bar, snapshot, {day: bar[time] for day, time in close_time.items()})


# ---------------------------------------------------------------- the run folder


class Run(NamedTuple):
    settings: dict[str, object]
    fees: tuple[float, float, float]  # $ per contract: commission, both sides, further on sales
    trades: list[dict[str, str]]
    fills: list[dict[str, str]]
    equity: list[dict[str, str]]
    trace: list[dict[str, str]]
    metrics: dict[str, object]


def fee_table(name: str) -> tuple[float, float, float]:
    """Commission, both and sell of a named table in data/presets/fees.yaml."""
    block = re.search(rf"^{name}:\n((?: +.*\n?)+)", FEES_FILE.read_text(encoding="utf-8"), re.M)[1]
    commission, both, sell = (
        float(re.search(rf"^ +{k}: *([\d.]+)", block, re.M)[1]) for k in ("commission", "both", "sell")
    )
    return commission, both, sell


def read_run(folder: Path, fees: str | None) -> Run:
    settings = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["settings"]
    values = {path: item["value"] for path, item in settings.items()}
    if values["data.intraday_quotes"] != "snapshot":
        raise SystemExit(
            f"{folder}: data.intraday_quotes is {values['data.intraday_quotes']}; surface fills are in no raw file"
        )
    table = tuple(float(x) for x in fees.split(",")) if fees else fee_table(values["costs.fees"])
    trace = folder / "trace.csv"
    return Run(
        values,
        table,
        read_rows(folder / "trades.csv"),
        read_rows(folder / "fills.csv"),
        read_rows(folder / "equity.csv"),
        read_rows(trace) if trace.exists() else [],
        json.loads((folder / "metrics.json").read_text(encoding="utf-8")),
    )


def sign_of(fill: dict[str, str]) -> int:
    return 1 if fill["side"] == "buy" else -1


def amount(fill: dict[str, str]) -> int:
    """Cash of one event in cents, fee included."""
    paid = sign_of(fill) * int(fill["quantity"]) * int(fill["multiplier"]) * half_cents(fill["price"])
    return -paid // 2 - cents(fill["fee"])


# ---------------------------------------------------------------- packages


def half_spread2(settings: dict[str, object], bid: int, ask: int) -> int:
    return min(math.ceil((ask - bid) * settings["costs.spread_multiple"] - 1e-9), bid + ask)


def improvement(settings: dict[str, object], legs: int) -> float | None:
    """Share of the way from natural to mid at which a package of so many legs fills; None for limit orders."""
    fill = settings["costs.fill"]
    if fill == "leg_count":
        return max(0.0, 1.0 - (settings["costs.leg_base"] + settings["costs.leg_step"] * (legs - 1)))
    return {"natural": 0.0, "mid": 1.0, "fraction": settings["costs.fraction"], "limit": None}[fill]


def check_fill(checks: Checks, run: Run, raw: Raw, fill: dict[str, str], closing: bool) -> tuple[int, int]:
    """One leg against its raw quote; returns its (natural, mid) in half-cents, signed as cost."""
    where = f"trade {fill['trade_id']} {fill['time'][:10]} {fill['contract']}"
    date, sign = fill["time"][:10], sign_of(fill)
    taken = raw.snapshot.get(date)
    at_snapshot = pd.Timestamp(fill["quote_time"]) == taken == pd.Timestamp(fill["time"])
    checks.holds("fill is at its day's snapshot", at_snapshot,
                 f"{where}: filled {fill['time']}, quoted {fill['quote_time']}, snapshot {taken}")  # fmt: skip
    quote = raw.quote.get((date, contract_of(fill["contract"])))
    checks.holds(
        "fill has a two-sided raw quote",
        quote is not None and 0 <= quote[0] <= quote[1] and quote[1] > 0,
        f"{where}: {quote}",
    )
    bid, ask = quote or (0, 0)
    checks.same("bid and ask", where, (cents(fill["bid"]), cents(fill["ask"])), (bid, ask))
    checks.same("mid", where, half_cents(fill["mid"]), bid + ask)
    half = half_spread2(run.settings, bid, ask)
    natural2, price2 = bid + ask + sign * half, half_cents(fill["price"])
    if run.settings["costs.extra_slippage"] == 0:
        inside = 0 <= sign * (price2 - bid - ask) <= half
        checks.holds(
            "price between mid and natural", inside, f"{where}: {fill['price']} with {fill['bid']}/{fill['ask']}"
        )
        if run.settings["costs.fill"] == "natural":
            checks.same("price at natural (half-cents)", where, price2, natural2)
    commission, both, sell = run.fees
    rate = commission + both + (sell if sign < 0 else 0.0)
    free = run.settings["costs.free_close_at"]
    if closing and sign > 0 and free > 0 and price2 <= round(free * 200):
        rate -= commission
    checks.same("fee", where, cents(fill["fee"]), math.ceil(int(fill["quantity"]) * rate * 100 - 1e-9))
    checks.same("multiplier and kind", where, (fill["multiplier"], fill["kind"]), (str(MULTIPLIER), "quoted"))
    return sign * natural2, sign * (bid + ask)


def check_package(checks: Checks, run: Run, raw: Raw, legs: list[dict[str, str]], closing: bool) -> int:
    """All legs of one order; returns its net cost in cents as filled."""
    where = f"trade {legs[0]['trade_id']} {legs[0]['time'][:10]} {'close' if closing else 'open'}"
    priced = [check_fill(checks, run, raw, leg, closing) for leg in legs]
    natural2, mid2 = (sum(column) for column in zip(*priced, strict=True))
    net2 = sum(sign_of(leg) * half_cents(leg["price"]) for leg in legs)
    checks.holds("net is whole cents", net2 % 2 == 0, f"{where}: {net2 / 200}")
    share = improvement(run.settings, len(legs))
    extra = run.settings["costs.extra_slippage"] * 100
    if share is None or (closing and legs[0]["reason"] == "profit_target"):
        # A limit fills at its own price; the resting profit order pays natural.
        checks.holds("net between mid and natural", mid2 <= net2 <= natural2 + 2 * extra, f"{where}: {net2 / 200}")
    else:
        wanted = math.ceil((natural2 + share * (mid2 - natural2)) / 2 + extra - 1e-9)
        checks.same("net of the package (cents)", where, net2 // 2, wanted)
    return net2 // 2


# ---------------------------------------------------------------- trades


def legs_of(trade: dict[str, str], root: str) -> dict[str, Contract]:
    return {
        leg: Contract(root, trade["expiry"], right, cents(trade[leg])) for leg, right in RIGHTS.items() if trade[leg]
    }


def check_trade(checks: Checks, run: Run, raw: Raw, trade: dict[str, str], events: list[dict[str, str]]) -> None:
    """A structure's orders, settlement and totals."""
    where = f"trade {trade['trade_id']}"
    opening = [e for e in events if e["time"] == trade["entry_time"] and e["event"] == "fill"]
    rest = [{**e, "reason": trade["exit_reason"]} for e in events if e not in opening and is_option(e)]
    stock = [e for e in events if not is_option(e)]
    closing = [e for e in rest if e["event"] == "fill"]
    settled = [e for e in rest if e["event"] == "settlement"]
    root = contract_of(events[0]["contract"]).root
    legs = legs_of(trade, root)
    order = [c.strike for c in legs.values()]
    checks.holds("strikes in order", order == sorted(order) and len(set(order)) >= len(order) - 1, f"{where}: {order}")
    check_legs(checks, trade, legs, opening, closing=False)
    if rest:
        check_legs(checks, trade, legs, rest, closing=True)
    checks.same("credit", where, cents(trade["credit"]), -check_package(checks, run, raw, opening, False))
    pnl = sum(amount(e) for e in events)
    checks.same("fees of the trade", where, cents(trade["fees"]), sum(cents(e["fee"]) for e in events))
    if trade["exit_time"]:  # an open structure's P&L holds its mark, which the equity checks recompute
        checks.same("P&L of the trade", where, cents(trade["pnl"]), pnl)
    if not trade["exit_time"]:
        checks.holds("open trade has no close", not rest, where)
        return
    checks.holds("closed after it opened", pd.Timestamp(trade["exit_time"]) > pd.Timestamp(trade["entry_time"]), where)
    last = {e["time"] for e in rest} if not stock else {max(e["time"] for e in (*rest, *stock))}
    checks.holds("closed at its exit time", last == {trade["exit_time"]}, where)
    if stock:
        check_delivery(checks, raw, trade, rest, stock)
        paid = -sum(amount(e) for e in (*rest, *stock) if e["event"] != "dividend") - sum(cents(e["fee"]) for e in rest)
        checks.same("debit", where, cents(trade["debit"]) * MULTIPLIER * int(trade["contracts"]), paid)
    elif closing:
        debit = check_package(checks, run, raw, closing, True)
        checks.same("debit", where, cents(trade["debit"]), debit)
        check_exit(checks, run, raw, trade, legs, debit)
    for event in settled:
        check_settlement(checks, raw, trade, event)


def check_delivery(
    checks: Checks, raw: Raw, trade: dict[str, str], rest: list[dict[str, str]], stock: list[dict[str, str]]
) -> None:
    """Options that were exercised or assigned: in the money, gone at 0, their shares at the strike and closed later."""
    where, shares = f"trade {trade['trade_id']}", 0
    delivered = [e for e in rest if e["event"] in ("assignment", "exercise")]
    moved = [e for e in stock if e["event"] in ("assignment", "exercise")]
    checks.same("a row of shares for every option", where, len(moved), len(delivered))
    for option, row in zip(delivered, moved, strict=False):
        contract = contract_of(option["contract"])
        close = cents(str(raw.close[trade["expiry"]]))
        worth = close - contract.strike if contract.right == "call" else contract.strike - close
        if option["time"][:10] == trade["expiry"]:
            checks.holds("exercised in the money", worth >= 1, f"{where}: {option['contract']} at {close}")
        gets = (contract.right == "call") == (option["event"] == "exercise")
        wanted = ("0.00", contract.strike, MULTIPLIER * int(trade["contracts"]), 1 if gets else -1)
        found = (option["price"], cents(row["price"]), int(row["quantity"]), sign_of(row))
        checks.same("delivery at the strike", where, found, wanted)
    for row in stock:
        if row["event"] == "dividend":
            continue
        shares += sign_of(row) * int(row["quantity"])
        if row["event"] == "fill":
            price = raw.bar.get(pd.Timestamp(row["time"]))
            near = price is not None and abs(float(row["price"]) - price) < 0.01501
            checks.holds("shares close at the bar", near, f"{where}: {row['time']} {row['price']} {price}")
    checks.same("shares left", where, shares, 0)


def check_legs(
    checks: Checks, trade: dict[str, str], legs: dict[str, Contract], events: list[dict[str, str]], closing: bool
) -> None:
    """Every leg once, on its own side, in the trade's size."""
    flip = -1 if closing else 1
    found = sorted((contract_of(e["contract"]), sign_of(e), e["quantity"]) for e in events)
    wanted = sorted((c, flip * SIDES[leg], trade["contracts"]) for leg, c in legs.items())
    checks.same(f"legs of the {'closing' if closing else 'opening'}", f"trade {trade['trade_id']}", found, wanted)


def check_settlement(checks: Checks, raw: Raw, trade: dict[str, str], event: dict[str, str]) -> None:
    contract = contract_of(event["contract"])
    distance = raw.close[trade["expiry"]] - contract.strike / 100
    worth = max(0.0, distance if contract.right == "call" else -distance)
    checks.same("settlement value", f"trade {trade['trade_id']}", cents(event["price"]), math.floor(worth * 100 + 0.5))


# ---------------------------------------------------------------- decisions


def closing_cost(raw: Raw, legs: dict[str, Contract], date: str) -> tuple[int, int] | None:
    """(natural in cents, mid in half-cents) of buying a structure back on a date; None without four quotes."""
    natural, mid2 = 0, 0
    for leg, contract in legs.items():
        if (date, contract) not in raw.quote:
            return None
        bid, ask = raw.quote[date, contract]
        if ask <= 0 or bid > ask:
            return None
        natural += ask if SIDES[leg] < 0 else -bid
        mid2 -= SIDES[leg] * (bid + ask)
    return natural, mid2


def check_exit(
    checks: Checks, run: Run, raw: Raw, trade: dict[str, str], legs: dict[str, Contract], debit: int
) -> None:
    """The reason for the close holds on the raw quotes, and was known before the fill."""
    where, why = f"trade {trade['trade_id']}", trade["exit_reason"]
    opened, closed = trade["entry_time"][:10], trade["exit_time"][:10]
    rules = {k.rsplit(".", 1)[1]: v for k, v in run.settings.items() if k.startswith("strategy.exits.")}
    credit = cents(trade["credit"])
    days = [d for d in sorted(raw.snapshot) if opened < d <= closed]
    if why == "profit_target":
        limit = math.floor(credit * (1.0 - rules["profit_frac"]) + 1e-9)
        checks.holds("profit target was reached", debit <= limit, f"{where}: paid {debit}, limit {limit}")
        due = [closed]
    elif why == "stop":
        level = math.ceil(credit * (1.0 + rules["stop_multiple"]) - 1e-9)
        costs = {d: closing_cost(raw, legs, d) for d in days[:-1]}
        beyond = [d for d, c in costs.items() if c and (c[0] if rules["stop_on"] == "natural" else c[1] / 2) >= level]
        checks.holds("stop was decided on an earlier snapshot", bool(beyond), f"{where}: level {level}, seen {costs}")
        checks.same("overshoot of the stop", where, cents(trade["stop_overshoot"]), debit - level)
        due = [d for d in days if beyond and d > beyond[0]]
    elif why in ("max_hold", "dte_exit"):
        due = [d for d in days if (days_between(opened, d) >= rules["max_hold_days"] if why == "max_hold"
                                   else days_between(d, trade["expiry"]) <= rules["exit_dte"])]  # fmt: skip
        checks.holds("time exit is due", bool(due), f"{where}: {why} on {closed}")
    else:
        due = [closed]
        checks.holds("reason of the close is known", why == "expiry_flat", f"{where}: {why}")
    check_no_earlier_fill(checks, run, raw, trade, legs, due)
    checks.holds("close costs at most the width", debit <= width_of(legs), f"{where}: {debit} of {width_of(legs)}")


def days_between(first: str, last: str) -> int:
    return (pd.Timestamp(last) - pd.Timestamp(first)).days


def width_of(legs: dict[str, Contract]) -> int:
    """The wider vertical's width in cents."""
    return max(
        legs[b].strike - legs[a].strike
        for a, b in (("put_long", "put_short"), ("call_short", "call_long"))
        if a in legs
    )


def check_no_earlier_fill(
    checks: Checks, run: Run, raw: Raw, trade: dict[str, str], legs: dict[str, Contract], due: list[str]
) -> None:
    """A close at natural fills on the first snapshot on which it is due, sound, and costs no more than the width."""
    if (
        run.settings["costs.fill"] != "natural"
        or run.settings["costs.extra_slippage"]
        or run.settings["costs.spread_multiple"] != 1
    ):
        return
    for date in due:
        if date < trade["exit_time"][:10] and all(sound(raw, date, c) for c in legs.values()):
            cost = closing_cost(raw, legs, date)
            late = cost is not None and cost[0] > width_of(legs)
            checks.holds("no earlier fill was possible", late, f"trade {trade['trade_id']} {date}: natural {cost}")


def check_decisions(checks: Checks, run: Run, raw: Raw) -> None:
    """Every entry follows a decision of an earlier bar of its day, taken at that bar's price (needs --trace)."""
    entered = [row for row in run.trace if row["reason"] == "enter"]
    for row in run.trace:
        price = raw.bar.get(pd.Timestamp(row["time"]))
        if price is not None:
            checks.holds(
                "spot is the bar's close",
                abs(float(row["spot"]) - price) < 0.00501,
                f"{row['time']}: {row['spot']} {price}",
            )
    for trade in run.trades if run.trace else ():
        earlier = [pd.Timestamp(row["time"]) for row in entered if row["time"] < trade["entry_time"]]
        decided = max(earlier, default=None)
        entry = pd.Timestamp(trade["entry_time"])
        between = [t for t in raw.snapshot.values() if decided is not None and decided < t < entry]
        checks.holds(
            "entry was decided earlier, on a bar",
            decided in raw.bar and decided < entry,
            f"trade {trade['trade_id']}: {decided}",
        )
        if run.settings["costs.fill"] != "limit":
            checks.holds("entry fills on the next snapshot", not between, f"trade {trade['trade_id']}: {between}")


# ---------------------------------------------------------------- the account


def check_cash(checks: Checks, run: Run) -> None:
    """Cash, equity and drawdown of every row from the events alone."""
    cash = peak = round(run.settings["account.starting_cash"] * 100)
    events = [(pd.Timestamp(f["time"]), amount(f)) for f in run.fills]
    checks.holds("events in order of time", events == sorted(events, key=lambda e: e[0]), "fills.csv")
    at = 0
    for row in run.equity:
        time = pd.Timestamp(row["time"])
        while at < len(events) and events[at][0] <= time:
            cash += events[at][1]
            at += 1
        checks.same("cash (cents)", row["time"], cents(row["cash"]), cash)
        equity = cash + cents(row["marks"])
        peak = max(peak, equity)
        checks.same(
            "equity and drawdown (cents)",
            row["time"],
            (cents(row["equity"]), cents(row["drawdown"])),
            (equity, peak - equity),
        )
    checks.same("events inside the run", "fills.csv", at, len(events))
    net = cents(run.equity[-1]["equity"]) - round(run.settings["account.starting_cash"] * 100)
    checks.same("net profit (cents)", "metrics.json", round(run.metrics["net_profit"] * 100), net)
    checks.same("closed trades", "metrics.json", run.metrics["trades"], sum(bool(t["exit_time"]) for t in run.trades))


def sound(raw: Raw, date: str, contract: Contract) -> bool:
    """Whether a quote is two-sided beyond doubt (and cannot be called stale)."""
    quote = raw.quote.get((date, contract))
    if quote is None or quote == raw.before[date, contract]:
        return False
    return quote[1] > 0 and quote[0] <= quote[1] and (quote[0] > 0 or quote[1] <= DOUBTFUL_ASK)


def shares_of(run: Run, trade: dict[str, str], time: pd.Timestamp) -> int:
    """Shares that a trade holds at a moment."""
    own = (f for f in run.fills if f["trade_id"] == trade["trade_id"] and not is_option(f) and f["event"] != "dividend")
    return sum(sign_of(f) * int(f["quantity"]) for f in own if pd.Timestamp(f["time"]) <= time)


def check_marks(checks: Checks, run: Run, raw: Raw, root_of: dict[str, str]) -> None:
    """Marks on each snapshot: the raw mids where every leg is sound, else inside the verticals' bounds."""
    rows = {pd.Timestamp(row["time"]): row for row in run.equity}
    for date, time in raw.snapshot.items():
        low = high = 0
        for trade in run.trades:
            last = pd.Timestamp(trade["exit_time"]) if trade["exit_time"] else pd.Timestamp.max.tz_localize("UTC")
            if not pd.Timestamp(trade["entry_time"]) <= time < last:
                continue
            carried = shares_of(run, trade, time)
            if carried:  # what else is left of the trade is a few options beside them
                low -= round(abs(carried) * cents(str(raw.close[date])) * 1.05)
                high += round(abs(carried) * cents(str(raw.close[date])) * 1.05)
                continue
            legs, contracts = legs_of(trade, root_of[trade["trade_id"]]), int(trade["contracts"])
            cost = closing_cost(raw, legs, date)
            strikes = [c.strike for c in legs.values()]
            bounds = (0, 2 * sum(b - a for a, b in zip(strikes[::2], strikes[1::2], strict=True)))
            if cost is not None and all(sound(raw, date, c) for c in legs.values()):
                bounds = (cost[1], cost[1])
            low += bounds[0] * contracts * MULTIPLIER // 2
            high += bounds[1] * contracts * MULTIPLIER // 2
        if time in rows:
            marks = -cents(rows[time]["marks"])
            checks.holds(
                f"marks {'equal raw mids' if low == high else 'lie within bounds'}",
                low <= marks <= high,
                f"{date}: {marks} not in [{low}, {high}]",
            )


def check_opposite(checks: Checks, run: Run, root_of: dict[str, str]) -> None:
    """No contract is long in one structure and short in another at the same time."""
    held: Counter[str] = Counter()
    for fill in run.fills:
        if fill["event"] == "fill" and is_option(fill):
            side = sign_of(fill) * (1 if fill["time"] == entry_of(run, fill) else -1)
            held[fill["contract"], side] += 1 if fill["time"] == entry_of(run, fill) else -1
            checks.holds(
                "no contract on both sides", not held[fill["contract"], -side], f"{fill['time']} {fill['contract']}"
            )


def entry_of(run: Run, fill: dict[str, str]) -> str:
    return run.trades[int(fill["trade_id"])]["entry_time"]


def recompute(folder: Path, chain: Path, bars: Path, fees: str | None, stamp: str) -> Checks:
    """Every comparison of a run folder with the raw files."""
    run, checks = read_run(folder, fees), Checks()
    by_trade: dict[str, list[dict[str, str]]] = {}
    for fill in run.fills:
        if fill["trade_id"]:
            by_trade.setdefault(fill["trade_id"], []).append(fill)
    wanted = {contract_of(f["contract"]) for f in run.fills if is_option(f)}
    raw = read_raw(chain, bars, stamp, wanted)
    checks.same("trades with fills", "trades.csv", [t["trade_id"] for t in run.trades], sorted(by_trade, key=int))
    for trade in run.trades:
        check_trade(checks, run, raw, trade, by_trade[trade["trade_id"]])
    root_of = {key: contract_of(events[0]["contract"]).root for key, events in by_trade.items()}
    check_decisions(checks, run, raw)
    check_cash(checks, run)
    check_marks(checks, run, raw, root_of)
    check_opposite(checks, run, root_of)
    return checks


def main() -> int:
    parser = argparse.ArgumentParser(description="Recompute a run's fills, fees, P&L and cash from the raw files.")
    parser.add_argument(
        "run", type=Path, metavar="RUN_DIR", help="run folder (with trace.csv decisions are checked too)"
    )
    parser.add_argument("--chain", type=Path, required=True, metavar="F", help="the chain that was imported")
    parser.add_argument("--bars", type=Path, required=True, metavar="F", help="the bars that were imported")
    parser.add_argument(
        "--fees", metavar="A,B,C", help="$ per contract: commission, both, sell (default: the run's table)"
    )
    parser.add_argument("--stamp", choices=("start", "end"), default="start", help="how the bars are stamped")
    args = parser.parse_args()
    for path in (args.run / "fills.csv", args.chain, args.bars):
        if not path.is_file():
            parser.error(f"{path}: no such file")
    checks = recompute(args.run, args.chain, args.bars, args.fees, args.stamp)
    for what, count in checks.done.items():
        print(f"{what:42} {count:7} compared {checks.failed[what]:5} differ")
    for line in checks.differences[:SHOWN]:
        print(line)
    print(f"{sum(checks.done.values())} comparisons, {len(checks.differences)} differences")
    return 1 if checks.differences else 0


if __name__ == "__main__":
    sys.exit(main())
