"""The ledger: which pieces of which phase are finished.

One decision: one append-only text file a phase, one line a piece, written after the piece itself.
A line cut off by a crash has no newline and counts as not written.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable
from pathlib import Path

from napari_mosaic.files import append_synced, make_folder, read_grown, rewrite_grown, writing
from napari_mosaic.objects import is_remote

Index = tuple[int, int]


class Ledger:
    """The finished pieces of a record, by phase."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._done: dict[str, set[Index]] = {}
        self._lock = threading.RLock()

    def done(self, phase: str) -> frozenset[Index]:
        """The finished pieces of `phase`."""
        with self._lock:
            return frozenset(self._load(phase))

    def add(self, phase: str, indices: Iterable[Index]) -> None:
        """Note pieces as finished; they are on disk when this returns."""
        with self._lock:
            known = self._load(phase)
            new = [index for index in indices if index not in known]
            if not new:
                return
            with writing(self._folder.parent):
                make_folder(self._folder)
                append_synced(self._path(phase), "".join(f"{i} {j}\n" for i, j in new).encode())
            known.update(new)

    def forget(self, phase: str, indices: Iterable[Index] | None = None) -> None:
        """Note pieces (all of them by default) as not finished."""
        with self._lock:
            known = self._load(phase)
            kept = set() if indices is None else known - set(indices)
            if kept == known:
                return
            with writing(self._folder.parent):
                make_folder(self._folder)
                rewrite_grown(self._path(phase), "".join(f"{i} {j}\n" for i, j in sorted(kept)).encode())
            self._done[phase] = kept

    def reload(self) -> None:
        """Read the files again: another process may have written."""
        with self._lock:
            self._done.clear()

    def _path(self, phase: str) -> Path:
        return self._folder / f"{phase}.txt"

    def _load(self, phase: str) -> set[Index]:
        if phase not in self._done:
            try:
                text = read_grown(self._path(phase)).decode("ascii", "replace")
            except FileNotFoundError:
                text = ""
            whole = text[: text.rfind("\n") + 1].splitlines()
            self._done[phase] = {index for line in whole if (index := _parse(line)) is not None}
            if len(text) > text.rfind("\n") + 1:
                self._cut_tail(phase, whole)
        return self._done[phase]

    def _cut_tail(self, phase: str, lines: list[str]) -> None:
        """Remove a line that a crash cut off, so that the next one does not join it."""
        if is_remote(self._folder) or not os.access(self._path(phase), os.W_OK):
            return
        with writing(self._folder.parent):
            rewrite_grown(self._path(phase), "".join(f"{line}\n" for line in lines).encode())


def _parse(line: str) -> Index | None:
    parts = line.split()
    if len(parts) != 2 or not all(part.isdecimal() for part in parts):
        return None
    return int(parts[0]), int(parts[1])
