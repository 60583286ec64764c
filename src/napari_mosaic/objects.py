"""Places that may be addresses of an object store: `s3://bucket/floor.mosaic.zarr`, `memory://` and what fsspec knows.

One decision: a place is a `Path`, and where it is an address it is a `UPath` of universal_pathlib, which is asked like
one; so records know no store. What a disk does otherwise than a store (renames, syncs, locks, files that grow) is told
apart in `files`, `grown` and `leases`, which come here. An object appears whole or not at all, with one PUT.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path, PurePath
from typing import Any, cast

from napari_mosaic.dependencies import missing_of, needed_for, needs_package
from napari_mosaic.errors import DependencyError, InputError, ReadError

_ADDRESS = re.compile(r"([a-z][a-z0-9+.-]+):/{1,2}(?=[^/])")
"""A letter before the colon is a drive. `Path` makes one slash of two, so an address is known by one as well."""
_NO_STORE = ("file", "local", "http", "https")
_AT_ONCE = 64
"""Objects that are fetched side by side and lie in memory together. *Not varied.*"""


def address_of(path: object) -> str | None:
    """The address that a place is, such as `s3://bucket/floor.tif`; None where it is a local path or a web address."""
    if is_remote(path):
        return str(path)
    if not isinstance(path, str | PurePath):
        return None
    text = path if isinstance(path, str) else path.as_posix()
    found = _ADDRESS.match(text)
    if found is None or found[1] in _NO_STORE:
        return None
    return f"{found[1]}://{text[found.end() :].rstrip('/')}"


def is_remote(path: object) -> bool:
    """Whether a place is an address of a store, as `as_place` makes it."""
    return not isinstance(path, str | PurePath) and hasattr(path, "storage_options")


def as_place(path: str | Path) -> Path:
    """A place that somebody names, `named_place`; of a store it is asked whether it answers.

    Raises
    ------
    InputError
        Nobody knows the kind of address.
    DependencyError
        What reads such addresses is not installed.
    ReadError
        The store does not answer, or asks for credentials.
    """
    found = named_place(path)
    if is_remote(found) and not is_remote(path):
        reach(found)
    return found


def named_place(path: str | Path) -> Path:
    """A local path, or for an address a `UPath` that is asked like one; nothing is asked yet."""
    if is_remote(path):
        return cast(Path, path)
    address = address_of(path)
    return Path(path) if address is None else locate(address)


@lru_cache(maxsize=256)
def locate(address: str) -> Path:
    """The place of an address; errors as of `as_place`, but the store is not asked."""
    return cast(Path, _upath(address))


def reach(path: Path) -> None:
    """Raise `ReadError` where the store of an address does not answer."""
    try:
        path.exists()
    except refusals() as error:
        raise ReadError(
            f"{path} cannot be reached ({_reason(error)}); check the address, the network, and the credentials in the "
            "environment (for s3:// AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_ENDPOINT_URL)."
        ) from error


def _upath(address: str) -> Any:
    protocol = address.partition(":")[0]
    from fsspec.registry import get_filesystem_class, known_implementations

    if protocol not in known_implementations:
        raise InputError(
            f"{address} is an address of a kind that cannot be read ({protocol}://); give a path, an http or https "
            "address, or one of an object store, such as s3://."
        )
    package = str(known_implementations[protocol]["class"]).partition(".")[0]
    if missing_of(package):
        raise needs_package(f"An address {protocol}://", package)
    with needed_for(f"An address {protocol}://", extra="objects"):
        from upath import UPath
    try:
        get_filesystem_class(protocol)
    except ImportError as error:
        raise DependencyError(f"{address} cannot be read: {error}.") from error
    # Others write to the store as well: what was listed a minute ago is not what is there.
    return UPath(address, use_listings_cache=False)


def refusals() -> tuple[type[Exception], ...]:
    """What a disk or a store raises that refuses: of S3 also what its library has for itself."""
    library: Any = sys.modules.get("botocore.exceptions")
    return (OSError,) if library is None else (OSError, library.BotoCoreError, library.ClientError)


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


@contextmanager
def asking(path: Path) -> Iterator[tuple[Any, str]]:
    """The store of an address and the name in it; whatever it refuses is an `OSError`."""
    remote: Any = path
    try:
        yield remote.fs, remote.path
    except OSError:
        raise
    except refusals() as error:
        raise OSError(None, _reason(error)) from error


def put(path: Path, content: bytes, *, new: bool = False) -> None:
    """Write an object whole; a `new` one is refused with `FileExistsError` where there is one, whoever was first."""
    with asking(path) as (store, key):
        store.pipe_file(key, content, mode="create" if new else "overwrite")


def put_file(path: Path, file: Path) -> None:
    """Write an object whole from a local file."""
    with asking(path) as (store, key):
        store.put_file(str(file), key)


def get_bytes(path: Path, start: int | None = None, end: int | None = None) -> bytes:
    """Content of an object, or of its bytes from `start` up to `end`; negative ones count from its end."""
    with asking(path) as (store, key):
        return bytes(store.cat_file(key, start=start, end=end))


def get_each(paths: Sequence[Path]) -> Iterator[bytes]:
    """The content of objects, in order; some are fetched side by side."""
    for first in range(0, len(paths), _AT_ONCE):
        some: list[Any] = list(paths[first : first + _AT_ONCE])
        with asking(some[0]) as (store, _):
            contents = store.cat([path.path for path in some], on_error="raise")
            known = contents if isinstance(contents, dict) else {some[0].path: contents}
        yield from (known[store._strip_protocol(path.path)] for path in some)


def sizes_in(folder: Path) -> dict[str, int]:
    """Sizes of the objects in a folder, by their names in order; none where there is no folder."""
    return {name: int(entry["size"] or 0) for name, entry in _entries_in(folder)}


def versions_in(folder: Path) -> str:
    """What tells the objects in a folder from what they are after one was written, made or removed."""
    marks = ("size", "ETag", "etag", "LastModified", "last_modified", "created", "mtime")
    return str([(name, *(entry.get(mark) for mark in marks)) for name, entry in _entries_in(folder)])


def _entries_in(folder: Path) -> list[tuple[str, dict[str, Any]]]:
    with asking(folder) as (store, key):
        try:
            found = store.ls(key, detail=True)
        except FileNotFoundError:
            return []
    names = {str(entry["name"]).rstrip("/"): entry for entry in found}
    names.pop(key.rstrip("/"), None)  # an empty object that stands for the folder itself, as web consoles make them
    return sorted(((name.rpartition("/")[2], entry) for name, entry in names.items()), key=lambda pair: pair[0])


def size_of(path: Path) -> int:
    """Bytes of an object; `OSError` where it is not there."""
    with asking(path) as (store, key):
        return int(store.size(key))


def version_of(path: Path) -> str:
    """What tells one writing of an object from the next; `OSError` where it is not there."""
    with asking(path) as (store, key):
        return str(store.ukey(key))


def remove(path: Path) -> None:
    """Remove an object, or a folder with all that is in it; what is not there is no failure."""
    with asking(path) as (store, key):
        try:
            store.rm(key, recursive=True)
        except FileNotFoundError:
            return


def open_object(path: Path, block: int) -> Any:
    """A seekable file of an object, fetched in blocks as they are read; the last ones are kept."""
    with asking(path) as (store, key):
        return store.open(key, "rb", block_size=block, cache_type="blockcache")


def zarr_store(path: Path) -> Any:
    """What zarr opens a place by: the path itself, or a store."""
    if not is_remote(path):
        return str(path)
    from zarr.storage import FsspecStore

    remote: Any = path
    return FsspecStore.from_url(str(path), storage_options=dict(remote.storage_options))
