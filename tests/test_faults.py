"""Files of a record that a disk spoiled: found and made again, or named in one sentence; nothing wrong is handed on."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bright import bright_stones
from edit_model import rows_of, whole
from napari_mosaic import SegmentParams, editing, open_record, segment
from napari_mosaic.errors import MosaicError
from napari_mosaic.record import Record

PARAMS = SegmentParams(method="gradient-watershed", scale=1.0, tile_size=1024)


def turn(content: bytes, place: int, bits: int) -> bytes:
    return content[:place] + bytes([content[place] ^ bits]) + content[place + 1 :]


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "cut": lambda content: content[: len(content) // 2],
    "turned": lambda content: turn(content, len(content) // 2, 255),
    "one bit": lambda content: turn(content, len(content) // 5, 16),
}
NAMED = ("mosaic.json", "zarr.json", "areas.geojson")
"""What cannot be made again from the rest: a person is told which file it is."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A photograph and its record of two shards, with an edit."""
    made = tmp_path_factory.mktemp("faults")
    Image.fromarray(np.ascontiguousarray(bright_stones((300, 1100), pitch=40))).save(made / "floor.png")
    segment(made / "floor.png", made / "floor.mosaic.zarr", params=PARAMS).close()
    with open_record(made / "floor.mosaic.zarr", writable=True) as record:
        editing.delete(record, record.table(["id"])["id"].to_pylist()[5:7])
        editing.settle(record)
    return made


def content_of(record: Record) -> tuple[Any, ...]:
    maps, labels = ([array[:].tobytes() for array in levels] for levels in (record.map.levels, record.tessera_levels))
    return whole(record).tobytes(), rows_of(record), maps, labels


def kinds(record: Path) -> list[Path]:
    """A file of every kind in a record, by its place without numbers; locks hold nothing."""
    found: dict[str, Path] = {}
    for path in sorted(record.rglob("*")):
        if path.is_file() and not path.name.startswith("lock"):
            place = path.relative_to(record)
            found.setdefault(
                "/".join(part for part in place.parts if not part[:6].isdigit()) + str(place.suffix), place
            )
    levels = [place.relative_to(record) for place in sorted(record.rglob("c/0/0*")) if place.is_file()]
    return sorted({*found.values(), *levels})


def resumed(folder: Path, place: Path, spoil: Callable[[Path], object]) -> tuple[Any, ...] | str:
    """What a record holds after it was gone on with, one of its files spoiled; or the sentence that is said."""
    path = Path(shutil.copytree(folder / "floor.mosaic.zarr", folder / "spoiled.mosaic.zarr"))
    try:
        spoil(path / place)
        with segment(folder / "floor.png", path, params=PARAMS, resume=True) as record:
            return content_of(record)
    except MosaicError as error:
        return str(error)
    finally:
        shutil.rmtree(path)


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_made_again_or_named(folder: Path, damage: str) -> None:
    with open_record(folder / "floor.mosaic.zarr") as record:
        expected = content_of(record)

    def spoil(file: Path) -> None:
        file.write_bytes(DAMAGES[damage](file.read_bytes()))

    for place in kinds(folder / "floor.mosaic.zarr"):
        found = resumed(folder, place, spoil)
        if isinstance(found, str):
            assert place.name in NAMED, f"{place}: {found}"
            assert "spoiled.mosaic.zarr" in found
        else:
            assert found == expected, place


def test_a_file_that_is_gone_is_made_again_or_named(folder: Path) -> None:
    with open_record(folder / "floor.mosaic.zarr") as record:
        expected = content_of(record)
    for place in kinds(folder / "floor.mosaic.zarr"):
        if place.parts[0] != "journal":  # edits without their journal are edits no more
            found = resumed(folder, place, Path.unlink)
            assert found == expected or place.name in NAMED, f"{place}: {found if isinstance(found, str) else ''}"
