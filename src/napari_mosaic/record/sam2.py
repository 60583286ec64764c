"""What SAM 2 adds to a record beside its label layer: its plan, what it cost, the proposals of its windows.

One decision: a proposal file that is there and whole is done, and one that is not is made again; no ledger is
needed for what is thrown away at the end.
"""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from napari_mosaic.errors import RecordError
from napari_mosaic.files import make_folder, read_object, readable, remove_tree, write_arrays, write_json, writing
from napari_mosaic.record.label_layer import SAM2, SAM2_PLAN
from napari_mosaic.record.ledger import Index
from napari_mosaic.record.store import Record

PLAN, WORK = SAM2_PLAN, "sam2-work.json"
_DAMAGE = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile)
Arrays = dict[str, NDArray[Any]]


class Sam2Files:
    """SAM 2's part of a record; `layer` is its label layer.

    Parameters
    ----------
    record
        Open for writing where anything is to be written.
    """

    def __init__(self, record: Record) -> None:
        self.layer = record.label_layer(SAM2)
        self._path = record.path
        self._proposals = record.path / "work" / SAM2

    def table(self) -> pa.Table:
        """All rows of the masks, in order of shards."""
        return self.layer.table()

    def read_plan(self) -> dict[str, Any] | None:
        """The stored plan as JSON values; None before SAM 2 has run, `RecordError` where it is damaged."""
        path = self._path / PLAN
        try:
            values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise RecordError(f"{path} cannot be read ({error}); delete it and run SAM 2 again.") from error
        return values

    def write_plan(self, values: dict[str, Any]) -> None:
        """Store the plan, whole or not at all."""
        self._write_json(PLAN, values)

    def _write_json(self, name: str, values: dict[str, Any]) -> None:
        with writing(self._path):
            write_json(self._path / name, values, sync=True)

    def read_work(self) -> dict[str, Any] | None:
        """What SAM 2 cost so far: `windows` encoded, `prompts`, `seconds`, `peak_bytes` of memory (None if unknown).

        None before it has run.
        """
        return read_object(self._path / WORK) or None

    def add_work(self, *, windows: int, prompts: int, seconds: float, peak_bytes: int | None) -> None:
        """Add to what SAM 2 cost; of memory the peak counts."""
        before = self.read_work() or {"windows": 0, "prompts": 0, "seconds": 0.0, "peak_bytes": None}
        peaks = [peak for peak in (before["peak_bytes"], peak_bytes) if peak is not None]
        self._write_json(
            WORK,
            {
                "windows": before["windows"] + windows,
                "prompts": before["prompts"] + prompts,
                "seconds": round(before["seconds"] + seconds, 3),
                "peak_bytes": max(peaks) if peaks else None,
            },
        )

    def forget(self) -> None:
        """Begin again: no proposals, no labels, no rows, nothing finished."""
        self.forget_proposals()
        (self._path / WORK).unlink(missing_ok=True)
        self.layer.remove()

    def forget_proposals(self) -> None:
        """Remove what the windows proposed; it can be computed again."""
        remove_tree(self._proposals)

    def has_proposals(self, layer: int, index: Index) -> bool:
        """Whether the proposals of a window are on disk."""
        return self._file(layer, index).is_file()

    def read_proposals(self, layer: int, index: Index) -> Arrays | None:
        """The proposals of a window; None where they are missing or damaged."""
        try:
            with np.load(next(readable([self._file(layer, index)])), allow_pickle=False) as content:
                return {name: content[name] for name in content.files}
        except _DAMAGE:
            return None

    def write_proposals(self, layer: int, index: Index, arrays: Arrays) -> None:
        """Store the proposals of a window, whole or not at all."""
        path = self._file(layer, index)
        with writing(self._path):
            make_folder(path.parent)
            write_arrays(path, arrays, sync=False)

    def _file(self, layer: int, index: Index) -> Path:
        return self._proposals / f"{layer}_{index[0]:06d}_{index[1]:06d}.npz"
