"""Where a file lies on the ground, from GeoTIFF tags, side-car and world files, and from dpi tags.

One decision: a figure that describes paper (dpi) or has no unit (a world file without a CRS) is kept but
unconfirmed; somebody has to say yes.
"""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from typing import Any

from napari_mosaic.image.raster import Affine, Georeference, PixelSize

_WORLD_SUFFIXES = {".jpg": ".jgw", ".jpeg": ".jgw", ".png": ".pgw", ".tif": ".tfw", ".tiff": ".tfw",
                   ".bmp": ".bpw", ".webp": ".wpw"}  # fmt: skip


def read_georeference(path: Path, shape: tuple[int, int]) -> Georeference:
    """CRS, affine and pixel size of a local picture; empty where nothing is known.

    Parameters
    ----------
    path
        A picture; world files (`.tfw`, `.jgwx`, `.wld` …) and `.prj` are looked for beside it.
    shape
        Its stored height and width.
    """
    tiff = path.suffix.lower() in (".tif", ".tiff")
    world = None if tiff else _world_file(path)
    if world is None and (inside := _from_tags(path)) is not None:
        affine, crs = inside
        return describe(affine, crs, shape, "GeoTIFF")
    world = world or _world_file(path)
    if world is None:
        return Georeference()
    return describe(world, _read_prj(path.with_suffix(".prj")), shape, "world file")


def describe(affine: Affine, crs: Any, shape: tuple[int, int], origin: str) -> Georeference:
    """Georeference from an affine and a pyproj CRS (or None): the pixel size follows from both."""
    mm, certain = pixel_mm(affine, crs, shape)
    size = PixelSize(mm=mm, confirmed=certain, origin=origin) if mm > 0 and math.isfinite(mm) else None
    return Georeference(crs=crs_text(crs), affine=affine, pixel_size=size)


def crs_text(crs: Any) -> str | None:
    """The shortest name of a pyproj CRS: EPSG code where there is one, else WKT."""
    if crs is None:
        return None
    code = crs.to_epsg()
    return f"EPSG:{code}" if code else str(crs.to_wkt())


def pixel_mm(affine: Affine, crs: Any, shape: tuple[int, int]) -> tuple[float, bool]:
    """Pixel edge in mm, and whether it is certain (a unit is known and the pixel is square to 1 %).

    Degrees and Web Mercator, whose metre is not a metre on the ground, are measured at the image's centre.
    """
    a, b, _, d, e, _ = affine
    columns, rows = math.hypot(a, d), math.hypot(b, e)
    if crs is None:
        return 1000 * math.sqrt(columns * rows), False
    if crs.is_geographic or "mercator" in str(crs.name).lower().replace("pseudo-", ""):
        columns, rows = _measured(affine, crs, shape)
        factor = 1.0
    else:
        factor = float(crs.axis_info[0].unit_conversion_factor) if crs.axis_info else 1.0
    square = abs(columns - rows) <= 0.01 * max(columns, rows)
    return 1000 * factor * math.sqrt(columns * rows), square or bool(crs.is_geographic)


def _measured(affine: Affine, crs: Any, shape: tuple[int, int]) -> tuple[float, float]:
    """Length of a column and a row step in metres at the centre."""
    import pyproj

    a, b, c, d, e, f = affine
    x, y = a * shape[1] / 2 + b * shape[0] / 2 + c, d * shape[1] / 2 + e * shape[0] / 2 + f
    to_degrees = pyproj.Transformer.from_crs(crs, crs.geodetic_crs or "EPSG:4326", always_xy=True)
    geod = pyproj.Geod(ellps="WGS84")
    lon, lat = to_degrees.transform([x, x + a * 100, x + b * 100], [y, y + d * 100, y + e * 100])
    steps = [geod.inv(lon[0], lat[0], lon[i], lat[i])[2] / 100 for i in (1, 2)]
    return steps[0], steps[1]


def dpi_size(dpi: Any) -> PixelSize | None:
    """Unconfirmed pixel size from a dpi tag, a number or a pair; None where it says nothing."""
    try:
        value = float(dpi[0] if isinstance(dpi, tuple | list) else dpi)
    except (TypeError, ValueError, IndexError, ZeroDivisionError):
        return None
    if not math.isfinite(value) or value <= 1:
        return None
    return PixelSize(mm=25.4 / value, confirmed=False, origin="dpi tag")


def _from_tags(path: Path) -> tuple[Affine, Any] | None:
    import pyproj
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning, RasterioError

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        try:
            with rasterio.Env(GDAL_GEOREF_SOURCES="INTERNAL,PAM"), rasterio.open(path) as dataset:
                transform, crs = dataset.transform, dataset.crs
        except RasterioError:
            return None
    if transform.is_identity:
        return None
    try:
        known = pyproj.CRS.from_user_input(crs.to_wkt()) if crs else None
    except pyproj.exceptions.CRSError:
        known = None
    return tuple(transform)[:6], known


def _world_file(path: Path) -> Affine | None:
    suffix = path.suffix.lower()
    short = _WORLD_SUFFIXES.get(suffix, ".wld")
    names = [path.with_suffix(end) for end in (short, f"{path.suffix}w", ".wld", short.upper(), ".WLD")]
    for name in [*names, path.with_name(path.name + "w")]:
        try:
            numbers = [float(word.replace(",", ".")) for word in name.read_text("ascii").split()]
        except (OSError, ValueError):
            continue
        if len(numbers) >= 6:
            a, d, b, e, c, f = numbers[:6]
            # a world file names the centre of the first pixel, an affine its corner
            return a, b, c - (a + b) / 2, d, e, f - (d + e) / 2
    return None


def _read_prj(path: Path) -> Any:
    import pyproj

    try:
        return pyproj.CRS.from_user_input(path.read_text("utf-8", errors="replace").strip())
    except (OSError, pyproj.exceptions.CRSError):
        return None
