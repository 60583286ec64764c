"""Deep Zoom (.dzi), on disk or at an address.

One decision: the description is read once, tiles when looked at; the levels are those of the format.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from numpy.typing import NDArray

from napari_mosaic.errors import MissingError, ReadError
from napari_mosaic.fingerprints import fingerprint_bytes
from napari_mosaic.http import Fetcher
from napari_mosaic.image.colour import Colour
from napari_mosaic.image.pyramid import COARSEST
from napari_mosaic.image.raster import BlockCache, Context, Level, Raster, SourceInfo
from napari_mosaic.image.tiles import fetch_tile, fit_tile, tiled_level, with_alpha, wrong_size
from napari_mosaic.progress import Steps
from napari_mosaic.tiling import Box


@dataclass(frozen=True, kw_only=True)
class Description:
    """What a .dzi file says."""

    height: int
    width: int
    tile: int
    overlap: int
    suffix: str

    @property
    def clear(self) -> bool:
        """Whether tiles may be clear where nothing is, as those of a photogrammetry are."""
        return self.suffix.lower() in ("png", "webp")


def open_deepzoom(source: str | Path, context: Context) -> Steps[Raster]:
    """Open a .dzi file or address."""
    yield from ()
    location = str(source)
    fetcher = context.fetcher
    text = fetcher.get(location, fresh=True, check=lambda data: parse_description(data, location))
    description = parse_description(text, location)
    plain = location.split("?")[0]
    stem = plain.rsplit(".", 1)[0]
    tag = fingerprint_bytes(text)
    asked = _levels(description, f"{stem}_files", tag, fetcher, fresh=True)
    mark = fingerprint_bytes(text, _middle_tile(asked[-1], description.tile))
    levels = _levels(description, f"{stem}_files", mark, fetcher)
    info = SourceInfo(kind="Deep Zoom", location=location, size_bytes=len(text), fingerprint=mark, earlier=tag)
    return Raster(
        name=stem.replace("\\", "/").rsplit("/", 1)[-1],
        levels=levels,
        colour=Colour(alpha=3 if description.clear else None),
        source=info,
    )


def _middle_tile(level: Level, tile: int) -> bytes:
    """The middle tile of the smallest level: a description alone is the same for all pictures of one size."""
    row, column = (side // 2 // tile * tile for side in level.shape)
    try:
        pixels = level.read(Box(row, column, row + tile, column + tile).clip(level.shape))
        return pixels[..., :3].tobytes()
    except (ReadError, MissingError):
        return b""  # whoever reads it will be told


def parse_description(text: bytes, location: str) -> Description:
    """Read the XML of a .dzi file, raising ReadError where it is none."""
    try:
        root = ElementTree.fromstring(text)
        size = next(node for node in root if node.tag.endswith("Size"))
        found = Description(
            height=int(size.attrib["Height"]),
            width=int(size.attrib["Width"]),
            tile=int(root.attrib["TileSize"]),
            overlap=int(root.attrib.get("Overlap", 0)),
            suffix=root.attrib["Format"],
        )
    except (ElementTree.ParseError, StopIteration, KeyError, ValueError) as error:
        raise ReadError(
            f"{location} is no Deep Zoom description ({type(error).__name__}: {error}), so its tiles cannot "
            "be found; give the address or path of the .dzi file."
        ) from error
    if min(found.height, found.width, found.tile) < 1 or found.overlap < 0:
        raise ReadError(f"{location} describes an empty picture; make the tiles again.")
    return found


def _levels(
    description: Description, folder: str, tag: str, fetcher: Fetcher, *, fresh: bool = False
) -> tuple[Level, ...]:
    """All levels; `fresh` asks for tiles that are kept, so that a picture that was exchanged is seen."""
    cache = BlockCache()
    top = (max(description.height, description.width) - 1).bit_length()
    levels: list[Level] = []
    for level in range(top, -1, -1):
        step = 1 << (top - level)
        shape = -(-description.height // step), -(-description.width // step)
        fetch = partial(fetch_tile, fetcher, tag=tag, fresh=fresh)
        load = _loader(description, f"{folder}/{level}", shape, fetch)
        levels.append(tiled_level(shape, (description.tile, description.tile), load, fetcher, cache))
        if max(shape) <= COARSEST:
            break
    return tuple(levels)


def _loader(description: Description, folder: str, shape: tuple[int, int], fetch: Callable[[str], NDArray[Any]]) -> Any:
    size, overlap = description.tile, description.overlap

    def span(index: int, length: int) -> tuple[int, int]:
        """Where the tile's own part begins in it, and how long it is with its overlaps."""
        before = overlap if index else 0
        end = min(length, (index + 1) * size + overlap)
        return before, end - (index * size - before)

    def load(row: int, column: int) -> NDArray[Any]:
        (top, height), (left, width) = span(row, shape[0]), span(column, shape[1])
        location = f"{folder}/{column}_{row}.{description.suffix}"
        try:
            raw = fetch(location)
        except MissingError as error:
            raise MissingError(
                f"{location} does not exist, so the image has a hole; copy the tiles again, or, where the program left "
                "empty ones out, export all of them (vips dzsave without --skip-blanks)."
            ) from error
        tile = fit_tile(raw, (height, width))
        if tile is None:
            raise wrong_size(location, raw.shape, (height, width))
        own = tile[top : top + size, left : left + size]
        return with_alpha(own) if description.clear else own[..., :3]

    return load
