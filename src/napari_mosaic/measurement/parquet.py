"""The feature table as Arrow and Parquet hold it.

One decision: what each column means, and its unit, stand in the table's own metadata.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from napari_mosaic.measurement.features import Features
from napari_mosaic.measurement.registry import Field


def schema_of(fields: Sequence[Field], notes: Mapping[str, str] | None = None) -> pa.Schema:
    """The schema of some fields."""
    return pa.schema([_field(field) for field in fields], metadata=notes)


def table_of(
    fields: Sequence[Field], blocks: Iterable[Features], notes: Mapping[str, str] | None = None
) -> Iterator[pa.Table]:
    """Blocks of values as tables of one schema, one at least. A value that is not there is null."""
    schema, empty = schema_of(fields, notes), True
    for block in blocks:
        empty = False
        arrays = [_array(values, schema.field(name).type) for name, values in block.items()]
        yield pa.Table.from_arrays(arrays, schema=schema)
    if empty:
        yield schema.empty_table()


def _field(field: Field) -> pa.Field:
    kind = pa.string() if field.column.dtype is object else pa.from_numpy_dtype(np.dtype(field.column.dtype))
    if field.scale.times != 1 or field.scale.over != 1:
        kind = pa.float64()
    return pa.field(field.name, kind, metadata={"help": field.column.help, "unit": field.unit})


def _array(values: NDArray[Any], kind: pa.DataType) -> pa.Array:
    if not pa.types.is_floating(kind):
        return pa.array(values, kind)
    return pa.array(np.asarray(values, np.float64), kind, from_pandas=True)
