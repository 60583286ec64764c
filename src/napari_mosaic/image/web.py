"""What an address points to: told by its form where that is certain, else by the first bytes of the answer.

One decision: an address may be that of a description (.dzi, info.json, manifest), of the folder it
describes, or of a plain picture; TIFF is read by range, other pictures are downloaded once.
"""

from __future__ import annotations

import io
import os
import re
from contextlib import ExitStack
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote, urldefrag, urlsplit

from napari_mosaic.errors import MissingError, ReadError
from napari_mosaic.image.http import Fetcher, Remote
from napari_mosaic.image.raster import Context, Raster, SourceInfo, close_all, fingerprint_bytes
from napari_mosaic.progress import Progress, Steps

_ZARR_FILE = re.compile(r"/(\.zattrs|\.zgroup|\.zarray|zarr\.json)$")


def open_url(url: str, context: Context) -> Steps[Raster]:
    """Open whatever lies at an http address."""
    from napari_mosaic.image.deepzoom import open_deepzoom
    from napari_mosaic.image.iiif import open_iiif
    from napari_mosaic.image.ome_zarr import open_zarr

    try:
        plain = urldefrag(url)[0]
        path = urlsplit(plain).path.lower().rstrip("/")
    except ValueError as error:
        raise ReadError(f"{url} is no valid address ({error}); check how it is written.") from error
    if path.endswith(".dzi"):
        return (yield from open_deepzoom(plain, context))
    if ".zarr" in path or _ZARR_FILE.search(path):
        return (yield from open_zarr(_ZARR_FILE.sub("", plain), context))
    if path.endswith("info.json"):
        return (yield from open_iiif(url, context))
    with ExitStack() as own:
        fetcher = Fetcher(context.cache_dir)
        own.callback(fetcher.close)
        kind = _sniff(fetcher, plain)
        if kind == "TIFF" and (remote := fetcher.look(plain)) is not None:
            raster = yield from _open_tiff(RangeFile(fetcher, plain, remote), context)
            own.pop_all()
            return replace(raster, close=close_all([fetcher.close, raster.close]))
        if kind in ("TIFF", "picture"):
            return (yield from _open_picture(fetcher, plain, context))
    openers = {"json": (open_iiif, url), "dzi": (open_deepzoom, plain), "zarr": (open_zarr, plain)}
    openers["service"] = (open_iiif, plain.rstrip("/") + "/info.json")
    opener, address = openers[kind]
    return (yield from opener(address, context))


def _sniff(fetcher: Fetcher, url: str) -> str:
    """What lies at an address: "json", "dzi", "TIFF", "picture", "service" (a IIIF base) or "zarr"."""
    from napari_mosaic.image.registry import is_picture

    missing: MissingError | None = None
    head = b""
    try:
        head = fetcher.get(url, byte_range="0-1023", fresh=True)
    except MissingError as error:
        missing = error
    if head.lstrip().startswith(b"{"):
        return "json"
    if b"TileSize" in head:
        return "dzi"
    if is_picture(head):
        return "TIFF" if head[:2] in (b"II", b"MM") else "picture"
    for name, kind in (
        ("info.json", "service"),
        ("zarr.json", "zarr"),
        (".zattrs", "zarr"),
        (".zarray", "zarr"),
    ):
        try:
            if fetcher.get(f"{url.rstrip('/')}/{name}", fresh=True).lstrip().startswith(b"{"):
                return kind
        except (MissingError, ReadError):
            continue
    if missing is not None:
        raise missing
    raise ReadError(
        f"{url} answers with something that is no image (it begins with {head[:12]!r}); give the address "
        "of a picture, a .dzi, a IIIF info.json or manifest, or an OME-Zarr."
    )


class RangeFile(io.RawIOBase):
    """A seekable file at an address, fetched in blocks as they are read."""

    def __init__(self, fetcher: Fetcher, url: str, remote: Remote, block: int = 1 << 18) -> None:
        super().__init__()
        self.url = url
        self.size = size = remote.size
        self._fetcher = fetcher
        self._block = block
        self._place = 0
        head = self._fetch(0, min(size, 1024))
        places = {max(0, size // 2 - 512), max(0, size - 1024)}
        parts = [self._fetch(start, min(size, start + 1024)) for start in sorted(places)]
        self.earlier = fingerprint_bytes(str(size), head)
        self.fingerprint = fingerprint_bytes(str(size), head, *parts)
        self._tag = fingerprint_bytes(self.fingerprint, remote.version)

    def readable(self) -> bool:
        """Whether it can be read: yes."""
        return True

    def seekable(self) -> bool:
        """Whether it can be sought: yes."""
        return True

    def tell(self) -> int:
        """Where the next read begins."""
        return self._place

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to a place counted from the start, the present place or the end."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: self.size}[whence]
        self._place = max(0, base + offset)
        return self._place

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer from the present place; return the number of bytes."""
        view = memoryview(buffer).cast("B")
        end = min(self.size, self._place + len(view))
        blocks = range(self._place // self._block, -(-end // self._block)) if end > self._place else range(0)
        start = self._place
        for content, index in zip(self._fetcher.pool.map(self._load, blocks), blocks, strict=True):
            first = max(start, index * self._block)
            part = content[first - index * self._block : end - index * self._block]
            view[first - start : first - start + len(part)] = part
        self._place = max(start, end)
        return self._place - start

    def _load(self, index: int) -> bytes:
        return self._fetch(index * self._block, min(self.size, (index + 1) * self._block))

    def _fetch(self, start: int, end: int) -> bytes:
        tag = getattr(self, "_tag", "")
        return self._fetcher.get(self.url, byte_range=f"{start}-{end - 1}", tag=tag, fresh=not tag)


def _open_tiff(file: RangeFile, context: Context) -> Steps[Raster]:
    from napari_mosaic.image.tiff import TiffSource, open_tiff_source

    name = PurePosixPath(unquote(urlsplit(file.url).path)).name or "picture.tif"
    source = TiffSource(
        name=name, location=file.url, size_bytes=file.size, fingerprint=file.fingerprint, earlier=file.earlier
    )
    return (yield from open_tiff_source(file, source, context))


def _open_picture(fetcher: Fetcher, url: str, context: Context) -> Steps[Raster]:
    """Download a picture into the scratch folder and open it there."""
    from napari_mosaic.image.registry import open_raster_steps

    data = fetcher.get(url, fresh=True)
    yield Progress(phase="download", done=len(data) / 1e6, total=len(data) / 1e6, unit="MB")
    suffix = PurePosixPath(unquote(urlsplit(url).path)).suffix
    target = context.scratch.path() / ("picture" + (suffix if re.fullmatch(r"\.\w{1,8}", suffix) else ""))
    target.write_bytes(data)
    raster = yield from open_raster_steps(str(target), context)
    mark = SourceInfo(kind=raster.source.kind, location=url, size_bytes=len(data), fingerprint=fingerprint_bytes(data))
    return replace(raster, source=mark)
