"""Labels as OME-Zarr 0.4, with levels, on the photograph's grid.

One decision: 0.4 and not the 0.5 of the record, because QuPath and Fiji do not read that yet.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from napari_mosaic.export.label_tiles import number_tiles
from napari_mosaic.export.notes import notes_of
from napari_mosaic.measurement.table import read_tesserae
from napari_mosaic.progress import Progress
from napari_mosaic.record import Record
from napari_mosaic.tiling import Lattice

_CHUNK = 1024
"""Side of a chunk, px; not varied."""
_SMALLEST = 512
"""No level is smaller than this on both sides, px; not varied."""


def write_steps(record: Record, path: Path) -> Iterator[Progress]:
    """Write numbered labels and their levels to the folder `path`, tile by tile."""
    import zarr

    tesserae = read_tesserae(record)
    shapes = _level_shapes(record.plan.source_shape)
    total = sum(height * width for height, width in shapes) / 1e6
    group = zarr.open_group(str(path), mode="w", zarr_format=2)
    group.attrs.update(_attributes(record, len(shapes)))
    done = 0.0
    finer: Any = None
    for level, shape in enumerate(shapes):
        array = group.create_array(
            str(level),
            shape=shape,
            chunks=(min(_CHUNK, shape[0]), min(_CHUNK, shape[1])),
            dtype="uint32",
            fill_value=0,
            chunk_key_encoding={"name": "v2", "separator": "/"},
        )
        tiles = number_tiles(record, tesserae) if finer is None else _halved(finer, shape)
        for box, numbers in tiles:
            array[box.slices] = numbers
            done += box.area / 1e6
            yield Progress(phase="export", done=done, total=total)
        finer = array


def _level_shapes(shape: tuple[int, int]) -> list[tuple[int, int]]:
    shapes = [shape]
    while max(shapes[-1]) > _SMALLEST:
        shapes.append((-(-shapes[-1][0] // 2), -(-shapes[-1][1] // 2)))
    return shapes


def _halved(finer: Any, shape: tuple[int, int]) -> Iterator[Any]:
    """Every other pixel of the finer level, tile by tile."""
    for tile in Lattice(shape=shape, core=_CHUNK):
        y0, x0, y1, x1 = tile.core
        yield tile.core, np.asarray(finer[2 * y0 : 2 * y1 : 2, 2 * x0 : 2 * x1 : 2])


def _attributes(record: Record, levels: int) -> dict[str, Any]:
    mm = record.pixel_mm
    unit = {} if mm is None else {"unit": "millimeter"}
    pixel = 1.0 if mm is None else mm
    datasets = [
        {
            "path": str(level),
            "coordinateTransformations": [{"type": "scale", "scale": [pixel * 2**level] * 2}],
        }
        for level in range(levels)
    ]
    return {
        "napari_mosaic": notes_of(record),
        "multiscales": [
            {
                "version": "0.4",
                "name": "tesserae",
                "axes": [{"name": name, "type": "space", **unit} for name in ("y", "x")],
                "datasets": datasets,
            }
        ],
    }
