"""The dock *Edit tesserae*, driven by real events of mouse and keys on a multiscale layer."""

from __future__ import annotations

import itertools
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from hands import Hand
from numpy.typing import NDArray
from PIL import Image

from bright import bright_stones
from napari_mosaic import editing
from napari_mosaic.areas import read_areas
from napari_mosaic.record import open_record
from napari_mosaic.record.finished import finished_boxes
from napari_mosaic.record.journaled import JournaledEdits
from napari_mosaic.record.tables import read_attributes
from napari_mosaic.request import SegmentParams
from napari_mosaic.segmentation import segment
from napari_mosaic.tiling import Box
from napari_mosaic.widgets import _dialogs
from napari_mosaic.widgets._areas import MOST_CORNERS
from napari_mosaic.widgets._edit.dock import EditDock
from napari_mosaic.widgets._edit.icons import STROKES
from napari_mosaic.widgets._edit.overlay import outlines
from napari_mosaic.widgets._edit.state import EditState, resolve_edit
from napari_mosaic.widgets._edit.tools import BY_NAME, KEYS, SAME_MEANING, TOOLS
from napari_mosaic.widgets._edit.walk import Walk
from napari_mosaic.widgets._edited import tessera_layers
from napari_mosaic.widgets._napari import camera_of
from napari_mosaic.widgets._sources import is_photograph
from napari_mosaic.widgets._world import rescale_world

SHAPE = (560, 720)
WAIT_MS = 30_000


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished record of two levels."""
    folder = tmp_path_factory.mktemp("template")
    Image.fromarray(bright_stones(SHAPE, seed=5, pitch=30)).save(folder / "floor.png")
    segment(folder / "floor.png", params=SegmentParams(method="brightness", scale=1.0)).close()
    return folder


@pytest.fixture
def floor(template: Path, tmp_path: Path) -> Path:
    """The record, to be changed at will."""
    shutil.copytree(template, tmp_path / "mosaic")
    return tmp_path / "mosaic" / "floor.mosaic.zarr"


class Desk:
    """A viewer that shows a record, the dock, and a hand."""

    def __init__(self, viewer: Any, qtbot: Any, path: Path) -> None:
        self.viewer, self.path, self._qtbot = viewer, path, qtbot
        viewer.window._qt_window.resize(1000, 800)
        viewer.show()
        viewer.open(str(path), plugin="napari-mosaic")
        self.layer = tessera_layers(viewer)[0]
        viewer.layers.selection.active = self.layer
        self.dock = EditDock(viewer)
        qtbot.addWidget(self.dock)
        self.hand = Hand(viewer, self.layer, qtbot)
        qtbot.waitUntil(lambda: self.dock.state.ready, timeout=WAIT_MS)
        self.rest()

    @property
    def labels(self) -> NDArray[Any]:
        """All of level 0 as another reader sees it."""
        with open_record(self.path) as record:
            return record.read_labels(Box(0, 0, *record.shape))

    @property
    def seen(self) -> NDArray[Any]:
        """What is on the screen, and what a fresh look at the same part shows."""
        return self.layer._slice.image.raw

    def near(self, zoom: float = 2.0) -> None:
        """Look at the middle, so near that all pixels are seen."""
        camera_of(self.viewer).center = (0, SHAPE[0] / 2, SHAPE[1] / 2)
        camera_of(self.viewer).zoom = zoom
        self._qtbot.wait(30)
        assert self.layer.data_level == 0

    def far(self) -> None:
        """Look at all of it from so far that the smaller level is seen."""
        camera_of(self.viewer).center = (0, SHAPE[0] / 2, SHAPE[1] / 2)
        camera_of(self.viewer).zoom = 0.4
        self._qtbot.wait(30)
        assert self.layer.data_level == 1

    def rest(self) -> None:
        """Wait until what was asked for is written and shown."""
        session = self.dock.session
        self._qtbot.waitUntil(lambda: session is None or not session.editing, timeout=WAIT_MS)

    def settle(self) -> None:
        """Wait until the smaller levels are up to date too."""
        self._qtbot.waitUntil(lambda: not self.dock.session.busy, timeout=WAIT_MS)

    def check_screen(self) -> None:
        """The screen and all levels in memory show what the record holds."""
        labels, level = self.labels, self.layer.data_level
        for k, array in enumerate(self.layer.data):
            np.testing.assert_array_equal(np.asarray(array[:, :]), labels[:: 2**k, :: 2**k])
        shown, view = self.seen.copy(), self.layer._slice.image.view.copy()
        self.layer.refresh(extent=False, thumbnail=False)
        np.testing.assert_array_equal(shown, self.seen)
        np.testing.assert_array_equal(view, self.layer._slice.image.view)
        assert self.layer.data_level == level


@pytest.fixture
def open_desk(viewer: Any, qtbot: Any) -> Iterator[Callable[[Path], Desk]]:
    desks: list[Desk] = []

    def make(path: Path) -> Desk:
        desks.append(Desk(viewer, qtbot, path))
        return desks[-1]

    yield make
    for desk in desks:
        desk.dock.close()
        assert desk.dock.session is None


@pytest.fixture
def desk(open_desk: Callable[[Path], Desk], floor: Path) -> Desk:
    return open_desk(floor)


def middle_of(labels: NDArray[Any], id_: int) -> tuple[float, float]:
    """A place well inside of a tessera, on even pixels so that every level shows it."""
    from scipy import ndimage

    depth = ndimage.distance_transform_edt(np.pad(labels == id_, 1))[1:-1, 1:-1]
    y, x = np.unravel_index(int(depth.argmax()), depth.shape)
    return float(y // 2 * 2) + 0.5, float(x // 2 * 2) + 0.5


def pair(labels: NDArray[Any]) -> tuple[int, int]:
    """Two large neighbours side by side near the middle."""
    best, found = 0, (0, 0)
    for y in range(SHAPE[0] // 2 - 60, SHAPE[0] // 2 + 60, 6):
        row = labels[y, SHAPE[1] // 2 - 100 : SHAPE[1] // 2 + 100]
        ids = [int(i) for i in dict.fromkeys(row.tolist()) if i]
        for left, right in itertools.pairwise(ids):
            size = int(min((labels == left).sum(), (labels == right).sum()))
            if size > best:
                best, found = size, (left, right)
    return found


def box_of(mask: NDArray[np.bool_]) -> Box:
    y, x = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return Box(int(y[0]), int(x[0]), int(y[-1]) + 1, int(x[-1]) + 1)


@pytest.mark.parametrize("look", ["near", "far"])
def test_a_drag_across_stones_merges_them_at_any_zoom(desk: Desk, look: str) -> None:
    getattr(desk, look)()
    labels = desk.labels
    left, right = pair(labels)
    desk.hand.key("J")
    assert desk.dock.view.tools["merge"].isChecked()
    desk.hand.drag(middle_of(labels, left), middle_of(labels, right))
    desk.rest()
    after = desk.labels
    assert len({int(after[tuple(int(v) for v in middle_of(labels, id_))]) for id_ in (left, right)}) == 1
    assert "Merged 2" in desk.dock.state.last
    desk.check_screen()
    desk.hand.key("Z", ctrl())
    desk.rest()
    np.testing.assert_array_equal(desk.labels, labels)
    desk.check_screen()
    desk.settle()
    with open_record(desk.path) as record:
        np.testing.assert_array_equal(record.tessera_levels[1][:], labels[::2, ::2])


def ctrl(shift: bool = False) -> Any:
    from qtpy.QtCore import Qt

    kind = Qt.KeyboardModifier
    return kind.ControlModifier | kind.ShiftModifier if shift else kind.ControlModifier


def test_the_screen_waits_for_the_journal_alone(desk: Desk, qtbot: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    go_on, really = threading.Event(), JournaledEdits.apply_patch

    def apply_late(mine: JournaledEdits, patch: Any) -> None:
        assert go_on.wait(WAIT_MS / 1000)
        really(mine, patch)

    monkeypatch.setattr(JournaledEdits, "apply_patch", apply_late)
    for look in ("near", "far"):
        getattr(desk, look)()
        go_on.clear()
        first = desk.labels
        id_, _ = pair(first)
        assert (desk.seen == id_).any()
        desk.dock.session.edit({"tool": "delete", "ids": [id_]})
        qtbot.waitUntil(lambda id_=id_: not (desk.seen == id_).any(), timeout=WAIT_MS)
        assert desk.dock.session.editing
        np.testing.assert_array_equal(desk.labels, first)
        go_on.set()
        desk.rest()
        assert not (desk.labels == id_).any()
        desk.check_screen()


def test_an_edit_that_cannot_be_written_is_not_shown(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.near()
    first = desk.labels
    desk.dock.session.edit({"tool": "delete", "ids": [int(first.max())]})
    desk.rest()
    first = desk.labels

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        desk.dock.session.edit({"tool": "delete", "ids": [pair(first)[0]]})
        desk.rest()
    assert "No space left on device" in desk.dock.state.message
    desk.check_screen()
    np.testing.assert_array_equal(desk.labels, first)
    desk.dock.session.edit({"tool": "delete", "ids": [pair(first)[0]]})
    desk.rest()
    assert not (desk.labels == pair(first)[0]).any()


def test_stones_are_cut_and_split(desk: Desk) -> None:
    desk.near()
    first = desk.labels
    left, right = pair(first)
    box = box_of(first == left)
    middle = (box.x0 + box.x1) / 2
    desk.hand.key("C")
    desk.hand.drag((box.y0 - 3.0, middle), (box.y1 + 3.0, middle))
    desk.rest()
    assert len(np.unique(desk.labels)) == len(np.unique(first)) + 1
    desk.check_screen()
    desk.hand.key("Z", ctrl())
    desk.rest()
    desk.hand.click((box.y0 - 3.0, middle))
    assert desk.dock.gestures.overlay.drawn["track"] == 0
    desk.hand.move((box.y1 + 3.0, middle))
    assert desk.dock.gestures.overlay.drawn["track"] == 1
    desk.hand.key("Escape")
    desk.hand.key("Enter")
    desk.rest()
    np.testing.assert_array_equal(desk.labels, first)
    desk.hand.click((box.y0 - 3.0, middle))
    desk.hand.click((box.y1 + 3.0, middle))
    assert "2 corners" in desk.dock.state.doing
    desk.hand.key("Enter")
    desk.rest()
    assert len(np.unique(desk.labels)) == len(np.unique(first)) + 1
    desk.hand.key("Z", ctrl())
    desk.dock.session.edit({"tool": "merge", "ids": [left, right]})
    desk.rest()
    merged = desk.labels
    for key in ("I", "T"):
        desk.hand.key(key)
        for id_ in (left, right) if key == "I" else (left,):
            desk.hand.click(middle_of(first, id_))
        if key == "I":
            assert desk.dock.gestures.overlay.drawn["points"] == 2
            desk.hand.key("Enter")
        desk.rest()
        assert len(np.unique(desk.labels)) == len(np.unique(first))
        desk.check_screen()
        desk.hand.key("Z", ctrl())
        desk.rest()
        np.testing.assert_array_equal(desk.labels, merged)


def test_stones_are_deleted_and_added(desk: Desk) -> None:
    desk.near()
    first = desk.labels
    id_, other = pair(first)
    place, box = middle_of(first, id_), box_of(first == id_)
    desk.hand.key("D")
    desk.hand.click(place)
    desk.rest()
    assert not (desk.labels == id_).any()
    desk.hand.click(place)
    assert "no tessera" in desk.dock.state.doing
    desk.hand.drag(middle_of(first, other), place)
    desk.rest()
    assert not (desk.labels == other).any()
    desk.hand.key("Z", ctrl())
    desk.rest()
    corners = [(box.y0 - 0.5, box.x0 - 0.5), (box.y0 - 0.5, box.x1 + 0.5), (box.y1 + 0.5, box.x1 + 0.5),
               (box.y1 + 0.5, box.x0 - 0.5)]  # fmt: skip
    for way in ("click", "drag", "corners"):
        desk.hand.key("A" if way == "click" else "O")
        if way == "click":
            desk.hand.click(place)
        elif way == "drag":
            desk.hand.drag(*corners)
        else:
            for corner in corners:
                desk.hand.click(corner)
            desk.hand.double_click(corners[-1])
        desk.rest()
        added = int(desk.labels[int(place[0]), int(place[1])])
        assert added > first.max()
        assert (desk.labels == added).sum() > (0.1 if way == "click" else 0.8) * (first == id_).sum()
        assert str(added) in desk.dock.state.last
        desk.check_screen()
        desk.hand.key("Z", ctrl())
        desk.rest()
    assert camera_of(desk.viewer).zoom == 2.0


def test_outlines_grow_shrink_snap_and_are_mended(desk: Desk) -> None:
    desk.near()
    first = desk.labels
    id_, _ = pair(first)
    box = box_of(first == id_)
    place = (box.y0 + 4.5, box.x0 + 4.5)
    desk.dock.view.px.setValue(2)
    desk.hand.key("K")
    desk.hand.click(place)
    desk.rest()
    small = int((desk.labels == id_).sum())
    assert small < (first == id_).sum()
    for key in ("G", "N"):
        desk.hand.key(key)
        desk.hand.click(place)
        desk.rest()
        assert int((desk.labels == id_).sum()) > small
        desk.check_screen()
        desk.hand.key("Z", ctrl())
        desk.rest()
    desk.hand.key("Z", ctrl())
    y, x = (int(v) for v in middle_of(first, id_))
    for key, hole in (("H", Box(y - 2, x - 2, y + 2, x + 2)), ("R", Box(y - 2, x - 2, y + 2, box.x1))):
        holed = first[hole.slices] * 0
        desk.dock.session.edit({"tool": "replace_window", "box": list(hole), "labels": holed})
        desk.rest()
        assert (desk.labels == id_).sum() < (first == id_).sum()
        desk.hand.key(key)
        desk.hand.click(place)
        desk.rest()
        assert (desk.labels == id_).sum() >= (first == id_).sum()
        desk.check_screen()


def test_tools_work_on_what_is_chosen(desk: Desk, qtbot: Any) -> None:
    from qtpy.QtCore import Qt

    desk.near()
    first = desk.labels
    left, right = pair(first)
    overlay = desk.dock.gestures.overlay
    desk.hand.move(middle_of(first, left))
    assert desk.dock.gestures.hover == left
    assert overlay.drawn["hover"] == len(outlines(first, [left])) // 2 > 0
    desk.hand.click(middle_of(first, left))
    assert overlay.drawn["hover"] == 0
    desk.hand.click(middle_of(first, right), Qt.KeyboardModifier.ShiftModifier)
    assert desk.dock.gestures.half.ids == (left, right)
    assert "2 tesserae chosen" in desk.dock.state.doing
    view = desk.dock.view
    view.material.setCurrentIndex(view.material.findData("glass"))
    view.state.setCurrentIndex(view.state.findData("fractured"))
    desk.hand.key("Y")
    desk.rest()
    with open_record(desk.path) as record:
        said = {row["id"]: (row["material"], row["state"]) for row in read_attributes(record.tables).to_pylist()}
    assert said == {left: ("glass", "fractured"), right: ("glass", "fractured")}
    assert not view.tools["assign"].isChecked()
    desk.hand.click(middle_of(first, left))
    desk.hand.key("Escape")
    assert desk.dock.gestures.half.ids == ()
    desk.hand.click(middle_of(first, left))
    desk.hand.key("Delete")
    desk.rest()
    assert not (desk.labels == left).any()
    view.undo.click()
    desk.rest()
    view.redo.click()
    desk.rest()
    assert not (desk.labels == left).any()
    for key, held in (("S", ""), ("D", "Space")):
        if key == "D":
            desk.hand.key(key)
        centre = camera_of(desk.viewer).center
        if held:
            desk.hand.hold(held)
        desk.hand.drag((200, 300), (230, 340))
        if held:
            desk.hand.let_go(held)
        qtbot.waitUntil(lambda centre=centre: camera_of(desk.viewer).center != centre)
    desk.rest()
    assert desk.dock.state.journal.done == 2


def test_areas_are_drawn_on_the_floor(desk: Desk, qtbot: Any) -> None:
    desk.near(1.2)
    first = desk.labels
    desk.dock.view.draw_area.click()
    layer = desk.dock.areas.layer
    assert desk.viewer.layers.selection.active is layer
    for corner in ((100, 100), (100, 300), (300, 300), (300, 100)):
        desk.hand.click(corner)
    desk.hand.key("Enter")
    areas = lambda: read_areas(desk.path / "areas.geojson")  # noqa: E731
    kinds = lambda: [area.kind for area in areas()]  # noqa: E731
    qtbot.waitUntil(lambda: kinds() == ["lacuna"], timeout=WAIT_MS)
    area = next(iter(areas())).geometry
    assert area.bounds == pytest.approx((100, 100, 300, 300), abs=2)
    desk.rest()
    assert len(layer.data) == 1
    layer.mode = "select"
    desk.hand.click((200, 200))
    assert layer.selected_data == {0}
    box = desk.dock.view.area_class
    box.setCurrentIndex(box.findData("repair"))
    box.activated.emit(box.currentIndex())
    qtbot.waitUntil(lambda: kinds() == ["repair"], timeout=WAIT_MS)
    desk.rest()
    desk.hand.click((200, 200))
    desk.hand.drag((200, 200), (240, 260))
    moved = lambda: next(iter(areas())).geometry.bounds  # noqa: E731
    qtbot.waitUntil(lambda: moved()[:2] == pytest.approx((160, 140), abs=4), timeout=WAIT_MS)
    desk.rest()
    desk.hand.key("Z", ctrl())
    qtbot.waitUntil(lambda: moved()[:2] == pytest.approx((100, 100), abs=2), timeout=WAIT_MS)
    desk.rest()
    layer.selected_data = {0}
    desk.hand.key("Delete")
    qtbot.waitUntil(lambda: kinds() == [], timeout=WAIT_MS)
    desk.rest()
    np.testing.assert_array_equal(desk.labels, first)
    assert desk.dock.state.journal.done == 3


def test_an_area_of_many_corners_is_drawn_with_fewer_and_keeps_them(desk: Desk, qtbot: Any) -> None:
    desk.near(1.2)
    turn = np.linspace(0, 2 * np.pi, 30_001)[:-1]
    radius = 120 + 4 * np.sin(40 * turn) + 0.05 * np.sin(5000 * turn)
    round_ = shapely.Polygon(np.stack([360 + radius * np.cos(turn), 280 + radius * np.sin(turn)], 1))
    floor = round_.difference(shapely.box(340, 260, 380, 300))
    desk.dock.session.edit({"tool": "add_area", "kind": "repair", "geometry": shapely.geometry.mapping(floor)})
    desk.rest()
    desk.dock.draw_areas("lacuna")
    layer = desk.dock.areas.layer
    assert len(layer.data) == 1
    assert 100 < len(layer.data[0]) <= MOST_CORNERS
    area = lambda: next(iter(read_areas(desk.path / "areas.geojson")))  # noqa: E731
    drawn = shapely.make_valid(shapely.Polygon(np.asarray(layer.data[0])[:, ::-1] + 0.5))
    assert drawn.symmetric_difference(floor).area < 0.01 * floor.area
    layer.mode = "select"
    layer.selected_data = {0}
    desk.dock.choose_class("lacuna")
    desk.rest()
    assert area().kind == "lacuna"
    assert shapely.count_coordinates(area().geometry) > 30_000
    desk.hand.click((280, 450))
    desk.hand.drag((280, 450), (290, 470))
    qtbot.waitUntil(lambda: area().geometry.bounds[0] > round_.bounds[0] + 15, timeout=WAIT_MS)
    assert shapely.count_coordinates(area().geometry) <= MOST_CORNERS + 10
    assert not area().geometry.contains(shapely.Point(380, 290)), "the hole goes along"
    assert area().geometry.area == pytest.approx(floor.area, rel=0.02)


def test_a_window_is_painted_applied_and_left(desk: Desk, qtbot: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.near(3.0)
    first = desk.labels
    id_, other = pair(first)
    monkeypatch.setattr("napari_mosaic.widgets._edit.painting.MOST_PX", 100)
    desk.hand.key("W")
    assert "zoom in" in desk.dock.state.message
    monkeypatch.undo()
    desk.dock.painting.leave()
    desk.hand.key("W")
    qtbot.waitUntil(lambda: desk.dock.state.painting, timeout=WAIT_MS)
    window = desk.dock.painting.window
    number = window.layer.selected_label
    assert number > window.start.max()
    assert not desk.layer.visible
    assert not desk.dock.view.tools["merge"].isEnabled()
    y, x = middle_of(first, id_)
    window.layer.brush_size = 5
    desk.hand.drag((y, x - 4), (y, x + 4))
    assert window.changed
    assert (window.layer.data == number).any()
    desk.dock.view.apply_painting.click()
    desk.rest()
    after = desk.labels
    added = int(after[int(y), int(x)])
    assert added > first.max()
    assert (after[first != id_] == first[first != id_]).all()
    assert not window.changed
    assert (window.layer.data == added).any()
    window.layer.selected_label = other
    desk.hand.drag((y, x - 4), (y, x + 4))
    answers: list[str] = ["stay", "discard"]
    monkeypatch.setattr(_dialogs, "ask_unapplied", lambda *_, **__: answers.pop(0))
    desk.dock.view.leave_painting.click()
    assert desk.dock.state.painting
    desk.viewer.layers.remove(window.layer)
    assert not desk.dock.state.painting
    assert not answers
    assert desk.layer.visible
    np.testing.assert_array_equal(desk.labels, after)
    desk.check_screen()


def test_the_queue_is_walked_by_keys(desk: Desk, qtbot: Any) -> None:
    desk.far()
    first = desk.labels
    desk.dock.view.look.click()
    qtbot.waitUntil(lambda: desk.dock.state.walk is not None and desk.dock.job is None, timeout=WAIT_MS)
    total = desk.dock.state.walk.total
    if total < 3:
        pytest.skip("the drawing has too little that is suspicious")
    desk.hand.key(".")
    current = desk.dock.state.walk.current
    assert desk.dock.gestures.half.ids == (current.id,)
    qtbot.wait(30)
    box = current.box
    centre = camera_of(desk.viewer).center[-2:]
    assert centre == pytest.approx(((box.y0 + box.y1) / 2, (box.x0 + box.x1) / 2), abs=2)
    assert desk.layer.data_level == 0
    desk.hand.key("8")
    desk.rest()
    assert f"1 of {total:,} checked" in desk.dock.view.sections["Check"].word.text()
    assert desk.dock.state.walk.current.id != current.id
    desk.hand.key("D")
    next_ = desk.dock.state.walk.current
    desk.hand.click(middle_of(first, next_.id))
    desk.rest()
    assert f"2 of {total:,} checked" in desk.dock.view.sections["Check"].word.text()
    desk.hand.key("Z", ctrl())
    desk.rest()
    assert f"1 of {total:,} checked" in desk.dock.view.sections["Check"].word.text()
    assert next_.id in [suspect.id for suspect in desk.dock.state.walk.waiting]
    desk.hand.key("Z", ctrl(shift=True))
    desk.rest()
    desk.dock.view.goto.setText(str(current.id))
    desk.dock.view.goto.returnPressed.emit()
    desk.rest()
    assert desk.dock.gestures.half.ids == (current.id,)
    desk.dock.view.goto.setText(str(next_.id))
    desk.dock.view.goto.returnPressed.emit()
    desk.rest()
    assert "There is no tessera" in desk.dock.state.message
    desk.dock.view.finish.click()
    desk.rest()
    with open_record(desk.path) as record:
        assert len(finished_boxes(record)) == 1


def test_a_record_that_another_writes_to_is_read_only(open_desk: Callable[[Path], Desk], floor: Path) -> None:
    from filelock import FileLock

    with FileLock(str(floor / "lock")):
        desk = open_desk(floor)
        desk.near()
        view = desk.dock.view
        assert view.refusal.text().startswith("Read-only: floor.mosaic.zarr is being written by another process")
        assert view.refusal.isVisibleTo(desk.dock)
        assert not view.bar.isEnabled()
        first = desk.labels
        desk.hand.key("D")
        desk.hand.click(middle_of(first, pair(first)[0]))
        desk.rest()
        np.testing.assert_array_equal(desk.labels, first)
    view.retry.click()
    desk.rest()
    assert view.bar.isEnabled()
    assert not view.refusal.isVisibleTo(desk.dock)


def test_a_run_of_the_panel_and_edits_share_the_record(
    viewer: Any, open_panel: Callable[[], Any], settled: Any, qtbot: Any, template: Path, tmp_path: Path
) -> None:
    path = shutil.copy(template / "floor.png", tmp_path / "floor.png")
    panel = open_panel()
    viewer.window.add_dock_widget(panel, name="Mosaic")
    panel.open_photograph(path)
    qtbot.waitUntil(lambda: panel.job is None and panel.state.place is not None, timeout=WAIT_MS)
    panel.find_all()
    settled(panel)
    dock = EditDock(viewer)
    qtbot.addWidget(dock)
    qtbot.waitUntil(lambda: dock.state.ready, timeout=WAIT_MS)
    assert dock.layer is panel.shown.tesserae
    first = dock.session.record.read_labels(Box(0, 0, *SHAPE))
    found = panel.state.record.count
    dock.session.edit({"tool": "delete", "ids": [int(first.max())]})
    qtbot.waitUntil(lambda: panel.state.record.count == found - 1, timeout=WAIT_MS)
    panel.find_all()
    dock.session.edit({"tool": "delete", "ids": [pair(first)[0]]})
    settled(panel)
    qtbot.waitUntil(lambda: not dock.session.busy, timeout=WAIT_MS)
    assert panel.state.message == ""
    assert dock.state.message == ""
    after = dock.session.record.read_labels(Box(0, 0, *SHAPE))
    assert len(np.unique(after)) == len(np.unique(first)) - 2
    for k, array in enumerate(dock.layer.data):
        np.testing.assert_array_equal(np.asarray(array[:, :]), after[:: 2**k, :: 2**k])
    dock.close()


def test_keys_do_not_clash_with_those_of_napari(viewer: Any) -> None:
    from napari.layers import Labels
    from napari.utils.key_bindings import coerce_keybinding

    taken = {str(key) for kind in (type(viewer), *type(viewer).__mro__) for key in getattr(kind, "class_keymap", {})}
    taken |= {str(key) for kind in Labels.__mro__ for key in getattr(kind, "class_keymap", {})}
    assert str(coerce_keybinding("M")) in taken
    ours = [tool.key for tool in TOOLS] + [key for keys in KEYS.values() for key in keys]
    assert len(set(ours)) == len(ours)
    clashes = {key for key in ours if str(coerce_keybinding(key)) in taken}
    assert clashes <= SAME_MEANING
    assert {tool.name for tool in TOOLS} <= set(STROKES)
    assert {tool.name for tool in TOOLS} - {"choose"} <= set(editing.TOOLS)
    assert set(editing.TOOLS) - {tool.name for tool in TOOLS} == {
        "add_mask", "replace_window", "add_area", "change_area", "remove_area",
    }  # fmt: skip


def test_what_the_dock_shows_follows_from_its_state() -> None:
    empty = resolve_edit(EditState())
    assert "drop a record" in empty.doing
    assert not empty.tools
    ready = EditState(layer="floor tesserae", ready=True)
    assert resolve_edit(ready).tools
    refused = resolve_edit(EditState(layer="floor tesserae", ready=True, refusal="Someone else"))
    assert (refused.tools, refused.goto, refused.finish.enabled) == (False, True, False)
    assert BY_NAME["merge"].least == 2
    assert Walk().moved(1) == Walk()
    labels = np.zeros((5, 6), np.uint32)
    labels[1:3, 2:5] = 7
    assert len(outlines(labels, [7])) == 2 * 10
    assert outlines(labels, [7]).min(axis=0).tolist() == [1, 2]
    assert outlines(labels, [7]).max(axis=0).tolist() == [3, 5]
    assert len(outlines(labels, [9, 0])) == 0


def test_all_layers_of_the_dock_and_its_lines_go_with_the_size_of_the_photograph(desk: Desk, qtbot: Any) -> None:
    desk.near()
    desk.dock.draw_areas("lacuna")
    desk.dock.areas.layer.add_polygons([[(100, 100), (100, 200), (200, 200)]])
    areas = lambda: read_areas(desk.path / "areas.geojson")  # noqa: E731
    qtbot.waitUntil(lambda: any(area.kind == "lacuna" for area in areas()), timeout=WAIT_MS)
    desk.viewer.layers.selection.active = desk.layer
    desk.hand.key("W")
    qtbot.waitUntil(lambda: desk.dock.state.painting, timeout=WAIT_MS)
    photograph = next(layer for layer in desk.viewer.layers if is_photograph(layer))
    lies = {layer.name: layer.data_to_world((30, 40)) for layer in desk.viewer.layers}
    assert len(lies) == 5
    before = desk.seen.copy()
    rescale_world(desk.viewer, photograph, 0.5, str(desk.path))
    for layer in desk.viewer.layers:
        np.testing.assert_allclose(layer.data_to_world((30, 40)), np.array(lies[layer.name]) / 2, err_msg=layer.name)
        assert str(layer.units[-1]) == "millimeter"
    np.testing.assert_array_equal(desk.seen, before)  # the camera went along
    window = desk.dock.painting.window
    window.layer.data[5:9, 5:9] = window.layer.selected_label
    desk.dock.painting.apply()
    desk.rest()
    part = desk.labels[window.box.slices][5:9, 5:9]
    assert len(np.unique(part)) == 1
    desk.dock.painting.leave()
    assert [area.geometry.bounds for area in areas() if area.kind == "lacuna"] == [(100.5, 100.5, 200.5, 200.5)]
