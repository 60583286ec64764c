"""Labels as OME-Zarr, with levels, on the photograph's grid.

One decision: 0.4 unless 0.5, that of the record, is asked for, because QuPath and Fiji do not read that yet.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from napari_mosaic.export.label_tiles import number_tiles
from napari_mosaic.export.notes import notes_of
from napari_mosaic.export.options import ZarrOptions
from napari_mosaic.measurement.table import read_tesserae
from napari_mosaic.progress import Progress
from napari_mosaic.record import Record
from napari_mosaic.tiling import Lattice

_CHUNK = 1024
"""Side of a chunk, px; not varied."""
_SMALLEST = 512
"""No level is smaller than this on both sides, px; not varied."""


_CHUNK_KEYS = {2: {"name": "v2", "separator": "/"}, 3: {"name": "default", "separator": "/"}}
_ZARR = {"0.4": 2, "0.5": 3}
"""Which zarr a version of OME-Zarr is made of."""


def write_steps(record: Record, path: Path, options: ZarrOptions = ZarrOptions()) -> Iterator[Progress]:  # noqa: B008
    """Write numbered labels and their levels to the folder `path`, tile by tile."""
    import zarr

    kind: Any = _ZARR[options.version]
    tesserae = read_tesserae(record)
    shapes = level_shapes(record.plan.source_shape)
    total = sum(height * width for height, width in shapes) / 1e6
    group = zarr.open_group(str(path), mode="w", zarr_format=kind)
    group.attrs.update(_attributes(record, len(shapes), options.version))
    done = 0.0
    finer: Any = None
    for level, shape in enumerate(shapes):
        array = group.create_array(
            str(level),
            shape=shape,
            chunks=(min(_CHUNK, shape[0]), min(_CHUNK, shape[1])),
            dtype="uint32",
            fill_value=0,
            chunk_key_encoding=_CHUNK_KEYS[kind],
            dimension_names=("y", "x") if kind == 3 else None,
        )
        tiles = number_tiles(record, tesserae) if finer is None else halved(finer, shape)
        for box, numbers in tiles:
            array[box.slices] = numbers
            done += box.area / 1e6
            yield Progress(phase="export", done=done, total=total)
        finer = array


def level_shapes(shape: tuple[int, int]) -> list[tuple[int, int]]:
    shapes = [shape]
    while max(shapes[-1]) > _SMALLEST:
        shapes.append((-(-shapes[-1][0] // 2), -(-shapes[-1][1] // 2)))
    return shapes


def halved(finer: Any, shape: tuple[int, int]) -> Iterator[Any]:
    """Every other pixel of the finer level, tile by tile."""
    for tile in Lattice(shape=shape, core=_CHUNK):
        y0, x0, y1, x1 = tile.core
        yield tile.core, np.asarray(finer[2 * y0 : 2 * y1 : 2, 2 * x0 : 2 * x1 : 2])


def _attributes(record: Record, levels: int, version: str) -> dict[str, Any]:
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
    axes = [{"name": name, "type": "space", **unit} for name in ("y", "x")]
    multiscale = {"name": "tesserae", "axes": axes, "datasets": datasets}
    notes = {"napari_mosaic": notes_of(record)}
    if version == "0.4":
        return notes | {"multiscales": [{"version": version, **multiscale}]}
    return notes | {"ome": {"version": version, "multiscales": [multiscale]}}
