"""What a run will cost: the blocks that it will compute, counted, times what a few of them cost in a trial.

One decision: time is counted in seconds of a processor's core, because those hardly depend on what else the machine
does, and shared among the cores at the end; only a network on a device of its own is timed by the clock. A block that
is outside altogether, or finished, costs what writing nothing costs.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, TypeVar

import numpy as np
import shapely
from numcodecs import Blosc
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from napari_mosaic.areas import LEFT_OUT, AreaSet
from napari_mosaic.engine.domain import Domain, Mask
from napari_mosaic.engine.mapping import pieces_left
from napari_mosaic.engine.segmenters import Segmenter
from napari_mosaic.engine.windows import MapContext, network_window, predict_maps, read_window
from napari_mosaic.ids import id_dtype
from napari_mosaic.image import MosaicImage
from napari_mosaic.record import Plan
from napari_mosaic.record.file_mask import FileMask
from napari_mosaic.record.layout import level_shapes
from napari_mosaic.record.ledger import Index
from napari_mosaic.record.map_layer import halve_map
from napari_mosaic.tesserae import find_in_window
from napari_mosaic.tiling import Box, Lattice, Tile

T = TypeVar("T")
_TRIALS = 4
"""Windows of a trial: photographs differ from place to place by half, the mean of four by a quarter."""

_HALO_COST = 0.65
"""A pixel of a tile's halo against one of its core: floods stop short of the outermost part."""

_BLANK_COST = 0.16
"""A pixel with nothing to find against one of the mosaic, where tesserae are cut."""

_REST, _BLANK_REST = 0.14, 0.055
"""Core-seconds for a megapixel of the working grid beside its network and its cut: reading, writing, smaller levels,
tables; with tesserae, and with nothing in it."""

_FIXED_SECONDS = 0.1
"""To make a record and to open it twice."""

_FIXED_BYTES = 18_000
_WINDOW_BYTES, _SHARD_BYTES = 1_800, 3_000
_PART_BYTES, _ROW_BYTES = 4_000, 24
"""On disk: the small files of a record; a window and a shard with nothing in them, with their levels; of the table a
part with rows in it, and a row. These and the constants above are measured by `python benchmarks/estimates.py`."""


@dataclass(frozen=True, kw_only=True)
class Rates:
    """What a trial says: core-seconds (seconds where `on_device`) for a megapixel that the network is given,
    core-seconds to cut a megapixel of its map, bytes on disk for a pixel of the map and of the tesserae with all their
    levels, and tesserae a pixel. `warming` are the core-seconds that a program's first calls take more than later ones.
    """

    network: float
    tesserae: float
    map_bytes: float
    tessera_bytes: float
    stones: float
    on_device: bool = False
    warming: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Amount:
    """What will be computed. Megapixels: `network` of windows as the network sees them, `mapped` of the working grid
    that they cover and `inside` of it that is cut to tesserae, both without what is outside,
    `blank` of it where there is nothing to find. `tiles` are the megapixels of each tile as if all were mosaic and no
    halo; `windows` and `shards` are counts of blocks, blank ones among them, and `parts` of shards with tesserae.
    """

    network: float
    mapped: float
    inside: float
    blank: float
    tiles: tuple[float, ...]
    windows: int
    shards: int
    parts: int


@dataclass(frozen=True)
class Site:
    """What is known before a run: the plan, where it is mosaic, and what is finished already."""

    plan: Plan
    areas: AreaSet
    mask: FileMask
    tile_size: int = 2048
    have: frozenset[Index] = frozenset()
    done: frozenset[Index] = frozenset()

    def shares(self, boxes: Sequence[Box]) -> NDArray[np.float64]:
        """Part of each box of the working grid, 0..1, that is mosaic as far as areas and the file say."""
        edges = np.array(boxes, float).reshape(-1, 4) / self.plan.factor
        shapes = shapely.box(edges[:, 1], edges[:, 0], edges[:, 3], edges[:, 2])
        left: Any = shapely.area(shapely.intersection(_inside(self.areas, self.plan.source_shape), shapes))
        share = np.asarray(left / np.maximum(shapely.area(shapes), 1e-9))
        return share if self.mask.all_inside else share * [_valid_share(self.mask, edge) for edge in edges]


def _inside(areas: AreaSet, shape: tuple[int, int]) -> BaseGeometry:
    frame = shapely.box(0, 0, shape[1] + 2, shape[0] + 2)  # the working grid may reach a pixel beyond
    region = areas.of("region")
    inside = frame if region.is_empty else frame.intersection(region)
    return inside.difference(areas.of(*LEFT_OUT))


def _valid_share(mask: FileMask, edges: NDArray[np.float64]) -> float:
    height, width = mask.inside.shape
    fy, fx = height / mask.shape[0], width / mask.shape[1]
    y0, x0, y1, x1 = edges * (fy, fx, fy, fx)
    part = mask.inside[int(y0) : int(np.ceil(y1)), int(x0) : int(np.ceil(x1))]
    return float(part.mean()) if part.size else 0.0


def count_blocks(site: Site, only: Box | None = None) -> Amount:
    """The blocks that a run will compute; `only` is the box on the working grid that it is kept to."""
    plan = site.plan
    needed, tiles = pieces_left(plan, site.tile_size, site.have, site.done, only)
    windows = sorted(needed)
    full = {index: share for index, share in _with_shares(site, plan.lattice, windows) if share > 0}
    shards = sorted({shard for tile in tiles for shard in plan.shards.overlapping(tile.core)})
    shares = dict(_with_shares(site, plan.shards, shards))
    areas = {shard: plan.shards.tile(shard).core.area / 1e6 for shard in shards}
    return Amount(
        network=sum(float(np.prod(network_window(plan, *one).size)) for one in product(full, plan.views)) / 1e6,
        mapped=sum(plan.lattice.tile(index).core.area * share for index, share in full.items()) / 1e6,
        inside=sum(areas[shard] * share for shard, share in shares.items()),
        blank=sum(areas[shard] * (1 - share) for shard, share in shares.items()),
        tiles=tuple(_tile_amount(site, tile, shares) for tile in tiles),
        windows=len(windows),
        shards=len(shards),
        parts=sum(share > 0 for share in shares.values()),
    )


def _with_shares(site: Site, lattice: Lattice, indices: Sequence[Index]) -> list[tuple[Index, float]]:
    shares = site.shares([lattice.tile(index).core for index in indices])
    return [(index, float(share)) for index, share in zip(indices, shares, strict=True)]


def _tile_amount(site: Site, tile: Tile, shares: dict[Index, float]) -> float:
    """Megapixels of a tile's core that would take as long."""
    plan = site.plan
    parts = [(plan.shards.tile(shard).core.area, shares[shard]) for shard in plan.shards.overlapping(tile.core)]
    inside = sum(area * share for area, share in parts)
    core, read = tile.core.area, tile.core.grow(plan.tesserae.halo).clip(plan.shape).area
    share = inside / max(core, 1)
    full = core + _HALO_COST * (read - core)
    return float(full * share + _BLANK_COST * read * (1 - share)) / 1e6


def pick_trials(site: Site, only: Box | None = None) -> list[Index]:
    """A few windows, spread over those that will be computed; some that are finished where nothing is left."""
    plan = site.plan
    wanted = plan.lattice.overlapping(Box(0, 0, *plan.shape) if only is None else only)
    left = [index for index in wanted if index not in site.have] or wanted
    shares = site.shares([plan.lattice.tile(index).core for index in left])
    mosaic = [index for index, share in zip(left, shares, strict=True) if share > 0.5]
    mosaic = mosaic or [index for index, share in zip(left, shares, strict=True) if share > 0] or left
    if len(mosaic) <= _TRIALS:
        return mosaic
    places = (np.arange(_TRIALS) + 0.5) / _TRIALS * len(mosaic)
    return [mosaic[int(place)] for place in places]


def measure_rates(image: MosaicImage, segmenter: Segmenter, site: Site, trials: Sequence[Index]) -> Rates:
    """Rates of the method on this photograph, from some of its windows.

    Each window is computed once before anything is timed: what is compiled or loaded at the first call belongs to no
    megapixel.
    """
    plan, domain = site.plan, Domain(image, site.areas, site.plan.factor)
    seen = [read_window(image, plan, index) for index in trials]
    maps, first = clocked(lambda: predict_maps(MapContext(image, plan, segmenter, domain), trials, seen))
    pixels = [one for views in seen for one in views]
    network, on_device = _time_network(segmenter, pixels, len(plan.views))
    cut = _time_tesserae(plan, maps, [domain.mask(plan.lattice.tile(index).core) for index in trials])
    warming = cut.warming + max(0.0, first - network * sum(map(_window_megapixels, pixels)))
    return replace(cut, network=network, on_device=on_device, warming=warming)


def _time_network(segmenter: Segmenter, pixels: Sequence[NDArray[np.uint8]], views: int) -> tuple[float, bool]:
    """Seconds for a megapixel, as many windows side by side as in a run; and whether they are seconds of the clock."""
    streams = segmenter.streams
    work = [pixels[k % len(pixels)] for k in range(max(2, streams, views))]
    clock, cores = time.perf_counter(), time.process_time()
    with ThreadPoolExecutor(streams, "trial") as pool:
        list(pool.map(lambda window: segmenter.predict(window[None]), work))
    clock, cores = time.perf_counter() - clock, time.process_time() - cores
    on_device = segmenter.batch > 1
    return (clock if on_device else cores) / sum(map(_window_megapixels, work)), on_device


def _window_megapixels(pixels: NDArray[np.uint8]) -> float:
    return float(pixels.shape[0] * pixels.shape[1]) / 1e6


def _time_tesserae(plan: Plan, maps: Sequence[NDArray[np.uint8]], outside: Sequence[Mask | None]) -> Rates:
    """Cut the maps of some windows, and see how well they are packed."""
    tiny, nothing = Box(0, 0, 64, 64), np.zeros((plan.channels, 64, 64), np.uint8)
    _, warming = clocked(lambda: find_in_window(nothing, tiny, tiny, tiny.shape, plan.tesserae))
    seconds, stones, size, pixels, blank = 0.0, 0, np.zeros(2), 0, 0
    for map_, mask in zip(maps, outside, strict=True):
        box = Box(0, 0, *map_.shape[1:])
        started = time.thread_time()
        found = find_in_window(map_, box, box, box.shape, plan.tesserae)
        seconds += time.thread_time() - started
        stones += len(found.columns["id"])
        size += _packed(plan, map_, found.labels)
        blank += 0 if mask is None else int(mask.sum())
        pixels += box.area
    inside = max(pixels - blank, 1)
    worked = (inside + _BLANK_COST * blank) / 1e6
    map_bytes, tessera_bytes = (float(part) / inside for part in size)
    return Rates(
        network=0.0,
        tesserae=seconds / worked,
        map_bytes=map_bytes,
        tessera_bytes=tessera_bytes,
        stones=stones / inside,
        warming=warming,
    )


def _packed(plan: Plan, map_: NDArray[np.uint8], labels: NDArray[Any]) -> NDArray[np.float64]:
    """Bytes on disk of a window's map and tesserae with all their levels."""
    total, side = np.zeros(2), plan.shard // 4
    labels = labels.astype(id_dtype(plan.shape))
    plain, shuffled = (Blosc(cname="zstd", clevel=3, shuffle=kind) for kind in (Blosc.NOSHUFFLE, Blosc.BITSHUFFLE))
    for _ in level_shapes(plan.shape):
        for y in range(0, labels.shape[0], side):
            for x in range(0, labels.shape[1], side):
                part = (slice(y, y + side), slice(x, x + side))
                channels = [len(plain.encode(np.ascontiguousarray(channel[part]))) for channel in map_]
                total += sum(channels), len(shuffled.encode(np.ascontiguousarray(labels[part])))
        map_, labels = halve_map(map_), labels[::2, ::2]
    return total


@dataclass(frozen=True)
class Costs:
    """The cost of a run, or of a part of it: a value that can be asked again and again."""

    site: Site
    rates: Rates
    start: float = 0.0
    """Seconds before the first block: opening the photograph, and what is not in memory yet."""
    workers: int = 1

    def of(self, only: Box | None = None) -> tuple[float, int]:
        """Seconds and bytes on disk of a run kept to a box on the working grid; of the whole by default."""
        amount = count_blocks(self.site, only)
        return self._seconds(amount), disk_bytes(self.site, amount, self.rates)

    def cores_of(self, only: Box | None = None) -> float:
        """Core-seconds of a run: what it takes of the machine, whatever else runs there."""
        amount = count_blocks(self.site, only)
        network = 0.0 if self.rates.on_device else amount.network * self.rates.network
        return self.start + _FIXED_SECONDS + network + self.rates.tesserae * sum(amount.tiles) + _around(amount)

    def _seconds(self, amount: Amount) -> float:
        rates, cores = self.rates, os.cpu_count() or 1
        network = amount.network * rates.network
        cut = [rates.tesserae * tile for tile in amount.tiles]
        last = max(cut, default=0.0)
        beside = sum(cut) - last + _around(amount)
        if rates.on_device:
            shared = max(network, beside / cores, (sum(cut) - last) / max(1, self.workers))
        else:
            shared = (network + beside) / cores
        return self.start + _FIXED_SECONDS + shared + last


def _around(amount: Amount) -> float:
    """Core-seconds of reading, writing and smaller levels."""
    return amount.inside * _REST + amount.blank * _BLANK_REST


def disk_bytes(site: Site, amount: Amount, rates: Rates) -> int:
    """Bytes that a run adds to the disk."""
    packed = amount.mapped * rates.map_bytes + amount.inside * (rates.tessera_bytes + rates.stones * _ROW_BYTES)
    blocks = amount.windows * _WINDOW_BYTES + amount.shards * _SHARD_BYTES + amount.parts * _PART_BYTES
    fixed = 0 if site.have or site.done else _FIXED_BYTES
    return int(1e6 * packed + blocks + fixed)


def clocked(work: Callable[[], T]) -> tuple[T, float]:
    """What `work` returns and the core-seconds of the program that it took."""
    started = time.process_time()
    return work(), time.process_time() - started


USUAL = Rates(network=0.0, tesserae=0.0, map_bytes=2.2, tessera_bytes=0.6, stones=1 / 250)
"""Without a trial: bytes on the disk at the upper end of what photographs take, because a disk that fills up stops a
run of hours."""
