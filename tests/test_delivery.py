"""The folder that is handed in, read by other libraries, and the sums behind its drawing."""

from __future__ import annotations

import csv
import errno
import json
import shutil
import sqlite3
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import shapely
from PIL import Image

from bright import bright_stones
from napari_mosaic import editing
from napari_mosaic.area_files import read_area_file
from napari_mosaic.areas import Area, AreaSet
from napari_mosaic.cli import main
from napari_mosaic.errors import InputError, WriteError
from napari_mosaic.export import delivery, sheet
from napari_mosaic.export.delivery import deliver
from napari_mosaic.export.region import RegionRecord, grid_of
from napari_mosaic.export.sheet import layout_of
from napari_mosaic.measuring import measure
from napari_mosaic.record import Record, open_record
from napari_mosaic.record.finished import mark_finished
from napari_mosaic.request import SegmentParams
from napari_mosaic.segmentation import segment
from napari_mosaic.tiling import Box

pytest.importorskip("ezdxf")
pytest.importorskip("matplotlib")
AFFINE = (0.0005, 0.0, 300_000.0, 0.0, -0.0005, 4_500_000.0)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("delivery")
    Image.fromarray(bright_stones((230, 310))).save(folder / "a.png")
    path = folder / "a.mosaic.zarr"
    segment(folder / "a.png", path, params=SegmentParams(method="brightness", scale=1.0, tile_size=64)).close()
    with open_record(path, writable=True) as mine:
        mine.set_pixel_size(0.5)
        ring = shapely.box(200, 100, 280, 180).difference(shapely.box(220, 120, 240, 140))
        mine.areas = AreaSet((Area(kind="lacuna", geometry=ring),))
    return path


@pytest.fixture
def record(template: Path, tmp_path: Path) -> Iterator[Record]:
    with open_record(shutil.copytree(template, tmp_path / "a.mosaic.zarr"), writable=True) as opened:
        yield opened


def test_the_folder_holds_what_it_says(record: Record, tmp_path: Path) -> None:
    import ezdxf
    import pyogrio

    record.update(crs="EPSG:32633", affine=AFFINE)
    place = deliver(record, tmp_path / "hand", crs="EPSG:4326", author="A. Conservator")
    names = {"tesserae.gpkg", "tesserae.dxf", "tesserae.csv", "columns.csv", "drawing.pdf", "README.txt"}
    assert {path.name for path in place.iterdir()} == names
    info = pyogrio.read_info(place / "tesserae.gpkg", layer="tesserae")
    assert info["crs"] == "EPSG:4326"
    assert info["features"] == record.count
    assert 12.6 < info["total_bounds"][0] < 12.7  # longitude first, near the foot of zone 33's western edge
    assert not ezdxf.readfile(place / "tesserae.dxf").audit().errors
    with (place / "tesserae.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    with (place / "columns.csv").open(newline="") as file:
        told = [row["column"] for row in csv.DictReader(file)]
    assert len(rows) == record.count
    assert list(rows[0]) == told
    assert "joint_width_mm" in told
    readme = (place / "README.txt").read_text(encoding="utf-8")
    for words in ("A. Conservator", "0.5 mm", "EPSG:4326", "1:1 on A4", "none was edited by hand", "Lacuna"):
        assert words in readme
    assert (place / "drawing.pdf").read_bytes().startswith(b"%PDF")


def test_the_styles_are_found_by_name_and_are_whole(record: Record, tmp_path: Path) -> None:
    place = deliver(record, tmp_path / "hand")
    with sqlite3.connect(place / "tesserae.gpkg") as base:
        rows = base.execute(
            "SELECT f_table_name, f_geometry_column, useAsDefault, styleQML FROM layer_styles"
        ).fetchall()
        columns = dict(base.execute("SELECT table_name, column_name FROM gpkg_geometry_columns").fetchall())
        kinds = dict(base.execute("SELECT table_name, data_type FROM gpkg_contents").fetchall())
    assert {row[0]: row[1] for row in rows} == columns == {"tesserae": "geom", "areas": "geom"}
    assert kinds["layer_styles"] == "attributes"
    for name, _, default, qml in rows:
        root = ElementTree.fromstring(qml.partition(">")[2])
        symbols = {symbol.get("name") for symbol in root.iter("symbol")}
        assert default == 1
        assert symbols
        if name == "areas":
            assert {category.get("symbol") for category in root.iter("category")} == symbols
            assert "lacuna" in {category.get("value") for category in root.iter("category")}


def test_nothing_in_millimetres_that_nobody_vouches_for(record: Record, tmp_path: Path) -> None:
    record.set_pixel_size(0.5, confirmed=False)
    with pytest.raises(InputError, match=f"napari-mosaic pixel-size {record.path} MM"):
        deliver(record, tmp_path / "hand")
    assert not (tmp_path / "hand").exists()
    mark_finished(record, Box(0, 0, 90, 90))
    place = deliver(record, tmp_path / "hand", in_pixels=True)
    assert "_mm" not in (place / "columns.csv").read_text()
    assert "1 window\n" in (place / "README.txt").read_text()
    assert "not to scale" in (place / "README.txt").read_text()


@pytest.mark.parametrize(
    ("crs", "mm", "unit", "words"),
    [
        ("EPSG:4326", None, 0, "pixels from the lower left corner of the photograph, without a unit: nobody vouches"),
        ("EPSG:4326", 0.5, 4, "mm from the lower left corner of the photograph; CAD has no unit for EPSG:4326"),
        ("EPSG:2263", None, 21, "in US survey feet of EPSG:2263"),
    ],
)
def test_the_drawing_of_any_map_says_its_unit(
    record: Record, tmp_path: Path, crs: str, mm: float | None, unit: int, words: str
) -> None:
    import ezdxf

    affine = (5e-9, 0.0, 12.6, 0.0, -5e-9, 41.9) if crs == "EPSG:4326" else AFFINE
    record.set_pixel_size(mm or 0.5, confirmed=mm is not None)
    record.update(crs=crs, affine=affine)
    place = deliver(record, tmp_path / "hand", in_pixels=True)
    assert ezdxf.readfile(place / "tesserae.dxf").header["$INSUNITS"] == unit
    assert words in (place / "README.txt").read_text(encoding="utf-8")


def test_a_system_that_cannot_be_told_is_refused_before_anything_is_written(record: Record, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not placed on a map"):
        deliver(record, tmp_path / "hand", crs="EPSG:4326")
    record.update(crs="EPSG:32633", affine=AFFINE)
    with pytest.raises(InputError, match="no coordinate system"):
        deliver(record, tmp_path / "hand", crs="EPSG:none")
    assert not (tmp_path / "hand").exists()


def test_a_folder_is_replaced_where_it_is_one_of_ours_alone(
    record: Record, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = deliver(record, tmp_path / "hand")
    with pytest.raises(WriteError, match="exists already"):
        deliver(record, place)
    before = (place / "README.txt").read_bytes()

    def full_disk(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    with monkeypatch.context() as patch:
        patch.setattr(delivery, "write_sheet_steps", full_disk)
        with pytest.raises(WriteError, match="full"):
            deliver(record, place, author="B", overwrite=True)
    assert (place / "README.txt").read_bytes() == before
    deliver(record, place, author="B", overwrite=True)
    assert b" B\n" in (place / "README.txt").read_bytes()
    (tmp_path / "plain.txt").write_text("mine")
    with pytest.raises(WriteError, match="is a file, and a folder"):
        deliver(record, tmp_path / "plain.txt", overwrite=True)
    assert (tmp_path / "plain.txt").read_text() == "mine"
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "letter.txt").write_text("mine")
    with pytest.raises(WriteError, match="other things"):
        deliver(record, tmp_path / "other", overwrite=True)


def test_an_area_that_a_region_only_touches_is_none_of_it(record: Record) -> None:
    part = RegionRecord(record, shapely.box(0, 0, 200, 230))  # the lacuna begins where it ends
    assert not list(part.areas)
    assert part.figures().px["lacuna"] == 0
    corner = shapely.box(0, 0, 250, 230).difference(shapely.box(180, 90, 250, 150))
    assert [area.kind for area in RegionRecord(record, corner).areas] == ["lacuna"]


def test_the_palette_that_was_measured_is_told(record: Record, template: Path, tmp_path: Path) -> None:
    shutil.copy(template.parent / "a.png", tmp_path / "a.png")

    def told(name: str) -> str:
        return (deliver(record, tmp_path / name) / "README.txt").read_text(encoding="utf-8")

    assert "nobody looked at the photograph" in told("before")
    palette = measure(record).whole.palette
    assert palette
    readme = told("after")
    assert all(f"{colour.number} {colour.srgb}" in readme for colour in palette)
    assert "nobody looked at the photograph" not in readme
    editing.delete(record, record.table(["id"])["id"].to_pylist()[:1])
    assert "as they were before 1 edit" in told("edited")


def test_of_a_region_only_what_lies_in_it_is_delivered_and_told(
    record: Record, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import pyogrio

    far, near = (
        next(id_ for id_, x0, x1 in rows if good(x0, x1))
        for rows in [list(zip(*record.table(["id", "x0", "x1"]).to_pydict().values(), strict=True))]
        for good in (lambda x0, _: x0 > 170, lambda x0, x1: x0 > 20 and x1 < 140)
    )
    editing.delete(record, [far])
    editing.grow(record, [near], px=1)
    mark_finished(record, Box(0, 200, 90, 300))
    before = {path.name: path.stat().st_mtime_ns for path in record.path.rglob("*") if path.is_file()}
    words = ["deliver", str(record.path), "-o", str(tmp_path / "hand"), "--region", "0", "0", "230", "155"]
    assert main(words) == 0
    part = RegionRecord(record, shapely.box(0, 0, 155, 230))
    info = pyogrio.read_info(tmp_path / "hand" / "tesserae.gpkg", layer="tesserae")
    assert info["features"] == part.count < record.count
    assert len((tmp_path / "hand" / "tesserae.csv").read_text().splitlines()) == part.count + 1
    readme = (tmp_path / "hand" / "README.txt").read_text(encoding="utf-8")
    for told in (
        f"Found                           {part.count}\n",
        f"{part.count - 1} ({(part.count - 1) / part.count:.1%}) are as the machine found them",
        "0 were deleted",
        "0 windows",
        "y 0-230, x 0-155 px",
        f"{part.figures().density_dm2:.4g} per dm²",
    ):
        assert told in readme
    assert "Lacuna" not in readme
    assert layout_of(part, "A3").mm_a_pixel >= layout_of(record, "A3").mm_a_pixel
    capsys.readouterr()
    assert main(["measure", str(record.path), "--region", "0", "0", "230", "155", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["count"]["found"] == part.count
    assert main(["measure", str(record.path), "--region", "0", "0", "1", "1"]) == 0
    assert "No tessera of a.mosaic.zarr has its centre in the region" in capsys.readouterr().err
    assert main([*words[:-4], "400", "400", "500", "500", "--overwrite"]) == 1
    assert {path.name: path.stat().st_mtime_ns for path in record.path.rglob("*") if path.is_file()} == before


def test_the_areas_of_a_delivery_are_read_beside_its_stones(
    record: Record, tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    place = deliver(record, tmp_path / "hand")
    areas = read_area_file(place / "tesserae.gpkg", grid_of(record))
    assert [area.kind for area in areas] == ["lacuna"]
    assert next(iter(areas)).geometry.equals(next(iter(record.areas)).geometry)
    assert not [warning for warning in recwarn if "layer" in str(warning.message)]


def test_the_command_delivers(record: Record, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["deliver", str(record.path), "-o", str(tmp_path / "hand")]
    assert main([*words, "--author", "A", "--sheet", "A4"]) == 0
    assert "drawing.pdf" in capsys.readouterr().out
    assert main(words) == 1
    assert "exists already" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("shape", "mm", "sheet_", "scale"),
    [
        ((230, 310), 0.5, "A4", 1),
        ((911, 1440), 0.9, "A3", 5),
        ((1440, 911), 0.9, "A3", 5),
        ((20_000, 30_000), 0.5, "A3", 50),
        ((400, 600), None, "A3", None),
    ],
)
def test_scales_are_usual_ones_and_the_drawing_fits(
    shape: tuple[int, int], mm: float | None, sheet_: str, scale: int | None
) -> None:
    layout = sheet.choose_layout(shape, mm)
    assert (layout.sheet, layout.scale) == (sheet_, scale)
    assert sorted(layout.size) == sorted(sheet.SHEETS[sheet_])
    assert shape[1] * layout.mm_a_pixel <= layout.size[0]
    assert shape[0] * layout.mm_a_pixel <= layout.size[1]
    if mm is not None:
        assert layout.mm_a_pixel * (scale or 0) == pytest.approx(mm)


def test_lines_of_the_title_block_stay_on_a_narrow_sheet() -> None:
    from matplotlib.textpath import TextPath

    sentence = "By hand: All of the 16,819 tesserae are as the machine found them; none was edited by hand."
    folded = sheet.fold_lines([sentence, "Method: grout"], 75)
    assert " ".join(folded[:-1]) == sentence
    assert folded[-1] == "Method: grout"
    assert all(TextPath((0, 0), line, size=7).get_extents().width * 25.4 / 72 < 75 for line in folded)


def test_lengths_of_bars_are_round() -> None:
    assert [sheet.round_length(most) for most in (1, 1.9, 4.99, 5, 40, 260, 0.3)] == [1, 1, 2, 5, 20, 200, 0.2]


def test_the_north_arrow_points_to_the_north_of_the_map_with_its_head_at_the_letter() -> None:
    arrows: list[np.ndarray] = []

    class Sheet:
        def annotate(
            self, letter: str, *, xy: tuple[float, float], xytext: tuple[float, float], arrowprops: dict, **_: object
        ) -> None:
            assert (letter, arrowprops["arrowstyle"]) == ("N", "<-")  # in matplotlib: the head is at the text
            arrows.append(np.subtract(xytext, xy))

    for affine in (AFFINE, (0.0, 0.0005, 300_000.0, 0.0005, 0.0, 4_500_000.0)):
        sheet._draw_north(Sheet(), affine, (10.0, 10.0))
    np.testing.assert_allclose(arrows[0], [0, 8], atol=1e-9)
    np.testing.assert_allclose(arrows[1], [8, 0], atol=1e-9)
