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

PARTS = ".parts"
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
    end, wanted = len(content), []
    for name, size in parts.items():
        if name.isdecimal() and int(name) == end:
            wanted.append(_folder(path) / name)
            end += size
    _ends[str(path)] = end
    return b"".join([content, *get_each(wanted)])


def read_at(path: Path, start: int, size: int) -> bytes:
    """Some bytes of a file that grows, of what was added at once."""
    for name, length in sizes_in(_folder(path)).items():
        if name.isdecimal() and int(name) <= start and start + size <= int(name) + length:
            return get_bytes(_folder(path) / name, start - int(name), start - int(name) + size)
    return get_bytes(path, start, start + size)


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
    """Give a file another name; where that is cut off, both hold the same, and `finish_move` ends it."""
    join(path)
    put(other, get_bytes(path))
    remove(path)


def finish_move(path: Path, other: Path) -> None:
    """Remove a file that was to get another name, where there is one of it that holds the same."""
    sizes = sizes_in(path.parent)
    if path.name in sizes and sizes[path.name] == sizes.get(other.name) and get_bytes(path) == get_bytes(other):
        remove(path)


def _folder(path: Path) -> Path:
    return path.with_name(f"{path.name}{PARTS}")
