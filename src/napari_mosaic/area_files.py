"""Areas that were drawn elsewhere: GeoJSON, GeoPackage, mask images, arrays, shapely polygons.

One decision: whatever the file says of its coordinates is believed; where it says nothing they are
source pixels, unless they miss the image altogether and meet it as map coordinates. A GIS shows a picture
without a place below the axis, row r at y = -r: there pixels of negative y are taken so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.affinity import affine_transform
from shapely.geometry.base import BaseGeometry

from napari_mosaic.areas import (
    AreaSet,
    check_polygonal,
    features_of,
    merged,
    properties_of,
    read_json,
    read_shape,
)
from napari_mosaic.dependencies import needed_for
from napari_mosaic.errors import InputError, ReadError
from napari_mosaic.file_types import PICTURES
from napari_mosaic.mask_files import existing_file, read_mask

AreaSource: TypeAlias = str | Path | BaseGeometry | NDArray[Any]

_Rows: TypeAlias = list[tuple[BaseGeometry, Mapping[str, Any]]]
_GEOJSON = {".geojson", ".json"}
_VECTOR = {".gpkg", ".shp", ".fgb", ".kml", ".gml"}
_MASK = {*PICTURES, ".npy"}
AREA_SUFFIXES = tuple(sorted(_GEOJSON | _VECTOR | _MASK))
"""Endings of the files that areas can be read from."""
_AREAS = "areas"
"""The layer of areas in a GeoPackage of ours."""
_GEOGRAPHIC = "OGC:CRS84"


@dataclass(frozen=True, kw_only=True)
class Grid:
    """The source that areas are placed on: its shape in pixels and, where it has them, CRS and affine.

    `affine` is `(a, b, c, d, e, f)` from pixel `(x, y)` to the CRS.
    """

    shape: tuple[int, int]
    crs: str | None = None
    affine: tuple[float, ...] | None = None


def read_geometry(source: AreaSource, grid: Grid, *, what: str = "area") -> BaseGeometry:
    """All polygons of a source of areas, together, in source pixels.

    Parameters
    ----------
    source
        Path of a GeoJSON or other vector file or of a mask image (white = inside), a mask `(Y, X)`, or
        polygons in source pixels. A mask may be smaller than the image, in the same proportions.
    grid
        The image that the areas belong to.
    what
        What to call it in messages.

    Raises
    ------
    MissingError, ReadError, InputError
        Nothing there; not readable; no polygon, or none that meets the image.

    """
    if isinstance(source, BaseGeometry):
        geometry = merged([source])
    elif isinstance(source, np.ndarray):
        geometry = polygons_of_mask(source, grid, what=f"The {what}")
    else:
        geometry = _read_file(Path(source), grid).of("region")
    check_polygonal(geometry, f"The {what}")
    if not geometry.intersects(_frame(grid)):
        raise InputError(
            f"The {what} does not meet the image ({grid.shape[1]} x {grid.shape[0]} px), so nothing would be "
            "left; check that it was drawn on this image and in its coordinates."
        )
    return geometry


def read_area_file(path: str | Path, grid: Grid, *, default: str = "region") -> AreaSet:
    """All areas of a vector file, with their kinds, brought to source pixels; of a file with stones, too, the areas."""
    rows, crs = _read_rows(existing_file(path), layer=_AREAS)
    return _to_pixels(AreaSet.from_rows(rows, default=default), crs, grid, Path(path))


def polygons_of_mask(mask: NDArray[Any], grid: Grid, *, what: str = "The mask") -> BaseGeometry:
    """Outlines of a mask `(Y, X)`, exactly along its pixels, in source pixels."""
    _check_proportions(mask, grid, what)
    geometry = merged(outlines(np.asarray(mask, bool)))
    check_polygonal(geometry, what)
    fx, fy = grid.shape[1] / mask.shape[1], grid.shape[0] / mask.shape[0]
    return geometry if fx == fy == 1 else affine_transform(geometry, (fx, 0, 0, fy, 0, 0))


def outlines(mask: NDArray[np.bool_]) -> Iterator[BaseGeometry]:
    """Polygons along the pixels of each connected piece of a mask, `(x, y)` in its own pixels."""
    from rasterio.features import shapes

    for geometry, _ in shapes(mask.astype(np.uint8), mask=mask, connectivity=4):
        yield shapely.geometry.shape(geometry)


def _read_file(path: Path, grid: Grid) -> AreaSet:
    """Any file as areas of one kind."""
    path = existing_file(path)
    suffix = path.suffix.lower()
    if suffix in _MASK:
        geometry = polygons_of_mask(read_mask(path), grid, what=f"The mask {path.name}")
        return AreaSet().add("region", geometry)
    if suffix in _GEOJSON | _VECTOR:
        rows, crs = _read_rows(path)
        # Whatever the file calls them, here they mark one area; points and lines mark none.
        polygons = [row for row, _ in rows if row.geom_type in {"Polygon", "MultiPolygon"}]
        if polygons:
            return _to_pixels(AreaSet().add("region", merged(polygons)), crs, grid, path)
        raise InputError(f"{path} holds no polygon, so it marks no area; draw at least one and save it again.")
    known = ", ".join(AREA_SUFFIXES)
    raise InputError(f"{path} is not of a kind that areas can be read from; give one of {known}.")


def _read_rows(path: Path, *, layer: str = "") -> tuple[_Rows, str | None]:
    """Geometries and properties of a vector file, of that layer or else its first, and its CRS where it names one."""
    if path.suffix.lower() not in _GEOJSON:
        return _read_vector(path, layer)
    values = read_json(path)
    if not isinstance(values, dict):
        raise InputError(f"{path} is no GeoJSON object, so it holds no areas; export it again as GeoJSON.")
    rows = [(read_shape(feature), properties_of(feature)) for feature in features_of(values)]
    return rows, _crs_of_geojson(values)


def _read_vector(path: Path, layer: str) -> tuple[_Rows, str | None]:
    with needed_for(path.name, instead="or save as GeoJSON"):
        import pyogrio
    try:
        with leaving_nothing():
            layers = [str(name) for name in pyogrio.list_layers(path)[:, 0]]
            if not layers:
                raise ReadError(f"{path} holds no layer, so it marks no area; export it again.")
            info, _, wkb, columns = pyogrio.raw.read(path, layer=layer if layer in layers else layers[0])
    except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError) as error:
        raise ReadError(f"{path} cannot be read ({error}); export it again.") from error
    names = [str(name) for name in info["fields"]]
    records = zip(*columns, strict=True) if names else iter([()] * len(wkb))
    rows: _Rows = [
        (geometry, dict(zip(names, record, strict=True)))
        for geometry, record in zip(shapely.from_wkb(wkb), records, strict=True)
        if geometry is not None and not geometry.is_empty
    ]
    return rows, info["crs"]


@contextmanager
def leaving_nothing() -> Iterator[None]:
    """Read vector files without an `.aux.xml` that GDAL would write beside a GeoPackage of somebody else."""
    import pyogrio

    before = pyogrio.get_gdal_config_option("GDAL_PAM_ENABLED")
    pyogrio.set_gdal_config_options({"GDAL_PAM_ENABLED": False})
    try:
        yield
    finally:
        pyogrio.set_gdal_config_options({"GDAL_PAM_ENABLED": before})


def _crs_of_geojson(values: Mapping[str, Any]) -> str | None:
    """The old `crs` member, which GIS programs still write; without it nothing is said."""
    crs = values.get("crs")
    properties = crs.get("properties") if isinstance(crs, Mapping) else None
    name = properties.get("name") if isinstance(properties, Mapping) else None
    return str(name) if name else None


def _to_pixels(areas: AreaSet, crs: str | None, grid: Grid, path: Path) -> AreaSet:
    shapes = np.array([area.geometry for area in areas], object)
    placed = shapes_to_pixels(shapes, crs, grid, f"The areas of {path.name}")
    return AreaSet(tuple(replace(area, geometry=shape) for area, shape in zip(areas, placed, strict=True)))


def shapes_to_pixels(shapes: NDArray[Any], crs: str | None, grid: Grid, what: str) -> NDArray[Any]:
    """Geometries `(n,)` of a file in source pixels: by the coordinate system that it names, else by where they fall.

    Raises
    ------
    InputError
        They lie outside of the image, as pixels and as map coordinates; or the system is not known.
    """
    if crs is not None and grid.crs is not None:
        return _transformed(shapes, crs, grid)
    if grid.affine is None:
        return to_upwards(shapes) if _lie_below(shapes) else shapes
    frame = _frame(grid)
    if _meets(shapes, frame) and _spans_pixels(shapes):
        return shapes
    candidates = [grid.crs]
    if grid.crs is not None and _meets(shapes, shapely.box(-180, -90, 180, 90)):
        candidates.append(_GEOGRAPHIC)
    for candidate in candidates:
        moved = _transformed(shapes, candidate, grid)
        if _meets(moved, frame):
            return moved
    raise InputError(
        f"{what} lie outside of the image, as pixels and as map coordinates; "
        "check that they belong to it and in which coordinate system they were saved."
    )


def to_upwards(shapes: NDArray[Any]) -> NDArray[Any]:
    """Geometries in source pixels with y upwards, row r at y = -r, as a GIS shows a picture without a place; and back.

    What a GIS has so is brought to source pixels by the same.
    """
    return np.asarray(shapely.transform(shapes, lambda points: points * (1.0, -1.0)))


def _lie_below(shapes: NDArray[Any]) -> bool:
    """Whether geometries lie below the axis, where pixels with y downwards are not."""
    _, y0, _, y1 = shapely.total_bounds(shapes)
    return bool(y0 + y1 < 0)


def _meets(shapes: NDArray[Any], frame: BaseGeometry) -> bool:
    return bool(shapely.intersects(shapes, frame).any())


def _spans_pixels(shapes: NDArray[Any]) -> bool:
    """Whether anything is as large as a pixel; degrees of longitude and latitude are not."""
    bounds = shapely.bounds(shapes[~shapely.is_empty(shapes)])
    return bool((np.ptp(bounds.reshape(-1, 2, 2), axis=1) >= 1).any())


def _transformed(shapes: NDArray[Any], crs: str | None, grid: Grid) -> NDArray[Any]:
    """Geometries in `crs` brought to the image's CRS and through its affine to pixels."""
    assert grid.affine is not None or grid.crs is not None
    a, b, c, d, e, f = grid.affine or (1, 0, 0, 0, 1, 0)
    inverse = np.linalg.inv(np.array([[a, b, c], [d, e, f], [0, 0, 1]], float))
    convert = _converter(crs, grid.crs)

    def place(points: NDArray[np.float64]) -> NDArray[np.float64]:
        x, y = convert(points).T
        # Written out: a matrix product may round equal points differently, which opens rings.
        return np.column_stack([row[0] * x + row[1] * y + row[2] for row in inverse[:2]])

    return np.asarray(shapely.transform(shapes, place))


def _converter(source: str | None, target: str | None) -> Any:
    if source is None or target is None or source == target:
        return lambda points: points
    with needed_for("Another coordinate system", instead="or save the areas in that of the image"):
        import pyproj
    try:
        first, second = (pyproj.CRS.from_user_input(crs) for crs in (source, target))
        # A local system has no way to any other, and each format writes it in words of its own: it is the image's.
        if first.is_engineering and second.is_engineering:
            return lambda points: points
        transformer = pyproj.Transformer.from_crs(first, second, always_xy=True)
    except pyproj.exceptions.ProjError as error:
        raise InputError(
            f"The coordinate system {source!r} is not known, or there is no way from it to the image's ({error}); save "
            "the areas in that of the image."
        ) from error
    return lambda points: np.column_stack(transformer.transform(points[:, 0], points[:, 1]))


def _frame(grid: Grid) -> BaseGeometry:
    return shapely.box(0, 0, grid.shape[1], grid.shape[0])


def _check_proportions(mask: NDArray[Any], grid: Grid, what: str) -> None:
    height, width = grid.shape
    if mask.ndim == 2 and mask.size:
        fy, fx = height / mask.shape[0], width / mask.shape[1]
        slack = max(fy, fx) * max(1 / mask.shape[0], 1 / mask.shape[1])
        if abs(fy - fx) <= slack:
            return
    given = " x ".join(str(n) for n in mask.shape[::-1])
    raise InputError(
        f"{what} measures {given} px and the image {width} x {height} px, so they do not lie on each other; "
        "give a mask of the image's size or of its proportions."
    )
