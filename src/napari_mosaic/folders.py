"""Where things are on this machine: what a person names, and the folder that is ours to fill.

One decision: there is one such folder, for what can be fetched or computed again, and NAPARI_MOSAIC_CACHE moves it.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from urllib.request import url2pathname

import platformdirs

_NAME = "napari-mosaic"


def local_path(text: str) -> Path:
    """The absolute path that a person gives: a path, or an address that begins with `file://`, coded or plain."""
    path = Path(text.removeprefix("file://")).expanduser().absolute()
    if not text.startswith("file://") or path.exists():
        return path
    server, _, place = text.removeprefix("file://").partition("/")
    return Path(url2pathname(f"/{place}" if server in ("", "localhost") else f"//{server}/{place}")).absolute()


def cache_folder() -> Path:
    """Where downloads and whatever else can be had again is kept; NAPARI_MOSAIC_CACHE overrides the system's place.

    A folder where versions before kept it goes on being used where it holds something: weights are gigabytes.
    """
    if chosen := os.environ.get("NAPARI_MOSAIC_CACHE"):
        return Path(chosen)
    folder = platformdirs.user_cache_path(_NAME, appauthor=False, opinion=False)
    return next((old for old in _before() if old != folder and _holds(old) and not _holds(folder)), folder)


def _before() -> tuple[Path, ...]:
    """Where the cache was before platformdirs told: by the variables alone, and on a Mac by none."""
    if sys.platform == "win32":
        local = os.environ.get("LOCALAPPDATA")
        bases = (Path(local),) if local else (Path.home() / "AppData" / "Local", Path.home())
    elif sys.platform == "darwin":
        bases = (Path.home() / "Library" / "Caches",)
    else:
        bases = (Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")),)
    return tuple(base / _NAME for base in bases)


def _holds(folder: Path) -> bool:
    """Whether there is anything in a folder."""
    try:
        return any(folder.iterdir())
    except OSError:
        return False
