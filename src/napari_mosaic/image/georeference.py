"""Where a picture lies on the ground: what GDAL finds in it and beside it, and the few things that GDAL leaves.

One decision: what is known of the place is kept whole, whether or not a pixel size follows from it; that is for
`pixel_size` to say.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from napari_mosaic.file_types import FILE_TYPES
from napari_mosaic.image.pixel_size import size_of_affine
from napari_mosaic.image.raster import Affine, Georeference

if TYPE_CHECKING:
    import pyproj
    from rasterio.io import DatasetReader

ReadText = Callable[[str], str | None]
"""Text of the file of a name beside the picture, or None."""

_WORLD = re.compile(r"\.(wld|\w{2,4}w)$", re.IGNORECASE)


def read_place(dataset: DatasetReader, name: str, beside: ReadText) -> Georeference:
    """CRS, affine and pixel size of an opened dataset; empty where nothing is known.

    Parameters
    ----------
    dataset
        As GDAL opened it, with `.aux.xml` and world file where it looks for them.
    name
        Its file name.
    beside
        Reads the `.prj`, and the world files that GDAL does not look for.
    """
    affine: Affine | None = None if dataset.transform.is_identity else tuple(dataset.transform)[:6]
    world = affine is None or any(_WORLD.search(file) for file in dataset.files[1:])
    affine = (_world_affine(name, beside) if world else None) or affine
    if affine is None:
        return Georeference()
    crs = _known_crs(dataset.crs.to_wkt() if dataset.crs else beside(str(PurePath(name).with_suffix(".prj"))))
    size = size_of_affine(affine, crs, dataset.shape, "world file" if world else "GeoTIFF")
    return Georeference(crs=crs_text(crs), affine=affine, pixel_size=size)


def world_names(name: str) -> list[str]:
    """Names that the world file of a picture may have."""
    path = PurePath(name)
    short = next((kind.world for kind in FILE_TYPES if path.suffix.lower() in kind.suffixes), ".wld")
    endings = (
        short,
        f"{path.suffix}w",
        ".wld",
        short.upper(),
        ".WLD",
        f"{short}x",
    )  # the last is ArcGIS's of turned ones
    return [*(str(path.with_suffix(end)) for end in endings if len(end) > 2), f"{name}w"]


def _world_affine(name: str, beside: ReadText) -> Affine | None:
    for text in filter(None, map(beside, world_names(name))):
        try:
            a, d, b, e, c, f = (float(word.replace(",", ".")) for word in text.split()[:6])
        except ValueError:
            continue
        # a world file names the centre of the first pixel, an affine its corner
        return a, b, c - (a + b) / 2, d, e, f - (d + e) / 2
    return None


def _known_crs(text: str | None) -> pyproj.CRS | None:
    import pyproj

    try:
        return pyproj.CRS.from_user_input(text.strip()) if text else None
    except pyproj.exceptions.CRSError:
        return None


def crs_text(crs: Any) -> str | None:
    """The shortest name of a pyproj CRS: EPSG code where there is one, else WKT."""
    if crs is None:
        return None
    code = crs.to_epsg()
    return f"EPSG:{code}" if code else str(crs.to_wkt())


def crs_name(text: str | None) -> str:
    """A name for people of a CRS as `crs_text` writes it: "EPSG:32633, WGS 84 / UTM zone 33N"; empty for none."""
    crs = _known_crs(text)
    if not text or crs is None:
        return (text or "") if len(text or "") < 40 else "a coordinate system that is not known"
    return f"{text}, {crs.name}" if text.startswith("EPSG:") else str(crs.name)


def in_degrees(text: str | None) -> bool:
    """Whether a CRS as `crs_text` writes it counts degrees."""
    crs = _known_crs(text)
    return crs is not None and bool(crs.is_geographic)
