"""Quadrangles deformed until each fits its tessera best, for comparison and for drawing.

One decision: the fit is a global search (differential evolution) over the eight coordinates of each
tessera by itself. With labels alone, what it makes smallest is the area by which quadrangle and tessera
differ; on a photograph, where a joint begins is weighed in.

References
----------
Bartoli, Fenu, Medvet, Pellegrino and Timeus, Segmentation of mosaic images based on deformable models
using genetic algorithms (2016): quadrangles, moved and deformed by an evolutionary search. There all of a
mosaic is one individual; here each tessera is searched for alone, which needs a thousandth of the time.

"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from napari_mosaic.classical.gradient import find_regions, joint_criterion, maps_of, part_mortar, to_lab
from napari_mosaic.errors import InputError

Floats = NDArray[np.float64]
_POPULATION, _ROUNDS = 8, 110
_SPREAD = 0.3
"""First quadrangles differ by this part of the tessera's size. Not varied."""
_STEP, _CALMING = 0.1, 0.963
"""A corner's random step, as a part of the tessera's size, and how it shrinks from round to round."""
_TOGETHER = 256
"""Tesserae searched for at once: bounds memory, changes no result."""
_SIDE = 9
"""Samples along a side of the grid on which areas are compared. Not varied."""
_IMPOSSIBLE = -1e9
"""Worth of a quadrangle that crosses itself: below any other."""
_LEAST_AREA = 20
"""Smallest tessera that is fitted on a photograph, px. Not varied."""


def fit_quadrangles(
    labels: NDArray[Any],
    ids: NDArray[Any],
    *,
    worth: NDArray[np.float32] | None = None,
) -> Floats:
    """The quadrangle that fits each tessera best.

    Parameters
    ----------
    labels
        `(Y, X)` whole numbers, 0 = no tessera; all of each tessera in `ids` is inside.
    ids
        Which tesserae, `(n,)`.
    worth
        What a pixel of a tessera's own is worth, `(Y, X)`, 1 by default; a foreign pixel costs 1.

    Returns
    -------
    numpy.ndarray
        `(n, 4, 2)` corners `(y, x)` in order round each, counted from the corner of the first pixel.
        Convex, and the same whichever other tesserae are asked for.

    """
    if labels.ndim != 2 or labels.dtype.kind not in "ui":
        raise InputError(
            f"Labels of the shape {labels.shape} and type {labels.dtype} cannot be fitted; give (Y, X) ids."
        )
    ids = np.asarray(ids)
    if len(ids) == 0:
        return np.zeros((0, 4, 2))
    local = np.zeros(labels.shape, np.int32)
    order = np.argsort(ids)
    place = np.searchsorted(ids[order], labels).clip(max=len(ids) - 1)
    own = ids[order][place] == labels
    local[own] = order[place[own]] + 1
    starts = _rectangles(local, len(ids))
    weights = np.ones(labels.shape, np.float32) if worth is None else np.asarray(worth, np.float32)
    fitted = np.empty_like(starts)
    for first in range(0, len(ids), _TOGETHER):
        part = slice(first, min(first + _TOGETHER, len(ids)))
        fitted[part] = _deform(starts[part], np.arange(part.start, part.stop) + 1, local, weights)
    return fitted


def _deform(starts: Floats, own: NDArray[Any], local: NDArray[np.int32], worth: NDArray[np.float32]) -> Floats:
    """Differential evolution of many quadrangles `(n, 4, 2)` side by side.

    All of them see the same random numbers, so none depends on which others there are.
    """
    rng = np.random.default_rng(0)
    starts = _best_turned(starts, own, local, worth)
    size = np.sqrt(_areas(starts))[:, None, None, None]
    jitter = rng.uniform(-0.5, 0.5, (_POPULATION, 4, 2)) * _SPREAD
    jitter[0] = 0
    people = starts[:, None] + size * jitter
    value = _gain(people, own, local, worth)
    every = np.arange(len(starts))
    for k in range(_ROUNDS):
        best = people[every, value.argmax(1)][:, None]
        a, b = (people[:, rng.permutation(_POPULATION)] for _ in range(2))
        scale, pull = rng.uniform(0.2, 0.7, (_POPULATION, 1, 1)), rng.uniform(0.0, 1.0, (_POPULATION, 1, 1))
        moved = rng.random((_POPULATION, 4, 1)) < 0.25
        moved |= np.arange(4)[:, None] == rng.integers(0, 4, (_POPULATION, 1, 1))
        step = size * rng.normal(0, _STEP * _CALMING**k, (_POPULATION, 4, 2))
        children = np.where(moved, people + pull * (best - people) + scale * (a - b) + step, people)
        gained = _gain(children, own, local, worth)
        better = gained >= value
        people = np.where(better[:, :, None, None], children, people)
        value = np.where(better, gained, value)
    found = people[every, value.argmax(1)]
    return np.asarray(np.where(value.max(1)[:, None, None] > _IMPOSSIBLE, found, starts))


def _best_turned(starts: Floats, own: NDArray[Any], local: NDArray[np.int32], worth: NDArray[np.float32]) -> Floats:
    """Each start turned about its centre to where it fits best: the moments of a square know no direction."""
    centre = starts.mean(1, keepdims=True)
    angle = np.deg2rad(np.arange(0, 90, 15))
    cos, sin = np.cos(angle)[:, None], np.sin(angle)[:, None]
    y, x = np.moveaxis((starts - centre)[:, None], -1, 0)
    turned = np.stack([cos * y + sin * x, cos * x - sin * y], -1) + centre[:, None]
    best = _gain(turned, own, local, worth).argmax(1)
    return np.asarray(turned[np.arange(len(starts)), best])


def _bilinear() -> tuple[Floats, Floats, Floats, Floats]:
    """For a grid of points of the unit square, edges included: weights `(4, points)` of the corners, how these change
    along both sides, and the points' shares of the area (trapezoidal rule: without the edges, fits grow beyond them).
    """
    place = np.linspace(0, 1, _SIDE)
    v, u = (axis.ravel() for axis in np.meshgrid(place, place, indexing="ij"))
    ends = np.ones(_SIDE)
    ends[[0, -1]] = 0.5
    weights = np.stack([(1 - u) * (1 - v), u * (1 - v), u * v, (1 - u) * v])
    along, across = np.stack([v - 1, 1 - v, v, -v]), np.stack([u - 1, -u, u, 1 - u])
    return weights, along, across, np.outer(ends, ends).ravel() / (_SIDE - 1) ** 2


_WEIGHTS, _ALONG, _ACROSS, _SHARES = (table.astype(np.float32) for table in _bilinear())


def _gain(people: Floats, own: NDArray[Any], local: NDArray[np.int32], worth: NDArray[np.float32]) -> Floats:
    """Worth of the own pixels inside each quadrangle `(n, p, 4, 2)` less the area of others' pixels.

    Very low where a quadrangle is not convex.
    """
    y, x = (people[..., k].astype(np.float32) for k in (0, 1))
    turn = (x @ _ALONG) * (y @ _ACROSS) - (y @ _ALONG) * (x @ _ACROSS)
    rows, columns = (np.floor(axis @ _WEIGHTS).astype(np.int32) for axis in (y, x))
    height, width = local.shape
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    flat = rows.clip(0, height - 1) * width + columns.clip(0, width - 1)
    mine = inside & (local.ravel()[flat] == own[:, None, None])
    total = (np.where(mine, worth.ravel()[flat], np.float32(-1)) * turn) @ _SHARES
    return np.asarray(np.where((turn > 0).all(-1), total, _IMPOSSIBLE))


def _rectangles(local: NDArray[np.int32], count: int) -> Floats:
    """A rectangle of each region's second moments, `(count, 4, 2)`, corners in order round it."""
    flat = local.ravel()
    area = np.maximum(np.bincount(flat, minlength=count + 1)[1:], 1).astype(float)
    y, x = (axis.ravel() + 0.5 for axis in np.indices(local.shape))

    def mean(values: NDArray[Any]) -> Floats:
        return np.asarray(np.bincount(flat, values, count + 1)[1:] / area)

    cy, cx = mean(y), mean(x)
    dy, dx = y - np.append(0, cy)[flat], x - np.append(0, cx)[flat]
    yy, xx, xy = mean(dy * dy) + 1 / 12, mean(dx * dx) + 1 / 12, mean(dx * dy)
    angle = 0.5 * np.arctan2(2 * xy, xx - yy)
    root = np.sqrt(((xx - yy) / 2) ** 2 + xy**2)
    long_, short = (np.sqrt(np.maximum(3 * ((xx + yy) / 2 + sign * root), 0.25)) for sign in (1, -1))
    corners = []
    for u, v in ((-1, -1), (1, -1), (1, 1), (-1, 1)):
        corners += [
            cy + u * long_ * np.sin(angle) + v * short * np.cos(angle),
            cx + u * long_ * np.cos(angle) - v * short * np.sin(angle),
        ]
    return np.stack(corners, 1).reshape(-1, 4, 2)


def fill_quadrangles(corners: Floats, shape: tuple[int, int]) -> NDArray[np.int32]:
    """Labels `(Y, X)` of quadrangles, from 1 in their order; where two overlap the smaller one lies above."""
    labels = np.zeros(shape, np.int32)
    for k in np.argsort(-_areas(corners), kind="stable"):
        points = np.round((corners[k, :, ::-1] - 0.5) * 16).astype(np.int32)
        cv2.fillConvexPoly(labels, points, int(k) + 1, lineType=cv2.LINE_8, shift=4)
    return labels


def _areas(corners: Floats) -> Floats:
    (y, x), (next_y, next_x) = np.moveaxis(corners, 2, 0), np.moveaxis(np.roll(corners, -1, 1), 2, 0)
    return np.asarray(np.abs((x * next_y - next_x * y).sum(1)) / 2)


def quadrangle_map(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Joints and inner parts of quadrangular tesserae, `(2, Y, X)` uint8, of a window `(Y, X, 3)`."""
    lab = to_lab(image)
    criterion = joint_criterion(lab)
    regions = find_regions(criterion)
    stone = np.where(part_mortar(lab, criterion, regions), regions, 0)
    ids = np.flatnonzero(np.bincount(stone.ravel()) >= _LEAST_AREA)
    ids = ids[ids > 0]
    inside = np.where(stone > 0, np.float32(1), np.clip(1.2 - 2 * criterion, -1, 1)).astype(np.float32)
    fitted = fit_quadrangles(regions, ids, worth=inside)
    return maps_of(fill_quadrangles(fitted, regions.shape), criterion)
