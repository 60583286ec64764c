"""One file from the network: with progress, gone on with after a broken connection, checked before it counts.

One decision: what arrives is kept as a part until its checksum is right; only then it has its name.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from napari_mosaic.errors import MissingError, ModelError, ReadError, WriteError
from napari_mosaic.files import replace, sync_file, sync_folder


def hash_file(path: str | Path) -> str:
    """The SHA-256 of a file, read block by block."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def download(url: str, sha256: str, path: Path) -> Iterator[tuple[int, int]]:
    """Fetch a file, yielding bytes had and bytes in all (0 where unknown).

    Raises
    ------
    MissingError, ReadError, ModelError, WriteError
        Nothing there; the connection failed; it is another file; the folder cannot be written.
    """
    import httpx  # late: it costs a start a tenth of a second, and nearly none downloads

    part = path.with_name(f"{path.name}.{sha256[:12]}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield from _fetch(url, part)
        if hash_file(part) != sha256:
            part.unlink()
            raise ModelError(
                f"What {url} sent is not {path.name}: its SHA-256 differs; nothing was kept. "
                f"Try again, or fetch the file by hand and give its path."
            )
        sync_file(part)
        replace(part, path)
        sync_folder(path.parent)
    except httpx.HTTPError as error:
        raise ReadError(
            f"{url} could not be fetched ({error}); check the connection and try again, what came is kept."
        ) from error
    except OSError as error:
        if isinstance(error, (MissingError, ReadError)):
            raise
        raise WriteError(f"{path.parent} cannot be written ({error.strerror}); set NAPARI_MOSAIC_CACHE.") from error


def _fetch(url: str, part: Path) -> Iterator[tuple[int, int]]:
    """Fetch what is missing of `part`, yielding bytes had and bytes in all (0 where unknown).

    A server that cannot send a part of a file sends all of it.
    """
    import httpx

    had = part.stat().st_size if part.exists() else 0
    headers = {"Range": f"bytes={had}-", "Accept-Encoding": "identity"} if had else {}
    with httpx.stream("GET", url, headers=headers, follow_redirects=True, timeout=60.0) as response:
        if response.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
            return  # all of it is there; the hash decides
        _check_answer(url, response.status_code)
        if response.status_code != httpx.codes.PARTIAL_CONTENT:
            had = 0
        total, done = int(response.headers.get("content-length", 0)), had
        total += had if total else 0
        with part.open("ab" if had else "wb") as stream:
            for block in response.iter_bytes(1 << 18):
                stream.write(block)
                done += len(block)
                yield done, total


def _check_answer(url: str, status: int) -> None:
    from httpx import codes

    if status in (codes.NOT_FOUND, codes.GONE):
        raise MissingError(f"{url} holds nothing ({status}); the weights may have moved.")
    if status not in (codes.OK, codes.PARTIAL_CONTENT):
        raise ReadError(f"{url} answered {status}; try again later.")
