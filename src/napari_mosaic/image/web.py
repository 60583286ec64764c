"""What an address points to: told by its form where that is certain, else by the first bytes of the answer.

One decision: an address may be that of a description (.dzi, info.json, manifest), of the folder it
describes, or of a plain picture; TIFF is read by range, other pictures are downloaded once. Object stores are asked as
web servers are, by the same `Fetcher`.
"""

from __future__ import annotations

import io
import re
import string
from contextlib import suppress
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote, unquote, urldefrag, urlsplit

from fsspec.spec import AbstractBufferedFile

from napari_mosaic import objects
from napari_mosaic.errors import MissingError, ReadError
from napari_mosaic.file_types import TIFF, file_type
from napari_mosaic.fingerprints import fingerprint_bytes
from napari_mosaic.http import Fetcher, Remote, is_url
from napari_mosaic.image.georeference import world_names
from napari_mosaic.image.raster import Context, Raster, SourceInfo
from napari_mosaic.image.registry import load_opener
from napari_mosaic.logins import split_login
from napari_mosaic.objects import as_place, locate
from napari_mosaic.progress import Progress, Steps

BLOCK = 1 << 18
"""Bytes of a file at an address that are fetched at a time. *Not varied.*"""

_ZARR_FILE = re.compile(r"/(\.zattrs|\.zgroup|\.zarray|zarr\.json)$")
_IIIF, _DEEP_ZOOM, _ZARR = "iiif:open_iiif", "deepzoom:open_deepzoom", "ome_zarr:open_zarr"


def open_object(source: str | Path, context: Context) -> Steps[Raster]:
    """Open whatever lies at an address of an object store, such as `s3://bucket/floor.tif`."""
    found = as_place(source)
    return (yield from _open_at(str(found), str(found), str(found).lower(), context))


def open_url(url: str, context: Context) -> Steps[Raster]:
    """Open whatever lies at an http address."""
    try:
        url, login = split_login(url)
        context = replace(context, login=login or context.login)
        plain = urldefrag(url)[0]
        path = urlsplit(plain).path.lower().rstrip("/")
    except ValueError as error:
        raise ReadError(f"{url} is no valid address ({error}); check how it is written.") from error
    return (yield from _open_at(url, plain, path, context))


def _open_at(url: str, plain: str, path: str, context: Context) -> Steps[Raster]:
    """Open an address, `plain` without the part after "#"; `path` is what names something in it, in small letters."""
    if path.endswith(".dzi"):
        opener, address = _DEEP_ZOOM, plain
    elif ".zarr" in path or _ZARR_FILE.search(path):
        opener, address = _ZARR, _ZARR_FILE.sub("", plain)
    elif path.endswith("info.json"):
        opener, address = _IIIF, url
    else:
        opener, address = _look(context.fetcher, url, plain)
    if opener in (_IIIF, _DEEP_ZOOM, _ZARR):
        return (yield from load_opener(opener)(address, context))
    if opener == TIFF.opener and (remote := context.fetcher.look(plain)) is not None:
        return (yield from _open_tiff(context.fetcher, plain, remote, context))
    return (yield from _open_picture(context.fetcher, plain, context))


def _look(fetcher: Fetcher, url: str, plain: str) -> tuple[str, str]:
    """Who opens what lies at an address, and which address it is given; `plain` is without the part after "#"."""
    missing: MissingError | None = None
    head = b""
    try:
        head = fetcher.get(plain, byte_range="0-1023", fresh=True)
    except MissingError as error:
        missing = error
    found = file_type(head)
    if found is not None and found.driver != "VRT":
        return found.opener, url if found.opener == _IIIF else plain
    below = plain.rstrip("/")
    for name, found_there in (
        ("info.json", (_IIIF, f"{below}/info.json")),
        ("zarr.json", (_ZARR, plain)),
        (".zattrs", (_ZARR, plain)),
        (".zarray", (_ZARR, plain)),
    ):
        with suppress(MissingError, ReadError):
            if fetcher.get(f"{below}/{name}", fresh=True).lstrip().startswith(b"{"):
                return found_there
    if missing is not None:
        raise missing
    raise ReadError(
        f"{plain} answers with something that is no image (it begins with {head[:12]!r}); give the address "
        "of a picture, a .dzi, a IIIF info.json or manifest, or an OME-Zarr."
    )


class RangeFile(AbstractBufferedFile):  # type: ignore[misc]
    """A seekable file at an address, fetched in blocks as they are read."""

    def __init__(self, fetcher: Fetcher, url: str, remote: Remote) -> None:
        super().__init__(None, url, size=remote.size, cache_type="none")
        self._load = lambda k: _part(fetcher, url, k * BLOCK, (k + 1) * BLOCK, remote)
        self._pool = fetcher.pool

    def _fetch_range(self, start: int, end: int) -> bytes:
        first = start // BLOCK
        content = b"".join(self._pool.map(self._load, range(first, -(-min(end, self.size) // BLOCK))))
        return content[start - first * BLOCK : end - first * BLOCK]


def _range_file(fetcher: Fetcher, url: str, remote: Remote) -> Any:
    """A seekable file at an address; of a store nothing is kept on this disk, so the last blocks are in memory."""
    return RangeFile(fetcher, url, remote) if is_url(url) else objects.open_object(locate(url), BLOCK)


def _part(fetcher: Fetcher, url: str, start: int, end: int, remote: Remote, *, fresh: bool = False) -> bytes:
    end = min(remote.size, end)
    return fetcher.get(url, byte_range=f"{start}-{end - 1}", tag="" if fresh else remote.version, fresh=fresh)


def _marked(fetcher: Fetcher, url: str, remote: Remote) -> tuple[Remote, SourceInfo]:
    """A file at an address by what is in it: head, middle and tail are asked for afresh."""
    size = remote.size
    places = sorted({max(0, size // 2 - 512), max(0, size - 1024)})
    head, *parts = (_part(fetcher, url, at, at + 1024, remote, fresh=True) for at in (0, *places))
    fingerprint = fingerprint_bytes(str(size), head, *parts)
    source = SourceInfo(
        kind="TIFF",
        location=url,
        size_bytes=size,
        fingerprint=fingerprint,
        earlier=fingerprint_bytes(str(size), head),
    )
    return replace(remote, version=fingerprint_bytes(fingerprint, remote.version)), source


def _open_tiff(fetcher: Fetcher, url: str, remote: Remote, context: Context) -> Steps[Raster]:
    from napari_mosaic.image.tiff import TiffFiles, open_tiff_files

    remote, source = _marked(fetcher, url, remote)
    name = _file_name(url)
    missing = set[str]()

    def open_one(path: str, mode: str = "rb") -> io.BufferedIOBase:
        """What GDAL asks for: the picture, or one of the few files that are looked for beside it."""
        if path == url:
            return io.BufferedReader(_range_file(fetcher, url, remote), BLOCK)
        if path not in missing and path.endswith(_BESIDE):
            text = _fetch_beside(fetcher, url, path.rsplit("/", 1)[-1])
            if text is not None:
                return io.BytesIO(text)
            missing.add(path)
        raise FileNotFoundError(path)

    def read_text(beside: str) -> str | None:
        content = _fetch_beside(fetcher, url, beside) if beside.endswith((".prj", ".tfw")) else None
        return None if content is None else content.decode(errors="replace")

    files = TiffFiles(
        location=url, size=remote.size, file=_range_file(fetcher, url, remote), beside=read_text, opener=open_one
    )
    return (yield from open_tiff_files(name, files, source, context))


_TEXT = f"+-.{string.digits}{string.ascii_letters}".encode()
_BESIDE = (".aux.xml", ".msk")
"""What GDAL may find beside a TIFF at an address; each costs a question."""


def _fetch_beside(fetcher: Fetcher, url: str, name: str) -> bytes | None:
    """A file beside a picture at an address, as long as it is what its name says."""
    parts = urlsplit(url)
    address = parts._replace(path=f"{parts.path.rsplit('/', 1)[0]}/{quote(name)}").geturl()
    if not is_url(url):
        address = f"{url.rsplit('/', 1)[0]}/{name}"
    try:
        content = fetcher.get(address, fresh=True)
    except (MissingError, ReadError):
        return None
    looked_for = b"<" if name.endswith(".xml") else b"IM" if name.endswith(".msk") else _TEXT
    return content if content.lstrip()[:1] in looked_for else None


def _file_name(url: str) -> str:
    return PurePosixPath(unquote(urlsplit(url).path)).name or "picture"


def _open_picture(fetcher: Fetcher, url: str, context: Context) -> Steps[Raster]:
    """Download a picture, and what says where it lies, into the scratch folder and open it there."""
    data = fetcher.get(url, fresh=True)
    yield Progress(phase="download", done=len(data) / 1e6, total=len(data) / 1e6, unit="MB")
    suffix = PurePosixPath(_file_name(url)).suffix
    target = context.scratch.path() / ("picture" + (suffix if re.fullmatch(r"\.\w{1,8}", suffix) else ""))
    target.write_bytes(data)
    for there, here in zip(*map(_names_beside, (_file_name(url), target.name)), strict=True):
        content = _fetch_beside(fetcher, url, there)
        if content is not None:
            target.with_name(here).write_bytes(content)
    raster = yield from context.open_source(str(target), context)
    mark = SourceInfo(kind=raster.source.kind, location=url, size_bytes=len(data), fingerprint=fingerprint_bytes(data))
    return replace(raster, source=mark)


def _names_beside(name: str) -> list[str]:
    """Names of the files that say where a picture of this name lies."""
    return [f"{name}.aux.xml", world_names(name)[0], str(PurePosixPath(name).with_suffix(".prj"))]
