"""Columns of a table for Parquet, laid out by hand.

pyarrow's own maker of arrays asks pandas whether it was given one of its series, and so loads it: a quarter of a second
that a search would spend on nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


def validity(known: Any) -> Any:
    """The buffer that says which values of bool (n) are known; None where all are."""
    import pyarrow as pa

    return None if known.all() else pa.py_buffer(np.packbits(known, bitorder="little"))


def number_column(values: Any, nan_is_null: bool = False) -> Any:
    """int64 or float64 values as a column of their kind; NaN is null where asked for."""
    import pyarrow as pa

    values = np.ascontiguousarray(values)
    kind = {"i": pa.int64(), "f": pa.float64()}[values.dtype.kind]
    known = ~np.isnan(values) if nan_is_null else np.ones(len(values), bool)
    return pa.Array.from_buffers(kind, len(values), [validity(known), pa.py_buffer(values)])


def text_column(values: Sequence[str | None]) -> Any:
    """Texts as a column; None is null."""
    import pyarrow as pa

    parts = [b"" if value is None else value.encode() for value in values]
    offsets = np.zeros(len(parts) + 1, np.int32)
    np.cumsum([len(part) for part in parts], out=offsets[1:])
    known = np.array([value is not None for value in values], bool)
    buffers = [validity(known), pa.py_buffer(offsets), pa.py_buffer(b"".join(parts))]
    return pa.Array.from_buffers(pa.string(), len(parts), buffers)
