"""The page of a search: every figure is one, nothing is fetched, nothing undefined gets in."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import pytest

import optimizer
from core.report.optimize import write_optimize
from core.report.plots import PALETTE
from core.search import outputs
from core.search.evaluate import cash_returns_of
from core.search.findings import findings_of, validated_of
from core.search.grid import parse_grid
from core.search.request import OutOfSample
from core.search.words import uncounted_words
from tests import markets

WIDE = {
    "vary": {
        "strategy.exits.profit_frac": [0.2, 0.4, 0.6],
        "strategy.exits.stop_multiple": [1, 2],
        "strategy.structure": ["iron_condor", "put_spread"],
    },
    "min_trades": 3,
    "about": "a <b>test</b>",
}
NONE_COUNTS = {"vary": {"strategy.exits.profit_frac": [0.2, 0.4]}, "min_trades": 10_000}
ONE = {"vary": {"strategy.exits.profit_frac": [0.4]}, "min_trades": 1}


def coloured(value: Any) -> Any:
    if isinstance(value, str):
        return PALETTE["light"].get(value[1:], value) if value.startswith("@") else value
    if isinstance(value, list):
        return [coloured(part) for part in value]
    return {k: coloured(v) for k, v in value.items()} if isinstance(value, dict) else value


@pytest.mark.parametrize(("name", "tree"), [("wide", WIDE), ("none", NONE_COUNTS), ("one", ONE)])
def test_the_page_holds_together(
    name: str, tree: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QMTF_REPORTS_DIR", str(tmp_path / "reports"))
    store = markets.market("years")
    base = markets.config_of(market__name="years")
    grid = parse_grid(tree, name)
    request = optimizer.Request(jobs=1)
    found, logged = optimizer.search(store, base, grid, request, lambda _: None)
    walked = (
        optimizer.walk(store, base, grid, request, OutOfSample("anchored", 2), lambda _: None)
        if name == "wide"
        else None
    )
    findings = findings_of(found, logged, cash_returns_of(store, base))
    validated = validated_of(findings, store, 5, 5) if name == "wide" else None
    summary = outputs.summary_value(findings, walked, validated)
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        write_optimize(tmp_path / folder, findings, outputs.top_of(findings), summary, store, walked, validated)
    page = (tmp_path / "a" / "optimize.html").read_text(encoding="utf-8")
    assert page == (tmp_path / "b" / "optimize.html").read_text(encoding="utf-8")
    assert len(page) < 6e6
    body = re.sub(r"<script>.*?</script>", "", page, flags=re.S)
    assert "http://" not in body and "https://" not in body and "<b>test</b>" not in body
    assert "MODELLED" in body and "default-src 'none'" in body
    data = json.loads(re.search(r'id="report-data">(.*?)</script>', page, re.S)[1])  # type: ignore[index]
    for key, figure in data["figures"].items():
        go.Figure(coloured(figure))  # refuses what is no figure
        assert f'id="figure-{key}"' in body, key
    for key in re.findall(r'id="figure-([\w-]+)"', body):
        assert key in data["figures"]
    if name == "wide":
        assert {"equity", "logits", "halves", "importances", "robustness", "front", "walked", "paths"} <= set(
            data["figures"]
        )
        assert any(key.startswith("map-") for key in data["figures"])
    if name == "none":
        assert "no trial counted: 2 with fewer than" in body and "2 trials of 2 do not count" in body
        assert "Too few sessions" not in body and "figure-importances" not in body


def test_why_trials_do_not_count_is_told_by_reason(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("QMTF_REPORTS_DIR", str(tmp_path / "reports"))
    store, base = markets.market("years"), markets.config_of(market__name="years")
    tree = {"vary": {"strategy.filters.vix_max": [1.0, 150.0], "strategy.exits.profit_frac": [0.3, 0.5]},
            "min_trades": 0, "objective": "sharpe", "limits": ["profit_factor >= 99"]}  # fmt: skip
    found, logged = optimizer.search(store, base, parse_grid(tree, "t"), optimizer.Request(jobs=1), lambda _: None)
    words = uncounted_words(findings_of(found, logged, cash_returns_of(store, base)))
    assert words == "2 beyond profit_factor >= 99, 2 of which profit_factor is unknown"
    found, logged = optimizer.search(
        store, base, parse_grid({**tree, "limits": []}, "t"), optimizer.Request(jobs=1), lambda _: None
    )
    words = uncounted_words(findings_of(found, logged, cash_returns_of(store, base)))
    assert words == "2 of which sharpe is unknown"
