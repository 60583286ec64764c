"""What a file is known by, wherever it lies and whatever its name and time.

One decision: all of a file is looked at where that costs no more than a run does in any case, and parts all over it
where it is larger.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

WHOLE = 512 << 20
"""Bytes of a file that are all hashed: half a second of one core, and a run reads them in any case."""

SAMPLES, SAMPLE = 256, 1 << 18
"""Of a larger file, or of many files together, so many evenly spread parts of so many bytes: 64 MB, and few enough
seeks for a hard disk. *Not varied.*"""


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


def read_head(path: Path, length: int = 512) -> bytes:
    """The first bytes of a file; none of a folder."""
    if not path.is_file():
        return b""
    with path.open("rb") as file:
        return file.read(length)
