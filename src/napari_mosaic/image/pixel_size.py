"""The size of a pixel on the floor, and who vouches for it: one rule for every source.

One decision: *confirmed* is what a person said, or what follows from a projected coordinate system in metres or feet of
the file itself. A figure that describes a print (dpi), that programs copy from there (OME), that has no unit, or that
holds for one side only of pixels that are not square is kept and shown, and scales nothing until somebody says yes.
"""

from __future__ import annotations

import math
from typing import Any

from napari_mosaic.errors import InputError
from napari_mosaic.image.raster import Affine, PixelSize

USER, LINE, DPI, LAYER = "user", "drawn line", "dpi tag", "layer"
LINES, RECTANGLE, RECTIFIED = "drawn lines", "drawn rectangle", "rectified"

SMALLEST, LARGEST = 1e-4, 1e5
"""A tenth of a micrometre, below what light shows, and a hundred metres: what is beyond was mistyped. *Not varied.*"""

SQUARE = 0.01
"""Sides that differ by less are one: rounding a floor to whole pixels does that, and the size, the root of the pixel's
area, is then right within half of it along either side."""

DISAGREEMENT = 0.02
"""Share by which the scale of a photograph may differ from one direction to another, and from one corner of a rectangle
to another, and still be one scale: areas are then right within 4 %. What this program promises; *not varied*."""

DIFFER = "differ by"
"""In the origin of a size: in two directions it is not one."""
_WORDS = {
    USER: "given by a person",
    LINE: "from a drawn line",
    DPI: "from dpi",
    LAYER: "from the layer's scale",
    RECTANGLE: "from a drawn rectangle",
    RECTIFIED: "from rectifying",
}


def confirmed_mm(size: PixelSize | None) -> float | None:
    """Edge of a pixel in mm where it may be used as a figure: for scales, lengths, areas and densities.

    None where nothing is known or nobody vouches for it.
    """
    return size.mm if size is not None and size.confirmed else None


def given_size(mm: float, *, confirmed: bool = True, origin: str = USER) -> PixelSize:
    """A pixel size that somebody gives; `InputError` where it is no size, or none of a floor."""
    if not (math.isfinite(mm) and mm > 0):
        raise InputError(f"A pixel size of {mm} mm is no size; give the edge of a pixel on the floor in mm.")
    if not SMALLEST <= mm <= LARGEST:
        raise InputError(
            f"A pixel size of {mm:g} mm is none of a floor ({SMALLEST:g} to {LARGEST:g} mm); "
            "give the edge of a pixel on the floor in mm."
        )
    if confirmed and DIFFER in origin:
        raise InputError(oblique_words(origin))
    return PixelSize(mm=float(mm), confirmed=confirmed, origin=origin)


def is_oblique(size: PixelSize | None) -> bool:
    """Whether the size was measured in two directions that are not one scale, so that nobody can vouch for it."""
    return size is not None and DIFFER in size.origin


def oblique_words(origin: str) -> str:
    """Why a size of such an origin cannot be confirmed, and what to do."""
    return (
        f"The photograph has no one pixel size ({origin}; {DISAGREEMENT:.0%} are allowed), as one taken at a slant; "
        "rectify it by the four corners of a rectangle of known sides, and work on the rectified picture."
    )


def size_of_sides(mm_y: float, mm_x: float, *, confirmed: bool, origin: str) -> PixelSize | None:
    """The size of a pixel of two sides, the root of its area; unconfirmed, with a word, where they differ."""
    if not (math.isfinite(mm_y) and math.isfinite(mm_x) and mm_y > 0 and mm_x > 0):
        return None
    if abs(mm_y - mm_x) > SQUARE * max(mm_y, mm_x):
        confirmed, origin = False, f"{origin}, pixels of {mm_x:.4g} x {mm_y:.4g} mm are not square"
    return PixelSize(mm=math.sqrt(mm_y * mm_x), confirmed=confirmed, origin=origin)


def size_of_affine(affine: Affine, crs: Any, shape: tuple[int, int], origin: str) -> PixelSize | None:
    """The size of a pixel of a georeferenced file.

    Parameters
    ----------
    affine
        From pixels to the coordinate system: `a, b, c, d, e, f`, turned or sheared or not.
    crs
        A pyproj CRS, or None where the file names none: its unit is then taken for metres, unconfirmed.
    shape
        Height and width, for systems whose metre is none on the ground (Web Mercator), measured at the centre.
    origin
        What tells it.

    Returns
    -------
    PixelSize or None
        None for degrees and for what is no length.
    """
    a, b, _, d, e, _ = affine
    columns, rows = math.hypot(a, d), math.hypot(b, e)
    if crs is None:
        unit, known = 1.0, False
    elif crs.is_geographic or crs.is_geocentric:
        return None
    elif "mercator" in str(crs.name).lower().replace("pseudo-", "") and not _is_local(crs):
        (columns, rows), unit, known = _measured(affine, crs, shape), 1.0, True
    else:
        unit, known = _unit(crs)
    size = size_of_sides(1000 * unit * rows, 1000 * unit * columns, confirmed=known, origin=origin)
    if size is not None and abs(a * b + d * e) > SQUARE * math.hypot(a, d) * math.hypot(b, e):
        area = abs(a * e - b * d) / (math.hypot(a, d) * math.hypot(b, e)) * size.mm**2
        return PixelSize(mm=math.sqrt(area), confirmed=False, origin=f"{origin}, pixels are sheared") if area else None
    return size


def dpi_size(dpi: Any) -> PixelSize | None:
    """Unconfirmed pixel size from a dpi tag, a number or a pair (x, y); None where it says nothing."""
    try:
        pair = [float(value) for value in (dpi if isinstance(dpi, tuple | list) else (dpi, dpi))]
        across, down = pair[0], pair[-1]
    except (TypeError, ValueError, IndexError, ZeroDivisionError):
        return None
    if not all(math.isfinite(value) and value > 1 for value in (across, down)):
        return None
    return size_of_sides(25.4 / down, 25.4 / across, confirmed=False, origin=DPI)


def describe_size(size: PixelSize | None) -> str | None:
    """The size, where it comes from and whether it counts: "0.3528 mm (from dpi, not confirmed)"."""
    if size is None:
        return None
    first, *rest = size.origin.split(", ", 1)
    said = _WORDS.get(first, f"from {first}")
    if not size.confirmed:
        rest.append("not confirmed")
    elif first not in (USER, LINE, LINES, RECTANGLE, RECTIFIED):
        rest.append("confirmed")
    return f"{size.mm:.4g} mm ({', '.join([said, *rest])})"


def describe_extent(shape: tuple[int, int], mm: float) -> str:
    """Width and height of a picture on the floor: "3.20 x 2.45 m"."""
    height, width = (side * mm / 1000 for side in shape)
    decimals = 2 if min(height, width) >= 1 else 3
    return f"{width:.{decimals}f} x {height:.{decimals}f} m"


def _unit(crs: Any) -> tuple[float, bool]:
    """Metres in the unit of a CRS, and whether it is projected and in metres or feet."""
    axis = crs.axis_info[0] if crs.axis_info else None
    name = str(getattr(axis, "unit_name", "")).lower()
    known = any(word in name for word in ("metre", "meter", "foot", "feet")) or name in ("m", "ft")
    factor = float(getattr(axis, "unit_conversion_factor", 0.0)) if known else 0.0
    return (factor, bool(crs.is_projected)) if factor > 0 else (1.0, False)


def _is_local(crs: Any) -> bool:
    """Whether a Mercator system is one whose metre is a metre where it is used: transverse and oblique ones."""
    name = str(getattr(crs.coordinate_operation, "method_name", "") or "").lower()
    return "transverse" in name or "oblique" in name


def _measured(affine: Affine, crs: Any, shape: tuple[int, int]) -> tuple[float, float]:
    """Length of a column and a row step in metres on the ground at the centre."""
    import pyproj

    a, b, c, d, e, f = affine
    x, y = a * shape[1] / 2 + b * shape[0] / 2 + c, d * shape[1] / 2 + e * shape[0] / 2 + f
    to_degrees = pyproj.Transformer.from_crs(crs, crs.geodetic_crs or "EPSG:4326", always_xy=True)
    geod = pyproj.Geod(ellps="WGS84")
    lon, lat = to_degrees.transform([x, x + a * 100, x + b * 100], [y, y + d * 100, y + e * 100])
    steps = [geod.inv(lon[0], lat[0], lon[i], lat[i])[2] / 100 for i in (1, 2)]
    return steps[0], steps[1]
