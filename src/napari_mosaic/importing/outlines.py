"""What a file from elsewhere says: outlines on the photograph, whose they are, and what was said of them.

One decision: whatever the file is, it becomes outlines in pixels of the photograph; so one way leads from all formats
into a record, and memory holds the outlines of the file and no picture of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from napari_mosaic.area_files import Grid
from napari_mosaic.errors import InputError
from napari_mosaic.export.shaping import PLAIN
from napari_mosaic.measurement.windows import TesseraWindow
from napari_mosaic.record import Record
from napari_mosaic.record.tables import WORDS

SILENT = 255
"""The code of a material or state of which the file says nothing, not even that nothing is known."""

Trace = Callable[[Record, TesseraWindow], list[BaseGeometry]]
"""How the file's format draws the tesserae of a record: what it would hold if nobody had changed it."""


@dataclass(frozen=True, kw_only=True)
class Outlines:
    """The outlines of a file.

    Attributes
    ----------
    name
        Of the file.
    shapes
        `(n,)` valid polygons `(x, y)` in source pixels.
    ids
        `(n,)` uint64 ids of the record that they come from; 0 where the file gives none.
    material, state
        `(n,)` uint8 codes as in `record.tables`; `SILENT` where the file says nothing.
    journal
        How many entries the journal of edits had when the file was exported; None where it does not say.
    cover
        Where the file is complete, so that what is absent was deleted; None where it does not say.
    presumed
        Whether `cover` is taken for granted, because the format cannot say it.
    trace
        How its format draws a record's tesserae.
    notes
        What was left out of the file, and why, in sentences.
    """

    name: str
    shapes: NDArray[Any]
    ids: NDArray[np.uint64]
    material: NDArray[np.uint8]
    state: NDArray[np.uint8]
    journal: int | None = None
    cover: BaseGeometry | None = None
    presumed: bool = False
    trace: Trace = PLAIN.trace
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.shapes)


def make_outlines(
    name: str, shapes: NDArray[Any], columns: Mapping[str, Sequence[Any]], grid: Grid, **more: Any
) -> Outlines:
    """The outlines of a file from its geometries in source pixels and its columns `id`, `material` and `state`.

    What covers nothing, or does not meet the photograph, is left out and noted.

    Raises
    ------
    InputError
        Nothing is left.
    """
    shapes = np.asarray(shapes, object)
    polygons, notes = _polygonal(shapes), list(more.pop("notes", ()))
    empty = shapely.is_empty(polygons)
    out = ~empty & ~shapely.intersects(polygons, shapely.box(0, 0, grid.shape[1], grid.shape[0]))
    for count, why in ((empty.sum(), "cover nothing"), (out.sum(), "lie outside of the photograph")):
        if count:
            notes.append(f"{count:,} shapes of {name} {why} and are left out.")
    kept = ~empty & ~out
    if not kept.any():
        size = f"{grid.shape[1]} x {grid.shape[0]} px"
        raise InputError(
            f"{name} holds no outline that lies on the photograph ({size}), so nothing can be taken from it; check "
            "that it belongs to this photograph."
        )
    codes = {}
    for said, words in WORDS.items():
        codes[said], odd = _codes(columns.get(said), words, len(shapes))
        if odd:
            notes.append(f"The {said} {', '.join(sorted(odd)[:3])} is none of {', '.join(words[1:])} and is left out.")
    return Outlines(
        name=name,
        shapes=polygons[kept],
        ids=_ids(columns.get("id"), len(shapes))[kept],
        material=codes["material"][kept],
        state=codes["state"][kept],
        notes=tuple(notes),
        **more,
    )


def _polygonal(shapes: NDArray[Any]) -> NDArray[Any]:
    """Valid polygons of any geometries; empty ones where they have none."""
    shapes = shapes.copy()
    shapes[shapely.is_missing(shapes)] = shapely.Polygon()
    wrong = ~shapely.is_valid(shapes)
    shapes[wrong] = shapely.make_valid(shapes[wrong])
    for k in np.flatnonzero(~np.isin(shapely.get_type_id(shapes), (3, 6))):
        parts = [part for part in shapely.get_parts(shapely.get_parts(shapes[k])) if part.geom_type == "Polygon"]
        shapes[k] = shapely.union_all(parts) if parts else shapely.Polygon()
    return shapes


def _ids(values: Sequence[Any] | None, count: int) -> NDArray[np.uint64]:
    """Ids from numbers or texts; 0 for whatever is none."""
    found = np.zeros(count, np.uint64)
    for k, value in enumerate(values if values is not None else ()):
        text = str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
        if text.isdecimal() and int(text) < 2**64:
            found[k] = int(text)
    return found


def _codes(values: Sequence[Any] | None, words: Sequence[str], count: int) -> tuple[NDArray[np.uint8], set[str]]:
    """Codes of words, `SILENT` for those that are none of them, which are returned, too."""
    codes, odd = np.full(count, SILENT, np.uint8), set()
    known = {word: code for code, word in enumerate(words)}
    for k, value in enumerate(values if values is not None else ()):
        if value is SILENT:
            continue
        word = "" if value is None or value != value else str(value).strip().lower()
        if word in known:
            codes[k] = known[word]
        else:
            odd.add(str(value))
    return codes, odd
