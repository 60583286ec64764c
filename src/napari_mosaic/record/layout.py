"""The arrays of a record: OME-Zarr 0.5, sharded, all levels on halves of the working grid.

One decision: a shard is written whole and appears at once (under a temporary name that is
then renamed), so a reader in another process sees a finished shard or none.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import zarr
from zarr.codecs import BloscCodec, Crc32cCodec

from napari_mosaic.ids import id_dtype
from napari_mosaic.objects import zarr_store
from napari_mosaic.record.plan import Plan

LABELS = "labels/tesserae"
_SMALLEST_LEVEL = 512
"""Longer side of the smallest level, px; it belongs to the format. Not varied."""


def level_shapes(shape: tuple[int, int]) -> list[tuple[int, int]]:
    """Shapes of the pyramid: halves, rounded up, until both sides are at most 512 px; two at least.

    Two, because napari takes a list of one level for no pyramid and refuses it as labels.
    """
    shapes = [shape]
    while max(shapes[-1]) > _SMALLEST_LEVEL or len(shapes) == 1:
        shapes.append((-(-shapes[-1][0] // 2), -(-shapes[-1][1] // 2)))
    return shapes


def create_arrays(path: Path, plan: Plan, pixel_mm: float | None) -> None:
    """Create the group, the map and the tesserae, empty, in the folder `path`."""
    root = zarr.create_group(zarr_store(path), zarr_format=3, overwrite=False)
    names = ["grout", "core"][: plan.channels]
    root.attrs["ome"] = {
        "version": "0.5",
        "multiscales": [_multiscale("map", plan, pixel_mm, channels=True)],
        "omero": {"channels": [{"label": name, "window": _WINDOW, "color": "FFFFFF"} for name in names]},
    }
    for level, shape in enumerate(level_shapes(plan.shape)):
        _create(root, str(level), (plan.channels, *shape), np.dtype(np.uint8), plan.shard)
    create_labels(root, "tesserae", plan, pixel_mm)


def create_labels(root: Any, name: str, plan: Plan, pixel_mm: float | None) -> None:
    """Create empty labels of a name in an open group, replacing those that are there; the smallest level comes last."""
    labels = root.create_group(f"labels/{name}", overwrite=True)
    labels.attrs["ome"] = {
        "version": "0.5",
        "multiscales": [_multiscale(name, plan, pixel_mm, channels=False)],
        "image-label": {"source": {"image": "../../"}},
    }
    known = root["labels"].attrs.get("ome", {}).get("labels", [])
    root["labels"].attrs["ome"] = {"version": "0.5", "labels": sorted({*known, name}, reverse=True)}
    for level, shape in enumerate(level_shapes(plan.shape)):
        _create(labels, str(level), shape, id_dtype(plan.shape), plan.shard)


_CHUNKS, _CLEVEL = 4, 2
"""Chunks along the side of a shard, not varied; and the level of compression, without shuffling: of Blosc's zstd on the
map and the ids of 26 MP of drawn stones, level 2 takes 0.42 and 0.31 of the time of level 3 (the ids with their bits
shuffled), for 3 % more and less than half of the bytes; lz4 half of that time again, for 1.5 and 3 times the bytes."""

_WINDOW = {"min": 0, "max": 255, "start": 0, "end": 255}


def _create(group: Any, name: str, shape: tuple[int, ...], dtype: np.dtype[Any], shard: int) -> None:
    lead = shape[:-2]
    group.create_array(
        name,
        shape=shape,
        dtype=dtype,
        chunks=(*(1 for _ in lead), shard // _CHUNKS, shard // _CHUNKS),
        shards=(*lead, shard, shard),
        compressors=[
            BloscCodec(cname="zstd", clevel=_CLEVEL, shuffle="noshuffle"),
            Crc32cCodec(),  # a bit that a disk turned would otherwise be read as other stones
        ],
        fill_value=0,
        dimension_names=("c", "y", "x")[-len(shape) :],
        config={"write_empty_chunks": True},
    )


def _multiscale(name: str, plan: Plan, pixel_mm: float | None, *, channels: bool) -> dict[str, Any]:
    """NGFF metadata: scale and translation of each level to the source's pixels, or to millimetres."""
    axes = [space_axis({"name": axis, "type": "space"}, pixel_mm) for axis in "yx"]
    if channels:
        axes = [{"name": "c", "type": "channel"}, *axes]
    datasets = [
        {"path": str(level), "coordinateTransformations": placed(plan, (2**level,) * 2, pixel_mm, lead=int(channels))}
        for level in range(len(level_shapes(plan.shape)))
    ]
    return {"name": name, "axes": axes, "datasets": datasets, "type": "nearest" if not channels else "mean"}


def space_axis(axis: dict[str, Any], pixel_mm: float | None) -> dict[str, Any]:
    """An NGFF axis of rows or columns with its unit: millimetres, or none where the unit is a pixel of the source."""
    plain = {name: value for name, value in axis.items() if name != "unit"}
    return plain if pixel_mm is None else {**plain, "unit": "millimeter"}


def placed(plan: Plan, steps: tuple[float, float], pixel_mm: float | None, *, lead: int) -> list[dict[str, Any]]:
    """NGFF scale and translation of an array after `lead` other axes.

    `steps` are the sides (y, x) of one of its pixels in pixels of the working grid: 2 to the power of the level.
    """
    source = 1.0 if pixel_mm is None else pixel_mm
    scale = [source / plan.factor * step for step in steps]
    shift = [side / 2 - source / 2 for side in scale]
    return [
        {"type": "scale", "scale": [*(1.0 for _ in range(lead)), *scale]},
        {"type": "translation", "translation": [*(0.0 for _ in range(lead)), *shift]},
    ]


def shard_file(path: Path, array: str, index: tuple[int, int], *, channels: bool) -> Path:
    """Where a shard of an array lies on disk."""
    lead = ["0"] if channels else []
    return path.joinpath(*array.split("/"), "c", *lead, str(index[0]), str(index[1]))
