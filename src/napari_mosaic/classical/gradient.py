"""Tesserae as basins of the colour gradient, each parted from its mortar by its own colours.

One decision: both edges of a joint are closed into one crest before the watershed, and what is "strong" is
decided against the gradient around a pixel, so neither width nor contrast of joints is set by hand.

References
----------
Benyoussef and Derrode, Tessella-oriented segmentation and guidelines estimation of ancient mosaic images,
Journal of Electronic Imaging 17 (2008): watershed of a criterion image whose crests are the mortar, then
k-means tessera by tessera. Written anew from the idea.

"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Windows = NDArray[np.uint8]
Floats = NDArray[np.float32]
Labels = NDArray[np.int32]

TESSERA_PX = 24
"""Size of tesserae that the lengths below are made for."""
REACH = 64
"""Pixels around a pixel that its result may depend on, save for rare ties."""
_CLOSING = 7
"""Width, px, over which the two edges of a joint close into one crest; joints between tesserae of `TESSERA_PX` are
narrower. Not varied."""
_AROUND = 2 * TESSERA_PX + 1
"""Side of the square, px, whose mean gradient says what is strong: a tessera on each side. Not varied."""
_MARKER_SIGMA = 4.0
"""Smoothing before markers are looked for, px; a sixth of a tessera. Not varied."""
_MARKER_SIDE = 13
"""Markers are lowest within half of this, px: half a tessera. Not varied."""
_MARKER_LIMIT = 0.5
"""The criterion at which a gradient equals that around it; markers lie below."""
_MORTAR_DEPTH = 3.5
"""How far from a basin's border mortar may reach, px. Not varied."""
_MORTAR_MARGIN = 3.0
"""How many times nearer to the mortar's colour than to the stone's (squared) a pixel must be."""
_LEAST_DIFFERENCE = 5.0
"""Difference in CIE Lab (1976) of stone and mortar below which they are not parted. Not varied."""
_ROUNDS = 3
"""Rounds of two-means. Not varied."""
_CORE = 0.55
"""Part of a tessera's greatest depth from which a pixel is its inner part. Not varied."""


def to_lab(image: Windows) -> Floats:
    """A photograph `(Y, X, 3)` uint8 as CIE Lab, float32."""
    return np.asarray(cv2.cvtColor(image.astype(np.float32) / np.float32(255), cv2.COLOR_RGB2LAB), np.float32)


def joint_criterion(lab: Floats) -> Floats:
    """How much a pixel looks like a joint, 0..1: the colour gradient, closed, against that around it."""
    smooth = cv2.GaussianBlur(cv2.medianBlur(lab, 3), (0, 0), 0.8)
    dx, dy = (cv2.Sobel(smooth, cv2.CV_32F, *order, ksize=3) for order in ((1, 0), (0, 1)))
    gradient = np.sqrt((dx * dx + dy * dy).sum(-1))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (_CLOSING, _CLOSING))
    crest = cv2.morphologyEx(gradient, cv2.MORPH_CLOSE, kernel)
    around = cv2.blur(crest, (_AROUND, _AROUND))
    return np.asarray(crest / (crest + around + np.float32(1e-3)), np.float32)


def find_regions(criterion: Floats) -> Labels:
    """Basins of the criterion, `(Y, X)`, from 1: one for each tessera, mortar included."""
    from skimage.segmentation import watershed

    smooth = cv2.GaussianBlur(criterion, (0, 0), _MARKER_SIGMA)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (_MARKER_SIDE, _MARKER_SIDE))
    lowest = (smooth <= cv2.erode(smooth, kernel)) & (smooth < _MARKER_LIMIT)
    _, markers = cv2.connectedComponents(lowest.astype(np.uint8), connectivity=8)
    crests = np.round(0.5 * (criterion + smooth) * 1000).astype(np.int32)
    return np.asarray(watershed(crests, markers), np.int32)


def part_mortar(lab: Floats, criterion: Floats, regions: Labels) -> NDArray[np.bool_]:
    """Which pixels are stone: two-means of the colours of each region, stone inside and mortar at its rim.

    A region whose two colours hardly differ is stone up to its rim.
    """
    border = _border(regions)
    depth = cv2.distanceTransform((~border).astype(np.uint8), cv2.DIST_L2, 3)
    flat, count = regions.ravel(), int(regions.max()) + 1
    rim = depth.ravel() <= _MORTAR_DEPTH
    mortar = rim & (criterion.ravel() > 0.5)
    colours = lab.reshape(-1, 3)
    for _ in range(_ROUNDS):
        stone_colour, mortar_colour = (_means(colours, flat, count, chosen) for chosen in (~mortar, mortar))
        to_stone = ((colours - stone_colour[flat]) ** 2).sum(1)
        mortar = rim & (((colours - mortar_colour[flat]) ** 2).sum(1) * _MORTAR_MARGIN < to_stone)
    alike = np.linalg.norm(stone_colour - mortar_colour, axis=1) < _LEAST_DIFFERENCE
    stone = ~(mortar & ~alike[flat]).reshape(regions.shape) & ~border & (regions > 0)
    return np.asarray(ndimage.binary_opening(stone, iterations=1))


def _means(colours: Floats, flat: NDArray[Any], count: int, chosen: NDArray[np.bool_]) -> Floats:
    """Mean colour `(count, 3)` of the chosen pixels of each region; far from everything where there are none."""
    number = np.bincount(flat[chosen], minlength=count)
    sums = [np.bincount(flat[chosen], colours[chosen, k], count) for k in range(3)]
    means = np.stack(sums, 1) / np.maximum(number, 1)[:, None]
    return np.asarray(np.where(number[:, None] > 0, means, 1e3), np.float32)


def _border(regions: Labels) -> NDArray[np.bool_]:
    """Pixels whose right or lower neighbour belongs to another region."""
    border = np.zeros(regions.shape, bool)
    border[:-1] |= regions[:-1] != regions[1:]
    border[:, :-1] |= regions[:, :-1] != regions[:, 1:]
    return border


def gradient_map(image: Windows) -> NDArray[np.uint8]:
    """Joints and inner parts of tesserae, `(2, Y, X)` uint8, of a window `(Y, X, 3)`."""
    lab = to_lab(image)
    criterion = joint_criterion(lab)
    regions = find_regions(criterion)
    return maps_of(np.where(part_mortar(lab, criterion, regions), regions, 0), criterion)


def maps_of(labels: Labels, criterion: Floats) -> NDArray[np.uint8]:
    """The map `(2, Y, X)` that gives labels back: joints where there are none, and one inner part each."""
    stone = labels > 0
    joints = np.where(stone, np.minimum(criterion * 200, 120), 255).astype(np.uint8)
    depth = cv2.distanceTransform((stone & ~_border(labels)).astype(np.uint8), cv2.DIST_L2, 3)
    deepest = np.zeros(int(labels.max()) + 1, np.float32)
    np.maximum.at(deepest, labels.ravel(), depth.ravel())
    inner = stone & (depth >= _CORE * deepest[labels]) & (depth > 0.5)
    return np.stack([joints, np.where(_largest_pieces(inner, labels), 255, 0).astype(np.uint8)])


def _largest_pieces(mask: NDArray[np.bool_], labels: Labels) -> NDArray[np.bool_]:
    """The part of a mask that is the largest connected piece of its label."""
    count, pieces = cv2.connectedComponents(mask.astype(np.uint8), connectivity=4)
    area = np.bincount(pieces.ravel(), minlength=count)
    owner = np.zeros(count, np.int64)
    owner[pieces.ravel()] = labels.ravel()
    best = np.zeros(int(labels.max()) + 1, np.int64)
    np.maximum.at(best, owner[1:], area[1:] * count + np.arange(1, count))
    keep = np.zeros(count, bool)
    keep[1:] = best[owner[1:]] % count == np.arange(1, count)
    return np.asarray(keep[pieces])
