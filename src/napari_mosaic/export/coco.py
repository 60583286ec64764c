"""Outlines as COCO, in windows of few enough objects for CVAT and Label Studio to show.

One decision: a window is a picture of its own, and its name tells where it lies, because nothing else of ours survives
the way through an annotation program.

References
----------
COCO, format of object detection (https://cocodataset.org/#format-data); CVAT 2, "COCO 1.0".
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from PIL import Image
from shapely.geometry.base import BaseGeometry

from napari_mosaic.export.grouped import Group, outlined_groups
from napari_mosaic.export.notes import notes_of
from napari_mosaic.export.options import CocoOptions
from napari_mosaic.image import MosaicImage
from napari_mosaic.measurement.table import TesseraTable, read_tesserae
from napari_mosaic.progress import Progress
from napari_mosaic.record import Record
from napari_mosaic.record.tables import MATERIALS, STATES
from napari_mosaic.record_names import clean_name

NAME, PICTURES = "instances.json", "images"
_DIGITS = 2
"""Decimals of a coordinate: a hundredth of a pixel, as CVAT keeps."""
_PLACE = re.compile(r"_y(\d+)_x(\d+)\.\w+$")


def write_steps(record: Record, path: Path, options: CocoOptions = CocoOptions()) -> Iterator[Progress]:  # noqa: B008
    """Write the folder `path`: `instances.json`, and the pictures of its windows where they are asked for."""
    tesserae, stem = read_tesserae(record), clean_name(Path(record.source.name).stem)
    yield Progress(phase="export", done=0, total=len(tesserae), unit="tesserae")
    (path / PICTURES).mkdir(parents=True)
    images: list[dict[str, Any]] = []
    with ExitStack() as stack:
        image = stack.enter_context(record.open_source()) if options.pictures else None
        file = stack.enter_context((path / NAME).open("w", encoding="utf-8", newline="\n"))
        file.write(_head(record))
        for group in outlined_groups(record, tesserae, options.most):
            name = f"{stem}_y{group.box.y0:06d}_x{group.box.x0:06d}.png"
            height, width = group.box.shape
            images.append({"id": len(images) + 1, "file_name": name, "width": width, "height": height})
            lines = [json.dumps(one) for one in _annotations(tesserae, group, len(images))]
            file.write(("\n" if len(images) == 1 else ",\n") + ",\n".join(lines))
            if image is not None:
                _save_picture(image, group, path / PICTURES / name)
            yield group.progress
        file.write("\n], " + json.dumps({"images": images})[1:] + "\n")
    if image is None:
        (path / PICTURES).rmdir()


def place_of_name(name: str) -> tuple[int, int] | None:
    """The corner `(y, x)` of the window whose picture has a name; None where it tells none."""
    found = _PLACE.search(name)
    return None if found is None else (int(found[1]), int(found[2]))


def _head(record: Record) -> str:
    names = ["tessera", *MATERIALS[1:]]
    head = {
        "info": {"description": f"Tesserae of {record.source.name}", "napari_mosaic": notes_of(record)},
        "categories": [{"id": k, "name": name, "supercategory": "tessera"} for k, name in enumerate(names, 1)],
    }
    return json.dumps(head)[:-1] + ', "annotations": ['


def _annotations(tesserae: TesseraTable, group: Group, number: int) -> Iterator[dict[str, Any]]:
    corner = np.array([group.box.x0, group.box.y0])
    for row, outline in zip(group.rows.tolist(), group.outlines, strict=True):
        yield _annotation(tesserae, row, shapely.transform(outline, lambda points: points - corner), number)


def _annotation(tesserae: TesseraTable, row: int, outline: BaseGeometry, picture: int) -> dict[str, Any]:
    x0, y0, x1, y1 = outline.bounds
    columns = tesserae.columns
    material, state = int(columns["material"][row]), STATES[columns["state"][row]]
    rings = [keyhole(part).round(_DIGITS) for part in shapely.get_parts(outline)]
    return {
        "id": row + 1,
        "image_id": picture,
        "category_id": material + 1,
        "segmentation": [ring.ravel().tolist() for ring in rings],
        "bbox": [round(value, _DIGITS) for value in (x0, y0, x1 - x0, y1 - y0)],
        "area": round(outline.area, _DIGITS),
        "iscrowd": 0,
        "attributes": {"id": str(int(columns["id"][row])), "state": state},
    }


def keyhole(polygon: BaseGeometry) -> NDArray[np.float64]:
    """A polygon with holes as one ring `(n, 2)`, which goes to each hole and back on one line: COCO knows no holes."""
    outer, *holes = (shapely.get_coordinates(ring)[:-1] for ring in shapely.get_rings(polygon))
    for hole in holes:
        away = ((outer[:, None] - hole[None]) ** 2).sum(2)
        k, j = np.unravel_index(int(np.argmin(away)), away.shape)
        way = np.vstack([np.roll(hole, -j, 0), hole[j]])
        outer = np.vstack([outer[: k + 1], way, outer[k:]])
    return np.asarray(outer)


def _save_picture(image: MosaicImage, group: Group, path: Path) -> None:
    with path.open("wb") as file:
        Image.fromarray(image.read(group.box)).save(file, format="PNG")
