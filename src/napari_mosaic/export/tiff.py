"""Labels as TIFF: tiled, compressed, BigTIFF where large, and a GeoTIFF where the photograph is placed.

One decision: 16 bits where the numbers fit, else 32, because that is what other programs can read.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from napari_mosaic.export.label_tiles import number_tiles, progress_at
from napari_mosaic.export.notes import notes_of
from napari_mosaic.measurement.table import read_tesserae
from napari_mosaic.output_files import check_tiff
from napari_mosaic.picture_marks import SOFTWARE
from napari_mosaic.progress import Progress
from napari_mosaic.record import Record

_CACHE_MB = 64
"""GDAL's cache while writing: bounds memory, changes nothing."""


def write_steps(record: Record, path: Path) -> Iterator[Progress]:
    """Write numbered labels on the photograph's grid to `path`, tile by tile."""
    import rasterio
    from rasterio.windows import Window

    tesserae = read_tesserae(record)
    with warnings.catch_warnings(), rasterio.Env(GDAL_CACHEMAX=_CACHE_MB):
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        with rasterio.open(path, "w", **_profile(record, len(tesserae))) as target:
            target.update_tags(**_tags(record))
            for box, numbers in number_tiles(record, tesserae):
                window = Window(box.x0, box.y0, *box.shape[::-1])
                target.write(numbers.astype(target.dtypes[0]), 1, window=window)
                yield progress_at(record, box)
    check_tiff(path)


def _profile(record: Record, count: int) -> dict[str, Any]:
    height, width = record.plan.source_shape
    profile: dict[str, Any] = {
        "driver": "GTiff",
        "height": height,
        "width": width,
        "count": 1,
        "dtype": "uint16" if count < 2**16 else "uint32",
        "compress": "deflate",
        "predictor": 2,
        "bigtiff": "IF_SAFER",
        "tiled": True,
        "blockxsize": 512,
        "blockysize": 512,
    }
    if record.affine is not None:
        from rasterio.transform import Affine

        profile |= {"transform": Affine(*record.affine), "crs": record.crs, "nodata": 0}
    return profile


def _tags(record: Record) -> dict[str, str]:
    """Baseline tags: what the file shows and, where it is known, its scale in pixels per centimetre."""
    said = f"Tesserae of {record.source.name}, numbered in reading order. {notes_of(record)['edited']}"
    tags = {"TIFFTAG_IMAGEDESCRIPTION": said, "TIFFTAG_SOFTWARE": SOFTWARE}
    mm = record.pixel_mm
    if mm is not None:
        per_cm = f"{10 / mm:.6g}"
        tags |= {"TIFFTAG_XRESOLUTION": per_cm, "TIFFTAG_YRESOLUTION": per_cm, "TIFFTAG_RESOLUTIONUNIT": "3"}
    return tags
