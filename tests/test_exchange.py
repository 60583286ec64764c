"""Exports for other programs as their own readers see them, parts of a floor, and a drawn floor all the way through."""

from __future__ import annotations

import csv
import json
import shutil
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
from napari_mosaic.cli import main
from napari_mosaic.errors import InputError, WriteError
from napari_mosaic.export import export_record, shapefile
from napari_mosaic.export.coco import keyhole, place_of_name
from napari_mosaic.export.delivery import deliver
from napari_mosaic.export.grouped import groups_of
from napari_mosaic.export.options import AnnotationOptions, DxfOptions, GeopackageOptions, ZarrOptions
from napari_mosaic.export.region import RegionRecord, grid_of, read_region
from napari_mosaic.export.shaping import Shaping, TracedOnce, smoothed
from napari_mosaic.measurement.features import feature_table
from napari_mosaic.measurement.source_grid import read_source_labels
from napari_mosaic.measurement.table import TesseraTable, read_tesserae
from napari_mosaic.measurement.windows import tessera_windows
from napari_mosaic.progress import Progress, Steps, side_by_side
from napari_mosaic.record import Record, open_record
from napari_mosaic.request import SegmentParams
from napari_mosaic.segmentation import segment
from napari_mosaic.tiling import Box

SIZE = (230, 310)
AFFINE = (0.0005, 0.0, 300_000.0, 0.0, -0.0005, 4_500_000.0)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exchange")
    Image.fromarray(bright_stones(SIZE)).save(folder / "a.png")
    path = folder / "a.mosaic.zarr"
    params = SegmentParams(method="brightness", scale=1.0, tile_size=64)
    segment(folder / "a.png", path, params=params, pixel_mm=0.5).close()
    return path


@pytest.fixture
def record(template: Path, tmp_path: Path) -> Iterator[Record]:
    with open_record(shutil.copytree(template, tmp_path / "a.mosaic.zarr"), writable=True) as opened:
        yield opened


def test_a_part_has_the_tesserae_whose_centres_lie_in_it_whole(record: Record, tmp_path: Path) -> None:
    table = feature_table(record, ["centre_y_px", "centre_x_px", "area_px"])
    inside = (table["centre_y_px"] > 50) & (table["centre_y_px"] < 150) & (table["centre_x_px"] < 200)
    ids = table["id"][inside]
    assert 10 < len(ids) < record.count - 10
    box = "50,-5,150,200"
    path = tmp_path / "a.csv"
    assert main(["export", str(record.path), "-o", str(path), "--region", "50", "-5", "150", "200"]) == 0
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["id"]) for row in rows] == ids.tolist()
    assert [int(row["number"]) for row in rows] == list(range(1, len(ids) + 1))
    assert [float(row["area_px"]) for row in rows] == table["area_px"][inside].tolist()
    (tmp_path / "part.geojson").write_text(json.dumps(shapely.geometry.mapping(shapely.box(0, 50, 200, 150))))
    for name in ("a.tif", "a.png", "a.ome.tif"):
        import tifffile

        made = export_record(record, None, tmp_path / name, region=tmp_path / "part.geojson")
        numbers = np.asarray(Image.open(made)) if name == "a.png" else tifffile.imread(made)
        source = read_source_labels(record, Box(0, 0, *SIZE))
        assert np.array_equal(numbers > 0, np.isin(source, ids))
        assert len(np.unique(numbers)) == len(ids) + 1
    part = RegionRecord(record, read_region(box, grid_of(record)))
    assert part.count == len(ids) == part.figures().count
    assert json.loads(export_record(part, None, tmp_path / "a.geojson").read_text())["napari_mosaic"]["region"]


@pytest.mark.parametrize("chosen", ["region", "ids"])
def test_a_part_has_the_rows_palette_and_densities_of_the_whole_floor(
    record: Record, tmp_path: Path, chosen: str
) -> None:
    import pyogrio

    names = ["row", "row_place", "row_direction", "row_coherence", "palette_class", "local_density"]
    table = feature_table(record, ["centre_y_px", *names])
    inside = table["centre_y_px"] < 110
    part = {"region": (0, 0, 110, SIZE[1])} if chosen == "region" else {"ids": table["id"][inside]}
    with export_record(record, None, tmp_path / "a.csv", columns=names, **part).open(newline="") as file:
        rows = list(csv.DictReader(file))
    path = export_record(record, None, tmp_path / "a.gpkg", columns=names, **part)
    meta, _, _, values = pyogrio.raw.read(path, layer="tesserae")
    drawn = dict(zip(meta["fields"], values, strict=True))
    order = np.argsort(drawn["number"])
    assert len(rows) == len(order) == inside.sum() > 10
    for name in [name for name in table if name not in ("number", "id", "centre_y_px")]:
        expected = table[name][inside]
        np.testing.assert_allclose([float(row[name]) for row in rows], expected, rtol=1e-9, err_msg=name)
        np.testing.assert_allclose(drawn[name][order].astype(float), expected, rtol=1e-9, err_msg=name)


def test_a_part_of_another_label_layer_has_that_layers_tesserae(record: Record, tmp_path: Path) -> None:
    """Every second tessera of the record, as a layer of its own, and of it the upper half of the floor."""
    layer = record.add_label_layer("half")
    for index in record.tesserae.done:
        rows, labels = record.tesserae.read_rows(index), record.read_labels(record.plan.shards.tile(index).core)
        kept = {k: v[rows["id"] % 2 == 0] for k, v in rows.items() if k not in ("material", "state")}
        layer.write_shard(index, np.where(labels % 2 == 0, labels, 0), kept)
        record.ledger.add(layer.name, [index])
    table = feature_table(record.with_labels("half"), ["centre_y_px", "area_px"])
    inside = table["centre_y_px"] < 110
    region = ["--labels", "half", "--region", "0", "0", "110", str(SIZE[1])]
    for name in ("a.csv", "a.gpkg", "a.geojson", "a.tif"):
        assert main(["export", str(record.path), "-o", str(tmp_path / name), *region]) == 0
    with (tmp_path / "a.csv").open(newline="") as file:
        found = list(csv.DictReader(file))
    assert [int(row["id"]) for row in found] == table["id"][inside].tolist()
    assert [float(row["area_px"]) for row in found] == table["area_px"][inside].tolist()
    numbers = np.asarray(Image.open(tmp_path / "a.tif"))
    assert len(np.unique(numbers)) == inside.sum() + 1
    assert len(json.loads((tmp_path / "a.geojson").read_text())["features"]) == inside.sum()
    deliver(record, tmp_path / "folder", labels="half")
    with (tmp_path / "folder" / "tesserae.csv").open(newline="") as file:
        assert sum(1 for _ in csv.DictReader(file)) == len(table["id"]) < record.count


def test_a_shapefile_is_read_by_gdal_with_its_names_told_beside(record: Record, tmp_path: Path) -> None:
    import pyogrio

    record.update(crs="EPSG:32633", affine=AFFINE)
    path = export_record(record, None, tmp_path / "a.shp", columns=["default", "rectangle_length"])
    assert {one.suffix for one in tmp_path.glob("a.*")} >= {".shp", ".shx", ".dbf", ".prj", ".cpg", ".csv"}
    info = pyogrio.read_info(path)
    assert (info["features"], info["crs"], info["encoding"]) == (record.count, "EPSG:32633", "UTF-8")
    with (tmp_path / "a.columns.csv").open(newline="") as file:
        told = {row["name"]: row for row in csv.DictReader(file)}
    assert list(told) == info["fields"].tolist()
    assert max(map(len, told)) <= 10
    names = {row["column"]: name for name, row in told.items()}
    meta, _, _, values = pyogrio.raw.read(path)
    found = dict(zip(meta["fields"], values, strict=True))
    expected = feature_table(record, ["rectangle_length_mm"])
    np.testing.assert_allclose(found[names["rectangle_length_mm"]], expected["rectangle_length_mm"], atol=0.01)
    assert found["id"].tolist() == [str(id_) for id_ in expected["id"]]
    with pytest.raises(WriteError, match="exists already"):
        export_record(record, None, path)
    path.unlink()
    with pytest.raises(WriteError, match="exists already"):  # its table is still there
        export_record(record, None, path)
    export_record(record, None, path, options=GeopackageOptions(crs="EPSG:4326"), overwrite=True)
    assert pyogrio.read_info(path)["crs"] == "EPSG:4326"


def test_short_names_are_ten_characters_and_each_is_one() -> None:
    long = ["rectangle_length_px", "rectangle_length_mm", "rectangle_width_mm", "journal", "id", "centre_x_px"]
    short = shapefile.short_names(long)
    assert list(short) == long
    assert len(set(short.values())) == len(long)
    assert max(map(len, short.values())) <= 10
    assert shapefile.JOURNAL not in short.values()


def test_ome_zarr_of_both_versions_and_ome_tiff_are_valid(record: Record, tmp_path: Path) -> None:
    models = pytest.importorskip("ome_zarr_models")
    import tifffile
    import zarr

    from napari_mosaic.export import ome_zarr

    for version, module in (("0.4", models.v04), ("0.5", models.v05)):
        path = export_record(record, "zarr", tmp_path / f"{version}.zarr", options=ZarrOptions(version=version))
        module.Image.from_zarr(zarr.open_group(str(path), mode="r"))
        assert zarr.open_group(str(path), mode="r").metadata.zarr_format == ome_zarr._ZARR[version]
    whole = np.asarray(zarr.open_group(str(tmp_path / "0.5.zarr"), mode="r")["0"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ome_zarr, "_SMALLEST", 64)
        made = export_record(record, None, tmp_path / "a.ome.tif")
    with tifffile.TiffFile(made) as file:
        assert file.is_ome
        levels = [level.asarray() for level in file.series[0].levels]
        root = ElementTree.fromstring(file.ome_metadata or "")
    assert len(levels) == 4
    for number, level in enumerate(levels):
        assert np.array_equal(level, whole[:: 2**number, :: 2**number])
    pixels = next(root.iter("{http://www.openmicroscopy.org/Schemas/OME/2016-06}Pixels"))
    assert (pixels.get("PhysicalSizeX"), pixels.get("PhysicalSizeXUnit")) == ("0.5", "mm")


def test_web_annotations_are_pages_of_svg_paths(record: Record, tmp_path: Path) -> None:
    canvas = "https://example.org/canvas/1"
    path = export_record(record, None, tmp_path / "a.annotations", options=AnnotationOptions(canvas=canvas, most=30))
    collection = json.loads((path / "collection.json").read_text())
    pages = [json.loads((path / page["id"]).read_text()) for page in collection["pages"]]
    items = [item for page in pages for item in page["items"]]
    assert max(len(page["items"]) for page in pages) <= 30
    assert len(items) == collection["total"] == record.count
    areas = {}
    for item in items:
        selector = item["target"]["selector"]
        assert (item["target"]["source"], selector["type"]) == (canvas, "SvgSelector")
        data = ElementTree.fromstring(selector["value"])[0].get("d", "")
        ring = [tuple(map(float, point.split())) for point in data.split("Z")[0].lstrip("M").split("L")]
        areas[int(item["id"].rpartition("-")[2])] = shapely.Polygon(ring).area
    table = feature_table(record, ["area_px"])
    found = np.array([areas[id_] for id_ in table["id"].tolist()])
    assert found.sum() == pytest.approx(table["area_px"].sum(), rel=0.02)
    assert json.loads((path / collection["pages"][0]["id"]).read_text())["type"] == "AnnotationPage"


def test_a_geopackage_in_degrees_on_request(record: Record, tmp_path: Path) -> None:
    import pyogrio

    record.update(crs="EPSG:32633", affine=AFFINE)
    words = ["export", str(record.path), "-o", str(tmp_path / "a.gpkg"), "--geopackage.crs", "EPSG:4326"]
    assert main(words) == 0
    assert pyogrio.read_info(tmp_path / "a.gpkg", layer="tesserae")["crs"] == "EPSG:4326"
    assert main(["export", str(record.path), "-o", str(tmp_path / "a.csv"), "--geopackage.crs", "EPSG:4326"]) == 2


def test_options_that_cannot_be_are_refused(record: Record, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has no DxfOptions"):
        export_record(record, "csv", tmp_path / "a.csv", options=DxfOptions())
    with pytest.raises(InputError, match="too many layers"):
        export_record(record, "dxf", tmp_path / "a.dxf", options=DxfOptions(layers="id"))
    with pytest.raises(InputError, match="tolerance of -1 mm"):
        export_record(record, "dxf", tmp_path / "a.dxf", options=DxfOptions(tolerance_mm=-1))
    record.set_pixel_size(None)
    with pytest.raises(InputError, match="Nobody vouches"):
        export_record(record, "dxf", tmp_path / "a.dxf", options=DxfOptions(tolerance_mm=1))
    assert not list(tmp_path.glob("a.[cd]*"))


def test_coco_is_read_by_its_own_library_pixel_for_pixel(record: Record, tmp_path: Path) -> None:
    coco = pytest.importorskip("pycocotools.coco")
    path = export_record(record, "coco", tmp_path / "a.coco")
    found = coco.COCO(str(path / "instances.json"))
    assert len(found.getAnnIds()) == record.count
    labels = read_source_labels(record, Box(0, 0, *SIZE))
    for picture in found.loadImgs(found.getImgIds()):
        y, x = place_of_name(picture["file_name"]) or (0, 0)
        window = labels[y : y + picture["height"], x : x + picture["width"]]
        for one in found.loadAnns(found.getAnnIds(picture["id"])):
            np.testing.assert_array_equal(found.annToMask(one) > 0, window == int(one["attributes"]["id"]))


def test_a_hole_becomes_part_of_one_ring() -> None:
    holed = shapely.box(0, 0, 20, 20).difference(shapely.box(5, 5, 9, 9)).difference(shapely.box(12, 12, 15, 15))
    assert shapely.make_valid(shapely.Polygon(keyhole(holed))).symmetric_difference(holed).area == 0


def test_neighbours_that_touch_share_their_edge(record: Record) -> None:
    ids = read_tesserae(record).columns["id"].tolist()
    with open_record(record.path, writable=True) as mine:
        editing.grow(mine, ids, px=3)
    drawn = []
    for tile in (64, 2048):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("napari_mosaic.measurement.windows.TILE", tile)
            windows = list(tessera_windows(record, read_tesserae(record)))
            found = [shape for window in windows for shape in Shaping("shared").trace(record, window)]
        shapes = np.array(sorted(found, key=lambda shape: shape.bounds), object)
        assert shapely.is_valid(shapes).all()
        assert shapely.area(shapes).sum() - shapely.union_all(shapes).area < 1e-6
        drawn.append(shapes)
    assert all(a.equals(b) for a, b in zip(*drawn, strict=True))


def test_a_smooth_outline_has_more_corners_and_nearly_the_area() -> None:
    square = shapely.box(0, 0, 20, 20)
    round_ = smoothed(square)
    assert len(round_.exterior.coords) == 17
    assert 0.8 * square.area < round_.area < square.area
    assert square.covers(round_)


def test_groups_are_small_compact_and_hold_each_once() -> None:
    rng = np.random.default_rng(0)
    y, x = rng.integers(0, 20_000, (2, 5000)).astype(np.int32)
    groups = list(groups_of(y, x, 300))
    assert sorted(np.concatenate(groups).tolist()) == list(range(5000))
    assert max(map(len, groups)) <= 300
    assert max(np.ptp(axis[rows]) for rows in groups for axis in (y, x)) <= 4096
    assert not list(groups_of(y[:0], x[:0], 10))


def test_a_drawn_floor_keeps_its_measures_all_the_way(tmp_path: Path) -> None:
    """0.5 mm a pixel, EPSG:32633, a white surround, a lacuna of 100 x 150 mm, stones of 10 mm at 12.5 mm."""
    ezdxf = pytest.importorskip("ezdxf")
    import pyogrio
    import rasterio
    from rasterio.transform import Affine

    pitch, side, count, margin = 25, 20, 81, 150
    floor = count * pitch
    size = floor + 2 * margin
    picture, truth = np.full((size, size), 255, np.uint8), np.zeros((size, size), np.uint16)
    picture[margin:-margin, margin:-margin] = 60
    y0, x0, height, width = margin + 20 * pitch, margin + 30 * pitch, 200, 300
    number = 0
    for i in range(count):
        for j in range(count):
            y, x = margin + i * pitch + 2, margin + j * pitch + 2
            if y0 <= y < y0 + height and x0 <= x < x0 + width:
                continue
            number += 1
            picture[y : y + side, x : x + side] = 150 + (i * 7 + j * 13) % 60
            truth[y : y + side, x : x + side] = number
    picture[y0 : y0 + height, x0 : x0 + width] = 100
    profile = {"driver": "GTiff", "height": size, "width": size, "dtype": "uint8", "count": 3}
    with rasterio.open(tmp_path / "floor.tif", "w", crs="EPSG:32633", transform=Affine(*AFFINE), **profile) as file:
        file.write(np.repeat(picture[None], 3, 0))
    Image.fromarray(truth).save(tmp_path / "truth.png")
    lost = shapely.box(300_000 + x0 / 2000, 4_500_000 - (y0 + height) / 2000, 300_000 + (x0 + width) / 2000,
                       4_500_000 - y0 / 2000)  # fmt: skip
    collection = {
        "type": "FeatureCollection",
        "crs": {"type": "name", "properties": {"name": "EPSG:32633"}},
        "features": [
            {"type": "Feature", "properties": {"class": "lacuna"}, "geometry": shapely.geometry.mapping(lost)}
        ],
    }
    (tmp_path / "lost.geojson").write_text(json.dumps(collection))
    out = tmp_path / "floor.mosaic.zarr"
    words = ["import", str(tmp_path / "truth.png"), "--source", str(tmp_path / "floor.tif"), "-o", str(out)]
    assert main(words) == 0
    with open_record(out, writable=True) as record:
        assert record.pixel_mm == pytest.approx(0.5)
        areas = record.areas
        for area in read_area_file(tmp_path / "lost.geojson", grid_of(record)):
            areas = areas.add(area.kind, area.geometry)
        record.areas = areas
        figures = record.figures()
        assert record.count == number == count**2 - 96
        assert figures.area_m2("lacuna") == pytest.approx(0.1 * 0.15, rel=0.01)
        preserved = (floor * 0.5 / 1000) ** 2 - 0.015
        assert figures.density_dm2 == pytest.approx(number / (preserved * 100), rel=0.005)
        paths = [export_record(record, None, tmp_path / name, columns=None) for name in ("a.gpkg", "a.dxf")]
    meta, _, wkb, values = pyogrio.raw.read(paths[0], layer="tesserae")
    outlines = dict(zip(values[list(meta["fields"]).index("number")].tolist(), shapely.from_wkb(wkb), strict=True))
    left, right = (outlines[k].centroid for k in (1, count))
    assert right.x - left.x == pytest.approx(1.0, abs=0.0005)
    assert left.x == pytest.approx(300_000 + (margin + 2 + side / 2) * 0.0005, abs=0.0005)
    assert left.y == pytest.approx(4_500_000 - (margin + 2 + side / 2) * 0.0005, abs=0.0005)
    drawn = {}
    for line in ezdxf.readfile(paths[1]).modelspace().query('LWPOLYLINE[layer=="TESSERAE"]'):
        said = dict(tag.value.split("=") for tag in line.get_xdata("NAPARI_MOSAIC") if tag.code == 1000)
        drawn[int(said["number"])] = shapely.Polygon(line.get_points("xy"))
    assert drawn.keys() == outlines.keys()
    for k in (1, count, number):
        assert drawn[k].centroid.distance(outlines[k].centroid) < 0.0005


def test_steps_side_by_side_take_turns_and_all_are_closed_whatever_ends_them() -> None:
    told: list[str] = []

    def steps(name: str, count: int) -> Steps[None]:
        try:
            for k in range(count):
                told.append(f"{name}{k}")
                yield Progress(phase=name, done=k + 1, total=count)
        finally:
            told.append(f"{name} closed")

    assert [each.phase for each in side_by_side(steps("a", 1), steps("b", 3))] == ["a"]
    assert told == ["a0", "b0", "a closed", "b1", "b2", "b closed"]
    told.clear()
    stopped = side_by_side(steps("a", 3), steps("b", 3))
    next(stopped)
    stopped.close()  # type: ignore[attr-defined]
    assert told == ["a0", "b0", "a closed", "b closed"]


def test_outlines_that_are_traced_once_are_those_of_every_window(
    record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    columns = read_tesserae(record).columns
    parts = [
        TesseraTable({name: values[part] for name, values in columns.items()}) for part in (slice(9), slice(9, 29))
    ]
    windows = [window for part in parts for window in tessera_windows(record, part)]
    plain = [Shaping().trace(record, window) for window in windows]
    traced, once = [], TracedOnce()
    trace = Shaping.trace
    monkeypatch.setattr(Shaping, "trace", lambda *its: traced.append(1) or trace(*its))
    for window, expected in zip(windows, plain, strict=True):
        for _ in range(3):
            assert once.trace(record, window) == expected
    assert len(traced) == len(windows) > 1
