"""The journal: every edit of a record, in the order in which they were made.

One decision: one file that is only ever appended to. Undo and redo are entries too, so nothing that was done is
lost, an id that was ever given stays known, and a line that a crash cut off is the only thing that can be broken.
"""

from __future__ import annotations

import json
import os
import struct
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from napari_mosaic.errors import RecordError, WriteError
from napari_mosaic.files import (
    append_synced,
    grown_size,
    make_folder,
    open_grown,
    read_grown_at,
    write_whole,
    writing,
)
from napari_mosaic.record.ledger import Index
from napari_mosaic.record.patches import Patch, decode_patch, encode_patch
from napari_mosaic.tiling import Box

FOLDER = "journal"
LOG, KEPT, SETTLED = "edits.log", "kept.log", "settled"
_FRAME = struct.Struct("<4sIQI")
_MAGIC = b"MOE1"
_NO_HEADER = (KeyError, IndexError, TypeError, AttributeError, UnicodeDecodeError, json.JSONDecodeError)
"""What comes of a header that is none."""

Header = dict[str, Any]
Hear = Callable[[Patch], None]


@dataclass(frozen=True, slots=True)
class Entry:
    """Where an entry lies in the file, what it touched, and, for undo and redo, which edit it is about."""

    kind: str
    of: int
    offset: int
    sizes: tuple[int, int]
    box: Box
    shards: tuple[Index, ...]
    ids: tuple[int, ...] = ()


class Journal:
    """The edits of one record, or of a file that was exported from one.

    Entries are numbered from 0. `done` and `undone` are the numbers of the edits that count and of those that
    can be redone, the next one last; `used` holds every id that an edit ever gave, `strayed` those whose seeds an
    edit moved to a shard where their names do not lie. `laid` counts the entries that the record holds as far as this
    process has seen to it: those beyond are in the file, and a disk kept them from level 0 or the tables.
    """

    def __init__(self, path: Path, *, writable: bool = False) -> None:
        self.path = path
        self.writable = writable
        self.lock = threading.RLock()
        self._hear: Hear | None = None
        self._begin()

    def _begin(self) -> None:
        self.done: list[int] = []
        self.undone: list[int] = []
        self.used: set[int] = set()
        self.strayed: set[int] = set()
        self._entries: list[Entry] = []
        self._end = 0
        self._load()
        self.in_pyramid = self._read_in_pyramid()
        self.laid = len(self)

    def follow(self) -> None:
        """Take in what another process has written since, or begin again where it has moved the file away."""
        size = grown_size(self.path)
        with self.lock:
            if size < self._end:
                self._begin()
            elif size > self._end:
                self._load()
                self.in_pyramid = self._read_in_pyramid()

    def __len__(self) -> int:
        return len(self._entries)

    def __getitem__(self, number: int) -> Entry:
        return self._entries[number]

    def header(self, number: int) -> Header:
        """What is said of an entry: tool, parameters, time, ids made, gone and kept."""
        return self._read(number)[0]

    def patch(self, number: int) -> Patch:
        """The pixels and rows of an edit."""
        return decode_patch(self._read(number)[1])

    def effect(self, number: int) -> Patch:
        """What an entry does to the record: an edit or a redo forwards, an undo backwards."""
        entry = self._entries[number]
        if entry.kind == "reserve":
            return Patch()
        patch = self.patch(entry.of)
        return patch.reversed() if entry.kind == "undo" else patch

    def touching(self, index: Index) -> list[int]:
        """The edits that count and touched a shard, in order."""
        return [number for number in self.done if index in self._entries[number].shards]

    def touched_since(self, count: int) -> set[int]:
        """The tesserae that edits which count touched, of those made after the first `count` entries."""
        return {id_ for number in self.done if number >= count for id_ in self._entries[number].ids}

    def pending(self) -> list[Box]:
        """The boxes of entries that are not yet in the smaller levels."""
        return [entry.box for entry in self._entries[self.in_pyramid :] if entry.box.area]

    def append(self, header: Header, patch: Patch | None = None) -> int:
        """Write an entry; it is on the disk when this returns. Returns its number."""
        payload = b"" if patch is None else encode_patch(patch)
        number = len(self._entries)
        head = json.dumps({"of": number, **header, "n": number}).encode()
        body = _FRAME.pack(_MAGIC, len(head), len(payload), zlib.crc32(payload, zlib.crc32(head))) + head + payload
        try:
            make_folder(self.path.parent)
            append_synced(self.path, body, end=self._end)
        except OSError as error:
            raise WriteError(
                f"The edit could not be written to {self.path} ({error.strerror or error}), so it was not made; "
                "free some space or give a record that you may write to."
            ) from error
        self._take(json.loads(head), self._end, (len(head), len(payload)))
        self._end += len(body)
        return number

    @contextmanager
    def listening(self, hear: Hear) -> Iterator[None]:
        """While it lasts, `hear` is told what each entry does, on the thread that made it.

        The entry is on the disk then, the shards do not hold it yet: what is shown need not wait for them.
        """
        self._hear = hear
        try:
            yield
        finally:
            self._hear = None

    def tell(self, patch: Patch) -> None:
        """Say what an entry does to the record, where somebody listens."""
        if self._hear is not None:
            self._hear(patch)

    def mark_pyramid(self, count: int) -> None:
        """Note that the first `count` entries are in the smaller levels too."""
        with self.lock:
            if count > self.in_pyramid:
                with writing(self.path.parent.parent):
                    write_whole(self.path.with_name(SETTLED), str(count), sync=False)
                self.in_pyramid = count

    def _read_in_pyramid(self) -> int:
        try:
            return min(int(self.path.with_name(SETTLED).read_text(encoding="utf-8")), len(self))
        except (FileNotFoundError, ValueError):
            return 0

    def _take(self, header: Header, offset: int, sizes: tuple[int, int]) -> None:
        kind, of = header["kind"], header["of"]
        box = Box(*header.get("box", (0, 0, 0, 0)))
        shards = tuple((i, j) for i, j in header.get("shards", ()))
        self.used.update(header.get("made", ()))
        self.strayed.update(header.get("strayed", ()))
        touched = [id_ for name in ("made", "gone", "kept") for id_ in header.get(name, ())] if kind == "edit" else ()
        self._entries.append(Entry(kind, of, offset, sizes, box, shards, tuple(touched)))
        if kind == "edit":
            self.done.append(of)
            self.undone.clear()
        elif kind == "undo":
            self.undone.append(self.done.pop())
        elif kind == "redo":
            self.done.append(self.undone.pop())

    def _load(self) -> None:
        try:
            with open_grown(self.path) as file:
                file.seek(self._end)
                for header, sizes in _frames(file, self.path):
                    self._take(header, self._end, sizes)
                    self._end += _FRAME.size + sum(sizes)
        except FileNotFoundError:
            return
        except _NO_HEADER as error:
            raise RecordError(
                f"{self.path} is damaged at byte {self._end} ({error}); restore the journal from a copy."
            ) from error

    def _read(self, number: int) -> tuple[Header, bytes]:
        entry = self._entries[number]
        content = read_grown_at(self.path, entry.offset, _FRAME.size + sum(entry.sizes))
        crc = _FRAME.unpack(content[: _FRAME.size].ljust(_FRAME.size))[3]
        head, payload = content[_FRAME.size :][: entry.sizes[0]], content[_FRAME.size + entry.sizes[0] :]
        if zlib.crc32(payload, zlib.crc32(head)) != crc:
            raise RecordError(f"Entry {number} of {self.path} is damaged; restore the journal from a copy.")
        return json.loads(head), payload


def _frames(file: BinaryIO, path: Path) -> Iterator[tuple[Header, tuple[int, int]]]:
    """Headers of the whole entries of a file; what a crash cut off at its end is left out."""
    start = file.tell()
    size = file.seek(0, os.SEEK_END)
    file.seek(start)
    while True:
        start = file.tell()
        fixed = file.read(_FRAME.size)
        if len(fixed) < _FRAME.size:
            return
        magic, head_size, payload_size, crc = _FRAME.unpack(fixed)
        end = start + _FRAME.size + head_size + payload_size
        if magic != _MAGIC and any(magic):
            raise RecordError(f"{path} is no journal of edits, or damaged at byte {start}; restore it from a copy.")
        if magic != _MAGIC or end > size:
            return
        head = file.read(head_size)
        if end == size and zlib.crc32(file.read(payload_size), zlib.crc32(head)) != crc:
            return
        yield json.loads(head), (head_size, payload_size)
        file.seek(end)
