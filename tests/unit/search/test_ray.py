"""A search on a Ray cluster of several nodes, of which one is lost on the way, ends with the same bytes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from core.config import ROOT
from core.search.evaluate import Evaluator, Task
from core.search.ray_engine import RayEngine, files_of, store_at
from tests import markets

ray = pytest.importorskip("ray", reason="ray is not installed: pip install -r requirements-ray.txt")
PATHS = ("strategy.exits.profit_frac", "strategy.exits.stop_multiple")
ROWS = [(0.1 + 0.005 * i, 1.0 + 0.1 * (i % 7)) for i in range(140)]


def test_a_lost_node_loses_nothing() -> None:
    from ray.cluster_utils import Cluster

    store = markets.market("modelled")
    base = markets.config_of(market__name=store.name)
    want = Evaluator(store, base).evaluate(Task(PATHS, tuple(ROWS)))
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    doomed = cluster.add_node(num_cpus=1)
    cluster.add_node(num_cpus=1)
    try:
        environment = {"env_vars": {"PYTHONPATH": str(ROOT)}}
        ray.init(address=cluster.address, logging_level="ERROR", log_to_driver=False, runtime_env=environment)
        engine = RayEngine(store, base, None, None)
        assert engine.jobs == 3
        got: dict[int, tuple[str, bytes, bytes]] = {}
        for n, piece in enumerate(engine.run(PATHS, ROWS)):
            if n == 1:
                cluster.remove_node(doomed, allow_graceful=False)
            for k, i in enumerate(piece.rows):
                assert i not in got
                outcome = piece.outcome
                got[i] = (outcome.hashes[k], outcome.figures[k].tobytes(), outcome.equity[k].tobytes())
        engine.close()
    finally:
        ray.shutdown()
        cluster.shutdown()
    for i in range(len(ROWS)):
        assert got[i] == (want.hashes[i], want.figures[i].tobytes(), want.equity[i].tobytes()), i


def test_a_node_without_the_market_unpacks_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    store = markets.market("modelled")
    files = files_of(store)
    unpacked = store_at(str(tmp_path / "nowhere"), store.hash, files)
    assert unpacked.path != store.path and unpacked.hash == store.hash
    assert np.array_equal(unpacked.columns["spot"], store.columns["spot"])
    assert store_at(str(store.path), store.hash, {}).path == store.path
