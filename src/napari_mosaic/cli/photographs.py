"""The photographs that words on the command line name, and where their previews go.

One decision: what we made ourselves is no photograph; a shell's `*` and a folder name it too, and it is left out.
"""

from __future__ import annotations

from pathlib import Path

from napari_mosaic.cli.output import UsageError, say
from napari_mosaic.errors import InputError, MissingError, WriteError
from napari_mosaic.file_types import SOURCES
from napari_mosaic.picture_marks import PREVIEW, check_place, is_ours
from napari_mosaic.record_names import source_parts, unique_names

_ZARR = ("zarr.json", ".zgroup", ".zattrs", ".zarray")


def find_sources(sources: tuple[str, ...], *, blocks: bool) -> list[str]:
    """All photographs that words on the command line name, folders opened, in order."""
    if not sources:
        raise UsageError("There is no photograph to segment; name at least one, or a folder of them.")
    options = [source for source in sources if source.startswith("-") and not Path(source).exists()]
    if options:
        raise UsageError(f"{options[0]} stands behind --, where every word is a photograph; put options before the --.")
    found: list[str] = []
    for source in sources:
        path = Path(source)
        is_one = not path.is_dir() or any((path / name).exists() for name in _ZARR)
        if is_one or blocks:
            found.append(source)
            continue
        found.extend(str(child) for child in find_pictures(path))
    return without_own(found)


def find_pictures(folder: Path) -> list[Path]:
    """The photographs of a folder, in order: not what is hidden (`._*` of a Mac among it), nor what we drew."""
    pictures = [child for child in sorted(folder.iterdir()) if child.suffix.lower() in SOURCES and child.is_file()]
    inside = [child for child in pictures if not child.name.startswith(".")]
    found = [child for child in inside if not child.name.endswith(PREVIEW) and not is_ours(child)]
    if len(found) < len(inside):
        say(f"{len(inside) - len(found)} pictures in {folder} were drawn by napari-mosaic and are left out.")
    if not found:
        raise MissingError(f"There is no photograph in the folder {folder}; give one with PNG, JPEG or TIFF files.")
    return found


def without_own(sources: list[str]) -> list[str]:
    """The sources, each once, without records, previews and exports: a shell's `*` names those too."""
    found: dict[str, str] = {}
    own: list[str] = []
    for source in sources:
        path = Path(source)
        result = (path / "mosaic.json").is_file() or (path.is_file() and is_ours(path))
        if result or (len(sources) > 1 and source.endswith(PREVIEW)):
            own.append(source)
        else:
            found.setdefault(source_parts(source).location, source)
    if not found:
        raise InputError(
            f"{own[0]} is no photograph: napari-mosaic made it; give the photograph that it was made from."
        )
    if own:
        say(f"Left out, because napari-mosaic made them: {', '.join(Path(name).name for name in own)}.")
    return list(found.values())


def preview_places(preview: Path | None, sources: list[str]) -> list[Path | None]:
    """Where the previews of sources go, no two to one place; their folder is made before the work begins."""
    if preview is None:
        return [None] * len(sources)
    inside = len(sources) > 1 or preview.is_dir()
    folder = preview if inside else preview.parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WriteError(
            f"The folder {folder} for previews cannot be made ({error.strerror}); give another --preview."
        ) from error
    if not inside:
        check_place(preview)
        return [preview]
    names = unique_names(sources)
    return [folder / f"{names[source]}{PREVIEW}" for source in sources]
