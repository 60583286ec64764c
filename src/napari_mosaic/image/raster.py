"""What every opener hands over: raw levels, how to colour them, and where they lie on the ground.

One decision: an opener knows files and nothing of colour, pyramids or orientation; it returns plain
functions from a box to raw samples `(h, w, channels)`, and everything else is done once, for all.
"""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import tempfile
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mosaic.image.colour import Colour
from napari_mosaic.progress import Steps
from napari_mosaic.tiling import Box

RawReader = Callable[[Box], NDArray[Any]]
Affine = tuple[float, float, float, float, float, float]

HASHED = 4 << 30
"""Bytes of an array in memory that are hashed: some seconds of one core."""

WHOLE = 512 << 20
"""Bytes of a file that are all hashed: half a second of one core, and a run reads them in any case."""

SAMPLES, SAMPLE = 256, 1 << 18
"""Of a larger file, or of many files together, so many evenly spread parts of so many bytes: 64 MB, and few enough
seeks for a hard disk. *Not varied.*"""

STRIP = 256
"""Rows that are looked at at once where all of an image is."""

MIN_SIDE = 16
"""Shorter sides cannot hold a tessera and its joints."""


@dataclass(frozen=True, kw_only=True)
class PixelSize:
    """Edge of a level-0 pixel on the floor.

    `confirmed` says that it may scale, measure and be handed on: see `pixel_size`, which decides it for all sources.
    `origin` is one of "OME", "GeoTIFF", "world file", "dpi tag", "layer", "drawn line", "user", with a word after a
    comma where the pixels are not square.
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
class FileMark:
    """Size of a file in bytes, its fingerprint, and what that was when it looked at head, middle and tail alone."""

    size: int
    fingerprint: str
    earlier: str

    def as_source(self) -> dict[str, Any]:
        """The fields of a `SourceInfo` that it gives."""
        return {
            "size_bytes": self.size, "fingerprint": self.fingerprint, "earlier": self.earlier, "of_content": True,
        }  # fmt: skip


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
    orientation: int = 1
    close: Callable[[], None] = lambda: None


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
    """What an opener may use: the persistent cache, a scratch folder, the opener of any other source, and a login."""

    cache_dir: Path | None
    scratch: Scratch
    open_source: Opener
    login: Login | None = None


Opener = Callable[[Any, Context], Steps[Raster]]


@dataclass(frozen=True)
class Login:
    """A name and a password for one server; never written or shown."""

    host: str
    name: str
    password: str = field(repr=False)


def read_head(path: Path, length: int = 512) -> bytes:
    """The first bytes of a file; none of a folder."""
    if not path.is_file():
        return b""
    with path.open("rb") as file:
        return file.read(length)


class BlockCache:
    """Decoded blocks by key, the least recently used dropped first; safe to share between threads."""

    def __init__(self, limit: int = 96 << 20) -> None:
        self._limit = limit
        self._blocks: dict[Any, NDArray[Any]] = {}
        self._size = 0
        self._lock = threading.Lock()

    def get(self, key: Any, load: Callable[[], NDArray[Any]]) -> NDArray[Any]:
        """The block of `key`, from memory or from `load`."""
        with self._lock:
            block = self._blocks.pop(key, None)
            if block is not None:
                self._blocks[key] = block
                return block
        block = load()
        with self._lock:
            if key not in self._blocks:
                self._blocks[key] = block
                self._size += block.nbytes
            while self._size > self._limit and len(self._blocks) > 1:
                self._size -= self._blocks.pop(next(iter(self._blocks))).nbytes
        return block

    def clear(self) -> None:
        """Forget all blocks."""
        with self._lock:
            self._blocks.clear()
            self._size = 0


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


def fingerprint_bytes(*parts: bytes | str) -> str:
    """Hash of the parts in order."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "little") + data)
    return digest.hexdigest()[:32]


def fingerprint_file(path: Path, *, whole: int = WHOLE, block: int = 1 << 16) -> FileMark:
    """What a file is known by: a hash of all of it; beyond `whole` bytes of its size and of parts all over it.

    A part that was painted over leaves the size of an uncompressed file as it was, and head, middle and tail too.
    """
    size = path.stat().st_size
    with path.open("rb") as file:

        def part(start: int, length: int) -> bytes:
            file.seek(start)
            return file.read(length)

        places = sorted({0, max(0, size // 2 - block // 2), max(0, size - block)})
        earlier = fingerprint_bytes(str(size), *(part(start, block) for start in places))
        file.seek(0)
        if size <= whole:
            return FileMark(
                size=size, fingerprint=hashlib.file_digest(file, "sha256").hexdigest()[:32], earlier=earlier
            )
        digest = hashlib.sha256(str(size).encode())
        for k in range(SAMPLES):
            digest.update(part((size - SAMPLE) * k // (SAMPLES - 1), SAMPLE))
    return FileMark(size=size, fingerprint=digest.hexdigest()[:32], earlier=earlier)


def fingerprint_files(paths: Sequence[Path]) -> list[FileMark]:
    """The marks of files that make one picture: all of them share what of one file is hashed whole."""
    return [fingerprint_file(path, whole=WHOLE // max(1, len(paths))) for path in paths]


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


def close_all(closers: Sequence[Callable[[], None]]) -> Callable[[], None]:
    """One function that calls all of `closers`, the last first, even where one fails."""
    stack = contextlib.ExitStack()
    for closer in closers:
        stack.callback(closer)
    return stack.close
