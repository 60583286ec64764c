"""Disks that spoil files, fail or fill up, processes that are killed: nothing is lost, nothing wrong is handed on.

What these show with a few faults, `benchmarks/faults.py` does with thousands.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from filelock import FileLock
from PIL import Image

from bright import bright_stones
from edit_model import largest, rows_of, whole
from failing_disk import FailingDisk, at
from fault_rounds import (
    FLOOR,
    JOBS,
    PHOTOGRAPH,
    Content,
    Session,
    check_again,
    disturbed,
    make_templates,
    outcome,
    read_content,
    record_at,
)
from fault_rounds import PARAMS as SMALL
from killed import check_killed, in_child, kill, undisturbed
from napari_mosaic import SegmentParams, editing, export_record, open_record, segment
from napari_mosaic.errors import LockedError, MosaicError, RecordError, WriteError
from napari_mosaic.export import FORMATS
from napari_mosaic.files import append_synced
from napari_mosaic.record import Record
from napari_mosaic.record.ledger import Ledger
from napari_mosaic.segmentation import segment_steps

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


@pytest.fixture(scope="module")
def templates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small photograph and its record with nine shards and edits; see `fault_rounds`."""
    return make_templates(tmp_path_factory.mktemp("templates"))


def single_faults(templates: Path, folder: Path, name: str, every: int, first: int = 0) -> int:
    """One operation of a job fails, each `every`-th in its turn; how many rounds that were."""
    expected = outcome(templates, folder / "sound", JOBS[name])
    for rounds, number in enumerate(range(first, 10_000, every)):
        disk = FailingDisk(folder / "failing", at(number))
        said = disturbed(templates, folder / "failing", JOBS[name], disk)
        if not disk.faults:
            return rounds
        assert "\n" not in said
        check_again(folder / "failing", JOBS[name], expected)
    raise AssertionError("it never ends")


@pytest.mark.parametrize("name", ["delete", "area", "import list"])
def test_an_edit_is_whole_or_not_made_whatever_fails(templates: Path, tmp_path: Path, name: str) -> None:
    assert single_faults(templates, tmp_path, name, every=17 if name == "import list" else 4) > 2


@pytest.mark.parametrize(("name", "every", "first"), [("start", 40, 3), ("recut", 80, 4), ("overwrite", 135, 15)])
def test_a_run_ends_in_a_sentence_and_goes_on_whatever_fails(
    templates: Path, tmp_path: Path, name: str, every: int, first: int
) -> None:
    assert single_faults(templates, tmp_path, name, every, first) > 0


@pytest.mark.parametrize("seed", [5, 8])
def test_a_session_on_a_failing_disk_loses_nothing(templates: Path, tmp_path: Path, seed: int) -> None:
    disk = Session(templates, tmp_path / "session", seed).run(20)
    assert disk.faults > 3


def test_what_could_not_be_added_to_a_file_is_not_there(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    append_synced(path, b"first\n")
    for number in range(2):  # the write, and the sync
        with FailingDisk(tmp_path, at(number)), pytest.raises(OSError, match="error"):
            append_synced(path, b"second\n")
        assert path.read_bytes() == b"first\n"


def test_a_line_of_the_ledger_that_was_refused_joins_no_other(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "a.mosaic.zarr" / "ledger")
    ledger._folder.mkdir(parents=True)
    with FailingDisk(tmp_path, at(0)), pytest.raises(WriteError, match="Input/output error"):
        ledger.add("map", [(1, 12345)])
    ledger.add("map", [(6, 7)])
    ledger.reload()
    assert ledger.done("map") == {(6, 7)}


def test_an_edit_that_a_disk_kept_from_the_tesserae_follows(templates: Path, tmp_path: Path) -> None:
    folder = JOBS["delete"].prepare(templates, tmp_path / "a")
    with open_record(record_at(folder, FLOOR), writable=True) as record:
        ids = largest(record, 2)
        with FailingDisk(folder, lambda operation: OSError if operation == "rename" else None):
            with pytest.raises(WriteError, match="The edit is kept in"):
                editing.delete(record, ids[:1])
            with pytest.raises(WriteError, match="so no other is made"):
                editing.delete(record, ids[1:])
            with pytest.raises(WriteError):
                editing.settle(record)
        assert editing.delete(record, ids[1:]) is not None
        assert not set(ids) & set(rows_of(record))
    read_content(record_at(folder, FLOOR))


def test_a_full_disk_ends_a_run_in_a_sentence_and_the_run_goes_on(templates: Path, tmp_path: Path) -> None:
    job = JOBS["start"]
    expected = outcome(templates, tmp_path / "sound", job)
    size = sum(path.stat().st_size for path in record_at(tmp_path / "sound", FLOOR).rglob("*") if path.is_file())
    said = disturbed(templates, tmp_path / "full", job, FailingDisk(tmp_path / "full", room=int(0.6 * size)))
    assert "is full" in said
    check_again(tmp_path / "full", job, expected)


@pytest.mark.parametrize("name", ["geojson", "png", "csv", "svg"])
def test_a_full_disk_leaves_an_export_as_it_was(templates: Path, tmp_path: Path, name: str) -> None:
    folder = JOBS["delete"].prepare(templates, tmp_path / "a")
    place = folder / f"out{FORMATS[name].suffixes[0]}"
    with open_record(record_at(folder, FLOOR)) as record:
        export_record(record, name, place)
        before = place.read_bytes()
        with FailingDisk(folder, room=100), pytest.raises(WriteError, match="disk is full"):
            export_record(record, name, place, overwrite=True)
    assert place.read_bytes() == before
    assert not list(folder.glob(".*"))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 4 MB that can really be filled."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "none", str(place)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this user may mount no small disk")
    yield place
    subprocess.run(["umount", str(place)], check=True)


@pytest.mark.parametrize("name", ["tiff", "ome-tiff", "geopackage", "shapefile", "zarr"])
def test_a_disk_that_libraries_fill_leaves_an_export_as_it_was(templates: Path, small_disk: Path, name: str) -> None:
    place = small_disk / f"out{FORMATS[name].suffixes[0]}"
    with open_record(record_at(templates, FLOOR)) as record:
        export_record(record, name, place)
        before = bytes_of(small_disk)
        (small_disk / "full").write_bytes(b"1" * (shutil.disk_usage(small_disk).free - 2048))
        with pytest.raises(WriteError, match="disk is full"):
            export_record(record, name, place, overwrite=True)
    (small_disk / "full").unlink()
    assert bytes_of(small_disk) == before


def bytes_of(folder: Path) -> dict[str, bytes]:
    """All files below a folder, and what they hold."""
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else b"" for path in folder.rglob("*")}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="jobs that are killed are forks")
@pytest.mark.parametrize(("name", "operation"), [("start", 60), ("delete", 5), ("overwrite", 100), ("recut", 30)])
def test_what_is_killed_is_gone_on_with(templates: Path, tmp_path: Path, name: str, operation: int) -> None:
    expected: Content = in_child(undisturbed, templates, tmp_path / "sound", name)[0]
    assert kill(templates, tmp_path / "killed", name, operation=operation)
    in_child(check_killed, tmp_path / "killed", name, expected)


def test_the_second_run_on_a_record_refuses(templates: Path, tmp_path: Path) -> None:
    folder = JOBS["run"].prepare(templates, tmp_path / "a")
    path = record_at(folder, FLOOR)
    with open_record(path, writable=True) as record, record.running(), pytest.raises(LockedError, match="already"):
        JOBS["run"].act(folder)
    with FileLock(str(path / "lock")), pytest.raises(LockedError, match="written by another process"):
        JOBS["run"].act(folder)


def run_and_paint(photograph: Path, record: Path) -> None:
    """A run, at whose first window somebody saves another picture in the place of the photograph."""
    content = photograph.read_bytes()
    for progress in segment_steps(photograph, record, params=SMALL, resume=True):
        if progress.phase == "joints" and photograph.read_bytes() == content:
            Image.fromarray(np.asarray(Image.open(photograph))[::-1]).save(photograph)


def test_a_photograph_that_changes_during_a_run_ends_it(templates: Path, tmp_path: Path) -> None:
    job = JOBS["run"]
    expected = outcome(templates, tmp_path / "sound", job)
    folder = job.prepare(templates, tmp_path / "a")
    photograph = folder / PHOTOGRAPH
    content = photograph.read_bytes()
    with pytest.raises(RecordError, match="was changed while it was segmented"):
        run_and_paint(photograph, record_at(folder, FLOOR))
    with pytest.raises(RecordError, match="was changed since"):
        job.act(folder)
    photograph.write_bytes(content)
    check_again(folder, job, expected)


def test_a_photograph_that_is_touched_during_a_run_is_the_same(templates: Path, tmp_path: Path) -> None:
    folder = JOBS["run"].prepare(templates, tmp_path / "a")
    photograph = folder / PHOTOGRAPH
    for progress in segment_steps(photograph, record_at(folder, FLOOR), params=SMALL, resume=True):
        if progress.phase == "joints":
            os.utime(photograph)
