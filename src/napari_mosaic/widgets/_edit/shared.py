"""One open record for all docks of a viewer that edit it.

One decision: a record has one writer, so docks borrow the session of their viewer and give it back; the last one that
does closes it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from napari_mosaic.widgets._edit.session import EditSession

_lent: WeakKeyDictionary[Any, dict[Path, tuple[EditSession, int]]] = WeakKeyDictionary()
"""Sessions of each window by record, and how many docks have them."""


def borrow_session(viewer: Any, path: Path) -> EditSession:
    """The session for the record at `path` in a viewer, opened where it is the first; `give_back` it."""
    window, place = viewer.window, path.absolute()
    lent = _lent.setdefault(window, {})
    session, count = lent[place] if place in lent else (EditSession(viewer, place), 0)
    if count:
        session.announce()
    lent[place] = session, count + 1
    return session


def give_back(session: EditSession, viewer: Any) -> None:
    """Let go of a borrowed session; after the last dock what waits is written and the record is free."""
    lent = _lent.get(viewer.window, {})
    _, count = lent.get(session.path, (session, 1))
    if count > 1:
        lent[session.path] = session, count - 1
        return
    lent.pop(session.path, None)
    session.close()
    session.deleteLater()
