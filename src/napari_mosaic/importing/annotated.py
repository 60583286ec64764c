"""Outlines from annotation programs: COCO, as CVAT writes it, and Label Studio's JSON.

One decision: a picture is the photograph itself, or a window of it whose name tells where it lies, as our export names
it; a picture that is neither has no place and is refused.

References
----------
COCO (https://cocodataset.org/#format-data); Label Studio, JSON export.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.affinity import translate
from shapely.geometry.base import BaseGeometry

from napari_mosaic.area_files import Grid, outlines
from napari_mosaic.errors import InputError
from napari_mosaic.export.coco import place_of_name
from napari_mosaic.importing.outlines import Outlines, make_outlines
from napari_mosaic.importing.vector import as_array, columns_of, cover_of
from napari_mosaic.run_lengths import Mask, decode_coco, decode_label_studio

_ODD = (KeyError, TypeError, ValueError, IndexError, AttributeError)
Drawn = tuple[BaseGeometry, dict[str, Any]]
Points = NDArray[np.float64]


def is_annotated(values: Any) -> bool:
    """Whether the values of a JSON file are COCO or Label Studio's."""
    if isinstance(values, dict):
        return {"images", "annotations"} <= values.keys()
    return isinstance(values, list) and bool(values) and isinstance(values[0], dict) and "annotations" in values[0]


def read_annotated(path: Path, values: Any, grid: Grid, name: str) -> Outlines:
    """Outlines of COCO or Label Studio's JSON; `name` is that of the photograph.

    Raises
    ------
    InputError
        It says something that cannot be drawn, or of a picture that has no place on the photograph.
    """
    coco = isinstance(values, dict)
    try:
        found = list(_coco(values, grid, name) if coco else _label_studio(values, grid, name))
    except _ODD as error:
        raise InputError(
            f"{path.name} is neither COCO nor Label Studio's JSON ({type(error).__name__}: {error}); export it once "
            "more."
        ) from error
    columns = columns_of([said for _, said in found])
    origin: dict[str, Any] = {}
    notes = (values.get("info") or {}).get("napari_mosaic") if coco else None
    if isinstance(notes, Mapping):
        origin = {"journal": notes.get("journal"), "cover": cover_of(notes, grid)}
    return make_outlines(path.name, as_array([shape for shape, _ in found]), columns, grid, **origin)


def _corner(names: list[str], size: tuple[int, int], grid: Grid, photograph: str) -> tuple[int, int]:
    """Where a picture lies on the photograph, `(y, x)`."""
    for name in names:
        place = place_of_name(name)
        if place is not None:
            return place
    if size == grid.shape:
        return 0, 0
    raise InputError(
        f"The picture {names[0]} ({size[1]} x {size[0]} px) is neither {photograph} ({grid.shape[1]} x "
        f"{grid.shape[0]} px) nor a window of it whose name tells its place (..._y000000_x000000.png), so what was "
        "drawn on it has no place."
    )


def _coco(values: dict[str, Any], grid: Grid, photograph: str) -> Iterator[Drawn]:
    materials = {one["id"]: str(one["name"]) for one in values.get("categories", [])}
    corners = {
        one["id"]: _corner([str(one["file_name"])], (int(one["height"]), int(one["width"])), grid, photograph)
        for one in values["images"]
    }
    for entry in values["annotations"]:
        if not entry.get("segmentation"):
            continue
        y, x = corners[entry["image_id"]]
        said = dict(entry.get("attributes") or {})
        material = materials.get(entry.get("category_id"), "")
        said["material"] = "" if material == "tessera" else material
        yield translate(_segmentation(entry["segmentation"]), x, y), said


def _segmentation(value: Any) -> BaseGeometry:
    if isinstance(value, dict):
        return of_mask(decode_coco(value))
    flat = isinstance(value[0], int | float)  # one ring without the list around it
    return of_rings([np.reshape(np.asarray(ring, float), (-1, 2)) for ring in ([value] if flat else value)])


def of_rings(rings: list[Points]) -> BaseGeometry:
    """What rings `(n, 2)` of `(x, y)` enclose: parts that overlap are united, a ring in another is a hole."""
    inside: BaseGeometry = shapely.MultiPolygon()
    parts = [shapely.make_valid(shapely.Polygon(ring)) for ring in rings if len(ring) >= 3]
    for part in sorted(parts, key=shapely.area, reverse=True):
        inside = inside.difference(part) if inside.covers(part) else inside.union(part)
    return inside


def of_mask(mask: Mask) -> BaseGeometry:
    """The outline of a mask along its pixels."""
    return shapely.union_all(list(outlines(mask)))


def _label_studio(tasks: list[Any], grid: Grid, photograph: str) -> Iterator[Drawn]:
    for task in tasks:
        done = [one for one in task["annotations"] if not one.get("was_cancelled")]
        names = [task["file_upload"]] if task.get("file_upload") else []
        names += [str(value) for value in (task.get("data") or {}).values() if isinstance(value, str)]
        files = [PurePosixPath(name.split("?d=")[-1]).name for name in names] or ["without a name"]
        for region in done[-1]["result"] if done else []:
            draw = next((draw for kind, draw in _SHAPES.items() if region.get("type", "").startswith(kind)), None)
            if draw is None:
                continue
            size = int(region["original_height"]), int(region["original_width"])
            y, x = _corner(files, size, grid, photograph)
            for shape in draw(region["value"], size):
                yield translate(shape, x, y), _said(region)


def _said(region: Mapping[str, Any]) -> dict[str, Any]:
    """The id that a region bears (`t` and the id, as our predictions name it), and its label as the material."""
    name = str(region.get("id", ""))
    found: dict[str, Any] = {}
    if name.startswith("t") and name[1:].isdecimal():
        found["id"] = name[1:]
    value = region["value"]
    listed = (value[key] for key in value if key.endswith("labels") and isinstance(value[key], list))
    labels: list[str] = next(listed, [])
    if labels:
        found["material"] = "" if labels[0].lower() in ("tessera", "stone or glass") else str(labels[0])
    return found


def _polygon(value: Mapping[str, Any], size: tuple[int, int]) -> Iterator[BaseGeometry]:
    yield of_rings([_pixels(np.asarray(value["points"], float), size)])


def _rectangle(value: Mapping[str, Any], size: tuple[int, int]) -> Iterator[BaseGeometry]:
    corners = np.array([(0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)]) * (value["width"], value["height"])
    yield _turned(corners, value, size)


def _ellipse(value: Mapping[str, Any], size: tuple[int, int]) -> Iterator[BaseGeometry]:
    angle = np.linspace(0, 2 * np.pi, 72, endpoint=False)
    yield _turned(np.stack([np.cos(angle), np.sin(angle)], 1) * (value["radiusX"], value["radiusY"]), value, size)


def _turned(points: Points, value: Mapping[str, Any], size: tuple[int, int]) -> BaseGeometry:
    """A shape turned about its origin, which lies at (x, y); all in hundredths of the picture."""
    angle = np.deg2rad(float(value.get("rotation", 0)))
    rotation = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    origin = _pixels(np.array([[value["x"], value["y"]]], float), size)
    return of_rings([_pixels(points, size) @ rotation + origin])


def _brush(value: Mapping[str, Any], size: tuple[int, int]) -> Iterator[BaseGeometry]:
    """What was brushed: a stone for each separate piece."""
    yield from outlines(decode_label_studio(value["rle"], size))


def _pixels(points: Points, size: tuple[int, int]) -> Points:
    """Hundredths of the picture, `(x, y)`, as pixels."""
    return points * (size[1] / 100.0, size[0] / 100.0)


_SHAPES = {"polygon": _polygon, "brush": _brush, "rectangle": _rectangle, "ellipse": _ellipse}
"""How the kinds of Label Studio's regions are drawn, by the beginning of their names."""
