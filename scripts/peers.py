"""Other systems on the benchmark's own five-minute bars and quotes, where importable: process time of one core.

    python benchmark_cpu.py --peers

Each line says what was measured and stands beside the nearest work of the engine here, measured in the same run (OURS
in benchmark_cpu.py). The work is never the same: a loop that decides nothing is compared with whole backtests that
mark four legs on every bar. Nothing else here needs a peer; they like to be alone in an environment:

    python -m venv peer && peer/bin/pip install -r requirements.txt && peer/bin/pip install PEER
    peer/bin/python benchmark_cpu.py --peers
"""

from __future__ import annotations

import gc
import importlib
import importlib.metadata
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from core.market.store import Store
from core.types import CALL, GOOD, PUT

FAST, SLOW = 10, 30  # bars of the crossing averages
BARS_A_SESSION = 78
QUICK_SESSIONS = 50
CONDOR_DELTAS = (-0.05, -0.16, 0.16, 0.05)  # put wing, short put, short call, call wing
TAPE_SESSIONS, BOOK_SESSIONS = 30, 10  # bars on which one condor is replayed: simple fills, order-book fills


class Figure(NamedTuple):
    """How much of what a peer did in a second, and which speed here it is held against."""

    work: str
    per_s: float
    ours: str


class Sample(NamedTuple):
    """What peers run on: the bars of the first sessions, and the quotes of the market they come from."""

    store: Store
    rows: Any  # of the bars

    def column(self, name: str) -> Any:
        return np.asarray(self.store.columns[name])[self.rows]


Measure = Callable[[Sample], Iterator[Figure]]


def sample_of(store: Store, sessions: int | None) -> Sample:
    """The bars of the first so many sessions, or of all."""
    bars = np.flatnonzero(store.columns["is_bar"])
    if sessions is not None:
        bars = bars[np.asarray(store.columns["session"])[bars] < sessions]
    return Sample(store, bars)


def seconds_of(work: Callable[[], Any]) -> float:
    """Process time of one call."""
    gc.collect()
    began = time.process_time()
    work()
    return time.process_time() - began


def frame_of(sample: Sample) -> Any:
    """The bars as a pandas frame in UTC, stamped at their close."""
    import pandas as pd

    prices = {name: sample.column(name) for name in ("open", "high", "low")}
    index = pd.DatetimeIndex(pd.to_datetime(sample.column("ts")))
    return pd.DataFrame({**prices, "close": sample.column("spot"), "volume": sample.column("volume")}, index=index)


def listed_at(store: Store, row: int) -> tuple[Any, Any]:
    """(contracts with a good two-sided quote on a row, their cells in the table of quotes)."""
    columns = store.columns
    snapshot = int(columns["snap"][row])
    there = np.flatnonzero((columns["q_first"] <= snapshot) & (snapshot <= columns["q_last"]))
    cells = columns["q_base"][there] + snapshot - columns["q_first"][there]
    good = (columns["q_flag"][cells] == GOOD) & (columns["q_bid"][cells] > 0)
    return there[good], cells[good]


# ---------------------------------------------------------------- bars


def backtrader(sample: Sample) -> Iterator[Figure]:
    """Its loop over one feed and over three, deciding nothing and trading a cross of averages."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of escapes in its docstrings
        import backtrader as bt
    frame = frame_of(sample)

    class Empty(bt.Strategy):  # type: ignore[misc]
        def next(self) -> None:
            """Decide nothing."""

    class Cross(bt.Strategy):  # type: ignore[misc]
        def __init__(self) -> None:
            self.crosses = [
                bt.ind.CrossOver(bt.ind.SMA(data, period=FAST), bt.ind.SMA(data, period=SLOW)) for data in self.datas
            ]

        def next(self) -> None:
            if self.crosses[0][0] > 0 and not self.position:
                self.buy()
            elif self.crosses[0][0] < 0 and self.position:
                self.close()

    for longer, feeds, ours in (((), "5-minute feed", "bars"), ((15, 60), "5-, 15-, 60-minute feeds", "signals, bars")):
        for strategy, decides in ((Empty, "empty next()"), (Cross, f"SMA {FAST}/{SLOW} cross")):
            cerebro = bt.Cerebro(stdstats=False)
            feed = bt.feeds.PandasData(dataname=frame, timeframe=bt.TimeFrame.Minutes, compression=5)
            cerebro.adddata(feed)
            for minutes in longer:
                cerebro.resampledata(feed, timeframe=bt.TimeFrame.Minutes, compression=minutes)
            cerebro.addstrategy(strategy)
            seconds = seconds_of(cerebro.run)
            seen = len(cerebro.runstrats[0][0].datas[0])
            if seen != len(frame):
                raise ValueError(f"{seen} of {len(frame)} bars came out of its feed")
            yield Figure(f"{feeds}, {decides}", len(frame) / seconds, ours)


def vectorbt(sample: Sample) -> Iterator[Figure]:
    """A cross of averages as whole columns."""
    import vectorbt as vbt

    close = frame_of(sample)["close"]

    def cross() -> float:
        fast, slow = vbt.MA.run(close, FAST), vbt.MA.run(close, SLOW)
        entries, exits = fast.ma_crossed_above(slow), fast.ma_crossed_below(slow)
        return float(vbt.Portfolio.from_signals(close, entries, exits, freq="5min").total_return())

    cross()  # compiles
    seconds = float(np.median([seconds_of(cross) for _ in range(5)]))
    yield Figure(f"SMA {FAST}/{SLOW} cross, whole columns, compiled before", len(close) / seconds, "bars")


def nautilus_trader(sample: Sample) -> Iterator[Figure]:
    """Its event loop over bars, deciding nothing and trading a cross of averages; loading is not counted."""
    from nautilus_trader.backtest.engine import BacktestEngine, BacktestEngineConfig
    from nautilus_trader.config import LoggingConfig
    from nautilus_trader.indicators import SimpleMovingAverage
    from nautilus_trader.model.currencies import USD
    from nautilus_trader.model.data import BarType
    from nautilus_trader.model.enums import AccountType, OmsType, OrderSide
    from nautilus_trader.model.identifiers import Venue
    from nautilus_trader.model.objects import Money
    from nautilus_trader.persistence.wranglers import BarDataWrangler
    from nautilus_trader.test_kit.providers import TestInstrumentProvider
    from nautilus_trader.trading.strategy import Strategy

    share = TestInstrumentProvider.equity(symbol="SPY", venue="SIM")
    kind = BarType.from_str(f"{share.id}-5-MINUTE-LAST-EXTERNAL")
    bars = BarDataWrangler(kind, share).process(frame_of(sample).tz_localize("UTC"))

    class Empty(Strategy):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.seen = 0

        def on_start(self) -> None:
            self.subscribe_bars(kind)

        def on_bar(self, bar: Any) -> None:
            self.seen += 1

    class Cross(Empty):
        def __init__(self) -> None:
            super().__init__()
            self.fast, self.slow = SimpleMovingAverage(FAST), SimpleMovingAverage(SLOW)

        def on_start(self) -> None:
            for average in (self.fast, self.slow):
                self.register_indicator_for_bars(kind, average)
            super().on_start()

        def on_bar(self, bar: Any) -> None:
            self.seen += 1
            above = self.fast.value > self.slow.value
            if not self.indicators_initialized() or above == self.portfolio.is_net_long(share.id):
                return
            side = OrderSide.BUY if above else OrderSide.SELL
            self.submit_order(self.order_factory.market(share.id, side, share.make_qty(1)))

    for strategy, decides in ((Empty(), "on_bar() that counts"), (Cross(), f"SMA {FAST}/{SLOW} cross")):
        engine = BacktestEngine(BacktestEngineConfig(logging=LoggingConfig(bypass_logging=True)))
        engine.add_venue(Venue("SIM"), OmsType.NETTING, AccountType.CASH, [Money(1_000_000, USD)], base_currency=USD)
        engine.add_instrument(share)
        engine.add_data(bars)
        engine.add_strategy(strategy)
        seconds = seconds_of(engine.run)
        if strategy.seen != len(bars):
            raise ValueError(f"{strategy.seen} of {len(bars)} bars reached its strategy")
        engine.dispose()
        yield Figure(f"5-minute bars, {decides}", len(bars) / seconds, "bars")


# ---------------------------------------------------------------- chains


def daily_chain(sample: Sample) -> Any:
    """The market's quotes on the last bar of each session, $ a share."""
    import pandas as pd

    columns = sample.store.columns
    session = sample.column("session")
    closing = sample.rows[np.r_[session[1:] != session[:-1], True]]
    found = [(row, *listed_at(sample.store, row)) for row in closing.tolist()]
    row = np.concatenate([np.full(len(contracts), r) for r, contracts, _ in found])
    contract = np.concatenate([contracts for _, contracts, _ in found])
    cell = np.concatenate([cells for _, _, cells in found])
    expiry = columns["c_expiry"][contract]
    day = np.asarray(columns["s_day"])[np.asarray(columns["session"])[row]]
    return pd.DataFrame(
        {
            "underlying_symbol": "SPY",
            "underlying_price": columns["spot"][row],
            "option_type": np.where(columns["c_right"][contract] == CALL, "c", "p"),
            "expiration": pd.to_datetime(columns["e_day"][expiry].astype("M8[D]")),
            "quote_date": pd.to_datetime(day.astype("M8[D]")),
            "strike": columns["c_strike"][contract] / 100.0,
            "bid": columns["q_bid"][cell] / 100.0,
            "ask": columns["q_ask"][cell] / 100.0,
            "delta": columns["q_delta"][cell].astype(np.float64),
        }
    )


def optopsy(sample: Sample) -> Iterator[Figure]:
    """All condors that can be sold at the closes, without and with daily exits."""
    import optopsy as op

    chain = daily_chain(sample)
    target = [{"target": abs(delta), "min": abs(delta) / 2, "max": abs(delta) * 1.5} for delta in CONDOR_DELTAS]
    asked = {f"leg{i}_delta": wanted for i, wanted in enumerate(target, 1)}
    asked |= {"max_entry_dte": 45, "exit_dte": 7, "raw": True}
    sold: list[Any] = []
    for exits, told in (({}, "held to 7 days"), ({"take_profit": 0.5, "stop_loss": -1.0}, "target and stop each day")):
        terms = {**asked, **exits}
        seconds = seconds_of(lambda terms=terms: sold.append(op.iron_condor(chain, **terms)))  # type: ignore[misc]
        if not len(sold[-1]):
            raise ValueError("it sold no condor on this chain")
        work = f"{len(sold[-1]):,} condors of daily chains ({len(chain):,} quotes), {told}"
        yield Figure(work, len(sold[-1]) / seconds, "condors")


def condor_at(store: Store, row: int) -> tuple[int, list[int], list[int]]:
    """(an expiry a month or more ahead, its contracts nearest to CONDOR_DELTAS, their mids in cents) on a row."""
    columns = store.columns
    contracts, cells = listed_at(store, row)
    days = columns["e_day"][columns["c_expiry"][contracts]] - columns["s_day"][columns["session"][row]]
    expiry = int(columns["c_expiry"][contracts[days >= 30]].min())
    legs, mids = [], []
    for right, delta in zip((PUT, PUT, CALL, CALL), CONDOR_DELTAS, strict=True):
        fits = (columns["c_expiry"][contracts] == expiry) & (columns["c_right"][contracts] == right)
        best = np.flatnonzero(fits)[np.argmin(np.abs(columns["q_delta"][cells[fits]] - delta))]
        legs.append(int(contracts[best]))
        mids.append(int(columns["q_bid"][cells[best]] + columns["q_ask"][cells[best]]) // 2)
    return expiry, legs, mids


def tape_of(sample: Sample, expiry: int) -> Any:
    """An arrow table of every quote of one expiry on the bars, cents; greeks but delta are 0."""
    import pyarrow as pa

    columns, found = sample.store.columns, []
    for step, row in enumerate(sample.rows.tolist()):
        contracts, cells = listed_at(sample.store, row)
        mine = columns["c_expiry"][contracts] == expiry
        found.append((np.full(mine.sum(), step), np.full(mine.sum(), row), contracts[mine], cells[mine]))
    step, row, contract, cell = (np.concatenate(part) for part in zip(*found, strict=True))
    rows, none = len(step), np.zeros(len(step))
    call = columns["c_right"][contract] == CALL
    return pa.table(
        {
            "step": step.astype(np.int32),
            "ts": columns["ts"][row],
            "underlying": ["SPY"] * rows,
            "underlying_price": np.rint(columns["spot"][row] * 100).astype(np.int64),
            "tick_size": np.ones(rows, np.int64),
            "contract_multiplier": np.full(rows, 100, np.int32),
            "expiration": np.full(rows, columns["e_ts"][expiry], np.int64),
            "strike": columns["c_strike"][contract].astype(np.int64),
            "style": np.where(call, "call", "put").tolist(),
            "bid": columns["q_bid"][cell].astype(np.int64),
            "ask": columns["q_ask"][cell].astype(np.int64),
            "bid_size": np.full(rows, 100, np.int32),
            "ask_size": np.full(rows, 100, np.int32),
            "implied_volatility": columns["q_vol"][cell].astype(np.float64),
            "delta": columns["q_delta"][cell].astype(np.float64),
            **{name: none for name in ("gamma", "theta", "vega")},
        }
    )


def ironcondor(sample: Sample) -> Iterator[Figure]:
    """One condor with given strikes over a tape of its expiry; reading the tape and writing the result count."""
    import ironcondor as ic
    from pyarrow import parquet

    store, columns = sample.store, sample.store.columns
    expiry, legs, mids = condor_at(store, int(sample.rows[1]))
    strikes = [int(columns["c_strike"][leg]) for leg in legs]
    with tempfile.TemporaryDirectory() as folder:
        for sessions, fills in ((TAPE_SESSIONS, "simple"), (BOOK_SESSIONS, "order-book")):
            part = sample._replace(rows=sample.rows[1 : 1 + sessions * BARS_A_SESSION])
            part = part._replace(rows=part.rows[part.column("ts") < columns["e_ts"][expiry]])
            tape = tape_of(part, expiry)
            parquet.write_table(tape, Path(folder) / f"{fills}.parquet")
            asked = ic.BacktestConfig(seed=1, capital_cents=100_000_000)
            asked = asked.data_parquet(str(Path(folder) / f"{fills}.parquet")).strategy_iron_condor(
                underlying="SPY",
                underlying_price_cents=round(float(columns["spot"][part.rows[0]]) * 100),
                long_put_strike_cents=strikes[0],
                short_put_strike_cents=strikes[1],
                short_call_strike_cents=strikes[2],
                long_call_strike_cents=strikes[3],
                expiration_ns=int(columns["e_ts"][expiry]),
                quantity=1,
                premium_long_put_cents=mids[0],
                premium_short_put_cents=mids[1],
                premium_short_call_cents=mids[2],
                premium_long_call_cents=mids[3],
            )
            asked = asked.execution_naive() if fills == "simple" else asked.execution_realistic()
            asked = asked.exit_expiration().output_dir(folder).overwrite()
            seconds = seconds_of(lambda asked=asked: ic.run(asked))  # type: ignore[misc]
            quotes = len(tape) / len(part.rows)
            work = f"one given condor, {len(part.rows):,} bars of {quotes:.0f} quotes, {fills} fills"
            yield Figure(work, len(part.rows) / seconds, "bars")


PEERS: dict[str, Measure] = {
    "backtrader": backtrader,
    "vectorbt": vectorbt,
    "nautilus_trader": nautilus_trader,
    "optopsy": optopsy,
    "ironcondor": ironcondor,
}


def one_line(error: BaseException) -> str:
    """An error's kind and the first line of what it says."""
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"


def measured(name: str, measure: Measure, sample: Sample, ours: Mapping[str, float]) -> dict[str, Any]:
    """A peer's figures so far as it came, and its version; why it came no further, or null."""
    figures: list[dict[str, Any]] = []
    found: dict[str, Any] = {"version": None, "figures": figures, "failed": None}
    try:
        importlib.import_module(name)
        found["version"] = importlib.metadata.version(name)
        for figure in measure(sample):
            figures.append(
                {**figure._asdict(), "ours_per_s": ours[figure.ours], "ratio": ours[figure.ours] / figure.per_s}
            )
    except ModuleNotFoundError as error:
        found["failed"] = "not installed" if error.name == name else one_line(error)
    except Exception as error:  # noqa: BLE001 - whatever a peer runs into is told, and is no failure of ours
        found["failed"] = one_line(error)
    return found


def measure_all(
    store: Store, ours: Mapping[str, float], quick: bool, peers: Mapping[str, Measure] = PEERS
) -> dict[str, Any]:
    """Every peer by name. ours : speeds of this engine by the names that figures ask for."""
    sample = sample_of(store, QUICK_SESSIONS if quick else None)
    return {name: measured(name, measure, sample, ours) for name, measure in peers.items()}


def table(found: Mapping[str, Any]) -> list[str]:
    """The result for people."""
    lines = [f"{'peer':32} {'a second':>12} {'here':>14} {'here / peer':>12}  what it did"]
    for name, peer in found.items():
        title = name if peer["version"] is None else f"{name} {peer['version']}"
        for figure in peer["figures"]:
            lines.append(
                f"{title:32} {figure['per_s']:>12,.0f} {figure['ours_per_s']:>14,.0f} {figure['ratio']:>12,.1f}  "
                f"{figure['work']} | {figure['ours']}"
            )
        if peer["failed"] is not None:
            lines.append(f"{title:32} {peer['failed']}")
    return lines
