"""Fetching over HTTP with manners: few connections, a persistent cache, patience when asked to wait.

One decision: what was fetched once and could be decoded is never asked for again, so a mosaic that was
looked at can be worked on without a network. Asked for afresh are the small descriptions, and what is one piece only,
such as a picture: the server then says that nothing has changed, or sends what is there now.
"""

from __future__ import annotations

import email.utils
import hashlib
import json
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from napari_mosaic.errors import MissingError, ReadError
from napari_mosaic.files import write_whole
from napari_mosaic.folders import cache_folder
from napari_mosaic.logins import Login
from napari_mosaic.objects import address_of, get_bytes, locate, size_of, version_of

Check = Callable[[bytes], Any]


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long to wait for a server: seconds for an answer, attempts, and seconds between and in all."""

    timeout: float = 20.0
    attempts: int = 3
    longest_wait: float = 60.0
    total_wait: float = 300.0
    connections: int = 4


@dataclass(frozen=True)
class Remote:
    """What a server says of a file that it sends in parts: bytes in all, and its version ("" where it names none)."""

    size: int
    version: str


PATIENCE = Patience()
_VALIDATORS = {"ETag": "If-None-Match", "Last-Modified": "If-Modified-Since"}
"""What names a version in an answer, and how it is asked whether that is still the present one."""
_UNCHANGED = 304
_WAIT_STATUS = (429, 503)
_RETRY_STATUS = (500, 502, 504)
_GONE_STATUS = (404, 410)
_DECLINED_STATUS = (400, 415, 422, 501)


def is_url(location: str) -> bool:
    """Whether a location is an http address rather than a local path."""
    return location.lower().startswith(("http://", "https://"))


class DeclinedError(ReadError):
    """The server understood an address and has nothing of that kind; another form of it may do."""


class Fetcher:
    """Reads bytes from addresses, local files and object stores by the same call; safe to share between threads.

    Of a store, such as `s3://`, nothing is kept: it has ranges, its own retries and its own login.

    Parameters
    ----------
    cache_dir
        Where answers are kept; by default the user's cache folder.
    patience
        How long to wait; by default the module's `PATIENCE`.
    login
        Name and password, sent to their own server alone.
    """

    def __init__(
        self, cache_dir: Path | None = None, patience: Patience | None = None, login: Login | None = None
    ) -> None:
        self.patience = patience or PATIENCE
        self._login = login
        self._cache = (cache_dir or cache_folder()) / "http"
        self._client = httpx.Client(
            timeout=self.patience.timeout,
            follow_redirects=True,
            headers={"User-Agent": "napari-mosaic"},
            limits=httpx.Limits(max_connections=self.patience.connections),
        )
        self._slots = threading.Semaphore(self.patience.connections)
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._not_before = 0.0
        self._pool: ThreadPoolExecutor | None = None

    @property
    def pool(self) -> ThreadPoolExecutor:
        """Threads for fetching several pieces side by side, as many as connections."""
        with self._lock:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(self.patience.connections, thread_name_prefix="mosaic-http")
            return self._pool

    def close(self) -> None:
        """Close all connections; those who wait give up."""
        self._stop.set()
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
        self._client.close()

    def get(
        self,
        location: str,
        *,
        check: Check | None = None,
        tag: str = "",
        byte_range: str = "",
        fresh: bool = False,
    ) -> bytes:
        """Content of an address or of a local file.

        Parameters
        ----------
        location
            Address or path.
        check
            Raises ReadError where the content is not what it should be; such content is not kept.
        tag
            Names the version of the source that the content belongs to, so a changed source is fetched anew.
        byte_range
            Value of the Range header after "bytes=", such as "0-1023" or "-512".
        fresh
            Ask first, and take the kept copy only where the server says that it is the present one, or does not answer.

        Raises
        ------
        MissingError
            Where there is nothing at the address.
        ReadError
            Where the server fails, sends nonsense, or makes one wait too long.
        """
        if address_of(location) is not None:
            data = _read_object(location, byte_range)
            if check is not None:
                check(data)
            return data
        if not is_url(location):
            return _read_local(location)
        path = self._cache_path(location, tag, byte_range)
        kept = _read_kept(path, check)
        if kept is not None and not fresh:
            return kept
        try:
            response = self._ask(location, byte_range, {} if kept is None else _conditions(path, kept))
            if response.status_code == _UNCHANGED and kept is not None:
                return kept
            data = _content(response, location, byte_range)
            if check is not None:
                check(data)
        except ReadError:
            if kept is not None:
                return kept
            raise
        _write_kept(path, data, response.headers)
        return data

    def look(self, url: str) -> Remote | None:
        """What lies at an address; None where the server sends no parts, or does not say how much there is."""
        if address_of(url) is not None:
            return _look_at_object(url)
        try:
            with (
                self._slots,
                self._client.stream("GET", url, headers={"Range": "bytes=0-0"}, auth=self._auth(url)) as response,
            ):
                total = response.headers.get("Content-Range", "").rpartition("/")[2]
                version = " ".join(response.headers.get(name, "") for name in _VALIDATORS).strip()
                return Remote(int(total), version) if response.status_code == 206 and total.isdigit() else None
        except httpx.HTTPError:
            return None

    def _auth(self, url: str) -> tuple[str, str] | None:
        own = self._login is not None and urlsplit(url).netloc == self._login.host
        return (self._login.name, self._login.password) if self._login is not None and own else None

    def _cache_path(self, location: str, tag: str, byte_range: str) -> Path:
        name = hashlib.sha256(f"{location}\n{tag}\n{byte_range}".encode()).hexdigest()
        return self._cache / name[:2] / name

    def _ask(self, url: str, byte_range: str, conditions: Mapping[str, str]) -> httpx.Response:
        """Ask until there is an answer or patience ends."""
        headers = {**({"Range": f"bytes={byte_range}"} if byte_range else {}), **conditions}
        waited, failures = 0.0, 0
        while True:
            self._pause(max(0.0, self._not_before - time.monotonic()))
            try:
                with self._slots:
                    response = self._client.get(url, headers=headers, auth=self._auth(url))
            except httpx.InvalidURL as error:
                raise ReadError(f"{url} is no valid address ({error}); check how it is written.") from error
            except httpx.HTTPError as error:
                failures += 1
                if failures >= self.patience.attempts:
                    raise _silent(url, error, self.patience) from error
                self._pause(min(2.0**failures, self.patience.longest_wait) / 4)
                continue
            if response.status_code in _WAIT_STATUS:
                seconds = min(_retry_after(response), self.patience.longest_wait)
                waited += max(seconds, 0.01)
                if waited > self.patience.total_wait:
                    raise _too_busy(url, response.status_code, waited)
                self._not_before = time.monotonic() + seconds
                continue
            if response.status_code in _RETRY_STATUS and failures + 1 < self.patience.attempts:
                failures += 1
                self._pause(min(2.0**failures, self.patience.longest_wait) / 4)
                continue
            return response

    def _pause(self, seconds: float) -> None:
        if self._stop.wait(seconds) if seconds > 0 else self._stop.is_set():
            raise ReadError("The image was closed while a part of it was being fetched; open it again.")


def _content(response: httpx.Response, url: str, byte_range: str) -> bytes:
    status = response.status_code
    if status in _GONE_STATUS:
        raise MissingError(f"{url} does not exist (the server answers {status}); check the address.")
    if status in (401, 403):
        raise ReadError(
            f"{url} is not open to everybody (the server answers {status}); give the address as "
            "https://NAME:PASSWORD@… where you have both, or download it by hand."
        )
    if status == 416:
        return b""
    if not 200 <= status < 300:
        kind = DeclinedError if status in _DECLINED_STATUS else ReadError
        raise kind(f"{url} cannot be fetched (the server answers {status}); try again later.")
    if byte_range and status == 200:
        return _cut(response.content, byte_range)
    return response.content


def _cut(data: bytes, byte_range: str) -> bytes:
    """The range that was asked for, from a server that knows no ranges and sent everything."""
    first, last = byte_range.split("-")
    if not first:
        return data[-int(last) :]
    return data[int(first) : int(last) + 1 if last else None]


def _retry_after(response: httpx.Response) -> float:
    text = response.headers.get("Retry-After", "")
    try:
        return max(0.0, float(text))
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    except (TypeError, ValueError):
        return 5.0


def _silent(url: str, error: httpx.HTTPError, patience: Patience) -> ReadError:
    if isinstance(error, httpx.TimeoutException):
        why = f"does not answer ({patience.attempts} attempts of {patience.timeout:g} s)"
    else:
        why = f"cannot be reached ({str(error) or type(error).__name__})"
    return ReadError(f"{url} {why}, so nothing can be read; check the address and the network, or try later.")


def _too_busy(url: str, status: int, waited: float) -> ReadError:
    return ReadError(
        f"{url} is refused for now: the server asks to wait again and again (status {status}, "
        f"{waited:.0f} s so far); what was fetched is kept, so try again later."
    )


def _read_local(location: str) -> bytes:
    try:
        return Path(location).read_bytes()
    except FileNotFoundError as error:
        raise MissingError(f"{location} does not exist, so the image has a hole; copy it again.") from error
    except OSError as error:
        raise ReadError(f"{location} cannot be read ({error.strerror}); check the disk and the rights.") from error


def _read_object(address: str, byte_range: str) -> bytes:
    first, _, last = byte_range.partition("-")
    start = int(first) if first else -int(last) if last else None
    try:
        return get_bytes(locate(address), start, int(last) + 1 if first and last else None)
    except FileNotFoundError as error:
        raise MissingError(f"{address} does not exist; check the address.") from error
    except OSError as error:
        raise ReadError(f"{address} cannot be read ({error}); check the network and your rights.") from error


def _look_at_object(address: str) -> Remote | None:
    try:
        return Remote(size_of(locate(address)), version_of(locate(address)))
    except OSError:
        return None


def _read_kept(path: Path, check: Check | None) -> bytes | None:
    try:
        data = path.read_bytes()
        if check is not None:
            check(data)
    except OSError:  # a ReadError of the check is one too: ask again
        return None
    return data


def _write_kept(path: Path, data: bytes, headers: Mapping[str, str]) -> None:
    """Keep an answer, and its version where the server names one; a cache that cannot be written is no failure."""
    version = {name: headers[name] for name in _VALIDATORS if headers.get(name)}
    _put(path, data)
    if version:
        _put(_version_file(path), json.dumps({"of": _hash(data), **version}).encode())


def _put(path: Path, data: bytes) -> None:
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, data, sync=False)


def _version_file(path: Path) -> Path:
    return path.with_name(f"{path.name}.version")


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _conditions(path: Path, kept: bytes) -> dict[str, str]:
    """The headers that ask for content only where it is another version than what is kept."""
    try:
        version = json.loads(_version_file(path).read_text(encoding="utf-8"))
        if version["of"] != _hash(kept):
            return {}
        return {condition: str(version[name]) for name, condition in _VALIDATORS.items() if name in version}
    except (OSError, ValueError, KeyError, TypeError):
        return {}
