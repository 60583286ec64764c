"""What is measured, against drawn shapes of known size, direction, distance and colour."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from numpy.typing import NDArray
from skimage.color import rgb2lab

from napari_mosaic.measurement.colours import mean_colours
from napari_mosaic.measurement.contours import HARMONICS, count_corners, fourier_descriptors, longest_rings
from napari_mosaic.measurement.joints import OFFSETS, joint_figures
from napari_mosaic.measurement.outlines import trace_outlines
from napari_mosaic.measurement.rectangles import hull_perimeters, least_rectangles
from napari_mosaic.measurement.windows import TesseraWindow
from napari_mosaic.tiling import Box

ONE = np.array([1], np.int32)


def rectangle(length: float, width: float, angle: float, shift: tuple[float, float]) -> NDArray[np.int32]:
    """Pixels whose middles lie in a rectangle that is turned anticlockwise, as seen, by `angle` degrees."""
    side = int(1.5 * np.hypot(length, width)) + 4
    y, x = np.mgrid[:side, :side] + 0.5
    y, x = y - side / 2 - shift[0], x - side / 2 - shift[1]
    c, s = np.cos(np.radians(-angle)), np.sin(np.radians(-angle))
    return ((abs(x * c + y * s) <= length / 2) & (abs(y * c - x * s) <= width / 2)).astype(np.int32)


def box_of(labels: NDArray[Any], id_: int = 1) -> NDArray[np.int64]:
    y, x = np.nonzero(labels == id_)
    return np.array([[y.min(), x.min(), y.max() + 1, x.max() + 1]])


def rectangles(length: float, width: float, count: int) -> NDArray[np.float64]:
    """Measured minus drawn, of rectangles at random angles and places: length, width in parts, angle in degrees."""
    rng = np.random.default_rng(5)
    rows = []
    for _ in range(count):
        angle = rng.uniform(0, 180)
        labels = rectangle(length, width, angle, tuple(rng.uniform(-0.5, 0.5, 2)))
        found = least_rectangles(labels, ONE, box_of(labels))[0]
        turn = 90 if length == width else 180
        rows.append((found[0] / length - 1, found[1] / width - 1, (found[2] - angle + turn / 2) % turn - turn / 2))
    return np.array(rows)


@pytest.mark.parametrize(("length", "width"), [(20, 14), (20, 20), (20.5, 12.3)])
def test_rectangles_of_20_px_are_right_in_the_mean(length: float, width: float) -> None:
    off = rectangles(length, width, 300)
    assert np.all(abs(off[:, :2].mean(0)) < 0.01)
    assert abs(off[:, 2].mean()) < 0.5
    assert np.all(off[:, :2].std(0) < 0.01)  # the spread: below 1 % and 0.7 degrees
    assert off[:, 2].std() < 0.7


@pytest.mark.parametrize(("length", "width"), [(100, 100), (140, 101)])
def test_each_rectangle_from_100_px_is_right(length: float, width: float) -> None:
    off = abs(rectangles(length, width, 300)).max(0)
    assert np.all(off[:2] < 0.01)
    assert off[2] < 0.5


def test_rectangles_of_a_pixel_a_line_a_disc_and_nothing() -> None:
    labels = np.zeros((40, 40), np.int32)
    labels[3, 4], labels[7, 5:15] = 1, 2
    y, x = np.mgrid[:40, :40]
    labels[(y - 25) ** 2 + (x - 20) ** 2 <= 100] = 3
    boxes = np.concatenate([box_of(labels, k) for k in (1, 2, 3)] + [np.array([[0, 0, 5, 5]])])
    found = least_rectangles(labels, np.array([1, 2, 3, 4], np.int32), boxes)
    np.testing.assert_allclose(found[0, :2], 1.0)
    np.testing.assert_allclose(found[1], [10, 1, 0])
    np.testing.assert_allclose(found[2, :2], 2 * np.sqrt((labels == 3).sum() / np.pi), atol=0.75)
    assert np.isnan(found[3]).all()


def grid(side: float, joint: float, angle: float, shift: NDArray[np.float64]) -> NDArray[np.uint64]:
    """Squares with joints between them, turned by an angle."""
    y, x = np.mgrid[:200, :200] + 0.5
    c, s = np.cos(angle), np.sin(angle)
    along, across = x * c + y * s + shift[0], y * c - x * s + shift[1]
    i, j = np.floor(along / (side + joint)), np.floor(across / (side + joint))
    inside = (along - i * (side + joint) < side) & (across - j * (side + joint) < side)
    return np.where(inside, (i - i.min()) * 1000 + (j - j.min()) + 1, 0).astype(np.uint64)


def whole_ones(labels: NDArray[np.uint64]) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    ids, boxes = [], []
    for id_ in np.unique(labels[labels > 0]):
        (box,) = box_of(labels, id_)
        if box.min() > 20 and box.max() < 180:
            ids.append(id_)
            boxes.append(box)
    return np.array(ids, np.uint64), np.array(boxes)


@pytest.mark.parametrize("joint", [1.5, 2.0, 3.0, 4.5, 8.0, 12.0])
def test_joints_at_all_angles_are_right_to_half_a_pixel(joint: float) -> None:
    rng = np.random.default_rng(1)
    for _ in range(12):
        labels = grid(20, joint, rng.uniform(0, np.pi / 2), rng.uniform(0, 30, 2))
        ids, boxes = whole_ones(labels)
        widths, neighbours = joint_figures(labels, ids, boxes, OFFSETS)
        assert np.all(abs(widths[:, 0] - joint) < 0.5)
        assert np.all(widths[:, 1] < 1.5)
        assert np.all(neighbours == 4)


def test_a_joint_of_two_widths_has_a_spread_and_a_gap_has_no_width() -> None:
    labels = np.zeros((80, 140), np.uint64)
    labels[30:50, 30:50], labels[30:50, 52:72], labels[30:50, 10:24] = 1, 2, 3  # joints of 2 and 6 px
    labels[30:50, 110:130] = 4
    ids = np.array([1, 4], np.uint64)
    boxes = np.concatenate([box_of(labels, 1), box_of(labels, 4)])
    widths, neighbours = joint_figures(labels, ids, boxes, OFFSETS)
    assert list(neighbours) == [2, 0]
    assert 2 < widths[0, 0] < 6
    assert widths[0, 1] == pytest.approx(4, abs=0.1)
    assert np.isnan(widths[1]).all()


def test_colours_are_those_of_scikit_image_without_the_rim() -> None:
    rng = np.random.default_rng(3)
    pixels = rng.integers(0, 256, (30, 60, 3), dtype=np.uint8)
    labels = np.zeros((30, 60), np.int32)
    labels[2:20, 3:25], labels[25:27, 40:44] = 1, 2  # the second has no inner pixel
    boxes = np.concatenate([box_of(labels, 1), box_of(labels, 2)])
    found = mean_colours(labels, np.array([1, 2, 3], np.int32), np.vstack([boxes, [[0, 0, 2, 2]]]), pixels)
    for row, part in enumerate((np.s_[4:18, 5:23], np.s_[25:27, 40:44])):
        lab = rgb2lab(pixels[part]).reshape(-1, 3)
        np.testing.assert_allclose(found[row, :3], lab.mean(0), atol=0.05)
        assert found[row, 3] == pytest.approx(np.sqrt(((lab - lab.mean(0)) ** 2).sum(1).mean()), abs=0.05)
    assert np.isnan(found[2]).all()


def ring_of(labels: NDArray[np.int32]) -> Any:
    window = TesseraWindow(Box(0, 0, *labels.shape), np.array([0]), Box(0, 0, *labels.shape), labels)
    return longest_rings(trace_outlines(window, 1.0))


def polygon(corners: int, angle: float, radius: float = 15.0) -> NDArray[np.int32]:
    turns = np.radians(angle) + 2 * np.pi * np.arange(corners) / corners
    shape = shapely.Polygon(np.column_stack([25 + radius * np.cos(turns), 25 + radius * np.sin(turns)]))
    y, x = np.mgrid[:50, :50] + 0.5
    return shapely.contains_xy(shape, x, y).astype(np.int32)


@pytest.mark.parametrize("corners", [3, 4, 5, 6])
def test_corners_are_counted_at_any_angle(corners: int) -> None:
    found = [int(count_corners(ring_of(polygon(corners, angle)))[0]) for angle in range(0, 120, 7)]
    assert set(found) == {corners}


def test_descriptors_tell_shapes_apart_and_neither_turn_nor_size_changes_them() -> None:
    for corners in (3, 4, 5):
        rings = [ring_of(polygon(corners, angle, radius)) for angle in (0, 17, 40) for radius in (12, 20)]
        shapes = [fourier_descriptors(ring)[0] for ring in rings]
        np.testing.assert_allclose(shapes, [shapes[0]] * len(shapes), atol=0.04)
        assert HARMONICS[int(np.argmax(shapes[0]))] == corners
    y, x = np.mgrid[:50, :50]
    disc = ((y - 25) ** 2 + (x - 25) ** 2 < 300).astype(np.int32)
    assert fourier_descriptors(ring_of(disc)).max() < 0.03
    assert fourier_descriptors(np.zeros(0, object)).shape == (0, len(HARMONICS))


def test_hulls_of_full_and_of_notched_shapes() -> None:
    labels = np.zeros((20, 30), np.int32)
    labels[2:12, 3:24] = 1
    assert hull_perimeters(labels, ONE, box_of(labels))[0] == pytest.approx(2 * (9 + 20))
    labels[2:9, 10:14] = 0
    assert hull_perimeters(labels, ONE, box_of(labels))[0] == pytest.approx(2 * (9 + 20))


def test_columns_stand_in_the_table_with_their_units(tmp_path: Path, photograph: Any) -> None:
    from napari_mosaic import segment
    from napari_mosaic.measurement.features import feature_table
    from napari_mosaic.request import SegmentParams

    params = SegmentParams(method="brightness", scale=1.0)
    with segment(photograph((200, 220), pitch=20), tmp_path / "a.mosaic.zarr", params=params) as record:
        names = [
            "rectangle_length",
            "rectangle_angle",
            "joint_width",
            "neighbours",
            "corners",
            "fourier_4",
            "convexity",
        ]
        table = feature_table(record, names)
    assert {"rectangle_length_px", "rectangle_angle_deg", "joint_width_px", "neighbours"} <= set(table)
    assert 10 < np.nanmedian(table["rectangle_length_px"]) < 40
    assert 3 <= np.median(table["neighbours"]) <= 6
    assert np.nanmin(table["convexity"]) > 0.8
