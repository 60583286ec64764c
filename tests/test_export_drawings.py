"""Drawings and tables for other programs, read back by readers that are not ours."""

from __future__ import annotations

import gzip
import json
import shutil
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import shapely
from PIL import Image

from bright import bright_stones
from napari_mosaic.areas import Area, AreaSet
from napari_mosaic.errors import InputError
from napari_mosaic.export import export_record, xlsx
from napari_mosaic.measurement.features import feature_table
from napari_mosaic.measurement.outlines import trace_outlines
from napari_mosaic.measurement.table import read_tesserae
from napari_mosaic.measurement.windows import tessera_windows
from napari_mosaic.record import Record, open_record
from napari_mosaic.request import SegmentParams
from napari_mosaic.segmentation import segment

AFFINE = (0.002, 0.0, 300_000.0, 0.0, -0.002, 4_000_000.0)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("drawings")
    Image.fromarray(bright_stones((230, 310))).save(folder / "a.png")
    path = folder / "a.mosaic.zarr"
    segment(folder / "a.png", path, params=SegmentParams(method="brightness", scale=1.0, tile_size=64)).close()
    return path


@pytest.fixture
def record(template: Path, tmp_path: Path) -> Iterator[Record]:
    with open_record(shutil.copytree(template, tmp_path / "a.mosaic.zarr"), writable=True) as opened:
        yield opened


def outlines(record: Record) -> dict[int, shapely.Geometry]:
    tesserae = read_tesserae(record)
    windows = tessera_windows(record, tesserae)
    traced = [(w.rows, trace_outlines(w, record.plan.factor)) for w in windows]
    return {int(row) + 1: shape for rows, shapes in traced for row, shape in zip(rows, shapes, strict=True)}


def test_dxf_is_sound_and_holds_every_outline_in_millimetres(record: Record, tmp_path: Path) -> None:
    ezdxf = pytest.importorskip("ezdxf")
    record.set_pixel_size(0.5)
    record.areas = AreaSet((Area(kind="lacuna", geometry=shapely.box(10, 20, 60, 50)),))
    drawing = ezdxf.readfile(export_record(record, None, tmp_path / "a.dxf"))
    audit = drawing.audit()
    assert not audit.errors
    assert [entry.message for entry in audit.fixes] == []
    assert drawing.header["$INSUNITS"] == 4
    height, expected, found = record.plan.source_shape[0], outlines(record), {}
    for line in drawing.modelspace().query('LWPOLYLINE[layer=="TESSERAE"]'):
        assert line.closed
        words = dict(tag.value.split("=") for tag in line.get_xdata("NAPARI_MOSAIC") if tag.code == 1000)
        ring = np.array(line.get_points("xy")) / 0.5 * (1, -1) + (0, height)
        found[int(words["number"])] = shapely.Polygon(ring)
        assert words["id"] == str(read_tesserae(record).columns["id"][int(words["number"]) - 1])
    assert found.keys() == expected.keys()
    for number, shape in expected.items():
        assert shapely.symmetric_difference(found[number], shape).area < 0.2
    (lost,) = drawing.modelspace().query('LWPOLYLINE[layer=="LACUNA"]')
    assert shapely.Polygon(lost.get_points("xy")).area == pytest.approx(50 * 30 * 0.25)
    drawing.modelspace().add_line((0, 0), (1, 1))  # whoever goes on drawing gets a free handle
    drawing.saveas(tmp_path / "b.dxf")
    assert not ezdxf.readfile(tmp_path / "b.dxf").audit().errors


def test_dxf_lies_on_the_map_and_refuses_degrees(record: Record, tmp_path: Path) -> None:
    ezdxf = pytest.importorskip("ezdxf")
    record.update(crs="EPSG:32633", affine=AFFINE)
    drawing = ezdxf.readfile(export_record(record, None, tmp_path / "a.dxf"))
    assert drawing.header["$INSUNITS"] == 6
    places = np.concatenate([np.array(line.get_points("xy")) for line in drawing.modelspace()])
    shapes = shapely.total_bounds(list(outlines(record).values()))
    expected = [300_000 + 0.002 * shapes[0], 4_000_000 - 0.002 * shapes[3]]
    np.testing.assert_allclose(places.min(0), expected, atol=1e-4)
    record.update(crs="EPSG:4326", affine=(1e-7, 0, 12.0, 0, -1e-7, 41.0))
    with pytest.raises(InputError, match="degree"):
        export_record(record, None, tmp_path / "b.dxf")
    assert not (tmp_path / "b.dxf").exists()


@pytest.mark.parametrize("name", ["a.geojson", "a.geojson.gz"])
def test_geojson_holds_outlines_in_pixels_with_measurements(record: Record, tmp_path: Path, name: str) -> None:
    path = export_record(record, None, tmp_path / name, columns=["default", "perimeter"])
    raw = gzip.decompress(path.read_bytes()) if name.endswith(".gz") else path.read_bytes()
    features, expected = json.loads(raw)["features"], outlines(record)
    table = feature_table(record, ["area", "perimeter"])
    assert len(features) == len(expected)
    for feature in features:
        properties, number = feature["properties"], int(feature["properties"]["name"])
        shape = shapely.geometry.shape(feature["geometry"])
        assert shape.equals_exact(expected[number], 0.002)
        assert properties["objectType"] == "detection"
        assert properties["measurements"]["perimeter_px"] == table["perimeter_px"][number - 1]
        assert properties["metadata"]["id"] == str(table["id"][number - 1])
        assert "area_mm2" not in properties["measurements"]


def test_svg_is_true_to_scale_and_names_every_tessera(record: Record, tmp_path: Path) -> None:
    record.set_pixel_size(0.5)
    root = ElementTree.parse(export_record(record, None, tmp_path / "a.svg")).getroot()
    assert (root.get("width"), root.get("height")) == ("155.000mm", "115.000mm")
    assert root.get("viewBox") == "0 0 310 230"
    paths = root.findall(".//{http://www.w3.org/2000/svg}path")
    assert {path.get("id") for path in paths} == {f"t{k}" for k in range(1, record.count + 1)}
    expected = outlines(record)
    for path in paths:
        ring = path.get("d", "").split("Z")[0].lstrip("M").split("L")
        shape = shapely.Polygon([tuple(map(float, point.split())) for point in ring])
        assert shape.symmetric_difference(shapely.Polygon(expected[int(path.get("id", "")[1:])].exterior)).area < 0.5


def test_parquet_holds_the_table_with_help_and_nulls(record: Record, tmp_path: Path) -> None:
    names = ["area", "joint_width", "material", "flags"]
    table = pq.read_table(export_record(record, None, tmp_path / "a.parquet", columns=names))
    expected = feature_table(record, names)
    assert table.column_names == list(expected)
    assert table.schema.field("area_px").metadata[b"unit"] == b"px2"
    assert b"napari-mosaic" in table.schema.metadata
    for name, values in expected.items():
        found = table.column(name).to_pylist()
        assert [np.nan if value is None else value for value in found] == pytest.approx(values.tolist(), nan_ok=True)
    assert table.column("joint_width_px").null_count == int(np.isnan(expected["joint_width_px"]).sum())


def test_workbooks_go_on_in_a_second_sheet(record: Record, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    count = record.count
    monkeypatch.setattr(xlsx, "ROWS", count - 3)
    book = openpyxl.load_workbook(export_record(record, None, tmp_path / "a.xlsx", columns=["area", "material"]))
    assert book.sheetnames == ["tesserae", "tesserae 2", "columns", "about"]
    rows = [row for name in book.sheetnames[:2] for row in list(book[name].values)[1:]]
    expected = feature_table(record, ["area", "material"])
    assert [row[0] for row in rows] == list(range(1, count + 1))
    assert [row[2] for row in rows] == expected["area_px"].tolist()
    assert [row[0] for row in book["columns"].values][1:] == list(expected)


@pytest.mark.parametrize("name", ["a.dxf", "a.svg", "a.geojson", "a.parquet", "a.xlsx"])
def test_a_record_without_a_tessera_is_written_too(tmp_path: Path, name: str) -> None:
    pytest.importorskip({"a.dxf": "ezdxf", "a.xlsx": "openpyxl"}.get(name, "numpy"))
    picture = np.zeros((100, 120, 3), np.uint8)
    params = SegmentParams(method="brightness", scale=1.0)
    with segment(picture, tmp_path / "a.mosaic.zarr", params=params) as record:
        assert record.count == 0
        assert export_record(record, None, tmp_path / name).stat().st_size > 0
