"""The regression market's ledger, reviewed once by hand and kept: any change of a cent shows here.

A wanted change renews the files: `python tests/golden/test_golden_ledger.py` writes them anew.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from backtest_engine import run
from core import config
from core.report.folder import TRADE_COLUMNS, fill_lines, row_times, trade_lines
from core.report.measure import measure
from scripts.data.build_regression_market import unpack

HERE = Path(__file__).resolve().parent
PRESETS = ("practitioner", "short_dated")


def ledger(preset: str, folder: Path) -> str:
    """Trades and fills of a preset on the regression market, as text."""
    result = run(unpack(folder), config.load(preset=preset, user_file=folder / "none"))
    times = row_times(result)
    trades = trade_lines(result, measure(result).parts, times)
    return "\n".join([",".join(TRADE_COLUMNS), *trades, "", *fill_lines(result, times), ""])


@pytest.mark.parametrize("preset", PRESETS)
def test_the_regression_market_gives_the_reviewed_ledger(preset, tmp_path):
    assert ledger(preset, tmp_path / "market") == (HERE / f"{preset}.csv").read_text(encoding="utf-8")


if __name__ == "__main__":
    for name in PRESETS:
        with tempfile.TemporaryDirectory() as scratch:
            (HERE / f"{name}.csv").write_text(ledger(name, Path(scratch) / "market"), encoding="utf-8")
