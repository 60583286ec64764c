"""Pictures that lie on a server or disk as many small files: the part that all tile formats share.

One decision: tiles are fetched a few at a time, side by side, and a tile of a wrong size is an error, never
stretched to fit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mosaic.errors import ReadError
from napari_mosaic.http import Fetcher
from napari_mosaic.image.picture import decode_tile
from napari_mosaic.image.raster import BlockCache, Level, read_blocks
from napari_mosaic.tiling import Box

LoadTile = Callable[[int, int], NDArray[Any]]


def tiled_level(
    shape: tuple[int, int], core: tuple[int, int], load: LoadTile, fetcher: Fetcher, cache: BlockCache
) -> Level:
    """A level over a regular grid of tiles.

    Parameters
    ----------
    shape
        Height and width of the level.
    core
        Height and width of a tile.
    load
        Gives the tile at (row, column), `(h, w, 3)`, cut to the level.
    fetcher
        Whose threads load several tiles at once.
    cache
        Where decoded tiles are kept.
    """

    def kept(row: int, column: int) -> NDArray[Any]:
        return cache.get((shape, row, column), lambda: load(row, column))

    def read(box: Box) -> NDArray[Any]:
        rows = range(box.y0 // core[0], -(-box.y1 // core[0]))
        columns = range(box.x0 // core[1], -(-box.x1 // core[1]))
        wanted = [(row, column) for row in rows for column in columns]
        tiles = dict(zip(wanted, fetcher.pool.map(lambda place: kept(*place), wanted), strict=True))
        return read_blocks(box, core, shape, lambda row, column: tiles[row, column])

    return Level(shape, read)


def fetch_tile(fetcher: Fetcher, location: str, tag: str, *, fresh: bool = False) -> NDArray[Any]:
    """Fetch and decode one tile; what cannot be decoded is not kept in the cache. `fresh` as for `Fetcher.get`."""

    def decode(data: bytes) -> NDArray[np.uint8]:
        if data.lstrip()[:1] == b"<":
            raise ReadError(
                f"{location} answers with a web page and no picture, perhaps to log in or to accept conditions, and "
                "cannot be decoded; give the address of the picture as your browser has it, or download it there."
            )
        return decode_tile(data, location)

    return decode(fetcher.get(location, tag=tag, fresh=fresh, check=decode))


def with_alpha(tile: NDArray[Any]) -> NDArray[Any]:
    """A tile `(h, w, 4)`: opaque where it has no alpha channel."""
    return tile if tile.shape[2] == 4 else np.concatenate([tile, np.full_like(tile[..., :1], 255)], axis=-1)


def fit_tile(tile: NDArray[Any], size: tuple[int, int]) -> NDArray[Any] | None:
    """A tile of `(h, w)`, forgiving one pixel of rounding; None where it is another size."""
    height, width = tile.shape[:2]
    if abs(height - size[0]) > 1 or abs(width - size[1]) > 1:
        return None
    tile = tile[: size[0], : size[1]]
    short = size[0] - tile.shape[0], size[1] - tile.shape[1]
    return np.pad(tile, ((0, short[0]), (0, short[1]), (0, 0)), mode="edge") if any(short) else tile


def wrong_size(location: str, got: tuple[int, ...], wanted: tuple[int, int]) -> ReadError:
    """The sentence for a tile of another size than asked."""
    return ReadError(
        f"{location} is {got[1]} x {got[0]} px, but {wanted[1]} x {wanted[0]} px were asked for, and a "
        "stretched tile would falsify the mosaic; ask the server's owner, or download the whole picture."
    )
