"""The regression market's ledger, reviewed once by hand and kept: any change of a cent shows here.

A wanted change renews the files: `python -m tests.golden.test_golden_ledger` writes them anew.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from backtest_engine import run
from core import config
from core.report.folder import TRADE_COLUMNS, adjustment_lines, fill_lines, row_times, trade_lines
from core.report.measure import measure
from scripts.data.build_regression_market import unpack

HERE = Path(__file__).resolve().parent
# Name of the kept ledger -> preset, or None: the settings of a file of that name beside it.
LEDGERS = {"practitioner": "practitioner", "short_dated": "short_dated", "full": None}


def ledger(name: str, folder: Path) -> str:
    """Trades, fills and adjustments on the regression market, as text."""
    preset = LEDGERS[name]
    file = None if preset else str(HERE / f"{name}.yaml")
    result = run(unpack(folder), config.load(preset=preset, file=file, user_file=folder / "none"))
    times = row_times(result)
    trades = trade_lines(result, measure(result).parts, times)
    adjusted = adjustment_lines(result, times)
    lines = [
        ",".join(TRADE_COLUMNS),
        *trades,
        "",
        *fill_lines(result, times),
        *(["", *adjusted] if adjusted else []),
        "",
    ]
    return "\n".join(lines)


@pytest.mark.parametrize("name", LEDGERS)
def test_the_regression_market_gives_the_reviewed_ledger(name, tmp_path):
    assert ledger(name, tmp_path / "market") == (HERE / f"{name}.csv").read_text(encoding="utf-8")


if __name__ == "__main__":
    for name in LEDGERS:
        with tempfile.TemporaryDirectory() as scratch:
            (HERE / f"{name}.csv").write_text(ledger(name, Path(scratch) / "market"), encoding="utf-8")
