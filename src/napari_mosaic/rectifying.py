"""A photograph taken at a slant, as it looks from straight above: one size of pixel all over, which is then known.

One decision: the rectified picture is a file of its own that says what it was made from, so it can be segmented,
measured and handed on like any orthophoto, and every place in it leads back to the photograph. It is made block by
block by one rule for all, and appears whole or not at all.
"""

from __future__ import annotations

import base64
import math
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_mosaic._warping import warp_block
from napari_mosaic.errors import InputError, WriteError
from napari_mosaic.image.model import MosaicImage
from napari_mosaic.image.pixel_size import given_size
from napari_mosaic.output_files import check_tiff, replacing
from napari_mosaic.perspective import (
    Array,
    Points,
    Rectification,
    cut_half,
    floor_of_places,
    floor_of_rectangle,
    jacobian,
    project,
    read_rectification,
)
from napari_mosaic.progress import Progress, Steps
from napari_mosaic.tiling import Box, Lattice

Extent = Literal["photograph", "rectangle"]

BLOCK = 512
"""Side of a block of the file, px; not varied."""

COARSEST = 4.0
"""What is shown of a photograph beyond the marked points ends where its pixels are this many times as large on the
floor as the finest at the points: farther off, towards the horizon, there is nothing to measure. *Not varied.*"""

MOST_SAMPLES = 8
"""Samples a side that make a pixel; what is coarser begins with a smaller level of the photograph. *Not varied.*"""

LONGEST = 400_000
"""Longest side of a rectified picture, px; far beyond any photograph: a mistyped size of a pixel. *Not varied.*"""

_CACHE_MB = 64
"""Of GDAL, which would take a twentieth of the memory otherwise; not varied."""
_SOFTWARE = "napari-mosaic rectify"
_DRAWN = 0.9
"""Share of the work that is done when the finest level is there; not varied."""


@dataclass(frozen=True, kw_only=True)
class RectifyParams:
    """What is known of the floor: `points` `(y, x)` in the photograph with the two sides of their rectangle, or places.

    `sides_mm` are the side from the first to the second point and the next one; `places_mm` are `(x, y)`, y upwards.
    `pixel_mm` is the size of a pixel of the rectified picture, by default the finest that the points have; `extent`
    says how much of the photograph it shows.
    """

    points: Points
    sides_mm: Sequence[float] | None = None
    places_mm: Points | None = None
    pixel_mm: float | None = None
    extent: Extent = "photograph"

    def __post_init__(self) -> None:
        if (self.sides_mm is None) == (self.places_mm is None):
            raise InputError(
                "Points are known by the sides of their rectangle or by their places; give one of the two."
            )
        if self.extent not in ("photograph", "rectangle"):
            raise InputError(f"An extent of {self.extent!r} is not known; choose photograph or rectangle.")
        if self.pixel_mm is not None:
            given_size(self.pixel_mm)

    def floor(self, shape: tuple[int, int]) -> Array:
        """The homography from a photograph of height and width `shape` to its floor in mm; `InputError` for no
        plane.
        """
        if self.sides_mm is not None:
            return floor_of_rectangle(self.points, self.sides_mm, shape)
        assert self.places_mm is not None
        return floor_of_places(self.points, self.places_mm, shape)


def plan_rectification(image: MosaicImage, params: RectifyParams) -> Rectification:
    """The grid that a photograph is rectified to; `InputError` where points or sides do not fit."""
    floor = params.floor(image.shape)
    seen = np.asarray(params.points, float)[:, ::-1]
    polygon = seen if params.extent == "rectangle" else _visible(floor, seen, image.shape)
    size = params.pixel_mm or _rounded_down(min(_pixel_edge(floor, place) for place in seen))
    flat = project(floor, polygon)
    start = np.floor(flat.min(axis=0) / size + 1e-6)
    width, height = (int(side) for side in np.ceil(flat.max(axis=0) / size - 1e-6) - start)
    if max(width, height) > LONGEST or min(width, height) < 1:
        raise InputError(
            f"With pixels of {size:g} mm the rectified picture would be {width} x {height} px; give another pixel size."
        )
    grid = np.array([[size, 0, start[0] * size], [0, size, start[1] * size], [0, 0, 1]])
    homography = np.linalg.inv(floor) @ grid
    homography /= homography[2, :2] @ [width / 2, height / 2] + homography[2, 2]
    return Rectification(
        name=image.name,
        location=image.source.location,
        relative="",
        fingerprint=image.source.fingerprint,
        photograph_shape=image.shape,
        points=tuple((float(y), float(x)) for y, x in np.asarray(params.points, float)),
        sides_mm=None if params.sides_mm is None else (float(params.sides_mm[0]), float(params.sides_mm[1])),
        places_mm=None if params.places_mm is None else tuple((float(x), float(y)) for x, y in params.places_mm),
        homography=tuple((float(row[0]), float(row[1]), float(row[2])) for row in homography),
        pixel_mm=float(size),
        shape=(height, width),
        rights=image.source.rights,
    )


def rectify_steps(
    image: MosaicImage, path: str | PathLike[str], params: RectifyParams, *, overwrite: bool = False
) -> Steps[Path]:
    """Rectify a photograph in steps; see `rectify`."""
    path = Path(path)
    _check_name(path, image, overwrite=overwrite)
    plan = plan_rectification(image, params)
    plan = _beside(plan, path)
    with replacing(path, overwrite=overwrite) as temporary:
        yield from _write_steps(image, plan, temporary)
        _check_whole(temporary, path)
    return path


def rectify(
    image: Any,
    path: str | PathLike[str],
    params: RectifyParams,
    *,
    overwrite: bool = False,
) -> Path:
    """Write a photograph as it looks from straight above, with pixels of one known size.

    Parameters
    ----------
    image
        The photograph, a `MosaicImage`, or what `open_image` takes.
    path
        A `.tif`: tiled, with smaller levels, 8 bits in sRGB like all that is opened here, with the profile of sRGB;
        what the photograph does not show is transparent.
    params
        Four points with the sides of their rectangle, or four and more with their places on the floor.
    overwrite
        Whether to replace a rectified picture that is there.

    Returns
    -------
    Path
        Of the file; opened, it has a confirmed pixel size and knows its photograph (`MosaicImage.rectification`).

    Raises
    ------
    InputError, ReadError, WriteError
        Points or sides that fit no plane; the photograph cannot be read; the file is there, or cannot be written.

    Examples
    --------
    >>> corners = [(210, 80), (190, 900), (760, 980), (800, 30)]  # y, x
    >>> params = RectifyParams(points=corners, sides_mm=(1500, 1000))
    >>> rectify("slant.jpg", "flat.tif", params)  # doctest: +SKIP
    """
    from napari_mosaic.image import open_image
    from napari_mosaic.progress import drain

    if isinstance(image, MosaicImage):
        return drain(rectify_steps(image, path, params, overwrite=overwrite))
    with open_image(image) as opened:
        return drain(rectify_steps(opened, path, params, overwrite=overwrite))


def _check_name(path: Path, image: MosaicImage, *, overwrite: bool) -> None:
    if path.suffix.lower() not in (".tif", ".tiff"):
        raise InputError(f"{path.name} is no TIFF; a rectified picture is one, so give a name that ends in .tif.")
    if overwrite and path.is_file() and _rectified_file(path) is None:
        raise WriteError(
            f"{path} is no rectified picture, perhaps a photograph, and is not replaced; give another name."
        )
    location = image.source.location
    if location and os.path.abspath(location) == os.path.abspath(path):
        raise WriteError(f"{path} is what is to be rectified; give another name.")


def _rectified_file(path: Path) -> Rectification | None:
    import tifffile

    try:
        with tifffile.TiffFile(path) as tif:
            page: Any = tif.pages.first
            return read_rectification(page.tags.valueof(270), page.shape[:2])
    except (tifffile.TiffFileError, OSError, ValueError):
        return None


def _beside(plan: Rectification, path: Path) -> Rectification:
    """With the photograph's path from where the rectified picture will lie."""
    if not plan.location or "://" in plan.location or not Path(plan.location).exists():
        return plan
    try:
        relative = os.path.relpath(os.path.abspath(plan.location), os.path.abspath(path.parent))
    except ValueError:  # another drive
        return plan
    return replace(plan, location=os.path.abspath(plan.location), relative=Path(relative).as_posix())


def _pixel_edge(floor: Array, place: Array) -> float:
    """Edge in mm of the square that a pixel at a place covers the area of."""
    return math.sqrt(abs(np.linalg.det(jacobian(floor, place))))


def _rounded_down(value: float) -> float:
    """To three digits: finer by less than a percent."""
    unit = 10.0 ** (math.floor(math.log10(value)) - 2)
    return float(f"{math.floor(value / unit + 1e-9) * unit:.3g}")


def _visible(floor: Array, seen: Array, shape: tuple[int, int]) -> Array:
    """The part of a photograph `(n, 2)` whose pixels are not too coarse: their area grows with 1 / depth³."""
    height, width = shape
    corners = np.array([(0, 0), (width, 0), (width, height), (0, height)], float)
    depth = (seen @ floor[2, :2] + floor[2, 2]).max()
    line = floor[2] - np.array([0, 0, depth / COARSEST ** (2 / 3)])
    return cut_half(corners, line)


def _write_steps(image: MosaicImage, plan: Rectification, path: Path) -> Steps[None]:
    import rasterio
    from rasterio.enums import Resampling
    from rasterio.windows import Window

    height, width = plan.shape
    warp = _Warp(image, plan)
    total = height * width / 1e6
    profile = {
        "driver": "GTiff", "height": height, "width": width, "count": 4, "dtype": "uint8", "photometric": "RGB",
        "alpha": "NON-PREMULTIPLIED", "tiled": True, "blockxsize": BLOCK, "blockysize": BLOCK, "compress": "deflate",
        "predictor": 2, "bigtiff": "IF_SAFER", "interleave": "pixel",
        "SOURCE_ICC_PROFILE": base64.b64encode(_srgb()).decode(),
    }  # fmt: skip
    try:
        with rasterio.Env(GDAL_TIFF_OVR_BLOCKSIZE=str(BLOCK), GDAL_CACHEMAX=_CACHE_MB):
            with _opened_quietly(path, profile) as dataset:
                dataset.update_tags(**_tags(plan))
                done = 0
                for tile in Lattice(shape=plan.shape, core=BLOCK):
                    box = tile.core
                    block = np.moveaxis(warp.read(box), -1, 0)
                    dataset.write(block, window=Window(box.x0, box.y0, box.shape[1], box.shape[0]))
                    done += box.area
                    yield Progress(phase="rectify", done=_DRAWN * done / 1e6, total=total)
            factor = 2
            while max(plan.shape) > BLOCK * factor / 2:
                with rasterio.open(path, "r+") as dataset:
                    dataset.build_overviews([factor], Resampling.average)
                factor *= 2
                yield Progress(phase="rectify", done=(1 - (1 - _DRAWN) / factor) * total, total=total)
    except rasterio.errors.RasterioError as error:
        raise OSError(str(error)) from error
    check_tiff(path)


def _opened_quietly(path: Path, profile: dict[str, Any]) -> Any:
    """A new file of GDAL, without its word that the picture lies nowhere."""
    import rasterio

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        return rasterio.open(path, "w", **profile)


def _tags(plan: Rectification) -> dict[str, str]:
    """What the file says of itself to everybody; dots per centimetre are those of the floor itself, at 1:1."""
    dots = f"{10 / plan.pixel_mm:.9g}"
    words = f"Rectified from {plan.name}:".encode("ascii", "replace").decode().replace("{", "(")
    # words first: tifffile takes a description that begins with a brace for its own
    said = {
        "TIFFTAG_IMAGEDESCRIPTION": f"{words} {plan.to_text()}",
        "TIFFTAG_SOFTWARE": _SOFTWARE,
        "TIFFTAG_XRESOLUTION": dots,
        "TIFFTAG_YRESOLUTION": dots,
        "TIFFTAG_RESOLUTIONUNIT": "3 (pixels/cm)",
    }
    return said | ({"TIFFTAG_COPYRIGHT": plan.rights} if plan.rights else {})


def _srgb() -> bytes:
    from PIL import ImageCms

    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def _check_whole(temporary: Path, path: Path) -> None:
    """Refuse a file whose blocks are not all there: GDAL only notes what it could not write when it closed."""
    import tifffile

    size = temporary.stat().st_size
    try:
        with tifffile.TiffFile(temporary) as tif:
            pages: list[Any] = list(tif.pages)
            whole = all(
                count > 0 and offset + count <= size
                for page in pages
                for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True)
            )
    except (tifffile.TiffFileError, ValueError, IndexError):
        whole = False
    if not whole:
        raise WriteError(f"{path} could not be written whole, perhaps because the disk is full; free some space.")


class _Warp:
    """Blocks of a rectified picture."""

    def __init__(self, image: MosaicImage, plan: Rectification) -> None:
        self._image = image
        homography = np.asarray(plan.homography, float)
        finest, coarsest = _steps_of(homography, plan.shape, image.shape)
        most = len(image.level_shapes) - 1
        kept, needed = max(finest / 2, 1.0), max(coarsest / MOST_SAMPLES, 1.0)
        self._level = min(max(math.floor(math.log2(kept)), math.ceil(math.log2(needed))), most)
        self._shape = image.level_shapes[self._level]
        factors = self._shape[1] / image.shape[1], self._shape[0] / image.shape[0]
        self._homography = np.diag([*factors, 1.0]) @ homography
        self._grid = max(1, min(MOST_SAMPLES, math.ceil(coarsest * max(factors) - 0.01)))

    def read(self, box: Box) -> NDArray[np.uint8]:
        """Colours and 255 where the photograph is seen, `(h, w, 4)`."""
        out = np.zeros((*box.shape, 4), np.uint8)
        window = self._window(box)
        if window is None:
            return out
        source = self._image.read(window, self._level)
        valid = self._image.read_valid(window, self._level).view(np.uint8)
        shift = np.array([[1, 0, -window.x0], [0, 1, -window.y0], [0, 0, 1]], float)
        limits = np.array([0, 0, *self._shape[::-1]], float) - [window.x0, window.y0, window.x0, window.y0]
        corner = np.array([box.x0, box.y0], float)
        warp_block(source, valid, shift @ self._homography, corner, self._grid, limits, out)
        return out

    def _window(self, box: Box) -> Box | None:
        """What is needed of the photograph's level for a block; None where the photograph does not show it."""
        corners = np.array([(box.x0, box.y0), (box.x1, box.y0), (box.x1, box.y1), (box.x0, box.y1)], float)
        line = self._homography[2] - np.array([0, 0, 1e-6])
        seen = cut_half(corners, line)
        if not len(seen):
            return None
        mapped = project(self._homography, seen).clip(-1e9, 1e9)
        (x0, y0), (x1, y1) = np.floor(mapped.min(axis=0)).astype(int) - 2, np.ceil(mapped.max(axis=0)).astype(int) + 2
        found = Box(int(y0), int(x0), int(y1), int(x1)).clip(self._shape)
        return found if found.area else None


def _steps_of(homography: Array, shape: tuple[int, int], source: tuple[int, int]) -> tuple[float, float]:
    """The smallest and the largest step in the photograph, px, that a step of a pixel makes, where it is seen."""
    height, width = shape
    grid = np.stack(np.meshgrid(np.linspace(0, width, 33), np.linspace(0, height, 33)), axis=-1).reshape(-1, 2)
    grid = grid[grid @ homography[2, :2] + homography[2, 2] > 1e-6]
    there = project(homography, grid)
    seen = ((there >= 0) & (there <= source[::-1])).all(axis=1)
    steps = [np.linalg.svd(jacobian(homography, place), compute_uv=False) for place in grid[seen]]
    return (float(np.min(steps)), float(np.max(steps))) if steps else (1.0, 1.0)
