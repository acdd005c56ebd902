"""The backtest under backtrader's clock: a second clock, which knows nothing of ours, says which row may come next.

Cerebro merges three feeds of bars (5, 15 and 60 minutes) and one of the moments that are no bars (snapshots after the
close, or between daily prices) by their times alone. At each moment it kicks its broker, which advances the compiled
pass by the row that came, then the strategy, which holds both clocks and their closed bars against each other. The
broker's value is the marked equity after that row, so backtrader's analyzers see what equity.csv shows; they see
moments in UTC, and no positions, because the structures are not positions in a feed.

The longer feeds are cut anew, by time and not by our row-by-row rule. backtrader's own resampler cannot do it: its
hours begin on the clock's hour where ours begin with the session, and it joins bars across a hole in the data.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from backtest_engine import BacktestResult, run, run_rows
from core.config import Config
from core.errors import ConfigError, DataError
from core.features.timeframes import FRAMES, Bars, bars_of, frame_bars
from core.market.calendar import EPOCH, NS_DAY, NS_MINUTE
from core.market.store import Store
from core.types import CASH, MARKS, OPEN_MINUTE

try:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # newer Pythons warn about escapes in its docstrings
        import backtrader as bt
except ModuleNotFoundError:
    raise ConfigError(
        "--driver backtrader needs the package backtrader, which is not installed; "
        "run: python -m pip install -r requirements-backtrader.txt"
    ) from None

DAY_ZERO = EPOCH.toordinal()  # backtrader counts days from year 1, in a double: good to ten microseconds
NEAR_NS = 1_000_000
SAME_VOLUME = 1e-9  # relative; sums of volumes may be taken in another order


# ---------------------------------------------------------------- feeds


class Feed(bt.DataBase):  # type: ignore[misc]
    """Bars that are at hand: `dataname` gives tuples (datetime, open, high, low, close, volume) in order of time."""

    def start(self) -> None:
        super().start()
        self._bars = iter(self.p.dataname)

    def _load(self) -> bool:
        bar = next(self._bars, None)
        if bar is None:
            return False
        lines = self.lines
        lines.datetime[0], lines.open[0], lines.high[0], lines.low[0], lines.close[0], lines.volume[0] = bar
        lines.openinterest[0] = 0.0
        return True


def feed_of(ts: Any, prices: Iterable[Any], minutes: int) -> Feed:
    """ts : int64 ns; prices : open, high, low, close and volume."""
    columns = [(ts / NS_DAY + DAY_ZERO).tolist(), *(column.tolist() for column in prices)]
    return Feed(dataname=list(zip(*columns, strict=True)), timeframe=bt.TimeFrame.Minutes, compression=minutes)


def prices_of(bars: Bars, at: Any) -> list[Any]:
    return [column[at] for column in (bars.open, bars.high, bars.low, bars.close, bars.volume)]


def longer_feed(bars: Bars, ts: Any, minutes: int) -> Feed:
    """Bars of 15 or 60 minutes from the session's open on, stamped where their time is over, at the latest its close.

    One whose last five minutes never came is stamped there too, at a moment on which no row comes.
    """
    at = np.flatnonzero(bars.is_bar)
    session, minute = bars.session[at], bars.minute[at].astype(np.int64)
    slot = -((OPEN_MINUTE - minute) // minutes)
    begins = np.flatnonzero(np.r_[True, (np.diff(session) != 0) | (np.diff(slot) != 0)])
    ends = np.r_[begins[1:], len(at)] - 1
    over = np.minimum(OPEN_MINUTE + slot * minutes, bars.closing[session])
    stamp = ts[at] + np.maximum(over - minute, 0) * NS_MINUTE
    opening, high, low, close, volume = prices_of(bars, at)
    longer = np.maximum.reduceat(high, begins), np.minimum.reduceat(low, begins)
    return feed_of(stamp[ends], (opening[begins], *longer, close[ends], np.add.reduceat(volume, begins)), minutes)


def known_bars(bars: Bars, minutes: int) -> tuple[list[int], list[tuple[float, ...]]]:
    """(how many closed bars of a timeframe are known at each row, their high, low, close and volume) as we see them."""
    frame = frame_bars(bars, minutes)
    known = np.searchsorted(frame.seen, np.arange(len(bars.session)), side="right")
    columns = (frame.high, frame.low, frame.close, frame.volume)
    return known.tolist(), list(zip(*(column.tolist() for column in columns), strict=True))


def run_bars(store: Store, first: int, last: int) -> Bars:
    """The store's rows [first, last) as bars."""
    bars = bars_of(store.columns)
    return Bars(*(column[first:last] for column in bars[:-2]), bars.start, bars.closing)


# ---------------------------------------------------------------- the broker and the check


class MarkedBroker(bt.BrokerBase):  # type: ignore[misc]
    """Advances the pass by each row that Cerebro delivers; its cash and value are the book's after that row, in $.

    state : what `run_rows` takes before the rows; rows : the feeds whose every bar is a row
    """

    def __init__(self, state: tuple[Any, ...], rows: Sequence[Feed], first: int) -> None:
        super().__init__()
        self.state, self.rows = state, rows
        self.first = self.row = first  # row: the next one
        self.moved = False
        book, self.ledger = state[4], state[5]
        self.startingcash = self.cash = self.value = float(book.head.cash) / 100.0

    def next(self) -> None:
        """Cerebro has come to a moment; nobody has been told yet what the book is worth there."""
        arrived = sum(len(feed) for feed in self.rows) - (self.row - self.first)
        if arrived > 1:
            raise DataError(f"backtrader's clock delivers {arrived} rows at once at row {self.row}; give each its time")
        self.moved = arrived == 1
        if self.moved:
            run_rows(*self.state, self.row, self.row + 1)
            cash, marks = int(self.ledger.rows[CASH, self.row]), int(self.ledger.rows[MARKS, self.row])
            self.cash, self.value = cash / 100.0, (cash + marks) / 100.0
            self.row += 1

    def getcash(self) -> float:
        return self.cash

    def getvalue(self, datas: Any = None) -> float:
        """The marked equity; 0 for the positions in given feeds."""
        return 0.0 if datas else self.value

    get_cash, get_value = getcash, getvalue

    def getposition(self, _data: Any) -> Any:
        return bt.Position()

    def get_notification(self) -> None:
        """No order of backtrader's ever works here."""


class Witness(bt.Strategy):  # type: ignore[misc]
    """Decides nothing: at each moment, from the first one on, it calls `check` with itself."""

    params = (("check", None),)

    def next(self) -> None:
        self.p.check(self)

    def prenext(self) -> None:
        self.next()


def checker(broker: MarkedBroker, store: Store, bars: Bars, longer: dict[int, Feed]) -> Callable[[Witness], None]:
    """The check of one moment: a DataError where the row just advanced is not what backtrader's clock shows."""
    ts, is_bar = store.columns["ts"], bars.is_bar.tolist()
    ours = [(minutes, feed, *known_bars(bars, minutes)) for minutes, feed in longer.items()]

    def check(strategy: Witness) -> None:
        if not broker.moved:  # a longer bar's time is over and its last five minutes never came: no row is due
            return
        row = broker.row - 1
        j = row - broker.first
        if abs((strategy.datetime[0] - DAY_ZERO) * NS_DAY - int(ts[row])) > NEAR_NS:
            raise DataError(differs(store, row, f"its clock shows {strategy.datetime.datetime(0)} UTC"))
        if is_bar[j]:  # we take note of a late bar on the next bar, backtrader already on a snapshot before it
            for minutes, feed, known, closed in ours:
                if len(feed) != known[j]:
                    raise DataError(differs(store, row, f"{len(feed)} bars of {minutes} minutes, not {known[j]}"))
                if known[j] and not same_bar(feed, closed[known[j] - 1]):
                    raise DataError(differs(store, row, f"another {minutes}-minute bar, not {closed[known[j] - 1]}"))

    return check


def same_bar(feed: Feed, bar: tuple[float, ...]) -> bool:
    """Whether the feed's last bar has this high, low, close and volume."""
    volume, ours = feed.volume[0], bar[3]
    alike = math.isclose(volume, ours, rel_tol=SAME_VOLUME) or (math.isnan(volume) and math.isnan(ours))
    return alike and (feed.high[0], feed.low[0], feed.close[0]) == bar[:3]


def differs(store: Store, row: int, what: str) -> str:
    moment = np.datetime64(int(store.columns["ts"][row]), "ns").astype("datetime64[s]")
    return f"row {row} of market '{store.name}' ({moment} UTC) is not what backtrader sees: {what}; no result is given"


# ---------------------------------------------------------------- the driver


def drive(store: Store, analyzers: Iterable[Any], state: tuple[Any, ...], first: int, last: int) -> list[Any]:
    """Advance a pass over rows [first, last) under Cerebro; returns the analyzers."""
    bars, ts = run_bars(store, first, last), np.asarray(store.columns["ts"][first:last])
    bar, other = np.flatnonzero(bars.is_bar), np.flatnonzero(bars.is_bar == 0)
    rows = [feed_of(ts[at], prices_of(bars, at), FRAMES[0]) for at in (bar, other) if len(at)]
    longer = {minutes: longer_feed(bars, ts, minutes) for minutes in FRAMES[1:]}
    cerebro = bt.Cerebro(stdstats=False)
    for feed in (rows[0], *longer.values(), *rows[1:]):
        cerebro.adddata(feed)
    broker = MarkedBroker(state, rows, first)
    cerebro.setbroker(broker)
    cerebro.addstrategy(Witness, check=checker(broker, store, bars, longer))
    for entry in analyzers:
        kind, options = entry if isinstance(entry, tuple) else (entry, {})
        cerebro.addanalyzer(kind, **options)
    (strategy,) = cerebro.run()
    if broker.row != last:
        raise DataError(f"backtrader's clock stopped before row {broker.row} of market '{store.name}', not at {last}")
    return list(strategy.analyzers)


def run_under_backtrader(
    store: Store, config: Config, analyzers: Iterable[Any] = ()
) -> tuple[BacktestResult, list[Any]]:
    """The backtest of `config` on `store`, row by row as Cerebro's clock delivers them: the same result to the cent.

    analyzers : classes of backtrader analyzers, or (class, options); they come back after the run, in this order
    """
    made: list[Any] = []

    def driver(*state: Any) -> None:
        made.extend(drive(store, analyzers, state[:-2], *state[-2:]))

    return run(store, config, driver=driver), made
