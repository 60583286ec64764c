"""Figures: every place in one part, every tessera in the same denominator, every face the same number."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from numpy.typing import NDArray
from shapely.geometry import box, mapping

from bright import brightness_map
from napari_mosaic import open_record, segment
from napari_mosaic.cli import main
from napari_mosaic.engine.segmenters import FunctionSegmenter
from napari_mosaic.errors import InputError
from napari_mosaic.export import export_record
from napari_mosaic.progress import drain
from napari_mosaic.record import Record
from napari_mosaic.record.looked_at import PARTS
from napari_mosaic.request import SegmentParams
from napari_mosaic.segmentation import segment_steps
from napari_mosaic.tiling import Box

PITCH, MM = 28, 0.5
PER_DM2 = 1e4 / (PITCH * MM) ** 2
"""51.02: squares of 14 mm with their joints."""

BORDER, ROWS = 300, 80
SIDE = ROWS * PITCH
"""Of the drawn floor, in px: 1.12 m."""

LACUNA = box(BORDER + 20 * PITCH, BORDER + 30 * PITCH, BORDER + 35 * PITCH, BORDER + 42 * PITCH)
IN_LACUNA = 15 * 12
SQUARE = Box(BORDER + 101, BORDER + 207, BORDER + 101 + 2000, BORDER + 207 + 2000)
"""A square metre, whose edges cut stones."""
PARAMS = SegmentParams(method="brightness", scale=1.0, tile_size=1024)


def drawn_floor(*, white: bool = True) -> NDArray[np.uint8]:
    """Square stones in dark joints with a flat white surround, which joins the last joint."""
    cell = np.full((PITCH, PITCH), 30, np.uint8)
    cell[2:-2, 2:-2] = 200
    floor = np.tile(cell, (SIDE // PITCH, SIDE // PITCH))
    picture = np.pad(floor, BORDER, constant_values=255 if white else 30)
    return np.repeat(picture[:, :, None], 3, axis=2)


def write_geotiff(path: Path, picture: NDArray[np.uint8], *, alpha: NDArray[np.bool_] | None = None) -> Path:
    import rasterio

    bands = picture.transpose(2, 0, 1)
    if alpha is not None:
        bands = np.concatenate([bands, np.where(alpha, 255, 0).astype(np.uint8)[None]])
    height, width = picture.shape[:2]
    profile: dict[str, Any] = {
        "driver": "GTiff", "height": height, "width": width, "count": len(bands), "dtype": "uint8",
        "crs": "EPSG:32633", "transform": rasterio.transform.from_origin(400_000, 4_600_000, MM / 1000, MM / 1000),
        "tiled": True, "photometric": "RGB", **({} if alpha is None else {"ALPHA": "YES"}),
    }  # fmt: skip
    with rasterio.open(path, "w", **profile) as file:
        file.write(bands)
    return path


def find(source: Any, output: Path, **job: Any) -> Record:
    segmenter = FunctionSegmenter(brightness_map, name="brightness", channels=2, halo=8, tessera_px=24.0)
    return drain(segment_steps(source, output, params=PARAMS, segmenter=segmenter, **job))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("floor")
    source = write_geotiff(folder / "floor.tif", drawn_floor())
    record = find(source, folder / "floor.mosaic.zarr")
    record.areas = record.areas.add("lacuna", LACUNA)
    record.close()
    return folder / "floor.mosaic.zarr"


def test_a_whole_floor_has_the_drawn_density_over_what_is_preserved(whole: Path) -> None:
    with open_record(whole) as record:
        figures = record.figures()
    assert figures.count == ROWS**2 - IN_LACUNA
    assert figures.density_dm2 == pytest.approx(PER_DM2, rel=0.005)
    assert figures.area_m2() == pytest.approx((ROWS**2 - IN_LACUNA) * (PITCH * MM / 1000) ** 2, rel=0.005)
    assert figures.area_m2("lacuna") == pytest.approx(LACUNA.area * 0.25e-6, rel=1e-9)
    assert figures.px["surround"] > 0.99 * ((SIDE + 2 * BORDER) ** 2 - SIDE**2)
    assert sum(figures.px[part] for part in PARTS) == pytest.approx(figures.px["photograph"])


def test_a_square_that_cuts_stones_has_the_drawn_density(whole: Path) -> None:
    with open_record(whole) as record:
        figures = record.figures(SQUARE)
        same = record.figures(box(SQUARE.x0, SQUARE.y0, SQUARE.x1, SQUARE.y1))
    assert figures == same
    assert figures.density_dm2 == pytest.approx(PER_DM2, rel=0.005)
    assert figures.px["photograph"] == 2000**2


def test_a_run_within_a_drawn_square_looks_at_the_square_alone(tmp_path: Path) -> None:
    source = write_geotiff(tmp_path / "floor.tif", drawn_floor())
    region = box(SQUARE.x0, SQUARE.y0, SQUARE.x1, SQUARE.y1)
    with find(source, tmp_path / "a.mosaic.zarr", region=region) as record:
        figures = record.figures()
    assert figures.area_m2() == pytest.approx(1.0)
    assert figures.density_dm2 == pytest.approx(PER_DM2, rel=0.005)
    assert figures.px["beyond regions"] > 0


def test_the_panel_shows_areas_and_density(whole: Path) -> None:
    pytest.importorskip("napari")
    from napari_mosaic.widgets._facts import SizeFacts
    from napari_mosaic.widgets._knowing import read_facts
    from napari_mosaic.widgets._state import PanelState, resolve

    size = SizeFacts(pixel_mm=MM, confirmed=True, origin="GeoTIFF")
    shown = dict(resolve(PanelState(record=read_facts(whole), size=size)).measures)
    assert shown["Tesserae"] == f"{ROWS**2 - IN_LACUNA:,}"
    assert float(shown["Density"].removesuffix(" per dm²")) == pytest.approx(PER_DM2, rel=0.005)
    assert float(shown["Area looked at"].removesuffix(" m²")) == pytest.approx(
        (ROWS**2 - IN_LACUNA) * 0.014**2, rel=0.005
    )
    assert shown["Lacuna"] == "0.03528 m²"
    assert "Surround" in shown


def test_every_face_tells_the_same_figures(whole: Path, tmp_path: Path, capsys: Any) -> None:
    pytest.importorskip("napari")
    from napari_mosaic.widgets._knowing import read_facts

    square = tmp_path / "square.geojson"
    square.write_text(json.dumps(mapping(box(SQUARE.x0, SQUARE.y0, SQUARE.x1, SQUARE.y1))))
    with open_record(whole) as record:
        figures, part = record.figures(), record.figures(SQUARE)
        export_record(record, "csv", tmp_path / "floor.csv")
    assert read_facts(whole).figures == figures
    notes = json.loads((tmp_path / "floor.csv-metadata.json").read_text())["notes"][0]
    assert notes["looked_at"] == figures.to_json()
    for options, wanted in (([], figures), (["--within", str(square)], part)):
        assert main(["info", str(whole), "--json", *options]) == 0
        told = json.loads(capsys.readouterr().out)
        assert told["looked_at"] == wanted.to_json()
        assert told["tesserae"] == wanted.count
        assert main(["info", str(whole), *options]) == 0
        text = capsys.readouterr().out
        assert f"{wanted.density_dm2:.4g} per dm²" in text
    lines = (tmp_path / "floor.csv").read_text().splitlines()
    assert sum(line.split(",")[13] in ("", "preserved") for line in lines[1:]) == figures.count


def test_what_the_file_masks_and_what_a_person_leaves_out_is_no_denominator(tmp_path: Path) -> None:
    alpha = np.ones((SIDE + 2 * BORDER,) * 2, bool)
    alpha[:, : BORDER + 30 * PITCH] = False
    source = write_geotiff(tmp_path / "floor.tif", drawn_floor(), alpha=alpha)
    left_out = box(BORDER + 60 * PITCH, 0, BORDER + 70 * PITCH, BORDER + 50 * PITCH)
    with find(source, tmp_path / "a.mosaic.zarr", exclude=left_out) as record:
        figures = record.figures()
    source.unlink()
    with open_record(tmp_path / "a.mosaic.zarr") as record:
        assert record.figures() == figures, "the record knows the mask without its photograph"
    assert figures.count == 50 * ROWS - 10 * 50
    assert figures.density_dm2 == pytest.approx(PER_DM2, rel=0.005)
    assert figures.px["masked"] == pytest.approx((~alpha).sum(), rel=0.002)
    assert sum(figures.px[part] for part in PARTS) == pytest.approx(figures.px["photograph"])


def test_a_record_made_before_masks_were_kept_asks_its_photograph_once(tmp_path: Path) -> None:
    alpha = np.ones((SIDE + 2 * BORDER,) * 2, bool)
    alpha[:900] = False
    source = write_geotiff(tmp_path / "floor.tif", drawn_floor(), alpha=alpha)
    find(source, tmp_path / "a.mosaic.zarr").close()
    kept = tmp_path / "a.mosaic.zarr" / "file-mask.png"
    kept.unlink()
    with open_record(tmp_path / "a.mosaic.zarr") as record:
        assert record.figures().px["masked"] == pytest.approx((~alpha).sum(), rel=0.002)
    assert kept.exists()


def test_a_part_of_a_run_is_measured_over_what_is_computed(tmp_path: Path) -> None:
    source = write_geotiff(tmp_path / "floor.tif", drawn_floor())
    with find(source, tmp_path / "a.mosaic.zarr", only=Box(1100, 1100, 1200, 1200)) as record:
        figures = record.figures()
    assert not record.complete
    assert figures.area_px == 1024**2
    assert figures.density_dm2 == pytest.approx(PER_DM2, rel=0.03), "by seeds: good to half a row of stones"
    assert figures.px["not computed"] == pytest.approx((SIDE + 2 * BORDER) ** 2 - 1024**2)


def test_areas_that_lie_over_each_other_count_once_by_precedence(whole: Path, tmp_path: Path) -> None:
    import shutil

    path = tmp_path / "copy.mosaic.zarr"
    shutil.copytree(whole, path)
    with open_record(path, writable=True) as record:
        areas = record.areas.without("lacuna")
        corner = BORDER + 10 * PITCH
        for kind, start in (("not legible", 0), ("repair", 5), ("lacuna", 8), ("preserved", 9)):
            areas = areas.add(kind, box(corner + start * PITCH, corner, corner + (start + 10) * PITCH, corner + PITCH))
        record.areas = areas
        figures = record.figures()
    cells = {part: figures.px[part] / PITCH**2 for part in ("not legible", "repair", "lacuna")}
    assert cells == pytest.approx({"not legible": 5, "repair": 3, "lacuna": 10})
    assert figures.count == ROWS**2 - 18


def test_without_a_confirmed_pixel_size_there_are_no_metres(tmp_path: Path, capsys: Any) -> None:
    with find(drawn_floor(), tmp_path / "a.mosaic.zarr") as record:
        figures = record.figures()
    assert figures.area_m2() is None
    assert figures.density_dm2 is None
    assert figures.density_mpx == pytest.approx(1e6 / PITCH**2, rel=0.005)
    assert "areas_m2" not in figures.to_json()
    assert main(["info", str(tmp_path / "a.mosaic.zarr")]) == 0
    text = capsys.readouterr().out
    assert "m²" not in text
    assert "per megapixel" in text


def test_a_box_beside_the_photograph_is_refused(whole: Path) -> None:
    with open_record(whole) as record, pytest.raises(InputError, match="holds no pixel"):
        record.figures(Box(9000, 9000, 9100, 9100))
    assert shapely.box(0, 0, 1, 1).area == 1


def test_the_verb_is_public(whole: Path) -> None:
    assert callable(segment)
    with open_record(whole) as record:
        assert record.figures().median_px == pytest.approx((PITCH - 4) ** 2, rel=0.1)
