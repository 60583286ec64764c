"""Some tesserae as the functions of columns see them.

One decision: what several columns need (centres, moments, the photograph) is worked out once for all of them, when the
first asks for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_mosaic.engine.resample import read_resampled
from napari_mosaic.errors import InputError
from napari_mosaic.image import MosaicImage
from napari_mosaic.measurement import moments
from napari_mosaic.measurement.colours import mean_colours
from napari_mosaic.measurement.contours import longest_rings
from napari_mosaic.measurement.joints import OFFSETS, WIDEST, joint_borders
from napari_mosaic.measurement.outlines import trace_outlines
from napari_mosaic.measurement.rectangles import least_rectangles
from napari_mosaic.measurement.table import TesseraTable
from napari_mosaic.measurement.windows import BOX, TesseraWindow
from napari_mosaic.record import Record

if TYPE_CHECKING:
    from napari_mosaic.measurement.floor import Floor


@dataclass(frozen=True)
class View:
    """`n` tesserae: rows of the table, and, where columns are measured from pixels, the window that holds them.

    Attributes
    ----------
    record, tesserae
        Whose they are, and the table.
    rows
        `(n,)` rows of the table.
    window
        Where their pixels are; None for columns of the table alone.
    image
        The photograph, where a column needs it.
    floor
        What was measured of all tesserae of the whole floor, where a column needs it.
    """

    record: Record
    tesserae: TesseraTable
    rows: NDArray[np.int64]
    window: TesseraWindow | None = None
    image: MosaicImage | None = None
    floor: Floor | None = None

    def table(self, name: str) -> NDArray[Any]:
        """A column of the record's table, in pixels of the working grid."""
        return self.tesserae.columns[name][self.rows]

    @property
    def pixels_of(self) -> TesseraWindow:
        """The window; only columns that say that they read pixels may ask for it."""
        if self.window is None:
            raise InputError("A column that is measured from pixels was asked of the table alone.")
        return self.window

    @property
    def whole(self) -> Floor:
        """The floor; only columns that say that they need it may ask for it."""
        if self.floor is None:
            raise InputError("A column that the whole floor must tell was asked of some tesserae alone.")
        return self.floor

    @cached_property
    def rows_of_whole(self) -> NDArray[np.int64]:
        """`(n,)` rows of the tesserae in the table of the floor, which holds more where the record is a part of one."""
        if self.whole.tesserae is self.tesserae:
            return self.rows
        return self.whole.tesserae.rows_of(self.table("id"))

    @property
    def labels(self) -> NDArray[np.int32]:
        """`(h, w)`: 1 + position of the tessera, 0 elsewhere."""
        return self.pixels_of.local

    @cached_property
    def ids(self) -> NDArray[np.int32]:
        """`(n,)`: the numbers of the tesserae in `labels`."""
        return np.arange(1, len(self.rows) + 1, dtype=np.int32)

    @cached_property
    def boxes(self) -> NDArray[np.int64]:
        """`(n, 4)`: the boxes of the tesserae in `labels`."""
        box = self.pixels_of.box
        boxes = np.column_stack([self.table(name) for name in BOX]).astype(np.int64).reshape(-1, 4)
        return np.asarray(boxes - np.array([box.y0, box.x0] * 2))

    @cached_property
    def centres(self) -> NDArray[np.float64]:
        """`(n, 2)`: centres of gravity, `(y, x)` on the working grid."""
        return moments.centres(self.pixels_of)

    @cached_property
    def places(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Centres of gravity in source pixels: x and y."""
        y, x = self.centres.T / self.record.plan.factor
        return x, y

    @cached_property
    def moments(self) -> NDArray[np.float64]:
        """`(n, 6)`: see `measurement.moments`."""
        found: NDArray[np.float64] = moments.moments(self.labels, self.ids, self.boxes)
        return found

    @cached_property
    def rectangles(self) -> NDArray[np.float64]:
        """`(n, 3)`: see `measurement.rectangles`."""
        found: NDArray[np.float64] = least_rectangles(self.labels, self.ids, self.boxes)
        return found

    @cached_property
    def rings(self) -> NDArray[np.object_]:
        """`(n,)`: the outer ring of each tessera's outline, `(x, y)` on the working grid."""
        return longest_rings(trace_outlines(self.pixels_of, 1.0))

    @cached_property
    def colours(self) -> NDArray[np.float64]:
        """`(n, 4)`: see `measurement.colours`."""
        return mean_colours(self.labels, self.ids, self.boxes, self.photograph)

    @cached_property
    def borders(self) -> tuple[NDArray[Any], ...]:
        """Joints and neighbours: see `measurement.joints.joint_borders`."""
        box = self.pixels_of.box
        around = box.grow(WIDEST + 1).clip(self.record.shape)
        ids = self.table("id").astype(np.uint64)
        shift = np.array([box.y0 - around.y0, box.x0 - around.x0] * 2)
        labels = self.record.read_labels(around).astype(np.uint64, copy=False)
        found: tuple[NDArray[Any], ...] = joint_borders(labels, ids, self.boxes + shift, OFFSETS)
        return found

    @property
    def joints(self) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Widths `(n, 2)` and neighbours `(n,)`: see `measurement.joints`."""
        if len(self.rows) == 0:
            return np.zeros((0, 2)), np.zeros(0, np.int64)
        return self.borders[0], self.borders[1]

    @cached_property
    def photograph(self) -> NDArray[np.uint8]:
        """`(h, w, 3)` uint8 sRGB under `labels`, resampled to the working grid.

        Raises
        ------
        InputError, ReadError
            The photograph was not opened; it cannot be read there.
        """
        box, factor = self.pixels_of.box, self.record.plan.factor
        if box.area == 0:
            return np.zeros((*box.shape, 3), np.uint8)
        if self.image is None:
            raise InputError(f"The photograph of {self.record.path.name} is needed to measure colours; relink it.")
        pixels = read_resampled(self.image, (box.y0 / factor, box.x0 / factor), factor, box.shape)
        return np.ascontiguousarray(pixels)


__all__ = ["View"]
