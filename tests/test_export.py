"""Exports against the record that they come from, at several scales and in small tiles."""

from __future__ import annotations

import csv
import gc
import json
import shutil
import sys
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import shapely
from numpy.typing import NDArray
from PIL import Image

from napari_mosaic import editing
from napari_mosaic.dependencies import missing_of
from napari_mosaic.errors import InputError, WriteError
from napari_mosaic.export import FORMATS, export_record, export_record_steps, find_format, label_tiles, png
from napari_mosaic.export.preview import draw_preview, render_preview
from napari_mosaic.export.quadrangles import fit_record
from napari_mosaic.image import PixelSize, open_image
from napari_mosaic.measurement.moments import centres
from napari_mosaic.measurement.source_grid import read_source_labels
from napari_mosaic.measurement.table import read_tesserae
from napari_mosaic.measurement.windows import tessera_windows
from napari_mosaic.metrics import evaluate_labels
from napari_mosaic.record import Record, open_record
from napari_mosaic.request import SegmentParams
from napari_mosaic.segmentation import segment
from napari_mosaic.tiling import Box

AFFINE = (0.002, 0.0, 300000.0, 0.0, -0.002, 4000000.0)

ABLE = {
    name: one
    for name, one in FORMATS.items()
    if not one.photograph and (one.package is None or missing_of(one.package) is None)
}
"""Formats that can be written here: the light package lacks what an extra brings."""


@pytest.fixture(params=[1.0, 0.75, 1.5], ids=["same size", "reduced", "enlarged"])
def record(request: pytest.FixtureRequest, tmp_path: Path, photograph: Callable[..., Any]) -> Iterator[Record]:
    params = SegmentParams(method="brightness", scale=request.param, tile_size=64)
    with segment(photograph((230, 310)), tmp_path / "a.mosaic.zarr", params=params) as record:
        yield record


@pytest.fixture
def plain(tmp_path: Path, photograph: Callable[..., Any]) -> Iterator[Record]:
    params = SegmentParams(method="brightness", scale=1.0, tile_size=64)
    with segment(photograph((230, 310)), tmp_path / "a.mosaic.zarr", params=params) as record:
        yield record


@pytest.fixture
def small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Exports in many pieces."""
    from napari_mosaic.export import ome_zarr
    from napari_mosaic.measurement import windows

    for module in (label_tiles, windows):
        monkeypatch.setattr(module, "TILE", 64)
    monkeypatch.setattr(ome_zarr, "_CHUNK", 32)
    monkeypatch.setattr(ome_zarr, "_SMALLEST", 64)
    monkeypatch.setattr(png, "band_rows", lambda _: 48)


def place(record: Record, **changes: Any) -> None:
    """Give a finished record map coordinates or a pixel size."""
    with open_record(record.path, writable=True) as mine:
        mine.update(**changes)


def expected_labels(record: Record) -> NDArray[np.uint32]:
    """Numbered labels on the source's grid, worked out pixel by pixel from the whole record."""
    table = record.table(["id", "y", "x"]).to_pydict()
    order = sorted(range(len(table["id"])), key=lambda i: (table["y"][i], table["x"][i]))
    number = {table["id"][i]: n + 1 for n, i in enumerate(order)} | {0: 0}
    labels = record.read_labels(Box(0, 0, *record.shape))
    height, width = record.plan.source_shape
    f, (h, w) = record.plan.factor, record.shape
    rows = [min(int((y + 0.5) * f), h - 1) for y in range(height)]
    columns = [min(int((x + 0.5) * f), w - 1) for x in range(width)]
    return np.array([[number[int(labels[y, x])] for x in columns] for y in rows], np.uint32)


def read_labels(path: Path) -> NDArray[Any]:
    if path.suffix == ".zarr":
        import zarr

        return np.asarray(zarr.open_group(str(path), mode="r")["0"])
    if path.suffix == ".png":
        return np.asarray(Image.open(path)).astype(np.uint32)
    import tifffile

    return tifffile.imread(path)


@pytest.mark.parametrize("name", ["tiff", "png", "zarr"])
@pytest.mark.usefixtures("small_tiles")
def test_label_exports_hold_numbers_in_reading_order_on_the_source_grid(
    record: Record, tmp_path: Path, name: str
) -> None:
    path = export_record(record, name, tmp_path / f"labels{FORMATS[name].suffixes[0]}")
    assert np.array_equal(read_labels(path), expected_labels(record))


@pytest.mark.usefixtures("small_tiles")
def test_progress_runs_to_the_end(plain: Record, tmp_path: Path) -> None:
    for name, format_ in ABLE.items():
        steps = list(export_record_steps(plain, name, tmp_path / f"out{format_.suffixes[0]}"))
        assert steps
        assert steps[-1].done == pytest.approx(steps[-1].total)
        assert all(a.done <= b.done for a, b in pairwise(steps))


def test_ids_may_be_any_numbers(plain: Record) -> None:
    stones = read_tesserae(plain)
    labels = plain.read_labels(Box(0, 0, *plain.shape))
    assert int(labels.max()) > 10 * len(stones)
    numbers = stones.numbers_of(labels)
    assert np.array_equal(np.unique(numbers), np.arange(len(stones) + 1))
    assert stones.numbers_of(np.array([[2**32 - 1, 0]], np.uint32)).tolist() == [[0, 0]]


def test_labels_of_a_part_are_those_of_the_whole(record: Record) -> None:
    whole = read_source_labels(record, Box(0, 0, 230, 310))
    part = read_source_labels(record, Box(31, 17, 200, 305))
    assert np.array_equal(part, whole[31:200, 17:305])


def test_a_placed_record_becomes_a_geotiff(plain: Record, tmp_path: Path) -> None:
    rasterio = pytest.importorskip("rasterio")
    place(plain, crs="EPSG:32636", affine=AFFINE, pixel_size=PixelSize(mm=2, confirmed=True, origin="GeoTIFF"))
    with open_record(plain.path) as record:
        path = export_record(record, "tiff", tmp_path / "labels.tif")
    with rasterio.open(path) as found:
        assert found.crs.to_epsg() == 32636
        assert tuple(found.transform)[:6] == AFFINE
        assert found.profile["tiled"]
        assert found.dtypes == ("uint16",)


def test_a_confirmed_pixel_size_stands_in_the_tiff(plain: Record, tmp_path: Path) -> None:
    import tifffile

    place(plain, pixel_size=PixelSize(mm=0.5, confirmed=True, origin="user"))
    with open_record(plain.path) as record:
        path = export_record(record, None, tmp_path / "labels.tif")
    with tifffile.TiffFile(path) as file:
        tags = file.pages[0].tags
        assert tags["XResolution"].value == (20, 1)
        assert tags["ResolutionUnit"].value == 3


def test_the_zarr_export_is_valid_and_has_levels(plain: Record, tmp_path: Path, small_tiles: None) -> None:
    models = pytest.importorskip("ome_zarr_models.v04")
    import zarr

    path = export_record(plain, "zarr", tmp_path / "labels.zarr")
    group = zarr.open_group(str(path), mode="r")
    found = models.Image.from_zarr(group)
    levels = [group[d.path] for d in found.attributes.multiscales[0].datasets]
    assert [level.shape for level in levels] == [(230, 310), (115, 155), (58, 78), (29, 39)]
    assert np.array_equal(levels[1][:], levels[0][::2, ::2])


def test_a_record_is_itself_a_valid_ome_zarr(plain: Record) -> None:
    models = pytest.importorskip("ome_zarr_models.v05")
    import zarr

    group = zarr.open_group(str(plain.path), mode="r")
    joints = models.Image.from_zarr(group)
    assert [axis.name for axis in joints.ome_attributes.multiscales[0].axes] == ["c", "y", "x"]
    assert models.Labels.from_zarr(group["labels"]).ome_attributes.labels == ["tesserae"]
    assert models.ImageLabel.from_zarr(group["labels/tesserae"]).ome_attributes.version == "0.5"


@pytest.mark.usefixtures("small_tiles")
def test_outlines_cover_their_tesserae(record: Record, tmp_path: Path) -> None:
    pyogrio = pytest.importorskip("pyogrio")
    path = export_record(record, "geopackage", tmp_path / "stones.gpkg")
    info, _, wkb, columns = pyogrio.raw.read(path, layer="tesserae")
    outlines = shapely.transform(shapely.from_wkb(wkb), lambda points: points * (1, -1))
    fields = dict(zip(info["fields"], columns, strict=True))
    assert sorted(fields["number"]) == list(range(1, record.count + 1))
    assert shapely.is_valid(outlines).all()
    assert np.median(shapely.area(outlines) / fields["area_px"]) == pytest.approx(1, abs=0.1)
    y, x = np.mgrid[:230, :310] + 0.5
    drawn = np.zeros((230, 310), np.uint32)
    for outline, number in zip(outlines, fields["number"], strict=True):
        drawn[shapely.contains_xy(outline, x, y)] = number
    agreement = evaluate_labels(drawn, expected_labels(record))
    assert agreement.mean_best_iou > 0.9
    assert agreement.at(0.5).f1 == 1


@pytest.mark.parametrize(("free", "words"), [(5000, "disk is full"), (10**9, "cannot be written .Failed to commit")])
def test_a_full_disk_is_told_where_gdal_does_not(
    record: Record, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, words: str
) -> None:
    pyogrio = pytest.importorskip("pyogrio")

    def refuse(*_: Any, **__: Any) -> None:
        raise pyogrio.errors.DataSourceError("Failed to commit transaction")

    monkeypatch.setattr(pyogrio.raw, "write", refuse)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free))
    with pytest.raises(WriteError, match=words):
        export_record(record, None, tmp_path / "stones.gpkg")
    assert not list(tmp_path.glob("*.gpkg"))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no disk that is always full")
def test_a_workbook_on_a_full_disk_ends_without_a_traceback(record: Record, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("openpyxl")
    tracebacks: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", tracebacks.append)
    with pytest.raises(OSError, match="No space left"):
        list(FORMATS["xlsx"].load()(record, Path("/dev/full")))
    gc.collect()
    assert not tracebacks


def test_outlines_of_a_placed_record_lie_on_the_map(plain: Record, tmp_path: Path) -> None:
    pyogrio = pytest.importorskip("pyogrio")
    place(plain, crs="EPSG:32636", affine=AFFINE)
    with open_record(plain.path) as record:
        path = export_record(record, None, tmp_path / "stones.gpkg")
    info, _, wkb, _ = pyogrio.raw.read(path, layer="tesserae")
    x0, y0, x1, y1 = shapely.total_bounds(shapely.from_wkb(wkb))
    assert "32636" in info["crs"]
    assert 300000 <= x0 < x1 <= 300000 + 310 * 0.002
    assert 4000000 - 230 * 0.002 <= y0 < y1 <= 4000000


def test_the_table_gives_centres_boxes_and_areas(record: Record, tmp_path: Path) -> None:
    path = export_record(record, "csv", tmp_path / "stones.csv")
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    labels, factor = record.read_labels(Box(0, 0, *record.shape)), record.plan.factor
    assert [int(row["number"]) for row in rows] == list(range(1, record.count + 1))
    for row in rows[:: max(1, len(rows) // 9)]:
        y, x = np.nonzero(labels == int(row["id"]))
        assert float(row["centre_y_px"]) == pytest.approx((y.mean() + 0.5) / factor, abs=0.01)
        assert float(row["centre_x_px"]) == pytest.approx((x.mean() + 0.5) / factor, abs=0.01)
        assert float(row["area_px"]) == pytest.approx(len(y) / factor**2, abs=0.01)
        assert float(row["y1_px"]) == pytest.approx((y.max() + 1) / factor, abs=0.01)
    assert "area_mm2" not in rows[0]


def test_millimetres_only_where_the_pixel_size_is_confirmed(plain: Record, tmp_path: Path) -> None:
    for confirmed in (False, True):
        place(plain, pixel_size=PixelSize(mm=0.5, confirmed=confirmed, origin="dpi tag"))
        with open_record(plain.path) as record:
            path = export_record(record, "csv", tmp_path / f"{confirmed}.csv")
        with path.open(newline="") as file:
            row = next(csv.DictReader(file))
        assert ("area_mm2" in row) == confirmed
    assert float(row["area_mm2"]) == pytest.approx(float(row["area_px"]) / 4, abs=0.01)


@pytest.mark.usefixtures("small_tiles")
def test_windows_visit_every_tessera_once_and_whole(plain: Record) -> None:
    stones = read_tesserae(plain)
    seen: list[int] = []
    for window in tessera_windows(plain, stones):
        counts = np.bincount(window.local.ravel(), minlength=len(window.rows) + 1)[1:]
        assert np.array_equal(counts, stones.columns["area"][window.rows])
        assert len(centres(window)) == len(window.rows)
        seen.extend(window.rows.tolist())
    assert sorted(seen) == list(range(len(stones)))


def test_what_is_there_is_not_replaced_unasked(plain: Record, tmp_path: Path) -> None:
    path = tmp_path / "labels.tif"
    path.write_text("mine")
    with pytest.raises(WriteError, match="exists already"):
        export_record(plain, None, path)
    assert path.read_text() == "mine"
    export_record(plain, None, path, overwrite=True)
    assert read_labels(path).shape == (230, 310)


def test_a_zarr_export_can_be_replaced_but_a_record_or_other_folder_cannot(plain: Record, tmp_path: Path) -> None:
    export_record(plain, None, tmp_path / "labels.zarr")
    export_record(plain, None, tmp_path / "labels.zarr", overwrite=True)
    with pytest.raises(WriteError, match="is a mosaic record"):
        export_record(plain, "zarr", plain.path, overwrite=True)
    with pytest.raises(WriteError, match="no folder"):
        export_record(plain, None, tmp_path / "nowhere" / "a.tif")
    (tmp_path / "folder.zarr").mkdir()
    (tmp_path / "folder.zarr" / "mine").touch()
    with pytest.raises(WriteError, match="other things"):
        export_record(plain, None, tmp_path / "folder.zarr", overwrite=True)


@pytest.mark.parametrize("name", sorted(ABLE))
@pytest.mark.usefixtures("small_tiles")
def test_a_cancelled_export_leaves_nothing(plain: Record, tmp_path: Path, name: str) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    steps = export_record_steps(plain, name, folder / f"a{FORMATS[name].suffixes[0]}")
    next(steps)
    steps.close()
    assert list(folder.iterdir()) == []


def test_more_tesserae_than_a_png_can_number_are_refused(
    plain: Record, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Many:
        def __len__(self) -> int:
            return 2**16

    monkeypatch.setattr(png, "read_tesserae", lambda _: Many())
    with pytest.raises(InputError, match="65536 tesserae"):
        export_record(plain, "png", tmp_path / "a.png")


def test_formats_are_found_by_name_or_suffix() -> None:
    assert find_format(None, "a.gpkg").name == "geopackage"
    assert find_format("tiff", "a.anything").name == "tiff"
    with pytest.raises(InputError, match="does not tell the format"):
        find_format(None, "a.xyz")
    with pytest.raises(InputError, match="choose one of"):
        find_format("jpeg", "a.jpg")


def test_memory_is_bounded_by_the_tile(plain: Record, monkeypatch: pytest.MonkeyPatch, small_tiles: None) -> None:
    largest = 0
    read = Record.read_labels

    def spy(self: Record, box: Box, level: int = 0) -> NDArray[Any]:
        nonlocal largest
        largest = max(largest, box.area)
        return read(self, box, level)

    monkeypatch.setattr(Record, "read_labels", spy)
    export_record(plain, "tiff", plain.path.with_name("a.tif"))
    export_record(plain, "zarr", plain.path.with_name("a.zarr"))
    assert largest <= 64 * 64


def test_the_preview_draws_on_tesserae_and_leaves_the_rest(plain: Record, tmp_path: Path, photograph: Any) -> None:
    with open_image(photograph((230, 310))) as image:
        drawn = render_preview(plain, image, max_px=310)
        path = draw_preview(plain, image, tmp_path / "preview.png", max_px=310)
        original = image.read(Box(0, 0, 230, 310))
    assert np.array_equal(np.asarray(Image.open(path)), drawn)
    changed = (drawn != original).any(axis=2)
    stones = read_source_labels(plain, Box(0, 0, 230, 310)) > 0
    near = stones.copy()
    near[:-1] |= stones[1:]
    near[:, :-1] |= stones[:, 1:]
    assert not (changed & ~near).any()
    assert 0.02 < changed.mean() < 0.5


def test_a_small_preview_tints_and_a_fine_one_enlarges(plain: Record, photograph: Any) -> None:
    with open_image(photograph((230, 310))) as image:
        tiny = render_preview(plain, image, max_px=60)
        large = render_preview(plain, image)
    assert max(tiny.shape) == 60
    assert max(large.shape) >= 310


def test_what_was_said_of_stones_and_areas_is_handed_on(plain: Record, tmp_path: Path) -> None:
    pyogrio = pytest.importorskip("pyogrio")
    first, second, third = read_tesserae(plain).columns["id"][[3, 8, 20]].tolist()
    with open_record(plain.path, writable=True) as mine:
        editing.assign(mine, [first], material="glass", state="fractured")
        editing.assign(mine, [second], material="stone")
        editing.delete(mine, [third])
        editing.add_area(mine, "lacuna", shapely.box(0, 0, 60, 310), name="west")
        mine.update(crs="EPSG:32636", affine=AFFINE)
    with open_record(plain.path) as record:
        paths = {name: export_record(record, name, tmp_path / f"a{FORMATS[name].suffixes[0]}") for name in ABLE}
        expected = editing.describe_report(editing.report(record))
    check_table(paths["csv"], {first: ("glass", "fractured"), second: ("stone", "")})
    notes = json.loads((tmp_path / "a.csv-metadata.json").read_text())["notes"][0]
    assert (notes["edited"], notes["deleted"], notes["edits"]) == (expected, 1, 4)
    info, _, _, columns = pyogrio.raw.read(paths["geopackage"], layer="tesserae")
    fields = dict(zip(info["fields"], columns, strict=True))
    assert dict(zip(fields["id"], fields["material"], strict=True))[first] == "glass"
    info, _, wkb, columns = pyogrio.raw.read(paths["geopackage"], layer="areas")
    assert dict(zip(info["fields"], columns, strict=True))["class"].tolist() == ["lacuna"]
    assert shapely.area(shapely.from_wkb(wkb))[0] == pytest.approx(60 * 310 * 0.002**2)
    assert pyogrio.read_info(paths["geopackage"], layer="areas")["dataset_metadata"]["edited"] == expected
    areas = json.loads(paths["areas"].read_text())
    said = areas["features"][0]["properties"]
    assert (said["class"], said["name"], areas["napari_mosaic"]["edited"]) == ("lacuna", "west", expected)
    quadrangles = json.loads(paths["quadrangles"].read_text())["features"]
    assert [q["properties"]["material"] for q in quadrangles if q["properties"]["id"] == first] == ["glass"]
    check_label_notes(paths, expected)


def check_table(path: Path, said: dict[int, tuple[str, str]]) -> None:
    with path.open(newline="") as file:
        rows = {int(row["id"]): row for row in csv.DictReader(file)}
    assert {id_: (rows[id_]["material"], rows[id_]["state"]) for id_ in said} == said
    assert {row["area_class"] for row in rows.values() if float(row["centre_x_px"]) < 60} == {"lacuna"}
    assert {row["area_class"] for row in rows.values() if float(row["centre_x_px"]) > 60} == {""}


def check_label_notes(paths: dict[str, Path], expected: str) -> None:
    import tifffile
    import zarr

    assert zarr.open_group(str(paths["zarr"]), mode="r").attrs["napari_mosaic"]["edited"] == expected
    with tifffile.TiffFile(paths["tiff"]) as file:
        assert expected in file.pages[0].description


def test_quadrangles_in_degrees_keep_their_shapes(plain: Record, tmp_path: Path) -> None:
    step = 2e-8  # degrees: some two millimetres on the ground
    affine = (step, 0.0, 14.4858, 0.0, -step, 40.7489)
    place(plain, crs="EPSG:4326", affine=affine)
    with open_record(plain.path) as record:
        path = export_record(record, "quadrangles", tmp_path / "q.quadrangles.geojson")
        pixels = np.vstack([corners.reshape(-1, 2) for _, corners, _ in fit_record(record, read_tesserae(record))])
    rings = [f["geometry"]["coordinates"][0] for f in json.loads(path.read_text())["features"]]
    assert len({str(ring) for ring in rings}) == len(rings)
    found = np.array([ring[:4] for ring in rings]).reshape(-1, 2)
    expected = np.column_stack([step * pixels[:, 0] + 14.4858, -step * pixels[:, 1] + 40.7489])
    np.testing.assert_allclose(found, expected, atol=6e-11, rtol=0)
