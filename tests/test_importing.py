"""What comes back from other programs: nothing where nothing was changed, what was changed, and what is disputed."""

from __future__ import annotations

import gzip
import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import shapely
from PIL import Image
from shapely.affinity import translate

from bright import bright_stones
from napari_mosaic import editing
from napari_mosaic.cli import main
from napari_mosaic.editing.history import undo
from napari_mosaic.errors import InputError, MosaicError
from napari_mosaic.export import export_record
from napari_mosaic.export.options import CocoOptions, DxfOptions
from napari_mosaic.export.region import grid_of, read_region
from napari_mosaic.importing import Imported, import_edits_steps, read_outlines
from napari_mosaic.measurement.features import feature_table
from napari_mosaic.measurement.source_grid import read_source_labels
from napari_mosaic.progress import drain
from napari_mosaic.record import Record, open_record
from napari_mosaic.request import SegmentParams
from napari_mosaic.segmentation import segment
from napari_mosaic.tiling import Box

AFFINE = (0.0005, 0.0, 300_000.0, 0.0, -0.0005, 4_500_000.0)
LOCAL = 'LOCAL_CS["trench A",UNIT["metre",1],AXIS["Easting",EAST],AXIS["Northing",NORTH]]'
SIZE = (230, 310)


@pytest.fixture(scope="module", params=[1.0, 0.75], ids=["same size", "reduced"])
def template(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("back")
    Image.fromarray(bright_stones(SIZE)).save(folder / "a.png")
    path = folder / "a.mosaic.zarr"
    params = SegmentParams(method="brightness", scale=request.param, tile_size=64)
    segment(folder / "a.png", path, params=params, pixel_mm=0.5).close()
    return path


@pytest.fixture
def record(template: Path, tmp_path: Path) -> Iterator[Record]:
    shutil.copy(template.parent / "a.png", tmp_path / "a.png")
    with open_record(shutil.copytree(template, tmp_path / "a.mosaic.zarr"), writable=True) as opened:
        yield opened


def bring_back(record: Record, path: Path, **options: Any) -> Imported:
    return drain(import_edits_steps(record, read_outlines(path, grid_of(record)), **options))


def labels(record: Record) -> Any:
    return record.read_labels(Box(0, 0, *record.shape))


def stones(record: Record, count: int) -> list[int]:
    """Ids of some stones of usual size in the middle of the floor, far from each other."""
    rows = record.table().to_pydict()
    height, width = record.shape
    found: list[tuple[int, int, int]] = []
    for id_, y, x, area in zip(rows["id"], rows["y"], rows["x"], rows["area"], strict=True):
        inside = 30 < y < height - 50 and 30 < x < width - 50
        if inside and area > 150 and all(abs(y - b) + abs(x - c) > 60 for _, b, c in found):
            found.append((id_, y, x))
    return [id_ for id_, *_ in found][:count]


NAMES = [
    *("a.geojson", "a.geojson.gz", "a.gpkg", "a.shp", "a.dxf", "a.coco"),
    *("a.png", "a.tif", "a.ome.tif"),
]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("placed", [False, True], ids=["pixels", "placed"])
def test_what_is_exported_and_brought_back_at_once_is_no_edit(
    record: Record, tmp_path: Path, name: str, placed: bool
) -> None:
    pytest.importorskip({"a.dxf": "ezdxf"}.get(name, "numpy"))
    if placed:
        record.update(crs="EPSG:32633", affine=AFFINE)
    target = tmp_path / "out"
    target.mkdir()
    before = labels(record)
    done = bring_back(record, export_record(record, None, target / name))
    assert (done.same, done.changed, done.added, done.deleted, done.assigned) == (record.count, 0, 0, 0, 0)
    assert not done.disputes
    assert done.edits == 0
    assert np.array_equal(labels(record), before)


@pytest.mark.parametrize("name", ["a.gpkg", "a.shp"])
def test_a_local_system_comes_back(record: Record, tmp_path: Path, name: str) -> None:
    record.update(crs=LOCAL, affine=AFFINE)
    done = bring_back(record, export_record(record, None, tmp_path / name))
    assert (done.same, done.edits) == (record.count, 0)


@pytest.mark.filterwarnings("ignore:'crs' was not provided")
@pytest.mark.parametrize("name", ["a.gpkg", "a.shp"])
def test_a_gis_shows_outlines_on_the_picture_that_has_no_place(record: Record, tmp_path: Path, name: str) -> None:
    """QGIS shows row r of such a picture at y = -r; files of before, with y downwards, come back, too."""
    import pyogrio

    path, layer = export_record(record, None, tmp_path / name), "tesserae" if name == "a.gpkg" else None
    info = pyogrio.read_info(path, layer=layer)
    x0, y0, x1, y1 = info["total_bounds"]
    assert 0 <= x0 < x1 <= SIZE[1]
    assert -SIZE[0] <= y0 < y1 <= 0
    if name == "a.gpkg":
        assert "row r lies at y = -r" in info["dataset_metadata"]["coordinates"]
    meta, _, wkb, values = pyogrio.raw.read(path, layer=layer)
    before = tmp_path / "before" / name
    before.parent.mkdir()
    pyogrio.raw.write(
        before,
        geometry=shapely.to_wkb(shapely.transform(shapely.from_wkb(wkb), lambda points: points * (1, -1))),
        field_data=values,
        fields=meta["fields"],
        geometry_type="MultiPolygon",
        crs=None,
    )
    done = bring_back(record, before)
    assert (done.same, done.edits) == (record.count, 0)


def test_an_area_drawn_over_the_picture_in_a_gis_lies_where_it_was_drawn(record: Record, tmp_path: Path) -> None:
    drawn = {"type": "Polygon", "coordinates": [[[20, -120], [90, -120], [90, -40], [20, -40], [20, -120]]]}
    feature = {"type": "Feature", "properties": {}, "geometry": drawn}
    path = tmp_path / "part.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    assert read_region(path, grid_of(record)).bounds == (20, 40, 90, 120)


def test_of_a_file_with_several_layers_it_is_told_which_one_is_read(
    record: Record, tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    import pyogrio

    ours = export_record(record, None, tmp_path / "a.gpkg")
    meta, _, wkb, values = pyogrio.raw.read(ours, layer="tesserae")
    for layer in ("stones", "plan"):
        options = {"field_data": values, "fields": meta["fields"], "geometry_type": "MultiPolygon", "crs": None}
        pyogrio.raw.write(tmp_path / "theirs.gpkg", geometry=wkb, layer=layer, driver="GPKG", **options)
    recwarn.clear()
    done = bring_back(record, tmp_path / "theirs.gpkg")
    assert (done.same, done.notes) == (record.count, ("Of the layers of theirs.gpkg stones is read, not plan.",))
    assert not recwarn


def test_reading_a_geopackage_leaves_nothing_beside_it(record: Record, tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir()
    path = export_record(record, None, tmp_path / "theirs" / "a.gpkg")
    assert bring_back(record, path).same == record.count
    read_region(path, grid_of(record))
    assert [child.name for child in path.parent.iterdir()] == ["a.gpkg"]


def test_a_stone_drawn_in_a_geopackage_has_no_id_and_is_added(record: Record, tmp_path: Path) -> None:
    import pyogrio

    path, (id_,) = export_record(record, None, tmp_path / "a.gpkg"), stones(record, 1)
    meta, _, wkb, values = pyogrio.raw.read(path, layer="tesserae")
    drawn = np.array([*meta["fields"]].index("id"))
    unsaid = values[drawn] == id_
    editing.delete(record, [id_])
    masks = [unsaid if column.dtype.kind == "i" else None for column in values]
    with pytest.warns(UserWarning, match="crs"):
        pyogrio.raw.write(
            path, wkb, values, meta["fields"], field_mask=masks, layer="tesserae", geometry_type="MultiPolygon"
        )
    assert (bring_back(record, path).added, record.count) == (1, len(wkb))


@pytest.mark.parametrize(
    "options",
    [
        DxfOptions(origin="shifted", layers="material", centres=True),
        DxfOptions(outlines="smooth"),
        DxfOptions(outlines="shared"),
        DxfOptions(tolerance_mm=1.0),
    ],
    ids=["shifted", "smooth", "shared", "tolerance"],
)
def test_drawings_of_every_shape_are_sound_and_come_back(record: Record, tmp_path: Path, options: DxfOptions) -> None:
    ezdxf = pytest.importorskip("ezdxf")
    record.update(crs="EPSG:32633", affine=AFFINE)
    editing.assign(record, stones(record, 2), material="glass")
    path = export_record(record, None, tmp_path / "a.dxf", options=options)
    drawing = ezdxf.readfile(path)
    audit = drawing.audit()
    assert not audit.errors
    assert not audit.fixes
    lines = drawing.modelspace().query("LWPOLYLINE")
    assert all(line.closed for line in lines)
    if options.layers:
        assert {line.dxf.layer for line in lines} == {"TESSERAE", "TESSERAE_GLASS"}
        assert len(drawing.modelspace().query('POINT[layer=="CENTRES"]')) == record.count
        assert max(max(line.get_points("xy")) for line in lines) < (2, 2)
    drawing.saveas(tmp_path / "b.dxf")  # as a CAD program hands it on
    for back in (path, tmp_path / "b.dxf"):
        done = bring_back(record, back)
        assert (done.same, done.edits, done.disputes) == (record.count, 0, ())


def change_geojson(path: Path, change: Callable[[list[dict[str, Any]]], None]) -> Path:
    """What QuPath hands on: a bare list of objects, changed."""
    features = json.loads(path.read_text())["features"]
    change(features)
    path.write_text(json.dumps(features))
    return path


def by_id(features: list[dict[str, Any]], id_: int) -> dict[str, Any]:
    return next(one for one in features if one["properties"]["metadata"]["id"] == str(id_))


def move_edge(feature: dict[str, Any], by: float) -> None:
    """Move the right side of an outline."""
    outline = shapely.geometry.shape(feature["geometry"])
    x0, _, x1, _ = outline.bounds
    moved = shapely.transform(
        outline, lambda p: np.where((p > (x0 + x1) / 2) & [True, False], p + np.array([by, 0]), p)
    )
    feature["geometry"] = shapely.geometry.mapping(moved)


def test_changed_added_deleted_and_named_ones_become_edits_that_can_be_undone(record: Record, tmp_path: Path) -> None:
    shrunk, gone, named, *_ = stones(record, 3)
    before, rows = labels(record), record.table()
    path = export_record(record, None, tmp_path / "a.geojson")
    hole = {"type": "Polygon", "coordinates": []}

    def change(features: list[dict[str, Any]]) -> None:
        move_edge(by_id(features, shrunk), -4)
        outline = shapely.geometry.shape(by_id(features, gone)["geometry"])
        features.remove(by_id(features, gone))
        hole["coordinates"] = shapely.geometry.mapping(outline.buffer(-3))["coordinates"]
        features.append({"type": "Feature", "geometry": hole, "properties": {"objectType": "annotation"}})
        by_id(features, named)["properties"]["metadata"] |= {"material": "glass", "state": "fractured"}

    change_geojson(path, change)
    told = bring_back(record, path, dry_run=True)
    assert np.array_equal(labels(record), before)
    done = bring_back(record, path)
    assert (done.changed, done.added, done.deleted, done.assigned) == (2, 0, 0, 1)  # the new one lies on the old
    assert (told.changed, told.added, told.deleted, told.assigned, told.edits) == (2, 0, 0, 1, 0)
    after = labels(record)
    lost = (before == shrunk) & (after != shrunk)
    assert 0 < lost.sum() < 0.6 * (before == shrunk).sum()
    assert not ((before != shrunk) & (after == shrunk)).any()
    assert ((before == gone) & (after != gone)).any()
    touched = np.isin(before, [shrunk, gone])
    assert np.array_equal(after[~touched], before[~touched])
    said = record.tesserae  # the words stand in the table
    assert any(row["id"] == named for row in _attributes(record))
    assert said.count == rows.num_rows
    again = bring_back(record, path)
    assert again.edits == 0 or again.disputes
    for _ in range(done.edits):
        undo(record)
    assert np.array_equal(labels(record), before)


def test_an_edit_that_is_undone_is_told_where_it_lies_on_the_photograph(
    record: Record, capsys: pytest.CaptureFixture[str]
) -> None:
    (gone,) = stones(record, 1)
    y, x = np.nonzero(read_source_labels(record, Box(0, 0, *SIZE)) == gone)
    editing.delete(record, [gone])
    record.close()
    assert main(["edits", "undo", str(record.path)]) == 0
    told = re.search(r"y (\d+)-(\d+), x (\d+)-(\d+) px of the photograph", capsys.readouterr().out)
    assert told is not None
    places = [int(edge) for edge in told.groups()]
    assert np.abs(np.array(places) - [y.min(), y.max() + 1, x.min(), x.max() + 1]).max() <= 2


def _attributes(record: Record) -> list[dict[str, Any]]:
    from napari_mosaic.record.tables import read_attributes

    return read_attributes(record.tables).to_pylist()


def test_what_is_absent_goes_only_where_the_file_is_complete(record: Record, tmp_path: Path) -> None:
    first, second, *_ = stones(record, 2)
    path = export_record(record, None, tmp_path / "a.geojson")
    whole = json.loads(path.read_text())
    whole["features"] = [one for one in whole["features"] if one["properties"]["metadata"]["id"] != str(first)]
    path.write_text(json.dumps(whole))
    assert bring_back(record, path, dry_run=True).deleted == 1  # ours says that it is of the whole
    path.write_text(json.dumps(whole["features"]))  # QuPath's does not
    told = bring_back(record, path)
    assert (told.deleted, told.absent, told.edits) == (0, 1, 0)
    height, width = SIZE
    done = bring_back(record, path, cover=shapely.box(0, 0, width, height))
    assert (done.deleted, done.absent) == (1, 0)
    assert first not in record.table(["id"])["id"].to_pylist()
    y, x = editing.place_of_id(second, record.shape)
    f = record.plan.factor
    part = export_record(record, None, tmp_path / "part.gpkg", region=[y / f - 30, x / f - 30, y / f + 30, x / f + 30])
    done = bring_back(record, part)
    assert 0 < done.same < record.count
    assert (done.deleted, done.edits) == (0, 0)


def test_of_a_part_nothing_goes_whose_centre_lies_beside_it(
    record: Record, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gone, *_ = stones(record, 1)
    y, x = editing.place_of_id(gone, record.shape)
    editing.delete(record, [gone])
    made = editing.add_outline(record, [(y - 6, x - 6), (y, x + 6), (y + 6, x - 6)])  # its centre is left of its middle
    assert made is not None
    table = feature_table(record, ["centre_x_px", "x0_px", "x1_px"])
    row = table["id"].tolist().index(made.made[0])
    centres, middle = table["centre_x_px"], (table["x0_px"][row] + table["x1_px"][row]) / 2
    edge = (centres[row] + middle) / 2
    assert centres[row] + 0.5 < middle
    part = tmp_path / "part.gpkg"
    height, width = record.plan.source_shape
    assert main(["export", str(record.path), "-o", str(part), "--region", f"0 {edge} {height} {width}"]) == 0
    inside = int((centres >= edge).sum())
    assert f"{inside:,} tesserae of the region in" in capsys.readouterr().out
    done = bring_back(record, part)
    assert (done.same, done.deleted, done.edits) == (inside, 0, 0)


def test_what_both_sides_changed_is_listed_and_stays(record: Record, tmp_path: Path) -> None:
    mine, theirs, both, merged, *_ = stones(record, 4)
    path = export_record(record, None, tmp_path / "a.geojson")
    editing.shrink(record, [mine], px=2)
    editing.shrink(record, [both], px=2)
    editing.delete(record, [merged])

    def change(features: list[dict[str, Any]]) -> None:
        for id_ in (theirs, both, merged):
            move_edge(by_id(features, id_), -5)
        unknown = json.loads(json.dumps(by_id(features, theirs)))
        unknown["properties"]["metadata"]["id"] = "999999999"
        features.append(unknown)
        neighbour = by_id(features, mine)
        crossing = translate(shapely.geometry.shape(by_id(features, theirs)["geometry"]), 9, 0)
        features.append({"type": "Feature", "geometry": shapely.geometry.mapping(crossing), "properties": {}})
        assert neighbour

    change_geojson(path, change)
    before = labels(record)
    done = bring_back(record, path)
    reasons = {dispute.id: dispute.reason for dispute in done.disputes}
    assert "edited here since" in reasons[both]
    assert "deleted or merged here" in reasons[merged]
    assert "no tessera here" in reasons[999999999]
    assert "overlaps" in reasons[0]
    assert mine not in reasons  # the file left it as it was exported: the edit of the record stays
    after = labels(record)
    assert np.array_equal(after == mine, before == mine)
    assert np.array_equal(after == both, before == both)
    assert (after == theirs).sum() < (before == theirs).sum()
    assert done.edits == 1


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.npy"])
def test_painted_labels_come_back_by_place(record: Record, tmp_path: Path, name: str) -> None:
    split, gone, *_ = stones(record, 2)
    export_record(record, "tiff", tmp_path / "labels.tif")
    import tifffile

    picture = tifffile.imread(tmp_path / "labels.tif").astype(np.uint16)
    source = read_source_labels(record, Box(0, 0, *SIZE))
    picture[source == gone] = 0
    y, x = np.nonzero(source == split)
    picture[y[y < y.mean()], x[y < y.mean()]] = picture.max() + 1
    path = tmp_path / name
    if name == "a.npy":
        np.save(path, picture)
    elif name == "a.png":
        Image.fromarray(picture).save(path)
    else:
        tifffile.imwrite(path, picture)
    before, count = labels(record), record.count
    done = bring_back(record, path)
    assert (done.changed, done.added, done.deleted, done.same) == (1, 1, 1, count - 2)
    assert not done.disputes
    after = labels(record)
    assert not (after == gone).any()
    assert np.array_equal((after > 0) & (before == split), before == split)
    assert np.array_equal(after[~np.isin(before, [split, gone])], before[~np.isin(before, [split, gone])])


def test_a_mask_and_label_studio_and_cvat_make_records(record: Record, tmp_path: Path) -> None:
    mask = read_source_labels(record, Box(0, 0, *SIZE)) > 0
    Image.fromarray(mask).save(tmp_path / "white.png")
    Image.fromarray(~mask).save(tmp_path / "joints.png")
    ring = [[10.0, 10.0], [20.0, 10.0], [20.0, 30.0], [10.0, 30.0]]
    task = {
        "file_upload": "1a2b3c4d-a.png",
        "data": {"image": "/data/upload/1/1a2b3c4d-a.png"},
        "annotations": [
            {
                "result": [
                    {
                        "type": "polygonlabels",
                        "original_height": SIZE[0],
                        "original_width": SIZE[1],
                        "value": {"points": ring, "polygonlabels": ["glass"]},
                    }
                ]
            }
        ],
    }
    (tmp_path / "studio.json").write_text(json.dumps([task]))
    photograph = str(tmp_path / "a.png")
    for name, more in (("white.png", []), ("joints.png", ["--shows", "joints"]), ("studio.json", [])):
        out = tmp_path / f"{name}.mosaic.zarr"
        assert main(["import", str(tmp_path / name), "--source", photograph, "-o", str(out), *more]) == 0
        with open_record(out, writable=True) as made:
            assert made.complete
            assert made.plan.method == "imported"
            seen = read_source_labels(made, Box(0, 0, *SIZE))
            if name == "studio.json":
                assert made.count == 1
                assert _attributes(made)[0]["material"] == "glass"
                assert (seen > 0).sum() == round(0.1 * SIZE[1]) * round(0.2 * SIZE[0])
                assert editing.grow(made, made.table(["id"])["id"].to_pylist(), px=2) is not None
            else:
                assert np.array_equal(seen > 0, mask)
                assert made.count > 50


def test_what_a_person_drew_is_not_told_as_found_by_a_machine(
    record: Record, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")
    pytest.importorskip("ezdxf")
    path = export_record(record, None, tmp_path / "drawn.gpkg")
    out = tmp_path / "b.mosaic.zarr"
    assert main(["import", str(path), "--source", str(tmp_path / "a.png"), "-o", str(out)]) == 0
    with open_record(out, writable=True) as made:
        made.set_pixel_size(0.5)
        editing.delete(made, stones(made, 1))
    capsys.readouterr()
    for words in (["measure", str(out)], ["edits", "report", str(out)], ["info", str(out)]):
        assert main(words) == 0
    assert main(["deliver", str(out), "-o", str(tmp_path / "hand")]) == 0
    said = capsys.readouterr().out + (tmp_path / "hand" / "README.txt").read_text(encoding="utf-8")
    for words in ("imported from drawn.gpkg", "are as drawn.gpkg had them", "as many as the file held"):
        assert words in said
    for words in ("machine found", "network", "confidence", "Found:", "model drawn"):
        assert words not in said


@pytest.mark.parametrize("name", ["a.tif", "a.gpkg", "a.coco"])
def test_a_record_of_an_export_has_the_same_stones(record: Record, tmp_path: Path, name: str) -> None:
    path = export_record(record, None, tmp_path / name)
    out = tmp_path / "b.mosaic.zarr"
    assert main(["import", str(path), "--source", str(tmp_path / "a.png"), "-o", str(out)]) == 0
    old = read_source_labels(record, Box(0, 0, *SIZE))
    with open_record(out) as made:
        new = read_source_labels(made, Box(0, 0, *SIZE))
        assert made.count == record.count
        if name == "a.tif":
            assert np.array_equal(_dense(old), _dense(new))
        else:  # an outline leaves the pixels by 3/4 of one
            assert ((old > 0) != (new > 0)).mean() < 0.03
            table = made.table(["id", "area"]).to_pydict()
            assert {int(i) for i in np.unique(new[new > 0])} == set(table["id"])
            assert sum(table["area"]) == (new > 0).sum()


def _dense(values: Any) -> Any:
    """Labels numbered in reading order of their first pixels."""
    _, first, places = np.unique(values, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[places].reshape(values.shape)


def test_coco_windows_are_small_and_their_pictures_are_the_photograph(record: Record, tmp_path: Path) -> None:
    path = export_record(record, None, tmp_path / "a.coco", options=CocoOptions(pictures=True, most=20))
    values = json.loads((path / "instances.json").read_text())
    counts = [sum(one["image_id"] == image["id"] for one in values["annotations"]) for image in values["images"]]
    assert max(counts) <= 20
    assert sum(counts) == record.count
    photograph = np.asarray(Image.open(tmp_path / "a.png").convert("RGB"))
    for image in values["images"]:
        y, x = (int(part[1:]) for part in Path(image["file_name"]).stem.split("_")[-2:])
        picture = np.asarray(Image.open(path / "images" / image["file_name"]))
        assert np.array_equal(picture, photograph[y : y + image["height"], x : x + image["width"]])
    for one in values["annotations"]:  # CVAT numbers anew and drops what is ours
        del one["attributes"]
        one["id"] += 1000
    values.pop("info")
    (path / "instances.json").write_text(json.dumps(values))
    done = bring_back(record, path)
    assert (done.same, done.edits, done.disputes) == (record.count, 0, ())


def test_what_fits_nothing_is_refused_in_a_sentence(
    record: Record, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.txt").write_text("stones")
    (tmp_path / "a.json").write_text('{"stones": 3}')
    (tmp_path / "broken.geojson").write_text("{")
    (tmp_path / "far.geojson").write_text(
        json.dumps({"type": "Polygon", "coordinates": [[[9e3, 9e3], [9e3, 9.1e3], [9.1e3, 9e3], [9e3, 9e3]]]})
    )
    (tmp_path / "a.dxf").write_text("  0\nSECTION\n  2\nENTITIES\n  0\nENDSEC\n  0\nEOF\n")
    (tmp_path / "bad.dxf").write_text("no drawing\n")
    (tmp_path / "a.shp").write_bytes(b"nothing")
    Image.fromarray(np.zeros((20, 30), np.uint8)).save(tmp_path / "small.png")
    Image.fromarray(bright_stones(SIZE) + np.array([0, 9, 0], np.uint8)).save(tmp_path / "colours.png")
    (tmp_path / "cut.geojson.gz").write_bytes(gzip.compress(b"[]")[:12])
    for name in (
        *("a.txt", "a.json", "broken.geojson", "far.geojson", "a.dxf", "bad.dxf", "a.shp", "small.png"),
        *("colours.png", "cut.geojson.gz", "none.gpkg"),
    ):
        with pytest.raises(MosaicError) as told:
            bring_back(record, tmp_path / name)
        assert len(str(told.value).split()) > 6, name
        assert main(["import", str(tmp_path / name), "--into", str(record.path), "--dry-run"]) == 1
        assert "Traceback" not in capsys.readouterr().err
    assert main(["import", str(tmp_path / "a.json")]) == 2
    with pytest.raises(InputError, match="no box"):
        export_record(record, "csv", tmp_path / "a.csv", region="9 9 3 3")
    with pytest.raises(InputError, match="does not meet the image"):
        export_record(record, "csv", tmp_path / "a.csv", region=[900, 900, 950, 950])


@pytest.mark.parametrize("name", ["part.tif", "part.png"])
def test_a_picture_of_a_region_deletes_nothing_that_it_does_not_show(record: Record, tmp_path: Path, name: str) -> None:
    part, before = shapely.box(40, 40, 160, 120), labels(record).copy()
    (tmp_path / "part.geojson").write_text(shapely.to_geojson(part))
    export_record(record, None, tmp_path / name, region=tmp_path / "part.geojson")
    done = bring_back(record, tmp_path / name)
    assert (done.deleted, done.edits) == (0, 0)
    assert done.absent > record.count / 2
    np.testing.assert_array_equal(labels(record), before)
    done = bring_back(record, tmp_path / name, cover=part)
    assert (done.deleted, done.added) == (0, 0)


@pytest.mark.parametrize("name", ["part.tif", "part.png"])
def test_a_picture_of_most_of_the_floor_deletes_what_was_deleted_in_it_and_nothing_beyond(
    record: Record, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    corner = shapely.box(0, 0, SIZE[1], SIZE[0]).difference(shapely.box(230, 150, SIZE[1], SIZE[0]))
    (tmp_path / "part.geojson").write_text(shapely.to_geojson(corner))
    path = export_record(record, None, tmp_path / name, region=tmp_path / "part.geojson")
    with rasterio.open(path, "r+" if name.endswith("tif") else "r") as picture:
        shown, profile = picture.read(1), picture.profile
    before, ids = labels(record).copy(), stones(record, 3)
    kept = set(shown[shown > 0].tolist())
    assert 0.75 * record.count < len(kept) < record.count
    source = read_source_labels(record, Box(0, 0, *SIZE))
    gone = [id_ for id_ in ids if shown[source == id_].all()]
    shown[np.isin(source, gone)] = 0
    with rasterio.open(path, "w", **profile) as picture:
        picture.write(shown, 1)
    assert main(["import", str(path), "--into", str(record.path), "--dry-run"]) == 0
    assert "which stay; --covers all deletes them" in capsys.readouterr().out
    done = bring_back(record, path)
    assert (done.deleted, done.changed, done.added) == (len(gone), 0, 0)
    assert done.absent == record.count - len(kept) + len(gone)
    np.testing.assert_array_equal(labels(record), np.where(np.isin(before, gone), 0, before))


def test_a_picture_that_lacks_many_between_others_is_asked_about(record: Record, tmp_path: Path) -> None:
    table, (height, width) = record.table(["id", "y", "x"]).to_pydict(), record.shape
    ids, y, x = (np.array(values) for values in table.values())
    inner = np.flatnonzero((abs(y - height / 2) < 0.38 * height) & (abs(x - width / 2) < 0.4 * width))
    lacking = inner[np.arange(len(inner)) % 3 > 0]
    path = export_record(record, None, tmp_path / "some.tif", ids=np.delete(ids, lacking))
    with pytest.raises(InputError, match=r"lacks \d+ of \d+ tesserae, .* --covers"):
        bring_back(record, path)
