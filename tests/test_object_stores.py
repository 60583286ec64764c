"""Photographs and records at addresses: an S3 server on this machine, and fsspec's memory."""

from __future__ import annotations

import importlib.util
import io
import os
import signal
import subprocess
import sys
import textwrap
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr
from fsspec.implementations.memory import MemoryFileSystem
from PIL import Image

from bright import bright_stones, make_brightness
from napari_mosaic import SegmentParams, dependencies, editing, grown, leases, open_image, open_record, segment
from napari_mosaic.cli import main
from napari_mosaic.errors import DependencyError, InputError, LockedError, RecordError, WriteError
from napari_mosaic.leases import HeldError, take
from napari_mosaic.objects import address_of, as_place, zarr_store
from napari_mosaic.record import Record
from napari_mosaic.record.layer_features import state_of
from napari_mosaic.synthetic import draw_mosaic

pytest.importorskip("s3fs")
pytest.importorskip("moto")

from object_store import BUCKET, Asked, put_object, running_store

PARAMS = SegmentParams(scale=1, tile_size=1024)
names = count()


@pytest.fixture(scope="module")
def server() -> Iterator[Asked]:
    with running_store() as (_, asked):
        yield asked


@pytest.fixture
def asked(server: Asked) -> Iterator[Asked]:
    server.puts.clear()
    server.ranges.clear()
    yield server
    server.refuse = lambda method, key: False


@pytest.fixture(scope="module")
def picture() -> Any:
    return bright_stones((1100, 700))


@pytest.fixture(scope="module")
def floor(server: Asked, picture: Any) -> str:
    """A photograph in the store: tiles as GDAL writes them."""
    content = io.BytesIO()
    tifffile.imwrite(content, picture, tile=(256, 256), photometric="rgb", compression="zlib")
    as_place(f"s3://{BUCKET}/floor.tif").write_bytes(content.getvalue())
    return f"s3://{BUCKET}/floor.tif"


@pytest.fixture(scope="module")
def undisturbed(picture: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a run on a disk finds."""
    return content_of(run(picture, tmp_path_factory.mktemp("disk") / "floor.mosaic.zarr"))


def run(source: Any, place: Any, **options: Any) -> Record:
    return segment(source, place, segmenter=make_brightness(), params=PARAMS, **options)


def new_place(kind: str = f"s3://{BUCKET}") -> str:
    return f"{kind}/{next(names)}/floor.mosaic.zarr"


def content_of(record: Record) -> dict[str, Any]:
    """All that a run finds, of all levels."""
    with record:
        assert record.complete
        levels = [*record.map_levels, *record.tessera_levels]
        return {
            "pixels": [np.asarray(level[:]).tobytes() for level in levels],
            "rows": record.table().to_pylist(),
            "ledger": {phase: record.ledger.done(phase) for phase in ("map", "tesserae", "pyramid")},
            "areas": record.areas.to_geojson(),
        }


def test_a_run_from_a_store_into_a_store_finds_what_one_on_a_disk_finds(
    asked: Asked, floor: str, undisturbed: dict[str, Any]
) -> None:
    place = new_place()
    put_object(f"{place.partition(f'{BUCKET}/')[2]}/")  # a folder, says a console
    record = run(floor, place)
    assert record.source.location == floor
    assert content_of(record) == undisturbed
    shards = {key: times for key, times in asked.puts.items() if "/c/" in key or key.endswith(".parquet")}
    assert len(shards) >= 3 * 2
    assert set(shards.values()) == {1}  # one PUT each, in one piece
    assert all(asked.ranges["floor.tif"])  # by range alone


def test_what_is_in_memory_goes_into_any_store(picture: Any, undisturbed: dict[str, Any]) -> None:
    assert content_of(run(picture, new_place("memory://floors"))) == undisturbed


def test_pictures_zarrs_and_what_is_not_there(server: Asked, tmp_path: Path) -> None:
    del server
    store = zarr_store(as_place("memory://pictures/floor.zarr"))
    zarr.create_array(store, data=bright_stones((64, 80))[..., 0], chunks=(32, 32))
    with open_image("memory://pictures/floor.zarr") as image:
        assert (image.source.kind, image.shape) == ("zarr", (64, 80))
    png = as_place(f"s3://{BUCKET}/small floor.png")
    Image.fromarray(bright_stones((64, 80))).save(tmp_path / "a.png")
    png.write_bytes((tmp_path / "a.png").read_bytes())
    with open_image(str(png)) as image:
        assert image.shape == (64, 80)
        assert image.source.location == f"s3://{BUCKET}/small floor.png"
    with pytest.raises(FileNotFoundError, match=r"s3://floors/none\.tif does not exist"):
        open_image(f"s3://{BUCKET}/none.tif")


def test_commands_take_addresses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photograph, place = "memory://pictures/floor.png", new_place("memory://floors")
    content = io.BytesIO()
    Image.fromarray(bright_stones((300, 300))).save(content, "PNG")
    as_place(photograph).write_bytes(content.getvalue())
    command = ["segment", photograph, "-o", place, "--method", "brightness", "--scale", "1"]
    assert main(command) == 0
    assert main(["info", place]) == 0
    assert place in capsys.readouterr().out
    assert main(["export", place, "-o", str(tmp_path / "floor.csv")]) == 0
    assert main(["pixel-size", place, "0.5"]) == 0
    assert main([*command, "--resume"]) == 0
    assert main(["export", place, "-o", "memory://floors/floor.csv"]) == 1
    assert "exports go to a disk" in capsys.readouterr().err
    assert main(command) == 1
    assert "exists already" in capsys.readouterr().err
    assert main([*command, "--overwrite"]) == 0


def test_edits_are_objects_and_joined_when_the_record_is_closed() -> None:
    place = new_place("memory://floors")
    run(bright_stones((300, 300)), place).close()
    with open_record(place, writable=True) as record, open_record(place) as reader:
        count = record.count
        ids = record.table(["id"]).column("id").to_pylist()
        editing.delete(record, ids[:1])
        editing.delete(record, ids[1:2])
        editing.undo(record)
        assert (record.count, reader.count, len(reader.journal)) == (count - 1, count - 1, 3)
        before = state_of(reader)
        assert before == state_of(reader)
        editing.redo(record)
        assert before != state_of(reader)
        editing.undo(record)
        assert len(list((record.path / "journal" / "edits.log.parts").iterdir())) == 5
    with open_record(place, writable=True) as record:
        assert sorted(path.name for path in (record.path / "journal").iterdir()) == ["edits.log", "settled"]
        editing.redo(record)
        editing.undo(record)
        editing.undo(record)
        assert record.count == count


_CHILD = """
    import sys
    from bright import make_brightness
    from napari_mosaic import SegmentParams, segment
    segment(*sys.argv[1:], segmenter=make_brightness(), params=SegmentParams(scale=1, tile_size=1024))
"""


def test_who_comes_after_a_kill_waits_for_its_lease_and_goes_on(
    asked: Asked, floor: str, undisturbed: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    place = new_place()
    child = subprocess.Popen([sys.executable, "-c", textwrap.dedent(_CHILD), floor, place], cwd=Path(__file__).parent)

    def kill(method: str, key: str) -> bool:
        if method == "PUT" and "tesserae/0/c/" in key:
            os.kill(child.pid, signal.SIGKILL)
        return False

    asked.refuse = kill
    assert child.wait(120) == -signal.SIGKILL
    asked.refuse = lambda method, key: False
    with open_record(place) as record:
        assert len(record.ledger.done("map")) > 0
        assert not record.complete
    with pytest.raises(LockedError, match=r"another process \(.* on .*, since .*\).* 60 seconds where it was killed"):
        run(floor, place, resume=True)
    monkeypatch.setattr(leases, "_has_ended", lambda lease: True)  # a minute later
    assert content_of(run(floor, place, resume=True)) == undisturbed


def test_puts_that_fail_now_and_then_are_tried_again(
    asked: Asked, floor: str, undisturbed: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    turn = count(1)
    asked.refuse = lambda method, key: method == "PUT" and next(turn) % 10 == 0
    assert content_of(run(floor, new_place())) == undisturbed
    assert asked.refused > 3


def test_a_store_that_goes_ends_in_a_sentence_and_the_run_goes_on_later(
    floor: str, undisturbed: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    place = new_place("memory://floors")
    with writes(24), pytest.raises(WriteError, match=r"cannot be written \(the cable was pulled\); .* --resume"):
        run(floor, place)
    monkeypatch.setattr(leases, "_has_ended", lambda lease: True)  # a minute later
    with open_record(place) as record:
        assert len(record.ledger.done("map")) > 0
        assert not record.complete
    assert content_of(run(floor, place, resume=True)) == undisturbed


@contextmanager
def writes(last: int = 1 << 30) -> Iterator[Counter[str]]:
    """Counts what is written to fsspec's memory; after the `last` time it takes nothing any more."""
    asked: Counter[str] = Counter()

    def counted(real: Callable[..., Any]) -> Callable[..., Any]:
        def write(*given: Any, **options: Any) -> Any:
            asked[real.__name__] += 1
            if asked.total() > last:
                raise OSError("the cable was pulled")
            return real(*given, **options)

        return write

    with pytest.MonkeyPatch.context() as patch:
        for name in ("pipe_file", "put_file", "rm"):
            patch.setattr(MemoryFileSystem, name, counted(getattr(MemoryFileSystem, name)))
        yield asked


def test_no_edit_is_lost_whichever_write_is_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "_has_ended", lambda lease: True)  # always a minute later
    small = bright_stones((130, 130))
    with run(small, new_place("memory://floors")) as record:
        place, ids = str(record.path), sorted(record.table(["id"]).column("id").to_pylist())

    def edit(place: str) -> tuple[Any, ...]:
        with open_record(place, writable=True) as record:
            steps = [
                lambda: editing.delete(record, ids[2:3]),
                lambda: editing.undo(record),
                lambda: editing.delete(record, ids[5:6]),
                lambda: editing.delete(record, ids[8:9]),
            ]
            while len(record.journal) < len(steps):
                steps[len(record.journal)]()
        with open_record(place) as record:
            levels = [np.asarray(level[:]).tobytes() for level in record.tessera_levels]
            return levels, record.table().to_pylist(), record.journal.done

    with writes() as asked:
        expected = edit(place)
    for last in range(0, asked.total(), 4):
        run(small, again := new_place("memory://floors")).close()
        with writes(last), suppress(WriteError):
            edit(again)
        assert edit(again) == expected, last


def test_an_overwritten_record_keeps_its_edits_or_loses_them_when_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "_has_ended", lambda lease: True)  # always a minute later
    picture, place = bright_stones((130, 130)), new_place("memory://floors")
    with run(picture, place) as record:
        count, ids = record.count, record.table(["id"]).column("id").to_pylist()
    with open_record(place, writable=True) as record:
        editing.delete(record, ids[:1])
    with writes() as asked:
        run(picture, place, overwrite=True).close()
    for last in range(0, asked.total(), 7):
        with writes(last), suppress(WriteError):
            run(picture, place, overwrite=True).close()
        with run(picture, place, overwrite=True) as record:
            assert record.complete
            assert (record.count, record.edits.kept) == (count - 1, None), last
    with run(picture, place, overwrite=True, discard_edits=True) as record:
        assert (record.count, len(record.journal)) == (count, 0)


def test_a_record_that_was_not_finished_being_made_is_made_anew(
    picture: Any, undisturbed: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from napari_mosaic.record import create

    place = new_place("memory://floors")
    with monkeypatch.context() as patch:
        patch.setattr(create, "write_metadata", lambda *given: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            run(picture, place)
    assert content_of(run(picture, place)) == undisturbed
    as_place("memory://others/floor.zarr/things.txt").write_bytes(b"mine")
    with pytest.raises(RecordError, match="holds other objects and no mosaic record"):
        run(picture, "memory://others/floor.zarr")


def test_a_lease_is_one_persons_and_who_loses_it_writes_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    record = as_place(new_place("memory://leases"))
    first = take(record / "lease", "first")
    with pytest.raises(HeldError, match="first"):
        take(record / "lease", "second")
    leases.require_held(record / "ledger" / "map.txt")
    monkeypatch.setattr(leases, "LEASE_S", -1.0)
    second = take(record / "lease", "second")
    monkeypatch.undo()
    assert leases.holder_of(record / "lease") == "second"
    monkeypatch.setattr(leases, "RENEW_S", 0.0)
    first._renew()
    assert first.lost
    assert not second.lost
    second.release()
    take(record / "lease", "third").release()


def test_a_store_that_keeps_nobody_apart_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    real = leases.put
    monkeypatch.setattr(leases, "put", lambda path, content, new=False: real(path, content))
    with pytest.raises(WriteError, match="knows no conditional writes"):
        run(bright_stones((64, 64)), new_place("memory://old"))


def test_a_file_that_grows_is_whole_at_any_moment() -> None:
    file = as_place("memory://grown/map.txt")
    for line in (b"0 0\n", b"0 1\n", b"1 0\n"):
        grown.append(file, line, None)
    assert grown.read(file) == b"0 0\n0 1\n1 0\n"
    with pytest.raises(FileExistsError):
        grown.append(file, b"2 2\n", 4)  # somebody who knows of one line only
    parts = {path.name: path.read_bytes() for path in file.with_name("map.txt.parts").iterdir()}
    grown.join(file)
    for name, content in parts.items():  # as if a crash had kept them from being removed
        (file.with_name("map.txt.parts") / name).write_bytes(content)
    assert grown.read(file) == b"0 0\n0 1\n1 0\n"
    assert grown.size(file) == 12
    grown.append(file, b"1 1\n", None)
    assert grown.size(file) == 16
    grown.rewrite(file, b"0 0\n0 1\n")
    assert grown.read(file) == b"0 0\n0 1\n"
    assert grown.read_at(file, 4, 3) == b"0 1"


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("s3://bucket/floor.tif", "s3://bucket/floor.tif"),
        (Path("s3://bucket/floor.mosaic.zarr"), "s3://bucket/floor.mosaic.zarr"),
        ("floor.tif", None),
        ("C:/floors/a.tif", None),
        ("sample:brick", None),
        ("file:///floors/a.tif", None),
        ("https://floors.org/a.tif", None),
    ],
)
def test_addresses_are_told_from_paths(text: Any, address: str | None) -> None:
    assert address_of(text) == address


def test_what_cannot_be_reached_is_said_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"floppy://a/b is an address of a kind that cannot be read"):
        open_record("floppy://a/b")
    with monkeypatch.context() as patch:
        patch.setattr("napari_mosaic.objects.missing_of", lambda package: package)
        with pytest.raises(DependencyError, match=r"s3:// needs the package s3fs.*napari-mosaic\[objects\]"):
            open_image("s3://elsewhere/floor.tif")
    assert dependencies.extra_of("upath") == "objects"


def test_the_workers_of_a_cluster_write_into_a_store(floor: str, picture: Any) -> None:
    distributed = pytest.importorskip("distributed")
    params = SegmentParams(method="gradient-watershed", scale=1.0, tile_size=1024)
    alone = content_of(segment(picture, new_place("memory://floors"), params=params))
    with distributed.Client(processes=False, n_workers=2, threads_per_worker=1, dashboard_address=None) as client:
        assert content_of(segment(floor, new_place("memory://floors"), params=params, client=client)) == alone


def test_masks_of_sam2_go_into_a_store(asked: Asked, tmp_path: Path) -> None:
    """The photograph there, its masks beside the tesserae or in their place, as on a disk, and finished."""
    if importlib.util.find_spec("sam2") is None:  # importing it here would initialise hydra
        pytest.skip("sam2 is not installed")
    picture = draw_mosaic(180, seed=800_000, geometry="bond", tessera_px=26.0, damaged=False).image
    Image.fromarray(picture).save(tmp_path / "floor.png")
    address = f"s3://{BUCKET}/sam/floor.png"
    as_place(address).write_bytes((tmp_path / "floor.png").read_bytes())
    small = Path(__file__).parent / "data" / "sam2-mosaic-small.safetensors"
    words = ["--method", "grout+sam2", "--sam2.model", str(small)]
    places = [str(tmp_path / "floor.mosaic.zarr"), f"s3://{BUCKET}/sam/floor.mosaic.zarr"]
    for source, place in zip((str(tmp_path / "floor.png"), address), places, strict=True):
        assert main(["segment", source, "-o", place, *words]) == 0
    here, there = (content_of(open_record(place)) for place in places)
    assert len(here["rows"]) > 20
    assert here == there
    asked.puts.clear()
    assert main(["segment", address, "-o", places[1], *words, "--resume"]) == 0
    assert not any("/labels/" in key for key in asked.puts)
