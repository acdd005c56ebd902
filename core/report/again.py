"""The report of a run made before: run again, held against what it was, written anew."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import DataError
from core.report.build import Asked, report_of
from core.report.compare import metrics_of
from core.report.faces import write_report
from core.report.insight import insight_of
from core.report.measure import measure
from core.report.runs import read_manifest
from core.report.stress import small_stress

if TYPE_CHECKING:
    from backtest_engine import BacktestResult


def remade(
    result: BacktestResult, folder: Path, faces: tuple[str, ...], asked: Asked, out: Path, say: Callable[[str], None]
) -> Path:
    """Write the faces into `out`; DataError where the run comes to other money than it did."""
    measured, insight = measure(result), insight_of(result, asked.cut)
    measured.metrics.update(insight.figures)
    before = metrics_of(folder)
    now = json.loads(json.dumps(measured.metrics))
    changed = sorted(
        key for key in before if key in now and before[key] != now[key] and key not in ("twin", "warnings")
    )
    if "net_profit" in changed or "trades" in changed:
        raise DataError(
            f"{folder.name} comes to {now['net_profit']} $ in {now['trades']} trades now, and came to "
            f"{before['net_profit']} $ in {before['trades']}: this version of the code makes another run; run it again"
        )
    if changed:
        say(f"! figures that are counted otherwise by this version: {', '.join(changed)}")
    out.mkdir(parents=True, exist_ok=True)
    manifest = read_manifest(folder)
    write_report(out, report_of(result, measured, manifest, insight, small_stress(result), asked), faces)
    return out
