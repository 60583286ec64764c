"""The dock *SAM 2*, driven by real events of mouse and keys on a multiscale layer."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hands import Hand
from numpy.typing import NDArray
from PIL import Image
from qtpy.QtCore import QEvent, Qt, QTimer
from scipy import ndimage

from bright import bright_stones
from napari_mosaic.engine.sam.clicks import open_clicks
from napari_mosaic.errors import ModelError
from napari_mosaic.record import open_record
from napari_mosaic.request import SegmentParams
from napari_mosaic.sam.clicks import ClickSession
from napari_mosaic.sam.params import SamParams
from napari_mosaic.segmentation import segment
from napari_mosaic.tiling import Box
from napari_mosaic.widgets._edit.dock import EditDock
from napari_mosaic.widgets._edited import tessera_layers
from napari_mosaic.widgets._napari import camera_of
from napari_mosaic.widgets._sam import work
from napari_mosaic.widgets._sam.dock import SamDock
from test_sam_clicks import ClickNetwork

SHAPE = (560, 720)
WAIT_MS = 30_000
SHIFT, CONTROL = Qt.KeyboardModifier.ShiftModifier, Qt.KeyboardModifier.ControlModifier
MODEL = "/models/bright.pt"


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished record of two levels."""
    folder = tmp_path_factory.mktemp("template")
    Image.fromarray(bright_stones(SHAPE, seed=5, pitch=30)).save(folder / "floor.png")
    segment(folder / "floor.png", params=SegmentParams(method="brightness", scale=1.0)).close()
    return folder


def begin(ground: work.Ground, network: Any) -> ClickSession:
    """A session that sees a joint of 2 px."""
    return open_clicks(ground.plan, ground.image, network, SamParams(tessera_px=96.0))


class Desk:
    """A viewer that shows a record, the dock with a network that knows bright stones, and a hand."""

    def __init__(self, viewer: Any, qtbot: Any, path: Path) -> None:
        self.viewer, self.path, self._qtbot = viewer, path, qtbot
        viewer.window._qt_window.resize(1000, 800)
        viewer.show()
        viewer.open(str(path), plugin="napari-mosaic")
        self.layer = tessera_layers(viewer)[0]
        self.dock = SamDock(viewer)
        qtbot.addWidget(self.dock)
        self.hand = Hand(viewer, self.layer, qtbot)
        self.dock.use_model(MODEL)
        qtbot.waitUntil(lambda: self.dock.clicks is not None, timeout=WAIT_MS)
        camera_of(viewer).center = (0, SHAPE[0] / 2, SHAPE[1] / 2)
        camera_of(viewer).zoom = 2.0
        qtbot.wait(30)

    @property
    def labels(self) -> NDArray[Any]:
        """All of level 0 as another reader sees it."""
        with open_record(self.path) as record:
            return record.read_labels(Box(0, 0, *record.shape))

    @property
    def preview(self) -> NDArray[np.bool_]:
        """Where the preview layer shows a mask, on the working grid."""
        preview = self.dock.preview
        out = np.zeros(SHAPE, bool)
        if preview is not None and preview.layer.data.any():
            y, x = np.round(self.layer.world_to_data(preview.layer.data_to_world((0, 0)))).astype(int)
            height, width = preview.layer.data.shape
            out[y : y + height, x : x + width] = preview.layer.data > 0
        return out

    def rest(self) -> None:
        """Wait until nothing is looked at or written."""
        dock = self.dock
        self._qtbot.waitUntil(lambda: not (dock._asker.busy or dock._warmer.busy), timeout=WAIT_MS)
        self._qtbot.waitUntil(lambda: dock.session is None or not dock.session.editing, timeout=WAIT_MS)

    def click(self, place: tuple[float, float], modifiers: Any = Qt.KeyboardModifier.NoModifier) -> None:
        self.hand.click(place, modifiers)
        self.rest()


@pytest.fixture
def desk(viewer: Any, qtbot: Any, template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    shutil.copytree(template, tmp_path / "mosaic")
    monkeypatch.setattr(work, "load_model", lambda _: ClickNetwork())
    monkeypatch.setattr(work, "begin", begin)
    made = Desk(viewer, qtbot, tmp_path / "mosaic" / "floor.mosaic.zarr")
    yield made
    made.dock.close()
    assert made.dock.session is None
    with open_record(made.path, writable=True):
        pass


def near_middle(labels: NDArray[Any]) -> tuple[int, tuple[float, float]]:
    """A large tessera near the middle, and the place deepest inside of it."""
    y, x = SHAPE[0] // 2, SHAPE[1] // 2
    part = labels[y - 70 : y + 70, x - 90 : x + 90]
    inner = part[20:-20, 20:-20]
    ids, counts = np.unique(inner[inner > 0], return_counts=True)
    id_ = int(ids[int(np.argmax(counts))])
    depth = ndimage.distance_transform_edt(labels == id_)
    y, x = np.unravel_index(int(depth.argmax()), depth.shape)
    return id_, (float(y) + 0.5, float(x) + 0.5)


def iou(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    return float((a & b).sum() / max(1, (a | b).sum()))


def test_a_stone_is_clicked_accepted_and_undone(desk: Desk) -> None:
    dock, before = desk.dock, desk.labels
    id_, place = near_middle(before)
    dock.view.tools["points"].click()
    assert desk.viewer.layers.selection.active is dock.preview.layer
    desk.click(place)
    assert iou(desk.preview, before == id_) > 0.7
    assert dock.state.seen.count == 3
    area = dock.state.seen.area
    desk.hand.key("]")
    assert dock.state.seen.area > area
    desk.hand.key("[")
    assert dock.state.seen.area == area
    desk.hand.key("]")
    dock.view.how.setCurrentIndex(dock.view.how.findData("replace"))
    mask = desk.preview
    desk.hand.key("Enter")
    desk.rest()
    assert dock.state.message == ""
    after = desk.labels
    assert (after == id_).sum() > 0
    np.testing.assert_array_equal(after[mask], id_)
    assert not desk.preview.any()
    assert dock.state.clicks == 0
    np.testing.assert_array_equal(np.asarray(desk.layer.data[0][:, :]), after)
    desk.hand.key("Z", CONTROL)
    desk.rest()
    np.testing.assert_array_equal(desk.labels, before)
    assert "Undone" in dock.state.last


def test_points_off_the_stone_and_undo_of_points(desk: Desk, qtbot: Any) -> None:
    dock = desk.dock
    _, place = near_middle(desk.labels)
    dock.use("points")
    desk.click(place)
    one = desk.preview
    desk.click((place[0], place[1] + 60), SHIFT)
    assert dock.steps[-1].clicks.outside
    desk.hand._send(QEvent.Type.MouseButtonPress, (place[0] + 60, place[1]), Qt.MouseButton.RightButton)
    desk.hand._send(QEvent.Type.MouseButtonRelease, (place[0] + 60, place[1]), Qt.MouseButton.RightButton)
    desk.rest()
    assert len(dock.steps[-1].clicks.outside) == 2
    assert dock.prompting.overlay.drawn == (3, False)
    desk.hand.key("Z", CONTROL)
    desk.hand.key("Z", CONTROL)
    desk.rest()
    assert dock.state.clicks == 1
    np.testing.assert_array_equal(desk.preview, one)
    desk.hand.key("Escape")
    assert dock.state.clicks == 0
    assert not desk.preview.any()
    assert dock.state.tool == "points"
    desk.hand.key("Escape")
    assert dock.state.tool is None
    assert desk.viewer.layers.selection.active is desk.layer


def test_boxes_and_outlines_are_drawn(desk: Desk) -> None:
    dock, labels = desk.dock, desk.labels
    id_, (y, _) = near_middle(labels)
    rows, columns = (np.flatnonzero((labels == id_).any(axis)) for axis in (1, 0))
    y0, y1, x0, x1 = (float(edge) for edge in (rows[0] - 2, rows[-1] + 3, columns[0] - 2, columns[-1] + 3))
    centre = camera_of(desk.viewer).center
    dock.use("box")
    desk.hand.drag((y0, x0), (y1, x1))
    desk.rest()
    assert iou(desk.preview, labels == id_) > 0.7
    assert camera_of(desk.viewer).center == centre
    desk.hand.key("L")
    assert dock.state.tool == "outline"
    desk.hand.drag((y0, x0), (y0, x1), (y, x1), (y, x0))
    desk.rest()
    assert 0 < desk.preview.sum() < 0.8 * (labels == id_).sum()
    assert not desk.preview[int(y) + 1 :].any()
    dock.view.how.setCurrentIndex(dock.view.how.findData("split"))
    dock.view.accept.click()
    desk.rest()
    after = desk.labels
    assert len(np.unique(after[labels == id_])) == 2


def test_the_viewer_is_not_blocked_while_a_window_is_encoded(desk: Desk, qtbot: Any) -> None:
    dock = desk.dock
    _, place = near_middle(desk.labels)
    entered, go_on = threading.Event(), threading.Event()
    embed = dock.clicks.network.embed

    def slow(window: Any) -> Any:
        entered.set()
        assert go_on.wait(60)
        return embed(window)

    dock._warm_view = lambda: None
    dock.clicks.network.embed = slow
    dock.use("points")
    turns, timer = [], QTimer()
    timer.timeout.connect(lambda: turns.append(1))
    timer.start(0)
    desk.hand.click(place)
    qtbot.waitUntil(entered.is_set, timeout=WAIT_MS)
    assert dock.state.thinking
    turns.clear()
    qtbot.waitUntil(lambda: len(turns) > 50, timeout=WAIT_MS)
    assert dock.state.seen is None
    camera_of(desk.viewer).zoom = 2.5
    go_on.set()
    desk.rest()
    timer.stop()
    assert dock.state.seen is not None
    assert not dock.state.thinking


def test_a_model_that_cannot_be_loaded_is_told_and_a_closed_preview_puts_the_tool_away(
    desk: Desk, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    dock = desk.dock
    dock.use("points")
    desk.viewer.layers.remove(dock.preview.layer)
    assert dock.state.tool is None
    dock.use("points")
    assert dock.preview.present

    def fail(_: str) -> None:
        raise ModelError("The file is truncated; fetch it again.")

    monkeypatch.setattr(work, "load_model", fail)
    dock.use_model("other.pt")
    qtbot.waitUntil(lambda: not dock._loader.busy, timeout=WAIT_MS)
    assert dock.state.message == "The file is truncated; fetch it again."
    assert not dock.view.tools["points"].isEnabled()
    assert dock.view.model.currentData() == "other.pt"


def test_two_docks_share_a_record_and_its_undo(desk: Desk, qtbot: Any) -> None:
    dock, before = desk.dock, desk.labels
    other = EditDock(desk.viewer)
    qtbot.addWidget(other)
    qtbot.waitUntil(lambda: other.state.ready, timeout=WAIT_MS)
    assert other.session is dock.session
    assert not other.state.refusal
    _, (y, x) = near_middle(before)
    dock.session.edit({"tool": "add_mask", "box": [int(y) - 4, int(x) - 4, int(y) + 4, int(x) + 4],
                       "mask": np.ones((8, 8)), "how": "split"})  # fmt: skip
    desk.rest()
    assert dock.state.journal.done == other.state.journal.done == 1
    other.undo()
    desk.rest()
    assert dock.state.journal.done == 0
    np.testing.assert_array_equal(desk.labels, before)
    other.close()
    assert dock.session is not None
    dock.session.undo()
    desk.rest()


def test_what_the_buttons_say_follows_from_what_is_known() -> None:
    from dataclasses import replace

    from napari_mosaic.widgets._sam.state import NO_MODEL, NO_RECORD, OTHER_MODEL, SamState, SeenFacts, resolve_sam

    nothing = resolve_sam(SamState())
    assert nothing.doing == NO_RECORD
    assert not nothing.tools
    ready = SamState(layer="floor", ready=True)
    assert resolve_sam(ready).doing == NO_MODEL
    assert resolve_sam(replace(ready, model="a.pt")).doing == OTHER_MODEL
    loaded = replace(ready, model="tiny", loaded=True)
    assert resolve_sam(loaded).tools
    seen = replace(loaded, clicks=1, seen=SeenFacts(score=0.9, area=420, place=1, count=3))
    view = resolve_sam(seen)
    assert (view.accept.enabled, view.smaller.enabled, view.larger.enabled) == (True, True, True)
    assert "90 %" in view.seen
    refused = resolve_sam(replace(seen, refusal="read-only"))
    assert (refused.accept.enabled, refused.reject.enabled) == (False, True)
    assert "no stone" in resolve_sam(replace(loaded, clicks=1, nothing=True)).seen
