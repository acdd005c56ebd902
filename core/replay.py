"""A run that stops after any row: the book and the ledger as they stood then.

The very kernels of the backtest, advanced piece by piece; pieces give what one pass gives (a law).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from backtest_engine import ledger_for, market_seen, run_rows, script_of, slots_of
from core.config import Config, read_fees
from core.costs import costs_from
from core.errors import DataError
from core.market.calendar import day_text, iso_prefixes
from core.market.store import Store, rows_between
from core.portfolio import new_book, note_open
from core.risk_manager import limits_from
from core.types import Market, T, record_of
from strategies.rules import rules_from
from strategies.structures import STRUCTURES


class Replay:
    """The backtest of `config` on `store`, advanced as far as it is asked to; what `run` refuses is not checked.

    market, rules, limits, costs: as the kernels read them; book, ledger: as they stand after row `last`; first: the
    run's first row (`last` is first - 1 at the start). The run's end in the settings is not looked at: the caller says
    how far. `market` saves the work of seeing the same store again.
    """

    def __init__(self, store: Store, config: Config, market: Market | None = None) -> None:
        self.store, self.config = store, config
        self.market = market_seen(store, config, always=True) if market is None else market
        self.rules, self.limits = rules_from(config.values), limits_from(config.values)
        legs = STRUCTURES[config["strategy.structure"]].legs
        self.costs = costs_from(config.values, read_fees(config["costs.fees"]), legs)
        self.first = rows_between(store, config["market.start"], None)[0]
        self.last = self.first - 1
        ses = self.market.ses
        cash_cents = round(config["account.starting_cash"] * 100)
        self.book = new_book(cash_cents, slots_of(self.rules, self.limits), int((ses.end - ses.start).max()))
        self.ledger = ledger_for(config, self.market)
        self._script = script_of(self.market, ())
        self.records = record_of(self.rules), record_of(self.limits), record_of(self.costs)  # as kernels take them

    def to(self, row: int) -> Replay:
        """Advance until after `row`; a row that lies behind, or outside the market, is a DataError."""
        if not self.last <= row < len(self.market.row.ts):
            raise DataError(f"row {row} lies behind row {self.last} or outside market '{self.store.name}'")
        self.ledger.t_int[:, T["mark"]] = 0  # of structures open where the last piece ended
        run_rows(self.market, *self.records, self.book, self.ledger, self._script, self.last + 1, row + 1)
        note_open(self.book, self.ledger.t_int)
        self.last = row
        return self

    @property
    def trades(self) -> Any:
        """int64 (trades, TRADE_FIELDS)."""
        return self.ledger.t_int[: self.book.head.trades]

    @property
    def fills(self) -> Any:
        """int64 (events, FILL_FIELDS)."""
        return self.ledger.f_int[: self.book.head.fills]

    @property
    def adjustments(self) -> Any:
        """int64 (adjustments, ADJUSTMENT_FIELDS)."""
        return self.ledger.a_int[: self.book.head.adjustments]

    @property
    def open_slots(self) -> list[int]:
        return np.flatnonzero(self.book.slot.trade >= 0).tolist()


def row_time(market: Market, row: int) -> str:
    """ISO time of a row with its New York offset."""
    session = market.ses[market.row.session[row]]
    head, tail = iso_prefixes([int(session.day)], [int(session.offset)])
    minute = int(market.row.minute[row])
    return f"{head[0]}{minute // 60:02d}:{minute % 60:02d}:00{tail[0]}"


def contract_name(market: Market, c: int) -> str:
    """A contract by what it is: '2018-03-16 P2650'; its number changes with what else the market lists. '' for none."""
    if c < 0:
        return ""
    con = market.con[c]
    exp = market.exp[con.expiry]
    return f"{day_text(exp.day)} {'PC'[int(con.right)]}{con.strike / 100:g}"
