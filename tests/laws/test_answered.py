"""Law 5 for live trading: fed with the fills that the backtest made, row by row, it keeps the backtest's ledger."""

import numpy as np
import pytest

from backtest_engine import ledger_for, slots_of
from core.answered import ENTRY, answered_row, answers_of
from core.portfolio import new_book, note_open
from core.types import ALL_LEGS, EVENT_FILL, EVENT_INTEREST, LEG_SIGN, ROLL, A, F, T, record_of
from tests import markets
from tests.laws.test_same_result import arrays_of

# Runs whose ledger holds hedges, settlements or modelled assignments, which are no answers to orders.
OTHERS = ("settled", "hedged", "smile", "assigned", "liquidated", "full", "butterfly", "carried_limit", "surface_full")
NAMES = [name for name in markets.RUNS if name not in OTHERS]


def answer(trade, part, reason, fills, new_legs=(-1, -1)):
    """One answer from the ledger's rows of one package, in the order in which they were booked."""
    price2, net2 = [0, 0, 0, 0], 0
    for i, fill in enumerate(fills):
        price2[i if part & ROLL else fill[F["leg"]]] = fill[F["price2"]]
        net2 += np.sign(fill[F["quantity"]]) * fill[F["price2"]]
    contracts = abs(fills[0][F["quantity"]])
    return {
        "trade": trade, "part": part, "reason": reason, "contracts": contracts, "net": net2 // 2,
        "new_legs": new_legs, "price2": price2, "event": EVENT_FILL,
    }  # fmt: skip


def answers_by_row(result):
    """What a broker would have said: the fills of a backtest as answers, by row."""
    rows = {}
    fills = result.fills[result.fills[:, F["event"]] == EVENT_FILL]
    for row, trade in dict.fromkeys(map(tuple, fills[:, [F["row"], F["trade"]]].tolist())):
        here = [f for f in fills if f[F["row"]] == row and f[F["trade"]] == trade]
        said = rows.setdefault(row, [])
        if result.trades[trade, T["opened"]] == row:
            said.append(answer(ENTRY, ALL_LEGS, here[0][F["reason"]], here))
            continue
        for a in result.adjustments:
            if a[A["row"]] == row and a[A["trade"]] == trade:
                size = 4 if a[A["part"]] & ROLL else int(a[A["part"]]).bit_count()
                package, here = here[:size], here[size:]
                new_legs = (a[A["new_short"]], a[A["new_long"]])
                said.append(answer(trade, a[A["part"]], a[A["reason"]], package, new_legs))
        if here:
            said.append(answer(trade, ALL_LEGS, here[0][F["reason"]], here))
    return rows


def answered(result, answers, resting=1):
    """The run again, one row at a time, filled by `answers` (by row) alone."""
    market, config = result.market, result.config
    book = new_book(round(config["account.starting_cash"] * 100), slots_of(result.rules, result.limits), 2)
    out = ledger_for(config, market)
    records = [record_of(part) for part in (result.rules, result.limits, result.costs)]
    for r in range(result.first_row, result.last_row):
        answered_row(market, *records, book, out, answers_of(answers.get(r, [])), resting, 0, r)
    note_open(book, out.t_int)
    return book, out


@pytest.mark.parametrize("name", NAMES)
def test_rows_answered_with_the_backtests_fills_keep_its_ledger(name):
    result = markets.run_named(name)
    events = set(np.unique(result.fills[:, F["event"]]).tolist())
    assert events <= {EVENT_FILL, EVENT_INTEREST}
    book, out = answered(result, answers_by_row(result))
    whole, cut = arrays_of(result), slice(result.first_row, result.last_row)
    assert np.array_equal(out.t_int[: book.head.trades], whole["trades"])
    assert np.array_equal(out.f_int[: book.head.fills], whole["fills"])
    assert np.array_equal(out.a_int[: book.head.adjustments], whole["adjustments"])
    assert np.array_equal(out.rows[:, cut], whole["rows"])
    assert np.array_equal(out.codes[:, cut], whole["codes"])
    assert book.head.missed == whole["missed"]
