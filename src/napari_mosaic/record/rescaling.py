"""The pixel size in the OME-Zarr metadata of a record: of the map and of every labels group that is there.

One decision: `mosaic.json` leads and what other programs read follows from it. It is written first, whole or not at
all; what a crash, or an older version, left behind is derived from it again when the record is next opened for writing.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from napari_mosaic.files import read_object, write_json
from napari_mosaic.record import layout
from napari_mosaic.record.plan import Plan

_FILE = "zarr.json"


def rescale_arrays(path: Path, plan: Plan, pixel_mm: float | None) -> list[str]:
    """Bring the scales and units of all groups of a record to a pixel size.

    Parameters
    ----------
    path
        The record.
    plan
        How its working grid lies on the source.
    pixel_mm
        Edge of a source pixel in mm where it is confirmed; None for scales in pixels of the source.

    Returns
    -------
    list of str
        The groups that were changed, "" for the map; each is replaced whole or not at all.

    Raises
    ------
    OSError
        It cannot be written.
    """
    changed = []
    for group in _groups(path):
        document = _read(group)
        if document is None:
            continue
        ome = document["attributes"]["ome"]
        renewed = [_renewed(multiscale, group, plan, pixel_mm) for multiscale in ome["multiscales"]]
        if renewed != ome["multiscales"]:
            ome["multiscales"] = renewed
            write_json(group / _FILE, document, sync=True, indent=2)
            changed.append(group.relative_to(path).as_posix().removeprefix("."))
    return changed


def _groups(path: Path) -> Iterator[Path]:
    yield path
    for file in sorted((path / "labels").glob(f"*/{_FILE}")):
        yield file.parent


def _read(group: Path) -> dict[str, Any] | None:
    """The metadata of a group of images; None where it is none, or cannot be read."""
    document = read_object(group / _FILE)
    try:
        multiscales = document["attributes"]["ome"]["multiscales"]
    except (KeyError, TypeError):
        return None
    sound = isinstance(multiscales, list) and all(isinstance(item, dict) for item in multiscales)
    return document if sound else None


def _renewed(multiscale: dict[str, Any], group: Path, plan: Plan, pixel_mm: float | None) -> dict[str, Any]:
    axes = [
        layout.space_axis(axis, pixel_mm) if isinstance(axis, dict) and axis.get("type") == "space" else axis
        for axis in multiscale.get("axes", [])
    ]
    datasets = [_placed(dataset, group, plan, pixel_mm) for dataset in multiscale.get("datasets", [])]
    return {**multiscale, "axes": axes, "datasets": datasets}


def _placed(dataset: dict[str, Any], group: Path, plan: Plan, pixel_mm: float | None) -> dict[str, Any]:
    """A dataset with its scale and translation: by the level that its shape is, else by the floor that it covers."""
    try:
        shape = read_object(group / str(dataset["path"]) / _FILE)["shape"]
        height, width = (int(side) for side in shape[-2:])
    except (ValueError, KeyError, TypeError):
        return dataset
    levels = layout.level_shapes(plan.shape)
    if (height, width) in levels:
        steps = (2.0 ** levels.index((height, width)),) * 2
    else:
        steps = (plan.shape[0] / height, plan.shape[1] / width)
    return {**dataset, "coordinateTransformations": layout.placed(plan, steps, pixel_mm, lead=len(shape) - 2)}
