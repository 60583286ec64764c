"""The viewer that the panel sits in: what is dropped on it, where docks come, what keys act on, what is saved."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import napari_builtins
import numpy as np
import pytest
import shapely
import tifffile
from hands import Hand
from napari.layers import Image
from npe2 import PluginManifest
from PIL import Image as Picture
from qtpy.QtWidgets import QDockWidget, QFileDialog, QScrollArea

from napari_mosaic.areas import AreaSet
from napari_mosaic.record import open_record
from napari_mosaic.request import SegmentParams
from napari_mosaic.segmentation import segment
from napari_mosaic.tiling import Box
from napari_mosaic.widgets import _dialogs, _reader, _sources
from napari_mosaic.widgets._docks import EDIT, SAM2, TITLES, bring_to_front, find_dock, open_dock
from napari_mosaic.widgets._edit.dock import EditDock
from napari_mosaic.widgets._edited import tessera_layers
from napari_mosaic.widgets._facts import Tuning
from napari_mosaic.widgets._levels import CachedLevel
from napari_mosaic.widgets._napari import camera_of
from napari_mosaic.widgets._tuning import plan_preview, tuning_of

PARAMS = SegmentParams(method="brightness", scale=1.0)
WAIT_MS = 60_000


@pytest.fixture
def builtins(npe2pm: Any) -> None:
    """napari's own readers and writers, beside ours."""
    npe2pm.register(PluginManifest.from_file(Path(napari_builtins.__file__).with_name("builtins.yaml")))


@pytest.fixture
def record(floor: Path) -> Path:
    with segment(floor, params=PARAMS) as record:
        return record.path


def drop(viewer: Any, path: Path) -> None:
    viewer.window._qt_viewer._qt_open([str(path)], stack=False)


# what is dropped ------------------------------------------------------------------------------------


@pytest.fixture
def large_tiff(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tiled TIFF that counts as large."""
    monkeypatch.setattr(_reader, "LARGE_PX", 300_000)
    path = tmp_path / "large.tif"
    tifffile.imwrite(path, np.zeros((640, 640, 3), np.uint8), tile=(256, 256), photometric="rgb")
    return path


@pytest.mark.usefixtures("builtins")
def test_a_large_tiff_that_is_dropped_is_read_where_it_is_looked_at_and_a_small_one_as_ever(
    open_panel: Callable[..., Any], viewer: Any, tmp_path: Path, large_tiff: Path
) -> None:
    open_panel()
    drop(viewer, large_tiff)
    (layer,) = viewer.layers
    data = layer.data[0] if layer.multiscale else layer.data
    assert _sources.SOURCE in layer.metadata
    assert isinstance(data, CachedLevel) or not layer.multiscale
    stack = tmp_path / "stack.tif"
    tifffile.imwrite(stack, np.zeros((5, 400, 400), np.uint8), photometric="minisblack")
    drop(viewer, stack)
    assert viewer.layers[-1].data.shape == (5, 400, 400)
    assert not viewer.layers[-1].metadata


@pytest.mark.usefixtures("builtins")
def test_a_reader_that_a_person_chose_for_tiffs_stays(
    open_panel: Callable[..., Any], viewer: Any, large_tiff: Path
) -> None:
    from napari.settings import get_settings

    get_settings().plugins.extension2reader = {"*.tif": "napari", "*.tiff": "napari"}
    open_panel()
    assert get_settings().plugins.extension2reader["*.tif"] == "napari"
    drop(viewer, large_tiff)
    assert _sources.SOURCE not in viewer.layers[0].metadata
    assert isinstance(viewer.layers[0].data, np.ndarray)


def area_file(folder: Path) -> Path:
    """A square with a hole, in pixels."""
    hole = shapely.box(200, 200, 240, 260)
    areas = AreaSet().add("lacuna", shapely.box(100, 100, 500, 400).difference(hole))
    path = folder / "nave.geojson"
    path.write_text(json.dumps(areas.to_geojson()))
    return path


def test_areas_that_are_dropped_are_what_the_panel_stays_within(
    open_panel: Callable[..., Any], viewer: Any, floor: Path, settled: Callable[[Any], None], tmp_path: Path
) -> None:
    panel = open_panel()
    panel.open_photograph(floor)
    settled(panel)
    drop(viewer, area_file(tmp_path))
    assert panel.state.include == "nave"
    region = panel.limits.asked()["region"]
    assert region.area == pytest.approx(400 * 300 - 40 * 60)
    assert region.bounds == (100, 100, 500, 400)


@pytest.mark.parametrize("kind", ["geojson", "mask"])
def test_within_takes_a_file(
    open_panel: Callable[..., Any],
    viewer: Any,
    qtbot: Any,
    floor: Path,
    settled: Callable[[Any], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
) -> None:
    panel = open_panel()
    panel.open_photograph(floor)
    settled(panel)
    path = area_file(tmp_path)
    if kind == "mask":
        mask = np.zeros((700, 1300), np.uint8)
        mask[100:400, 100:500], mask[200:260, 200:240] = 255, 0
        path = tmp_path / "nave.png"
        Picture.fromarray(mask).save(path)
    monkeypatch.setattr(_dialogs, "ask_area", lambda _: str(path))
    panel.view.area_form.file.click()
    qtbot.waitUntil(lambda: panel.state.include == "nave", timeout=WAIT_MS)
    assert panel.limits.asked()["region"].area == pytest.approx(400 * 300 - 40 * 60)


def test_areas_without_a_photograph_say_what_is_missing(viewer: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Open the photograph first"):
        _reader.read_areas(str(area_file(tmp_path)))
    assert not viewer.layers


def test_a_photograph_comes_from_a_file_a_folder_or_an_address(
    open_panel: Callable[..., Any], settled: Callable[[Any], None], floor: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    panel, asked = open_panel(), []
    monkeypatch.setattr(panel, "open_photograph", asked.append)
    for name in ("ask_image", "ask_photo_folder", "ask_address"):
        monkeypatch.setattr(_dialogs, name, lambda _, name=name: name)
    panel.close()
    panel = open_panel()
    monkeypatch.setattr(type(panel), "open_photograph", lambda _, source: asked.append(source))
    for action in panel.view.photo_menu.actions():
        action.trigger()
    assert len(asked) == 3


# docks and keys ---------------------------------------------------------------------------------------


def test_docks_come_as_tabs_with_all_the_height(viewer: Any, qtbot: Any, record: Path) -> None:
    viewer.window._qt_window.resize(1280, 800)
    viewer.show()
    viewer.open(str(record), plugin="napari-mosaic")
    widgets = [viewer.window.add_plugin_dock_widget("napari-mosaic", title)[1] for title in TITLES.values()]
    window = viewer.window._qt_window
    frames = [frame for frame in window.findChildren(QDockWidget) if any(frame.isAncestorOf(one) for one in widgets)]
    qtbot.waitUntil(lambda: len(window.tabifiedDockWidgets(frames[0])) == len(widgets) - 1, timeout=WAIT_MS)
    for frame in frames:
        frame.raise_()
        qtbot.wait(20)
        assert frame.height() > 400


def test_the_step_check_opens_the_editor_in_front(
    open_panel: Callable[..., Any], viewer: Any, qtbot: Any, record: Path, settled: Callable[[Any], None]
) -> None:
    panel = open_panel()
    panel.open_record(record)
    settled(panel)
    panel.view.correct.click()
    dock = find_dock(viewer, EDIT)
    assert isinstance(dock, EditDock)
    panel.view.correct.click()
    assert open_dock(viewer, EDIT) is dock
    qtbot.waitUntil(lambda: dock.state.ready, timeout=WAIT_MS)


class Desk:
    """A record in a viewer, its editor and a hand."""

    def __init__(self, viewer: Any, qtbot: Any, path: Path) -> None:
        self.viewer, self._qtbot = viewer, qtbot
        viewer.window._qt_window.resize(1280, 800)
        viewer.show()
        viewer.open(str(path), plugin="napari-mosaic")
        self.layer = tessera_layers(viewer)[0]
        self.dock = viewer.window.add_plugin_dock_widget("napari-mosaic", TITLES[EDIT])[1]
        viewer.layers.selection.active = self.layer
        qtbot.waitUntil(lambda: self.dock.state.ready, timeout=WAIT_MS)
        self.hand = Hand(viewer, self.layer, qtbot)
        self.path = path

    def rest(self) -> None:
        self._qtbot.waitUntil(lambda: not self.dock.session.editing, timeout=WAIT_MS)
        self._qtbot.wait(30)

    def rows(self) -> Any:
        with open_record(self.path) as record:
            return record.table().to_pydict()

    def show(self, row: int) -> int:
        rows = self.rows()
        box = Box(*(rows[edge][row] for edge in ("y0", "x0", "y1", "x1")))
        self.dock.show_tessera(rows["id"][row], box)
        self._qtbot.wait(60)
        return int(rows["id"][row])


def test_keys_act_on_nothing_that_is_out_of_sight(viewer: Any, qtbot: Any, record: Path) -> None:
    desk = Desk(viewer, qtbot, record)
    count = len(desk.rows()["id"])
    desk.show(0)
    camera_of(viewer).center = (0, 650, 1250)  # the other corner
    qtbot.wait(60)
    desk.hand.key("Delete")
    desk.rest()
    assert "out of sight" in desk.dock.state.message
    assert len(desk.rows()["id"]) == count
    desk.show(0)
    desk.layer.visible = False
    desk.hand.key("Delete")
    desk.rest()
    assert "is hidden" in desk.dock.state.doing
    assert len(desk.rows()["id"]) == count
    desk.layer.visible = True
    viewer.window.add_plugin_dock_widget("napari-mosaic", TITLES[SAM2])  # a tab over the editor
    qtbot.waitUntil(lambda: desk.dock.out_of_sight, timeout=WAIT_MS)
    desk.hand.key("Delete")
    desk.rest()
    assert len(desk.rows()["id"]) == count
    bring_to_front(desk.dock)
    qtbot.waitUntil(lambda: not desk.dock.out_of_sight, timeout=WAIT_MS)
    desk.show(0)
    desk.hand.key("Delete")
    desk.rest()
    assert len(desk.rows()["id"]) == count - 1
    camera_of(viewer).center = (0, 650, 1250)
    qtbot.wait(60)
    desk.dock.undo()
    desk.rest()
    assert len(desk.rows()["id"]) == count
    assert camera_of(viewer).center[-2] < 100  # what came back is seen


def test_go_to_takes_the_id_and_the_number_of_the_exports(viewer: Any, qtbot: Any, record: Path) -> None:
    desk = Desk(viewer, qtbot, record)
    with open_record(record) as opened:
        from napari_mosaic.measurement.table import read_tesserae

        ids = read_tesserae(opened).columns["id"]
    for text in (str(ids[16]), "#17"):
        desk.dock.view.goto.setText(text)
        desk.dock.view.goto.returnPressed.emit()
        desk.rest()
        assert desk.dock.gestures.half.ids == (int(ids[16]),)
        assert f"Tessera {ids[16]}, number 17 of the exports." in desk.dock.state.last
        desk.dock.gestures.choose(())


# the preview ------------------------------------------------------------------------------------------


def test_a_preview_covers_all_that_is_seen(
    open_panel: Callable[..., Any],
    viewer: Any,
    qtbot: Any,
    record: Path,
    settled: Callable[[Any], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from napari_mosaic.widgets import _tuning

    monkeypatch.setattr(_tuning, "PREVIEW_PX", 100_000)
    monkeypatch.setattr(_tuning, "_PART", 256)
    panel = open_panel()
    panel.open_record(record)
    settled(panel)
    with open_record(record) as opened:
        same, shape, stored = tuning_of(opened), opened.shape, opened.read_labels(Box(0, 0, *opened.shape))
    plan = plan_preview(Box(0, 0, *shape), same)
    assert plan.step == 4
    assert sum(part.area for part in plan.parts) == shape[0] * shape[1]
    panel.shown.preview(same)
    viewer.reset_view()
    qtbot.waitUntil(lambda: any("preview" in layer.name for layer in viewer.layers), timeout=WAIT_MS)
    layer = next(layer for layer in viewer.layers if "preview" in layer.name)
    qtbot.waitUntil(lambda: not panel.shown._previewer.busy, timeout=WAIT_MS)
    np.testing.assert_array_equal(layer.data[0], stored[::4, ::4])
    np.testing.assert_allclose(layer.world_to_data(panel.shown.tesserae.data_to_world((1.5, 5.5))), (0, 1))
    panel.tune(Tuning(threshold=0.5, min_area=200))
    panel.tune(panel.state.applied)
    assert not any("preview" in layer.name for layer in viewer.layers)


# what is saved ----------------------------------------------------------------------------------------


@pytest.mark.usefixtures("builtins")
@pytest.mark.parametrize(
    ("entry", "written", "several"),
    [
        ("label TIFF", "saved.tif", False),
        ("copy of the mosaic record", "saved.mosaic.zarr", False),
        ("outlines as GeoPackage", "saved.gpkg", False),
        ("table of tesserae", "saved.csv", False),
        ("copy of the mosaic record", "saved.mosaic.zarr", True),
        ("outlines and areas", "saved.gpkg", True),
    ],
)
def test_save_selected_layers_writes_what_a_person_chose(
    viewer: Any, record: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, entry: str, written: str, several: bool
) -> None:
    """The name is as napari offers it, without an ending: the kind that was chosen gives it."""
    viewer.open(record, plugin="napari-mosaic")
    viewer.layers.selection = set(viewer.layers) if several else {tessera_layers(viewer)[0]}

    def answer(*_: Any, **given: Any) -> tuple[str, str]:
        return str(tmp_path / "saved"), next(kind for kind in given["filter"].split(";;") if entry in kind)

    monkeypatch.setattr(QFileDialog, "getSaveFileName", answer)
    viewer.window._qt_viewer._save_layers_dialog(selected=True)
    assert (tmp_path / written).exists()
    if written.endswith(".zarr"):
        with open_record(tmp_path / written) as copy, open_record(record) as opened:
            assert copy.count == opened.count


def test_a_plain_image_is_still_a_photograph(viewer: Any) -> None:
    assert _sources.is_photograph(Image(np.zeros((20, 20))))
    assert len(viewer.layers) == 0


def test_nothing_of_a_dock_is_wider_than_it_is(viewer: Any, qtbot: Any, record: Path) -> None:
    viewer.window._qt_window.resize(1280, 800)
    viewer.show()
    viewer.open(str(record), plugin="napari-mosaic")
    for title in TITLES.values():
        dock = viewer.window.add_plugin_dock_widget("napari-mosaic", title)[1]
        qtbot.wait(50)
        scroll = dock.view.findChild(QScrollArea)
        assert scroll.widget().minimumSizeHint().width() <= scroll.viewport().width(), title
