"""The columns of what is known of a row beyond its price: one function of a market's bars, volatilities and settings.

Every value of row r comes from rows up to r, and from bars closed by it. NaN is unknown: warming up, not in this
market, or on rows of a market without five-minute bars. Regime and fuzzy score are added by core.features.regimes and
fuzzy_engine, which read these columns.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from core.features.indicators import (
    adx_rows,
    adx_state,
    adx_step,
    bollinger_step,
    rsi_state,
    rsi_step,
    stochastic_state,
    stochastic_step,
    volume_ratio_step,
    window_state,
)
from core.features.sessions import (
    SessionBars,
    before,
    day_range,
    iv_ranks,
    mean_close,
    realised_volatility,
    session_bars,
)
from core.features.timeframes import (
    FRAMES,
    Bars,
    FrameBars,
    consensus_rows,
    first_step,
    frame_bars,
    frame_trend,
    frame_weights,
    last_closed,
    show_closed,
)
from core.features.turbulence import turbulence
from core.jit import njit
from core.types import SIGNAL, SIGNALS

PERIOD = 14  # bars of RSI, ADX, stochastic
BAND_BARS, BAND_WIDTH, VOLUME_BARS = 20, 2.0, 20
INDICATORS = ("rsi", "adx", "stochastic", "bb_position", "bb_width", "volume_ratio", "sma_distance")


class IndicatorStates(NamedTuple):
    """What the indicators of one timeframe remember from bar to bar."""

    rsi: Any
    adx: Any
    stochastic: Any
    bands: Any
    volume: Any


def indicator_states() -> IndicatorStates:
    return IndicatorStates(
        rsi_state(), adx_state(), stochastic_state(PERIOD), window_state(BAND_BARS), window_state(VOLUME_BARS)
    )


@njit
def indicator_rows(states, high, low, close, volume, out):
    """INDICATORS of each bar; fills out, float64[7, m]. A batch goes on from where its states stand."""
    for i in range(close.size):
        out[0, i] = rsi_step(states.rsi, PERIOD, close[i])
        out[1, i], _, _ = adx_step(states.adx, PERIOD, high[i], low[i], close[i])
        out[2, i], _ = stochastic_step(states.stochastic, PERIOD, high[i], low[i], close[i])
        _, middle, _, out[3, i], out[4, i] = bollinger_step(states.bands, BAND_BARS, BAND_WIDTH, close[i])
        out[5, i] = volume_ratio_step(states.volume, VOLUME_BARS, volume[i])
        out[6, i] = close[i] / middle - 1.0


def frame_indicators(frame: FrameBars) -> Any:
    """float64 (7, M): INDICATORS of the closed bars of a timeframe."""
    out = np.empty((len(INDICATORS), len(frame.close)))
    indicator_rows(indicator_states(), frame.high, frame.low, frame.close, frame.volume, out)
    return out


def trend_strength(frame: FrameBars) -> Any:
    """ADX of each closed bar."""
    out = np.empty((3, len(frame.close)))
    adx_rows(adx_state(), PERIOD, frame.high, frame.low, frame.close, out)
    return out[0]


@njit
def session_value_rows(session, close, iv, vix, vix3m, mean, reach, realised, turbulent, out):
    """Columns that join a row with its session's past; fills out, float64[7, n], in the order of SESSION_COLUMNS."""
    for r in range(session.size):
        s = session[r]
        out[0, r] = close[r] / mean[s] - 1.0
        out[1, r] = reach[s]
        out[2, r] = realised[s]
        out[3, r] = realised[s] / iv[r] if iv[r] > 0.0 else math.nan
        out[4, r] = vix[r]
        out[5, r] = vix[r] / vix3m[r] if vix3m[r] > 0.0 else math.nan
        out[6, r] = turbulent[s]


SESSION_COLUMNS = ("day_distance", "day_atr", "realised", "vol_ratio", "vix", "term", "turbulent")


def frame_columns(bars: Bars, values: Mapping[str, Any], signal: Any) -> None:
    """Fill the columns that come from bars of a timeframe."""
    first = first_step(bars)
    shown = int(values["strategy.signals.indicator_minutes"])
    fast, slow = values["strategy.signals.trend_fast"], values["strategy.signals.trend_slow"]
    for minutes in FRAMES:
        frame = frame_bars(bars, minutes)
        found = dict(zip((f"trend_{minutes}", f"stretch_{minutes}"), frame_trend(frame, fast, slow), strict=True))
        if minutes == shown:
            found |= dict(zip(INDICATORS, frame_indicators(frame), strict=True))
        if minutes == FRAMES[-1]:
            found["trend_strength"] = trend_strength(frame)
        closed = np.empty(len(bars.session), np.int64)
        last_closed(frame.seen, first, closed)
        for name, value in found.items():
            show_closed(closed, value, signal[SIGNAL[name]])
    trends = signal[SIGNAL["trend_5"] : SIGNAL["trend_60"] + 1]
    consensus_rows(frame_weights(values), trends, signal[SIGNAL["consensus"]])


def turbulent_by_session(sessions: SessionBars, values: Mapping[str, Any]) -> Any:
    """P(turbulent) as each session sees it; unknown where the classifier does not ask for it."""
    if values["strategy.signals.classifier"] != "hmm":
        return np.full(len(sessions.close), np.nan)
    return before(turbulence(sessions.close, values["strategy.signals.hmm_refit"]))


def session_columns(
    bars: Bars, values: Mapping[str, Any], iv: Any, fresh: Any, vix: Any, vix3m: Any, signal: Any
) -> None:
    """Fill the columns that come from the sessions before, and the row's volatilities beside them."""
    sessions = session_bars(bars)
    known = (
        mean_close(sessions, values["strategy.signals.regime_sma_days"]),
        day_range(sessions),
        realised_volatility(sessions, values["strategy.signals.realised_days"]),
        turbulent_by_session(sessions, values),
    )
    out = np.empty((len(SESSION_COLUMNS), len(iv)))
    session_value_rows(bars.session, bars.close, iv, vix, vix3m, *known, out)
    for name, value in zip(SESSION_COLUMNS, out, strict=True):
        signal[SIGNAL[name]] = value
    signal[SIGNAL["iv"]] = iv
    ranks = iv_ranks(bars, iv, fresh, values["strategy.signals.iv_window"])
    signal[SIGNAL["iv_rank"]], signal[SIGNAL["iv_percentile"]] = ranks


def signal_columns(bars: Bars, values: Mapping[str, Any], iv: Any, fresh: Any, vix: Any, vix3m: Any) -> Any:
    """float64 (len(SIGNALS), N) of a market's bars; regime, score and confidence are left NaN.

    values : settings by path. iv, vix, vix3m : float64 (N), of each row: per year and in index points, NaN unknown.
    fresh : uint8 (N), 1 where the iv was read in the row's own session
    """
    signal = np.full((len(SIGNALS), len(iv)), np.nan)
    frame_columns(bars, values, signal)
    session_columns(bars, values, iv, fresh, vix, vix3m, signal)
    return signal
