"""One truth for the pixel size: what is confirmed, and that a record says the same whenever it is set."""

from __future__ import annotations

import csv
import json
import math
import multiprocessing
import os
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from PIL import Image

from napari_mosaic.cli import main
from napari_mosaic.drawn_sizes import size_of_line
from napari_mosaic.errors import InputError, LockedError, RecordError
from napari_mosaic.export import FORMATS, export_record
from napari_mosaic.image import PixelSize, open_image
from napari_mosaic.image.pixel_size import (
    confirmed_mm,
    describe_extent,
    describe_size,
    dpi_size,
    given_size,
    size_of_affine,
)
from napari_mosaic.record import Record, layout, open_record, rescaling
from napari_mosaic.request import SegmentParams
from napari_mosaic.segmentation import segment, segment_steps

METHOD = SegmentParams(method="brightness", scale=0.75, tile_size=64)
DPI_72 = PixelSize(mm=25.4 / 72, confirmed=False, origin="dpi tag")


@pytest.fixture
def floor(tmp_path: Path, photograph: Callable[..., Any]) -> Path:
    """A photograph with the 72 dpi that programs write for want of a better figure."""
    path = tmp_path / "floor.tif"
    Image.fromarray(photograph((230, 310))).save(path, dpi=(72, 72))
    return path


def said(path: Path) -> dict[str, Any]:
    """All that a record says of its pixel size, to our own and to other programs, and what it hands on."""
    stored = json.loads((path / "mosaic.json").read_text())["pixel_size"]
    groups = {name: zarr.open_group(str(path / name), mode="r").attrs.asdict() for name in ("", "labels/tesserae")}
    found: dict[str, Any] = {"stored": stored, "groups": groups}
    with open_record(path) as record:
        found["layers"] = [(meta["scale"], meta["translate"], meta["units"]) for _, meta, _ in record.layers()]
        for name, format_ in FORMATS.items():
            out = export_record(record, name, path.parent / f"{path.name}.out{format_.suffixes[0]}", overwrite=True)
            found[name] = content(out)
    return found


def content(path: Path) -> Any:
    """What an export holds: of a GeoPackage its rows, of a workbook its sheets, for they note when they were made."""
    if path.suffix == ".gpkg":
        import sqlite3

        base = sqlite3.connect(path)
        tables = [row[0] for row in base.execute("select table_name from gpkg_contents order by 1")]
        rows = {name: base.execute(f'select * from "{name}"').fetchall() for name in tables}
        base.close()
        return rows
    if path.suffix == ".xlsx":
        with zipfile.ZipFile(path) as book:
            return {name: book.read(name) for name in book.namelist() if name != "docProps/core.xml"}
    files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
    return [(file.relative_to(path.parent).parts[1:], file.read_bytes()) for file in files]


def scales(path: Path, name: str = "") -> tuple[str | None, list[float]]:
    """The unit of a group and the edge of a pixel of each level."""
    multiscale = zarr.open_group(str(path / name), mode="r").attrs["ome"]["multiscales"][0]  # type: ignore[index,call-overload]
    steps = [d["coordinateTransformations"][0]["scale"][-1] for d in multiscale["datasets"]]  # type: ignore[index,union-attr,call-overload]
    return multiscale["axes"][-1].get("unit"), steps  # type: ignore[index,union-attr,call-overload,return-value]


# when it is set -----------------------------------------------------------------------------------


def test_given_before_during_after_and_with_resume_it_makes_the_same_record(floor: Path) -> None:
    places = {name: floor.parent / name / "a.mosaic.zarr" for name in ("before", "during", "after", "resumed", "line")}
    segment(floor, places["before"], params=METHOD, pixel_mm=0.5).close()
    steps = segment_steps(floor, places["during"], params=METHOD)
    for progress in steps:
        if progress.region is not None:
            with open_record(places["during"], writable=True) as record:
                record.set_pixel_size(0.5)
            break
    for _ in steps:
        pass
    segment(floor, places["after"], params=METHOD).close()
    with open_record(places["after"], writable=True) as record:
        record.set_pixel_size(0.5)
    segment(floor, places["resumed"], params=METHOD).close()
    segment(floor, places["resumed"], params=METHOD, resume=True, pixel_mm=0.5).close()
    segment(floor, places["line"], params=METHOD, pixel_mm=7.0).close()
    assert main(["pixel-size", str(places["line"]), "0.5"]) == 0
    first = said(places["before"])
    assert first["stored"] == {"mm": 0.5, "confirmed": True, "origin": "user"}
    assert first["layers"][0][2] == ("mm", "mm")
    assert scales(places["before"])[0] == "millimeter"
    for name, place in places.items():
        assert said(place) == first, name


def test_none_takes_it_away_everywhere(floor: Path, tmp_path: Path) -> None:
    segment(floor, tmp_path / "a.mosaic.zarr", params=METHOD, pixel_mm=0.5).close()
    with open_record(tmp_path / "a.mosaic.zarr", writable=True) as record:
        record.set_pixel_size(None)
        assert record.pixel_size is None
        assert record.layers()[0][1]["units"] == ("pixel", "pixel")
    assert scales(tmp_path / "a.mosaic.zarr") == (None, [1 / 0.75, 2 / 0.75])
    assert scales(tmp_path / "a.mosaic.zarr", "labels/tesserae") == (None, [1 / 0.75, 2 / 0.75])


def test_what_is_no_size_or_only_read_is_refused(floor: Path) -> None:
    with segment(floor, params=METHOD) as record:
        with pytest.raises(RecordError, match="writable=True"):
            record.set_pixel_size(0.5)
        with open_record(record.path, writable=True) as mine:
            for mm in (0, -1, math.nan, math.inf):
                with pytest.raises(InputError, match="no size"):
                    mine.set_pixel_size(mm)
        assert record.pixel_size == DPI_72


def test_a_replaced_record_keeps_what_a_person_said(floor: Path) -> None:
    segment(floor, params=METHOD, pixel_mm=0.5).close()
    with segment(floor, params=METHOD, overwrite=True) as record:
        assert record.pixel_size == PixelSize(mm=0.5, confirmed=True, origin="user")
    with segment(floor, params=METHOD, overwrite=True, pixel_mm=0.6) as record:
        assert record.pixel_mm == 0.6


def test_a_size_that_is_none_moves_no_record_aside(floor: Path) -> None:
    segment(floor, params=METHOD).close()
    with pytest.raises(InputError, match="no size"):
        segment(floor, params=METHOD, overwrite=True, pixel_mm=-1.0)
    assert sorted(path.name for path in floor.parent.glob("*.zarr")) == ["floor.mosaic.zarr"]


# who sees it --------------------------------------------------------------------------------------


def test_all_open_handles_and_readers_see_it_at_once(floor: Path) -> None:
    with segment(floor, params=METHOD) as reader, open_record(reader.path, writable=True) as one:
        assert reader.pixel_mm is None
        with open_record(reader.path, writable=True) as other:
            other.set_pixel_size(0.5)
            assert (one.pixel_mm, reader.pixel_mm) == (0.5, 0.5)
            assert reader.layers()[1][1]["scale"] == pytest.approx((0.5 / 0.75, 0.5 / 0.75))
            assert reader.metadata.pixel_size == one.metadata.pixel_size


def _set_elsewhere(path: str, mm: float) -> None:
    with open_record(path, writable=True) as record:
        record.set_pixel_size(mm)


def test_a_reader_sees_what_another_process_set(floor: Path) -> None:
    with segment(floor, params=METHOD) as reader:
        work = multiprocessing.get_context("spawn").Process(target=_set_elsewhere, args=(str(reader.path), 0.25))
        work.start()
        work.join(120)
        assert work.exitcode == 0
        assert reader.pixel_mm == 0.25


def test_while_another_process_writes_one_sentence_says_so(floor: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = floor.with_name("floor.mosaic.zarr")
    segment(floor, params=METHOD).close()
    script = f"from napari_mosaic.cli import main; import sys; sys.exit(main(['pixel-size', {str(place)!r}, '0.5']))"
    import subprocess
    import sys

    with open_record(place, writable=True) as record:
        found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
        assert record.pixel_mm is None
    assert found.returncode == 1
    assert "is being written by another process" in found.stderr
    assert issubclass(LockedError, Exception)


def test_every_labels_group_follows_whoever_made_it(floor: Path) -> None:
    with segment(floor, params=METHOD) as record:
        path, plan = record.path, record.plan
    with open_record(path, writable=True) as record:
        record.add_label_layer("sam2")
        root = zarr.open_group(str(path), mode="r+")
        layout.create_labels(root, "truth", plan, None)
        small = root["labels"].create_group("thumb")  # type: ignore[union-attr]
        small.create_array("0", shape=(plan.shape[0] // 3, plan.shape[1] // 3), chunks=(32, 32), dtype="u4")
        axes = [{"name": name, "type": "space"} for name in "yx"]
        small.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": [{"path": "0"}]}]}
        record.set_pixel_size(0.5)
    for name in ("", "labels/tesserae", "labels/sam2", "labels/truth"):
        unit, steps = scales(path, name)
        assert unit == "millimeter", name
        assert steps == pytest.approx([0.5 / 0.75, 1 / 0.75]), name
    unit, steps = scales(path, "labels/thumb")
    assert unit == "millimeter"
    assert steps == pytest.approx([0.5 / 0.75 * plan.shape[1] / (plan.shape[1] // 3)])
    with open_record(path, writable=True) as record:
        assert rescaling.rescale_arrays(path, plan, record.pixel_mm) == []


def test_labels_made_later_are_in_the_size_of_then(floor: Path) -> None:
    with segment(floor, params=METHOD) as found, open_record(found.path, writable=True) as record:
        record.set_pixel_size(0.5)
        record.add_label_layer("sam2")
        assert scales(record.path, "labels/sam2") == scales(record.path, "labels/tesserae")


# crashes and older records ------------------------------------------------------------------------


def test_a_crash_between_the_files_is_mended_when_the_record_is_opened(
    floor: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with segment(floor, params=METHOD) as record:
        path = record.path

    def die(source: Any, target: Any) -> None:
        if str(target).endswith("zarr.json") and "labels" in str(target):
            raise KeyboardInterrupt
        real(source, target)

    real = os.replace
    record = open_record(path, writable=True)
    monkeypatch.setattr(os, "replace", die)
    with pytest.raises(KeyboardInterrupt):
        record.set_pixel_size(0.5)
    monkeypatch.undo()
    record.close()
    assert scales(path)[0] == "millimeter"
    assert scales(path, "labels/tesserae")[0] is None  # what the crash left behind
    with open_record(path) as reader:
        assert reader.layers()[1][1]["scale"] == pytest.approx((0.5 / 0.75, 0.5 / 0.75))
    open_record(path, writable=True).close()
    assert scales(path, "labels/tesserae") == scales(path)
    assert not list(path.rglob("*.tmp"))


def test_an_older_record_in_unconfirmed_millimetres_is_read_right_and_migrated(floor: Path) -> None:
    with segment(floor, params=METHOD) as record:
        path, plan = record.path, record.plan
    rescaling.rescale_arrays(path, plan, DPI_72.mm)  # as it was written before
    with open_record(path) as reader:
        assert reader.pixel_size == DPI_72
        assert reader.layers()[0][1]["units"] == ("pixel", "pixel")
    open_record(path, writable=True).close()
    assert scales(path) == (None, [1 / 0.75, 2 / 0.75])


# what is unconfirmed scales nothing ---------------------------------------------------------------


def test_72_dpi_scale_no_layer_no_array_and_no_export_until_somebody_says_yes(floor: Path, tmp_path: Path) -> None:
    with segment(floor, params=METHOD) as record:
        path = record.path
        assert record.pixel_size == DPI_72
        assert record.layers()[0][1]["units"] == ("pixel", "pixel")
        assert scales(path)[0] is None
        with export_record(record, "csv", tmp_path / "a.csv").open() as file:
            assert not any("mm" in name for name in next(csv.reader(file)))
    assert main(["pixel-size", str(path), "--confirm"]) == 0
    with open_record(path) as record:
        assert record.pixel_size == replace(DPI_72, confirmed=True)
        assert record.layers()[0][1]["units"] == ("mm", "mm")


@pytest.mark.parametrize(
    ("size", "words"),
    [
        (replace(DPI_72, mm=0.35), "0.35 mm (from dpi, not confirmed)"),
        (replace(DPI_72, confirmed=True), "0.3528 mm (from dpi, confirmed)"),
        (PixelSize(mm=0.5, confirmed=True, origin="user"), "0.5 mm (given by a person)"),
        (PixelSize(mm=0.5, confirmed=True, origin="GeoTIFF"), "0.5 mm (from GeoTIFF, confirmed)"),
        (None, None),
    ],
)
def test_a_size_is_told_with_its_origin(size: PixelSize | None, words: str | None) -> None:
    assert describe_size(size) == words
    assert describe_extent((2450, 3200), 1.0) == "3.20 x 2.45 m"


# the one rule -------------------------------------------------------------------------------------


def decided(affine: tuple[float, ...], code: Any) -> PixelSize | None:
    import pyproj

    crs = None if code is None else pyproj.CRS.from_user_input(code)
    return size_of_affine(affine, crs, (200, 300), "GeoTIFF")  # type: ignore[arg-type]


LOCAL = 'LOCAL_CS["Local Coordinates (m)",LOCAL_DATUM["Local Datum",0],UNIT["metre",1],AXIS["X",EAST],AXIS["Y",NORTH]]'
SQUARE = (0.0005, 0.0, 5e5, 0.0, -0.0005, 5e6)


@pytest.mark.parametrize(
    ("code", "mm", "confirmed"),
    [
        ("EPSG:32633", 0.5, True),
        ("EPSG:2229", 0.5 * 1200 / 3937, True),  # US survey feet
        ("EPSG:2222", 0.5 * 0.3048, True),  # international feet
        ("EPSG:32633+5773", 0.5, True),  # with heights
        (None, 0.5, False),
        (LOCAL, 0.5, False),
    ],
)
def test_projected_metres_and_feet_are_confirmed_and_nothing_else(code: str, mm: float, confirmed: bool) -> None:
    size = decided(SQUARE, code)
    assert size is not None
    assert size.mm == pytest.approx(mm, rel=1e-12)
    assert (size.confirmed, size.origin) == (confirmed, "GeoTIFF")


def test_degrees_give_no_size() -> None:
    assert decided((1e-8, 0, 12, 0, -1e-8, 42), "EPSG:4326") is None


def test_a_web_map_is_measured_on_the_ground() -> None:
    size = decided((0.001, 0, 0, 0, -0.001, 8399737.9), "EPSG:3857")  # at 60 degrees north, where its metre is half
    assert size is not None
    assert size.mm == pytest.approx(0.5, rel=5e-3)


def test_turned_pixels_keep_their_true_sides() -> None:
    turn, edge = math.radians(30), 0.0005
    a, d = edge * math.cos(turn), edge * math.sin(turn)
    size = decided((a, d, 5e5, d, -a, 5e6), "EPSG:32633")
    assert size is not None
    assert (size.mm, size.confirmed) == (pytest.approx(0.5), True)


@pytest.mark.parametrize(
    ("affine", "word"),
    [
        ((0.0005, 0, 5e5, 0, -0.001, 5e6), "pixels of 0.5 x 1 mm are not square"),
        ((0.0005, 0.0005 * 0.5, 5e5, 0, -0.0005 * math.sqrt(0.75), 5e6), "pixels are sheared"),
    ],
)
def test_pixels_that_are_not_square_are_not_confirmed_and_say_why(affine: Any, word: str) -> None:
    size = decided(affine, "EPSG:32633")
    assert size is not None
    assert size.mm == pytest.approx(1000 * math.sqrt(abs(affine[0] * affine[4])))
    assert confirmed_mm(size) is None
    assert size.origin == f"GeoTIFF, {word}"
    assert word in str(describe_size(size))


def test_two_resolutions_of_a_scan_are_not_one_side_of_it() -> None:
    size = dpi_size((100, 200))
    assert size is not None
    assert "not square" in size.origin


def test_a_line_measures_a_pixel() -> None:
    assert size_of_line((0, 0), (30, 40), 25) == PixelSize(mm=0.5, confirmed=True, origin="drawn line")
    with pytest.raises(InputError, match="shorter than a pixel"):
        size_of_line((5, 5), (5, 5), 25)
    for length in (0.0, -2.0, math.nan):
        with pytest.raises(InputError, match="no length"):
            size_of_line((0, 0), (30, 40), length)


def test_a_file_in_degrees_keeps_its_place_and_takes_no_dpi(tmp_path: Path) -> None:
    rasterio = pytest.importorskip("rasterio")
    path = tmp_path / "a.tif"
    profile = {"driver": "GTiff", "height": 40, "width": 60, "count": 3, "dtype": "uint8", "crs": "EPSG:4326"}
    with rasterio.open(path, "w", transform=rasterio.Affine(1e-8, 0, 12, 0, -1e-8, 42), **profile) as dataset:
        dataset.write(np.zeros((3, 40, 60), np.uint8))
        dataset.update_tags(TIFFTAG_XRESOLUTION="72", TIFFTAG_YRESOLUTION="72", TIFFTAG_RESOLUTIONUNIT="2")
    with open_image(path) as image:
        assert image.pixel_size is None
        assert image.crs == "EPSG:4326"
        assert image.affine is not None


# the command --------------------------------------------------------------------------------------


@pytest.fixture
def place(floor: Path) -> Path:
    segment(floor, params=METHOD).close()
    return floor.with_name("floor.mosaic.zarr")


def test_the_command_tells_what_is_known(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pixel-size", str(place)]) == 0
    found = capsys.readouterr().out
    assert "0.3528 mm (from dpi, not confirmed)" in found
    assert "size on the floor" not in found
    assert main(["pixel-size", str(place), "10"]) == 0
    assert main(["info", str(place)]) == 0
    found = capsys.readouterr().out
    assert found.count("10 mm (given by a person)") == 2
    assert found.count("3.10 x 2.30 m") == 2
    assert main(["pixel-size", str(place), "--forget", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["pixel_size"] is None


def test_the_command_takes_a_line(place: Path) -> None:
    assert main(["pixel-size", str(place), "--line", "10,20,40,60", "--length-mm", "25"]) == 0
    with open_record(place) as record:
        assert record.pixel_size == PixelSize(mm=0.5, confirmed=True, origin="drawn line")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["0.5", "--confirm"], "give one of them"),
        (["--line", "1,2,3,4"], "together"),
        (["--line", "1,2,3", "--length-mm", "5"], "is no line"),
        (["--line", "1,2,1,2", "--length-mm", "5"], "shorter than a pixel"),
    ],
)
def test_what_the_command_cannot_take_is_told(
    place: Path, words: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["pixel-size", str(place), *words]) != 0
    assert told in capsys.readouterr().err
    with open_record(place) as record:
        assert record.pixel_size == DPI_72


def test_batch_and_segment_bring_it_to_records_that_are_there(place: Path) -> None:
    method = ["--method", "brightness", "--scale", "0.75"]
    table = place.with_name("jobs.csv")
    table.write_text("source;mm per pixel\nfloor.tif;0,5\n")
    assert main(["batch", str(table), *method]) == 0
    with open_record(place) as record:
        assert record.pixel_mm == 0.5
    photograph = str(place.with_name("floor.tif"))
    assert main(["segment", photograph, *method, "--resume", "--pixel-mm", "0.25"]) == 0
    with open_record(place) as record:
        assert record.pixel_mm == 0.25
        assert isinstance(record, Record)


@pytest.mark.parametrize("mm", [1e300, 1e6, 1e-5, 0.0, -1.0, float("nan"), float("inf")])
def test_a_size_that_is_none_of_a_floor_is_refused(mm: float) -> None:
    with pytest.raises(InputError, match=r"A pixel size of .* mm is no"):
        given_size(mm)
