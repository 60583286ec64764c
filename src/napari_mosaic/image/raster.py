"""What every opener hands over: raw levels, how to colour them, and where they lie on the ground.

One decision: an opener knows files and nothing of colour, pyramids or orientation; it returns plain
functions from a box to raw samples `(h, w, channels)`, and everything else is done once, for all.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_mosaic.errors import ReadError
from napari_mosaic.fingerprints import fingerprint_bytes
from napari_mosaic.image.colour import Colour
from napari_mosaic.perspective import Rectification
from napari_mosaic.progress import Progress, Steps
from napari_mosaic.tiling import Box

if TYPE_CHECKING:
    from napari_mosaic.http import Fetcher
    from napari_mosaic.logins import Login

RawReader = Callable[[Box], NDArray[Any]]
Affine = tuple[float, float, float, float, float, float]

BAND = 512
"""Rows that are decoded at a time, and side of a chunk of the temporary zarr. *Not varied.*"""

HASHED = 4 << 30
"""Bytes of an array in memory that are hashed: some seconds of one core."""

STRIP = 256
"""Rows that are looked at at once where all of an image is."""

MIN_SIDE = 16
"""Shorter sides cannot hold a tessera and its joints."""


@dataclass(frozen=True, kw_only=True)
class PixelSize:
    """Edge of a level-0 pixel on the floor.

    `confirmed` says that it may scale, measure and be handed on: see `pixel_size`, which decides it for all sources.
    `origin` is one of "OME", "GeoTIFF", "world file", "dpi tag", "layer", "drawn line", "drawn lines", "drawn
    rectangle", "rectified", "user", with a word after a comma where the pixels are not square or the directions differ.
    """

    mm: float
    confirmed: bool
    origin: str


@dataclass(frozen=True, kw_only=True)
class SourceInfo:
    """Where an image came from, and a cheap fingerprint that does not depend on file times.

    `earlier` is what the fingerprint of the same source was before it looked at more; empty where it looks at the same.
    It counts where the source lies where it was; `of_content` says that it is of enough to count anywhere.
    """

    kind: str
    location: str
    size_bytes: int
    fingerprint: str
    rights: str = ""
    earlier: str = ""
    of_content: bool = False


@dataclass(frozen=True, kw_only=True)
class Georeference:
    """CRS, affine (order a, b, c, d, e, f) and pixel size of the stored, unturned image."""

    crs: str | None = None
    affine: Affine | None = None
    pixel_size: PixelSize | None = None


@dataclass(frozen=True)
class Level:
    """One resolution: its height and width, and a reader of raw `(h, w, channels)` samples."""

    shape: tuple[int, int]
    read: RawReader


@dataclass(frozen=True, kw_only=True)
class Raster:
    """An opened source before colour, orientation and missing levels are dealt with."""

    name: str
    levels: tuple[Level, ...]
    colour: Colour
    source: SourceInfo
    georeference: Georeference = field(default_factory=Georeference)
    rectification: Rectification | None = None
    orientation: int = 1
    by_rows: bool = False
    """Whether rows are decoded in their whole width, as the strips of a TIFF are."""


class Scratch:
    """A temporary folder, made when first asked for and removed at the end."""

    def __init__(self, parent: Path | None) -> None:
        self._parent = parent
        self._path: Path | None = None
        self._lock = threading.Lock()

    def path(self) -> Path:
        """The folder."""
        with self._lock:
            if self._path is None:
                if self._parent is not None:
                    self._parent.mkdir(parents=True, exist_ok=True)
                self._path = Path(tempfile.mkdtemp(prefix="napari-mosaic-", dir=self._parent))
            return self._path

    def close(self) -> None:
        """Remove the folder and what it holds."""
        with self._lock:
            if self._path is not None:
                shutil.rmtree(self._path, ignore_errors=True)
                self._path = None


@dataclass(frozen=True)
class Context:
    """What an opener may use: the persistent cache, a scratch folder, the opener of any other source, and a login.

    What must be closed when nothing of the image is read any more goes to `own`, which whoever asked for it closes.
    """

    cache_dir: Path | None
    scratch: Scratch
    own: ExitStack
    open_source: Opener
    login: Login | None = None

    @cached_property
    def fetcher(self) -> Fetcher:
        """Who fetches what lies at addresses."""
        from napari_mosaic.http import Fetcher

        fetcher = Fetcher(self.cache_dir, login=self.login)
        self.own.callback(fetcher.close)
        return fetcher


Opener = Callable[[Any, Context], Steps[Raster]]


CACHE = 96 << 20
"""Bytes of decoded blocks that are kept: three rows of the windows of a band (`engine.mapping`). Not varied."""


class BlockCache:
    """Decoded blocks by key, the least recently used dropped first; safe to share between threads.

    A block that two ask for at once is decoded once, and both get it.
    """

    def __init__(self, limit: int = CACHE) -> None:
        self._limit = limit
        self._loading: dict[Any, threading.Lock] = {}
        self._blocks: dict[Any, NDArray[Any]] = {}
        self._size = 0
        self._lock = threading.Lock()

    def get(self, key: Any, load: Callable[[], NDArray[Any]]) -> NDArray[Any]:
        """The block of `key`, from memory or from `load`."""
        block = self._known(key)
        if block is not None:
            return block
        with self._lock:
            gate = self._loading.setdefault(key, threading.Lock())
        with gate:
            block = self._known(key)
            return self._keep(key, load) if block is None else block

    def _known(self, key: Any) -> NDArray[Any] | None:
        with self._lock:
            block = self._blocks.pop(key, None)
            if block is not None:
                self._blocks[key] = block
            return block

    def _keep(self, key: Any, load: Callable[[], NDArray[Any]]) -> NDArray[Any]:
        try:
            block = load()
            with self._lock:
                self._blocks[key] = block
                self._size += block.nbytes
                while self._size > self._limit and len(self._blocks) > 1:
                    self._size -= self._blocks.pop(next(iter(self._blocks))).nbytes
            return block
        finally:
            with self._lock:
                self._loading.pop(key, None)


def read_blocks(
    box: Box, core: tuple[int, int], shape: tuple[int, int], load: Callable[[int, int], NDArray[Any]]
) -> NDArray[Any]:
    """Assemble `box` from the blocks of a regular grid.

    Parameters
    ----------
    box
        Rectangle within `shape`.
    core
        Height and width of a block.
    shape
        Height and width of the image.
    load
        Gives the block at (row, column), `(h, w, channels)`, at least as large as its part of the image.
    """
    out: NDArray[Any] | None = None
    for row in range(box.y0 // core[0], -(-box.y1 // core[0])):
        for column in range(box.x0 // core[1], -(-box.x1 // core[1])):
            place = Box(row * core[0], column * core[1], (row + 1) * core[0], (column + 1) * core[1])
            part = place.clip(shape).intersect(box)
            block = load(row, column)
            if out is None:
                out = np.empty((*box.shape, block.shape[2]), dtype=block.dtype)
            out[part.within(box)] = block[part.within(place)]
    assert out is not None
    return out


def decode_once(level: Level, context: Context) -> Steps[Level]:
    """Read a level from top to bottom into a temporary zarr and return a level over it."""
    import zarr

    height, width = level.shape
    array: Any = None
    for y0 in range(0, height, BAND):
        y1 = min(height, y0 + BAND)
        rows = level.read(Box(y0, 0, y1, width))
        if array is None:
            array = zarr.create_array(
                context.scratch.path() / "decoded.zarr",
                shape=(height, width, rows.shape[2]),
                chunks=(BAND, BAND, rows.shape[2]),
                dtype=rows.dtype,
                compressors=zarr.codecs.ZstdCodec(level=1),
                overwrite=True,
            )
        array[y0:y1] = rows
        yield Progress(phase="decode", done=y1 * width / 1e6, total=height * width / 1e6)
    return Level((height, width), lambda box: np.asarray(array[box.slices]))


def decode_whole(level: Level) -> Level:
    """A level over all samples of another, in memory."""
    return whole_level(level.read(Box(0, 0, *level.shape)))


def whole_level(data: NDArray[Any]) -> Level:
    """A level over an array `(h, w)` or `(h, w, channels)` in memory."""
    pixels = data[..., None] if data.ndim == 2 else data
    return Level(pixels.shape[:2], lambda box: pixels[box.slices])


def unreadable(path: Path | str, error: BaseException | str) -> ReadError:
    """The sentence for a file whose content is damaged."""
    cause = error
    while isinstance(cause, BaseException) and cause.__cause__ is not None:
        cause = cause.__cause__
    reason = str(cause).strip().splitlines()[0] if str(cause).strip() else type(error).__name__
    return ReadError(
        f"{path} cannot be decoded ({reason.rstrip('.')}), so it is damaged or incomplete; copy or export it again."
    )


def fingerprint_level(level: Level, dtype: np.dtype[Any], window: int = 64) -> str:
    """Hash of the shape, the type and nine small windows of an array."""
    parts: list[bytes | str] = [f"{level.shape} {dtype}"]
    boxes = sample_boxes(level.shape, window, 3)
    parts.extend(np.ascontiguousarray(level.read(box)).tobytes() for box in boxes)
    return fingerprint_bytes(*parts)


def fingerprint_memory(level: Level, dtype: np.dtype[Any]) -> str:
    """Hash of the shape, the type and all samples of an array in memory; beyond `HASHED` bytes, of every n-th row."""
    digest = hashlib.sha256(f"{level.shape} {dtype}".encode())
    height, width = level.shape
    step = 1
    for top in range(0, height, STRIP):
        strip = level.read(Box(top, 0, min(height, top + STRIP), width))
        if top == 0:
            step = -(-strip.nbytes // strip.shape[0] * height // HASHED)
        digest.update(np.ascontiguousarray(strip[::step]).data)
    return digest.hexdigest()[:32]


def sample_boxes(shape: tuple[int, int], window: int, count: int) -> list[Box]:
    """A grid of `count` x `count` windows, spread from corner to corner and clipped to the image."""

    def starts(length: int) -> list[int]:
        room = max(0, length - window)
        return sorted({round(room * i / max(1, count - 1)) for i in range(count)})

    return [Box(y, x, y + window, x + window).clip(shape) for y in starts(shape[0]) for x in starts(shape[1])]
