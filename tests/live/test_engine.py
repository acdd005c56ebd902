"""Law 5 for live trading: session by session, snapshot by snapshot, over a saved book: the backtest's ledger."""

import json

import numpy as np
import pytest

from core.errors import ConfigError
from core.live.day_market import DayMarket, Snapshot
from core.live.engine import Engine, refuse_what_live_cannot
from core.live.occ import Option, occ_symbol
from core.live.state import SCRATCH, TABLES, Names
from core.market.build import five_minute, picked
from core.market.calendar import Sessions
from core.types import ADJUSTMENT_FIELDS, FILL_FIELDS, HEAD, SLOT, TRADE_FIELDS, F, T
from tests import markets
from tests.laws.test_answered import answers_by_row

NAMES = ("natural", "limit", "sides", "trailing", "rolled", "rolled_out", "tested_side", "cheap", "guarded")


def sessions_to(sessions: Sessions, s: int) -> Sessions:
    return Sessions(*(column[: s + 1] for column in sessions))


def options_of(chain):
    rows = zip(chain.root, chain.day, chain.is_call, chain.strike, strict=True)
    return sorted({Option(str(root), int(day), int(call), int(strike)) for root, day, call, strike in rows})


def named_answers(result, answers):
    """The answers of a row with new legs by what they are, since each day's market numbers contracts anew."""
    con, exp = result.market.con, result.market.exp

    def option(c):
        return None if c < 0 else (int(exp[con[c].expiry].day), int(con[c].right), int(con[c].strike))

    return [{**answer, "new_legs": [option(c) for c in answer["new_legs"]]} for answer in answers]


def live(result):
    """The run's market again as live trading sees it; returns (ledger lines by table, verdicts by time)."""
    tape = markets.tape("table")
    bars, _ = five_minute(tape.bars, tape.sessions)
    by_row = answers_by_row(result)
    ts = result.market.row.ts
    verdicts, saved, store = {}, None, {table: {} for table in TABLES}
    days = np.unique(np.searchsorted(tape.sessions.close_ns, bars.ts))
    for s in days:
        inside = np.searchsorted(tape.sessions.close_ns, bars.ts)
        chain = picked(
            tape.chain, (tape.chain.ts > tape.sessions.open_ns[s]) & (tape.chain.ts <= tape.sessions.close_ns[s])
        )
        past = type(bars)(*(np.asarray(c)[inside < s] for c in bars))
        used = Sessions(*(column[days[days <= s]] for column in tape.sessions))
        day = DayMarket(past, used, options_of(chain))
        engine = Engine(result.config, day, round(result.config["account.starting_cash"] * 100), profit_rests=True)
        if saved is not None:
            engine.restore(saved, store)
        contract = {
            (int(day.contracts.x_day[x]), int(right), int(strike)): c
            for c, (x, right, strike) in enumerate(
                zip(day.contracts.expiry, day.contracts.right, day.contracts.strike, strict=True)
            )
        }
        for i in np.flatnonzero(inside == s):
            here = picked(chain, chain.ts == bars.ts[i])
            bar = tuple(float(c[i]) for c in bars[1:])
            r = int(np.searchsorted(ts, bars.ts[i]))
            said = named_answers(result, by_row.get(r, []))
            for answer in said:
                answer["new_legs"] = [-1 if o is None else contract[o] for o in answer["new_legs"]]
            step = engine.step(Snapshot(int(bars.ts[i]), bar, here, "test"), said)
            verdicts[step.ts] = (step.verdict, step.equity, step.margin)
            book, lines = json.loads(json.dumps(engine.save()))
            saved = book
            for table in TABLES:
                store[table].update({int(n): line for n, line in lines[table].items()})
    return store, verdicts


@pytest.mark.parametrize("name", NAMES)
def test_a_live_session_keeps_the_backtests_ledger(name):
    result = markets.run_named(name)
    if result.rules.expiry_rule != 0:
        pytest.skip("live is flat on expiry days")
    store, verdicts = live(result)
    market, cut = result.market, slice(result.first_row, result.last_row)
    ts = market.row.ts[cut]
    margin = result.ledger.rows[4]
    expected = {
        int(t): (int(v), int(e), int(m))
        for t, v, e, m in zip(ts, result.ledger.codes[0], result.equity, margin, strict=True)
    }
    assert verdicts == expected
    occ = [symbol_of(market, c) for c in range(len(market.con))]
    names = Names(market.row.ts, market.ses.day, market.exp.day, occ)
    for field in "opened closed contracts credit debit reason pnl mae mfe width campaign leg0 leg3".split():
        kind = names.kind(field)
        theirs = [store["trade"][n][T[field]] for n in range(len(result.trades))]
        ours = [int(v) if kind is None else (None if v < 0 else kind[0](int(v))) for v in result.trades[:, T[field]]]
        assert theirs == ours, field
    assert [line[F["price2"]] for _, line in sorted(store["fill"].items())] == result.fills[:, F["price2"]].tolist()


def symbol_of(market, c):
    x = market.exp[market.con[c].expiry]
    return occ_symbol("SPY", int(x.day), int(market.con[c].right), int(market.con[c].strike))


def test_every_field_of_the_book_is_saved_or_made_anew():
    """A field that is added to the book and is neither is a failure here, not a restart that forgets it."""
    fields = {field for field, *_ in (*HEAD, *SLOT)}
    assert fields | {"script"} >= SCRATCH
    looks_like_a_number_of_something = {
        field
        for field in (*fields, *TRADE_FIELDS, *FILL_FIELDS, *ADJUSTMENT_FIELDS)
        if any(word in field for word in ("legs", "contract", "decided", "expiry", "session", "opened", "_on", "until"))
    }
    names = Names(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.int64), [])
    plain = {f for f in looks_like_a_number_of_something if names.kind(f) is None and f not in SCRATCH}
    assert plain == {"contracts", "order_contracts", "cool_until", "pause_until"}
