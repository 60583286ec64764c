"""One process at a time in a folder of an object store: a lease, renewed as long as its holder lives.

One decision: leases are numbered objects in one folder, and the highest counts. A lease is made only where there is
none of its number, so of two who take one over one is refused; and whoever wakes up after a long sleep finds a higher
number and stops. Whether one has run out is told by the store's clock alone: its age, beside an object of now.
"""

from __future__ import annotations

import json
import threading
import time
import uuid
from contextlib import suppress
from pathlib import Path

from napari_mosaic.errors import LockedError
from napari_mosaic.objects import asking, get_bytes, put, remove, sizes_in

LEASE_S = 60.0
"""Seconds after which a lease that nobody renews may be taken over. *Not varied.*"""
RENEW_S = 15.0
"""Seconds between two renewals: three may fail before the lease is lost. *Not varied.*"""

_held: dict[str, Lease] = {}


class HeldError(Exception):
    """Somebody else holds the lease; the message says who, as far as it is known."""


class Lease:
    """A lease that this process holds on `folder`, since `begun` by its own clock; `release` it."""

    def __init__(self, folder: Path, number: int, content: bytes, begun: float) -> None:
        self.folder = folder
        self._number = number
        self._content = content
        self._renewed = begun
        self._taken = False
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._renew, name="mosaic-lease", daemon=True)
        self._thread.start()

    @property
    def lost(self) -> bool:
        """Whether it may be another's by now."""
        return self._taken or time.monotonic() - self._renewed > LEASE_S

    def release(self) -> None:
        """Let the next one have it at once."""
        self._ended.set()
        self._thread.join(RENEW_S)  # it may wait for a store that does not answer
        _held.pop(str(self.folder.parent), None)
        with suppress(OSError):
            if not self._taken:
                put(self.folder / _name(self._number), b"{}")

    def _renew(self) -> None:
        while not self._ended.wait(RENEW_S):
            with suppress(OSError):
                if _highest(self.folder) != self._number:
                    self._taken = True
                    return
                begun = time.monotonic()  # not after: the store counts from when it has it
                put(self.folder / _name(self._number), self._content)
                self._renewed = begun


def take(folder: Path, holder: str) -> Lease:
    """Take the lease with the objects in `folder`.

    Raises
    ------
    HeldError
        Somebody holds it, or was quicker.
    OSError
        The store refuses.
    """
    begun, number = time.monotonic(), _highest(folder)
    if number and not _has_ended(folder / _name(number)):
        raise HeldError(holder_of(folder))
    content = json.dumps({"holder": holder, "token": uuid.uuid4().hex}).encode()
    try:
        put(folder / _name(number + 1), content, new=True)
    except FileExistsError:
        raise HeldError(holder_of(folder)) from None
    _check_conditions(folder / _name(number + 1), content)
    if _highest(folder) != number + 1:  # who was quicker has taken and left it since, and another one holds it
        remove(folder / _name(number + 1))
        raise HeldError(holder_of(folder))
    for older in sizes_in(folder):
        if older.isdecimal() and int(older) <= number:
            remove(folder / older)
    lease = _held[str(folder.parent)] = Lease(folder, number + 1, content, begun)
    return lease


def _check_conditions(lease: Path, content: bytes) -> None:
    """Raise `OSError` where a store makes an object again that is there: it would keep no two processes apart."""
    try:
        put(lease, content, new=True)
    except FileExistsError:
        return
    remove(lease)
    raise OSError("the store knows no conditional writes, If-None-Match, so two runs could spoil one record")


def holder_of(folder: Path) -> str:
    """Who took the lease last; "" where that is not known."""
    with suppress(OSError, ValueError):
        return str(_read(folder / _name(_highest(folder))).get("holder", ""))
    return ""


def require_held(path: Path) -> None:
    """Raise `LockedError` where this process has lost the lease on the folder that `path` is or lies in."""
    for place in (path, *path.parents):
        lease = _held.get(str(place))
        if lease is not None and lease.lost:
            raise LockedError(
                f"{place} could not be reached for {LEASE_S:.0f} seconds and may be written by another process by now, "
                "so nothing more is written; what is finished is kept: go on with --resume."
            )


def _has_ended(lease: Path) -> bool:
    """Whether a lease was released, or nobody has renewed it in time."""
    try:
        if not _read(lease):
            return True
        now = lease.with_name(f"now-{uuid.uuid4().hex}")
        put(now, b"")
        with asking(lease) as (store, key):
            age = store.modified(now.path) - store.modified(key)  # type: ignore[attr-defined]
        remove(now)
    except FileNotFoundError:
        return True
    return bool(age.total_seconds() > LEASE_S)


def _read(lease: Path) -> dict[str, str]:
    """What a lease says: nothing where it was released."""
    try:
        values = json.loads(get_bytes(lease))
    except ValueError:
        return {}
    return values if isinstance(values, dict) else {}


def _highest(folder: Path) -> int:
    return max((int(name) for name in sizes_in(folder) if name.isdecimal()), default=0)


def _name(number: int) -> str:
    return f"{number:08d}"
