"""The table of tesserae as Parquet, for pandas, DuckDB and R: one row a tessera, in reading order.

One decision: what the file says of itself, and what each column means, stands in its own metadata.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from napari_mosaic.export.notes import notes_of
from napari_mosaic.measurement.features import table_blocks_steps
from napari_mosaic.measurement.registry import Field
from napari_mosaic.progress import Progress
from napari_mosaic.record import Record


def write_steps(record: Record, path: Path, columns: Sequence[str] | None = None) -> Iterator[Progress]:
    """Write the table to `path`; see `measurement.columns` for its columns. A value that is not there is null."""
    fields, blocks = yield from table_blocks_steps(record, columns)
    schema = pa.schema([_field(field) for field in fields], metadata={"napari-mosaic": json.dumps(notes_of(record))})
    with pq.ParquetWriter(path, schema, compression="zstd") as file:
        for block in blocks:
            arrays = [_array(values, schema.field(name).type) for name, values in block.items()]
            file.write_table(pa.Table.from_arrays(arrays, schema=schema))


def _field(field: Field) -> pa.Field:
    kind = pa.string() if field.column.dtype is object else pa.from_numpy_dtype(np.dtype(field.column.dtype))
    if field.scale.times != 1 or field.scale.over != 1:
        kind = pa.float64()
    return pa.field(field.name, kind, metadata={"help": field.column.help, "unit": field.unit})


def _array(values: NDArray[Any], kind: pa.DataType) -> pa.Array:
    if not pa.types.is_floating(kind):
        return pa.array(values, kind)
    return pa.array(np.asarray(values, np.float64), kind, from_pandas=True)
