"""The feature table: columns by name and unit, the same over any tiles, and the files that hold them."""

from __future__ import annotations

import csv
import hashlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray
from PIL import Image
from skimage.draw import line
from skimage.measure import regionprops, regionprops_table

from bright import bright_stones
from napari_mosaic import editing
from napari_mosaic.cli import main
from napari_mosaic.errors import InputError
from napari_mosaic.export import FORMATS, export_record
from napari_mosaic.image import PixelSize
from napari_mosaic.measurement import windows
from napari_mosaic.measurement.columns.shapes import orientations, perimeters
from napari_mosaic.measurement.features import choose_fields, feature_table, measure_column
from napari_mosaic.measurement.moments import moments
from napari_mosaic.measurement.registry import COLUMNS, find_fields
from napari_mosaic.measurement.table import read_tesserae
from napari_mosaic.measurement.units import FORMS
from napari_mosaic.measurement.view import View
from napari_mosaic.measurement.windows import tessera_windows
from napari_mosaic.record import Record, open_record
from napari_mosaic.request import SegmentParams
from napari_mosaic.segmentation import segment
from napari_mosaic.tiling import Box
from test_compatibility import unpack

MM = 0.5
CSV_BEFORE = {
    None: "67afbae30228dd5bc5a270d9423ae252c9df75099bd07eddc88e8b60b573a010",
    MM: "647290669f1e5ba827eedbe2bd994d1578c3d9d8c1647e0547a91c639aebb333",
}
"""What the table of the edited record of before was as CSV, at commit 58d7a83: plain; placed and with a pixel size."""

TOLD = [name for name, column in COLUMNS.items() if column.unit != "map"]
"""Columns that can be told of a photograph that is not placed."""


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished record in tiles of 64 px, with a pixel size, of a photograph that lies on the disk."""
    folder = tmp_path_factory.mktemp("measurement")
    path = folder / "a.mosaic.zarr"
    Image.fromarray(bright_stones((230, 310))).save(folder / "a.png")
    params = SegmentParams(method="brightness", scale=1.0, tile_size=64)
    segment(folder / "a.png", path, params=params).close()
    with open_record(path, writable=True) as mine:
        mine.set_pixel_size(MM)
    return path


@pytest.fixture
def record(template: Path, tmp_path: Path) -> Iterator[Record]:
    with open_record(shutil.copytree(template, tmp_path / "a.mosaic.zarr")) as opened:
        yield opened


def whole(record: Record) -> NDArray[Any]:
    return record.read_labels(Box(0, 0, *record.shape))


def read_rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("mm", CSV_BEFORE)
def test_the_usual_table_is_byte_for_byte_what_it_was(tmp_path: Path, mm: float | None) -> None:
    path = unpack("edited", tmp_path)
    if mm is not None:
        with open_record(path, writable=True) as record:
            record.update(
                pixel_size=PixelSize(mm=mm, confirmed=True, origin="user"),
                crs="EPSG:32636",
                affine=(0.002, 0.0, 300000.0, 0.0, -0.002, 4000000.0),
            )
    with open_record(path) as record:
        written = export_record(record, "csv", tmp_path / "a.csv")
        same = export_record(record, "csv", tmp_path / "b.csv", columns=["default"])
    assert hashlib.sha256(written.read_bytes()).hexdigest() == CSV_BEFORE[mm]
    assert same.read_bytes() == written.read_bytes()


@pytest.mark.parametrize("name", sorted(COLUMNS))
def test_a_column_says_what_it_is_and_reads_no_more_than_it_says(record: Record, name: str) -> None:
    column, tesserae = COLUMNS[name], read_tesserae(record)
    assert len(column.help) > 5
    assert set(column.forms.values()) <= {*FORMS["px"], *FORMS["px2"], *FORMS["per_px2"], "deg", "map", "1", "text"}
    view = View(record, tesserae, np.arange(len(tesserae)))
    if column.source == "table":
        assert measure_column(view, name).shape == (len(tesserae),)
    elif column.unit != "map":
        with pytest.raises(InputError, match=r"of the table alone|of some tesserae alone"):
            measure_column(view, name)


@pytest.mark.parametrize("tile", [48, 64, 512])
def test_every_column_is_the_same_over_any_tiles(record: Record, monkeypatch: pytest.MonkeyPatch, tile: int) -> None:
    expected = feature_table(record, TOLD)
    monkeypatch.setattr(windows, "TILE", tile)
    found = feature_table(record, TOLD)
    assert list(found) == list(expected)
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values, err_msg=name)


def test_units_follow_the_confirmed_pixel_size(record: Record) -> None:
    table = feature_table(record, ["area", "width"])
    assert list(table) == ["number", "id", "area_px", "area_mm2", "width_px", "width_mm"]
    np.testing.assert_allclose(table["area_mm2"], table["area_px"] * MM**2, atol=0.01)
    np.testing.assert_allclose(table["width_mm"], table["width_px"] * MM, atol=0.01)
    with open_record(record.path, writable=True) as mine:
        mine.set_pixel_size(MM, confirmed=False)
    assert list(feature_table(record, ["area", "width_px"])) == ["number", "id", "area_px", "width_px"]
    with pytest.raises(InputError, match=r"'width_mm' cannot be told .* confirm it first"):
        choose_fields(record, ["width_mm"])
    with pytest.raises(InputError, match="not placed on a map"):
        find_fields(record, ["map_x"])


def test_pixels_are_those_of_the_photograph(tmp_path: Path, photograph: Callable[..., Any]) -> None:
    params = SegmentParams(method="brightness", scale=0.75, tile_size=64)
    with segment(photograph((230, 310)), tmp_path / "a.mosaic.zarr", params=params) as record:
        table, inner = feature_table(record, ["area", "width"]), read_tesserae(record).columns
        factor = record.plan.factor
    assert factor != 1
    np.testing.assert_allclose(table["area_px"], inner["area"] / factor**2, atol=0.01)
    np.testing.assert_allclose(table["width_px"], (inner["x1"] - inner["x0"]) / factor, atol=0.01)


def test_a_tessera_beyond_the_halo_is_flagged_and_whole_in_a_window_of_its_own(
    record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(windows, "TILE", 64)
    first = read_tesserae(record).columns["id"][0]
    far = int(read_tesserae(record).columns["id"][-1])
    with open_record(record.path, writable=True) as mine:
        editing.merge(mine, [int(first), far], bridge=0)
    with open_record(record.path) as edited:
        expected = feature_table(edited, ["area", "centre_y", "solidity", "large"])
        assert not expected["large"].any()
        monkeypatch.setattr(windows, "HALO", 60)
        tesserae = read_tesserae(edited)
        found = feature_table(edited, ["area", "centre_y", "solidity", "large"])
        boxes = [(window.box, window.tile, len(window.rows)) for window in tessera_windows(edited, tesserae)]
    assert found.pop("large").sum() == 1
    for name, values in found.items():
        np.testing.assert_array_equal(values, expected[name])
    beyond = [count for box, tile, count in boxes if tile.grow(60).intersect(box) != box]
    assert beyond == [1]


def test_chosen_columns_stand_in_csv_and_geopackage(record: Record, tmp_path: Path) -> None:
    pyogrio = pytest.importorskip("pyogrio")
    names = ["solidity", "width_mm", "colour_contrast", "large"]
    table = export_record(record, "csv", tmp_path / "a.csv", columns=names)
    map_ = export_record(record, "geopackage", tmp_path / "a.gpkg", columns=names)
    rows = read_rows(table)
    assert list(rows[0]) == ["number", "id", *names]
    info, _, wkb, columns = pyogrio.raw.read(map_, layer="tesserae")
    assert info["fields"].tolist() == ["number", "id", *names]
    assert len(wkb) == len(rows) == record.count
    for name, values in zip(info["fields"], columns, strict=True):
        written = {row["number"]: row[name] for row in rows}
        for number, value in zip(columns[0], values, strict=True):
            assert str(value) == written[str(number)]


def test_a_choice_that_cannot_be_kept_is_refused(record: Record, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no column 'girth'; choose among .*solidity"):
        export_record(record, "csv", tmp_path / "a.csv", columns=["girth"])
    with pytest.raises(InputError, match="png has no columns to choose; export as geopackage or csv"):
        export_record(record, "png", tmp_path / "a.png", columns=["area"])
    assert not list(tmp_path.glob("*.csv")) + list(tmp_path.glob("*.png"))


@pytest.mark.parametrize("name", [name for name, format_ in FORMATS.items() if format_.columns])
def test_a_record_without_a_tessera_has_the_columns(record: Record, tmp_path: Path, name: str) -> None:
    ids = read_tesserae(record).columns["id"].tolist()
    with open_record(record.path, writable=True) as mine:
        editing.delete(mine, ids)
    with open_record(record.path) as empty:
        path = export_record(empty, name, tmp_path / f"a{FORMATS[name].suffixes[0]}", columns=TOLD)
        fields = [field.name for field in choose_fields(empty, TOLD)]
    if name == "csv":
        assert path.read_text() == ",".join(fields) + "\n"
    elif name == "parquet":
        assert pq.read_schema(path).names == fields
    elif name == "geopackage":
        assert pytest.importorskip("pyogrio").read_info(path, layer="tesserae")["fields"].tolist() == fields


def test_the_command_line_takes_columns(record: Record, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.csv"
    words = ["export", str(record.path), "-o", str(path)]
    assert main([*words, "--columns", "default,elongation, width_mm"]) == 0
    names = list(read_rows(path)[0])
    assert names[-1] == "elongation"
    assert names.count("width_mm") == 1
    assert main([*words, "--columns", "girth", "--overwrite"]) != 0
    assert "solidity" in capsys.readouterr().err


@pytest.mark.parametrize("tile", [48, 64, 512])
def test_shapes_over_tiles_are_those_of_scikit_image_over_the_whole_picture(
    record: Record, monkeypatch: pytest.MonkeyPatch, tile: int
) -> None:
    monkeypatch.setattr(windows, "TILE", tile)
    numbered = read_tesserae(record).numbers_of(whole(record)).astype(np.int32)
    expected = regionprops_table(numbered, properties=("label", "area", "perimeter", "orientation"))
    found = feature_table(record, ["perimeter", "orientation", "equivalent_side"])
    np.testing.assert_array_equal(found["number"], expected["label"])
    np.testing.assert_allclose(found["perimeter_px"], expected["perimeter"], atol=0.0051)
    np.testing.assert_allclose(found["perimeter_mm"], expected["perimeter"] * MM, atol=0.0051)
    np.testing.assert_allclose(found["equivalent_side_mm"], np.sqrt(expected["area"]) * MM, atol=0.0051)
    apart = (found["orientation_deg"] - np.degrees(expected["orientation"]) - 90 + 90) % 180 - 90
    known = ~np.isnan(found["orientation_deg"])
    assert known.sum() > 90
    np.testing.assert_allclose(apart[known], 0, atol=0.0051)


def noise() -> NDArray[np.int32]:
    """Ragged regions that touch each other, with holes and single pixels."""
    rng = np.random.default_rng(1)
    labels = np.repeat(np.repeat(np.arange(1, 31, dtype=np.int32).reshape(5, 6), 12, 0), 12, 1)
    labels[rng.random(labels.shape) < 0.3] = 0
    labels[:12, :12] = 0
    labels[5, 5] = 1
    return labels


def test_ragged_shapes_are_measured_to_the_last_digit() -> None:
    labels = noise()
    found = regionprops(labels)
    ids = np.array([region.label for region in found])
    boxes = np.array([region.bbox for region in found])
    np.testing.assert_allclose(perimeters(labels, ids, boxes), [region.perimeter for region in found], rtol=1e-12)
    angles = orientations(moments(labels, ids, boxes))
    assert np.isnan(angles[0])
    wanted = np.degrees([region.orientation for region in found[1:]]) + 90
    np.testing.assert_allclose((angles[1:] - wanted + 90) % 180 - 90, 0, atol=1e-9)


@pytest.mark.parametrize(
    ("ends", "angle"),
    [((10, 2, 10, 18), 0.0), ((2, 10, 18, 10), 90.0), ((18, 2, 2, 18), 45.0), ((2, 2, 18, 18), 135.0)],
)
def test_orientation_turns_anticlockwise_from_the_x_axis(ends: tuple[int, int, int, int], angle: float) -> None:
    labels = np.zeros((21, 21), np.int32)
    labels[line(*ends)] = 1
    assert orientations(moments(labels, np.array([1]), np.array([[0, 0, 21, 21]]))) == pytest.approx(angle)


def test_a_square_has_no_direction_and_an_empty_cell(record: Record, tmp_path: Path) -> None:
    y0, x0 = (int(read_tesserae(record).columns[name][0]) for name in ("y0", "x0"))
    with open_record(record.path, writable=True) as mine:
        editing.delete(mine, read_tesserae(mine).columns["id"].tolist())
        editing.add_mask(mine, (y0, x0, y0 + 12, x0 + 12), np.ones((12, 12)))
    with open_record(record.path) as single:
        path = export_record(single, "csv", tmp_path / "a.csv", columns=["orientation", "equivalent_side", "area"])
    (row,) = read_rows(path)
    assert (row["orientation_deg"], row["equivalent_side_px"], row["equivalent_side_mm"]) == ("", "12.0", "6.0")


def test_every_column_stands_in_the_documentation_with_its_help() -> None:
    page = Path(__file__).resolve().parents[1] / "docs" / "measuring.md"
    if not page.exists():
        pytest.skip("not a checkout")
    lines = page.read_text(encoding="utf-8").splitlines()
    told = {line.split("`")[1]: line for line in lines if line.startswith("| `")}
    assert told.keys() == COLUMNS.keys()
    assert all(told[name].endswith(f"| {column.help} |") for name, column in COLUMNS.items())
