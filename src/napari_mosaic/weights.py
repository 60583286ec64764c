"""Which weights there are, where they lie, what they are for and whether they are whole.

One decision: one registry entry holds file, hash, licence, size of tessera and normalisation together, and
what a weights file says of itself stands in its own header; nothing here needs torch, and nothing is
downloaded but by `find_weights`, never in the middle of a prediction.
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from safetensors import SafetensorError, safe_open

from napari_mosaic.downloads import download, hash_file
from napari_mosaic.errors import InputError, MissingError, ModelError, ReadError
from napari_mosaic.folders import cache_folder
from napari_mosaic.progress import Progress, Steps

DATA = Path(__file__).parent / "models_data"
DEFAULT = "grout-lite"
FIRST = "grout-lite-1"
"""What `DEFAULT` was before it learned worn floors, in eight-bit integers alone, for records begun with it."""
LITE, BASE = "lite0-half", "lite2-full"
"""Architecture of the bundled weights, as their header names it."""
INT8 = "int8"
"""Precision of a quantised file, and the ending of its name before `.safetensors`."""
LONGEST_HEADER = 100_000_000
"""Bytes that a safetensors header may have: the limit of the safetensors library."""
BUNDLED = (DEFAULT, FIRST)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,80}")


@dataclass(frozen=True, kw_only=True)
class WeightsEntry:
    """One set of weights.

    `path` is where the file lies (None until downloaded), `url` where it can be had, `sha256` what it must
    hash to (None for a user's own file), `tessera_px` the size of tessera that it was trained for, `temperature`
    by what its confidence is told.
    """

    name: str
    file_name: str
    licence: str
    summary: str
    tessera_px: float
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    sha256: str | None = None
    url: str | None = None
    path: Path | None = None
    bundled: bool = False
    temperature: float = 1.0


@dataclass(frozen=True, kw_only=True)
class ModelCard:
    """What must be known of a network to use it.

    `tessera_px` is the size of tessera on the working grid that it was trained for, `halo` how many pixels
    at a window's border should be read but not kept, `stride` what a window's sides must be multiples of,
    `temperature` how its confidence is told (see `confidence`).
    """

    name: str
    sha256: str
    architecture: str
    channels: tuple[str, ...]
    tessera_px: float
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    stride: int = 32
    halo: int = 64
    licence: str = ""
    temperature: float = 1.0

    @classmethod
    def from_header(cls, header: Mapping[str, str], entry: WeightsEntry, sha256: str) -> ModelCard:
        """The card that a weights file's own header gives, the registry's entry filling what it leaves out."""
        channels: Any = json.loads(header.get("channels", '["grout", "core"]'))
        mean: Any = json.loads(header.get("mean", "null")) or (0.5, 0.5, 0.5)
        std: Any = json.loads(header.get("std", "null")) or (0.5, 0.5, 0.5)
        return cls(
            name=header.get("name", entry.name),
            sha256=sha256,
            architecture=header.get("architecture", LITE),
            channels=tuple(channels),
            tessera_px=float(header.get("tessera_px", entry.tessera_px)),
            mean=tuple(mean),
            std=tuple(std),
            halo=int(header.get("halo", 64)),
            licence=header.get("licence", entry.licence),
            temperature=float(header.get("temperature", entry.temperature)),
        )


def bundled_entry(name: str = DEFAULT) -> WeightsEntry:
    """The entry of weights that come with the package, as their recipe describes them."""
    recipe = read_recipe(name)
    file = str(recipe.get("file", f"{name}.safetensors"))
    return WeightsEntry(
        name=name,
        file_name=file,
        licence=str(recipe["licence"]),
        summary=str(recipe["summary"]),
        tessera_px=float(recipe["tessera_px"]),
        mean=tuple(recipe["mean"]),
        std=tuple(recipe["std"]),
        sha256=str(recipe.get("file_sha256", recipe["sha256"])),
        path=DATA / file,
        bundled=True,
        temperature=float(recipe.get("temperature", 1.0)),
    )


def read_recipe(name: str = DEFAULT) -> dict:  # type: ignore[type-arg]
    """How bundled weights were made: command, parameters, seeds, versions, time, hash."""
    path = DATA / f"{name}.json"
    try:
        recipe: dict = json.loads(path.read_text(encoding="utf-8"))  # type: ignore[type-arg]
    except (OSError, ValueError) as error:
        raise MissingError(
            f"The recipe {path.name} of the bundled weights is missing; reinstall the package."
        ) from error
    return recipe


def registry() -> dict[str, WeightsEntry]:
    """All weights known by name: the bundled ones and those that were imported."""
    return {name: bundled_entry(name) for name in BUNDLED} | imported_entries()


def models_folder() -> Path:
    """Where imported models are kept, in the cache folder."""
    return cache_folder() / "models"


def path_for_import(name: str, folder: Path, *, reserved: Container[str], overwrite: bool) -> Path:
    """Where a model of that name is kept; `InputError` if the name cannot be used, is `reserved` or taken."""
    if not _NAME.fullmatch(name):
        raise InputError(f"{name!r} cannot be the name of an imported model; choose letters, digits, - and _.")
    if name in reserved:
        raise InputError(f"{name} is the name of a published model; choose another --name.")
    path = folder / f"{name}.safetensors"
    if path.exists() and not overwrite:
        raise InputError(f"There is an imported model {name!r} already; add --overwrite, or choose another --name.")
    return path


def imported_entries(folder: str | Path | None = None) -> dict[str, WeightsEntry]:
    """The models that were imported; files without a readable header are left out."""
    found = {}
    for path in sorted(Path(folder or models_folder()).glob("*.safetensors")):
        try:
            header = read_header(path) if is_safetensors(path) else {}
        except (ModelError, ReadError):
            continue
        if header.get("name") and path.stem == header["name"] and header["name"] not in BUNDLED:
            found[header["name"]] = _described(path, header)
    return found


def _described(path: Path, header: Mapping[str, str]) -> WeightsEntry:
    mean, std = (tuple(json.loads(header.get(name, "[0.5, 0.5, 0.5]"))) for name in ("mean", "std"))
    return WeightsEntry(
        name=header["name"],
        file_name=path.name,
        licence=header.get("licence", "as its owner says"),
        summary=header.get("summary", "An imported model."),
        tessera_px=float(header.get("tessera_px", 24.0)),
        mean=mean,
        std=std,
        path=path,
        temperature=float(header.get("temperature", 1.0)),
    )


def find_weights(
    name_or_path: str | Path = DEFAULT,
    *,
    entries: Mapping[str, WeightsEntry] | None = None,
    cache: str | Path | None = None,
    on_bytes: Callable[[int, int], None] | None = None,
) -> WeightsEntry:
    """Find weights by name or path, downloading them once where they come from elsewhere.

    Parameters
    ----------
    name_or_path
        A name of the registry, or a file of one's own (`.safetensors`, `.pth`, `.pt`).
    entries
        Registry to look in; None takes `registry()`.
    cache
        Folder for downloads; None takes the user's cache.
    on_bytes
        Called with bytes fetched and bytes in all (0 where unknown).

    Returns
    -------
    WeightsEntry
        Its `path` is an existing file, checked against `sha256` where one is known.

    Raises
    ------
    MissingError
        If there is neither a file nor a name like that, or the address holds nothing.
    ReadError
        If the download fails.
    ModelError
        If the file does not have the hash that it must have.
    """
    known = registry() if entries is None else entries
    entry = known.get(str(name_or_path))
    if entry is None:
        return _own_file(Path(name_or_path), known)
    if entry.path is not None:
        if not entry.path.is_file():
            raise MissingError(f"The weights {entry.name!r} are not at {entry.path}; reinstall the package.")
        check_hash(entry.path, entry)
        return entry
    path = Path(cache or cache_folder()) / entry.file_name
    if not (path.is_file() and hash_file(path) == entry.sha256):
        for amount in _fetched(entry, path):
            if on_bytes is not None:
                on_bytes(*amount)
    return replace(entry, path=path)


def download_entry(url: str, sha256: str) -> WeightsEntry:
    """The entry of a file at an address, known by its checksum."""
    name = Path(urlsplit(url).path).name or "model"
    return WeightsEntry(
        name=name,
        file_name=name,
        licence="as its owner says",
        summary=f"From {url}.",
        tessera_px=24.0,
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
        sha256=sha256.lower(),
        url=url,
    )


def download_steps(model: str | WeightsEntry) -> Steps[WeightsEntry]:
    """`find_weights` with progress: fetch weights by name or entry; what is there already is only checked.

    Stop between two yields to cancel; what came is kept and gone on with.
    """
    entry = registry().get(model) if isinstance(model, str) else model
    if entry is None:
        return find_weights(str(model))
    if entry.path is not None:
        return find_weights(entry.name, entries={entry.name: entry})
    path = cache_folder() / entry.file_name
    if not (path.is_file() and hash_file(path) == entry.sha256):
        for done, total in _fetched(entry, path):
            yield Progress(phase="download", done=done / 1e6, total=total / 1e6, unit="MB")
    return replace(entry, path=path)


def quantised_sibling(entry: WeightsEntry) -> Path | None:
    """The eight-bit file beside weights, `NAME.int8.safetensors`, or the weights themselves where they are one.

    None where there is none made from them.
    """
    if entry.path is None or is_quantised(entry.path):
        return entry.path
    path = entry.path.with_name(f"{entry.path.stem}.{INT8}.safetensors")
    if not path.is_file() or not is_safetensors(path):
        return None
    parent = read_header(path).get("parent_sha256")
    return path if parent is not None and parent == (entry.sha256 or hash_file(entry.path)) else None


_SOUND: set[tuple[object, ...]] = set()
"""Files that were found to be what they should be, by the stamp of what was read: a viewer asks at each run."""


def check_hash(path: Path, entry: WeightsEntry) -> None:
    """Raise `ModelError` where the file at `path` is not the one that `entry` means."""
    found = path.stat()
    key = (str(path), found.st_ino, found.st_mtime_ns, found.st_size, entry.sha256)
    if entry.sha256 is None or key in _SOUND:
        return
    if hash_file(path) != entry.sha256:
        raise ModelError(
            f"{path} is not the file that {entry.name!r} means: its SHA-256 differs, so it is damaged or was "
            f"changed; delete it and fetch it again."
        )
    _SOUND.add(key)


def is_safetensors(path: str | Path) -> bool:
    """Whether a file begins like a safetensors file, whatever its name."""
    try:
        with Path(path).open("rb") as stream:
            start = stream.read(9)
    except OSError as error:
        raise ReadError(f"{path} cannot be read ({error.strerror}); check that it is a readable file.") from error
    return len(start) == 9 and start[8:] == b"{" and struct.unpack("<Q", start[:8])[0] < LONGEST_HEADER


def read_header(path: str | Path) -> dict[str, str]:
    """What a safetensors file says of itself; raises `ModelError` where it is damaged or not whole."""
    try:
        with safe_open(path, "numpy") as file:
            return dict(file.metadata() or {})
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{path} has no readable safetensors header; it is damaged or something else.") from error


def hash_of(entry: WeightsEntry) -> str:
    """What records and calibrations know a model that was found by: the SHA-256 of its file.

    Of an eight-bit file alone it is that of the weights that it was made from.
    """
    path = Path(str(entry.path))
    return read_header(path)["parent_sha256"] if is_quantised(path) else entry.sha256 or hash_file(path)


def name_of(sha256: str) -> str | None:
    """The name by which a model that records know by `sha256` is found here; None where it is not here."""
    here = {name: entry for name, entry in registry().items() if entry.path is not None and entry.path.is_file()}
    return next((name for name, entry in here.items() if hash_of(entry) == sha256), None)


def is_quantised(path: Path) -> bool:
    """Whether a file holds a network in eight-bit integers."""
    return (
        path.name.endswith(f".{INT8}.safetensors")
        and path.is_file()
        and is_safetensors(path)
        and ("parent_sha256" in read_header(path))
    )


def _own_file(path: Path, known: Mapping[str, WeightsEntry]) -> WeightsEntry:
    if not path.is_file():
        raise MissingError(
            f"There is no model {str(path)!r}: it is neither a file nor one of the known names "
            f"({', '.join(sorted(known))}); check the path or choose a name."
        )
    return WeightsEntry(
        name=path.stem,
        file_name=path.name,
        licence="as its owner says",
        summary="A file of your own.",
        tessera_px=24.0,
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
        path=path,
    )


def _fetched(entry: WeightsEntry, path: Path) -> Iterator[tuple[int, int]]:
    if entry.url is None or entry.sha256 is None:
        raise MissingError(
            f"The weights {entry.name!r} are not fetched, because no checksum of them is known; get the file from "
            f"{entry.url or 'its owner'}, and take it in with models import --name {entry.name}, or give its path."
        )
    yield from download(entry.url, entry.sha256, path)
