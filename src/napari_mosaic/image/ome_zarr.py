"""OME-Zarr 0.4 and 0.5 (zarr 2 and 3), local or at an address, and bare zarr arrays.

One decision: addresses are read through the same fetcher as tiles, so they share its cache, its few
connections and its patience.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.abc.store import ByteRequest, OffsetByteRequest, RangeByteRequest, SuffixByteRequest
from zarr.core.buffer import Buffer, BufferPrototype, default_buffer_prototype
from zarr.storage import MemoryStore

from napari_mosaic.errors import InputError, MissingError, MosaicError, ReadError
from napari_mosaic.http import Fetcher, is_url
from napari_mosaic.image.arrays import array_raster, measure_colour, plain_colour, refuse_channels, to_mm
from napari_mosaic.image.pixel_size import size_of_sides
from napari_mosaic.image.raster import (
    Context,
    Georeference,
    Level,
    PixelSize,
    Raster,
    SourceInfo,
    fingerprint_level,
)
from napari_mosaic.progress import Steps
from napari_mosaic.tiling import Box

DAMAGE = (OSError, ValueError, RuntimeError, KeyError, TypeError, ArithmeticError)
"""What zarr and its codecs raise on damaged stores."""


class HttpStore(MemoryStore):
    """A read-only zarr store at an address; what is not there has no value, and there is no listing."""

    def __init__(self, url: str, fetcher: Fetcher) -> None:
        super().__init__(read_only=True)
        self._url = url.rstrip("/")
        self._fetcher = fetcher

    def __eq__(self, other: object) -> bool:
        """Two stores are equal where their addresses are."""
        return isinstance(other, HttpStore) and other._url == self._url

    __hash__ = None  # type: ignore[assignment]

    async def get(
        self, key: str, prototype: BufferPrototype | None = None, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """Value of a key, or None."""
        is_metadata = key.rsplit("/", 1)[-1] in ("zarr.json", ".zarray", ".zattrs", ".zgroup", ".zmetadata")
        try:
            data = await asyncio.to_thread(
                self._fetcher.get, f"{self._url}/{key}", byte_range=_range(byte_range), fresh=is_metadata
            )
        except MissingError:
            return None
        return (prototype or default_buffer_prototype()).buffer.from_bytes(data)

    async def exists(self, key: str) -> bool:
        """Whether a key has a value."""
        return await self.get(key) is not None


def _range(request: ByteRequest | None) -> str:
    if isinstance(request, RangeByteRequest):
        return f"{request.start}-{request.end - 1}"
    if isinstance(request, OffsetByteRequest):
        return f"{request.offset}-"
    if isinstance(request, SuffixByteRequest):
        return f"-{request.suffix}"
    return ""


@dataclass(frozen=True)
class _Plane:
    """Which of an array's axes are channels, rows and columns, and the units of rows and columns."""

    axes: tuple[str, ...]
    units: tuple[str | None, str | None]

    @property
    def channels(self) -> int | None:
        return self.axes.index("c") if "c" in self.axes else None

    def shape(self, array: Any) -> tuple[int, int]:
        return int(array.shape[self.axes.index("y")]), int(array.shape[self.axes.index("x")])

    def read(self, array: Any, box: Box, location: str) -> NDArray[Any]:
        """Samples `(h, w, channels)`."""
        rows, columns = box.slices
        index = {"y": rows, "x": columns, "c": slice(None)}
        try:
            part = np.asarray(array[tuple(index.get(axis, 0) for axis in self.axes)])
        except (ReadError, MissingError):
            raise
        except DAMAGE as error:
            raise ReadError(
                f"{location} cannot be decoded around row {box.y0} and column {box.x0} ({error}); "
                "it is damaged or incomplete: copy it again."
            ) from error
        kept = [axis for axis in self.axes if axis in index]
        if "c" not in kept:
            kept, part = [*kept, "c"], part[..., None]
        return part.transpose([kept.index(axis) for axis in "yxc"])


def open_zarr(source: str | Path, context: Context) -> Steps[Raster]:
    """Open an OME-Zarr or a zarr array, local or at an address."""
    yield from ()
    location = str(source).rstrip("/")
    fetcher = context.fetcher() if is_url(location) else None
    try:
        node = _open_node(location, fetcher)
        raster = _bare(node, location) if isinstance(node, zarr.Array) else _multiscale(node, location)
    except (OSError, ValueError):
        if fetcher is not None:
            fetcher.close()
        raise
    from dataclasses import replace

    return raster if fetcher is None else replace(raster, close=fetcher.close)


def _open_node(location: str, fetcher: Fetcher | None) -> Any:
    store: Any = location if fetcher is None else HttpStore(location, fetcher)
    try:
        return zarr.open(store, mode="r")
    except (ReadError, MissingError):
        raise
    except FileNotFoundError as error:
        raise MissingError(
            f"{location} holds no zarr (no zarr.json, .zgroup or .zarray), so there is nothing to open; "
            "check the address."
        ) from error
    except DAMAGE as error:
        raise ReadError(f"{location} is no zarr that can be read ({error}); export it again.") from error


def _bare(array: Any, location: str) -> Raster:
    name = _name(location)
    raster = array_raster([array], name)
    return _with_source(raster, location, "zarr", np.dtype(array.dtype))


def _with_source(raster: Raster, location: str, kind: str, dtype: np.dtype[Any]) -> Raster:
    from dataclasses import replace

    shape = raster.levels[0].shape
    source = SourceInfo(
        kind=kind,
        location=location,
        size_bytes=shape[0] * shape[1] * dtype.itemsize,
        fingerprint=fingerprint_level(raster.levels[0], dtype),
    )
    return replace(raster, source=source)


def _name(location: str) -> str:
    name = location.replace("\\", "/").rstrip("/").rsplit("/", 1)[-1]
    for ending in (".zarr", ".ome"):
        name = name.removesuffix(ending)
    return name


def _multiscale(group: Any, location: str) -> Raster:
    attributes = dict(group.attrs)
    ome = attributes.get("ome", attributes)
    try:
        if not ome.get("multiscales") and "bioformats2raw.layout" in ome:
            return _multiscale(group["0"], location)
        multiscale = ome["multiscales"][0]
        found = [(group[str(dataset["path"])], dataset) for dataset in multiscale["datasets"]]
        found.sort(key=lambda pair: -pair[0].size)  # the largest first, as programs do not always write them
        arrays, largest = [array for array, _ in found], found[0][1]
        plane = _plane(multiscale, arrays[0], location)
        size = _pixel_size((largest, multiscale), plane)
    except MosaicError:
        raise
    except (IndexError, AttributeError, *DAMAGE) as error:
        raise InputError(
            f"{location} is a zarr group without a multiscale image ({type(error).__name__}: {_one_line(error)}); "
            "give the path of an OME-Zarr image or of a single array in it."
        ) from error
    levels = tuple(_level(plane, array, location) for array in arrays)
    count = 1 if plane.channels is None else int(arrays[0].shape[plane.channels])
    if count not in (1, 3, 4):
        refuse_channels(count, location)
    dtype = np.dtype(arrays[0].dtype)
    raster = Raster(
        name=_name(location),
        levels=levels,
        colour=measure_colour(levels, dtype, plain_colour(count)),
        source=SourceInfo(kind="", location="", size_bytes=0, fingerprint=""),
        georeference=Georeference(pixel_size=size),
    )
    return _with_source(raster, location, "OME-Zarr", dtype)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


def _level(plane: _Plane, array: Any, location: str) -> Level:
    return Level(plane.shape(array), lambda box: plane.read(array, box, location))


def _plane(multiscale: dict[str, Any], array: Any, location: str) -> _Plane:
    declared = multiscale.get("axes") or [{"name": name} for name in "tczyx"[-array.ndim :]]
    axes = [axis if isinstance(axis, dict) else {"name": axis} for axis in declared]
    names = tuple(str(axis.get("name")).lower() for axis in axes)
    if len(names) != array.ndim or len(set(names)) != len(names) or not {"y", "x"} <= set(names):
        raise InputError(
            f"{location} has the axes {', '.join(names)} for an array of {array.ndim} dimensions, so rows "
            "and columns cannot be told; export it with axes y and x."
        )
    if 0 in array.shape:
        raise InputError(f"{location} is an array of {array.shape}, which shows nothing; export it again.")
    deep = {name: array.shape[i] for i, name in enumerate(names) if name not in "cyx" and array.shape[i] > 1}
    if deep:
        raise InputError(
            f"{location} is a stack ({', '.join(f'{n} {name}' for name, n in deep.items())}), "
            "but a mosaic is one picture; export the plane that shows it."
        )
    return _Plane(names, (axes[names.index("y")].get("unit"), axes[names.index("x")].get("unit")))


def _pixel_size(owners: Sequence[dict[str, Any]], plane: _Plane) -> PixelSize | None:
    sides, found = {"y": 1.0, "x": 1.0}, False
    for owner in owners:
        for step in owner.get("coordinateTransformations") or []:
            if step.get("type") == "scale" and len(step.get("scale", ())) == len(plane.axes):
                sides = {axis: side * float(step["scale"][plane.axes.index(axis)]) for axis, side in sides.items()}
                found = True
    units = [to_mm(unit) for unit in plane.units]
    if not found or units[0] is None or units[1] is None:
        return None
    return size_of_sides(sides["y"] * units[0], sides["x"] * units[1], confirmed=False, origin="OME")
