"""The table of tesserae: one Parquet file for each shard that holds their seeds.

One decision: the parts are kept, not joined, so that a change in one place rewrites one small file.
Any Parquet reader takes the folder as one table. What people say of tesserae, material and state, stands in
a folder of its own, with rows only for those of which something was said.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from napari_mosaic.files import make_folder, readable, whole_file

SCHEMA = pa.schema(
    [
        ("id", pa.uint64()),
        *((name, pa.int32()) for name in ("y", "x", "y0", "x0", "y1", "x1", "area")),
        ("score", pa.float32()),
        ("flags", pa.uint8()),
    ]
)

SAM2_SCHEMA = pa.schema([*SCHEMA, ("stability", pa.float32()), ("layer", pa.int16()), ("fallback", pa.bool_())])
"""The table of tesserae, and: stability of the mask, layer of windows, whether the joints' tessera stands for it."""

ATTRIBUTES = pa.schema([("id", pa.uint64()), ("material", pa.string()), ("state", pa.string())])
MATERIALS = ("", "stone", "glass", "ceramic", "other")
STATES = ("", "sound", "fractured", "detached", "lost")
WORDS = {"material": MATERIALS, "state": STATES}
"""What can be said of a tessera; the first, nothing, is code 0 in `Columns`."""

Columns = dict[str, NDArray[Any]]


def write_part(folder: Path, index: tuple[int, int], columns: Columns, schema: pa.Schema = SCHEMA) -> None:
    """Write, whole or not at all, the rows of the tesserae whose seeds lie in shard `index`."""
    make_folder(folder)
    arrays = [_as_array(columns[field.name], field) for field in schema]
    write_table(folder / part_name(index), pa.Table.from_arrays(arrays, schema=schema))


def _as_array(values: NDArray[Any], field: pa.Field) -> pa.Array:
    """A column as the table holds it.

    Numbers are handed over as they are: `pyarrow.array` would import pandas (0.4 s of a start) to ask whether it got
    one of its series.
    """
    if not (pa.types.is_integer(field.type) or pa.types.is_floating(field.type)):
        return pa.array(values, field.type)
    values = np.ascontiguousarray(values, field.type.to_pandas_dtype())
    return pa.Array.from_buffers(field.type, len(values), [None, pa.py_buffer(values)])


def write_table(path: Path, table: pa.Table, *, rows: int | None = None) -> None:
    """Write a Parquet file, whole or not at all; not synced, because labels and journal give every row again.

    Its groups have at most `rows` rows, so that a reader may take a part of them.
    """
    with whole_file(path, sync=False) as temporary:
        pq.write_table(table, temporary, compression="zstd", row_group_size=rows, write_page_checksum=True)


def read_table(path: Path, columns: list[str] | None = None) -> pa.Table:
    """Read one Parquet file, its sums checked; `read_table` of pyarrow would load its datasets and with them pandas."""
    return next(_read_tables([path], columns))


def _read_tables(paths: Sequence[Path], columns: list[str] | None = None) -> Iterator[pa.Table]:
    for part in readable(paths):
        with pq.ParquetFile(part, page_checksum_verification=True) as file:
            yield file.read(columns=columns, use_threads=False)


def part_name(index: tuple[int, int]) -> str:
    """File name of a part; sorts in reading order of shards."""
    return f"{index[0]:06d}_{index[1]:06d}.parquet"


def read_parts(folder: Path, columns: list[str] | None = None, schema: pa.Schema = SCHEMA) -> pa.Table:
    """All rows, in order of shards; an empty table where there are none."""
    parts = list(_read_tables(sorted(folder.glob("*.parquet")), columns))
    if not parts:
        fields = schema if columns is None else pa.schema([schema.field(name) for name in columns])
        return fields.empty_table()
    return pa.concat_tables(parts)


def read_part(path: Path, schema: pa.Schema = SCHEMA) -> pa.Table:
    """The rows of one part; none where there is no such file."""
    try:
        return read_table(path)
    except FileNotFoundError:
        return schema.empty_table()


def count_rows(folder: Path) -> int:
    """Number of rows, from the footers alone."""
    return sum(pq.read_metadata(part).num_rows for part in readable(list(folder.glob("*.parquet"))))


def rows_in(columns: Columns, box: tuple[int, int, int, int]) -> Columns:
    """The rows whose seeds lie in the half-open `box`."""
    y0, x0, y1, x1 = box
    y, x = columns["y"], columns["x"]
    return take_rows(columns, (y >= y0) & (y < y1) & (x >= x0) & (x < x1))


def take_rows(columns: Columns, which: NDArray[Any]) -> Columns:
    """Some rows, by a mask or by their numbers."""
    return {name: np.asarray(values)[which] for name, values in columns.items()}


def empty_columns() -> Columns:
    """No rows: the columns of the table, and the codes of material and state."""
    columns: Columns = {field.name: np.zeros(0, field.type.to_pandas_dtype()) for field in SCHEMA}
    return columns | {name: np.zeros(0, np.uint8) for name in WORDS}


def columns_of(table: pa.Table) -> Columns:
    """The columns of some rows, which have no gaps, as arrays; as in `_as_array`, pandas is not asked for numbers."""
    return {name: _values(table.column(name)) for name in table.column_names}


def _values(column: pa.ChunkedArray) -> NDArray[Any]:
    if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
        return np.asarray(column.to_numpy())
    kind = np.dtype(column.type.to_pandas_dtype())
    chunks = [chunk for chunk in column.chunks if len(chunk)]
    parts = [np.frombuffer(part.buffers()[1], kind, len(part), part.offset * kind.itemsize) for part in chunks]
    return np.concatenate([np.zeros(0, kind), *parts])


def read_rows(folder: Path, index: tuple[int, int]) -> Columns:
    """The rows of shard `index`, with the codes of material and state; none where it has no part."""
    columns = columns_of(read_part(folder / part_name(index)))
    given = read_part(attribute_folder(folder) / part_name(index), ATTRIBUTES)
    return columns | _codes(given, columns["id"])


def write_rows(folder: Path, index: tuple[int, int], columns: Columns) -> None:
    """Write the rows of shard `index`, and what is said of them, each whole or not at all.

    What is said comes first: where the rows are kept from the disk, they still differ and are written again.
    """
    path = attribute_folder(folder) / part_name(index)
    said = np.flatnonzero((columns["material"] > 0) | (columns["state"] > 0))
    if len(said):
        make_folder(path.parent)
        values = {name: [words[code] for code in columns[name][said]] for name, words in WORDS.items()}
        write_table(path, pa.table({"id": columns["id"][said], **values}).cast(ATTRIBUTES))
    else:
        path.unlink(missing_ok=True)
    write_part(folder, index, columns)


def read_attributes(folder: Path) -> pa.Table:
    """Material and state of all tesserae of which something was said: `id`, `material`, `state`."""
    return read_parts(attribute_folder(folder), None, ATTRIBUTES)


def attributes_of(folder: Path, ids: NDArray[Any]) -> Columns:
    """The codes of material and state of some tesserae, 0 where nothing was said."""
    return _codes(read_attributes(folder), ids)


def _codes(given: pa.Table, ids: NDArray[Any]) -> Columns:
    """The codes of material and state of `ids` by the rows that tell them; 0 for all others."""
    known, order = _values(given.column("id")), np.argsort(ids)
    place = np.searchsorted(ids, known, sorter=order).clip(max=max(len(ids) - 1, 0))
    rows = order[place] if len(ids) else place[:0]
    there = ids[rows] == known[: len(rows)]
    found = {}
    for name, words in WORDS.items():
        found[name] = np.zeros(len(ids), np.uint8)
        codes = np.array([words.index(word) for word in given.column(name).to_pylist()], np.uint8)
        found[name][rows[there]] = codes[: len(rows)][there]
    return found


def clear_attributes(folder: Path) -> None:
    """Forget what was said of all tesserae."""
    for path in attribute_folder(folder).glob("*.parquet"):
        path.unlink()


def attribute_folder(folder: Path) -> Path:
    """Where material and state of the tesserae of a table stand; what is said of tesserae is of no other labels."""
    return folder.parent / ("attributes" if folder.name == "tesserae" else f"{folder.name}-attributes")


def drop_rows(columns: Columns, ids: NDArray[Any]) -> Columns:
    """The rows of other tesserae than `ids`."""
    return take_rows(columns, ~np.isin(columns["id"], ids))


def join_rows(first: Columns, second: Columns) -> Columns:
    """The rows of both, sorted by id."""
    joined = {name: np.concatenate([values, second[name].astype(values.dtype)]) for name, values in first.items()}
    return take_rows(joined, np.argsort(joined["id"], kind="stable"))


def same_rows(first: Columns, second: Columns) -> bool:
    """Whether both hold the same rows in the same order."""
    return all(np.array_equal(values, second[name]) for name, values in first.items())
