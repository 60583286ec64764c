"""The joints and tesserae of a record as work: which windows and tiles are left, and how one is made.

One decision: a tile of tesserae is ready as soon as the windows in the shards that it reads are on disk.
"""

from __future__ import annotations

import functools
import pickle
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from napari_mosaic.engine.domain import Domain
from napari_mosaic.engine.resample import level_for
from napari_mosaic.engine.schedule import Work, nearest_first
from napari_mosaic.engine.segmenters import Segmenter
from napari_mosaic.engine.windows import MapContext, Seen, predict_maps, read_for_network
from napari_mosaic.errors import InputError
from napari_mosaic.image import MosaicImage
from napari_mosaic.image.raster import CACHE
from napari_mosaic.progress import Progress
from napari_mosaic.record import Plan, Record
from napari_mosaic.record.ledger import Index
from napari_mosaic.record.map_layer import halve_map
from napari_mosaic.record.pyramid import discard_damaged, update_pyramid, whole_parents
from napari_mosaic.record.store import open_for_worker
from napari_mosaic.record.tables import rows_in
from napari_mosaic.tesserae import Tesserae, find_in_window
from napari_mosaic.tiling import Box, Lattice, Tile

_BAND_BYTES = CACHE * 2 // 3
"""Of decoded pixels under two rows of the windows of a band: what an image keeps, less the blocks at its edges."""

_MOST_URGENT = 24
"""Windows that wait in memory to be written, 2 MB each: a view of more is not seen stone by stone. Not varied."""

_PYRAMID_LEAST, _PYRAMID_PART = 24, 4
"""Finished shards that are waited for before the smaller levels follow, and the part of those that are in them already,
so that what lies over many shards is made a few dozen times and not anew for each row of them. Not varied."""


class MapMaker:
    """Makes windows of the map and tiles of tesserae.

    Parameters
    ----------
    record
        Open for writing.
    open_context
        What windows need; called when the first one is asked for.
    """

    def __init__(self, record: Record, open_context: Callable[[], MapContext]) -> None:
        self.spent: Counter[str] = Counter()
        self._record, self._open = record, open_context

    @functools.cached_property
    def _context(self) -> MapContext:
        return self._open()

    def read(self, window: Index) -> Seen | None:
        """The pixels of a window in each view, or None where all of it is outside."""
        return read_for_network(self._context, window)

    def predict(self, windows: Sequence[Index], inputs: Sequence[Seen | None]) -> list[NDArray[np.uint8]]:
        """The maps of some windows."""
        maps = predict_maps(self._context, windows, inputs)
        if self._context.seen is not None:
            for window, map_ in zip(windows, maps, strict=True):
                self._context.seen(window, map_)
        return maps

    def keep(self, window: Index, answer: NDArray[np.uint8]) -> None:
        """Write the map of a window."""
        self._record.write_map(self._record.plan.lattice.tile(window).core, answer)

    def write(self, core: Box) -> list[Index]:
        """Cut the tesserae of whole shards and write them; the shards' indices."""
        record, plan = self._record, self._record.plan
        written = plan.shards.overlapping(core)
        fresh = record.tesserae.done.isdisjoint(written)  # nobody can have edited there
        window = core.grow(plan.tesserae.halo).clip(plan.shape)
        map_ = record.read_map(window)
        found = find_in_window(map_, window, core, plan.shape, plan.tesserae)
        for index in written:
            box = plan.shards.tile(index).core
            record.write_tesserae(index, found.labels[box.within(core)], rows_in(found.columns, box))
        fresh = fresh and not any(record.journal.touching(index) for index in written)
        for parent in whole_parents(plan.shards, written):
            box = record.tesserae.lattice(1).tile(parent).core
            under = box.scale(2).clip(plan.shape)
            record.map.write(box, halve_map(map_[(slice(None), *under.within(window))]), 1)
            record.tesserae.halve(1, box, found.labels[under.within(core)] if fresh else None)
        return written


def _open_maker(path: str, plan: Plan, method: bytes) -> MapMaker:
    """A maker in another process; `UnfitError` at its first window where the method cannot be computed there."""
    record = open_for_worker(path)

    def open_context() -> MapContext:
        segmenter: Segmenter = pickle.loads(method)
        image = record.open_source()
        return MapContext(image, plan, segmenter, Domain(image, record.areas, plan.factor))

    return MapMaker(record, open_context)


def plan_work(
    record: Record,
    tile_size: int,
    *,
    context: MapContext | None = None,
    only: Box | None = None,
    focus: tuple[float, float] | None = None,
) -> Work[Index]:
    """The unfinished pieces that meet `only` (a box on the working grid), nearest to `focus` first.

    `context` is needed only where there are windows to compute. Where somebody looks on, the windows in what is looked
    at come first, then those that its stones depend on, and nothing is written before these.
    """
    plan, ledger, halved = record.plan, record.ledger, set[Index]()
    _forget_damage(record, _looked_at(plan, tile_size, only))
    have = ledger.done("map")
    left, tiles = pieces_left(plan, tile_size, have, ledger.done("tesserae"), only)

    image = None if context is None else context.image

    def place(window: Index) -> Box:
        return plan.lattice.tile(window).core

    def note_tile(shards: Iterable[Index]) -> None:
        ledger.add("tesserae", shards)
        halved.update(whole_parents(plan.shards, shards))

    def need_context() -> MapContext:
        if context is None:
            raise InputError("Windows of the map cannot be computed without the photograph; open it first.")
        return context

    windows = nearest_first(in_order(left, plan, tile_size, image), place, focus)
    urgent = 0
    if only is not None and context is not None and context.seen is not None:
        around = only.grow(plan.tesserae.halo)
        windows.sort(
            key=lambda window: (not place(window).intersect(only).area, not place(window).intersect(around).area)
        )
        urgent = sum(place(window).intersect(around).area > 0 for window in windows)
    return Work(
        names=("joints", "tesserae"),
        windows=windows,
        urgent=urgent if urgent <= _MOST_URGENT else 0,
        tiles=nearest_first(tiles, lambda tile: tile.core, focus),
        missing=lambda tile: set(windows_under(plan, tile)) - have,
        place=place,
        maker=MapMaker(record, need_context),
        send_maker=lambda: partial(_open_maker, str(record.path.absolute()), plan, _as_bytes(need_context().segmenter)),
        note=lambda window: ledger.add("map", [window]),
        note_tile=note_tile,
        update_pyramid=lambda last: update_levels(record, halved, last=last),
        writes_to=lambda window: plan.shards.overlapping(place(window))[0],
        batch=plan.batch,
        streams=1 if context is None else context.segmenter.streams,
        yielding=context is not None,
    )


def _as_bytes(segmenter: Segmenter) -> bytes:
    """A method for a worker, which unpickles it where a task can tell that it fails."""
    from distributed.protocol.pickle import dumps

    method: bytes = dumps(segmenter)
    return method


def pieces_left(
    plan: Plan, tile_size: int, have: Collection[Index], done: Collection[Index], only: Box | None = None
) -> tuple[set[Index], list[Tile]]:
    """Windows that are not among those that the record has, and tiles with shards that are not done."""
    tiles = tiles_left(plan, tile_size, done, only)
    needed = {index for tile in tiles for index in windows_under(plan, tile)}
    needed |= set(plan.lattice.overlapping(only or Box(0, 0, *plan.shape)))
    return needed.difference(have), tiles


def tiles_left(plan: Plan, tile_size: int, done: Collection[Index], only: Box | None = None) -> list[Tile]:
    """The tiles that meet a box and have shards that are not done, row by row."""
    lattice, done = tile_lattice(plan.shape, plan.shard, tile_size), frozenset(done)
    tiles = map(lattice.tile, lattice.overlapping(only or Box(0, 0, *plan.shape)))
    return [tile for tile in tiles if not done.issuperset(plan.shards.overlapping(tile.core))]


def in_order(windows: Iterable[Index], plan: Plan, tile_size: int, image: MosaicImage | None) -> list[Index]:
    """Windows row by row within bands of columns of the image, but for the last row of tiles: there tile by tile.

    So the blocks of the photograph that the next row of windows needs too are still in memory. Tiles of the last row
    would otherwise all become ready with the last windows, and be cut when nothing else is left.
    """
    tiles = tile_lattice(plan.shape, plan.shard, tile_size)
    last = (tiles.counts[0] - 1) * tiles.core
    wide = plan.shape[1] if image is None or image.by_rows else _band(image, plan)
    band = max(1, wide // tiles.core) * tiles.core

    def place(index: Index) -> tuple[int, ...]:
        core = plan.lattice.tile(index).core
        row = (core.y0, 0, 0, core.x0) if core.y0 < last else (last, core.x0 // tiles.core, core.y0, core.x0)
        return core.x0 // band, *row

    return sorted(windows, key=place)


def _band(image: MosaicImage, plan: Plan) -> int:
    """Columns of the working grid that are done together: blocks under two rows of their windows are kept."""
    level = level_for(image, plan.factor)
    reduced = plan.factor * image.shape[1] / image.level_shapes[level][1]
    rows = 3 * 2 * (plan.window + 2 * plan.halo) / reduced  # bytes of two rows of windows, a column wide
    return int(_BAND_BYTES / rows * reduced)


def tile_lattice(shape: tuple[int, int], shard: int, tile_size: int) -> Lattice:
    """Tiles of tesserae: whole shards, `tile_size` pixels or the next multiple of a shard."""
    return Lattice(shape=shape, core=max(1, -(-tile_size // shard)) * shard)


def windows_under(plan: Plan, tile: Tile) -> list[Index]:
    """The windows of the map in the shards that a tile reads.

    Whole shards, because a window smaller than its shard rewrites it, and nobody may read it meanwhile.
    """
    shards = plan.shards.overlapping(tile.core.grow(plan.tesserae.halo))
    first, last = (plan.shards.tile(index).core for index in (shards[0], shards[-1]))
    return plan.lattice.overlapping(Box(*first[:2], *last[2:]))


def without_network(work: Work[Index]) -> Work[Index]:
    """The part of the work that needs no more of the map than is stored."""
    return replace(work, windows=[], tiles=[tile for tile in work.tiles if not work.missing(tile)])


def update_levels(record: Record, halved: Collection[Index] = (), *, last: bool = True) -> Iterator[Progress]:
    """Bring the smaller levels up to date; before the `last` time only where much has changed.

    `halved` are the shards of the first of them that are so already: those of tiles that hold all that is below.
    """
    dirty = record.tesserae.pending()
    if not dirty or (not last and len(dirty) < max(_PYRAMID_LEAST, len(record.tesserae.in_levels) // _PYRAMID_PART)):
        return
    for count, _ in enumerate(update_pyramid([record.map, record.tesserae], dirty, halved), 1):
        yield Progress(phase="overview", done=count, total=max(count, len(dirty)), unit="blocks")
    record.tesserae.mark_pyramid(dirty)


def compute_tile(read_map: Callable[[Box], NDArray[np.uint8]], plan: Plan, core: Box) -> Tesserae:
    """The tesserae of a box of the working grid, from the map around it."""
    window = core.grow(plan.tesserae.halo).clip(plan.shape)
    return find_in_window(read_map(window), window, core, plan.shape, plan.tesserae)


def _looked_at(plan: Plan, tile_size: int, only: Box | None) -> Box:
    """What of the working grid a run of `only` reads: its tiles, and the map around them."""
    whole = Box(0, 0, *plan.shape)
    if only is None:
        return whole
    lattice = tile_lattice(plan.shape, plan.shard, tile_size)
    cores = [lattice.tile(index).core for index in lattice.overlapping(only)]
    if not cores:
        return Box(0, 0, 0, 0)
    return Box(*cores[0][:2], *cores[-1][2:]).grow(plan.tesserae.halo).intersect(whole)


def _forget_damage(record: Record, looked_at: Box) -> None:
    """Strike from the ledger what is missing, empty or unreadable on disk, and what was made from it.

    Of a part of the floor what is read there: a look at a gigapixel of shards would take longer than the part.
    """
    plan, shards_there = record.plan, set(record.plan.shards.overlapping(looked_at))
    there = set(plan.lattice.overlapping(looked_at))
    windows = record.damaged("map", there & record.ledger.done("map"))
    record.ledger.forget("map", windows)
    record.discard("map", windows)
    damaged = record.damaged("tesserae", shards_there & record.ledger.done("tesserae"))
    shards = set(damaged)
    for index in windows:
        core = plan.lattice.tile(index).core
        shards |= set(plan.shards.overlapping(core.grow(plan.tesserae.halo)))
    record.forget_tesserae(shards)
    record.discard("tesserae", damaged)
    in_levels = shards_there & record.tesserae.in_levels
    record.tesserae.forget_levels(discard_damaged([record.map, record.tesserae], in_levels))
