"""Other systems on the benchmark's five-minute bars, where they are importable: bars a second that each goes through.

What is measured stands beside each figure. These systems do other work than ours; the ratios say what their loop costs
on the same bars, not what they would give. None of them is needed by anything else here.
"""

from __future__ import annotations

import importlib
import importlib.util
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from core.market.store import Store

BARS_OF_LOOPS = 7_800  # of the slow ones: a hundred sessions


class Missing(Exception):
    """A peer that is not installed."""


def module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        raise Missing(f"not installed (pip install {name})") from None


def frame_of(store: Store, bars: int) -> Any:
    """The first bars as a pandas frame by New York time."""
    import pandas as pd

    columns = store.columns
    kept = np.nonzero(columns["is_bar"])[0][:bars] if "is_bar" in columns else np.arange(min(bars, len(columns["ts"])))
    index = pd.to_datetime(columns["ts"][kept], utc=True).tz_convert("America/New_York").tz_localize(None)
    close = np.asarray(columns["spot"][kept])
    data = {name: np.asarray(columns.get(name, columns["spot"])[kept]) for name in ("open", "high", "low")}
    return pd.DataFrame({**data, "close": close, "volume": 0.0}, index=index)


def timed(work: Callable[[], Any]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def backtrader_loop(store: Store) -> tuple[float, str]:
    """An empty next() on 5-, 15- and 60-minute feeds."""
    bt = module("backtrader")
    frame = frame_of(store, BARS_OF_LOOPS)

    class Empty(bt.Strategy):  # type: ignore[misc]
        def next(self) -> None:
            """Decide nothing."""

    def run() -> None:
        cerebro = bt.Cerebro(stdstats=False)
        feed = bt.feeds.PandasData(dataname=frame, timeframe=bt.TimeFrame.Minutes, compression=5)
        cerebro.adddata(feed)
        for minutes in (15, 60):
            cerebro.resampledata(feed, timeframe=bt.TimeFrame.Minutes, compression=minutes)
        cerebro.addstrategy(Empty)
        cerebro.run()

    return len(frame) / timed(run), "empty next(), feeds of 5, 15 and 60 minutes"


def vectorbt_cross(store: Store) -> tuple[float, str]:
    """Two moving averages crossing, after one call that compiles."""
    vbt = module("vectorbt")
    close = frame_of(store, 10**9)["close"]

    def run() -> None:
        fast, slow = vbt.MA.run(close, 10), vbt.MA.run(close, 30)
        vbt.Portfolio.from_signals(close, fast.ma_crossed_above(slow), fast.ma_crossed_below(slow)).total_return()

    run()
    return len(close) / timed(run), "averages of 10 and 30 bars crossing, one position, compiled before"


def daily_chain(store: Store) -> Any:
    """Made-up end-of-day condors' quotes on the market's own closes: strikes, rights and expiries of a plain grid."""
    import pandas as pd

    close = frame_of(store, 10**9)["close"]
    days = close.groupby(close.index.normalize()).last()
    rows = []
    for day, spot in days.items():
        for ahead in (7, 14, 30, 45):
            for strike in np.arange(round(spot) - 30, round(spot) + 31, 5):
                for right in ("call", "put"):
                    inside = max(spot - strike, 0.0) if right == "call" else max(strike - spot, 0.0)
                    mid = inside + 0.4 * np.sqrt(ahead) * np.exp(-abs(strike - spot) / 20.0)
                    delta = 0.5 * np.exp(-abs(strike - spot) / 15.0) * (1 if right == "call" else -1)
                    rows.append(
                        (day, day + pd.Timedelta(days=ahead), strike, right, mid * 0.98, mid * 1.02, delta, spot)
                    )
    names = ["quote_date", "expiration", "strike", "option_type", "bid", "ask", "delta", "underlying_price"]
    frame = pd.DataFrame(rows, columns=names)
    return frame.assign(underlying_symbol="SPY")


def optopsy_condors(store: Store) -> tuple[float, str]:
    """Iron condors on end-of-day chains; quotes a second."""
    op = module("optopsy")
    chain = daily_chain(store)
    return len(chain) / timed(
        lambda: op.iron_condor(chain, raw=True)
    ), "quotes a second of daily chains, iron_condor(raw)"


PEERS: dict[str, Callable[[Store], tuple[float, str]]] = {
    "backtrader": backtrader_loop,
    "vectorbt": vectorbt_cross,
    "optopsy": optopsy_condors,
}
ONLY_NAMED = ("nautilus_trader", "ironcondor")  # whether they are there; their tapes are not made from a store


def peers(store: Store, ours: float) -> dict[str, dict[str, Any]]:
    """Every peer: its speed and ours beside it, or why there is none. ours : bars a second with one condor."""
    found: dict[str, dict[str, Any]] = {}
    for name, measure in PEERS.items():
        try:
            speed, text = measure(store)
        except Missing as error:
            found[name] = {"per_s": None, "text": str(error)}
        except Exception as error:  # noqa: BLE001 - a peer's own failure is shown, and is none of ours
            found[name] = {"per_s": None, "text": f"failed: {type(error).__name__}: {error}"}
        else:
            found[name] = {"per_s": speed, "text": f"{speed:,.0f} a second; ours {ours / speed:,.0f} x ({text})"}
    for name in ONLY_NAMED:
        there = importlib.util.find_spec(name) is not None
        found[name] = {
            "per_s": None,
            "text": "installed, not measured: reads its own tapes" if there else "not installed",
        }
    return found
