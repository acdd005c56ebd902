"""What the report says was known on a row is what the strategy decided with."""

import numpy as np
import pytest

from core.report.folder import TRACE_COLUMNS, row_times, trace_lines
from core.report.funnel import STAGES
from core.report.insight import insight_of
from core.report.known import failing_texts, gates_of, signals_of, strengths_of
from core.types import GATE, REASON_NAMES, Reason
from fuzzy_engine import fired
from strategies.gates import GATE_REASONS, GATES
from strategies.view import fuzzy_base, fuzzy_engine_of, view_of
from tests import markets


@pytest.fixture(scope="module")
def run():
    """A run on bars; its filters need signals, so its market holds them."""
    result = markets.run_named("modelled")
    config = result.config.with_values(strategy__filters__vix_max=18.0, strategy__filters__rsi_min=40.0)
    market = view_of(result.market, result.store.columns, config.values)
    return result._replace(config=config, market=market)


def test_gates_stand_in_the_funnel_in_the_order_in_which_they_are_asked():
    stages = [reasons[0] for _, reasons in STAGES if reasons[0] in GATE_REASONS]
    assert stages == GATE_REASONS.tolist()


def test_signals_are_those_of_the_run_or_else_computed_once_more(run):
    assert signals_of(run)[0] is run.market.signal
    bare = run._replace(market=run.market._replace(signal=run.market.signal[:, :0]))
    assert np.array_equal(signals_of(bare)[0], run.market.signal, equal_nan=True)


def test_strengths_are_those_of_the_rule_book(run):
    rows = np.array([0, 500, 1500])
    engine = fuzzy_engine_of(fuzzy_base(run.config.values))
    found = strengths_of(run)
    assert len(found.texts) == len(found.strength) == len(engine.weight)
    assert pytest.approx(fired(engine, run.market.signal, rows), abs=1e-12) == found.strength[:, rows].T
    assert found.strength[:, 1500].sum() > 0.0


def test_a_row_has_a_first_gate_exactly_where_any_gate_fails(run):
    texts = failing_texts(gates_of(run), slice(None))
    first = run.market.gate[GATE].tolist()
    assert [bool(text) for text in texts] == [code != Reason.NONE for code in first]
    for text, code in zip(texts, first, strict=True):
        if code not in (Reason.NONE, Reason.SIGNAL_UNKNOWN):
            assert code == GATE_REASONS[GATES.index(text.split("+")[0])]


def test_trace_has_a_value_for_every_column_of_every_bar(run):
    lines = trace_lines(run, row_times(run))
    assert len(lines) == run.last_row - run.first_row
    rows = [dict(zip(TRACE_COLUMNS, line.split(","), strict=True)) for line in lines]
    assert {row["first_gate"] for row in rows} <= {"", *REASON_NAMES.values()}
    assert any("vix" in row["failing_gates"] for row in rows) and any(":" in row["rule_1"] for row in rows)


def test_a_run_is_compared_with_its_twin_only_if_a_signal_had_a_say(run):
    assert set(insight_of(run).figures) == {"by_group", "twin"}
    plain = markets.run_named("modelled")
    insight = insight_of(plain)
    assert set(insight.figures) == {"by_group"}
    for groups in insight.groups.values():
        assert sum(group.trades for group in groups) == len(insight.campaigns.first) > 0
