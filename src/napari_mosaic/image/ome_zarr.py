"""OME-Zarr 0.4 and 0.5 (zarr 2 and 3), local or at an address, and bare zarr arrays.

One decision: addresses are read through the same fetcher as tiles, so they share its cache, its few
connections and its patience.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
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
from napari_mosaic.image.arrays import array_raster, to_mm
from napari_mosaic.image.pixel_size import size_of_sides
from napari_mosaic.image.raster import Context, Georeference, PixelSize, Raster
from napari_mosaic.objects import as_place, zarr_store
from napari_mosaic.progress import Steps

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
    """The one picture in an array of any axes, as an array `(Y, X)` or `(Y, X, channels)`."""

    array: Any
    axes: tuple[str, ...]
    location: str

    @property
    def dtype(self) -> Any:
        return self.array.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(int(self.array.shape[self.axes.index(axis)]) for axis in "yxc" if axis in self.axes)

    @property
    def chunks(self) -> tuple[int, ...]:
        return tuple(int(self.array.chunks[self.axes.index(axis)]) for axis in "yxc" if axis in self.axes)

    def __getitem__(self, box: tuple[slice, slice]) -> NDArray[Any]:
        """Samples `(h, w)` or `(h, w, channels)` of rows and columns."""
        rows, columns = box
        index = {"y": rows, "x": columns, "c": slice(None)}
        try:
            part = np.asarray(self.array[tuple(index.get(axis, 0) for axis in self.axes)])
        except (ReadError, MissingError):
            raise
        except DAMAGE as error:
            raise ReadError(
                f"{self.location} cannot be decoded around row {rows.start} and column {columns.start} ({error}); "
                "it is damaged or incomplete: copy it again."
            ) from error
        stored = [axis for axis in self.axes if axis in index]
        return part.transpose([stored.index(axis) for axis in "yxc" if axis in stored])


def open_zarr(source: str | Path, context: Context) -> Steps[Raster]:
    """Open an OME-Zarr or a zarr array, local or at an address."""
    yield from ()
    location = str(source).rstrip("/")
    node = _open_node(location, context)
    if isinstance(node, zarr.Array):
        kind, raster = "zarr", array_raster([node], _name(location))
    else:
        planes, size = _multiscale(node, location)
        place = Georeference(pixel_size=size)
        kind, raster = "OME-Zarr", array_raster(planes, _name(location), channels_last=True, georeference=place)
    height, width = raster.levels[0].shape
    bytes_each = np.dtype((node if kind == "zarr" else planes[0]).dtype).itemsize
    known = replace(raster.source, kind=kind, location=location, size_bytes=height * width * bytes_each)
    return replace(raster, source=known)


def _open_node(location: str, context: Context) -> Any:
    store: Any = HttpStore(location, context.fetcher) if is_url(location) else zarr_store(as_place(location))
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


def _name(location: str) -> str:
    name = location.replace("\\", "/").rstrip("/").rsplit("/", 1)[-1]
    for ending in (".zarr", ".ome"):
        name = name.removesuffix(ending)
    return name


def _multiscale(group: Any, location: str) -> tuple[list[_Plane], PixelSize | None]:
    """The levels of a multiscale image, the largest first, and the size of its pixels."""
    attributes = dict(group.attrs)
    ome = attributes.get("ome", attributes)
    try:
        if not ome.get("multiscales") and "bioformats2raw.layout" in ome:
            return _multiscale(group["0"], location)
        multiscale = ome["multiscales"][0]
        found = [(group[str(dataset["path"])], dataset) for dataset in multiscale["datasets"]]
        found.sort(key=lambda pair: -pair[0].size)  # the largest first, as programs do not always write them
        axes = _axes(multiscale, found[0][0], location)
        size = _pixel_size((found[0][1], multiscale), axes)
    except MosaicError:
        raise
    except (IndexError, AttributeError, *DAMAGE) as error:
        raise InputError(
            f"{location} is a zarr group without a multiscale image ({type(error).__name__}: {_one_line(error)}); "
            "give the path of an OME-Zarr image or of a single array in it."
        ) from error
    return [_Plane(array, tuple(axes), location) for array, _ in found], size


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


def _axes(multiscale: dict[str, Any], array: Any, location: str) -> dict[str, Any]:
    """The unit of each axis, by its name and in order; InputError where they are not those of a picture."""
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
    return {name: axis.get("unit") for name, axis in zip(names, axes, strict=True)}


def _pixel_size(owners: Sequence[dict[str, Any]], axes: dict[str, Any]) -> PixelSize | None:
    sides, found = {"y": 1.0, "x": 1.0}, False
    for owner in owners:
        for step in owner.get("coordinateTransformations") or []:
            if step.get("type") == "scale" and len(step.get("scale", ())) == len(axes):
                scale = dict(zip(axes, step["scale"], strict=True))
                sides = {axis: side * float(scale[axis]) for axis, side in sides.items()}
                found = True
    units = {axis: to_mm(axes[axis]) for axis in sides}
    if not found or units["y"] is None or units["x"] is None:
        return None
    return size_of_sides(sides["y"] * units["y"], sides["x"] * units["x"], confirmed=False, origin="OME")
