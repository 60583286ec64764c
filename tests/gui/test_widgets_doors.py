"""Every way in that napari knows: the panel and the docks work the same, whoever opens them."""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import napari_builtins
import numpy as np
import pytest
from hands import Hand
from napari import __main__ as program
from napari.utils._proxies import PublicOnlyProxy
from npe2 import PluginManifest

from napari_mosaic.record import open_record
from napari_mosaic.request import SegmentParams
from napari_mosaic.tiling import Box
from napari_mosaic.widgets import _commands as commands
from napari_mosaic.widgets import _sources, _worker, segment_layer, segment_selected_layer
from napari_mosaic.widgets._docks import bring_to_front
from napari_mosaic.widgets._edited import tessera_layers
from napari_mosaic.widgets._napari import real
from napari_mosaic.widgets._panel import record as panel_module

QUICK = SegmentParams(method="brightness", scale=1.0, tile_size=1024)
WAIT_MS = 60_000
DOCKS = {
    "Mosaic": "MosaicPanel", "Edit tesserae": "EditDock", "SAM 2": "SamDock", "Advanced: Train": "TrainDock",
    "Advanced: Tune": "TuneDock", "How good is it?": "CheckDock",
}  # fmt: skip


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, npe2pm: Any) -> None:
    """Nobody hands parameters to a dock that napari opens: the panel's own are those of a method without a network.

    Files are read by napari's own reader, which a test has to ask for.
    """
    monkeypatch.setattr(panel_module, "SegmentParams", lambda: QUICK)
    npe2pm.register(PluginManifest.from_file(Path(napari_builtins.__file__).with_name("builtins.yaml")))


def dock_in(viewer: Any, name: str) -> Any:
    """The dock of a kind that is open in a viewer."""
    found = [widget for widget in viewer.window.dock_widgets.values() if type(widget).__name__ == DOCKS[name]]
    assert len(found) == 1, (name, dict(viewer.window.dock_widgets))
    return found[0]


def press_entry(menu: Any, name: str) -> None:
    """Choose a dock in a menu of the window, as a hand does: what is in it is brought up to date first."""
    menu.aboutToShow.emit()
    for action in menu.actions():
        if action.menu() is not None:
            action.menu().aboutToShow.emit()
    entries = [action for action in _leaves(menu) if action.text().replace("&", "").split(" (")[0] == name]
    assert len(entries) == 1, [action.text() for action in _leaves(menu)]
    entries[0].trigger()


def _leaves(menu: Any) -> list[Any]:
    out = []
    for action in menu.actions():
        out += [action] if action.menu() is None else _leaves(action.menu())
    return out


def from_plugins_menu(viewer: Any, name: str) -> None:
    press_entry(viewer.window.plugins_menu, name)


def from_layers_menu(viewer: Any, name: str) -> None:
    press_entry(viewer.window.layers_menu, name)


def by_call(viewer: Any, name: str) -> None:
    viewer.window.add_plugin_dock_widget("napari-mosaic", name)


def with_flag(viewer: Any, monkeypatch: pytest.MonkeyPatch, *words: str) -> None:
    """Do to a new viewer what `napari WORDS` does to its own."""
    monkeypatch.setattr(program, "Viewer", lambda **_: viewer)
    monkeypatch.setattr(sys, "argv", ["napari", *words])
    assert program._build_viewer() is viewer


class Desk:
    """What a person does with the panel of a viewer, whichever way it was opened."""

    def __init__(self, viewer: Any, qtbot: Any) -> None:
        self.viewer, self._qtbot = viewer, qtbot
        viewer.window._qt_window.resize(1000, 800)
        viewer.show()
        self.panel = dock_in(viewer, "Mosaic")
        assert self.panel.params is QUICK

    def rest(self) -> None:
        """Wait until nothing runs and everything is shown."""
        panel = self.panel
        self._qtbot.waitUntil(lambda: panel.job is None and not panel._looker.busy, timeout=WAIT_MS)
        self._qtbot.waitUntil(lambda: panel.shown is None or not panel.shown.busy, timeout=WAIT_MS)

    def find_view_then_whole(self) -> Any:
        """Steps *Find in view* and *Whole mosaic*; the record's facts."""
        view = self.panel.view
        self.rest()
        self._qtbot.waitUntil(lambda: view.find_view.isEnabled(), timeout=WAIT_MS)
        view.find_view.click()
        self.rest()
        assert self.panel.state.record is not None, self.panel.state.message
        assert self.panel.state.record.count > 0
        view.find_all.click()
        self.rest()
        assert self.panel.state.message == ""
        assert self.panel.state.record.complete
        assert self.panel.shown.tesserae is tessera_layers(self.viewer)[0]
        return self.panel.state.record

    def delete_a_stone(self, dock: Any) -> None:
        """Choose the first stone in the dock *Edit tesserae*, which may be a tab behind, and press the key."""
        bring_to_front(dock)
        self._qtbot.waitUntil(lambda: dock.state.ready, timeout=WAIT_MS)
        self._qtbot.waitUntil(lambda: not (dock.out_of_sight or dock._gone.isActive()), timeout=WAIT_MS)
        self._qtbot.waitUntil(lambda: not dock.gestures.asleep, timeout=WAIT_MS)
        with open_record(self.panel.state.place) as record:
            labels = record.read_labels(Box(0, 0, *record.shape))
        id_ = int(labels[labels > 0][0])
        rows, columns = np.nonzero(labels == id_)
        dock.show_tessera(id_, Box(int(rows.min()), int(columns.min()), int(rows.max()) + 1, int(columns.max()) + 1))
        Hand(self.viewer, dock.layer, self._qtbot).key("Delete")
        self._qtbot.waitUntil(lambda: dock.state.last.startswith("Deleted"), timeout=WAIT_MS)
        self._qtbot.waitUntil(lambda: not dock.session.busy, timeout=WAIT_MS)

    def save(self, path: Path) -> list[dict[str, str]]:
        """Step *Deliver*: rows of the table."""
        self.panel.save_as(path, "csv")
        self.rest()
        with path.open(newline="", encoding="utf-8-sig") as file:
            return list(csv.DictReader(file))


def work_through(desk: Desk, photograph: Path, edit: Callable[[], Any]) -> None:
    """View, whole, edit, save; then the photograph goes, and the panel knows it."""
    panel = desk.panel
    desk.rest()
    assert panel.layer is desk.viewer.layers[0]
    assert panel.photograph is desk.viewer.layers[0]
    assert panel.state.place == photograph.with_name("floor.mosaic.zarr")
    before = desk.find_view_then_whole().count
    edit()
    dock = dock_in(desk.viewer, "Edit tesserae")
    desk.delete_a_stone(dock)
    desk._qtbot.waitUntil(lambda: panel.state.record.count == before - 1, timeout=WAIT_MS)
    assert len(desk.save(photograph.with_name("floor.csv"))) == before - 1
    dock.close()
    desk.viewer.layers.remove(desk.viewer.layers[0])
    assert panel.layer is None
    assert panel.state.source is None
    assert not panel.view.find_all.isEnabled()
    panel.close()


@pytest.mark.parametrize("way", [from_plugins_menu, from_layers_menu, by_call])
def test_photograph_view_whole_edit_save_from_every_door(viewer: Any, qtbot: Any, floor: Path, way: Any) -> None:
    way(viewer, "Mosaic")
    desk = Desk(viewer, qtbot)
    desk.panel.open_photograph(floor)
    edit = by_call if way is by_call else from_plugins_menu
    work_through(desk, floor, lambda: edit(viewer, "Edit tesserae"))


@pytest.mark.parametrize("way", [from_plugins_menu, from_layers_menu, by_call])
def test_a_photograph_that_is_there_before_the_panel_is_taken(viewer: Any, qtbot: Any, floor: Path, way: Any) -> None:
    viewer.open(str(floor))
    way(viewer, "Mosaic")
    desk = Desk(viewer, qtbot)
    desk.rest()
    assert desk.panel.layer is viewer.layers[0]
    viewer.layers.clear()
    assert desk.panel.state.source is None
    desk.panel.close()


@pytest.mark.parametrize("named", [True, False], ids=["named", "opened in the panel"])
def test_photograph_view_whole_edit_save_from_the_command_line(
    viewer: Any, monkeypatch: pytest.MonkeyPatch, qtbot: Any, floor: Path, named: bool
) -> None:
    with_flag(viewer, monkeypatch, *[str(floor)] * named, "-w", "napari-mosaic", "Mosaic", "Edit tesserae")
    desk = Desk(viewer, qtbot)
    if not named:
        desk.panel.open_photograph(floor)
    work_through(desk, floor, lambda: None)


def test_all_docks_of_the_command_line_know_the_viewer(
    viewer: Any, monkeypatch: pytest.MonkeyPatch, floor: Path
) -> None:
    with_flag(viewer, monkeypatch, str(floor), "-w", "napari-mosaic", "__all__")
    for name in DOCKS:
        dock = dock_in(viewer, name)
        assert type(dock.viewer) is type(viewer)
        assert dock.viewer is viewer
        dock.close()


@pytest.mark.parametrize("way", [from_plugins_menu, by_call])
@pytest.mark.parametrize("name", list(DOCKS))
def test_every_dock_holds_the_viewer_itself(viewer: Any, name: str, way: Any) -> None:
    way(viewer, name)
    dock = dock_in(viewer, name)
    assert not isinstance(dock.viewer, PublicOnlyProxy)
    assert dock.viewer is viewer
    dock.close()


def test_the_commands_take_a_proxy_and_what_is_seen_through_it(
    viewer: Any, tmp_path: Path, photograph: Any, qtbot: Any
) -> None:
    layer = viewer.add_image(photograph((200, 260)), name="array")
    proxy: Any = PublicOnlyProxy(viewer)
    assert real(proxy) is viewer
    assert real(proxy.layers[0]) is layer
    assert real(layer) is layer
    job = segment_layer(proxy, proxy.layers[0], tmp_path / "array.mosaic.zarr", params=QUICK)
    assert job.wait(120).count > 20
    assert layer.metadata[_sources.SOURCE] == str(tmp_path / "array.tif")
    proxy.layers.selection.active = None
    segment_selected_layer(proxy)  # says that nothing is selected


def test_the_command_in_the_menu_works_on_the_layer_itself(
    viewer: Any, floor: Path, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "SegmentParams", lambda: QUICK)
    (layer,) = viewer.open(str(floor))
    viewer.layers.selection.active = layer
    press_entry(viewer.window.layers_menu, "Find tesserae in the selected layer")
    qtbot.waitUntil(lambda: not _worker._alive, timeout=WAIT_MS)
    assert [type(each).__name__ for each in viewer.layers] == ["Image", "Image", "Labels"]
    with open_record(floor.with_name("floor.mosaic.zarr")) as record:
        assert record.complete


@pytest.mark.parametrize(("first", "second"), [(from_plugins_menu, by_call), (by_call, from_layers_menu)])
def test_a_dock_that_is_open_is_brought_to_the_front_and_not_made_twice(
    viewer: Any, qtbot: Any, floor: Path, first: Any, second: Any
) -> None:
    viewer.open(str(floor))
    first(viewer, "Mosaic")
    desk = Desk(viewer, qtbot)
    desk.rest()
    desk.panel.parent().hide()
    second(viewer, "Mosaic")
    qtbot.waitUntil(lambda: len(viewer.window.dock_widgets) == 1)
    assert dock_in(viewer, "Mosaic") is desk.panel
    qtbot.waitUntil(desk.panel.isVisible)
    assert desk.find_view_then_whole().complete
    desk.panel.close()


def test_what_a_script_gets_for_a_second_dock_does_what_it_asks_of_the_first(
    viewer: Any, qtbot: Any, floor: Path
) -> None:
    from_plugins_menu(viewer, "Mosaic")
    desk = Desk(viewer, qtbot)
    _, other = viewer.window.add_plugin_dock_widget("napari-mosaic", "Mosaic")
    other.open_photograph(floor)
    desk.rest()
    assert desk.panel.photograph is viewer.layers[0]
    assert other.state is desk.panel.state
    qtbot.waitUntil(lambda: len(viewer.window.dock_widgets) == 1)
    desk.panel.close()
    qtbot.waitUntil(lambda: desk.panel.closed)
    by_call(viewer, "Mosaic")
    assert any(isinstance(dock, type(desk.panel)) for dock in viewer.window.dock_widgets.values())
