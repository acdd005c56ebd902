"""Fault 15: killed at random moments; fault 52: drawn days of drawn faults. `--soak N` runs N days, `--live` twenty."""

import random
import shutil
import time

import pytest

from core.live.tape import drawn_tape
from tests.live.alpaca_sim.judge import judge
from tests.live.alpaca_sim.stage import QUICK, Stage

KILLS = 100
DAYS = 20
MOMENTS = 160  # failpoints that a run of these bars passes, about
FAULTS = (
    {"method": "POST", "path": "/v2/orders$", "phase": "after", "action": "status", "status": 504},
    {"method": "POST", "path": "/v2/orders$", "phase": "after", "action": "rst"},
    {"method": "POST", "path": "/v2/orders$", "phase": "before", "action": "status", "status": 500, "body": "html"},
    {"method": "POST", "path": "/v2/orders$", "phase": "after", "action": "bad_json"},
    {"method": "POST", "path": "/v2/orders$", "phase": "before", "action": "status", "status": 422, "code": 42210000},
    {"method": "DELETE", "phase": "after", "action": "status", "status": 500},
    {"method": "DELETE", "phase": "before", "action": "rst"},
    {"method": "GET", "path": "/v2/positions", "action": "status", "status": 503, "count": 6},
    {"method": "GET", "path": "snapshots", "action": "status", "status": 500, "count": 4},
    {"method": "GET", "path": "/v2/stocks/bars", "action": "rst", "count": 2},
    {"method": "GET", "path": "/v2/orders/", "action": "status", "status": 429, "count": 2},
    {"action": "visibility_lag", "count": 3},
)
OPTIONS = ({}, {"units": 1}, {"units": 2, "unit_fills": 1}, {"fill_on_cancel": True}, {"fills": "never"})


def drawn_stage(folder, seed):
    """A stage whose market, faults and fills are drawn from a seed."""
    draw = random.Random(seed)
    faults = []
    for _ in range(draw.randint(0, 4)):
        fault = dict(draw.choice(FAULTS))
        fault["nth"] = draw.randint(1, 4)
        faults.append(fault)
    scenario = {"faults": faults, "options": dict(draw.choice(OPTIONS))}
    settings = (
        *QUICK,
        f"strategy.size.contracts={draw.randint(1, 3)}",
        f"live.walk_every={draw.choice((20, 60, 200))}",
    )
    tape = drawn_tape("2026-03-02", seed=seed, daily_vol=draw.choice((0.005, 0.01, 0.02)))
    return Stage(folder, settings=settings, scenario=scenario, tape=tape), draw


def killed(folder, seed, kills):
    """Run a few bars, killed `kills` times at drawn moments; the judged stage."""
    stage, draw = drawn_stage(folder, seed)
    try:
        for _ in range(kills):
            code = stage.run(until="10:10", failpoint=f"*:{draw.randint(1, MOMENTS)}")
            assert code in (-9, 0, 5), stage.text()[-3000:]
        code = stage.run(until="10:15")
        assert code in (0, 5), stage.text()[-3000:]
        judge(stage)
        return {"seed": seed, "kills": kills, "digest": stage.ledger()["digest"]}
    finally:
        stage.end()


def whole_day(folder, seed):
    """A day of drawn faults; what it came to."""
    stage, draw = drawn_stage(folder, seed)
    try:
        started = time.monotonic()
        failpoint = f"*:{draw.randint(1, 4 * MOMENTS)}" if draw.random() < 0.5 else ""
        code = stage.run(until="15:59", failpoint=failpoint, timeout=300)
        if code == -9:
            code = stage.run(until="15:59", timeout=300)
        assert code in (0, 5), stage.text()[-3000:]
        judge(stage, quiet=code == 0)
        return {"seed": seed, "seconds": round(time.monotonic() - started, 1), "digest": stage.ledger()["digest"]}
    finally:
        stage.end()


@pytest.mark.live
@pytest.mark.parametrize("part", range(4))
def test_15_a_hundred_random_kills(tmp_path, part, record_property):
    seeds = range(part * 5, part * 5 + 5)
    assert len(seeds) * 5 == KILLS // 4
    for seed in seeds:
        record_property("kills", killed(tmp_path / str(seed), seed, 5))


@pytest.mark.live
@pytest.mark.parametrize("part", range(2))
def test_52_twenty_drawn_days(tmp_path, part, record_property):
    for seed in range(part * 10, part * 10 + DAYS // 2):
        record_property("day", whole_day(tmp_path / str(seed), 1000 + seed))


@pytest.mark.parametrize("part", range(2))
def test_52_soak(tmp_path, pytestconfig, part, record_property):
    days = pytestconfig.getoption("soak")
    if not days:
        pytest.skip("runs for hours; ask for N drawn days with --soak N")
    for seed in range(part, days, 2):
        folder = tmp_path / str(seed)
        record_property("day", whole_day(folder, 5000 + seed))
        shutil.rmtree(folder)


def test_a_run_passes_enough_moments_to_be_killed_at(tmp_path):
    """The drawn kill points would hit nothing if a run passed but a few."""
    stage = Stage(tmp_path / "stage", settings=QUICK)
    try:
        assert stage.run(until="10:10", failpoint=f"*:{MOMENTS // 4}") == -9
    finally:
        stage.end()
