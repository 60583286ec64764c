"""What four points of known places on a floor say of a photograph that was taken at a slant.

One decision: a floor is a plane, so one homography says all of it: how large a pixel is, here and in every direction,
whether there is one size at all, and what a picture from straight above shows. Corners of pixels have whole numbers:
the outer corner of the first pixel is (0, 0), as in areas.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mosaic.errors import InputError

Array = NDArray[np.float64]
Points = Sequence[Sequence[float]] | Array

IN_LINE = 0.01
"""Three points are in a line where the triangle between them is lower than this share of its longest side: a click that
is a pixel off then turns the floor. *Not varied.*"""

MISFIT = 0.02
"""Share of their extent by which more than four points may miss one plane, as for lengths
(`pixel_size.DISAGREEMENT`)."""

KEY = "napari-mosaic rectified"
"""Under which a rectified picture says in its description what it was made from."""


@dataclass(frozen=True, kw_only=True)
class Rectification:
    """How a rectified picture came from its photograph.

    `points` are `(y, x)` in the photograph, `sides_mm` the first side and the next one of their rectangle, or
    `places_mm` what they are on the floor, x to the right and y upwards. `homography` leads from places `(x, y, 1)` in
    the rectified picture, of height and width `shape`, to the photograph.
    """

    name: str
    location: str
    relative: str
    fingerprint: str
    photograph_shape: tuple[int, int]
    points: tuple[tuple[float, float], ...]
    sides_mm: tuple[float, float] | None
    places_mm: tuple[tuple[float, float], ...] | None
    homography: tuple[tuple[float, float, float], ...]
    pixel_mm: float
    shape: tuple[int, int]
    rights: str = ""

    def to_photograph(self, points: Points) -> Array:
        """Places `(y, x)` of the rectified picture as places `(y, x)` of its photograph, `(n, 2)`."""
        return _swapped(self.homography, points)

    def from_photograph(self, points: Points) -> Array:
        """Places `(y, x)` of the photograph as places `(y, x)` of the rectified picture, `(n, 2)`."""
        return _swapped(np.linalg.inv(np.asarray(self.homography, float)), points)

    def to_text(self) -> str:
        """All of it as JSON in ASCII, as files keep it."""
        return json.dumps({KEY: asdict(self)})


def read_rectification(text: Any, shape: tuple[int, int]) -> Rectification | None:
    """What `to_text` wrote, after other words or none, of a picture of this height and width; None of others, cut or
    not.
    """
    try:
        values = json.loads(text[text.index("{") :])[KEY]
        found = Rectification(**{name: _frozen(value) for name, value in values.items()})
        homography = np.asarray(found.homography, float)
        size = float(found.pixel_mm)
    except (TypeError, ValueError, KeyError, AttributeError):
        return None
    good = homography.shape == (3, 3) and bool(np.isfinite(homography).all()) and 1e-4 <= size <= 1e5
    return found if good and tuple(found.shape) == tuple(shape) else None


def _frozen(value: Any) -> Any:
    return tuple(map(_frozen, value)) if isinstance(value, list) else value


def _swapped(homography: Any, points: Points) -> Array:
    given = np.asarray(points, float).reshape(-1, 2)
    return project(np.asarray(homography, float), given[:, ::-1])[:, ::-1]


def project(homography: Array, places: Array) -> Array:
    """Places `(n, 2)` as `(x, y)` behind a homography."""
    mapped = np.column_stack([places, np.ones(len(places))]) @ homography.T
    found: Array = mapped[:, :2] / mapped[:, 2:]
    return found


def floor_of_rectangle(points: Points, sides_mm: Sequence[float], shape: tuple[int, int] | None = None) -> Array:
    """The homography from a photograph `(x, y)` in px to its floor `(x, y)` in mm, y downwards, by a known rectangle.

    Parameters
    ----------
    points
        The four corners `(y, x)` in the photograph, one after the other round the rectangle, from any, either way.
    sides_mm
        Length on the floor of the side from the first to the second corner, and of the next one.
    shape
        Height and width of the photograph, to check that the points are in it.

    Raises
    ------
    InputError
        Not four points, outside, three in a line, crossed; a side that is no length.
    """
    corners = check_corners(points, shape)
    sides = [float(side) for side in sides_mm]
    if len(sides) != 2 or not all(math.isfinite(side) and side > 0 for side in sides):
        given = " x ".join(f"{side:g}" for side in sides)
        raise InputError(f"A rectangle of {given} mm has no two sides; give the length of both on the floor in mm.")
    first, next_ = sides
    down = 1.0 if _area(corners) > 0 else -1.0  # the floor is seen from above, whichever way its corners are clicked
    flat = np.array([(0, 0), (first, 0), (first, down * next_), (0, down * next_)])
    return _upright(_fitted(corners, flat), corners.mean(axis=0))


def floor_of_places(points: Points, places_mm: Points, shape: tuple[int, int] | None = None) -> Array:
    """The homography from a photograph `(x, y)` in px to its floor `(x, y)` in mm, y downwards, by four or more places.

    `points` are `(y, x)` in the photograph, `places_mm` `(x, y)` on the floor, y upwards as on a plan.
    `InputError` where they are too few, outside, in a line, seen from below, or of no one plane.
    """
    seen, flat = np.asarray(points, float), np.asarray(places_mm, float) * (1, -1)
    if len(seen) != len(flat) or len(seen) < 4:
        raise InputError(
            f"{len(seen)} points and {len(flat)} places were given, but four of each are needed at least; "
            "give the place on the floor of every point."
        )
    seen = seen[:, ::-1]
    _check_inside(seen, shape)
    for name, four in (("points", seen), ("places", flat)):
        if not np.isfinite(four).all() or (len(four) == 4 and _in_line(four)):
            raise InputError(
                f"Three of the four {name} are in a line, so they fix no plane; choose them farther apart."
            )
    found = _fitted(seen, flat)
    if np.linalg.det(found) * _weights(found, seen)[0] < 0:
        raise InputError("The places are those of a mirrored floor; give x to the right and y upwards, as on a plan.")
    worst = float(np.linalg.norm(project(found, seen) - flat, axis=1).max())
    extent = float(np.ptp(flat, axis=0).max())
    if worst > MISFIT * extent:
        raise InputError(
            f"The places miss one plane by up to {worst:.3g} mm, more than {MISFIT:.0%} of their extent; "
            "check them and their order."
        )
    return found


def check_corners(points: Points, shape: tuple[int, int] | None = None) -> Array:
    """The corners of a rectangle in a photograph as `(4, 2)`, `(x, y)`; `InputError` where they are none."""
    corners = np.asarray(points, float)
    if corners.shape != (4, 2):
        raise InputError(f"A rectangle has four corners, and {len(corners)} points were given; mark all four.")
    corners = corners[:, ::-1]
    _check_inside(corners, shape)
    if _in_line(corners):
        raise InputError(
            "Three of the four points are in a line, so they fix no plane; mark the corners of a rectangle."
        )
    if len({sign > 0 for sign in _turns(corners)}) > 1:
        raise InputError(
            "The four points cross, as those of no rectangle do; mark its corners one after the other, going round."
        )
    return corners


def _check_inside(places: Array, shape: tuple[int, int] | None) -> None:
    limits = (math.inf, math.inf) if shape is None else (shape[1], shape[0])
    for x, y in places:
        if not (0 <= x <= limits[0] and 0 <= y <= limits[1] and math.isfinite(x + y)):
            raise InputError(
                f"The point y {y:g}, x {x:g} is outside of the photograph; give pixels from its upper left corner."
            )


def _turns(corners: Array) -> Array:
    """Twice the area of the triangle at each corner, by its sign the way that it turns."""
    back, ahead = np.roll(corners, 1, axis=0) - corners, np.roll(corners, -1, axis=0) - corners
    found: Array = ahead[:, 0] * back[:, 1] - ahead[:, 1] * back[:, 0]
    return found


def _in_line(corners: Array) -> bool:
    heights = []
    for left_out in range(4):
        three = np.delete(corners, left_out, axis=0)
        one, other = three[1] - three[0], three[2] - three[0]
        longest = max(float(np.linalg.norm(side)) for side in (one, other, one - other))
        heights.append(float(abs(one[0] * other[1] - one[1] * other[0])) / max(longest, 1e-9) ** 2)
    return min(heights) < IN_LINE


def _area(corners: Array) -> float:
    return float(_turns(corners).sum())


def _fitted(seen: Array, flat: Array) -> Array:
    """The homography between places, by scikit-image; positive where the places are seen."""
    from skimage.transform import estimate_transform

    found: Array = np.asarray(estimate_transform("projective", seen, flat).params, float)
    found /= _weights(found, seen.mean(axis=0, keepdims=True))[0]
    return found


def _weights(homography: Array, places: Array) -> Array:
    found: Array = places @ homography[2, :2] + homography[2, 2]
    return found


def _upright(floor: Array, middle: Array) -> Array:
    """The floor turned by right angles until it lies as nearly as the photograph shows it."""
    down = jacobian(floor, middle) @ np.array([0.0, 1.0])
    turns = round(math.atan2(down[0], down[1]) / (math.pi / 2)) % 4
    cosine, sine = ((1, 0), (0, 1), (-1, 0), (0, -1))[turns]
    found: Array = np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]], float) @ floor
    return found


def jacobian(homography: Array, place: Array) -> Array:
    """What a homography makes of small steps at a place `(x, y)`, `(2, 2)`."""
    x, y, w = homography @ np.array([*place, 1.0])
    rows = homography[:2, :2] - np.outer([x / w, y / w], homography[2, :2])
    found: Array = rows / w
    return found


def scale_spread(floor: Array, places: Array) -> float:
    """By what share the scale of a photograph differs, in whatever direction and at whichever of the places `(x,
    y)`.
    """
    sizes = np.concatenate([np.linalg.svd(jacobian(floor, place), compute_uv=False) for place in places])
    return float(sizes.max() / sizes.min() - 1)


def cut_half(polygon: Array, line: Array) -> Array:
    """The part of a convex polygon `(n, 2)` where `line @ (x, y, 1)` is not negative."""
    kept: list[Array] = []
    values = polygon @ line[:2] + line[2]
    for at in range(len(polygon)):
        here, there, value, other = polygon[at - 1], polygon[at], values[at - 1], values[at]
        if (value >= 0) != (other >= 0):
            kept.append(here + (there - here) * value / (value - other))
        if other >= 0:
            kept.append(there)
    return np.array(kept).reshape(-1, 2)
