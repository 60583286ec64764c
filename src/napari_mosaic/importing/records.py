"""A record of outlines that came from elsewhere: what others drew is measured, edited and handed on like anything else.

One decision: the working grid is the photograph's own unless a scale is given, and the map says *joint* wherever there
is no outline, so every tool that asks the map finds the edges that were drawn.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from napari_mosaic.engine.mapping import update_levels
from napari_mosaic.engine.planning import check_scale, working_shape
from napari_mosaic.errors import InputError
from napari_mosaic.ids import id_at, id_dtype
from napari_mosaic.image import MosaicImage
from napari_mosaic.importing.outlines import SILENT, Outlines
from napari_mosaic.importing.painting import box_of, paint
from napari_mosaic.progress import Progress, Steps
from napari_mosaic.record import Plan, Record, create_record, open_record
from napari_mosaic.record.shown import IMPORTED
from napari_mosaic.record_setup import initial_areas
from napari_mosaic.segmentation import mark_phases
from napari_mosaic.tesserae import Flag
from napari_mosaic.tiling import Box, Tile

_JOINT = 255


def import_record_steps(
    image: MosaicImage, outlines: Outlines, path: str | Path, *, scale: float = 1.0
) -> Steps[Record]:
    """Make a record of a photograph and the outlines of a file; no network runs.

    Parameters
    ----------
    image
        The photograph.
    outlines
        Read for it.
    path
        The record to make.
    scale
        Pixels of the working grid per pixel of the photograph.

    Returns
    -------
    Record
        Open for reading.

    Raises
    ------
    InputError, RecordError, WriteError
        No outline covers a pixel; the place is taken or full.
    """
    factor = check_scale(scale)
    plan = Plan(
        source_shape=image.shape,
        shape=working_shape(image.shape, factor),
        factor=factor,
        tessera_px=None,
        method=IMPORTED,
        model=outlines.name,
        model_sha256="",
        channels=1,
        stride=1,
        window=1024,
        halo=0,
    )
    survey = _Survey(outlines, plan)
    yield from survey.look_steps()
    if not survey.found.any():
        raise InputError(f"No outline of {outlines.name} covers a pixel, so no record can be made of it; give a scale.")
    with create_record(path, image, plan, areas=initial_areas(image)) as record:
        names = survey.names()
        for done, tile in enumerate(plan.shards, 1):
            survey.write(record, tile, names)
            yield Progress(phase="tesserae", done=done, total=len(plan.shards), unit="blocks", region=tile.core)
        yield from update_levels(record)
        mark_phases(record)
    return open_record(path)


class _Survey:
    """Where the outlines lie on the working grid: figures of each, gathered shard by shard."""

    def __init__(self, outlines: Outlines, plan: Plan) -> None:
        self.outlines, self.plan = outlines, plan
        count = len(outlines)
        self.area = np.zeros(count, np.int64)
        self.low, self.high = np.full((count, 2), 2**31 - 1), np.zeros((count, 2), np.int64)
        self.first = np.full(count, 2**62)
        self.seeds = np.zeros((count, 2), np.int64)
        self._tree = shapely.STRtree(outlines.shapes)

    @property
    def found(self) -> NDArray[np.bool_]:
        """Which outlines cover a pixel."""
        return np.asarray(self.area > 0)

    def numbers(self, box: Box) -> NDArray[np.int64]:
        """1 + position of the outline of each pixel of a box; 0 for none."""
        y0, x0, y1, x1 = (edge / self.plan.factor for edge in box)
        near = np.sort(self._tree.query(shapely.box(x0, y0, x1, y1)))
        return paint(self.outlines.shapes[near], near + 1, box, self.plan.factor)

    def look_steps(self) -> Iterator[Progress]:
        """Gather area, box and first pixel of all outlines."""
        width = self.plan.shape[1]
        for done, tile in enumerate(self.plan.shards, 1):
            numbers = self.numbers(tile.core)
            y, x = np.nonzero(numbers)
            k, y, x = numbers[y, x] - 1, y + tile.core.y0, x + tile.core.x0
            np.add.at(self.area, k, 1)
            for axis, places in enumerate((y, x)):
                np.minimum.at(self.low[:, axis], k, places)
                np.maximum.at(self.high[:, axis], k, places + 1)
            np.minimum.at(self.first, k, y * width + x)
            yield Progress(phase="outlines", done=done, total=len(self.plan.shards), unit="blocks", region=tile.core)

    def names(self) -> NDArray[Any]:
        """An id for each outline: the cell of its first pixel, or of the first whose cell no other has."""
        height_width = self.plan.shape
        ids = np.zeros(len(self.area), id_dtype(height_width))
        taken: set[int] = set()
        for k in np.argsort(self.first, kind="stable").tolist():
            if not self.area[k]:
                continue
            y, x = divmod(int(self.first[k]), height_width[1])
            id_ = int(id_at(y, x, height_width[1]))
            if id_ in taken:
                y, x, id_ = self._other_place(k, taken)
            if id_:
                taken.add(id_)
                ids[k], self.seeds[k] = id_, (y, x)
        return ids

    def _other_place(self, k: int, taken: set[int]) -> tuple[int, int, int]:
        """Another pixel of an outline, and its id; 0 where all its cells are taken: it is a speck beside others."""
        box = box_of(self.outlines.shapes[k], self.plan.factor).clip(self.plan.shape)
        pixels = np.argwhere(self.numbers(box) == k + 1) + np.array([box.y0, box.x0])
        for y, x in pixels.tolist():
            id_ = int(id_at(y, x, self.plan.shape[1]))
            if id_ not in taken:
                return y, x, id_
        return 0, 0, 0

    def write(self, record: Record, tile: Tile, ids: NDArray[Any]) -> None:
        """Write one shard: its map, its labels and the rows of what has its seed there."""
        core = tile.core
        labels = np.concatenate([[0], ids])[self.numbers(core)].astype(ids.dtype)
        grout = np.where(labels > 0, 0, _JOINT).astype(np.uint8)
        record.write_map(core, grout[None])
        record.ledger.add("map", record.plan.lattice.overlapping(core))
        y, x = self.seeds.T
        rows = np.flatnonzero((ids > 0) & (y >= core.y0) & (y < core.y1) & (x >= core.x0) & (x < core.x1))
        rows = rows[np.argsort(ids[rows])]
        record.tesserae.write_shard(tile.index, labels, self._columns(rows, ids))
        record.ledger.add("tesserae", [tile.index])

    def _columns(self, rows: NDArray[np.int64], ids: NDArray[Any]) -> dict[str, NDArray[Any]]:
        low, high = self.low[rows], self.high[rows]
        edge = (low == 0).any(axis=1) | (high == np.array(self.plan.shape)).any(axis=1)
        said = {name: getattr(self.outlines, name)[rows] for name in ("material", "state")}
        return {
            "id": ids[rows],
            "y": self.seeds[rows, 0],
            "x": self.seeds[rows, 1],
            "y0": low[:, 0],
            "x0": low[:, 1],
            "y1": high[:, 0],
            "x1": high[:, 1],
            "area": self.area[rows],
            "score": np.ones(len(rows), np.float32),
            "flags": np.where(edge, int(Flag.EDGE), 0).astype(np.uint8),
            **{name: np.where(codes == SILENT, 0, codes).astype(np.uint8) for name, codes in said.items()},
        }
