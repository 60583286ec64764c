"""Stones that people drew in Label Studio, or that came from anywhere as COCO: JSON beside its pictures.

One decision: what was drawn as one shape is one stone, what was brushed is as many stones as it has separate pieces;
where shapes overlap the smaller one lies on top, so that nothing is hidden.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import cv2
import numpy as np
import shapely
from numpy.typing import NDArray
from rasterio.features import rasterize

from napari_mosaic.errors import InputError, MissingError, ReadError
from napari_mosaic.image import open_image
from napari_mosaic.progress import Steps
from napari_mosaic.run_lengths import decode_coco, decode_label_studio
from napari_mosaic.tiling import Box
from napari_mosaic.training.data import Picture
from napari_mosaic.training.run_files import check_room
from napari_mosaic.training.sources import Stored, open_stored, store_pictures
from napari_mosaic.training.truth import LEAST_AREA

Mask = NDArray[np.bool_]
_ODD = (KeyError, TypeError, ValueError, IndexError, AttributeError)


@dataclass(frozen=True)
class Annotated:
    """One picture: its file as the JSON names it, and its stones, drawn when the picture's shape is known."""

    names: tuple[str, ...]
    draw: Callable[[tuple[int, int]], Iterator[Mask]]


def store_annotations(path: Path, out: Path) -> Steps[Stored]:
    """Bring the pictures and stones of an export into arrays in `out`.

    Parameters
    ----------
    path
        JSON of Label Studio (its format "JSON") or COCO. Pictures are looked for beside it and in `images` there.
    out
        Folder for the arrays.

    Raises
    ------
    MissingError
        If the file or a picture is not there.
    ReadError
        If it is no JSON.
    InputError
        If it is neither, or shows no stone.
    """
    values = _read(path)
    ask = {"file": [str(path), path.stat().st_size, path.stat().st_mtime_ns]}
    kept = open_stored(out, ask)
    if kept is not None:
        return kept
    try:
        found = list(_coco(values) if isinstance(values, dict) else _label_studio(values))
    except _ODD as error:
        raise InputError(
            f"{path} is neither COCO nor Label Studio's JSON ({type(error).__name__}: {error}); export it as JSON or "
            "COCO once more."
        ) from error
    if not found:
        raise InputError(f"{path} holds no picture with a polygon or a brushed mask; draw stones and export it again.")
    return (yield from store_pictures(out, ask, _pictures(path, found, out), len(found)))


def _pictures(path: Path, found: list[Annotated], out: Path) -> Iterator[tuple[str, Picture]]:
    """The pictures that an export names, with their stones."""
    names: list[str] = []
    for one in found:
        picture = _find(path, one.names)
        names.append(_free_name(picture.stem, names))
        with open_image(picture) as image:
            height, width = image.shape[:2]
            check_room(out, height * width * 7)
            try:
                labels = paint_tesserae(list(one.draw((height, width))), (height, width))
            except _ODD as error:
                raise InputError(
                    f"What {path.name} says of {picture.name} ({width} x {height} px) cannot be drawn ({error}); check "
                    "that it belongs to this picture."
                ) from error
            if not labels.any():
                raise InputError(f"{path.name} shows no stone on {picture.name}; draw its stones, or take it out.")
            yield names[-1], Picture(image.read(Box(0, 0, height, width)), labels)


def _free_name(stem: str, taken: list[str]) -> str:
    """A name that no other picture has."""
    return stem if stem not in taken else f"{stem}_part{len(taken)}"


def _read(path: Path) -> Any:
    if not path.is_file():
        raise MissingError(f"There is no file {path}; give the JSON that Label Studio or COCO was exported to.")
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ReadError(f"{path} cannot be read as JSON ({error}); export it again.") from error
    if isinstance(values, list) or (isinstance(values, dict) and {"images", "annotations"} <= values.keys()):
        return values
    raise InputError(f"{path} is neither COCO nor Label Studio's JSON; export it as one of them.")


def _find(path: Path, names: tuple[str, ...]) -> Path:
    for name in names:
        for folder in (path.parent, path.parent / "images"):
            if (folder / name).is_file():
                return folder / name
    raise MissingError(
        f"The picture {names[0]} of {path.name} is neither beside it nor in {path.parent / 'images'}; put it there."
    )


def paint_tesserae(masks: list[Mask], shape: tuple[int, int]) -> NDArray[np.uint32]:
    """Masks `(Y, X)` as ids 1..N, smaller ones over larger; specks are left out."""
    labels = np.zeros(shape, np.uint32)
    masks = [mask for mask in masks if int(mask.sum()) >= LEAST_AREA]
    for number, mask in enumerate(sorted(masks, key=lambda mask: -int(mask.sum())), start=1):
        labels[mask] = number
    return labels


def _coco(values: dict[str, Any]) -> Iterator[Annotated]:
    drawn: dict[Any, list[Any]] = {}
    for entry in values["annotations"]:
        if entry.get("segmentation"):
            drawn.setdefault(entry["image_id"], []).append(entry["segmentation"])
    for image in values["images"]:
        if image["id"] in drawn:
            size = None if "height" not in image else (int(image["height"]), int(image["width"]))
            yield Annotated(_spellings(image["file_name"]), partial(_coco_masks, drawn[image["id"]], size))


def _coco_masks(segmentations: list[Any], size: tuple[int, int] | None, shape: tuple[int, int]) -> Iterator[Mask]:
    _check_size(size, shape)
    for segmentation in segmentations:
        if isinstance(segmentation, dict):
            mask = decode_coco(segmentation)
            _check_size((mask.shape[0], mask.shape[1]), shape)
            yield mask
        else:
            flat = isinstance(segmentation[0], int | float)  # one ring without the list around it
            rings = [segmentation] if flat else segmentation
            yield _polygons([np.reshape(np.asarray(ring, float), (-1, 2)) for ring in rings], shape)


def _label_studio(tasks: list[Any]) -> Iterator[Annotated]:
    for task in tasks:
        done = [one for one in task["annotations"] if not one.get("was_cancelled")]
        regions = [region for one in done[-1:] for region in one["result"]]
        shapes = [region for region in regions if region.get("type", "").startswith(tuple(_SHAPES))]
        if shapes:
            source = [task["file_upload"]] if task.get("file_upload") else []
            source += [str(value) for value in task["data"].values() if isinstance(value, str)]
            names = tuple(name for text in source for name in _spellings(text))
            yield Annotated(names, partial(_label_studio_masks, shapes))


def _label_studio_masks(regions: list[Any], shape: tuple[int, int]) -> Iterator[Mask]:
    for region in regions:
        _check_size((int(region["original_height"]), int(region["original_width"])), shape)
        kind = next(name for name in _SHAPES if region["type"].startswith(name))
        yield from _SHAPES[kind](region["value"], shape)


def _spellings(text: str) -> tuple[str, ...]:
    """The names that a picture may have on disk: Label Studio puts a path and eight characters before them."""
    path = PurePosixPath(text.split("?d=")[-1].replace("\\", "/"))
    name = path.name
    short = name[9:] if len(name) > 9 and name[8] == "-" else name
    return tuple(dict.fromkeys((str(path).lstrip("/"), name, short)))


def _check_size(size: tuple[int, int] | None, shape: tuple[int, int]) -> None:
    if size is not None and size != shape:
        raise ValueError(f"it was drawn on {size[1]} x {size[0]} px")


def _polygons(rings: list[NDArray[np.float64]], shape: tuple[int, int]) -> Mask:
    """The pixels whose centres lie in rings of `(x, y)`: parts that overlap are united, a ring in another is a hole.

    Corners are rounded to 1/256 px, so that an edge along pixel centres is not decided by the last bit of its ends.
    """
    inside = shapely.MultiPolygon()
    parts = [shapely.make_valid(shapely.Polygon(np.round(ring * 256) / 256)) for ring in rings if len(ring) >= 3]
    for part in sorted(parts, key=shapely.area, reverse=True):
        inside = inside.difference(part) if inside.covers(part) else inside.union(part)
    pieces = [piece for piece in shapely.get_parts(inside) if "Polygon" in piece.geom_type]
    if not pieces:
        return np.zeros(shape, bool)
    return np.asarray(rasterize(pieces, out_shape=shape, dtype=np.uint8)) > 0


def _drawn_polygon(value: dict[str, Any], shape: tuple[int, int]) -> Iterator[Mask]:
    yield _polygons([_pixels(np.asarray(value["points"], float), shape)], shape)


def _drawn_rectangle(value: dict[str, Any], shape: tuple[int, int]) -> Iterator[Mask]:
    corners = np.array([(0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)]) * (value["width"], value["height"])
    yield _turned(corners, value, shape)


def _drawn_ellipse(value: dict[str, Any], shape: tuple[int, int]) -> Iterator[Mask]:
    angle = np.linspace(0, 2 * np.pi, 72, endpoint=False)
    around = np.stack([np.cos(angle), np.sin(angle)], 1) * (value["radiusX"], value["radiusY"])
    yield _turned(around, value, shape)


def _turned(points: NDArray[np.float64], value: dict[str, Any], shape: tuple[int, int]) -> Mask:
    """A shape turned about its origin, which lies at (x, y); all in hundredths of the picture."""
    angle = np.deg2rad(float(value.get("rotation", 0)))
    rotation = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    origin = _pixels(np.array([[value["x"], value["y"]]], float), shape)
    return _polygons([_pixels(points, shape) @ rotation + origin], shape)


def _drawn_brush(value: dict[str, Any], shape: tuple[int, int]) -> Iterator[Mask]:
    brushed = decode_label_studio(value["rle"], shape)
    count, pieces = cv2.connectedComponents(brushed.astype(np.uint8), connectivity=4)
    yield from (pieces == number for number in range(1, count))


def _pixels(points: NDArray[np.float64], shape: tuple[int, int]) -> NDArray[np.float64]:
    """Hundredths of the picture, `(x, y)`, as pixels."""
    return points * (shape[1] / 100.0, shape[0] / 100.0)


_SHAPES: dict[str, Callable[[dict[str, Any], tuple[int, int]], Iterator[Mask]]] = {
    "polygon": _drawn_polygon,
    "brush": _drawn_brush,
    "rectangle": _drawn_rectangle,
    "ellipse": _drawn_ellipse,
}
"""How the kinds of Label Studio's regions are drawn, by the beginning of their names."""


__all__ = ["Annotated", "decode_coco", "decode_label_studio", "paint_tesserae", "store_annotations"]
