"""Where a file lies on the ground, from GeoTIFF tags, side-car and world files.

One decision: what is known of the place is kept whole, whether or not a pixel size follows from it; that is for
`pixel_size` to say.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from napari_mosaic.image.pixel_size import size_of_affine
from napari_mosaic.image.raster import Affine, Georeference

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
    size = size_of_affine(affine, crs, shape, origin)
    return Georeference(crs=crs_text(crs), affine=affine, pixel_size=size)


def crs_text(crs: Any) -> str | None:
    """The shortest name of a pyproj CRS: EPSG code where there is one, else WKT."""
    if crs is None:
        return None
    code = crs.to_epsg()
    return f"EPSG:{code}" if code else str(crs.to_wkt())


def crs_name(text: str | None) -> str:
    """A name for people of a CRS as `crs_text` writes it: "EPSG:32633, WGS 84 / UTM zone 33N"; empty for none."""
    import pyproj

    if not text:
        return ""
    try:
        name = str(pyproj.CRS.from_user_input(text).name)
    except pyproj.exceptions.CRSError:
        return text if len(text) < 40 else "a coordinate system that is not known"
    return f"{text}, {name}" if text.startswith("EPSG:") else name


def in_degrees(text: str | None) -> bool:
    """Whether a CRS as `crs_text` writes it counts degrees."""
    import pyproj

    try:
        return bool(text) and bool(pyproj.CRS.from_user_input(text).is_geographic)
    except pyproj.exceptions.CRSError:
        return False


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
            numbers = [float(word.replace(",", ".")) for word in name.read_text(encoding="ascii").split()]
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
        return pyproj.CRS.from_user_input(path.read_text(encoding="utf-8", errors="replace").strip())
    except (OSError, pyproj.exceptions.CRSError):
        return None
