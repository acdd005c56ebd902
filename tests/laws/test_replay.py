"""A run that stops after any row stands where the backtest stood: law 5 for whoever looks into a run."""

import numpy as np
import pytest

from core.errors import DataError
from core.replay import Replay
from core.types import T
from tests import markets


@pytest.mark.parametrize("name", ["natural", "limit", "carried", "settled", "modelled"])
def test_a_replay_that_stops_now_and_then_ends_as_the_backtest_does(name):
    whole = markets.run_named(name)
    replay = Replay(whole.store, whole.config)
    rows = len(whole.market.row.ts)
    for row in [*range(17, rows - 1, 131), rows - 1]:
        replay.to(row)
    assert np.array_equal(replay.trades, whole.trades)
    assert np.array_equal(replay.fills, whole.fills)
    assert np.array_equal(replay.ledger.rows, whole.ledger.rows)
    assert np.array_equal(replay.ledger.codes, whole.ledger.codes)


def test_open_structures_count_at_their_mark_wherever_the_replay_stops():
    whole = markets.run_named("carried")
    row = int(whole.trades[0][T["opened"]]) + 5
    replay = Replay(whole.store, whole.config).to(row)
    assert replay.open_slots == [0]
    cash, marks = replay.ledger.rows[:2, row]
    assert replay.trades[0][T["mark"]] == marks
    assert cash == whole.config["account.starting_cash"] * 100 + replay.trades[0][T["pnl"]]


def test_a_replay_does_not_run_back_or_out_of_its_market():
    whole = markets.run_named("carried")
    replay = Replay(whole.store, whole.config).to(100)
    for row in (99, len(whole.market.row.ts)):
        with pytest.raises(DataError, match=f"row {row} lies behind row 100 or outside"):
            replay.to(row)
