"""What records are called, and whose they are.

Two decisions. A name is a function of the sources of one run, not of their order, so the same command finds its records
again; sources that would share a name get longer ones that tell them apart. And a name says nothing about whose a
record is: that is decided by the photograph's fingerprint alone, and what belongs to another photograph is never taken
for done, gone on with, or replaced.
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urldefrag, urlsplit

from napari_mosaic.errors import MosaicError, RecordError
from napari_mosaic.fingerprints import fingerprint_bytes, fingerprint_file
from napari_mosaic.folders import local_path
from napari_mosaic.image import MosaicImage, open_image
from napari_mosaic.record import Record
from napari_mosaic.record.journaled import has_edits
from napari_mosaic.record.metadata import SourceEntry, is_source, read_metadata

SUFFIX = ".mosaic.zarr"
"""What the name of every record ends in."""

_GENERIC = re.compile(r"(info|manifest|index|default|iiif|image|images|presentation)(\.\w{2,5})?", re.IGNORECASE)
"""Ends of addresses that are alike for many pictures."""

_IMAGE_REQUEST = re.compile(
    r"/(full|square|pct:[^/]+|\d+,\d+,\d+,\d+)/[^/]+/!?[\d.]+/(default|native|color|gr[ae]y)\.\w+$"
)
"""What a IIIF address of pixels adds to the address of its picture: region, size, turn, quality."""

_ENDINGS = re.compile(
    r"(\.ome)?\.(zarr|tiff?|btf|tf8|tf2)$|\.(json|dzi|xml|jpe?g|png|webp|bmp|jp2|vrt)$", re.IGNORECASE
)
_FORBIDDEN = re.compile(r'[<>:"/\\|?*\x00-\x1f]')
"""What Windows allows in no name."""

_DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
_LONGEST = 150
"""Bytes of a name: file systems take 255, and a record that is being made has a longer name for a while."""


@dataclass(frozen=True, kw_only=True)
class SourceParts:
    """What a source's location offers to name it: the nearest part first, and the kind of file."""

    location: str
    parts: tuple[str, ...]
    ending: str = ""

    def names(self) -> Iterator[str]:
        """Names from the shortest to the longest, each a little more telling; the last is the only one of its kind."""
        for length in range(1, len(self.parts) + 1):
            name = "-".join(reversed(self.parts[:length]))
            yield clean_name(name)
            yield clean_name(f"{name}-{self.ending}" if self.ending else name)
        yield self.with_mark(clean_name(self.parts[0]))

    def with_mark(self, name: str) -> str:
        """A name with a short mark of the whole location."""
        return f"{name}-{fingerprint_bytes(self.location)[:8]}"


def source_parts(source: str) -> SourceParts:
    """What there is to name a source by: a path, an address or `sample:NAME`."""
    if "://" in source and not source.startswith("file://"):
        return _address_parts(source)
    if source.startswith("sample:"):
        return SourceParts(location=source, parts=(source.removeprefix("sample:"),))
    path = local_path(source)
    if ".." in path.parts:  # what that leads to is the system's to say, where there are links
        path = path.parent.resolve() / path.name if path.name != ".." else path.resolve()
    parts = [path.name, *(parent.name for parent in path.parents if parent.name)]
    if path.suffix.lower() == ".json" and len(parts) > 1 and _GENERIC.fullmatch(path.name):
        return SourceParts(location=str(path), parts=tuple(parts[1:]), ending="json")
    stem, ending = (path.name, "") if path.is_dir() and path.suffix != ".zarr" else _split(path.name)
    return SourceParts(location=str(path), parts=(stem, *parts[1:]), ending=ending)


def _address_parts(address: str) -> SourceParts:
    """Of an address: the last part that tells something, then those before it, then the server."""
    plain, fragment = urldefrag(address)
    found = urlsplit(plain)
    host = found.hostname or "address"
    text = "/".join([_IMAGE_REQUEST.sub("", found.path), *(value for _, value in parse_qsl(found.query))])
    parts = [part for part in unquote(unquote(text)).split("/") if part]
    while parts and _GENERIC.fullmatch(parts[-1]):
        parts.pop()
    stem, ending = _split(parts.pop()) if parts else (host, "")
    if stem.isdigit() and parts:
        stem = f"{parts.pop()}-{stem}"
    if fragment:
        stem = f"{stem}-{fragment.replace('=', '')}"
    return SourceParts(location=address, parts=(stem, *reversed(parts), host), ending=ending)


def _split(name: str) -> tuple[str, str]:
    """A file's name without its ending, and the ending without its dots."""
    match = _ENDINGS.search(name)
    if match is not None and match.start() > 0:
        return name[: match.start()], match.group().lstrip(".").replace(".", "-").lower()
    path = Path(name)
    return path.stem, path.suffix.lstrip(".").lower()


def clean_name(name: str) -> str:
    """A name that every system takes: no forbidden characters, no device, not too long; never empty."""
    cleaned = _FORBIDDEN.sub("_", unicodedata.normalize("NFC", name)).strip().rstrip(". ") or "mosaic"
    if _DEVICES.fullmatch(cleaned):
        cleaned = f"{cleaned}_"
    if len(cleaned.encode()) <= _LONGEST:
        return cleaned
    return f"{cleaned.encode()[:_LONGEST].decode(errors='ignore')}-{fingerprint_bytes(name)[:8]}"


def unique_names(sources: Sequence[str], taken: Mapping[str, str] | None = None) -> dict[str, str]:
    """A name for each source that no other source of the run has, whatever their order.

    Parameters
    ----------
    sources
        Paths, addresses, `sample:NAME`; of one that is given twice there is one name.
    taken
        Names that are given away already, each with its source.

    Returns
    -------
    dict
        Names by source. A source that clashes with no other has its plain name. Capitals tell nothing apart, because
        on many disks they do not.
    """
    parts_of = {source: source_parts(source) for source in sources}
    owners = {source: found.location for source, found in parts_of.items()}
    names = {source: next(found.names()) for source, found in parts_of.items()}
    fixed = {_key(name): source_parts(source).location for name, source in (taken or {}).items()}
    widened: set[str] = set()
    for group in _clashes(names, owners, fixed):
        names |= _distinct_names({source: parts_of[source] for source in group})
        widened |= group
    for group in _clashes(names, owners, fixed):
        names |= {source: parts_of[source].with_mark(names[source]) for source in group & widened}
    return names


def _key(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _clashes(names: Mapping[str, str], owners: Mapping[str, str], fixed: Mapping[str, str]) -> list[set[str]]:
    """Groups of sources that share a name with another location."""
    groups: dict[str, set[str]] = defaultdict(set)
    for source, name in names.items():
        groups[_key(name)].add(source)
    return [
        group
        for key, group in groups.items()
        if len({owners[source] for source in group} | ({fixed[key]} if key in fixed else set())) > 1
    ]


def _distinct_names(group: Mapping[str, SourceParts]) -> dict[str, str]:
    """The shortest names of one length for all of a group that differ wherever the locations do."""
    locations = len({found.location for found in group.values()})
    offers = {source: list(found.names()) for source, found in group.items()}
    for step in range(1, max(map(len, offers.values()))):
        names = {source: offer[min(step, len(offer) - 1)] for source, offer in offers.items()}
        if len(set(map(_key, names.values()))) == locations:
            return names
    return {source: offer[-1] for source, offer in offers.items()}


@dataclass(frozen=True)
class Wanted:
    """A source, and where its record is wanted: `NAME.mosaic.zarr`, a folder for it, or beside the source (None)."""

    source: str
    output: Path | None = None

    @property
    def named(self) -> Path | None:
        """The record, where it is named already."""
        return self.output if self.output is not None and _is_named(self.output) else None

    @property
    def folder(self) -> Path:
        """The folder that the record goes into."""
        place = self.named.parent if self.named else self.output or folder_of(source_parts(self.source).location)
        return place.absolute()


def _is_named(path: Path) -> bool:
    """Whether a path is meant as a record: by its ending, or because one of another name lies there."""
    return path.name.endswith(".zarr") or (path / "mosaic.json").is_file()


def folder_of(location: str) -> Path:
    """The folder of a local source, or the current one."""
    path = Path(location)
    return path.parent if location and "://" not in location and path.exists() else Path.cwd()


def record_places(wanted: Sequence[Wanted]) -> list[Path]:
    """Where the records of one run go: no two sources at one place, the same places for the same command.

    A source that has a record in the folder already, under any of the names that it may have, keeps that one: so a
    twin that comes into a folder later renames nothing.
    """
    in_folders: dict[Path, list[str]] = defaultdict(list)
    taken: dict[Path, dict[str, str]] = defaultdict(dict)
    for item in wanted:
        if item.named:
            taken[item.folder][item.named.name.removesuffix(SUFFIX)] = item.source
        else:
            in_folders[item.folder].append(item.source)
    chosen = {folder: unique_names(sources, taken[folder]) for folder, sources in in_folders.items()}
    return [item.named or _place(item, chosen[item.folder][item.source]) for item in wanted]


def _place(item: Wanted, name: str) -> Path:
    """The record that a source has in its folder already, else one of a name."""
    folder = item.output or folder_of(source_parts(item.source).location)
    places = (folder / f"{other}{SUFFIX}" for other in dict.fromkeys(source_parts(item.source).names()))
    standing = ((path, entry) for path in places if (entry := entry_of(path)) is not None)
    own = (path for path, entry in standing if _is_at(entry, item.source, path))
    return next(own, folder / f"{name}{SUFFIX}")


def record_place(location: str, name: str, output: Path | None) -> Path:
    """Where the record of one image goes; an image without a location is known by its name."""
    if location:
        return record_places([Wanted(location, output)])[0]
    folder = output or Path.cwd()
    return folder if _is_named(folder) else folder / f"{clean_name(name)}{SUFFIX}"


def entry_of(path: Path) -> SourceEntry | None:
    """The photograph's entry of the record at a place; None where there is no record that can be read."""
    if not (path / "mosaic.json").is_file():
        return None
    try:
        return read_metadata(path).source
    except MosaicError:
        return None


def _is_at(entry: SourceEntry, source: str, record: Path) -> bool:
    """Whether a record was made from what lies at a source, whatever lies there now."""
    location = source_parts(source).location
    if entry.location.removesuffix("/info.json").rstrip("/") == location.removesuffix("/info.json").rstrip("/"):
        return True
    if not entry.relative or "://" in location or location.startswith("sample:"):
        return False
    return (record.parent / entry.relative).resolve() == Path(location).resolve()


def holds(record: Record, source: str) -> bool:
    """Whether a record is of the photograph that lies at a source now; a file is not decoded where that can be spared.

    Raises
    ------
    MosaicError
        If there is no photograph, or none that can be read.
    """
    path = Path(source_parts(source).location)
    if path.is_file():
        mark, entry = fingerprint_file(path), record.source
        if (mark.size, mark.fingerprint) == (entry.size_bytes, entry.fingerprint):
            return True
    with open_image(source) as image:
        return is_source(image, record.source)


def check_owner(path: Path, image: MosaicImage, *, overwrite: bool, discard_edits: bool) -> None:
    """Refuse to go on with a record of another photograph, or to replace it; nothing is touched.

    A file that was changed since is another photograph too; its record may be overwritten, because nobody can go on
    with it, but edits by hand are not carried over to other pixels. So may that of an array by another array: arrays
    have no place that would tell one from the other.

    Raises
    ------
    RecordError
        The record at `path` is of another photograph.
    """
    entry = entry_of(path)
    if entry is None or is_source(image, entry):
        return
    location = image.source.location
    bare = overwrite and not location and not entry.location
    if not bare and not (location and _is_at(entry, location, path)):
        raise RecordError(
            f"{path} holds the record of another photograph ({entry.location or entry.name}), so {image.name} neither "
            f"goes on with it nor replaces it; give this one a name of its own, "
            f"such as -o {free_place(path, image).name}."
        )
    if not overwrite:
        raise RecordError(
            f"{location} was changed since {path.name} was made from it, so that record is not its own any more; "
            "add --overwrite to segment it again, or give another place with -o."
        )
    if not discard_edits and has_edits(path):
        raise RecordError(
            f"{location or image.name} was changed since {path.name} was made from it and edited by hand, and the "
            "edits are of the old pixels; add --discard-edits to lose them, or give another place with -o."
        )


def free_place(path: Path, image: MosaicImage, is_own: Callable[[Path], bool] | None = None) -> Path:
    """The first place at or beside `path` that is free, or that holds the record of this very image.

    Where `path` is taken, names that tell the image apart come first, then numbers. `is_own` says whether a record that
    is there is the image's; by default the fingerprint does.
    """
    stem, location = path.name.removesuffix(SUFFIX), image.source.location
    longer = list(source_parts(location).names())[1:-1] if location else []
    names = chain([stem], longer, (f"{stem} {number}" for number in count(2)))
    places = (path.with_name(f"{name}{SUFFIX}") for name in names)
    own = is_own or (lambda place: is_record_of(place, image))
    return next(place for place in places if not place.exists() or own(place))


def is_record_of(path: Path, image: MosaicImage) -> bool:
    """Whether there is a record of just this image at a place."""
    entry = entry_of(path)
    return entry is not None and is_source(image, entry)


def companion(record: Path, what: str) -> Path:
    """The place of something beside a record that bears its name, such as `NAME.tuned`."""
    return record.with_name(f"{record.name.removesuffix('.zarr').removesuffix('.mosaic')}.{what}")
