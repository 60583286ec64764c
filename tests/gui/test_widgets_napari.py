"""What we know of napari's inside: each test fails where napari changes it, so `widgets/_napari.py` is mended first."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from napari.layers import Labels, Layer, Shapes
from numpy.typing import NDArray
from qtpy.QtCore import QEvent, QPointF, Qt
from qtpy.QtGui import QMouseEvent
from qtpy.QtWidgets import QApplication, QLineEdit

from napari_mosaic.tiling import Box
from napari_mosaic.widgets import _napari
from napari_mosaic.widgets._napari import camera_of
from napari_mosaic.widgets._sources import corner_of, placement

SHAPE = (96, 128)
_MOUSE = {
    "press": QEvent.Type.MouseButtonPress,
    "move": QEvent.Type.MouseMove,
    "release": QEvent.Type.MouseButtonRelease,
}


@pytest.fixture
def shown(viewer: Any) -> Any:
    """The viewer, on the screen."""
    viewer.window.resize(900, 700)
    viewer.show()
    QApplication.processEvents()
    return viewer


@pytest.fixture
def stones(shown: Any) -> Labels:
    """A pyramid of two levels, of which the larger one is looked at."""
    labels = np.arange(SHAPE[0] * SHAPE[1], dtype=np.uint32).reshape(SHAPE) // 7
    layer = shown.add_labels([labels, labels[::2, ::2].copy()], multiscale=True)
    camera_of(shown).zoom = 6
    QApplication.processEvents()
    assert layer.data_level == 0
    return layer


def test_the_camera_is_that_of_the_canvas_in_any_napari(shown: Any) -> None:
    """napari 0.9 has it in the scene; the viewers of before had no scene."""
    shown.add_image(np.zeros(SHAPE))
    assert camera_of(shown) is shown.scene.camera
    old = SimpleNamespace(camera=object())
    assert camera_of(old) is old.camera


def test_a_proxy_is_taken_off(viewer: Any) -> None:
    """What a dock gets that `add_plugin_dock_widget` opens is the viewer behind napari's proxy."""
    from napari.utils._proxies import PublicOnlyProxy

    layer = viewer.add_labels(np.ones((4, 4), np.uint8))
    seen = PublicOnlyProxy(viewer)
    assert seen is not viewer
    assert seen.layers[0] is not layer
    assert _napari.real(seen) is viewer
    assert _napari.real(seen.layers[0]) is layer
    assert _napari.real(layer) is layer


def test_the_size_of_the_canvas_is_that_of_its_picture(shown: Any) -> None:
    height, width = _napari.canvas_size(shown)
    picture = shown.screenshot(canvas_only=True, flash=False)
    assert (height, width) == picture.shape[:2]
    assert min(height, width) > 100


def test_the_canvas_hears_keys_once_it_has_the_focus(shown: Any, qtbot: Any) -> None:
    """A field of text had them before."""
    field = QLineEdit()
    dock = shown.window.add_dock_widget(field, name="field")
    shown.window.activate()
    field.setFocus()
    qtbot.waitUntil(lambda: QApplication.focusWidget() is field)
    _napari.focus_canvas(shown)
    qtbot.waitUntil(lambda: QApplication.focusWidget() not in (field, None))
    canvas = QApplication.focusWidget()
    assert (canvas.height(), canvas.width()) == _napari.canvas_size(shown)
    shown.window.remove_dock_widget(dock)


def test_what_hangs_in_the_scene_is_drawn_where_the_layers_are(shown: Any) -> None:
    """A line in world coordinates `(x, y)` covers the pixels of a layer there, and is gone without a parent."""
    from vispy.scene.visuals import Line

    shown.add_image(np.zeros((40, 40), np.float32), contrast_limits=(0, 1))
    before = shown.screenshot(canvas_only=True, flash=False)
    ends = np.array([(-0.5, 10.0), (39.5, 10.0)], np.float32)
    line = Line(pos=ends, color="#00ff00", width=5, method="gl", parent=_napari.canvas_scene(shown))
    line.order = 10_000
    line.set_gl_state("translucent", depth_test=False)
    after = shown.screenshot(canvas_only=True, flash=False)
    rows = np.unique(np.argwhere((after != before).any(axis=-1))[:, 0])
    y_of_row = (rows.mean() + 0.5 - before.shape[0] / 2) / camera_of(shown).zoom + camera_of(shown).center[-2]
    assert y_of_row == pytest.approx(10.0, abs=0.5)
    line.parent = None
    np.testing.assert_array_equal(shown.screenshot(canvas_only=True, flash=False), before)


def test_zoom_by_double_click_is_taken_away_and_given_back(shown: Any, qtbot: Any) -> None:
    shown.add_image(np.zeros((40, 40), np.float32))

    def zoomed() -> float:
        before = camera_of(shown).zoom
        _send(shown, QEvent.Type.MouseButtonDblClick, 0.5, 0.5)
        return float(camera_of(shown).zoom / before)

    taken = _napari.without_zoom(shown)
    assert len(taken) == 1
    assert zoomed() == 1.0
    shown.mouse_double_click_callbacks.extend(taken)
    assert zoomed() > 1.5


def test_a_shape_is_being_drawn_until_it_is_done(shown: Any) -> None:
    layer = _shapes(shown)
    layer.mode = "add_polygon"
    assert not _napari.is_being_drawn(layer)
    for x, y in ((0.3, 0.3), (0.6, 0.3), (0.6, 0.6)):
        _send(shown, _MOUSE["move"], x, y, Qt.MouseButton.NoButton)
        _send(shown, _MOUSE["press"], x, y)
        _send(shown, _MOUSE["release"], x, y)
        assert _napari.is_being_drawn(layer)
    layer.mode = "pan_zoom"  # ends it, as Escape does
    assert not _napari.is_being_drawn(layer)


def test_a_shape_is_being_moved_while_the_mouse_holds_it(shown: Any, qtbot: Any) -> None:
    layer = _shapes(shown)
    layer.mode = "select"
    _send(shown, _MOUSE["move"], 0.5, 0.5, Qt.MouseButton.NoButton)
    _send(shown, _MOUSE["press"], 0.5, 0.5)
    assert not _napari.is_being_moved(layer)
    for x in (0.52, 0.55, 0.58):
        qtbot.wait(20)  # napari looks at moves of the mouse only so often
        _send(shown, _MOUSE["move"], x, 0.5, Qt.MouseButton.LeftButton)
    assert _napari.is_being_moved(layer)
    _send(shown, _MOUSE["release"], 0.58, 0.5)
    assert not _napari.is_being_moved(layer)


@pytest.mark.parametrize("zoom", [6, 0.4])
def test_the_pixels_held_for_the_screen_and_their_box(shown: Any, stones: Labels, zoom: float) -> None:
    """On either level, also where only a part of it is held."""
    camera_of(shown).center = (0, 60, 70)
    camera_of(shown).zoom = zoom
    QApplication.processEvents()
    assert stones.data_level == (0 if zoom > 1 else 1)
    box, held = _napari.shown_box(stones), _napari.shown_labels(stones)
    assert box.shape == held.shape
    np.testing.assert_array_equal(held, stones.data[stones.data_level][box.slices])
    corners = np.asarray(stones.corner_pixels)[:, -2:]
    assert (corners[0] >= (box.y0, box.x0)).all()
    assert (corners[1] <= (box.y1, box.x1)).all()


@pytest.mark.parametrize("contour", [0, 2])
def test_a_patch_is_on_the_screen_as_a_refresh_would_bring_it(shown: Any, stones: Labels, contour: int) -> None:
    """The picture changes, within the patch alone, and a refresh changes nothing more."""
    stones.contour = contour
    before = _picture(shown)
    part = Box(40, 50, 52, 70)
    stones.data[0][part.slices] = 3
    assert _napari.patch_shown(stones, part)
    patched = _picture(shown)
    assert (patched != before).any()
    stones.refresh(extent=False, thumbnail=False)
    np.testing.assert_array_equal(_picture(shown), patched)


def test_a_patch_outside_of_what_is_held_is_nothing(shown: Any, stones: Labels) -> None:
    before = _picture(shown)
    assert _napari.patch_shown(stones, Box(500, 500, 510, 510))
    np.testing.assert_array_equal(_picture(shown), before)


def test_a_napari_that_keeps_its_picture_otherwise_gets_a_refresh(
    stones: Labels, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Labels, "_raw_to_displayed", property(lambda _: None))
    assert not _napari.patch_shown(stones, Box(40, 50, 52, 70))


@pytest.mark.parametrize(
    "place",
    [
        {},
        {"scale": (0.5, 0.5), "translate": (3, 4)},
        {"scale": (2, 3), "rotate": 30},
        {"scale": (2, 3), "translate": (5, 6), "rotate": -20, "shear": [0.4]},
        {"scale": (2, 3), "shear": [0.4], "affine": np.array([[1, 0.2, 3], [0, 1.5, 4], [0, 0, 1.0]])},
    ],
)
def test_a_part_of_a_layer_lies_where_its_pixels_lie(place: dict[str, Any]) -> None:
    """By napari's public transforms alone, whatever the layer's own."""
    base = Labels(np.ones(SHAPE, np.uint8), **place)
    part = Labels(base.data[20:, 30:], **{**placement(base, 1.0), "translate": corner_of(base, Box(20, 30, 40, 60))})
    _same_place(part, (7, 9), base, (27, 39))
    finer = Labels(np.ones((2, 2), np.uint8), **placement(base, 2.0))
    _same_place(finer, (0.5, 0.5), base, (0, 0))


def _same_place(one: Layer, at: tuple[float, float], other: Layer, there: tuple[float, float]) -> None:
    np.testing.assert_allclose(one.data_to_world(at), other.data_to_world(there), atol=1e-9)


def _picture(viewer: Any) -> NDArray[np.uint8]:
    return np.asarray(viewer.screenshot(canvas_only=True, flash=False))


def _shapes(viewer: Any) -> Shapes:
    """A layer with one square in the middle of the canvas."""
    layer: Shapes = viewer.add_shapes([np.array([(10, 10), (10, 30), (30, 30), (30, 10)])], shape_type="polygon")
    camera_of(viewer).center, camera_of(viewer).zoom = (0, 20, 20), 8
    QApplication.processEvents()
    return layer


def _send(viewer: Any, kind: Any, x: float, y: float, held: Any = Qt.MouseButton.LeftButton) -> None:
    """An event of the mouse at a share of the canvas."""
    native: Any = viewer.window._qt_viewer.canvas.native
    point = QPointF(x * native.width(), y * native.height())
    button = Qt.MouseButton.NoButton if kind == _MOUSE["move"] else Qt.MouseButton.LeftButton
    none = Qt.KeyboardModifier.NoModifier
    event = QMouseEvent(kind, point, QPointF(native.mapToGlobal(point.toPoint())), button, held, none)
    QApplication.sendEvent(native, event)
    QApplication.processEvents()


def test_colours_of_sparse_ids(viewer: Any) -> None:
    """They are on the screen and in `get_color`, what has none is not drawn, and one alone can be shown."""
    from napari_mosaic.widgets._napari import IdColormap

    ids = np.array([4_000_000_001, 70_000, 12], np.uint32)
    labels = np.repeat(np.array([[0, 12, 70_000, 4_000_000_001, 5]], np.uint32), 5, 0)
    colours = np.array([(1.0, 0, 0, 1), (0, 1, 0, 1)])
    layer = viewer.add_labels(labels, opacity=1.0)
    layer.colormap = IdColormap.of(ids, np.array([1, 0, 0]), colours)
    for label, colour in ((12, colours[0]), (70_000, colours[0]), (4_000_000_001, colours[1]), (5, np.zeros(4))):
        np.testing.assert_allclose(layer.get_color(label), colour)
    viewer.show()
    viewer.reset_view()

    def seen() -> Any:
        pixels = viewer.screenshot(canvas_only=True, flash=False)[..., :3].reshape(-1, 3)
        return {(255, 0, 0), (0, 255, 0)} & {tuple(pixel) for pixel in np.unique(pixels, axis=0).tolist()}

    assert seen() == {(255, 0, 0), (0, 255, 0)}
    layer.selected_label = 70_000
    layer.show_selected_label = True
    assert seen() == {(255, 0, 0)}
    layer.selected_label = 4_000_000_001
    assert seen() == {(0, 255, 0)}
