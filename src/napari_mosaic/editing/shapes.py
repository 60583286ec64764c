"""What the tools do to pixels: labels and masks in, labels and masks out.

One decision: a result depends on the pixels near the tesserae that are edited and on nothing else, neither on
the window that they are seen in nor on shards; connected always means by the sides of pixels (4-connected).
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from scipy import ndimage

from napari_mosaic import _flood
from napari_mosaic.areas import rasterise
from napari_mosaic.tiling import Box

Mask = NDArray[np.bool_]
Labels = NDArray[Any]
Points = NDArray[np.float64]

_FAR = 65_534
"""The largest path cost that `_flood.flood` knows: it keeps costs as uint16."""

_WALL = 255
"""The cost of what may not be entered, above every other."""

_STEP = 16
"""Levels of the map between one look for joints and the next; not varied."""


def components(mask: Mask) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Numbered 4-connected parts of a mask, in reading order, and the area of each (part 1 first)."""
    parts, count = _flood.label_components(np.ascontiguousarray(mask), 0, 0, 0)
    return parts, np.bincount(parts.ravel(), minlength=count + 1)[1:]


def largest_part(mask: Mask) -> Mask:
    """The largest connected part, the first of equals; an empty mask stays empty."""
    parts, areas = components(mask)
    return mask if len(areas) < 2 else parts == int(np.argmax(areas)) + 1


def spread(seeds: Labels, inside: Mask, cost: NDArray[np.uint8] | None = None, reach: int = _FAR) -> Labels:
    """Seeds grown over `inside` by the least `(path cost, number)`; a step costs `1 + cost // 16`."""
    grown = np.ascontiguousarray(seeds, dtype=np.uint32)
    price = np.zeros(inside.shape, np.uint8) if cost is None else np.minimum(cost, _WALL - 1)
    walls = np.where(inside, price, _WALL).astype(np.uint8)
    _flood.flood(grown, walls, _WALL - 1, min(reach, _FAR))
    return grown


def bridged(mask: Mask, free: Mask, reach: int) -> Mask:
    """The parts of a mask joined over `free` pixels by the least closing, up to `reach` px, that connects them.

    Where none does, the mask as it is.
    """
    if len(components(mask)[1]) < 2:
        return mask
    for radius in range(1, reach + 1):
        wide = np.pad(mask, radius)
        closed = ndimage.binary_closing(wide, iterations=radius)[radius:-radius, radius:-radius]
        joined: Mask = mask | (closed & free)
        parts, _ = components(joined)
        if len(np.unique(parts[mask])) == 1:
            return np.asarray(parts == parts[mask][0])
    return mask


def line_mask(points: Points, box: Box, width: int = 0) -> Mask:
    """The pixels of `box` under a line through `points` `(n, 2)` as `(y, x)`; no gap by corners, `width` px more."""
    mask = np.zeros(box.grow(width).shape, bool)
    for start, end in itertools.pairwise(points):
        steps = int(np.ceil(np.abs(end - start).max())) * 2 + 1
        track = np.floor(start + np.linspace(0, 1, steps)[:, None] * (end - start)).astype(np.int64)
        track -= np.array([box.y0 - width, box.x0 - width])
        inside = ((track >= 0) & (track < np.array(mask.shape))).all(axis=1)
        mask[tuple(track[inside].T)] = True
    if width:
        mask = ndimage.distance_transform_edt(~mask) <= width / 2 if mask.any() else mask
        mask = mask[width:-width, width:-width]
    return np.asarray(mask)


def parts_by_line(mask: Mask, line: Mask, *, gap: bool, least: int) -> Labels:
    """A mask parted by a line: parts numbered from 1; the line's pixels, and crumbs below `least` px, join a part.

    With `gap` the line's pixels are 0 instead.
    """
    parts, areas = components(mask & ~line)
    crumbs = np.flatnonzero(areas < least) + 1
    if len(crumbs) == len(areas):
        return mask.astype(np.uint32)
    parts = np.where(np.isin(parts, crumbs), 0, parts)
    return in_order(spread(parts, mask & ~line if gap else mask))


def parts_by_seeds(mask: Mask, seeds: Labels, grout: NDArray[np.uint8]) -> Labels:
    """A mask parted between numbered seeds along the joints of the map; a part that no seed reaches joins the first."""
    parts = spread(np.where(mask, seeds, 0), mask, grout)
    return np.where(mask & (parts == 0), 1, parts)


def inner_parts(mask: Mask, map_: NDArray[np.uint8], limit: int, least: int) -> Labels:
    """Seeds of the stones that a mask may hold, numbered from 1; one part only where the map shows no joint.

    Joints are looked for with less and less certainty: in the map of joints, in the core map, in the outline.
    """
    grout = map_[0]
    looks = [mask & (grout <= level) for level in range(limit, _STEP - 1, -_STEP)]
    if len(map_) > 1:
        looks += [mask & (map_[1] >= level) for level in range(128, 250, _STEP)]
    distance = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    looks += [distance > depth for depth in range(1, int(distance.max()))]
    for look in looks:
        parts, areas = components(look)
        large = np.flatnonzero(areas >= least) + 1
        if len(large) > 1:
            return in_order(np.where(np.isin(parts, large), parts, 0))
    return mask.astype(np.uint32)


def in_order(parts: Labels) -> Labels:
    """Parts numbered from 1 without gaps, in the order of their numbers."""
    values = np.unique(parts)
    values = values[values > 0]
    numbered = np.searchsorted(values, parts).astype(np.uint32) + 1
    return np.where(parts > 0, numbered, 0).astype(np.uint32)


def grown(labels: Labels, ids: NDArray[Any], px: int) -> Labels:
    """The tesserae `ids` grown by `px` steps over pixels that are no tessera; the smaller id takes what both reach."""
    wanted = np.isin(labels, ids)
    new = spread(np.searchsorted(ids, labels) * wanted + wanted, labels == 0, reach=px)
    return np.where(new > 0, ids[np.maximum(new, 1).astype(np.int64) - 1], labels).astype(labels.dtype)


def shrunk(mask: Mask, px: int) -> Mask:
    """A mask without its outer `px` pixels, its largest part; what lies on the window's edge counts as inner."""
    return largest_part(ndimage.binary_erosion(mask, iterations=px, border_value=1))


def snapped(mask: Mask, free: Mask, grout: NDArray[np.uint8], limit: int, reach: int) -> Mask:
    """A mask whose outline moved to the nearest joint of the map, at most `reach` px outwards or inwards."""
    solid = grout <= limit
    near = ndimage.binary_dilation(mask, iterations=reach) & (mask | free)
    deep = ndimage.binary_erosion(mask, iterations=reach, border_value=1)
    core = largest_part((deep if deep.any() else mask) & solid)
    if not core.any():
        return mask
    found = spread(core.astype(np.uint32), near & solid, grout) > 0
    return filled(found, mask | free)


def filled(mask: Mask, free: Mask, largest: int | None = None) -> Mask:
    """A mask with its holes filled where they are `free`, and no larger than `largest` px if given."""
    holes = ndimage.binary_fill_holes(mask) & ~mask
    if largest is not None:
        parts, areas = components(holes)
        holes = np.isin(parts, np.flatnonzero(areas <= largest) + 1)
    return np.asarray(mask | (holes & free))


def convex(mask: Mask, free: Mask, box: Box) -> Mask:
    """The convex hull of a mask over `box`, where it is `free`; its largest part with the mask."""
    y, x = np.nonzero(mask & ~ndimage.binary_erosion(mask))
    hull = shapely.convex_hull(shapely.MultiPoint(np.column_stack([x + box.x0, y + box.y0]) + 0.5))
    if hull.geom_type != "Polygon":
        return mask
    wide = mask | (rasterise(hull, box, 1.0) & free)
    parts, _ = components(wide)
    return np.asarray(np.isin(parts, np.unique(parts[mask])))


def grown_from(place: tuple[int, int], free: Mask, grout: NDArray[np.uint8], limit: int, reach: int) -> Mask:
    """The tessera around one pixel: what it reaches over free pixels with no more joint than `limit`, holes filled."""
    seed = np.zeros(free.shape, np.uint32)
    seed[place] = 1
    return filled(spread(seed, free & (grout <= limit), grout, reach) > 0, free)


def outline_mask(points: Points, box: Box) -> Mask:
    """The pixels of `box` whose centres lie in the closed outline `points` `(n, 2)` as `(y, x)`."""
    polygon = shapely.make_valid(shapely.Polygon(points[:, ::-1]))
    if polygon.area == 0:
        return np.zeros(box.shape, bool)
    return rasterise(polygon, box, 1.0)
