"""What one window proposes: a row for every prompt that became an object, and the masks.

One decision: a proposal is a fact about its window alone, written once; which proposals win is decided later
and elsewhere, by rules that need no window twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mosaic.sam.masks import Mask, Piece
from napari_mosaic.tiling import Box

FIELDS = {
    "id": np.uint64, "y": np.int32, "x": np.int32, "score": np.float32, "stability": np.float32, "layer": np.int16,
    "fallback": np.bool_, "area": np.int32, "flags": np.uint8,
}  # fmt: skip
"""Columns with one value an object: id, canonical pixel, score and stability of the mask, layer of windows,
whether the joints' tessera stands for it, pixels of the mask, flags of the tessera."""


@dataclass(frozen=True, kw_only=True)
class Proposals:
    """Objects of some windows.

    `columns` has the `FIELDS`; `boxes` `(N, 4)` is the box of each mask, `reaches` `(N, 4)` that of the mask and
    of the joints' tessera together; `bits` holds all masks packed, the mask of row i from byte `starts[i]`.
    """

    columns: dict[str, NDArray[Any]]
    boxes: NDArray[np.int64]
    reaches: NDArray[np.int64]
    bits: NDArray[np.uint8]
    starts: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.boxes)

    def mask(self, row: int) -> Mask:
        """The mask of a row, `(h, w)` over its box."""
        y0, x0, y1, x1 = (int(edge) for edge in self.boxes[row])
        count = (y1 - y0) * (x1 - x0)
        start = int(self.starts[row])
        bits = np.unpackbits(self.bits[start : start + (count + 7) // 8], count=count)
        return bits.reshape(y1 - y0, x1 - x0).astype(bool)

    def part(self, rows: NDArray[np.bool_]) -> Proposals:
        """Some of the rows; the bits of all stay."""
        return Proposals(
            columns={name: values[rows] for name, values in self.columns.items()},
            boxes=self.boxes[rows],
            reaches=self.reaches[rows],
            bits=self.bits,
            starts=self.starts[rows],
        )

    def arrays(self) -> dict[str, NDArray[Any]]:
        """All arrays by name, as they are stored."""
        return {
            **self.columns, "boxes": self.boxes, "reaches": self.reaches, "bits": self.bits, "starts": self.starts,
        }  # fmt: skip

    @classmethod
    def from_arrays(cls, arrays: dict[str, NDArray[Any]]) -> Proposals:
        """The inverse of `arrays`; `KeyError` where one is missing."""
        return cls(
            columns={name: arrays[name] for name in FIELDS},
            boxes=arrays["boxes"],
            reaches=arrays["reaches"],
            bits=arrays["bits"],
            starts=arrays["starts"],
        )


@dataclass(frozen=True, kw_only=True)
class Found:
    """One object on the way into `Proposals`; `reach` is its box together with that of the joints' tessera."""

    id: int
    y: int
    x: int
    piece: Piece
    score: float
    reach: Box
    layer: int = 0
    fallback: bool = False
    flags: int = 0


def pack(found: Sequence[Found]) -> Proposals:
    """Objects as columns and packed bits, in the order of their ids."""
    ordered = sorted(found, key=lambda one: one.id)
    packed = [np.packbits(one.piece.bits) for one in ordered]
    lengths = np.array([len(bits) for bits in packed], np.int64)
    rows = {
        "id": [one.id for one in ordered],
        "y": [one.y for one in ordered],
        "x": [one.x for one in ordered],
        "score": [one.score for one in ordered],
        "stability": [one.piece.stability for one in ordered],
        "layer": [one.layer for one in ordered],
        "fallback": [one.fallback for one in ordered],
        "area": [one.piece.area for one in ordered],
        "flags": [one.flags for one in ordered],
    }
    return Proposals(
        columns={name: np.array(rows[name], dtype) for name, dtype in FIELDS.items()},
        boxes=np.array([one.piece.box for one in ordered], np.int64).reshape(-1, 4),
        reaches=np.array([one.reach for one in ordered], np.int64).reshape(-1, 4),
        bits=np.concatenate([*packed, np.zeros(0, np.uint8)]),
        starts=np.concatenate([[0], np.cumsum(lengths)])[: len(ordered)].astype(np.int64),
    )


def join(parts: Sequence[Proposals]) -> Proposals:
    """The proposals of several windows as one, in the order given."""
    if not parts:
        return pack([])
    shifts = np.concatenate([[0], np.cumsum([len(part.bits) for part in parts])])
    return Proposals(
        columns={name: np.concatenate([part.columns[name] for part in parts]) for name in FIELDS},
        boxes=np.concatenate([part.boxes for part in parts]),
        reaches=np.concatenate([part.reaches for part in parts]),
        bits=np.concatenate([part.bits for part in parts]),
        starts=np.concatenate([part.starts + shift for part, shift in zip(parts, shifts, strict=False)]),
    )
