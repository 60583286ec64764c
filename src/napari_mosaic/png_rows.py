"""Grey values or colours as a PNG.

One decision: written row by row as they come, because every library for PNG wants the whole picture
in memory; the format is simple enough.

References
----------
W3C, Portable Network Graphics (PNG) Specification, third edition.

"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from napari_mosaic.picture_marks import SOFTWARE, png_text

_UP = 2
"""The filter that stores differences to the row above, which for labels are nearly all zero."""


class PngRows:
    """A PNG of 8 or 16 bits, grey or RGB, that is written from the top, some rows at a time; a context manager."""

    def __init__(self, path: Path, shape: tuple[int, int], *, depth: int, rgb: bool = False) -> None:
        self._type = {8: "u1", 16: ">u2"}[depth]
        self._above = np.zeros((1, depth // 8 * shape[1] * (3 if rgb else 1)), np.uint8)
        self._packer = zlib.compressobj(6)
        self._file = path.open("wb")
        self._file.write(b"\x89PNG\r\n\x1a\n")
        _chunk(self._file, b"IHDR", struct.pack(">IIBBBBB", shape[1], shape[0], depth, 2 if rgb else 0, 0, 0, 0))
        _chunk(self._file, b"tEXt", png_text("Software", SOFTWARE))

    def __enter__(self) -> PngRows:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            _chunk(self._file, b"IDAT", self._packer.flush())
            _chunk(self._file, b"IEND", b"")
        self._file.close()

    def write(self, values: NDArray[Any]) -> None:
        """Add rows `(h, width)` of whole numbers, or `(h, width, 3)` of colours."""
        raw = np.ascontiguousarray(values.reshape(len(values), -1).astype(self._type)).view(np.uint8)
        _chunk(self._file, b"IDAT", self._packer.compress(_filtered(raw, self._above)))
        self._above = raw[-1:]


def _filtered(raw: NDArray[np.uint8], above: NDArray[np.uint8]) -> bytes:
    """Rows as differences to the rows above, each led by the number of the filter."""
    rows = np.empty((raw.shape[0], raw.shape[1] + 1), np.uint8)
    rows[:, 0] = _UP
    rows[:, 1:] = raw - np.concatenate([above, raw[:-1]])
    return rows.tobytes()


def _chunk(file: BinaryIO, kind: bytes, data: bytes) -> None:
    if data or kind != b"IDAT":
        file.write(struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)))
