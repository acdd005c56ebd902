"""Each safeguard removed in turn: the scenario that needs it must fail, or it proves nothing."""

import pytest

from tests.live.alpaca_sim.stage import QUICK, Stage
from tests.live.test_exactly_once import (
    ORDERS,
    QUICK,
    SPOILED,
    entered_once,
    second_process,
    waited_no_longer_than_allowed,
)


@pytest.fixture
def mutant(tmp_path):
    made = []

    def make(mutation):
        made.append(Stage(tmp_path / "stage", settings=QUICK, mutation=mutation))
        return made[-1]

    yield make
    for stage in made:
        stage.end()


def spoiled(stage, name):
    stage.fault(method="POST", path=ORDERS, phase="after", count=1, **SPOILED[name])
    code = stage.run()
    entered_once(stage, code)
    waited_no_longer_than_allowed(stage)


@pytest.mark.live
@pytest.mark.parametrize(
    ("mutation", "scenario"),
    [
        ("lookup", lambda stage: spoiled(stage, "01-504-after-accept")),
        ("timeout", lambda stage: spoiled(stage, "03-hang-after-accept")),
        ("sign", lambda stage: entered_once(stage, stage.run())),
        ("lock", second_process),
    ],
    ids=["lookup", "timeout", "sign", "lock"],
)
def test_without_its_safeguard_a_scenario_fails(mutant, mutation, scenario):
    with pytest.raises(AssertionError):
        scenario(mutant(mutation))


@pytest.mark.live
def test_with_all_safeguards_the_same_scenarios_pass(mutant):
    spoiled(mutant(""), "01-504-after-accept")
