"""The table of tesserae as Parquet, for pandas, DuckDB and R: one row a tessera, in reading order.

One decision: what the file says of itself, and what each column means, stands in its own metadata.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pyarrow.parquet as pq

from napari_mosaic.export.notes import notes_of
from napari_mosaic.measurement.features import Features, table_blocks_steps
from napari_mosaic.measurement.parquet import schema_of, table_of
from napari_mosaic.measurement.registry import Field
from napari_mosaic.progress import Progress
from napari_mosaic.record import Record


def write_steps(record: Record, path: Path, columns: Sequence[str] | None = None) -> Iterator[Progress]:
    """Write the table to `path`; see `measurement.columns` for its columns. A value that is not there is null."""
    fields, blocks = yield from table_blocks_steps(record, columns)
    write_blocks(record, path, fields, blocks)


def write_blocks(record: Record, path: Path, fields: Sequence[Field], blocks: Iterable[Features]) -> None:
    """Write what was measured to `path`, some rows at a time."""
    notes = {"napari-mosaic": json.dumps(notes_of(record))}
    with pq.ParquetWriter(path, schema_of(fields, notes), compression="zstd") as file:
        for table in table_of(fields, blocks, notes):
            file.write_table(table)
