"""One decision of a run in words and numbers: what was decided on a row, why, and what was held.

The run is made again up to that row; what is told is what the rules saw then, and nothing later.
"""

from __future__ import annotations

import datetime as dt
import textwrap
import zoneinfo
from typing import Any

import numpy as np

from core.config import WEEKDAYS, Config
from core.costs import net_cents, package
from core.errors import ConfigError, DataError
from core.jit import by_reference, njit
from core.market.calendar import day_text
from core.market.store import Store, rows_between
from core.quotes import leg_rows
from core.replay import Replay, contract_name, row_time
from core.risk_manager import RISK_FIGURES, risk_figures
from core.types import (
    ASK,
    BID,
    CASH,
    DRAWDOWN,
    FLAG,
    GOOD,
    LEG_NAMES,
    LEG_SIGN,
    LEGS,
    MARKS,
    MULTIPLIER,
    REASON_NAMES,
    REASONS,
    REGIMES,
    SIGNAL,
    SIGNALS,
    VERDICT,
    A,
    Reason,
    T,
)
from options_strategy import credit_floor, profit_limit, stop_level
from strategies.timing import NEVER, weekday_of

NEW_YORK = zoneinfo.ZoneInfo("America/New_York")
TOLD_RULES = 3
TOLD_ABOVE = ("regime", "score", "confidence")  # stand in a line of their own
WIDTH = 100
RISK_MONEY = ("delta", "largest_loss", "worst_shock", "margin", "funds")
# Verdicts on a structure that was put together: its legs are still in the book when the row is over.
ON_A_CANDIDATE = (
    *(Reason.ENTER, Reason.ONE_SIDED, Reason.LOW_CREDIT, Reason.SIZE_ZERO, Reason.ILLIQUID, Reason.BREACH),
    *(Reason.BREACH_UNKNOWN, Reason.SIZE_SCALED, Reason.SIZE_UNKNOWN, Reason.ROLL_OUT_CREDIT),
    *range(Reason.MARGIN, Reason.DAILY_LOSS),
)


# ---------------------------------------------------------------- which row


def parse_time(text: str) -> int:
    """UTC ns of '2018-02-05 15:45' (New York), of ISO 8601 with an offset, or of a day's end where no time is given."""
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"--at is {text!r}; give New York time such as '2018-02-05 15:45', or ISO 8601") from None
    if len(text) == len("2018-02-05"):
        moment = moment.replace(hour=23, minute=59)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=NEW_YORK)
    return int(moment.timestamp()) * 1_000_000_000


def row_at(store: Store, config: Config, ts: int) -> int:
    """The run's last row at or before a moment; a DataError if the run begins later."""
    first, end = rows_between(store, config["market.start"], config["market.end"])
    stamps = store.columns["ts"][first:end]
    row = first + int(np.searchsorted(stamps, ts, side="right")) - 1
    if row < first:
        asked, begins = (
            dt.datetime.fromtimestamp(int(t) // 1_000_000_000, NEW_YORK).isoformat(" ", "minutes")
            for t in (ts, stamps[0])
        )
        raise DataError(f"the run on market '{store.name}' begins at {begins}, after {asked}; give a later --at")
    return row


# ---------------------------------------------------------------- the gates


def number(value: Any) -> float | None:
    """A float as JSON can hold it: unknown is None."""
    value = float(value)
    return value if np.isfinite(value) else None


def gate(name: str, value: Any, limit: str, passed: bool | None) -> dict[str, Any]:
    """One gate: what was found, what is allowed, and whether it passed (None: unknown, so nothing may be opened)."""
    return {"gate": name, "value": value, "limit": limit, "passed": None if passed is None else bool(passed)}


def clock(minute: int) -> str:
    return f"{minute // 60:02d}:{minute % 60:02d}"


def calendar_gates(replay: Replay, row: int) -> list[dict[str, Any]]:
    """Weekday, window, free slots and schedule, as they stand after the row."""
    market, rules, head = replay.market, replay.rules, replay.book.head
    session = market.ses[market.row.session[row]]
    weekday, minute = int(weekday_of(int(session.day))), int(market.row.minute[row])
    days = replay.config["strategy.entry.weekdays"]
    close = min(rules.window_end, int(session.close) - rules.edge_minutes)
    limit, inside = f"{clock(rules.window_start)} to {clock(close)}", rules.window_start <= minute <= close
    if session.decide != -1:
        inside = row == session.decide
        known = 0 <= session.decide <= row  # the row that decides is the first after a moment of the clock
        limit = clock(int(market.row.minute[session.decide])) if known else "not come yet"
        limit = f"the row that decides: {limit}"
    opened = len(replay.open_slots)
    found = [
        gate("weekday", (*WEEKDAYS, "sat", "sun")[weekday], days, rules.weekday_mask >> weekday & 1),
        gate("window", clock(minute), limit, inside),
        gate("positions", f"{opened} open", f"below {rules.max_positions}", opened < rules.max_positions),
    ]
    if head.order_working and head.order_decided < row:
        found.append(gate("order", "working", "none", False))
    if head.last_entry >= 0:
        found.append(schedule_gate(replay, row, int(session.day)))
    if head.halt or int(session.day) < head.pause_until:
        found.append(gate("halt", halt_words(head), "none", False))
    if rules.wait_after_exit or rules.wait_after_loss:
        until = int(head.cool_until)
        found.append(gate("cooldown", day_text(session.day), f"from {day_text(until)}", int(session.day) >= until))
    return found


def halt_words(head: Any) -> str:
    """Which halt or pause stands, and since or until when."""
    if head.halt:
        return f"{REASONS[int(head.halt)][1]} (since {day_text(head.halt_day)})"
    return f"{REASONS[Reason.LOSSES_IN_ROW][1]} (until {day_text(head.pause_until)})"


def schedule_gate(replay: Replay, row: int, day: int) -> dict[str, Any]:
    """Days, or on one day entries and minutes, since the last entry."""
    market, rules, head = replay.market, replay.rules, replay.book.head
    days = day - int(market.ses.day[market.row.session[head.last_entry]])
    if days or rules.min_days_between:
        needed = rules.min_days_between
        return gate("schedule", f"{days} days since the last entry", f"at least {needed}", days >= needed)
    minutes = int(market.row.ts[row] - market.row.ts[head.last_entry]) // 60_000_000_000
    passed = minutes >= rules.min_minutes_between and head.new_today < rules.max_new_per_day
    return gate(
        "schedule",
        f"{minutes} minutes since the day's entry {head.new_today}",
        f"at least {rules.min_minutes_between}, {rules.max_new_per_day} entries",
        passed,
    )


def signal_gates(replay: Replay, row: int) -> list[dict[str, Any]]:
    """The filters in force on signals, on regimes and on events."""
    from strategies.gates import GATES, gates_from
    from strategies.view import events_near

    market, values = replay.market, replay.config.values
    gates = gates_from(values)
    found = []
    if values["strategy.filters.avoid_events"] != "none":
        near = bool(events_near(market, values)[market.row.session[row]])
        limit = f"{values['strategy.filters.event_days']} sessions before {values['strategy.filters.avoid_events']}"
        found.append(gate("event", "near" if near else "none near", limit, not near))
    if gates.avoid:
        regime = int(market.signal[SIGNAL["regime"], row])
        passed = None if regime == 0 else not gates.avoid >> regime & 1
        found.append(gate("regime", REGIMES[regime], f"not {values['strategy.filters.avoid_regimes']}", passed))
    for column, at, low, high in zip(gates.column, gates.gate, gates.low, gates.high, strict=True):
        value = number(market.signal[column, row])
        name = GATES[at] if GATES[at] == SIGNALS[column] else f"{GATES[at]}: {SIGNALS[column]}"
        ends = [f"from {low:g}" if np.isfinite(low) else "", f"to {high:g}" if np.isfinite(high) else ""]
        found.append(gate(name, value, " ".join(filter(None, ends)), None if value is None else low <= value <= high))
    return found


def strongest_rules(replay: Replay, row: int) -> list[dict[str, Any]]:
    """The fuzzy rules that weighed most on the row's score, the strongest first."""
    from fuzzy_engine import fired, rule_texts
    from strategies.view import fuzzy_base, fuzzy_engine_of

    base = fuzzy_base(replay.config.values)
    strength = fired(fuzzy_engine_of(base), replay.market.signal, [row])[0]
    order, texts = np.argsort(-strength, kind="stable")[:TOLD_RULES], rule_texts(base)
    return [{"rule": texts[i], "strength": float(strength[i])} for i in order if strength[i] > 0.0]


# ---------------------------------------------------------------- structures


@njit
def floor_cents(m, rules, width_cents, r):
    """Smallest credit in cents that the rules accept for a width at row r."""
    m = by_reference(m)
    return credit_floor(m, rules, width_cents, r)


def leg_table(replay: Replay, legs: Any, row: int) -> tuple[Any, bool]:
    """(bid, ask) in cents per leg, and whether every leg is two-sided on the row; unused legs are zero."""
    table, good, quote = np.zeros((2, LEGS), np.int32), True, np.zeros((3, 1), np.int32)
    for leg, c in enumerate(legs.tolist()):
        if c >= 0:
            leg_rows(replay.market, c, row, row + 1, quote)
            table[BID, leg], table[ASK, leg] = quote[BID, 0], quote[ASK, 0]
            good &= bool(quote[FLAG, 0] == GOOD)
    return table, good


def named_legs(replay: Replay, legs: Any, row: int, expiry: int | None = None) -> dict[str, Any]:
    """Expiry (of the legs unless given), days to it, and strikes in $ by leg (None where unused)."""
    con = replay.market.con
    x = int(con.expiry[next(c for c in legs.tolist() if c >= 0)]) if expiry is None else expiry
    day = int(replay.market.exp.day[x])
    today = int(replay.market.ses.day[replay.market.row.session[row]])
    strikes = [con.strike[c] / 100.0 if c >= 0 else None for c in legs.tolist()]
    return {"expiry": day_text(day), "days": day - today, "strikes": dict(zip(LEG_NAMES, strikes, strict=True))}


def candidate(replay: Replay, row: int, verdict: int) -> dict[str, Any] | None:
    """The structure that was put together on the row, or the order still working; $ per share. None without one."""
    head, market = replay.book.head, replay.market
    legs = head.order_legs
    if not (head.order_working or verdict in ON_A_CANDIDATE) or (legs < 0).all():
        return None
    rules, _, costs = replay.records
    table, good = leg_table(replay, legs, row)
    side = np.where(legs < 0, 0, np.array(LEG_SIGN)).astype(np.int32)
    natural2, mid2 = package(costs, side, table[BID], table[ASK])
    strikes = [int(market.con.strike[c]) if c >= 0 else 0 for c in legs]
    width = max(strikes[1] - strikes[0], strikes[3] - strikes[2])
    credit = -net_cents(natural2, mid2, costs.open_frac, costs.extra_cents)
    floor = int(head.order_floor) if head.order_working else int(floor_cents(market, rules, width, row))
    if verdict == Reason.ROLL_OUT_CREDIT:
        floor = max(floor, int(head.due_debit[0]) + replay.rules.roll_out_min_credit)
    equity = int(replay.ledger.rows[CASH, row] + replay.ledger.rows[MARKS, row])
    working = bool(head.order_working)
    return {
        "working": working,
        **named_legs(replay, legs, row),
        "decided": row_time(market, int(head.order_decided)) if working else None,
        "contracts": int(head.order_contracts) if working else None,
        "credit": credit / 100,
        "natural": -natural2 / 200,
        "mid": -mid2 / 200,
        "two_sided": good,
        "floor": floor / 100,
        "max_loss_usd": (width - credit) * MULTIPLIER / 100,
        "budget_usd": (int(head.order_budget) if working else int(rules.max_risk_frac * equity)) / 100,
        "legs": {
            name: {"bid": table[BID, leg] / 100, "ask": table[ASK, leg] / 100}
            for leg, name in enumerate(LEG_NAMES)
            if legs[leg] >= 0
        },
    }


def dollars(cents: Any) -> float | None:
    """Cents a share as $; None for the engine's sign that there is no such level."""
    return None if abs(cents) >= NEVER else int(cents) / 100


def side_levels(replay: Replay, slot: Any, row: int) -> dict[str, Any]:
    """Cost to close, target and stop of each vertical, where the rules judge each on its own; else empty."""
    if not replay.rules.by_side:
        return {}
    found = {}
    for i, name in enumerate(("put", "call")):
        legs = np.where(np.arange(LEGS) // 2 == i, slot.legs, -1)
        credit = int(slot.side_credit2[i]) // 2
        if (legs < 0).all() or credit <= 0:
            continue
        stop = stop_level(credit, float(replay.rules.stop_multiple + slot.stop_shift))
        target = profit_limit(credit, replay.records[0])
        cost = cost_to_close(replay, legs, row)
        found[name] = {"to_close": cost, "target": dollars(target), "stop": dollars(stop)}
    return found


def cost_to_close(replay: Replay, legs: Any, row: int) -> float | None:
    """What buying legs back costs at natural, $ per share; None unless each is two-sided on the row."""
    table, good = leg_table(replay, legs, row)
    side = np.where(legs < 0, 0, -np.array(LEG_SIGN)).astype(np.int32)
    return float(package(replay.records[2], side, table[BID], table[ASK])[0] / 200) if good else None


def structures(replay: Replay, row: int) -> list[dict[str, Any]]:
    """What is open after the row: its mark, what closing costs against target and stop, its P&L; $ per share."""
    found = []
    for p in replay.open_slots:
        slot = replay.book.slot[p]
        trade = replay.trades[slot.trade]
        whole = not replay.rules.by_side  # else each side has levels of its own
        found.append(
            {
                "trade": int(slot.trade),
                **named_legs(replay, slot.legs, row, int(slot.expiry)),
                "contracts": int(slot.contracts),
                "shares": int(slot.stock * MULTIPLIER * slot.contracts),
                "credit": int(slot.credit) / 100,
                "mark": int(slot.last_mid2) / 200,
                "to_close": cost_to_close(replay, slot.legs, row),
                "target": dollars(slot.target) if whole else None,
                "stop": dollars(slot.stop) if whole else None,
                "sides": side_levels(replay, slot, row),
                "pnl_usd": int(trade[T["pnl"]] + trade[T["mark"]]) / 100,
                "closing": REASONS[int(slot.closing)][1] if slot.closing else None,
            }
        )
    return found


def happened(replay: Replay, row: int) -> list[str]:
    """Fills, exits and adjustments of the row, in words."""
    words = []
    for number_of, t in enumerate(replay.trades.tolist()):
        if t[T["closed"]] == row:
            pnl = t[T["pnl"]] / 100
            words.append(
                f"trade {number_of} closed at {t[T['debit']] / 100:.2f}: {REASONS[t[T['reason']]][1]}, P&L {usd(pnl)}"
            )
        if t[T["opened"]] == row:
            words.append(f"trade {number_of} opened for {t[T['credit']] / 100:.2f}, size {t[T['contracts']]}")
    for a in replay.adjustments.tolist():
        if a[A["row"]] == row:
            words.append(f"trade {a[A['trade']]} adjusted for {a[A['net']] / 100:.2f}: {REASONS[a[A['reason']]][1]}")
    for p in replay.open_slots:
        slot = replay.book.slot[p]
        if slot.closing and slot.decided == row:
            words.append(f"trade {slot.trade} is to be closed: {REASONS[int(slot.closing)][1]}")
    return words


def risk_of(replay: Replay, row: int, verdict: int) -> dict[str, Any]:
    """What the book has at stake after the row, and where margin refused the figures of the refusal."""
    out = np.zeros(len(RISK_FIGURES))
    risk_figures(replay.market, replay.records[1], replay.book, row, out)
    found: dict[str, Any] = {name: number(value) for name, value in zip(RISK_FIGURES, out.tolist(), strict=True)}
    found["delta_usd"] = number(out[0] * replay.market.row.spot[row])
    if verdict == Reason.MARGIN:
        found["refused"] = {"need_usd": int(replay.book.head.need) / 100, "room_usd": int(replay.book.head.room) / 100}
    return found


# ---------------------------------------------------------------- the whole


def explained(store: Store, config: Config, row: int) -> dict[str, Any]:
    """Everything told of a row, as JSON; unknown is None."""
    replay = Replay(store, config).to(row)
    market = replay.market
    signals = {name: number(market.signal[i, row]) for i, name in enumerate(SIGNALS)}
    verdict = int(replay.ledger.codes[VERDICT, row])
    cash, marks, drawdown = (int(replay.ledger.rows[i, row]) / 100 for i in (CASH, MARKS, DRAWDOWN))
    return {
        "market": store.name,
        "time": row_time(market, row),
        "row": row,
        "spot": float(market.row.spot[row]),
        "verdict": REASONS[verdict][0],
        "reason": REASON_NAMES[verdict],
        "words": REASONS[verdict][1],
        "happened": happened(replay, row),
        "rolling_out": bool(replay.book.head.due > 0 or (verdict == Reason.ENTER and replay.book.head.order_out > 0)),
        "regime": REGIMES[int(signals["regime"] or 0)],
        "score": signals["score"],
        "confidence": signals["confidence"],
        "rules": strongest_rules(replay, row),
        "gates": calendar_gates(replay, row) + signal_gates(replay, row),
        "signals": signals,
        "candidate": candidate(replay, row, verdict),
        "structures": structures(replay, row),
        "risk": risk_of(replay, row, verdict),
        "cash_usd": cash,
        "marks_usd": marks,
        "equity_usd": round(cash + marks, 2),
        "drawdown_usd": drawdown,
        "hedge_shares": int(replay.book.head.shares),
        "smile_hedge": smile_hedge(replay),
    }


def smile_hedge(replay: Replay) -> dict[str, int]:
    """Contracts of the smile hedge that is held, signed, by name."""
    head = replay.book.head
    legs = zip(head.smile_contract.tolist(), head.smile_quantity.tolist(), strict=True)
    return {contract_name(replay.market, c): q for c, q in legs if q and head.smile_held}


def usd(value: float) -> str:
    return f"{'-' if value < 0 else ''}${abs(value):,.2f}"


def told(value: Any, form: str = ".2f") -> str:
    """A number, or n/a where it is unknown or absent."""
    return "n/a" if value is None else format(value, form) if isinstance(value, float) else str(value)


def strikes_text(strikes: dict[str, float | None]) -> str:
    return "/".join(f"{k:g}" for k in strikes.values() if k is not None)


def lines_of(value: dict[str, Any]) -> list[str]:
    """The explanation on one screen: words first, numbers beside them."""
    v = value
    head = f"{v['time'][:10]} {v['time'][11:16]} New York, {v['market']} row {v['row']:,}, spot {v['spot']:.2f}"
    lines = [head, "-" * len(head), f"{v['verdict']}: {v['words']}", *(f"  {words}" for words in v["happened"])]
    lines.append(f"regime {v['regime']}; fuzzy score {told(v['score'])}, confidence {told(v['confidence'])}")
    lines += [f"  {rule['strength']:.2f}  {rule['rule']}" for rule in v["rules"]]
    lines.append("gates, a campaign is rolled out: it asks only for a free slot" if v["rolling_out"] else "gates")
    passed = {True: "ok", False: "FAILS", None: "UNKNOWN"}
    lines += [f"  {passed[g['passed']]:8}{g['gate']:24}{told(g['value'], '.4g')} ({g['limit']})" for g in v["gates"]]
    lines += signal_lines({name: x for name, x in v["signals"].items() if name not in TOLD_ABOVE})
    lines += candidate_lines(v["candidate"]) + structure_lines(v["structures"]) + risk_lines(v["risk"])
    money = f"cash {usd(v['cash_usd'])} + marks {usd(v['marks_usd'])} = equity {usd(v['equity_usd'])}"
    hedge = f", hedge {v['hedge_shares']:+d} shares" if v["hedge_shares"] else ""
    hedge += "".join(f", hedge {quantity:+d} {name}" for name, quantity in v["smile_hedge"].items())
    return [*lines, f"{money}, {usd(v['drawdown_usd'])} below the peak{hedge}"]


def signal_lines(signals: dict[str, float | None]) -> list[str]:
    known = "  ".join(f"{name} {x:.4g}" for name, x in signals.items() if x is not None)
    unknown = ", ".join(name for name, x in signals.items() if x is None)
    lines = textwrap.wrap(f"signals  {known}", WIDTH, subsequent_indent="  ")
    return lines + (textwrap.wrap(f"unknown  {unknown}", WIDTH, subsequent_indent="  ") if unknown else [])


def candidate_lines(c: dict[str, Any] | None) -> list[str]:
    if c is None:
        return []
    what = f"order since {c['decided'][:16]}" if c["working"] else "candidate"
    state = "" if c["two_sided"] else "; marks, not two-sided quotes"
    size = "" if c["contracts"] is None else f"size {c['contracts']}, "
    return [
        f"{what}: {c['expiry']} ({c['days']} days) {strikes_text(c['strikes'])}",
        f"  credit {c['credit']:.2f} against at least {c['floor']:.2f} (natural {c['natural']:.2f}, "
        f"mid {c['mid']:.2f}{state})",
        f"  {size}maximum loss {usd(c['max_loss_usd'])} each, risk budget {usd(c['budget_usd'])}",
    ]


def risk_lines(risk: dict[str, Any]) -> list[str]:
    lines = []
    if "refused" in risk:
        need, room = (usd(risk["refused"][name]) for name in ("need_usd", "room_usd"))
        lines.append(f"margin refused: with the entry {need} would be bound, {room} is there")
    if risk["largest_loss_usd"] or risk["delta"]:
        money = {name: "n/a" if risk[f"{name}_usd"] is None else usd(risk[f"{name}_usd"]) for name in RISK_MONEY}
        delta, gamma = told(risk["delta"], "+.1f"), told(risk["gamma"], "+.2f")
        lines.append(
            f"risk   delta {delta} shares ({money['delta']}), gamma {gamma}, "
            f"vega {told(risk['vega'], '+.1f')} a point, theta {told(risk['theta'], '+.1f')} a day"
        )
        lines.append(
            f"       largest loss {money['largest_loss']}, at the worst shock {money['worst_shock']}, "
            f"margin {money['margin']} of {money['funds']}"
        )
    return lines


def structure_lines(several: list[dict[str, Any]]) -> list[str]:
    if not several:
        return ["nothing is open"]
    lines = ["open   expiry      days  strikes              size  credit    mark  to close  target    stop        P&L"]
    for s in several:
        numbers = "".join(
            f"{told(s[k]):>{w}}" for k, w in (("credit", 8), ("mark", 8), ("to_close", 10), ("target", 8), ("stop", 8))
        )
        legs = f"{s['expiry']}{s['days']:>6}  {strikes_text(s['strikes']):20} {s['contracts']:>4}"
        lines.append(f"{s['trade']:>4}   {legs}{numbers}{usd(s['pnl_usd']):>11}")
        for name, side in s["sides"].items():
            lines.append(
                f"       {name} side: " + ", ".join(f"{k.replace('_', ' ')} {told(x)}" for k, x in side.items())
            )
        if s["shares"]:
            lines.append(f"       {s['shares']:+d} shares")
        if s["closing"]:
            lines.append(f"       closing: {s['closing']}")
    return lines
