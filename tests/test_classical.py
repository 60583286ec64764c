"""Ways without a network: the baselines as methods, quadrangles and rows for drawing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from shapely.geometry import Polygon, shape

from napari_mosaic.classical import estimate_guidelines, fill_quadrangles, fit_quadrangles, gradient_map, group_colours
from napari_mosaic.cli import main
from napari_mosaic.engine.segmenters import load_segmenter, method_names
from napari_mosaic.errors import InputError
from napari_mosaic.metrics import evaluate_labels
from napari_mosaic.record import open_record
from napari_mosaic.synthetic import draw_mosaic
from napari_mosaic.tesserae import find_tesserae
from napari_mosaic.tiling import Box

CORNERS = [(3.0, 8.0), (20.0, 4.0), (27.0, 22.0), (8.0, 27.0)]


def crooked() -> NDArray[np.int32]:
    """Two crooked stones side by side."""
    pair = np.array([CORNERS, [(y, x + 26) for y, x in CORNERS]])[:, :, :]
    ring = pair if _turn(pair[0]) > 0 else pair[:, ::-1]
    return fill_quadrangles(ring, (32, 60))


def _turn(ring: NDArray[Any]) -> float:
    y, x = ring.T
    return float((x * np.roll(y, -1) - np.roll(x, -1) * y).sum())


def test_a_quadrangle_is_found_again() -> None:
    labels = crooked()
    (fitted, _) = fit_quadrangles(labels, np.array([1, 2]))
    truth, found = Polygon(CORNERS), Polygon(fitted)
    assert found.is_valid
    assert truth.intersection(found).area / truth.union(found).area > 0.9


def test_a_fit_does_not_depend_on_the_others_or_on_its_place() -> None:
    labels = crooked()
    both, alone = fit_quadrangles(labels, np.array([1, 2])), fit_quadrangles(labels, np.array([2]))
    assert np.array_equal(both[1], alone[0])
    shifted = fit_quadrangles(np.pad(labels, 16), np.array([2])) - 16
    assert np.allclose(shifted, alone, atol=1e-6)
    with pytest.raises(InputError, match="cannot be fitted"):
        fit_quadrangles(labels.astype(float), np.array([1]))
    assert fit_quadrangles(labels, np.array([], int)).shape == (0, 4, 2)


def grid_of_squares(rows: int, columns: int) -> NDArray[np.float64]:
    square = np.array([(1, 1), (1, 9), (9, 9), (9, 1)], float)
    places = np.array([(10 * i, 10 * j) for i in range(rows) for j in range(columns)])
    return square[None] + places[:, None]


def test_rows_of_a_grid_are_followed_to_their_ends() -> None:
    lines = estimate_guidelines(grid_of_squares(5, 7))
    assert sorted(map(len, lines)) == [5] * 7 + [7] * 5
    longest = lines[0]
    assert np.array_equal(np.sort(longest) % 7, np.arange(7))
    groups = np.arange(35) % 7 < 3
    assert max(map(len, estimate_guidelines(grid_of_squares(5, 7), groups=groups))) == 5
    assert estimate_guidelines(grid_of_squares(1, 3)) == []


def test_colours_are_grouped_darkest_first() -> None:
    colours = np.array([[80, 0, 0], [20, 5, 5], [82, 1, 0], [21, 4, 5], [50, 40, 0]], float)
    assert group_colours(colours, 3).tolist() == [2, 0, 2, 0, 1]
    assert group_colours(colours[:1].repeat(4, 0), 3).tolist() == [0, 0, 0, 0]


def test_the_gradient_finds_most_stones_of_a_plain_drawing() -> None:
    drawing = draw_mosaic(192, 700_000, geometry="grid", tessera_px=24, damaged=False, effects=False)
    found = find_tesserae(gradient_map(drawing.image)).astype(np.int64)
    assert evaluate_labels(found, drawing.labels).at(0.5).f1 > 0.75


def test_windows_agree_where_they_meet() -> None:
    image = draw_mosaic(448, 700_001, geometry="grid", tessera_px=24, damaged=False).image
    whole, part = gradient_map(image), gradient_map(image[:, :320])
    inner = np.s_[:, 64:-64, 64:256]
    assert (whole[inner] == part[inner]).mean() > 0.98


@pytest.mark.parametrize("method", ["gradient-watershed", "quadrangles", "unet-watershed", "edges"])
def test_baselines_are_methods_of_segment(method: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert method in method_names()
    drawing = draw_mosaic(160, 700_000, geometry="grid", tessera_px=24, damaged=False)
    Image.fromarray(drawing.image).save(tmp_path / "floor.png")
    Image.fromarray(drawing.labels.astype(np.uint16)).save(tmp_path / "truth.png")
    assert main(["segment", str(tmp_path / "floor.png"), "--method", method, "--scale", "1"]) == 0
    record = tmp_path / "floor.mosaic.zarr"
    capsys.readouterr()
    assert main(["evaluate", str(record), str(tmp_path / "truth.png"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["metrics"]["matching"][0]["f1"] > 0.5
    with open_record(record) as opened:
        assert opened.plan.channels == (1 if method == "unet-watershed" else 2)
        assert opened.plan.method == method


@pytest.mark.parametrize("method", ["gradient-watershed", "quadrangles", "unet-watershed", "edges"])
def test_a_baseline_gives_the_same_for_any_tile_size(method: str, tmp_path: Path) -> None:
    drawing = draw_mosaic((64, 1100), 700_002, geometry="grid", tessera_px=24, damaged=False)
    Image.fromarray(drawing.image).save(tmp_path / "floor.png")
    found = []
    for tile_size in ("1024", "4096"):
        record = tmp_path / f"{tile_size}.mosaic.zarr"
        words = ["segment", str(tmp_path / "floor.png"), "-o", str(record), "--method", method, "--scale", "1"]
        assert main([*words, "--tile-size", tile_size]) == 0
        with open_record(record) as opened:
            found.append(opened.read_labels(Box(0, 0, 64, 1100)))
    assert found[0].any()
    assert np.array_equal(*found)


def test_a_baseline_gives_the_same_for_any_batch() -> None:
    segmenter = load_segmenter("gradient-watershed", "")
    windows = np.stack([draw_mosaic(128, seed, geometry="grid", tessera_px=24).image for seed in (1, 2)])
    assert np.array_equal(segmenter.predict(windows)[1:], segmenter.predict(windows[1:]))


def test_quadrangles_and_rows_for_drawing(tmp_path: Path, photograph: Any, capsys: pytest.CaptureFixture[str]) -> None:
    Image.fromarray(photograph((150, 210))).save(tmp_path / "floor.png")
    assert main(["segment", str(tmp_path / "floor.png"), "--method", "brightness", "--scale", "1.5"]) == 0
    record = tmp_path / "floor.mosaic.zarr"
    for name in ("quadrangles", "guidelines"):
        assert main(["export", str(record), "-o", str(tmp_path / f"a.{name}.geojson")]) == 0
    capsys.readouterr()
    with open_record(record) as opened:
        count, area = opened.count, opened.table(["area"]).column("area").to_numpy().sum() / 1.5**2
        assert opened.read_labels(Box(0, 0, 2, 2)).shape == (2, 2)
    rings = [shape(f["geometry"]) for f in json.loads((tmp_path / "a.quadrangles.geojson").read_text())["features"]]
    assert len(rings) == count
    assert all(ring.is_valid and len(ring.exterior.coords) == 5 for ring in rings)
    assert sum(ring.area for ring in rings) == pytest.approx(area, rel=0.1)
    lines = json.loads((tmp_path / "a.guidelines.geojson").read_text())["features"]
    assert all(len(line["geometry"]["coordinates"]) == line["properties"]["tesserae"] >= 4 for line in lines)
    assert len(lines) > 2
