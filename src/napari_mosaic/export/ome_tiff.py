"""Labels as OME-TIFF with levels, which QuPath, Fiji and viewers of whole slides open at any size.

One decision: the levels are those of the OME-Zarr, which is written first, beside, and not kept: a TIFF wants all of a
level before the next, and the record is read once.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from napari_mosaic.export import ome_zarr
from napari_mosaic.export.notes import notes_of
from napari_mosaic.picture_marks import SOFTWARE
from napari_mosaic.progress import Progress
from napari_mosaic.record import Record

_TILE = 512
"""Side of a tile, px; not varied."""
_SHARE = 0.8
"""Share of the work that is done when the levels are there; not varied."""


def write_steps(record: Record, path: Path) -> Iterator[Progress]:
    """Write numbered labels and their levels to `path`, tile by tile."""
    import zarr

    beside, last = path.with_name("levels.zarr"), Progress(phase="export", done=0, total=1)
    for last in ome_zarr.write_steps(record, beside):
        yield replace(last, done=last.done * _SHARE)
    group: Any = zarr.open_group(str(beside), mode="r")
    levels = [group[name] for name in sorted(group.array_keys(), key=int)]
    common: dict[str, Any] = {
        "dtype": np.uint16 if record.count < 2**16 else np.uint32,
        "tile": (_TILE, _TILE),
        "compression": "zlib",
        "predictor": True,
        "photometric": "minisblack",
    }
    with tifffile.TiffWriter(path, bigtiff=True, ome=True) as file:
        for number, level in enumerate(levels):
            only = {"subifds": len(levels) - 1, "metadata": _metadata(record), "software": SOFTWARE}
            more = only if number == 0 else {"subfiletype": 1, "metadata": None}
            file.write(_tiles(level, common["dtype"]), shape=level.shape, **common, **more)
            done = _SHARE + (1 - _SHARE) * (number + 1) / len(levels)
            yield replace(last, done=last.total * done)


def _tiles(level: Any, dtype: type[np.unsignedinteger[Any]]) -> Iterator[NDArray[Any]]:
    for y in range(0, level.shape[0], _TILE):
        for x in range(0, level.shape[1], _TILE):
            yield np.asarray(level[y : y + _TILE, x : x + _TILE]).astype(dtype)


def _metadata(record: Record) -> dict[str, Any]:
    mm = record.pixel_mm
    names = {} if mm is None else {f"PhysicalSize{axis}": mm for axis in "XY"}
    units = {} if mm is None else {f"PhysicalSize{axis}Unit": "mm" for axis in "XY"}
    said = f"Tesserae of {record.source.name}, numbered in reading order. {notes_of(record)['edited']}"
    # The same record gives the same file: without a number by chance.
    name = uuid.uuid5(uuid.NAMESPACE_URL, f"napari-mosaic:{record.source.fingerprint}")
    return {
        "UUID": f"urn:uuid:{name}",
        "axes": "YX",
        "Name": f"{record.source.name}: tesserae",
        "Description": said,
        **names,
        **units,
    }
