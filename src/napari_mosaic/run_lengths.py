"""Masks as annotation programs write them: lengths of runs.

One decision: they are read in some lines of numpy, so that neither pycocotools nor Label Studio's converter is needed.

References
----------
COCO: columns one after the other, runs of background and mask in turn; as text five bits a character, from the fourth
run on as the difference to the last but one. Label Studio: `rle-pack` of RGBA bytes, of which the last is the mask.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]


def decode_coco(value: dict[str, Any]) -> Mask:
    """The mask `(Y, X)` of `{"size": [Y, X], "counts": list or text}`; `ValueError` where it does not fill it."""
    height, width = (int(side) for side in value["size"])
    counts = value["counts"]
    runs = _unpack(counts) if isinstance(counts, str) else [int(count) for count in counts]
    if sum(runs) != height * width or min(runs, default=0) < 0:
        raise ValueError(f"run lengths of {sum(runs)} px do not fill {width} x {height}")
    flat = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    return np.ascontiguousarray(flat.reshape(width, height).T)


def _unpack(text: str) -> list[int]:
    runs: list[int] = []
    value = place = 0
    for character in text:
        bits = ord(character) - 48
        value |= (bits & 31) << 5 * place
        place += 1
        if bits & 32:
            continue
        if bits & 16:
            value |= -1 << 5 * place
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value = place = 0
    return runs


def decode_label_studio(packed: list[int], shape: tuple[int, int]) -> Mask:
    """The mask of Label Studio's bytes for a picture of `shape`; `ValueError` where they are cut off or of another."""
    bits = _Bits(np.unpackbits(np.array(packed, np.uint8)))
    total, word = bits.read(32), bits.read(5) + 1
    sizes = [bits.read(4) + 1 for _ in range(4)]
    if total != 4 * shape[0] * shape[1]:
        raise ValueError(f"a brush of {total // 4} px for a picture of {shape[0] * shape[1]}")
    out = np.zeros(total, np.int64)
    place = 0
    while place < total:
        repeated = bits.read(1)
        count = bits.read(sizes[bits.read(2)]) + 1
        out[place : place + count] = bits.read(word) if repeated else bits.read_many(count, word)
        place += count
    return out.reshape(*shape, 4)[..., 3] > 127


class _Bits:
    """Numbers of any width, one after the other, from an array of bits."""

    def __init__(self, bits: NDArray[np.uint8]) -> None:
        self._bits, self._place = bits, 0

    def read(self, width: int) -> int:
        return int(self.read_many(1, width)[0])

    def read_many(self, count: int, width: int) -> NDArray[np.int64]:
        part = self._bits[self._place : self._place + count * width]
        if len(part) < count * width:
            raise ValueError("a brush that is cut off")
        self._place += count * width
        return part.reshape(count, width).astype(np.int64) @ (1 << np.arange(width - 1, -1, -1, dtype=np.int64))
