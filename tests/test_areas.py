"""Areas: pixels of polygons, GeoJSON there and back, and files that others drew."""

from __future__ import annotations

import json
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from shapely.geometry import LineString, Point, Polygon, box, mapping

import napari_mosaic
from napari_mosaic.area_files import Grid, polygons_of_mask, read_area_file, read_geometry
from napari_mosaic.areas import (
    AREA_CLASSES,
    CLASSES,
    KINDS,
    LEFT_OUT,
    PRECEDENCE,
    Area,
    AreaSet,
    rasterise,
    read_areas,
    write_areas,
)
from napari_mosaic.editing.outliers import EMPTY_KINDS
from napari_mosaic.errors import InputError, MissingError, ReadError
from napari_mosaic.record.looked_at import PARTS
from napari_mosaic.synthetic import draw_mosaic
from napari_mosaic.tiling import Box, Lattice

GRID = Grid(shape=(60, 80))
MAPPED = Grid(shape=(60, 80), crs="EPSG:32636", affine=(0.5, 0, 300000, 0, -0.5, 4000000))


def star(seed: int) -> Polygon:
    """A wild polygon, with a hole where there is room."""
    rng = np.random.default_rng(seed)
    angle = np.sort(rng.uniform(0, 2 * np.pi, 12))
    radius = rng.uniform(5, 30, 12)
    ring = np.column_stack([40 + radius * np.cos(angle), 30 + radius * np.sin(angle)])
    return shapely.make_valid(Polygon(ring)).difference(Point(38, 29).buffer(4))


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), factor=st.sampled_from([0.5, 1.0, 1.7, 3.0]), core=st.integers(7, 60))
def test_a_mask_does_not_depend_on_the_box_that_asks(seed: int, factor: float, core: int) -> None:
    geometry, size = star(seed), (int(60 * factor), int(80 * factor))
    whole = rasterise(geometry, Box(0, 0, *size), factor)
    for tile in Lattice(shape=size, core=core, halo=3):
        part = rasterise(geometry, tile.read, factor)
        inner = tile.read.clip(size)
        assert np.array_equal(part[inner.within(tile.read)], whole[inner.slices])


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), factor=st.sampled_from([0.7, 1.0, 2.3]))
def test_a_pixel_is_inside_when_its_centre_is(seed: int, factor: float) -> None:
    geometry, size = star(seed), (int(60 * factor), int(80 * factor))
    y, x = np.mgrid[: size[0], : size[1]] + 0.5
    expected = shapely.contains_xy(geometry, x / factor, y / factor)
    assert np.array_equal(rasterise(geometry, Box(0, 0, *size), factor), expected)


def test_outlines_of_a_mask_give_the_mask_back() -> None:
    mask = np.random.default_rng(1).random(GRID.shape) < 0.4
    geometry = polygons_of_mask(mask, GRID)
    assert np.array_equal(rasterise(geometry, Box(0, 0, *GRID.shape), 1.0), mask)


def test_a_smaller_mask_is_brought_to_the_image() -> None:
    mask = np.zeros((30, 40), bool)
    mask[10:20, 5:15] = True
    assert polygons_of_mask(mask, GRID).bounds == (10, 20, 30, 40)


def test_a_mask_of_other_proportions_is_refused() -> None:
    with pytest.raises(InputError, match="do not lie on each other"):
        read_geometry(np.ones((60, 60), bool), GRID)


def test_areas_keep_kinds_names_and_properties_in_geojson(tmp_path: Path) -> None:
    areas = (
        AreaSet()
        .add("lacuna", box(1, 2, 10, 12), name="north", cause="root")
        .add("not legible", box(20, 20, 30, 30))
        .add("mark", Point(5, 5), name="crack")
    )
    write_areas(tmp_path / "areas.geojson", areas)
    assert read_areas(tmp_path / "areas.geojson") == areas


def test_kinds_are_read_whatever_their_spelling_and_from_qupath() -> None:
    square = mapping(box(0, 0, 9, 9))
    features = [
        {"type": "Feature", "properties": {"kind": "Not-Legible"}, "geometry": square},
        {"type": "Feature", "properties": {"classification": {"name": "Repair"}}, "geometry": square},
        {"type": "Feature", "properties": None, "geometry": square},
    ]
    found = AreaSet.from_geojson({"type": "FeatureCollection", "features": features}, default="lacuna")
    assert [area.kind for area in found] == ["not legible", "repair", "lacuna"]


def test_outside_is_all_but_the_regions_less_what_is_excluded() -> None:
    areas = AreaSet().add("region", box(10, 10, 50, 50)).add("exclude", box(20, 20, 30, 30))
    outside = areas.add("lacuna", box(35, 35, 45, 45)).outside_mask(Box(0, 0, 60, 80), 1.0)
    assert outside is not None
    assert (~outside).sum() == 40 * 40 - 10 * 10
    assert areas.outside_mask(Box(32, 32, 40, 40), 1.0) is None
    assert AreaSet().outside_mask(Box(0, 0, 9, 9), 1.0) is None


def test_overlapping_areas_of_a_kind_count_once() -> None:
    areas = AreaSet().add("lacuna", box(0, 0, 10, 10)).add("lacuna", box(5, 5, 15, 15))
    assert areas.mask("lacuna", Box(0, 0, 20, 20), 1.0).sum() == 175
    assert areas.of("lacuna").area == 175
    assert areas.of("repair").is_empty


def write_geojson(path: Path, geometry: shapely.Geometry, **members: object) -> Path:
    feature = {"type": "Feature", "properties": {"kind": "mine"}, "geometry": mapping(geometry)}
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature], **members}))
    return path


def test_a_region_is_read_from_geojson_in_pixels(tmp_path: Path) -> None:
    path = write_geojson(tmp_path / "a.geojson", box(5, 6, 20, 30))
    assert read_geometry(path, GRID).equals(box(5, 6, 20, 30))
    assert read_geometry(path, MAPPED).equals(box(5, 6, 20, 30))


def test_a_region_in_the_images_crs_is_brought_to_pixels(tmp_path: Path) -> None:
    drawn = box(300010, 3999980, 300020, 3999990)  # 20 to 40 px from the left, 20 to 40 from the top
    named = {"crs": {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32636"}}}
    for members in ({}, named):
        path = write_geojson(tmp_path / "a.geojson", drawn, **members)
        assert np.allclose(read_geometry(path, MAPPED).bounds, (20, 20, 40, 40))


def test_a_region_in_longitude_and_latitude_is_brought_to_pixels(tmp_path: Path) -> None:
    pyproj = pytest.importorskip("pyproj")
    to_degrees = pyproj.Transformer.from_crs("EPSG:32636", "OGC:CRS84", always_xy=True)
    drawn = shapely.transform(box(300010, 3999980, 300020, 3999990), to_degrees.transform, interleaved=False)
    path = write_geojson(tmp_path / "a.geojson", drawn)
    assert np.allclose(read_geometry(path, MAPPED).bounds, (20, 20, 40, 40), atol=0.01)


def test_a_region_is_read_from_a_geopackage(tmp_path: Path) -> None:
    pyogrio = pytest.importorskip("pyogrio")
    path = tmp_path / "a.gpkg"
    pyogrio.raw.write(
        path,
        geometry=shapely.to_wkb([box(300010, 3999980, 300020, 3999990)]),
        field_data=[np.array(["Lacuna"], object)],
        fields=["kind"],
        geometry_type="Polygon",
        crs="EPSG:32636",
        driver="GPKG",
    )
    assert np.allclose(read_geometry(path, MAPPED).bounds, (20, 20, 40, 40))
    assert [area.kind for area in read_area_file(path, MAPPED)] == ["lacuna"]


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_a_region_is_read_from_a_mask_image(tmp_path: Path, suffix: str) -> None:
    mask = np.zeros(GRID.shape, np.uint8)
    mask[10:20, 30:50] = 255
    path = tmp_path / f"mask{suffix}"
    Image.fromarray(mask).save(path)
    assert read_geometry(path, GRID).equals(box(30, 10, 50, 20))


def test_what_cannot_be_used_is_refused_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="no file"):
        read_geometry(tmp_path / "none.geojson", GRID)
    (tmp_path / "bad.geojson").write_text("{")
    with pytest.raises(ReadError, match="no readable JSON"):
        read_geometry(tmp_path / "bad.geojson", GRID)
    with pytest.raises(InputError, match="no polygon"):
        read_geometry(write_geojson(tmp_path / "p.geojson", Point(1, 1)), GRID)
    with pytest.raises(InputError, match="does not meet the image"):
        read_geometry(box(500, 500, 600, 600), GRID)
    with pytest.raises(InputError, match="lie outside of the image"):
        read_geometry(write_geojson(tmp_path / "far.geojson", box(500, 500, 600, 600)), MAPPED)
    with pytest.raises(InputError, match="choose one of"):
        Area(kind="hole", geometry=box(0, 0, 1, 1))
    with pytest.raises(InputError, match="covers nothing"):
        AreaSet().add("lacuna", LineString([(0, 0), (1, 1)]))
    (tmp_path / "notes.txt").write_text("no")
    with pytest.raises(InputError, match="not of a kind"):
        read_geometry(tmp_path / "notes.txt", GRID)


# the table of area classes ------------------------------------------------------------------------


def test_every_place_that_needs_an_area_class_takes_it_from_the_table() -> None:
    """A class more is one row more: here are all who read the table, and what they would lack."""
    names = [one.name for one in CLASSES]
    assert len(set(names)) == len(names) == len({one.colour for one in CLASSES}) == len({one.title for one in CLASSES})
    assert set(AREA_CLASSES) < set(KINDS)
    assert sorted(PRECEDENCE) == sorted(names)
    assert set(names) < set(PARTS)
    assert [one.name for one in CLASSES if one.counted] == ["preserved"]
    assert set(LEFT_OUT) | set(EMPTY_KINDS) <= set(KINDS)
    assert all(one.help.endswith(".") and re.fullmatch("#[0-9a-f]{6}", one.colour) for one in CLASSES)
    written = AreaSet(tuple(Area(kind=name, geometry=box(0, 0, 9, 9)) for name in names)).to_geojson()
    assert [area.kind for area in AreaSet.from_geojson(written)] == names


def test_no_other_file_names_all_area_classes() -> None:
    package = Path(napari_mosaic.__file__).parent
    listing = [
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        if all(f'"{name}"' in path.read_text(encoding="utf-8") for name in AREA_CLASSES)
    ]
    assert listing == ["areas.py"]


def test_the_order_in_which_areas_hold_is_that_of_the_figures() -> None:
    assert PRECEDENCE == ("outside", "lacuna", "repair", "not legible", "preserved")
    assert tuple(part for part in PARTS if part in PRECEDENCE) == PRECEDENCE


MASKED = np.zeros(GRID.shape, np.uint8)
MASKED[10:20, 30:50] = 255


@pytest.mark.parametrize(
    "bands",
    [
        lambda on: np.dstack([np.full((*GRID.shape, 3), 255, np.uint8), on]),
        lambda on: np.dstack([np.full(GRID.shape, 255, np.uint8), on]),
        lambda on: np.dstack([np.zeros((*GRID.shape, 3), np.uint8), on]),
        lambda on: np.dstack([on, on, on, np.full(GRID.shape, 255, np.uint8)]),
    ],
    ids=["white on clear", "grey and alpha", "black on clear", "opaque"],
)
def test_masks_with_an_alpha_channel(tmp_path: Path, bands: Any) -> None:
    Image.fromarray(bands(MASKED)).save(tmp_path / "mask.png")
    assert read_geometry(tmp_path / "mask.png", GRID).equals(box(30, 10, 50, 20))


def test_a_photograph_is_no_mask_and_what_people_save_as_one_is(tmp_path: Path) -> None:
    drawn = draw_mosaic(GRID.shape, seed=1).image
    for name in ("photo.jpg", "photo.png"):
        Image.fromarray(drawn).save(tmp_path / name)
        with pytest.raises(InputError, match=f"{name} shows many colours or shades"):
            read_geometry(tmp_path / name, GRID)
    Image.fromarray(drawn).convert("L").save(tmp_path / "grey.png")
    with pytest.raises(InputError, match="a mask has two"):
        read_geometry(tmp_path / "grey.png", GRID)
    for name, dark, bright in (("mask.jpg", 0, 255), ("grey.tif", 100, 255), ("classes.png", 0, 1)):
        Image.fromarray(np.where(MASKED > 0, bright, dark).astype(np.uint8)).save(tmp_path / name)
        assert read_geometry(tmp_path / name, GRID).symmetric_difference(box(30, 10, 50, 20)).area < 20, name


@pytest.mark.parametrize("kind", ["palette", "one bit", "zeros and ones", "lossy", "nodata"])
def test_masks_as_programs_write_them(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "mask.png"
    if kind == "palette":
        picture = Image.fromarray((MASKED == 0).astype(np.uint8), "P")
        picture.putpalette([255, 255, 255, 0, 0, 0])
        picture.save(path)
    elif kind == "one bit":
        Image.fromarray(MASKED).convert("1").save(path)
    elif kind == "zeros and ones":
        path = tmp_path / "mask.tif"
        Image.fromarray(MASKED // 255).save(path)
    elif kind == "lossy":
        path = tmp_path / "mask.webp"
        Image.fromarray(np.dstack([MASKED] * 3)).save(path, quality=80)
    else:
        path = tmp_path / "mask.tif"
        profile = {"driver": "GTiff", "height": GRID.shape[0], "width": GRID.shape[1], "count": 1, "dtype": "uint8"}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with rasterio.open(path, "w", nodata=0, **profile) as dataset:
                dataset.write(MASKED, 1)
    found = read_geometry(path, GRID)
    assert found.symmetric_difference(box(30, 10, 50, 20)).area <= (4 if kind == "lossy" else 0)


def test_a_mask_larger_than_pillow_opens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    Image.fromarray(MASKED).save(tmp_path / "mask.png")
    assert read_geometry(tmp_path / "mask.png", GRID).equals(box(30, 10, 50, 20))


def test_rows_without_a_geometry_are_passed_over(tmp_path: Path) -> None:
    path = write_geojson(tmp_path / "a.geojson", box(10, 10, 30, 30))
    values = json.loads(path.read_text())
    values["features"].insert(0, {"type": "Feature", "properties": {"kind": "lacuna"}, "geometry": None})
    path.write_text(json.dumps(values))
    assert read_geometry(path, GRID).equals(box(10, 10, 30, 30))
