"""reports/reliability.json: which faults were survived, with the seeds and ledger hashes of drawn runs."""

import json

import pytest

from core.config import ROOT
from tests.live.alpaca_sim.stage import QUICK, Stage

FILES = ("test_exactly_once", "test_faults", "test_soak", "test_mutations", "test_parity")
_results = {}


def pytest_runtest_logreport(report):
    file, _, name = report.nodeid.rpartition("::")
    if file.endswith(tuple(f"{f}.py" for f in FILES)) and (report.when == "call" or report.outcome == "failed"):
        facts = {"passed": report.outcome == "passed", "seconds": round(report.duration, 1)}
        drawn = [value for _, value in report.user_properties]
        _results[name] = {**facts, "drawn": drawn} if drawn else facts


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session):
    config = session.config
    if hasattr(config, "workerinput") or not (config.getoption("live") or config.getoption("soak")) or not _results:
        return
    path = ROOT / "reports" / "reliability.json"
    path.parent.mkdir(exist_ok=True)
    kept = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps(dict(sorted({**kept, **_results}.items())), indent=1) + "\n")


@pytest.fixture
def stages(tmp_path):
    """Makes stages, and ends them with the test."""
    made = []

    def make(**options):
        made.append(Stage(tmp_path / f"stage-{len(made)}", **{"settings": QUICK, **options}))
        return made[-1]

    yield make
    for stage in made:
        stage.end()
