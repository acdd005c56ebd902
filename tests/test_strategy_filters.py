"""The gates before an entry: each stops what it says, lets through what it says, and unknown passes nothing.

A filter is asked of every row of the entry window; what stopped an entry is the row's verdict. Signals of the
hand-drawn market are made up row by row, so that the limit of each filter is met to the digit.
"""

import numpy as np
import pytest

import backtest_engine
from core.market.store import frozen
from core.types import REASONS, SIGNAL, SIGNALS, VERDICT, F, Reason, T
from strategies.view import gates_of
from tests import hand, markets
from tests.hand import NO_QUOTE, Then

# A filter: its settings, the signal it reads, values that pass and that do not, and the reason it gives.
FILTERS = {
    "a VIX too high": ({"filters__vix_max": 20.0}, "vix", 20.0, 20.01, "vix_level"),
    "a VIX too low": ({"filters__vix_min": 15.0}, "vix", 15.0, 14.99, "vix_level"),
    "a trend too strong": ({"filters__adx_max": 25.0}, "adx", 25.0, 25.1, "adx"),
    "an RSI too high": ({"filters__rsi_max": 60.0}, "rsi", 60.0, 60.1, "rsi"),
    "an RSI too low": ({"filters__rsi_min": 40.0}, "rsi", 40.0, 39.9, "rsi"),
    "a stochastic too high": ({"filters__stoch_max": 80.0}, "stochastic", 80.0, 80.1, "stoch"),
    "no agreement upwards": ({"filters__consensus_min": 0.4}, "consensus", 0.4, 0.39, "consensus"),
    "a score too low": ({"filters__score_min": 0.5}, "score", 0.5, 0.49, "score"),
}


@pytest.fixture
def entered(tmp_path, monkeypatch):
    """Whether the hand-drawn market's one condor is opened, and the reasons given in the window of the first day."""

    def seen(market, _columns, values, _always=False):
        signal = np.full((len(SIGNALS), len(market.row.ts)), np.nan)
        signal[SIGNAL["regime"]] = 0.0
        for name, value in shown.items():
            signal[SIGNAL[name]] = value
        return market._replace(signal=frozen(signal), gate=frozen(gates_of(market, signal, values)))

    shown = {}
    monkeypatch.setattr(backtest_engine, "view_of", seen)

    def ask(signals, *changes, **settings):
        shown.clear()
        shown.update(signals)
        result = hand.ran(hand.market(tmp_path / f"market-{len(list(tmp_path.iterdir()))}", *changes), **settings)
        return len(result.trades) == 1, hand.reasons_on(result, "06-02")

    return ask


@pytest.mark.parametrize("name", FILTERS)
def test_a_filter_passes_at_its_limit_and_stops_beyond_it(name, entered):
    settings, signal, passes, stops, reason = FILTERS[name]
    assert entered({signal: passes}, **settings)[0]
    opened, reasons = entered({signal: stops}, **settings)
    assert not opened and len(reasons) == 1 and reason in reasons.pop()


@pytest.mark.parametrize("name", FILTERS)
def test_an_unknown_signal_passes_nothing_and_is_called_unknown(name, entered):
    settings, signal, *_ = FILTERS[name]
    assert entered({signal: np.nan}, **settings) == (False, {"signal_unknown"})


@pytest.mark.parametrize("name", FILTERS)
def test_a_filter_that_is_off_stops_nothing(name, entered):
    _, signal, _, stops, _ = FILTERS[name]
    assert entered({signal: stops})[0]


def test_nothing_is_opened_outside_the_window_or_on_another_weekday(entered, tmp_path):
    result = hand.ran(hand.market(tmp_path / "days"), entry__window_start="11:00", entry__window_end="11:30")
    first = next(f for f in result.fills if f[F["contract"]] >= 0)
    assert hand.time_of(result.market, first[F["row"]]) == "06-02 11:05"  # decided at 11:00, filled on the next bar
    assert not entered({}, entry__weekdays="fri")[0]


def test_a_short_quoted_too_wide_is_refused(entered):
    wide = Then("06-02 09:35", {"P470": (180, 220)})  # 0.40 of a mid of 2.00
    assert entered({}, wide, filters__max_leg_spread=0.20)[0]
    opened, reasons = entered({}, wide, filters__max_leg_spread=0.19)
    assert not opened and "enter" not in reasons


def test_a_leg_without_a_quote_opens_nothing(entered):
    opened, reasons = entered({}, Then("06-02 09:35", {"C540": NO_QUOTE}), Then("06-03 09:35", {"C540": 100}))
    assert not opened and "enter" not in reasons


@pytest.mark.parametrize("name", sorted(markets.RUNS))
def test_every_row_of_every_run_has_a_reason_and_every_entry_was_decided(name):
    """A run with no trades explains itself: no row is silent."""
    result = markets.run_named(name)
    codes = result.ledger.codes[VERDICT]
    assert {code for code in np.unique(codes).tolist() if code not in REASONS} == set()
    first = result.trades[result.trades[:, T["campaign"]] == np.arange(len(result.trades)), T["decided"]]
    decided = {REASONS[code][0] for code in codes[first - result.first_row].tolist()}
    assert decided <= {"enter"}
