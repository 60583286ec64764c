"""Photographs taken at a slant: what is measured on them, what is refused, and what they are rectified to."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image
from skimage.transform import ProjectiveTransform, warp

from napari_mosaic import feature_table, open_image, open_record, rectify, segment
from napari_mosaic.cli import main
from napari_mosaic.drawn_sizes import KnownLine, size_of_lines, size_of_rectangle
from napari_mosaic.errors import InputError, WriteError
from napari_mosaic.image.pixel_size import given_size, is_oblique
from napari_mosaic.perspective import floor_of_rectangle, project, read_rectification
from napari_mosaic.rectifying import RectifyParams, rectify_steps
from napari_mosaic.request import SegmentParams
from napari_mosaic.scale_bars import find_bar_ends

METHOD = SegmentParams(method="brightness", scale=1.0, tile_size=512)
SIZE = 1200, 900
"""Width and height of the drawn board, mm, of which it shows two pixels each."""
FINE = 2.0


def board() -> np.ndarray[Any, Any]:
    """Square stones of 40 mm with joints of 10 mm, straight from above, `FINE` px a mm."""
    y, x = (np.indices((int(SIZE[1] * FINE), int(SIZE[0] * FINE)), float) + 0.5) / FINE
    stone = ((x % 50 > 5) & (x % 50 < 45) & (y % 50 > 5) & (y % 50 < 45)).astype(float)
    shade = 190 + 40 * np.sin(x // 50 * 2.1 + y // 50 * 1.3)
    grey = np.where(stone > 0, shade, 30.0)
    return np.stack([grey, grey * 0.95, grey * 0.9], axis=-1).astype(np.uint8)


def camera(tilt: float, size: float = 1.0) -> np.ndarray[Any, Any]:
    """From mm `(x, y)` on the floor to px of a photograph taken at a slant of `tilt` degrees, and turned a little."""
    turn, slant, distance = np.radians(4), np.radians(tilt), 3000.0
    middle = np.array([[1, 0, -SIZE[0] / 2], [0, 1, -SIZE[1] / 2], [0, 0, 1]])
    turned = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]])
    seen = np.array([[1, 0, 0], [0, np.cos(slant), 0], [0, -np.sin(slant) / distance, 1]])
    return np.array([[size, 0, 700], [0, size, 500], [0, 0, 1]]) @ seen @ turned @ middle


def photographed(flat: np.ndarray[Any, Any], homography: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """A board seen through a homography from mm to px, 1000 x 1400 px, each pixel the mean of 9 samples."""
    fine = np.array([[3, 0, 1], [0, 3, 1], [0, 0, 1]]) @ homography  # px to thirds of px, by their centres
    to_board = np.array([[FINE, 0, -0.5], [0, FINE, -0.5], [0, 0, 1]])
    grid = np.array([[1, 0, -0.5], [0, 1, -0.5], [0, 0, 1]]) @ np.diag([3.0, 3.0, 1.0]) @ homography
    assert fine.shape == grid.shape
    seen = warp(flat, ProjectiveTransform(to_board @ np.linalg.inv(grid)), output_shape=(3000, 4200), order=1,
                cval=0.06, preserve_range=False)  # fmt: skip
    mean = seen.reshape(1000, 3, 1400, 3, 3).mean(axis=(1, 3))
    return np.asarray((mean * 255 + 0.5).astype(np.uint8))


def corners_of(homography: np.ndarray[Any, Any], inset: float = 50.0) -> list[tuple[float, float]]:
    """Corners `(y, x)` in the photograph of a rectangle of the board, `inset` mm from its sides."""
    x1, y1 = SIZE[0] - inset, SIZE[1] - inset
    flat = np.array([(inset, inset), (x1, inset), (x1, y1), (inset, y1)])
    return [(float(y), float(x)) for x, y in project(homography, flat)]


SIDES = SIZE[0] - 100.0, SIZE[1] - 100.0


@pytest.fixture(scope="module")
def slant(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray[Any, Any]]:
    """A photograph at 30° and the homography that it was taken with."""
    homography = camera(30)
    path = tmp_path_factory.mktemp("slant") / "slant.png"
    Image.fromarray(photographed(board(), homography)).save(path)
    return path, homography


@pytest.fixture(scope="module")
def flat(slant: tuple[Path, np.ndarray[Any, Any]]) -> Path:
    """The same rectified, 1 mm a pixel."""
    path, homography = slant
    params = RectifyParams(points=corners_of(homography), sides_mm=SIDES, pixel_mm=1.0)
    return rectify(path, path.with_name("flat.tif"), params)


# what lines and rectangles say --------------------------------------------------------------------


@pytest.mark.parametrize(("tilt", "good"), [(0, True), (1, True), (5, False), (30, False)])
def test_a_rectangle_tells_a_slant_and_confirms_what_has_none(tilt: float, good: bool) -> None:
    size = size_of_rectangle(corners_of(camera(tilt, 0.7)), SIDES)
    assert size.confirmed == good
    assert is_oblique(size) != good
    if tilt == 0:
        assert size.mm == pytest.approx(1 / 0.7, rel=1e-9)
    if not good:
        assert "differ by" in size.origin
        with pytest.raises(InputError, match="rectify it"):
            given_size(size.mm, origin=size.origin)


@pytest.mark.parametrize(("stretch", "good"), [(1.0, True), (1.019, True), (1.021, False), (0.975, False)])
def test_two_lines_crosswise_agree_within_two_percent_or_are_not_confirmed(stretch: float, good: bool) -> None:
    first = KnownLine(start=(10, 10), end=(10, 410), length_mm=200)
    second = KnownLine(start=(50, 30), end=(50 + 400 / stretch, 30), length_mm=200)
    size = size_of_lines(first, second)
    assert size.confirmed == good
    assert size.mm == pytest.approx(0.5 * stretch**0.5)
    with pytest.raises(InputError, match="runs along the first"):
        size_of_lines(first, KnownLine(start=(50, 30), end=(350, 430), length_mm=250))


def test_true_lengths_on_a_floor_by_its_homography() -> None:
    homography = camera(35)
    floor = floor_of_rectangle(np.round(corners_of(homography), 1), SIDES)
    rng = np.random.default_rng(5)
    ends = rng.uniform((100, 100), (1100, 800), (40, 2, 2))
    ends = ends[np.linalg.norm(ends[:, 0] - ends[:, 1], axis=1) > 100]
    found = project(floor, project(homography, ends.reshape(-1, 2))).reshape(-1, 2, 2)
    true, measured = (np.linalg.norm(pair[:, 0] - pair[:, 1], axis=1) for pair in (ends, found))
    np.testing.assert_allclose(measured, true, rtol=0.002)


@pytest.mark.parametrize(
    ("points", "sides", "words"),
    [
        ([(0, 0), (0, 9), (9, 9)], (1, 1), "four corners, and 3 points"),
        ([(0, 0), (0, 50), (0, 99), (50, 50)], (1, 1), "in a line"),
        ([(0, 0), (50, 50), (0, 50), (50, 0)], (1, 1), "cross"),
        ([(0, 0), (0, 90), (90, 120), (90, 0)], (1, 1), "outside of the photograph"),
        ([(0, 0), (0, 90), (90, 90), (90, 0)], (0, 1), "no two sides"),
        ([(0, 0), (0, 90), (90, 90), (90, float("nan"))], (1, 1), "outside of the photograph"),
    ],
)
def test_what_is_no_rectangle_is_one_sentence(points: Any, sides: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        size_of_rectangle(points, sides, shape=(100, 100))


def test_known_places_are_as_good_as_a_rectangle_and_misfits_are_told() -> None:
    homography = camera(30)
    places = np.array([(60, 60), (1100, 80), (1120, 800), (90, 820), (600, 400)], float)
    points = project(homography, places)[:, ::-1]
    up = places * (1, -1)
    floor = RectifyParams(points=points, places_mm=up).floor((1000, 1400))
    np.testing.assert_allclose(project(floor, points[:, ::-1]), places, atol=1e-6)
    for wrong, words in (
        (places, "mirrored"),
        (up + np.eye(5, 2) * 200, "miss one plane"),
        (up[:3], "needed at least"),
    ):
        with pytest.raises(InputError, match=words):
            RectifyParams(points=points, places_mm=wrong).floor((1000, 1400))
    with pytest.raises(InputError, match="one of the two"):
        RectifyParams(points=points, places_mm=up, sides_mm=(1, 1))


def test_corners_may_begin_anywhere_and_go_either_way_round() -> None:
    corners = corners_of(camera(20))
    usual = floor_of_rectangle(corners, SIDES)
    for start in range(4):
        for step in (1, -1):
            order = [(start + step * k) % 4 for k in range(4)]
            along = SIDES if {order[0], order[1]} in ({0, 1}, {2, 3}) else SIDES[::-1]
            floor = floor_of_rectangle([corners[k] for k in order], along)
            shift = project(floor, np.zeros((1, 2))) - project(usual, np.zeros((1, 2)))
            there = np.array([(300, 300), (800, 200), (500, 700)], float)
            np.testing.assert_allclose(project(floor, there) - shift, project(usual, there), atol=1e-6)


# the rectified picture ----------------------------------------------------------------------------


def test_a_rectified_picture_is_the_flat_drawing(flat: Path, slant: tuple[Path, np.ndarray[Any, Any]]) -> None:
    with open_image(flat) as image:
        found = image.rectification
        assert found is not None
        assert (image.pixel_size.mm, image.pixel_size.confirmed) == (1.0, True)
        assert (found.name, found.relative, found.sides_mm) == ("slant", "slant.png", SIDES)
        start = found.from_photograph(project(slant[1], np.zeros((1, 2)))[:, ::-1])[0]
        y0, x0 = (round(float(value)) for value in start)
        np.testing.assert_allclose(start, (y0, x0), atol=0.01)
        seen = image.read(image_box := type_box(y0, x0)).astype(float)
        assert image.read_valid(image_box).all()
    drawn = board().reshape(SIZE[1], 2, SIZE[0], 2, 3).mean(axis=(1, 3))
    difference = np.abs(seen - drawn)[5:-5, 5:-5]
    assert difference.mean() < 6
    inside = np.abs(seen - drawn)[20:30, 20:-20:50]  # the middles of stones
    assert inside.max() < 3


def type_box(y0: int, x0: int) -> Any:
    from napari_mosaic.tiling import Box

    return Box(y0, x0, y0 + SIZE[1], x0 + SIZE[0])


def test_stones_measured_in_mm_on_it_are_right_within_a_percent(flat: Path, tmp_path: Path) -> None:
    with segment(flat, tmp_path / "flat.mosaic.zarr", params=METHOD) as record:
        assert record.pixel_mm == 1.0
        table = feature_table(record, ["rectangle_length_mm", "area_mm2", "centre_y", "centre_x"])
        sides, area = (np.asarray(table[name], float) for name in ("rectangle_length_mm", "area_mm2"))
        y, x = (np.asarray(table[name], float) for name in table if name.startswith("centre_"))
        start = record.rectification.from_photograph(project(camera(30), np.zeros((1, 2)))[:, ::-1])[0]
        whole = (sides > 30) & (area > 1400)  # those at the rim are cut by what the method takes for background
        assert whole.sum() > 340
        steps = np.concatenate([(y[whole] - start[0]) / 50, (x[whole] - start[1]) / 50])
        np.testing.assert_allclose(steps % 1, 0.5, atol=0.02)  # centres within 1 mm all over
        assert np.median(sides[whole]) == pytest.approx(40, rel=0.01)
        assert np.median(area[whole]) == pytest.approx(1600, rel=0.02)


def test_places_go_back_to_the_photograph(
    flat: Path, slant: tuple[Path, np.ndarray[Any, Any]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    segment(flat, tmp_path / "a.mosaic.zarr", params=METHOD).close()
    with open_record(tmp_path / "a.mosaic.zarr") as record:
        corners = corners_of(slant[1])
        there = record.rectification.from_photograph(corners)
        np.testing.assert_allclose(np.linalg.norm(there[0] - there[1]), SIDES[0], atol=0.05)
        np.testing.assert_allclose(record.to_photograph(there), corners, atol=0.05)
        assert record.rectification.points == tuple(corners)
    assert json.loads((tmp_path / "a.mosaic.zarr" / "mosaic.json").read_text())["format"] == 1
    assert main(["info", str(tmp_path / "a.mosaic.zarr")]) == 0
    assert "rectified from" in capsys.readouterr().out
    (tmp_path / "a.mosaic.zarr" / "rectified.json").write_text("{}")
    with open_record(tmp_path / "a.mosaic.zarr") as record, pytest.raises(Exception, match="restore it from a copy"):
        record.to_photograph([(1, 1)])
    segment(slant[0], tmp_path / "b.mosaic.zarr", params=METHOD).close()
    with open_record(tmp_path / "b.mosaic.zarr") as record:
        assert record.rectification is None
        np.testing.assert_array_equal(record.to_photograph([(3, 4)]), [(3, 4)])


def test_the_file_is_tiled_with_levels_a_profile_and_no_picture_of_ours(flat: Path) -> None:
    with tifffile.TiffFile(flat) as tif:
        page = tif.pages[0]
        assert page.is_tiled
        assert page.tags.valueof(34675)
        assert len(tif.pages) > 1
        whole = read_rectification(page.tags.valueof(270), page.shape[:2])
        assert whole is not None
        assert read_rectification(page.tags.valueof(270), (7, 7)) is None  # cut since: its places are others
        assert (page.tags.valueof(282)[0] / page.tags.valueof(282)[1]) == pytest.approx(10)
    with open_image(flat) as image:
        assert len(image.level_shapes) > 1
        assert not image.read_valid(type_box(0, 0)).all()
    from napari_mosaic.picture_marks import is_ours

    assert not is_ours(flat)


def test_made_in_blocks_it_is_as_made_at_once_and_a_smaller_one_is_its_mean(
    slant: tuple[Path, np.ndarray[Any, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from napari_mosaic import rectifying

    with open_image(slant[0]) as image:
        params = RectifyParams(points=corners_of(slant[1]), sides_mm=SIDES, pixel_mm=4.0, extent="rectangle")
        first = rectify(image, tmp_path / "a.tif", params)
        monkeypatch.setattr(rectifying, "BLOCK", 64)
        other = rectify(image, tmp_path / "b.tif", params)
    np.testing.assert_array_equal(tifffile.imread(first), tifffile.imread(other))
    assert tifffile.imread(first).shape == (200, 275, 4)
    drawn = board().reshape(SIZE[1], 2, SIZE[0], 2, 3).mean(axis=(1, 3))[50:-50, 50:-50]
    mean = drawn.reshape(200, 4, 275, 4, 3).mean(axis=(1, 3))
    assert np.abs(tifffile.imread(first)[..., :3] - mean)[2:-2, 2:-2].mean() < 4


def test_a_photograph_towards_the_horizon_ends_where_nothing_can_be_measured(tmp_path: Path) -> None:
    homography = np.array([[1, 0, 500], [0, 0.3, 400], [0, -0.0012, 1]]) @ np.array(
        [[1, 0, -600], [0, 1, -450], [0, 0, 1]]
    )
    picture = np.full((600, 1000, 3), 120, np.uint8)
    corners = corners_of(homography, 300)
    found = rectify(picture, tmp_path / "h.tif", RectifyParams(points=corners, sides_mm=(600, 300), pixel_mm=2))
    assert max(tifffile.imread(found).shape) < 3000


def test_stopped_halfway_it_leaves_nothing(slant: tuple[Path, np.ndarray[Any, Any]], tmp_path: Path) -> None:
    with open_image(slant[0]) as image:
        params = RectifyParams(points=corners_of(slant[1]), sides_mm=SIDES)
        steps = rectify_steps(image, tmp_path / "a.tif", params)
        progress = next(steps)
        assert progress.phase == "rectify"
        steps.close()
    assert list(tmp_path.iterdir()) == []


def test_where_it_may_not_be_written_is_one_sentence(
    slant: tuple[Path, np.ndarray[Any, Any]], flat: Path, tmp_path: Path
) -> None:
    params = RectifyParams(points=corners_of(slant[1]), sides_mm=SIDES, pixel_mm=20)
    photograph = tmp_path / "other.tif"
    Image.fromarray(np.zeros((50, 50, 3), np.uint8)).save(photograph)
    for path, overwrite, words in (
        (flat, False, "exists already"),
        (tmp_path / "a.jpg", False, "is no TIFF"),
        (photograph, True, "is no rectified picture"),
        (tmp_path / "none" / "a.tif", False, "There is no folder"),
    ):
        with pytest.raises((WriteError, InputError), match=words):
            rectify(slant[0], path, params, overwrite=overwrite)
    with pytest.raises(WriteError, match="what is to be rectified"):
        rectify(flat, flat, params, overwrite=True)
    again = rectify(slant[0], tmp_path / "a.tif", params)
    assert rectify(slant[0], again, params, overwrite=True) == again


LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))
import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
from napari_mosaic.rectifying import RectifyParams, rectify
from napari_mosaic.errors import WriteError
import numpy as np
noise = np.random.default_rng(0).integers(0, 255, (700, 700, 3), dtype=np.uint8)
params = RectifyParams(points=[(0, 0), (0, 700), (700, 700), (700, 0)], sides_mm=(700, 700))
try:
    rectify(noise, sys.argv[1], params)
except WriteError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no limits of the size of files there")
def test_a_full_disk_is_one_sentence_and_leaves_nothing(tmp_path: Path) -> None:
    place = tmp_path / "a.tif"
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(place)], capture_output=True, text=True, check=True, timeout=300
    )
    assert "a.tif" in done.stdout
    assert "\n" not in done.stdout.strip()
    assert list(tmp_path.iterdir()) == []


# the scale bar ------------------------------------------------------------------------------------


@pytest.mark.parametrize("angle", [0, 17, 45, 90, 133])
@pytest.mark.parametrize("dark", [True, False])
def test_clicks_on_a_scale_bar_move_to_its_ends(angle: float, dark: bool) -> None:
    rng = np.random.default_rng(round(angle))
    turn = np.radians(angle)
    unit = np.array([np.sin(turn), np.cos(turn)])
    beside = np.array([unit[1], -unit[0]])
    middle, length = np.array([250.3, 250.6]), 301.37
    y, x = (np.indices((500 * 4, 500 * 4)) + 0.5) / 4
    along = (y - middle[0]) * unit[0] + (x - middle[1]) * unit[1]
    across = (y - middle[0]) * beside[0] + (x - middle[1]) * beside[1]
    bar = (np.abs(along) < length / 2) & (np.abs(across) < 6)
    fine = np.where(bar, 40.0, 200.0) if dark else np.where(bar, 220.0, 90.0)
    picture = fine.reshape(500, 4, 500, 4).mean(axis=(1, 3)) + rng.normal(0, 3, (500, 500))
    ends = [middle - unit * length / 2, middle + unit * length / 2]
    clicks = [end + rng.uniform(-3, 3, 2) for end in ends]
    with open_image(np.repeat(picture.clip(0, 255).astype(np.uint8)[..., None], 3, axis=2)) as image:
        found = find_bar_ends(image, *clicks)
    assert found.found == (True, True)
    measured = float(np.hypot(*(np.array(found.end) - found.start)))
    assert measured == pytest.approx(length, abs=0.35)


def test_where_there_is_no_edge_the_click_stays() -> None:
    with open_image(np.full((100, 200, 3), 90, np.uint8)) as image:
        found = find_bar_ends(image, (50, 20), (50, 180))
        assert (found.start, found.end, found.found) == ((50, 20), (50, 180), (False, False))
        with pytest.raises(InputError, match="at one place"):
            find_bar_ends(image, (50, 20), (50, 21))


# the command line ---------------------------------------------------------------------------------


def test_the_commands_measure_refuse_and_rectify(
    slant: tuple[Path, np.ndarray[Any, Any]], tmp_path: Path, capsys: pytest.CaptureFixture[str],
    photograph: Callable[..., Any],
) -> None:  # fmt: skip
    path, homography = slant
    place = tmp_path / "slant.mosaic.zarr"
    segment(path, place, params=METHOD).close()
    said = ",".join(f"{value:.2f}" for point in corners_of(homography) for value in point)
    sides = ",".join(map(str, SIDES))

    def run(*words: str) -> tuple[int, str]:
        code = main(list(words))
        captured = capsys.readouterr()
        return code, captured.out + captured.err

    code, text = run("pixel-size", str(place), "--line", "100,100,100,500", "--length-mm", "400")
    assert code == 0
    assert "draw a second one crosswise" in text.lower()
    code, text = run(
        "pixel-size", str(place), "--line", "100,100,100,500", "--length-mm", "400",
        "--crosswise", "100,100,500,100", "--crosswise-mm", "460",
    )  # fmt: skip
    assert code == 0
    assert "not confirmed" in text
    code, text = run("pixel-size", str(place), "--rectangle", said, "--sides", sides)
    assert code == 0
    assert "not confirmed" in text
    assert "napari-mosaic rectify" in text
    code, text = run("pixel-size", str(place), "--confirm")
    assert code == 1
    assert "rectify it" in text
    for command in (
        ["export", str(place), "-o", str(tmp_path / "a.csv"), "--columns", "area_mm2"],
        ["measure", str(place), "-o", str(tmp_path / "a.csv"), "--columns", "area_mm2"],
        ["deliver", str(place), "-o", str(tmp_path / "delivery")],
    ):
        code, text = run(*command)
        assert code in (1, 2), command
        assert "pixel size" in text, command
        assert text.count("\n") == 1, text
    target = tmp_path / "flat.tif"
    words = ["rectify", str(path), "--points", said, "--sides", sides, "-o", str(target), "--pixel-mm", "1"]
    code, text = run(*words)
    assert code == 0, text
    assert "1 mm" in text
    code, text = run(*words)
    assert code == 1
    assert "exists already" in text
    code, text = run("rectify", str(path), "--points", "1,2,3,4,5,6", "--sides", sides, "-o", str(tmp_path / "b.tif"))
    assert code == 1
    assert "3 points were given" in text
    code, text = run("rectify", str(path), "--points", "1,2,3", "--sides", sides, "-o", str(tmp_path / "b.tif"))
    assert code == 2
    code, text = run("rectify", str(path), "--points", said, "-o", str(tmp_path / "b.tif"))
    assert code == 2
    code, text = run("pixel-size", str(place), "--line", "100,100,100,500", "--length-mm", "400", "--snap")
    assert code == 0
