"""Our functions against values computed elsewhere: one adapter a topic, for any folder of the schema.

A topic is a file `<topic>.json` of schema quantor-oracle/1. Its adapter (tests/oracles/adapters) takes the inputs of
a case and returns our value of every field. A field that a later part of the project brings
is returned as `Later(why)`: the others are compared, then the case shows as skipped with
that reason. A file without an adapter fails. The folder is given by `--oracles DIR` (default ../shared/oracles).
"""

import copy
import json
import math
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import FOLDERS, _folder
from tests.oracles.adapters import ADAPTERS, JUDGES
from tests.oracles.adapters.condor import iron_condor
from tests.oracles.compare import SCHEMA, Case, Later, agrees, disagreements, tolerance

# --- the cases of the folder --------------------------------------------------------------------------------


def cases_of(path: Path) -> list[Any]:
    """A parameter per case; a topic that nobody knows is one failing parameter of its own."""
    topic = path.stem
    if topic not in ADAPTERS:
        return [pytest.param(f"{topic}: no adapter in tests/oracles/adapters", id=topic)]
    content = json.loads(path.read_text(encoding="utf-8"))
    if content.get("schema") != SCHEMA or not content.get("cases"):
        return [pytest.param(f"{path.name}: not a file of schema {SCHEMA} with cases", id=topic)]
    return [
        pytest.param(Case(topic, body, content["default_tol"]), id=f"{topic}-{body['id']}") for body in content["cases"]
    ]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "case" not in metafunc.fixturenames:
        return
    folder = _folder(metafunc.config, "oracles")
    params = [param for path in sorted(folder.glob("*.json")) for param in cases_of(path)]
    if not params:
        why = f"no oracle files in {FOLDERS['oracles']}; give their folder with --oracles DIR"
        params = [pytest.param(why, marks=pytest.mark.skip(reason=why), id="none")]
    metafunc.parametrize("case", params)


def test_ours_agrees_with_the_reference(case):
    if isinstance(case, str):
        pytest.fail(case)
    ours = ADAPTERS[case.topic](case.body["inputs"])
    assert not JUDGES.get(case.topic, disagreements)(case, ours)
    waiting = {field: value.why for field, value in ours.items() if isinstance(value, Later)}
    if waiting.keys() & case.body["expected"].keys():
        compared = sorted(case.body["expected"].keys() - waiting.keys())
        pytest.skip(f"compared {', '.join(compared) or 'nothing'}; {'; '.join(sorted(set(waiting.values())))}")


# --- the comparison itself must be able to fail (no folder needed) ------------------------------------------

SPREAD = {
    "id": "hand",
    "inputs": {
        "kind": "lifecycle",
        **{"long_put": 90, "short_put": 95, "short_call": 105, "long_call": 115},
        "contracts": 2,
        "multiplier": 100,
        "quotes": {
            "long_put": {"bid": 0.60, "ask": 0.64},
            "short_put": {"bid": 1.50, "ask": 1.54},
            "short_call": {"bid": 1.40, "ask": 1.46},
            "long_call": {"bid": 0.20, "ask": 0.24},
        },
        "settle_at": [100, 93, 120],
    },
    "expected": {
        **{"natural_credit": 2.02, "mid_credit": 2.11, "natural_debit_to_close": 2.20},
        **{"round_trip_slippage": 0.18, "max_profit": 404.0, "max_loss": 1596.0},
        **{"max_loss_put_side": 596.0, "max_loss_call_side": 1596.0, "gross_requirement": 2000.0},
        **{"breakeven_low": 92.98, "breakeven_high": 107.02, "pnl_at_expiry": [404.0, 4.0, -1596.0]},
    },
}


def hand_case(**changes):
    return Case("iron_condor", {**copy.deepcopy(SPREAD), **changes}, {"abs": 1e-6})


def test_a_condor_worked_by_hand_agrees():
    assert disagreements(hand_case(), iron_condor(SPREAD["inputs"])) == []


@pytest.mark.parametrize("field", SPREAD["expected"])
def test_any_altered_value_is_noticed(field):
    altered = copy.deepcopy(SPREAD["expected"])
    altered[field] = altered[field] + 0.01 if field != "pnl_at_expiry" else [404.0, 4.0, -1596.01]
    (line,) = disagreements(hand_case(expected=altered), iron_condor(SPREAD["inputs"]))
    assert line.startswith(field)


@pytest.mark.parametrize(
    ("ours", "expected", "same"),
    [
        (1.0 + 1.5e-3, 1.0, True),
        (1.0 + 2.5e-3, 1.0, False),
        (math.nan, 1.0, False),
        (None, 1.0, False),
        (0.0, None, False),
        (math.nan, None, False),
        (None, None, True),
        ([1.0, None], [1.0, None], True),
        ([1.0], [1.0, 2.0], False),
        (1, True, False),
        ("below", "above", False),
    ],
)
def test_null_means_none_and_unknown_never_passes(ours, expected, same):
    case = hand_case(tol={"x": {"abs": 1e-3, "rel": 1e-3}})
    assert agrees(ours, expected, case, "x") is same


def test_the_tolerance_of_a_case_goes_before_that_of_its_file():
    case = Case("t", {"id": "1", "tol": {"price": {"abs": 2.0}}}, {"delta": {"rel": 3.0}, "vega": {"abs": 4.0}})
    assert tolerance("price", case) == (2.0, 0.0)
    assert tolerance("delta", case) == (0.0, 3.0)
    assert tolerance("delta", case._replace(body={"id": "1", "tol": {"abs": 5.0}})) == (5.0, 0.0)
    with pytest.raises(AssertionError, match="no tolerance for rho"):
        tolerance("rho", case)


def test_a_field_the_adapter_does_not_know_is_a_disagreement():
    assert disagreements(hand_case(expected={"theta": 1.0}), {}) == ["theta: the adapter gives no value"]


def test_an_unknown_topic_fails(tmp_path):
    (unknown,) = cases_of(tmp_path / "astrology.json")
    assert "no adapter" in unknown.values[0] and not unknown.marks
