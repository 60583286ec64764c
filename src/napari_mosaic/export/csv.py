"""The table of tesserae as CSV: one line a tessera, in reading order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from napari_mosaic.files import write_csv
from napari_mosaic.measurement.features import Features, table_blocks_steps
from napari_mosaic.measurement.registry import Field
from napari_mosaic.progress import Progress
from napari_mosaic.record import Record


def write_steps(record: Record, path: Path, columns: Sequence[str] | None = None) -> Iterator[Progress]:
    """Write the table to `path`; see `measurement.columns` for its columns."""
    fields, blocks = yield from table_blocks_steps(record, columns)
    write_blocks(path, fields, blocks)


def write_blocks(path: Path, fields: Sequence[Field], blocks: Iterable[Features]) -> None:
    """Write values to `path`, some rows at a time."""

    def lines() -> Iterator[Sequence[Any]]:
        yield [field.name for field in fields]
        for block in blocks:
            yield from zip(*map(cells, block.values()), strict=True)

    write_csv(path, lines())


def cells(values: NDArray[Any], nothing: Any = "") -> list[Any]:
    """Values as they are written; a cell without a value is empty."""
    return [nothing if value != value else value for value in values.tolist()]
