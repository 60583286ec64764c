"""Files that only ever grow, in a store that changes no object: one object for each piece that was added.

One decision: a piece is named after the byte that it begins at, in a folder beside the file, and is made only where
there is none. So a file goes as far as piece follows piece without a gap; of two who add at one place one is refused;
and the pieces may be joined at any time, for what the joined object holds already does not count twice.

    ledger/map.txt                          what was joined when the record was last closed
    ledger/map.txt.parts/0000000000000120   what was added since, from byte 120 on
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from napari_mosaic.objects import get_bytes, get_each, put, remove, sizes_in

PARTS, _FROM = ".parts", ".from"
"""Endings: of the folder of pieces; of a note which other name a file had."""
_ends: dict[str, int] = {}
"""Where files end, as this process read or wrote them last."""


def read(path: Path) -> bytes:
    """All of a file that grows.

    Raises
    ------
    FileNotFoundError
        There is none.
    """
    parts = sizes_in(_folder(path))  # first: who joins them meanwhile has them in the object that is read then
    try:
        content = get_bytes(path)
    except FileNotFoundError:
        if not parts:
            _ends[str(path)] = 0
            raise
        content = b""
    wanted, end = _chain(parts, len(content))
    _ends[str(path)] = end
    return b"".join([content, *get_each([_folder(path) / name for name in wanted])])


def size(path: Path) -> int:
    """Bytes of a file that grows, from listings alone; 0 where there is none."""
    parts = sizes_in(_folder(path))
    return _chain(parts, sizes_in(path.parent).get(path.name, 0))[1]


def _chain(parts: dict[str, int], end: int) -> tuple[list[str], int]:
    """The pieces that follow one another from a byte on, and where the last one ends."""
    wanted = []
    for name, length in parts.items():
        if name.isdecimal() and int(name) == end:
            wanted.append(name)
            end += length
    return wanted, end


def read_at(path: Path, start: int, count: int) -> bytes:
    """Some bytes of a file that grows, of what was added at once."""
    for name, length in sizes_in(_folder(path)).items():
        if name.isdecimal() and int(name) <= start and start + count <= int(name) + length:
            return get_bytes(_folder(path) / name, start - int(name), start - int(name) + count)
    return get_bytes(path, start, start + count)


def append(path: Path, content: bytes, end: int | None) -> None:
    """Add to the end of a file, which is at `end` where that is known.

    Raises
    ------
    FileExistsError
        Somebody else has added to it.
    """
    if end is None:
        if str(path) not in _ends:
            with suppress(FileNotFoundError):
                read(path)
        end = _ends[str(path)]
    put(_folder(path) / f"{end:016d}", content, new=True)
    _ends[str(path)] = end + len(content)


def exists(path: Path) -> bool:
    """Whether there is anything of a file that grows."""
    return not sizes_in(path.parent).keys().isdisjoint((path.name, _folder(path).name))


def join(path: Path) -> None:
    """Make one object of the pieces of a file."""
    if sizes_in(_folder(path)):
        put(path, read(path))
        remove(_folder(path))


def rewrite(path: Path, content: bytes) -> None:
    """Replace all of a file; the pieces are joined first, so that none of them follows on what is new."""
    join(path)
    put(path, content)
    _ends[str(path)] = len(content)


def join_all(folder: Path) -> None:
    """Join the pieces of all files in a folder."""
    for name in sizes_in(folder):
        if name.endswith(PARTS):
            join(folder / name.removesuffix(PARTS))


def move(path: Path, other: Path) -> None:
    """Give a file another name, of which there is none; where that is cut off, `finish_moves` ends it."""
    join(path)
    note = other.with_name(f"{other.name}{_FROM}")
    put(note, path.name.encode())
    put(other, get_bytes(path))
    remove(path)
    remove(note)


def finish_moves(folder: Path) -> None:
    """Let no file have two names, where giving it another one was cut off."""
    there = sizes_in(folder)
    for note in (name for name in there if name.endswith(_FROM)):
        if note.removesuffix(_FROM) in there:
            remove(folder / get_bytes(folder / note).decode())
        remove(folder / note)


def _folder(path: Path) -> Path:
    return path.with_name(f"{path.name}{PARTS}")
