"""What one edit changed: pixels, rows of the table and areas, before and after.

One decision: a patch holds every pixel of every tessera that it touched, not only those that changed, so that
it can be laid over any labels again, in either direction, and a replay knows the whole shapes.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from napari_mosaic.record.tables import Columns, drop_rows, empty_columns, join_rows, rows_in
from napari_mosaic.tiling import Box

NOWHERE = Box(0, 0, 0, 0)


@dataclass(frozen=True, kw_only=True)
class Patch:
    """The touched pixels and rows of one edit.

    `mask` is `(h, w)` over `box`; `before` and `after` hold the ids of its pixels in reading order; the rows are
    those of the touched tesserae. `areas` holds the whole GeoJSON before and after, or None.
    """

    box: Box = NOWHERE
    mask: NDArray[np.bool_] = field(default_factory=lambda: np.zeros((0, 0), bool))
    before: NDArray[Any] = field(default_factory=lambda: np.zeros(0, np.uint32))
    after: NDArray[Any] = field(default_factory=lambda: np.zeros(0, np.uint32))
    rows_before: Columns = field(default_factory=empty_columns)
    rows_after: Columns = field(default_factory=empty_columns)
    areas: tuple[str, str] | None = None

    def labels(self, *, after: bool) -> NDArray[Any]:
        """The touched tesserae as labels `(h, w)` over `box`, 0 elsewhere."""
        picture = np.zeros(self.box.shape, self.after.dtype)
        picture[self.mask] = self.after if after else self.before
        return picture

    def reversed(self) -> Patch:
        """The patch that takes this one back."""
        return Patch(
            box=self.box,
            mask=self.mask,
            before=self.after,
            after=self.before,
            rows_before=self.rows_after,
            rows_after=self.rows_before,
            areas=None if self.areas is None else (self.areas[1], self.areas[0]),
        )

    def over(self, labels: NDArray[Any], box: Box) -> NDArray[Any]:
        """`labels` over `box` with the pixels of this patch as they are after it; a new array."""
        part = self.box.intersect(box)
        laid = labels.copy()
        if part.area:
            here = self.mask[part.within(self.box)]
            laid[part.within(box)][here] = self.labels(after=True)[part.within(self.box)][here]
        return laid

    def over_rows(self, columns: Columns, box: Box) -> Columns:
        """The rows of the tesserae whose seeds lie in `box`, as they are after this patch; sorted by id."""
        touched = np.concatenate([self.rows_before["id"], self.rows_after["id"]])
        return join_rows(drop_rows(columns, touched), rows_in(self.rows_after, box))

    @property
    def seeds(self) -> list[tuple[int, int]]:
        """Seeds `(y, x)` of the rows before and after."""
        rows = (self.rows_before, self.rows_after)
        return [(int(y), int(x)) for row in rows for y, x in zip(row["y"], row["x"], strict=True)]


def encode_patch(patch: Patch) -> bytes:
    """A patch as compressed bytes: a line of JSON that names the arrays, then the arrays."""
    arrays = {"mask": np.packbits(patch.mask), "before": patch.before, "after": patch.after}
    for name, rows in (("rows_before", patch.rows_before), ("rows_after", patch.rows_after)):
        arrays |= {f"{name}.{column}": np.ascontiguousarray(values) for column, values in rows.items()}
    names = [[name, values.dtype.str, len(values)] for name, values in arrays.items()]
    head = json.dumps({"box": list(patch.box), "arrays": names, "areas": patch.areas}).encode()
    raw = head + b"\n" + b"".join(values.tobytes() for values in arrays.values())
    packed: bytes = pa.Codec("zstd").compress(raw, asbytes=True)
    return len(raw).to_bytes(8, "little") + packed


def decode_patch(data: bytes) -> Patch:
    """The patch that `encode_patch` wrote."""
    raw: bytes = pa.Codec("zstd").decompress(data[8:], int.from_bytes(data[:8], "little"), asbytes=True)
    end = raw.index(b"\n")
    head = json.loads(raw[:end])
    arrays, start = {}, end + 1
    for name, dtype, count in head["arrays"]:
        arrays[name] = np.frombuffer(raw, dtype, count, start)
        start += count * np.dtype(dtype).itemsize
    box = Box(*head["box"])
    mask = np.unpackbits(arrays["mask"], count=box.shape[0] * box.shape[1]).astype(bool).reshape(box.shape)
    return Patch(
        box=box,
        mask=mask,
        before=arrays["before"],
        after=arrays["after"],
        rows_before=_rows(arrays, "rows_before."),
        rows_after=_rows(arrays, "rows_after."),
        areas=None if head["areas"] is None else (head["areas"][0], head["areas"][1]),
    )


def _rows(arrays: dict[str, NDArray[Any]], prefix: str) -> Columns:
    return {name.removeprefix(prefix): values for name, values in arrays.items() if name.startswith(prefix)}
