"""Columns laid out by hand are those that pyarrow makes, without what it loads for it."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest

from core.search.columns import number_column, text_column

WRITES = """
import sys
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from core.search.columns import number_column, text_column

columns = [number_column(np.array([1.0, np.nan]), True), text_column(["a", None])]
pq.write_table(pa.Table.from_arrays(columns, ["x", "y"]), sys.argv[1])
sys.exit("pandas" in sys.modules)
"""


@pytest.mark.parametrize("n", [0, 1, 7, 8, 9, 1000])
def test_numbers_are_as_pyarrow_makes_them(n: int) -> None:
    rng = np.random.default_rng(n)
    values = np.where(rng.random(n) < 0.3, np.nan, rng.standard_normal(n))
    assert number_column(values, True).equals(pa.array(values, from_pandas=True))
    assert number_column(values).type == pa.float64() and number_column(values).null_count == 0
    whole = rng.integers(-(2**62), 2**62, n)
    assert number_column(whole).equals(pa.array(whole.tolist(), pa.int64()))
    strided = rng.standard_normal((n, 3))[:, 1]
    assert number_column(strided, True).equals(pa.array(strided.tolist(), pa.float64()))


def test_texts_are_as_pyarrow_makes_them() -> None:
    for values in ([], [None], ["", "a", None, "grün", "a" * 300], ["x"] * 100):
        found = text_column(values)
        found.validate(full=True)
        assert found.equals(pa.array(values, pa.string()))


def test_pandas_is_not_loaded_to_write_a_table(tmp_path: object) -> None:
    subprocess.run([sys.executable, "-c", WRITES, f"{tmp_path}/x.parquet"], check=True, timeout=60)
