"""Outlines from pictures: label images and binary masks.

One decision: a number, or a piece of a mask, is one tessera, and its outline goes along the pixels of the picture, so
nothing is lost on the way. Numbers are names of no tessera: they were counted when the picture was written, so tesserae
are found again by their place.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal

import numpy as np
import shapely
import shapely.affinity
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from napari_mosaic.area_files import Grid, outlines
from napari_mosaic.errors import InputError, ReadError
from napari_mosaic.importing.outlines import Outlines, make_outlines
from napari_mosaic.importing.vector import as_array
from napari_mosaic.mask_files import UNREADABLE, read_mask
from napari_mosaic.measurement.source_grid import read_source_labels
from napari_mosaic.measurement.windows import TesseraWindow
from napari_mosaic.record import Record
from napari_mosaic.tiling import Box

Shows = Literal["auto", "labels", "tesserae", "joints"]
"""What the pixels of a picture are: numbers, white tesserae, white joints; auto tells numbers from black and white."""
_ROWS = 1024
"""Rows of a label image that are read at a time. *Not varied.*"""
_MOSTLY = 0.95
"""Share of pixels that are black or white in a mask that was saved with blurred edges; not varied."""


def read_picture(path: Path, grid: Grid, shows: Shows = "auto") -> Outlines:
    """Outlines of a label image or a mask as large as the photograph: PNG, TIFF, `.npy` and what else GDAL reads.

    Raises
    ------
    ReadError, InputError
        It cannot be read; it is of another size; it shows colours, no tessera, or a mask of which it is not clear
        what is white.
    """
    with ExitStack() as stack:
        picture = _open(path, stack)
        if picture.shape != grid.shape:
            raise InputError(
                f"{path.name} measures {picture.shape[1]} x {picture.shape[0]} px and the photograph {grid.shape[1]} x "
                f"{grid.shape[0]} px, so they do not lie on each other; give labels of the photograph's size."
            )
        if shows == "auto":
            shows = "tesserae" if picture.is_mask() else "labels"
        found = _of_labels(picture) if shows == "labels" else _of_mask(path, white=shows == "tesserae")
    cover = shapely.box(0, 0, grid.shape[1], grid.shape[0])
    return make_outlines(path.name, as_array(found), {}, grid, cover=cover, presumed=True, trace=trace_pixels)


class _Picture:
    """A picture of one band that is read by rows."""

    def __init__(self, path: Path, shape: tuple[int, int], read: Any) -> None:
        self.path, self.shape, self._read = path, shape, read

    def bands(self) -> Iterator[tuple[int, NDArray[Any]]]:
        """Upper edges and rows, from the top."""
        height, width = self.shape
        for y in range(0, height, _ROWS):
            try:
                yield y, np.asarray(self._read(Box(y, 0, min(y + _ROWS, height), width)))
            except UNREADABLE as error:
                raise ReadError(f"{self.path.name} cannot be read ({error}); save it as PNG or TIFF.") from error

    def is_mask(self) -> bool:
        """Whether nearly all pixels are black or white, or there is one number only, which no label image is."""
        ends, peak, seen = 0, 0, set[int]()
        for _, band in self.bands():
            if band.dtype.kind == "b":
                return True
            peak = max(peak, int(band.max()))
            ends += int(((band == 0) | (band == 255)).sum())
            seen.update(np.unique(band)[:3].tolist())
        white = peak == 255 and ends > _MOSTLY * self.shape[0] * self.shape[1]
        return white or len(seen - {0}) <= 1


def _open(path: Path, stack: ExitStack) -> _Picture:
    """A picture open for reading by rows."""
    try:
        if path.suffix.lower() == ".npy":
            values: Any = np.load(path, mmap_mode="r", allow_pickle=False)
            if values.ndim != 2 or values.dtype.kind not in "uib":
                raise InputError(_none(path, f"{values.dtype} values of the shape {values.shape}"))
            return _Picture(path, values.shape, lambda box: values[box.slices])
        import rasterio
        from rasterio.windows import Window

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
            source = stack.enter_context(rasterio.open(path))
    except (*UNREADABLE, _rasterio_error()) as error:
        raise ReadError(f"{path.name} cannot be read ({error}); save it as PNG, TIFF or NPY.") from error
    if np.dtype(source.dtypes[0]).kind not in "ui" or source.count > 4:
        raise InputError(_none(path, f"{source.count} bands of {source.dtypes[0]}"))

    def read(box: Box) -> NDArray[Any]:
        values = source.read(window=Window(box.x0, box.y0, *box.shape[::-1]))
        colours = values[:3] if len(values) > 2 else values[:1]
        if (colours != colours[:1]).any():
            raise InputError(_none(path, "colours"))
        return np.asarray(colours[0])

    return _Picture(path, (source.height, source.width), read)


def _rasterio_error() -> type[Exception]:
    from rasterio.errors import RasterioError

    error: type[Exception] = RasterioError
    return error


def _none(path: Path, what: str) -> str:
    return (
        f"{path.name} holds {what}, which are no labels; give one whole number a pixel, 0 = no tessera, or a black and "
        "white mask."
    )


def _of_labels(picture: _Picture) -> list[BaseGeometry]:
    """One outline a number, joined over the bands."""
    pieces: dict[int, list[BaseGeometry]] = {}
    for top, band in picture.bands():
        for number, piece in label_outlines(band):
            pieces.setdefault(number, []).append(shapely.affinity.translate(piece, 0, top))
    return [parts[0] if len(parts) == 1 else shapely.union_all(parts) for _, parts in sorted(pieces.items())]


def label_outlines(labels: NDArray[Any]) -> Iterator[tuple[int, BaseGeometry]]:
    """The number and the outline, along its pixels, of each connected piece of labels."""
    from rasterio.features import shapes

    numbers, places = np.unique(labels, return_inverse=True)
    dense = np.asarray(places.reshape(labels.shape) + (0 if numbers[0] == 0 else 1), np.int32)
    numbers = numbers if numbers[0] == 0 else np.concatenate([[0], numbers])
    for geometry, value in shapes(dense, mask=dense > 0, connectivity=4):
        yield int(numbers[int(value)]), shapely.geometry.shape(geometry)


def _of_mask(path: Path, *, white: bool) -> list[BaseGeometry]:
    mask = read_mask(path)
    return list(outlines(mask if white else ~mask))


def trace_pixels(record: Record, window: TesseraWindow) -> list[BaseGeometry]:
    """The tesserae of a window as a label image of the photograph's size shows them."""
    box = window.box.scale(1 / record.plan.factor).grow(1).clip(record.plan.source_shape)
    labels = read_source_labels(record, box)
    ids = _ids_of(record, window)
    row_of = {id_: row for row, id_ in enumerate(ids)}
    pieces: list[list[BaseGeometry]] = [[] for _ in ids]
    for id_, piece in label_outlines(np.where(np.isin(labels, ids), labels, 0)):
        pieces[row_of[id_]].append(shapely.affinity.translate(piece, box.x0, box.y0))
    return [parts[0] if len(parts) == 1 else shapely.union_all(parts) for parts in pieces]


def _ids_of(record: Record, window: TesseraWindow) -> list[int]:
    """The ids of the rows of a window, from its pixels."""
    labels, local = record.read_labels(window.box).ravel(), window.local.ravel()
    numbers, first = np.unique(local, return_index=True)
    found = [0] * len(window.rows)
    for number, place in zip(numbers.tolist(), first.tolist(), strict=True):
        if number:
            found[number - 1] = int(labels[place])
    return found
