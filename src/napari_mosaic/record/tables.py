"""The table of tesserae: one Parquet file for each shard that holds their seeds.

One decision: the parts are kept, not joined, so that a change in one place rewrites one small file.
Any Parquet reader takes the folder as one table.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

SCHEMA = pa.schema(
    [
        ("id", pa.uint64()),
        *((name, pa.int32()) for name in ("y", "x", "y0", "x0", "y1", "x1", "area")),
        ("score", pa.float32()),
        ("flags", pa.uint8()),
    ]
)

Columns = dict[str, NDArray[Any]]


def write_part(folder: Path, index: tuple[int, int], columns: Columns) -> None:
    """Write, whole or not at all, the rows of the tesserae whose seeds lie in shard `index`."""
    folder.mkdir(parents=True, exist_ok=True)
    table = pa.table({name: columns[name] for name in SCHEMA.names}).cast(SCHEMA)
    path = folder / part_name(index)
    temporary = path.with_suffix(".tmp")
    pq.write_table(table, temporary, compression="zstd")
    os.replace(temporary, path)


def part_name(index: tuple[int, int]) -> str:
    """File name of a part; sorts in reading order of shards."""
    return f"{index[0]:06d}_{index[1]:06d}.parquet"


def read_parts(folder: Path, columns: list[str] | None = None) -> pa.Table:
    """All rows, in order of shards; an empty table where there are none."""
    parts = [pq.read_table(path, columns=columns) for path in sorted(folder.glob("*.parquet"))]
    if not parts:
        fields = SCHEMA if columns is None else pa.schema([SCHEMA.field(name) for name in columns])
        return fields.empty_table()
    return pa.concat_tables(parts)


def count_rows(folder: Path) -> int:
    """Number of rows, from the footers alone."""
    return sum(pq.read_metadata(path).num_rows for path in folder.glob("*.parquet"))


def rows_in(columns: Columns, box: tuple[int, int, int, int]) -> Columns:
    """The rows whose seeds lie in the half-open `box`."""
    y0, x0, y1, x1 = box
    y, x = columns["y"], columns["x"]
    inside = (y >= y0) & (y < y1) & (x >= x0) & (x < x1)
    return {name: np.asarray(values)[inside] for name, values in columns.items()}
